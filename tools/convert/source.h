/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * source.h - what every input format becomes
 *
 * A format (a Hugging Face folder, a llama2.c file, ...) is one C file with one function cv_open_FORMAT that makes a
 * cv_source: the facts about the model, and a way to read rows of its matrices, which go by the names of cv_part. The
 * rest of the converter does not know where they come from. To add a format: write that file and give it a row in the
 * table of formats in convert.c. */
#ifndef HARP_CONVERT_SOURCE_H
#define HARP_CONVERT_SOURCE_H

#include "convert.h"

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
    int32_t rope_original;                      /* 0: none; otherwise rope_long is a table, too */
    int has_window_layers, has_local_layers;    /* has_local_layers: rope_local is a table, too */
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

/* One matrix (a vector is a matrix of one row) where it lies in the source. */
typedef struct cv_matrix {
    uint64_t rows, cols;
    uint64_t at;    /* the source's own */
    int fusion;     /* the source's own, too */
    cv_part part;
    char name[CV_NAME_IN_SOURCE]; /* as the source calls it, for messages */
} cv_matrix;

typedef struct cv_source cv_source;

struct cv_source {
    cv_facts facts;
    /* Finds a matrix; layer is 0 for those outside the layers. */
    int (*find)(cv_source *source, cv_part part, int32_t layer, cv_matrix *matrix, cv_error *err);
    /* Called when all that the model needs is found: refuses a source that holds more than that. May be NULL. */
    int (*check_rest)(cv_source *source, cv_error *err);
    /* Reads rows first .. first + n - 1 into out [n][cols]. Queries and keys come in half-split order. */
    int (*read)(cv_source *source, const cv_matrix *matrix, uint64_t first, uint64_t n, float *out, cv_error *err);
    /* NULL, or the same for a matrix that is integers with scales: q [n][cols], scales [n][cols / 32]. It returns 1
     * if this matrix cannot be read like that; then read can. */
    int (*read_q8)(cv_source *source, const cv_matrix *matrix, uint64_t first, uint64_t n, int8_t *q, float *scales,
                   cv_error *err);
    /* 1: read and read_q8 may be called for any rows by several threads at once. 0: one call at a time, rows in order. */
    int any_order;
    const char *note; /* what the user should know of the conversion; NULL: nothing */
    void (*close)(cv_source *source); /* frees source, too */
};

int cv_open_huggingface(cv_source **source, const char *folder, cv_error *err);
int cv_open_llama2c(cv_source **source, const char *path, cv_error *err);
int cv_open_gguf(cv_source **source, const char *path, cv_error *err);
/* For --vocab-only: the smallest model that a tokenizer of `vocab` tokens can be carried by, all weights zero. */
int cv_open_vocabulary(cv_source **source, int32_t vocab, cv_error *err);

/* model.c: are the facts within what a .harp file may say? what names the source. Sizes alone are checked first, before
 * any memory is asked for by them. */
int cv_check_sizes(const cv_facts *facts, const char *what, cv_error *err);
int cv_check_facts(const cv_facts *facts, const char *what, cv_error *err);
/* Adds an end token that is not there yet. */
int cv_add_end(cv_facts *facts, int64_t id, const char *what, cv_error *err);
/* table[i] = theta^(-2i / dims), i < dims / 2, rounded as PyTorch does it in float32. */
void cv_rope_frequencies(float *table, int32_t dims, double theta);
/* rope.c: theta^(2i / dims), and YaRN on such a table; old: the context that it was trained for. */
float cv_rope_power(int32_t dims, double theta, int32_t i);
void cv_rope_yarn(float *table, int32_t dims, double theta, double factor, double old, double fast, double slow);

#endif
