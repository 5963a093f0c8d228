/* json.c - data files and files of results: JSON values one behind another, with the lines where they stand */
#include "eval.h"

#include <string.h>

enum { MAX_NODES = 1 << 22 }; /* of one value: a text can ask for one, of 24 bytes, with each two of its own */

void json_open(json *j, const char *name, const char *text, size_t bytes)
{
    memset(j, 0, sizeof *j);
    j->name = name, j->text = text, j->bytes = bytes, j->line = 1;
    j->value.most_nodes = MAX_NODES;
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) j->at = 3;
}

void json_close(json *j)
{
    cv_json_free(&j->value);
}

static long count_lines(const char *text, size_t bytes)
{
    const char *end = text + bytes;
    long n = 0;
    while (text < end && (text = memchr(text, '\n', (size_t)(end - text))) != NULL) text++, n++;
    return n;
}

int json_more(json *j)
{
    while (j->at < j->bytes && j->text[j->at] && strchr(" \t\r\n", j->text[j->at])) j->at++;
    return j->at < j->bytes;
}

int json_read(json *j)
{
    cv_error err;
    size_t begin = j->at;
    j->line += count_lines(j->text + j->root, begin - j->root), j->root = begin;
    if (cv_json_parse_next(&j->value, j->text, j->bytes, &j->at, j->name, &err) < 0) return complain("%s", err.text);
    return 0;
}

long json_line(const json *j, uint32_t node)
{
    return j->line + count_lines(j->text + j->root, j->value.nodes[node].begin);
}

/* ---- Finding things ---- */

uint32_t json_find(const json *j, uint32_t object, const char *key)
{
    return cv_json_get(&j->value, object, key);
}

const char *json_text(const json *j, uint32_t node)
{
    size_t bytes;
    const char *text = cv_json_string(&j->value, node, &bytes);
    return text && strlen(text) == bytes ? text : NULL;
}

const char *json_string(const json *j, uint32_t object, const char *key)
{
    return json_text(j, json_find(j, object, key));
}

int json_number(const json *j, uint32_t object, const char *key, double *value)
{
    return cv_json_number(&j->value, json_find(j, object, key), value);
}

const char *json_digits(const json *j, uint32_t node, size_t *bytes)
{
    const char *text;
    if (cv_json_type_of(&j->value, node) != CV_JSON_NUMBER) return NULL;
    text = j->text + j->root + j->value.nodes[node].begin;
    *bytes = strspn(text, "+-.0123456789eE"); /* what ends a number is none of these */
    return text;
}
