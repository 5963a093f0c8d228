#!/bin/sh
# Static analysis: sh tests/static.sh BUILD_FOLDER [cppcheck|analyzer|tidy|proof]..., all of them if none is named. Each
# tool that is there must have nothing to say; what a tool is wrong about is excepted below, or in .clang-tidy, with the
# reason.
B=$1/static
shift
B=$B/$(echo "${*:-all}" | tr ' ' -) # several may run at once
mkdir -p $B
passed=0 failed=0
tools=" ${*:-cppcheck analyzer tidy proof} "
wanted() { # wanted NAME PROGRAM
    case "$tools" in *" $1 "*) ;; *) return 1 ;; esac
    command -v $2 > /dev/null && return 0
    echo "skipped: $2 is not there"
    return 1
}
say() { # say NAME: by the status of the command before, and what it said
    if [ $? = 0 ] && [ ! -s $B/said ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$1"
        head -20 $B/said
    fi
}
if wanted cppcheck cppcheck; then
    # arrayIndexThenCheck in hp_ranks_before: a and b are compared with each other there, not with a limit.
    # ctuuninitvar in hp_make_task: it does not see that a member was set the line before.
    # FLT_RADIX and its like come from the compiler, not from a header that cppcheck reads.
    cppcheck --quiet --std=c99 --enable=warning,portability --error-exitcode=1 --suppress=missingIncludeSystem \
        --suppress=missingInclude --suppress=arrayIndexThenCheck:harp_impl.c \
        --suppress=ctuuninitvar:harp_impl.c -DHARP_NO_SIMD -D__GNUC__=12 -D__x86_64__ -DCHAR_BIT=8 -DFLT_RADIX=2 \
        -DFLT_MANT_DIG=24 -DDBL_MANT_DIG=53 -DFLT_EVAL_METHOD=0 \
        tools/convert/*.c tools/convert/*/*.c harp_impl.c > $B/said 2>&1
    say cppcheck
fi
if wanted analyzer gcc; then
    # The analyzer does not follow ownership through realloc in cv_grow, so leaks and uses of grown blocks are left to
    # the injected failures under AddressSanitizer, which run every path.
    : > $B/said
    for c in harp_impl.c tools/convert/*.c tools/convert/*/*.c; do
        timeout 400 gcc -std=c99 -D_POSIX_C_SOURCE=200809L -O1 -DHARP_NO_SIMD -fanalyzer -Wno-analyzer-malloc-leak \
            -Wno-analyzer-use-of-uninitialized-value -Wno-analyzer-file-leak -Wno-analyzer-fd-leak -c $c -o $B/x.o \
            >> $B/said 2>&1 \
            || echo "$c: not analysed" >> $B/said
    done
    say "gcc -fanalyzer"
fi
if wanted tidy clang-tidy; then
    clang-tidy --quiet harp_impl.c tools/convert/*.c tools/convert/*/*.c -- -std=c99 -D_POSIX_C_SOURCE=200809L \
        -DHARP_NO_SIMD > $B/said 2> $B/counts
    say clang-tidy
fi
if wanted proof frama-c; then
    # Eva says what it could not show to be right; it would be silent, too, if it had understood nothing: so its own
    # count is asked for.
    prove() { # prove CLAIM FLAGS...: a function of proof.c
        frama-c -cpp-extra-args="-std=c99 -DHARP_NO_SIMD -DHARP_NO_THREADS -DHARP_NO_MMAP -DHARP_NO_STDIO" \
            -eva -eva-domains octagon,equality,symbolic-locations -eva-msg-key=-initial-state,-final-states -main "$@" \
            tests/proof.c > $B/proof 2>&1
        : > $B/said
        grep -q '0 alarms generated' $B/proof && grep -q '100% of the logical properties' $B/proof \
            || { grep -A2 'alarm\]' $B/proof; tail -20 $B/proof; } > $B/said
        say "proof: $1"
    }
    exact="-machdep gcc_x86_64 -eva-precision 8 -eva-slevel 100000"
    prove prove_sizes $exact -warn-unsigned-overflow
    prove prove_reader $exact
    prove prove_layout -machdep gcc_x86_32 -eva-precision 1 -warn-unsigned-overflow -eva-use-spec hp_mul_size
fi
printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
