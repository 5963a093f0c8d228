/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * read_gguf.c - the tokenizer in a GGUF file: arrays of texts, types, scores or merges, and the name of the rules */
#include "vocab.h"
#include "../containers/gguf.h"

#include <string.h>

enum { UNDEFINED, NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE, N_TYPES }; /* tokenizer.ggml.token_type */

typedef struct reader {
    cv_vocab *v;
    const cv_gguf *g;
    const char *name;
    cv_error *err;
    const cv_gguf_value *tokens, *types, *scores;
    int strips; /* the special tokens take the white space after them */
} reader;

static const cv_gguf_value *find(const reader *r, const char *key)
{
    char full[80] = "tokenizer.ggml.";
    strncat(full, key, sizeof full - strlen(full) - 1);
    return cv_gguf_find(r->g, full);
}

static int unknown(const reader *r, const char *key)
{
    char text[64];
    return cv_fail(r->err, "%s: tokenizer.ggml.%s is %s, which is not supported", r->name, key,
                   cv_gguf_describe(find(r, key), text, sizeof text));
}

static int flag(const reader *r, const char *key, int otherwise)
{
    int64_t value;
    return cv_gguf_integer(find(r, key), &value) ? value != 0 : otherwise;
}

static int32_t token_id(const reader *r, const char *key, int32_t otherwise)
{
    int64_t id;
    if (!cv_gguf_integer(find(r, key), &id)) return otherwise;
    return id >= 0 && id < (int64_t)r->v->n ? (int32_t)id : -1;
}

/* ---- tokens ---- */

/* Phi-3's added tokens, but for a few; GGUF files do not hold this. */
static int strip_flags(const reader *r, const char *text, size_t bytes)
{
    static const char *const others[] = {"<unk>", "<s>", "<|endoftext|>"};
    if (!r->strips) return 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == bytes && memcmp(others[i], text, bytes) == 0) return 0;
    return CV_RSTRIP;
}

static int add_token(reader *r, int64_t id, const char *text, size_t bytes, int type)
{
    static const int types[N_TYPES] = {0, 0, CV_UNKNOWN, CV_CONTROL, CV_USER, 0, 0};
    cv_vocab *v = r->v;
    if (type == UNKNOWN && v->rules.unknown < 0) v->rules.unknown = (int32_t)id;
    if (v->rules.kind == CV_SENTENCEPIECE && cv_is_classic_control(text, bytes)) type = CONTROL;
    if (v->rules.kind != CV_SENTENCEPIECE || type != USER)
        return cv_vocab_add(v, id, text, bytes, types[type], strip_flags(r, text, bytes), r->err);
    if (cv_vocab_set_spaced(v, id, text, bytes, CV_USER, r->err) < 0) return -1;
    const cv_token *t = &v->token[id];
    return cv_vocab_add(v, id, v->text + t->text, t->bytes, CV_USER, strip_flags(r, text, bytes), r->err);
}

static int put_token(reader *r, int64_t id, const char *text, size_t bytes)
{
    int64_t type = NORMAL;
    if (r->types && !cv_gguf_integer_at(r->types, (uint64_t)id, &type)) type = -1;
    if (type < UNDEFINED || type >= N_TYPES)
        return cv_fail(r->err, "%s: token %.0f has no type that is known", r->name, (double)id);
    if (type == UNKNOWN || type == CONTROL || type == USER) return add_token(r, id, text, bytes, (int)type);
    if (type == UNUSED) return cv_vocab_set(r->v, id, text, bytes, CV_UNUSED, r->err);
    if (r->v->rules.kind == CV_SENTENCEPIECE)
        return cv_vocab_set_spaced(r->v, id, text, bytes, type == BYTE ? CV_BYTE : CV_NORMAL, r->err);
    return cv_vocab_set_printable(r->v, id, text, bytes, r->err);
}

static int put_tokens(reader *r)
{
    size_t at = 0, bytes;
    const char *text;
    if (cv_vocab_begin(r->v, (size_t)r->tokens->count, r->err) < 0) return -1;
    for (int64_t id = 0; (text = cv_gguf_next_string(r->tokens, &at, &bytes)) != NULL; id++)
        if (put_token(r, id, text, bytes) < 0) return -1;
    return cv_vocab_index(r->v, r->err);
}

/* ---- SentencePiece: merges from scores ---- */

static int read_scores(reader *r)
{
    if (!r->scores || r->scores->count != r->tokens->count) return unknown(r, "scores");
    for (uint32_t i = 0; i < r->v->n; i++) {
        double score;
        if (!cv_gguf_real_at(r->scores, i, &score) || score != score)
            return cv_fail(r->err, "%s: the score of token %lu is no number", r->name, (unsigned long)i);
        r->v->token[i].score = score;
    }
    return cv_vocab_merges_from_scores(r->v, r->err);
}

static int read_sentencepiece(reader *r)
{
    cv_rules *rules = &r->v->rules;
    rules->kind = CV_SENTENCEPIECE, rules->add_bos = 1;
    if (flag(r, "remove_extra_whitespaces", 0)) return unknown(r, "remove_extra_whitespaces");
    if (put_tokens(r) < 0 || read_scores(r) < 0) return -1;
    rules->spaces = flag(r, "add_space_prefix", 1) ? CV_SPACE_FIRST | CV_SPACE_EACH | CV_SPACE_STRIP : 0;
    r->v->bos = token_id(r, "bos_token_id", 1), r->v->eos = token_id(r, "eos_token_id", 2);
    return 0;
}

/* ---- byte-level BPE: merges as texts, rules by name ---- */

static int merge_part(const char *text, size_t bytes, char *out, size_t *n)
{
    return bytes < 1 || bytes > CV_LONGEST_TOKEN || cv_undo_printable(out, n, text, bytes) < 0;
}

static int read_merges(reader *r)
{
    char left[CV_LONGEST_TOKEN], right[CV_LONGEST_TOKEN];
    const cv_gguf_value *merges = find(r, "merges");
    const char *text;
    size_t at = 0, bytes, n, m;
    if (!merges || !merges->is_array || merges->type != CV_GGUF_STRING) return unknown(r, "merges");
    for (uint32_t rank = 0; (text = cv_gguf_next_string(merges, &at, &bytes)) != NULL; rank++) {
        const char *space = memchr(text, ' ', bytes);
        size_t first = space ? (size_t)(space - text) : 0;
        if (!space || merge_part(text, first, left, &n) || merge_part(space + 1, bytes - first - 1, right, &m))
            return cv_fail(r->err, "%s: merge %lu, \"%.*s\", is not two tokens with a space between", r->name,
                           (unsigned long)rank, (int)(bytes < 80 ? bytes : 80), text);
        if (cv_vocab_merge(r->v, left, n, right, m, rank, r->err) < 0) return -1;
    }
    return 0;
}

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CL100K(digits) "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits \
                       "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define O200K(contraction, digits) \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" contraction \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" contraction \
    "|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define DEEPSEEK_LETTERS \
    "\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}" \
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}" \
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}" \
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}" \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}" \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}" \
    "\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}" \
    "\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}" \
    "\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}" \
    "\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}" \
    "\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}" \
    "\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}" \
    "\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}" \
    "\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}" \
    "\\x{1E900}-\\x{1E943}]+"
#define DEEPSEEK_SIGNS "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
#define HAN "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

/* The names in tokenizer.ggml.pre, and the patterns of the tokenizer.json that each was made from. */
static const struct pre {
    const char *name, *patterns[CV_MOST_STAGES];
    int ignore_merges, add_bos, normalizes;
} pres[] = {{"gpt-2", {GPT2}, 0, 0, 0},
            {"phi-2", {GPT2}, 0, 0, 0},
            {"mpt", {GPT2}, 0, 0, 0},
            {"olmo", {GPT2}, 0, 0, 1},
            {"falcon", {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}, 0, 0, 0},
            {"smollm", {"\\p{N}", GPT2}, 0, 0, 0},
            {"starcoder", {"\\p{N}", GPT2}, 0, 0, 0},
            {"refact", {"\\p{N}", GPT2}, 0, 0, 0},
            {"command-r", {"\\p{N}", GPT2}, 0, 0, 1},
            {"llama-bpe", {CL100K("{1,3}")}, 1, 1, 0},
            {"llama3", {CL100K("{1,3}")}, 1, 1, 0},
            {"llama-v3", {CL100K("{1,3}")}, 1, 1, 0},
            {"falcon3", {CL100K("{1,3}")}, 1, 1, 0},
            {"lfm2", {CL100K("{1,3}")}, 1, 1, 0},
            {"dbrx", {CL100K("{1,3}")}, 0, 0, 0},
            {"smaug-bpe", {CL100K("{1,3}")}, 0, 0, 0},
            {"qwen2", {CL100K("")}, 0, 0, 1},
            {"deepseek-r1-qwen", {CL100K("")}, 0, 0, 1},
            {"stablelm2", {CL100K("")}, 0, 0, 1},
            {"tekken", {O200K("", "")}, 1, 1, 0},
            {"gpt-4o", {O200K(CONTRACTION, "{1,3}")}, 0, 0, 0},
            {"deepseek-llm", {"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_SIGNS, "\\s+$", HAN, "\\p{N}+"}, 0, 0, 0},
            {"deepseek-coder", {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN, "\\p{N}"}, 0, 0, 0},
            {"deepseek-v3",
             {"\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
              "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
              "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}, 0, 0, 0}};

static int cut_words(reader *r, const struct pre *pre)
{
    cv_pattern patterns[CV_MOST_STAGES];
    size_t n = 0;
    for (; n < CV_MOST_STAGES && pre->patterns[n]; n++)
        patterns[n].text = pre->patterns[n], patterns[n].bytes = strlen(pre->patterns[n]);
    return cv_vocab_cut_words(r->v, patterns, n, r->err);
}

static int read_byte_level(reader *r)
{
    const struct pre *pre = NULL;
    cv_rules *rules = &r->v->rules;
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (cv_gguf_is(find(r, "pre"), pres[i].name)) pre = &pres[i];
    if (!pre) return unknown(r, "pre");
    rules->kind = CV_BYTE_LEVEL;
    rules->ignore_merges = pre->ignore_merges, rules->add_bos = pre->add_bos, r->v->normalizes = pre->normalizes;
    if (cut_words(r, pre) < 0 || put_tokens(r) < 0 || read_merges(r) < 0) return -1;
    r->v->bos = token_id(r, "bos_token_id", -1), r->v->eos = token_id(r, "eos_token_id", -1);
    return 0;
}

/* ---- all ---- */

int cv_read_gguf(cv_vocab *v, const cv_gguf *g, const char *name, cv_error *err)
{
    reader r = {v, g, name, err, NULL, NULL, NULL, 0};
    int is_sentencepiece = cv_gguf_is(find(&r, "model"), "llama");
    if (!is_sentencepiece && !cv_gguf_is(find(&r, "model"), "gpt2")) return unknown(&r, "model");
    r.tokens = find(&r, "tokens"), r.types = find(&r, "token_type"), r.scores = find(&r, "scores");
    if (!r.tokens || !r.tokens->is_array || r.tokens->type != CV_GGUF_STRING || r.tokens->count > CV_MOST_TOKENS)
        return unknown(&r, "tokens");
    if (r.types && r.types->count != r.tokens->count) return unknown(&r, "token_type");
    if (flag(&r, "add_eos_token", 0)) return unknown(&r, "add_eos_token");
    r.strips = is_sentencepiece && cv_gguf_is(cv_gguf_find(g, "general.architecture"), "phi3");
    if ((is_sentencepiece ? read_sentencepiece(&r) : read_byte_level(&r)) < 0) return -1;
    /* a byte-level tokenizer leaves out bytes that have no token, whatever token is called unknown */
    v->rules.unknown = is_sentencepiece ? token_id(&r, "unknown_token_id", v->rules.unknown) : -1;
    v->rules.add_bos = flag(&r, "add_bos_token", v->rules.add_bos) && v->bos >= 0;
    return 0;
}
