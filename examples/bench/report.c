/* report.c - a figure as a row of the table, or as JSON */
#include "bench.h"

#include <string.h>

/* ---- text ---- */

/* Bytes of the UTF-8 character that the text begins with [RFC 3629, section 4]; 0: it begins with none. */
static size_t character_bytes(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned least = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    unsigned most = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0, i;
    if (n > 1 && (p[1] < least || p[1] > most)) return 0;
    for (i = 2; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    return n;
}

/* Writes the character that the text begins with and returns its bytes; U+FFFD for a byte that begins none. */
static size_t put_character(FILE *out, const char *text)
{
    size_t n = character_bytes(text);
    if (n == 0) return fputs("\xEF\xBF\xBD", out), 1;
    return fwrite(text, 1, n, out), n;
}

void put_json_text(FILE *out, const char *text)
{
    while (*text) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') fputc('\\', out);
        if (c >= 0x20) text += put_character(out, text);
        else fprintf(out, "\\u%04x", c), text++;
    }
}

void put_xml_text(FILE *out, const char *text)
{
    while (*text) {
        unsigned char c = (unsigned char)*text;
        if (c == '<' || c == '>' || c == '&') fprintf(out, "&#%d;", c), text++;
        else if (c < 0x20) fputc(' ', out), text++; /* XML has no other control characters */
        else text += put_character(out, text);
    }
}

/* ---- figures ---- */

static void print_json(const bench *b, const figure *f)
{
    fputs("{\"shape\":\"", stdout);
    put_json_text(stdout, b->shape ? b->shape : b->model_path);
    printf("\",\"isa\":\"%s\",\"threads\":%d,\"what\":\"%s\"", f->isa, f->threads, f->what);
    if (f->rows >= 0) printf(",\"rows\":%d", f->rows);
    if (f->depth >= 0) printf(",\"depth\":%d", f->depth);
    if (f->schedule[0]) printf(",\"schedule\":\"%s\"", f->schedule);
    if (f->reframings >= 0) printf(",\"reframings\":%d", f->reframings);
    if (f->from >= 0) printf(",\"reframe_from\":%d", f->from);
    if (f->hesitation >= 0.0) printf(",\"hesitation\":%.3f", f->hesitation);
    if (f->tok_s >= 0.0) printf(",\"tok_s\":%.2f", f->tok_s);
    printf(",\"ms\":%.4f", f->ms);
    if (f->share >= 0.0) printf(",\"share\":%.3f", f->share);
    if (f->ratio >= 0.0) printf(",\"ratio\":%.3f", f->ratio);
    printf(",\"n\":%d,\"min\":%.4f,\"max\":%.4f}\n", f->n, f->min, f->max);
}

static void print_row(const figure *f)
{
    char what[64];
    snprintf(what, sizeof what, "%s", f->what);
    if (f->rows >= 0) snprintf(what, sizeof what, "pass of %d rows", f->rows);
    if (f->reframings >= 0)
        snprintf(what, sizeof what, "%s %s, K = %d", f->what, f->schedule, f->reframings);
    if (f->from >= 0) snprintf(what, sizeof what, "request, HARP from %d", f->from);
    printf("%-8s %7d  %-24s", f->isa, f->threads, what);
    f->depth >= 0 ? printf(" %6d", f->depth) : printf(" %6s", "");
    f->hesitation >= 0.0 ? printf(" %6.1f %%", 100.0 * f->hesitation) : printf(" %8s", "");
    f->tok_s >= 0.0 ? printf(" %9.2f", f->tok_s) : printf(" %9s", "");
    printf(" %10.3f", f->ms);
    f->share >= 0.0 ? printf(" %7.2f", f->share) : printf(" %7s", "");
    f->ratio >= 0.0 ? printf(" %7.3f", f->ratio) : printf(" %7s", "");
    printf("   %.3f .. %.3f\n", f->min, f->max);
}

void print_heading(const bench *b)
{
    if (b->json) return;
    printf("%s: %.1f M parameters, %.1f MB\n", b->model_path, (double)b->info.parameters * 1e-6,
           (double)b->info.bytes * 1e-6);
    printf("%-8s %7s  %-24s %6s %8s %9s %10s %7s %7s   %s\n", "isa", "threads", "what", "depth", "hesitate", "tokens/s",
           "ms", "share", "ratio", "min .. max, ms");
}

void report(bench *b, figure f)
{
    int is_plotted = strcmp(f.what, "harp") == 0 && (b->n_figures == 0 || strcmp(f.isa, b->figures[0].isa) == 0);
    if (is_plotted && b->n_figures < MOST_FIGURES) b->figures[b->n_figures++] = f;
    b->reported++;
    if (b->json) print_json(b, &f);
    else print_row(&f);
    fflush(stdout);
}
