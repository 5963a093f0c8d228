/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * json.h - a strict JSON reader for hostile files
 *
 * A document becomes one flat array of nodes in the order of the text; a node is named by its index, the root is 0.
 * Memory is proportional to the text (2 to 16 times its size; half as much again for a moment where realloc copies),
 * depth is bounded, time is n log n. Refused:
 * anything that RFC 8259 does not allow, duplicate keys, lone surrogates, invalid UTF-8, numbers beyond double.
 *
 *     cv_json j;
 *     if (cv_json_parse(&j, text, bytes, "config.json", err) < 0) return -1;
 *     if (!cv_json_integer(&j, cv_json_get(&j, 0, "hidden_size"), &hidden)) ...
 *     for (uint32_t i = cv_json_first(&j, array); i != CV_JSON_NONE; i = cv_json_next(&j, i)) ...     elements
 *     for (uint32_t k = cv_json_first(&j, object); k != CV_JSON_NONE; k = cv_json_next(&j, k)) ...    keys, value k + 1
 *     cv_json_free(&j);
 *
 * Every function takes CV_JSON_NONE for a node and then answers as for something absent, so look-ups chain. */
#ifndef HARP_CONVERT_JSON_H
#define HARP_CONVERT_JSON_H

#include "error.h"

#include <stdint.h>

#define CV_JSON_NONE UINT32_MAX
#define CV_JSON_DEPTH 128

typedef enum cv_json_type {
    CV_JSON_ABSENT, CV_JSON_NULL, CV_JSON_FALSE, CV_JSON_TRUE, CV_JSON_NUMBER, CV_JSON_STRING, CV_JSON_ARRAY,
    CV_JSON_OBJECT
} cv_json_type;

typedef struct cv_json_node {
    union {
        double number;
        struct {
            uint32_t at, bytes; /* string: where it stands in cv_json.text, unescaped, and its length; object: `at` is
                                   the place of its first sorted key in cv_json.sorted                 */
        } text;
    } is;
    uint32_t next;  /* next element of the array, or next key of the object; or CV_JSON_NONE */
    uint32_t count; /* elements or keys                                                      */
    uint32_t type;
    uint32_t begin; /* where it stands in the text that was parsed, in bytes from where the root does */
} cv_json_node;

typedef struct cv_json {
    cv_json_node *nodes;
    char *text;       /* every string, unescaped, each followed by a zero byte      */
    uint32_t *sorted; /* keys of each object, sorted by text                        */
    size_t n_nodes, n_sorted, text_bytes, nodes_capacity, sorted_capacity, text_capacity;
    size_t most_nodes; /* more are refused; 0: any number */
} cv_json;

/* Parses text[bytes] (no zero byte needed; it may be freed afterwards). name is for error messages. On failure
 * nothing needs freeing. */
int cv_json_parse(cv_json *json, const char *text, size_t bytes, const char *name, cv_error *err);
/* Of several values, one behind another as in JSON lines, the one at *at or behind blanks there; moves *at behind it.
 * json is zeroed (but for most_nodes) before the first one; its memory serves them all, and is freed after the last. */
int cv_json_parse_next(cv_json *json, const char *text, size_t bytes, size_t *at, const char *name, cv_error *err);
/* The same as cv_json_parse for a file of at most max bytes. */
int cv_json_load(cv_json *json, const char *path, size_t max, cv_error *err);
void cv_json_free(cv_json *json);

cv_json_type cv_json_type_of(const cv_json *json, uint32_t node);
const char *cv_json_type_name(const cv_json *json, uint32_t node);          /* "an object", "absent"             */
uint32_t cv_json_get(const cv_json *json, uint32_t node, const char *key);  /* value of a key, by binary search  */
uint32_t cv_json_first(const cv_json *json, uint32_t node);
uint32_t cv_json_next(const cv_json *json, uint32_t node);
uint32_t cv_json_count(const cv_json *json, uint32_t node);
const char *cv_json_string(const cv_json *json, uint32_t node, size_t *bytes); /* NULL: no string; bytes may be NULL */
int cv_json_is(const cv_json *json, uint32_t node, const char *text);       /* 1: it is exactly this string      */
int cv_json_number(const cv_json *json, uint32_t node, double *value);      /* 1: it is a number                 */
int cv_json_integer(const cv_json *json, uint32_t node, int64_t *value);    /* 1: an integer within +-2^53       */

#endif
