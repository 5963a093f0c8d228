/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * check.h - harp-convert --check: is a .harp file whole, and what is in it? */
#ifndef HARP_CONVERT_CHECK_H
#define HARP_CONVERT_CHECK_H

#include "ground/error.h"

#include <stdint.h>

int cv_check(const char *path, cv_error *err); /* prints a table to stdout */

/* Would the library open what was made? If not, it is not to be left behind. */
int cv_check_result(const char *name, cv_error *err);

/* The metadata entry that holds what rounding did: for each tensor three f32: largest error, root mean square of the
 * errors, root mean square of the weights. */
#define CV_LOSSES_KEY "quantization_errors"
enum { CV_LOSSES_EACH = 12 };

void cv_print_loss(const char *name, int bits, uint64_t rows, uint64_t cols, double largest, double rms,
                   double weight_rms);

#endif
