/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * huggingface.c - a Hugging Face folder: config.json, generation_config.json, safetensors; see source.h
 *
 * What the configuration means is config.c's business; here is how its tensors become the parts of a
 * model: whole, or cut out of fused ones, or turned. */
#include "formats.h"
#include "config.h"
#include "../containers/dequantize.h"
#include "../containers/safetensors.h"
#include "../model/rope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CONFIG_BYTES = 1 << 24 };

typedef struct folder {
    cv_source source; /* first, so that a cv_source is a folder */
    cv_safetensors tensors;
    cv_json config, generation;
    const cv_family *family;
    const cv_type *type;
    char config_path[HOST_PATH_BYTES];
} folder;

/* ---- finding ---- */

/* "a.*.b.*.c" -> "a.7.b.3.c" */
static void name_in_layer(char *out, size_t capacity, const char *pattern, int32_t layer, int32_t expert)
{
    const char *star = strchr(pattern, '*'), *rest = star ? star + 1 : "", *second = strchr(rest, '*');
    if (!star) snprintf(out, capacity, "%s", pattern);
    else if (!second) snprintf(out, capacity, "%.*s%d%s", (int)(star - pattern), pattern, (int)layer, rest);
    else
        snprintf(out, capacity, "%.*s%d%.*s%d%s", (int)(star - pattern), pattern, (int)layer, (int)(second - rest),
                 rest, (int)expert, second + 1);
}

/* A tensor by its name, or by the name of another that it is the same as. */
static cv_st_tensor *find_shared(const folder *f, const char *name)
{
    cv_st_tensor *t = cv_safetensors_find(&f->tensors, name);
    const char *other = t ? NULL : cv_safetensors_kept(&f->tensors, name);
    return other ? cv_safetensors_find(&f->tensors, other) : t;
}

/* A language model inside another one: transformers has had two ways to name its tensors. */
static cv_st_tensor *find_wrapped(const folder *f, const char *name)
{
    char wrapped[CV_NAME_IN_SOURCE + 32];
    cv_st_tensor *t;
    snprintf(wrapped, sizeof wrapped, "language_model.%s", name);
    if ((t = find_shared(f, wrapped)) != NULL || strncmp(name, "model.", 6) != 0) return t;
    snprintf(wrapped, sizeof wrapped, "model.language_model.%s", name + 6);
    return find_shared(f, wrapped);
}

static cv_st_tensor *find_tensor(const folder *f, const char *name)
{
    const char *prefix = f->family->hf.loose_prefix;
    cv_st_tensor *t = find_shared(f, name);
    if (!t && prefix && strncmp(name, prefix, strlen(prefix)) == 0) t = find_shared(f, name + strlen(prefix));
    return !t && f->type->wrapper ? find_wrapped(f, name) : t;
}

/* Rows of a part in a tensor that holds others, too: n of each `step` rows, from `at` on. */
typedef struct share {
    uint64_t at, n, step;
} share;

/* One stack of all. */
static share place_in_stack(const cv_facts *f, cv_part part)
{
    uint64_t queries = (uint64_t)f->heads * (uint64_t)f->head_dim, ffn = (uint64_t)f->ffn;
    uint64_t keys = (uint64_t)f->kv_heads * (uint64_t)f->head_dim, all = queries + 2 * keys;
    uint64_t delta_keys = (uint64_t)f->delta_key_heads * (uint64_t)f->delta_key_dim;
    uint64_t delta_values = (uint64_t)f->delta_heads * (uint64_t)f->delta_value_dim;
    switch (part) {
    case CV_QUERY:
    case CV_QUERY_BIAS: return (share){0, queries, all};
    case CV_KEY:
    case CV_KEY_BIAS: return (share){queries, keys, all};
    case CV_VALUE:
    case CV_VALUE_BIAS: return (share){queries + keys, keys, all};
    case CV_DELTA_QUERY: return (share){0, delta_keys, 2 * delta_keys + delta_values};
    case CV_DELTA_KEY: return (share){delta_keys, delta_keys, 2 * delta_keys + delta_values};
    case CV_DELTA_VALUE: return (share){2 * delta_keys, delta_values, 2 * delta_keys + delta_values};
    case CV_UP:
    case CV_UP_BIAS: return (share){ffn, ffn, 2 * ffn};
    default: return (share){0, ffn, 2 * ffn};
    }
}

/* A stack for each head; of a gated delta net, for each head of keys. */
static share place_in_head(const cv_facts *f, cv_part part)
{
    uint64_t dim = (uint64_t)f->head_dim, all = (f->has_query_gates ? 2 : 3) * dim, key = (uint64_t)f->delta_key_dim;
    uint64_t heads = f->delta_key_heads ? (uint64_t)(f->delta_heads / f->delta_key_heads) : 1; /* of values */
    uint64_t values = heads * (uint64_t)f->delta_value_dim, delta = 2 * key + 2 * values;
    switch (part) {
    case CV_KEY:
    case CV_KEY_BIAS:
    case CV_ATTN_GATE: return (share){dim, dim, all};
    case CV_VALUE:
    case CV_VALUE_BIAS: return (share){2 * dim, dim, all};
    case CV_DELTA_QUERY: return (share){0, key, delta};
    case CV_DELTA_KEY: return (share){key, key, delta};
    case CV_DELTA_VALUE: return (share){2 * key, values, delta};
    case CV_DELTA_GATE: return (share){2 * key + values, values, delta};
    case CV_DELTA_B: return (share){0, heads, 2 * heads};
    case CV_DELTA_A: return (share){heads, heads, 2 * heads};
    default: return (share){0, dim, all};
    }
}

static share place_of(const folder *f, cv_part part, cv_fusion fusion)
{
    return fusion == CV_PER_HEAD ? place_in_head(&f->source.facts, part) : place_in_stack(&f->source.facts, part);
}

/* A part of a fused tensor has the shape that the sizes demand; the tensor as a whole must have its own. */
static int cut_out(const folder *f, const cv_st_tensor *t, cv_fusion fusion, cv_matrix *matrix, cv_error *err)
{
    uint64_t rows, cols, n, all, have = fusion == CV_TURNED_STACKED || t->rows == 1 ? t->cols : t->rows;
    share place = place_of(f, matrix->part, fusion);
    cv_shape_of(&f->source.facts, matrix->part, 0, &rows, &cols);
    n = t->rows == 1 ? cols : rows, all = n / place.n * place.step;
    if (fusion == CV_PER_HEAD && !f->source.facts.has_query_gates && f->source.facts.heads != f->source.facts.kv_heads)
        return cv_fail(err, "tensor %s: queries, keys and values of a head go together, but there are %d heads and %d "
                            "key-value heads", matrix->name, (int)f->source.facts.heads, (int)f->source.facts.kv_heads);
    if (have != all)
        return cv_fail(err, "tensor %s has the shape [%.0f][%.0f]; the sizes of the model demand %.0f rows in it",
                       matrix->name, (double)t->rows, (double)t->cols, (double)all);
    if (t->rows == 1) matrix->cols = n;
    else matrix->rows = n;
    return 0;
}

/* One expert's columns of a tensor, or of its biases, that holds those of all. */
static int unpack_turned(const folder *f, const cv_st_tensor *t, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    uint64_t rows, cols, experts = (uint64_t)f->source.facts.experts, step = matrix->fusion == CV_PACKED_PAIRS ? 2 : 1;
    cv_shape_of(&f->source.facts, matrix->part, 0, &rows, &cols);
    int is_bias = matrix->part == CV_EXPERT_GATE_BIAS || matrix->part == CV_EXPERT_UP_BIAS
                  || matrix->part == CV_EXPERT_DOWN_BIAS;
    uint64_t depth = is_bias ? 1 : experts, in = is_bias ? experts : cols, out = step * (is_bias ? cols : rows);
    if (t->depth != depth || t->rows != in || t->cols != out)
        return cv_fail(err, "tensor %s has the shape [%.0f][%.0f][%.0f]; the sizes of the model demand "
                            "[%.0f][%.0f][%.0f]", matrix->name, (double)t->depth, (double)t->rows, (double)t->cols,
                       (double)depth, (double)in, (double)out);
    matrix->first = (uint64_t)expert * (is_bias ? 1 : in); /* the row of the tensor at which the expert begins */
    matrix->rows = rows, matrix->cols = cols;
    return 0;
}

/* The scales of MXFP4's blocks: NAME_scales for NAME_blocks. */
static cv_st_tensor *scales_of(const folder *f, const cv_st_tensor *blocks)
{
    char name[CV_NAME_IN_SOURCE];
    int n = (int)(strlen(blocks->name) - strlen("blocks"));
    snprintf(name, sizeof name, "%.*sscales", n, blocks->name);
    return cv_safetensors_find(&f->tensors, name);
}

/* One expert's rows, or every other of them, of a tensor that holds those of all as blocks. */
static int unpack_blocks(const folder *f, const cv_st_tensor *t, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    uint64_t rows, cols, experts = (uint64_t)f->source.facts.experts, step = matrix->fusion == CV_BLOCK_PAIRS ? 2 : 1;
    cv_st_tensor *scales = scales_of(f, t);
    cv_shape_of(&f->source.facts, matrix->part, 0, &rows, &cols);
    if (!scales) return cv_fail(err, "tensor %s: there is no tensor of its scales", matrix->name);
    if (strcmp(t->type, "U8") != 0 || strcmp(scales->type, "U8") != 0 || cols % CV_GROUP != 0 || t->depth != experts
        || t->rows != step * rows || t->cols != cols / 2 || scales->depth != experts || scales->rows != t->rows
        || scales->cols != cols / CV_GROUP)
        return cv_fail(err, "tensor %s: %.20s [%.0f][%.0f][%.0f] with scales %.20s [%.0f][%.0f][%.0f]; the sizes of "
                            "the model demand U8 [%.0f][%.0f][%.0f], and a scale for 16 of these", matrix->name,
                       t->type, (double)t->depth, (double)t->rows, (double)t->cols, scales->type,
                       (double)scales->depth, (double)scales->rows, (double)scales->cols, (double)experts,
                       (double)(step * rows), (double)cols / 2);
    scales->used = 1;
    matrix->first = (uint64_t)expert * t->rows + (matrix->part == CV_EXPERT_UP ? 1 : 0);
    matrix->rows = rows, matrix->cols = cols;
    matrix->values = cv_block_type_of(CV_GGML_MXFP4)->values;
    return 0;
}

/* One expert's rows of a tensor that holds those of all. */
static int unpack(const folder *f, const cv_st_tensor *t, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    uint64_t rows, cols;
    cv_shape_of(&f->source.facts, matrix->part, 0, &rows, &cols);
    int both = matrix->part != CV_EXPERT_DOWN && t->rows == 2 * rows;
    if (matrix->fusion != CV_PACKED) return unpack_turned(f, t, expert, matrix, err);
    if (t->depth != (uint64_t)f->source.facts.experts || (t->rows != rows && !both) || t->cols != cols)
        return cv_fail(err, "tensor %s has the shape [%.0f][%.0f][%.0f]; the sizes of the model demand %d experts of "
                            "[%.0f][%.0f]", matrix->name, (double)t->depth, (double)t->rows, (double)t->cols,
                       (int)f->source.facts.experts, (double)(rows * (matrix->part == CV_EXPERT_DOWN ? 1 : 2)),
                       (double)cols);
    matrix->first = (uint64_t)expert * t->rows + (both && matrix->part == CV_EXPERT_UP ? rows : 0);
    matrix->rows = rows;
    return 0;
}

/* One layer's rows of a tensor that holds those of all. */
static int take_layer(const folder *f, const cv_st_tensor *t, int32_t layer, cv_matrix *matrix, cv_error *err)
{
    uint64_t rows, cols, layers = (uint64_t)f->source.facts.layers;
    cv_shape_of(&f->source.facts, matrix->part, layer, &rows, &cols);
    if (t->depth != 1 || t->rows != layers * rows)
        return cv_fail(err, "tensor %s has %.0f rows; the sizes of the model demand %.0f", matrix->name,
                       (double)t->rows, (double)(layers * rows));
    matrix->first = (uint64_t)layer * rows, matrix->rows = rows;
    return 0;
}

/* The first of a part's names that a tensor has; matrix->name becomes that tensor's. NULL: none. */
static cv_st_tensor *find_part(const folder *f, cv_part part, int32_t layer, int32_t expert, cv_matrix *matrix,
                               const cv_name **name)
{
    for (int i = 0; (*name = cv_name_of(f->family, part, i)) != NULL; i++) {
        name_in_layer(matrix->name, sizeof matrix->name, (*name)->name, layer, expert);
        cv_st_tensor *t = find_tensor(f, matrix->name);
        if (t) snprintf(matrix->name, sizeof matrix->name, "%.*s", CV_NAME_IN_SOURCE - 1, t->name);
        if (t) return t;
    }
    return NULL;
}

static int find(cv_source *source, cv_part part, int32_t layer, int32_t expert, cv_matrix *matrix, cv_error *err)
{
    folder *f = (folder *)source;
    const cv_name *name;
    memset(matrix, 0, sizeof *matrix);
    matrix->part = part;
    cv_st_tensor *t = find_part(f, part, layer, expert, matrix, &name);
    if (!t && part == CV_EMBEDDING && f->source.facts.tied) /* one matrix, of which either name may have been saved */
        t = find_part(f, CV_OUTPUT, layer, expert, matrix, &name);
    if (!t) {
        name = cv_name_of(f->family, part, 0);
        name_in_layer(matrix->name, sizeof matrix->name, name ? name->name : "of that kind", layer, expert);
        return cv_fail(err, "tensor %s is missing", matrix->name);
    }
    int in_blocks = name->fusion == CV_BLOCKS || name->fusion == CV_BLOCK_PAIRS;
    if (!cv_safetensors_is_float(t) && !in_blocks)
        return cv_fail(err, "tensor %s has dtype %.20s; only F32, F16 and BF16 are supported", matrix->name, t->type);
    t->used = 1;
    matrix->rows = t->rows, matrix->cols = t->cols;
    matrix->at = (uint64_t)(t - f->tensors.tensors), matrix->fusion = (int)name->fusion;
    if (in_blocks) return unpack_blocks(f, t, expert, matrix, err);
    if (name->fusion >= CV_PACKED && name->fusion <= CV_PACKED_PAIRS) return unpack(f, t, expert, matrix, err);
    if (name->fusion == CV_TAPS) {
        matrix->rows = 1, matrix->cols = t->rows == 1 ? t->depth * t->cols : 0;
        return 0;
    }
    if (name->fusion == CV_LAYER_ROWS) return take_layer(f, t, layer, matrix, err);
    if (t->depth != 1) return cv_fail(err, "tensor %s has three dimensions; a matrix is wanted", matrix->name);
    if (name->fusion == CV_TURNED || name->fusion == CV_TURNED_STACKED) matrix->rows = t->cols, matrix->cols = t->rows;
    return name->fusion == CV_WHOLE || name->fusion == CV_TURNED ? 0 : cut_out(f, t, name->fusion, matrix, err);
}

/* Keys and values of a layer that attends to those of another. */
static int is_borrowed(const folder *f, const cv_st_tensor *t)
{
    static const cv_part parts[] = {CV_KEY, CV_VALUE, CV_KEY_NORM};
    char name[CV_NAME_IN_SOURCE];
    for (int32_t i = 0; i < f->source.facts.layers; i++)
        for (size_t k = 0; f->source.facts.shared_layers[i] && k < sizeof parts / sizeof *parts; k++) {
            name_in_layer(name, sizeof name, cv_name_of(f->family, parts[k], 0)->name, i, 0);
            if (find_tensor(f, name) == t) return 1;
        }
    return 0;
}

static int begins_with_one_of(const char *const *list, const char *name)
{
    for (; list && *list; list++)
        if (strncmp(name, *list, strlen(*list)) == 0) return 1;
    return 0;
}

/* What older transformers saved along with the weights, what a tied model has twice, what is not for text. */
static int means_nothing(const folder *f, const cv_st_tensor *t)
{
    const char *name = t->name;
    static const char *const buffers[] = {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias",
                                          ".attention.masked_bias"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        size_t length = strlen(buffers[i]);
        if (n > length && strcmp(name + n - length, buffers[i]) == 0) return 1;
    }
    if (is_borrowed(f, t)) return 1;
    if (begins_with_one_of(f->family->hf.left_out, name)
        || (f->type->wrapper && begins_with_one_of(f->type->wrapper->left_out, name)))
        return 1;
    return f->source.facts.tied && t == find_tensor(f, cv_name_of(f->family, CV_OUTPUT, 0)->name);
}

static int check_rest(cv_source *source, cv_error *err)
{
    folder *f = (folder *)source;
    for (size_t i = 0; i < f->tensors.n; i++)
        if (!f->tensors.tensors[i].used && !means_nothing(f, &f->tensors.tensors[i]))
            return cv_fail(err, "tensor %.150s is not part of a %s model as it is known here",
                           f->tensors.tensors[i].name, f->type->model_type);
    return 0;
}

/* ---- reading ---- */

/* Columns first .. first + n - 1 of an [in][out] tensor as rows. */
static int read_columns(const folder *f, const cv_st_tensor *t, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    float *part = cv_alloc((size_t)n, sizeof *part, err);
    int failed = !part;
    for (uint64_t r = 0; !failed && r < t->rows; r++) {
        failed = cv_safetensors_read(&f->tensors, t, r * t->cols + first, n, part, err) < 0;
        for (uint64_t c = 0; !failed && c < n; c++) out[c * t->rows + r] = part[c];
    }
    free(part);
    return failed ? -1 : 0;
}

/* The weights of a convolution, by tap. */
static int read_taps(const folder *f, const cv_st_tensor *t, float *out, cv_error *err)
{
    float *whole = cv_alloc((size_t)(t->depth * t->cols), sizeof *whole, err);
    int failed = !whole || cv_safetensors_read(&f->tensors, t, 0, t->depth * t->cols, whole, err) < 0;
    for (uint64_t d = 0; !failed && d < t->depth; d++)
        for (uint64_t k = 0; k < t->cols; k++) out[k * t->depth + d] = whole[d * t->cols + k];
    free(whole);
    return failed ? -1 : 0;
}

/* Rows first .. first + n - 1 of a part that are every `step`-th column from `begin` on of rows [cols] of a tensor. */
static int read_packed_columns(const folder *f, const cv_matrix *m, const cv_st_tensor *t, uint64_t first, uint64_t n,
                               float *out, cv_error *err)
{
    uint64_t step = m->fusion == CV_PACKED_PAIRS ? 2 : 1, height = m->rows == 1 ? 1 : m->cols;
    uint64_t begin = m->part == CV_EXPERT_UP || m->part == CV_EXPERT_UP_BIAS ? 1 : 0, own = m->rows == 1 ? m->cols : n;
    float *part = cv_alloc((size_t)(step * own), sizeof *part, err);
    int failed = !part;
    for (uint64_t r = 0; !failed && r < height; r++) {
        uint64_t at = (m->first + r) * t->cols + (m->rows == 1 ? 0 : step * first);
        failed = cv_safetensors_read(&f->tensors, t, at, step * own, part, err) < 0;
        for (uint64_t c = 0; !failed && c < own; c++)
            out[m->rows == 1 ? c : c * height + r] = part[c * step + (step == 2 ? begin : 0)];
    }
    free(part);
    return failed ? -1 : 0;
}

/* Row r of a part that is in blocks, as ggml has them. */
static int read_blocks(const folder *f, const cv_matrix *m, uint64_t r, unsigned char *blocks, cv_error *err)
{
    enum { MOST = 256 };
    const cv_st_tensor *t = &f->tensors.tensors[m->at], *s = scales_of(f, t);
    unsigned char pairs[MOST * CV_GROUP / 2], scales[MOST];
    uint64_t groups = m->cols / CV_GROUP, row = m->first + r * (m->fusion == CV_BLOCK_PAIRS ? 2 : 1);
    for (uint64_t g = 0, n; g < groups; g += n) {
        n = groups - g < MOST ? groups - g : MOST;
        if (cv_safetensors_read_bytes(&f->tensors, t, (row * groups + g) * 16, n * 16, pairs, err) < 0
            || cv_safetensors_read_bytes(&f->tensors, s, row * groups + g, n, scales, err) < 0)
            return -1;
        for (uint64_t i = 0; i < n; i++, blocks += 17) cv_mxfp4_of_neighbours(blocks, pairs + i * 16, scales[i]);
    }
    return 0;
}

/* Rows of a part that is in blocks: floats, or integers and scales. */
static int read_mxfp4(const folder *f, const cv_matrix *m, uint64_t first, uint64_t n, float *out, int8_t *q,
                      float *scales, cv_error *err)
{
    const cv_block_type *type = cv_block_type_of(CV_GGML_MXFP4);
    uint64_t groups = m->cols / CV_GROUP;
    unsigned char *blocks = cv_alloc((size_t)groups, type->bytes, err);
    int failed = !blocks;
    for (uint64_t r = 0; !failed && r < n; r++) {
        failed = read_blocks(f, m, first + r, blocks, err) < 0;
        if (!failed && out) cv_dequantize(type, blocks, m->cols, out + r * m->cols);
        else if (!failed)
            failed = cv_split_blocks(type, blocks, groups, q + r * m->cols, scales + r * groups, m->name, err) < 0;
    }
    free(blocks);
    return failed ? -1 : 0;
}

static int read_q8(cv_source *source, const cv_matrix *m, uint64_t first, uint64_t n, int8_t *q, float *scales,
                   cv_error *err)
{
    return m->values ? read_mxfp4((const folder *)source, m, first, n, NULL, q, scales, err) : 1;
}

/* The row of the tensor (or, of a bias, its element) that is row r of a part. */
static uint64_t row_in_tensor(const folder *f, const cv_matrix *m, uint64_t r)
{
    share place;
    if (f->family->hf.in_pairs) r = cv_row_in_pairs(&f->source.facts, m->part, r);
    if (m->fusion == CV_WHOLE || m->fusion == CV_TURNED) return r;
    if (m->fusion == CV_PACKED || m->fusion == CV_LAYER_ROWS) return m->first + r;
    place = place_of(f, m->part, (cv_fusion)m->fusion);
    return r / place.n * place.step + place.at + r % place.n;
}

/* A bias that is part of a longer one, or in another order. */
static int read_bias(const folder *f, const cv_matrix *m, const cv_st_tensor *t, float *out, cv_error *err)
{
    float *whole = cv_alloc((size_t)t->cols, sizeof(float), err);
    int failed = !whole || cv_safetensors_read(&f->tensors, t, 0, t->cols, whole, err) < 0;
    for (uint64_t i = 0; !failed && i < m->cols; i++) out[i] = whole[row_in_tensor(f, m, i)];
    free(whole);
    return failed ? -1 : 0;
}

/* How many of n rows from r on stand one after the other in the tensor. */
static uint64_t neighbours(const folder *f, const cv_matrix *m, uint64_t r, uint64_t n)
{
    uint64_t count = 1, at = row_in_tensor(f, m, r);
    while (count < n && row_in_tensor(f, m, r + count) == at + count) count++;
    return count;
}

static int read_matrix(const folder *f, const cv_matrix *m, const cv_st_tensor *t, uint64_t first, uint64_t n,
                       float *out, cv_error *err)
{
    if (m->values) return read_mxfp4(f, m, first, n, out, NULL, NULL, err);
    if (m->fusion == CV_TAPS) return read_taps(f, t, out, err);
    if (m->fusion == CV_PACKED_TURNED || m->fusion == CV_PACKED_PAIRS)
        return read_packed_columns(f, m, t, first, n, out, err);
    if (t->rows == 1 && n == 1) return read_bias(f, m, t, out, err);
    if (m->fusion == CV_TURNED || m->fusion == CV_TURNED_STACKED)
        return read_columns(f, t, row_in_tensor(f, m, first), n, out, err);
    for (uint64_t r = 0, count; r < n; r += count) {
        count = neighbours(f, m, first + r, n - r);
        uint64_t row = row_in_tensor(f, m, first + r);
        if (cv_safetensors_read(&f->tensors, t, row * t->cols, count * t->cols, out + r * m->cols, err) < 0) return -1;
    }
    return 0;
}

static int is_norm(cv_part part)
{
    return part == CV_ATTN_NORM || part == CV_QUERY_NORM || part == CV_KEY_NORM || part == CV_ATTN_POST_NORM
           || part == CV_FFN_NORM || part == CV_FFN_POST_NORM || part == CV_FINAL_NORM;
}

static int read_rows(cv_source *source, const cv_matrix *matrix, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    const folder *f = (const folder *)source;
    if (read_matrix(f, matrix, &f->tensors.tensors[matrix->at], first, n, out, err) < 0) return -1;
    for (uint64_t i = 0; f->family->hf.norm_plus_one && is_norm(matrix->part) && i < matrix->cols; i++)
        out[i] = 1.0f + out[i];
    return 0;
}

/* ---- folders of another kind ---- */

/* Where config.json or the weights are missing: what tells why, by a file that is there instead. */
static int explain_absence(const char *path, const char *missing, cv_error *err)
{
    static const struct {
        const char *name, *what;
    } others[] = {
        {"adapter_config.json",
         "this is an adapter (LoRA): merge it into its base model first (PEFT: merge_and_unload)"},
        {"pytorch_model.bin",
         "its weights are a Python pickle: save the model as safetensors (transformers: save_pretrained)"},
        {"pytorch_model.bin.index.json",
         "its weights are Python pickles: save the model as safetensors (transformers: save_pretrained)"},
        {"consolidated.00.pth", "this is Meta's own form of a model: take the one for Hugging Face transformers"},
        {"consolidated.safetensors",
         "this is Mistral's own form of a model: take the one for Hugging Face transformers"},
        {"model.onnx", "its weights are an ONNX file: take the model with safetensors"},
        {"tf_model.h5", "its weights are TensorFlow's: take the model with safetensors"}};
    char file[HOST_PATH_BYTES];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (cv_path_join(file, sizeof file, path, others[i].name, err) < 0) return -1;
        if (cv_file_exists(file))
            return cv_fail(err, "%.200s: there is no %s, but %s: %s", path, missing, others[i].name, others[i].what);
    }
    return cv_fail(err, "%.200s: there is no %s; the folder of a Hugging Face model has config.json, and its weights "
                        "in model.safetensors or in the files that model.safetensors.index.json lists", path, missing);
}

static int has_weights(const char *path, cv_error *err)
{
    char single[HOST_PATH_BYTES], index[HOST_PATH_BYTES];
    if (cv_path_join(single, sizeof single, path, "model.safetensors", err) < 0
        || cv_path_join(index, sizeof index, path, "model.safetensors.index.json", err) < 0)
        return -1;
    return cv_file_exists(single) || cv_file_exists(index) ? 0 : explain_absence(path, "model.safetensors", err);
}

/* Quantized weights that config.json does not tell of: tensors that only such models have. */
static int check_tensor_names(const folder *f, cv_error *err)
{
    static const struct {
        const char *ending, *method;
    } marks[] = {{".qweight", "GPTQ or AWQ"},      {".qzeros", "GPTQ or AWQ"},
                 {".g_idx", "GPTQ"},               {".SCB", "bitsandbytes (8 bits)"},
                 {".absmax", "bitsandbytes (4 bits)"}, {".weight_packed", "compressed-tensors"},
                 {".weight_scale", "FP8 or compressed-tensors"}, {".weight_scale_inv", "FP8"},
                 {".scales", "MLX or GPTQ"},       {".weight_blocks", "MXFP4"}};
    for (size_t i = 0; i < f->tensors.n; i++)
        for (size_t k = 0; k < sizeof marks / sizeof *marks; k++) {
            const char *name = f->tensors.tensors[i].name;
            size_t n = strlen(name), length = strlen(marks[k].ending);
            if (n <= length || strcmp(name + n - length, marks[k].ending) != 0) continue;
            return cv_fail(err, "%.200s: tensor %.120s: the weights are quantized by %s, which is not read here: "
                                "convert the original model, or a GGUF file of it", f->config_path, name,
                           marks[k].method);
        }
    return 0;
}

/* ---- opening ---- */

static void close_folder(cv_source *source)
{
    folder *f = (folder *)source;
    cv_safetensors_close(&f->tensors);
    cv_json_free(&f->config);
    cv_json_free(&f->generation);
    free(f);
}

static int load(folder *f, const char *path, cv_error *err)
{
    char generation[HOST_PATH_BYTES];
    if (cv_path_join(f->config_path, sizeof f->config_path, path, "config.json", err) < 0
        || cv_path_join(generation, sizeof generation, path, "generation_config.json", err) < 0)
        return -1;
    if (!cv_file_exists(f->config_path)) return explain_absence(path, "config.json", err);
    if (cv_json_load(&f->config, f->config_path, MOST_CONFIG_BYTES, err) < 0) return -1;
    if (cv_json_type_of(&f->config, 0) != CV_JSON_OBJECT)
        return cv_fail(err, "%.200s: an object is wanted", f->config_path);
    if (cv_file_exists(generation) && cv_json_load(&f->generation, generation, MOST_CONFIG_BYTES, err) < 0) return -1;
    cv_config c = {&f->config, f->config_path, NULL, NULL, &f->source.facts, 0};
    if (cv_config_read(&c, f->generation.n_nodes ? &f->generation : NULL, err) < 0) return -1;
    f->family = c.family, f->type = c.type;
    f->source.note = c.type->wrapper ? c.type->wrapper->note : NULL;
    if (has_weights(path, err) < 0 || cv_safetensors_open(&f->tensors, path, err) < 0) return -1;
    return check_tensor_names(f, err);
}

int cv_open_huggingface(cv_source **source, const char *path, cv_error *err)
{
    folder *f = cv_alloc(1, sizeof *f, err);
    if (!f) return -1;
    f->source.find = find, f->source.check_rest = check_rest;
    f->source.read = read_rows, f->source.read_q8 = read_q8, f->source.any_order = 1;
    f->source.close = close_folder, f->source.folder = path;
    if (load(f, path, err) < 0) {
        close_folder(&f->source);
        return -1;
    }
    *source = &f->source;
    return 0;
}
