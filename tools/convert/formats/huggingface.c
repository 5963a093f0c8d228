/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * huggingface.c - a Hugging Face folder: config.json, generation_config.json, safetensors; see source.h
 *
 * What the configuration means is config.c's business; here is how its tensors become the parts of a
 * model: whole, or cut out of fused ones, or turned. */
#include "formats.h"
#include "config.h"
#include "../containers/safetensors.h"

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

/* "a.*.b" -> "a.7.b" */
static void name_of_layer(char *out, size_t capacity, const char *pattern, int32_t layer)
{
    const char *star = strchr(pattern, '*');
    if (!star) snprintf(out, capacity, "%s", pattern);
    else snprintf(out, capacity, "%.*s%d%s", (int)(star - pattern), pattern, (int)layer, star + 1);
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

/* Where the rows of a part begin in the stack, how many they are, and how many the stack has. */
static void place_in_stack(const cv_facts *f, cv_part part, uint64_t *at, uint64_t *n, uint64_t *all)
{
    uint64_t queries = (uint64_t)f->heads * (uint64_t)f->head_dim, ffn = (uint64_t)f->ffn;
    uint64_t keys = (uint64_t)f->kv_heads * (uint64_t)f->head_dim;
    *at = 0, *n = keys, *all = queries + 2 * keys;
    switch (part) {
    case CV_QUERY:
    case CV_QUERY_BIAS: *n = queries; break;
    case CV_KEY:
    case CV_KEY_BIAS: *at = queries; break;
    case CV_VALUE:
    case CV_VALUE_BIAS: *at = queries + keys; break;
    case CV_UP:
    case CV_UP_BIAS: *at = *n = ffn, *all = 2 * ffn; break;
    default: *n = ffn, *all = 2 * ffn; break;
    }
}

/* A part of a fused tensor has the shape that the sizes demand; the tensor as a whole must have its own. */
static int cut_out(const folder *f, const cv_st_tensor *t, cv_fusion fusion, cv_matrix *matrix, cv_error *err)
{
    uint64_t at, n, all, have = fusion == CV_TURNED_STACKED || t->rows == 1 ? t->cols : t->rows;
    place_in_stack(&f->source.facts, matrix->part, &at, &n, &all);
    if (fusion == CV_PER_HEAD && f->source.facts.heads != f->source.facts.kv_heads)
        return cv_fail(err, "tensor %s: queries, keys and values of a head go together, but there are %d heads and %d "
                            "key-value heads", matrix->name, (int)f->source.facts.heads, (int)f->source.facts.kv_heads);
    if (have != all)
        return cv_fail(err, "tensor %s has the shape [%.0f][%.0f]; the sizes of the model demand %.0f rows in it",
                       matrix->name, (double)t->rows, (double)t->cols, (double)all);
    if (t->rows == 1) matrix->cols = n;
    else matrix->rows = n;
    return 0;
}

/* The first of a part's names that a tensor has; matrix->name becomes that tensor's. NULL: none. */
static cv_st_tensor *find_part(const folder *f, cv_part part, int32_t layer, cv_matrix *matrix, const cv_name **name)
{
    for (int i = 0; (*name = cv_name_of(f->family, part, i)) != NULL; i++) {
        name_of_layer(matrix->name, sizeof matrix->name, (*name)->name, layer);
        cv_st_tensor *t = find_tensor(f, matrix->name);
        if (t) snprintf(matrix->name, sizeof matrix->name, "%.*s", CV_NAME_IN_SOURCE - 1, t->name);
        if (t) return t;
    }
    return NULL;
}

static int find(cv_source *source, cv_part part, int32_t layer, cv_matrix *matrix, cv_error *err)
{
    folder *f = (folder *)source;
    const cv_name *name;
    memset(matrix, 0, sizeof *matrix);
    matrix->part = part;
    cv_st_tensor *t = find_part(f, part, layer, matrix, &name);
    if (!t && part == CV_EMBEDDING && f->source.facts.tied) /* one matrix, of which either name may have been saved */
        t = find_part(f, CV_OUTPUT, layer, matrix, &name);
    if (!t) {
        name = cv_name_of(f->family, part, 0);
        name_of_layer(matrix->name, sizeof matrix->name, name ? name->name : "of that kind", layer);
        return cv_fail(err, "tensor %s is missing", matrix->name);
    }
    if (!cv_safetensors_is_float(t))
        return cv_fail(err, "tensor %s has dtype %.20s; only F32, F16 and BF16 are supported", matrix->name, t->type);
    t->used = 1;
    matrix->rows = t->rows, matrix->cols = t->cols;
    matrix->at = (uint64_t)(t - f->tensors.tensors), matrix->fusion = (int)name->fusion;
    if (name->fusion == CV_TURNED || name->fusion == CV_TURNED_STACKED) matrix->rows = t->cols, matrix->cols = t->rows;
    return name->fusion == CV_WHOLE || name->fusion == CV_TURNED ? 0 : cut_out(f, t, name->fusion, matrix, err);
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
    for (const char *const *other = f->type->wrapper ? f->type->wrapper->left_out : NULL; other && *other; other++)
        if (strncmp(name, *other, strlen(*other)) == 0) return 1;
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

/* The row of the tensor (or, of a bias, its element) that is row r of a part. */
static uint64_t row_in_tensor(const folder *f, const cv_matrix *m, uint64_t r)
{
    uint64_t dim = (uint64_t)f->source.facts.head_dim, at, n, all;
    if (m->fusion == CV_WHOLE || m->fusion == CV_TURNED) return r;
    place_in_stack(&f->source.facts, m->part, &at, &n, &all);
    return m->fusion == CV_PER_HEAD ? r / dim * 3 * dim + at / n * dim + r % dim : at + r;
}

/* A bias that is part of a longer one. */
static int read_fused_vector(const folder *f, const cv_matrix *m, const cv_st_tensor *t, float *out, cv_error *err)
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
    uint64_t dim = (uint64_t)f->source.facts.head_dim, left = dim - r % dim;
    return m->fusion == CV_PER_HEAD && left < n ? left : n;
}

static int read_matrix(const folder *f, const cv_matrix *m, const cv_st_tensor *t, uint64_t first, uint64_t n,
                       float *out, cv_error *err)
{
    if (m->fusion != CV_WHOLE && t->rows == 1) return read_fused_vector(f, m, t, out, err);
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
    f->source.read = read_rows, f->source.any_order = 1, f->source.close = close_folder, f->source.folder = path;
    if (load(f, path, err) < 0) {
        close_folder(&f->source);
        return -1;
    }
    *source = &f->source;
    return 0;
}
