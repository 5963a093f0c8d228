/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * files.c - see files.h */
#include "files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static const char *to_be_replaced; /* or NULL */

void cv_protect_inputs_from(const char *target)
{
    to_be_replaced = target;
}

static int check_input(cv_file *file, cv_error *err)
{
    if (!to_be_replaced || !host_is_same_file(file->path, to_be_replaced)) return 0;
    cv_file_close(file);
    return cv_fail(err, "%.200s cannot be replaced, for it is read as %.200s: choose another name for the output",
                   to_be_replaced, file->path);
}

int cv_file_open(cv_file *file, const char *path, cv_error *err)
{
    file->path = path;
    file->handle = host_open(path, &file->bytes);
    if (file->handle >= 0) return check_input(file, err);
    if (file->bytes == HOST_NOT_REGULAR) return cv_fail(err, "%.300s: not a regular file", path);
    return cv_fail(err, "%.300s: cannot be opened: %s", path, strerror(errno));
}

int cv_file_read(const cv_file *file, uint64_t offset, void *out, size_t bytes, cv_error *err)
{
    unsigned char *to = out;
    if (offset > file->bytes || bytes > file->bytes - offset)
        return cv_fail(err, "%.300s: ends before offset %.0f", file->path, (double)offset + (double)bytes);
    while (bytes > 0) {
        ptrdiff_t n = host_read_at(file->handle, offset, to, bytes);
        if (n < 0) return cv_fail(err, "%.300s: cannot be read: %s", file->path, strerror(errno));
        if (n == 0) return cv_fail(err, "%.300s: became shorter while it was read", file->path);
        to += n, offset += (uint64_t)n, bytes -= (size_t)n;
    }
    return 0;
}

void cv_file_close(cv_file *file)
{
    if (file->handle >= 0) host_close(file->handle);
    file->handle = -1;
}

static char *read_whole(const cv_file *file, size_t max, cv_error *err)
{
    if (file->bytes > max) {
        cv_fail(err, "%.300s: larger than %.0f bytes", file->path, (double)max);
        return NULL;
    }
    char *text = cv_alloc((size_t)file->bytes + 1, 1, err);
    if (text && cv_file_read(file, 0, text, (size_t)file->bytes, err) < 0) {
        free(text);
        text = NULL;
    }
    return text;
}

int cv_read_file(const char *path, size_t max, char **data, size_t *bytes, cv_error *err)
{
    cv_file file;
    *data = NULL, *bytes = 0;
    if (cv_file_open(&file, path, err) < 0) return -1;
    *data = read_whole(&file, max, err);
    if (*data) *bytes = (size_t)file.bytes;
    cv_file_close(&file);
    return *data ? 0 : -1;
}

int cv_file_exists(const char *path)
{
    host_kind kind = host_kind_of(path);
    return kind == HOST_FILE || kind == HOST_OTHER;
}

/* After a folder's name that ends with a separator there is no file name, so none is added. */
int cv_path_join(char *out, size_t capacity, const char *folder, const char *file, cv_error *err)
{
    int n = snprintf(out, capacity, "%s%s%s", folder, *host_file_name(folder) ? "/" : "", file);
    return n < 0 || (size_t)n >= capacity ? cv_fail(err, "%.200s: the path is too long", folder) : 0;
}

int cv_folder_of(char *out, size_t capacity, const char *path, cv_error *err)
{
    size_t n = (size_t)(host_file_name(path) - path);
    if (n >= capacity) return cv_fail(err, "%.200s: the path is too long", path);
    memcpy(out, path, n);
    out[n] = 0;
    return n ? 0 : cv_path_join(out, capacity, ".", "", err);
}

/* ---- writing ---- */

static int cannot_write(const char *name, cv_error *err)
{
    return cv_fail(err, "%.300s: cannot be written: %s", name, strerror(errno));
}

int cv_output_open(cv_output *out, const char *target, cv_error *err)
{
    host_kind kind = host_kind_of(target);
    out->target = target, out->handle = -1;
    if (kind != HOST_NOTHING && kind != HOST_FILE) /* the file would take the place of a device or a folder */
        return cv_fail(err, "%.300s: there already, and not a regular file", target);
    out->handle = host_begin(target, out->name);
    return out->handle < 0 ? cannot_write(out->name, err) : 0;
}

int cv_output_write(cv_output *out, const void *data, size_t bytes, cv_error *err)
{
    const unsigned char *from = data;
    while (bytes > 0) {
        errno = ENOSPC; /* if nothing can be written, and no reason is given */
        ptrdiff_t n = host_write(out->handle, from, bytes);
        if (n <= 0) return cannot_write(out->target, err);
        from += n, bytes -= (size_t)n;
    }
    return 0;
}

int cv_output_rewrite(cv_output *out, uint64_t offset, const void *data, size_t bytes, cv_error *err)
{
    if (host_seek(out->handle, offset) < 0) return cannot_write(out->target, err);
    return cv_output_write(out, data, bytes, err);
}

int cv_output_commit(cv_output *out, cv_accept_fn *accept, cv_error *err)
{
    int failed = host_complete(out->handle) < 0 ? cannot_write(out->target, err) : 0;
    out->handle = -1;
    if (!failed && accept) failed = accept(out->name, err);
    if (!failed && host_finish(-1) < 0) failed = cannot_write(out->target, err);
    if (failed) cv_output_discard(out);
    return failed ? -1 : 0;
}

void cv_output_discard(cv_output *out)
{
    host_discard(out->handle);
    out->handle = -1;
}
