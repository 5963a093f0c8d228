/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * meta.h - the metadata of the .harp file being made, in order; [CH10] of harp_impl.c has what the keys mean */
#ifndef HARP_CONVERT_META_H
#define HARP_CONVERT_META_H

#include "../ground/error.h"

#include <stdint.h>

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
const char *cv_meta_text_of(const cv_meta *meta, const char *key, size_t *bytes); /* NULL: there is none */
void cv_meta_free(cv_meta *meta);

#endif
