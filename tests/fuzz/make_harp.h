/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * make_harp.h - a writer of small valid .harp files, and a mutator that knows where their fields are
 *
 * What is common with random_model.h is in harp_file.h. */
#ifndef HARP_FUZZ_MAKE_HARP_H
#define HARP_FUZZ_MAKE_HARP_H

#include "../harp_file.h"
#include "fuzz.h"

typedef struct fz_shape {
    unsigned layers, heads, kv_heads, head_dim, hidden, ffn, vocab, context, window, tied;
    unsigned tokenizer; /* 0, 1, 2 as in the file */
    unsigned is_float;  /* matrices of floats */
    unsigned seed;
    unsigned layer_norm, norms_after; /* 1: LayerNorm; norms behind attention and feed-forward, not before them */
    unsigned chat;                    /* 1: it has a table of roles */
    unsigned nibbles;                 /* 1: matrices of the layers have weights of four bits */
} fz_shape;

/* A program for words, of two stages, and tables of form NFC, each for some of the byte-level tokenizers. */
static inline void fz_put_more_tables(hf_file *f, const fz_shape *s)
{
    static const uint32_t items[] = {48, 1, 1, 3, 48, 0, 1, 0, 16, 2, 0, 1, 0, 0, 1, 0, 2, 1, 0, 0, 16 | 1, 0, 0, 0,
                                     0,  0, 1, 0, 16, 2, 1, 0, 3,  0, 0, 0};
    static const uint32_t first[] = {0, 2, 3, 5}, ranges[] = {'a', 'z', 0xE9, 0x20AC, '0', '9', '\n', '\n', ' ', ' '};
    static const uint32_t parts[] = {0xC9, 'E', 0x301, 0, 0, 0xE9, 'e', 0x301, 0, 0};
    static const uint32_t whole[] = {'E', 0x301, 0xC9, 'e', 0x301, 0xE9};
    static const uint32_t marks[] = {0x300, 0x314, 230, 0x316, 0x319, 220};
    if (s->tokenizer == 2 && s->seed % 3 == 1) {
        hf_table(f, "tokenizer.words", items, sizeof items / sizeof *items);
        hf_table(f, "tokenizer.set_first", first, sizeof first / sizeof *first);
        hf_table(f, "tokenizer.sets", ranges, sizeof ranges / sizeof *ranges);
    }
    if (s->tokenizer == 2 && s->seed % 5 == 2) {
        hf_table(f, "tokenizer.decompose", parts, sizeof parts / sizeof *parts);
        hf_table(f, "tokenizer.compose", whole, sizeof whole / sizeof *whole);
        hf_table(f, "tokenizer.marks", marks, sizeof marks / sizeof *marks);
    }
}

static inline void fz_put_tokenizer(hf_file *f, const fz_shape *s)
{
    if (s->tokenizer == 0 || s->vocab < 8 || s->vocab > 590) return;
    hf_put_tokenizer(f, s->tokenizer, s->vocab, 1);
    hf_integer(f, "tokenizer.ignore_merges", s->seed >> 1 & 1);
    hf_integer(f, "tokenizer.contractions", s->seed % 3);
    hf_integer(f, "tokenizer.any_lead", s->seed >> 2 & 1);
    hf_integer(f, "tokenizer.number_lead", s->seed >> 3 & 1);
    hf_integer(f, "tokenizer.number_digits", s->seed >> 4 & 3);
    hf_integer(f, "tokenizer.lone_digits", s->seed >> 6 & 1);
    hf_integer(f, "tokenizer.sign_newlines", s->seed >> 7 & 1);
    hf_integer(f, "tokenizer.newline_runs", s->seed >> 8 & 1);
    fz_put_more_tables(f, s);
}

static inline void fz_put_chat(hf_file *f)
{
    static const struct {
        const char *key, *text;
    } texts[] = {{"chat.start", "<s>"},           {"chat.system.before", "ab"},       {"chat.system.after", "\n"},
                 {"chat.system.absent", "c"},     {"chat.user.before", "</s>a "},     {"chat.user.after", "\n"},
                 {"chat.user.first", ""},         {"chat.assistant.before", "</s>b"}, {"chat.assistant.after", "<!>"},
                 {"chat.assistant.prompt", "</s>b\n"}, {"chat.thinking.end", "</think>"}};
    static const struct {
        const char *key;
        unsigned value;
    } integers[] = {{"chat.bos", 1},       {"chat.system.last", 1},    {"chat.system.trim", 3},
                    {"chat.user.trim", 1}, {"chat.assistant.trim", 2}, {"chat.user.first.trim", 0},
                    {"chat.thinking.trim", 1}};
    size_t i;
    for (i = 0; i < sizeof texts / sizeof *texts; i++) hf_text(f, texts[i].key, texts[i].text);
    for (i = 0; i < sizeof integers / sizeof *integers; i++) hf_integer(f, integers[i].key, integers[i].value);
}

static inline void fz_put_recommendation(hf_file *f, unsigned seed)
{
    static const char *const frames[] = {"stream", "redraw", "last"};
    hf_integer(f, "recommend.harp", seed / 4 % 3 != 0), hf_text(f, "recommend.frame", frames[seed / 4 % 3]);
    hf_integer(f, "recommend.reframings", 1 + seed / 8 % 8), hf_integer(f, "recommend.rescale", seed / 16 % 2);
    hf_integer(f, "recommend.reframe_from", seed % 3 ? 0 : UINT64_MAX);
    hf_real(f, "recommend.theta", 0.5), hf_real(f, "recommend.delta", 0.3), hf_real(f, "recommend.beta", 0.7);
}

static inline void fz_put_metadata(hf_file *f, const fz_shape *s)
{
    uint32_t ends[2] = {2, 0};
    hf_text(f, "architecture", "llama");
    hf_integer(f, "vocab", s->vocab), hf_integer(f, "hidden", s->hidden), hf_integer(f, "layers", s->layers);
    hf_integer(f, "heads", s->heads), hf_integer(f, "kv_heads", s->kv_heads), hf_integer(f, "head_dim", s->head_dim);
    hf_integer(f, "ffn", s->ffn), hf_integer(f, "context", s->context), hf_integer(f, "window", s->window);
    hf_integer(f, "rope_dims", s->head_dim), hf_integer(f, "tied", s->tied);
    hf_real(f, "norm_eps", 1e-5);
    if (s->layer_norm) hf_text(f, "norm", "layer");
    if (s->norms_after) hf_text(f, "norm_place", "after");
    if (s->vocab > 1) hf_integer(f, "bos_token", 1);
    if (s->vocab > 2) hf_table(f, "end_tokens", ends, 1);
    fz_put_tokenizer(f, s);
    if (s->chat) fz_put_chat(f);
    if (s->seed % 4 == 3) fz_put_recommendation(f, s->seed);
}

/* ---- tensors ---- */

typedef struct fz_plan { /* the records, in order */
    struct {
        char name[48];
        unsigned type;
        uint64_t rows, cols;
    } tensor[64];
    unsigned n;
} fz_plan;

static inline void fz_plan_one(fz_plan *p, int layer, const char *part, unsigned type, uint64_t rows, uint64_t cols)
{
    fz_expect(p->n < 64);
    memset(&p->tensor[p->n], 0, sizeof p->tensor[p->n]);
    if (layer < 0) snprintf(p->tensor[p->n].name, sizeof p->tensor->name, "%s", part);
    else snprintf(p->tensor[p->n].name, sizeof p->tensor->name, "%d.%s", layer, part);
    p->tensor[p->n].type = type, p->tensor[p->n].rows = rows, p->tensor[p->n++].cols = cols;
}

static inline void fz_plan_all(fz_plan *p, const fz_shape *s)
{
    unsigned matrix = s->is_float ? 3 : 2, inner = s->nibbles ? 4 : matrix, i;
    uint64_t wide = (uint64_t)s->heads * s->head_dim, keys = (uint64_t)s->kv_heads * s->head_dim;
    p->n = 0;
    fz_plan_one(p, -1, "embedding", matrix, s->vocab, s->hidden);
    fz_plan_one(p, -1, "rope_frequencies", 1, 1, s->head_dim / 2);
    for (i = 0; i < s->layers; i++) {
        if (!s->norms_after) fz_plan_one(p, (int)i, "attn_norm", 1, 1, s->hidden);
        fz_plan_one(p, (int)i, "qkv", inner, wide + 2 * keys, s->hidden);
        fz_plan_one(p, (int)i, "attn_out", inner, s->hidden, wide);
        fz_plan_one(p, (int)i, s->norms_after ? "attn_post_norm" : "ffn_norm", 1, 1, s->hidden);
        fz_plan_one(p, (int)i, "gate_up", inner, 2 * (uint64_t)s->ffn, s->hidden);
        fz_plan_one(p, (int)i, "down", inner, s->hidden, s->ffn);
        if (s->norms_after) fz_plan_one(p, (int)i, "ffn_post_norm", 1, 1, s->hidden);
    }
    fz_plan_one(p, -1, "final_norm", 1, 1, s->hidden);
    if (!s->tied) fz_plan_one(p, -1, "output", matrix, s->vocab, s->hidden);
}

/* Any nibbles, whose table is -8..7 times 15; scales are the half 2^-7 or its negative. */
static inline void fz_fill_nibbles(uint8_t *p, uint64_t rows, uint64_t cols, unsigned *state)
{
    uint64_t groups = (cols + 31) / 32, scale_bytes = (groups * 32 + 63) / 64 * 64, tile, i;
    for (i = 0; i < 16; i++) p[i] = (uint8_t)(15 * ((int)i - 8));
    for (p += 64, tile = 0; tile < (rows + 15) / 16; tile++, p += scale_bytes + groups * 256) {
        for (i = 0; i < groups * 16; i++)
            if (tile * 16 + i % 16 < rows) hf_store(p + 2 * i, fz_random(state, 2) ? 0x2000 : 0xA000, 2);
        for (i = 0; i < groups * 256; i++) p[scale_bytes + i] = (uint8_t)fz_random(state, 256);
    }
}

/* Weights: floats in -1..1; int8 groups whose scales are the half 2^-7. What lies outside the matrix stays zero. */
static inline void fz_fill_tensor(uint8_t *p, unsigned type, uint64_t rows, uint64_t cols, unsigned *state)
{
    uint64_t groups = (cols + 31) / 32, scale_bytes = (groups * 32 + 63) / 64 * 64, r, c;
    for (r = 0; r < rows; r++)
        for (c = 0; c < cols; c++) {
            float x = (float)fz_random(state, 2001) / 1000.0f - 1.0f;
            uint64_t tile = r / 16 * (type == 2 ? scale_bytes + groups * 512 : groups * 32 * 16 * 4);
            if (type == 1) hf_store_float(p + 4 * c, x);
            else if (type == 3) hf_store_float(p + tile + 4 * (c * 16 + r % 16), x);
            else {
                hf_store(p + tile + 2 * (c / 32 * 16 + r % 16), 0x2000, 2);
                p[tile + scale_bytes + c / 32 * 512 + c % 32 / 4 * 64 + r % 16 * 4 + c % 4] =
                    (uint8_t)(int)(x * 127.0f);
            }
        }
}

static inline void fz_put_tensors(hf_file *f, const fz_shape *s)
{
    static fz_plan plan;
    size_t table = f->bytes, at;
    unsigned i, state = s->seed;
    fz_plan_all(&plan, s);
    hf_put(f, NULL, 96 * (size_t)plan.n);
    hf_pad(f, 64);
    hf_store(f->data + 36, plan.n, 4), hf_store(f->data + 48, table, 8), hf_store(f->data + 56, f->bytes, 8);
    for (i = 0; i < plan.n; i++) {
        uint64_t rows = plan.tensor[i].rows, cols = plan.tensor[i].cols;
        size_t bytes = hf_tensor_bytes(plan.tensor[i].type, rows, cols);
        uint8_t *record = f->data + table + 96 * (size_t)i;
        at = f->bytes;
        hf_put(f, NULL, bytes);
        if (plan.tensor[i].type == 4) fz_fill_nibbles(f->data + at, rows, cols, &state);
        else fz_fill_tensor(f->data + at, plan.tensor[i].type, rows, cols, &state);
        hf_store_record(record, plan.tensor[i].name, plan.tensor[i].type, hf_crc(0, f->data + at, bytes), rows, cols,
                        at, bytes);
        hf_pad(f, 64);
    }
}

/* The file of this shape; its size. */
static inline size_t fz_write_harp(const fz_shape *s, uint8_t *data, size_t capacity)
{
    hf_file f;
    f.data = data, f.capacity = capacity;
    hf_begin(&f);
    if (s->nibbles) hf_store(data + 8, 2, 4);
    fz_put_metadata(&f, s);
    hf_store(data + 40, f.bytes - 64, 8);
    fz_put_tensors(&f, s);
    hf_seal(data, f.bytes);
    return f.bytes;
}

static inline fz_shape fz_small_shape(unsigned seed)
{
    fz_shape s = {1, 2, 1, 4, 8, 12, 64, 64, 0, 1, 1, 0, 0, 0, 0, 0, 0};
    s.seed = seed, s.chat = seed % 2;
    s.layers = 1 + seed % 2, s.tokenizer = seed / 2 % 3, s.tied = seed / 6 % 2, s.is_float = seed % 7 == 3;
    s.kv_heads = 1 + seed / 12 % 2, s.window = seed % 5 == 4 ? 5 : 0, s.head_dim = seed % 11 == 6 ? 18 : 4;
    s.hidden = 8 + seed % 3 * 13, s.vocab = 48 + seed % 40, s.nibbles = seed % 7 == 5;
    return s;
}

/* ---- the mutator ---- */

static inline size_t fz_pick_meta(const uint8_t *data, size_t bytes, unsigned *state)
{
    size_t at = 64, found = 64;
    unsigned i, n = 0;
    for (i = 0; i < 64 && at + 16 <= bytes; i++) {
        uint64_t key = cv_u32(data + at + 4), value = cv_u64(data + at + 8), used;
        if (cv_u32(data + at) < 1 || cv_u32(data + at) > 4 || key > 63 || value > bytes) break;
        if (fz_random(state, ++n) == 0) found = at;
        used = 16 + (key + 8) / 8 * 8 + (value + (cv_u32(data + at) == 3) + 7) / 8 * 8;
        if (used > bytes - at) break;
        at += (size_t)used;
    }
    return found;
}

static inline void fz_mutate_meta(uint8_t *data, size_t bytes, unsigned *state)
{
    size_t at = fz_pick_meta(data, bytes, state), value, n;
    if (at + 32 > bytes) return;
    value = at + 16 + (cv_u32(data + at + 4) + 8) / 8 * 8;
    n = (size_t)cv_u64(data + at + 8);
    switch (fz_random(state, 8)) {
    case 0: hf_store(data + at, fz_random(state, 6), 4); return;
    case 1: hf_store(data + at + 4, fz_awkward(state), 4); return;
    case 2: hf_store(data + at + 8, fz_awkward(state), 8); return;
    case 3: data[at + 16 + fz_random(state, 8)] = (uint8_t)fz_awkward(state); return;
    default: break;
    }
    if (value >= bytes || n < 4 || n > bytes - value) return;
    value += fz_random(state, (unsigned)n / 4) * (size_t)4;
    if (n == 8 && value + 8 <= bytes) hf_store(data + value / 8 * 8, fz_awkward(state), 8);
    else if (fz_random(state, 2)) hf_store(data + value, fz_awkward(state), 4);
    else hf_store(data + value, cv_u32(data + value) + fz_random(state, 5) - 2, 4);
}

static inline void fz_mutate_record(uint8_t *data, size_t bytes, unsigned *state)
{
    static const struct {
        uint8_t at, size;
    } fields[] = {{0, 1}, {1, 1}, {47, 1}, {48, 4}, {52, 4}, {56, 8}, {64, 8}, {72, 8}, {80, 8}, {88, 8}};
    uint64_t at = cv_u64(data + 48), n = cv_u32(data + 36);
    unsigned k = fz_random(state, sizeof fields / sizeof *fields);
    if (n == 0 || n > 1024 || at > bytes) return;
    at += 96 * (uint64_t)fz_random(state, (unsigned)n);
    if (at > bytes || bytes - at < 96) return;
    at += fields[k].at;
    if (fz_random(state, 2)) hf_store(data + at, fz_awkward(state), fields[k].size);
    else data[at] = (uint8_t)(data[at] + (fz_random(state, 2) ? 1 : -1) * (int)(fields[k].at == 72 ? 64 : 1));
}

static inline void fz_mutate_weights(uint8_t *data, size_t bytes, unsigned *state)
{
    static const uint32_t values[] = {0x7FC00000u, 0x7F800000u, 0xFF800000u, 0x80808080u, 0x7C007C00u, 0x7BFF7BFFu,
                                      0x00010001u, 0x7F7FFFFFu, 0u, 0xFFFFFFFFu};
    uint64_t from = cv_u64(data + 56), n = 1 + fz_random(state, 64);
    if (from >= bytes || bytes - from < 8) return;
    from += fz_random(state, (unsigned)(bytes - from) / 4) * (uint64_t)4;
    for (; n > 0 && from + 4 <= bytes; n--, from += 4)
        hf_store(data + from, values[fz_random(state, sizeof values / sizeof *values)], 4);
}

static inline size_t fz_mutate_harp(uint8_t *data, size_t bytes, size_t most, unsigned seed)
{
    static const uint8_t fields[] = {0, 8, 12, 16, 24, 32, 36, 40, 48, 56};
    unsigned state = seed, kind = fz_random(&state, 16);
    if (bytes < 512 || kind == 0) {
        static uint8_t fresh[1 << 18];
        fz_shape s = fz_small_shape(fz_random(&state, 5000));
        size_t n = fz_write_harp(&s, fresh, sizeof fresh);
        if (n <= most) return memcpy(data, fresh, n), n;
    }
    if (bytes < 512 || kind < 3) return LLVMFuzzerMutate(data, bytes, most);
    if (kind < 5) hf_store(data + fields[fz_random(&state, sizeof fields)], fz_awkward(&state), kind == 3 ? 4 : 8);
    else if (kind < 10) fz_mutate_meta(data, bytes, &state);
    else if (kind < 13) fz_mutate_record(data, bytes, &state);
    else fz_mutate_weights(data, bytes, &state);
    return bytes;
}

#endif
