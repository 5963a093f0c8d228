/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * safetensors.h - the tensors of a folder: model.safetensors, or the files that model.safetensors.index.json names
 *
 * Headers are checked in full before anything is used: every tensor's bytes follow from its type and shape, the tensors
 * fill the file without a gap or an overlap, no name is there twice. The headers of all files together, and the index,
 * may have CV_ST_MOST_HEADERS bytes each; memory is at most 16 times that of the JSON, and the tensors' table. */
#ifndef HARP_CONVERT_SAFETENSORS_H
#define HARP_CONVERT_SAFETENSORS_H

#include "../ground/files.h"
#include "../ground/json.h"

enum { CV_ST_MOST_HEADERS = 1 << 25 };

typedef struct cv_st_tensor {
    const char *name;    /* zero-terminated, without zeros inside */
    const char *type;    /* "F32", "BF16", ... */
    uint64_t depth, rows, cols; /* matrices [depth]; up to two dimensions: depth = 1, one: rows = 1; of four
                                   the last two are cols together; others: rows = 0 */
    uint64_t offset;     /* in the file */
    uint64_t bytes;
    uint32_t file;
    int used;            /* the caller's mark */
} cv_st_tensor;

typedef struct cv_st_file {
    cv_file file;
    cv_json header; /* names and types point into it */
    char *path;
} cv_st_file;

typedef struct cv_safetensors {
    cv_st_tensor *tensors; /* [n], ascending by name */
    size_t n, capacity;
    cv_st_file *files; /* [n_files] */
    uint32_t n_files;
    uint64_t header_bytes; /* of all files */
} cv_safetensors;

int cv_safetensors_open(cv_safetensors *st, const char *folder, cv_error *err);
void cv_safetensors_close(cv_safetensors *st); /* also after a failed open */

cv_st_tensor *cv_safetensors_find(const cv_safetensors *st, const char *name); /* NULL: not there */
/* Where a matrix has two names, safetensors keeps one of them, and __metadata__ maps the other to it: the one that was
 * kept, or NULL. */
const char *cv_safetensors_kept(const cv_safetensors *st, const char *name);
/* Elements first .. first + n - 1, row after row, as floats. The type must be F32, F16 or BF16. */
int cv_safetensors_read(const cv_safetensors *st, const cv_st_tensor *t, uint64_t first, uint64_t n, float *out,
                        cv_error *err);
/* The same of a tensor of bytes, U8, as it is. */
int cv_safetensors_read_bytes(const cv_safetensors *st, const cv_st_tensor *t, uint64_t first, uint64_t n,
                              unsigned char *out, cv_error *err);
int cv_safetensors_is_float(const cv_st_tensor *t); /* can cv_safetensors_read read it? */

#endif
