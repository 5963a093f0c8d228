/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * language.h - what the parts of the template language share
 *
 *   template.c    the public face: parse, render, marks; memory and the first failure
 *   lexer.c       source -> tokens; all white space control happens here
 *   parser.c      tokens -> tree, by recursive descent
 *   evaluate.c    runs the tree: scopes, expressions, statements
 *   functions.c   filters, tests, methods, functions: what a template can call
 *   value.c       values, the output, operators
 *
 * The model for every rule is Jinja2 3.1 with trim_blocks, lstrip_blocks and loop controls, the way chat templates are
 * run where they come from. It is the part of that language which derives a role table from a conversation of texts:
 * what only tools, documents and dates need is read, and refused by name when it is evaluated. Where a corner is not
 * reproduced, it is refused, never approximated. */
#ifndef HARP_LANGUAGE_H
#define HARP_LANGUAGE_H

#include "template.h"

/* Templates are hostile until proven otherwise. Nothing recurses without bound: the parser counts how deep it is, every
 * node knows the height of the tree below it, and macros may nest a few times only. Every node visited and every byte
 * handled is paid for in steps. */
enum {
    MAX_TEMPLATE = 256 * 1024, /* bytes; the largest real ones have 20 KB         */
    MAX_MEMORY = 32 << 20,     /* bytes, of the tree and of one rendering         */
    MAX_OUTPUT = 1 << 20,      /* bytes rendered                                  */
    MAX_STEPS = 2000000,       /* nodes visited plus bytes handled / 16           */
    MAX_HEIGHT = 100,          /* of the tree, and of the parser's recursion      */
    MAX_MACROS = 8,            /* macro calls inside one another                  */
    MAX_NAMES = 256,           /* variables alive at once                         */
    MAX_ARGS = 8,              /* of one call                                     */
    MAX_RANGE = 100000         /* numbers in one range, as in Jinja's own sandbox */
};

/* ---- the first failure, after which every function returns at once with nothing useful ---- */

typedef struct outcome {
    cv_error *err;
    int status; /* 0 while all is well */
    int line;   /* where we are        */
} outcome;

/* Text from the template may be in the sentence: control characters become blanks. */
void template_stop(outcome *o, int status, const char *format, ...);

/* For "%.*s": names in sentences are cut at 60 bytes. */
#define SHOWN(t) ((t).bytes < 60 ? (int)(t).bytes : 60), (t).data

/* ---- memory that is freed all at once ---- */

typedef union chunk chunk;

typedef struct arena {
    chunk *first;
    size_t total;
    outcome *result;
} arena;

void *arena_take(arena *a, size_t bytes); /* zeroed; NULL after a failure */
void arena_free(arena *a);

/* ---- tokens ---- */

enum { T_DATA, T_BLOCK, T_BLOCK_END, T_PRINT, T_PRINT_END, T_NAME, T_STRING, T_INTEGER, T_SIGN, T_END };

typedef struct token {
    int kind, line;
    cv_text text;    /* data, the string's value, the name, the sign                    */
    int64_t integer; /* T_INTEGER; T_STRING: 1 if it has an escape that is not supported */
    struct token *next;
} token;

token *lex(cv_text source, arena *memory, outcome *result);

/* ---- the tree ----
 *
 * One kind of node serves for everything; the table says which fields a kind uses. `list` is the first of a chain
 * through `next`. */
enum {
    N_TEXT,    /* text; integer 1: with an escape that is not supported          */
    N_INTEGER, /* integer                                                        */
    N_WORD,    /* integer: 0 false, 1 true, 2 none                               */
    N_NAME,    /* text                                                           */
    N_LIST,    /* list                                                           */
    N_MAP,     /* list: key, value, key, value ...                               */
    N_ATTR,    /* a.text                                                         */
    N_ITEM,    /* a[b]                                                           */
    N_SLICE,   /* a[list: three of them]                                         */
    N_CALL,    /* a(list)                                                        */
    N_KEYWORD, /* text = a, in an argument list                                  */
    N_FILTER,  /* a | text(list)                                                 */
    N_TEST,    /* a is text(list); integer 1: is not                             */
    N_NOT,     /* a                                                              */
    N_AND, N_OR, /* a, b                                                         */
    N_BINARY,  /* a text b, text one of + - * / // % ~ == != < > <= >= in notin  */
    N_CHOOSE,  /* b if a else c; c may be NULL                                   */
    S_DATA,    /* text                                                           */
    S_PRINT,   /* {{ a }}                                                        */
    S_IF,      /* list of S_BRANCH, of which the first that holds runs           */
    S_BRANCH,  /* a: condition or NULL for else; list                            */
    S_FOR,     /* text in a if b: list, else c (an S_GROUP or NULL); integer 1: over several variables */
    S_SET,     /* a (N_NAME or N_ATTR) = b, or if b is NULL what list renders to */
    S_MACRO,   /* text(a): list. a is a list of N_KEYWORD: a default or NULL     */
    S_GROUP,   /* list                                                           */
    S_BREAK, S_CONTINUE
};

typedef struct node {
    int kind, line, height;
    cv_text text;
    int64_t integer;
    struct node *a, *b, *c, *list, *next;
} node;

node *parse(const token *tokens, arena *memory, outcome *result); /* an S_GROUP */

/* ---- values ---- */

enum { V_UNDEFINED, V_NONE, V_BOOLEAN, V_INTEGER, V_TEXT, V_LIST, V_MAP, V_SPACE, V_LOOP, V_MACRO, V_FUNCTION };

typedef struct value {
    int kind;
    int64_t integer; /* V_INTEGER; V_BOOLEAN: 0 or 1                    */
    cv_text text;    /* V_TEXT; of V_UNDEFINED and V_FUNCTION the name  */
    struct items *items; /* V_LIST; V_MAP, V_SPACE, V_LOOP: key, value, key, value ... */
    const node *macro;   /* V_MACRO                                     */
} value;

typedef struct items {
    value *at;
    size_t count, capacity;
} items;

typedef struct binding {
    cv_text name;
    value value;
} binding;

typedef struct run { /* one rendering */
    outcome result;
    arena memory;
    int64_t steps; /* still to be had */
    char *out;     /* zero-terminated; also serves to put texts together: write, then cut off what was written */
    size_t out_bytes, out_capacity;
    binding bindings[MAX_NAMES]; /* innermost last */
    size_t n_bindings;
    size_t scope;   /* where the innermost scope begins: `set` changes only what is there */
    size_t globals; /* the first so many were set outside of every loop and macro         */
    size_t macro;   /* names between globals and this one are hidden by a running macro   */
    int leave;      /* S_BREAK or S_CONTINUE on its way to its loop, or 0 */
    int macros;     /* calls that are running */
    const char *today; /* as cv_specials has it */
} run;

int spend(run *r, uint64_t bytes); /* announces work before it is done; 0: there is to be none, something failed */
int spend_search(run *r, cv_text where, cv_text what);
value refuse(run *r, const char *format, ...);               /* returns an undefined value */
value refuse_kind(run *r, const char *what, value v);        /* v is not of the kind that `what` needs */

value of_kind(int kind);
value of_boolean(int truth);
value of_integer(int64_t integer);
value of_text(cv_text t);
value of_undefined(const char *name);
int is_number(value v);
int in_range(int64_t i); /* below 2^62 in size, so that sums and differences cannot overflow */
int is_true(value v);
size_t length_of(value v);

value new_items(run *r, int kind); /* an empty V_LIST, V_MAP, V_SPACE or V_LOOP */
void list_add(run *r, value list, value item);
value list_at(value list, size_t i);
value *map_find(value map, cv_text key); /* NULL: it is not there */
void map_put(run *r, value map, value key, value item);

void put(run *r, cv_text t);
void put_value(run *r, value v); /* as {{ v }} prints it */
value cut(run *r, size_t from);  /* what was written from there on, taken off the output */
value to_text(run *r, value v);

int equal(run *r, value a, value b);
value binary(run *r, cv_text sign, value a, value b);
value get_item(run *r, value base, value key);
value get_attribute(run *r, value base, cv_text name);
value slice(run *r, value base, value first, value last, value step);

/* ---- calls ---- */

typedef struct args { /* of one call: the positional ones, then those with a name */
    value values[MAX_ARGS];
    cv_text names[MAX_ARGS];
    int positional, count;
} args;

value call_filter(run *r, cv_text name, value self, const args *a);
value call_method(run *r, cv_text name, value self, const args *a);
value call_function(run *r, cv_text name, const args *a);
int test(run *r, cv_text name, value self, const args *a);

/* ---- running ---- */

void bind(run *r, cv_text name, value v); /* a variable of the innermost scope, new or not */
void execute(run *r, const node *list);   /* statements */

#endif
