/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * dequantize.c - see dequantize.h
 *
 * In the pictures below d and m are halves unless said otherwise, [n] is a count of bytes, and q are the stored
 * integers, two or more of them to a byte. One float operation to a statement: no compiler may fuse them. */
#include "dequantize.h"
#include "../ground/halves.h"

#include <string.h>

static float half_at(const unsigned char *p)
{
    return cv_float_of_half(cv_u16(p));
}

/* ---- no blocks at all ---- */

static void widen_f32(const unsigned char *p, uint64_t n, float *out)
{
    for (uint64_t i = 0; i < n; i++) out[i] = cv_f32(p + 4 * i);
}

static void widen_f16(const unsigned char *p, uint64_t n, float *out)
{
    for (uint64_t i = 0; i < n; i++) out[i] = half_at(p + 2 * i);
}

static void widen_bf16(const unsigned char *p, uint64_t n, float *out)
{
    for (uint64_t i = 0; i < n; i++) out[i] = cv_float_of_bits((uint32_t)cv_u16(p + 2 * i) << 16);
}

/* ---- blocks of 32: weight j and weight j + 16 share a byte ---- */

/* d, q[32]: d * q */
static void widen_q8_0(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)p[2 + i] * d;
}

static float split_q8_0(const unsigned char *p, int8_t *integers)
{
    memcpy(integers, p + 2, 32);
    return half_at(p);
}

/* Nibbles that stand for sixteen values. */
static void look_up(const unsigned char *q, const int8_t *values, int8_t *integers)
{
    for (int i = 0; i < 16; i++) integers[i] = values[q[i] & 15], integers[i + 16] = values[q[i] >> 4];
}

static void widen_values(const unsigned char *q, const int8_t *values, float d, float *out)
{
    int8_t integers[32];
    look_up(q, values, integers);
    for (int i = 0; i < 32; i++) out[i] = (float)integers[i] * d;
}

static const int8_t q4_0_values[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

/* d, q[16]: d * (q - 8) */
static void widen_q4_0(const unsigned char *p, float *out)
{
    widen_values(p + 2, q4_0_values, half_at(p), out);
}

static float split_q4_0(const unsigned char *p, int8_t *integers)
{
    look_up(p + 2, q4_0_values, integers);
    return half_at(p);
}

static float scale_and_shift(int q, float d, float m)
{
    float x = (float)q * d;
    x = x + m;
    return x;
}

/* d, m, q[16]: d * q + m */
static void widen_q4_1(const unsigned char *p, float *out)
{
    float d = half_at(p), m = half_at(p + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = scale_and_shift(p[4 + i] & 15, d, m);
        out[i + 16] = scale_and_shift(p[4 + i] >> 4, d, m);
    }
}

/* The fifth bits of 32 weights stand in a u32, that of weight i in bit i. */
static int fifth_bit(uint32_t high, int i)
{
    return (int)(high >> i & 1u) << 4;
}

/* d, fifth bits [4], q[16]: d * (q - 16) */
static void widen_q5_0(const unsigned char *p, float *out)
{
    float d = half_at(p);
    uint32_t high = cv_u32(p + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = (float)(((p[6 + i] & 15) | fifth_bit(high, i)) - 16) * d;
        out[i + 16] = (float)((p[6 + i] >> 4 | fifth_bit(high, i + 16)) - 16) * d;
    }
}

/* d, m, fifth bits [4], q[16]: d * q + m */
static void widen_q5_1(const unsigned char *p, float *out)
{
    float d = half_at(p), m = half_at(p + 2);
    uint32_t high = cv_u32(p + 4);
    for (int i = 0; i < 16; i++) {
        out[i] = scale_and_shift((p[8 + i] & 15) | fifth_bit(high, i), d, m);
        out[i + 16] = scale_and_shift(p[8 + i] >> 4 | fifth_bit(high, i + 16), d, m);
    }
}

/* ---- blocks of 256, the "k-quants": sub-blocks of 16 or 32 have integer scales, which have one float scale ---- */

/* Sub-block scales (low nibble) and minima (high nibble) [16], q[64] of two bits, d, m: d * scale * q - m * minimum.
 * Each half of 128 weights takes 32 bytes; its weights 0..31 are the lowest two bits of them, 32..63 the next, ... */
static void widen_q2_k(const unsigned char *p, float *out)
{
    const unsigned char *scales = p, *q = p + 16;
    float d = half_at(p + 80), m = half_at(p + 82);
    for (int i = 0; i < 256; i++) {
        int scale = scales[i / 16], value = q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        float a = d * (float)(scale & 15), b = m * (float)(scale >> 4);
        a = a * (float)value;
        out[i] = a - b;
    }
}

/* Scale i of sixteen: its low four bits are a nibble of bytes 0..7, its high two are in bytes 8..11. */
static int q3_scale(const unsigned char *p, int i)
{
    int low = i < 8 ? p[i] & 15 : p[i - 8] >> 4, high = p[8 + i % 4] >> (i / 4 * 2) & 3;
    return (low | high << 4) - 32;
}

/* Third bits [32], q[64] of two bits, scales [12] of six bits, d: d * (scale - 32) * (q - 4), where a third bit adds 4.
 * Bit k of the byte of third bits is that of weights 32 k .. 32 k + 31. */
static void widen_q3_k(const unsigned char *p, float *out)
{
    const unsigned char *high = p, *q = p + 32, *scales = p + 96;
    float d = half_at(p + 108);
    for (int i = 0; i < 256; i++) {
        int value = q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        float a = d * (float)q3_scale(scales, i / 16);
        value -= high[i % 32] >> (i / 32) & 1 ? 0 : 4;
        out[i] = a * (float)value;
    }
}

/* Eight scales and eight minima of six bits in twelve bytes: those of sub-blocks 0..3 are the low six bits of bytes
 * 0..7; the others' low four bits are in bytes 8..11, their high two on top of bytes 0..7. */
static void k_scale(const unsigned char *p, int i, int *scale, int *minimum)
{
    if (i < 4) *scale = p[i] & 63, *minimum = p[i + 4] & 63;
    else *scale = (p[i + 4] & 15) | p[i - 4] >> 6 << 4, *minimum = p[i + 4] >> 4 | p[i] >> 6 << 4;
}

/* One sub-block of 32: q is the low or the high nibble of 32 bytes, fifth bits, where there are any, bit
 * i of others. */
static void widen_k(const unsigned char *p, const unsigned char *q, const unsigned char *high, int i, float *out)
{
    int scale, minimum;
    k_scale(p + 4, i, &scale, &minimum);
    float a = half_at(p) * (float)scale, b = half_at(p + 2) * (float)minimum;
    for (int k = 0; k < 32; k++) {
        int value = i % 2 ? q[i / 2 * 32 + k] >> 4 : q[i / 2 * 32 + k] & 15;
        if (high) value |= (high[k] >> i & 1) << 4;
        float x = a * (float)value;
        out[k] = x - b;
    }
}

/* d, m, scales and minima [12], q[128]: d * scale * q - m * minimum */
static void widen_q4_k(const unsigned char *p, float *out)
{
    for (int i = 0; i < 8; i++) widen_k(p, p + 16, NULL, i, out + 32 * i);
}

/* d, m, scales and minima [12], fifth bits [32], q[128] */
static void widen_q5_k(const unsigned char *p, float *out)
{
    for (int i = 0; i < 8; i++) widen_k(p, p + 48, p + 16, i, out + 32 * i);
}

/* q[128], fifth and sixth bits [64], scales [16] of eight bits, d: d * scale * (q - 32). In each half of 128 weights,
 * 64 bytes of q hold weights 0..63 in their low and 64..127 in their high nibbles; 32 bytes hold two more
 * bits of each. */
static void widen_q6_k(const unsigned char *p, float *out)
{
    float d = half_at(p + 208);
    for (int i = 0; i < 256; i++) {
        const unsigned char *q = p + i / 128 * 64, *high = p + 128 + i / 128 * 32;
        int k = i % 128, low = k < 64 ? q[k] & 15 : q[k - 64] >> 4;
        int value = (low | (high[k % 32] >> (k / 32 * 2) & 3) << 4) - 32;
        float a = d * (float)(int8_t)p[192 + i / 16];
        out[i] = a * (float)value;
    }
}

/* ---- four bits that choose from a fixed list, denser around zero ---- */

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* d, q[16] */
static void widen_iq4_nl(const unsigned char *p, float *out)
{
    widen_values(p + 2, iq4_values, half_at(p), out);
}

static float split_iq4_nl(const unsigned char *p, int8_t *integers)
{
    look_up(p + 2, iq4_values, integers);
    return half_at(p);
}

/* d, high two bits of eight scales [2], low four bits of them [4], q[128] */
static void widen_iq4_xs(const unsigned char *p, float *out)
{
    float d = half_at(p);
    uint32_t high = cv_u16(p + 2);
    for (int i = 0; i < 8; i++) {
        int scale = (p[4 + i / 2] >> (i % 2 * 4) & 15) | (int)(high >> (2 * i) & 3u) << 4;
        widen_values(p + 8 + 16 * i, iq4_values, d * (float)(scale - 32), out + 32 * i);
    }
}

/* ---- OCP's MXFP4 [Open Compute Project 2023]: sign, two bits of exponent, one of fraction ---- */

static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}; /* twice the numbers */

/* e: 2^(e - 127), and half of it for the values are doubled */
static float mxfp4_scale(const unsigned char *p)
{
    return cv_float_of_bits(p[0] > 1 ? (uint32_t)(p[0] - 1) << 23 : 0x00200000u << p[0]);
}

/* e, q[16] */
static void widen_mxfp4(const unsigned char *p, float *out)
{
    widen_values(p + 1, mxfp4_values, mxfp4_scale(p), out);
}

static float split_mxfp4(const unsigned char *p, int8_t *integers)
{
    look_up(p + 1, mxfp4_values, integers);
    return mxfp4_scale(p);
}

/* ---- all ---- */

static const cv_block_type types[] = {
    {CV_GGML_F32, "F32", 1, 4, NULL, widen_f32, NULL, NULL},
    {CV_GGML_F16, "F16", 1, 2, NULL, widen_f16, NULL, NULL},
    {2, "Q4_0", 32, 18, widen_q4_0, NULL, split_q4_0, q4_0_values},
    {3, "Q4_1", 32, 20, widen_q4_1, NULL, NULL, NULL},
    {6, "Q5_0", 32, 22, widen_q5_0, NULL, NULL, NULL},
    {7, "Q5_1", 32, 24, widen_q5_1, NULL, NULL, NULL},
    {CV_GGML_Q8_0, "Q8_0", 32, 34, widen_q8_0, NULL, split_q8_0, NULL},
    {10, "Q2_K", 256, 84, widen_q2_k, NULL, NULL, NULL},
    {11, "Q3_K", 256, 110, widen_q3_k, NULL, NULL, NULL},
    {12, "Q4_K", 256, 144, widen_q4_k, NULL, NULL, NULL},
    {13, "Q5_K", 256, 176, widen_q5_k, NULL, NULL, NULL},
    {14, "Q6_K", 256, 210, widen_q6_k, NULL, NULL, NULL},
    {20, "IQ4_NL", 32, 18, widen_iq4_nl, NULL, split_iq4_nl, iq4_values},
    {23, "IQ4_XS", 256, 136, widen_iq4_xs, NULL, NULL, NULL},
    {CV_GGML_BF16, "BF16", 1, 2, NULL, widen_bf16, NULL, NULL},
    {CV_GGML_MXFP4, "MXFP4", 32, 17, widen_mxfp4, NULL, split_mxfp4, mxfp4_values}};

const cv_block_type *cv_block_type_of(uint32_t id)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].id == id) return &types[i];
    return NULL;
}

const char *cv_block_type_name(uint32_t id)
{
    static const struct {
        uint32_t id;
        const char *name;
    } others[] = {{9, "Q8_1"},     {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"},
                  {21, "IQ3_S"},   {22, "IQ2_S"}, {24, "I8"},      {25, "I16"},    {26, "I32"},     {27, "I64"},
                  {28, "F64"},     {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"}};
    const cv_block_type *type = cv_block_type_of(id);
    for (size_t i = 0; !type && i < sizeof others / sizeof *others; i++)
        if (others[i].id == id) return others[i].name;
    return type ? type->name : "unknown";
}

void cv_dequantize(const cv_block_type *type, const unsigned char *blocks, uint64_t n, float *out)
{
    if (type->widen_all) {
        type->widen_all(blocks, n, out);
        return;
    }
    for (uint64_t i = 0; i < n; i += type->elements, blocks += type->bytes) type->widen(blocks, out + i);
}

unsigned char *cv_raw_place(const cv_block_type *type, uint64_t n, float *out)
{
    return (unsigned char *)(out + n) - n / type->elements * type->bytes;
}

/* Front to back: what is left to widen stands behind what is written. A run is moved away first, for its own floats may
 * come to lie over it. */
void cv_dequantize_in_place(const cv_block_type *type, uint64_t n, float *out)
{
    unsigned char run[4096];
    const unsigned char *raw = cv_raw_place(type, n, out);
    uint64_t most = sizeof run / type->bytes * type->elements, count;
    for (uint64_t i = 0; i < n; i += count) {
        count = n - i < most ? n - i : most;
        size_t bytes = (size_t)(count / type->elements * type->bytes);
        memcpy(run, raw, bytes);
        cv_dequantize(type, run, count, out + i);
        raw += bytes;
    }
}

int cv_split_blocks(const cv_block_type *type, const unsigned char *blocks, uint64_t n, int8_t *integers,
                    float *scales, const char *name, cv_error *err)
{
    for (uint64_t i = 0; i < n; i++) {
        scales[i] = type->split(blocks + i * type->bytes, integers + i * 32);
        if (!(fabsf(scales[i]) <= 65504.0f) || (scales[i] < 0.0f && !type->values))
            return cv_fail(err, "tensor %.150s: a scale is %g", name, (double)scales[i]);
    }
    return 0;
}

static unsigned nibble_at(const unsigned char *pairs, int i)
{
    return pairs[i / 2] >> 4 * (i % 2) & 15u;
}

void cv_mxfp4_of_neighbours(unsigned char *block, const unsigned char *pairs, unsigned char scale)
{
    block[0] = scale;
    for (int i = 0; i < 16; i++) block[1 + i] = (unsigned char)(nibble_at(pairs, i) | nibble_at(pairs, 16 + i) << 4);
}
