/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * vocab.c - see vocab.h. Sorting is heap sort and looking up is binary search: no input makes them slow. */
#include "vocab.h"
#include "unicode.h"
#include "../ground/characters.h"
#include "../ground/sort.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_TEXT = 4096 };

int cv_vocab_begin(cv_vocab *v, size_t limit, cv_error *err)
{
    if (limit > CV_MOST_TOKENS) limit = CV_MOST_TOKENS;
    v->limit = (uint32_t)limit;
    v->token = cv_alloc(limit, sizeof *v->token, err);
    v->text = v->token ? cv_alloc(FIRST_TEXT, 1, err) : NULL; /* there even if no token has a text */
    v->text_capacity = v->text ? FIRST_TEXT : 0;
    v->bos = v->eos = v->rules.unknown = -1;
    return v->text ? 0 : -1;
}

void cv_vocab_free(cv_vocab *v)
{
    free(v->token);
    free(v->text);
    free(v->index);
    free(v->merge);
    cv_words_free(&v->words);
    memset(v, 0, sizeof *v);
}

/* ---- texts of other alphabets ---- */

/* Never fails; returns 1 if there was a literal space, which SentencePiece would have written as U+2581. */
int cv_undo_spaces(char *out, size_t *out_bytes, const char *text, size_t bytes)
{
    int literal = 0;
    size_t n = 0;
    for (size_t i = 0; i < bytes;) {
        literal |= text[i] == ' ';
        if (bytes - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0) out[n++] = ' ', i += 3;
        else out[n++] = text[i++];
    }
    *out_bytes = n;
    return literal;
}

/* GPT-2 writes a byte as the character of that number if it prints; the 68 others, in order, as U+0100 and on. */
int cv_undo_printable(char *out, size_t *out_bytes, const char *text, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char lead = (unsigned char)text[i];
        unsigned c = lead;
        if (lead >= 0x80) {
            if ((lead & 0xE0) != 0xC0 || i + 1 == bytes) return -1;
            c = (lead & 0x1Fu) << 6 | ((unsigned char)text[++i] & 0x3Fu);
        }
        if (c >= 256) {
            c -= 256;
            if (c >= 68) return -1;
            c = c < 33 ? c : c < 67 ? c - 33 + 127 : 173;
        } else if (c < 33 || (c > 126 && c < 161) || c == 173) {
            return -1;
        }
        out[n++] = (char)c;
    }
    *out_bytes = n;
    return 0;
}

static int cv_byte_of_name(const char *text, size_t bytes)
{
    if (bytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>' || hex_digit(text[3]) < 0 || hex_digit(text[4]) < 0)
        return -1;
    return hex_digit(text[3]) * 16 + hex_digit(text[4]);
}

/* ---- setting tokens ---- */

static int cv_store_text(cv_vocab *v, cv_token *t, const char *text, size_t bytes, cv_error *err)
{
    if (bytes > CV_LONGEST_TOKEN)
        return cv_fail(err, "token %ld has %lu bytes; the longest possible is %d", (long)(t - v->token),
                       (unsigned long)bytes, CV_LONGEST_TOKEN);
    if (bytes > v->text_capacity - v->text_bytes) {
        size_t more = v->text_capacity + v->text_capacity / 2 + bytes + 65536;
        char *grown = more < 1u << 30 ? cv_grow(v->text, more, 1, err) : NULL;
        if (!grown) return cv_fail(err, "the vocabulary's text is too large");
        v->text = grown, v->text_capacity = more;
    }
    if (bytes) memcpy(v->text + v->text_bytes, text, bytes);
    t->text = (uint32_t)v->text_bytes, t->bytes = (uint32_t)bytes;
    v->text_bytes += bytes;
    return 0;
}

int cv_vocab_set(cv_vocab *v, int64_t id, const char *text, size_t bytes, int type, cv_error *err)
{
    if (id < 0 || id >= (int64_t)v->limit)
        return cv_fail(err, "token id %.0f is negative, or far beyond the number of tokens", (double)id);
    cv_token *t = &v->token[id];
    if (t->there) return cv_fail(err, "token id %ld is given to two tokens", (long)id);
    t->there = 1, t->type = (uint8_t)type;
    if (id >= (int64_t)v->n) v->n = (uint32_t)id + 1;
    return cv_store_text(v, t, text, bytes, err);
}

int cv_vocab_set_spaced(cv_vocab *v, int64_t id, const char *text, size_t bytes, int type, cv_error *err)
{
    char clean[CV_LONGEST_TOKEN];
    size_t n;
    int byte = type == CV_NORMAL || type == CV_BYTE ? cv_byte_of_name(text, bytes) : -1;
    if (byte >= 0) {
        clean[0] = (char)byte;
        return cv_vocab_set(v, id, clean, 1, CV_BYTE, err);
    }
    if (type == CV_BYTE) return cv_fail(err, "the byte token %ld is not named <0xHH>", (long)id);
    if (bytes > sizeof clean) return cv_vocab_set(v, id, text, bytes, type, err); /* refuses it */
    int literal = cv_undo_spaces(clean, &n, text, bytes);
    if (cv_vocab_set(v, id, clean, n, type, err) < 0) return -1;
    v->token[id].hidden = (uint8_t)literal;
    return 0;
}

int cv_vocab_set_printable(cv_vocab *v, int64_t id, const char *text, size_t bytes, cv_error *err)
{
    char clean[CV_LONGEST_TOKEN];
    size_t n;
    if (bytes <= sizeof clean && cv_undo_printable(clean, &n, text, bytes) == 0)
        return cv_vocab_set(v, id, clean, n, CV_NORMAL, err);
    if (cv_vocab_set(v, id, text, bytes, CV_NORMAL, err) < 0) return -1;
    v->token[id].hidden = 1;
    return 0;
}

int cv_vocab_add(cv_vocab *v, int64_t id, const char *text, size_t bytes, int type, int flags, cv_error *err)
{
    if (bytes < 1 || bytes > CV_LONGEST_ADDED)
        return cv_fail(err, "added token %.0f has %lu bytes of text; possible are 1 to %d", (double)id,
                       (unsigned long)bytes, CV_LONGEST_ADDED);
    if (id < 0 || id >= (int64_t)v->limit || !v->token[id].there) {
        if (cv_vocab_set(v, id, text, bytes, type, err) < 0) return -1;
    }
    cv_token *t = &v->token[id];
    if (t->bytes != bytes || memcmp(v->text + t->text, text, bytes) != 0)
        if (cv_store_text(v, t, text, bytes, err) < 0) return -1; /* its name, not the text that merges would make */
    t->type = (uint8_t)type, t->added = (uint8_t)(CV_IS_ADDED | flags);
    return 0;
}

/* ---- added tokens and normalized text ---- */

/* Which ASCII characters a combining mark can join. */
static void cv_find_joining(unsigned char *joins)
{
    memset(joins, 0, 128);
    for (size_t i = 0; i < cv_n_decompositions; i++)
        if (cv_decompositions[i][0] & CV_JOINS && cv_decompositions[i][1] < 128) joins[cv_decompositions[i][1]] = 1;
}

/* Form NFC leaves an ASCII text alone wherever it stands, if no mark can join its last letter. */
static int cv_is_settled(const unsigned char *joins, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] >= 0x80) return 0;
    return !joins[(unsigned char)text[bytes - 1]];
}

static int cv_has_space(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == ' ' || (bytes - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0)) return 1;
    return 0;
}

int cv_vocab_check_added(const cv_vocab *v, char *note, size_t capacity, cv_error *err)
{
    uint32_t n = 0, first = 0;
    unsigned char joins[128];
    cv_find_joining(joins);
    for (uint32_t i = 0; i < v->n; i++) {
        const cv_token *t = &v->token[i];
        const char *text = v->text + t->text;
        if (!(t->added & CV_NORMALIZED)) continue;
        int moves = v->rewrites & CV_REWRITES_BEGIN || (v->rewrites && cv_has_space(text, t->bytes));
        if (!moves && (!v->normalizes || cv_is_settled(joins, text, t->bytes))) continue;
        if (moves && t->type == CV_USER)
            return cv_fail(err, "the added token \"%.*s\" has normalized true, but the normalizer changes spaces: not "
                           "supported", (int)(t->bytes < 80 ? t->bytes : 80), text);
        if (n++ == 0) first = i;
    }
    if (n == 0) return 0;
    const cv_token *t = &v->token[first];
    snprintf(note, capacity, "\"%.*s\" %s with normalized true: found wherever the name stands, not only where %s",
             (int)(t->bytes < 80 ? t->bytes : 80), v->text + t->text,
             n > 1 ? "and others are added tokens" : "is an added token",
             v->rewrites ? "a space or the text's begin is before it" : "no combining mark follows");
    return 0;
}

/* ---- finding tokens ---- */

static int cv_compare_tokens(const cv_vocab *v, uint32_t a, uint32_t b)
{
    const cv_token *x = &v->token[a], *y = &v->token[b];
    size_t both = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = both ? memcmp(v->text + x->text, v->text + y->text, both) : 0;
    if (order == 0) order = (x->bytes > y->bytes) - (x->bytes < y->bytes);
    return order;
}

static int cv_by_text(const void *a, const void *b, const void *vocab) /* then by id */
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = cv_compare_tokens(vocab, x, y);
    return order ? order : (x > y) - (x < y);
}

static void cv_sort_tokens(const cv_vocab *v, uint32_t *ids, size_t n)
{
    heap_sort(ids, n, sizeof *ids, cv_by_text, v);
}

/* Keeps the lowest id of each text; returns how many are left. */
static uint32_t cv_drop_twins(const cv_vocab *v, uint32_t *ids, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || cv_compare_tokens(v, ids[kept - 1], ids[i]) != 0) ids[kept++] = ids[i];
    return kept;
}

int cv_vocab_index(cv_vocab *v, cv_error *err)
{
    uint32_t n = 0;
    free(v->index);
    v->index = cv_alloc(v->n, sizeof *v->index, err);
    if (!v->index) return -1;
    for (uint32_t i = 0; i < v->n; i++)
        if (v->token[i].there && v->token[i].type == CV_NORMAL && !v->token[i].hidden && v->token[i].bytes > 0)
            v->index[n++] = i;
    cv_sort_tokens(v, v->index, n);
    v->n_index = cv_drop_twins(v, v->index, n);
    return 0;
}

int64_t cv_vocab_find(const cv_vocab *v, const char *text, size_t bytes)
{
    uint32_t low = 0, high = v->n_index;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const cv_token *t = &v->token[v->index[middle]];
        size_t both = t->bytes < bytes ? t->bytes : bytes;
        int order = both ? memcmp(text, v->text + t->text, both) : 0;
        if (order == 0) order = (bytes > t->bytes) - (bytes < t->bytes);
        if (order == 0) return v->index[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return -1;
}

int64_t cv_vocab_find_any(const cv_vocab *v, const char *text, size_t bytes)
{
    for (uint32_t i = 0; i < v->n; i++) {
        const cv_token *t = &v->token[i];
        if (t->there && t->bytes == bytes && memcmp(v->text + t->text, text, bytes) == 0) return i;
    }
    return -1;
}

/* ---- merges ---- */

static int cv_put_merge(cv_vocab *v, cv_merge merge, cv_error *err)
{
    if (v->n_merges == v->merge_capacity) {
        size_t more = v->merge_capacity + v->merge_capacity / 2 + 4096;
        if (more > 1u << 28) return cv_fail(err, "too many merges");
        cv_merge *grown = cv_grow(v->merge, more, sizeof *grown, err);
        if (!grown) return -1;
        v->merge = grown, v->merge_capacity = more;
    }
    v->merge[v->n_merges++] = merge;
    return 0;
}

int cv_vocab_merge(cv_vocab *v, const char *left, size_t left_bytes, const char *right, size_t right_bytes,
                   uint32_t rank, cv_error *err)
{
    char both[2 * CV_LONGEST_TOKEN];
    int64_t l = cv_vocab_find(v, left, left_bytes), r = cv_vocab_find(v, right, right_bytes), result = -1;
    cv_merge merge;
    if (l >= 0 && r >= 0) {
        memcpy(both, left, left_bytes);
        memcpy(both + left_bytes, right, right_bytes);
        result = cv_vocab_find(v, both, left_bytes + right_bytes);
    }
    if (result < 0)
        return cv_fail(err, "merge %lu (\"%.*s\" and \"%.*s\") cannot be: %s is not in the vocabulary",
                       (unsigned long)rank, (int)(left_bytes < 80 ? left_bytes : 80), left,
                       (int)(right_bytes < 80 ? right_bytes : 80), right,
                       l < 0 ? "the first part" : r < 0 ? "the second part" : "the result");
    merge.left = (uint32_t)l, merge.right = (uint32_t)r, merge.rank = rank, merge.result = (uint32_t)result;
    return cv_put_merge(v, merge, err);
}

static int cv_highest_first(const void *a, const void *b, const void *user)
{
    double x = *(const double *)a, y = *(const double *)b;
    (void)user;
    return (x < y) - (x > y);
}

/* Rank of a score: how many different scores are higher. */
static uint32_t cv_rank_of(const double *scores, size_t n, double score)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (scores[middle] > score) low = middle + 1;
        else high = middle;
    }
    return (uint32_t)low;
}

/* The tokens that a token begins (or ends) with, as chains: begins[id] is the longest other token that token id begins
 * with, begins of that the next shorter one, ...; CV_NO_TOKEN ends a chain. */
typedef struct cv_chains {
    uint32_t *begins, *ends;            /* [v->n] */
    uint32_t at[CV_LONGEST_TOKEN + 1];  /* those that the token at hand ends with, by length; otherwise CV_NO_TOKEN */
} cv_chains;

#define CV_NO_TOKEN UINT32_MAX

static int cv_by_end(const void *a, const void *b, const void *vocab)
{
    const cv_vocab *v = vocab;
    const cv_token *x = &v->token[*(const uint32_t *)a], *y = &v->token[*(const uint32_t *)b];
    const char *s = v->text + x->text + x->bytes, *t = v->text + y->text + y->bytes;
    for (size_t left = x->bytes < y->bytes ? x->bytes : y->bytes; left > 0; left--)
        if (*--s != *--t) return (unsigned char)*s < (unsigned char)*t ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int cv_begins_with(const cv_vocab *v, uint32_t id, uint32_t part, int at_end)
{
    const cv_token *t = &v->token[id], *p = &v->token[part];
    const char *text = v->text + t->text;
    if (p->bytes >= t->bytes) return 0;
    return memcmp(at_end ? text + (t->bytes - p->bytes) : text, v->text + p->text, p->bytes) == 0;
}

/* ids: sorted by text, or by text from the end. What a token begins with is the token right before it, or in that one's
 * chain. A token that fails is out of the chain of all that follow, so the comparisons read each text about twice. */
static void cv_link(const cv_vocab *v, const uint32_t *ids, size_t n, int at_end, uint32_t *link)
{
    uint32_t part = CV_NO_TOKEN;
    for (size_t i = 0; i < n; part = ids[i++]) {
        while (part != CV_NO_TOKEN && !cv_begins_with(v, ids[i], part, at_end)) part = link[part];
        link[ids[i]] = part;
    }
}

static int cv_make_chains(const cv_vocab *v, cv_chains *c, cv_error *err)
{
    uint32_t *ids = cv_alloc(v->n_index, sizeof *ids, err);
    c->begins = ids ? cv_alloc(v->n, sizeof *c->begins, err) : NULL;
    c->ends = c->begins ? cv_alloc(v->n, sizeof *c->ends, err) : NULL;
    if (c->ends) {
        memcpy(ids, v->index, v->n_index * sizeof *ids);
        cv_link(v, ids, v->n_index, 0, c->begins);
        heap_sort(ids, v->n_index, sizeof *ids, cv_by_end, v);
        cv_link(v, ids, v->n_index, 1, c->ends);
        for (int i = 0; i <= CV_LONGEST_TOKEN; i++) c->at[i] = CV_NO_TOKEN;
    }
    free(ids);
    return c->ends ? 0 : -1;
}

static int cv_split_token(cv_vocab *v, cv_chains *c, uint32_t id, uint32_t rank, cv_error *err)
{
    uint32_t bytes = v->token[id].bytes;
    int failed = 0;
    for (uint32_t end = c->ends[id]; end != CV_NO_TOKEN; end = c->ends[end]) c->at[v->token[end].bytes] = end;
    for (uint32_t left = c->begins[id]; !failed && left != CV_NO_TOKEN; left = c->begins[left]) {
        cv_merge merge = {left, c->at[bytes - v->token[left].bytes], rank, id};
        if (merge.right != CV_NO_TOKEN) failed = cv_put_merge(v, merge, err) < 0;
    }
    for (uint32_t end = c->ends[id]; end != CV_NO_TOKEN; end = c->ends[end]) c->at[v->token[end].bytes] = CV_NO_TOKEN;
    if (!failed && v->n_merges > (size_t)CV_MOST_SPLITS * v->n)
        failed = cv_fail(err, "the tokens are made of each other in more than %d ways each, which no trained "
                              "vocabulary is: is the file damaged?", (int)CV_MOST_SPLITS);
    return failed ? -1 : 0;
}

/* scores [n]: different ones, highest first */
static int cv_split_tokens(cv_vocab *v, const double *scores, size_t n, cv_error *err)
{
    cv_chains *c = cv_alloc(1, sizeof *c, err);
    int failed = !c || cv_make_chains(v, c, err) < 0;
    for (uint32_t i = 0; !failed && i < v->n_index; i++)
        failed = cv_split_token(v, c, v->index[i], cv_rank_of(scores, n, v->token[v->index[i]].score), err) < 0;
    if (c) {
        free(c->begins);
        free(c->ends);
    }
    free(c);
    return failed ? -1 : 0;
}

int cv_vocab_merges_from_scores(cv_vocab *v, cv_error *err)
{
    size_t n = 0;
    double *scores = cv_alloc(v->n_index, sizeof *scores, err);
    if (!scores) return -1;
    for (uint32_t i = 0; i < v->n_index; i++) scores[i] = v->token[v->index[i]].score;
    heap_sort(scores, v->n_index, sizeof *scores, cv_highest_first, NULL);
    for (uint32_t i = 0; i < v->n_index; i++)
        if (n == 0 || scores[n - 1] != scores[i]) scores[n++] = scores[i];
    int failed = cv_split_tokens(v, scores, n, err);
    free(scores);
    return failed;
}

/* ---- writing ---- */

static void cv_put_u32(unsigned char *out, size_t i, uint32_t value)
{
    for (int k = 0; k < 4; k++) out[4 * i + (size_t)k] = (unsigned char)(value >> (8 * k));
}

static int cv_write_texts(const cv_vocab *v, uint32_t n, cv_meta *meta, cv_error *err)
{
    size_t at = 0, most = v->text_bytes;
    unsigned char *offsets = cv_alloc((size_t)n + 1, 4, err), *types = cv_alloc(n, 1, err);
    unsigned char *text = cv_alloc(most, 1, err);
    int failed = !offsets || !types || !text;
    for (uint32_t i = 0; !failed && i <= n; i++) {
        cv_put_u32(offsets, i, (uint32_t)at);
        if (i == n) break;
        const cv_token *t = i < v->n && v->token[i].there ? &v->token[i] : NULL;
        types[i] = t ? t->type : CV_UNUSED;
        if (t && t->bytes) memcpy(text + at, v->text + t->text, t->bytes); /* each text has its own place in v->text */
        at += t ? t->bytes : 0;
    }
    failed = failed || cv_meta_bytes(meta, "tokenizer.offsets", offsets, 4 * ((size_t)n + 1), err) < 0
             || cv_meta_bytes(meta, "tokenizer.text", text, at, err) < 0
             || cv_meta_bytes(meta, "tokenizer.types", types, n, err) < 0;
    free(offsets);
    free(types);
    free(text);
    return failed ? -1 : 0;
}

/* Ids, `stride` values each: the id and, for added tokens, the strip bits. */
static int cv_write_ids(const cv_vocab *v, const char *key, const uint32_t *ids, uint32_t n, uint32_t stride,
                        cv_meta *meta, cv_error *err)
{
    unsigned char *out = cv_alloc((size_t)n * stride, 4, err);
    if (!out) return -1;
    for (uint32_t i = 0; i < n; i++) {
        cv_put_u32(out, (size_t)i * stride, ids[i]);
        if (stride == 2) cv_put_u32(out, 2 * (size_t)i + 1, v->token[ids[i]].added & (CV_LSTRIP | CV_RSTRIP));
    }
    int failed = cv_meta_bytes(meta, key, out, 4 * (size_t)n * stride, err);
    free(out);
    return failed;
}

static int cv_write_lists(cv_vocab *v, cv_meta *meta, cv_error *err)
{
    uint32_t bytes[256], n = 0, *added;
    if (cv_vocab_index(v, err) < 0) return -1; /* anew: added tokens are no longer normal */
    for (unsigned b = 0; b < 256; b++) {
        char c = (char)b;
        int64_t id = v->rules.kind == CV_BYTE_LEVEL ? cv_vocab_find(v, &c, 1) : -1;
        bytes[b] = id < 0 ? UINT32_MAX : (uint32_t)id;
    }
    added = cv_alloc(v->n, sizeof *added, err);
    if (!added) return -1;
    for (uint32_t i = v->n; i-- > 0;) {
        const cv_token *t = &v->token[i];
        if (t->there && t->type == CV_BYTE) bytes[(unsigned char)v->text[t->text]] = i; /* the lowest id, if several */
        if (t->there && t->added) added[n++] = i;
    }
    cv_sort_tokens(v, added, n);
    n = cv_drop_twins(v, added, n);
    int failed = cv_write_ids(v, "tokenizer.sorted", v->index, v->n_index, 1, meta, err) < 0
                 || cv_write_ids(v, "tokenizer.bytes", bytes, 256, 1, meta, err) < 0
                 || cv_write_ids(v, "tokenizer.added", added, n, 2, meta, err) < 0;
    free(added);
    return failed ? -1 : 0;
}

/* Merges of one left token: right, rank, result. */
static int cv_by_right(const void *a, const void *b, const void *user)
{
    const uint32_t *x = a, *y = b;
    (void)user;
    if (x[0] != y[0]) return x[0] < y[0] ? -1 : 1;
    return (x[1] < y[1]) - (x[1] > y[1]); /* the last listed first: it is the one that counts */
}

/* Puts merges with the same left token beside each other: first[i] becomes the place of token i's, first[n] the end. */
static void cv_group_merges(const cv_vocab *v, uint32_t *first, uint32_t n, uint32_t (*row)[3])
{
    for (size_t i = 0; i < v->n_merges; i++) first[v->merge[i].left + 1]++;
    for (uint32_t i = 0; i < n; i++) first[i + 1] += first[i];
    for (size_t i = 0; i < v->n_merges; i++) {
        const cv_merge *m = &v->merge[i];
        uint32_t *to = row[first[m->left]++];
        to[0] = m->right, to[1] = m->rank, to[2] = m->result;
    }
    for (uint32_t i = n; i > 0; i--) first[i] = first[i - 1]; /* each has moved on to where the next begins */
    first[0] = 0;
}

/* Sorts each token's, and keeps one of each pair. */
static void cv_settle_merges(uint32_t *first, uint32_t n, uint32_t (*row)[3])
{
    uint32_t kept = 0;
    for (uint32_t i = 0, begin = 0, end; i < n; i++, begin = end) {
        end = first[i + 1], first[i] = kept;
        heap_sort(row + begin, end - begin, sizeof *row, cv_by_right, NULL);
        for (uint32_t k = begin; k < end; k++)
            if (k == begin || row[kept - 1][0] != row[k][0]) memmove(row[kept++], row[k], sizeof *row);
    }
    first[n] = kept;
}

static int cv_write_rules(const cv_rules *r, cv_meta *meta, cv_error *err)
{
    const struct {
        const char *key;
        int32_t value;
    } rules[] = {{"tokenizer.kind", r->kind},
                 {"tokenizer.unknown", r->unknown},
                 {"tokenizer.add_bos", r->add_bos},
                 {"tokenizer.spaces", r->spaces},
                 {"tokenizer.ignore_merges", r->ignore_merges},
                 {"tokenizer.contractions", r->contractions},
                 {"tokenizer.any_lead", r->any_lead},
                 {"tokenizer.number_lead", r->number_lead},
                 {"tokenizer.number_digits", r->number_digits},
                 {"tokenizer.lone_digits", r->lone_digits},
                 {"tokenizer.sign_newlines", r->sign_newlines},
                 {"tokenizer.newline_runs", r->newline_runs}};
    size_t n = r->kind == CV_BYTE_LEVEL ? sizeof rules / sizeof rules[0] : 5;
    for (size_t i = 0; i < n; i++)
        if (cv_meta_integer(meta, rules[i].key, rules[i].value, err) < 0) return -1;
    if (r->unknown_whole && cv_meta_integer(meta, "tokenizer.unknown_whole", r->unknown_whole, err) < 0) return -1;
    return 0;
}

/* A table of u32, width values to a row. */
static int cv_write_table(const char *key, const uint32_t *values, size_t rows, size_t width, cv_meta *meta,
                          cv_error *err)
{
    unsigned char *out = cv_alloc(rows * width, 4, err);
    if (!out) return -1;
    for (size_t i = 0; i < rows * width; i++) cv_put_u32(out, i, values[i]);
    int failed = cv_meta_bytes(meta, key, out, 4 * rows * width, err);
    free(out);
    return failed;
}

static int cv_write_merges(cv_vocab *v, uint32_t n, cv_meta *meta, cv_error *err)
{
    uint32_t *first = cv_alloc((size_t)n + 1, sizeof *first, err);
    uint32_t(*row)[3] = first ? cv_alloc(v->n_merges, sizeof *row, err) : NULL;
    if (row) {
        cv_group_merges(v, first, n, row);
        cv_settle_merges(first, n, row);
    }
    int failed = !row || cv_write_table("tokenizer.merge_first", first, (size_t)n + 1, 1, meta, err) < 0
                 || cv_write_table("tokenizer.merges", row[0], first[n], 3, meta, err) < 0;
    free(first);
    free(row);
    return failed ? -1 : 0;
}

static int cv_write_words(const cv_words *w, cv_meta *meta, cv_error *err)
{
    static const uint32_t none[1] = {0}; /* a pattern such as "$" has no sets */
    if (w->n_items == 0) return 0;
    if (cv_write_table("tokenizer.words", &w->item[0].kind, w->n_items, 4, meta, err) < 0
        || cv_write_table("tokenizer.set_first", w->n_sets ? w->set_first : none, w->n_sets + 1, 1, meta, err) < 0)
        return -1;
    return cv_write_table("tokenizer.sets", w->n_ranges ? w->range[0] : none, w->n_ranges, 2, meta, err);
}

/* ---- writing: what NFC needs ---- */

static const uint32_t *cv_find_decomposition(uint32_t c)
{
    size_t low = 0, high = cv_n_decompositions;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if ((cv_decompositions[middle][0] & 0xFFFFFF) <= c) low = middle;
        else high = middle;
    }
    return (cv_decompositions[low][0] & 0xFFFFFF) == c ? cv_decompositions[low] : NULL;
}

/* The full canonical decomposition of c, at most four characters. Only the first of two parts is made
 * of parts again. */
static void cv_decompose(uint32_t c, uint32_t *out)
{
    uint32_t tail[3];
    size_t n = 0, at = 0;
    for (const uint32_t *d; n < 3 && (d = cv_find_decomposition(c)) != NULL; c = d[1])
        if (d[2]) tail[n++] = d[2];
    for (out[at++] = c; n > 0;) out[at++] = tail[--n];
}

static int cv_by_pair(const void *a, const void *b, const void *user)
{
    const uint32_t *x = a, *y = b;
    (void)user;
    if (x[0] != y[0]) return x[0] < y[0] ? -1 : 1;
    return (x[1] > y[1]) - (x[1] < y[1]);
}

static int cv_write_normalization(cv_meta *meta, cv_error *err)
{
    uint32_t(*parts)[5] = cv_alloc(cv_n_decompositions, sizeof *parts, err);
    uint32_t(*pairs)[3] = parts ? cv_alloc(cv_n_decompositions, sizeof *pairs, err) : NULL;
    size_t n = 0;
    for (size_t i = 0; pairs && i < cv_n_decompositions; i++) {
        const uint32_t *d = cv_decompositions[i];
        parts[i][0] = d[0] & 0xFFFFFF;
        cv_decompose(parts[i][0], parts[i] + 1);
        if (!(d[0] & CV_JOINS)) continue;
        pairs[n][0] = d[1], pairs[n][1] = d[2], pairs[n][2] = d[0] & 0xFFFFFF;
        n++;
    }
    if (pairs) heap_sort(pairs, n, sizeof *pairs, cv_by_pair, NULL);
    int failed = !pairs || cv_write_table("tokenizer.decompose", parts[0], cv_n_decompositions, 5, meta, err) < 0
                 || cv_write_table("tokenizer.compose", pairs[0], n, 3, meta, err) < 0
                 || cv_write_table("tokenizer.marks", cv_classes[0], cv_n_classes, 3, meta, err) < 0;
    free(parts);
    free(pairs);
    return failed ? -1 : 0;
}

int cv_vocab_write(cv_vocab *v, int32_t rows, cv_meta *meta, cv_error *err)
{
    uint32_t n = rows < 0 ? v->n : (uint32_t)rows;
    if (v->n == 0) return cv_fail(err, "the tokenizer has no tokens");
    if (v->n > n)
        return cv_fail(err, "the tokenizer has %lu tokens, the model only %ld", (unsigned long)v->n, (long)rows);
    if (v->normalizes && cv_write_normalization(meta, err) < 0) return -1;
    return cv_write_rules(&v->rules, meta, err) < 0 || cv_write_words(&v->words, meta, err) < 0
                   || cv_write_texts(v, n, meta, err) < 0
                   || cv_write_lists(v, meta, err) < 0 || cv_write_merges(v, n, meta, err) < 0
               ? -1
               : 0;
}
