/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * tokenizer.h - other people's tokenizers -> tokenizer.* metadata */
#ifndef HARP_CONVERT_TOKENIZER_H
#define HARP_CONVERT_TOKENIZER_H

#include "vocab.h"
#include "../containers/gguf.h"

/* A tokenizer that was read, and where it stands. */
typedef struct cv_tokenizer {
    int is_there;               /* 0: that place has none, and the rest means nothing                  */
    cv_vocab vocab;
    int32_t n_tokens, bos, eos; /* n_tokens: the largest id + 1; -1: not stated                        */
    char bos_text[256], eos_text[256]; /* for the chat template; empty: none                           */
    char note[256];             /* what the user should know; empty: nothing                           */
    char file[HOST_PATH_BYTES], folder[HOST_PATH_BYTES]; /* the file that has the tokens, and its folder */
    const cv_gguf *gguf;        /* NULL, or what that file is                                          */
    cv_gguf own;                /* *gguf, where nobody else had it open                                */
    cv_json config;             /* tokenizer_config.json of the folder; no nodes: there is none        */
} cv_tokenizer;

/* Reads the tokenizer of a folder (tokenizer.json with tokenizer_config.json, or vocab.json + merges.txt, or
 * tokenizer.model, also in Llama 3's tiktoken form, or llama2.c's tokenizer.bin), or one such file by path, or a GGUF
 * file's. Call cv_tokenizer_close whatever it returns. */
int cv_tokenizer_open(cv_tokenizer *t, const char *path, cv_error *err);
/* The same for a GGUF file that is open and stays so. */
int cv_tokenizer_of_gguf(cv_tokenizer *t, const cv_gguf *gguf, const char *path, cv_error *err);
void cv_tokenizer_close(cv_tokenizer *t);

/* rows: of the embedding matrix; the tokenizer may have fewer tokens, never more. Once. */
int cv_tokenizer_write(cv_tokenizer *t, int32_t rows, cv_meta *meta, cv_error *err);
/* The chat template that stands with it: 1, and *text is to be freed; 0: there is none; -1. */
int cv_tokenizer_template(const cv_tokenizer *t, char **text, size_t *bytes, cv_error *err);

#endif
