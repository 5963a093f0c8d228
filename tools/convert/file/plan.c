/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * plan.c - see plan.h; the tensors and metadata are those of [CH10] and [CH11] in harp_impl.c */
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
    IF_K_NORM,
    IF_V_NORM,
    IF_OUT_BIAS,
    IF_GATED,
    IF_PLAIN,
    IF_DENSE,
    IF_EXPERTS,
    IF_EXPERTS_GATED,
    IF_EXPERTS_PLAIN,
    IF_EXPERTS_BIASED,
    IF_SINKS,
    IF_HEADS, /* attention, to ... */
    IF_OWN_KEYS,
    IF_BORROWED_KEYS,
    IF_LAYER_INPUTS,
    IF_LAYER_SCALE,
    IF_CONV,
    IF_DELTA,
    IF_QUERY_GATES,
    IF_LONE_EXPERTS, /* without one to which all tokens go, or ... */
    IF_SHARED_EXPERT,
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
    cv_part part[CV_MOST_STACKED]; /* CV_NO_PART after the last; none: a table of the facts, or ones */
} row;

static const row rows[] = {{BEFORE_LAYERS, ALWAYS, "embedding", CV_Q8, {CV_EMBEDDING}},
                           {BEFORE_LAYERS, IF_POSITIONS, "position_embedding", CV_Q8, {CV_POSITION}},
                           {BEFORE_LAYERS, IF_ROPE, "rope_frequencies", CV_F32, {CV_NO_PART}},
                           {BEFORE_LAYERS, IF_LONG, "rope_long", CV_F32, {CV_NO_PART}},
                           {BEFORE_LAYERS, IF_LOCAL, "rope_local", CV_F32, {CV_NO_PART}},
                           {BEFORE_LAYERS, IF_LAYER_INPUTS, "layer_embedding", CV_Q8, {CV_LAYER_EMBEDDING}},
                           {BEFORE_LAYERS, IF_LAYER_INPUTS, "layer_input_norm", CV_F32, {CV_LAYER_INPUT_NORM}},
                           {IN_EACH_LAYER, IF_BEFORE, "attn_norm", CV_F32, {CV_ATTN_NORM}},
                           {IN_EACH_LAYER, IF_BEFORE_BIASED, "attn_norm_bias", CV_F32, {CV_ATTN_NORM_BIAS}},
                           {IN_EACH_LAYER, IF_CONV, "qkv", CV_Q8, {CV_CONV_IN}},
                           {IN_EACH_LAYER, IF_CONV, "conv", CV_F32, {CV_CONV}},
                           {IN_EACH_LAYER, IF_CONV, "attn_out", CV_Q8, {CV_CONV_OUT}},
                           {IN_EACH_LAYER, IF_DELTA, "qkv", CV_Q8, {CV_DELTA_QUERY, CV_DELTA_KEY, CV_DELTA_VALUE}},
                           {IN_EACH_LAYER, IF_DELTA, "attn_gate", CV_Q8, {CV_DELTA_GATE}},
                           {IN_EACH_LAYER, IF_DELTA, "delta_gates", CV_F32_MATRIX, {CV_DELTA_B, CV_DELTA_A}},
                           {IN_EACH_LAYER, IF_DELTA, "conv", CV_F32, {CV_DELTA_CONV}},
                           {IN_EACH_LAYER, IF_DELTA, "delta_log_rate", CV_F32, {CV_DELTA_LOG_RATE}},
                           {IN_EACH_LAYER, IF_DELTA, "delta_bias", CV_F32, {CV_DELTA_BIAS}},
                           {IN_EACH_LAYER, IF_DELTA, "delta_norm", CV_F32, {CV_DELTA_NORM}},
                           {IN_EACH_LAYER, IF_DELTA, "attn_out", CV_Q8, {CV_DELTA_OUT}},
                           {IN_EACH_LAYER, IF_OWN_KEYS, "qkv", CV_Q8, {CV_QUERY, CV_KEY, CV_VALUE}},
                           {IN_EACH_LAYER, IF_BORROWED_KEYS, "qkv", CV_Q8, {CV_QUERY}},
                           {IN_EACH_LAYER, IF_QKV_BIAS, "qkv_bias", CV_F32,
                            {CV_QUERY_BIAS, CV_KEY_BIAS, CV_VALUE_BIAS}},
                           {IN_EACH_LAYER, IF_QUERY_GATES, "attn_gate", CV_Q8, {CV_ATTN_GATE}},
                           {IN_EACH_LAYER, IF_QK_NORM, "q_norm", CV_F32, {CV_QUERY_NORM}},
                           {IN_EACH_LAYER, IF_K_NORM, "k_norm", CV_F32, {CV_KEY_NORM}},
                           {IN_EACH_LAYER, IF_V_NORM, "v_norm", CV_F32, {CV_NO_PART}},
                           {IN_EACH_LAYER, IF_SINKS, "sinks", CV_F32, {CV_SINKS}},
                           {IN_EACH_LAYER, IF_HEADS, "attn_out", CV_Q8, {CV_ATTN_OUT}},
                           {IN_EACH_LAYER, IF_OUT_BIAS, "attn_out_bias", CV_F32, {CV_ATTN_OUT_BIAS}},
                           {IN_EACH_LAYER, IF_AFTER, "attn_post_norm", CV_F32, {CV_ATTN_POST_NORM}},
                           {IN_EACH_LAYER, IF_OWN_FFN_NORM, "ffn_norm", CV_F32, {CV_FFN_NORM}},
                           {IN_EACH_LAYER, IF_OWN_FFN_NORM_BIASED, "ffn_norm_bias", CV_F32, {CV_FFN_NORM_BIAS}},
                           {IN_EACH_LAYER, IF_GATED, "gate_up", CV_Q8, {CV_GATE, CV_UP}},
                           {IN_EACH_LAYER, IF_PLAIN, "gate_up", CV_Q8, {CV_UP}},
                           {IN_EACH_LAYER, IF_GATED_BIASED, "gate_up_bias", CV_F32, {CV_GATE_BIAS, CV_UP_BIAS}},
                           {IN_EACH_LAYER, IF_PLAIN_BIASED, "gate_up_bias", CV_F32, {CV_UP_BIAS}},
                           {IN_EACH_LAYER, IF_DENSE, "down", CV_Q8, {CV_DOWN}},
                           {IN_EACH_LAYER, IF_FFN_BIAS, "down_bias", CV_F32, {CV_DOWN_BIAS}},
                           {IN_EACH_LAYER, IF_LONE_EXPERTS, "router", CV_F32_MATRIX, {CV_ROUTER}},
                           {IN_EACH_LAYER, IF_SHARED_EXPERT, "router", CV_F32_MATRIX, {CV_ROUTER, CV_SHARED_ROUTER}},
                           {IN_EACH_LAYER, IF_EXPERTS_BIASED, "router_bias", CV_F32, {CV_ROUTER_BIAS}},
                           {IN_EACH_LAYER, IF_EXPERTS_GATED, "gate_up", CV_Q8, {CV_EXPERT_GATE, CV_EXPERT_UP}},
                           {IN_EACH_LAYER, IF_EXPERTS_PLAIN, "gate_up", CV_Q8, {CV_EXPERT_UP}},
                           {IN_EACH_LAYER, IF_EXPERTS_BIASED, "gate_up_bias", CV_F32,
                            {CV_EXPERT_GATE_BIAS, CV_EXPERT_UP_BIAS}},
                           {IN_EACH_LAYER, IF_EXPERTS, "down", CV_Q8, {CV_EXPERT_DOWN}},
                           {IN_EACH_LAYER, IF_EXPERTS_BIASED, "down_bias", CV_F32, {CV_EXPERT_DOWN_BIAS}},
                           {IN_EACH_LAYER, IF_SHARED_EXPERT, "shared_gate_up", CV_Q8, {CV_SHARED_GATE, CV_SHARED_UP}},
                           {IN_EACH_LAYER, IF_SHARED_EXPERT, "shared_down", CV_Q8, {CV_SHARED_DOWN}},
                           {IN_EACH_LAYER, IF_AFTER, "ffn_post_norm", CV_F32, {CV_FFN_POST_NORM}},
                           {IN_EACH_LAYER, IF_LAYER_INPUTS, "layer_input", CV_Q8, {CV_LAYER_INPUT}},
                           {IN_EACH_LAYER, IF_LAYER_INPUTS, "layer_gate", CV_Q8, {CV_LAYER_GATE}},
                           {IN_EACH_LAYER, IF_LAYER_INPUTS, "layer_out", CV_Q8, {CV_LAYER_OUT}},
                           {IN_EACH_LAYER, IF_LAYER_INPUTS, "layer_post_norm", CV_F32, {CV_LAYER_POST_NORM}},
                           {IN_EACH_LAYER, IF_LAYER_SCALE, "layer_scale", CV_F32, {CV_LAYER_SCALE}},
                           {AFTER_LAYERS, ALWAYS, "final_norm", CV_F32, {CV_FINAL_NORM}},
                           {AFTER_LAYERS, IF_NORM_BIAS, "final_norm_bias", CV_F32, {CV_FINAL_NORM_BIAS}},
                           {AFTER_LAYERS, IF_UNTIED, "output", CV_Q8, {CV_OUTPUT}},
                           {AFTER_LAYERS, IF_OUTPUT_BIAS, "output_bias", CV_F32, {CV_OUTPUT_BIAS}}};
enum { N_ROWS = sizeof rows / sizeof *rows };

static int is(const char *word, const char *value)
{
    return word && strcmp(word, value) == 0;
}

static int holds(const cv_facts *f, condition when, int32_t layer)
{
    int before = !is(f->norm_place, "after"), own = before && !is(f->residual, "parallel_shared");
    int conv = f->conv_taps > 0 && f->conv_layers[layer], shared = f->has_shared_layers && f->shared_layers[layer];
    int delta = f->delta_heads > 0 && f->delta_layers[layer], attends = !conv && !delta;
    int plain = is(f->ffn_kind, "plain"), norm_bias = (f->biases & CV_BIAS_NORM) != 0;
    int experts = cv_has_experts(f, layer), ffn_bias = (f->biases & CV_BIAS_FFN) != 0 && !experts;
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
    case IF_QKV_BIAS: return attends && (f->biases & CV_BIAS_QKV) != 0;
    case IF_QK_NORM: return attends && (is(f->qk_norm, "head") || is(f->qk_norm, "all"));
    case IF_K_NORM: return !shared && holds(f, IF_QK_NORM, layer);
    case IF_V_NORM: return attends && !shared && f->has_value_norms;
    case IF_OWN_KEYS: return attends && !shared;
    case IF_BORROWED_KEYS: return attends && shared;
    case IF_LAYER_INPUTS: return f->layer_inputs > 0;
    case IF_LAYER_SCALE: return f->has_layer_scales;
    case IF_OUT_BIAS: return attends && (f->biases & CV_BIAS_ATTN_OUT) != 0;
    case IF_GATED: return !plain && !experts;
    case IF_PLAIN: return plain && !experts;
    case IF_DENSE: return !experts;
    case IF_EXPERTS: return experts;
    case IF_EXPERTS_GATED: return experts && !plain;
    case IF_EXPERTS_PLAIN: return experts && plain;
    case IF_EXPERTS_BIASED: return experts && (f->biases & CV_BIAS_EXPERTS) != 0; /* then gated */
    case IF_SINKS: return attends && f->has_sinks;
    case IF_HEADS: return attends;
    case IF_CONV: return conv;
    case IF_DELTA: return delta;
    case IF_QUERY_GATES: return attends && f->has_query_gates;
    case IF_LONE_EXPERTS: return experts && f->shared_ffn == 0;
    case IF_SHARED_EXPERT: return experts && f->shared_ffn > 0; /* then gated */
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

static int write_experts(const cv_facts *f, cv_meta *meta, cv_error *err)
{
    if (cv_meta_integer(meta, "experts", f->experts, err) < 0
        || cv_meta_integer(meta, "experts_used", f->experts_used, err) < 0
        || cv_meta_integer(meta, "expert_ffn", f->expert_ffn, err) < 0
        || (f->shared_ffn && cv_meta_integer(meta, "shared_ffn", f->shared_ffn, err) < 0))
        return -1;
    return f->has_expert_layers ? cv_meta_bytes(meta, "expert_layers", f->expert_layers, (size_t)f->layers, err) : 0;
}

/* What differs among the layers. */
static int write_layers(const cv_facts *f, cv_meta *meta, cv_error *err)
{
    size_t layers = (size_t)f->layers;
    if ((f->local_head_dim && cv_meta_integer(meta, "local_head_dim", f->local_head_dim, err) < 0)
        || (f->has_shared_layers && cv_meta_bytes(meta, "shared_layers", f->shared_layers, layers, err) < 0)
        || (f->narrow_ffn && (cv_meta_integer(meta, "narrow_ffn", f->narrow_ffn, err) < 0
                              || cv_meta_bytes(meta, "narrow_layers", f->narrow_layers, layers, err) < 0))
        || (f->layer_inputs && cv_meta_integer(meta, "layer_inputs", f->layer_inputs, err) < 0))
        return -1;
    return 0;
}

/* What stands in the place of attention. */
static int write_convolutions(const cv_facts *f, cv_meta *meta, cv_error *err)
{
    size_t layers = (size_t)f->layers;
    if (cv_meta_integer(meta, "conv_taps", f->conv_taps, err) < 0) return -1;
    if (f->delta_heads == 0) return cv_meta_bytes(meta, "conv_layers", f->conv_layers, layers, err);
    if (cv_meta_integer(meta, "delta_heads", f->delta_heads, err) < 0
        || cv_meta_integer(meta, "delta_key_heads", f->delta_key_heads, err) < 0
        || cv_meta_integer(meta, "delta_key_dim", f->delta_key_dim, err) < 0
        || cv_meta_integer(meta, "delta_value_dim", f->delta_value_dim, err) < 0)
        return -1;
    return cv_meta_bytes(meta, "delta_layers", f->delta_layers, layers, err);
}

/* What is not as in a Llama model. */
static int write_recipe(const cv_facts *f, cv_meta *meta, cv_error *err)
{
    const struct {
        const char *key, *word;
    } words[] = {{"norm", f->norm},         {"norm_place", f->norm_place}, {"residual", f->residual},
                 {"activation", f->activation}, {"ffn_kind", f->ffn_kind}, {"qk_norm", f->qk_norm},
                 {"routing", f->routing}};
    const struct {
        const char *key;
        double value;
    } factors[] = {{"attention_scale", f->attention_scale}, {"attention_cap", f->attention_cap},
                   {"logit_cap", f->logit_cap},             {"embedding_scale", f->embedding_scale},
                   {"rope_scale", f->rope_scale},           {"attention_growth", f->attention_growth},
                   {"layer_input_scale", f->layer_input_scale}};
    size_t layers = (size_t)f->layers;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].word && cv_meta_text(meta, words[i].key, words[i].word, strlen(words[i].word), err) < 0) return -1;
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (factors[i].value != 0.0 && cv_meta_real(meta, factors[i].key, factors[i].value, err) < 0) return -1;
    if (f->attention_growth != 0.0 && cv_meta_integer(meta, "attention_step", f->attention_step, err) < 0) return -1;
    if (f->rope_original && cv_meta_integer(meta, "rope_original", f->rope_original, err) < 0) return -1;
    if ((f->experts && write_experts(f, meta, err) < 0) || write_layers(f, meta, err) < 0) return -1;
    if (f->conv_taps && write_convolutions(f, meta, err) < 0) return -1;
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

static int find_part(cv_source *source, cv_part part, int32_t layer, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    uint64_t n_rows, cols;
    cv_shape_of(&source->facts, part, layer, &n_rows, &cols);
    if (source->find(source, part, layer, expert, matrix, err) < 0) return -1;
    matrix->part = part;
    if (matrix->rows == n_rows && matrix->cols == cols) return 0;
    return cv_fail(err, "%s has the shape [%.0f][%.0f]; the sizes of the model demand [%.0f][%.0f]", matrix->name,
                   (double)matrix->rows, (double)matrix->cols, (double)n_rows, (double)cols);
}

/* What does not come from the source's tensors. */
static void plan_table(cv_tensor *t, cv_planned *p, const cv_facts *f, condition when, int32_t layer)
{
    int32_t local = f->local_head_dim ? f->local_head_dim : f->rope_dims;
    t->rows = 1, t->cols = (uint64_t)(when == IF_LOCAL ? local : f->rope_dims) / 2;
    p->table = when == IF_LONG ? f->rope_long : when == IF_LOCAL ? f->rope_local : f->rope;
    if (when == IF_V_NORM) t->cols = (uint64_t)cv_head_dim(f, layer), p->table = NULL;
}

static int plan_tensor(cv_plan *plan, cv_source *source, const row *r, int32_t layer, cv_error *err)
{
    cv_tensor *t = &plan->tensors[plan->n];
    cv_planned *p = &plan->planned[plan->n];
    int parts = 0;
    p->experts = 1;
    if (r->where == IN_EACH_LAYER) snprintf(t->name, sizeof t->name, "%d.%s", (int)layer, r->name);
    else snprintf(t->name, sizeof t->name, "%s", r->name);
    t->type = r->type;
    while (parts < CV_MOST_STACKED && r->part[parts] != CV_NO_PART) parts++;
    if (cv_is_experts(r->part[0])) p->experts = source->facts.experts;
    if (parts > 0 && (p->matrix = cv_alloc((size_t)(parts * p->experts), sizeof *p->matrix, err)) == NULL) return -1;
    for (; parts > 0 && p->n < parts * p->experts; p->n++) {
        cv_matrix *m = &p->matrix[p->n];
        if (find_part(source, r->part[p->n % parts], layer, p->n / parts, m, err) < 0) return -1;
        if (r->type == CV_F32) t->rows = 1, t->cols += m->cols;
        else t->rows += m->rows, t->cols = m->cols;
    }
    if (p->n == 0) plan_table(t, p, &source->facts, r->when, layer);
    if (p->n > 0) plan->weights += t->rows * t->cols;
    plan->n++;
    return 0;
}

static int plan_place(cv_plan *plan, cv_source *source, place where, int32_t layer, cv_error *err)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].where == where && holds(&source->facts, rows[i].when, layer)
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

/* ---- how many bits ---- */

/* The word of `keep` at p, of n bytes, is a tensor's name or, in each layer, its part. */
static int names_tensor(const char *p, size_t n, const cv_tensor *t)
{
    const char *dot = strchr(t->name, '.');
    return (strlen(t->name) == n && memcmp(t->name, p, n) == 0)
           || (dot && strlen(dot + 1) == n && memcmp(dot + 1, p, n) == 0);
}

static int is_kept(const char *keep, const cv_tensor *t)
{
    for (size_t n; keep && *keep; keep += n + (keep[n] == '|')) {
        n = strcspn(keep, "|");
        if (names_tensor(keep, n, t)) return 1;
    }
    return 0;
}

static int check_keep(const cv_plan *plan, const char *keep, cv_error *err)
{
    for (size_t n; keep && *keep; keep += n + (keep[n] == '|')) {
        uint32_t i = 0;
        n = strcspn(keep, "|");
        while (i < plan->n && !(plan->tensors[i].type == CV_Q8 && names_tensor(keep, n, &plan->tensors[i]))) i++;
        if (i == plan->n)
            return cv_fail(err, "--keep: the model has no matrix \"%.*s\"; qkv, attn_out, gate_up and down are those "
                                "of each layer, 0.qkv is one", (int)(n < 80 ? n : 80), keep);
    }
    return 0;
}

/* The values that all matrices of a tensor have in common, NULL if they have not. */
static const int8_t *common_values(const cv_planned *p)
{
    for (int i = 0; i < p->n; i++)
        if (!p->matrix[i].values || memcmp(p->matrix[i].values, p->matrix[0].values, 16) != 0) return NULL;
    return p->matrix[0].values;
}

static const char *coarse_type(const cv_planned *p)
{
    for (int i = 0; i < p->n; i++)
        if (p->matrix[i].coarse || p->matrix[i].values) return p->matrix[i].coarse ? p->matrix[i].coarse : "another";
    return NULL;
}

/* Four bits of a coarse type's weights would be a second loss after the first. */
static void choose_four(cv_plan *plan, cv_tensor *t, cv_planned *p, int bits)
{
    const char *coarse = coarse_type(p);
    p->values = common_values(p);
    if (p->values || (bits == 4 && !coarse)) t->type = CV_NIBBLES;
    if (p->values || bits != 4 || !coarse) return;
    if (plan->coarse++ == 0) plan->coarse_type = coarse;
}

static int choose_types(cv_plan *plan, const cv_storage *storage, cv_error *err)
{
    if (check_keep(plan, storage->keep, err) < 0) return -1;
    for (uint32_t i = 0; i < plan->n; i++) {
        cv_tensor *t = &plan->tensors[i];
        if (t->type != CV_Q8) continue;
        if (storage->bits == 32) t->type = CV_F32_MATRIX;
        else if (storage->bits != 8 && strchr(t->name, '.') && !is_kept(storage->keep, t))
            choose_four(plan, t, &plan->planned[i], storage->bits);
    }
    return 0;
}

int cv_plan_make(cv_plan *plan, cv_source *source, const cv_storage *storage, cv_error *err)
{
    size_t most = N_ROWS * (size_t)source->facts.layers;
    memset(plan, 0, sizeof *plan);
    plan->most = most;
    plan->tensors = cv_alloc(most, sizeof *plan->tensors, err);
    plan->planned = plan->tensors ? cv_alloc(most, sizeof *plan->planned, err) : NULL;
    if (plan->planned && plan_all(plan, source, err) == 0 && choose_types(plan, storage, err) == 0) return 0;
    cv_plan_free(plan);
    return -1;
}

void cv_plan_free(cv_plan *plan)
{
    for (size_t i = 0; plan->planned && i < plan->most; i++) free(plan->planned[i].matrix);
    free(plan->tensors);
    free(plan->planned);
    free(plan->importance);
    memset(plan, 0, sizeof *plan);
}
