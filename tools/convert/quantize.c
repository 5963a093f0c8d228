/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * quantize.c - see quantize.h
 *
 * A group is 32 neighbours along the input dimension. Its scale s is amax / 127 as a half, its integers are w / s
 * rounded to nearest even, so |q| <= 127. Weights that are s * q already, s a half and some |q| = 127, come out with
 * that s and those q: amax / 127 is exact, and so is every w / s. */
#include "quantize.h"
#include "bytes.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { GROUP = 32, GROUP_BYTES = GROUP * CV_TILE_ROWS };

/* ---- half precision ---- */

float cv_float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 1023u;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)fraction * (1.0f / 16777216.0f);
    if (exponent == 31) return cv_float_of_bits(sign | 0x7F800000u | fraction << 13);
    return cv_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Below 2^-14 halves are multiples of 2^-24; above, the rounding bits of the float's fraction carry as they should. */
uint16_t cv_half_of_float(float x)
{
    if (!(x < 65520.0f)) return 0x7C00u;
    if (x < 1.0f / 16384.0f) return (uint16_t)lrintf(x * 16777216.0f);
    uint32_t bits = cv_bits_of_float(x);
    bits += 0xFFFu + (bits >> 13 & 1u);
    return (uint16_t)((bits >> 13) - (112u << 10));
}

/* ---- one group ---- */

/* 0x7C00 (infinite) for weights that are not finite or too large. */
static uint16_t group_scale(const float *w, size_t n)
{
    float largest = 0.0f;
    int finite = 1;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(w[i]);
        finite &= a <= FLT_MAX; /* false for NaN */
        largest = a > largest ? a : largest;
    }
    if (!finite) return 0x7C00u;
    uint16_t half = cv_half_of_float(largest / 127.0f);
    if (largest > 127.5f * cv_float_of_half(half)) half++; /* tiny halves are coarse: round up, not off the scale */
    return half;
}

/* |w / scale| <= 127.5, and adding 1.5 * 2^23 pushes what is behind the point out of a float, rounding to nearest even
 * as all its arithmetic does. Compilers turn this into vector code; a call of lrintf they do not. */
static void group_integers(int8_t *q, const float *w, size_t n, float scale)
{
    const float shift = 12582912.0f;
    memset(q, 0, GROUP);
    if (scale == 0.0f) return;
    for (size_t i = 0; i < n; i++) {
        float r = w[i] / scale;
        r = r + shift;
        r = r - shift;
        r = r > 127.0f ? 127.0f : r;
        r = r < -127.0f ? -127.0f : r;
        q[i] = (int8_t)(int)r;
    }
}

static void group_loss(cv_loss *loss, const int8_t *q, const float *w, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        double weight = (double)w[i], error = fabs((double)q[i] * (double)scale - weight);
        if (error > loss->largest) loss->largest = error;
        loss->error2 += error * error;
        loss->weight2 += weight * weight;
    }
    loss->n += n;
}

double cv_loss_rms(const cv_loss *loss)
{
    return loss->n ? sqrt(loss->error2 / (double)loss->n) : 0.0;
}

double cv_loss_decibel(const cv_loss *loss)
{
    return loss->error2 > 0.0 ? 10.0 * log10(loss->weight2 / loss->error2) : HUGE_VAL;
}

/* ---- tiles ---- */

static size_t scale_bytes(uint64_t groups)
{
    return (size_t)cv_round_up(groups * 2 * CV_TILE_ROWS, 64);
}

size_t cv_tile_bytes(uint64_t cols)
{
    uint64_t groups = (cols + GROUP - 1) / GROUP;
    return scale_bytes(groups) + (size_t)groups * GROUP_BYTES;
}

/* Where a group's 32 integers lie in a tile: four by four, each four 64 bytes after the last. */
static void place_group(unsigned char *tile, uint64_t groups, uint64_t g, uint64_t row, uint16_t half, const int8_t *q)
{
    unsigned char *to = tile + scale_bytes(groups) + (size_t)g * GROUP_BYTES + (size_t)row * 4;
    cv_store_u16(tile + (size_t)(g * CV_TILE_ROWS + row) * 2, half);
    for (int i = 0; i < GROUP / 4; i++) memcpy(to + 64 * i, q + 4 * i, 4);
}

/* The first weight of a group that its scale cannot be made for. */
static uint64_t find_bad(const float *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (group_scale(w + i, 1) == 0x7C00u) return i;
    return 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int cv_tile_of_floats(unsigned char *tile, const float *weights, uint64_t n, uint64_t cols, cv_loss *loss,
                      uint64_t *bad)
{
    uint64_t groups = (cols + GROUP - 1) / GROUP;
    int8_t q[GROUP];
    memset(tile, 0, cv_tile_bytes(cols));
    for (uint64_t row = 0; row < n; row++)
        for (uint64_t g = 0; g < groups; g++) {
            const float *w = weights + row * cols + g * GROUP;
            size_t count = (size_t)smaller(GROUP, cols - g * GROUP);
            uint16_t half = group_scale(w, count);
            float scale = cv_float_of_half(half);
            if (half >= 0x7C00u) {
                *bad = row * cols + g * GROUP + find_bad(w, count);
                return -1;
            }
            group_integers(q, w, count, scale);
            place_group(tile, groups, g, row, half, q);
            if (loss) group_loss(loss, q, w, count, scale);
        }
    return 0;
}

/* -128 is not an integer of a .harp file: such a group is rounded anew. */
static uint16_t group_of_integers(int8_t *out, const int8_t *q, float scale, const float *w)
{
    uint16_t half = memchr(q, 0x80, GROUP) ? group_scale(w, GROUP) : cv_half_of_float(scale);
    memcpy(out, q, GROUP);
    if (half < 0x7C00u && memchr(q, 0x80, GROUP)) group_integers(out, w, GROUP, cv_float_of_half(half));
    return half;
}

int cv_tile_of_integers(unsigned char *tile, const int8_t *integers, const float *scales, uint64_t n, uint64_t cols,
                        cv_loss *loss, uint64_t *bad)
{
    uint64_t groups = cols / GROUP;
    memset(tile, 0, cv_tile_bytes(cols));
    for (uint64_t i = 0; i < n * groups; i++) {
        const int8_t *q = integers + i * GROUP;
        float w[GROUP];
        int8_t kept[GROUP];
        for (int k = 0; k < GROUP; k++) w[k] = (float)q[k] * scales[i];
        uint16_t half = group_of_integers(kept, q, scales[i], w);
        *bad = i * GROUP;
        if (half >= 0x7C00u) return -1;
        place_group(tile, groups, i % groups, i / groups, half, kept);
        if (loss) group_loss(loss, kept, w, GROUP, cv_float_of_half(half));
    }
    return 0;
}

/* ---- tiles that are not rounded ---- */

size_t cv_float_tile_bytes(uint64_t cols)
{
    return (size_t)cv_round_up(cols, GROUP) * CV_TILE_ROWS * 4;
}

int cv_tile_of_exact_floats(unsigned char *tile, const float *weights, uint64_t n, uint64_t cols, uint64_t *bad)
{
    memset(tile, 0, cv_float_tile_bytes(cols));
    for (uint64_t i = 0; i < n * cols; i++) {
        *bad = i;
        if (!(fabsf(weights[i]) <= FLT_MAX)) return -1;
        cv_store_u32(tile + 4 * (i % cols * CV_TILE_ROWS + i / cols), cv_bits_of_float(weights[i]));
    }
    return 0;
}
