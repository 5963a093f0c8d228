# The command line, the evaluation, the benchmark, the pages.

benchmark_under_sanitizers() {
    can $sanitized || return 0
    $sanitized -O1 examples/bench/*.c tools/convert/ground/*.c tools/convert/model/*.c tools/convert/file/*.c \
        $B/harp_impl.o -o $W/harp-bench -lm -pthread && sh tests/test_bench.sh $W
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
run "benchmark" sh tests/test_bench.sh $B
run "evaluation, decoders, view" sh tests/test_eval.sh $B
run "chat: the line editor" $B/test_edit
run "evaluation: parts" $B/test_eval $B
