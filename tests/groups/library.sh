# What harp.h promises: the reference models' numbers, the file format, every call on a session.

under() { # under "COMPILER AND FLAGS" "SOURCES" ARGUMENTS...: builds a program in that way and runs it
    cc=$1 sources=$2
    shift 2
    can $cc || return 0
    $cc $sources -o $W/program -lm -pthread && "$W/program" "$@"
}

# Those that compute with the library; its arithmetic is tested from inside, and so is compiled once more.
library_under_sanitizers() {
    can $sanitized || return 0
    $sanitized -O1 -c harp_impl.c -o $W/harp_impl.o || return 1
    for t in library models; do
        $sanitized -O1 tests/test_$t.c $W/harp_impl.o -o $W/test_$t -lm -pthread || return 1
    done
    $sanitized -O1 tests/test_numbers.c -o $W/test_numbers -lm -pthread || return 1
    all_of "$W/test_library $F/llama_gqa/model.harp" "$W/test_models $F" "$W/test_numbers $F/llama_gqa/model.harp"
}

if [ "$all" = all ]; then
    run "state machine, in builds that see more" sh tests/machine.sh $B
    run "library, models, numbers under ASan and UBSan" library_under_sanitizers
    run "failures and wrong calls, sanitized" under "$sanitized -O1 -fsanitize=float-cast-overflow -DHARP_NO_SIMD" \
        "tests/test_faults.c tests/inside.c" $W
    run "conversations under ASan and UBSan" under "$sanitized -O1 -DHARP_NO_SIMD" \
        "tests/test_conversation.c harp_impl.c" examples/demo/demo.harp
    run "threads under TSan" under "gcc -std=c99 -g1 -O2 -fsanitize=thread" "tests/test_threads.c harp_impl.c" \
        $F/llama_gqa/model.harp
    run "a long conversation under ASan" under "gcc -std=c99 -g1 -O1 -fsanitize=address -DHARP_NO_SIMD" \
        "tests/soak.c harp_impl.c" examples/demo/demo.harp 5
    run "AMX, AVX-512 and AVX-VNNI, emulated" sh tests/emulated_sets.sh $B $F/llama_gqa/model.harp
    for m in gemma3_text phi3_longrope gpt_neox gpt2; do run "library, $m" $B/test_library $F/$m/model.harp; done
fi
run "library" $B/test_library $F/llama_gqa/model.harp
run "state machine" $B/machine -n 300
run "real files" sh tests/real_files.sh $B $all
run "decoders, real models" sh tests/real_decoders.sh $B $all
run "models" $B/test_models $F
run "promises" $B/test_promises
run "numbers" $B/test_numbers $F/llama_gqa/model.harp
run "slices" $B/test_slices $F/llama_gqa/model.harp
run "threads" $B/test_threads $F/llama_gqa/model.harp
run "failures and wrong calls" $B/test_faults $W
run "failures and wrong calls, stdio" $B/test_faults_stdio $W
texts=5000
[ "$all" != all ] || texts=100000
run "tokenizer, demo model" $B/test_tokenizer -n $texts demo=examples/demo/demo.harp
run "words and form NFC" $B/test_words $B/harp-convert $W
run "conversations" $B/test_conversation examples/demo/demo.harp
run "format" $B/test_format
run "decoders" $B/test_decoders same $F/llama_gqa/model.harp
for m in $models; do
    run "conformance $m" $B/test_conformance $F/$m/model.harp $F/$m/golden
    run "beam search $m" $B/test_decoders beam $F/$m/model.harp $F/$m/golden
done
