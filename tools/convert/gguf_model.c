/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * gguf_model.c - the model in a GGUF file; see source.h
 *
 * The keys of a model's computation begin with the name of its architecture. Each of those is read here, known to mean
 * nothing for inference, or refused by name, as in huggingface.c. */
#include "bytes.h"
#include "gguf.h"
#include "quantize.h"
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- families ---- */

typedef struct family {
    const char *name; /* general.architecture, and what its keys begin with */
    const char *architecture;
    int in_pairs; /* rows of queries and keys are in pair order: element 2i of a head turns with 2i + 1 */
} family;

typedef struct container {
    cv_source source; /* first, so that a cv_source is a container */
    cv_gguf gguf;
    const char *path;
    const family *family;
} container;

static const family families[] = {{"llama", "llama", 1}};
enum { N_FAMILIES = sizeof families / sizeof *families };

static const family *find_family(const container *c, cv_error *err)
{
    const cv_gguf_value *v = cv_gguf_find(&c->gguf, "general.architecture");
    char text[64];
    for (int i = 0; i < N_FAMILIES; i++)
        if (cv_gguf_is(v, families[i].name)) return &families[i];
    cv_fail(err, "%.200s: general.architecture is %s, which is not supported", c->path,
            cv_gguf_describe(v, text, sizeof text));
    return NULL;
}

/* ---- keys ---- */

/* Keys that are read below, or that change nothing that a forward pass computes; without the family's name. */
static const char *const known_keys[] = {
    "vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "attention.sliding_window", "rope.dimension_count", "rope.freq_base", "rope.scale_linear", "rope.scaling.type",
    "rope.scaling.factor", "rope.scaling.original_context_length", "rope.scaling.finetuned", "tensor_data_layout"};

static const cv_gguf_value *find_key(const container *c, const char *key)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", c->family->name, key);
    return cv_gguf_find(&c->gguf, full);
}

static int wrong_value(const container *c, const char *key, const char *wanted, cv_error *err)
{
    char text[64];
    return cv_fail(err, "%.200s: %s.%s is %s; %s is wanted", c->path, c->family->name, key,
                   cv_gguf_describe(find_key(c, key), text, sizeof text), wanted);
}

static int is_known(const char *key)
{
    for (size_t i = 0; i < sizeof known_keys / sizeof *known_keys; i++)
        if (strcmp(key, known_keys[i]) == 0) return 1;
    return 0;
}

static int is_off(const cv_gguf_value *v)
{
    double number;
    return cv_gguf_real(v, &number) && number == 0.0;
}

/* A key nobody knows is harmless only if it is off. */
static int check_keys(const container *c, cv_error *err)
{
    const cv_gguf_file *f = &c->gguf.files[0];
    size_t n = strlen(c->family->name);
    char text[64];
    for (size_t i = 0; i < f->n_values; i++) {
        const cv_gguf_value *v = &f->values[i];
        if (strncmp(v->key, c->family->name, n) != 0 || v->key[n] != '.' || is_known(v->key + n + 1) || is_off(v)) continue;
        return cv_fail(err, "%.200s: the key %.80s (%s) is not known, so what the model computes is not either", c->path,
                       v->key, cv_gguf_describe(v, text, sizeof text));
    }
    return 0;
}

/* A count, or an array that gives each layer the same. Absent it is `otherwise`, unless that is -1. */
static int read_size(const container *c, const char *key, int32_t otherwise, int32_t *value, cv_error *err)
{
    const cv_gguf_value *v = find_key(c, key);
    int64_t n = otherwise, other;
    *value = otherwise;
    if (!v && otherwise >= 0) return 0;
    if (!cv_gguf_integer_at(v, 0, &n) || n < 0 || n > INT32_MAX) return wrong_value(c, key, "a count", err);
    for (uint64_t i = 1; i < v->count; i++)
        if (!cv_gguf_integer_at(v, i, &other) || other != n) return wrong_value(c, key, "the same for each layer", err);
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

/* rope_freqs.weight: each frequency is divided by its element. This is how Llama 3's scaling comes. */
static int divide_by_factors(container *c, cv_error *err)
{
    cv_gguf_tensor *t = cv_gguf_tensor_of(&c->gguf, "rope_freqs.weight");
    uint64_t n = (uint64_t)c->source.facts.rope_dims / 2;
    if (!t) return 0;
    if (t->rows != 1 || t->cols != n || t->type->elements != 1)
        return cv_fail(err, "%.200s: tensor %s does not have %.0f floats", c->path, t->name, (double)n);
    const unsigned char *raw = cv_gguf_rows(&c->gguf, t, 0, 1, err);
    if (!raw) return -1;
    t->used = 1;
    for (uint64_t i = 0; i < n; i++) {
        float factor;
        cv_dequantize(t->type, raw + i * t->type->bytes, 1, &factor);
        if (!(factor > 0.0f)) return cv_fail(err, "%.200s: element %.0f of %s is %g", c->path, (double)i, t->name, (double)factor);
        c->source.facts.rope[i] /= factor;
    }
    return 0;
}

static int read_rope(container *c, cv_error *err)
{
    cv_facts *m = &c->source.facts;
    const cv_gguf_value *type = find_key(c, "rope.scaling.type");
    double theta, factor, old;
    if (read_real(c, "rope.freq_base", 10000.0, &theta, err) < 0 || read_real(c, "rope.scale_linear", 0.0, &old, err) < 0
        || read_real(c, "rope.scaling.factor", old, &factor, err) < 0)
        return -1;
    if (!(theta >= 1.0 && theta <= 1e12)) return wrong_value(c, "rope.freq_base", "a number from 1 up", err);
    cv_rope_frequencies(m->rope, m->rope_dims, theta);
    if (type && !cv_gguf_is(type, "none") && !cv_gguf_is(type, "linear"))
        return wrong_value(c, "rope.scaling.type", "none or linear", err);
    if (!cv_gguf_is(type, "none") && factor != 0.0) { /* linear, if nothing is said */
        if (!(factor >= 1.0 && factor <= 1e9)) return wrong_value(c, "rope.scaling.factor", "a number from 1 up", err);
        for (int32_t i = 0; i < m->rope_dims / 2; i++) m->rope[i] /= (float)factor;
    }
    return divide_by_factors(c, err);
}

/* ---- facts ---- */

static int read_sizes(container *c, cv_error *err)
{
    cv_facts *m = &c->source.facts;
    int32_t value_dim, share;
    const cv_gguf_tensor *embedding = cv_gguf_tensor_of(&c->gguf, "token_embd.weight");
    if (!embedding || embedding->rows > INT32_MAX)
        return cv_fail(err, "%.200s: tensor token_embd.weight is missing: there is no model in this file", c->path);
    m->vocab = (int32_t)embedding->rows;
    m->tied = !cv_gguf_tensor_of(&c->gguf, "output.weight");
    if (read_size(c, "embedding_length", -1, &m->hidden, err) < 0 || read_size(c, "block_count", -1, &m->layers, err) < 0
        || read_size(c, "attention.head_count", -1, &m->heads, err) < 0
        || read_size(c, "attention.head_count_kv", m->heads, &m->kv_heads, err) < 0
        || read_size(c, "feed_forward_length", -1, &m->ffn, err) < 0
        || read_size(c, "context_length", 2048, &m->context, err) < 0
        || read_size(c, "attention.sliding_window", 0, &m->window, err) < 0
        || read_real(c, "attention.layer_norm_rms_epsilon", -1.0, &m->norm_eps, err) < 0)
        return -1;
    share = m->heads ? m->hidden / m->heads : 0;
    if (read_size(c, "attention.key_length", share, &m->head_dim, err) < 0
        || read_size(c, "attention.value_length", m->head_dim, &value_dim, err) < 0
        || read_size(c, "rope.dimension_count", m->head_dim, &m->rope_dims, err) < 0)
        return -1;
    if (value_dim != m->head_dim) return wrong_value(c, "attention.value_length", "that of the keys", err);
    if (m->head_dim > CV_MOST_HEAD_DIM || m->rope_dims > m->head_dim)
        return cv_fail(err, "%.200s: heads of %d, of which %d are rotated", c->path, (int)m->head_dim, (int)m->rope_dims);
    return 0;
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
    if (!c->family || check_keys(c, err) < 0 || read_sizes(c, err) < 0) return -1;
    c->source.facts.architecture = c->family->architecture;
    if (read_rope(c, err) < 0 || cv_check_facts(&c->source.facts, c->path, err) < 0) return -1;
    return read_ends(c, err);
}

/* ---- tensors ---- */

static const char *const names[CV_N_PARTS] = {
    [CV_EMBEDDING] = "token_embd.weight", [CV_FINAL_NORM] = "output_norm.weight", [CV_OUTPUT] = "output.weight",
    [CV_ATTN_NORM] = "blk.%d.attn_norm.weight", [CV_QUERY] = "blk.%d.attn_q.weight",
    [CV_KEY] = "blk.%d.attn_k.weight", [CV_VALUE] = "blk.%d.attn_v.weight",
    [CV_ATTN_OUT] = "blk.%d.attn_output.weight", [CV_FFN_NORM] = "blk.%d.ffn_norm.weight",
    [CV_GATE] = "blk.%d.ffn_gate.weight", [CV_UP] = "blk.%d.ffn_up.weight", [CV_DOWN] = "blk.%d.ffn_down.weight"};

/* The name with the layer's number in the place of %d. */
static void name_part(char *out, size_t capacity, const char *pattern, int32_t layer)
{
    const char *number = strstr(pattern, "%d");
    if (!number) snprintf(out, capacity, "%s", pattern);
    else snprintf(out, capacity, "%.*s%d%s", (int)(number - pattern), pattern, (int)layer, number + 2);
}

static int find(cv_source *source, cv_part part, int32_t layer, cv_matrix *matrix, cv_error *err)
{
    container *c = (container *)source;
    memset(matrix, 0, sizeof *matrix);
    if (!names[part]) return cv_fail(err, "%.200s: a part that GGUF files do not have", c->path);
    name_part(matrix->name, sizeof matrix->name, names[part], layer);
    cv_gguf_tensor *t = cv_gguf_tensor_of(&c->gguf, matrix->name);
    if (!t) return cv_fail(err, "tensor %s is missing", matrix->name);
    t->used = 1;
    matrix->rows = t->rows, matrix->cols = t->cols;
    matrix->at = (uint64_t)(t - c->gguf.tensors);
    return 0;
}

static int check_rest(cv_source *source, cv_error *err)
{
    const container *c = (container *)source;
    for (size_t i = 0; i < c->gguf.n; i++)
        if (!c->gguf.tensors[i].used)
            return cv_fail(err, "tensor %s is not part of a %s model as it is known here", c->gguf.tensors[i].name,
                           c->family->name);
    return 0;
}

/* The row of the file for row r of queries or keys in half-split order: element j of a head was at 2j, or, in the second
 * half, at 2j + 1. */
static uint64_t source_row(const container *c, const cv_matrix *m, uint64_t r)
{
    uint64_t dim = (uint64_t)c->source.facts.head_dim, turned = (uint64_t)c->source.facts.rope_dims, j = r % dim;
    if (!c->family->in_pairs || (m->part != CV_QUERY && m->part != CV_KEY) || j >= turned) return r;
    return r - j + (j < turned / 2 ? 2 * j : 2 * (j - turned / 2) + 1);
}

/* How many of n rows from r on stand one after the other in the file. */
static uint64_t neighbours(const container *c, const cv_matrix *m, uint64_t r, uint64_t n)
{
    uint64_t count = 1, at = source_row(c, m, r);
    while (count < n && source_row(c, m, r + count) == at + count) count++;
    return count;
}

static int read_rows(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    container *c = (container *)source;
    const cv_gguf_tensor *t = &c->gguf.tensors[m->at];
    for (uint64_t r = 0, count; r < n; r += count) {
        count = neighbours(c, m, first + r, n - r);
        const unsigned char *raw = cv_gguf_rows(&c->gguf, t, source_row(c, m, first + r), count, err);
        if (!raw) return -1;
        cv_dequantize(t->type, raw, count * t->cols, out + r * t->cols);
    }
    return 0;
}

/* Blocks of 32 with a half as scale: they are groups of ours. */
static int split_q8(const cv_gguf_tensor *t, const unsigned char *raw, uint64_t groups, int8_t *q, float *scales,
                    cv_error *err)
{
    for (uint64_t g = 0; g < groups; g++, raw += t->type->bytes) {
        scales[g] = cv_float_of_half(cv_u16(raw));
        if (!(scales[g] >= 0.0f && scales[g] <= 65504.0f))
            return cv_fail(err, "tensor %s: a scale is %g", t->name, (double)scales[g]);
        memcpy(q + g * CV_GROUP, raw + 2, CV_GROUP);
    }
    return 0;
}

static int read_q8(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, int8_t *q, float *scales,
                   cv_error *err)
{
    container *c = (container *)source;
    const cv_gguf_tensor *t = &c->gguf.tensors[m->at];
    uint64_t groups = t->cols / CV_GROUP;
    if (t->type->id != CV_GGML_Q8_0) return 1;
    for (uint64_t r = 0, count; r < n; r += count) {
        count = neighbours(c, m, first + r, n - r);
        const unsigned char *raw = cv_gguf_rows(&c->gguf, t, source_row(c, m, first + r), count, err);
        if (!raw || split_q8(t, raw, count * groups, q + r * t->cols, scales + r * groups, err) < 0) return -1;
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
    c->source.close = close_container;
    if (cv_gguf_open(&c->gguf, path, err) < 0 || read_facts(c, err) < 0) {
        close_container(&c->source);
        return -1;
    }
    *source = &c->source;
    return 0;
}
