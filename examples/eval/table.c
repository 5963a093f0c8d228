/* table.c - intervals, McNemar's test; Markdown, CSV, SVG */
#include "eval.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One method in the table. */
typedef struct row {
    const char *name;
    outcome sum;
    double squares;               /* of right, for metrics that are no counts                     */
    double low, high;             /* 95 % interval of the score                                   */
    double won, lost, p;          /* against vanilla, paired                                       */
    double time, passes;          /* relative to vanilla on the items that both have; 0: unknown  */
    double nll_change, nll_error; /* per token, against vanilla, and its standard error over items */
    int32_t items, paired;
} row;

/* ---- Statistics ---- */

/* The two-sided exact binomial test of "both outcomes are equally likely" [McNemar 1947]. */
double mcnemar(double won, double lost)
{
    double n = won + lost, less = won < lost ? won : lost, p = 0, i;
    for (i = 0; i <= less; i++) p += exp(lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) - n * log(2.0));
    p *= 2;
    return n == 0 || p > 1 ? 1 : p;
}

/* Wilson's interval for a share; the normal one for other means. */
static void set_interval(row *r, int is_count)
{
    double n = r->sum.trials, mean = n > 0 ? r->sum.right / n : 0, z = 1.959964;
    if (n <= 0) return;
    if (is_count) {
        double middle = mean + z * z / (2 * n), half = z * sqrt(mean * (1 - mean) / n + z * z / (4 * n * n));
        r->low = (middle - half) / (1 + z * z / n), r->high = (middle + half) / (1 + z * z / n);
    } else {
        double variance = n > 1 ? (r->squares / n - mean * mean) * n / (n - 1) : 0, half = z * sqrt(variance / n);
        r->low = mean - half, r->high = mean + half;
    }
}

/* Adds up a method's records, and pairs them with vanilla's of the same items. */
static void add_up(const results *r, const record *const *vanilla, int32_t which, row *out)
{
    double time[2] = {0, 0}, passes[2] = {0, 0}, first = 0, second = 0, change;
    const double *from;
    double *to = (double *)(void *)&out->sum;
    size_t i, k;
    for (i = 0; i < r->n; i++) {
        const record *is = &r->list[i], *was = vanilla[is->item];
        if (is->method != which) continue;
        from = (const double *)(const void *)&is->o;
        for (k = 0; k < sizeof(outcome) / sizeof(double); k++) to[k] += from[k];
        out->squares += is->o.right * is->o.right, out->items++;
        if (!was || was == is) continue;
        out->paired++;
        time[0] += is->o.seconds, time[1] += was->o.seconds, passes[0] += is->o.passes, passes[1] += was->o.passes;
        if (is->o.trials == 1) out->won += is->o.right > was->o.right, out->lost += is->o.right < was->o.right;
        else out->won += is->o.won, out->lost += is->o.lost;
        change = is->o.tokens > 0 ? (is->o.nll - was->o.nll) / is->o.tokens : 0;
        first += change, second += change * change;
    }
    if (time[1] > 0) out->time = time[0] / time[1];
    if (passes[1] > 0) out->passes = passes[0] / passes[1];
    if (out->paired > 1) {
        double n = out->paired, mean = first / n;
        out->nll_change = mean, out->nll_error = sqrt((second / n - mean * mean) / (n - 1));
    }
    out->p = mcnemar(out->won, out->lost);
}

static row *make_rows(const results *r, task_id task)
{
    row *rows = calloc((size_t)r->n_names + 1, sizeof *rows);
    int32_t i, most = 0;
    const record **vanilla;
    size_t k;
    for (k = 0; k < r->n; k++)
        if (r->list[k].item > most) most = r->list[k].item;
    vanilla = calloc((size_t)most + 1, sizeof *vanilla);
    for (k = 0; vanilla && k < r->n; k++)
        if (strcmp(r->names[r->list[k].method], "vanilla") == 0) vanilla[r->list[k].item] = &r->list[k];
    for (i = 0; rows && vanilla && i < r->n_names; i++) {
        rows[i].name = r->names[i];
        add_up(r, vanilla, i, &rows[i]);
        set_interval(&rows[i], task != TASK_CNN_DM);
    }
    free(vanilla);
    return rows;
}

/* ---- Markdown ---- */

static double share(double part, double of)
{
    return of > 0 ? part / of : 0;
}

static void print_cell(FILE *out, const char *format, double value, int is_there)
{
    fputs(" ", out);
    if (is_there) fprintf(out, format, value);
    else fputs("-", out);
    fputs(" |", out);
}

static void print_text_cells(const row *r, FILE *out)
{
    print_cell(out, "%.4f", share(r->sum.nll, r->sum.tokens), r->sum.tokens > 0);
    if (r->paired > 1) fprintf(out, " %+.4f ± %.4f |", r->nll_change, 1.96 * r->nll_error);
    else fputs(" - |", out);
    print_cell(out, "%.2f", 100 * share(r->sum.doubtful_right, r->sum.doubtful), r->sum.doubtful > 0);
    print_cell(out, "%.4f", share(r->sum.doubtful_nll, r->sum.doubtful), r->sum.doubtful > 0);
}

static void print_markdown(const row *rows, int32_t n, task_id task, FILE *out)
{
    const char *second = task_metric2(task);
    int is_text = task == TASK_PPL || task == TASK_NEXTTOKEN, i;
    fprintf(out, "| method | %s, %% [95 %%] | n |%s%s%s", task_metric(task), second ? " " : "", second ? second : "",
            second ? ", % |" : "");
    if (is_text) fputs(" NLL, nats | against vanilla | top-1 where it hesitates, % | NLL there |", out);
    else if (task == TASK_LAMBADA) fputs(" perplexity |", out);
    fputs(" hesitates, % | won / lost | p | time | passes |\n|---|---|---|", out);
    for (i = 0; i < (second ? 1 : 0) + (is_text ? 4 : task == TASK_LAMBADA ? 1 : 0) + 5; i++) fputs("---|", out);
    fputs("\n", out);
    for (; n > 0; rows++, n--) {
        const outcome *o = &rows->sum;
        double rate = is_text ? share(o->doubtful, o->trials) : share(o->hesitated, o->steps);
        fprintf(out, "| %s | %.2f [%.2f, %.2f] | %.0f |", rows->name, 100 * share(o->right, o->trials), 100 * rows->low,
                100 * rows->high, o->trials);
        if (second) print_cell(out, "%.2f", 100 * share(o->right2, o->trials), 1);
        if (is_text) print_text_cells(rows, out);
        else if (task == TASK_LAMBADA) print_cell(out, "%.2f", exp(share(o->nll, o->tokens)), o->tokens > 0);
        print_cell(out, "%.1f", 100 * rate, o->steps > 0 && (rate > 0 || strncmp(rows->name, "harp", 4) == 0));
        if (rows->paired)
            fprintf(out, " %.0f / %.0f | %.3g | x%.2f | x%.2f |\n", rows->won, rows->lost, rows->p, rows->time,
                    rows->passes);
        else fputs(" - | - | x1 | x1 |\n", out);
    }
}

/* ---- CSV and SVG ---- */

static int print_csv(const row *rows, int32_t n, FILE *out)
{
    fputs("method,items,trials,score,low,high,second,nll,hesitation,won,lost,p,time,passes,seconds,truncated\n", out);
    for (; n > 0; rows++, n--) {
        const outcome *o = &rows->sum;
        fprintf(out, "\"%s\",%ld,%.0f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.0f,%.0f,%.6g,%.4f,%.4f,%.3f,%.0f\n", rows->name,
                (long)rows->items, o->trials, share(o->right, o->trials), rows->low, rows->high,
                share(o->right2, o->trials), share(o->nll, o->tokens), share(o->hesitated, o->steps), rows->won,
                rows->lost, rows->p, rows->paired ? rows->time : 1, rows->paired ? rows->passes : 1, o->seconds,
                o->cut);
    }
    return ferror(out);
}

static void print_label(FILE *out, double x, double y, const char *anchor, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    for (; *text; text++)
        if (*text == '<') fputs("&lt;", out);
        else if (*text == '&') fputs("&amp;", out);
        else fputc(*text, out);
    fputs("</text>\n", out);
}

static double cost_of(const row *r)
{
    return r->paired ? r->time : 1;
}

/* Score against relative wall time, a point a method, its interval as a line. */
static int print_svg(const row *rows, int32_t n, task_id task, FILE *out)
{
    double low = 1, high = 0, cost = 1.2, x, y[3];
    char text[64];
    int32_t i;
    for (i = 0; i < n; i++) {
        low = rows[i].low < low ? rows[i].low : low, high = rows[i].high > high ? rows[i].high : high;
        cost = cost_of(&rows[i]) > cost ? cost_of(&rows[i]) : cost;
    }
    high = high > low ? high : low + 0.01, cost *= 1.1;
    fputs("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 400\" font-family=\"sans-serif\" "
          "font-size=\"12\">\n"
          "<rect width=\"640\" height=\"400\" fill=\"#fff\"/>\n"
          "<path d=\"M60 20V350H620\" fill=\"none\" stroke=\"#888\"/>\n",
          out);
    for (i = 0; i <= 4; i++) {
        snprintf(text, sizeof text, "%.1f", 100 * (low + (high - low) * i / 4));
        print_label(out, 54, 354 - 320 * i / 4.0, "end", text);
        snprintf(text, sizeof text, "x%.2f", cost * i / 4);
        print_label(out, 60 + 540 * i / 4.0, 368, "middle", text);
    }
    snprintf(text, sizeof text, "%s, %%", task_metric(task));
    print_label(out, 64, 16, "start", text);
    print_label(out, 620, 390, "end", "wall time, vanilla = 1");
    for (i = 0; i < n; i++) {
        x = 60 + 540 * cost_of(&rows[i]) / cost;
        y[0] = rows[i].low, y[1] = share(rows[i].sum.right, rows[i].sum.trials), y[2] = rows[i].high;
        fprintf(
            out,
            "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#b3574b\" opacity=\".5\"/><circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" "
            "fill=\"#b3574b\"/>\n",
            x, 350 - 320 * (y[0] - low) / (high - low), 350 - 320 * (y[2] - low) / (high - low), x,
            350 - 320 * (y[1] - low) / (high - low));
        print_label(out, x > 480 ? x - 8 : x + 8, 354 - 320 * (y[1] - low) / (high - low), x > 480 ? "end" : "start",
                    rows[i].name);
    }
    fputs("</svg>\n", out);
    return ferror(out);
}

static int write_file(const char *path, const row *rows, int32_t n, task_id task, int is_svg)
{
    FILE *f = fopen(path, "wb");
    int failed;
    if (!f) return complain("%s: %s", path, strerror(errno));
    failed = is_svg ? print_svg(rows, n, task, f) : print_csv(rows, n, f);
    failed |= fclose(f);
    return failed ? complain("%s: could not be written", path) : 0;
}

int print_tables(const results *r, task_id task, FILE *markdown, const char *csv, const char *svg)
{
    row *rows = make_rows(r, task);
    int status = 0;
    if (!rows) return complain("there is not enough memory for the table");
    print_markdown(rows, r->n_names, task, markdown);
    if (r->n_names > 0 && rows[0].sum.cut > 0)
        fprintf(markdown, "\n%.0f of %ld prompts were longer than the context and lost their beginning.\n",
                rows[0].sum.cut, (long)rows[0].items);
    if (csv) status = write_file(csv, rows, r->n_names, task, 0);
    if (svg && status == 0) status = write_file(svg, rows, r->n_names, task, 1);
    free(rows);
    if (status == 0 && (fflush(markdown) || ferror(markdown))) status = complain("the table could not be written");
    return status;
}

/* ---- Calibration ---- */

static int compare_reals(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void print_calibration(const bench *b)
{
    static const double rates[] = {0.05, 0.10, 0.16, 0.20, 0.25, 0.30, 0.40, 0.50};
    size_t i, n = b->n_entropies, k = 0, bin;
    if (n == 0) return;
    qsort(b->entropies, n, sizeof *b->entropies, compare_reals);
    printf("| hesitation rate wanted | theta, bits |\n|---|---|\n");
    for (i = 0; i < sizeof rates / sizeof *rates; i++) {
        size_t at = (size_t)((1 - rates[i]) * (double)n);
        printf("| %.0f %% | %.3f |\n", 100 * rates[i], b->entropies[at < n ? at : n - 1]);
    }
    printf("\n| entropy, bits | share of %lu positions |\n|---|---|\n", (unsigned long)n);
    for (bin = 0; k < n; bin++) {
        size_t first = k;
        while (k < n && b->entropies[k] < 0.5 * (double)(bin + 1)) k++;
        printf("| %.1f to %.1f | %5.1f %% ", 0.5 * (double)bin, 0.5 * (double)(bin + 1),
               100 * (double)(k - first) / (double)n);
        for (i = 0; i < (k - first) * 50 / n; i++) putchar('#');
        printf(" |\n");
    }
}
