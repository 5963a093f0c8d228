# What harp.h promises: the reference models' numbers, the file format, every call on a session.

under() { # under "COMPILER AND FLAGS" "SOURCES" ARGUMENTS...: builds a program in that way and runs it
    cc=$1 sources=$2
    shift 2
    can $cc || return 0
    $cc $sources -o $W/program -lm -pthread && "$W/program" "$@"
}

# sanitized TEST ARGUMENTS...: with the library under sanitizers
sanitized() {
    has_sanitized || return 0
    test=$1
    shift
    $sanitized tests/$test.c $B/sanitized.o -o $W/$test -lm -pthread && $W/$test "$@"
}
numbers_under_sanitizers() { # they are in that object, see the Makefile
    has_sanitized || return 0
    echo 'int test_numbers(int n, char **a); int main(int n, char **a) { return test_numbers(n, a); }' > $W/main.c
    $sanitized $W/main.c $B/sanitized.o -o $W/test_numbers -lm -pthread && $W/test_numbers $F/llama_gqa/model.harp
}

# Vocabularies of llama.cpp with vectors, more than ../shared has; to be fetched: github.com/ggml-org/llama.cpp
llama_cpp_tokenizers() {
    V=$HARP_LLAMA_CPP/models subjects=
    for name in deepseek-coder deepseek-llm falcon gpt-2 llama-spm mpt phi-3 refact starcoder; do
        [ -f $V/ggml-vocab-$name.gguf ] || continue
        $B/harp-convert $V/ggml-vocab-$name.gguf $W/$name.harp --vocab-only --quiet || return 1
        subjects="$subjects $name=$W/$name.harp"
    done
    [ -n "$subjects" ] || { echo "skipped: HARP_LLAMA_CPP names no folder with vocabularies"; return 0; }
    $B/test_tokenizer -n 200 -v $V $subjects
}

if [ "$all" = all ]; then
    run "tokenizers of llama.cpp" llama_cpp_tokenizers
    run "state machine, in builds that see more" sh tests/machine.sh $B
    run "numbers under ASan and UBSan" numbers_under_sanitizers
    run "library under ASan and UBSan" sanitized test_library $F/llama_gqa/model.harp
    run "models under ASan and UBSan" sanitized test_models $F
    run "conversations under ASan and UBSan" sanitized test_conversation examples/demo/demo.harp
    run "sessions together under ASan and UBSan" sanitized test_together $F/llama_gqa/model.harp \
        $F/llama_gqa/golden
    run "a long conversation under ASan and UBSan" sanitized soak examples/demo/demo.harp 5
    run "failures and wrong calls, sanitized" under "$sanitized -DHARP_NO_SIMD" "tests/test_faults.c tests/inside.c" $W
    run "threads under TSan" under "gcc -std=c99 -g1 -O2 -fsanitize=thread -DHARP_NO_SIMD" "tests/test_threads.c harp_impl.c" \
        $F/llama_gqa/model.harp
    run "sessions together, gemma4_text" $B/test_together $F/gemma4_text/model.harp $F/gemma4_text/golden
    run "sessions together, qwen3_next" $B/test_together $F/qwen3_next/model.harp $F/qwen3_next/golden
    run "promises under ASan and UBSan" under "$sanitized -DHARP_NO_SIMD" "tests/test_promises.c tests/inside.c"
    run "slices, gemma4_text" $B/test_slices $F/gemma4_text/model.harp
    run "AMX, AVX-512 and AVX-VNNI, emulated" sh tests/emulated_sets.sh $B $F/llama_gqa/model.harp
    for m in phi3_longrope gpt2 mixtral gemma4_text qwen3_next; do run "library, $m" $B/test_library $F/$m/model.harp; done
fi
run "library" $B/test_library $F/llama_gqa/model.harp
run "inputs of matrices" all_of "$B/test_inputs $F/llama_gqa/model.harp" "$B/test_inputs $F/mixtral/model.harp"
run "state machine" $B/machine -n 300
run "real files" sh tests/real_files.sh $B $all
run "decoders, real models" sh tests/real_decoders.sh $B $all
run "models" $B/test_models $F
run "promises" $B/test_promises
run "numbers" $B/test_numbers $F/llama_gqa/model.harp
run "slices" $B/test_slices $F/llama_gqa/model.harp
run "sessions together" $B/test_together $F/llama_gqa/model.harp $F/llama_gqa/golden
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
