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
    "output_hidden_states", "pad_token_id", "pretraining_tp", "problem_type", "resid_pdrop", "return_dict", "rope_interleaved",
    "rope_parameters", "rope_scaling", "rope_theta", "task_specific_params", "tie_word_embeddings", "tokenizer_class",
    "torch_dtype", "transformers.js_config", "transformers_version", "unsloth_fixed", "unsloth_version", "use_cache",
    "vocab_size"};

/* Keys that must be off if they are there: they mean a computation that is not ours. */
static const char *const off_keys[] = {"rope_interleaved", "qk_layernorm", "scale_attn_by_inverse_layer_idx",
                                       "add_cross_attention", "use_bidirectional_attention"};

static int is_in(const char *const *list, size_t n, const char *key)
{
    for (size_t i = 0; i < n && list[i]; i++)
        if (strcmp(key, list[i]) == 0) return 1;
    return 0;
}

/* GPTQ, AWQ, bitsandbytes and others say so in quantization_config; MLX in quantization. */
static int check_quantization(const cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    char value[64] = "MLX";
    uint32_t theirs = cv_config_get(c, "quantization_config");
    uint32_t method = cv_json_get(j, theirs, "quant_method");
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

/* A key nobody knows is harmless only if it is off. */
static int check_keys(const cv_config *c, uint32_t object, const char *const *more, cv_error *err)
{
    const cv_json *j = c->json;
    char value[64];
    for (uint32_t k = cv_json_first(j, object); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        const char *key = cv_json_string(j, k, NULL);
        int known = key[0] == '_' /* transformers' own notes */
                    || is_in(common_keys, sizeof common_keys / sizeof *common_keys, key) || is_in(more, SIZE_MAX, key);
        if (!known && cv_json_type_of(j, k + 1) > CV_JSON_FALSE)
            return cv_fail(err, "%.200s: the key %.80s (%s) is not known, so what the model computes is not either",
                           c->path, key, cv_config_describe(j, k + 1, value, sizeof value));
    }
    return 0;
}

/* The language model inside one that reads more than text. */
static int find_text(cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    const cv_wrapper *w = c->family->wrapper;
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
    const cv_family *kind = c->family;
    cv_facts *m = c->facts;
    int plain = strcmp(kind->size_keys[3], "n_inner") == 0; /* GPT-2's, null: four times the hidden size */
    if (cv_config_size(c, "vocab_size", -1, &m->vocab, err) < 0
        || cv_config_size(c, kind->size_keys[0], -1, &m->hidden, err) < 0
        || cv_config_size(c, kind->size_keys[1], -1, &m->layers, err) < 0
        || cv_config_size(c, kind->size_keys[2], -1, &m->heads, err) < 0
        || cv_config_size(c, "num_key_value_heads", m->heads, &m->kv_heads, err) < 0
        || cv_config_size(c, kind->size_keys[3], plain && m->hidden < 1 << 20 ? 4 * m->hidden : -1, &m->ffn, err) < 0
        || cv_config_size(c, kind->size_keys[4], 2048, &m->context, err) < 0
        || cv_config_real(c, kind->size_keys[5], -1.0, &m->norm_eps, err) < 0
        || cv_config_flag(c, "tie_word_embeddings", kind->tied, &m->tied, err) < 0)
        return -1;
    if (m->norm_eps < 0.0) return cv_config_wrong(c, kind->size_keys[5], "a number", err);
    if (cv_config_size(c, "head_dim", m->heads ? m->hidden / m->heads : 0, &m->head_dim, err) < 0) return -1;
    if (m->head_dim > CV_MOST_HEAD_DIM || m->layers > CV_MOST_LAYERS)
        return cv_fail(err, "%.200s: heads of %d, %d layers", c->path, (int)m->head_dim, (int)m->layers);
    return 0;
}

static int read_activation(const cv_config *c, cv_error *err)
{
    static const struct {
        const char *theirs, *ours;
    } names[] = {{"silu", NULL},
                 {"swish", NULL},
                 {"gelu", "gelu_erf"},
                 {"gelu_new", "gelu_tanh"},
                 {"gelu_fast", "gelu_tanh"},
                 {"gelu_pytorch_tanh", "gelu_tanh"}};
    uint32_t node = cv_config_get(c, c->family->act_key);
    char value[64];
    cv_config_describe(c->json, node, value, sizeof value);
    if (cv_json_type_of(c->json, node) <= CV_JSON_NULL) snprintf(value, sizeof value, "%s", c->family->default_act);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(value, names[i].theirs) == 0) {
            c->facts->activation = names[i].ours;
            return 0;
        }
    return cv_fail(err, "%.200s: %s is %s; supported are silu, gelu, gelu_new, gelu_pytorch_tanh", c->path,
                   c->family->act_key, value);
}

/* Newer folders say of each layer whether it slides; that overrides what a family assumes. */
static int read_layer_types(const cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    cv_facts *m = c->facts;
    uint32_t list = cv_config_get(c, "layer_types");
    int32_t i = 0;
    char value[64];
    if (cv_json_type_of(j, list) <= CV_JSON_NULL) return 0;
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
    if (m->has_local_layers) memcpy(m->local_layers, m->window_layers, sizeof m->local_layers);
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

int cv_config_read(cv_config *c, const cv_json *generation, cv_error *err)
{
    cv_facts *m = c->facts;
    int64_t bos = -1;
    c->family = cv_find_family(c->json, c->path, err);
    if (!c->family || find_text(c, err) < 0 || check_off_keys(c, err) < 0
        || (c->text && check_keys(c, 0, c->family->wrapper->keys, err) < 0)
        || check_keys(c, c->text, c->family->keys, err) < 0 || read_sizes(c, err) < 0 || read_activation(c, err) < 0)
        return -1;
    m->architecture = c->family->architecture;
    if ((c->family->read && c->family->read(c, err) < 0) || read_layer_types(c, err) < 0 || cv_config_rope(c, err) < 0
        || cv_check_facts(m, c->path, err) < 0 || read_ends(c, c->json, 0, c->path, err) < 0
        || (c->text && read_ends(c, c->json, c->text, c->path, err) < 0)
        || (generation && read_ends(c, generation, 0, "generation_config.json", err) < 0))
        return -1;
    m->bos = -1;
    if (cv_json_integer(c->json, cv_config_get(c, "bos_token_id"), &bos) && bos >= 0 && bos < m->vocab)
        m->bos = (int32_t)bos;
    return 0;
}
