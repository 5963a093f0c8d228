/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_file.h - inputs for readers that want a file: a folder of our own, in memory where the system has that */
#ifndef HARP_FUZZ_FILE_H
#define HARP_FUZZ_FILE_H

#include "fuzz.h"

#include <fcntl.h>
#include <unistd.h>

static char fz_folder[64];

static void fz_remove_folder(void)
{
    static const char *const names[] = {"model.safetensors", "config.json", "tokenizer",     "tokenizer.json",
                                        "model.bin",         "model.gguf",  "out.harp"};
    char path[128];
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", fz_folder, names[i]);
        unlink(path);
    }
    rmdir(fz_folder);
}

/* Writes a file of that name into the folder; its path lives until the next call. */
static inline const char *fz_write_file(const char *name, const void *data, size_t bytes)
{
    static char path[128];
    int file;
    if (!fz_folder[0]) {
        snprintf(fz_folder, sizeof fz_folder, "%s/harp-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        fz_expect(mkdtemp(fz_folder) != NULL);
        atexit(fz_remove_folder);
    }
    snprintf(path, sizeof path, "%s/%s", fz_folder, name);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    fz_expect(file >= 0 && write(file, data, bytes) == (ssize_t)bytes);
    close(file);
    return path;
}

#endif
