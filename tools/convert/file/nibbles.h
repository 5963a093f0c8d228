/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * nibbles.h - rows of weights -> tiles of four-bit weights, as [CH09] of harp_impl.c lays them out
 *
 * A weight is the value of its nibble in the tensor's table of sixteen, times its group's scale. Tables and scales are
 * either the source's own or searched for. */
#ifndef HARP_CONVERT_NIBBLES_H
#define HARP_CONVERT_NIBBLES_H

#include "quantize.h"

enum { CV_TABLE_VALUES = 16, CV_TABLE_BYTES = 64 };

size_t cv_nibble_tile_bytes(uint64_t cols);

/* Fills a tile from integers [n][cols], all of them values of the table, and scales [n][cols / 32] of either sign; cols
 * is a multiple of 32. Scales are rounded to half precision, which is exact for halves. Returns 0, or -1 with the place
 * of a group whose scale is too large. */
int cv_nibbles_of_integers(unsigned char *tile, const int8_t *integers, const float *scales, uint64_t n, uint64_t cols,
                           const int8_t *table, cv_loss *loss, uint64_t *bad);

/* The same from floats: for each group the scale and the nibbles with the smallest sum of squared errors, each weighted
 * by its column's importance [cols], a finite number above 0; NULL: all are 1. -1: the place of a weight that is not
 * finite or too large. */
int cv_nibbles_of_floats(unsigned char *tile, const float *weights, uint64_t n, uint64_t cols, const int8_t *table,
                         const float *importance, cv_loss *loss, uint64_t *bad);

/* A table for weights of which these n groups [n][32] are a sample, with the importance of each. What is not finite is
 * passed over. The same sample gives the same table everywhere. */
void cv_choose_table(int8_t *table, const float *groups, const float *importance, size_t n);

#endif
