/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * converted.h - the converter as its users have it, and what must hold for every file that it writes
 *
 * A target that stops when its reader has taken the input misses half of what can go wrong: a file may be written that
 * the library refuses, or runs wrongly. So fz_convert goes all the way to a file, and fz_go_on opens it, verifies it,
 * runs eight tokens, renders conversations, and encodes and decodes a text made of the input. */
#ifndef HARP_FUZZ_CONVERTED_H
#define HARP_FUZZ_CONVERTED_H

#define main cv_program
#include "../../tools/convert/convert.c" /* for what it does between its arguments and its exit status */
#undef main

#include "../../harp.h"
#include "../../tools/convert/tokenizer/tokenizer.h"
#include "fuzz_file.h"
#include "talk.h"

enum { FZ_MOST_TEXT = 512, FZ_MOST_WEIGHTS = 1 << 22, FZ_MOST_MEMORY = 1 << 26, FZ_TOKENS = 8, FZ_CONTEXT = 16 };

static char fz_out[128]; /* what fz_convert writes */

/* Converts the file or folder: 0, or -1 with a sentence. */
static inline int fz_convert(const char *in, int vocab_only, int is_float)
{
    cv_request r;
    cv_error err;
    memset(&r, 0, sizeof r);
    snprintf(fz_out, sizeof fz_out, "%s/out.harp", fz_folder);
    r.in = in, r.out = fz_out, r.vocab_only = vocab_only, r.quiet = 1;
    r.weights = is_float ? "f32" : NULL;
    err.text[0] = 0;
    if (convert(&r, &err) == 0) return 0;
    if (getenv("FZ_TELL")) fprintf(stderr, "%s\n", err.text); /* why a replayed input is refused */
    fz_expect(err.text[0] && !cv_file_exists(fz_out));
    return -1;
}

/* ---- eight tokens ---- */

/* Numbers may overflow on the way, and then the call says so; nothing else may go wrong. */
static inline void fz_run_eight(const harp_model *m, unsigned choice)
{
    harp_info info = harp_model_info(m);
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    harp_error err;
    harp_status status;
    int32_t prompt[3];
    size_t bytes;
    int i;
    p.context = info.context < FZ_CONTEXT ? info.context : FZ_CONTEXT;
    p.batch = 1 + (int32_t)(choice & 3), p.harp = choice >> 2 & 1, p.cache = (harp_cache)(choice >> 3 & 1);
    fz_expect(harp_session_memory(m, &p, &bytes, &err) == HARP_OK);
    if (info.parameters > FZ_MOST_WEIGHTS || bytes > FZ_MOST_MEMORY) return;
    fz_expect(harp_session_open(&s, m, &p, &err) == HARP_OK);
    prompt[0] = 0, prompt[1] = info.vocab - 1, prompt[2] = info.vocab / 2;
    status = harp_feed(s, prompt, p.context < 3 ? p.context : 3, &err);
    for (i = 0; status == HARP_OK && i < FZ_TOKENS; i++) {
        harp_step step;
        status = harp_next(s, &step, &err);
        if (status == HARP_OK) fz_expect(step.token >= 0 && step.token < info.vocab && step.entropy >= 0.0f);
    }
    if (status != HARP_OK) fprintf(stderr, "%s\n", err.text);
    fz_expect(status == HARP_OK || status == HARP_ERR_NUMBER || status == HARP_ERR_CONTEXT);
    fz_expect(status != HARP_ERR_CONTEXT || p.context < 3 + FZ_TOKENS);
    harp_session_close(s);
}

/* ---- text ---- */

/* A text of the input: its ASCII as it is, its other bytes as pieces on which tokenizers differ. */
static inline size_t fz_text_of(const uint8_t *data, size_t bytes, char *out, size_t room)
{
    static const char *const pieces[] = {"\xC3\xA9",
                                         "e\xCC\x81",
                                         "\xE2\x96\x81",
                                         "\xF0\x9F\x98\x80",
                                         "<s>",
                                         "</s>",
                                         "<unk>",
                                         "<|end|>",
                                         "<|a|>",
                                         "<|a",
                                         "<0x41>",
                                         "  ",
                                         "\r\n",
                                         "\n\n",
                                         "'s",
                                         "'RE",
                                         "234",
                                         "\xEA\xB0\x80",
                                         "\xE1\x84\x80\xE1\x85\xA1",
                                         "\xC2\x9B",
                                         "\t",
                                         "\xC4\xA0",
                                         "\xEF\xBF\xBD",
                                         "\xC5\xBF",
                                         "xxxy",
                                         "!!",
                                         "\xFF",
                                         "\xE2\x82",
                                         "\xF4\x90\x80\x80",
                                         " a",
                                         "aa",
                                         "\xCC\xA7"};
    size_t n = 0, i;
    for (i = 0; i < bytes && n + 8 < room; i++) {
        const char *piece = pieces[data[i] % (sizeof pieces / sizeof *pieces)];
        if (data[i] < 0x80) out[n++] = (char)data[i];
        else memcpy(out + n, piece, strlen(piece)), n += strlen(piece);
    }
    return n;
}

/* Is it UTF-8? As Unicode's table 3-7 has it. */
static inline int fz_is_utf8(const char *text, size_t bytes)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + bytes;
    while (p < end) {
        size_t more = p[0] < 0x80 ? 0 : p[0] < 0xC2 ? 9 : p[0] < 0xE0 ? 1 : p[0] < 0xF0 ? 2 : p[0] < 0xF5 ? 3 : 9, i;
        if (more == 9 || (size_t)(end - p) <= more) return 0;
        for (i = 1; i <= more; i++)
            if ((p[i] & 0xC0) != 0x80) return 0;
        if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90)
            || (p[0] == 0xF4 && p[1] > 0x8F))
            return 0;
        p += 1 + more;
    }
    return 1;
}

typedef struct fz_words { /* what the file's metadata say of its tokenizer */
    const uint8_t *types, *bytes, *added;
    size_t n_added;
    int64_t unknown, spaces;
    int normalizes;
} fz_words;

static inline const uint8_t *fz_table_of(const harp_model *m, const char *key, size_t *bytes)
{
    harp_meta meta;
    int there = harp_meta_find(m, key, &meta);
    *bytes = there ? meta.bytes : 0;
    return there ? (const uint8_t *)meta.data : NULL;
}

static inline fz_words fz_words_of(const harp_model *m)
{
    fz_words w;
    harp_meta meta;
    size_t n;
    w.types = fz_table_of(m, "tokenizer.types", &n);
    w.bytes = fz_table_of(m, "tokenizer.bytes", &n);
    w.added = fz_table_of(m, "tokenizer.added", &w.n_added);
    w.unknown = harp_meta_find(m, "tokenizer.unknown", &meta) ? meta.integer : -1;
    w.spaces = harp_meta_find(m, "tokenizer.spaces", &meta) ? meta.integer : 0;
    w.normalizes = harp_meta_find(m, "tokenizer.decompose", &meta);
    w.n_added /= 8;
    return w;
}

/* Does every text come back? Not if a byte has no token, form NFC changes it, added tokens take white space away from
 * it, or spaces are put after them. */
static inline int fz_is_lossless(const fz_words *w)
{
    size_t i;
    for (i = 0; i < 256; i++)
        if (memcmp(w->bytes + 4 * i, "\xFF\xFF\xFF\xFF", 4) == 0) return 0;
    for (i = 0; i < w->n_added; i++)
        if (w->added[8 * i + 4]) return 0;
    return !w->normalizes && (w->n_added == 0 || !(w->spaces & CV_SPACE_EACH));
}

/* Decodes into out [room]; every piece must be whole characters. */
static inline size_t fz_decode(const harp_model *m, unsigned flags, const int32_t *tokens, size_t n, char *out,
                               size_t room)
{
    size_t piece = (size_t)harp_model_info(m).longest_token + 8, at = 0, bytes, i;
    char *buffer = malloc(piece);
    harp_decoder d;
    harp_error err;
    fz_expect(buffer);
    harp_decoder_start(&d, m, flags);
    for (i = 0; i <= n; i++) {
        fz_expect(harp_decode(&d, i < n ? tokens[i] : -1, buffer, piece, &bytes, &err) == HARP_OK);
        fz_expect(bytes <= piece && fz_is_utf8(buffer, bytes));
        if (bytes > room - at) break; /* long tokens: the beginning is enough */
        memcpy(out + at, buffer, bytes);
        at += bytes;
    }
    free(buffer);
    return at;
}

/* The same text in three parts must give the same tokens: spans cut flags, not words. */
static inline void fz_check_spans(const harp_model *m, unsigned flags, const char *text, size_t bytes,
                                  const int32_t *tokens, size_t n)
{
    static int32_t again[2 * FZ_MOST_TEXT];
    harp_span spans[3];
    harp_error err;
    size_t k;
    int i;
    spans[0].bytes = bytes / 3, spans[1].bytes = bytes / 2, spans[2].bytes = bytes - bytes / 3 - bytes / 2;
    for (i = 0; i < 3; i++) spans[i].flags = 0;
    fz_expect(harp_encode_spans(m, text, spans, 3, flags, again, 2 * FZ_MOST_TEXT, &k, &err) == HARP_OK);
    fz_expect(k == n && memcmp(tokens, again, n * sizeof *tokens) == 0);
    fz_expect(harp_encode(m, text, bytes, flags, again, n ? n - 1 : 0, &k, &err) == (n ? HARP_ERR_MEMORY : HARP_OK));
    fz_expect(k == n);
}

/* What a person typed: never a control token; and it comes back. */
static inline void fz_check_typed(const harp_model *m, const char *text, size_t bytes)
{
    static int32_t tokens[2 * FZ_MOST_TEXT];
    static char out[8 * FZ_MOST_TEXT];
    fz_words w = fz_words_of(m);
    harp_info info = harp_model_info(m);
    harp_error err;
    size_t n, length, i;
    fz_expect(harp_encode(m, text, bytes, HARP_ENCODE_CONTINUE, tokens, 2 * FZ_MOST_TEXT, &n, &err) == HARP_OK);
    for (i = 0; i < n; i++) {
        fz_expect(tokens[i] >= 0 && tokens[i] < info.vocab && w.types[tokens[i]] != CV_CONTROL);
        fz_expect(w.types[tokens[i]] != CV_UNKNOWN || tokens[i] == w.unknown);
    }
    fz_check_spans(m, HARP_ENCODE_CONTINUE, text, bytes, tokens, n);
    length = fz_decode(m, HARP_DECODE_CONTINUE, tokens, n, out, sizeof out);
    if (!fz_is_lossless(&w) || !fz_is_utf8(text, bytes)) return;
    if (info.tokenizer == 1 && strstr(text, "\xE2\x96\x81")) return; /* it is a space there */
    fz_expect(length == bytes && memcmp(out, text, bytes) == 0);
}

/* A begin token, spaces put first, names of tokens taken as such: nothing to compare with, but nothing may fail. */
static inline void fz_check_special(const harp_model *m, const char *text, size_t bytes)
{
    static int32_t tokens[2 * FZ_MOST_TEXT];
    static char out[8 * FZ_MOST_TEXT];
    harp_error err;
    size_t n, length;
    fz_expect(harp_encode(m, text, bytes, HARP_ENCODE_BOS, tokens, 2 * FZ_MOST_TEXT, &n, &err) == HARP_OK);
    fz_check_spans(m, HARP_ENCODE_BOS, text, bytes, tokens, n);
    length = fz_decode(m, 0, tokens, n, out, sizeof out);
    fz_expect(fz_is_utf8(out, length));
    fz_expect(harp_encode(m, text, bytes, HARP_ENCODE_BOS | HARP_ENCODE_SPECIAL, tokens, 2 * FZ_MOST_TEXT, &n, &err)
              == HARP_OK);
    fz_decode(m, HARP_DECODE_SPECIAL, tokens, n, out, sizeof out);
}

/* Whatever the converter has written, the library takes, finds whole, and runs. */
static inline void fz_go_on(const uint8_t *data, size_t bytes)
{
    char text[FZ_MOST_TEXT + 1];
    harp_model *m = NULL;
    harp_error err;
    harp_status talked;
    unsigned choice = bytes ? data[bytes / 2] : 0;
    size_t n = fz_text_of(data, bytes, text, FZ_MOST_TEXT);
    text[n] = 0;
    if (harp_open(&m, fz_out, &err) != HARP_OK || harp_verify(m, &err) != HARP_OK) fprintf(stderr, "%s\n", err.text);
    fz_expect(err.status == HARP_OK);
    fz_run_eight(m, choice);
    talked = fz_talk(m);
    fz_expect(talked == HARP_OK || talked == HARP_ERR_UNSUPPORTED); /* no table, or one that the library takes */
    if (harp_model_info(m).tokenizer) {
        fz_check_typed(m, text, n);
        fz_check_special(m, text, n);
    }
    harp_close(m);
    fz_expect(remove(fz_out) == 0);
}

#endif
