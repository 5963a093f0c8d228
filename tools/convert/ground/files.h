/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * files.h - the converter's files: ground/host.h, with sentences for what can go wrong */
#ifndef HARP_CONVERT_FILES_H
#define HARP_CONVERT_FILES_H

#include "error.h"
#include "host.h"

/* Names the file that is to be replaced in the end, before anything is read: from then on cv_file_open refuses it, by
 * this name or another one. The text must stay alive; NULL: none. */
void cv_protect_inputs_from(const char *target);

/* A file that is read at any place. path must stay alive while the file is open. */
typedef struct cv_file {
    const char *path;
    uint64_t bytes;
    int handle; /* -1: not open */
} cv_file;

int cv_file_open(cv_file *file, const char *path, cv_error *err); /* regular files only                     */
int cv_file_read(const cv_file *file, uint64_t offset, void *out, size_t bytes, cv_error *err); /* all of them */
void cv_file_close(cv_file *file);

/* Reads a whole file of at most max bytes; one zero byte follows the contents. The caller frees *data. */
int cv_read_file(const char *path, size_t max, char **data, size_t *bytes, cv_error *err);
int cv_file_exists(const char *path); /* 1 for pipes and devices, too: opening them says that they are not taken */
int cv_path_join(char *out, size_t capacity, const char *folder, const char *file, cv_error *err);
int cv_folder_of(char *out, size_t capacity, const char *path, cv_error *err); /* what stands before a file's name */

/* A file that appears under its name when it is complete, and not before; see host_begin. One at a time. */
typedef struct cv_output {
    const char *target;
    char name[HOST_PATH_BYTES]; /* until it is complete */
    int handle; /* -1: not open */
} cv_output;

/* Looks at the file while it is complete, but not yet there: -1 with a sentence refuses it. */
typedef int cv_accept_fn(const char *name, cv_error *err);

int cv_output_open(cv_output *out, const char *target, cv_error *err);
int cv_output_write(cv_output *out, const void *data, size_t bytes, cv_error *err); /* at the end        */
int cv_output_rewrite(cv_output *out, uint64_t offset, const void *data, size_t bytes, cv_error *err);
/* accept may be NULL. On failure the unfinished file is gone, too. */
int cv_output_commit(cv_output *out, cv_accept_fn *accept, cv_error *err);
void cv_output_discard(cv_output *out);

#endif
