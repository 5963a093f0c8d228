#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Unlicense
"""Prints unicode.c: general categories, canonical decompositions and combining classes, as Python knows them.

    python3 unicode_tables.py > unicode.c
"""
import unicodedata

CATEGORIES = "Cn Cc Cf Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()
WIDTH = 118
HANGUL = range(0xAC00, 0xD7A4)  # by arithmetic, not by table


def table(kind, name, values):
    print(f"\nconst {kind} {name} = {{")
    line = "   "
    for v in values:
        if len(line) + len(v) + 2 > WIDTH:
            print(line)
            line = "   "
        line += f" {v},"
    print(line.rstrip(","))
    print("};")


def main():
    category = [CATEGORIES.index(unicodedata.category(chr(c))) for c in range(0x110000)]
    runs = [f"0x{c << 5 | category[c]:X}" for c in range(0x110000) if c == 0 or category[c] != category[c - 1]]
    pairs, classes, begin = [], [], 0
    for c in range(0x110000):
        parts = unicodedata.decomposition(chr(c)).split()
        if parts and not parts[0].startswith("<") and c not in HANGUL:
            parts = [int(p, 16) for p in parts]
            joins = len(parts) == 2 and unicodedata.normalize("NFC", "".join(map(chr, parts))) == chr(c)
            pairs.append("{0x%X, 0x%X, %s}" % (c | joins << 24, parts[0], "0x%X" % parts[1] if len(parts) == 2 else "0"))
        mark = unicodedata.combining(chr(c))
        if c and mark != unicodedata.combining(chr(c - 1)):
            if unicodedata.combining(chr(c - 1)):
                classes.append("{0x%X, 0x%X, %d}" % (begin, c - 1, unicodedata.combining(chr(c - 1))))
            begin = c
    print(f"""/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * unicode.c - made by tools/convert/tokenizer/unicode_tables.py from Unicode {unicodedata.unidata_version}; see unicode.h */
#include "unicode.h"

const char cv_category_names[{len(CATEGORIES)}][3] = {{{", ".join('"%s"' % c for c in CATEGORIES)}}};
const size_t cv_n_categories = {len(runs)}, cv_n_decompositions = {len(pairs)}, cv_n_classes = {len(classes)};""")
    table("uint32_t", "cv_categories[]", runs)
    table("uint32_t", "cv_decompositions[][3]", pairs)
    table("uint32_t", "cv_classes[][3]", classes)


main()
