/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * families.c - the table of families; see families.h
 *
 * Sources: the modeling_*.py files of Hugging Face transformers, 4.45.0 and 4.51.3, and 4.57.3
 * for SmolLM3 and Granite; for GGUF, llama.cpp's. */
#include "families.h"

#include <stddef.h>

/* ---- names of tensors in Hugging Face folders ---- */

static const cv_name llama_names[] = {{CV_EMBEDDING, "model.embed_tokens.weight", CV_WHOLE},
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

/* ---- what several rows share ---- */

#define KEYS(...) (const char *const[]){__VA_ARGS__, NULL}
#define SETTINGS(...) (const cv_setting[]){__VA_ARGS__, {CV_NO_FACT, NULL, 0.0}}

/* attention_bias: of all four projections. */
#define ATTENTION_BIAS(otherwise) {CV_ATTENTION_BIASES, "attention_bias", otherwise}
#define WINDOW(otherwise) {CV_WINDOW, "sliding_window", otherwise}
#define GGUF_WINDOW(otherwise) {CV_WINDOW, "attention.sliding_window", otherwise}
#define CAPS {CV_ATTENTION_CAP, "attn_logit_softcapping", 0}, {CV_LOGIT_CAP, "final_logit_softcapping", 0}
#define GEMMA_2 ATTENTION_BIAS(0), {CV_ATTENTION_SQUARE, "query_pre_attn_scalar", 256}, CAPS, WINDOW(4096)
#define PARALLEL(otherwise) {CV_PARALLEL, "use_parallel_residual", otherwise}

/* Folders with vision leave out of text_config what Gemma3TextConfig assumes. */
static const cv_default gemma3_defaults[] = {{"vocab_size", 262208},       {"hidden_size", 2304},
                                             {"intermediate_size", 9216},  {"num_hidden_layers", 26},
                                             {"num_attention_heads", 8},   {"num_key_value_heads", 4},
                                             {"head_dim", 256},            {"max_position_embeddings", 131072},
                                             {"rms_norm_eps", 1e-6},       {"rope_theta", 1e6},
                                             {NULL, 0.0}};
static const cv_wrapper gemma3_vision = {
    .text_type = "gemma3_text",
    .keys = KEYS("boi_token_id", "boi_token_index", "eoi_token_id", "eoi_token_index", "image_token_id",
                 "image_token_index", "mm_tokens_per_image", "text_config", "vision_config"),
    .left_out = KEYS("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."),
    .note = "the vision part is left out: this model reads text alone"};

static const cv_default smollm3_defaults[] = {{"rope_theta", 2e6}, {NULL, 0.0}};

/* ---- the table ---- */

static const cv_family families[] = {
    {.architecture = "llama",
     .hf = {.types = {{"llama", "LlamaForCausalLM", NULL}},
            .keys = KEYS("is_llama_config"),
            .settings = SETTINGS({CV_FFN_BIASES, "mlp_bias", 0}, ATTENTION_BIAS(0))},
     .gguf = {.name = "llama", .in_pairs = 1, .settings = SETTINGS(GGUF_WINDOW(0))}},

    {.architecture = "llama", /* as Mistral's GGUF files say, too */
     .hf = {.types = {{"mistral", "MistralForCausalLM", NULL}}, .settings = SETTINGS(WINDOW(0))}},

    {.architecture = "phi3",
     .hf = {.types = {{"phi3", "Phi3ForCausalLM", NULL}},
            .keys = KEYS("auto_map", "full_attn_mod", "interpolate_factor", "original_max_position_embeddings"),
            .partial_key = "partial_rotary_factor",
            .settings = SETTINGS(WINDOW(0))},
     .gguf = {.name = "phi3", .settings = SETTINGS(GGUF_WINDOW(0))}},

    {.architecture = "qwen2",
     .biases = CV_BIAS_QKV,
     .hf = {.types = {{"qwen2", "Qwen2ForCausalLM", NULL}},
            .keys = KEYS("attention_bias", "layer_types", "max_window_layers", "sliding_window", "use_sliding_window"),
            .read = cv_read_qwen_window},
     .gguf = {.name = "qwen2"}},

    {.architecture = "qwen3",
     .qk_norm = "head",
     .hf = {.types = {{"qwen3", "Qwen3ForCausalLM", NULL}},
            .keys = KEYS("layer_types", "max_window_layers", "sliding_window", "use_sliding_window"),
            .settings = SETTINGS(ATTENTION_BIAS(0)),
            .read = cv_read_qwen_window},
     .gguf = {.name = "qwen3"}},

    {.architecture = "smollm3",
     .local = CV_STILL_LOCAL,
     .hf = {.types = {{"smollm3", "SmolLM3ForCausalLM", NULL}},
            .keys = KEYS("layer_types", "max_window_layers", "no_rope_layer_interval", "no_rope_layers",
                         "sliding_window", "use_sliding_window"),
            .tied = 1,
            .defaults = smollm3_defaults,
            .settings = SETTINGS({CV_FFN_BIASES, "mlp_bias", 0}, ATTENTION_BIAS(0)),
            .read = cv_read_still_layers}},

    {.architecture = "granite",
     .hf = {.types = {{"granite", "GraniteForCausalLM", NULL}},
            .settings = SETTINGS({CV_FFN_BIASES, "mlp_bias", 0}, ATTENTION_BIAS(0),
                                 {CV_ATTENTION_SCALE, "attention_multiplier", 1},
                                 {CV_EMBEDDING_SCALE, "embedding_multiplier", 1},
                                 {CV_RESIDUAL_SCALE, "residual_multiplier", 1},
                                 {CV_LOGIT_DIVISOR, "logits_scaling", 1})}},

    {.architecture = "olmo2",
     .norm_place = "after",
     .qk_norm = "all",
     .hf = {.types = {{"olmo2", "Olmo2ForCausalLM", NULL}},
            .names = post_norm_names,
            .settings = SETTINGS(ATTENTION_BIAS(0))},
     .gguf = {.name = "olmo2"}},

    {.architecture = "gemma",
     .activation = "gelu_tanh",
     .embedding_by_root = 1,
     .hf = {.types = {{"gemma", "GemmaForCausalLM", NULL}},
            .act_key = "hidden_activation",
            .tied = 1,
            .norm_plus_one = 1,
            .settings = SETTINGS(ATTENTION_BIAS(0))},
     .gguf = {.name = "gemma"}},

    {.architecture = "gemma2",
     .norm_place = "around",
     .activation = "gelu_tanh",
     .embedding_by_root = 1,
     .window_pattern = 2,
     .hf = {.types = {{"gemma2", "Gemma2ForCausalLM", NULL}},
            .names = post_norm_names,
            .keys = KEYS("layer_types", "rope_local_base_freq", "sliding_window_pattern"),
            .act_key = "hidden_activation",
            .tied = 1,
            .norm_plus_one = 1,
            .settings = SETTINGS(GEMMA_2)},
     .gguf = {.name = "gemma2", .settings = SETTINGS(CAPS, GGUF_WINDOW(4096)), .largest = 46}},

    {.architecture = "gemma3",
     .norm_place = "around",
     .activation = "gelu_tanh",
     .qk_norm = "head",
     .embedding_by_root = 1,
     .window_pattern = 6,
     .local = CV_WINDOWS_LOCAL,
     .hf = {.types = {{"gemma3_text", "Gemma3ForCausalLM", NULL},
                      {"gemma3", "Gemma3ForConditionalGeneration", &gemma3_vision}},
            .names = post_norm_names,
            .keys = KEYS("layer_types", "rope_local_base_freq"),
            .act_key = "hidden_activation",
            .tied = 1,
            .norm_plus_one = 1,
            .defaults = gemma3_defaults, /* newer folders begin the pattern's key with _ */
            .settings = SETTINGS({CV_WINDOW_PATTERN, "_sliding_window_pattern", CV_AS_IT_IS},
                                 {CV_WINDOW_PATTERN, "sliding_window_pattern", CV_AS_IT_IS}, GEMMA_2)},
     .gguf = {.name = "gemma3", .settings = SETTINGS(CAPS, GGUF_WINDOW(4096)), .largest = 62}},

    {.architecture = "stablelm",
     .norm = "layer",
     .residual = "parallel_shared",
     .biases = CV_BIAS_NORM,
     .hf = {.types = {{"stablelm", "StableLmForCausalLM", NULL}},
            .partial_key = "partial_rotary_factor",
            .partial = 0.25,
            .settings = SETTINGS(PARALLEL(0), {CV_QKV_BIASES, "use_qkv_bias", 0})},
     .gguf = {.name = "stablelm", .settings = SETTINGS(PARALLEL(1))}},

    {.architecture = "phi2",
     .norm = "layer",
     .residual = "parallel_shared",
     .activation = "gelu_tanh",
     .ffn_kind = "plain",
     .biases = CV_BIAS_QKV | CV_BIAS_ATTN_OUT | CV_BIAS_FFN | CV_BIAS_NORM | CV_BIAS_OUTPUT,
     .hf = {.types = {{"phi", "PhiForCausalLM", NULL}},
            .names = phi_names,
            .keys = KEYS("auto_map"),
            .partial_key = "partial_rotary_factor",
            .partial = 0.5},
     .gguf = {.name = "phi2"}},

    {.architecture = "gpt_neox",
     .norm = "layer",
     .residual = "parallel",
     .activation = "gelu_erf",
     .ffn_kind = "plain",
     .biases = CV_BIAS_FFN | CV_BIAS_NORM,
     .hf = {.types = {{"gpt_neox", "GPTNeoXForCausalLM", NULL}},
            .names = gpt_neox_names,
            .keys = KEYS("classifier_dropout", "partial_rotary_factor", "rotary_emb_base"),
            .partial_key = "rotary_pct",
            .partial = 0.25,
            .settings = SETTINGS(PARALLEL(1), ATTENTION_BIAS(1)),
            .read = cv_check_neox_share},
     .gguf = {.name = "gptneox", .settings = SETTINGS(PARALLEL(1))}},

    {.architecture = "gpt2",
     .norm = "layer",
     .activation = "gelu_tanh",
     .ffn_kind = "plain",
     .biases = CV_BIAS_QKV | CV_BIAS_ATTN_OUT | CV_BIAS_FFN | CV_BIAS_NORM,
     .has_positions = 1,
     .hf = {.types = {{"gpt2", "GPT2LMHeadModel", NULL}},
            .names = gpt2_names,
            .keys = KEYS("n_ctx", "reorder_and_upcast_attn", "summary_activation", "summary_first_dropout",
                         "summary_proj_to_labels", "summary_type", "summary_use_proj"),
            .sizes = KEYS("n_embd", "n_layer", "n_head", "n_inner", "n_positions"),
            .eps_key = "layer_norm_epsilon",
            .act_key = "activation_function",
            .ffn_of_hidden = 4,
            .tied = 1,
            .loose_prefix = "transformer.",
            .settings = SETTINGS({CV_SCALED_SCORES, "scale_attn_weights", 1})},
     .gguf = {.name = "gpt2"}}};

/* ---- reading the table ---- */

const cv_family *cv_family_at(int i)
{
    return i < (int)(sizeof families / sizeof *families) ? &families[i] : NULL;
}

const cv_name *cv_name_of(const cv_family *family, cv_part part, int n)
{
    for (const cv_name *name = family->hf.names; name && name->part != CV_NO_PART; name++)
        if (name->part == part && n-- == 0) return name;
    for (const cv_name *name = llama_names; name->part != CV_NO_PART; name++)
        if (name->part == part && n-- == 0) return name;
    return NULL;
}
