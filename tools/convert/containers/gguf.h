/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * gguf.h - GGUF files, versions 2 and 3: metadata and tensors, in one file or in several
 *
 * The head is checked in full before anything is used: no name twice, every tensor's bytes follow from its type and
 * shape and lie in the file, no two overlap. A file whose metadata says that it is the first of several brings the
 * others in. An open file takes at most 90 MiB of memory, whatever its parts say; gguf.c has the sum. */
#ifndef HARP_CONVERT_GGUF_H
#define HARP_CONVERT_GGUF_H

#include "dequantize.h"
#include "../ground/files.h"

typedef enum cv_gguf_type {
    CV_GGUF_U8, CV_GGUF_I8, CV_GGUF_U16, CV_GGUF_I16, CV_GGUF_U32, CV_GGUF_I32, CV_GGUF_F32, CV_GGUF_BOOL,
    CV_GGUF_STRING, CV_GGUF_ARRAY, CV_GGUF_U64, CV_GGUF_I64, CV_GGUF_F64, CV_GGUF_N_TYPES
} cv_gguf_type;

typedef struct cv_gguf_value {
    const char *key; /* zero-terminated, without zeros inside */
    uint32_t type;   /* of the elements, if it is an array    */
    int is_array;
    uint64_t count;  /* elements; 1 if it is no array         */
    const unsigned char *data; /* [bytes] as in the file; strings of an array: see cv_gguf_next_string */
    size_t bytes;
} cv_gguf_value;

typedef struct cv_gguf_tensor {
    const char *name; /* zero-terminated, without zeros inside */
    const cv_block_type *type;
    uint64_t depth, rows, cols; /* matrices [depth]; up to two dimensions: depth = 1, one: rows = 1; four: rows = 0 */
    uint64_t offset;     /* in the file */
    uint64_t bytes;
    uint32_t file;
    int used;            /* the caller's mark */
} cv_gguf_tensor;

typedef struct cv_gguf_file {
    cv_file file;
    char *path;
    unsigned char *head; /* names, keys and values point into it */
    cv_gguf_value *values; /* [n_values], ascending by key */
    cv_gguf_tensor *tensors; /* [n_tensors], as they stand */
    size_t n_values, n_tensors;
} cv_gguf_file;

typedef struct cv_gguf {
    cv_gguf_file *files; /* [n_files]; the first one's values count */
    uint32_t n_files;
    cv_gguf_tensor *tensors; /* [n] of all files, ascending by name */
    size_t n;
} cv_gguf;

int cv_is_gguf(const char *path, cv_error *err); /* 1: a file that begins like one; 0; -1: it cannot be read */

int cv_gguf_open(cv_gguf *g, const char *path, cv_error *err);
void cv_gguf_close(cv_gguf *g); /* also after a failed open */

/* Metadata. NULL stands for something absent: the functions below then answer 0. */
const cv_gguf_value *cv_gguf_find(const cv_gguf *g, const char *key);
int cv_gguf_integer(const cv_gguf_value *v, int64_t *value); /* 1: an integer or a flag */
int cv_gguf_real(const cv_gguf_value *v, double *value);     /* 1: any number           */
int cv_gguf_integer_at(const cv_gguf_value *v, uint64_t i, int64_t *value); /* 1: element i is one */
int cv_gguf_real_at(const cv_gguf_value *v, uint64_t i, double *value);
const char *cv_gguf_string(const cv_gguf_value *v, size_t *bytes); /* NULL: no string; not zero-terminated */
int cv_gguf_is(const cv_gguf_value *v, const char *text);          /* 1: it is exactly this string        */
/* The strings of an array, one after the other: *at begins as 0. */
const char *cv_gguf_next_string(const cv_gguf_value *v, size_t *at, size_t *bytes);
/* The value in words, for messages. */
const char *cv_gguf_describe(const cv_gguf_value *v, char *out, size_t capacity);

cv_gguf_tensor *cv_gguf_tensor_of(const cv_gguf *g, const char *name); /* NULL: not there */
/* Elements first .. first + n - 1, row after row; both are multiples of the type's block. As floats, or (out has room
 * for n / elements * bytes of the type) as they stand in the file. */
int cv_gguf_read(const cv_gguf *g, const cv_gguf_tensor *t, uint64_t first, uint64_t n, float *out, cv_error *err);
int cv_gguf_read_raw(const cv_gguf *g, const cv_gguf_tensor *t, uint64_t first, uint64_t n, void *out, cv_error *err);

#endif
