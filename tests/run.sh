#!/bin/sh
# Runs the tests: sh tests/run.sh BUILD_FOLDER [all]
# Each test program ends with "N passed, N failed"; this script adds them up. A test that cannot run is printed as skipped
# and counts for nothing.
unset MAKEFLAGS MFLAGS # what is made here is made as by hand, not as a part of the make that runs this
B=$1
all=$2
passed=0
failed=0
skipped=0
F=tests/fixtures
models="llama_gqa llama31_tied smollm_tied mistral_v3 mistral_swa16 phi3_longrope phi4mini qwen2_bias qwen2_yarn qwen3 gemma
    gemma2 gemma3_text olmo2 stablelm phi2 gpt_neox gpt2"

# the seconds since the line before, where there were many
before=$(date +%s)
took() {
    seconds=$(($(date +%s) - before))
    [ $seconds -lt 10 ] || printf ', %d s' $seconds
}

# count NAME OUTPUT STATUS: takes the last line's numbers. A program that printed none has failed; and so has one that
# counted no failure but ended with an error: it crashed after its last line, or a sanitizer found a leak.
count() {
    line=$(printf '%s\n' "$2" | grep -E '^[0-9]+ passed, [0-9]+ failed' | tail -1)
    p=$(printf '%s' "$line" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
    f=$(printf '%s' "$line" | sed -n 's/.* \([0-9]*\) failed.*/\1/p')
    [ -n "$line" ] || { p=0; f=1; }
    [ "$3" = 0 ] || [ "$f" != 0 ] || { f=1; echo "FAILED  $1: ended with status $3"; }
    passed=$((passed + p))
    failed=$((failed + f))
    printf '%-44s %s passed, %s failed%s\n' "$1" "$p" "$f" "$(took)"
    before=$(date +%s)
    k=$(printf '%s\n' "$2" | grep -c '^skipped')
    skipped=$((skipped + k))
    printf '%s\n' "$2" | grep '^skipped'
    [ "$f" = 0 ] || printf '%s\n' "$2" | grep -v '^ok' | head -20
}

run() { # run NAME COMMAND...: counts what it prints; leaves that in $out
    name=$1
    shift
    out=$("$@" 2>&1)
    count "$name" "$out" $?
}

notes() { # what the last run has to say beside its numbers
    printf '%s\n' "$out" | grep '^note'
}

check() { # check NAME CONDITION...
    name=$1
    shift
    if "$@" > /dev/null 2>&1; then
        passed=$((passed + 1))
        printf '%-44s ok\n' "$name"
    else
        failed=$((failed + 1))
        printf '%-44s FAILED\n' "$name"
    fi
}

skip() {
    skipped=$((skipped + 1))
    printf '%-44s skipped: %s\n' "$1" "$2"
}

# A second lane runs beside the first, into logs that are counted in the end.
# A build that fails, and a program that ends with an error whatever it printed (a leak is reported last), is a failure.
in_lane() { # in_lane LOG BUILD RUN...
    log=$B/lane/$1 build=$2
    shift 2
    { $build && "$@"; } > $log 2>&1 || printf 'ended with an error\n0 passed, 1 failed\n' >> $log
}

count_lane() { # count_lane NAME LOG: no log, no compiler for it
    if [ -f $B/lane/$2 ]; then out=$(cat $B/lane/$2) && count "$1" "$out" 0; else skip "$1" "this machine has no compiler with these sanitizers"; fi
}

second_lane() {
    in_lane real true sh tests/real_files.sh $B $all
    in_lane decoders true sh tests/real_decoders.sh $B $all
    [ "$all" = all ] || return
    mkdir -p $B/lane/faults
    in_lane emulated true sh tests/emulated_sets.sh $B $F/llama_gqa/model.harp
    # -g1: lines are enough in a report, and what gcc knows of variables would take it minutes to write down
    sanitize="-std=c99 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    echo 'int main(void) { return 0; }' > $B/lane/empty.c
    if gcc $sanitize $B/lane/empty.c -o $B/lane/empty 2> /dev/null; then
        in_lane library "gcc $sanitize -O2 tests/test_library.c -o $B/sane -lm" $B/sane $F/llama_gqa/model.harp
        in_lane models "gcc $sanitize -O1 tests/test_models.c -o $B/models_sane -lm" $B/models_sane $F
        in_lane failures "gcc $sanitize -fsanitize=float-cast-overflow -DHARP_NO_SIMD -O1 tests/test_faults.c -o $B/faults_sane
            -lm -pthread" $B/faults_sane $B/lane/faults
    fi
    echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p && n < 0; }' > $B/lane/empty.c
    if clang -fsanitize=fuzzer $B/lane/empty.c -o $B/lane/empty 2> /dev/null; then
        in_lane fuzz "sh tests/fuzz/run.sh $B build asan" sh tests/fuzz/run.sh $B run ${FUZZ_SECONDS:-5}
    fi
    in_lane static true sh tests/static.sh $B
    in_lane desks true sh tests/desks.sh $B
    in_lane machine true sh tests/machine.sh $B
}

rm -rf $B/lane
mkdir -p $B/lane
second_lane &
for m in $models; do
    run "conformance $m" $B/test_conformance $F/$m/model.harp $F/$m/golden
    notes | sed 's|tests/fixtures/||; s|/golden||'
done
for m in $models; do run "beam search $m" $B/test_decoders beam $F/$m/model.harp $F/$m/golden; done
run "decoders" $B/test_decoders same $F/llama_gqa/model.harp
run "format" $B/test_format
run "models" $B/test_models $F
run "library" $B/test_library $F/llama_gqa/model.harp
run "state machine" $B/machine -n 300
notes
run "command line" sh tests/test_cli.sh $B $F/llama_gqa/model.harp
run "command line, demo model" sh tests/test_cli.sh $B examples/demo/demo.harp
run "evaluation: parts" $B/test_eval $B
run "evaluation, decoders, view" sh tests/test_eval.sh $B
run "benchmark" sh tests/test_bench.sh $B
run "chat templates" $B/test_chat
rm -rf $B/convert && mkdir -p $B/convert
run "converter" $B/test_convert $B/harp-convert $B/convert
run "converter, bounds" sh tests/test_bounds.sh $B
run "outliers" $B/test_quality
notes
run "words and form NFC" $B/test_words $B/harp-convert $B/convert
run "GGUF files" $B/test_gguf $F/gguf/blocks.bin $B/convert/x.gguf
for m in llama_gqa mistral_v3; do # BF16, and four shards: the fixture was made from F32, in one file
    $B/harp-convert $F/source/$m $B/convert/$m.harp --quiet
    check "converter: $m, the same bytes" cmp $B/convert/$m.harp $F/$m/model.harp
done
for form in fused shards; do # the same weights in other tensors, or in other files
    mkdir -p $B/convert/$form/llama_gqa
    $B/variants $form $F/source/llama_gqa $B/convert/$form/llama_gqa
    $B/harp-convert $B/convert/$form/llama_gqa $B/convert/$form.harp --quiet
    check "converter: llama_gqa $form, the same bytes" cmp $B/convert/$form.harp $F/llama_gqa/model.harp
done
if [ "$all" = all ]; then texts=100000; else texts=5000; fi
run "tokenizer, demo model" $B/test_tokenizer -n $texts demo=examples/demo/demo.harp
run "promises" $B/test_promises
run "slices" $B/test_slices $F/llama_gqa/model.harp
run "threads" $B/test_threads $F/llama_gqa/model.harp
mkdir -p $B/faults
for t in test_faults test_faults_stdio; do
    run "failures and wrong calls, ${t#test_}" $B/$t $B/faults
    notes
done
mkdir -p $B/faults/convert
run "converter, failures" $B/test_convert_faults $B/faults/convert $F/source/llama_gqa tests/fuzz/seeds/gguf/q8_0.gguf
notes
run "numbers" $B/test_numbers
notes
run "vendoring, C, one file" $B/test_vendoring_c $F/llama_gqa/model.harp
run "vendoring, C++98 header" $B/test_vendoring_cpp $F/llama_gqa/model.harp
mkdir -p $B/files
for switches in "" "-DHARP_NO_MMAP" "-DHARP_NO_STDIO" "-DHARP_NO_MALLOC" "-DHARP_NO_MMAP -DHARP_NO_STDIO -DHARP_NO_MALLOC"; do
    out=$(${CC:-gcc} -std=c99 -Wall -Wextra -Werror $switches tests/test_files.c harp_impl.c -o $B/test_files -lm 2>&1) \
        && out=$($B/test_files examples/demo/demo.harp $B/files 2>&1)
    count "files $switches" "$out" $?
done
# What the object holds, by tools that are not everywhere and know not every format: a list without the text section, or
# without harp_open, says nothing about the rest.
if size -A $B/harp_impl.o 2> /dev/null > $B/sections && grep -q '^\.text' $B/sections; then
    check "no writable globals" awk '($1==".data" || $1==".bss") && $2>0 {exit 1}' $B/sections
else skip "no writable globals" "no size -A for this object"
fi
if nm $B/harp_impl.o 2> /dev/null > $B/symbols && grep -q -E ' T _?harp_open$' $B/symbols; then
    check "no exit, abort or print" sh -c "! grep -E ' U _?(abort|exit|_exit|printf|fprintf|puts|perror|__assert_fail|__assert_rtn)\$' $B/symbols"
else skip "no exit, abort or print" "no nm for this object"
fi

# hashes RUNNER PROGRAM: of 64 steps' logits, of a model for each kernel
hashes() {
    for m in llama_gqa gemma2 gemma3_text gpt_neox gpt2 olmo2 phi3_longrope; do
        $1 $2 $F/$m/model.harp hash
    done
}

reference=$(hashes "" $B/test_library)

# same_bits NAME RUNNER COMPILER...: the hashes must be the reference
same_bits() {
    name=$1 runner=$2
    shift 2
    command -v "$1" > /dev/null || { skip "bits $name" "no $1"; return; }
    [ -z "$runner" ] || command -v "$runner" > /dev/null || { skip "bits $name" "no $runner"; return; }
    "$@" tests/test_library.c -o $B/bits -lm 2> $B/bits.log || { check "bits $name" false; return; }
    check "bits $name" [ "$(hashes "$runner" $B/bits)" = "$reference" ]
}

if [ "$all" = all ]; then
    mkdir -p $B/view
    chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
    if [ -z "$chromium" ] || ! command -v node > /dev/null; then skip "view in a browser" "no chromium or no node"
    elif [ ! -d $B/node/node_modules/playwright-core ]; then skip "view in a browser" "no playwright-core in $B/node"
    else run "view in a browser" env NODE_PATH=$B/node/node_modules node tests/test_view.js $B/harp $B/view $chromium
    fi
    if gcc -std=c99 -g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined tools/convert/*.c tools/convert/ground/*.c harp_impl.c -o $B/convert_sane -lm -pthread; then
        run "converter under ASan and UBSan" $B/test_convert $B/convert_sane $B/convert
    else
        skip "converter under ASan and UBSan" "this gcc has no sanitizers"
    fi
    if gcc -std=c99 -g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -Itools/convert tests/test_gguf.c tools/convert/gguf.c tools/convert/dequantize.c tools/convert/quantize.c tools/convert/files.c tools/convert/util.c tools/convert/ground/*.c -o $B/gguf_sane -lm -pthread; then
        run "GGUF files under ASan and UBSan" $B/gguf_sane $F/gguf/blocks.bin $B/convert/x.gguf
    else
        skip "GGUF files under ASan and UBSan" "this gcc has no sanitizers"
    fi
    if i686-linux-gnu-gcc -std=c99 -O1 -msse2 -mfpmath=sse -static -DHARP_NO_SIMD tools/convert/*.c tools/convert/ground/*.c harp_impl.c -o $B/convert_narrow -lm -pthread 2> /dev/null && $B/convert_narrow --help > /dev/null 2>&1; then
        run "converter, bounds, 32 bits" sh tests/test_bounds.sh $B $B/convert_narrow
    else
        skip "converter, bounds, 32 bits" "no i686-linux-gnu-gcc, or its programs do not run here"
    fi
    mkdir -p $B/bench_sane
    sources=$(ls tools/convert/*.c tools/convert/*/*.c | grep -v -x -e tools/convert/convert.c -e tools/convert/check.c)
    if gcc -std=c99 -g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined examples/bench/*.c $sources $B/harp_impl.o -o $B/bench_sane/harp-bench -lm -pthread; then
        run "benchmark under ASan and UBSan" sh tests/test_bench.sh $B/bench_sane
    else
        skip "benchmark under ASan and UBSan" "this gcc has no sanitizers"
    fi
    for cc in gcc clang; do
        for o in "-std=c99 -O0" "-O2" "-O3" "-O3 -march=native"; do same_bits "$cc $o" "" $cc $o; done
        command -v $cc > /dev/null || { skip "strict $cc" "no $cc"; continue; }
        check "strict $cc" $cc -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -O2 -c harp_impl.c -o $B/strict.o
    done
    if gcc -march=sapphirerapids -E -x c /dev/null > /dev/null 2>&1; then # 16-bit floats change FLT_EVAL_METHOD
        check "gcc -march=sapphirerapids" gcc -march=sapphirerapids -O1 -Wall -Wextra -Werror -c harp_impl.c -o $B/strict.o
    fi
    same_bits "gcc -ffp-contract=fast" "" gcc -O3 -march=native -ffp-contract=fast
    run "clang -ffp-contract=fast, a set that fuses" sh tests/fused_sets.sh $B $F/llama_gqa/model.harp
    same_bits "aarch64, qemu" qemu-aarch64 aarch64-linux-gnu-gcc -static -O2
    same_bits "s390x big-endian, qemu" qemu-s390x s390x-linux-gnu-gcc -static -O2
    same_bits "s390x -std=c99, qemu" qemu-s390x s390x-linux-gnu-gcc -std=c99 -static -O2
    if command -v qemu-s390x > /dev/null && # floats are evaluated in double there: R4 where sizes are odd
        s390x-linux-gnu-gcc -std=c99 -static -O2 tests/test_numbers.c -o $B/numbers_s390x -lm 2> /dev/null; then
        run "kernels, s390x -std=c99, qemu" qemu-s390x $B/numbers_s390x kernels
    else
        skip "kernels, s390x -std=c99, qemu" "no s390x-linux-gnu-gcc or no qemu-s390x"
    fi
    run "portability matrix" sh tests/matrix.sh $B
    printf '%s\n' "$out" | grep '^ok'
    run "vendoring, whole projects" sh tests/test_vendoring.sh $B
    if command -v wasm-ld > /dev/null && [ -e /usr/include/wasm32-wasi/stdlib.h ]; then make -s web > $B/web.log 2>&1; fi
    if command -v node > /dev/null; then run "web page, headless Chromium" node tests/web.mjs $B $B/screenshots; notes
    else skip "web page, headless Chromium" "no node"
    fi
    run "the object: symbols, recursion, stack" sh tests/test_object.sh $B
    notes
    run "microcontroller, qemu" sh tests/test_mcu.sh $B
    for m in gemma3_text phi3_longrope gpt_neox gpt2; do run "library, $m" $B/test_library $F/$m/model.harp; done
    if gcc -std=c99 -g1 -O2 -fsanitize=thread tests/test_threads.c harp_impl.c -o $B/threads_sane -lm -pthread; then
        run "threads under TSan" $B/threads_sane $F/llama_gqa/model.harp
    else
        skip "threads under TSan" "this gcc has no sanitizers"
    fi
    if gcc -std=c99 -g1 -O1 -DHARP_NO_SIMD -fsanitize=address tests/soak.c harp_impl.c -o $B/soak_sane -lm -pthread; then
        run "a long conversation under ASan" $B/soak_sane examples/demo/demo.harp 5
    else
        skip "a long conversation under ASan" "this gcc has no sanitizers"
    fi
    skip "decoders under ASan and UBSan" "takes minutes; by hand"
fi

wait
count_lane "real files" real
notes
count_lane "decoders, real models" decoders
notes
if [ "$all" = all ]; then
    count_lane "AMX, AVX-512 and AVX-VNNI, emulated" emulated
    count_lane "library under ASan and UBSan" library
    count_lane "models under ASan and UBSan" models
    count_lane "failures and wrong calls, sanitized" failures
    count_lane "fuzz targets, seeds and old findings first" fuzz
    sed -n 's/^/note   /p' $B/fuzz/said 2> /dev/null
    count_lane "state machine, in builds that see more" machine
    notes
    count_lane "static analysis, proofs" static
    count_lane "programs on every desk" desks
    cat $B/desks/table
fi

[ $skipped = 0 ] || printf '%d skipped\n' $skipped
printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ] && [ $passed -gt 0 ]
