#!/bin/sh
# Does HARP help on this model? One command: sh examples/eval/helps.sh BUILD MODEL.harp TEXT [WINDOWS [THREADS]]
# Settings are chosen on the even windows of the text and reported on the odd ones, which the choice never saw. Prints
# two Markdown tables: every setting on the odd windows, and those that the even windows would have chosen.
B=${1:?build folder} MODEL=${2:?model} TEXT=${3:?text} N=${4:-24} THREADS=${5:-1}
measure() { "$B/harp-eval" -m "$MODEL" --task nexttoken --data "$TEXT" --limit "$N" -t "$THREADS" "$@"; }
W=$(mktemp -d) || exit 1
trap 'rm -rf "$W"' EXIT
GRID="--frames stream,stream:prompt,last --reframings 1,2,4,8 --deltas 0.05,0.1,0.2,0.3"

# best CSV: the method with the lowest likelihood loss, as options
best() {
    awk -F, 'NR > 1 && $1 ~ /harp/ && (m == "" || $8 < m) {m = $8; n = $1} END {gsub(/"/, "", n); print n}' "$1"
}
options_of() {
    printf '%s\n' "$1" | awk '{
        f = $2; k = 1; t = 1; d = 0.2; b = 0.5
        for (i = 3; i <= NF; i++) {
            split($i, v, "=")
            if (v[1] == "K") k = v[2]
            if (v[1] == "theta") t = v[2]
            if (v[1] == "delta") d = v[2]
            if (v[1] == "beta") b = v[2]
        }
        print "--frames " f " --reframings " k " --thetas " t " --deltas " d " --betas " b }'
}

measure --half 1 $GRID --out "$W/choose.jsonl" --csv "$W/choose.csv" > /dev/null || exit 1
first=$(best "$W/choose.csv")
set -- $(options_of "$first")
measure --half 1 --methods harp "$1" "$2" "$3" "$4" "$7" "$8" --thetas 1,2 --betas 0.5,0.7,0.9 \
    --csv "$W/refine.csv" > /dev/null || exit 1
second=$(best "$W/refine.csv")
measure --half 2 $GRID --out "$W/report.jsonl" > "$W/report.md" || exit 1
echo "Every setting, on the odd windows (theta 1, beta 0.5; delta 0.2 where none is named):"
echo
cat "$W/report.md"
echo
echo "Chosen on the even windows by likelihood: \`$first\`; with theta and beta free as well: \`$second\`."
echo "On the odd windows, with the paper's own settings and frame redraw:"
echo
measure --half 2 --methods harp $(options_of "$second") --out "$W/second.jsonl" > /dev/null || exit 1
measure --half 2 --frames redraw --out "$W/redraw.jsonl" > /dev/null || exit 1
grep -e '"vanilla"' -e '"harp stream K=1"' "$W/report.jsonl" > "$W/all.jsonl"
grep -F "\"$first\"" "$W/report.jsonl" >> "$W/all.jsonl"
cat "$W/second.jsonl" >> "$W/all.jsonl"
grep '"harp redraw' "$W/redraw.jsonl" >> "$W/all.jsonl"
"$B/harp-eval" --merge "$W/all.jsonl"
