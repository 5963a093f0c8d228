/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * writer.c - see writer.h */
#include "writer.h"
#include "nibbles.h"
#include "../ground/bytes.h"

#include <stdlib.h>
#include <string.h>

/* harp_open takes no more: better said before the weights are read. */
enum { MOST_HEAD_BYTES = 1 << 28, MOST_META = 4096 };

const unsigned char cv_magic[8] = {0x89, 'H', 'A', 'R', 'P', 0x0D, 0x0A, 0x1A};

uint64_t cv_tensor_bytes(uint32_t type, uint64_t rows, uint64_t cols)
{
    if (rows < 1 || cols < 1 || rows > 1u << 28 || cols > 1u << 28) return 0;
    if (type == CV_F32) return rows == 1 ? cols * 4 : 0;
    if (type == CV_F32_MATRIX)
        return (rows + CV_TILE_ROWS - 1) / CV_TILE_ROWS * (uint64_t)cv_float_tile_bytes(cols);
    if (type == CV_Q8) return (rows + CV_TILE_ROWS - 1) / CV_TILE_ROWS * (uint64_t)cv_tile_bytes(cols);
    if (type == CV_NIBBLES)
        return CV_TABLE_BYTES + (rows + CV_TILE_ROWS - 1) / CV_TILE_ROWS * (uint64_t)cv_nibble_tile_bytes(cols);
    return 0;
}

/* ---- the head: header, metadata, tensor table ---- */

/* Files without nibbles can be read by what reads version 1. */
static uint32_t version_of(const cv_writer *w)
{
    uint32_t i = 0;
    while (i < w->n && w->tensors[i].type != CV_NIBBLES) i++;
    return i < w->n ? 2 : 1;
}

static void store_header(const cv_writer *w, unsigned char *head)
{
    memcpy(head, cv_magic, sizeof cv_magic);
    cv_store_u32(head + 8, version_of(w));
    cv_store_u64(head + 16, w->file_bytes);
    cv_store_u64(head + 24, CV_HEADER_BYTES);
    cv_store_u32(head + 32, w->meta->count);
    cv_store_u32(head + 36, w->n);
    cv_store_u64(head + 40, w->meta->bytes);
    cv_store_u64(head + 48, w->table_offset);
    cv_store_u64(head + 56, w->data_offset);
}

static void store_record(unsigned char *record, const cv_tensor *t)
{
    memcpy(record, t->name, CV_NAME_BYTES);
    cv_store_u32(record + 48, t->type);
    cv_store_u32(record + 52, t->crc);
    cv_store_u64(record + 56, t->rows);
    cv_store_u64(record + 64, t->cols);
    cv_store_u64(record + 72, t->offset);
    cv_store_u64(record + 80, t->bytes);
}

static unsigned char *make_head(const cv_writer *w, cv_error *err)
{
    unsigned char *head = cv_alloc((size_t)w->data_offset, 1, err);
    if (!head) return NULL;
    store_header(w, head);
    if (w->meta->bytes) memcpy(head + CV_HEADER_BYTES, w->meta->data, w->meta->bytes);
    for (uint32_t i = 0; i < w->n; i++)
        store_record(head + w->table_offset + (size_t)i * CV_RECORD_BYTES, &w->tensors[i]);
    cv_store_u32(head + 12, cv_crc32(0, head, (size_t)w->data_offset));
    return head;
}

/* ---- the file ---- */

/* Sizes are bounded by cv_tensor_bytes, so no sum below can overflow. */
static int lay_out(cv_writer *w, cv_error *err)
{
    uint64_t at;
    w->table_offset = cv_round_up(CV_HEADER_BYTES + w->meta->bytes, 8);
    w->data_offset = cv_round_up(w->table_offset + (uint64_t)w->n * CV_RECORD_BYTES, CV_ALIGN);
    if (w->data_offset > MOST_HEAD_BYTES || w->meta->count > MOST_META)
        return cv_fail(err, "%.0f entries of metadata, in a head of %.0f bytes: a .harp file can have %d, in %d; is "
                            "the tokenizer the right one?", (double)w->meta->count, (double)w->data_offset,
                       (int)MOST_META, (int)MOST_HEAD_BYTES);
    at = w->data_offset;
    for (uint32_t i = 0; i < w->n; i++) {
        cv_tensor *t = &w->tensors[i];
        t->offset = at, t->crc = 0;
        t->bytes = cv_tensor_bytes(t->type, t->rows, t->cols);
        if (t->bytes == 0) return cv_fail(err, "tensor %s has no valid shape", t->name);
        at += cv_round_up(t->bytes, CV_ALIGN);
    }
    w->file_bytes = at;
    return 0;
}

/* The head is written twice: now without the checksums, so that the tensors come to stand behind it, and at the end. */
int cv_writer_begin(cv_writer *w, const char *path, const cv_meta *meta, cv_tensor *tensors, uint32_t n, cv_error *err)
{
    memset(w, 0, sizeof *w);
    w->meta = meta, w->tensors = tensors, w->n = n;
    if (lay_out(w, err) < 0) return -1;
    unsigned char *head = make_head(w, err);
    if (!head) return -1;
    int failed = cv_output_open(&w->out, path, err);
    if (!failed && cv_output_write(&w->out, head, (size_t)w->data_offset, err) < 0) {
        cv_output_discard(&w->out);
        failed = -1;
    }
    free(head);
    return failed;
}

int cv_writer_add(cv_writer *w, const void *data, size_t bytes, cv_error *err)
{
    static const unsigned char zeros[CV_ALIGN];
    cv_tensor *t = &w->tensors[w->current];
    if (w->current >= w->n || bytes > t->bytes - w->written)
        return cv_fail(err, "tensor %s has become too long", w->current < w->n ? t->name : "after the last");
    t->crc = cv_crc32(t->crc, data, bytes);
    w->written += bytes;
    if (cv_output_write(&w->out, data, bytes, err) < 0) return -1;
    if (w->written < t->bytes) return 0;
    w->current++, w->written = 0;
    return cv_output_write(&w->out, zeros, (size_t)(cv_round_up(t->bytes, CV_ALIGN) - t->bytes), err);
}

int cv_writer_finish(cv_writer *w, cv_accept_fn *accept, cv_error *err)
{
    unsigned char *head = w->current == w->n ? make_head(w, err) : NULL;
    if (w->current != w->n) cv_fail(err, "tensor %s was not written in full", w->tensors[w->current].name);
    int failed = !head || cv_output_rewrite(&w->out, 0, head, (size_t)w->data_offset, err) < 0 ? -1 : 0;
    free(head);
    if (failed) cv_output_discard(&w->out);
    return failed ? -1 : cv_output_commit(&w->out, accept, err);
}

void cv_writer_discard(cv_writer *w)
{
    cv_output_discard(&w->out);
}
