/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * roles.c - from a chat template to a role table
 *
 * A chat template is a program; a .harp file holds texts. The table is found by running the program on conversations
 * whose contents are unique marks and looking at what stands between the marks, and it is proved by running it on more
 * conversations and comparing every byte. A template whose text the table cannot express is refused with the reason.
 *
 * The table, and how a conversation is written by it, is described where it is read: harp_impl.c, [CH14],
 * "Conversations". One text tells where the proof ends:
 *
 *   chat.marks    texts, one per line, that the template looks for in messages: a message with one of them is changed,
 *                 and the table does not say so. Absent: none was found
 *
 * Messages are sampled: what a template does depending on their length, say, is seen only as far as the samples go. */
#include "roles.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TURNS = 4, MAX_MESSAGES = 2 * MAX_TURNS, MAX_CONTENT = 1024, MAX_KEPT = 8, MAX_MARKS = 24 };
enum { MAX_THINKING = 64 }; /* bytes, as harp_render has it */

typedef struct table {
    cv_text start, system_before, system_after, system_absent, user_before, user_after, user_first;
    cv_text assistant_before, assistant_after, assistant_prompt;
    int has_system, has_absent, has_first, has_prompt, last, bos;
    int system_trim, user_trim, assistant_trim, first_trim;
    cv_text thinking; /* the text that ends it; data NULL: none */
    int thinking_trim;
} table;

typedef struct work {
    cv_template *parsed;
    const cv_specials *specials;
    const char *stem;     /* what marks are made of; not in the template */
    table t;
    char *kept[MAX_KEPT]; /* rendered texts that others point into */
    size_t n_kept;
    cv_text marks[MAX_MARKS]; /* those that change contents */
    size_t n_marks;
    cv_error *err;
} work;

static int refuse(work *w, const char *why)
{
    cv_fail(w->err, "%s", why);
    return CV_TEMPLATE_REFUSED;
}

/* ---- conversations to try ---- */

enum { MARKED, PADDED, PLAIN, SPACES, NEWLINES, AWKWARD, ALIKE, LONG, STYLES };

typedef struct probe {
    cv_message messages[MAX_MESSAGES];
    char contents[MAX_MESSAGES][MAX_CONTENT];
    size_t count, users;
    int system;
} probe;

static void fill_content(const work *w, int style, int number, char *out)
{
    static const char *const formats[STYLES] = {
        "%s%dw",
        " \t%s%dw\t ",
        "Words of %s, number %d.",
        "   \t words of %s,  number %d \t ",
        "\n\n words of %s, \n\n number %d \n\n",
        "%s \"%d\" 'x' \\n {{ y }} {%% z %%}\n\n<b>&amp;</b> [/z]\n- \xC3\xA9 \xE6\x97\xA5 \xF0\x9F\x98\x80!",
        "%s%dw",
        "%s %d",
    };
    int n = snprintf(out, MAX_CONTENT, formats[style], w->stem, style == ALIKE ? 0 : number);
    if (style != LONG) return;
    for (; n < MAX_CONTENT - 8; n += 7) memcpy(out + n, ", words", 8);
}

/* [system] user assistant user ..., with `count` messages after the system message. */
static void make_probe(const work *w, probe *p, int system, size_t count, int style)
{
    memset(p, 0, sizeof *p);
    p->system = system;
    p->users = (count + 1) / 2;
    p->count = count + (system != 0);
    for (size_t i = 0; i < p->count; i++) {
        size_t turn = system ? i - 1 : i;
        fill_content(w, style, (int)i, p->contents[i]);
        p->messages[i].content = p->contents[i];
        p->messages[i].role = system && !i ? "system" : turn % 2 ? "assistant" : "user";
    }
}

/* The template's own text for a conversation; the caller frees it. */
static int render(const work *w, const probe *p, int prompt, char **out, cv_text *whole)
{
    cv_conversation c = {p->messages, p->count, prompt, w->specials};
    int status = cv_template_render(w->parsed, &c, out, &whole->bytes, w->err);
    whole->data = *out;
    return status;
}

/* The same, kept until the end of the work, so that other texts may point into it. */
static int render_kept(work *w, const probe *p, int prompt, cv_text *whole)
{
    char *out;
    if (w->n_kept == MAX_KEPT) return refuse(w, "the chat template needs too many probes");
    int status = render(w, p, prompt, &out, whole);
    if (!status) w->kept[w->n_kept++] = out;
    return status;
}

/* ---- texts between the contents ---- */

/* What both begin with, but not with half a special token at its end: it ends in a place where a token could. */
static cv_text common_begin(cv_text a, cv_text b)
{
    size_t n = 0;
    while (n < a.bytes && n < b.bytes && a.data[n] == b.data[n]) n++;
    if (n == a.bytes && n == b.bytes) return a;
    while (n && !strchr(">]\n", a.data[n - 1])) n--;
    return (cv_text){a.data, n};
}

/* What both end with, beginning where one of them or a special token begins. */
static cv_text common_end(cv_text a, cv_text b)
{
    size_t n = 0;
    while (n < a.bytes && n < b.bytes && a.data[a.bytes - 1 - n] == b.data[b.bytes - 1 - n]) n++;
    while (n && n < a.bytes && n < b.bytes && !strchr("<[", a.data[a.bytes - n])) n--;
    return (cv_text){a.data + (a.bytes - n), n};
}

/* The first place of `what` in t. Returns how often it is there: 0, 1, or 2 for more. */
static int find_once(cv_text t, const char *what, size_t *at)
{
    *at = text_find(t, text_of(what), 0);
    if (*at == t.bytes) return 0;
    return text_find(t, text_of(what), *at + 1) < t.bytes ? 2 : 1;
}

/* Cuts a rendered text at the marks of the messages, which must be there once each, in the given order. between has
 * one text more than there are messages. */
static int split(work *w, const probe *p, cv_text whole, const size_t *order, cv_text *between)
{
    size_t done = 0, at = 0;
    for (size_t i = 0; i < p->count; i++) {
        const cv_message *m = &p->messages[order ? order[i] : i];
        int times = find_once(whole, m->content, &at);
        if (times != 1) {
            cv_fail(w->err, "the chat template shows the content of a message (%s) %s", m->role,
                    times ? "more than once" : "changed, or not at all");
            return CV_TEMPLATE_REFUSED;
        }
        if (at < done) return refuse(w, "the chat template changes the order of the messages");
        between[i] = (cv_text){whole.data + done, at - done};
        done = at + strlen(m->content);
    }
    between[p->count] = (cv_text){whole.data + done, whole.bytes - done};
    return 0;
}

static int look(work *w, const probe *p, int prompt, cv_text *between)
{
    cv_text whole;
    int status = render_kept(w, p, prompt, &whole);
    return status ? status : split(w, p, whole, NULL, between);
}

/* ---- the table ---- */

typedef struct finds { /* what stands between the marks */
    cv_text opening;                          /* before the first user content, no system message  */
    cv_text to_assistant, to_user, to_prompt; /* user to assistant, assistant to user, user to end */
    cv_text user_end, assistant_end;          /* ends of conversations that ask for no answer      */
    int has_user_end, has_assistant_end;
    cv_text before_system, after_system;
} finds;

/* Takes the BOS token off the beginning of a conversation. */
static int drop_bos(const work *w, cv_text *opening)
{
    cv_text bos = text_of(w->specials->bos);
    if (!bos.bytes || !text_begins(*opening, bos)) return 0;
    *opening = text_after(*opening, bos.bytes);
    return 1;
}

static int find_turns(work *w, finds *f)
{
    probe p;
    cv_text between[MAX_MESSAGES + 1];
    make_probe(w, &p, 0, 3, MARKED);
    int status = look(w, &p, 1, between);
    if (status) return status;
    f->opening = between[0];
    f->to_assistant = between[1];
    f->to_user = between[2];
    f->to_prompt = between[3];
    w->t.bos = drop_bos(w, &f->opening);
    return 0;
}

/* How conversations end without a generation prompt shows where a message ends. Templates may object to being asked. */
static int find_ends(work *w, finds *f)
{
    probe p;
    cv_text between[MAX_MESSAGES + 1];
    make_probe(w, &p, 0, 1, MARKED);
    int status = look(w, &p, 0, between);
    f->has_user_end = !status;
    if (!status) f->user_end = between[1];
    if (status < 0) return status;
    make_probe(w, &p, 0, 2, MARKED);
    status = look(w, &p, 0, between);
    f->has_assistant_end = !status;
    if (!status) f->assistant_end = between[2];
    return status < 0 ? status : 0;
}

/* A system message in the last of two user messages: what differs from the conversation without it? */
static int find_system_last(work *w, const probe *p, cv_text whole, finds *f)
{
    static const size_t order[] = {1, 2, 0, 3};
    cv_text between[MAX_MESSAGES + 1];
    int status = split(w, p, whole, order, between);
    if (status) return status;
    if (!text_begins(between[2], f->to_user)) {
        return refuse(w, "the chat template changes its texts for a system message");
    }
    f->before_system = text_after(between[2], f->to_user.bytes);
    f->after_system = between[3];
    w->t.last = 1;
    return 0;
}

static int find_system_first(work *w, const probe *p, cv_text whole, finds *f)
{
    cv_text between[MAX_MESSAGES + 1];
    int status = split(w, p, whole, NULL, between);
    if (status) return status;
    f->before_system = between[0];
    f->after_system = between[1];
    if (drop_bos(w, &f->before_system) == w->t.bos) return 0;
    return refuse(w, "the chat template begins only some conversations with the BOS token");
}

/* A template that objects to a system message or leaves it out has no system role. */
static int find_system(work *w, finds *f)
{
    probe p;
    cv_text whole;
    size_t system = 0, answer = 0;
    make_probe(w, &p, 1, 3, MARKED);
    int status = render_kept(w, &p, 1, &whole);
    if (status == CV_TEMPLATE_RAISED) return 0;
    if (status || !find_once(whole, p.contents[0], &system)) return status;
    w->t.has_system = 1;
    int later = find_once(whole, p.contents[2], &answer) == 1 && answer < system;
    return later ? find_system_last(w, &p, whole, f) : find_system_first(w, &p, whole, f);
}

static void place_turns(table *t, const finds *f)
{
    t->user_after = common_begin(f->to_assistant, f->to_prompt);
    if (f->has_user_end && text_begins(f->to_assistant, f->user_end) && text_begins(f->to_prompt, f->user_end)) {
        t->user_after = f->user_end;
    } else if (f->has_user_end) {
        t->user_after = common_begin(t->user_after, f->user_end);
    }
    t->assistant_before = text_after(f->to_assistant, t->user_after.bytes);
    t->assistant_prompt = text_after(f->to_prompt, t->user_after.bytes);
    t->has_prompt = !text_same(t->assistant_before, t->assistant_prompt);
    if (f->has_assistant_end && text_begins(f->to_user, f->assistant_end)) {
        t->user_before = text_after(f->to_user, f->assistant_end.bytes);
    } else {
        t->user_before = common_end(f->to_user, f->opening);
    }
    t->assistant_after = text_before(f->to_user, t->user_before.bytes);
}

/* The texts before the first user message, with and without a system message, are made of start, system and user. */
static void place_opening(table *t, const finds *f)
{
    int first = t->has_system && !t->last; /* is there a system message before the first user message? */
    cv_text head = t->user_before;
    t->has_first = !text_ends(f->opening, head) || (first && !text_ends(f->after_system, head));
    if (t->has_first) head = first ? common_end(f->opening, f->after_system) : f->opening;
    t->user_first = head;
    t->start = text_before(f->opening, head.bytes);
    t->system_before = f->before_system;
    t->system_after = f->after_system;
    if (!first) return;
    t->system_after = text_before(f->after_system, head.bytes);
    t->has_absent = !text_begins(f->before_system, t->start);
    if (!t->has_absent) {
        t->system_before = text_after(f->before_system, t->start.bytes);
    } else {
        t->system_absent = t->start;
        t->start.bytes = 0;
    }
}

/* ---- white space around contents ---- */

/* Which sides of a padded content lost their padding? The mark itself is found by its number. */
static int trimmed(const work *w, cv_text whole, int number, int *sides)
{
    char mark[MAX_CONTENT];
    size_t at = 0;
    fill_content(w, MARKED, number, mark);
    if (find_once(whole, mark, &at) != 1) return -1;
    cv_text before = {whole.data, at}, after = {whole.data + at + strlen(mark), whole.bytes - at - strlen(mark)};
    *sides = text_ends(before, text_of(" \t")) ? 0 : TEXT_LEFT;
    if (!text_begins(after, text_of("\t "))) *sides |= TEXT_RIGHT;
    return 0;
}

static size_t newlines_at_end(cv_text t)
{
    size_t n = 0;
    while (n < t.bytes && t.data[t.bytes - 1 - n] == '\n') n++;
    return n;
}

/* Answers may lose newlines at their beginning, and keep blanks. */
static int find_newlines(work *w, int *sides)
{
    char text[MAX_CONTENT];
    probe p;
    cv_text whole = {"", 0};
    size_t at = 0;
    char *out;
    make_probe(w, &p, 0, 3, NEWLINES);
    int status = render(w, &p, 1, &out, &whole);
    if (status) return status;
    cv_text inner = text_strip(text_of(p.contents[1]), text_of("\n "), TEXT_BOTH);
    snprintf(text, sizeof text, " %.*s", (int)inner.bytes, inner.data);
    size_t own = newlines_at_end(w->t.assistant_before);
    if (own == w->t.assistant_before.bytes) own += newlines_at_end(w->t.user_after);
    if (!(*sides & TEXT_LEFT) && find_once(whole, text, &at) == 1
        && newlines_at_end((cv_text){whole.data, at}) == own)
        *sides |= TEXT_NEWLINES;
    free(out);
    return 0;
}

static int find_trims(work *w)
{
    probe p;
    cv_text whole = {"", 0};
    table *t = &w->t;
    char *out;
    make_probe(w, &p, 0, 3, PADDED);
    int status = render(w, &p, 1, &out, &whole);
    if (status) return status;
    status = trimmed(w, whole, 1, &t->assistant_trim) | trimmed(w, whole, 2, &t->user_trim) |
             trimmed(w, whole, 0, &t->first_trim);
    free(out);
    if (!status) status = find_newlines(w, &t->assistant_trim);
    if (status || !t->has_system) return status ? refuse(w, "the chat template changes contents with blanks") : 0;
    make_probe(w, &p, 1, 3, PADDED);
    status = render(w, &p, 1, &out, &whole);
    if (status) return status;
    status = trimmed(w, whole, 0, &t->system_trim) | trimmed(w, whole, t->last ? 3 : 1, &t->first_trim);
    free(out);
    return status ? refuse(w, "the chat template changes contents with blanks") : 0;
}

/* ---- the proof ---- */

typedef struct buffer {
    char *data;
    size_t bytes, capacity;
    cv_error *err;
    int failed;
} buffer;

static void add(buffer *b, cv_text p)
{
    if (b->failed || !p.bytes) return;
    if (p.bytes > b->capacity - b->bytes) {
        size_t capacity = b->capacity * 2 + p.bytes + 256;
        char *grown = cv_grow(b->data, capacity, 1, b->err);
        b->failed = !grown;
        if (!grown) return;
        b->data = grown;
        b->capacity = capacity;
    }
    memcpy(b->data + b->bytes, p.data, p.bytes);
    b->bytes += p.bytes;
}

static const cv_text blanks = {" \t\n\v\f\r", 6};

static void add_content(buffer *b, cv_text content, int trim)
{
    if (trim & TEXT_NEWLINES) content = text_strip(content, (cv_text){"\n", 1}, TEXT_LEFT);
    add(b, text_strip(content, blanks, trim));
}

static void add_system(const table *t, const char *content, buffer *b)
{
    add(b, t->system_before);
    add_content(b, text_of(content), t->system_trim);
    add(b, t->system_after);
}

static void add_user(const table *t, const probe *p, size_t user, buffer *b)
{
    int here = t->last && p->system && user + 1 == p->users; /* is the system message inside this one? */
    int follows = here || (!t->last && !user && (p->system || t->has_absent));
    add(b, !user && t->has_first ? t->user_first : t->user_before);
    if (here) add_system(t, p->contents[0], b);
    add_content(b, text_of(p->contents[(p->system != 0) + 2 * user]), follows ? t->first_trim : t->user_trim);
    add(b, t->user_after);
}

/* A former answer: what follows the last text that ends thinking. */
static cv_text answer_of(const table *t, cv_text content)
{
    size_t at = 0, last = content.bytes;
    if (!t->thinking.data) return content;
    for (; (at = text_find(content, t->thinking, at)) < content.bytes; at++) last = at;
    if (last == content.bytes) return content;
    content = text_after(content, last + t->thinking.bytes);
    return t->thinking_trim ? text_strip(content, (cv_text){"\n", 1}, TEXT_LEFT) : content;
}

/* The text of a conversation according to the table. */
static void tell(const table *t, const probe *p, buffer *b)
{
    add(b, t->start);
    if (p->system && !t->last) add_system(t, p->contents[0], b);
    if (!p->system && t->has_absent) add(b, t->system_absent);
    for (size_t user = 0; user < p->users; user++) {
        add_user(t, p, user, b);
        if (user + 1 == p->users) break;
        add(b, t->assistant_before);
        add_content(b, answer_of(t, text_of(p->contents[(p->system != 0) + 2 * user + 1])), t->assistant_trim);
        add(b, t->assistant_after);
    }
    add(b, t->has_prompt ? t->assistant_prompt : t->assistant_before);
}

/* Up to 40 bytes of p from where the texts part, without control characters. */
static void quote(cv_text p, size_t from, char out[48])
{
    size_t n = 0;
    for (; n < 40 && from + n < p.bytes; n++) {
        unsigned char c = (unsigned char)p.data[from + n];
        out[n] = (char)(c < 32 || c == 127 ? ' ' : c);
    }
    out[n] = 0;
}

static int report_difference(work *w, const probe *p, int style, cv_text want, cv_text got)
{
    char template_says[48], table_says[48];
    size_t at = 0;
    while (at < want.bytes && at < got.bytes && want.data[at] == got.data[at]) at++;
    size_t from = at > 8 ? at - 8 : 0;
    quote(want, from, template_says);
    quote(got, from, table_says);
    cv_fail(w->err,
            "the chat template cannot be written as a role table: %s system message, %d user message%s%s, "
            "it says '%s' where the table would say '%s'",
            p->system ? "with a" : "without", (int)p->users, p->users > 1 ? "s" : "",
            style == SPACES || style == NEWLINES ? ", white space around contents" : "", template_says, table_says);
    return CV_TEMPLATE_REFUSED;
}

static int prove_one(work *w, const probe *p, int style)
{
    buffer b = {NULL, 0, 0, w->err, 0};
    cv_text want = {"", 0};
    char *out;
    int status = render(w, p, 1, &out, &want);
    if (status) return status;
    tell(&w->t, p, &b);
    cv_text got = {b.data ? b.data : "", b.bytes};
    if (b.failed) status = CV_TEMPLATE_BAD;
    else if (drop_bos(w, &want) != w->t.bos || !text_same(want, got)) {
        status = report_difference(w, p, style, want, got);
    }
    free(out);
    free(b.data);
    return status;
}

static int prove(work *w)
{
    probe p;
    int status = 0;
    for (int style = PLAIN; style < STYLES; style++) {
        for (int system = 0; system <= w->t.has_system; system++) {
            for (size_t users = 1; !status && users <= MAX_TURNS; users++) {
                make_probe(w, &p, system, 2 * users - 1, style);
                status = prove_one(w, &p, style);
            }
        }
    }
    return status;
}

/* ---- where the proof ends ---- */

/* Does the table fail for contents that have the mark inside, at both ends, or are the mark? 1, 0, or -1 with err. */
static int is_special(work *w, cv_text mark)
{
    static const char *const formats[] = {"before %.*s %d %.*s after", "%.*s%d%.*s", "%.*s"};
    probe p;
    int n = (int)mark.bytes, status = 0;
    for (int i = 0; !status && i < 6; i++) {
        make_probe(w, &p, i % 2 && w->t.has_system, 3, PLAIN);
        for (size_t k = 0; k < p.count; k++) {
            snprintf(p.contents[k], MAX_CONTENT, formats[i / 2], n, mark.data, (int)k, n, mark.data);
        }
        status = prove_one(w, &p, PLAIN);
    }
    return status < 0 ? -1 : status != 0;
}

/* Does the table hold for answers with thinking that ends with the mark? 1, 0, or -1 with err. */
static int is_thinking(work *w, cv_text mark)
{
    static const char *const formats[] = {"<think>\nthought %d\n%.*s\n\nanswer %d%.*s", "thought %d%.*s answer %d",
                                          "thought %d%.*s\n \n%d\n%.*s\n\nanswer "};
    probe p;
    int n = (int)mark.bytes, status = 0;
    for (int i = 0; !status && i < 6; i++) {
        int ends = i / 2 == 2; /* twice */
        make_probe(w, &p, i % 2 && w->t.has_system, 5, PLAIN);
        for (size_t k = p.count - 4; k < p.count; k += 2) {
            snprintf(p.contents[k], MAX_CONTENT, formats[i / 2], (int)k, n, mark.data, (int)k, ends ? n : 0, mark.data);
        }
        status = prove_one(w, &p, PLAIN);
    }
    return status < 0 ? -1 : !status;
}

/* Tries every mark as the end of thinking, with the newlines that follow left out or not. */
static int find_thinking(work *w, const cv_text *found, size_t count)
{
    for (size_t i = 0; i < 2 * count; i++) {
        w->t.thinking = found[i / 2], w->t.thinking_trim = i % 2 == 0;
        if (found[i / 2].bytes == 0 || found[i / 2].bytes > MAX_THINKING) continue;
        int is = is_thinking(w, found[i / 2]);
        if (is) return is < 0 ? -1 : 0;
    }
    w->t.thinking.data = NULL, w->t.thinking_trim = 0;
    return 0;
}

static int find_marks(work *w)
{
    cv_text found[MAX_MARKS];
    size_t count = cv_template_marks(w->parsed, found, MAX_MARKS);
    if (find_thinking(w, found, count) < 0) return -1;
    for (size_t i = 0; i < count; i++) {
        if (!text_strip(found[i], blanks, TEXT_BOTH).bytes || found[i].bytes > MAX_CONTENT / 4) continue;
        int special = is_special(w, found[i]);
        if (special < 0) return -1;
        if (special) w->marks[w->n_marks++] = found[i];
    }
    w->err->text[0] = 0; /* the differences were not failures */
    return 0;
}

static int write_marks(const work *w, cv_meta *meta)
{
    buffer b = {NULL, 0, 0, w->err, 0};
    for (size_t i = 0; i < w->n_marks; i++) {
        if (i) add(&b, (cv_text){"\n", 1});
        add(&b, (cv_text){w->marks[i].data, w->marks[i].bytes});
    }
    int status = b.failed ? -1 : w->n_marks ? cv_meta_text(meta, "chat.marks", b.data, b.bytes, w->err) : 0;
    free(b.data);
    return status;
}

/* ---- the whole ---- */

/* Every entry that is present, in the order in which they stand in the file: a text, or if there is none an integer. */
static int write_table(const work *w, cv_meta *meta)
{
    const table *t = &w->t;
    int system = t->has_system, follows = (system || t->has_absent) && t->first_trim != t->user_trim, status = 0;
    const struct {
        const char *key;
        const cv_text *text;
        int present, integer;
    } entries[] = {
        {"chat.start", &t->start, 1, 0},
        {"chat.bos", NULL, *w->specials->bos != 0, t->bos},
        {"chat.system.before", &t->system_before, system, 0},
        {"chat.system.after", &t->system_after, system, 0},
        {"chat.system.absent", &t->system_absent, system && t->has_absent, 0},
        {"chat.system.last", NULL, system && t->last, t->last},
        {"chat.system.trim", NULL, system && t->system_trim, t->system_trim},
        {"chat.user.first", &t->user_first, t->has_first, 0},
        {"chat.user.before", &t->user_before, 1, 0},
        {"chat.user.after", &t->user_after, 1, 0},
        {"chat.assistant.before", &t->assistant_before, 1, 0},
        {"chat.assistant.after", &t->assistant_after, 1, 0},
        {"chat.assistant.prompt", &t->assistant_prompt, t->has_prompt, 0},
        {"chat.user.trim", NULL, t->user_trim, t->user_trim},
        {"chat.user.first.trim", NULL, follows, t->first_trim},
        {"chat.assistant.trim", NULL, t->assistant_trim, t->assistant_trim},
        {"chat.thinking.end", &t->thinking, t->thinking.data != NULL, 0},
        {"chat.thinking.trim", NULL, t->thinking_trim, t->thinking_trim},
    };
    for (size_t i = 0; !status && i < sizeof entries / sizeof *entries; i++) {
        const cv_text *p = entries[i].text;
        if (!entries[i].present) continue;
        if (p) status = cv_meta_text(meta, entries[i].key, p->bytes ? p->data : "", p->bytes, w->err);
        else status = cv_meta_integer(meta, entries[i].key, entries[i].integer, w->err);
    }
    return status ? status : write_marks(w, meta);
}

/* Marks must be words that no template says by itself. */
static int choose_stem(work *w, const char *source, size_t bytes)
{
    static const char *const stems[] = {"Zqxj", "Wvkq", "Jxzk", "Qgvw"};
    size_t at;
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        w->stem = stems[i];
        if (!find_once((cv_text){source, bytes}, stems[i], &at)) return 0;
    }
    return refuse(w, "the chat template contains every word that could mark a content");
}

static int derive(work *w)
{
    finds f;
    memset(&f, 0, sizeof f);
    int status = find_turns(w, &f);
    if (!status) status = find_ends(w, &f);
    if (!status) status = find_system(w, &f);
    if (status) return status;
    place_turns(&w->t, &f);
    place_opening(&w->t, &f);
    status = find_trims(w);
    if (!status) status = prove(w);
    return status ? status : find_marks(w);
}

int cv_chat_table(const char *source, size_t bytes, const cv_specials *specials, cv_meta *meta, cv_error *err)
{
    work w;
    memset(&w, 0, sizeof w);
    w.specials = specials;
    w.err = err;
    int status = cv_template_parse(source, bytes, &w.parsed, err);
    if (!status) status = choose_stem(&w, source, bytes);
    if (!status) status = derive(&w);
    if (!status) status = write_table(&w, meta);
    for (size_t i = 0; i < w.n_kept; i++) free(w.kept[i]);
    cv_template_free(w.parsed);
    return status < 0 ? -1 : status > 0;
}
