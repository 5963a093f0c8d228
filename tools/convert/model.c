/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * model.c - see model.h and source.h; the tensors and metadata are those of [CH08] in harp_impl.c */
#include "model.h"
#include "bytes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- architectures ---- */

typedef enum place { BEFORE_LAYERS, IN_EACH_LAYER, AFTER_LAYERS, AFTER_UNLESS_TIED } place;

typedef struct row { /* one tensor of the file */
    place where;
    const char *name;
    uint32_t type;
    cv_part part[CV_MOST_STACKED]; /* CV_NO_PART after the last; none: the rope frequencies */
} row;

static const row llama[] = {{BEFORE_LAYERS, "embedding", CV_Q8, {CV_EMBEDDING}},
                            {BEFORE_LAYERS, "rope_frequencies", CV_F32, {CV_NO_PART}},
                            {IN_EACH_LAYER, "attn_norm", CV_F32, {CV_ATTN_NORM}},
                            {IN_EACH_LAYER, "qkv", CV_Q8, {CV_QUERY, CV_KEY, CV_VALUE}},
                            {IN_EACH_LAYER, "attn_out", CV_Q8, {CV_ATTN_OUT}},
                            {IN_EACH_LAYER, "ffn_norm", CV_F32, {CV_FFN_NORM}},
                            {IN_EACH_LAYER, "gate_up", CV_Q8, {CV_GATE, CV_UP}},
                            {IN_EACH_LAYER, "down", CV_Q8, {CV_DOWN}},
                            {AFTER_LAYERS, "final_norm", CV_F32, {CV_FINAL_NORM}},
                            {AFTER_UNLESS_TIED, "output", CV_Q8, {CV_OUTPUT}}};

static const struct {
    const char *name;
    const row *rows;
    size_t n;
} architectures[] = {{"llama", llama, sizeof llama / sizeof *llama}};

/* ---- facts ---- */

int cv_check_facts(const cv_facts *f, const char *what, cv_error *err)
{
    const struct {
        const char *name;
        int32_t value, least, most;
    } sizes[] = {{"vocabulary", f->vocab, 1, 1 << 24},
                 {"hidden size", f->hidden, 1, 1 << 18},
                 {"number of layers", f->layers, 1, 1024},
                 {"number of heads", f->heads, 1, 4096},
                 {"number of key-value heads", f->kv_heads, 1, f->heads},
                 {"head size", f->head_dim, 2, CV_MOST_HEAD_DIM},
                 {"feed-forward size", f->ffn, 1, 1 << 20},
                 {"context", f->context, 1, 1 << 28},
                 {"sliding window", f->window, 0, 1 << 28},
                 {"number of rotated dimensions", f->rope_dims, 2, f->head_dim}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].least || sizes[i].value > sizes[i].most)
            return cv_fail(err, "%.200s: the %s is %d; it must be between %d and %d", what, sizes[i].name,
                           (int)sizes[i].value, (int)sizes[i].least, (int)sizes[i].most);
    if (f->heads % f->kv_heads != 0)
        return cv_fail(err, "%.200s: %d heads cannot share %d key-value heads", what, (int)f->heads, (int)f->kv_heads);
    if (f->rope_dims % 2 != 0) return cv_fail(err, "%.200s: %d rotated dimensions", what, (int)f->rope_dims);
    if (!(f->norm_eps >= 0.0 && f->norm_eps < 1.0))
        return cv_fail(err, "%.200s: the epsilon of the norms is %g", what, f->norm_eps);
    for (int32_t i = 0; i < f->rope_dims / 2; i++)
        if (!(f->rope[i] >= 0.0f && f->rope[i] <= 16.0f))
            return cv_fail(err, "%.200s: a rope frequency is %g", what, (double)f->rope[i]);
    return 0;
}

int cv_add_end(cv_facts *facts, int64_t id, const char *what, cv_error *err)
{
    if (id < 0 || id >= facts->vocab)
        return cv_fail(err, "%.200s: end token %.0f is not in the vocabulary of %d", what, (double)id,
                       (int)facts->vocab);
    for (int32_t i = 0; i < facts->n_end; i++)
        if (facts->end[i] == id) return 0;
    if (facts->n_end == CV_MOST_ENDS) return cv_fail(err, "%.200s: more than %d end tokens", what, CV_MOST_ENDS);
    facts->end[facts->n_end++] = (int32_t)id;
    return 0;
}

/* The power is taken in double and rounded once: libm's powf differs between machines, this does not. */
void cv_rope_frequencies(cv_facts *facts, double theta)
{
    double base = (double)(float)theta;
    for (int32_t i = 0; i < facts->rope_dims / 2; i++) {
        float exponent = (float)(2 * i) / (float)facts->rope_dims;
        float power = (float)pow(base, (double)exponent);
        facts->rope[i] = 1.0f / power;
    }
}

int cv_facts_write(const cv_facts *f, cv_meta *meta, cv_error *err)
{
    const struct {
        const char *key;
        int32_t value;
    } sizes[] = {{"vocab", f->vocab},       {"hidden", f->hidden},   {"layers", f->layers},
                 {"heads", f->heads},       {"kv_heads", f->kv_heads}, {"head_dim", f->head_dim},
                 {"ffn", f->ffn},           {"context", f->context}, {"window", f->window},
                 {"rope_dims", f->rope_dims}, {"tied", f->tied}};
    unsigned char ends[4 * CV_MOST_ENDS];
    if (cv_meta_text(meta, "architecture", f->architecture, strlen(f->architecture), err) < 0) return -1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (cv_meta_integer(meta, sizes[i].key, sizes[i].value, err) < 0) return -1;
    if (cv_meta_real(meta, "norm_eps", f->norm_eps, err) < 0) return -1;
    if (f->bos >= 0 && cv_meta_integer(meta, "bos_token", f->bos, err) < 0) return -1;
    for (int32_t i = 0; i < f->n_end; i++) cv_store_u32(ends + 4 * i, (uint32_t)f->end[i]);
    return f->n_end ? cv_meta_bytes(meta, "end_tokens", ends, 4 * (size_t)f->n_end, err) : 0;
}

/* ---- the plan ---- */

static void shape_of(const cv_facts *f, cv_part part, uint64_t *rows, uint64_t *cols)
{
    uint64_t hidden = (uint64_t)f->hidden, queries = (uint64_t)f->heads * (uint64_t)f->head_dim;
    uint64_t keys = (uint64_t)f->kv_heads * (uint64_t)f->head_dim;
    *rows = 1, *cols = hidden; /* the norms */
    switch (part) {
    case CV_EMBEDDING:
    case CV_OUTPUT: *rows = (uint64_t)f->vocab; break;
    case CV_QUERY: *rows = queries; break;
    case CV_KEY:
    case CV_VALUE: *rows = keys; break;
    case CV_ATTN_OUT: *rows = hidden, *cols = queries; break;
    case CV_GATE:
    case CV_UP: *rows = (uint64_t)f->ffn; break;
    case CV_DOWN: *rows = hidden, *cols = (uint64_t)f->ffn; break;
    default: break;
    }
}

static int find_part(cv_source *source, cv_part part, int32_t layer, cv_matrix *matrix, cv_error *err)
{
    uint64_t rows, cols;
    shape_of(&source->facts, part, &rows, &cols);
    if (source->find(source, part, layer, matrix, err) < 0) return -1;
    matrix->part = part;
    if (matrix->rows == rows && matrix->cols == cols) return 0;
    return cv_fail(err, "%s has the shape [%.0f][%.0f]; the sizes of the model demand [%.0f][%.0f]", matrix->name,
                   (double)matrix->rows, (double)matrix->cols, (double)rows, (double)cols);
}

static int plan_tensor(cv_plan *plan, cv_source *source, const row *r, int32_t layer, cv_error *err)
{
    cv_tensor *t = &plan->tensors[plan->n];
    cv_planned *p = &plan->planned[plan->n];
    if (r->where == IN_EACH_LAYER) snprintf(t->name, sizeof t->name, "%d.%s", (int)layer, r->name);
    else snprintf(t->name, sizeof t->name, "%s", r->name);
    t->type = r->type;
    for (; p->n < CV_MOST_STACKED && r->part[p->n] != CV_NO_PART; p->n++) {
        cv_matrix *m = &p->matrix[p->n];
        if (find_part(source, r->part[p->n], layer, m, err) < 0) return -1;
        t->rows += m->rows, t->cols = m->cols;
    }
    if (p->n == 0) t->rows = 1, t->cols = (uint64_t)source->facts.rope_dims / 2;
    if (p->n > 0) plan->weights += t->rows * t->cols;
    plan->n++;
    return 0;
}

static int plan_place(cv_plan *plan, cv_source *source, const row *rows, size_t n, place where, int32_t layer,
                      cv_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].where == where && plan_tensor(plan, source, &rows[i], layer, err) < 0) return -1;
    return 0;
}

static int plan_all(cv_plan *plan, cv_source *source, const row *rows, size_t n, cv_error *err)
{
    if (plan_place(plan, source, rows, n, BEFORE_LAYERS, 0, err) < 0) return -1;
    for (int32_t layer = 0; layer < source->facts.layers; layer++)
        if (plan_place(plan, source, rows, n, IN_EACH_LAYER, layer, err) < 0) return -1;
    if (plan_place(plan, source, rows, n, AFTER_LAYERS, 0, err) < 0) return -1;
    if (!source->facts.tied && plan_place(plan, source, rows, n, AFTER_UNLESS_TIED, 0, err) < 0) return -1;
    return source->check_rest ? source->check_rest(source, err) : 0;
}

int cv_plan_make(cv_plan *plan, cv_source *source, int float_weights, cv_error *err)
{
    size_t a = 0, n_architectures = sizeof architectures / sizeof *architectures;
    memset(plan, 0, sizeof *plan);
    while (a < n_architectures && strcmp(architectures[a].name, source->facts.architecture) != 0) a++;
    if (a == n_architectures) return cv_fail(err, "architecture %s is not known", source->facts.architecture);
    size_t most = architectures[a].n * (size_t)source->facts.layers;
    plan->tensors = cv_alloc(most, sizeof *plan->tensors, err);
    plan->planned = plan->tensors ? cv_alloc(most, sizeof *plan->planned, err) : NULL;
    if (!plan->planned || plan_all(plan, source, architectures[a].rows, architectures[a].n, err) < 0) {
        cv_plan_free(plan);
        return -1;
    }
    for (uint32_t i = 0; float_weights && i < plan->n; i++)
        if (plan->tensors[i].type == CV_Q8) plan->tensors[i].type = CV_F32_MATRIX;
    return 0;
}

void cv_plan_free(cv_plan *plan)
{
    free(plan->tensors);
    free(plan->planned);
    memset(plan, 0, sizeof *plan);
}
