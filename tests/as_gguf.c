/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * as_gguf.c - a Hugging Face folder as the GGUF file that llama.cpp's converter makes of it, for the converter's tests
 *
 *     as_gguf FOLDER FILE.gguf ARCHITECTURE halves|pairs [KEY=VALUE...]
 *
 * The architecture's name is llama.cpp's; pairs: rows of queries and keys as its converter turns them for some. The
 * sizes come from the folder. Norms stand before blocks, after them, or around. A VALUE is u16, f0.5, syarn or, a flag
 * for each layer, b1110. All weights are F32, but for those that the folder has in MXFP4. */
#include "formats/formats.h"
#include "ground/bytes.h"
#include "ground/halves.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { U32 = 4, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, MXFP4 = 39, MOST = 1 << 24 };

static const struct {
    cv_part part;
    const char *name;
} names[] = {{CV_EMBEDDING, "token_embd.weight"},
             {CV_FINAL_NORM, "output_norm.weight"},
             {CV_OUTPUT, "output.weight"},
             {CV_ATTN_NORM, "blk.%d.attn_norm.weight"},
             {CV_QUERY, "blk.%d.attn_q.weight"},
             {CV_KEY, "blk.%d.attn_k.weight"},
             {CV_VALUE, "blk.%d.attn_v.weight"},
             {CV_QUERY_NORM, "blk.%d.attn_q_norm.weight"},
             {CV_KEY_NORM, "blk.%d.attn_k_norm.weight"},
             {CV_QUERY_BIAS, "blk.%d.attn_q.bias"},
             {CV_KEY_BIAS, "blk.%d.attn_k.bias"},
             {CV_VALUE_BIAS, "blk.%d.attn_v.bias"},
             {CV_SINKS, "blk.%d.attn_sinks.weight"},
             {CV_ATTN_OUT, "blk.%d.attn_output.weight"},
             {CV_ATTN_OUT_BIAS, "blk.%d.attn_output.bias"},
             {CV_ATTN_POST_NORM, "blk.%d.post_attention_norm.weight"},
             {CV_FFN_NORM, "blk.%d.ffn_norm.weight"}, /* but see name_of */
             {CV_GATE, "blk.%d.ffn_gate.weight"},
             {CV_UP, "blk.%d.ffn_up.weight"},
             {CV_DOWN, "blk.%d.ffn_down.weight"},
             {CV_FFN_POST_NORM, "blk.%d.post_ffw_norm.weight"},
             {CV_CONV_IN, "blk.%d.shortconv.in_proj.weight"},
             {CV_CONV, "blk.%d.shortconv.conv.weight"},
             {CV_CONV_OUT, "blk.%d.shortconv.out_proj.weight"},
             {CV_LAYER_EMBEDDING, "per_layer_token_embd.weight"},
             {CV_LAYER_INPUT_NORM, "per_layer_proj_norm.weight"},
             {CV_LAYER_INPUT, "per_layer_model_proj.weight"},
             {CV_LAYER_GATE, "blk.%d.inp_gate.weight"},
             {CV_LAYER_OUT, "blk.%d.proj.weight"},
             {CV_LAYER_POST_NORM, "blk.%d.post_norm.weight"},
             {CV_LAYER_SCALE, "blk.%d.layer_output_scale.weight"},
             {CV_ROUTER, "blk.%d.ffn_gate_inp.weight"},
             {CV_ROUTER_BIAS, "blk.%d.ffn_gate_inp.bias"},
             {CV_EXPERT_GATE, "blk.%d.ffn_gate_exps.weight"},
             {CV_EXPERT_UP, "blk.%d.ffn_up_exps.weight"},
             {CV_EXPERT_DOWN, "blk.%d.ffn_down_exps.weight"},
             {CV_EXPERT_GATE_BIAS, "blk.%d.ffn_gate_exps.bias"},
             {CV_EXPERT_UP_BIAS, "blk.%d.ffn_up_exps.bias"},
             {CV_EXPERT_DOWN_BIAS, "blk.%d.ffn_down_exps.bias"}};

static unsigned char keys[1 << 16], tensors[1 << 18], *data;
static size_t keys_bytes, tensors_bytes, data_bytes;
static uint32_t n_keys, n_tensors;

static void fail(const char *what)
{
    fprintf(stderr, "as_gguf: %s\n", what);
    exit(1);
}

static void put(unsigned char *to, size_t *at, uint64_t value, int bytes)
{
    while (bytes-- > 0) to[(*at)++] = (unsigned char)value, value >>= 8;
}

static void put_string(unsigned char *to, size_t *at, const char *text)
{
    put(to, at, strlen(text), 8);
    memcpy(to + *at, text, strlen(text));
    *at += strlen(text);
}

/* ---- keys ---- */

static void begin_key(const char *before, const char *key, uint32_t type)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", before, key);
    put_string(keys, &keys_bytes, full), put(keys, &keys_bytes, type, 4), n_keys++;
}

static void put_value(const char *before, const char *key, const char *value)
{
    size_t i, n = strlen(value + 1);
    if (value[0] == 'u') begin_key(before, key, U32), put(keys, &keys_bytes, strtoull(value + 1, NULL, 10), 4);
    if (value[0] == 'f')
        begin_key(before, key, F32), put(keys, &keys_bytes, cv_bits_of_float((float)atof(value + 1)), 4);
    if (value[0] == 's') begin_key(before, key, STRING), put_string(keys, &keys_bytes, value + 1);
    if (value[0] != 'b') return;
    begin_key(before, key, ARRAY), put(keys, &keys_bytes, BOOL, 4), put(keys, &keys_bytes, n, 8);
    for (i = 0; i < n; i++) put(keys, &keys_bytes, value[1 + i] == '1', 1);
}

static void put_size(const char *before, const char *key, int32_t value)
{
    char text[32];
    snprintf(text, sizeof text, "u%d", (int)value);
    put_value(before, key, text);
}

/* A count for each layer, 0 for convolutions, if there are such. */
static void put_kv_heads(const cv_facts *f, const char *arch)
{
    int32_t i;
    if (f->conv_taps == 0) {
        put_size(arch, "attention.head_count_kv", f->kv_heads);
        return;
    }
    begin_key(arch, "attention.head_count_kv", ARRAY), put(keys, &keys_bytes, U32, 4);
    put(keys, &keys_bytes, (uint64_t)f->layers, 8);
    for (i = 0; i < f->layers; i++) put(keys, &keys_bytes, f->conv_layers[i] ? 0 : (uint64_t)f->kv_heads, 4);
    put_size(arch, "shortconv.l_cache", f->conv_taps);
}

/* Gemma 4's sizes: of layers, of heads, and of what a layer has of a token. */
static void put_ffn(const cv_facts *f, const char *arch)
{
    int32_t i, dim = f->local_head_dim, shared = 0;
    if (f->narrow_ffn == 0) {
        put_size(arch, "feed_forward_length", f->ffn);
        return;
    }
    begin_key(arch, "feed_forward_length", ARRAY), put(keys, &keys_bytes, U32, 4);
    put(keys, &keys_bytes, (uint64_t)f->layers, 8);
    for (i = 0; i < f->layers; i++) {
        put(keys, &keys_bytes, (uint64_t)(f->narrow_layers[i] ? f->narrow_ffn : f->ffn), 4);
        shared += f->shared_layers[i];
    }
    put_size(arch, "attention.key_length_swa", dim), put_size(arch, "attention.value_length_swa", dim);
    put_size(arch, "rope.dimension_count_swa", dim), put_size(arch, "attention.shared_kv_layers", shared);
    put_size(arch, "embedding_length_per_layer_input", f->layer_inputs);
}

static void put_facts(const cv_facts *f, const char *arch)
{
    begin_key("general", "architecture", STRING), put_string(keys, &keys_bytes, arch);
    put_size(arch, "vocab_size", f->vocab), put_size(arch, "context_length", f->context);
    put_size(arch, "embedding_length", f->hidden), put_size(arch, "block_count", f->layers);
    put_ffn(f, arch), put_size(arch, "attention.head_count", f->heads);
    put_kv_heads(f, arch), put_size(arch, "attention.key_length", f->head_dim);
    put_size(arch, "attention.value_length", f->head_dim), put_size(arch, "rope.dimension_count", f->rope_dims);
    put_size("tokenizer.ggml", "bos_token_id", f->bos);
    if (f->n_end > 0) put_size("tokenizer.ggml", "eos_token_id", f->end[0]);
}

/* ---- tensors ---- */

static void begin_tensor(const char *name, uint64_t depth, uint64_t rows, uint64_t cols, uint64_t type)
{
    while (data_bytes % 32) data[data_bytes++] = 0;
    put_string(tensors, &tensors_bytes, name);
    put(tensors, &tensors_bytes, depth > 1 ? 3 : rows > 1 ? 2 : 1, 4), put(tensors, &tensors_bytes, cols, 8);
    if (rows > 1) put(tensors, &tensors_bytes, rows, 8);
    if (depth > 1) put(tensors, &tensors_bytes, depth, 8);
    put(tensors, &tensors_bytes, type, 4), put(tensors, &tensors_bytes, data_bytes, 8), n_tensors++;
    if (data_bytes + 4 * depth * rows * cols > MOST - 64) fail("too large");
}

static void put_tensor(const char *name, uint64_t depth, uint64_t rows, uint64_t cols, const float *x)
{
    uint64_t i;
    begin_tensor(name, depth, rows, cols, 0);
    for (i = 0; i < depth * rows * cols; i++) put(data, &data_bytes, cv_bits_of_float(x[i]), 4);
}

/* Row j of a head goes where it turns with its neighbour. */
static void pair_rows(float *x, const cv_matrix *m, const cv_facts *f)
{
    size_t dim = (size_t)f->head_dim, turned = (size_t)f->rope_dims, cols = (size_t)m->cols, r;
    float *old = malloc((size_t)m->rows * cols * sizeof *old);
    if (!old) fail("no memory");
    memcpy(old, x, (size_t)m->rows * cols * sizeof *old);
    for (r = 0; r < m->rows; r++) {
        size_t j = r % dim, to = j >= turned ? j : j < turned / 2 ? 2 * j : 2 * (j - turned / 2) + 1;
        memcpy(x + (r - j + to) * cols, old + r * cols, cols * sizeof *old);
    }
    free(old);
}

/* [taps][hidden] -> [hidden][taps] */
static void turn_taps(float *x, cv_matrix *m, const cv_facts *f)
{
    size_t n = (size_t)m->cols, taps = (size_t)f->conv_taps, i;
    float *old = malloc(n * sizeof *old);
    if (!old) fail("no memory");
    memcpy(old, x, n * sizeof *old);
    for (i = 0; i < n; i++) x[i] = old[i % taps * (n / taps) + i / taps];
    m->rows = n / taps, m->cols = taps;
    free(old);
}

/* Blocks of ggml's: a scale, then bytes of which each holds weights i and i + 16. */
static void put_blocks(const cv_matrix *m, const int8_t *q, const float *scales)
{
    uint64_t b, i;
    for (b = 0; b < m->rows * m->cols / 32; b++) {
        int e, nibble[32];
        frexp((double)scales[b], &e), put(data, &data_bytes, (uint64_t)(e + 127), 1); /* a half of 2^(x - 127) */
        for (i = 0; i < 32; i++) {
            nibble[i] = 0;
            while (nibble[i] < 15 && m->values[nibble[i]] != q[b * 32 + i]) nibble[i]++;
        }
        for (i = 0; i < 16; i++) put(data, &data_bytes, (uint64_t)(nibble[i] | nibble[i + 16] << 4), 1);
    }
}

static void put_mxfp4(cv_source *s, const cv_matrix *like, const char *name, int32_t layer)
{
    int32_t e;
    int8_t *q = malloc((size_t)(like->rows * like->cols));
    float *scales = malloc((size_t)(like->rows * like->cols / 32) * sizeof *scales);
    begin_tensor(name, (uint64_t)s->facts.experts, like->rows, like->cols, MXFP4);
    for (e = 0; e < s->facts.experts; e++) {
        cv_matrix m;
        cv_error err;
        if (!q || !scales || s->find(s, like->part, layer, e, &m, &err) < 0
            || s->read_q8(s, &m, 0, m.rows, q, scales, &err) != 0)
            fail("cannot read");
        put_blocks(&m, q, scales);
    }
    free(q);
    free(scales);
}

/* gpt-oss calls the norm before its experts as others call one after attention. */
static const char *name_of(const cv_source *s, size_t which)
{
    return s->facts.has_sinks && names[which].part == CV_FFN_NORM ? "blk.%d.post_attention_norm.weight"
                                                                  : names[which].name;
}

static void put_part(cv_source *s, size_t which, int32_t layer, int in_pairs)
{
    cv_part part = names[which].part;
    char name[64];
    int stacks = part == CV_LAYER_INPUT; /* those of all layers */
    const char *place = s->facts.norm_place;
    int32_t experts = cv_is_experts(part) ? s->facts.experts : stacks ? s->facts.layers : 1, e;
    cv_matrix m;
    cv_error err;
    float *x;
    if ((part == CV_OUTPUT && s->facts.tied) || (part == CV_FFN_NORM && place && strcmp(place, "after") == 0)
        || (part == CV_ATTN_POST_NORM && !place) || s->find(s, part, layer, 0, &m, &err) < 0)
        return;
    snprintf(name, sizeof name, name_of(s, which), (int)layer);
    if (m.values) {
        put_mxfp4(s, &m, name, layer);
        return;
    }
    x = malloc((size_t)experts * (size_t)(m.rows * m.cols) * sizeof *x);
    for (e = 0; e < experts; e++)
        if (!x || s->find(s, part, stacks ? e : layer, e, &m, &err) < 0
            || s->read(s, &m, 0, m.rows, x + (size_t)e * (size_t)(m.rows * m.cols), &err) < 0)
            fail("cannot read");
    if (in_pairs && (part == CV_QUERY || part == CV_KEY)) pair_rows(x, &m, &s->facts);
    if (part == CV_CONV) turn_taps(x, &m, &s->facts);
    if (stacks) m.rows *= (uint64_t)experts, experts = 1;
    if (m.rows == 1) m.rows = (uint64_t)experts, experts = 1; /* biases: one after another, two dimensions */
    put_tensor(name, (uint64_t)experts, m.rows, m.cols, x);
    free(x);
}

/* What Llama 3's scaling divides each frequency by; 1e30 where nothing turns. */
static void put_rope(const cv_facts *f, double theta)
{
    float x[CV_MOST_HEAD_DIM / 2];
    int32_t i;
    for (i = 0; i < f->rope_dims / 2; i++) {
        x[i] = f->rope[i] > 0.0f ? (float)(pow(theta, -2.0 * i / f->rope_dims) / (double)f->rope[i]) : 1e30f;
        if (fabsf(x[i] - 1.0f) < 1e-6f) x[i] = 1.0f; /* as it was before a division or two */
    }
    put_tensor("rope_freqs.weight", 1, 1, (uint64_t)f->rope_dims / 2, x);
}

static void write_file(const char *path)
{
    static const unsigned char zeros[32];
    unsigned char head[24];
    size_t at = 0;
    FILE *f = fopen(path, "wb");
    put(head, &at, 0x46554747, 4), put(head, &at, 3, 4), put(head, &at, n_tensors, 8), put(head, &at, n_keys, 8);
    if (!f) fail("cannot write");
    fwrite(head, 1, at, f), fwrite(keys, 1, keys_bytes, f), fwrite(tensors, 1, tensors_bytes, f);
    fwrite(zeros, 1, (32 - (at + keys_bytes + tensors_bytes) % 32) % 32, f), fwrite(data, 1, data_bytes, f);
    if (fclose(f)) fail("cannot write");
}

int main(int argc, char **argv)
{
    cv_source *s = NULL;
    cv_error err;
    double divided = 0.0;
    size_t n = sizeof names / sizeof *names, i;
    int32_t layer;
    int k;
    if (argc < 5) return 2;
    if (cv_open_huggingface(&s, argv[1], &err) < 0) fail(err.text);
    if ((data = malloc(MOST)) == NULL) fail("no memory");
    put_facts(&s->facts, argv[3]);
    for (k = 5; k < argc; k++) {
        char *value = strchr(argv[k], '=');
        if (!value) fail("a key without a value");
        *value++ = 0;
        if (strcmp(argv[k], "llama3") == 0) divided = atof(value);
        else put_value(argv[3], argv[k], value);
    }
    for (i = 0; i < n; i++)
        for (layer = 0; layer < (strchr(names[i].name, '%') ? s->facts.layers : 1); layer++)
            put_part(s, i, layer, strcmp(argv[4], "pairs") == 0);
    if (divided > 0.0) put_rope(&s->facts, divided);
    write_file(argv[2]);
    s->close(s);
    free(data);
    return 0;
}
