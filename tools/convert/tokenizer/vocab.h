/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * vocab.h - a tokenizer on its way from somebody's format to tokenizer.* metadata
 *
 * A reader fills a cv_vocab: tokens with the bytes they stand for, merges (listed, or found from scores), added tokens,
 * and the rules that are plain integers. cv_vocab_write lays the tables out as [CH12] of harp_impl.c defines them. */
#ifndef HARP_CONVERT_VOCAB_H
#define HARP_CONVERT_VOCAB_H

#include "../file/meta.h"
#include "../ground/json.h"
#include "words.h"

struct cv_gguf;

enum { CV_SENTENCEPIECE = 1, CV_BYTE_LEVEL = 2 };
enum { CV_NORMAL = 1, CV_UNKNOWN, CV_CONTROL, CV_USER, CV_UNUSED, CV_BYTE };
enum { CV_SPACE_FIRST = 1, CV_SPACE_EACH = 2, CV_SPACE_UNLESS = 4, CV_SPACE_STRIP = 8 };
enum { CV_LSTRIP = 1, CV_RSTRIP = 2, CV_IS_ADDED = 4, CV_NORMALIZED = 8 };
/* What is done to a text before CV_NORMALIZED tokens are looked for in it: spaces become U+2581, one is put first. */
enum { CV_REWRITES_SPACES = 1, CV_REWRITES_BEGIN = 2 };
enum { CV_LONGEST_TOKEN = 4096, CV_LONGEST_ADDED = 512, CV_MOST_TOKENS = 1 << 24, CV_MOST_SEARCHED = 1 << 26,
       CV_MOST_SPLITS = 64 };

typedef struct cv_token {
    uint32_t text, bytes; /* in cv_vocab.text */
    double score;         /* SentencePiece; higher joins first */
    uint8_t type, added;  /* CV_NORMAL ..., CV_IS_ADDED with CV_LSTRIP ..., or 0 */
    uint8_t hidden;       /* no text ever becomes it: kept for decoding only */
    uint8_t there;
} cv_token;

typedef struct cv_merge {
    uint32_t left, right, rank, result;
} cv_merge;

typedef struct cv_rules { /* the integers tokenizer.*, see [CH12] */
    int32_t kind, unknown, add_bos, spaces, ignore_merges;
    int32_t contractions, any_lead, number_lead, number_digits, lone_digits, sign_newlines, newline_runs;
    int32_t unknown_whole;
} cv_rules;

typedef struct cv_vocab {
    cv_rules rules;
    int32_t bos, eos;
    cv_token *token; /* [limit], [n] used */
    uint32_t n, limit;
    char *text;
    size_t text_bytes, text_capacity;
    uint32_t *index; /* [n_index] normal tokens by text, no text twice; see cv_vocab_index */
    uint32_t n_index;
    cv_merge *merge;
    size_t n_merges, merge_capacity;
    cv_words words; /* no items: the rules say all        */
    int normalizes; /* text is put into Unicode's form NFC */
    int rewrites;   /* CV_REWRITES_SPACES ...              */
    uint32_t next_id; /* of a tokenizer.json: the next added token that is not in the vocabulary; 0: another form */
} cv_vocab;

/* limit: ids must be below it. Readers derive it from how many tokens a file lists, so a small file cannot ask for
 * much memory. */
int cv_vocab_begin(cv_vocab *v, size_t limit, cv_error *err);
void cv_vocab_free(cv_vocab *v);

/* Sets a token that is not there yet. spaces: U+2581 in the text means a space, <0xHH> in it (whole) a byte. */
int cv_vocab_set(cv_vocab *v, int64_t id, const char *text, size_t bytes, int type, cv_error *err);
int cv_vocab_set_spaced(cv_vocab *v, int64_t id, const char *text, size_t bytes, int type, cv_error *err);
/* The same for a text in GPT-2's printable alphabet. */
int cv_vocab_set_printable(cv_vocab *v, int64_t id, const char *text, size_t bytes, cv_error *err);
/* Declares a token, there or not, to be found in raw text. flags: CV_LSTRIP, CV_RSTRIP, CV_NORMALIZED. */
int cv_vocab_add(cv_vocab *v, int64_t id, const char *text, size_t bytes, int type, int flags, cv_error *err);

/* Sorts the normal tokens; needed before the calls below, again after tokens were set. */
int cv_vocab_index(cv_vocab *v, cv_error *err);
int64_t cv_vocab_find(const cv_vocab *v, const char *text, size_t bytes); /* a normal token by text, or -1 */
int64_t cv_vocab_find_any(const cv_vocab *v, const char *text, size_t bytes); /* any token; linear time */
int cv_vocab_merge(cv_vocab *v, const char *left, size_t left_bytes, const char *right, size_t right_bytes,
                   uint32_t rank, cv_error *err);
/* Every way to split a normal token into two is a merge; its rank follows from the score of the result. Time is that of
 * sorting the texts, memory 48 bytes a token and those of the merges, of which there may be CV_MOST_SPLITS for each
 * token on average (trained vocabularies have 2 to 3). */
int cv_vocab_merges_from_scores(cv_vocab *v, cv_error *err);

int cv_undo_spaces(char *out, size_t *out_bytes, const char *text, size_t bytes); /* U+2581 -> space; out [bytes]    */
int cv_undo_printable(char *out, size_t *out_bytes, const char *text, size_t bytes); /* -1: not of that alphabet     */

/* Added tokens that normalized text would have elsewhere than raw text, where this library looks: refused, or, if only
 * a caller who asks for special tokens can tell, told in note[capacity]. */
int cv_vocab_check_added(const cv_vocab *v, char *note, size_t capacity, cv_error *err);

/* rows: of the embedding matrix, or -1. */
int cv_vocab_write(cv_vocab *v, int32_t rows, cv_meta *meta, cv_error *err);

/* Readers of single files, text[bytes]. */
int cv_read_tokenizer_json(cv_vocab *v, const cv_json *j, const char *name, cv_error *err);
int cv_read_vocab_and_merges(cv_vocab *v, const cv_json *vocab, const char *merges, size_t bytes, const cv_json *config,
                             const char *name, cv_error *err);
int cv_read_tokenizer_config(cv_vocab *v, const cv_json *config, const char *name, cv_error *err);
int cv_read_added_tokens(cv_vocab *v, const cv_json *j, const cv_json *config, const char *name, cv_error *err);
int cv_read_sentencepiece(cv_vocab *v, const char *text, size_t bytes, const char *name, cv_error *err);
int cv_read_tiktoken(cv_vocab *v, const char *text, size_t bytes, const char *name, cv_error *err);
int cv_is_classic_control(const char *text, size_t bytes); /* "<s>" or "</s>", whatever a file says about them */
/* How words are cut: n patterns, each for the pieces that the one before has left. */
typedef struct cv_pattern {
    const char *text;
    size_t bytes;
} cv_pattern;
int cv_vocab_cut_words(cv_vocab *v, const cv_pattern *patterns, size_t n, cv_error *err);
int cv_read_gguf(cv_vocab *v, const struct cv_gguf *gguf, const char *name, cv_error *err);
int cv_read_llama2c(cv_vocab *v, const char *text, size_t bytes, const char *name, cv_error *err);

#endif
