#!/bin/sh
# Static analysis: sh tests/static.sh BUILD_FOLDER. Each tool that is there must have nothing to say; what a tool is wrong
# about is excepted below, or in .clang-tidy, with the reason.
B=$1/static
mkdir -p $B
passed=0 failed=0
say() { # say NAME: by the status of the command before, and what it said
    if [ $? = 0 ] && [ ! -s $B/said ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$1"
        head -20 $B/said
    fi
}
if command -v cppcheck > /dev/null; then
    # uninitStructMember in jinja.c: cppcheck does not see that a status of 0 means that the value was filled in.
    # arrayIndexThenCheck in hp_ranks_before: a and b are compared with each other there, not with a limit.
    # ctuuninitvar in hp_make_task: it does not see that a member was set the line before.
    # FLT_RADIX and its like come from the compiler, not from a header that cppcheck reads.
    cppcheck --quiet --std=c99 --enable=warning,portability --error-exitcode=1 --suppress=missingIncludeSystem \
        --suppress=missingInclude --suppress=uninitStructMember:tools/convert/jinja.c \
        --suppress=arrayIndexThenCheck:harp_impl.c --suppress=ctuuninitvar:harp_impl.c -DHARP_NO_SIMD -D__GNUC__=12 \
        -D__x86_64__ -DCHAR_BIT=8 -DFLT_RADIX=2 -DFLT_MANT_DIG=24 -DDBL_MANT_DIG=53 -DFLT_EVAL_METHOD=0 \
        tools/convert/*.c harp_impl.c > $B/said 2>&1
    say cppcheck
else
    echo "skipped: cppcheck is not there"
fi
if command -v gcc > /dev/null; then
    # jinja.c: takes too long. The rest: the analyzer does not follow ownership through realloc in cv_grow, so leaks and
    # uses of grown blocks are left to the injected failures under AddressSanitizer, which run every path.
    : > $B/said
    for c in harp_impl.c $(ls tools/convert/*.c | grep -v /jinja.c); do
        timeout 120 gcc -std=c99 -D_POSIX_C_SOURCE=200809L -O1 -DHARP_NO_SIMD -fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-use-of-uninitialized-value \
            -Wno-analyzer-file-leak -Wno-analyzer-fd-leak -c $c -o $B/x.o >> $B/said 2>&1
    done
    say "gcc -fanalyzer"
fi
if command -v clang-tidy > /dev/null; then
    clang-tidy --quiet harp_impl.c $(ls tools/convert/*.c | grep -v /jinja.c) -- -std=c99 -D_POSIX_C_SOURCE=200809L -DHARP_NO_SIMD > $B/said 2> $B/counts
    say clang-tidy
else
    echo "skipped: clang-tidy is not there"
fi
printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
