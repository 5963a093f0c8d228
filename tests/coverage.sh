#!/bin/sh
# What the tests reach in harp_impl.c: sh tests/coverage.sh BUILD_FOLDER [list]
# Every test of the fast suite that runs the library, nothing optimised; it takes minutes. Functions that are inlined
# always are not, so that each is counted once and not at each of its calls. The kernels' text, which is read again for
# each instruction set, counts once too: as reached if any set reached it. Other platforms' sets and files are not
# compiled, and not counted.
B=$1/coverage
F=tests/fixtures
plain="-DHARP_NO_SIMD"
flags="-std=c99 -D_POSIX_C_SOURCE=200809L -O0 --coverage -w -Dalways_inline=noinline"
rm -rf $B && mkdir -p $B/files
models="llama_gqa llama31_tied smollm_tied mistral_v3 mistral_swa16 phi3_longrope phi4mini qwen2_bias qwen2_yarn qwen3
    gemma gemma2 gemma3_text olmo2 stablelm phi2 gpt_neox gpt2"

alone() { # alone NAME FLAGS...: a test that includes the library
    name=$1
    shift
    gcc $flags "$@" tests/test_${name%%-*}.c -c -o $B/$name.o && gcc --coverage $B/$name.o -o $B/$name -lm -pthread
}
linked() { # linked NAME SOURCE...: a program that uses the library
    name=$1
    shift
    gcc -std=c99 -D_POSIX_C_SOURCE=200809L -O1 -w "$@" $B/harp_impl.o \
        -o $B/$name -lm -pthread -lgcov
}

gcc $flags $plain -c harp_impl.c -o $B/harp_impl.o || exit 1
alone library && alone models $plain && alone format $plain && alone faults $plain && \
    alone faults-stdio $plain -DHARP_NO_MMAP && alone numbers $plain && alone words $plain || exit 1
for t in conformance tokenizer threads decoders slices; do linked $t tests/test_$t.c || exit 1; done
linked harp examples/harp/*.c && linked harp-convert tools/convert/*.c || exit 1
gcc $flags $plain -DHARP_NO_STDIO -DHARP_NO_MMAP -DHARP_NO_MALLOC tests/test_files.c -c -o $B/files_t.o \
    && gcc $flags $plain -DHARP_NO_STDIO -DHARP_NO_MMAP -DHARP_NO_MALLOC harp_impl.c -c -o $B/files_none.o \
    && gcc --coverage $B/files_t.o $B/files_none.o -o $B/files_none -lm || exit 1
{
    for m in $models; do
        $B/conformance $F/$m/model.harp $F/$m/golden
        $B/decoders beam $F/$m/model.harp $F/$m/golden
    done
    $B/decoders same $F/llama_gqa/model.harp
    $B/models $F
    $B/format
    $B/slices $F/llama_gqa/model.harp
    $B/threads $F/llama_gqa/model.harp
    $B/tokenizer demo=examples/demo/demo.harp
    $B/words $B/harp-convert $B/files
    $B/numbers
    $B/faults $B/files
    $B/faults-stdio $B/files
    $B/files_none examples/demo/demo.harp $B/files
    sh tests/test_cli.sh $B $F/llama_gqa/model.harp
    $B/library $F/llama_gqa/model.harp
} > $B/log 2>&1
grep -E '^[0-9]+ passed' $B/log | awk '{p += $1; f += $3} END {print p " passed, " f " failed"}'
python3 tests/coverage.py $B $2
