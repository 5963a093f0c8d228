/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * make_harp.h - a writer of small valid .harp files, and a mutator that knows where their fields are
 *
 * The format is that of [CH09] and [CH10] in harp_impl.c; this is a second writer of it, made from its description.
 * To be included after harp_impl.c, whose checksum it uses. */
#ifndef HARP_FUZZ_MAKE_HARP_H
#define HARP_FUZZ_MAKE_HARP_H

#include "fuzz.h"

typedef struct fz_shape {
    unsigned layers, heads, kv_heads, head_dim, hidden, ffn, vocab, context, window, tied;
    unsigned tokenizer; /* 0, 1, 2 as in the file */
    unsigned is_float;  /* matrices of floats */
    unsigned seed;
    unsigned layer_norm, norms_after; /* 1: LayerNorm; norms behind attention and feed-forward, not before them */
} fz_shape;

typedef struct fz_file {
    uint8_t *data;
    size_t bytes, capacity;
} fz_file;

static inline void fz_store(uint8_t *p, uint64_t value, int bytes)
{
    for (; bytes > 0; bytes--, value >>= 8) *p++ = (uint8_t)value;
}

static inline void fz_put(fz_file *f, const void *data, size_t bytes)
{
    fz_expect(f->capacity - f->bytes >= bytes);
    if (data) memcpy(f->data + f->bytes, data, bytes);
    else memset(f->data + f->bytes, 0, bytes);
    f->bytes += bytes;
}

static inline void fz_put_number(fz_file *f, uint64_t value, int bytes)
{
    uint8_t b[8];
    fz_store(b, value, bytes);
    fz_put(f, b, (size_t)bytes);
}

static inline void fz_pad(fz_file *f, size_t multiple)
{
    fz_put(f, NULL, (multiple - f->bytes % multiple) % multiple);
}

/* ---- metadata ---- */

static inline void fz_meta(fz_file *f, unsigned type, const char *key, const void *value, size_t bytes)
{
    fz_put_number(f, type, 4);
    fz_put_number(f, strlen(key), 4);
    fz_put_number(f, bytes, 8);
    fz_put(f, key, strlen(key) + 1);
    fz_pad(f, 8);
    fz_put(f, value, bytes);
    if (type == 3) fz_put(f, NULL, 1);
    fz_pad(f, 8);
    fz_store(f->data + 32, hp_u32(f->data + 32) + 1, 4);
}

static inline void fz_integer(fz_file *f, const char *key, uint64_t value)
{
    uint8_t b[8];
    fz_store(b, value, 8);
    fz_meta(f, 1, key, b, 8);
}

/* ---- a tokenizer ----
 *
 * Tokens: 0 unknown, 1 begin, 2 end, then single bytes from a fixed alphabet, then pairs of them (one merge each), and
 * at the end one that the user added. All texts differ. */

static const char fz_alphabet[] = " abcdefghijklmnop0123.,'\n\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"; /* and the bytes of é € and a smile */

typedef struct fz_tables {
    uint32_t offsets[600], sorted[600], bytes[256], first[600], merges[600][3], added[8];
    uint8_t text[4096], types[600];
    uint32_t n, n_text, n_sorted, n_merges;
} fz_tables;

static inline void fz_token(fz_tables *t, const char *text, size_t bytes, uint8_t type)
{
    t->types[t->n] = type, t->offsets[t->n++] = t->n_text;
    memcpy(t->text + t->n_text, text, bytes);
    t->n_text += (uint32_t)bytes;
    t->offsets[t->n] = t->n_text;
}

static inline int fz_compare_tokens(const fz_tables *t, uint32_t a, uint32_t b)
{
    return hp_compare_text(t->text + t->offsets[a], t->offsets[a + 1] - t->offsets[a], t->text + t->offsets[b],
                           t->offsets[b + 1] - t->offsets[b]);
}

static inline void fz_sort_tokens(fz_tables *t)
{
    uint32_t i, k;
    for (i = 0; i < t->n; i++) {
        if (t->types[i] != 1) continue;
        for (k = t->n_sorted++; k > 0 && fz_compare_tokens(t, t->sorted[k - 1], i) > 0; k--) t->sorted[k] = t->sorted[k - 1];
        t->sorted[k] = i;
    }
}

/* Pairs (left, right) for left = 3, 3 + step, ...: at most one merge a left token, so their order is that of the left. */
static inline void fz_add_pairs(fz_tables *t, uint32_t vocab, uint32_t singles)
{
    uint32_t left, i;
    for (left = 3; left < 3 + singles && t->n + 1 < vocab; left++) {
        uint32_t right = 3 + (left * 7 + 1) % singles;
        char pair[2];
        pair[0] = (char)t->text[t->offsets[left]], pair[1] = (char)t->text[t->offsets[right]];
        t->merges[t->n_merges][0] = right, t->merges[t->n_merges][1] = (left * 5) % 64, t->merges[t->n_merges][2] = t->n;
        t->n_merges++;
        for (i = left + 1; i < 600; i++) t->first[i] = t->n_merges;
        fz_token(t, pair, 2, 1);
    }
}

static inline void fz_fill_tables(fz_tables *t, uint32_t vocab)
{
    uint32_t i, singles = 0;
    memset(t, 0, sizeof *t);
    memset(t->bytes, 0xFF, sizeof t->bytes);
    fz_token(t, "<unk>", 5, 2), fz_token(t, "<s>", 3, 3), fz_token(t, "</s>", 4, 3);
    for (i = 0; i < sizeof fz_alphabet - 1 && t->n < vocab; i++) {
        if (t->bytes[(uint8_t)fz_alphabet[i]] != 0xFFFFFFFFu) continue;
        t->bytes[(uint8_t)fz_alphabet[i]] = t->n, singles++;
        fz_token(t, fz_alphabet + i, 1, 1);
    }
    fz_add_pairs(t, vocab, singles);
    while (t->n + 1 < vocab) fz_token(t, "", 0, 5);
    if (t->n < vocab) fz_token(t, "<!>", 3, 4);
    fz_sort_tokens(t);
    t->added[0] = 2, t->added[1] = 1, t->added[2] = t->n - 1, t->added[3] = 3; /* "</s>" before "<!>"? by bytes: no */
    if (fz_compare_tokens(t, 2, t->n - 1) > 0) t->added[0] = t->n - 1, t->added[1] = 3, t->added[2] = 2, t->added[3] = 1;
}

static inline void fz_table(fz_file *f, const char *key, const uint32_t *values, size_t n)
{
    static uint8_t bytes[4 * 3 * 600];
    size_t i;
    for (i = 0; i < n; i++) fz_store(bytes + 4 * i, values[i], 4);
    fz_meta(f, 4, key, bytes, 4 * n);
}

/* A program for words, of two stages, and tables of form NFC, each for some of the byte-level tokenizers. */
static inline void fz_put_more_tables(fz_file *f, const fz_shape *s)
{
    static const uint32_t items[] = {48, 1, 1, 3, 48, 0, 1, 0, 16, 2, 0, 1, 0, 0, 1, 0, 2, 1, 0, 0, 16 | 1, 0, 0, 0,
                                     0,  0, 1, 0, 16, 2, 1, 0, 3,  0, 0, 0};
    static const uint32_t first[] = {0, 2, 3, 5}, ranges[] = {'a', 'z', 0xE9, 0x20AC, '0', '9', '\n', '\n', ' ', ' '};
    static const uint32_t parts[] = {0xC9, 'E', 0x301, 0, 0, 0xE9, 'e', 0x301, 0, 0};
    static const uint32_t whole[] = {'E', 0x301, 0xC9, 'e', 0x301, 0xE9};
    static const uint32_t marks[] = {0x300, 0x314, 230, 0x316, 0x319, 220};
    if (s->tokenizer == 2 && s->seed % 3 == 1) {
        fz_table(f, "tokenizer.words", items, sizeof items / sizeof *items);
        fz_table(f, "tokenizer.set_first", first, sizeof first / sizeof *first);
        fz_table(f, "tokenizer.sets", ranges, sizeof ranges / sizeof *ranges);
    }
    if (s->tokenizer == 2 && s->seed % 5 == 2) {
        fz_table(f, "tokenizer.decompose", parts, sizeof parts / sizeof *parts);
        fz_table(f, "tokenizer.compose", whole, sizeof whole / sizeof *whole);
        fz_table(f, "tokenizer.marks", marks, sizeof marks / sizeof *marks);
    }
}

static inline void fz_put_tokenizer(fz_file *f, const fz_shape *s)
{
    static fz_tables t;
    if (s->tokenizer == 0 || s->vocab < 8 || s->vocab > 590) return;
    fz_fill_tables(&t, s->vocab);
    fz_integer(f, "tokenizer.kind", s->tokenizer);
    fz_table(f, "tokenizer.offsets", t.offsets, t.n + 1);
    fz_meta(f, 4, "tokenizer.text", t.text, t.n_text);
    fz_meta(f, 4, "tokenizer.types", t.types, t.n);
    fz_table(f, "tokenizer.sorted", t.sorted, t.n_sorted);
    fz_table(f, "tokenizer.bytes", t.bytes, 256);
    fz_table(f, "tokenizer.merge_first", t.first, t.n + 1);
    fz_table(f, "tokenizer.merges", t.merges[0], 3 * (size_t)t.n_merges);
    fz_table(f, "tokenizer.added", t.added, 4);
    fz_integer(f, "tokenizer.unknown", 0);
    fz_integer(f, "tokenizer.add_bos", 1);
    fz_integer(f, "tokenizer.spaces", s->tokenizer == 1 ? 11 : 0);
    fz_integer(f, "tokenizer.ignore_merges", s->seed >> 1 & 1);
    fz_integer(f, "tokenizer.contractions", s->seed % 3);
    fz_integer(f, "tokenizer.any_lead", s->seed >> 2 & 1);
    fz_integer(f, "tokenizer.number_lead", s->seed >> 3 & 1);
    fz_integer(f, "tokenizer.number_digits", s->seed >> 4 & 3);
    fz_integer(f, "tokenizer.lone_digits", s->seed >> 6 & 1);
    fz_integer(f, "tokenizer.sign_newlines", s->seed >> 7 & 1);
    fz_integer(f, "tokenizer.newline_runs", s->seed >> 8 & 1);
    fz_put_more_tables(f, s);
}

static inline void fz_put_metadata(fz_file *f, const fz_shape *s)
{
    double eps = 1e-5;
    uint8_t real[8];
    uint64_t bits;
    uint32_t ends[2] = {2, 0};
    fz_meta(f, 3, "architecture", "llama", 5);
    fz_integer(f, "vocab", s->vocab), fz_integer(f, "hidden", s->hidden), fz_integer(f, "layers", s->layers);
    fz_integer(f, "heads", s->heads), fz_integer(f, "kv_heads", s->kv_heads), fz_integer(f, "head_dim", s->head_dim);
    fz_integer(f, "ffn", s->ffn), fz_integer(f, "context", s->context), fz_integer(f, "window", s->window);
    fz_integer(f, "rope_dims", s->head_dim), fz_integer(f, "tied", s->tied);
    memcpy(&bits, &eps, 8);
    fz_store(real, bits, 8);
    fz_meta(f, 2, "norm_eps", real, 8);
    if (s->layer_norm) fz_meta(f, 3, "norm", "layer", 5);
    if (s->norms_after) fz_meta(f, 3, "norm_place", "after", 5);
    if (s->vocab > 1) fz_integer(f, "bos_token", 1);
    if (s->vocab > 2) fz_table(f, "end_tokens", ends, 1);
    fz_put_tokenizer(f, s);
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
    hp_tensor_name(p->tensor[p->n].name, layer, part);
    p->tensor[p->n].type = type, p->tensor[p->n].rows = rows, p->tensor[p->n++].cols = cols;
}

static inline void fz_plan_all(fz_plan *p, const fz_shape *s)
{
    unsigned matrix = s->is_float ? 3 : 2, i;
    uint64_t wide = (uint64_t)s->heads * s->head_dim, keys = (uint64_t)s->kv_heads * s->head_dim;
    p->n = 0;
    fz_plan_one(p, -1, "embedding", matrix, s->vocab, s->hidden);
    fz_plan_one(p, -1, "rope_frequencies", 1, 1, s->head_dim / 2);
    for (i = 0; i < s->layers; i++) {
        if (!s->norms_after) fz_plan_one(p, (int)i, "attn_norm", 1, 1, s->hidden);
        fz_plan_one(p, (int)i, "qkv", matrix, wide + 2 * keys, s->hidden);
        fz_plan_one(p, (int)i, "attn_out", matrix, s->hidden, wide);
        fz_plan_one(p, (int)i, s->norms_after ? "attn_post_norm" : "ffn_norm", 1, 1, s->hidden);
        fz_plan_one(p, (int)i, "gate_up", matrix, 2 * (uint64_t)s->ffn, s->hidden);
        fz_plan_one(p, (int)i, "down", matrix, s->hidden, s->ffn);
        if (s->norms_after) fz_plan_one(p, (int)i, "ffn_post_norm", 1, 1, s->hidden);
    }
    fz_plan_one(p, -1, "final_norm", 1, 1, s->hidden);
    if (!s->tied) fz_plan_one(p, -1, "output", matrix, s->vocab, s->hidden);
}

/* Weights: floats in -1..1; int8 groups whose scales are the half 2^-7. What lies outside the matrix stays zero. */
static inline void fz_fill_tensor(uint8_t *p, unsigned type, uint64_t rows, uint64_t cols, unsigned *state)
{
    uint64_t groups = (cols + 31) / 32, scale_bytes = (groups * 32 + 63) / 64 * 64, r, c;
    for (r = 0; r < rows; r++)
        for (c = 0; c < cols; c++) {
            float x = (float)fz_random(state, 2001) / 1000.0f - 1.0f;
            uint64_t tile = r / 16 * (type == 2 ? scale_bytes + groups * 512 : groups * 32 * 16 * 4);
            if (type == 1) fz_store(p + 4 * c, hp_bits(x), 4);
            else if (type == 3) fz_store(p + tile + 4 * (c * 16 + r % 16), hp_bits(x), 4);
            else {
                fz_store(p + tile + 2 * (c / 32 * 16 + r % 16), 0x2000, 2);
                p[tile + scale_bytes + c / 32 * 512 + c % 32 / 4 * 64 + r % 16 * 4 + c % 4] = (uint8_t)(int)(x * 127.0f);
            }
        }
}

static inline void fz_put_tensors(fz_file *f, const fz_shape *s)
{
    static fz_plan plan;
    size_t table = f->bytes, at;
    unsigned i, state = s->seed;
    fz_plan_all(&plan, s);
    fz_put(f, NULL, 96 * (size_t)plan.n);
    fz_pad(f, 64);
    fz_store(f->data + 36, plan.n, 4), fz_store(f->data + 48, table, 8), fz_store(f->data + 56, f->bytes, 8);
    for (i = 0; i < plan.n; i++) {
        uint64_t rows = plan.tensor[i].rows, cols = plan.tensor[i].cols;
        size_t bytes = (size_t)hp_tensor_bytes(plan.tensor[i].type, rows, cols);
        uint8_t *record = f->data + table + 96 * (size_t)i;
        at = f->bytes;
        fz_put(f, NULL, bytes);
        fz_fill_tensor(f->data + at, plan.tensor[i].type, rows, cols, &state);
        memcpy(record, plan.tensor[i].name, 48);
        fz_store(record + 48, plan.tensor[i].type, 4), fz_store(record + 52, hp_crc32(0, f->data + at, bytes), 4);
        fz_store(record + 56, rows, 8), fz_store(record + 64, cols, 8), fz_store(record + 72, at, 8);
        fz_store(record + 80, bytes, 8);
        fz_pad(f, 64);
    }
}

/* Makes the size and the checksum of the head right, so that what was changed is reached. */
static inline void fz_seal(uint8_t *data, size_t bytes)
{
    uint64_t head;
    if (bytes < 64) return;
    fz_store(data + 16, bytes, 8);
    head = hp_u64(data + 56);
    if (head < 16 || head > bytes) return;
    memset(data + 12, 0, 4);
    fz_store(data + 12, hp_crc32(0, data, (size_t)head), 4);
}

/* The file of this shape; its size. */
static inline size_t fz_write_harp(const fz_shape *s, uint8_t *data, size_t capacity)
{
    fz_file f;
    f.data = data, f.bytes = 0, f.capacity = capacity;
    fz_put(&f, NULL, 64);
    memcpy(data, hp_magic, 8);
    fz_store(data + 8, 1, 4), fz_store(data + 24, 64, 8);
    fz_put_metadata(&f, s);
    fz_store(data + 40, f.bytes - 64, 8);
    fz_put_tensors(&f, s);
    fz_seal(data, f.bytes);
    return f.bytes;
}

static inline fz_shape fz_small_shape(unsigned seed)
{
    fz_shape s = {1, 2, 1, 4, 8, 12, 64, 64, 0, 1, 1, 0, 0, 0, 0};
    s.seed = seed;
    s.layers = 1 + seed % 2, s.tokenizer = seed / 2 % 3, s.tied = seed / 6 % 2, s.is_float = seed % 7 == 3;
    s.kv_heads = 1 + seed / 12 % 2, s.window = seed % 5 == 4 ? 5 : 0, s.head_dim = seed % 11 == 6 ? 18 : 4;
    s.hidden = 8 + seed % 3 * 13, s.vocab = 48 + seed % 40;
    return s;
}

/* ---- the mutator ---- */

static inline size_t fz_pick_meta(const uint8_t *data, size_t bytes, unsigned *state)
{
    size_t at = 64, found = 64;
    unsigned i, n = 0;
    for (i = 0; i < 64 && at + 16 <= bytes; i++) {
        uint64_t key = hp_u32(data + at + 4), value = hp_u64(data + at + 8), used;
        if (hp_u32(data + at) < 1 || hp_u32(data + at) > 4 || key > 63 || value > bytes) break;
        if (fz_random(state, ++n) == 0) found = at;
        used = 16 + (key + 8) / 8 * 8 + (value + (hp_u32(data + at) == 3) + 7) / 8 * 8;
        if (used > bytes - at) break;
        at += (size_t)used;
    }
    return found;
}

static inline void fz_mutate_meta(uint8_t *data, size_t bytes, unsigned *state)
{
    size_t at = fz_pick_meta(data, bytes, state), value, n;
    if (at + 32 > bytes) return;
    value = at + 16 + (hp_u32(data + at + 4) + 8) / 8 * 8;
    n = (size_t)hp_u64(data + at + 8);
    switch (fz_random(state, 8)) {
    case 0: fz_store(data + at, fz_random(state, 6), 4); return;
    case 1: fz_store(data + at + 4, fz_awkward(state), 4); return;
    case 2: fz_store(data + at + 8, fz_awkward(state), 8); return;
    case 3: data[at + 16 + fz_random(state, 8)] = (uint8_t)fz_awkward(state); return;
    default: break;
    }
    if (value >= bytes || n < 4 || n > bytes - value) return;
    value += fz_random(state, (unsigned)n / 4) * (size_t)4;
    if (n == 8 && value + 8 <= bytes) fz_store(data + value / 8 * 8, fz_awkward(state), 8);
    else if (fz_random(state, 2)) fz_store(data + value, fz_awkward(state), 4);
    else fz_store(data + value, hp_u32(data + value) + fz_random(state, 5) - 2, 4);
}

static inline void fz_mutate_record(uint8_t *data, size_t bytes, unsigned *state)
{
    static const struct {
        uint8_t at, size;
    } fields[] = {{0, 1}, {1, 1}, {47, 1}, {48, 4}, {52, 4}, {56, 8}, {64, 8}, {72, 8}, {80, 8}, {88, 8}};
    uint64_t at = hp_u64(data + 48), n = hp_u32(data + 36);
    unsigned k = fz_random(state, sizeof fields / sizeof *fields);
    if (n == 0 || n > 1024 || at > bytes) return;
    at += 96 * (uint64_t)fz_random(state, (unsigned)n);
    if (at > bytes || bytes - at < 96) return;
    at += fields[k].at;
    if (fz_random(state, 2)) fz_store(data + at, fz_awkward(state), fields[k].size);
    else data[at] = (uint8_t)(data[at] + (fz_random(state, 2) ? 1 : -1) * (int)(fields[k].at == 72 ? 64 : 1));
}

static inline void fz_mutate_weights(uint8_t *data, size_t bytes, unsigned *state)
{
    static const uint32_t values[] = {0x7FC00000u, 0x7F800000u, 0xFF800000u, 0x80808080u, 0x7C007C00u, 0x7BFF7BFFu,
                                      0x00010001u, 0x7F7FFFFFu, 0u, 0xFFFFFFFFu};
    uint64_t from = hp_u64(data + 56), n = 1 + fz_random(state, 64);
    if (from >= bytes || bytes - from < 8) return;
    from += fz_random(state, (unsigned)(bytes - from) / 4) * (uint64_t)4;
    for (; n > 0 && from + 4 <= bytes; n--, from += 4)
        fz_store(data + from, values[fz_random(state, sizeof values / sizeof *values)], 4);
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
    if (kind < 5) fz_store(data + fields[fz_random(&state, sizeof fields)], fz_awkward(&state), kind == 3 ? 4 : 8);
    else if (kind < 10) fz_mutate_meta(data, bytes, &state);
    else if (kind < 13) fz_mutate_record(data, bytes, &state);
    else fz_mutate_weights(data, bytes, &state);
    return bytes;
}

#endif
