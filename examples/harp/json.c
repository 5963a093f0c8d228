/* json.c - strings and numbers as JSON [RFC 8259] */
#include "cli.h"

#include <math.h>

static int is_continuation(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF [Unicode, table 3-7]. */
size_t utf8_length(const char *text, size_t bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0, i;
    if (n > bytes) return 0;
    if (n >= 3) {
        unsigned char least = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
        unsigned char most = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
        if (p[1] < least || p[1] > most) return 0;
    }
    for (i = 1; i < n; i++)
        if (!is_continuation(p[i])) return 0;
    return n;
}

void json_string(FILE *out, const char *text, size_t bytes)
{
    size_t i = 0, n;
    fputc('"', out);
    for (; i < bytes; i += n) {
        unsigned char c = (unsigned char)text[i];
        n = utf8_length(text + i, bytes - i);
        if (n == 0) fputs("\\ufffd", out), n = 1;
        else if (c == '"' || c == '\\') fprintf(out, "\\%c", c);
        else if (c == '\n') fputs("\\n", out);
        else if (c < 0x20 || c == 0x7F) fprintf(out, "\\u%04x", c);
        else fwrite(text + i, 1, n, out);
    }
    fputc('"', out);
}

void json_number(FILE *out, double value)
{
    if (isfinite(value)) fprintf(out, "%.9g", value);
    else fputs("null", out);
}

void json_ids(FILE *out, const int32_t *list, size_t n)
{
    size_t i;
    fputc('[', out);
    for (i = 0; i < n; i++) fprintf(out, "%s%ld", i ? ", " : "", (long)list[i]);
    fputs("]\n", out);
}
