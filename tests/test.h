/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test.h - what the tests share: counted checks and their last line, hashes, files, sessions
 *
 * To be included after the library, if a test uses that: sessions are for those alone. */
#ifndef HARP_TEST_H
#define HARP_TEST_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (condition) passed++;                                                                                       \
        else failed++, printf("FAILED %s:%d: %s\n", __func__, __LINE__, #condition);                                   \
    } while (0)

/* A check with a sentence of its own, as printf makes it, where the condition's text would tell nothing. */
static inline void check(int good, const char *format, ...)
{
    va_list rest;
    good ? passed++ : failed++;
    if (good) return;
    va_start(rest, format);
    printf("FAILED  "), vprintf(format, rest), printf("\n");
    va_end(rest);
}

/* The last line of a test, which tests/run.sh adds up, and its exit status: a test without checks has failed. */
static inline int conclude(void)
{
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

/* FNV-1a, 64 bits. */
#define MIX_START UINT64_C(0xCBF29CE484222325)

static inline uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    size_t i;
    for (i = 0; i < bytes; i++) hash = (hash ^ p[i]) * UINT64_C(0x100000001B3);
    return hash;
}

/* A whole file, malloc'ed, a zero byte behind it; NULL and 0 bytes if it cannot be read. */
static inline void *load_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    long n = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *data = n >= 0 ? malloc((size_t)n + 1) : NULL;
    *bytes = 0;
    if (data) {
        rewind(file);
        *bytes = fread(data, 1, (size_t)n, file);
        data[*bytes] = 0;
    }
    if (file) fclose(file);
    return data;
}

#ifdef HARP_H
/* A test that cannot have its session ends: what it checks would all be wrong. */
static inline harp_session *open_session(const harp_model *m, const harp_params *p)
{
    harp_session *s = NULL;
    harp_error err;
    if (harp_session_open(&s, m, p, &err) == HARP_OK) return s;
    printf("FAILED cannot open a session: %s\n%d passed, %d failed\n", err.text, passed, failed + 1);
    exit(1);
}

/* How many tokens a session holds, and the one at a position. */
static inline int32_t length_of(const harp_session *s)
{
    int32_t n = 0;
    harp_tokens(s, &n);
    return n;
}

static inline int32_t token_at(const harp_session *s, int32_t position) { return harp_tokens(s, NULL)[position]; }

/* Do both hold the same tokens? */
static inline int same_tokens(const harp_session *a, const harp_session *b)
{
    int32_t n = length_of(a);
    return length_of(b) == n && memcmp(harp_tokens(a, NULL), harp_tokens(b, NULL), (size_t)n * sizeof(int32_t)) == 0;
}
#endif

#endif
