/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * halves.h - numbers of 16 bits: half precision and bfloat16 */
#ifndef HARP_CONVERT_HALVES_H
#define HARP_CONVERT_HALVES_H


#include "bytes.h"

#include <math.h>

static inline float cv_float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 1023u;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)fraction * (1.0f / 16777216.0f);
    if (exponent == 31) return cv_float_of_bits(sign | 0x7F800000u | fraction << 13);
    return cv_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Nearest, ties to even; 0 <= x, or infinite. Below 2^-14 halves are multiples of 2^-24; above, the rounding bits of
 * the float's fraction carry as they should. */
static inline uint16_t cv_half_of_float(float x)
{
    if (!(x < 65520.0f)) return 0x7C00u;
    if (x < 1.0f / 16384.0f) return (uint16_t)lrintf(x * 16777216.0f);
    uint32_t bits = cv_bits_of_float(x);
    bits += 0xFFFu + (bits >> 13 & 1u);
    return (uint16_t)((bits >> 13) - (112u << 10));
}

/* x is finite, here and below. */
static inline float cv_nearest_half(float x)
{
    float size = cv_float_of_half(cv_half_of_float(fabsf(x)));
    return x < 0.0f ? -size : size;
}

static inline float cv_nearest_bf16(float x)
{
    uint32_t bits = cv_bits_of_float(x);
    return cv_float_of_bits((bits + 0x7FFFu + (bits >> 16 & 1u)) & 0xFFFF0000u);
}

#endif
