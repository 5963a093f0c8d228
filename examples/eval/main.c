/* harp-eval - the paper's table: every method side by side, on a model and data of yours
 *
 *     cc -O2 -pthread examples/eval/?*.c tools/convert/ground/?*.c harp_impl.c -lm -o harp-eval
 *     ./harp-eval -m MODEL --task lambada --data lambada_test.jsonl --methods vanilla,harp
 */
#include "eval.h"
#include "../../tools/convert/ground/show.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_METHODS = 200, MAX_LIST = 32 };

typedef struct options {
    const char *model, *draft_model, *data, *shots_data, *out, *csv, *svg, *pause_token;
    int32_t task, shots, limit, max_tokens, pause_count, window, context, threads, shard, shards, resume, merge;
    int32_t only_half; /* 0: all, 1: the items or windows with even numbers, 2: those with odd ones */
    char methods[256], frames[256];
    double reframings[MAX_LIST], thetas[MAX_LIST], deltas[MAX_LIST], betas[MAX_LIST];
    int32_t n_reframings, n_thetas, n_deltas, n_betas, rescale;
    uint64_t seed;
    char **files; /* --merge */
    int32_t n_files;
} options;

int complain(const char *format, ...)
{
    static char line[2 * HOST_PATH_BYTES];
    va_list arguments;
    fflush(stdout);
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fputs("harp-eval: ", stderr);
    show_harmless(stderr, line, strlen(line), 0);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

static const char help[] =
    "usage: harp-eval -m MODEL --task TASK --data FILE [options]\n"
    "       harp-eval --merge A.jsonl B.jsonl ...\n\n"
    "  --task TASK          gsm8k csqa lambada mmlu_pro arc cnn_dm; on any text: ppl nexttoken calibrate\n"
    "  --data FILE          the data set as its authors publish it, or a text\n"
    "  --methods LIST       vanilla,harp,beam,speculative,lookup,pause,nucleus [vanilla,harp; calibrate: vanilla]\n"
    "  --frames LIST        stream, stream:prompt, redraw, last [stream]\n"
    "  --reframings LIST --thetas LIST --deltas LIST --betas LIST --rescale       of harp: every combination\n"
    "  --shots N            worked examples in front [gsm8k 5, else 0]; from --shots-data FILE, or from the beginning\n"
    "                       of the data, which then is not asked\n"
    "  --limit N            at most so many questions or windows      --half 1|2  the even or the odd ones\n"
    "  --max-tokens N       generated at most [gsm8k, mmlu_pro 256, cnn_dm 128]\n"
    "  --draft-model FILE   for speculative        --pause-token TEXT --pause-count N   for pause [\".\" 10]\n"
    "  --window N           tokens in a window of text [256]          -c N        context [the model's, at most 4096]\n"
    "  --seed N [0]         -t N  threads [all]\n"
    "  --out FILE.jsonl     a line for each question and method; --resume goes on from there, with the same settings\n"
    "  --shard I/N          the I-th of N parts (from 0); --merge makes one table of their files\n"
    "  --csv FILE --svg FILE    the table for programs, and as a chart\n";

static int misuse(const char *format, const char *what)
{
    fputs(help, stderr);
    fputc('\n', stderr);
    complain(format, what);
    return EXIT_USAGE;
}

/* ---- Options ---- */

typedef struct list { /* of numbers, with commas between */
    const char *name;
    double *field;
    int32_t *n;
    double least, most;
    int whole;
} list;

static int parse_list(const char *text, const list *to)
{
    char *end;
    for (*to->n = 0; *to->n < MAX_LIST; text = end + 1) {
        double value = strtod(text, &end);
        if (end == text || (*end && *end != ',')) return 0;
        if (!(value >= to->least && value <= to->most)) return 0; /* a NaN is in no range */
        if (to->whole && value != (double)(int32_t)value) return 0;
        to->field[(*to->n)++] = value;
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

static int parse_seed(const char *text, uint64_t *seed)
{
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && errno == 0;
}

/* I/N */
static int parse_shard(const char *text, options *o)
{
    char which[16];
    size_t n = strcspn(text, "/");
    if (!text[n] || n >= sizeof which) return 0;
    memcpy(which, text, n), which[n] = 0;
    return parse_number(text + n + 1, 1, MAX_ITEMS, &o->shards) && parse_number(which, 0, o->shards - 1, &o->shard);
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
    const list lists[] = {{"--reframings", o->reframings, &o->n_reframings, 1, 64, 1},
                          {"--thetas", o->thetas, &o->n_thetas, -1e30, 1e30, 0},
                          {"--deltas", o->deltas, &o->n_deltas, 0, 1, 0},
                          {"--betas", o->betas, &o->n_betas, 0, 1, 0}};
    size_t i;
    for (i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].name, name) == 0) return *texts[i].field = value, 1;
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(numbers[i].name, name) == 0)
            return parse_number(value, numbers[i].least, numbers[i].most, numbers[i].field);
    for (i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(lists[i].name, name) == 0) return parse_list(value, &lists[i]);
    if (strcmp(name, "--task") == 0) return parse_task(value, &o->task);
    if (strcmp(name, "--methods") == 0) return parse_text(value, o->methods, sizeof o->methods);
    if (strcmp(name, "--frames") == 0) return parse_text(value, o->frames, sizeof o->frames);
    if (strcmp(name, "--seed") == 0) return parse_seed(value, &o->seed);
    if (strcmp(name, "--shard") == 0) return parse_shard(value, o);
    return -1;
}

static void set_defaults(options *o)
{
    harp_params p = harp_defaults();
    memset(o, 0, sizeof *o);
    o->task = -1, o->shots = -1, o->limit = 1 << 30, o->pause_count = 10, o->pause_token = ".", o->window = 256;
    o->shards = 1, o->threads = host_processors();
    if (o->threads > 8) o->threads = 8;
    strcpy(o->frames, "stream");
    o->reframings[0] = p.reframings, o->thetas[0] = (double)p.theta, o->deltas[0] = (double)p.delta;
    o->betas[0] = (double)p.beta;
    o->n_reframings = o->n_thetas = o->n_deltas = o->n_betas = 1;
}

/* What is written must not be anything else that is named: a table over the model, or over the answers. */
static int check_files(const options *o)
{
    const char *written[] = {o->out, o->csv, o->svg}, *read[] = {o->model, o->draft_model, o->data, o->shots_data};
    size_t i, k;
    int32_t f;
    for (i = 0; i < 3; i++) {
        for (k = 0; written[i] && k < 4; k++)
            if (read[k] && host_is_same_file(written[i], read[k])) return misuse("'%s' is to be read, too", written[i]);
        for (f = 0; written[i] && f < o->n_files; f++)
            if (host_is_same_file(written[i], o->files[f])) return misuse("'%s' is to be read, too", written[i]);
        for (k = 0; written[i] && k < i; k++)
            if (written[k] && host_kind_of(written[i]) != HOST_OTHER
                && (strcmp(written[i], written[k]) == 0 || host_is_same_file(written[i], written[k])))
                return misuse("'%s' is to be written twice", written[i]);
    }
    return EXIT_FINE;
}

static int check_options(options *o)
{
    if (!o->merge && o->n_files) return misuse("'%s' is no option; files stand after --merge", o->files[0]);
    if (o->merge) return o->n_files ? EXIT_FINE : misuse("%s: which files?", "--merge");
    if (!o->model || !o->data || o->task < 0) return misuse("%s", "-m, --task and --data are needed");
    if (o->resume && !o->out) return misuse("%s", "--resume needs --out");
    if (o->task == TASK_CALIBRATE && (o->out || o->csv || o->svg))
        return misuse("%s", "calibrate prints its table, and writes no --out, --csv or --svg");
    if (!o->methods[0]) strcpy(o->methods, o->task == TASK_CALIBRATE ? "vanilla" : "vanilla,harp");
    if (o->shots < 0) o->shots = o->task == TASK_GSM8K ? 5 : 0;
    if (o->task >= TASK_PPL) o->shots = 0; /* texts have none */
    if (o->max_tokens == 0) o->max_tokens = o->task == TASK_CNN_DM ? 128 : 256;
    return EXIT_FINE;
}

static int parse(options *o, int argc, char **argv)
{
    int i, taken;
    set_defaults(o);
    o->files = argv + 1; /* gathered in front of what is still to be read */
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return fputs(help, stdout), -1;
        if (strcmp(argv[i], "--resume") == 0) o->resume = 1;
        else if (strcmp(argv[i], "--merge") == 0) o->merge = 1;
        else if (strcmp(argv[i], "--rescale") == 0) o->rescale = 1;
        else if (argv[i][0] != '-') o->files[o->n_files++] = argv[i];
        else if (i + 1 == argc) return misuse("'%s' is no option, or lacks its value", argv[i]);
        else {
            taken = take(o, argv[i], argv[i + 1]);
            if (taken < 0) return misuse("there is no option '%s'", argv[i]);
            if (taken == 0) return misuse("the value of %s is not one that it takes", argv[i]);
            i++;
        }
    }
    taken = check_options(o);
    return taken ? taken : check_files(o);
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
    if (all->n == MAX_METHODS) {
        complain("these are more than %d methods", (int)MAX_METHODS);
        return NULL;
    }
    m = &all->list[all->n++];
    memset(m, 0, sizeof *m);
    m->id = id, m->params = harp_defaults();
    m->params.threads = (int)o->threads, m->params.seed = o->seed;
    snprintf(m->name, sizeof m->name, "%s", name);
    return m;
}

/* With as many digits as make it the same float again: names tell methods apart. */
static void add_to_name(method *m, const char *what, float value)
{
    size_t n = strlen(m->name);
    int digits;
    for (digits = 6; digits <= 9; digits++) {
        snprintf(m->name + n, sizeof m->name - n, " %s=%.*g", what, digits, (double)value);
        if ((float)strtod(m->name + n + strlen(what) + 2, NULL) == value) return;
    }
}

/* What is as in the paper does not appear in the name. */
static void name_harp(method *m, const char *frame, size_t length)
{
    const harp_params paper = harp_defaults(), *p = &m->params;
    snprintf(m->name, sizeof m->name, "harp %.*s K=%d", (int)length, frame, (int)p->reframings);
    if (p->theta != paper.theta) add_to_name(m, "theta", p->theta);
    if (p->delta != paper.delta) add_to_name(m, "delta", p->delta);
    if (p->beta != paper.beta) add_to_name(m, "beta", p->beta);
    if (p->rescale) strcat(m->name, " rescaled");
}

static int is_new(const methods *all)
{
    int32_t i;
    for (i = 0; i < all->n - 1; i++)
        if (strcmp(all->list[i].name, all->list[all->n - 1].name) == 0) return 0;
    return 1;
}

static int same_twice(const methods *all)
{
    return misuse("method '%s' is asked for twice", all->list[all->n - 1].name);
}

/* The list's first element, for messages. */
static const char *first_of(const char *all)
{
    static char first[256];
    size_t n = strcspn(all, ",");
    n = n < sizeof first ? n : sizeof first - 1;
    memcpy(first, all, n), first[n] = 0;
    return first;
}

/* HARP in every combination that was asked for. */
static int add_harp(methods *all, const options *o, const char *frame, size_t length)
{
    int32_t k, t, d, b;
    for (k = 0; k < o->n_reframings; k++)
        for (t = 0; t < o->n_thetas; t++)
            for (d = 0; d < o->n_deltas; d++)
                for (b = 0; b < o->n_betas; b++) {
                    method *m = add_method(all, o, METHOD_HARP, "");
                    harp_params *p = m ? &m->params : NULL;
                    if (!p) return EXIT_FAILED;
                    if (!set_frame(frame, length, p))
                        return misuse("--frames: there is no frame '%s'", first_of(frame));
                    p->reframings = (int32_t)o->reframings[k], p->theta = (float)o->thetas[t];
                    p->delta = (float)o->deltas[d], p->beta = (float)o->betas[b], p->rescale = o->rescale;
                    name_harp(m, frame, length);
                    if (!is_new(all)) return same_twice(all);
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

static int goes_with(int id, int32_t task)
{
    if (id == METHOD_VANILLA) return 1;
    if (task == TASK_CALIBRATE) return 0; /* the entropy of the plain model, once for each position */
    return id == METHOD_HARP || task_is_generated((task_id)task) || (id == METHOD_PAUSE && task < TASK_PPL);
}

static int list_methods(methods *all, const options *o)
{
    static const char *const names[] = {"vanilla", "harp", "beam", "speculative", "lookup", "pause", "nucleus"};
    const char *p = o->methods;
    int status = 0;
    while (*p && status == 0) {
        size_t length = strcspn(p, ",");
        int id = 0;
        while (id < N_METHODS && (strlen(names[id]) != length || memcmp(names[id], p, length) != 0)) id++;
        if (id == N_METHODS) return misuse("--methods: there is no '%s'", first_of(p));
        if (!goes_with(id, o->task))
            return complain("method %s does not go with task %s, which %s", names[id], task_names[o->task],
                            o->task == TASK_CALIBRATE ? "measures the plain model: give --methods vanilla"
                                                      : "scores given text: nothing is generated");
        if (id == METHOD_HARP) status = add_all_harp(all, o);
        else if (!add_method(all, o, (method_id)id, names[id])) status = EXIT_FAILED;
        else if (!is_new(all)) status = same_twice(all);
        p += length + (p[length] == ',');
    }
    return status == 0 && all->n == 0 ? misuse("%s: no method is left", "--methods, --frames") : status;
}

/* ---- The run ---- */

static void show_progress(size_t done, size_t all, double begin)
{
    static double last;
    double now = host_seconds(), left = done ? (now - begin) / (double)done * (double)(all - done) : 0;
    if (!host_is_terminal(stderr) || (now - last < 0.5 && done < all)) return;
    last = now;
    fprintf(stderr, "\r%lu of %lu, %.0f s left %s%s", (unsigned long)done, (unsigned long)all, left,
            host_has_colours(stderr) ? "\033[K" : "    ", done == all ? "\n" : "");
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
    if (b->window < 8) return complain("a context of %ld positions is too short to score a text in", (long)b->context);
    b->pause_count = o->pause_count, b->half = o->only_half, b->seed = o->seed;
    if (o->draft_model && hash_model(o->draft_model, &b->draft_hash)) return EXIT_FAILED;
    return hash_model(o->model, &b->model_hash);
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

static int read_questions(run *r, const options *o)
{
    bench *b = &r->b;
    const items *from = o->shots_data ? &r->shots : &r->items;
    int status = read_items(b->task, o->data, &r->items, &b->data_hash);
    if (status == 0 && o->shots_data) status = read_items(b->task, o->shots_data, &r->shots, &b->shots_hash);
    if (status) return status;
    if ((size_t)o->shots > from->n || (!o->shots_data && (size_t)o->shots == from->n))
        return complain("%s: %ld records are too few for --shots %ld%s", o->shots_data ? o->shots_data : o->data,
                        (long)from->n, (long)o->shots, o->shots_data ? "" : " and a question; see --shots-data");
    b->shots_text = make_shots(b->task, from, o->shots);
    return b->shots_text ? 0 : complain("there is not enough memory for the examples");
}

static int read_text(run *r, const options *o)
{
    bench *b = &r->b;
    char *text;
    size_t bytes;
    int status = read_whole(o->data, &text, &bytes);
    if (status) return status;
    b->data_hash = hash_bytes(HASH_START, text, bytes);
    status = encode(b, text, bytes, HARP_ENCODE_BOS, &b->text);
    free(text);
    if (status) return status;
    if (count_windows(b) == 0) return complain("%s: the text is too short", o->data);
    if (count_windows(b) > MAX_ITEMS)
        return complain("%s: these are more than %d windows; see --window", o->data, (int)MAX_ITEMS);
    if (b->task != TASK_CALIBRATE) return 0;
    b->entropies = b->text.n <= SIZE_MAX / sizeof *b->entropies ? malloc(b->text.n * sizeof *b->entropies) : NULL;
    return b->entropies ? 0 : complain("there is not enough memory for the entropies");
}

/* Before hours of work, and before anything is written. */
static int check_out(const options *o)
{
    uint64_t bytes = 0;
    int file = o->out && !o->resume && host_kind_of(o->out) == HOST_FILE ? host_open(o->out, &bytes) : -1;
    if (file >= 0) host_close(file);
    if (bytes == 0) return 0;
    return complain("%s is there already and not empty; --resume goes on with its answers, another name begins anew",
                    o->out);
}

static int open_results(run *r, const options *o)
{
    int32_t i, which;
    settings s;
    r->results.advice = "give the settings of that run, or another name to --out";
    for (i = 0; i < r->methods.n; i++) {
        settings_of(&r->b, &r->methods.list[i], &s);
        if (results_method(&r->results, &s, "--methods", 0, &which)) return EXIT_FAILED;
    }
    if (!o->out) return 0;
    if (o->resume && host_kind_of(o->out) == HOST_FILE && results_read(&r->results, o->out, 1)) return EXIT_FAILED;
    if (!(r->out = host_fopen(o->out, "ab"))) return complain("%s: %s", o->out, strerror(errno));
    return results_write_settings(&r->results, r->out, o->out);
}

static int run_one(run *r, int32_t which, size_t index, const char *path)
{
    method *m = &r->methods.list[which];
    int32_t number = (int32_t)index;
    outcome o;
    if (results_find(&r->results, which, number)) return 0;
    if (r->b.task < TASK_PPL ? run_item(&r->b, m, &r->items.list[index], &o) : run_window(&r->b, m, index, &o))
        return EXIT_FAILED;
    if (results_add(&r->results, which, number, &o)) return EXIT_FAILED;
    return r->out ? results_write(&r->results, r->out, path, &r->results.list[r->results.n - 1]) : 0;
}

/* Every item with all methods before the next: what an interrupted run has done is paired. */
static int run_all(run *r, const options *o)
{
    size_t n = r->b.task < TASK_PPL ? r->items.n : count_windows(&r->b), i, done = 0, all = 0;
    size_t begin = r->b.task < TASK_PPL && !o->shots_data ? (size_t)o->shots : 0;
    double start = host_seconds();
    int32_t k, counting;
    int status = 0;
    for (counting = 1; counting >= 0; counting--)
        for (i = begin, done = 0; i < n && done < (size_t)o->limit && !host_interrupted() && status == 0; i++) {
            if ((int32_t)(i % (size_t)o->shards) != o->shard) continue;
            if (o->only_half && (int32_t)(i % 2) != o->only_half - 1) continue;
            done++;
            if (counting) {
                all++;
                continue;
            }
            for (k = 0; k < r->methods.n && status == 0; k++) status = run_one(r, k, i, o->out);
            show_progress(done, all, start);
        }
    if (host_interrupted())
        fprintf(stderr, "\nharp-eval: interrupted; what was done is below%s\n", o->out ? ", and --resume goes on" : "");
    return status;
}

static int evaluate(run *r, const options *o)
{
    int32_t i, needs_pause = 0;
    int status = list_methods(&r->methods, o);
    if (status == 0) status = check_out(o);
    if (status == 0) status = open_bench(r, o);
    for (i = 0; i < r->methods.n; i++) needs_pause |= r->methods.list[i].id == METHOD_PAUSE;
    if (status == 0 && needs_pause) status = find_pause_token(&r->b, o);
    if (status == 0) status = r->b.task < TASK_PPL ? read_questions(r, o) : read_text(r, o);
    for (i = 0; i < r->methods.n && status == 0; i++) status = method_open(&r->b, &r->methods.list[i]);
    if (status == 0) status = open_results(r, o);
    if (status == 0) status = run_all(r, o);
    if (status) return status;
    return r->b.task == TASK_CALIBRATE ? print_calibration(&r->b)
                                       : print_tables(&r->results, r->b.task, stdout, o->csv, o->svg);
}

static int merge(run *r, const options *o)
{
    int32_t i, task = 0;
    int status = 0;
    r->results.advice = "merge the files of one run alone";
    for (i = 0; i < o->n_files && status == 0; i++) status = results_read(&r->results, o->files[i], 0);
    if (status) return status;
    if (r->results.n == 0) return complain("there are no results in these files");
    if (!parse_task(r->results.methods[0]->settings.value[SET_TASK], &task))
        return complain("there is no task '%s'", r->results.methods[0]->settings.value[SET_TASK]);
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
}

int main(int argc, char **argv)
{
    static run r; /* large; one */
    options o;
    int status;
    host_start(&argc, &argv);
    status = parse(&o, argc, argv);
    if (status) return status < 0 ? EXIT_FINE : status;
    host_catch_interrupt(1);
    status = o.merge ? merge(&r, &o) : evaluate(&r, &o);
    if (r.out && fclose(r.out) != 0 && status == 0) status = complain("%s: the results could not be written", o.out);
    clean_up(&r);
    return host_interrupted() ? HOST_EXIT_INTERRUPTED : status;
}
