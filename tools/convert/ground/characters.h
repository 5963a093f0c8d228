/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * characters.h - UTF-8 [RFC 3629] and hexadecimal digits */
#ifndef HARP_CHARACTERS_H
#define HARP_CHARACTERS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that text[bytes] begins with, 0 if that is not UTF-8; bytes > 0. The range of the second byte
 * excludes overlong forms, surrogates and what lies above U+10FFFF [Unicode, table 3-7]. */
static inline size_t utf8_length(const char *text, size_t bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (n > bytes) return 0;
    if (n >= 3) {
        unsigned char least = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
        unsigned char most = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
        if (p[1] < least || p[1] > most) return 0;
    }
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    return n;
}

/* The number of a character of n bytes, as utf8_length has found it. */
static inline uint32_t utf8_value(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) c = c << 6 | (p[i] & 0x3Fu);
    return c;
}

/* Writes the character, which must be one, and returns its bytes: at most 4. */
static inline size_t utf8_put(char *out, uint32_t c)
{
    static const unsigned char lead[5] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[n] | c);
    return n;
}

static inline int is_control(uint32_t c) /* newline and tab are */
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

/* The digit's value, -1 if it is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
