/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * parser.c - tokens -> tree, by recursive descent
 *
 * The rules of precedence, from loose to tight:
 *   a if c else b | or | and | not | == != < > <= >= in | + - | ~ | * // % | unary - | .x [x] (x) |filter is-test
 * What is not known by name, a filter for example, is read like the rest: only evaluating it is refused. */
#include "language.h"

#include <string.h>

typedef struct parser {
    const token *token; /* the next one; the last is T_END */
    int depth;          /* of the recursion         */
    int loops;          /* for loops around this place */
    int macros;         /* macros around this place    */
    arena *memory;
    outcome *result; /* its line is that of the next token */
} parser;

static const cv_text nothing = {"", 0};

static void *fail(parser *p, const char *what)
{
    template_stop(p->result, CV_TEMPLATE_BAD, "%s expected before '%.*s'", what, SHOWN(p->token->text));
    return NULL;
}

static void *too_large(parser *p, const char *what, int limit)
{
    template_stop(p->result, CV_TEMPLATE_REFUSED, "%s more than %d", what, limit);
    return NULL;
}

static const token *take(parser *p)
{
    const token *t = p->token;
    if (t->next) p->token = t->next;
    p->result->line = p->token->line;
    return t;
}

static int is_token(const token *t, int kind, const char *what) { return t->kind == kind && text_is(t->text, what); }

static int at_sign(const parser *p, const char *sign) { return is_token(p->token, T_SIGN, sign); }

static int at_word(const parser *p, const char *word) { return is_token(p->token, T_NAME, word); }

static int take_sign(parser *p, const char *sign) { return at_sign(p, sign) && take(p); }

static int take_word(parser *p, const char *word) { return at_word(p, word) && take(p); }

static int expect_sign(parser *p, const char *sign) { return take_sign(p, sign) || fail(p, sign); }

static int expect_word(parser *p, const char *word) { return take_word(p, word) || fail(p, word); }

static int expect_end_of_tag(parser *p)
{
    if (p->token->kind == T_BLOCK_END) take(p);
    else fail(p, "the end of the tag");
    return !p->result->status;
}

static cv_text expect_name(parser *p, const char *what)
{
    if (p->token->kind == T_NAME) return take(p)->text;
    fail(p, what);
    return nothing;
}

static node *new_node(parser *p, int kind, cv_text t, node *a, node *b)
{
    node *n = arena_take(p->memory, sizeof *n);
    if (n) *n = (node){kind, p->token->line, 1, t, 0, a, b, NULL, NULL, NULL};
    return n;
}

static int higher(const node *n, int height) { return n && n->height >= height ? n->height + 1 : height; }

/* Every node passes here once its children are in place: the running part recurses along the tree, so its height is
 * what bounds the stack. Returns NULL if anything went wrong on the way. */
static node *done(parser *p, node *n)
{
    if (p->result->status || !n) return NULL;
    n->height = higher(n->a, higher(n->b, higher(n->c, 1)));
    for (const node *i = n->list; i; i = i->next) n->height = higher(i, n->height);
    return n->height > MAX_HEIGHT ? too_large(p, "its levels are", MAX_HEIGHT) : n;
}

static node *leaf(parser *p, int kind, cv_text t, int64_t integer)
{
    node *n = new_node(p, kind, t, NULL, NULL);
    if (n) n->integer = integer;
    return n;
}

/* Appends to a chain; *tail is where the next link goes. Without a node there is nowhere, and nothing, to go. */
static void append(node ***tail, node *n)
{
    if (!n || !*tail) return;
    **tail = n;
    *tail = &n->next;
}

static int deeper(parser *p)
{
    if (p->depth < MAX_HEIGHT) p->depth++;
    else too_large(p, "its levels are", MAX_HEIGHT);
    return !p->result->status;
}

/* ---- expressions ---- */

static node *parse_expression(parser *p);
static node *parse_unary(parser *p, int filters);

/* After the opening sign: expressions up to `close`. one: set to 0 unless there is exactly one without a comma. */
static node *parse_items(parser *p, int kind, const char *close, int *one)
{
    node *n = new_node(p, kind, nothing, NULL, NULL), **tail = n ? &n->list : NULL;
    int count = 0, commas = 0;
    for (; n && !p->result->status && !take_sign(p, close); count++) {
        if (count && expect_sign(p, ",")) commas++;
        if (count && take_sign(p, close)) break;
        append(&tail, parse_expression(p));
        if (kind == N_MAP && expect_sign(p, ":")) append(&tail, parse_expression(p));
    }
    *one = count == 1 && !commas;
    return done(p, n);
}

/* After "(" of a call. */
static node *parse_arguments(parser *p)
{
    node *list = NULL, **tail = &list;
    for (int count = 0; !p->result->status && !take_sign(p, ")"); count++) {
        if (count && !expect_sign(p, ",")) break;
        if (count && take_sign(p, ")")) break;
        if (count == MAX_ARGS) return too_large(p, "the arguments of a call are", MAX_ARGS);
        cv_text name = p->token->text;
        int named = p->token->kind == T_NAME && is_token(p->token->next, T_SIGN, "=");
        if (named) take(p), take(p);
        node *n = parse_expression(p);
        append(&tail, named ? done(p, new_node(p, N_KEYWORD, name, n, NULL)) : n);
    }
    return list;
}

static node *parse_name(parser *p)
{
    cv_text t = take(p)->text;
    if (text_among(t, "true True")) return leaf(p, N_WORD, t, 1);
    if (text_among(t, "none None")) return leaf(p, N_WORD, t, 2);
    return leaf(p, text_among(t, "false False") ? N_WORD : N_NAME, t, 0);
}

/* Strings that follow one another are one string. */
static node *parse_strings(parser *p)
{
    node *n = NULL;
    while (p->token->kind == T_STRING) {
        node *more = leaf(p, N_TEXT, p->token->text, p->token->integer);
        n = n ? done(p, new_node(p, N_BINARY, text_of("~"), n, more)) : more;
        take(p);
    }
    return n;
}

static node *parse_primary(parser *p)
{
    int one;
    if (p->token->kind == T_NAME) return parse_name(p);
    if (p->token->kind == T_STRING) return parse_strings(p);
    if (p->token->kind == T_INTEGER) return leaf(p, N_INTEGER, nothing, take(p)->integer);
    if (take_sign(p, "[")) return parse_items(p, N_LIST, "]", &one);
    if (take_sign(p, "{")) return parse_items(p, N_MAP, "}", &one);
    if (!take_sign(p, "(")) return fail(p, "an expression");
    node *n = parse_items(p, N_LIST, ")", &one); /* a tuple is as good as a list */
    return n && one ? n->list : n;
}

/* After "[": an index, or a slice, whose absent parts are none. */
static node *parse_subscript(parser *p, node *base)
{
    node *part[3] = {NULL, NULL, NULL};
    int colons = 0;
    if (at_sign(p, "]")) return fail(p, "an index");
    while (!p->result->status && !take_sign(p, "]")) {
        if (colons < 2 && take_sign(p, ":")) colons++;
        else if (part[colons]) fail(p, "]");
        else part[colons] = parse_expression(p);
    }
    node *n = new_node(p, colons ? N_SLICE : N_ITEM, nothing, base, colons ? NULL : part[0]);
    node **tail = n ? &n->list : NULL;
    for (int i = 0; n && colons && i < 3; i++) append(&tail, part[i] ? part[i] : leaf(p, N_WORD, nothing, 2));
    return done(p, n);
}

static node *parse_attribute(parser *p, node *base)
{
    if (p->token->kind == T_INTEGER) return done(p, new_node(p, N_ITEM, nothing, base, parse_primary(p)));
    return done(p, new_node(p, N_ATTR, expect_name(p, "a name"), base, NULL));
}

static node *parse_call(parser *p, node *base)
{
    node *n = new_node(p, N_CALL, nothing, base, NULL);
    if (n) n->list = parse_arguments(p);
    return done(p, n);
}

static node *parse_postfix(parser *p, node *n)
{
    while (n && !p->result->status) {
        if (take_sign(p, ".")) n = parse_attribute(p, n);
        else if (take_sign(p, "[")) n = parse_subscript(p, n);
        else if (take_sign(p, "(")) n = parse_call(p, n);
        else break;
    }
    return n;
}

static node *parse_filter(parser *p, node *base)
{
    node *n = new_node(p, N_FILTER, expect_name(p, "the name of a filter"), base, NULL);
    if (n && take_sign(p, "(")) n->list = parse_arguments(p);
    return done(p, n);
}

/* After "is". Tests that take an argument may have it without parentheses: x is equalto 'y'. */
static node *parse_test(parser *p, node *base)
{
    int negated = take_word(p, "not");
    node *n = new_node(p, N_TEST, expect_name(p, "the name of a test"), base, NULL);
    if (!n) return NULL;
    n->integer = negated;
    if (take_sign(p, "(")) n->list = parse_arguments(p);
    else if (text_among(n->text, "divisibleby eq equalto sameas ne lt le gt ge in")) n->list = parse_unary(p, 0);
    return done(p, n);
}

static node *parse_filters(parser *p, node *n)
{
    while (n && !p->result->status) {
        if (take_sign(p, "|")) n = parse_filter(p, n);
        else if (take_word(p, "is")) n = parse_test(p, n);
        else if (take_sign(p, "(")) n = parse_call(p, n);
        else break;
    }
    return n;
}

/* A sign before a number is a sum with 0. */
static node *parse_unary(parser *p, int filters)
{
    node *n;
    if (!deeper(p)) return NULL;
    if (at_sign(p, "-") || at_sign(p, "+")) {
        cv_text sign = take(p)->text;
        n = parse_unary(p, 0);
        n = done(p, new_node(p, N_BINARY, sign, leaf(p, N_INTEGER, nothing, 0), n));
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    if (filters) n = parse_filters(p, n);
    p->depth--;
    return n;
}

enum { OR, AND, NOT, COMPARISON, SUM, TILDE, PRODUCT, UNARY };

static const char *const operators[UNARY] = {"or", "and", "", "== != < > <= >= in", "+ -", "~", "* / // %"};

/* The next token if it is an operator of this level, taken; or an empty text. */
static cv_text take_operator(parser *p, int level)
{
    const token *t = p->token;
    if (level == COMPARISON && at_word(p, "not") && is_token(t->next, T_NAME, "in")) {
        take(p), take(p);
        return text_of("notin");
    }
    return (t->kind == T_SIGN || t->kind == T_NAME) && text_among(t->text, operators[level]) ? take(p)->text : nothing;
}

static node *parse_level(parser *p, int level);

static node *parse_not(parser *p)
{
    if (!deeper(p)) return NULL;
    node *n = take_word(p, "not") ? done(p, new_node(p, N_NOT, nothing, parse_not(p), NULL))
                                  : parse_level(p, COMPARISON);
    p->depth--;
    return n;
}

/* Left associative, but for comparisons: a < b < c has a meaning of its own and is refused. */
static node *parse_level(parser *p, int level)
{
    if (level == UNARY) return parse_unary(p, 1);
    if (level == NOT) return parse_not(p);
    node *n = parse_level(p, level + 1);
    while (n && !p->result->status) {
        cv_text sign = take_operator(p, level);
        if (!sign.bytes) break;
        node *right = parse_level(p, level + 1);
        n = done(p, new_node(p, level == OR ? N_OR : level == AND ? N_AND : N_BINARY, sign, n, right));
        if (level == COMPARISON) break;
    }
    return n;
}

static node *parse_expression(parser *p)
{
    if (!deeper(p)) return NULL;
    node *n = parse_level(p, OR);
    while (n && take_word(p, "if")) {
        node *choice = new_node(p, N_CHOOSE, nothing, parse_level(p, OR), n);
        if (choice && take_word(p, "else")) choice->c = parse_expression(p);
        n = done(p, choice);
    }
    p->depth--;
    return n;
}

/* ---- statements ---- */

static node *parse_body(parser *p, const char *ends);

/* The rest of a tag, then a body whose end tag, named in ends, is left to the caller. */
static node *parse_block(parser *p, node *n, const char *ends)
{
    if (n && expect_end_of_tag(p)) n->list = parse_body(p, ends);
    return done(p, n);
}

/* The same, with its end tag. */
static node *parse_whole_block(parser *p, node *n, const char *end)
{
    n = parse_block(p, n, end);
    return n && expect_word(p, end) && expect_end_of_tag(p) ? n : NULL;
}

static node *parse_if(parser *p)
{
    node *n = new_node(p, S_IF, nothing, NULL, NULL), **tail = n ? &n->list : NULL;
    do {
        node *branch = new_node(p, S_BRANCH, nothing, parse_expression(p), NULL);
        append(&tail, parse_block(p, branch, "elif else endif"));
    } while (!p->result->status && take_word(p, "elif"));
    if (!p->result->status && take_word(p, "else")) {
        append(&tail, parse_block(p, new_node(p, S_BRANCH, nothing, NULL, NULL), "endif"));
    }
    if (!p->result->status && expect_word(p, "endif")) expect_end_of_tag(p);
    return done(p, n);
}

/* A loop over several variables, as in for key, value in ..., is for tools: only its first variable is kept. */
static cv_text parse_targets(parser *p, int64_t *several)
{
    int parenthesis = take_sign(p, "(");
    cv_text name = expect_name(p, "the name of a variable");
    for (*several = 0; take_sign(p, ","); *several = 1) expect_name(p, "the name of a variable");
    if (parenthesis) expect_sign(p, ")");
    return name;
}

static node *parse_for(parser *p)
{
    node *n = new_node(p, S_FOR, nothing, NULL, NULL);
    if (!n) return NULL;
    n->text = parse_targets(p, &n->integer);
    if (!p->result->status && !expect_word(p, "in")) return NULL;
    n->a = parse_level(p, OR); /* not parse_expression: the "if" after it belongs to the loop */
    if (!p->result->status && take_word(p, "if")) n->b = parse_expression(p);
    p->loops++;
    n = parse_block(p, n, "else endfor");
    p->loops--;
    if (n && take_word(p, "else")) n->c = parse_block(p, new_node(p, S_GROUP, nothing, NULL, NULL), "endfor");
    if (!p->result->status && expect_word(p, "endfor")) expect_end_of_tag(p);
    return done(p, n);
}

static node *parse_set(parser *p)
{
    node *target = leaf(p, N_NAME, expect_name(p, "the name of a variable"), 0);
    if (take_sign(p, ".")) target = parse_attribute(p, target);
    node *n = new_node(p, S_SET, nothing, target, NULL);
    if (!n || p->result->status) return NULL;
    if (!take_sign(p, "=")) return parse_whole_block(p, n, "endset");
    n->b = parse_expression(p);
    expect_end_of_tag(p);
    return done(p, n);
}

static node *parse_parameters(parser *p)
{
    node *n = new_node(p, N_LIST, nothing, NULL, NULL), **tail = n ? &n->list : NULL;
    if (!n || !expect_sign(p, "(")) return NULL;
    for (int count = 0; !p->result->status && !take_sign(p, ")"); count++) {
        if (count && !expect_sign(p, ",")) break;
        if (count == MAX_ARGS) return too_large(p, "the parameters of a macro are", MAX_ARGS);
        cv_text name = expect_name(p, "the name of a parameter");
        node *absent = take_sign(p, "=") ? parse_expression(p) : NULL;
        append(&tail, done(p, new_node(p, N_KEYWORD, name, absent, NULL)));
    }
    return done(p, n);
}

static node *parse_macro(parser *p)
{
    if (p->loops || p->macros) template_stop(p->result, CV_TEMPLATE_REFUSED, "a macro inside a loop or a macro");
    cv_text name = expect_name(p, "the name of a macro");
    p->macros++;
    node *n = parse_whole_block(p, new_node(p, S_MACRO, name, parse_parameters(p), NULL), "endmacro");
    p->macros--;
    return n;
}

static node *parse_leave(parser *p, int kind)
{
    if (!p->loops) template_stop(p->result, CV_TEMPLATE_BAD, "'break' or 'continue' outside of a loop");
    return expect_end_of_tag(p) ? leaf(p, kind, nothing, 0) : NULL;
}

static node *parse_statement(parser *p)
{
    if (take_word(p, "if")) return parse_if(p);
    if (take_word(p, "for")) return parse_for(p);
    if (take_word(p, "set")) return parse_set(p);
    if (take_word(p, "macro")) return parse_macro(p);
    if (take_word(p, "break")) return parse_leave(p, S_BREAK);
    if (take_word(p, "continue")) return parse_leave(p, S_CONTINUE);
    if (take_word(p, "generation")) { /* marks what a model is trained on; it does not change the text */
        return parse_whole_block(p, new_node(p, S_GROUP, nothing, NULL, NULL), "endgeneration");
    }
    cv_text name = p->token->text;
    if (text_among(name, "else elif endif endfor endset endmacro endgeneration")) {
        template_stop(p->result, CV_TEMPLATE_BAD, "'%.*s' without its beginning", SHOWN(name));
    }
    template_stop(p->result, CV_TEMPLATE_REFUSED, "the tag '%.*s' is not supported", SHOWN(name));
    return NULL;
}

static node *parse_print(parser *p)
{
    node *n = done(p, new_node(p, S_PRINT, nothing, parse_expression(p), NULL));
    if (p->token->kind != T_PRINT_END) return fail(p, "'}}'");
    take(p);
    return n;
}

/* Statements up to a tag whose name is among ends, which is left to the caller; or up to the end if ends is NULL. */
static node *parse_body(parser *p, const char *ends)
{
    node *list = NULL, **tail = &list;
    int line = p->token->line;
    if (!deeper(p)) return NULL;
    while (!p->result->status) {
        if (p->token->kind == T_END && ends) {
            template_stop(p->result, CV_TEMPLATE_BAD, "'%s' expected for line %d", ends, line);
        }
        if (p->token->kind == T_END) break;
        const token *t = take(p);
        if (t->kind == T_DATA) append(&tail, leaf(p, S_DATA, t->text, 0));
        else if (t->kind == T_PRINT) append(&tail, parse_print(p));
        else if (ends && p->token->kind == T_NAME && text_among(p->token->text, ends)) break;
        else append(&tail, parse_statement(p));
    }
    p->depth--;
    return list;
}

node *parse(const token *tokens, arena *memory, outcome *result)
{
    parser p = {tokens, 0, 0, 0, memory, result};
    result->line = tokens->line;
    node *n = new_node(&p, S_GROUP, nothing, NULL, NULL);
    if (n) n->list = parse_body(&p, NULL);
    return n;
}
