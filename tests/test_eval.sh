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
    printf '{"answerKey": "B", "question": {"choices": [{"label": "A", "text": "a ball"}, '
    printf '{"label": "B", "text": "a kite"}], "stem": "What did Anna lose %s times?"}}\n' $i
done > "$T/csqa.jsonl"
for i in 1 2 3 4; do
    printf '{"question": "Anna has %d balls and gets 2. How many has she?", "answer": "%d + 2 = %d\\n#### %d"}\n' \
        $i $i $((i + 2)) $((i + 2))
done > "$T/gsm8k.jsonl"
echo '{"text": "One day, Anna went to the park. She lost the red ball. They found the red ball"}' > "$T/lambada.jsonl"
echo '{"article": "Anna lost a kite. Ben found it.", "highlights": "Ben found the kite."}' > "$T/cnn.jsonl"

# ---- every task runs, every method that goes with it ----
"$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods vanilla,harp,pause --frames stream,last,redraw -t 1 \
    --out "$T/a.jsonl" > "$T/table" && [ "$(grep -c '^| ' "$T/table")" = 6 ] && [ "$(wc -l < "$T/a.jsonl")" = 35 ]
report "csqa" $?
"$E" -m $M --task gsm8k --data "$T/gsm8k.jsonl" --shots 1 --max-tokens 12 -t 1 --draft-model $M \
    --methods vanilla,harp,beam,speculative,lookup,pause,nucleus --csv "$T/t.csv" --svg "$T/t.svg" > "$T/table"
[ $? = 0 ] && [ "$(grep -c '^| ' "$T/table")" = 8 ] && [ "$(wc -l < "$T/t.csv")" = 8 ] && grep -q '</svg>' "$T/t.svg"
report "gsm8k" $?
"$E" -m $M --task lambada --data "$T/lambada.jsonl" -t 1 > "$T/table" && grep -q "perplexity" "$T/table"
report "lambada" $?
"$E" -m $M --task ppl --data examples/demo/heldout.txt --methods vanilla --limit 2 -t 1 > "$T/table"
[ $? = 0 ] && awk -F'|' '/^[|] method/ { named = $5 ~ /perplexity/ && $6 ~ /NLL/ }
    /^[|] vanilla/ { d = $5 - exp($6); right = $4 == 384 && d < 0.01 && d > -0.01 } END { exit !(named && right) }' "$T/table" \
    && grep -q "perplexity = exp(NLL); .* Windows of 256 tokens" "$T/table" && grep -q "overlap by 64,.* 65 to 256" "$T/table"
report "ppl: perplexity, and how it is computed" $?
"$E" -m $M --task cnn_dm --data "$T/cnn.jsonl" --methods vanilla,beam --max-tokens 8 -t 1 > "$T/table"
report "cnn_dm" $?
"$E" -m $M --task calibrate --data examples/demo/heldout.txt --methods vanilla --limit 2 -t 1 > "$T/table" \
    && grep -q "theta" "$T/table"
report "calibrate" $?
head -c 3000 examples/demo/heldout.txt > "$T/short.txt"
n=$("$B/harp" tokenize -m $M --file "$T/short.txt" | tr -cd , | wc -c)
"$E" -m $M --task calibrate --data "$T/short.txt" -t 1 > "$T/table" \
    && [ "$(sed -n 's/.*share of \([0-9]*\) positions.*/\1/p' "$T/table")" -le "$n" ]
report "calibrate: each position counts once" $?
"$E" -m $M --task csqa --data "$T/csqa.jsonl" --thetas 1.0000001,1.0000002,1 --limit 2 -t 1 > "$T/table" \
    && [ "$(grep -c '^| harp' "$T/table")" = 3 ]
report "names tell methods apart" $?
for i in 0 1; do
    "$E" -m $M --task cnn_dm --data "$T/cnn.jsonl" --methods nucleus --max-tokens 40 --seed $i -t 1 --csv "$T/t.csv" \
        > "$T/table"
    cut -d, -f4 "$T/t.csv" > "$T/seed$i"
done
[ "$(wc -l < "$T/seed0")" = 2 ] && ! cmp -s "$T/seed0" "$T/seed1"
report "nucleus draws by the seed" $?

# ---- a window's likelihood is that which harp score tells ----
"$E" -m $M --task nexttoken --data examples/demo/heldout.txt --methods vanilla --window 64 --limit 1 -t 1 \
    --csv "$T/t.csv" \
    > /dev/null
$B/harp tokenize -m $M --file examples/demo/heldout.txt | tr -d '[] ' | cut -d, -f1-65 > "$T/ids"
$B/harp score -m $M --tokens-file "$T/ids" \
    | awk -F'"logprob":' 'NR > 16 && NR < 65 {s -= $2; n++} END {printf "%.5f %d\n", s / n, n}' > "$T/want"
awk -F, 'NR == 2 {printf "%.5f %d\n", $8, $3}' "$T/t.csv" > "$T/is"
cmp -s "$T/want" "$T/is"
report "likelihood as harp score says" $?

# ---- going on, in parts ----
all="-m $M --task csqa --methods vanilla,harp,pause --frames stream,last,redraw -t 1"
head -12 "$T/a.jsonl" > "$T/b.jsonl"
printf '{"key":"0123","meth' >> "$T/b.jsonl" # killed while writing
"$E" $all --data "$T/csqa.jsonl" --out "$T/b.jsonl" --resume > "$T/table"
plain "$T/a.jsonl" > "$T/plain_a"
plain "$T/b.jsonl" > "$T/plain_b"
cmp -s "$T/plain_a" "$T/plain_b"
report "resume" $?
for i in 0 1 2; do "$E" $all --data "$T/csqa.jsonl" --shard $i/3 --out "$T/s$i.jsonl" > "$T/table"; done
cat "$T/s0.jsonl" "$T/s1.jsonl" "$T/s2.jsonl" > "$T/s.jsonl"
plain "$T/s.jsonl" | sort -u > "$T/plain_s"
cmp -s "$T/plain_a" "$T/plain_s"
report "shards" $?
"$E" --merge "$T/a.jsonl" | cut -d'|' -f2-6 | sort > "$T/whole"
for form in "$T/s.jsonl" "$T/s2.jsonl $T/s0.jsonl $T/s1.jsonl"; do
    "$E" --merge $form | cut -d'|' -f2-6 | sort > "$T/merged"
    [ -s "$T/whole" ] && cmp -s "$T/merged" "$T/whole"
    report "merge" $?
done
grep -e '"vanilla"' "$T/a.jsonl" > "$T/part.jsonl"
"$E" --merge "$T/part.jsonl" "$T/s1.jsonl" | grep -q '^| vanilla .*| 6 |'
report "merge: lines taken out by a method's name, as helps.sh does" $?
head -12 "$T/a.jsonl" > "$T/more.jsonl"
"$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods vanilla,harp -t 2 --limit 3 --deltas 0.1 --out "$T/more.jsonl" \
    --resume > "$T/table" && [ "$(grep -c '^| ' "$T/table")" = 7 ] \
    && [ "$(grep -c '"harp-eval":2' "$T/more.jsonl")" = 6 ]
report "resume: with another method, and what changes no answer" $?

# ---- another run's answers are refused, by the name of the setting, and stay as they are ----
other() { # other NAME SETTING OPTIONS...: resume with other options
    what=$1 setting=$2
    shift 2
    cp "$T/kept.jsonl" "$T/other.jsonl"
    refused "resume: another $what" 1 "setting $setting is" "$E" "$@" --out "$T/other.jsonl" --resume
    cmp -s "$T/kept.jsonl" "$T/other.jsonl"
    report "resume: another $what, the file is kept" $?
}
# another model: the name in its metadata changed, and the checksum of its head
cp $M "$T/other.harp"
at=$(LC_ALL=C grep -abo 'harp demo' $M | head -1 | cut -d: -f1)
printf 'harp dem2' | dd of="$T/other.harp" bs=1 seek="$at" conv=notrunc 2> /dev/null
end=$(od -An -tu4 -j56 -N4 $M | tr -d ' ')
{ head -c 12 "$T/other.harp"; printf '\000\000\000\000'; head -c "$end" "$T/other.harp" | tail -c +17; } | gzip -c |
    tail -c 8 | head -c 4 | dd of="$T/other.harp" bs=1 seek=12 conv=notrunc 2> /dev/null
$B/harp info -m "$T/other.harp" | grep -q 'harp dem2'
report "another model" $?
sed 's/kite/boat/g' "$T/csqa.jsonl" > "$T/csqa2.jsonl"
head -1 "$T/csqa.jsonl" > "$T/shots.jsonl"
csqa="--task csqa --methods vanilla,pause -t 1 --limit 1"
"$E" -m $M $csqa --data "$T/csqa.jsonl" --out "$T/kept.jsonl" > "$T/table"
other model model -m "$T/other.harp" $csqa --data "$T/csqa.jsonl"
other "file of data" data -m $M $csqa --data "$T/csqa2.jsonl"
other "number of examples" shots -m $M $csqa --data "$T/csqa.jsonl" --shots 1
other context context -m $M $csqa --data "$T/csqa.jsonl" -c 300
other seed seed -m $M $csqa --data "$T/csqa.jsonl" --seed 1
other half half -m $M $csqa --data "$T/csqa.jsonl" --half 2
other task task -m $M --task arc --data "$T/csqa.jsonl" --methods vanilla --limit 1 -t 1
other pause pause-count -m $M $csqa --data "$T/csqa.jsonl" --pause-count 3
other "pause token" pause-token -m $M $csqa --data "$T/csqa.jsonl" --pause-token " the"
rm "$T/kept.jsonl"
"$E" -m $M $csqa --data "$T/csqa.jsonl" --shots 1 --shots-data "$T/shots.jsonl" --out "$T/kept.jsonl" > "$T/table"
other "file of examples" shots-data -m $M $csqa --data "$T/csqa.jsonl" --shots 1 --shots-data "$T/csqa2.jsonl"
rm "$T/kept.jsonl"
text="--task nexttoken --data examples/demo/heldout.txt --limit 1 -t 1 --methods vanilla"
"$E" -m $M $text --window 32 --out "$T/kept.jsonl" > "$T/table"
other window window -m $M $text --window 64
rm "$T/kept.jsonl"
draft="-m $M --task gsm8k --data $T/gsm8k.jsonl --shots 1 -t 1 --limit 1 --methods speculative"
"$E" $draft --max-tokens 4 --draft-model $M --out "$T/kept.jsonl" > "$T/table"
other "draft model" draft-model $draft --max-tokens 4 --draft-model "$T/other.harp"
other "length" max-tokens $draft --max-tokens 5 --draft-model $M
refused "merge: of another run" 1 "setting task is" "$E" --merge "$T/a.jsonl" "$T/kept.jsonl"
"$E" -m "$T/other.harp" --task csqa --methods vanilla -t 1 --shard 1/3 --data "$T/csqa.jsonl" --out "$T/foreign.jsonl" \
    > "$T/table"
refused "merge: a part of another model" 1 "setting model is" "$E" --merge "$T/s0.jsonl" "$T/foreign.jsonl"
sed '/harp-eval/d' "$T/a.jsonl" > "$T/cut.jsonl"
refused "merge: no settings" 1 "do not stand before it" "$E" --merge "$T/cut.jsonl"
sed 's/"seed":0/"seed":7/' "$T/a.jsonl" > "$T/cut.jsonl"
refused "merge: settings that somebody changed" 1 "do not fit their key" "$E" --merge "$T/cut.jsonl"
sed 's/"harp-eval":2/"harp-eval":3/' "$T/a.jsonl" > "$T/cut.jsonl"
refused "merge: a newer format" 1 "format 3" "$E" --merge "$T/cut.jsonl"
grep '"item":0' "$T/a.jsonl" | sed -e 's/"right":1/"right":0/' -e t -e 's/"trials":1/&,"right":1/' > "$T/x"
cat "$T/a.jsonl" "$T/x" > "$T/cut.jsonl"
refused "merge: answers that contradict each other" 1 "contradicts" "$E" --merge "$T/cut.jsonl"
echo '{"task":"csqa","method":"vanilla","item":0,"trials":1,"right":1}' > "$T/kept.jsonl"
refused "merge: results of an older harp-eval" 1 "older harp-eval" "$E" --merge "$T/kept.jsonl"
cp "$T/kept.jsonl" "$T/other.jsonl"
refused "resume: results of an older harp-eval" 1 "older harp-eval" "$E" -m $M $csqa --data "$T/csqa.jsonl" \
    --out "$T/other.jsonl" --resume
cmp -s "$T/kept.jsonl" "$T/other.jsonl"
report "resume: results of an older harp-eval are kept" $?

# ---- nothing is lost ----
cp "$T/a.jsonl" "$T/kept.jsonl"
refused "out: a file of results is not written over" 1 "resume" "$E" $all --data "$T/csqa.jsonl" --out "$T/kept.jsonl"
cmp -s "$T/a.jsonl" "$T/kept.jsonl"
report "out: it is kept" $?
: > "$T/empty.jsonl"
"$E" $all --data "$T/csqa.jsonl" --limit 1 --out "$T/empty.jsonl" > "$T/table" && [ -s "$T/empty.jsonl" ]
report "out: an empty file is no file of results" $?
printf 'a line without an end' > "$T/letter.txt"
cp "$T/letter.txt" "$T/kept.txt"
refused "resume: a file of another kind" 1 "line 1" "$E" $all --data "$T/csqa.jsonl" --out "$T/kept.txt" --resume
cmp -s "$T/letter.txt" "$T/kept.txt"
report "resume: a file of another kind is kept" $?
# a disk that is full: no file may grow beyond 4 blocks, the results have more
{ cat "$T/a.jsonl"; printf '{"key":"0123","meth'; } > "$T/kept.jsonl"
cp "$T/kept.jsonl" "$T/full.jsonl"
(ulimit -f 4; "$E" $all --data "$T/csqa.jsonl" --out "$T/full.jsonl" --resume) > "$T/out" 2> "$T/err"
[ $? = 1 ] && [ "$(wc -c < "$T/kept.jsonl")" -gt 4096 ] && cmp -s "$T/kept.jsonl" "$T/full.jsonl" \
    && ! ls "$T" | grep -q '\.part$'
report "resume: a full disk loses nothing" $?
cp "$T/csqa.jsonl" "$T/data.jsonl"
for option in --out --csv --svg; do
    refused "$option over the data" 2 "is to be read" "$E" $all --data "$T/data.jsonl" $option "$T/data.jsonl"
done
refused "two tables in one file" 2 "written twice" "$E" $all --data "$T/data.jsonl" --csv "$T/new" --svg "$T/new"
cmp -s "$T/csqa.jsonl" "$T/data.jsonl"
report "the data are kept" $?
cp "$T/a.jsonl" "$T/data.jsonl"
refused "--csv over what is merged" 2 "is to be read" "$E" --merge "$T/data.jsonl" --csv "$T/data.jsonl"
sh tests/attentive.sh "$E" -m $M --task nexttoken --data examples/demo/heldout.txt -t 1 --out "$T/i.jsonl" > "$T/table" 2> "$T/err" &
pid=$!
n=0
while ! grep -q '"item":1' "$T/i.jsonl" 2> /dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
kill -INT $pid 2> /dev/null || true
wait $pid
[ $? = 130 ] && grep -q '^| vanilla' "$T/table" && grep -q -- '--resume' "$T/err" \
    && "$E" --merge "$T/i.jsonl" > "$T/merged"
report "interrupted: 130, the table, a whole file" $?

# ---- what is wrong is said ----
refused "no task" 2 "needed" "$E" -m $M --data x
refused "unknown method" 2 "there is no" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods sing
for value in 1.5 1e300 nan 0 65 -1 1,x 1, ''; do
    refused "--reframings '$value'" 2 "reframings" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --reframings "$value"
done
refused "--deltas 1.5" 2 "deltas" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --deltas 1.5
refused "--thetas inf" 2 "thetas" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --thetas inf
refused "--seed none" 2 "seed" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --seed none
refused "--seed too large" 2 "seed" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --seed 18446744073709551616
for value in 3/3 1/2x 1 -1/2 1/0 99999999999/3; do
    refused "--shard $value" 2 "shard" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --shard $value
done
refused "a method twice" 2 "twice" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods vanilla,harp,vanilla
refused "a file that no option takes" 2 "merge" "$E" -m $M --task csqa --data "$T/csqa.jsonl" "$T/a.jsonl"
refused "too few examples" 1 "too few" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --shots 6
calibrate="--task calibrate --data $T/short.txt"
refused "calibrate: HARP" 1 "plain model" "$E" -m $M $calibrate --methods vanilla,harp
refused "calibrate: no file of results" 2 "calibrate" "$E" -m $M $calibrate --out "$T/c.jsonl"
refused "a method that does not go with the task" 1 "nothing is generated" "$E" -m $M --task lambada \
    --data "$T/lambada.jsonl" --methods beam
refused "no draft model" 1 "draft-model" "$E" -m $M --task gsm8k --data "$T/gsm8k.jsonl" --shots 1 --methods speculative
printf '{"text": "a b"}\n{"text": "a\n' > "$T/bad.jsonl"
refused "broken JSON, with its line" 1 "line 2" "$E" -m $M --task lambada --data "$T/bad.jsonl"
head -c 200000 /dev/zero | tr '\0' '[' > "$T/deep.json"
refused "deep JSON" 1 "nested" "$E" -m $M --task arc --data "$T/deep.json"
refused "a model without tokenizer" 1 "no tokenizer" "$E" -m tests/fixtures/llama_gqa/model.harp --task ppl \
    --data examples/demo/heldout.txt
refused "results of another kind" 1 "line 1" "$E" --merge "$T/csqa.jsonl"
printf '{"text": "a b"}\n{"text": "\033]0;a name\007"\n' > "$T/bad.jsonl"
refused "an escape sequence in a file" 1 "line 2" "$E" -m $M --task lambada --data "$T/bad.jsonl"
"$E" -m $M --task lambada --data "$(printf 'no\033[31m\302\233file')" > "$T/out" 2> "$T/err"
[ $? = 1 ] && grep -q 'file' "$T/err" && ! LC_ALL=C grep -q "$(printf '[\033\233]')" "$T/err"
report "no escape sequence reaches the terminal" $?

# ---- decoders on the command line ----
H=$B/harp
"$H" run -m $M --tokens 1,2,3 -n 20 > "$T/greedy"
"$H" run -m $M --tokens 1,2,3 -n 20 --decoder lookup > "$T/lookup" && cmp -s "$T/greedy" "$T/lookup"
report "run --decoder lookup" $?
"$H" run -m $M --tokens 1,2,3 -n 20 --decoder speculative --draft-model $M > "$T/drafted" \
    && cmp -s "$T/greedy" "$T/drafted"
report "run --decoder speculative" $?
"$H" run -m $M -p "One day, Anna" -n 20 --decoder beam > "$T/beam" && [ "$(wc -c < "$T/beam")" -gt 20 ]
report "run --decoder beam" $?
"$H" run -m $M -p "One day, Anna" -n 5 --decoder pause --pause-token " the" > "$T/pause"
report "run --decoder pause" $?
refused "speculative without a draft model" 2 "draft-model" "$H" run -m $M --tokens 1 --decoder speculative

# ---- the page ----
"$H" run -m $M -p "One day, Anna" -n 10 --trace "$T/t.jsonl" > /dev/null
echo '{"text":"</script><img src=x>"}' >> "$T/t.jsonl"
"$H" view "$T/t.jsonl" > "$T/page.html" && ! grep -q '<img' "$T/page.html" \
    && [ "$(grep -c '</script>' "$T/page.html")" = 2 ]
report "view: the trace is no markup" $?
echo 'step' > "$T/no.jsonl"
refused "view: no trace" 1 "line 1" "$H" view "$T/no.jsonl"
printf '%d passed, %d failed\n' $passed $failed
exit $failed
