/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * harp_file.h - .harp files in memory: what make_harp.h and random_model.h both write, and what tests look up in a file
 * or change there
 *
 * A second writer of the format, made from its description ([CH09] to [CH12] and [CH14] in harp_impl.c). It uses no
 * function of the library, so a program can test the public header alone with it. */
#ifndef HARP_FILE_H
#define HARP_FILE_H

#include "../tools/convert/ground/bytes.h"

#include <stdlib.h>

enum { HF_MOST_VOCAB = 700 };
enum { HF_VECTOR = 1, HF_INT8, HF_FLOAT, HF_NIBBLES }; /* types of tensors */
enum { HF_NORMAL = 1, HF_UNKNOWN, HF_CONTROL, HF_USER, HF_UNUSED, HF_BYTE }; /* types of tokens */

/* Words as a program: the kinds of an item, then what may begin with it. */
enum { HF_SET, HF_CONTRACTION, HF_NOT_BEFORE, HF_AT_END, HF_ALTERNATIVE = 16, HF_STAGE = 32 };
enum { HF_MOST_STAGES = 8, HF_MOST_ITEMS = 1024 };

typedef struct hf_file {
    uint8_t *data; /* [capacity] */
    size_t bytes, capacity;
} hf_file;

/* ---- Bytes ---- */

static inline void hf_store(uint8_t *p, uint64_t value, int bytes)
{
    for (; bytes > 0; bytes--, value >>= 8) *p++ = (uint8_t)value;
}

static inline void hf_store_float(uint8_t *p, float x) { hf_store(p, cv_bits_of_float(x), 4); }

/* CRC-32 as the format has it, of data that goes on from `crc`. */
static inline uint32_t hf_crc(uint32_t crc, const void *data, size_t bytes)
{
    static const uint32_t nibble[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
                                        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    const uint8_t *p = data;
    crc = ~crc;
    for (; bytes > 0; bytes--, p++) {
        crc = crc >> 4 ^ nibble[(crc ^ *p) & 15];
        crc = crc >> 4 ^ nibble[(crc ^ *p >> 4) & 15];
    }
    return ~crc;
}

static inline void hf_put(hf_file *f, const void *data, size_t bytes)
{
    if (bytes > f->capacity - f->bytes) abort(); /* a shape too large for its caller's memory */
    if (data) memcpy(f->data + f->bytes, data, bytes);
    else memset(f->data + f->bytes, 0, bytes);
    f->bytes += bytes;
}

static inline void hf_pad(hf_file *f, size_t multiple)
{
    hf_put(f, NULL, (multiple - f->bytes % multiple) % multiple);
}

/* The head without what is known at the end: sizes, tables, checksum. */
static inline void hf_begin(hf_file *f)
{
    static const uint8_t magic[8] = {0x89, 'H', 'A', 'R', 'P', 0x0D, 0x0A, 0x1A};
    f->bytes = 0;
    hf_put(f, NULL, 64);
    memcpy(f->data, magic, 8);
    hf_store(f->data + 8, 1, 4), hf_store(f->data + 24, 64, 8);
}

/* Makes the size and the checksum of the head right, so that what was changed is reached. */
static inline void hf_seal(uint8_t *data, size_t bytes)
{
    uint64_t head;
    if (bytes < 64) return;
    hf_store(data + 16, bytes, 8);
    head = cv_u64(data + 56);
    if (head < 16 || head > bytes) return;
    memset(data + 12, 0, 4);
    hf_store(data + 12, hf_crc(0, data, (size_t)head), 4);
}

/* The bytes of a tensor; 0: of no type. */
static inline size_t hf_tensor_bytes(unsigned type, uint64_t rows, uint64_t cols)
{
    size_t groups = (size_t)(cols + 31) / 32, tiles = (size_t)(rows + 15) / 16;
    if (type == HF_VECTOR) return 4 * (size_t)cols;
    if (type == HF_FLOAT) return tiles * groups * 2048;
    if (type == HF_NIBBLES) return 64 + tiles * ((32 * groups + 63) / 64 * 64 + groups * 256);
    return type == HF_INT8 ? tiles * ((32 * groups + 63) / 64 * 64 + groups * 512) : 0;
}

/* Record i of the table of tensors, and the first with this name; NULL if there is none. */
static inline uint8_t *hf_record_at(uint8_t *data, uint32_t i) { return data + cv_u64(data + 48) + 96 * (size_t)i; }

static inline uint8_t *hf_find_record(uint8_t *data, const char *name)
{
    uint32_t i;
    for (i = 0; i < cv_u32(data + 36); i++)
        if (strcmp((const char *)hf_record_at(data, i), name) == 0) return hf_record_at(data, i);
    return NULL;
}

/* The first byte of the tensor that a record describes. */
static inline uint8_t *hf_tensor_data(uint8_t *data, const uint8_t *record) { return data + cv_u64(record + 72); }

/* The float of an IEEE half that is neither infinite nor NaN. */
static inline double hf_half(unsigned h)
{
    unsigned exponent = h >> 10 & 31u, fraction = h & 1023u, i;
    double x = exponent ? 1024.0 + fraction : fraction;
    for (i = exponent ? exponent : 1; i < 25; i++) x /= 2.0;
    for (i = 25; i < exponent; i++) x *= 2.0;
    return h & 0x8000u ? -x : x;
}

/* One weight of the matrix that a record describes. */
static inline double hf_weight(uint8_t *data, const uint8_t *record, uint64_t row, uint64_t col)
{
    unsigned type = cv_u32(record + 48);
    size_t groups = (size_t)(cv_u64(record + 64) + 31) / 32, scales = (32 * groups + 63) / 64 * 64;
    size_t table = type == HF_NIBBLES ? 64 : 0, g = (size_t)col / 32, c = (size_t)col % 32, lane = (size_t)row % 16;
    const uint8_t *first = hf_tensor_data(data, record);
    const uint8_t *tile = first + table + (size_t)(row / 16) * (hf_tensor_bytes(type, 16, cv_u64(record + 64)) - table);
    double scale = type == HF_FLOAT ? 1.0 : hf_half(cv_u16(tile + 2 * (16 * g + lane)));
    unsigned both;
    if (type == HF_FLOAT) return (double)cv_float_of_bits(cv_u32(tile + 4 * (16 * (size_t)col + lane)));
    if (type == HF_INT8) return (double)(int8_t)tile[scales + 512 * g + c / 4 * 64 + 4 * lane + c % 4] * scale;
    both = tile[scales + 256 * g + c / 8 * 64 + 4 * lane + c % 4];
    return (double)(int8_t)first[c % 8 < 4 ? both & 15u : both >> 4] * scale;
}

/* A record of the table of tensors. */
static inline void hf_store_record(uint8_t *record, const char name[48], uint32_t type, uint32_t crc, uint64_t rows,
                                   uint64_t cols, uint64_t offset, uint64_t bytes)
{
    memcpy(record, name, 48);
    hf_store(record + 48, type, 4), hf_store(record + 52, crc, 4), hf_store(record + 56, rows, 8);
    hf_store(record + 64, cols, 8), hf_store(record + 72, offset, 8), hf_store(record + 80, bytes, 8);
}

/* ---- Metadata ---- */

static inline void hf_meta(hf_file *f, unsigned type, const char *key, const void *value, size_t bytes)
{
    uint8_t head[16];
    int i = 32; /* n_meta */
    hf_store(head, type, 4), hf_store(head + 4, strlen(key), 4), hf_store(head + 8, bytes, 8);
    hf_put(f, head, sizeof head);
    hf_put(f, key, strlen(key) + 1);
    hf_pad(f, 8);
    hf_put(f, value, bytes);
    if (type == 3) hf_put(f, NULL, 1);
    hf_pad(f, 8);
    while (i < 36 && ++f->data[i] == 0) i++;
}

static inline void hf_integer(hf_file *f, const char *key, uint64_t value)
{
    uint8_t b[8];
    hf_store(b, value, 8);
    hf_meta(f, 1, key, b, 8);
}

static inline void hf_real(hf_file *f, const char *key, double value)
{
    uint8_t b[8];
    uint64_t bits;
    memcpy(&bits, &value, 8);
    hf_store(b, bits, 8);
    hf_meta(f, 2, key, b, 8);
}

static inline void hf_text(hf_file *f, const char *key, const char *value)
{
    hf_meta(f, 3, key, value, strlen(value));
}

static inline void hf_table(hf_file *f, const char *key, const uint32_t *values, size_t n)
{
    static uint8_t bytes[4 * 3 * HF_MOST_VOCAB];
    size_t i;
    for (i = 0; i < n; i++) hf_store(bytes + 4 * i, values[i], 4);
    hf_meta(f, 4, key, bytes, 4 * n);
}

/* An entry of a file that is sound so far: key, value, and the offset behind it. */
typedef struct hf_entry {
    const char *key;
    uint8_t *value;
    size_t bytes, next;
} hf_entry;

static inline hf_entry hf_entry_at(uint8_t *data, size_t at)
{
    hf_entry e;
    size_t ends_in_zero = cv_u32(data + at) == 3;
    e.key = (const char *)data + at + 16, e.bytes = (size_t)cv_u64(data + at + 8);
    e.value = data + at + 16 + ((size_t)cv_u32(data + at + 4) + 8) / 8 * 8;
    e.next = (size_t)(e.value - data) + (e.bytes + ends_in_zero + 7) / 8 * 8;
    return e;
}

/* The value of this key, and its size in *bytes unless that is NULL; NULL if there is none. */
static inline uint8_t *hf_find_value(uint8_t *data, const char *key, size_t *bytes)
{
    size_t at = 64, end = 64 + (size_t)cv_u64(data + 40);
    while (at < end) {
        hf_entry e = hf_entry_at(data, at);
        if (strcmp(e.key, key) == 0) {
            if (bytes) *bytes = e.bytes;
            return e.value;
        }
        at = e.next;
    }
    return NULL;
}

/* ---- A tokenizer ----
 *
 * Tokens: 0 unknown, 1 begin, 2 end, then single bytes from a fixed alphabet, then pairs of them (one merge each), then
 * tokens without a text, and at the end one that a user added. All texts but the empty ones differ. */

static const char hf_alphabet[] = " abcdefghijklmnop0123.,'\n\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"; /* with e acute, a
                                                                                       euro and a smile, byte by byte */

typedef struct hf_words {
    uint32_t n, n_text, n_sorted, n_merges;
    uint32_t offsets[HF_MOST_VOCAB + 1], sorted[HF_MOST_VOCAB], bytes[256], first[HF_MOST_VOCAB + 1];
    uint32_t merges[64][3], added[4];
    uint8_t text[1024], types[HF_MOST_VOCAB];
} hf_words;

static inline void hf_word(hf_words *w, const char *text, size_t bytes, uint8_t type)
{
    w->types[w->n] = type, w->offsets[w->n++] = w->n_text;
    memcpy(w->text + w->n_text, text, bytes);
    w->n_text += (uint32_t)bytes;
    w->offsets[w->n] = w->n_text;
}

/* Texts in the order of the file's sorted tables: byte by byte, a beginning before what goes on. */
static inline int hf_compare(const uint8_t *a, size_t n, const uint8_t *b, size_t m)
{
    int order = memcmp(a, b, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

static inline int hf_compare_words(const hf_words *w, uint32_t a, uint32_t b)
{
    return hf_compare(w->text + w->offsets[a], w->offsets[a + 1] - w->offsets[a], w->text + w->offsets[b],
                      w->offsets[b + 1] - w->offsets[b]);
}

static inline void hf_sort_words(hf_words *w)
{
    uint32_t i, k;
    for (i = 0; i < w->n; i++) {
        if (w->types[i] != 1) continue;
        for (k = w->n_sorted++; k > 0 && hf_compare_words(w, w->sorted[k - 1], i) > 0; k--)
            w->sorted[k] = w->sorted[k - 1];
        w->sorted[k] = i;
    }
}

/* Pairs (left, right) for left = 3, 4, ...: each left token has one merge at most, so merges come in their order. */
static inline void hf_add_pairs(hf_words *w, uint32_t vocab, uint32_t singles)
{
    uint32_t left, i;
    for (left = 3; left < 3 + singles && w->n + 1 < vocab; left++) {
        uint32_t right = 3 + (left * 7 + 1) % singles, *merge = w->merges[w->n_merges++];
        char pair[2];
        pair[0] = (char)w->text[w->offsets[left]], pair[1] = (char)w->text[w->offsets[right]];
        merge[0] = right, merge[1] = left * 5 % 64, merge[2] = w->n;
        for (i = left + 1; i <= vocab; i++) w->first[i] = w->n_merges;
        hf_word(w, pair, 2, 1);
    }
}

static inline void hf_fill_words(hf_words *w, uint32_t vocab)
{
    uint32_t i, singles = 0;
    memset(w, 0, sizeof *w);
    memset(w->bytes, 0xFF, sizeof w->bytes);
    hf_word(w, "<unk>", 5, 2), hf_word(w, "<s>", 3, 3), hf_word(w, "</s>", 4, 3);
    for (i = 0; i < sizeof hf_alphabet - 1 && w->n < vocab; i++) {
        if (w->bytes[(uint8_t)hf_alphabet[i]] != 0xFFFFFFFFu) continue;
        w->bytes[(uint8_t)hf_alphabet[i]] = w->n, singles++;
        hf_word(w, hf_alphabet + i, 1, 1);
    }
    hf_add_pairs(w, vocab, singles);
    while (w->n + 1 < vocab) hf_word(w, "", 0, 5);
    if (w->n < vocab) hf_word(w, "<!>", 3, 4);
    hf_sort_words(w);
    w->added[0] = 2, w->added[1] = 1, w->added[2] = w->n - 1, w->added[3] = 3; /* by their texts: "<!>" before "</s>" */
    if (hf_compare_words(w, 2, w->n - 1) > 0) w->added[0] = w->n - 1, w->added[1] = 3, w->added[2] = 2, w->added[3] = 1;
}

/* What each tokenizer has; 8 to HF_MOST_VOCAB tokens. */
static inline void hf_put_tokenizer(hf_file *f, unsigned kind, uint32_t vocab, unsigned add_bos)
{
    static hf_words w;
    hf_fill_words(&w, vocab);
    hf_integer(f, "tokenizer.kind", kind);
    hf_table(f, "tokenizer.offsets", w.offsets, w.n + 1);
    hf_meta(f, 4, "tokenizer.text", w.text, w.n_text);
    hf_meta(f, 4, "tokenizer.types", w.types, w.n);
    hf_table(f, "tokenizer.sorted", w.sorted, w.n_sorted);
    hf_table(f, "tokenizer.bytes", w.bytes, 256);
    hf_table(f, "tokenizer.merge_first", w.first, w.n + 1);
    hf_table(f, "tokenizer.merges", w.merges[0], 3 * (size_t)w.n_merges);
    hf_table(f, "tokenizer.added", w.added, 4);
    hf_integer(f, "tokenizer.unknown", 0);
    hf_integer(f, "tokenizer.add_bos", add_bos);
    hf_integer(f, "tokenizer.spaces", kind == 1 ? 11 : 0);
}

#endif
