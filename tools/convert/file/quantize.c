/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * quantize.c - see quantize.h
 *
 * A group is 32 neighbours along the input dimension. Its scale s is amax / 127 as a half, its integers are w / s
 * rounded to nearest even, so |q| <= 127. Weights that are s * q already, s a half and some |q| = 127, come out with
 * that s and those q: amax / 127 is exact, and so is every w / s. */
#include "quantize.h"
#include "../ground/halves.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { GROUP = 32, GROUP_BYTES = GROUP * CV_TILE_ROWS };

/* ---- one group ----
 *
 * Loops of 32 without a branch or a sum: compilers turn them into vector code, which conversion takes most of its time
 * from. A group that is shorter is filled up with zeros, which change nothing. */

static const uint16_t no_scale = 0x7C00u; /* infinite */

/* no_scale for what is not finite or too large. */
static uint16_t scale_of(float largest)
{
    uint16_t half = cv_half_of_float(largest / 127.0f);
    if (largest > 127.5f * cv_float_of_half(half)) half++; /* tiny halves are coarse: round up, not off the scale */
    return half;
}

/* Without their signs the bits of floats, as integers, are in the order of the numbers; those of infinity and NaN come
 * last. */
static float largest_of(const float *x)
{
    int32_t largest = 0;
    for (int i = 0; i < GROUP; i++) {
        int32_t bits = (int32_t)(cv_bits_of_float(x[i]) & 0x7FFFFFFFu);
        largest = bits > largest ? bits : largest;
    }
    return cv_float_of_bits((uint32_t)largest);
}

/* |w / scale| <= 127.5, and adding 1.5 * 2^23 pushes what is behind the point out of a float, rounding to nearest even
 * as all its arithmetic does. */
static void group_round(float *restrict q, const float *restrict w, float scale)
{
    const float shift = 12582912.0f;
    if (scale == 0.0f) {
        for (int i = 0; i < GROUP; i++) q[i] = 0.0f;
        return;
    }
    for (int i = 0; i < GROUP; i++) {
        float r = w[i] / scale;
        r = r + shift;
        r = r - shift;
        r = r > 127.0f ? 127.0f : r;
        q[i] = r < -127.0f ? -127.0f : r;
    }
}

/* q * scale is exact, for a half has eleven bits, and so is the error: q is 0, or the two lie within a
 * factor of two. */
static void group_loss(cv_loss *loss, const float *q, const float *w, float scale)
{
    float error[GROUP];
    double error2[4] = {0.0, 0.0, 0.0, 0.0}, weight2[4] = {0.0, 0.0, 0.0, 0.0};
    for (int i = 0; i < GROUP; i++) error[i] = q[i] * scale - w[i];
    for (int i = 0; i < GROUP; i += 4)
        for (int k = 0; k < 4; k++) {
            error2[k] += (double)error[i + k] * (double)error[i + k];
            weight2[k] += (double)w[i + k] * (double)w[i + k];
        }
    double largest = (double)largest_of(error);
    if (largest > loss->largest) loss->largest = largest;
    loss->error2 += (error2[0] + error2[1]) + (error2[2] + error2[3]);
    loss->weight2 += (weight2[0] + weight2[1]) + (weight2[2] + weight2[3]);
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

/* Zeros where groups do not come to lie: in rows that are missing, and behind the scales. */
static void clear_gaps(unsigned char *tile, uint64_t n, uint64_t groups)
{
    size_t scales = (size_t)groups * 2 * CV_TILE_ROWS, all = scale_bytes(groups);
    if (n < CV_TILE_ROWS) memset(tile, 0, all + (size_t)groups * GROUP_BYTES);
    else memset(tile + scales, 0, all - scales);
}

/* Where a group's 32 integers lie in a tile: four by four, each four 64 bytes after the last. */
static void place_group(unsigned char *tile, uint64_t groups, uint64_t g, uint64_t row, uint16_t half, const float *q)
{
    unsigned char *to = tile + scale_bytes(groups) + (size_t)g * GROUP_BYTES + (size_t)row * 4;
    int8_t bytes[GROUP];
    for (int i = 0; i < GROUP; i++) bytes[i] = (int8_t)(int)q[i];
    cv_store_u16(tile + (size_t)(g * CV_TILE_ROWS + row) * 2, half);
    for (int i = 0; i < GROUP / 4; i++) memcpy(to + 64 * i, bytes + 4 * i, 4);
}

/* The first weight of a group that its scale cannot be made for. */
static uint64_t find_bad(const float *w)
{
    uint64_t i = 0;
    while (i + 1 < GROUP && scale_of(fabsf(w[i])) != no_scale) i++;
    return i;
}

int cv_tile_of_floats(unsigned char *tile, const float *weights, uint64_t n, uint64_t cols, cv_loss *loss,
                      uint64_t *bad)
{
    uint64_t groups = (cols + GROUP - 1) / GROUP;
    float q[GROUP], last[GROUP] = {0.0f};
    clear_gaps(tile, n, groups);
    for (uint64_t row = 0; row < n; row++)
        for (uint64_t g = 0; g < groups; g++) {
            const float *w = weights + row * cols + g * GROUP;
            if (cols - g * GROUP < GROUP) w = memcpy(last, w, (size_t)(cols - g * GROUP) * sizeof *w);
            uint16_t half = scale_of(largest_of(w));
            float scale = cv_float_of_half(half);
            if (half == no_scale) {
                *bad = row * cols + g * GROUP + find_bad(w);
                return -1;
            }
            group_round(q, w, scale);
            place_group(tile, groups, g, row, half, q);
            if (loss) group_loss(loss, q, w, scale);
        }
    if (loss) loss->n += n * cols;
    return 0;
}

/* -128 is not an integer of a .harp file: such a group is rounded anew. */
static uint16_t group_of_integers(float *out, const int8_t *q, float scale, const float *w)
{
    int anew = memchr(q, 0x80, GROUP) != NULL;
    uint16_t half = anew ? scale_of(largest_of(w)) : cv_half_of_float(fabsf(scale));
    for (int i = 0; i < GROUP; i++) out[i] = (float)q[i];
    if (anew && half != no_scale) group_round(out, w, cv_float_of_half(half));
    return half != no_scale && !anew && scale < 0.0f ? (uint16_t)(half | 0x8000u) : half;
}

int cv_tile_of_integers(unsigned char *tile, const int8_t *integers, const float *scales, uint64_t n, uint64_t cols,
                        cv_loss *loss, uint64_t *bad)
{
    uint64_t groups = cols / GROUP;
    clear_gaps(tile, n, groups);
    for (uint64_t i = 0; i < n * groups; i++) {
        const int8_t *q = integers + i * GROUP;
        float w[GROUP], kept[GROUP];
        for (int k = 0; k < GROUP; k++) w[k] = (float)q[k] * scales[i];
        uint16_t half = group_of_integers(kept, q, scales[i], w);
        *bad = i * GROUP;
        if (half == no_scale) return -1;
        place_group(tile, groups, i % groups, i / groups, half, kept);
        if (loss) group_loss(loss, kept, w, cv_float_of_half(half));
    }
    if (loss) loss->n += n * cols;
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
