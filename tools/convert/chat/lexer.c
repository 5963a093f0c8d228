/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * lexer.c - template source -> tokens
 *
 * Outside tags everything is data. White space around tags is decided here, so the parser never sees it:
 *   {{- {%- {#-    remove all white space before the tag;  -}} -%} -#} after it
 *   {% {#          remove blanks before the tag if the line has nothing else before it, unless {%+
 *   %} #}          remove one newline after the tag, unless +%}
 * The newline that ends the template does not count. */
#include "language.h"

#include <string.h>

typedef struct lexer {
    cv_text source; /* newlines are \n */
    size_t at;
    int fresh; /* nothing but a newline, or nothing at all, was before `at` */
    token **tail;
    arena *memory;
    outcome *result; /* its line is that of `at` */
} lexer;

static const cv_text nothing = {"", 0};

static void stop(lexer *lx, int status, const char *what) { template_stop(lx->result, status, "%s", what); }

static void add_token(lexer *lx, int kind, cv_text t, int64_t integer)
{
    token *added = arena_take(lx->memory, sizeof *added);
    if (!added) return;
    *added = (token){kind, lx->result->line, t, integer, NULL};
    *lx->tail = added;
    lx->tail = &added->next;
}

static int peek(const lexer *lx, size_t offset)
{
    return lx->at + offset < lx->source.bytes ? (unsigned char)lx->source.data[lx->at + offset] : 0;
}

static cv_text rest(const lexer *lx) { return text_after(lx->source, lx->at); }

static void go(lexer *lx, size_t to)
{
    for (; lx->at < to; lx->at++) lx->result->line += lx->source.data[lx->at] == '\n';
}

static void skip_space(lexer *lx) { go(lx, lx->source.bytes - text_strip_space(rest(lx), TEXT_LEFT).bytes); }

/* The source with every kind of newline made \n, and without the last one. */
static void copy_source(lexer *lx, cv_text t)
{
    char *out = arena_take(lx->memory, t.bytes + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < t.bytes; i++) {
        if (!t.data[i]) stop(lx, CV_TEMPLATE_BAD, "it contains a zero byte");
        if (t.data[i] == '\n' && i && t.data[i - 1] == '\r') continue;
        out[n++] = t.data[i] == '\r' ? '\n' : t.data[i];
    }
    if (n && out[n - 1] == '\n') n--;
    lx->source = (cv_text){out ? out : "", n};
}

/* ---- outside tags ---- */

static size_t find_tag(const lexer *lx)
{
    for (size_t i = lx->at; i + 1 < lx->source.bytes; i++) {
        if (lx->source.data[i] == '{' && memchr("{%#", lx->source.data[i + 1], 3)) return i;
    }
    return lx->source.bytes;
}

/* The data before a block or comment without the blanks that indent the tag. */
static cv_text unindented(const lexer *lx, cv_text data)
{
    size_t line = data.bytes;
    while (line && data.data[line - 1] != '\n') line--;
    if (!line && !lx->fresh) return data;
    return text_strip_space(text_after(data, line), TEXT_LEFT).bytes ? data : (cv_text){data.data, line};
}

static void lex_data(lexer *lx, size_t tag)
{
    cv_text data = {lx->source.data + lx->at, tag - lx->at};
    char kind = tag < lx->source.bytes ? lx->source.data[tag + 1] : '{';
    char control = tag + 2 < lx->source.bytes ? lx->source.data[tag + 2] : 0;
    if (control == '-') data = text_strip_space(data, TEXT_RIGHT);
    else if (control != '+' && kind != '{') data = unindented(lx, data);
    if (data.bytes) add_token(lx, T_DATA, data, 0);
    go(lx, tag);
}

/* After the end of a tag. control: '-', '+' or 0; newline: does this kind of tag swallow the next newline? */
static void after_tag(lexer *lx, int control, int newline)
{
    if (control == '-') skip_space(lx);
    else if (control != '+' && newline && peek(lx, 0) == '\n') go(lx, lx->at + 1);
    lx->fresh = lx->source.data[lx->at - 1] == '\n';
}

static void lex_comment(lexer *lx)
{
    size_t end = text_find(lx->source, text_of("#}"), lx->at);
    if (end == lx->source.bytes) stop(lx, CV_TEMPLATE_BAD, "a comment {# does not end");
    if (lx->result->status) return;
    int control = end > lx->at ? lx->source.data[end - 1] : 0;
    go(lx, end + 2);
    after_tag(lx, control, 1);
}

/* ---- inside tags ---- */

static int is_letter(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static int is_digit(int c) { return c >= '0' && c <= '9'; }

/* The token that has the next so many bytes. */
static void lex_bytes(lexer *lx, int kind, size_t bytes, int64_t integer)
{
    add_token(lx, kind, (cv_text){lx->source.data + lx->at, bytes}, integer);
    go(lx, lx->at + bytes);
}

static void lex_name(lexer *lx)
{
    size_t n = 1;
    while (is_letter(peek(lx, n)) || is_digit(peek(lx, n))) n++;
    lex_bytes(lx, T_NAME, n, 0);
}

static void lex_integer(lexer *lx)
{
    int64_t integer = 0;
    size_t n = 0;
    for (; is_digit(peek(lx, n)) && n < 18; n++) integer = integer * 10 + (peek(lx, n) - '0');
    if (is_digit(peek(lx, n))) stop(lx, CV_TEMPLATE_REFUSED, "a number has more than 18 digits");
    if (is_letter(peek(lx, n)) || (peek(lx, n) == '.' && is_digit(peek(lx, n + 1)))) {
        stop(lx, CV_TEMPLATE_REFUSED, "a number that is not a plain decimal integer");
    }
    lex_bytes(lx, T_INTEGER, n, integer);
}

/* The value of a string. Unknown escapes stand for themselves; characters by number or name are not supported. */
static cv_text unescape(lexer *lx, cv_text t, int64_t *unsupported)
{
    static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
    char *out = arena_take(lx->memory, t.bytes + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < t.bytes; i++) {
        if (t.data[i] != '\\' || i + 1 == t.bytes) {
            out[n++] = t.data[i];
            continue;
        }
        char c = t.data[++i];
        const char *simple = memchr(from, c, sizeof from - 1);
        if (memchr("xuUN01234567", c, 12)) *unsupported = 1;
        if (c == '\n') continue;
        if (!simple) out[n++] = '\\';
        out[n++] = simple ? to[simple - from] : c;
    }
    return (cv_text){out ? out : "", n};
}

static void lex_string(lexer *lx)
{
    cv_text s = rest(lx);
    size_t end = 1;
    int64_t unsupported = 0;
    while (end < s.bytes && s.data[end] != s.data[0]) end += s.data[end] == '\\' ? 2 : 1;
    if (end >= s.bytes) stop(lx, CV_TEMPLATE_BAD, "a string does not end");
    if (lx->result->status) return;
    cv_text content = unescape(lx, (cv_text){s.data + 1, end - 1}, &unsupported);
    add_token(lx, T_STRING, content, unsupported);
    go(lx, lx->at + end + 1);
}

static void lex_sign(lexer *lx)
{
    int c = peek(lx, 0);
    cv_text two = {lx->source.data + lx->at, peek(lx, 1) ? 2 : 1};
    if (text_among(two, "== != <= >= // **")) {
        lex_bytes(lx, T_SIGN, 2, 0);
    } else if (c && strchr("+-*/%~<>=.:|,()[]{}", c)) {
        lex_bytes(lx, T_SIGN, 1, 0);
    } else {
        template_stop(lx->result, CV_TEMPLATE_BAD, "a tag contains the stray character '%c'", c < 127 ? c : '?');
    }
}

static void lex_one(lexer *lx)
{
    int c = peek(lx, 0);
    if (is_letter(c)) lex_name(lx);
    else if (is_digit(c)) lex_integer(lx);
    else if (c == '\'' || c == '"') lex_string(lx);
    else lex_sign(lx);
}

/* Bytes of the tag's end if it is here ("%}", "-%}", "+%}", "}}", "-}}"), else 0. */
static size_t end_here(const lexer *lx, int close)
{
    int c = peek(lx, 0);
    size_t control = c == '-' || (c == '+' && close == '%');
    return peek(lx, control) == close && peek(lx, control + 1) == '}' ? control + 2 : 0;
}

/* The inside of {{ }} or {% %}. "}}" inside brackets, as in {{ {'a': {}} }}, does not end the tag. */
static void lex_tag(lexer *lx, int close)
{
    int depth = 0, line = lx->result->line;
    for (skip_space(lx); !lx->result->status && lx->at < lx->source.bytes; skip_space(lx)) {
        int c = peek(lx, 0);
        size_t end = depth ? 0 : end_here(lx, close);
        if (end) {
            lex_bytes(lx, close == '}' ? T_PRINT_END : T_BLOCK_END, end, 0);
            after_tag(lx, end == 3 ? c : 0, close == '%');
            return;
        }
        if (c && strchr("([{", c)) depth++;
        if (c && strchr(")]}", c) && --depth < 0) template_stop(lx->result, CV_TEMPLATE_BAD, "a stray '%c'", c);
        lex_one(lx);
    }
    lx->result->line = line;
    template_stop(lx->result, CV_TEMPLATE_BAD, "a tag {%c does not end", close == '}' ? '{' : '%');
}

token *lex(cv_text source, arena *memory, outcome *result)
{
    token *first = NULL;
    lexer lx = {nothing, 0, 1, &first, memory, result};
    copy_source(&lx, source);
    while (!result->status && lx.at < lx.source.bytes) {
        lex_data(&lx, find_tag(&lx));
        if (lx.at == lx.source.bytes) break;
        int kind = peek(&lx, 1), control = peek(&lx, 2);
        if (kind != '#') add_token(&lx, kind == '{' ? T_PRINT : T_BLOCK, nothing, 0);
        go(&lx, lx.at + 2 + (control == '-' || control == '+'));
        if (kind == '#') lex_comment(&lx);
        else lex_tag(&lx, kind == '{' ? '}' : '%');
    }
    add_token(&lx, T_END, text_of("the end"), 0);
    return first;
}
