/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_safetensors.c - a folder's model.safetensors
 *
 * If the first byte is '{', the input is a header, to which its length and data bytes are added, as many as its last
 * offset wants; otherwise it is the file itself. Beside it stands a config.json that the seed model.json fits. */
#include "converted.h"
#include "../../tools/convert/containers/safetensors.h"

enum { MOST_BYTES = 1 << 16 };

/* The largest number in the text, as far as it is small: where the data are to end. */
static size_t largest_number(const uint8_t *data, size_t bytes)
{
    size_t largest = 0, number = 0, i;
    for (i = 0; i <= bytes; i++) {
        if (i < bytes && data[i] >= '0' && data[i] <= '9') {
            if (number < MOST_BYTES) number = number * 10 + (size_t)(data[i] - '0');
            continue;
        }
        if (number > largest && number <= 4096) largest = number;
        number = 0;
    }
    return largest;
}

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 3, \"hidden_size\": 4,"
    " \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 2, \"intermediate_size\": 4,"
    " \"max_position_embeddings\": 16, \"rms_norm_eps\": 1e-05, \"tie_word_embeddings\": true,"
    " \"hidden_act\": \"silu\", \"rope_theta\": 10000.0,"
    " \"eos_token_id\": 1, \"bos_token_id\": 0, \"torch_dtype\": \"float16\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t file[2 * MOST_BYTES];
    static float rows[MOST_BYTES];
    cv_safetensors st;
    cv_error err;
    size_t i, n = 0;
    if (bytes > MOST_BYTES - 8192) return 0;
    if (bytes > 0 && data[0] == '{') {
        for (i = 0; i < 8; i++) file[i] = (uint8_t)(bytes >> (8 * i));
        memcpy(file + 8, data, bytes);
        n = largest_number(data, bytes);
        memset(file + 8 + bytes, 0x3C, n);
        n += 8 + bytes;
    } else {
        memcpy(file, data, bytes);
        n = bytes;
    }
    fz_write_file("model.safetensors", file, n);
    if (cv_safetensors_open(&st, fz_folder, &err) == 0) {
        for (i = 0; i < st.n; i++) {
            const cv_st_tensor *t = &st.tensors[i];
            fz_expect(cv_safetensors_find(&st, t->name) == t && t->offset + t->bytes <= n);
            if (t->rows > 0 && t->cols <= MOST_BYTES && cv_safetensors_is_float(t))
                fz_expect(cv_safetensors_read(&st, t, (t->rows - 1) * t->cols, t->cols, rows, &err) == 0);
        }
    }
    cv_safetensors_close(&st);
    fz_write_file("config.json", config, sizeof config - 1);
    if (fz_convert(fz_folder, 0, bytes & 1) == 0) fz_go_on(data, bytes);
    return 0;
}
