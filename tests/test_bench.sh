#!/bin/sh
# harp-bench from end to end: sh tests/test_bench.sh BUILD_FOLDER. Asks whether what is measured is there, not how fast
# it is. JSON and SVG are parsed where there is python3. Ends with "N passed, N failed".
B=${1:?build folder}
M=examples/demo/demo.harp
H=$B/harp-bench
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
passed=0 failed=0
quick="--threads 1 --runs 1 --prompt 20 --generate 2 --rates 0,100"

report() { # report NAME STATUS: status 0 passes
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED  $1"; fi
}

# refused NAME STATUS WORDS ARGUMENT...: nothing on stdout, the words on stderr; status 1 with one line, 2 with help
refused() {
    name=$1 want=$2 words=$3
    shift 3
    "$H" "$@" > "$T/out" 2> "$T/err" < /dev/null
    got=$?
    [ $got = "$want" ] && [ ! -s "$T/out" ] && grep -q -e "$words" "$T/err" \
        && if [ "$want" = 1 ]; then [ "$(wc -l < "$T/err")" = 1 ]; else grep -q '^usage' "$T/err"; fi
    report "$name" $?
}

# json_lines FILE SHAPE WHAT...: objects with finite numbers and this shape, of each of these kinds at least one
json_lines() {
    file=$1 shape=$2
    shift 2
    for what; do grep -q "^{.*\"what\":\"$what\".*}\$" "$file" || return 1; done
    ! command -v python3 > /dev/null || python3 -c '
import json, math, os, sys
def refuse(name): raise ValueError(name)
for line in open(sys.argv[1], "rb"):
    f = json.loads(line.decode("utf-8"), parse_constant=refuse)
    assert f["shape"] == os.fsencode(sys.argv[2]).decode("utf-8", "replace"), f["shape"]
    assert f["ms"] > 0 and all(math.isfinite(v) for v in f.values() if not isinstance(v, str))' "$file" "$shape"
}

empty() { # empty FOLDER: not even hidden files
    [ -d "$1" ] && [ -z "$(ls -A "$1")" ]
}

# ---- figures ----
for m in $M tests/fixtures/gpt2/model.harp tests/fixtures/gemma3_text/model.harp \
    tests/fixtures/phi3_longrope/model.harp; do
    "$H" -m $m --json $quick > "$T/out" 2> "$T/err"
    [ $? = 0 ] && json_lines "$T/out" $m decode prefill rows harp request open bandwidth
    report "all figures of $m" $?
done
"$H" -m $M --json $quick --what open,rows > "$T/out" 2> "$T/err"
[ $? = 0 ] && [ ! -s "$T/err" ] && json_lines "$T/out" $M open rows && [ "$(wc -l < "$T/out")" = 7 ]
report "the wanted figures alone" $?
"$H" -m $M $quick --isa c --what bandwidth,decode --depth 1 > "$T/out" 2> "$T/err" \
    && grep -q '^c .* bandwidth ' "$T/out" && grep -q '^c .* decode ' "$T/out"
report "the table" $?

# ---- how the file lies in memory ----
cp $M "$T/pages.harp"
for how in large fresh aged; do
    "$H" -m "$T/pages.harp" $quick --what decode --depth 1 --pages $how > "$T/out" 2> "$T/err"
    case $?:$how in
    0:*) grep -q ' decode ' "$T/out" ;;
    1:fresh | 1:aged) grep -q "cannot be chosen here" "$T/err" && [ "$(uname)" != Linux ] ;;
    *) false ;;
    esac
    report "--pages $how" $?
done
refused "--pages by another name" 2 "there are fresh, aged and large" -m $M --pages new
refused "--pages of no file" 1 "nothing-here" -m "$T/nothing-here" --pages aged

# ---- the model's context: defaults are cut, and that is said; what the user gave is not ----
"$H" -m $M --json --threads 1 --runs 1 --what decode,prefill,request > "$T/out" 2> "$T/err"
[ $? = 0 ] && json_lines "$T/out" $M decode prefill request && [ "$(wc -l < "$T/err")" = 1 ] \
    && grep -q "512 positions.*--prompt 382 .*--depth 446 " "$T/err" && grep -q '"depth":446' "$T/out"
report "defaults are cut to the context" $?
"$H" -m $M --json --threads 1 --runs 1 --what harp --rates 0 --prompt 500 > "$T/out" 2> "$T/err"
[ $? = 0 ] && grep -q -e "--generate 10 " "$T/err" && [ "$(wc -l < "$T/err")" = 1 ]
report "fewer tokens after a given prompt" $?
"$H" -m $M --json $quick --what decode --depth 508 > "$T/out" 2> "$T/err"
[ $? = 0 ] && [ ! -s "$T/err" ] && json_lines "$T/out" $M decode
report "the whole context" $?
refused "a depth beyond the context" 1 "decode needs.* 512" -m $M $quick --depth 0,509
refused "a prompt beyond the context" 1 "prefill needs.* 512" -m $M --prompt 600
refused "tokens beyond the context" 1 "rows needs.* 512" -m $M --what rows --generate 600

# ---- wrong usage ----
refused "no model" 2 "-m and --shape"
refused "a model and a shape" 2 "-m and --shape" -m $M --shape stories-15m
refused "--keep of a model" 2 "--keep" -m $M --keep "$T/keep"
refused "unknown shape" 2 "stories-15m.*tinyllama" --shape gpt-5
refused "unknown shape, kept" 2 "stories-15m.*tinyllama" --shape gpt-5 --keep $M
refused "unknown option" 2 "--loud" -m $M --loud
refused "no value" 2 "--what needs a value" -m $M --what
for list in foo dec decode,foo decoder "decode," ",decode" "decode rows" ""; do
    refused "--what '$list'" 2 "--what.*\(decode, prefill, rows\|empty\)" -m $M --what "$list"
done
for list in z80 "c,z80" cc "c," "c,,c" ""; do
    refused "--isa '$list'" 2 "--isa.*\( c, and all\|empty\)" -m $M --isa "$list"
done
for list in 0 -1 257 99999999999999999999 1x "" 1, ,1 1,,2 " 1" +1 1.5 all 1,0; do
    refused "--threads '$list'" 2 "--threads.*\(1 to 256\|empty\)" -m $M --threads "$list"
done
refused "too many numbers" 2 "at most 16" -m $M --threads 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1
for option in "--batch 0" "--batch 4097" "--runs 0" "--runs 100" "--runs 1,2" "--generate 0" "--generate -5" \
    "--prompt 0" "--prompt x" "--depth -1" "--depth 99999999999" "--rates 101" "--rates -1"; do
    refused "$option" 2 "${option% *}.*from [01] to" -m $M $option
done

# ---- files ----
refused "a file that is no model" 1 "README.md" -m README.md
refused "no such file" 1 "nothing-here" -m "$T/nothing-here"
refused "a folder" 1 "tests" -m tests
refused "a plot that cannot be written" 1 "no-such-folder" -m $M $quick --plot "$T/no-such-folder/x.svg"
refused "a plot without its figures" 2 "--plot" -m $M --what decode --plot "$T/x.svg"
cp $M "$T/model.harp"
refused "a plot over the model" 1 "this is the model" -m "$T/model.harp" $quick --what harp --plot "$T/model.harp"
cmp -s $M "$T/model.harp"
report "a plot over the model: it is as it was" $?

# a name that JSON, XML and UTF-8 each find difficult; not every system has such names
odd="$T/a\"b\\c<d&é$(printf '\377').harp"
if cp $M "$odd" 2> /dev/null; then
    "$H" -m "$odd" --json $quick --what harp --plot "$T/odd.svg" > "$T/out"
    [ $? = 0 ] && json_lines "$T/out" "$odd" harp
    report "a path in JSON" $?
    grep -q 'b\\c&#60;d&#38;é' "$T/odd.svg" && grep -q 'lazy, K = 1: x' "$T/odd.svg" && ! grep -q 'nan' "$T/odd.svg" \
        && { ! command -v python3 > /dev/null || python3 -c '
import sys, xml.dom.minidom
xml.dom.minidom.parse(sys.argv[1])' "$T/odd.svg"; }
    report "a path in SVG" $?
fi
if [ -c /dev/full ]; then
    "$H" -m $M --json $quick --what open > /dev/full 2> "$T/err"
    [ $? = 1 ] && grep -q "standard output" "$T/err"
    report "standard output is full" $?
fi

# ---- random models ----
mkdir "$T/tmp"
export TMPDIR="$T/tmp"
"$H" --shape stories-15m --json $quick --what open > "$T/out" 2> "$T/err"
[ $? = 0 ] && json_lines "$T/out" stories-15m open && grep -q "writes [0-9.]* MB .*$T/tmp/harp-bench" "$T/err" \
    && empty "$T/tmp"
report "a temporary model goes into TMPDIR, and away" $?
"$H" --shape stories-15m --keep "$T/kept.harp" --json $quick --what open > "$T/out" 2> "$T/err"
[ $? = 0 ] && grep -q "writes" "$T/err" && [ -s "$T/kept.harp" ] && empty "$T/tmp"
report "a kept model" $?
cp "$T/kept.harp" "$T/kept.before"
"$H" --shape stories-15m --keep "$T/kept.harp" --json $quick --what open > "$T/out" 2> "$T/err"
[ $? = 0 ] && [ ! -s "$T/err" ] && cmp -s "$T/kept.harp" "$T/kept.before"
report "a kept model is used again" $?
refused "a kept model of another shape" 1 "kept.harp: there already.*smollm2" --shape smollm2-135m --keep "$T/kept.harp"
refused "a kept model of other bits" 1 "kept.harp: there already.*4 bits" --shape stories-15m --bits 4 --keep "$T/kept.harp"
"$H" --shape stories-15m --bits 4 --keep "$T/four.harp" --json $quick --what open > "$T/out" 2> "$T/err"
[ $? = 0 ] && [ $(wc -c < "$T/four.harp") -lt $(wc -c < "$T/kept.harp") ]
report "a random model with four bits" $?
refused "bits without a shape" 2 "--bits goes with --shape" -m $M --bits 4
refused "five bits" 2 "--bits is 8 or 4" --shape stories-15m --bits 5
cp README.md "$T/readme"
refused "a kept file that is no model" 1 "readme" --shape stories-15m --keep "$T/readme"
cmp -s README.md "$T/readme"
report "a kept file that is no model: it is as it was" $?
refused "a kept model in a folder that is not there" 1 "nowhere" --shape stories-15m --keep "$T/nowhere/x.harp"
(TMPDIR="$T/nowhere" && "$H" --shape stories-15m > "$T/out" 2> "$T/err")
[ $? = 1 ] && [ "$(wc -l < "$T/err")" = 1 ] && grep -q "nowhere/harp-bench.*No such file" "$T/err"
report "TMPDIR is not there" $?
(ulimit -f 4000 && "$H" --shape stories-15m > "$T/out" 2> "$T/err")
[ $? = 1 ] && [ "$(wc -l < "$T/err")" = 2 ] && grep -q "cannot be written: .*TMPDIR" "$T/err" && empty "$T/tmp"
report "no room for the temporary model" $?

# ---- signals: what was begun goes away ----

# stopped NAME SIGNAL STATUS FILE WORDS ARGUMENT...: sends the signal once FILE has the words, and waits at most 20 s
stopped() {
    name=$1 signal=$2 want=$3 file=$4 words=$5
    shift 5
    : > "$T/out"
    : > "$T/err"
    sh tests/attentive.sh "$H" "$@" > "$T/out" 2> "$T/err" &
    pid=$! i=0
    until grep -q "$words" "$file" || [ $i = 200 ]; do sleep 0.1; i=$((i + 1)); done
    ls -A "$T/tmp" > "$T/begun"
    kill -$signal $pid
    i=0
    while kill -0 $pid 2> /dev/null && [ $i -lt 200 ]; do sleep 0.1; i=$((i + 1)); done
    kill -9 $pid 2> /dev/null
    wait $pid 2> /dev/null
    [ $? = "$want" ] && [ -s "$T/begun" ] && empty "$T/tmp"
    report "$name" $?
    rm -f "$T/tmp/"*
}
interrupted="harp-bench: interrupted"
in_run="--shape stories-15m --json --threads 1 --runs 99 --generate 100 --what"
stopped "Ctrl-C while a model is written" INT 130 "$T/err" "writes" --shape llama-3.1-8b
[ "$(tail -1 "$T/err")" = "$interrupted" ] && [ ! -s "$T/out" ]
report "Ctrl-C while a model is written says so" $?
stopped "SIGTERM while a model is written" TERM 143 "$T/err" "writes" --shape llama-3.1-8b
stopped "Ctrl-C in a run" INT 130 "$T/out" bandwidth $in_run bandwidth,decode
json_lines "$T/out" stories-15m bandwidth && ! grep -q decode "$T/out" && [ "$(tail -1 "$T/err")" = "$interrupted" ]
report "Ctrl-C in a run: no figure of half the runs" $?
stopped "Ctrl-C among HARP's sessions" INT 130 "$T/out" '"schedule":"off"' $in_run harp --runs 1 --generate 30
stopped "SIGTERM in a run" TERM 143 "$T/out" bandwidth $in_run bandwidth,rows
if sh -c 'kill -HUP $$' 2> /dev/null; then echo "skipped: SIGHUP in a run: it is ignored here, as nohup does it"
else stopped "SIGHUP in a run" HUP 129 "$T/out" bandwidth $in_run bandwidth,prefill
fi

# ---- help ----
"$H" --help > "$T/out" 2> "$T/err"
[ $? = 0 ] && [ ! -s "$T/err" ] && head -1 "$T/out" | grep -q '^usage'
report "--help" $?
shapes=$("$H" --shape none 2>&1 | sed -n '1s/.*there are //p' | tr -d ,)
[ -n "$shapes" ]
status=$?
for shape in $shapes; do grep -q -e "$shape" "$T/out" || status=1; done
report "--help names all shapes" $status

echo "$passed passed, $failed failed"
[ $failed = 0 ]
