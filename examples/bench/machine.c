/* machine.c - what the machine can do at most
 *
 * A figure alone says little: 20 tokens a second may be all that a memory can deliver, or a tenth of it. So the same
 * run measures what these cores can read, and how many int8 multiply-adds they can do in registers. */
#include "bench.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define ON_X86 1
#else
#define ON_X86 0
#endif

double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__GNUC__)
#define PREFETCH(p) __builtin_prefetch(p)
#else
#define PREFETCH(p) ((void)(p))
#endif

typedef struct part {
    pthread_t thread;
    const unsigned char *block;
    size_t bytes;
    uint64_t sum; /* kept, so that nothing is optimised away */
    uint64_t (*spin)(long rounds);
    long rounds;
} part;

enum { MOST_THREADS = 64 };

static void *sum_part(void *user)
{
    part *p = (part *)user;
    uint64_t sums[8] = {0}, word[8];
    size_t i;
    int k;
    for (i = 0; i + 64 <= p->bytes; i += 64) {
        PREFETCH(p->block + i + 4096); /* as the kernels do: pages end the processor's own prefetching */
        memcpy(word, p->block + i, 64);
        for (k = 0; k < 8; k++) sums[k] += word[k];
    }
    for (k = 0; k < 8; k++) p->sum += sums[k];
    return NULL;
}

static void *spin_part(void *user)
{
    part *p = (part *)user;
    p->sum = p->spin(p->rounds);
    return NULL;
}

/* Seconds that all parts together take. */
static double run_parts(part *parts, int n, void *(*work)(void *))
{
    double begin = seconds();
    int i, started;
    for (started = 1; started < n; started++)
        if (pthread_create(&parts[started].thread, NULL, work, &parts[started])) break;
    work(&parts[0]);
    for (i = started; i < n; i++) work(&parts[i]);
    for (i = 1; i < started; i++) pthread_join(parts[i].thread, NULL);
    return seconds() - begin;
}

double read_bandwidth(const unsigned char *block, size_t bytes, int threads)
{
    part parts[MOST_THREADS];
    double best = 0.0;
    int i, run, n = threads < MOST_THREADS ? threads : MOST_THREADS;
    for (run = 0; run < 5; run++) {
        double s;
        memset(parts, 0, sizeof parts);
        for (i = 0; i < n; i++) parts[i].block = block + bytes / (size_t)n * (size_t)i, parts[i].bytes = bytes / (size_t)n;
        s = run_parts(parts, n, sum_part);
        if ((double)bytes / s > best) best = (double)bytes / s;
    }
    return best;
}

/* ---- int8 multiply-adds: the fewest instructions for exact products of signed bytes, in registers, in as many
 * independent chains as hide their latency ---- */

#if ON_X86

enum { CHAINS = 8 };

#define EACH_CHAIN(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7)

#define AVX2_STEP(i)                                                                                                  \
    __asm__ volatile("vpsignb %2, %1, %%ymm15\n\tvpmaddubsw %%ymm15, %2, %%ymm15\n\t"                                \
                     "vpmaddwd %3, %%ymm15, %%ymm15\n\tvpaddd %%ymm15, %0, %0"                                        \
                     : "+x"(sum[i])                                                                                   \
                     : "x"(x), "x"(w), "x"(ones)                                                                      \
                     : "xmm15");

__attribute__((target("avx2"))) static uint64_t spin_avx2(long rounds)
{
    __m256i sum[CHAINS], w = _mm256_set1_epi8(3), x = _mm256_set1_epi8(-5), ones = _mm256_set1_epi16(1);
    uint64_t total = 0;
    int i;
    for (i = 0; i < CHAINS; i++) sum[i] = _mm256_set1_epi32(i);
    while (rounds-- > 0) {
        EACH_CHAIN(AVX2_STEP)
    }
    for (i = 0; i < CHAINS; i++) total += (uint64_t)(uint32_t)_mm256_extract_epi32(sum[i], 0);
    return total;
}

#define AVX512_STEP(i) __asm__ volatile("vpdpbusd %1, %2, %0" : "+v"(sum[i]) : "v"(x), "v"(w));

__attribute__((target("avx512f,avx512vnni"))) static uint64_t spin_avx512(long rounds)
{
    __m512i sum[CHAINS], w = _mm512_set1_epi32(0x03030303), x = _mm512_set1_epi32(0x05050505);
    uint64_t total = 0;
    int i;
    for (i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_epi32(i);
    while (rounds-- > 0) {
        EACH_CHAIN(AVX512_STEP)
    }
    for (i = 0; i < CHAINS; i++) total += (uint64_t)(uint32_t)_mm512_reduce_add_epi32(sum[i]);
    return total;
}
#endif

double int8_peak(const char *isa, int threads)
{
    uint64_t (*spin)(long) = NULL;
    double lanes = 0.0, best = 0.0;
    part parts[MOST_THREADS];
    int i, run, n = threads < MOST_THREADS ? threads : MOST_THREADS;
    const long rounds = 4000000;
#if ON_X86
    if (strcmp(isa, "avx2") == 0) spin = spin_avx2, lanes = 32.0 * CHAINS;
    if (strcmp(isa, "avx512") == 0) spin = spin_avx512, lanes = 64.0 * CHAINS;
#endif
    for (run = 0; run < 5 && spin; run++) {
        double s;
        memset(parts, 0, sizeof parts);
        for (i = 0; i < n; i++) parts[i].spin = spin, parts[i].rounds = rounds;
        s = run_parts(parts, n, spin_part);
        if (lanes * (double)rounds * (double)n / s > best) best = lanes * (double)rounds * (double)n / s;
    }
    return best;
}
