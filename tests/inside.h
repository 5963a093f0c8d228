/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * inside.h - windows into the library, for tests of what its public calls do not show
 *
 * inside.c includes harp_impl.c and opens them; a test that looks through one is linked with it in the place of the
 * library. To be included after harp.h. */
#ifndef HARP_TEST_INSIDE_H
#define HARP_TEST_INSIDE_H

#include <stddef.h>
#include <stdint.h>

/* ---- Text ---- */

enum { INSIDE_STAGES = 8 };
#define INSIDE_NONE 0xFFFFFFFFu /* a rank or a token that is not there */

/* A text that is cut into words: where the piece of each stage ends, and the steps that the search may still take. */
typedef struct inside_cutter {
    const uint8_t *ends[INSIDE_STAGES + 1]; /* [0]: the text's end */
    size_t patience;
} inside_cutter;

inside_cutter inside_begin_cutting(const uint8_t *text, size_t bytes);

/* The end of the word at p, as the file's program for words cuts it. */
const uint8_t *inside_word_end(const harp_model *m, inside_cutter *c, const uint8_t *p);

/* A word's symbols before any are joined and the tokens after, both of them [capacity]; their numbers. */
typedef struct inside_joined {
    size_t before, after;
} inside_joined;

inside_joined inside_join(const harp_model *m, const uint8_t *word, size_t bytes, uint32_t *symbols, int32_t *tokens,
                          size_t capacity);

/* The rank with which two tokens are joined, and what they become; INSIDE_NONE: they are not. */
uint32_t inside_merge(const harp_model *m, uint32_t left, uint32_t right, uint32_t *result);

/* For each byte of a text, the added token that is found there, -1 if there is none. */
void inside_find_added(const harp_model *m, const uint8_t *text, size_t bytes, int32_t *found);

/* ---- Sessions ---- */

float inside_beam_score(const harp_session *s, int32_t beam); /* of the last harp_beam, 0 the best */
int32_t inside_unused_drafts(const harp_session *s);          /* tokens guessed, and not verified yet */
int32_t inside_streams(const harp_session *s);                /* the vanilla one, and one for each reframing */

/* ---- Saved sessions ---- */

void inside_forget_statistics(void *image); /* counts of work, which are not state, become 0 */
void inside_describe(const harp_session *s, void *image); /* makes its head say that it is this session's */
size_t inside_image_head(const harp_session *s); /* bytes of its head, and of each stream's base and length behind it */
size_t inside_image_unfinished(void); /* where the bytes of an unfinished character stand, behind their number */

#endif
