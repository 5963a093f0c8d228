/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * show.c - see show.h */
#include "show.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

static int is_command(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x61C || c == 0x200E || c == 0x200F
           || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* Bytes of the UTF-8 character at p (a zero ends the text) if it may be shown as it is; otherwise 0. */
static size_t harmless_bytes(const unsigned char *p)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* a character has one form, the shortest */
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    return n == 0 || c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) || is_command(c) ? 0 : n;
}

void show_line(FILE *out, const char *format, ...)
{
    char line[SHOW_MOST_BYTES] = "";
    const unsigned char *p = (const unsigned char *)line;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (size_t bytes; *p; p += bytes ? bytes : 1) {
        bytes = harmless_bytes(p);
        if (bytes) fwrite(p, 1, bytes, out);
        else fprintf(out, "\\x%02x", (unsigned)*p);
    }
    putc('\n', out);
}
