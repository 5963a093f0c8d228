/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_llama2c.c - llama2.c checkpoints, versions 0 to 2, up to a model that runs
 *
 * The input is a file's first bytes; as many bytes as its header demands are added, up to a limit, so that what follows
 * the check of the size is reached. */
#include "converted.h"

enum { MOST_BYTES = 1 << 18 };

/* The number after "demands " in a refusal, or 0. */
static size_t demanded(const cv_error *err)
{
    const char *at = strstr(err->text, "demands ");
    double n = at ? strtod(at + 8, NULL) : 0.0;
    return n >= 1.0 && n <= (double)MOST_BYTES ? (size_t)n : 0;
}

static void read_all(cv_source *source)
{
    static float rows[MOST_BYTES];
    static int8_t q[MOST_BYTES];
    const cv_storage storage = {4, NULL};
    cv_plan plan;
    cv_error err;
    uint32_t i;
    int k;
    if (cv_plan_make(&plan, source, &storage, &err) < 0) return;
    for (i = 0; i < plan.n; i++)
        for (k = 0; k < plan.planned[i].n; k++) {
            const cv_matrix *m = &plan.planned[i].matrix[k];
            uint64_t last = m->rows - 1;
            if (m->cols > MOST_BYTES) continue;
            source->read(source, m, last, 1, rows, &err);
            source->read(source, m, 0, 1, rows, &err);
            source->read_q8(source, m, last, 1, q, rows, &err);
        }
    cv_plan_free(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t file[MOST_BYTES];
    char path[128];
    cv_source *source = NULL;
    cv_error err;
    size_t n = bytes;
    if (bytes > MOST_BYTES) return 0;
    memcpy(file, data, bytes);
    err.text[0] = 0;
    if (cv_open_llama2c(&source, fz_write_file("model.bin", file, n), &err) < 0) {
        fz_expect(err.text[0]);
        n = demanded(&err);
        if (n == 0) return 0;
        if (n > bytes) memset(file + bytes, 0x3C, n - bytes);
        if (cv_open_llama2c(&source, fz_write_file("model.bin", file, n), &err) < 0) return 0;
    }
    read_all(source);
    source->close(source);
    snprintf(path, sizeof path, "%s/model.bin", fz_folder);
    if (fz_convert(path, 0, bytes & 1) == 0) fz_go_on(data, bytes);
    return 0;
}
