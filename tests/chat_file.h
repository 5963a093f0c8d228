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

static inline uint64_t chat_number(const uint8_t *p, int bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | p[bytes];
    return value;
}

/* The entries of a run of metadata that begin with chat., or the others. */
static inline void chat_copy(hf_file *f, const uint8_t *at, const uint8_t *end, int is_chat)
{
    while (at < end) {
        unsigned type = (unsigned)chat_number(at, 4);
        size_t key_bytes = (size_t)chat_number(at + 4, 4), bytes = (size_t)chat_number(at + 8, 8);
        const uint8_t *key = at + 16, *value = key + (key_bytes + 8) / 8 * 8;
        if ((memcmp(key, "chat.", 5) == 0) == is_chat) hf_meta(f, type, (const char *)key, value, bytes);
        at = value + (bytes + (type == 3) + 7) / 8 * 8;
    }
}

static inline hf_file chat_begin(const uint8_t *base, size_t bytes)
{
    hf_file f;
    f.capacity = bytes + CHAT_ROOM, f.data = malloc(f.capacity);
    if (!f.data) abort();
    hf_begin(&f);
    chat_copy(&f, base + 64, base + 64 + chat_number(base + 40, 8), 0);
    return f;
}

static inline void chat_end(hf_file *f, const uint8_t *base, size_t bytes)
{
    size_t n = (size_t)chat_number(base + 36, 4), old = (size_t)chat_number(base + 56, 8), table, head, i;
    hf_store(f->data + 36, n, 4), hf_store(f->data + 40, f->bytes - 64, 8);
    table = f->bytes, head = (table + 96 * n + 63) / 64 * 64;
    hf_store(f->data + 48, table, 8), hf_store(f->data + 56, head, 8);
    hf_put(f, base + chat_number(base + 48, 8), 96 * n);
    for (i = 0; i < n; i++) {
        uint8_t *offset = f->data + table + 96 * i + 72;
        hf_store(offset, chat_number(offset, 8) - old + head, 8);
    }
    hf_pad(f, 64);
    hf_put(f, base + old, bytes - old);
    hf_store(f->data + 16, f->bytes, 8), hf_store(f->data + 12, 0, 4);
    hf_store(f->data + 12, hf_crc(0, f->data, head), 4);
}

#endif
