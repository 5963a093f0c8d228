/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * unknown.c - what a model of a family that has no row would need; see families.h
 *
 * Keys betray it: those that no family with a row has. */
#include "families.h"

#include <stdio.h>
#include <string.h>

/* Signs of one need follow one another. A key of config.json stands there or in text_config, one of GGUF behind the
 * name of the architecture; NULL: that kind of file has none for it. */
static const struct {
    const char *config, *gguf, *need;
} signs[] = {{"is_encoder_decoder", "decoder_start_token_id", "an encoder"},
             {"type_vocab_size", "pooling_type", "an encoder"},
             {"num_experts", "expert_count", "a mixture of experts of its kind"},
             {"num_local_experts", NULL, "a mixture of experts of its kind"},
             {"n_routed_experts", NULL, "a mixture of experts of its kind"},
             {"moe_num_experts", NULL, "a mixture of experts of its kind"},
             {"n_shared_experts", "expert_shared_count", "shared experts"},
             {"shared_expert_intermediate_size", "expert_shared_feed_forward_length", "shared experts"},
             {"shared_intermediate_size", NULL, "shared experts"},
             {"mamba_d_state", "ssm.state_size", "recurrent layers"},
             {"mamba_n_heads", NULL, "recurrent layers"},
             {"state_size", NULL, "recurrent layers"},
             {NULL, "ssm.group_count", "gated delta nets (recurrent layers)"},
             {"lru_width", NULL, "recurrent layers"},
             {"rescale_every", "wkv.head_size", "recurrent layers"},
             {NULL, "shortconv.l_cache", "short convolutions"},
             {"kv_lora_rank", "attention.kv_lora_rank", "keys and values of low rank (multi-head latent attention)"},
             {"hidden_size_per_layer_input", "embedding_length_per_layer_input", "embeddings for each layer"},
             {"vision_config", "vision.block_count", "vision"},
             {"audio_config", "audio.block_count", "hearing"}};

static void add(char *out, size_t capacity, const char *before, const char *word)
{
    size_t used = strlen(out);
    snprintf(out + used, capacity - used, "%s%s", before, word);
}

/* "a, b and c"; empty if nothing tells. */
static void tell_needs(char *out, size_t capacity, cv_has_key *has, const void *source, int gguf)
{
    const char *needs[sizeof signs / sizeof *signs] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        const char *key = gguf ? signs[i].gguf : signs[i].config;
        if (key && has(source, key) && (n == 0 || strcmp(needs[n - 1], signs[i].need) != 0)) needs[n++] = signs[i].need;
    }
    out[0] = 0;
    for (size_t i = 0; i < n; i++) add(out, capacity, i == 0 ? "" : i + 1 == n ? " and " : ", ", needs[i]);
}

static void list_families(char *out, size_t capacity, int gguf)
{
    const cv_family *f;
    out[0] = 0;
    for (int i = 0; (f = cv_family_at(i)) != NULL; i++) {
        if (gguf && f->gguf.name) add(out, capacity, out[0] ? ", " : "", f->gguf.name);
        for (int k = 0; !gguf && k < CV_MOST_TYPES && f->hf.types[k].model_type; k++)
            add(out, capacity, out[0] ? ", " : "", f->hf.types[k].model_type);
    }
}

int cv_refuse_family(const char *path, const char *key, const char *value, cv_has_key *has, const void *source,
                     int gguf, cv_error *err)
{
    char needs[256], known[512];
    tell_needs(needs, sizeof needs, has, source, gguf);
    list_families(known, sizeof known, gguf);
    return cv_fail(err, "%.200s: %s %.60s is not supported%s%s; supported are %s", path, key, value,
                   needs[0] ? ": it would need " : "", needs, known);
}
