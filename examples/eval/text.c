/* text.c - growing texts, files written whole */
#include "eval.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- Growing texts ---- */

/* Room for `bytes` more and the terminating zero. */
static int make_room(growing *t, size_t bytes)
{
    size_t capacity;
    char *grown;
    if (t->failed) return 0;
    if (bytes < t->capacity - t->bytes) return 1; /* one is left for the zero */
    capacity = bytes < SIZE_MAX / 4 && t->bytes < SIZE_MAX / 4 ? 2 * (t->bytes + bytes) + 64 : 0;
    grown = capacity ? realloc(t->at, capacity) : NULL;
    if (!grown) return t->failed = 1, 0;
    t->at = grown, t->capacity = capacity;
    return 1;
}

void put_bytes(growing *t, const char *from, size_t bytes)
{
    if (!make_room(t, bytes)) return;
    if (bytes > 0) memcpy(t->at + t->bytes, from, bytes);
    t->bytes += bytes;
    t->at[t->bytes] = 0;
}

void put(growing *t, const char *format, ...)
{
    va_list arguments;
    int n;
    va_start(arguments, format);
    n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0) t->failed = 1; /* more than INT_MAX */
    if (n < 0 || !make_room(t, (size_t)n)) return;
    va_start(arguments, format);
    vsnprintf(t->at + t->bytes, (size_t)n + 1, format, arguments);
    va_end(arguments);
    t->bytes += (size_t)n;
}

/* ---- Files ---- */

static int cannot(const char *path, int why)
{
    return complain("%s: %s", path, why ? strerror(why) : "it could not be read or written");
}

static int read_stream(FILE *f, const char *path, growing *out)
{
    enum { PART = 1 << 16 };
    size_t n = 1;
    while (n > 0 && make_room(out, PART)) {
        errno = 0;
        n = fread(out->at + out->bytes, 1, PART, f);
        out->bytes += n;
    }
    if (out->failed) return complain("%s: there is not enough memory for it", path);
    if (ferror(f)) return cannot(path, errno);
    out->at[out->bytes] = 0;
    return 0;
}

int read_whole(const char *path, char **whole, size_t *bytes)
{
    growing t = {NULL, 0, 0, 0};
    FILE *f = host_fopen(path, "rb");
    int status;
    *whole = NULL, *bytes = 0;
    if (!f) return cannot(path, errno);
    status = read_stream(f, path, &t);
    fclose(f);
    if (status) free(t.at);
    else *whole = t.at, *bytes = t.bytes;
    return status;
}

/* Into what is no file (a pipe, /dev/stdout): nothing can be moved over that. */
static int write_stream(const char *path, const char *from, size_t bytes)
{
    FILE *f = host_fopen(path, "wb");
    size_t n;
    int why;
    if (!f) return cannot(path, errno);
    errno = 0;
    n = fwrite(from, 1, bytes, f);
    why = errno;
    if (fclose(f) != 0 && n == bytes) why = errno, n = bytes + 1;
    return n == bytes ? 0 : cannot(path, why);
}

/* Written beside, and moved over what was there once it is complete: a full disk or a crash leaves the old file. */
int save_whole(const char *path, const char *from, size_t bytes)
{
    char beside[HOST_PATH_BYTES];
    size_t at = 0;
    ptrdiff_t n = 1;
    int file, why;
    if (host_kind_of(path) == HOST_OTHER) return write_stream(path, from, bytes);
    file = host_begin(path, beside);
    if (file < 0) return cannot(path, errno);
    for (; at < bytes && n > 0; at += n > 0 ? (size_t)n : 0) n = host_write(file, from + at, bytes - at);
    why = errno;
    if (at < bytes) {
        host_discard(file);
        return cannot(path, why);
    }
    if (host_finish(file) == 0) return 0;
    why = errno;
    host_discard(-1);
    return cannot(path, why);
}

void write_float(char out[32], float value)
{
    int digits = 5;
    do snprintf(out, 32, "%.*g", ++digits, (double)value);
    while (digits < 9 && (float)strtod(out, NULL) != value);
}
