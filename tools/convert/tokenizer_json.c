/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * tokenizer_json.c - Hugging Face's tokenizer.json, tokenizer_config.json, vocab.json and merges.txt
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
    if (cv_json_is(r->j, type, "Prepend") && !r->escapes) {
        uint32_t prepend = cv_json_get(r->j, part, "prepend");
        if (!cv_json_is(r->j, prepend, CV_SPACE_SIGN)) return cv_unknown(r, "normalizer.prepend", prepend);
        r->prepends = CV_SPACE_FIRST | CV_SPACE_EACH;
        return 0;
    }
    if (cv_json_is(r->j, type, "Replace")) {
        if (!cv_is_replace(r->j, part, " ", CV_SPACE_SIGN))
            return cv_unknown(r, "normalizer.Replace.content", cv_json_get(r->j, part, "content"));
        r->escapes = 1;
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
    if (r->n_patterns == CV_MOST_STAGES) return cv_fail(r->err, "%s: more than %d pre-tokenizers", r->name, CV_MOST_STAGES);
    r->patterns[r->n_patterns].text = text, r->patterns[r->n_patterns++].bytes = bytes;
    return 0;
}

static int cv_gpt2_pattern(cv_reader *r)
{
    static const char pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    return cv_add_pattern(r, pattern, sizeof pattern - 1);
}

/* What is left over when all matches are removed, and the matches kept: the same, if every text matches throughout. */
static int cv_covers_all(const char *regex, size_t bytes)
{
    return bytes > 4 && memcmp(regex + bytes - 4, "|\\s+", 4) == 0;
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
    if (inverted && !(cv_json_is(r->j, behavior, "Removed") && cv_covers_all(regex, bytes)))
        return cv_unknown(r, "pre_tokenizer.Split.invert", cv_json_get(r->j, part, "invert"));
    if (!inverted && !cv_json_is(r->j, behavior, "Isolated")) return cv_unknown(r, "pre_tokenizer.Split.behavior", behavior);
    return cv_add_pattern(r, regex, bytes);
}

static int cv_byte_level(cv_reader *r, uint32_t part)
{
    uint32_t prefix = cv_json_get(r->j, part, "add_prefix_space"), use_regex = cv_json_get(r->j, part, "use_regex");
    r->byte_level = 1;
    if (!cv_is_nothing(r->j, prefix)) return cv_unknown(r, "pre_tokenizer.ByteLevel.add_prefix_space", prefix);
    if (cv_json_type_of(r->j, use_regex) == CV_JSON_FALSE) return 0;
    return cv_gpt2_pattern(r);
}

static int cv_metaspace(cv_reader *r, uint32_t part)
{
    uint32_t sign = cv_json_get(r->j, part, "replacement"), scheme = cv_json_get(r->j, part, "prepend_scheme");
    uint32_t split = cv_json_get(r->j, part, "split");
    if (!cv_json_is(r->j, sign, CV_SPACE_SIGN)) return cv_unknown(r, "pre_tokenizer.Metaspace.replacement", sign);
    if (cv_json_type_of(r->j, split) != CV_JSON_FALSE) return cv_unknown(r, "pre_tokenizer.Metaspace.split", split);
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

static int cv_check_bytes(const cv_reader *r)
{
    int n = 0;
    for (uint32_t i = 0; i < r->v->n; i++) n += r->v->token[i].there && r->v->token[i].type == CV_BYTE;
    return n >= 256 ? 0 : cv_fail(r->err, "%s: the vocabulary has only %d of the 256 byte tokens <0xHH>", r->name, n);
}

static int cv_read_unknown(cv_reader *r, uint32_t unk)
{
    size_t bytes;
    const char *text = cv_json_string(r->j, unk, &bytes);
    if (!text || bytes == 0) return 0;
    r->v->rules.unknown = (int32_t)cv_vocab_find_any(r->v, text, bytes);
    if (r->v->rules.unknown >= 0) r->v->token[r->v->rules.unknown].type = CV_UNKNOWN;
    return 0;
}

static int cv_read_model(cv_reader *r, uint32_t model)
{
    static const char *const empty[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    cv_rules *rules = &r->v->rules;
    const cv_json *j = r->j;
    uint32_t type = cv_json_get(j, model, "type"), fallback = cv_json_get(j, model, "byte_fallback");
    if (!cv_json_is(j, type, "BPE")
        && (!cv_is_nothing(j, type) || cv_json_type_of(j, cv_json_get(j, model, "merges")) != CV_JSON_ARRAY))
        return cv_unknown(r, "model.type", type);
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
        if (!cv_is_nothing(j, cv_json_get(j, model, empty[i])))
            return cv_unknown(r, empty[i], cv_json_get(j, model, empty[i]));
    if (r->byte_level ? !cv_is_nothing(j, fallback) : !cv_is_true(j, fallback))
        return cv_unknown(r, "model.byte_fallback", fallback);
    if (r->byte_level && r->n_patterns == 0) return cv_fail(r->err, "%s: the pre-tokenizer does not cut words", r->name);
    if (!r->byte_level && (!r->escapes || r->n_patterns > 0))
        return cv_fail(r->err, "%s: neither a byte-level tokenizer nor one that writes spaces as U+2581", r->name);
    rules->kind = r->byte_level ? CV_BYTE_LEVEL : CV_SENTENCEPIECE;
    if (cv_vocab_cut_words(r->v, r->patterns, r->n_patterns, r->err) < 0) return -1;
    rules->ignore_merges = cv_is_true(j, cv_json_get(j, model, "ignore_merges"));
    rules->spaces = r->byte_level ? 0 : r->prepends | (r->strips ? CV_SPACE_STRIP : 0);
    if (!r->byte_level && rules->ignore_merges)
        return cv_unknown(r, "model.ignore_merges", cv_json_get(j, model, "ignore_merges"));
    if (cv_read_vocab(r, cv_json_get(j, model, "vocab")) < 0 || cv_read_merges(r, cv_json_get(j, model, "merges")) < 0)
        return -1;
    if (!r->byte_level && cv_check_bytes(r) < 0) return -1;
    return cv_read_unknown(r, cv_json_get(j, model, "unk_token"));
}

/* ---- added tokens: in tokenizer.json a list, in tokenizer_config.json an object by id ---- */

int cv_is_classic_control(const char *text, size_t bytes)
{
    return (bytes == 3 && memcmp(text, "<s>", 3) == 0) || (bytes == 4 && memcmp(text, "</s>", 4) == 0);
}

static int cv_added_token(cv_reader *r, int64_t id, uint32_t node)
{
    const cv_json *j = r->j;
    cv_vocab *v = r->v;
    size_t bytes, n = 0;
    const char *text = cv_json_string(j, cv_json_get(j, node, "content"), &bytes);
    char clean[CV_LONGEST_TOKEN];
    int special = cv_is_true(j, cv_json_get(j, node, "special")), flags = 0;
    if (!text) return cv_fail(r->err, "%s: added token %.0f has no content", r->name, (double)id);
    if (cv_is_true(j, cv_json_get(j, node, "single_word")))
        return cv_fail(r->err, "%s: the added token \"%.80s\" has single_word true, which is not supported", r->name,
                       text);
    if (cv_is_true(j, cv_json_get(j, node, "lstrip"))) flags |= CV_LSTRIP;
    if (cv_is_true(j, cv_json_get(j, node, "rstrip"))) flags |= CV_RSTRIP;
    special |= v->rules.kind == CV_SENTENCEPIECE && cv_is_classic_control(text, bytes); /* Phi-3 says </s> is a word */
    if (id >= 0 && id < (int64_t)v->n && v->token[id].there && !v->token[id].added) {
        const cv_token *t = &v->token[id];
        if (bytes <= sizeof clean && v->rules.kind == CV_SENTENCEPIECE) cv_undo_spaces(clean, &n, text, bytes);
        if (n != bytes && n > 0 && !special && n == t->bytes && memcmp(clean, v->text + t->text, n) == 0)
            return 0; /* written with U+2581, which raw text does not have: reached by merges only */
        if (t->bytes != bytes || memcmp(v->text + t->text, text, bytes) != 0)
            return cv_fail(r->err, "%s: the added token \"%.80s\" has the id %ld of another token", r->name, text,
                           (long)id);
    }
    int type = !special ? CV_USER : v->rules.unknown == id ? CV_UNKNOWN : CV_CONTROL;
    return cv_vocab_add(v, id, text, bytes, type, flags, r->err);
}

static int cv_read_added(cv_reader *r, uint32_t list)
{
    for (uint32_t i = cv_json_first(r->j, list); i != CV_JSON_NONE; i = cv_json_next(r->j, i)) {
        int64_t id;
        if (!cv_json_integer(r->j, cv_json_get(r->j, i, "id"), &id))
            return cv_unknown(r, "added_tokens.id", cv_json_get(r->j, i, "id"));
        if (cv_added_token(r, id, i) < 0) return -1;
    }
    return 0;
}

static int cv_read_added_by_id(cv_reader *r, uint32_t object)
{
    for (uint32_t k = cv_json_first(r->j, object); k != CV_JSON_NONE; k = cv_json_next(r->j, k)) {
        const char *key = cv_json_string(r->j, k, NULL);
        size_t digits = strspn(key, "0123456789");
        if (digits == 0 || digits > 9 || key[digits])
            return cv_fail(r->err, "%s: added_tokens_decoder has the key \"%.80s\", not an id", r->name, key);
        if (cv_added_token(r, strtol(key, NULL, 10), k + 1) < 0) return -1;
    }
    return 0;
}

int cv_read_tokenizer_json(cv_vocab *v, const cv_json *j, const char *name, cv_error *err)
{
    cv_reader r;
    memset(&r, 0, sizeof r);
    r.v = v, r.j = j, r.name = name, r.err = err;
    uint32_t model = cv_json_get(j, 0, "model"), added = cv_json_get(j, 0, "added_tokens");
    size_t listed = (size_t)cv_json_count(j, cv_json_get(j, model, "vocab")) + cv_json_count(j, added);
    if (cv_vocab_begin(v, 2 * listed + 4096, err) < 0) return -1;
    if (cv_each_part(&r, cv_json_get(j, 0, "normalizer"), "normalizers", cv_normalizer) < 0
        || cv_each_part(&r, cv_json_get(j, 0, "pre_tokenizer"), "pretokenizers", cv_pre_tokenizer) < 0
        || cv_each_part(&r, cv_json_get(j, 0, "decoder"), "decoders", cv_decoder) < 0
        || cv_each_part(&r, cv_json_get(j, 0, "post_processor"), "processors", cv_post_processor) < 0
        || cv_read_model(&r, model) < 0)
        return -1;
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

/* A token given as a string or as {"content": ...}. Where none is given, *id stays as it is. */
static int cv_read_role(cv_reader *r, const char *key, int32_t *id)
{
    uint32_t node = cv_json_get(r->j, 0, key);
    size_t bytes;
    if (cv_json_type_of(r->j, node) == CV_JSON_OBJECT) node = cv_json_get(r->j, node, "content");
    const char *text = cv_json_string(r->j, node, &bytes);
    if (!text) return 0;
    int64_t found = cv_vocab_find_any(r->v, text, bytes);
    if (found < 0) return cv_fail(r->err, "%s: %s is \"%.80s\", which is not in the vocabulary", r->name, key, text);
    cv_token *t = &r->v->token[found];
    *id = (int32_t)found;
    if (t->type != CV_NORMAL && t->type != CV_USER) return 0;
    return cv_vocab_add(r->v, found, text, bytes, CV_CONTROL, t->added & (CV_LSTRIP | CV_RSTRIP), r->err);
}

int cv_read_tokenizer_config(cv_vocab *v, const cv_json *config, const char *name, cv_error *err)
{
    cv_reader r;
    uint32_t add_bos = cv_json_get(config, 0, "add_bos_token"), add_eos = cv_json_get(config, 0, "add_eos_token");
    memset(&r, 0, sizeof r);
    r.v = v, r.j = config, r.name = name, r.err = err;
    if (!cv_is_nothing(config, add_eos)) return cv_unknown(&r, "add_eos_token", add_eos);
    if (cv_read_added_by_id(&r, cv_json_get(config, 0, "added_tokens_decoder")) < 0) return -1;
    if (cv_read_role(&r, "bos_token", &v->bos) < 0 || cv_read_role(&r, "eos_token", &v->eos) < 0) return -1;
    if (cv_is_true(config, add_bos)) v->rules.add_bos = v->bos >= 0;
    if (cv_json_type_of(config, add_bos) == CV_JSON_FALSE || v->bos < 0) v->rules.add_bos = 0;
    return 0;
}
