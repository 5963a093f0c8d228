/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * value.c - what expressions evaluate to, the output they are written to, and the operators between them */
#include "language.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {"undefined", "none",      "a boolean", "a number", "a text",    "a list",
                                         "a map",     "namespace", "loop",      "a macro",  "a function"};

int spend(run *r, uint64_t bytes)
{
    uint64_t cost = 1 + bytes / 16;
    if (cost > (uint64_t)r->steps) refuse(r, "it takes more than %d steps", MAX_STEPS);
    else r->steps -= (int64_t)cost;
    return !r->result.status;
}

int spend_search(run *r, cv_text where, cv_text what)
{
    return spend(r, where.bytes * (uint64_t)(what.bytes + 16));
}

value refuse(run *r, const char *format, ...)
{
    char what[400];
    va_list rest;
    va_start(rest, format);
    vsnprintf(what, sizeof what, format, rest);
    va_end(rest);
    template_stop(&r->result, CV_TEMPLATE_REFUSED, "%s", what);
    return of_kind(V_UNDEFINED);
}

value refuse_kind(run *r, const char *what, value v)
{
    if (v.kind == V_UNDEFINED) return refuse(r, "'%.*s' is undefined", SHOWN(v.text));
    return refuse(r, "%s does not work on %s here", what, kind_names[v.kind]);
}

value of_kind(int kind) { return (value){kind, 0, {"", 0}, NULL, NULL}; }

value of_boolean(int truth) { return (value){V_BOOLEAN, truth != 0, {"", 0}, NULL, NULL}; }

value of_integer(int64_t integer) { return (value){V_INTEGER, integer, {"", 0}, NULL, NULL}; }

value of_text(cv_text t) { return (value){V_TEXT, 0, t, NULL, NULL}; }

value of_undefined(const char *name) { return (value){V_UNDEFINED, 0, text_of(name), NULL, NULL}; }

int is_number(value v) { return v.kind == V_INTEGER || v.kind == V_BOOLEAN; }

int in_range(int64_t i) { return i < ((int64_t)1 << 62) && i > -((int64_t)1 << 62); }

int is_true(value v)
{
    if (is_number(v)) return v.integer != 0;
    if (v.kind == V_TEXT || v.kind == V_LIST || v.kind == V_MAP) return length_of(v) != 0;
    return v.kind != V_UNDEFINED && v.kind != V_NONE;
}

size_t length_of(value v)
{
    if (!v.items) return text_length(v.text);
    return v.kind == V_LIST ? v.items->count : v.items->count / 2;
}

/* ---- lists and maps ---- */

value new_items(run *r, int kind)
{
    value v = of_kind(kind);
    v.items = arena_take(&r->memory, sizeof *v.items);
    return v.items ? v : of_kind(V_UNDEFINED);
}

void list_add(run *r, value list, value item)
{
    items *l = list.items;
    if (!l || !spend(r, sizeof item)) return;
    if (l->count == l->capacity) {
        size_t capacity = l->capacity * 2 + 4;
        value *more = arena_take(&r->memory, capacity * sizeof *more);
        if (!more) return;
        if (l->count) memcpy(more, l->at, l->count * sizeof *more);
        l->at = more;
        l->capacity = capacity;
    }
    l->at[l->count++] = item;
}

value list_at(value list, size_t i) { return list.items->at[i]; }

value *map_find(value map, cv_text key)
{
    for (size_t i = 0; map.items && i < map.items->count; i += 2) {
        if (text_same(map.items->at[i].text, key)) return &map.items->at[i + 1];
    }
    return NULL;
}

void map_put(run *r, value map, value key, value item)
{
    if (key.kind != V_TEXT) refuse_kind(r, "a key of a map", key);
    if (!map.items || !spend(r, map.items->count * 8)) return;
    value *there = map_find(map, key.text);
    if (there) *there = item;
    if (there) return;
    list_add(r, map, key);
    list_add(r, map, item);
}

/* ---- the output ---- */

void put(run *r, cv_text t)
{
    if (!spend(r, t.bytes)) return;
    if (t.bytes > MAX_OUTPUT - r->out_bytes) {
        refuse(r, "it writes more than %d KiB", MAX_OUTPUT / 1024);
        return;
    }
    if (r->out_bytes + t.bytes + 1 > r->out_capacity) {
        size_t capacity = r->out_capacity + t.bytes + r->out_capacity / 2 + 1024;
        char *grown = cv_grow(r->out, capacity, 1, r->result.err);
        if (!grown) r->result.status = CV_TEMPLATE_BAD;
        if (!grown) return;
        r->out = grown;
        r->out_capacity = capacity;
    }
    memcpy(r->out + r->out_bytes, t.data, t.bytes);
    r->out_bytes += t.bytes;
    r->out[r->out_bytes] = 0;
}

void put_value(run *r, value v)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)v.integer);
    if (v.kind == V_TEXT) put(r, v.text);
    else if (v.kind == V_NONE) put(r, text_of("None"));
    else if (v.kind == V_BOOLEAN) put(r, text_of(v.integer ? "True" : "False"));
    else if (v.kind == V_INTEGER) put(r, text_of(digits));
    else if (v.kind != V_UNDEFINED) refuse_kind(r, "printing", v);
}

value cut(run *r, size_t from)
{
    size_t bytes = r->out_bytes - from;
    char *copy = arena_take(&r->memory, bytes + 1);
    if (!copy) return of_kind(V_UNDEFINED);
    memcpy(copy, r->out + from, bytes);
    r->out_bytes = from;
    r->out[from] = 0; /* what was cut off may have been the last that is ever written */
    return of_text((cv_text){copy, bytes});
}

value to_text(run *r, value v)
{
    size_t from = r->out_bytes;
    if (v.kind == V_TEXT) return v;
    put_value(r, v);
    return cut(r, from);
}

/* ---- operators ---- */

int equal(run *r, value a, value b)
{
    if (is_number(a) && is_number(b)) return a.integer == b.integer;
    if (a.kind != b.kind) return 0;
    if (a.kind == V_TEXT) return spend(r, a.text.bytes) && text_same(a.text, b.text);
    if (a.kind == V_UNDEFINED || a.kind == V_NONE || (a.items && a.items == b.items)) return 1;
    if (a.kind == V_MACRO || a.kind == V_FUNCTION) return a.macro == b.macro && text_same(a.text, b.text);
    if (a.kind == V_SPACE || a.kind == V_LOOP || length_of(a) != length_of(b)) return 0;
    if (length_of(a)) refuse(r, "comparing %s with another is not supported", kind_names[a.kind]);
    return 1;
}

static int contains(run *r, value where, value item)
{
    int found = 0;
    if (where.kind == V_UNDEFINED) return 0;
    if (where.kind == V_MAP) {
        return item.kind == V_TEXT && spend(r, where.items->count * 8) && map_find(where, item.text);
    }
    for (size_t i = 0; where.kind == V_LIST && !found && i < length_of(where) && spend(r, 0); i++) {
        found = equal(r, item, list_at(where, i));
    }
    if (where.kind == V_LIST) return found;
    if (where.kind != V_TEXT || item.kind != V_TEXT) refuse_kind(r, "'in'", where.kind == V_TEXT ? item : where);
    if (!spend_search(r, where.text, item.text)) return 0;
    return !item.text.bytes || text_find(where.text, item.text, 0) < where.text.bytes;
}

static value join(run *r, value a, value b)
{
    size_t from = r->out_bytes;
    put(r, a.text);
    put(r, b.text);
    return cut(r, from);
}

/* // and % round down, as Python's do. */
static value divide(run *r, cv_text sign, int64_t a, int64_t b)
{
    if (!b) return refuse(r, "it divides by zero");
    int64_t rest = a % b, quotient = a / b;
    if (rest && (rest < 0) != (b < 0)) {
        rest += b;
        quotient--;
    }
    return of_integer(text_is(sign, "%") ? rest : quotient);
}

static value multiply(run *r, int64_t a, int64_t b)
{
    int64_t limit = (int64_t)1 << 31;
    if (a >= limit || a <= -limit || b >= limit || b <= -limit) return refuse(r, "it multiplies large numbers");
    return of_integer(a * b);
}

static value calculate(run *r, cv_text sign, value a, value b)
{
    char what[32];
    int plus = text_is(sign, "+");
    snprintf(what, sizeof what, "the operator %.*s", SHOWN(sign));
    if (plus && a.kind == V_TEXT && b.kind == V_TEXT) return join(r, a, b);
    if (!is_number(a) || text_is(sign, "/")) return refuse_kind(r, what, a.kind == V_TEXT && !is_number(b) ? b : a);
    if (!is_number(b)) return refuse_kind(r, what, b);
    if (!in_range(a.integer) || !in_range(b.integer)) return refuse(r, "it calculates with huge numbers");
    if (plus) return of_integer(a.integer + b.integer);
    if (text_is(sign, "-")) return of_integer(a.integer - b.integer);
    if (text_is(sign, "*")) return multiply(r, a.integer, b.integer);
    return divide(r, sign, a.integer, b.integer);
}

static value compare(run *r, cv_text sign, value a, value b)
{
    if (!is_number(a) || !is_number(b)) return refuse_kind(r, "comparing", is_number(a) ? b : a);
    if (text_is(sign, "<")) return of_boolean(a.integer < b.integer);
    if (text_is(sign, ">")) return of_boolean(a.integer > b.integer);
    return of_boolean(text_is(sign, "<=") ? a.integer <= b.integer : a.integer >= b.integer);
}

value binary(run *r, cv_text sign, value a, value b)
{
    if (text_is(sign, "~")) {
        a = to_text(r, a);
        return join(r, a, to_text(r, b));
    }
    if (text_among(sign, "== !=")) return of_boolean(equal(r, a, b) == text_is(sign, "=="));
    if (text_among(sign, "in notin")) return of_boolean(contains(r, b, a) == text_is(sign, "in"));
    if (text_among(sign, "< > <= >=")) return compare(r, sign, a, b);
    return calculate(r, sign, a, b);
}

/* ---- a.b, a[b], a[b:c:d] ---- */

static value get_index(run *r, value base, int64_t i)
{
    int64_t count = (int64_t)length_of(base);
    if (i < 0 && in_range(i)) i += count;
    if (!spend(r, base.text.bytes) || i < 0 || i >= count) return of_undefined("an item past the end");
    return base.kind == V_LIST ? list_at(base, (size_t)i) : of_text(text_slice(base.text, i, i + 1));
}

value get_item(run *r, value base, value key)
{
    value absent = of_undefined("an item");
    if (base.kind == V_UNDEFINED) return refuse_kind(r, "[ ]", base);
    if ((base.kind == V_LIST || base.kind == V_TEXT) && is_number(key)) return get_index(r, base, key.integer);
    if (key.kind == V_TEXT) absent.text = key.text;
    if (base.kind == V_LIST || !base.items || key.kind != V_TEXT || !spend(r, base.items->count * 8)) return absent;
    const value *there = map_find(base, key.text);
    if (!there && base.kind == V_LOOP) return refuse(r, "'loop.%.*s' is not supported", SHOWN(key.text));
    return there ? *there : absent;
}

/* A method that is not called has no place among our values, so it must not pass for undefined. */
value get_attribute(run *r, value base, cv_text name)
{
    static const char of_texts[] = "strip lstrip rstrip split startswith endswith replace upper lower title capitalize "
                                   "join format find count index encode isdigit isalpha isspace removeprefix";
    static const char of_maps[] = "items keys values get copy pop popitem update setdefault clear fromkeys";
    static const char of_lists[] = "append extend insert remove pop index count reverse sort copy clear";
    const char *methods = base.kind == V_TEXT ? of_texts : base.kind == V_MAP ? of_maps : "";
    if (text_among(name, base.kind == V_LIST ? of_lists : methods)) {
        return refuse(r, "the method '%.*s' is not called", SHOWN(name));
    }
    return get_item(r, base, of_text(name));
}

/* Python's rule for one end of a slice: negative counts from the end, then clamped to low..high. */
static int64_t slice_end(value v, int64_t count, int64_t low, int64_t high, int64_t absent)
{
    if (v.kind == V_NONE) return absent;
    int64_t i = v.integer < 0 ? v.integer + count : v.integer;
    return i < low ? low : i > high ? high : i;
}

static int is_end(value v) { return v.kind == V_NONE || (is_number(v) && in_range(v.integer)); }

value slice(run *r, value base, value first, value last, value step)
{
    if (base.kind != V_LIST && base.kind != V_TEXT) return refuse_kind(r, "[:]", base);
    if (!is_end(first) || !is_end(last) || !is_end(step)) return refuse(r, "the ends of a slice are not numbers");
    int64_t count = (int64_t)length_of(base), by = step.kind == V_NONE ? 1 : step.integer;
    int back = by < 0;
    if (by != 1 && by != -1) return refuse(r, "slices in steps other than 1 and -1 are not supported");
    if (back && base.kind == V_TEXT) return refuse(r, "reversing a text is not supported");
    int64_t from = slice_end(first, count, back ? -1 : 0, back ? count - 1 : count, back ? count - 1 : 0);
    int64_t to = slice_end(last, count, back ? -1 : 0, back ? count - 1 : count, back ? -1 : count);
    if (!spend(r, base.text.bytes)) return base;
    if (base.kind == V_TEXT) return of_text(text_slice(base.text, from, to));
    value part = new_items(r, V_LIST);
    for (int64_t i = from; back ? i > to : i < to; i += by) list_add(r, part, list_at(base, (size_t)i));
    return part;
}
