/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * template.c - the public face of the template language: parse, render, marks; memory and the first failure */
#include "language.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct cv_template {
    arena memory;
    node *body;
};

void template_stop(outcome *o, int status, const char *format, ...)
{
    va_list rest;
    if (o->status) return;
    o->status = status;
    int used = snprintf(o->err->text, sizeof o->err->text, "chat template, line %d: ", o->line);
    va_start(rest, format);
    vsnprintf(o->err->text + used, sizeof o->err->text - (size_t)used, format, rest);
    va_end(rest);
    for (char *p = o->err->text; *p; p++) {
        if ((unsigned char)*p < 32 || *p == 127) *p = ' ';
    }
}

/* ---- memory ---- */

union chunk {
    struct {
        union chunk *next;
        size_t used, size; /* of the bytes after this head */
    } head;
    long double alignment;
};

enum { CHUNK = 64 * 1024 }; /* memory is taken from the system in such pieces */

static chunk *add_chunk(arena *a, size_t bytes)
{
    size_t size = bytes > CHUNK ? bytes : CHUNK;
    if (bytes > MAX_MEMORY || a->total > MAX_MEMORY - size) {
        template_stop(a->result, CV_TEMPLATE_REFUSED, "it wants more than %d MiB of memory", MAX_MEMORY >> 20);
        return NULL;
    }
    chunk *c = cv_alloc(1, sizeof *c + size, a->result->err);
    if (!c) a->result->status = CV_TEMPLATE_BAD;
    if (!c) return NULL;
    c->head.next = a->first;
    c->head.size = size;
    a->first = c;
    a->total += size;
    return c;
}

void *arena_take(arena *a, size_t bytes)
{
    chunk *c = a->first;
    if (a->result->status) return NULL;
    if (bytes > MAX_MEMORY) bytes = (size_t)MAX_MEMORY + 1; /* refused by add_chunk; rounding cannot overflow */
    bytes = (bytes + 15) / 16 * 16;
    if (!c || c->head.size - c->head.used < bytes) c = add_chunk(a, bytes);
    if (!c) return NULL;
    void *taken = (char *)(c + 1) + c->head.used;
    c->head.used += bytes;
    return taken;
}

void arena_free(arena *a)
{
    while (a->first) {
        chunk *next = a->first->head.next;
        free(a->first);
        a->first = next;
    }
}

/* ---- parse ---- */

int cv_template_parse(const char *data, size_t bytes, cv_template **parsed, cv_error *err)
{
    outcome result = {err, 0, 1};
    *parsed = NULL;
    cv_template *made = cv_alloc(1, sizeof *made, err);
    if (!made) return CV_TEMPLATE_BAD;
    made->memory.result = &result;
    if (bytes > MAX_TEMPLATE) {
        template_stop(&result, CV_TEMPLATE_REFUSED, "it has more than %d KiB", MAX_TEMPLATE / 1024);
    }
    const token *tokens = result.status ? NULL : lex((cv_text){data, bytes}, &made->memory, &result);
    if (!result.status) made->body = parse(tokens, &made->memory, &result);
    made->memory.result = NULL;
    if (result.status) cv_template_free(made);
    else *parsed = made;
    return result.status;
}

void cv_template_free(cv_template *parsed)
{
    if (!parsed) return;
    arena_free(&parsed->memory);
    free(parsed);
}

/* ---- marks ---- */

typedef struct marks {
    cv_text *found;
    size_t count, max;
} marks;

static void add_mark(marks *m, const node *n)
{
    if (!n || n->kind != N_TEXT || m->count == m->max) return;
    for (size_t i = 0; i < m->count; i++) {
        if (text_same(m->found[i], n->text)) return;
    }
    m->found[m->count++] = n->text;
}

static void collect_marks(marks *m, const node *n) /* n and what follows it in its chain */
{
    for (; n; n = n->next) {
        int method = n->kind == N_CALL && n->a->kind == N_ATTR;
        if (n->kind == N_BINARY && text_among(n->text, "in notin == !=")) add_mark(m, n->a);
        if (n->kind == N_BINARY && text_among(n->text, "== !=")) add_mark(m, n->b);
        if (method && text_among(n->a->text, "split replace startswith endswith")) add_mark(m, n->list);
        if (n->kind == N_FILTER && text_is(n->text, "replace")) add_mark(m, n->list);
        collect_marks(m, n->a);
        collect_marks(m, n->b);
        collect_marks(m, n->c);
        collect_marks(m, n->list);
    }
}

size_t cv_template_marks(const cv_template *parsed, cv_text *found, size_t max)
{
    marks m = {found, 0, max};
    collect_marks(&m, parsed->body);
    return m.count;
}

/* ---- render: what the template is given, and what it writes ---- */

static value text_value(const char *s) { return of_text(text_of(s)); }

static void bind_messages(run *r, const cv_conversation *input)
{
    value messages = new_items(r, V_LIST);
    for (size_t i = 0; i < input->count; i++) {
        value message = new_items(r, V_MAP);
        map_put(r, message, text_value("role"), text_value(input->messages[i].role));
        map_put(r, message, text_value("content"), text_value(input->messages[i].content));
        list_add(r, messages, message);
    }
    bind(r, text_of("messages"), messages);
}

/* A template that names one that is not here is refused: nobody knows whether it is undefined where it comes from. */
static void bind_specials(run *r, const cv_specials *s)
{
    const struct {
        const char *name, *text;
    } tokens[] = {{"bos_token", s->bos}, {"eos_token", s->eos}, {"unk_token", s->unk},  {"sep_token", s->sep},
                  {"pad_token", s->pad}, {"cls_token", s->cls}, {"mask_token", s->mask}};
    value additional = new_items(r, V_LIST);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        if (tokens[i].text) bind(r, text_of(tokens[i].name), text_value(tokens[i].text));
    }
    for (size_t i = 0; i < s->n_additional; i++) list_add(r, additional, text_value(s->additional[i]));
    if (s->n_additional) bind(r, text_of("additional_special_tokens"), additional);
}

int cv_template_render(const cv_template *parsed, const cv_conversation *input, char **out, size_t *bytes,
                       cv_error *err)
{
    run *r = cv_alloc(1, sizeof *r, err);
    *out = NULL;
    *bytes = 0;
    if (!r) return CV_TEMPLATE_BAD;
    r->result = (outcome){err, 0, 1};
    r->memory.result = &r->result;
    r->steps = MAX_STEPS;
    put(r, text_of("")); /* so that there is an output even if nothing is written */
    bind_messages(r, input);
    bind(r, text_of("tools"), of_kind(V_NONE));
    bind(r, text_of("documents"), of_kind(V_NONE));
    bind(r, text_of("add_generation_prompt"), of_boolean(input->add_generation_prompt));
    bind_specials(r, input->specials);
    r->today = input->specials->today;
    execute(r, parsed->body->list);
    int status = r->result.status;
    arena_free(&r->memory);
    if (status) free(r->out);
    else *out = r->out, *bytes = r->out_bytes;
    free(r);
    return status;
}
