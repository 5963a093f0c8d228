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
    asks asks;
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

/* Where the run is: a question, or a window, and a method. */
typedef struct cursor {
    size_t next, end, index, taken; /* taken: how many questions were begun */
    int32_t which, over;
} cursor;

static cursor begin_cursor(const run *r, const options *o)
{
    cursor c = {0, 0, 0, 0, 0, 0};
    int is_text = r->b.task >= TASK_PPL;
    c.end = is_text ? count_windows(&r->b) : r->items.n;
    c.next = is_text || o->shots_data ? 0 : (size_t)o->shots;
    return c;
}

static int next_item(const options *o, cursor *c)
{
    for (; c->next < c->end && c->taken < (size_t)o->limit; c->next++) {
        if ((int32_t)(c->next % (size_t)o->shards) != o->shard) continue;
        if (o->only_half && (int32_t)(c->next % 2) != o->only_half - 1) continue;
        c->index = c->next++, c->taken++;
        return 1;
    }
    return 0;
}

/* Every item with all methods before the next: what an interrupted run has done is paired. */
static int next_ask(const run *r, const options *o, cursor *c)
{
    if (c->taken > 0 && c->which + 1 < r->methods.n) return c->which++, 1;
    c->which = 0;
    return !host_interrupted() && next_item(o, c);
}

static int write_down(run *r, const ask *a, const char *path)
{
    if (results_add(&r->results, (int32_t)(a->m - r->methods.list), (int32_t)a->index, &a->o)) return EXIT_FAILED;
    return r->out ? results_write(&r->results, r->out, path, &r->results.list[r->results.n - 1]) : 0;
}

static int write_ended(run *r, const char *path)
{
    const ask *a;
    int status = 0;
    while (status == 0 && (a = asks_leave(&r->asks, &r->b)) != NULL) status = write_down(r, a, path);
    if (status) asks_drop(&r->asks, 0); /* there is no order any more that they could come in */
    return status;
}

static int begin_ask(run *r, const cursor *c)
{
    const item *q = r->b.task < TASK_PPL ? &r->items.list[c->index] : NULL;
    if (results_find(&r->results, c->which, (int32_t)c->index)) return 0;
    return asks_begin(&r->asks, &r->b, &r->methods.list[c->which], q, c->index);
}

static void show_state(const run *r, const cursor *c, size_t all, double start)
{
    size_t n = (size_t)r->methods.n, begun = c->taken * n - (c->over ? 0 : n - 1 - (size_t)c->which);
    show_progress((begun - (size_t)r->asks.n) / n, all, start);
}

static int begin_asks(run *r, const options *o, cursor *c, size_t all, double start)
{
    int status = 0;
    while (status == 0 && !c->over && asks_have_room(&r->asks, o->together)) {
        c->over = !next_ask(r, o, c);
        if (!c->over) status = begin_ask(r, c);
        if (status == 0) status = write_ended(r, o->out);
        if (c->taken > 0) show_state(r, c, all, start);
    }
    return status;
}

/* After a failure nothing more is begun; what comes before it is finished. */
static int run_all(run *r, const options *o)
{
    cursor c = begin_cursor(r, o), counting = c;
    double start = host_seconds();
    int status = 0, failed;
    while (next_item(o, &counting)) continue;
    do {
        if (status == 0) status = begin_asks(r, o, &c, counting.taken, start);
        failed = asks_step(&r->asks, &r->b);
        if (failed == 0) failed = write_ended(r, o->out);
        if (failed) status = failed;
        if (c.taken > 0) show_state(r, &c, counting.taken, start);
    } while (r->asks.n > 0 || (status == 0 && !c.over));
    if (host_interrupted())
        fprintf(stderr, "\nharp-eval: interrupted; what was done is below%s\n", o->out ? ", and --resume goes on" : "");
    return status;
}

static int print_all(const run *r, const options *o, task_id task)
{
    int status = print_tables(&r->results, task, stdout, o->csv, o->svg);
    return status == 0 && o->selective ? print_selective(&r->results, stdout, o->selective) : status;
}

static int open_methods(run *r, const options *o)
{
    int32_t i;
    int status = 0;
    for (i = 0; i < r->methods.n && status == 0; i++) status = method_open(&r->b, &r->methods.list[i]);
    if (status == 0) status = engine_open(&r->b, r->methods.list, r->methods.n, o->together);
    return status;
}

static void close_methods(run *r)
{
    int32_t i;
    for (i = 0; i < r->methods.n; i++) method_close(&r->methods.list[i]);
    r->methods.n = 0;
    harp_session_close(r->b.shots_session), harp_engine_close(r->b.engine, NULL);
    free(r->b.shots_tokens.list);
    memset(&r->b.shots_tokens, 0, sizeof r->b.shots_tokens);
    r->b.shots_session = NULL, r->b.engine = NULL;
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
    if (status == 0) status = open_methods(r, o);
    if (status == 0) status = open_results(r, o);
    if (status == 0) status = run_all(r, o);
    if (status) return status;
    return r->b.task == TASK_CALIBRATE ? print_calibration(&r->b) : print_all(r, o, r->b.task);
}

/* ---- Tuning ---- */

/* One of its tables: methods on one half of the items. */
static int run_half(run *r, options *o, int32_t half, const char *what)
{
    int status = 0;
    results_free(&r->results);
    o->only_half = r->b.half = half;
    if (r->methods.n == 0) status = list_methods(&r->methods, o);
    if (status == 0) status = open_methods(r, o);
    if (status == 0) status = open_results(r, o);
    if (status == 0) status = run_all(r, o);
    if (status || host_interrupted()) return EXIT_FAILED;
    printf("%s\n\n", what);
    status = print_tables(&r->results, r->b.task, stdout, NULL, NULL);
    putchar('\n');
    return status;
}

/* The best of these methods becomes *best. */
static int choose_among(run *r, options *o, const char *what, method *best, verdict *c)
{
    int status = run_half(r, o, 1, what);
    int32_t i = status == 0 ? tune_choose(&r->results, r->b.task) : -1;
    if (i >= 0) *best = r->methods.list[i], c->tried += r->methods.n - 1;
    close_methods(r);
    return status == 0 && i < 0 ? complain("no setting of HARP is left to choose from") : status;
}

/* Vanilla and the best, on what the verdict never saw. */
static int verify(run *r, options *o, const method *best, verdict *c)
{
    int status;
    o->n_reframings = o->n_thetas = o->n_deltas = o->n_betas = 1;
    o->thetas[0] = (double)best->params.theta, o->betas[0] = (double)best->params.beta;
    status = run_half(r, o, 2, "The best of these, on the odd ones:");
    if (status) return status;
    c->m = best;
    c->g = gain_of(&r->results, r->b.task, tune_choose(&r->results, r->b.task));
    return 0;
}

/* Questions are JSON. */
static int find_kind(options *o)
{
    char *text;
    size_t bytes;
    int status = read_whole(o->data, &text, &bytes);
    if (status) return status;
    o->task = strchr("{[", text[strspn(text, " \t\r\n")]) && text[0] ? TASK_GSM8K : TASK_NEXTTOKEN;
    free(text);
    return 0;
}

static int tune(run *r, const options *given)
{
    options o = *given, first;
    method best;
    verdict c;
    int status = find_kind(&o);
    if (status == 0) status = open_bench(r, &o);
    memset(&c, 0, sizeof c);
    c.data = host_file_name(o.data);
    if (status == 0) status = r->b.task < TASK_PPL ? read_questions(r, &o) : read_text(r, &o);
    if (status) return status;
    first = o, first.n_thetas = first.n_betas = 1;
    if (o.n_thetas == 0) first.thetas[0] = (double)harp_defaults().theta;
    if (o.n_betas == 0) first.betas[0] = (double)harp_defaults().beta;
    status = choose_among(r, &first, "Frames, reframings and delta, on the even ones:", &best, &c);
    if (status == 0) tune_refine(&o, &best);
    if (status == 0)
        status = choose_among(r, &o, "Theta and beta with the best of these, on the even ones:", &best, &c);
    c.tried--; /* that best is among the second ones, too */
    if (status == 0) status = verify(r, &o, &best, &c);
    if (status) return status;
    if (c.g.items < 2) return complain("%s is too short to verify anything on its odd items", o.data);
    tune_tell(&c, r->b.task, stdout);
    return o.recommendation ? tune_save(&c, r->b.task, o.recommendation) : 0;
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
    return print_all(r, o, (task_id)task);
}

static void clean_up(run *r)
{
    asks_drop(&r->asks, 0);
    close_methods(r);
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
    status = parse_options(&o, argc, argv);
    if (status) return status < 0 ? EXIT_FINE : status;
    host_catch_interrupt(1);
    status = o.merge ? merge(&r, &o) : o.tune ? tune(&r, &o) : evaluate(&r, &o);
    if (r.out && fclose(r.out) != 0 && status == 0) status = complain("%s: the results could not be written", o.out);
    clean_up(&r);
    return host_interrupted() ? HOST_EXIT_INTERRUPTED : status;
}
