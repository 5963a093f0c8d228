/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * dequantize.h - the block types of GGUF files -> floats
 *
 * A row is a run of blocks, each of which holds 32 or 256 weights as small integers with common scales. What a block
 * means is defined by ggml's reference code; dequantize.c follows its float operations one by one, so the floats are
 * the same to the last bit. */
#ifndef HARP_CONVERT_DEQUANTIZE_H
#define HARP_CONVERT_DEQUANTIZE_H

#include "../ground/error.h"

#include <stddef.h>
#include <stdint.h>

enum { CV_GGML_F32 = 0, CV_GGML_F16 = 1, CV_GGML_Q8_0 = 8, CV_GGML_BF16 = 30, CV_GGML_MXFP4 = 39 };

typedef struct cv_block_type {
    uint32_t id;       /* in GGUF files */
    const char *name;
    uint32_t elements; /* in a block */
    uint32_t bytes;    /* of it */
    void (*widen)(const unsigned char *block, float *out);            /* one block -> [elements], or ...       */
    void (*widen_all)(const unsigned char *p, uint64_t n, float *out); /* n elements, of types without blocks   */
    /* Of types whose blocks are 32 integers with one scale, NULL for others: the block's scale, and its integers. */
    float (*split)(const unsigned char *block, int8_t *integers);
    const int8_t *values; /* the sixteen that integers of four bits can be, NULL for more bits */
} cv_block_type;

const cv_block_type *cv_block_type_of(uint32_t id); /* NULL: not one that is read here */
const char *cv_block_type_name(uint32_t id);        /* of others, too; "unknown" */

/* n elements, a multiple of type->elements. */
void cv_dequantize(const cv_block_type *type, const unsigned char *blocks, uint64_t n, float *out);
/* The same for blocks that were read to the end of out, where cv_raw_place says: no type takes more
 * room than floats. */
unsigned char *cv_raw_place(const cv_block_type *type, uint64_t n, float *out);
void cv_dequantize_in_place(const cv_block_type *type, uint64_t n, float *out);

/* Blocks of a type with split -> integers [n][32] and scales [n]. Scales become halves later: they are halves, but for
 * MXFP4, whose powers of two are halves from 2^-24 to 2^15. Smaller ones become 0, so that weights below 4e-7 do. -1: a
 * scale is larger, or has a sign where integers have 8 bits; name is the tensor's. */
int cv_split_blocks(const cv_block_type *type, const unsigned char *blocks, uint64_t n, int8_t *integers,
                    float *scales, const char *name, cv_error *err);
/* A block of MXFP4 whose nibbles stand in pairs of neighbours, as safetensors have them: sixteen bytes, and the scale
 * elsewhere. */
void cv_mxfp4_of_neighbours(unsigned char *block, const unsigned char *pairs, unsigned char scale);

#endif
