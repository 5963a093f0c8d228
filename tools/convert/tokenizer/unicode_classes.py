#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Unlicense
"""Prints the table hp_classes of harp_impl.c: which characters are letters, numbers or white space.

    python3 unicode_classes.py

Letters are the general categories L*, numbers N*, as \\p{L} and \\p{N} in the regular expressions of tokenizers. White
space is the property White_Space, as \\s there; Python does not know that property, so it is listed here (it has not
changed since Unicode 6.3). Each entry is first << 2 | class: the first character of a run of one class.
"""
import unicodedata

SPACES = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
WIDTH = 118


def class_of(c):
    if c in SPACES:
        return 3
    return {"L": 1, "N": 2}.get(unicodedata.category(chr(c))[0], 0)


def main():
    runs = [c << 2 | class_of(c) for c in range(0x110000) if c == 0 or class_of(c) != class_of(c - 1)]
    print(f"/* Made by tools/convert/tokenizer/unicode_classes.py from Unicode {unicodedata.unidata_version}. */")
    print(f"static const uint32_t hp_classes[{len(runs)}] = {{")
    line = "   "
    for r in runs:
        item = f" {r}," if r < 10 else f" 0x{r:X},"
        if len(line) + len(item) > WIDTH:
            print(line)
            line = "   "
        line += item
    print(line.rstrip(","))
    print("};")


main()
