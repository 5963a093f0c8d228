/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * huggingface.c - a Hugging Face folder: config.json, generation_config.json, safetensors; see source.h
 *
 * config.json is a program in disguise: a key that we do not know may change every number. So each key is one of three:
 * read here, known to mean nothing for inference, or refused by name. */
#include "bytes.h"
#include "safetensors.h"
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CONFIG_BYTES = 1 << 24 };

typedef struct folder {
    cv_source source; /* first, so that a cv_source is a folder */
    cv_safetensors tensors;
    cv_json config, generation;
    char config_path[CV_PATH_BYTES];
} folder;

/* ---- families: what a model_type makes of the same keys ---- */

typedef struct family {
    const char *model_type, *class_name, *architecture;
    int has_window; /* sliding_window is obeyed */
} family;

static const family families[] = {{"llama", "LlamaForCausalLM", "llama", 0},
                                  {"mistral", "MistralForCausalLM", "llama", 1}};
enum { N_FAMILIES = sizeof families / sizeof *families };

/* ---- keys ---- */

/* Keys that are read below, or that change nothing that a forward pass computes. */
static const char *const known_keys[] = {
    "architectures", "attention_bias", "attention_dropout", "attn_pdrop", "bos_token_id", "embd_pdrop", "eos_token_id",
    "head_dim", "hidden_act", "hidden_dropout", "hidden_size", "initializer_range", "intermediate_size",
    "max_position_embeddings", "mlp_bias", "model_type", "num_attention_heads", "num_hidden_layers",
    "num_key_value_heads", "pad_token_id", "pretraining_tp", "resid_pdrop", "rms_norm_eps", "rope_parameters",
    "rope_scaling", "rope_theta", "sliding_window", "tie_word_embeddings", "torch_dtype", "dtype",
    "transformers_version", "transformers.js_config", "use_cache", "vocab_size", "rope_interleaved", "is_llama_config",
    "unsloth_fixed", "unsloth_version", "id2label", "label2id", "num_labels", "return_dict", "output_attentions",
    "output_hidden_states", "tokenizer_class", "task_specific_params", "finetuning_task", "problem_type"};

/* Keys that must have these values if they are there: others mean a computation that is not ours. */
static const struct {
    const char *key, *value; /* as text; "false" also stands for null */
} fixed_keys[] = {{"attention_bias", "false"}, {"mlp_bias", "false"}, {"hidden_act", "silu"},
                  {"rope_interleaved", "false"}, {"quantization_config", "false"}};

/* The value of a key in words, for messages and comparisons. */
static const char *describe(const cv_json *j, uint32_t node, char *out, size_t capacity)
{
    double number;
    const char *text = cv_json_string(j, node, NULL);
    if (text) snprintf(out, capacity, "%s", text);
    else if (cv_json_number(j, node, &number)) snprintf(out, capacity, "%.12g", number);
    else if (cv_json_type_of(j, node) == CV_JSON_TRUE) snprintf(out, capacity, "true");
    else if (cv_json_type_of(j, node) <= CV_JSON_FALSE) snprintf(out, capacity, "false");
    else snprintf(out, capacity, "%s", cv_json_type_name(j, node));
    return out;
}

static int is_known(const char *key)
{
    for (size_t i = 0; i < sizeof known_keys / sizeof *known_keys; i++)
        if (strcmp(key, known_keys[i]) == 0) return 1;
    return key[0] == '_'; /* transformers' own notes */
}

/* A key nobody knows is harmless only if it is off. */
static int check_keys(const folder *f, cv_error *err)
{
    const cv_json *j = &f->config;
    char value[64];
    for (size_t i = 0; i < sizeof fixed_keys / sizeof *fixed_keys; i++) {
        uint32_t node = cv_json_get(j, 0, fixed_keys[i].key);
        if (node != CV_JSON_NONE && strcmp(describe(j, node, value, sizeof value), fixed_keys[i].value) != 0)
            return cv_fail(err, "%.200s: %s is %s; only %s is supported", f->config_path, fixed_keys[i].key, value,
                           fixed_keys[i].value);
    }
    for (uint32_t k = cv_json_first(j, 0); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        const char *key = cv_json_string(j, k, NULL);
        if (!is_known(key) && strcmp(describe(j, k + 1, value, sizeof value), "false") != 0)
            return cv_fail(err, "%.200s: the key %.80s (%s) is not known, so what the model computes is not either",
                           f->config_path, key, value);
    }
    return 0;
}

static int wrong_value(const folder *f, const char *key, const char *wanted, cv_error *err)
{
    char value[64];
    return cv_fail(err, "%.200s: %s is %s; %s is wanted", f->config_path, key,
                   describe(&f->config, cv_json_get(&f->config, 0, key), value, sizeof value), wanted);
}

/* A count; absent or null it is `otherwise`, unless that is -1. */
static int read_size(const folder *f, const char *key, int32_t otherwise, int32_t *value, cv_error *err)
{
    uint32_t node = cv_json_get(&f->config, 0, key);
    int64_t n;
    *value = otherwise;
    if (cv_json_type_of(&f->config, node) <= CV_JSON_NULL && otherwise >= 0) return 0;
    if (!cv_json_integer(&f->config, node, &n) || n < 0 || n > INT32_MAX)
        return wrong_value(f, key, "a count", err);
    *value = (int32_t)n;
    return 0;
}

static int read_flag(const folder *f, const char *key, int otherwise, int32_t *value, cv_error *err)
{
    cv_json_type type = cv_json_type_of(&f->config, cv_json_get(&f->config, 0, key));
    if (type > CV_JSON_TRUE) return wrong_value(f, key, "true or false", err);
    *value = type == CV_JSON_ABSENT || type == CV_JSON_NULL ? otherwise : type == CV_JSON_TRUE;
    return 0;
}

static int read_real(const folder *f, const char *key, double *value, cv_error *err)
{
    if (cv_json_number(&f->config, cv_json_get(&f->config, 0, key), value)) return 0;
    return wrong_value(f, key, "a number", err);
}

/* ---- rope ---- */

static int scaling_number(const folder *f, uint32_t scaling, const char *key, double least, float *value, cv_error *err)
{
    double number;
    if (!cv_json_number(&f->config, cv_json_get(&f->config, scaling, key), &number) || !(number >= least)
        || number > 1e9)
        return cv_fail(err, "%.200s: rope_scaling.%s is missing or not a number from %g up", f->config_path, key,
                       least);
    *value = (float)number;
    return 0;
}

/* Llama 3.1's: long waves are slowed down by factor, short ones are left alone, those between are blended. In the order
 * of operations of transformers' modeling_rope_utils.py, in float32. */
static int scale_llama3(folder *f, uint32_t scaling, cv_error *err)
{
    cv_facts *facts = &f->source.facts;
    float factor, low, high, old;
    if (scaling_number(f, scaling, "factor", 1.0, &factor, err) < 0
        || scaling_number(f, scaling, "low_freq_factor", 1e-6, &low, err) < 0
        || scaling_number(f, scaling, "high_freq_factor", 1e-6, &high, err) < 0
        || scaling_number(f, scaling, "original_max_position_embeddings", 1.0, &old, err) < 0)
        return -1;
    if (!(high > low)) return cv_fail(err, "%.200s: rope_scaling: high_freq_factor must exceed low_freq_factor",
                                      f->config_path);
    float longest = old / low, shortest = old / high, between = high - low;
    for (int32_t i = 0; i < facts->rope_dims / 2; i++) {
        float wave = 6.28318530717958647692f / facts->rope[i], slow = facts->rope[i] / factor;
        float share = old / wave;
        share = share - low;
        share = share / between;
        float rest = 1.0f - share;
        float a = rest * facts->rope[i];
        a = a / factor;
        float b = share * facts->rope[i];
        if (wave > longest) facts->rope[i] = slow;
        else if (!(wave < shortest)) facts->rope[i] = a + b;
    }
    return 0;
}

static int scale_linear(folder *f, uint32_t scaling, cv_error *err)
{
    float factor;
    if (scaling_number(f, scaling, "factor", 1.0, &factor, err) < 0) return -1;
    for (int32_t i = 0; i < f->source.facts.rope_dims / 2; i++) f->source.facts.rope[i] /= factor;
    return 0;
}

/* Newer folders keep theta inside rope_parameters, older ones beside rope_scaling. */
static int read_rope(folder *f, cv_error *err)
{
    const cv_json *j = &f->config;
    uint32_t newer = cv_json_get(j, 0, "rope_parameters"), scaling = newer;
    if (cv_json_type_of(j, newer) != CV_JSON_OBJECT) scaling = cv_json_get(j, 0, "rope_scaling");
    uint32_t at = cv_json_get(j, newer, "rope_theta"), type = cv_json_get(j, scaling, "rope_type");
    double theta = 10000.0;
    if (at == CV_JSON_NONE) at = cv_json_get(j, 0, "rope_theta");
    if (at != CV_JSON_NONE && (!cv_json_number(j, at, &theta) || !(theta >= 1.0) || theta > 1e12))
        return cv_fail(err, "%.200s: rope_theta must be a number from 1 up", f->config_path);
    cv_rope_frequencies(f->source.facts.rope, f->source.facts.rope_dims, theta);
    if (cv_json_type_of(j, scaling) <= CV_JSON_NULL) return 0;
    if (type == CV_JSON_NONE) type = cv_json_get(j, scaling, "type");
    if (cv_json_is(j, type, "default")) return 0;
    if (cv_json_is(j, type, "llama3")) return scale_llama3(f, scaling, err);
    if (cv_json_is(j, type, "linear")) return scale_linear(f, scaling, err);
    char value[64];
    return cv_fail(err, "%.200s: rope_scaling of type %s is not supported", f->config_path,
                   describe(j, type, value, sizeof value));
}

/* ---- facts ---- */

static const family *find_family(const folder *f, cv_error *err)
{
    const cv_json *j = &f->config;
    uint32_t type = cv_json_get(j, 0, "model_type"), classes = cv_json_get(j, 0, "architectures");
    char value[64];
    int i = 0;
    while (i < N_FAMILIES && !cv_json_is(j, type, families[i].model_type)) i++;
    if (i == N_FAMILIES) {
        cv_fail(err, "%.200s: model_type %s is not supported", f->config_path, describe(j, type, value, sizeof value));
        return NULL;
    }
    uint32_t class_name = cv_json_first(j, classes);
    if (class_name == CV_JSON_NONE || cv_json_is(j, class_name, families[i].class_name)) return &families[i];
    cv_fail(err, "%.200s: architectures is %s; only %s is supported", f->config_path,
            describe(j, class_name, value, sizeof value), families[i].class_name);
    return NULL;
}

static int read_sizes(folder *f, const family *kind, cv_error *err)
{
    cv_facts *m = &f->source.facts;
    int failed = read_size(f, "vocab_size", -1, &m->vocab, err) < 0
                 || read_size(f, "hidden_size", -1, &m->hidden, err) < 0
                 || read_size(f, "num_hidden_layers", -1, &m->layers, err) < 0
                 || read_size(f, "num_attention_heads", -1, &m->heads, err) < 0
                 || read_size(f, "num_key_value_heads", m->heads, &m->kv_heads, err) < 0
                 || read_size(f, "intermediate_size", -1, &m->ffn, err) < 0
                 || read_size(f, "max_position_embeddings", 2048, &m->context, err) < 0
                 || (kind->has_window && read_size(f, "sliding_window", 0, &m->window, err) < 0)
                 || read_real(f, "rms_norm_eps", &m->norm_eps, err) < 0
                 || read_flag(f, "tie_word_embeddings", 0, &m->tied, err) < 0;
    if (failed) return -1;
    return read_size(f, "head_dim", m->heads ? m->hidden / m->heads : 0, &m->head_dim, err);
}

/* An id or a list of ids; ids that are not there mean none. */
static int read_ends(folder *f, const cv_json *j, const char *name, cv_error *err)
{
    uint32_t node = cv_json_get(j, 0, "eos_token_id");
    int64_t id;
    if (cv_json_type_of(j, node) <= CV_JSON_NULL) return 0;
    if (cv_json_integer(j, node, &id)) return cv_add_end(&f->source.facts, id, name, err);
    if (cv_json_type_of(j, node) != CV_JSON_ARRAY) return cv_fail(err, "%s: eos_token_id is no id", name);
    for (uint32_t i = cv_json_first(j, node); i != CV_JSON_NONE; i = cv_json_next(j, i)) {
        if (!cv_json_integer(j, i, &id)) return cv_fail(err, "%s: eos_token_id holds what is no id", name);
        if (cv_add_end(&f->source.facts, id, name, err) < 0) return -1;
    }
    return 0;
}

static int read_facts(folder *f, cv_error *err)
{
    cv_facts *m = &f->source.facts;
    int64_t bos = -1;
    const family *kind = find_family(f, err);
    if (!kind || check_keys(f, err) < 0 || read_sizes(f, kind, err) < 0) return -1;
    m->architecture = kind->architecture;
    m->rope_dims = m->head_dim;
    if (m->head_dim > CV_MOST_HEAD_DIM) return cv_fail(err, "%.200s: heads of %d", f->config_path, (int)m->head_dim);
    if (read_rope(f, err) < 0 || cv_check_facts(m, f->config_path, err) < 0
        || read_ends(f, &f->config, f->config_path, err) < 0
        || read_ends(f, &f->generation, "generation_config.json", err) < 0)
        return -1;
    m->bos = -1;
    if (cv_json_integer(&f->config, cv_json_get(&f->config, 0, "bos_token_id"), &bos) && bos >= 0 && bos < m->vocab)
        m->bos = (int32_t)bos;
    return 0;
}

/* ---- tensors ---- */

static const struct {
    cv_part part;
    int in_layer;
    const char *name;
} names[] = {{CV_EMBEDDING, 0, "embed_tokens"},
             {CV_FINAL_NORM, 0, "norm"},
             {CV_ATTN_NORM, 1, "input_layernorm"},
             {CV_QUERY, 1, "self_attn.q_proj"},
             {CV_KEY, 1, "self_attn.k_proj"},
             {CV_VALUE, 1, "self_attn.v_proj"},
             {CV_ATTN_OUT, 1, "self_attn.o_proj"},
             {CV_FFN_NORM, 1, "post_attention_layernorm"},
             {CV_GATE, 1, "mlp.gate_proj"},
             {CV_UP, 1, "mlp.up_proj"},
             {CV_DOWN, 1, "mlp.down_proj"}};

static void name_part(char *out, size_t capacity, cv_part part, int32_t layer)
{
    size_t i = 0, n = sizeof names / sizeof *names;
    while (i < n && names[i].part != part) i++;
    if (i == n) snprintf(out, capacity, "lm_head.weight");
    else if (names[i].in_layer) snprintf(out, capacity, "model.layers.%d.%s.weight", (int)layer, names[i].name);
    else snprintf(out, capacity, "model.%s.weight", names[i].name);
}

static int find(cv_source *source, cv_part part, int32_t layer, cv_matrix *matrix, cv_error *err)
{
    folder *f = (folder *)source;
    memset(matrix, 0, sizeof *matrix);
    name_part(matrix->name, sizeof matrix->name, part, layer);
    cv_st_tensor *t = cv_safetensors_find(&f->tensors, matrix->name);
    if (!t) return cv_fail(err, "tensor %s is missing", matrix->name);
    if (!cv_safetensors_is_float(t))
        return cv_fail(err, "tensor %s has dtype %.20s; only F32, F16 and BF16 are supported", matrix->name, t->type);
    t->used = 1;
    matrix->rows = t->rows, matrix->cols = t->cols;
    matrix->at = (uint64_t)(t - f->tensors.tensors);
    return 0;
}

/* What older transformers saved along with the weights, and what a tied model has twice. */
static int means_nothing(const folder *f, const char *name)
{
    const char *end = strstr(name, ".rotary_emb.inv_freq");
    if (end && strcmp(end, ".rotary_emb.inv_freq") == 0) return 1;
    return f->source.facts.tied && strcmp(name, "lm_head.weight") == 0;
}

static int check_rest(cv_source *source, cv_error *err)
{
    folder *f = (folder *)source;
    for (size_t i = 0; i < f->tensors.n; i++)
        if (!f->tensors.tensors[i].used && !means_nothing(f, f->tensors.tensors[i].name))
            return cv_fail(err, "tensor %.150s is not part of a %s model as it is known here",
                           f->tensors.tensors[i].name, f->source.facts.architecture);
    return 0;
}

static int read_rows(cv_source *source, const cv_matrix *matrix, uint64_t first, uint64_t n, float *out, cv_error *err)
{
    folder *f = (folder *)source;
    return cv_safetensors_read(&f->tensors, &f->tensors.tensors[matrix->at], first, n, out, err);
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
    char generation[CV_PATH_BYTES];
    if (cv_path_join(f->config_path, sizeof f->config_path, path, "config.json", err) < 0
        || cv_path_join(generation, sizeof generation, path, "generation_config.json", err) < 0
        || cv_json_load(&f->config, f->config_path, MOST_CONFIG_BYTES, err) < 0)
        return -1;
    if (cv_json_type_of(&f->config, 0) != CV_JSON_OBJECT)
        return cv_fail(err, "%.200s: an object is wanted", f->config_path);
    if (cv_file_exists(generation) && cv_json_load(&f->generation, generation, MOST_CONFIG_BYTES, err) < 0) return -1;
    if (read_facts(f, err) < 0) return -1;
    return cv_safetensors_open(&f->tensors, path, err);
}

int cv_open_huggingface(cv_source **source, const char *path, cv_error *err)
{
    folder *f = cv_alloc(1, sizeof *f, err);
    if (!f) return -1;
    f->source.find = find, f->source.check_rest = check_rest, f->source.read = read_rows, f->source.close = close_folder;
    if (load(f, path, err) < 0) {
        close_folder(&f->source);
        return -1;
    }
    *source = &f->source;
    return 0;
}
