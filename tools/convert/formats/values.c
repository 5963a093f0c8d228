/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * values.c - values of config.json by key; see config.h */
#include "config.h"

#include <stdio.h>
#include <string.h>

uint32_t cv_config_get(const cv_config *c, const char *key)
{
    uint32_t node = cv_json_get(c->json, c->text, key);
    return node == CV_JSON_NONE && c->text ? cv_json_get(c->json, 0, key) : node;
}

double cv_config_default(const cv_config *c, const char *key, double otherwise)
{
    for (const cv_default *d = c->family->hf.defaults; d && d->key; d++)
        if (strcmp(d->key, key) == 0) return d->value;
    return otherwise;
}

const char *cv_config_describe(const cv_json *j, uint32_t node, char *out, size_t capacity)
{
    double number;
    const char *text = cv_json_string(j, node, NULL);
    if (text) snprintf(out, capacity, "%s", text);
    else if (cv_json_number(j, node, &number)) snprintf(out, capacity, "%.12g", number);
    else if (cv_json_type_of(j, node) == CV_JSON_TRUE) snprintf(out, capacity, "true");
    else if (cv_json_type_of(j, node) == CV_JSON_FALSE) snprintf(out, capacity, "false");
    else snprintf(out, capacity, "%s", cv_json_type_name(j, node));
    return out;
}

int cv_config_wrong(const cv_config *c, const char *key, const char *wanted, cv_error *err)
{
    char value[64];
    return cv_fail(err, "%.200s: %s is %s; %s is wanted", c->path, key,
                   cv_config_describe(c->json, cv_config_get(c, key), value, sizeof value), wanted);
}

int cv_config_size(const cv_config *c, const char *key, int32_t otherwise, int32_t *value, cv_error *err)
{
    uint32_t node = cv_config_get(c, key);
    int64_t n;
    otherwise = (int32_t)cv_config_default(c, key, otherwise);
    *value = otherwise;
    if (cv_json_type_of(c->json, node) <= CV_JSON_NULL && otherwise >= 0) return 0;
    if (!cv_json_integer(c->json, node, &n) || n < 0 || n > INT32_MAX) return cv_config_wrong(c, key, "a count", err);
    *value = (int32_t)n;
    return 0;
}

int cv_config_flag(const cv_config *c, const char *key, int otherwise, int *value, cv_error *err)
{
    cv_json_type type = cv_json_type_of(c->json, cv_config_get(c, key));
    if (type > CV_JSON_TRUE) return cv_config_wrong(c, key, "true or false", err);
    *value = type == CV_JSON_ABSENT || type == CV_JSON_NULL ? otherwise : type == CV_JSON_TRUE;
    return 0;
}

int cv_config_real(const cv_config *c, const char *key, double otherwise, double *value, cv_error *err)
{
    uint32_t node = cv_config_get(c, key);
    *value = cv_config_default(c, key, otherwise);
    if (cv_json_type_of(c->json, node) <= CV_JSON_NULL) return 0;
    return cv_json_number(c->json, node, value) ? 0 : cv_config_wrong(c, key, "a number", err);
}
