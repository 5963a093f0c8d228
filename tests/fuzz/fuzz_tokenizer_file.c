/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_tokenizer_file.c - other people's tokenizers: tokenizer.json, SentencePiece, tiktoken, llama2.c
 *
 * The input is the file; what it is shows in its first bytes. Whatever the converter takes, the library must open: the
 * metadata are put into a small model, which encodes and decodes a text. */
#define HARP_STATIC
#include "../../harp_impl.c"
#include "fuzz_file.h"
#include "make_harp.h"
#include "../../tools/convert/vocab.h"

enum { MOST_FILE = 1 << 22 };

static size_t wrap(uint8_t *out, const cv_meta *meta, int32_t vocab)
{
    fz_shape s = {1, 1, 1, 2, 2, 1, 1, 16, 0, 1, 0, 0, 1, 0, 0};
    fz_file f;
    s.vocab = (unsigned)vocab;
    f.data = out, f.bytes = 0, f.capacity = MOST_FILE;
    fz_put(&f, NULL, 64);
    memcpy(out, hp_magic, 8);
    fz_store(out + 8, 1, 4), fz_store(out + 24, 64, 8);
    s.tokenizer = 0;
    fz_put_metadata(&f, &s);
    fz_put(&f, meta->data, meta->bytes);
    fz_store(out + 32, hp_u32(out + 32) + meta->count, 4);
    fz_store(out + 40, f.bytes - 64, 8);
    fz_put_tensors(&f, &s);
    fz_seal(out, f.bytes);
    return f.bytes;
}

static void use(const uint8_t *file, size_t bytes)
{
    static const char text[] = "<s> the Hello, 12 world's\n\n\xC3\xA9 \xFF";
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_decoder d;
    harp_error err;
    int32_t tokens[256];
    size_t n = 0, i, length;
    char *out;
    source.data = file, source.bytes = bytes;
    if (harp_open_source(&m, &source, &err) != HARP_OK) fprintf(stderr, "%s\n", err.text);
    fz_expect(m != NULL);
    fz_expect(harp_encode(m, text, sizeof text - 1, HARP_ENCODE_BOS | HARP_ENCODE_SPECIAL, tokens, 256, &n, &err) == HARP_OK);
    out = malloc((size_t)m->info.longest_token + 8);
    fz_expect(out != NULL);
    harp_decoder_start(&d, m, HARP_DECODE_SPECIAL);
    for (i = 0; i < n; i++)
        fz_expect(harp_decode(&d, tokens[i], out, (size_t)m->info.longest_token + 8, &length, &err) == HARP_OK);
    free(out);
    harp_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t file[MOST_FILE];
    cv_meta meta = {NULL, 0, 0, 0};
    cv_tokenizer_facts facts;
    cv_error err;
    const char *path = fz_write_file("tokenizer", data, bytes);
    err.text[0] = 0;
    if (cv_tokenizer_load(path, -1, &meta, &facts, &err) == 0) {
        fz_expect(facts.n_tokens >= 1);
        if (facts.n_tokens <= 8192 && meta.bytes < MOST_FILE / 2) use(file, wrap(file, &meta, facts.n_tokens));
    } else {
        fz_expect(err.text[0]);
    }
    cv_meta_free(&meta);
    return 0;
}
