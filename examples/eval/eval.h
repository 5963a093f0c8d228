/* eval.h - what the files of harp-eval share
 *
 *   main.c      the run over items and methods, Ctrl-C
 *   options.c   the command line, and the list of methods that it asks for
 *   text.c      growing texts, files written whole
 *   json.c      files of JSON values, and lines for messages
 *   data.c      data files and texts into items
 *   tasks.c     prompts and metrics, those of lm-evaluation-harness
 *   methods.c   sessions for each method; scoring and generating with them
 *   asks.c      questions under way, and their order
 *   settings.c  what determines a method's answers: the fingerprint of every file of results
 *   results.c   records: a JSON line each, read back by --resume and --merge
 *   tune.c      which settings of HARP a model is to be used with, if any
 *   table.c     intervals, McNemar's test; Markdown, CSV, SVG
 *   selective.c accuracy if the least sure answers are left out
 *
 * Functions that can fail return 0 if they worked, or EXIT_FAILED after one line on stderr (complain).
 */
#ifndef HARP_EVAL_H
#define HARP_EVAL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../../harp.h"
#include "../../tools/convert/ground/host.h"
#include "../../tools/convert/ground/json.h"
#include "../../tools/convert/ground/votes.h"

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int complain(const char *format, ...); /* one line on stderr; EXIT_FAILED */

/* ---- text.c ---- */

/* A growing text, zero-terminated once something was put into it. Where memory ran out, failed is set, and stays. */
typedef struct growing {
    char *at;
    size_t bytes, capacity;
    int failed;
} growing;

void put(growing *t, const char *format, ...);
void put_bytes(growing *t, const char *from, size_t bytes);
void write_float(char out[32], float value); /* with as many digits as make it the same float again, at least 6 */
int read_whole(const char *path, char **whole, size_t *bytes); /* malloc'ed, zero-terminated */
int save_whole(const char *path, const char *from, size_t bytes);

/* ---- json.c ---- */

/* Values one behind another, as JSON lines are; the one read last. */
typedef struct json {
    const char *name, *text; /* of the file, for messages; what is in it, zero-terminated */
    size_t bytes, at, root;  /* at: where what is not read yet begins; root: where the value does */
    long line;               /* of root */
    cv_json value;
} json;

void json_open(json *j, const char *name, const char *text, size_t bytes);
int json_more(json *j); /* 1: another value follows */
int json_read(json *j); /* after json_more: reads it into value */
void json_close(json *j);
long json_line(const json *j, uint32_t node);                       /* where it begins */
uint32_t json_find(const json *j, uint32_t object, const char *key); /* CV_JSON_NONE: not there */

/* NULL: not there, or no string, or one that holds U+0000: texts here are zero-terminated. */
const char *json_text(const json *j, uint32_t node);
const char *json_string(const json *j, uint32_t object, const char *key);
int json_number(const json *j, uint32_t object, const char *key, double *value); /* 0: not there, or no number */
const char *json_digits(const json *j, uint32_t node, size_t *bytes);            /* of a number, as it is written */

/* ---- data.c ---- */

enum { MAX_CHOICES = 16, MAX_ITEMS = 10000000 };

/* One question. Texts are malloc'ed. */
typedef struct item {
    char *question, *answer; /* answer: what is right, or what a good answer reads like */
    char *choices[MAX_CHOICES];
    int32_t n_choices, right;
    int32_t number; /* its place in the file */
} item;

typedef struct items {
    item *list;
    size_t n, capacity;
} items;

typedef enum task_id {
    TASK_GSM8K,
    TASK_CSQA,
    TASK_LAMBADA,
    TASK_MMLU_PRO,
    TASK_ARC,
    TASK_CNN_DM,
    TASK_PPL,
    TASK_NEXTTOKEN,
    TASK_CALIBRATE
} task_id;

int read_items(task_id task, const char *path, items *out, uint64_t *hash); /* *hash: of the file's contents */
void free_items(items *list);

/* ---- methods.c ---- */

typedef enum method_id {
    METHOD_VANILLA,
    METHOD_HARP,
    METHOD_BEAM,
    METHOD_SPECULATIVE,
    METHOD_LOOKUP,
    METHOD_PAUSE,
    METHOD_NUCLEUS,
    METHOD_VOTE,
    METHOD_VOTE_HARP,
    METHOD_BRANCH,
    N_METHODS
} method_id;

enum { MAX_NAME = 128 };

typedef struct method {
    method_id id;
    char name[MAX_NAME]; /* as in the table and in records; it tells all parameters of HARP */
    harp_params params;
    int32_t answers; /* of vote and branch: at most so many to a question; 1 for all others */
    vote_rule rule;  /* which of them is taken */
    float fork_at;   /* branch: a token of more entropy than this, in bits, is where answers part */
    harp_session *session, *draft;
} method;

/* What one item did with one method. Sums, so that they add up over items. */
typedef struct outcome {
    double trials, right, right2;                  /* right2: the task's second metric                           */
    double nll, tokens;                            /* of given text, nats                                        */
    double doubtful, doubtful_right, doubtful_nll; /* of the positions where the vanilla model hesitates */
    double won, lost;                              /* trials that only this method, only vanilla got right        */
    double steps, hesitated, changed, passes, rows, seconds, cut;
    double entropy, peak;  /* generated: sum over the tokens, and the largest, of the plain distribution's, bits */
    double answers, votes; /* of vote and branch: how many there were, how many say what was chosen */
} outcome;

typedef struct tokens {
    int32_t *list;
    size_t n, capacity;
} tokens;

/* A text that is being generated: an answer to a question. */
typedef struct reply {
    struct ask *of;
    harp_session *session;
    harp_stats was; /* the session's counts when it began, ... */
    double before;  /* ... and the passes that the question had taken by then */
    harp_decoder decoder;
    growing text;
    char *piece; /* room for what a token decodes to */
    vote vote;
    int32_t n_tokens;
    int ended, owned; /* owned: the session is this answer's, else its method's */
} reply;

/* A question, or a window of a text, put to a method. */
typedef struct ask {
    method *m;
    const item *q; /* NULL: a window */
    size_t index;  /* of the question or window */
    const char *const *stops; /* an answer ends before any of these texts; NULL-terminated */
    reply *replies;           /* [m->answers], of which n were begun */
    int32_t n, room;          /* room: positions that an answer can need, the prompt's included */
    outcome o;
} ask;

enum { MOST_TOGETHER = 64, MOST_GROWING = MOST_TOGETHER + MOST_VOTES };

typedef struct bench {
    harp_model *model, *draft_model;
    harp_engine *engine; /* computes for all that goes together */
    harp_info info;
    task_id task;
    int32_t shots, max_tokens, pause_count, pause_token, window, context, half;
    int32_t asked; /* the item in work, for messages */
    uint64_t seed, model_hash, draft_hash, data_hash, shots_hash;
    float theta;                 /* what counts as hesitating in tables, for all methods: the paper's 1 bit */
    const char *shots_text;      /* the worked examples, in front of every prompt */
    tokens shots_tokens;
    harp_session *shots_session; /* has them computed; what goes together forks from it */
    tokens text;                 /* the text of ppl, nexttoken, calibrate */
    double *entropies;           /* calibrate: [n_entropies], at most one for each token of the text */
    size_t n_entropies;
} bench;

int encode(const bench *b, const char *text, size_t bytes, unsigned flags, tokens *out);
int method_open(bench *b, method *m);
void method_close(method *m);

/* Log-probability of `target` after `context`, greedy: whether it is what greedy decoding would have said. */
int score_target(bench *b, method *m, const tokens *context, const tokens *target, int again, double *logprob,
                 int *greedy, outcome *o);

/* Puts a prompt to a method. A method that does not go together with others answers at once; the answers of the rest
 * grow by replies_step. */
int replies_begin(bench *b, ask *a, const tokens *prompt);
int32_t replies_growing(const ask *a); /* how many are, or may come to be */
void replies_free(ask *a);

int engine_open(bench *b, const method *list, int32_t n, int32_t seats);
int replies_step(bench *b, reply *const *all, int32_t n, int32_t *failed); /* failed: which, if one did */

/* ---- options.c ---- */

enum { MAX_METHODS = 200, MAX_LIST = 32 };

typedef struct options {
    const char *model, *draft_model, *data, *shots_data, *out, *csv, *svg, *pause_token, *recommendation, *selective;
    int32_t task, schedule, shots, limit, max_tokens, pause_count, window, context, threads, shard, shards, together;
    int32_t resume, merge, tune;
    int32_t only_half; /* 0: all, 1: the items or windows with even numbers, 2: those with odd ones */
    char methods[4096], frames[256];
    char picks[256];
    double reframings[MAX_LIST], thetas[MAX_LIST], deltas[MAX_LIST], betas[MAX_LIST];
    double answers[MAX_LIST], forks[MAX_LIST], temperatures[MAX_LIST], top_ps[MAX_LIST];
    int32_t n_reframings, n_thetas, n_deltas, n_betas, n_answers, n_forks, n_temperatures, n_top_ps, rescale;
    uint64_t seed;
    char **files; /* --merge */
    int32_t n_files;
} options;

typedef struct methods {
    method list[MAX_METHODS];
    int32_t n;
} methods;

int parse_options(options *o, int argc, char **argv); /* -1: the help was asked for and printed */
int list_methods(methods *all, const options *o);
int parse_task(const char *text, int32_t *task);

/* ---- tasks.c ---- */

extern const char *const task_names[];
enum { N_TASKS = TASK_CALIBRATE + 1 };

int task_is_generated(task_id task);
const char *task_metric(task_id task);                            /* what the score column is called */
const char *task_metric2(task_id task);                           /* NULL: there is none */
char *make_shots(task_id task, const items *list, int32_t shots); /* malloc'ed */
int ask_begin(bench *b, ask *a); /* what is scored, not generated, is done then */
void ask_end(const bench *b, ask *a); /* takes one of the answers, and judges it */
size_t count_windows(const bench *b);

/* The share of unigrams that answer and reference have in common, F1 [Lin 2004]. */
double rouge_1(const char *answer, const char *reference);

/* ---- asks.c ---- */

enum { MOST_ASKS = 4 * MOST_TOGETHER };

typedef struct asks {
    ask ring[MOST_ASKS];
    int32_t first, n;
} asks;

ask *asks_at(asks *all, int32_t i);
int asks_have_room(asks *all, int32_t seats); /* fewer answers than that grow */
int asks_begin(asks *all, bench *b, method *m, const item *q, size_t index);
int asks_step(asks *all, bench *b);
ask *asks_leave(asks *all, const bench *b);
void asks_drop(asks *all, int32_t i);

/* ---- settings.c ---- */

#define HASH_START UINT64_C(0xCBF29CE484222325)
uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes); /* FNV-1a, 64 bits */
int hash_model(const char *path, uint64_t *hash);

/* What determines a method's answers. Those up to `half` are common to all methods of a run. */
typedef enum setting {
    SET_VERSION,
    SET_TASK,
    SET_MODEL,
    SET_DATA,
    SET_SHOTS,
    SET_SHOTS_DATA,
    SET_MAX_TOKENS,
    SET_WINDOW,
    SET_CONTEXT,
    SET_SEED,
    SET_HALF,
    SET_METHOD, /* the first of its own */
    SET_DRAFT_MODEL,
    SET_PAUSE_TOKEN,
    SET_PAUSE_COUNT,
    SET_ACTIVATIONS,
    SET_CACHE,
    SET_HARP,
    SET_THETA,
    SET_DELTA,
    SET_BETA,
    SET_RESCALE,
    SET_REFRAMINGS,
    SET_FRAME,
    SET_REFRAME_FROM,
    SET_MEASURE,
    SET_TEMPERATURE,
    SET_TOP_K,
    SET_TOP_P,
    SET_MIN_P,
    SET_REPEAT_PENALTY,
    SET_BEAMS,
    SET_BEAM_LENGTH,
    SET_DRAFTS,
    SET_LOOKUP,
    SET_DRAFT_RULE,
    SET_ANSWERS,
    SET_PICK,
    SET_FORK_AT,
    N_SETTINGS
} setting;

typedef struct settings {
    char value[N_SETTINGS][MAX_NAME]; /* as JSON has it, without quotes */
} settings;

extern const char *const setting_names[N_SETTINGS];

void settings_of(const bench *b, const method *m, settings *s);
uint64_t settings_key(const settings *s);
setting settings_differ(const settings *a, const settings *b, setting from, setting to); /* the first; to: none */
void settings_put(const settings *s, FILE *out); /* a line of JSON, short of its end, "}" and a newline */
int settings_read(const json *j, settings *s); /* of the value that was read last */

/* ---- results.c ---- */

typedef struct record {
    int32_t method; /* in the list of methods */
    int32_t item;
    outcome o;
} record;

typedef struct kind { /* a method, as results know it */
    settings settings;
    uint64_t key;
    int in_file; /* the file of results has its settings */
} kind;

typedef struct results {
    const char *advice; /* what to do where a file is of another run */
    kind *methods[256]; /* in the order of their coming */
    int32_t n_methods;
    record *list;
    size_t n, capacity;
    uint32_t *places; /* [2 * capacity], a hash table: index of a record + 1, 0 free */
} results;

int results_method(results *r, const settings *s, const char *file, long line, int32_t *which);
int results_add(results *r, int32_t which, int32_t number, const outcome *o);
int results_write_settings(results *r, FILE *out, const char *path); /* those that the file does not have */
int results_write(const results *r, FILE *out, const char *path, const record *what);
int results_read(results *r, const char *path, int goes_on); /* goes_on: its last line may be cut off, and is removed */
const record *results_find(const results *r, int32_t which, int32_t number); /* NULL: not there */
const char *results_name(const results *r, int32_t which);
void results_free(results *r);

/* ---- table.c ---- */

/* What a method gains over vanilla on the same items, with its 95 % interval: in nats a token of a text, otherwise in
 * the score. Above 0 the method is better. */
typedef struct gain {
    double mean, low, high;
    double with, without; /* NLL in nats, or the score, of the method and of vanilla */
    double passes;        /* of vanilla's, times                                     */
    int32_t items;
} gain;

gain gain_of(const results *r, task_id task, int32_t which);

int print_tables(const results *r, task_id task, FILE *markdown, const char *csv, const char *svg);
double mcnemar(double won, double lost); /* two-sided binomial p */
int print_calibration(const bench *b);
void put_label(growing *out, double x, double y, const char *anchor, const char *text); /* of an SVG */

/* ---- selective.c ---- */

int print_selective(const results *r, FILE *out, const char *svg);

/* ---- tune.c ---- */

typedef struct verdict { /* what is recommended, and why */
    const method *m;    /* the best on the half that was for choosing */
    gain g;             /* on the other half */
    int32_t tried;      /* settings on the first half */
    const char *data;   /* the name of the file */
} verdict;

int32_t tune_choose(const results *r, task_id task); /* the method other than vanilla that gains most; -1: none */
int tune_is_proven(const gain *g);                   /* whether HARP is recommended */
void tune_refine(options *o, const method *best);    /* to theta and beta around the best */
void tune_tell(const verdict *c, task_id task, FILE *out);
int tune_save(const verdict *c, task_id task, const char *path); /* the recommendation, for harp-convert */

#endif
