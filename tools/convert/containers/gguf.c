/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * gguf.c - see gguf.h
 *
 *   "GGUF", u32 version, u64 number of tensors, u64 number of values
 *   value    string key, u32 type, the value; a string is u64 bytes and that many; an array u32 type, u64 count,
 *            elements
 *   tensor   string name, u32 dimensions, u64 [dimensions] the fastest first, u32 type, u64 offset from where data
 *            begins
 *   zeros up to a multiple of general.alignment (32 unless said otherwise); data
 *
 * How long the head is, only reading it tells. So it is read in larger and larger pieces until it is whole; counts and
 * lengths are believed only as far as there are bytes for them. What is held in memory for the heads of all parts
 * together is bounded by `budget`, for a part may be a hole that takes no room on the disk: LARGEST_HEADS bytes as they
 * stand, and the tables of MOST_VALUES values and of MOST_TENSORS tensors (twice), 90 MiB in all. */
#include "gguf.h"
#include "../ground/bytes.h"
#include "../ground/sort.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PIECE = 1 << 16, LARGEST_HEADS = 1 << 26, MOST_VALUES = 1 << 16, MOST_TENSORS = 1 << 17,
       MOST_FILES = 1000, MOST_DIMENSIONS = 4, LONGEST_NAME = 100 };

/* What the parts that are still to be opened may hold. */
typedef struct budget {
    uint64_t bytes, values, tensors;
} budget;

/* ---- a cursor over the head ---- */

typedef struct cursor {
    const unsigned char *at, *end;
    int is_short; /* something went beyond the end */
} cursor;

static const unsigned char *take(cursor *c, uint64_t bytes)
{
    const unsigned char *p = c->at;
    if (c->is_short || bytes > (uint64_t)(c->end - c->at)) {
        c->is_short = 1;
        return NULL;
    }
    c->at += bytes;
    return p;
}

static uint32_t take_u32(cursor *c)
{
    const unsigned char *p = take(c, 4);
    return p ? cv_u32(p) : 0;
}

static uint64_t take_u64(cursor *c)
{
    const unsigned char *p = take(c, 8);
    return p ? cv_u64(p) : 0;
}

/* A string that becomes zero-terminated: the four bytes that follow every name are read, and the first of them is then
 * no longer needed. NULL if it holds zeros itself or is too long, which `what` then says. */
static const char *take_name(cursor *c, uint64_t longest, uint32_t *following, int *is_bad)
{
    uint64_t n = take_u64(c);
    *is_bad = !c->is_short && (n < 1 || n > longest);
    const unsigned char *p = *is_bad ? NULL : take(c, n);
    *following = take_u32(c);
    if (!p || c->is_short) return NULL;
    *is_bad = memchr(p, 0, (size_t)n) != NULL;
    ((unsigned char *)p)[n] = 0;
    return (const char *)p;
}

/* ---- values ---- */

static size_t width_of(uint32_t type)
{
    static const unsigned char widths[CV_GGUF_N_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < CV_GGUF_N_TYPES ? widths[type] : 0;
}

static int take_elements(cursor *c, cv_gguf_value *v)
{
    const unsigned char *begin = c->at;
    if (v->type == CV_GGUF_STRING)
        for (uint64_t i = 0; i < v->count && !c->is_short; i++) take(c, take_u64(c));
    else if (v->count > UINT64_MAX / 8) c->is_short = 1;
    else take(c, v->count * width_of(v->type));
    v->data = begin, v->bytes = (size_t)(c->at - begin);
    return c->is_short;
}

static int take_value(cursor *c, const char *path, cv_gguf_value *v, cv_error *err)
{
    int is_bad;
    memset(v, 0, sizeof *v);
    v->key = take_name(c, 65535, &v->type, &is_bad);
    if (is_bad) return cv_fail(err, "%.200s: the name of a metadata entry is not valid", path);
    if (c->is_short) return 1;
    v->count = 1, v->is_array = v->type == CV_GGUF_ARRAY;
    if (v->is_array) v->type = take_u32(c), v->count = take_u64(c);
    if (c->is_short) return 1;
    if (v->type == CV_GGUF_ARRAY)
        return cv_fail(err, "%.200s: %.100s is an array of arrays, which is not supported", path, v->key);
    if (v->type >= CV_GGUF_N_TYPES)
        return cv_fail(err, "%.200s: %.100s has the type %.0f, which is not known", path, v->key, (double)v->type);
    if (v->is_array || v->type != CV_GGUF_STRING) return take_elements(c, v);
    uint64_t bytes = take_u64(c);
    v->data = take(c, bytes);
    v->bytes = v->data ? (size_t)bytes : 0;
    return c->is_short;
}

static int by_key(const void *a, const void *b)
{
    const cv_gguf_value *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static int key_order(const void *a, const void *b, const void *user)
{
    (void)user;
    return by_key(a, b);
}

static int take_values(cursor *c, cv_gguf_file *f, uint64_t n, const budget *left, cv_error *err)
{
    if (n > left->values)
        return cv_fail(err, "%.200s: %.0f metadata entries are too many (all parts together may have %d)", f->path,
                       (double)n, (int)MOST_VALUES);
    if (n > (uint64_t)(c->end - c->at) / 14) return 1; /* an entry takes 14 bytes at least */
    cv_gguf_value *grown = cv_grow(f->values, (size_t)n + 1, sizeof *grown, err);
    if (!grown) return -1;
    f->values = grown;
    for (f->n_values = 0; f->n_values < n; f->n_values++) {
        int result = take_value(c, f->path, &f->values[f->n_values], err);
        if (result) return result;
    }
    heap_sort(f->values, f->n_values, sizeof *f->values, key_order, NULL);
    for (size_t i = 1; i < f->n_values; i++)
        if (by_key(&f->values[i - 1], &f->values[i]) == 0)
            return cv_fail(err, "%.200s: the metadata has %.100s twice", f->path, f->values[i].key);
    return 0;
}

static const cv_gguf_value *find_value(const cv_gguf_file *f, const char *key)
{
    cv_gguf_value wanted;
    memset(&wanted, 0, sizeof wanted);
    wanted.key = key;
    return f->n_values ? bsearch(&wanted, f->values, f->n_values, sizeof wanted, by_key) : NULL;
}

/* ---- tensors ---- */

/* The dimensions of a tensor with n of them; the number of elements, or 0 if there is no such tensor. */
static uint64_t take_shape(cursor *c, uint32_t n, cv_gguf_tensor *t)
{
    uint64_t total = 1, dims[MOST_DIMENSIONS] = {1, 1, 1, 1};
    for (uint32_t i = 0; i < n; i++) {
        dims[i] = take_u64(c);
        if (dims[i] == 0 || total > ((uint64_t)1 << 48) / dims[i]) total = 0;
        total *= total ? dims[i] : 0;
    }
    t->cols = dims[0], t->rows = dims[3] == 1 ? dims[1] : 0, t->depth = dims[2];
    return total;
}

static int take_tensor(cursor *c, cv_gguf_file *f, cv_gguf_tensor *t, cv_error *err)
{
    uint32_t n, type;
    int is_bad;
    memset(t, 0, sizeof *t);
    t->name = take_name(c, LONGEST_NAME, &n, &is_bad);
    if (is_bad) return cv_fail(err, "%.200s: the name of a tensor is not valid", f->path);
    if (c->is_short) return 1;
    if (n < 1 || n > MOST_DIMENSIONS)
        return cv_fail(err, "%.200s: tensor %s has %.0f dimensions", f->path, t->name, (double)n);
    uint64_t elements = take_shape(c, n, t);
    type = take_u32(c), t->offset = take_u64(c);
    if (c->is_short) return 1;
    t->type = cv_block_type_of(type);
    if (!t->type)
        return cv_fail(err, "%.200s: tensor %s has the type %.0f (%s), which is not supported", f->path, t->name,
                       (double)type, cv_block_type_name(type));
    if (elements == 0 || t->cols % t->type->elements != 0)
        return cv_fail(err, "%.200s: tensor %s has no valid shape for the type %s", f->path, t->name, t->type->name);
    t->bytes = elements / t->type->elements * t->type->bytes;
    return 0;
}

static int take_tensors(cursor *c, cv_gguf_file *f, uint64_t n, const budget *left, cv_error *err)
{
    if (n > left->tensors)
        return cv_fail(err, "%.200s: %.0f tensors are too many (all parts together may have %d)", f->path, (double)n,
                       (int)MOST_TENSORS);
    if (n > (uint64_t)(c->end - c->at) / 32) return 1; /* a tensor's entry takes 33 bytes at least */
    cv_gguf_tensor *grown = cv_grow(f->tensors, (size_t)n + 1, sizeof *grown, err);
    if (!grown) return -1;
    f->tensors = grown;
    for (f->n_tensors = 0; f->n_tensors < n; f->n_tensors++) {
        int result = take_tensor(c, f, &f->tensors[f->n_tensors], err);
        if (result) return result;
    }
    return 0;
}

static int by_offset(const void *a, const void *b, const void *user)
{
    const cv_gguf_tensor *x = a, *y = b;
    (void)user;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int read_alignment(const cv_gguf_file *f, uint64_t *alignment, cv_error *err)
{
    const cv_gguf_value *v = find_value(f, "general.alignment");
    int64_t n = 32;
    if (v && (!cv_gguf_integer(v, &n) || n < 1 || n > 1 << 20 || (n & (n - 1)) != 0)) {
        char text[64];
        return cv_fail(err, "%.200s: general.alignment is %s, not a power of two", f->path,
                       cv_gguf_describe(v, text, sizeof text));
    }
    *alignment = (uint64_t)n;
    return 0;
}

/* Makes offsets count from the file's first byte. */
static int place_tensors(cv_gguf_file *f, uint64_t head_bytes, cv_error *err)
{
    uint64_t alignment = 0, end = 0;
    if (read_alignment(f, &alignment, err) < 0) return -1;
    uint64_t data_at = cv_round_up(head_bytes, alignment);
    uint64_t room = f->file.bytes > data_at ? f->file.bytes - data_at : 0;
    heap_sort(f->tensors, f->n_tensors, sizeof *f->tensors, by_offset, NULL);
    for (size_t i = 0; i < f->n_tensors; end = f->tensors[i].offset + f->tensors[i].bytes, i++) {
        const cv_gguf_tensor *t = &f->tensors[i];
        if (t->offset % alignment != 0)
            return cv_fail(err, "%.200s: tensor %s is not aligned to %.0f", f->path, t->name, (double)alignment);
        if (t->offset > room || t->bytes > room - t->offset)
            return cv_fail(err, "%.200s: tensor %s ends at %.0f, the file's data at %.0f: is the file cut off?",
                           f->path, t->name, (double)t->offset + (double)t->bytes, (double)room);
        if (t->offset < end) return cv_fail(err, "%.200s: tensor %s overlaps another", f->path, t->name);
    }
    for (size_t i = 0; i < f->n_tensors; i++) f->tensors[i].offset += data_at;
    return 0;
}

/* ---- one file ---- */

static int check_version(const cv_gguf_file *f, uint32_t version, cv_error *err)
{
    if (version == 2 || version == 3) return 0;
    if (version == 2u << 24 || version == 3u << 24)
        return cv_fail(err, "%.200s: a big-endian GGUF file, which is not supported", f->path);
    return cv_fail(err, "%.200s: version %.0f of GGUF; only 2 and 3 are supported", f->path, (double)version);
}

/* 0, -1, or 1: the head goes on beyond these bytes. */
static int read_head(cv_gguf_file *f, size_t bytes, const budget *left, cv_error *err)
{
    cursor c = {f->head, f->head + bytes, 0};
    const unsigned char *magic = take(&c, 4);
    uint32_t version = take_u32(&c);
    uint64_t n_tensors = take_u64(&c), n_values = take_u64(&c);
    if (c.is_short) return 1;
    if (memcmp(magic, "GGUF", 4) != 0) return cv_fail(err, "%.200s: not a GGUF file", f->path);
    if (check_version(f, version, err) < 0) return -1;
    int result = take_values(&c, f, n_values, left, err);
    if (!result) result = take_tensors(&c, f, n_tensors, left, err);
    return result ? result : place_tensors(f, (uint64_t)(c.at - f->head), err);
}

/* The pieces double, so that all of them together are at most twice the head. */
static int load_head(cv_gguf_file *f, budget *left, cv_error *err)
{
    for (uint64_t n = FIRST_PIECE;; n *= 2) {
        if (n > left->bytes) n = left->bytes;
        if (n > f->file.bytes) n = f->file.bytes;
        unsigned char *grown = cv_grow(f->head, (size_t)n + 1, 1, err);
        if (!grown) return -1;
        f->head = grown;
        if (cv_file_read(&f->file, 0, f->head, (size_t)n, err) < 0) return -1;
        int result = read_head(f, (size_t)n, left, err);
        if (result < 0) return -1;
        if (result == 0) {
            left->bytes -= n, left->values -= f->n_values, left->tensors -= f->n_tensors;
            return 0;
        }
        if (n == f->file.bytes) return cv_fail(err, "%.300s: the file ends within its head: it is cut off", f->path);
        if (n == left->bytes)
            return cv_fail(err, "%.300s: the head is damaged, or too large: what precedes the weights may have %d MiB, "
                                "in all parts together", f->path, (int)(LARGEST_HEADS >> 20));
    }
}

/* Takes path over. */
static int add_file(cv_gguf *g, char *path, budget *left, cv_error *err)
{
    cv_gguf_file *grown = path ? cv_grow(g->files, (size_t)g->n_files + 1, sizeof *grown, err) : NULL;
    if (!grown) {
        free(path);
        return -1;
    }
    g->files = grown;
    cv_gguf_file *f = &grown[g->n_files++];
    memset(f, 0, sizeof *f);
    f->path = path, f->file.handle = -1;
    return cv_file_open(&f->file, path, err) < 0 ? -1 : load_head(f, left, err);
}

/* ---- several files: NAME-00001-of-00003.gguf ---- */

static int64_t split_number(const cv_gguf_file *f, const char *key, int64_t otherwise)
{
    const cv_gguf_value *v = find_value(f, key);
    int64_t n = otherwise;
    return !v ? otherwise : cv_gguf_integer(v, &n) ? n : -1;
}

static char *path_of_part(const char *first, int part, int count, cv_error *err)
{
    char ending[32];
    size_t n = strlen(first);
    int length = snprintf(ending, sizeof ending, "-00001-of-%05d.gguf", count);
    if (length < 0 || n < (size_t)length || strcmp(first + n - (size_t)length, ending) != 0) {
        cv_fail(err, "%.200s: it is the first of %d files, so its name must end in %s", first, count, ending);
        return NULL;
    }
    char *path = cv_alloc(n + 1, 1, err);
    if (!path) return NULL;
    memcpy(path, first, n - (size_t)length);
    snprintf(path + n - (size_t)length, (size_t)length + 1, "-%05d-of-%05d.gguf", part, count);
    return path;
}

static int check_part(const cv_gguf_file *f, int64_t no, int64_t count, cv_error *err)
{
    if (split_number(f, "split.no", 0) == no && split_number(f, "split.count", 1) == count) return 0;
    return cv_fail(err, "%.200s: its metadata does not say that it is part %.0f of %.0f", f->path, (double)no + 1,
                   (double)count);
}

static int add_parts(cv_gguf *g, budget *left, cv_error *err)
{
    int64_t count = split_number(&g->files[0], "split.count", 1);
    if (count == 0) count = 1;
    if (count < 1 || count > MOST_FILES) return cv_fail(err, "%.200s: split.count is not valid", g->files[0].path);
    if (count > 1 && check_part(&g->files[0], 0, count, err) < 0) return -1;
    for (int i = 1; i < count; i++)
        if (add_file(g, path_of_part(g->files[0].path, i + 1, (int)count, err), left, err) < 0
            || check_part(&g->files[i], i, count, err) < 0)
            return -1;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const cv_gguf_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int name_order(const void *a, const void *b, const void *user)
{
    (void)user;
    return by_name(a, b);
}

static int collect_tensors(cv_gguf *g, cv_error *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_files; i++) n += g->files[i].n_tensors;
    g->tensors = cv_alloc(n, sizeof *g->tensors, err);
    if (!g->tensors) return -1;
    for (uint32_t i = 0; i < g->n_files; i++)
        for (size_t k = 0; k < g->files[i].n_tensors; k++) {
            g->tensors[g->n] = g->files[i].tensors[k];
            g->tensors[g->n++].file = i;
        }
    heap_sort(g->tensors, n, sizeof *g->tensors, name_order, NULL);
    for (size_t i = 1; i < n; i++)
        if (by_name(&g->tensors[i - 1], &g->tensors[i]) == 0)
            return cv_fail(err, "%.200s: tensor %s is there twice", g->files[0].path, g->tensors[i].name);
    int64_t all = split_number(&g->files[0], "split.tensors.count", (int64_t)n);
    if (g->n_files == 1 || all == (int64_t)n) return 0;
    return cv_fail(err, "%.200s: split.tensors.count is %.0f, the files have %.0f", g->files[0].path, (double)all,
                   (double)n);
}

int cv_is_gguf(const char *path, cv_error *err)
{
    char magic[4] = {0};
    cv_file file;
    if (!cv_file_exists(path)) return 0;
    if (cv_file_open(&file, path, err) < 0) return -1;
    int failed = file.bytes < sizeof magic ? 0 : cv_file_read(&file, 0, magic, sizeof magic, err);
    cv_file_close(&file);
    return failed ? -1 : memcmp(magic, "GGUF", 4) == 0;
}

int cv_gguf_open(cv_gguf *g, const char *path, cv_error *err)
{
    size_t n = strlen(path) + 1;
    budget left = {LARGEST_HEADS, MOST_VALUES, MOST_TENSORS};
    memset(g, 0, sizeof *g);
    char *copy = cv_alloc(n, 1, err);
    if (copy) memcpy(copy, path, n);
    if (add_file(g, copy, &left, err) < 0 || add_parts(g, &left, err) < 0) return -1;
    return collect_tensors(g, err);
}

void cv_gguf_close(cv_gguf *g)
{
    for (uint32_t i = 0; i < g->n_files; i++) {
        cv_file_close(&g->files[i].file);
        free(g->files[i].path);
        free(g->files[i].head);
        free(g->files[i].values);
        free(g->files[i].tensors);
    }
    free(g->files);
    free(g->tensors);
    memset(g, 0, sizeof *g);
}

/* ---- use ---- */

const cv_gguf_value *cv_gguf_find(const cv_gguf *g, const char *key)
{
    return find_value(&g->files[0], key);
}

static int64_t signed_of(uint64_t u, unsigned bits)
{
    uint64_t sign = (uint64_t)1 << (bits - 1);
    return u & sign ? -(int64_t)(((sign << 1) - 1) - u) - 1 : (int64_t)u; /* (1 << 64) - 1 wraps to all ones */
}

int cv_gguf_integer_at(const cv_gguf_value *v, uint64_t i, int64_t *value)
{
    if (!v || i >= v->count || v->type == CV_GGUF_STRING || v->type == CV_GGUF_F32 || v->type == CV_GGUF_F64) return 0;
    size_t width = width_of(v->type);
    const unsigned char *p = v->data + i * width;
    uint64_t u = 0;
    for (size_t k = 0; k < width; k++) u |= (uint64_t)p[k] << (8 * k);
    int is_signed = v->type == CV_GGUF_I8 || v->type == CV_GGUF_I16 || v->type == CV_GGUF_I32 || v->type == CV_GGUF_I64;
    if (!is_signed && u > INT64_MAX) return 0;
    *value = is_signed ? signed_of(u, (unsigned)(8 * width)) : (int64_t)u;
    return 1;
}

int cv_gguf_real_at(const cv_gguf_value *v, uint64_t i, double *value)
{
    int64_t n;
    if (cv_gguf_integer_at(v, i, &n)) {
        *value = (double)n;
        return 1;
    }
    if (!v || i >= v->count || (v->type != CV_GGUF_F32 && v->type != CV_GGUF_F64)) return 0;
    if (v->type == CV_GGUF_F32) {
        *value = (double)cv_f32(v->data + 4 * i);
        return 1;
    }
    uint64_t bits = cv_u64(v->data + 8 * i);
    memcpy(value, &bits, sizeof *value);
    return 1;
}

int cv_gguf_integer(const cv_gguf_value *v, int64_t *value)
{
    return v && !v->is_array && cv_gguf_integer_at(v, 0, value);
}

int cv_gguf_real(const cv_gguf_value *v, double *value)
{
    return v && !v->is_array && cv_gguf_real_at(v, 0, value);
}

const char *cv_gguf_string(const cv_gguf_value *v, size_t *bytes)
{
    if (!v || v->is_array || v->type != CV_GGUF_STRING) return NULL;
    *bytes = v->bytes;
    return (const char *)v->data;
}

int cv_gguf_is(const cv_gguf_value *v, const char *text)
{
    size_t n;
    const char *s = cv_gguf_string(v, &n);
    return s && n == strlen(text) && memcmp(s, text, n) == 0;
}

const char *cv_gguf_next_string(const cv_gguf_value *v, size_t *at, size_t *bytes)
{
    if (*at >= v->bytes) return NULL;
    const unsigned char *p = v->data + *at;
    *bytes = (size_t)cv_u64(p); /* checked by take_elements */
    *at += 8 + *bytes;
    return (const char *)p + 8;
}

const char *cv_gguf_describe(const cv_gguf_value *v, char *out, size_t capacity)
{
    size_t bytes;
    double number;
    const char *text = cv_gguf_string(v, &bytes);
    if (!v) snprintf(out, capacity, "absent");
    else if (text) snprintf(out, capacity, "\"%.*s\"", (int)(bytes < 48 ? bytes : 48), text);
    else if (v->is_array) snprintf(out, capacity, "an array of %.0f", (double)v->count);
    else if (v->type == CV_GGUF_BOOL) snprintf(out, capacity, "%s", v->data[0] ? "true" : "false");
    else if (cv_gguf_real(v, &number)) snprintf(out, capacity, "%.9g", number);
    else snprintf(out, capacity, "a huge number");
    return out;
}

cv_gguf_tensor *cv_gguf_tensor_of(const cv_gguf *g, const char *name)
{
    cv_gguf_tensor wanted;
    memset(&wanted, 0, sizeof wanted);
    wanted.name = name;
    return g->n ? bsearch(&wanted, g->tensors, g->n, sizeof wanted, by_name) : NULL;
}

int cv_gguf_read_raw(const cv_gguf *g, const cv_gguf_tensor *t, uint64_t first, uint64_t n, void *out, cv_error *err)
{
    const cv_block_type *type = t->type;
    uint64_t elements = t->depth * t->rows * t->cols;
    if (first > elements || n > elements - first || first % type->elements != 0 || n % type->elements != 0)
        return cv_fail(err, "tensor %s: no such blocks", t->name);
    return cv_file_read(&g->files[t->file].file, t->offset + first / type->elements * type->bytes, out,
                        (size_t)(n / type->elements * type->bytes), err);
}

int cv_gguf_read(const cv_gguf *g, const cv_gguf_tensor *t, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    if (cv_gguf_read_raw(g, t, first, n, cv_raw_place(t->type, n, out), err) < 0) return -1;
    cv_dequantize_in_place(t->type, n, out);
    return 0;
}
