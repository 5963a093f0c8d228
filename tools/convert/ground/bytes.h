/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * bytes.h - little-endian numbers in memory, the same on every machine, and checksums */
#ifndef HARP_CONVERT_BYTES_H
#define HARP_CONVERT_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t cv_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t cv_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t cv_u64(const unsigned char *p)
{
    return (uint64_t)cv_u32(p) | (uint64_t)cv_u32(p + 4) << 32;
}

static inline int64_t cv_i32(const unsigned char *p)
{
    uint32_t u = cv_u32(p);
    return u < 0x80000000u ? (int64_t)u : (int64_t)u - ((int64_t)1 << 32);
}

static inline float cv_float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t cv_bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float cv_f32(const unsigned char *p)
{
    return cv_float_of_bits(cv_u32(p));
}

static inline void cv_store_u16(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char)v, p[1] = (unsigned char)(v >> 8);
}

static inline void cv_store_u32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static inline void cv_store_u64(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static inline uint64_t cv_round_up(uint64_t n, uint64_t step) /* callers keep n far below 2^64 */
{
    return (n + step - 1) / step * step;
}

uint32_t cv_crc32(uint32_t crc, const void *data, size_t bytes); /* as zip and PNG; start with 0 */

#endif
