/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * config.h - config.json of a Hugging Face folder -> facts
 *
 * config.json is a program in disguise: a key that we do not know may change every number. So each key is one of three:
 * read by somebody, known to mean nothing for inference, or refused by name, with its value. */
#ifndef HARP_CONVERT_CONFIG_H
#define HARP_CONVERT_CONFIG_H

#include "../ground/json.h"
#include "families.h"

typedef struct cv_config {
    const cv_json *json;
    const char *path;        /* for messages */
    const cv_family *family;
    const cv_type *type;     /* the family's that this model is of */
    cv_facts *facts;
    uint32_t text;           /* the node that holds the keys of the language model: 0, or text_config */
} cv_config;

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

/* config_rope.c: the tables of rope frequencies, from rope_theta and rope_scaling; sizes are known already. */
int cv_config_rope(cv_config *c, cv_error *err);

/* config.c: everything; generation may be NULL. */
int cv_config_read(cv_config *c, const cv_json *generation, cv_error *err);

#endif
