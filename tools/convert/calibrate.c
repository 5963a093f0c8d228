/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * calibrate.c - see calibrate.h */
#include "calibrate.h"

#include "../../harp.h"
#include "ground/bytes.h"
#include "ground/files.h"
#include "ground/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 17, MOST_TOKENS = 1 << 14, WINDOW = 512, BATCH = 64 };

/* ---- the inputs of products ---- */

typedef struct watch {
    const cv_plan *plan;
    double **sums; /* of each tensor [experts][cols] of squares; NULL: not wanted */
} watch;

static double *sums_of(const watch *w, const harp_inputs *in)
{
    char name[48];
    uint32_t i = 0;
    snprintf(name, sizeof name, "%d.%s", (int)in->layer, in->matrix);
    while (i < w->plan->n && strcmp(w->plan->tensors[i].name, name) != 0) i++;
    if (i == w->plan->n || !w->sums[i]) return NULL;
    return w->sums[i] + (in->expert > 0 ? (size_t)in->expert * (size_t)in->cols : 0);
}

static void add_squares(void *user, const harp_inputs *in)
{
    double *sums = sums_of(user, in);
    for (int32_t row = 0; sums && row < in->rows; row++)
        for (int32_t c = 0; c < in->cols; c++) {
            double x = (double)in->x[(size_t)row * in->stride + (size_t)c];
            sums[c] += x * x;
        }
}

/* ---- reading the text ---- */

static int explain(const char *what, const harp_error *why, cv_error *err)
{
    return cv_fail(err, "--calibrate: %.200s: %.256s", what, why->text);
}

/* The text in windows, each of which begins as a text does. */
static int feed_all(harp_session *s, const int32_t *tokens, int32_t n, int32_t window, int32_t bos, harp_error *why)
{
    for (int32_t at = 0, count; at < n; at += count) {
        int32_t begins = bos >= 0;
        count = n - at < window - begins ? n - at : window - begins;
        if (harp_rewind(s, 0, why) || (begins && harp_feed(s, &bos, 1, why)) || harp_feed(s, tokens + at, count, why))
            return -1;
    }
    return 0;
}

static int read_tokens(const harp_model *m, watch *w, const char *text, const int32_t *tokens, int32_t n, cv_error *err)
{
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    harp_info info = harp_model_info(m);
    harp_error why;
    p.harp = 0, p.context = info.context < WINDOW ? info.context : WINDOW, p.threads = host_processors();
    p.batch = p.context < BATCH ? p.context : BATCH;
    p.inputs_fn = add_squares, p.inputs_user = w;
    if (p.context < 2) return cv_fail(err, "--calibrate: the model's context of %d is too short", (int)info.context);
    if (harp_session_open(&s, m, &p, &why)) return explain(text, &why, err);
    int failed = feed_all(s, tokens, n, p.context, info.bos, &why) < 0 ? explain(text, &why, err) : 0;
    harp_session_close(s);
    return failed;
}

static int encode(const harp_model *m, const cv_file *text, int32_t *tokens, int *n, cv_error *err)
{
    size_t bytes = text->bytes < MOST_BYTES ? (size_t)text->bytes : MOST_BYTES, count = 0;
    harp_error why;
    char *data = cv_alloc(bytes, 1, err);
    int failed = !data || cv_file_read(text, 0, data, bytes, err) < 0;
    if (!failed && harp_encode(m, data, bytes, 0, tokens, MOST_TOKENS, &count, &why) && count <= MOST_TOKENS)
        failed = explain(text->path, &why, err);
    free(data);
    *n = (int)(count < MOST_TOKENS ? count : MOST_TOKENS);
    if (!failed && *n == 0) return cv_fail(err, "--calibrate: %.200s has no text", text->path);
    return failed ? -1 : 0;
}

static int read_text(const harp_model *m, watch *w, const char *text, int *n, cv_error *err)
{
    cv_file file;
    if (cv_file_open(&file, text, err) < 0) return -1;
    int32_t *tokens = cv_alloc(MOST_TOKENS, sizeof *tokens, err);
    int failed = !tokens || encode(m, &file, tokens, n, err) < 0 || read_tokens(m, w, text, tokens, *n, err) < 0;
    free(tokens);
    cv_file_close(&file);
    return failed ? -1 : 0;
}

/* ---- importance ---- */

/* Mean squares, as shares of their own mean. Inputs that the text never used keep a little; those of an expert that
 * nobody chose are all alike. */
static void weigh(float *importance, const double *sums, uint64_t cols)
{
    const double least = 0.01;
    double mean = 0.0;
    for (uint64_t c = 0; c < cols; c++) mean += sums[c] / (double)cols;
    int is_sound = mean > 1e-30 && mean < 1e300; /* numbers may have overflowed, and then there is NaN */
    for (uint64_t c = 0; c < cols; c++) importance[c] = (float)(is_sound ? least + sums[c] / mean : 1.0);
}

/* How many sums of squares a tensor wants: none if the source's own nibbles stay. */
static uint64_t wanted(const cv_plan *plan, uint32_t i)
{
    const cv_tensor *t = &plan->tensors[i];
    const cv_planned *p = &plan->planned[i];
    return t->type == CV_NIBBLES && !p->values ? (uint64_t)p->experts * t->cols : 0;
}

/* Sums for each tensor that wants some, and as much room for their importance. *all is to be freed. */
static int begin_sums(cv_plan *plan, watch *w, double **all, cv_error *err)
{
    uint64_t total = 0, at = 0;
    for (uint32_t i = 0; i < plan->n; i++) total += wanted(plan, i);
    w->plan = plan, w->sums = cv_alloc(plan->n, sizeof *w->sums, err);
    *all = w->sums ? cv_alloc((size_t)total, sizeof **all, err) : NULL;
    plan->importance = *all ? cv_alloc((size_t)total, sizeof *plan->importance, err) : NULL;
    if (!plan->importance) return -1;
    for (uint32_t i = 0; i < plan->n; i++) {
        if (wanted(plan, i) == 0) continue;
        w->sums[i] = *all + at, plan->planned[i].importance = plan->importance + at;
        at += wanted(plan, i);
    }
    return 0;
}

static void weigh_all(cv_plan *plan, const watch *w, const double *all)
{
    for (uint32_t i = 0; i < plan->n; i++)
        for (uint64_t at = 0, cols = plan->tensors[i].cols; at < wanted(plan, i); at += cols)
            weigh(plan->importance + (w->sums[i] - all) + at, w->sums[i] + at, cols);
}

int cv_calibrate(cv_plan *plan, const char *path, const char *text, int *tokens, cv_error *err)
{
    watch w = {0};
    double *all = NULL;
    harp_model *m = NULL;
    harp_error why;
    int failed = begin_sums(plan, &w, &all, err) < 0;
    if (!failed && harp_open(&m, path, &why)) failed = explain(text, &why, err);
    failed = failed || read_text(m, &w, text, tokens, err) < 0;
    harp_close(m);
    if (!failed) weigh_all(plan, &w, all);
    free(all);
    free(w.sums);
    return failed ? -1 : 0;
}
