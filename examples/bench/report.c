/* report.c - a figure as a row of the table, or as JSON */
#include "bench.h"
#include "../../tools/convert/ground/characters.h"
#include "../../tools/convert/ground/json_write.h"

#include <string.h>

/* ---- text ---- */

void put_xml_text(FILE *out, const char *text)
{
    size_t left = strlen(text), n;
    for (; left > 0; text += n, left -= n) {
        unsigned char c = (unsigned char)*text;
        n = utf8_length(text, left);
        if (n == 0) fputs("\xEF\xBF\xBD", out), n = 1;
        else if (c == '<' || c == '>' || c == '&') fprintf(out, "&#%d;", c);
        else if (c < 0x20) fputc(' ', out); /* XML has no other control characters */
        else fwrite(text, 1, n, out);
    }
}

/* ---- figures ---- */

static void print_json(const bench *b, const figure *f)
{
    const char *shape = b->shape ? b->shape : b->model_path;
    fputs("{\"shape\":", stdout);
    json_put_string(stdout, shape, strlen(shape));
    printf(",\"isa\":\"%s\",\"threads\":%d,\"what\":\"%s\"", f->isa, f->threads, f->what);
    if (f->rows >= 0) printf(",\"rows\":%d", f->rows);
    if (f->sessions >= 0) printf(",\"sessions\":%d", f->sessions);
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
    if (f->rows >= 0)
        snprintf(what, sizeof what, "%s of %d rows", strcmp(f->what, "wait") ? "pass" : "wait, passes", f->rows);
    if (f->sessions >= 0)
        snprintf(what, sizeof what, "%s, %d session%s%s", f->what, f->sessions, f->sessions == 1 ? "" : "s",
                 f->reframings > 0 ? ", HARP" : "");
    else if (f->reframings >= 0)
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
