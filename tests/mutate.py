#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Unlicense
"""mutate.py - would the tests notice? Small edits in harp_impl.c, and the share that the tests catch

    mutate.py BUILD_FOLDER [COUNT [CHAPTER...]]      COUNT: edits, default 200; CHAPTER: "The file" ... for some only

An edit changes one operator, constant or bound of one line. Those taken lie evenly over all that are possible, and
the first n of them do too, for any n; the choice depends on nothing but the file. Each is built (plain C, optimised a
little) and run through the tests, those of its chapter first, until one fails or does not end; what they let through
is built with the sanitizers, and if it is in the kernels with this machine's instruction sets too, and run through the
quicker ones again, as make test-all does. Edits that do not compile do not count, nor those that give the same object:
they change nothing, or what another platform compiles. An edit that survives is printed: either a test is missing, or
the edit changes nothing that matters.

Each processor tries edits of its own. What was found is kept in BUILD_FOLDER/mutants/results, and a second run goes on
from there; an edit that survived is tried again once its line is taken out of that file."""
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading

SOURCE = "harp_impl.c"
F = "tests/fixtures"
FLAGS = ["gcc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-w"]
PLAIN = ["-DHARP_NO_SIMD"]
CHECKED = PLAIN + ["-fsanitize=address,undefined", "-fno-sanitize=null,alignment", "-fno-sanitize-recover=all"]
WIDE = [] # with this machine's instruction sets
TESTS = [ # source, what it is linked with (None: it includes the library), arguments, chapters to try it on first
    ("test_conformance", "harp_impl", [F + "/llama_gqa/model.harp", F + "/llama_gqa/golden"],
     "Mathematics, Sixteen lanes, Kernels, The layers"),
    ("test_conformance", "harp_impl", [F + "/gpt_oss/model.harp", F + "/gpt_oss/golden"], "Special layers"),
    ("test_conformance", "harp_impl", [F + "/qwen3_next/model.harp", F + "/qwen3_next/golden"], "Special layers"),
    ("test_conformance", "harp_impl", [F + "/lfm2/model.harp", F + "/lfm2/golden"], "Special layers"),
    ("test_conformance", "harp_impl", [F + "/gemma4_text/model.harp", F + "/gemma4_text/golden"], "Special layers"),
    ("test_threads", "harp_impl", [F + "/llama_gqa/model.harp"], "Many hands"),
    ("test_tokenizer", "harp_impl", ["demo=examples/demo/demo.harp"], "Vocabularies, Text and tokens"),
    ("test_format", "inside", [], "The file, The model, Its weights"),
    ("test_library", "harp_impl", [F + "/llama_gqa/model.harp"], "Chance, Engines, Their memory, Choosing, HARP"),
    ("test_models", "harp_impl", [F], ""),
    ("test_faults", "inside", ["{B}/files"], "Ground, Failing, Memory, Driving, Keeping"),
    ("test_numbers", None, [F + "/llama_gqa/model.harp"], ""),
    ("test_decoders", "harp_impl", ["beam", F + "/llama_gqa/model.harp", F + "/llama_gqa/golden"], "Other decoders"),
    ("test_slices", "harp_impl", [F + "/llama_gqa/model.harp"], ""),
    ("test_promises", "inside", [], "Engines, Their memory"),
    ("test_together", "harp_impl", [F + "/llama_gqa/model.harp", F + "/llama_gqa/golden"], "Engines, Their memory"),
    ("machine", "harp_impl", ["-n", "60"],
     "Engines, Their memory, The layers, Special layers, The pass, Choosing, HARP, Other decoders"),
    ("test_conversation", "harp_impl", ["examples/demo/demo.harp"], "Conversations"),
    ("test_words", "inside", ["{T}/harp-convert", "{B}/files"], "Text and tokens"),
    ("test_conformance", "harp_impl", [F + "/mistral_swa16/model.harp", F + "/mistral_swa16/golden"], ""),
    ("test_decoders", "harp_impl", ["same", F + "/llama_gqa/model.harp"], "Other decoders"),
    ("test_conformance", "harp_impl", [F + "/gemma2/model.harp", F + "/gemma2/golden"], ""),
    ("test_conformance", "harp_impl", [F + "/gpt2/model.harp", F + "/gpt2/golden"], ""),
    ("test_conformance", "harp_impl", [F + "/phi3_longrope/model.harp", F + "/phi3_longrope/golden"], ""),
    ("test_conformance", "harp_impl", [F + "/qwen3/model.harp", F + "/qwen3/golden"], ""),
    ("test_conformance", "harp_impl", [F + "/olmo2/model.harp", F + "/olmo2/golden"], ""),
    ("test_conformance", "harp_impl", [F + "/qwen2_yarn/model.harp", F + "/qwen2_yarn/golden"], ""),
    ("test_conformance", "harp_impl", [F + "/phi2/model.harp", F + "/phi2/golden"], ""),
    ("test_conformance", "harp_impl", [F + "/stablelm/model.harp", F + "/stablelm/golden"], ""),
    ("test_conformance", "harp_impl", [F + "/ministral3/model.harp", F + "/ministral3/golden"], ""),
    ("test_inputs", "harp_impl", [F + "/llama_gqa/model.harp"], ""),
    ("test_inputs", "harp_impl", [F + "/mixtral/model.harp"], ""),
]
SLOW = ("test_library", "test_numbers", "test_decoders same", "machine") # left out under the sanitizers
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
        title = re.match(r" \* \[CH\w+\] (.*)", text)
        if title:
            chapter = title.group(1)
        if text.startswith("/*") and "*/" not in text:
            comment = True
        if comment:
            comment = "*/" not in text
            continue
        if not text.startswith("    ") or re.match(r"\s*(/\*|\*|0x|#|static const|\"|hp_fail|return hp_fail)", text) \
                or "HP_PREFETCH(" in text: # changes no result
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


def build(folder, program, linked, how):
    out = folder + "/" + program
    command = FLAGS + how + [folder + "/tests/" + program + ".c", "-o", out, "-lm", "-pthread"]
    if linked:
        command[-2:-2] = [folder + "/" + linked + ".o"]
    if program == "test_words":
        command[-2:-2] = [folder + "/tools/convert/ground/json_write.c"]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def compile_library(folder, how):
    """The object, or None if the edit does not compile; beside it the one with windows in it."""
    for source in ("tests/inside", "harp_impl"):
        name = folder + "/" + os.path.basename(source) + ".o"
        done = subprocess.run(FLAGS + how + ["-c", folder + "/" + source + ".c", "-o", name], stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            return None
    return open(name, "rb").read()


def run_test(command, seconds):
    """What it ended with: 0 is well, None that it used more than so many processor seconds, or waited for ever."""
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=1800,
                              preexec_fn=limit, env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0")) # the tests' own
        return None if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL) else done.returncode
    except subprocess.TimeoutExpired:
        return None


def caught_by(folder, chapter, limits, how):
    """The test that fails, or an empty string; limits: test -> seconds, measured here if there are none yet."""
    built, measure = set(), not limits
    compile_library(folder, how)
    for test in sorted(TESTS, key=lambda t: chapter not in t[3].split(", ")):
        program, linked, arguments, _ = test
        name = program + " " + " ".join(arguments)
        if how is not PLAIN and name.startswith(SLOW):
            continue
        if program not in built and not build(folder, program, linked, how):
            return program
        built.add(program)
        before = processor_seconds()
        command = [folder + "/" + program] + [
            a.replace("{B}", folder).replace("{T}", os.path.dirname(os.path.dirname(folder))) for a in arguments]
        status = run_test(command, 3600 if measure else limits[name])
        if status != 0:
            return program + (", which did not end" if status is None else "")
        if measure:
            limits[name] = int(5 + 3 * (processor_seconds() - before))
    return ""


def measure_limits(folder, ways):
    """Fills in the limits, or takes them from a file where a former run with the same source and tests left them."""
    stamp = hashlib.sha256(repr((TESTS, SLOW, FLAGS, [how for how, _ in ways])).encode())
    for name in [SOURCE, "harp.h"] + sorted("tests/" + n for n in os.listdir("tests") if n.endswith((".c", ".h"))):
        stamp.update(open(name, "rb").read())
    path = folder + "/limits-" + stamp.hexdigest()[:16]
    if os.path.exists(path):
        for (_, limits), known in zip(ways, json.load(open(path, encoding="utf-8"))):
            limits.update(known)
        return
    for how, limits in ways:
        failed = caught_by(folder + "/0", "", limits, how)
        if failed:
            sys.exit("%s fails without an edit, built with %s" % (failed, " ".join(how) or "instruction sets"))
    json.dump([limits for _, limits in ways], open(path, "w", encoding="utf-8"))


def processor_seconds():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def prepare(folder):
    """The tests as they are, beside the edited copy, which is what they include."""
    os.makedirs(folder + "/files", exist_ok=True)
    shutil.copy("harp.h", folder)
    for part in ("tests", "tools/convert/ground"):
        shutil.copytree(part, folder + "/" + part, ignore=shutil.ignore_patterns("fixtures", "seeds", "regressions"),
                        dirs_exist_ok=True)


def write_source(folder, lines, number=0, text=""):
    changed = list(lines)
    if number:
        changed[number - 1] = text.rstrip("\n")
    open(folder + "/harp_impl.c", "w", encoding="utf-8").write("\n".join(changed))


def evenly(items):
    """All items, any first n of which lie evenly over the list: steps of the golden section, without repeats."""
    seen = set()
    for k in range(20 * len(items)):
        i = int((k * 0.6180339887498949) % 1.0 * len(items))
        if i not in seen:
            seen.add(i)
            yield items[i]


def load_results(path):
    """edit -> what became of it: the test that caught it, "-" for one that does not count, "survived"."""
    if not os.path.exists(path):
        return {}
    return dict(reversed(line.rstrip("\n").split("\t", 1)) for line in open(path, encoding="utf-8"))


def report(results):
    table = {}
    for name, by in results.items():
        if by != "-":
            row = table.setdefault(name.split(", line ")[0], [0, 0])
            row[0], row[1] = row[0] + 1, row[1] + (by != "survived")
    for name, by in results.items():
        if by == "survived":
            print("survived  " + name)
    for chapter in sorted(table):
        print("%-18s %d of %d caught" % (chapter, table[chapter][1], table[chapter][0]))
    tried, caught = sum(r[0] for r in table.values()), sum(r[1] for r in table.values())
    print("%d of %d edits caught, %.1f %%" % (caught, tried, 100 * caught / max(tried, 1)))


def main():
    known = {chapter for _, chapter, _ in code_lines()} | {""}
    for title in [t for test in TESTS for t in test[3].split(", ")] + sys.argv[3:]:
        if title not in known:
            sys.exit("%s has no chapter %s" % (SOURCE, title))
    folder = os.path.abspath(sys.argv[1]) + "/mutants"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    lines = open(SOURCE, encoding="utf-8").read().split("\n")
    jobs, lock = len(os.sched_getaffinity(0)), threading.Lock()
    ways = [(PLAIN, {}), (CHECKED, {}), (WIDE, {})] # how to build, and how long the tests may take
    for k in range(jobs):
        prepare(folder + "/%d" % k)
    write_source(folder + "/0", lines)
    same = compile_library(folder + "/0", PLAIN)
    if same is None:
        sys.exit("harp_impl.c does not compile without an edit")
    measure_limits(folder, ways)
    results, under_way = load_results(folder + "/results"), set()
    left = evenly(list(edits(sys.argv[3:])))

    def next_edit():
        with lock:
            if sum(by != "-" for by in results.values()) + len(under_way) >= count:
                return None
            for number, chapter, text in left:
                name = "%s, line %d: %s" % (chapter, number, text.strip())
                if name not in results and name not in under_way:
                    under_way.add(name)
                    return name, number, chapter, text
            return None

    def work(own):
        for name, number, chapter, text in iter(next_edit, None):
            write_source(own, lines, number, text)
            changed = compile_library(own, PLAIN)
            by = "-" if changed in (None, same) else "survived"
            for how, limits in ways if chapter == "Kernels" else ways[:2]:
                by = by if by != "survived" else caught_by(own, chapter, limits, how) or by
            with lock:
                under_way.remove(name)
                results[name] = by
                with open(folder + "/results", "a", encoding="utf-8") as f:
                    f.write("%s\t%s\n" % (by, name))

    workers = [threading.Thread(target=work, args=(folder + "/%d" % k,)) for k in range(jobs)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    report(results)


if __name__ == "__main__":
    main()
