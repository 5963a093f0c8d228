/* emulated_sets.h - AVX-512 and AVX-VNNI for machines that have neither
 *
 * SIMDe (libsimde-dev) computes their intrinsics in plain code, so that the sets avx512 and avxvnni of [CH08] can be
 * compared with plain C bit for bit anywhere. tests/emulated_sets.sh puts this in the place of <immintrin.h>; what follows
 * is what SIMDe 0.7.4 lacks. */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <stdint.h>
#include <string.h>

#define EACH_LANE(from, to, result)                                                                                   \
    int i;                                                                                                            \
    for (i = 0; i < 16; i++) {                                                                                        \
        from x;                                                                                                       \
        to y;                                                                                                         \
        memcpy(&x, (const char *)&a + (int)sizeof x * i, sizeof x);                                                   \
        y = (to)(result);                                                                                             \
        memcpy((char *)&r + (int)sizeof y * i, &y, sizeof y);                                                         \
    }                                                                                                                 \
    return r

static simde__m512 emulated_cvtepi32_ps(simde__m512i a)
{
    simde__m512 r;
    EACH_LANE(int32_t, float, x);
}

static simde__m512i emulated_cvtepi8_epi32(simde__m128i a)
{
    simde__m512i r;
    EACH_LANE(int8_t, int32_t, x);
}

static simde__m512 emulated_cvtph_ps(simde__m256i a) /* two halves of what F16C converts */
{
    simde__m256 low = simde_mm256_cvtph_ps(simde_mm256_castsi256_si128(a));
    simde__m256 high = simde_mm256_cvtph_ps(simde_mm256_extracti128_si256(a, 1));
    simde__m512 r;
    memcpy(&r, &low, 32);
    memcpy((char *)&r + 32, &high, 32);
    return r;
}

static simde__m512i emulated_sll_epi32(simde__m512i a, simde__m128i n)
{
    simde__m512i r;
    EACH_LANE(uint32_t, uint32_t, x << simde_mm_cvtsi128_si32(n));
}

static simde__m512i emulated_sra_epi32(simde__m512i a, simde__m128i n)
{
    simde__m512i r;
    EACH_LANE(int32_t, int32_t, x >> simde_mm_cvtsi128_si32(n));
}

#undef _mm512_cvtepi32_ps
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtph_ps
#undef _mm512_sll_epi32
#undef _mm512_sra_epi32
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps
#define _mm512_cvtepi8_epi32 emulated_cvtepi8_epi32
#define _mm512_cvtph_ps emulated_cvtph_ps
#define _mm512_sll_epi32 emulated_sll_epi32
#define _mm512_sra_epi32 emulated_sra_epi32
#define _mm256_dpbusd_avx_epi32 simde_mm256_dpbusd_epi32
