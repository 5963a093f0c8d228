/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * rope.h - tables of rope frequencies */
#ifndef HARP_CONVERT_ROPE_H
#define HARP_CONVERT_ROPE_H

#include "facts.h"

/* table[i] = theta^(-2i / dims), i < dims / 2, rounded as PyTorch does it in float32. */
void cv_rope_frequencies(float *table, int32_t dims, double theta);
/* theta^(2i / dims), and YaRN on such a table; old: the context that it was trained for. */
float cv_rope_power(int32_t dims, double theta, int32_t i);
/* truncate: the ramp begins and ends at whole frequencies. */
void cv_rope_yarn(float *table, int32_t dims, double theta, double factor, double old, double fast, double slow,
                  int truncate);

/* Where files have element 2i of a head turn with 2i + 1: the row of the file for row r of a part that is to be in
 * half-split order. */
uint64_t cv_row_in_pairs(const cv_facts *facts, cv_part part, uint64_t r);

#endif
