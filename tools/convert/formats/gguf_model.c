/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * gguf_model.c - the model in a GGUF file; see source.h
 *
 * The keys of a model's computation begin with the name of its architecture. Each of those is read here, known to mean
 * nothing for inference, or refused by name, as in config.c. What a family computes stands in families.c. */
#include "families.h"
#include "formats.h"
#include "../containers/gguf.h"
#include "../ground/halves.h"
#include "../model/rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct container {
    cv_source source; /* first, so that a cv_source is a container */
    cv_gguf gguf;
    const char *path;
    const cv_family *family;
} container;

static int is_off(const cv_gguf_value *v)
{
    double number;
    return cv_gguf_real(v, &number) && number == 0.0;
}

/* Behind the name of the architecture, whatever that is. */
static int has_key(const void *source, const char *key)
{
    const container *c = source;
    size_t bytes = 0;
    const char *name = cv_gguf_string(cv_gguf_find(&c->gguf, "general.architecture"), &bytes);
    char full[192];
    snprintf(full, sizeof full, "%.*s.%s", name && bytes < 64 ? (int)bytes : 0, name ? name : "", key);
    const cv_gguf_value *v = cv_gguf_find(&c->gguf, full);
    return v && !is_off(v);
}

static const cv_family *find_family(const container *c, cv_error *err)
{
    const cv_gguf_value *v = cv_gguf_find(&c->gguf, "general.architecture");
    const cv_family *f;
    char text[64];
    for (int i = 0; (f = cv_family_at(i)) != NULL; i++)
        if (f->gguf.name && cv_gguf_is(v, f->gguf.name)) return f;
    cv_refuse_family(c->path, "general.architecture", cv_gguf_describe(v, text, sizeof text), has_key, c, 1, err);
    return NULL;
}

/* ---- keys ---- */

/* Keys that are read below, or that change nothing that a forward pass computes; without the family's name. Its
 * settings are known, too. */
static const char *const known_keys[] = {
    "vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon", "attention.sliding_window", "attn_logit_softcapping", "final_logit_softcapping",
    "use_parallel_residual", "rope.dimension_count", "rope.freq_base", "rope.scale_linear", "rope.scaling.type",
    "rope.scaling.factor", "rope.scaling.attn_factor", "rope.scaling.original_context_length", "rope.scaling.finetuned",
    "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_log_multiplier",
    "attention.sliding_window_pattern", "attention.value_length_swa", "rope.dimension_count_swa", "rope.freq_base_swa",
    "shortconv.l_cache",
    "tensor_data_layout"};

static const cv_gguf_value *find_key(const container *c, const char *key)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", c->family->gguf.name, key);
    return cv_gguf_find(&c->gguf, full);
}

static int wrong_value(const container *c, const char *key, const char *wanted, cv_error *err)
{
    char text[64];
    return cv_fail(err, "%.200s: %s.%s is %s; %s is wanted", c->path, c->family->gguf.name, key,
                   cv_gguf_describe(find_key(c, key), text, sizeof text), wanted);
}

static int is_known(const cv_family *f, const char *key)
{
    for (size_t i = 0; i < sizeof known_keys / sizeof *known_keys; i++)
        if (strcmp(key, known_keys[i]) == 0) return 1;
    for (const cv_setting *s = f->gguf.settings; s && s->fact != CV_NO_FACT; s++)
        if (strcmp(key, s->key) == 0) return 1;
    return 0;
}

/* A key nobody knows is harmless only if it is off. */
static int check_keys(const container *c, cv_error *err)
{
    const cv_gguf_file *f = &c->gguf.files[0];
    const char *name = c->family->gguf.name;
    size_t n = strlen(name);
    char text[64];
    for (size_t i = 0; i < f->n_values; i++) {
        const cv_gguf_value *v = &f->values[i];
        if (strncmp(v->key, name, n) != 0 || v->key[n] != '.') continue;
        if (is_known(c->family, v->key + n + 1) || is_off(v)) continue;
        return cv_fail(err, "%.200s: the key %.80s (%s) is not known, so what the model computes is not either",
                       c->path, v->key, cv_gguf_describe(v, text, sizeof text));
    }
    return 0;
}

/* A count, or an array that gives each layer the same. Absent it is `otherwise`, unless that is -1. */
static int read_size(const container *c, const char *key, int32_t otherwise, int32_t *value, cv_error *err)
{
    const cv_gguf_value *v = find_key(c, key);
    int64_t n = otherwise, other;
    *value = otherwise;
    if (!v) return otherwise >= 0 ? 0 : wrong_value(c, key, "a count", err);
    if (!cv_gguf_integer_at(v, 0, &n) || n < 0 || n > INT32_MAX) return wrong_value(c, key, "a count", err);
    for (uint64_t i = 1; i < v->count; i++)
        if (!cv_gguf_integer_at(v, i, &other) || other != n)
            return wrong_value(c, key, "the same for each layer", err);
    *value = (int32_t)n;
    return 0;
}

static int read_real(const container *c, const char *key, double otherwise, double *value, cv_error *err)
{
    const cv_gguf_value *v = find_key(c, key);
    *value = otherwise;
    if (!v && otherwise >= 0.0) return 0;
    return cv_gguf_real(v, value) ? 0 : wrong_value(c, key, "a number", err);
}

/* ---- rope ---- */

static const float STILL = 1e30f; /* the factor of what does not turn */

/* A tensor of one float for each frequency, or NULL with *failed as it was: it is not there. */
static float *read_factors(container *c, const char *name, int *failed, cv_error *err)
{
    cv_gguf_tensor *t = cv_gguf_tensor_of(&c->gguf, name);
    uint64_t n = (uint64_t)c->source.facts.rope_dims / 2;
    if (!t) return NULL;
    *failed = 1, t->used = 1;
    if (t->rows != 1 || t->cols != n || t->type->elements != 1) {
        cv_fail(err, "%.200s: tensor %s does not have %.0f floats", c->path, name, (double)n);
        return NULL;
    }
    float *factors = cv_alloc((size_t)n, sizeof *factors, err);
    *failed = !factors || cv_gguf_read(&c->gguf, t, 0, n, factors, err) < 0;
    for (uint64_t i = 0; !*failed && i < n; i++)
        if (!(factors[i] >= 1e-3f && (factors[i] <= 1e6f || factors[i] == STILL)))
            *failed = cv_fail(err, "%.200s: element %.0f of %s is %g", c->path, (double)i, name, (double)factors[i]);
    if (!*failed) return factors;
    free(factors);
    return NULL;
}

/* rope_freqs.weight: each frequency is divided by its element. This is how Llama 3's scaling comes, and Gemma 4's
 * pairs that do not turn. */
static int divide_by_factors(container *c, cv_error *err)
{
    int failed = 0;
    float *factors = read_factors(c, "rope_freqs.weight", &failed, err);
    for (int32_t i = 0; factors && i < c->source.facts.rope_dims / 2; i++)
        c->source.facts.rope[i] = factors[i] == STILL ? 0.0f : c->source.facts.rope[i] / factors[i];
    free(factors);
    return failed ? -1 : 0;
}

/* LongRoPE: a set of factors for sequences up to the original context, another for longer ones. */
static int read_longrope(container *c, double theta, cv_error *err)
{
    cv_facts *m = &c->source.facts;
    int failed = 0;
    int32_t old;
    double scale;
    float *shorter = read_factors(c, "rope_factors_short.weight", &failed, err);
    float *longer = failed ? NULL : read_factors(c, "rope_factors_long.weight", &failed, err);
    failed = failed
             || (!shorter != !longer && cv_fail(err, "%.200s: only one of two sets of rope factors", c->path) < 0);
    failed = failed || read_size(c, "rope.scaling.original_context_length", 0, &old, err) < 0
             || read_real(c, "rope.scaling.attn_factor", 1.0, &scale, err) < 0;
    if (!failed && longer && (old < 2 || old > m->context))
        failed = wrong_value(c, "rope.scaling.original_context_length", "a count up to the context", err) < 0;
    for (int32_t i = 0; !failed && shorter && longer && i < m->rope_dims / 2; i++) {
        float power = cv_rope_power(m->rope_dims, theta, i), slow = shorter[i] * power, slower = longer[i] * power;
        m->rope[i] = 1.0f / slow, m->rope_long[i] = 1.0f / slower;
    }
    if (!failed && longer) m->rope_original = old, m->rope_scale = scale == 1.0 ? 0.0 : scale;
    free(shorter);
    free(longer);
    return failed ? -1 : 0;
}

/* Files say the factor of YaRN's cosines, or what its logarithm is divided by, or neither. A factor that is not 1
 * repeats what follows from the rest. */
static int scale_yarn(container *c, double theta, double factor, cv_error *err)
{
    cv_facts *m = &c->source.facts;
    double old, fast, slow, multiplier, stated, scale = 0.1 * log(factor) + 1.0;
    if (read_real(c, "rope.scaling.original_context_length", m->context, &old, err) < 0
        || read_real(c, "rope.scaling.yarn_beta_fast", 32.0, &fast, err) < 0
        || read_real(c, "rope.scaling.yarn_beta_slow", 1.0, &slow, err) < 0
        || read_real(c, "rope.scaling.yarn_log_multiplier", 0.0, &multiplier, err) < 0
        || read_real(c, "rope.scaling.attn_factor", 1.0, &stated, err) < 0)
        return -1;
    if (!(old >= 1.0)) return wrong_value(c, "rope.scaling.original_context_length", "a count", err);
    if (!(fast >= 1e-3)) return wrong_value(c, "rope.scaling.yarn_beta_fast", "a number from 0.001 up", err);
    if (!(slow >= 1e-3)) return wrong_value(c, "rope.scaling.yarn_beta_slow", "a number from 0.001 up", err);
    if (!(multiplier >= 0.0)) return wrong_value(c, "rope.scaling.yarn_log_multiplier", "a number from 0 up", err);
    if (multiplier > 0.0) scale = scale / (0.1 * multiplier * log(factor) + 1.0);
    if (stated != 1.0 && !(fabs(stated - scale) < 1e-4))
        return wrong_value(c, "rope.scaling.attn_factor", "what follows from factor", err);
    cv_rope_yarn(m->rope, m->rope_dims, theta, factor, old, fast, slow, !c->family->gguf.unrounded_yarn);
    m->rope_scale = scale;
    if (old <= m->context) m->attention_step = (int32_t)old;
    if (old * factor > m->context && old * factor < 1 << 28) m->context = (int32_t)(old * factor);
    return 0;
}

static int apply_scaling(container *c, double theta, double factor, cv_error *err)
{
    cv_facts *m = &c->source.facts;
    const cv_gguf_value *type = find_key(c, "rope.scaling.type");
    if (cv_gguf_is(type, "none") || cv_gguf_is(type, "longrope") || (!type && factor == 0.0)) return 0;
    if (type && !cv_gguf_is(type, "linear") && !cv_gguf_is(type, "yarn"))
        return wrong_value(c, "rope.scaling.type", "none, linear, yarn or longrope", err);
    if (!(factor >= 1.0 && factor <= 1e9)) return wrong_value(c, "rope.scaling.factor", "a number from 1 up", err);
    if (!cv_gguf_is(type, "yarn")) { /* linear, if nothing is said */
        for (int32_t i = 0; i < m->rope_dims / 2; i++) m->rope[i] /= (float)factor;
        return 0;
    }
    return scale_yarn(c, theta, factor, err);
}

static int read_rope(container *c, cv_error *err)
{
    cv_facts *m = &c->source.facts;
    double theta, local, factor, old;
    if (m->rope_dims == 0) return 0;
    if (read_real(c, "rope.freq_base", 10000.0, &theta, err) < 0
        || read_real(c, "rope.freq_base_swa", c->family->local == CV_WINDOWS_LOCAL ? 10000.0 : theta, &local, err) < 0
        || read_real(c, "rope.scale_linear", 0.0, &old, err) < 0
        || read_real(c, "rope.scaling.factor", old, &factor, err) < 0)
        return -1;
    if (!(theta > 1.0 && theta <= 1e12)) return wrong_value(c, "rope.freq_base", "a number above 1", err);
    if (!(local > 1.0 && local <= 1e12)) return wrong_value(c, "rope.freq_base_swa", "a number above 1", err);
    cv_rope_frequencies(m->rope, m->rope_dims, theta);
    cv_fill_local(c->family, m, local);
    if (apply_scaling(c, theta, factor, err) < 0 || divide_by_factors(c, err) < 0) return -1;
    return read_longrope(c, theta, err);
}

/* ---- the recipe ---- */

static int has_tensor(const container *c, const char *name)
{
    return cv_gguf_tensor_of(&c->gguf, name) != NULL;
}

/* Does every w of a norm 1 + w have the few bits of another type? */
static int fits(const float *norm, uint64_t n, float (*nearest)(float x))
{
    for (uint64_t i = 0; i < n; i++)
        if (!(fabsf(norm[i]) < 1e4f) || 1.0f + nearest(norm[i] - 1.0f) != norm[i]) return 0;
    return 1;
}

/* Embeddings are scaled by sqrt(hidden) in the type that the model was trained in: 55.4256 is 55.5 in bfloat16. A file
 * holds neither the constant nor that type, and quantized weights hide it; but norms stay floats, and show it. Norms of
 * few bits fit all types: bfloat16 then, which Gemma is published in. */
static int scale_embedding(container *c, cv_error *err)
{
    const cv_gguf_tensor *t = cv_gguf_tensor_of(&c->gguf, "output_norm.weight");
    cv_computes type = CV_IN_BF16;
    if (t && (t->rows != 1 || t->cols != (uint64_t)c->source.facts.hidden)) /* before there is memory for it */
        return cv_fail(err, "%.200s: tensor %s has the shape [%.0f][%.0f]; the sizes of the model demand [1][%d]",
                       c->path, t->name, (double)t->rows, (double)t->cols, (int)c->source.facts.hidden);
    if (t && t->type->id == CV_GGML_F32) {
        float *norm = cv_alloc((size_t)t->cols, sizeof *norm, err);
        int failed = !norm || cv_gguf_read(&c->gguf, t, 0, t->cols, norm, err) < 0;
        if (!failed && !fits(norm, t->cols, cv_nearest_bf16))
            type = fits(norm, t->cols, cv_nearest_half) ? CV_IN_HALF : CV_IN_FLOAT;
        free(norm);
        if (failed) return -1;
    }
    cv_scale_embedding_by_root(&c->source.facts, type);
    return 0;
}

/* What the tensors tell, whatever the family: which biases there are, and which norms of queries and keys. */
static int read_tensors(container *c, cv_error *err)
{
    static const struct {
        int bias;
        const char *name;
    } biases[] = {{CV_BIAS_QKV, "blk.0.attn_q.bias"},        {CV_BIAS_QKV, "blk.0.attn_qkv.bias"},
                  {CV_BIAS_ATTN_OUT, "blk.0.attn_output.bias"}, {CV_BIAS_FFN, "blk.0.ffn_down.bias"},
                  {CV_BIAS_EXPERTS, "blk.0.ffn_gate_inp.bias"},
                  {CV_BIAS_NORM, "output_norm.bias"},        {CV_BIAS_OUTPUT, "output.bias"}};
    cv_facts *m = &c->source.facts;
    int32_t attends = 0; /* the first layer that does */
    char name[64];
    while (attends + 1 < m->layers && m->conv_layers[attends]) attends++;
    snprintf(name, sizeof name, "blk.%d.attn_q_norm.weight", (int)attends);
    const cv_gguf_tensor *norm = cv_gguf_tensor_of(&c->gguf, name);
    m->biases = 0, m->qk_norm = NULL;
    for (size_t i = 0; i < sizeof biases / sizeof *biases; i++)
        if (has_tensor(c, biases[i].name)) m->biases |= biases[i].bias;
    if (!norm) return 0;
    if (norm->rows != 1 || m->norm || c->family->gguf.in_pairs)
        return cv_fail(err, "%.200s: tensor %s is not part of a %s model as it is known here", c->path, norm->name,
                       c->family->gguf.name);
    m->qk_norm = norm->cols == (uint64_t)cv_head_dim(m, attends) ? "head" : "all";
    return 0;
}

static int read_setting(const void *source, const cv_setting *s, double *value, cv_error *err)
{
    const container *c = source;
    const cv_gguf_value *v = find_key(c, s->key);
    int64_t flag = 0;
    int32_t count;
    int failed;
    if (!v) return 1;
    if (s->fact > CV_LAST_COUNT) return read_real(c, s->key, 0.0, value, err);
    if (s->fact > CV_LAST_FLAG) {
        failed = read_size(c, s->key, 0, &count, err), *value = count;
        return failed;
    }
    if (!cv_gguf_integer(v, &flag)) return wrong_value(c, s->key, "true or false", err);
    *value = flag != 0;
    return 0;
}

/* Which layers have the window: a flag for each. */
static int read_window_layers(container *c, cv_error *err)
{
    static const char key[] = "attention.sliding_window_pattern";
    const cv_gguf_value *v = find_key(c, key);
    cv_facts *m = &c->source.facts;
    int64_t flag;
    if (!v) return 0;
    if (v->count != (uint64_t)m->layers) return wrong_value(c, key, "a flag for each layer", err);
    if (m->window == 0) return wrong_value(c, key, "nothing where there is no attention.sliding_window", err);
    for (uint64_t i = 0; i < v->count; i++) {
        if (!cv_gguf_integer_at(v, i, &flag) || flag < 0 || flag > 1)
            return wrong_value(c, key, "a flag for each layer", err);
        m->window_layers[i] = flag != 0;
    }
    m->has_window_layers = 1;
    return 0;
}

/* Of the layers that slide, where their heads have a size of their own: that of values, and of what turns. */
static int check_local_heads(const container *c, cv_error *err)
{
    static const char *const keys[] = {"attention.value_length_swa", "rope.dimension_count_swa"};
    int32_t dim = c->source.facts.local_head_dim, size;
    if (dim > c->source.facts.head_dim) /* before cv_fill_local has so many numbers to write */
        return wrong_value(c, "attention.key_length_swa", "a count up to attention.key_length", err);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (read_size(c, keys[i], dim, &size, err) < 0) return -1;
        if (size != dim) return wrong_value(c, keys[i], "that of attention.key_length_swa", err);
    }
    return 0;
}

static int read_recipe(container *c, cv_error *err)
{
    cv_facts *m = &c->source.facts;
    const cv_gguf_side *side = &c->family->gguf;
    if (cv_apply_recipe(c->family, side->settings, read_setting, c, m, c->path, err) < 0) return -1;
    if (side->largest && m->layers == side->largest && m->heads > 0)
        m->attention_scale = 1.0 / sqrt((double)(m->hidden / m->heads));
    if (read_window_layers(c, err) < 0 || check_local_heads(c, err) < 0) return -1;
    cv_place_local(c->family, m);
    if (c->family->embedding_by_root && scale_embedding(c, err) < 0) return -1;
    return read_tensors(c, err);
}

/* ---- facts ---- */

/* Layers without key-value heads are convolutions, where the family has such. */
static int read_kv_heads(container *c, cv_error *err)
{
    static const char key[] = "attention.head_count_kv";
    const cv_gguf_value *v = find_key(c, key);
    cv_facts *m = &c->source.facts;
    int64_t n;
    if (!c->family->has_convs) return read_size(c, key, m->heads, &m->kv_heads, err);
    if (!v || m->layers > CV_MOST_LAYERS || v->count != (uint64_t)m->layers)
        return wrong_value(c, key, "a count for each layer", err);
    for (int32_t i = 0; i < m->layers; i++) {
        if (!cv_gguf_integer_at(v, (uint64_t)i, &n) || n < 0 || n > m->heads || (n && m->kv_heads && n != m->kv_heads))
            return wrong_value(c, key, "0 or the same count for each layer", err);
        m->conv_layers[i] = n == 0;
        if (n > 0) m->kv_heads = (int32_t)n;
    }
    return read_size(c, "shortconv.l_cache", -1, &m->conv_taps, err);
}

/* A size, or one for each layer, of which there are two. */
static int read_ffn(container *c, cv_error *err)
{
    static const char key[] = "feed_forward_length";
    const cv_gguf_value *v = find_key(c, key);
    cv_facts *m = &c->source.facts;
    int64_t n;
    if (!c->family->is_gemma4 || !v || v->count < 2) return read_size(c, key, -1, &m->ffn, err);
    if (m->layers > CV_MOST_LAYERS || v->count != (uint64_t)m->layers)
        return wrong_value(c, key, "a size for each layer", err);
    for (int32_t i = 0; i < m->layers; i++) {
        if (!cv_gguf_integer_at(v, (uint64_t)i, &n) || n < 1 || n > INT32_MAX)
            return wrong_value(c, key, "a size for each layer", err);
        if (n > m->ffn) m->ffn = (int32_t)n;
    }
    for (int32_t i = 0; i < m->layers; i++) {
        (void)cv_gguf_integer_at(v, (uint64_t)i, &n); /* as before */
        if (n == m->ffn) continue;
        if (m->narrow_ffn && n != m->narrow_ffn) return wrong_value(c, key, "one of two sizes for each layer", err);
        m->narrow_ffn = (int32_t)n, m->narrow_layers[i] = 1;
    }
    return 0;
}

static int read_sizes(container *c, cv_error *err)
{
    cv_facts *m = &c->source.facts;
    int32_t value_dim, share;
    const cv_gguf_tensor *embedding = cv_gguf_tensor_of(&c->gguf, "token_embd.weight");
    if (!embedding || embedding->rows > INT32_MAX)
        return cv_fail(err, "%.200s: tensor token_embd.weight is missing: there is no model in this file", c->path);
    m->vocab = (int32_t)embedding->rows;
    m->tied = !cv_gguf_tensor_of(&c->gguf, "output.weight");
    if (read_size(c, "embedding_length", -1, &m->hidden, err) < 0
        || read_size(c, "block_count", -1, &m->layers, err) < 0
        || read_size(c, "attention.head_count", -1, &m->heads, err) < 0
        || read_kv_heads(c, err) < 0
        || read_ffn(c, err) < 0
        || read_size(c, "context_length", 2048, &m->context, err) < 0
        || read_real(c, c->family->norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
                     -1.0, &m->norm_eps, err) < 0)
        return -1;
    share = m->heads ? m->hidden / m->heads : 0;
    if (read_size(c, "attention.key_length", share, &m->head_dim, err) < 0
        || read_size(c, "attention.value_length", m->head_dim, &value_dim, err) < 0
        || read_size(c, "rope.dimension_count", m->head_dim, &m->rope_dims, err) < 0)
        return -1;
    if (value_dim != m->head_dim) return wrong_value(c, "attention.value_length", "that of the keys", err);
    return cv_check_sizes(m, c->path, err);
}

/* Tokens that end a text, a turn or a message; an id that is not there means none. */
static int read_ends(container *c, cv_error *err)
{
    static const char *const keys[] = {"eos", "eot", "eom"};
    cv_facts *m = &c->source.facts;
    char key[64];
    int64_t id;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", keys[i]);
        if (cv_gguf_integer(cv_gguf_find(&c->gguf, key), &id) && id >= 0 && id != UINT32_MAX
            && cv_add_end(m, id, c->path, err) < 0)
            return -1;
    }
    m->bos = -1;
    if (cv_gguf_integer(cv_gguf_find(&c->gguf, "tokenizer.ggml.bos_token_id"), &id) && id >= 0 && id < m->vocab)
        m->bos = (int32_t)id;
    return 0;
}

static int read_facts(container *c, cv_error *err)
{
    c->family = find_family(c, err);
    if (!c->family || check_keys(c, err) < 0 || read_sizes(c, err) < 0 || read_recipe(c, err) < 0) return -1;
    if (read_rope(c, err) < 0 || cv_check_facts(&c->source.facts, c->path, err) < 0) return -1;
    return read_ends(c, err);
}

/* ---- tensors ---- */

/* A part by itself, and where it may stand with others under each other. */
static const struct {
    const char *alone, *stacked;
} names[CV_N_PARTS] = {[CV_EMBEDDING] = {"token_embd.weight", NULL},
                       [CV_POSITION] = {"position_embd.weight", NULL},
                       [CV_FINAL_NORM] = {"output_norm.weight", NULL},
                       [CV_FINAL_NORM_BIAS] = {"output_norm.bias", NULL},
                       [CV_OUTPUT] = {"output.weight", NULL},
                       [CV_OUTPUT_BIAS] = {"output.bias", NULL},
                       [CV_ATTN_NORM] = {"blk.%d.attn_norm.weight", NULL},
                       [CV_ATTN_NORM_BIAS] = {"blk.%d.attn_norm.bias", NULL},
                       [CV_QUERY] = {"blk.%d.attn_q.weight", "blk.%d.attn_qkv.weight"},
                       [CV_KEY] = {"blk.%d.attn_k.weight", "blk.%d.attn_qkv.weight"},
                       [CV_VALUE] = {"blk.%d.attn_v.weight", "blk.%d.attn_qkv.weight"},
                       [CV_QUERY_BIAS] = {"blk.%d.attn_q.bias", "blk.%d.attn_qkv.bias"},
                       [CV_KEY_BIAS] = {"blk.%d.attn_k.bias", "blk.%d.attn_qkv.bias"},
                       [CV_VALUE_BIAS] = {"blk.%d.attn_v.bias", "blk.%d.attn_qkv.bias"},
                       [CV_QUERY_NORM] = {"blk.%d.attn_q_norm.weight", NULL},
                       [CV_KEY_NORM] = {"blk.%d.attn_k_norm.weight", NULL},
                       [CV_ATTN_OUT] = {"blk.%d.attn_output.weight", NULL},
                       [CV_ATTN_OUT_BIAS] = {"blk.%d.attn_output.bias", NULL},
                       [CV_ATTN_POST_NORM] = {"blk.%d.post_attention_norm.weight", NULL},
                       [CV_FFN_NORM] = {"blk.%d.ffn_norm.weight", NULL},
                       [CV_FFN_NORM_BIAS] = {"blk.%d.ffn_norm.bias", NULL},
                       [CV_GATE] = {"blk.%d.ffn_gate.weight", "blk.%d.ffn_up.weight"},
                       [CV_UP] = {"blk.%d.ffn_up.weight", NULL},
                       [CV_GATE_BIAS] = {"blk.%d.ffn_gate.bias", "blk.%d.ffn_up.bias"},
                       [CV_UP_BIAS] = {"blk.%d.ffn_up.bias", NULL},
                       [CV_DOWN] = {"blk.%d.ffn_down.weight", NULL},
                       [CV_DOWN_BIAS] = {"blk.%d.ffn_down.bias", NULL},
                       [CV_FFN_POST_NORM] = {"blk.%d.post_ffw_norm.weight", NULL},
                       [CV_CONV_IN] = {"blk.%d.shortconv.in_proj.weight", NULL},
                       [CV_CONV] = {"blk.%d.shortconv.conv.weight", NULL},
                       [CV_CONV_OUT] = {"blk.%d.shortconv.out_proj.weight", NULL},
                       [CV_LAYER_EMBEDDING] = {"per_layer_token_embd.weight", NULL},
                       [CV_LAYER_INPUT_NORM] = {"per_layer_proj_norm.weight", NULL},
                       [CV_LAYER_INPUT] = {"per_layer_model_proj.weight", NULL},
                       [CV_LAYER_GATE] = {"blk.%d.inp_gate.weight", NULL},
                       [CV_LAYER_OUT] = {"blk.%d.proj.weight", NULL},
                       [CV_LAYER_POST_NORM] = {"blk.%d.post_norm.weight", NULL},
                       [CV_LAYER_SCALE] = {"blk.%d.layer_output_scale.weight", NULL},
                       [CV_SINKS] = {"blk.%d.attn_sinks.weight", NULL},
                       [CV_ROUTER] = {"blk.%d.ffn_gate_inp.weight", NULL},
                       [CV_ROUTER_BIAS] = {"blk.%d.ffn_gate_inp.bias", NULL},
                       [CV_EXPERT_GATE] = {"blk.%d.ffn_gate_exps.weight", NULL},
                       [CV_EXPERT_UP] = {"blk.%d.ffn_up_exps.weight", NULL},
                       [CV_EXPERT_DOWN] = {"blk.%d.ffn_down_exps.weight", NULL},
                       [CV_EXPERT_GATE_BIAS] = {"blk.%d.ffn_gate_exps.bias", NULL},
                       [CV_EXPERT_UP_BIAS] = {"blk.%d.ffn_up_exps.bias", NULL},
                       [CV_EXPERT_DOWN_BIAS] = {"blk.%d.ffn_down_exps.bias", NULL}};

/* The name with the layer's number in the place of %d. */
static void name_part(char *out, size_t capacity, const char *pattern, int32_t layer)
{
    const char *number = strstr(pattern, "%d");
    if (!number) snprintf(out, capacity, "%s", pattern);
    else snprintf(out, capacity, "%.*s%d%s", (int)(number - pattern), pattern, (int)layer, number + 2);
}

/* Sizes of what stands under each other: rows of a matrix, elements of a vector. `begin` is where the part begins. */
static uint64_t stacked_size(const cv_facts *m, cv_part part, uint64_t *begin, uint64_t *all)
{
    uint64_t queries = (uint64_t)m->heads * (uint64_t)m->head_dim, keys = (uint64_t)m->kv_heads * (uint64_t)m->head_dim;
    uint64_t ffn = (uint64_t)m->ffn;
    *begin = 0, *all = queries + 2 * keys;
    switch (part) {
    case CV_QUERY:
    case CV_QUERY_BIAS: return queries;
    case CV_KEY:
    case CV_KEY_BIAS: *begin = queries; return keys;
    case CV_VALUE:
    case CV_VALUE_BIAS: *begin = queries + keys; return keys;
    case CV_UP:
    case CV_UP_BIAS: *begin = ffn; break;
    default: break;
    }
    *all = 2 * ffn;
    return ffn;
}

/* Is the tensor several parts under each other? Ups share theirs with the gates where those have none of their own. */
static int is_shared(const container *c, cv_part part, int32_t layer, char *name, size_t capacity)
{
    int is_plain = c->source.facts.ffn_kind != NULL;
    char gate[112];
    name_part(name, capacity, names[part].alone, layer);
    if (part == CV_UP || part == CV_UP_BIAS) {
        name_part(gate, sizeof gate, names[part == CV_UP ? CV_GATE : CV_GATE_BIAS].alone, layer);
        return !is_plain && !has_tensor(c, gate);
    }
    if (!names[part].stacked || has_tensor(c, name)) return 0;
    name_part(gate, sizeof gate, names[part].stacked, layer);
    if (!has_tensor(c, gate)) return 0;
    memcpy(name, gate, sizeof gate);
    return 1;
}

/* By the family's own name for it. */
static cv_gguf_tensor *find_own(const container *c, cv_part part, int32_t layer, char *name, size_t capacity)
{
    for (const cv_name *own = c->family->gguf.names; own && own->part != CV_NO_PART; own++) {
        if (own->part != part) continue;
        name_part(name, capacity, own->name, layer);
        return cv_gguf_tensor_of(&c->gguf, name);
    }
    return NULL;
}

static int find(cv_source *source, cv_part part, int32_t layer, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    container *c = (container *)source;
    int is_bias = part == CV_EXPERT_GATE_BIAS || part == CV_EXPERT_UP_BIAS || part == CV_EXPERT_DOWN_BIAS;
    uint64_t begin, all, size, experts = cv_is_experts(part) ? (uint64_t)source->facts.experts : 1;
    uint64_t depth = is_bias ? 1 : experts;
    memset(matrix, 0, sizeof *matrix);
    if (!names[part].alone) return cv_fail(err, "%.200s: a part that GGUF files do not have", c->path);
    matrix->part = part;
    cv_gguf_tensor *t = find_own(c, part, layer, matrix->name, sizeof matrix->name);
    if (!t) {
        matrix->fusion = is_shared(c, part, layer, matrix->name, sizeof matrix->name);
        t = cv_gguf_tensor_of(&c->gguf, matrix->name);
    }
    if (!t) return cv_fail(err, "tensor %s is missing", matrix->name);
    t->used = 1;
    matrix->rows = t->rows, matrix->cols = t->cols;
    matrix->at = (uint64_t)(t - c->gguf.tensors), matrix->first = (uint64_t)expert * t->rows / (is_bias ? experts : 1);
    matrix->values = t->type->values;
    if (!t->type->split && t->type->elements > 1) matrix->coarse = t->type->name;
    if (t->depth != depth)
        return cv_fail(err, "tensor %s has %.0f matrices; the sizes of the model demand %.0f", matrix->name,
                       (double)t->depth, (double)depth);
    if (part == CV_CONV) matrix->rows = 1, matrix->cols = t->rows * t->cols;
    if (is_bias && t->rows == experts) matrix->rows = 1;
    if (part == CV_LAYER_INPUT) { /* those of all layers stand under each other */
        cv_shape_of(&source->facts, part, layer, &size, &all);
        if (t->rows != size * (uint64_t)source->facts.layers)
            return cv_fail(err, "tensor %s has %.0f rows; the sizes of the model demand %.0f", matrix->name,
                           (double)t->rows, (double)(size * (uint64_t)source->facts.layers));
        matrix->rows = size, matrix->first = (uint64_t)layer * size;
    }
    if (!matrix->fusion) return 0;
    size = stacked_size(&source->facts, part, &begin, &all);
    if ((t->rows == 1 ? t->cols : t->rows) != all)
        return cv_fail(err, "tensor %s has %.0f rows; the sizes of the model demand %.0f", matrix->name,
                       (double)(t->rows == 1 ? t->cols : t->rows), (double)all);
    *(t->rows == 1 ? &matrix->cols : &matrix->rows) = size;
    return 0;
}

/* Keys and values of a layer that attends to those of another. */
static int is_borrowed(const container *c, const cv_gguf_tensor *t)
{
    static const cv_part parts[] = {CV_KEY, CV_VALUE, CV_KEY_NORM};
    char name[112];
    for (int32_t i = 0; i < c->source.facts.layers; i++)
        for (size_t k = 0; c->source.facts.shared_layers[i] && k < sizeof parts / sizeof *parts; k++) {
            name_part(name, sizeof name, names[parts[k]].alone, i);
            if (strcmp(t->name, name) == 0) return 1;
        }
    return 0;
}

static int check_rest(cv_source *source, cv_error *err)
{
    const container *c = (container *)source;
    for (size_t i = 0; i < c->gguf.n; i++)
        if (!c->gguf.tensors[i].used && !is_borrowed(c, &c->gguf.tensors[i]))
            return cv_fail(err, "tensor %s is not part of a %s model as it is known here", c->gguf.tensors[i].name,
                           c->family->gguf.name);
    return 0;
}

/* The row of the file (of a vector: the element) for row r of the part, which may stand under others. */
static uint64_t source_row(const container *c, const cv_matrix *m, uint64_t r)
{
    uint64_t begin = 0, all;
    if (m->fusion) stacked_size(&c->source.facts, m->part, &begin, &all);
    return m->first + begin + (c->family->gguf.in_pairs ? cv_row_in_pairs(&c->source.facts, m->part, r) : r);
}

/* How many of n rows from r on stand one after the other in the file. */
static uint64_t neighbours(const container *c, const cv_matrix *m, uint64_t r, uint64_t n)
{
    uint64_t count = 1, at = source_row(c, m, r);
    while (count < n && source_row(c, m, r + count) == at + count) count++;
    return count;
}

static int read_vector(const container *c, const cv_matrix *m, float *out, cv_error *err)
{
    const cv_gguf_tensor *t = &c->gguf.tensors[m->at];
    float *whole = cv_alloc((size_t)t->cols, sizeof *whole, err);
    int failed = !whole || cv_gguf_read(&c->gguf, t, 0, t->cols, whole, err) < 0;
    for (uint64_t i = 0; !failed && i < m->cols; i++) out[i] = whole[source_row(c, m, i)];
    free(whole);
    return failed ? -1 : 0;
}

/* The weights of a convolution, [hidden][taps], by tap. */
static int read_taps(const container *c, const cv_gguf_tensor *t, float *out, cv_error *err)
{
    float *whole = cv_alloc((size_t)(t->rows * t->cols), sizeof *whole, err);
    int failed = !whole || cv_gguf_read(&c->gguf, t, 0, t->rows * t->cols, whole, err) < 0;
    for (uint64_t d = 0; !failed && d < t->rows; d++)
        for (uint64_t k = 0; k < t->cols; k++) out[k * t->rows + d] = whole[d * t->cols + k];
    free(whole);
    return failed ? -1 : 0;
}

static int read_rows(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    const container *c = (const container *)source;
    const cv_gguf_tensor *t = &c->gguf.tensors[m->at];
    if (m->part == CV_CONV) return read_taps(c, t, out, err);
    if (t->rows == 1 && n == 1) return read_vector(c, m, out, err);
    for (uint64_t r = 0, count; r < n; r += count) {
        count = neighbours(c, m, first + r, n - r);
        uint64_t at = source_row(c, m, first + r) * t->cols;
        if (cv_gguf_read(&c->gguf, t, at, count * t->cols, out + r * t->cols, err) < 0) return -1;
    }
    return 0;
}

/* Blocks of 32 integers are groups of ours. From group `first` of the tensor on, some at a time. */
static int read_groups(const container *c, const cv_gguf_tensor *t, uint64_t first, uint64_t n, int8_t *q,
                       float *scales, cv_error *err)
{
    enum { MOST = 256 };
    unsigned char raw[MOST * (2 + CV_GROUP)];
    for (uint64_t g = 0, count; g < n; g += count) {
        count = n - g < MOST ? n - g : MOST;
        if (cv_gguf_read_raw(&c->gguf, t, (first + g) * CV_GROUP, count * CV_GROUP, raw, err) < 0
            || cv_split_blocks(t->type, raw, count, q + g * CV_GROUP, scales + g, t->name, err) < 0)
            return -1;
    }
    return 0;
}

static int read_q8(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, int8_t *q, float *scales,
                   cv_error *err)
{
    const container *c = (const container *)source;
    const cv_gguf_tensor *t = &c->gguf.tensors[m->at];
    uint64_t groups = t->cols / CV_GROUP;
    if (!t->type->split) return 1;
    for (uint64_t r = 0, count; r < n; r += count) {
        count = neighbours(c, m, first + r, n - r);
        if (read_groups(c, t, source_row(c, m, first + r) * groups, count * groups, q + r * t->cols,
                        scales + r * groups, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- opening ---- */

static void close_container(cv_source *source)
{
    container *c = (container *)source;
    cv_gguf_close(&c->gguf);
    free(c);
}

int cv_open_gguf(cv_source **source, const char *path, cv_error *err)
{
    container *c = cv_alloc(1, sizeof *c, err);
    if (!c) return -1;
    c->path = path;
    c->source.find = find, c->source.check_rest = check_rest, c->source.read = read_rows, c->source.read_q8 = read_q8;
    c->source.any_order = 1, c->source.close = close_container, c->source.gguf = &c->gguf;
    if (cv_gguf_open(&c->gguf, path, err) < 0 || read_facts(c, err) < 0) {
        close_container(&c->source);
        return -1;
    }
    *source = &c->source;
    return 0;
}
