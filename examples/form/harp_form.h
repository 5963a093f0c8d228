/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * harp_form.h - the form of an answer: JSON, a JSON schema, a grammar, one of some texts
 *
 * A model answers in words; a program wants a form. This header tells harp, token by token, which tokens keep the
 * answer in the form, and only those can be chosen. Copy it beside harp.h and harp_impl.c, include harp.h before it,
 * and in ONE of your C files write `#define HARP_FORM_IMPLEMENTATION` before `#include "harp_form.h"`. It needs C99,
 * libc and libm, allocates nothing after a form, a vocabulary and a guide are made, and never recurses.
 *
 *     harp_form *form;            // what is allowed: compiled once, read-only
 *     harp_vocabulary *words;     // the model's tokens, sorted: made once for each model, read-only
 *     harp_guide *guide;          // follows one session
 *     harp_form_schema(&form, schema, strlen(schema), NULL, &err);
 *     harp_vocabulary_open(&words, model, &err);
 *     harp_guide_open(&guide, form, words, &err);
 *     params.adjust_fn = harp_guide_adjust, params.adjust_user = guide;
 *     harp_session_open(&session, model, &params, &err);
 *     harp_feed(session, prompt, n, &err);
 *     harp_guide_begin(guide, n);                              // the answer begins here
 *     harp_generate(session, NULL, 200, show, NULL, &err);
 *
 * WHAT YOU CAN RELY ON
 *   - A token is allowed iff its bytes keep the answer on the way to a complete one; an end token iff the answer is
 *     complete. An answer that ends by an end token is in the form; one that ends because of max_tokens or a full
 *     context is the beginning of one that is. A control token is never allowed.
 *   - The guide is a pure function of the session's tokens, so rewinding, drafts and restored sessions work.
 *   - HARP is not disturbed: hesitation is measured on the raw logits, before tokens are forbidden.
 *   - What a schema says and this header cannot keep is refused by name when it is compiled, never ignored.
 *   - Grammars and schemas are not trusted: any text compiles or is refused, in bounded time and memory.
 *
 * No guarantee makes a small model's answer right or short: strings may be long, so say maxLength and maxItems.
 */
#ifndef HARP_FORM_H
#define HARP_FORM_H

#ifndef HARP_H
#include "../../harp.h" /* not reached if harp.h is included before */
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct harp_form harp_form;             /* what is allowed: immutable, shareable between threads */
typedef struct harp_vocabulary harp_vocabulary; /* a model's tokens as a tree of bytes: immutable, shareable */
typedef struct harp_guide harp_guide;           /* follows one session: one thread at a time */

/* ---- Forms ------------------------------------------------------------------------------------------------------ */

/* May be NULL where it is asked for: all fields 0. */
typedef struct harp_form_options {
    /* JSON can be written in many ways. 0: as a program would: between two tokens at most one blank, or a newline and
     * 20 blanks; numbers of at most 15 digits before and after the point, which no reader rounds to infinity; no
     * properties that the schema does not name, unless it has additionalProperties or names none. 1: in every way that
     * JSON and the schema allow: to check texts. */
    int every;
    harp_allocator allocator; /* its functions are NULL: malloc and free */
} harp_form_options;

/* A grammar in GBNF, the notation of llama.cpp: rules `name ::= alternative | alternative`, of which `root` is the
 * whole; "texts", [classes], [^classes], `.`, (groups), the repetitions * + ? {m} {m,} {m,n}, # comments. Characters
 * are those of Unicode, as UTF-8. Left recursion is refused. *form is NULL on failure. */
HARP_API harp_status harp_form_grammar(harp_form **form, const char *text, size_t bytes,
                                       const harp_form_options *options, harp_error *err);

/* A JSON schema (2020-12, draft 7): type, enum, const, properties, required, additionalProperties, items, prefixItems,
 * minItems, maxItems, minLength, maxLength, pattern, format (date, time, date-time, uuid), minimum and maximum and the
 * exclusive ones, anyOf, oneOf of alternatives that exclude one another, allOf of one, $ref within the schema, $defs.
 * An object has at most 64 properties with names of its own, in any order. Anything else is refused with the keyword
 * and where it stands. Of the instances of a schema these are not in the form: an integer or a bounded number with an
 * exponent (1e3), half a surrogate pair, a name twice in one object, other leap seconds than 23:59:60Z. */
HARP_API harp_status harp_form_schema(harp_form **form, const char *text, size_t bytes,
                                      const harp_form_options *options, harp_error *err);

/* Any JSON value. */
HARP_API harp_status harp_form_json(harp_form **form, const harp_form_options *options, harp_error *err);

/* One of n texts, 1..1024, zero-terminated, none empty. */
HARP_API harp_status harp_form_choice(harp_form **form, const char *const *texts, int32_t n,
                                      const harp_form_options *options, harp_error *err);

HARP_API size_t harp_form_bytes(const harp_form *form); /* of memory */
HARP_API void harp_form_close(harp_form *form);         /* NULL is allowed; close its guides first */

/* ---- Vocabularies ----------------------------------------------------------------------------------------------- */

/* The tokens of a model, in memory of malloc. The model must outlive it. *words is NULL on failure;
 * HARP_ERR_UNSUPPORTED if the model has no tokenizer. */
HARP_API harp_status harp_vocabulary_open(harp_vocabulary **words, const harp_model *model, harp_error *err);

/* The same from a list of texts, [n]: lengths[i] of 0 is a token without a text, which is never allowed. end [n_end]
 * are the end tokens. The texts must outlive it. */
HARP_API harp_status harp_vocabulary_make(harp_vocabulary **words, const char *const *texts, const size_t *lengths,
                                          int32_t n, const int32_t *end, int32_t n_end, harp_error *err);

HARP_API size_t harp_vocabulary_bytes(const harp_vocabulary *words);
HARP_API void harp_vocabulary_close(harp_vocabulary *words);

/* ---- Guides ----------------------------------------------------------------------------------------------------- */

#define HARP_GUIDE_HERE (-1)

/* A guide for one session at a time. The form and the vocabulary must outlive it; words may be NULL for a guide that
 * reads bytes alone. *guide is NULL on failure. */
HARP_API harp_status harp_guide_open(harp_guide **guide, const harp_form *form, const harp_vocabulary *words,
                                     harp_error *err);

/* The answer begins at this position, the number of tokens before it; with HARP_GUIDE_HERE where the session first
 * chooses a token from now on. Before it everything is allowed. A new guide begins HERE. */
HARP_API void harp_guide_begin(harp_guide *guide, int32_t position);

/* The harp_adjust_fn: `user` is the guide. Fails, and so the step with HARP_ERR_CANCELLED, if harp_guide_problem says
 * why. */
HARP_API int harp_guide_adjust(void *user, const int32_t *tokens, int32_t n, const float *logits, float *add,
                               int32_t vocab);

typedef enum harp_guide_state {
    HARP_GUIDE_OUTSIDE,  /* the answer is not in the form and not the beginning of one that is */
    HARP_GUIDE_OPEN,     /* the beginning of one that is */
    HARP_GUIDE_COMPLETE, /* in the form, but more may follow, as after the 1 of 12 */
    HARP_GUIDE_CLOSED    /* in the form, and nothing can follow: a generation can end here */
} harp_guide_state;

/* What the session's tokens are. For a harp_text_fn: harp_guide_at(guide, harp_tokens(session, &n), n). */
HARP_API harp_guide_state harp_guide_at(harp_guide *guide, const int32_t *tokens, int32_t n);

/* What a text is, byte by byte; the guide's tokens are forgotten. */
HARP_API harp_guide_state harp_guide_read(harp_guide *guide, const char *text, size_t bytes);

/* Why harp_guide_adjust failed: a sentence, or "" if it did not. */
HARP_API const char *harp_guide_problem(const harp_guide *guide);

HARP_API size_t harp_guide_bytes(const harp_guide *guide);
HARP_API void harp_guide_close(harp_guide *guide);

/* ---- Choosing one of some texts --------------------------------------------------------------------------------- */

/* Which of n texts would the session continue with? Writes to probability [n] how probable each is, by the combined
 * logits, with HARP if it is on: the product of its tokens' probabilities, and of that of an end if it is the beginning
 * of another text; their sum is 1. *best, which may be NULL, is the most probable one. The session needs an adjust_fn
 * of NULL and room for the longest text; its tokens are as they were afterwards. Each token costs a pass, those that
 * texts have in common cost one. */
HARP_API harp_status harp_form_choose(harp_session *session, const harp_model *model, const char *const *texts,
                                      int32_t n, double *probability, int32_t *best, harp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* HARP_FORM_H */

/* Outside the guard on purpose: an earlier plain include must not disable the implementation. */
#if defined(HARP_FORM_IMPLEMENTATION) && !defined(HARP_FORM_IMPLEMENTED)
#define HARP_FORM_IMPLEMENTED

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ================================================================================================================
 * CONTENTS (search for the tag)
 *   [F1] Ground        sentences, memory that grows while a form is compiled
 *   [F2] The program   a form as instructions for many readers at once
 *   [F3] Proofs        which instructions lead to an end, at what depth; what is refused for it
 *   [F4] Characters    classes of code points as bytes: UTF-8, and the ways in which JSON spells them
 *   [F5] Grammars      GBNF
 *   [F6] JSON          the reader of schemas
 *   [F7] Patterns      regular expressions
 *   [F8] Values        strings, numbers, arrays, objects
 *   [F9] Schemas       keywords, and what is refused by name
 *   [F10] Shapes       sets of readers, met once and remembered: a program becomes an automaton while it runs
 *   [F11] Vocabularies the tokens as a tree
 *   [F12] Masks        which tokens keep a shape alive
 *   [F13] Guides       the calls
 *   [F14] Choosing     one of some texts, with its probability
 *
 * HOW IT WORKS. A form compiles to a program of a few kinds of instructions: eat a byte of a set, go both ways, call a
 * rule, return. A reader is a place in the program, a stack of the calls it is in, and one number that belongs to the
 * call (how often a loop ran, or which properties were seen). All readers that the bytes so far allow run side by side;
 * the answer is alive while there is one. Sets of readers come again and again - inside a string every character leads
 * to the same set - so each set is stored once, as a shape, with a table of what each byte makes of it. What all
 * readers of a set have at the bottom of their stacks is not part of the shape but lies below it, on the base, so that
 * a string in a list in a list has the shape of any string. The tokens that a shape allows are found once, and
 * remembered with it; only tokens that leave the shape, as `"},` leaves a string, are tried again on another base.
 * ============================================================================================================= */

/* ================================================================================================================
 * [F1] Ground
 * ============================================================================================================= */

enum {
    HF_MOST_TEXT = 1 << 20, /* bytes of a grammar or a schema */
    HF_MOST_OPS = 1 << 20,  /* instructions of a program: 20 MB */
    HF_MOST_RULES = 1 << 18,
    HF_MOST_CLASSES = 1 << 16,
    HF_MOST_NESTING = 128,   /* of brackets in a grammar, a schema, a pattern */
    HF_MOST_PROPERTIES = 64, /* of an object: the bits of a reader's number */
    HF_MOST_CHOICES = 1024,
    HF_NONE = -1
};

static harp_status hf_fail(harp_error *err, harp_status status, const char *format, ...)
{
    va_list rest;
    if (!err) return status;
    err->status = status;
    va_start(rest, format);
    vsnprintf(err->text, sizeof err->text, format, rest);
    va_end(rest);
    return status;
}

static harp_status hf_fine(harp_error *err)
{
    if (err) err->status = HARP_OK, err->text[0] = 0;
    return HARP_OK;
}

static void *hf_malloc(void *user, size_t bytes)
{
    (void)user;
    return malloc(bytes ? bytes : 1);
}

static void hf_free(void *user, void *block, size_t bytes)
{
    (void)user, (void)bytes;
    free(block);
}

static harp_allocator hf_allocator(const harp_form_options *options)
{
    harp_allocator standard = {hf_malloc, hf_free, NULL};
    return options && options->allocator.alloc && options->allocator.free ? options->allocator : standard;
}

/* An array that grows. */
typedef struct hf_list {
    void *data;
    size_t n, capacity, each; /* elements, and the bytes of one */
} hf_list;

static int hf_grow(const harp_allocator *a, hf_list *list, size_t each, size_t more)
{
    size_t capacity = list->capacity ? list->capacity : 64;
    void *data;
    while (capacity < list->n + more) capacity *= 2;
    if (capacity == list->capacity) return 1;
    data = a->alloc(a->user, capacity * each);
    if (!data) return 0;
    if (list->n) memcpy(data, list->data, list->n * each);
    if (list->data) a->free(a->user, list->data, list->capacity * list->each);
    list->data = data, list->capacity = capacity, list->each = each;
    return 1;
}

static void hf_release(const harp_allocator *a, hf_list *list)
{
    if (list->data) a->free(a->user, list->data, list->capacity * list->each);
    memset(list, 0, sizeof *list);
}

static uint32_t hf_hash(const void *data, size_t bytes) /* FNV-1a */
{
    const unsigned char *p = (const unsigned char *)data;
    uint32_t hash = 2166136261u;
    for (; bytes > 0; bytes--) hash = (hash ^ *p++) * 16777619u;
    return hash;
}

/* ================================================================================================================
 * [F2] The program
 *
 * Instructions are built from their end: one is made when what follows it is known, or it is a HF_PASS whose `next` is
 * set later. A rule is called by its number, so rules may be used before they are defined.
 * ============================================================================================================= */

enum {
    HF_EAT,  /* a byte of set `a` */
    HF_FORK, /* goes on at `next` and at `a` */
    HF_PASS, /* does nothing */
    HF_FAIL, /* no text leads on from here */
    HF_CALL, /* rule `a`, then `next`; the rule has a number of its own, 0 at first */
    HF_TAIL, /* rule `a` in place of the rest of this one */
    HF_RETURN,
    HF_END,     /* the text may end */
    HF_BELOW,   /* dies unless the number is below `a` */
    HF_ATLEAST, /* dies unless the number is at least `a` */
    HF_COUNT,   /* adds 1 to the number, up to `a` */
    HF_UNSEEN,  /* dies if all bits of the number from `a` to before `b` are 1 */
    HF_MARK,    /* makes bit `a` of the number 1; dies if it is */
    HF_SEEN,    /* dies unless the number has all bits of mask `a` */
    HF_SET,     /* the number becomes mask `a` */
    HF_MUST     /* says that what instruction `a` begins will have to be possible in this call, too */
};

typedef struct hf_op {
    uint8_t kind, b;
    uint16_t need; /* how much deeper than here the stack must grow until the rule returns: [F3] */
    int32_t next, a;
    int32_t loop; /* of form->loops, which the number counts here; HF_NONE */
} hf_op;

enum { HF_NEVER = 0xFFFF }; /* as a need: no text leads to an end */

typedef struct hf_set {
    uint32_t bits[8];
} hf_set;

typedef struct hf_loop { /* how often: HF_NONE is any number of times */
    int32_t least, most;
    int32_t body, at_least; /* a rule that may turn out to be empty, and the instruction that asks for least; HF_NONE */
} hf_loop;

struct harp_form {
    harp_allocator allocator;
    hf_op *ops;
    hf_set *sets;
    hf_loop *loops;
    int32_t *rules; /* [n_rules], the first instruction of each */
    uint64_t *masks;
    size_t n_ops, n_sets, n_loops, n_rules, n_masks;
    int32_t start;
    int32_t n_classes; /* bytes that all sets treat alike are one class */
    uint8_t class_of[256];
    uint8_t one_of[256]; /* a byte of each class */
};

/* A property of an object, while it is not known whether it can have a value. */
typedef struct hf_property {
    int32_t mask, bit, value; /* the instruction that calls the value's rule */
} hf_property;

typedef struct hf_range {
    uint32_t lo, hi; /* code points, both included */
} hf_range;

typedef struct hf_class {
    int32_t first, n; /* of ranges, sorted, apart from each other */
    int32_t spelled;  /* the rule that reads one in a JSON string, HF_NONE: not made yet */
} hf_class;

typedef struct hf_builder {
    harp_allocator allocator;
    int every;
    hf_list ops, sets, rules, masks;
    hf_list names; /* hf_name: what a rule is called in messages */
    hf_list properties, loops, ranges, classes;
    hf_list class_hash; /* int32_t: open addressing, a class or HF_NONE */
    hf_list rests;      /* hf_rest_rule: [F8] */
    int32_t character;  /* the class of all characters */
    harp_status status; /* the first failure; what is built after it does not matter */
    harp_error *err;
} hf_builder;

typedef struct hf_name {
    const char *text;
    size_t bytes;
} hf_name;

#define HF_OP(b, i) (((hf_op *)(b)->ops.data)[i])
#define HF_RULE(b, i) (((int32_t *)(b)->rules.data)[i])
#define HF_CLASS(b, i) (((hf_class *)(b)->classes.data)[i])
#define HF_RANGES(b, c) ((hf_range *)(b)->ranges.data + HF_CLASS(b, c).first)

/* The first failure is told, later ones are its consequences. */
static int32_t hf_refuse(hf_builder *b, harp_status status, const char *format, ...)
{
    va_list rest;
    if (b->status) return 0;
    b->status = status;
    if (!b->err) return 0;
    b->err->status = status;
    va_start(rest, format);
    vsnprintf(b->err->text, sizeof b->err->text, format, rest);
    va_end(rest);
    return 0;
}

/* Room for one more of a list, or NULL after a failure. */
static void *hf_add(hf_builder *b, hf_list *list, size_t each, size_t most, const char *what)
{
    if (b->status) return NULL;
    if (list->n >= most)
        return hf_refuse(b, HARP_ERR_UNSUPPORTED, "the form is too large: more than %lu %s", (unsigned long)most, what),
               NULL;
    if (!hf_grow(&b->allocator, list, each, 1))
        return hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form"), NULL;
    return (char *)list->data + each * list->n++;
}

static int32_t hf_op_new(hf_builder *b, int kind, int32_t next, int32_t a)
{
    hf_op *op = (hf_op *)hf_add(b, &b->ops, sizeof *op, HF_MOST_OPS, "instructions");
    if (!op) return 0;
    op->kind = (uint8_t)kind, op->b = 0, op->need = HF_NEVER, op->next = next, op->a = a, op->loop = HF_NONE;
    return (int32_t)b->ops.n - 1;
}

/* A fork of two ways, either of which may be missing. */
static int32_t hf_either(hf_builder *b, int32_t one, int32_t other)
{
    return one == HF_NONE ? other : other == HF_NONE ? one : hf_op_new(b, HF_FORK, one, other);
}

static void hf_join(hf_builder *b, int32_t op, int32_t next)
{
    if (!b->status) HF_OP(b, op).next = next;
}

static int32_t hf_rule_new(hf_builder *b, const char *name, size_t bytes)
{
    int32_t *rule = (int32_t *)hf_add(b, &b->rules, sizeof *rule, HF_MOST_RULES, "rules");
    hf_name *n = (hf_name *)hf_add(b, &b->names, sizeof *n, HF_MOST_RULES, "rules");
    if (!rule || !n) return 0;
    *rule = HF_NONE, n->text = name, n->bytes = bytes;
    return (int32_t)b->rules.n - 1;
}

static int32_t hf_mask_new(hf_builder *b, uint64_t bits)
{
    uint64_t *mask = (uint64_t *)hf_add(b, &b->masks, sizeof *mask, HF_MOST_OPS, "masks");
    if (!mask) return 0;
    *mask = bits;
    return (int32_t)b->masks.n - 1;
}

static void hf_set_add(hf_set *set, unsigned lo, unsigned hi)
{
    for (; lo <= hi; lo++) set->bits[lo >> 5] |= 1u << (lo & 31);
}

static int hf_set_has(const hf_set *set, unsigned byte) { return (int)(set->bits[byte >> 5] >> (byte & 31) & 1u); }

/* There are few different sets: they are found by looking at all of the last ones. */
static int32_t hf_eat_set(hf_builder *b, const hf_set *set, int32_t next)
{
    const hf_set *all = (const hf_set *)b->sets.data;
    size_t i = b->sets.n, least = i > 512 ? i - 512 : 0;
    hf_set *made;
    while (i > least)
        if (memcmp(&all[--i], set, sizeof *set) == 0) return hf_op_new(b, HF_EAT, next, (int32_t)i);
    made = (hf_set *)hf_add(b, &b->sets, sizeof *made, HF_MOST_OPS, "sets");
    if (!made) return 0;
    *made = *set;
    return hf_op_new(b, HF_EAT, next, (int32_t)b->sets.n - 1);
}

static int32_t hf_eat(hf_builder *b, unsigned lo, unsigned hi, int32_t next)
{
    hf_set set;
    memset(&set, 0, sizeof set);
    hf_set_add(&set, lo, hi);
    return hf_eat_set(b, &set, next);
}

static int32_t hf_eat_text(hf_builder *b, const char *text, size_t bytes, int32_t next)
{
    for (; bytes > 0; bytes--) next = hf_eat(b, (unsigned char)text[bytes - 1], (unsigned char)text[bytes - 1], next);
    return next;
}

static int32_t hf_return(hf_builder *b) { return hf_op_new(b, HF_RETURN, HF_NONE, 0); }

static int32_t hf_call(hf_builder *b, int32_t rule, int32_t next) { return hf_op_new(b, HF_CALL, next, rule); }

/* The instructions from `first` on count in a new loop. */
static void hf_loop_new(hf_builder *b, size_t first, int32_t least, int32_t most, int32_t body, int32_t at_least)
{
    hf_loop *loop = (hf_loop *)hf_add(b, &b->loops, sizeof *loop, HF_MOST_RULES, "loops");
    if (!loop) return;
    loop->least = least, loop->most = most, loop->body = body, loop->at_least = at_least;
    for (; first < b->ops.n; first++) HF_OP(b, first).loop = (int32_t)b->loops.n - 1;
}

/* A rule: `body` at least `least` and at most `most` times, HF_NONE: any number. */
static int32_t hf_repeat(hf_builder *b, int32_t body, int32_t least, int32_t most)
{
    size_t first = b->ops.n;
    int32_t rule = hf_rule_new(b, NULL, 0), end = hf_op_new(b, HF_ATLEAST, hf_return(b), least);
    int32_t count = hf_op_new(b, HF_COUNT, HF_NONE, most == HF_NONE ? least : most), again = hf_call(b, body, count);
    int32_t fork = hf_op_new(b, HF_FORK, most == HF_NONE ? again : hf_op_new(b, HF_BELOW, again, most), end);
    int32_t start = least > 0 ? hf_op_new(b, HF_MUST, fork, again) : fork;
    hf_join(b, count, fork);
    hf_loop_new(b, first, least, most, body, end);
    if (!b->status) HF_RULE(b, rule) = start;
    return rule;
}

static void hf_builder_start(hf_builder *b, const harp_form_options *options, harp_error *err)
{
    memset(b, 0, sizeof *b);
    b->allocator = hf_allocator(options), b->every = options ? options->every : 0;
    b->character = HF_NONE, b->err = err;
    hf_fine(err);
}

/* ================================================================================================================
 * [F3] Proofs
 *
 * A reader must never be where no text leads to an end: its answer would be stuck. So for each instruction we compute
 * its need: 0 if its rule can return from there without a call, otherwise how deep the stack must grow for it, and
 * HF_NEVER if it cannot return. Readers at such places are dropped before they begin. The need of a call is the larger
 * one of the rule's, plus 1, and of what follows; of a fork the smaller one. As needs only grow along the way, they
 * are final in rising order [Knuth 1977, A Generalization of Dijkstra's Algorithm]: linear time.
 *
 * Left recursion would let stacks grow without a byte: a cycle of instructions that eat nothing, with a call in it.
 * ============================================================================================================= */

/* Who waits for an instruction: its need is that of the waiting ones, too. */
typedef struct hf_graph {
    int32_t *first, *who; /* those of i are who[first[i]] .. who[first[i + 1] - 1] */
    int32_t *queue;       /* [n_ops]; scratch */
    uint8_t *pending;     /* [n_ops]: how many needs are still unknown */
    uint16_t *most;       /* [n_ops]: the largest so far */
    size_t n, n_edges;
} hf_graph;

/* What instruction i waits for, [0..2]. */
static int hf_awaits(const hf_builder *b, size_t i, int32_t *what)
{
    const hf_op *op = &HF_OP(b, i);
    int n = 0;
    switch (op->kind) {
    case HF_RETURN:
    case HF_END:
    case HF_FAIL: return 0;
    case HF_CALL: what[n++] = HF_RULE(b, op->a); break;
    case HF_TAIL: what[0] = HF_RULE(b, op->a); return 1;
    case HF_FORK:
    case HF_MUST: what[n++] = op->a; break;
    default: break;
    }
    what[n++] = op->next;
    return n;
}

static int hf_graph_open(hf_builder *b, hf_graph *g)
{
    const harp_allocator *a = &b->allocator;
    int32_t what[2];
    size_t i;
    int k, n;
    g->n = b->ops.n, g->n_edges = 2 * g->n;
    g->first = (int32_t *)a->alloc(a->user, (g->n + 2) * sizeof(int32_t));
    g->who = (int32_t *)a->alloc(a->user, (g->n_edges + 1) * sizeof(int32_t));
    g->queue = (int32_t *)a->alloc(a->user, (g->n + 1) * sizeof(int32_t));
    g->pending = (uint8_t *)a->alloc(a->user, g->n + 1);
    g->most = (uint16_t *)a->alloc(a->user, (g->n + 1) * sizeof(uint16_t));
    if (!g->first || !g->who || !g->queue || !g->pending || !g->most) return 0;
    memset(g->first, 0, (g->n + 2) * sizeof(int32_t));
    for (i = 0; i < g->n; i++)
        for (n = hf_awaits(b, i, what), k = 0; k < n; k++) g->first[what[k] + 2]++;
    for (i = 2; i < g->n + 2; i++) g->first[i] += g->first[i - 1];
    for (i = 0; i < g->n; i++)
        for (n = hf_awaits(b, i, what), k = 0; k < n; k++) g->who[g->first[what[k] + 1]++] = (int32_t)i;
    return 1;
}

static void hf_graph_close(hf_builder *b, hf_graph *g)
{
    const harp_allocator *a = &b->allocator;
    if (g->first) a->free(a->user, g->first, (g->n + 2) * sizeof(int32_t));
    if (g->who) a->free(a->user, g->who, (g->n_edges + 1) * sizeof(int32_t));
    if (g->queue) a->free(a->user, g->queue, (g->n + 1) * sizeof(int32_t));
    if (g->pending) a->free(a->user, g->pending, g->n + 1);
    if (g->most) a->free(a->user, g->most, (g->n + 1) * sizeof(uint16_t));
}

static int hf_waits_for_all(int kind) { return kind == HF_CALL || kind == HF_MUST; }

enum { HF_DEEPEST = 1000 }; /* needs of more count as never */

/* Needs in rising order: those of 0 first, which wait in the queue; `deeper` holds whose turn comes with the next. */
static void hf_compute_needs(hf_builder *b, hf_graph *g, int32_t *deeper)
{
    size_t i, head = 0, tail = 0, n_deeper = 0;
    uint16_t level = 0;
    int32_t k;
    for (i = 0; i < g->n; i++) {
        hf_op *op = &HF_OP(b, i);
        g->pending[i] = hf_waits_for_all(op->kind) ? 2 : 1, g->most[i] = 0, op->need = HF_NEVER;
        if (op->kind == HF_RETURN || op->kind == HF_END) op->need = 0, g->queue[tail++] = (int32_t)i;
    }
    do {
        for (; head < tail; head++) {
            int32_t done = g->queue[head];
            for (k = g->first[done]; k < g->first[done + 1]; k++) {
                int32_t w = g->who[k];
                hf_op *op = &HF_OP(b, w);
                uint16_t need = (uint16_t)(level + (op->kind == HF_CALL && HF_RULE(b, op->a) == done));
                if (g->pending[w] == 0) continue;
                if (need > g->most[w]) g->most[w] = need;
                if (--g->pending[w] > 0) continue;
                if (g->most[w] > level) deeper[n_deeper++] = w;
                else op->need = level, g->queue[tail++] = w;
            }
        }
        level++;
        for (i = 0; i < n_deeper; i++) HF_OP(b, deeper[i]).need = level, g->queue[tail++] = deeper[i];
        n_deeper = 0;
    } while (head < tail && level <= HF_DEEPEST);
}

/* Which instructions can reach a return without eating: 1 or 0 into pending. */
static void hf_compute_empty(hf_builder *b, hf_graph *g)
{
    size_t i, head, tail = 0;
    int32_t k;
    for (i = 0; i < g->n; i++) {
        int kind = HF_OP(b, i).kind;
        g->pending[i] = hf_waits_for_all(kind) ? 2 : 1;
        if (kind == HF_RETURN) g->queue[tail++] = (int32_t)i, g->pending[i] = 0;
    }
    for (head = 0; head < tail; head++)
        for (k = g->first[g->queue[head]]; k < g->first[g->queue[head] + 1]; k++) {
            int32_t w = g->who[k];
            if (HF_OP(b, w).kind == HF_EAT || g->pending[w] == 0) continue;
            if (--g->pending[w] == 0) g->queue[tail++] = w;
        }
    for (i = 0; i < g->n; i++) g->pending[i] = g->pending[i] == 0;
}

/* Where instruction i goes without eating: [0..2] of them; the first grows the stack iff i is a call. */
static int hf_goes(const hf_builder *b, const uint8_t *empty, int32_t i, int32_t *to)
{
    const hf_op *op = &HF_OP(b, i);
    int n = 0;
    if (op->need == HF_NEVER) return 0;
    switch (op->kind) {
    case HF_EAT:
    case HF_RETURN:
    case HF_END:
    case HF_FAIL: return 0;
    case HF_TAIL: to[0] = HF_RULE(b, op->a); return 1;
    case HF_FORK: to[n++] = op->a; break;
    case HF_CALL:
        to[n++] = HF_RULE(b, op->a);
        if (!empty[to[0]]) return n;
        break;
    default: break;
    }
    to[n++] = op->next;
    return n;
}

/* Strongly connected components [Tarjan 1972] of the instructions that eat nothing, on a stack of our own: writes to
 * component [n] the root of each instruction's. */
static void hf_find_components(const hf_builder *b, hf_graph *g, int32_t *component)
{
    int32_t *index = g->who, *low = g->who + g->n, *stack = g->queue, *path = g->first, count = 0, top = 0, depth,
            to[2];
    uint16_t *turn = g->most;
    size_t root;
    memset(index, 0xFF, g->n * sizeof *index);
    memset(component, 0xFF, g->n * sizeof *component);
    memset(turn, 0, g->n * sizeof *turn);
    for (root = 0; root < g->n; root++) {
        if (index[root] != HF_NONE) continue;
        depth = 0, path[0] = (int32_t)root;
        while (depth >= 0) {
            int32_t v = path[depth], w;
            if (index[v] == HF_NONE) index[v] = low[v] = count++, stack[top++] = v;
            if (turn[v] < hf_goes(b, g->pending, v, to)) {
                w = to[turn[v]++];
                if (index[w] == HF_NONE) path[++depth] = w;
                else if (component[w] == HF_NONE && index[w] < low[v]) low[v] = index[w];
                continue;
            }
            if (low[v] == index[v]) do
                    w = stack[--top], component[w] = v;
                while (w != v);
            if (--depth >= 0 && low[v] < low[path[depth]]) low[path[depth]] = low[v];
        }
    }
}

static void hf_refuse_left_recursion(hf_builder *b, hf_graph *g, int32_t *component)
{
    const hf_name *names = (const hf_name *)b->names.data;
    size_t i;
    hf_find_components(b, g, component);
    for (i = 0; i < g->n; i++) {
        const hf_op *op = &HF_OP(b, i);
        if (op->kind != HF_CALL || op->need == HF_NEVER || component[i] != component[HF_RULE(b, op->a)]) continue;
        hf_refuse(b, HARP_ERR_UNSUPPORTED,
                  "the rule %.*s begins with itself (left recursion): write the repetition as "
                  "( )*",
                  names[op->a].text ? (int)names[op->a].bytes : 9, names[op->a].text ? names[op->a].text : "in ( ){ }");
        return;
    }
}

/* A loop over what may be empty: empty rounds count as rounds, so that its least number is reached at once. For each
 * round it has to be tried how many were empty, so its largest number must be small. */
static void hf_settle_loops(hf_builder *b, const uint8_t *empty)
{
    enum { MOST_EMPTY = 64 };
    hf_loop *loops = (hf_loop *)b->loops.data;
    size_t i;
    for (i = 0; i < b->loops.n && !b->status; i++) {
        if (loops[i].body == HF_NONE || !empty[HF_RULE(b, loops[i].body)]) continue;
        if (loops[i].most > MOST_EMPTY)
            hf_refuse(b, HARP_ERR_UNSUPPORTED,
                      "a repetition { } of something that may be empty has a limit of %ld, "
                      "more than %d: make its parts not empty",
                      (long)loops[i].most, MOST_EMPTY);
        HF_OP(b, loops[i].at_least).a = 0, loops[i].least = 0;
    }
}

/* A property that cannot have a value counts as seen: it must not be waited for. */
static void hf_settle_properties(hf_builder *b)
{
    const hf_property *p = (const hf_property *)b->properties.data;
    size_t i;
    for (i = 0; i < b->properties.n; i++)
        if (HF_OP(b, p[i].value).need == HF_NEVER) ((uint64_t *)b->masks.data)[p[i].mask] |= (uint64_t)1 << p[i].bit;
}

/* Where a chain of HF_PASS ends; the whole chain points there afterwards. A circle stays one. */
static int32_t hf_skip(hf_builder *b, int32_t op)
{
    int32_t end = op, next, steps = 0, most = (int32_t)b->ops.n;
    while (HF_OP(b, end).kind == HF_PASS && steps++ < most) end = HF_OP(b, end).next;
    if (steps > most) return op;
    for (; op != end; op = next) next = HF_OP(b, op).next, HF_OP(b, op).next = end;
    return end;
}

/* Two alternatives that begin alike are two readers until they differ, and one call each; calls within calls double
 * them each time. So what all ways on from a fork have in common is done once: FORK(EAT s x, EAT s y) becomes EAT s
 * FORK(x, y), and calls of one rule likewise. That makes new forks, which are looked at in turn; a pair of ways is
 * joined once. */
typedef struct hf_factor {
    int32_t *leaf; /* [HF_MOST_LEAVES]: the ways on from one fork */
    hf_list pairs; /* hf_pair: open addressing */
    hf_list todo;  /* int32_t: forks */
    size_t n_pairs, most_pairs;
} hf_factor;

typedef struct hf_pair {
    int32_t x, y, fork; /* fork: HF_NONE is a free place */
} hf_pair;

enum { HF_MOST_LEAVES = 256, HF_PAIRS = 1 << 15 };

/* The fork of two ways; a new one waits to be looked at. HF_NONE: there are too many. */
static int32_t hf_pair_of(hf_builder *b, hf_factor *f, int32_t x, int32_t y)
{
    uint32_t i = ((uint32_t)x * 0x9E3779B1u ^ (uint32_t)y * 0x85EBCA6Bu) >> 12 & (HF_PAIRS - 1);
    hf_pair *p;
    int32_t *wait;
    x = hf_skip(b, x), y = hf_skip(b, y);
    if (x == y) return x;
    for (; (p = (hf_pair *)f->pairs.data + i)->fork != HF_NONE; i = (i + 1) & (HF_PAIRS - 1))
        if (p->x == x && p->y == y) return p->fork;
    if (f->n_pairs >= f->most_pairs) return HF_NONE;
    p->x = x, p->y = y, p->fork = hf_op_new(b, HF_FORK, x, y), f->n_pairs++;
    wait = (int32_t *)hf_add(b, &f->todo, sizeof *wait, HF_MOST_OPS, "forks");
    if (wait) *wait = p->fork;
    return p->fork;
}

/* The ways on from a fork, through other forks; 0: too many. */
static int32_t hf_leaves(hf_builder *b, hf_factor *f, int32_t fork)
{
    int32_t stack[HF_MOST_LEAVES], depth = 0, n = 0, forks = 0;
    for (stack[depth++] = fork; depth > 0;) {
        int32_t op = stack[--depth];
        if (HF_OP(b, op).kind == HF_FORK) {
            if (depth + 2 > HF_MOST_LEAVES || ++forks > HF_MOST_LEAVES) return 0; /* or it is a circle */
            stack[depth++] = hf_skip(b, HF_OP(b, op).a), stack[depth++] = hf_skip(b, HF_OP(b, op).next);
            continue;
        }
        if (n == HF_MOST_LEAVES) return 0;
        f->leaf[n++] = op;
    }
    return n;
}

static int hf_begin_alike(const hf_op *x, const hf_op *y)
{
    return (x->kind == HF_EAT || x->kind == HF_CALL) && x->kind == y->kind && x->a == y->a && x->loop == y->loop;
}

static void hf_factor_fork(hf_builder *b, hf_factor *f, int32_t fork)
{
    int32_t n = hf_leaves(b, f, fork), i, k, kept = 0, merged = 0;
    for (i = 0; i < n && !b->status; i++) {
        int32_t next = HF_NONE;
        for (k = 0;
             k < kept && f->leaf[k] != f->leaf[i] && !hf_begin_alike(&HF_OP(b, f->leaf[k]), &HF_OP(b, f->leaf[i]));)
            k++;
        if (k < kept && f->leaf[k] != f->leaf[i]) {
            next = hf_pair_of(b, f, HF_OP(b, f->leaf[k]).next, HF_OP(b, f->leaf[i]).next);
            if (next == HF_NONE) return;
            merged = 1;
            f->leaf[k] = hf_op_new(b, HF_OP(b, f->leaf[k]).kind, next, HF_OP(b, f->leaf[k]).a);
            if (!b->status) HF_OP(b, f->leaf[k]).loop = HF_OP(b, f->leaf[i]).loop;
        } else if (k == kept) f->leaf[kept++] = f->leaf[i];
    }
    if (!merged || b->status) return;
    for (i = kept - 1, k = f->leaf[i]; i > 1; i--) k = hf_op_new(b, HF_FORK, f->leaf[i - 1], k);
    if (b->status) return;
    if (kept == 1) HF_OP(b, fork).kind = HF_PASS, HF_OP(b, fork).next = k;
    else HF_OP(b, fork).next = f->leaf[0], HF_OP(b, fork).a = k;
}

static void hf_factor_all(hf_builder *b)
{
    const harp_allocator *a = &b->allocator;
    int32_t leaves[HF_MOST_LEAVES];
    hf_factor f;
    size_t i, n = b->ops.n;
    memset(&f, 0, sizeof f);
    f.leaf = leaves, f.most_pairs = 64 + n / 4 < HF_PAIRS / 2 ? 64 + n / 4 : HF_PAIRS / 2;
    if (!hf_grow(a, &f.pairs, sizeof(hf_pair), HF_PAIRS))
        hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form");
    else memset(f.pairs.data, 0xFF, HF_PAIRS * sizeof(hf_pair));
    for (i = 0; i < n && !b->status; i++)
        if (HF_OP(b, i).kind == HF_FORK) hf_factor_fork(b, &f, (int32_t)i);
    for (i = 0; i < f.todo.n && !b->status; i++) hf_factor_fork(b, &f, ((int32_t *)f.todo.data)[i]);
    hf_release(a, &f.pairs), hf_release(a, &f.todo);
}

/* Leaves out what does nothing, and turns a call at the end of a rule into HF_TAIL: stacks stay low. */
static void hf_shorten(hf_builder *b)
{
    size_t i;
    for (i = 0; i < b->ops.n; i++) /* the end of what a {0} took out */
        if (HF_OP(b, i).kind == HF_PASS && HF_OP(b, i).next == HF_NONE) HF_OP(b, i).kind = HF_FAIL;
    hf_factor_all(b);
    for (i = 0; i < b->ops.n && !b->status; i++) {
        hf_op *op = &HF_OP(b, i);
        if (op->next != HF_NONE) op->next = hf_skip(b, op->next);
        if (op->kind == HF_FORK || op->kind == HF_MUST) op->a = hf_skip(b, op->a);
        if (op->kind == HF_CALL && HF_OP(b, op->next).kind == HF_RETURN) op->kind = HF_TAIL, op->next = HF_NONE;
    }
    for (i = 0; i < b->rules.n && !b->status; i++) HF_RULE(b, i) = hf_skip(b, HF_RULE(b, i));
}

static void hf_prove(hf_builder *b, int32_t start)
{
    const harp_allocator *a = &b->allocator;
    hf_graph g;
    size_t i, bytes;
    int32_t *scratch;
    for (i = 0; i < b->rules.n && !b->status; i++)
        if (HF_RULE(b, i) == HF_NONE) hf_refuse(b, HARP_ERR_FORMAT, "a rule is used but not defined");
    if (b->status) return;
    hf_shorten(b);
    if (b->status) return;
    memset(&g, 0, sizeof g);
    bytes = (b->ops.n + 1) * sizeof(int32_t);
    scratch = (int32_t *)a->alloc(a->user, bytes);
    if (!scratch || !hf_graph_open(b, &g)) hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form");
    else {
        hf_compute_needs(b, &g, scratch);
        hf_settle_properties(b);
        hf_compute_empty(b, &g);
        hf_settle_loops(b, g.pending);
        hf_refuse_left_recursion(b, &g, scratch);
        if (HF_OP(b, start).need == HF_NEVER)
            hf_refuse(b, HARP_ERR_UNSUPPORTED,
                      "no text has this form: something that must be there can never be complete");
    }
    hf_graph_close(b, &g);
    if (scratch) a->free(a->user, scratch, bytes);
}

/* Bytes that no set tells apart become one class: the automaton's tables are as wide as there are classes. */
static void hf_classify_bytes(harp_form *form)
{
    int32_t split[2][256], i;
    size_t s;
    memset(form->class_of, 0, sizeof form->class_of);
    form->n_classes = 1;
    for (s = 0; s < form->n_sets; s++) {
        memset(split, 0xFF, sizeof split);
        for (form->n_classes = 0, i = 0; i < 256; i++) { /* numbered anew, in the order of their first bytes */
            int32_t *c = &split[hf_set_has(&form->sets[s], (unsigned)i)][form->class_of[i]];
            if (*c == HF_NONE) *c = form->n_classes++;
            form->class_of[i] = (uint8_t)*c;
        }
    }
    for (i = 255; i >= 0; i--) form->one_of[form->class_of[i]] = (uint8_t)i;
}

/* A list as an array of just its size. */
static void *hf_keep(hf_builder *b, const hf_list *list, size_t *n)
{
    const harp_allocator *a = &b->allocator;
    void *data = NULL;
    *n = 0;
    if (b->status || list->n == 0) return NULL;
    data = a->alloc(a->user, list->n * list->each);
    if (!data) return hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form"), NULL;
    memcpy(data, list->data, list->n * list->each);
    *n = list->n;
    return data;
}

/* Makes a form of what was built and frees the rest. */
static harp_status hf_finish(hf_builder *b, int32_t rule, harp_form **form)
{
    const harp_allocator *a = &b->allocator;
    int32_t start = hf_call(b, rule, hf_op_new(b, HF_END, HF_NONE, 0));
    harp_form *f = NULL;
    hf_prove(b, start);
    if (!b->status && !(f = (harp_form *)a->alloc(a->user, sizeof *f)))
        hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form");
    if (f) {
        memset(f, 0, sizeof *f);
        f->allocator = *a, f->start = start;
        f->ops = (hf_op *)hf_keep(b, &b->ops, &f->n_ops), f->sets = (hf_set *)hf_keep(b, &b->sets, &f->n_sets);
        f->rules = (int32_t *)hf_keep(b, &b->rules, &f->n_rules);
        f->loops = (hf_loop *)hf_keep(b, &b->loops, &f->n_loops);
        f->masks = (uint64_t *)hf_keep(b, &b->masks, &f->n_masks);
        if (b->status) harp_form_close(f), f = NULL;
        else hf_classify_bytes(f);
    }
    hf_release(a, &b->ops), hf_release(a, &b->sets), hf_release(a, &b->rules), hf_release(a, &b->masks);
    hf_release(a, &b->names), hf_release(a, &b->properties), hf_release(a, &b->loops), hf_release(a, &b->rests);
    hf_release(a, &b->ranges), hf_release(a, &b->classes), hf_release(a, &b->class_hash);
    *form = f;
    return b->status;
}

HARP_API size_t harp_form_bytes(const harp_form *form)
{
    if (!form) return 0;
    return sizeof *form + form->n_ops * sizeof(hf_op) + form->n_sets * sizeof(hf_set) + form->n_loops * sizeof(hf_loop)
           + form->n_rules * sizeof(int32_t) + form->n_masks * sizeof(uint64_t);
}

HARP_API void harp_form_close(harp_form *form)
{
    harp_allocator a;
    if (!form) return;
    a = form->allocator;
    if (form->ops) a.free(a.user, form->ops, form->n_ops * sizeof(hf_op));
    if (form->sets) a.free(a.user, form->sets, form->n_sets * sizeof(hf_set));
    if (form->loops) a.free(a.user, form->loops, form->n_loops * sizeof(hf_loop));
    if (form->rules) a.free(a.user, form->rules, form->n_rules * sizeof(int32_t));
    if (form->masks) a.free(a.user, form->masks, form->n_masks * sizeof(uint64_t));
    a.free(a.user, form, sizeof *form);
}

/* ================================================================================================================
 * [F4] Characters
 *
 * A class is a set of code points, as sorted ranges; surrogates are none. Reading one of its characters means to read
 * the digits of a number between two others: bytes of UTF-8, hexadecimal digits of an escape, and, in [F8], decimal
 * ones. hf_between() builds that for all three.
 * ============================================================================================================= */

enum { HF_LAST_CODE = 0x10FFFF, HF_MOST_RANGES = 4096 };

/* Begins a class at the end of the list of ranges; hf_class_end() makes it one. */
static size_t hf_class_begin(hf_builder *b)
{
    if (!hf_grow(&b->allocator, &b->ranges, sizeof(hf_range), 1)) /* a class may be empty, the list has an address */
        hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form");
    return b->ranges.n;
}

static void hf_class_add(hf_builder *b, size_t begin, uint32_t lo, uint32_t hi)
{
    hf_range *r = b->ranges.n > begin ? (hf_range *)b->ranges.data + b->ranges.n - 1 : NULL;
    if (r && lo == r->hi + 1) {
        r->hi = hi;
        return;
    }
    r = (hf_range *)hf_add(b, &b->ranges, sizeof *r, b->ranges.n >= begin + HF_MOST_RANGES ? 0 : HF_MOST_OPS,
                           "ranges of characters");
    if (r) r->lo = lo, r->hi = hi;
}

/* Sorts and joins ranges; returns how many are left. */
static size_t hf_ranges_tidy(hf_range *r, size_t n)
{
    size_t i, k, kept = 0;
    for (i = 1; i < n; i++) {
        hf_range moved = r[i];
        for (k = i; k > 0 && r[k - 1].lo > moved.lo; k--) r[k] = r[k - 1];
        r[k] = moved;
    }
    for (i = 0; i < n; i++)
        if (kept > 0 && r[i].lo <= r[kept - 1].hi + 1)
            r[kept - 1].hi = r[i].hi > r[kept - 1].hi ? r[i].hi : r[kept - 1].hi;
        else r[kept++] = r[i];
    return kept;
}

static void hf_class_tidy(hf_builder *b, size_t begin)
{
    if (!b->status) b->ranges.n = begin + hf_ranges_tidy((hf_range *)b->ranges.data + begin, b->ranges.n - begin);
}

/* All characters that are not in the class that began at `begin`. */
static void hf_class_negate(hf_builder *b, size_t begin)
{
    uint32_t from = 0;
    size_t i, n;
    hf_class_tidy(b, begin);
    n = b->ranges.n;
    for (i = begin; i < n && !b->status; i++) {
        hf_range r = ((hf_range *)b->ranges.data)[i];
        if (r.lo > from) hf_class_add(b, n, from, r.lo - 1);
        from = r.hi + 1;
    }
    if (from <= HF_LAST_CODE) hf_class_add(b, n, from, HF_LAST_CODE);
    if (b->status) return;
    memmove((hf_range *)b->ranges.data + begin, (hf_range *)b->ranges.data + n, (b->ranges.n - n) * sizeof(hf_range));
    b->ranges.n -= n - begin;
}

/* Surrogates are half characters: no class has them. */
static void hf_class_drop_surrogates(hf_builder *b, size_t begin)
{
    size_t i, n = b->ranges.n;
    for (i = begin; i < n && !b->status; i++) {
        hf_range *r = (hf_range *)b->ranges.data + i;
        uint32_t hi = r->hi;
        if (r->lo > 0xDFFF || hi < 0xD800) continue;
        if (r->lo < 0xD800) {
            r->hi = 0xD7FF;
            if (hi > 0xDFFF) hf_class_add(b, b->ranges.n, 0xE000, hi);
        } else if (hi > 0xDFFF) r->lo = 0xE000;
        else *r = ((hf_range *)b->ranges.data)[--b->ranges.n], n--, i--;
    }
    hf_class_tidy(b, begin);
}

static int32_t *hf_class_slot(hf_builder *b, const hf_range *r, size_t n)
{
    size_t mask = b->class_hash.n - 1, i = hf_hash(r, n * sizeof *r) & mask;
    for (;; i = (i + 1) & mask) {
        int32_t *slot = (int32_t *)b->class_hash.data + i;
        if (*slot == HF_NONE) return slot;
        if ((size_t)HF_CLASS(b, *slot).n == n && memcmp(HF_RANGES(b, *slot), r, n * sizeof *r) == 0) return slot;
    }
}

/* The class that began at `begin`; one with the same characters is found again. */
static int32_t hf_class_end(hf_builder *b, size_t begin)
{
    hf_class *c;
    hf_range *r;
    int32_t *slot;
    size_t n;
    hf_class_tidy(b, begin);
    hf_class_drop_surrogates(b, begin);
    if (b->class_hash.n == 0 && !b->status) {
        if (!hf_grow(&b->allocator, &b->class_hash, sizeof(int32_t), 2 * HF_MOST_CLASSES))
            return hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form");
        b->class_hash.n = 2 * HF_MOST_CLASSES;
        memset(b->class_hash.data, 0xFF, b->class_hash.n * sizeof(int32_t));
    }
    if (b->status) return 0;
    r = (hf_range *)b->ranges.data + begin, n = b->ranges.n - begin;
    slot = hf_class_slot(b, r, n);
    if (*slot != HF_NONE) return b->ranges.n = begin, *slot;
    c = (hf_class *)hf_add(b, &b->classes, sizeof *c, HF_MOST_CLASSES, "classes of characters");
    if (!c) return 0;
    c->first = (int32_t)begin, c->n = (int32_t)n, c->spelled = HF_NONE;
    return *slot = (int32_t)b->classes.n - 1;
}

static int32_t hf_class_of_one(hf_builder *b, uint32_t code)
{
    size_t begin = hf_class_begin(b);
    hf_class_add(b, begin, code, code);
    return hf_class_end(b, begin);
}

static int32_t hf_class_of_all(hf_builder *b)
{
    size_t begin = hf_class_begin(b);
    hf_class_add(b, begin, 0, HF_LAST_CODE);
    return hf_class_end(b, begin);
}

/* ---- Numbers between two numbers ---- */

typedef enum hf_digits { HF_UTF8, HF_HEX, HF_DECIMAL } hf_digits; /* UTF8: bytes after the first */

static const struct hf_alphabet {
    uint8_t least, most;
} hf_alphabets[] = {{0x80, 0xBF}, {0, 15}, {0, 9}};

static int32_t hf_digit(hf_builder *b, hf_digits kind, int lo, int hi, int32_t next)
{
    hf_set set;
    int i;
    if (lo > hi) return HF_NONE;
    memset(&set, 0, sizeof set);
    for (i = lo; i <= hi; i++) {
        unsigned byte = (unsigned)(kind == HF_UTF8 ? i : i < 10 ? '0' + i : 'a' + i - 10);
        hf_set_add(&set, byte, byte);
        if (kind == HF_HEX && i >= 10) hf_set_add(&set, byte - 'a' + 'A', byte - 'a' + 'A');
    }
    return hf_eat_set(b, &set, next);
}

/* One of the numbers from lo[n] to hi[n], written in n digits, n <= 20. As long as all digits were those of lo, the
 * next must not be smaller; after a larger one all are free. The same with hi. */
static int32_t hf_between(hf_builder *b, hf_digits kind, int n, const uint8_t *lo, const uint8_t *hi, int32_t next)
{
    int least = hf_alphabets[kind].least, most = hf_alphabets[kind].most;
    int32_t any[21], low = next, high = next, start;
    int same = 0, j, low_is_any = 1, high_is_any = 1;
    while (same < n && lo[same] == hi[same]) same++;
    any[n] = next;
    for (j = n - 1; j > same; j--) {
        any[j] = hf_digit(b, kind, least, most, any[j + 1]);
        low_is_any = low_is_any && lo[j] == least, high_is_any = high_is_any && hi[j] == most;
        low = low_is_any
                  ? any[j]
                  : hf_either(b, hf_digit(b, kind, lo[j], lo[j], low), hf_digit(b, kind, lo[j] + 1, most, any[j + 1]));
        high = high_is_any ? any[j]
                           : hf_either(b, hf_digit(b, kind, hi[j], hi[j], high),
                                       hf_digit(b, kind, least, hi[j] - 1, any[j + 1]));
    }
    start = next;
    if (same < n) {
        int first = lo[same], last = hi[same];
        start = HF_NONE;
        if (!low_is_any) start = hf_digit(b, kind, first, first, low), first++;
        if (!high_is_any) start = hf_either(b, start, hf_digit(b, kind, last, last, high)), last--;
        start = hf_either(b, start, hf_digit(b, kind, first, last, any[same + 1]));
    }
    for (j = same - 1; j >= 0; j--) start = hf_digit(b, kind, lo[j], lo[j], start);
    return start;
}

/* ---- Characters as bytes ---- */

static int hf_to_utf8(uint32_t code, uint8_t *out)
{
    int n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4, i;
    static const uint8_t first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (i = n - 1; i > 0; i--, code >>= 6) out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)(first[n] | code);
    return n;
}

/* The character at text[*at], which moves on; HF_LAST_CODE + 1: not UTF-8, or the text ends. */
static uint32_t hf_from_utf8(const char *text, size_t bytes, size_t *at)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text + *at;
    size_t left = bytes - *at, n, i;
    uint32_t code;
    if (left == 0) return HF_LAST_CODE + 1;
    n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (n == 0 || n > left) return HF_LAST_CODE + 1;
    code = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
    for (i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return HF_LAST_CODE + 1;
        code = code << 6 | (p[i] & 0x3F);
    }
    if (code < least[n] || code > HF_LAST_CODE || (code >= 0xD800 && code <= 0xDFFF)) return HF_LAST_CODE + 1;
    return *at += n, code;
}

/* The part of range r from lo to hi into *part: 0 if there is none. */
static int hf_clip(const hf_range *r, uint32_t lo, uint32_t hi, hf_range *part)
{
    part->lo = r->lo > lo ? r->lo : lo, part->hi = r->hi < hi ? r->hi : hi;
    return part->lo <= part->hi;
}

/* A character of the class as UTF-8; in a JSON string, one that may stand there as itself. HF_NONE: there is none. */
static int32_t hf_utf8(hf_builder *b, int32_t class_index, int in_json, int32_t next)
{
    static const hf_range lengths[] = {{0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, HF_LAST_CODE}};
    int32_t start = HF_NONE, i, n = b->status ? 0 : HF_CLASS(b, class_index).n;
    hf_set ascii;
    hf_range part;
    int k;
    memset(&ascii, 0, sizeof ascii);
    for (i = 0; i < n && !b->status; i++) {
        hf_range r = HF_RANGES(b, class_index)[i];
        if (hf_clip(&r, 0, 0x7F, &part)) hf_set_add(&ascii, part.lo, part.hi);
        for (k = 0; k < 3; k++) {
            uint8_t lo[4], hi[4];
            if (!hf_clip(&r, lengths[k].lo, lengths[k].hi, &part)) continue;
            hf_to_utf8(part.lo, lo);
            start = hf_either(b, start, hf_between(b, HF_UTF8, hf_to_utf8(part.hi, hi), lo, hi, next));
        }
    }
    if (in_json) ascii.bits[0] = 0, ascii.bits[1] &= ~(1u << ('"' - 32)), ascii.bits[2] &= ~(1u << ('\\' - 64));
    if (ascii.bits[0] | ascii.bits[1] | ascii.bits[2] | ascii.bits[3])
        start = hf_either(b, hf_eat_set(b, &ascii, next), start);
    return start;
}

/* The digits of \uXXXX for units from lo to hi. */
static int32_t hf_unit(hf_builder *b, uint32_t lo, uint32_t hi, int32_t next)
{
    uint8_t low[4], high[4];
    int i;
    for (i = 3; i >= 0; i--, lo >>= 4, hi >>= 4) low[i] = (uint8_t)(lo & 15), high[i] = (uint8_t)(hi & 15);
    return hf_between(b, HF_HEX, 4, low, high, next);
}

/* Pairs of units for the characters from lo to hi, both above 0xFFFF: first units of which all second ones are wanted,
 * and at both ends perhaps one of which only some are. */
static int32_t hf_pairs(hf_builder *b, uint32_t lo, uint32_t hi, int32_t next)
{
    int32_t start = HF_NONE;
    uint32_t from, to;
    for (from = lo - 0x10000, hi -= 0x10000; from <= hi; from = to + 1) {
        to = from & 0x3FF || hi - from < 0x400 ? from | 0x3FF : hi - ((hi + 1) & 0x3FF);
        if (to > hi) to = hi;
        start = hf_either(
            b, start,
            hf_unit(b, 0xD800 + (from >> 10), 0xD800 + (to >> 10),
                    hf_eat_text(b, "\\u", 2, hf_unit(b, 0xDC00 + (from & 0x3FF), 0xDC00 + (to & 0x3FF), next))));
    }
    return start;
}

/* What follows a backslash. */
static int32_t hf_escape(hf_builder *b, int32_t class_index, int32_t next)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int32_t units = HF_NONE, start = HF_NONE, i, n = b->status ? 0 : HF_CLASS(b, class_index).n;
    hf_set set;
    hf_range part;
    int k, some = 0;
    memset(&set, 0, sizeof set);
    for (i = 0; i < n && !b->status; i++) {
        hf_range r = HF_RANGES(b, class_index)[i];
        for (k = 0; letters[k]; k++)
            if (hf_clip(&r, (uint32_t)meanings[k], (uint32_t)meanings[k], &part))
                hf_set_add(&set, (unsigned char)letters[k], (unsigned char)letters[k]), some = 1;
        if (hf_clip(&r, 0, 0xFFFF, &part)) units = hf_either(b, units, hf_unit(b, part.lo, part.hi, next));
        if (hf_clip(&r, 0x10000, HF_LAST_CODE, &part)) units = hf_either(b, units, hf_pairs(b, part.lo, part.hi, next));
    }
    if (some) start = hf_eat_set(b, &set, next);
    return hf_either(b, start, units == HF_NONE ? HF_NONE : hf_eat(b, 'u', 'u', units));
}

/* One character of the class in a JSON string, however it is spelled. */
static int32_t hf_json_character(hf_builder *b, int32_t class_index, int32_t next)
{
    int32_t plain = hf_utf8(b, class_index, 1, next), escaped = hf_escape(b, class_index, next);
    escaped = escaped == HF_NONE ? HF_NONE : hf_eat(b, '\\', '\\', escaped);
    plain = hf_either(b, plain, escaped);
    return plain == HF_NONE ? hf_op_new(b, HF_FAIL, HF_NONE, 0) : plain;
}

/* The same as a rule. */
static int32_t hf_spelled(hf_builder *b, int32_t class_index)
{
    int32_t rule, start;
    if (b->status) return 0;
    if (HF_CLASS(b, class_index).spelled != HF_NONE) return HF_CLASS(b, class_index).spelled;
    rule = hf_rule_new(b, "character", 9), start = hf_json_character(b, class_index, hf_return(b));
    if (b->status) return 0;
    HF_RULE(b, rule) = start;
    return HF_CLASS(b, class_index).spelled = rule;
}

/* ================================================================================================================
 * [F5] Grammars
 *
 * GBNF from left to right, with a stack for brackets. A fragment is a first instruction and a HF_PASS at its end; what
 * comes next is joined to that one.
 * ============================================================================================================= */

typedef struct hf_level { /* an open bracket, or the rule itself */
    int32_t entry;        /* the alternatives that are complete; HF_NONE: none yet */
    int32_t end;          /* where all of them end */
    int32_t first, last;  /* the present one: so far */
    int32_t before, item; /* its last item, and the instruction before that; HF_NONE: there is none to repeat */
} hf_level;

typedef struct hf_gbnf {
    hf_builder *b;
    const char *text;
    size_t bytes, at;
    hf_list rule_hash; /* int32_t: open addressing by name, a rule or HF_NONE */
    size_t n_rules;
    hf_level level[HF_MOST_NESTING];
    int depth;
} hf_gbnf;

static int hf_gbnf_peek(const hf_gbnf *g, size_t ahead)
{
    return g->at + ahead < g->bytes ? (unsigned char)g->text[g->at + ahead] : 0;
}

static int32_t hf_gbnf_refuse(hf_gbnf *g, const char *what)
{
    size_t i, line = 1, column = 1;
    for (i = 0; i < g->at && i < g->bytes; i++)
        line += g->text[i] == '\n', column = g->text[i] == '\n' ? 1 : column + 1;
    return hf_refuse(g->b, HARP_ERR_FORMAT, "grammar, line %lu, column %lu: %s", (unsigned long)line,
                     (unsigned long)column, what);
}

/* Blanks and comments; newlines, too, where they do not end a rule. */
static void hf_gbnf_blanks(hf_gbnf *g, int newlines)
{
    for (; g->at < g->bytes; g->at++) {
        char x = g->text[g->at];
        if (x == '#')
            while (g->at + 1 < g->bytes && g->text[g->at + 1] != '\n' && g->text[g->at + 1] != '\r') g->at++;
        else if (x != ' ' && x != '\t' && !(newlines && (x == '\n' || x == '\r'))) return;
    }
}

static int hf_is_name(int x)
{
    return (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9') || x == '-' || x == '_';
}

static size_t hf_gbnf_name(hf_gbnf *g)
{
    size_t begin = g->at;
    while (hf_is_name(hf_gbnf_peek(g, 0))) g->at++;
    return g->at - begin;
}

static int32_t hf_gbnf_rule(hf_gbnf *g, const char *name, size_t bytes)
{
    hf_builder *b = g->b;
    size_t mask, i, k;
    int32_t rule;
    if (2 * (g->n_rules + 1) > g->rule_hash.n) { /* twice as large, all names anew */
        size_t n = g->rule_hash.n ? 2 * g->rule_hash.n : 256;
        g->rule_hash.n = 0;
        if (!hf_grow(&b->allocator, &g->rule_hash, sizeof(int32_t), n))
            return hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form");
        g->rule_hash.n = n;
        memset(g->rule_hash.data, 0xFF, n * sizeof(int32_t));
        for (k = 0; k < b->names.n; k++) {
            const hf_name *known = (const hf_name *)b->names.data + k;
            if (!known->text) continue;
            for (i = hf_hash(known->text, known->bytes) & (n - 1); ((int32_t *)g->rule_hash.data)[i] != HF_NONE;)
                i = (i + 1) & (n - 1);
            ((int32_t *)g->rule_hash.data)[i] = (int32_t)k;
        }
    }
    mask = g->rule_hash.n - 1;
    for (i = hf_hash(name, bytes) & mask; (rule = ((int32_t *)g->rule_hash.data)[i]) != HF_NONE; i = (i + 1) & mask) {
        const hf_name *known = (const hf_name *)b->names.data + rule;
        if (known->bytes == bytes && memcmp(known->text, name, bytes) == 0) return rule;
    }
    g->n_rules++;
    return ((int32_t *)g->rule_hash.data)[i] = hf_rule_new(b, name, bytes);
}

static int hf_hex_value(int x)
{
    return x >= '0' && x <= '9'   ? x - '0'
           : x >= 'a' && x <= 'f' ? x - 'a' + 10
           : x >= 'A' && x <= 'F' ? x - 'A' + 10
                                  : -1;
}

/* n hexadecimal digits at text[*at], which moves on; HF_LAST_CODE + 1 if they are not there. */
static uint32_t hf_hex(const char *text, size_t bytes, size_t *at, int n)
{
    uint32_t code = 0;
    for (; n > 0; n--, ++*at) {
        int value = *at < bytes ? hf_hex_value((unsigned char)text[*at]) : -1;
        if (value < 0 || code > HF_LAST_CODE) return HF_LAST_CODE + 1;
        code = code << 4 | (uint32_t)value;
    }
    return code <= HF_LAST_CODE ? code : HF_LAST_CODE + 1;
}

/* A character of a text or a class. */
static uint32_t hf_gbnf_character(hf_gbnf *g)
{
    static const char letters[] = "nrt\"[]\\", meanings[] = "\n\r\t\"[]\\";
    uint32_t code = HF_LAST_CODE + 1;
    const char *found;
    int x;
    if (hf_gbnf_peek(g, 0) != '\\') code = hf_from_utf8(g->text, g->bytes, &g->at);
    else {
        x = hf_gbnf_peek(g, 1), g->at += 2;
        found = x ? strchr(letters, x) : NULL;
        if (found) code = (uint32_t)meanings[found - letters];
        else if (x == 'x' || x == 'u' || x == 'U')
            code = hf_hex(g->text, g->bytes, &g->at, x == 'x' ? 2 : x == 'u' ? 4 : 8);
        else
            return (uint32_t)hf_gbnf_refuse(
                g, "unknown escape: there are \\n \\r \\t \\\\ \\\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH");
    }
    if (code > HF_LAST_CODE) hf_gbnf_refuse(g, "this is not a character: the text is not UTF-8, or ends here");
    return code;
}

/* A fragment between `first`, which it begins with, and a new HF_PASS, which is returned. */
static int32_t hf_gbnf_text(hf_gbnf *g, int32_t first)
{
    hf_builder *b = g->b;
    int32_t last = first, end;
    for (g->at++; hf_gbnf_peek(g, 0) != '"' && !b->status;) {
        uint8_t bytes[4];
        uint32_t code;
        int n;
        if (g->at >= g->bytes) return hf_gbnf_refuse(g, "the text has no closing \"");
        code = hf_gbnf_character(g);
        if (b->status) return 0;
        if (code >= 0xD800 && code <= 0xDFFF) return hf_gbnf_refuse(g, "half a surrogate pair is no character");
        n = hf_to_utf8(code, bytes), end = hf_op_new(b, HF_PASS, HF_NONE, 0);
        hf_join(b, last, hf_eat_text(b, (const char *)bytes, (size_t)n, end));
        last = end;
    }
    return g->at++, last;
}

static int32_t hf_gbnf_class(hf_gbnf *g, int32_t first)
{
    hf_builder *b = g->b;
    size_t begin = hf_class_begin(b);
    int32_t end = hf_op_new(b, HF_PASS, HF_NONE, 0), start;
    int negated;
    if (hf_gbnf_peek(g, 0) == '.') hf_class_add(b, begin, 0, HF_LAST_CODE), g->at++;
    else {
        g->at++, negated = hf_gbnf_peek(g, 0) == '^', g->at += (size_t)negated;
        while (hf_gbnf_peek(g, 0) != ']' && !b->status) {
            uint32_t lo, hi;
            if (g->at >= g->bytes) return hf_gbnf_refuse(g, "the class has no closing ]");
            lo = hi = hf_gbnf_character(g);
            if (hf_gbnf_peek(g, 0) == '-' && hf_gbnf_peek(g, 1) != ']' && g->at + 1 < g->bytes)
                g->at++, hi = hf_gbnf_character(g);
            if (hi < lo) return hf_gbnf_refuse(g, "a range ends before it begins");
            hf_class_add(b, begin, lo, hi);
        }
        g->at++;
        if (negated) hf_class_negate(b, begin);
    }
    start = hf_utf8(b, hf_class_end(b, begin), 0, end);
    if (start == HF_NONE) start = hf_op_new(b, HF_FAIL, HF_NONE, 0);
    hf_join(b, first, start);
    return end;
}

/* The digits of a repetition; HF_NONE: there are none. */
static int32_t hf_gbnf_number(hf_gbnf *g)
{
    int32_t value = HF_NONE;
    for (; hf_gbnf_peek(g, 0) >= '0' && hf_gbnf_peek(g, 0) <= '9'; g->at++) {
        value = (value == HF_NONE ? 0 : value) * 10 + hf_gbnf_peek(g, 0) - '0';
        if (value > 1000000) return hf_gbnf_refuse(g, "a repetition of more than a million");
    }
    return value;
}

/* Replaces the last item by a repetition of it. */
static void hf_gbnf_repeat(hf_gbnf *g, int32_t least, int32_t most)
{
    hf_builder *b = g->b;
    hf_level *l = &g->level[g->depth];
    int32_t end, rule, start = l->item;
    if (l->item == HF_NONE) {
        hf_gbnf_refuse(g, "there is nothing before this repetition");
        return;
    }
    if (most != HF_NONE && most < least) {
        hf_gbnf_refuse(g, "a repetition's largest number is below its smallest");
        return;
    }
    end = hf_op_new(b, HF_PASS, HF_NONE, 0);
    if (most == 0) start = end;
    else if (least <= 1 && most == HF_NONE) { /* a loop: after a round, another one or the end */
        int32_t fork = hf_op_new(b, HF_FORK, start, end);
        hf_join(b, l->last, fork);
        if (least == 0) start = fork;
    } else if (least == 0 && most == 1) hf_join(b, l->last, end), start = hf_op_new(b, HF_FORK, start, end);
    else if (least == 1 && most == 1) hf_join(b, l->last, end);
    else {
        rule = hf_rule_new(b, NULL, 0);
        hf_join(b, l->last, hf_return(b));
        if (!b->status) HF_RULE(b, rule) = start;
        start = hf_call(b, hf_repeat(b, rule, least, most), end);
    }
    hf_join(b, l->before, start);
    l->item = start, l->last = end;
}

static void hf_gbnf_braces(hf_gbnf *g)
{
    int32_t least, most;
    g->at++, hf_gbnf_blanks(g, 0);
    least = most = hf_gbnf_number(g), hf_gbnf_blanks(g, 0);
    if (hf_gbnf_peek(g, 0) == ',') g->at++, hf_gbnf_blanks(g, 0), most = hf_gbnf_number(g), hf_gbnf_blanks(g, 0);
    else if (least == HF_NONE) hf_gbnf_refuse(g, "a repetition is {m}, {m,}, {,n} or {m,n}");
    if (hf_gbnf_peek(g, 0) != '}') hf_gbnf_refuse(g, "a repetition is {m}, {m,}, {,n} or {m,n}");
    g->at++;
    if (!g->b->status) hf_gbnf_repeat(g, least == HF_NONE ? 0 : least, most);
}

static void hf_gbnf_open(hf_gbnf *g)
{
    hf_level *l = &g->level[g->depth];
    l->entry = HF_NONE, l->before = l->item = HF_NONE;
    l->end = hf_op_new(g->b, HF_PASS, HF_NONE, 0);
    l->first = l->last = hf_op_new(g->b, HF_PASS, HF_NONE, 0);
}

/* The present alternative is complete. */
static void hf_gbnf_close(hf_gbnf *g)
{
    hf_level *l = &g->level[g->depth];
    hf_join(g->b, l->last, l->end);
    l->entry = hf_either(g->b, l->entry, l->first);
}

/* An item was read: it begins after `before`. */
static void hf_gbnf_item(hf_level *l, const hf_builder *b, int32_t last)
{
    if (b->status) return;
    l->before = l->last, l->item = HF_OP(b, l->last).next, l->last = last;
}

static void hf_gbnf_item_of_rule(hf_gbnf *g)
{
    hf_builder *b = g->b;
    hf_level *l = &g->level[g->depth];
    size_t begin = g->at, bytes = hf_gbnf_name(g);
    int32_t end = hf_op_new(b, HF_PASS, HF_NONE, 0);
    hf_join(b, l->last, hf_call(b, hf_gbnf_rule(g, g->text + begin, bytes), end));
    hf_gbnf_item(l, b, end);
}

/* A group is closed: to the level outside it is one item. */
static void hf_gbnf_group(hf_gbnf *g)
{
    hf_level *inner = &g->level[g->depth], *l;
    hf_gbnf_close(g);
    if (g->depth == 0) {
        hf_gbnf_refuse(g, "there is no ( for this )");
        return;
    }
    l = &g->level[--g->depth];
    hf_join(g->b, l->last, inner->entry);
    hf_gbnf_item(l, g->b, inner->end);
}

/* What a rule is, up to the newline that ends it. */
static int32_t hf_gbnf_alternatives(hf_gbnf *g)
{
    hf_builder *b = g->b;
    g->depth = 0;
    hf_gbnf_open(g);
    for (;;) {
        hf_level *l = &g->level[g->depth];
        int x;
        hf_gbnf_blanks(g, g->depth > 0);
        x = hf_gbnf_peek(g, 0);
        if (b->status) return 0;
        if (g->at >= g->bytes || x == '\n' || x == '\r') break;
        if (x == '"') hf_gbnf_item(l, b, hf_gbnf_text(g, l->last));
        else if (x == '[' || x == '.') hf_gbnf_item(l, b, hf_gbnf_class(g, l->last));
        else if (hf_is_name(x)) hf_gbnf_item_of_rule(g);
        else if (x == '*') g->at++, hf_gbnf_repeat(g, 0, HF_NONE);
        else if (x == '+') g->at++, hf_gbnf_repeat(g, 1, HF_NONE);
        else if (x == '?') g->at++, hf_gbnf_repeat(g, 0, 1);
        else if (x == '{') hf_gbnf_braces(g);
        else if (x == ')') g->at++, hf_gbnf_group(g);
        else if (x == '|') {
            hf_gbnf_close(g), g->at++, hf_gbnf_blanks(g, 1);
            l->first = l->last = hf_op_new(b, HF_PASS, HF_NONE, 0), l->before = l->item = HF_NONE;
        } else if (x == '(') {
            g->at++;
            if (g->depth + 1 == HF_MOST_NESTING) return hf_gbnf_refuse(g, "brackets are nested too deeply");
            g->depth++, hf_gbnf_open(g);
        } else return hf_gbnf_refuse(g, "this begins no item of a rule");
    }
    if (g->depth > 0) return hf_gbnf_refuse(g, "a ( is not closed before the rule ends");
    hf_gbnf_close(g);
    hf_join(b, g->level[0].end, hf_return(b));
    return g->level[0].entry;
}

static void hf_gbnf_definition(hf_gbnf *g)
{
    hf_builder *b = g->b;
    size_t begin = g->at, bytes = hf_gbnf_name(g);
    int32_t rule, start;
    if (bytes == 0) {
        hf_gbnf_refuse(g, "a rule begins with its name");
        return;
    }
    rule = hf_gbnf_rule(g, g->text + begin, bytes);
    hf_gbnf_blanks(g, 0);
    if (b->status) return;
    if (HF_RULE(b, rule) != HF_NONE) {
        g->at = begin, hf_gbnf_refuse(g, "this rule is defined a second time");
        return;
    }
    if (hf_gbnf_peek(g, 0) != ':' || hf_gbnf_peek(g, 1) != ':' || hf_gbnf_peek(g, 2) != '=') {
        hf_gbnf_refuse(g, "there must be a ::= after a rule's name");
        return;
    }
    g->at += 3, hf_gbnf_blanks(g, 1);
    start = hf_gbnf_alternatives(g);
    if (!b->status) HF_RULE(b, rule) = start;
}

static int32_t hf_gbnf_read(hf_gbnf *g)
{
    hf_builder *b = g->b;
    int32_t root = hf_gbnf_rule(g, "root", 4);
    size_t i;
    for (hf_gbnf_blanks(g, 1); g->at < g->bytes && !b->status; hf_gbnf_blanks(g, 1)) hf_gbnf_definition(g);
    for (i = 0; i < b->rules.n && !b->status; i++) {
        const hf_name *name = (const hf_name *)b->names.data + i;
        if (HF_RULE(b, i) == HF_NONE)
            hf_refuse(b, HARP_ERR_FORMAT, "grammar: the rule %.*s is %s", name->bytes < 80 ? (int)name->bytes : 80,
                      name->text, (int32_t)i == root ? "missing: it is what the text must be" : "used but not defined");
    }
    hf_release(&b->allocator, &g->rule_hash);
    return root;
}

static harp_status hf_check_text(const void *form, const char *text, size_t bytes, harp_error *err)
{
    if (!form || !text) return hf_fail(err, HARP_ERR_ARGUMENT, "form and text must not be NULL");
    if (bytes > HF_MOST_TEXT)
        return hf_fail(err, HARP_ERR_UNSUPPORTED, "the text has %lu bytes, more than %lu", (unsigned long)bytes,
                       (unsigned long)HF_MOST_TEXT);
    return HARP_OK;
}

HARP_API harp_status harp_form_grammar(harp_form **form, const char *text, size_t bytes,
                                       const harp_form_options *options, harp_error *err)
{
    hf_builder b;
    hf_gbnf g;
    harp_status status = hf_check_text(form, text, bytes, err);
    if (form) *form = NULL;
    if (status) return status;
    hf_builder_start(&b, options, err);
    memset(&g, 0, sizeof g);
    g.b = &b, g.text = text, g.bytes = bytes;
    return hf_finish(&b, hf_gbnf_read(&g), form);
}

HARP_API harp_status harp_form_choice(harp_form **form, const char *const *texts, int32_t n,
                                      const harp_form_options *options, harp_error *err)
{
    hf_builder b;
    int32_t i, rule, end, start = HF_NONE;
    if (form) *form = NULL;
    if (!form || !texts || n < 1 || n > HF_MOST_CHOICES)
        return hf_fail(err, HARP_ERR_ARGUMENT, "there must be 1 to %d texts to choose from", HF_MOST_CHOICES);
    hf_builder_start(&b, options, err);
    rule = hf_rule_new(&b, "choice", 6), end = hf_return(&b);
    for (i = 0; i < n; i++) {
        if (!texts[i] || !texts[i][0])
            hf_refuse(&b, HARP_ERR_ARGUMENT, "text %ld to choose from is empty", (long)i + 1);
        else start = hf_either(&b, hf_eat_text(&b, texts[i], strlen(texts[i]), end), start);
    }
    if (!b.status) HF_RULE(&b, rule) = start;
    return hf_finish(&b, rule, form);
}

/* ================================================================================================================
 * [F6] JSON
 *
 * The schema's text as nodes in the order of the text: a value's children follow it. An object's children are names and
 * values in turn. Strings are decoded to code points, for that is what lengths and patterns count.
 * ============================================================================================================= */

typedef enum hf_type { HF_NULL, HF_FALSE, HF_TRUE, HF_NUMBER, HF_STRING, HF_ARRAY, HF_OBJECT } hf_type;

typedef struct hf_node {
    hf_type type;
    int32_t parent, next; /* HF_NONE: none */
    int32_t n;            /* children; of an object, names and values; of a string, code points */
    int32_t at, bytes;    /* of a number, its text; of a string, its first code point */
} hf_node;

typedef struct hf_json {
    hf_builder *b;
    const char *text;
    size_t bytes, at;
    hf_list nodes, codes;
} hf_json;

#define HF_NODE(j, i) (((hf_node *)(j)->nodes.data)[i])
#define HF_CODES(j, i) ((uint32_t *)(j)->codes.data + HF_NODE(j, i).at)

static int32_t hf_json_refuse(hf_json *j, const char *what)
{
    return hf_refuse(j->b, HARP_ERR_FORMAT, "schema: not JSON at byte %lu: %s", (unsigned long)j->at, what);
}

static int hf_json_peek(const hf_json *j) { return j->at < j->bytes ? (unsigned char)j->text[j->at] : 0; }

static void hf_json_blanks(hf_json *j)
{
    while (j->at < j->bytes && strchr(" \t\r\n", j->text[j->at]) && j->text[j->at]) j->at++;
}

static int32_t hf_json_node(hf_json *j, hf_type type, int32_t parent)
{
    hf_node *node = (hf_node *)hf_add(j->b, &j->nodes, sizeof *node, HF_MOST_OPS, "JSON values");
    if (!node) return 0;
    node->type = type, node->parent = parent, node->next = HF_NONE, node->n = 0, node->at = 0, node->bytes = 0;
    return (int32_t)j->nodes.n - 1;
}

/* The character after a backslash. */
static uint32_t hf_json_escape(hf_json *j)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *found;
    uint32_t code, low;
    int x = hf_json_peek(j);
    j->at++, found = x ? strchr(letters, x) : NULL;
    if (found) return (uint32_t)meanings[found - letters];
    code = x == 'u' ? hf_hex(j->text, j->bytes, &j->at, 4) : HF_LAST_CODE + 1;
    if (code < 0xD800 || code > 0xDFFF) return code;
    if (code > 0xDBFF || hf_json_peek(j) != '\\' || j->at + 1 >= j->bytes || j->text[j->at + 1] != 'u')
        return HF_LAST_CODE + 1;
    j->at += 2, low = hf_hex(j->text, j->bytes, &j->at, 4);
    return low >= 0xDC00 && low <= 0xDFFF ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : HF_LAST_CODE + 1;
}

static int32_t hf_json_string(hf_json *j, int32_t parent)
{
    int32_t node = hf_json_node(j, HF_STRING, parent), first = (int32_t)j->codes.n;
    for (j->at++; hf_json_peek(j) != '"' && !j->b->status;) {
        uint32_t code = HF_LAST_CODE + 1, *put;
        if (j->at >= j->bytes) return hf_json_refuse(j, "a string has no end");
        if (hf_json_peek(j) == '\\') j->at++, code = hf_json_escape(j);
        else if (hf_json_peek(j) >= 0x20) code = hf_from_utf8(j->text, j->bytes, &j->at);
        if (code > HF_LAST_CODE) return hf_json_refuse(j, "a string holds what is not a character");
        put = (uint32_t *)hf_add(j->b, &j->codes, sizeof *put, HF_MOST_TEXT, "characters");
        if (put) *put = code;
    }
    j->at++;
    if (!j->b->status) HF_NODE(j, node).at = first, HF_NODE(j, node).n = (int32_t)j->codes.n - first;
    return node;
}

static size_t hf_json_digits(hf_json *j)
{
    size_t begin = j->at;
    while (hf_json_peek(j) >= '0' && hf_json_peek(j) <= '9') j->at++;
    return j->at - begin;
}

static int32_t hf_json_number(hf_json *j, int32_t parent)
{
    int32_t node = hf_json_node(j, HF_NUMBER, parent);
    size_t begin = j->at, whole;
    int zero, fine;
    if (hf_json_peek(j) == '-') j->at++;
    zero = hf_json_peek(j) == '0', whole = hf_json_digits(j), fine = whole > 0 && (!zero || whole == 1);
    if (hf_json_peek(j) == '.') j->at++, fine = hf_json_digits(j) > 0 && fine;
    if (hf_json_peek(j) == 'e' || hf_json_peek(j) == 'E') {
        j->at++;
        if (hf_json_peek(j) == '+' || hf_json_peek(j) == '-') j->at++;
        fine = hf_json_digits(j) > 0 && fine;
    }
    if (!fine) return hf_json_refuse(j, "this is not a value");
    if (!j->b->status) HF_NODE(j, node).at = (int32_t)begin, HF_NODE(j, node).bytes = (int32_t)(j->at - begin);
    return node;
}

/* A value that has no children, or the beginning of one that has. */
static int32_t hf_json_value(hf_json *j, int32_t parent)
{
    static const struct {
        const char *text;
        hf_type type;
    } words[] = {{"null", HF_NULL}, {"false", HF_FALSE}, {"true", HF_TRUE}};
    size_t i;
    switch (hf_json_peek(j)) {
    case '"': return hf_json_string(j, parent);
    case '[': return j->at++, hf_json_node(j, HF_ARRAY, parent);
    case '{': return j->at++, hf_json_node(j, HF_OBJECT, parent);
    default: break;
    }
    for (i = 0; i < 3; i++) {
        size_t n = strlen(words[i].text);
        if (j->bytes - j->at >= n && memcmp(j->text + j->at, words[i].text, n) == 0)
            return j->at += n, hf_json_node(j, words[i].type, parent);
    }
    return hf_json_number(j, parent);
}

/* Reads the whole text; its value is node 0. */
static void hf_json_read(hf_json *j)
{
    int32_t open = HF_NONE, last = HF_NONE; /* the innermost open bracket; its last child */
    int depth = 0;
    do {
        int32_t node;
        int close, x;
        hf_json_blanks(j), x = hf_json_peek(j);
        close = open == HF_NONE ? 0 : HF_NODE(j, open).type == HF_ARRAY ? ']' : '}';
        if (close && x == close && !(close == '}' && HF_NODE(j, open).n % 2)) { /* the bracket is the last child now */
            j->at++, depth--, last = open, open = HF_NODE(j, open).parent;
            continue;
        }
        if (last != HF_NONE) { /* between two children */
            int is_name = HF_NODE(j, open).type == HF_OBJECT && HF_NODE(j, open).n % 2 == 1;
            if (x != (is_name ? ':' : ',')) {
                hf_json_refuse(j, is_name ? "a : is missing" : "a , or the closing bracket is missing");
                return;
            }
            j->at++, hf_json_blanks(j), x = hf_json_peek(j);
        }
        if (close == '}' && HF_NODE(j, open).n % 2 == 0 && x != '"') {
            hf_json_refuse(j, "a name in \"\" is missing");
            return;
        }
        node = hf_json_value(j, open);
        if (j->b->status) return;
        if (open != HF_NONE) HF_NODE(j, open).n++;
        if (last != HF_NONE) HF_NODE(j, last).next = node;
        last = node;
        if (HF_NODE(j, node).type < HF_ARRAY) continue;
        if (++depth > HF_MOST_NESTING) {
            hf_json_refuse(j, "brackets are nested too deeply");
            return;
        }
        open = node, last = HF_NONE;
    } while (open != HF_NONE);
    hf_json_blanks(j);
    if (j->at < j->bytes) hf_json_refuse(j, "there is more after the value");
}

static int32_t hf_first(const hf_json *j, int32_t node) { return HF_NODE(j, node).n > 0 ? node + 1 : HF_NONE; }

static int hf_is(const hf_json *j, int32_t node, hf_type type) { return HF_NODE(j, node).type == type; }

static int hf_string_is(const hf_json *j, int32_t node, const char *text)
{
    const uint32_t *codes = HF_CODES(j, node);
    int32_t i, n = HF_NODE(j, node).n;
    if ((size_t)n != strlen(text)) return 0;
    for (i = 0; i < n; i++)
        if (codes[i] != (unsigned char)text[i]) return 0;
    return 1;
}

static int hf_same_string(const hf_json *j, int32_t a, int32_t b)
{
    int32_t n = HF_NODE(j, a).n;
    return n == HF_NODE(j, b).n
           && (n == 0 || memcmp(HF_CODES(j, a), HF_CODES(j, b), (size_t)n * sizeof(uint32_t)) == 0);
}

/* The value of an object's name; HF_NONE. */
static int32_t hf_get(const hf_json *j, int32_t object, const char *name)
{
    int32_t i;
    if (!hf_is(j, object, HF_OBJECT)) return HF_NONE;
    for (i = hf_first(j, object); i != HF_NONE; i = HF_NODE(j, HF_NODE(j, i).next).next)
        if (hf_string_is(j, i, name)) return HF_NODE(j, i).next;
    return HF_NONE;
}

/* A string as UTF-8 for a message, cut to fit, without what could control a terminal. */
static const char *hf_show(const hf_json *j, int32_t node, char *out, size_t room)
{
    const uint32_t *codes = HF_CODES(j, node);
    size_t at = 0;
    int32_t i;
    for (i = 0; i < HF_NODE(j, node).n && at + 8 < room; i++)
        if (codes[i] < 0x20 || (codes[i] >= 0x7F && codes[i] < 0xA0)) out[at++] = '?';
        else at += (size_t)hf_to_utf8(codes[i], (uint8_t *)out + at);
    if (i < HF_NODE(j, node).n) memcpy(out + at, "...", 3), at += 3;
    out[at] = 0;
    return out;
}

/* Where a node stands: "/properties/name", cut at the front to fit. */
static const char *hf_where(const hf_json *j, int32_t node, char *out, size_t room)
{
    char part[48];
    size_t at = room - 1, n;
    out[at] = 0;
    for (; node != HF_NONE && HF_NODE(j, node).parent != HF_NONE; node = HF_NODE(j, node).parent) {
        int32_t parent = HF_NODE(j, node).parent, i = hf_first(j, parent), index = 0;
        for (; i != node && HF_NODE(j, i).next != node; i = HF_NODE(j, i).next) index++;
        if (hf_is(j, parent, HF_OBJECT)) hf_show(j, i, part, sizeof part);
        else snprintf(part, sizeof part, "%ld", (long)(i == node ? 0 : index + 1));
        n = strlen(part);
        if (n + 4 > at) break;
        at -= n, memcpy(out + at, part, n), out[--at] = '/';
    }
    return out[at] ? out + at : "the whole";
}

/* A keyword, or what stands in it, is not supported. */
static int32_t hf_unsupported(const hf_json *j, int32_t node, const char *what)
{
    char where[96];
    return hf_refuse(j->b, HARP_ERR_UNSUPPORTED, "schema: at %s: %s", hf_where(j, node, where, sizeof where), what);
}

/* ---- Numbers of schemas: exactly, as digits and a power of ten ---- */

typedef struct hf_decimal {
    int negative, n; /* digits; 0 of them: zero */
    int32_t power;   /* the value is 0.DIGITS * 10^power */
    char digits[64];
} hf_decimal;

/* 0: more digits or a larger power than we compute with. */
static int hf_decimal_of(const hf_json *j, int32_t node, hf_decimal *d)
{
    const char *p = j->text + HF_NODE(j, node).at, *end = p + HF_NODE(j, node).bytes;
    int point = 0, zeros = 0;
    long power = 0;
    memset(d, 0, sizeof *d);
    if (*p == '-') d->negative = 1, p++;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') point = 1;
        else {
            if (!point && (d->n || *p != '0')) d->power++;
            if (point && !d->n && *p == '0') d->power--;
            if (*p == '0') zeros += d->n > 0;
            else {
                if (d->n + zeros >= (int)sizeof d->digits) return 0;
                for (; zeros > 0; zeros--) d->digits[d->n++] = '0';
                d->digits[d->n++] = *p;
            }
        }
    }
    if (p < end) {
        int sign = p[1] == '-' ? -1 : 1;
        for (p += 1 + (p[1] == '-' || p[1] == '+'); p < end; p++)
            if ((power = power * 10 + (*p - '0')) > 1000) return 0;
        d->power += (int32_t)(sign * power);
    }
    if (d->n == 0) d->negative = 0, d->power = 0;
    return d->power <= 60 && d->power >= -60;
}

static int hf_decimal_is_integer(const hf_decimal *d) { return d->power >= d->n; }

/* The integer at or below it (upwards 0), or at or above (1). 0: it has more than 18 digits. */
static int hf_decimal_round(const hf_decimal *d, int upwards, int64_t *value)
{
    int64_t whole = 0;
    int i;
    if (d->power > 18) return 0;
    for (i = 0; i < d->power; i++) whole = whole * 10 + (i < d->n ? d->digits[i] - '0' : 0);
    if (!hf_decimal_is_integer(d) && d->n && d->negative != upwards) whole++;
    *value = d->negative ? -whole : whole;
    return 1;
}

/* ================================================================================================================
 * [F7] Patterns
 *
 * The regular expressions of ECMA-262, as far as they are regular: no looking around, no references. A pattern becomes
 * states of its own, whose steps are characters: [F8] makes strings of them, of the lengths that the schema allows. A
 * counted repetition copies its item: the states of an item lie together and point nowhere else but to its end.
 * ============================================================================================================= */

enum { HF_MOST_STATES = 20000 };

typedef struct hf_state {
    int32_t class_index; /* >= 0: a step by one of its characters, to `next` */
    int32_t next, other; /* without a class: both, if not HF_NONE */
} hf_state;

typedef struct hf_group { /* an open group, or the pattern */
    int32_t begin, end;   /* its first state, and the end of its last complete alternative; HF_NONE: none yet */
    int32_t from, last;   /* of the present alternative: its fork, and the state that what comes next is joined to */
    int32_t item;         /* where its last item begins, HF_NONE: nothing to repeat */
} hf_group;

typedef struct hf_pattern {
    hf_builder *b;
    const hf_json *json;
    const uint32_t *text;
    int32_t n, at, node;
    hf_list states;
    int32_t start, end;
    hf_group group[HF_MOST_NESTING];
    int depth;
} hf_pattern;

#define HF_STATE(p, i) (((hf_state *)(p)->states.data)[i])

static int32_t hf_pattern_refuse(hf_pattern *p, const char *what)
{
    char where[96];
    return hf_refuse(p->b, HARP_ERR_UNSUPPORTED, "schema: at %s, character %ld of the pattern: %s",
                     hf_where(p->json, p->node, where, sizeof where), (long)p->at + 1, what);
}

static uint32_t hf_pattern_peek(const hf_pattern *p, int32_t ahead)
{
    return p->at + ahead < p->n ? p->text[p->at + ahead] : HF_LAST_CODE + 1;
}

static int32_t hf_state_new(hf_pattern *p, int32_t class_index, int32_t next)
{
    hf_state *s = (hf_state *)hf_add(p->b, &p->states, sizeof *s, HF_MOST_STATES, "states of a pattern");
    if (!s) return 0;
    s->class_index = class_index, s->next = next, s->other = HF_NONE;
    return (int32_t)p->states.n - 1;
}

static void hf_state_join(hf_pattern *p, int32_t from, int32_t to)
{
    if (p->b->status) return;
    if (HF_STATE(p, from).next == HF_NONE) HF_STATE(p, from).next = to;
    else HF_STATE(p, from).other = to;
}

/* \d \w \s and their opposites into the class that began at `begin`: 1 if the letter is one of them. */
static int hf_pattern_shorthand(hf_pattern *p, size_t begin, uint32_t letter)
{
    static const hf_range digits[] = {{'0', '9'}}, words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                          spaces[] = {{9, 13},          {32, 32},         {0xA0, 0xA0},     {0x1680, 0x1680},
                                      {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                      {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    const hf_range *r = digits;
    size_t n = 1, i;
    uint32_t from = 0, lower = letter | 0x20;
    if (lower == 'w') r = words, n = 4;
    else if (lower == 's') r = spaces, n = 10;
    else if (lower != 'd' || letter > 'z') return 0;
    if (letter > 'z') return 0;
    for (i = 0; i < n; i++) {
        if (letter == lower) hf_class_add(p->b, begin, r[i].lo, r[i].hi);
        else if (r[i].lo > from) hf_class_add(p->b, begin, from, r[i].lo - 1);
        from = r[i].hi + 1;
    }
    if (letter != lower) hf_class_add(p->b, begin, from, HF_LAST_CODE);
    return 1;
}

static uint32_t hf_pattern_hex(hf_pattern *p, int n)
{
    uint32_t code = 0;
    for (; n > 0; n--, p->at++) {
        uint32_t x = hf_pattern_peek(p, 0);
        int value = x < 128 ? hf_hex_value((int)x) : -1;
        if (value < 0) return (uint32_t)hf_pattern_refuse(p, "a hexadecimal digit is missing");
        code = code << 4 | (uint32_t)value;
    }
    return code;
}

/* The character of an escape; p->at is behind the backslash. */
static uint32_t hf_pattern_escape(hf_pattern *p, int in_class)
{
    static const char letters[] = "tnvfr", meanings[] = "\t\n\v\f\r";
    uint32_t x = hf_pattern_peek(p, 0), code = 0;
    const char *found = x < 128 && x ? strchr(letters, (int)x) : NULL;
    p->at++;
    if (found) return (uint32_t)meanings[found - letters];
    if (x == 'x') return hf_pattern_hex(p, 2);
    if (x == 'c' && (hf_pattern_peek(p, 0) | 0x20) >= 'a' && (hf_pattern_peek(p, 0) | 0x20) <= 'z')
        return p->text[p->at++] & 31;
    if (x == 'u' && hf_pattern_peek(p, 0) == '{') {
        for (p->at++; hf_pattern_peek(p, 0) != '}' && code <= HF_LAST_CODE && !p->b->status;)
            code = code << 4 | hf_pattern_hex(p, 1);
        p->at++;
        return code > HF_LAST_CODE ? (uint32_t)hf_pattern_refuse(p, "there is no such character") : code;
    }
    if (x == 'u') {
        code = hf_pattern_hex(p, 4);
        if (code >= 0xD800 && code <= 0xDBFF && hf_pattern_peek(p, 0) == '\\' && hf_pattern_peek(p, 1) == 'u')
            p->at += 2, code = 0x10000 + ((code - 0xD800) << 10) + (hf_pattern_hex(p, 4) - 0xDC00);
        return code;
    }
    if (x == '0' && !(hf_pattern_peek(p, 0) >= '0' && hf_pattern_peek(p, 0) <= '9')) return 0;
    if (in_class && x == 'b') return 8;
    if (x > HF_LAST_CODE) return (uint32_t)hf_pattern_refuse(p, "a backslash is the last character");
    if (x == 'b' || x == 'B') return (uint32_t)hf_pattern_refuse(p, "\\b and \\B (borders of words) are not supported");
    if (x == 'p' || x == 'P') return (uint32_t)hf_pattern_refuse(p, "\\p (properties of Unicode) is not supported");
    if ((x >= '0' && x <= '9') || x == 'k') return (uint32_t)hf_pattern_refuse(p, "references are not supported");
    if ((x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z')) return (uint32_t)hf_pattern_refuse(p, "unknown escape");
    return x;
}

static int32_t hf_pattern_class(hf_pattern *p)
{
    hf_builder *b = p->b;
    size_t begin = hf_class_begin(b);
    int negated = hf_pattern_peek(p, 1) == '^';
    for (p->at += 1 + negated; hf_pattern_peek(p, 0) != ']' && !b->status;) {
        uint32_t lo = hf_pattern_peek(p, 0), hi;
        if (lo > HF_LAST_CODE) return hf_pattern_refuse(p, "a [ has no ]");
        p->at++;
        if (lo == '\\') {
            if (hf_pattern_shorthand(p, begin, hf_pattern_peek(p, 0))) {
                p->at++;
                continue;
            }
            lo = hf_pattern_escape(p, 1);
        }
        hi = lo;
        if (hf_pattern_peek(p, 0) == '-' && hf_pattern_peek(p, 1) != ']' && p->at + 1 < p->n) {
            p->at++, hi = p->text[p->at++];
            if (hi == '\\') hi = strchr("dDwWsS", (int)(hf_pattern_peek(p, 0) & 127)) ? 0 : hf_pattern_escape(p, 1);
        }
        if (hi < lo) return hf_pattern_refuse(p, "a range ends before it begins");
        hf_class_add(b, begin, lo, hi);
    }
    p->at++;
    if (negated) hf_class_negate(b, begin);
    return hf_class_end(b, begin);
}

/* An item of one character: its class. */
static int32_t hf_pattern_character(hf_pattern *p)
{
    hf_builder *b = p->b;
    uint32_t x = hf_pattern_peek(p, 0);
    size_t begin;
    if (x == '[') return hf_pattern_class(p);
    begin = hf_class_begin(b), p->at++;
    if (x == '.') {
        hf_class_add(b, begin, '\n', '\n'), hf_class_add(b, begin, '\r', '\r'), hf_class_add(b, begin, 0x2028, 0x2029);
        hf_class_negate(b, begin);
    } else if (x != '\\') hf_class_add(b, begin, x, x);
    else if (hf_pattern_shorthand(p, begin, hf_pattern_peek(p, 0))) p->at++;
    else x = hf_pattern_escape(p, 0), hf_class_add(b, begin, x, x);
    return hf_class_end(b, begin);
}

/* Appends a copy of the states from `first` to before `end`, whose links within are its own. */
static void hf_pattern_copy(hf_pattern *p, int32_t first, int32_t end)
{
    int32_t moved = (int32_t)p->states.n - first, i;
    for (i = first; i < end && !p->b->status; i++) {
        hf_state s = HF_STATE(p, i);
        int32_t copy = hf_state_new(p, s.class_index, s.next == HF_NONE ? HF_NONE : s.next + moved);
        if (!p->b->status) HF_STATE(p, copy).other = s.other == HF_NONE ? HF_NONE : s.other + moved;
    }
}

/* The last item `least` to `most` times: its states, which are the newest, are copied before anything is joined to its
 * end. An item begins and ends with states of no class, from which one way leads on as yet. */
static void hf_pattern_repeat(hf_pattern *p, int32_t least, int32_t most)
{
    hf_group *g = &p->group[p->depth];
    int32_t first = g->item, length = g->last + 1 - first, copies, k, leave;
    if (first == HF_NONE) {
        hf_pattern_refuse(p, "there is nothing before this repetition");
        return;
    }
    if (most != HF_NONE && most < least) {
        hf_pattern_refuse(p, "a repetition's largest number is below its smallest");
        return;
    }
    copies = most > 1 ? most : most == HF_NONE && least > 1 ? least : 1;
    if (copies > HF_MOST_STATES / length) hf_pattern_refuse(p, "a repetition is too long");
    for (k = 1; k < copies && !p->b->status; k++) hf_pattern_copy(p, first, first + length);
    leave = hf_state_new(p, HF_NONE, HF_NONE);
    if (p->b->status) return;
    for (k = 0; k < copies; k++) {
        int32_t begin = first + k * length;
        hf_state_join(p, begin + length - 1, k + 1 < copies ? begin + length : leave);
        if (k >= least) hf_state_join(p, begin, leave);
    }
    if (most == HF_NONE) hf_state_join(p, leave - 1, leave - length);
    if (most == 0) HF_STATE(p, first).next = leave;
    g->last = leave, g->item = HF_NONE;
}

/* What follows is one item: a state before it, which a repetition can lead past it. */
static void hf_pattern_begin_item(hf_pattern *p)
{
    hf_group *g = &p->group[p->depth];
    int32_t state = hf_state_new(p, HF_NONE, HF_NONE);
    hf_state_join(p, g->last, state);
    g->item = g->last = state;
}

static void hf_pattern_step(hf_pattern *p, int32_t class_index)
{
    hf_group *g = &p->group[p->depth];
    int32_t end, step;
    hf_pattern_begin_item(p);
    step = hf_state_new(p, class_index, HF_NONE), end = hf_state_new(p, HF_NONE, HF_NONE);
    hf_state_join(p, g->last, step), hf_state_join(p, step, end);
    g->last = end;
}

/* Any characters: where a pattern is not tied to the beginning or the end of the text. */
static void hf_pattern_anything(hf_pattern *p)
{
    hf_pattern_step(p, hf_class_of_all(p->b));
    if (!p->b->status) hf_pattern_repeat(p, 0, HF_NONE);
}

/* A new alternative: a fork of which one way leads to it, and the other to the next one. */
static void hf_pattern_alternative(hf_pattern *p)
{
    hf_group *g = &p->group[p->depth];
    int32_t fork = hf_state_new(p, HF_NONE, HF_NONE);
    if (p->b->status) return;
    if (g->from == HF_NONE) HF_STATE(p, g->begin).next = fork;
    else HF_STATE(p, g->from).other = fork;
    g->from = g->last = fork, g->item = HF_NONE;
    if (p->depth > 0) return;
    if (hf_pattern_peek(p, 0) == '^') p->at++;
    else hf_pattern_anything(p), g->item = HF_NONE;
}

/* The alternative is complete: its end leads to the next one's, and at last to the group's. */
static void hf_pattern_end_alternative(hf_pattern *p)
{
    hf_group *g = &p->group[p->depth];
    int32_t end;
    if (p->depth == 0) {
        if (hf_pattern_peek(p, 0) == '$') {
            p->at++;
            if (p->at < p->n && hf_pattern_peek(p, 0) != '|') hf_pattern_refuse(p, "a $ inside is not supported");
        } else hf_pattern_anything(p);
    }
    end = hf_state_new(p, HF_NONE, HF_NONE);
    hf_state_join(p, g->last, end);
    if (p->b->status) return;
    if (g->end != HF_NONE) HF_STATE(p, g->end).next = end;
    g->end = end;
}

static void hf_pattern_open(hf_pattern *p)
{
    hf_group *g = &p->group[p->depth];
    g->begin = hf_state_new(p, HF_NONE, HF_NONE), g->end = g->from = HF_NONE;
    hf_pattern_alternative(p);
}

/* (  (?:  (?<name> */
static void hf_pattern_open_group(hf_pattern *p)
{
    p->at++;
    if (hf_pattern_peek(p, 0) == '?') {
        uint32_t x = hf_pattern_peek(p, 1), y = hf_pattern_peek(p, 2);
        if (x == '=' || x == '!' || (x == '<' && (y == '=' || y == '!')) || (x != ':' && x != '<')) {
            hf_pattern_refuse(p, "looking ahead or behind, (?= (?! (?<= (?<!, is not supported");
            return;
        }
        p->at += 2;
        if (x == '<')
            while (p->at < p->n && p->text[p->at++] != '>') continue;
    }
    if (p->depth + 1 == HF_MOST_NESTING) {
        hf_pattern_refuse(p, "groups are nested too deeply");
        return;
    }
    hf_pattern_begin_item(p);
    p->depth++;
    hf_pattern_open(p);
}

static void hf_pattern_close_group(hf_pattern *p)
{
    hf_group *inner = &p->group[p->depth], *g;
    if (p->depth == 0) {
        hf_pattern_refuse(p, "there is no ( for this )");
        return;
    }
    hf_pattern_end_alternative(p);
    g = &p->group[--p->depth], p->at++;
    hf_state_join(p, g->last, inner->begin); /* g->last is the state that begins the item */
    g->last = inner->end;
}

static int32_t hf_pattern_number(hf_pattern *p)
{
    int32_t value = HF_NONE;
    for (; hf_pattern_peek(p, 0) >= '0' && hf_pattern_peek(p, 0) <= '9'; p->at++) {
        value = (value == HF_NONE ? 0 : value) * 10 + (int32_t)(hf_pattern_peek(p, 0) - '0');
        if (value > HF_MOST_STATES) return hf_pattern_refuse(p, "a repetition is too long");
    }
    return value;
}

/* * + ? {m} {m,} {m,n}, and the ? after it, which does not change which texts match. */
static void hf_pattern_quantifier(hf_pattern *p)
{
    uint32_t x = p->text[p->at++];
    int32_t least = x == '+', most = x == '?' ? 1 : HF_NONE;
    if (x == '{') {
        least = most = hf_pattern_number(p);
        if (least == HF_NONE) hf_pattern_refuse(p, "a { that begins no repetition must be written \\{");
        if (hf_pattern_peek(p, 0) == ',') p->at++, most = hf_pattern_number(p);
        if (hf_pattern_peek(p, 0) != '}') hf_pattern_refuse(p, "a repetition is {m}, {m,} or {m,n}");
        p->at++;
    }
    if (hf_pattern_peek(p, 0) == '?') p->at++;
    if (!p->b->status) hf_pattern_repeat(p, least, most);
}

static void hf_pattern_item(hf_pattern *p)
{
    switch (hf_pattern_peek(p, 0)) {
    case '(': hf_pattern_open_group(p); break;
    case ')': hf_pattern_close_group(p); break;
    case '|': hf_pattern_end_alternative(p), p->at++, hf_pattern_alternative(p); break;
    case '*':
    case '+':
    case '?':
    case '{': hf_pattern_quantifier(p); break;
    case '^': hf_pattern_refuse(p, "a ^ inside is not supported"); break;
    case '$':
        if (p->depth > 0 || (p->at + 1 < p->n && hf_pattern_peek(p, 1) != '|'))
            hf_pattern_refuse(p, "a $ inside is not supported");
        else if (p->at + 1 < p->n) hf_pattern_end_alternative(p), p->at++, hf_pattern_alternative(p);
        break;
    case ']':
    case '}': hf_pattern_refuse(p, "a bracket that closes nothing must be written with a backslash"); break;
    default: hf_pattern_step(p, hf_pattern_character(p));
    }
}

static void hf_pattern_read(hf_pattern *p)
{
    hf_pattern_open(p);
    while (p->at < p->n && !p->b->status && !(p->depth == 0 && p->text[p->at] == '$' && p->at + 1 == p->n))
        hf_pattern_item(p);
    if (p->depth > 0) hf_pattern_refuse(p, "a ( has no )");
    if (p->b->status) return;
    hf_pattern_end_alternative(p);
    p->start = p->group[0].begin, p->end = p->group[0].end;
}

/* ================================================================================================================
 * [F8] Values
 *
 * Each of these builds a value that is followed by `next`.
 * ============================================================================================================= */

/* White space between two tokens. As a program writes: nothing, a blank, or a newline and an indentation. */
static int32_t hf_blanks(hf_builder *b, int32_t next)
{
    static const char all[] = " \t\r\n";
    enum { MOST_INDENTED = 20 };
    int32_t start = next, i;
    hf_set set;
    memset(&set, 0, sizeof set);
    if (b->every) {
        int32_t fork = hf_op_new(b, HF_FORK, HF_NONE, next);
        for (i = 0; i < 4; i++) hf_set_add(&set, (unsigned char)all[i], (unsigned char)all[i]);
        hf_join(b, fork, hf_eat_set(b, &set, fork));
        return fork;
    }
    for (i = 0; i < MOST_INDENTED; i++) start = hf_either(b, hf_eat(b, ' ', ' ', start), next);
    return hf_either(b, next, hf_either(b, hf_eat(b, ' ', ' ', next), hf_eat(b, '\n', '\n', start)));
}

/* The same, as a call of one rule: most places share it. */
static int32_t hf_gap(hf_builder *b, int32_t blanks, int32_t next)
{
    return b->every ? hf_blanks(b, next) : hf_call(b, blanks, next);
}

/* `least` to `most` decimal digits. */
static int32_t hf_some_digits(hf_builder *b, int least, int most, int32_t next)
{
    int32_t start = next, i;
    if (b->every) {
        int32_t fork = hf_op_new(b, HF_FORK, HF_NONE, next), digit = hf_eat(b, '0', '9', fork);
        hf_join(b, fork, digit);
        return least ? digit : fork;
    }
    for (i = most; i > 0; i--) {
        start = hf_eat(b, '0', '9', start);
        if (i > least) start = hf_either(b, start, next);
    }
    return start;
}

enum { HF_MOST_DIGITS = 15 };

static int32_t hf_number(hf_builder *b, int32_t next)
{
    hf_set set;
    int32_t exponent, digits, fraction, whole;
    memset(&set, 0, sizeof set);
    hf_set_add(&set, '+', '+'), hf_set_add(&set, '-', '-');
    digits = hf_some_digits(b, 1, 2, next);
    exponent = hf_either(b, digits, hf_eat_set(b, &set, digits));
    memset(&set, 0, sizeof set);
    hf_set_add(&set, 'e', 'e'), hf_set_add(&set, 'E', 'E');
    exponent = hf_either(b, next, hf_eat_set(b, &set, exponent));
    fraction = hf_either(b, exponent, hf_eat(b, '.', '.', hf_some_digits(b, 1, HF_MOST_DIGITS, exponent)));
    whole = hf_either(b, hf_eat(b, '0', '0', fraction),
                      hf_eat(b, '1', '9', hf_some_digits(b, 0, HF_MOST_DIGITS - 1, fraction)));
    return hf_either(b, whole, hf_eat(b, '-', '-', whole));
}

/* An integer is also written 1.0. */
static int32_t hf_fraction_of_zeros(hf_builder *b, int32_t next)
{
    int32_t fork, zero;
    if (!b->every) return next;
    fork = hf_op_new(b, HF_FORK, HF_NONE, next), zero = hf_eat(b, '0', '0', fork);
    hf_join(b, fork, zero);
    return hf_either(b, next, hf_eat(b, '.', '.', zero));
}

/* n digits, and up to `more` further ones. */
static int32_t hf_digits_from(hf_builder *b, int n, int more, int32_t next)
{
    int32_t start = hf_some_digits(b, 0, more, next);
    for (; n > 0; n--) start = hf_eat(b, '0', '9', start);
    return start;
}

/* The integers from lo to hi, 0 <= lo; `open`: there is no hi. */
static int32_t hf_natural(hf_builder *b, int64_t lo, int64_t hi, int open, int32_t next)
{
    uint8_t low[20], high[20];
    int32_t start = HF_NONE;
    int n, i;
    int64_t power = 1; /* the least number of n digits */
    for (n = 1; n <= 18 && (n == 1 || open || power <= hi); n++, power *= 10) {
        int64_t least = n == 1 ? 0 : power, most = power > INT64_MAX / 10 ? INT64_MAX : power * 10 - 1, from, to;
        from = lo > least ? lo : least, to = open || hi > most ? most : hi;
        if (from > to) continue;
        if (open && from == least && n > 1) { /* from here on, all numbers of n digits or more */
            int more = HF_MOST_DIGITS - n;
            return hf_either(b, start, hf_eat(b, '1', '9', hf_digits_from(b, n - 1, more > 0 ? more : 0, next)));
        }
        for (i = n - 1; i >= 0; i--, from /= 10, to /= 10) low[i] = (uint8_t)(from % 10), high[i] = (uint8_t)(to % 10);
        start = hf_either(b, start, hf_between(b, HF_DECIMAL, n, low, high, next));
    }
    return start == HF_NONE ? hf_op_new(b, HF_FAIL, HF_NONE, 0) : start;
}

typedef struct hf_bounds {
    int has_lo, has_hi;
    int64_t lo, hi;
} hf_bounds;

static int32_t hf_integer(hf_builder *b, const hf_bounds *r, int32_t next)
{
    int32_t start = HF_NONE, minus = HF_NONE;
    next = hf_fraction_of_zeros(b, next);
    if (!r->has_hi || r->hi >= 0) start = hf_natural(b, r->has_lo && r->lo > 0 ? r->lo : 0, r->hi, !r->has_hi, next);
    if (!r->has_lo || r->lo <= 0) /* -0 is an integer, but nobody writes it */
        minus = hf_natural(b,
                           r->has_hi && r->hi < 0 ? -r->hi
                           : b->every             ? 0
                                                  : 1,
                           r->has_lo ? -r->lo : 0, !r->has_lo, next);
    return hf_either(b, start, minus == HF_NONE ? HF_NONE : hf_eat(b, '-', '-', minus));
}

/* ---- Numbers between bounds ----
 *
 * With an exponent a number can be written in ways that no automaton compares; so bounds are for numbers without one. A
 * number between two others begins with an integer between theirs; where it is that of a bound, its fraction is
 * compared digit by digit. */

typedef struct hf_limit {
    int there, exclusive;
    int64_t whole;
    char digits[64]; /* of the fraction, as many as n */
    int n;
} hf_limit;

/* How the digits so far compare with a limit's. */
enum { HF_FREE, HF_TIGHT };

/* May a fraction end after `at` digits, all of which were those of the limits it is tight to? Zeros are missing. */
static int hf_may_stop(const hf_limit *lo, int low, const hf_limit *hi, int high, int at)
{
    int low_zero = at >= lo->n, high_zero = at >= hi->n; /* fractions have no zeros at their ends */
    return (low == HF_FREE || (low_zero && !lo->exclusive)) && (high == HF_FREE || !high_zero || !hi->exclusive);
}

/* The digits of a fraction from position `at` on, up to `most` of them. state[low][high] is what follows the next
 * digit, HF_NONE where nothing may. */
static int32_t hf_fraction_digit(hf_builder *b, const hf_limit *lo, int low, const hf_limit *hi, int high, int at,
                                 int32_t state[2][2])
{
    int from = low ? at < lo->n ? lo->digits[at] - '0' : 0 : 0, to = high ? at < hi->n ? hi->digits[at] - '0' : 0 : 9;
    int32_t start = HF_NONE;
    int digit;
    for (digit = from; digit <= to; digit++) {
        int stays_low = low && digit == from, stays_high = high && digit == to, last = digit;
        while (!stays_low && !stays_high && last < to - high) last++; /* the digits between have one way on */
        if (state[stays_low][stays_high] != HF_NONE)
            start = hf_either(b, start,
                              hf_eat(b, (unsigned)('0' + digit), (unsigned)('0' + last), state[stays_low][stays_high]));
        digit = last;
    }
    return start;
}

/* What follows an integer that is that of lo (low) or of hi (high) or of neither: perhaps a point and a fraction. */
static int32_t hf_bounded_fraction(hf_builder *b, const hf_limit *lo, int low, const hf_limit *hi, int high,
                                   int32_t next)
{
    int32_t state[2][2], before[2][2], first[2][2];
    int most = HF_MOST_DIGITS, at, l, h;
    if (b->every) most = lo->n > hi->n ? lo->n : hi->n;
    if (most == 0) most = 1; /* a point is followed by a digit */
    for (l = 0; l < 2; l++)
        for (h = 0; h < 2; h++) { /* all digits of the limits are there */
            state[l][h] = hf_may_stop(lo, l, hi, h, most) ? next : HF_NONE;
            if (b->every) { /* as many more as one likes */
                before[l][h] = hf_op_new(b, HF_FORK, HF_NONE, hf_op_new(b, HF_FAIL, HF_NONE, 0));
                first[l][h] = before[l][h];
            }
        }
    for (l = 0; l < 2 && b->every; l++)
        for (h = 0; h < 2; h++) {
            int32_t digits = hf_fraction_digit(b, lo, l, hi, h, most, first);
            if (b->status) return 0;
            HF_OP(b, first[l][h]).next = digits == HF_NONE ? hf_op_new(b, HF_FAIL, HF_NONE, 0) : digits;
            if (state[l][h] != HF_NONE) HF_OP(b, first[l][h]).a = next;
        }
    if (b->every) memcpy(state, first, sizeof state);
    for (at = most - 1; at >= 0; at--) {
        memcpy(before, state, sizeof before);
        for (l = 0; l < 2; l++)
            for (h = 0; h < 2; h++) {
                state[l][h] = hf_fraction_digit(b, lo, l, hi, h, at, before);
                if (at > 0 && hf_may_stop(lo, l, hi, h, at)) state[l][h] = hf_either(b, next, state[l][h]);
            }
    }
    at = state[low][high] == HF_NONE ? HF_NONE : hf_eat(b, '.', '.', state[low][high]);
    return hf_may_stop(lo, low, hi, high, 0) ? hf_either(b, next, at) : at;
}

/* The numbers from lo to hi, neither of which is negative. */
static int32_t hf_magnitude(hf_builder *b, const hf_limit *lo, const hf_limit *hi, int32_t next)
{
    int32_t start = HF_NONE, part;
    int64_t from = lo->whole + 1, to = hi->there ? hi->whole - 1 : 0;
    if (hi->there && hi->whole < lo->whole) return HF_NONE;
    if (!hi->there || from <= to)
        start = hf_natural(b, from, to, !hi->there, hf_bounded_fraction(b, lo, HF_FREE, hi, HF_FREE, next));
    part = hf_bounded_fraction(b, lo, HF_TIGHT, hi, hi->there && hi->whole == lo->whole ? HF_TIGHT : HF_FREE, next);
    if (part != HF_NONE) start = hf_either(b, start, hf_natural(b, lo->whole, lo->whole, 0, part));
    if (!hi->there || hi->whole == lo->whole) return start;
    part = hf_bounded_fraction(b, lo, HF_FREE, hi, HF_TIGHT, next);
    return part == HF_NONE ? start : hf_either(b, start, hf_natural(b, hi->whole, hi->whole, 0, part));
}

static hf_limit hf_limit_of(const hf_decimal *d, int exclusive)
{
    hf_limit l;
    int i, zeros = d->power < 0 ? -d->power : 0;
    memset(&l, 0, sizeof l);
    l.there = 1, l.exclusive = exclusive;
    for (i = 0; i < d->power; i++) l.whole = l.whole * 10 + (i < d->n ? d->digits[i] - '0' : 0);
    for (i = 0; i < zeros && d->n; i++) l.digits[l.n++] = '0';
    for (i = d->power > 0 ? d->power : 0; i < d->n && l.n < (int)sizeof l.digits; i++) l.digits[l.n++] = d->digits[i];
    return l;
}

/* The numbers between two bounds, each of which may be missing. */
static int32_t hf_bounded_number(hf_builder *b, const hf_decimal *lo, int lo_exclusive, const hf_decimal *hi,
                                 int hi_exclusive, int32_t next)
{
    hf_limit none, zero, low, high;
    int32_t start = HF_NONE, minus = HF_NONE;
    memset(&none, 0, sizeof none);
    zero = none, zero.there = 1;
    low = lo ? hf_limit_of(lo, lo_exclusive) : none, high = hi ? hf_limit_of(hi, hi_exclusive) : none;
    if (!hi || !hi->negative) start = hf_magnitude(b, lo && !lo->negative ? &low : &zero, &high, next);
    if (!lo || lo->negative || lo->n == 0) /* -0 is 0 */
        minus = hf_magnitude(b, hi && (hi->negative || hi->n == 0) ? &high : &zero, &low, next);
    return hf_either(b, start, minus == HF_NONE ? HF_NONE : hf_eat(b, '-', '-', minus));
}

/* Exactly this number. */
static int32_t hf_constant_number(hf_builder *b, const hf_decimal *d, int32_t next)
{
    int32_t start = next;
    int i, integer = hf_decimal_is_integer(d);
    if (!integer && b->every) { /* zeros after the last digit */
        start = hf_op_new(b, HF_FORK, HF_NONE, next);
        hf_join(b, start, hf_eat(b, '0', '0', start));
    }
    if (integer) start = hf_fraction_of_zeros(b, next);
    else {
        for (i = d->n - 1; i >= 0 && i >= d->power; i--) start = hf_eat_text(b, &d->digits[i], 1, start);
        for (i = d->power; i < 0; i++) start = hf_eat(b, '0', '0', start);
        start = hf_eat(b, '.', '.', start);
    }
    for (i = d->power - 1; i >= 0; i--) start = hf_eat_text(b, i < d->n ? &d->digits[i] : "0", 1, start);
    if (d->power <= 0) start = hf_eat(b, '0', '0', start);
    if (d->negative) return hf_eat(b, '-', '-', start);
    return d->n == 0 && b->every ? hf_either(b, start, hf_eat(b, '-', '-', start)) : start;
}

/* ---- Strings ---- */

typedef struct hf_rest_rule {
    int32_t least, most, rule;
} hf_rest_rule;

/* The rule for the rest of a string after its opening quote: least to most characters (HF_NONE: any number), and the
 * closing one. Strings of the same lengths share it. Characters count in the number of the call, and are written out
 * here, not called: that keeps shapes small where answers spend most of their time. */
static int32_t hf_rest(hf_builder *b, int32_t least, int32_t most)
{
    enum { MOST_COMPARED = 256 };
    hf_rest_rule *known = (hf_rest_rule *)b->rests.data;
    size_t i = b->rests.n, end_of_search = i > MOST_COMPARED ? i - MOST_COMPARED : 0, first;
    int32_t rule, end, again, fork, count;
    while (i-- > end_of_search)
        if (known[i].least == least && known[i].most == most) return known[i].rule;
    rule = hf_rule_new(b, "string", 6), first = b->ops.n;
    end = hf_eat(b, '"', '"', hf_return(b));
    if (most != HF_NONE && most < least) fork = hf_op_new(b, HF_FAIL, HF_NONE, 0);
    else if (least == 0 && most == HF_NONE) {
        fork = hf_op_new(b, HF_FORK, HF_NONE, end);
        hf_join(b, fork, hf_json_character(b, b->character, fork));
    } else {
        count = hf_op_new(b, HF_COUNT, HF_NONE, most == HF_NONE ? least : most);
        again = hf_json_character(b, b->character, count);
        if (most != HF_NONE) again = hf_op_new(b, HF_BELOW, again, most);
        fork = hf_op_new(b, HF_FORK, again, hf_op_new(b, HF_ATLEAST, end, least));
        hf_join(b, count, fork);
        hf_loop_new(b, first, least, most, HF_NONE, HF_NONE);
    }
    if (!b->status) HF_RULE(b, rule) = fork;
    known = (hf_rest_rule *)hf_add(b, &b->rests, sizeof *known, HF_MOST_RULES, "rules");
    if (known) known->least = least, known->most = most, known->rule = rule;
    return rule;
}

static int32_t hf_any_string(hf_builder *b, int32_t least, int32_t most, int32_t next)
{
    return hf_eat(b, '"', '"', hf_call(b, hf_rest(b, least, most), next));
}

/* A string that matches a pattern, of least to most characters: every state of the pattern once for each length. */
static int32_t hf_pattern_string(hf_builder *b, const hf_pattern *p, int32_t least, int32_t most, int32_t next)
{
    enum { MOST_PAIRS = 200000 };
    int32_t n = (int32_t)p->states.n, lengths = (most != HF_NONE ? most : least) + 1, first, s, c;
    int32_t end = hf_eat(b, '"', '"', next);
    if (b->status) return 0;
    if (most != HF_NONE && most < least) return hf_op_new(b, HF_FAIL, HF_NONE, 0);
    if (lengths > MOST_PAIRS / n)
        return hf_unsupported(p->json, p->node, "minLength or maxLength beside this pattern is too large");
    first = (int32_t)b->ops.n;
    for (s = 0; s < n * lengths && !b->status; s++) hf_op_new(b, HF_FAIL, HF_NONE, 0);
    for (s = 0; s < n; s++) {
        const hf_state *state = &HF_STATE(p, s);
        int32_t spelled = state->class_index >= 0 ? hf_spelled(b, state->class_index) : 0;
        for (c = 0; c < lengths && !b->status; c++) {
            hf_op *op = &HF_OP(b, first + s * lengths + c);
            int32_t after = c + 1 < lengths ? c + 1 : most == HF_NONE ? c : HF_NONE;
            if (s == p->end) {
                if (c >= least) op->kind = HF_PASS, op->next = end;
            } else if (state->class_index >= 0) {
                if (after != HF_NONE)
                    op->kind = HF_CALL, op->a = spelled, op->next = first + state->next * lengths + after;
            } else if (state->next != HF_NONE) {
                op->kind = HF_PASS, op->next = first + state->next * lengths + c;
                if (state->other != HF_NONE) op->kind = HF_FORK, op->a = first + state->other * lengths + c;
            }
        }
    }
    return hf_eat(b, '"', '"', first + p->start * lengths);
}

/* ---- Trees of names: the properties of an object, the strings of an enum ---- */

typedef struct hf_names {
    const hf_json *json;
    int32_t *node; /* [n] strings, sorted */
    int32_t *then; /* [n]: what follows the closing quote of each */
    int32_t n;
    int32_t other;     /* what follows that of any other string, HF_NONE: there must be no other */
    int32_t may_other; /* an instruction that must be possible for there to be another */
    int is_object;     /* names that were seen are not allowed again: bit i is that of name i */
} hf_names;

static int hf_compare_strings(const hf_json *j, int32_t a, int32_t b)
{
    const uint32_t *x = HF_CODES(j, a), *y = HF_CODES(j, b);
    int32_t n = HF_NODE(j, a).n, m = HF_NODE(j, b).n, i;
    for (i = 0; i < n && i < m; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return n < m ? -1 : n > m;
}

/* Sorts strings by merging longer and longer runs; `scratch` has room for n. */
static void hf_sort_strings(const hf_json *j, int32_t *list, int32_t n, int32_t *scratch)
{
    int32_t width, lo, a, c, k;
    for (width = 1; width < n; width *= 2) {
        for (lo = 0; lo < n; lo += 2 * width) {
            int32_t middle = lo + width < n ? lo + width : n, hi = middle + width < n ? middle + width : n;
            for (a = lo, c = middle, k = lo; k < hi; k++)
                scratch[k] =
                    c >= hi || (a < middle && hf_compare_strings(j, list[a], list[c]) <= 0) ? list[a++] : list[c++];
        }
        memcpy(list, scratch, (size_t)n * sizeof *list);
    }
}

/* A node of the tree that is to be built: the names from lo to before hi begin with the same `depth` characters. */
typedef struct hf_branch {
    int32_t lo, hi, depth, op;
} hf_branch;

static int32_t hf_unseen(hf_builder *b, int32_t lo, int32_t hi, int32_t next)
{
    int32_t op = hf_op_new(b, HF_UNSEEN, next, lo);
    if (!b->status) HF_OP(b, op).b = (uint8_t)hi;
    return op;
}

/* A way into names lo..hi-1, `op`: only while one of them is not seen, unless others may come. */
static int32_t hf_while_unseen(hf_builder *b, const hf_names *t, int32_t lo, int32_t hi, int32_t op)
{
    int32_t guarded;
    if (!t->is_object) return op;
    guarded = hf_unseen(b, lo, hi, op);
    if (t->other == HF_NONE) return guarded;
    return hf_either(b, guarded, hf_op_new(b, HF_MUST, op, t->may_other));
}

/* The ways on from one branch: its own end, its children, other characters. */
static int32_t hf_grow_branch(hf_builder *b, const hf_names *t, const hf_branch *branch, hf_list *todo, int32_t other)
{
    int32_t i = branch->lo, start = HF_NONE, end;
    size_t begin;
    if (HF_NODE(t->json, t->node[i]).n == branch->depth) {
        start = hf_eat(b, '"', '"', t->then[i]);
        if (t->is_object) start = hf_unseen(b, i, i + 1, start);
        i++;
    } else if (t->other != HF_NONE) start = hf_op_new(b, HF_MUST, hf_eat(b, '"', '"', t->other), t->may_other);
    begin = hf_class_begin(b);
    for (; i < branch->hi && !b->status; i = end) { /* once to know which characters are others */
        uint32_t code = HF_CODES(t->json, t->node[i])[branch->depth];
        for (end = i; end < branch->hi && HF_CODES(t->json, t->node[end])[branch->depth] == code;) end++;
        if (t->other != HF_NONE) hf_class_add(b, begin, code, code);
    }
    if (t->other != HF_NONE) {
        hf_class_negate(b, begin);
        start = hf_either(
            b, start, hf_op_new(b, HF_MUST, hf_call(b, hf_spelled(b, hf_class_end(b, begin)), other), t->may_other));
    }
    i = branch->lo + (HF_NODE(t->json, t->node[branch->lo]).n == branch->depth);
    for (; i < branch->hi && !b->status; i = end) { /* and once to go on */
        uint32_t code = HF_CODES(t->json, t->node[i])[branch->depth];
        int32_t pass = hf_op_new(b, HF_PASS, HF_NONE, 0),
                step = hf_call(b, hf_spelled(b, hf_class_of_one(b, code)), pass);
        hf_branch *child;
        for (end = i; end < branch->hi && HF_CODES(t->json, t->node[end])[branch->depth] == code;) end++;
        child = (hf_branch *)hf_add(b, todo, sizeof *child, HF_MOST_OPS, "branches");
        if (child) child->lo = i, child->hi = end, child->depth = branch->depth + 1, child->op = pass;
        start = hf_either(b, hf_while_unseen(b, t, i, end, step), start);
    }
    return start == HF_NONE ? hf_op_new(b, HF_FAIL, HF_NONE, 0) : start;
}

/* A string, from after its opening quote on. */
static int32_t hf_name_tree(hf_builder *b, const hf_names *t)
{
    hf_list todo;
    int32_t root = hf_op_new(b, HF_PASS, HF_NONE, 0), other = HF_NONE;
    size_t i;
    memset(&todo, 0, sizeof todo);
    if (t->other != HF_NONE)
        other = hf_call(b, hf_rest(b, 0, HF_NONE), t->other); /* it is none of the names any more */
    if (t->n == 0) hf_join(b, root, other != HF_NONE ? other : hf_op_new(b, HF_FAIL, HF_NONE, 0));
    else {
        hf_branch *first = (hf_branch *)hf_add(b, &todo, sizeof *first, HF_MOST_OPS, "branches");
        if (first) first->lo = 0, first->hi = t->n, first->depth = 0, first->op = root;
    }
    for (i = 0; i < todo.n && !b->status; i++) {
        hf_branch branch = ((hf_branch *)todo.data)[i];
        hf_join(b, branch.op, hf_grow_branch(b, t, &branch, &todo, other));
    }
    hf_release(&b->allocator, &todo);
    return root;
}

/* ================================================================================================================
 * [F9] Schemas
 *
 * Each part of a schema becomes a rule, for the types that are asked of it: {"anyOf": [...], "type": "string"} asks its
 * alternatives for strings alone. Rules wait in a list until they are built, so that parts may refer to each other in
 * any way, and nothing recurses. A constant is built as a schema would be that allows nothing else, for the properties
 * of a constant object, too, may come in any order.
 * ============================================================================================================= */

enum {
    HF_T_NULL = 1,
    HF_T_BOOLEAN = 2,
    HF_T_INTEGER = 4,
    HF_T_FRACTION = 8, /* a number is an integer or has a fraction */
    HF_T_STRING = 16,
    HF_T_ARRAY = 32,
    HF_T_OBJECT = 64,
    HF_T_NUMBER = HF_T_INTEGER | HF_T_FRACTION,
    HF_T_ALL = 127
};

typedef enum hf_of { HF_OF_SCHEMA, HF_OF_CONSTANT, HF_OF_ANYTHING } hf_of;

typedef struct hf_task {
    int32_t node, types, of; /* types: a sum of HF_T_... */
    int32_t rule;
} hf_task;

typedef struct hf_schema {
    hf_builder *b;
    hf_json json;
    hf_list tasks, task_hash;
    int32_t blanks;        /* the rule of white space */
    hf_list list, scratch; /* int32_t: nodes, while one part is built */
    hf_list thens;         /* int32_t */
} hf_schema;

/* The rule for a part, which is built later if it is new. */
static int32_t hf_part(hf_schema *s, int32_t node, int32_t types, hf_of of)
{
    hf_builder *b = s->b;
    int32_t key[3], *slot;
    hf_task *task;
    size_t i, mask, k;
    key[0] = node, key[1] = types, key[2] = (int32_t)of;
    if (2 * (s->tasks.n + 1) > s->task_hash.n) {
        size_t n = s->task_hash.n ? 2 * s->task_hash.n : 256;
        s->task_hash.n = 0;
        if (!hf_grow(&b->allocator, &s->task_hash, sizeof(int32_t), n))
            return hf_refuse(b, HARP_ERR_MEMORY, "there is not enough memory for the form");
        s->task_hash.n = n;
        memset(s->task_hash.data, 0xFF, n * sizeof(int32_t));
        for (k = 0; k < s->tasks.n; k++) {
            for (i = hf_hash((hf_task *)s->tasks.data + k, sizeof key) & (n - 1);
                 ((int32_t *)s->task_hash.data)[i] != HF_NONE;)
                i = (i + 1) & (n - 1);
            ((int32_t *)s->task_hash.data)[i] = (int32_t)k;
        }
    }
    mask = s->task_hash.n - 1;
    for (i = hf_hash(key, sizeof key) & mask; *(slot = (int32_t *)s->task_hash.data + i) != HF_NONE;
         i = (i + 1) & mask) {
        task = (hf_task *)s->tasks.data + *slot;
        if (memcmp(task, key, sizeof key) == 0) return task->rule;
    }
    task = (hf_task *)hf_add(b, &s->tasks, sizeof *task, HF_MOST_RULES, "parts of the schema");
    if (!task) return 0;
    task->node = node, task->types = types, task->of = (int32_t)of;
    task->rule = hf_rule_new(b, "in $ref", 7);
    *slot = (int32_t)s->tasks.n - 1;
    return ((hf_task *)s->tasks.data)[s->tasks.n - 1].rule;
}

static int32_t hf_part_of_schema(hf_schema *s, int32_t node)
{
    return node == HF_NONE ? hf_part(s, HF_NONE, HF_T_ALL, HF_OF_ANYTHING) : hf_part(s, node, HF_T_ALL, HF_OF_SCHEMA);
}

static int32_t hf_blank(hf_schema *s, int32_t next) { return hf_gap(s->b, s->blanks, next); }

/* ---- Keywords ---- */

typedef enum hf_group_of_keywords {
    HF_K_NOTE,  /* says nothing about the instance */
    HF_K_TYPE,  /* goes with all others */
    HF_K_WHOLE, /* is all that a schema says, but for its type */
    HF_K_PART   /* about one type */
} hf_group_of_keywords;

static const struct hf_keyword {
    const char *name;
    hf_group_of_keywords group;
    int32_t types; /* that it is about */
} hf_keywords[] = {
    {"title", HF_K_NOTE, 0},
    {"description", HF_K_NOTE, 0},
    {"default", HF_K_NOTE, 0},
    {"examples", HF_K_NOTE, 0},
    {"deprecated", HF_K_NOTE, 0},
    {"readOnly", HF_K_NOTE, 0},
    {"writeOnly", HF_K_NOTE, 0},
    {"$comment", HF_K_NOTE, 0},
    {"$schema", HF_K_NOTE, 0},
    {"$id", HF_K_NOTE, 0},
    {"$defs", HF_K_NOTE, 0},
    {"definitions", HF_K_NOTE, 0},
    {"contentEncoding", HF_K_NOTE, 0},
    {"contentMediaType", HF_K_NOTE, 0},
    {"contentSchema", HF_K_NOTE, 0},
    {"type", HF_K_TYPE, HF_T_ALL},
    {"$ref", HF_K_WHOLE, 0},
    {"enum", HF_K_WHOLE, 0},
    {"const", HF_K_WHOLE, 0},
    {"anyOf", HF_K_WHOLE, 0},
    {"oneOf", HF_K_WHOLE, 0},
    {"allOf", HF_K_WHOLE, 0},
    {"minLength", HF_K_PART, HF_T_STRING},
    {"maxLength", HF_K_PART, HF_T_STRING},
    {"pattern", HF_K_PART, HF_T_STRING},
    {"format", HF_K_PART, HF_T_STRING},
    {"minimum", HF_K_PART, HF_T_NUMBER},
    {"maximum", HF_K_PART, HF_T_NUMBER},
    {"exclusiveMinimum", HF_K_PART, HF_T_NUMBER},
    {"exclusiveMaximum", HF_K_PART, HF_T_NUMBER},
    {"items", HF_K_PART, HF_T_ARRAY},
    {"prefixItems", HF_K_PART, HF_T_ARRAY},
    {"additionalItems", HF_K_PART, HF_T_ARRAY},
    {"minItems", HF_K_PART, HF_T_ARRAY},
    {"maxItems", HF_K_PART, HF_T_ARRAY},
    {"uniqueItems", HF_K_PART, HF_T_ARRAY},
    {"properties", HF_K_PART, HF_T_OBJECT},
    {"required", HF_K_PART, HF_T_OBJECT},
    {"additionalProperties", HF_K_PART, HF_T_OBJECT},
};

enum { HF_N_KEYWORDS = sizeof hf_keywords / sizeof *hf_keywords };

static const struct hf_keyword *hf_keyword_of(const hf_json *j, int32_t name)
{
    int i;
    for (i = 0; i < HF_N_KEYWORDS; i++)
        if (hf_string_is(j, name, hf_keywords[i].name)) return &hf_keywords[i];
    return NULL;
}

/* "multipleOf is not supported" */
static int32_t hf_refuse_keyword(const hf_schema *s, int32_t name, const char *why)
{
    const hf_json *j = &s->json;
    char shown[48], where[96];
    return hf_refuse(s->b, HARP_ERR_UNSUPPORTED, "schema: \"%s\" %s (at %s)", hf_show(j, name, shown, sizeof shown),
                     why, hf_where(j, HF_NODE(j, name).parent, where, sizeof where));
}

/* "https://json-schema.org/..." */
static int hf_is_known_draft(const hf_json *j, int32_t node)
{
    static const char known[] = "://json-schema.org/";
    const uint32_t *codes;
    int32_t i, at;
    if (!hf_is(j, node, HF_STRING)) return 0;
    codes = HF_CODES(j, node), at = HF_NODE(j, node).n > 4 && codes[4] == 's' ? 5 : 4;
    for (i = 0; known[i]; i++)
        if (at + i >= HF_NODE(j, node).n || codes[at + i] != (unsigned char)known[i]) return 0;
    return 1;
}

/* Every keyword is known, is said once, and goes with the others. Returns the name of the one of HF_K_WHOLE, HF_NONE if
 * there is none. */
static int32_t hf_check_keywords(hf_schema *s, int32_t node)
{
    const hf_json *j = &s->json;
    int32_t i, whole = HF_NONE, part = HF_NONE;
    uint64_t said = 0;
    for (i = hf_first(j, node); i != HF_NONE && !s->b->status; i = HF_NODE(j, HF_NODE(j, i).next).next) {
        const struct hf_keyword *k = hf_keyword_of(j, i);
        uint64_t bit = k ? (uint64_t)1 << (k - hf_keywords) : 0;
        if (!k) return hf_refuse_keyword(s, i, "is not supported");
        if (said & bit) return hf_refuse_keyword(s, i, "stands twice");
        said |= bit;
        if (k->group == HF_K_WHOLE) {
            if (whole != HF_NONE) return hf_refuse_keyword(s, i, "beside another keyword of its kind is not supported");
            whole = i;
        }
        if (k->group == HF_K_PART) part = i;
        if (strcmp(k->name, "$schema") == 0 && !hf_is_known_draft(j, HF_NODE(j, i).next))
            return hf_refuse_keyword(s, i, "names rules for schemas that are not those of json-schema.org");
        if (strcmp(k->name, "$id") == 0 && HF_NODE(j, node).parent != HF_NONE)
            return hf_refuse_keyword(s, i, "is supported in the whole schema only");
    }
    if (whole != HF_NONE && part != HF_NONE)
        return hf_refuse_keyword(s, part, "beside $ref, enum, const, anyOf, oneOf or allOf is not supported");
    return whole;
}

static int32_t hf_type_by_name(hf_schema *s, int32_t node)
{
    static const struct {
        const char *name;
        int32_t types;
    } names[] = {{"null", HF_T_NULL},     {"boolean", HF_T_BOOLEAN}, {"integer", HF_T_INTEGER}, {"number", HF_T_NUMBER},
                 {"string", HF_T_STRING}, {"array", HF_T_ARRAY},     {"object", HF_T_OBJECT}};
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (hf_is(&s->json, node, HF_STRING) && hf_string_is(&s->json, node, names[i].name)) return names[i].types;
    hf_unsupported(&s->json, node, "there is no such type");
    return 0;
}

/* What "type" allows. */
static int32_t hf_types_of(hf_schema *s, int32_t node)
{
    int32_t type = hf_get(&s->json, node, "type"), types = 0, i;
    if (type == HF_NONE) return HF_T_ALL;
    if (!hf_is(&s->json, type, HF_ARRAY)) return hf_type_by_name(s, type);
    for (i = hf_first(&s->json, type); i != HF_NONE && !s->b->status; i = HF_NODE(&s->json, i).next)
        types |= hf_type_by_name(s, i);
    return types;
}

static int32_t hf_type_of_value(const hf_json *j, int32_t node)
{
    hf_decimal d;
    switch (HF_NODE(j, node).type) {
    case HF_NULL: return HF_T_NULL;
    case HF_FALSE:
    case HF_TRUE: return HF_T_BOOLEAN;
    case HF_STRING: return HF_T_STRING;
    case HF_ARRAY: return HF_T_ARRAY;
    case HF_OBJECT: return HF_T_OBJECT;
    default: return hf_decimal_of(j, node, &d) && !hf_decimal_is_integer(&d) ? HF_T_FRACTION : HF_T_INTEGER;
    }
}

/* A length or a number of items: the value of a keyword, `missing` if it is not there. */
static int32_t hf_count_of(hf_schema *s, int32_t node, const char *keyword, int32_t missing)
{
    enum { MOST_COUNT = 1000000000 };
    int32_t value = hf_get(&s->json, node, keyword);
    hf_decimal d;
    int64_t n = -1;
    if (value == HF_NONE) return missing;
    if (!hf_is(&s->json, value, HF_NUMBER) || !hf_decimal_of(&s->json, value, &d) || !hf_decimal_is_integer(&d)
        || !hf_decimal_round(&d, 0, &n) || n < 0 || n > MOST_COUNT)
        return hf_unsupported(&s->json, value, "this must be an integer from 0 to 10^9");
    return (int32_t)n;
}

/* ---- References ---- */

/* One more step of a JSON pointer: the member `name` [n] of a node. */
static int32_t hf_step_into(const hf_json *j, int32_t node, const uint32_t *name, int32_t n)
{
    int32_t i, index = 0, k;
    if (hf_is(j, node, HF_OBJECT)) {
        for (i = hf_first(j, node); i != HF_NONE; i = HF_NODE(j, HF_NODE(j, i).next).next)
            if (HF_NODE(j, i).n == n && (n == 0 || memcmp(HF_CODES(j, i), name, (size_t)n * sizeof *name) == 0))
                return HF_NODE(j, i).next;
        return HF_NONE;
    }
    if (!hf_is(j, node, HF_ARRAY) || n < 1 || n > 7 || (n > 1 && name[0] == '0')) return HF_NONE;
    for (k = 0; k < n; k++) {
        if (name[k] < '0' || name[k] > '9') return HF_NONE;
        index = index * 10 + (int32_t)(name[k] - '0');
    }
    for (i = hf_first(j, node); i != HF_NONE && index > 0; index--) i = HF_NODE(j, i).next;
    return i;
}

/* What "#/$defs/name" refers to. */
static int32_t hf_resolve(const hf_schema *s, int32_t ref)
{
    enum { MOST_NAME = 256 };
    const hf_json *j = &s->json;
    uint32_t name[MOST_NAME];
    const uint32_t *p;
    int32_t n, i, k, node = 0;
    if (!hf_is(j, ref, HF_STRING)) return hf_unsupported(j, ref, "a reference must be a string"), HF_NONE;
    p = HF_CODES(j, ref), n = HF_NODE(j, ref).n;
    if (n == 0 || p[0] != '#' || (n > 1 && p[1] != '/'))
        return hf_unsupported(j, ref, "only references within the schema, #/..., are supported"), HF_NONE;
    for (i = 1; i < n && node != HF_NONE;) {
        for (i++, k = 0; i < n && p[i] != '/' && k < MOST_NAME; k++) { /* ~1 is a /, ~0 a ~, %25 a % */
            name[k] = p[i++];
            if (name[k] == '~' && i < n) name[k] = p[i] == '1' ? '/' : '~', i++;
            else if (name[k] == '%' && i + 1 < n && p[i] < 128 && p[i + 1] < 128 && hf_hex_value((int)p[i]) >= 0
                     && hf_hex_value((int)p[i]) < 8 && hf_hex_value((int)p[i + 1]) >= 0)
                name[k] = (uint32_t)(hf_hex_value((int)p[i]) * 16 + hf_hex_value((int)p[i + 1])), i += 2;
        }
        node = hf_step_into(j, node, name, k);
    }
    if (node == HF_NONE || HF_NODE(j, node).type == HF_NULL)
        return hf_unsupported(j, ref, "this refers to nothing"), HF_NONE;
    return node;
}

/* ---- Alternatives that exclude one another ---- */

/* Which types a schema can have; without looking into its parts. */
static int32_t hf_possible_types(hf_schema *s, int32_t node)
{
    const hf_json *j = &s->json;
    int32_t list, i, types = 0, hops;
    for (hops = 0; hops < 16 && hf_get(j, node, "$ref") != HF_NONE; hops++) {
        node = hf_resolve(s, hf_get(j, node, "$ref"));
        if (node == HF_NONE) return 0;
    }
    if (hf_is(j, node, HF_FALSE)) return 0;
    if (!hf_is(j, node, HF_OBJECT)) return HF_T_ALL;
    if (hf_get(j, node, "const") != HF_NONE) return hf_type_of_value(j, hf_get(j, node, "const"));
    list = hf_get(j, node, "enum");
    if (list == HF_NONE || !hf_is(j, list, HF_ARRAY)) return hf_types_of(s, node);
    for (i = hf_first(j, list); i != HF_NONE; i = HF_NODE(j, i).next) types |= hf_type_of_value(j, i);
    return types & hf_types_of(s, node);
}

/* 1 if two values are certainly different; arrays and objects are not compared. */
static int hf_different(const hf_json *j, int32_t a, int32_t b)
{
    hf_decimal x, y;
    if (!(hf_type_of_value(j, a) & hf_type_of_value(j, b))) return 1;
    switch (HF_NODE(j, a).type) {
    case HF_FALSE:
    case HF_TRUE: return HF_NODE(j, a).type != HF_NODE(j, b).type;
    case HF_STRING: return !hf_same_string(j, a, b);
    case HF_NUMBER:
        if (!hf_decimal_of(j, a, &x) || !hf_decimal_of(j, b, &y)) return 0;
        return x.negative != y.negative || x.n != y.n || x.power != y.power
               || memcmp(x.digits, y.digits, (size_t)x.n) != 0;
    default: return 0;
    }
}

/* The values of an enum or a const: the first, and whether there are more behind it. HF_NONE: it is neither. */
static int32_t hf_first_constant(const hf_json *j, int32_t node, int *listed)
{
    int32_t list = hf_get(j, node, "enum");
    *listed = list != HF_NONE && hf_is(j, list, HF_ARRAY);
    return *listed ? hf_first(j, list) : hf_get(j, node, "const");
}

enum { HF_MOST_COMPARED = 256 }; /* more properties or values are not compared with each other */

static int hf_exclude_by_value(const hf_json *j, int32_t a, int32_t b)
{
    int more_a, more_b;
    int32_t x = hf_first_constant(j, a, &more_a), y = hf_first_constant(j, b, &more_b);
    if (x == HF_NONE || y == HF_NONE) return 0;
    if ((more_a && HF_NODE(j, HF_NODE(j, x).parent).n > HF_MOST_COMPARED)
        || (more_b && HF_NODE(j, HF_NODE(j, y).parent).n > HF_MOST_COMPARED))
        return 0;
    for (; x != HF_NONE; x = more_a ? HF_NODE(j, x).next : HF_NONE)
        for (y = hf_first_constant(j, b, &more_b); y != HF_NONE; y = more_b ? HF_NODE(j, y).next : HF_NONE)
            if (!hf_different(j, x, y)) return 0;
    return 1;
}

static int hf_requires(const hf_json *j, int32_t node, int32_t name)
{
    int32_t list = hf_get(j, node, "required"), i;
    if (list == HF_NONE || !hf_is(j, list, HF_ARRAY)) return 0;
    for (i = hf_first(j, list); i != HF_NONE; i = HF_NODE(j, i).next)
        if (hf_is(j, i, HF_STRING) && hf_same_string(j, i, name)) return 1;
    return 0;
}

/* Objects that must have the same property with values that exclude one another: {"kind": {"const": "circle"}}. */
static int hf_exclude_by_property(hf_schema *s, int32_t a, int32_t b)
{
    const hf_json *j = &s->json;
    int32_t mine = hf_get(j, a, "properties"), other = hf_get(j, b, "properties"), i, k;
    if ((hf_possible_types(s, a) & hf_possible_types(s, b)) != HF_T_OBJECT) return 0;
    if (mine == HF_NONE || other == HF_NONE || !hf_is(j, mine, HF_OBJECT) || !hf_is(j, other, HF_OBJECT)) return 0;
    if (HF_NODE(j, mine).n > HF_MOST_COMPARED || HF_NODE(j, other).n > HF_MOST_COMPARED) return 0;
    for (i = hf_first(j, mine); i != HF_NONE; i = HF_NODE(j, HF_NODE(j, i).next).next)
        for (k = hf_first(j, other); k != HF_NONE; k = HF_NODE(j, HF_NODE(j, k).next).next)
            if (hf_same_string(j, i, k) && hf_requires(j, a, i) && hf_requires(j, b, k)
                && (hf_exclude_by_value(j, HF_NODE(j, i).next, HF_NODE(j, k).next)
                    || !(hf_possible_types(s, HF_NODE(j, i).next) & hf_possible_types(s, HF_NODE(j, k).next))))
                return 1;
    return 0;
}

static int32_t hf_follow(hf_schema *s, int32_t node)
{
    int32_t hops, ref;
    for (hops = 0; hops < 16 && node != HF_NONE && (ref = hf_get(&s->json, node, "$ref")) != HF_NONE; hops++)
        node = hf_resolve(s, ref);
    return node;
}

/* "oneOf" wants exactly one alternative to match; an automaton says whether any does. That is the same if no two can.
 */
static void hf_check_exclusion(hf_schema *s, int32_t list)
{
    enum { MOST_ALTERNATIVES = 64 };
    const hf_json *j = &s->json;
    int32_t a, b;
    char where[96];
    if (HF_NODE(j, list).n > MOST_ALTERNATIVES) {
        hf_unsupported(j, list, "\"oneOf\" of more than 64 alternatives is not supported");
        return;
    }
    for (a = hf_first(j, list); a != HF_NONE && !s->b->status; a = HF_NODE(j, a).next)
        for (b = HF_NODE(j, a).next; b != HF_NONE && !s->b->status; b = HF_NODE(j, b).next) {
            int32_t x = hf_follow(s, a), y = hf_follow(s, b);
            if (x == HF_NONE || y == HF_NONE) return;
            if (!(hf_possible_types(s, x) & hf_possible_types(s, y)) || hf_exclude_by_value(j, x, y)
                || hf_exclude_by_property(s, x, y))
                continue;
            hf_refuse(s->b, HARP_ERR_UNSUPPORTED,
                      "schema: \"oneOf\" at %s has alternatives that may both match: give them "
                      "different types, or a required property with different \"const\", or say \"anyOf\"",
                      hf_where(j, list, where, sizeof where));
        }
}

/* ---- Building a part ---- */

static int32_t hf_build_array(hf_schema *s, int32_t prefix, int32_t items, hf_of of, int32_t least, int32_t most)
{
    hf_builder *b = s->b;
    const hf_json *j = &s->json;
    int32_t end = hf_eat(b, ']', ']', hf_return(b)), list = HF_NONE, i, n = 0, rest, start, rule, call, *kept;
    s->list.n = 0;
    for (i = prefix; i != HF_NONE && !b->status; i = HF_NODE(j, i).next, n++) {
        kept = (int32_t *)hf_add(b, &s->list, sizeof *kept, HF_MOST_OPS, "items");
        if (kept) *kept = i;
    }
    if (b->status) return 0;
    if (most != HF_NONE && most < least) return hf_op_new(b, HF_FAIL, HF_NONE, 0);
    /* what follows the n items of the prefix: further ones, each after a comma; or before the first, if n is 0 */
    rest = least <= n ? end : HF_NONE;
    if (items != -2 && (most == HF_NONE || most > n)) {
        int32_t left = most == HF_NONE ? HF_NONE : most - n, need = least > n ? least - n : 0;
        rule = hf_rule_new(b, NULL, 0);
        call =
            hf_call(b, hf_part(s, items, HF_T_ALL, items == HF_NONE ? HF_OF_ANYTHING : of), hf_blank(s, hf_return(b)));
        if (n > 0) call = hf_eat(b, ',', ',', hf_blank(s, call));
        if (!b->status) HF_RULE(b, rule) = call;
        if (n > 0) list = hf_call(b, hf_repeat(b, rule, need, left), end);
        else { /* the first has no comma before it */ int32_t more = hf_rule_new(b, NULL, 0);
            call = hf_eat(b, ',', ',', hf_blank(s, hf_op_new(b, HF_TAIL, HF_NONE, rule)));
            if (!b->status) HF_RULE(b, more) = call;
            list = left == 1
                       ? end
                       : hf_call(b, hf_repeat(b, more, need > 1 ? need - 1 : 0, left == HF_NONE ? HF_NONE : left - 1),
                                 end);
            list = hf_call(b, rule, list);
        }
        rest = hf_either(b, rest, list);
    }
    if (rest == HF_NONE) rest = hf_op_new(b, HF_FAIL, HF_NONE, 0);
    for (start = rest, i = n - 1; i >= 0 && !b->status; i--) {
        int32_t node = ((int32_t *)s->list.data)[i];
        call = most != HF_NONE && i >= most ? HF_NONE : hf_call(b, hf_part(s, node, HF_T_ALL, of), hf_blank(s, start));
        if (i > 0 && call != HF_NONE) call = hf_eat(b, ',', ',', hf_blank(s, call));
        start = hf_either(b, call, least <= i ? end : HF_NONE);
        if (start == HF_NONE) start = hf_op_new(b, HF_FAIL, HF_NONE, 0);
    }
    return hf_eat(b, '[', '[', hf_blank(s, start));
}

/* A list of names, sorted, each once: into s->list. */
static int32_t hf_sort_names(hf_schema *s)
{
    int32_t *list = (int32_t *)s->list.data, n = (int32_t)s->list.n, i, kept = 0;
    if (n == 0) return 0;
    if (!hf_grow(&s->b->allocator, &s->scratch, sizeof *list, s->list.n))
        return hf_refuse(s->b, HARP_ERR_MEMORY, "there is not enough memory for the form");
    hf_sort_strings(&s->json, list, n, (int32_t *)s->scratch.data);
    for (i = 0; i < n; i++)
        if (kept == 0 || hf_compare_strings(&s->json, list[kept - 1], list[i]) != 0) list[kept++] = list[i];
    s->list.n = (size_t)kept;
    return kept;
}

static void hf_keep_names(hf_schema *s, int32_t first, int stride)
{
    int32_t i, *kept;
    for (i = first; i != HF_NONE && !s->b->status;
         i = stride == 1 ? HF_NODE(&s->json, i).next : HF_NODE(&s->json, HF_NODE(&s->json, i).next).next) {
        if (!hf_is(&s->json, i, HF_STRING)) {
            hf_unsupported(&s->json, i, "a name must be a string");
            return;
        }
        kept = (int32_t *)hf_add(s->b, &s->list, sizeof *kept, HF_MOST_OPS, "names");
        if (kept) *kept = i;
    }
}

/* The value of a name in an object of the schema; HF_NONE: there is none. */
static int32_t hf_value_of_name(const hf_json *j, int32_t object, int32_t name)
{
    int32_t i = object == HF_NONE ? HF_NONE : hf_first(j, object);
    for (; i != HF_NONE; i = HF_NODE(j, HF_NODE(j, i).next).next)
        if (hf_same_string(j, i, name)) return HF_NODE(j, i).next;
    return HF_NONE;
}

/* An object. `properties` is an object of schemas or constants, or HF_NONE; `required` an array's first name, or of a
 * constant HF_NONE, whose properties are all required; `others` the rule of other properties' values, HF_NONE: there
 * are none; `unnamed` that of properties that are required, but not among `properties`. */
static int32_t hf_build_object(hf_schema *s, int32_t properties, int32_t required, hf_of of, int32_t others,
                               int32_t unnamed)
{
    hf_builder *b = s->b;
    const hf_json *j = &s->json;
    hf_names t;
    uint64_t wanted = 0;
    int32_t i, must = HF_NONE, mask, seen, end, after, more, key, value, start, name;
    s->list.n = s->thens.n = 0;
    if (properties != HF_NONE) hf_keep_names(s, hf_first(j, properties), 2);
    hf_keep_names(s, required, 1);
    memset(&t, 0, sizeof t);
    t.n = hf_sort_names(s);
    if (b->status) return 0;
    if (t.n > HF_MOST_PROPERTIES)
        return hf_unsupported(j, ((int32_t *)s->list.data)[0], "an object of more than 64 properties is not supported");
    mask = hf_mask_new(b, 0), seen = hf_mask_new(b, 0);
    end = hf_op_new(b, HF_SEEN, hf_eat(b, '}', '}', hf_return(b)), seen);
    after = hf_op_new(b, HF_PASS, HF_NONE, 0); /* after a property */
    t.json = j, t.node = (int32_t *)s->list.data, t.is_object = 1, t.other = t.may_other = HF_NONE;
    if (others != HF_NONE) {
        t.may_other = hf_call(b, others, after);
        t.other = hf_blank(s, hf_eat(b, ':', ':', hf_blank(s, t.may_other)));
    }
    for (i = 0; i < t.n && !b->status; i++) {
        int32_t *then, rule;
        hf_property *p;
        name = ((int32_t *)s->list.data)[i], value = hf_value_of_name(j, properties, name);
        rule = value != HF_NONE ? hf_part(s, value, HF_T_ALL, of) : unnamed;
        key = rule == HF_NONE ? hf_op_new(b, HF_FAIL, HF_NONE, 0) : hf_call(b, rule, after);
        p = (hf_property *)hf_add(b, &b->properties, sizeof *p, HF_MOST_OPS, "properties");
        then = (int32_t *)hf_add(b, &s->thens, sizeof *then, HF_MOST_OPS, "properties");
        if (!p || !then) return 0;
        p->mask = mask, p->bit = i, p->value = key;
        if (of == HF_OF_CONSTANT) wanted |= (uint64_t)1 << i;
        else {
            int32_t r;
            for (r = required; r != HF_NONE; r = HF_NODE(j, r).next)
                if (hf_same_string(j, r, name)) wanted |= (uint64_t)1 << i;
        }
        if (wanted >> i & 1) must = must == HF_NONE ? key : hf_op_new(b, HF_MUST, must, key);
        *then = hf_op_new(b, HF_MARK, hf_blank(s, hf_eat(b, ':', ':', hf_blank(s, key))), i);
    }
    if (b->status) return 0;
    t.then = (int32_t *)s->thens.data;
    ((uint64_t *)b->masks.data)[seen] = wanted;
    key = hf_eat(b, '"', '"', hf_name_tree(b, &t));
    more = t.n ? hf_unseen(b, 0, t.n, hf_eat(b, ',', ',', hf_blank(s, key))) : HF_NONE;
    if (others != HF_NONE)
        more = hf_either(b, hf_op_new(b, HF_MUST, hf_eat(b, ',', ',', hf_blank(s, key)), t.may_other), more);
    hf_join(b, after, hf_blank(s, hf_either(b, more, end)));
    start = hf_op_new(b, HF_SET, hf_eat(b, '{', '{', hf_blank(s, hf_either(b, key, end))), mask);
    return must == HF_NONE ? start : hf_op_new(b, HF_MUST, start, must);
}

static int32_t hf_object_of_schema(hf_schema *s, int32_t node)
{
    const hf_json *j = &s->json;
    int32_t properties = hf_get(j, node, "properties"), required = hf_get(j, node, "required");
    int32_t additional = hf_get(j, node, "additionalProperties"), others, unnamed;
    if (properties != HF_NONE && !hf_is(j, properties, HF_OBJECT))
        return hf_unsupported(j, properties, "the properties must be an object");
    if (required != HF_NONE && !hf_is(j, required, HF_ARRAY))
        return hf_unsupported(j, required, "this must be a list of names");
    unnamed = additional != HF_NONE && hf_is(j, additional, HF_FALSE) ? HF_NONE : hf_part_of_schema(s, additional);
    others = additional != HF_NONE || s->b->every || properties == HF_NONE ? unnamed : HF_NONE;
    return hf_build_object(s, properties, required == HF_NONE ? HF_NONE : hf_first(j, required), HF_OF_SCHEMA, others,
                           unnamed);
}

static int32_t hf_array_of_schema(hf_schema *s, int32_t node)
{
    const hf_json *j = &s->json;
    int32_t items = hf_get(j, node, "items"), prefix = hf_get(j, node, "prefixItems");
    int32_t additional = hf_get(j, node, "additionalItems"), unique = hf_get(j, node, "uniqueItems");
    if (unique != HF_NONE && !hf_is(j, unique, HF_FALSE))
        return hf_unsupported(j, unique, "\"uniqueItems\" is not supported");
    if (items != HF_NONE && hf_is(j, items, HF_ARRAY)) { /* draft 7 */
        if (prefix != HF_NONE) return hf_unsupported(j, prefix, "\"prefixItems\" beside a list of \"items\"");
        prefix = items, items = additional;
    } else if (additional != HF_NONE)
        return hf_unsupported(j, additional, "\"additionalItems\" without a list of \"items\"");
    if (prefix != HF_NONE && !hf_is(j, prefix, HF_ARRAY))
        return hf_unsupported(j, prefix, "this must be a list of schemas");
    return hf_build_array(s, prefix == HF_NONE ? HF_NONE : hf_first(j, prefix),
                          items != HF_NONE && hf_is(j, items, HF_FALSE) ? -2 : items, HF_OF_SCHEMA,
                          hf_count_of(s, node, "minItems", 0), hf_count_of(s, node, "maxItems", HF_NONE));
}

/* Formats as patterns. A leap second is the last of a day in UTC. */
static const struct hf_format {
    const char *name, *pattern;
} hf_formats[] = {
#define HF_DATE                                                                                                        \
    "(\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))"        \
    "|(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
#define HF_TIME                                                                                                        \
    "(([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d+)?([Zz]|[+-]([01]\\d|2[0-3]):[0-5]\\d)"                                \
    "|23:59:60(\\.\\d+)?([Zz]|[+-]00:00))"
    {"date", "^" HF_DATE "$"},
    {"time", "^" HF_TIME "$"},
    {"date-time", "^" HF_DATE "[Tt]" HF_TIME "$"},
    {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"},
#undef HF_DATE
#undef HF_TIME
};

static const char *hf_format_of(hf_schema *s, int32_t format)
{
    size_t i;
    for (i = 0; i < sizeof hf_formats / sizeof *hf_formats; i++)
        if (hf_is(&s->json, format, HF_STRING) && hf_string_is(&s->json, format, hf_formats[i].name))
            return hf_formats[i].pattern;
    hf_unsupported(&s->json, format, "of formats, date, time, date-time and uuid are supported");
    return NULL;
}

static int32_t hf_string_of_schema(hf_schema *s, int32_t node)
{
    enum { MOST_PATTERN = 512 };
    hf_builder *b = s->b;
    int32_t pattern = hf_get(&s->json, node, "pattern"), format = hf_get(&s->json, node, "format"), start;
    int32_t least = hf_count_of(s, node, "minLength", 0), most = hf_count_of(s, node, "maxLength", HF_NONE);
    uint32_t text[MOST_PATTERN];
    const char *known;
    hf_pattern p;
    if (pattern == HF_NONE && format == HF_NONE) return hf_any_string(b, least, most, hf_return(b));
    if (pattern != HF_NONE && format != HF_NONE)
        return hf_unsupported(&s->json, format, "\"format\" beside \"pattern\" is not supported");
    memset(&p, 0, sizeof p);
    p.b = b, p.json = &s->json, p.node = pattern != HF_NONE ? pattern : format;
    if (format != HF_NONE) {
        known = hf_format_of(s, format);
        for (; known && known[p.n]; p.n++) text[p.n] = (unsigned char)known[p.n];
        p.text = text;
    } else if (!hf_is(&s->json, pattern, HF_STRING)) hf_unsupported(&s->json, pattern, "a pattern must be a string");
    else p.text = HF_CODES(&s->json, pattern), p.n = HF_NODE(&s->json, pattern).n;
    if (!b->status) hf_pattern_read(&p);
    start = b->status ? 0 : hf_pattern_string(b, &p, least, most, hf_return(b));
    hf_release(&b->allocator, &p.states);
    return start;
}

/* The bound that a keyword says, as the integers see it: exclusive ones are one further. */
static void hf_bound_of(hf_schema *s, int32_t node, const char *keyword, int upper, int exclusive, hf_bounds *r)
{
    int32_t value = hf_get(&s->json, node, keyword);
    hf_decimal d;
    int64_t bound;
    if (value == HF_NONE) return;
    if (!hf_is(&s->json, value, HF_NUMBER) || !hf_decimal_of(&s->json, value, &d)
        || !hf_decimal_round(&d, !upper, &bound)) {
        hf_unsupported(&s->json, value, "a bound must be a number of at most 18 digits before the point");
        return;
    }
    if (exclusive && hf_decimal_is_integer(&d)) bound += upper ? -1 : 1;
    if (upper && (!r->has_hi || bound < r->hi)) r->has_hi = 1, r->hi = bound;
    if (!upper && (!r->has_lo || bound > r->lo)) r->has_lo = 1, r->lo = bound;
}

/* The same for numbers with a fraction: the decimal, and whether it is the exclusive one. NULL: there is none. */
static const hf_decimal *hf_decimal_bound(hf_schema *s, int32_t node, const char *keyword, const char *exclusive,
                                          int *is_exclusive, hf_decimal *d)
{
    enum { MOST_WHOLE = 18, MOST_FRACTION = 40 };
    int32_t value = hf_get(&s->json, node, keyword), other = hf_get(&s->json, node, exclusive);
    *is_exclusive = other != HF_NONE;
    if (value == HF_NONE && other == HF_NONE) return NULL;
    if (value != HF_NONE && other != HF_NONE)
        return hf_unsupported(&s->json, other, "two bounds on the same side are supported for integers alone"), NULL;
    if (value == HF_NONE) value = other;
    if (hf_is(&s->json, value, HF_NUMBER) && hf_decimal_of(&s->json, value, d) && d->power <= MOST_WHOLE
        && d->n - d->power <= MOST_FRACTION)
        return d;
    hf_unsupported(&s->json, value, "a bound must be a number of at most 18 digits before the point and 40 after it");
    return NULL;
}

static int32_t hf_number_of_schema(hf_schema *s, int32_t node, int32_t types)
{
    hf_builder *b = s->b;
    hf_bounds r;
    hf_decimal low, high;
    const hf_decimal *lo, *hi;
    int lo_exclusive, hi_exclusive;
    int32_t start;
    if (types & HF_T_FRACTION) {
        lo = hf_decimal_bound(s, node, "minimum", "exclusiveMinimum", &lo_exclusive, &low);
        hi = hf_decimal_bound(s, node, "maximum", "exclusiveMaximum", &hi_exclusive, &high);
        if (!lo && !hi) return hf_number(b, hf_return(b));
        start = hf_bounded_number(b, lo, lo_exclusive, hi, hi_exclusive, hf_return(b));
        return start == HF_NONE ? hf_op_new(b, HF_FAIL, HF_NONE, 0) : start;
    }
    memset(&r, 0, sizeof r);
    hf_bound_of(s, node, "minimum", 0, 0, &r), hf_bound_of(s, node, "exclusiveMinimum", 0, 1, &r);
    hf_bound_of(s, node, "maximum", 1, 0, &r), hf_bound_of(s, node, "exclusiveMaximum", 1, 1, &r);
    start = hf_integer(b, &r, hf_return(b));
    return start == HF_NONE ? hf_op_new(b, HF_FAIL, HF_NONE, 0) : start;
}

static int32_t hf_text(hf_schema *s, const char *text)
{
    return hf_eat_text(s->b, text, strlen(text), hf_return(s->b));
}

/* A schema that says at most something about each type. node is HF_NONE for anything. */
static int32_t hf_build_types(hf_schema *s, int32_t node, int32_t types)
{
    hf_builder *b = s->b;
    int32_t start = HF_NONE;
    int any = node == HF_NONE;
    hf_bounds none;
    memset(&none, 0, sizeof none);
    if (types & HF_T_NULL) start = hf_text(s, "null");
    if (types & HF_T_BOOLEAN) start = hf_either(b, start, hf_either(b, hf_text(s, "true"), hf_text(s, "false")));
    if (types & HF_T_NUMBER)
        start = hf_either(b, start,
                          !any                    ? hf_number_of_schema(s, node, types)
                          : types & HF_T_FRACTION ? hf_number(b, hf_return(b))
                                                  : hf_integer(b, &none, hf_return(b)));
    if (types & HF_T_STRING)
        start = hf_either(b, start, any ? hf_any_string(b, 0, HF_NONE, hf_return(b)) : hf_string_of_schema(s, node));
    if (types & HF_T_ARRAY)
        start = hf_either(b, start,
                          any ? hf_build_array(s, HF_NONE, HF_NONE, HF_OF_ANYTHING, 0, HF_NONE)
                              : hf_array_of_schema(s, node));
    if (types & HF_T_OBJECT)
        start = hf_either(b, start,
                          any ? hf_build_object(s, HF_NONE, HF_NONE, HF_OF_ANYTHING, hf_part_of_schema(s, HF_NONE),
                                                HF_NONE)
                              : hf_object_of_schema(s, node));
    return start;
}

static int32_t hf_build_constant(hf_schema *s, int32_t node)
{
    hf_builder *b = s->b;
    const hf_json *j = &s->json;
    hf_decimal d;
    hf_names t;
    int32_t then;
    switch (HF_NODE(j, node).type) {
    case HF_NULL: return hf_text(s, "null");
    case HF_FALSE: return hf_text(s, "false");
    case HF_TRUE: return hf_text(s, "true");
    case HF_ARRAY:
        return hf_build_array(s, hf_first(j, node), -2, HF_OF_CONSTANT, HF_NODE(j, node).n, HF_NODE(j, node).n);
    case HF_OBJECT: return hf_build_object(s, node, HF_NONE, HF_OF_CONSTANT, HF_NONE, HF_NONE);
    case HF_NUMBER:
        if (!hf_decimal_of(j, node, &d))
            return hf_unsupported(j, node, "a number of more than 60 digits is not supported");
        return hf_constant_number(b, &d, hf_return(b));
    default: break;
    }
    memset(&t, 0, sizeof t);
    then = hf_return(b), t.json = j, t.node = &node, t.then = &then, t.n = 1, t.other = HF_NONE;
    return hf_eat(b, '"', '"', hf_name_tree(b, &t));
}

/* The values of an enum: strings as one tree, the others one by one. */
static int32_t hf_build_enum(hf_schema *s, int32_t list, int32_t types)
{
    hf_builder *b = s->b;
    const hf_json *j = &s->json;
    int32_t start = HF_NONE, i, end = hf_return(b), k;
    hf_names t;
    if (!hf_is(j, list, HF_ARRAY)) return hf_unsupported(j, list, "\"enum\" must be a list");
    s->list.n = s->thens.n = 0;
    for (i = hf_first(j, list); i != HF_NONE && !b->status; i = HF_NODE(j, i).next) {
        if (!(hf_type_of_value(j, i) & types)) continue;
        if (hf_is(j, i, HF_STRING)) {
            int32_t *kept = (int32_t *)hf_add(b, &s->list, sizeof *kept, HF_MOST_OPS, "strings");
            if (kept) *kept = i;
        } else start = hf_either(b, hf_op_new(b, HF_TAIL, HF_NONE, hf_part(s, i, HF_T_ALL, HF_OF_CONSTANT)), start);
    }
    memset(&t, 0, sizeof t);
    t.n = hf_sort_names(s);
    for (k = 0; k < t.n && !b->status; k++) {
        int32_t *then = (int32_t *)hf_add(b, &s->thens, sizeof *then, HF_MOST_OPS, "strings");
        if (then) *then = end;
    }
    if (b->status || t.n == 0) return start;
    t.json = j, t.node = (int32_t *)s->list.data, t.then = (int32_t *)s->thens.data, t.other = HF_NONE;
    return hf_either(b, start, hf_eat(b, '"', '"', hf_name_tree(b, &t)));
}

static int32_t hf_build_alternatives(hf_schema *s, int32_t name, int32_t types)
{
    hf_builder *b = s->b;
    const hf_json *j = &s->json;
    int32_t list = HF_NODE(j, name).next, start = HF_NONE, i;
    if (!hf_is(j, list, HF_ARRAY) || HF_NODE(j, list).n == 0)
        return hf_unsupported(j, list, "this must be a list of schemas");
    if (hf_string_is(j, name, "allOf") && HF_NODE(j, list).n > 1)
        return hf_refuse_keyword(s, name, "of more than one schema is not supported: write them as one");
    if (hf_string_is(j, name, "oneOf")) hf_check_exclusion(s, list);
    for (i = hf_first(j, list); i != HF_NONE && !b->status; i = HF_NODE(j, i).next)
        start = hf_either(b, start, hf_op_new(b, HF_TAIL, HF_NONE, hf_part(s, i, types, HF_OF_SCHEMA)));
    return start;
}

static int32_t hf_build_schema(hf_schema *s, int32_t node, int32_t types)
{
    hf_builder *b = s->b;
    const hf_json *j = &s->json;
    int32_t whole, target;
    if (hf_is(j, node, HF_TRUE)) return hf_op_new(b, HF_TAIL, HF_NONE, hf_part(s, HF_NONE, types, HF_OF_ANYTHING));
    if (hf_is(j, node, HF_FALSE)) return HF_NONE;
    if (!hf_is(j, node, HF_OBJECT)) return hf_unsupported(j, node, "a schema must be an object, true or false");
    whole = hf_check_keywords(s, node);
    types &= hf_types_of(s, node);
    if (b->status) return 0;
    if (whole == HF_NONE) return hf_build_types(s, node, types);
    target = HF_NODE(j, whole).next;
    if (hf_string_is(j, whole, "enum")) return hf_build_enum(s, target, types);
    if (hf_string_is(j, whole, "const"))
        return hf_type_of_value(j, target) & types
                   ? hf_op_new(b, HF_TAIL, HF_NONE, hf_part(s, target, HF_T_ALL, HF_OF_CONSTANT))
                   : HF_NONE;
    if (!hf_string_is(j, whole, "$ref")) return hf_build_alternatives(s, whole, types);
    target = hf_resolve(s, target);
    return target == HF_NONE ? 0 : hf_op_new(b, HF_TAIL, HF_NONE, hf_part(s, target, types, HF_OF_SCHEMA));
}

/* Builds what waits, and what comes to wait meanwhile. */
static void hf_build_parts(hf_schema *s)
{
    hf_builder *b = s->b;
    size_t i;
    for (i = 0; i < s->tasks.n && !b->status; i++) {
        hf_task task = ((hf_task *)s->tasks.data)[i];
        int32_t start = task.of == HF_OF_ANYTHING   ? hf_build_types(s, HF_NONE, task.types)
                        : task.of == HF_OF_CONSTANT ? hf_build_constant(s, task.node)
                                                    : hf_build_schema(s, task.node, task.types);
        if (start == HF_NONE) start = hf_op_new(b, HF_FAIL, HF_NONE, 0);
        if (!b->status) HF_RULE(b, task.rule) = start;
    }
}

static harp_status hf_schema_or_json(harp_form **form, const char *text, size_t bytes, const harp_form_options *options,
                                     harp_error *err)
{
    hf_builder b;
    hf_schema s;
    int32_t root, around, end;
    hf_builder_start(&b, options, err);
    memset(&s, 0, sizeof s);
    s.b = s.json.b = &b, s.json.text = text, s.json.bytes = bytes;
    b.character = hf_class_of_all(&b);
    s.blanks = hf_rule_new(&b, "white space", 11), end = hf_return(&b);
    end = hf_blanks(&b, end);
    if (!b.status) HF_RULE(&b, s.blanks) = end;
    if (text && !b.status) hf_json_read(&s.json);
    root = text ? hf_part(&s, 0, HF_T_ALL, HF_OF_SCHEMA) : hf_part_of_schema(&s, HF_NONE);
    around = hf_rule_new(&b, "JSON", 4);
    end = hf_return(&b);
    if (b.every) end = hf_blanks(&b, end);
    end = hf_call(&b, root, end);
    if (b.every) end = hf_blanks(&b, end);
    else end = hf_either(&b, end, hf_eat(&b, ' ', ' ', end)); /* tokens of many vocabularies begin with a blank */
    if (!b.status) HF_RULE(&b, around) = end;
    hf_build_parts(&s);
    hf_release(&b.allocator, &s.tasks), hf_release(&b.allocator, &s.task_hash), hf_release(&b.allocator, &s.list);
    hf_release(&b.allocator, &s.scratch), hf_release(&b.allocator, &s.thens);
    hf_release(&b.allocator, &s.json.nodes), hf_release(&b.allocator, &s.json.codes);
    return hf_finish(&b, around, form);
}

HARP_API harp_status harp_form_schema(harp_form **form, const char *text, size_t bytes,
                                      const harp_form_options *options, harp_error *err)
{
    harp_status status = hf_check_text(form, text, bytes, err);
    if (form) *form = NULL;
    return status ? status : hf_schema_or_json(form, text, bytes, options, err);
}

HARP_API harp_status harp_form_json(harp_form **form, const harp_form_options *options, harp_error *err)
{
    if (!form) return hf_fail(err, HARP_ERR_ARGUMENT, "form must not be NULL");
    *form = NULL;
    return hf_schema_or_json(form, NULL, 0, options, err);
}

/* ================================================================================================================
 * [F10] Shapes
 *
 * A reader is an instruction, a number, and a stack of frames; frames are stored once each, as nodes that know their
 * parent. A shape is a sorted set of readers whose stacks have nothing in common at the bottom; what they had is on the
 * base, a stack of its own. Where a reader returns further than its shape's bottom, a frame of the base is put under
 * all readers of the shape, which makes another shape.
 *
 * All of it lives in tables of fixed size. When they are full, what is not needed now is thrown away (hf_forget), which
 * costs time later, never a result.
 * ============================================================================================================= */

enum {
    HF_SHAPES = 8192,
    HF_ITEMS = 1 << 17,
    HF_FRAMES = 1 << 15,
    HF_READERS = 2048,     /* that run side by side; a form that needs more is too ambiguous */
    HF_MOST_DEPTH = 20000, /* of a stack */
    HF_SOFT_DEPTH = 100,   /* deeper, tokens are allowed only if no others are */
    HF_EXTENSIONS = 1024,
    HF_DEAD = -1 /* in place of a shape */
};

typedef struct hf_item { /* a reader */
    uint64_t number;
    int32_t op, stack; /* a frame, 0: the bottom */
} hf_item;

typedef struct hf_frame {
    uint64_t number; /* of the caller, */
    int32_t op;      /* which goes on here */
    int32_t parent, depth, chained;
} hf_frame;

typedef struct hf_shape {
    int32_t first, n;       /* of items: the readers, sorted */
    int32_t ready, n_ready; /* of items: those that eat or end, after all that happens without a byte */
    int32_t chained;
    uint16_t need;   /* how much deeper than the base the stack must grow, at least */
    uint8_t is_open; /* a reader returns beyond the bottom */
    uint8_t may_end;
} hf_shape;

typedef struct hf_move { /* what a byte makes of a shape */
    int32_t shape;       /* HF_DEAD; -2: not known yet */
    int32_t push;        /* frames that go onto the base; 0: none */
} hf_move;

typedef struct hf_place { /* where the answer is */
    int32_t shape, base;
} hf_place;

typedef struct hf_extension {
    uint64_t number;
    int32_t from, op, to;
} hf_extension;

enum { HF_WELL = 0, HF_FULL, HF_AMBIGUOUS, HF_DEEP };

typedef struct hf_machine {
    const harp_form *form;
    hf_shape *shapes;
    hf_move *moves; /* [HF_SHAPES][n_classes] */
    hf_item *items;
    hf_frame *frames;                 /* from 1 on; 0 is the bottom */
    int32_t *shape_hash, *frame_hash; /* chains; HF_NONE */
    hf_extension *extensions;         /* by hash, the last one each */
    hf_item *now, *found;             /* [HF_READERS] */
    int32_t *seen; /* [4 * HF_READERS]: open addressing over `now`; what it holds of other rounds is old */
    int32_t round;
    int32_t n_shapes, n_items, n_frames;
    int32_t n_now, n_found;
    int trouble;       /* HF_WELL, or why the last step failed */
    int64_t forgotten; /* how often the tables were full */
} hf_machine;

enum { HF_UNKNOWN = -2, HF_HASHED = 2 * HF_SHAPES, HF_FRAMES_HASHED = 2 * HF_FRAMES };

static int32_t hf_trouble(hf_machine *m, int what)
{
    if (!m->trouble) m->trouble = what;
    return HF_DEAD;
}

static uint32_t hf_mix(uint32_t hash, uint32_t x)
{
    hash = (hash ^ x) * 0x9E3779B1u;
    return hash ^ hash >> 15;
}

/* The frame that returns to op with this number, on top of parent. 0 if there is no room: m->trouble. */
static int32_t hf_push(hf_machine *m, int32_t op, uint64_t number, int32_t parent)
{
    uint32_t hash =
        hf_mix(hf_mix(hf_mix(hf_mix(1, (uint32_t)op), (uint32_t)number), (uint32_t)(number >> 32)), (uint32_t)parent)
        & (HF_FRAMES_HASHED - 1);
    int32_t i;
    hf_frame *f;
    for (i = m->frame_hash[hash]; i != HF_NONE; i = f->chained) {
        f = &m->frames[i];
        if (f->op == op && f->parent == parent && f->number == number) return i;
    }
    if (m->n_frames == HF_FRAMES) return hf_trouble(m, HF_FULL), 0;
    if (m->frames[parent].depth == HF_MOST_DEPTH) return hf_trouble(m, HF_DEEP), 0;
    f = &m->frames[m->n_frames];
    f->op = op, f->number = number, f->parent = parent, f->depth = m->frames[parent].depth + 1;
    f->chained = m->frame_hash[hash], m->frame_hash[hash] = m->n_frames;
    return m->n_frames++;
}

/* Goes on as long as there is one way and no byte is needed: 0 if the reader dies. */
static int hf_settle(hf_machine *m, hf_item *r)
{
    const harp_form *f = m->form;
    for (;;) {
        const hf_op *op = &f->ops[r->op];
        if (op->need == HF_NEVER) return 0;
        switch (op->kind) {
        case HF_PASS:
        case HF_MUST: break;
        case HF_TAIL: r->op = f->rules[op->a], r->number = 0; continue;
        case HF_RETURN:
            if (r->stack == 0) return r->number = 0, 1;
            r->op = m->frames[r->stack].op, r->number = m->frames[r->stack].number,
            r->stack = m->frames[r->stack].parent;
            continue;
        case HF_BELOW:
            if (r->number >= (uint64_t)op->a) return 0;
            break;
        case HF_ATLEAST:
            if (r->number < (uint64_t)op->a) return 0;
            break;
        case HF_COUNT:
            if (r->number < (uint64_t)op->a) r->number++;
            break;
        case HF_UNSEEN: {
            uint64_t bits = (op->b - op->a < 64 ? ((uint64_t)1 << (op->b - op->a)) - 1 : ~(uint64_t)0) << op->a;
            if ((r->number & bits) == bits) return 0;
            break;
        }
        case HF_MARK:
            if (r->number >> op->a & 1) return 0;
            r->number |= (uint64_t)1 << op->a;
            break;
        case HF_SEEN:
            if (f->masks[op->a] & ~r->number) return 0;
            break;
        case HF_SET: r->number = f->masks[op->a]; break;
        default: return 1; /* HF_EAT, HF_FORK, HF_CALL, HF_END */
        }
        r->op = op->next;
    }
}

/* Adds a reader to `now`, once. */
static void hf_add_reader(hf_machine *m, hf_item r)
{
    uint32_t mask = 4 * HF_READERS - 1, hash;
    if (!hf_settle(m, &r)) return;
    hash = hf_mix(hf_mix(hf_mix(hf_mix(1, (uint32_t)r.op), (uint32_t)r.number), (uint32_t)(r.number >> 32)),
                  (uint32_t)r.stack)
           & mask;
    for (; m->seen[hash] / HF_READERS == m->round; hash = (hash + 1) & mask) {
        const hf_item *other = &m->now[m->seen[hash] % HF_READERS];
        if (other->op == r.op && other->number == r.number && other->stack == r.stack) return;
    }
    if (m->n_now == HF_READERS) {
        hf_trouble(m, HF_AMBIGUOUS);
        return;
    }
    m->seen[hash] = m->round * HF_READERS + m->n_now, m->now[m->n_now++] = r;
}

static void hf_no_readers(hf_machine *m)
{
    m->n_now = 0;
    if (m->round++ < INT32_MAX / HF_READERS - 1) return;
    memset(m->seen, 0, 4 * HF_READERS * sizeof *m->seen), m->round = 1;
}

static int hf_reader_before(const hf_item *a, const hf_item *b)
{
    return a->op != b->op ? a->op < b->op : a->number != b->number ? a->number < b->number : a->stack < b->stack;
}

/* Sorts readers, by heaps: there may be many. */
static void hf_sort_readers(hf_item *r, int32_t n)
{
    int32_t i, top, child;
    hf_item x;
    for (i = n / 2 - 1 + n; i > 0; i--) { /* first make the heap, then take the largest away */
        if (i >= n) top = i - n, x = r[top];
        else top = 0, x = r[i], r[i] = r[0];
        for (; (child = 2 * top + 1) < (i < n ? i : n); top = child) {
            if (child + 1 < (i < n ? i : n) && hf_reader_before(&r[child], &r[child + 1])) child++;
            if (!hf_reader_before(&x, &r[child])) break;
            r[top] = r[child];
        }
        r[top] = x;
    }
}

static uint16_t hf_need_of(const hf_machine *m, const hf_item *r, int32_t n)
{
    int32_t i, least = HF_NEVER;
    for (i = 0; i < n; i++) {
        int32_t need = m->form->ops[r[i].op].need + m->frames[r[i].stack].depth;
        if (need < least) least = need;
    }
    return (uint16_t)least;
}

/* All that the shape's readers do without a byte: those that eat or end are kept with it. */
static void hf_make_ready(hf_machine *m, hf_shape *s)
{
    int32_t i;
    hf_no_readers(m);
    for (i = 0; i < s->n; i++) hf_add_reader(m, m->items[s->first + i]);
    s->ready = m->n_items, s->n_ready = 0, s->is_open = s->may_end = 0;
    for (i = 0; i < m->n_now && !m->trouble; i++) {
        hf_item r = m->now[i];
        const hf_op *op = &m->form->ops[r.op];
        if (op->kind == HF_FORK || op->kind == HF_CALL) {
            hf_item next = r;
            if (op->kind == HF_FORK) r.op = op->a, hf_add_reader(m, r), next.op = op->next;
            else next.stack = hf_push(m, op->next, r.number, r.stack), next.op = m->form->rules[op->a], next.number = 0;
            if (!m->trouble) hf_add_reader(m, next);
        } else if (op->kind == HF_RETURN) s->is_open = 1;
        else if (m->n_items == HF_ITEMS) hf_trouble(m, HF_FULL);
        else {
            if (op->kind == HF_END) s->may_end = 1;
            m->items[m->n_items++] = r, s->n_ready++;
        }
    }
}

/* The shape of these sorted readers. */
static int32_t hf_shape_of(hf_machine *m, const hf_item *r, int32_t n)
{
    uint32_t hash = hf_hash(r, (size_t)n * sizeof *r) & (HF_HASHED - 1);
    int32_t i, c;
    hf_shape *s;
    for (i = m->shape_hash[hash]; i != HF_NONE; i = s->chained) {
        s = &m->shapes[i];
        if (s->n == n && memcmp(&m->items[s->first], r, (size_t)n * sizeof *r) == 0) return i;
    }
    if (m->n_shapes == HF_SHAPES || m->n_items + n > HF_ITEMS) return hf_trouble(m, HF_FULL);
    s = &m->shapes[m->n_shapes];
    s->first = m->n_items, s->n = n, s->need = hf_need_of(m, r, n);
    memcpy(&m->items[s->first], r, (size_t)n * sizeof *r), m->n_items += n;
    hf_make_ready(m, s);
    if (m->trouble) return HF_DEAD;
    s->chained = m->shape_hash[hash], m->shape_hash[hash] = m->n_shapes;
    for (c = 0; c < m->form->n_classes; c++) m->moves[m->n_shapes * m->form->n_classes + c].shape = HF_UNKNOWN;
    return m->n_shapes++;
}

/* The frame of a stack that is `above` frames away from its bottom. */
static int32_t hf_frame_above(const hf_machine *m, int32_t stack, int32_t above)
{
    while (m->frames[stack].depth > above) stack = m->frames[stack].parent;
    return stack;
}

static int hf_same_frame(const hf_machine *m, int32_t a, int32_t b)
{
    return m->frames[a].op == m->frames[b].op && m->frames[a].number == m->frames[b].number;
}

/* The stack without its lowest `cut` frames, or with the frames of `under` below it. */
static int32_t hf_rebuild(hf_machine *m, int32_t stack, int32_t cut, int32_t under)
{
    int32_t depth, top = m->frames[stack].depth, built = under;
    for (depth = cut + 1; depth <= top && !m->trouble; depth++) {
        int32_t f = hf_frame_above(m, stack, depth);
        built = hf_push(m, m->frames[f].op, m->frames[f].number, built);
    }
    return built;
}

/* Makes a shape of the readers in `found`, whose common frames at the bottom go into *push. */
static int32_t hf_close_shape(hf_machine *m, int32_t *push)
{
    hf_item *r = m->found;
    int32_t n = m->n_found, i, kept = 0, common, depth;
    *push = 0;
    if (n == 0) return HF_DEAD;
    common = m->frames[r[0].stack].depth;
    for (i = 1; i < n && common > 0; i++) {
        if (m->frames[r[i].stack].depth < common) common = m->frames[r[i].stack].depth;
        if (r[i].stack == r[0].stack) continue;
        for (depth = 1; depth <= common; depth++)
            if (!hf_same_frame(m, hf_frame_above(m, r[0].stack, depth), hf_frame_above(m, r[i].stack, depth))) break;
        common = depth - 1;
    }
    if (common > 0) {
        *push = hf_frame_above(m, r[0].stack, common);
        for (i = 0; i < n; i++) r[i].stack = hf_rebuild(m, r[i].stack, common, 0);
        if (m->trouble) return HF_DEAD;
    }
    if (n > 1) hf_sort_readers(r, n);
    for (i = 0; i < n; i++)
        if (i == 0 || hf_reader_before(&r[kept - 1], &r[i])) r[kept++] = r[i];
    return hf_shape_of(m, r, kept);
}

static void hf_found(hf_machine *m, hf_item r)
{
    if (!hf_settle(m, &r)) return;
    if (m->n_found == HF_READERS) hf_trouble(m, HF_AMBIGUOUS);
    else m->found[m->n_found++] = r;
}

/* What a byte of class c makes of a shape that is not open. */
static hf_move hf_find_move(hf_machine *m, int32_t shape, int32_t c)
{
    hf_shape s = m->shapes[shape];
    hf_move move;
    int32_t i;
    m->n_found = 0;
    for (i = 0; i < s.n_ready; i++) {
        hf_item r = m->items[s.ready + i];
        const hf_op *op = &m->form->ops[r.op];
        if (op->kind != HF_EAT || !hf_set_has(&m->form->sets[op->a], m->form->one_of[c])) continue;
        r.op = op->next;
        hf_found(m, r);
    }
    move.shape = hf_close_shape(m, &move.push);
    if (!m->trouble) m->moves[shape * m->form->n_classes + c] = move;
    return move;
}

/* The shape with the base's uppermost frame under all its readers. */
static int32_t hf_extend(hf_machine *m, int32_t shape, int32_t base)
{
    hf_frame under = m->frames[base];
    uint32_t hash =
        hf_mix(hf_mix(hf_mix(1, (uint32_t)shape), (uint32_t)under.op), (uint32_t)under.number) & (HF_EXTENSIONS - 1);
    hf_extension *e = &m->extensions[hash];
    hf_shape s = m->shapes[shape];
    int32_t i, bottom, to;
    if (e->from == shape && e->op == under.op && e->number == under.number) return e->to;
    bottom = hf_push(m, under.op, under.number, 0);
    m->n_found = 0;
    for (i = 0; i < s.n && !m->trouble; i++) {
        hf_item r = m->items[s.first + i];
        r.stack = hf_rebuild(m, r.stack, 0, bottom);
        hf_found(m, r);
    }
    if (m->trouble) return HF_DEAD;
    hf_sort_readers(m->found, m->n_found);
    for (i = to = 0; i < m->n_found; i++)
        if (to == 0 || hf_reader_before(&m->found[to - 1], &m->found[i])) m->found[to++] = m->found[i];
    if (to == 0) return HF_DEAD;
    to = hf_shape_of(m, m->found, to);
    if (to != HF_DEAD) e->from = shape, e->op = under.op, e->number = under.number, e->to = to;
    return to;
}

/* Puts frames of the base under an open shape until it is not; down to the frame `floor`. */
static void hf_lower(hf_machine *m, hf_place *p, int32_t floor)
{
    while (p->shape >= 0 && m->shapes[p->shape].is_open && p->base != floor) {
        p->shape = hf_extend(m, p->shape, p->base);
        p->base = m->frames[p->base].parent;
    }
}

/* One byte further. The place is not open; it may be afterwards. */
static void hf_step(hf_machine *m, hf_place *p, unsigned byte)
{
    int32_t c = m->form->class_of[byte];
    hf_move move = m->moves[p->shape * m->form->n_classes + c];
    if (move.shape == HF_UNKNOWN) move = hf_find_move(m, p->shape, c);
    p->shape = move.shape;
    if (move.push && p->shape >= 0) {
        p->base = hf_rebuild(m, move.push, 0, p->base);
        if (m->trouble) p->shape = HF_DEAD;
    }
}

static void hf_machine_clear(hf_machine *m)
{
    m->n_shapes = m->n_items = 0, m->n_frames = 1;
    memset(&m->frames[0], 0, sizeof m->frames[0]);
    memset(m->shape_hash, 0xFF, HF_HASHED * sizeof(int32_t));
    memset(m->frame_hash, 0xFF, HF_FRAMES_HASHED * sizeof(int32_t));
    memset(m->extensions, 0xFF, HF_EXTENSIONS * sizeof *m->extensions);
    memset(m->seen, 0, 4 * HF_READERS * sizeof *m->seen), m->round = 0;
    m->trouble = HF_WELL;
}

/* Where every answer begins: one reader, which will find the end under it. */
static hf_place hf_start(hf_machine *m)
{
    hf_place p;
    hf_item r;
    memset(&r, 0, sizeof r);
    r.op = m->form->start, p.base = 0;
    p.shape = m->form->ops[r.op].need == HF_NEVER ? HF_DEAD : hf_shape_of(m, &r, 1);
    return p;
}

/* Throws away all but a place. Frames are older than those above them, so that they can move down in their order. */
static void hf_forget(hf_machine *m, hf_place *p)
{
    int32_t i, k, n, kept = 1, *to = m->frame_hash; /* scratch, as is m->now */
    hf_item *r = m->now;
    m->trouble = HF_WELL, m->forgotten++;
    if (p->shape == HF_DEAD) {
        hf_machine_clear(m);
        return;
    }
    n = m->shapes[p->shape].n;
    memcpy(r, &m->items[m->shapes[p->shape].first], (size_t)n * sizeof *r);
    memset(to, 0, HF_FRAMES * sizeof *to);
    for (i = p->base; i != 0; i = m->frames[i].parent) to[i] = 1;
    for (k = 0; k < n; k++)
        for (i = r[k].stack; i != 0; i = m->frames[i].parent) to[i] = 1;
    for (i = 1; i < m->n_frames; i++) {
        if (!to[i]) continue;
        m->frames[kept] = m->frames[i], m->frames[kept].parent = to[m->frames[i].parent], to[i] = kept++;
    }
    for (k = 0; k < n; k++) r[k].stack = to[r[k].stack];
    p->base = to[p->base];
    m->n_shapes = m->n_items = 0, m->n_frames = kept;
    memset(m->shape_hash, 0xFF, HF_HASHED * sizeof(int32_t));
    memset(m->extensions, 0xFF, HF_EXTENSIONS * sizeof *m->extensions);
    memset(m->frame_hash, 0xFF, HF_FRAMES_HASHED * sizeof(int32_t));
    for (i = 1; i < kept; i++) { /* found again by their hash */
        hf_frame *f = &m->frames[i];
        uint32_t hash =
            hf_mix(hf_mix(hf_mix(hf_mix(1, (uint32_t)f->op), (uint32_t)f->number), (uint32_t)(f->number >> 32)),
                   (uint32_t)f->parent)
            & (HF_FRAMES_HASHED - 1);
        f->chained = m->frame_hash[hash], m->frame_hash[hash] = i;
    }
    memcpy(m->found, r, (size_t)n * sizeof *r);
    hf_sort_readers(m->found, n);
    p->shape = hf_shape_of(m, m->found, n);
}

/* One byte further, and ready for the next; forgets if it must. The answer may be too long or too ambiguous: then the
 * place is dead and m->trouble is set. */
static void hf_advance(hf_machine *m, hf_place *p, unsigned byte)
{
    int tries;
    for (tries = 0; p->shape >= 0; tries++) {
        hf_place next = *p;
        m->trouble = HF_WELL;
        hf_lower(m, &next, 0);
        if (next.shape >= 0) hf_step(m, &next, byte);
        if (m->trouble == HF_FULL && tries == 0) {
            hf_forget(m, p);
            continue;
        }
        *p = next;
        return;
    }
}

static size_t hf_machine_bytes(const harp_form *form)
{
    return HF_SHAPES * (sizeof(hf_shape) + (size_t)form->n_classes * sizeof(hf_move)) + HF_ITEMS * sizeof(hf_item)
           + HF_FRAMES * sizeof(hf_frame) + (HF_HASHED + HF_FRAMES_HASHED + 4 * HF_READERS) * sizeof(int32_t)
           + HF_EXTENSIONS * sizeof(hf_extension) + 2 * HF_READERS * sizeof(hf_item);
}

/* Lays the tables out in a block of hf_machine_bytes(), widest elements first. */
static void hf_machine_open(hf_machine *m, const harp_form *form, char *block)
{
    memset(m, 0, sizeof *m);
    m->form = form;
    m->items = (hf_item *)(void *)block, block += HF_ITEMS * sizeof(hf_item);
    m->now = (hf_item *)(void *)block, block += HF_READERS * sizeof(hf_item);
    m->found = (hf_item *)(void *)block, block += HF_READERS * sizeof(hf_item);
    m->frames = (hf_frame *)(void *)block, block += HF_FRAMES * sizeof(hf_frame);
    m->extensions = (hf_extension *)(void *)block, block += HF_EXTENSIONS * sizeof(hf_extension);
    m->moves = (hf_move *)(void *)block, block += HF_SHAPES * (size_t)form->n_classes * sizeof(hf_move);
    m->shapes = (hf_shape *)(void *)block, block += HF_SHAPES * sizeof(hf_shape);
    m->shape_hash = (int32_t *)(void *)block, block += HF_HASHED * sizeof(int32_t);
    m->frame_hash = (int32_t *)(void *)block, block += HF_FRAMES_HASHED * sizeof(int32_t);
    m->seen = (int32_t *)(void *)block;
    hf_machine_clear(m);
}

/* ================================================================================================================
 * [F11] Vocabularies
 *
 * The tokens as a tree, laid out so that each node is followed by its subtree: to try all tokens is to go through the
 * list and to skip what dies.
 * ============================================================================================================= */

typedef struct hf_leaf { /* a node of the tree */
    int32_t skip;        /* the first node that is not below this one */
    int32_t first, n;    /* of order: the tokens that end here */
    uint16_t depth;      /* bytes up to here */
    uint8_t byte;
} hf_leaf;

struct harp_vocabulary {
    const char **texts; /* [n] */
    int32_t *lengths;   /* 0: no text */
    int32_t *order;     /* [n_order], sorted by text: those that have one and are no end tokens */
    hf_leaf *leaves;
    uint32_t *is_end; /* a bit each */
    int32_t *end;
    int32_t n, n_order, n_leaves, n_end, longest;
    struct hf_tree {
        int32_t from, to; /* of leaves */
        int32_t longest;  /* bytes */
    } tree[2];            /* of the tokens up to HF_SHORT bytes, and of the longer ones: see [F12] */
};

enum { HF_LONGEST_TOKEN = 4096 /* bytes; longer ones are never allowed */, HF_SHORT = 16, HF_TREES = 2 };

static int hf_token_before(const harp_vocabulary *v, int32_t a, int32_t b)
{
    int long_a = v->lengths[a] > HF_SHORT, long_b = v->lengths[b] > HF_SHORT, order;
    if (long_a != long_b) return long_b;
    order = memcmp(v->texts[a], v->texts[b], (size_t)(v->lengths[a] < v->lengths[b] ? v->lengths[a] : v->lengths[b]));
    return order ? order < 0 : v->lengths[a] < v->lengths[b];
}

static void hf_sort_tokens(harp_vocabulary *v, int32_t *scratch)
{
    int32_t width, lo, a, c, k, n = v->n_order, *list = v->order;
    for (width = 1; width < n; width *= 2) {
        for (lo = 0; lo < n; lo += 2 * width) {
            int32_t middle = lo + width < n ? lo + width : n, hi = middle + width < n ? middle + width : n;
            for (a = lo, c = middle, k = lo; k < hi; k++)
                scratch[k] = c >= hi || (a < middle && !hf_token_before(v, list[c], list[a])) ? list[a++] : list[c++];
        }
        memcpy(list, scratch, (size_t)n * sizeof *list);
    }
}

/* How many bytes token i of the order shares with the one before it. */
static int32_t hf_shared(const harp_vocabulary *v, int32_t i)
{
    const char *a, *b;
    int32_t n, k = 0;
    if (i == 0 || (v->lengths[v->order[i - 1]] > HF_SHORT) != (v->lengths[v->order[i]] > HF_SHORT)) return 0;
    a = v->texts[v->order[i - 1]], b = v->texts[v->order[i]];
    n = v->lengths[v->order[i - 1]] < v->lengths[v->order[i]] ? v->lengths[v->order[i - 1]] : v->lengths[v->order[i]];
    while (k < n && a[k] == b[k]) k++;
    return k;
}

/* One node for each byte that a token does not share with the one before it. path [longest + 1] holds the open nodes.
 */
static void hf_plant(harp_vocabulary *v, int32_t *path)
{
    int32_t i, k, open = 0;
    v->n_leaves = 0;
    for (i = 0; i < v->n_order; i++) {
        const char *text = v->texts[v->order[i]];
        int32_t length = v->lengths[v->order[i]];
        struct hf_tree *tree = &v->tree[length > HF_SHORT];
        for (k = hf_shared(v, i); open > k; open--) v->leaves[path[open - 1]].skip = v->n_leaves;
        if (tree->longest == 0) tree->from = v->n_leaves;
        if (length > tree->longest) tree->longest = length;
        for (; open < length; open++) {
            hf_leaf *leaf = &v->leaves[v->n_leaves];
            leaf->depth = (uint16_t)(open + 1), leaf->byte = (uint8_t)text[open], leaf->first = i, leaf->n = 0;
            path[open] = v->n_leaves++;
        }
        if (v->leaves[path[open - 1]].n++ == 0) v->leaves[path[open - 1]].first = i;
        tree->to = v->n_leaves;
    }
    for (; open > 0; open--) v->leaves[path[open - 1]].skip = v->n_leaves;
}

static int hf_is_end(const harp_vocabulary *v, int32_t token)
{
    return (int)(v->is_end[token >> 5] >> (token & 31) & 1u);
}

/* Texts, lengths and end tokens are set; the rest follows from them. */
static harp_status hf_sort_vocabulary(harp_vocabulary *v, harp_error *err)
{
    size_t n = 0;
    int32_t i, *scratch, *path;
    for (i = 0; i < v->n_end; i++)
        if (v->end[i] >= 0 && v->end[i] < v->n) v->is_end[v->end[i] >> 5] |= 1u << (v->end[i] & 31);
    for (i = 0; i < v->n; i++) {
        if (v->lengths[i] == 0 || v->lengths[i] > HF_LONGEST_TOKEN || hf_is_end(v, i)) continue;
        v->order[v->n_order++] = i;
        if (v->lengths[i] > v->longest) v->longest = v->lengths[i];
    }
    scratch = (int32_t *)malloc(((size_t)v->n_order + 1) * sizeof *scratch);
    path = (int32_t *)malloc(((size_t)v->longest + 1) * sizeof *path);
    if (scratch) hf_sort_tokens(v, scratch);
    for (i = 0; i < v->n_order; i++) n += (size_t)(v->lengths[v->order[i]] - hf_shared(v, i));
    if (scratch && path && n < INT32_MAX / 2) v->leaves = (hf_leaf *)malloc((n + 1) * sizeof *v->leaves);
    if (v->leaves) hf_plant(v, path);
    free(scratch), free(path);
    return v->leaves ? hf_fine(err) : hf_fail(err, HARP_ERR_MEMORY, "there is not enough memory for the vocabulary");
}

static harp_vocabulary *hf_vocabulary_new(int32_t n, int32_t n_end)
{
    harp_vocabulary *v = (harp_vocabulary *)calloc(1, sizeof *v);
    if (!v) return NULL;
    v->n = n, v->n_end = n_end;
    v->texts = (const char **)calloc((size_t)n + 1, sizeof *v->texts);
    v->lengths = (int32_t *)calloc((size_t)n + 1, sizeof *v->lengths);
    v->order = (int32_t *)calloc((size_t)n + 1, sizeof *v->order);
    v->is_end = (uint32_t *)calloc((size_t)n / 32 + 1, sizeof *v->is_end);
    v->end = (int32_t *)calloc((size_t)n_end + 1, sizeof *v->end);
    if (v->texts && v->lengths && v->order && v->is_end && v->end) return v;
    harp_vocabulary_close(v);
    return NULL;
}

HARP_API harp_status harp_vocabulary_make(harp_vocabulary **words, const char *const *texts, const size_t *lengths,
                                          int32_t n, const int32_t *end, int32_t n_end, harp_error *err)
{
    harp_vocabulary *v;
    harp_status status;
    int32_t i;
    if (!words) return hf_fail(err, HARP_ERR_ARGUMENT, "words must not be NULL");
    *words = NULL;
    if (!texts || !lengths || n < 1 || n > 1 << 28 || n_end < 0 || (n_end > 0 && !end))
        return hf_fail(err, HARP_ERR_ARGUMENT, "a vocabulary needs texts and their lengths");
    v = hf_vocabulary_new(n, n_end);
    if (!v) return hf_fail(err, HARP_ERR_MEMORY, "there is not enough memory for the vocabulary");
    for (i = 0; i < n; i++)
        if (texts[i])
            v->texts[i] = texts[i], v->lengths[i] = (int32_t)(lengths[i] < INT32_MAX ? lengths[i] : INT32_MAX);
    for (i = 0; i < n_end; i++) v->end[i] = end[i];
    status = hf_sort_vocabulary(v, err);
    if (status) harp_vocabulary_close(v), v = NULL;
    *words = v;
    return status;
}

/* A token that puts out nothing is a control token. */
static int hf_is_silent(const harp_model *model, int32_t token, char *room, size_t bytes)
{
    harp_decoder decoder;
    size_t n = 0;
    harp_decoder_start(&decoder, model, HARP_DECODE_CONTINUE);
    return harp_decode(&decoder, token, room, bytes, &n, NULL) != HARP_OK || (n == 0 && decoder.held == 0);
}

HARP_API harp_status harp_vocabulary_open(harp_vocabulary **words, const harp_model *model, harp_error *err)
{
    harp_info info = harp_model_info(model);
    harp_vocabulary *v;
    harp_status status;
    size_t room = (size_t)info.longest_token + 8, bytes;
    char *text;
    int32_t i;
    if (!words) return hf_fail(err, HARP_ERR_ARGUMENT, "words must not be NULL");
    *words = NULL;
    if (!model || !info.tokenizer)
        return hf_fail(err, HARP_ERR_UNSUPPORTED,
                       "the model has no tokenizer: its tokens have no texts to give a form");
    v = hf_vocabulary_new(info.vocab, info.n_end), text = (char *)malloc(room);
    if (!v || !text) {
        harp_vocabulary_close(v), free(text);
        return hf_fail(err, HARP_ERR_MEMORY, "there is not enough memory for the vocabulary");
    }
    for (i = 0; i < info.vocab; i++) {
        const char *own = harp_token_text(model, i, &bytes);
        if (own && !hf_is_silent(model, i, text, room)) v->texts[i] = own, v->lengths[i] = (int32_t)bytes;
    }
    for (i = 0; i < info.n_end; i++) v->end[i] = info.end[i];
    free(text);
    status = hf_sort_vocabulary(v, err);
    if (status) harp_vocabulary_close(v), v = NULL;
    *words = v;
    return status;
}

HARP_API size_t harp_vocabulary_bytes(const harp_vocabulary *v)
{
    if (!v) return 0;
    return sizeof *v + (size_t)v->n * (sizeof *v->texts + sizeof *v->lengths + sizeof *v->order)
           + (size_t)v->n_leaves * sizeof *v->leaves + (size_t)v->n / 8;
}

HARP_API void harp_vocabulary_close(harp_vocabulary *v)
{
    if (!v) return;
    free(v->texts), free(v->lengths), free(v->order), free(v->leaves), free(v->is_end), free(v->end), free(v);
}

/* ================================================================================================================
 * [F12] Masks
 *
 * A mask has a bit for each token that keeps a shape alive, whatever the base below it. Where a token leaves the shape
 * the base decides about the rest of it and of all tokens that begin like it: these places in the tree are noted, and
 * tried each time.
 *
 * A string of at most 400 characters has another shape after each of them, and yet the same tokens may follow, until
 * the end is so near that a token could pass it. So the mask that is asked for is that of a twin: a shape whose numbers
 * are as far from the loop's limits as matters to a token of L bytes. As few tokens are long, but very long, short ones
 * and long ones have trees and masks of their own.
 * ============================================================================================================= */

enum { HF_MASKS = 64, HF_EXITS = 1024 };

typedef struct hf_exit {
    int32_t leaf, shape;
} hf_exit;

typedef struct hf_mask {
    int32_t shape, tree; /* shape: HF_NONE: none */
    int32_t n_exits;
    int32_t deepest; /* how far above the base the stack may have to grow, for some token */
    int64_t used;    /* when it was used last */
    uint32_t *bits;  /* [words] */
    hf_exit *exits;  /* [HF_EXITS] */
} hf_mask;

/* What one walk through the tree needs. */
typedef struct hf_walk {
    hf_machine *machine;
    const harp_vocabulary *words;
    hf_place *level; /* [longest + 1]: where the bytes up to each depth lead */
    uint32_t *bits;  /* the tokens that stay alive */
    hf_mask *mask;   /* while it is made; NULL: the base is at hand */
    int32_t floor;   /* the base's uppermost frame while a mask is made */
    int32_t limit;   /* of the stack's depth */
} hf_walk;

static void hf_allow(const harp_vocabulary *v, const hf_leaf *leaf, uint32_t *bits)
{
    int32_t i;
    for (i = leaf->first; i < leaf->first + leaf->n; i++) bits[v->order[i] >> 5] |= 1u << (v->order[i] & 31);
}

/* The place is alive at this leaf: makes it ready for the leaves below. 0: they are not to be tried here. */
static int hf_descend(hf_walk *w, hf_place *p, int32_t leaf)
{
    hf_machine *m = w->machine;
    if (!m->shapes[p->shape].is_open) return 1;
    hf_lower(m, p, w->floor);
    if (p->shape < 0) return 0;
    if (!w->mask || !m->shapes[p->shape].is_open) return 1;
    if (w->mask->n_exits < HF_EXITS)
        w->mask->exits[w->mask->n_exits].leaf = leaf, w->mask->exits[w->mask->n_exits].shape = p->shape;
    w->mask->n_exits++;
    return 0;
}

/* Tries the leaves from `from` to before `to`, whose parents' places are in w->level. */
static void hf_try_leaves(hf_walk *w, int32_t from, int32_t to)
{
    hf_machine *m = w->machine;
    const hf_leaf *leaves = w->words->leaves;
    int32_t i, depth;
    for (i = from; i < to && !m->trouble;) {
        const hf_leaf *leaf = &leaves[i];
        hf_place p = w->level[leaf->depth - 1];
        hf_step(m, &p, leaf->byte);
        if (p.shape < 0) {
            i = leaf->skip;
            continue;
        }
        depth = m->frames[p.base].depth + m->shapes[p.shape].need;
        if (depth > w->limit) {
            i = leaf->skip;
            continue;
        }
        if (w->mask && depth > w->mask->deepest) w->mask->deepest = depth;
        if (leaf->n) hf_allow(w->words, leaf, w->bits);
        if (leaf->skip == i + 1) i++;
        else if (hf_descend(w, &p, i)) w->level[leaf->depth] = p, i++;
        else i = leaf->skip;
    }
}

static size_t hf_words(const harp_vocabulary *v) { return (size_t)v->n / 32 + 1; }

/* A number of a loop that is as far from its limits as n, or both are further than L. */
static uint64_t hf_twin_number(const hf_loop *loop, uint64_t n, int32_t longest)
{
    int64_t to_least = loop->least - (int64_t)n, to_most = loop->most == HF_NONE ? INT64_MAX : loop->most - (int64_t)n;
    if (to_least > longest) return (uint64_t)(loop->least - longest - 1);
    return to_least <= 0 && to_most > longest ? (uint64_t)loop->least : n;
}

/* The shape that allows the same tokens of up to `longest` bytes. HF_DEAD if there is no room: trouble. */
static int32_t hf_twin(hf_machine *m, int32_t shape, int32_t longest)
{
    const hf_shape s = m->shapes[shape];
    int32_t i, kept = 0, others = 0;
    for (i = 0; i < s.n; i++) {
        hf_item r = m->items[s.first + i];
        int32_t loop = m->form->ops[r.op].loop;
        if (loop != HF_NONE) r.number = hf_twin_number(&m->form->loops[loop], r.number, longest);
        others += r.number != m->items[s.first + i].number;
        m->found[i] = r;
    }
    if (!others) return shape;
    hf_sort_readers(m->found, s.n);
    for (i = 0; i < s.n; i++)
        if (i == 0 || hf_reader_before(&m->found[kept - 1], &m->found[i])) m->found[kept++] = m->found[i];
    return hf_shape_of(m, m->found, kept);
}

/* All tokens of a tree, tried on the very base. */
static void hf_try_all(hf_walk *w, int32_t tree, const hf_place *p)
{
    w->mask = NULL, w->floor = 0, w->level[0] = *p;
    hf_try_leaves(w, w->words->tree[tree].from, w->words->tree[tree].to);
}

static void hf_make_mask(hf_walk *w, hf_mask *mask, int32_t tree, const hf_place *p)
{
    uint32_t *bits = w->bits;
    int32_t limit = w->limit, depth = w->machine->frames[p->base].depth;
    mask->shape = HF_NONE, mask->tree = tree, mask->n_exits = 0, mask->deepest = depth;
    w->mask = mask, w->bits = mask->bits, w->floor = p->base, w->limit = INT32_MAX, w->level[0] = *p;
    memset(mask->bits, 0, hf_words(w->words) * sizeof *mask->bits);
    hf_try_leaves(w, w->words->tree[tree].from, w->words->tree[tree].to);
    if (!w->machine->trouble && mask->n_exits <= HF_EXITS) mask->shape = p->shape, mask->deepest -= depth;
    w->bits = bits, w->limit = limit, w->mask = NULL;
}

/* The mask's tokens, and those that leave the shape. */
static void hf_use_mask(hf_walk *w, const hf_mask *mask, const hf_place *p)
{
    size_t k, n = hf_words(w->words);
    int32_t i;
    for (k = 0; k < n; k++) w->bits[k] |= mask->bits[k];
    w->floor = 0;
    for (i = 0; i < mask->n_exits && !w->machine->trouble; i++) {
        const hf_leaf *leaf = &w->words->leaves[mask->exits[i].leaf];
        hf_place q = *p;
        q.shape = mask->exits[i].shape;
        hf_lower(w->machine, &q, 0);
        if (q.shape < 0) continue;
        w->level[leaf->depth] = q;
        hf_try_leaves(w, mask->exits[i].leaf + 1, leaf->skip);
    }
}

/* ================================================================================================================
 * [F13] Guides
 * ============================================================================================================= */

enum { HF_REMEMBERED = 1 << 14 }; /* tokens of an answer whose places are kept; later ones are read again */

struct harp_guide {
    const harp_form *form;
    const harp_vocabulary *words; /* or NULL */
    hf_machine machine;
    hf_walk walk;
    hf_mask masks[HF_MASKS];
    int64_t clock;     /* counts uses of masks */
    int64_t forgotten; /* when places and masks were last known to be good */
    int32_t begin;     /* or HARP_GUIDE_HERE */
    int32_t *tokens;   /* [HF_REMEMBERED]: of the answer, */
    hf_place *places;  /* [HF_REMEMBERED + 1]: where it was before each; the shape may be HF_UNKNOWN */
    int32_t n_known;   /* of tokens */
    char problem[160];
    size_t bytes;
};

static int hf_guide_memory(harp_guide *g)
{
    size_t machine = hf_machine_bytes(g->form), words = g->words ? hf_words(g->words) : 0;
    size_t bits = words * (HF_MASKS + 1) * sizeof(uint32_t), exits = words ? HF_MASKS * HF_EXITS * sizeof(hf_exit) : 0;
    size_t levels = g->words ? ((size_t)g->words->longest + 1) * sizeof(hf_place) : 0;
    size_t answer = HF_REMEMBERED * sizeof(int32_t) + (HF_REMEMBERED + 1) * sizeof(hf_place), i;
    char *block;
    g->bytes = machine + bits + exits + levels + answer;
    block = (char *)g->form->allocator.alloc(g->form->allocator.user, g->bytes);
    if (!block) return 0;
    hf_machine_open(&g->machine, g->form, block);
    block += machine;
    g->places = (hf_place *)(void *)block, block += (HF_REMEMBERED + 1) * sizeof(hf_place);
    g->tokens = (int32_t *)(void *)block, block += HF_REMEMBERED * sizeof(int32_t);
    if (!words) return 1;
    g->walk.level = (hf_place *)(void *)block, block += levels;
    for (i = 0; i < HF_MASKS; i++) {
        g->masks[i].shape = HF_NONE;
        g->masks[i].exits = (hf_exit *)(void *)block, block += HF_EXITS * sizeof(hf_exit);
        g->masks[i].bits = (uint32_t *)(void *)block, block += words * sizeof(uint32_t);
    }
    g->walk.bits = (uint32_t *)(void *)block;
    return 1;
}

HARP_API harp_status harp_guide_open(harp_guide **guide, const harp_form *form, const harp_vocabulary *words,
                                     harp_error *err)
{
    harp_guide *g;
    if (!guide || !form) return hf_fail(err, HARP_ERR_ARGUMENT, "guide and form must not be NULL");
    *guide = NULL;
    g = (harp_guide *)form->allocator.alloc(form->allocator.user, sizeof *g);
    if (g) memset(g, 0, sizeof *g), g->form = form, g->words = words;
    if (!g || !hf_guide_memory(g)) {
        if (g) form->allocator.free(form->allocator.user, g, sizeof *g);
        return hf_fail(err, HARP_ERR_MEMORY, "there is not enough memory for a guide");
    }
    g->walk.machine = &g->machine, g->walk.words = words;
    g->begin = HARP_GUIDE_HERE, g->places[0] = hf_start(&g->machine);
    *guide = g;
    return hf_fine(err);
}

HARP_API void harp_guide_close(harp_guide *g)
{
    harp_allocator a;
    if (!g) return;
    a = g->form->allocator;
    a.free(a.user, g->machine.items, g->bytes); /* the block begins with them */
    a.free(a.user, g, sizeof *g);
}

HARP_API size_t harp_guide_bytes(const harp_guide *g) { return g ? sizeof *g + g->bytes : 0; }

HARP_API const char *harp_guide_problem(const harp_guide *g) { return g ? g->problem : ""; }

HARP_API void harp_guide_begin(harp_guide *g, int32_t position)
{
    if (!g) return;
    g->begin = position < 0 ? HARP_GUIDE_HERE : position;
    g->n_known = 0, g->problem[0] = 0;
}

/* After the machine forgot: shapes have other numbers. */
static void hf_check_memory(harp_guide *g)
{
    int32_t i;
    if (g->forgotten == g->machine.forgotten) return;
    g->forgotten = g->machine.forgotten;
    for (i = 0; i <= g->n_known; i++) g->places[i].shape = HF_UNKNOWN;
    for (i = 0; i < HF_MASKS; i++) g->masks[i].shape = HF_NONE;
}

static void hf_say_trouble(harp_guide *g)
{
    static const char *const what[] = {
        "", "the form needs more memory for one token than a guide has",
        "the form is too ambiguous: there are more than 2048 ways to read the answer at once",
        "the answer is nested too deeply"};
    if (g->machine.trouble && !g->problem[0]) snprintf(g->problem, sizeof g->problem, "%s", what[g->machine.trouble]);
}

/* The place as one more byte finds it: nothing open. */
static hf_place hf_lowered(harp_guide *g, hf_place *p)
{
    hf_place low = *p;
    if (low.shape < 0) return low;
    g->machine.trouble = HF_WELL;
    hf_lower(&g->machine, &low, 0);
    if (g->machine.trouble == HF_FULL) {
        hf_forget(&g->machine, p);
        low = *p;
        hf_lower(&g->machine, &low, 0);
    }
    if (g->machine.trouble) low.shape = HF_DEAD;
    return low;
}

static int hf_may_end(harp_guide *g, hf_place *p)
{
    hf_place low = hf_lowered(g, p);
    return low.shape >= 0 && g->machine.shapes[low.shape].may_end;
}

/* One token further. What has no text changes nothing; an end token is in its place where the form may end. */
static void hf_read_token(harp_guide *g, hf_place *p, int32_t token)
{
    const harp_vocabulary *v = g->words;
    int32_t i;
    if (token < 0 || token >= v->n) p->shape = HF_DEAD;
    else if (hf_is_end(v, token)) {
        if (!hf_may_end(g, p)) p->shape = HF_DEAD;
    } else
        for (i = 0; i < v->lengths[token] && p->shape >= 0; i++)
            hf_advance(&g->machine, p, (unsigned char)v->texts[token][i]);
}

/* Where every answer begins; it is asked for again after the machine forgot. */
static hf_place hf_first_place(harp_guide *g)
{
    g->machine.trouble = HF_WELL, g->places[0] = hf_start(&g->machine);
    if (g->machine.trouble == HF_FULL) {
        hf_machine_clear(&g->machine), g->machine.forgotten++;
        hf_check_memory(g);
        g->places[0] = hf_start(&g->machine);
    }
    return g->places[0];
}

/* Where the answer tokens[n] is. Starts from the longest beginning that is known. */
static hf_place hf_place_of(harp_guide *g, const int32_t *tokens, int32_t n)
{
    int32_t same = 0, i;
    hf_place p;
    while (same < n && same < g->n_known && tokens[same] == g->tokens[same]) same++;
    g->n_known = same;
    for (i = same; i > 0 && g->places[i].shape == HF_UNKNOWN;) i--;
    if (i == 0) hf_first_place(g);
    for (p = g->places[i]; i < n; i++) {
        hf_read_token(g, &p, tokens[i]);
        hf_check_memory(g);
        if (i >= HF_REMEMBERED) continue;
        g->tokens[i] = tokens[i], g->places[i + 1] = p;
        if (i + 1 > g->n_known) g->n_known = i + 1;
    }
    hf_say_trouble(g);
    return p;
}

static harp_guide_state hf_state_of_place(harp_guide *g, hf_place *p)
{
    hf_place low = hf_lowered(g, p);
    const hf_shape *s;
    if (low.shape < 0) return HARP_GUIDE_OUTSIDE;
    s = &g->machine.shapes[low.shape];
    if (!s->may_end) return HARP_GUIDE_OPEN;
    return s->n_ready == 1 ? HARP_GUIDE_CLOSED : HARP_GUIDE_COMPLETE;
}

HARP_API harp_guide_state harp_guide_at(harp_guide *g, const int32_t *tokens, int32_t n)
{
    hf_place p;
    harp_guide_state state;
    if (!g || !g->words || !tokens || n < 0) return HARP_GUIDE_OUTSIDE;
    if (g->begin == HARP_GUIDE_HERE || n < g->begin) return HARP_GUIDE_OPEN;
    p = hf_place_of(g, tokens + g->begin, n - g->begin);
    state = hf_state_of_place(g, &p);
    hf_check_memory(g);
    return state;
}

HARP_API harp_guide_state harp_guide_read(harp_guide *g, const char *text, size_t bytes)
{
    hf_place p;
    harp_guide_state state;
    size_t i;
    if (!g || (!text && bytes)) return HARP_GUIDE_OUTSIDE;
    g->problem[0] = 0, g->n_known = 0;
    p = hf_first_place(g);
    for (i = 0; i < bytes && p.shape >= 0; i++) hf_advance(&g->machine, &p, (unsigned char)text[i]);
    hf_say_trouble(g);
    state = hf_state_of_place(g, &p);
    hf_check_memory(g);
    return state;
}

static hf_mask *hf_mask_of(harp_guide *g, int32_t tree, const hf_place *p)
{
    hf_mask *oldest = &g->masks[0];
    int i;
    for (i = 0; i < HF_MASKS; i++) {
        if (g->masks[i].shape == p->shape && g->masks[i].tree == tree)
            return g->masks[i].used = ++g->clock, &g->masks[i];
        if (g->masks[i].shape == HF_NONE) g->masks[i].used = 0;
        if (g->masks[i].used < oldest->used) oldest = &g->masks[i];
    }
    hf_make_mask(&g->walk, oldest, tree, p);
    oldest->used = ++g->clock;
    return oldest;
}

/* The tokens of a tree that may follow a place that is not open. */
static void hf_find_in_tree(harp_guide *g, int32_t tree, hf_place p)
{
    hf_machine *m = &g->machine;
    int32_t twin = hf_twin(m, p.shape, g->words->tree[tree].longest);
    hf_mask *mask;
    if (m->trouble) return;
    p.shape = twin;
    mask = hf_mask_of(g, tree, &p);
    if (m->trouble) return;
    if (mask->shape == twin && m->frames[p.base].depth + mask->deepest <= g->walk.limit)
        hf_use_mask(&g->walk, mask, &p);
    else hf_try_all(&g->walk, tree, &p);
}

/* The tokens that may follow, into walk.bits; the stack grows to `limit` at most. */
static void hf_find_tokens(harp_guide *g, hf_place *p, int32_t limit)
{
    int32_t tries, tree;
    for (tries = 0; tries < 2; tries++) {
        hf_place low = hf_lowered(g, p);
        hf_check_memory(g);
        memset(g->walk.bits, 0, hf_words(g->words) * sizeof *g->walk.bits);
        if (low.shape < 0) return;
        g->walk.limit = limit;
        for (tree = 0; tree < HF_TREES && !g->machine.trouble; tree++) hf_find_in_tree(g, tree, low);
        if (g->machine.trouble != HF_FULL || tries > 0) return;
        hf_forget(&g->machine, p);
        hf_check_memory(g);
    }
}

static int hf_any(const harp_guide *g)
{
    size_t i, n = hf_words(g->words);
    for (i = 0; i < n; i++)
        if (g->walk.bits[i]) return 1;
    return 0;
}

static void hf_forbid_others(const harp_guide *g, float *add)
{
    const uint32_t *bits = g->walk.bits;
    int32_t i, n = g->words->n;
    for (i = 0; i < n; i++)
        if (!(bits[i >> 5] >> (i & 31) & 1u)) add[i] = -INFINITY;
}

HARP_API int harp_guide_adjust(void *user, const int32_t *tokens, int32_t n, const float *logits, float *add,
                               int32_t vocab)
{
    harp_guide *g = (harp_guide *)user;
    hf_place p;
    int32_t limit, i;
    int may_end;
    (void)logits;
    if (g->begin == HARP_GUIDE_HERE) g->begin = n;
    if (n < g->begin) return 0;
    if (!g->words || vocab != g->words->n) {
        snprintf(g->problem, sizeof g->problem, "the guide's vocabulary is not the session's");
        return 1;
    }
    g->problem[0] = 0;
    p = hf_place_of(g, tokens + g->begin, n - g->begin);
    if (p.shape < 0 && !g->problem[0])
        snprintf(g->problem, sizeof g->problem, "the answer so far is not in the form: rewind it");
    if (p.shape < 0) return 1;
    may_end = hf_may_end(g, &p);
    limit = g->machine.frames[p.base].depth + g->machine.shapes[p.shape].need;
    if (limit < HF_SOFT_DEPTH) limit = HF_SOFT_DEPTH;
    for (; !g->machine.trouble; limit += HF_SOFT_DEPTH) {
        hf_find_tokens(g, &p, limit);
        if (g->machine.trouble || may_end || limit > HF_MOST_DEPTH || hf_any(g)) break;
    }
    hf_check_memory(g);
    if (g->n_known == n - g->begin && n - g->begin <= HF_REMEMBERED) g->places[n - g->begin] = p;
    hf_say_trouble(g);
    if (g->machine.trouble) return 1;
    if (may_end)
        for (i = 0; i < g->words->n_end; i++)
            if (g->words->end[i] >= 0 && g->words->end[i] < vocab)
                g->walk.bits[g->words->end[i] >> 5] |= 1u << (g->words->end[i] & 31);
    hf_forbid_others(g, add);
    return 0;
}

/* ================================================================================================================
 * [F14] Choosing
 *
 * The texts' tokens form a tree; each of its inner nodes costs a pass, whose logits serve all texts that go through it.
 * ============================================================================================================= */

typedef struct hf_candidate {
    int32_t *tokens;
    size_t n;
    double sum; /* of logarithms */
} hf_candidate;

static int hf_begins_with(const hf_candidate *c, const hf_candidate *with, size_t n)
{
    return c->n >= n && (n == 0 || memcmp(c->tokens, with->tokens, n * sizeof *c->tokens) == 0);
}

static double hf_end_probability(const harp_info *info, const float *logits)
{
    double sum = 0;
    int32_t i;
    for (i = 0; i < info->n_end; i++) sum += exp((double)harp_logprob(logits, info->vocab, info->end[i]));
    return sum;
}

/* What may follow the first `at` tokens of candidate i, for all that begin so. What the session holds of them from the
 * text before stays. */
static harp_status hf_weigh(harp_session *session, const harp_info *info, hf_candidate *c, int32_t n, int32_t i,
                            size_t at, int32_t prompt, harp_error *err)
{
    const float *logits;
    int32_t k, held, same = 0, most = (int32_t)at;
    const int32_t *tokens = harp_tokens(session, &held);
    harp_status status;
    while (same < most && prompt + same < held && tokens[prompt + same] == c[i].tokens[same]) same++;
    if (held > prompt + same && (status = harp_rewind(session, prompt + same, err)) != HARP_OK) return status;
    if (same < most && (status = harp_feed(session, c[i].tokens + same, most - same, err)) != HARP_OK) return status;
    if ((status = harp_next(session, NULL, err)) != HARP_OK) return status;
    logits = harp_logits(session, HARP_COMBINED);
    for (k = i; k < n; k++) {
        if (!hf_begins_with(&c[k], &c[i], at)) continue;
        if (c[k].n > at) c[k].sum += (double)harp_logprob(logits, info->vocab, c[k].tokens[at]);
        else c[k].sum += log(hf_end_probability(info, logits));
    }
    return HARP_OK;
}

static harp_status hf_weigh_all(harp_session *session, const harp_info *info, hf_candidate *c, int32_t n,
                                int32_t prompt, harp_error *err)
{
    int32_t i, k;
    size_t at;
    harp_status status;
    for (i = 0; i < n; i++)
        for (at = 0; at <= c[i].n; at++) {
            int goes_on = at < c[i].n, known = 0;
            for (k = 0; k < n; k++) {
                if (k == i || !hf_begins_with(&c[k], &c[i], at)) continue;
                if (k < i) known = 1;
                if (c[k].n > at) goes_on = 1;
            }
            if (goes_on && !known && (status = hf_weigh(session, info, c, n, i, at, prompt, err)) != HARP_OK)
                return status;
        }
    return HARP_OK;
}

/* Logarithms to probabilities whose sum is 1. */
static void hf_normalise(const hf_candidate *c, int32_t n, double *probability, int32_t *best)
{
    double total = 0;
    int32_t i, first = 0;
    for (i = 1; i < n; i++)
        if (c[i].sum > c[first].sum) first = i;
    for (i = 0; i < n; i++) total += probability[i] = exp(c[i].sum - c[first].sum);
    for (i = 0; i < n; i++) probability[i] /= total;
    if (best) *best = first;
}

HARP_API harp_status harp_form_choose(harp_session *session, const harp_model *model, const char *const *texts,
                                      int32_t n, double *probability, int32_t *best, harp_error *err)
{
    harp_info info = harp_model_info(model);
    hf_candidate *c;
    harp_status status = HARP_OK;
    int32_t i, prompt = 0;
    if (!session || !model || !texts || !probability || n < 1 || n > HF_MOST_CHOICES)
        return hf_fail(err, HARP_ERR_ARGUMENT, "a session, its model, and 1 to %d texts to choose from are needed",
                       HF_MOST_CHOICES);
    harp_tokens(session, &prompt);
    c = (hf_candidate *)calloc((size_t)n, sizeof *c);
    if (!c) return hf_fail(err, HARP_ERR_MEMORY, "there is not enough memory to choose");
    for (i = 0; i < n && status == HARP_OK; i++) {
        size_t bytes = texts[i] ? strlen(texts[i]) : 0, room = bytes + 16;
        c[i].tokens = (int32_t *)malloc(room * sizeof *c[i].tokens);
        if (bytes == 0) status = hf_fail(err, HARP_ERR_ARGUMENT, "text %ld to choose from is empty", (long)i + 1);
        else if (!c[i].tokens) status = hf_fail(err, HARP_ERR_MEMORY, "there is not enough memory to choose");
        else status = harp_encode(model, texts[i], bytes, HARP_ENCODE_CONTINUE, c[i].tokens, room, &c[i].n, err);
        if (status == HARP_OK && c[i].n > (size_t)(harp_session_info(session).context - prompt))
            status = hf_fail(err, HARP_ERR_CONTEXT, "text %ld to choose from has %ld tokens; the context has room for "
                             "%ld", (long)i + 1, (long)c[i].n, (long)(harp_session_info(session).context - prompt));
    }
    if (status == HARP_OK) status = hf_weigh_all(session, &info, c, n, prompt, err);
    if (harp_rewind(session, prompt, status ? NULL : err) && status == HARP_OK) status = HARP_ERR_ARGUMENT;
    if (status == HARP_OK) hf_normalise(c, n, probability, best);
    for (i = 0; i < n; i++) free(c[i].tokens);
    free(c);
    return status;
}

#endif /* HARP_FORM_IMPLEMENTATION */
