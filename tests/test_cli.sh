#!/bin/sh
# The command line from end to end: sh tests/test_cli.sh BUILD_FOLDER MODEL.harp
# What needs a tokenizer, a chat format or python3 is skipped where there is none. Ends with "N passed, N failed, N
# skipped".
B=${1:?build folder} M=${2:?model}
H=$B/harp
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
passed=0 failed=0 skipped=0
unset NO_COLOR

report() { # report NAME STATUS: status 0 passes
    if [ "$2" = 0 ]; then passed=$((passed + 1)); echo "ok      $1"
    else failed=$((failed + 1)); echo "FAILED  $1"; fi
}

skip() { skipped=$((skipped + 1)); echo "skipped $1"; }

# fails NAME STATUS COMMAND...: the exit status, nothing on stdout, and for status 1 exactly one line on stderr
fails() {
    name=$1 want=$2
    shift 2
    "$@" > "$T/out" 2> "$T/err" < /dev/null
    got=$?
    lines=$(wc -l < "$T/err")
    [ $got = "$want" ] && [ ! -s "$T/out" ] && if [ "$want" = 1 ]; then [ "$lines" = 1 ]; else [ "$lines" -gt 1 ]; fi
    report "$name" $?
}

same() { # same NAME FILE FILE: equal and not empty
    [ -s "$2" ] && cmp -s "$2" "$3"
    report "$1" $?
}

json_lines() { # json_lines FILE: each line is a JSON object
    python3 -c '
import json, sys
for line in open(sys.argv[1], "rb"): assert isinstance(json.loads(line.decode("utf-8")), dict)' "$1"
}

# says NAME WORDS COMMAND...: a failure, nothing on stdout, and one line on stderr that holds the words
says() {
    name=$1 words=$2
    shift 2
    "$@" > "$T/out" 2> "$T/err" < /dev/null
    [ $? = 1 ] && [ ! -s "$T/out" ] && [ "$(wc -l < "$T/err")" = 1 ] && grep -qF -- "$words" "$T/err"
    report "$name" $?
}

# unwritable NAME COMMAND...: where the output cannot be written, that is the one thing said
unwritable() {
    name="full disk: $1"
    shift
    "$@" > /dev/full 2> "$T/err" < /dev/null
    [ $? = 1 ] && [ "$(wc -l < "$T/err")" = 1 ] && grep -q "could not be written" "$T/err"
    report "$name" $?
}

# wait_for FILE: until something is in it, ten seconds at most
wait_for() {
    n=0
    while [ ! -s "$1" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
}

# interrupt STATUS PID: Ctrl-C; the program must end with this status, and soon
interrupt() {
    kill -INT "$2"
    (sleep 20; kill -KILL "$2") > /dev/null 2>&1 & guard=$! # without our output, which would stay open for it
    wait "$2" 2> /dev/null
    [ $? = "$1" ]
    ended=$?
    kill $guard 2> /dev/null
    return $ended
}

# before a command in the background that Ctrl-C is to reach
attentive="sh tests/attentive.sh"

# on_terminal COMMAND...: what it writes there
on_terminal() {
    python3 -c '
import os, pty, sys
pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
try:
    while True: sys.stdout.buffer.write(os.read(fd, 65536) or sys.exit())
except OSError: pass' "$@"
}

# typing STATUS COMMAND... < SCRIPT: a person at a terminal (tests/terminal.py); $T/shown is what was seen
typing() {
    want=$1
    shift
    python3 tests/terminal.py "$@" > "$T/shown" 2> "$T/err"
    got=$?
    [ $got = "$want" ] || { echo "status $got, shown:" && cat -v "$T/shown" "$T/err" && false; }
}

# harmless FILE: UTF-8 without control characters, but for ends of lines and tabs
harmless() {
    python3 -c '
import sys, unicodedata
text = open(sys.argv[1], "rb").read().decode("utf-8")
assert text and not [c for c in text if unicodedata.category(c) == "Cc" and c not in "\r\n\t"]' "$1"
}

# terminal_chat: a chat of someone who types
terminal_chat() {
    if [ $have_python = 0 ] || ! python3 -c 'import pty, termios' 2> /dev/null; then skip "chat on a terminal: no python3 with pty"; return; fi
    TERM=xterm && export TERM
    on="harp chat -m $M -n 20 --temp 0 --color never"
    PATH=$B:$PATH
    cat > "$T/script" <<'EOF'
wait /help
wait [?2004h
send helxx\x7f\x7flo\x1b[D\x1b[D\x1b[3~\x1b[1~say \x05\r
wait [?2004l
wait [?2004h
send \x1b[200~Anna went\nto the sea.\r\nAnd then?\x1b[201~\r
wait [?2004l
wait [?2004h
send thrown away
wait away
send \x03
wait > 
send \xe4\xbd\xa0\xe5\xa5\xbd\x7f\x1b[A\x1b[A\x1b[B\x1b[B!\r
wait [?2004l
wait [?2004h
EOF
    (cat "$T/script" && printf 'send /save %s\\r\nwait saved to\nwait > \nsend \\x04\n' "$T/typed.json") | typing 0 $on
    report "chat on a terminal: Ctrl-D ends it" $?
    printf '%s\n' 'say helo' 'Anna went\nto the sea.\nAnd then?' '你!' > "$T/a1"
    sed -n 's/.*"role": "user", "content": "\(.*\)"}.*/\1/p' "$T/typed.json" > "$T/b1"
    same "chat on a terminal: keys, a paste of three lines as one message, history" "$T/a1" "$T/b1"
    { printf 'say helo\nAnna went\\\nto the sea.\\\nAnd then?\n你!\n'; } | "$H" chat -m "$M" -n 20 --temp 0 2> "$T/err" \
        | grep . > "$T/a1"
    tr -d '\r' < "$T/shown" | grep -v '> \|^\. \|^/help\|saved to' | sed 's/.*2004l//' | grep . > "$T/b1"
    same "chat on a terminal: the answers are those of a pipe" "$T/a1" "$T/b1"
    printf 'wait > \nsend \\x03\nwait (Ctrl-C once more\nwait > \nsend x\\x7f\\x03\n' | typing 0 $on
    report "chat on a terminal: Ctrl-C twice at an empty prompt ends it" $?
    printf 'wait > \nsend \\x03\nwait (Ctrl-C once more\nwait > \nsend /stats\\r\nwait memory\nwait > \nsend \\x03\nwait (Ctrl-C\nwait > \nsend \\x04\n' \
        | typing 0 $on
    report "chat on a terminal: what is typed in between counts" $?
    printf 'wait > \nsend Once\\r\nwait 2004l\nwait a\nsend \\x03\nwait 2004h\nsend /stats\\r\nwait tokens hesitated\nwait > \nsend \\x04\n' \
        | typing 0 $on -n -1 --frame redraw --reframings 64 --theta -1 -c 512 --stop '---'
    report "chat on a terminal: Ctrl-C stops the answer, not the chat" $?
    # the terminal is as it was, whatever ended the chat
    for end in 'send /exit\r' 'send \x04' 'kill 15'; do
        printf 'wait 2004h\n%s\nwait status\n' "$end" | typing 0 sh -c "trap : TERM; $on; echo status; stty -a" \
            && [ "$(tr ' \r' '\n\n' < "$T/shown" | grep -c -x 'icanon\|echo\|isig')" = 3 ]
        report "chat on a terminal: it is given back after: $end" $?
    done
    printf 'wait > \nsend ab\nwait ab\nsend \\x1a\nwait stopped\nwait > ab\nsend c\\r\nwait 2004l\nwait 2004h\nsend /save %s\\r\nwait saved\nwait > \nsend \\x04\n' \
        "$T/typed.json" | typing 0 sh -c "set -m; $on; echo stopped; fg" && grep -q '"user", "content": "abc"' "$T/typed.json"
    report "chat on a terminal: Ctrl-Z suspends it, and it goes on with what was typed" $?
    printf 'wait > \nsend hel\\x7f\\x7fello\\n\nwait > \nsend \\x04\n' | TERM=dumb typing 0 $on && ! grep -q 2004 "$T/shown"
    report "chat on a terminal that is dumb: lines" $?
    printf 'wait > \nsend \\x03\nwait (Ctrl-C\nwait > \nsend \\x03\n' | TERM=dumb typing 0 $on
    report "chat on a terminal that is dumb: Ctrl-C twice ends it" $?
}

have_python=0
command -v python3 > /dev/null 2>&1 && have_python=1
ids=1,2,3,4,5

# ---- wrong usage: status 2, with help ----
fails "no command" 2 "$H"
fails "unknown command" 2 "$H" sing
fails "no model" 2 "$H" run --tokens 1
fails "unknown option" 2 "$H" run -m "$M" --loud
fails "option of another command" 2 "$H" info -m "$M" --temp 1
fails "missing value" 2 "$H" run -m "$M" --tokens
fails "two inputs" 2 "$H" run -m "$M" --tokens 1 -p x
fails "score without input" 2 "$H" score -m "$M"
fails "flag with a value" 2 "$H" run -m "$M" --no-harp=1
fails "stop with token ids" 2 "$H" run -m "$M" --tokens 1 --stop x
fails "empty stop" 2 "$H" run -m "$M" -p x --stop ""
fails "unknown isa" 1 "$H" run -m "$M" --tokens 1 --isa z80
fails "masks of several reframings" 2 "$H" run -m "$M" --tokens 1 --replay-masks x --reframings 2
fails "masks with frame last" 2 "$H" run -m "$M" --tokens 1 --replay-masks x --frame last
fails "view without a trace" 2 "$H" view
fails "view of an empty name" 2 "$H" view ""
fails "view of two traces" 2 "$H" view a b
fails "view with an option of others" 2 "$H" view -m "$M" a
fails "colours of token ids" 2 "$H" run -m "$M" --tokens 1 --color always
fails "a draft model for another decoder" 2 "$H" run -m "$M" --tokens 1 --draft-model "$M"
fails "a stop text with a zero byte" 2 "$H" run -m "$M" -p x -e --stop 'a\x00b'
fails "a stop text that is empty but for its escapes" 2 "$H" run -m "$M" -p x -e --stop '\x00'
for empty in --trace --replay-masks --tokens-file --isa --model --file; do
    fails "empty name: $empty" 2 "$H" run -m "$M" --tokens 1 $empty ""
done
for bad in "-n 1x" "-n -2" "-n 99999999999" "--temp nan" "--temp inf" "--temp 1e99" "--temp 1e300" \
    "--theta 1e400" "--theta 1e30" "--temp ." "--temp -1" "--temp 0x1" "--top-p 1.1" \
    "--top-k 1.5" "--seed -1" "--seed 18446744073709551616" "--delta 2" "--beta -0.1" "--reframings 0" "--frame new" \
    "--schedule never" "--measure mood" "--reframe-from -1" "-t -1" "-c -1" "--act f16" "--cache f64" \
    "--repeat-penalty 0" \
    "--color maybe"; do
    fails "refused: $bad" 2 "$H" run -m "$M" --tokens 1 $bad
done
for bad in "1,,2" "1,2," "a" "[1,2" "1]" "-1" "1;2" "99999999999" "[1] 2"; do
    fails "refused: --tokens $bad" 2 "$H" run -m "$M" "--tokens=$bad"
done

# ---- failures: status 1, one line ----
fails "no such model" 1 "$H" run -m "$T/none.harp" --tokens 1
head -c 100 "$M" > "$T/cut.harp"
fails "cut model" 1 "$H" info -m "$T/cut.harp"
: > "$T/empty"
fails "empty model" 1 "$H" info -m "$T/empty"
fails "token beyond the vocabulary" 1 "$H" run -m "$M" --tokens 2147483647
fails "no such tokens file" 1 "$H" run -m "$M" --tokens-file "$T/none"
fails "empty tokens file" 1 "$H" run -m "$M" --tokens-file "$T/empty"
fails "no such mask file" 1 "$H" run -m "$M" --tokens 1 --replay-masks "$T/none"
fails "empty mask file" 1 "$H" run -m "$M" --tokens 1 --replay-masks "$T/empty"
says "prompt longer than the context" \
    "the prompt has 5 tokens, and the context holds 3: -c" "$H" run -m "$M" --tokens $ids -c 3
says "text longer than the context" \
    "the text has 5 tokens, and the context holds 3: -c" "$H" score -m "$M" --tokens $ids -c 3
awk 'BEGIN { for (i = 0; i < 750; i++) printf "%s%d", i ? "," : "", i % 250 + 1 }' > "$T/many_ids"
for c in run score; do
    says "$c: longer than the model can" \
        "750 tokens, and this model's context holds" "$H" $c -m "$M" --tokens-file "$T/many_ids"
done
says "pauses beyond the context" "--pause-count make 4101 tokens" "$H" run -m "$M" --tokens $ids --decoder pause \
    --pause-token 1 --pause-count 4096
says "pause token beyond the vocabulary" "out of range" "$H" run -m "$M" --tokens 1 --decoder pause --pause-token 99999
says "pause token that is no number" "is not a token id" "$H" run -m "$M" --tokens 1 --decoder pause \
    --pause-token 99999999999
fails "context longer than the model's" 1 "$H" run -m "$M" --tokens 1 -c 99999999
fails "trace that cannot be written" 1 "$H" run -m "$M" --tokens 1 --trace "$T/none/t"
fails "logits that cannot be written" 1 "$H" score -m "$M" --tokens 1 --logits "$T/none/l"
if [ -c /dev/zero ]; then
    says "token ids without an end" "larger than" "$H" run -m "$M" --tokens-file /dev/zero
    says "masks without an end" "larger than" "$H" run -m "$M" --tokens 1 --replay-masks /dev/zero
fi
if [ -c /dev/full ]; then
    echo '{"token":1}' > "$T/step"
    for c in --help --version "run --help" "view $T/step" "run -m $M --tokens 1 -n 3" \
        "score -m $M --tokens 1" "info -m $M"; do
        unwritable "$c" "$H" $c
    done
    "$H" run -m "$M" --tokens 1 -n 200 --trace /dev/full > "$T/out" 2> "$T/err"
    [ $? = 1 ] && [ "$(cat "$T/err")" = "harp: /dev/full: could not be written" ] \
        && [ "$(tr -cd , < "$T/out" | wc -c)" -lt 10 ]
    report "a trace that cannot be written ends the run at once" $?
    "$H" score -m "$M" --tokens 1 --logits /dev/full > "$T/out" 2> "$T/err"
    [ $? = 1 ] && grep -q '/dev/full: could not be written' "$T/err"
    report "full disk: logits" $?
fi

# ---- a file that is read is not overwritten ----
cp "$M" "$T/own.harp" && ln -s own.harp "$T/link"
echo 1 > "$T/own_ids"
says "a trace over the model" "is read" "$H" run -m "$T/own.harp" --tokens 1 --trace "$T/link"
says "a trace over the tokens" "is read" "$H" run -m "$M" --tokens-file "$T/own_ids" --trace "$T/own_ids"
says "logits over the model" "is read" "$H" score -m "$T/link" --tokens 1 --logits "$T/own.harp"
cmp -s "$M" "$T/own.harp" && [ "$(cat "$T/own_ids")" = 1 ]
report "they are as they were" $?

# ---- messages cannot control a terminal ----
evil=$(printf 'x\033[2J\233y\302\233')
for c in "info -m" "run -m $M --tokens 1 --trace $T/none/" "view" "run" ""; do
    "$H" $c "$evil" > "$T/out" 2> "$T/err"
    [ $have_python = 1 ] || { skip "harmless message: $c" && continue; }
    harmless "$T/err"
    report "harmless message: $c" $?
done

# ---- help ----
for c in run chat score tokenize info; do
    "$H" $c --help > "$T/help" 2> "$T/err" && [ -s "$T/help" ] && [ ! -s "$T/err" ] && grep -q -- "--model" "$T/help"
    report "help of $c" $?
done
"$H" view --help > "$T/help" 2> "$T/err" && grep -q "usage: harp view TRACE" "$T/help" && [ ! -s "$T/err" ]
report "help of view" $?
for c in run chat score tokenize info view; do
    "$H" help $c > "$T/help" 2> "$T/err" && "$H" $c --help | cmp -s - "$T/help" && [ ! -s "$T/err" ]
    report "help $c" $?
done
"$H" help chat | grep -q '^  /save FILE ' && "$H" help chat | grep -q Ctrl-C
report "help chat: its commands and keys" $?
fails "help of no command" 2 "$H" help sing
fails "help of two commands" 2 "$H" help run chat
"$H" help > "$T/b" && "$H" --help > "$T/help"
same "help" "$T/help" "$T/b"
for c in run chat score tokenize info view; do
    grep -q "^  harp $c " "$T/help"
    report "overview: $c" $?
done
"$H" --version | grep -Eq '^harp [0-9]+\.[0-9]+\.[0-9]+$'
report "version" $?

# ---- info ----
"$H" info -m "$M" > "$T/info" 2> "$T/err"
report "info" $?
grep -q '"checksums": "ok"' "$T/info"
report "checksums" $?
number() { sed -n "s/^  \"$1\": \\([0-9-]*\\),*\$/\\1/p" "$T/info"; }
vocab=$(number vocab) hidden=$(number hidden)
if [ $have_python = 1 ]; then python3 -m json.tool < "$T/info" > /dev/null; report "info is JSON" $?
else skip "info is JSON"
fi
size=$(wc -c < "$M")
head -c $((size - 100)) "$M" > "$T/damaged.harp"
printf 'damaged' >> "$T/damaged.harp"
tail -c 93 "$M" >> "$T/damaged.harp"
"$H" info -m "$T/damaged.harp" > "$T/out" 2> "$T/err"
report "damaged weights" $(($? != 1))
"$H" info -m "$M" -c 16 --frame last --no-harp --act f32 --cache int8 > "$T/out"
report "info with session options" $?

# ---- run --tokens ----
# with the paper's settings, whatever the model's file recommends
run() { "$H" run --paper -m "$M" --tokens $ids -n 24 "$@" 2> "$T/err"; }
run > "$T/a"
report "run --tokens" $?
grep -Eq '^\[[0-9]+(, [0-9]+){23}\]$' "$T/a" && [ "$(wc -l < "$T/a")" = 1 ]
report "a JSON array of 24 ids on one line" $?
run > "$T/b"
same "greedy twice" "$T/a" "$T/b"
echo "[$ids]" > "$T/ids"
"$H" run --paper -m "$M" --tokens-file "$T/ids" -n 24 > "$T/b"
same "--tokens-file" "$T/a" "$T/b"
"$H" run --paper -m "$M" --tokens "1 2, 3 4 5" -n 24 > "$T/b"
same "ids with blanks" "$T/a" "$T/b"
run --temp=0 --isa c -t 1 > "$T/b"
same "--name=value, --isa c" "$T/a" "$T/b"
run -t 3 > "$T/b"
same "three threads" "$T/a" "$T/b"
for frame in stream last; do
    for k in 1 3; do
        run --frame $frame --reframings $k --schedule lazy > "$T/a1"
        run --frame $frame --reframings $k --schedule fused > "$T/b1"
        same "fused = lazy, frame $frame, $k reframings" "$T/a1" "$T/b1"
    done
done
run --frame redraw > "$T/b"
report "frame redraw" $?
run --no-harp > "$T/plain"
report "--no-harp" $?
run --theta 1000 > "$T/b"
same "theta 1000 = no HARP" "$T/plain" "$T/b"
run --beta 1 --theta -1 > "$T/b"
same "beta 1 = no HARP" "$T/plain" "$T/b"
run --delta 0 --theta -1 > "$T/b"
same "delta 0 = no HARP" "$T/plain" "$T/b"
run --reframe-from 1000000 --theta -1 > "$T/b"
same "nothing to reframe = no HARP" "$T/plain" "$T/b"
run --temp 1 --seed 7 > "$T/a1"
run --temp 1 --seed 7 > "$T/b1"
same "a seed reproduces" "$T/a1" "$T/b1"
run --temp 2 --top-k 0 --top-p 1 --min-p 0 --seed 1 > "$T/a1"
run --temp 2 --top-k 0 --top-p 1 --min-p 0 -s 2 > "$T/b1"
! cmp -s "$T/a1" "$T/b1"
report "another seed, another text" $?
run --temp 2 --top-k 1 > "$T/a1"
same "top-k 1 = greedy" "$T/a" "$T/a1"
for options in "--act f32" "--cache f32" "--cache int8" "--reframe-from prompt" "--rescale" \
    "--measure maxprob --theta 0.5" "--measure margin --theta 0.5" "--measure varentropy" \
    "--repeat-penalty 1.3 --repeat-last-n 8" "--top-p 0.5 --temp 1" \
    "--min-p 0.2 --temp 1" "-c 64" "--ignore-eos"; do
    run $options | grep -q '^\['
    report "run $options" $?
done
"$H" run -m "$M" --tokens $ids -n -1 -c 32 > "$T/out" 2> "$T/err" && [ "$(tr -cd , < "$T/out" | wc -c)" = 26 ] \
    && grep -q 'context of 32' "$T/err"
report "-n -1 fills the context and says so" $?
run --stats > "$T/out" && grep -q 'hesitated' "$T/err" && grep -q 'memory' "$T/err"
report "--stats" $?
run --stats --decoder beam --no-harp > "$T/out" && grep -q '^speed .* found, in [0-9]' "$T/err"
report "--stats of a search" $?
"$H" run -m "$M" --tokens $ids -n 0 > "$T/out" && [ "$(cat "$T/out")" = "[]" ]
report "-n 0" $?

# ---- trace ----
run --trace "$T/trace" > "$T/b"
same "a trace changes nothing" "$T/a" "$T/b"
[ "$(wc -l < "$T/trace")" = 24 ]
report "one trace line a token" $?
if [ $have_python = 1 ]; then
    python3 - "$T/trace" "$T/a" <<'PY'
import json, sys
steps = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert [s["token"] for s in steps] == json.load(open(sys.argv[2]))
for i, s in enumerate(steps):
    assert s["position"] == 5 + i and s["seconds"] >= 0 and isinstance(s["text"], str)
    assert s["hesitated"] == (s["entropy"] > 1.0)
    assert s["top"][0]["token"] == s["token"] and s["top_vanilla"][0]["token"] == s["vanilla_token"]
    assert len(s["top"]) == len(s["top_vanilla"]) == 5
    assert not s["hesitated"] or len(s["top_reframed"]) == 5
    assert all(0 <= t["p"] <= 1 for t in s["top"]) and s["top"][0]["p"] >= s["top"][4]["p"]
PY
    report "trace: content" $?
else
    skip "trace: content"
fi

run -n 2 --seed 18446744073709551615 --trace "$T/b1" > "$T/b" && grep -q '"seed":"18446744073709551615"' "$T/b1"
report "trace: the seed to the digit" $?

# ---- Ctrl-C; steps that redraw are slow enough to be interrupted ----
steps() { grep -c '^{"position"\|>{"position"' "$1"; } # of a page
slow="-n -1 --frame redraw --reframings 64 --theta -1"
$attentive "$H" run -m "$M" --tokens $ids $slow --stats --trace "$T/cut" > "$T/b" 2> "$T/err" & pid=$!
wait_for "$T/cut"
interrupt 130 $pid
report "Ctrl-C: status 130" $?
n=$(wc -l < "$T/cut")
[ "$n" -gt 0 ] && [ "$(grep -c '^{"position":.*}$' "$T/cut")" = "$n" ] && [ -z "$(tail -c 1 "$T/cut" | tr -d '\n')" ]
report "Ctrl-C: the trace is whole" $?
[ "$(tr ',' '\n' < "$T/b" | grep -c '[0-9]')" = "$n" ] && grep -q '^\[.*\]$' "$T/b"
report "Ctrl-C: the tokens so far are shown" $?
grep -q '^harp .* hesitated' "$T/err" && ! grep -q '^harp:' "$T/err"
report "Ctrl-C: statistics, and no complaint" $?
"$H" view "$T/cut" > "$T/page" && [ "$(steps "$T/page")" = "$n" ]
report "Ctrl-C: view shows the trace" $?
(trap '' INT; exec "$H" run -m "$M" --tokens $ids $slow --trace "$T/ignored" > "$T/b" 2> "$T/err") & pid=$!
wait_for "$T/ignored"
kill -INT $pid
n=$(wc -l < "$T/ignored") i=0
while [ "$(wc -l < "$T/ignored")" -le $((n + 1)) ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
kill -0 $pid 2> /dev/null && [ "$(wc -l < "$T/ignored")" -gt $((n + 1)) ]
report "Ctrl-C: ignored where it was when the program started" $?
kill -TERM $pid && wait $pid 2> /dev/null

# ---- a trace that was cut off ----
bytes=$(wc -c < "$T/trace")
head -c $((bytes - 40)) "$T/trace" > "$T/cut"
"$H" view "$T/cut" > "$T/page" 2> "$T/err" && [ "$(steps "$T/page")" = 23 ] && [ "$(wc -l < "$T/err")" = 1 ] \
    && grep -q "line 24: this last step is cut off" "$T/err"
report "view: a last line that is cut off is left out" $?
bad=0
for n in 2 20 60 200 400; do # inside of braces and texts, too
    head -c $((bytes - n)) "$T/trace" > "$T/cut"
    "$H" view "$T/cut" > "$T/page" 2> "$T/err" && [ "$(steps "$T/page")" = 23 ] || bad=1
done
report "view: cut off anywhere" $bad
head -c $((bytes - 1)) "$T/trace" > "$T/cut"
"$H" view - < "$T/cut" > "$T/page" 2> "$T/err" && [ "$(steps "$T/page")" = 24 ] && [ ! -s "$T/err" ]
report "view: only the last end of line is missing" $?
(head -c 300 "$T/trace" && echo && cat "$T/trace") > "$T/cut"
says "view: a line in the middle is cut off" "line 1: this step of the trace is cut off" "$H" view "$T/cut"
head -c 300 "$T/trace" > "$T/cut"
says "view: nothing but a cut line" "no whole steps" "$H" view "$T/cut"
printf '{"text":"\033[2J\302\233\233\177","more":\t1}\n' > "$T/evil"
"$H" view "$T/evil" > "$T/page" && grep -q '>{"text":"\\u001b\[2J\\u009b\\ufffd\\u007f","more":	1}' "$T/page"
report "view: control characters are escaped" $?
if [ $have_python = 1 ]; then # a text of the metadata, changed in place
    python3 - "$M" "$T/evil.harp" <<'PY'
import struct, sys, zlib
image = bytearray(open(sys.argv[1], "rb").read())
size, at, n, tensors, bytes_, table, data = struct.unpack_from("<QQIIQQQ", image, 16)
for _ in range(n):
    kind, key, size = struct.unpack_from("<IIQ", image, at)
    value = (at + 16 + key + 1 + 7) // 8 * 8
    if image[at + 16:at + 16 + key] == b"name":
        image[value:value + size] = (b"\x1b[2J\x9b\xc2\x9b" + b"x" * size)[:size]
    at = (value + size + (kind == 3) + 7) // 8 * 8
struct.pack_into("<I", image, 12, 0)
struct.pack_into("<I", image, 12, zlib.crc32(bytes(image[:data])))
open(sys.argv[2], "wb").write(image)
PY
    "$H" info -m "$T/evil.harp" > "$T/b" && harmless "$T/b" && grep -q '"name": "\\u001b\[2J\\ufffd\\u009b' "$T/b"
    report "info: control characters are escaped" $?
else
    skip "info: control characters are escaped"
fi

# ---- masks ----
if [ $((hidden % 8)) = 0 ]; then
    row=$((hidden / 8))
    head -c $((row * 40)) /dev/zero | tr '\0' '\377' > "$T/keep"
    run --replay-masks "$T/keep" --theta -1 > "$T/b"
    same "masks that keep all = no HARP, stream" "$T/plain" "$T/b"
    blocks=0 n=5
    while [ $n -lt 29 ]; do blocks=$((blocks + n)) n=$((n + 1)); done
    head -c $((row * blocks)) /dev/zero | tr '\0' '\377' > "$T/keep"
    run --replay-masks "$T/keep" --theta -1 --frame redraw > "$T/b"
    same "masks that keep all = no HARP, redraw" "$T/plain" "$T/b"
    head -c $((row * (blocks - 1))) "$T/keep" > "$T/short"
    fails "masks used up, redraw" 1 "$H" run -m "$M" --tokens $ids -n 24 --theta -1 --frame redraw \
        --replay-masks "$T/short"
    head -c $((row * 8)) "$T/keep" > "$T/short"
    fails "masks used up, stream" 1 "$H" run -m "$M" --tokens $ids -n 24 --theta -1 --replay-masks "$T/short"
    head -c $((row * 8 - 1)) "$T/keep" > "$T/short"
    fails "mask file of an odd size" 1 "$H" run -m "$M" --tokens $ids --replay-masks "$T/short"
else
    skip "masks: hidden size is no multiple of 8"
fi

# ---- score ----
"$H" score -m "$M" --tokens $ids --logits "$T/logits" > "$T/score"
report "score" $?
[ "$(wc -l < "$T/score")" = 5 ] && tail -1 "$T/score" | grep -q '"logprob":null'
report "a line a position, the last without logprob" $?
[ "$(wc -c < "$T/logits")" = $((5 * vocab * 4)) ]
report "size of the logits" $?
if [ $have_python = 1 ]; then
    python3 - "$T/logits" "$T/score" "$vocab" <<'PY'
import json, math, struct, sys
vocab = int(sys.argv[3])
raw = open(sys.argv[1], "rb").read()
rows = [struct.unpack_from("<%df" % vocab, raw, 4 * vocab * i) for i in range(len(raw) // (4 * vocab))]
for i, line in enumerate(open(sys.argv[2])):
    s = json.loads(line)
    top = max(rows[i])
    total = sum(math.exp(x - top) for x in rows[i])
    p = [math.exp(x - top) / total for x in rows[i]]
    assert s["position"] == i and s["token"] == i + 1
    assert abs(s["entropy"] + sum(q * math.log2(q) for q in p if q > 0)) < 1e-4
    if s["logprob"] is not None: assert abs(s["logprob"] - (rows[i][s["token"] + 1] - top - math.log(total))) < 1e-4
PY
    report "score: entropy and logprob follow from the logits" $?
else
    skip "score: entropy and logprob follow from the logits"
fi
"$H" score -m "$M" --tokens $ids --text > "$T/b"
if [ $have_python = 1 ]; then
    python3 - "$T/score" "$T/b" <<'PY'
import json, math, sys
steps = [json.loads(line) for line in open(sys.argv[1])]
rows = [line.split() for line in open(sys.argv[2], encoding="utf-8")]
total = sum(s["logprob"] for s in steps[:-1])
assert rows[0] == ["position", "token", "entropy", "logprob", "text"] and len(rows) == 9
for i, row in enumerate(rows[1:5]):
    assert int(row[0]) == i + 1 and int(row[1]) == i + 2
    assert abs(float(row[2]) - steps[i]["entropy"]) < 1e-3 and abs(float(row[3]) - steps[i]["logprob"]) < 1e-4
assert rows[5][:5] == ["scored", "4", "of", "5", "tokens:"]
assert abs(float(rows[6][2]) - total) < 1e-3 and abs(float(rows[6][4]) - total / math.log(2)) < 1e-3
assert abs(float(rows[7][2]) - total / 4) < 1e-3
assert abs(float(rows[7][5]) - sum(s["entropy"] for s in steps[:-1]) / 4) < 1e-3
assert abs(float(rows[8][1]) / math.exp(-total / 4) - 1) < 1e-4
PY
    report "score --text: a table, totals and perplexity" $?
else
    skip "score --text: a table, totals and perplexity"
fi
"$H" score -m "$M" --tokens 1 --text > "$T/b" && grep -q '^scored *0 of 1 tokens' "$T/b" && ! grep -q perplexity "$T/b"
report "score --text of a single token" $?
"$H" score -m "$M" --tokens $ids -t 2 --act int8 --cache f16 > "$T/b"
same "score with two threads" "$T/score" "$T/b"

# ---- pipes ----
(run -n 200 | head -1 > "$T/out"; : > "$T/done") & pipe=$!
n=0
while [ ! -e "$T/done" ] && [ $n -lt 60 ]; do sleep 1; n=$((n + 1)); done
[ -e "$T/done" ] || kill $pipe
[ -s "$T/out" ] && [ -e "$T/done" ]
report "run | head -1 ends" $?
echo "$ids" | "$H" run --paper -m "$M" --tokens-file - -n 24 > "$T/b"
same "token ids from standard input" "$T/a" "$T/b"

# ---- text ----
if grep -q '"tokenizer": "none"' "$T/info"; then
    for c in "run -p x" run "run -p x --stop y" "run -p x --color always" "run -p x --decoder beam" "score -p x" \
        "tokenize -p x" "tokenize --decode 1" chat "run --tokens 1 --decoder pause --pause-token x" \
        "run --tokens 1 --decoder pause"; do
        says "no tokenizer: $c" "takes token ids only" "$H" $c -m "$M"
    done
    skip "text: this model has no tokenizer"
else
    n=0
    for text in "Once upon a time" "héllo wörld — 你好 🙂" "  two  spaces" "tab	end" "line
line" "trailing " "<s></s>"; do
        n=$((n + 1))
        list=$("$H" tokenize -m "$M" --no-bos -p "$text")
        printf '%s' "$text" > "$T/a1"
        "$H" tokenize -m "$M" --decode "$list" > "$T/b1"
        same "round trip $n" "$T/a1" "$T/b1"
        "$H" tokenize -m "$M" --no-bos --file "$T/a1" > "$T/b1"
        [ "$list" = "$(cat "$T/b1")" ]
        report "tokenize --file $n" $?
        printf '%s' "$text" | "$H" tokenize -m "$M" --no-bos -f - | cmp -s - "$T/b1"
        report "tokenize -f - $n" $?
    done
    [ "$("$H" tokenize -m "$M" -p '' --no-bos)" = "[]" ] && [ -z "$("$H" tokenize -m "$M" --decode '[]')" ]
    report "empty text" $?
    [ "$("$H" tokenize -m "$M" -e -p 'a\nb\x41')" = "$("$H" tokenize -m "$M" -p 'a
bA')" ]
    report "escapes" $?
    fails "decode beyond the vocabulary" 1 "$H" tokenize -m "$M" --decode 2147483647
    text() { "$H" run --paper -m "$M" -p "Once upon a time" -n 40 "$@" 2> "$T/err"; }
    text --seed 3 > "$T/a1"
    report "run -p" $?
    head -c 16 "$T/a1" | grep -q 'Once upon a time'
    report "the prompt comes first" $?
    text --seed 3 --no-echo > "$T/c1"
    tail -c +17 "$T/a1" > "$T/b1"
    same "--no-echo: only what is generated" "$T/b1" "$T/c1"

    answers() { text --no-echo -n 30 --answers 5 "$@" 2> "$T/err"; }
    answers > "$T/b1" && grep -q '^answer [1-5] of 5: ' "$T/err"
    report "--answers: says which and why" $?
    answers --threads 2 > "$T/c1"
    same "--answers: the same with more threads" "$T/b1" "$T/c1"
    text --no-echo -n 30 --answers 1 > "$T/b1"
    answers --temp 0 --no-harp > "$T/b1" && text --no-echo -n 30 --temp 0 --no-harp > "$T/c1"
    tr -d '\n' < "$T/b1" > "$T/b2" && tr -d '\n' < "$T/c1" > "$T/c2"
    same "--answers: each is that of a run by itself" "$T/b2" "$T/c2"
    answers --pick logprob --confident 0.4 > "$T/b1" && grep -q 'mean log-probability' "$T/err"
    report "--answers: by log-probability, without the unsure ones" $?
    fails "--answers with --trace" 2 $H run -m "$M" -p x --answers 2 --trace "$T/trace"
    fails "--answers with --decoder beam" 2 $H run -m "$M" -p x --answers 2 --decoder beam --no-harp
    fails "--answers 65" 2 $H run -m "$M" -p x --answers 65
    text --seed 3 > "$T/b1"
    same "a seed reproduces a text" "$T/a1" "$T/b1"
    text --temp 0 --schedule lazy > "$T/a1"
    text --temp 0 --schedule fused > "$T/b1"
    same "fused = lazy, text" "$T/a1" "$T/b1"
    printf 'Once upon a time\n' > "$T/prompt"
    "$H" run --paper -m "$M" -f "$T/prompt" -n 40 --temp 0 > "$T/b1"
    same "run -f" "$T/a1" "$T/b1"
    text --temp 0 --trace "$T/trace" > "$T/b1"
    same "a trace changes no text" "$T/a1" "$T/b1"
    if [ $have_python = 1 ]; then json_lines "$T/trace"; report "trace of a text" $?; else skip "trace of a text"; fi
    [ "$(grep -c '"prompt":"Once upon a time",' "$T/trace")" = 1 ] && head -1 "$T/trace" | grep -q '"prompt"'
    report "trace: the first line has the prompt" $?
    "$H" view "$T/trace" | grep -q '"prompt":"Once upon a time",'
    report "view: the prompt" $?
    text --temp 0 --color always > "$T/b1"
    grep -q "$(printf '\033')" "$T/b1"
    report "colours" $?
    ! grep -q "$(printf '\033')" "$T/a1"
    report "no colours in a pipe" $?
    # A stop text cut from the middle of the answer: the output ends right before it, and is otherwise the same.
    stop=$(tail -c +17 "$T/a1" | tr '\n' '@' | cut -c 12-16)
    case $stop in *@* | '') skip "stop text: the answer has no suitable place" ;; *)
        text --temp 0 --stop "never there" --stop "$stop" > "$T/b1"
        n=$(wc -c < "$T/b1")
        head -c $((n - 1)) "$T/a1" > "$T/c1"
        head -c $((n - 1)) "$T/b1" | cmp -s - "$T/c1" && ! tail -c +17 "$T/b1" | grep -qF -- "$stop"
        report "stop text" $?
        ;;
    esac
    text --temp 0 > "$T/a1"
    text --temp 0 --stop '\x2e' -e > "$T/b1"
    cut -d. -f1 "$T/a1" | head -1 | tr -d '\n' | cmp -s - "$T/b1" && grep -q '\.' "$T/a1"
    report "escapes in a stop text" $?
    text -n 8 --temp 0 --decoder pause > "$T/b1"
    text -n 8 --temp 0 --decoder pause -e --pause-token '\x2e' > "$T/c1"
    same "escapes in the pause token" "$T/b1" "$T/c1"
    says "a pause token that is none" "is 4 tokens" "$H" run -m "$M" -p x --decoder pause --pause-token '\x2e'
    fails "an empty pause token" 2 "$H" run -m "$M" -p x --decoder pause --pause-token ""
    text -n 8 --temp 0 --decoder beam > "$T/b1"
    text --temp 0 --decoder beam -n 2147483647 > "$T/c1" && [ "$(wc -c < "$T/c1")" -gt "$(wc -c < "$T/b1")" ]
    report "beam search until the context is full" $?
    # The form of an answer
    echo '{"type":"object","properties":{"age":{"type":"integer","minimum":3,"maximum":12}},"required":["age"]}' > "$T/schema"
    text --no-echo --schema "$T/schema" > "$T/b1" && tr -d ' \n' < "$T/b1" | grep -q -E '^\{"age":([3-9]|1[0-2])\}$'
    report "--schema" $?
    text --no-echo --schema "$T/schema" --decoder lookup > "$T/c1"
    same "--schema, drafted" "$T/b1" "$T/c1"
    printf 'root ::= [0-9]{3} "!"\n' > "$T/grammar"
    text --no-echo --grammar "$T/grammar" | grep -q -E '^[0-9]{3}!$'
    report "--grammar" $?
    text --no-echo --json -n 300 --seed 4 --stop '!!!' > "$T/b1" && { ! command -v python3 > /dev/null || python3 -m json.tool "$T/b1" > /dev/null; }
    report "--json" $?
    text --no-echo --choice " dog| cat| red ball" > "$T/b1"
    [ "$(wc -l < "$T/b1")" = 4 ] && grep -q -E '^  [01]\.[0-9]{4}   cat$' "$T/b1" && head -1 "$T/b1" | grep -q -E '^ (dog|cat|red ball)$'
    report "--choice" $?
    printf '%s\n' "What is 3 plus 4?" "And 5 plus 1?" | "$H" chat -m "$M" --schema "$T/schema" 2> "$T/err" | tr -d ' \n' | grep -q -E '^(\{"age":[0-9]+\}){2}$'
    report "chat --schema" $?
    printf '%s\n' "What is 3 plus 4?" | "$H" chat -m "$M" --choice "7|8" 2> "$T/err" | sed -n 1p | grep -q '^[78]$'
    report "chat --choice" $?
    printf 'caf\351 au lait\n/save %s\nwhat is it\n' "$T/saved.json" | "$H" chat -m "$M" -s 3 2> "$T/err" | tail -1 > "$T/b1"
    printf '/load %s\nwhat is it\n' "$T/saved.json" | "$H" chat -m "$M" -s 3 2> "$T/err" | tail -1 > "$T/c1"
    same "a message that is not UTF-8, saved and loaded" "$T/b1" "$T/c1"
    echo '{"not":{}}' > "$T/schema"
    says "a schema that is not supported" '"not" is not supported' "$H" run -m "$M" -p x --schema "$T/schema"
    says "a grammar that is none" "grammar, line 1" "$H" run -m "$M" -p x --grammar "$T/schema"
    says "an empty choice" "a text is empty" "$H" run -m "$M" -p x --choice "a||b"
    says "no schema" "No such file" "$H" run -m "$M" -p x --schema "$T/no file"
    fails "a choice has no steps" 2 "$H" run -m "$M" -p x --choice "a|b" --trace "$T/out"
    fails "answers and --stats" 2 "$H" run -m "$M" -p x --answers 2 --stats
    says "a zero byte in a choice" "zero byte" "$H" run -m "$M" -p x -e --choice 'a\x00b|c'
    printf '\357\273\277root ::= "a"' > "$T/grammar" && [ "$(text --no-echo --grammar "$T/grammar")" = a ]
    report "a grammar with a byte order mark" $?
    says "a trace over the grammar" "is read" "$H" run -m "$M" -p x --grammar "$T/grammar" --trace "$T/grammar"
    says "a trace called -" "file's name" "$H" run -m "$M" -p x --trace -
    "$H" run -m "$M" -p One --no-echo --choice " dog| cat" --stats 2>&1 | grep -q '^speed    prompt [1-9]'
    report "--choice --stats" $?
    printf '%s\n' hi "hello there" "what is 2 plus 2" "how many legs has a dog" | "$H" chat -m "$M" -c 64 \
        --choice "yes, I do think so and I will tell you all about it at length|no" > "$T/out" 2> "$T/err" \
        && [ "$(grep -c -E '^ +[01]\.' "$T/out")" = 8 ]
    report "chat --choice forgets turns" $?
    printf 'One day, Anna' > "$T/b1" && printf 'One day, Anna\r\n' > "$T/c1"
    [ "$("$H" score -m "$M" -f "$T/b1")" = "$("$H" score -m "$M" -f "$T/c1")" ]
    report "score leaves the last newline out" $?
    fails "two forms" 2 "$H" run -m "$M" -p x --json --choice "a|b"
    fails "a form of token ids" 2 "$H" run -m "$M" --tokens 1 --json
    fails "a form and beams" 2 "$H" run -m "$M" -p x --json --decoder beam
    yes 'word and so' | head -600 > "$T/long"
    says "a long file is refused before it is shown" "the prompt has 3600 tokens" "$H" run -m "$M" -f "$T/long"
    says "so is a long text" "-c sets it" "$H" run -m "$M" -c 3 -p "Once upon a time"
    says "score of a long file" "the text has 3600 tokens" "$H" score -m "$M" -f "$T/long"
    head -80 "$T/long" | "$H" score -m "$M" -f - > "$T/out" && [ "$(wc -l < "$T/out")" = 480 ]
    report "score takes as long a context as the text needs" $?
    if (ulimit -v 100000 && "$H" run -m "$M" -p x -n 1 -t 1) > /dev/null 2>&1; then
        (ulimit -v 100000 && "$H" run -m "$M" -p x -n 1 -t 1 --frame stream --reframings 64 --cache f32) > "$T/out" 2> "$T/err"
        [ $? = 1 ] && [ ! -s "$T/out" ] && grep -q 'no memory .* (512 positions): a smaller -c' "$T/err"
        report "no memory" $?
    else
        skip "no memory: it cannot be limited here"
    fi
    $attentive "$H" run -m "$M" -p "One day" $slow --stats --trace "$T/text" > "$T/b1" 2> "$T/err" & pid=$!
    wait_for "$T/text"
    interrupt 130 $pid && head -c 7 "$T/b1" | grep -q 'One day' && [ -z "$(tail -c 1 "$T/text" | tr -d '\n')" ] \
        && grep -q "^harp .* of $(wc -l < "$T/text" | tr -d ' ') tokens hesitated" "$T/err"
    report "Ctrl-C: text, with its statistics and a whole trace" $?
    $attentive "$H" run -m "$M" -p "One day" -n -1 --decoder beam --beams 64 --beam-top 64 -t 1 --isa c > "$T/found" 2> "$T/err" &
    pid=$!
    wait_for "$T/found"
    interrupt 130 $pid && [ "$(cat "$T/found")" = "One day" ] && [ ! -s "$T/err" ]
    report "Ctrl-C: a search" $?
    if [ $have_python = 1 ]; then
        printf 'a\233b\033[2J\302\233c\377\r One' > "$T/evil"
        TERM=dumb on_terminal "$H" run -m "$M" -f "$T/evil" -n 8 > "$T/b1" && harmless "$T/b1"
        report "a prompt cannot control the terminal" $?
        list=$("$H" tokenize -m "$M" --no-bos -f "$T/evil")
        on_terminal "$H" tokenize -m "$M" --decode "$list" > "$T/b1" && harmless "$T/b1"
        report "decoded tokens cannot control the terminal" $?
        TERM=xterm on_terminal "$H" run -m "$M" -p One -n 8 > "$T/b1" && ! harmless "$T/b1" 2> /dev/null
        report "colours on a terminal" $?
        for no in TERM=dumb TERM= NO_COLOR=1; do
            (export TERM=xterm "$no" && on_terminal "$H" run -m "$M" -p One -n 8) > "$T/b1" && harmless "$T/b1"
            report "no colours: $no" $?
        done
    else
        skip "what a terminal gets to see"
    fi
    "$H" run -m "$M" -p One -n 3 --trace "$T/text" >&- 2> "$T/err"
    [ $? = 1 ] && ! grep -v '^{"position".*}$' "$T/text" && [ -s "$T/text" ]
    report "a closed output is none of the files" $?
    "$H" run -m "$M" -n 8 --temp 0 > "$T/out"
    report "empty prompt" $?
    "$H" run -m "$M" -p "naïve 你好" -n 4 --temp 0 | head -1 | grep -q "naïve 你好"
    report "UTF-8 argument" $?
    printf 'a\0b' > "$T/zero"
    fails "zero byte in a prompt" 1 "$H" run -m "$M" -f "$T/zero"
    "$H" score -m "$M" -p "Once upon a time" > "$T/out"
    report "score -p" $?
    if grep -q '"chat.user.before"' "$T/info"; then
        chat() { "$H" chat --paper -m "$M" "$@" 2> "$T/err"; }
        printf 'hello\nagain\n/stats\n/reset\nonce more\n/exit\nnever read\n' | chat -n 8 > "$T/a1"
        report "chat" $?
        grep -q hesitated "$T/err"
        report "chat: /stats" $?
        printf 'hello\nagain\n/reset\nonce more' | chat -n 8 > "$T/b1"
        same "chat: the end of the input ends it" "$T/a1" "$T/b1"
        printf 'Once upon a time\n' | chat --temp 0 --stop '\x2e' -e > "$T/b1" && [ -s "$T/b1" ] && ! grep -q '\.' "$T/b1"
        report "chat: escapes in a stop text" $?
        mkfifo "$T/fifo" && : > "$T/b1"
        $attentive "$H" chat -m "$M" $slow < "$T/fifo" > "$T/b1" 2> "$T/err" & pid=$!
        exec 9> "$T/fifo"
        echo 'Once upon a time' >&9
        wait_for "$T/b1"
        interrupt 130 $pid
        report "chat: Ctrl-C where nobody types ends it" $?
        exec 9>&-

        # ---- what is shown and saved; the demo model's chat format is "Question: ...\nAnswer: ...\n\n" ----
        printf 'hello\n/save %s\n' "$T/talk.json" | chat --temp 0 > "$T/a1"
        [ "$(head -c 1 "$T/a1" | tr -d ' \t\n' | wc -c)" = 1 ] && grep -q '"content": " ' "$T/talk.json"
        report "chat: no blanks before an answer, but the model sees its own" $?
        ! grep -q 'Question:' "$T/a1" && printf 'hello\n' | "$H" run -m "$M" -p "Question: hello
Answer:" --temp 0 2> "$T/err" | tail -n +3 | grep -q 'Question:'
        report "chat: an answer ends before the next turn" $?

        # ---- commands ----
        echo /help | chat > "$T/out" && for c in help reset system save load stats exit; do
            grep -q "^  /$c " "$T/err" || echo "/$c" >> "$T/out"
        done
        [ ! -s "$T/out" ] && grep -q '^  //' "$T/err"
        report "chat: /help" $?
        printf '/sing\n/\n' | chat > "$T/out"
        [ $? = 0 ] && [ ! -s "$T/out" ] && grep -q 'no command /sing: /help lists them' "$T/err" && [ "$(wc -l < "$T/err")" = 2 ]
        report "chat: an unknown command" $?
        printf '//help me\n/save %s\n' "$T/talk.json" | chat -n 4 > "$T/out" && [ -s "$T/out" ] \
            && grep -q '"role": "user", "content": "/help me"' "$T/talk.json"
        report "chat: a message that begins with a slash" $?
        printf 'one\\\ntwo\n/save %s\n' "$T/talk.json" | chat -n 4 > "$T/out" && grep -qF '"content": "one\ntwo"' "$T/talk.json"
        report "chat: a line that ends with a backslash goes on" $?
        printf 'Tell me a story.\n' | chat -n 20 --temp 0 --system "I am a small model." > "$T/a1"
        printf '/system I am a small model.\nTell me a story.\n' | chat -n 20 --temp 0 > "$T/b1"
        same "chat: /system" "$T/a1" "$T/b1"
        printf '/system\nTell me a story.\n' | chat -n 20 --temp 0 --system "I am a small model." > "$T/b1"
        printf 'Tell me a story.\n' | chat -n 20 --temp 0 > "$T/c1"
        same "chat: /system without a text" "$T/c1" "$T/b1"
        ! cmp -s "$T/a1" "$T/c1"
        report "chat: a system text tells" $?

        # ---- save and load: the conversation goes on exactly, other files are refused and change nothing ----
        tales() { printf 'One day, Anna went to the sea.\nWhat did she "find" there?\n'; }
        (tales && printf 'Tell me more.\nAnd then?\n') | chat -n 30 --seed 5 --system "Be kind." > "$T/a1"
        (tales && printf '/save %s\n/save %s\n' "$T/talk.json" "$T/talk.json") | chat -n 30 --seed 5 --system "Be kind." > "$T/b1"
        printf 'lost\n/load %s\nTell me more.\nAnd then?\n' "$T/talk.json" | chat -n 30 --seed 5 > "$T/c1"
        lost=$(printf 'lost\n' | chat -n 30 --seed 5 | wc -l)
        tail -n +$((lost + 1)) "$T/c1" | cat "$T/b1" - > "$T/out"
        same "chat: what was saved goes on exactly" "$T/a1" "$T/out"
        ls "$T" | grep -q '\.part$'
        report "chat: a saved file leaves no other" $(($? != 1))
        says_in_chat() { # says_in_chat NAME WORDS COMMAND: one line that holds the words; the conversation stays as it was
            (tales && printf '%s\nTell me more.\nAnd then?\n' "$3") | chat -n 30 --seed 5 --system "Be kind." > "$T/out"
            [ $? = 0 ] && cmp -s "$T/a1" "$T/out" && [ "$(wc -l < "$T/err")" = 1 ] && grep -qF -- "$2" "$T/err"
            report "chat: $1" $?
        }
        says_in_chat "/load without a name" "needs the name of a file" "/load"
        says_in_chat "/save without a name" "needs the name of a file" "/save  "
        says_in_chat "/load of what is not there" "No such file" "/load $T/none"
        says_in_chat "/load of a folder" "$T" "/load $T"
        says_in_chat "/save into a folder" "not a regular file" "/save $T"
        says_in_chat "/save where nothing can be written" "No such file" "/save $T/none/x"
        cp "$M" "$T/own.harp"
        printf '/save %s\n' "$T/../$(basename "$T")/own.harp" | "$H" chat -m "$T/own.harp" 2> "$T/err"
        cmp -s "$M" "$T/own.harp" && grep -q "is read" "$T/err"
        report "chat: /save over the model" $?
        user='{"role": "user", "content": "x"}' model='{"role": "assistant", "content": "y"}'
        bad() { # bad WORDS TEXT
            printf '%s' "$2" > "$T/bad.json"
            says_in_chat "/load refuses: $2" "$1" "/load $T/bad.json"
        }
        bad "bad.json" ''
        bad "bad.json" 'Once upon a time'
        bad "bad.json" "{\"messages\": [$user, $model"
        bad "has no list" '[]'
        bad "has no list" '{"messages": 7}'
        bad "message 1 has no" '{"messages": [7]}'
        bad "message 2 should have the role \"assistant\"" "{\"messages\": [$user, $user]}"
        bad "message 1 should have the role \"user\"" "{\"messages\": [$model]}"
        bad "message 2 should have the role \"assistant\"" "{\"messages\": [$user, {\"role\": \"system\", \"content\": \"z\"}]}"
        bad "message 1 should have" '{"messages": [{"content": "x"}]}'
        bad "message 1 has no" '{"messages": [{"role": "user", "content": ["x"]}]}'
        bad "answer is missing" "{\"messages\": [$user]}"
        for n in 1 -2 4 2.5 '"2"' 1e30; do bad "forgotten" "{\"forgotten\": $n, \"messages\": [$user, $model]}"; done
        head -c 100000 /dev/zero | tr '\0' '[' > "$T/deep.json"
        says_in_chat "/load of a deep file" "deep.json" "/load $T/deep.json"
        head -c 17000000 /dev/zero | tr '\0' ' ' > "$T/large.json"
        says_in_chat "/load of a large file" "large.json" "/load $T/large.json"
        rm "$T/large.json"

        # ---- a full context ----
        yes 'a long message' | head -2000 | tr '\n' ' ' | chat -n 8 -c 64 > "$T/out"
        [ $? = 0 ] && [ ! -s "$T/out" ] && [ "$(wc -l < "$T/err")" = 1 ] \
            && grep -q 'tokens, too many for the context of 64: .* -c, up to 512' "$T/err"
        report "chat: a message too long for the context" $?
        (tales && yes 'a long message' | head -2000 | tr '\n' ' ' && printf '\nTell me more.\nAnd then?\n') \
            | chat -n 30 --seed 5 --system "Be kind." > "$T/out"
        same "chat: a message too long loses nothing" "$T/a1" "$T/out"
        turns() { n=0; while [ $n -lt $1 ]; do n=$((n + 1)); echo "Tell me about the dog number $n"; done; }
        (turns 16 && printf '/save %s\n/stats\n' "$T/talk.json") | chat -n 12 -c 128 --seed 4 --system "Be kind." > "$T/a1"
        [ $? = 0 ] && grep -q 'context of 128 tokens is full: the model no longer sees the oldest [0-9]* turns' "$T/err"
        report "chat: the oldest turns go when the context is full" $?
        [ "$(grep -c 'no longer sees' "$T/err")" -lt 6 ]
        report "chat: several turns at once, so that it is seldom" $?
        grep -q '^{"forgotten": [1-9]' "$T/talk.json" && [ "$(grep -c '"role": "user"' "$T/talk.json")" = 16 ] \
            && grep -q '"system", "content": "Be kind."' "$T/talk.json"
        report "chat: all of it is saved" $?
        # 16 turns of about 20 tokens are fed once each; what is fed again after the oldest have gone is at most 64 a time
        fed=$(sed -n 's/^speed *prompt \([0-9]*\) tokens.*/\1/p' "$T/err")
        [ "$fed" -gt 128 ] && [ "$fed" -lt $((16 * 20 + 64 * 5)) ]
        report "chat: little is computed again" $?
        (turns 16 && echo 'And now?') | chat -n 12 -c 128 --seed 4 --system "Be kind." | tail -n +$(($(wc -l < "$T/a1") + 1)) > "$T/b1"
        (printf '/load %s\nAnd now?\n' "$T/talk.json") | chat -n 12 -c 128 --seed 4 > "$T/c1"
        same "chat: what was saved goes on exactly, without what was forgotten" "$T/b1" "$T/c1"
        # a story for which the first turn must go: up to there it is the story that a long context gives
        printf 'What can you do?\nCan you tell me a story about Nina?\n' > "$T/prompt"
        chat -n 90 --temp 0 --no-harp < "$T/prompt" > "$T/a1"
        chat -n 90 --temp 0 --no-harp -c 96 < "$T/prompt" > "$T/b1"
        [ "$(grep -c 'no longer sees the oldest turn ' "$T/err")" = 1 ] \
            && n=$(($(wc -c < "$T/b1") - 1)) && head -c $n "$T/a1" > "$T/c1" && head -c $n "$T/b1" | cmp - "$T/c1"
        report "chat: the oldest turn goes in the middle of an answer, which goes on" $?
        terminal_chat
    else
        fails "chat without a format" 1 "$H" chat -m "$M"
    fi
fi

# ---- models that are no .harp file yet ----

W="$T/models"
mkdir -p "$W"
cp tests/fuzz/seeds/gguf/q8_0.gguf "$W/tiny model.gguf"
cp -R tests/fixtures/source/llama_gqa "$W"
says "a GGUF file with --no-convert" "harp-convert $W/tiny model.gguf" "$H" run -m "$W/tiny model.gguf" --tokens 1,2 \
    -n 3 --no-convert
"$H" run -m "$W/tiny model.gguf" --tokens 1,2 -n 3 --temp 0 > "$T/out" 2> "$T/err"
[ $? = 0 ] && [ "$(wc -l < "$T/out")" = 1 ] && grep -q "is converted once" "$T/err"
report "a GGUF file is converted" $?
"$B/harp-convert" "$W/tiny model.gguf" "$T/tiny.harp" --quiet
same "into the file beside it" "$W/tiny model.harp" "$T/tiny.harp"
"$H" run -m "$W/tiny model.gguf" --tokens 1,2 -n 3 --temp 0 > "$T/again" 2> "$T/err"
[ $? = 0 ] && cmp -s "$T/out" "$T/again" && ! grep -q converted "$T/err"
report "and once only" $?
"$H" run -m "$W/llama_gqa/" --tokens 1,2 -n 3 --temp 0 > "$T/out" 2> "$T/err"
[ $? = 0 ] && cmp -s "$W/llama_gqa.harp" tests/fixtures/llama_gqa/model.harp
report "a folder, with a separator at its end" $?
cp "$T/tiny.harp" "$W/llama_gqa.harp"
says "a file that was made of something else" "was not made of" "$H" info -m "$W/llama_gqa"
cmp -s "$T/tiny.harp" "$W/llama_gqa.harp"
report "it stays as it was" $?
mkdir "$W/empty"
"$H" run -m "$W/empty" --tokens 1 > "$T/out" 2> "$T/err"
[ $? = 1 ] && grep -q "there is no config.json" "$T/err" && [ ! -e "$W/empty.harp" ]
report "a folder without a model" $?
says "a text file as a model" "this is a text file" "$H" run -m README.md --tokens 1
says "this folder as a model" "not a regular file" "$H" info -m .
cp "$H" "$W/harp"
"$W/harp" run -m tests/fuzz/seeds/gguf/q8_0.gguf --tokens 1 > "$T/out" 2> "$T/err"
[ $? = 1 ] && grep -q "harp-convert, which should be beside this program" "$T/err"
report "no converter" $?

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
