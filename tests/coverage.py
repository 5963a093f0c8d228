#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Unlicense
"""coverage.py - what the tests reach in harp_impl.c, chapter by chapter

    coverage.py FOLDER [list]      FOLDER: with what coverage.sh exported; list: also what was not reached

Each test program has its own copy of the library; a place counts as reached if any of them reached it. A branch is one
way, true or false, of a condition as it stands in the source: what && and || join counts one by one."""
import glob
import json
import re
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
    """Two dictionaries by place (line, column, line, column): regions -> count, conditions -> [times true, times false]."""
    regions, conditions = {}, {}
    for path in glob.glob(folder + "/*.json"):
        for function in json.load(open(path, encoding="utf-8"))["data"][0]["functions"]:
            ours = {i for i, name in enumerate(function["filenames"]) if name.endswith(SOURCE)}
            for *place, count, file, _, kind in function["regions"]:
                if file in ours and kind == 0:
                    place = tuple(place)
                    regions[place] = regions.get(place, 0) + count
            for *place, true, false, file, _, _ in function["branches"]:
                if file in ours:
                    both = conditions.setdefault(tuple(place), [0, 0])
                    both[0], both[1] = both[0] + true, both[1] + false
    return regions, conditions


def main():
    regions, conditions = read(sys.argv[1])
    starts = chapters() + [(10**9, "", "")]
    total = [0, 0, 0, 0]
    print("%-8s %-24s %8s %8s %8s %8s" % ("chapter", "", "regions", "reached", "branches", "reached"))
    for (first, tag, title), (end, _, _) in zip(starts, starts[1:]):
        here = [count for place, count in regions.items() if first <= place[0] < end]
        ways = [c for place, both in conditions.items() if first <= place[0] < end for c in both]
        row = [len(here), sum(c > 0 for c in here), len(ways), sum(c > 0 for c in ways)]
        total = [a + b for a, b in zip(total, row)]
        if row[0]:
            print("%-8s %-24s %8d %7.1f%% %8d %7.1f%%"
                  % (tag, title, row[0], 100 * row[1] / row[0], row[2], 100 * row[3] / max(row[2], 1)))
    print("%-33s %8d %7.1f%% %8d %7.1f%%"
          % ("all", total[0], 100 * total[1] / total[0], total[2], 100 * total[3] / max(total[2], 1)))
    if len(sys.argv) > 2:
        text = open(SOURCE, encoding="utf-8").read().split("\n")
        for (line, column, end_line, end), both in sorted(conditions.items()):
            for never in [name for name, count in zip(("true", "false"), both) if count == 0]:
                what = text[line - 1][column - 1:end - 1] if line == end_line else text[line - 1][column - 1:]
                print("%5d never %-5s  %s" % (line, never, what))


if __name__ == "__main__":
    main()
