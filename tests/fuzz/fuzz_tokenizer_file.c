/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_tokenizer_file.c - other people's tokenizers: tokenizer.json, SentencePiece, tiktoken, llama2.c
 *
 * The input is the file; what it is shows in its first bytes. Whatever the converter takes becomes a small model, which
 * runs, encodes and decodes. */
#include "converted.h"

enum { MOST_TOKENS = 8192 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static cv_tokenizer t;
    int32_t n;
    cv_error err;
    const char *path = fz_write_file("tokenizer", data, bytes);
    int failed;
    err.text[0] = 0;
    failed = cv_tokenizer_open(&t, path, &err) != 0 || !t.is_there;
    n = t.n_tokens;
    cv_tokenizer_close(&t);
    fz_expect(failed ? err.text[0] != 0 || !t.is_there : n >= 1);
    if (failed || n > MOST_TOKENS) return 0; /* ids may leave wide gaps: a model of them takes long */
    fz_expect(fz_convert(path, 1, 0) == 0);
    fz_go_on(data, bytes);
    return 0;
}
