/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * safetensors.c - see safetensors.h
 *
 * A file is a u64 N, N bytes of JSON, and data. The JSON maps names to {"dtype", "shape", "data_offsets": [begin,
 * end]}, offsets counting from the data's first byte; "__metadata__" maps texts to texts, among them names that were
 * left out, because their tensor is there under another name, to that name. */
#include "safetensors.h"
#include "dequantize.h"
#include "../ground/bytes.h"
#include "../ground/kinds.h"
#include "../ground/sort.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 4096 };

static const struct {
    const char *name;
    unsigned bytes;
} types[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},     {"I64", 8},     {"U64", 8}, {"I32", 4}, {"U32", 4},
             {"I16", 2}, {"U16", 2}, {"I8", 1},   {"U8", 1},      {"BOOL", 1},    {"F8_E4M3", 1}, {"F8_E5M2", 1}};
enum { N_TYPES = sizeof types / sizeof *types, N_FLOAT_TYPES = 3 };

static int type_index(const char *name)
{
    int i = 0;
    while (i < N_TYPES && strcmp(types[i].name, name) != 0) i++;
    return i;
}

/* ---- one tensor of a header ---- */

static int non_negative(const cv_json *j, uint32_t node, uint64_t *value)
{
    int64_t n;
    if (!cv_json_integer(j, node, &n) || n < 0) return -1;
    *value = (uint64_t)n;
    return 0;
}

/* The number of elements; sets depth, rows and cols. Each factor is below 2^53, so the check by division is exact. */
static int read_shape(const cv_json *j, uint32_t shape, cv_st_tensor *t, uint64_t *elements)
{
    uint64_t dims[4] = {1, 1, 1, 1}, total = 1, dim;
    uint32_t rank = cv_json_count(j, shape), k = 0;
    if (cv_json_type_of(j, shape) != CV_JSON_ARRAY) return -1;
    for (uint32_t i = cv_json_first(j, shape); i != CV_JSON_NONE; i = cv_json_next(j, i), k++) {
        if (non_negative(j, i, &dim) < 0) return -1;
        if (dim != 0 && total > (UINT64_MAX >> 8) / dim) return -1;
        total *= dim;
        if (k < 4) dims[k] = dim;
    }
    int is_deep = rank == 3 || rank == 4;
    t->depth = is_deep ? dims[0] : 1;
    t->rows = is_deep ? dims[1] : rank == 2 ? dims[0] : rank == 1;
    t->cols = is_deep ? dims[2] * dims[3] : rank == 2 ? dims[1] : dims[0];
    *elements = total;
    return 0;
}

static int read_tensor(const cv_st_file *f, uint32_t key, uint64_t data_at, cv_st_tensor *t, cv_error *err)
{
    const cv_json *j = &f->header;
    const char *path = f->file.path;
    size_t name_bytes;
    uint64_t begin, end, elements;
    uint32_t value = key + 1, offsets = cv_json_get(j, value, "data_offsets"), first = cv_json_first(j, offsets);
    t->name = cv_json_string(j, key, &name_bytes);
    if (strlen(t->name) != name_bytes) return cv_fail(err, "%.200s: a tensor's name holds a zero byte", path);
    t->type = cv_json_string(j, cv_json_get(j, value, "dtype"), NULL);
    if (!t->type || type_index(t->type) == N_TYPES)
        return cv_fail(err, "%.200s: tensor %.150s has dtype %.40s, which is not known", path, t->name,
                       t->type ? t->type : cv_json_type_name(j, cv_json_get(j, value, "dtype")));
    if (read_shape(j, cv_json_get(j, value, "shape"), t, &elements) < 0)
        return cv_fail(err, "%.200s: tensor %.150s has no valid shape", path, t->name);
    if (cv_json_count(j, offsets) != 2 || cv_json_type_of(j, offsets) != CV_JSON_ARRAY
        || non_negative(j, first, &begin) < 0 || non_negative(j, cv_json_next(j, first), &end) < 0 || begin > end)
        return cv_fail(err, "%.200s: tensor %.150s has no valid data_offsets", path, t->name);
    if (end - begin != elements * types[type_index(t->type)].bytes)
        return cv_fail(err, "%.200s: tensor %.150s: dtype, shape and data_offsets contradict each other", path,
                       t->name);
    if (end > f->file.bytes - data_at)
        return cv_fail(err, "%.200s: tensor %.150s ends at %.0f, the file's data at %.0f: is the file cut off?", path,
                       t->name, (double)end, (double)(f->file.bytes - data_at));
    t->offset = data_at + begin, t->bytes = end - begin;
    return 0;
}

/* ---- one file ---- */

/* Several tensors without a byte may stand in one place. */
static int by_offset(const void *a, const void *b, const void *user)
{
    const cv_st_tensor *x = a, *y = b;
    (void)user;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int check_coverage(const cv_st_file *f, cv_st_tensor *t, size_t n, uint64_t data_at, cv_error *err)
{
    uint64_t at = data_at;
    heap_sort(t, n, sizeof *t, by_offset, NULL);
    for (size_t i = 0; i < n; at += t[i].bytes, i++)
        if (t[i].offset != at)
            return cv_fail(err, "%.200s: tensor %.150s %s", f->file.path, t[i].name,
                           t[i].offset < at ? "overlaps another" : "has a gap before it");
    if (at != f->file.bytes)
        return cv_fail(err, "%.200s: %.0f bytes after the last tensor", f->file.path, (double)(f->file.bytes - at));
    return 0;
}

static int make_room(cv_safetensors *st, size_t more, cv_error *err)
{
    if (more <= st->capacity - st->n) return 0;
    size_t capacity = st->n + st->n / 2 + more;
    cv_st_tensor *grown = cv_grow(st->tensors, capacity, sizeof *grown, err);
    if (!grown) return -1;
    st->tensors = grown, st->capacity = capacity;
    return 0;
}

static int read_tensors(cv_safetensors *st, uint32_t file, uint64_t data_at, cv_error *err)
{
    cv_st_file *f = &st->files[file];
    const cv_json *j = &f->header;
    if (cv_json_type_of(j, 0) != CV_JSON_OBJECT) return cv_fail(err, "%.200s: the header is no object", f->file.path);
    size_t before = st->n;
    if (make_room(st, cv_json_count(j, 0), err) < 0) return -1;
    for (uint32_t k = cv_json_first(j, 0); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        cv_st_tensor *t = &st->tensors[st->n];
        if (cv_json_is(j, k, "__metadata__")) continue;
        memset(t, 0, sizeof *t);
        t->file = file;
        if (read_tensor(f, k, data_at, t, err) < 0) return -1;
        st->n++;
    }
    return check_coverage(f, st->tensors + before, st->n - before, data_at, err);
}

static int refuse_header(const cv_st_file *f, uint64_t bytes, cv_error *err)
{
    unsigned char head[CV_KIND_BYTES];
    size_t n = f->file.bytes < sizeof head ? (size_t)f->file.bytes : sizeof head;
    if (cv_file_read(&f->file, 0, head, n, err) < 0
        || cv_refuse_other_kinds(f->file.path, head, n, CV_KIND_SAFETENSORS, err) < 0)
        return -1;
    if (n < 8) return cv_fail(err, "%.300s: too short for a safetensors file", f->file.path);
    return cv_fail(err, "%.300s: a safetensors header of %.0f bytes: the file is damaged or cut off", f->file.path,
                   (double)bytes);
}

/* A header that all files together have no room for is not read: many files may be one, by links. */
static int read_header(cv_safetensors *st, cv_st_file *f, uint64_t *data_at, cv_error *err)
{
    unsigned char size[8];
    if (f->file.bytes < 8) return refuse_header(f, 0, err);
    if (cv_file_read(&f->file, 0, size, sizeof size, err) < 0) return -1;
    uint64_t n = cv_u64(size);
    if (n > f->file.bytes - 8 || n > CV_ST_MOST_HEADERS) return refuse_header(f, n, err);
    st->header_bytes += n;
    if (st->header_bytes > CV_ST_MOST_HEADERS)
        return cv_fail(err, "%.300s: with this file's the safetensors headers have %.0f bytes; all files together may "
                            "have %.0f", f->file.path, (double)st->header_bytes, (double)CV_ST_MOST_HEADERS);
    char *text = cv_alloc((size_t)n, 1, err);
    if (!text) return -1;
    int failed = cv_file_read(&f->file, 8, text, (size_t)n, err) < 0
                 || cv_json_parse(&f->header, text, (size_t)n, f->file.path, err) < 0;
    free(text);
    *data_at = 8 + n;
    return failed ? -1 : 0;
}

/* Takes path over. */
static int add_file(cv_safetensors *st, char *path, cv_error *err)
{
    uint64_t data_at = 0;
    if (!path) return -1;
    cv_st_file *grown = cv_grow(st->files, (size_t)st->n_files + 1, sizeof *grown, err);
    if (!grown) {
        free(path);
        return -1;
    }
    st->files = grown;
    cv_st_file *f = &grown[st->n_files];
    memset(f, 0, sizeof *f);
    f->path = path, f->file.handle = -1;
    st->n_files++;
    if (cv_file_open(&f->file, path, err) < 0 || read_header(st, f, &data_at, err) < 0) return -1;
    return read_tensors(st, st->n_files - 1, data_at, err);
}

static char *joined(const char *folder, const char *file, cv_error *err)
{
    char *path = cv_alloc(HOST_PATH_BYTES, 1, err);
    if (path && cv_path_join(path, HOST_PATH_BYTES, folder, file, err) < 0) {
        free(path);
        path = NULL;
    }
    return path;
}

/* ---- several files ---- */

static int by_name(const void *a, const void *b)
{
    const cv_st_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tensors of one name, which are then refused, in the order of the files. */
static int name_order(const void *a, const void *b, const void *user)
{
    const cv_st_tensor *x = a, *y = b;
    int order = by_name(a, b);
    (void)user;
    return order ? order : (x->file > y->file) - (x->file < y->file);
}

static int sort_by_name(cv_safetensors *st, cv_error *err)
{
    heap_sort(st->tensors, st->n, sizeof *st->tensors, name_order, NULL);
    for (size_t i = 1; i < st->n; i++)
        if (strcmp(st->tensors[i - 1].name, st->tensors[i].name) == 0)
            return cv_fail(err, "tensor %.150s is in two of the safetensors files", st->tensors[i].name);
    return 0;
}

/* A name in the index stays inside the folder. */
static int check_file_name(const char *name, size_t bytes, const char *index, cv_error *err)
{
    if (name && bytes > 0 && bytes < 256 && strlen(name) == bytes && !strpbrk(name, "/\\:") && name[0] != '.') return 0;
    return cv_fail(err, "%.200s: \"%.150s\" is not the name of a file in the same folder", index, name ? name : "");
}

typedef struct mention { /* of a file, in the index */
    const char *name;
    size_t place; /* among the mentions */
} mention;

static int by_file(const void *a, const void *b, const void *user)
{
    const mention *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    (void)user;
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static int by_place(const void *a, const void *b, const void *user)
{
    const mention *x = a, *y = b;
    (void)user;
    return (x->place > y->place) - (x->place < y->place);
}

/* Keeps the first mention of each file, in the index's order; returns how many are left. */
static size_t drop_repeated(mention *list, size_t n)
{
    size_t kept = 0;
    heap_sort(list, n, sizeof *list, by_file, NULL);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(list[kept - 1].name, list[i].name) != 0) list[kept++] = list[i];
    heap_sort(list, kept, sizeof *list, by_place, NULL);
    return kept;
}

static int list_mentions(const cv_json *j, uint32_t map, mention *list, const char *index, cv_error *err)
{
    size_t n = 0, bytes;
    for (uint32_t k = cv_json_first(j, map); k != CV_JSON_NONE; k = cv_json_next(j, k), n++) {
        bytes = 0, list[n].place = n;
        list[n].name = cv_json_string(j, k + 1, &bytes);
        if (check_file_name(list[n].name, bytes, index, err) < 0) return -1;
    }
    return 0;
}

static int add_mapped_files(cv_safetensors *st, const cv_json *j, uint32_t map, const char *folder, const char *index,
                            cv_error *err)
{
    size_t n = cv_json_count(j, map);
    mention *list = cv_alloc(n, sizeof *list, err);
    int failed = !list || list_mentions(j, map, list, index, err) < 0;
    if (!failed) n = drop_repeated(list, n);
    if (!failed && n > MOST_FILES) failed = cv_fail(err, "%.200s: more than %d files", index, (int)MOST_FILES);
    for (size_t i = 0; !failed && i < n; i++) failed = add_file(st, joined(folder, list[i].name, err), err) < 0;
    free(list);
    return failed ? -1 : 0;
}

/* What the index promises must be where it says. */
static int check_map(const cv_safetensors *st, const cv_json *j, uint32_t map, const char *index, cv_error *err)
{
    for (uint32_t k = cv_json_first(j, map); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        const char *name = cv_json_string(j, k, NULL), *file = cv_json_string(j, k + 1, NULL);
        const cv_st_tensor *t = cv_safetensors_find(st, name);
        if (!t || strcmp(host_file_name(st->files[t->file].path), file) != 0)
            return cv_fail(err, "%.200s: tensor %.150s is not in %.100s", index, name, file);
    }
    return 0;
}

static int open_index(cv_safetensors *st, const char *folder, const char *index, cv_error *err)
{
    cv_json j;
    if (cv_json_load(&j, index, CV_ST_MOST_HEADERS, err) < 0) return -1;
    uint32_t map = cv_json_get(&j, 0, "weight_map");
    int failed = 0;
    if (cv_json_type_of(&j, map) != CV_JSON_OBJECT || cv_json_count(&j, map) == 0)
        failed = cv_fail(err, "%.300s: has no weight_map", index);
    failed = failed || add_mapped_files(st, &j, map, folder, index, err) < 0 || sort_by_name(st, err) < 0
             || check_map(st, &j, map, index, err) < 0;
    cv_json_free(&j);
    return failed ? -1 : 0;
}

int cv_safetensors_open(cv_safetensors *st, const char *folder, cv_error *err)
{
    memset(st, 0, sizeof *st);
    char *single = joined(folder, "model.safetensors", err);
    if (!single) return -1;
    if (cv_file_exists(single)) return add_file(st, single, err) < 0 ? -1 : sort_by_name(st, err);
    free(single);
    char *index = joined(folder, "model.safetensors.index.json", err);
    if (!index) return -1;
    int failed = cv_file_exists(index) ? open_index(st, folder, index, err)
                                       : cv_fail(err, "%.200s: neither model.safetensors nor "
                                                      "model.safetensors.index.json is there", folder);
    free(index);
    return failed;
}

void cv_safetensors_close(cv_safetensors *st)
{
    for (uint32_t i = 0; i < st->n_files; i++) {
        cv_file_close(&st->files[i].file);
        cv_json_free(&st->files[i].header);
        free(st->files[i].path);
    }
    free(st->files);
    free(st->tensors);
    memset(st, 0, sizeof *st);
}

/* ---- use ---- */

cv_st_tensor *cv_safetensors_find(const cv_safetensors *st, const char *name)
{
    cv_st_tensor key;
    memset(&key, 0, sizeof key);
    key.name = name;
    return st->n ? bsearch(&key, st->tensors, st->n, sizeof key, by_name) : NULL;
}

const char *cv_safetensors_kept(const cv_safetensors *st, const char *name)
{
    for (uint32_t i = 0; i < st->n_files; i++) {
        const cv_json *j = &st->files[i].header;
        const char *kept = cv_json_string(j, cv_json_get(j, cv_json_get(j, 0, "__metadata__"), name), NULL);
        if (kept) return kept;
    }
    return NULL;
}

int cv_safetensors_is_float(const cv_st_tensor *t)
{
    return type_index(t->type) < N_FLOAT_TYPES;
}

int cv_safetensors_read(const cv_safetensors *st, const cv_st_tensor *t, uint64_t first, uint64_t n, float *out,
                        cv_error *err)
{
    static const uint32_t ggml[N_FLOAT_TYPES] = {CV_GGML_F32, CV_GGML_F16, CV_GGML_BF16};
    uint64_t elements = t->depth * t->rows * t->cols;
    int kind = type_index(t->type);
    if (kind >= N_FLOAT_TYPES || first > elements || n > elements - first)
        return cv_fail(err, "tensor %.150s: no such floats", t->name);
    const cv_block_type *type = cv_block_type_of(ggml[kind]);
    if (cv_file_read(&st->files[t->file].file, t->offset + first * type->bytes, cv_raw_place(type, n, out),
                     (size_t)n * type->bytes, err) < 0)
        return -1;
    cv_dequantize_in_place(type, n, out);
    return 0;
}

int cv_safetensors_read_bytes(const cv_safetensors *st, const cv_st_tensor *t, uint64_t first, uint64_t n,
                              unsigned char *out, cv_error *err)
{
    if (strcmp(t->type, "U8") != 0 || first > t->bytes || n > t->bytes - first)
        return cv_fail(err, "tensor %.150s: no such bytes", t->name);
    return cv_file_read(&st->files[t->file].file, t->offset + first, out, (size_t)n, err);
}
