/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * families.h - the families of models: one row each, for Hugging Face folders and GGUF files alike
 *
 * A row says what a layer of the family computes, and how each kind of file tells the rest: names of keys, of tensors.
 * It names only what differs from Llama. A front end (config.c, gguf_model.c) reads the sizes in its own way, then has
 * cv_apply_recipe turn the row into facts. A .harp file says what its model computes, and nobody asks for the family
 * again.
 *
 * To add a family: write its row in families.c, with the names of the tensors that are not called as Llama's. What a
 * layer computes in a way that no row can say yet is a word of [CH10] in harp_impl.c first, then a field here. */
#ifndef HARP_CONVERT_FAMILIES_H
#define HARP_CONVERT_FAMILIES_H

#include "../model/facts.h"

/* Where a matrix is in the tensor that holds it. */
typedef enum cv_fusion {
    CV_WHOLE,          /* it is the tensor                                                                */
    CV_STACKED,        /* rows of it: queries, keys, values one under the other, or gates, ups            */
    CV_PER_HEAD,       /* rows of it: for each head its queries, its keys, its values, or what it has beside them */
    CV_PACKED,         /* rows of it: one expert after another; of each its gates, then its ups, if it has both */
    CV_PACKED_TURNED,  /* columns of such a tensor [expert][in][out], or of its biases [expert][out]            */
    CV_PACKED_PAIRS,   /* of those every other: a gate, an up, and so on                                          */
    CV_BLOCKS,         /* rows of bytes [expert][out][in / 2], MXFP4's NAME_blocks, with NAME_scales            */
    CV_BLOCK_PAIRS,    /* of those every other row: a gate, an up, and so on                                     */
    CV_LAYER_ROWS,     /* rows of it: those of one layer after another                                          */
    CV_TAPS,           /* all of it, a vector: [hidden][1][taps] to [taps][hidden]                                */
    CV_TURNED,         /* the tensor is [in][out]                                                         */
    CV_TURNED_STACKED  /* columns of such a tensor, in the order of CV_STACKED                            */
} cv_fusion;

typedef struct cv_name {
    cv_part part; /* CV_NO_PART ends a list   */
    const char *name; /* '*' is the layer's number, a second one the expert's */
    cv_fusion fusion;
} cv_name;

/* What a key of a file may say about the recipe. */
typedef enum cv_fact {
    CV_NO_FACT,
    /* flags */
    CV_QKV_BIASES,       /* are there biases of queries, keys, values ... */
    CV_ATTENTION_BIASES, /* ... of all four projections ...               */
    CV_FFN_BIASES,
    CV_MATRIX_BIASES,    /* of attention and feed-forward */
    CV_PARALLEL,         /* is the residual as the row says? Otherwise it is sequential. */
    CV_SCALED_SCORES,    /* are scores scaled at all? */
    CV_SHARES_OF_CHOSEN, /* do the weights of a token's experts add up to 1? */
    CV_LAST_FLAG = CV_SHARES_OF_CHOSEN,
    /* counts */
    CV_WINDOW,
    CV_WINDOW_PATTERN,
    CV_EXPERTS,
    CV_EXPERTS_USED,
    CV_EXPERT_FFN,       /* if it is not the feed-forward's */
    CV_LOCAL_HEAD_DIM,
    CV_SHARED_LAYERS,    /* the last ones attend to keys and values of layers before them */
    CV_LAYER_INPUTS,
    CV_LAST_COUNT = CV_LAYER_INPUTS,
    /* reals */
    CV_ATTENTION_CAP,
    CV_LOGIT_CAP,
    CV_SCORE_GROWTH,     /* see attention_growth in [CH10] of harp_impl.c; YaRN's original context is the step */
    /* reals above 0 */
    CV_ATTENTION_SCALE,  /* factor of the scores ...                                        */
    CV_ATTENTION_SQUARE, /* ... is one over the root of this                                */
    CV_EMBEDDING_SCALE,
    CV_RESIDUAL_SCALE,   /* factor of what a block adds to the residual stream; for norms   */
                         /* before blocks alone, and without learned positions              */
    CV_RESIDUAL_BY_ROOT, /* ... is this over the root of the number of layers               */
    CV_LOGIT_DIVISOR,
    CV_LOGIT_BASE,       /* ... is hidden over this                                         */
    CV_FIRST_FACTOR = CV_ATTENTION_SCALE
} cv_fact;

typedef struct cv_setting {
    cv_fact fact; /* CV_NO_FACT ends a list */
    const char *key;
    double otherwise; /* what an absent key means; CV_AS_IT_IS: nothing */
} cv_setting;

#define CV_AS_IT_IS (-1.0)

/* Which layers turn by a table of their own, without rope scaling. One of zeros means that they do not turn. */
typedef enum cv_local {
    CV_NONE_LOCAL,
    CV_WINDOWS_LOCAL, /* those with a window, by a base of their own                        */
    CV_WINDOWS_PLAIN, /* those with a window, by the same base                              */
    CV_FULL_STILL,    /* by zeros: those without a window, where others have one            */
    CV_LISTED_STILL   /* by zeros: each still_every-th, or as hf.read says                  */
} cv_local;

/* What a class of transformers assumes if a key is absent. */
typedef struct cv_default {
    const char *key; /* NULL ends a list */
    double value;
} cv_default;

/* A model that reads more than text: its language model stands in text_config, and is what is converted. Lists end with
 * NULL. */
typedef struct cv_wrapper {
    const char *text_type;       /* model_type in text_config                              */
    const char *const *keys;     /* of config.json, outside of text_config                 */
    const char *const *left_out; /* how the names of tensors begin that are not for text   */
    const char *note;            /* what the user should know                              */
} cv_wrapper;

typedef struct cv_type {
    const char *model_type; /* NULL: there is no such type */
    const char *class_name;
    const cv_wrapper *wrapper; /* NULL: a model of text alone */
} cv_type;

enum { CV_MOST_TYPES = 2 };
enum { CV_HIDDEN_KEY, CV_LAYERS_KEY, CV_HEADS_KEY, CV_FFN_KEY, CV_CONTEXT_KEY, CV_N_SIZE_KEYS };

struct cv_config;

/* How a Hugging Face folder tells of the family. Lists end with NULL or its like; no list: an empty one. */
typedef struct cv_huggingface {
    cv_type types[CV_MOST_TYPES];
    const cv_name *names;        /* of tensors, before Llama's */
    const cv_setting *settings;  /* keys that say something of the recipe, in the order of reading */
    const char *const *keys;     /* read elsewhere, or known to mean nothing, beyond those common to all */
    const char *const *sizes;    /* keys: CV_HIDDEN_KEY and so on; NULL: Llama's */
    const char *eps_key;         /* NULL: rms_norm_eps or layer_norm_eps, by the norm */
    const char *act_key;         /* NULL: hidden_act */
    const char *quantized;       /* quant_method of quantization_config that is read; NULL: none */
    const char *loose_prefix;    /* tensor names may lack it */
    const char *const *left_out; /* how the names of tensors begin that generation does without */
    int in_pairs;                /* element 2i of a head turns with 2i + 1, not with one half a head away */
    const char *const *rope_keys; /* of rope_parameters, beyond those of its type */
    const char *partial_key;     /* share of a head that is turned; NULL: only the whole head is */
    double partial;              /* if that is absent; 0: 1 */
    const cv_default *defaults;
    int32_t ffn_of_hidden;       /* without a feed-forward size it is so many hidden sizes; 0: it must be there */
    int tied;                    /* if tie_word_embeddings is absent */
    int norm_plus_one;           /* norms are stored as what is to be added to one */
    int (*read)(struct cv_config *c, cv_error *err); /* what no list can say; NULL: nothing */
} cv_huggingface;

/* How a GGUF file does. Its tensors have the same names in all families, and show which biases and norms of queries and
 * keys there are. */
typedef struct cv_gguf_side {
    const char *name;           /* general.architecture, and what its keys begin with; NULL: not read from GGUF */
    const cv_name *names;       /* of tensors that other families call otherwise; their fusion does not count */
    const cv_setting *settings; /* keys without that name */
    int in_pairs;               /* rows of queries and keys are in pair order: element 2i of a head turns with 2i + 1 */
    int unrounded_yarn;         /* the ends of YaRN's ramp are not rounded, which no key says */
    int32_t largest;            /* a model of so many layers scales scores by hidden / heads, which no key says */
} cv_gguf_side;

typedef struct cv_family {
    const char *architecture; /* what the .harp file calls it */
    /* words of the metadata, see [CH10] of harp_impl.c; NULL: Llama's */
    const char *norm, *norm_place, *residual, *activation, *ffn_kind, *qk_norm;
    int has_sinks, has_convs;
    int has_deltas;           /* gated delta nets, and attention with gates */
    int is_gemma4;            /* values are normed, scores not scaled, layers scaled; feed-forwards have two sizes */
    int biases;               /* CV_BIAS_*, those that are always there */
    int has_positions;        /* learned ones, and nothing is turned */
    int embedding_by_root;    /* embeddings times sqrt(hidden), a constant of the type that the model computes in */
    int32_t window_pattern;   /* the window holds but in every so-many-th layer; 0: in all, or the source says */
    cv_local local;
    int32_t still_every;      /* CV_LISTED_STILL: every so-many-th layer does not turn, if the source says nothing */
    cv_huggingface hf;
    cv_gguf_side gguf;
} cv_family;

/* families.c: the rows; NULL after the last. */
const cv_family *cv_family_at(int i);
/* The n-th name under which a family's folders may have a part; NULL after the last. */
const cv_name *cv_name_of(const cv_family *family, cv_part part, int n);

/* How a front end has the value of a key read: flags are 0 or 1. Returns 1 if the key is absent. */
typedef int cv_read_setting(const void *source, const cv_setting *setting, double *value, cv_error *err);

/* recipe.c: what the row and its settings say -> facts, of which the sizes are there. path is for messages. */
int cv_apply_recipe(const cv_family *family, const cv_setting *settings, cv_read_setting *read, const void *source,
                    cv_facts *facts, const char *path, cv_error *err);
/* The scale of embeddings, and of layers' own ones, as a model that computes in a type of so many bits rounds it. */
typedef enum cv_computes { CV_IN_FLOAT, CV_IN_HALF, CV_IN_BF16 } cv_computes;
void cv_scale_embedding_by_root(cv_facts *facts, cv_computes type);

/* unknown.c: refuses a family that has no row, with what its keys say that it would need, and lists those that have
 * one. has: is that key there, and neither off nor empty? */
typedef int cv_has_key(const void *source, const char *key);
int cv_refuse_family(const char *path, const char *key, const char *value, cv_has_key *has, const void *source,
                     int gguf, cv_error *err);

/* Which layers turn by the local table, once it is known which have a window; and that table: theta is its base, unless
 * it is zeros. */
void cv_place_local(const cv_family *family, cv_facts *facts);
void cv_fill_local(const cv_family *family, cv_facts *facts, double theta);

/* special.c: for hf.read. */
int cv_read_qwen_window(struct cv_config *c, cv_error *err);
int cv_read_still_layers(struct cv_config *c, cv_error *err);
int cv_read_growth(struct cv_config *c, cv_error *err);
int cv_read_expert_layers(struct cv_config *c, cv_error *err);
int cv_check_positions(struct cv_config *c, cv_error *err);
int cv_check_swiglu(struct cv_config *c, cv_error *err);
int cv_read_convs(struct cv_config *c, cv_error *err);
int cv_read_deltas(struct cv_config *c, cv_error *err);
int cv_read_gemma4(struct cv_config *c, cv_error *err);
int cv_check_neox_share(struct cv_config *c, cv_error *err);

#endif
