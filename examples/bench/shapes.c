/* shapes.c - random models of real shapes
 *
 * Speed does not depend on what the weights are, so a figure for LLaMA-3.1 8B needs no download: a source of random
 * integers goes through the converter's own plan and writer. */
#include "bench.h"

#include "../../tools/convert/file/pour.h"
#include "../../tools/convert/model/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct shape {
    const char *name;
    int32_t vocab, hidden, layers, heads, kv_heads, head_dim, ffn, context, tied, experts, experts_used;
    const char *kinds; /* of layers, a letter each: c, a convolution in the place of attention; NULL: none */
} shapes[] = {
    {"stories-15m", 32000, 288, 6, 6, 6, 48, 768, 256, 1, 0, 0, NULL},
    {"smollm2-135m", 49152, 576, 30, 9, 3, 64, 1536, 8192, 1, 0, 0, NULL},
    {"tinyllama-1.1b", 32000, 2048, 22, 32, 4, 64, 5632, 4096, 0, 0, 0, NULL},
    {"llama-3.1-8b", 128256, 4096, 32, 32, 8, 128, 14336, 8192, 0, 0, 0, NULL},
    {"mistral-7b", 32768, 4096, 32, 32, 8, 128, 14336, 8192, 0, 0, 0, NULL},
    {"phi-3.5-mini", 32064, 3072, 32, 32, 32, 96, 8192, 8192, 0, 0, 0, NULL},
    {"olmoe-1b-7b", 50304, 2048, 16, 16, 16, 128, 1024, 4096, 0, 64, 8, NULL},
    {"lfm2-1.2b", 65536, 2048, 16, 32, 8, 64, 8192, 8192, 1, 0, 0, "cc.cc.cc.c.c.c.c"},
};

enum { N_SHAPES = sizeof shapes / sizeof shapes[0], POOL = 1 << 20 };

typedef struct random_source {
    cv_source base;
    uint64_t state;
    int8_t pool[POOL]; /* random weights: rows are slices of it, each from another place */
    int bits;
} random_source;

static uint64_t next_random(random_source *r) /* xorshift64* [Vigna 2016] */
{
    r->state ^= r->state >> 12, r->state ^= r->state << 25, r->state ^= r->state >> 27;
    return r->state * 0x2545F4914F6CDD1Du;
}

/* What weights of four bits are: of standard deviation 74. */
static const int8_t values[16] = {-120, -104, -88, -72, -56, -40, -24, -8, 8, 24, 40, 56, 72, 88, 104, 120};

static int find_random(cv_source *source, cv_part part, int32_t layer, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    const cv_facts *f = &source->facts;
    uint64_t hidden = (uint64_t)f->hidden, ffn = (uint64_t)f->ffn, vocab = (uint64_t)f->vocab;
    uint64_t q = (uint64_t)f->heads * (uint64_t)f->head_dim, kv = (uint64_t)f->kv_heads * (uint64_t)f->head_dim;
    (void)layer, (void)expert, (void)err;
    memset(matrix, 0, sizeof *matrix);
    matrix->part = part;
    matrix->values = ((random_source *)(void *)source)->bits == 4 ? values : NULL;
    strcpy(matrix->name, "random weights");
    switch (part) {
    case CV_EMBEDDING: case CV_OUTPUT: matrix->rows = vocab, matrix->cols = hidden; break;
    case CV_QUERY: matrix->rows = q, matrix->cols = hidden; break;
    case CV_KEY: case CV_VALUE: matrix->rows = kv, matrix->cols = hidden; break;
    case CV_ATTN_OUT: matrix->rows = hidden, matrix->cols = q; break;
    case CV_GATE: case CV_UP: case CV_EXPERT_GATE: case CV_EXPERT_UP: matrix->rows = ffn, matrix->cols = hidden; break;
    case CV_DOWN: case CV_EXPERT_DOWN: matrix->rows = hidden, matrix->cols = ffn; break;
    case CV_CONV_IN: matrix->rows = 3 * hidden, matrix->cols = hidden; break;
    case CV_CONV_OUT: matrix->rows = hidden, matrix->cols = hidden; break;
    case CV_CONV: matrix->rows = 1, matrix->cols = (uint64_t)f->conv_taps * hidden; break;
    case CV_ROUTER: matrix->rows = (uint64_t)f->experts, matrix->cols = hidden; break;
    default: matrix->rows = 1, matrix->cols = hidden; /* a norm */
    }
    return 0;
}

static int read_random(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    random_source *r = (random_source *)(void *)source;
    uint64_t i;
    (void)first, (void)err;
    for (i = 0; i < n * m->cols; i++) out[i] = m->part == CV_ROUTER ? (float)r->pool[next_random(r) % POOL] : 1.0f;
    return 0;
}

/* Integers of standard deviation 73, scaled so that a row's product with a vector of unit size keeps that size. */
static int read_random_q8(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, int8_t *q, float *scales,
                          cv_error *err)
{
    random_source *r = (random_source *)(void *)source;
    uint64_t row, c, groups = (m->cols + CV_GROUP - 1) / CV_GROUP;
    float scale = (float)(1.0 / (73.0 * sqrt((double)m->cols)));
    (void)first;
    if (host_interrupted()) return cv_fail(err, "interrupted");
    for (row = 0; row < n; row++) {
        for (c = 0; c < m->cols; c += 4096) {
            uint64_t part = m->cols - c < 4096 ? m->cols - c : 4096;
            memcpy(q + row * m->cols + c, r->pool + next_random(r) % (POOL - 4096), (size_t)part);
        }
        for (c = 0; m->values && c < m->cols; c++) q[row * m->cols + c] = m->values[q[row * m->cols + c] & 15];
        for (c = 0; c < groups; c++) scales[row * groups + c] = scale;
    }
    return 0;
}

static void close_random(cv_source *source)
{
    free(source);
}

static cv_source *open_random(const struct shape *shape, int bits, cv_error *err)
{
    random_source *r = cv_alloc(1, sizeof *r, err);
    cv_facts *f;
    int i;
    if (!r) return NULL;
    r->state = 88172645463325252u, r->bits = bits;
    for (i = 0; i < POOL; i++) r->pool[i] = (int8_t)((int)(next_random(r) >> 32) % 128);
    f = &r->base.facts;
    f->architecture = "llama";
    f->vocab = shape->vocab, f->hidden = shape->hidden, f->layers = shape->layers, f->heads = shape->heads;
    f->kv_heads = shape->kv_heads, f->head_dim = f->rope_dims = shape->head_dim, f->ffn = shape->ffn;
    f->context = shape->context, f->tied = shape->tied, f->norm_eps = 1e-5, f->bos = -1;
    f->experts = shape->experts, f->experts_used = shape->experts_used, f->expert_ffn = shape->ffn;
    for (i = 0; shape->kinds && shape->kinds[i]; i++) f->conv_layers[i] = shape->kinds[i] == 'c';
    if (shape->kinds) f->conv_taps = 3;
    cv_rope_frequencies(f->rope, f->rope_dims, 10000.0);
    r->base.find = find_random, r->base.read = read_random, r->base.read_q8 = read_random_q8;
    r->base.close = close_random;
    return &r->base;
}

static void announce(const char *path, uint64_t bytes)
{
    fprintf(stderr, "harp-bench: writes %.1f MB of random weights to %s\n", (double)bytes * 1e-6, path);
}

static int pour_plan(cv_source *source, const cv_plan *plan, const cv_meta *meta, const char *path, cv_error *err)
{
    cv_loss *losses = cv_alloc(plan->n, sizeof *losses, err);
    cv_writer writer;
    int failed = !losses || cv_writer_begin(&writer, path, meta, plan->tensors, plan->n, err) < 0;
    if (!failed) {
        announce(path, writer.file_bytes);
        failed = cv_pour(&writer, source, plan, losses, NULL, NULL, err) < 0;
        if (failed) cv_writer_discard(&writer);
        else failed = cv_writer_finish(&writer, NULL, err) < 0;
    }
    free(losses);
    return failed ? -1 : 0;
}

static int pour_random(cv_source *source, const char *path, cv_error *err)
{
    const cv_storage storage = {0, NULL}; /* as the source has it */
    cv_meta meta = {NULL, 0, 0, 0};
    cv_plan plan;
    int failed;
    if (cv_plan_make(&plan, source, &storage, err) < 0) return -1;
    failed = cv_facts_write(&source->facts, &meta, err) < 0 || pour_plan(source, &plan, &meta, path, err) < 0;
    cv_meta_free(&meta);
    cv_plan_free(&plan);
    return failed ? -1 : 0;
}

const char *shape_at(int index)
{
    return index < N_SHAPES ? shapes[index].name : NULL;
}

static const struct shape *find_shape(const char *name)
{
    int i = 0;
    while (strcmp(shapes[i].name, name) != 0) i++; /* the options were checked: it is there */
    return &shapes[i];
}

int shape_is(const char *name, int bits, const harp_info *info)
{
    const struct shape *s = find_shape(name);
    return (info->four_bit > 0) == (bits == 4) && info->vocab == s->vocab && info->hidden == s->hidden && info->layers == s->layers && info->heads == s->heads
           && info->kv_heads == s->kv_heads && info->head_dim == s->head_dim && info->ffn == s->ffn
           && info->context == s->context && info->tied == s->tied;
}

int shape_write(const char *name, int bits, const char *path)
{
    cv_error err = {""};
    cv_source *source = open_random(find_shape(name), bits, &err);
    int failed = !source || pour_random(source, path, &err) < 0;
    if (source) source->close(source);
    if (failed && !host_interrupted())
        fprintf(stderr, "harp-bench: %s: name another folder with TMPDIR, or a file with --keep\n", err.text);
    return failed ? -1 : 0;
}
