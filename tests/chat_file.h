/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * chat_file.h - a .harp file with another table of roles: the metadata chat.* of a real file replaced
 *
 *     hf_file f = chat_begin(base, base_bytes);        all but chat.* is copied
 *     hf_text(&f, "chat.user.before", "<user>") ...     what is to stand in its place
 *     chat_end(&f, base, base_bytes);                   f.data, f.bytes: the whole file; free(f.data) */
#ifndef HARP_CHAT_FILE_H
#define HARP_CHAT_FILE_H

#include "harp_file.h"

enum { CHAT_ROOM = 1 << 20 }; /* bytes for entries, more than any test needs */

/* Copies the entries whose keys begin with chat., or the others, from `at` up to `end`. */
static inline void chat_copy(hf_file *f, uint8_t *data, size_t at, size_t end, int is_chat)
{
    while (at < end) {
        hf_entry e = hf_entry_at(data, at);
        if ((memcmp(e.key, "chat.", 5) == 0) == is_chat) hf_meta(f, cv_u32(data + at), e.key, e.value, e.bytes);
        at = e.next;
    }
}

static inline hf_file chat_begin(uint8_t *base, size_t bytes)
{
    hf_file f;
    f.capacity = bytes + CHAT_ROOM, f.data = malloc(f.capacity);
    if (!f.data) abort();
    hf_begin(&f);
    chat_copy(&f, base, 64, 64 + (size_t)cv_u64(base + 40), 0);
    return f;
}

static inline void chat_end(hf_file *f, uint8_t *base, size_t bytes)
{
    uint32_t n = cv_u32(base + 36), i;
    size_t old = (size_t)cv_u64(base + 56), table = f->bytes, head = (table + 96 * (size_t)n + 63) / 64 * 64;
    hf_store(f->data + 36, n, 4), hf_store(f->data + 40, table - 64, 8);
    hf_store(f->data + 48, table, 8), hf_store(f->data + 56, head, 8);
    hf_put(f, hf_record_at(base, 0), 96 * (size_t)n);
    for (i = 0; i < n; i++) {
        uint8_t *offset = hf_record_at(f->data, i) + 72;
        hf_store(offset, cv_u64(offset) - old + head, 8);
    }
    hf_pad(f, 64);
    hf_put(f, base + old, bytes - old);
    hf_seal(f->data, f->bytes);
}

#endif
