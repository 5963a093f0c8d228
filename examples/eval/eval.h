/* eval.h - what the files of harp-eval share
 *
 *   main.c      options, the run over items and methods, Ctrl-C
 *   json.c      a JSON reader that does not recurse
 *   data.c      data files and texts into items
 *   tasks.c     prompts and metrics, those of lm-evaluation-harness
 *   methods.c   a session for each method; scoring and generating with it
 *   results.c   records: a JSON line each, read back by --resume and --merge
 *   table.c     intervals, McNemar's test; Markdown, CSV, SVG
 *
 * Functions that can fail return 0 if they worked, or EXIT_FAILED after one line on stderr (complain).
 */
#ifndef HARP_EVAL_H
#define HARP_EVAL_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* clock_gettime, sigaction, isatty: this header comes first */
#endif

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../../harp.h"

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int complain(const char *format, ...); /* one line on stderr; EXIT_FAILED */
double seconds_now(void);

/* ---- json.c ---- */

typedef enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} json_type;

/* A value. Children of an array or object are linked; those of an object have keys. */
typedef struct json_node {
    json_type type;
    const char *key, *text;            /* zero-terminated, in the text that was parsed; text of strings and numbers */
    size_t bytes;                      /* of text */
    int32_t parent, first, last, next; /* -1: none */
    int32_t line;
} json_node;

typedef struct json {
    const char *name; /* of the file, for messages */
    char *at, *end;   /* what is not read yet; strings are decoded in place */
    int32_t line;
    json_node *nodes; /* [n] the value read last */
    int32_t n, capacity;
} json;

void json_open(json *j, const char *name, char *text, size_t bytes); /* text is changed, and zero-terminated */
int json_more(json *j);                                              /* 1: another value follows */
int json_read(json *j);                                              /* reads it into nodes; nodes[0] is its root */
void json_close(json *j);
int32_t json_find(const json *j, int32_t object, const char *key);       /* -1: not there */
const char *json_string(const json *j, int32_t object, const char *key); /* NULL: not there, or no string */
double json_number(const json *j, int32_t object, const char *key, double otherwise);

/* ---- data.c ---- */

enum { MAX_CHOICES = 16 };

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

int read_whole(const char *path, char **text, size_t *bytes);
int read_items(task_id task, const char *path, items *out);
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
    N_METHODS
} method_id;

typedef struct method {
    method_id id;
    char name[80]; /* as in the table and in records */
    harp_params params;
    harp_session *session, *draft;
} method;

/* What one item did with one method. Sums, so that they add up over items. */
typedef struct outcome {
    double trials, right, right2;                  /* right2: the task's second metric                           */
    double nll, tokens;                            /* of given text, nats                                        */
    double doubtful, doubtful_right, doubtful_nll; /* of the positions where the vanilla model hesitates */
    double won, lost;                              /* trials that only this method, only vanilla got right        */
    double steps, hesitated, changed, passes, rows, seconds, cut;
} outcome;

typedef struct tokens {
    int32_t *list;
    size_t n, capacity;
} tokens;

typedef struct bench {
    harp_model *model, *draft_model;
    harp_info info;
    task_id task;
    int32_t shots, max_tokens, pause_count, pause_token, window, context;
    float theta;            /* what counts as hesitating in tables, for all methods: the paper's 1 bit */
    const char *shots_text; /* the worked examples, in front of every prompt */
    tokens text;            /* the text of ppl, nexttoken, calibrate */
    double *entropies;      /* calibrate: [n_entropies] */
    size_t n_entropies;
} bench;

int encode(const bench *b, const char *text, size_t bytes, unsigned flags, tokens *out);
int method_open(bench *b, method *m);
void method_close(method *m);

/* Log-probability of `target` after `context`, greedy: whether it is what greedy decoding would have said. */
int score_target(bench *b, method *m, const tokens *context, const tokens *target, int again, double *logprob,
                 int *greedy, outcome *o);

/* Generates a continuation; *text is malloc'ed. Ends before any of the stop texts (NULL-terminated). */
int generate(bench *b, method *m, const tokens *context, const char *const *stops, char **text, outcome *o);

/* ---- tasks.c ---- */

extern const char *const task_names[];
enum { N_TASKS = TASK_CALIBRATE + 1 };

int task_is_generated(task_id task);
const char *task_metric(task_id task);                            /* what the score column is called */
const char *task_metric2(task_id task);                           /* NULL: there is none */
char *make_shots(task_id task, const items *list, int32_t shots); /* malloc'ed */
int run_item(bench *b, method *m, const item *q, outcome *o);
int run_window(bench *b, method *m, size_t index, outcome *o);
size_t count_windows(const bench *b);

/* The share of unigrams that answer and reference have in common, F1 [Lin 2004]. */
double rouge_1(const char *answer, const char *reference);

/* ---- results.c ---- */

typedef struct record {
    int32_t method; /* in the list of names */
    int32_t item;
    outcome o;
} record;

typedef struct results {
    char task[24];
    char *names[256]; /* methods, in the order of their coming */
    int32_t n_names;
    record *list;
    size_t n, capacity;
    uint32_t *places; /* [2 * capacity], a hash table: index of a record + 1, 0 free */
} results;

int32_t results_name(results *r, const char *name); /* its index; -1: too many */
int results_add(results *r, int32_t which, int32_t number, const outcome *o);
int results_write(const results *r, FILE *out, const record *what);
int results_read(results *r, const char *path, int may_be_cut);
int results_have(const results *r, int32_t which, int32_t number);
void results_free(results *r);

/* ---- table.c ---- */

int print_tables(const results *r, task_id task, FILE *markdown, const char *csv, const char *svg);
double mcnemar(double won, double lost); /* two-sided exact binomial p */
void print_calibration(const bench *b);

#endif
