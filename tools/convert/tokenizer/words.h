/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * words.h - the patterns by which tokenizers cut text into words
 *
 * Patterns of the family that GPT-2 began are a few integers to the library. Others become a small program: stages,
 * which cut the pieces that the stage before has left; each is a list of alternatives, and each of those a run of items
 * "between min and max characters of a set". See [CH13] of harp_impl.c. */
#ifndef HARP_CONVERT_WORDS_H
#define HARP_CONVERT_WORDS_H

#include "../ground/error.h"

#include <stdint.h>

enum { CV_MOST_STAGES = 8, CV_MOST_ITEMS = 8 };
enum { CV_ITEM_SET, CV_ITEM_CONTRACTION, CV_ITEM_NOT_BEFORE, CV_ITEM_AT_END,
       CV_ITEM_ALTERNATIVE = 16, CV_ITEM_STAGE = 32, CV_ITEM_KEEPS = 64 };

typedef struct cv_item {
    uint32_t kind, set, least, most; /* kind: a CV_ITEM_* with flags; most 0: any number */
} cv_item;

typedef struct cv_words {
    cv_item *item; /* [n_items] */
    uint32_t (*range)[2]; /* [n_ranges] first and last characters of the sets, one set after the other */
    uint32_t *set_first;  /* [n_sets + 1] */
    size_t n_items, n_ranges, n_sets;
} cv_words;

/* What the library takes in a file: more items are refused here, with the place in the pattern. Reading a pattern takes
 * at most half a millisecond for each item, and 20 microseconds for each byte. */
enum { CV_MOST_ITEMS_IN_ALL = 1024, CV_MOST_PATTERN_BYTES = 1 << 14 };

/* Adds a stage. The pattern's language is that of the tokenizers at hand: sets, \p{..}, \s, quantifiers, alternatives,
 * (?!\S), $, and (?i:..) at the end of an alternative. Anything else is refused, with its place. */
int cv_words_add(cv_words *w, const char *pattern, size_t bytes, cv_error *err);
/* 1: whatever the text, all of it is matched; 0: not certain; -1: the pattern is refused. */
int cv_words_match_all(const char *pattern, size_t bytes, cv_error *err);
void cv_words_free(cv_words *w);

#endif
