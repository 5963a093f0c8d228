/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_tokenizer.c - text to tokens and back, through the public header alone
 *
 *     test_tokenizer [-n TEXTS] [-v VECTORS] NAME=FILE.harp ...
 *
 * FILE.harp is a model or a vocabulary. NAME says which of llama.cpp's test vectors must come out of it, by the name of
 * their file (llama-spm, qwen2, ...); any other name has no vectors. Files of one NAME must make the same tokens of all
 * texts; NAME/MORE has the vectors of NAME and is another tokenizer. TEXTS: how many random ones. VECTORS: the folder of
 * llama.cpp's. Run in the repository's root. */
#include "../harp.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CORPORA "../shared/data/corpora/%s"
#define MEBIBYTE ((size_t)1 << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SECONDS 20.0
#else
#define SECONDS 1.0
#endif

static int skipped;
static int texts = 5000; /* random ones for each vocabulary */
static const char *vectors = "../shared/data/tokenizers/llama.cpp";
static const char *subject = ""; /* NAME of the vocabulary under test */

static void report(int good, const char *check, const char *detail)
{
    printf("%-7s %s: %s%s%s\n", good ? "ok" : "FAILED", subject, check, *detail ? ", " : "", detail);
    good ? passed++ : failed++;
}

static void skip(const char *check, const char *why)
{
    printf("skipped %s: %s, %s\n", subject, check, why);
    skipped++;
}

/* ---- small tools ---- */

static void *get(size_t bytes)
{
    void *block = malloc(bytes ? bytes : 1);
    if (block) return block;
    printf("out of memory\n");
    exit(2);
}

static uint32_t seed = 1;

static uint32_t chance(uint32_t n) /* 0..n-1; a generator of its own, so that runs repeat everywhere */
{
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    return seed % n;
}

/* Length of the well-formed character at p, or 0; *prefix: how many bytes at p begin one (at least 1), as Unicode's
 * advice on U+FFFD counts them. Written from the table of well-formed sequences, not like the library's. */
static size_t character(const unsigned char *p, size_t n, size_t *prefix)
{
    static const struct {
        unsigned char first, last, low, high;
        size_t length;
    } rows[] = {{0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
                {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
                {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    size_t r, i;
    *prefix = 1;
    for (r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (p[0] < rows[r].first || p[0] > rows[r].last) continue;
        for (i = 1; i < rows[r].length && i < n; i++)
            if (p[i] < (i == 1 ? rows[r].low : 0x80) || p[i] > (i == 1 ? rows[r].high : 0xBF)) break;
        *prefix = i;
        return i == rows[r].length ? i : 0;
    }
    return 0;
}

static int is_utf8(const char *text, size_t n)
{
    size_t prefix, length;
    for (; n > 0; text += length, n -= length)
        if ((length = character((const unsigned char *)text, n, &prefix)) == 0) return 0;
    return 1;
}

/* What decoding must show of some bytes; out has room for 3 n. */
static size_t shown(const char *text, size_t n, char *out)
{
    size_t at = 0, prefix, length;
    for (; n > 0; text += prefix, n -= prefix) {
        length = character((const unsigned char *)text, n, &prefix);
        memcpy(out + at, length ? text : "\xEF\xBF\xBD", length ? length : 3);
        at += length ? length : 3;
    }
    return at;
}

/* SentencePiece cannot tell U+2581 from a space. */
static size_t respace(char *text, size_t n)
{
    size_t i, at = 0;
    for (i = 0; i < n;)
        if (n - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0) text[at++] = ' ', i += 3;
        else text[at++] = text[i++];
    return at;
}

/* ---- encoding and decoding whole texts ---- */

typedef struct tokens {
    int32_t *id;
    size_t n;
    harp_status status;
} tokens;

static tokens encode(const harp_model *m, const char *text, size_t n, unsigned flags)
{
    tokens t;
    size_t capacity = n + 8;
    t.id = get(capacity * sizeof *t.id);
    t.status = harp_encode(m, text, n, flags, t.id, capacity, &t.n, NULL);
    return t;
}

/* Decodes one token at a time into a block of exactly the promised size. -1 if a piece is not whole characters. */
static long decode(const harp_model *m, tokens t, unsigned flags, char *out)
{
    size_t room = (size_t)harp_model_info(m).longest_token + 8, i, bytes, at = 0;
    char *piece = get(room);
    harp_decoder d;
    int whole = 1;
    harp_decoder_start(&d, m, flags);
    for (i = 0; whole && i <= t.n; i++) {
        whole = harp_decode(&d, i < t.n ? t.id[i] : -1, piece, room, &bytes, NULL) == HARP_OK && is_utf8(piece, bytes);
        if (whole) memcpy(out + at, piece, bytes), at += bytes;
    }
    free(piece);
    return whole ? (long)at : -1;
}

/* The bytes of the tokens, one after another. */
static size_t join(const harp_model *m, tokens t, char *out, size_t capacity)
{
    size_t i, bytes, at = 0;
    for (i = 0; i < t.n; i++) {
        const char *text = harp_token_text(m, t.id[i], &bytes);
        if (!text || bytes > capacity - at) return (size_t)-1;
        memcpy(out + at, text, bytes), at += bytes;
    }
    return at;
}

/* ---- llama.cpp's vectors ---- */

static int vector_is_right(const harp_model *m, const char *text, size_t n, const char *expected)
{
    tokens t = encode(m, text, n, 0);
    size_t i = 0;
    int right = t.status == HARP_OK;
    for (;;) {
        char *end;
        long id = strtol(expected, &end, 10);
        if (end == expected) break;
        expected = end;
        right = right && i < t.n && t.id[i] == id;
        i++;
    }
    free(t.id);
    return right && i == t.n;
}

static void test_vectors(const harp_model *m, const char *name)
{
    static const char between[] = "\n__ggml_vocab_test__\n";
    char path[512], detail[128], base[64];
    size_t n, n_in, n_out;
    int count = 0, wrong = 0;
    char *in, *out, *text, *line;
    snprintf(base, sizeof base, "%.*s", (int)strcspn(name, "/"), name);
    snprintf(path, sizeof path, "%s/ggml-vocab-%s.gguf.inp", vectors, base);
    in = load_file(path, &n_in);
    snprintf(path, sizeof path, "%s/ggml-vocab-%s.gguf.out", vectors, base);
    out = load_file(path, &n_out);
    for (text = in, line = out; in && out && text < in + n_in; count++) {
        char *end = strstr(text, between), *newline = strchr(line, '\n');
        n = end ? (size_t)(end - text) : strlen(text);
        if (newline) *newline = 0;
        if (!vector_is_right(m, text, n, line)) wrong++, printf("        wrong: \"%.*s\"\n", (int)n, text);
        text += n + sizeof between - 1;
        line = newline ? newline + 1 : line + strlen(line);
    }
    snprintf(detail, sizeof detail, "%d of %d differ", wrong, count);
    if (in && out) report(wrong == 0 && count > 0, "llama.cpp's vectors", detail);
    free(in);
    free(out);
}

/* ---- round trips ---- */

/* The bytes that the vocabulary under test has no token for: SmolLM2's leaves some out. */
static char lacks[256];

static void find_lacking(const harp_model *m)
{
    int i;
    for (i = 0; i < 256; i++) {
        char byte = (char)i;
        tokens t = encode(m, &byte, 1, HARP_ENCODE_CONTINUE);
        lacks[i] = t.status == HARP_OK && t.n == 0;
        free(t.id);
    }
}

static int lacks_some(const char *text, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        if (lacks[(unsigned char)text[i]]) return 1;
    return 0;
}

/* Text -> tokens -> text, and the bytes of the tokens. 1 right, 0 wrong, -1 the vocabulary lacks a byte. */
static int survives(const harp_model *m, const char *text, size_t n, int first)
{
    unsigned on = first ? 0 : HARP_ENCODE_CONTINUE, from = first ? 0 : HARP_DECODE_CONTINUE;
    tokens t = encode(m, text, n, on);
    char *back = get(3 * n + 16), *wanted = get(3 * n + 16);
    size_t n_wanted = shown(text, n, wanted);
    int good = t.status == HARP_OK;
    if (good) good = decode(m, t, from, back) == (long)n_wanted && memcmp(back, wanted, n_wanted) == 0;
    if (good && !first) good = join(m, t, back, 3 * n + 16) == n && memcmp(back, text, n) == 0;
    if (!good && lacks_some(text, n)) good = -1;
    free(t.id);
    free(back);
    free(wanted);
    return good;
}

static void test_corpora(const harp_model *m)
{
    static const char *const files[] = {"botchan.txt", "tinyshakespeare.txt", "tinystories_train.txt",
                                        "wikitext2_test.txt", "war-and-peace.txt"};
    size_t i, n;
    for (i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512], check[128], detail[64];
        clock_t start = clock();
        snprintf(path, sizeof path, CORPORA, files[i]);
        snprintf(check, sizeof check, "round trip of %s", files[i]);
        char *text = load_file(path, &n);
        int good = text ? survives(m, text, n, text[0] != ' ') : 0;
        snprintf(detail, sizeof detail, "%.2f s", (double)(clock() - start) / CLOCKS_PER_SEC);
        if (!text) skip(check, "the file is not there");
        else if (good < 0) skip(check, "the vocabulary lacks some bytes");
        else report(good, check, detail);
        free(text);
    }
}

/* Pieces that tokenizers stumble over, and plain noise. */
static size_t random_text(char *out)
{
    static const char *const bits[] = {
        " ", "  ", "\n", "\r\n", "\t", "a", "the", "'s", "'LL", "1", "234", "56789", "...", "!!", "$", "é", "ß", "п",
        "日本", "한", "🙂", "👩‍🚀", "ا", "\xC2\xA0", "\xE3\x80\x80", "²", "Ⅷ", "\xE2\x96\x81",
        "\xCC\x81", "<s>", "</s>", "<0x0A>", "<|end", "[INST]", "\xC5\xBF", "\xEF\xBB\xBF"};
    size_t n = 0, parts = 1 + chance(24), i;
    for (i = 0; i < parts; i++) {
        uint32_t k = chance(sizeof bits / sizeof *bits + 6);
        if (k < sizeof bits / sizeof *bits) memcpy(out + n, bits[k], strlen(bits[k])), n += strlen(bits[k]);
        else out[n++] = (char)chance(256);
    }
    return n;
}

/* A tokenizer that normalizes alters texts with accents, once and for all; others it must not alter. */
static int survives_normalized(const harp_model *m, const char *text, size_t n)
{
    char once[2048], twice[2048], as_is[2048];
    size_t i;
    tokens t = encode(m, text, n, HARP_ENCODE_CONTINUE);
    long a = t.status ? -1 : decode(m, t, HARP_DECODE_CONTINUE, once), b;
    free(t.id);
    if (a < 0) return 0;
    t = encode(m, once, (size_t)a, HARP_ENCODE_CONTINUE);
    b = t.status ? -1 : decode(m, t, HARP_DECODE_CONTINUE, twice);
    free(t.id);
    if (a != b || memcmp(once, twice, (size_t)a) != 0) return 0;
    for (i = 0; i < n; i++)
        if ((unsigned char)text[i] >= 0xCC) return 1;
    return (size_t)a == shown(text, n, as_is) && memcmp(once, as_is, (size_t)a) == 0;
}

/* A number that stands for the tokens of a text. */
static uint32_t fingerprint(const harp_model *m, const char *text, size_t n)
{
    uint32_t hash = 2166136261u;
    unsigned flags;
    size_t i;
    for (flags = 0; flags <= HARP_ENCODE_SPECIAL; flags += HARP_ENCODE_SPECIAL) {
        tokens t = encode(m, text, n, flags);
        if (t.status) hash = ~hash;
        for (i = 0; i < t.n; i++) hash = (hash ^ (uint32_t)t.id[i]) * 16777619u, hash ^= hash >> 15;
        hash = (hash ^ (uint32_t)t.n) * 16777619u;
        free(t.id);
    }
    return hash;
}

/* Files of one name are one tokenizer in several forms: each must make the same tokens of the texts as the first. */
static void test_forms(const char *name, const uint32_t *prints)
{
    static struct form {
        const char *name;
        uint32_t *prints;
    } forms[64];
    static int n;
    char detail[64];
    int i = 0, k, differ = 0;
    while (i < n && strcmp(forms[i].name, name) != 0) i++;
    if (i == n && n < 64) {
        forms[n].name = name, forms[n].prints = get((size_t)texts * sizeof *prints);
        memcpy(forms[n++].prints, prints, (size_t)texts * sizeof *prints);
        return;
    }
    for (k = 0; i < n && k < texts; k++) differ += forms[i].prints[k] != prints[k];
    snprintf(detail, sizeof detail, "%d of %d differ", differ, texts);
    report(i < n && differ == 0, "random texts, the same tokens as from the first form", detail);
}

static void test_random(const harp_model *m, const char *name)
{
    harp_meta meta;
    int normalizes = harp_meta_find(m, "tokenizer.decompose", &meta);
    char text[512], detail[128];
    uint32_t *prints = get((size_t)texts * sizeof *prints);
    int i, wrong = 0, lacking = 0;
    seed = 1;
    for (i = 0; i < texts; i++) {
        size_t n = random_text(text);
        int first = i % 2, good;
        if (harp_model_info(m).tokenizer == 1) n = respace(text, n);
        prints[i] = fingerprint(m, text, n);
        if (first && n > 0 && text[0] == ' ') first = 0; /* some vocabularies take this space for their own */
        good = normalizes ? survives_normalized(m, text, n) : survives(m, text, n, first);
        if (good < 0) lacking++;
        else wrong += !good;
    }
    snprintf(detail, sizeof detail, "%d of %d wrong, %d with bytes that have no token", wrong, texts, lacking);
    report(wrong == 0, "random texts, valid and not, survive", detail);
    test_forms(name, prints);
    free(prints);
}

static void test_repeats(const harp_model *m)
{
    static const char *const repeated[] = {"a", " ", "!", "0", "\n", "ab", "é", "\xFF"};
    static const char *const named[] = {"a", " ", "!", "0", "\\n", "ab", "é", "\\xFF"};
    char *text = get(MEBIBYTE), *back = get(3 * MEBIBYTE + 16);
    size_t i, k;
    for (i = 0; i < sizeof repeated / sizeof *repeated; i++) {
        size_t period = strlen(repeated[i]);
        char check[64], detail[64];
        for (k = 0; k < MEBIBYTE; k++) text[k] = repeated[i][k % period];
        clock_t start = clock();
        tokens t = encode(m, text, MEBIBYTE, HARP_ENCODE_CONTINUE);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        snprintf(check, sizeof check, "1 MiB of \"%s\"", named[i]);
        snprintf(detail, sizeof detail, "%lu tokens in %.3f s", (unsigned long)t.n, seconds);
        if (lacks_some(text, period)) skip(check, "the vocabulary lacks the byte");
        else report(t.status == HARP_OK && seconds < SECONDS && join(m, t, back, 3 * MEBIBYTE) == MEBIBYTE
                        && memcmp(back, text, MEBIBYTE) == 0, check, detail);
        free(t.id);
    }
    free(text);
    free(back);
}

/* ---- decoding ---- */

static void test_every_token(const harp_model *m)
{
    harp_info info = harp_model_info(m);
    size_t room = (size_t)info.longest_token + 8, bytes;
    char *out = get(room);
    int32_t id, wrong = 0;
    for (id = 0; id < info.vocab; id++) {
        harp_decoder d;
        harp_decoder_start(&d, m, HARP_DECODE_SPECIAL);
        if (harp_decode(&d, id, out, room, &bytes, NULL) || bytes > room || !is_utf8(out, bytes)) wrong++;
        if (harp_decode(&d, -1, out, room, &bytes, NULL) || !is_utf8(out, bytes)) wrong++;
        if (!harp_token_text(m, id, &bytes) && bytes != 0) wrong++;
    }
    report(wrong == 0, "every token decodes to whole characters", "");
    free(out);
}

static void test_arguments(const harp_model *m)
{
    harp_info info = harp_model_info(m);
    char out[16];
    size_t bytes = 1, n = 1;
    int32_t id[4];
    harp_decoder d;
    harp_error err;
    int good;
    harp_decoder_start(&d, m, 0);
    good = harp_decode(&d, info.vocab, out, sizeof out, &bytes, &err) == HARP_ERR_ARGUMENT && bytes == 0 && err.text[0]
           && harp_decode(&d, -2, out, sizeof out, &bytes, NULL) == HARP_ERR_ARGUMENT
           && harp_decode(&d, INT32_MIN, out, sizeof out, &bytes, NULL) == HARP_ERR_ARGUMENT
           && harp_decode(&d, INT32_MAX, out, sizeof out, &bytes, NULL) == HARP_ERR_ARGUMENT
           && harp_decode(&d, 0, out, 3, &bytes, NULL) == HARP_ERR_MEMORY
           && harp_decode(NULL, 0, out, sizeof out, &bytes, NULL) == HARP_ERR_ARGUMENT
           && !harp_token_text(m, -1, &bytes) && !harp_token_text(m, info.vocab, &bytes);
    report(good, "decoding refuses what is out of range", "");
    good = harp_encode(m, "hello hello hello hello", 23, 0, id, 1, &n, &err) == HARP_ERR_MEMORY && n > 1 && err.text[0]
           && harp_encode(m, "hello hello hello hello", 23, 0, NULL, 0, &bytes, NULL) == HARP_ERR_MEMORY && bytes == n
           && harp_encode(m, "", 0, 0, NULL, 0, &n, &err) == HARP_OK && n == 0 && err.text[0] == 0
           && harp_encode(m, NULL, 0, 0, NULL, 0, &n, NULL) == HARP_OK
           && harp_encode(m, NULL, 1, 0, id, 4, &n, NULL) == HARP_ERR_ARGUMENT
           && harp_encode(NULL, "a", 1, 0, id, 4, &n, NULL) == HARP_ERR_ARGUMENT;
    report(good, "encoding counts beyond its capacity, refuses NULL", "");
}

/* The begin token, where there is one: by flag, by name with HARP_ENCODE_SPECIAL, as text without; decoded. */
static int same_as(const harp_model *m, const char *text, const harp_span *spans, size_t n_spans, const tokens *t)
{
    int32_t id[256];
    size_t n, i;
    if (harp_encode_spans(m, text, spans, n_spans, 0, id, 256, &n, NULL) || n != t->n) return 0;
    for (i = 0; i < n; i++)
        if (id[i] != t->id[i]) return 0;
    return 1;
}

/* A text that names a control token, cut into spans in every way that means the same, and in ways that do not. */
static void test_spans(const harp_model *m)
{
    size_t bytes = 0, n, i;
    const char *name = harp_token_text(m, harp_model_info(m).end[0], &bytes);
    char text[256];
    harp_span spans[3] = {{0, 0}, {0, 0}, {0, 0}};
    int good = 1;
    tokens special, plain;
    if (harp_model_info(m).n_end == 0 || !name || bytes < 3 || bytes > 64) return;
    n = (size_t)snprintf(text, sizeof text, "say hello%.*s to the world", (int)bytes, name);
    special = encode(m, text, n, HARP_ENCODE_SPECIAL), plain = encode(m, text, n, 0);
    for (i = 0; i <= n; i++) {
        int inside = i > 9 && i < 9 + bytes;
        spans[0].bytes = i, spans[2].bytes = n - i;
        spans[0].flags = spans[2].flags = 0;
        good &= same_as(m, text, spans, 3, &plain);
        spans[0].flags = spans[2].flags = HARP_ENCODE_SPECIAL;
        good &= same_as(m, text, spans, 3, inside ? &plain : &special);
        spans[0].flags = 0; /* what comes second alone may hold it */
        good &= same_as(m, text, spans, 3, i <= 9 ? &special : &plain);
    }
    report(good && special.n < plain.n, "spans of several authors", "");
    free(special.id), free(plain.id);
}

static void test_begin_token(const harp_model *m)
{
    int32_t bos = harp_model_info(m).bos;
    size_t bytes = 0, i;
    const char *name = harp_token_text(m, bos, &bytes);
    char out[256];
    tokens t;
    long shown_bytes;
    int good;
    if (bos < 0 || !name || bytes > 64) return; /* this tokenizer has no begin token */
    t = encode(m, name, bytes, HARP_ENCODE_SPECIAL);
    good = t.status == HARP_OK && t.n == 1 && t.id[0] == bos;
    shown_bytes = decode(m, t, 0, out);
    good = good && shown_bytes == 0 && decode(m, t, HARP_DECODE_SPECIAL, out) == (long)bytes
           && memcmp(out, name, bytes) == 0;
    free(t.id);
    t = encode(m, name, bytes, 0);
    for (i = 0; i < t.n; i++) good = good && t.id[i] != bos;
    free(t.id);
    t = encode(m, "", 0, HARP_ENCODE_BOS);
    good = good && (t.n == 0 || (t.n == 1 && t.id[0] == bos));
    free(t.id);
    report(good, "the begin token", name[0] ? "" : "unnamed");
}

/* ---- memory ---- */

typedef struct counted {
    long blocks, refuse_after; /* refuse_after < 0: never */
} counted;

static void *counted_alloc(void *user, size_t bytes)
{
    counted *c = user;
    if (c->refuse_after == 0) return NULL;
    if (c->refuse_after > 0) c->refuse_after--;
    c->blocks++;
    return malloc(bytes);
}

static void counted_free(void *user, void *block, size_t bytes)
{
    counted *c = user;
    (void)bytes;
    c->blocks--;
    free(block);
}

static void test_memory(const char *image, size_t bytes)
{
    counted c = {0, -1};
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    char *text = get(70000);
    size_t n = 0;
    long before, k;
    int good = 1, refusals = 0;
    memset(text, 'a', 70000);
    text[5] = ' ';
    source.data = image, source.bytes = bytes;
    source.allocator.alloc = counted_alloc, source.allocator.free = counted_free, source.allocator.user = &c;
    if (harp_open_source(&m, &source, NULL)) {
        report(0, "opening with an allocator", "");
        free(text);
        return;
    }
    before = c.blocks;
    for (k = 0; good && k < 16; k++) {
        c.refuse_after = k;
        harp_status status = harp_encode(m, text, 70000, 0, NULL, 0, &n, NULL);
        good = c.blocks == before && status == HARP_ERR_MEMORY && (n == 0 || n > 1);
        refusals += n == 0;
        if (n) break;
    }
    report(good && refusals > 0 && n > 0, "a refused allocation is HARP_ERR_MEMORY, nothing leaks", "");
    c.refuse_after = -1;
    harp_close(m);
    free(text);
}

/* ---- damage ---- */

static uint32_t u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_u32(unsigned char *p, uint32_t x)
{
    int i;
    for (i = 0; i < 4; i++) p[i] = (unsigned char)(x >> (8 * i));
}

/* Makes the checksum of the file's head right again, so that the tokenizer's own checks are what is tested. */
static void mend(unsigned char *image)
{
    uint32_t table[256], crc = 0xFFFFFFFFu, i, data_offset = u32(image + 56);
    int bit;
    for (i = 0; i < 256; i++)
        for (table[i] = i, bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    put_u32(image + 12, 0);
    for (i = 0; i < data_offset; i++) crc = crc >> 8 ^ table[(crc ^ image[i]) & 255];
    put_u32(image + 12, ~crc);
}

/* Opens a damaged image and, if it opens, uses it. Returns whether it was refused, with a sentence. */
static int is_refused(unsigned char *image, size_t bytes)
{
    static const char text[] = "Hello  world, 123 \xF0\x9F\x99\x82 \xFF<s></s><|endoftext|>\n\n it's";
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    char out[4096];
    mend(image);
    source.data = image, source.bytes = bytes;
    if (harp_open_source(&m, &source, &err)) return !m && err.text[0] != 0;
    if (harp_model_info(m).tokenizer) {
        tokens t = encode(m, text, sizeof text - 1, HARP_ENCODE_BOS | HARP_ENCODE_SPECIAL);
        if (t.status == HARP_OK && t.n <= sizeof text + 8) (void)join(m, t, out, sizeof out);
        if (t.status == HARP_OK && harp_model_info(m).longest_token < 64) (void)decode(m, t, 0, out);
        free(t.id);
    }
    harp_close(m);
    return 0;
}

typedef struct entry {
    const char *key;
    size_t value, bytes; /* offsets into the image */
    uint32_t type;
} entry;

/* The metadata entry at *at, which moves to the next. */
static entry next_entry(const unsigned char *image, size_t *at)
{
    const unsigned char *p = image + *at;
    entry e;
    e.key = (const char *)p + 16, e.type = u32(p), e.bytes = u32(p + 8);
    e.value = *at + 16 + (u32(p + 4) + 8) / 8 * 8;
    *at = e.value + (e.bytes + (e.type == 3) + 7) / 8 * 8;
    return e;
}

/* Must a table of bytes 0xFF be refused? All but the bytes' own table, where that means "no token", and the text. */
static int must_refuse_ones(const entry *e)
{
    return e->type == 4 && e->bytes > 0 && strcmp(e->key, "tokenizer.bytes") != 0
           && strcmp(e->key, "tokenizer.text") != 0;
}

static void damage_entry(unsigned char *image, size_t bytes, const entry *e, size_t entry_at, int flips)
{
    char *kept = get(e->bytes + 1), detail[64];
    int refused = 0, good = 1, i;
    uint32_t length = u32(image + entry_at + 8);
    memcpy(kept, image + e->value, e->bytes);
    for (i = 0; e->bytes > 0 && i < flips; i++) {
        size_t where = e->value + (size_t)chance((uint32_t)e->bytes);
        unsigned char was = image[where];
        image[where] = (unsigned char)(was ^ 1u << chance(8));
        refused += is_refused(image, bytes);
        image[where] = was;
    }
    memset(image + e->value, 0xFF, e->bytes);
    if (must_refuse_ones(e)) good = is_refused(image, bytes);
    memcpy(image + e->value, kept, e->bytes);
    put_u32(image + entry_at + 8, length - 1); /* a byte short: no table has such a size */
    if (e->type == 4 && length > 0 && length % 8 != 1) good = good && is_refused(image, bytes);
    put_u32(image + entry_at + 8, length);
    put_u32(image + entry_at, e->type == 4 ? 3 : 4); /* another type */
    good = good && is_refused(image, bytes);
    put_u32(image + entry_at, e->type);
    snprintf(detail, sizeof detail, "%d of %d flipped bits noticed", refused, flips);
    report(good, e->key, detail);
    free(kept);
}

static void test_damage(const char *original, size_t bytes)
{
    unsigned char *image = get(bytes);
    size_t at = 64;
    uint32_t i, n;
    int flips = bytes < 100000 ? 200 : bytes < 1000000 ? 30 : 4;
    memcpy(image, original, bytes);
    n = u32(image + 32);
    for (i = 0; i < n; i++) {
        size_t entry_at = at;
        entry e = next_entry(image, &at);
        if (strncmp(e.key, "tokenizer.", 10) == 0) damage_entry(image, bytes, &e, entry_at, flips);
    }
    free(image);
}

/* ---- all of it ---- */

static void test_file(const char *name, const char *path)
{
    size_t bytes = 0;
    char *image = load_file(path, &bytes);
    harp_model *m = NULL;
    harp_error err;
    subject = name;
    if (!image) {
        skip(path, "the file is not there");
        return;
    }
    if (harp_open(&m, path, &err)) {
        report(0, path, err.text);
    } else if (harp_model_info(m).tokenizer == 0) {
        report(0, path, "it has no tokenizer");
    } else {
        find_lacking(m);
        test_vectors(m, name);
        test_arguments(m);
        test_begin_token(m);
        test_spans(m);
        test_every_token(m);
        test_random(m, name);
        test_repeats(m);
        test_corpora(m);
        test_memory(image, bytes);
        test_damage(image, bytes);
    }
    harp_close(m);
    free(image);
}

int main(int argc, char **argv)
{
    int i;
    if (argc < 2) {
        printf("usage: test_tokenizer NAME=FILE.harp ...   NAME: llama-spm, gpt-2, ..., or any other\n");
        return 2;
    }
    for (i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && i + 1 < argc) {
            if (argv[i][1] == 'n') texts = atoi(argv[++i]);
            else vectors = argv[++i];
            continue;
        }
        char *equals = strchr(argv[i], '=');
        if (equals) *equals = 0;
        test_file(equals ? argv[i] : "vocabulary", equals ? equals + 1 : argv[i]);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed > 0;
}
