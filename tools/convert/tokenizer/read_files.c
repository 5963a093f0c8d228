/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * read_files.c - tokenizers in single files: SentencePiece's .model, Llama 3's tiktoken list, llama2.c's .bin */
#include "vocab.h"
#include "../ground/bytes.h"

#include <stdio.h>
#include <string.h>

/* ---- SentencePiece: a protobuf message, read field by field ---- */

typedef struct cv_field {
    uint32_t number, wire;
    uint64_t value;            /* wire 0 and 5 */
    const unsigned char *data; /* wire 2 */
    size_t bytes;
} cv_field;

/* A varint of at most 64 bits; 0 if it does not end in time. */
static int cv_varint(const unsigned char **p, const unsigned char *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        unsigned char byte = *(*p)++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return 1;
    }
    return 0;
}

/* The next field: 1, 0 at the end, -1 if the bytes are no protobuf. */
static int cv_next_field(const unsigned char **p, const unsigned char *end, cv_field *f)
{
    uint64_t tag;
    memset(f, 0, sizeof *f);
    if (*p == end) return 0;
    if (!cv_varint(p, end, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) return -1;
    f->number = (uint32_t)(tag >> 3), f->wire = (uint32_t)(tag & 7);
    if (f->wire == 0) return cv_varint(p, end, &f->value) ? 1 : -1;
    if (f->wire == 2) {
        if (!cv_varint(p, end, &f->value) || f->value > (uint64_t)(end - *p)) return -1;
        f->data = *p, f->bytes = (size_t)f->value;
        *p += f->bytes;
        return 1;
    }
    size_t n = f->wire == 1 ? 8 : f->wire == 5 ? 4 : 0;
    if (n == 0 || (size_t)(end - *p) < n) return -1;
    for (size_t i = 0; i < n; i++) f->value |= (uint64_t)(*p)[i] << (8 * i);
    *p += n;
    return 1;
}

static int cv_not_protobuf(const char *name, cv_error *err)
{
    return cv_fail(err, "%s: not a SentencePiece model, or a damaged one", name);
}

typedef struct cv_piece {
    const char *text;
    size_t bytes;
    double score;
    uint64_t type;
} cv_piece;

static int cv_read_piece(const cv_field *message, cv_piece *piece)
{
    const unsigned char *p = message->data, *end = p + message->bytes;
    cv_field f;
    int more;
    memset(piece, 0, sizeof *piece);
    piece->type = CV_NORMAL;
    while ((more = cv_next_field(&p, end, &f)) > 0) {
        if (f.number == 1 && f.wire == 2) piece->text = (const char *)f.data, piece->bytes = f.bytes;
        if (f.number == 2 && f.wire == 5) {
            uint32_t bits = (uint32_t)f.value;
            float score;
            memcpy(&score, &bits, sizeof score);
            piece->score = (double)score;
        }
        if (f.number == 3 && f.wire == 0) piece->type = f.value;
    }
    return more < 0 || !piece->text || piece->score != piece->score ? -1 : 0;
}

static int cv_put_piece(cv_vocab *v, const cv_piece *piece, const char *name, cv_error *err)
{
    int64_t id = (int64_t)v->n;
    int type = (int)(piece->type & 7);
    if (piece->type < CV_NORMAL || piece->type > CV_BYTE || piece->type == CV_UNUSED)
        return cv_fail(err, "%s: piece %ld has type %.0f, which is not supported", name, (long)id, (double)piece->type);
    if (cv_vocab_set_spaced(v, id, piece->text, piece->bytes, type, err) < 0) return -1;
    cv_token *t = &v->token[id];
    t->score = piece->score;
    if (type == CV_UNKNOWN) v->rules.unknown = (int32_t)id;
    if (type == CV_UNKNOWN || type == CV_CONTROL || type == CV_USER)
        return cv_vocab_add(v, id, v->text + t->text, t->bytes, type, 0, err);
    return 0;
}

/* trainer_spec: the kind of model and the ids of its control tokens. */
static int cv_read_trainer(cv_vocab *v, const cv_field *message, const char *name, cv_error *err)
{
    const unsigned char *p = message->data, *end = p + message->bytes;
    uint64_t model_type = 1, byte_fallback = 0, suffix = 0, bos = 1, eos = 2;
    cv_field f;
    int more;
    while ((more = cv_next_field(&p, end, &f)) > 0) {
        if (f.wire != 0) continue;
        if (f.number == 3) model_type = f.value;
        if (f.number == 24) suffix = f.value;
        if (f.number == 35) byte_fallback = f.value;
        if (f.number == 41) bos = f.value;
        if (f.number == 42) eos = f.value;
    }
    if (more < 0) return cv_not_protobuf(name, err);
    if (model_type != 2)
        return cv_fail(err, "%s: model_type is %.0f, not 2 (BPE): not supported", name, (double)model_type);
    if (suffix) return cv_fail(err, "%s: treat_whitespace_as_suffix is true, which is not supported", name);
    if (!byte_fallback) return cv_fail(err, "%s: byte_fallback is false, which is not supported", name);
    v->bos = bos < v->n ? (int32_t)bos : -1; /* -1 is written as a huge number: the model has none */
    v->eos = eos < v->n ? (int32_t)eos : -1;
    return 0;
}

static int cv_read_normalizer(cv_vocab *v, const cv_field *message, const char *name, cv_error *err)
{
    const unsigned char *p = message->data, *end = p + message->bytes;
    uint64_t prefix = 1, squeeze = 1, escape = 1, map = 0;
    cv_field f;
    int more;
    while ((more = cv_next_field(&p, end, &f)) > 0) {
        if (f.number == 2 && f.wire == 2) map = f.bytes;
        if (f.wire != 0) continue;
        if (f.number == 3) prefix = f.value;
        if (f.number == 4) squeeze = f.value;
        if (f.number == 5) escape = f.value;
    }
    if (more < 0) return cv_not_protobuf(name, err);
    if (map) return cv_fail(err, "%s: it normalizes characters (precompiled_charsmap), which is not supported", name);
    if (squeeze)
        return cv_fail(err, "%s: remove_extra_whitespaces is true: runs of spaces become one, and none begins or ends "
                            "a text, which a .harp file cannot say; a tokenizer.json or llama2.c's tokenizer.bin of "
                            "this model, if there is one, keeps all spaces and can be converted", name);
    if (!escape) return cv_fail(err, "%s: escape_whitespaces is false, which is not supported", name);
    v->rules.spaces = prefix ? CV_SPACE_FIRST | CV_SPACE_EACH | CV_SPACE_STRIP : 0;
    return 0;
}

static int cv_read_pieces(cv_vocab *v, const unsigned char *p, const unsigned char *end, cv_field *trainer,
                          cv_field *normalizer, const char *name, cv_error *err)
{
    cv_field f;
    int more;
    while ((more = cv_next_field(&p, end, &f)) > 0) {
        cv_piece piece;
        if (f.wire != 2) continue;
        if (f.number == 2) *trainer = f;
        if (f.number == 3) *normalizer = f;
        if (f.number != 1) continue;
        if (cv_read_piece(&f, &piece) < 0) return cv_not_protobuf(name, err);
        if (cv_put_piece(v, &piece, name, err) < 0) return -1;
    }
    return more < 0 || v->n == 0 ? cv_not_protobuf(name, err) : 0;
}

int cv_read_sentencepiece(cv_vocab *v, const char *text, size_t bytes, const char *name, cv_error *err)
{
    const unsigned char *p = (const unsigned char *)text;
    cv_field trainer, normalizer;
    memset(&trainer, 0, sizeof trainer);
    memset(&normalizer, 0, sizeof normalizer);
    trainer.data = normalizer.data = p;
    if (cv_vocab_begin(v, bytes / 4 + 1, err) < 0) return -1; /* a piece takes four bytes at least */
    v->rules.kind = CV_SENTENCEPIECE, v->rules.add_bos = 1;
    if (cv_read_pieces(v, p, p + bytes, &trainer, &normalizer, name, err) < 0
        || cv_read_trainer(v, &trainer, name, err) < 0 || cv_read_normalizer(v, &normalizer, name, err) < 0
        || cv_vocab_index(v, err) < 0)
        return -1;
    if (v->bos < 0) v->rules.add_bos = 0;
    return cv_vocab_merges_from_scores(v, err);
}

/* ---- tiktoken: lines of base64 and a rank, which is the id ---- */

enum { CV_LLAMA3_RANKS = 128000, CV_LLAMA3_SPECIAL = 256 };

static int cv_base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* n digits and their padding; -1 if they are not base64. out has room for 3/4 of them. */
static int cv_undo_base64(const char *text, size_t n, char *out, size_t *out_bytes)
{
    uint32_t bits = 0;
    int n_bits = 0;
    size_t at = 0, pad = 0;
    if (n == 0 || n % 4 != 0) return -1;
    while (pad < 2 && text[n - 1] == '=') n--, pad++;
    for (size_t i = 0; i < n; i++) {
        int digit = cv_base64_digit(text[i]);
        if (digit < 0) return -1;
        bits = (bits << 6 | (uint32_t)digit) & 0xFFFFFF, n_bits += 6;
        if (n_bits >= 8) n_bits -= 8, out[at++] = (char)(bits >> n_bits & 0xFF);
    }
    *out_bytes = at;
    return 0;
}

/* One line "base64 rank"; ranks count from 0. The score makes a low rank join first. */
static int cv_read_rank(cv_vocab *v, const char *line, size_t n, const char *name, cv_error *err)
{
    char token[CV_LONGEST_TOKEN];
    const char *space = memchr(line, ' ', n);
    size_t digits = space ? (size_t)(space - line) : 0, bytes = 0, i = digits + 1;
    int64_t rank = 0;
    if (!space || digits / 4 * 3 > sizeof token || cv_undo_base64(line, digits, token, &bytes) < 0 || i == n)
        return cv_fail(err, "%s: line %lu is not a token in base64 and a rank", name, (unsigned long)v->n + 1);
    for (; i < n && line[i] >= '0' && line[i] <= '9' && rank < CV_MOST_TOKENS; i++) rank = rank * 10 + (line[i] - '0');
    if (i != n || rank != (int64_t)v->n)
        return cv_fail(err, "%s: line %lu does not have the rank %lu", name, (unsigned long)v->n + 1,
                       (unsigned long)v->n);
    if (cv_vocab_set(v, rank, token, bytes, CV_NORMAL, err) < 0) return -1;
    v->token[rank].score = -(double)rank;
    return 0;
}

/* The 256 names after the ranks, as Llama 3.1 to 3.3 have them (3.0 calls some of them reserved). The file does not
 * hold them. */
static int cv_add_llama3_names(cv_vocab *v, cv_error *err)
{
    static const char *const names[] = {
        "<|begin_of_text|>", "<|end_of_text|>", NULL, NULL, "<|finetune_right_pad_id|>", NULL, "<|start_header_id|>",
        "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"};
    int reserved = 0;
    for (int i = 0; i < CV_LLAMA3_SPECIAL; i++) {
        char text[64];
        const char *known = i < (int)(sizeof names / sizeof *names) ? names[i] : NULL;
        if (known) snprintf(text, sizeof text, "%s", known);
        else snprintf(text, sizeof text, "<|reserved_special_token_%d|>", reserved++);
        if (cv_vocab_add(v, CV_LLAMA3_RANKS + i, text, strlen(text), CV_CONTROL, 0, err) < 0) return -1;
    }
    v->bos = CV_LLAMA3_RANKS, v->eos = CV_LLAMA3_RANKS + 1;
    return 0;
}

int cv_read_tiktoken(cv_vocab *v, const char *text, size_t bytes, const char *name, cv_error *err)
{
    static const cv_rules llama3 = {CV_BYTE_LEVEL, -1, 1, 0, 1, 2, 1, 0, 3, 0, 1, 1, 0};
    if (cv_vocab_begin(v, bytes / 7 + CV_LLAMA3_SPECIAL + 1, err) < 0) return -1; /* "IQ== 0" and a newline */
    v->rules = llama3;
    for (size_t at = 0; at < bytes;) {
        const char *line = text + at, *newline = memchr(line, '\n', bytes - at);
        size_t n = newline ? (size_t)(newline - line) : bytes - at;
        at += n + 1;
        if (n > 0 && line[n - 1] == '\r') n--;
        if (n > 0 && cv_read_rank(v, line, n, name, err) < 0) return -1;
    }
    if (v->n != CV_LLAMA3_RANKS)
        return cv_fail(err, "%s: a tiktoken list of %lu tokens; only Llama 3's, of %d, is known", name,
                       (unsigned long)v->n, CV_LLAMA3_RANKS);
    if (cv_vocab_index(v, err) < 0 || cv_vocab_merges_from_scores(v, err) < 0) return -1;
    return cv_add_llama3_names(v, err);
}

/* ---- llama2.c: the longest token's length, then score, length and bytes of each ---- */

/* Ids 0, 1 and 2 are <unk>, <s> and </s> (the last two written between newlines), then come 256 bytes. */
static int cv_put_llama2c(cv_vocab *v, const char *text, size_t bytes, double score, cv_error *err)
{
    static const char *const control[] = {"<unk>", "<s>", "</s>"};
    uint32_t id = v->n;
    if (id < 3) return cv_vocab_add(v, id, control[id], strlen(control[id]), id ? CV_CONTROL : CV_UNKNOWN, 0, err);
    if (id < 259) {
        char name[16];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)(id - 3));
        if (bytes != 6 || memcmp(text, name, 6) != 0)
            return cv_fail(err, "token %lu is not %s, as in llama2.c's files", (unsigned long)id, name);
        return cv_vocab_set_spaced(v, id, text, bytes, CV_BYTE, err);
    }
    if (cv_vocab_set(v, id, text, bytes, CV_NORMAL, err) < 0) return -1;
    v->token[id].score = score;
    return 0;
}

int cv_read_llama2c(cv_vocab *v, const char *text, size_t bytes, const char *name, cv_error *err)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + bytes;
    uint32_t longest = bytes >= 4 ? cv_u32(p) : 0;
    if (longest < 1 || longest > CV_LONGEST_TOKEN) return cv_fail(err, "%s: not a tokenizer of llama2.c", name);
    if (cv_vocab_begin(v, bytes / 8 + 1, err) < 0) return -1; /* a token takes eight bytes at least */
    for (p += 4; p < end;) {
        uint32_t score_bits, n;
        float score;
        if (end - p < 8 || (n = cv_u32(p + 4)) > (size_t)(end - p) - 8)
            return cv_fail(err, "%s: cut off in token %lu", name, (unsigned long)v->n);
        score_bits = cv_u32(p);
        memcpy(&score, &score_bits, sizeof score);
        if (score != score) return cv_fail(err, "%s: the score of token %lu is no number", name, (unsigned long)v->n);
        if (cv_put_llama2c(v, (const char *)p + 8, n, (double)score, err) < 0) return -1;
        p += 8 + n;
    }
    if (v->n < 259) return cv_fail(err, "%s: fewer than 259 tokens", name);
    v->rules.kind = CV_SENTENCEPIECE, v->rules.add_bos = 1, v->rules.unknown = 0;
    v->rules.spaces = CV_SPACE_FIRST | CV_SPACE_EACH | CV_SPACE_STRIP;
    v->bos = 1, v->eos = 2;
    return cv_vocab_index(v, err) < 0 ? -1 : cv_vocab_merges_from_scores(v, err);
}
