#!/bin/sh
# The sets amx, avx512 and avxvnni where the machine has none of them: sh tests/emulated_sets.sh BUILD_FOLDER MODEL
# A copy of the library whose intrinsics SIMDe computes (emulated_sets.h) and which believes to have every set must
# pass the library's tests, among them the comparison of all sets with plain C, bit for bit.
B=$1
W=$B/emulated
lacks=
[ -e /usr/include/simde/x86/avx512.h ] || lacks="no libsimde-dev"
grep -q avx2 /proc/cpuinfo || lacks="this machine has no AVX2"
if [ -n "$lacks" ]; then
    echo "skipped: emulated instruction sets: $lacks"
    echo "0 passed, 0 failed"
    exit
fi
mkdir -p $W/tests
cp harp.h $W
sed -e 's|#include <immintrin.h>|#include "../../tests/emulated_sets.h"|' -e '/^HP_TARGET_BEGIN(.*)$/d' \
    -e '/^HP_TARGET_END$/d' \
    -e 's/int has = hp_x86_features();/int has = ALL; (void)hp_x86_features;/' \
    -e 's/= ALL;/= HP_HAS_AVX2 | HP_HAS_AVXVNNI | HP_HAS_AVX512 | HP_HAS_AMX;/' \
    harp_impl.c > $W/harp_impl.c
cp tests/test_numbers.c $W/tests # includes the copy
gcc="gcc -O1 -mavx2 -mf16c -ffp-contract=off -w -Wno-psabi"
# It takes a minute to compile: once, with test_numbers, which includes it, for both programs.
printf 'int test_numbers(int argc, char **argv);\nint main(int argc, char **argv) { return test_numbers(argc, argv); }\n' \
    > $W/main.c
$gcc -Itests -Dmain=test_numbers -c $W/tests/test_numbers.c -o $W/test_numbers.o \
    && $gcc $W/main.c $W/test_numbers.o -o $W/test_numbers -lm -pthread \
    && $gcc tests/test_library.c $W/test_numbers.o -o $W/test_library -lm -pthread || { echo "0 passed, 1 failed"; exit 1; }
for set in amx avx512 avxvnni; do
    $W/test_library $2 hash $set > $W/hash || { echo "FAILED $set is not there"; echo "0 passed, 1 failed"; exit 1; }
done
$W/test_numbers kernels || exit 1
$W/test_library $2
