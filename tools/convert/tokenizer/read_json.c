/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * read_json.c - Hugging Face's tokenizer.json, tokenizer_config.json, vocab.json and merges.txt
 *
 * tokenizer.json is a little program: normalizers, pre-tokenizers, a model, decoders. What harp can express is
 * recognised by its structure; anything else is refused with its key and value, for a tokenizer that is almost right is
 * worse than none. */
#include "vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CV_SPACE_SIGN "\xE2\x96\x81" /* U+2581 */

typedef struct cv_reader {
    cv_vocab *v;
    const cv_json *j;
    const char *name;
    cv_error *err;
    int prepends;  /* a space is put before the text            */
    int escapes;   /* spaces become U+2581                      */
    int byte_level;
    cv_pattern patterns[CV_MOST_STAGES]; /* [n_patterns] by which words are cut */
    size_t n_patterns;
    int strips;    /* the decoder drops the first space         */
    uint32_t first_new, n_new; /* ids that added tokens which the vocabulary has not may have */
} cv_reader;

/* "FILE: KEY is VALUE, which harp does not know", with VALUE as far as it is a word. */
static int cv_unknown(const cv_reader *r, const char *key, uint32_t node)
{
    const char *text = cv_json_string(r->j, node, NULL);
    double number;
    if (text) return cv_fail(r->err, "%s: %s is \"%.200s\", which is not supported", r->name, key, text);
    if (cv_json_number(r->j, node, &number))
        return cv_fail(r->err, "%s: %s is %g, which is not supported", r->name, key, number);
    return cv_fail(r->err, "%s: %s is %s, which is not supported", r->name, key, cv_json_type_name(r->j, node));
}

static int cv_is_true(const cv_json *j, uint32_t node)
{
    return cv_json_type_of(j, node) == CV_JSON_TRUE;
}

static int cv_is_false(const cv_json *j, uint32_t node)
{
    return cv_json_type_of(j, node) == CV_JSON_FALSE;
}

static int cv_is_nothing(const cv_json *j, uint32_t node) /* absent, null, false, 0 or "" */
{
    double number;
    cv_json_type type = cv_json_type_of(j, node);
    return type == CV_JSON_ABSENT || type == CV_JSON_NULL || type == CV_JSON_FALSE || cv_json_is(j, node, "")
           || (cv_json_number(j, node, &number) && number == 0.0);
}

/* A part or a Sequence of parts: calls step for each. */
static int cv_each_part(cv_reader *r, uint32_t node, const char *list, int (*step)(cv_reader *r, uint32_t part))
{
    if (cv_is_nothing(r->j, node)) return 0;
    if (!cv_json_is(r->j, cv_json_get(r->j, node, "type"), "Sequence")) return step(r, node);
    for (uint32_t i = cv_json_first(r->j, cv_json_get(r->j, node, list)); i != CV_JSON_NONE; i = cv_json_next(r->j, i))
        if (step(r, i) < 0) return -1;
    return 0;
}

/* Replace " " by U+2581 (or, in a decoder, back). */
static int cv_is_replace(const cv_json *j, uint32_t part, const char *from, const char *to)
{
    return cv_json_is(j, cv_json_get(j, cv_json_get(j, part, "pattern"), "String"), from)
           && cv_json_is(j, cv_json_get(j, part, "content"), to);
}

/* ---- normalizer ---- */

static int cv_normalizer(cv_reader *r, uint32_t part)
{
    uint32_t type = cv_json_get(r->j, part, "type");
    if (cv_json_is(r->j, type, "Prepend") && !r->escapes && !r->prepends) {
        uint32_t prepend = cv_json_get(r->j, part, "prepend");
        if (!cv_json_is(r->j, prepend, CV_SPACE_SIGN)) return cv_unknown(r, "normalizer.prepend", prepend);
        r->prepends = CV_SPACE_FIRST | CV_SPACE_EACH, r->v->rewrites = CV_REWRITES_SPACES | CV_REWRITES_BEGIN;
        return 0;
    }
    if (cv_json_is(r->j, type, "Replace")) {
        if (!cv_is_replace(r->j, part, " ", CV_SPACE_SIGN))
            return cv_unknown(r, "normalizer.Replace.content", cv_json_get(r->j, part, "content"));
        r->escapes = 1, r->v->rewrites |= CV_REWRITES_SPACES;
        return 0;
    }
    if (cv_json_is(r->j, type, "NFC") && !r->escapes) {
        r->v->normalizes = 1;
        return 0;
    }
    return cv_unknown(r, "normalizer.type", type);
}

/* ---- pre-tokenizer: the alternatives of a pattern, each known by its text ---- */

enum { CV_STAGE_CONTRACTION, CV_STAGE_LETTERS, CV_STAGE_NUMBER, CV_STAGE_SIGNS, CV_STAGE_NEWLINES, CV_STAGE_WHITE,
       CV_STAGE_LAST, CV_STAGES };

typedef struct cv_alternative {
    const char *text;
    int stage;
    int contractions, any_lead, number_lead, number_digits, sign_newlines;
} cv_alternative;

static const cv_alternative cv_alternatives[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d", CV_STAGE_CONTRACTION, 1, 0, 0, 0, 0},
    {"'(?:[sdmt]|ll|ve|re)", CV_STAGE_CONTRACTION, 1, 0, 0, 0, 0},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)", CV_STAGE_CONTRACTION, 2, 0, 0, 0, 0},
    {"'(?i:[sdmt]|ll|ve|re)", CV_STAGE_CONTRACTION, 2, 0, 0, 0, 0},
    {" ?\\p{L}+", CV_STAGE_LETTERS, 0, 0, 0, 0, 0},
    {"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+", CV_STAGE_LETTERS, 0, 1, 0, 0, 0},
    {"[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+", CV_STAGE_LETTERS, 0, 1, 0, 0, 0},
    {" ?\\p{N}+", CV_STAGE_NUMBER, 0, 0, 1, 0, 0},
    {"\\p{N}+", CV_STAGE_NUMBER, 0, 0, 0, 0, 0},
    {"\\p{N}", CV_STAGE_NUMBER, 0, 0, 0, 1, 0},
    {"\\p{N}{1,2}", CV_STAGE_NUMBER, 0, 0, 0, 2, 0},
    {"\\p{N}{1,3}", CV_STAGE_NUMBER, 0, 0, 0, 3, 0},
    {" ?[^\\s\\p{L}\\p{N}]+", CV_STAGE_SIGNS, 0, 0, 0, 0, 0},
    {" ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*", CV_STAGE_SIGNS, 0, 0, 0, 0, 1},
    {" ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*", CV_STAGE_SIGNS, 0, 0, 0, 0, 1},
    {"\\s*[\\r\\n]+", CV_STAGE_NEWLINES, 0, 0, 0, 0, 0},
    {"\\s+(?!\\S)", CV_STAGE_WHITE, 0, 0, 0, 0, 0},
    {"\\s+", CV_STAGE_LAST, 0, 0, 0, 0, 0},
};

/* The longest alternative that the pattern begins with, up to a | or the end. */
static const cv_alternative *cv_find_alternative(const char *pattern, size_t bytes)
{
    const cv_alternative *best = NULL;
    for (size_t i = 0; i < sizeof cv_alternatives / sizeof *cv_alternatives; i++) {
        size_t n = strlen(cv_alternatives[i].text);
        if (n > bytes || memcmp(pattern, cv_alternatives[i].text, n) != 0 || (n < bytes && pattern[n] != '|')) continue;
        if (!best || n > strlen(best->text)) best = &cv_alternatives[i];
    }
    return best;
}

/* 1: the pattern is one of the family, and its rules are set. */
static int cv_is_classic(cv_rules *rules, const cv_pattern *pattern)
{
    cv_rules found = *rules;
    int seen[CV_STAGES] = {0}, stage = -1;
    const char *p = pattern->text, *end = p + pattern->bytes;
    for (;;) {
        const cv_alternative *a = cv_find_alternative(p, (size_t)(end - p));
        if (!a || a->stage <= stage) return 0;
        stage = a->stage, seen[stage] = 1;
        found.contractions |= a->contractions, found.any_lead |= a->any_lead, found.number_lead |= a->number_lead;
        found.number_digits |= a->number_digits, found.sign_newlines |= a->sign_newlines;
        p += strlen(a->text);
        if (p == end) break;
        p++;
    }
    found.newline_runs = seen[CV_STAGE_NEWLINES];
    if (!seen[CV_STAGE_LETTERS] || !seen[CV_STAGE_NUMBER] || !seen[CV_STAGE_SIGNS] || !seen[CV_STAGE_WHITE]
        || !seen[CV_STAGE_LAST])
        return 0;
    *rules = found;
    return 1;
}

/* Most tokenizers are said by rules, perhaps behind a stage that cuts out each digit; the others get a program. */
int cv_vocab_cut_words(cv_vocab *v, const cv_pattern *patterns, size_t n, cv_error *err)
{
    int digits = n == 2 && patterns[0].bytes == 5 && memcmp(patterns[0].text, "\\p{N}", 5) == 0;
    if ((n == 1 || digits) && cv_is_classic(&v->rules, &patterns[digits])) {
        v->rules.lone_digits = digits;
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        if (cv_words_add(&v->words, patterns[i].text, patterns[i].bytes, err) < 0) return -1;
    return 0;
}

static int cv_add_pattern(cv_reader *r, const char *text, size_t bytes)
{
    if (r->n_patterns == CV_MOST_STAGES)
        return cv_fail(r->err, "%s: more than %d pre-tokenizers", r->name, CV_MOST_STAGES);
    r->patterns[r->n_patterns].text = text, r->patterns[r->n_patterns++].bytes = bytes;
    return 0;
}

static int cv_gpt2_pattern(cv_reader *r)
{
    static const char pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    return cv_add_pattern(r, pattern, sizeof pattern - 1);
}

static int cv_split(cv_reader *r, uint32_t part)
{
    uint32_t behavior = cv_json_get(r->j, part, "behavior"), pattern = cv_json_get(r->j, part, "pattern");
    size_t bytes;
    const char *regex = cv_json_string(r->j, cv_json_get(r->j, pattern, "Regex"), &bytes);
    int inverted = !cv_is_nothing(r->j, cv_json_get(r->j, part, "invert"));
    /* Gemma: a split at spaces, of which the normalizer has left none */
    if (r->escapes && !inverted && cv_json_is(r->j, cv_json_get(r->j, pattern, "String"), " ")) return 0;
    if (!regex) return cv_unknown(r, "pre_tokenizer.Split.pattern", pattern);
    if (inverted) { /* what lies between matches is removed: nothing, if the pattern matches all of any text */
        int all = cv_json_is(r->j, behavior, "Removed") ? cv_words_match_all(regex, bytes, r->err) : 0;
        if (all < 0) return -1;
        if (!all) return cv_unknown(r, "pre_tokenizer.Split.invert", cv_json_get(r->j, part, "invert"));
    }
    if (!inverted && !cv_json_is(r->j, behavior, "Isolated"))
        return cv_unknown(r, "pre_tokenizer.Split.behavior", behavior);
    return cv_add_pattern(r, regex, bytes);
}

static int cv_byte_level(cv_reader *r, uint32_t part)
{
    uint32_t prefix = cv_json_get(r->j, part, "add_prefix_space"), use_regex = cv_json_get(r->j, part, "use_regex");
    r->byte_level = 1;
    if (!cv_is_nothing(r->j, prefix)) return cv_unknown(r, "pre_tokenizer.ByteLevel.add_prefix_space", prefix);
    if (cv_is_false(r->j, use_regex)) return 0;
    return cv_gpt2_pattern(r);
}

static int cv_metaspace(cv_reader *r, uint32_t part)
{
    uint32_t sign = cv_json_get(r->j, part, "replacement"), scheme = cv_json_get(r->j, part, "prepend_scheme");
    uint32_t split = cv_json_get(r->j, part, "split");
    uint32_t prefix = cv_json_get(r->j, part, "add_prefix_space"); /* the older name of the scheme */
    if (!cv_json_is(r->j, sign, CV_SPACE_SIGN)) return cv_unknown(r, "pre_tokenizer.Metaspace.replacement", sign);
    if (!cv_is_false(r->j, split)) return cv_unknown(r, "pre_tokenizer.Metaspace.split", split);
    if (cv_is_false(r->j, prefix) && !cv_json_is(r->j, scheme, "never"))
        return cv_unknown(r, "pre_tokenizer.Metaspace.add_prefix_space", prefix);
    if (r->prepends) return cv_fail(r->err, "%s: two parts put a space before the text: not supported", r->name);
    r->escapes = 1;
    if (cv_json_is(r->j, scheme, "first")) r->prepends = CV_SPACE_FIRST | CV_SPACE_UNLESS;
    else if (cv_json_is(r->j, scheme, "always")) r->prepends = CV_SPACE_FIRST | CV_SPACE_EACH | CV_SPACE_UNLESS;
    else if (!cv_json_is(r->j, scheme, "never")) return cv_unknown(r, "pre_tokenizer.Metaspace.prepend_scheme", scheme);
    return 0;
}

static int cv_pre_tokenizer(cv_reader *r, uint32_t part)
{
    uint32_t type = cv_json_get(r->j, part, "type");
    if (r->byte_level) return cv_fail(r->err, "%s: a pre-tokenizer follows ByteLevel", r->name);
    if (cv_json_is(r->j, type, "ByteLevel")) return cv_byte_level(r, part);
    if (cv_json_is(r->j, type, "Split")) return cv_split(r, part);
    if (cv_json_is(r->j, type, "Metaspace")) return cv_metaspace(r, part);
    if (cv_json_is(r->j, type, "Digits")) {
        int each = cv_is_true(r->j, cv_json_get(r->j, part, "individual_digits"));
        return cv_add_pattern(r, "\\p{N}+", each ? 5 : 6);
    }
    if (cv_json_is(r->j, type, "Punctuation")) {
        static const char signs[] = "[\\p{P}!-/:-@\\[-`{-~]";
        uint32_t behavior = cv_json_get(r->j, part, "behavior");
        if (behavior != CV_JSON_NONE && !cv_json_is(r->j, behavior, "Isolated"))
            return cv_unknown(r, "pre_tokenizer.Punctuation.behavior", behavior);
        return cv_add_pattern(r, signs, sizeof signs - 1);
    }
    return cv_unknown(r, "pre_tokenizer.type", type);
}

/* ---- decoder ---- */

static int cv_decoder(cv_reader *r, uint32_t part)
{
    const cv_json *j = r->j;
    uint32_t type = cv_json_get(j, part, "type"), scheme = cv_json_get(j, part, "prepend_scheme");
    int64_t start = 0, stop = 0;
    if (r->byte_level) return cv_json_is(j, type, "ByteLevel") ? 0 : cv_unknown(r, "decoder.type", type);
    if (cv_json_is(j, type, "ByteFallback") || cv_json_is(j, type, "Fuse")) return 0;
    if (cv_json_is(j, type, "Replace") && cv_is_replace(j, part, CV_SPACE_SIGN, " ")) return 0;
    if (cv_json_is(j, type, "Metaspace")) {
        r->strips = !cv_json_is(j, scheme, "never");
        return 0;
    }
    if (cv_json_is(j, type, "Strip") && cv_json_is(j, cv_json_get(j, part, "content"), " ")
        && cv_json_integer(j, cv_json_get(j, part, "start"), &start)
        && cv_json_integer(j, cv_json_get(j, part, "stop"), &stop) && start >= 0 && start <= 1 && stop == 0) {
        r->strips = (int)start;
        return 0;
    }
    return cv_unknown(r, "decoder.type", type);
}

/* ---- post-processor: only a begin token before the text ---- */

static int cv_post_processor(cv_reader *r, uint32_t part)
{
    const cv_json *j = r->j;
    uint32_t type = cv_json_get(j, part, "type"), single = cv_json_get(j, part, "single");
    int texts = 0, begins = 0;
    if (cv_json_is(j, type, "ByteLevel")) return 0; /* offsets only */
    if (!cv_json_is(j, type, "TemplateProcessing")) return cv_unknown(r, "post_processor.type", type);
    for (uint32_t i = cv_json_first(j, single); i != CV_JSON_NONE; i = cv_json_next(j, i)) {
        const char *id = cv_json_string(j, cv_json_get(j, cv_json_get(j, i, "SpecialToken"), "id"), NULL);
        uint32_t token = id ? cv_json_get(j, cv_json_get(j, part, "special_tokens"), id) : CV_JSON_NONE;
        uint32_t ids = cv_json_get(j, token, "ids");
        int64_t value;
        if (cv_json_type_of(j, cv_json_get(j, i, "Sequence")) == CV_JSON_OBJECT) {
            texts++;
            continue;
        }
        if (texts || begins || cv_json_count(j, ids) != 1 || !cv_json_integer(j, cv_json_first(j, ids), &value)
            || value < 0 || value >= CV_MOST_TOKENS)
            return cv_fail(r->err, "%s: post_processor.single is more than one token before the text: not supported",
                           r->name);
        begins = 1;
        r->v->bos = (int32_t)value, r->v->rules.add_bos = 1;
    }
    return texts == 1 ? 0 : cv_fail(r->err, "%s: post_processor.single does not hold the text once", r->name);
}

/* ---- model ---- */

static int cv_set_token(cv_reader *r, int64_t id, const char *text, size_t bytes)
{
    return r->byte_level ? cv_vocab_set_printable(r->v, id, text, bytes, r->err)
                         : cv_vocab_set_spaced(r->v, id, text, bytes, CV_NORMAL, r->err);
}

static int cv_read_vocab(cv_reader *r, uint32_t vocab)
{
    if (cv_json_type_of(r->j, vocab) != CV_JSON_OBJECT) return cv_unknown(r, "model.vocab", vocab);
    for (uint32_t k = cv_json_first(r->j, vocab); k != CV_JSON_NONE; k = cv_json_next(r->j, k)) {
        size_t bytes;
        const char *text = cv_json_string(r->j, k, &bytes);
        int64_t id;
        if (!cv_json_integer(r->j, k + 1, &id))
            return cv_fail(r->err, "%s: the id of \"%.80s\" is not an integer", r->name, text);
        if (cv_set_token(r, id, text, bytes) < 0) return -1;
    }
    return cv_vocab_index(r->v, r->err);
}

/* One part of a merge, in this vocabulary's spelling, to bytes. */
static int cv_merge_part(const cv_reader *r, const char *text, size_t bytes, char *out, size_t *n)
{
    if (bytes > CV_LONGEST_TOKEN) return -1;
    if (r->byte_level) return cv_undo_printable(out, n, text, bytes);
    (void)cv_undo_spaces(out, n, text, bytes);
    return 0;
}

static int cv_read_merge(cv_reader *r, const char *left, size_t left_bytes, const char *right, size_t right_bytes,
                         uint32_t rank)
{
    char a[CV_LONGEST_TOKEN], b[CV_LONGEST_TOKEN];
    size_t n, m;
    if (cv_merge_part(r, left, left_bytes, a, &n) < 0 || cv_merge_part(r, right, right_bytes, b, &m) < 0)
        return cv_fail(r->err, "%s: merge %lu is not made of tokens", r->name, (unsigned long)rank);
    return cv_vocab_merge(r->v, a, n, b, m, rank, r->err);
}

/* "left right": exactly one space. */
static int cv_read_merge_line(cv_reader *r, const char *line, size_t bytes, uint32_t rank)
{
    const char *space = memchr(line, ' ', bytes);
    size_t left = space ? (size_t)(space - line) : 0;
    if (!space || left == 0 || left + 1 == bytes || memchr(space + 1, ' ', bytes - left - 1))
        return cv_fail(r->err, "%s: merge %lu, \"%.*s\", is not two tokens with a space between", r->name,
                       (unsigned long)rank, (int)(bytes < 80 ? bytes : 80), line);
    return cv_read_merge(r, line, left, space + 1, bytes - left - 1, rank);
}

static int cv_read_merges(cv_reader *r, uint32_t merges)
{
    uint32_t rank = 0;
    if (cv_json_type_of(r->j, merges) != CV_JSON_ARRAY) return cv_unknown(r, "model.merges", merges);
    for (uint32_t i = cv_json_first(r->j, merges); i != CV_JSON_NONE; i = cv_json_next(r->j, i), rank++) {
        uint32_t left = cv_json_first(r->j, i);
        size_t n, m;
        const char *line = cv_json_string(r->j, i, &n), *a, *b;
        if (line) {
            if (cv_read_merge_line(r, line, n, rank) < 0) return -1;
            continue;
        }
        a = cv_json_count(r->j, i) == 2 ? cv_json_string(r->j, left, &n) : NULL;
        b = a ? cv_json_string(r->j, cv_json_next(r->j, left), &m) : NULL;
        if (!b) return cv_fail(r->err, "%s: merge %lu is not two tokens", r->name, (unsigned long)rank);
        if (cv_read_merge(r, a, n, b, m, rank) < 0) return -1;
    }
    return 0;
}

/* How many bytes have a token of their own. */
static int cv_count_bytes(const cv_reader *r)
{
    unsigned char seen[256] = {0};
    int n = 0;
    for (uint32_t i = 0; i < r->v->n; i++) {
        const cv_token *t = &r->v->token[i];
        int is_byte = t->there && !t->hidden && t->bytes == 1 && t->type == (r->byte_level ? CV_NORMAL : CV_BYTE);
        if (is_byte) seen[(unsigned char)r->v->text[t->text]] = 1;
    }
    for (int b = 0; b < 256; b++) n += seen[b];
    return n;
}

/* The unknown token stands for what has no token: at the byte level for bytes, each by itself; elsewhere, if the bytes
 * have no tokens at all, for characters, or for runs of them (fuse_unk). As in Hugging Face tokenizers byte_fallback
 * means nothing then. A vocabulary of some of the bytes nobody makes on purpose. */
static int cv_read_unknown(cv_reader *r, uint32_t model)
{
    size_t bytes;
    uint32_t unk = cv_json_get(r->j, model, "unk_token"), fuse = cv_json_get(r->j, model, "fuse_unk");
    const char *text = cv_json_string(r->j, unk, &bytes);
    int n_bytes = cv_count_bytes(r);
    cv_rules *rules = &r->v->rules;
    if (!r->byte_level && n_bytes > 0 && n_bytes < 256)
        return cv_fail(r->err, "%s: the vocabulary has only %d of the 256 byte tokens <0xHH>", r->name, n_bytes);
    if (!text || bytes == 0) return 0;
    rules->unknown = (int32_t)cv_vocab_find_any(r->v, text, bytes);
    if (n_bytes < 256 && rules->unknown < 0)
        return cv_fail(r->err, "%s: model.unk_token is \"%.80s\", which is not in the vocabulary", r->name, text);
    if (r->byte_level && n_bytes < 256 && !cv_is_nothing(r->j, fuse)) return cv_unknown(r, "model.fuse_unk", fuse);
    if (!r->byte_level && n_bytes == 0) rules->unknown_whole = cv_is_true(r->j, fuse) ? 2 : 1;
    if (rules->unknown >= 0) r->v->token[rules->unknown].type = CV_UNKNOWN;
    return 0;
}

/* A key that is not known may change what comes out, unless it is off. */
static int cv_check_model_keys(const cv_reader *r, uint32_t model)
{
    static const char *const known[] = {"type",         "vocab",         "merges",       "unk_token",
                                        "fuse_unk",     "byte_fallback", "ignore_merges"};
    for (uint32_t k = cv_json_first(r->j, model); k != CV_JSON_NONE; k = cv_json_next(r->j, k)) {
        size_t i = 0;
        char full[100];
        while (i < sizeof known / sizeof *known && !cv_json_is(r->j, k, known[i])) i++;
        if (i < sizeof known / sizeof *known || cv_is_nothing(r->j, k + 1)) continue;
        snprintf(full, sizeof full, "model.%.80s", cv_json_string(r->j, k, NULL));
        return cv_unknown(r, full, k + 1);
    }
    return 0;
}

/* Which of the two kinds it is, and whether the parts fit it. */
static int cv_check_kind(const cv_reader *r, uint32_t model)
{
    uint32_t fallback = cv_json_get(r->j, model, "byte_fallback"), ignore = cv_json_get(r->j, model, "ignore_merges");
    if (r->byte_level ? !cv_is_nothing(r->j, fallback) : !cv_is_true(r->j, fallback))
        return cv_unknown(r, "model.byte_fallback", fallback);
    if (r->byte_level && r->n_patterns == 0)
        return cv_fail(r->err, "%s: the pre-tokenizer does not cut words", r->name);
    if (r->byte_level && (r->escapes || r->prepends))
        return cv_fail(r->err, "%s: spaces become U+2581 before the pre-tokenizer ByteLevel: not supported", r->name);
    if (!r->byte_level && (!r->escapes || r->n_patterns > 0))
        return cv_fail(r->err, "%s: neither a byte-level tokenizer nor one that writes spaces as U+2581", r->name);
    if (!r->byte_level && r->v->normalizes)
        return cv_fail(r->err, "%s: normalizer.type is NFC where spaces become U+2581: not supported", r->name);
    if (!r->byte_level && !cv_is_nothing(r->j, ignore)) return cv_unknown(r, "model.ignore_merges", ignore);
    return 0;
}

static int cv_read_model(cv_reader *r, uint32_t model)
{
    cv_rules *rules = &r->v->rules;
    const cv_json *j = r->j;
    uint32_t type = cv_json_get(j, model, "type");
    if (!cv_json_is(j, type, "BPE")
        && (!cv_is_nothing(j, type) || cv_json_type_of(j, cv_json_get(j, model, "merges")) != CV_JSON_ARRAY))
        return cv_unknown(r, "model.type", type);
    if (cv_check_model_keys(r, model) < 0 || cv_check_kind(r, model) < 0) return -1;
    rules->kind = r->byte_level ? CV_BYTE_LEVEL : CV_SENTENCEPIECE;
    if (cv_vocab_cut_words(r->v, r->patterns, r->n_patterns, r->err) < 0) return -1;
    rules->ignore_merges = cv_is_true(j, cv_json_get(j, model, "ignore_merges"));
    rules->spaces = r->byte_level ? 0 : r->prepends | (r->strips ? CV_SPACE_STRIP : 0);
    if (cv_read_vocab(r, cv_json_get(j, model, "vocab")) < 0 || cv_read_merges(r, cv_json_get(j, model, "merges")) < 0)
        return -1;
    return cv_read_unknown(r, model);
}

/* ---- added tokens: in tokenizer.json a list, in tokenizer_config.json an object by id ---- */

int cv_is_classic_control(const char *text, size_t bytes)
{
    return (bytes == 3 && memcmp(text, "<s>", 3) == 0) || (bytes == 4 && memcmp(text, "</s>", 4) == 0);
}

static int cv_added_flags(const cv_json *j, uint32_t node)
{
    int flags = 0;
    if (cv_is_true(j, cv_json_get(j, node, "lstrip"))) flags |= CV_LSTRIP;
    if (cv_is_true(j, cv_json_get(j, node, "rstrip"))) flags |= CV_RSTRIP;
    if (cv_is_true(j, cv_json_get(j, node, "normalized"))) flags |= CV_NORMALIZED;
    return flags;
}

/* Are these characters that every vocabulary writes as they are? */
static int cv_is_plain(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] <= ' ' || text[i] > '~') return 0;
    return 1;
}

/* Hugging Face gives added tokens that are not in the vocabulary the next free ids, whatever the file says; so the file
 * must say those. One listed by id may be any of its list's n_new new ones: their order is not kept. */
static int cv_check_new(cv_reader *r, int64_t id, const char *text, size_t bytes)
{
    cv_vocab *v = r->v;
    if (v->next_id == 0) return 0; /* not a tokenizer.json */
    int64_t other = cv_is_plain(text, bytes) ? cv_vocab_find(v, text, bytes) : -1;
    if (other >= 0 || id < (int64_t)r->first_new || id >= (int64_t)r->first_new + r->n_new)
        return cv_fail(r->err, "%s: the added token \"%.80s\" has the id %.0f, but its place in the vocabulary is %.0f",
                       r->name, text, (double)id, other >= 0 ? (double)other : (double)v->next_id);
    v->next_id++;
    return 0;
}

static int cv_is_new(const cv_vocab *v, int64_t id)
{
    return id < 0 || id >= (int64_t)v->n || !v->token[id].there;
}

/* The id must be free, or that of this text. 1: it is that of a token that only merges reach. */
static int cv_check_added(cv_reader *r, int64_t id, const char *text, size_t bytes, int special)
{
    const cv_vocab *v = r->v;
    char clean[CV_LONGEST_TOKEN];
    size_t n = 0;
    if (cv_is_new(v, id)) return cv_check_new(r, id, text, bytes);
    const cv_token *t = &v->token[id];
    if (t->added && v->next_id == 0) return 0; /* a tiktoken list's names are given here */
    if (bytes <= sizeof clean && v->rules.kind == CV_SENTENCEPIECE) cv_undo_spaces(clean, &n, text, bytes);
    if (n != bytes && n > 0 && !special && n == t->bytes && memcmp(clean, v->text + t->text, n) == 0)
        return 1; /* written with U+2581, which raw text does not have */
    if (t->bytes != bytes || memcmp(v->text + t->text, text, bytes) != 0)
        return cv_fail(r->err, "%s: the added token \"%.80s\" has the id %ld of another token", r->name, text,
                       (long)id);
    return 0;
}

static int cv_put_added(cv_reader *r, int64_t id, const char *text, size_t bytes, int special, int flags)
{
    cv_vocab *v = r->v;
    special |= v->rules.kind == CV_SENTENCEPIECE && cv_is_classic_control(text, bytes); /* Phi-3 says </s> is a word */
    int found = cv_check_added(r, id, text, bytes, special);
    if (found < 0) return -1;
    if (found > 0 && !(flags & CV_NORMALIZED && v->rewrites)) return 0;
    int type = !special ? CV_USER : v->rules.unknown == id ? CV_UNKNOWN : CV_CONTROL;
    return cv_vocab_add(v, id, text, bytes, type, flags, r->err);
}

static int cv_added_token(cv_reader *r, int64_t id, uint32_t node)
{
    size_t bytes;
    const char *text = cv_json_string(r->j, cv_json_get(r->j, node, "content"), &bytes);
    if (!text) return cv_fail(r->err, "%s: added token %.0f has no content", r->name, (double)id);
    if (cv_is_true(r->j, cv_json_get(r->j, node, "single_word")))
        return cv_fail(r->err, "%s: the added token \"%.80s\" has single_word true, which is not supported", r->name,
                       text);
    return cv_put_added(r, id, text, bytes, cv_is_true(r->j, cv_json_get(r->j, node, "special")),
                        cv_added_flags(r->j, node));
}

static int cv_read_added(cv_reader *r, uint32_t list)
{
    for (uint32_t i = cv_json_first(r->j, list); i != CV_JSON_NONE; i = cv_json_next(r->j, i)) {
        int64_t id;
        if (!cv_json_integer(r->j, cv_json_get(r->j, i, "id"), &id))
            return cv_unknown(r, "added_tokens.id", cv_json_get(r->j, i, "id"));
        r->first_new = r->v->next_id, r->n_new = 1;
        if (cv_added_token(r, id, i) < 0) return -1;
    }
    return 0;
}

/* The id that a key of added_tokens_decoder is; -1 if it is none. */
static int64_t cv_id_of_key(const cv_json *j, uint32_t k)
{
    const char *key = cv_json_string(j, k, NULL);
    size_t digits = strspn(key, "0123456789");
    return digits == 0 || digits > 9 || key[digits] ? -1 : strtol(key, NULL, 10);
}

static int cv_read_added_by_id(cv_reader *r, uint32_t object)
{
    r->first_new = r->v->next_id, r->n_new = 0;
    for (uint32_t k = cv_json_first(r->j, object); k != CV_JSON_NONE; k = cv_json_next(r->j, k)) {
        if (cv_id_of_key(r->j, k) < 0)
            return cv_fail(r->err, "%s: added_tokens_decoder has the key \"%.80s\", not an id", r->name,
                           cv_json_string(r->j, k, NULL));
        r->n_new += (uint32_t)cv_is_new(r->v, cv_id_of_key(r->j, k));
    }
    for (uint32_t k = cv_json_first(r->j, object); k != CV_JSON_NONE; k = cv_json_next(r->j, k))
        if (cv_added_token(r, cv_id_of_key(r->j, k), k + 1) < 0) return -1;
    return 0;
}

int cv_read_tokenizer_json(cv_vocab *v, const cv_json *j, const char *name, cv_error *err)
{
    cv_reader r;
    memset(&r, 0, sizeof r);
    r.v = v, r.j = j, r.name = name, r.err = err;
    uint32_t model = cv_json_get(j, 0, "model"), added = cv_json_get(j, 0, "added_tokens");
    uint32_t version = cv_json_get(j, 0, "version");
    if (version != CV_JSON_NONE && !cv_json_is(j, version, "1.0")) return cv_unknown(&r, "version", version);
    size_t listed = (size_t)cv_json_count(j, cv_json_get(j, model, "vocab")) + cv_json_count(j, added);
    if (cv_vocab_begin(v, 2 * listed + 4096, err) < 0) return -1;
    if (cv_each_part(&r, cv_json_get(j, 0, "normalizer"), "normalizers", cv_normalizer) < 0
        || cv_each_part(&r, cv_json_get(j, 0, "pre_tokenizer"), "pretokenizers", cv_pre_tokenizer) < 0
        || cv_each_part(&r, cv_json_get(j, 0, "decoder"), "decoders", cv_decoder) < 0
        || cv_each_part(&r, cv_json_get(j, 0, "post_processor"), "processors", cv_post_processor) < 0
        || cv_read_model(&r, model) < 0)
        return -1;
    v->next_id = cv_json_count(j, cv_json_get(j, model, "vocab"));
    return cv_read_added(&r, added);
}

/* ---- vocab.json and merges.txt: the same vocabulary, its rules known from the class that used to read it ---- */

static int cv_rules_of_class(cv_reader *r, const cv_json *config, uint32_t class)
{
    static const char qwen2[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
                                "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    if (class == CV_JSON_NONE || cv_json_is(config, class, "GPT2Tokenizer")
        || cv_json_is(config, class, "GPT2TokenizerFast"))
        return cv_gpt2_pattern(r);
    r->v->normalizes = 1;
    if (cv_json_is(config, class, "Qwen2Tokenizer") || cv_json_is(config, class, "Qwen2TokenizerFast"))
        return cv_add_pattern(r, qwen2, sizeof qwen2 - 1);
    r->j = config;
    return cv_unknown(r, "tokenizer_class (without a tokenizer.json)", class);
}

int cv_read_vocab_and_merges(cv_vocab *v, const cv_json *vocab, const char *merges, size_t bytes, const cv_json *config,
                             const char *name, cv_error *err)
{
    cv_reader r;
    uint32_t class = config ? cv_json_get(config, 0, "tokenizer_class") : CV_JSON_NONE, rank = 0;
    size_t listed = (size_t)cv_json_count(vocab, 0), at = 0;
    memset(&r, 0, sizeof r);
    r.v = v, r.j = vocab, r.name = name, r.err = err, r.byte_level = 1;
    v->rules.kind = CV_BYTE_LEVEL;
    if (config) listed += cv_json_count(config, cv_json_get(config, 0, "added_tokens_decoder"));
    if (cv_rules_of_class(&r, config, class) < 0) return -1;
    if (cv_vocab_begin(v, 2 * listed + 4096, err) < 0 || cv_vocab_cut_words(v, r.patterns, r.n_patterns, err) < 0
        || cv_read_vocab(&r, 0) < 0)
        return -1;
    while (at < bytes) {
        const char *line = merges + at, *newline = memchr(line, '\n', bytes - at);
        size_t n = newline ? (size_t)(newline - line) : bytes - at;
        at += n + 1;
        if (n > 0 && line[n - 1] == '\r') n--;
        if (n == 0 || (n >= 8 && memcmp(line, "#version", 8) == 0)) continue;
        if (cv_read_merge_line(&r, line, n, rank++) < 0) return -1;
    }
    int64_t end = cv_vocab_find(v, "<|endoftext|>", 13); /* GPT-2's own tokenizer knows it without being told */
    return end < 0 ? 0 : cv_vocab_add(v, end, "<|endoftext|>", 13, CV_CONTROL, 0, err);
}

/* ---- tokenizer_config.json ---- */

/* The text of a token given as a string or as {"content": ...}; NULL: there is none. */
static const char *cv_role_text(const cv_json *j, uint32_t node, size_t *bytes)
{
    if (cv_json_type_of(j, node) == CV_JSON_OBJECT) node = cv_json_get(j, node, "content");
    return cv_json_string(j, node, bytes);
}

/* Where none is given, *id stays as it is. */
static int cv_read_role(cv_reader *r, const char *key, int32_t *id)
{
    size_t bytes;
    uint32_t node = cv_json_get(r->j, 0, key);
    const char *text = cv_role_text(r->j, node, &bytes);
    if (!text) return 0;
    int64_t found = cv_vocab_find_any(r->v, text, bytes);
    if (found < 0) return cv_fail(r->err, "%s: %s is \"%.80s\", which is not in the vocabulary", r->name, key, text);
    cv_token *t = &r->v->token[found];
    *id = (int32_t)found;
    if (t->type != CV_NORMAL && t->type != CV_USER) return 0;
    int flags = t->added ? t->added & ~CV_IS_ADDED : cv_added_flags(r->j, node);
    return cv_vocab_add(r->v, found, text, bytes, CV_CONTROL, flags, r->err);
}

/* Classes that make the begin token their own business, whatever tokenizer.json says. */
static int cv_class_begins(const cv_json *config)
{
    static const char *const classes[] = {"Llama", "CodeLlama", "Gemma", "Cohere"};
    const char *name = cv_json_string(config, cv_json_get(config, 0, "tokenizer_class"), NULL);
    for (size_t i = 0; name && i < sizeof classes / sizeof *classes; i++) {
        size_t n = strlen(classes[i]);
        if (strncmp(name, classes[i], n) != 0) continue;
        if (strcmp(name + n, "Tokenizer") == 0 || strcmp(name + n, "TokenizerFast") == 0) return 1;
    }
    return 0;
}

/* Does a text begin with a begin token, and with which? The file that was read has said so (`said`: with its token).
 * The configuration may say otherwise: that counts for the classes above and for forms that say nothing; else the two
 * contradict each other. */
static int cv_settle_begin(cv_reader *r, int said, int32_t token)
{
    cv_vocab *v = r->v;
    uint32_t add = cv_json_get(r->j, 0, "add_bos_token");
    int decides = cv_class_begins(r->j) || v->next_id == 0;
    int wants = cv_is_true(r->j, add) || (cv_class_begins(r->j) && !cv_is_false(r->j, add)) ? 1
                : cv_is_false(r->j, add)                                                    ? 0
                                                                                            : said;
    if (!decides && v->bos >= 0 && wants != said) return cv_unknown(r, "(unlike tokenizer.json's) add_bos_token", add);
    if (!decides && said && v->bos != token && v->bos >= 0)
        return cv_fail(r->err, "%s: bos_token has the id %ld, but tokenizer.json begins texts with token %ld", r->name,
                       (long)v->bos, (long)token);
    v->rules.add_bos = wants && v->bos >= 0;
    return 0;
}

/* Flags that change which tokens a text becomes. */
static int cv_check_flags(cv_reader *r)
{
    static const char *const off[] = {"add_eos_token", "split_special_tokens", "do_lower_case"};
    cv_rules *rules = &r->v->rules;
    uint32_t prefix = cv_json_get(r->j, 0, "add_prefix_space"), legacy = cv_json_get(r->j, 0, "legacy");
    int prepends = (rules->spaces & CV_SPACE_FIRST) != 0;
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!cv_is_nothing(r->j, cv_json_get(r->j, 0, off[i])))
            return cv_unknown(r, off[i], cv_json_get(r->j, 0, off[i]));
    if (cv_is_true(r->j, prefix) && !prepends) return cv_unknown(r, "add_prefix_space", prefix);
    if (cv_is_false(r->j, prefix) && prepends && r->v->next_id)
        return cv_fail(r->err, "%s: add_prefix_space is false, but tokenizer.json puts a space first", r->name);
    if (rules->kind != CV_SENTENCEPIECE || r->v->next_id) return 0;
    if (cv_is_false(r->j, prefix)) rules->spaces = 0; /* SentencePiece's own file: this is how its class reads it */
    else if (cv_is_false(r->j, legacy) && prepends) rules->spaces = CV_SPACE_FIRST | CV_SPACE_UNLESS | CV_SPACE_STRIP;
    return 0;
}

int cv_read_tokenizer_config(cv_vocab *v, const cv_json *config, const char *name, cv_error *err)
{
    cv_reader r;
    int said = v->rules.add_bos;
    int32_t token = v->bos;
    memset(&r, 0, sizeof r);
    r.v = v, r.j = config, r.name = name, r.err = err;
    if (cv_check_flags(&r) < 0 || cv_read_added_by_id(&r, cv_json_get(config, 0, "added_tokens_decoder")) < 0)
        return -1;
    if (cv_read_role(&r, "bos_token", &v->bos) < 0 || cv_read_role(&r, "eos_token", &v->eos) < 0) return -1;
    return cv_settle_begin(&r, said, token);
}

/* ---- added_tokens.json: ids by text, beside older tokenizers ---- */

/* Does tokenizer_config.json give the token a role? Then it is special. */
static int cv_has_role(const cv_json *config, const char *text)
{
    static const char *const roles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    uint32_t list = cv_json_get(config, 0, "additional_special_tokens");
    size_t bytes;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        const char *role = cv_role_text(config, cv_json_get(config, 0, roles[i]), &bytes);
        if (role && strcmp(role, text) == 0) return 1;
    }
    if (cv_json_type_of(config, list) != CV_JSON_ARRAY) return 0;
    for (uint32_t i = cv_json_first(config, list); i != CV_JSON_NONE; i = cv_json_next(config, i)) {
        const char *role = cv_role_text(config, i, &bytes);
        if (role && strcmp(role, text) == 0) return 1;
    }
    return 0;
}

static int cv_read_added_id(cv_reader *r, uint32_t k, const cv_json *config, int64_t id)
{
    size_t bytes;
    const char *text = cv_json_string(r->j, k, &bytes);
    int special = config && cv_has_role(config, text);
    if (cv_is_new(r->v, id) && config && cv_json_get(config, 0, "added_tokens_decoder") != CV_JSON_NONE)
        return cv_fail(r->err, "%s: the token \"%.80s\" with the id %.0f is not in the vocabulary", r->name, text,
                       (double)id);
    if (!cv_is_new(r->v, id) && r->v->token[id].added) return cv_check_added(r, id, text, bytes, 0) < 0 ? -1 : 0;
    return cv_put_added(r, id, text, bytes, special, special ? 0 : CV_NORMALIZED);
}

/* Where tokenizer_config.json lists added tokens, others do not read this file; it must not know more, then. */
int cv_read_added_tokens(cv_vocab *v, const cv_json *j, const cv_json *config, const char *name, cv_error *err)
{
    cv_reader r;
    int64_t id;
    memset(&r, 0, sizeof r);
    r.v = v, r.j = j, r.name = name, r.err = err, r.first_new = v->next_id;
    uint64_t n_roles = config ? cv_json_count(config, cv_json_get(config, 0, "additional_special_tokens")) : 0;
    if (n_roles * cv_json_count(j, 0) > CV_MOST_SEARCHED)
        return cv_fail(err, "%s: too many tokens beside %.0f additional_special_tokens", name, (double)n_roles);
    for (uint32_t k = cv_json_first(j, 0); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        if (!cv_json_integer(j, k + 1, &id))
            return cv_fail(err, "%s: the id of \"%.80s\" is not an integer", name, cv_json_string(j, k, NULL));
        r.n_new += (uint32_t)cv_is_new(v, id);
    }
    for (uint32_t k = cv_json_first(j, 0); k != CV_JSON_NONE; k = cv_json_next(j, k))
        if (!cv_json_integer(j, k + 1, &id) || cv_read_added_id(&r, k, config, id) < 0) return -1;
    return 0;
}
