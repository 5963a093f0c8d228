/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * config.c - see config.h */
#include "config.h"

#include <stdio.h>
#include <string.h>

/* ---- keys ---- */

/* Keys that every family may have: read below, or without meaning for a forward pass. */
static const char *const common_keys[] = {
    "architectures", "attention_dropout", "attn_pdrop", "bos_token_id", "cache_implementation", "dtype", "embd_pdrop",
    "eos_token_id", "finetuning_task", "head_dim", "hidden_act", "hidden_dropout", "hidden_size", "id2label",
    "initializer_range", "intermediate_size", "label2id", "max_position_embeddings", "model_type",
    "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "num_labels", "output_attentions",
    "output_hidden_states", "pad_token_id", "pretraining_tp", "problem_type", "resid_pdrop", "return_dict",
    "rope_interleaved", "rope_parameters", "rope_scaling", "rope_theta", "task_specific_params",
    "tie_word_embeddings", "tokenizer_class", "torch_dtype", "transformers.js_config", "transformers_version",
    "unsloth_fixed", "unsloth_version", "use_cache", "vocab_size"};

/* Keys that must be off if they are there: they mean a computation that is not ours. */
static const char *const off_keys[] = {"rope_interleaved", "qk_layernorm", "scale_attn_by_inverse_layer_idx",
                                       "add_cross_attention", "use_bidirectional_attention"};

static int is_in(const char *const *list, size_t n, const char *key)
{
    for (size_t i = 0; list && i < n && list[i]; i++)
        if (strcmp(key, list[i]) == 0) return 1;
    return 0;
}

/* GPTQ, AWQ, bitsandbytes and others say so in quantization_config; MLX in quantization. One method may be the
 * family's. */
static int check_quantization(const cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    char value[64] = "MLX";
    uint32_t theirs = cv_config_get(c, "quantization_config");
    uint32_t method = cv_json_get(j, theirs, "quant_method");
    if (c->family->hf.quantized && cv_json_is(j, method, c->family->hf.quantized)) return 0;
    if (cv_json_type_of(j, theirs) > CV_JSON_NULL) {
        if (method != CV_JSON_NONE) cv_config_describe(j, method, value, sizeof value);
        else if (cv_json_get(j, theirs, "load_in_8bit") != CV_JSON_NONE) strcpy(value, "bitsandbytes");
        else if (cv_config_get(c, "quantization") == CV_JSON_NONE) strcpy(value, "a method without a name");
    } else if (cv_json_type_of(j, cv_config_get(c, "quantization")) <= CV_JSON_NULL) {
        return 0;
    }
    return cv_fail(err, "%.200s: the weights are quantized by %s, which is not read here: convert the original model, "
                        "or a GGUF file of it", c->path, value);
}

static int check_off_keys(const cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    char value[64];
    for (size_t i = 0; i < sizeof off_keys / sizeof *off_keys; i++) {
        uint32_t node = cv_config_get(c, off_keys[i]);
        if (cv_json_type_of(j, node) > CV_JSON_FALSE)
            return cv_fail(err, "%.200s: %s is %s; only false is supported", c->path, off_keys[i],
                           cv_config_describe(j, node, value, sizeof value));
    }
    return check_quantization(c, err);
}

static const char *const common_sizes[] = {"hidden_size", "num_hidden_layers", "num_attention_heads",
                                           "intermediate_size", "max_position_embeddings", NULL};

static const char *const *size_keys(const cv_family *f)
{
    return f->hf.sizes ? f->hf.sizes : common_sizes;
}

static const char *eps_key(const cv_family *f)
{
    return f->hf.eps_key ? f->hf.eps_key : f->norm ? "layer_norm_eps" : "rms_norm_eps";
}

static const char *act_key(const cv_family *f)
{
    return f->hf.act_key ? f->hf.act_key : "hidden_act";
}

/* A key of the family, beyond those of all. */
static int is_family_key(const cv_family *f, const char *key)
{
    for (const cv_setting *s = f->hf.settings; s && s->fact != CV_NO_FACT; s++)
        if (strcmp(key, s->key) == 0) return 1;
    return strcmp(key, eps_key(f)) == 0 || strcmp(key, act_key(f)) == 0 || is_in(size_keys(f), SIZE_MAX, key)
           || is_in(f->hf.keys, SIZE_MAX, key) || (f->hf.partial_key && strcmp(key, f->hf.partial_key) == 0);
}

/* Is the key known in that object: the one with the language model, or one around it? */
static int is_known(const cv_config *c, uint32_t object, const char *key)
{
    if (key[0] == '_') return 1; /* transformers' own notes */
    if (is_in(common_keys, sizeof common_keys / sizeof *common_keys, key)) return 1;
    return object == c->text ? is_family_key(c->family, key) : is_in(c->type->wrapper->keys, SIZE_MAX, key);
}

/* A key nobody knows is harmless only if it is off. */
static int check_keys(const cv_config *c, uint32_t object, cv_error *err)
{
    const cv_json *j = c->json;
    char value[64];
    for (uint32_t k = cv_json_first(j, object); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        const char *key = cv_json_string(j, k, NULL);
        if (!is_known(c, object, key) && cv_json_type_of(j, k + 1) > CV_JSON_FALSE)
            return cv_fail(err, "%.200s: the key %.80s (%s) is not known, so what the model computes is not either",
                           c->path, key, cv_config_describe(j, k + 1, value, sizeof value));
    }
    return 0;
}

/* The language model inside one that reads more than text. */
static int find_text(cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    const cv_wrapper *w = c->type->wrapper;
    uint32_t text = cv_json_get(j, 0, "text_config"), type = cv_json_get(j, text, "model_type");
    char value[64];
    c->text = 0;
    if (!w) return 0;
    if (cv_json_type_of(j, text) != CV_JSON_OBJECT)
        return cv_fail(err, "%.200s: text_config is %s; an object is wanted", c->path, cv_json_type_name(j, text));
    if (type != CV_JSON_NONE && !cv_json_is(j, type, w->text_type))
        return cv_fail(err, "%.200s: text_config.model_type is %s; only %s is supported", c->path,
                       cv_config_describe(j, type, value, sizeof value), w->text_type);
    c->text = text;
    return 0;
}

/* ---- facts ---- */

static int read_sizes(const cv_config *c, cv_error *err)
{
    const char *const *keys = size_keys(c->family), *eps = eps_key(c->family);
    int32_t times = c->family->hf.ffn_of_hidden;
    cv_facts *m = c->facts;
    if (cv_config_size(c, "vocab_size", -1, &m->vocab, err) < 0
        || cv_config_size(c, keys[CV_HIDDEN_KEY], -1, &m->hidden, err) < 0
        || cv_config_size(c, keys[CV_LAYERS_KEY], -1, &m->layers, err) < 0
        || cv_config_size(c, keys[CV_HEADS_KEY], -1, &m->heads, err) < 0
        || cv_config_size(c, "num_key_value_heads", m->heads, &m->kv_heads, err) < 0
        || cv_config_size(c, keys[CV_FFN_KEY], times && m->hidden < 1 << 20 ? times * m->hidden : -1, &m->ffn, err) < 0
        || cv_config_size(c, keys[CV_CONTEXT_KEY], 2048, &m->context, err) < 0
        || cv_config_real(c, eps, -1.0, &m->norm_eps, err) < 0
        || cv_config_flag(c, "tie_word_embeddings", c->family->hf.tied, &m->tied, err) < 0)
        return -1;
    if (m->norm_eps < 0.0) return cv_config_wrong(c, eps, "a number", err);
    if (cv_config_size(c, "head_dim", m->heads ? m->hidden / m->heads : 0, &m->head_dim, err) < 0) return -1;
    if (m->head_dim > CV_MOST_HEAD_DIM || m->layers > CV_MOST_LAYERS)
        return cv_fail(err, "%.200s: heads of %d, %d layers", c->path, (int)m->head_dim, (int)m->layers);
    return 0;
}

/* In our words. */
static int read_activation(const cv_config *c, const char **activation, cv_error *err)
{
    static const struct {
        const char *theirs, *ours;
    } names[] = {{"silu", NULL},
                 {"swish", NULL},
                 {"gelu", "gelu_erf"},
                 {"gelu_new", "gelu_tanh"},
                 {"gelu_fast", "gelu_tanh"},
                 {"gelu_pytorch_tanh", "gelu_tanh"}};
    uint32_t node = cv_config_get(c, act_key(c->family));
    char value[64];
    *activation = c->family->activation;
    if (cv_json_type_of(c->json, node) <= CV_JSON_NULL) return 0;
    cv_config_describe(c->json, node, value, sizeof value);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(value, names[i].theirs) == 0) {
            *activation = names[i].ours;
            return 0;
        }
    return cv_fail(err, "%.200s: %s is %s; supported are silu, gelu, gelu_new, gelu_pytorch_tanh", c->path,
                   act_key(c->family), value);
}

static int read_setting(const void *source, const cv_setting *s, double *value, cv_error *err)
{
    const cv_config *c = source;
    uint32_t node = cv_config_get(c, s->key);
    int can_be_none = s->fact == CV_WINDOW || s->fact == CV_ATTENTION_CAP || s->fact == CV_LOGIT_CAP, flag, failed;
    int32_t count;
    if (can_be_none && node != CV_JSON_NONE && cv_json_type_of(c->json, node) == CV_JSON_NULL) return *value = 0.0, 0;
    if (cv_json_type_of(c->json, node) <= CV_JSON_NULL) return 1;
    if (s->fact == CV_WINDOW_PATTERN && cv_json_type_of(c->json, cv_config_get(c, "layer_types")) > CV_JSON_NULL)
        return 1; /* they say more, and EXAONE's pattern is then in letters */
    if (s->fact > CV_LAST_COUNT) return cv_config_real(c, s->key, 0.0, value, err);
    if (s->fact > CV_LAST_FLAG) failed = cv_config_size(c, s->key, 0, &count, err), *value = count;
    else failed = cv_config_flag(c, s->key, 0, &flag, err), *value = flag;
    return failed;
}

static void scale_embedding(const cv_config *c)
{
    uint32_t dtype = cv_config_get(c, "torch_dtype");
    if (dtype == CV_JSON_NONE) dtype = cv_config_get(c, "dtype");
    cv_scale_embedding_by_root(c->facts, cv_json_is(c->json, dtype, "float16")    ? CV_IN_HALF
                                         : cv_json_is(c->json, dtype, "bfloat16") ? CV_IN_BF16
                                                                                  : CV_IN_FLOAT);
}

static int read_recipe(cv_config *c, cv_error *err)
{
    const cv_huggingface *hf = &c->family->hf;
    const char *activation;
    if (read_activation(c, &activation, err) < 0
        || cv_apply_recipe(c->family, hf->settings, read_setting, c, c->facts, c->path, err) < 0)
        return -1;
    c->facts->activation = activation;
    if (hf->read && hf->read(c, err) < 0) return -1;
    if (c->family->embedding_by_root) scale_embedding(c);
    return 0;
}

/* Newer folders say of each layer whether it slides; that overrides what a family assumes. */
static int read_layer_types(const cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    cv_facts *m = c->facts;
    uint32_t list = cv_config_get(c, "layer_types");
    int32_t i = 0;
    char value[64];
    if (cv_json_type_of(j, list) <= CV_JSON_NULL || c->family->has_convs || c->family->has_deltas)
        return 0;
    if (cv_json_count(j, list) != (uint32_t)m->layers || cv_json_type_of(j, list) != CV_JSON_ARRAY)
        return cv_fail(err, "%.200s: layer_types is no list of %d", c->path, (int)m->layers);
    for (uint32_t k = cv_json_first(j, list); k != CV_JSON_NONE; k = cv_json_next(j, k), i++) {
        m->window_layers[i] = cv_json_is(j, k, "sliding_attention") ? 1 : 0;
        if (!m->window_layers[i] && !cv_json_is(j, k, "full_attention"))
            return cv_fail(err, "%.200s: layer_types has %s", c->path, cv_config_describe(j, k, value, sizeof value));
        if (m->window_layers[i] && m->window == 0)
            return cv_fail(err, "%.200s: layer_types has sliding_attention, but there is no sliding_window", c->path);
    }
    m->has_window_layers = m->window > 0;
    return 0;
}

/* An id or a list of ids; ids that are not there mean none. */
static int read_ends(const cv_config *c, const cv_json *j, uint32_t object, const char *name, cv_error *err)
{
    uint32_t node = cv_json_get(j, object, "eos_token_id");
    int64_t id;
    if (cv_json_type_of(j, node) <= CV_JSON_NULL) return 0;
    if (cv_json_integer(j, node, &id)) return cv_add_end(c->facts, id, name, err);
    if (cv_json_type_of(j, node) != CV_JSON_ARRAY) return cv_fail(err, "%s: eos_token_id is no id", name);
    for (uint32_t i = cv_json_first(j, node); i != CV_JSON_NONE; i = cv_json_next(j, i)) {
        if (!cv_json_integer(j, i, &id)) return cv_fail(err, "%s: eos_token_id holds what is no id", name);
        if (cv_add_end(c->facts, id, name, err) < 0) return -1;
    }
    return 0;
}

static int has_key(const void *source, const char *key)
{
    const cv_json *j = ((const cv_config *)source)->json;
    uint32_t node = cv_json_get(j, 0, key);
    double number;
    if (node == CV_JSON_NONE) node = cv_json_get(j, cv_json_get(j, 0, "text_config"), key);
    return cv_json_type_of(j, node) > CV_JSON_FALSE && !(cv_json_number(j, node, &number) && number == 0.0);
}

static int find_family(cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    uint32_t type = cv_json_get(j, 0, "model_type"), classes = cv_json_get(j, 0, "architectures");
    uint32_t class_name = cv_json_first(j, classes);
    char value[64];
    for (int i = 0; !c->type && (c->family = cv_family_at(i)) != NULL; i++)
        for (int k = 0; !c->type && k < CV_MOST_TYPES && c->family->hf.types[k].model_type; k++)
            if (cv_json_is(j, type, c->family->hf.types[k].model_type)) c->type = &c->family->hf.types[k];
    if (!c->type)
        return cv_refuse_family(c->path, "model_type", cv_config_describe(j, type, value, sizeof value), has_key, c, 0,
                                err);
    if (class_name == CV_JSON_NONE || cv_json_is(j, class_name, c->type->class_name)) return 0;
    return cv_fail(err, "%.200s: architectures is %s; only %s is supported", c->path,
                   cv_config_describe(j, class_name, value, sizeof value), c->type->class_name);
}

int cv_config_read(cv_config *c, const cv_json *generation, cv_error *err)
{
    cv_facts *m = c->facts;
    int64_t bos = -1;
    if (find_family(c, err) < 0 || find_text(c, err) < 0 || check_off_keys(c, err) < 0
        || (c->text && check_keys(c, 0, err) < 0) || check_keys(c, c->text, err) < 0 || read_sizes(c, err) < 0
        || read_recipe(c, err) < 0 || read_layer_types(c, err) < 0)
        return -1;
    cv_place_local(c->family, m);
    if (cv_config_rope(c, err) < 0 || cv_check_facts(m, c->path, err) < 0 || read_ends(c, c->json, 0, c->path, err) < 0
        || (c->text && read_ends(c, c->json, c->text, c->path, err) < 0)
        || (generation && read_ends(c, generation, 0, "generation_config.json", err) < 0))
        return -1;
    m->bos = -1;
    if (cv_json_integer(c->json, cv_config_get(c, "bos_token_id"), &bos) && bos >= 0 && bos < m->vocab)
        m->bos = (int32_t)bos;
    return 0;
}
