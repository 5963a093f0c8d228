/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * facts.c - see facts.h */
#include "facts.h"

#include <string.h>

static int check_rope(const float *table, int32_t dims, const char *what, cv_error *err)
{
    for (int32_t i = 0; i < dims / 2; i++)
        if (!(table[i] >= 0.0f && table[i] <= 16.0f))
            return cv_fail(err, "%.200s: a rope frequency is %g", what, (double)table[i]);
    return 0;
}

static int check_factors(const cv_facts *f, const char *what, cv_error *err)
{
    const struct {
        const char *name;
        double value;
    } factors[] = {{"attention scale", f->attention_scale}, {"attention cap", f->attention_cap},
                   {"logit cap", f->logit_cap},             {"embedding scale", f->embedding_scale},
                   {"rope scale", f->rope_scale},           {"divisor of the logits", f->logit_divisor},
                   {"growth of scores", f->attention_growth}, {"scale of layer inputs", f->layer_input_scale}};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (factors[i].value != 0.0 && !(factors[i].value >= 1e-6 && factors[i].value <= 1e6))
            return cv_fail(err, "%.200s: the %s is %g", what, factors[i].name, factors[i].value);
    return 0;
}

int cv_check_sizes(const cv_facts *f, const char *what, cv_error *err)
{
    const struct {
        const char *name;
        int32_t value, least, most;
    } sizes[] = {{"vocabulary", f->vocab, 1, 1 << 24},
                 {"hidden size", f->hidden, 1, 1 << 18},
                 {"number of layers", f->layers, 1, CV_MOST_LAYERS},
                 {"number of heads", f->heads, 1, 4096},
                 {"number of key-value heads", f->kv_heads, 1, f->heads},
                 {"head size", f->head_dim, 2, CV_MOST_HEAD_DIM},
                 {"feed-forward size", f->ffn, 1, 1 << 20},
                 {"context", f->context, 1, 1 << 28},
                 {"sliding window", f->window, 0, 1 << 28},
                 {"number of rotated dimensions", f->rope_dims, 0, f->head_dim}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].least || sizes[i].value > sizes[i].most)
            return cv_fail(err, "%.200s: the %s is %d; it must be between %d and %d", what, sizes[i].name,
                           (int)sizes[i].value, (int)sizes[i].least, (int)sizes[i].most);
    return 0;
}

static int check_experts(const cv_facts *f, const char *what, cv_error *err)
{
    int64_t inner = f->ffn_kind ? f->expert_ffn : 2 * (int64_t)f->expert_ffn;
    if (f->experts == 0) return 0;
    if (f->experts < 0 || f->experts > CV_MOST_EXPERTS / f->layers)
        return cv_fail(err, "%.200s: %d experts in each of %d layers are more than %d", what, (int)f->experts,
                       (int)f->layers, CV_MOST_EXPERTS);
    if (f->experts_used < 1 || f->experts_used > f->experts || f->experts_used > 64)
        return cv_fail(err, "%.200s: %d experts are used for a token; it must be between 1 and %d", what,
                       (int)f->experts_used, f->experts < 64 ? (int)f->experts : 64);
    if (f->expert_ffn < 1 || f->expert_ffn > 1 << 20 || inner % 16 != 0 || f->hidden % 16 != 0)
        return cv_fail(err, "%.200s: the matrices of an expert are [%.0f][%d]; their sizes must be multiples of 16, "
                       "inner ones at most 2^20", what, (double)inner, (int)f->hidden);
    if (f->shared_ffn > 1 << 20)
        return cv_fail(err, "%.200s: the expert for all tokens has an inner size of %d", what, (int)f->shared_ffn);
    return 0;
}

/* Layers that differ from one another. */
static int check_layers(const cv_facts *f, const char *what, cv_error *err)
{
    if (f->local_head_dim != 0
        && (f->local_head_dim < 2 || f->local_head_dim > f->head_dim || f->local_head_dim % 2 != 0
            || f->heads * f->local_head_dim % CV_GROUP != 0 || !f->has_local_layers))
        return cv_fail(err, "%.200s: %d heads of %d in layers that slide, and of %d in others: the first must be even, "
                            "no larger, and a multiple of 32 with all heads", what, (int)f->heads,
                       (int)f->local_head_dim, (int)f->head_dim);
    if (f->narrow_ffn < 0 || f->narrow_ffn > f->ffn)
        return cv_fail(err, "%.200s: feed-forward sizes %d and %d", what, (int)f->narrow_ffn, (int)f->ffn);
    if (f->layer_inputs < 0 || f->layer_inputs > 1 << 14 || f->layer_inputs % 16 != 0)
        return cv_fail(err, "%.200s: %d inputs of each layer; it must be a multiple of 16 up to 16384", what,
                       (int)f->layer_inputs);
    return 0;
}

/* Layers in which a convolution or a gated delta net stands in the place of attention. */
static int check_convolutions(const cv_facts *f, const char *what, cv_error *err)
{
    if (f->conv_taps == 0) return 0;
    if (f->conv_taps < 2 || f->conv_taps > 16
        || (f->delta_heads == 0 && (f->heads * f->head_dim != f->hidden || f->hidden % (2 * f->kv_heads) != 0)))
        return cv_fail(err, "%.200s: a convolution of %d positions, hidden size %d, %d heads of %d, %d key-value "
                            "heads: heads must make up the hidden size, and 2 to 16 positions are seen", what,
                       (int)f->conv_taps, (int)f->hidden, (int)f->heads, (int)f->head_dim, (int)f->kv_heads);
    if (f->delta_heads == 0) return 0;
    if (f->delta_heads < 1 || f->delta_heads > 4096 || f->delta_key_heads < 1 || f->delta_key_dim < 16
        || f->delta_value_dim < 16 || f->delta_key_dim > CV_MOST_HEAD_DIM || f->delta_value_dim > CV_MOST_HEAD_DIM
        || f->delta_heads % f->delta_key_heads != 0 || f->delta_key_dim % 16 != 0 || f->delta_value_dim % 16 != 0
        || f->delta_heads * f->delta_value_dim % CV_GROUP != 0 || f->heads * f->head_dim % CV_GROUP != 0
        || (2 * f->delta_key_heads * f->delta_key_dim + f->delta_heads * f->delta_value_dim) % (2 * f->kv_heads) != 0
        || f->delta_heads > (1 << 28) / (f->delta_key_dim * f->delta_value_dim))
        return cv_fail(err, "%.200s: gated delta nets of %d heads of [%d][%d], %d of them of keys, beside %d heads of "
                            "%d: sizes must be multiples of 16, and with all heads of 32; heads of keys must divide "
                            "heads", what, (int)f->delta_heads, (int)f->delta_key_dim, (int)f->delta_value_dim,
                       (int)f->delta_key_heads, (int)f->heads, (int)f->head_dim);
    return 0;
}

int32_t cv_head_dim(const cv_facts *f, int32_t layer)
{
    return f->local_head_dim && f->local_layers[layer] ? f->local_head_dim : f->head_dim;
}

int cv_is_experts(cv_part part)
{
    return part >= CV_EXPERT_GATE && part <= CV_EXPERT_DOWN_BIAS;
}

int cv_has_experts(const cv_facts *f, int32_t layer)
{
    return f->experts > 0 && (!f->has_expert_layers || f->expert_layers[layer]);
}

int cv_check_facts(const cv_facts *f, const char *what, cv_error *err)
{
    if (cv_check_sizes(f, what, err) < 0) return -1;
    if (f->heads % f->kv_heads != 0)
        return cv_fail(err, "%.200s: %d heads cannot share %d key-value heads", what, (int)f->heads, (int)f->kv_heads);
    if (f->rope_dims % 2 != 0) return cv_fail(err, "%.200s: %d rotated dimensions", what, (int)f->rope_dims);
    if (!(f->norm_eps >= 0.0 && f->norm_eps < 1.0))
        return cv_fail(err, "%.200s: the epsilon of the norms is %g", what, f->norm_eps);
    if (f->rope_original < 0 || f->rope_original > f->context)
        return cv_fail(err, "%.200s: the original context %d exceeds the context %d", what, (int)f->rope_original,
                       (int)f->context);
    if (check_rope(f->rope, f->rope_dims, what, err) < 0
        || (f->rope_original && check_rope(f->rope_long, f->rope_dims, what, err) < 0)
        || (f->has_local_layers
            && check_rope(f->rope_local, f->local_head_dim ? f->local_head_dim : f->rope_dims, what, err) < 0))
        return -1;
    if (check_layers(f, what, err) < 0) return -1;
    if (f->attention_growth != 0.0 && (f->attention_step < 1 || f->attention_step > f->context))
        return cv_fail(err, "%.200s: scores grow every %d positions; that must be between 1 and %d", what,
                       (int)f->attention_step, (int)f->context);
    if (check_convolutions(f, what, err) < 0) return -1;
    return check_experts(f, what, err) < 0 ? -1 : check_factors(f, what, err);
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

void cv_shape_of(const cv_facts *f, cv_part part, int32_t layer, uint64_t *rows, uint64_t *cols)
{
    uint64_t hidden = (uint64_t)f->hidden, dim = (uint64_t)cv_head_dim(f, layer), inputs = (uint64_t)f->layer_inputs;
    uint64_t queries = (uint64_t)f->heads * dim, keys = (uint64_t)f->kv_heads * dim;
    uint64_t ffn = (uint64_t)(f->narrow_ffn && f->narrow_layers[layer] ? f->narrow_ffn : f->ffn);
    uint64_t delta_heads = (uint64_t)f->delta_heads, delta_values = delta_heads * (uint64_t)f->delta_value_dim;
    uint64_t delta_keys = (uint64_t)f->delta_key_heads * (uint64_t)f->delta_key_dim;
    int all = f->qk_norm && strcmp(f->qk_norm, "all") == 0;
    *rows = 1, *cols = hidden; /* norms, and biases of what puts out [hidden] */
    switch (part) {
    case CV_EMBEDDING:
    case CV_OUTPUT: *rows = (uint64_t)f->vocab; break;
    case CV_POSITION: *rows = (uint64_t)f->context; break;
    case CV_QUERY: *rows = queries; break;
    case CV_KEY:
    case CV_VALUE: *rows = keys; break;
    case CV_QUERY_BIAS: *cols = queries; break;
    case CV_KEY_BIAS:
    case CV_VALUE_BIAS: *cols = keys; break;
    case CV_QUERY_NORM: *cols = all ? queries : dim; break;
    case CV_KEY_NORM: *cols = all ? keys : dim; break;
    case CV_ATTN_OUT: *rows = hidden, *cols = queries; break;
    case CV_GATE:
    case CV_UP: *rows = ffn; break;
    case CV_GATE_BIAS:
    case CV_UP_BIAS: *cols = ffn; break;
    case CV_DOWN: *rows = hidden, *cols = ffn; break;
    case CV_OUTPUT_BIAS: *cols = (uint64_t)f->vocab; break;
    case CV_CONV_IN: *rows = 3 * hidden; break;
    case CV_CONV: *cols = (uint64_t)f->conv_taps * hidden; break;
    case CV_CONV_OUT: *rows = hidden; break;
    case CV_ATTN_GATE: *rows = queries; break;
    case CV_DELTA_QUERY:
    case CV_DELTA_KEY: *rows = delta_keys; break;
    case CV_DELTA_VALUE:
    case CV_DELTA_GATE: *rows = delta_values; break;
    case CV_DELTA_B:
    case CV_DELTA_A: *rows = delta_heads; break;
    case CV_DELTA_CONV: *cols = (uint64_t)f->conv_taps * (2 * delta_keys + delta_values); break;
    case CV_DELTA_LOG_RATE:
    case CV_DELTA_BIAS: *cols = delta_heads; break;
    case CV_DELTA_NORM: *cols = (uint64_t)f->delta_value_dim; break;
    case CV_DELTA_OUT: *rows = hidden, *cols = delta_values; break;
    case CV_SHARED_GATE:
    case CV_SHARED_UP: *rows = (uint64_t)f->shared_ffn; break;
    case CV_SHARED_DOWN: *rows = hidden, *cols = (uint64_t)f->shared_ffn; break;
    case CV_LAYER_EMBEDDING: *rows = (uint64_t)f->vocab, *cols = (uint64_t)f->layers * inputs; break;
    case CV_LAYER_INPUT_NORM: *cols = inputs; break;
    case CV_LAYER_INPUT:
    case CV_LAYER_GATE: *rows = inputs; break;
    case CV_LAYER_OUT: *rows = hidden, *cols = inputs; break;
    case CV_LAYER_SCALE: *cols = 1; break;
    case CV_SINKS: *cols = (uint64_t)f->heads; break;
    case CV_ROUTER: *rows = (uint64_t)f->experts; break;
    case CV_ROUTER_BIAS: *cols = (uint64_t)f->experts; break;
    case CV_EXPERT_GATE_BIAS:
    case CV_EXPERT_UP_BIAS: *cols = (uint64_t)f->expert_ffn; break;
    case CV_EXPERT_GATE:
    case CV_EXPERT_UP: *rows = (uint64_t)f->expert_ffn; break;
    case CV_EXPERT_DOWN: *rows = hidden, *cols = (uint64_t)f->expert_ffn; break;
    default: break;
    }
}
