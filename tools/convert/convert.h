/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * convert.h - what the parts of harp-convert share
 *
 * Every function that can fail returns 0 on success and -1 with a sentence in cv_error; nothing here exits or prints
 * but main() in convert.c. Inputs are hostile until checked, and what they hold may stand in such a sentence: it is
 * printed by show_line alone (ground/show.h). */
#ifndef HARP_CONVERT_H
#define HARP_CONVERT_H

#include <stddef.h>
#include <stdint.h>

typedef struct cv_error {
    char text[512]; /* one sentence, zero-terminated; not yet fit for a terminal */
} cv_error;

int cv_fail(cv_error *err, const char *format, ...); /* fills err->text like printf, returns -1 */

/* ---- util.c: memory, checksums ---- */

void *cv_alloc(size_t count, size_t size, cv_error *err);            /* zeroed; NULL on overflow or no memory         */
void *cv_grow(void *block, size_t count, size_t size, cv_error *err); /* realloc; NULL leaves block as it was          */
uint32_t cv_crc32(uint32_t crc, const void *data, size_t bytes); /* as zip and PNG; start with 0 */

/* ---- meta.c: the metadata of the .harp file being made, in order; see the format chapter of harp_impl.c ---- */

typedef struct cv_meta {
    unsigned char *data; /* the entries as they stand in the file */
    size_t bytes, capacity;
    uint32_t count;
} cv_meta;

int cv_meta_integer(cv_meta *meta, const char *key, int64_t value, cv_error *err);
int cv_meta_real(cv_meta *meta, const char *key, double value, cv_error *err);
int cv_meta_text(cv_meta *meta, const char *key, const char *text, size_t bytes, cv_error *err);
int cv_meta_bytes(cv_meta *meta, const char *key, const void *data, size_t bytes, cv_error *err);
int cv_meta_append(cv_meta *meta, const cv_meta *more, cv_error *err); /* keys must differ */
void cv_meta_free(cv_meta *meta);

/* ---- tokenizer.c: other people's tokenizers -> tokenizer.* metadata ---- */

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
