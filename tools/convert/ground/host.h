/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * host.h - what the programs want from the operating system
 *
 * harp, harp-convert, harp-eval and harp-bench all run on this one file. host.c answers twice, with POSIX and with
 * Windows; no other file of theirs includes a system's own header or sets a feature macro, so a port to another system
 * writes host.c anew and nothing else. (The library does not use it: harp_impl.c brings what it needs.)
 *
 * Paths and arguments are UTF-8 on every system. A function that fails says so by its result and sets errno, on Windows
 * too, so that strerror(errno) tells why. */
#ifndef HARP_HOST_H
#define HARP_HOST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit status of a program that a person stopped with Ctrl-C: what shells expect, 128 + 2. */
enum { HOST_EXIT_INTERRUPTED = 130 };

/* The first call of every main(). On Windows it makes the arguments UTF-8, has the standard streams carry bytes as they
 * are, and asks the console for UTF-8 and colours; elsewhere it sees to it that no file takes the place of a standard
 * stream that is closed. The new argv lives until the program ends. */
void host_start(int *argc, char ***argv);

/* ---- clock, processors, terminal ---- */

double host_seconds(void);  /* of a clock that never goes back */
int host_processors(void);  /* those that are running, at least 1 */
int host_is_terminal(FILE *stream);
int host_has_colours(FILE *stream); /* a terminal that understands the escape sequences of ECMA-48 */

typedef enum host_line {
    HOST_LINE,         /* a line was read                                        */
    HOST_LINE_END,     /* there are no more lines                                */
    HOST_LINE_STOPPED, /* Ctrl-C, which host_catch_interrupt turned into a flag  */
    HOST_LINE_FAILED   /* a device's error, or no memory                         */
} host_line;

/* Reads a line from standard input into *line (malloc'ed, grown as needed, freed by the caller; zero-terminated,
 * without the end of the line); *bytes is its length. */
host_line host_read_line(char **line, size_t *capacity, size_t *bytes);

/* Single keys, for an editor of its own. From host_begin_keys to host_end_keys what is typed comes byte by byte (UTF-8,
 * and the escape sequences of ECMA-48), unechoed; Ctrl-C and its like are bytes, too, and pasted text stands in between
 * ESC [200~ and ESC [201~, if the terminal can do that. 0: standard input or output is no such terminal; read lines. */
int host_begin_keys(void);
void host_end_keys(void);
int host_read_key(void);  /* waits; 0..255, or minus HOST_LINE_END, _STOPPED or _FAILED */
int host_key_waits(void); /* 1: the next one is here already */
void host_suspend(void);  /* what Ctrl-Z does elsewhere: to be called with keys begun, and so it returns */
void host_terminal_size(int *columns, int *rows); /* of standard output; 80 and 24 if that is not known */

/* ---- Ctrl-C ---- */

/* From now on Ctrl-C sets a flag instead of ending the program. With `once` that holds for the first one alone: a
 * second one ends the program at once. A SIGINT that this program was started to ignore (by nohup, or by a shell that
 * put it into the background) stays ignored. */
void host_catch_interrupt(int once);
int host_interrupted(void);
void host_forget_interrupt(void);

/* ---- files ---- */

enum { HOST_PATH_BYTES = 4096 };

FILE *host_fopen(const char *path, const char *mode); /* fopen, with UTF-8 paths and without translating line ends */
int host_remove(const char *path);
int host_rename(const char *from, const char *to); /* replaces what is there */

typedef enum host_kind {
    HOST_NOTHING, /* there is nothing, or it may not be looked at */
    HOST_FILE,
    HOST_FOLDER,
    HOST_OTHER /* a pipe, a device, a socket */
} host_kind;

host_kind host_kind_of(const char *path);
int host_is_same_file(const char *a, const char *b); /* both are there, and are one, through links, too */
const char *host_file_name(const char *path);        /* what follows the last separator */

/* A file that is read at any place, by several threads at once. Opening takes regular files alone and never waits: for
 * anything else it returns -1 with *bytes = HOST_NOT_REGULAR. Reading returns how many bytes came (0 at the end; there
 * may be fewer than asked for), -1 on failure. */
#define HOST_NOT_REGULAR UINT64_MAX
int host_open(const char *path, uint64_t *bytes);
ptrdiff_t host_read_at(int file, uint64_t offset, void *into, size_t bytes);
int host_close(int file);

/* A file that shall not be there before it is complete: made under a new name beside the target, written, flushed, and
 * moved over the target by host_finish. A target that is there keeps its permissions, and as a symbolic link stays one:
 * what it leads to is replaced. One at a time; until then a signal that ends the program removes it first. */
int host_begin(const char *target, char name[HOST_PATH_BYTES]); /* -1: failed; name is what could not be made */
ptrdiff_t host_write(int file, const void *data, size_t bytes); /* may write fewer */
int host_seek(int file, uint64_t offset);
/* Flushes and closes it; under its new name it may then be looked at before host_finish(-1) moves it. */
int host_complete(int file);
/* Completes it (unless file is -1: it is) and moves it. It is closed in any case; on failure host_discard(-1) removes
 * it. */
int host_finish(int file);
void host_discard(int file);                   /* closes (unless -1) and removes it */

/* A new, empty file in the folder for such files (TMPDIR, or TEMP on Windows), whose name begins with `prefix`. -1:
 * failed; path is what could not be made. One at a time. It may be the target of host_begin. host_remove_temporary
 * removes it, and so does a signal that ends the program. On Windows it must not be mapped then. */
int host_temporary(const char *prefix, char path[HOST_PATH_BYTES]);
void host_remove_temporary(void);

/* A whole file as memory, read-only. NULL on failure. */
const unsigned char *host_map(const char *path, size_t *bytes);
void host_unmap(const unsigned char *image, size_t bytes);

/* How a file lies in memory, for measurements. On success 0; where the system does not let a program say it, -1.
 * Afterwards the system's cache holds the file as if it had just been read (in large pages, where the file system has
 * them), or, if `scattered`, in single pages from anywhere in memory, as a cache does that has been in use for days. */
int host_reread(const char *path, int scattered);

/* Memory in large pages, where the system has them; zeros. NULL: none. */
void *host_large_alloc(size_t bytes);
void host_large_free(void *block, size_t bytes);

/* How much of the mapping that `block` lies in is in pages of 2 MiB or more, 0 to 1; -1: the system does not say.
 * What has not been touched yet does not count. */
double host_large_share(const void *block);

/* ---- other programs ---- */

enum { HOST_MOST_ARGUMENTS = 16 };

/* Runs another of our programs, from the folder of this one, and waits. The arguments end with NULL; the name is not
 * among them. What it prints goes to standard error. Returns its exit status, or -1 if it could not be run. */
int host_call(const char *program, const char *const *arguments);

/* ---- threads ---- */

enum { HOST_MOST_THREADS = 256 };

/* Runs work(user, 0) here and work(user, 1) ... work(user, n - 1) in threads of their own; returns when all are done.
 * If a thread cannot start, its share is done here, after the others' have begun. */
void host_run(int n, void (*work)(void *user, int which), void *user);

/* A lock, with a signal to wait for. */
typedef struct host_lock host_lock;

host_lock *host_lock_make(void); /* NULL: no memory */
void host_lock_free(host_lock *lock); /* NULL is fine */
void host_lock_take(host_lock *lock);
void host_lock_give(host_lock *lock);
void host_lock_wait(host_lock *lock); /* gives the lock until somebody wakes those who wait; may return for nothing */
void host_lock_wake(host_lock *lock); /* all who wait */

#endif
