/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * rope.c - see rope.h
 *
 * In the order of operations of transformers, in float32: the numbers agree to the last bit or nearly so, and angles of
 * far positions with them. */
#include "rope.h"

#include <math.h>

/* The power is taken in double and rounded once: libm's powf differs between machines, this does not. */
void cv_rope_frequencies(float *table, int32_t dims, double theta)
{
    double base = (double)(float)theta;
    for (int32_t i = 0; i < dims / 2; i++) {
        float exponent = (float)(2 * i) / (float)dims;
        float power = (float)pow(base, (double)exponent);
        table[i] = 1.0f / power;
    }
}

float cv_rope_power(int32_t dims, double theta, int32_t i)
{
    float exponent = (float)(2 * i) / (float)dims;
    return (float)pow((double)(float)theta, (double)exponent);
}

/* YaRN [Peng et al. 2023]: between the frequency that turns beta_fast times within the original context and the one
 * that turns beta_slow times, a ramp leads from frequencies as they are to frequencies divided by factor. The factor is
 * taken as stated; where a folder says 32768 positions, all of them original, and factor 4, it means 131072. */
static double correction(int32_t dims, double theta, double turns, double old)
{
    return dims * log(old / (turns * 2.0 * 3.14159265358979323846)) / (2.0 * log(theta));
}

void cv_rope_yarn(float *table, int32_t dims, double theta, double factor, double old, double fast, double slow,
                  int truncate)
{
    double begin = correction(dims, theta, fast, old), end = correction(dims, theta, slow, old);
    float low = (float)fmax(truncate ? floor(begin) : begin, 0.0);
    float high = (float)fmin(truncate ? ceil(end) : end, dims - 1);
    float width = high == low ? 0.001f : high - low;
    for (int32_t i = 0; i < dims / 2; i++) {
        float share = ((float)i - low) / width, slowed = (float)factor * cv_rope_power(dims, theta, i);
        share = share < 0.0f ? 0.0f : share > 1.0f ? 1.0f : share;
        float kept = 1.0f - share;
        float rest = 1.0f - kept;
        float a = 1.0f / slowed, b = table[i] * kept;
        a = a * rest;
        table[i] = a + b;
    }
}

/* Element j of a head was at 2j, or, in the second half, at 2j + 1; what is not turned stands where it stood. */
uint64_t cv_row_in_pairs(const cv_facts *f, cv_part part, uint64_t r)
{
    uint64_t turned = (uint64_t)f->rope_dims, j = r % (uint64_t)f->head_dim;
    int turns = part == CV_QUERY || part == CV_KEY || part == CV_QUERY_BIAS || part == CV_KEY_BIAS;
    if (!turns || j >= turned) return r;
    return r - j + (j < turned / 2 ? 2 * j : 2 * (j - turned / 2) + 1);
}
