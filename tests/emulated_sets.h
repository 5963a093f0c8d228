/* emulated_sets.h - AMX, AVX-512 and AVX-VNNI for machines that have none of them
 *
 * SIMDe (libsimde-dev) computes their intrinsics in plain code, so that the sets amx, avx512 and avxvnni of [CH08] can
 * be compared with plain C bit for bit anywhere. tests/emulated_sets.sh puts this in the place of <immintrin.h>; what
 * follows is what SIMDe 0.7.4 lacks. */
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

/* Quarters or, within quarters, floats change places: two bits of `order` for each. */
static simde__m512 emulated_places(simde__m512 a, int order, int quarters)
{
    simde__m512 r;
    float x[16], y[16];
    int i;
    memcpy(x, &a, 64);
    for (i = 0; i < 16; i++) {
        int from = order >> 2 * (quarters ? i / 4 : i % 4) & 3;
        y[i] = quarters ? x[4 * from + i % 4] : x[i / 4 * 4 + from];
    }
    memcpy(&r, y, 64);
    return r;
}

static float emulated_cvtss_f32(simde__m512 a)
{
    float x;
    memcpy(&x, &a, sizeof x);
    return x;
}

static simde__m128i emulated_cvtepi32_epi8(simde__m512i a)
{
    simde__m128i r;
    int32_t x[16];
    int8_t y[16];
    int i;
    memcpy(x, &a, 64);
    for (i = 0; i < 16; i++) y[i] = (int8_t)x[i];
    memcpy(&r, y, 16);
    return r;
}

#undef _mm512_shuffle_f32x4
#undef _mm512_permute_ps
#undef _mm512_cvtss_f32
#undef _mm512_cvtepi32_epi8
#define _mm512_shuffle_f32x4(a, same, order) emulated_places(a, order, 1) /* the library gives the same twice */
#define _mm512_permute_ps(a, order) emulated_places(a, order, 0)
#define _mm512_cvtss_f32 emulated_cvtss_f32
#define _mm512_cvtepi32_epi8 emulated_cvtepi32_epi8
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

/* AMX, from Intel's description: tiles of 16 rows of 64 bytes, of which a configuration uses some. */
static uint8_t tile_bytes[8][16][64], tile_shapes[64];

static int tile_rows(int tile) { return tile_shapes[48 + tile]; }

static int tile_row_bytes(int tile) { return tile_shapes[16 + 2 * tile] | tile_shapes[17 + 2 * tile] << 8; }

static void emulated_tile_loadconfig(const void *shapes)
{
    memcpy(tile_shapes, shapes, 64), memset(tile_bytes, 0, sizeof tile_bytes);
}

static void emulated_tile_release(void) { memset(tile_shapes, 0, sizeof tile_shapes); }

static void emulated_tile_zero(int tile) { memset(tile_bytes[tile], 0, sizeof tile_bytes[tile]); }

static void emulated_tile_loadd(int tile, const void *from, int stride)
{
    int r;
    emulated_tile_zero(tile);
    for (r = 0; r < tile_rows(tile); r++)
        memcpy(tile_bytes[tile][r], (const char *)from + r * stride, (size_t)tile_row_bytes(tile));
}

static void emulated_tile_stored(int tile, void *to, int stride)
{
    int r;
    for (r = 0; r < tile_rows(tile); r++)
        memcpy((char *)to + r * stride, tile_bytes[tile][r], (size_t)tile_row_bytes(tile));
}

static void emulated_tile_dpbssd(int c, int a, int b)
{
    int m, k, n, i;
    for (m = 0; m < tile_rows(c); m++)
        for (n = 0; n < tile_row_bytes(c) / 4; n++) {
            int32_t sum;
            memcpy(&sum, tile_bytes[c][m] + 4 * n, 4);
            for (k = 0; k < tile_row_bytes(a) / 4; k++)
                for (i = 0; i < 4; i++)
                    sum += (int8_t)tile_bytes[a][m][4 * k + i] * (int8_t)tile_bytes[b][k][4 * n + i];
            memcpy(tile_bytes[c][m] + 4 * n, &sum, 4);
        }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbssd
#define _tile_loadconfig emulated_tile_loadconfig
#define _tile_release emulated_tile_release
#define _tile_zero emulated_tile_zero
#define _tile_loadd emulated_tile_loadd
#define _tile_stored emulated_tile_stored
#define _tile_dpbssd emulated_tile_dpbssd
