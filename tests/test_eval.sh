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

# ---- several questions at once: the same answers in the same order, and the same table ----
for i in 1 2 3 4 5 6 7 8 9 10; do
    who=$(echo Anna Ben Tom Sue Max | cut -d' ' -f$((i % 5 + 1)))
    where=$(echo park lake shop | cut -d' ' -f$((i % 3 + 1)))
    printf '{"article": "One day, %s went to the %s. It was a sunny day and Anna had %d balls.", ' $who $where $i
    printf '"highlights": "Anna was happy. They went home %d times."}\n' $i
done > "$T/many.jsonl"
several() { # several NAME TOGETHER OPTIONS...: answers to $T/NAME, those columns of the table that tell no cost, too
    name=$1 n=$2
    shift 2
    "$E" -m $M --draft-model $M --max-tokens 24 -t 1 --together "$n" --out "$T/$name.jsonl" --csv "$T/$name.csv" "$@" \
        > "$T/table" || echo failed
    sed 's/,"seconds":[^,}]*//; s/,"passes":[^,}]*//' "$T/$name.jsonl"
    cut -d, -f1-12,16 "$T/$name.csv"
}
all="vanilla,harp,beam,speculative,lookup,pause,nucleus,vote,vote-harp,branch --answers 3 --picks majority,probable"
cnn="--task cnn_dm --data $T/many.jsonl --methods $all --frames stream,stream:prompt,redraw,last"
gsm="--task gsm8k --data $T/gsm8k.jsonl --methods $all --shots 1"
for n in 1 3 8; do
    several cnn$n $n $cnn > "$T/cnn$n"
    several gsm$n $n $gsm > "$T/gsm$n"
done
[ "$(grep -c '"item"' "$T/cnn1")" = 220 ] && grep -q '"steps":24' "$T/cnn1" && grep -q '"right":0\.' "$T/cnn1"
report "together: there are answers" $?
for n in 3 8; do
    cmp -s "$T/cnn1" "$T/cnn$n" && cmp -s "$T/gsm1" "$T/gsm$n"
    report "together: $n" $?
done
several shots1 1 $cnn --shots 2 > "$T/shots1"
several shots8 8 $cnn --shots 2 > "$T/shots8"
[ "$(grep -c '"item"' "$T/shots1")" = 176 ] && cmp -s "$T/shots1" "$T/shots8"
report "together: from common examples" $?
several part 1 --task cnn_dm --data "$T/many.jsonl" --methods vanilla,nucleus --half 1 --limit 2 > "$T/part1"
several part 5 --task cnn_dm --data "$T/many.jsonl" --methods vanilla,nucleus --half 1 --limit 4 --resume > "$T/part5"
several halves 1 --task cnn_dm --data "$T/many.jsonl" --methods vanilla,nucleus --half 1 --limit 4 > "$T/halves"
cmp -s "$T/part5" "$T/halves"
report "together: what one at a time has begun" $?
sh tests/attentive.sh "$E" -m $M --task cnn_dm --data "$T/many.jsonl" --methods vanilla,harp --max-tokens 100 -t 1 \
    --out "$T/ci.jsonl" > "$T/table" 2> "$T/err" &
pid=$!
n=0
while ! grep -q '"item":0' "$T/ci.jsonl" 2> /dev/null && [ $n -lt 100 ]; do sleep 0.05; n=$((n + 1)); done
kill -INT $pid 2> /dev/null || true
wait $pid
status=$?
{ [ $status = 130 ] || [ $status = 0 ]; } && [ $(($(grep -c '"item"' "$T/ci.jsonl") % 2)) = 0 ]
report "together: interrupted, what was begun is answered by every method" $?

# ---- several answers to a question ----
# what one answer says and costs, whatever the method is called; of several, what is common to all
part() { # part METHOD FIELDS: of the records
    grep '"item"' "$T/votes.jsonl" | grep -F "\"method\":\"$1\"" | grep -o -E "\"(item|$2)\":[^,}]*"
}
votes="--task cnn_dm --data $T/many.jsonl --max-tokens 24 -t 1"
"$E" -m $M $votes --methods vanilla,vote,branch --answers 4 --top-ps 0.01,1 --temperatures 2 --forks 0,30 --out "$T/votes.jsonl" \
    > "$T/table"
[ "$(part vanilla 'right|peak')" = "$(part 'vote 4 T=2 p=0.01' 'right|peak')" ] && [ -n "$(part vanilla right)" ] \
    && [ "$(part vanilla steps | awk -F: '/steps/ { print 4 * $2 }')" = "$(part 'vote 4 T=2 p=0.01' steps | sed -n 's/"steps"://p')" ]
report "vote: of the most probable tokens all answers are the greedy one" $?
[ "$(part vanilla 'right|peak')" != "$(part 'vote 4 T=2 p=1' 'right|peak')" ]
report "vote: of all tokens they are not" $?
[ "$(part vanilla 'right|peak|rows|passes|steps|entropy')" = "$(part 'branch 4 at=30' 'right|peak|rows|passes|steps|entropy')" ]
report "branch: without hesitation it is the greedy answer, at its cost" $?
[ "$(part 'branch 4 at=0' answers | grep -c '"answers":4')" = 10 ] \
    && [ "$(part 'branch 4 at=30' answers | grep -c '"answers":1')" = 10 ]
report "branch: as many answers as there may be" $?
# the prompt is computed once, and the answers' passes are common ones; those of a fork are not counted twice
total() { part "$1" "$2" | awk -F: -v field="\"$2\"" '$1 == field { n += $2 } END { print n }'; } # total METHOD FIELD
steps=$(total vanilla steps)
[ "$(total vanilla rows)" -gt $((steps + 240)) ] \
    && [ $(($(total 'vote 4 T=2 p=0.01' rows) - $(total vanilla rows))) = $((3 * steps)) ]
report "vote: the prompt is computed once" $?
[ "$(part vanilla passes)" = "$(part 'vote 4 T=2 p=0.01' passes)" ]
report "vote: passes are common" $?
"$E" -m $M $votes --methods vote --answers 4 --temperatures 2 --top-ps 1 --seed 1 --out "$T/seed.jsonl" > "$T/table"
grep -o '"entropy":[^,]*' "$T/seed.jsonl" > "$T/seed" && [ "$(wc -l < "$T/seed")" = 10 ] \
    && [ "$(part 'vote 4 T=2 p=1' entropy | grep entropy)" != "$(cat "$T/seed")" ]
report "vote: draws by the seed" $?
named() { # named NAMES OPTIONS: the methods of the second are those that the first names
    names=$1
    shift
    "$E" -m $M $votes --limit 1 --methods "$names" | sed -n 's/^| \([a-z][^|]*[^ |]\) |.*/\1/p' | grep -v '^method$' > "$T/is"
    "$E" -m $M $votes --limit 1 "$@" | sed -n 's/^| \([a-z][^|]*[^ |]\) |.*/\1/p' | grep -v '^method$' > "$T/want"
    [ -s "$T/is" ] && cmp -s "$T/is" "$T/want" && [ "$(tr '\n' , < "$T/is")" = "$names," ]
    report "methods by name: $names" $?
}
named "vanilla,harp stream:prompt K=2 theta=2 delta=0.1 beta=0.7" --methods vanilla,harp --frames stream:prompt \
    --reframings 2 --thetas 2 --deltas 0.1 --betas 0.7
named "vote 3 weighted T=1 p=0.5 harp last K=4 rescaled,vote 3 probable T=1 p=0.5 harp last K=4 rescaled" \
    --methods vote-harp --answers 3 --picks weighted,probable --temperatures 1 --top-ps 0.5 --frames last --reframings 4 \
    --rescale
named "branch 2 logprob at=2,branch 2 logprob" --methods branch --answers 2 --picks logprob --forks 2,1
for name in "vote 8 T=0.7" "harp last" "vanilla 8"; do
    refused "method '$name'" 2 "is called" "$E" -m $M $votes --methods "$name"
done
for name in "harp last K=1 delta=2" "vote 8 lost" "vote 65" "branch 4 harp last K=1" "vote 8  T=1" "harp K=1,2"; do
    refused "method '$name'" 2 "methods: " "$E" -m $M $votes --methods "$name"
done
for how in auto lazy fused; do
    "$E" -m $M $votes --methods harp,vote-harp --answers 2 --frames last,stream --limit 3 --schedule $how \
        --out "$T/$how.jsonl" > "$T/table"
    plain "$T/$how.jsonl" | sed 's/,"rows":[^,}]*//' > "$T/$how"
done
[ -s "$T/auto" ] && cmp -s "$T/auto" "$T/lazy" && cmp -s "$T/auto" "$T/fused" && ! cmp -s "$T/lazy.jsonl" "$T/fused.jsonl"
report "--schedule changes what it costs alone" $?
refused "--schedule never" 2 "schedule" "$E" -m $M $votes --schedule never
refused "--answers 1" 2 "answers" "$E" -m $M $votes --methods vote --answers 1
refused "--answers 65" 2 "answers" "$E" -m $M $votes --methods vote --answers 65
refused "--temperatures 0" 2 "temperatures" "$E" -m $M $votes --methods vote --temperatures 0
refused "--picks best" 2 "there is no" "$E" -m $M $votes --methods vote --picks best
refused "vote where nothing is generated" 1 "nothing is generated" "$E" -m $M --task lambada \
    --data "$T/lambada.jsonl" --methods vote
refused "--together 0" 2 "together" "$E" -m $M $cnn --together 0
refused "--together 65" 2 "together" "$E" -m $M $cnn --together 65

# ---- tune ----
tuned() { # tuned NAME WANT OPTIONS...: what it recommends
    name=$1 want=$2
    shift 2
    "$E" -t 1 --task tune "$@" > "$T/table" && [ "$(sed -n 's/^Recommended: //p' "$T/table")" = "$want" ]
    report "tune: $name" $?
}
"$B/planted" 30 "$T/help.harp" "$T/help.txt" && "$B/planted" 0 "$T/harm.harp" "$T/harm.txt"
report "planted models" $?
tuned "finds the best settings" "harp last K=8 delta=0.3 beta=0.3" -m "$T/help.harp" --data "$T/help.txt" --limit 4 \
    --frames last --thetas 1 --recommendation "$T/help.json"
[ "$(grep -c '^| harp' "$T/table")" = 21 ] && grep -q 'the best of 19 settings' "$T/table" \
    && grep -q '^{"harp":1,"frame":"last","reframe_from":0,"reframings":8,"theta":1,"delta":0.3,"beta":0.3,' "$T/help.json"
report "tune: says how it chose, and writes it" $?
tuned "off, where HARP can only harm" "HARP off" -m "$T/harm.harp" --data "$T/harm.txt" --limit 4 --frames stream,last \
    --reframings 1,8 --recommendation "$T/harm.json"
grep -q '^{"harp":0,"evidence":"the best of ' "$T/harm.json"
report "tune: off is written, too" $?
tuned "questions without a right answer" "HARP off" -m $M --data "$T/gsm8k.jsonl" --frames last --reframings 1 --max-tokens 9 \
    --deltas 0.2
grep -q 'the best of 12 settings on the even questions of gsm8k.jsonl.* 2 odd ones: right, % 0.0000' "$T/table"
report "tune: questions" $?
stories=../shared/data/models
if [ -e $stories/stories3M-q80.bin ]; then
    "$B/harp-convert" $stories/stories3M-q80.bin "$T/stories3M.harp" --quiet --tokenizer $stories/tok4096.bin
    tuned "stories3M, one reframing" "HARP off" -m "$T/stories3M.harp" --data examples/demo/heldout.txt --limit 6 \
        --frames stream,last --reframings 1 --thetas 1 --betas 0.5
fi

# ---- all of it in one command, on few questions ----
for i in 1 5 5 378 2 401 3 276; do sed -n "${i}p" examples/demo/sums.jsonl; done > "$T/few.jsonl"
sh examples/eval/sums.sh "$B" examples/demo/sums.harp "$T/few.jsonl" "$T/sums" > "$T/table" 2> "$T/err"
[ $? = 0 ] && [ ! -s "$T/err" ] && [ "$(grep -c '^| \(vanilla\|beam\|nucleus\|lookup\|speculative\|pause\) ' "$T/table")" = 6 ] \
    && [ "$(grep -c '^| vote .* | 4 |' "$T/table")" -ge 6 ] && [ "$(grep -c '^| branch .* | 4 |' "$T/table")" = 4 ] \
    && grep -q '^| vote .*, by votes | ' "$T/table" && grep -q '"harp":0' "$T/sums/recommendation.json"
report "sums.sh: the whole table" $?
grep -q '</svg>' "$T/sums/table.svg" && grep -q '</svg>' "$T/sums/selective.svg" && grep -q '^Chosen: vote 8' "$T/sums/chosen.md" \
    && [ "$(wc -l < "$T/sums/table.csv")" -ge 19 ]
report "sums.sh: its files" $?
# Counted once more, without harp-eval: harp run answers the odd questions, and what stands after #### is right or not.
answered() { # answered OPTIONS...: 1 or 0 for each
    sed -n 'n;p' "$T/few.jsonl" | while IFS= read -r line; do
        question=$(printf '%s\n' "$line" | sed 's/^{"question": "\([^"]*\)".*/\1/')
        right=$(printf '%s\n' "$line" | sed 's/.*#### \([0-9]*\)".*/\1/')
        answer=$("$B/harp" run -m examples/demo/sums.harp -p "$(printf 'Question: %s\nAnswer:' "$question")" \
            --no-echo --temp 0 -n 96 -t 1 --seed 0 "$@" < /dev/null | sed -n 's/^#### //p')
        [ "$answer" = "$right" ] && echo 1 || echo 0
    done
}
answered --no-harp > "$T/vanilla"
counted() { # counted METHOD OPTIONS...: share of right answers, and questions won and lost, as the table has them
    method=$1
    shift
    answered "$@" > "$T/method"
    paste "$T/vanilla" "$T/method" | awk '{ right += $2; won += $2 > $1; lost += $1 > $2 }
        END { printf "%d %.6f %d %d\n", NR, right / NR, won, lost }' > "$T/counted"
    awk -F, -v method="\"$method\"" '$1 == method { print $2, $4, $10, $11 }' "$T/sums/table.csv" > "$T/in_table"
    [ -s "$T/in_table" ] && cmp "$T/counted" "$T/in_table"
    report "sums.sh: $method, counted once more" $?
}
counted vanilla --no-harp
counted "harp stream K=1" --paper --frame stream
counted "harp last K=1" --paper --frame last
counted "harp redraw K=1" --paper --frame redraw
[ "$(cat "$T/vanilla" "$T/method" | tr -d '\n')" = 10100111 ]
report "sums.sh: what is counted differs" $?
refused "--selective where nothing is generated" 2 "selective" "$E" -m $M --task csqa --data "$T/csqa.jsonl" \
    --selective "$T/s.svg"

# ---- what was found out goes into the model, and programs use it ----
C=$B/harp-convert
H=$B/harp
say() { "$H" run -p "abcd" -n 40 --temp 0 --trace "$T/trace" "$@" > "$T/said" && cat "$T/said" \
    && grep -o -E '"(harp|frame|theta|delta|beta|reframings|token|logprob|reframed|p)":[^,}]*' "$T/trace"; }
cp "$T/help.harp" "$T/with.harp"
"$C" --recommend "$T/help.json" "$T/with.harp" && "$C" --check "$T/with.harp" > "$T/out" && grep -q 'whole' "$T/out" \
    && "$H" info -m "$T/with.harp" > "$T/info" && "$H" info -m "$T/help.harp" > "$T/info0"
report "recommend: the file is whole" $?
grep -q '"recommended": "HARP with frame last, 8 reframings, theta 1, delta 0.3, beta 0.3"' "$T/info" \
    && grep -q '"recommend.evidence": "the best of 19' "$T/info" && grep -q '"recommended": "nothing' "$T/info0"
report "recommend: info shows it" $?
say -m "$T/with.harp" > "$T/is" && say -m "$T/help.harp" --frame last --reframings 8 --delta 0.3 --beta 0.3 > "$T/want" \
    && cmp -s "$T/is" "$T/want"
report "recommend: run uses it" $?
say -m "$T/help.harp" > "$T/plainly" && say -m "$T/with.harp" --paper > "$T/is" && cmp -s "$T/is" "$T/plainly" \
    && ! cmp -s "$T/is" "$T/want"
report "recommend: --paper" $?
say -m "$T/with.harp" --delta 0.1 > "$T/is" && say -m "$T/help.harp" --frame last --reframings 8 --delta 0.1 --beta 0.3 \
    > "$T/want" && cmp -s "$T/is" "$T/want"
report "recommend: an option over it" $?
cp "$T/with.harp" "$T/before.harp"
"$C" --recommend "$T/harm.json" "$T/with.harp" && [ "$("$H" info -m "$T/with.harp" | grep -c '"recommend\.')" = 2 ] \
    && say -m "$T/with.harp" > "$T/is" && say -m "$T/help.harp" --no-harp > "$T/want" && cmp -s "$T/is" "$T/want"
report "recommend: off, in place of what was there" $?
say -m "$T/with.harp" --delta 0.2 > "$T/is" && cmp -s "$T/is" "$T/plainly"
report "recommend: off, an option switches it on" $?
for bad in '{"harp":1,"delta":1.5}' '{"harp":2}' '{"harp":1,"frame":"lost"}' '{"harp":1,"reframings":65}' '{"harp":"1"}' \
    '{"harp":1,"delta":"0.2"}' '{"harp":1,"reframings":1.5}' '{"harp":1,"gamma":1}' '{"frame":"last"}' '[]' '{' \
    '{"harp":1,"harp":0}' '{"harp":1,"theta":1e31}' '{"harp":1,"rescale":2}'; do
    printf '%s' "$bad" > "$T/bad.json"
    cp "$T/before.harp" "$T/kept.harp"
    "$C" --recommend "$T/bad.json" "$T/kept.harp" > "$T/out" 2> "$T/err"
    [ $? = 1 ] && [ -s "$T/err" ] && cmp -s "$T/before.harp" "$T/kept.harp"
    report "recommend: $bad is refused" $?
done
cp "$T/before.harp" "$T/kept.harp"
at=$(($(wc -c < "$T/kept.harp") - 100))
printf 'damaged' | dd of="$T/kept.harp" bs=1 seek=$at conv=notrunc 2> /dev/null
cp "$T/kept.harp" "$T/damaged.harp"
refused "recommend: a damaged model" 1 "checksum of tensor" "$C" --recommend "$T/help.json" "$T/kept.harp"
cmp -s "$T/kept.harp" "$T/damaged.harp"
report "recommend: a damaged model stays as it is" $?
refused "recommend: no model" 2 "one file" "$C" --recommend "$T/help.json"
refused "recommend: not a model" 1 "help.txt" "$C" --recommend "$T/help.json" "$T/help.txt"
refused "tune: half" 2 "halves itself" "$E" -m $M --task tune --data "$T/short.txt" --half 1
refused "--recommendation without tune" 2 "tune" "$E" -m $M --task csqa --data "$T/csqa.jsonl" --recommendation "$T/r"
refused "--recommendation over the model" 2 "is to be read" "$E" -m "$T/help.harp" --task tune --data "$T/help.txt" \
    --recommendation "$T/help.harp"
printf 'Anna went to the park.' > "$T/tiny.txt"
"$E" -m $M --task tune --data "$T/tiny.txt" > "$T/out" 2> "$T/err"
[ $? = 1 ] && grep -q 'too short' "$T/err"
report "tune: too little text" $?

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
report "merge: lines taken out by a method's name" $?
head -12 "$T/a.jsonl" > "$T/more.jsonl"
"$E" -m $M --task csqa --data "$T/csqa.jsonl" --methods vanilla,harp -t 2 --limit 3 --deltas 0.1 --out "$T/more.jsonl" \
    --resume > "$T/table" && [ "$(grep -c '^| ' "$T/table")" = 7 ] \
    && [ "$(grep -c '"harp-eval":3' "$T/more.jsonl")" = 6 ]
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
sed 's/"harp-eval":3/"harp-eval":4/' "$T/a.jsonl" > "$T/cut.jsonl"
refused "merge: a newer format" 1 "format 4" "$E" --merge "$T/cut.jsonl"
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
