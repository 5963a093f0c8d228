/* json.c - a JSON reader [RFC 8259] that does not recurse
 *
 * Data files come from strangers. Values become a flat list of nodes linked to their parents, so depth costs no stack;
 * it is bounded all the same, as is the number of nodes. Strings are decoded in place, for they only get shorter.
 * Whatever is not JSON is refused with its line.
 */
#include "eval.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_NODES = 1 << 22 }; /* a node takes 56 bytes, a text can ask for one with each two */

#define TOO_MUCH "there is too much in one array or object: write its elements as JSON lines, one under the other"

void json_open(json *j, const char *name, char *text, size_t bytes)
{
    memset(j, 0, sizeof *j);
    j->name = name, j->at = text, j->end = text + bytes, j->line = 1;
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) j->at += 3;
}

void json_close(json *j)
{
    free(j->nodes);
    memset(j, 0, sizeof *j);
}

static int refuse(const json *j, const char *why)
{
    return complain("%s, line %ld: %s", j->name, (long)j->line, why);
}

static void skip_blanks(json *j)
{
    for (; j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'); j->at++)
        j->line += *j->at == '\n' && j->line < INT32_MAX;
}

int json_more(json *j)
{
    skip_blanks(j);
    return j->at < j->end;
}

/* ---- Strings ---- */

static int hex4(const json *j, const char *p, uint32_t *value)
{
    int i;
    *value = 0;
    if (j->end - p < 4) return 0;
    for (i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdefABCDEF", *d = p[i] ? strchr(digits, p[i]) : NULL;
        if (!d) return 0;
        *value = *value * 16 + (uint32_t)(d - digits < 16 ? d - digits : d - digits - 6);
    }
    return 1;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xE0 | c >> 12);
        } else {
            *out++ = (char)(0xF0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 63));
        }
        *out++ = (char)(0x80 | (c >> 6 & 63));
    }
    *out++ = (char)(0x80 | (c & 63));
    return out;
}

/* \uXXXX, or two of them that make up one character. */
static int read_unicode(json *j, char **out)
{
    uint32_t c, low;
    if (!hex4(j, j->at, &c)) return 0;
    j->at += 4;
    if (c >= 0xDC00 && c < 0xE000) return 0;
    if (c >= 0xD800 && c < 0xDC00) {
        if (j->end - j->at < 6 || j->at[0] != '\\' || j->at[1] != 'u' || !hex4(j, j->at + 2, &low)) return 0;
        if (low < 0xDC00 || low >= 0xE000) return 0;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        j->at += 6;
    }
    if (c == 0) return 0; /* texts here are zero-terminated */
    *out = put_utf8(*out, c);
    return 1;
}

static int read_escape(json *j, char **out)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *name;
    if (j->at == j->end) return 0;
    if (*j->at == 'u') {
        j->at++;
        return read_unicode(j, out);
    }
    name = *j->at ? strchr(names, *j->at) : NULL;
    if (!name) return 0;
    *(*out)++ = meanings[name - names];
    j->at++;
    return 1;
}

/* j->at stands behind the opening quote. The string ends up zero-terminated where its closing quote or more stood. */
static int read_string(json *j, const char **text, size_t *bytes)
{
    char *start = j->at, *out = start;
    while (j->at < j->end && *j->at != '"') {
        unsigned char c = (unsigned char)*j->at++;
        if (c < 0x20) return refuse(j, "a string holds a control character, or does not end");
        if (c != '\\') *out++ = (char)c;
        else if (!read_escape(j, &out)) return refuse(j, "a string holds an escape that means nothing");
    }
    if (j->at == j->end) return refuse(j, "a string does not end");
    j->at++;
    *out = 0;
    *text = start, *bytes = (size_t)(out - start);
    return 0;
}

/* ---- Values ---- */

static int32_t add_node(json *j, json_type type, int32_t parent, const char *key)
{
    json_node *node;
    if (j->n == j->capacity) {
        int32_t capacity = j->capacity ? j->capacity * 2 : 256;
        json_node *grown = capacity <= MAX_NODES ? realloc(j->nodes, (size_t)capacity * sizeof *grown) : NULL;
        if (!grown) return -1;
        j->nodes = grown, j->capacity = capacity;
    }
    node = &j->nodes[j->n];
    memset(node, 0, sizeof *node);
    node->type = type, node->parent = parent, node->key = key, node->line = j->line;
    node->first = node->last = node->next = -1;
    if (parent >= 0) {
        json_node *p = &j->nodes[parent];
        if (p->last >= 0) j->nodes[p->last].next = j->n;
        else p->first = j->n;
        p->last = j->n;
    }
    return j->n++;
}

/* The grammar of numbers: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static const char *number_end(const char *p, const char *end)
{
    const char *digits;
    if (p < end && *p == '-') p++;
    for (digits = p; p < end && *p >= '0' && *p <= '9'; p++) continue;
    if (p == digits || (*digits == '0' && p > digits + 1)) return NULL;
    if (p < end && *p == '.') {
        for (digits = ++p; p < end && *p >= '0' && *p <= '9'; p++) continue;
        if (p == digits) return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        for (digits = p; p < end && *p >= '0' && *p <= '9'; p++) continue;
        if (p == digits) return NULL;
    }
    return p;
}

static int starts_with(const json *j, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(j->end - j->at) >= n && memcmp(j->at, word, n) == 0;
}

/* A value that has no parts. */
static int read_scalar(json *j, int32_t parent, const char *key)
{
    static const struct word {
        const char *text;
        json_type type;
    } words[] = {{"null", JSON_NULL}, {"false", JSON_FALSE}, {"true", JSON_TRUE}};
    int32_t node;
    size_t i;
    const char *end;
    if (*j->at == '"') {
        j->at++;
        if ((node = add_node(j, JSON_STRING, parent, key)) < 0) return refuse(j, TOO_MUCH);
        return read_string(j, &j->nodes[node].text, &j->nodes[node].bytes);
    }
    for (i = 0; i < sizeof words / sizeof *words; i++)
        if (starts_with(j, words[i].text)) {
            j->at += strlen(words[i].text);
            return add_node(j, words[i].type, parent, key) < 0 ? refuse(j, TOO_MUCH) : 0;
        }
    end = number_end(j->at, j->end);
    if (!end) return refuse(j, "this is no JSON value");
    if ((node = add_node(j, JSON_NUMBER, parent, key)) < 0) return refuse(j, TOO_MUCH);
    j->nodes[node].text = j->at, j->nodes[node].bytes = (size_t)(end - j->at);
    j->at += end - j->at;
    return 0;
}

static int read_key(json *j, const char **key)
{
    size_t bytes;
    skip_blanks(j);
    if (j->at == j->end || *j->at != '"') return refuse(j, "a key in quotes is missing");
    j->at++;
    if (read_string(j, key, &bytes)) return EXIT_FAILED;
    skip_blanks(j);
    if (j->at == j->end || *j->at != ':') return refuse(j, "a colon is missing");
    j->at++;
    skip_blanks(j);
    return 0;
}

/* What follows a value: commas, and the ends of arrays and objects that it closes. *open becomes the innermost one. */
static int read_ends(json *j, int32_t *open, int *depth)
{
    while (*open >= 0) {
        int is_array = j->nodes[*open].type == JSON_ARRAY;
        skip_blanks(j);
        if (j->at == j->end) return refuse(j, "the text ends within a value");
        if (*j->at == ',') {
            j->at++;
            skip_blanks(j);
            return 0;
        }
        if (*j->at != (is_array ? ']' : '}')) return refuse(j, "a comma or a closing bracket is missing");
        j->at++;
        *open = j->nodes[*open].parent, (*depth)--;
    }
    return 0;
}

/* 1: an array or object begins and is not empty, so that another value follows. */
static int read_begin(json *j, int32_t *open, int *depth, const char *key)
{
    int32_t node = add_node(j, *j->at == '[' ? JSON_ARRAY : JSON_OBJECT, *open, key);
    char close = *j->at++ == '[' ? ']' : '}';
    if (node < 0) return -refuse(j, TOO_MUCH);
    skip_blanks(j);
    if (j->at < j->end && *j->at == close) {
        j->at++;
        return 0;
    }
    if (++*depth > MAX_DEPTH) return -refuse(j, "values are nested too deeply");
    *open = node;
    return 1;
}

int json_read(json *j)
{
    int32_t open = -1;
    int depth = 0, begun;
    const char *key = NULL;
    j->n = 0;
    skip_blanks(j);
    do {
        if (open >= 0 && j->nodes[open].type == JSON_OBJECT && read_key(j, &key)) return EXIT_FAILED;
        if (open >= 0 && j->nodes[open].type == JSON_ARRAY) key = NULL;
        if (j->at == j->end) return refuse(j, "the text ends where a value is due");
        if (*j->at == '[' || *j->at == '{') {
            begun = read_begin(j, &open, &depth, key);
            if (begun < 0) return EXIT_FAILED;
            if (begun) continue;
        } else if (read_scalar(j, open, key)) {
            return EXIT_FAILED;
        }
        if (read_ends(j, &open, &depth)) return EXIT_FAILED;
    } while (open >= 0);
    return 0;
}

/* ---- Finding things ---- */

int32_t json_find(const json *j, int32_t object, const char *key)
{
    int32_t i;
    if (object < 0 || j->nodes[object].type != JSON_OBJECT) return -1;
    for (i = j->nodes[object].first; i >= 0; i = j->nodes[i].next)
        if (strcmp(j->nodes[i].key, key) == 0) return i;
    return -1;
}

const char *json_string(const json *j, int32_t object, const char *key)
{
    int32_t i = json_find(j, object, key);
    return i >= 0 && j->nodes[i].type == JSON_STRING ? j->nodes[i].text : NULL;
}

/* A number is followed by something that ends it for strtod: the reader has checked its grammar. One too large for a
 * double is none. */
int json_number(const json *j, int32_t object, const char *key, double *value)
{
    int32_t i = json_find(j, object, key);
    double number = i >= 0 && j->nodes[i].type == JSON_NUMBER ? strtod(j->nodes[i].text, NULL) : HUGE_VAL;
    if (!(fabs(number) <= DBL_MAX)) return 0;
    *value = number;
    return 1;
}
