/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * util.c - memory, files, failing; see convert.h */
#include "convert.h"

#include <stdarg.h>
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

/* The size of a file is not asked for: pipes have none, and a file may grow while it is read. */
int cv_read_file(const char *path, size_t max, char **data, size_t *bytes, cv_error *err)
{
    size_t used = 0, capacity = 65536;
    FILE *file = fopen(path, "rb");
    *data = NULL, *bytes = 0;
    if (!file) return cv_fail(err, "%s: cannot be opened", path);
    char *text = cv_grow(NULL, capacity, 1, err);
    while (text && !ferror(file) && !feof(file) && used <= max) {
        used += fread(text + used, 1, capacity - used - 1, file);
        if (capacity - used > 1) continue;
        size_t more = capacity < SIZE_MAX / 2 ? capacity * 2 : 0;
        char *grown = more ? cv_grow(text, more, 1, err) : NULL;
        if (!grown) free(text);
        text = grown, capacity = more;
    }
    int failed = ferror(file);
    fclose(file);
    if (!text) return -1;
    if (failed || used > max) {
        free(text);
        if (failed) return cv_fail(err, "%s: cannot be read", path);
        return cv_fail(err, "%s: larger than %.0f bytes", path, (double)max);
    }
    text[used] = 0;
    *data = text, *bytes = used;
    return 0;
}

int cv_file_exists(const char *path)
{
    char byte;
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    int there = fread(&byte, 1, 1, file) == 1 || feof(file); /* some systems open folders: those cannot be read */
    fclose(file);
    return there;
}

int cv_path_join(char *out, size_t capacity, const char *folder, const char *file, cv_error *err)
{
    size_t n = strlen(folder);
    const char *slash = n > 0 && folder[n - 1] != '/' && folder[n - 1] != '\\' ? "/" : "";
    int needed = snprintf(out, capacity, "%s%s%s", folder, slash, file);
    if (needed < 0 || (size_t)needed >= capacity) return cv_fail(err, "%.200s: the path is too long", folder);
    return 0;
}

/* CRC-32 with the reflected polynomial EDB88320, four tables so that four bytes take one step. */
typedef struct cv_crc_tables {
    uint32_t t[4][256];
} cv_crc_tables;

static void cv_crc_make(cv_crc_tables *tables)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
        tables->t[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 4; k++)
            tables->t[k][i] = tables->t[k - 1][i] >> 8 ^ tables->t[0][tables->t[k - 1][i] & 255];
}

uint32_t cv_crc32(uint32_t crc, const void *data, size_t bytes)
{
    cv_crc_tables tables; /* made anew each time: threads would race for a global one */
    const unsigned char *p = data;
    cv_crc_make(&tables);
    crc = ~crc;
    for (; bytes >= 4; bytes -= 4, p += 4) {
        crc ^= p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = tables.t[3][crc & 255] ^ tables.t[2][crc >> 8 & 255] ^ tables.t[1][crc >> 16 & 255]
              ^ tables.t[0][crc >> 24];
    }
    for (; bytes > 0; bytes--, p++) crc = crc >> 8 ^ tables.t[0][(crc ^ *p) & 255];
    return ~crc;
}
