/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * variants.c - the same weights in another shape, for the converter's tests
 *
 *     variants shards|fused|split|bare|mxfp4|widened IN OUT [QUERIES KEYS]
 *
 * IN is a folder with config.json and one model.safetensors; OUT, a folder that exists, gets the same model
 *     shards   in three files and an index
 *     fused    with q, k, v and gate, up as one tensor each (qkv_proj, gate_up_proj), biases too
 *     split    with qkv_proj, gate_up_proj taken apart; QUERIES and KEYS are the rows of q and of k
 *     bare     with the first word of each name left out
 *     mxfp4    with gpt-oss's experts rounded to MXFP4, in blocks and scales as its own folders have them
 *     widened  with those same values as BF16, by the definition of the type */
#include "ground/bytes.h"
#include "ground/files.h"
#include "ground/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

typedef struct piece { /* rows of a tensor, or several tensors under each other */
    char name[128], type[8];
    uint64_t rows, cols, bytes; /* rows 0: a vector */
    uint64_t depth, inner;      /* 0, or a dimension before these, or after them */
    const char *data[3];
    uint64_t part[3];
    int n, file;
} piece;

static piece pieces[MOST];
static int n_pieces;
static char *image;

static void fail(const char *what)
{
    fprintf(stderr, "variants: %s\n", what);
    exit(1);
}

static uint64_t number(const cv_json *j, uint32_t node)
{
    int64_t n = 0;
    if (!cv_json_integer(j, node, &n)) fail("a number is wanted");
    return (uint64_t)n;
}

static void read_tensors(const char *folder)
{
    char path[1024];
    cv_error err;
    cv_json j;
    size_t bytes;
    uint64_t head;
    uint32_t k;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (cv_read_file(path, (size_t)1 << 30, &image, &bytes, &err) < 0) fail(err.text);
    head = cv_u64((unsigned char *)image);
    if (cv_json_parse(&j, image + 8, (size_t)head, path, &err) < 0) fail(err.text);
    for (k = cv_json_first(&j, 0); k != CV_JSON_NONE && n_pieces < MOST; k = cv_json_next(&j, k)) {
        uint32_t shape = cv_json_get(&j, k + 1, "shape"), at = cv_json_get(&j, k + 1, "data_offsets");
        uint32_t first = cv_json_first(&j, shape), begin = cv_json_first(&j, at);
        piece *p = &pieces[n_pieces];
        if (first == CV_JSON_NONE) continue; /* __metadata__ */
        snprintf(p->name, sizeof p->name, "%s", cv_json_string(&j, k, NULL));
        snprintf(p->type, sizeof p->type, "%s", cv_json_string(&j, cv_json_get(&j, k + 1, "dtype"), NULL));
        if (cv_json_count(&j, shape) == 3) p->depth = number(&j, first), first = cv_json_next(&j, first);
        if (cv_json_count(&j, shape) >= 2) p->rows = number(&j, first), first = cv_json_next(&j, first);
        p->cols = number(&j, first), p->n = 1;
        p->data[0] = image + 8 + head + number(&j, begin);
        p->part[0] = p->bytes = number(&j, cv_json_next(&j, begin)) - number(&j, begin);
        n_pieces++;
    }
    cv_json_free(&j);
}

/* ---- shapes ---- */

static int replace(char *name, const char *old, const char *new)
{
    char *at = strstr(name, old), rest[128];
    if (!at) return 0;
    snprintf(rest, sizeof rest, "%s", at + strlen(old));
    snprintf(at, (size_t)(name + 128 - at), "%s%s", new, rest);
    return 1;
}

static piece *find(const char *name)
{
    int i;
    for (i = 0; i < n_pieces; i++)
        if (pieces[i].n > 0 && strcmp(pieces[i].name, name) == 0) return &pieces[i];
    return NULL;
}

static void join(piece *p, const char *own, const char *other)
{
    char name[128];
    piece *q;
    snprintf(name, sizeof name, "%s", p->name);
    if (!replace(name, own, other) || (q = find(name)) == NULL) fail("there is nothing to join");
    p->data[p->n] = q->data[0], p->part[p->n++] = q->bytes;
    p->bytes += q->bytes;
    if (p->rows) p->rows += q->rows;
    else p->cols += q->cols;
    q->n = 0;
}

static void fuse(void)
{
    int i;
    for (i = 0; i < n_pieces; i++) {
        piece *p = &pieces[i];
        if (p->n == 1 && strstr(p->name, ".q_proj."))
            join(p, ".q_proj.", ".k_proj."), join(p, ".q_proj.", ".v_proj."),
                replace(p->name, ".q_proj.", ".qkv_proj.");
        else if (p->n == 1 && strstr(p->name, ".gate_proj."))
            join(p, ".gate_proj.", ".up_proj."), replace(p->name, ".gate_proj.", ".gate_up_proj.");
    }
}

/* Cuts the first rows off a piece; they go on under another name. */
static void cut(piece *p, uint64_t rows, const char *old, const char *new)
{
    piece *q = &pieces[n_pieces++];
    uint64_t each = p->bytes / p->rows;
    *q = *p;
    if (!replace(q->name, old, new)) fail("there is nothing to cut");
    q->rows = rows, q->bytes = q->part[0] = rows * each;
    p->rows -= rows, p->data[0] += rows * each, p->bytes = p->part[0] = p->rows * each;
}

static void split(uint64_t queries, uint64_t keys)
{
    int i, n = n_pieces;
    for (i = 0; i < n; i++) {
        piece *p = &pieces[i];
        if (strstr(p->name, "qkv_proj")) {
            cut(p, queries, "qkv_proj", "q_proj"), cut(p, keys, "qkv_proj", "k_proj");
            replace(p->name, "qkv_proj", "v_proj");
        } else if (strstr(p->name, "gate_up_proj")) {
            cut(p, p->rows / 2, "gate_up_proj", "gate_proj"), replace(p->name, "gate_up_proj", "up_proj");
        }
    }
}

/* ---- MXFP4 ---- */

static double bf16_at(const char *p, uint64_t i)
{
    uint32_t bits = (uint32_t)(unsigned char)p[2 * i] | (uint32_t)(unsigned char)p[2 * i + 1] << 8;
    return (double)cv_float_of_bits(bits << 16);
}

static double value_of(int nibble)
{
    static const double sizes[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    return nibble < 8 ? sizes[nibble] : -sizes[nibble - 8];
}

/* The nibble nearest to x. */
static int nearest(double x)
{
    int best = 0, i;
    for (i = 1; i < 16; i++)
        if (fabs(value_of(i) - x) < fabs(value_of(best) - x)) best = i;
    return best;
}

/* The exponent, plus 127, of a block of 32 weights with that distance between them. */
static int scale_of(const char *from, uint64_t at, uint64_t step)
{
    double most = 0.0;
    int i, e = 0;
    for (i = 0; i < 32; i++) most = fmax(most, fabs(bf16_at(from, at + (uint64_t)i * step)));
    if (most > 0.0) frexp(most, &e), e -= 3; /* at most 8 of its steps: a last bit is lost above 6 */
    return e + 127;
}

/* [experts][in][out] in BF16 -> blocks and scales, or the same values. */
static void round_experts(piece *p, int widened)
{
    uint64_t groups = p->rows / 32, n = p->depth * p->cols * groups, b;
    char *blocks = calloc((size_t)n, 16), *scales = calloc((size_t)n, 1), *wide = malloc((size_t)p->bytes);
    piece *q;
    if (!blocks || !scales || !wide || strcmp(p->type, "BF16") != 0 || p->rows % 32) fail("experts in BF16 are wanted");
    for (b = 0; b < n; b++) {
        uint64_t in = b % groups * 32, out = b / groups % p->cols, at, i;
        int scale;
        at = (b / groups / p->cols * p->rows + in) * p->cols + out, scale = scale_of(p->data[0], at, p->cols);
        scales[b] = (char)scale;
        for (i = 0; i < 32; i++) {
            int k = nearest(ldexp(bf16_at(p->data[0], at + i * p->cols), 127 - scale));
            uint32_t bits = cv_bits_of_float((float)ldexp(value_of(k), scale - 127)) >> 16;
            blocks[b * 16 + i / 2] = (char)(blocks[b * 16 + i / 2] | k << 4 * (i % 2));
            wide[2 * (at + i * p->cols)] = (char)bits, wide[2 * (at + i * p->cols) + 1] = (char)(bits >> 8);
        }
    }
    p->data[0] = wide;
    if (widened) return;
    q = &pieces[n_pieces++], *q = *p;
    strcat(p->name, "_blocks"), strcat(q->name, "_scales"), strcpy(p->type, "U8"), strcpy(q->type, "U8");
    p->rows = q->rows = p->cols, p->cols = q->cols = groups, p->inner = 16;
    p->data[0] = blocks, p->bytes = p->part[0] = n * 16, q->data[0] = scales, q->bytes = q->part[0] = n;
}

/* ---- writing ---- */

static void write_file(const char *folder, const char *name, int file)
{
    static char header[1 << 20];
    char path[1024];
    unsigned char size[8];
    uint64_t at = 0;
    size_t used = 1;
    FILE *f;
    int i, k;
    header[0] = '{', header[1] = 0;
    for (i = 0; i < n_pieces; i++) {
        const piece *p = &pieces[i];
        if (p->n == 0 || p->file != file) continue;
        used += (size_t)snprintf(header + used, sizeof header - used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                 used > 1 ? "," : "", p->name, p->type);
        if (p->depth) used += (size_t)snprintf(header + used, sizeof header - used, "%.0f,", (double)p->depth);
        if (p->rows) used += (size_t)snprintf(header + used, sizeof header - used, "%.0f,", (double)p->rows);
        used += (size_t)snprintf(header + used, sizeof header - used, "%.0f", (double)p->cols);
        if (p->inner) used += (size_t)snprintf(header + used, sizeof header - used, ",%.0f", (double)p->inner);
        used += (size_t)snprintf(header + used, sizeof header - used, "],\"data_offsets\":[%.0f,%.0f]}", (double)at,
                                 (double)(at + p->bytes));
        at += p->bytes;
    }
    header[used++] = '}';
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((f = fopen(path, "wb")) == NULL) fail("cannot write");
    cv_store_u64(size, used);
    fwrite(size, 1, 8, f), fwrite(header, 1, used, f);
    for (i = 0; i < n_pieces; i++)
        for (k = 0; k < pieces[i].n && pieces[i].file == file; k++)
            fwrite(pieces[i].data[k], 1, (size_t)pieces[i].part[k], f);
    if (fclose(f)) fail("cannot write");
}

static void write_index(const char *folder)
{
    char path[1024];
    FILE *f;
    int i;
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    if ((f = fopen(path, "wb")) == NULL) fail("cannot write");
    for (i = 0; i < n_pieces; i++)
        fprintf(f, "%s\"%s\": \"part-%d.safetensors\"", i ? ", " : "{\"weight_map\": {", pieces[i].name,
                pieces[i].file);
    fputs("}}", f);
    if (fclose(f)) fail("cannot write");
}

/* `first`: keys before its own. */
static void copy_config(const char *from, const char *to, const char *name, const char *first)
{
    char path[1024], *data;
    size_t bytes;
    cv_error err;
    FILE *f;
    snprintf(path, sizeof path, "%s/%s", from, name);
    if (cv_read_file(path, 1 << 24, &data, &bytes, &err) < 0) return;
    snprintf(path, sizeof path, "%s/%s", to, name);
    if ((f = fopen(path, "wb")) == NULL) fail("cannot write");
    fprintf(f, "{%s", first);
    fwrite(data + 1, 1, bytes - 1, f);
    if (fclose(f)) fail("cannot write");
    free(data);
}

static void round_all(int widened)
{
    int n = n_pieces, i;
    for (i = 0; i < n; i++)
        if (pieces[i].depth) round_experts(&pieces[i], widened);
}

int main(int argc, char **argv)
{
    int i;
    if (argc != 4 && argc != 6) return 2;
    read_tensors(argv[2]);
    if (n_pieces == 0 || n_pieces > MOST / 4) fail("too few tensors, or too many");
    if (strcmp(argv[1], "fused") == 0) fuse();
    else if (strcmp(argv[1], "split") == 0 && argc == 6)
        split(strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
    if (strcmp(argv[1], "mxfp4") == 0 || strcmp(argv[1], "widened") == 0) round_all(argv[1][0] == 'w');
    for (i = 0; strcmp(argv[1], "bare") == 0 && i < n_pieces; i++)
        memmove(pieces[i].name, strchr(pieces[i].name, '.') + 1, strlen(strchr(pieces[i].name, '.')));
    for (i = 0; strcmp(argv[1], "shards") == 0 && i < n_pieces; i++) pieces[i].file = i % 3;
    for (i = 0; strcmp(argv[1], "shards") == 0 && i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "part-%d.safetensors", i);
        write_file(argv[3], name, i);
    }
    if (strcmp(argv[1], "shards") == 0) write_index(argv[3]);
    else write_file(argv[3], "model.safetensors", 0);
    copy_config(argv[2], argv[3], "config.json", strcmp(argv[1], "mxfp4") ? "" :
                "\"quantization_config\": {\"quant_method\": \"mxfp4\", \"modules_to_not_convert\": [\"lm_head\"]},");
    copy_config(argv[2], argv[3], "generation_config.json", "");
    free(image);
    return 0;
}
