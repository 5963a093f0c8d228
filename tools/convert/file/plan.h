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

typedef struct cv_planned {
    cv_matrix matrix[CV_MOST_STACKED]; /* [n], from top to bottom, vectors one after another */
    int n;
    const float *table; /* n = 0: what stands in the tensor, a vector */
} cv_planned;

typedef struct cv_plan {
    cv_tensor *tensors;  /* [n] names, types, shapes */
    cv_planned *planned; /* [n] */
    uint32_t n;
    uint64_t weights; /* in all */
} cv_plan;

/* float_weights: matrices are not to be rounded to int8. */
int cv_plan_make(cv_plan *plan, cv_source *source, int float_weights, cv_error *err);
void cv_plan_free(cv_plan *plan);

/* architecture, sizes, what a layer computes, begin and end tokens: what harp_open asks of the metadata. */
int cv_facts_write(const cv_facts *facts, cv_meta *meta, cv_error *err);

#endif
