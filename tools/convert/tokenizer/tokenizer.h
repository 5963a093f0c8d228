/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * tokenizer.h - other people's tokenizers -> tokenizer.* metadata */
#ifndef HARP_CONVERT_TOKENIZER_H
#define HARP_CONVERT_TOKENIZER_H

#include "../file/meta.h"

typedef struct cv_tokenizer_facts { /* what the rest of the conversion wants to know */
    int32_t n_tokens;               /* largest id + 1 */
    int32_t bos, eos;               /* -1: not stated */
    char bos_text[256], eos_text[256]; /* for the chat template; empty: none */
    char note[256];                    /* what the user should know; empty: nothing */
} cv_tokenizer_facts;

/* A folder with tokenizer.json (and tokenizer_config.json), or vocab.json + merges.txt, or tokenizer.model in Llama 3's
 * tiktoken form; or one such file by path, or llama2.c's tokenizer.bin. vocab: rows of the embedding matrix (the
 * tokenizer may have fewer tokens, never more), or -1 for --vocab-only.
 * Returns 0, -1 with err, or 1: there is no tokenizer there. */
int cv_tokenizer_load(const char *path, int32_t vocab, cv_meta *meta, cv_tokenizer_facts *facts, cv_error *err);

#endif
