/* no_malloc.c - all memory is yours: for devices, and for those who want to know where every byte is
 *
 * The model is an array, as it would be in flash; harp reads the weights in place. The model's tables, the session and
 * the tokenizer's working memory are three more arrays. Nothing is allocated and no file is opened by the library.
 *
 *     cc -O2 -pthread -DHARP_NO_MALLOC -DHARP_NO_STDIO -DHARP_NO_MMAP examples/no_malloc.c harp_impl.c -lm -o no_malloc
 *     ./no_malloc demo.harp "Once upon a time"
 *
 * With -DMODEL_ARRAY='"model.inc"' the array is compiled in (xxd -i < demo.harp > model.inc); otherwise the program
 * reads the file into it, so that one build can try several models.
 */
#include <stdio.h>
#include "../harp.h"

#ifdef MODEL_ARRAY
static const unsigned char model_image[] = {
#include MODEL_ARRAY
};
#else
static unsigned char model_image[8u << 20];
#endif
static unsigned char tables[64u << 10], session_block[24u << 20], scratch[64u << 10];

/* The only memory that harp ever asks for here: harp_encode's, about 24 bytes for each byte of the longest word, given
 * back before it returns. One array serves; whatever does not fit is refused, and harp says so. */
static size_t scratch_used, scratch_pieces;

static void *take(void *user, size_t bytes)
{
    size_t rounded = (bytes + 63) / 64 * 64;
    void *piece = scratch + scratch_used;
    (void)user;
    if (rounded < bytes || rounded > sizeof scratch - scratch_used) return NULL;
    scratch_used += rounded, scratch_pieces++;
    return piece;
}

static void give_back(void *user, void *piece, size_t bytes)
{
    (void)user, (void)bytes;
    if (piece && --scratch_pieces == 0) scratch_used = 0;
}

static int show(void *user, const char *text, size_t bytes, const harp_step *step)
{
    (void)user, (void)step;
    return fwrite(text, 1, bytes, stdout) != bytes;
}

/* Where a device has nothing to do: its model is in flash already. */
static size_t load(const char *path)
{
#ifdef MODEL_ARRAY
    return (void)path, sizeof model_image;
#else
    FILE *file = fopen(path, "rb");
    size_t bytes = file ? fread(model_image, 1, sizeof model_image, file) : 0;
    if (file) fclose(file);
    return bytes;
#endif
}

int main(int argc, char **argv)
{
    harp_source source = harp_source_defaults();
    harp_params params = harp_defaults();
    harp_model *model = NULL;
    harp_session *session = NULL;
    harp_error err;
    if (argc < 3) return fprintf(stderr, "usage: %s MODEL.harp PROMPT\n", argv[0]), 2;
    source.data = model_image, source.bytes = load(argv[1]);
    source.memory = tables, source.memory_bytes = sizeof tables;
    source.allocator.alloc = take, source.allocator.free = give_back;
    params.memory = session_block, params.memory_bytes = sizeof session_block;
    params.context = 256, params.batch = 8, params.cache = HARP_CACHE_INT8; /* small on purpose */
    if (harp_open_source(&model, &source, &err) || harp_session_open(&session, model, &params, &err)
        || harp_generate(session, argv[2], 100, show, NULL, &err)) fprintf(stderr, "%s: %s\n", argv[1], err.text);
    harp_session_close(session), harp_close(model);
    return err.status != HARP_OK;
}
