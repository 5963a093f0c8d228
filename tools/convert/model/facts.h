/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * facts.h - what a model is, whatever the format that it came in: sizes, what a layer computes, its parts and their
 * shapes */
#ifndef HARP_CONVERT_FACTS_H
#define HARP_CONVERT_FACTS_H

#include "../ground/error.h"

#include <stdint.h>

enum { CV_MOST_ENDS = 16, CV_MOST_HEAD_DIM = 1024, CV_MOST_LAYERS = 1024, CV_GROUP = 32,
       CV_NAME_IN_SOURCE = 112 };

/* The matrices and vectors of all architectures, unfused. */
typedef enum cv_part {
    CV_NO_PART,
    CV_EMBEDDING,
    CV_POSITION,
    CV_ATTN_NORM,
    CV_ATTN_NORM_BIAS,
    CV_QUERY,
    CV_KEY,
    CV_VALUE,
    CV_QUERY_BIAS,
    CV_KEY_BIAS,
    CV_VALUE_BIAS,
    CV_QUERY_NORM,
    CV_KEY_NORM,
    CV_ATTN_OUT,
    CV_ATTN_OUT_BIAS,
    CV_ATTN_POST_NORM,
    CV_FFN_NORM,
    CV_FFN_NORM_BIAS,
    CV_GATE,
    CV_UP, /* the only one if the feed-forward is plain */
    CV_GATE_BIAS,
    CV_UP_BIAS,
    CV_DOWN,
    CV_DOWN_BIAS,
    CV_FFN_POST_NORM,
    CV_FINAL_NORM,
    CV_FINAL_NORM_BIAS,
    CV_OUTPUT,
    CV_OUTPUT_BIAS,
    CV_N_PARTS
} cv_part;

/* Which biases a model has; a source must have exactly those. */
enum { CV_BIAS_QKV = 1, CV_BIAS_ATTN_OUT = 2, CV_BIAS_FFN = 4, CV_BIAS_NORM = 8, CV_BIAS_OUTPUT = 16 };

/* What stands in the metadata: [CH09] of harp_impl.c has the meaning of each. Zero everywhere is a Llama model. */
typedef struct cv_facts {
    const char *architecture; /* a name for people */
    /* words of the metadata; NULL: not written, which means the first of each list there */
    const char *norm, *norm_place, *residual, *activation, *ffn_kind, *qk_norm;
    /* 0: not written */
    double attention_scale, attention_cap, logit_cap, embedding_scale, rope_scale;
    double logit_divisor;                       /* 0: 1; what the final norm and the output's bias are divided by */
    int32_t rope_original;                      /* 0: none; otherwise rope_long is a table, too */
    int has_window_layers, has_local_layers;    /* has_local_layers: rope_local is a table, too */
    int32_t window_pattern;                     /* what window_layers was made of, 0: something else */
    unsigned char window_layers[CV_MOST_LAYERS], local_layers[CV_MOST_LAYERS];
    int has_positions; /* learned ones: CV_POSITION is there */
    int biases;        /* CV_BIAS_* */
    int32_t vocab, hidden, layers, heads, kv_heads, head_dim, ffn, context;
    int32_t window;    /* 0: none */
    int32_t rope_dims; /* rotated dimensions of a head, 0: none */
    int32_t tied;      /* 1: the output matrix is the embedding matrix */
    double norm_eps;
    float rope[CV_MOST_HEAD_DIM / 2]; /* [rope_dims / 2] radians per position, scaling applied */
    float rope_long[CV_MOST_HEAD_DIM / 2], rope_local[CV_MOST_HEAD_DIM / 2];
    int32_t bos;                      /* -1: not stated */
    int32_t end[CV_MOST_ENDS], n_end;
} cv_facts;

/* Are the facts within what a .harp file may say? what names the source. Sizes alone are checked first, before
 * any memory is asked for by them. */
int cv_check_sizes(const cv_facts *facts, const char *what, cv_error *err);
int cv_check_facts(const cv_facts *facts, const char *what, cv_error *err);
/* Adds an end token that is not there yet. */
int cv_add_end(cv_facts *facts, int64_t id, const char *what, cv_error *err);
/* The shape that the facts demand of a part; vectors have one row. */
void cv_shape_of(const cv_facts *facts, cv_part part, uint64_t *rows, uint64_t *cols);

#endif
