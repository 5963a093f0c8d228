/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * files.c - files, signals, terminal and clock by POSIX; see files.h */
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64 /* files of many gigabytes on 32-bit systems, too */
#endif
#define _POSIX_C_SOURCE 200809L
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LARGEST_TRANSFER ((size_t)1 << 30) /* some systems refuse 2 GiB in one call */

static const int endings[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
enum { N_ENDINGS = sizeof endings / sizeof *endings };

/* What the signal handler removes. Changed only while the signals above are blocked. */
static char unfinished[CV_PATH_BYTES];

/* ---- reading ---- */

int cv_file_open(cv_file *file, const char *path, cv_error *err)
{
    struct stat status;
    file->path = path, file->bytes = 0;
    file->handle = open(path, O_RDONLY | O_NONBLOCK); /* a named pipe must not block; regular files do not care */
    if (file->handle < 0) return cv_fail(err, "%.300s: cannot be opened: %s", path, strerror(errno));
    if (fstat(file->handle, &status) != 0 || !S_ISREG(status.st_mode)) {
        cv_file_close(file);
        return cv_fail(err, "%.300s: not a regular file", path);
    }
    file->bytes = (uint64_t)status.st_size;
    return 0;
}

int cv_file_read(const cv_file *file, uint64_t offset, void *out, size_t bytes, cv_error *err)
{
    unsigned char *to = out;
    if (offset > file->bytes || bytes > file->bytes - offset)
        return cv_fail(err, "%.300s: ends before offset %.0f", file->path, (double)offset + (double)bytes);
    while (bytes > 0) {
        ssize_t n = pread(file->handle, to, bytes < LARGEST_TRANSFER ? bytes : LARGEST_TRANSFER, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cv_fail(err, "%.300s: cannot be read: %s", file->path, strerror(errno));
        if (n == 0) return cv_fail(err, "%.300s: became shorter while it was read", file->path);
        to += n, offset += (uint64_t)n, bytes -= (size_t)n;
    }
    return 0;
}

void cv_file_close(cv_file *file)
{
    if (file->handle >= 0) close(file->handle);
    file->handle = -1;
}

/* ---- writing ---- */

static void block_endings(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < N_ENDINGS; i++) sigaddset(&set, endings[i]);
    sigprocmask(SIG_BLOCK, &set, before);
}

/* Removes the unfinished file and lets the signal do what it does by default. */
static void on_ending(int number)
{
    if (unfinished[0]) unlink(unfinished);
    signal(number, SIG_DFL);
    raise(number);
}

/* A signal that somebody had ignored (nohup does) stays ignored. */
static void catch_endings(void)
{
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_ending;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_ENDINGS; i++) {
        if (sigaction(endings[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN) continue;
        sigaction(endings[i], &action, NULL);
    }
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* the failing write says it */
#endif
}

/* A rename would put a file in the place of a device or a folder: only files are replaced. */
static int check_target(const char *target, cv_error *err)
{
    struct stat status;
    if (stat(target, &status) != 0) return 0;
    if (S_ISREG(status.st_mode)) return 0;
    return cv_fail(err, "%.300s: there already, and not a regular file", target);
}

int cv_output_open(cv_output *out, const char *target, cv_error *err)
{
    sigset_t before;
    out->target = target, out->handle = -1;
    if (check_target(target, err) < 0) return -1;
    int n = snprintf(out->temporary, sizeof out->temporary, "%s.%ld.part", target, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof out->temporary) return cv_fail(err, "%.200s: the path is too long", target);
    catch_endings();
    block_endings(&before);
    out->handle = open(out->temporary, O_RDWR | O_CREAT | O_EXCL, 0666);
    int reason = errno;
    if (out->handle >= 0) memcpy(unfinished, out->temporary, sizeof unfinished);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (out->handle < 0) return cv_fail(err, "%.300s: cannot be written: %s", out->temporary, strerror(reason));
    return 0;
}

static int cannot_write(const cv_output *out, int reason, cv_error *err)
{
    return cv_fail(err, "%.300s: cannot be written: %s", out->target, strerror(reason));
}

int cv_output_write(cv_output *out, const void *data, size_t bytes, cv_error *err)
{
    const unsigned char *from = data;
    while (bytes > 0) {
        ssize_t n = write(out->handle, from, bytes < LARGEST_TRANSFER ? bytes : LARGEST_TRANSFER);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return cannot_write(out, n < 0 ? errno : ENOSPC, err);
        from += n, bytes -= (size_t)n;
    }
    return 0;
}

int cv_output_rewrite(cv_output *out, uint64_t offset, const void *data, size_t bytes, cv_error *err)
{
    if (lseek(out->handle, (off_t)offset, SEEK_SET) < 0) return cannot_write(out, errno, err);
    return cv_output_write(out, data, bytes, err);
}

/* Without this a power failure can bring the old name back. Not every file system can; then there is nothing to do. */
static void flush_folder(const char *target)
{
    char folder[CV_PATH_BYTES];
    const char *slash = strrchr(target, '/');
    size_t n = slash ? (size_t)(slash - target) + 1 : 0;
    if (n >= sizeof folder) return;
    memcpy(folder, target, n);
    folder[n] = 0;
    int handle = open(n ? folder : ".", O_RDONLY);
    if (handle < 0) return;
    fsync(handle);
    close(handle);
}

/* The renamed file is not to be removed any more, so signals wait until both are done. */
static int rename_output(cv_output *out)
{
    sigset_t before;
    block_endings(&before);
    int failed = rename(out->temporary, out->target) != 0 ? errno : 0;
    if (!failed) unfinished[0] = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return failed;
}

int cv_output_commit(cv_output *out, cv_error *err)
{
    int failed = fsync(out->handle) != 0 ? errno : 0;
    if (close(out->handle) != 0 && !failed) failed = errno;
    out->handle = -1;
    if (!failed) failed = rename_output(out);
    if (failed) {
        cv_output_discard(out);
        return cannot_write(out, failed, err);
    }
    flush_folder(out->target);
    return 0;
}

void cv_output_discard(cv_output *out)
{
    sigset_t before;
    if (out->handle >= 0) close(out->handle);
    out->handle = -1;
    block_endings(&before);
    if (unfinished[0]) unlink(unfinished);
    unfinished[0] = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* ---- the rest ---- */

int cv_is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int cv_is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int cv_stderr_is_terminal(void)
{
    return isatty(STDERR_FILENO);
}

double cv_seconds(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0.0;
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
