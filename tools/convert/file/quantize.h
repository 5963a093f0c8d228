/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * quantize.h - rows of weights -> tiles of int8 with scales, as [CH09] of harp_impl.c lays them out */
#ifndef HARP_CONVERT_QUANTIZE_H
#define HARP_CONVERT_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

enum { CV_TILE_ROWS = 16 };

/* What quantization did to a matrix. */
typedef struct cv_loss {
    double largest, error2, weight2; /* largest |error|, sums of squares */
    uint64_t n;
} cv_loss;

double cv_loss_rms(const cv_loss *loss);
double cv_loss_decibel(const cv_loss *loss); /* signal to noise; infinite if there is no error */

size_t cv_tile_bytes(uint64_t cols);
size_t cv_float_tile_bytes(uint64_t cols);

/* Fills a tile from weights [n][cols], n <= 16. loss may be NULL. Returns 0, or -1 with the place of a weight that is
 * not finite, or too large for a scale in half precision (above 8.3 million). */
int cv_tile_of_floats(unsigned char *tile, const float *weights, uint64_t n, uint64_t cols, cv_loss *loss,
                      uint64_t *bad);

/* The same from integers [n][cols] and scales [n][cols / 32], finite; cols is a multiple of 32. The
 * integers stay what they are; scales are rounded to half precision. */
int cv_tile_of_integers(unsigned char *tile, const int8_t *integers, const float *scales, uint64_t n, uint64_t cols,
                        cv_loss *loss, uint64_t *bad);

/* The same without rounding, a tile of floats. */
int cv_tile_of_exact_floats(unsigned char *tile, const float *weights, uint64_t n, uint64_t cols, uint64_t *bad);

#endif
