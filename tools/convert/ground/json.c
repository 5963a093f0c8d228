/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * json.c - see json.h. No recursion: open containers stand on a small stack. */
#include "json.h"
#include "characters.h"
#include "files.h"
#include "kinds.h"
#include "sort.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct cv_parser {
    cv_json *json;
    const char *text;
    size_t bytes, at, root; /* root: where the value begins */
    const char *name;
    uint32_t open[CV_JSON_DEPTH], last[CV_JSON_DEPTH]; /* containers, and the last element or key of each */
    int depth;
    cv_error *err;
} cv_parser;

static int cv_bad(const cv_parser *p, const char *what)
{
    size_t line = 1;
    for (size_t i = 0; i < p->at && i < p->bytes; i++) line += p->text[i] == '\n';
    return cv_fail(p->err, "%s, line %lu, byte %lu: %s", p->name, (unsigned long)line, (unsigned long)p->at, what);
}

/* ---- nodes ---- */

/* p->at stands where the value begins. */
static int cv_node(cv_parser *p, cv_json_type type, uint32_t *node)
{
    cv_json *j = p->json;
    if (j->most_nodes && j->n_nodes == j->most_nodes)
        return cv_bad(p, "there is too much in one array or object: write its elements as JSON lines, one under the "
                         "other");
    if (j->n_nodes == j->nodes_capacity) {
        /* a value and what stands between it and the next take two bytes, but for containers that are still open */
        size_t more = j->nodes_capacity + j->nodes_capacity / 2 + 64, enough = p->bytes / 2 + CV_JSON_DEPTH + 2;
        if (more > enough && enough > j->n_nodes) more = enough;
        cv_json_node *grown = cv_grow(j->nodes, more, sizeof *grown, p->err);
        if (!grown) return -1;
        j->nodes = grown, j->nodes_capacity = more;
    }
    *node = (uint32_t)j->n_nodes++;
    memset(&j->nodes[*node], 0, sizeof j->nodes[*node]);
    j->nodes[*node].type = (uint32_t)type, j->nodes[*node].next = CV_JSON_NONE;
    j->nodes[*node].begin = (uint32_t)(p->at - p->root);
    return 0;
}

/* Links an element, or a key, to its container. */
static void cv_link(cv_parser *p, uint32_t node)
{
    cv_json_node *nodes = p->json->nodes;
    uint32_t last = p->last[p->depth - 1];
    if (last != CV_JSON_NONE) nodes[last].next = node;
    p->last[p->depth - 1] = node;
    nodes[p->open[p->depth - 1]].count++;
}

/* ---- keys: sorted, so that duplicates show and look-ups are fast ---- */

static int cv_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int cv_compare_keys(const cv_json *j, uint32_t a, uint32_t b)
{
    const cv_json_node *x = &j->nodes[a], *y = &j->nodes[b];
    return cv_compare(j->text + x->is.text.at, x->is.text.bytes, j->text + y->is.text.at, y->is.text.bytes);
}

static int cv_by_text(const void *a, const void *b, const void *json)
{
    return cv_compare_keys(json, *(const uint32_t *)a, *(const uint32_t *)b);
}

static int cv_close_object(cv_parser *p, uint32_t object)
{
    cv_json *j = p->json;
    size_t n = j->nodes[object].count;
    if (n == 0) return 0;
    if (n > j->sorted_capacity - j->n_sorted) {
        size_t more = j->sorted_capacity + j->sorted_capacity / 2 + n + 16;
        uint32_t *grown = cv_grow(j->sorted, more, sizeof *grown, p->err);
        if (!grown) return -1;
        j->sorted = grown, j->sorted_capacity = more;
    }
    uint32_t *keys = j->sorted + j->n_sorted;
    size_t i = 0;
    for (uint32_t k = object + 1; k != CV_JSON_NONE; k = j->nodes[k].next) keys[i++] = k;
    heap_sort(keys, n, sizeof *keys, cv_by_text, j);
    j->nodes[object].is.text.at = (uint32_t)j->n_sorted;
    j->n_sorted += n;
    for (i = 1; i < n; i++)
        if (cv_compare_keys(j, keys[i - 1], keys[i]) == 0) {
            char what[160];
            snprintf(what, sizeof what, "the key \"%.80s\" appears twice in one object (which ends here)",
                     j->text + j->nodes[keys[i]].is.text.at);
            return cv_bad(p, what);
        }
    return 0;
}

/* ---- scalars ---- */

enum { CV_MOST_PUT = 5 }; /* what cv_string puts at a time: a character, and the zero byte behind the last */

/* Room for so many bytes of text more. */
static int cv_room(cv_parser *p, size_t bytes)
{
    cv_json *j = p->json;
    if (bytes <= j->text_capacity - j->text_bytes) return 0;
    size_t more = j->text_capacity + j->text_capacity / 2 + bytes + 64;
    char *grown = cv_grow(j->text, more, 1, p->err);
    if (!grown) return -1;
    j->text = grown, j->text_capacity = more;
    return 0;
}

static int cv_hex4(const cv_parser *p, size_t at, uint32_t *value)
{
    *value = 0;
    if (p->bytes - at < 4 || at > p->bytes) return -1;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(p->text[at + i]);
        if (digit < 0) return -1;
        *value = *value << 4 | (uint32_t)digit;
    }
    return 0;
}

/* After a backslash. */
static int cv_escape(cv_parser *p)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->bytes ? p->text[p->at] : 0;
    const char *found = c ? strchr(names, c) : NULL;
    uint32_t high, low;
    if (found) {
        p->json->text[p->json->text_bytes++] = values[found - names];
        p->at++;
        return 0;
    }
    if (c != 'u' || cv_hex4(p, p->at + 1, &high) < 0) return cv_bad(p, "unknown escape in a string");
    p->at += 5;
    if (high >= 0xD800 && high <= 0xDBFF) {
        if (p->bytes - p->at < 6 || p->text[p->at] != '\\' || p->text[p->at + 1] != 'u'
            || cv_hex4(p, p->at + 2, &low) < 0 || low < 0xDC00 || low > 0xDFFF)
            return cv_bad(p, "half a surrogate pair in a string");
        p->at += 6;
        high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    } else if (high >= 0xDC00 && high <= 0xDFFF) {
        return cv_bad(p, "half a surrogate pair in a string");
    }
    p->json->text_bytes += utf8_put(p->json->text + p->json->text_bytes, high);
    return 0;
}

/* At the opening quote. */
static int cv_string(cv_parser *p, uint32_t *node)
{
    cv_json *j = p->json;
    size_t start = j->text_bytes;
    if (cv_node(p, CV_JSON_STRING, node) < 0) return -1;
    p->at++;
    for (;;) {
        if (p->at >= p->bytes) return cv_bad(p, "a string does not end");
        if (cv_room(p, CV_MOST_PUT) < 0) return -1;
        unsigned char c = (unsigned char)p->text[p->at];
        if (c == '"') break;
        if (c < 0x20) return cv_bad(p, "a control character in a string");
        if (c == '\\') {
            p->at++;
            if (cv_escape(p) < 0) return -1;
            continue;
        }
        size_t n = utf8_length(p->text + p->at, p->bytes - p->at);
        if (n == 0) return cv_bad(p, "a string is not UTF-8");
        memcpy(j->text + j->text_bytes, p->text + p->at, n);
        j->text_bytes += n, p->at += n;
    }
    p->at++;
    j->nodes[*node].is.text.at = (uint32_t)start;
    j->nodes[*node].is.text.bytes = (uint32_t)(j->text_bytes - start);
    j->text[j->text_bytes++] = 0;
    return 0;
}

static size_t cv_digits(const cv_parser *p, size_t at)
{
    size_t n = 0;
    while (at + n < p->bytes && p->text[at + n] >= '0' && p->text[at + n] <= '9') n++;
    return n;
}

static int cv_number(cv_parser *p, uint32_t *node)
{
    size_t at = p->at, n;
    if (p->text[at] == '-') at++;
    n = cv_digits(p, at);
    if (n == 0 || (n > 1 && p->text[at] == '0')) return cv_bad(p, "not a JSON value");
    at += n;
    if (at < p->bytes && p->text[at] == '.') {
        n = cv_digits(p, ++at);
        if (n == 0) return cv_bad(p, "a number without digits after its point");
        at += n;
    }
    if (at < p->bytes && (p->text[at] == 'e' || p->text[at] == 'E')) {
        at++;
        if (at < p->bytes && (p->text[at] == '+' || p->text[at] == '-')) at++;
        n = cv_digits(p, at);
        if (n == 0) return cv_bad(p, "a number without digits in its exponent");
        at += n;
    }
    if (cv_room(p, at - p->at + 1) < 0) return -1;
    char *copy = p->json->text + p->json->text_bytes; /* strtod wants a zero byte behind it */
    memcpy(copy, p->text + p->at, at - p->at);
    copy[at - p->at] = 0;
    double value = strtod(copy, NULL);
    if (value - value != 0.0) return cv_bad(p, "a number is too large");
    if (cv_node(p, CV_JSON_NUMBER, node) < 0) return -1;
    p->json->nodes[*node].is.number = value;
    p->at = at;
    return 0;
}

static int cv_word(cv_parser *p, const char *word, cv_json_type type, uint32_t *node)
{
    size_t n = strlen(word);
    if (p->bytes - p->at < n || memcmp(p->text + p->at, word, n) != 0) return cv_bad(p, "not a JSON value");
    if (cv_node(p, type, node) < 0) return -1;
    p->at += n;
    return 0;
}

/* ---- structure ---- */

static char cv_peek(cv_parser *p)
{
    while (p->at < p->bytes && p->text[p->at] && strchr(" \t\r\n", p->text[p->at])) p->at++;
    return p->at < p->bytes ? p->text[p->at] : 0;
}

/* Reads one value up to its end, or, for a container, up to its opening bracket, which goes onto the stack. */
static int cv_value(cv_parser *p, uint32_t *node)
{
    char c = cv_peek(p);
    if (c == '"') return cv_string(p, node);
    if (c == 't') return cv_word(p, "true", CV_JSON_TRUE, node);
    if (c == 'f') return cv_word(p, "false", CV_JSON_FALSE, node);
    if (c == 'n') return cv_word(p, "null", CV_JSON_NULL, node);
    if (c != '[' && c != '{') return p->at < p->bytes ? cv_number(p, node) : cv_bad(p, "the text ends too early");
    if (p->depth == CV_JSON_DEPTH) return cv_bad(p, "nested too deeply");
    if (cv_node(p, c == '[' ? CV_JSON_ARRAY : CV_JSON_OBJECT, node) < 0) return -1;
    p->at++;
    p->open[p->depth] = *node, p->last[p->depth] = CV_JSON_NONE;
    p->depth++;
    return 0;
}

/* One step inside the innermost container: its end, or its next element with the comma before it. */
static int cv_step(cv_parser *p)
{
    uint32_t container = p->open[p->depth - 1], node;
    int is_array = p->json->nodes[container].type == CV_JSON_ARRAY, first = p->last[p->depth - 1] == CV_JSON_NONE;
    char c = cv_peek(p);
    if (c == (is_array ? ']' : '}')) {
        p->at++, p->depth--;
        return is_array ? 0 : cv_close_object(p, container);
    }
    if (!first) {
        if (c != ',') return cv_bad(p, is_array ? "expected , or ]" : "expected , or }");
        p->at++;
        c = cv_peek(p);
    }
    if (is_array) {
        int level = p->depth;
        if (cv_value(p, &node) < 0) return -1;
        int deeper = p->depth - level; /* the new container is not its own parent */
        p->depth = level;
        cv_link(p, node);
        p->depth += deeper;
        return 0;
    }
    if (c != '"') return cv_bad(p, "expected a key in quotes");
    if (cv_string(p, &node) < 0) return -1;
    cv_link(p, node);
    if (cv_peek(p) != ':') return cv_bad(p, "expected :");
    p->at++;
    return cv_value(p, &node);
}

static int cv_root(cv_parser *p)
{
    uint32_t root;
    cv_peek(p);
    p->root = p->at;
    int failed = cv_value(p, &root);
    while (!failed && p->depth > 0) failed = cv_step(p);
    return failed;
}

int cv_json_parse(cv_json *json, const char *text, size_t bytes, const char *name, cv_error *err)
{
    cv_parser p;
    memset(json, 0, sizeof *json);
    memset(&p, 0, sizeof p);
    p.json = json, p.text = text, p.bytes = bytes, p.name = name, p.err = err;
    if (bytes > INT32_MAX) return cv_fail(err, "%s: too large for a JSON text", name);
    /* Unescaped text is never longer than what was read, and two quotes pay for a zero byte: it never has to grow. */
    json->text_capacity = bytes + CV_MOST_PUT;
    json->text = cv_alloc(json->text_capacity, 1, err);
    if (!json->text) return -1;
    int failed = cv_root(&p);
    if (!failed && (cv_peek(&p), p.at < bytes)) failed = cv_bad(&p, "something follows the JSON text");
    if (failed) cv_json_free(json);
    return failed;
}

int cv_json_parse_next(cv_json *json, const char *text, size_t bytes, size_t *at, const char *name, cv_error *err)
{
    cv_parser p;
    memset(&p, 0, sizeof p);
    json->n_nodes = json->n_sorted = json->text_bytes = 0;
    p.json = json, p.text = text, p.at = *at, p.name = name, p.err = err;
    p.bytes = bytes - *at > INT32_MAX ? *at + INT32_MAX : bytes; /* nodes count in 32 bits */
    int failed = cv_root(&p);
    if (failed && p.bytes < bytes && p.at >= p.bytes) failed = cv_bad(&p, "too large for a JSON value");
    *at = p.at;
    if (failed) cv_json_free(json);
    return failed;
}

int cv_json_load(cv_json *json, const char *path, size_t max, cv_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    memset(json, 0, sizeof *json);
    if (cv_read_file(path, max, &text, &bytes, err) < 0) return -1;
    int failed = cv_refuse_other_kinds(path, text, bytes, CV_KIND_JSON, err) < 0
                 || cv_json_parse(json, text, bytes, path, err) < 0;
    free(text);
    return failed ? -1 : 0;
}

void cv_json_free(cv_json *json)
{
    free(json->nodes);
    free(json->text);
    free(json->sorted);
    memset(json, 0, sizeof *json);
}

/* ---- questions ---- */

cv_json_type cv_json_type_of(const cv_json *json, uint32_t node)
{
    return node < json->n_nodes ? (cv_json_type)json->nodes[node].type : CV_JSON_ABSENT;
}

const char *cv_json_type_name(const cv_json *json, uint32_t node)
{
    static const char *const names[] = {"absent",   "null",     "false",    "true",
                                        "a number", "a string", "an array", "an object"};
    return names[cv_json_type_of(json, node)];
}

uint32_t cv_json_get(const cv_json *json, uint32_t node, const char *key)
{
    if (cv_json_type_of(json, node) != CV_JSON_OBJECT) return CV_JSON_NONE;
    if (json->nodes[node].count == 0) return CV_JSON_NONE;
    const uint32_t *keys = json->sorted + json->nodes[node].is.text.at;
    size_t low = 0, high = json->nodes[node].count, bytes = strlen(key);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const cv_json_node *k = &json->nodes[keys[middle]];
        int order = cv_compare(key, bytes, json->text + k->is.text.at, k->is.text.bytes);
        if (order == 0) return keys[middle] + 1;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return CV_JSON_NONE;
}

uint32_t cv_json_first(const cv_json *json, uint32_t node)
{
    return cv_json_count(json, node) ? node + 1 : CV_JSON_NONE;
}

uint32_t cv_json_next(const cv_json *json, uint32_t node)
{
    return node < json->n_nodes ? json->nodes[node].next : CV_JSON_NONE;
}

uint32_t cv_json_count(const cv_json *json, uint32_t node)
{
    return node < json->n_nodes ? json->nodes[node].count : 0;
}

const char *cv_json_string(const cv_json *json, uint32_t node, size_t *bytes)
{
    if (cv_json_type_of(json, node) != CV_JSON_STRING) return NULL;
    if (bytes) *bytes = json->nodes[node].is.text.bytes;
    return json->text + json->nodes[node].is.text.at;
}

int cv_json_is(const cv_json *json, uint32_t node, const char *text)
{
    size_t bytes;
    const char *s = cv_json_string(json, node, &bytes);
    return s && bytes == strlen(text) && memcmp(s, text, bytes) == 0;
}

int cv_json_number(const cv_json *json, uint32_t node, double *value)
{
    if (cv_json_type_of(json, node) != CV_JSON_NUMBER) return 0;
    *value = json->nodes[node].is.number;
    return 1;
}

int cv_json_integer(const cv_json *json, uint32_t node, int64_t *value)
{
    double x;
    if (!cv_json_number(json, node, &x) || x != floor(x) || x < -9007199254740992.0 || x > 9007199254740992.0) return 0;
    *value = (int64_t)x;
    return 1;
}
