/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * files.h - what harp-convert wants from the operating system
 *
 * files.c answers with POSIX; a port to another system writes this one file anew. */
#ifndef HARP_CONVERT_FILES_H
#define HARP_CONVERT_FILES_H

#include "convert.h"

enum { CV_PATH_BYTES = 4096 };

/* A file that is read at any place. path must stay alive while the file is open. */
typedef struct cv_file {
    const char *path;
    uint64_t bytes;
    int handle; /* -1: not open */
} cv_file;

int cv_file_open(cv_file *file, const char *path, cv_error *err); /* regular files only                     */
int cv_file_read(const cv_file *file, uint64_t offset, void *out, size_t bytes, cv_error *err); /* all of them */
void cv_file_close(cv_file *file);

/* A file that appears under its name when it is complete, and not before: it is written beside the target under a
 * temporary name, flushed to the disk and renamed. One at a time. Until cv_output_commit or cv_output_discard, a
 * signal that ends the program removes the temporary file first. */
typedef struct cv_output {
    const char *target;
    char temporary[CV_PATH_BYTES];
    int handle; /* -1: not open */
} cv_output;

int cv_output_open(cv_output *out, const char *target, cv_error *err);
int cv_output_write(cv_output *out, const void *data, size_t bytes, cv_error *err); /* at the end        */
int cv_output_rewrite(cv_output *out, uint64_t offset, const void *data, size_t bytes, cv_error *err);
int cv_output_commit(cv_output *out, cv_error *err); /* on failure the temporary file is gone, too        */
void cv_output_discard(cv_output *out);

int cv_is_folder(const char *path);
int cv_is_same_file(const char *a, const char *b); /* both there, and one and the same */
int cv_stderr_is_terminal(void);
double cv_seconds(void); /* of a clock that never goes back */

#endif
