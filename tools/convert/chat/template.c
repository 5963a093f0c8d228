/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * template.c - a small evaluator of the template language in which chat templates are written; see template.h
 *
 *   [1] Ground      limits, sentences, memory, texts
 *   [2] Tokens      template text -> tokens; all white space control happens here
 *   [3] Tree        tokens -> nodes, by recursive descent
 *   [4] Values      what expressions evaluate to
 *   [5] Operators   + ~ < == in [i] [a:b:c]
 *   [6] Calls       filters, tests, methods, functions
 *   [7] Running     statements and scopes
 *
 * The model for every rule is Jinja2 3.1 with trim_blocks, lstrip_blocks and loop controls, the way chat templates are
 * run where they come from. Where a corner is not reproduced, it is refused, never approximated.
 *
 * Nothing recurses without bound: the parser counts how deep it is, every node knows the height of the tree below it,
 * and macros may nest a few times only. Every node visited and every byte handled is paid for from a budget. */
#include "template.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ================================================================================================================
 * [1] Ground
 * ============================================================================================================== */

enum {
    MAX_TEMPLATE = 256 * 1024, /* bytes; the largest real ones have 20 KB         */
    MAX_MEMORY = 32 << 20,     /* bytes, of the tree and of one rendering         */
    MAX_OUTPUT = 1 << 20,      /* bytes rendered                                  */
    MAX_STEPS = 2000000,       /* nodes visited plus bytes handled / 16           */
    MAX_HEIGHT = 100,          /* of the tree, and of the parser's recursion      */
    MAX_MACROS = 8,            /* macro calls inside one another                  */
    MAX_NAMES = 256,           /* variables alive at once                         */
    MAX_ARGS = 8,              /* of one call                                     */
    MAX_RANGE = 100000,        /* numbers in one range, as in Jinja's own sandbox */
    CHUNK = 64 * 1024          /* memory is taken from the system in such pieces  */
};

typedef struct text {
    const char *data;
    size_t bytes;
} text;

/* Fills err with "line N: ..." and returns status. Text from the template may be in it: no control characters. */
static int say_list(cv_error *err, int status, int line, const char *format, va_list rest)
{
    int used = snprintf(err->text, sizeof err->text, "chat template, line %d: ", line);
    vsnprintf(err->text + used, sizeof err->text - (size_t)used, format, rest);
    for (char *p = err->text; *p; p++) {
        if ((unsigned char)*p < 32 || *p == 127) *p = ' ';
    }
    return status;
}

static int say(cv_error *err, int status, int line, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    say_list(err, status, line, format, rest);
    va_end(rest);
    return status;
}

/* Names in sentences: at most 60 bytes of them, for "%.*s". */
static int shown(text t) { return t.bytes < 60 ? (int)t.bytes : 60; }

/* Memory that is freed all at once. */
typedef union chunk {
    struct {
        union chunk *next;
        size_t used, size; /* of the bytes after this head */
    } head;
    long double alignment;
} chunk;

typedef struct arena {
    chunk *first;
    size_t total;
    cv_error *err;
    int status; /* why the last taking failed */
} arena;

static chunk *arena_add(arena *a, size_t bytes)
{
    size_t size = bytes > CHUNK ? bytes : CHUNK;
    a->status = CV_TEMPLATE_REFUSED;
    if (bytes > MAX_MEMORY || a->total > MAX_MEMORY - size) {
        say(a->err, CV_TEMPLATE_REFUSED, 0, "it wants more than %d MiB of memory", MAX_MEMORY >> 20);
        return NULL;
    }
    a->status = CV_TEMPLATE_BAD;
    chunk *c = cv_alloc(1, sizeof *c + size, a->err);
    if (!c) return NULL;
    c->head.next = a->first;
    c->head.size = size;
    a->first = c;
    a->total += size;
    return c;
}

/* Zeroed bytes, or NULL with the sentence in err and the status in a. */
static void *arena_take(arena *a, size_t bytes)
{
    chunk *c = a->first;
    if (bytes > MAX_MEMORY) bytes = (size_t)MAX_MEMORY + 1; /* refused by arena_add; rounding cannot overflow */
    bytes = (bytes + 15) / 16 * 16;
    if (!c || c->head.size - c->head.used < bytes) c = arena_add(a, bytes);
    if (!c) return NULL;
    void *taken = (char *)(c + 1) + c->head.used;
    c->head.used += bytes;
    return taken;
}

static void arena_free(arena *a)
{
    while (a->first) {
        chunk *next = a->first->head.next;
        free(a->first);
        a->first = next;
    }
}

static text text_of(const char *s) { return (text){s, strlen(s)}; }

static int text_is(text t, const char *s) { return t.bytes == strlen(s) && !memcmp(t.data, s, t.bytes); }

static int text_same(text a, text b) { return a.bytes == b.bytes && (!a.bytes || !memcmp(a.data, b.data, a.bytes)); }

/* Is t one of the words in list, which are separated by blanks? */
static int text_among(text t, const char *list)
{
    while (*list) {
        size_t n = strcspn(list, " ");
        if (t.bytes == n && !memcmp(t.data, list, n)) return 1;
        list += n + (list[n] == ' ');
    }
    return 0;
}

/* The position of needle in t at or after from, or t.bytes if it is not there. An empty needle is found at once. */
static size_t text_find(text t, text needle, size_t from)
{
    for (size_t i = from; needle.bytes <= t.bytes && i <= t.bytes - needle.bytes; i++) {
        if (!needle.bytes || !memcmp(t.data + i, needle.data, needle.bytes)) return i;
    }
    return t.bytes;
}

static size_t char_bytes(text t, size_t at) /* of the UTF-8 character at `at`; stray bytes count as characters */
{
    size_t n = 1;
    while (at + n < t.bytes && ((unsigned char)t.data[at + n] & 0xC0) == 0x80) n++;
    return n;
}

static size_t char_count(text t)
{
    size_t n = 0;
    for (size_t at = 0; at < t.bytes; at += char_bytes(t, at)) n++;
    return n;
}

/* Is this character white space for Python's str.strip and str.split? */
static int is_space(text c)
{
    static const char *const wide[] = {"\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\xA8", "\xE2\x80\xA9",
                                       "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
    const unsigned char *p = (const unsigned char *)c.data;
    if (c.bytes == 1) return (p[0] >= 9 && p[0] <= 13) || (p[0] >= 28 && p[0] <= 32);
    if (c.bytes == 3 && p[0] == 0xE2 && p[1] == 0x80 && p[2] <= 0x8A) return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        if (text_is(c, wide[i])) return 1;
    }
    return 0;
}

enum { LEFT = 1, RIGHT = 2, BOTH = 3 };

/* Does strip take the character c away? set: the characters to strip; data == NULL means white space. */
static int is_stripped(text c, text set)
{
    if (!set.data) return is_space(c);
    return text_find(set, c, 0) < set.bytes;
}

static text text_strip(text t, text set, int sides)
{
    while ((sides & LEFT) && t.bytes) {
        size_t n = char_bytes(t, 0);
        if (!is_stripped((text){t.data, n}, set)) break;
        t.data += n;
        t.bytes -= n;
    }
    while ((sides & RIGHT) && t.bytes) {
        size_t n = 1;
        while (n < t.bytes && n < 4 && ((unsigned char)t.data[t.bytes - n] & 0xC0) == 0x80) n++;
        if (!is_stripped((text){t.data + t.bytes - n, n}, set)) break;
        t.bytes -= n;
    }
    return t;
}

static text text_strip_space(text t, int sides) { return text_strip(t, (text){NULL, 0}, sides); }

/* ================================================================================================================
 * [2] Tokens
 *
 * Outside tags everything is data. White space around tags is decided here, so the parser never sees it:
 *   {{- {%- {#-    remove all white space before the tag;  -}} -%} -#} after it
 *   {% {#          remove blanks before the tag if the line has nothing else before it, unless {%+
 *   %} #}          remove one newline after the tag, unless +%}
 * The newline that ends the template does not count.
 * ============================================================================================================== */

enum { T_DATA, T_BLOCK, T_BLOCK_END, T_PRINT, T_PRINT_END, T_NAME, T_STRING, T_INTEGER, T_SIGN, T_END };

typedef struct token {
    int kind, line;
    text text; /* data, the string's value, the name, the sign */
    int64_t integer;
} token;

typedef struct lexer {
    text source; /* newlines are \n */
    size_t at;
    int line;
    int fresh; /* nothing but a newline, or nothing at all, was before `at` */
    token *tokens;
    size_t count, capacity;
    arena *memory;
    cv_error *err;
} lexer;

static int lex_add(lexer *lx, int kind, text t, int64_t integer)
{
    if (lx->count == lx->capacity) {
        size_t capacity = lx->capacity ? lx->capacity * 2 : 256;
        token *grown = cv_grow(lx->tokens, capacity, sizeof *grown, lx->err);
        if (!grown) return CV_TEMPLATE_BAD;
        lx->tokens = grown;
        lx->capacity = capacity;
    }
    lx->tokens[lx->count++] = (token){kind, lx->line, t, integer};
    return 0;
}

static int lex_peek(const lexer *lx, size_t offset)
{
    return lx->at + offset < lx->source.bytes ? (unsigned char)lx->source.data[lx->at + offset] : 0;
}

static void lex_go(lexer *lx, size_t to)
{
    for (; lx->at < to; lx->at++) lx->line += lx->source.data[lx->at] == '\n';
}

/* Copies the source with every kind of newline made \n, and without the last one. */
static int lex_source(lexer *lx, const char *data, size_t bytes)
{
    char *out = arena_take(lx->memory, bytes + 1);
    size_t n = 0;
    if (!out) return lx->memory->status;
    for (size_t i = 0; i < bytes; i++) {
        if (!data[i]) return say(lx->err, CV_TEMPLATE_BAD, 1, "it contains a zero byte");
        if (data[i] == '\n' && i && data[i - 1] == '\r') continue;
        out[n++] = data[i] == '\r' ? '\n' : data[i];
    }
    if (n && out[n - 1] == '\n') n--;
    lx->source = (text){out, n};
    return 0;
}

static size_t lex_find_tag(const lexer *lx)
{
    size_t i = lx->at;
    for (; i + 1 < lx->source.bytes; i++) {
        const char *p = lx->source.data + i;
        if (p[0] == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#')) return i;
    }
    return lx->source.bytes;
}

/* Where the data before a block or comment ends when the blanks that indent the tag are dropped. */
static size_t lex_unindent(const lexer *lx, size_t end)
{
    size_t line = end;
    while (line > lx->at && lx->source.data[line - 1] != '\n') line--;
    if (line == lx->at && !lx->fresh) return end;
    text blanks = {lx->source.data + line, end - line};
    return text_strip_space(blanks, LEFT).bytes ? end : line;
}

static int lex_data(lexer *lx, size_t tag)
{
    text data = {lx->source.data + lx->at, tag - lx->at};
    if (tag < lx->source.bytes) {
        char kind = lx->source.data[tag + 1];
        char control = tag + 2 < lx->source.bytes ? lx->source.data[tag + 2] : 0;
        if (control == '-') data = text_strip_space(data, RIGHT);
        else if (control != '+' && kind != '{') data.bytes = lex_unindent(lx, tag) - lx->at;
    }
    int status = data.bytes ? lex_add(lx, T_DATA, data, 0) : 0;
    lex_go(lx, tag);
    return status;
}

/* After the end of a tag. control: '-', '+' or 0; newline: does this kind of tag swallow the next newline? */
static void lex_after(lexer *lx, int control, int newline)
{
    if (control == '-') {
        text rest = {lx->source.data + lx->at, lx->source.bytes - lx->at};
        lex_go(lx, lx->source.bytes - text_strip_space(rest, LEFT).bytes);
    } else if (!control && newline && lex_peek(lx, 0) == '\n') {
        lex_go(lx, lx->at + 1);
    }
    lx->fresh = lx->source.data[lx->at - 1] == '\n';
}

static int lex_comment(lexer *lx)
{
    text end = text_of("#}");
    size_t at = text_find(lx->source, end, lx->at);
    if (at == lx->source.bytes) return say(lx->err, CV_TEMPLATE_BAD, lx->line, "a comment {# does not end");
    int control = at > lx->at ? lx->source.data[at - 1] : 0;
    lex_go(lx, at + 2);
    lex_after(lx, control == '-' || control == '+' ? control : 0, 1);
    return 0;
}

static int is_letter(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static int is_digit(int c) { return c >= '0' && c <= '9'; }

static int lex_name(lexer *lx)
{
    size_t n = 1;
    while (is_letter(lex_peek(lx, n)) || is_digit(lex_peek(lx, n))) n++;
    int status = lex_add(lx, T_NAME, (text){lx->source.data + lx->at, n}, 0);
    lex_go(lx, lx->at + n);
    return status;
}

static int lex_integer(lexer *lx)
{
    int64_t value = 0;
    size_t n = 0;
    for (; is_digit(lex_peek(lx, n)); n++) {
        if (n > 17) return say(lx->err, CV_TEMPLATE_REFUSED, lx->line, "a number has more than 18 digits");
        value = value * 10 + (lex_peek(lx, n) - '0');
    }
    int next = lex_peek(lx, n);
    if (is_letter(next) || (next == '.' && is_digit(lex_peek(lx, n + 1)))) {
        return say(lx->err, CV_TEMPLATE_REFUSED, lx->line, "a number that is not a plain decimal integer");
    }
    lex_go(lx, lx->at + n);
    return lex_add(lx, T_INTEGER, (text){"", 0}, value);
}

static size_t utf8_put(char *out, uint32_t c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* Reads up to `digits` digits of the given base at p; *used: how many there were. */
static uint32_t escape_digits(text t, size_t at, size_t digits, unsigned base, size_t *used)
{
    uint32_t value = 0;
    for (*used = 0; *used < digits && at + *used < t.bytes; ++*used) {
        static const char hex[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = memchr(hex, t.data[at + *used], sizeof hex - 1);
        if (!digit || (unsigned)(digit - hex) % 16 >= base) break;
        value = value * base + (unsigned)(digit - hex) % 16;
    }
    return value;
}

/* A character by number, \x41 or \101 or with u and 4 or U and 8 digits. t[at] is the x, u, U or first octal digit.
 * Returns the bytes of t used, 0 if this is none of them. */
static size_t escape_number(text t, size_t at, char *out, size_t *n)
{
    int c = t.data[at];
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0, used;
    uint32_t value = digits ? escape_digits(t, at + 1, digits, 16, &used) : escape_digits(t, at, 3, 8, &used);
    if (!used || (digits && used != digits)) return 0;
    if (!value || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return 0;
    *n += utf8_put(out + *n, value);
    return used + (digits != 0);
}

/* Replaces the escapes of t, writing to out, which is as long as t. Unknown escapes stand for themselves, except those
 * that Python would object to or that make a character we cannot hold. */
static int unescape(text t, char *out, size_t *bytes)
{
    static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
    size_t n = 0;
    for (size_t i = 0; i < t.bytes; i++) {
        if (t.data[i] != '\\' || i + 1 == t.bytes) {
            out[n++] = t.data[i];
            continue;
        }
        char c = t.data[++i];
        const char *simple = memchr(from, c, sizeof from - 1);
        if (simple) {
            out[n++] = to[simple - from];
        } else if (memchr("xuU01234567", c, 11)) {
            size_t used = escape_number(t, i, out, &n);
            if (!used) return -1;
            i += used - 1;
        } else if (c == 'N') {
            return -1;
        } else if (c != '\n') {
            out[n++] = '\\';
            out[n++] = c;
        }
    }
    *bytes = n;
    return 0;
}

static int lex_string(lexer *lx)
{
    int quote = lex_peek(lx, 0);
    size_t start = lx->at + 1, end = start, bytes;
    const char *s = lx->source.data;
    while (end < lx->source.bytes && s[end] != quote) end += s[end] == '\\' ? 2 : 1;
    if (end >= lx->source.bytes) return say(lx->err, CV_TEMPLATE_BAD, lx->line, "a string does not end");
    char *out = arena_take(lx->memory, end - start + 1);
    if (!out) return lx->memory->status;
    if (unescape((text){s + start, end - start}, out, &bytes)) {
        return say(lx->err, CV_TEMPLATE_REFUSED, lx->line, "a string has an escape that is not understood");
    }
    lex_go(lx, end + 1);
    return lex_add(lx, T_STRING, (text){out, bytes}, 0);
}

static int lex_sign(lexer *lx)
{
    static const char *const pairs[] = {"==", "!=", "<=", ">=", "//", "**"};
    text t = {lx->source.data + lx->at, 1};
    int c = lex_peek(lx, 0);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (c == pairs[i][0] && lex_peek(lx, 1) == pairs[i][1]) t.bytes = 2;
    }
    if (t.bytes == 1 && (!c || !strchr("+-*/%~<>=.:|,()[]{}", c))) {
        return say(lx->err, CV_TEMPLATE_BAD, lx->line, "a tag contains the stray character '%c'", c < 127 ? c : '?');
    }
    lex_go(lx, lx->at + t.bytes);
    return lex_add(lx, T_SIGN, t, 0);
}

/* Bytes of the tag's end if it is here ("%}", "-%}", "+%}", "}}", "-}}"), else 0. */
static size_t lex_end_here(const lexer *lx, int close)
{
    int c = lex_peek(lx, 0);
    size_t control = c == '-' || (c == '+' && close == '%');
    return lex_peek(lx, control) == close && lex_peek(lx, control + 1) == '}' ? control + 2 : 0;
}

static int lex_one(lexer *lx)
{
    int c = lex_peek(lx, 0);
    if (is_letter(c)) return lex_name(lx);
    if (is_digit(c)) return lex_integer(lx);
    if (c == '\'' || c == '"') return lex_string(lx);
    return lex_sign(lx);
}

static void lex_skip_space(lexer *lx)
{
    text rest = {lx->source.data + lx->at, lx->source.bytes - lx->at};
    lex_go(lx, lx->source.bytes - text_strip_space(rest, LEFT).bytes);
}

/* The inside of {{ }} or {% %}. "}}" inside brackets, as in {{ {'a': {}} }}, does not end the tag. */
static int lex_tag(lexer *lx, int close)
{
    int depth = 0, line = lx->line;
    for (;;) {
        lex_skip_space(lx);
        if (lx->at >= lx->source.bytes) {
            return say(lx->err, CV_TEMPLATE_BAD, line, "a tag {%c does not end", close == '}' ? '{' : '%');
        }
        int c = lex_peek(lx, 0);
        size_t end = depth ? 0 : lex_end_here(lx, close);
        if (end) {
            int status = lex_add(lx, close == '}' ? T_PRINT_END : T_BLOCK_END, (text){"", 0}, 0);
            lex_go(lx, lx->at + end);
            lex_after(lx, end == 3 ? c : 0, close == '%');
            return status;
        }
        if (c && strchr("([{", c)) depth++;
        if (c && strchr(")]}", c) && --depth < 0) return say(lx->err, CV_TEMPLATE_BAD, lx->line, "a stray '%c'", c);
        int status = lex_one(lx);
        if (status) return status;
    }
}

static int lex_all(lexer *lx)
{
    int status = 0;
    while (!status && lx->at < lx->source.bytes) {
        size_t tag = lex_find_tag(lx);
        status = lex_data(lx, tag);
        if (status || tag == lx->source.bytes) break;
        int kind = lex_peek(lx, 1), control = lex_peek(lx, 2);
        lex_go(lx, tag + 2 + (control == '-' || control == '+'));
        if (kind == '#') status = lex_comment(lx);
        else status = lex_add(lx, kind == '{' ? T_PRINT : T_BLOCK, (text){"", 0}, 0);
        if (!status && kind != '#') status = lex_tag(lx, kind == '{' ? '}' : '%');
    }
    return status ? status : lex_add(lx, T_END, (text){"", 0}, 0);
}

/* ================================================================================================================
 * [3] Tree
 *
 * One kind of node serves for everything; the table says which fields a kind uses. `list` is the first of a chain
 * through `next`. Jinja's precedence, from loose to tight:
 *   a if c else b | or | and | not | == != < > <= >= in | + - | ~ | * // % | unary - | .x [x] (x) |filter is-test
 * ============================================================================================================== */

enum {
    N_TEXT,    /* text                                                                                  */
    N_INTEGER, /* integer                                                                               */
    N_WORD,    /* integer: 0 false, 1 true, 2 none                                                      */
    N_NAME,    /* text                                                                                  */
    N_LIST,    /* list                                                                                  */
    N_MAP,     /* list: key, value, key, value ...                                                      */
    N_ATTR,    /* a.text                                                                                */
    N_ITEM,    /* a[b]                                                                                  */
    N_SLICE,   /* a[b:c:d], each may be NULL                                                            */
    N_CALL,    /* a(list)                                                                               */
    N_KEYWORD, /* text = a, in an argument list                                                         */
    N_FILTER,  /* a | text(list)                                                                        */
    N_TEST,    /* a is text(list); integer 1: is not                                                    */
    N_NOT, N_NEGATE, N_PLUS, /* a                                                                       */
    N_AND, N_OR,     /* a, b                                                                            */
    N_BINARY,  /* a text b, text one of + - * // % ~ == != < > <= >= in notin                           */
    N_CHOOSE,  /* b if a else c; c may be NULL                                                          */
    S_DATA,    /* text                                                                                  */
    S_PRINT,   /* {{ a }}                                                                               */
    S_IF,      /* list of S_BRANCH, of which the first that holds runs                                  */
    S_BRANCH,  /* a: condition or NULL for else; list                                                   */
    S_FOR,     /* names in a if b: list, else c (an S_GROUP or NULL)                                    */
    S_SET,     /* a (N_NAME or N_ATTR) = b, or if b is NULL what list renders to                        */
    S_MACRO,   /* text(names): list. The names are N_KEYWORD, a: default or NULL                        */
    S_GROUP,   /* list                                                                                  */
    S_BREAK, S_CONTINUE
};

typedef struct node {
    int kind, line, height;
    text text;
    int64_t integer;
    struct node *a, *b, *c, *d;
    struct node *list, *names, *next;
} node;

typedef struct parser {
    const token *tokens; /* the last is T_END */
    size_t at;
    int depth;  /* of this parser's recursion */
    int loops;  /* for loops around this place */
    int macros; /* macros around this place    */
    int status; /* of the first failure: everything below returns NULL after one */
    arena *memory;
    cv_error *err;
} parser;

struct cv_template {
    arena memory;
    node *body;
};

static void *parse_stop(parser *p, int status, const char *format, ...)
{
    va_list rest;
    if (p->status) return NULL;
    va_start(rest, format);
    p->status = say_list(p->err, status, p->tokens[p->at].line, format, rest);
    va_end(rest);
    return NULL;
}

static const token *peek(const parser *p) { return &p->tokens[p->at]; }

static const token *take(parser *p)
{
    const token *t = &p->tokens[p->at];
    if (t->kind != T_END) p->at++;
    return t;
}

static int at(const parser *p, int kind, const char *what)
{
    return peek(p)->kind == kind && text_is(peek(p)->text, what);
}

static int at_sign(const parser *p, const char *sign) { return at(p, T_SIGN, sign); }

static int at_word(const parser *p, const char *word) { return at(p, T_NAME, word); }

static int take_sign(parser *p, const char *sign)
{
    int there = at_sign(p, sign);
    if (there) p->at++;
    return there;
}

static int take_word(parser *p, const char *word)
{
    int there = at_word(p, word);
    if (there) p->at++;
    return there;
}

static int expect_sign(parser *p, const char *sign)
{
    if (take_sign(p, sign)) return 1;
    parse_stop(p, CV_TEMPLATE_BAD, "'%s' expected", sign);
    return 0;
}

static int expect_kind(parser *p, int kind, const char *what)
{
    if (peek(p)->kind != kind) parse_stop(p, CV_TEMPLATE_BAD, "%s expected", what);
    else p->at++;
    return !p->status;
}

static node *new_node(parser *p, int kind, text t, node *a, node *b)
{
    node *n = arena_take(p->memory, sizeof *n);
    if (!n) {
        if (!p->status) p->status = p->memory->status;
        return NULL;
    }
    n->kind = kind;
    n->line = peek(p)->line;
    n->text = t;
    n->a = a;
    n->b = b;
    return n;
}

static int higher(const node *n, int height) { return n && n->height >= height ? n->height + 1 : height; }

/* Every node passes here once its children are in place: the running part recurses along the tree, so its height is
 * what bounds the stack. Returns NULL if anything went wrong on the way. */
static node *done(parser *p, node *n)
{
    if (p->status || !n) return NULL;
    int height = higher(n->a, higher(n->b, higher(n->c, higher(n->d, 1))));
    for (const node *i = n->list; i; i = i->next) height = higher(i, height);
    for (const node *i = n->names; i; i = i->next) height = higher(i, height);
    n->height = height;
    if (height > MAX_HEIGHT) return parse_stop(p, CV_TEMPLATE_REFUSED, "it is nested more than %d deep", MAX_HEIGHT);
    return n;
}

static int deeper(parser *p)
{
    if (p->depth >= MAX_HEIGHT) parse_stop(p, CV_TEMPLATE_REFUSED, "it is nested more than %d deep", MAX_HEIGHT);
    else p->depth++;
    return !p->status;
}

static node *parse_expression(parser *p);
static node *parse_unary(parser *p, int filters);

/* Appends to a chain; *tail is where the next link goes. */
static void append(node ***tail, node *n)
{
    if (!n) return;
    **tail = n;
    *tail = &n->next;
}

static node *parse_argument(parser *p)
{
    const token *t = peek(p);
    if (t->kind == T_NAME && t[1].kind == T_SIGN && text_is(t[1].text, "=")) {
        p->at += 2;
        return done(p, new_node(p, N_KEYWORD, t->text, parse_expression(p), NULL));
    }
    if (at_sign(p, "*") || at_sign(p, "**")) return parse_stop(p, CV_TEMPLATE_REFUSED, "arguments with * are unsupported");
    return parse_expression(p);
}

/* After "(" of a call. */
static node *parse_arguments(parser *p)
{
    node *list = NULL, **tail = &list;
    int count = 0;
    while (!p->status && !take_sign(p, ")")) {
        if (count && !expect_sign(p, ",")) break;
        if (count && take_sign(p, ")")) break;
        if (++count > MAX_ARGS) return parse_stop(p, CV_TEMPLATE_REFUSED, "a call has more than %d arguments", MAX_ARGS);
        append(&tail, parse_argument(p));
    }
    return list;
}

/* After the opening sign: expressions up to `close`. one: set to 0 if there was a comma. */
static node *parse_items(parser *p, int kind, const char *close, int *one)
{
    node *n = new_node(p, kind, (text){"", 0}, NULL, NULL), **tail = n ? &n->list : NULL;
    int count = 0;
    *one = 1;
    while (n && !p->status && !take_sign(p, close)) {
        if (count++ && !expect_sign(p, ",")) break;
        if (count > 1) *one = 0;
        if (count > 1 && take_sign(p, close)) break;
        append(&tail, parse_expression(p));
        if (kind != N_MAP || !expect_sign(p, ":")) continue;
        append(&tail, parse_expression(p));
    }
    if (!count) *one = 0;
    return done(p, n);
}

static node *parse_word(parser *p)
{
    text t = take(p)->text;
    node *n = new_node(p, N_NAME, t, NULL, NULL);
    if (n && text_among(t, "true True false False none None")) {
        n->kind = N_WORD;
        n->integer = text_among(t, "true True") ? 1 : text_among(t, "none None") ? 2 : 0;
    }
    return done(p, n);
}

/* Strings that follow one another are one string. */
static node *parse_string(parser *p)
{
    text whole = take(p)->text;
    while (peek(p)->kind == T_STRING) {
        text more = take(p)->text;
        char *joined = arena_take(p->memory, whole.bytes + more.bytes + 1);
        if (!joined) return parse_stop(p, p->memory->status, "the strings are too long");
        memcpy(joined, whole.data, whole.bytes);
        memcpy(joined + whole.bytes, more.data, more.bytes);
        whole = (text){joined, whole.bytes + more.bytes};
    }
    return done(p, new_node(p, N_TEXT, whole, NULL, NULL));
}

static node *parse_integer(parser *p)
{
    int64_t value = take(p)->integer;
    node *n = new_node(p, N_INTEGER, (text){"", 0}, NULL, NULL);
    if (n) n->integer = value;
    return done(p, n);
}

static node *parse_primary(parser *p)
{
    int one, kind = peek(p)->kind;
    if (kind == T_NAME) return parse_word(p);
    if (kind == T_STRING) return parse_string(p);
    if (kind == T_INTEGER) return parse_integer(p);
    if (take_sign(p, "[")) return parse_items(p, N_LIST, "]", &one);
    if (take_sign(p, "{")) return parse_items(p, N_MAP, "}", &one);
    if (!take_sign(p, "(")) return parse_stop(p, CV_TEMPLATE_BAD, "an expression expected");
    node *n = parse_items(p, N_LIST, ")", &one); /* a tuple is as good as a list */
    return n && one ? n->list : n;
}

/* After "[": an index or a slice. */
static node *parse_subscript(parser *p, node *base)
{
    node *part[3] = {NULL, NULL, NULL};
    int colons = 0;
    while (!p->status && !at_sign(p, "]")) {
        if (at_sign(p, ":") && ++colons > 2) return parse_stop(p, CV_TEMPLATE_BAD, "']' expected");
        if (take_sign(p, ":")) continue;
        if (part[colons]) return parse_stop(p, CV_TEMPLATE_BAD, "']' expected");
        part[colons] = parse_expression(p);
    }
    take_sign(p, "]");
    node *n = new_node(p, colons ? N_SLICE : N_ITEM, (text){"", 0}, base, part[0]);
    if (!n) return NULL;
    if (!colons && !part[0]) return parse_stop(p, CV_TEMPLATE_BAD, "an empty [ ]");
    n->c = part[1];
    n->d = part[2];
    return done(p, n);
}

static node *parse_attribute(parser *p, node *base)
{
    text name = peek(p)->text;
    if (peek(p)->kind == T_INTEGER) return done(p, new_node(p, N_ITEM, (text){"", 0}, base, parse_integer(p)));
    if (!expect_kind(p, T_NAME, "a name after '.'")) return NULL;
    return done(p, new_node(p, N_ATTR, name, base, NULL));
}

static node *parse_call(parser *p, node *base)
{
    node *n = new_node(p, N_CALL, (text){"", 0}, base, NULL);
    if (n) n->list = parse_arguments(p);
    return done(p, n);
}

static node *parse_postfix(parser *p, node *n)
{
    while (n && !p->status) {
        if (take_sign(p, ".")) n = parse_attribute(p, n);
        else if (take_sign(p, "[")) n = parse_subscript(p, n);
        else if (take_sign(p, "(")) n = parse_call(p, n);
        else break;
    }
    return n;
}

static node *parse_filter(parser *p, node *base)
{
    text name = peek(p)->text;
    if (!expect_kind(p, T_NAME, "the name of a filter")) return NULL;
    node *n = new_node(p, N_FILTER, name, base, NULL);
    if (n && take_sign(p, "(")) n->list = parse_arguments(p);
    return done(p, n);
}

/* After "is". Tests that take an argument may have it without parentheses: x is divisibleby 3. */
static node *parse_test(parser *p, node *base)
{
    int negated = take_word(p, "not");
    text name = peek(p)->text;
    if (!expect_kind(p, T_NAME, "the name of a test")) return NULL;
    node *n = new_node(p, N_TEST, name, base, NULL);
    if (!n) return NULL;
    n->integer = negated;
    if (take_sign(p, "(")) n->list = parse_arguments(p);
    else if (text_among(name, "divisibleby eq equalto sameas ne lt le gt ge in")) n->list = parse_unary(p, 0);
    return done(p, n);
}

static node *parse_filters(parser *p, node *n)
{
    while (n && !p->status) {
        if (take_sign(p, "|")) n = parse_filter(p, n);
        else if (take_word(p, "is")) n = parse_test(p, n);
        else if (take_sign(p, "(")) n = parse_call(p, n);
        else break;
    }
    return n;
}

static node *parse_unary(parser *p, int filters)
{
    node *n = NULL;
    if (!deeper(p)) return NULL;
    int minus = take_sign(p, "-"), plus = !minus && take_sign(p, "+");
    if (minus || plus) n = parse_unary(p, 0);
    else n = parse_primary(p);
    if (minus || plus) n = done(p, new_node(p, minus ? N_NEGATE : N_PLUS, (text){"", 0}, n, NULL));
    n = parse_postfix(p, n);
    if (filters) n = parse_filters(p, n);
    if (at_sign(p, "**")) return parse_stop(p, CV_TEMPLATE_REFUSED, "the operator ** is not supported");
    p->depth--;
    return n;
}

/* The operators between unary and comparison, each level a list of signs: left associative. */
static node *parse_level(parser *p, int level)
{
    static const char *const signs[3] = {"+ -", "~", "* / // %"};
    if (level == 3) return parse_unary(p, 1);
    node *n = parse_level(p, level + 1);
    while (n && !p->status && peek(p)->kind == T_SIGN && text_among(peek(p)->text, signs[level])) {
        text sign = take(p)->text;
        n = done(p, new_node(p, N_BINARY, sign, n, parse_level(p, level + 1)));
    }
    return n;
}

/* The comparison that comes next, taken; or an empty text. */
static text take_comparison(parser *p)
{
    const token *t = peek(p);
    if (t->kind == T_SIGN && text_among(t->text, "== != < > <= >=")) return take(p)->text;
    if (take_word(p, "in")) return text_of("in");
    if (at_word(p, "not") && t[1].kind == T_NAME && text_is(t[1].text, "in")) {
        p->at += 2;
        return text_of("notin");
    }
    return (text){"", 0};
}

static node *parse_comparison(parser *p)
{
    node *n = parse_level(p, 0);
    text sign = n ? take_comparison(p) : (text){"", 0};
    if (!sign.bytes) return n;
    n = done(p, new_node(p, N_BINARY, sign, n, parse_level(p, 0)));
    if (n && take_comparison(p).bytes) return parse_stop(p, CV_TEMPLATE_REFUSED, "a < b < c is not supported");
    return n;
}

static node *parse_not(parser *p)
{
    node *n;
    if (!deeper(p)) return NULL;
    if (take_word(p, "not")) n = done(p, new_node(p, N_NOT, (text){"", 0}, parse_not(p), NULL));
    else n = parse_comparison(p);
    p->depth--;
    return n;
}

static node *parse_and(parser *p)
{
    node *n = parse_not(p);
    while (n && take_word(p, "and")) n = done(p, new_node(p, N_AND, (text){"", 0}, n, parse_not(p)));
    return n;
}

static node *parse_or(parser *p)
{
    node *n = parse_and(p);
    while (n && take_word(p, "or")) n = done(p, new_node(p, N_OR, (text){"", 0}, n, parse_and(p)));
    return n;
}

static node *parse_expression(parser *p)
{
    if (!deeper(p)) return NULL;
    node *n = parse_or(p);
    while (n && take_word(p, "if")) {
        node *choice = new_node(p, N_CHOOSE, (text){"", 0}, parse_or(p), n);
        if (choice && take_word(p, "else")) choice->c = parse_expression(p);
        n = done(p, choice);
    }
    p->depth--;
    return n;
}

/* ---- statements ---- */

static node *parse_body(parser *p, const char *ends);

static int end_of_block(parser *p) { return expect_kind(p, T_BLOCK_END, "the end of the tag"); }

/* Takes the name that parse_body stopped before and the end of its tag. */
static int take_end(parser *p, const char *name)
{
    if (!p->status && !take_word(p, name)) parse_stop(p, CV_TEMPLATE_BAD, "'%s' expected", name);
    return !p->status && end_of_block(p);
}

static node *parse_branch(parser *p, int with_condition)
{
    node *n = new_node(p, S_BRANCH, (text){"", 0}, NULL, NULL);
    if (!n) return NULL;
    if (with_condition) n->a = parse_expression(p);
    if (!p->status && end_of_block(p)) n->list = parse_body(p, with_condition ? "elif else endif" : "endif");
    return done(p, n);
}

static node *parse_if(parser *p)
{
    node *n = new_node(p, S_IF, (text){"", 0}, NULL, NULL), **tail = n ? &n->list : NULL;
    if (!n) return NULL;
    append(&tail, parse_branch(p, 1));
    while (!p->status && take_word(p, "elif")) append(&tail, parse_branch(p, 1));
    if (!p->status && take_word(p, "else")) append(&tail, parse_branch(p, 0));
    take_end(p, "endif");
    return done(p, n);
}

/* The loop's variable, or several separated by commas. */
static node *parse_targets(parser *p)
{
    node *list = NULL, **tail = &list;
    int parenthesis = take_sign(p, "(");
    do {
        text name = peek(p)->text;
        if (!expect_kind(p, T_NAME, "the name of a variable")) return NULL;
        append(&tail, done(p, new_node(p, N_NAME, name, NULL, NULL)));
    } while (take_sign(p, ","));
    if (parenthesis) expect_sign(p, ")");
    return list;
}

static node *parse_for(parser *p)
{
    node *n = new_node(p, S_FOR, (text){"", 0}, NULL, NULL);
    if (!n) return NULL;
    n->names = parse_targets(p);
    if (!p->status && !take_word(p, "in")) return parse_stop(p, CV_TEMPLATE_BAD, "'in' expected");
    n->a = parse_or(p); /* not parse_expression: the "if" after it belongs to the loop */
    if (!p->status && take_word(p, "if")) n->b = parse_expression(p);
    if (at_word(p, "recursive")) return parse_stop(p, CV_TEMPLATE_REFUSED, "recursive loops are not supported");
    if (p->status || !end_of_block(p)) return NULL;
    p->loops++;
    n->list = parse_body(p, "else endfor");
    p->loops--;
    if (!p->status && take_word(p, "else")) {
        n->c = new_node(p, S_GROUP, (text){"", 0}, NULL, NULL);
        if (n->c && end_of_block(p)) n->c->list = parse_body(p, "endfor");
        n->c = done(p, n->c);
    }
    take_end(p, "endfor");
    return done(p, n);
}

static node *parse_set(parser *p)
{
    text name = peek(p)->text;
    if (!expect_kind(p, T_NAME, "the name of a variable")) return NULL;
    node *target = done(p, new_node(p, N_NAME, name, NULL, NULL));
    if (take_sign(p, ".")) target = parse_attribute(p, target);
    if (at_sign(p, ",")) return parse_stop(p, CV_TEMPLATE_REFUSED, "'set' of several variables is not supported");
    if (at_sign(p, "|")) return parse_stop(p, CV_TEMPLATE_REFUSED, "'set' with a filter is not supported");
    node *n = new_node(p, S_SET, (text){"", 0}, target, NULL);
    if (!n) return NULL;
    if (take_sign(p, "=")) {
        n->b = parse_expression(p);
        if (at_sign(p, ",")) return parse_stop(p, CV_TEMPLATE_REFUSED, "a tuple without parentheses is not supported");
        if (!p->status) end_of_block(p);
        return done(p, n);
    }
    if (p->status || !end_of_block(p)) return NULL;
    n->list = parse_body(p, "endset");
    take_end(p, "endset");
    return done(p, n);
}

static node *parse_parameters(parser *p)
{
    node *list = NULL, **tail = &list;
    int count = 0;
    if (!expect_sign(p, "(")) return NULL;
    while (!p->status && !take_sign(p, ")")) {
        if (count && !expect_sign(p, ",")) break;
        if (++count > MAX_ARGS) return parse_stop(p, CV_TEMPLATE_REFUSED, "a macro has more than %d parameters", MAX_ARGS);
        text name = peek(p)->text;
        if (!expect_kind(p, T_NAME, "the name of a parameter")) break;
        append(&tail, done(p, new_node(p, N_KEYWORD, name, take_sign(p, "=") ? parse_expression(p) : NULL, NULL)));
    }
    return list;
}

static node *parse_macro(parser *p)
{
    text name = peek(p)->text;
    if (p->loops || p->macros) return parse_stop(p, CV_TEMPLATE_REFUSED, "a macro inside a loop or a macro");
    if (!expect_kind(p, T_NAME, "the name of a macro")) return NULL;
    node *n = new_node(p, S_MACRO, name, NULL, NULL);
    if (!n) return NULL;
    n->names = parse_parameters(p);
    if (p->status || !end_of_block(p)) return NULL;
    p->macros++;
    n->list = parse_body(p, "endmacro");
    p->macros--;
    take_end(p, "endmacro");
    return done(p, n);
}

static node *parse_leave(parser *p, int kind)
{
    if (!p->loops) return parse_stop(p, CV_TEMPLATE_BAD, "'break' or 'continue' outside of a loop");
    end_of_block(p);
    return done(p, new_node(p, kind, (text){"", 0}, NULL, NULL));
}

/* {% generation %} marks what a model is trained on; it does not change the text. */
static node *parse_generation(parser *p)
{
    node *n = new_node(p, S_GROUP, (text){"", 0}, NULL, NULL);
    if (!n || !end_of_block(p)) return NULL;
    n->list = parse_body(p, "endgeneration");
    take_end(p, "endgeneration");
    return done(p, n);
}

static node *parse_statement(parser *p)
{
    text name = peek(p)->text;
    if (take_word(p, "if")) return parse_if(p);
    if (take_word(p, "for")) return parse_for(p);
    if (take_word(p, "set")) return parse_set(p);
    if (take_word(p, "macro")) return parse_macro(p);
    if (take_word(p, "break")) return parse_leave(p, S_BREAK);
    if (take_word(p, "continue")) return parse_leave(p, S_CONTINUE);
    if (take_word(p, "generation")) return parse_generation(p);
    if (text_among(name, "else elif endif endfor endset endmacro endgeneration")) {
        return parse_stop(p, CV_TEMPLATE_BAD, "'%.*s' without its beginning", shown(name), name.data);
    }
    return parse_stop(p, CV_TEMPLATE_REFUSED, "the tag '%.*s' is not supported", shown(name), name.data);
}

static node *parse_print(parser *p)
{
    node *n = done(p, new_node(p, S_PRINT, (text){"", 0}, parse_expression(p), NULL));
    if (at_sign(p, ",")) return parse_stop(p, CV_TEMPLATE_REFUSED, "a tuple without parentheses is not supported");
    if (n) expect_kind(p, T_PRINT_END, "'}}'");
    return n;
}

/* Statements up to a tag whose name is among ends, which is left to the caller; or up to the end if ends is NULL. */
static node *parse_body(parser *p, const char *ends)
{
    node *list = NULL, **tail = &list;
    int line = peek(p)->line;
    if (!deeper(p)) return NULL;
    while (!p->status) {
        const token *t = take(p);
        if (t->kind == T_END && ends) parse_stop(p, CV_TEMPLATE_BAD, "'%s' expected for line %d", ends, line);
        if (t->kind == T_END) break;
        if (t->kind == T_DATA) append(&tail, done(p, new_node(p, S_DATA, t->text, NULL, NULL)));
        else if (t->kind == T_PRINT) append(&tail, parse_print(p));
        else if (ends && peek(p)->kind == T_NAME && text_among(peek(p)->text, ends)) break;
        else append(&tail, parse_statement(p));
    }
    p->depth--;
    return list;
}

static int parse_all(cv_template *parsed, lexer *lx)
{
    parser p = {0};
    int status = lex_all(lx);
    if (status) return status;
    p.tokens = lx->tokens;
    p.memory = &parsed->memory;
    p.err = lx->err;
    parsed->body = parse_body(&p, NULL);
    return p.status;
}

int cv_template_parse(const char *data, size_t bytes, cv_template **parsed, cv_error *err)
{
    lexer lx = {0};
    *parsed = NULL;
    if (bytes > MAX_TEMPLATE) return say(err, CV_TEMPLATE_REFUSED, 1, "it has more than %d KiB", MAX_TEMPLATE / 1024);
    cv_template *made = cv_alloc(1, sizeof *made, err);
    if (!made) return CV_TEMPLATE_BAD;
    made->memory.err = err;
    lx.memory = &made->memory;
    lx.err = err;
    lx.line = lx.fresh = 1;
    int status = lex_source(&lx, data, bytes);
    if (!status) status = parse_all(made, &lx);
    free(lx.tokens);
    if (status) cv_template_free(made);
    else *parsed = made;
    return status;
}

void cv_template_free(cv_template *parsed)
{
    if (!parsed) return;
    arena_free(&parsed->memory);
    free(parsed);
}

/* ---- what a template looks for in other texts ---- */

typedef struct marks {
    cv_mark *found;
    size_t count, max;
} marks;

static void add_mark(marks *m, const node *n)
{
    if (!n || n->kind != N_TEXT || m->count == m->max) return;
    for (size_t i = 0; i < m->count; i++) {
        if (text_same((text){m->found[i].data, m->found[i].bytes}, n->text)) return;
    }
    m->found[m->count++] = (cv_mark){n->text.data, n->text.bytes};
}

static void collect_marks(marks *m, const node *n) /* n and what follows it in its chain */
{
    for (; n; n = n->next) {
        int call = n->kind == N_CALL && n->a->kind == N_ATTR;
        if (n->kind == N_BINARY && text_among(n->text, "in notin == !=")) add_mark(m, n->a);
        if (n->kind == N_BINARY && text_among(n->text, "== !=")) add_mark(m, n->b);
        if (call && text_among(n->a->text, "split replace startswith endswith")) add_mark(m, n->list);
        if (n->kind == N_FILTER && text_is(n->text, "replace")) add_mark(m, n->list);
        collect_marks(m, n->a);
        collect_marks(m, n->b);
        collect_marks(m, n->c);
        collect_marks(m, n->d);
        collect_marks(m, n->names);
        collect_marks(m, n->list);
    }
}

size_t cv_template_marks(const cv_template *parsed, cv_mark *found, size_t max)
{
    marks m = {found, 0, max};
    collect_marks(&m, parsed->body);
    return m.count;
}

/* ================================================================================================================
 * [4] Values
 * ============================================================================================================== */

enum { V_UNDEFINED, V_NONE, V_BOOLEAN, V_INTEGER, V_TEXT, V_LIST, V_MAP, V_SPACE, V_LOOP, V_MACRO, V_FUNCTION };

static const char *const kind_names[] = {"undefined", "none",      "a boolean", "a number", "a text",    "a list",
                                         "a map",     "namespace", "loop",      "a macro",  "a function"};

struct series;
struct map;

typedef struct value {
    int kind;
    int64_t integer; /* V_INTEGER; V_BOOLEAN: 0 or 1 */
    text text;       /* V_TEXT; of V_UNDEFINED and V_FUNCTION the name */
    union {
        struct series *list; /* V_LIST                 */
        struct map *map;     /* V_MAP, V_SPACE, V_LOOP */
        const node *macro;   /* V_MACRO                */
    } u;
} value;

typedef struct series {
    value *items;
    size_t count;
} series;

typedef struct map {
    value *keys, *values;
    size_t count, capacity;
} map;

typedef struct args { /* of one call: the positional ones, then those with a name */
    value values[MAX_ARGS];
    text names[MAX_ARGS];
    int positional, count;
} args;

typedef struct binding {
    text name;
    value value;
} binding;

typedef struct run {
    arena memory;
    binding bindings[MAX_NAMES]; /* innermost last */
    size_t n_bindings;
    size_t scope;   /* where the innermost scope begins: `set` changes only what is there */
    size_t globals; /* the first so many were set outside of every loop and macro         */
    size_t macro;   /* names between globals and this one are hidden by a running macro   */
    char *out;
    size_t out_bytes, out_capacity;
    int64_t steps; /* still to be had */
    int leave;     /* S_BREAK or S_CONTINUE on its way to its loop, or 0 */
    int macros;
    int line;
    cv_error *err;
} run;

static int fail(run *r, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    say_list(r->err, CV_TEMPLATE_REFUSED, r->line, format, rest);
    va_end(rest);
    return CV_TEMPLATE_REFUSED;
}

/* Every piece of work is announced here before it is done. */
static int pay(run *r, uint64_t bytes)
{
    uint64_t cost = 1 + bytes / 16;
    if (cost > (uint64_t)r->steps) return fail(r, "it takes more than %d steps", MAX_STEPS);
    r->steps -= (int64_t)cost;
    return 0;
}

static int pay_search(run *r, text where, text what) { return pay(r, where.bytes * (uint64_t)(what.bytes + 16)); }

static void *take_memory(run *r, size_t count, size_t size, int *status)
{
    void *taken = count > MAX_MEMORY ? arena_take(&r->memory, (size_t)MAX_MEMORY + 1)
                                     : arena_take(&r->memory, count * size + 1);
    *status = taken ? 0 : r->memory.status;
    return taken;
}

static value of_kind(int kind) { return (value){kind, 0, {"", 0}, {NULL}}; }

static value of_boolean(int truth) { return (value){V_BOOLEAN, truth != 0, {"", 0}, {NULL}}; }

static value of_integer(int64_t integer) { return (value){V_INTEGER, integer, {"", 0}, {NULL}}; }

static value of_text(text t) { return (value){V_TEXT, 0, t, {NULL}}; }

static value of_undefined(text name) { return (value){V_UNDEFINED, 0, name, {NULL}}; }

static int is_number(value v) { return v.kind == V_INTEGER || v.kind == V_BOOLEAN; }

static int has_map(value v) { return v.kind == V_MAP || v.kind == V_SPACE || v.kind == V_LOOP; }

/* What went wrong when v was not of the kind needed. */
static int fail_kind(run *r, const char *what, value v)
{
    if (v.kind != V_UNDEFINED) return fail(r, "%s does not work on %s here", what, kind_names[v.kind]);
    return fail(r, "'%.*s' is undefined", shown(v.text), v.text.data);
}

static int new_list(run *r, size_t count, value *out)
{
    int status;
    *out = of_kind(V_LIST);
    if ((status = pay(r, count)) != 0) return status;
    out->u.list = take_memory(r, 1, sizeof(series), &status);
    if (out->u.list) out->u.list->items = take_memory(r, count, sizeof(value), &status);
    return status;
}

static void list_add(value *l, value item) { l->u.list->items[l->u.list->count++] = item; }

static int new_map(run *r, int kind, value *out)
{
    int status;
    *out = of_kind(kind);
    out->u.map = take_memory(r, 1, sizeof(map), &status);
    return status;
}

static value *map_find(const map *m, value key)
{
    for (size_t i = 0; i < m->count; i++) {
        if (key.kind == V_TEXT && text_same(m->keys[i].text, key.text)) return &m->values[i];
    }
    return NULL;
}

static int map_grow(run *r, map *m)
{
    int status;
    size_t capacity = m->capacity ? m->capacity * 2 : 16;
    value *keys = take_memory(r, capacity, 2 * sizeof(value), &status);
    if (!keys) return status;
    if (m->count) memcpy(keys, m->keys, m->count * sizeof *keys);
    if (m->count) memcpy(keys + capacity, m->values, m->count * sizeof *keys);
    m->keys = keys;
    m->values = keys + capacity;
    m->capacity = capacity;
    return 0;
}

static int map_put(run *r, map *m, value key, value item)
{
    int status = pay(r, m->count * 16);
    if (status) return status;
    if (key.kind != V_TEXT) return fail_kind(r, "a key of a map", key);
    value *there = map_find(m, key);
    if (!there && m->count == m->capacity && (status = map_grow(r, m)) != 0) return status;
    if (!there) {
        m->keys[m->count] = key;
        there = &m->values[m->count++];
    }
    *there = item;
    return 0;
}

static int map_set(run *r, map *m, const char *key, value item) { return map_put(r, m, of_text(text_of(key)), item); }

static int is_true(value v)
{
    if (is_number(v)) return v.integer != 0;
    if (v.kind == V_TEXT) return v.text.bytes != 0;
    if (v.kind == V_LIST) return v.u.list->count != 0;
    if (v.kind == V_MAP) return v.u.map->count != 0;
    return v.kind != V_UNDEFINED && v.kind != V_NONE;
}

/* ---- the output, which also serves to put texts together: write, then cut off what was written ---- */

static int put(run *r, text t)
{
    int status = pay(r, t.bytes);
    if (status) return status;
    if (t.bytes > MAX_OUTPUT - r->out_bytes) return fail(r, "it writes more than %d KiB", MAX_OUTPUT / 1024);
    if (r->out_bytes + t.bytes + 1 > r->out_capacity) {
        size_t capacity = r->out_capacity + t.bytes + r->out_capacity / 2 + 1024;
        char *grown = cv_grow(r->out, capacity, 1, r->err);
        if (!grown) return CV_TEMPLATE_BAD;
        r->out = grown;
        r->out_capacity = capacity;
    }
    memcpy(r->out + r->out_bytes, t.data, t.bytes);
    r->out_bytes += t.bytes;
    r->out[r->out_bytes] = 0;
    return 0;
}

static int put_word(run *r, const char *word) { return put(r, text_of(word)); }

static int cut(run *r, size_t from, value *out)
{
    int status;
    size_t bytes = r->out_bytes - from;
    char *copy = take_memory(r, bytes, 1, &status);
    if (!copy) return status;
    if (bytes) memcpy(copy, r->out + from, bytes);
    r->out_bytes = from;
    r->out[from] = 0; /* what was cut off may have been the last that is ever written */
    *out = of_text((text){copy, bytes});
    return 0;
}

static int put_integer(run *r, int64_t integer)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)integer);
    return put_word(r, digits);
}

/* As {{ v }} prints it. */
static int put_value(run *r, value v)
{
    if (v.kind == V_TEXT) return put(r, v.text);
    if (v.kind == V_UNDEFINED) return 0;
    if (v.kind == V_NONE) return put_word(r, "None");
    if (v.kind == V_BOOLEAN) return put_word(r, v.integer ? "True" : "False");
    if (v.kind == V_INTEGER) return put_integer(r, v.integer);
    return fail_kind(r, "printing", v);
}

static int to_text(run *r, value v, value *out)
{
    size_t from = r->out_bytes;
    *out = v;
    if (v.kind == V_TEXT) return 0;
    int status = put_value(r, v);
    return status ? status : cut(r, from, out);
}

/* ================================================================================================================
 * [5] Operators
 * ============================================================================================================== */

/* Lists may hold lists that hold lists, built by loops: hence the depth. */
static int equals(run *r, value a, value b, int depth, int *result)
{
    int status = pay(r, 0);
    *result = 0;
    if (status) return status;
    if (depth > 16) return fail(r, "it compares lists nested too deeply");
    if (is_number(a) && is_number(b)) *result = a.integer == b.integer;
    if (a.kind != b.kind || is_number(a)) return 0;
    if (a.kind == V_TEXT && (status = pay(r, a.text.bytes)) == 0) *result = text_same(a.text, b.text);
    if (a.kind == V_UNDEFINED || a.kind == V_NONE) *result = 1;
    if (a.kind >= V_SPACE) *result = a.kind != V_FUNCTION ? a.u.map == b.u.map : text_same(a.text, b.text);
    if (a.kind == V_LIST && a.u.list->count == b.u.list->count) {
        *result = 1;
        for (size_t i = 0; !status && *result && i < a.u.list->count; i++) {
            status = equals(r, a.u.list->items[i], b.u.list->items[i], depth + 1, result);
        }
    }
    if (a.kind == V_MAP && a.u.map->count == b.u.map->count) {
        *result = 1;
        for (size_t i = 0; !status && *result && i < a.u.map->count; i++) {
            const value *other = map_find(b.u.map, a.u.map->keys[i]);
            *result = other != NULL;
            if (other) status = equals(r, a.u.map->values[i], *other, depth + 1, result);
        }
    }
    return status;
}

/* -1, 0, 1 in *order for numbers and texts. */
static int compare(run *r, value a, value b, int *order)
{
    if (is_number(a) && is_number(b)) {
        *order = (a.integer > b.integer) - (a.integer < b.integer);
        return 0;
    }
    if (a.kind != V_TEXT || b.kind != V_TEXT) return fail_kind(r, "comparing", a.kind == V_TEXT ? b : a);
    size_t shorter = a.text.bytes < b.text.bytes ? a.text.bytes : b.text.bytes;
    int difference = shorter ? memcmp(a.text.data, b.text.data, shorter) : 0;
    if (!difference) difference = (a.text.bytes > b.text.bytes) - (a.text.bytes < b.text.bytes);
    *order = difference;
    return pay(r, shorter);
}

static int contains(run *r, value item, value where, int *result)
{
    int status = 0;
    *result = 0;
    if (where.kind == V_UNDEFINED) return 0;
    if (where.kind == V_MAP) {
        if ((status = pay(r, where.u.map->count * 16)) == 0) *result = map_find(where.u.map, item) != NULL;
        return status;
    }
    if (where.kind == V_LIST) {
        for (size_t i = 0; !status && !*result && i < where.u.list->count; i++) {
            status = equals(r, item, where.u.list->items[i], 0, result);
        }
        return status;
    }
    if (where.kind != V_TEXT || item.kind != V_TEXT) return fail_kind(r, "'in'", where.kind == V_TEXT ? item : where);
    if ((status = pay_search(r, where.text, item.text)) != 0) return status;
    *result = !item.text.bytes || text_find(where.text, item.text, 0) < where.text.bytes;
    return 0;
}

static int join_texts(run *r, text a, text b, value *out)
{
    size_t from = r->out_bytes;
    int status = put(r, a);
    if (!status) status = put(r, b);
    return status ? status : cut(r, from, out);
}

static int join_lists(run *r, const series *a, const series *b, value *out)
{
    int status = new_list(r, a->count + b->count, out);
    if (status) return status;
    for (size_t i = 0; i < a->count; i++) list_add(out, a->items[i]);
    for (size_t i = 0; i < b->count; i++) list_add(out, b->items[i]);
    return 0;
}

/* Integers stay below 2^62 in size, so that sums and differences cannot overflow. */
static int in_range(int64_t i) { return i < ((int64_t)1 << 62) && i > -((int64_t)1 << 62); }

static int multiply(run *r, int64_t a, int64_t b, value *out)
{
    int64_t limit = (int64_t)1 << 31;
    if (a >= limit || a <= -limit || b >= limit || b <= -limit) return fail(r, "it multiplies large numbers");
    *out = of_integer(a * b);
    return 0;
}

/* // and % round down, as Python's do. */
static int divide(run *r, text sign, int64_t a, int64_t b, value *out)
{
    if (!b) return fail(r, "it divides by zero");
    int64_t quotient = a / b, rest = a % b;
    if (rest && (rest < 0) != (b < 0)) {
        rest += b;
        quotient--;
    }
    *out = of_integer(text_is(sign, "%") ? rest : quotient);
    return 0;
}

static int calculate(run *r, text sign, value a, value b, value *out)
{
    char what[32];
    snprintf(what, sizeof what, "the operator %.*s", shown(sign), sign.data);
    if (text_is(sign, "+") && a.kind == V_TEXT && b.kind == V_TEXT) return join_texts(r, a.text, b.text, out);
    if (text_is(sign, "+") && a.kind == V_LIST && b.kind == V_LIST) return join_lists(r, a.u.list, b.u.list, out);
    if (!is_number(a) || text_is(sign, "/")) return fail_kind(r, what, a.kind == V_TEXT && !is_number(b) ? b : a);
    if (!is_number(b)) return fail_kind(r, what, b);
    if (!in_range(a.integer) || !in_range(b.integer)) return fail(r, "it calculates with huge numbers");
    if (text_is(sign, "+")) *out = of_integer(a.integer + b.integer);
    else if (text_is(sign, "-")) *out = of_integer(a.integer - b.integer);
    else if (text_is(sign, "*")) return multiply(r, a.integer, b.integer, out);
    else return divide(r, sign, a.integer, b.integer, out);
    return 0;
}

static int tie(run *r, value a, value b, value *out) /* a ~ b */
{
    int status = to_text(r, a, &a);
    if (!status) status = to_text(r, b, &b);
    return status ? status : join_texts(r, a.text, b.text, out);
}

static int binary(run *r, text sign, value a, value b, value *out)
{
    int status, result;
    if (text_is(sign, "~")) return tie(r, a, b, out);
    if (text_among(sign, "+ - * / // %")) return calculate(r, sign, a, b, out);
    if (text_among(sign, "== !=")) status = equals(r, a, b, 0, &result);
    else if (text_among(sign, "in notin")) status = contains(r, a, b, &result);
    else status = compare(r, a, b, &result);
    if (status) return status;
    if (text_is(sign, "<")) result = result < 0;
    else if (text_is(sign, ">")) result = result > 0;
    else if (text_is(sign, "<=")) result = result <= 0;
    else if (text_is(sign, ">=")) result = result >= 0;
    else if (text_among(sign, "!= notin")) result = !result;
    *out = of_boolean(result);
    return 0;
}

/* ---- a.b, a[b], a[b:c:d] ---- */

static text char_at(text t, size_t index) /* an empty text past the end */
{
    for (size_t at = 0; at < t.bytes;) {
        size_t n = char_bytes(t, at);
        if (!index--) return (text){t.data + at, n};
        at += n;
    }
    return (text){t.data, 0};
}

static size_t count_of(value v) { return v.kind == V_LIST ? v.u.list->count : char_count(v.text); }

static int get_index(run *r, value base, int64_t index, value *out)
{
    size_t count = count_of(base);
    int status = pay(r, base.kind == V_TEXT ? base.text.bytes : 0);
    if (status) return status;
    if (index < 0 && in_range(index)) index += (int64_t)count;
    *out = of_undefined(text_of("an item past the end"));
    if (index < 0 || index >= (int64_t)count) return 0;
    *out = base.kind == V_LIST ? base.u.list->items[index] : of_text(char_at(base.text, (size_t)index));
    return 0;
}

static int get_item(run *r, value base, value key, value *out)
{
    int status = pay(r, has_map(base) ? base.u.map->count * 16 : 0);
    if (status) return status;
    if (base.kind == V_UNDEFINED) return fail_kind(r, "[ ]", base);
    if ((base.kind == V_LIST || base.kind == V_TEXT) && is_number(key)) return get_index(r, base, key.integer, out);
    value *there = has_map(base) ? map_find(base.u.map, key) : NULL;
    *out = there ? *there : of_undefined(key.kind == V_TEXT ? key.text : text_of("an item"));
    if (!there && base.kind == V_LOOP) return fail(r, "'loop.%.*s' is not supported", shown(key.text), key.text.data);
    return 0;
}

/* A method that is not called has no place among our values, so it must not pass for undefined. */
static int get_attribute(run *r, value base, text name, value *out)
{
    static const char of_texts[] = "strip lstrip rstrip split startswith endswith replace upper lower title capitalize "
                                   "join format find count index encode isdigit isalpha isspace removeprefix";
    static const char of_maps[] = "items keys values get copy pop popitem update setdefault clear fromkeys";
    static const char of_lists[] = "append extend insert remove pop index count reverse sort copy clear";
    const char *methods = base.kind == V_TEXT ? of_texts : base.kind == V_MAP ? of_maps : "";
    if (base.kind == V_LIST) methods = of_lists;
    if (text_among(name, methods)) return fail(r, "the method '%.*s' is not called", shown(name), name.data);
    if (base.kind == V_UNDEFINED || has_map(base)) return get_item(r, base, of_text(name), out);
    *out = of_undefined(name);
    return 0;
}

/* Python's rule for one end of a slice: negative counts from the end, then clamped to low..high. */
static int64_t slice_end(value v, int64_t count, int64_t low, int64_t high, int64_t absent)
{
    if (v.kind == V_NONE) return absent;
    int64_t i = v.integer < 0 ? v.integer + count : v.integer;
    return i < low ? low : i > high ? high : i;
}

static int slice_text(run *r, text t, int64_t from, int64_t to, value *out)
{
    size_t at = 0, start = 0;
    int64_t i = 0;
    int status = pay(r, t.bytes);
    for (; at < t.bytes && i < to; i++) {
        at += char_bytes(t, at);
        if (i < from) start = at;
    }
    *out = of_text((text){t.data + start, to > from ? at - start : 0});
    return status;
}

static int slice(run *r, value base, value first, value last, value step, value *out)
{
    if (base.kind != V_LIST && base.kind != V_TEXT) return fail_kind(r, "[:]", base);
    if ((first.kind != V_NONE && !is_number(first)) || (last.kind != V_NONE && !is_number(last)) ||
        (step.kind != V_NONE && !is_number(step))) {
        return fail(r, "the ends of a slice are not numbers");
    }
    int64_t count = (int64_t)count_of(base), by = step.kind == V_NONE ? 1 : step.integer;
    int back = by < 0;
    if (by != 1 && by != -1) return fail(r, "slices in steps other than 1 and -1 are not supported");
    if (back && base.kind == V_TEXT) return fail(r, "reversing a text is not supported");
    if (!in_range(first.integer) || !in_range(last.integer)) return fail(r, "a slice with huge numbers");
    int64_t from = slice_end(first, count, back ? -1 : 0, back ? count - 1 : count, back ? count - 1 : 0);
    int64_t to = slice_end(last, count, back ? -1 : 0, back ? count - 1 : count, back ? -1 : count);
    if (base.kind == V_TEXT) return slice_text(r, base.text, from, to, out);
    int64_t many = back ? from - to : to - from;
    int status = new_list(r, many > 0 ? (size_t)many : 0, out);
    for (int64_t i = 0; !status && i < many; i++) list_add(out, base.u.list->items[back ? from - i : from + i]);
    return status;
}

/* ================================================================================================================
 * [6] Calls
 * ============================================================================================================== */

/* The argument at this place or of this name, or NULL. */
static const value *argument(const args *a, int place, const char *name)
{
    if (place < a->positional) return &a->values[place];
    for (int i = a->positional; i < a->count; i++) {
        if (text_is(a->names[i], name)) return &a->values[i];
    }
    return NULL;
}

/* Are there min to max arguments, and none with names but those in `names`? */
static int check_args(run *r, text what, const args *a, int min, int max, const char *names)
{
    if (a->count < min || a->count > max) {
        return fail(r, "'%.*s' with %d arguments is not supported", shown(what), what.data, a->count);
    }
    for (int i = a->positional; i < a->count; i++) {
        text name = a->names[i];
        if (text_among(name, names)) continue;
        return fail(r, "'%.*s' with the argument '%.*s' is not supported", shown(what), what.data, shown(name),
                    name.data);
    }
    return 0;
}

static int need_text(run *r, const char *what, value v) { return v.kind == V_TEXT ? 0 : fail_kind(r, what, v); }

static int is_upper(int c) { return c >= 'A' && c <= 'Z'; }

static int is_lower(int c) { return c >= 'a' && c <= 'z'; }

enum { UPPER, LOWER, TITLE_METHOD, TITLE_FILTER, CAPITALIZE };

/* Does a word, and so a capital letter, begin after the character c? The filter and the method disagree. */
static int word_begins(int how, int c)
{
    if (how == TITLE_METHOD) return !is_upper(c) && !is_lower(c);
    return how == TITLE_FILTER && (c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || c == ' ' ||
                                   (c >= 9 && c <= 13));
}

/* Only ASCII has its case changed; other letters are refused, for we have no table for them. */
static int change_case(run *r, value self, int how, value *out)
{
    size_t from = r->out_bytes;
    int status = need_text(r, "a change of case", self), up = how != LOWER;
    if (!status) status = put(r, self.text);
    if (status) return status;
    for (size_t i = from; i < r->out_bytes; i++) {
        char *p = r->out + i;
        if ((unsigned char)*p >= 128) return fail(r, "changing the case of letters outside ASCII is not supported");
        int was = *p;
        if (up && is_lower(was)) *p = (char)(was - 32);
        if (!up && is_upper(was)) *p = (char)(was + 32);
        up = how == UPPER || word_begins(how, was);
    }
    return cut(r, from, out);
}

static int strip(run *r, value self, const value *set, int sides, value *out)
{
    int status = need_text(r, "stripping", self);
    if (!status && set && set->kind != V_NONE) status = need_text(r, "stripping by", *set);
    if (!status) status = pay(r, self.text.bytes * (uint64_t)(set ? set->text.bytes + 1 : 1));
    if (status) return status;
    text chars = {NULL, 0};
    if (set && set->kind == V_TEXT) chars = set->text;
    *out = of_text(text_strip(self.text, chars, sides));
    return 0;
}

static int split_at_spaces(run *r, text t, value *out)
{
    int status = new_list(r, t.bytes / 2 + 1, out);
    for (t = text_strip_space(t, BOTH); !status && t.bytes; t = text_strip_space(t, LEFT)) {
        size_t n = 0;
        while (n < t.bytes && !is_space((text){t.data + n, char_bytes(t, n)})) n += char_bytes(t, n);
        list_add(out, of_text((text){t.data, n}));
        t.data += n;
        t.bytes -= n;
    }
    return status;
}

static int split(run *r, value self, const args *a, value *out)
{
    const value *by = argument(a, 0, "sep"), *most = argument(a, 1, "maxsplit");
    if (most && !is_number(*most)) return fail_kind(r, "split", *most);
    int64_t left = most && most->integer >= 0 ? most->integer : INT64_MAX;
    if ((!by || by->kind == V_NONE) && !most) return split_at_spaces(r, self.text, out);
    if (!by || by->kind != V_TEXT || !by->text.bytes) return fail(r, "this use of split is not supported");
    text t = self.text;
    int status = pay_search(r, t, by->text);
    if (!status) status = new_list(r, t.bytes / by->text.bytes + 1, out);
    for (size_t from = 0; !status; left--) {
        size_t at = left ? text_find(t, by->text, from) : t.bytes;
        list_add(out, of_text((text){t.data + from, at - from}));
        if (at == t.bytes) break;
        from = at + by->text.bytes;
    }
    return status;
}

static int replace(run *r, value self, const args *a, value *out)
{
    const value *old = argument(a, 0, "old"), *by = argument(a, 1, "new");
    if (!old || !by || old->kind != V_TEXT || by->kind != V_TEXT || !old->text.bytes) {
        return fail(r, "this use of replace is not supported");
    }
    text t = self.text;
    size_t from = r->out_bytes, at = 0;
    int status = pay_search(r, t, old->text);
    while (!status && at < t.bytes) {
        size_t next = text_find(t, old->text, at);
        status = put(r, (text){t.data + at, next - at});
        if (!status && next < t.bytes) status = put(r, by->text);
        at = next < t.bytes ? next + old->text.bytes : next;
    }
    return status ? status : cut(r, from, out);
}

static int begins_or_ends(run *r, text t, value with, int ends, value *out)
{
    int status = need_text(r, "startswith or endswith", with);
    if (status) return status;
    size_t n = with.text.bytes;
    const char *place = n <= t.bytes ? t.data + (ends ? t.bytes - n : 0) : NULL;
    *out = of_boolean(place && text_same((text){place, n}, with.text));
    return pay(r, n);
}

static int join(run *r, value items, text by, int only_texts, value *out)
{
    size_t from = r->out_bytes;
    int status = items.kind == V_LIST ? 0 : fail_kind(r, "join", items);
    for (size_t i = 0; !status && i < items.u.list->count; i++) {
        if (only_texts) status = need_text(r, "join", items.u.list->items[i]);
        if (!status && i) status = put(r, by);
        if (!status) status = put_value(r, items.u.list->items[i]);
    }
    return status ? status : cut(r, from, out);
}

/* ---- methods ---- */

static int call_text_method(run *r, text name, value self, const args *a, value *out)
{
    int sides = text_is(name, "strip") ? BOTH : text_is(name, "lstrip") ? LEFT : text_is(name, "rstrip") ? RIGHT : 0;
    int cases = text_is(name, "upper") ? UPPER : text_is(name, "lower") ? LOWER : text_is(name, "title") ? TITLE_METHOD
                : text_is(name, "capitalize") ? CAPITALIZE : -1;
    int ends = text_is(name, "endswith"), begins = text_is(name, "startswith"), status;
    int most = cases >= 0 ? 0 : sides || ends || begins || text_is(name, "join") ? 1 : 2;
    int least = text_is(name, "replace") ? 2 : most == 1 && !sides;
    if ((status = check_args(r, name, a, least, most, "sep maxsplit")) != 0) return status;
    if (sides) return strip(r, self, argument(a, 0, "chars"), sides, out);
    if (cases >= 0) return change_case(r, self, cases, out);
    if (text_is(name, "split")) return split(r, self, a, out);
    if (a->positional < least) return fail(r, "'%.*s' without arguments", shown(name), name.data);
    if (text_is(name, "replace")) return replace(r, self, a, out);
    if (begins || ends) return begins_or_ends(r, self.text, a->values[0], ends, out);
    if (text_is(name, "join")) return join(r, a->values[0], self.text, 1, out);
    return fail(r, "the method '%.*s' of a text is not supported", shown(name), name.data);
}

/* keys, values or pairs of a map, in order. */
static int map_parts(run *r, const map *m, int keys, int values, value *out)
{
    int status = new_list(r, m->count, out);
    for (size_t i = 0; !status && i < m->count; i++) {
        value part = keys ? m->keys[i] : m->values[i];
        if (keys && values) status = new_list(r, 2, &part);
        if (!status && keys && values) {
            list_add(&part, m->keys[i]);
            list_add(&part, m->values[i]);
        }
        if (!status) list_add(out, part);
    }
    return status;
}

static int call_map_method(run *r, text name, value self, const args *a, value *out)
{
    int get = text_is(name, "get"), status = check_args(r, name, a, get, get ? 2 : 0, "");
    if (status) return status;
    if (text_is(name, "items")) return map_parts(r, self.u.map, 1, 1, out);
    if (text_is(name, "keys")) return map_parts(r, self.u.map, 1, 0, out);
    if (text_is(name, "values")) return map_parts(r, self.u.map, 0, 1, out);
    if (!get) return fail(r, "the method '%.*s' of a map is not supported", shown(name), name.data);
    const value *there = map_find(self.u.map, a->values[0]);
    *out = there ? *there : a->count > 1 ? a->values[1] : of_kind(V_NONE);
    return pay(r, self.u.map->count * 16);
}

static int call_method(run *r, text name, value self, const args *a, value *out)
{
    if (self.kind == V_TEXT) return call_text_method(r, name, self, a, out);
    if (self.kind == V_MAP) return call_map_method(r, name, self, a, out);
    if (self.kind == V_UNDEFINED) return fail_kind(r, "a method", self);
    return fail(r, "the method '%.*s' of %s is not supported", shown(name), name.data, kind_names[self.kind]);
}

/* ---- tests ---- */

static int is_iterable(value v)
{
    return v.kind == V_TEXT || v.kind == V_LIST || v.kind == V_MAP || v.kind == V_UNDEFINED;
}

/* Tests of the kind alone: 0 or 1, or -1 if name is none of them. */
static int test_kind(text name, value v)
{
    if (text_is(name, "defined")) return v.kind != V_UNDEFINED;
    if (text_is(name, "undefined")) return v.kind == V_UNDEFINED;
    if (text_is(name, "none")) return v.kind == V_NONE;
    if (text_is(name, "string")) return v.kind == V_TEXT;
    if (text_is(name, "mapping")) return v.kind == V_MAP;
    if (text_among(name, "iterable sequence")) return is_iterable(v);
    if (text_is(name, "number")) return is_number(v);
    if (text_is(name, "integer")) return v.kind == V_INTEGER;
    if (text_is(name, "boolean")) return v.kind == V_BOOLEAN;
    if (text_is(name, "true")) return v.kind == V_BOOLEAN && v.integer;
    if (text_is(name, "false")) return v.kind == V_BOOLEAN && !v.integer;
    return -1;
}

static int test_rest(run *r, text name, value v, value with, int *result)
{
    static const char *const orders[] = {"lt", "<", "gt", ">", "le", "<=", "ge", ">="};
    value out;
    int status;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i += 2) {
        if (!text_is(name, orders[i])) continue;
        status = binary(r, text_of(orders[i + 1]), v, with, &out);
        *result = !status && is_true(out);
        return status;
    }
    if (!text_is(name, "divisibleby")) return fail(r, "the test '%.*s' is not supported", shown(name), name.data);
    status = calculate(r, text_of("%"), v, with, &out);
    *result = !status && !is_true(out);
    return status;
}

static int test(run *r, text name, value v, const args *a, int *result)
{
    int two = text_among(name, "divisibleby eq equalto == != ne lt le gt ge in");
    int status = check_args(r, name, a, two, two, "");
    if (status) return status;
    *result = test_kind(name, v);
    if (*result >= 0) return 0;
    if (text_among(name, "eq equalto ==")) return equals(r, v, a->values[0], 0, result);
    if (text_is(name, "in")) return contains(r, v, a->values[0], result);
    if (text_among(name, "ne !=")) {
        status = equals(r, v, a->values[0], 0, result);
        *result = !*result;
        return status;
    }
    if (text_among(name, "odd even")) {
        if (!is_number(v)) return fail_kind(r, "odd or even", v);
        *result = (v.integer % 2 != 0) == text_is(name, "odd");
        return 0;
    }
    return test_rest(r, name, v, two ? a->values[0] : of_kind(V_NONE), result);
}

/* ---- filters ---- */

static int put_json_text(run *r, text t)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    int status = put_word(r, "\"");
    for (size_t i = 0; !status && i < t.bytes; i++) {
        char c = t.data[i], escape[8];
        const char *simple = memchr(from, c, sizeof from - 1);
        if (simple) snprintf(escape, sizeof escape, "\\%c", to[simple - from]);
        else if ((unsigned char)c < 32) snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)c);
        else snprintf(escape, sizeof escape, "%c", c);
        status = put_word(r, escape);
    }
    return status ? status : put_word(r, "\"");
}

/* As json.dumps writes it, on one line. */
static int put_json(run *r, value v, int depth)
{
    int status = 0;
    if (depth > 16) return fail(r, "tojson of something nested too deeply");
    if (v.kind == V_TEXT) return put_json_text(r, v.text);
    if (v.kind == V_NONE) return put_word(r, "null");
    if (v.kind == V_BOOLEAN) return put_word(r, v.integer ? "true" : "false");
    if (v.kind == V_INTEGER) return put_integer(r, v.integer);
    if (v.kind != V_LIST && v.kind != V_MAP) return fail_kind(r, "tojson", v);
    int is_map = v.kind == V_MAP;
    size_t count = is_map ? v.u.map->count : v.u.list->count;
    status = put_word(r, is_map ? "{" : "[");
    for (size_t i = 0; !status && i < count; i++) {
        if (i) status = put_word(r, ", ");
        if (!status && is_map) status = put_json_text(r, v.u.map->keys[i].text);
        if (!status && is_map) status = put_word(r, ": ");
        if (!status) status = put_json(r, is_map ? v.u.map->values[i] : v.u.list->items[i], depth + 1);
    }
    return status ? status : put_word(r, is_map ? "}" : "]");
}

/* What a loop over v visits. */
static int to_list(run *r, value v, value *out)
{
    if (v.kind == V_LIST) {
        *out = v;
        return 0;
    }
    if (v.kind == V_UNDEFINED) return new_list(r, 0, out);
    if (v.kind == V_MAP) return map_parts(r, v.u.map, 1, 0, out);
    if (v.kind != V_TEXT) return fail_kind(r, "a loop", v);
    int status = new_list(r, v.text.bytes, out);
    for (size_t at = 0, n; !status && at < v.text.bytes; at += n) {
        n = char_bytes(v.text, at);
        list_add(out, of_text((text){v.text.data + at, n}));
    }
    return status;
}

static int filter_tojson(run *r, value self, const args *a, value *out)
{
    const value *indent = argument(a, 1, "indent");
    size_t from = r->out_bytes;
    if (a->positional || (indent && indent->kind != V_NONE)) return fail(r, "tojson with indent is not supported");
    int status = put_json(r, self, 0);
    return status ? status : cut(r, from, out);
}

static int filter_length(run *r, value self, const args *a, value *out)
{
    (void)a;
    if (self.kind == V_UNDEFINED) *out = of_integer(0);
    else if (self.kind == V_MAP) *out = of_integer((int64_t)self.u.map->count);
    else if (self.kind == V_LIST || self.kind == V_TEXT) *out = of_integer((int64_t)count_of(self));
    else return fail_kind(r, "length", self);
    return pay(r, self.text.bytes);
}

static int filter_default(run *r, value self, const args *a, value *out)
{
    const value *by = argument(a, 0, "default_value"), *falsy = argument(a, 1, "boolean");
    (void)r;
    *out = self;
    if (self.kind != V_UNDEFINED && !(falsy && is_true(*falsy) && !is_true(self))) return 0;
    *out = by ? *by : of_text(text_of(""));
    return 0;
}

static int filter_trim(run *r, value self, const args *a, value *out)
{
    int status = to_text(r, self, &self);
    return status ? status : strip(r, self, argument(a, 0, "chars"), BOTH, out);
}

static int filter_upper(run *r, value self, const args *a, value *out)
{
    (void)a;
    return change_case(r, self, UPPER, out);
}

static int filter_lower(run *r, value self, const args *a, value *out)
{
    (void)a;
    return change_case(r, self, LOWER, out);
}

static int filter_title(run *r, value self, const args *a, value *out)
{
    (void)a;
    return change_case(r, self, TITLE_FILTER, out);
}

static int filter_capitalize(run *r, value self, const args *a, value *out)
{
    (void)a;
    return change_case(r, self, CAPITALIZE, out);
}

static int filter_string(run *r, value self, const args *a, value *out)
{
    (void)a;
    return to_text(r, self, out);
}

static int filter_list(run *r, value self, const args *a, value *out)
{
    (void)a;
    return to_list(r, self, out);
}

static int filter_first(run *r, value self, const args *a, value *out)
{
    (void)a;
    if (self.kind != V_LIST && self.kind != V_TEXT) return fail_kind(r, "first", self);
    return get_index(r, self, 0, out);
}

static int filter_last(run *r, value self, const args *a, value *out)
{
    (void)a;
    if (self.kind != V_LIST && self.kind != V_TEXT) return fail_kind(r, "last", self);
    return get_index(r, self, -1, out);
}

static int filter_reverse(run *r, value self, const args *a, value *out)
{
    value none = of_kind(V_NONE);
    (void)a;
    return slice(r, self, none, none, of_integer(-1), out);
}

static int filter_join(run *r, value self, const args *a, value *out)
{
    const value *by = argument(a, 0, "d");
    int status = by ? need_text(r, "join", *by) : 0;
    return status ? status : join(r, self, by ? by->text : text_of(""), 0, out);
}

static int filter_items(run *r, value self, const args *a, value *out)
{
    (void)a;
    if (self.kind == V_UNDEFINED) return new_list(r, 0, out);
    if (self.kind != V_MAP) return fail_kind(r, "items", self);
    return map_parts(r, self.u.map, 1, 1, out);
}

static int filter_replace(run *r, value self, const args *a, value *out)
{
    int status = need_text(r, "replace", self);
    return status ? status : replace(r, self, a, out);
}

static int filter_int(run *r, value self, const args *a, value *out)
{
    (void)a;
    if (!is_number(self)) return fail_kind(r, "int", self);
    *out = of_integer(self.integer);
    return 0;
}

/* selectattr(name), selectattr(name, test), selectattr(name, test, argument); keep 0: rejectattr. */
static int select_items(run *r, value self, const args *a, int keep, value *out)
{
    value items, item;
    args rest = {0};
    int holds, status = to_list(r, self, &items);
    if (!status) status = new_list(r, items.u.list->count, out);
    if (!status) status = need_text(r, "selectattr", a->values[0]);
    if (!status && a->count > 1) status = need_text(r, "selectattr", a->values[1]);
    rest.positional = rest.count = a->count > 2;
    if (a->count > 2) rest.values[0] = a->values[2];
    for (size_t i = 0; !status && i < items.u.list->count; i++) {
        status = get_attribute(r, items.u.list->items[i], a->values[0].text, &item);
        holds = !status && is_true(item);
        if (!status && a->count > 1) status = test(r, a->values[1].text, item, &rest, &holds);
        if (!status && holds == keep) list_add(out, items.u.list->items[i]);
    }
    return status;
}

static int filter_selectattr(run *r, value self, const args *a, value *out) { return select_items(r, self, a, 1, out); }

static int filter_rejectattr(run *r, value self, const args *a, value *out) { return select_items(r, self, a, 0, out); }

typedef int filter_function(run *r, value self, const args *a, value *out);

static const struct {
    const char *name;
    filter_function *function;
    int min, max;
    const char *names; /* of arguments that may be given by name */
} filters[] = {
    {"trim", filter_trim, 0, 1, "chars"},
    {"length", filter_length, 0, 0, ""},
    {"count", filter_length, 0, 0, ""},
    {"upper", filter_upper, 0, 0, ""},
    {"lower", filter_lower, 0, 0, ""},
    {"title", filter_title, 0, 0, ""},
    {"capitalize", filter_capitalize, 0, 0, ""},
    {"default", filter_default, 0, 2, "default_value boolean"},
    {"d", filter_default, 0, 2, "default_value boolean"},
    {"string", filter_string, 0, 0, ""},
    {"safe", filter_string, 0, 0, ""},
    {"tojson", filter_tojson, 0, 1, "indent"},
    {"list", filter_list, 0, 0, ""},
    {"first", filter_first, 0, 0, ""},
    {"last", filter_last, 0, 0, ""},
    {"reverse", filter_reverse, 0, 0, ""},
    {"join", filter_join, 0, 1, "d"},
    {"items", filter_items, 0, 0, ""},
    {"replace", filter_replace, 2, 2, "old new"},
    {"int", filter_int, 0, 0, ""},
    {"selectattr", filter_selectattr, 1, 3, ""},
    {"rejectattr", filter_rejectattr, 1, 3, ""},
};

static int call_filter(run *r, text name, value self, const args *a, value *out)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (!text_is(name, filters[i].name)) continue;
        int status = check_args(r, name, a, filters[i].min, filters[i].max, filters[i].names);
        return status ? status : filters[i].function(r, self, a, out);
    }
    return fail(r, "the filter '%.*s' is not supported", shown(name), name.data);
}

/* ---- functions ---- */

static int call_range(run *r, const args *a, value *out)
{
    int status = check_args(r, text_of("range"), a, 1, 3, "");
    for (int i = 0; !status && i < a->count; i++) {
        if (!is_number(a->values[i]) || !in_range(a->values[i].integer)) status = fail_kind(r, "range", a->values[i]);
    }
    if (status) return status;
    int64_t from = a->count > 1 ? a->values[0].integer : 0, to = a->values[a->count > 1].integer;
    int64_t by = a->count > 2 ? a->values[2].integer : 1;
    if (!by) return fail(r, "range in steps of zero");
    int64_t size = by > 0 ? to - from : from - to, step = by > 0 ? by : -by;
    int64_t many = size > 0 ? (size - 1) / step + 1 : 0;
    if (many > MAX_RANGE) return fail(r, "range over more than %d numbers", MAX_RANGE);
    status = new_list(r, (size_t)many, out);
    for (int64_t i = 0; !status && i < many; i++) list_add(out, of_integer(from + i * by));
    return status;
}

/* namespace(a=1, ...) and dict(a=1, ...) */
static int call_map(run *r, int kind, const args *a, value *out)
{
    int status = a->positional ? fail(r, "namespace or dict of something is not supported") : new_map(r, kind, out);
    for (int i = 0; !status && i < a->count; i++) {
        status = map_put(r, out->u.map, of_text(a->names[i]), a->values[i]);
    }
    return status;
}

static int call_raise(run *r, const args *a)
{
    text why = a->count && a->values[0].kind == V_TEXT ? a->values[0].text : text_of("no reason given");
    int bytes = why.bytes < 300 ? (int)why.bytes : 300;
    return say(r->err, CV_TEMPLATE_RAISED, r->line, "it objects: %.*s", bytes, why.data);
}

static int call_function(run *r, text name, const args *a, value *out)
{
    if (text_is(name, "range")) return call_range(r, a, out);
    if (text_is(name, "namespace")) return call_map(r, V_SPACE, a, out);
    if (text_is(name, "dict")) return call_map(r, V_MAP, a, out);
    return call_raise(r, a);
}

/* ================================================================================================================
 * [7] Running
 * ============================================================================================================== */

static int eval(run *r, const node *n, value *out);
static int exec_list(run *r, const node *list);

static binding *find_binding(run *r, text name)
{
    for (size_t i = r->n_bindings; i-- > r->macro;) {
        if (text_same(r->bindings[i].name, name)) return &r->bindings[i];
    }
    for (size_t i = r->globals; i-- > 0;) {
        if (text_same(r->bindings[i].name, name)) return &r->bindings[i];
    }
    return NULL;
}

/* A variable of the innermost scope, new or not. */
static int bind(run *r, text name, value v)
{
    size_t i = r->scope;
    while (i < r->n_bindings && !text_same(r->bindings[i].name, name)) i++;
    if (i == MAX_NAMES) return fail(r, "it has more than %d variables", MAX_NAMES);
    r->bindings[i].name = name;
    r->bindings[i].value = v;
    if (i == r->n_bindings) r->n_bindings++;
    if (!r->scope) r->globals = r->n_bindings;
    return 0;
}

static int ends_with(text t, const char *end)
{
    size_t n = strlen(end);
    return t.bytes >= n && !memcmp(t.data + t.bytes - n, end, n);
}

/* strftime_now is undefined here on purpose: templates that can do without today's date then do. */
static int eval_name(run *r, text name, value *out)
{
    int status = pay(r, 16 * r->n_bindings);
    if (status) return status;
    const binding *b = find_binding(r, name);
    *out = b ? b->value : of_undefined(name);
    if (b) return 0;
    if (text_among(name, "range namespace dict raise_exception")) out->kind = V_FUNCTION;
    else if (ends_with(name, "_token") || ends_with(name, "_tokens")) {
        return fail(r, "it uses '%.*s', whose text is not known", shown(name), name.data);
    } else if (text_among(name, "lipsum cycler joiner self caller varargs kwargs")) {
        return fail(r, "'%.*s' is not supported", shown(name), name.data);
    }
    return 0;
}

static int eval_list(run *r, const node *n, value *out)
{
    size_t count = 0;
    for (const node *i = n->list; i; i = i->next) count++;
    int status = new_list(r, count, out);
    for (const node *i = n->list; !status && i; i = i->next) {
        value item;
        status = eval(r, i, &item);
        if (!status) list_add(out, item);
    }
    return status;
}

static int eval_map(run *r, const node *n, value *out)
{
    int status = new_map(r, V_MAP, out);
    for (const node *i = n->list; !status && i; i = i->next->next) {
        value key, item;
        status = eval(r, i, &key);
        if (!status) status = eval(r, i->next, &item);
        if (!status) status = map_put(r, out->u.map, key, item);
    }
    return status;
}

static int eval_args(run *r, const node *first, args *a)
{
    int status = 0;
    a->positional = a->count = 0;
    for (const node *n = first; !status && n; n = n->next, a->count++) {
        int named = n->kind == N_KEYWORD;
        if (!named && a->count > a->positional) return fail(r, "an argument without a name after one with a name");
        a->names[a->count] = named ? n->text : (text){"", 0};
        status = eval(r, named ? n->a : n, &a->values[a->count]);
        a->positional += !named;
    }
    return status;
}

/* ---- scopes ---- */

typedef struct scope {
    size_t n_bindings, scope, macro;
} scope;

static scope enter(run *r)
{
    scope s = {r->n_bindings, r->scope, r->macro};
    r->scope = r->n_bindings;
    return s;
}

static void leave(run *r, scope s)
{
    r->n_bindings = s.n_bindings;
    r->scope = s.scope;
    r->macro = s.macro;
}

static int bind_parameters(run *r, const node *macro, const args *a)
{
    int place = 0, used = 0, status = 0;
    for (const node *n = macro->names; !status && n; n = n->next, place++) {
        value v = of_undefined(n->text);
        int named = a->positional;
        while (named < a->count && !text_same(a->names[named], n->text)) named++;
        used += place < a->positional || named < a->count;
        if (place < a->positional) v = a->values[place];
        else if (named < a->count) v = a->values[named];
        else if (n->a) status = eval(r, n->a, &v);
        if (!status) status = bind(r, n->text, v);
    }
    return !status && used < a->count ? fail(r, "a macro is called with arguments it does not have") : status;
}

static int call_macro(run *r, const node *macro, const args *a, value *out)
{
    size_t from = r->out_bytes;
    if (r->macros >= MAX_MACROS) return fail(r, "macros are nested more than %d deep", MAX_MACROS);
    scope outer = enter(r);
    r->macro = r->n_bindings;
    r->macros++;
    int status = bind_parameters(r, macro, a);
    if (!status) status = exec_list(r, macro->list);
    r->macros--;
    leave(r, outer);
    return status ? status : cut(r, from, out);
}

static int eval_call(run *r, const node *n, value *out)
{
    value self;
    args a;
    int method = n->a->kind == N_ATTR;
    int status = eval(r, method ? n->a->a : n->a, &self);
    if (!status) status = eval_args(r, n->list, &a);
    if (status) return status;
    r->line = n->line;
    if (method) return call_method(r, n->a->text, self, &a, out);
    if (self.kind == V_MACRO) return call_macro(r, self.u.macro, &a, out);
    if (self.kind == V_FUNCTION) return call_function(r, self.text, &a, out);
    if (self.kind == V_UNDEFINED && text_is(self.text, "strftime_now")) {
        return fail(r, "it calls strftime_now: today's date cannot be kept in a model file");
    }
    return fail_kind(r, "a call", self);
}

static int eval_filter(run *r, const node *n, value *out)
{
    value self;
    args a;
    int status = eval(r, n->a, &self), holds;
    if (!status) status = eval_args(r, n->list, &a);
    if (status) return status;
    r->line = n->line;
    if (n->kind == N_FILTER) return call_filter(r, n->text, self, &a, out);
    status = test(r, n->text, self, &a, &holds);
    if (!status) *out = of_boolean(holds != (n->integer != 0));
    return status;
}

static int eval_slice(run *r, const node *n, value *out)
{
    value base, part[3];
    const node *from[3] = {n->b, n->c, n->d};
    int status = eval(r, n->a, &base);
    for (int i = 0; i < 3; i++) {
        part[i] = of_kind(V_NONE);
        if (!status && from[i]) status = eval(r, from[i], &part[i]);
    }
    return status ? status : slice(r, base, part[0], part[1], part[2], out);
}

static int eval_two(run *r, const node *n, value *out) /* N_BINARY and N_ITEM */
{
    value a, b;
    int status = eval(r, n->a, &a);
    if (!status) status = eval(r, n->b, &b);
    if (status) return status;
    r->line = n->line;
    return n->kind == N_ITEM ? get_item(r, a, b, out) : binary(r, n->text, a, b, out);
}

static int eval_choice(run *r, const node *n, value *out) /* N_AND, N_OR, N_CHOOSE */
{
    value a;
    int status = eval(r, n->a, &a);
    if (status) return status;
    if (n->kind != N_CHOOSE) {
        *out = a;
        return is_true(a) == (n->kind == N_AND) ? eval(r, n->b, out) : 0;
    }
    if (is_true(a)) return eval(r, n->b, out);
    *out = of_undefined(text_of("an if without else"));
    return n->c ? eval(r, n->c, out) : 0;
}

static int eval_one(run *r, const node *n, value *out) /* N_NOT, N_NEGATE, N_PLUS, N_ATTR */
{
    value a;
    int status = eval(r, n->a, &a);
    if (status) return status;
    if (n->kind == N_ATTR) return get_attribute(r, a, n->text, out);
    *out = of_boolean(!is_true(a));
    if (n->kind == N_NOT) return 0;
    return calculate(r, text_of(n->kind == N_PLUS ? "+" : "-"), of_integer(0), a, out);
}

static int eval(run *r, const node *n, value *out)
{
    int status = pay(r, 0);
    if (status) return status;
    r->line = n->line;
    switch (n->kind) {
    case N_TEXT: *out = of_text(n->text); return 0;
    case N_INTEGER: *out = of_integer(n->integer); return 0;
    case N_WORD: *out = n->integer == 2 ? of_kind(V_NONE) : of_boolean(n->integer != 0); return 0;
    case N_NAME: return eval_name(r, n->text, out);
    case N_LIST: return eval_list(r, n, out);
    case N_MAP: return eval_map(r, n, out);
    case N_SLICE: return eval_slice(r, n, out);
    case N_CALL: return eval_call(r, n, out);
    case N_FILTER:
    case N_TEST: return eval_filter(r, n, out);
    case N_NOT:
    case N_NEGATE:
    case N_PLUS:
    case N_ATTR: return eval_one(r, n, out);
    case N_ITEM:
    case N_BINARY: return eval_two(r, n, out);
    default: return eval_choice(r, n, out);
    }
}

/* ---- statements ---- */

static int exec_if(run *r, const node *n)
{
    for (const node *branch = n->list; branch; branch = branch->next) {
        value condition = of_boolean(1);
        int status = branch->a ? eval(r, branch->a, &condition) : 0;
        if (status) return status;
        if (is_true(condition)) return exec_list(r, branch->list);
    }
    return 0;
}

static int bind_targets(run *r, const node *names, value item)
{
    if (!names->next) return bind(r, names->text, item);
    size_t i = 0;
    int status = item.kind == V_LIST ? 0 : fail_kind(r, "a loop over several variables", item);
    for (; !status && names; names = names->next, i++) {
        if (i >= item.u.list->count) return fail(r, "a loop has more variables than its items have parts");
        status = bind(r, names->text, item.u.list->items[i]);
    }
    return !status && i < item.u.list->count ? fail(r, "a loop has fewer variables than its items have parts") : status;
}

/* The items that hold the loop's own condition: for x in items if condition. */
static int choose_items(run *r, const node *n, value *items)
{
    value kept;
    int status = new_list(r, items->u.list->count, &kept);
    for (size_t i = 0; !status && i < items->u.list->count; i++) {
        value holds;
        scope outer = enter(r);
        status = bind_targets(r, n->names, items->u.list->items[i]);
        if (!status) status = eval(r, n->b, &holds);
        if (!status && is_true(holds)) list_add(&kept, items->u.list->items[i]);
        leave(r, outer);
    }
    *items = kept;
    return status;
}

static int set_loop(run *r, map *loop, const series *items, size_t at)
{
    int64_t i = (int64_t)at, count = (int64_t)items->count;
    value none = of_undefined(text_of("an item of the loop"));
    int status = map_set(r, loop, "index0", of_integer(i));
    if (!status) status = map_set(r, loop, "index", of_integer(i + 1));
    if (!status) status = map_set(r, loop, "revindex", of_integer(count - i));
    if (!status) status = map_set(r, loop, "revindex0", of_integer(count - i - 1));
    if (!status) status = map_set(r, loop, "first", of_boolean(i == 0));
    if (!status) status = map_set(r, loop, "last", of_boolean(i == count - 1));
    if (!status) status = map_set(r, loop, "length", of_integer(count));
    if (!status) status = map_set(r, loop, "previtem", at ? items->items[at - 1] : none);
    if (!status) status = map_set(r, loop, "nextitem", at + 1 < items->count ? items->items[at + 1] : none);
    return status;
}

static int exec_for(run *r, const node *n)
{
    value items, loop;
    int status = eval(r, n->a, &items);
    if (!status) status = to_list(r, items, &items);
    if (!status && n->b) status = choose_items(r, n, &items);
    if (!status) status = new_map(r, V_LOOP, &loop);
    for (size_t i = 0; !status && i < items.u.list->count && r->leave != S_BREAK; i++) {
        scope outer = enter(r);
        r->leave = 0;
        status = set_loop(r, loop.u.map, items.u.list, i);
        if (!status) status = bind(r, text_of("loop"), loop);
        if (!status) status = bind_targets(r, n->names, items.u.list->items[i]);
        if (!status) status = exec_list(r, n->list);
        leave(r, outer);
    }
    r->leave = 0;
    return !status && !items.u.list->count && n->c ? exec_list(r, n->c) : status;
}

static int exec_scope(run *r, const node *list)
{
    scope outer = enter(r);
    int status = exec_list(r, list);
    leave(r, outer);
    return status;
}

static int exec_set(run *r, const node *n)
{
    value v, space;
    size_t from = r->out_bytes;
    int status = n->b ? eval(r, n->b, &v) : exec_scope(r, n->list);
    if (!status && !n->b) status = cut(r, from, &v);
    if (status) return status;
    if (n->a->kind == N_NAME) return bind(r, n->a->text, v);
    status = eval(r, n->a->a, &space);
    if (status) return status;
    if (space.kind != V_SPACE || n->a->kind != N_ATTR) return fail_kind(r, "'set'", space);
    return map_put(r, space.u.map, of_text(n->a->text), v);
}

static int exec_print(run *r, const node *n)
{
    value v;
    int status = eval(r, n->a, &v);
    return status ? status : put_value(r, v);
}

static int exec_macro(run *r, const node *n)
{
    value v = of_kind(V_MACRO);
    v.u.macro = n;
    return bind(r, n->text, v);
}

static int exec(run *r, const node *n)
{
    int status = pay(r, 0);
    if (status) return status;
    r->line = n->line;
    switch (n->kind) {
    case S_DATA: return put(r, n->text);
    case S_PRINT: return exec_print(r, n);
    case S_IF: return exec_if(r, n);
    case S_FOR: return exec_for(r, n);
    case S_SET: return exec_set(r, n);
    case S_MACRO: return exec_macro(r, n);
    case S_GROUP: return exec_scope(r, n->list);
    default: r->leave = n->kind; return 0;
    }
}

static int exec_list(run *r, const node *list)
{
    int status = 0;
    for (const node *n = list; !status && n && !r->leave; n = n->next) status = exec(r, n);
    return status;
}

/* ---- the beginning: what the template is given ---- */

static int bind_messages(run *r, const cv_conversation *input)
{
    value messages, message;
    int status = new_list(r, input->count, &messages);
    for (size_t i = 0; !status && i < input->count; i++) {
        status = new_map(r, V_MAP, &message);
        if (!status) status = map_set(r, message.u.map, "role", of_text(text_of(input->messages[i].role)));
        if (!status) status = map_set(r, message.u.map, "content", of_text(text_of(input->messages[i].content)));
        if (!status) list_add(&messages, message);
    }
    return status ? status : bind(r, text_of("messages"), messages);
}

/* A template that names one that is not here is refused: nobody knows whether it is undefined where it comes from. */
static int bind_specials(run *r, const cv_specials *s)
{
    const struct {
        const char *name, *text;
    } tokens[] = {{"bos_token", s->bos}, {"eos_token", s->eos}, {"unk_token", s->unk},  {"sep_token", s->sep},
                  {"pad_token", s->pad}, {"cls_token", s->cls}, {"mask_token", s->mask}};
    value additional;
    int status = 0;
    for (size_t i = 0; !status && i < sizeof tokens / sizeof *tokens; i++)
        if (tokens[i].text) status = bind(r, text_of(tokens[i].name), of_text(text_of(tokens[i].text)));
    if (status || s->n_additional == 0) return status;
    status = new_list(r, s->n_additional, &additional);
    for (size_t i = 0; !status && i < s->n_additional; i++) list_add(&additional, of_text(text_of(s->additional[i])));
    return status ? status : bind(r, text_of("additional_special_tokens"), additional);
}

static int bind_input(run *r, const cv_conversation *input)
{
    int status = bind_messages(r, input);
    if (!status) status = bind(r, text_of("tools"), of_kind(V_NONE));
    if (!status) status = bind(r, text_of("documents"), of_kind(V_NONE));
    if (!status) status = bind_specials(r, input->specials);
    if (status) return status;
    return bind(r, text_of("add_generation_prompt"), of_boolean(input->add_generation_prompt));
}

int cv_template_render(const cv_template *parsed, const cv_conversation *input, char **out, size_t *bytes, cv_error *err)
{
    run *r = cv_alloc(1, sizeof *r, err);
    *out = NULL;
    if (!r) return CV_TEMPLATE_BAD;
    r->err = r->memory.err = err;
    r->steps = MAX_STEPS;
    r->line = 1;
    int status = put(r, (text){"", 0}); /* so that there is an output even if nothing is written */
    if (!status) status = bind_input(r, input);
    if (!status) status = exec_list(r, parsed->body);
    arena_free(&r->memory);
    if (status) free(r->out);
    else *out = r->out;
    *bytes = status ? 0 : r->out_bytes;
    free(r);
    return status;
}
