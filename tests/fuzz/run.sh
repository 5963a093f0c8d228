#!/bin/sh
# Fuzzing: sh tests/fuzz/run.sh BUILD_FOLDER COMMAND ...
#
#   build [asan|msan|afl]... builds the targets with libFuzzer (clang) or for AFL++, into BUILD_FOLDER/fuzz; those that
#                            TARGETS names, all without it
#   replay                   builds them with gcc and driver.c, ASan and UBSan; runs every seed and every old finding
#   run SECONDS [TARGET]...  fuzzes each target for so long, and prints how many inputs it ran
#   afl SECONDS [TARGET]...  the same with AFL++, whose way of choosing and cutting inputs is another
#   programs SECONDS [SEED]  runs the converter's program, 64 and 32 bits, on bent files: see programs.sh
#
# The converter's targets go on where it ends: what it wrote must open, verify, run eight tokens, encode and decode
# (converted.h); roundtrip compares its tokenizers with a slow reference.
#
# Findings land in BUILD_FOLDER/fuzz/found; a fixed one is kept in tests/fuzz/regressions/TARGET/ under a name that says
# what it was.
folder=$1
B=$folder/fuzz
command=$2
shift 2
here=tests/fuzz
library="harp tokenizer session machine"
converter="json safetensors tokenizer_file roundtrip chat llama2c huggingface gguf"
forms="grammar schema"
sources=$(ls tools/convert/*.c tools/convert/*/*.c | grep -v -e '/convert\.c$') # that one is in converted.h
flags="-std=c99 -D_POSIX_C_SOURCE=200809L -g -Wno-unused-function"
checks="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize=null,alignment -fno-sanitize-recover=all"
mkdir -p $B $B/found

build() { # build KIND COMPILER FLAGS...: BUILD_FOLDER/fuzz/KIND_TARGET
    kind=$1
    shift
    mkdir -p $B/$kind
    all_objects=
    for c in $sources; do
        o=$B/$kind/$(basename $c .c).o
        all_objects="$all_objects $o"
        [ $o -nt $c ] && [ -z "$(find tools/convert -name '*.h' -newer $o)" ] || "$@" $flags -c $c -o $o || return 1
    done
    o=$B/$kind/harp_impl.o # what the converter has written runs on it; without vector instructions it builds faster
    all_objects="$all_objects $o"
    compile_library $o harp_impl.c "$@" -DHARP_NO_SIMD || return 1
    inside=$B/$kind/inside.o # for the library's own targets; VECTORS=1: with vector instructions, minutes of compiling
    compile_library $inside tests/inside.c "$@" $([ "$VECTORS" ] || echo -DHARP_NO_SIMD) || return 1
    for t in ${TARGETS:-$library $converter $forms}; do
        to=$B/${kind}_$t
        [ -f $here/fuzz_$t.c ] || continue
        [ ! -x $to ] || [ -n "$(find harp.h harp_impl.c tools/convert tests/*.[ch] examples/form $here -name '*.[ch]' -newer $to)" ] \
            || continue
        objects=$all_objects
        case " $library " in *" $t "*) objects=$inside ;; esac
        "$@" $flags $LINK $here/fuzz_$t.c $DRIVER $objects -o $to -lm -pthread || return 1
    done
}

# compile_library OBJECT SOURCE COMPILER FLAGS...: unless it is there
compile_library() {
    o=$1 source=$2
    shift 2
    [ -z "$(find harp.h harp_impl.c tests/inside.[ch] -newer $o 2>&1)" ] || "$@" $FASTER $flags -c $source -o $o
}

build_kind() {
    DRIVER= LINK=-fsanitize=fuzzer FASTER=-fno-sanitize-coverage=trace-cmp # comparisons in kernels tell nothing
    case $1 in
    asan) build asan clang -O2 -fsanitize=fuzzer-no-link $checks ;;
    msan) build msan clang -O2 -fsanitize=fuzzer-no-link -fsanitize=memory -fno-sanitize-recover=all -DHARP_NO_SIMD ;;
    afl) AFL_QUIET=1 build afl afl-clang-fast -O2 $checks ;;
    gcc) DRIVER=$here/driver.c LINK= FASTER=-DHARP_NO_SIMD && build gcc gcc -O1 $checks ;;
    esac
}

# fuzz KIND TARGET SECONDS: prints a line; fails on a finding
fuzz() {
    corpus=$B/corpus/$2
    mkdir -p $corpus
    known=
    for d in $here/seeds/$2 $here/regressions/$2; do [ ! -d $d ] || known="$known $d"; done
    dictionary=
    [ ! -f $here/$2.dict ] || dictionary=-dict=$here/$2.dict
    $B/$1_$2 -max_total_time=$3 -seed=${SEED:-1} -max_len=65536 -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=512 \
        -artifact_prefix=$B/found/$2- -print_final_stats=1 -use_value_profile=0 \
        $dictionary $corpus $known > $B/$1_$2.log 2>&1
    status=$?
    n=$(sed -n 's/^stat::number_of_executed_units: *//p' $B/$1_$2.log)
    [ $status = 0 ] && said="no finding" || said="FOUND, see $B/$1_$2.log"
    printf '%-24s %10s executions, %s\n' "$2 ($1)" "${n:-0}" "$said" | tee -a $B/said
    return $status
}

# fuzz_afl TARGET SECONDS: the same. AFL++ wants one folder of inputs; what it learnt stays for the next run.
fuzz_afl() {
    rm -rf $B/afl_in
    mkdir -p $B/afl_in $B/afl_out
    for d in $here/seeds/$1 $here/regressions/$1; do [ ! -d $d ] || cp $d/* $B/afl_in; done
    [ -n "$(ls $B/afl_in)" ] || echo seed > $B/afl_in/seed
    dictionary=
    [ ! -f $here/$1.dict ] || dictionary="-x $here/$1.dict"
    AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_AUTORESUME=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 \
        AFL_IGNORE_SEED_PROBLEMS=1 afl-fuzz -V $2 -i $B/afl_in -o $B/afl_out/$1 -m none -t 5000 $dictionary -- \
            $B/afl_$1 > $B/afl_$1.log 2>&1
    stats=$B/afl_out/$1/default/fuzzer_stats
    n=$(sed -n 's/^execs_done *: *//p' $stats)
    found=$(sed -n 's/^saved_crashes *: *//p' $stats)
    found=$((${found:-1} + $(sed -n 's/^saved_hangs *: *//p' $stats)))
    printf '%-24s %10s executions, %s\n' "$1 (AFL++)" "${n:-0}" \
        "$([ $found = 0 ] && echo 'no finding' || echo "FOUND, see $B/afl_out/$1/default")" | tee -a $B/said
    [ $found = 0 ]
}

case $command in
build)
    for k in "${@:-asan}"; do build_kind $k || exit 1; done
    ;;
replay)
    build_kind gcc || exit 1
    passed=0 failed=0
    for t in $library $converter $forms; do
        for f in $here/seeds/$t/* $here/regressions/$t/*; do
            [ -f "$f" ] || continue
            if $B/gcc_$t "$f" > $B/replay.log 2>&1; then passed=$((passed + 1)); else
                failed=$((failed + 1))
                printf 'FAILED %s\n' "$f"
                tail -5 $B/replay.log
            fi
        done
    done
    printf '%d passed, %d failed\n' $passed $failed
    [ $failed = 0 ] && [ $passed -gt 0 ]
    ;;
run)
    seconds=$1
    shift
    passed=0 failed=0
    rm -f $B/said
    for t in ${@:-$(echo $library $converter $forms | sed "s/ machine//")}; do # the machine by name: it runs in "make test"
        for k in $KINDS asan; do
            [ "$k" != msan ] || case " $library " in *" $t "*) ;; *) continue ;; esac
            if fuzz $k $t $seconds; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
        done
    done
    printf '%d passed, %d failed\n' $passed $failed
    [ $failed = 0 ] && [ $passed -gt 0 ]
    ;;
programs)
    sh $here/programs.sh $folder "$@"
    ;;
afl)
    seconds=$1
    shift
    passed=0 failed=0
    for t in ${@:-$library $converter $forms}; do
        if fuzz_afl $t $seconds; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    done
    printf '%d passed, %d failed\n' $passed $failed
    [ $failed = 0 ] && [ $passed -gt 0 ]
    ;;
esac
