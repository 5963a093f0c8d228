# The command line, the evaluation, the benchmark, the pages.

benchmark_under_sanitizers() {
    has_sanitized || return 0
    $sanitized examples/bench/*.c tools/convert/ground/*.c tools/convert/model/*.c tools/convert/file/*.c \
        $B/sanitized.o -o $W/harp-bench -lm -pthread && sh tests/test_bench.sh $W
}
# The small examples, on the demo model: an answer is the same whatever is asked later, and another after another turn;
# examples of two kinds are told apart.
small_examples() {
    demo=examples/demo/demo.harp
    ask() { printf '%s\n' "$@" | $B/chat $demo; }
    ask "What is 3 plus 4?" > $W/first && ask "What is 3 plus 4?" "And 5 plus 1?" > $W/both || return 1
    ask "Who is Anna?" "And 5 plus 1?" > $W/other && ask "And 5 plus 1?" > $W/alone || return 1
    head -c "$(wc -c < $W/first)" $W/both | cmp - $W/first || return 1
    after() { tail -c +"$(($(ask "$1" | wc -c) + 1))" "$2"; }
    [ "$(after "What is 3 plus 4?" $W/both)" != "$(cat $W/alone)" ] && [ -s $W/other ] || return 1
    kinds() { $B/classify $demo "$1" "sum=What is 3 plus 4?" "story=One day, Anna went to the park."; }
    kinds "What is 9 minus 2?" | grep -q '^sum 0\.' && kinds "Lily lost her kite." | grep -q '^story 0\.' || return 1
    $B/json $demo "Anna bought a red ball for 3 coins." | grep -q -E '^[A-Za-z ]+ costs [0-9]+$' || return 1
    vote() { $B/votes $demo "One day, Anna" "$1"; }
    [ "$(vote 6)" = "$(vote 6)" ] && [ "$(vote 6 | wc -c)" -gt 40 ] || return 1
    $B/chat $W/nothing < /dev/null 2> $W/said && return 1
    $B/classify $demo 2>> $W/said && return 1
    grep -q 'cannot open' $W/said && grep -q usage $W/said && echo $one
}
view_in_browser() {
    has node || return 0
    chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
    if [ -z "$chromium" ]; then echo "skipped: no chromium"
    elif [ ! -d $B/node/node_modules/playwright-core ]; then echo "skipped: no playwright-core in $B/node"
    else NODE_PATH=$B/node/node_modules node tests/test_view.js $B/harp $W $chromium
    fi
}
web_page() {
    has node wasm-ld || return 0
    if [ -e /usr/include/wasm32-wasi/stdlib.h ]; then make -s B=$B web || return 1; fi
    node tests/web.mjs $B $B/screenshots
}

# What people elsewhere wrote about grammars and schemas; both are to be fetched: github.com/json-schema-org/
# JSON-Schema-Test-Suite and github.com/ggml-org/llama.cpp.
forms_of_others() {
    has node || return 0
    found=
    for suite in "$HARP_SCHEMA_SUITE"/tests/draft2020-12 "$HARP_SCHEMA_SUITE"/tests/draft7; do
        [ ! -d "$suite" ] || { node tests/form_suites.mjs schema "$suite" > $W/$(basename $suite) && found="$found $W/$(basename $suite)"; }
    done
    [ ! -d "$HARP_LLAMA_CPP/grammars" ] || { node tests/form_suites.mjs gbnf "$HARP_LLAMA_CPP" > $W/gbnf && found="$found $W/gbnf"; }
    [ -n "$found" ] || { echo "skipped: HARP_SCHEMA_SUITE and HARP_LLAMA_CPP name no folders"; return 0; }
    for cases in $found; do $B/test_form cases $cases || return 1; done > $W/said
    cat $W/said
    awk '/^[0-9]+ passed/ { p += $1; f += $3 } END { print p + 0 " passed, " f + 0 " failed" }' $W/said
}
# Random schemas, temperatures 0 to 2, models that never saw JSON: other programs read the answers.
generated_forms() {
    has node || return 0
    $B/harp-convert ../shared/data/models/stories3M-q80.bin $W/stories.harp --quiet --tokenizer ../shared/data/models/tok4096.bin \
        || echo "skipped: stories3M"
    for m in examples/demo/demo.harp $W/stories.harp; do
        [ ! -f $m ] || $B/test_form generate $m 1000 ${FORM_SEED:-1} >> $W/answers 2> $W/said || { cat $W/said; return 1; }
        sed -n 's/^note/note/p' $W/said
    done
    NODE_PATH=$B/node/node_modules node tests/form_check.mjs $W/answers
}
forms_under_sanitizers() {
    has_sanitized || return 0
    $sanitized tests/test_form.c $B/sanitized.o -o $W/test_form -lm -pthread && $W/test_form examples/demo/demo.harp 100
}

if [ "$all" = all ]; then
    run "forms under ASan and UBSan" forms_under_sanitizers
    run "forms, 2,000 answers" generated_forms
    run "benchmark under ASan and UBSan" benchmark_under_sanitizers
    run "view in a browser" view_in_browser
    run "web page, headless Chromium" web_page
fi
run "command line, demo model" sh tests/test_cli.sh $B examples/demo/demo.harp
run "command line" sh tests/test_cli.sh $B $F/llama_gqa/model.harp
run "small examples" small_examples
run "benchmark" sh tests/test_bench.sh $B
run "evaluation, decoders, view" sh tests/test_eval.sh $B
run "the sums: problems and model" sh tests/test_sums.sh $B
run "chat: the line editor" $B/test_edit
run "forms" $B/test_form examples/demo/demo.harp 100
run "forms of others" forms_of_others
run "evaluation: parts" $B/test_eval $B
