# The command line, the evaluation, the benchmark, the pages.

benchmark_under_sanitizers() {
    can $sanitized || return 0
    $sanitized -O1 examples/bench/*.c tools/convert/ground/*.c tools/convert/model/*.c tools/convert/file/*.c \
        $B/harp_impl.o -o $W/harp-bench -lm -pthread && sh tests/test_bench.sh $W
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
    kinds "What is 9 minus 2?" | grep -q '^sum 0\.' && kinds "Tom had a red ball." | grep -q '^story 0\.' || return 1
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

if [ "$all" = all ]; then
    run "benchmark under ASan and UBSan" benchmark_under_sanitizers
    run "view in a browser" view_in_browser
    run "web page, headless Chromium" web_page
fi
run "command line, demo model" sh tests/test_cli.sh $B examples/demo/demo.harp
run "command line" sh tests/test_cli.sh $B $F/llama_gqa/model.harp
run "small examples" small_examples
run "benchmark" sh tests/test_bench.sh $B
run "evaluation, decoders, view" sh tests/test_eval.sh $B
run "chat: the line editor" $B/test_edit
run "evaluation: parts" $B/test_eval $B
