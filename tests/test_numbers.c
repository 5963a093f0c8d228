/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_numbers.c - the arithmetic against exact references, and what a session decides by it
 *
 *     test_numbers MODEL.harp [all]      all: every float is tried instead of one in 251
 *     test_numbers kernels               kernels alone, which takes an emulator seconds
 *
 * An insider: it includes the library, for hardly a function that is tested here can be called from outside. Functions
 * of one float are compared with long double over every float of interest, or a dense part of them; integer ones with
 * exact arithmetic. Bounds are those that the comments in harp_impl.c state. What is printed as "note" is what was
 * found. */
#include "../harp_impl.c"
#include "harp_file.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t stride = 251;

static const int32_t prompt[] = {29, 49, 196, 76, 122, 106, 68, 3, 250, 17, 99, 42, 7, 180, 61, 230, 11, 5, 77, 140};
enum { PROMPT = sizeof prompt / sizeof *prompt };

/* |x - exact| in units of the last place of a float as large as exact. */
static double ulps(float x, long double exact)
{
    long double size = exact < 0 ? -exact : exact, unit = 1.4012984643248171e-45L;
    int e;
    frexpl(size, &e);
    if (e > -125) unit = ldexpl(1.0L, e - 24);
    return (double)fabsl(((long double)x - exact) / unit);
}

/* ---- functions of one number ---- */

static void test_exp(void)
{
    double worst = 0.0, at = 0.0;
    uint32_t u, sign;
    for (sign = 0; sign < 2; sign++)
        for (u = 0; u < hp_bits(sign ? 87.0f : 88.0f); u += stride) {
            float x = hp_float(u | sign << 31);
            double e = ulps(hp_exp(x), expl((long double)x));
            if (!(e <= worst)) worst = e, at = (double)x;
        }
    printf("note   exp: %.3f ulp at most, at %.9g\n", worst, at);
    CHECK(worst < 2.0);
    CHECK(hp_exp(0.0f) == 1.0f && hp_exp(-0.0f) == 1.0f);
    CHECK(hp_exp(-1e30f) == hp_exp(-87.0f) && hp_exp(hp_float(0xFF800000u)) == hp_exp(-87.0f));
    CHECK(hp_exp(1e30f) == hp_exp(88.0f) && hp_is_finite(hp_exp(hp_float(0x7F800000u))));
    CHECK(hp_exp(hp_float(0x7FC00000u)) != hp_exp(hp_float(0x7FC00000u))); /* a NaN stays one */
}

static void test_log2(void)
{
    double worst = 0.0;
    uint32_t u;
    int e;
    for (u = 0; u < 2000; u++)
        for (e = -1073; e < 1024; e += 7) {
            double m = 1.0 + (double)u / 2000.0, x = ldexp(m, e);
            long double exact = log2l((long double)x);
            double error = (double)fabsl((long double)hp_log2(x) - exact), bound = (double)fabsl(exact);
            if (bound < 1.0) bound = 1.0;
            if (!(error / bound <= worst)) worst = error / bound;
        }
    printf("note   log2: error %.3g of max(1, |log2|) at most\n", worst);
    CHECK(worst < 1e-15);
    CHECK(hp_log2(1.0) == 0.0 && hp_log2(2.0) == 1.0 && hp_log2(262144.0) == 18.0);
}

/* Angles are products of a position below 2^28 and a frequency of at most 64; real ones stay below 2^20. */
static void test_sine_cosine(void)
{
    static const double most[] = {1.0, 3.2, 4096.0, 1048576.0, 17179869184.0};
    static const double bound[] = {6.1e-8, 6.1e-8, 6.1e-8, 6.1e-8, 1e-5};
    size_t k;
    for (k = 0; k < sizeof most / sizeof *most; k++) {
        double worst = 0.0, step = most[k] / 40009.0, x;
        for (x = -most[k]; x <= most[k]; x += step) {
            float s, c;
            double a, b;
            hp_sine_cosine(x, &s, &c);
            a = (double)fabsl((long double)s - sinl((long double)x)),
            b = (double)fabsl((long double)c - cosl((long double)x));
            if (!(a <= worst)) worst = a;
            if (!(b <= worst)) worst = b;
        }
        printf("note   sine, cosine: error %.3g at most, angles to %.0f\n", worst, most[k]);
        CHECK(worst < bound[k]);
    }
}

/* What each half means, from the definition; every float against the nearest of two neighbours, ties to even. */
static long double value_of_half(uint32_t h)
{
    uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
    long double x = exponent ? ldexpl(1024.0L + fraction, (int)exponent - 25) : ldexpl((long double)fraction, -24);
    return h & 0x8000 ? -x : x;
}

static int is_nearest_half(float x, uint32_t h)
{
    long double size = x < 0 ? -(long double)x : (long double)x, own, next, before;
    h &= 0x7FFF;
    if (h == 0x7C00) return size >= 65520.0L;
    own = value_of_half(h), before = h ? value_of_half(h - 1) : -1.0L;
    next = h == 0x7BFF ? 65536.0L : value_of_half(h + 1);
    if (size > own) return size - own < next - size || (size - own == next - size && h % 2 == 0);
    return own - size < size - before || (own - size == size - before && h % 2 == 0);
}

static void test_half(void)
{
    uint32_t h, u, bad = 0;
    for (h = 0; h < 65536; h++) {
        float f = hp_half_to_float((uint16_t)h);
        if ((h & 0x7C00) == 0x7C00) {
            if ((h & 1023) ? f == f : !(f > FLT_MAX || f < -FLT_MAX)) bad++;
        } else if ((long double)f != value_of_half(h) || hp_float_to_half(f) != h) {
            bad++;
        }
    }
    CHECK(bad == 0);
    for (u = 0; u < 0x7F800000u - stride; u += stride) {
        float x = hp_float(u);
        uint16_t positive = hp_float_to_half(x), negative = hp_float_to_half(-x);
        if (negative != (positive | 0x8000) || !is_nearest_half(x, positive)) bad++;
    }
    CHECK(bad == 0);
    CHECK(hp_float_to_half(65519.0f) == 0x7BFF && hp_float_to_half(65520.0f) == 0x7C00);
    CHECK(hp_float_to_half(hp_float(0x33000000u)) == 0 && hp_float_to_half(hp_float(0x33000001u)) == 1);
    CHECK((hp_float_to_half(hp_float(0x7F800001u)) & 0x7FFF) > 0x7C00
          && hp_float_to_half(hp_float(0xFF800000u)) == 0xFC00);
}

static void test_philox(void)
{
    /* the known-answer vectors of Salmon et al., Random123, philox4x32 with ten rounds */
    hp_random a = hp_philox(0, 0, 0, 0, 0), b = hp_philox(~(uint64_t)0, ~0u, ~0u, ~0u, ~0u);
    hp_random c =
        hp_philox((uint64_t)0x299F31D0u << 32 | 0xA4093822u, 0x243F6A88u, 0x85A308D3u, 0x13198A2Eu, 0x03707344u);
    static const uint32_t ka[4] = {0x6627E8D5u, 0xE169C58Du, 0xBC57AC4Cu, 0x9B00DBD8u};
    static const uint32_t kb[4] = {0x408F276Du, 0x41C83B0Eu, 0xA20BC7C6u, 0x6D5451FDu};
    static const uint32_t kc[4] = {0xD16CFE09u, 0x94FDCCEBu, 0x5001E420u, 0x24126EA1u};
    CHECK(memcmp(a.word, ka, sizeof ka) == 0);
    CHECK(memcmp(b.word, kb, sizeof kb) == 0);
    CHECK(memcmp(c.word, kc, sizeof kc) == 0);
}

/* ---- kernels ---- */

static uint32_t state = 1;

static float any_float(float most)
{
    state = state * 1664525u + 1013904223u;
    return ((float)(state >> 8) / 8388608.0f - 1.0f) * most;
}

/* |x - q * scale| is at most half a step, the largest element becomes 127, zeros stay zeros; ties go to even. */
static void test_quantize(void)
{
    static const float sizes[] = {1e-29f, 1e-3f, 1.0f, 300.0f, 3e30f};
    float x[HP_GROUP], scale;
    int8_t q[HP_GROUP];
    int32_t i, round, bad = 0, most, sum;
    for (round = 0; round < 5000; round++) {
        for (i = 0; i < HP_GROUP; i++) x[i] = any_float(sizes[round % 5]);
        hp_kernels_at(0)->quantize(q, &scale, &sum, x, 1, 1);
        for (i = most = 0; i < HP_GROUP; i++) {
            double error = fabs((double)x[i] - (double)q[i] * (double)scale);
            if (!(error <= (double)scale * 0.50001) || q[i] < -127) bad++;
            if (abs(q[i]) > most) most = abs(q[i]);
        }
        if (most != 127) bad++;
    }
    CHECK(bad == 0);
    memset(x, 0, sizeof x);
    hp_kernels_at(0)->quantize(q, &scale, &sum, x, 1, 1);
    for (i = 0; i < HP_GROUP; i++) bad += q[i] != 0;
    CHECK(bad == 0 && scale == 0.0f);
    x[0] = 127.0f, x[1] = 0.5f, x[2] = 1.5f, x[3] = -2.5f, x[4] = -127.0f, x[5] = 63.5f;
    hp_kernels_at(0)->quantize(q, &scale, &sum, x, 1, 1);
    CHECK(scale == 1.0f && q[0] == 127 && q[1] == 0 && q[2] == 2 && q[3] == -2 && q[4] == -127 && q[5] == 64);
    x[0] = 1e-31f, x[1] = x[2] = x[3] = x[4] = x[5] = 0.0f;
    hp_kernels_at(0)->quantize(q, &scale, &sum, x, 1, 1);
    CHECK(scale == 0.0f && q[0] == 0);
}

/* One number of a row that is NaN or infinite, wherever it stands: rounding says so in the row's first scale,
 * attention's weights sum to NaN, and a cap leaves NaN alone, in each set. */
static void test_no_numbers(void)
{
    static const uint32_t odd[] = {0x7FC00000u, 0xFFC00000u, 0x7FC12345u, 0x7F800000u, 0xFF800000u};
    float x[96], y[96], scales[3];
    int8_t q[96];
    int32_t starts[3], i, k;
    const hp_kernels *set;
    int index;
    size_t v, n = sizeof odd / sizeof *odd;
    for (index = 0; (set = hp_kernels_at(index)) != NULL; index++) {
        int rounded = 0, weighed = 0, capped = 0, kept = 0;
        for (v = 0; v < n; v++)
            for (i = 0; i < 96; i++) {
                float sum;
                for (k = 0; k < 96; k++) x[k] = (float)(k * 37 % 101 - 50) * 0.25f;
                x[i] = hp_float(odd[v]);
                set->quantize(q, scales, starts, x, 3, 1);
                rounded += scales[0] != scales[0];
                memcpy(y, x, sizeof x);
                sum = set->softmax_weights(y, 0, 95, 0.5f);
                weighed += sum != sum;
                memcpy(y, x, sizeof x);
                set->soft_cap(y, 96, 1.0f, 30.0f);
                capped += v < 3 ? y[i] != y[i] : fabsf(y[i]) <= 30.0f;
                for (k = 0; k < 96; k++) kept += k != i && fabsf(y[k]) < 30.0f;
            }
        CHECK(rounded == 96 * (int)n && capped == 96 * (int)n && kept == 95 * 96 * (int)n);
        CHECK(weighed == 96 * (int)(n - 1)); /* -infinity is a weight of nothing */
    }
}

/* So does the int8 cache, in its scale. */
static void test_no_numbers_in_cache(void)
{
    static const uint32_t odd[] = {0x7FC00000u, 0xFFC12345u, 0x7F800000u, 0xFF800000u};
    float x[20];
    uint8_t p[20], scale[2];
    int32_t i, k;
    size_t v;
    for (v = 0; v < 4; v++)
        for (i = 0; i < 20; i++) {
            float back;
            for (k = 0; k < 20; k++) x[k] = (float)(k - 10);
            x[i] = hp_float(odd[v]);
            hp_store_int8(p, 1, x, 20, scale);
            back = hp_half_to_float(hp_u16(scale));
            CHECK(back != back);
        }
    for (k = 0; k < 20; k++) x[k] = k == 7 ? 3e38f : 1.0f; /* finite ones are cut off */
    hp_store_int8(p, 1, x, 20, scale);
    CHECK(hp_half_to_float(hp_u16(scale)) == 65504.0f && p[7] == 127 && p[6] == 0);
}

/* The cache of int8: what is too large for a scale is held to 127 times the largest, and zeros are zeros. */
static void test_int8_cache(void)
{
    const float huge[4] = {1e30f, -1e30f, 65504.0f, 0.0f}, zeros[4] = {0, 0, -0.0f, 0};
    uint8_t out[4], scale[2];
    hp_store_int8(out, 1, huge, 4, scale);
    CHECK(hp_half_to_float(hp_u16(scale)) == 65504.0f && out[0] == 127 && out[1] == (uint8_t)-127 && out[2] == 1
          && !out[3]);
    hp_store_int8(out, 1, zeros, 4, scale);
    CHECK(hp_u16(scale) == 0 && !out[0] && !out[1] && !out[2] && !out[3]);
}

/* All sets round alike, what is no number included: such a model is refused later, wherever it runs. */
static void test_quantize_sets(void)
{
    float x[HP_GROUP], scale, plain_scale;
    int8_t q[HP_GROUP], plain[HP_GROUP];
    int32_t i, round, set, sum, total, bad = 0;
    for (round = 0; round < 2000; round++) {
        for (i = 0; i < HP_GROUP; i++) x[i] = any_float(10.0f);
        if (round % 2) x[round / 2 % 32] = hp_float(round % 4 == 1 ? 0x7FC00000u : 0x7F800000u);
        if (round % 8 == 7) x[round / 8 % 32] = hp_float(0xFFC12345u);
        hp_find_kernels("c")->quantize(plain, &plain_scale, &sum, x, 1, 1);
        for (set = 0; hp_kernels_at(set); set++) {
            hp_kernels_at(set)->quantize(q, &scale, &sum, x, 1, 1);
            for (i = 0, total = 0; i < HP_GROUP; i++) total += q[i];
            bad += memcmp(q, plain, sizeof q) != 0 || hp_bits(scale) != hp_bits(plain_scale)
                   || (sum != 0 && sum != -128 * total);
        }
    }
    CHECK(bad == 0);
}

/* A product of the canonical order (rules R1, R2), written down plainly; every instruction set must give its bits. The
 * weights take all values of a byte, -128 among them, which no converter writes but a file can hold. */
enum { ROWS = 19, TILES = 9, OUTPUTS = 133, INPUTS = 70, STRIDE = 96, GROUPS = 3, OUT_STRIDE = 144 };

/* Output `row` of the inputs whose first group is q and scales; their other groups are `apart` groups away. */
static float plain_product(const hp_matrix *m, const int8_t *q, const float *scales, size_t apart, int32_t row)
{
    const uint8_t *tile = m->tiles + (size_t)(row / 16) * m->tile_bytes;
    float total = 0.0f;
    int32_t g, c;
    for (g = 0; g < GROUPS; g++, q += 32 * apart, scales += apart) {
        float scale = hp_half_to_float(hp_u16(tile + 2 * (g * 16 + row % 16))), product = scale * *scales, term;
        int32_t sum = 0;
        for (c = 0; c < 32; c++)
            sum += (int8_t)tile[m->scale_bytes + (size_t)(g * 512 + c / 4 * 64 + row % 16 * 4 + c % 4)] * q[c];
        term = (float)sum * product;
        total = total + term;
    }
    return total;
}

/* 1 to 19 rows: every number of rows at once, blocks of inputs that are full and not; 9 tiles: one after another,
 * or at four places and one alone, and what is asked for ahead lies anywhere. */
static void test_products(void)
{
    static uint8_t tiles[TILES * (128 + GROUPS * 512)];
    static float x[ROWS * STRIDE], out[ROWS * OUT_STRIDE], scales[ROWS * GROUPS];
    static int8_t q[ROWS * STRIDE];
    static int32_t starts[ROWS * GROUPS];
    static float *places[ROWS];
    hp_matrix m = {tiles, NULL, OUTPUTS, INPUTS, GROUPS, TILES, 128, 128 + GROUPS * 512};
    int32_t i, r, o, bad = 0, round, set, tried = 0;
    for (round = 0; round < HP_WAYS * ROWS; round++) {
        size_t rows = (size_t)(round % ROWS) + 1;
        const hp_way *way = &hp_ways[round / ROWS];
        for (i = 0; i < (int32_t)sizeof tiles; i++)
            tiles[i] = round == 0 ? 0x80 : (uint8_t)(any_float(128.0f) + 128.0f);
        for (o = 0; o < TILES; o++)
            for (i = 0; i < 64; i++) /* scales: halves of any size, finite */
                tiles[(size_t)o * m.tile_bytes + 2 * (size_t)i + 1] &= 0x7B;
        for (i = 0; i < ROWS * STRIDE; i++) x[i] = i % STRIDE < INPUTS ? any_float(round % 2 ? 3.0f : 1e-3f) : 0.0f;
        for (set = 0; hp_kernels_at(set); set++, tried++) {
            const hp_kernels *k = hp_kernels_at(set);
            hp_operand in = {NULL, q, scales, starts, STRIDE, rows, 0, 0};
            for (r = 0; r < (int32_t)rows; r++) {
                size_t at = hp_first_group((size_t)r, GROUPS);
                k->quantize(q + 32 * at, scales + at, starts + at, x + r * STRIDE, GROUPS,
                            hp_rows_in_block((size_t)r, rows));
            }
            for (r = 0; r < (int32_t)rows; r++) places[r] = out + ((r + round) % ROWS) * OUT_STRIDE;
            k->matmul(&m, 0, TILES, &in, way, places);
            for (r = 0; r < (int32_t)rows; r++)
                for (o = 0; o < OUTPUTS; o++) {
                    size_t at = hp_first_group((size_t)r, GROUPS);
                    float want = plain_product(&m, q + 32 * at, scales + at, hp_rows_in_block((size_t)r, rows), o);
                    bad += hp_bits(want) != hp_bits(places[r][o]);
                }
        }
    }
    printf("note   int8 products: %d instruction sets, the same bits as the definition\n", tried / (HP_WAYS * ROWS));
    CHECK(bad == 0 && tried >= HP_WAYS * ROWS);
}

/* Nibbles: their products are those of the int8 matrix that they stand for, also with float activations. 19 groups are
 * no multiple of what is expanded at once. */
enum { NIBBLE_GROUPS = 19, NIBBLE_STRIDE = 32 * NIBBLE_GROUPS, NIBBLE_TILE = 640 + NIBBLE_GROUPS * 256 };
enum { EXPANDED_TILE = 640 + NIBBLE_GROUPS * 512 };

static void expand_by_definition(uint8_t *int8, const uint8_t *nibbles, const uint8_t *table)
{
    int32_t t, r, c;
    for (t = 0; t < TILES; t++, int8 += EXPANDED_TILE, nibbles += NIBBLE_TILE) {
        memcpy(int8, nibbles, 640);
        for (r = 0; r < 16; r++)
            for (c = 0; c < NIBBLE_STRIDE; c++) {
                uint8_t two = nibbles[640 + c / 32 * 256 + c % 32 / 8 * 64 + r * 4 + c % 4];
                int8[640 + c / 32 * 512 + c % 32 / 4 * 64 + r * 4 + c % 4] = table[c % 8 < 4 ? two & 15 : two >> 4];
            }
    }
}

static void test_nibbles(void)
{
    static uint8_t nibbles[TILES * NIBBLE_TILE], table[16], int8[TILES * EXPANDED_TILE];
    static float x[ROWS * NIBBLE_STRIDE], out[2][ROWS * OUT_STRIDE], scales[ROWS * NIBBLE_GROUPS];
    static int8_t q[ROWS * NIBBLE_STRIDE];
    static int32_t starts[ROWS * NIBBLE_GROUPS];
    static float *places[2][ROWS];
    hp_matrix m = {nibbles, table, OUTPUTS, NIBBLE_STRIDE, NIBBLE_GROUPS, TILES, 640, NIBBLE_TILE};
    hp_matrix expanded = {int8, NULL, OUTPUTS, NIBBLE_STRIDE, NIBBLE_GROUPS, TILES, 640, EXPANDED_TILE};
    int32_t i, r, o, bad = 0, round, set, tried = 0;
    for (round = 0; round < HP_WAYS * (ROWS + 1); round++) {
        int is_float = round % (ROWS + 1) == ROWS;
        size_t rows = is_float ? 2 : (size_t)(round % (ROWS + 1)) + 1;
        for (i = 0; i < 16; i++) table[i] = round == 0 ? 0x80 : (uint8_t)(any_float(128.0f) + 128.0f);
        for (i = 0; i < TILES * NIBBLE_TILE; i++) nibbles[i] = (uint8_t)(any_float(128.0f) + 128.0f);
        for (o = 0; o < TILES; o++)
            for (i = 0; i < 320; i++) nibbles[(size_t)o * NIBBLE_TILE + 2 * (size_t)i + 1] &= 0xBB; /* of either sign */
        for (i = 0; i < ROWS * NIBBLE_STRIDE; i++) x[i] = any_float(3.0f);
        expand_by_definition(int8, nibbles, table);
        for (set = 0; hp_kernels_at(set); set++, tried++) {
            const hp_kernels *k = hp_kernels_at(set);
            hp_operand in = {x, is_float ? NULL : q, scales, starts, NIBBLE_STRIDE, rows, 0, 0};
            for (r = 0; r < (int32_t)rows; r++) {
                size_t at = hp_first_group((size_t)r, NIBBLE_GROUPS);
                k->quantize(q + 32 * at, scales + at, starts + at, x + r * NIBBLE_STRIDE, NIBBLE_GROUPS,
                            hp_rows_in_block((size_t)r, rows));
            }
            for (r = 0; r < 2 * ROWS; r++) places[r / ROWS][r % ROWS] = out[r / ROWS] + r % ROWS * OUT_STRIDE;
            k->matmul(&m, 0, TILES, &in, &hp_ways[round / (ROWS + 1)], places[0]);
            k->matmul(&expanded, 0, TILES, &in, &hp_ways[round / (ROWS + 1)], places[1]);
            for (r = 0; r < (int32_t)rows; r++)
                for (o = 0; o < OUTPUTS; o++)
                    bad += hp_bits(out[0][r * OUT_STRIDE + o]) != hp_bits(out[1][r * OUT_STRIDE + o]);
        }
    }
    CHECK(bad == 0 && tried >= HP_WAYS * (ROWS + 1));
}

/* ---- Norms, rotation, attention: each by its definition, in loops that any reader can follow ---- */

enum { LONGEST = 160, SUMS = 16 };

static float numbers[LONGEST], others[4 * LONGEST];
static uint8_t weights[4 * LONGEST];

static void make_numbers(int32_t n)
{
    int32_t i;
    memset(numbers, 0, sizeof numbers);
    for (i = 0; i < LONGEST; i++) {
        hf_store_float(weights + 4 * i, 1.0f + any_float(0.5f));
        if (i < n) numbers[i] = any_float(3.0f);
    }
    for (i = 0; i < 4 * LONGEST; i++) others[i] = any_float(2.0f);
}

/* Rule R2: element i belongs to partial sum i mod 16; the halves are added, then their halves. */
static float sum_of_squares(const float *x, int32_t n)
{
    float sum[SUMS] = {0};
    int32_t i, half;
    for (i = 0; i < n; i++) {
        float square = x[i] * x[i];
        sum[i % SUMS] = sum[i % SUMS] + square;
    }
    for (half = SUMS / 2; half > 0; half /= 2)
        for (i = 0; i < half; i++) sum[i] = sum[i] + sum[i + half];
    return sum[0];
}

static int same_floats(const float *a, const float *b, int32_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static void test_norms(void)
{
    static float expected[LONGEST], out[LONGEST];
    int32_t n, i, set, bad = 0;
    for (n = 1; n <= 130; n++) {
        float mean, scale;
        make_numbers(n);
        mean = sum_of_squares(numbers, n) / (float)n, mean = mean + 1e-6f, scale = 1.0f / sqrtf(mean);
        memset(expected, 0, sizeof expected);
        for (i = 0; i < n; i++) {
            float normed = numbers[i] * scale;
            expected[i] = normed * hp_f32(weights + 4 * (size_t)i);
        }
        for (set = 0; hp_kernels_at(set); set++) {
            memset(out, 0, sizeof out);
            hp_kernels_at(set)->rmsnorm(out, numbers, weights, n, 1e-6f);
            bad += !same_floats(out, expected, LONGEST);
            memcpy(out, numbers, sizeof out);
            hp_kernels_at(set)->rmsnorm(out, out, weights, n, 1e-6f);
            bad += !same_floats(out, expected, LONGEST);
        }
    }
    CHECK(bad == 0);
}

static void test_rope(void)
{
    float expected[LONGEST], out[LONGEST];
    int32_t dims, i, set, bad = 0;
    for (dims = 2; dims <= 128; dims += 2) {
        make_numbers(LONGEST);
        memcpy(expected, numbers, sizeof expected);
        for (i = 0; i < dims / 2; i++) {
            float a = numbers[i], b = numbers[i + dims / 2], cosine = others[i], sine = others[i + dims / 2];
            float ac = a * cosine, bs = b * sine, bc = b * cosine, as = a * sine;
            expected[i] = ac - bs, expected[i + dims / 2] = bc + as;
        }
        for (set = 0; hp_kernels_at(set); set++) {
            memcpy(out, numbers, sizeof out);
            hp_kernels_at(set)->rope(out, others, dims);
            bad += !same_floats(out, expected, LONGEST);
        }
    }
    CHECK(bad == 0);
}

/* An element of a block of a cache of any type. */
static float element_of(const hp_packed *b, int32_t k, int32_t c)
{
    size_t at = (size_t)(k * b->cols + c);
    float x = (float)(int8_t)b->elements[at];
    if (b->type == HARP_CACHE_F16) x = hp_half_to_float(hp_u16(b->elements + 2 * at));
    if (b->type == HARP_CACHE_F32) memcpy(&x, b->elements + 4 * at, 4);
    if (b->row_scales) x = x * hp_half_to_float(hp_u16(b->row_scales + 2 * k));
    if (b->col_scales) x = x * hp_half_to_float(hp_u16(b->col_scales + 2 * c));
    return x;
}

/* Sums of a block's rows by weights: from the first to the last, one after another, onto what is there; blocks of each
 * type, with scales by rows or by columns where there are any. */
static void test_weighted_sums(void)
{
    enum { MOST_QUERIES = 13, MOST_ROWS = 20, MOST_COLS = 80 };
    static float out[MOST_QUERIES * MOST_COLS], begin[MOST_QUERIES * MOST_COLS], expected[MOST_QUERIES * MOST_COLS];
    static float a[MOST_QUERIES * MOST_ROWS], block[MOST_ROWS * MOST_COLS];
    uint8_t scales[2 * MOST_COLS], *image = (uint8_t *)block;
    int32_t cols, type, i, k, c, set, bad = 0;
    for (i = 0; i < MOST_QUERIES * MOST_ROWS; i++) a[i] = any_float(1.0f);
    for (i = 0; i < MOST_QUERIES * MOST_COLS; i++) begin[i] = any_float(1.0f);
    for (c = 0; c < MOST_COLS; c++) scales[2 * c] = (uint8_t)c, scales[2 * c + 1] = (uint8_t)(0x20 + c % 16);
    for (cols = 2; cols <= MOST_COLS; cols += 2)
        for (type = HARP_CACHE_F16; type <= HARP_CACHE_INT8; type++) {
            hp_weighing w = {0};
            w.b.type = (harp_cache)type, w.b.elements = image, w.b.cols = cols;
            if (type == HARP_CACHE_INT8) *(cols % 4 ? &w.b.col_scales : &w.b.row_scales) = scales;
            for (c = 0; c < (int32_t)sizeof block; c++) image[c] = (uint8_t)(int)(any_float(128.0f) + 128.0f);
            for (c = 1; c < (int32_t)sizeof block; c += 2) image[c] &= type == HARP_CACHE_INT8 ? 0xFF : 0xBB;
            w.out = out, w.out_stride = MOST_COLS, w.a = a, w.a_stride = MOST_ROWS;
            w.queries = 1 + cols / 2 % MOST_QUERIES, w.first = cols % 5, w.last = MOST_ROWS - 1 - cols % 3;
            memcpy(expected, begin, sizeof expected);
            for (i = 0; i < w.queries; i++)
                for (c = 0; c < cols; c++)
                    for (k = w.first; k <= w.last; k++) {
                        float term = a[i * MOST_ROWS + k] * element_of(&w.b, k, c);
                        expected[i * MOST_COLS + c] = expected[i * MOST_COLS + c] + term;
                    }
            for (set = 0; hp_kernels_at(set); set++) {
                memcpy(out, begin, sizeof out);
                hp_kernels_at(set)->weighted_sums(&w);
                bad += !same_floats(out, expected, MOST_QUERIES * MOST_COLS);
            }
        }
    CHECK(bad == 0);
}

/* exp(x - max) of scores that are equal, far apart, huge or -infinite: each within 2 ulp of exact, none a NaN. */
static void test_softmax(void)
{
    static const float kinds[][4] = {
        {1, 1, 1, 1}, {0, -1e30f, 5, 88}, {3e38f, 3e38f, -3e38f, 0}, {-700, -701, -702, -703}};
    float x[64], inf = hp_float(0x7F800000u);
    int set, kind;
    int32_t first, last, i, bad = 0;
    for (set = 0; hp_kernels_at(set); set++)
        for (kind = 0; kind < 5; kind++)
            for (first = 0; first < 20; first += 3)
                for (last = first; last < 44; last += 5) {
                    float total, top = -inf, in[64];
                    double exact = 0.0;
                    for (i = 0; i < 64; i++)
                        in[i] = x[i] = kind == 4 ? (i % 3 ? (float)i / 8.0f : -inf) : kinds[kind][i % 4];
                    if (kind == 4) in[first] = x[first] = 1.0f;
                    for (i = first; i <= last; i++) top = in[i] > top ? in[i] : top;
                    total = hp_kernels_at(set)->softmax_weights(x, first, last, 1.0f);
                    for (i = first; i <= last; i++) {
                        double e = exp((double)in[i] - (double)top);
                        exact += e;
                        if (!(fabs((double)x[i] - e) <= e * 2.4e-7 + 2e-38)) bad++;
                    }
                    if (!(fabs((double)total - exact) <= exact * 1e-6)) bad++;
                    for (i = first / 16 * 16; i < first; i++) bad += x[i] != 0.0f;
                    for (i = last + 1; i % 16 != 0; i++) bad += x[i] != 0.0f;
                }
    CHECK(bad == 0);
}

/* Shannon's entropy in double. */
static double exact_entropy(const float *x, int32_t n)
{
    double top = (double)x[0], z = 0.0, sum = 0.0;
    int32_t i;
    for (i = 1; i < n; i++) top = (double)x[i] > top ? (double)x[i] : top;
    for (i = 0; i < n; i++) z += exp((double)x[i] - top);
    for (i = 0; i < n; i++) {
        double p = exp((double)x[i] - top) / z;
        if (p > 0.0) sum -= p * log2(p);
    }
    return sum;
}

static void test_entropy(void)
{
    static const int32_t sizes[] = {1, 2, 3, 15, 16, 17, 1000, 262144};
    static const float spreads[] = {0.0f, 1e-4f, 1.0f, 20.0f, 1000.0f};
    float *x = malloc(262144 * sizeof *x), inf = hp_float(0x7F800000u);
    double worst[2] = {0.0, 0.0}; /* up to 1000 outcomes, 262144 */
    size_t s, k;
    int32_t i;
    if (!x) exit(2);
    for (s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (k = 0; k < sizeof spreads / sizeof *spreads; k++) {
            double error;
            for (i = 0; i < sizes[s]; i++) x[i] = any_float(spreads[k]);
            error = fabs((double)harp_entropy(x, sizes[s]) - exact_entropy(x, sizes[s]));
            if (!(error <= worst[sizes[s] > 1000])) worst[sizes[s] > 1000] = error;
        }
    printf("note   entropy: error %.3g bits at most up to 1000 outcomes, %.3g for 262144\n", worst[0], worst[1]);
    CHECK(worst[0] < 1e-5 && worst[1] < 2e-4); /* sums of a quarter of a million floats */
    for (i = 0; i < 262144; i++) x[i] = 7.0f;
    CHECK(harp_entropy(x, 262144) == 18.0f && harp_entropy(x, 2) == 1.0f && harp_entropy(x, 1) == 0.0f);
    x[0] = x[1] = -inf, x[2] = 3.0f, x[3] = 3.0f;
    CHECK(fabsf(harp_entropy(x, 4) - 1.0f) < 1e-6f && harp_logprob(x, 4, 0) == -inf);
    x[0] = FLT_MAX, x[1] = -FLT_MAX;
    CHECK(harp_entropy(x, 2) < 1e-6f && harp_logprob(x, 2, 0) == 0.0f);
    x[0] = x[1] = FLT_MAX;
    CHECK(harp_entropy(x, 2) == 1.0f);
    x[0] = x[1] = -inf;
    CHECK(harp_entropy(x, 2) != harp_entropy(x, 2));
    x[0] = inf, x[1] = 0.0f;
    CHECK(harp_entropy(x, 2) != harp_entropy(x, 2) && harp_logprob(x, 2, 1) != harp_logprob(x, 2, 1));
    x[0] = inf - inf;
    CHECK(harp_entropy(x, 2) != harp_entropy(x, 2));
    free(x);
}

/* The best tokens, in order, of vocabularies of any size, with logits that differ, that are equal, and that are banned:
 * the same as by looking for each in turn. */
static void test_rank(void)
{
    static const int32_t sizes[] = {1, 2, 300, 512, 513, 700, 3000}, wanted[] = {1, 2, 40, 127, 128, 700};
    static float x[3000];
    static int32_t ranking[3000];
    static char taken[3000];
    size_t a, b;
    int32_t i, kind, k, n, best, bad = 0, tried = 0;
    for (a = 0; a < sizeof sizes / sizeof *sizes; a++)
        for (b = 0; b < sizeof wanted / sizeof *wanted; b++)
            for (kind = 0; kind < 4; kind++, tried++) {
                int32_t vocab = sizes[a], few = hp_min(wanted[b], vocab);
                for (i = 0; i < vocab; i++)
                    x[i] = kind == 0 ? any_float(20.0f) : kind == 1 ? (float)(i % 7) : kind == 2 ? (float)i
                         : i % 100 ? -HUGE_VALF : any_float(20.0f);
                n = hp_rank(ranking, x, vocab, few);
                bad += n < few || n > vocab || (kind == 0 && vocab == 3000 && few == 40 && n > 200);
                memset(taken, 0, sizeof taken);
                for (k = 0; k < few && n >= few; k++) {
                    for (best = -1, i = 0; i < vocab; i++)
                        if (!taken[i] && (best < 0 || x[i] > x[best])) best = i;
                    taken[best] = 1;
                    bad += hp_pop_heap(ranking + vocab - n, n - k, x) != best || ranking[vocab - 1 - k] != best;
                }
            }
    CHECK(bad == 0 && tried > 100);
}

/* The bytes that a tensor's type and a shape have, at the borders. */
static void test_tensor_sizes(void)
{
    CHECK(hp_tensor_bytes(HF_VECTOR, 1, 5) == 20 && hp_tensor_bytes(HF_VECTOR, 2, 5) == 0);
    CHECK(hp_tensor_bytes(HF_FLOAT, 16, 32) == 16 * 32 * 4);
    CHECK(hp_tensor_bytes(HF_FLOAT, 17, 33) == 32 * 64 * 4);
    CHECK(hp_tensor_bytes(HF_INT8, 16, 32) == 64 + 512 && hp_tensor_bytes(HF_INT8, 16, 64) == 64 + 1024);
    CHECK(hp_tensor_bytes(HF_INT8, 17, 65) == 2 * (128 + 3 * 512));
    CHECK(hp_tensor_bytes(HF_INT8, 1 << 28, 1 << 28) ==
          ((uint64_t)1 << 24) * (((uint64_t)1 << 28) + ((uint64_t)1 << 32)));
    CHECK(hp_tensor_bytes(HF_INT8, (1 << 28) + 1, 1) == 0
          && hp_tensor_bytes(HF_INT8, 1, (1 << 28) + 1) == 0);
    CHECK(hp_tensor_bytes(HF_INT8, 0, 1) == 0 && hp_tensor_bytes(HF_INT8, 1, 0) == 0);
    CHECK(hp_tensor_bytes(HF_NIBBLES, 16, 32) == 64 + 64 + 256 && hp_tensor_bytes(HF_NIBBLES, 17, 65) == 64 + 2 * 896);
    CHECK(hp_tensor_bytes(HF_NIBBLES, 1 << 28, 1 << 28) ==
          64 + ((uint64_t)1 << 24) * (((uint64_t)1 << 28) + ((uint64_t)1 << 31)));
    CHECK(hp_tensor_bytes(0, 1, 1) == 0 && hp_tensor_bytes(5, 1, 1) == 0);
}

/* The sizes of everything that is asked for, at their edges. */
static void test_checked_sizes(void)
{
    size_t r = 7;
    hp_arena a = {0};
    CHECK(hp_mul_size(0, SIZE_MAX, &r) && r == 0 && hp_mul_size(SIZE_MAX, 0, &r) && r == 0);
    CHECK(hp_mul_size(SIZE_MAX, 1, &r) && r == SIZE_MAX && !hp_mul_size(SIZE_MAX, 2, &r));
    CHECK(!hp_mul_size(SIZE_MAX / 3 + 1, 3, &r) && hp_mul_size(SIZE_MAX / 3, 3, &r) && r == SIZE_MAX / 3 * 3);
    CHECK(hp_add_size(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX && !hp_add_size(SIZE_MAX, 1, &r));
    CHECK(hp_carve(&a, SIZE_MAX / 2, 4) == NULL && a.overflow);
    a.overflow = 0, a.used = SIZE_MAX - 100;
    CHECK(hp_carve(&a, 101, 1) == NULL && a.overflow);
    CHECK(hp_tensor_bytes(2, 0, 5) == 0 && hp_tensor_bytes(2, 5, 0) == 0 && hp_tensor_bytes(9, 1, 1) == 0);
    CHECK(hp_tensor_bytes(2, ((uint64_t)1 << 28) + 1, 1) == 0 && hp_tensor_bytes(2, 1, UINT64_MAX) == 0);
    CHECK(hp_tensor_bytes(3, (uint64_t)1 << 28, (uint64_t)1 << 28) == (uint64_t)1 << 58
          && hp_tensor_bytes(1, 2, 4) == 0);
    CHECK(hp_round_up_8(0) == 0 && hp_round_up_8(1) == 8 && hp_round_up_8(8) == 8);
    CHECK(hp_round_up(1, 16) == 16 && hp_round_up(16, 16) == 16 && hp_round_up(17, 32) == 32);
}

static void test_crc(void)
{
    static uint8_t data[2000];
    uint8_t one = 'a';
    size_t n, i, wrong = 0;
    CHECK(hp_crc32(0, (const uint8_t *)"123456789", 9) == 0xCBF43926u); /* the check value of CRC-32/ISO-HDLC */
    CHECK(hp_crc32(0, &one, 0) == 0 && hp_crc32(0, &one, 1) == 0xE8B7BE43u);
    CHECK(hp_crc32(hp_crc32(0, (const uint8_t *)"1234", 4), (const uint8_t *)"56789", 5) == 0xCBF43926u);
    for (n = 1000; n < 1100; n++) { /* long data in one piece, which goes by words, and in pieces, by bytes */
        const uint8_t *from = data + n % 8;
        uint32_t crc = (uint32_t)n;
        for (i = 0; i < 2000; i++) data[i] = (uint8_t)(i * i * 7 + i / 3 + n);
        for (i = 0; i < n; i += 100) crc = hp_crc32(crc, from + i, n - i < 100 ? n - i : 100);
        wrong += crc != hp_crc32((uint32_t)n, from, n);
    }
    CHECK(wrong == 0);
}

/* UTF-8 against its definition: every sequence of up to three bytes, and the edges of those with four. */
static int is_utf8(const uint8_t *p, size_t n)
{
    uint32_t c = n == 1 ? p[0] : n == 2 ? p[0] & 31u : n == 3 ? p[0] & 15u : p[0] & 7u;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t i, lead = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (lead != n) return 0;
    for (i = 1; i < n; i++) {
        if (p[i] >> 6 != 2) return 0;
        c = c << 6 | (p[i] & 63u);
    }
    return c >= least[n] && c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);
}

static void test_utf8(void)
{
    static const uint8_t edges[] = {0, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    uint32_t u, bad = 0, i, k, m, n;
    uint8_t p[4];
    for (u = 0; u < 1u << 24; u += stride > 1 ? 7 : 1) {
        p[0] = (uint8_t)(u >> 16), p[1] = (uint8_t)(u >> 8), p[2] = (uint8_t)u;
        for (n = 1; n <= 3; n++) bad += (hp_utf8_state(p, n) == 1) != is_utf8(p, n);
    }
    for (u = 0xE0; u < 0x100; u++)
        for (i = 0; i < sizeof edges; i++)
            for (k = 0; k < sizeof edges; k++)
                for (m = 0; m < sizeof edges; m++) {
                    p[0] = (uint8_t)u, p[1] = edges[i], p[2] = edges[k], p[3] = edges[m];
                    bad += (hp_utf8_state(p, 4) == 1) != is_utf8(p, 4);
                }
    CHECK(bad == 0);
}

/* ---- Other activations, LayerNorm, biases, caps: against double, and alike in every set ---- */

static double gelu_tanh(double x)
{
    return 0.5 * x * (1.0 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

static double gelu_erf(double x)
{
    return 0.5 * x * erfc(-x * 0.70710678118654752);
}

/* The functions in float are within 2 units in the last place of |x| + 1, tanh within 3e-7 of itself. */
static void test_activations(const hp_kernels *k)
{
    double worst_tanh = 0, worst_erf = 0, worst_cap = 0, x;
    float in[16] = {0}, out[16];
    for (x = -12.0; x < 12.0; x += 0.00317) {
        double at = (double)(float)x;
        in[3] = (float)x;
        k->activate(out, in, NULL, 16, HP_GELU_TANH);
        if (!(fabs((double)out[3] - gelu_tanh(at)) / (1 + fabs(at)) <= worst_tanh))
            worst_tanh = fabs((double)out[3] - gelu_tanh(at)) / (1 + fabs(at));
        k->activate(out, in, NULL, 16, HP_GELU_ERF);
        if (!(fabs((double)out[3] - gelu_erf(at)) / (1 + fabs(at)) <= worst_erf))
            worst_erf = fabs((double)out[3] - gelu_erf(at)) / (1 + fabs(at));
        out[3] = in[3];
        k->soft_cap(out, 4, 1.0f, 1.0f);
        if (!(fabs((double)out[3] / tanh(at) - 1) <= worst_cap)) worst_cap = fabs((double)out[3] / tanh(at) - 1);
    }
    CHECK(worst_tanh < 1.5e-7 && worst_erf < 1.5e-7 && worst_cap < 3e-7);
    for (x = 1e-30; x < 1.0; x *= 1.37) {
        out[3] = (float)x;
        k->soft_cap(out, 16, 1.0f, 1.0f);
        CHECK(fabs((double)out[3] / tanh((double)(float)x) - 1) < 3e-7);
    }
    out[3] = 1e20f, out[4] = -1e20f, out[5] = 100.0f;
    k->soft_cap(out, 16, 0.5f, 30.0f);
    CHECK(fabs((double)out[3] - 30) < 1e-5 && fabs((double)out[4] + 30) < 1e-5);
    CHECK(fabs((double)out[5] - 30 * tanh(50.0 / 30)) < 1e-5);
    for (x = -1e30; x < -20; x /= 7) {
        in[3] = (float)x;
        k->activate(out, in, NULL, 16, HP_GELU_ERF);
        CHECK(fabs((double)out[3]) < 1e-30);
        k->activate(out, in, NULL, 16, HP_GELU_TANH);
        CHECK(fabs((double)out[3]) < 1e-7);
    }
}

enum { SAMPLE = 96 };

typedef struct sample { /* of every kernel, for one length */
    float layer[SAMPLE], head[SAMPLE], biased[SAMPLE], capped[SAMPLE], act[3][SAMPLE], gated[3][SAMPLE];
} sample;

static unsigned char weight[4 * SAMPLE], bias[4 * SAMPLE];
static float input[SAMPLE], gate[SAMPLE];

static void make_input(int32_t n)
{
    static uint32_t any = 1;
    int32_t i;
    memset(input, 0, sizeof input);
    for (i = 0; i < SAMPLE; i++) {
        any = any * 1664525u + 1013904223u;
        if (i < n) input[i] = (float)(any >> 8) / 4194304.0f - 2.0f;
        gate[i] = (float)(any & 0xFFFFu) / 8192.0f - 4.0f;
        hf_store_float(weight + 4 * i, 1.0f + (float)(any >> 20) / 4096.0f);
        hf_store_float(bias + 4 * i, (float)(any >> 22) / 512.0f - 1.0f);
    }
}

static void run_kernels(const hp_kernels *k, sample *s, int32_t n)
{
    int32_t i;
    memset(s, 0, sizeof *s);
    k->layernorm(s->layer, input, weight, n % 2 ? bias : NULL, n, 1e-5f);
    memcpy(s->head, input, sizeof input);
    k->rmsnorm(s->head, s->head, weight, n, 1e-6f);
    memcpy(s->biased, gate, sizeof gate);
    k->add_bias(s->biased, bias, n);
    memcpy(s->capped, gate, sizeof gate);
    k->soft_cap(s->capped, n, 3.0f, 5.0f);
    for (i = 0; i < 3; i++) {
        k->activate(s->act[i], gate, NULL, n, (hp_activation)i);
        k->activate(s->gated[i], gate, input, n, (hp_activation)i);
    }
}

/* LayerNorm in double. */
static double layernorm_error(const sample *s, int32_t n)
{
    double mean = 0, variance = 0, worst = 0;
    int32_t i;
    for (i = 0; i < n; i++) mean += (double)input[i] / n;
    for (i = 0; i < n; i++) variance += ((double)input[i] - mean) * ((double)input[i] - mean) / n;
    for (i = 0; i < n; i++) {
        double y = ((double)input[i] - mean) / sqrt(variance + 1e-5) * (double)hp_f32(weight + 4 * i);
        if (n % 2) y += (double)hp_f32(bias + 4 * i);
        if (!(fabs(y - (double)s->layer[i]) <= worst)) worst = fabs(y - (double)s->layer[i]);
    }
    return worst;
}

static void test_sets_alike(void)
{
    sample plain, other;
    const hp_kernels *k;
    int32_t n;
    int i;
    for (i = 0; (k = hp_kernels_at(i)) != NULL; i++) test_activations(k);
    for (n = 1; n <= 70; n++) {
        make_input(n);
        run_kernels(hp_find_kernels("c"), &plain, n);
        CHECK(n == 1 || layernorm_error(&plain, n) < 4e-6);
        for (i = n; i < hp_round_up(n, HP_LANES); i++) CHECK(plain.layer[i] == 0.0f);
        for (i = n; i < SAMPLE; i++) CHECK(plain.head[i] == 0.0f && plain.biased[i] == gate[i]);
        for (i = 0; (k = hp_kernels_at(i)) != NULL; i++) {
            run_kernels(k, &other, n);
            CHECK(memcmp(&plain, &other, sizeof plain) == 0);
        }
    }
}

/* As hp_rope, with products that are not rounded, in the pairs from..to-1. */
static int fused_from, fused_to;

static void fused_rope(float *head, const float *turn, int32_t dims)
{
    float plain[256];
    int32_t half = dims / 2, i;
    memcpy(plain, head, (size_t)dims * sizeof *head);
    hp_rope_c(head, turn, dims);
    for (i = fused_from; i < fused_to && i < half; i++) {
        float bs = plain[i + half] * turn[i + half];
        head[i] = (float)((double)plain[i] * (double)turn[i] - (double)bs);
    }
}

/* Every set of this build keeps products and sums apart; one that does not is recognised, be it in a vector or behind
 * the last one. tests/fused_sets.sh builds one. */
static void test_sets_are_sound(void)
{
    hp_kernels fused = hp_kernels_c;
    const hp_kernels *k;
    int i;
    for (i = 0; (k = hp_kernels_at(i)) != NULL; i++) CHECK(hp_set_is_sound(k));
    fused.rope = fused_rope;
    CHECK(hp_set_is_sound(&fused));
    fused_from = 3, fused_to = 4;
    CHECK(!hp_set_is_sound(&fused));
    fused_from = HP_LANES, fused_to = 64;
    CHECK(!hp_set_is_sound(&fused));
}

/* ---- What a session decides by numbers ---- */

static void test_sampling(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s = open_session(m, &p);
    int32_t i, counts[3] = {0, 0, 0};
    harp_bias bias[2];
    float *x;
    hp_take_seat(s);
    x = hp_slot(s, 0);
    for (i = 0; i < m->vocab; i++) x[i] = -20.0f;
    x[5] = 2.0f, x[9] = 1.0f, x[100] = 0.0f; /* probabilities 0.665, 0.245, 0.090 */
    s->params.temperature = 1.0f, s->params.min_p = 0.0f, s->params.top_p = 1.0f;
    for (i = 0; i < 8000; i++) {
        int32_t token;
        s->n_tokens = 0, s->params.seed = (uint64_t)i;
        token = hp_choose(s, x);
        if (token == 5) counts[0]++;
        else if (token == 9) counts[1]++;
        else if (token == 100) counts[2]++;
    }
    CHECK(abs(counts[0] - 5322) < 160 && abs(counts[1] - 1958) < 150 && abs(counts[2] - 720) < 100);
    s->params.top_p = 0.9f; /* 0.665 + 0.245 reach it */
    for (i = 0; i < 500; i++) {
        s->params.seed = (uint64_t)i;
        CHECK(hp_choose(s, x) != 100);
    }
    s->params.top_p = 1.0f, s->params.min_p = 0.3f;
    for (i = 0; i < 500; i++) {
        s->params.seed = (uint64_t)i;
        CHECK(hp_choose(s, x) != 100);
    }
    s->params.min_p = 0.0f, s->params.top_k = 1;
    CHECK(hp_choose(s, x) == 5);
    s->params.top_k = 0, s->params.temperature = 0.0f;
    bias[0].token = 5, bias[0].add = -hp_float(0x7F800000u), bias[1].token = 100, bias[1].add = 1.5f;
    s->params.bias = bias, s->params.n_bias = 2;
    CHECK(hp_choose(s, x) == 100);
    s->params.n_bias = 0, s->params.repeat_penalty = 3.0f, s->tokens[0] = 5, s->tokens[1] = 5, s->n_tokens = 2;
    CHECK(hp_choose(s, x) == 9); /* 2 / 3 < 1, once for both */
    s->params.repeat_penalty = 1.5f;
    CHECK(hp_choose(s, x) == 5); /* 2 / 1.5 > 1: the penalty counts once */
    for (i = 0; i < m->vocab; i++) x[i] = i == 5 || i == 9 ? 1.0f : -hp_float(0x7F800000u);
    s->n_tokens = 0, s->params.repeat_penalty = 1.0f, s->params.temperature = 1.0f;
    for (s->params.top_k = 0; s->params.top_k <= 40; s->params.top_k += 40) {
        s->params.min_p = -1.0f, s->params.top_p = 2.0f; /* nothing but its being banned keeps a token out */
        CHECK((hp_choose(s, x) == 5 || hp_choose(s, x) == 9) && s->n_cut == 2);
    }
    harp_session_close(s);
}

/* Leviathan's rule where the candidates are cut: the draw in place of a refused guess knows of no other tokens. */
static void test_keep_or_replace(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    float *x;
    int32_t i, count[3] = {0, 0, 0}, others = 0;
    p.drafts = 1, p.draft_rule = HARP_DRAFT_LEVIATHAN, p.top_k = 0, p.top_p = 2.5f / (float)m->vocab, p.min_p = 0.0f;
    s = open_session(m, &p);
    hp_take_seat(s);
    x = hp_slot(s, 0);
    for (i = 0; i < m->vocab; i++) x[i] = 1.0f; /* all alike: the first three are kept */
    for (i = 0; i < 9000; i++) {
        int32_t token;
        s->n_tokens = 1, s->params.seed = (uint64_t)i;
        token = hp_keep_or_replace(s, x, 1, NULL);
        if (token < 3) count[token]++;
        else others++;
    }
    CHECK(others == 0 && abs(count[0] - 3000) < 200 && abs(count[1] - 3000) < 200 && abs(count[2] - 3000) < 200);
    s->n_tokens = 0;
    harp_session_close(s);
}

/* The longest end that stood before, at its latest place; the copy runs on into itself. */
static void test_look_up(const harp_model *m)
{
    static const struct {
        int32_t text[10], n, guess[3]; /* guess[0] < 0: none */
    } cases[] = {{{1, 2, 3, 4, 5}, 5, {-1}},
                 {{7}, 1, {-1}},
                 {{1, 2, 3, 4, 1, 2}, 6, {3, 4, 1}},
                 {{2, 9, 1, 2, 8, 2}, 6, {8, 2, 8}},          /* the latest 2 */
                 {{1, 2, 9, 5, 2, 8, 6, 1, 2}, 9, {9, 5, 2}}, /* the longer end, though further back */
                 {{3, 5, 5}, 3, {5, 5, 5}},
                 {{4, 4, 4, 4}, 4, {4, 4, 4}}};
    harp_params p = harp_defaults();
    harp_session *s;
    size_t c;
    int32_t i;
    p.drafts = 3;
    s = open_session(m, &p);
    for (c = 0; c < sizeof cases / sizeof *cases; c++) {
        memcpy(s->tokens, cases[c].text, sizeof cases[c].text);
        for (i = cases[c].n; i < 16; i++) s->tokens[i] = 99;
        s->n_tokens = cases[c].n;
        CHECK(hp_look_up(s, 3) == (cases[c].guess[0] < 0 ? 0 : 3));
        CHECK(cases[c].guess[0] < 0 || memcmp(s->tokens + cases[c].n, cases[c].guess, sizeof cases[c].guess) == 0);
    }
    s->n_tokens = 0;
    harp_session_close(s);
}

/* Costs are learned from what they are costs of, and the cheaper schedule follows from them. */
static void test_auto(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    int i;
    p.context = 64;
    s = open_session(m, &p);
    for (i = 0; i < 4; i++) hp_learn_costs(s, 0, 1.0, 0.0, i % 3 == 0);
    CHECK(s->costs.rate == 0.5f); /* a plain mean at first */
    s->costs.plain = s->costs.second = 1.0, s->costs.fused = 1.1;
    s->costs.rate = 0.2f;
    CHECK(hp_is_fused_cheaper(s, 1, 0) && hp_is_fused_cheaper(s, 1, 16));
    s->costs.rate = 0.05f;
    CHECK(!hp_is_fused_cheaper(s, 1, 0));
    for (i = 0; i < HP_PROBE_EVERY; i++) hp_learn_costs(s, 0, 1.0, 0.0, 0);
    CHECK(hp_is_fused_cheaper(s, 1, 0)); /* long not measured: tried, but only where nothing is to be made up for */
    CHECK(!hp_is_fused_cheaper(s, 1, 1));
    hp_learn_costs(s, 1, 0.0, 0.0, 1); /* a fused pass that made up for something */
    CHECK(s->costs.fused == 1.1 && s->costs.no_fused == HP_PROBE_EVERY);
    hp_learn_costs(s, 1, 1.02, 0.0, 1);
    CHECK(s->costs.fused < 1.1 && s->costs.fused > 1.02 && s->costs.no_fused == 0);
    for (i = 0; i < 2 * HP_PROBE_EVERY; i++) hp_learn_costs(s, 1, 1.02, 0.0, 1);
    CHECK(fabs(s->costs.fused - 1.02) < 1e-6 && s->costs.rate > 0.95f);
    CHECK(!hp_is_fused_cheaper(s, 1, 0)); /* now lazy is tried, for one step */
    hp_learn_costs(s, 0, 1.0, 1.0, 1);
    CHECK(hp_is_fused_cheaper(s, 1, 0));
    hp_learn_costs(s, 1, 100.0, 0.0, 1); /* the processor was away: not believed at once */
    CHECK(s->costs.fused < 1.2 && hp_is_fused_cheaper(s, 1, 0));
    harp_session_close(s);
}

/* What a fused step learns where the reframed stream lies behind: nothing. */
static void test_auto_in_steps(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    harp_step step;
    p.context = 64, p.theta = 1e29f, p.schedule = HARP_SCHEDULE_LAZY;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    CHECK(harp_next(s, &step, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK);
    CHECK(s->costs.plain > 0.0 && s->costs.fused == 0.0);
    p.schedule = HARP_SCHEDULE_FUSED;
    CHECK(harp_tune(s, &p, NULL) == HARP_OK);
    CHECK(harp_next(s, &step, NULL) == HARP_OK && s->costs.fused == 0.0);
    CHECK(harp_next(s, &step, NULL) == HARP_OK && s->costs.fused > 0.0);
    harp_session_close(s);
}

static int32_t items_done;

static void count_items(harp_engine *e, int part, int32_t first, int32_t last)
{
    (void)e, (void)part;
    items_done += last - first;
}

/* Costs of many items that do not fit 64 bits: still a slice does one at least and no more than its budget allows. */
static void test_huge_costs(const harp_model *m)
{
    static const struct {
        int32_t count;
        int64_t cost, budget;
        int32_t done;
    } cases[] = {{1 << 20, (int64_t)1 << 45, 1000, 1}, /* at 2^26 positions, with long prompts: the product is 2^65 */
                 {1 << 20, (int64_t)1 << 53, (int64_t)1 << 55, 4},
                 {INT32_MAX, INT64_MAX / 2, 1, 1},
                 {INT32_MAX, 3, INT64_MAX - 1, INT32_MAX},
                 {1000, 7, 70000, 1000},
                 {1000, 7, 3500, 500}};
    harp_params p = harp_defaults();
    harp_session *s;
    harp_engine *e;
    size_t i;
    p.context = 64;
    s = open_session(m, &p);
    e = s->engine;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        items_done = 0, e->pass.item = 0, e->pass.budget = cases[i].budget;
        hp_split_some(e, count_items, cases[i].count, cases[i].cost);
        CHECK(items_done == cases[i].done);
        hp_spend(e, cases[i].cost), hp_spend(e, INT64_MAX); /* what is used up stays so */
        CHECK(e->pass.budget <= 0 || cases[i].budget == INT64_MAX - 1);
    }
    e->pass.item = 0, e->pass.budget = INT64_MAX;
    harp_session_close(s);
}

/* A pass whose layers take a second each, and half of one if they are read in the way `fastest`. */
static void try_reading(harp_engine *e, int fastest)
{
    e->n_rows = 1, e->pass.layer = 0;
    hp_begin_reading(e);
    while (e->pass.layer < e->model->info.layers) {
        int way = hp_way_to_read(e);
        if (e->reading.on_trial) e->reading.spent[way] += way == fastest ? 0.5 : 1.0;
        e->pass.layer++;
        hp_end_trial(e);
    }
    CHECK(!e->reading.on_trial); /* the logits are read in the best way */
}

/* The way that takes the least time wins the votes, and can lose them again; prompts are not asked. */
static void test_reading(const harp_model *m)
{
    harp_params p = harp_defaults();
    int32_t way, i, soon = HP_MAX_VOTES * HP_WAYS * HP_TRIAL_EVERY / harp_model_info(m).layers;
    harp_session *s;
    harp_engine *e;
    p.context = 64;
    s = open_session(m, &p);
    e = s->engine;
    for (way = HP_WAYS - 1; way >= 0; way--) {
        for (i = 0; i < soon && e->reading.best != way; i++) try_reading(e, way);
        CHECK(e->reading.best == way && i > 0);
        if (way == HP_WAYS - 1) CHECK(i <= HP_FIRST_TRIALS); /* the first votes count at once */
        for (i = 0; i < 4 * soon; i++) try_reading(e, way);
        CHECK(e->reading.votes[way] < HP_MAX_VOTES && e->reading.votes[(way + 1) % HP_WAYS] == 0);
    }
    e->n_rows = e->kernels->few_rows + 1;
    e->reading.passes = 0, e->reading.best = 1;
    hp_begin_reading(e);
    CHECK(!e->reading.on_trial && hp_way_to_read(e) == 0 && e->reading.passes == 0);
    e->n_rows = e->pass.layer = 0;
    for (way = 0; way < HP_WAYS; way++) { /* and passes follow the votes */
        e->reading.best = way, e->reading.passes = HP_TRIAL_EVERY + 1;
        CHECK(harp_feed(s, prompt, 1, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
        CHECK(!e->reading.on_trial && e->job.way == &hp_ways[way]);
    }
    harp_session_close(s);
}

static void test_kernels(void)
{
    test_quantize_sets();
    test_no_numbers();
    test_no_numbers_in_cache();
    test_int8_cache();
    test_products();
    test_nibbles();
    test_norms();
    test_rope();
    test_weighted_sums();
    test_softmax();
    test_entropy();
    test_sets_alike();
    test_sets_are_sound();
    CHECK(hp_vf_round_c(hp_vf_set_c(2.5f)).lane[0] == 2 && hp_vf_round_c(hp_vf_set_c(-3.5f)).lane[3] == -4);
}

static void test_functions(void)
{
    test_exp();
    test_log2();
    test_sine_cosine();
    test_half();
    test_philox();
    test_quantize();
    test_rank();
    test_tensor_sizes();
    test_checked_sizes();
    test_crc();
    test_utf8();
}

static void test_decisions(const harp_model *m)
{
    test_sampling(m);
    test_keep_or_replace(m);
    test_look_up(m);
    test_auto(m);
    test_auto_in_steps(m);
    test_huge_costs(m);
    test_reading(m);
}

int main(int argc, char **argv)
{
    harp_model *m = NULL;
    if (argc < 2) return 2;
    if (argc > 2 && strcmp(argv[2], "all") == 0) stride = 1;
    if (strcmp(argv[1], "kernels") != 0) {
        if (harp_open(&m, argv[1], NULL)) return 2;
        test_functions();
        test_decisions(m);
        harp_close(m);
    }
    test_kernels();
    return conclude();
}
