/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * evaluate.c - runs the tree: scopes, expressions, statements */
#include "language.h"

static value eval(run *r, const node *n);

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

static const binding *find_binding(const run *r, cv_text name)
{
    for (size_t i = r->n_bindings; i-- > r->macro;) {
        if (text_same(r->bindings[i].name, name)) return &r->bindings[i];
    }
    for (size_t i = r->globals; i-- > 0;) {
        if (text_same(r->bindings[i].name, name)) return &r->bindings[i];
    }
    return NULL;
}

void bind(run *r, cv_text name, value v)
{
    size_t i = r->scope;
    while (i < r->n_bindings && !text_same(r->bindings[i].name, name)) i++;
    if (i == MAX_NAMES) refuse(r, "it has more than %d variables", MAX_NAMES);
    if (r->result.status) return;
    r->bindings[i] = (binding){name, v};
    if (i == r->n_bindings) r->n_bindings++;
    if (!r->scope) r->globals = r->n_bindings;
}

/* ---- expressions ---- */

/* Without a date strftime_now is undefined: templates that can do without it then do. */
static value eval_name(run *r, cv_text name)
{
    const binding *b = spend(r, 16 * r->n_bindings) ? find_binding(r, name) : NULL;
    value v = of_undefined("");
    v.text = name;
    if (b) return b->value;
    if (text_among(name, "range namespace raise_exception") || (r->today && text_is(name, "strftime_now"))) {
        v.kind = V_FUNCTION;
    }
    if (text_ends(name, text_of("_token")) || text_ends(name, text_of("_tokens"))) {
        return refuse(r, "it uses '%.*s', whose text is not known", SHOWN(name));
    }
    if (text_among(name, "dict lipsum cycler joiner self caller varargs kwargs")) {
        return refuse(r, "'%.*s' is not supported", SHOWN(name));
    }
    return v;
}

static value eval_text(run *r, const node *n)
{
    if (n->integer) return refuse(r, "a character by number or name in '%.*s' is not supported", SHOWN(n->text));
    return of_text(n->text);
}

static value eval_list(run *r, const node *n)
{
    value list = new_items(r, V_LIST);
    for (const node *i = n->list; i; i = i->next) list_add(r, list, eval(r, i));
    return list;
}

static value eval_map(run *r, const node *n)
{
    value map = new_items(r, V_MAP);
    for (const node *i = n->list; i; i = i->next->next) {
        value key = eval(r, i);
        map_put(r, map, key, eval(r, i->next));
    }
    return map;
}

static void eval_args(run *r, const node *first, args *a)
{
    *a = (args){0};
    for (const node *n = first; n; n = n->next, a->count++) {
        int named = n->kind == N_KEYWORD;
        if (!named && a->count > a->positional) refuse(r, "an argument without a name after one with a name");
        if (named) a->names[a->count] = n->text;
        a->values[a->count] = eval(r, named ? n->a : n);
        a->positional += !named;
    }
}

static void bind_parameters(run *r, const node *parameters, const args *a)
{
    int place = 0, used = 0;
    for (const node *n = parameters->list; n; n = n->next, place++) {
        value v = of_kind(V_UNDEFINED);
        int named = a->positional;
        while (named < a->count && !text_same(a->names[named], n->text)) named++;
        used += place < a->positional || named < a->count;
        v.text = n->text;
        if (place < a->positional) v = a->values[place];
        else if (named < a->count) v = a->values[named];
        else if (n->a) v = eval(r, n->a);
        bind(r, n->text, v);
    }
    if (used < a->count) refuse(r, "a macro is called with arguments it does not have");
}

static value call_macro(run *r, const node *macro, const args *a)
{
    size_t from = r->out_bytes;
    if (r->macros >= MAX_MACROS) return refuse(r, "macros are nested more than %d deep", MAX_MACROS);
    scope outer = enter(r);
    r->macro = r->n_bindings;
    r->macros++;
    bind_parameters(r, macro->a, a);
    execute(r, macro->list);
    r->macros--;
    leave(r, outer);
    return cut(r, from);
}

static value eval_call(run *r, const node *n)
{
    args a;
    int method = n->a->kind == N_ATTR;
    value self = eval(r, method ? n->a->a : n->a);
    eval_args(r, n->list, &a);
    if (r->result.status) return self;
    r->result.line = n->line;
    if (method) return call_method(r, n->a->text, self, &a);
    if (self.kind == V_MACRO) return call_macro(r, self.macro, &a);
    if (self.kind == V_FUNCTION) return call_function(r, self.text, &a);
    if (self.kind == V_UNDEFINED && text_is(self.text, "strftime_now")) {
        return refuse(r, "it calls strftime_now: give the date that the file is to tell (--today 2026-11-30), or say "
                         "the roles by hand (--chat)");
    }
    return refuse_kind(r, "a call", self);
}

static value eval_filter(run *r, const node *n) /* N_FILTER and N_TEST */
{
    args a;
    value self = eval(r, n->a);
    eval_args(r, n->list, &a);
    if (r->result.status) return self;
    r->result.line = n->line;
    if (n->kind == N_FILTER) return call_filter(r, n->text, self, &a);
    return of_boolean(test(r, n->text, self, &a) != n->integer);
}

static value eval_slice(run *r, const node *n)
{
    value base = eval(r, n->a), first = eval(r, n->list), last = eval(r, n->list->next);
    return slice(r, base, first, last, eval(r, n->list->next->next));
}

static value eval_two(run *r, const node *n) /* N_BINARY and N_ITEM */
{
    value a = eval(r, n->a), b = eval(r, n->b);
    if (r->result.status) return a;
    r->result.line = n->line;
    return n->kind == N_ITEM ? get_item(r, a, b) : binary(r, n->text, a, b);
}

static value eval_choice(run *r, const node *n) /* N_AND, N_OR, N_CHOOSE */
{
    value a = eval(r, n->a);
    if (n->kind != N_CHOOSE) return is_true(a) == (n->kind == N_AND) ? eval(r, n->b) : a;
    if (is_true(a)) return eval(r, n->b);
    return n->c ? eval(r, n->c) : of_undefined("an if without else");
}

/* After a failure this returns at once, and so does all that is called meanwhile; nothing looks at the values. */
static value eval(run *r, const node *n)
{
    if (!spend(r, 0)) return of_kind(V_UNDEFINED);
    r->result.line = n->line;
    switch (n->kind) {
    case N_TEXT: return eval_text(r, n);
    case N_INTEGER: return of_integer(n->integer);
    case N_WORD: return n->integer == 2 ? of_kind(V_NONE) : of_boolean(n->integer != 0);
    case N_NAME: return eval_name(r, n->text);
    case N_LIST: return eval_list(r, n);
    case N_MAP: return eval_map(r, n);
    case N_SLICE: return eval_slice(r, n);
    case N_CALL: return eval_call(r, n);
    case N_FILTER:
    case N_TEST: return eval_filter(r, n);
    case N_NOT: return of_boolean(!is_true(eval(r, n->a)));
    case N_ATTR: return get_attribute(r, eval(r, n->a), n->text);
    case N_ITEM:
    case N_BINARY: return eval_two(r, n);
    default: return eval_choice(r, n);
    }
}

/* ---- statements ---- */

static void execute_if(run *r, const node *n)
{
    const node *branch = n->list;
    while (branch && branch->a && !is_true(eval(r, branch->a))) branch = branch->next;
    if (branch) execute(r, branch->list);
}

/* What the loop visits: the items that hold its own condition, as in: for x in items if condition. */
static value loop_items(run *r, const node *n)
{
    value all = eval(r, n->a), kept = new_items(r, V_LIST);
    if (all.kind == V_UNDEFINED) return kept;
    if (all.kind != V_LIST) return refuse_kind(r, "a loop", all);
    if (n->integer) return refuse(r, "a loop over several variables is not supported");
    for (size_t i = 0; n->b && i < length_of(all) && !r->result.status; i++) {
        scope outer = enter(r);
        bind(r, n->text, list_at(all, i));
        if (is_true(eval(r, n->b))) list_add(r, kept, list_at(all, i));
        leave(r, outer);
    }
    return n->b ? kept : all;
}

static void loop_set(run *r, value loop, const char *key, value v) { map_put(r, loop, of_text(text_of(key)), v); }

static void set_loop(run *r, value loop, value list, size_t at)
{
    int64_t i = (int64_t)at, count = (int64_t)length_of(list);
    value absent = of_undefined("an item of the loop");
    loop_set(r, loop, "index0", of_integer(i));
    loop_set(r, loop, "index", of_integer(i + 1));
    loop_set(r, loop, "revindex", of_integer(count - i));
    loop_set(r, loop, "revindex0", of_integer(count - i - 1));
    loop_set(r, loop, "first", of_boolean(i == 0));
    loop_set(r, loop, "last", of_boolean(i == count - 1));
    loop_set(r, loop, "length", of_integer(count));
    loop_set(r, loop, "previtem", at ? list_at(list, at - 1) : absent);
    loop_set(r, loop, "nextitem", i + 1 < count ? list_at(list, at + 1) : absent);
}

static void execute_for(run *r, const node *n)
{
    value list = loop_items(r, n), loop = new_items(r, V_LOOP);
    for (size_t i = 0; !r->result.status && i < length_of(list) && r->leave != S_BREAK; i++) {
        scope outer = enter(r);
        r->leave = 0;
        set_loop(r, loop, list, i);
        bind(r, text_of("loop"), loop);
        bind(r, n->text, list_at(list, i));
        execute(r, n->list);
        leave(r, outer);
    }
    r->leave = 0;
    if (!r->result.status && !length_of(list) && n->c) execute(r, n->c->list);
}

static void execute_scope(run *r, const node *list)
{
    scope outer = enter(r);
    execute(r, list);
    leave(r, outer);
}

static void execute_set(run *r, const node *n)
{
    size_t from = r->out_bytes;
    if (!n->b) execute_scope(r, n->list);
    value v = n->b ? eval(r, n->b) : cut(r, from);
    if (n->a->kind == N_NAME) {
        bind(r, n->a->text, v);
        return;
    }
    value space = eval(r, n->a->a);
    if (space.kind != V_SPACE || n->a->kind != N_ATTR) refuse_kind(r, "'set'", space);
    map_put(r, space, of_text(n->a->text), v);
}

static void execute_macro(run *r, const node *n)
{
    value v = of_kind(V_MACRO);
    v.macro = n;
    bind(r, n->text, v);
}

static void execute_one(run *r, const node *n)
{
    r->result.line = n->line;
    switch (n->kind) {
    case S_DATA: put(r, n->text); break;
    case S_PRINT: put_value(r, eval(r, n->a)); break;
    case S_IF: execute_if(r, n); break;
    case S_FOR: execute_for(r, n); break;
    case S_SET: execute_set(r, n); break;
    case S_MACRO: execute_macro(r, n); break;
    case S_GROUP: execute_scope(r, n->list); break;
    default: r->leave = n->kind;
    }
}

void execute(run *r, const node *list)
{
    for (const node *n = list; n && !r->leave && spend(r, 0); n = n->next) execute_one(r, n);
}
