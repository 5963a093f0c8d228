/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * driver.c - a main for fuzz targets, where there is no libFuzzer
 *
 *     target FILE...                 runs the files, one after another: how findings are replayed, and AFL++ calls it
 *     target -runs=N FILE...         the same, then N inputs made from the files by mutation
 */
#include "fuzz.h"

enum { MOST_BYTES = 1 << 16, MOST_FILES = 4096 };

static unsigned chance = 1;

/* Changes a few bytes, copies or cuts a piece: what every fuzzer begins with. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t most)
{
    unsigned n = 1 + fz_random(&chance, 4);
    while (n-- > 0) {
        size_t at = fz_random(&chance, (unsigned)bytes + 1), length = fz_random(&chance, 16);
        if (at + length > bytes) length = bytes - at;
        switch (fz_random(&chance, 4)) {
        case 0:
            if (length) data[at] ^= (uint8_t)(1u << fz_random(&chance, 8));
            break;
        case 1:
            if (length) data[at] = (uint8_t)fz_awkward(&chance);
            break;
        case 2:
            if (bytes + length <= most) {
                memmove(data + at + length, data + at, bytes - at);
                bytes += length;
            }
            break;
        default:
            memmove(data + at, data + at + length, bytes - at - length);
            bytes -= length;
        }
    }
    return bytes;
}

/* Targets that do not know better are mutated byte by byte. */
#ifndef FZ_HAS_MUTATOR
__attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed)
{
    (void)seed;
    return LLVMFuzzerMutate(data, bytes, most);
}
#endif

static size_t load(const char *path, uint8_t *data)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(data, 1, MOST_BYTES, f) : 0;
    if (!f) fprintf(stderr, "%s: cannot be opened\n", path);
    if (f) fclose(f);
    return n;
}

static void run(const uint8_t *data, size_t bytes)
{
    uint8_t *exact = malloc(bytes ? bytes : 1); /* as long as the input: a read beyond it is seen */
    if (!exact) exit(2);
    memcpy(exact, data, bytes);
    LLVMFuzzerTestOneInput(exact, bytes);
    free(exact);
}

int main(int argc, char **argv)
{
    static uint8_t data[MOST_BYTES];
    long runs = 0, done = 0, i;
    int first = 1;
    if (argc > 1 && strncmp(argv[1], "-runs=", 6) == 0) runs = strtol(argv[1] + 6, NULL, 10), first = 2;
    for (i = first; i < argc; i++, done++) run(data, load(argv[i], data));
    for (i = 0; i < runs; i++, done++) {
        size_t bytes = argc > first ? load(argv[first + i % (argc - first)], data) : 0, k = 1 + fz_random(&chance, 3);
        while (k-- > 0)
            bytes = LLVMFuzzerCustomMutator(data, bytes, MOST_BYTES, (unsigned)i * 2654435761u + (unsigned)k);
        run(data, bytes);
    }
    printf("%ld inputs\n", done);
    return 0;
}
