/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * faults.h - makes the converter's calls of memory and files fail when their turn comes
 *
 * Its sources are compiled with this included first; test_convert_faults.c holds the functions. */
#ifndef HARP_TEST_FAULTS_H
#define HARP_TEST_FAULTS_H

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

void *fault_malloc(size_t bytes);
void *fault_calloc(size_t n, size_t bytes);
void *fault_realloc(void *block, size_t bytes);
ssize_t fault_pread(int file, void *into, size_t bytes, off_t offset);
ssize_t fault_write(int file, const void *from, size_t bytes);
off_t fault_lseek(int file, off_t offset, int whence);
int fault_fsync(int file);
int fault_rename(const char *from, const char *to);
int fault_open(const char *path, int flags, ...);
int fault_fstat(int file, struct stat *status);
int fault_close(int file);

#ifndef FAULTS_THEMSELVES
#define malloc fault_malloc
#define calloc fault_calloc
#define realloc fault_realloc
#define pread fault_pread
#define write fault_write
#define lseek fault_lseek
#define fsync fault_fsync
#define rename fault_rename
#define open fault_open
#define fstat(file, status) fault_fstat(file, status) /* not the struct */
#define close fault_close
#define harp_open fault_harp_open /* check.c's: the library that it opens a file with is whole */
#endif

#endif
