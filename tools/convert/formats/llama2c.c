/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * llama2c.c - llama2.c's checkpoints, versions 0, 1 and 2; see source.h
 *
 *   version 0   seven i32: dim, hidden_dim, layers, heads, kv heads, vocabulary (negative: the output matrix is not the
 *               embedding matrix), longest sequence; floats
 *   version 1   "ak42" as u32 0x616B3432, i32 version, the seven i32, u8 tied, zeros up to byte 256; floats, in another
 *               order: all vectors first
 *   version 2   the same, then i32 group size after `tied`; vectors as floats, each matrix as int8 with one float scale
 *               for each group of consecutive elements
 *
 * A layer's matrices of one kind stand together, layer after layer. Rows of queries and keys are in pair order: element
 * 2i of a head turns with 2i + 1. There is no checksum and, in version 0, no magic; but the header determines the size
 * of the file, which must be right to the byte. */
#include "formats.h"
#include "../containers/dequantize.h"
#include "../ground/bytes.h"
#include "../ground/files.h"
#include "../ground/kinds.h"
#include "../model/rope.h"

#include <stdlib.h>
#include <string.h>

enum { VERSION_0_HEADER = 28, HEADER = 256, N_FIELDS = 7 };
#define MAGIC 0x616B3432u

typedef struct block { /* the matrices of one kind */
    uint64_t at, rows, cols; /* at: the first one's place in the file */
    int in_layers, is_int8;
} block;

typedef struct checkpoint {
    cv_source source; /* first, so that a cv_source is a checkpoint */
    cv_file file;
    int version;
    uint64_t group; /* version 2: elements that share a scale */
    block blocks[CV_N_PARTS];
} checkpoint;

/* ---- where everything is ---- */

/* Kinds in the order of the file; CV_NO_PART: the rotation tables that version 0 carries along. */
static const cv_part order_0[] = {CV_EMBEDDING,  CV_ATTN_NORM, CV_QUERY, CV_KEY,  CV_VALUE,
                                  CV_ATTN_OUT,   CV_FFN_NORM,  CV_GATE,  CV_DOWN, CV_UP,
                                  CV_FINAL_NORM, CV_NO_PART,   CV_OUTPUT};
static const cv_part order_1[] = {CV_ATTN_NORM, CV_FFN_NORM, CV_FINAL_NORM, CV_EMBEDDING, CV_QUERY, CV_KEY,
                                  CV_VALUE,     CV_ATTN_OUT, CV_GATE,       CV_DOWN,      CV_UP,    CV_OUTPUT};

static block block_of(const checkpoint *c, cv_part part)
{
    const cv_facts *f = &c->source.facts;
    uint64_t dim = (uint64_t)f->hidden, ffn = (uint64_t)f->ffn, keys = (uint64_t)(f->kv_heads * f->head_dim);
    block b = {0, 1, 0, 1, 0};
    b.cols = dim;
    switch (part) {
    case CV_NO_PART: b.rows = (uint64_t)f->context, b.cols = (uint64_t)f->head_dim, b.in_layers = 0; break;
    case CV_EMBEDDING:
    case CV_OUTPUT: b.rows = (uint64_t)f->vocab, b.in_layers = 0; break;
    case CV_QUERY:
    case CV_ATTN_OUT: b.rows = dim; break;
    case CV_KEY:
    case CV_VALUE: b.rows = keys; break;
    case CV_GATE:
    case CV_UP: b.rows = ffn; break;
    case CV_DOWN: b.rows = dim, b.cols = ffn; break;
    case CV_FINAL_NORM: b.in_layers = 0; break;
    default: break;
    }
    b.is_int8 = c->version == 2 && part != CV_ATTN_NORM && part != CV_FFN_NORM && part != CV_FINAL_NORM;
    return b;
}

static uint64_t matrix_bytes(const checkpoint *c, const block *b)
{
    uint64_t n = b->rows * b->cols;
    return b->is_int8 ? n + n / c->group * 4 : n * 4;
}

/* Facts are bounded by cv_check_facts: products of two fit easily, and the sum is checked against the file. */
static int lay_out(checkpoint *c, cv_error *err)
{
    const cv_facts *f = &c->source.facts;
    const cv_part *order = c->version == 0 ? order_0 : order_1;
    size_t n = c->version == 0 ? sizeof order_0 / sizeof *order_0 : sizeof order_1 / sizeof *order_1;
    uint64_t at = c->version == 0 ? VERSION_0_HEADER : HEADER;
    for (size_t i = 0; i < n; i++) {
        block b = block_of(c, order[i]);
        if (order[i] == CV_OUTPUT && f->tied) continue;
        if (b.is_int8 && b.rows * b.cols % c->group != 0)
            return cv_fail(err, "%.200s: groups of %.0f do not divide a matrix of %.0f x %.0f", c->file.path,
                           (double)c->group, (double)b.rows, (double)b.cols);
        b.at = at;
        at += matrix_bytes(c, &b) * (b.in_layers ? (uint64_t)f->layers : 1);
        c->blocks[order[i]] = b;
    }
    if (at == c->file.bytes) return 0;
    return cv_fail(err,
                   "%.200s: its header, as one of a llama2.c file of version %d, demands %.0f bytes; it has %.0f. It "
                   "is cut off, or of another kind",
                   c->file.path, c->version, (double)at, (double)c->file.bytes);
}

/* ---- the header ---- */

/* Version 0 has no magic: any file could be one, until its header makes no sense. */
static int check_facts(const checkpoint *c, cv_error *err)
{
    cv_error why = {""};
    if (c->version > 0) return cv_check_facts(&c->source.facts, c->file.path, err);
    if (cv_check_facts(&c->source.facts, "if this is a llama2.c checkpoint", &why) == 0) return 0;
    return cv_fail(err, "%.200s: not a model of a known kind; %s", c->file.path, why.text);
}

static int read_fields(checkpoint *c, const unsigned char *p, cv_error *err)
{
    cv_facts *f = &c->source.facts;
    int32_t field[N_FIELDS];
    for (int i = 0; i < N_FIELDS; i++) field[i] = (int32_t)cv_i32(p + 4 * i);
    f->architecture = "llama";
    f->hidden = field[0], f->ffn = field[1], f->layers = field[2], f->heads = field[3], f->kv_heads = field[4];
    f->vocab = field[5], f->context = field[6];
    if (c->version == 0) {
        f->tied = f->vocab > 0;
        if (f->vocab < 0 && f->vocab > -(1 << 25)) f->vocab = -f->vocab;
    }
    if (f->heads > 0 && f->hidden % f->heads == 0) f->head_dim = f->hidden / f->heads;
    f->rope_dims = f->head_dim;
    f->norm_eps = 1e-5; /* these three are not in the file: llama2.c has them in its code */
    f->bos = 1;
    if (f->head_dim >= 2 && f->head_dim <= CV_MOST_HEAD_DIM) cv_rope_frequencies(f->rope, f->rope_dims, 10000.0);
    if (check_facts(c, err) < 0) return -1;
    if (f->vocab < 3) return cv_fail(err, "%.200s: a vocabulary of %d", c->file.path, (int)f->vocab);
    f->end[0] = 1, f->end[1] = 2, f->n_end = 2; /* the begin token, too, parts two texts */
    return 0;
}

static int read_header(checkpoint *c, cv_error *err)
{
    unsigned char p[HEADER] = {0};
    size_t n = c->file.bytes < HEADER ? (size_t)c->file.bytes : HEADER;
    if (cv_file_read(&c->file, 0, p, n, err) < 0
        || cv_refuse_other_kinds(c->file.path, p, n, CV_KIND_UNKNOWN, err) < 0)
        return -1;
    if (n < VERSION_0_HEADER) return cv_fail(err, "%.200s: too short for a llama2.c file", c->file.path);
    if (cv_u32(p) != MAGIC) return read_fields(c, p, err);
    c->version = (int)cv_u32(p + 4);
    if (n < HEADER || (c->version != 1 && c->version != 2))
        return cv_fail(err, "%.200s: version %.0f of llama2.c's format is not known", c->file.path,
                       (double)cv_u32(p + 4));
    if (p[36] > 1) return cv_fail(err, "%.200s: the flag at byte 36 is neither 0 nor 1", c->file.path);
    c->source.facts.tied = p[36];
    c->group = cv_u32(p + 37);
    if (c->version == 2 && (c->group < 1 || c->group > 1 << 20))
        return cv_fail(err, "%.200s: groups of %.0f elements", c->file.path, (double)c->group);
    return read_fields(c, p + 8, err);
}

/* ---- reading ---- */

static int find(cv_source *source, cv_part part, int32_t layer, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    static const char *const names[CV_N_PARTS] = {
        [CV_EMBEDDING] = "tok_embeddings", [CV_ATTN_NORM] = "attention_norm", [CV_QUERY] = "wq", [CV_KEY] = "wk",
        [CV_VALUE] = "wv", [CV_ATTN_OUT] = "wo", [CV_FFN_NORM] = "ffn_norm", [CV_GATE] = "w1", [CV_DOWN] = "w2",
        [CV_UP] = "w3", [CV_FINAL_NORM] = "norm", [CV_OUTPUT] = "output"};
    checkpoint *c = (checkpoint *)source;
    const block *b = &c->blocks[part];
    (void)expert;
    memset(matrix, 0, sizeof *matrix);
    strcpy(matrix->name, names[part]);
    if (b->rows == 0) return cv_fail(err, "%.200s: has no %s", c->file.path, names[part]);
    matrix->rows = b->rows, matrix->cols = b->cols, matrix->part = part;
    matrix->at = b->at + (b->in_layers ? (uint64_t)layer * matrix_bytes(c, b) : 0);
    return 0;
}

/* The row of the file for row r of queries or keys in half-split order: element j of a head was at 2j, or, in the
 * second half, at 2j + 1. */
static uint64_t source_row(const checkpoint *c, const cv_matrix *m, uint64_t r)
{
    uint64_t dim = (uint64_t)c->source.facts.head_dim, j = r % dim;
    if (m->part != CV_QUERY && m->part != CV_KEY) return r;
    return r - j + (j < dim / 2 ? 2 * j : 2 * (j - dim / 2) + 1);
}

static int read_floats(const checkpoint *c, uint64_t at, uint64_t n, float *out, cv_error *err)
{
    if (cv_file_read(&c->file, at, out, (size_t)n * 4, err) < 0) return -1;
    cv_dequantize_in_place(cv_block_type_of(CV_GGML_F32), n, out);
    return 0;
}

/* Elements first .. first + n - 1 of a version 2 matrix: integers, and the scales that they share, the first of them
 * that of element `first`. */
static int read_integers(const checkpoint *c, const cv_matrix *m, uint64_t first, uint64_t n, int8_t *q, cv_error *err)
{
    return cv_file_read(&c->file, m->at + first, q, (size_t)n, err);
}

static float *read_scales(const checkpoint *c, const cv_matrix *m, uint64_t first, uint64_t n, cv_error *err)
{
    uint64_t begin = first / c->group, count = (first + n - 1) / c->group + 1 - begin;
    float *scales = cv_alloc((size_t)count, sizeof *scales, err);
    int failed = !scales || read_floats(c, m->at + m->rows * m->cols + 4 * begin, count, scales, err) < 0;
    for (uint64_t i = 0; !failed && i < count; i++)
        if (!(scales[i] >= 0.0f && scales[i] <= 3e38f))
            failed = cv_fail(err, "%.200s: a scale of %s is %g", c->file.path, m->name, (double)scales[i]);
    if (!failed) return scales;
    free(scales);
    return NULL;
}

static int read_int8_row(const checkpoint *c, const cv_matrix *m, uint64_t row, float *out, cv_error *err)
{
    uint64_t first = row * m->cols;
    int8_t *q = cv_alloc((size_t)m->cols, 1, err);
    float *scales = q ? read_scales(c, m, first, m->cols, err) : NULL;
    int failed = !scales || read_integers(c, m, first, m->cols, q, err) < 0;
    for (uint64_t i = 0; !failed && i < m->cols; i++)
        out[i] = (float)q[i] * scales[(first + i) / c->group - first / c->group];
    free(q);
    free(scales);
    return failed ? -1 : 0;
}

static int read_row(const checkpoint *c, const cv_matrix *m, uint64_t row, float *out, cv_error *err)
{
    if (c->blocks[m->part].is_int8) return read_int8_row(c, m, row, out, err);
    return read_floats(c, m->at + row * m->cols * 4, m->cols, out, err);
}

static int read_rows(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    const checkpoint *c = (const checkpoint *)source;
    for (uint64_t r = 0; r < n; r++)
        if (read_row(c, m, source_row(c, m, first + r), out + r * m->cols, err) < 0) return -1;
    return 0;
}

/* Groups of the source must be runs of whole groups of ours. */
static int read_q8(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, int8_t *q, float *scales,
                   cv_error *err)
{
    const checkpoint *c = (const checkpoint *)source;
    uint64_t groups = m->cols / CV_GROUP;
    if (!c->blocks[m->part].is_int8 || c->group % CV_GROUP != 0 || m->cols % CV_GROUP != 0) return 1;
    for (uint64_t r = 0; r < n; r++) {
        uint64_t at = source_row(c, m, first + r) * m->cols;
        float *shared = read_scales(c, m, at, m->cols, err);
        int failed = !shared || read_integers(c, m, at, m->cols, q + r * m->cols, err) < 0;
        for (uint64_t g = 0; !failed && g < groups; g++)
            scales[r * groups + g] = shared[(at + g * CV_GROUP) / c->group - at / c->group];
        free(shared);
        if (failed) return -1;
    }
    return 0;
}

/* ---- opening ---- */

static void close_checkpoint(cv_source *source)
{
    checkpoint *c = (checkpoint *)source;
    cv_file_close(&c->file);
    free(c);
}

int cv_open_llama2c(cv_source **source, const char *path, cv_error *err)
{
    checkpoint *c = cv_alloc(1, sizeof *c, err);
    if (!c) return -1;
    c->source.find = find, c->source.read = read_rows, c->source.read_q8 = read_q8;
    c->source.any_order = 1, c->source.close = close_checkpoint;
    c->file.handle = -1;
    if (cv_file_open(&c->file, path, err) < 0 || read_header(c, err) < 0 || lay_out(c, err) < 0) {
        close_checkpoint(&c->source);
        return -1;
    }
    *source = &c->source;
    return 0;
}
