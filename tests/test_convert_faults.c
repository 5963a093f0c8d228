/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_convert_faults.c - harp-convert when memory, the disk, the files or its life end
 *
 *     test_convert_faults FOLDER IN...      FOLDER: to write into; IN: what harp-convert takes, a folder or a file
 *
 * The converter is linked in, its main called convert_main, its calls of memory and files led here by faults.h. Each
 * conversion runs in a process of its own, and replaces a target that is there already. Whatever fails, the target must
 * in the end be the old one or the new one, whole, and nothing else may be left behind. */
#define _GNU_SOURCE
#define FAULTS_THEMSELVES
#include "../harp.h"
#include "faults.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>

int convert_main(int argc, char **argv);

enum { NOTHING, NO_MEMORY, BROKEN_FILE, SHORT_FILE, KILL, COUNT, REFUSED, TOO_LARGE };
enum { MOST_PATH = 1024, OLD_BYTES = 777, FAILED_CALL = 1, SUCCESS = 0, ODD = 99 };

static const char *folder;
static char target[MOST_PATH];

/* A check of what became of an input, -1 or the number of the call that failed. */
static void check_call(int good, const char *what, const char *in, long n)
{
    check(good, "%s: %s, call %ld", in, what, n);
}

/* ---- the calls that fail: only in the child ---- */

static int kind;
static long turn; /* calls until it is the turn of one to fail; below 0: never */
static long calls;

static int its_turn(int which)
{
    if (kind != which && kind != KILL && kind != COUNT) return 0;
    calls++;
    if (kind == COUNT) return 0;
    if (turn < 0 || turn-- != 0) return 0;
    if (kind == KILL) raise(SIGKILL);
    return 1;
}

void *fault_malloc(size_t bytes)
{
    return its_turn(NO_MEMORY) ? NULL : malloc(bytes);
}

void *fault_calloc(size_t n, size_t bytes)
{
    return its_turn(NO_MEMORY) ? NULL : calloc(n, bytes);
}

void *fault_realloc(void *block, size_t bytes)
{
    return its_turn(NO_MEMORY) ? NULL : realloc(block, bytes);
}

static int broken(int reason)
{
    errno = reason;
    return -1;
}

/* SHORT_FILE: every call does less than was asked for, every third is interrupted first. */
static size_t part_of(size_t bytes, int *interrupted)
{
    static unsigned n;
    *interrupted = kind == SHORT_FILE && ++n % 3 == 0;
    return kind == SHORT_FILE && bytes > 1 ? bytes / 2 : bytes;
}

ssize_t fault_pread(int file, void *into, size_t bytes, off_t offset)
{
    int interrupted;
    if (its_turn(BROKEN_FILE)) return broken(EIO);
    bytes = part_of(bytes, &interrupted);
    return interrupted ? broken(EINTR) : pread(file, into, bytes, offset);
}

ssize_t fault_write(int file, const void *from, size_t bytes)
{
    int interrupted;
    if (its_turn(BROKEN_FILE)) return broken(ENOSPC);
    bytes = part_of(bytes, &interrupted);
    return interrupted ? broken(EINTR) : write(file, from, bytes);
}

off_t fault_lseek(int file, off_t offset, int whence)
{
    return its_turn(BROKEN_FILE) ? broken(EIO) : lseek(file, offset, whence);
}

int fault_fsync(int file)
{
    return its_turn(BROKEN_FILE) ? broken(EIO) : fsync(file);
}

int fault_rename(const char *from, const char *to)
{
    return its_turn(BROKEN_FILE) ? broken(EACCES) : rename(from, to);
}

int fault_open(const char *path, int flags, ...)
{
    va_list rest;
    int mode;
    va_start(rest, flags);
    mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    va_end(rest);
    return its_turn(BROKEN_FILE) ? broken(EACCES) : open(path, flags, mode);
}

int fault_fstat(int file, struct stat *status)
{
    return its_turn(BROKEN_FILE) ? broken(EIO) : fstat(file, status);
}

/* The file is closed all the same, as Linux does it. */
int fault_close(int file)
{
    int failed = close(file);
    return its_turn(BROKEN_FILE) ? broken(EIO) : failed;
}

/* REFUSED, TOO_LARGE: what was made cannot be opened, because of what it is, or of what this machine has. */
harp_status fault_harp_open(harp_model **model, const char *path, harp_error *err)
{
    harp_status status = harp_open(model, path, err);
    if (status != HARP_OK || (kind != REFUSED && kind != TOO_LARGE)) return status;
    harp_close(*model);
    *model = NULL;
    return kind == REFUSED ? HARP_ERR_FORMAT : HARP_ERR_MEMORY;
}

/* ---- one conversion in a process of its own ---- */

static int convert(const char *in, int what, long n, long most_bytes, int report)
{
    char *arguments[] = {"harp-convert", (char *)(size_t)in, target, "--quiet", NULL};
    int status;
    pid_t child;
    fflush(stdout); /* or the child would print it again */
    child = fork();
    if (child == 0) {
        struct rlimit limit = {(rlim_t)most_bytes, (rlim_t)most_bytes};
        if (most_bytes >= 0) setrlimit(RLIMIT_FSIZE, &limit);
        if (!freopen("/dev/null", "w", stderr)) _exit(ODD);
        kind = what, turn = n, calls = 0;
        status = convert_main(4, arguments);
        if (report >= 0 && pwrite(report, &calls, sizeof calls, 0) != sizeof calls) _exit(ODD);
        if (kind != COUNT && kind != KILL && turn < 0 && n >= 0 && status == SUCCESS) exit(SUCCESS + 10); /* unseen */
        exit(status);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) exit(2);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static size_t load(const char *path, unsigned char *data, size_t most)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(data, 1, most, f) : 0;
    if (f) fclose(f);
    return n;
}

static unsigned char whole[1 << 21], now[1 << 21];
static size_t whole_bytes;

static void put_old_target(void)
{
    FILE *f = fopen(target, "wb");
    if (!f || fprintf(f, "%0*d", OLD_BYTES, 7) != OLD_BYTES || fclose(f)) exit(2);
}

static int is_old(void)
{
    size_t n = load(target, now, sizeof now);
    return n == OLD_BYTES && now[0] == '0' && now[OLD_BYTES - 1] == '7';
}

static int is_new(void)
{
    return load(target, now, sizeof now) == whole_bytes && memcmp(now, whole, whole_bytes) == 0;
}

/* Files in the folder besides the target; removes them. */
static int leftovers(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    int n = 0;
    while (d && (e = readdir(d)) != NULL) {
        char path[MOST_PATH];
        if (e->d_name[0] == '.' || strcmp(e->d_name, "target.harp") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
        n++;
    }
    if (d) closedir(d);
    return n;
}

/* ---- the tests ---- */

static void test_whole(const char *in)
{
    put_old_target();
    check_call(convert(in, NOTHING, -1, -1, -1) == SUCCESS, "converts", in, -1);
    whole_bytes = load(target, whole, sizeof whole);
    check_call(whole_bytes > 1000 && leftovers() == 0, "leaves one file", in, -1);
    put_old_target();
    check_call(convert(in, SHORT_FILE, -1, -1, -1) == SUCCESS && is_new(), "reads and writes by halves, interrupted",
               in, -1);
}

static void test_refused(const char *in)
{
    put_old_target();
    check_call(convert(in, REFUSED, -1, -1, -1) == FAILED_CALL && is_old() && leftovers() == 0,
          "a result that cannot be opened is not kept", in, -1);
    check_call(convert(in, TOO_LARGE, -1, -1, -1) == SUCCESS && is_new(), "one for a larger machine is", in, -1);
}

/* The n-th call of a kind fails, for n = 0, 1, 2 ... until there is no n-th. A failure that leaves the right file is
 * possible where the call is a courtesy (flushing the folder), and seen as exit status 10. */
static long test_each(const char *in, int what, const char *name)
{
    long n;
    int status = FAILED_CALL;
    for (n = 0; n < 100000; n++) {
        put_old_target();
        status = convert(in, what, n, -1, -1);
        if (status == SUCCESS) break;
        check_call(status == FAILED_CALL ? is_old() : status == SUCCESS + 10 && is_new(), name, in, n);
        check_call(leftovers() == 0, "something is left behind", in, n);
    }
    check_call(status == SUCCESS && is_new() && n > 5, "succeeds in the end", in, n);
    return n;
}

static void test_disk_full(const char *in)
{
    long i;
    for (i = 0; i < 20; i++) {
        put_old_target();
        check_call(convert(in, NOTHING, -1, (long)whole_bytes * i / 20, -1) == FAILED_CALL && is_old()
                       && leftovers() == 0,
                   "no room on the disk", in, i);
    }
}

static void test_killed(const char *in)
{
    char path[MOST_PATH];
    long all = 0, i;
    int file;
    snprintf(path, sizeof path, "%s/../calls", folder);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    check_call(convert(in, COUNT, -1, -1, file) == SUCCESS && pread(file, &all, sizeof all, 0) == sizeof all, "counts",
               in, -1);
    close(file);
    for (i = 0; i < 100; i++) {
        put_old_target();
        check_call(convert(in, KILL, all * i / 100, -1, -1) == -SIGKILL && (is_old() || is_new()), "killed", in, i);
        leftovers(); /* a killed program cannot tidy up */
    }
    printf("note   %s: killed at 100 of %ld calls\n", in, all);
}

int main(int argc, char **argv)
{
    int i;
    if (argc < 3) return 2;
    folder = argv[1];
    snprintf(target, sizeof target, "%s/target.harp", folder);
    leftovers();
    for (i = 2; i < argc; i++) {
        long memory, files;
        test_whole(argv[i]);
        test_refused(argv[i]);
        memory = test_each(argv[i], NO_MEMORY, "out of memory");
        files = test_each(argv[i], BROKEN_FILE, "a call on a file fails");
        test_disk_full(argv[i]);
        test_killed(argv[i]);
        printf("note   %s: %ld failed requests for memory, %ld failed calls on files\n", argv[i], memory, files);
    }
    return conclude();
}
