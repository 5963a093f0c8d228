/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * pour.h - the weights, from a source into a file, a tile at a time: never more than a tile of the largest matrix is
 * held */
#ifndef HARP_CONVERT_POUR_H
#define HARP_CONVERT_POUR_H

#include "plan.h"
#include "quantize.h"

/* Called now and then with the share of the file that is written, 0..1. */
typedef void cv_progress_fn(void *user, double share, const char *tensor);

/* Writes all tensors of the plan. losses [plan->n] tells what rounding did to each. */
int cv_pour(cv_writer *writer, cv_source *source, const cv_plan *plan, cv_loss *losses, cv_progress_fn *progress,
            void *user, cv_error *err);

#endif
