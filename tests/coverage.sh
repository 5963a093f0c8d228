#!/bin/sh
# What the tests reach in harp_impl.c: sh tests/coverage.sh BUILD_FOLDER [list]
# Every test of the fast suite that runs the library, a few minutes. clang counts each condition of the source, true and
# false by themselves, so that no branch of a compiler's own making counts; the kernels' text, which is read again for
# each instruction set, counts once, as reached if any set reached it. Other platforms' text is not compiled and not
# counted.
B=$1/coverage
F=tests/fixtures
flags="-std=c99 -D_POSIX_C_SOURCE=200809L -O1 -w -fprofile-instr-generate -fcoverage-mapping"
plain="-DHARP_NO_SIMD"
models=$(ls $F/*/model.harp | sed "s|^$F/||; s|/model.harp$||")

alone() { # alone NAME FLAGS...: a test that includes the library and is counted alone; NAME up to a dash is the test
    name=$1
    shift
    clang $flags "$@" tests/test_${name%%-*}.c -o $B/test_$name -lm -pthread
}
linked() { # linked LIBRARY NAME SOURCE...: a program of which the library alone is counted, for all such together
    library=$1 name=$2
    shift 2
    clang -std=c99 -D_POSIX_C_SOURCE=200809L -O1 -w -fprofile-instr-generate "$@" $B/$library.o -o $B/$name -lm -pthread
}
build() {
    rm -rf $B && mkdir -p $B/files
    clang $flags -c harp_impl.c -o $B/harp_impl.o && clang $flags $plain -c tests/inside.c -o $B/inside.o || return 1
    for t in library inputs models conformance conversation tokenizer threads decoders slices together; do
        linked harp_impl test_$t tests/test_$t.c || return 1
    done
    for t in format promises faults; do linked inside test_$t tests/test_$t.c || return 1; done
    linked inside test_words tests/test_words.c tools/convert/ground/json_write.c || return 1
    linked harp_impl machine tests/machine.c || return 1
    linked harp_impl harp examples/harp/*.c tools/convert/ground/*.c || return 1
    linked harp_impl harp-convert tools/convert/*.c tools/convert/*/*.c || return 1
    for t in variants as_gguf; do
        clang -std=c99 -O1 -w -Itools/convert tests/$t.c tools/convert/describe.c tools/convert/*/*.c -o $B/$t \
            -lm -pthread || return 1
    done
    alone numbers $plain && alone faults-stdio $plain -DHARP_NO_MMAP || return 1
    clang $flags $plain -DHARP_NO_STDIO -DHARP_NO_MMAP -DHARP_NO_MALLOC tests/test_files.c harp_impl.c \
        -o $B/test_files-none -lm
}
run() { # run NAME ARGUMENTS...: one of those that are counted alone
    name=$1
    shift
    LLVM_PROFILE_FILE=$B/test_$name.%p.profraw $B/test_$name "$@"
}
run_all() {
    run numbers $F/llama_gqa/model.harp
    run faults-stdio $B/files
    run files-none examples/demo/demo.harp $B/files
    export LLVM_PROFILE_FILE=$B/inside.%p.%m.profraw
    $B/test_format
    $B/test_words $B/harp-convert $B/files
    $B/test_promises
    $B/test_faults $B/files
    export LLVM_PROFILE_FILE=$B/linked.%p.%m.profraw
    $B/test_library $F/llama_gqa/model.harp
    $B/test_models $F
    for m in $models; do
        $B/test_conformance $F/$m/model.harp $F/$m/golden
        $B/test_decoders beam $F/$m/model.harp $F/$m/golden
    done
    $B/test_decoders same $F/llama_gqa/model.harp
    $B/test_slices $F/llama_gqa/model.harp
    $B/test_together $F/llama_gqa/model.harp $F/llama_gqa/golden
    $B/test_inputs $F/mixtral/model.harp
    $B/test_conversation examples/demo/demo.harp
    $B/machine -n 300
    $B/test_threads $F/llama_gqa/model.harp
    $B/test_tokenizer demo=examples/demo/demo.harp
    sh tests/test_cli.sh $B $F/llama_gqa/model.harp
    sh tests/test_cli.sh $B examples/demo/demo.harp
    sh tests/real_files.sh $B
}
report() { # report NAME PROGRAM: what its runs reached, as JSON
    llvm-profdata merge -sparse $B/$1.*.profraw -o $B/$1.profdata 2> /dev/null && rm -f $B/$1.*.profraw
    llvm-cov export -instr-profile=$B/$1.profdata $B/$2 > $B/$1.json 2> /dev/null
}
build || exit 1
run_all > $B/log 2>&1
grep -E '^[0-9]+ passed' $B/log | awk '{p += $1; f += $3} END {print p " passed, " f " failed"}'
report linked test_conformance
report inside test_format
for t in numbers faults-stdio files-none; do report test_$t test_$t; done
python3 tests/coverage.py $B $2
