/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * text.h - stretches of UTF-8 that belong to somebody else; characters are what Python's str has */
#ifndef HARP_TEXT_H
#define HARP_TEXT_H

#include <stddef.h>
#include <stdint.h>

typedef struct cv_text {
    const char *data;
    size_t bytes;
} cv_text;

enum { TEXT_LEFT = 1, TEXT_RIGHT = 2, TEXT_BOTH = 3 }; /* sides to strip */
enum { TEXT_NEWLINES = 4 };                            /* roles.c alone: newlines, from the left */

cv_text text_of(const char *s);
int text_is(cv_text t, const char *s);
int text_same(cv_text a, cv_text b);
int text_among(cv_text t, const char *words); /* is it one of the words, which are separated by blanks? */
int text_begins(cv_text t, cv_text with);
int text_ends(cv_text t, cv_text with);
cv_text text_after(cv_text t, size_t bytes);  /* without so many at the beginning */
cv_text text_before(cv_text t, size_t bytes); /* without so many at the end       */

/* The position of part in t at or after from, or t.bytes if it is not there. An empty part is found at once. */
size_t text_find(cv_text t, cv_text part, size_t from);

size_t text_length(cv_text t);                            /* in characters; a stray byte is one */
cv_text text_slice(cv_text t, int64_t from, int64_t to); /* characters from..to - 1            */

/* Takes the characters of set off the sides; set.data == NULL means white space. */
cv_text text_strip(cv_text t, cv_text set, int sides);
cv_text text_strip_space(cv_text t, int sides);

#endif
