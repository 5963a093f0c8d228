/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * plan.c - see plan.h; the tensors and metadata are those of [CH09] in harp_impl.c */
#include "plan.h"
#include "../ground/bytes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the tensors of a file ---- */

typedef enum place { BEFORE_LAYERS, IN_EACH_LAYER, AFTER_LAYERS } place;

/* What must be so for a tensor to be there. */
typedef enum condition {
    ALWAYS,
    IF_POSITIONS,
    IF_ROPE,
    IF_LONG,
    IF_LOCAL,
    IF_BEFORE, /* norms before attention and feed-forward */
    IF_BEFORE_BIASED,
    IF_OWN_FFN_NORM,
    IF_OWN_FFN_NORM_BIASED,
    IF_AFTER,
    IF_QKV_BIAS,
    IF_QK_NORM,
    IF_OUT_BIAS,
    IF_GATED,
    IF_PLAIN,
    IF_GATED_BIASED,
    IF_PLAIN_BIASED,
    IF_FFN_BIAS,
    IF_NORM_BIAS,
    IF_UNTIED,
    IF_OUTPUT_BIAS
} condition;

typedef struct row { /* one tensor of the file */
    place where;
    condition when;
    const char *name;
    uint32_t type;
    cv_part part[CV_MOST_STACKED]; /* CV_NO_PART after the last; none: a rope table */
} row;

static const row rows[] = {{BEFORE_LAYERS, ALWAYS, "embedding", CV_Q8, {CV_EMBEDDING}},
                           {BEFORE_LAYERS, IF_POSITIONS, "position_embedding", CV_Q8, {CV_POSITION}},
                           {BEFORE_LAYERS, IF_ROPE, "rope_frequencies", CV_F32, {CV_NO_PART}},
                           {BEFORE_LAYERS, IF_LONG, "rope_long", CV_F32, {CV_NO_PART}},
                           {BEFORE_LAYERS, IF_LOCAL, "rope_local", CV_F32, {CV_NO_PART}},
                           {IN_EACH_LAYER, IF_BEFORE, "attn_norm", CV_F32, {CV_ATTN_NORM}},
                           {IN_EACH_LAYER, IF_BEFORE_BIASED, "attn_norm_bias", CV_F32, {CV_ATTN_NORM_BIAS}},
                           {IN_EACH_LAYER, ALWAYS, "qkv", CV_Q8, {CV_QUERY, CV_KEY, CV_VALUE}},
                           {IN_EACH_LAYER, IF_QKV_BIAS, "qkv_bias", CV_F32,
                            {CV_QUERY_BIAS, CV_KEY_BIAS, CV_VALUE_BIAS}},
                           {IN_EACH_LAYER, IF_QK_NORM, "q_norm", CV_F32, {CV_QUERY_NORM}},
                           {IN_EACH_LAYER, IF_QK_NORM, "k_norm", CV_F32, {CV_KEY_NORM}},
                           {IN_EACH_LAYER, ALWAYS, "attn_out", CV_Q8, {CV_ATTN_OUT}},
                           {IN_EACH_LAYER, IF_OUT_BIAS, "attn_out_bias", CV_F32, {CV_ATTN_OUT_BIAS}},
                           {IN_EACH_LAYER, IF_AFTER, "attn_post_norm", CV_F32, {CV_ATTN_POST_NORM}},
                           {IN_EACH_LAYER, IF_OWN_FFN_NORM, "ffn_norm", CV_F32, {CV_FFN_NORM}},
                           {IN_EACH_LAYER, IF_OWN_FFN_NORM_BIASED, "ffn_norm_bias", CV_F32, {CV_FFN_NORM_BIAS}},
                           {IN_EACH_LAYER, IF_GATED, "gate_up", CV_Q8, {CV_GATE, CV_UP}},
                           {IN_EACH_LAYER, IF_PLAIN, "gate_up", CV_Q8, {CV_UP}},
                           {IN_EACH_LAYER, IF_GATED_BIASED, "gate_up_bias", CV_F32, {CV_GATE_BIAS, CV_UP_BIAS}},
                           {IN_EACH_LAYER, IF_PLAIN_BIASED, "gate_up_bias", CV_F32, {CV_UP_BIAS}},
                           {IN_EACH_LAYER, ALWAYS, "down", CV_Q8, {CV_DOWN}},
                           {IN_EACH_LAYER, IF_FFN_BIAS, "down_bias", CV_F32, {CV_DOWN_BIAS}},
                           {IN_EACH_LAYER, IF_AFTER, "ffn_post_norm", CV_F32, {CV_FFN_POST_NORM}},
                           {AFTER_LAYERS, ALWAYS, "final_norm", CV_F32, {CV_FINAL_NORM}},
                           {AFTER_LAYERS, IF_NORM_BIAS, "final_norm_bias", CV_F32, {CV_FINAL_NORM_BIAS}},
                           {AFTER_LAYERS, IF_UNTIED, "output", CV_Q8, {CV_OUTPUT}},
                           {AFTER_LAYERS, IF_OUTPUT_BIAS, "output_bias", CV_F32, {CV_OUTPUT_BIAS}}};
enum { N_ROWS = sizeof rows / sizeof *rows };

static int is(const char *word, const char *value)
{
    return word && strcmp(word, value) == 0;
}

static int holds(const cv_facts *f, condition when)
{
    int before = !is(f->norm_place, "after"), own = before && !is(f->residual, "parallel_shared");
    int plain = is(f->ffn_kind, "plain"), norm_bias = (f->biases & CV_BIAS_NORM) != 0;
    int ffn_bias = (f->biases & CV_BIAS_FFN) != 0;
    switch (when) {
    case ALWAYS: return 1;
    case IF_POSITIONS: return f->has_positions;
    case IF_ROPE: return f->rope_dims > 0;
    case IF_LONG: return f->rope_original > 0;
    case IF_LOCAL: return f->has_local_layers;
    case IF_BEFORE: return before;
    case IF_BEFORE_BIASED: return before && norm_bias;
    case IF_OWN_FFN_NORM: return own;
    case IF_OWN_FFN_NORM_BIASED: return own && norm_bias;
    case IF_AFTER: return is(f->norm_place, "after") || is(f->norm_place, "around");
    case IF_QKV_BIAS: return (f->biases & CV_BIAS_QKV) != 0;
    case IF_QK_NORM: return is(f->qk_norm, "head") || is(f->qk_norm, "all");
    case IF_OUT_BIAS: return (f->biases & CV_BIAS_ATTN_OUT) != 0;
    case IF_GATED: return !plain;
    case IF_PLAIN: return plain;
    case IF_GATED_BIASED: return !plain && ffn_bias;
    case IF_PLAIN_BIASED: return plain && ffn_bias;
    case IF_FFN_BIAS: return ffn_bias;
    case IF_NORM_BIAS: return norm_bias;
    case IF_UNTIED: return !f->tied;
    case IF_OUTPUT_BIAS: return (f->biases & CV_BIAS_OUTPUT) != 0;
    }
    return 0;
}

/* ---- facts -> metadata ---- */

/* What is not as in a Llama model. */
static int write_recipe(const cv_facts *f, cv_meta *meta, cv_error *err)
{
    const struct {
        const char *key, *word;
    } words[] = {{"norm", f->norm},         {"norm_place", f->norm_place}, {"residual", f->residual},
                 {"activation", f->activation}, {"ffn_kind", f->ffn_kind}, {"qk_norm", f->qk_norm}};
    const struct {
        const char *key;
        double value;
    } factors[] = {{"attention_scale", f->attention_scale}, {"attention_cap", f->attention_cap},
                   {"logit_cap", f->logit_cap},             {"embedding_scale", f->embedding_scale},
                   {"rope_scale", f->rope_scale}};
    size_t layers = (size_t)f->layers;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].word && cv_meta_text(meta, words[i].key, words[i].word, strlen(words[i].word), err) < 0) return -1;
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (factors[i].value != 0.0 && cv_meta_real(meta, factors[i].key, factors[i].value, err) < 0) return -1;
    if (f->rope_original && cv_meta_integer(meta, "rope_original", f->rope_original, err) < 0) return -1;
    if (f->has_window_layers && cv_meta_bytes(meta, "window_layers", f->window_layers, layers, err) < 0) return -1;
    return f->has_local_layers ? cv_meta_bytes(meta, "local_layers", f->local_layers, layers, err) : 0;
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
    if (cv_meta_real(meta, "norm_eps", f->norm_eps, err) < 0 || write_recipe(f, meta, err) < 0) return -1;
    if (f->bos >= 0 && cv_meta_integer(meta, "bos_token", f->bos, err) < 0) return -1;
    for (int32_t i = 0; i < f->n_end; i++) cv_store_u32(ends + 4 * i, (uint32_t)f->end[i]);
    return f->n_end ? cv_meta_bytes(meta, "end_tokens", ends, 4 * (size_t)f->n_end, err) : 0;
}

/* ---- the plan ---- */

static int find_part(cv_source *source, cv_part part, int32_t layer, cv_matrix *matrix, cv_error *err)
{
    uint64_t n_rows, cols;
    cv_shape_of(&source->facts, part, &n_rows, &cols);
    if (source->find(source, part, layer, matrix, err) < 0) return -1;
    matrix->part = part;
    if (matrix->rows == n_rows && matrix->cols == cols) return 0;
    return cv_fail(err, "%s has the shape [%.0f][%.0f]; the sizes of the model demand [%.0f][%.0f]", matrix->name,
                   (double)matrix->rows, (double)matrix->cols, (double)n_rows, (double)cols);
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
        if (r->type == CV_F32) t->rows = 1, t->cols += m->cols;
        else t->rows += m->rows, t->cols = m->cols;
    }
    if (p->n == 0) {
        t->rows = 1, t->cols = (uint64_t)source->facts.rope_dims / 2;
        p->table = r->when == IF_LONG    ? source->facts.rope_long
                   : r->when == IF_LOCAL ? source->facts.rope_local
                                         : source->facts.rope;
    }
    if (p->n > 0) plan->weights += t->rows * t->cols;
    plan->n++;
    return 0;
}

static int plan_place(cv_plan *plan, cv_source *source, place where, int32_t layer, cv_error *err)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].where == where && holds(&source->facts, rows[i].when)
            && plan_tensor(plan, source, &rows[i], layer, err) < 0)
            return -1;
    return 0;
}

static int plan_all(cv_plan *plan, cv_source *source, cv_error *err)
{
    if (plan_place(plan, source, BEFORE_LAYERS, 0, err) < 0) return -1;
    for (int32_t layer = 0; layer < source->facts.layers; layer++)
        if (plan_place(plan, source, IN_EACH_LAYER, layer, err) < 0) return -1;
    if (plan_place(plan, source, AFTER_LAYERS, 0, err) < 0) return -1;
    return source->check_rest ? source->check_rest(source, err) : 0;
}

int cv_plan_make(cv_plan *plan, cv_source *source, int float_weights, cv_error *err)
{
    size_t most = N_ROWS * (size_t)source->facts.layers;
    memset(plan, 0, sizeof *plan);
    plan->tensors = cv_alloc(most, sizeof *plan->tensors, err);
    plan->planned = plan->tensors ? cv_alloc(most, sizeof *plan->planned, err) : NULL;
    if (!plan->planned || plan_all(plan, source, err) < 0) {
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
