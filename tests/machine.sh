#!/bin/sh
# The state machine in builds that see more than results: sh tests/machine.sh BUILD_FOLDER [TIMES]
# About two minutes; TIMES as many sequences in all (1). All builds must give the bits of the plain one.
B=$1
times=${2:-1}
W=$B/machines
passed=0
failed=0
mkdir -p $W
printf 'int main(void) { return 0; }\n' > $W/empty.c

bits() { # bits OUTPUT
    printf '%s\n' "$1" | sed -n 's/^note.* bits //p'
}

# compare NAME FIRST_SEED SEQUENCES RUN...: runs it, and the plain one, on the same sequences
compare() {
    name=$1 first=$2 n=$(($3 * times))
    shift 3
    out=$("$@" -s $first -n $n 2>&1)
    status=$?
    [ "$*" = $B/machine ] && of_plain=$(bits "$out") || of_plain=$(bits "$($B/machine -s $first -n $n 2>&1)")
    p=$(printf '%s\n' "$out" | sed -n 's/^\([0-9]*\) passed, .*/\1/p')
    f=$(printf '%s\n' "$out" | sed -n 's/.* passed, \([0-9]*\) failed$/\1/p')
    printf '%s\n' "$out" | sed -n "s/^note */note   $name: /p"
    if [ $status != 0 ] && [ "${f:-0}" = 0 ]; then f=$((${f:-0} + 1)); fi # it crashed, or a sanitizer spoke
    if [ "${f:-0}" != 0 ]; then printf '%s\n' "$out" | grep -v '^note' | head -40; fi
    if [ "$(bits "$out")" != "$of_plain" ]; then
        printf 'FAILED %s: other bits than the plain build: %s\n' "$name" "$of_plain"
        f=$((${f:-0} + 1))
    fi
    passed=$((passed + ${p:-0}))
    failed=$((failed + ${f:-0}))
}

# variant NAME FIRST_SEED SEQUENCES "RUN" COMPILER FLAGS...: RUN goes before the program, "-T" after it. What stands in
# $library is linked: the library's source, or an object.
library=harp_impl.c
variant() {
    name=$1 first=$2 n=$3 runner=$4 cc=$5
    shift 5
    exe=$W/$(printf '%s' "$name" | tr -c 'A-Za-z0-9' '_')
    if ! $cc "$@" $W/empty.c -o $W/empty > /dev/null 2>&1; then
        printf 'skipped: machine, %s: this machine has no such compiler\n' "$name"
    elif $cc -std=c99 -g1 "$@" tests/machine.c $library -o $exe -lm -pthread > $exe.log 2>&1; then
        compare "$name" $first $n ${runner%-T} $exe $([ "$runner" = "${runner%-T}" ] || echo -T)
    else
        failed=$((failed + 1))
        printf 'FAILED machine, %s: it does not compile: %s\n' "$name" "$(grep -m1 error $exe.log)"
    fi
}

compare "plain" 100000 400 $B/machine
compare "threads" 200000 60 $B/machine -T
[ ! -f $B/sanitized.o ] || library=$B/sanitized.o
variant "ASan and UBSan" 300000 70 "" gcc -O1 -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
library=harp_impl.c
variant "TSan" 400000 10 -T gcc -O1 -DHARP_NO_SIMD -fsanitize=thread
variant "MSan" 500000 20 "" clang -O1 -DHARP_NO_SIMD -fsanitize=memory -fno-sanitize-recover=all
# Some x86-64 kernels are built without the 32-bit system calls; the emulator has its own.
{ i686-linux-gnu-gcc -static $W/empty.c -o $W/narrow && $W/narrow; } 2> /dev/null && narrow= || narrow=qemu-i386
variant "32 bits" 600000 120 "$narrow" i686-linux-gnu-gcc -static -O2 -msse2 -mfpmath=sse
if command -v valgrind > /dev/null; then
    compare "valgrind" 700000 4 valgrind -q --error-exitcode=1 $B/machine
else
    echo "skipped: machine, valgrind: there is none"
fi
printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ] && [ $passed -gt 0 ]
