/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * tokenizer.c - finds a tokenizer, whatever its form, and has it read; see tokenizer.h and vocab.h */
#include "tokenizer.h"
#include "vocab.h"
#include "../containers/gguf.h"
#include "../ground/kinds.h"

#include <stdlib.h>
#include <string.h>

#define CV_LARGEST_FILE ((size_t)1 << 27)

typedef struct cv_paths {
    char folder[HOST_PATH_BYTES], file[HOST_PATH_BYTES]; /* file: what was found in it, or was given */
} cv_paths;

static int cv_beside(const cv_paths *paths, const char *name, char *out, cv_error *err)
{
    if (cv_path_join(out, HOST_PATH_BYTES, paths->folder, name, err) < 0) return -1;
    return cv_file_exists(out);
}

/* 0, or 1 if there is none, or -1. */
static int cv_find_file(const char *path, cv_paths *paths, cv_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer.bin"};
    if (cv_file_exists(path)) {
        if (strlen(path) >= sizeof paths->file) return cv_fail(err, "%.200s: the path is too long", path);
        strcpy(paths->file, path);
        return cv_folder_of(paths->folder, sizeof paths->folder, path, err);
    }
    if (strlen(path) >= sizeof paths->folder) return cv_fail(err, "%.200s: the path is too long", path);
    strcpy(paths->folder, path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int there = cv_beside(paths, names[i], paths->file, err);
        if (there) return there < 0 ? -1 : 0;
    }
    return 1;
}

/* tokenizer.json holds a model; vocab.json is the bare object of tokens, and merges.txt stands beside it. */
static int cv_load_json(cv_vocab *v, const cv_paths *paths, const cv_json *j, const cv_json *config, cv_error *err)
{
    char path[HOST_PATH_BYTES], *merges = NULL;
    size_t bytes;
    if (cv_json_type_of(j, cv_json_get(j, 0, "model")) == CV_JSON_OBJECT)
        return cv_read_tokenizer_json(v, j, paths->file, err);
    int there = cv_beside(paths, "merges.txt", path, err);
    if (there < 0) return -1;
    if (!there) return cv_fail(err, "%.200s: no tokenizer, and no merges.txt beside it", paths->file);
    if (cv_read_file(path, CV_LARGEST_FILE, &merges, &bytes, err) < 0) return -1;
    int failed = cv_read_vocab_and_merges(v, j, merges, bytes, config, paths->file, err);
    free(merges);
    return failed;
}

static int cv_load_file(cv_vocab *v, const cv_paths *paths, const char *text, size_t bytes, const cv_json *config,
                        cv_error *err)
{
    const char *name = paths->file;
    size_t white = strspn(text, " \t\r\n");
    if (text[white] == '{') {
        cv_json j;
        if (cv_json_parse(&j, text, bytes, name, err) < 0) return -1;
        int failed = cv_load_json(v, paths, &j, config, err);
        cv_json_free(&j);
        return failed;
    }
    if (cv_refuse_other_kinds(name, text, bytes, CV_KIND_TOKENIZER, err) < 0) return -1;
    if (bytes > 8 && text[0] == '\n' && memchr(text, 0, 8) == NULL) /* a first piece, of one byte's length */
        return cv_read_sentencepiece(v, text, bytes, name, err);
    if (bytes > 8 && memchr(text, 0, 8) == NULL) return cv_read_tiktoken(v, text, bytes, name, err);
    return cv_read_llama2c(v, text, bytes, name, err);
}

static int cv_copy_name(const cv_vocab *v, int32_t id, char *out, size_t capacity, const char *what, cv_error *err)
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

static int cv_finish(cv_vocab *v, int32_t rows, cv_meta *meta, cv_tokenizer_facts *facts, cv_error *err)
{
    facts->n_tokens = (int32_t)v->n, facts->bos = v->bos, facts->eos = v->eos;
    if (cv_copy_name(v, v->bos, facts->bos_text, sizeof facts->bos_text, "begin", err) < 0
        || cv_copy_name(v, v->eos, facts->eos_text, sizeof facts->eos_text, "end", err) < 0
        || cv_vocab_check_added(v, facts->note, sizeof facts->note, err) < 0)
        return -1;
    return cv_vocab_write(v, rows, meta, err);
}

/* tokenizer_config.json says what the tokenizer's own file does not: the begin and end tokens, more added ones. */
static int cv_load_config(const cv_paths *paths, cv_json *config, char *path, cv_error *err)
{
    memset(config, 0, sizeof *config);
    int there = cv_beside(paths, "tokenizer_config.json", path, err);
    return there <= 0 ? there : cv_json_load(config, path, CV_LARGEST_FILE, err) < 0 ? -1 : 1;
}

/* Older folders keep added tokens in a file of their own. */
static int cv_load_added(cv_vocab *v, const cv_paths *paths, const cv_json *config, cv_error *err)
{
    char path[HOST_PATH_BYTES];
    cv_json j;
    int there = cv_beside(paths, "added_tokens.json", path, err);
    if (there <= 0) return there;
    if (cv_json_load(&j, path, CV_LARGEST_FILE, err) < 0) return -1;
    int failed = cv_read_added_tokens(v, &j, config, path, err);
    cv_json_free(&j);
    return failed;
}

/* Puts the file's name before a message that does not have one: vocab.c does not know what it is filled from. */
static void cv_name_file(const char *file, cv_error *err)
{
    cv_error plain = *err;
    if (!strstr(plain.text, file) && !strstr(plain.text, "tokenizer_config.json")
        && !strstr(plain.text, "added_tokens.json"))
        cv_fail(err, "%.240s: %.260s", file, plain.text);
}

/* Everything is in the one file. */
static int cv_load_gguf(const char *path, int32_t vocab, cv_meta *meta, cv_tokenizer_facts *facts, cv_error *err)
{
    cv_gguf g;
    cv_vocab v;
    memset(&v, 0, sizeof v);
    int failed = cv_gguf_open(&g, path, err) < 0, none = !failed && !cv_gguf_find(&g, "tokenizer.ggml.tokens");
    failed = failed || (!none && (cv_read_gguf(&v, &g, path, err) < 0 || cv_finish(&v, vocab, meta, facts, err) < 0));
    if (failed) cv_name_file(path, err);
    cv_vocab_free(&v);
    cv_gguf_close(&g);
    return failed ? -1 : none;
}

int cv_tokenizer_load(const char *path, int32_t vocab, cv_meta *meta, cv_tokenizer_facts *facts, cv_error *err)
{
    cv_paths paths;
    cv_json config;
    cv_vocab v;
    char config_path[HOST_PATH_BYTES], *text = NULL;
    size_t bytes;
    memset(facts, 0, sizeof *facts);
    facts->bos = facts->eos = -1;
    int result = cv_is_gguf(path, err);
    if (result) return result < 0 ? -1 : cv_load_gguf(path, vocab, meta, facts, err);
    result = cv_find_file(path, &paths, err);
    if (result) return result;
    int configured = cv_load_config(&paths, &config, config_path, err);
    if (configured < 0) return -1;
    memset(&v, 0, sizeof v);
    result = cv_read_file(paths.file, CV_LARGEST_FILE, &text, &bytes, err) < 0
             || cv_load_file(&v, &paths, text, bytes, configured ? &config : NULL, err) < 0
             || cv_load_added(&v, &paths, configured ? &config : NULL, err) < 0
             || (configured && cv_read_tokenizer_config(&v, &config, config_path, err) < 0)
             || cv_finish(&v, vocab, meta, facts, err) < 0;
    if (result) cv_name_file(paths.file, err);
    free(text);
    cv_vocab_free(&v);
    cv_json_free(&config);
    return result ? -1 : 0;
}
