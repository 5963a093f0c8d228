/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_gguf.c - a GGUF file: head, tensors of every block type, and its tokenizer, up to a model that runs
 *
 * The input is tried as it is, and again with zeros behind it, so that heads whose data are missing are reached. */
#include "converted.h"

enum { MOST_BYTES = 1 << 17 };

static void read_tensors(const char *path)
{
    static float row[MOST_BYTES];
    cv_gguf g;
    cv_error err;
    size_t i;
    if (cv_gguf_open(&g, path, &err) == 0)
        for (i = 0; i < g.n; i++) {
            const cv_gguf_tensor *t = &g.tensors[i];
            char words[64];
            fz_expect(cv_gguf_tensor_of(&g, t->name) == t && t->name[0]);
            if (t->rows > 0 && t->cols <= MOST_BYTES)
                fz_expect(cv_gguf_read(&g, t, (t->rows - 1) * t->cols, t->cols, row, &err) == 0);
            cv_gguf_describe(cv_gguf_find(&g, "general.alignment"), words, sizeof words);
        }
    cv_gguf_close(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t padded[MOST_BYTES];
    const char *path;
    if (bytes > MOST_BYTES / 2) return 0;
    path = fz_write_file("model.gguf", data, bytes);
    read_tensors(path);
    memcpy(padded, data, bytes);
    memset(padded + bytes, 0, 4096);
    path = fz_write_file("model.gguf", padded, bytes + 4096);
    read_tensors(path);
    if (fz_convert(path, 0, bytes & 1) == 0) fz_go_on(data, bytes);
    if (fz_convert(path, 1, 0) == 0) fz_go_on(data, bytes); /* its tokenizer alone: most inputs have no whole model */
    return 0;
}
