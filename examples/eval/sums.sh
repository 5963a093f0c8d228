#!/bin/sh
# Does thinking twice pay? Every method side by side on questions whose answers are right or wrong, in one command:
#
#     sh examples/eval/sums.sh BUILD MODEL.harp QUESTIONS.jsonl FOLDER [LIMIT]
#
# QUESTIONS as gsm8k has them, asked without examples. The settings of HARP, of voting and of branching are chosen on
# the even questions; all methods are then compared, once, on the odd ones, which the choice never saw. LIMIT questions
# of each half at most. FOLDER gets
#     chosen.md                    the tables of the choice
#     table.md table.csv table.svg   the comparison
#     selective.md selective.svg   what is right among the surest
#     recommendation.json          for harp-convert --recommend
# HARP's second passes are computed where the model hesitates alone (--schedule lazy), the cheapest way for a model that
# fits into a cache. Two processes of one thread each share the work. Each question is answered alone (--together 1), so
# that times are what one who asks would wait. All figures but the times come out the same wherever it runs; seed 0.
B=${1:?build folder} MODEL=${2:?model} DATA=${3:?questions} OUT=${4:?folder} LIMIT=${5:-1000000}
QUARTER=$(((LIMIT + 1) / 2)) # each process has half of a half
mkdir -p "$OUT" || exit 1
W=$(mktemp -d) || exit 1
trap 'rm -rf "$W"' EXIT
evaluate() { "$B/harp-eval" -m "$MODEL" --data "$DATA" --shots 0 -t 1 --max-tokens "${MAX_TOKENS:-96}" \
    --schedule lazy "$@"; }

# compare HALF NAME OPTIONS...: methods on half of the questions, by two processes; records go to $W/NAME.K.jsonl. Each
# question is put to all methods in turn, so that what else the machine does hits all alike. Of the items, half 1 has
# the numbers 0 and 2 modulo 4, half 2 has 1 and 3.
compare() {
    half=$1 name=$2
    shift 2
    evaluate --task gsm8k --half $half --shard $((half - 1))/4 --limit $QUARTER --together 1 \
        --out "$W/$name.0.jsonl" "$@" > "$W/said" &
    evaluate --task gsm8k --half $half --shard $((half + 1))/4 --limit $QUARTER --together 1 \
        --out "$W/$name.1.jsonl" "$@" > "$W/said2" || exit 1
    wait $! || exit 1
}

# best CSV METHOD: the method whose name begins so with the best score, of equals the one with the fewest passes
best() {
    awk -F, -v begin="\"$2" 'NR > 1 && index($1, begin) == 1 && (n == "" || $4 > s || ($4 == s && $14 < p)) {
        s = $4; p = $14; n = $1 } END { gsub(/"/, "", n); print n }' "$1"
}

# ---- the choice ----
evaluate --task tune --limit "$LIMIT" --recommendation "$OUT/recommendation.json" > "$W/tune.md" &
tune=$!
compare 1 choose --methods vanilla,vote,branch --answers 8 --temperatures 0.4,0.7,1 --forks 0.3,1,2 \
    --picks majority,weighted,probable
"$B/harp-eval" --merge "$W"/choose.?.jsonl --csv "$W/choose.csv" > "$W/choose.md" || exit 1
wait $tune || exit 1
vote=$(best "$W/choose.csv" vote) branch=$(best "$W/choose.csv" branch)
harp=$(sed -n 's/^Because: .* is \(harp [^;]*\); on .*/\1/p' "$W/tune.md")
[ -n "$harp" ] && [ -n "$vote" ] && [ -n "$branch" ] || exit 1
{
    echo "Voting and branching, on the even questions:"
    echo
    cat "$W/choose.md"
    echo
    echo "Chosen: $vote; $branch; $harp."
    echo
    cat "$W/tune.md"
} > "$OUT/chosen.md"

# ---- the comparison ----
methods="vanilla,beam,nucleus,lookup,speculative,pause,harp stream K=1,harp last K=1,harp redraw K=1"
case ",$methods," in
*",$harp,"*) ;; # the paper's settings are the best
*) methods="$methods,$harp" ;;
esac
drawn=${vote#vote 8} # as chosen, and by plain majority
plainly=$(printf '%s\n' "$drawn" | sed -e 's/ weighted//' -e 's/ probable//')
for n in 4 8 16; do
    methods="$methods,vote $n$plainly"
    [ "$drawn" = "$plainly" ] || methods="$methods,vote $n$drawn"
done
for n in 4 8 16; do methods="$methods,vote $n$drawn $harp"; done
for n in 2 4 8 16; do methods="$methods,branch $n${branch#branch 8}"; done
compare 2 report --methods "$methods" --draft-model "$MODEL"
set -- "$W/report.0.jsonl" "$W/report.1.jsonl"
"$B/harp-eval" --merge "$@" --csv "$OUT/table.csv" > "$OUT/table.md" || exit 1
# pause answers hardly anything (its tokens are unknown to the model), and would squeeze all others into a line
cat "$@" | grep -v '"method":"pause"' > "$W/drawn.jsonl"
"$B/harp-eval" --merge "$W/drawn.jsonl" --svg "$OUT/table.svg" > "$W/said" || exit 1
cat "$@" | grep -E '"method":"(vanilla|vote (4|8|16)( T=[0-9.]*)?|branch 8[^"]*)"' > "$W/few.jsonl"
grep -E '"method":"(vanilla|vote 8[^"]*)"' "$W/few.jsonl" > "$W/drawn.jsonl"
"$B/harp-eval" --merge "$W/drawn.jsonl" --selective "$OUT/selective.svg" > "$W/said" || exit 1
"$B/harp-eval" --merge "$W/few.jsonl" --selective "$W/all.svg" > "$W/few.md" || exit 1
sed -n '/^Right, /,$p' "$W/few.md" > "$OUT/selective.md"
cat "$OUT/table.md"
echo
cat "$OUT/selective.md"
