/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * rope.h - tables of rope frequencies */
#ifndef HARP_CONVERT_ROPE_H
#define HARP_CONVERT_ROPE_H

#include <stdint.h>

/* table[i] = theta^(-2i / dims), i < dims / 2, rounded as PyTorch does it in float32. */
void cv_rope_frequencies(float *table, int32_t dims, double theta);
/* theta^(2i / dims), and YaRN on such a table; old: the context that it was trained for. */
float cv_rope_power(int32_t dims, double theta, int32_t i);
void cv_rope_yarn(float *table, int32_t dims, double theta, double factor, double old, double fast, double slow);

#endif
