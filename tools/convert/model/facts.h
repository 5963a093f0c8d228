/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * facts.h - what a model is, whatever the format that it came in: sizes, what a layer computes, its parts and their
 * shapes */
#ifndef HARP_CONVERT_FACTS_H
#define HARP_CONVERT_FACTS_H

#include "../ground/error.h"

#include <stdint.h>

enum { CV_MOST_EXPERTS = 1 << 16 }; /* of all layers together */
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
    CV_SINKS,
    CV_CONV_IN, /* of a convolution in the place of attention */
    CV_CONV,
    CV_CONV_OUT,
    CV_ATTN_GATE, /* of what attention puts out */
    CV_DELTA_QUERY, /* of a gated delta net in the place of attention */
    CV_DELTA_KEY,
    CV_DELTA_VALUE,
    CV_DELTA_GATE,
    CV_DELTA_B,
    CV_DELTA_A,
    CV_DELTA_CONV,
    CV_DELTA_LOG_RATE,
    CV_DELTA_BIAS,
    CV_DELTA_NORM,
    CV_DELTA_OUT,
    CV_LAYER_EMBEDDING, /* of all layers: what each has of a token for itself */
    CV_LAYER_INPUT_NORM,
    CV_LAYER_INPUT,
    CV_LAYER_GATE,
    CV_LAYER_OUT,
    CV_LAYER_POST_NORM,
    CV_LAYER_SCALE,
    CV_ROUTER,
    CV_ROUTER_BIAS,
    CV_SHARED_ROUTER, /* of the expert to which all tokens go */
    CV_SHARED_GATE,
    CV_SHARED_UP,
    CV_SHARED_DOWN,
    CV_EXPERT_GATE, /* of one expert, as CV_GATE and so on; these stand together */
    CV_EXPERT_UP,
    CV_EXPERT_GATE_BIAS,
    CV_EXPERT_UP_BIAS,
    CV_EXPERT_DOWN,
    CV_EXPERT_DOWN_BIAS,
    CV_FINAL_NORM,
    CV_FINAL_NORM_BIAS,
    CV_OUTPUT,
    CV_OUTPUT_BIAS,
    CV_N_PARTS
} cv_part;

/* Which biases a model has; a source must have exactly those. */
enum { CV_BIAS_QKV = 1, CV_BIAS_ATTN_OUT = 2, CV_BIAS_FFN = 4, CV_BIAS_NORM = 8, CV_BIAS_OUTPUT = 16,
       CV_BIAS_EXPERTS = 32 /* and of routers */ };

/* What stands in the metadata: [CH10] of harp_impl.c has the meaning of each. Zero everywhere is a Llama model. */
typedef struct cv_facts {
    const char *architecture; /* a name for people */
    /* words of the metadata; NULL: not written, which means the first of each list there */
    const char *norm, *norm_place, *residual, *activation, *ffn_kind, *qk_norm;
    /* 0: not written */
    double attention_scale, attention_cap, logit_cap, embedding_scale, rope_scale;
    double logit_divisor;                       /* 0: 1; what the final norm and the output's bias are divided by */
    double attention_growth;                    /* with attention_step, a count: how scores grow; 0: they do not */
    int32_t attention_step;
    int32_t experts, experts_used, expert_ffn;  /* experts 0: none */
    const char *routing;                        /* a word of the metadata, too */
    int has_sinks;
    int has_value_norms;                        /* without weights: values alone */
    int has_layer_scales;
    int32_t local_head_dim;                     /* 0: head_dim, which is the largest of any layer */
    int32_t narrow_ffn;                         /* 0: ffn in all layers, else this in the narrow ones */
    unsigned char narrow_layers[CV_MOST_LAYERS], shared_layers[CV_MOST_LAYERS];
    int has_shared_layers;                      /* some attend to keys and values of layers before them */
    int32_t layer_inputs;                       /* 0: none */
    double layer_input_scale;                   /* with layer_inputs */
    int32_t conv_taps;                          /* 0: no layer is a convolution, or has one */
    unsigned char conv_layers[CV_MOST_LAYERS], delta_layers[CV_MOST_LAYERS];
    int32_t delta_heads, delta_key_heads, delta_key_dim, delta_value_dim; /* delta_heads 0: no layer is a delta net */
    int has_query_gates;                        /* attention has gates, each beside its head's queries */
    int32_t shared_ffn;                         /* 0: there is no expert to which all tokens go */
    int has_expert_layers;                      /* only some are mixtures */
    unsigned char expert_layers[CV_MOST_LAYERS];
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
/* Has each expert a part of that kind? */
int cv_is_experts(cv_part part);
/* Is the layer a mixture of experts? */
int cv_has_experts(const cv_facts *facts, int32_t layer);
/* The shape that the facts demand of a part of a layer; vectors have one row. */
void cv_shape_of(const cv_facts *facts, cv_part part, int32_t layer, uint64_t *rows, uint64_t *cols);
/* The size of a head in a layer. */
int32_t cv_head_dim(const cv_facts *facts, int32_t layer);

#endif
