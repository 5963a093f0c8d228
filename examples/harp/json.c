/* json.c - strings and numbers as JSON [RFC 8259] */
#include "cli.h"

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

int is_control(const char *text, size_t bytes)
{
    unsigned char c = (unsigned char)text[0];
    return c < 0x20 || c == 0x7F || (c == 0xC2 && bytes > 1 && (unsigned char)text[1] < 0xA0);
}

/* Control characters are escaped, those above U+007F, too: JSON allows them, but terminals obey them. */
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
        else if (is_control(text + i, n)) fprintf(out, "\\u%04x", n == 1 ? c : (unsigned char)text[i + 1]);
        else fwrite(text + i, 1, n, out);
    }
    fputc('"', out);
}

void json_number(FILE *out, double value)
{
    int is_finite = value - value == 0.0; /* MinGW's isfinite warns of a conversion to float */
    if (is_finite) fprintf(out, "%.9g", value);
    else fputs("null", out);
}

void json_ids(FILE *out, const int32_t *list, size_t n)
{
    size_t i;
    fputc('[', out);
    for (i = 0; i < n; i++) fprintf(out, "%s%ld", i ? ", " : "", (long)list[i]);
    fputs("]\n", out);
}
