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

enum { RM_MOST_TENSORS = 64, RM_MOST_BYTES = 3 << 20 };

typedef struct rm_shape {
    int layers, heads, kv_heads, head_dim, hidden, ffn, vocab, context, window, tied, rope_dims;
    int norm, place, residual, activation, ffn_kind, qk_norm; /* which of the format's words                       */
    int rope_original;                                        /* 0: none                                           */
    int has_positions, window_layers, local_layers;           /* flags                                             */
    int attention_scale, attention_cap, logit_cap, embedding_scale, rope_scale; /* flags: not the default            */
    int biases; /* bit i % 16: the i-th bias that may be there is    */
    int is_float, zero_eps, tokenizer, ends;
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
    int n_tensors, n_biases;
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

static rm_shape rm_draw_shape(chance *c)
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

static void rm_put_recipe(hf_file *f, const rm_shape *s)
{
    static const char *const norm[] = {"rms", "layer"}, *const place[] = {"before", "after", "around"};
    static const char *const residual[] = {"sequential", "parallel", "parallel_shared"};
    static const char *const activation[] = {"silu", "gelu_tanh", "gelu_erf"}, *const ffn[] = {"gated", "plain"};
    static const char *const qk[] = {"none", "head", "all"};
    uint8_t odd[8] = {0, 1, 0, 1, 0, 1, 0, 1}, third[8] = {1, 0, 0, 1, 0, 0, 1, 0};
    hf_text(f, "norm", norm[s->norm]), hf_text(f, "norm_place", place[s->place]);
    hf_text(f, "residual", residual[s->residual]), hf_text(f, "activation", activation[s->activation]);
    hf_text(f, "ffn_kind", ffn[s->ffn_kind]), hf_text(f, "qk_norm", qk[s->qk_norm]);
    if (s->attention_scale) hf_real(f, "attention_scale", 0.5);
    if (s->attention_cap) hf_real(f, "attention_cap", 5.0);
    if (s->logit_cap) hf_real(f, "logit_cap", 4.0);
    if (s->embedding_scale) hf_real(f, "embedding_scale", 3.0);
    if (s->rope_scale) hf_real(f, "rope_scale", 1.25);
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

static void rm_plan_bias(rm_file *f, const rm_shape *s, int layer, const char *part, int cols)
{
    if (s->biases >> f->n_biases++ % 16 & 1) rm_plan(f, layer, part, HF_VECTOR, 1, cols);
}

static void rm_plan_norm(rm_file *f, const rm_shape *s, int layer, const char *weight, const char *bias)
{
    rm_plan(f, layer, weight, HF_VECTOR, 1, s->hidden);
    if (s->norm == 1) rm_plan_bias(f, s, layer, bias, s->hidden);
}

static void rm_plan_layer(rm_file *f, const rm_shape *s, int i, int matrix)
{
    int queries = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim, inner = s->ffn_kind ? s->ffn : 2 * s->ffn;
    if (s->place != 1) rm_plan_norm(f, s, i, "attn_norm", "attn_norm_bias");
    rm_plan(f, i, "qkv", matrix, queries + 2 * keys, s->hidden);
    rm_plan_bias(f, s, i, "qkv_bias", queries + 2 * keys);
    if (s->qk_norm) {
        rm_plan(f, i, "q_norm", HF_VECTOR, 1, s->qk_norm == 2 ? queries : s->head_dim);
        rm_plan(f, i, "k_norm", HF_VECTOR, 1, s->qk_norm == 2 ? keys : s->head_dim);
    }
    rm_plan(f, i, "attn_out", matrix, s->hidden, queries);
    rm_plan_bias(f, s, i, "attn_out_bias", s->hidden);
    if (s->place != 0) rm_plan_norm(f, s, i, "attn_post_norm", "attn_post_norm_bias");
    if (s->place != 1 && s->residual != 2) rm_plan_norm(f, s, i, "ffn_norm", "ffn_norm_bias");
    rm_plan(f, i, "gate_up", matrix, inner, s->hidden);
    rm_plan_bias(f, s, i, "gate_up_bias", inner);
    rm_plan(f, i, "down", matrix, s->hidden, s->ffn);
    rm_plan_bias(f, s, i, "down_bias", s->hidden);
    if (s->place != 0) rm_plan_norm(f, s, i, "ffn_post_norm", "ffn_post_norm_bias");
}

static void rm_plan_all(rm_file *f, const rm_shape *s)
{
    int matrix = s->is_float ? HF_FLOAT : HF_INT8, i;
    rm_plan(f, -1, "embedding", matrix, s->vocab, s->hidden);
    if (s->has_positions) rm_plan(f, -1, "position_embedding", matrix, s->context, s->hidden);
    if (s->rope_dims) rm_plan(f, -1, "rope_frequencies", HF_VECTOR, 1, s->rope_dims / 2);
    if (s->rope_original) rm_plan(f, -1, "rope_long", HF_VECTOR, 1, s->rope_dims / 2);
    if (s->local_layers) rm_plan(f, -1, "rope_local", HF_VECTOR, 1, s->rope_dims / 2);
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
        if (t->type == HF_VECTOR) rm_fill_vector(p, t, &c);
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
    f->n_tensors = f->n_biases = 0, f->file.capacity = RM_MOST_BYTES;
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
static rm_copy rm_copy_file(const rm_file *f, size_t shift, uint8_t garbage)
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

static void rm_free_copy(rm_copy *copy)
{
    if (copy->memory) ASAN_UNPOISON_MEMORY_REGION(copy->memory, copy->bytes + (size_t)(copy->data - copy->memory));
    free(copy->memory);
    copy->memory = NULL;
}

#endif
