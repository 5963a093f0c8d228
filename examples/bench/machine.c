/* machine.c - what the machine can do at most
 *
 * A figure alone says little: 20 tokens a second may be all that a memory can deliver, or a tenth of it. So the same
 * run measures what these cores can read, and how many int8 multiply-adds they can do in registers. */
#include "bench.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define ON_X86 1
#else
#define ON_X86 0
#endif
#if ON_X86 && defined(__linux__)
#define HAS_AMX 1
#else
#define HAS_AMX 0
#endif

double seconds_since(double begin)
{
    double s = host_seconds() - begin;
    return s < 1e-9 ? 1e-9 : s;
}

#if defined(__GNUC__)
#define PREFETCH(p) __builtin_prefetch(p)
#else
#define PREFETCH(p) ((void)(p))
#endif

/* What all threads do at once: each reads a part of the block, or spins. The sums are kept, so that nothing is
 * optimised away. */
typedef struct load {
    const unsigned char *block;
    size_t bytes; /* of a thread */
    int streams, passes;
    uint64_t (*spin)(long rounds);
    long rounds;
    uint64_t sums[HOST_MOST_THREADS];
} load;

enum { MOST_STREAMS = 8, LEAST_READ = 1 << 26 }; /* bytes: in less the threads' start would count */

static void sum_part(void *user, int which)
{
    load *l = (load *)user;
    const unsigned char *block = l->block + l->bytes * (size_t)which;
    size_t i, stream = l->bytes / (size_t)l->streams / 64 * 64;
    uint64_t sums[MOST_STREAMS] = {0}, word;
    int n, pass;
    for (pass = 0; pass < l->passes; pass++)
        for (i = 0; i < stream; i += 64)
            for (n = 0; n < l->streams; n++) {
                const unsigned char *at = block + stream * (size_t)n + i;
                PREFETCH(at + 2048); /* as the kernels do: pages end the processor's own prefetching */
                memcpy(&word, at, sizeof word); /* the rest of a line of 64 bytes comes with it */
                sums[n] += word;
            }
    for (n = 0; n < MOST_STREAMS; n++) l->sums[which] += sums[n];
}

static void spin_part(void *user, int which)
{
    load *l = (load *)user;
    l->sums[which] = l->spin(l->rounds);
}

/* Seconds that all threads together take. */
static double run_load(load *l, int threads, void (*work)(void *user, int which))
{
    double begin = host_seconds();
    host_run(threads, work, l);
    return seconds_since(begin);
}

/* Some cores read faster in several places at once, others from one: the best counts. */
double read_bandwidth(const unsigned char *block, size_t bytes, int threads)
{
    static const int streams[] = {1, 4, MOST_STREAMS};
    double best = 1.0;
    int run;
    for (run = 0; run < BANDWIDTH_RUNS && !host_interrupted(); run++) {
        load l;
        double read, speed;
        memset(&l, 0, sizeof l);
        l.block = block, l.bytes = bytes / (size_t)threads, l.streams = streams[run % 3];
        l.passes = bytes < LEAST_READ ? (int)(LEAST_READ / bytes) : 1;
        read = (double)(l.bytes / (size_t)l.streams / 64 * 64 * (size_t)l.streams) * threads * l.passes;
        speed = read / run_load(&l, threads, sum_part);
        if (speed > best) best = speed;
    }
    return best;
}

/* ---- int8 multiply-adds: the fewest instructions for exact products of signed bytes, in registers, in as many
 * independent chains as hide their latency. The sums are variables, not an array: compilers keep an array in memory,
 * and the stores would be measured ---- */

#if ON_X86

/* avx512 needs more chains: five cycles of latency on two ports want ten. */
#define TEN_OF(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9)
#define SIXTEEN_OF(step) TEN_OF(step) step(10) step(11) step(12) step(13) step(14) step(15)

#define AVX2_SUM(i) __m256i sum##i = _mm256_set1_epi32(i);
#define AVX2_STEP(i)                                                                                                  \
    __asm__ volatile("vpsignb %2, %1, %%ymm15\n\tvpmaddubsw %%ymm15, %2, %%ymm15\n\t"                                \
                     "vpmaddwd %3, %%ymm15, %%ymm15\n\tvpaddd %%ymm15, %0, %0"                                        \
                     : "+x"(sum##i)                                                                                   \
                     : "x"(x), "x"(w), "x"(ones)                                                                      \
                     : "xmm15");
#define AVX2_TOTAL(i) total += (uint64_t)(uint32_t)_mm256_extract_epi32(sum##i, 0);

__attribute__((target("avx2"))) static uint64_t spin_avx2(long rounds)
{
    __m256i w = _mm256_set1_epi8(3), x = _mm256_set1_epi8(-5), ones = _mm256_set1_epi16(1);
    uint64_t total = 0;
    TEN_OF(AVX2_SUM)
    while (rounds-- > 0) {
        TEN_OF(AVX2_STEP)
    }
    TEN_OF(AVX2_TOTAL)
    return total;
}

#define AVX512_SUM(i) __m512i sum##i = _mm512_set1_epi32(i);
#define AVX512_STEP(i) __asm__ volatile("vpdpbusd %1, %2, %0" : "+v"(sum##i) : "v"(x), "v"(w));
#define AVX512_TOTAL(i) total += (uint64_t)(uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(sum##i));

__attribute__((target("avx512f,avx512vnni"))) static uint64_t spin_avx512(long rounds)
{
    __m512i w = _mm512_set1_epi32(0x03030303), x = _mm512_set1_epi32(0x05050505);
    uint64_t total = 0;
    SIXTEEN_OF(AVX512_SUM)
    while (rounds-- > 0) {
        SIXTEEN_OF(AVX512_STEP)
    }
    SIXTEEN_OF(AVX512_TOTAL)
    return total;
}

#if HAS_AMX
/* Four products of [16][64] with [64][16]. The library has asked for the registers by then (harp_isa). */
__attribute__((target("amx-tile,amx-int8"))) static uint64_t spin_amx(long rounds)
{
    static const uint8_t shapes[64] = {[0] = 1, /* eight tiles of 16 rows of 64 bytes */
                                       [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, [28] = 64,
                                       [30] = 64, [48] = 16, 16, 16, 16, 16, 16, 16, 16};
    _tile_loadconfig(shapes);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    while (rounds-- > 0) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_release();
    return 0;
}
#endif
#endif

double int8_peak(const char *isa, int threads)
{
    double lanes = 0.0, best = 0.0;
    load l;
    int run;
    memset(&l, 0, sizeof l);
    l.rounds = 4000000;
    (void)isa;
#if ON_X86
    if (strcmp(isa, "avx2") == 0) l.spin = spin_avx2, lanes = 32.0 * 10;
    if (strcmp(isa, "avx512") == 0) l.spin = spin_avx512, lanes = 64.0 * 16;
#if HAS_AMX
    if (strcmp(isa, "amx") == 0) l.spin = spin_amx, lanes = 16.0 * 16 * 64 * 4;
#endif
#endif
    for (run = 0; run < PEAK_RUNS && l.spin && !host_interrupted(); run++) {
        double speed = lanes * (double)l.rounds * threads / run_load(&l, threads, spin_part);
        if (speed > best) best = speed;
    }
    return best;
}
