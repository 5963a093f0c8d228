/* options.c - the command line, and the list of methods that it asks for */
#include "eval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: harp-eval -m MODEL --task TASK --data FILE [options]\n"
    "       harp-eval --merge A.jsonl B.jsonl ...\n\n"
    "  --task TASK          gsm8k csqa lambada mmlu_pro arc cnn_dm; on any text: ppl nexttoken calibrate\n"
    "                       tune: finds settings of HARP on the even questions (as gsm8k has them) or windows of a\n"
    "                       text, verifies them on the odd ones, and recommends them, or HARP off\n"
    "  --data FILE          the data set as its authors publish it, or a text\n"
    "  --methods LIST       vanilla,harp,beam,speculative,lookup,pause,nucleus,vote,vote-harp,branch\n"
    "                       [vanilla,harp; calibrate: vanilla]; or as tables name them, with their settings:\n"
    "                       \"vanilla,harp last K=4 delta=0.1,vote 8 weighted T=1 harp stream K=2\"\n"
    "  --frames LIST        stream, stream:prompt, redraw, last [stream]\n"
    "  --reframings LIST --thetas LIST --deltas LIST --betas LIST --rescale       of harp: every combination\n"
    "                       [the paper's: 1, 1, 0.2, 0.5; tune: stream,stream:prompt,last; 1,2,4,8; 0.5,1,2;\n"
    "                       0.05,0.1,0.2,0.3; 0.3,0.5,0.7,0.9]\n"
    "  --schedule auto|lazy|fused  when HARP's second pass is computed: cost, never answers [auto]; lazy suits models\n"
    "                       that fit into a cache or seldom hesitate\n"
    "  --recommendation FILE    tune: writes it for harp-convert --recommend\n"
    "  --answers LIST       answers to each question by vote, by vote-harp, and, at most, by branch [8]\n"
    "  --picks LIST         of these the one that is taken: majority, weighted (each counts with its tokens' mean\n"
    "                       probability), probable (with its probability), certainty, logprob (the surest) [majority]\n"
    "  --temperatures LIST --top-ps LIST   that votes are drawn with [0.7, 0.95]\n"
    "  --forks LIST         branch: an answer parts in two at a token of more entropy than this, in bits [1]\n"
    "  --shots N            worked examples in front [gsm8k 5, else 0; tune 0]; from --shots-data FILE, or from the\n"
    "                       beginning of the data, which then is not asked\n"
    "  --limit N            at most so many questions or windows      --half 1|2  the even or the odd ones\n"
    "  --max-tokens N       generated at most [gsm8k, mmlu_pro 256, cnn_dm 128]\n"
    "  --draft-model FILE   for speculative        --pause-token TEXT --pause-count N   for pause [\".\" 10]\n"
    "  --window N           tokens in a window of text [256]          -c N        context [the model's, at most 4096]\n"
    "  --seed N [0]         -t N  threads [all]\n"
    "  --together N         answers that grow at once; questions begin as long as fewer do [8]; 1: one after another\n"
    "  --out FILE.jsonl     a line for each question and method; --resume goes on from there, with the same settings\n"
    "  --shard I/N          the I-th of N parts (from 0); --merge makes one table of their files\n"
    "  --csv FILE --svg FILE    the table for programs, and as a chart\n"
    "  --selective FILE.svg what is right among the questions of which the model is surest, as a table and a chart;\n"
    "                       where answers are generated\n";

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

int parse_task(const char *text, int32_t *task)
{
    for (*task = 0; *task < N_TASKS; (*task)++)
        if (strcmp(task_names[*task], text) == 0) return 1;
    return 0;
}

static int parse_schedule(const char *text, int32_t *schedule)
{
    static const char *const names[] = {"auto", "lazy", "fused"}; /* in the order of harp_schedule */
    for (*schedule = 0; *schedule < 3; (*schedule)++)
        if (strcmp(names[*schedule], text) == 0) return 1;
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
                 {"--svg", &o->svg}, {"--pause-token", &o->pause_token},
                 {"--recommendation", &o->recommendation}, {"--selective", &o->selective}};
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
                   {"--together", &o->together, 1, MOST_TOGETHER},
                   {"--half", &o->only_half, 1, 2}};
    const list lists[] = {{"--reframings", o->reframings, &o->n_reframings, 1, 64, 1},
                          {"--thetas", o->thetas, &o->n_thetas, -1e30, 1e30, 0},
                          {"--deltas", o->deltas, &o->n_deltas, 0, 1, 0},
                          {"--betas", o->betas, &o->n_betas, 0, 1, 0},
                          {"--answers", o->answers, &o->n_answers, 2, MOST_VOTES, 1},
                          {"--forks", o->forks, &o->n_forks, 0, 1e30, 0},
                          {"--temperatures", o->temperatures, &o->n_temperatures, 0.01, 100, 0},
                          {"--top-ps", o->top_ps, &o->n_top_ps, 0.01, 1, 0}};
    size_t i;
    for (i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].name, name) == 0) return *texts[i].field = value, 1;
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(numbers[i].name, name) == 0)
            return parse_number(value, numbers[i].least, numbers[i].most, numbers[i].field);
    for (i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(lists[i].name, name) == 0) return parse_list(value, &lists[i]);
    o->tune |= strcmp(name, "--task") == 0 && strcmp(value, "tune") == 0;
    if (strcmp(name, "--task") == 0) return o->tune || parse_task(value, &o->task);
    if (strcmp(name, "--methods") == 0) return parse_text(value, o->methods, sizeof o->methods);
    if (strcmp(name, "--schedule") == 0) return parse_schedule(value, &o->schedule);
    if (strcmp(name, "--picks") == 0) return parse_text(value, o->picks, sizeof o->picks);
    if (strcmp(name, "--frames") == 0) return parse_text(value, o->frames, sizeof o->frames);
    if (strcmp(name, "--seed") == 0) return parse_seed(value, &o->seed);
    if (strcmp(name, "--shard") == 0) return parse_shard(value, o);
    return -1;
}

/* Those of HARP are not given: set_grid. */
static void set_defaults_of_methods(options *o)
{
    strcpy(o->picks, "majority");
    o->answers[0] = 8, o->forks[0] = 1, o->temperatures[0] = 0.7, o->top_ps[0] = 0.95;
    o->n_answers = o->n_forks = o->n_temperatures = o->n_top_ps = 1;
    o->frames[0] = 0, o->n_reframings = o->n_thetas = o->n_deltas = o->n_betas = o->rescale = 0;
}

static void set_defaults(options *o)
{
    memset(o, 0, sizeof *o);
    o->task = -1, o->shots = -1, o->limit = 1 << 30, o->pause_count = 10, o->pause_token = ".", o->window = 256;
    o->shards = 1, o->together = 8, o->threads = host_processors();
    if (o->threads > 8) o->threads = 8;
    set_defaults_of_methods(o);
}

/* What was not given: the paper's, or what tune tries first. */
static void set_grid(options *o)
{
    static const double reframings[] = {1, 2, 4, 8}, deltas[] = {0.05, 0.1, 0.2, 0.3};
    const harp_params p = harp_defaults();
    if (!o->frames[0]) strcpy(o->frames, o->tune ? "stream,stream:prompt,last" : "stream");
    if (o->n_reframings == 0 && o->tune) memcpy(o->reframings, reframings, sizeof reframings), o->n_reframings = 4;
    if (o->n_deltas == 0 && o->tune) memcpy(o->deltas, deltas, sizeof deltas), o->n_deltas = 4;
    if (o->n_reframings == 0) o->reframings[0] = p.reframings, o->n_reframings = 1;
    if (o->n_deltas == 0) o->deltas[0] = (double)p.delta, o->n_deltas = 1;
    if (o->tune) return; /* its first grid has one theta and one beta: main.c */
    if (o->n_thetas == 0) o->thetas[0] = (double)p.theta, o->n_thetas = 1;
    if (o->n_betas == 0) o->betas[0] = (double)p.beta, o->n_betas = 1;
}

/* What is written must not be anything else that is named: a table over the model, or over the answers. */
static int check_files(const options *o)
{
    const char *written[] = {o->out, o->csv, o->svg, o->recommendation, o->selective};
    const char *read[] = {o->model, o->draft_model, o->data, o->shots_data};
    size_t i, k;
    int32_t f;
    for (i = 0; i < sizeof written / sizeof *written; i++) {
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
    if (!o->model || !o->data || (o->task < 0 && !o->tune)) return misuse("%s", "-m, --task and --data are needed");
    if (o->selective && (o->tune || !task_is_generated((task_id)o->task)))
        return misuse("%s", "--selective goes with tasks whose answers are generated, and with --merge");
    if (o->recommendation && !o->tune) return misuse("%s", "--recommendation goes with --task tune");
    if (o->tune && (o->out || o->resume || o->csv || o->svg || o->only_half || o->shards > 1 || o->methods[0]))
        return misuse("%s", "tune chooses methods and halves itself, and writes --recommendation alone: without "
                            "--methods, --half, --shard, --out, --resume, --csv, --svg");
    set_grid(o);
    if (o->resume && !o->out) return misuse("%s", "--resume needs --out");
    if (o->task == TASK_CALIBRATE && (o->out || o->csv || o->svg))
        return misuse("%s", "calibrate prints its table, and writes no --out, --csv or --svg");
    if (!o->methods[0]) strcpy(o->methods, o->task == TASK_CALIBRATE ? "vanilla" : "vanilla,harp");
    if (o->shots < 0) o->shots = o->task == TASK_GSM8K && !o->tune ? 5 : 0;
    if (o->task >= TASK_PPL) o->shots = 0; /* texts have none */
    if (o->max_tokens == 0) o->max_tokens = o->task == TASK_CNN_DM ? 128 : 256;
    return EXIT_FINE;
}

int parse_options(options *o, int argc, char **argv)
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
    m->id = id, m->params = harp_defaults(), m->answers = 1;
    m->params.threads = (int)o->threads, m->params.seed = o->seed;
    m->params.schedule = (harp_schedule)o->schedule;
    snprintf(m->name, sizeof m->name, "%s", name);
    return m;
}

/* Names tell methods apart. */
static void add_to_name(method *m, const char *what, float value)
{
    char number[32];
    size_t n = strlen(m->name);
    write_float(number, value);
    snprintf(m->name + n, sizeof m->name - n, " %s=%s", what, number);
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

/* What is known of a method with HARP before it is named. */
typedef struct setting_of_harp {
    const char *frame;
    size_t length;
    double reframings, theta, delta, beta;
} setting_of_harp;

typedef int add_fn(methods *all, const options *o, const setting_of_harp *h);

static int set_harp(method *m, const options *o, const setting_of_harp *h)
{
    harp_params *p = &m->params;
    if (!set_frame(h->frame, h->length, p)) return misuse("--frames: there is no frame '%s'", first_of(h->frame));
    p->reframings = (int32_t)h->reframings, p->theta = (float)h->theta, p->delta = (float)h->delta;
    p->beta = (float)h->beta, p->rescale = o->rescale;
    name_harp(m, h->frame, h->length);
    return 0;
}

static int add_harp(methods *all, const options *o, const setting_of_harp *h)
{
    method *m = add_method(all, o, METHOD_HARP, "");
    if (!m) return EXIT_FAILED;
    if (set_harp(m, o, h)) return EXIT_USAGE;
    return is_new(all) ? 0 : same_twice(all);
}

/* Calls `add` for HARP in every combination that was asked for. */
static int each_harp(methods *all, const options *o, add_fn *add)
{
    setting_of_harp h;
    int32_t k, t, d, b;
    int status = 0;
    for (h.frame = o->frames; *h.frame && status == 0; h.frame += h.length + (h.frame[h.length] == ',')) {
        h.length = strcspn(h.frame, ",");
        for (k = 0; k < o->n_reframings; k++)
            for (t = 0; t < o->n_thetas; t++)
                for (d = 0; d < o->n_deltas; d++)
                    for (b = 0; b < o->n_betas && status == 0; b++) {
                        h.reframings = o->reframings[k], h.theta = o->thetas[t];
                        h.delta = o->deltas[d], h.beta = o->betas[b];
                        status = add(all, o, &h);
                    }
    }
    return status;
}

/* ---- Several answers to a question ---- */

static int parse_pick(const char *text, size_t length, vote_rule *rule)
{
    static const char *const names[N_VOTE_RULES] = {"majority", "weighted", "probable", "certainty", "logprob"};
    int i = 0;
    while (i < N_VOTE_RULES && (strlen(names[i]) != length || memcmp(names[i], text, length) != 0)) i++;
    *rule = (vote_rule)i;
    return i < N_VOTE_RULES;
}

static void add_word(method *m, const char *word, size_t length)
{
    size_t n = strlen(m->name);
    snprintf(m->name + n, sizeof m->name - n, " %.*s", (int)length, word);
}

/* "vote 8 weighted harp stream K=1": the name says what is not the default. */
static int name_answers(method *m, const char *what, const char *pick, size_t length, const char *harp)
{
    if (strlen(harp) + 48 > sizeof m->name) return misuse("the name of method '%s' is too long", harp);
    snprintf(m->name, sizeof m->name, "%s %d", what, (int)m->answers);
    if (m->rule != VOTE_MAJORITY) add_word(m, pick, length);
    if (m->id == METHOD_BRANCH) {
        if (m->fork_at != 1.0f) add_to_name(m, "at", m->fork_at);
    } else {
        if (m->params.temperature != 0.7f) add_to_name(m, "T", m->params.temperature);
        if (m->params.top_p != 0.95f) add_to_name(m, "p", m->params.top_p);
    }
    if (harp[0]) add_word(m, harp, strlen(harp));
    return 0;
}

/* A method of several answers; first is its temperature or where it forks, second its top-p. */
static int add_several(methods *all, const options *o, const setting_of_harp *h, method_id id, double answers,
                       double first, double second)
{
    const char *pick = o->picks;
    int status = 0;
    for (; *pick && status == 0; pick += strcspn(pick, ","), pick += *pick == ',') {
        size_t length = strcspn(pick, ",");
        method *m = add_method(all, o, id, "");
        char harp[MAX_NAME];
        if (!m) return EXIT_FAILED;
        if (!parse_pick(pick, length, &m->rule)) return misuse("--picks: there is no '%s'", first_of(pick));
        if (h && set_harp(m, o, h)) return EXIT_USAGE;
        strcpy(harp, m->name);
        m->answers = (int32_t)answers;
        if (id == METHOD_BRANCH) m->fork_at = (float)first;
        else m->params.temperature = (float)first, m->params.top_p = (float)second;
        status = name_answers(m, id == METHOD_BRANCH ? "branch" : "vote", pick, length, harp);
        if (status == 0 && !is_new(all)) status = same_twice(all);
    }
    return status;
}

static int add_votes(methods *all, const options *o, const setting_of_harp *h)
{
    int32_t n, t, p;
    int status = 0;
    for (n = 0; n < o->n_answers; n++)
        for (t = 0; t < o->n_temperatures; t++)
            for (p = 0; p < o->n_top_ps && status == 0; p++)
                status = add_several(all, o, h, h ? METHOD_VOTE_HARP : METHOD_VOTE, o->answers[n], o->temperatures[t],
                                     o->top_ps[p]);
    return status;
}

static int add_branches(methods *all, const options *o)
{
    int32_t n, f;
    int status = 0;
    for (n = 0; n < o->n_answers; n++)
        for (f = 0; f < o->n_forks && status == 0; f++)
            status = add_several(all, o, NULL, METHOD_BRANCH, o->answers[n], o->forks[f], 0);
    return status;
}

static int goes_with(int id, int32_t task)
{
    if (id == METHOD_VANILLA) return 1;
    if (task == TASK_CALIBRATE) return 0; /* the entropy of the plain model, once for each position */
    return id == METHOD_HARP || task_is_generated((task_id)task) || (id == METHOD_PAUSE && task < TASK_PPL);
}

/* One kind of method, with the options' settings. */
static int add_kind(methods *all, const options *o, const char *text, size_t length)
{
    static const char *const names[] = {"vanilla", "harp",    "beam", "speculative", "lookup",
                                        "pause",   "nucleus", "vote", "vote-harp",   "branch"};
    int id = 0;
    while (id < N_METHODS && (strlen(names[id]) != length || memcmp(names[id], text, length) != 0)) id++;
    if (id == N_METHODS) return misuse("--methods: there is no '%s'", first_of(text));
    if (!goes_with(id, o->task))
        return complain("method %s does not go with task %s, which %s", names[id], task_names[o->task],
                        o->task == TASK_CALIBRATE ? "measures the plain model: give --methods vanilla"
                                                  : "scores given text: nothing is generated");
    if (id == METHOD_HARP) return each_harp(all, o, add_harp);
    if (id == METHOD_VOTE) return add_votes(all, o, NULL);
    if (id == METHOD_VOTE_HARP) return each_harp(all, o, add_votes);
    if (id == METHOD_BRANCH) return add_branches(all, o);
    if (!add_method(all, o, (method_id)id, names[id])) return EXIT_FAILED;
    return is_new(all) ? 0 : same_twice(all);
}

/* A word of a method's name, behind the first, into the option that it stands for. */
static int take_word(options *o, char *word)
{
    static const struct {
        const char *begin, *option;
    } words[] = {{"K=", "--reframings"}, {"theta=", "--thetas"},    {"delta=", "--deltas"}, {"beta=", "--betas"},
                 {"at=", "--forks"},     {"T=", "--temperatures"}, {"p=", "--top-ps"}};
    vote_rule rule;
    harp_params p;
    size_t i;
    for (i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(word, words[i].begin, strlen(words[i].begin)) == 0)
            return !strchr(word, ',') && take(o, words[i].option, word + strlen(words[i].begin)) == 1;
    if (strcmp(word, "rescaled") == 0) return o->rescale = 1;
    if (strcmp(word, "harp") == 0) return strcmp(o->methods, "vote") == 0 && strcpy(o->methods, "vote-harp") != NULL;
    if (*word >= '0' && *word <= '9') return take(o, "--answers", word) == 1;
    if (parse_pick(word, strlen(word), &rule)) return take(o, "--picks", word) == 1;
    return set_frame(word, strlen(word), &p) && take(o, "--frames", word) == 1;
}

/* A method by its name in tables, which tells all of its settings: "vote 8 weighted T=1 harp last K=4". */
static int add_named(methods *all, const options *o, const char *name, size_t length)
{
    static options one; /* large */
    char text[MAX_NAME], *word = text;
    int status = 0;
    if (length >= sizeof text) return misuse("--methods: '%s' is too long for a name", first_of(name));
    memcpy(text, name, length), text[length] = 0;
    one = *o;
    set_defaults_of_methods(&one), set_grid(&one);
    for (status = 1; word && status; word = *word ? word : NULL) {
        char *begin = word;
        word += strcspn(word, " ");
        if (*word) *word++ = 0;
        status = begin == text ? parse_text(begin, one.methods, sizeof one.methods) : take_word(&one, begin);
    }
    if (!status) return misuse("--methods: '%s' is no method's name, as tables have them", first_of(name));
    status = add_kind(all, &one, one.methods, strlen(one.methods));
    if (status) return status;
    word = all->list[all->n - 1].name;
    if (strlen(word) == length && memcmp(word, name, length) == 0) return 0;
    return misuse("--methods: a method with these settings is called '%s'", word);
}

int list_methods(methods *all, const options *o)
{
    const char *p = o->methods;
    int status = 0;
    while (*p && status == 0) {
        size_t length = strcspn(p, ",");
        status = (memchr(p, ' ', length) ? add_named : add_kind)(all, o, p, length);
        p += length + (p[length] == ',');
    }
    return status == 0 && all->n == 0 ? misuse("%s: no method is left", "--methods, --frames") : status;
}
