/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * describe.h - the metadata of the file: facts, names, tokenizer, chat */
#ifndef HARP_CONVERT_DESCRIBE_H
#define HARP_CONVERT_DESCRIBE_H

#include "file/meta.h"
#include "model/source.h"

enum { CV_MOST_CHAT = 16 };

typedef struct cv_request { /* the command line */
    const char *in, *out;
    const char *tokenizer;     /* NULL: the one that stands with the model */
    const char *name, *licence; /* NULL: none said */
    const char *weights;        /* "int8" or "f32" */
    const char *bits;           /* "8" or "4"; NULL: as cv_storage has it */
    const char *keep;           /* of cv_storage */
    const char *calibrate;      /* a text, or NULL */
    const char *today;          /* "2026-11-30": the date that a chat template tells; NULL: none said */
    const char *chat[CV_MOST_CHAT]; /* KEY=TEXT */
    int n_chat;
    int vocab_only, errors, quiet;
} cv_request;

typedef struct cv_description {
    cv_meta meta;
    int has_tokenizer, has_chat;
    int32_t n_tokens;
    char tokenizer_note[256]; /* what the user should know of it; or empty */
    char chat_note[512];      /* why there is no chat table; or empty      */
} cv_description;

/* Opens the source with `open`, or for --vocab-only the vocabulary's, and describes it. On failure nothing is left to
 * free; otherwise the caller closes the source and calls cv_description_free. */
int cv_describe(cv_description *d, cv_source **source, const cv_request *request,
                int (*open)(cv_source **, const char *, cv_error *), cv_error *err);
void cv_description_free(cv_description *d);

/* Is this KEY=TEXT of --chat one that can be stored? */
int cv_check_chat(const char *assignment, cv_error *err);

#endif
