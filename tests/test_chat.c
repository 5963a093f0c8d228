/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_chat.c - chat templates: the evaluator, the role table and what harp_render makes of it, hostile templates
 *
 *   cc -std=c99 -o test_chat tests/test_chat.c tools/convert/chat/?*.c tools/convert/file/meta.c \
 *       tools/convert/ground/?*.c harp_impl.c -lm -pthread
 *   ./test_chat [folder with chat_template_vectors.json and *.jinja; else ../shared/data/chat]
 *
 * Run from the root of the repository. Without the vectors those parts are skipped. */
#include "../tools/convert/chat/roles.h"
#include "../tools/convert/ground/bytes.h"
#include "../tools/convert/ground/json.h"
#include "../harp.h"
#include "chat_file.h"
#include "test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_MESSAGES = 16 };

static int skipped;

static char *copy_of(const char *s)
{
    char *copy = malloc(strlen(s) + 1);
    if (!copy) exit(2);
    return strcpy(copy, s);
}

static char *read_all(const char *folder, const char *name)
{
    char path[1024];
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return load_file(path, &bytes);
}

static const char *json_text(const cv_json *j, uint32_t node, const char *key) /* "" if it is not there */
{
    const char *text = cv_json_string(j, cv_json_get(j, node, key), NULL);
    return text ? text : "";
}

/* ---- the metadata that cv_chat_table wrote ---- */

static const unsigned char *meta_find(const cv_meta *meta, const char *key, size_t *bytes)
{
    for (size_t at = 0; at < meta->bytes;) {
        const unsigned char *p = meta->data + at;
        size_t type = cv_u32(p), key_bytes = cv_u32(p + 4), value_bytes = (size_t)cv_u64(p + 8);
        size_t value = 16 + (size_t)cv_round_up(key_bytes + 1, 8);
        *bytes = value_bytes;
        if (!strcmp((const char *)p + 16, key)) return p + value;
        at += value + (size_t)cv_round_up(value_bytes + (type == 3), 8);
    }
    *bytes = 0;
    return NULL;
}

static const char *meta_text(const cv_meta *meta, const char *key)
{
    size_t bytes;
    return (const char *)meta_find(meta, key, &bytes);
}

static int meta_integer(const cv_meta *meta, const char *key, int absent)
{
    size_t bytes;
    const unsigned char *p = meta_find(meta, key, &bytes);
    return p ? (int)cv_u64(p) : absent;
}

/* ---- a conversation told by the table ---- */

static const char demo[] = "examples/demo/demo.harp";

/* The demo model with this table. */
static harp_model *model_with(const cv_meta *meta, hf_file *f)
{
    harp_source source = harp_source_defaults();
    harp_model *model = NULL;
    harp_error err;
    size_t bytes;
    unsigned char *base = load_file(demo, &bytes);
    if (!base) printf("%s is not here\n", demo), exit(2);
    *f = chat_begin(base, bytes);
    chat_copy(f, meta->data, 0, meta->bytes, 1);
    chat_end(f, base, bytes);
    free(base);
    source.data = f->data, source.bytes = f->bytes;
    if (harp_open_source(&model, &source, &err)) printf("%s\n", err.text), exit(2);
    return model;
}

static harp_role role_of(const cv_message *m)
{
    if (!strcmp(m->role, "system")) return HARP_ROLE_SYSTEM;
    return !strcmp(m->role, "user") ? HARP_ROLE_USER : HARP_ROLE_ASSISTANT;
}

/* Messages' texts are spans without control tokens, one for each that is not empty, with nothing of the template. */
static void check_spans(const harp_rendering *r, const harp_message *m, size_t count)
{
    size_t at = 0, i, k, n = 0;
    for (i = 0; i < r->n_spans; at += r->spans[i++].bytes) {
        char *span;
        if (r->spans[i].flags) continue;
        span = calloc(1, r->spans[i].bytes + 1);
        if (!span) exit(2);
        memcpy(span, r->text + at, r->spans[i].bytes);
        for (k = 0; k < count && !strstr(m[k].text, span); k++) continue;
        check(k < count, "a span of no message: %s", span);
        free(span);
        n++;
    }
    check(at == r->bytes && n == count && r->n_spans <= 2 * count + 1, "%d spans, %d bytes", (int)r->n_spans, (int)at);
}

/* What harp_render makes of a conversation and the table. */
static char *tell(const cv_meta *meta, const cv_message *m, size_t count, unsigned flags)
{
    hf_file f;
    harp_model *model = model_with(meta, &f);
    harp_message messages[MAX_MESSAGES];
    harp_span spans[2 * MAX_MESSAGES + 1];
    harp_rendering r = {0};
    harp_error err;
    for (size_t i = 0; i < count; i++) {
        messages[i].role = role_of(&m[i]), messages[i].text = m[i].content, messages[i].bytes = strlen(m[i].content);
    }
    check(harp_render(model, messages, count, flags, &r, &err) == HARP_ERR_MEMORY, "%s", err.text);
    r.capacity = r.bytes, r.span_capacity = r.n_spans, r.spans = spans, r.text = calloc(1, r.bytes + 1);
    if (!r.text || r.n_spans > 2 * MAX_MESSAGES + 1) exit(2);
    check(harp_render(model, messages, count, flags, &r, &err) == HARP_OK, "%s", err.text);
    check(r.flags == (meta_integer(meta, "chat.bos", 1) ? HARP_ENCODE_BOS : 0), "the begin token");
    check_spans(&r, messages, count);
    harp_close(model);
    free(f.data);
    return r.text;
}

/* ---- vectors ---- */

typedef struct talk {
    cv_message messages[MAX_MESSAGES];
    size_t count;
} talk;

static const char *const more_tokens[] = {"<sep>", "<end>"};
static const cv_specials classic = {"<s>", "</s>", "<unk>", NULL, "<pad>", NULL, NULL, more_tokens, 2, NULL};
static const cv_specials none = {"", "", NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL};

/* The way the vectors were made: models without a system role get its text at the beginning of the first user's. */
static talk folded(const talk *t, char *first, size_t room)
{
    talk f = {{{NULL, NULL}}, t->count - 1};
    snprintf(first, room, "%s\n%s", t->messages[0].content, t->messages[1].content);
    for (size_t i = 0; i < f.count; i++) f.messages[i] = t->messages[i + 1];
    f.messages[0].content = first;
    return f;
}

static int render(const char *jinja, size_t bytes, const talk *t, const cv_specials *specials, char **out,
                  cv_error *err)
{
    cv_conversation c = {t->messages, t->count, 1, specials};
    cv_template *parsed;
    size_t n;
    *out = NULL;
    int status = cv_template_parse(jinja, bytes, &parsed, err);
    if (status) return status;
    status = cv_template_render(parsed, &c, out, &n, err);
    cv_template_free(parsed);
    return status;
}

/* Renders with the system message, or folded if the template has no place for one. */
static int render_either(const char *jinja, const talk *t, const talk *f, const cv_specials *specials, char **out,
                         cv_error *err)
{
    int status = render(jinja, strlen(jinja), t, specials, out, err);
    if (status == CV_TEMPLATE_RAISED || (!status && !strstr(*out, t->messages[0].content))) {
        free(*out);
        status = render(jinja, strlen(jinja), f, specials, out, err);
    }
    return status;
}

static const char *without_bos(const char *text, const char *bos)
{
    return *bos && !strncmp(text, bos, strlen(bos)) ? text + strlen(bos) : text;
}

/* Does the template's own text equal the expected one? The vectors lost BOS at the beginning and EOS at the end. */
static void compare_vector(const char *name, const char *got, const char *want, const char *bos, const char *eos)
{
    char *text = copy_of(without_bos(got, bos));
    size_t n = strlen(text), e = strlen(eos);
    if (strcmp(text, want) != 0 && e && n >= e && !strcmp(text + n - e, eos)) {
        text[n - e] = 0;
        printf("  %s: equal but for the %s at the very end, which the vector lost\n", name, eos);
    }
    check(!strcmp(text, want), "%s:\n  got  %s\n  want %s", name, text, want);
    free(text);
}

/* Does the table, where there is one, say the same as the template? */
static void compare_table(const char *name, const char *jinja, const talk *t, const talk *f,
                          const cv_specials *specials, const char *want)
{
    cv_meta meta = {NULL, 0, 0, 0};
    cv_error err = {{0}};
    int status = cv_chat_table(jinja, strlen(jinja), specials, &meta, &err);
    if (status) {
        printf("  %s: no table: %s\n", name, err.text);
        check(status == 1, "%s: refused as malformed", name);
    } else {
        const talk *which = meta_text(&meta, "chat.system.before") ? t : f;
        char *out = tell(&meta, which->messages, which->count, HARP_RENDER_ANSWER);
        if (meta_integer(&meta, "chat.bos", 0)) want = without_bos(want, specials->bos);
        check(!strcmp(out, want), "%s, by its table:\n  got  %s\n  want %s", name, out, want);
        free(out);
    }
    cv_meta_free(&meta);
}

/* GigaChat's template names tokens by their place in a list that the vectors lack: what their text wants there. */
static const char *const gigachat_tokens[] = {"<|role_sep|>", "<|message_sep|>", "[", "]"};

static void test_vector(const cv_json *j, uint32_t c, const talk *t, const talk *f)
{
    const char *name = json_text(j, c, "name"), *jinja = json_text(j, c, "template_str");
    const char *want = json_text(j, c, "expected_output_jinja");
    cv_specials specials = none;
    cv_error err = {{0}};
    char *got;
    specials.bos = json_text(j, c, "bos_token"), specials.eos = json_text(j, c, "eos_token");
    if (strstr(name, "GigaChat"))
        specials.bos = "<s>", specials.additional = gigachat_tokens, specials.n_additional = 4;
    /* That vector's text lost the blank before {{ }}, which Jinja keeps; its other text has it. */
    if (!*want || !strcmp(name, "ChatGLM3")) want = json_text(j, c, "expected_output");
    int status = render_either(jinja, t, f, &specials, &got, &err);
    check(!status, "%s: %s", name, err.text);
    if (status) return;
    compare_vector(name, got, without_bos(want, specials.bos), specials.bos, specials.eos);
    compare_table(name, jinja, t, f, &specials, got);
    free(got);
}

static void test_file(const char *folder, const char *name, const talk *t, const talk *f)
{
    char *jinja = read_all(folder, name), *got;
    cv_error err = {{0}};
    if (!jinja) {
        printf("%s is absent: skipped\n", name);
        skipped++;
        return;
    }
    int status = render_either(jinja, t, f, &classic, &got, &err);
    check(!status, "%s: %s", name, err.text);
    if (!status) compare_table(name, jinja, t, f, &classic, got);
    free(got);
    free(jinja);
}

static const char *const template_files[] = {
    "Qwen-Qwen2.5-7B-Instruct.jinja",        "google-gemma-2-2b-it.jinja",
    "meta-llama-Llama-3.1-8B-Instruct.jinja", "meta-llama-Llama-3.2-3B-Instruct.jinja",
    "microsoft-Phi-3.5-mini-instruct.jinja",  "mistralai-Mistral-Nemo-Instruct-2407.jinja",
};

enum { TEMPLATE_FILES = sizeof template_files / sizeof *template_files };

static void test_vectors(const char *folder)
{
    char *text = read_all(folder, "chat_template_vectors.json"), first[1024];
    talk t = {{{NULL, NULL}}, 0};
    cv_error err = {{0}};
    cv_json j;
    if (!text) {
        printf("%s/chat_template_vectors.json is absent: skipped\n", folder);
        skipped++;
        return;
    }
    int status = cv_json_parse(&j, text, strlen(text), "chat_template_vectors.json", &err);
    free(text);
    if (status < 0) {
        check(0, "%s", err.text);
        return;
    }
    uint32_t m = cv_json_first(&j, cv_json_get(&j, 0, "conversation"));
    for (; m != CV_JSON_NONE && t.count < MAX_MESSAGES; m = cv_json_next(&j, m))
        t.messages[t.count++] = (cv_message){json_text(&j, m, "role"), json_text(&j, m, "content")};
    talk f = folded(&t, first, sizeof first);
    uint32_t c = cv_json_first(&j, cv_json_get(&j, 0, "cases"));
    for (; c != CV_JSON_NONE; c = cv_json_next(&j, c)) test_vector(&j, c, &t, &f);
    for (size_t i = 0; i < TEMPLATE_FILES; i++) test_file(folder, template_files[i], &t, &f);
    cv_json_free(&j);
}

/* ---- the evaluator, piece by piece; the expected texts are those of Jinja2 3.1 ---- */

static const talk small_talk = {
    {{"system", " Sys "}, {"user", "H\xC3\xA9\n"}, {"assistant", "it's <b>"}},
    3,
};

static const struct {
    const char *jinja, *want;
} right[] = {
    {"plain text", "plain text"},
    {"{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }}", "3 3 -4 1 2 -2"},
    {"{{ 'a' + 'b' ~ 1 ~ none ~ true }}", "ab1NoneTrue"},
    {"{{ 'a' 'b' \"c\" }}", "abc"},
    {"{{ \"\\n\\t\\\\\\\"\\'\\q\" }}", "\n\t\\\"'\\q"},
    {"{{ messages|length }} {{ messages[-1].role }} {{ messages[0]['content']|trim }}|", "3 assistant Sys|"},
    {"{{ messages[1].content|length }} {{ messages[1].content[1] }} {{ messages[1].content[-1] }}",
     "3 \303\251 \n"},
    {"{{ messages[5] }}|{{ messages[0].nothing }}|{{ nothing }}", "||"},
    {"{% for m in messages[1:] %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.r"
     "evindex }}{{ loop.revindex0 }}{{ loop.length }}{{ m.role }};{% endfor %}",
     "10TrueFalse212user;21FalseTrue102assistant;"},
    {"{% for m in messages[::-1] %}{{ m.role }} {% endfor %}", "assistant user system "},
    {"{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }}>{{ loop.nextite"
     "m.role if not loop.last }};{% endfor %}",
     "->user;system>assistant;user>;"},
    {"{% for m in messages if m.role != 'user' %}{{ loop.index }}{{ m.role }}{% else %}none{% endfor %}",
     "1system2assistant"},
    {"{% for m in [] %}x{% else %}empty{% endfor %}", "empty"},
    {"{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}"
     "{{ i }}{% endfor %}!",
     "02!"},
    {"{% for i in range(2) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {%"
     " endfor %}{% endfor %}",
     "00 10 "},
    {"{% for i in range(10, 0, -3) %}{{ i }},{% endfor %}{% for i in range(2, 4) %}{{ i }};{% endfor %}",
     "10,7,4,1,2;3;"},
    {"{% set x = 1 %}{% for i in range(3) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "2221"},
    {"{% set ns = namespace(n=0, s='') %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% set ns.s = ns."
     "s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}{{ ns.t is defined }}",
     "3012False"},
    {"{% if false %}a{% elif 0 %}b{% elif '' %}c{% elif [] %}d{% elif none %}e{% elif nothing %}f{% elif {"
     "} %}g{% else %}h{% endif %}",
     "h"},
    {"{{ 'a' if 1 > 2 else 'b' if 2 > 1 else 'c' }}{{ 'x' if false }}", "b"},
    {"{{ 1 == 1 and 'yes' or 'no' }} {{ not 1 == 2 }} {{ 0 or '' or 'last' }} {{ 1 and 0 and 2 }}",
     "yes True last 0"},
    {"{{ 'a' in 'cat' }} {{ 'z' not in 'cat' }} {{ 1 in [1, 2] }} {{ 'role' in messages[0] }} {{ 'a' in no"
     "thing }} {{ '' in '' }}",
     "True True True True False True"},
    {"{{ 2 > 1 }} {{ 1 >= 2 }} {{ 1 <= 1 }} {{ 1 < 1 }} {{ true == 1 }} {{ '1' == 1 }} {{ none == none }} {{ "
     "[] == [] }} {{ [1] == [] }} {{ {'a': 1} == {} }} {{ messages == messages }} {{ nothing == nowhere }}",
     "True False True False True False True True False False True True"},
    {"{{ '  x y '.strip() }}|{{ ' x '.lstrip() }}|{{ ' x '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ '\343\200"
     "\200\303\251\302\240'.strip() }}|",
     "x y|x | x|a|\303\251|"},
    {"{{ 'a,b,,c'.split(',') | join('|') }} {{ 'a,b,c'.split(',', 1) | "
     "join('|') }} {{ 'abc'.split('b')[-1] }}",
     "a|b||c a|b,c c"},
    {"{{ 'abcabc'.replace('b', 'xx') }} {{ 'abc' | replace('c', '') }} {{ 'ab'.startswith('a') }} {{ 'ab'."
     "endswith('ab') }} {{ 'ab'.endswith('xab') }}",
     "axxcaxxc ab True True False"},
    {"{{ 'hello World-x'.title() }} {{ \"it's a\".title() }} {{ 'aB'.upper() }} {{ 'aB' | lower }} {{ 'heLLo w"
     "o' | capitalize }}",
     "Hello World-X It'S A AB ab Hello wo"},
    {"{{ 'h\303\251llo'[1:3] }} {{ 'hello'[:-1] }} {{ 'hello'[-3:] }} {{ 'hello'[:] }} {{ 'hello'[4:2] }} "
     "{{ [1, 2, 3][1:] | join(',') }} {{ [1, 2, 3][-9:2] | join(',') }}",
     "\303\251l hell llo hello  2,3 1,2"},
    {"{{ nothing | default('d') }} {{ '' | default('d') }} {{ '' | default('d', true) }} {{ none | d('x') "
     "}} {{ '' | d('y', boolean=true) }}",
     "d  d None y"},
    {"{{ messages[0] is defined }} {{ x is defined }} {{ x is undefined }} {{ x is not defined }} {{ none "
     "is none }} {{ 'a' is string }} {{ 1 is number }} {{ messages is iterable }} {{ messages[0] is mappin"
     "g }} {{ 'a' is sequence }} {{ true is boolean }} {{ 'a' is equalto 'a' }} {{ 1 is in [1] }}",
     "True False True True True True True True True True True True True"},
    {"{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ (messages | selectattr('ro"
     "le', 'ne', 'user') | list)[0].role }} {{ messages | rejectattr('role', 'in', ['user', 'system']) | m"
     "ap(attribute='x') | list | length if false else 'skip' }}",
     "1 system skip"},
    {"{{ (1, 2) | join('+') }} {{ (1) + 1 }} {{ [1, 2] | list | length }} {{ [] | length }} {{ [3, 4]"
     " | first }} {{ 'xyz' | last }}",
     "1+2 2 2 0 3 z"},
    {"{%- macro f(a, b='B') %}<{{ a }}{{ b }}{{ messages | length }}>{% endmacro %}{{ f(1) }}{{ f(1, 2) }}"
     "{{ f(b=3, a=4) }}",
     "<1B3><123><433>"},
    {"{% set x = 5 %}{% macro g() %}{{ x }}{{ y is defined }}{% endmacro %}{% for y in [1] %}{{ g() }}{% e"
     "ndfor %}",
     "5False"},
    {"{% set t %}inner {{ 1 + 1 }}{% endset %}[{{ t }}]{{ t | length }}", "[inner 2]7"},
    {"a {# comment #} b {#- c -#} d", "a  bd"},
    {"{% if true %}   x   {%- endif %}   y   {{- 'z' }}   {{ 'w' -}}   v", "   x   yz   wv"},
    {"{{ {'a': {'b': [10, 20]}}.a.b[1] }} {{ {'a': 1}['a'] }} {{ {'a': 1}.get('b', 'no') }} {{ {'a': 1}.ge"
     "t('b') }}",
     "20 1 no None"},
    {"{{ -1 }} {{ - 1 + 2 }} {{ 2 - -1 }} {{ not false }} {{ not not 1 }} {{ -5|string ~ 1 }}",
     "-1 1 3 True True -51"},
    {"{{ 1 if not false and (true or false) else 2 }}", "1"},
    {"{{ bos_token + eos_token }} {{ add_generation_prompt }} {{ tools is none }} {{ tools is defined }}",
     "<s></s> True True True"},
    {"{{ unk_token + pad_token }} {{ additional_special_tokens | join(' ') }} "
     "{{ additional_special_tokens[1] }} {{ additional_special_tokens | length }}",
     "<unk><pad> <sep> <end> <end> 2"},
    {"{{ 10 ~ 5 * 3 }} {{ 1 ~ 2 ~ 3 }} {{ 'a' ~ 'b' == 'ab' }}", "1015 123 True"},
    {"{{ range(3) | list | length }} {{ raise_exception is defined }} {{ strftime_now is defined }}", "3 True False"},
    {"{%+ if true %}kept{%+ endif %} end", "kept end"},
    {"{{ '%}' }}{{ \"}}\" }}{{ '{{' }}", "%}}}{{"},
    {"{{ messages[0]['content'].strip() + '!' }}{{ ('a' ~ 'b').upper() }}{{ ['a', 'b'] | join }}", "Sys!ABab"},
    {"line\n    {% if true %}\n    in\n    {% endif %}\nout\n", "line\n    in\nout"},
    {"  {{ 'a' }}\n  {{- 'b' }}\n\n{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\n\n", "  ab\n\n  1\n  2\n"},
    {"a\n  {# c #}\nb\n", "a\nb"},
    {"a  {# c #}  \nb\n\n\n", "a    \nb\n\n"},
    {"\r\na\r\n{% set x = 1 %}\r\nb\r", "\na\nb"},
    {"{% if 1 -%}\n\n  x  \n{%- endif %}\n y", "x y"},
    {"x {% if 1 %}\n  {% if 1 %}\n y\n  {% endif %}{% endif %}\nz", "x  y\nz"},
    {"{%+ set a = 1 +%}\nx\n  {%+ set a = 1 %}\ny", "\nx\n  y"},
    {"{{ 1\n+\n2 }}\n", "3"},
    {"   {%- set x = 1 -%}   ", ""},
    {"\t{% set x = 1 %}\n\tz", "\tz"},
    {"{{ 'a' }}{% set b = 1 %}\nc", "ac"},
    {"{#- a -#}\n b {#+ c +#}\n d", "b \n d"},
    {"{% generation %}gen{{ 1 }}{% endgeneration %}", "gen1"},
    {"a{% if ['x', 'y'] | join == 'x' %}b{% endif %}", "a"}, /* a text cut off again, the last that is written */
    {"{% if tools %}{% for k, v in tools.items() %}{{ v | tojson }}{{ '\\u0041' }}{% endfor %}{% endif %}ok",
     "ok"}, /* what only tools need is refused where it is evaluated, and not before */
};

static const struct {
    const char *jinja;
    int status;
    const char *says; /* part of the sentence */
} wrong[] = {
    {"{{ raise_exception('no: ' ~ 1) }}", CV_TEMPLATE_RAISED, "no: 1"},
    {"{{ x | nosuch }}", CV_TEMPLATE_REFUSED, "'nosuch'"},
    {"{{ x is nosuch }}", CV_TEMPLATE_REFUSED, "'nosuch'"},
    {"{{ 'x'.nosuch() }}", CV_TEMPLATE_REFUSED, "'nosuch'"},
    {"{{ nosuch() }}", CV_TEMPLATE_REFUSED, "'nosuch' is undefined"},
    {"{{ x.y }}", CV_TEMPLATE_REFUSED, "'x' is undefined"},
    {"\n\n{{ 'a' + x }}", CV_TEMPLATE_REFUSED, "line 3: 'x' is undefined"},
    {"{{ 'a' + 1 }}", CV_TEMPLATE_REFUSED, "operator +"},
    {"{{ 'a' < 1 }}", CV_TEMPLATE_REFUSED, "comparing"},
    {"{{ messages | tojson }}", CV_TEMPLATE_REFUSED, "'tojson'"},
    {"{{ messages[0] | items }}", CV_TEMPLATE_REFUSED, "'items'"},
    {"{{ messages[0].items() }}", CV_TEMPLATE_REFUSED, "'items'"},
    {"{% for key in messages[0] %}{% endfor %}", CV_TEMPLATE_REFUSED, "a map"},
    {"{% for c in 'abc' %}{% endfor %}", CV_TEMPLATE_REFUSED, "a text"},
    {"{{ 3 is odd }}", CV_TEMPLATE_REFUSED, "'odd'"},
    {"{{ 9 is divisibleby 3 }}", CV_TEMPLATE_REFUSED, "'divisibleby'"},
    {"{{ 'a' | title }}", CV_TEMPLATE_REFUSED, "'title'"},
    {"{{ 'a b'.split() }}", CV_TEMPLATE_REFUSED, "white space"},
    {"{{ [1] + [2] }}", CV_TEMPLATE_REFUSED, "operator +"},
    {"{{ [1] == [1] }}", CV_TEMPLATE_REFUSED, "comparing"},
    {"{{ 'a' < 'b' }}", CV_TEMPLATE_REFUSED, "comparing"},
    {"{{ dict(a=1) }}", CV_TEMPLATE_REFUSED, "'dict'"},
    {"{{ 'x' | trim(nosuch=1) }}", CV_TEMPLATE_REFUSED, "'nosuch'"},
    {"{{ 1.5 }}", CV_TEMPLATE_REFUSED, "decimal"},
    {"{{ 4 / 2 }}", CV_TEMPLATE_REFUSED, "operator /"},
    {"{{ 2 ** 3 }}", CV_TEMPLATE_BAD, "'**'"},
    {"{{ 1 // 0 }}", CV_TEMPLATE_REFUSED, "zero"},
    {"{{ 999999999999999999 * 999999999999999999 }}", CV_TEMPLATE_REFUSED, "large"},
    {"{{ 9999999999999999999 }}", CV_TEMPLATE_REFUSED, "18 digits"},
    {"{{ 1 < 2 < 3 }}", CV_TEMPLATE_BAD, "'<'"},
    {"{{ messages }}", CV_TEMPLATE_REFUSED, "printing"},
    {"{{ '\xC3\xA9' | upper }}", CV_TEMPLATE_REFUSED, "ASCII"},
    {"{{ messages[0].items is defined }}", CV_TEMPLATE_REFUSED, "'items'"},
    {"{{ 'a'.strip }}", CV_TEMPLATE_REFUSED, "'strip'"},
    {"{{ [1, 2, 3, 4][::2] }}", CV_TEMPLATE_REFUSED, "steps"},
    {"{{ 'abc'[::-1] }}", CV_TEMPLATE_REFUSED, "reversing"},
    {"{{ pad_token }}", CV_TEMPLATE_REFUSED, "'pad_token'"},
    {"{{ additional_special_tokens[0] }}", CV_TEMPLATE_REFUSED, "'additional_special_tokens'"},
    {"{{ strftime_now('%d') }}", CV_TEMPLATE_REFUSED, "strftime_now"},
    {"{% include 'x' %}", CV_TEMPLATE_REFUSED, "'include'"},
    {"{% raw %}{{ x }}{% endraw %}", CV_TEMPLATE_REFUSED, "'raw'"},
    {"{% set a, b = 1, 2 %}", CV_TEMPLATE_BAD, "','"},
    {"{% set x = {} %}{% set x.y = 1 %}", CV_TEMPLATE_REFUSED, "'set'"},
    {"{% for a in messages recursive %}{% endfor %}", CV_TEMPLATE_BAD, "'recursive'"},
    {"{% for a in messages %}{{ loop.cycle }}{% endfor %}", CV_TEMPLATE_REFUSED, "'loop.cycle'"},
    {"{% for a, b in messages %}{% endfor %}", CV_TEMPLATE_REFUSED, "several variables"},
    {"{% for a in none %}{% endfor %}", CV_TEMPLATE_REFUSED, "none"},
    {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", CV_TEMPLATE_REFUSED, "macro"},
    {"{{ '\\N{DASH}' }}", CV_TEMPLATE_REFUSED, "number or name"},
    {"{{ '\\ud800' }}", CV_TEMPLATE_REFUSED, "number or name"},
    {"{{ f(*x) }}", CV_TEMPLATE_BAD, "'*'"},
    {"{{", CV_TEMPLATE_BAD, "does not end"},
    {"{%", CV_TEMPLATE_BAD, "does not end"},
    {"a {# b", CV_TEMPLATE_BAD, "does not end"},
    {"{{ 'abc", CV_TEMPLATE_BAD, "does not end"},
    {"{{ 'abc\\", CV_TEMPLATE_BAD, "does not end"},
    {"{{ 1", CV_TEMPLATE_BAD, "does not end"},
    {"{{ (1 }}", CV_TEMPLATE_BAD, "stray"},
    {"{{ 1 %}", CV_TEMPLATE_BAD, "stray"},
    {"{% if x %}", CV_TEMPLATE_BAD, "endif"},
    {"{% if x %}{% else %}", CV_TEMPLATE_BAD, "endif"},
    {"{% if x %}{% endfor %}", CV_TEMPLATE_BAD, "endfor"},
    {"{% if x %}{% else %}{% elif y %}{% endif %}", CV_TEMPLATE_BAD, "elif"},
    {"{% for x in y %}", CV_TEMPLATE_BAD, "endfor"},
    {"{% for in y %}{% endfor %}", CV_TEMPLATE_BAD, "expected"},
    {"{% endif %}", CV_TEMPLATE_BAD, "endif"},
    {"{% break %}", CV_TEMPLATE_BAD, "outside"},
    {"{% set x %}", CV_TEMPLATE_BAD, "endset"},
    {"{{ ) }}", CV_TEMPLATE_BAD, "stray"},
    {"{{ $ }}", CV_TEMPLATE_BAD, "'$'"},
    {"{{ \x01 }}", CV_TEMPLATE_BAD, "stray"},
    {"{{ 1 2 }}", CV_TEMPLATE_BAD, "}}"},
    {"{{ a[] }}", CV_TEMPLATE_BAD, "index"},
    {"{{ a. }}", CV_TEMPLATE_BAD, "name"},
    {"{{ }}", CV_TEMPLATE_BAD, "expression"},
    {"{{ [1, }}", CV_TEMPLATE_BAD, "stray"},
    {"{{ a[1:2:3:4] }}", CV_TEMPLATE_BAD, "]"},
};

/* Dates: the first of 2026 was a Thursday, the last day of February 2028 is a Tuesday. */
static void test_dates(void)
{
    static const struct {
        const char *today, *jinja, *want; /* want NULL: it is refused */
    } cases[] = {{"2026-01-01", "{{ strftime_now is defined }} {{ strftime_now('%B %d, %Y') }}", "True January 01, 2026"},
                 {"2028-02-29", "{{ strftime_now('%a %A, %d %b %y; %Y-%m-%d %F 100%%') }}",
                  "Tue Tuesday, 29 Feb 28; 2028-02-29 2028-02-29 100%"},
                 {"2026-01-01", "{{ strftime_now('%a') ~ strftime_now('') }}", "Thu"},
                 {"2026-01-01", "{{ strftime_now('%H:%M') }}", NULL},
                 {"2026-01-01", "{{ strftime_now('%') }}", NULL},
                 {"2026-01-01", "{{ strftime_now(1) }}", NULL},
                 {"2026-01-01", "{{ strftime_now() }}", NULL}};
    static const char *const none_of_them[] = {"", "2026", "2026-1-01", "2026-13-01", "2026-00-01", "2026-02-29",
                                               "2100-02-29", "2026-04-31", "2026-04-00", "2026-04-01 ", "0000-01-01"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cv_specials specials = none;
        cv_error err = {{0}};
        char *out;
        specials.today = cases[i].today;
        int status = render(cases[i].jinja, strlen(cases[i].jinja), &small_talk, &specials, &out, &err);
        check(cases[i].want ? !status && !strcmp(out, cases[i].want) : status == CV_TEMPLATE_REFUSED, "%s\n  got %s",
              cases[i].jinja, status ? err.text : out);
        free(out);
    }
    check(cv_is_date("2028-02-29") && cv_is_date("2000-02-29") && cv_is_date("9999-12-31"), "dates");
    for (size_t i = 0; i < sizeof none_of_them / sizeof *none_of_them; i++)
        check(!cv_is_date(none_of_them[i]), "no date: %s", none_of_them[i]);
}

/* The default system message of Granite 3 tells the date; another one does not. */
static void test_dated_table(void)
{
    static const char granite[] =
        "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}"
        "{%- set loop_messages = messages[1:] %}{%- else %}{%- set system_message = \"Today's Date: \" +"
        " strftime_now('%B %d, %Y') + \".\" %}{%- set loop_messages = messages %}{%- endif %}"
        "{{- '<|role|>system<|/role|>' + system_message + '<|end|>\n' }}{%- for message in loop_messages %}"
        "{{- '<|role|>' + message['role'] + '<|/role|>' + message['content'] + '<|end|>\n' }}"
        "{%- if loop.last and add_generation_prompt %}{{- '<|role|>assistant<|/role|>' }}{%- endif %}{%- endfor %}";
    cv_specials specials = none;
    cv_meta meta = {NULL, 0, 0, 0};
    cv_error err = {{0}};
    check(cv_chat_table(granite, sizeof granite - 1, &specials, &meta, &err) == 1 && strstr(err.text, "--today"),
          "a dated template without a date: %s", err.text);
    cv_meta_free(&meta);
    meta = (cv_meta){NULL, 0, 0, 0}, specials.today = "2026-11-30";
    check(cv_chat_table(granite, sizeof granite - 1, &specials, &meta, &err) == 0, "with one: %s", err.text);
    const char *absent = meta_text(&meta, "chat.system.absent");
    check(absent && !strcmp(absent, "<|role|>system<|/role|>Today's Date: November 30, 2026.<|end|>\n"), "%s",
          absent ? absent : "nothing");
    cv_meta_free(&meta);
}

static void test_evaluator(void)
{
    cv_error err = {{0}};
    char *out;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        int status = render(right[i].jinja, strlen(right[i].jinja), &small_talk, &classic, &out, &err);
        check(!status && !strcmp(out, right[i].want), "%s\n  got  %s\n  want %s", right[i].jinja,
              status ? err.text : out, right[i].want);
        free(out);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = render(wrong[i].jinja, strlen(wrong[i].jinja), &small_talk, &none, &out, &err);
        check(status == wrong[i].status && strstr(err.text, wrong[i].says), "%s\n  status %d: %s", wrong[i].jinja,
              status, err.text);
        free(out);
    }
    check(render("a\0b", 3, &small_talk, &none, &out, &err) == CV_TEMPLATE_BAD, "a zero byte in a template");
}

/* ---- tables ---- */

#define EACH "{% for m in messages %}"
#define DONE "{% endfor %}"
#define ASK "{% if add_generation_prompt %}A:{% endif %}"

static const struct {
    const char *jinja;
    const char *says; /* part of the reason, or NULL: there is a table */
    const char *key, *value; /* an entry of it, texts only */
} tables[] = {
    {EACH "{{ m.role }}:{{ m.content }}\n" DONE ASK, NULL, "chat.user.before", "user:"},
    {"{{ bos_token }}" EACH "[{{ m.content }}]" DONE ASK, NULL, "chat.start", ""},
    {EACH "<{{ m.role }}>{{ m.content }}</s>" DONE "{% if add_generation_prompt %}<assistant>{% endif %}", NULL,
     "chat.assistant.after", "</s>"},
    {EACH "{% if m.role == 'system' %}{{ raise_exception('none of that') }}{% endif %}<{{ m.content }}>" DONE, NULL,
     "chat.system.before", NULL},
    {EACH "<{{ m.content }}>" DONE, NULL, "chat.assistant.prompt", ""},
    {"{% if messages[0].role != 'system' %}<system>default</s>{% endif %}" EACH "<{{ m.role }}>{{ m.content }}</s>"
     DONE, NULL, "chat.system.absent", "<system>default</s>"},
    {"{% for m in messages[1:] %}<{{ m.content }}>" DONE, "user) changed, or not at all", NULL, NULL},
    {EACH "<{{ m.content }}{{ m.content }}>" DONE, "more than once", NULL, NULL},
    {EACH "<{{ m.content | upper }}>" DONE, "changed, or not at all", NULL, NULL},
    {EACH "<{{ m.content.split(' ') | join('_') }}>" DONE ASK, "cannot be written", NULL, NULL},
    {EACH "<{{ m.content.lstrip('\n') }}>" DONE ASK, "white space", NULL, NULL},
    {EACH "<{{ m.content.lstrip('\n') if m.role == 'assistant' else m.content }}>" DONE, NULL, NULL, NULL},
    {EACH "<{{ m.content.lstrip('\n').rstrip() if m.role == 'assistant' else m.content }}>" DONE, NULL, NULL, NULL},
    {EACH "<{{ m.content.lstrip('\n ') if m.role == 'assistant' else m.content }}>" DONE, "white space", NULL, NULL},
    {EACH "{{ loop.index }}{{ m.content }}" DONE ASK, "cannot be written", NULL, NULL},
    {EACH "<{{ m.content[:60] }}>" DONE ASK, "cannot be written", NULL, NULL},
    {"{% for m in messages[::-1] %}<{{ m.content }}>" DONE ASK, "order", NULL, NULL},
    {"{{ messages | length }}" EACH "<{{ m.content }}>" DONE ASK, "cannot be written", NULL, NULL},
    {"{% if messages[0].role == 'system' %}{{ bos_token }}{% endif %}" EACH "<{{ m.content }}>" DONE ASK, "BOS", NULL,
     NULL},
    {EACH "{% if m.role == 'user' %}<{{ m.content }}>{% endif %}" DONE, "assistant) changed, or not at all", NULL,
     NULL},
    {EACH "<{{ m.content.split('</think>')[-1] }}>" DONE, NULL, "chat.marks", "</think>"}, /* a user's message, too */
    {EACH "<{{ m.content.split('</think>')[-1] }}>" DONE, NULL, "chat.thinking.end", "</think>"},
    {EACH "<{{ m.content.split('~~')[-1].lstrip('\n') if m.role == 'assistant' and '~~' in m.content else m.content }}>"
     DONE, NULL, "chat.thinking.end", "~~"},
    {EACH "<{{ m.content.split('~~')[-1].lstrip('\n') if m.role == 'assistant' and '~~' in m.content else m.content }}>"
     DONE, NULL, "chat.marks", NULL},
    {EACH "<{{ m.content if m.role == 'user' else m.content.split('~~')[0] }}>" DONE, NULL, "chat.thinking.end", NULL},
    {EACH "<{{ m.content if m.role == 'user' else m.content.split('~~')[-1].strip('x') }}>" DONE, NULL,
     "chat.thinking.end", "~~"},
    {EACH "<{{ m.content if m.role == 'user' else m.content.split('~~')[-1] | upper }}>" DONE, "changed", NULL, NULL},
    {EACH "<{{ m.content if 'x<y' not in m.content else '' }}{{ m.role == 'x' }}>" DONE ASK, NULL, "chat.marks",
     "x<y"},
    {EACH "<{% if not m.content.startswith('secret') %}{{ m.content }}{% endif %}>" DONE ASK,
     NULL, "chat.marks", "secret"},
    {"{{ raise_exception('never') }}", "never", NULL, NULL},
    {"", "not at all", NULL, NULL},
};

static void test_tables(void)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        cv_meta meta = {NULL, 0, 0, 0};
        cv_error err = {{0}};
        const char *jinja = tables[i].jinja, *says = tables[i].says, *want = tables[i].value;
        int status = cv_chat_table(jinja, strlen(jinja), &classic, &meta, &err);
        const char *got = !status && tables[i].key ? meta_text(&meta, tables[i].key) : NULL;
        check(status == (says != NULL) && (!says || strstr(err.text, says)), "%s\n  status %d: %s", jinja, status,
              err.text);
        check(!got == !want && (!got || !strcmp(got, want)), "%s\n  %s is '%s'", jinja, tables[i].key,
              got ? got : "absent");
        cv_meta_free(&meta);
    }
}

/* ---- thinking ---- */

/* Qwen3's template, without tools. */
static const char qwen3[] =
    "{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}"
    "{%- endif %}\n"
    "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}\n"
    "{%- for message in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n"
    "    {%- if ns.multi_step_tool and message.role == \"user\" and not(message.content.startswith('<tool_response>') "
    "and message.content.endswith('</tool_response>')) %}\n        {%- set ns.multi_step_tool = false %}\n"
    "        {%- set ns.last_query_index = index %}\n    {%- endif %}\n{%- endfor %}\n"
    "{%- for message in messages %}\n"
    "    {%- if (message.role == \"user\") or (message.role == \"system\" and not loop.first) %}\n"
    "        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}\n"
    "    {%- elif message.role == \"assistant\" %}\n        {%- set content = message.content %}\n"
    "        {%- set reasoning_content = '' %}\n        {%- if '</think>' in message.content %}\n"
    "            {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}\n"
    "            {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\n').split('<think>')[-1]"
    ".lstrip('\n') %}\n        {%- endif %}\n        {%- if loop.index0 > ns.last_query_index %}\n"
    "            {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content + '\n</think>\n\n' "
    "+ content }}\n"
    "        {%- else %}\n            {{- '<|im_start|>' + message.role + '\n' + content }}\n        {%- endif %}\n"
    "        {{- '<|im_end|>\n' }}\n    {%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}";

static const talk thoughtful = {
    {{"user", "Why </think>?"},
     {"assistant", "<think>\nHm.</think> no\n</think>\n\n\n  Because. \n"},
     {"user", "And?"},
     {"assistant", "Nothing"},
     {"user", "So."}},
    5,
};

static void test_thinking(void)
{
    static const char kept[] = "<think>\nHm.</think> no\n</think>\n\n\n  Because. \n<|im_end|>\n";
    cv_meta meta = {NULL, 0, 0, 0};
    cv_error err = {{0}};
    char *want, *got;
    check(cv_chat_table(qwen3, strlen(qwen3), &none, &meta, &err) == 0, "Qwen3: %s", err.text);
    check(!strcmp(meta_text(&meta, "chat.thinking.end"), "</think>"), "Qwen3: the end of thinking");
    check(meta_integer(&meta, "chat.thinking.trim", 0) == 1, "Qwen3: the newlines after thinking");
    check(!meta_text(&meta, "chat.marks") || !strstr(meta_text(&meta, "chat.marks"), "think"), "Qwen3: a mark is left");
    check(render(qwen3, strlen(qwen3), &thoughtful, &none, &want, &err) == 0, "Qwen3: %s", err.text);
    got = tell(&meta, thoughtful.messages, thoughtful.count, HARP_RENDER_ANSWER);
    check(!strcmp(got, want) && strstr(got, "assistant\n  Because. \n<|im_end|>"), "thinking left out:\n%s", got);
    free(got);
    got = tell(&meta, thoughtful.messages, thoughtful.count, HARP_RENDER_ANSWER | HARP_RENDER_THINKING);
    check(strstr(got, kept) != NULL, "thinking kept: %s", got);
    free(got);
    got = tell(&meta, thoughtful.messages, 2, 0); /* nothing follows the last answer: it is not a former one */
    check(strstr(got, kept) != NULL, "the last: %s", got);
    free(got), free(want);
    cv_meta_free(&meta);
}

/* ---- hostile templates: refused, and soon ---- */

static const struct {
    const char *name, *before, *repeated;
    int times;
    const char *after;
} hostile[] = {
    {"brackets", "{{ ", "(", 200000, " }}"},
    {"closed brackets", "{{ 1", ")", 200000, " }}"},
    {"lists", "{{ ", "[", 100000, ""},
    {"not not", "{{ ", "not ", 60000, "1 }}"},
    {"minus", "{{ ", "- ", 100000, "1 }}"},
    {"long sum", "{{ 1", "+1", 100000, " }}"},
    {"long chain", "{{ a", ".b", 100000, " }}"},
    {"many filters", "{{ 'a'", "|trim", 40000, " }}"},
    {"many tests", "{{ 1", " is defined", 20000, " }}"},
    {"calls of calls", "{{ a", "()", 100000, " }}"},
    {"choices", "{{ 1", " if 1 else 1", 20000, " }}"},
    {"nested if", "", "{% if 1 %}", 25000, ""},
    {"nested for", "", "{% for a in [1] %}", 14000, ""},
    {"nested loops", "", "{% for a in range(99999) %}", 20,
     "x{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}"
     "{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}"
     "{% endfor %}{% endfor %}"},
    {"much output", "{% for a in range(99999) %}{{ '", "0123456789", 10000, "' }}{% endfor %}"},
    {"huge range", "{% for a in range(999999999) %}", "", 0, "{% endfor %}"},
    {"doubled text", "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}", "", 0,
     "{% endfor %}"},
    {"deep list", "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}", "", 0,
     "{% endfor %}{{ ns.x == [ns.x] }}"},
    {"self in self", "{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns", ".ns", 80, " }}"},
    {"wide equality", "{% set ns = namespace(x=[1]) %}{% for i in range(15) %}{% set ns.x = [ns.x, ns.x, ns.x] %}", "",
     0, "{% endfor %}{{ ns.x == [ns.x, 1, 2] }}"},
    {"macro calls itself", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "", 0, ""},
    {"macro calls itself twice", "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}", "", 0, ""},
    {"slow search", "{% set a = 'aaaaaaaaaaaaaaaa' * 1 %}", "", 0, ""},
    {"slow replace", "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(16) %}{% set ns.x = ns.x + ns.x %}", "",
     0, "{% endfor %}{% for i in range(9999) %}{{ (ns.x + 'b') in ns.x }}{% endfor %}"},
    {"many variables", "", "{% set ", 1, "a = 1 %}{{ b.c }}"},
    {"many arguments", "{{ f(1", ",1", 100000, ") }}"},
    {"many parameters", "{% macro f(a", ",a", 100000, ") %}{% endmacro %}"},
    {"long string", "{{ '", "\\x4", 80000, "' }}"},
    {"long name", "{{ ", "abcdefghij", 20000, ".x }}"},
    {"too large", "", "0123456789", 30000, ""},
};

static void check_hostile(const char *name, const char *jinja)
{
    cv_error err = {{0}};
    char *out;
    clock_t start = clock();
    int status = render(jinja, strlen(jinja), &small_talk, &classic, &out, &err);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    check(status != 0 && *err.text, "hostile, %s: not refused", name);
    check(seconds < 5, "hostile, %s: %.1f s", name, seconds);
    free(out);
    cv_meta meta = {NULL, 0, 0, 0};
    check(cv_chat_table(jinja, strlen(jinja), &classic, &meta, &err) != 0, "hostile, %s: a table", name);
    cv_meta_free(&meta);
}

static void test_hostile(void)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        size_t each = strlen(hostile[i].repeated), times = (size_t)hostile[i].times;
        char *jinja = malloc(strlen(hostile[i].before) + each * times + strlen(hostile[i].after) + 1);
        if (!jinja) exit(2);
        char *p = strcpy(jinja, hostile[i].before) + strlen(hostile[i].before);
        for (size_t k = 0; k < times; k++, p += each) memcpy(p, hostile[i].repeated, each);
        strcpy(p, hostile[i].after);
        check_hostile(hostile[i].name, jinja);
        free(jinja);
    }
}

/* A template that stays just below the limits in every rendering must not make the whole take long. */
static void test_expensive(void)
{
    static const char jinja[] = "{% for i in range(90000) %}{% set x = i + i %}{% endfor %}"
                                "{% for m in messages %}<{{ m.content }}>{% endfor %}";
    cv_meta meta = {NULL, 0, 0, 0};
    cv_error err = {{0}};
    clock_t start = clock();
    cv_chat_table(jinja, sizeof jinja - 1, &none, &meta, &err);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    check(seconds < 30, "an expensive template took %.1f s", seconds);
    cv_meta_free(&meta);
}

/* Any bytes at all: cut off and damaged versions of a real kind of template. Exact-size blocks, so that sanitizers see
 * a byte read too far. */
static void test_damaged(const char *whole)
{
    size_t bytes = strlen(whole);
    unsigned seed = 1;
    for (size_t i = 0; i < 2 * bytes; i++) {
        size_t n = i < bytes ? i : bytes;
        char *jinja = malloc(n ? n : 1), *out;
        cv_error err = {{0}};
        if (!jinja) exit(2);
        memcpy(jinja, whole, n);
        for (int k = 0; i >= bytes && k < 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            jinja[(seed >> 8) % n] = "{}%#'\"\\-|.[](),:~\n\xFF aifn0"[(seed >> 24) % 26];
        }
        int status = render(jinja, n, &small_talk, &classic, &out, &err);
        if (status && !*err.text) check(0, "damaged template without a reason");
        free(out);
        free(jinja);
    }
    check(1, "damaged templates");
}

static const char sample[] =
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set first = messages[0].content|trim %}\n"
    "{% else %}{% set rest = messages %}{% set first = '' -%}{% endif %}{# note #}\n"
    "{% macro turn(role, text='x') -%}<{{ role }}>{{ text.strip() ~ \"\\n\" }}{%- endmacro %}\n"
    "{% set ns = namespace(n=0) %}{% for m in rest if m.content is defined %}{% set ns.n = ns.n + 1 %}\n"
    "  {{- turn(m.role, text=m['content']) if not loop.last else m.content | default('-') | replace('a', 'b') }}\n"
    "  {%- if loop.index0 % 2 == 1 and m.role in ['user', 'tool'] %}{% continue %}{% endif %}\n"
    "{% endfor %}{{ {'n': [ns.n, none]}.n | join }}{{ first[:2] + 'y'.upper() }}";

static void test_damage(const char *folder)
{
    test_damaged(sample);
    for (size_t i = 0; i < TEMPLATE_FILES; i++) {
        char *jinja = read_all(folder, template_files[i]);
        if (jinja) test_damaged(jinja);
        free(jinja);
    }
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "../shared/data/chat";
    test_evaluator();
    test_dates();
    test_dated_table();
    test_tables();
    test_thinking();
    test_hostile();
    test_expensive();
    test_damage(folder);
    test_vectors(folder);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
