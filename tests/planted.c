/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * planted.c - a model of which it is known beforehand whether HARP helps, and a text for it
 *
 *      planted 30 MODEL.harp TEXT      its first embedding element drowns the others
 *      planted 0 MODEL.harp TEXT       it has no such element
 *
 * The text goes round in a circle of letters. The layers do nothing: what follows depends on the newest letter alone.
 * Its embedding is a code of +-1 in all elements but the first, and the output compares it with the code of each letter's
 * predecessor. RMS norm divides by the mean square of the whole.
 *
 * With a first element of 30 the code is small behind the norm, and the right letter stands out little. A mask drops
 * that element with probability delta; then the code is as large as it should be. It costs a share delta of the code, too,
 * but by far less. So of a grid up to delta = 0.3, HARP is best with the largest delta, with the most reframings, for
 * the loss is convex and their logits are averaged, and with the least weight of the vanilla logits.
 *
 * Without that element the plain model reads the whole code, and masks can only take away from it: HARP harms. */
#include "random_model.h"

#include <stdio.h>

enum { LETTERS = 15, HIDDEN = 64, FIRST = 4, LENGTH = 6000 }; /* "a" is token 4, behind the blank */

static void put_weight(uint8_t *tensor, uint32_t row, uint32_t col, float value)
{
    hf_store_float(tensor + (size_t)(row / 16) * (HIDDEN / 32) * 2048 + 4 * (size_t)(col * 16 + row % 16), value);
}

/* +-1, from a hash. */
static float code_of(uint32_t letter, uint32_t col)
{
    uint32_t x = (letter * HIDDEN + col + 1) * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    return (x ^ x >> 13) & 64 ? 1.0f : -1.0f;
}

/* Zeros in all matrices but these two. */
static void plant(rm_file *f, float first, float loudness)
{
    uint8_t *data = f->file.data, *embedding, *output;
    uint32_t row, col;
    int i;
    for (i = 0; i < f->n_tensors; i++)
        if (f->tensors[i].type == HF_FLOAT) memset(data + f->tensors[i].offset, 0, f->tensors[i].bytes);
    for (i = 0; i < f->n_tensors; i++)
        for (col = 0; strcmp(f->tensors[i].name, "final_norm") == 0 && col < HIDDEN; col++)
            hf_store_float(data + f->tensors[i].offset + 4 * (size_t)col, 1.0f);
    embedding = hf_tensor_data(data, hf_find_record(data, "embedding"));
    output = hf_tensor_data(data, hf_find_record(data, "output"));
    for (row = 0; row < LETTERS; row++)
        for (put_weight(embedding, FIRST + row, 0, first), col = 1; col < HIDDEN; col++) {
            put_weight(embedding, FIRST + row, col, code_of(row, col));
            put_weight(output, FIRST + (row + 1) % LETTERS, col, loudness * code_of(row, col));
        }
    for (i = 0; i < f->n_tensors; i++)
        hf_store(hf_record_at(data, (uint32_t)i) + 52, hf_crc(0, data + f->tensors[i].offset, f->tensors[i].bytes), 4);
    hf_seal(data, f->file.bytes);
}

static int save(const char *path, const void *data, size_t bytes)
{
    FILE *out = fopen(path, "wb");
    int failed = !out || fwrite(data, 1, bytes, out) != bytes;
    return (out && fclose(out) != 0) || failed;
}

int main(int argc, char **argv)
{
    static uint8_t memory[RM_MOST_BYTES];
    static char text[LENGTH];
    static rm_file f;
    rm_shape s;
    float first = argc == 4 ? (float)atof(argv[1]) : 0.0f;
    int i;
    if (argc != 4) return fprintf(stderr, "usage: planted FIRST MODEL.harp TEXT\n"), 2;
    memset(&s, 0, sizeof s);
    s.layers = s.heads = s.kv_heads = 1, s.head_dim = s.hidden = HIDDEN, s.ffn = 32, s.vocab = 44, s.context = 256;
    s.is_float = 1, s.tokenizer = 2, s.ends = 1, s.loud = -1, s.loudness = 1.0f, s.rope_dims = 2;
    f.file.data = memory;
    rm_write(&f, &s);
    plant(&f, first, first > 0.0f ? 0.2f : 0.04f);
    for (i = 0; i < LENGTH; i++) text[i] = (char)('a' + i % LETTERS);
    return save(argv[2], memory, f.file.bytes) || save(argv[3], text, sizeof text);
}
