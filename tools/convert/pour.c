/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * pour.c - see pour.h */
#include "pour.h"
#include "bytes.h"

#include <stdlib.h>
#include <string.h>

typedef struct pour { /* one tensor on its way */
    cv_writer *writer;
    cv_source *source;
    const cv_tensor *tensor;
    const cv_planned *planned;
    cv_loss *loss;
    float *weights;      /* [16][cols], or NULL: the source has integers ...                                          */
    int8_t *integers;    /* [16][cols]                                                                                */
    float *scales;       /* [16][cols / 32]                                                                           */
    unsigned char *tile; /* what goes to the file                                                                     */
} pour;

/* ---- vectors ---- */

static int pour_vector(pour *p, cv_error *err)
{
    uint64_t n = p->tensor->cols, at = 0;
    const float *from = p->planned->n > 0 ? p->weights : p->planned->table;
    for (int i = 0; i < p->planned->n; at += p->planned->matrix[i++].cols)
        if (p->source->read(p->source, &p->planned->matrix[i], 0, 1, p->weights + at, err) < 0) return -1;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t bits = cv_bits_of_float(from[i]);
        if ((bits & 0x7F800000u) == 0x7F800000u)
            return cv_fail(err, "tensor %s: element %.0f is not finite", p->tensor->name, (double)i);
        cv_store_u32(p->tile + 4 * i, bits);
    }
    return cv_writer_add(p->writer, p->tile, (size_t)(4 * n), err);
}

/* ---- matrices ---- */

static int has_integers(cv_source *source, const cv_planned *planned, cv_error *err)
{
    for (int i = 0; i < planned->n; i++)
        if (!source->read_q8 || source->read_q8(source, &planned->matrix[i], 0, 0, NULL, NULL, err) != 0) return 0;
    return 1;
}

static int read_part(pour *p, const cv_matrix *m, uint64_t first, uint64_t n, uint64_t at, cv_error *err)
{
    uint64_t cols = p->tensor->cols;
    if (p->weights) return p->source->read(p->source, m, first, n, p->weights + at * cols, err);
    return p->source->read_q8(p->source, m, first, n, p->integers + at * cols, p->scales + at * (cols / CV_GROUP), err);
}

/* Rows first .. first + n - 1 of the stacked matrices. */
static int read_rows(pour *p, uint64_t first, uint64_t n, cv_error *err)
{
    uint64_t top = 0, done = 0; /* top: the row at which a matrix begins */
    for (int i = 0; i < p->planned->n && done < n; top += p->planned->matrix[i].rows, i++) {
        const cv_matrix *m = &p->planned->matrix[i];
        if (first + done >= top + m->rows) continue;
        uint64_t from = first + done - top, left = m->rows - from, count = left < n - done ? left : n - done;
        if (read_part(p, m, from, count, done, err) < 0) return -1;
        done += count;
    }
    return 0;
}

static int name_bad_weight(const pour *p, uint64_t first, uint64_t bad, cv_error *err)
{
    uint64_t row = first + bad / p->tensor->cols;
    int i = 0;
    while (i + 1 < p->planned->n && row >= p->planned->matrix[i].rows) row -= p->planned->matrix[i++].rows;
    return cv_fail(err, "tensor %s, row %.0f, column %.0f: the weight is not finite, or larger than 8 million",
                   p->planned->matrix[i].name, (double)row, (double)(bad % p->tensor->cols));
}

static size_t tile_bytes(const cv_tensor *t)
{
    return t->type == CV_Q8 ? cv_tile_bytes(t->cols) : cv_float_tile_bytes(t->cols);
}

static int pour_tile(pour *p, uint64_t first, cv_error *err)
{
    const cv_tensor *t = p->tensor;
    uint64_t n = t->rows - first < CV_TILE_ROWS ? t->rows - first : CV_TILE_ROWS, bad = 0;
    int failed;
    if (read_rows(p, first, n, err) < 0) return -1;
    if (t->type == CV_F32_MATRIX) failed = cv_tile_of_exact_floats(p->tile, p->weights, n, t->cols, &bad);
    else failed = p->weights ? cv_tile_of_floats(p->tile, p->weights, n, t->cols, p->loss, &bad)
                             : cv_tile_of_integers(p->tile, p->integers, p->scales, n, t->cols, p->loss, &bad);
    if (failed) return name_bad_weight(p, first, bad, err);
    return cv_writer_add(p->writer, p->tile, tile_bytes(t), err);
}

/* ---- all ---- */

static int prepare(pour *p, cv_error *err)
{
    size_t cols = (size_t)p->tensor->cols, rows = p->tensor->type == CV_F32 ? 1 : CV_TILE_ROWS;
    p->tile = cv_alloc(p->tensor->type == CV_F32 ? 4 * cols : tile_bytes(p->tensor), 1, err);
    if (!p->tile) return -1;
    if (p->tensor->type != CV_Q8 || !has_integers(p->source, p->planned, err)) {
        p->weights = cv_alloc(rows * cols, sizeof(float), err);
        return p->weights ? 0 : -1;
    }
    p->integers = cv_alloc(rows * cols, 1, err);
    p->scales = p->integers ? cv_alloc(rows * (cols / CV_GROUP), sizeof(float), err) : NULL;
    return p->scales ? 0 : -1;
}

static int pour_tensor(pour *p, cv_progress_fn *progress, void *user, cv_error *err)
{
    const cv_writer *w = p->writer;
    int failed = prepare(p, err);
    if (!failed && p->tensor->type == CV_F32) failed = pour_vector(p, err);
    for (uint64_t row = 0; !failed && p->tensor->type != CV_F32 && row < p->tensor->rows; row += CV_TILE_ROWS) {
        if (progress) progress(user, (double)(p->tensor->offset + w->written) / (double)w->file_bytes, p->tensor->name);
        failed = pour_tile(p, row, err);
    }
    free(p->weights);
    free(p->integers);
    free(p->scales);
    free(p->tile);
    return failed;
}

int cv_pour(cv_writer *writer, cv_source *source, const cv_plan *plan, cv_loss *losses, cv_progress_fn *progress,
            void *user, cv_error *err)
{
    for (uint32_t i = 0; i < plan->n; i++) {
        pour p = {0};
        p.writer = writer, p.source = source, p.tensor = &plan->tensors[i], p.planned = &plan->planned[i];
        p.loss = &losses[i];
        if (pour_tensor(&p, progress, user, err) < 0) return -1;
    }
    return 0;
}
