/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * functions.c - what a template can call: filters, methods, tests, functions
 *
 * Filters and methods are functions of a value; the tables at the end of their section say which there are. */
#include "language.h"

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
static int check_args(run *r, cv_text what, const args *a, int min, int max, const char *names)
{
    if (a->count < min || a->count > max) {
        refuse(r, "'%.*s' with %d arguments is not supported", SHOWN(what), a->count);
    }
    for (int i = a->positional; i < a->count; i++) {
        if (text_among(a->names[i], names)) continue;
        refuse(r, "'%.*s' with the argument '%.*s' is not supported", SHOWN(what), SHOWN(a->names[i]));
    }
    return !r->result.status;
}

static int need_text(run *r, const char *what, value v)
{
    if (v.kind != V_TEXT) refuse_kind(r, what, v);
    return !r->result.status;
}

/* ---- filters and methods; how: which of several kindred ones ---- */

static int is_upper(int c) { return c >= 'A' && c <= 'Z'; }

static int is_lower(int c) { return c >= 'a' && c <= 'z'; }

enum { UPPER, LOWER, TITLE, CAPITALIZE };

/* Only ASCII has its case changed; other letters are refused, for we have no table for them. */
static value change_case(run *r, value self, const args *a, int how)
{
    size_t from = r->out_bytes;
    int up = how != LOWER;
    (void)a;
    if (!need_text(r, "a change of case", self)) return self;
    put(r, self.text);
    for (size_t i = from; i < r->out_bytes; i++) {
        char *p = r->out + i, was = *p;
        if ((unsigned char)was >= 128) return refuse(r, "changing the case of letters outside ASCII is not supported");
        if (up && is_lower(was)) *p = (char)(was - 32);
        if (!up && is_upper(was)) *p = (char)(was + 32);
        up = how == UPPER || (how == TITLE && !is_upper(was) && !is_lower(was));
    }
    return cut(r, from);
}

static value strip(run *r, value self, const args *a, int sides) /* none: only makes it a text */
{
    const value *set = argument(a, 0, "chars");
    cv_text chars = {NULL, 0};
    self = to_text(r, self);
    if (set && set->kind != V_NONE && need_text(r, "stripping by", *set)) chars = set->text;
    if (!spend(r, self.text.bytes * (uint64_t)(chars.bytes + 1))) return self;
    return of_text(text_strip(self.text, chars, sides));
}

static value split(run *r, value self, const args *a, int how)
{
    const value *by = argument(a, 0, "sep"), *most = argument(a, 1, "maxsplit");
    (void)how;
    if (!by || by->kind != V_TEXT || !by->text.bytes) return refuse(r, "'split' at white space is not supported");
    if (most && !is_number(*most)) return refuse_kind(r, "split", *most);
    int64_t left = most && most->integer >= 0 ? most->integer : INT64_MAX;
    cv_text t = self.text;
    value parts = new_items(r, V_LIST);
    for (spend_search(r, t, by->text); !r->result.status; left--) {
        size_t at = left ? text_find(t, by->text, 0) : t.bytes;
        list_add(r, parts, of_text((cv_text){t.data, at}));
        if (at == t.bytes) break;
        t = text_after(t, at + by->text.bytes);
    }
    return parts;
}

static value replace(run *r, value self, const args *a, int how)
{
    const value *old = argument(a, 0, "old"), *by = argument(a, 1, "new");
    size_t from = r->out_bytes;
    (void)how;
    if (!need_text(r, "replace", self)) return self;
    if (!old || !by || old->kind != V_TEXT || by->kind != V_TEXT || !old->text.bytes) {
        return refuse(r, "this use of replace is not supported");
    }
    spend_search(r, self.text, old->text);
    for (cv_text t = self.text; t.bytes && !r->result.status;) {
        size_t at = text_find(t, old->text, 0);
        put(r, (cv_text){t.data, at});
        if (at < t.bytes) put(r, by->text);
        t = text_after(t, at < t.bytes ? at + old->text.bytes : at);
    }
    return cut(r, from);
}

static value begins_or_ends(run *r, value self, const args *a, int ends)
{
    value with = a->values[0];
    if (!need_text(r, "startswith or endswith", with) || !spend(r, with.text.bytes)) return with;
    return of_boolean(ends ? text_ends(self.text, with.text) : text_begins(self.text, with.text));
}

static value join(run *r, value self, const args *a, int how)
{
    const value *by = argument(a, 0, "d");
    size_t from = r->out_bytes;
    (void)how;
    if (by && !need_text(r, "join", *by)) return self;
    if (self.kind != V_LIST) return refuse_kind(r, "join", self);
    for (size_t i = 0; i < length_of(self) && !r->result.status; i++) {
        if (i && by) put(r, by->text);
        put_value(r, list_at(self, i));
    }
    return cut(r, from);
}

static value get(run *r, value self, const args *a, int how)
{
    const value *there = a->values[0].kind == V_TEXT ? map_find(self, a->values[0].text) : NULL;
    (void)how;
    if (!spend(r, self.items->count * 8)) return self;
    return there ? *there : a->count > 1 ? a->values[1] : of_kind(V_NONE);
}

static value length(run *r, value self, const args *a, int how)
{
    (void)a, (void)how;
    if (self.kind == V_UNDEFINED) return of_integer(0);
    if (self.kind != V_MAP && self.kind != V_LIST && self.kind != V_TEXT) return refuse_kind(r, "length", self);
    return spend(r, self.text.bytes) ? of_integer((int64_t)length_of(self)) : self;
}

static value set_default(run *r, value self, const args *a, int how)
{
    const value *by = argument(a, 0, "default_value"), *falsy = argument(a, 1, "boolean");
    (void)r, (void)how;
    if (self.kind != V_UNDEFINED && !(falsy && is_true(*falsy) && !is_true(self))) return self;
    return by ? *by : of_text(text_of(""));
}

static value filter_list(run *r, value self, const args *a, int how)
{
    (void)a, (void)how;
    return self.kind == V_LIST ? self : refuse_kind(r, "list", self);
}

static value item_at(run *r, value self, const args *a, int place) /* 0: first, -1: last */
{
    (void)a;
    if (self.kind != V_LIST && self.kind != V_TEXT) return refuse_kind(r, place ? "last" : "first", self);
    return get_item(r, self, of_integer(place));
}

/* selectattr(name), selectattr(name, test), selectattr(name, test, argument); keep 0: rejectattr. */
static value select_items(run *r, value self, const args *a, int keep)
{
    value kept = new_items(r, V_LIST);
    args rest = {0};
    if (self.kind != V_LIST) return refuse_kind(r, "selectattr", self);
    if (!need_text(r, "selectattr", a->values[0]) || a->positional < a->count) return refuse(r, "this selectattr");
    if (a->count > 1 && !need_text(r, "selectattr", a->values[1])) return self;
    rest.positional = rest.count = a->count > 2;
    if (a->count > 2) rest.values[0] = a->values[2];
    for (size_t i = 0; i < length_of(self) && !r->result.status; i++) {
        value item = get_attribute(r, list_at(self, i), a->values[0].text);
        int holds = a->count > 1 ? test(r, a->values[1].text, item, &rest) : is_true(item);
        if (holds == keep) list_add(r, kept, list_at(self, i));
    }
    return kept;
}

typedef struct callable {
    const char *name;
    value (*function)(run *r, value self, const args *a, int how);
    int how, min, max; /* numbers of arguments */
    const char *names; /* of arguments that may be given by name */
} callable;

static const callable filters[] = {
    {"trim", strip, TEXT_BOTH, 0, 1, "chars"},
    {"length", length, 0, 0, 0, ""},
    {"count", length, 0, 0, 0, ""},
    {"upper", change_case, UPPER, 0, 0, ""},
    {"lower", change_case, LOWER, 0, 0, ""},
    {"capitalize", change_case, CAPITALIZE, 0, 0, ""},
    {"default", set_default, 0, 0, 2, "default_value boolean"},
    {"d", set_default, 0, 0, 2, "default_value boolean"},
    {"string", strip, 0, 0, 0, ""},
    {"safe", strip, 0, 0, 0, ""},
    {"list", filter_list, 0, 0, 0, ""},
    {"first", item_at, 0, 0, 0, ""},
    {"last", item_at, -1, 0, 0, ""},
    {"join", join, 0, 0, 1, "d"},
    {"replace", replace, 0, 2, 2, "old new"},
    {"selectattr", select_items, 1, 1, 3, ""},
    {"rejectattr", select_items, 0, 1, 3, ""},
    {NULL, NULL, 0, 0, 0, NULL},
};

static const callable text_methods[] = {
    {"strip", strip, TEXT_BOTH, 0, 1, ""},
    {"lstrip", strip, TEXT_LEFT, 0, 1, ""},
    {"rstrip", strip, TEXT_RIGHT, 0, 1, ""},
    {"split", split, 0, 0, 2, "sep maxsplit"},
    {"replace", replace, 0, 2, 2, ""},
    {"startswith", begins_or_ends, 0, 1, 1, ""},
    {"endswith", begins_or_ends, 1, 1, 1, ""},
    {"upper", change_case, UPPER, 0, 0, ""},
    {"lower", change_case, LOWER, 0, 0, ""},
    {"title", change_case, TITLE, 0, 0, ""},
    {"capitalize", change_case, CAPITALIZE, 0, 0, ""},
    {NULL, NULL, 0, 0, 0, NULL},
};

static const callable map_methods[] = {
    {"get", get, 0, 1, 2, ""},
    {NULL, NULL, 0, 0, 0, NULL},
};

static const callable none[] = {{NULL, NULL, 0, 0, 0, NULL}};

static value call(run *r, const callable *table, const char *what, cv_text name, value self, const args *a)
{
    while (table->name && !text_is(name, table->name)) table++;
    if (!table->name) return refuse(r, "the %s '%.*s' is not supported", what, SHOWN(name));
    if (!check_args(r, name, a, table->min, table->max, table->names)) return self;
    return table->function(r, self, a, table->how);
}

value call_filter(run *r, cv_text name, value self, const args *a)
{
    return call(r, filters, "filter", name, self, a);
}

value call_method(run *r, cv_text name, value self, const args *a)
{
    if (self.kind == V_UNDEFINED) return refuse_kind(r, "a method", self);
    const callable *methods = self.kind == V_TEXT ? text_methods : self.kind == V_MAP ? map_methods : none;
    return call(r, methods, "method", name, self, a);
}

/* ---- tests ---- */

/* Tests of the kind alone: 0 or 1, or -1 if name is none of them. */
static int test_kind(cv_text name, value v)
{
    if (text_is(name, "defined")) return v.kind != V_UNDEFINED;
    if (text_is(name, "undefined")) return v.kind == V_UNDEFINED;
    if (text_is(name, "none")) return v.kind == V_NONE;
    if (text_is(name, "string")) return v.kind == V_TEXT;
    if (text_is(name, "mapping")) return v.kind == V_MAP;
    if (text_among(name, "iterable sequence")) {
        return v.kind == V_TEXT || v.kind == V_LIST || v.kind == V_MAP || v.kind == V_UNDEFINED;
    }
    if (text_is(name, "number")) return is_number(v);
    if (text_is(name, "integer")) return v.kind == V_INTEGER;
    if (text_is(name, "boolean")) return v.kind == V_BOOLEAN;
    if (text_is(name, "true")) return v.kind == V_BOOLEAN && v.integer;
    if (text_is(name, "false")) return v.kind == V_BOOLEAN && !v.integer;
    return -1;
}

int test(run *r, cv_text name, value self, const args *a)
{
    static const char *const comparisons[][2] = {
        {"eq", "=="}, {"equalto", "=="}, {"==", "=="}, {"ne", "!="}, {"!=", "!="}, {"in", "in"},
    };
    int holds = test_kind(name, self);
    if (holds >= 0) return check_args(r, name, a, 0, 0, "") && holds;
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        if (!text_is(name, comparisons[i][0])) continue;
        return check_args(r, name, a, 1, 1, "") && is_true(binary(r, text_of(comparisons[i][1]), self, a->values[0]));
    }
    refuse(r, "the test '%.*s' is not supported", SHOWN(name));
    return 0;
}

/* ---- functions ---- */

static value call_range(run *r, const args *a)
{
    if (!check_args(r, text_of("range"), a, 1, 3, "")) return of_kind(V_UNDEFINED);
    for (int i = 0; i < a->count; i++) {
        if (!is_number(a->values[i]) || !in_range(a->values[i].integer)) return refuse_kind(r, "range", a->values[i]);
    }
    int64_t from = a->count > 1 ? a->values[0].integer : 0, to = a->values[a->count > 1].integer;
    int64_t by = a->count > 2 ? a->values[2].integer : 1;
    if (!by) return refuse(r, "range in steps of zero");
    int64_t size = by > 0 ? to - from : from - to, step = by > 0 ? by : -by;
    int64_t many = size > 0 ? (size - 1) / step + 1 : 0;
    if (many > MAX_RANGE) return refuse(r, "range over more than %d numbers", MAX_RANGE);
    value numbers = new_items(r, V_LIST);
    for (int64_t i = 0; i < many; i++) list_add(r, numbers, of_integer(from + i * by));
    return numbers;
}

static value call_namespace(run *r, const args *a)
{
    value space = new_items(r, V_SPACE);
    if (a->positional) return refuse(r, "namespace of something is not supported");
    for (int i = 0; i < a->count; i++) map_put(r, space, of_text(a->names[i]), a->values[i]);
    return space;
}

static value call_raise(run *r, const args *a)
{
    cv_text why = a->count && a->values[0].kind == V_TEXT ? a->values[0].text : text_of("no reason given");
    template_stop(&r->result, CV_TEMPLATE_RAISED, "it objects: %.*s", why.bytes < 300 ? (int)why.bytes : 300, why.data);
    return of_kind(V_UNDEFINED);
}

/* ---- the date ---- */

static int days_in(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap);
}

static int number_at(const char *text, int digits)
{
    int n = 0;
    for (; digits > 0; digits--) n = 10 * n + (*text++ - '0');
    return n;
}

int cv_is_date(const char *text)
{
    static const char form[] = "0000-00-00";
    size_t i = 0;
    while (form[i] && (form[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i])) i++;
    if (form[i] || text[i]) return 0;
    int year = number_at(text, 4), month = number_at(text + 5, 2), day = number_at(text + 8, 2);
    return year > 0 && month >= 1 && month <= 12 && day >= 1 && day <= days_in(year, month);
}

/* The days since a Monday, modulo 7 [Gauss]. */
static int weekday(int year, int month, int day)
{
    int days = (year - 1) * 365 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + day - 1;
    for (int m = 1; m < month; m++) days += days_in(year, m);
    return days % 7;
}

static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const weekdays[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

/* One directive of a format, in English; 0: one that is not known, such as those of a time of day. */
static int put_directive(run *r, char c)
{
    const char *t = r->today;
    int month = number_at(t + 5, 2) - 1, day = weekday(number_at(t, 4), month + 1, number_at(t + 8, 2));
    const struct {
        char directive;
        const char *text;
        size_t bytes; /* 0: all */
    } directives[] = {{'Y', t, 4},     {'y', t + 2, 2},       {'m', t + 5, 2},         {'d', t + 8, 2}, {'%', "%", 1},
                      {'F', t, 10},    {'B', months[month], 0}, {'b', months[month], 3}, {'h', months[month], 3},
                      {'A', weekdays[day], 0}, {'a', weekdays[day], 3}};
    for (size_t i = 0; i < sizeof directives / sizeof *directives; i++) {
        cv_text text = text_of(directives[i].text);
        if (directives[i].directive != c) continue;
        if (directives[i].bytes) text.bytes = directives[i].bytes;
        put(r, text);
        return 1;
    }
    return 0;
}

static value call_strftime_now(run *r, const args *a)
{
    size_t from = r->out_bytes;
    if (!check_args(r, text_of("strftime_now"), a, 1, 1, "") || a->values[0].kind != V_TEXT)
        return refuse(r, "strftime_now wants a format");
    cv_text format = a->values[0].text;
    for (size_t i = 0; i < format.bytes; i++) {
        cv_text one = {format.data + i, 1};
        if (*one.data != '%') put(r, one);
        else if (++i == format.bytes || !put_directive(r, format.data[i])) {
            cut(r, from);
            return refuse(r, "strftime_now: the format '%.*s' asks for more than a date", SHOWN(format));
        }
    }
    return cut(r, from);
}

value call_function(run *r, cv_text name, const args *a)
{
    if (text_is(name, "strftime_now")) return call_strftime_now(r, a);
    if (text_is(name, "range")) return call_range(r, a);
    if (text_is(name, "namespace")) return call_namespace(r, a);
    return call_raise(r, a);
}
