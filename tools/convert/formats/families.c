/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * families.c - the families of models: what model_type in a config.json stands for
 *
 * All that is known about a family by its name stands here, in one row and, if need be, a function that reads what is
 * special. A .harp file then says what its model computes, and nobody asks for the name again. Sources: the
 * modeling_*.py files of Hugging Face transformers, 4.45.0 and 4.51.3. */
#include "config.h"
#include "../ground/halves.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- what is special ---- */

/* attention_bias: of all four projections. */
static int read_attention_bias(cv_config *c, int otherwise, cv_error *err)
{
    int flag;
    if (cv_config_flag(c, "attention_bias", otherwise, &flag, err) < 0) return -1;
    if (flag) c->facts->biases |= CV_BIAS_QKV | CV_BIAS_ATTN_OUT;
    return 0;
}

static int read_llama(cv_config *c, cv_error *err)
{
    int flag;
    if (cv_config_flag(c, "mlp_bias", 0, &flag, err) < 0) return -1;
    if (flag) c->facts->biases |= CV_BIAS_FFN;
    return read_attention_bias(c, 0, err);
}

static int read_mistral(cv_config *c, cv_error *err)
{
    return cv_config_size(c, "sliding_window", 0, &c->facts->window, err);
}

/* Qwen slides only if told to, and then only in the layers from max_window_layers up. */
static int read_qwen_window(cv_config *c, cv_error *err)
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

static int read_qwen2(cv_config *c, cv_error *err)
{
    c->facts->biases = CV_BIAS_QKV;
    return read_qwen_window(c, err);
}

static int read_qwen3(cv_config *c, cv_error *err)
{
    c->facts->qk_norm = "head";
    return read_attention_bias(c, 0, err) < 0 ? -1 : read_qwen_window(c, err);
}

static int read_olmo2(cv_config *c, cv_error *err)
{
    c->facts->norm_place = "after", c->facts->qk_norm = "all";
    return read_attention_bias(c, 0, err);
}

/* Embeddings times sqrt(hidden), a constant of the type that the model computes in. */
static void scale_embedding(cv_config *c)
{
    uint32_t dtype = cv_config_get(c, "torch_dtype");
    float root = (float)sqrt((double)c->facts->hidden);
    if (dtype == CV_JSON_NONE) dtype = cv_config_get(c, "dtype");
    if (cv_json_is(c->json, dtype, "float16")) root = cv_nearest_half(root);
    if (cv_json_is(c->json, dtype, "bfloat16")) root = cv_nearest_bf16(root);
    c->facts->embedding_scale = (double)root;
}

static int read_gemma(cv_config *c, cv_error *err)
{
    scale_embedding(c);
    return read_attention_bias(c, 0, err);
}

/* What Gemma 2 and 3 share. */
static int read_gemma_attention(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    double scalar;
    m->norm_place = "around";
    if (read_gemma(c, err) < 0 || cv_config_real(c, "query_pre_attn_scalar", 256.0, &scalar, err) < 0
        || cv_config_real(c, "attn_logit_softcapping", 0.0, &m->attention_cap, err) < 0
        || cv_config_real(c, "final_logit_softcapping", 0.0, &m->logit_cap, err) < 0
        || cv_config_size(c, "sliding_window", 4096, &m->window, err) < 0)
        return -1;
    if (!(scalar > 0.0)) return cv_fail(err, "%.200s: query_pre_attn_scalar is %g", c->path, scalar);
    m->attention_scale = 1.0 / sqrt(scalar);
    m->has_window_layers = 1;
    return 0;
}

static int read_gemma2(cv_config *c, cv_error *err)
{
    for (int32_t i = 0; i < c->facts->layers; i += 2) c->facts->window_layers[i] = 1;
    return read_gemma_attention(c, err);
}

/* All but each sliding_window_pattern-th layer slide, and turn by a base of their own. */
static int read_gemma3(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    int32_t pattern; /* newer folders begin its key with _ */
    if (cv_config_size(c, "_sliding_window_pattern", 6, &pattern, err) < 0
        || cv_config_size(c, "sliding_window_pattern", pattern, &pattern, err) < 0)
        return -1;
    if (pattern < 1) return cv_fail(err, "%.200s: sliding_window_pattern is 0", c->path);
    for (int32_t i = 0; i < m->layers; i++) m->window_layers[i] = m->local_layers[i] = (i + 1) % pattern != 0;
    m->has_local_layers = 1;
    m->qk_norm = "head";
    return read_gemma_attention(c, err);
}

static int read_stablelm(cv_config *c, cv_error *err)
{
    int parallel, bias;
    if (cv_config_flag(c, "use_parallel_residual", 0, &parallel, err) < 0
        || cv_config_flag(c, "use_qkv_bias", 0, &bias, err) < 0)
        return -1;
    c->facts->norm = "layer", c->facts->residual = parallel ? "parallel_shared" : NULL;
    c->facts->biases = CV_BIAS_NORM | (bias ? CV_BIAS_QKV : 0);
    return 0;
}

static int read_phi(cv_config *c, cv_error *err)
{
    (void)err;
    c->facts->norm = "layer", c->facts->residual = "parallel_shared", c->facts->ffn_kind = "plain";
    c->facts->biases = CV_BIAS_QKV | CV_BIAS_ATTN_OUT | CV_BIAS_FFN | CV_BIAS_NORM | CV_BIAS_OUTPUT;
    return 0;
}

static int read_gpt_neox(cv_config *c, cv_error *err)
{
    int parallel;
    double share, other;
    if (cv_config_flag(c, "use_parallel_residual", 1, &parallel, err) < 0
        || cv_config_real(c, "rotary_pct", 0.25, &share, err) < 0
        || cv_config_real(c, "partial_rotary_factor", share, &other, err) < 0)
        return -1;
    if (share != other)
        return cv_fail(err, "%.200s: rotary_pct is %g, but partial_rotary_factor is %g", c->path, share, other);
    c->facts->norm = "layer", c->facts->residual = parallel ? "parallel" : NULL, c->facts->ffn_kind = "plain";
    c->facts->biases = CV_BIAS_FFN | CV_BIAS_NORM;
    return read_attention_bias(c, 1, err);
}

static int read_gpt2(cv_config *c, cv_error *err)
{
    int scaled;
    if (cv_config_flag(c, "scale_attn_weights", 1, &scaled, err) < 0) return -1;
    c->facts->norm = "layer", c->facts->ffn_kind = "plain", c->facts->has_positions = 1;
    c->facts->attention_scale = scaled ? 0.0 : 1.0;
    c->facts->biases = CV_BIAS_QKV | CV_BIAS_ATTN_OUT | CV_BIAS_FFN | CV_BIAS_NORM;
    return 0;
}

/* ---- names of tensors ---- */

static const cv_name common_names[] = {{CV_EMBEDDING, "model.embed_tokens.weight", CV_WHOLE},
                                       {CV_ATTN_NORM, "model.layers.*.input_layernorm.weight", CV_WHOLE},
                                       {CV_ATTN_NORM_BIAS, "model.layers.*.input_layernorm.bias", CV_WHOLE},
                                       {CV_QUERY, "model.layers.*.self_attn.q_proj.weight", CV_WHOLE},
                                       {CV_KEY, "model.layers.*.self_attn.k_proj.weight", CV_WHOLE},
                                       {CV_VALUE, "model.layers.*.self_attn.v_proj.weight", CV_WHOLE},
                                       {CV_QUERY, "model.layers.*.self_attn.qkv_proj.weight", CV_STACKED},
                                       {CV_KEY, "model.layers.*.self_attn.qkv_proj.weight", CV_STACKED},
                                       {CV_VALUE, "model.layers.*.self_attn.qkv_proj.weight", CV_STACKED},
                                       {CV_QUERY_BIAS, "model.layers.*.self_attn.q_proj.bias", CV_WHOLE},
                                       {CV_KEY_BIAS, "model.layers.*.self_attn.k_proj.bias", CV_WHOLE},
                                       {CV_VALUE_BIAS, "model.layers.*.self_attn.v_proj.bias", CV_WHOLE},
                                       {CV_QUERY_BIAS, "model.layers.*.self_attn.qkv_proj.bias", CV_STACKED},
                                       {CV_KEY_BIAS, "model.layers.*.self_attn.qkv_proj.bias", CV_STACKED},
                                       {CV_VALUE_BIAS, "model.layers.*.self_attn.qkv_proj.bias", CV_STACKED},
                                       {CV_QUERY_NORM, "model.layers.*.self_attn.q_norm.weight", CV_WHOLE},
                                       {CV_KEY_NORM, "model.layers.*.self_attn.k_norm.weight", CV_WHOLE},
                                       {CV_ATTN_OUT, "model.layers.*.self_attn.o_proj.weight", CV_WHOLE},
                                       {CV_ATTN_OUT_BIAS, "model.layers.*.self_attn.o_proj.bias", CV_WHOLE},
                                       {CV_FFN_NORM, "model.layers.*.post_attention_layernorm.weight", CV_WHOLE},
                                       {CV_FFN_NORM_BIAS, "model.layers.*.post_attention_layernorm.bias", CV_WHOLE},
                                       {CV_GATE, "model.layers.*.mlp.gate_proj.weight", CV_WHOLE},
                                       {CV_UP, "model.layers.*.mlp.up_proj.weight", CV_WHOLE},
                                       {CV_GATE, "model.layers.*.mlp.gate_up_proj.weight", CV_STACKED},
                                       {CV_UP, "model.layers.*.mlp.gate_up_proj.weight", CV_STACKED},
                                       {CV_GATE_BIAS, "model.layers.*.mlp.gate_proj.bias", CV_WHOLE},
                                       {CV_UP_BIAS, "model.layers.*.mlp.up_proj.bias", CV_WHOLE},
                                       {CV_DOWN, "model.layers.*.mlp.down_proj.weight", CV_WHOLE},
                                       {CV_DOWN_BIAS, "model.layers.*.mlp.down_proj.bias", CV_WHOLE},
                                       {CV_FINAL_NORM, "model.norm.weight", CV_WHOLE},
                                       {CV_FINAL_NORM_BIAS, "model.norm.bias", CV_WHOLE},
                                       {CV_OUTPUT, "lm_head.weight", CV_WHOLE},
                                       {CV_OUTPUT_BIAS, "lm_head.bias", CV_WHOLE},
                                       {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name no_names[] = {{CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name post_norm_names[] = {
    {CV_ATTN_POST_NORM, "model.layers.*.post_attention_layernorm.weight", CV_WHOLE},
    {CV_FFN_NORM, "model.layers.*.pre_feedforward_layernorm.weight", CV_WHOLE},
    {CV_FFN_POST_NORM, "model.layers.*.post_feedforward_layernorm.weight", CV_WHOLE},
    {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name phi_names[] = {{CV_ATTN_OUT, "model.layers.*.self_attn.dense.weight", CV_WHOLE},
                                    {CV_ATTN_OUT_BIAS, "model.layers.*.self_attn.dense.bias", CV_WHOLE},
                                    {CV_UP, "model.layers.*.mlp.fc1.weight", CV_WHOLE},
                                    {CV_UP_BIAS, "model.layers.*.mlp.fc1.bias", CV_WHOLE},
                                    {CV_DOWN, "model.layers.*.mlp.fc2.weight", CV_WHOLE},
                                    {CV_DOWN_BIAS, "model.layers.*.mlp.fc2.bias", CV_WHOLE},
                                    {CV_FINAL_NORM, "model.final_layernorm.weight", CV_WHOLE},
                                    {CV_FINAL_NORM_BIAS, "model.final_layernorm.bias", CV_WHOLE},
                                    {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name gpt_neox_names[] = {
    {CV_EMBEDDING, "gpt_neox.embed_in.weight", CV_WHOLE},
    {CV_ATTN_NORM, "gpt_neox.layers.*.input_layernorm.weight", CV_WHOLE},
    {CV_ATTN_NORM_BIAS, "gpt_neox.layers.*.input_layernorm.bias", CV_WHOLE},
    {CV_QUERY, "gpt_neox.layers.*.attention.query_key_value.weight", CV_PER_HEAD},
    {CV_KEY, "gpt_neox.layers.*.attention.query_key_value.weight", CV_PER_HEAD},
    {CV_VALUE, "gpt_neox.layers.*.attention.query_key_value.weight", CV_PER_HEAD},
    {CV_QUERY_BIAS, "gpt_neox.layers.*.attention.query_key_value.bias", CV_PER_HEAD},
    {CV_KEY_BIAS, "gpt_neox.layers.*.attention.query_key_value.bias", CV_PER_HEAD},
    {CV_VALUE_BIAS, "gpt_neox.layers.*.attention.query_key_value.bias", CV_PER_HEAD},
    {CV_ATTN_OUT, "gpt_neox.layers.*.attention.dense.weight", CV_WHOLE},
    {CV_ATTN_OUT_BIAS, "gpt_neox.layers.*.attention.dense.bias", CV_WHOLE},
    {CV_FFN_NORM, "gpt_neox.layers.*.post_attention_layernorm.weight", CV_WHOLE},
    {CV_FFN_NORM_BIAS, "gpt_neox.layers.*.post_attention_layernorm.bias", CV_WHOLE},
    {CV_UP, "gpt_neox.layers.*.mlp.dense_h_to_4h.weight", CV_WHOLE},
    {CV_UP_BIAS, "gpt_neox.layers.*.mlp.dense_h_to_4h.bias", CV_WHOLE},
    {CV_DOWN, "gpt_neox.layers.*.mlp.dense_4h_to_h.weight", CV_WHOLE},
    {CV_DOWN_BIAS, "gpt_neox.layers.*.mlp.dense_4h_to_h.bias", CV_WHOLE},
    {CV_FINAL_NORM, "gpt_neox.final_layer_norm.weight", CV_WHOLE},
    {CV_FINAL_NORM_BIAS, "gpt_neox.final_layer_norm.bias", CV_WHOLE},
    {CV_OUTPUT, "embed_out.weight", CV_WHOLE},
    {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name gpt2_names[] = {{CV_EMBEDDING, "transformer.wte.weight", CV_WHOLE},
                                     {CV_POSITION, "transformer.wpe.weight", CV_WHOLE},
                                     {CV_ATTN_NORM, "transformer.h.*.ln_1.weight", CV_WHOLE},
                                     {CV_ATTN_NORM_BIAS, "transformer.h.*.ln_1.bias", CV_WHOLE},
                                     {CV_QUERY, "transformer.h.*.attn.c_attn.weight", CV_TURNED_STACKED},
                                     {CV_KEY, "transformer.h.*.attn.c_attn.weight", CV_TURNED_STACKED},
                                     {CV_VALUE, "transformer.h.*.attn.c_attn.weight", CV_TURNED_STACKED},
                                     {CV_QUERY_BIAS, "transformer.h.*.attn.c_attn.bias", CV_STACKED},
                                     {CV_KEY_BIAS, "transformer.h.*.attn.c_attn.bias", CV_STACKED},
                                     {CV_VALUE_BIAS, "transformer.h.*.attn.c_attn.bias", CV_STACKED},
                                     {CV_ATTN_OUT, "transformer.h.*.attn.c_proj.weight", CV_TURNED},
                                     {CV_ATTN_OUT_BIAS, "transformer.h.*.attn.c_proj.bias", CV_WHOLE},
                                     {CV_FFN_NORM, "transformer.h.*.ln_2.weight", CV_WHOLE},
                                     {CV_FFN_NORM_BIAS, "transformer.h.*.ln_2.bias", CV_WHOLE},
                                     {CV_UP, "transformer.h.*.mlp.c_fc.weight", CV_TURNED},
                                     {CV_UP_BIAS, "transformer.h.*.mlp.c_fc.bias", CV_WHOLE},
                                     {CV_DOWN, "transformer.h.*.mlp.c_proj.weight", CV_TURNED},
                                     {CV_DOWN_BIAS, "transformer.h.*.mlp.c_proj.bias", CV_WHOLE},
                                     {CV_FINAL_NORM, "transformer.ln_f.weight", CV_WHOLE},
                                     {CV_FINAL_NORM_BIAS, "transformer.ln_f.bias", CV_WHOLE},
                                     {CV_NO_PART, NULL, CV_WHOLE}};

const cv_name *cv_name_of(const cv_family *family, cv_part part, int n)
{
    for (const cv_name *name = family->names; name->part != CV_NO_PART; name++)
        if (name->part == part && n-- == 0) return name;
    for (const cv_name *name = common_names; name->part != CV_NO_PART; name++)
        if (name->part == part && n-- == 0) return name;
    return NULL;
}

/* ---- keys of config.json ---- */

static const char *const llama_keys[] = {"attention_bias", "is_llama_config", "mlp_bias", "rms_norm_eps", NULL};
static const char *const mistral_keys[] = {"rms_norm_eps", "sliding_window", NULL};
static const char *const phi3_keys[] = {"auto_map", "full_attn_mod", "interpolate_factor",
                                        "original_max_position_embeddings", "partial_rotary_factor", "rms_norm_eps",
                                        "sliding_window", NULL};
static const char *const qwen_keys[] = {"attention_bias", "layer_types", "max_window_layers", "rms_norm_eps",
                                        "sliding_window", "use_sliding_window", NULL};
static const char *const olmo2_keys[] = {"attention_bias", "rms_norm_eps", NULL};
static const char *const gemma_keys[] = {"attention_bias", "hidden_activation", "rms_norm_eps", NULL};
static const char *const gemma2_keys[] = {"attention_bias", "attn_logit_softcapping", "final_logit_softcapping",
                                          "hidden_activation", "layer_types", "query_pre_attn_scalar", "rms_norm_eps",
                                          "rope_local_base_freq", "sliding_window", "sliding_window_pattern", NULL};
static const char *const stablelm_keys[] = {"layer_norm_eps", "partial_rotary_factor", "use_parallel_residual",
                                            "use_qkv_bias", NULL};
static const char *const phi_keys[] = {"auto_map", "layer_norm_eps", "partial_rotary_factor", NULL};
static const char *const gpt_neox_keys[] = {"attention_bias", "classifier_dropout", "layer_norm_eps",
                                            "partial_rotary_factor", "rotary_emb_base", "rotary_pct",
                                            "use_parallel_residual", NULL};
static const char *const gpt2_keys[] = {"activation_function", "layer_norm_epsilon", "n_ctx", "n_embd", "n_head",
                                        "n_inner", "n_layer", "n_positions", "reorder_and_upcast_attn",
                                        "scale_attn_weights", "summary_activation", "summary_first_dropout",
                                        "summary_proj_to_labels", "summary_type", "summary_use_proj", NULL};

#define SIZES(eps) \
    {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings", eps}
#define RMS SIZES("rms_norm_eps")
#define LAYER SIZES("layer_norm_eps")
#define GPT2 {"n_embd", "n_layer", "n_head", "n_inner", "n_positions", "layer_norm_epsilon"}

/* ---- the table ---- */

/* Folders with vision leave out of text_config what Gemma3TextConfig assumes. */
static const cv_default gemma3_defaults[] = {{"vocab_size", 262208},       {"hidden_size", 2304},
                                             {"intermediate_size", 9216},  {"num_hidden_layers", 26},
                                             {"num_attention_heads", 8},   {"num_key_value_heads", 4},
                                             {"head_dim", 256},            {"max_position_embeddings", 131072},
                                             {"rms_norm_eps", 1e-6},       {"rope_theta", 1e6},
                                             {NULL, 0.0}};
static const char *const gemma3_outer_keys[] = {"boi_token_id", "boi_token_index", "eoi_token_id", "eoi_token_index",
                                                "image_token_id", "image_token_index", "mm_tokens_per_image",
                                                "text_config", "vision_config", NULL};
static const char *const gemma3_vision[] = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                                            "model.multi_modal_projector.", NULL};
static const cv_wrapper gemma3_wrapper = {"gemma3_text", gemma3_outer_keys, gemma3_vision,
                                          "the vision part is left out: this model reads text alone"};

static const cv_family families[] = {
    {"llama", "LlamaForCausalLM", "llama", llama_keys, no_names, RMS, "hidden_act", "silu", 0, 0, NULL,
     "partial_rotary_factor", 1.0, read_llama, NULL, NULL},
    {"mistral", "MistralForCausalLM", "llama", mistral_keys, no_names, RMS, "hidden_act", "silu", 0, 0, NULL,
     "partial_rotary_factor", 1.0, read_mistral, NULL, NULL},
    {"phi3", "Phi3ForCausalLM", "phi3", phi3_keys, no_names, RMS, "hidden_act", "silu", 0, 0, NULL,
     "partial_rotary_factor", 1.0, read_mistral, NULL, NULL},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", qwen_keys, no_names, RMS, "hidden_act", "silu", 0, 0, NULL,
     "partial_rotary_factor", 1.0, read_qwen2, NULL, NULL},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", qwen_keys, no_names, RMS, "hidden_act", "silu", 0, 0, NULL,
     "partial_rotary_factor", 1.0, read_qwen3, NULL, NULL},
    {"olmo2", "Olmo2ForCausalLM", "olmo2", olmo2_keys, post_norm_names, RMS, "hidden_act", "silu", 0, 0, NULL,
     "partial_rotary_factor", 1.0, read_olmo2, NULL, NULL},
    {"gemma", "GemmaForCausalLM", "gemma", gemma_keys, no_names, RMS, "hidden_activation", "gelu_pytorch_tanh", 1, 1,
     NULL, "partial_rotary_factor", 1.0, read_gemma, NULL, NULL},
    {"gemma2", "Gemma2ForCausalLM", "gemma2", gemma2_keys, post_norm_names, RMS, "hidden_activation",
     "gelu_pytorch_tanh", 1, 1, NULL, "partial_rotary_factor", 1.0, read_gemma2, NULL, NULL},
    {"gemma3_text", "Gemma3ForCausalLM", "gemma3", gemma2_keys, post_norm_names, RMS, "hidden_activation",
     "gelu_pytorch_tanh", 1, 1, NULL, "partial_rotary_factor", 1.0, read_gemma3, gemma3_defaults, NULL},
    {"gemma3", "Gemma3ForConditionalGeneration", "gemma3", gemma2_keys, post_norm_names, RMS, "hidden_activation",
     "gelu_pytorch_tanh", 1, 1, NULL, "partial_rotary_factor", 1.0, read_gemma3, gemma3_defaults, &gemma3_wrapper},
    {"stablelm", "StableLmForCausalLM", "stablelm", stablelm_keys, no_names, LAYER, "hidden_act", "silu", 0, 0, NULL,
     "partial_rotary_factor", 0.25, read_stablelm, NULL, NULL},
    {"phi", "PhiForCausalLM", "phi2", phi_keys, phi_names, LAYER, "hidden_act", "gelu_new", 0, 0, NULL,
     "partial_rotary_factor", 0.5, read_phi, NULL, NULL},
    {"gpt_neox", "GPTNeoXForCausalLM", "gpt_neox", gpt_neox_keys, gpt_neox_names, LAYER, "hidden_act", "gelu", 0, 0,
     NULL, "rotary_pct", 0.25, read_gpt_neox, NULL, NULL},
    {"gpt2", "GPT2LMHeadModel", "gpt2", gpt2_keys, gpt2_names, GPT2, "activation_function", "gelu_new", 1, 0,
     "transformer.", "partial_rotary_factor", 1.0, read_gpt2, NULL, NULL}};
enum { N_FAMILIES = sizeof families / sizeof *families };

const cv_family *cv_find_family(const cv_json *j, const char *path, cv_error *err)
{
    uint32_t type = cv_json_get(j, 0, "model_type"), classes = cv_json_get(j, 0, "architectures");
    char value[64];
    int i = 0;
    while (i < N_FAMILIES && !cv_json_is(j, type, families[i].model_type)) i++;
    if (i == N_FAMILIES) {
        cv_fail(err, "%.200s: model_type %s is not supported", path, cv_config_describe(j, type, value, sizeof value));
        return NULL;
    }
    uint32_t class_name = cv_json_first(j, classes);
    if (class_name == CV_JSON_NONE || cv_json_is(j, class_name, families[i].class_name)) return &families[i];
    cv_fail(err, "%.200s: architectures is %s; only %s is supported", path,
            cv_config_describe(j, class_name, value, sizeof value), families[i].class_name);
    return NULL;
}
