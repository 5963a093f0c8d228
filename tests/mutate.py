#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Unlicense
"""mutate.py - would the tests notice? Small edits in harp_impl.c, and the share that the fast tests catch

    mutate.py BUILD_FOLDER [COUNT [CHAPTER...]]      COUNT: edits, default 200; CHAPTER: CH08 CH09 ... for some only

An edit changes one operator, constant or bound of one line. The list of all possible edits is in the order of the file,
and COUNT of them are taken at equal distances, so the choice depends on nothing but the file. Each is built (plain C,
optimised a little) and run through the tests below, the quick ones first, until one fails. An edit that does not compile
does not count. One that survives is printed: either a test is missing, or the edit changes nothing that matters."""
import os
import re
import subprocess
import sys

SOURCE = "harp_impl.c"
F = "tests/fixtures"
FLAGS = ["gcc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-w", "-DHARP_NO_SIMD", "-DHARP_IMPL_UNDER_TEST"]
TESTS = [ # source, linked with the library (or it includes it), arguments
    ("test_conformance", True, [F + "/llama_gqa/model.harp", F + "/llama_gqa/golden"]),
    ("test_conformance", True, [F + "/mistral_swa16/model.harp", F + "/mistral_swa16/golden"]),
    ("test_tokenizer", True, ["demo=examples/demo/demo.harp"]),
    ("test_numbers", False, []),
    ("test_faults", False, ["{B}/files"]),
    ("test_library", False, [F + "/llama_gqa/model.harp"]),
]
EDITS = [ # pattern, replacement; patterns match code only
    (r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "), (r" == ", " != "), (r" != ", " == "),
    (r" && ", " || "), (r" \|\| ", " && "), (r" \+ 1\b", ""), (r" - 1\b", ""), (r" \+ ", " - "), (r" - ", " + "),
    (r" \* ", " + "), (r"\breturn 0;", "return 1;"), (r"\breturn 1;", "return 0;"), (r"\bcontinue;", "break;"),
    (r"\+\+\b", "--"), (r"\b(16|32|64|255|256)\b", "17"), (r" & ", " | "), (r"\bhp_min\(", "hp_max("),
]


def code_lines():
    """(number, chapter, text) of lines that hold code of functions: no comments, tables, preprocessor."""
    chapter, comment = "", False
    for number, text in enumerate(open(SOURCE, encoding="utf-8"), 1):
        tag = re.match(r" \* \[(CH\w+)\]", text)
        if tag:
            chapter = tag.group(1)
        if text.startswith("/*") and "*/" not in text:
            comment = True
        if comment:
            comment = "*/" not in text
            continue
        if not text.startswith("    ") or re.match(r"\s*(/\*|\*|0x|#|static const|\"|hp_fail|return hp_fail)", text):
            continue
        yield number, chapter, text


def edits(only):
    for number, chapter, text in code_lines():
        if only and chapter not in only:
            continue
        code = text.split("/*")[0]
        spans = [m.span() for m in re.finditer(r'"[^"]*"', code)]
        for pattern, new in EDITS:
            for match in re.finditer(pattern, code):
                if not any(a <= match.start() < b for a, b in spans):
                    yield number, chapter, text[:match.start()] + new + text[match.end():]


def build(folder, program, linked):
    out = folder + "/" + program
    command = FLAGS + ["-I" + folder, folder + "/" + program + ".c", "-o", out, "-lm", "-pthread"]
    if linked:
        command[-2:-2] = [folder + "/harp_impl.o"]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def survives(folder):
    """None if the edit does not compile, else the name of the test that caught it, or an empty string."""
    if subprocess.run(FLAGS + ["-c", folder + "/harp_impl.c", "-o", folder + "/harp_impl.o"], stderr=subprocess.DEVNULL).returncode:
        return None
    built = set()
    for program, linked, arguments in TESTS:
        if program not in built and not build(folder, program, linked):
            return program
        built.add(program)
        run = [folder + "/" + program] + [a.replace("{B}", folder) for a in arguments]
        try:
            if subprocess.run(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300).returncode:
                return program
        except subprocess.TimeoutExpired:
            return program + ", which did not end"
    return ""


def prepare(folder):
    """The tests with their includes led to the edited copy."""
    os.makedirs(folder + "/files", exist_ok=True)
    open(folder + "/harp.h", "w").write(open("harp.h").read())
    for program in {t[0] for t in TESTS}:
        text = open("tests/" + program + ".c", encoding="utf-8").read()
        text = text.replace('"../harp', '"harp').replace('"fuzz/', '"' + os.getcwd() + "/tests/fuzz/")
        open(folder + "/" + program + ".c", "w", encoding="utf-8").write(text)


def main():
    folder = os.path.abspath(sys.argv[1]) + "/mutants"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    prepare(folder)
    lines = open(SOURCE, encoding="utf-8").read().split("\n")
    chosen = list(edits(sys.argv[3:]))
    chosen = [chosen[i * len(chosen) // count] for i in range(count)] if count < len(chosen) else chosen
    caught, tried, table = 0, 0, {}
    for number, chapter, text in [(0, "", "")] + chosen:
        changed = list(lines)
        if number:
            changed[number - 1] = text.rstrip("\n")
        open(folder + "/harp_impl.c", "w", encoding="utf-8").write("\n".join(changed))
        by = survives(folder)
        if number == 0: # the file as it is must pass
            if by != "":
                sys.exit("the tests fail without an edit: %s" % by)
            continue
        if by is None:
            continue
        tried, caught = tried + 1, caught + (by != "")
        row = table.setdefault(chapter, [0, 0])
        row[0], row[1] = row[0] + 1, row[1] + (by != "")
        if by == "":
            print("survived  %s line %d: %s" % (chapter, number, text.strip()), flush=True)
    for chapter in sorted(table):
        print("%-6s %d of %d caught" % (chapter, table[chapter][1], table[chapter][0]))
    print("%d of %d edits caught, %.1f %%" % (caught, tried, 100 * caught / max(tried, 1)))


if __name__ == "__main__":
    main()
