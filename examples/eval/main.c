/* harp-eval - the paper's table: every method side by side, on a model and data of yours
 *
 *     cc -O2 -pthread examples/eval/?*.c harp_impl.c -lm -o harp-eval
 *     ./harp-eval -m MODEL --task lambada --data lambada_test.jsonl --methods vanilla,harp
 */
#include "eval.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_METHODS = 200, MAX_LIST = 32 };

typedef struct options {
    const char *model, *draft_model, *data, *shots_data, *out, *csv, *svg, *pause_token;
    int32_t task, shots, limit, max_tokens, pause_count, window, context, threads, shard, shards, resume, merge;
    int32_t only_half; /* 0: all, 1: the items or windows with even numbers, 2: those with odd ones */
    char methods[256], frames[256];
    double reframings[MAX_LIST], thetas[MAX_LIST], deltas[MAX_LIST], betas[MAX_LIST];
    int32_t n_reframings, n_thetas, n_deltas, n_betas, rescale;
    uint64_t seed;
    const char *files[MAX_LIST]; /* --merge */
    int32_t n_files;
} options;

int complain(const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fputs("harp-eval: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

static const char help[] =
    "usage: harp-eval -m MODEL --task TASK --data FILE [options]\n"
    "       harp-eval --merge A.jsonl B.jsonl ...\n\n"
    "  --task TASK          gsm8k csqa lambada mmlu_pro arc cnn_dm; on any text: ppl nexttoken calibrate\n"
    "  --data FILE          the data set as its authors publish it, or a text\n"
    "  --methods LIST       vanilla,harp,beam,speculative,lookup,pause,nucleus [vanilla,harp]\n"
    "  --frames LIST        stream, stream:prompt, redraw, last [stream]\n"
    "  --reframings LIST --thetas LIST --deltas LIST --betas LIST --rescale       of harp: every combination\n"
    "  --shots N            worked examples in front [gsm8k 5, else 0]; from --shots-data FILE, or from the beginning\n"
    "                       of the data, which then is not asked\n"
    "  --limit N            at most so many questions or windows      --half 1|2  the even or the odd ones\n"
    "  --max-tokens N       generated at most [gsm8k, mmlu_pro 256, cnn_dm 128]\n"
    "  --draft-model FILE   for speculative        --pause-token TEXT --pause-count N   for pause [\".\" 10]\n"
    "  --window N           tokens in a window of text [256]          -c N        context [the model's, at most 4096]\n"
    "  --seed N [0]         -t N  threads [all]\n"
    "  --out FILE.jsonl     a line for each question and method; --resume goes on from there\n"
    "  --shard I/N          the I-th of N parts (from 0); --merge makes one table of their files\n"
    "  --csv FILE --svg FILE    the table for programs, and as a chart\n";

static int misuse(const char *format, const char *what)
{
    fputs(help, stderr);
    fputs("\nharp-eval: ", stderr);
    fprintf(stderr, format, what);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* ---- Options ---- */

static int parse_reals(const char *text, double *list, int32_t *n)
{
    char *end;
    for (*n = 0; *n < MAX_LIST; text = end + 1) {
        list[(*n)++] = strtod(text, &end);
        if (end == text || (*end && *end != ',')) return 0;
        if (!*end) return 1;
    }
    return 0;
}

static int parse_number(const char *text, long least, long most, int32_t *value)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end || number < least || number > most) return 0;
    *value = (int32_t)number;
    return 1;
}

static int parse_task(const char *text, int32_t *task)
{
    for (*task = 0; *task < N_TASKS; (*task)++)
        if (strcmp(task_names[*task], text) == 0) return 1;
    return 0;
}

static int parse_text(const char *text, char *field, size_t room)
{
    if (strlen(text) >= room) return 0;
    strcpy(field, text);
    return 1;
}

/* 1: fine; 0: a bad value; -1: there is no such option */
static int take(options *o, const char *name, const char *value)
{
    const struct text {
        const char *name;
        const char **field;
    } texts[] = {{"-m", &o->model},  {"--draft-model", &o->draft_model}, {"--data", &o->data},
                 {"--out", &o->out}, {"--shots-data", &o->shots_data},   {"--csv", &o->csv},
                 {"--svg", &o->svg}, {"--pause-token", &o->pause_token}};
    const struct number {
        const char *name;
        int32_t *field;
        long least, most;
    } numbers[] = {{"--shots", &o->shots, 0, 100},
                   {"--limit", &o->limit, 1, 1 << 30},
                   {"--max-tokens", &o->max_tokens, 1, 1 << 16},
                   {"--pause-count", &o->pause_count, 0, 4096},
                   {"--window", &o->window, 8, 1 << 20},
                   {"-c", &o->context, 16, 1 << 28},
                   {"-t", &o->threads, 1, 256},
                   {"--half", &o->only_half, 1, 2}};
    const struct list {
        const char *name;
        double *field;
        int32_t *n;
    } lists[] = {{"--reframings", o->reframings, &o->n_reframings},
                 {"--thetas", o->thetas, &o->n_thetas},
                 {"--deltas", o->deltas, &o->n_deltas},
                 {"--betas", o->betas, &o->n_betas}};
    size_t i;
    for (i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].name, name) == 0) return *texts[i].field = value, 1;
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(numbers[i].name, name) == 0)
            return parse_number(value, numbers[i].least, numbers[i].most, numbers[i].field);
    for (i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(lists[i].name, name) == 0) return parse_reals(value, lists[i].field, lists[i].n);
    if (strcmp(name, "--task") == 0) return parse_task(value, &o->task);
    if (strcmp(name, "--methods") == 0) return parse_text(value, o->methods, sizeof o->methods);
    if (strcmp(name, "--frames") == 0) return parse_text(value, o->frames, sizeof o->frames);
    if (strcmp(name, "--seed") == 0) return o->seed = strtoull(value, NULL, 10), 1;
    if (strcmp(name, "--shard") == 0)
        return sscanf(value, "%d/%d", &o->shard, &o->shards) == 2 && o->shard >= 0 && o->shard < o->shards;
    return -1;
}

static void set_defaults(options *o)
{
    harp_params p = harp_defaults();
    memset(o, 0, sizeof *o);
    o->task = -1, o->shots = -1, o->limit = 1 << 30, o->pause_count = 10, o->pause_token = ".", o->window = 256;
    o->shards = 1, o->threads = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (o->threads < 1) o->threads = 1;
    if (o->threads > 8) o->threads = 8;
    strcpy(o->methods, "vanilla,harp"), strcpy(o->frames, "stream");
    o->reframings[0] = p.reframings, o->thetas[0] = (double)p.theta, o->deltas[0] = (double)p.delta;
    o->betas[0] = (double)p.beta;
    o->n_reframings = o->n_thetas = o->n_deltas = o->n_betas = 1;
}

static int parse(options *o, int argc, char **argv)
{
    int i, taken;
    set_defaults(o);
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return fputs(help, stdout), -1;
        if (strcmp(argv[i], "--resume") == 0) o->resume = 1;
        else if (strcmp(argv[i], "--merge") == 0) o->merge = 1;
        else if (strcmp(argv[i], "--rescale") == 0) o->rescale = 1;
        else if (argv[i][0] != '-' && o->merge && o->n_files < MAX_LIST) o->files[o->n_files++] = argv[i];
        else if (i + 1 == argc) return misuse("'%s' is no option, or lacks its value", argv[i]);
        else {
            taken = take(o, argv[i], argv[i + 1]);
            if (taken < 0) return misuse("there is no option '%s'", argv[i]);
            if (taken == 0) return misuse("the value of %s is not one that it takes", argv[i]);
            i++;
        }
    }
    if (o->merge) return o->n_files ? EXIT_FINE : misuse("%s: which files?", "--merge");
    if (!o->model || !o->data || o->task < 0) return misuse("%s", "-m, --task and --data are needed");
    if (o->resume && !o->out) return misuse("%s", "--resume needs --out");
    if (o->shots < 0) o->shots = o->task == TASK_GSM8K ? 5 : 0;
    if (o->max_tokens == 0) o->max_tokens = o->task == TASK_CNN_DM ? 128 : 256;
    return EXIT_FINE;
}

/* ---- The list of methods ---- */

typedef struct methods {
    method list[MAX_METHODS];
    int32_t n;
} methods;

static int set_frame(const char *frame, size_t length, harp_params *p)
{
    static const struct frame {
        const char *name;
        harp_frame frame;
        int32_t from;
    } frames[] = {{"stream", HARP_FRAME_STREAM, 0},
                  {"stream:prompt", HARP_FRAME_STREAM, HARP_FROM_PROMPT},
                  {"redraw", HARP_FRAME_REDRAW, 0},
                  {"last", HARP_FRAME_LAST, 0}};
    size_t i;
    for (i = 0; i < sizeof frames / sizeof *frames; i++)
        if (strlen(frames[i].name) == length && memcmp(frame, frames[i].name, length) == 0) {
            p->frame = frames[i].frame, p->reframe_from = frames[i].from;
            return 1;
        }
    return 0;
}

static method *add_method(methods *all, const options *o, method_id id, const char *name)
{
    method *m;
    if (all->n == MAX_METHODS) return NULL;
    m = &all->list[all->n++];
    memset(m, 0, sizeof *m);
    m->id = id, m->params = harp_defaults();
    m->params.threads = (int)o->threads, m->params.seed = o->seed;
    snprintf(m->name, sizeof m->name, "%s", name);
    return m;
}

/* HARP in every combination that was asked for. What is as in the paper does not appear in the name. */
static int add_harp(methods *all, const options *o, const char *frame, size_t length)
{
    harp_params paper = harp_defaults();
    int32_t k, t, d, b;
    for (k = 0; k < o->n_reframings; k++)
        for (t = 0; t < o->n_thetas; t++)
            for (d = 0; d < o->n_deltas; d++)
                for (b = 0; b < o->n_betas; b++) {
                    method *m = add_method(all, o, METHOD_HARP, "");
                    harp_params *p = m ? &m->params : NULL;
                    int n;
                    if (!p) return complain("these are more than %d methods", MAX_METHODS);
                    if (!set_frame(frame, length, p)) return misuse("--frames: there is no frame '%s'", frame);
                    p->reframings = (int32_t)o->reframings[k], p->theta = (float)o->thetas[t];
                    p->delta = (float)o->deltas[d], p->beta = (float)o->betas[b], p->rescale = o->rescale;
                    n = snprintf(m->name, sizeof m->name, "harp %.*s K=%d", (int)length, frame, (int)p->reframings);
                    if (p->theta != paper.theta)
                        n += snprintf(m->name + n, 80 - (size_t)n, " theta=%g", (double)p->theta);
                    if (p->delta != paper.delta)
                        n += snprintf(m->name + n, 80 - (size_t)n, " delta=%g", (double)p->delta);
                    if (p->beta != paper.beta) n += snprintf(m->name + n, 80 - (size_t)n, " beta=%g", (double)p->beta);
                    if (p->rescale) snprintf(m->name + n, 80 - (size_t)n, " rescaled");
                }
    return 0;
}

static int add_all_harp(methods *all, const options *o)
{
    const char *frame = o->frames;
    int status = 0;
    while (*frame && status == 0) {
        size_t length = strcspn(frame, ",");
        status = add_harp(all, o, frame, length);
        frame += length + (frame[length] == ',');
    }
    return status;
}

static int list_methods(methods *all, const options *o)
{
    static const char *const names[] = {"vanilla", "harp", "beam", "speculative", "lookup", "pause", "nucleus"};
    const char *p = o->methods;
    int generated = task_is_generated((task_id)o->task), status = 0;
    while (*p && status == 0) {
        size_t length = strcspn(p, ",");
        int id = 0;
        while (id < N_METHODS && (strlen(names[id]) != length || memcmp(names[id], p, length) != 0)) id++;
        if (id == N_METHODS) return misuse("--methods: there is no '%s'", p);
        if (!generated && id != METHOD_VANILLA && id != METHOD_HARP && (id != METHOD_PAUSE || o->task >= TASK_PPL))
            return complain("method %s does not go with task %s: it scores given text, nothing is generated", names[id],
                            task_names[o->task]);
        if (id == METHOD_HARP) status = add_all_harp(all, o);
        else add_method(all, o, (method_id)id, names[id]);
        p += length + (p[length] == ',');
    }
    return status;
}

/* ---- The run ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static void catch_interrupt(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = (int)SA_RESETHAND; /* a second Ctrl-C ends the program at once */
    sigaction(SIGINT, &action, NULL);
}

static void show_progress(size_t done, size_t all, double begin)
{
    static double last;
    double now = seconds_now(), left = done ? (now - begin) / (double)done * (double)(all - done) : 0;
    if (!isatty(STDERR_FILENO) || (now - last < 0.5 && done < all)) return;
    last = now;
    fprintf(stderr, "\r%lu of %lu, %.0f s left \033[K%s", (unsigned long)done, (unsigned long)all, left,
            done == all ? "\n" : "");
}

typedef struct run {
    bench b;
    methods methods;
    items items, shots;
    results results;
    FILE *out;
} run;

static int open_bench(run *r, const options *o)
{
    harp_error err;
    bench *b = &r->b;
    if (harp_open(&b->model, o->model, &err)) return complain("%s", err.text);
    if (o->draft_model && harp_open(&b->draft_model, o->draft_model, &err)) return complain("%s", err.text);
    b->info = harp_model_info(b->model);
    if (b->info.tokenizer == 0) return complain("this model has no tokenizer: no text can be put to it");
    b->task = (task_id)o->task, b->shots = o->shots, b->max_tokens = o->max_tokens, b->theta = harp_defaults().theta;
    b->context = b->info.context < 4096 ? b->info.context : 4096;
    if (o->context) b->context = o->context;
    b->window = o->window < b->context ? o->window : b->context;
    b->pause_count = o->pause_count;
    return 0;
}

static int find_pause_token(bench *b, const options *o)
{
    tokens t = {NULL, 0, 0};
    int status = encode(b, o->pause_token, strlen(o->pause_token), HARP_ENCODE_SPECIAL | HARP_ENCODE_CONTINUE, &t);
    if (status == 0 && t.n != 1) status = complain("--pause-token: '%s' is not one token", o->pause_token);
    if (status == 0) b->pause_token = t.list[0];
    free(t.list);
    return status;
}

static int read_data(run *r, const options *o)
{
    bench *b = &r->b;
    char *text;
    size_t bytes;
    int status;
    if (b->task < TASK_PPL) {
        status = read_items(b->task, o->data, &r->items);
        if (status == 0 && o->shots_data) status = read_items(b->task, o->shots_data, &r->shots);
        if (status) return status;
        b->shots_text = make_shots(b->task, o->shots_data ? &r->shots : &r->items, o->shots);
        return b->shots_text ? 0 : complain("there is not enough memory for the examples");
    }
    status = read_whole(o->data, &text, &bytes);
    if (status) return status;
    status = encode(b, text, bytes, HARP_ENCODE_BOS, &b->text);
    free(text);
    if (status == 0 && count_windows(b) == 0) status = complain("%s: the text is too short", o->data);
    if (status == 0 && b->task == TASK_CALIBRATE) b->entropies = malloc(b->text.n * sizeof *b->entropies);
    return status;
}

static int open_results(run *r, const options *o)
{
    const char *mode = "wb";
    FILE *there = o->out && o->resume ? fopen(o->out, "rb") : NULL;
    strcpy(r->results.task, task_names[o->task]);
    if (there) {
        fclose(there);
        if (results_read(&r->results, o->out, 1)) return EXIT_FAILED;
    }
    if (o->out && !(r->out = fopen(o->out, mode))) return complain("%s: %s", o->out, strerror(errno));
    if (there) { /* written anew, without a last line that was cut off */
        size_t i;
        for (i = 0; i < r->results.n; i++)
            if (results_write(&r->results, r->out, &r->results.list[i])) return EXIT_FAILED;
    }
    return 0;
}

static int run_one(run *r, method *m, size_t index)
{
    int32_t name = results_name(&r->results, m->name), number = (int32_t)index;
    outcome o;
    if (name < 0) return complain("there are too many methods");
    if (results_have(&r->results, name, number)) return 0;
    if (r->b.task < TASK_PPL ? run_item(&r->b, m, &r->items.list[index], &o) : run_window(&r->b, m, index, &o))
        return EXIT_FAILED;
    if (results_add(&r->results, name, number, &o)) return EXIT_FAILED;
    return r->out ? results_write(&r->results, r->out, &r->results.list[r->results.n - 1]) : 0;
}

/* Every item with all methods before the next: what an interrupted run has done is paired. */
static int run_all(run *r, const options *o)
{
    size_t n = r->b.task < TASK_PPL ? r->items.n : count_windows(&r->b), i, done = 0, all = 0;
    size_t begin = r->b.task < TASK_PPL && !o->shots_data ? (size_t)o->shots : 0;
    double start = seconds_now();
    int32_t k, counting;
    int status = 0;
    for (counting = 1; counting >= 0; counting--)
        for (i = begin, done = 0; i < n && done < (size_t)o->limit && !interrupted && status == 0; i++) {
            if ((int32_t)(i % (size_t)o->shards) != o->shard) continue;
            if (o->only_half && (int32_t)(i % 2) != o->only_half - 1) continue;
            done++;
            if (counting) {
                all++;
                continue;
            }
            for (k = 0; k < r->methods.n && status == 0; k++) status = run_one(r, &r->methods.list[k], i);
            show_progress(done, all, start);
        }
    if (interrupted)
        fprintf(stderr, "\nharp-eval: interrupted; what was done is below%s\n", o->out ? ", and --resume goes on" : "");
    return status;
}

static int evaluate(run *r, const options *o)
{
    int32_t i, needs_pause = 0;
    int status = open_bench(r, o);
    if (status == 0) status = list_methods(&r->methods, o);
    for (i = 0; i < r->methods.n; i++) needs_pause |= r->methods.list[i].id == METHOD_PAUSE;
    if (status == 0 && needs_pause) status = find_pause_token(&r->b, o);
    if (status == 0) status = read_data(r, o);
    for (i = 0; i < r->methods.n && status == 0; i++) status = method_open(&r->b, &r->methods.list[i]);
    if (status == 0) status = open_results(r, o);
    if (status == 0) status = run_all(r, o);
    if (status == 0 && r->b.task == TASK_CALIBRATE) print_calibration(&r->b);
    else if (status == 0) status = print_tables(&r->results, r->b.task, stdout, o->csv, o->svg);
    return status;
}

static int merge(run *r, const options *o)
{
    int32_t i, task = 0;
    int status = 0;
    for (i = 0; i < o->n_files && status == 0; i++) status = results_read(&r->results, o->files[i], 0);
    if (status) return status;
    if (!parse_task(r->results.task, &task)) return complain("there is no task '%s'", r->results.task);
    return print_tables(&r->results, (task_id)task, stdout, o->csv, o->svg);
}

static void clean_up(run *r)
{
    int32_t i;
    for (i = 0; i < r->methods.n; i++) method_close(&r->methods.list[i]);
    free_items(&r->items), free_items(&r->shots);
    results_free(&r->results);
    free(r->b.text.list), free(r->b.entropies), free((char *)(uintptr_t)r->b.shots_text);
    harp_close(r->b.model), harp_close(r->b.draft_model);
    if (r->out) fclose(r->out);
}

int main(int argc, char **argv)
{
    static run r; /* large; one */
    options o;
    int status = parse(&o, argc, argv);
    if (status) return status < 0 ? EXIT_FINE : status;
    catch_interrupt();
    status = o.merge ? merge(&r, &o) : evaluate(&r, &o);
    clean_up(&r);
    return status;
}
