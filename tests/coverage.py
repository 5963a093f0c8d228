#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Unlicense
"""coverage.py - what the tests reach in harp_impl.c, chapter by chapter

    coverage.py FOLDER [list]      FOLDER: objects and .gcda files that coverage.sh left; list: also the lines not reached

Each test program has its own copy of the library; a line or branch counts as reached if any of them reached it."""
import glob
import json
import re
import subprocess
import sys

SOURCE = "harp_impl.c"


def chapters():
    """(first line, tag, title) of each chapter, in order."""
    found = []
    lines = open(SOURCE, encoding="utf-8").read().split("\n")
    for number, line in enumerate(lines, 1):
        match = re.match(r" \* \[(CH\w+)\] (.*)", line)
        if match and lines[number - 2].startswith("/* ===="):
            found.append((number, match.group(1), match.group(2)))
    return found


def read(folder):
    """Two dictionaries: line -> count, line -> counts of its branches. A line that is compiled in several ways
    (readings of the kernels, builds with other switches) counts once, as the text that has most branches."""
    lines, branches = {}, {}
    for data in glob.glob(folder + "/*.gcda"):
        out = subprocess.run(["gcov", "-b", "-c", "-j", "-t", data], capture_output=True, check=True).stdout
        for text in out.decode().splitlines():
            for file in json.loads(text)["files"]:
                if not file["file"].endswith(SOURCE):
                    continue
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[number] = lines.get(number, 0) + line["count"]
                    counts = [b["count"] for b in line["branches"] if not b["throw"]]
                    ways = branches.setdefault(number, {})
                    ways[len(counts)] = [a + b for a, b in zip(ways.get(len(counts), [0] * len(counts)), counts)]
    return lines, {number: ways[max(ways)] for number, ways in branches.items()}


def main():
    lines, branches = read(sys.argv[1])
    starts = chapters() + [(10**9, "", "")]
    total = [0, 0, 0, 0]
    print("%-8s %-24s %8s %8s %8s %8s" % ("chapter", "", "lines", "reached", "branches", "reached"))
    for (first, tag, title), (end, _, _) in zip(starts, starts[1:]):
        here = [count for number, count in lines.items() if first <= number < end]
        forks = [c for number, counts in branches.items() if first <= number < end for c in counts]
        row = [len(here), sum(c > 0 for c in here), len(forks), sum(c > 0 for c in forks)]
        total = [a + b for a, b in zip(total, row)]
        if row[0]:
            print("%-8s %-24s %8d %7.1f%% %8d %7.1f%%"
                  % (tag, title, row[0], 100 * row[1] / row[0], row[2], 100 * row[3] / max(row[2], 1)))
    print("%-33s %8d %7.1f%% %8d %7.1f%%"
          % ("all", total[0], 100 * total[1] / total[0], total[2], 100 * total[3] / max(total[2], 1)))
    if len(sys.argv) > 2:
        text = open(SOURCE, encoding="utf-8").read().split("\n")
        for number in sorted(lines):
            missed = [i for i, c in enumerate(branches.get(number, [])) if c == 0]
            if lines[number] == 0 or missed:
                print("%5d %s %s" % (number, "line  " if lines[number] == 0 else "branch", text[number - 1].strip()))


if __name__ == "__main__":
    main()
