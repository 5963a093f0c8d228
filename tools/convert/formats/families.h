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
 * layer computes in a way that no row can say yet is a word of [CH09] in harp_impl.c first, then a field here. */
#ifndef HARP_CONVERT_FAMILIES_H
#define HARP_CONVERT_FAMILIES_H

#include "../model/facts.h"

/* Where a matrix is in the tensor that holds it. */
typedef enum cv_fusion {
    CV_WHOLE,          /* it is the tensor                                                                */
    CV_STACKED,        /* rows of it: queries, keys, values one under the other, or gates, ups            */
    CV_PER_HEAD,       /* rows of it: for each head its queries, its keys, its values                     */
    CV_TURNED,         /* the tensor is [in][out]                                                         */
    CV_TURNED_STACKED  /* columns of such a tensor, in the order of CV_STACKED                            */
} cv_fusion;

typedef struct cv_name {
    cv_part part; /* CV_NO_PART ends a list   */
    const char *name; /* '*' is the layer's number */
    cv_fusion fusion;
} cv_name;

/* What a key of a file may say about the recipe. */
typedef enum cv_fact {
    CV_NO_FACT,
    /* flags */
    CV_QKV_BIASES,       /* are there biases of queries, keys, values ... */
    CV_ATTENTION_BIASES, /* ... of all four projections ...               */
    CV_FFN_BIASES,
    CV_PARALLEL,         /* is the residual as the row says? Otherwise it is sequential. */
    CV_SCALED_SCORES,    /* are scores scaled at all? */
    CV_LAST_FLAG = CV_SCALED_SCORES,
    /* counts */
    CV_WINDOW,
    CV_WINDOW_PATTERN,
    CV_LAST_COUNT = CV_WINDOW_PATTERN,
    /* reals */
    CV_ATTENTION_CAP,
    CV_LOGIT_CAP,
    /* reals above 0 */
    CV_ATTENTION_SCALE,  /* factor of the scores ...                                        */
    CV_ATTENTION_SQUARE, /* ... is one over the root of this                                */
    CV_EMBEDDING_SCALE,
    CV_RESIDUAL_SCALE,   /* factor of what a block adds to the residual stream; for norms   */
                         /* before blocks alone, and without learned positions              */
    CV_LOGIT_DIVISOR,
    CV_FIRST_FACTOR = CV_ATTENTION_SCALE
} cv_fact;

typedef struct cv_setting {
    cv_fact fact; /* CV_NO_FACT ends a list */
    const char *key;
    double otherwise; /* what an absent key means; CV_AS_IT_IS: nothing */
} cv_setting;

#define CV_AS_IT_IS (-1.0)

/* Which layers turn by a table of their own. */
typedef enum cv_local {
    CV_NONE_LOCAL,
    CV_WINDOWS_LOCAL, /* those with a window, by a base of their own */
    CV_STILL_LOCAL    /* some, by a table of zeros: they do not turn; hf.read says which */
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
    const char *loose_prefix;    /* tensor names may lack it */
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
    const cv_setting *settings; /* keys without that name */
    int in_pairs;               /* rows of queries and keys are in pair order: element 2i of a head turns with 2i + 1 */
    int32_t largest;            /* a model of so many layers scales scores by hidden / heads, which no key says */
} cv_gguf_side;

typedef struct cv_family {
    const char *architecture; /* what the .harp file calls it */
    /* words of the metadata, see [CH09] of harp_impl.c; NULL: Llama's */
    const char *norm, *norm_place, *residual, *activation, *ffn_kind, *qk_norm;
    int biases;               /* CV_BIAS_*, those that are always there */
    int has_positions;        /* learned ones, and nothing is turned */
    int embedding_by_root;    /* embeddings times sqrt(hidden), a constant of the type that the model computes in */
    int32_t window_pattern;   /* the window holds but in every so-many-th layer; 0: in all, or the source says */
    cv_local local;
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
/* The scale of embeddings, as a model that computes in a type of so many bits rounds it. */
typedef enum cv_computes { CV_IN_FLOAT, CV_IN_HALF, CV_IN_BF16 } cv_computes;
void cv_scale_embedding_by_root(cv_facts *facts, cv_computes type);

/* special.c: for hf.read. */
int cv_read_qwen_window(struct cv_config *c, cv_error *err);
int cv_read_still_layers(struct cv_config *c, cv_error *err);
int cv_check_neox_share(struct cv_config *c, cv_error *err);

#endif
