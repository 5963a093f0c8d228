/* masks.c - masks that were recorded elsewhere, in place of harp's own
 *
 * A mask file is bits, 1 = keep, rows of `hidden` bits, least significant bit first within a byte. For frame stream it
 * is one table, row i for position i. For frame redraw it is a block for each hesitating step, rows 0..step.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* The most that a full context could use: a row for each position, a block for each step. */
static size_t most_bytes(size_t context, size_t row_bytes)
{
    size_t rows = context < SIZE_MAX / (context + 2) ? context * (context + 2) : SIZE_MAX / 2;
    return rows < SIZE_MAX / 2 / row_bytes ? rows * row_bytes : SIZE_MAX / 2;
}

int replay_open(replay *r, const char *path, int32_t hidden, int32_t context, harp_frame frame)
{
    memset(r, 0, sizeof *r);
    r->path = path, r->frame = frame;
    r->row_bytes = ((size_t)hidden + 7) / 8;
    if (read_file(path, most_bytes((size_t)context, r->row_bytes), &r->bits)) return EXIT_FAILED;
    r->rows = r->bits.bytes / r->row_bytes;
    if (r->rows * r->row_bytes == r->bits.bytes && r->rows > 0) return EXIT_FINE;
    replay_close(r);
    return complain("%s: a mask file for this model has a multiple of %ld bytes, and at least one row", path,
                    (long)(((size_t)hidden + 7) / 8));
}

void replay_close(replay *r)
{
    free(r->bits.data);
    free(r->blocks);
    r->bits.data = NULL, r->blocks = NULL;
}

/* The first row of a step's block: known, or right behind the last block. Returns 0 when there is no memory. */
static int find_block(replay *r, int32_t step, size_t *first_row)
{
    size_t i = r->n_blocks;
    while (i > 0 && r->blocks[i - 1].step > step) i--;
    if (i > 0 && r->blocks[i - 1].step == step) return *first_row = r->blocks[i - 1].first_row, 1;
    if (r->n_blocks == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 64;
        struct replay_block *grown = realloc(r->blocks, capacity * sizeof *grown);
        if (!grown) return 0;
        r->blocks = grown, r->capacity = capacity;
    }
    i = r->n_blocks++;
    *first_row = i ? r->blocks[i - 1].first_row + (size_t)r->blocks[i - 1].step + 1 : 0;
    r->blocks[i].step = step, r->blocks[i].first_row = *first_row;
    return 1;
}

int replay_mask(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep, int32_t hidden)
{
    replay *r = (replay *)user;
    const unsigned char *bits;
    size_t row = 0;
    int32_t j;
    (void)reframing;
    if (r->frame == HARP_FRAME_REDRAW && !find_block(r, step, &row)) return 1;
    row += (size_t)position;
    if (row >= r->rows) {
        snprintf(r->problem, sizeof r->problem, "its %ld rows are used up at position %ld of step %ld", (long)r->rows,
                 (long)position, (long)step);
        return 1;
    }
    bits = (const unsigned char *)r->bits.data + row * r->row_bytes;
    for (j = 0; j < hidden; j++) keep[j] = bits[j >> 3] >> (j & 7) & 1;
    return 0;
}
