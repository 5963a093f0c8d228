/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz.h - what the fuzz targets share
 *
 * A target is one file with LLVMFuzzerTestOneInput, the entry that libFuzzer and AFL++ know; driver.c gives it a main
 * where neither is there. A target that finds something wrong calls fz_expect, which aborts: that is how fuzzers are
 * told. Targets may define LLVMFuzzerCustomMutator; make_harp.h has one for .harp files. */
#ifndef HARP_FUZZ_H
#define HARP_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t most); /* libFuzzer's, or driver.c's */

#define fz_expect(condition)                                                              \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);      \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

/* Numbers on which code breaks: around powers of two, signs, all bits set. */
static inline uint64_t fz_awkward(unsigned *state)
{
    static const uint64_t values[] = {
        0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 4095, 4096, 65535, 65536,
        0x7FFFFFFF, 0x80000000u, 0xFFFFFFFFu, 0xFFFFFFF8u, 0x100000000u, (uint64_t)1 << 28, (uint64_t)1 << 58,
        (uint64_t)1 << 60, (uint64_t)1 << 62, 0x7FFFFFFFFFFFFFFFu, 0x8000000000000000u, 0xFFFFFFFFFFFFFFFFu,
        0xFFFFFFFFFFFFFFC0u};
    *state = *state * 1103515245u + 12345u;
    return values[(*state >> 16) % (sizeof values / sizeof *values)];
}

static inline unsigned fz_random(unsigned *state, unsigned n) /* 0..n-1 */
{
    *state = *state * 1103515245u + 12345u;
    return n ? (*state >> 8) % n : 0;
}

#endif
