/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * kinds.h - a file that is not what is wanted here is named for what it is, by its first bytes */
#ifndef HARP_CONVERT_KINDS_H
#define HARP_CONVERT_KINDS_H

#include "error.h"

enum { CV_KIND_BYTES = 256 }; /* so many first bytes are enough */

typedef enum cv_kind {
    CV_KIND_UNKNOWN,
    CV_KIND_HARP,
    CV_KIND_GGUF,
    CV_KIND_SAFETENSORS,
    CV_KIND_JSON,
    CV_KIND_TEXT,
    CV_KIND_TOKENIZER, /* SentencePiece's, llama2.c's */
    CV_KIND_OTHER      /* never of use here           */
} cv_kind;

/* Fails, saying what the file is and what to do next, if these first bytes show that it is of a known kind, but not of
 * the one that is wanted. JSON, text and tokenizers pass for each other: whoever reads them knows more. */
int cv_refuse_other_kinds(const char *path, const void *head, size_t bytes, cv_kind wanted, cv_error *err);

#endif
