/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * writer.h - writes a .harp file, tensor by tensor, as [CH09] of harp_impl.c describes it */
#ifndef HARP_CONVERT_WRITER_H
#define HARP_CONVERT_WRITER_H

#include "meta.h"
#include "../ground/files.h"

enum { CV_HEADER_BYTES = 64, CV_RECORD_BYTES = 96, CV_NAME_BYTES = 48, CV_ALIGN = 64 };
enum { CV_F32 = 1, CV_Q8 = 2, CV_F32_MATRIX = 3, CV_NIBBLES = 4 }; /* types of tensors */

extern const unsigned char cv_magic[8];

typedef struct cv_tensor {
    char name[CV_NAME_BYTES]; /* zero-terminated, zeros after */
    uint32_t type, crc;
    uint64_t rows, cols, offset, bytes;
} cv_tensor;

uint64_t cv_tensor_bytes(uint32_t type, uint64_t rows, uint64_t cols); /* 0: no such tensor */

typedef struct cv_writer {
    cv_output out;
    const cv_meta *meta;
    cv_tensor *tensors; /* [n], the caller's; offset, bytes and crc are filled in here */
    uint32_t n, current;
    uint64_t written;   /* of the current tensor */
    uint64_t table_offset, data_offset, file_bytes;
} cv_writer;

/* Begins the file: name, type, rows and cols of all tensors are known, their contents follow in this order. Once it has
 * succeeded, call cv_writer_finish or cv_writer_discard. */
int cv_writer_begin(cv_writer *w, const char *path, const cv_meta *meta, cv_tensor *tensors, uint32_t n, cv_error *err);
/* Part of the current tensor; the one that completes it goes on to the next. */
int cv_writer_add(cv_writer *w, const void *data, size_t bytes, cv_error *err);
/* Writes the head with its checksums and lets the file appear, if `accept` (or NULL) does not refuse it. On failure
 * there is no file. */
int cv_writer_finish(cv_writer *w, cv_accept_fn *accept, cv_error *err);
void cv_writer_discard(cv_writer *w);

#endif
