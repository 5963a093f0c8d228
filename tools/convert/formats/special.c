/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * special.c - what of a config.json no list of a family's row can say; see families.h */
#include "config.h"

#include <string.h>

/* Qwen slides only if told to, and then only in the layers from max_window_layers up. */
int cv_read_qwen_window(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    int slides;
    int32_t first;
    if (cv_config_flag(c, "use_sliding_window", 0, &slides, err) < 0
        || cv_config_size(c, "max_window_layers", 28, &first, err) < 0)
        return -1;
    if (!slides) return 0;
    for (int32_t i = first; i < m->layers; i++) m->window_layers[i] = 1;
    m->has_window_layers = 1;
    return cv_config_size(c, "sliding_window", 4096, &m->window, err);
}

/* A list of as many as there are layers: 1, the layer turns; 0, it does not. */
static int read_no_rope_layers(cv_config *c, uint32_t list, cv_error *err)
{
    const cv_json *j = c->json;
    cv_facts *m = c->facts;
    int32_t i = 0;
    int64_t turns;
    char value[64];
    if (cv_json_count(j, list) != (uint32_t)m->layers || cv_json_type_of(j, list) != CV_JSON_ARRAY)
        return cv_fail(err, "%.200s: no_rope_layers is not a list of %d", c->path, (int)m->layers);
    for (uint32_t k = cv_json_first(j, list); k != CV_JSON_NONE; k = cv_json_next(j, k), i++) {
        if (!cv_json_integer(j, k, &turns) || turns < 0 || turns > 1)
            return cv_fail(err, "%.200s: no_rope_layers has %s; 0 or 1 is wanted", c->path,
                           cv_config_describe(j, k, value, sizeof value));
        m->local_layers[i] = turns == 0;
    }
    return 0;
}

/* SmolLM3: without a list, every no_rope_layer_interval-th layer does not turn. A window, if it is used, holds in the
 * layers that do not turn. */
int cv_read_still_layers(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    uint32_t list = cv_config_get(c, "no_rope_layers");
    int32_t interval;
    int slides;
    if (cv_config_size(c, "no_rope_layer_interval", c->family->still_every, &interval, err) < 0
        || cv_config_flag(c, "use_sliding_window", 0, &slides, err) < 0)
        return -1;
    if (interval < 1) return cv_config_wrong(c, "no_rope_layer_interval", "a count from 1 up", err);
    for (int32_t i = 0; i < m->layers; i++) m->local_layers[i] = (i + 1) % interval == 0;
    if (cv_json_type_of(c->json, list) > CV_JSON_NULL && read_no_rope_layers(c, list, err) < 0) return -1;
    if (!slides) return 0;
    memcpy(m->window_layers, m->local_layers, sizeof m->window_layers);
    m->has_window_layers = 1;
    return cv_config_size(c, "sliding_window", 0, &m->window, err);
}

/* Ministral 3's scores grow with the position of the query. */
int cv_read_growth(cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    uint32_t node = cv_json_get(j, cv_config_get(c, "rope_parameters"), "llama_4_scaling_beta");
    char value[64];
    if (cv_json_type_of(j, node) <= CV_JSON_NULL) return 0;
    if (cv_json_number(j, node, &c->facts->attention_growth)) return 0;
    return cv_fail(err, "%.200s: rope_parameters.llama_4_scaling_beta is %s; a number is wanted", c->path,
                   cv_config_describe(j, node, value, sizeof value));
}

/* Qwen's mixtures: every decoder_sparse_step-th layer, but for those that mlp_only_layers lists. */
int cv_read_expert_layers(cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    cv_facts *m = c->facts;
    uint32_t list = cv_config_get(c, "mlp_only_layers");
    int32_t step;
    int64_t layer;
    if (cv_config_size(c, "decoder_sparse_step", 1, &step, err) < 0) return -1;
    if (step < 1) return cv_config_wrong(c, "decoder_sparse_step", "a count from 1 up", err);
    for (int32_t i = 0; i < m->layers; i++) m->expert_layers[i] = (i + 1) % step == 0;
    if (cv_json_type_of(j, list) > CV_JSON_NULL && cv_json_type_of(j, list) != CV_JSON_ARRAY)
        return cv_config_wrong(c, "mlp_only_layers", "a list of layers", err);
    for (uint32_t k = cv_json_first(j, list); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        if (!cv_json_integer(j, k, &layer) || layer < 0 || layer >= m->layers)
            return cv_fail(err, "%.200s: mlp_only_layers lists what is no layer", c->path);
        m->expert_layers[layer] = 0;
    }
    m->has_expert_layers = memchr(m->expert_layers, 0, (size_t)m->layers) != NULL;
    return 0;
}

int cv_check_positions(cv_config *c, cv_error *err)
{
    uint32_t node = cv_config_get(c, "position_embedding_type");
    if (cv_json_type_of(c->json, node) <= CV_JSON_NULL || cv_json_is(c->json, node, "rope")) return 0;
    return cv_config_wrong(c, "position_embedding_type", "rope", err);
}

/* LFM2's inner size: two thirds of what is said, times a factor, up to a multiple. */
static int read_adjusted_ffn(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    int32_t multiple;
    int adjusts;
    double times;
    if (cv_config_size(c, "block_ff_dim", m->ffn, &m->ffn, err) < 0
        || cv_config_flag(c, "block_auto_adjust_ff_dim", 1, &adjusts, err) < 0
        || cv_config_real(c, "block_ffn_dim_multiplier", 1.0, &times, err) < 0
        || cv_config_size(c, "block_multiple_of", 256, &multiple, err) < 0)
        return -1;
    if (!adjusts) return 0;
    if (!(times > 0.0 && times <= 16.0))
        return cv_config_wrong(c, "block_ffn_dim_multiplier", "a number up to 16", err);
    if (multiple < 1 || multiple > 1 << 20) return cv_config_wrong(c, "block_multiple_of", "a count up to 2^20", err);
    if (m->ffn > 1 << 20) return cv_config_wrong(c, "block_ff_dim", "a count up to 2^20", err);
    int64_t size = (int64_t)(times * (double)(int64_t)(2.0 * m->ffn / 3.0));
    m->ffn = (int32_t)((size + multiple - 1) / multiple * multiple);
    return 0;
}

/* layer_types, a list: the layers of that kind, where others attend. */
static int read_layers_of(cv_config *c, uint32_t list, const char *kind, unsigned char *layers, cv_error *err)
{
    const cv_json *j = c->json;
    char value[64];
    int32_t i = 0;
    if (cv_json_type_of(j, list) != CV_JSON_ARRAY || cv_json_count(j, list) != (uint32_t)c->facts->layers)
        return cv_fail(err, "%.200s: layer_types is not a list of %d", c->path, (int)c->facts->layers);
    for (uint32_t k = cv_json_first(j, list); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        layers[i++] = cv_json_is(j, k, kind) ? 1 : 0;
        if (!layers[i - 1] && !cv_json_is(j, k, "full_attention"))
            return cv_fail(err, "%.200s: layer_types has %s; %s or full_attention is wanted", c->path,
                           cv_config_describe(j, k, value, sizeof value), kind);
    }
    return 0;
}

/* Layers are convolutions, unless layer_types says otherwise, or, in older folders, full_attn_idxs lists them. */
int cv_read_convs(cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    cv_facts *m = c->facts;
    uint32_t types = cv_config_get(c, "layer_types"), full = cv_config_get(c, "full_attn_idxs");
    int64_t index;
    int biased;
    memset(m->conv_layers, 1, (size_t)m->layers);
    if (cv_config_size(c, "conv_L_cache", 3, &m->conv_taps, err) < 0
        || cv_config_flag(c, "conv_bias", 0, &biased, err) < 0
        || cv_config_flag(c, "tie_embedding", m->tied, &m->tied, err) < 0 || read_adjusted_ffn(c, err) < 0)
        return -1;
    if (biased) return cv_config_wrong(c, "conv_bias", "false", err);
    if (m->conv_taps < 2) return cv_config_wrong(c, "conv_L_cache", "a count from 2 up", err);
    if (cv_json_type_of(j, types) > CV_JSON_NULL) return read_layers_of(c, types, "conv", m->conv_layers, err);
    if (cv_json_type_of(j, full) != CV_JSON_ARRAY)
        return cv_fail(err, "%.200s: neither layer_types nor full_attn_idxs tells which layers attend", c->path);
    for (uint32_t k = cv_json_first(j, full); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        if (!cv_json_integer(j, k, &index) || index < 0 || index >= m->layers)
            return cv_fail(err, "%.200s: full_attn_idxs lists what is no layer", c->path);
        m->conv_layers[index] = 0;
    }
    return 0;
}

/* A word that only says what is so anyway. */
static int check_word(cv_config *c, const char *key, const char *word, const char *other, cv_error *err)
{
    uint32_t node = cv_config_get(c, key);
    if (cv_json_type_of(c->json, node) <= CV_JSON_NULL || cv_json_is(c->json, node, word)
        || cv_json_is(c->json, node, other))
        return 0;
    return cv_config_wrong(c, key, word, err);
}

/* Qwen3-Next and Qwen3.5: every full_attention_interval-th layer attends, unless layer_types says otherwise. */
int cv_read_deltas(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    uint32_t types = cv_config_get(c, "layer_types");
    int32_t interval;
    int gates;
    if (cv_config_size(c, "linear_conv_kernel_dim", 4, &m->conv_taps, err) < 0
        || cv_config_size(c, "linear_num_value_heads", 32, &m->delta_heads, err) < 0
        || cv_config_size(c, "linear_num_key_heads", 16, &m->delta_key_heads, err) < 0
        || cv_config_size(c, "linear_key_head_dim", 128, &m->delta_key_dim, err) < 0
        || cv_config_size(c, "linear_value_head_dim", 128, &m->delta_value_dim, err) < 0
        || cv_config_size(c, "full_attention_interval", 4, &interval, err) < 0
        || cv_config_flag(c, "attn_output_gate", 1, &gates, err) < 0
        || check_word(c, "output_gate_type", "swish", "silu", err) < 0)
        return -1;
    if (m->conv_taps < 2) return cv_config_wrong(c, "linear_conv_kernel_dim", "a count from 2 up", err);
    if (m->delta_heads < 1) return cv_config_wrong(c, "linear_num_value_heads", "a count from 1 up", err);
    if (interval < 1) return cv_config_wrong(c, "full_attention_interval", "a count from 1 up", err);
    if (!gates) return cv_config_wrong(c, "attn_output_gate", "true", err);
    for (int32_t i = 0; i < m->layers; i++) m->delta_layers[i] = (i + 1) % interval != 0;
    if (cv_json_type_of(c->json, types) > CV_JSON_NULL
        && read_layers_of(c, types, "linear_attention", m->delta_layers, err) < 0)
        return -1;
    if (m->experts == 0) return 0;
    if (cv_config_size(c, "shared_expert_intermediate_size", 512, &m->shared_ffn, err) < 0) return -1;
    return cv_read_expert_layers(c, err);
}

/* Gemma 4: full layers have larger heads; layers that attend to keys and values of others may have wider feed-forwards
 * instead. */
int cv_read_gemma4(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    uint32_t kinds = cv_json_get(c->json, cv_config_get(c, "rope_parameters"), "full_attention");
    int32_t wide, vocab;
    int doubles;
    if (cv_config_size(c, "global_head_dim", 512, &wide, err) < 0
        || cv_config_size(c, "vocab_size_per_layer_input", 262144, &vocab, err) < 0
        || cv_config_flag(c, "use_double_wide_mlp", 0, &doubles, err) < 0)
        return -1;
    if (cv_json_type_of(c->json, kinds) != CV_JSON_OBJECT)
        return cv_fail(err, "%.200s: rope_parameters does not tell of full_attention and sliding_attention", c->path);
    if (m->layer_inputs > 0 && vocab != m->vocab)
        return cv_config_wrong(c, "vocab_size_per_layer_input", "the same as vocab_size", err);
    if (m->head_dim < 2) return cv_config_wrong(c, "head_dim", "a count from 2 up", err);
    if (wide > CV_MOST_HEAD_DIM) return cv_config_wrong(c, "global_head_dim", "a count up to 1024", err);
    if (m->ffn > 1 << 20) return cv_config_wrong(c, "intermediate_size", "a count up to 2^20", err);
    if (wide != m->head_dim) m->local_head_dim = m->head_dim, m->head_dim = wide;
    if (!doubles || !m->has_shared_layers) return 0;
    m->narrow_ffn = m->ffn, m->ffn *= 2;
    for (int32_t i = 0; i < m->layers; i++) m->narrow_layers[i] = !m->shared_layers[i];
    return 0;
}

int cv_check_swiglu(cv_config *c, cv_error *err)
{
    double limit;
    if (cv_config_real(c, "swiglu_limit", 7.0, &limit, err) < 0) return -1;
    return limit == 7.0 ? 0 : cv_config_wrong(c, "swiglu_limit", "7", err);
}

/* GPT-NeoX has two keys for one thing. */
int cv_check_neox_share(cv_config *c, cv_error *err)
{
    double share, other;
    if (cv_config_real(c, "rotary_pct", 0.25, &share, err) < 0
        || cv_config_real(c, "partial_rotary_factor", share, &other, err) < 0)
        return -1;
    if (share == other) return 0;
    return cv_fail(err, "%.200s: rotary_pct is %g, but partial_rotary_factor is %g", c->path, share, other);
}
