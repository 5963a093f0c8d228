/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * source.h - what every input format becomes
 *
 * A format (a Hugging Face folder, a llama2.c file, ...) is one C file with one function cv_open_FORMAT that makes a
 * cv_source: the facts about the model, and a way to read rows of its matrices, which go by the names of cv_part. The
 * rest of the converter does not know where they come from. To add a format: write that file and give it a row in the
 * table of formats in convert.c. */
#ifndef HARP_CONVERT_SOURCE_H
#define HARP_CONVERT_SOURCE_H

#include "facts.h"

/* One matrix (a vector is a matrix of one row) where it lies in the source. */
typedef struct cv_matrix {
    uint64_t rows, cols;
    uint64_t at;    /* the source's own */
    uint64_t first; /* the source's own, too, as is ... */
    int fusion;     /* ... this */
    cv_part part;
    char name[CV_NAME_IN_SOURCE]; /* as the source calls it, for messages */
    /* NULL, or the sixteen values that all integers of read_q8 are: the source has four bits for a weight. */
    const int8_t *values;
    const char *coarse; /* NULL, or its type in the source, of fewer than eight bits, which is not ours */
} cv_matrix;

typedef struct cv_source cv_source;

struct cv_source {
    cv_facts facts;
    /* Finds a matrix; layer is 0 for those outside the layers, expert for those that are no expert's. */
    int (*find)(cv_source *source, cv_part part, int32_t layer, int32_t expert, cv_matrix *matrix, cv_error *err);
    /* Called when all that the model needs is found: refuses a source that holds more than that. May be NULL. */
    int (*check_rest)(cv_source *source, cv_error *err);
    /* Reads rows first .. first + n - 1 into out [n][cols]. Queries and keys come in half-split order. */
    int (*read)(cv_source *source, const cv_matrix *matrix, uint64_t first, uint64_t n, float *out, cv_error *err);
    /* NULL, or the same for a matrix that is integers with scales, which have signs: q [n][cols], scales
     * [n][cols / 32]. It returns 1 if this matrix cannot be read like that; then read can. */
    int (*read_q8)(cv_source *source, const cv_matrix *matrix, uint64_t first, uint64_t n, int8_t *q, float *scales,
                   cv_error *err);
    /* 1: read and read_q8 may be called for any rows by several threads at once. 0: one call at a time,
     * rows in order. */
    int any_order;
    /* Where its tokenizer and its chat template stand: in a folder, in the GGUF file that it is, or, both NULL,
     * nowhere. */
    const char *folder;
    const struct cv_gguf *gguf;
    const char *note; /* what the user should know of the conversion; NULL: nothing */
    void (*close)(cv_source *source); /* frees source, too */
};

#endif
