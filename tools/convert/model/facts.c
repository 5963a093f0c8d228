/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * facts.c - see facts.h */
#include "facts.h"

#include <string.h>

static int check_rope(const cv_facts *f, const float *table, const char *what, cv_error *err)
{
    for (int32_t i = 0; i < f->rope_dims / 2; i++)
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
                   {"rope scale", f->rope_scale},           {"divisor of the logits", f->logit_divisor}};
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
    if (check_rope(f, f->rope, what, err) < 0 || (f->rope_original && check_rope(f, f->rope_long, what, err) < 0)
        || (f->has_local_layers && check_rope(f, f->rope_local, what, err) < 0))
        return -1;
    return check_factors(f, what, err);
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

void cv_shape_of(const cv_facts *f, cv_part part, uint64_t *rows, uint64_t *cols)
{
    uint64_t hidden = (uint64_t)f->hidden, queries = (uint64_t)f->heads * (uint64_t)f->head_dim;
    uint64_t keys = (uint64_t)f->kv_heads * (uint64_t)f->head_dim, ffn = (uint64_t)f->ffn;
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
    case CV_QUERY_NORM: *cols = all ? queries : (uint64_t)f->head_dim; break;
    case CV_KEY_NORM: *cols = all ? keys : (uint64_t)f->head_dim; break;
    case CV_ATTN_OUT: *rows = hidden, *cols = queries; break;
    case CV_GATE:
    case CV_UP: *rows = ffn; break;
    case CV_GATE_BIAS:
    case CV_UP_BIAS: *cols = ffn; break;
    case CV_DOWN: *rows = hidden, *cols = ffn; break;
    case CV_OUTPUT_BIAS: *cols = (uint64_t)f->vocab; break;
    default: break;
    }
}
