/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * four_bits.c - a model with int8 weights -> one whose layers have weights of four bits: four_bits IN.harp OUT.harp
 *
 * Integers alone decide, so every machine makes the same file: a nibble is the upper half of the integer, and stands for
 * the middle of the sixteen integers that have it; scales stay as they are. harp-convert does better, but it computes
 * with floats. */
#include "harp_file.h"

#include <stdio.h>

static uint8_t *read_file(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data;
    long end;
    if (!f || fseek(f, 0, SEEK_END) || (end = ftell(f)) < 64 || fseek(f, 0, SEEK_SET)) return NULL;
    data = malloc((size_t)end);
    if (data && fread(data, 1, (size_t)end, f) != (size_t)end) return NULL;
    fclose(f);
    *bytes = (size_t)end;
    return data;
}

/* The tensor of `record`, int8, as nibbles. */
static void put_nibbles(hf_file *to, const uint8_t *tensor, const uint8_t *record)
{
    size_t groups = (size_t)(cv_u64(record + 64) + 31) / 32, tiles = (size_t)(cv_u64(record + 56) + 15) / 16, i, t;
    size_t scale_bytes = (32 * groups + 63) / 64 * 64;
    for (i = 0; i < 16; i++) to->data[to->bytes + i] = (uint8_t)(16 * ((int)i - 8) + 8);
    to->bytes += 16, hf_put(to, NULL, 48);
    for (t = 0; t < tiles; t++, tensor += scale_bytes + 512 * groups) {
        const uint8_t *w = tensor + scale_bytes;
        hf_put(to, tensor, scale_bytes);
        for (i = 0; i < 256 * groups; i++) { /* byte i has weights of lines 2k and 2k + 1 */
            const uint8_t *line = w + i / 64 * 128 + i % 64;
            to->data[to->bytes++] = (uint8_t)((line[0] ^ 0x80) >> 4 | ((line[64] ^ 0x80) & 0xF0));
        }
    }
}

int main(int argc, char **argv)
{
    size_t bytes, at, i;
    uint8_t *from = argc == 3 ? read_file(argv[1], &bytes) : NULL;
    hf_file to;
    FILE *f;
    if (!from || !(to.data = malloc(2 * bytes))) return fprintf(stderr, "four_bits: no model, or no memory\n"), 1;
    to.bytes = 0, to.capacity = 2 * bytes;
    hf_put(&to, from, (size_t)cv_u64(from + 56));
    hf_store(to.data + 8, 2, 4);
    for (i = 0; i < cv_u32(from + 36); i++) {
        uint8_t *old = hf_record_at(from, (uint32_t)i), *record = hf_record_at(to.data, (uint32_t)i);
        int is_nibbles = cv_u32(old + 48) == HF_INT8 && strchr((const char *)old, '.');
        at = to.bytes;
        if (is_nibbles) put_nibbles(&to, hf_tensor_data(from, old), old), hf_store(record + 48, HF_NIBBLES, 4);
        else hf_put(&to, hf_tensor_data(from, old), (size_t)cv_u64(old + 80));
        hf_store(record + 52, hf_crc(0, to.data + at, to.bytes - at), 4);
        hf_store(record + 72, at, 8), hf_store(record + 80, to.bytes - at, 8);
        hf_pad(&to, 64);
    }
    hf_seal(to.data, to.bytes);
    f = fopen(argv[2], "wb");
    if (!f || fwrite(to.data, 1, to.bytes, f) != to.bytes || fclose(f))
        return fprintf(stderr, "four_bits: cannot write %s\n", argv[2]), 1;
    free(from), free(to.data);
    return 0;
}
