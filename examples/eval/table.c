/* table.c - intervals, McNemar's test; Markdown, CSV, SVG */
#include "eval.h"
#include "../../tools/convert/ground/sort.h"

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
    double nll_change, nll_error;     /* per token, against vanilla, and its standard error over items */
    double right_change, right_error; /* of the score, the same                                         */
    int32_t items, paired;
} row;

/* ---- Statistics ---- */

/* The two-sided binomial test of "both outcomes are equally likely" [McNemar 1947]: exact up to 1e8 pairs, beyond
 * that the normal distribution with the correction for continuity, which differs by less than two parts in a thousand.
 * Terms get smaller from the middle outwards, so the sum ends where they no longer count. */
double mcnemar(double won, double lost)
{
    double n = won + lost, i = won < lost ? won : lost, term, p = 0;
    if (!(n > 0) || won == lost) return 1;
    if (n > 1e8) return erfc((fabs(won - lost) - 1) / sqrt(2 * n));
    term = exp(lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) - n * log(2.0));
    for (; i >= 0 && term > 1e-17 * p; i--) p += term, term *= i / (n - i + 1);
    return 2 * p > 1 ? 1 : 2 * p;
}

/* 0: unknown. Times come from records, and may be anything that is no NaN. */
static double ratio(double a, double b)
{
    return b > 0 && a < 1e9 * b ? a / b : 0;
}

static double share(double part, double of)
{
    return of > 0 ? part / of : 0;
}

/* A variance that rounding made negative is none. */
static double root(double variance)
{
    return variance > 0 ? sqrt(variance) : 0;
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
        double variance = n > 1 ? (r->squares / n - mean * mean) * n / (n - 1) : 0, half = z * root(variance / n);
        r->low = mean - half, r->high = mean + half;
    }
}

/* The mean over n items of what sums to `first`, its squares to `second`, and its standard error. */
static void set_mean(double first, double second, double n, double *mean, double *error)
{
    *mean = first / n, *error = root((second / n - *mean * *mean) / (n - 1));
}

/* Adds up a method's records, and pairs them with vanilla's of the same items (vanilla -1: there is none). */
static void add_up(const results *r, int32_t vanilla, int32_t which, row *out)
{
    double time[2] = {0, 0}, passes[2] = {0, 0}, nll[2] = {0, 0}, right[2] = {0, 0}, change;
    const double *from;
    double *to = (double *)(void *)&out->sum;
    size_t i, k;
    for (i = 0; i < r->n; i++) {
        const record *is = &r->list[i], *was;
        if (is->method != which) continue;
        was = vanilla < 0 ? NULL : results_find(r, vanilla, is->item);
        from = (const double *)(const void *)&is->o;
        for (k = 0; k < sizeof(outcome) / sizeof(double); k++) to[k] += from[k];
        out->squares += is->o.right * is->o.right, out->items++;
        if (!was || was == is) continue;
        out->paired++;
        time[0] += is->o.seconds, time[1] += was->o.seconds, passes[0] += is->o.passes, passes[1] += was->o.passes;
        if (is->o.trials == 1) out->won += is->o.right > was->o.right, out->lost += is->o.right < was->o.right;
        else out->won += is->o.won, out->lost += is->o.lost;
        change = is->o.tokens > 0 ? (is->o.nll - was->o.nll) / is->o.tokens : 0;
        nll[0] += change, nll[1] += change * change;
        change = share(is->o.right, is->o.trials) - share(was->o.right, was->o.trials);
        right[0] += change, right[1] += change * change;
    }
    out->time = ratio(time[0], time[1]), out->passes = ratio(passes[0], passes[1]);
    if (out->paired > 1) {
        set_mean(nll[0], nll[1], out->paired, &out->nll_change, &out->nll_error);
        set_mean(right[0], right[1], out->paired, &out->right_change, &out->right_error);
    }
    out->p = mcnemar(out->won, out->lost);
}

static int32_t find_vanilla(const results *r)
{
    int32_t i = r->n_methods - 1;
    while (i >= 0 && strcmp(results_name(r, i), "vanilla") != 0) i--;
    return i;
}

gain gain_of(const results *r, task_id task, int32_t which)
{
    int is_text = task >= TASK_PPL;
    double error;
    row of, plain;
    gain g;
    memset(&of, 0, sizeof of), memset(&plain, 0, sizeof plain), memset(&g, 0, sizeof g);
    add_up(r, find_vanilla(r), which, &of), add_up(r, -1, find_vanilla(r), &plain);
    g.mean = is_text ? -of.nll_change : of.right_change, error = is_text ? of.nll_error : of.right_error;
    g.low = g.mean - 1.959964 * error, g.high = g.mean + 1.959964 * error;
    g.with = is_text ? share(of.sum.nll, of.sum.tokens) : share(of.sum.right, of.sum.trials);
    g.without = is_text ? share(plain.sum.nll, plain.sum.tokens) : share(plain.sum.right, plain.sum.trials);
    g.passes = of.passes, g.items = of.paired;
    return g;
}

/* A row for each method that has answered anything; *n of them. */
static row *make_rows(const results *r, task_id task, int32_t *n)
{
    row *rows = calloc((size_t)r->n_methods + 1, sizeof *rows);
    int32_t i, vanilla = find_vanilla(r);
    *n = 0;
    for (i = 0; rows && i < r->n_methods; i++) {
        row *to = &rows[*n];
        to->name = results_name(r, i);
        add_up(r, vanilla, i, to);
        set_interval(to, task != TASK_CNN_DM);
        *n += to->items > 0;
    }
    return rows;
}

/* ---- Markdown ---- */

static void print_cell(FILE *out, const char *format, double value, int is_there)
{
    fputs(" ", out);
    if (is_there) fprintf(out, format, value);
    else fputs("-", out);
    fputs(" |", out);
}

static void print_perplexity(const outcome *o, FILE *out)
{
    print_cell(out, "%.2f", exp(share(o->nll, o->tokens)), o->tokens > 0);
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
    int has_perplexity = task == TASK_PPL || task == TASK_LAMBADA;
    fprintf(out, "| method | %s, %% [95 %%] | n |%s%s%s", task_metric(task), second ? " " : "", second ? second : "",
            second ? ", % |" : "");
    if (has_perplexity) fputs(" perplexity |", out);
    if (is_text) fputs(" NLL, nats | against vanilla | top-1 where it hesitates, % | NLL there |", out);
    fputs(" hesitates, % | won / lost | p | time | passes |\n|---|---|---|", out);
    for (i = 0; i < (second ? 1 : 0) + (is_text ? 4 : 0) + has_perplexity + 5; i++) fputs("---|", out);
    fputs("\n", out);
    for (; n > 0; rows++, n--) {
        const outcome *o = &rows->sum;
        int has_harp = strncmp(rows->name, "harp", 4) == 0; /* with a theta of its own; the others' is 1 bit */
        double rate = is_text && !has_harp ? share(o->doubtful, o->trials) : share(o->hesitated, o->steps);
        fprintf(out, "| %s | %.2f [%.2f, %.2f] | %.0f |", rows->name, 100 * share(o->right, o->trials), 100 * rows->low,
                100 * rows->high, o->trials);
        if (second) print_cell(out, "%.2f", 100 * share(o->right2, o->trials), 1);
        if (has_perplexity) print_perplexity(o, out);
        if (is_text) print_text_cells(rows, out);
        print_cell(out, "%.1f", 100 * rate, o->steps > 0 && (rate > 0 || has_harp));
        if (rows->paired)
            fprintf(out, " %.0f / %.0f | %.3g | x%.2f | x%.2f |\n", rows->won, rows->lost, rows->p, rows->time,
                    rows->passes);
        else fputs(" - | - | x1 | x1 |\n", out);
    }
}

/* How the numbers of the table come about. */
static void explain_perplexity(const results *r, FILE *out)
{
    long window = strtol(r->methods[0]->settings.value[SET_WINDOW], NULL, 10);
    fprintf(out, "\nperplexity = exp(NLL); NLL is the mean of -ln p over the n tokens scored. Windows of %ld tokens\n"
                 "overlap by %ld, so that each of these tokens sees from %ld to %ld tokens before it.\n",
            window, window / 4, window / 4 + 1, window);
}

/* ---- CSV and SVG ---- */

/* A cell in quotes, those within doubled [RFC 4180]. Spreadsheets compute what begins like a formula; an apostrophe
 * makes it text. */
static void put_cell(growing *out, const char *text)
{
    put(out, strchr("=+-@\t\r", text[0]) && text[0] ? "\"'" : "\"");
    for (; *text; text++) put(out, *text == '"' ? "\"\"" : "%c", *text);
    put(out, "\"");
}

static void put_csv(const row *rows, int32_t n, growing *out)
{
    put(out, "method,items,trials,score,low,high,second,nll,hesitation,won,lost,p,time,passes,seconds,truncated\n");
    for (; n > 0; rows++, n--) {
        const outcome *o = &rows->sum;
        put_cell(out, rows->name);
        put(out, ",%ld,%.0f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.0f,%.0f,%.6g,%.4f,%.4f,%.3f,%.0f\n", (long)rows->items,
            o->trials, share(o->right, o->trials), rows->low, rows->high, share(o->right2, o->trials),
            share(o->nll, o->tokens), share(o->hesitated, o->steps), rows->won, rows->lost, rows->p,
            rows->paired ? rows->time : 1, rows->paired ? rows->passes : 1, o->seconds, o->cut);
    }
}

/* XML has no control characters, not even escaped. */
void put_label(growing *out, double x, double y, const char *anchor, const char *text)
{
    put(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    for (; *text; text++)
        if (*text == '<') put(out, "&lt;");
        else if (*text == '>') put(out, "&gt;");
        else if (*text == '&') put(out, "&amp;");
        else put(out, "%c", (unsigned char)*text < 0x20 ? ' ' : *text);
    put(out, "</text>\n");
}

/* The logarithm, base 2, of the wall time, vanilla 1; unknown times count as 1. */
static double cost_of(const row *r)
{
    double cost = r->paired && r->time > 0 ? r->time : 1;
    return log2(cost < 1.0 / 64 ? 1.0 / 64 : cost > 4096 ? 4096 : cost);
}

typedef struct axes { /* what the sides of the chart stand for; costs as logarithms, base 2 */
    double low, high, cheap, dear;
} axes;

static double x_of(const axes *a, double cost)
{
    return 60 + 500 * (cost - a->cheap) / (a->dear - a->cheap);
}

static double y_of(const axes *a, double score)
{
    return 350 - 320 * (score - a->low) / (a->high - a->low);
}

static axes find_axes(const row *rows, int32_t n)
{
    axes a = {1, 0, -0.5, 0.5};
    int32_t i;
    for (i = 0; i < n; i++) {
        a.low = rows[i].low < a.low ? rows[i].low : a.low, a.high = rows[i].high > a.high ? rows[i].high : a.high;
        a.cheap = fmin(a.cheap, cost_of(&rows[i]) - 0.25), a.dear = fmax(a.dear, cost_of(&rows[i]) + 0.25);
    }
    if (!(a.high > a.low)) a.high = a.low + 0.01;
    return a;
}

static void put_axes(growing *out, task_id task, const axes *a, int32_t n)
{
    char label[64];
    int i, height = 420 > 60 + 18 * n ? 420 : 60 + 18 * (int)n;
    put(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 940 %d\" font-family=\"sans-serif\" "
             "font-size=\"12\">\n"
             "<rect width=\"940\" height=\"%d\" fill=\"#fff\"/>\n"
             "<path d=\"M60 20V350H560\" fill=\"none\" stroke=\"#888\"/>\n",
        height, height);
    for (i = 0; i <= 4; i++) {
        snprintf(label, sizeof label, "%.1f", 100 * (a->low + (a->high - a->low) * i / 4));
        put_label(out, 54, 354 - 320 * i / 4.0, "end", label);
    }
    for (i = (int)ceil(a->cheap); i <= (int)floor(a->dear); i++) {
        snprintf(label, sizeof label, "x%.4g", exp2(i));
        put_label(out, x_of(a, i), 368, "middle", label);
        put(out, "<path d=\"M%.1f 350V20\" stroke=\"#eee\"/>\n", x_of(a, i));
    }
    snprintf(label, sizeof label, "%s, %%", task_metric(task));
    put_label(out, 64, 16, "start", label);
    put_label(out, 560, 390, "end", "wall time, vanilla = 1");
}

/* Score against relative wall time: a numbered point for each method, its interval as a line. Bold: it differs from
 * vanilla at the level of 5 %. */
static void put_svg(const row *rows, int32_t n, task_id task, growing *out)
{
    static const char *const colours[] = {"#777777", "#b3574b", "#4b7fb3", "#3f8f4f"};
    static const char *const begins[] = {"harp", "vote", "branch"};
    axes a = find_axes(rows, n);
    char label[MAX_NAME + 64];
    int32_t i, family;
    put_axes(out, task, &a, n);
    for (i = 0; i < n; i++) {
        const row *r = &rows[i];
        double x = x_of(&a, cost_of(r)), score = share(r->sum.right, r->sum.trials);
        int differs = r->paired && r->p < 0.05;
        for (family = 3; family > 0 && strncmp(r->name, begins[family - 1], strlen(begins[family - 1])) != 0;) family--;
        put(out, "<path d=\"M%.1f %.1fV%.1f\" stroke=\"%s\" opacity=\".4\"/><circle cx=\"%.1f\" cy=\"%.1f\" r=\"8\" "
                 "fill=\"%s\"/><g fill=\"#fff\" font-size=\"9\">",
            x, y_of(&a, r->low), y_of(&a, r->high), colours[family], x, y_of(&a, score), colours[family]);
        snprintf(label, sizeof label, "%ld", (long)i + 1);
        put_label(out, x, 3 + y_of(&a, score), "middle", label);
        put(out, "</g><g fill=\"%s\"%s>", colours[family], differs ? " font-weight=\"bold\"" : "");
        snprintf(label, sizeof label, "%ld  %s  %.1f", (long)i + 1, r->name, 100 * score);
        put_label(out, 580, 34 + 18 * i, "start", label);
        put(out, "</g>\n");
    }
    put(out, "</svg>\n");
}

static int save_sheet(const char *path, const row *rows, int32_t n, task_id task, int is_svg)
{
    growing out = {NULL, 0, 0, 0};
    int status;
    if (is_svg) put_svg(rows, n, task, &out);
    else put_csv(rows, n, &out);
    status = out.failed ? complain("there is not enough memory for the table") : save_whole(path, out.at, out.bytes);
    free(out.at);
    return status;
}

/* A full disk and a closed pipe are errors like any other. */
static int flushed(FILE *out)
{
    return fflush(out) || ferror(out) ? complain("the table could not be written") : 0;
}

int print_tables(const results *r, task_id task, FILE *markdown, const char *csv, const char *svg)
{
    int32_t n;
    row *rows = make_rows(r, task, &n);
    int status;
    if (!rows) return complain("there is not enough memory for the table");
    print_markdown(rows, n, task, markdown);
    if (n > 0 && rows[0].sum.cut > 0)
        fprintf(markdown, "\n%.0f of %ld prompts were longer than the context and lost their beginning.\n",
                rows[0].sum.cut, (long)rows[0].items);
    if (n > 0 && task == TASK_PPL) explain_perplexity(r, markdown);
    status = flushed(markdown);
    if (csv && status == 0) status = save_sheet(csv, rows, n, task, 0);
    if (svg && status == 0) status = save_sheet(svg, rows, n, task, 1);
    free(rows);
    return status;
}

/* ---- Calibration ---- */

/* Below `at` in a heap of n, the largest on top. */
static int by_value(const void *a, const void *b, const void *user)
{
    double x = *(const double *)a, y = *(const double *)b;
    (void)user;
    return (x > y) - (x < y);
}

int print_calibration(const bench *b)
{
    static const double rates[] = {0.05, 0.10, 0.16, 0.20, 0.25, 0.30, 0.40, 0.50};
    size_t i, n = b->n_entropies, k = 0, bin;
    if (n == 0) return 0;
    heap_sort(b->entropies, n, sizeof *b->entropies, by_value, NULL);
    printf("| hesitation rate wanted | theta, bits |\n|---|---|\n");
    for (i = 0; i < sizeof rates / sizeof *rates; i++) {
        size_t at = (size_t)((1 - rates[i]) * (double)n);
        printf("| %.0f %% | %.3f |\n", 100 * rates[i], b->entropies[at < n ? at : n - 1]);
    }
    printf("\n| entropy, bits | share of %lu positions |\n|---|---|\n", (unsigned long)n);
    for (bin = 0; k < n; bin++) {
        size_t first = k;
        double part;
        while (k < n && b->entropies[k] < 0.5 * (double)(bin + 1)) k++;
        part = (double)(k - first) / (double)n;
        printf("| %.1f to %.1f | %5.1f %% ", 0.5 * (double)bin, 0.5 * (double)(bin + 1), 100 * part);
        for (i = 0; i < (size_t)(50 * part); i++) putchar('#');
        printf(" |\n");
    }
    return flushed(stdout);
}
