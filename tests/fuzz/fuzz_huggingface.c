/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_huggingface.c - config.json beside a small model.safetensors, up to a model that runs */
#include "converted.h"

/* One layer of hidden size 4, two heads, feed-forward 4, vocabulary 3; F16 zeros. */
static size_t make_tensors(uint8_t *out, size_t room)
{
    static const struct {
        const char *name;
        int rows, cols;
    } tensors[] = {{"model.embed_tokens", 3, 4}, {"model.norm", 0, 4}, {"model.layers.0.input_layernorm", 0, 4},
                   {"model.layers.0.post_attention_layernorm", 0, 4}, {"model.layers.0.self_attn.q_proj", 4, 4},
                   {"model.layers.0.self_attn.k_proj", 4, 4}, {"model.layers.0.self_attn.v_proj", 4, 4},
                   {"model.layers.0.self_attn.o_proj", 4, 4}, {"model.layers.0.mlp.gate_proj", 4, 4},
                   {"model.layers.0.mlp.up_proj", 4, 4}, {"model.layers.0.mlp.down_proj", 4, 4}};
    size_t i, n = 8, at = 0;
    n += (size_t)snprintf((char *)out + n, room - n, "{");
    for (i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        size_t bytes = 2 * (size_t)(tensors[i].rows ? tensors[i].rows : 1) * (size_t)tensors[i].cols;
        n += (size_t)snprintf((char *)out + n, room - n, "%s\"%s.weight\":{\"dtype\":\"F16\",\"shape\":[", i ? "," : "",
                              tensors[i].name);
        if (tensors[i].rows) n += (size_t)snprintf((char *)out + n, room - n, "%d,", tensors[i].rows);
        n += (size_t)snprintf((char *)out + n, room - n, "%d],\"data_offsets\":[%lu,%lu]}", tensors[i].cols,
                              (unsigned long)at, (unsigned long)(at + bytes));
        at += bytes;
    }
    n += (size_t)snprintf((char *)out + n, room - n, "}");
    for (i = 0; i < 8; i++) out[i] = (uint8_t)((n - 8) >> (8 * i));
    memset(out + n, 0, at);
    return n + at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t tensors[8192];
    static int made;
    if (!made) fz_write_file("model.safetensors", tensors, make_tensors(tensors, sizeof tensors));
    made = 1;
    fz_write_file("config.json", data, bytes);
    if (fz_convert(fz_folder, 0, bytes & 1) == 0) fz_go_on(data, bytes);
    return 0;
}
