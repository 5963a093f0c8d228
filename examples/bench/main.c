/* main.c - harp-bench: what a model costs here
 *
 * Every figure is the median of several runs, and stands beside what the machine could do: decoding reads every weight
 * once a token, so it is measured against the memory's bandwidth; prompts are bound by multiply-adds. Ratios are taken
 * within one run of this program, for machines drift. */
#include "bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: harp-bench -m MODEL | --shape NAME [options]\n"
    "\n"
    "  -m FILE           a .harp file\n"
    "  --shape NAME      random weights of a real shape: smollm2-135m, tinyllama-1.1b, llama-3.1-8b, mistral-7b,\n"
    "                    phi-3.5-mini; in a temporary file, or with --keep in FILE\n"
    "  --keep FILE       where the random model goes, and stays; used again if it is there\n"
    "  --what LIST       of decode,prefill,rows,harp,request,open,bandwidth,peak [all]\n"
    "  --isa LIST        instruction sets, or all [the best]\n"
    "  --threads LIST    [1,2]\n"
    "  --depth LIST      context before decoding [0,2048]\n"
    "  --rates LIST      of hesitation, in percent, for harp [0,5,10,25,50,75,100]\n"
    "  --prompt N        length of the prompt of prefill, harp and request [512]\n"
    "  --generate N      tokens decoded in a run [64]\n"
    "  --batch N         rows of a pass of the prompt [256]\n"
    "  --runs N          runs, of which the median counts [5]\n"
    "  --json            one JSON object a line in place of the table\n"
    "  --plot FILE       an SVG of the cost of HARP against the rate of hesitation\n";

enum { MOST_LIST = 16, MOST_RUNS = 99, MOST_FIGURES = 1024 };

typedef struct bench {
    const char *model_path, *shape, *keep, *what, *isas, *plot;
    int threads[MOST_LIST], n_threads, depths[MOST_LIST], n_depths, rates[MOST_LIST], n_rates;
    int prompt, generate, batch, runs, json;
    harp_model *model;
    harp_info info;
    unsigned char *image; /* the model's file, mapped: what bandwidth is measured with */
    size_t image_bytes;
    double peak; /* of the isa and the number of threads at hand */
    figure figures[MOST_FIGURES];
    int n;
    int failed;
} bench;

/* ---- Measuring ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static figure make_figure(const char *what, const harp_params *p)
{
    figure f;
    memset(&f, 0, sizeof f);
    f.what = what, f.isa = p->isa, f.threads = p->threads, f.schedule = "";
    f.rows = f.depth = f.reframings = f.from = -1;
    f.hesitation = f.tok_s = f.share = f.ratio = -1.0;
    return f;
}

static void settle(figure *f, double *s, int n, double tokens) /* from seconds of n runs */
{
    qsort(s, (size_t)n, sizeof *s, by_size);
    f->n = n, f->ms = s[n / 2] * 1e3, f->min = s[0] * 1e3, f->max = s[n - 1] * 1e3;
    if (tokens > 0.0) f->tok_s = tokens / s[n / 2], f->ms /= tokens, f->min /= tokens, f->max /= tokens;
}

static const char *const schedule_names[] = {"auto", "lazy", "fused"};

static void print_json(const bench *b, const figure *f)
{
    printf("{\"shape\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"what\":\"%s\"", b->shape ? b->shape : b->model_path, f->isa,
           f->threads, f->what);
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

static void report(bench *b, figure f)
{
    if (b->n < MOST_FIGURES) b->figures[b->n++] = f;
    if (b->json) print_json(b, &f);
    else print_row(&f);
    fflush(stdout);
}

static void fail(bench *b, const harp_error *err)
{
    if (!b->failed) fprintf(stderr, "harp-bench: %s\n", err->text);
    b->failed = 1;
}

/* ---- Sessions at some depth ---- */

static harp_params params_for(const bench *b, const char *isa, int threads)
{
    harp_params p = harp_defaults();
    p.isa = isa, p.threads = threads, p.batch = b->batch, p.temperature = 0.0f, p.harp = 0, p.ignore_end = 1;
    return p;
}

static int32_t token_at(const bench *b, int i)
{
    return (int32_t)((uint32_t)i * 2654435761u % (uint32_t)b->info.vocab);
}

static int feed(bench *b, harp_session *s, int n)
{
    harp_error err;
    int i;
    for (i = 0; i < n; i += 256) {
        int32_t tokens[256];
        int k, part = n - i < 256 ? n - i : 256;
        for (k = 0; k < part; k++) tokens[k] = token_at(b, i + k);
        if (harp_feed(s, tokens, part, &err)) return fail(b, &err), -1;
    }
    return 0;
}

/* A session that has `depth` tokens (at least one) computed, with room for `more`; NULL on failure. */
static harp_session *open_at(bench *b, harp_params p, int depth, int more)
{
    harp_session *s = NULL;
    harp_error err;
    p.context = depth + more + 2;
    if (harp_session_open(&s, b->model, &p, &err)) return fail(b, &err), NULL;
    if (feed(b, s, depth > 0 ? depth : 1) == 0) return s;
    harp_session_close(s);
    return NULL;
}

/* Seconds for n steps from `depth` on; the session is back at depth afterwards. */
static double time_steps(bench *b, harp_session *s, int n, int *hesitated)
{
    harp_error err;
    harp_step step;
    int32_t depth;
    double begin;
    int i;
    harp_tokens(s, &depth);
    begin = seconds();
    for (i = 0; i < n; i++) {
        if (harp_next(s, &step, &err)) return fail(b, &err), 0.0;
        if (hesitated) *hesitated += step.hesitated;
    }
    begin = seconds() - begin;
    if (harp_rewind(s, depth, &err)) fail(b, &err);
    return begin;
}

/* ---- The figures ---- */

/* What a token is multiplied with: of the table of embeddings one row is looked up, and the output matrix waits for the
 * end of the prompt. `unused` of these two matrices are left out. */
static double parameters_used(const bench *b, int unused)
{
    return (double)b->info.parameters - (double)unused * (double)b->info.vocab * (double)b->info.hidden;
}

/* The share is of the bandwidth with which the model's own bytes can be read just before each run: others use the memory,
 * too, and some of it may be nearer than other. */
static double bench_decode(bench *b, const char *isa, int threads, int depth, double plain)
{
    harp_params p = params_for(b, isa, threads);
    double s[MOST_RUNS], shares[MOST_RUNS];
    double bytes = (double)b->info.bytes * parameters_used(b, b->info.tied ? 0 : 1) / (double)b->info.parameters;
    figure f = make_figure("decode", &p);
    harp_session *session = open_at(b, p, depth, b->generate);
    int run;
    if (!session) return 0.0;
    time_steps(b, session, 4, NULL);
    for (run = 0; run < b->runs; run++) {
        double bandwidth = read_bandwidth(b->image, b->image_bytes, threads);
        s[run] = time_steps(b, session, b->generate, NULL);
        shares[run] = bytes * b->generate / s[run] / bandwidth;
    }
    harp_session_close(session);
    f.depth = depth;
    settle(&f, s, b->runs, b->generate);
    qsort(shares, (size_t)b->runs, sizeof *shares, by_size);
    f.share = shares[b->runs / 2];
    if (plain > 0.0) f.ratio = f.tok_s / plain; /* speed at depth over speed at none */
    report(b, f);
    return f.tok_s;
}

static void bench_prefill(bench *b, const char *isa, int threads)
{
    harp_params p = params_for(b, isa, threads);
    double s[MOST_RUNS];
    figure f = make_figure("prefill", &p);
    int run;
    for (run = 0; run < b->runs; run++) {
        harp_session *session = open_at(b, p, 1, b->prompt);
        if (!session) return;
        s[run] = seconds();
        feed(b, session, b->prompt);
        s[run] = seconds() - s[run];
        harp_session_close(session);
    }
    f.depth = 0;
    settle(&f, s, b->runs, b->prompt);
    if (b->peak > 0.0) f.share = f.tok_s * parameters_used(b, b->info.tied ? 1 : 2) / b->peak;
    report(b, f);
}

/* Passes of 1 + K rows: decoding with K reframed rows that ride along. The numbers of rows take turns, and a ratio is the
 * median of those of the rounds. */
static void bench_rows(bench *b, const char *isa, int threads)
{
    enum { KINDS = 6 };
    static const int rows[KINDS] = {1, 2, 3, 4, 5, 8};
    harp_session *sessions[KINDS] = {NULL};
    double s[KINDS][MOST_RUNS], ratios[KINDS][MOST_RUNS];
    harp_params p = params_for(b, isa, threads);
    int i, run;
    p.schedule = HARP_SCHEDULE_FUSED, p.theta = 1e29f;
    for (i = 0; i < KINDS && !b->failed; i++) {
        p.harp = rows[i] > 1, p.reframings = rows[i] > 1 ? rows[i] - 1 : 1;
        sessions[i] = open_at(b, p, 16, b->generate);
        if (sessions[i]) time_steps(b, sessions[i], 4, NULL);
    }
    for (run = 0; run < b->runs && !b->failed; run++)
        for (i = 0; i < KINDS; i++) {
            s[i][run] = time_steps(b, sessions[i], b->generate, NULL);
            ratios[i][run] = s[i][run] / s[0][run];
        }
    for (i = 0; i < KINDS; i++) {
        figure f = make_figure("rows", &p);
        harp_session_close(sessions[i]);
        if (b->failed) continue;
        f.rows = rows[i], f.depth = 16;
        settle(&f, s[i], b->runs, b->generate);
        qsort(ratios[i], (size_t)b->runs, sizeof *ratios[i], by_size);
        f.ratio = ratios[i][b->runs / 2];
        report(b, f);
    }
}

/* The entropies of the steps from here on, sorted: a theta between two of them gives the rate one wants. */
static int entropies(bench *b, harp_session *s, float *sorted, int n)
{
    harp_error err;
    harp_step step;
    int32_t depth;
    int i, k;
    harp_tokens(s, &depth);
    for (i = 0; i < n; i++) {
        if (harp_next(s, &step, &err)) return fail(b, &err), -1;
        for (k = i; k > 0 && sorted[k - 1] > step.entropy; k--) sorted[k] = sorted[k - 1];
        sorted[k] = step.entropy;
    }
    if (harp_rewind(s, depth, &err)) return fail(b, &err), -1;
    return 0;
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
        fail(b, &err);
        return;
    }
    time_steps(b, session, n, NULL); /* lets auto learn */
    for (run = 0; run < b->runs; run++) {
        double off = time_steps(b, plain, n, NULL);
        s[run] = time_steps(b, session, n, &hesitated), ratios[run] = s[run] / off;
    }
    qsort(ratios, (size_t)b->runs, sizeof *ratios, by_size);
    f.depth = b->prompt, f.schedule = schedule_names[p->schedule], f.reframings = p->reframings;
    f.hesitation = (double)hesitated / n / b->runs;
    settle(&f, s, b->runs, n);
    f.ratio = ratios[b->runs / 2];
    report(b, f);
}

static void bench_harp(bench *b, const char *isa, int threads)
{
    static const harp_schedule schedules[] = {HARP_SCHEDULE_LAZY, HARP_SCHEDULE_FUSED, HARP_SCHEDULE_AUTO};
    float *sorted = malloc((size_t)b->generate * sizeof *sorted);
    int k, c, r;
    for (k = 1; k <= 3 && sorted && !b->failed; k += 2) {
        harp_params p = params_for(b, isa, threads);
        harp_session *session, *plain = open_at(b, p, b->prompt, b->generate);
        double s[MOST_RUNS];
        figure off = make_figure("harp", &p);
        int run;
        p.harp = 1, p.reframings = k, p.theta = -1.0f;
        session = plain ? open_at(b, p, b->prompt, b->generate) : NULL;
        if (!session || entropies(b, plain, sorted, b->generate)) break;
        time_steps(b, session, 1, NULL); /* the reframed streams see the prompt */
        for (run = 0; run < b->runs; run++) s[run] = time_steps(b, plain, b->generate, NULL);
        off.depth = b->prompt, off.schedule = "off", off.reframings = 0, off.hesitation = 0.0, off.ratio = 1.0;
        settle(&off, s, b->runs, b->generate);
        report(b, off);
        for (c = 0; c < 3; c++)
            for (r = 0; r < b->n_rates && !b->failed; r++) {
                p.context = b->prompt + b->generate + 2, p.schedule = schedules[c];
                bench_harp_at(b, session, plain, &p, sorted, 0.01 * b->rates[r]);
            }
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
        harp_params p = params_for(b, isa, threads);
        double s[MOST_RUNS];
        figure f = make_figure("request", &p);
        int hesitated = 0, n = 2 * b->generate;
        p.harp = from[i] >= 0, p.reframe_from = from[i] == 1 ? b->prompt : 0;
        for (run = 0; run < b->runs; run++) {
            harp_session *session;
            s[run] = seconds();
            session = open_at(b, p, b->prompt, n);
            if (!session) return;
            time_steps(b, session, n, &hesitated);
            s[run] = seconds() - s[run];
            harp_session_close(session);
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
    harp_params p = params_for(b, isa, threads);
    double s[MOST_RUNS];
    figure f = make_figure("open", &p);
    harp_error err;
    int run;
    p.context = 16;
    for (run = 0; run < b->runs; run++) {
        harp_model *model = NULL;
        harp_session *session = NULL;
        int32_t token = token_at(b, 1);
        s[run] = seconds();
        if (harp_open(&model, b->model_path, &err) || harp_session_open(&session, model, &p, &err)
            || harp_feed(session, &token, 1, &err) || harp_next(session, NULL, &err))
            fail(b, &err);
        s[run] = seconds() - s[run];
        harp_session_close(session);
        harp_close(model);
    }
    settle(&f, s, b->runs, 0.0);
    report(b, f);
}

static int wants(const bench *b, const char *what)
{
    const char *at = b->what ? strstr(b->what, what) : what;
    return at != NULL;
}

static void bench_set(bench *b, const char *isa, int threads)
{
    double plain = 0.0;
    harp_params p = params_for(b, isa, threads);
    figure f;
    double bandwidth = read_bandwidth(b->image, b->image_bytes, threads);
    int i;
    b->peak = int8_peak(isa, threads);
    f = make_figure("bandwidth", &p), f.n = 5, f.ms = f.min = f.max = (double)b->image_bytes / bandwidth * 1e3;
    if (wants(b, "bandwidth")) report(b, f);
    if (!b->json)
        printf("# %s, %d threads: reads %.1f GB/s, int8 at most %.0f GMAC/s\n", isa, threads, bandwidth * 1e-9,
               b->peak * 1e-9);
    f = make_figure("peak", &p), f.n = 5, f.ms = f.min = f.max = b->peak > 0.0 ? 1e12 / b->peak : 0.0; /* of 1e9 */
    if (wants(b, "peak") && b->peak > 0.0) report(b, f);
    for (i = 0; i < b->n_depths && wants(b, "decode") && !b->failed; i++) {
        double speed = bench_decode(b, isa, threads, b->depths[i], plain);
        if (i == 0) plain = speed;
    }
    if (wants(b, "prefill") && !b->failed) bench_prefill(b, isa, threads);
    if (wants(b, "rows") && !b->failed) bench_rows(b, isa, threads);
    if (wants(b, "harp") && !b->failed) bench_harp(b, isa, threads);
    if (wants(b, "request") && !b->failed) bench_request(b, isa, threads);
    if (wants(b, "open") && !b->failed) bench_open(b, isa, threads);
}

/* ---- Options ---- */

static int read_list(const char *text, int *list)
{
    int n = 0;
    char *end;
    while (n < MOST_LIST) {
        long value = strtol(text, &end, 10);
        if (end == text || value < 0 || value > 1 << 24) return 0;
        list[n++] = (int)value;
        if (*end == 0) return n;
        if (*end != ',') return 0;
        text = end + 1;
    }
    return 0;
}

static int wrong(const char *what, const char *value)
{
    fprintf(stderr, "harp-bench: %s%s\n\n%s", what, value, usage);
    return 2;
}

static int read_option(bench *b, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        int *list, *n, *number;
    } options[] = {{"-m", &b->model_path, NULL, NULL, NULL},         {"--shape", &b->shape, NULL, NULL, NULL},
                   {"--keep", &b->keep, NULL, NULL, NULL},           {"--what", &b->what, NULL, NULL, NULL},
                   {"--isa", &b->isas, NULL, NULL, NULL},            {"--plot", &b->plot, NULL, NULL, NULL},
                   {"--threads", NULL, b->threads, &b->n_threads, NULL}, {"--depth", NULL, b->depths, &b->n_depths, NULL},
                   {"--rates", NULL, b->rates, &b->n_rates, NULL},
                   {"--prompt", NULL, NULL, NULL, &b->prompt},       {"--generate", NULL, NULL, NULL, &b->generate},
                   {"--batch", NULL, NULL, NULL, &b->batch},         {"--runs", NULL, NULL, NULL, &b->runs}};
    int list[MOST_LIST], n;
    size_t i;
    for (i = 0; i < sizeof options / sizeof options[0] && strcmp(options[i].name, name) != 0; i++) {}
    if (i == sizeof options / sizeof options[0]) return wrong("unknown option ", name);
    if (!value) return wrong(name, " needs a value");
    if (options[i].text) return *options[i].text = value, 0;
    n = read_list(value, list);
    if (n == 0 || (options[i].number && (n != 1 || list[0] < 1))) return wrong(name, " wants numbers");
    if (options[i].number) return *options[i].number = list[0], 0;
    memcpy(options[i].list, list, sizeof list);
    *options[i].n = n;
    return 0;
}

static int read_options(bench *b, int argc, char **argv)
{
    static const int rates[] = {0, 5, 10, 25, 50, 75, 100};
    int i, status;
    b->threads[0] = 1, b->threads[1] = 2, b->n_threads = 2, b->depths[0] = 0, b->depths[1] = 2048, b->n_depths = 2;
    memcpy(b->rates, rates, sizeof rates);
    b->n_rates = sizeof rates / sizeof rates[0];
    b->prompt = 512, b->generate = 64, b->batch = 256, b->runs = 5;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return fputs(usage, stdout), -1;
        if (strcmp(argv[i], "--json") == 0) b->json = 1;
        else if ((status = read_option(b, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) != 0) return status;
        else i++;
    }
    if ((b->model_path != NULL) == (b->shape != NULL)) return wrong("one of -m and --shape is needed", "");
    if (b->runs > MOST_RUNS) return wrong("at most 99 runs", "");
    return 0;
}

/* ---- All of it ---- */

static unsigned char *map_whole(const char *path, size_t *bytes)
{
    int file = open(path, O_RDONLY);
    struct stat status;
    void *p = MAP_FAILED;
    if (file >= 0 && fstat(file, &status) == 0) {
        *bytes = (size_t)status.st_size;
        p = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, file, 0);
    }
    if (file >= 0) close(file);
    return p == MAP_FAILED ? NULL : p;
}

static int run_all(bench *b)
{
    harp_error err;
    const char *isa;
    int i, t;
    if (harp_open(&b->model, b->model_path, &err)) return fail(b, &err), 1;
    b->info = harp_model_info(b->model);
    b->image = map_whole(b->model_path, &b->image_bytes);
    if (!b->image) return fprintf(stderr, "harp-bench: %s cannot be mapped\n", b->model_path), 1;
    if (!b->json)
        printf("%s: %.1f M parameters, %.1f MB\n%-8s %7s  %-24s %6s %8s %9s %10s %7s %7s   %s\n", b->model_path,
               (double)b->info.parameters * 1e-6, (double)b->info.bytes * 1e-6, "isa", "threads", "what", "depth", "hesitate",
               "tokens/s", "ms", "share", "ratio", "min .. max, ms");
    for (i = 0; (isa = harp_isa(i)) != NULL && !b->failed; i++) {
        if (b->isas ? strcmp(b->isas, "all") != 0 && !strstr(b->isas, isa) : i > 0) continue;
        for (t = 0; t < b->n_threads; t++) bench_set(b, isa, b->threads[t]);
    }
    munmap(b->image, b->image_bytes);
    harp_close(b->model);
    if (b->plot && plot_write(b->plot, b->shape ? b->shape : b->model_path, b->figures, b->n)) return 1;
    return b->failed;
}

int main(int argc, char **argv)
{
    static bench b;
    char temporary[] = "/tmp/harp-bench-XXXXXX";
    int status = read_options(&b, argc, argv), handle;
    if (status) return status < 0 ? 0 : status;
    if (!b.shape) return run_all(&b);
    if (b.keep) {
        b.model_path = b.keep;
        return access(b.keep, R_OK) != 0 && shape_write(b.shape, b.keep) ? 1 : run_all(&b);
    }
    handle = mkstemp(temporary);
    if (handle < 0) return fprintf(stderr, "harp-bench: no temporary file\n"), 1;
    close(handle);
    b.model_path = temporary;
    status = shape_write(b.shape, temporary) ? 1 : run_all(&b);
    unlink(temporary);
    return status;
}
