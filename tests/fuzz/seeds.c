/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * seeds.c - makes the first inputs of the targets that want .harp files or saved sessions: seeds FOLDER TARGET */
#define FZ_HAS_MUTATOR 1
#include "make_harp.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t most)
{
    (void)data, (void)most;
    return bytes;
}

static uint8_t data[1 << 18];

static void save(const char *folder, const char *name, unsigned i, const void *bytes, size_t n)
{
    char path[512];
    FILE *f;
    snprintf(path, sizeof path, "%s/%s%02u", folder, name, i);
    f = fopen(path, "wb");
    fz_expect(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

int main(int argc, char **argv)
{
    static const unsigned shapes[] = {0, 2, 3, 4, 5, 9, 17, 18, 31};
    unsigned i;
    if (argc != 2) return 2;
    for (i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        fz_shape s = fz_small_shape(shapes[i]);
        save(argv[1], "small", i, data, fz_write_harp(&s, data, sizeof data));
    }
    return 0;
}
