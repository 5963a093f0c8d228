#!/bin/sh
# A build that fuses products into sums in the code of one instruction set: sh tests/fused_sets.sh BUILD_FOLDER MODEL
# clang's -ffp-contract=fast does that wherever a set has the instruction, whatever a pragma says. Of the sets for x86
# only those with AVX-512 have it, so a copy of the library gives it to AVX2. Sessions with that set must be refused,
# unless the compiler keeps to the pragma after all; the other sets have the bits of any build.
B=$1
W=$B/fused
lacks=
command -v clang > /dev/null || lacks="no clang"
grep -q avx2 /proc/cpuinfo || lacks="this machine has no AVX2"
if [ -n "$lacks" ]; then
    echo "skipped: a set that fuses: $lacks"
    echo "0 passed, 0 failed"
    exit
fi
mkdir -p $W
cp harp.h $W
sed 's/^HP_TARGET_BEGIN("avx2,f16c")$/HP_TARGET_BEGIN("avx2,f16c,fma")/' harp_impl.c > $W/harp_impl.c
clang -O1 -w -ffp-contract=fast tests/test_library.c $W/harp_impl.c -o $W/test_library -lm -pthread \
    || { echo "0 passed, 1 failed"; exit 1; }
passed=0
reference=$($B/test_library $2 hash)
fused=$($W/test_library $2 hash avx2)
case $fused in
*"this build fuses products into sums in its code for avx2"*) passed=$((passed + 1)) ;;
"$reference") passed=$((passed + 1)) ;;
*) echo "FAILED avx2: $fused; expected is a refusal, or $reference" ;;
esac
for set in sse2 c; do
    hash=$($W/test_library $2 hash $set)
    if [ "$hash" = "$reference" ]; then passed=$((passed + 1))
    else echo "FAILED $set: $hash; expected is $reference"
    fi
done
echo "$passed passed, $((3 - passed)) failed"
[ $passed = 3 ]
