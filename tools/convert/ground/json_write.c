/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * json_write.c - see json_write.h */
#include "json_write.h"
#include "characters.h"

void json_put_string(FILE *out, const char *text, size_t bytes)
{
    fputc('"', out);
    for (size_t i = 0, n; i < bytes; i += n) {
        n = utf8_length(text + i, bytes - i);
        uint32_t c = n ? utf8_value(text + i, n) : 0xFFFD;
        if (c == '"' || c == '\\') fprintf(out, "\\%c", (int)c);
        else if (c == '\n') fputs("\\n", out);
        else if (n == 0 || is_control(c)) fprintf(out, "\\u%04x", (unsigned)c);
        else fwrite(text + i, 1, n, out);
        if (n == 0) n = 1;
    }
    fputc('"', out);
}

void json_put_number(FILE *out, double value)
{
    int is_finite = value - value == 0.0; /* MinGW's isfinite warns of a conversion to float */
    if (is_finite) fprintf(out, "%.9g", value);
    else fputs("null", out);
}
