/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * empty.c - for --vocab-only: the smallest model that can carry a tokenizer, all of its weights zero; see formats.h */
#include "formats.h"
#include "../model/rope.h"

#include <stdlib.h>
#include <string.h>

static int find(cv_source *source, cv_part part, int32_t layer, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    const cv_facts *f = &source->facts;
    (void)layer, (void)expert, (void)err;
    memset(matrix, 0, sizeof *matrix);
    strcpy(matrix->name, "zeros");
    matrix->rows = part == CV_QUERY || part == CV_KEY || part == CV_VALUE ? 2 : 1;
    if (part == CV_EMBEDDING) matrix->rows = (uint64_t)f->vocab;
    matrix->cols = part == CV_ATTN_OUT ? 2 : 1;
    return 0;
}

static int read_rows(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    (void)source, (void)first, (void)err;
    memset(out, 0, (size_t)(n * m->cols) * sizeof *out);
    return 0;
}

static void close_empty(cv_source *source)
{
    free(source);
}

int cv_open_empty(cv_source **source, int32_t vocab, cv_error *err)
{
    cv_source *s = cv_alloc(1, sizeof *s, err);
    if (!s) return -1;
    cv_facts *f = &s->facts;
    f->architecture = "llama";
    f->vocab = vocab, f->tied = 1, f->norm_eps = 1e-5, f->bos = -1, f->context = 4096;
    f->hidden = f->layers = f->heads = f->kv_heads = f->ffn = 1;
    f->head_dim = f->rope_dims = 2;
    s->find = find, s->read = read_rows, s->close = close_empty;
    cv_rope_frequencies(f->rope, f->rope_dims, 10000.0);
    if (cv_check_facts(f, "the tokenizer", err) < 0) {
        free(s);
        return -1;
    }
    *source = s;
    return 0;
}
