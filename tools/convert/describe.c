/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * describe.c - see describe.h */
#include "describe.h"
#include "chat/roles.h"
#include "file/plan.h"
#include "formats/formats.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int put_text(cv_meta *meta, const char *key, const char *text, cv_error *err)
{
    return cv_meta_text(meta, key, text, strlen(text), err);
}

/* ---- names ---- */

/* What stands after the last separator of a path, separators at its end not counted. */
static int base_name(char *out, size_t capacity, const char *path, cv_error *err)
{
    size_t end = strlen(path);
    if (end >= capacity) return cv_fail(err, "%.200s: the path is too long", path);
    memcpy(out, path, end + 1);
    while (end > 0 && !*host_file_name(out)) out[--end] = 0;
    const char *name = host_file_name(out);
    memmove(out, name, strlen(name) + 1);
    return 0;
}

/* The name alone: where a file lay on somebody's machine is nobody's business. */
static int put_names(cv_meta *meta, const cv_request *r, cv_error *err)
{
    char base[HOST_PATH_BYTES];
    if (base_name(base, sizeof base, r->in, err) < 0) return -1;
    if (put_text(meta, "name", r->name ? r->name : base, err) < 0 || put_text(meta, "source", base, err) < 0) return -1;
    return r->licence ? put_text(meta, "licence", r->licence, err) : 0;
}

/* ---- tokenizer ---- */

/* The one that the command line names, or the model's own; source is NULL for --vocab-only, where IN is the tokenizer.
 * A folder or a GGUF file has its own; nothing tells which of another file's neighbours belongs to it. */
static int open_tokenizer(cv_tokenizer *t, const cv_request *r, const cv_source *source, cv_error *err)
{
    const char *path = r->tokenizer ? r->tokenizer : source ? source->folder : r->in;
    memset(t, 0, sizeof *t);
    if (!r->tokenizer && source && source->gguf) return cv_tokenizer_of_gguf(t, source->gguf, r->in, err);
    if (!path) return 0;
    if (cv_tokenizer_open(t, path, err) < 0) return -1;
    if (!t->is_there && (r->tokenizer || !source)) return cv_fail(err, "%.300s: there is no tokenizer", path);
    return 0;
}

/* The tokenizer knows its own begin and end tokens; the configuration may know more end tokens. */
static int settle_tokens(const cv_tokenizer *t, cv_facts *facts, cv_error *err)
{
    if (t->is_there && t->bos >= 0) facts->bos = t->bos;
    return t->is_there && t->eos >= 0 ? cv_add_end(facts, t->eos, "the tokenizer", err) : 0;
}

/* Does a token look as if it structures texts? Of some files control tokens are said to be the user's. */
static int is_structural(const char *text, const cv_token *token)
{
    const char *end = text + token->bytes - 1;
    if (token->bytes < 3 || token->type == CV_CONTROL) return token->bytes > 0 && token->type == CV_CONTROL;
    return token->type == CV_USER && ((*text == '<' && *end == '>') || (*text == '[' && *end == ']'));
}

/* The token with which the chat format ends an assistant's message ends an answer. Not all files list it: GGUF files of
 * Gemma 3 and Phi-3 do not. gpt-oss does, and a message of its that ends is not always the answer. */
static int settle_end_of_turn(const cv_tokenizer *t, const cv_meta *words, cv_facts *facts, cv_error *err)
{
    size_t bytes, longest = 0;
    const char *after = cv_meta_text_of(words, "chat.assistant.after", &bytes);
    int64_t id = -1;
    if (!after || !t->is_there || (facts->architecture && strcmp(facts->architecture, "gpt_oss") == 0)) return 0;
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        const cv_token *token = &t->vocab.token[i];
        const char *text = t->vocab.text + token->text;
        if (!token->there || token->bytes <= longest || token->bytes > bytes || !is_structural(text, token)
            || memcmp(text, after, token->bytes) != 0)
            continue;
        longest = token->bytes, id = i;
    }
    return id < 0 ? 0 : cv_add_end(facts, id, "the chat template", err);
}

/* ---- chat ---- */

/* A token's text, which may be inside an object; NULL: there is none. */
static const char *token_text(const cv_json *config, uint32_t node)
{
    size_t bytes = 0;
    if (cv_json_type_of(config, node) == CV_JSON_OBJECT) node = cv_json_get(config, node, "content");
    const char *text = cv_json_string(config, node, &bytes);
    return text && strlen(text) == bytes ? text : NULL;
}

/* What the configuration names besides the begin and end tokens; texts stay in it. The caller frees *additional. */
static int find_specials(const cv_json *config, cv_specials *s, const char ***additional, cv_error *err)
{
    uint32_t list = cv_json_get(config, 0, "additional_special_tokens");
    s->unk = token_text(config, cv_json_get(config, 0, "unk_token"));
    s->sep = token_text(config, cv_json_get(config, 0, "sep_token"));
    s->pad = token_text(config, cv_json_get(config, 0, "pad_token"));
    s->cls = token_text(config, cv_json_get(config, 0, "cls_token"));
    s->mask = token_text(config, cv_json_get(config, 0, "mask_token"));
    *additional = NULL;
    if (cv_json_type_of(config, list) != CV_JSON_ARRAY) return 0;
    const char **texts = cv_alloc(cv_json_count(config, list), sizeof *texts, err);
    if (!texts) return -1;
    *additional = texts, s->additional = texts;
    for (uint32_t i = cv_json_first(config, list); i != CV_JSON_NONE; i = cv_json_next(config, i)) {
        const char *text = token_text(config, i);
        if (!text) return cv_fail(err, "tokenizer_config.json: additional_special_tokens holds what is no token");
        texts[s->n_additional++] = text;
    }
    return 0;
}

static int try_template(cv_description *d, const cv_tokenizer *t, const char *today, const char *text, size_t bytes,
                        cv_error *err)
{
    cv_specials specials = {0};
    const char **additional = NULL;
    cv_error why = {""};
    specials.bos = t->bos_text, specials.eos = t->eos_text, specials.today = today;
    int failed = cv_meta_text(&d->meta, "chat.template", text, bytes, err) < 0
                 || find_specials(&t->config, &specials, &additional, err) < 0;
    if (!failed) {
        int result = cv_chat_table(text, bytes, &specials, &d->meta, &why);
        d->has_chat = result == 0;
        if (result) snprintf(d->chat_note, sizeof d->chat_note, "%.*s", (int)sizeof d->chat_note - 1, why.text);
    }
    free(additional);
    return failed ? -1 : 0;
}

/* A template that gives no table is no failure: the model still completes texts, and flags can say the table. */
static int put_template(cv_description *d, const cv_tokenizer *t, const char *today, cv_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    int found = cv_tokenizer_template(t, &text, &bytes, err);
    int failed = found < 0 || (found > 0 && try_template(d, t, today, text, bytes, err) < 0);
    free(text);
    return failed ? -1 : 0;
}

/* \n, \t and \\ in a text of the command line. */
static void unescape(char *text)
{
    char *out = text;
    for (; *text; text++) {
        if (text[0] == '\\' && text[1] && strchr("nt\\", text[1])) {
            text++;
            *out++ = *text == 'n' ? '\n' : *text == 't' ? '\t' : '\\';
        } else {
            *out++ = *text;
        }
    }
    *out = 0;
}

/* What --chat may say. A flag is 0 or 1; a number says where white space goes: 1 before a text, 2 after it, 3 both. */
static const struct {
    const char *key;
    int most; /* 0: a text; 1: a flag; 3: such a number */
} chat_keys[] = {{"start", 0},           {"bos", 1},
                 {"system.before", 0},   {"system.after", 0},    {"system.absent", 0},    {"system.last", 1},
                 {"system.trim", 3},     {"user.before", 0},     {"user.after", 0},       {"user.first", 0},
                 {"user.first.trim", 3}, {"user.trim", 3},       {"assistant.before", 0}, {"assistant.after", 0},
                 {"assistant.prompt", 0}, {"assistant.trim", 3},  {"thinking.end", 0},     {"thinking.trim", 1}};
enum { N_CHAT_KEYS = sizeof chat_keys / sizeof *chat_keys };

/* Yes and no are flags, too. -1: none of what is wanted. */
static int chat_number(const char *text, int most)
{
    static const char *const words[][2] = {{"no", "yes"}, {"false", "true"}};
    for (size_t i = 0; most == 1 && i < 2; i++)
        for (int k = 0; k < 2; k++)
            if (strcmp(text, words[i][k]) == 0) return k;
    return text[0] >= '0' && text[0] <= '0' + most && !text[1] ? text[0] - '0' : -1;
}

/* KEY=TEXT: the key's place in chat_keys, or -1. */
static int read_chat(const char *assignment, const char **text, cv_error *err)
{
    const char *equals = strchr(assignment, '=');
    size_t n = equals ? (size_t)(equals - assignment) : 0;
    int i = 0;
    if (n == 0) return cv_fail(err, "--chat wants KEY=TEXT, not \"%.100s\"", assignment);
    while (i < N_CHAT_KEYS && (strncmp(chat_keys[i].key, assignment, n) != 0 || chat_keys[i].key[n])) i++;
    if (i == N_CHAT_KEYS) return cv_fail(err, "--chat: the key %.*s is not known", (int)(n < 80 ? n : 80), assignment);
    *text = equals + 1;
    if (chat_keys[i].most == 0 || chat_number(*text, chat_keys[i].most) >= 0) return i;
    return cv_fail(err, "--chat %s is %s, not \"%.100s\"", chat_keys[i].key,
                   chat_keys[i].most == 1
                       ? "0 or 1 (no or yes)"
                       : "0, 1, 2 or 3 (white space is removed nowhere, before, after, on both sides)",
                   *text);
}

int cv_check_chat(const char *assignment, cv_error *err)
{
    const char *text;
    return read_chat(assignment, &text, err) < 0 ? -1 : 0;
}

static int put_chat_by_hand(cv_description *d, const char *assignment, cv_error *err)
{
    char full[80];
    const char *given;
    int i = read_chat(assignment, &given, err);
    if (i < 0) return -1;
    snprintf(full, sizeof full, "chat.%s", chat_keys[i].key);
    if (chat_keys[i].most > 0) return cv_meta_integer(&d->meta, full, chat_number(given, chat_keys[i].most), err);
    char *text = cv_alloc(strlen(given) + 1, 1, err);
    if (!text) return -1;
    unescape(strcpy(text, given));
    int failed = put_text(&d->meta, full, text, err);
    free(text);
    return failed;
}

/* A tokenizer's file by itself, for --vocab-only, comes without the template of its folder. */
static int put_chat(cv_description *d, const cv_request *r, const cv_tokenizer *t, cv_error *err)
{
    int is_alone = r->vocab_only && !r->tokenizer && !t->gguf && host_kind_of(r->in) != HOST_FOLDER;
    if (r->n_chat == 0) return t->is_there && !is_alone ? put_template(d, t, r->today, err) : 0;
    for (int i = 0; i < r->n_chat; i++)
        if (put_chat_by_hand(d, r->chat[i], err) < 0) return -1;
    d->has_chat = 1;
    return 0;
}

/* ---- all ---- */

static int put_words(cv_description *d, const cv_request *r, cv_tokenizer *t, int32_t rows, cv_error *err)
{
    if (t->is_there && cv_tokenizer_write(t, rows, &d->meta, err) < 0) return -1;
    d->has_tokenizer = t->is_there, d->n_tokens = t->n_tokens;
    memcpy(d->tokenizer_note, t->note, sizeof d->tokenizer_note);
    return put_chat(d, r, t, err);
}

/* Facts come first in the file; so the tokenizer, which settles some of them, is collected apart and appended. */
static int describe_model(cv_description *d, cv_source *source, const cv_request *r, cv_tokenizer *t, cv_error *err)
{
    cv_description words = {0};
    int failed = put_words(&words, r, t, source->facts.vocab, err) < 0 || settle_tokens(t, &source->facts, err) < 0
                 || settle_end_of_turn(t, &words.meta, &source->facts, err) < 0
                 || cv_facts_write(&source->facts, &d->meta, err) < 0 || put_names(&d->meta, r, err) < 0
                 || cv_meta_append(&d->meta, &words.meta, err) < 0;
    cv_meta_free(&words.meta);
    words.meta = d->meta, *d = words;
    return failed ? -1 : 0;
}

/* The tokenizer comes before its model where the model is made to carry it. */
static int open_both(cv_tokenizer *t, cv_source **source, const cv_request *r,
                     int (*open)(cv_source **, const char *, cv_error *), cv_error *err)
{
    if (!r->vocab_only) return open(source, r->in, err) < 0 || open_tokenizer(t, r, *source, err) < 0 ? -1 : 0;
    return open_tokenizer(t, r, NULL, err) < 0 || cv_open_empty(source, t->n_tokens, err) < 0 ? -1 : 0;
}

int cv_describe(cv_description *d, cv_source **source, const cv_request *r,
                int (*open)(cv_source **, const char *, cv_error *), cv_error *err)
{
    cv_tokenizer *t = cv_alloc(1, sizeof *t, err);
    memset(d, 0, sizeof *d);
    *source = NULL;
    int failed = !t || open_both(t, source, r, open, err) < 0 || !*source || describe_model(d, *source, r, t, err) < 0;
    if (t) cv_tokenizer_close(t);
    free(t);
    if (!failed) return 0;
    cv_description_free(d);
    if (*source) (*source)->close(*source);
    return -1;
}

void cv_description_free(cv_description *d)
{
    cv_meta_free(&d->meta);
}
