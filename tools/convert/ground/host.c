/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * host.c - the programs' operating system; see host.h
 *
 * First what needs no system, then POSIX, then Windows, in the same order; last what stands on either. */

/* Strict C99 hides POSIX until it is asked for. Each of these opens one family of systems; FreeBSD hides nothing. */
#define _DEFAULT_SOURCE 1  /* glibc, musl, newlib */
#define _DARWIN_C_SOURCE 1 /* macOS */
#define _NETBSD_SOURCE 1   /* NetBSD */
#define __EXTENSIONS__ 1   /* Solaris */
#define _FILE_OFFSET_BITS 64 /* files of many gigabytes on 32-bit systems, too */
#if defined(_WIN32) && !defined(_WIN32_WINNT)
#define _WIN32_WINNT 0x0601 /* Windows 7: older MinGW hides condition variables otherwise */
#endif
#include "host.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <shellapi.h>

#include <fcntl.h>
#include <io.h>
#include <process.h>
#else
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#endif

#define LARGEST_TRANSFER ((size_t)1 << 30) /* some systems refuse 2 GiB in one call */

/* What a signal that ends the program removes: the file of host_begin, and that of host_temporary. */
static char unfinished[HOST_PATH_BYTES], temporary[HOST_PATH_BYTES];

/* Where the file of host_begin goes. */
static char place[HOST_PATH_BYTES];

static const char *own_path = ""; /* argv[0] */

static volatile sig_atomic_t interrupted;

int host_interrupted(void)
{
    return interrupted != 0;
}

void host_forget_interrupt(void)
{
    interrupted = 0;
}

const char *host_file_name(const char *path)
{
    const char *name = path, *p;
    for (p = path; *p; p++) {
        if (*p == '/') name = p + 1;
#if defined(_WIN32)
        if (*p == '\\' || (*p == ':' && p == path + 1)) name = p + 1;
#endif
    }
    return name;
}

/* A line byte by byte, from a source that knows how to wait: 0..255, or minus a host_line. */
static int next_byte(void);

static int keep_byte(char **line, size_t *capacity, size_t at, char byte)
{
    if (at + 1 >= *capacity) {
        size_t more = *capacity ? *capacity * 2 : 256;
        char *grown = more > *capacity ? (char *)realloc(*line, more) : NULL;
        if (!grown) return 0;
        *line = grown, *capacity = more;
    }
    (*line)[at] = byte, (*line)[at + 1] = 0;
    return 1;
}

host_line host_read_line(char **line, size_t *capacity, size_t *bytes)
{
    int c = -HOST_LINE_END;
    *bytes = 0;
    if (!keep_byte(line, capacity, 0, 0)) return HOST_LINE_FAILED;
    while ((c = next_byte()) >= 0 && c != '\n') {
        if (!keep_byte(line, capacity, *bytes, (char)c)) return HOST_LINE_FAILED;
        ++*bytes;
    }
    if (c < 0 && !(c == -HOST_LINE_END && *bytes > 0)) return (host_line)-c;
    if (*bytes > 0 && (*line)[*bytes - 1] == '\r') (*line)[--*bytes] = 0; /* a file that Windows wrote */
    return HOST_LINE;
}

/* Terminals that know bracketed paste mark what is pasted; others ignore this. */
static const char mark_pastes[] = "\033[?2004h", leave_pastes[] = "\033[?2004l";

static void tell_terminal(const char *sequence)
{
    fputs(sequence, stdout);
    fflush(stdout);
}

/* Bytes of keys that came together are handed out one by one. */
static char typed[4 * 512];
static int n_typed, next_typed;

int host_key_waits(void)
{
    return next_typed < n_typed;
}

#if !defined(_WIN32)

/* ==== POSIX ==== */

/* A standard stream that is closed gets the empty device, the wrong way round: using it fails as before. Otherwise the
 * next file opened would take its number, and what is printed would go into that file. */
void host_start(int *argc, char ***argv)
{
    int i;
    for (i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) < 0 && open("/dev/null", i == 0 ? O_WRONLY : O_RDONLY) < 0) break;
    if (*argc > 0) own_path = (*argv)[0];
}

/* ---- clock, processors, terminal ---- */

double host_seconds(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0.0;
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int host_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 1 << 20 ? 1 << 20 : (int)n;
}

int host_is_terminal(FILE *stream)
{
    return isatty(fileno(stream));
}

int host_has_colours(FILE *stream)
{
    const char *kind = getenv("TERM");
    return host_is_terminal(stream) && kind && kind[0] && strcmp(kind, "dumb") != 0;
}

/* A pipe that on_interrupt writes to: so a Ctrl-C just before the waiting, or in another thread, ends it, too. */
static int wake[2] = {-1, -1};

static void wake_up(void)
{
    int reason = errno;
    if (wake[1] >= 0 && write(wake[1], "", 1) < 0) errno = 0; /* it is full: that wakes as well */
    errno = reason;
}

/* Waits for bytes on standard input. 0: Ctrl-C came first. */
static int wait_for_input(void)
{
    char stale[16];
    unsigned woken = wake[0] >= 0 ? (unsigned)wake[0] : STDIN_FILENO; /* some systems' FD_SET warns of an int */
    fd_set set;
    while (!interrupted) {
        FD_ZERO(&set);
        FD_SET(STDIN_FILENO, &set);
        FD_SET(woken, &set);
        if (select((int)woken + 1, &set, NULL, NULL, NULL) < 0) {
            if (errno != EINTR) return 1; /* reading says what is wrong */
            continue;
        }
        if (FD_ISSET(STDIN_FILENO, &set)) return 1;
        if (wake[0] >= 0 && read(wake[0], stale, sizeof stale) < 0 && errno != EINTR) return 1;
    }
    return 0;
}

int host_read_key(void)
{
    if (!host_key_waits()) {
        ssize_t n = wait_for_input() ? read(STDIN_FILENO, typed, sizeof typed) : -1;
        if (n < 0 && (interrupted || errno == EINTR)) return -HOST_LINE_STOPPED;
        if (n <= 0) return n == 0 ? -HOST_LINE_END : -HOST_LINE_FAILED;
        n_typed = (int)n, next_typed = 0;
    }
    return (unsigned char)typed[next_typed++];
}

static int next_byte(void)
{
    static int is_typed = -1;
    int c;
    if (is_typed < 0) is_typed = host_is_terminal(stdin);
    if (is_typed) return host_read_key();
    errno = 0;
    c = getc(stdin);
    if (c != EOF) return c;
    if (feof(stdin)) return -HOST_LINE_END;
    clearerr(stdin);
    return errno == EINTR ? -HOST_LINE_STOPPED : -HOST_LINE_FAILED;
}

/* ---- signals ---- */

static const int endings[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
enum { N_ENDINGS = sizeof endings / sizeof *endings };

static void block_endings(sigset_t *before)
{
    sigset_t set;
    int i;
    sigemptyset(&set);
    for (i = 0; i < N_ENDINGS; i++) sigaddset(&set, endings[i]);
    pthread_sigmask(SIG_BLOCK, &set, before);
}

static void unblock_endings(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* The terminal as it was before host_begin_keys. */
static struct termios mode_before;
static volatile sig_atomic_t keys_begun;

/* Removes these files, gives the terminal back and lets the signal do what it does by default. */
static void on_ending(int number)
{
    if (keys_begun) {
        tcsetattr(STDIN_FILENO, TCSANOW, &mode_before);
        if (write(STDOUT_FILENO, leave_pastes, sizeof leave_pastes - 1) < 0) keys_begun = 0;
    }
    if (unfinished[0]) unlink(unfinished);
    if (temporary[0]) unlink(temporary);
    signal(number, SIG_DFL);
    raise(number);
}

/* The second Ctrl-C after host_catch_interrupt(1) is an ending like any other. */
static volatile sig_atomic_t second_ends;

static void on_interrupt(int number)
{
    if (interrupted && second_ends) on_ending(number);
    interrupted = 1;
    wake_up();
}

/* Not inherited, and never waited for. Without it Ctrl-C is noticed a little later, or at the next key. */
static void make_wake(void)
{
    int i, ends[2];
    if (wake[0] >= 0 || pipe(ends) != 0) return;
    for (i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    if (ends[0] < FD_SETSIZE && ends[1] < FD_SETSIZE) wake[0] = ends[0], wake[1] = ends[1];
    else close(ends[0]), close(ends[1]);
}

void host_catch_interrupt(int once)
{
    struct sigaction action, before;
    if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler == SIG_IGN) return;
    make_wake();
    second_ends = once;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt; /* without SA_RESTART: Ctrl-C ends the reading of a line */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

/* A signal that somebody had ignored (nohup does) or catches already stays as it is. */
static void catch_endings(void)
{
    struct sigaction action, before;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_ending;
    sigemptyset(&action.sa_mask);
    for (i = 0; i < N_ENDINGS; i++)
        if (sigaction(endings[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(endings[i], &action, NULL);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* the failing write says it */
#endif
}

/* ---- keys ---- */

int host_begin_keys(void)
{
    struct termios keys;
    if (!host_is_terminal(stdin) || !host_has_colours(stdout) || tcgetattr(STDIN_FILENO, &mode_before) != 0) return 0;
    catch_endings(); /* a shell would be left without an echo */
    keys = mode_before;
    keys.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    keys.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
    keys.c_cc[VMIN] = 1, keys.c_cc[VTIME] = 0;
    keys_begun = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &keys) != 0) return keys_begun = 0;
    tell_terminal(mark_pastes);
    return 1;
}

void host_end_keys(void)
{
    tell_terminal(leave_pastes);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &mode_before);
    keys_begun = 0;
}

void host_suspend(void)
{
    host_end_keys();
    raise(SIGTSTP);
    host_begin_keys();
}

void host_terminal_size(int *columns, int *rows)
{
    struct winsize size;
    int known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    *columns = known ? size.ws_col : 80, *rows = known ? size.ws_row : 24;
}

/* ---- files ---- */

FILE *host_fopen(const char *path, const char *mode)
{
    return fopen(path, mode);
}

int host_remove(const char *path)
{
    return unlink(path);
}

int host_rename(const char *from, const char *to)
{
    return rename(from, to);
}

static host_kind kind_of(const struct stat *status)
{
    return S_ISREG(status->st_mode) ? HOST_FILE : S_ISDIR(status->st_mode) ? HOST_FOLDER : HOST_OTHER;
}

host_kind host_kind_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? kind_of(&status) : HOST_NOTHING;
}

int host_is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int host_open(const char *path, uint64_t *bytes)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_NONBLOCK); /* a named pipe must not block; regular files do not care */
    *bytes = 0;
    if (file < 0) return -1;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode)) {
        *bytes = (uint64_t)status.st_size;
        return file;
    }
    *bytes = HOST_NOT_REGULAR;
    close(file);
    return -1;
}

ptrdiff_t host_read_at(int file, uint64_t offset, void *into, size_t bytes)
{
    ssize_t n;
    do n = pread(file, into, bytes < LARGEST_TRANSFER ? bytes : LARGEST_TRANSFER, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n;
}

int host_close(int file)
{
    return close(file);
}

/* Makes a file that was not there. `slot` names it from then on, so that a signal that ends the program removes it. */
static int make_file(const char *path, char slot[HOST_PATH_BYTES])
{
    sigset_t before;
    int file, reason;
    catch_endings();
    block_endings(&before);
    file = open(path, O_RDWR | O_CREAT | O_EXCL, 0666);
    reason = errno;
    if (file >= 0) memcpy(slot, path, strlen(path) + 1);
    unblock_endings(&before);
    errno = reason;
    return file;
}

static unsigned long own_number(void)
{
    return (unsigned long)getpid();
}

/* What a symbolic link leads to is replaced, not the link. 0: the path is too long. */
static int find_place(const char *target)
{
    char *real = realpath(target, NULL);
    int n = snprintf(place, sizeof place, "%s", real ? real : target);
    free(real);
    return n >= 0 && n < (int)sizeof place;
}

/* Who may read what is replaced may read what replaces it, and nobody else. */
static void take_permissions(int file)
{
    struct stat st;
    if (stat(place, &st) == 0 && fchmod(file, st.st_mode & 07777) != 0) errno = 0; /* a file system without them */
}

/* Where temporary files go, with a separator behind it. 0: the path is too long. */
static int temporary_folder(char folder[HOST_PATH_BYTES])
{
    const char *told = getenv("TMPDIR");
    int n = snprintf(folder, HOST_PATH_BYTES, "%s/", told && told[0] ? told : "/tmp");
    return n >= 0 && n < HOST_PATH_BYTES;
}

ptrdiff_t host_write(int file, const void *data, size_t bytes)
{
    ssize_t n;
    do n = write(file, data, bytes < LARGEST_TRANSFER ? bytes : LARGEST_TRANSFER);
    while (n < 0 && errno == EINTR);
    return n;
}

int host_seek(int file, uint64_t offset)
{
    return lseek(file, (off_t)offset, SEEK_SET) < 0 ? -1 : 0;
}

/* Without this a power failure can bring the old name back. Not every file system can; then there is nothing to do. */
static void flush_folder(void)
{
    char folder[HOST_PATH_BYTES];
    size_t n = (size_t)(host_file_name(place) - place);
    int handle;
    if (n >= sizeof folder) return;
    memcpy(folder, place, n);
    folder[n] = 0;
    handle = open(n ? folder : ".", O_RDONLY);
    if (handle < 0) return;
    fsync(handle);
    close(handle);
}

/* The renamed file is not to be removed any more, so signals wait until both are done. */
static int rename_unfinished(void)
{
    sigset_t before;
    int failed;
    block_endings(&before);
    failed = rename(unfinished, place) != 0 ? errno : 0;
    if (!failed) unfinished[0] = 0;
    unblock_endings(&before);
    return failed;
}

int host_complete(int file)
{
    int failed = fsync(file) != 0 ? errno : 0;
    if (close(file) != 0 && !failed) failed = errno;
    errno = failed;
    return failed ? -1 : 0;
}

int host_finish(int file)
{
    int failed;
    if (file >= 0 && host_complete(file) < 0) return -1;
    failed = rename_unfinished();
    if (!failed) flush_folder();
    errno = failed;
    return failed ? -1 : 0;
}

static void remove_file(char slot[HOST_PATH_BYTES])
{
    sigset_t before;
    block_endings(&before);
    if (slot[0]) unlink(slot);
    slot[0] = 0;
    unblock_endings(&before);
}

const unsigned char *host_map(const char *path, size_t *bytes)
{
    uint64_t size;
    int file = host_open(path, &size);
    void *image = MAP_FAILED;
    if (file < 0) return NULL;
    if (size > 0 && size <= SIZE_MAX) image = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    *bytes = (size_t)size;
    return image == MAP_FAILED ? NULL : (const unsigned char *)image;
}

void host_unmap(const unsigned char *image, size_t bytes)
{
    munmap((void *)(uintptr_t)image, bytes);
}

/* ---- how a file lies in memory ---- */

enum { PAGE = 4096 };

#if defined(POSIX_FADV_RANDOM) && defined(POSIX_FADV_DONTNEED)
/* Brings the pages into memory one by one: in order, or each after another drawn at random (xorshift, Marsaglia 2003),
 * so that neighbours do not come together. */
static int read_pages(int file, size_t pages, int scattered)
{
    uint32_t *order = malloc(pages * sizeof *order), random = 2463534242u;
    char page[PAGE];
    size_t i;
    int failed = !order;
    for (i = 0; i < pages && !failed; i++) {
        size_t other;
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        other = scattered ? random % (i + 1) : i;
        order[i] = order[other], order[other] = (uint32_t)i;
    }
    for (i = 0; i < pages && !failed && !interrupted; i++)
        failed = pread(file, page, sizeof page, (off_t)order[i] * PAGE) < 0;
    free(order);
    return failed ? -1 : 0;
}

int host_reread(const char *path, int scattered)
{
    uint64_t size;
    int file = host_open(path, &size), failed;
    if (file < 0) return -1;
    fsync(file); /* pages that are not written yet stay */
    failed = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) || posix_fadvise(file, 0, 0, scattered ? POSIX_FADV_RANDOM
                                                                                                   : POSIX_FADV_NORMAL);
    failed = failed || size / PAGE > UINT32_MAX - 1 || read_pages(file, (size_t)(size / PAGE) + 1, scattered);
    close(file);
    return failed ? -1 : 0;
}
#else
int host_reread(const char *path, int scattered)
{
    (void)path, (void)scattered;
    errno = ENOSYS;
    return -1;
}
#endif

void *host_large_alloc(size_t bytes)
{
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (block == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(block, bytes, MADV_HUGEPAGE); /* a wish: without it the pages are small ones */
#endif
    return block;
}

void host_large_free(void *block, size_t bytes)
{
    if (block) munmap(block, bytes);
}

/* Linux lists each mapping in /proc/self/smaps, and after its first line what it consists of:
 * "7f15f200000-7f154cee000 r--p ...", "Rss: 1141688 kB", "AnonHugePages: 0 kB", "FilePmdMapped: 1110016 kB". */
double host_large_share(const void *block)
{
    static const char *const large_pages[] = {"AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:"};
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    double all = 0.0, large = 0.0;
    int is_ours = 0, i;
    while (maps && fgets(line, sizeof line, maps)) {
        char *end;
        unsigned long long first = strtoull(line, &end, 16), last = *end == '-' ? strtoull(end + 1, NULL, 16) : 0;
        const char *value = strchr(line, ':');
        if (last > 0) is_ours = (uintptr_t)block >= first && (uintptr_t)block < last;
        if (!is_ours || !value) continue;
        if (strncmp(line, "Size:", 5) == 0) all = strtod(value + 1, NULL);
        for (i = 0; i < 3; i++)
            if (strncmp(line, large_pages[i], strlen(large_pages[i])) == 0) large += strtod(value + 1, NULL);
    }
    if (maps) fclose(maps);
    return all > 0.0 ? large / all : -1.0;
}

/* ---- threads ---- */

typedef struct share {
    pthread_t thread;
    void (*work)(void *user, int which);
    void *user;
    int which;
} share;

static void *run_share(void *argument)
{
    const share *s = (const share *)argument;
    s->work(s->user, s->which);
    return NULL;
}

static int start_share(share *s)
{
    return pthread_create(&s->thread, NULL, run_share, s) == 0;
}

static void await_share(share *s)
{
    pthread_join(s->thread, NULL);
}

struct host_lock {
    pthread_mutex_t mutex;
    pthread_cond_t woken;
};

host_lock *host_lock_make(void)
{
    host_lock *lock = (host_lock *)malloc(sizeof *lock);
    if (!lock) return NULL;
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->woken, NULL);
    return lock;
}

void host_lock_free(host_lock *lock)
{
    if (!lock) return;
    pthread_mutex_destroy(&lock->mutex);
    pthread_cond_destroy(&lock->woken);
    free(lock);
}

void host_lock_take(host_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

void host_lock_give(host_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

void host_lock_wait(host_lock *lock)
{
    pthread_cond_wait(&lock->woken, &lock->mutex);
}

void host_lock_wake(host_lock *lock)
{
    pthread_cond_broadcast(&lock->woken);
}

/* A path without a folder is looked for where the shell looks, as ours was. */
static int call(const char *path, const char *const *argv)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        dup2(2, 1);
        execvp(path, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    if (child < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#else

/* ==== Windows ==== */

/* Why the last call failed, as errno. */
static int fail_as_windows_did(void)
{
    switch (GetLastError()) {
    case ERROR_FILE_NOT_FOUND: case ERROR_PATH_NOT_FOUND: case ERROR_INVALID_NAME: errno = ENOENT; break;
    case ERROR_ACCESS_DENIED: case ERROR_SHARING_VIOLATION: case ERROR_LOCK_VIOLATION: errno = EACCES; break;
    case ERROR_FILE_EXISTS: case ERROR_ALREADY_EXISTS: errno = EEXIST; break;
    case ERROR_DISK_FULL: case ERROR_HANDLE_DISK_FULL: errno = ENOSPC; break;
    case ERROR_NOT_ENOUGH_MEMORY: case ERROR_OUTOFMEMORY: errno = ENOMEM; break;
    default: errno = EIO;
    }
    return -1;
}

/* UTF-8 as UTF-16. 0 if it is none, or too long. */
static int widen(const char *text, wchar_t wide[HOST_PATH_BYTES])
{
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, HOST_PATH_BYTES) > 0) return 1;
    errno = EINVAL;
    return 0;
}

/* The same as UTF-8, malloc'ed. */
static char *narrow(const wchar_t *wide)
{
    int n = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = n > 0 ? (char *)malloc((size_t)n) : NULL;
    if (text) WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, n, NULL, NULL);
    return text;
}

static UINT pages_before[2]; /* of the console: it outlives us, so it gets its code pages back */

static void give_pages_back(void)
{
    SetConsoleCP(pages_before[0]);
    SetConsoleOutputCP(pages_before[1]);
}

static void ask_for_colours(DWORD which)
{
    HANDLE console = GetStdHandle(which);
    DWORD mode;
    if (GetConsoleMode(console, &mode)) SetConsoleMode(console, mode | 4u); /* ENABLE_VIRTUAL_TERMINAL_PROCESSING */
}

void host_start(int *argc, char ***argv)
{
    int n = 0, i;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &n);
    char **narrowed = wide ? (char **)calloc((size_t)n + 1, sizeof *narrowed) : NULL;
    for (i = 0; narrowed && i < n && (narrowed[i] = narrow(wide[i])) != NULL; i++) {}
    if (narrowed && i == n) *argc = n, *argv = narrowed;
    if (*argc > 0) own_path = (*argv)[0];
    LocalFree(wide);
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    /* without a buffer the console gets single bytes, and shows none of the characters that have several */
    if (host_is_terminal(stdout)) setvbuf(stdout, NULL, _IOFBF, 1u << 16);
    pages_before[0] = GetConsoleCP(), pages_before[1] = GetConsoleOutputCP();
    if (pages_before[0]) {
        atexit(give_pages_back);
        SetConsoleCP(CP_UTF8);
        SetConsoleOutputCP(CP_UTF8);
    }
    ask_for_colours(STD_OUTPUT_HANDLE);
    ask_for_colours(STD_ERROR_HANDLE);
}

/* ---- clock, processors, terminal ---- */

double host_seconds(void)
{
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return (double)now.QuadPart / (double)rate.QuadPart;
}

int host_processors(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors < 1 ? 1 : (int)info.dwNumberOfProcessors;
}

static HANDLE handle_of(FILE *stream)
{
    return (HANDLE)_get_osfhandle(_fileno(stream));
}

int host_is_terminal(FILE *stream)
{
    DWORD mode;
    return GetConsoleMode(handle_of(stream), &mode) != 0;
}

int host_has_colours(FILE *stream)
{
    DWORD mode;
    return GetConsoleMode(handle_of(stream), &mode) && (mode & 4u);
}

static DWORD mode_before; /* the console's mode before host_begin_keys */
static int keys_begun;

int host_begin_keys(void)
{
    HANDLE console = handle_of(stdin);
    DWORD by_line = ENABLE_PROCESSED_INPUT | ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT;
    if (!GetConsoleMode(console, &mode_before) || !host_has_colours(stdout)) return 0;
    /* ENABLE_VIRTUAL_TERMINAL_INPUT, which Windows before 10 does not have */
    if (!SetConsoleMode(console, (mode_before & ~by_line) | 0x200u)) return SetConsoleMode(console, mode_before), 0;
    keys_begun = 1;
    tell_terminal(mark_pastes);
    return 1;
}

void host_end_keys(void)
{
    tell_terminal(leave_pastes);
    SetConsoleMode(handle_of(stdin), mode_before);
    keys_begun = 0;
}

void host_suspend(void) {} /* there is no such thing */

void host_terminal_size(int *columns, int *rows)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    int known = GetConsoleScreenBufferInfo(handle_of(stdout), &info) != 0;
    *columns = known ? info.srWindow.Right - info.srWindow.Left + 1 : 80;
    *rows = known ? info.srWindow.Bottom - info.srWindow.Top + 1 : 24;
}

/* What people type comes in UTF-16, whatever the code page; it is handed on as UTF-8. Ctrl-C ends the reading with
 * nothing read and this error. */
static int next_typed_byte(HANDLE console)
{
    static wchar_t wide[512];
    DWORD got = 0;
    if (!host_key_waits()) {
        SetLastError(0);
        if (!ReadConsoleW(console, wide, 511, &got, NULL)) return -HOST_LINE_FAILED;
        if (got == 0 && GetLastError() == ERROR_OPERATION_ABORTED) {
            Sleep(50); /* the handler runs in a thread of its own */
            return -HOST_LINE_STOPPED;
        }
        if (got == 0 || (wide[0] == 26 && !keys_begun)) return -HOST_LINE_END; /* Ctrl-Z */
        /* a character of two units is not to be cut: its other half is read, too */
        if (wide[got - 1] >= 0xD800 && wide[got - 1] < 0xDC00) {
            DWORD more = 0;
            if (ReadConsoleW(console, wide + got, 1, &more, NULL)) got += more;
        }
        n_typed = WideCharToMultiByte(CP_UTF8, 0, wide, (int)got, typed, (int)sizeof typed, NULL, NULL);
        next_typed = 0;
        if (n_typed <= 0) return n_typed = 0, -HOST_LINE_FAILED;
    }
    return (unsigned char)typed[next_typed++];
}

int host_read_key(void)
{
    return next_typed_byte(handle_of(stdin));
}

static int next_byte(void)
{
    int c;
    if (host_is_terminal(stdin)) return next_typed_byte(handle_of(stdin));
    c = getc(stdin);
    if (c != EOF) return c;
    if (interrupted) return clearerr(stdin), -HOST_LINE_STOPPED;
    return feof(stdin) ? -HOST_LINE_END : -HOST_LINE_FAILED;
}

/* ---- Ctrl-C, the window's closing, the end of the session ---- */

static int catching, second_ends;

static BOOL WINAPI on_event(DWORD event)
{
    wchar_t wide[HOST_PATH_BYTES];
    int is_interrupt = event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT;
    if (is_interrupt && catching && !(interrupted && second_ends)) {
        interrupted = 1;
        return TRUE;
    }
    if (keys_begun) SetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), mode_before);
    if (unfinished[0] && widen(unfinished, wide)) DeleteFileW(wide);
    if (temporary[0] && widen(temporary, wide)) DeleteFileW(wide);
    return FALSE; /* the next handler ends the program */
}

static void handle_events(void)
{
    static int handled;
    if (!handled) SetConsoleCtrlHandler(on_event, TRUE);
    handled = 1;
}

void host_catch_interrupt(int once)
{
    catching = 1, second_ends = once;
    handle_events();
}

/* ---- files ---- */

FILE *host_fopen(const char *path, const char *mode)
{
    wchar_t wide[HOST_PATH_BYTES], wide_mode[16];
    size_t i;
    if (!widen(path, wide)) return NULL;
    for (i = 0; mode[i] && i < 14; i++) wide_mode[i] = (wchar_t)mode[i];
    if (!strchr(mode, 'b')) wide_mode[i++] = L'b';
    wide_mode[i] = 0;
    return _wfopen(wide, wide_mode);
}

int host_remove(const char *path)
{
    wchar_t wide[HOST_PATH_BYTES];
    if (!widen(path, wide)) return -1;
    return DeleteFileW(wide) ? 0 : fail_as_windows_did();
}

int host_rename(const char *from, const char *to)
{
    wchar_t wide_from[HOST_PATH_BYTES], wide_to[HOST_PATH_BYTES];
    if (!widen(from, wide_from) || !widen(to, wide_to)) return -1;
    if (MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) return 0;
    return fail_as_windows_did();
}

host_kind host_kind_of(const char *path)
{
    wchar_t wide[HOST_PATH_BYTES];
    DWORD attributes = widen(path, wide) ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
    if (attributes == INVALID_FILE_ATTRIBUTES) return HOST_NOTHING;
    if (attributes & FILE_ATTRIBUTE_DIRECTORY) return HOST_FOLDER;
    return attributes & FILE_ATTRIBUTE_DEVICE ? HOST_OTHER : HOST_FILE;
}

/* Reading, writing and removing by others stay allowed: as on POSIX, and so that on_event can remove what we write. */
static HANDLE open_handle(const char *path, DWORD access, DWORD how)
{
    wchar_t wide[HOST_PATH_BYTES];
    HANDLE h;
    if (!widen(path, wide)) return INVALID_HANDLE_VALUE;
    h = CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, how,
                    access ? FILE_ATTRIBUTE_NORMAL : FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (h == INVALID_HANDLE_VALUE) fail_as_windows_did();
    return h;
}

static int identity(const char *path, BY_HANDLE_FILE_INFORMATION *info)
{
    HANDLE h = open_handle(path, 0, OPEN_EXISTING);
    int known = h != INVALID_HANDLE_VALUE && GetFileInformationByHandle(h, info);
    if (h != INVALID_HANDLE_VALUE) CloseHandle(h);
    return known;
}

int host_is_same_file(const char *a, const char *b)
{
    BY_HANDLE_FILE_INFORMATION x, y;
    return identity(a, &x) && identity(b, &y) && x.dwVolumeSerialNumber == y.dwVolumeSerialNumber
           && x.nFileIndexHigh == y.nFileIndexHigh && x.nFileIndexLow == y.nFileIndexLow;
}

static int file_of(HANDLE h)
{
    int file = _open_osfhandle((intptr_t)h, _O_BINARY);
    if (file < 0) CloseHandle(h);
    return file;
}

int host_open(const char *path, uint64_t *bytes)
{
    host_kind kind = host_kind_of(path);
    LARGE_INTEGER size;
    HANDLE h;
    *bytes = 0;
    if (kind == HOST_FOLDER) return *bytes = HOST_NOT_REGULAR, -1; /* Windows would say that access is denied */
    h = open_handle(path, GENERIC_READ, OPEN_EXISTING);
    if (h == INVALID_HANDLE_VALUE) return -1;
    if (GetFileType(h) != FILE_TYPE_DISK || !GetFileSizeEx(h, &size)) {
        CloseHandle(h);
        return *bytes = HOST_NOT_REGULAR, -1;
    }
    *bytes = (uint64_t)size.QuadPart;
    return file_of(h);
}

ptrdiff_t host_read_at(int file, uint64_t offset, void *into, size_t bytes)
{
    OVERLAPPED at;
    DWORD n = 0;
    memset(&at, 0, sizeof at);
    at.Offset = (DWORD)offset, at.OffsetHigh = (DWORD)(offset >> 32);
    if (ReadFile((HANDLE)_get_osfhandle(file), into, (DWORD)(bytes < LARGEST_TRANSFER ? bytes : LARGEST_TRANSFER), &n,
                 &at))
        return (ptrdiff_t)n;
    return GetLastError() == ERROR_HANDLE_EOF ? 0 : fail_as_windows_did();
}

int host_close(int file)
{
    return _close(file);
}

static int make_file(const char *path, char slot[HOST_PATH_BYTES])
{
    HANDLE h;
    int file;
    handle_events();
    h = open_handle(path, GENERIC_READ | GENERIC_WRITE, CREATE_NEW);
    if (h == INVALID_HANDLE_VALUE) return -1;
    file = file_of(h);
    if (file >= 0) memcpy(slot, path, strlen(path) + 1);
    return file;
}

static unsigned long own_number(void)
{
    return (unsigned long)GetCurrentProcessId();
}

static int find_place(const char *target)
{
    int n = snprintf(place, sizeof place, "%s", target);
    return n >= 0 && n < (int)sizeof place;
}

static void take_permissions(int file)
{
    (void)file; /* a new file has those of its folder */
}

static int temporary_folder(char folder[HOST_PATH_BYTES])
{
    wchar_t wide[MAX_PATH + 2];
    char *told = GetTempPathW(MAX_PATH + 1, wide) ? narrow(wide) : NULL; /* ends with a separator */
    int n = told ? snprintf(folder, HOST_PATH_BYTES, "%s", told) : -1;
    free(told);
    return n >= 0 && n < HOST_PATH_BYTES;
}

ptrdiff_t host_write(int file, const void *data, size_t bytes)
{
    DWORD n = 0;
    if (WriteFile((HANDLE)_get_osfhandle(file), data, (DWORD)(bytes < LARGEST_TRANSFER ? bytes : LARGEST_TRANSFER), &n,
                  NULL))
        return (ptrdiff_t)n;
    return fail_as_windows_did();
}

int host_seek(int file, uint64_t offset)
{
    LARGE_INTEGER to;
    to.QuadPart = (LONGLONG)offset;
    return SetFilePointerEx((HANDLE)_get_osfhandle(file), to, NULL, FILE_BEGIN) ? 0 : fail_as_windows_did();
}

int host_complete(int file)
{
    int failed = FlushFileBuffers((HANDLE)_get_osfhandle(file)) ? 0 : fail_as_windows_did();
    return _close(file) != 0 ? -1 : failed;
}

int host_finish(int file)
{
    int failed = file >= 0 ? host_complete(file) : 0;
    if (!failed) failed = host_rename(unfinished, place);
    if (!failed) unfinished[0] = 0;
    return failed;
}

static void remove_file(char slot[HOST_PATH_BYTES])
{
    if (slot[0]) host_remove(slot);
    slot[0] = 0;
}

const unsigned char *host_map(const char *path, size_t *bytes)
{
    uint64_t size;
    int file = host_open(path, &size);
    HANDLE mapping = NULL;
    const void *image = NULL;
    if (file < 0) return NULL;
    if (size > 0 && size <= SIZE_MAX)
        mapping = CreateFileMappingW((HANDLE)_get_osfhandle(file), NULL, PAGE_READONLY, 0, 0, NULL);
    if (mapping) image = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
    if (!image) fail_as_windows_did();
    if (mapping) CloseHandle(mapping); /* the view keeps both alive */
    _close(file);
    *bytes = (size_t)size;
    return (const unsigned char *)image;
}

void host_unmap(const unsigned char *image, size_t bytes)
{
    (void)bytes;
    UnmapViewOfFile(image);
}

/* ---- how a file lies in memory ---- */

int host_reread(const char *path, int scattered)
{
    (void)path, (void)scattered;
    errno = ENOSYS;
    return -1;
}

void *host_large_alloc(size_t bytes) /* large pages want a privilege that users do not have */
{
    return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void host_large_free(void *block, size_t bytes)
{
    (void)bytes;
    if (block) VirtualFree(block, 0, MEM_RELEASE);
}

double host_large_share(const void *block)
{
    (void)block;
    return -1.0;
}

/* ---- threads ---- */

typedef struct share {
    HANDLE thread;
    void (*work)(void *user, int which);
    void *user;
    int which;
} share;

static DWORD WINAPI run_share(void *argument)
{
    const share *s = (const share *)argument;
    s->work(s->user, s->which);
    return 0;
}

static int start_share(share *s)
{
    s->thread = CreateThread(NULL, 0, run_share, s, 0, NULL);
    return s->thread != NULL;
}

static void await_share(share *s)
{
    WaitForSingleObject(s->thread, INFINITE);
    CloseHandle(s->thread);
}

struct host_lock {
    CRITICAL_SECTION mutex;
    CONDITION_VARIABLE woken;
};

host_lock *host_lock_make(void)
{
    host_lock *lock = (host_lock *)malloc(sizeof *lock);
    if (!lock) return NULL;
    InitializeCriticalSection(&lock->mutex);
    InitializeConditionVariable(&lock->woken);
    return lock;
}

void host_lock_free(host_lock *lock)
{
    if (!lock) return;
    DeleteCriticalSection(&lock->mutex);
    free(lock);
}

void host_lock_take(host_lock *lock)
{
    EnterCriticalSection(&lock->mutex);
}

void host_lock_give(host_lock *lock)
{
    LeaveCriticalSection(&lock->mutex);
}

void host_lock_wait(host_lock *lock)
{
    SleepConditionVariableCS(&lock->woken, &lock->mutex, INFINITE);
}

void host_lock_wake(host_lock *lock)
{
    WakeAllConditionVariable(&lock->woken);
}

/* An argument as the other program's start takes it apart: in quotes, before which backslashes are doubled. */
static wchar_t *quoted(const char *text)
{
    wchar_t wide[HOST_PATH_BYTES], *out, *p;
    size_t i, run = 0;
    if (!widen(text, wide) || !(out = (wchar_t *)malloc((2 * wcslen(wide) + 3) * sizeof *out))) return NULL;
    p = out, *p++ = L'"';
    for (i = 0; wide[i]; i++) {
        run = wide[i] == L'\\' ? run + 1 : 0;
        if (wide[i] == L'"') *p++ = L'\\';
        *p++ = wide[i];
        if (run > 0 && (wide[i + 1] == L'"' || !wide[i + 1]))
            for (; run > 0; run--) *p++ = L'\\';
    }
    *p++ = L'"', *p = 0;
    return out;
}

static int call(const char *path, const char *const *argv)
{
    wchar_t wide[HOST_PATH_BYTES], *args[HOST_MOST_ARGUMENTS + 2] = {NULL};
    int i, n = 0, whole = widen(path, wide), out = _dup(1);
    intptr_t status = -1;
    for (; whole && argv[n]; n++) whole = (args[n] = quoted(argv[n])) != NULL;
    _dup2(2, 1);
    if (whole) status = _wspawnvp(_P_WAIT, wide, (const wchar_t *const *)args);
    if (out >= 0) _dup2(out, 1), _close(out);
    for (i = 0; i < n; i++) free(args[i]);
    return (int)status;
}

#endif

/* ==== both ==== */

static int is_whole(int n) /* what snprintf says of a path */
{
    if (n >= 0 && n < HOST_PATH_BYTES) return 1;
    errno = ENAMETOOLONG;
    return 0;
}

int host_begin(const char *target, char name[HOST_PATH_BYTES])
{
    int file;
    if (!is_whole(find_place(target) ? 0 : HOST_PATH_BYTES)
        || !is_whole(snprintf(name, HOST_PATH_BYTES, "%s.%lu.part", place, own_number())))
        return -1;
    file = make_file(name, unfinished);
    if (file >= 0) take_permissions(file);
    return file;
}

int host_temporary(const char *prefix, char path[HOST_PATH_BYTES])
{
    char folder[HOST_PATH_BYTES];
    int i, file = -1;
    errno = ENAMETOOLONG;
    if (!temporary_folder(folder)) return -1;
    for (i = 0; file < 0 && i < 1000; i++) {
        if (!is_whole(snprintf(path, HOST_PATH_BYTES, "%s%s-%lu-%d", folder, prefix, own_number(), i))) break;
        file = make_file(path, temporary);
        if (file < 0 && errno != EEXIST) break;
    }
    return file < 0 ? -1 : host_close(file);
}

void host_discard(int file)
{
    if (file >= 0) host_close(file);
    remove_file(unfinished);
}

void host_remove_temporary(void)
{
    remove_file(temporary);
}

void host_run(int n, void (*work)(void *user, int which), void *user)
{
    share shares[HOST_MOST_THREADS];
    int i, started = 1;
    for (i = 1; i < n && i < HOST_MOST_THREADS; i++) {
        shares[i].work = work, shares[i].user = user, shares[i].which = i;
        if (!start_share(&shares[i])) break;
        started++;
    }
    work(user, 0);
    for (i = started; i < n; i++) work(user, i);
    for (i = 1; i < started; i++) await_share(&shares[i]);
}

int host_call(const char *program, const char *const *arguments)
{
    const char *argv[HOST_MOST_ARGUMENTS + 2];
    char path[HOST_PATH_BYTES];
    int n = 0, folder = (int)(host_file_name(own_path) - own_path);
    if (!is_whole(snprintf(path, sizeof path, "%.*s%s", folder, own_path, program))) return -1;
    argv[0] = path;
    for (; n < HOST_MOST_ARGUMENTS && arguments[n]; n++) argv[n + 1] = arguments[n];
    argv[n + 1] = NULL;
    fflush(NULL); /* or what is not written yet appears behind what the other says */
    return call(path, argv);
}
