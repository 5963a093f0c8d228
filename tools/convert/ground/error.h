/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * error.h - failing, and memory, whose want is one way to fail
 *
 * Every function of harp-convert that can fail returns 0 on success and -1 with a sentence in cv_error; nothing exits
 * or prints but main() in convert.c, and check.c. */
#ifndef HARP_CONVERT_ERROR_H
#define HARP_CONVERT_ERROR_H

#include <stddef.h>

typedef struct cv_error {
    char text[1024]; /* one sentence, zero-terminated */
} cv_error;

int cv_fail(cv_error *err, const char *format, ...); /* fills err->text like printf, returns -1 */

void *cv_alloc(size_t count, size_t size, cv_error *err);            /* zeroed; NULL on overflow or no memory         */
void *cv_grow(void *block, size_t count, size_t size, cv_error *err); /* realloc; NULL leaves block as it was */

#endif
