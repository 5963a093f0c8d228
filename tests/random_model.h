/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * random_model.h - random small models of every recipe, as valid .harp files in memory
 *
 * Written with harp_file.h, which uses no function of the library, and without libm, so that a shape gives the same
 * bytes on every machine. Between the tensors are gaps, which nobody may read: rm_copy fills them with garbage. */
#ifndef HARP_RANDOM_MODEL_H
#define HARP_RANDOM_MODEL_H

#include "harp_file.h"

#if defined(__has_feature)
#define RM_HAS(feature) __has_feature(feature)
#else
#define RM_HAS(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || RM_HAS(address_sanitizer)                         \
    || RM_HAS(thread_sanitizer) || RM_HAS(memory_sanitizer)
#define RM_SANITIZED 1
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_ADDRESS__) || RM_HAS(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#endif

enum { RM_MOST_TENSORS = 100, RM_MOST_BYTES = 3 << 20 };

typedef struct rm_shape {
    int layers, heads, kv_heads, head_dim, hidden, ffn, vocab, context, window, tied, rope_dims;
    int norm, place, residual, activation, ffn_kind, qk_norm; /* which of the format's words                       */
    int rope_original;                                        /* 0: none                                           */
    int has_positions, window_layers, local_layers;           /* flags                                             */
    int attention_scale, attention_cap, logit_cap, embedding_scale, rope_scale; /* flags: not the default            */
    int attention_step; /* 0: the scores do not grow */
    int experts, experts_used, expert_ffn, routing, expert_layers; /* experts: 0, none; expert_layers: a flag */
    int sinks; /* a flag */
    int conv_taps; /* 0: no layer is a convolution, or has one */
    int conv_layers; /* a flag */
    int delta_heads, delta_key_heads, delta_key_dim, delta_value_dim; /* delta_heads 0: no layer is a delta net */
    int attn_gates, shared_ffn; /* a flag; 0: no expert for all tokens */
    int local_head_dim, narrow_ffn, layer_inputs; /* 0: none; narrow are the odd layers */
    int shared_layers, value_norms, layer_scales; /* flags; the even layers have a scale */
    int biases; /* bit i % 16: the i-th bias that may be there is    */
    int is_float, zero_eps, tokenizer, ends;
    int nibbles; /* bit i % 8: the i-th matrix of the layers has weights of four bits */
    int loud; /* a token whose embedding is as large as the type has it, so that numbers overflow; -1: none         */
    int gap;  /* bytes between tensors                                                                              */
    float loudness; /* of the output: how sure of itself the model is */
    uint64_t seed;
} rm_shape;

typedef struct rm_tensor {
    char name[48];
    int type;
    uint32_t rows, cols;
    size_t offset, bytes;
} rm_tensor;

typedef struct rm_file {
    hf_file file; /* data: [RM_MOST_BYTES] */
    size_t head;  /* where the data begins */
    rm_tensor tensors[RM_MOST_TENSORS];
    int n_tensors, n_biases, n_matrices;
} rm_file;

/* ---- Chance ---- */

typedef struct chance {
    uint64_t state;
} chance;

static chance chance_of(uint64_t seed, uint64_t stream)
{
    chance c;
    c.state = seed * 0x9E3779B97F4A7C15u ^ stream * 0xD1B54A32D192ED03u;
    return c;
}

static uint32_t draw(chance *c, uint32_t n) /* 0..n-1 */
{
    uint64_t z = c->state += 0x9E3779B97F4A7C15u; /* SplitMix64 [Steele, Lea, Flood 2014] */
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)(((z ^ z >> 31) >> 32) * n >> 32);
}

static int one_in(chance *c, uint32_t n) { return draw(c, n) == 0; }

/* ---- Shapes ---- */

static int rm_even_part(chance *c, int n) /* 2, 4, ... up to n */ { return 2 * (1 + (int)draw(c, (uint32_t)n / 2)); }

/* The sizes at which blocks of 16, groups of 32 and heaps end, and what lies beside them. */
static void rm_draw_sizes(chance *c, rm_shape *s)
{
    static const int edges[] = {1, 2, 15, 16, 17, 31, 32, 33, 48}, dims[] = {2, 3, 4, 8, 8, 15, 16, 17};
    s->layers = 1 + (int)draw(c, 3);
    s->kv_heads = 1 + (int)draw(c, 2), s->heads = s->kv_heads * (1 + (int)draw(c, 3));
    s->head_dim = dims[draw(c, 8)];
    s->hidden = one_in(c, 2) ? edges[draw(c, 9)] : 1 + (int)draw(c, 48);
    s->ffn = one_in(c, 2) ? edges[draw(c, 9)] : 1 + (int)draw(c, 50);
    s->vocab = one_in(c, 5) ? 1 + (int)draw(c, 20) : 40 + (int)draw(c, 60);
    if (one_in(c, 16)) s->vocab = 520 + (int)draw(c, 100);
    s->context = one_in(c, 8) ? 1 + (int)draw(c, 20) : 24 + (int)draw(c, 80);
    s->window = one_in(c, 3) ? 1 + (int)draw(c, 40) : 0;
}

/* Sizes of an expert are multiples of 16. */
static void rm_draw_experts(chance *c, rm_shape *s)
{
    if (!one_in(c, 4)) return;
    s->experts = one_in(c, 4) ? 17 : 1 + (int)draw(c, 8), s->experts_used = 1 + (int)draw(c, (uint32_t)s->experts);
    s->expert_ffn = (s->ffn_kind ? 16 : 8) * (1 + (int)draw(c, 4));
    s->routing = (int)draw(c, 2), s->expert_layers = one_in(c, 2);
    s->hidden = 16 * (1 + (int)draw(c, 3)), s->residual = 0;
    if (one_in(c, 3)) s->shared_ffn = 1 + (int)draw(c, 50);
}

/* Heads make up the hidden size there, and keys and values hold the inputs of a convolution. */
static void rm_draw_convolutions(chance *c, rm_shape *s)
{
    if (!one_in(c, 4)) return;
    s->conv_taps = one_in(c, 8) ? 16 : 2 + (int)draw(c, 4), s->residual = 0, s->conv_layers = 1;
    if (s->experts) s->head_dim = 16;
    else if (s->heads * s->head_dim % (2 * s->kv_heads)) s->head_dim++;
    if (s->rope_dims > s->head_dim) s->rope_dims = s->head_dim / 2 * 2;
    s->hidden = s->heads * s->head_dim;
}

/* Sizes are multiples of 16, and of 32 with all heads; states are copied at every 16th to 48th position. */
static void rm_draw_deltas(chance *c, rm_shape *s)
{
    if (!one_in(c, 4)) return;
    s->delta_key_heads = 1 + (int)draw(c, 2), s->delta_heads = s->delta_key_heads * (1 + (int)draw(c, 3));
    s->delta_key_dim = 16 * (1 + (int)draw(c, 2)), s->delta_value_dim = 16 * (1 + (int)draw(c, 2));
    if (s->delta_heads % 2) s->delta_value_dim = 32;
    s->heads = 2 * s->kv_heads, s->head_dim = 16, s->residual = 0;
    if (s->rope_dims > s->head_dim) s->rope_dims = s->head_dim;
    if (s->conv_layers) s->hidden = s->heads * s->head_dim;
    else s->conv_taps = one_in(c, 8) ? 16 : 2 + (int)draw(c, 4);
}

/* Heads of two sizes, of which the smaller ones fill groups of 32; numbers that a layer has of a token for itself. */
static void rm_draw_layers(chance *c, rm_shape *s)
{
    if (s->rope_dims && one_in(c, 4)) {
        s->local_layers = 1, s->local_head_dim = 16, s->heads = s->kv_heads * 2;
        s->head_dim = 16 + (int)draw(c, 18);
    }
    if (one_in(c, 5)) s->ffn_kind = 0, s->layer_inputs = 16 * (1 + (int)draw(c, 3));
    if (one_in(c, 4)) s->narrow_ffn = 1 + (int)draw(c, (uint32_t)s->ffn);
    s->shared_layers = one_in(c, 3), s->value_norms = one_in(c, 3), s->layer_scales = one_in(c, 4);
}

static inline rm_shape rm_draw_shape(chance *c)
{
    rm_shape s;
    memset(&s, 0, sizeof s);
    rm_draw_sizes(c, &s);
    s.tied = one_in(c, 2), s.rope_dims = one_in(c, 4) ? 0 : rm_even_part(c, s.head_dim);
    s.norm = (int)draw(c, 2), s.place = one_in(c, 2) ? 0 : (int)draw(c, 3);
    s.residual = s.place == 0 ? (int)draw(c, 3) : 0;
    s.activation = (int)draw(c, 3), s.ffn_kind = (int)draw(c, 2), s.qk_norm = (int)draw(c, 3);
    s.rope_original = s.rope_dims && one_in(c, 3) ? 1 + (int)draw(c, (uint32_t)s.context) : 0;
    s.has_positions = one_in(c, 3), s.window_layers = one_in(c, 3), s.local_layers = s.rope_dims && one_in(c, 4);
    s.attention_scale = one_in(c, 4), s.attention_cap = one_in(c, 4), s.logit_cap = one_in(c, 4);
    s.embedding_scale = one_in(c, 4), s.rope_scale = one_in(c, 4);
    s.biases = one_in(c, 2) ? 0 : one_in(c, 2) ? 0xFFFF : (int)draw(c, 0x10000);
    s.is_float = one_in(c, 5), s.zero_eps = one_in(c, 10), s.tokenizer = one_in(c, 4) ? 0 : 1 + (int)draw(c, 2),
    s.ends = one_in(c, 10) ? 16 : 1;
    s.loud = one_in(c, 4) ? (int)draw(c, (uint32_t)s.vocab) : -1;
    if (s.loud >= 0 && one_in(c, 2)) s.is_float = 1, s.hidden = s.hidden / 16 * 16 + 1; /* NaNs in the padding */
    s.gap = one_in(c, 4) ? 0 : (int)draw(c, 200);
    s.loudness = (float)(1u << draw(c, 4)) * 0.25f;
    s.seed = draw(c, 1u << 31);
    rm_draw_layers(c, &s);
    rm_draw_experts(c, &s);
    rm_draw_convolutions(c, &s);
    rm_draw_deltas(c, &s);
    s.attn_gates = one_in(c, 4);
    s.sinks = one_in(c, 4);
    if (!s.ffn_kind && one_in(c, 5)) s.activation = 3;
    s.attention_step = one_in(c, 4) ? 1 + (int)draw(c, (uint32_t)s.context) : 0;
    s.nibbles = s.seed % 3 == 0 ? 0xFF : s.seed % 3 == 1 ? (int)(s.seed >> 8 & 0xFF) : 0;
    return s;
}

/* ---- Metadata ---- */

static void rm_put_tokenizer(hf_file *f, const rm_shape *s)
{
    if (s->tokenizer && s->vocab >= 40)
        hf_put_tokenizer(f, (unsigned)s->tokenizer, (uint32_t)s->vocab, (unsigned)(s->seed & 1));
}

static void rm_put_sizes(hf_file *f, const rm_shape *s)
{
    const struct {
        const char *key;
        int value;
    } sizes[] = {{"vocab", s->vocab},       {"hidden", s->hidden},       {"layers", s->layers}, {"heads", s->heads},
                 {"kv_heads", s->kv_heads}, {"head_dim", s->head_dim},   {"ffn", s->ffn},       {"context", s->context},
                 {"window", s->window},     {"rope_dims", s->rope_dims}, {"tied", s->tied}};
    size_t i;
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) hf_integer(f, sizes[i].key, (uint64_t)sizes[i].value);
    hf_real(f, "norm_eps", s->zero_eps ? 0.0 : 1e-5);
}

/* Which flag of window_layers, local_layers, conv_layers a layer has. */
static int rm_is_odd(int i) { return i % 2 == 1; }
static int rm_is_third(int i) { return i % 3 == 0; }

/* What stands in the place of attention: in every third layer a convolution, in the others but one a delta net. */
static int rm_is_conv(const rm_shape *s, int i) { return s->conv_layers && rm_is_third(i); }
static int rm_is_delta(const rm_shape *s, int i) { return s->delta_heads && !rm_is_conv(s, i) && i % 3 < 2; }
static int rm_attends(const rm_shape *s, int i) { return !rm_is_conv(s, i) && !rm_is_delta(s, i); }

/* Does the layer attend to the keys and values of one before it? There must be one with the same window and rope. */
static int rm_is_shared(const rm_shape *s, int i)
{
    int j;
    for (j = i - 1; j >= 0 && s->shared_layers && rm_attends(s, i); j--)
        if (rm_attends(s, j) && !rm_is_shared(s, j)
            && (!s->window_layers || !s->window || rm_is_odd(i) == rm_is_odd(j))
            && (!s->local_layers || rm_is_third(i) == rm_is_third(j)))
            return 1;
    return 0;
}

static void rm_put_layers(hf_file *f, const rm_shape *s)
{
    uint8_t odd[8] = {0, 1, 0, 1, 0, 1, 0, 1}, shared[8];
    int i;
    for (i = 0; i < s->layers; i++) shared[i] = (uint8_t)rm_is_shared(s, i);
    if (s->shared_layers) hf_meta(f, 4, "shared_layers", shared, (size_t)s->layers);
    if (s->local_head_dim) hf_integer(f, "local_head_dim", (uint64_t)s->local_head_dim);
    if (s->narrow_ffn) hf_integer(f, "narrow_ffn", (uint64_t)s->narrow_ffn);
    if (s->narrow_ffn) hf_meta(f, 4, "narrow_layers", odd, (size_t)s->layers);
    if (s->layer_inputs) hf_integer(f, "layer_inputs", (uint64_t)s->layer_inputs);
    if (s->layer_inputs) hf_real(f, "layer_input_scale", 0.75);
}

static void rm_put_deltas(hf_file *f, const rm_shape *s)
{
    uint8_t delta[8];
    int i;
    if (!s->delta_heads) return;
    for (i = 0; i < s->layers; i++) delta[i] = (uint8_t)rm_is_delta(s, i);
    hf_meta(f, 4, "delta_layers", delta, (size_t)s->layers);
    hf_integer(f, "delta_heads", (uint64_t)s->delta_heads);
    hf_integer(f, "delta_key_heads", (uint64_t)s->delta_key_heads);
    hf_integer(f, "delta_key_dim", (uint64_t)s->delta_key_dim);
    hf_integer(f, "delta_value_dim", (uint64_t)s->delta_value_dim);
}

static void rm_put_recipe(hf_file *f, const rm_shape *s)
{
    static const char *const norm[] = {"rms", "layer"}, *const place[] = {"before", "after", "around"};
    static const char *const residual[] = {"sequential", "parallel", "parallel_shared"};
    static const char *const activation[] = {"silu", "gelu_tanh", "gelu_erf", "clamped"};
    static const char *const ffn[] = {"gated", "plain"};
    static const char *const qk[] = {"none", "head", "all"}, *const routing[] = {"chosen", "all"};
    uint8_t odd[8] = {0, 1, 0, 1, 0, 1, 0, 1}, third[8] = {1, 0, 0, 1, 0, 0, 1, 0};
    hf_text(f, "norm", norm[s->norm]), hf_text(f, "norm_place", place[s->place]);
    hf_text(f, "residual", residual[s->residual]), hf_text(f, "activation", activation[s->activation]);
    hf_text(f, "ffn_kind", ffn[s->ffn_kind]), hf_text(f, "qk_norm", qk[s->qk_norm]);
    if (s->attention_scale) hf_real(f, "attention_scale", 0.5);
    if (s->attention_cap) hf_real(f, "attention_cap", 5.0);
    if (s->logit_cap) hf_real(f, "logit_cap", 4.0);
    if (s->embedding_scale) hf_real(f, "embedding_scale", 3.0);
    if (s->rope_scale) hf_real(f, "rope_scale", 1.25);
    if (s->experts) hf_integer(f, "experts", (uint64_t)s->experts), hf_text(f, "routing", routing[s->routing]);
    if (s->experts) hf_integer(f, "experts_used", (uint64_t)s->experts_used);
    if (s->experts) hf_integer(f, "expert_ffn", (uint64_t)s->expert_ffn);
    if (s->experts && s->expert_layers) hf_meta(f, 4, "expert_layers", odd, (size_t)s->layers);
    if (s->conv_taps) hf_integer(f, "conv_taps", (uint64_t)s->conv_taps);
    if (s->conv_layers) hf_meta(f, 4, "conv_layers", third, (size_t)s->layers);
    rm_put_deltas(f, s);
    if (s->shared_ffn) hf_integer(f, "shared_ffn", (uint64_t)s->shared_ffn);
    rm_put_layers(f, s);
    if (s->attention_step) hf_real(f, "attention_growth", 0.25);
    if (s->attention_step) hf_integer(f, "attention_step", (uint64_t)s->attention_step);
    if (s->rope_original) hf_integer(f, "rope_original", (uint64_t)s->rope_original);
    if (s->window_layers) hf_meta(f, 4, "window_layers", odd, (size_t)s->layers);
    if (s->local_layers) hf_meta(f, 4, "local_layers", third, (size_t)s->layers);
}

static void rm_put_metadata(hf_file *f, const rm_shape *s)
{
    uint32_t ends[16];
    size_t i;
    for (i = 0; i < 16; i++) ends[i] = 2;
    hf_text(f, "architecture", "random");
    rm_put_sizes(f, s);
    rm_put_recipe(f, s);
    if (s->vocab > 1) hf_integer(f, "bos_token", 1);
    if (s->vocab > 2) hf_table(f, "end_tokens", ends, (size_t)s->ends);
    rm_put_tokenizer(f, s);
}

/* ---- Tensors ---- */

static void rm_plan(rm_file *f, int layer, const char *part, int type, int rows, int cols)
{
    rm_tensor *t = &f->tensors[f->n_tensors++];
    memset(t, 0, sizeof *t);
    if (layer >= 0) t->name[0] = (char)('0' + layer), t->name[1] = '.';
    strcat(t->name, part);
    t->type = type, t->rows = (uint32_t)rows, t->cols = (uint32_t)cols;
    t->bytes = hf_tensor_bytes((unsigned)type, t->rows, t->cols);
}

/* A matrix of a layer, which may have four bits. */
static void rm_plan_matrix(rm_file *f, const rm_shape *s, int layer, const char *part, int type, int rows, int cols)
{
    rm_plan(f, layer, part, s->nibbles >> f->n_matrices++ % 8 & 1 ? HF_NIBBLES : type, rows, cols);
}

static void rm_plan_bias(rm_file *f, const rm_shape *s, int layer, const char *part, int cols)
{
    if (s->biases >> f->n_biases++ % 16 & 1) rm_plan(f, layer, part, HF_VECTOR, 1, cols);
}

static void rm_plan_norm(rm_file *f, const rm_shape *s, int layer, const char *weight, const char *bias)
{
    rm_plan(f, layer, weight, HF_VECTOR, 1, s->hidden);
    if (s->norm == 1) rm_plan_bias(f, s, layer, bias, s->hidden);
}

static void rm_plan_delta(rm_file *f, const rm_shape *s, int i, int matrix)
{
    int values = s->delta_heads * s->delta_value_dim, inputs = 2 * s->delta_key_heads * s->delta_key_dim + values;
    rm_plan_matrix(f, s, i, "qkv", matrix, inputs, s->hidden);
    rm_plan_matrix(f, s, i, "attn_gate", matrix, values, s->hidden);
    rm_plan(f, i, "delta_gates", s->is_float || s->seed % 2 ? HF_FLOAT : HF_INT8, 2 * s->delta_heads, s->hidden);
    rm_plan(f, i, "conv", HF_VECTOR, 1, s->conv_taps * inputs);
    rm_plan(f, i, "delta_log_rate", HF_VECTOR, 1, s->delta_heads);
    rm_plan(f, i, "delta_bias", HF_VECTOR, 1, s->delta_heads);
    rm_plan(f, i, "delta_norm", HF_VECTOR, 1, s->delta_value_dim);
    rm_plan_matrix(f, s, i, "attn_out", matrix, s->hidden, values);
}

static void rm_plan_layer(rm_file *f, const rm_shape *s, int i, int matrix)
{
    int dim = s->local_head_dim && rm_is_third(i) ? s->local_head_dim : s->head_dim, shared = rm_is_shared(s, i);
    int queries = s->heads * dim, keys = shared ? 0 : s->kv_heads * dim;
    int ffn = s->narrow_ffn && rm_is_odd(i) ? s->narrow_ffn : s->ffn, inner = s->ffn_kind ? ffn : 2 * ffn;
    if (s->place != 1) rm_plan_norm(f, s, i, "attn_norm", "attn_norm_bias");
    if (rm_is_delta(s, i)) {
        rm_plan_delta(f, s, i, matrix);
    } else if (rm_is_conv(s, i)) {
        rm_plan_matrix(f, s, i, "qkv", matrix, 3 * s->hidden, s->hidden);
        rm_plan(f, i, "conv", HF_VECTOR, 1, s->conv_taps * s->hidden);
        rm_plan_matrix(f, s, i, "attn_out", matrix, s->hidden, s->hidden);
    } else {
        rm_plan_matrix(f, s, i, "qkv", matrix, queries + 2 * keys, s->hidden);
        rm_plan_bias(f, s, i, "qkv_bias", queries + 2 * keys);
        if (s->attn_gates) rm_plan_matrix(f, s, i, "attn_gate", matrix, queries, s->hidden);
        if (s->qk_norm) {
            rm_plan(f, i, "q_norm", HF_VECTOR, 1, s->qk_norm == 2 ? queries : dim);
            if (!shared) rm_plan(f, i, "k_norm", HF_VECTOR, 1, s->qk_norm == 2 ? keys : dim);
            if (!shared && s->value_norms) rm_plan(f, i, "v_norm", HF_VECTOR, 1, dim);
        }
        if (s->sinks) rm_plan(f, i, "sinks", HF_VECTOR, 1, s->heads);
        rm_plan_matrix(f, s, i, "attn_out", matrix, s->hidden, queries);
        rm_plan_bias(f, s, i, "attn_out_bias", s->hidden);
    }
    if (s->place != 0) rm_plan_norm(f, s, i, "attn_post_norm", "attn_post_norm_bias");
    if (s->place != 1 && s->residual != 2) rm_plan_norm(f, s, i, "ffn_norm", "ffn_norm_bias");
    if (s->experts && (!s->expert_layers || i % 2 == 1)) {
        int rows = s->ffn_kind ? s->expert_ffn : 2 * s->expert_ffn, routed = s->experts + (s->shared_ffn > 0);
        rm_plan(f, i, "router", s->is_float || s->seed % 2 ? HF_FLOAT : HF_INT8, routed, s->hidden);
        rm_plan_bias(f, s, i, "router_bias", routed);
        rm_plan_matrix(f, s, i, "gate_up", matrix, s->experts * rows, s->hidden);
        rm_plan_bias(f, s, i, "gate_up_bias", s->experts * rows);
        rm_plan_matrix(f, s, i, "down", matrix, s->experts * s->hidden, s->expert_ffn);
        rm_plan_bias(f, s, i, "down_bias", s->experts * s->hidden);
        if (s->shared_ffn) {
            rm_plan_matrix(f, s, i, "shared_gate_up", matrix, (s->ffn_kind ? 1 : 2) * s->shared_ffn, s->hidden);
            rm_plan_matrix(f, s, i, "shared_down", matrix, s->hidden, s->shared_ffn);
        }
    } else {
        rm_plan_matrix(f, s, i, "gate_up", matrix, inner, s->hidden);
        rm_plan_bias(f, s, i, "gate_up_bias", inner);
        rm_plan_matrix(f, s, i, "down", matrix, s->hidden, ffn);
        rm_plan_bias(f, s, i, "down_bias", s->hidden);
    }
    if (s->place != 0) rm_plan_norm(f, s, i, "ffn_post_norm", "ffn_post_norm_bias");
    if (s->layer_inputs) {
        rm_plan_matrix(f, s, i, "layer_input", matrix, s->layer_inputs, s->hidden);
        rm_plan_matrix(f, s, i, "layer_gate", matrix, s->layer_inputs, s->hidden);
        rm_plan_matrix(f, s, i, "layer_out", matrix, s->hidden, s->layer_inputs);
        rm_plan_norm(f, s, i, "layer_post_norm", "layer_post_norm_bias");
    }
    if (s->layer_scales && i % 2 == 0) rm_plan(f, i, "layer_scale", HF_VECTOR, 1, 1);
}

static void rm_plan_all(rm_file *f, const rm_shape *s)
{
    int matrix = s->is_float ? HF_FLOAT : HF_INT8, i;
    rm_plan(f, -1, "embedding", matrix, s->vocab, s->hidden);
    if (s->has_positions) rm_plan(f, -1, "position_embedding", matrix, s->context, s->hidden);
    if (s->rope_dims) rm_plan(f, -1, "rope_frequencies", HF_VECTOR, 1, s->rope_dims / 2);
    if (s->rope_original) rm_plan(f, -1, "rope_long", HF_VECTOR, 1, s->rope_dims / 2);
    if (s->local_layers)
        rm_plan(f, -1, "rope_local", HF_VECTOR, 1, (s->local_head_dim ? s->local_head_dim : s->rope_dims) / 2);
    if (s->layer_inputs) rm_plan(f, -1, "layer_embedding", matrix, s->vocab, s->layers * s->layer_inputs);
    if (s->layer_inputs) rm_plan(f, -1, "layer_input_norm", HF_VECTOR, 1, s->layer_inputs);
    for (i = 0; i < s->layers; i++) rm_plan_layer(f, s, i, matrix);
    rm_plan_norm(f, s, -1, "final_norm", "final_norm_bias");
    if (!s->tied) rm_plan(f, -1, "output", matrix, s->vocab, s->hidden);
    rm_plan_bias(f, s, -1, "output_bias", s->vocab);
}

static float rm_unit(chance *c) /* -1..1 */ { return (float)((int32_t)draw(c, 2000001) - 1000000) / 1000000.0f; }

/* Norms are around 1, biases small; frequencies fall as those of rope do. */
static void rm_fill_vector(uint8_t *p, const rm_tensor *t, chance *c)
{
    int is_rope = strncmp(t->name, "rope_", 5) == 0, is_norm = strstr(t->name, "norm") && !strstr(t->name, "bias");
    float frequency = strcmp(t->name, "rope_long") == 0 ? 0.37f : strcmp(t->name, "rope_local") == 0 ? 1.7f : 1.0f;
    uint32_t i;
    for (i = 0; i < t->cols; i++, frequency *= 0.4f)
        hf_store_float(p + 4 * (size_t)i, is_rope ? frequency : is_norm ? 1.0f + 0.3f * rm_unit(c) : 0.2f * rm_unit(c));
}

/* The exponent of a half near gain / 128. */
static uint32_t rm_exponent(float gain)
{
    uint32_t exponent = 15 - 7;
    for (; gain > 1.5f; gain /= 2.0f) exponent++;
    for (; gain < 0.75f; gain *= 2.0f) exponent--;
    return exponent;
}

/* Weights up to gain in size; what lies outside the matrix stays zero. Those of row `loud` are as large as can be. */
static void rm_fill_matrix(uint8_t *p, const rm_tensor *t, chance *c, float gain, int loud)
{
    size_t groups = (t->cols + 31) / 32, scale_bytes = (32 * groups + 63) / 64 * 64, row, col;
    size_t tile_bytes = t->type == HF_FLOAT ? groups * 2048 : scale_bytes + groups * 512;
    uint32_t exponent = rm_exponent(gain);
    for (row = 0; row < t->rows; row++)
        for (col = 0; col < t->cols; col++) {
            uint8_t *tile = p + row / 16 * tile_bytes, *scale = tile + 2 * (col / 32 * 16 + row % 16);
            float x = rm_unit(c);
            int is_loud = (int)row == loud;
            if (t->type == HF_FLOAT) {
                hf_store_float(tile + 4 * (col * 16 + row % 16), x * (is_loud ? 3e38f : gain));
                continue;
            }
            if (col % 32 == 0) hf_store(scale, is_loud ? 0x7BFF : exponent << 10 | draw(c, 1024), 2);
            tile[scale_bytes + col / 32 * 512 + col % 32 / 4 * 64 + row % 16 * 4 + col % 4] =
                (uint8_t)(int)(x * 127.0f);
        }
}

/* Nibbles, any; a random table, and scales of either sign. */
static void rm_fill_nibbles(uint8_t *p, const rm_tensor *t, chance *c, float gain)
{
    size_t groups = (t->cols + 31) / 32, scale_bytes = (32 * groups + 63) / 64 * 64, tile, i;
    uint32_t exponent = rm_exponent(gain);
    for (i = 0; i < 16; i++) p[i] = (uint8_t)draw(c, 256);
    for (tile = 0, p += 64; tile < (t->rows + 15) / 16; tile++, p += scale_bytes + groups * 256) {
        for (i = 0; i < groups * 16; i++)
            if (tile * 16 + i % 16 < t->rows) hf_store(p + 2 * i, draw(c, 2) << 15 | exponent << 10 | draw(c, 1024), 2);
        for (i = 0; i < groups * 256; i++) p[scale_bytes + i] = (uint8_t)draw(c, 256);
    }
}

static void rm_put_tensors(rm_file *f, const rm_shape *s)
{
    hf_file *to = &f->file;
    size_t table = to->bytes;
    chance c = chance_of(s->seed, 1);
    int i;
    hf_put(to, NULL, 96 * (size_t)f->n_tensors);
    hf_pad(to, 64);
    f->head = to->bytes;
    for (i = 0; i < f->n_tensors; i++) {
        rm_tensor *t = &f->tensors[i];
        uint8_t *p;
        int is_output = strcmp(t->name, "output") == 0 || (s->tied && i == 0);
        hf_put(to, NULL, (size_t)s->gap);
        hf_pad(to, 64);
        t->offset = to->bytes, p = to->data + to->bytes;
        hf_put(to, NULL, t->bytes);
        if (t->type == HF_NIBBLES) hf_store(to->data + 8, 2, 4), rm_fill_nibbles(p, t, &c, 0.6f);
        else if (t->type == HF_VECTOR) rm_fill_vector(p, t, &c);
        else rm_fill_matrix(p, t, &c, is_output ? s->loudness : 0.6f, i == 0 ? s->loud : -1);
        hf_store_record(to->data + table + 96 * (size_t)i, t->name, (uint32_t)t->type, hf_crc(0, p, t->bytes), t->rows,
                        t->cols, t->offset, t->bytes);
    }
    hf_store(to->data + 16, to->bytes, 8), hf_store(to->data + 36, (uint64_t)f->n_tensors, 4);
    hf_store(to->data + 48, table, 8), hf_store(to->data + 56, f->head, 8);
    hf_store(to->data + 12, hf_crc(0, to->data, f->head), 4);
}

/* The file of this shape. f->file.data stays the caller's; it has room for RM_MOST_BYTES. */
static void rm_write(rm_file *f, const rm_shape *s)
{
    f->n_tensors = f->n_biases = f->n_matrices = 0, f->file.capacity = RM_MOST_BYTES;
    hf_begin(&f->file);
    rm_put_metadata(&f->file, s);
    hf_store(f->file.data + 40, f->file.bytes - 64, 8);
    rm_plan_all(f, s);
    rm_put_tensors(f, s);
}

/* ---- Copies whose gaps hold garbage ---- */

typedef struct rm_copy {
    uint8_t *memory, *data; /* data: at any alignment within memory */
    size_t bytes;
} rm_copy;

/* memory is as long as it must be, so that a read beyond the last tensor is one beyond a block of malloc's. */
static inline rm_copy rm_copy_file(const rm_file *f, size_t shift, uint8_t garbage)
{
    rm_copy copy;
    int i;
    copy.memory = malloc(f->file.bytes + shift);
    if (!copy.memory) abort();
    copy.data = copy.memory + shift, copy.bytes = f->file.bytes;
    memcpy(copy.data, f->file.data, f->file.bytes);
    for (i = 0; i < f->n_tensors; i++) {
        size_t end = i == 0 ? f->head : f->tensors[i - 1].offset + f->tensors[i - 1].bytes;
        memset(copy.data + end, garbage, f->tensors[i].offset - end);
        ASAN_POISON_MEMORY_REGION(copy.data + end, f->tensors[i].offset - end);
    }
    return copy;
}

static inline void rm_free_copy(rm_copy *copy)
{
    if (copy->memory) ASAN_UNPOISON_MEMORY_REGION(copy->memory, copy->bytes + (size_t)(copy->data - copy->memory));
    free(copy->memory);
    copy->memory = NULL;
}

#endif
