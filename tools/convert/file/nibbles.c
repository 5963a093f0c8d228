/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * nibbles.c - see nibbles.h
 *
 * For a group w with importances v, nibbles that choose the values t and a scale s leave the error sum v (w - s t)^2.
 * The best s for given t is (sum v w t) / (sum v t^2), and leaves sum v w^2 - (sum v w t)^2 / (sum v t^2). So the
 * search tries scales around the one that puts the group's largest weight onto an end of the table, takes the nearest
 * values for each, and keeps the choice with the largest (sum v w t)^2 / (sum v t^2).
 *
 * A table is found as Lloyd's algorithm finds levels [Lloyd 1982]: groups are fitted to the table, each value moves to
 * the place that is best for the weights that chose it, and again. */
#include "nibbles.h"
#include "../ground/halves.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { GROUP = 32, GROUP_BYTES = GROUP * CV_TILE_ROWS / 2 };

static const uint16_t no_scale = 0x7C00u; /* infinite */

/* ---- tables ---- */

typedef struct levels { /* a table on its way, and for each integer the nearest value */
    float value[CV_TABLE_VALUES]; /* ascending, the largest in size 127 */
    uint8_t nearest[256];         /* of x + 128 */
} levels;

static void find_nearest(levels *l)
{
    for (int x = -128, i = 0; x < 128; x++) {
        while (i + 1 < CV_TABLE_VALUES && (float)x - l->value[i] > l->value[i + 1] - (float)x) i++;
        l->nearest[x + 128] = (uint8_t)i;
    }
}

static void set_levels(levels *l, const int8_t *table)
{
    for (int i = 0; i < CV_TABLE_VALUES; i++) l->value[i] = (float)table[i];
    find_nearest(l);
}

/* ---- one group ---- */

typedef struct fit {
    float scale;
    uint8_t index[GROUP];
} fit;

/* x rounded to an integer within -128..127; adding 1.5 * 2^23 does it. */
static int to_integer(float x)
{
    x = x < -128.0f ? -128.0f : x > 127.0f ? 127.0f : x;
    return (int)(int8_t)(uint8_t)(cv_bits_of_float(x + 12582912.0f) & 255u);
}

static void choose_values(const levels *l, const float *w, float inverse, uint8_t *index)
{
    for (int i = 0; i < GROUP; i++) index[i] = l->nearest[to_integer(w[i] * inverse) + 128];
}

/* How good a choice is, and the scale that makes it so. */
static float judge(const levels *l, const float *w, const float *v, const uint8_t *index, float *scale)
{
    float wt = 0.0f, tt = 0.0f;
    for (int i = 0; i < GROUP; i++) {
        float t = l->value[index[i]], vt = v[i] * t;
        float a = vt * w[i], b = vt * t;
        wt = wt + a;
        tt = tt + b;
    }
    *scale = tt > 0.0f ? wt / tt : 0.0f;
    return *scale * wt;
}

static float largest_of(const float *w)
{
    float largest = 0.0f;
    for (int i = 0; i < GROUP; i++)
        if (fabsf(w[i]) > fabsf(largest)) largest = w[i];
    return largest;
}

static void try_inverse(const levels *l, const float *w, const float *v, float inverse, fit *best, float *quality)
{
    fit f;
    choose_values(l, w, inverse, f.index);
    float q = judge(l, w, v, f.index, &f.scale);
    if (q > *quality) *best = f, *quality = q;
}

/* The finite weights of a group, all within 2^100: largest is the largest in size, with its sign. */
static void fit_group(const levels *l, const float *w, const float *v, float largest, fit *best)
{
    enum { TRIALS = 11 };
    float ends[2] = {l->value[0], l->value[CV_TABLE_VALUES - 1]}, quality = 0.0f;
    memset(best, 0, sizeof *best);
    if (!(fabsf(largest) > 1e-30f)) return;
    for (int end = 0; end < 2; end++)
        for (int k = 0; k < TRIALS; k++)
            try_inverse(l, w, v, ends[end] / largest * (0.86f + 0.04f * (float)k), best, &quality);
    for (int again = 0; again < 2 && best->scale != 0.0f; again++)
        try_inverse(l, w, v, 1.0f / best->scale, best, &quality);
}

/* ---- the search for a table ---- */

/* Between equal steps and steps that grow outwards, as bell-shaped weights want them. */
static void begin_levels(levels *l)
{
    for (int i = 0; i < CV_TABLE_VALUES; i++) {
        float u = (float)(2 * i - 15) / 15.0f;
        l->value[i] = 127.0f * u * (0.7f + 0.3f * u * u);
    }
    find_nearest(l);
}

static int compare_and_swap(float *a, float *b)
{
    float x = *a;
    if (x <= *b) return 0;
    *a = *b, *b = x;
    return 1;
}

/* Values stay in order, and the largest in size is 127: what tables differ by else is in the scales. */
static void tidy_levels(levels *l)
{
    float top = 0.0f;
    for (int moved = 1; moved;) {
        moved = 0;
        for (int i = 0; i + 1 < CV_TABLE_VALUES; i++) moved |= compare_and_swap(&l->value[i], &l->value[i + 1]);
    }
    for (int i = 0; i < CV_TABLE_VALUES; i++) top = fmaxf(top, fabsf(l->value[i]));
    for (int i = 0; i < CV_TABLE_VALUES; i++) l->value[i] *= 127.0f / top;
    find_nearest(l);
}

static int is_usable(const float *w)
{
    int i = 0;
    while (i < GROUP && fabsf(w[i]) < 1e30f) i++;
    return i == GROUP;
}

static void improve_levels(levels *l, const float *groups, const float *importance, size_t n)
{
    double sum[CV_TABLE_VALUES] = {0.0}, weight[CV_TABLE_VALUES] = {0.0};
    for (size_t g = 0; g < n; g++) {
        const float *w = groups + g * GROUP, *v = importance + g * GROUP;
        fit f;
        if (!is_usable(w)) continue;
        fit_group(l, w, v, largest_of(w), &f);
        for (int i = 0; i < GROUP; i++) {
            double vs = (double)v[i] * (double)f.scale;
            sum[f.index[i]] += vs * (double)w[i], weight[f.index[i]] += vs * (double)f.scale;
        }
    }
    for (int i = 0; i < CV_TABLE_VALUES; i++)
        if (weight[i] > 0.0) l->value[i] = (float)(sum[i] / weight[i]);
    tidy_levels(l);
}

void cv_choose_table(int8_t *table, const float *groups, const float *importance, size_t n)
{
    enum { ROUNDS = 8 };
    levels l;
    begin_levels(&l);
    for (int i = 0; i < ROUNDS; i++) improve_levels(&l, groups, importance, n);
    for (int i = 0; i < CV_TABLE_VALUES; i++) table[i] = (int8_t)to_integer(l.value[i]);
}

/* ---- tiles ---- */

static size_t scale_bytes(uint64_t groups)
{
    return (size_t)cv_round_up(groups * 2 * CV_TILE_ROWS, 64);
}

size_t cv_nibble_tile_bytes(uint64_t cols)
{
    uint64_t groups = (cols + GROUP - 1) / GROUP;
    return scale_bytes(groups) + (size_t)groups * GROUP_BYTES;
}

/* The tile is zero before: two weights to a byte, eight to four bytes, 64 bytes after the last eight. */
static void place_group(unsigned char *tile, uint64_t groups, uint64_t g, uint64_t row, uint16_t half,
                        const uint8_t *index)
{
    unsigned char *to = tile + scale_bytes(groups) + (size_t)g * GROUP_BYTES + (size_t)row * 4;
    cv_store_u16(tile + (size_t)(g * CV_TILE_ROWS + row) * 2, half);
    for (int i = 0; i < GROUP; i++)
        to[i / 8 * 64 + i % 4] = (unsigned char)(to[i / 8 * 64 + i % 4] | index[i] << (i % 8 < 4 ? 0 : 4));
}

static uint16_t signed_half(float x)
{
    return (uint16_t)(cv_half_of_float(fabsf(x)) | (x < 0.0f ? 0x8000u : 0u));
}

static void add_loss(cv_loss *loss, const float *w, const levels *l, const uint8_t *index, float scale)
{
    for (int i = 0; i < GROUP; i++) {
        double error = (double)l->value[index[i]] * (double)scale - (double)w[i];
        if (fabs(error) > loss->largest) loss->largest = fabs(error);
        loss->error2 += error * error, loss->weight2 += (double)w[i] * (double)w[i];
    }
}

int cv_nibbles_of_integers(unsigned char *tile, const int8_t *integers, const float *scales, uint64_t n, uint64_t cols,
                           const int8_t *table, cv_loss *loss, uint64_t *bad)
{
    uint64_t groups = cols / GROUP;
    uint8_t of[256] = {0};
    levels l;
    for (int i = CV_TABLE_VALUES - 1; i >= 0; i--) of[(uint8_t)table[i]] = (uint8_t)i, l.value[i] = (float)table[i];
    memset(tile, 0, cv_nibble_tile_bytes(cols));
    for (uint64_t i = 0; i < n * groups; i++) {
        const int8_t *q = integers + i * GROUP;
        uint16_t half = signed_half(scales[i]);
        uint8_t index[GROUP];
        float w[GROUP];
        *bad = i * GROUP;
        if ((half & 0x7FFFu) == no_scale) return -1;
        for (int k = 0; k < GROUP; k++) index[k] = of[(uint8_t)q[k]], w[k] = (float)q[k] * scales[i];
        place_group(tile, groups, i % groups, i / groups, half, index);
        if (loss) add_loss(loss, w, &l, index, cv_float_of_half(half));
    }
    if (loss) loss->n += n * cols;
    return 0;
}

/* A group with its scale as a half, for which the nearest values are chosen once more. */
static uint16_t round_group(const levels *l, const float *w, const float *v, float largest, uint8_t *index,
                            float *scale)
{
    fit f;
    fit_group(l, w, v, largest, &f);
    uint16_t half = signed_half(f.scale);
    *scale = cv_float_of_half(half);
    choose_values(l, w, *scale != 0.0f ? 1.0f / *scale : 0.0f, index);
    return half;
}

/* The first weight of a group that is not finite or too large for any scale. */
static uint64_t find_bad(const float *w)
{
    uint64_t i = 0;
    while (i + 1 < GROUP && fabsf(w[i]) <= 127.0f * 65504.0f) i++;
    return i;
}

int cv_nibbles_of_floats(unsigned char *tile, const float *weights, uint64_t n, uint64_t cols, const int8_t *table,
                         const float *importance, cv_loss *loss, uint64_t *bad)
{
    uint64_t groups = (cols + GROUP - 1) / GROUP;
    float ones[GROUP], last[GROUP] = {0.0f}, last_v[GROUP], scale;
    levels l;
    set_levels(&l, table);
    memset(tile, 0, cv_nibble_tile_bytes(cols));
    for (int i = 0; i < GROUP; i++) ones[i] = last_v[i] = 1.0f;
    for (uint64_t row = 0; row < n; row++)
        for (uint64_t g = 0; g < groups; g++) {
            const float *w = weights + row * cols + g * GROUP, *v = importance ? importance + g * GROUP : ones;
            size_t left = (size_t)(cols - g * GROUP < GROUP ? cols - g * GROUP : GROUP);
            if (left < GROUP) {
                w = memcpy(last, w, left * sizeof *w);
                v = memcpy(last_v, v, left * sizeof *v);
            }
            float largest = largest_of(w);
            uint8_t index[GROUP];
            uint64_t at = find_bad(w);
            uint16_t half = no_scale;
            if (fabsf(w[at]) <= 127.0f * 65504.0f) half = round_group(&l, w, v, largest, index, &scale);
            if ((half & 0x7FFFu) == no_scale) {
                *bad = row * cols + g * GROUP + at;
                return -1;
            }
            place_group(tile, groups, g, row, half, index);
            if (loss) add_loss(loss, w, &l, index, scale);
        }
    if (loss) loss->n += n * cols;
    return 0;
}
