#!/bin/sh
# What the tests reach in harp_impl.c: sh tests/coverage.sh BUILD_FOLDER [list]
# Plain C, one thread and stdio are what is measured: kernels for instruction sets are the same text read again. It takes
# minutes, for nothing is optimised.
B=$1/coverage
F=tests/fixtures
flags="-std=c99 -D_POSIX_C_SOURCE=200809L -O0 --coverage -DHARP_NO_SIMD -w"
rm -rf $B && mkdir -p $B/files
build() { # build NAME FLAGS...
    name=$1
    shift
    gcc $flags "$@" tests/test_${name%%-*}.c -c -o $B/$name.o && gcc --coverage $B/$name.o $objects -o $B/$name -lm -pthread
}
objects=
build library && build faults && build faults-stdio -DHARP_NO_MMAP && build numbers && build models && build words || exit 1
gcc $flags -c harp_impl.c -o $B/harp_impl.o || exit 1
objects=$B/harp_impl.o
build conformance && build tokenizer && build threads && build decoders && build slices || exit 1
{
    for m in llama_gqa llama31_tied smollm_tied mistral_v3 mistral_swa16; do $B/conformance $F/$m/model.harp $F/$m/golden; done
    $B/faults $B/files
    $B/faults-stdio $B/files
    $B/numbers
    $B/tokenizer demo=examples/demo/demo.harp
    $B/threads $F/llama_gqa/model.harp
    for m in llama_gqa smollm_tied; do $B/decoders beam $F/$m/model.harp $F/$m/golden; done
    $B/decoders same $F/llama_gqa/model.harp
    $B/models $F
    $B/slices $F/llama_gqa/model.harp
    [ ! -x $1/harp-convert ] || $B/words $1/harp-convert $B/files
    $B/library $F/llama_gqa/model.harp
} > $B/log 2>&1
python3 tests/coverage.py $B $2
