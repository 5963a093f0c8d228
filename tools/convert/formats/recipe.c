/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * recipe.c - a family's row, and what a file says beyond it -> facts; see families.h */
#include "families.h"
#include "../ground/halves.h"
#include "../model/rope.h"

#include <math.h>
#include <string.h>

/* A scale that is not written, 0, is 1. */
static void multiply(double *scale, double factor)
{
    *scale = (*scale == 0.0 ? 1.0 : *scale) * factor;
}

/* To add r f(norm(x)) to x is to add f(norm(x)) to x / r. So the whole stream is divided by r, where it begins: at the
 * embedding. Norms undo that, but for their epsilon, which goes with the square. No weight changes. */
static void scale_residual(cv_facts *m, double r)
{
    multiply(&m->embedding_scale, 1.0 / r);
    m->norm_eps /= r * r;
}

static void set_biases(cv_facts *m, int biases, int are_there)
{
    if (are_there) m->biases |= biases;
}

/* The layers that attend to keys and values of others are the last ones. */
static int share_last(cv_facts *m, double n)
{
    if (n >= m->layers) return 0;
    memset(m->shared_layers + (m->layers - (int32_t)n), 1, (size_t)n);
    m->has_shared_layers = n > 0.0;
    return 1;
}

/* Returns whether the fact may have that value. */
static int set_fact(cv_facts *m, cv_fact fact, double value)
{
    if (fact >= CV_FIRST_FACTOR && !(value > 0.0)) return 0;
    switch (fact) {
    case CV_NO_FACT: break;
    case CV_QKV_BIASES: set_biases(m, CV_BIAS_QKV, value != 0.0); break;
    case CV_ATTENTION_BIASES: set_biases(m, CV_BIAS_QKV | CV_BIAS_ATTN_OUT, value != 0.0); break;
    case CV_FFN_BIASES: set_biases(m, CV_BIAS_FFN, value != 0.0); break;
    case CV_MATRIX_BIASES: set_biases(m, CV_BIAS_QKV | CV_BIAS_ATTN_OUT | CV_BIAS_FFN, value != 0.0); break;
    case CV_PARALLEL: m->residual = value != 0.0 ? m->residual : NULL; break;
    case CV_SCALED_SCORES: m->attention_scale = value != 0.0 ? 0.0 : 1.0; break;
    case CV_SHARES_OF_CHOSEN: m->routing = value != 0.0 ? NULL : "all"; break;
    case CV_EXPERTS: m->experts = (int32_t)value; break;
    case CV_EXPERTS_USED: m->experts_used = (int32_t)value; break;
    case CV_EXPERT_FFN: m->expert_ffn = (int32_t)value; break;
    case CV_LOCAL_HEAD_DIM: m->local_head_dim = (int32_t)value; break;
    case CV_SHARED_LAYERS: return share_last(m, value);
    case CV_LAYER_INPUTS: m->layer_inputs = (int32_t)value; break;
    case CV_WINDOW: m->window = (int32_t)value; break;
    case CV_WINDOW_PATTERN: m->window_pattern = (int32_t)value; break;
    case CV_ATTENTION_CAP: m->attention_cap = value; break;
    case CV_LOGIT_CAP: m->logit_cap = value; break;
    case CV_SCORE_GROWTH: m->attention_growth = value; break;
    case CV_ATTENTION_SCALE: m->attention_scale = value; break;
    case CV_ATTENTION_SQUARE: m->attention_scale = 1.0 / sqrt(value); break;
    case CV_EMBEDDING_SCALE: multiply(&m->embedding_scale, value); break;
    case CV_RESIDUAL_SCALE: scale_residual(m, value); break;
    case CV_RESIDUAL_BY_ROOT: scale_residual(m, value / sqrt((double)m->layers)); break;
    case CV_LOGIT_DIVISOR: m->logit_divisor = value; break;
    case CV_LOGIT_BASE: m->logit_divisor = m->hidden / value; break;
    }
    return 1;
}

static void set_words(const cv_family *f, cv_facts *m)
{
    m->architecture = f->architecture;
    m->norm = f->norm, m->norm_place = f->norm_place, m->residual = f->residual;
    m->activation = f->activation, m->ffn_kind = f->ffn_kind, m->qk_norm = f->qk_norm;
    m->has_query_gates = f->has_deltas;
    m->has_sinks = f->has_sinks, m->has_value_norms = m->has_layer_scales = f->is_gemma4;
    if (f->is_gemma4) m->attention_scale = 1.0;
    m->biases = f->biases, m->has_positions = f->has_positions, m->window_pattern = f->window_pattern;
    if (f->has_positions) m->rope_dims = 0;
}

static int spread_patterns(const cv_family *f, cv_facts *m, const char *path, cv_error *err)
{
    for (int32_t i = 0; f->still_every > 0 && i < m->layers; i++) m->local_layers[i] = (i + 1) % f->still_every == 0;
    if (f->window_pattern == 0 || m->window == 0) return 0;
    if (m->window_pattern < 1) return cv_fail(err, "%.200s: sliding_window_pattern is 0", path);
    for (int32_t i = 0; i < m->layers; i++) m->window_layers[i] = (i + 1) % m->window_pattern != 0;
    m->has_window_layers = 1;
    return 0;
}

static int has_local_windows(const cv_family *f)
{
    return f->local == CV_WINDOWS_LOCAL || f->local == CV_WINDOWS_PLAIN;
}

void cv_place_local(const cv_family *f, cv_facts *m)
{
    for (int32_t i = 0; i < m->layers; i++) {
        if (has_local_windows(f)) m->local_layers[i] = m->window_layers[i];
        if (f->local == CV_FULL_STILL) m->local_layers[i] = m->has_window_layers && !m->window_layers[i];
    }
    m->has_local_layers = memchr(m->local_layers, 1, (size_t)m->layers) != NULL;
}

void cv_fill_local(const cv_family *f, cv_facts *m, double theta)
{
    memset(m->rope_local, 0, sizeof m->rope_local);
    int32_t dims = m->local_head_dim ? m->local_head_dim : m->rope_dims;
    if (has_local_windows(f)) cv_rope_frequencies(m->rope_local, dims, theta);
}

int cv_apply_recipe(const cv_family *family, const cv_setting *settings, cv_read_setting *read, const void *source,
                    cv_facts *facts, const char *path, cv_error *err)
{
    set_words(family, facts);
    for (const cv_setting *s = settings; s && s->fact != CV_NO_FACT; s++) {
        double value = s->otherwise;
        int result = read(source, s, &value, err);
        if (result < 0) return -1;
        if (result == 1 && s->otherwise == CV_AS_IT_IS) continue;
        if (!set_fact(facts, s->fact, value)) return cv_fail(err, "%.200s: %s is %g", path, s->key, value);
    }
    if (facts->expert_ffn == 0) facts->expert_ffn = facts->ffn;
    if (facts->experts == 0) facts->routing = NULL;
    return spread_patterns(family, facts, path, err);
}

static double root_of(int32_t n, cv_computes type)
{
    float root = (float)sqrt((double)n);
    if (type == CV_IN_HALF) root = cv_nearest_half(root);
    if (type == CV_IN_BF16) root = cv_nearest_bf16(root);
    return (double)root;
}

/* A layer's input is the sum of two, over the root of 2. */
void cv_scale_embedding_by_root(cv_facts *facts, cv_computes type)
{
    facts->embedding_scale = root_of(facts->hidden, type);
    if (facts->layer_inputs > 0) facts->layer_input_scale = root_of(facts->layer_inputs, type) * sqrt(0.5);
}
