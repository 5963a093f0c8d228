/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * pour.c - see pour.h
 *
 * A matrix goes in chunks of some tiles. Each thread takes the next chunk, reads it, makes tiles of it, and writes them
 * when its turn has come: writing is one thread's at a time and in order, so is reading if the source wants it, and
 * what takes the time is between. The file does not depend on how many threads there are. */
#include "pour.h"
#include "nibbles.h"
#include "../ground/bytes.h"
#include "../ground/host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the threads hold together: MOST_WEIGHTS in at most MOST_THREADS chunks (9 bytes a weight, 150 MiB), or one
 * tile. */
enum { CHUNK_WEIGHTS = 1 << 19, MOST_THREADS = 16, MOST_WEIGHTS = 1 << 24 };

typedef struct pour { /* one tensor on its way */
    cv_writer *writer;
    cv_source *source;
    const cv_tensor *tensor;
    const cv_planned *planned;
    cv_loss *loss;
    host_lock *reading, *writing;
    int as_integers;     /* the source has them          */
    int8_t table[CV_TABLE_VALUES]; /* of nibbles         */
    uint64_t chunk_rows; /* a multiple of 16             */
    uint64_t next_read;  /* row; under the lock `reading` */
    uint64_t next_write; /* row; under the lock `writing` */
    int failed;          /* the same; err says why       */
    cv_progress_fn *progress;
    void *user;
    cv_error *err;
} pour;

typedef struct lane { /* what one thread holds */
    float *weights;       /* [rows][cols], or ...                 */
    int8_t *integers;     /* [rows][cols] with ...                */
    float *scales;        /* [rows][cols / 32]                    */
    unsigned char *tiles; /* what goes to the file                */
} lane;

/* ---- vectors ---- */

static int store_vector(const pour *p, const float *from, unsigned char *out, cv_error *err)
{
    for (uint64_t i = 0; i < p->tensor->cols; i++) {
        uint32_t bits = cv_bits_of_float(from[i]);
        if ((bits & 0x7F800000u) == 0x7F800000u)
            return cv_fail(err, "tensor %s: element %.0f is not finite", p->tensor->name, (double)i);
        cv_store_u32(out + 4 * i, bits);
    }
    return 0;
}

/* What divides the logits is not written: it goes into the vectors that they are linear in. So does the root of 2, which
 * divides the sum of a layer's two inputs; the other one's share is in layer_input_scale. */
static void divide_vector(const cv_facts *f, cv_part part, float *v, size_t n)
{
    for (size_t i = 0; part == CV_LAYER_INPUT_NORM && i < n; i++) v[i] = (float)((double)v[i] * sqrt(0.5));
    if (part != CV_FINAL_NORM && part != CV_FINAL_NORM_BIAS && part != CV_OUTPUT_BIAS) return;
    for (size_t i = 0; f->logit_divisor != 0.0 && i < n; i++) v[i] = (float)((double)v[i] / f->logit_divisor);
}

static int read_vector(const pour *p, const cv_matrix *m, float *out, cv_error *err)
{
    if (p->source->read(p->source, m, 0, 1, out, err) < 0) return -1;
    divide_vector(&p->source->facts, m->part, out, (size_t)m->cols);
    return 0;
}

/* Vectors one after the other, or a table that the plan holds. */
static int pour_vector(pour *p, cv_error *err)
{
    size_t n = (size_t)p->tensor->cols, at = 0;
    float *weights = cv_alloc(n, sizeof *weights, err);
    unsigned char *out = weights ? cv_alloc(n, 4, err) : NULL;
    int failed = !out;
    for (size_t i = 0; !failed && i < n; i++) weights[i] = 1.0f;
    for (int i = 0; !failed && i < p->planned->n; at += (size_t)p->planned->matrix[i++].cols)
        failed = read_vector(p, &p->planned->matrix[i], weights + at, err) < 0;
    failed = failed || store_vector(p, p->planned->table ? p->planned->table : weights, out, err) < 0
             || cv_writer_add(p->writer, out, 4 * n, err) < 0;
    free(weights);
    free(out);
    return failed ? -1 : 0;
}

/* ---- matrices: reading ---- */

static int has_integers(cv_source *source, const cv_planned *planned, cv_error *err)
{
    for (int i = 0; i < planned->n; i++)
        if (!source->read_q8 || source->read_q8(source, &planned->matrix[i], 0, 0, NULL, NULL, err) != 0) return 0;
    return 1;
}

static int read_part(const pour *p, const lane *l, const cv_matrix *m, uint64_t first, uint64_t n, uint64_t at,
                     cv_error *err)
{
    uint64_t cols = p->tensor->cols;
    if (!p->as_integers) return p->source->read(p->source, m, first, n, l->weights + at * cols, err);
    return p->source->read_q8(p->source, m, first, n, l->integers + at * cols, l->scales + at * (cols / CV_GROUP), err);
}

/* Rows first .. first + n - 1 of the stacked matrices. */
static int read_rows(const pour *p, const lane *l, uint64_t first, uint64_t n, cv_error *err)
{
    uint64_t top = 0, done = 0; /* top: the row at which a matrix begins */
    for (int i = 0; i < p->planned->n && done < n; top += p->planned->matrix[i].rows, i++) {
        const cv_matrix *m = &p->planned->matrix[i];
        if (first + done >= top + m->rows) continue;
        uint64_t from = first + done - top, left = m->rows - from, count = left < n - done ? left : n - done;
        if (read_part(p, l, m, from, count, done, err) < 0) return -1;
        done += count;
    }
    return 0;
}

/* ---- matrices: tiles ---- */

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
    if (t->type == CV_NIBBLES) return cv_nibble_tile_bytes(t->cols);
    return t->type == CV_Q8 ? cv_tile_bytes(t->cols) : cv_float_tile_bytes(t->cols);
}

/* How much errors in a row's columns weigh: as all rows of its expert have it. */
static const float *importance_at(const pour *p, uint64_t row)
{
    uint64_t rows_each = p->tensor->rows / (uint64_t)p->planned->experts;
    return p->planned->importance ? p->planned->importance + row / rows_each * p->tensor->cols : NULL;
}

/* Tile i of a chunk whose first row is `first`; it has n rows. */
static int make_tile(const pour *p, const lane *l, uint64_t first, uint64_t i, uint64_t n, cv_loss *loss, uint64_t *bad)
{
    uint64_t cols = p->tensor->cols, at = i * CV_TILE_ROWS * cols;
    unsigned char *tile = l->tiles + i * tile_bytes(p->tensor);
    int nibbles = p->tensor->type == CV_NIBBLES;
    if (p->tensor->type == CV_F32_MATRIX) return cv_tile_of_exact_floats(tile, l->weights + at, n, cols, bad);
    if (nibbles && !p->as_integers)
        return cv_nibbles_of_floats(tile, l->weights + at, n, cols, p->table,
                                    importance_at(p, first + i * CV_TILE_ROWS), loss, bad);
    if (nibbles)
        return cv_nibbles_of_integers(tile, l->integers + at, l->scales + at / CV_GROUP, n, cols, p->table, loss, bad);
    if (!p->as_integers) return cv_tile_of_floats(tile, l->weights + at, n, cols, loss, bad);
    return cv_tile_of_integers(tile, l->integers + at, l->scales + at / CV_GROUP, n, cols, loss, bad);
}

static int make_tiles(const pour *p, const lane *l, uint64_t first, uint64_t n, cv_loss *loss, cv_error *err)
{
    for (uint64_t i = 0, done = 0, bad = 0; done < n; i++, done += CV_TILE_ROWS) {
        uint64_t rows = n - done < CV_TILE_ROWS ? n - done : CV_TILE_ROWS;
        if (make_tile(p, l, first, i, rows, loss, &bad) != 0) return name_bad_weight(p, first + done, bad, err);
    }
    return 0;
}

/* ---- matrices: threads ---- */

static int prepare(const pour *p, lane *l, cv_error *err)
{
    size_t cols = (size_t)p->tensor->cols, rows = (size_t)p->chunk_rows;
    memset(l, 0, sizeof *l);
    l->tiles = cv_alloc(rows / CV_TILE_ROWS, tile_bytes(p->tensor), err);
    if (!l->tiles) return -1;
    if (!p->as_integers) {
        l->weights = cv_alloc(rows * cols, sizeof(float), err);
        return l->weights ? 0 : -1;
    }
    l->integers = cv_alloc(rows * cols, 1, err);
    l->scales = l->integers ? cv_alloc(rows * (cols / CV_GROUP), sizeof(float), err) : NULL;
    return l->scales ? 0 : -1;
}

static void release(lane *l)
{
    free(l->weights);
    free(l->integers);
    free(l->scales);
    free(l->tiles);
}

/* The next chunk: its first row, and how many; 0: there is none. Reads it unless something has failed already. */
static uint64_t take_chunk(pour *p, const lane *l, uint64_t *first, int *failed, cv_error *err)
{
    int any_order = p->source->any_order;
    host_lock_take(p->reading);
    uint64_t left = p->tensor->rows - p->next_read, n = left < p->chunk_rows ? left : p->chunk_rows;
    *first = p->next_read;
    p->next_read += n;
    if (n > 0 && !any_order && !*failed) *failed = read_rows(p, l, *first, n, err) < 0;
    host_lock_give(p->reading);
    if (n > 0 && any_order && !*failed) *failed = read_rows(p, l, *first, n, err) < 0;
    return n;
}

static void stop_reading(pour *p)
{
    host_lock_take(p->reading);
    p->next_read = p->tensor->rows;
    host_lock_give(p->reading);
}

static void add_loss(cv_loss *sum, const cv_loss *loss)
{
    if (loss->largest > sum->largest) sum->largest = loss->largest;
    sum->error2 += loss->error2, sum->weight2 += loss->weight2, sum->n += loss->n;
}

/* Waits for the chunk's turn and writes it. What failed is reported in its turn, too: the first failure is the one
 * told. */
static void write_chunk(pour *p, const lane *l, uint64_t first, uint64_t n, const cv_loss *loss, int failed,
                        cv_error *err)
{
    const cv_writer *w = p->writer;
    size_t bytes = (size_t)((n + CV_TILE_ROWS - 1) / CV_TILE_ROWS) * tile_bytes(p->tensor);
    host_lock_take(p->writing);
    while (p->next_write != first && !p->failed) host_lock_wait(p->writing);
    if (!p->failed) {
        if (p->progress)
            p->progress(p->user, (double)(p->tensor->offset + w->written) / (double)w->file_bytes, p->tensor->name);
        failed = failed || cv_writer_add(p->writer, l->tiles, bytes, err) < 0;
        if (failed) *p->err = *err;
        p->failed = failed, p->next_write += n;
        add_loss(p->loss, loss);
        if (failed) stop_reading(p);
    }
    host_lock_wake(p->writing);
    host_lock_give(p->writing);
}

static void work(void *user, int which)
{
    pour *p = user;
    (void)which; /* whoever comes takes the next chunk */
    lane l;
    cv_error err;
    uint64_t first, n;
    int failed = prepare(p, &l, &err) < 0;
    while ((n = take_chunk(p, &l, &first, &failed, &err)) > 0) {
        cv_loss loss = {0.0, 0.0, 0.0, 0};
        if (!failed) failed = make_tiles(p, &l, first, n, &loss, &err) < 0;
        write_chunk(p, &l, first, n, &loss, failed, &err);
    }
    release(&l);
}

/* As many as there are processors, chunks, and memory for. */
static int count_threads(const pour *p)
{
    uint64_t chunks = (p->tensor->rows + p->chunk_rows - 1) / p->chunk_rows;
    uint64_t most = MOST_WEIGHTS / (p->chunk_rows * p->tensor->cols);
    int threads = host_processors();
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if ((uint64_t)threads > chunks) threads = (int)chunks;
    if ((uint64_t)threads > most) threads = most ? (int)most : 1;
    return threads;
}

/* ---- matrices: tables ---- */

typedef struct sample { /* some groups of a matrix */
    float *row;                /* [cols], zeros up to a multiple of a group */
    float *groups, *importance; /* [n][32] */
    size_t n, most;
} sample;

/* The groups of a row, or every step-th of them. */
static void add_row(const pour *p, sample *s, uint64_t row, uint64_t step)
{
    const float *importance = importance_at(p, row);
    for (uint64_t g = 0; g * CV_GROUP < p->tensor->cols && s->n < s->most; g += step, s->n++)
        for (uint64_t i = 0; i < CV_GROUP; i++) {
            uint64_t c = g * CV_GROUP + i;
            s->groups[s->n * CV_GROUP + i] = s->row[c];
            s->importance[s->n * CV_GROUP + i] = importance && c < p->tensor->cols ? importance[c] : 1.0f;
        }
}

/* At most MOST_ROWS rows, evenly spread, and as many groups of each as there is room for. */
static int take_sample(pour *p, sample *s, cv_error *err)
{
    enum { MOST_ROWS = 256 };
    uint64_t groups = (p->tensor->cols + CV_GROUP - 1) / CV_GROUP, n = p->tensor->rows;
    if (n > MOST_ROWS) n = MOST_ROWS;
    for (uint64_t i = 0; i < n; i++) {
        lane l = {s->row, NULL, NULL, NULL};
        uint64_t row = i * p->tensor->rows / n;
        if (read_rows(p, &l, row, 1, err) < 0) return -1;
        add_row(p, s, row, (groups * n + s->most - 1) / s->most);
    }
    return 0;
}

static int search_table(pour *p, cv_error *err)
{
    enum { MOST_GROUPS = 4096 };
    sample s = {NULL, NULL, NULL, 0, MOST_GROUPS};
    s.row = cv_alloc((size_t)cv_round_up(p->tensor->cols, CV_GROUP), sizeof *s.row, err);
    s.groups = s.row ? cv_alloc(MOST_GROUPS * CV_GROUP, sizeof *s.groups, err) : NULL;
    s.importance = s.groups ? cv_alloc(MOST_GROUPS * CV_GROUP, sizeof *s.importance, err) : NULL;
    int failed = !s.importance || take_sample(p, &s, err) < 0;
    if (!failed) cv_choose_table(p->table, s.groups, s.importance, s.n);
    free(s.row);
    free(s.groups);
    free(s.importance);
    return failed ? -1 : 0;
}

/* The table stands before the tiles. */
static int pour_table(pour *p, cv_error *err)
{
    unsigned char bytes[CV_TABLE_BYTES] = {0};
    if (p->planned->values) memcpy(p->table, p->planned->values, sizeof p->table);
    else if (search_table(p, err) < 0) return -1;
    memcpy(bytes, p->table, sizeof p->table);
    return cv_writer_add(p->writer, bytes, sizeof bytes, err);
}

static int pour_matrix(pour *p, cv_error *err)
{
    uint64_t tile_weights = CV_TILE_ROWS * p->tensor->cols, tiles = CHUNK_WEIGHTS / tile_weights;
    int nibbles = p->tensor->type == CV_NIBBLES;
    p->as_integers = (nibbles ? p->planned->values != NULL : p->tensor->type == CV_Q8)
                     && has_integers(p->source, p->planned, err);
    p->chunk_rows = (tiles ? tiles : 1) * CV_TILE_ROWS;
    p->err = err;
    if (nibbles && pour_table(p, err) < 0) return -1;
    host_run(count_threads(p), work, p);
    return p->failed ? -1 : 0;
}

/* ---- all ---- */

int cv_pour(cv_writer *writer, cv_source *source, const cv_plan *plan, cv_loss *losses, cv_progress_fn *progress,
            void *user, cv_error *err)
{
    host_lock *reading = host_lock_make(), *writing = host_lock_make();
    int failed = reading && writing ? 0 : cv_fail(err, "out of memory (for a lock)");
    for (uint32_t i = 0; !failed && i < plan->n; i++) {
        pour p = {0};
        p.writer = writer, p.source = source, p.tensor = &plan->tensors[i], p.planned = &plan->planned[i];
        p.loss = &losses[i], p.reading = reading, p.writing = writing, p.progress = progress, p.user = user;
        failed = p.tensor->type == CV_F32 ? pour_vector(&p, err) : pour_matrix(&p, err);
    }
    host_lock_free(reading);
    host_lock_free(writing);
    return failed ? -1 : 0;
}
