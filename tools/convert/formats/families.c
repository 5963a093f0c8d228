/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * families.c - the table of families; see families.h
 *
 * Sources: the modeling_*.py files of Hugging Face transformers, 4.45.0, 4.51.3, 4.57.3 and, for Ministral 3 and
 * Qwen3.5, 5.9.0; MiniCPM's own; for GGUF, llama.cpp's. */
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
                                      {CV_ROUTER, "model.layers.*.mlp.gate.weight", CV_WHOLE},
                                      {CV_EXPERT_GATE, "model.layers.*.mlp.experts.*.gate_proj.weight", CV_WHOLE},
                                      {CV_EXPERT_UP, "model.layers.*.mlp.experts.*.up_proj.weight", CV_WHOLE},
                                      {CV_EXPERT_DOWN, "model.layers.*.mlp.experts.*.down_proj.weight", CV_WHOLE},
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

static const cv_name gemma4_names[] = {
    {CV_ATTN_POST_NORM, "model.layers.*.post_attention_layernorm.weight", CV_WHOLE},
    {CV_FFN_NORM, "model.layers.*.pre_feedforward_layernorm.weight", CV_WHOLE},
    {CV_FFN_POST_NORM, "model.layers.*.post_feedforward_layernorm.weight", CV_WHOLE},
    {CV_LAYER_EMBEDDING, "model.embed_tokens_per_layer.weight", CV_WHOLE},
    {CV_LAYER_INPUT_NORM, "model.per_layer_projection_norm.weight", CV_WHOLE},
    {CV_LAYER_INPUT, "model.per_layer_model_projection.weight", CV_LAYER_ROWS},
    {CV_LAYER_GATE, "model.layers.*.per_layer_input_gate.weight", CV_WHOLE},
    {CV_LAYER_OUT, "model.layers.*.per_layer_projection.weight", CV_WHOLE},
    {CV_LAYER_POST_NORM, "model.layers.*.post_per_layer_input_norm.weight", CV_WHOLE},
    {CV_LAYER_SCALE, "model.layers.*.layer_scalar", CV_WHOLE},
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

static const cv_name mixtral_names[] = {
    {CV_ROUTER, "model.layers.*.block_sparse_moe.gate.weight", CV_WHOLE},
    {CV_EXPERT_GATE, "model.layers.*.block_sparse_moe.experts.*.w1.weight", CV_WHOLE},
    {CV_EXPERT_UP, "model.layers.*.block_sparse_moe.experts.*.w3.weight", CV_WHOLE},
    {CV_EXPERT_DOWN, "model.layers.*.block_sparse_moe.experts.*.w2.weight", CV_WHOLE},
    {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name granitemoe_names[] = {
    {CV_ROUTER, "model.layers.*.block_sparse_moe.router.layer.weight", CV_WHOLE},
    {CV_EXPERT_GATE, "model.layers.*.block_sparse_moe.input_linear.weight", CV_PACKED},
    {CV_EXPERT_UP, "model.layers.*.block_sparse_moe.input_linear.weight", CV_PACKED},
    {CV_EXPERT_DOWN, "model.layers.*.block_sparse_moe.output_linear.weight", CV_PACKED},
    {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name lfm2_names[] = {{CV_ATTN_NORM, "model.layers.*.operator_norm.weight", CV_WHOLE},
                                     {CV_CONV_IN, "model.layers.*.conv.in_proj.weight", CV_WHOLE},
                                     {CV_CONV, "model.layers.*.conv.conv.weight", CV_TAPS},
                                     {CV_CONV_OUT, "model.layers.*.conv.out_proj.weight", CV_WHOLE},
                                     {CV_QUERY_NORM, "model.layers.*.self_attn.q_layernorm.weight", CV_WHOLE},
                                     {CV_KEY_NORM, "model.layers.*.self_attn.k_layernorm.weight", CV_WHOLE},
                                     {CV_ATTN_OUT, "model.layers.*.self_attn.out_proj.weight", CV_WHOLE},
                                     {CV_FFN_NORM, "model.layers.*.ffn_norm.weight", CV_WHOLE},
                                     {CV_GATE, "model.layers.*.feed_forward.w1.weight", CV_WHOLE},
                                     {CV_UP, "model.layers.*.feed_forward.w3.weight", CV_WHOLE},
                                     {CV_DOWN, "model.layers.*.feed_forward.w2.weight", CV_WHOLE},
                                     {CV_FINAL_NORM, "model.embedding_norm.weight", CV_WHOLE},
                                     {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name qwen3_next_names[] = {
    {CV_QUERY, "model.layers.*.self_attn.q_proj.weight", CV_PER_HEAD},
    {CV_ATTN_GATE, "model.layers.*.self_attn.q_proj.weight", CV_PER_HEAD},
    {CV_DELTA_QUERY, "model.layers.*.linear_attn.in_proj_qkvz.weight", CV_PER_HEAD},
    {CV_DELTA_KEY, "model.layers.*.linear_attn.in_proj_qkvz.weight", CV_PER_HEAD},
    {CV_DELTA_VALUE, "model.layers.*.linear_attn.in_proj_qkvz.weight", CV_PER_HEAD},
    {CV_DELTA_GATE, "model.layers.*.linear_attn.in_proj_qkvz.weight", CV_PER_HEAD},
    {CV_DELTA_B, "model.layers.*.linear_attn.in_proj_ba.weight", CV_PER_HEAD},
    {CV_DELTA_A, "model.layers.*.linear_attn.in_proj_ba.weight", CV_PER_HEAD},
    {CV_DELTA_QUERY, "model.layers.*.linear_attn.in_proj_qkv.weight", CV_STACKED}, /* Qwen3.5 */
    {CV_DELTA_KEY, "model.layers.*.linear_attn.in_proj_qkv.weight", CV_STACKED},
    {CV_DELTA_VALUE, "model.layers.*.linear_attn.in_proj_qkv.weight", CV_STACKED},
    {CV_DELTA_GATE, "model.layers.*.linear_attn.in_proj_z.weight", CV_WHOLE},
    {CV_DELTA_B, "model.layers.*.linear_attn.in_proj_b.weight", CV_WHOLE},
    {CV_DELTA_A, "model.layers.*.linear_attn.in_proj_a.weight", CV_WHOLE},
    {CV_DELTA_CONV, "model.layers.*.linear_attn.conv1d.weight", CV_TAPS},
    {CV_DELTA_LOG_RATE, "model.layers.*.linear_attn.A_log", CV_WHOLE},
    {CV_DELTA_BIAS, "model.layers.*.linear_attn.dt_bias", CV_WHOLE},
    {CV_DELTA_NORM, "model.layers.*.linear_attn.norm.weight", CV_WHOLE},
    {CV_DELTA_OUT, "model.layers.*.linear_attn.out_proj.weight", CV_WHOLE},
    {CV_SHARED_ROUTER, "model.layers.*.mlp.shared_expert_gate.weight", CV_WHOLE},
    {CV_SHARED_GATE, "model.layers.*.mlp.shared_expert.gate_proj.weight", CV_WHOLE},
    {CV_SHARED_UP, "model.layers.*.mlp.shared_expert.up_proj.weight", CV_WHOLE},
    {CV_SHARED_DOWN, "model.layers.*.mlp.shared_expert.down_proj.weight", CV_WHOLE},
    {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name lfm2_gguf_names[] = {{CV_FINAL_NORM, "token_embd_norm.weight", CV_WHOLE},
                                          {CV_NO_PART, NULL, CV_WHOLE}};

static const cv_name gpt_oss_names[] = {
    {CV_SINKS, "model.layers.*.self_attn.sinks", CV_WHOLE},
    {CV_ROUTER, "model.layers.*.mlp.router.weight", CV_WHOLE},
    {CV_ROUTER_BIAS, "model.layers.*.mlp.router.bias", CV_WHOLE},
    {CV_EXPERT_GATE, "model.layers.*.mlp.experts.gate_up_proj", CV_PACKED_PAIRS},
    {CV_EXPERT_UP, "model.layers.*.mlp.experts.gate_up_proj", CV_PACKED_PAIRS},
    {CV_EXPERT_GATE_BIAS, "model.layers.*.mlp.experts.gate_up_proj_bias", CV_PACKED_PAIRS},
    {CV_EXPERT_UP_BIAS, "model.layers.*.mlp.experts.gate_up_proj_bias", CV_PACKED_PAIRS},
    {CV_EXPERT_DOWN, "model.layers.*.mlp.experts.down_proj", CV_PACKED_TURNED},
    {CV_EXPERT_DOWN_BIAS, "model.layers.*.mlp.experts.down_proj_bias", CV_PACKED_TURNED},
    {CV_EXPERT_GATE, "model.layers.*.mlp.experts.gate_up_proj_blocks", CV_BLOCK_PAIRS},
    {CV_EXPERT_UP, "model.layers.*.mlp.experts.gate_up_proj_blocks", CV_BLOCK_PAIRS},
    {CV_EXPERT_DOWN, "model.layers.*.mlp.experts.down_proj_blocks", CV_BLOCKS},
    {CV_NO_PART, NULL, CV_WHOLE}};
static const cv_name gpt_oss_gguf_names[] = {{CV_FFN_NORM, "blk.%d.post_attention_norm.weight", CV_WHOLE},
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

/* Of all four projections. */
#define ATTENTION_BIAS(otherwise) {CV_ATTENTION_BIASES, "attention_bias", otherwise}
#define WINDOW(otherwise) {CV_WINDOW, "sliding_window", otherwise}
#define GGUF_WINDOW(otherwise) {CV_WINDOW, "attention.sliding_window", otherwise}
#define CAPS(attention, logits) \
    {CV_ATTENTION_CAP, "attn_logit_softcapping", attention}, {CV_LOGIT_CAP, "final_logit_softcapping", logits}
#define GEMMA_2 ATTENTION_BIAS(0), {CV_ATTENTION_SQUARE, "query_pre_attn_scalar", 256}, WINDOW(4096)
#define EXPERTS(count, used) {CV_EXPERTS, count, 0}, {CV_EXPERTS_USED, "num_experts_per_tok", used}
#define GGUF_EXPERTS \
    {CV_EXPERTS, "expert_count", 0}, {CV_EXPERTS_USED, "expert_used_count", 0}, \
        {CV_EXPERT_FFN, "expert_feed_forward_length", 0}
#define EXPERT_KEYS "output_router_logits", "router_aux_loss_coef", "router_jitter_noise"
#define GRANITE \
    {CV_ATTENTION_SCALE, "attention_multiplier", 1}, {CV_EMBEDDING_SCALE, "embedding_multiplier", 1}, \
        {CV_RESIDUAL_SCALE, "residual_multiplier", 1}, {CV_LOGIT_DIVISOR, "logits_scaling", 1}
#define GGUF_GRANITE \
    {CV_ATTENTION_SCALE, "attention.scale", CV_AS_IT_IS}, {CV_EMBEDDING_SCALE, "embedding_scale", 1}, \
        {CV_RESIDUAL_SCALE, "residual_scale", 1}, {CV_LOGIT_DIVISOR, "logit_scale", 1}
#define DELTA_KEYS \
    "full_attention_interval", "layer_types", "linear_conv_kernel_dim", "linear_key_head_dim", "linear_num_key_heads", \
        "linear_num_value_heads", "linear_value_head_dim", "attn_output_gate", "mtp_num_hidden_layers"
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

static const cv_wrapper gemma4_vision = {
    .text_type = "gemma4_text",
    .keys = KEYS("audio_config", "audio_token_id", "boa_token_id", "boi_token_id", "eoa_token_id", "eoa_token_index",
                 "eoi_token_id", "image_token_id", "text_config", "video_token_id", "vision_config",
                 "vision_soft_tokens_per_image"),
    .left_out = KEYS("model.vision_tower.", "model.embed_vision.", "model.audio_tower.", "model.embed_audio."),
    .note = "the parts for images and sound are left out: this model reads text alone"};

static const cv_wrapper qwen3_5_vision = {
    .text_type = "qwen3_5_text",
    .keys = KEYS("image_token_id", "text_config", "video_token_id", "vision_config", "vision_end_token_id",
                 "vision_start_token_id"),
    .left_out = KEYS("model.visual."),
    .note = "the part for images is left out: this model reads text alone"};
static const cv_default qwen3_next_defaults[] = {{"head_dim", 256}, {NULL, 0.0}};

static const cv_default smollm3_defaults[] = {{"rope_theta", 2e6}, {NULL, 0.0}};
static const cv_default lfm2_defaults[] = {{"rope_theta", 1e6}, {"intermediate_size", 12288}, {NULL, 0.0}};
static const cv_default mixtral_defaults[] = {{"rope_theta", 1e6}, {NULL, 0.0}};
static const cv_default gpt_oss_defaults[] = {{"rope_theta", 15e4}, {NULL, 0.0}};
static const cv_default ernie_defaults[] = {{"rope_theta", 5e5}, {NULL, 0.0}};
static const cv_wrapper ministral3_vision = {
    .text_type = "ministral3",
    .keys = KEYS("image_token_id", "image_token_index", "multimodal_projector_bias", "projector_hidden_act",
                 "spatial_merge_size", "text_config", "vision_config", "vision_feature_layer"),
    .left_out = KEYS("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."),
    .note = "the vision part is left out: this model reads text alone"};

/* ---- the table ---- */

static const cv_family families[] = {
    {.architecture = "llama",
     .hf = {.types = {{"llama", "LlamaForCausalLM", NULL}},
            .keys = KEYS("is_llama_config"),
            .settings = SETTINGS({CV_FFN_BIASES, "mlp_bias", 0}, ATTENTION_BIAS(0))},
     .gguf = {.name = "llama", .in_pairs = 1, .settings = SETTINGS(GGUF_WINDOW(0), GGUF_EXPERTS)}},

    {.architecture = "llama", /* as Mistral's GGUF files say, too */
     .hf = {.types = {{"mistral", "MistralForCausalLM", NULL}}, .settings = SETTINGS(WINDOW(4096))}},

    {.architecture = "mixtral", /* llama in GGUF files */
     .hf = {.types = {{"mixtral", "MixtralForCausalLM", NULL}},
            .names = mixtral_names,
            .keys = KEYS(EXPERT_KEYS),
            .defaults = mixtral_defaults,
            .settings = SETTINGS(WINDOW(0), EXPERTS("num_local_experts", 2))}},

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

    {.architecture = "qwen3_moe",
     .qk_norm = "head",
     .hf = {.types = {{"qwen3_moe", "Qwen3MoeForCausalLM", NULL}},
            .keys = KEYS(EXPERT_KEYS, "decoder_sparse_step", "max_window_layers", "mlp_only_layers", "sliding_window"),
            .settings = SETTINGS(ATTENTION_BIAS(0), EXPERTS("num_experts", 8),
                                 {CV_EXPERT_FFN, "moe_intermediate_size", 768},
                                 {CV_SHARES_OF_CHOSEN, "norm_topk_prob", 0}),
            .read = cv_read_expert_layers},
     .gguf = {.name = "qwen3moe", .settings = SETTINGS(GGUF_EXPERTS)}},

    {.architecture = "qwen3_next",
     .qk_norm = "head",
     .has_deltas = 1,
     .hf = {.types = {{"qwen3_next", "Qwen3NextForCausalLM", NULL}},
            .names = qwen3_next_names,
            .keys = KEYS(EXPERT_KEYS, DELTA_KEYS, "decoder_sparse_step", "mlp_only_layers",
                         "shared_expert_intermediate_size"),
            .norm_plus_one = 1,
            .partial_key = "partial_rotary_factor",
            .partial = 0.25,
            .defaults = qwen3_next_defaults,
            .left_out = KEYS("mtp."),
            .settings = SETTINGS(ATTENTION_BIAS(0), {CV_EXPERTS, "num_experts", 512},
                                 {CV_EXPERTS_USED, "num_experts_per_tok", 10},
                                 {CV_EXPERT_FFN, "moe_intermediate_size", 512},
                                 {CV_SHARES_OF_CHOSEN, "norm_topk_prob", 1}),
            .read = cv_read_deltas}},

    {.architecture = "qwen3_5",
     .qk_norm = "head",
     .has_deltas = 1,
     .hf = {.types = {{"qwen3_5_text", "Qwen3_5ForCausalLM", NULL},
                      {"qwen3_5", "Qwen3_5ForConditionalGeneration", &qwen3_5_vision}},
            .names = qwen3_next_names,
            .keys = KEYS(DELTA_KEYS, "mamba_ssm_dtype", "output_gate_type"),
            .norm_plus_one = 1,
            .partial_key = "partial_rotary_factor",
            .partial = 0.25,
            .rope_keys = KEYS("mrope_interleaved", "mrope_section", "partial_rotary_factor"), /* of text all the same */
            .defaults = qwen3_next_defaults,
            .left_out = KEYS("mtp."),
            .settings = SETTINGS(ATTENTION_BIAS(0)),
            .read = cv_read_deltas}},

    {.architecture = "olmoe",
     .qk_norm = "all",
     .hf = {.types = {{"olmoe", "OlmoeForCausalLM", NULL}},
            .keys = KEYS(EXPERT_KEYS),
            .settings = SETTINGS(ATTENTION_BIAS(0), EXPERTS("num_experts", 8),
                                 {CV_SHARES_OF_CHOSEN, "norm_topk_prob", 0})},
     .gguf = {.name = "olmoe", .settings = SETTINGS(GGUF_EXPERTS, {CV_SHARES_OF_CHOSEN, "expert_weights_norm", 0})}},

    {.architecture = "lfm2",
     .qk_norm = "head",
     .has_convs = 1,
     .hf = {.types = {{"lfm2", "Lfm2ForCausalLM", NULL}},
            .names = lfm2_names,
            .keys = KEYS("block_auto_adjust_ff_dim", "block_dim", "block_ff_dim", "block_ffn_dim_multiplier",
                         "block_mlp_init_scale", "block_multiple_of", "block_norm_eps", "block_out_init_scale",
                         "block_use_swiglu", "block_use_xavier_init", "conv_L_cache", "conv_bias", "conv_dim",
                         "conv_dim_out", "conv_use_xavier_init", "full_attn_idxs", "layer_types", "num_heads",
                         "tie_embedding", "use_pos_enc"),
            .eps_key = "norm_eps",
            .tied = 1,
            .defaults = lfm2_defaults,
            .read = cv_read_convs},
     .gguf = {.name = "lfm2", .names = lfm2_gguf_names}},

    {.architecture = "gpt_oss",
     .activation = "clamped",
     .window_pattern = 2,
     .has_sinks = 1,
     .biases = CV_BIAS_EXPERTS,
     .hf = {.types = {{"gpt_oss", "GptOssForCausalLM", NULL}},
            .names = gpt_oss_names,
            .keys = KEYS(EXPERT_KEYS, "experts_per_token", "initial_context_length", "layer_types",
                         "quantization_config", "swiglu_limit"),
            .quantized = "mxfp4",
            .act_key = "activation", /* hidden_act says silu, and is not asked */
            .defaults = gpt_oss_defaults,
            .settings = SETTINGS(ATTENTION_BIAS(1), WINDOW(128), EXPERTS("num_local_experts", 4)),
            .read = cv_check_swiglu},
     .gguf = {.name = "gpt-oss",
              .names = gpt_oss_gguf_names,
              .unrounded_yarn = 1,
              .settings = SETTINGS(GGUF_WINDOW(128), GGUF_EXPERTS)}},

    {.architecture = "smollm3",
     .local = CV_LISTED_STILL,
     .still_every = 4,
     .hf = {.types = {{"smollm3", "SmolLM3ForCausalLM", NULL}},
            .keys = KEYS("layer_types", "max_window_layers", "no_rope_layer_interval", "no_rope_layers",
                         "sliding_window", "use_sliding_window"),
            .tied = 1,
            .defaults = smollm3_defaults,
            .settings = SETTINGS({CV_FFN_BIASES, "mlp_bias", 0}, ATTENTION_BIAS(0)),
            .read = cv_read_still_layers},
     .gguf = {.name = "smollm3", .in_pairs = 1}},

    {.architecture = "granite",
     .hf = {.types = {{"granite", "GraniteForCausalLM", NULL}},
            .settings = SETTINGS({CV_FFN_BIASES, "mlp_bias", 0}, ATTENTION_BIAS(0), GRANITE)},
     .gguf = {.name = "granite", .in_pairs = 1, .settings = SETTINGS(GGUF_GRANITE)}},

    {.architecture = "granitemoe",
     .hf = {.types = {{"granitemoe", "GraniteMoeForCausalLM", NULL}},
            .names = granitemoe_names,
            .keys = KEYS(EXPERT_KEYS, "position_embedding_type"),
            .settings = SETTINGS(ATTENTION_BIAS(0), GRANITE, EXPERTS("num_local_experts", 2)),
            .read = cv_check_positions},
     .gguf = {.name = "granitemoe", .in_pairs = 1, .settings = SETTINGS(GGUF_GRANITE, GGUF_EXPERTS)}},

    {.architecture = "minicpm", /* Granite in other words */
     .hf = {.types = {{"minicpm", "MiniCPMForCausalLM", NULL}},
            .keys = KEYS("auto_map"),
            .tied = 1,
            .settings = SETTINGS(ATTENTION_BIAS(0), {CV_EMBEDDING_SCALE, "scale_emb", 1},
                                 {CV_RESIDUAL_BY_ROOT, "scale_depth", 1}, {CV_LOGIT_BASE, "dim_model_base", 1})},
     .gguf = {.name = "minicpm", /* older files lack these keys, and are refused */
              .in_pairs = 1,
              .settings = SETTINGS({CV_EMBEDDING_SCALE, "embedding_scale", 0}, {CV_RESIDUAL_SCALE, "residual_scale", 0},
                                   {CV_LOGIT_DIVISOR, "logit_scale", 0})}},

    {.architecture = "ernie4_5",
     .hf = {.types = {{"ernie4_5", "Ernie4_5ForCausalLM", NULL}},
            .tied = 1,
            .in_pairs = 1,
            .defaults = ernie_defaults,
            .settings = SETTINGS({CV_MATRIX_BIASES, "use_bias", 0})},
     .gguf = {.name = "ernie4_5", .in_pairs = 1}},

    {.architecture = "ministral3",
     .hf = {.types = {{"ministral3", "Ministral3ForCausalLM", NULL},
                      {"mistral3", "Mistral3ForConditionalGeneration", &ministral3_vision}},
            .rope_keys = KEYS("llama_4_scaling_beta", "max_position_embeddings"),
            .settings = SETTINGS(WINDOW(0)),
            .read = cv_read_growth},
     .gguf = {.name = "mistral3",
              .in_pairs = 1,
              .settings = SETTINGS({CV_SCORE_GROWTH, "attention.temperature_scale", 0})}},

    {.architecture = "olmo2", /* in GGUF files OLMo 3, too: then it has windows */
     .norm_place = "after",
     .qk_norm = "all",
     .local = CV_WINDOWS_PLAIN,
     .hf = {.types = {{"olmo2", "Olmo2ForCausalLM", NULL}},
            .names = post_norm_names,
            .settings = SETTINGS(ATTENTION_BIAS(0))},
     .gguf = {.name = "olmo2", .settings = SETTINGS(GGUF_WINDOW(0))}},

    {.architecture = "olmo3",
     .norm_place = "after",
     .qk_norm = "all",
     .window_pattern = 4,
     .local = CV_WINDOWS_PLAIN,
     .hf = {.types = {{"olmo3", "Olmo3ForCausalLM", NULL}},
            .names = post_norm_names,
            .keys = KEYS("layer_types"),
            .settings = SETTINGS(ATTENTION_BIAS(0), WINDOW(4096))}},

    {.architecture = "exaone4",
     .norm_place = "after",
     .qk_norm = "head",
     .window_pattern = 4,
     .local = CV_FULL_STILL,
     .hf = {.types = {{"exaone4", "Exaone4ForCausalLM", NULL}},
            .names = post_norm_names,
            .keys = KEYS("layer_types"),
            .settings = SETTINGS({CV_WINDOW_PATTERN, "sliding_window_pattern", CV_AS_IT_IS}, WINDOW(4096))},
     .gguf = {.name = "exaone4", .settings = SETTINGS(GGUF_WINDOW(0))}},

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
            .settings = SETTINGS(GEMMA_2, CAPS(50, 30))},
     .gguf = {.name = "gemma2", .settings = SETTINGS(CAPS(50, 30), GGUF_WINDOW(4096)), .largest = 46}},

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
                                 {CV_WINDOW_PATTERN, "sliding_window_pattern", CV_AS_IT_IS}, GEMMA_2,
                                 CAPS(0, 0))},
     .gguf = {.name = "gemma3", .settings = SETTINGS(CAPS(0, 0), GGUF_WINDOW(0)), .largest = 62}},

    {.architecture = "gemma4",
     .is_gemma4 = 1,
     .norm_place = "around",
     .activation = "gelu_tanh",
     .qk_norm = "head",
     .embedding_by_root = 1,
     .window_pattern = 6,
     .local = CV_WINDOWS_LOCAL,
     .hf = {.types = {{"gemma4_text", "Gemma4ForCausalLM", NULL},
                      {"gemma4", "Gemma4ForConditionalGeneration", &gemma4_vision}},
            .names = gemma4_names,
            .keys = KEYS("global_head_dim", "layer_types", "use_double_wide_mlp", "vocab_size_per_layer_input"),
            .act_key = "hidden_activation",
            .tied = 1,
            .settings = SETTINGS(ATTENTION_BIAS(0), {CV_LOGIT_CAP, "final_logit_softcapping", 0}, WINDOW(512),
                                 {CV_SHARED_LAYERS, "num_kv_shared_layers", 0},
                                 {CV_LAYER_INPUTS, "hidden_size_per_layer_input", 256}),
            .read = cv_read_gemma4},
     .gguf = {.name = "gemma4",
              .settings = SETTINGS({CV_LOGIT_CAP, "final_logit_softcapping", 0}, GGUF_WINDOW(512),
                                   {CV_LOCAL_HEAD_DIM, "attention.key_length_swa", 0},
                                   {CV_SHARED_LAYERS, "attention.shared_kv_layers", 0},
                                   {CV_LAYER_INPUTS, "embedding_length_per_layer_input", 0})}},

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
