#!/bin/sh
# What the tests reach in harp_impl.c: sh tests/coverage.sh BUILD_FOLDER [list]
# Every test of the fast suite that runs the library, a few minutes. clang counts each condition of the source, true and
# false by themselves, so that no branch of a compiler's own making counts; the kernels' text, which is read again for
# each instruction set, counts once, as reached if any set reached it. Other platforms' text is not compiled and not counted.
B=$1/coverage
F=tests/fixtures
flags="-std=c99 -D_POSIX_C_SOURCE=200809L -O1 -w -fprofile-instr-generate -fcoverage-mapping"
plain="-DHARP_NO_SIMD"
models=$(ls $F/*/model.harp | sed "s|^$F/||; s|/model.harp$||")

alone() { # alone NAME FLAGS...: a test that includes the library; NAME up to a dash is the test
    name=$1
    shift
    clang $flags "$@" tests/test_${name%%-*}.c -o $B/test_$name -lm -pthread
}
linked() { # linked NAME SOURCE...: a program that uses the library; only that is counted, and for all of them together
    name=$1
    shift
    clang -std=c99 -D_POSIX_C_SOURCE=200809L -O1 -w -fprofile-instr-generate "$@" $B/harp_impl.o -o $B/$name -lm -pthread
}
build() {
    rm -rf $B && mkdir -p $B/files
    clang $flags -c harp_impl.c -o $B/harp_impl.o || return 1
    for t in conformance tokenizer threads decoders slices; do linked test_$t tests/test_$t.c || return 1; done
    linked machine tests/machine.c || return 1
    linked harp examples/harp/*.c tools/convert/ground/*.c || return 1
    linked harp-convert tools/convert/*.c tools/convert/*/*.c || return 1
    clang -std=c99 -O1 -w -Itools/convert tests/variants.c tools/convert/ground/*.c -o $B/variants -lm -pthread || return 1
    for t in models format faults numbers words promises; do alone $t $plain || return 1; done
    alone faults-stdio $plain -DHARP_NO_MMAP || return 1
    clang $flags $plain -DHARP_NO_STDIO -DHARP_NO_MMAP -DHARP_NO_MALLOC tests/test_files.c harp_impl.c -o $B/test_files-none \
        -lm || return 1
    alone library
}
run() { # run NAME ARGUMENTS...: one of those that include the library
    name=$1
    shift
    LLVM_PROFILE_FILE=$B/test_$name.%p.profraw $B/test_$name "$@"
}
run_all() {
    run format
    run models $F
    run words $B/harp-convert $B/files
    run numbers
    run promises
    run faults $B/files
    run faults-stdio $B/files
    run files-none examples/demo/demo.harp $B/files
    run library $F/llama_gqa/model.harp
    export LLVM_PROFILE_FILE=$B/linked.%p.%m.profraw
    for m in $models; do
        $B/test_conformance $F/$m/model.harp $F/$m/golden
        $B/test_decoders beam $F/$m/model.harp $F/$m/golden
    done
    $B/test_decoders same $F/llama_gqa/model.harp
    $B/test_slices $F/llama_gqa/model.harp
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
for t in format models words numbers promises faults faults-stdio files-none library; do report test_$t test_$t; done
python3 tests/coverage.py $B $2
