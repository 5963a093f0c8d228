/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_gguf.c - the converter's reader of GGUF files: block types, metadata, files that lie
 *
 *     test_gguf BLOCKS FILE       BLOCKS: tests/fixtures/gguf/blocks.bin; FILE: to write into
 *
 * BLOCKS holds random blocks of each type and the floats that ggml's reference for Python makes of them. */
#include "containers/gguf.h"
#include "file/nibbles.h"
#include "ground/bytes.h"
#include "ground/halves.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *path;

/* ---- blocks ---- */

enum { MOST_GROUPS = 32 };

/* The weight of row 0 and column c in a tile of nibbles with so many groups, as [CH09] has it. */
static float nibble_weight(const unsigned char *tile, const int8_t *table, size_t groups, size_t c)
{
    size_t scale_bytes = (32 * groups + 63) / 64 * 64, at = c / 32 * 256 + c % 32 / 8 * 64 + c % 4;
    unsigned char two = tile[scale_bytes + at];
    return (float)table[c % 8 < 4 ? two & 15 : two >> 4] * cv_float_of_half(cv_u16(tile + 2 * (c / 32 * 16)));
}

/* Blocks of four bits, one after the other as a row: what becomes of them in a .harp file is `expected`, bit for bit. */
static void test_tile(const cv_block_type *type, const unsigned char *blocks, uint32_t n, const float *expected)
{
    unsigned char tile[MOST_GROUPS * (32 + 256) + 64];
    int8_t integers[32 * MOST_GROUPS] = {0};
    float scales[MOST_GROUPS] = {0.0f};
    cv_loss loss = {0.0, 0.0, 0.0, 0};
    uint64_t bad;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < n; i++) scales[i] = type->split(blocks + i * type->bytes, integers + 32 * i);
    int status = cv_nibbles_of_integers(tile, integers, scales, 1, 32 * (uint64_t)n, type->values, &loss, &bad);
    for (uint32_t c = 0; status == 0 && c < 32 * n; c++)
        wrong += !(nibble_weight(tile, type->values, n, c) == expected[c]);
    check(status == 0 && wrong == 0 && loss.error2 == 0.0, "four bits of ours are those of %s", type->name);
}

static void test_blocks(const char *vectors)
{
    char *data;
    size_t n, n_types = 0;
    cv_error err = {""};
    if (cv_read_file(vectors, 1 << 24, &data, &n, &err) < 0) {
        check(0, "the vectors are there: %s", err.text);
        return;
    }
    const unsigned char *p = (unsigned char *)data, *end = p + n;
    for (; end - p > 8; n_types++) {
        const cv_block_type *type = cv_block_type_of(cv_u32(p));
        uint32_t count = cv_u32(p + 4), wrong = 0;
        float out[1024];
        cv_dequantize(type, p + 8, (uint64_t)count * type->elements, out);
        p += 8 + (size_t)count * type->bytes;
        for (uint32_t i = 0; i < count * type->elements; i++, p += 4) {
            float expected = cv_f32(p);
            wrong += !(out[i] == expected); /* -0 equals 0 */
        }
        check(wrong == 0, "the same floats as ggml's: %s", type->name);
        if (type->values && count <= MOST_GROUPS) test_tile(type, p - 4 * count * 32 - count * type->bytes, count, out);
    }
    check(p == end && n_types == 14, "all types have vectors");
    free(data);
}

/* OCP's numbers, times a power of two; a half has 2^-24 to 2^15, of which the table's doubled values take half. */
static void test_mxfp4(void)
{
    static const float numbers[16] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f,
                                      0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
    const cv_block_type *type = cv_block_type_of(39);
    for (unsigned e = 0; e < 256; e++) {
        unsigned char block[17] = {0}, tile[64 + 256];
        float out[32], expected[32], scale;
        int8_t integers[32];
        uint64_t bad;
        uint32_t wrong = 0;
        block[0] = (unsigned char)e;
        for (unsigned i = 0; i < 16; i++) block[1 + i] = (unsigned char)(i | (15 - i) << 4);
        for (int i = 0; i < 32; i++)
            expected[i] = (float)ldexp((double)numbers[i < 16 ? i : 31 - i], (int)e - 127);
        cv_dequantize(type, block, 32, out);
        for (int i = 0; i < 32; i++) wrong += !(out[i] == expected[i]);
        check(wrong == 0, "MXFP4 by its definition, exponent %u", e);
        if (e >= 104 && e <= 143) test_tile(type, block, 1, expected);
        scale = type->split(block, integers);
        check(cv_nibbles_of_integers(tile, integers, &scale, 1, 32, type->values, NULL, &bad) == (e > 143 ? -1 : 0),
              "MXFP4, exponent %u: too large, or not", e);
    }
}

/* ---- making files ---- */

static unsigned char file[1 << 16];
static size_t at;

static void number(uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++) file[at++] = (unsigned char)(x >> (8 * i));
}

static void text(const char *s)
{
    number(strlen(s), 8);
    memcpy(file + at, s, strlen(s));
    at += strlen(s);
}

static void head(uint32_t version, uint64_t n_tensors, uint64_t n_values)
{
    at = 0;
    number(0x46554747u, 4), number(version, 4), number(n_tensors, 8), number(n_values, 8);
}

static void u32_value(const char *key, uint32_t x)
{
    text(key), number(CV_GGUF_U32, 4), number(x, 4);
}

static void tensor(const char *name, uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset)
{
    text(name), number(2, 4), number(cols, 8), number(rows, 8), number(type, 4), number(offset, 8);
}

static void data(size_t bytes)
{
    while (at % 32) number(0, 1);
    while (bytes--) number(bytes % 251, 1);
}

static void save(size_t bytes)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(file, 1, bytes, f) != bytes || fclose(f) != 0) exit(2);
}

/* Something of everything. */
static void make_sample(void)
{
    head(3, 3, 7);
    u32_value("general.alignment", 32);
    text("a.text"), number(CV_GGUF_STRING, 4), text("hello");
    text("b.texts"), number(CV_GGUF_ARRAY, 4), number(CV_GGUF_STRING, 4), number(3, 8), text("x"), text(""), text("yz");
    text("c.real"), number(CV_GGUF_F32, 4), number(0x3FC00000u, 4);
    text("d.small"), number(CV_GGUF_I8, 4), number(0xFE, 1);
    text("e.many"), number(CV_GGUF_ARRAY, 4), number(CV_GGUF_I16, 4), number(2, 8), number(5, 2), number(0xFFFF, 2);
    text("f.flag"), number(CV_GGUF_BOOL, 4), number(1, 1);
    tensor("t.weight", 32, 4, CV_GGML_Q8_0, 160), tensor("u.weight", 8, 2, CV_GGML_F32, 0);
    tensor("v.weight", 256, 2, 12, 320); /* Q4_K */
    data(320 + 288);
}

/* ---- reading them ---- */

/* Everything that can be asked of a file that opens. */
static void use(cv_gguf *g)
{
    char words[64];
    double sum = 0.0, x;
    float out[256];
    int64_t n;
    cv_error err;
    for (size_t i = 0; i < g->files[0].n_values; i++) {
        const cv_gguf_value *v = &g->files[0].values[i];
        size_t place = 0, bytes;
        cv_gguf_describe(v, words, sizeof words);
        for (uint64_t k = 0; k < v->count && k < 100; k++)
            if (cv_gguf_real_at(v, k, &x) && cv_gguf_integer_at(v, k, &n)) sum += x;
        while (v->is_array && v->type == CV_GGUF_STRING && cv_gguf_next_string(v, &place, &bytes)) sum += (double)bytes;
    }
    for (size_t i = 0; i < g->n; i++) {
        const cv_gguf_tensor *t = &g->tensors[i];
        for (uint64_t r = 0; r < t->rows && r < 8 && t->cols <= 256; r++) {
            cv_gguf_read(g, t, r * t->cols, t->cols, out, &err);
        }
        (void)cv_gguf_tensor_of(g, t->name);
    }
}

/* 0, or -1 with a sentence; any other end is a crash. */
static int opens(char *sentence)
{
    cv_gguf g;
    cv_error err = {""};
    int result = cv_gguf_open(&g, path, &err);
    if (result == 0) use(&g);
    cv_gguf_close(&g);
    snprintf(sentence, 200, "%.190s", err.text);
    return result;
}

static void test_sample(void)
{
    cv_gguf g;
    cv_error err = {""};
    int64_t n = 0;
    double x = 0;
    size_t bytes = 0, place = 0;
    make_sample();
    save(at);
    if (cv_gguf_open(&g, path, &err) < 0) {
        check(0, "a sound file opens: %s", err.text);
        return;
    }
    check(cv_gguf_is(cv_gguf_find(&g, "a.text"), "hello") && !cv_gguf_find(&g, "a.tex"), "a text");
    check(cv_gguf_integer(cv_gguf_find(&g, "d.small"), &n) && n == -2, "a negative integer");
    check(cv_gguf_real(cv_gguf_find(&g, "c.real"), &x) && x == 1.5, "a real");
    check(cv_gguf_integer_at(cv_gguf_find(&g, "e.many"), 1, &n) && n == -1
              && !cv_gguf_integer_at(cv_gguf_find(&g, "e.many"), 2, &n), "an array");
    check(cv_gguf_next_string(cv_gguf_find(&g, "b.texts"), &place, &bytes) && bytes == 1
              && cv_gguf_next_string(cv_gguf_find(&g, "b.texts"), &place, &bytes) && bytes == 0
              && cv_gguf_next_string(cv_gguf_find(&g, "b.texts"), &place, &bytes) && bytes == 2
              && !cv_gguf_next_string(cv_gguf_find(&g, "b.texts"), &place, &bytes), "an array of texts");
    check(cv_gguf_tensor_of(&g, "v.weight") && cv_gguf_tensor_of(&g, "v.weight")->bytes == 288
              && !cv_gguf_tensor_of(&g, "w"), "tensors");
    cv_gguf_close(&g);
}

static void refused(const char *word)
{
    char sentence[200];
    save(at);
    int result = opens(sentence);
    check(result < 0 && strstr(sentence, word), "%s: %s", word, sentence);
}

/* One tensor, with 64 bytes of data behind it. */
static void lone_tensor(uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset, const char *word)
{
    head(3, 1, 0), tensor("t", cols, rows, type, offset), data(64);
    refused(word);
}

static void test_lies(void)
{
    uint64_t huge = UINT64_MAX;
    head(1, 0, 0), refused("version 1");
    head(3u << 24, 0, 0), refused("big-endian");
    head(3, 0, huge), refused("too many");
    head(3, huge, 0), refused("too many");
    head(3, 100000, 0), refused("cut off");
    head(3, 0, 2), u32_value("k", 1), u32_value("k", 2), refused("k twice");
    head(3, 0, 1), u32_value("general.alignment", 0), refused("general.alignment is 0");
    head(3, 0, 1), u32_value("general.alignment", 48), refused("general.alignment is 48");
    head(3, 0, 1), text("k"), number(13, 4), number(0, 8), refused("type 13");
    head(3, 0, 1), text(""), number(4, 4), number(0, 8), refused("name");
    head(3, 0, 1), number(huge, 8), number(0, 8), refused("name");
    head(3, 0, 1), text("k"), number(CV_GGUF_STRING, 4), number(huge, 8), refused("cut off");
    head(3, 0, 1), text("k"), number(CV_GGUF_ARRAY, 4), number(CV_GGUF_F64, 4), number(huge / 8, 8), refused("cut off");
    head(3, 0, 1), text("k"), number(CV_GGUF_ARRAY, 4), number(CV_GGUF_STRING, 4), number(huge, 8), refused("cut off");
    head(3, 0, 1), text("k"), number(CV_GGUF_ARRAY, 4), number(CV_GGUF_ARRAY, 4), number(1, 8), number(0, 4),
        number(0, 8), refused("array of arrays");
    lone_tensor(0, 1, 0, 0, "no valid shape");
    lone_tensor(huge, huge, 0, 0, "no valid shape");
    lone_tensor(16, 1, CV_GGML_Q8_0, 0, "no valid shape");
    lone_tensor(8, 1, 16, 0, "IQ2_XXS");
    lone_tensor(8, 1, 999, 0, "unknown");
    lone_tensor(8, 1, 0, 8, "not aligned");
    lone_tensor(32, 1, 0, 0, "cut off");
    lone_tensor(8, 1, 0, huge - 31, "cut off");
    head(3, 1, 0), text("t"), number(5, 4), data(64), refused("5 dimensions");
    head(3, 2, 0), tensor("a", 16, 1, 0, 0), tensor("b", 8, 1, 0, 32), data(64), refused("overlaps");
    head(3, 2, 0), tensor("a", 8, 1, 0, 0), tensor("a", 8, 1, 0, 32), data(64), refused("twice");
    head(3, 0, 1), text("split.count"), number(CV_GGUF_U16, 4), number(3, 2), refused("first of 3");
    head(3, 0, 1), text("split.count"), number(CV_GGUF_U16, 4), number(60000, 2), refused("split.count");
    head(3, 0, 2), u32_value("split.count", 2), u32_value("split.no", 1), refused("part 1 of 2");
}

static void poke(size_t i, unsigned char byte)
{
    FILE *f = fopen(path, "r+b");
    if (!f || fseek(f, (long)i, SEEK_SET) != 0 || fputc(byte, f) == EOF || fclose(f) != 0) exit(2);
}

/* Cut off anywhere, changed anywhere: a sentence or a file that can be used. */
static void test_damage(void)
{
    char sentence[200];
    size_t n, silent = 0, whole = 0;
    make_sample();
    n = at;
    for (size_t i = 0; i < n; i += i > 700 ? 13 : 1) {
        save(i);
        silent += opens(sentence) == 0 || !sentence[0];
    }
    check(silent == 0, "cut off: refused");
    save(n);
    for (size_t i = 0; i < n - 600; i++)
        for (int bit = 0; bit < 8; bit += 1 + (int)(i % 3)) {
            poke(i, (unsigned char)(file[i] ^ 1 << bit));
            int result = opens(sentence);
            whole += result == 0;
            silent += result < 0 && !sentence[0];
            poke(i, file[i]);
        }
    check(silent == 0 && whole > 0, "changed: refused in words, or used");
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    path = argv[2];
    test_mxfp4();
    test_blocks(argv[1]);
    test_sample();
    test_lies();
    test_damage();
    remove(path);
    return conclude();
}
