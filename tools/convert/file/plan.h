/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * plan.h - what the tensors of a .harp file are made of
 *
 * A table says which tensors a file has, in order, on which of the facts each depends, and which of the source's
 * matrices stand under each other in it. A plan is that table, filled in for one source and checked: every matrix is
 * there and has the shape that the facts demand. */
#ifndef HARP_CONVERT_MODEL_H
#define HARP_CONVERT_MODEL_H

#include "meta.h"
#include "writer.h"
#include "../model/source.h"

enum { CV_MOST_STACKED = 3 };

/* How matrices are stored. Embeddings and the output never have four bits. */
typedef struct cv_storage {
    int bits;         /* 32: floats; 8; 4: but for those to keep and those that the source has in coarse types of its
                         own; 0: 4 where the source has the same four bits, else 8 */
    const char *keep; /* NULL, or which matrices have 8 in place of 4: "down|0.qkv", parts or names of tensors */
} cv_storage;

typedef struct cv_planned {
    cv_matrix *matrix; /* [n], from top to bottom, vectors one after another */
    int n;
    const float *table; /* n = 0: what stands in the tensor, a vector; NULL: ones */
    int experts;             /* whose rows stand one after another, as many of each; 1: they are nobody's */
    const int8_t *values;    /* NULL, or what the source's nibbles stand for, those of all the matrices */
    const float *importance; /* NULL, or [experts][cols], for four bits: how much errors there weigh, above 0 */
} cv_planned;

typedef struct cv_plan {
    cv_tensor *tensors;  /* [n] names, types, shapes */
    cv_planned *planned; /* [n] */
    uint32_t n;
    size_t most;      /* that there is room for */
    uint64_t weights; /* in all */
    float *importance; /* NULL, or what `importance` of the tensors points into; freed with the plan */
    uint64_t coarse;  /* tensors that have 8 bits though 4 were wanted, for ... */
    const char *coarse_type; /* ... the source has the first of them in this type */
} cv_plan;

int cv_plan_make(cv_plan *plan, cv_source *source, const cv_storage *storage, cv_error *err);
void cv_plan_free(cv_plan *plan);

/* architecture, sizes, what a layer computes, begin and end tokens: what harp_open asks of the metadata. */
int cv_facts_write(const cv_facts *facts, cv_meta *meta, cv_error *err);

#endif
