/* measure.c - which figures are taken, and how
 *
 * Every figure is the median of several runs, and stands beside what the machine could do: decoding reads every weight
 * once a token, so it is measured against the memory's bandwidth; prompts are bound by multiply-adds. Ratios are taken
 * within one run of this program, for machines drift. A figure is reported when all of its runs were done. */
#include "bench.h"
#include "../../tools/convert/ground/sort.h"

#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b, const void *user)
{
    double x = *(const double *)a, y = *(const double *)b;
    (void)user;
    return (x > y) - (x < y);
}

figure make_figure(const char *what, const harp_params *p)
{
    figure f;
    memset(&f, 0, sizeof f);
    f.what = what, f.isa = p->isa, f.threads = p->threads, f.schedule = "";
    f.rows = f.sessions = f.depth = f.reframings = f.from = -1;
    f.hesitation = f.tok_s = f.share = f.ratio = -1.0;
    return f;
}

void settle(figure *f, double *s, int n, double tokens) /* from seconds of n runs */
{
    heap_sort(s, (size_t)n, sizeof *s, by_size, NULL);
    f->n = n, f->ms = s[n / 2] * 1e3, f->min = s[0] * 1e3, f->max = s[n - 1] * 1e3;
    if (tokens > 0.0) f->tok_s = tokens / s[n / 2], f->ms /= tokens, f->min /= tokens, f->max /= tokens;
}

static const char *const schedule_names[] = {"auto", "lazy", "fused"};

/* Ctrl-C cancels what the library is doing: main says so. */
void bench_fail(bench *b, const harp_error *err)
{
    if (!b->failed && !host_interrupted()) fprintf(stderr, "harp-bench: %s\n", err->text);
    b->failed = 1;
}

int is_over(const bench *b)
{
    return b->failed || host_interrupted();
}

static int asks_to_stop(void *user)
{
    (void)user;
    return host_interrupted();
}

double median(double *values, int n)
{
    heap_sort(values, (size_t)n, sizeof *values, by_size, NULL);
    return values[n / 2];
}

/* ---- Sessions at some depth ---- */

harp_params bench_params(const bench *b, const char *isa, int threads)
{
    harp_params p = harp_defaults();
    p.isa = isa, p.threads = threads, p.batch = b->batch, p.temperature = 0.0f, p.harp = 0, p.ignore_end = 1;
    p.cancel = asks_to_stop;
    return p;
}

int32_t bench_token(const bench *b, int i)
{
    return (int32_t)((uint32_t)i * 2654435761u % (uint32_t)b->info.vocab);
}

/* In one call, as a program hands over a prompt: the passes are of the batch's size. */
int bench_feed(bench *b, harp_session *s, int n)
{
    int32_t *tokens = malloc((size_t)n * sizeof *tokens);
    harp_error err;
    int i;
    if (!tokens) {
        fprintf(stderr, "harp-bench: no memory for %d tokens\n", n);
        return b->failed = 1, -1;
    }
    for (i = 0; i < n; i++) tokens[i] = bench_token(b, i);
    if (harp_feed(s, tokens, n, &err)) bench_fail(b, &err);
    free(tokens);
    return is_over(b) ? -1 : 0;
}

/* A session that has `depth` tokens (at least one) computed, with room for `more`; NULL on failure. */
static harp_session *open_at(bench *b, harp_params p, int depth, int more)
{
    harp_session *s = NULL;
    harp_error err;
    p.context = depth + more + SPARE_CONTEXT;
    if (harp_session_open(&s, b->model, &p, &err)) return bench_fail(b, &err), NULL;
    if (bench_feed(b, s, depth > 0 ? depth : 1) == 0) return s;
    harp_session_close(s);
    return NULL;
}

/* Seconds for n steps; the session is back where it was afterwards. */
static double time_steps(bench *b, harp_session *s, int n, int *hesitated)
{
    harp_error err;
    harp_step step;
    int32_t depth;
    double begin;
    int i;
    harp_tokens(s, &depth);
    begin = host_seconds();
    for (i = 0; i < n; i++) {
        if (harp_next(s, &step, &err)) return bench_fail(b, &err), 1.0;
        if (hesitated) *hesitated += step.hesitated;
    }
    begin = seconds_since(begin);
    if (harp_rewind(s, depth, &err)) bench_fail(b, &err);
    return begin;
}

/* Some steps that do not count: threads wake, pages and caches fill. */
static void warm_up(bench *b, harp_session *s)
{
    time_steps(b, s, b->generate < 4 ? b->generate : 4, NULL);
}

/* ---- The figures ---- */

/* What a token is multiplied with: of experts those that it uses; of the table of embeddings one row is looked up, and
 * the output matrix waits for the end of the prompt. `unused` of these two matrices are left out. */
static double parameters_used(const bench *b, int unused)
{
    return (double)b->info.active - (double)unused * (double)b->info.vocab * (double)b->info.hidden;
}

/* The share is of the bandwidth with which the model's own bytes can be read just before each run: others use the
 * memory, too, and some of it may be nearer than other. */
static double bench_decode(bench *b, const char *isa, int threads, int depth, double plain)
{
    harp_params p = bench_params(b, isa, threads);
    double s[MOST_RUNS], shares[MOST_RUNS];
    double bytes = (double)b->info.bytes * parameters_used(b, b->info.tied ? 0 : 1) / (double)b->info.parameters;
    figure f = make_figure("decode", &p);
    harp_session *session = open_at(b, p, depth, b->generate);
    int run;
    if (!session) return 0.0;
    warm_up(b, session);
    for (run = 0; run < b->runs && !is_over(b); run++) {
        double bandwidth = read_bandwidth(b->image, b->image_bytes, threads);
        s[run] = time_steps(b, session, b->generate, NULL);
        shares[run] = bytes * b->generate / s[run] / bandwidth;
    }
    harp_session_close(session);
    if (is_over(b)) return 0.0;
    f.depth = depth;
    settle(&f, s, b->runs, b->generate);
    f.share = median(shares, b->runs);
    if (plain > 0.0) f.ratio = f.tok_s / plain; /* speed at depth over speed at none */
    report(b, f);
    return f.tok_s;
}

static void bench_prefill(bench *b, const char *isa, int threads)
{
    harp_params p = bench_params(b, isa, threads);
    double s[MOST_RUNS];
    figure f = make_figure("prefill", &p);
    int run;
    for (run = 0; run < b->runs; run++) {
        harp_session *session = open_at(b, p, 1, b->prompt);
        double begin = host_seconds();
        if (session) bench_feed(b, session, b->prompt);
        s[run] = seconds_since(begin);
        harp_session_close(session);
        if (is_over(b)) return;
    }
    f.depth = 0;
    settle(&f, s, b->runs, b->prompt);
    if (b->peak > 0.0) f.share = f.tok_s * parameters_used(b, b->info.tied ? 1 : 2) / b->peak;
    report(b, f);
}

/* Passes of 1 + K rows: decoding with K reframed rows that ride along. The numbers of rows take turns, and a ratio is
 * the median of those of the rounds. */
static void bench_rows(bench *b, const char *isa, int threads)
{
    enum { KINDS = 6 };
    static const int rows[KINDS] = {1, 2, 3, 4, 5, 8};
    harp_session *sessions[KINDS] = {NULL};
    double s[KINDS][MOST_RUNS], ratios[KINDS][MOST_RUNS];
    harp_params p = bench_params(b, isa, threads);
    int i, run;
    p.schedule = HARP_SCHEDULE_FUSED, p.theta = 1e29f;
    for (i = 0; i < KINDS && !is_over(b); i++) {
        p.harp = rows[i] > 1, p.reframings = rows[i] > 1 ? rows[i] - 1 : 1;
        sessions[i] = open_at(b, p, b->rows_depth, b->generate);
        if (sessions[i]) warm_up(b, sessions[i]);
    }
    for (run = 0; run < b->runs; run++)
        for (i = 0; i < KINDS && !is_over(b); i++) {
            s[i][run] = time_steps(b, sessions[i], b->generate, NULL);
            ratios[i][run] = s[i][run] / s[0][run];
        }
    for (i = 0; i < KINDS; i++) {
        figure f = make_figure("rows", &p);
        harp_session_close(sessions[i]);
        if (is_over(b)) continue;
        f.rows = rows[i], f.depth = b->rows_depth;
        settle(&f, s[i], b->runs, b->generate);
        f.ratio = median(ratios[i], b->runs);
        report(b, f);
    }
}

/* The entropies of the steps from here on, sorted: a theta between two of them gives the rate one wants. */
static void entropies(bench *b, harp_session *s, float *sorted, int n)
{
    harp_error err;
    harp_step step;
    int32_t depth;
    int i, k;
    harp_tokens(s, &depth);
    for (i = 0; i < n; i++) {
        if (harp_next(s, &step, &err)) {
            bench_fail(b, &err);
            return;
        }
        for (k = i; k > 0 && sorted[k - 1] > step.entropy; k--) sorted[k] = sorted[k - 1];
        sorted[k] = step.entropy;
    }
    if (harp_rewind(s, depth, &err)) bench_fail(b, &err);
}

/* HARP at one rate of hesitation: `rate` of the steps, as near as the entropies allow (blending changes what follows).
 * Runs with HARP and without take turns, and the ratio is the median of each pair's. */
static void bench_harp_at(bench *b, harp_session *session, harp_session *plain, harp_params *p, const float *sorted,
                          double rate)
{
    harp_error err;
    double s[MOST_RUNS], ratios[MOST_RUNS];
    figure f = make_figure("harp", p);
    int run, n = b->generate, at = (int)((1.0 - rate) * n + 0.5), hesitated = 0;
    p->theta = at >= n ? 1e29f : at <= 0 ? -1.0f : 0.5f * (sorted[at - 1] + sorted[at]);
    if (harp_tune(session, p, &err)) {
        bench_fail(b, &err);
        return;
    }
    time_steps(b, session, n, NULL); /* lets auto learn */
    for (run = 0; run < b->runs && !is_over(b); run++) {
        double off = time_steps(b, plain, n, NULL);
        s[run] = time_steps(b, session, n, &hesitated), ratios[run] = s[run] / off;
    }
    if (is_over(b)) return;
    f.depth = b->prompt, f.schedule = schedule_names[p->schedule], f.reframings = p->reframings;
    f.hesitation = (double)hesitated / n / b->runs;
    settle(&f, s, b->runs, n);
    f.ratio = median(ratios, b->runs);
    report(b, f);
}

static void bench_off(bench *b, harp_session *plain, const harp_params *p)
{
    double s[MOST_RUNS];
    figure f = make_figure("harp", p);
    int run;
    for (run = 0; run < b->runs && !is_over(b); run++) s[run] = time_steps(b, plain, b->generate, NULL);
    if (is_over(b)) return;
    f.depth = b->prompt, f.schedule = "off", f.reframings = 0, f.hesitation = 0.0, f.ratio = 1.0;
    settle(&f, s, b->runs, b->generate);
    report(b, f);
}

/* Both sessions have the prompt: HARP off, then each schedule at each rate. */
static void bench_schedules(bench *b, harp_session *session, harp_session *plain, harp_params *p, float *sorted)
{
    static const harp_schedule schedules[] = {HARP_SCHEDULE_LAZY, HARP_SCHEDULE_FUSED, HARP_SCHEDULE_AUTO};
    int c, r;
    entropies(b, plain, sorted, b->generate);
    if (!is_over(b)) time_steps(b, session, 1, NULL); /* the reframed streams see the prompt */
    if (!is_over(b)) bench_off(b, plain, p);
    p->context = b->prompt + b->generate + SPARE_CONTEXT; /* as open_at said */
    for (c = 0; c < 3; c++)
        for (r = 0; r < b->n_rates && !is_over(b); r++) {
            p->schedule = schedules[c];
            bench_harp_at(b, session, plain, p, sorted, 0.01 * b->rates[r]);
        }
}

static void bench_harp(bench *b, const char *isa, int threads)
{
    float *sorted = malloc((size_t)b->generate * sizeof *sorted);
    int k;
    if (!sorted) {
        fprintf(stderr, "harp-bench: no memory for %d entropies\n", b->generate);
        b->failed = 1;
    }
    for (k = 1; k <= 3 && !is_over(b); k += 2) {
        harp_params p = bench_params(b, isa, threads);
        harp_session *session, *plain = open_at(b, p, b->prompt, b->generate);
        p.harp = 1, p.reframings = k, p.theta = -1.0f;
        session = plain ? open_at(b, p, b->prompt, b->generate) : NULL;
        if (session) bench_schedules(b, session, plain, &p, sorted);
        harp_session_close(session);
        harp_session_close(plain);
    }
    free(sorted);
}

/* A whole request: prompt and 2 * generate tokens; HARP with theta 1 against none. */
static void bench_request(bench *b, const char *isa, int threads)
{
    static const int from[] = {-1, 1, 0}; /* off; the prompt's length; 0 */
    double off = 0.0;
    int i, run;
    for (i = 0; i < 3; i++) {
        harp_params p = bench_params(b, isa, threads);
        double s[MOST_RUNS];
        figure f = make_figure("request", &p);
        int hesitated = 0, n = 2 * b->generate;
        p.harp = from[i] >= 0, p.reframe_from = from[i] == 1 ? b->prompt : 0;
        for (run = 0; run < b->runs; run++) {
            double begin = host_seconds();
            harp_session *session = open_at(b, p, b->prompt, n);
            if (session) time_steps(b, session, n, &hesitated);
            s[run] = seconds_since(begin);
            harp_session_close(session);
            if (is_over(b)) return;
        }
        f.depth = b->prompt, f.from = from[i] < 0 ? -1 : p.reframe_from, f.hesitation = (double)hesitated / n / b->runs;
        settle(&f, s, b->runs, 0.0);
        if (i == 0) off = f.ms;
        f.ratio = f.ms / off;
        report(b, f);
    }
}

/* From the path to the first token of a one-token prompt, the file in the system's cache. */
static void bench_open(bench *b, const char *isa, int threads)
{
    harp_params p = bench_params(b, isa, threads);
    double s[MOST_RUNS];
    figure f = make_figure("open", &p);
    harp_error err;
    int run;
    p.context = b->info.context < 16 ? b->info.context : 16;
    for (run = 0; run < b->runs; run++) {
        harp_model *model = NULL;
        harp_session *session = NULL;
        int32_t token = bench_token(b, 1);
        double begin = host_seconds();
        if (harp_open(&model, b->model_path, &err) || harp_session_open(&session, model, &p, &err)
            || harp_feed(session, &token, 1, &err) || harp_next(session, NULL, &err))
            bench_fail(b, &err);
        s[run] = seconds_since(begin);
        harp_session_close(session);
        harp_close(model);
        if (is_over(b)) return;
    }
    settle(&f, s, b->runs, 0.0);
    report(b, f);
}

/* ---- The machine ---- */

static void say_what_machine_does(const bench *b, const char *isa, int threads, double bandwidth, double peak)
{
    double large = host_large_share(b->image);
    printf("# %s, %d thread%s: reads %.1f GB/s, ", isa, threads, threads == 1 ? "" : "s", bandwidth * 1e-9);
    if (large >= 0.0) printf("%.0f %% of the model in large pages, ", 100.0 * large);
    if (peak > 0.0) printf("int8 at most %.0f GMAC/s\n", peak * 1e-9);
    else printf("int8 peak not known\n");
}

static void bench_machine(bench *b, const char *isa, int threads)
{
    harp_params p = bench_params(b, isa, threads);
    double bandwidth = read_bandwidth(b->image, b->image_bytes, threads);
    figure f = make_figure("bandwidth", &p);
    int is_asked = !b->json || wants(b, "peak") || wants(b, "prefill");
    b->peak = is_asked ? int8_peak(isa, threads) : 0.0;
    if (is_over(b)) return;
    f.n = BANDWIDTH_RUNS, f.ms = f.min = f.max = (double)b->image_bytes / bandwidth * 1e3;
    if (wants(b, "bandwidth")) report(b, f);
    if (!b->json) say_what_machine_does(b, isa, threads, bandwidth, b->peak);
    f = make_figure("peak", &p), f.n = PEAK_RUNS;
    if (b->peak > 0.0) f.ms = f.min = f.max = 1e12 / b->peak; /* of 1e9 */
    if (wants(b, "peak") && b->peak > 0.0) report(b, f);
}

void bench_set(bench *b, const char *isa, int threads)
{
    double plain = 0.0;
    int i;
    if (!is_over(b)) bench_machine(b, isa, threads);
    for (i = 0; i < b->n_depths && wants(b, "decode") && !is_over(b); i++) {
        double speed = bench_decode(b, isa, threads, b->depths[i], plain);
        if (i == 0) plain = speed;
    }
    if (wants(b, "prefill") && !is_over(b)) bench_prefill(b, isa, threads);
    if (wants(b, "rows") && !is_over(b)) bench_rows(b, isa, threads);
    if (wants(b, "batch") && !is_over(b)) bench_batch(b, isa, threads);
    if (wants(b, "harp") && !is_over(b)) bench_harp(b, isa, threads);
    if (wants(b, "request") && !is_over(b)) bench_request(b, isa, threads);
    if (wants(b, "open") && !is_over(b)) bench_open(b, isa, threads);
}
