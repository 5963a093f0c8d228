/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * error.c - see error.h */
#include "error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cv_fail(cv_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

/* A request for nothing still gets a block, so that NULL always means failure. */
void *cv_alloc(size_t count, size_t size, cv_error *err)
{
    void *block = NULL;
    if (size == 0 || count <= SIZE_MAX / size) block = calloc(count ? count : 1, size ? size : 1);
    if (!block) cv_fail(err, "out of memory (%.0f bytes wanted)", (double)count * (double)size);
    return block;
}

void *cv_grow(void *block, size_t count, size_t size, cv_error *err)
{
    void *grown = NULL;
    if (size == 0 || count <= SIZE_MAX / size) grown = realloc(block, count && size ? count * size : 1);
    if (!grown) cv_fail(err, "out of memory (%.0f bytes wanted)", (double)count * (double)size);
    return grown;
}
