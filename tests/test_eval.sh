#!/bin/sh
# harp-eval and harp view from end to end: sh tests/test_eval.sh BUILD_FOLDER. Ends with "N passed, N failed".
B=${1:?build folder}
M=examples/demo/demo.harp
E=$B/harp-eval
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
passed=0 failed=0

report() { # report NAME STATUS: status 0 passes
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED  $1"; fi
}
refused() { # refused NAME STATUS WORDS COMMAND...
    name=$1 want=$2 words=$3
    shift 3
    "$@" > "$T/out" 2> "$T/err"
    [ $? = "$want" ] && [ ! -s "$T/out" ] && grep -q "$words" "$T/err"
    report "$name" $?
}
# what a record says without what it took
plain() { sed 's/,"seconds":[^,}]*//; s/,"passes":[^,}]*//' "$1" | sort; }

for i in 1 2 3 4 5 6; do
    echo "{\"answerKey\": \"B\", \"question\": {\"choices\": [{\"label\": \"A\", \"text\": \"a ball\"}, {\"label\": \"B\", \"text\": \"a kite\"}], \"stem\": \"What did Anna lose $i times?\"}}"
done > "$T/csqa.jsonl"
for i in 1 2 3 4; do
    printf '{"question": "Anna has %d balls and gets 2. How many has she?", "answer": "%d + 2 = %d\\n#### %d"}\n' $i $i $((i + 2)) $((i + 2))
done > "$T/gsm8k.jsonl"
echo '{"text": "One day, Anna went to the park. She lost the red ball. They found the red ball"}' > "$T/lambada.jsonl"
echo '{"article": "Anna lost a kite. Ben found it.", "highlights": "Ben found the kite."}' > "$T/cnn.jsonl"

# ---- every task runs, every method that goes with it ----
"$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods vanilla,harp,pause --frames stream,last,redraw -t 1 \
    --out "$T/a.jsonl" > "$T/table" && [ "$(grep -c '^| ' "$T/table")" = 6 ] && [ "$(wc -l < "$T/a.jsonl")" = 30 ]
report "csqa" $?
"$E" -m $M --task gsm8k --data "$T/gsm8k.jsonl" --shots 1 --max-tokens 12 -t 1 --draft-model $M \
    --methods vanilla,harp,beam,speculative,lookup,pause,nucleus --csv "$T/t.csv" --svg "$T/t.svg" > "$T/table"
[ $? = 0 ] && [ "$(grep -c '^| ' "$T/table")" = 8 ] && [ "$(wc -l < "$T/t.csv")" = 8 ] && grep -q '</svg>' "$T/t.svg"
report "gsm8k" $?
"$E" -m $M --task lambada --data "$T/lambada.jsonl" -t 1 > "$T/table" && grep -q "perplexity" "$T/table"
report "lambada" $?
"$E" -m $M --task cnn_dm --data "$T/cnn.jsonl" --methods vanilla,beam --max-tokens 8 -t 1 > "$T/table"
report "cnn_dm" $?
"$E" -m $M --task calibrate --data examples/demo/heldout.txt --methods vanilla --limit 2 -t 1 > "$T/table" \
    && grep -q "theta" "$T/table"
report "calibrate" $?

# ---- a window's likelihood is that which harp score tells ----
"$E" -m $M --task nexttoken --data examples/demo/heldout.txt --methods vanilla --window 64 --limit 1 -t 1 --csv "$T/t.csv" \
    > /dev/null
$B/harp tokenize -m $M --file examples/demo/heldout.txt | tr -d '[] ' | cut -d, -f1-65 > "$T/ids"
$B/harp score -m $M --tokens-file "$T/ids" | awk -F'"logprob":' 'NR > 16 && NR < 65 {s -= $2; n++} END {printf "%.5f %d\n", s / n, n}' > "$T/want"
awk -F, 'NR == 2 {printf "%.5f %d\n", $8, $3}' "$T/t.csv" > "$T/is"
cmp -s "$T/want" "$T/is"
report "likelihood as harp score says" $?

# ---- going on, in parts ----
head -7 "$T/a.jsonl" > "$T/b.jsonl"
printf '{"task":"csqa","meth' >> "$T/b.jsonl" # killed while writing
"$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods vanilla,harp,pause --frames stream,last,redraw -t 1 \
    --out "$T/b.jsonl" --resume > "$T/table"
plain "$T/a.jsonl" > "$T/plain_a"
plain "$T/b.jsonl" > "$T/plain_b"
cmp -s "$T/plain_a" "$T/plain_b"
report "resume" $?
for i in 0 1 2; do
    "$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods vanilla,harp,pause --frames stream,last,redraw -t 1 \
        --shard $i/3 --out "$T/s$i.jsonl" > "$T/table"
done
cat "$T/s0.jsonl" "$T/s1.jsonl" "$T/s2.jsonl" > "$T/s.jsonl"
plain "$T/s.jsonl" > "$T/plain_s"
cmp -s "$T/plain_a" "$T/plain_s"
report "shards" $?
"$E" --merge "$T/s0.jsonl" "$T/s1.jsonl" "$T/s2.jsonl" | cut -d'|' -f2-6 > "$T/merged"
"$E" --merge "$T/a.jsonl" | cut -d'|' -f2-6 > "$T/whole"
[ -s "$T/whole" ] && sort "$T/merged" > "$T/x" && sort "$T/whole" | cmp -s - "$T/x"
report "merge" $?
"$E" -m $M --task nexttoken --data examples/demo/heldout.txt --limit 100000 -t 1 --out "$T/i.jsonl" > "$T/table" 2> "$T/err" &
pid=$!
n=0
while [ ! -s "$T/i.jsonl" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
kill -INT $pid 2> /dev/null || true
wait $pid
[ $? = 0 ] || [ "$(wc -l < "$T/i.jsonl")" -gt 0 ]
report "interrupted: the file is kept" $?

# ---- what is wrong is said ----
refused "no task" 2 "needed" "$E" -m $M --data x
refused "unknown method" 2 "there is no" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods sing
refused "a method that does not go with the task" 1 "nothing is generated" "$E" -m $M --task lambada --data "$T/lambada.jsonl" --methods beam
refused "no draft model" 1 "draft-model" "$E" -m $M --task gsm8k --data "$T/gsm8k.jsonl" --methods speculative
printf '{"text": "a b"}\n{"text": "a\n' > "$T/bad.jsonl"
refused "broken JSON, with its line" 1 "line 2" "$E" -m $M --task lambada --data "$T/bad.jsonl"
head -c 200000 /dev/zero | tr '\0' '[' > "$T/deep.json"
refused "deep JSON" 1 "nested" "$E" -m $M --task arc --data "$T/deep.json"
refused "a model without tokenizer" 1 "no tokenizer" "$E" -m tests/fixtures/llama_gqa/model.harp --task ppl --data examples/demo/heldout.txt
refused "results of another kind" 1 "line 1" "$E" --merge "$T/csqa.jsonl"

# ---- decoders on the command line ----
H=$B/harp
"$H" run -m $M --tokens 1,2,3 -n 20 > "$T/greedy"
"$H" run -m $M --tokens 1,2,3 -n 20 --decoder lookup > "$T/lookup" && cmp -s "$T/greedy" "$T/lookup"
report "run --decoder lookup" $?
"$H" run -m $M --tokens 1,2,3 -n 20 --decoder speculative --draft-model $M > "$T/drafted" && cmp -s "$T/greedy" "$T/drafted"
report "run --decoder speculative" $?
"$H" run -m $M -p "One day, Anna" -n 20 --decoder beam > "$T/beam" && [ "$(wc -c < "$T/beam")" -gt 20 ]
report "run --decoder beam" $?
"$H" run -m $M -p "One day, Anna" -n 5 --decoder pause --pause-token " the" > "$T/pause"
report "run --decoder pause" $?
refused "speculative without a draft model" 2 "draft-model" "$H" run -m $M --tokens 1 --decoder speculative

# ---- the page ----
"$H" run -m $M -p "One day, Anna" -n 10 --trace "$T/t.jsonl" > /dev/null
echo '{"text":"</script><img src=x>"}' >> "$T/t.jsonl"
"$H" view "$T/t.jsonl" > "$T/page.html" && ! grep -q '<img' "$T/page.html" && [ "$(grep -c '</script>' "$T/page.html")" = 2 ]
report "view: the trace is no markup" $?
echo 'step' > "$T/no.jsonl"
refused "view: no trace" 1 "line 1" "$H" view "$T/no.jsonl"
printf '%d passed, %d failed\n' $passed $failed
exit $failed
