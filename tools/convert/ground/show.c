/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * show.c - see show.h */
#include "show.h"
#include "characters.h"

#include <stdarg.h>
#include <string.h>

static int is_command(uint32_t c)
{
    return is_control(c) || c == 0x61C || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E)
           || (c >= 0x2066 && c <= 0x2069);
}

void show_line(FILE *out, const char *format, ...)
{
    char line[SHOW_MOST_BYTES] = "", *p = line;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (size_t left = strlen(line), n; left > 0; p += n, left -= n) {
        n = utf8_length(p, left);
        if (n > 0 && !is_command(utf8_value(p, n))) fwrite(p, 1, n, out);
        else fprintf(out, "\\x%02x", (unsigned char)*p), n = 1; /* byte by byte: the rest is not UTF-8 then */
    }
    putc('\n', out);
}

/* Bytes that are no UTF-8 are replaced, too: some terminals take a lone 0x9B for the beginning of a command. */
void show_harmless(FILE *out, const char *text, size_t bytes, int has_lines)
{
    for (size_t i = 0, n; i < bytes; i += n) {
        n = utf8_length(text + i, bytes - i);
        if (has_lines && (text[i] == '\n' || text[i] == '\t')) fputc(text[i], out);
        else if (has_lines && text[i] == '\r') continue;
        else if (n == 0 || is_control(utf8_value(text + i, n))) fputs("\xEF\xBF\xBD", out);
        else fwrite(text + i, 1, n, out);
        if (n == 0) n = 1;
    }
}
