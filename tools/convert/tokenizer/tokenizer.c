/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * tokenizer.c - finds a tokenizer, whatever its form, and has it read; see tokenizer.h and vocab.h */
#include "tokenizer.h"
#include "../ground/kinds.h"

#include <stdlib.h>
#include <string.h>

#define CV_LARGEST_FILE ((size_t)1 << 27)
enum { MOST_TEMPLATE_BYTES = 1 << 20, MOST_CONFIG_BYTES = 1 << 24 };

/* ---- places ---- */

/* 1 with the path of a file in the tokenizer's folder if it is there. */
static int beside(const cv_tokenizer *t, const char *name, char out[HOST_PATH_BYTES], cv_error *err)
{
    if (cv_path_join(out, HOST_PATH_BYTES, t->folder, name, err) < 0) return -1;
    return cv_file_exists(out);
}

static int copy_path(char out[HOST_PATH_BYTES], const char *path, cv_error *err)
{
    if (strlen(path) >= HOST_PATH_BYTES) return cv_fail(err, "%.200s: the path is too long", path);
    strcpy(out, path);
    return 0;
}

/* 1, or 0 if there is none, or -1. */
static int find_file(cv_tokenizer *t, const char *path, cv_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer.bin"};
    if (cv_file_exists(path))
        return copy_path(t->file, path, err) < 0 || cv_folder_of(t->folder, sizeof t->folder, path, err) < 0 ? -1 : 1;
    if (copy_path(t->folder, path, err) < 0) return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int there = beside(t, names[i], t->file, err);
        if (there) return there;
    }
    return 0;
}

/* ---- reading ---- */

/* tokenizer.json holds a model; vocab.json is the bare object of tokens, and merges.txt stands beside it. */
static int load_json(cv_tokenizer *t, const cv_json *j, const cv_json *config, cv_error *err)
{
    char path[HOST_PATH_BYTES], *merges = NULL;
    size_t bytes;
    if (cv_json_type_of(j, cv_json_get(j, 0, "model")) == CV_JSON_OBJECT)
        return cv_read_tokenizer_json(&t->vocab, j, t->file, err);
    int there = beside(t, "merges.txt", path, err);
    if (there < 0) return -1;
    if (!there) return cv_fail(err, "%.200s: no tokenizer, and no merges.txt beside it", t->file);
    if (cv_read_file(path, CV_LARGEST_FILE, &merges, &bytes, err) < 0) return -1;
    int failed = cv_read_vocab_and_merges(&t->vocab, j, merges, bytes, config, t->file, err);
    free(merges);
    return failed;
}

static int load_text(cv_tokenizer *t, const char *text, size_t bytes, const cv_json *config, cv_error *err)
{
    const char *name = t->file;
    cv_vocab *v = &t->vocab;
    size_t white = strspn(text, " \t\r\n");
    if (text[white] == '{') {
        cv_json j;
        if (cv_json_parse(&j, text, bytes, name, err) < 0) return -1;
        int failed = load_json(t, &j, config, err);
        cv_json_free(&j);
        return failed;
    }
    if (cv_refuse_other_kinds(name, text, bytes, CV_KIND_TOKENIZER, err) < 0) return -1;
    if (bytes > 8 && text[0] == '\n' && memchr(text, 0, 8) == NULL) /* a first piece, of one byte's length */
        return cv_read_sentencepiece(v, text, bytes, name, err);
    if (bytes > 8 && memchr(text, 0, 8) == NULL) return cv_read_tiktoken(v, text, bytes, name, err);
    return cv_read_llama2c(v, text, bytes, name, err);
}

static int load_file(cv_tokenizer *t, const cv_json *config, cv_error *err)
{
    char *text = NULL;
    size_t bytes;
    if (cv_read_file(t->file, CV_LARGEST_FILE, &text, &bytes, err) < 0) return -1;
    int failed = load_text(t, text, bytes, config, err);
    free(text);
    return failed;
}

/* Older folders keep added tokens in a file of their own. */
static int load_added(cv_tokenizer *t, const cv_json *config, cv_error *err)
{
    char path[HOST_PATH_BYTES];
    cv_json j;
    int there = beside(t, "added_tokens.json", path, err);
    if (there <= 0) return there;
    if (cv_json_load(&j, path, CV_LARGEST_FILE, err) < 0) return -1;
    int failed = cv_read_added_tokens(&t->vocab, &j, config, path, err);
    cv_json_free(&j);
    return failed;
}

static int copy_name(const cv_vocab *v, int32_t id, char *out, size_t capacity, const char *what, cv_error *err)
{
    out[0] = 0;
    if (id < 0) return 0;
    if (id >= (int32_t)v->n || !v->token[id].there)
        return cv_fail(err, "the %s token %ld does not exist", what, (long)id);
    const cv_token *t = &v->token[id];
    if (t->bytes >= capacity || memchr(v->text + t->text, 0, t->bytes))
        return cv_fail(err, "the name of the %s token is too long, or holds a zero byte", what);
    memcpy(out, v->text + t->text, t->bytes);
    out[t->bytes] = 0;
    return 0;
}

static int settle(cv_tokenizer *t, cv_error *err)
{
    const cv_vocab *v = &t->vocab;
    t->is_there = 1, t->n_tokens = (int32_t)v->n, t->bos = v->bos, t->eos = v->eos;
    if (copy_name(v, v->bos, t->bos_text, sizeof t->bos_text, "begin", err) < 0
        || copy_name(v, v->eos, t->eos_text, sizeof t->eos_text, "end", err) < 0)
        return -1;
    return cv_vocab_check_added(v, t->note, sizeof t->note, err);
}

/* Puts the file's name before a message that does not have one: vocab.c does not know what it is filled from. */
static int named(const char *file, cv_error *err)
{
    cv_error plain = *err;
    if (!strstr(plain.text, file) && !strstr(plain.text, "tokenizer_config.json")
        && !strstr(plain.text, "added_tokens.json"))
        cv_fail(err, "%.240s: %.260s", file, plain.text);
    return -1;
}

/* tokenizer_config.json says what the tokenizer's own file does not: the begin and end tokens, more added ones. */
static int load_all(cv_tokenizer *t, cv_error *err)
{
    char path[HOST_PATH_BYTES];
    int there = beside(t, "tokenizer_config.json", path, err);
    if (there < 0 || (there && cv_json_load(&t->config, path, MOST_CONFIG_BYTES, err) < 0)) return -1;
    const cv_json *config = there ? &t->config : NULL;
    int failed = load_file(t, config, err) < 0 || load_added(t, config, err) < 0
                 || (there && cv_read_tokenizer_config(&t->vocab, config, path, err) < 0) || settle(t, err) < 0;
    return failed ? named(t->file, err) : 0;
}

/* Everything is in the one file. */
static int load_gguf(cv_tokenizer *t, const cv_gguf *gguf, cv_error *err)
{
    t->gguf = gguf;
    if (!cv_gguf_find(gguf, "tokenizer.ggml.tokens")) return 0;
    return cv_read_gguf(&t->vocab, gguf, t->file, err) < 0 || settle(t, err) < 0 ? named(t->file, err) : 0;
}

static void begin(cv_tokenizer *t)
{
    memset(t, 0, sizeof *t);
    t->bos = t->eos = -1;
}

int cv_tokenizer_of_gguf(cv_tokenizer *t, const cv_gguf *gguf, const char *path, cv_error *err)
{
    begin(t);
    return copy_path(t->file, path, err) < 0 ? -1 : load_gguf(t, gguf, err);
}

int cv_tokenizer_open(cv_tokenizer *t, const char *path, cv_error *err)
{
    begin(t);
    int is_gguf = cv_is_gguf(path, err), found;
    if (is_gguf < 0) return -1;
    if (is_gguf && (copy_path(t->file, path, err) < 0 || cv_gguf_open(&t->own, path, err) < 0)) return -1;
    if (is_gguf) return load_gguf(t, &t->own, err);
    found = find_file(t, path, err);
    return found <= 0 ? found : load_all(t, err);
}

void cv_tokenizer_close(cv_tokenizer *t)
{
    cv_vocab_free(&t->vocab);
    cv_json_free(&t->config);
    cv_gguf_close(&t->own);
}

int cv_tokenizer_write(cv_tokenizer *t, int32_t rows, cv_meta *meta, cv_error *err)
{
    return cv_vocab_write(&t->vocab, rows, meta, err) < 0 ? named(t->file, err) : 0;
}

/* ---- the chat template ---- */

/* In tokenizer_config.json: a text, or several with names, of which "default" counts. */
static const char *template_in(const cv_json *config, size_t *bytes)
{
    uint32_t node = cv_json_get(config, 0, "chat_template");
    if (cv_json_type_of(config, node) != CV_JSON_ARRAY) return cv_json_string(config, node, bytes);
    for (uint32_t i = cv_json_first(config, node); i != CV_JSON_NONE; i = cv_json_next(config, i))
        if (cv_json_is(config, cv_json_get(config, i, "name"), "default"))
            return cv_json_string(config, cv_json_get(config, i, "template"), bytes);
    return NULL;
}

static int copy_template(const char *found, size_t bytes, char **text, cv_error *err)
{
    if (!found) return 0;
    *text = cv_alloc(bytes + 1, 1, err);
    if (!*text) return -1;
    memcpy(*text, found, bytes);
    return 1;
}

/* Newer folders keep it in a file of its own. */
int cv_tokenizer_template(const cv_tokenizer *t, char **text, size_t *bytes, cv_error *err)
{
    char path[HOST_PATH_BYTES];
    const char *found;
    if (t->gguf) {
        found = cv_gguf_string(cv_gguf_find(t->gguf, "tokenizer.chat_template"), bytes);
        if (found && *bytes > MOST_TEMPLATE_BYTES)
            return cv_fail(err, "%.200s: the chat template is too long", t->file);
        return copy_template(found, *bytes, text, err);
    }
    int there = beside(t, "chat_template.jinja", path, err);
    if (there) return there < 0 || cv_read_file(path, MOST_TEMPLATE_BYTES, text, bytes, err) < 0 ? -1 : 1;
    found = template_in(&t->config, bytes);
    return copy_template(found, *bytes, text, err);
}
