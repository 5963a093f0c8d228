/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * config.h - config.json of a Hugging Face folder -> facts
 *
 * config.json is a program in disguise: a key that we do not know may change every number. So each key is one of three:
 * read by somebody, known to mean nothing for inference, or refused by name, with its value. */
#ifndef HARP_CONVERT_CONFIG_H
#define HARP_CONVERT_CONFIG_H

#include "../ground/json.h"
#include "../model/facts.h"

typedef struct cv_family cv_family;

typedef struct cv_config {
    const cv_json *json;
    const char *path;        /* for messages */
    const cv_family *family;
    cv_facts *facts;
    uint32_t text;           /* the node that holds the keys of the language model: 0, or text_config */
} cv_config;

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

/* A family of models: all that its name stands for. */
struct cv_family {
    const char *model_type, *class_name;
    const char *architecture; /* what the .harp file calls it */
    const char *const *keys;  /* of config.json, read or known to mean nothing, beyond those common to all; NULL ends */
    const cv_name *names;     /* of tensors, before the common ones */
    const char *size_keys[6]; /* hidden size, layers, heads, feed-forward size, context, epsilon */
    const char *act_key;
    const char *default_act;  /* if act_key is absent */
    int tied;                 /* if tie_word_embeddings is absent */
    int norm_plus_one;        /* norms are stored as what is to be added to one */
    const char *loose_prefix; /* tensor names may lack it */
    const char *partial_key;  /* share of a head that is turned */
    double partial;           /* if that is absent */
    int (*read)(cv_config *c, cv_error *err); /* what is special */
    const cv_default *defaults; /* NULL: none */
    const cv_wrapper *wrapper;  /* NULL: it is a model of text alone */
};

/* values.c: the node of a key: in text_config, or outside of it. */
uint32_t cv_config_get(const cv_config *c, const char *key);
/* What the family's class assumes, or `otherwise`. */
double cv_config_default(const cv_config *c, const char *key, double otherwise);
/* By key. Absent or null: `otherwise`; sizes: unless that is -1. */
int cv_config_size(const cv_config *c, const char *key, int32_t otherwise, int32_t *value, cv_error *err);
int cv_config_flag(const cv_config *c, const char *key, int otherwise, int *value, cv_error *err);
int cv_config_real(const cv_config *c, const char *key, double otherwise, double *value, cv_error *err);
/* Refuses the value of a key. */
int cv_config_wrong(const cv_config *c, const char *key, const char *wanted, cv_error *err);
/* The value of a node in words. */
const char *cv_config_describe(const cv_json *json, uint32_t node, char *out, size_t capacity);

/* families.c */
const cv_family *cv_find_family(const cv_json *json, const char *path, cv_error *err);
/* The n-th name under which a family may have a part; NULL after the last. */
const cv_name *cv_name_of(const cv_family *family, cv_part part, int n);

/* config_rope.c: the tables of rope frequencies, from rope_theta and rope_scaling; sizes are known already. */
int cv_config_rope(cv_config *c, cv_error *err);

/* config.c: everything; generation may be NULL. */
int cv_config_read(cv_config *c, const cv_json *generation, cv_error *err);

#endif
