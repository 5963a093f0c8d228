/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_tokenizer.c - text to tokens and back, whole and streaming
 *
 * The first two bytes of the input choose a vocabulary and flags; the rest is a text, then a list of tokens. */
#include "../../harp.h"
#include "../../tools/convert/ground/characters.h"
#include "make_harp.h"

enum { SHAPES = 16, MOST_TEXT = 4096 };

static harp_model *models[SHAPES];

static void open_models(void)
{
    int i;
    if (models[0]) return;
    for (i = 0; i < SHAPES; i++) {
        fz_shape s = fz_small_shape((unsigned)i * 97 + 5);
        harp_source source = harp_source_defaults();
        uint8_t *data = malloc(1 << 18);
        fz_expect(data);
        s.tokenizer = 1 + (unsigned)i % 2, s.seed = (unsigned)i * 89;
        source.data = data, source.bytes = fz_write_harp(&s, data, 1 << 18);
        fz_expect(harp_open_source(&models[i], &source, NULL) == HARP_OK);
    }
}

static int is_whole_utf8(const char *text, size_t bytes)
{
    size_t n = 1;
    for (; bytes > 0 && n > 0; text += n, bytes -= n) n = utf8_length(text, bytes);
    return n > 0;
}

/* Decodes tokens one by one into out; every piece must be whole characters and fit. Returns its length. */
static size_t decode_all(const harp_model *m, unsigned flags, const int32_t *tokens, size_t n, char *out, size_t room)
{
    harp_decoder d;
    harp_error err;
    harp_info info = harp_model_info(m);
    size_t piece = (size_t)info.longest_token + 8, at = 0, bytes, i;
    char *buffer = malloc(piece);
    fz_expect(buffer);
    harp_decoder_start(&d, m, flags);
    for (i = 0; i <= n; i++) {
        int32_t token = i < n ? tokens[i] : -1;
        harp_status status = harp_decode(&d, token, buffer, piece, &bytes, &err);
        fz_expect((status == HARP_OK) == (token >= -1 && token < info.vocab));
        fz_expect(bytes <= piece && is_whole_utf8(buffer, bytes) && bytes <= room - at);
        memcpy(out + at, buffer, bytes);
        at += bytes;
    }
    free(buffer);
    return at;
}

/* A text of characters that all have tokens, without added tokens or a first space, comes back as it was. */
static int is_plain(const harp_model *m, const uint8_t *text, size_t bytes)
{
    harp_meta ids;
    size_t i;
    if (!harp_meta_find(m, "tokenizer.bytes", &ids)) return 0;
    for (i = 0; i < bytes; i++)
        if (cv_u32((const uint8_t *)ids.data + 4 * text[i]) == 0xFFFFFFFFu || text[i] == '<') return 0;
    return is_whole_utf8((const char *)text, bytes);
}

static void check_text(const harp_model *m, unsigned flags, const uint8_t *text, size_t bytes)
{
    static int32_t tokens[MOST_TEXT * 2], again[MOST_TEXT * 2];
    static char out[MOST_TEXT * 8];
    harp_span spans[3];
    harp_error err;
    size_t n = 0, k = 0, length;
    harp_status status = harp_encode(m, (const char *)text, bytes, flags, tokens, MOST_TEXT * 2, &n, &err);
    fz_expect(status == HARP_OK && n <= bytes + 2);
    spans[0].bytes = bytes / 3, spans[1].bytes = bytes / 3, spans[2].bytes = bytes - 2 * (bytes / 3);
    spans[0].flags = spans[1].flags = spans[2].flags = 0;
    fz_expect(harp_encode_spans(m, (const char *)text, spans, 3, flags & ~HARP_ENCODE_SPECIAL, again, MOST_TEXT * 2, &k,
                                &err) == HARP_OK);
    if (!(flags & HARP_ENCODE_SPECIAL)) fz_expect(k == n && memcmp(tokens, again, n * sizeof *tokens) == 0);
    status = harp_encode(m, (const char *)text, bytes, flags, again, n ? n - 1 : 0, &k, &err);
    fz_expect(status == (n ? HARP_ERR_MEMORY : HARP_OK) && k == n);
    length = decode_all(m, 0, tokens, n, out, sizeof out);
    if (is_plain(m, text, bytes) && harp_model_info(m).tokenizer == 2)
        fz_expect(length == bytes && memcmp(out, text, bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int32_t tokens[64];
    static char out[1 << 16];
    const harp_model *m;
    size_t i, n;
    open_models();
    if (bytes < 2 || bytes > MOST_TEXT) return 0;
    m = models[data[0] % SHAPES];
    check_text(m, data[1] & 7u, data + 2, bytes - 2);
    n = bytes - 2 < 64 ? bytes - 2 : 64;
    for (i = 0; i < n; i++) tokens[i] = data[2 + i] % (harp_model_info(m).vocab + 2) - 1;
    decode_all(m, data[1] >> 3 & 3u, tokens, n, out, sizeof out);
    return 0;
}
