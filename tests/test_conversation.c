/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_conversation.c - harp_render through harp.h alone: tables by hand, what people type, wrong calls, hostile tables
 *
 *     test_conversation MODEL.harp
 *
 * The model's own table of roles is replaced; "<|endoftext|>" must be one of its control tokens, as in the demo model.
 * That the tables of real chat templates are followed, test_chat.c tests. */
#include "../harp.h"
#include "chat_file.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 4096, SPANS = 32, MOST_TOKENS = 1024 };

static unsigned char *base;
static size_t base_bytes;

/* ---- Tables ---- */

typedef struct entry {
    const char *key, *text; /* text NULL: an integer */
    uint64_t integer;
} entry;

typedef struct table {
    harp_model *model;
    unsigned char *data;
} table;

static table open_table(const entry *entries, size_t n)
{
    harp_source source = harp_source_defaults();
    hf_file f = chat_begin(base, base_bytes);
    harp_error err;
    table t;
    size_t i;
    for (i = 0; i < n; i++)
        if (entries[i].text) hf_text(&f, entries[i].key, entries[i].text);
        else hf_integer(&f, entries[i].key, entries[i].integer);
    chat_end(&f, base, base_bytes);
    t.data = f.data, source.data = f.data, source.bytes = f.bytes;
    if (harp_open_source(&t.model, &source, &err)) printf("FAILED %s\n0 passed, 1 failed\n", err.text), exit(1);
    return t;
}

static void close_table(table t)
{
    harp_close(t.model);
    free(t.data);
}

#define TABLE(entries) open_table(entries, sizeof(entries) / sizeof *(entries))

static const entry plain[] = {{"chat.start", "<start>", 0},       {"chat.system.before", "<sys>", 0},
                              {"chat.system.after", "</sys>", 0}, {"chat.user.before", "<user>", 0},
                              {"chat.user.after", "</user>", 0},  {"chat.assistant.before", "<bot>", 0},
                              {"chat.assistant.after", "</bot>", 0}};

/* ---- Conversations ---- */

/* Roles by their letters, "suau"; texts one after the other. */
typedef struct talk {
    harp_message messages[16];
    size_t n;
} talk;

static talk say(const char *roles, const char *const *texts)
{
    talk t;
    for (t.n = 0; roles[t.n]; t.n++) {
        harp_message *m = &t.messages[t.n];
        m->role = roles[t.n] == 's' ? HARP_ROLE_SYSTEM : roles[t.n] == 'u' ? HARP_ROLE_USER : HARP_ROLE_ASSISTANT;
        m->text = texts[t.n], m->bytes = strlen(texts[t.n]);
    }
    return t;
}

typedef struct written {
    char text[ROOM + 1];
    harp_span spans[SPANS];
    harp_rendering r;
    harp_error err;
} written;

static harp_status write_into(written *w, const harp_model *m, const talk *t, unsigned flags)
{
    harp_status status;
    memset(w, 0, sizeof *w);
    w->r.text = w->text, w->r.capacity = ROOM, w->r.spans = w->spans, w->r.span_capacity = SPANS;
    status = harp_render(m, t->messages, t->n, flags, &w->r, &w->err);
    CHECK(status == w->err.status && (status == HARP_OK) == !w->err.text[0]);
    return status;
}

/* The text, its messages' spans in [brackets]. */
static int reads(const harp_model *m, const talk *t, unsigned flags, const char *expected)
{
    static written w;
    char shown[ROOM + 2 * SPANS + 1];
    size_t i, at = 0, n = 0;
    if (write_into(&w, m, t, flags) != HARP_OK) return printf("        %s\n", w.err.text), 0;
    for (i = 0; i < w.r.n_spans; at += w.spans[i++].bytes) {
        int is_message = w.spans[i].flags == 0;
        if (is_message) shown[n++] = '[';
        memcpy(shown + n, w.text + at, w.spans[i].bytes), n += w.spans[i].bytes;
        if (is_message) shown[n++] = ']';
    }
    shown[n] = 0;
    if (at == w.r.bytes && strcmp(shown, expected) == 0) return 1;
    return printf("        reads    %s\n        expected %s\n", shown, expected), 0;
}

static void test_order(void)
{
    static const char *const texts[] = {"S", "one", "two", "three", "four", "five"};
    static const char *const silent[] = {"", "one"};
    table t = TABLE(plain);
    talk all = say("suaua", texts), first = say("su", texts), user = say("u", texts + 1), none = say("su", silent);
    CHECK(reads(t.model, &user, HARP_RENDER_ANSWER, "<start><user>[one]</user><bot>"));
    CHECK(reads(t.model, &user, 0, "<start><user>[one]</user>"));
    CHECK(reads(t.model, &none, HARP_RENDER_ANSWER, "<start><user>[one]</user><bot>")); /* empty counts as none */
    CHECK(reads(t.model, &first, HARP_RENDER_ANSWER, "<start><sys>[S]</sys><user>[one]</user><bot>"));
    CHECK(reads(t.model, &all, 0, "<start><sys>[S]</sys><user>[one]</user><bot>[two]</bot><user>[three]</user>"
                                  "<bot>[four]</bot>"));
    close_table(t);
}

static void test_whole_table(void)
{
    static const entry full[] = {{"chat.start", "^", 0},
                                 {"chat.bos", NULL, 0},
                                 {"chat.system.before", "(", 0},
                                 {"chat.system.after", ")", 0},
                                 {"chat.system.absent", "~", 0},
                                 {"chat.user.before", "U", 0},
                                 {"chat.user.after", "u", 0},
                                 {"chat.user.first", "", 0},
                                 {"chat.assistant.before", "A", 0},
                                 {"chat.assistant.after", "a", 0},
                                 {"chat.assistant.prompt", "", 0},
                                 {"chat.system.trim", NULL, 3},
                                 {"chat.user.trim", NULL, 1},
                                 {"chat.user.first.trim", NULL, 2},
                                 {"chat.assistant.trim", NULL, 0},
                                 {"chat.thinking.end", "]]", 0},
                                 {"chat.thinking.trim", NULL, 1}};
    static const char *const texts[] = {" \t\n\v\f\rS ", " one ", "x]]y]]\n\n two ", " three ", " ", "\n five\n"};
    static written w;
    entry last[sizeof full / sizeof *full];
    table t = TABLE(full);
    static const char *const led_texts[] = {" one ", "\n\n \n two "};
    talk all = say("suauau", texts), bare = say("uau", texts + 1), led = say("ua", led_texts);
    CHECK(reads(t.model, &all, HARP_RENDER_ANSWER, "^([S])[ one]uA[ two ]aU[three ]uA[ ]aU[five\n]u"));
    CHECK(reads(t.model, &bare, HARP_RENDER_ANSWER, "^~[ one]uA[ two ]aU[three ]u"));
    CHECK(reads(t.model, &bare, HARP_RENDER_THINKING, "^~[ one]uA[x]]y]]\n\n two ]aU[three ]u"));
    bare.n = 2; /* the last answer is not a former one */
    CHECK(reads(t.model, &bare, 0, "^~[ one]uA[x]]y]]\n\n two ]a"));
    CHECK(write_into(&w, t.model, &all, 0) == HARP_OK && w.r.flags == 0);
    close_table(t);
    memcpy(last, full, sizeof full), last[14].integer = 4, last[16].integer = 0; /* newlines alone */
    t = TABLE(last);
    CHECK(reads(t.model, &led, 0, "^~[ one]uA[ \n two ]a"));
    close_table(t);
    last[14].integer = 6;
    t = TABLE(last);
    CHECK(reads(t.model, &led, 0, "^~[ one]uA[ \n two]a"));
    close_table(t);
    memcpy(last, full, sizeof full), last[7].key = "chat.system.last", last[7].text = NULL, last[7].integer = 1;
    last[16].integer = 0;
    t = TABLE(last);
    CHECK(reads(t.model, &all, HARP_RENDER_ANSWER, "^U[one ]uA[\n\n two ]aU[three ]uA[ ]aU([S])[\n five]u"));
    all.n = 5; /* ends with an answer: the last user's message is the one before */
    CHECK(reads(t.model, &all, 0, "^U[one ]uA[\n\n two ]aU([S])[ three]uA[ ]a"));
    close_table(t);
    t = TABLE(plain);
    CHECK(write_into(&w, t.model, &all, 0) == HARP_OK && w.r.flags == HARP_ENCODE_BOS); /* chat.bos is absent */
    close_table(t);
}

/* ---- What people type ---- */

static size_t encode(const harp_model *m, const written *w, int32_t *tokens)
{
    size_t n = 0;
    CHECK(harp_encode_spans(m, w->text, w->spans, w->r.n_spans, w->r.flags, tokens, MOST_TOKENS, &n, NULL) == HARP_OK);
    return n;
}

static size_t count(const int32_t *tokens, size_t n, int32_t token)
{
    size_t i, there = 0;
    for (i = 0; i < n; i++) there += tokens[i] == token;
    return there;
}

/* Control tokens of the table count, those that are typed do not, not even one that begins in the table's text. */
static void test_typed_text(void)
{
    static const entry controlled[] = {{"chat.user.before", "Q<|endof", 0},
                                       {"chat.user.after", "<|endoftext|>", 0},
                                       {"chat.assistant.before", "A", 0}};
    static const char *const texts[] = {"text|> <|endoftext|>", "<|endoftext|>", "<|endoftext|", "\xFF\xC3 \xE2\x82"};
    static written w;
    int32_t tokens[MOST_TOKENS], control = 0;
    table t = TABLE(controlled);
    talk all = say("uau", texts), bytes = say("u", texts + 3);
    size_t n, one = 0;
    CHECK(harp_encode(t.model, "<|endoftext|>", 13, HARP_ENCODE_SPECIAL, tokens, MOST_TOKENS, &one, NULL) == HARP_OK);
    CHECK(one == 1);
    control = tokens[0];
    CHECK(write_into(&w, t.model, &all, HARP_RENDER_ANSWER) == HARP_OK);
    w.r.flags = 0;
    n = encode(t.model, &w, tokens);
    CHECK(n > 10 && count(tokens, n, control) == 2 && tokens[n - 1] != control);
    CHECK(write_into(&w, t.model, &bytes, 0) == HARP_OK); /* what is not UTF-8 survives */
    CHECK(w.r.bytes == 8 + 5 + 13 && memcmp(w.text + 8, texts[3], 5) == 0);
    CHECK(encode(t.model, &w, tokens) > 5);
    bytes.messages[0].text = "a\0<|endoftext|>", bytes.messages[0].bytes = 15; /* a zero is a byte as any other */
    CHECK(write_into(&w, t.model, &bytes, 0) == HARP_OK && memcmp(w.text + 8, "a\0<", 3) == 0);
    n = encode(t.model, &w, tokens);
    CHECK(count(tokens, n, control) == 1 + (w.r.flags != 0)); /* the table's, and the begin token */
    close_table(t);
}

/* A conversation that goes on begins with the text and, answer included, the tokens of what was there. */
static void test_history(void)
{
    static const char *const texts[] = {"One day", "Anna ran.", "And then?"};
    static written before, after;
    harp_params p = harp_defaults();
    harp_session *s;
    harp_step step;
    int32_t old[MOST_TOKENS], tokens[MOST_TOKENS], held = 0;
    table t = TABLE(plain);
    talk one = say("u", texts), two = say("uau", texts);
    size_t n, m;
    CHECK(write_into(&before, t.model, &one, HARP_RENDER_ANSWER) == HARP_OK);
    CHECK(write_into(&after, t.model, &two, HARP_RENDER_ANSWER) == HARP_OK);
    CHECK(memcmp(before.text, after.text, before.r.bytes) == 0);
    n = encode(t.model, &before, old), m = encode(t.model, &after, tokens);
    p.hidden = 1, s = open_session(t.model, &p);
    CHECK(n < m && harp_feed(s, old, (int32_t)n, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK);
    CHECK(harp_hidden(s) && step.position == (int32_t)n && harp_tokens(s, &held) && held == (int32_t)n + 1);
    CHECK(harp_rewind(s, (int32_t)n - 1, NULL) == HARP_OK);
    CHECK(harp_feed(s, tokens + n - 1, (int32_t)(m - n) + 1, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK);
    harp_session_close(s);
    close_table(t);
}

/* ---- Wrong calls ---- */

static int refuses(const harp_model *m, const talk *t, unsigned flags, harp_status status, const char *says)
{
    static written w;
    if (write_into(&w, m, t, flags) == status && strstr(w.err.text, says)) return 1;
    return printf("        status %d: %s\n", (int)w.err.status, w.err.text), 0;
}

static void test_roles_out_of_order(void)
{
    static const char *const wrong[] = {"a", "uu", "us", "suaa", "ss", "sau", "suas", "uaa"};
    static const char *const texts[] = {"1", "2", "3", "4"};
    table t = TABLE(plain);
    talk x;
    size_t i;
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        x = say(wrong[i], texts);
        CHECK(refuses(t.model, &x, 0, HARP_ERR_ARGUMENT, "take turns"));
    }
    x = say("", texts);
    CHECK(refuses(t.model, &x, 0, HARP_ERR_ARGUMENT, "needs a user's message"));
    x = say("s", texts);
    CHECK(refuses(t.model, &x, 0, HARP_ERR_ARGUMENT, "needs a user's message"));
    x = say("ua", texts);
    CHECK(refuses(t.model, &x, HARP_RENDER_ANSWER, HARP_ERR_ARGUMENT, "follows a user's message"));
    x = say("ua", texts), x.messages[1].role = (harp_role)7;
    CHECK(refuses(t.model, &x, 0, HARP_ERR_ARGUMENT, "message 1 is not the assistant's"));
    x = say("ua", texts), x.messages[0].text = NULL;
    CHECK(refuses(t.model, &x, 0, HARP_ERR_ARGUMENT, "message 0 is NULL"));
    x = say("ua", texts), x.messages[0].text = NULL, x.messages[0].bytes = 0;
    CHECK(reads(t.model, &x, 0, "<start><user></user><bot>[2]</bot>"));
    close_table(t);
}

static void test_room(void)
{
    static const char *const texts[] = {"S", "one", "two", "three"};
    table t = TABLE(plain);
    talk all = say("suau", texts);
    written w;
    harp_rendering r;
    harp_error err;
    harp_status status;
    size_t bytes, spans, i;
    CHECK(write_into(&w, t.model, &all, HARP_RENDER_ANSWER) == HARP_OK);
    bytes = w.r.bytes, spans = w.r.n_spans;
    CHECK(spans <= 2 * all.n + 1);
    memset(&r, 0, sizeof r);
    CHECK(harp_render(t.model, all.messages, all.n, HARP_RENDER_ANSWER, &r, &err) == HARP_ERR_MEMORY);
    CHECK(r.bytes == bytes && r.n_spans == spans && strstr(err.text, "bytes in 9 spans"));
    for (i = 0; i <= bytes; i++) { /* blocks of exactly that size: sanitizers see a byte too far */
        char *text = malloc(i ? i : 1);
        if (!text) exit(2);
        r.text = text, r.capacity = i, r.spans = w.spans, r.span_capacity = spans;
        status = harp_render(t.model, all.messages, all.n, HARP_RENDER_ANSWER, &r, NULL);
        CHECK(status == (i < bytes ? HARP_ERR_MEMORY : HARP_OK));
        CHECK(r.bytes == bytes && r.n_spans == spans && (i < bytes || memcmp(text, w.text, bytes) == 0));
        free(text);
    }
    for (i = 0; i <= spans; i++) {
        harp_span *own = malloc(i ? i * sizeof *own : 1);
        if (!own) exit(2);
        r.text = w.text, r.capacity = ROOM, r.spans = own, r.span_capacity = i;
        status = harp_render(t.model, all.messages, all.n, HARP_RENDER_ANSWER, &r, NULL);
        CHECK(status == (i < spans ? HARP_ERR_MEMORY : HARP_OK));
        CHECK(r.bytes == bytes && r.n_spans == spans);
        free(own);
    }
    close_table(t);
}

static void test_misuse(void)
{
    static const char *const texts[] = {"one", "two", "three"};
    table t = TABLE(plain);
    talk all = say("uau", texts);
    written w;
    harp_rendering r;
    harp_error err;
    memset(&r, 0, sizeof r);
    CHECK(harp_render(NULL, all.messages, 3, 0, &r, &err) == HARP_ERR_ARGUMENT && err.text[0]);
    CHECK(harp_render(t.model, NULL, 3, 0, &r, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_render(t.model, NULL, 0, 0, &r, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "user's message"));
    CHECK(harp_render(t.model, all.messages, 3, 0, NULL, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_render(t.model, all.messages, 3, 0, NULL, NULL) == HARP_ERR_ARGUMENT);
    r.capacity = 1;
    CHECK(harp_render(t.model, all.messages, 3, 0, &r, &err) == HARP_ERR_ARGUMENT);
    r.capacity = 0, r.span_capacity = 1;
    CHECK(harp_render(t.model, all.messages, 3, 0, &r, &err) == HARP_ERR_ARGUMENT);
    r.span_capacity = 0;
    all.messages[0].bytes = SIZE_MAX - 64, all.messages[1].bytes = SIZE_MAX / 2; /* counted only: no text is so long */
    CHECK(harp_render(t.model, all.messages, 3, 0, &r, &err) == HARP_ERR_MEMORY);
    CHECK(strstr(err.text, "larger than memory"));
    all = say("uau", texts);
    CHECK(write_into(&w, t.model, &all, ~3u) == HARP_OK); /* other flags say nothing */
    close_table(t);
}

/* ---- Hostile tables ---- */

static void test_hostile_tables(void)
{
    static char long_mark[66];
    entry e[2] = {{"chat.user.before", "<user>", 0}, {NULL, NULL, 0}};
    static const char *const as_texts[] = {"chat.bos", "chat.system.last", "chat.system.trim", "chat.user.trim",
                                           "chat.user.first.trim", "chat.assistant.trim", "chat.thinking.trim"};
    static const char *const as_integers[] = {
        "chat.start",           "chat.system.before",    "chat.system.after", "chat.system.absent",
        "chat.user.after",      "chat.user.first",       "chat.assistant.before",
        "chat.assistant.after", "chat.assistant.prompt", "chat.thinking.end"};
    static const uint64_t numbers[] = {7, (uint64_t)-1, (uint64_t)1 << 32, (uint64_t)1 << 63};
    static const char *const texts[] = {"one", "two", "three"};
    talk all = say("uau", texts), led = say("su", texts);
    table t = open_table(NULL, 0);
    size_t i, k;
    CHECK(refuses(t.model, &all, 0, HARP_ERR_UNSUPPORTED, "no conversation format"));
    close_table(t);
    t = open_table(e, 1);
    CHECK(refuses(t.model, &led, 0, HARP_ERR_UNSUPPORTED, "no system message"));
    CHECK(reads(t.model, &all, 0, "<user>[onetwo]<user>[three]")); /* neighbours of one kind share a span */
    close_table(t);
    for (i = 0; i < sizeof as_texts / sizeof *as_texts; i++) {
        e[1].key = as_texts[i], e[1].text = "1";
        t = open_table(e, 2);
        CHECK(refuses(t.model, &all, 0, HARP_ERR_FORMAT, as_texts[i]));
        close_table(t);
        for (k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            e[1].text = NULL, e[1].integer = numbers[k];
            t = open_table(e, 2);
            CHECK(refuses(t.model, &all, 0, HARP_ERR_FORMAT, as_texts[i]));
            close_table(t);
        }
    }
    for (i = 0; i < sizeof as_integers / sizeof *as_integers; i++) {
        e[1].key = as_integers[i], e[1].text = NULL, e[1].integer = 1;
        t = open_table(e, 2);
        CHECK(refuses(t.model, &all, 0, HARP_ERR_FORMAT, as_integers[i]));
        close_table(t);
    }
    memset(long_mark, 'x', 65);
    for (i = 64; i <= 66; i++) {
        e[1].key = "chat.thinking.end", e[1].text = i == 66 ? "" : long_mark + 65 - i;
        t = open_table(e, 2);
        CHECK(i == 64 ? reads(t.model, &all, 0, "<user>[onetwo]<user>[three]")
                      : refuses(t.model, &all, 0, HARP_ERR_FORMAT, "chat.thinking.end"));
        close_table(t);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2) base = load_file(argv[1], &base_bytes);
    if (!base) return printf("usage: test_conversation MODEL.harp\n"), 2;
    test_order();
    test_whole_table();
    test_typed_text();
    test_history();
    test_roles_out_of_order();
    test_room();
    test_misuse();
    test_hostile_tables();
    free(base);
    return conclude();
}
