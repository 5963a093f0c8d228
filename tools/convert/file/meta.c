/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * meta.c - the metadata entries of a .harp file, laid out as they stand in it; see meta.h */
#include "meta.h"
#include "../ground/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { CV_META_INTEGER = 1, CV_META_REAL = 2, CV_META_TEXT = 3, CV_META_BYTES = 4 };

static int cv_meta_key_is_good(const char *key)
{
    size_t n = strlen(key);
    return n > 0 && n <= 63 && strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_.") == n;
}

static size_t key_room(const unsigned char *entry)
{
    return (entry[4] + 8u) / 8 * 8; /* keys are shorter than 64 bytes */
}

/* The entry of a key, or NULL. */
static const unsigned char *cv_meta_find(const cv_meta *meta, const char *key)
{
    size_t at = 0;
    for (uint32_t i = 0; i < meta->count; i++) {
        const unsigned char *p = meta->data + at;
        uint64_t bytes = cv_u64(p + 8);
        if (strcmp((const char *)p + 16, key) == 0) return p;
        bytes += p[0] == CV_META_TEXT;
        at += 16 + key_room(p) + (size_t)((bytes + 7) / 8 * 8);
    }
    return NULL;
}

/* An entry: type, key_bytes, value_bytes; the key and a zero; the value, for text with a zero; each padded to 8. */
static int cv_meta_add(cv_meta *meta, uint32_t type, const char *key, const void *value, size_t bytes, cv_error *err)
{
    if (!cv_meta_key_is_good(key)) return cv_fail(err, "\"%.80s\" is not a metadata key", key);
    if (cv_meta_find(meta, key)) return cv_fail(err, "the metadata key %s is set twice", key);
    size_t key_bytes = strlen(key), begin = 16 + (key_bytes + 8) / 8 * 8;
    if (bytes > SIZE_MAX / 4 || meta->bytes > SIZE_MAX / 4) return cv_fail(err, "the metadata is too large");
    size_t value_room = (bytes + (type == CV_META_TEXT) + 7) / 8 * 8, room = begin + value_room;
    if (room > meta->capacity - meta->bytes) {
        size_t more = meta->bytes + room + meta->bytes / 2;
        unsigned char *grown = cv_grow(meta->data, more, 1, err);
        if (!grown) return -1;
        meta->data = grown, meta->capacity = more;
    }
    unsigned char *p = meta->data + meta->bytes;
    memset(p, 0, room);
    cv_store_u32(p, type);
    cv_store_u32(p + 4, (uint32_t)key_bytes);
    cv_store_u64(p + 8, bytes);
    memcpy(p + 16, key, key_bytes);
    if (bytes) memcpy(p + begin, value, bytes);
    meta->bytes += room;
    meta->count++;
    return 0;
}

int cv_meta_integer(cv_meta *meta, const char *key, int64_t value, cv_error *err)
{
    unsigned char bytes[8];
    cv_store_u64(bytes, (uint64_t)value);
    return cv_meta_add(meta, CV_META_INTEGER, key, bytes, sizeof bytes, err);
}

int cv_meta_real(cv_meta *meta, const char *key, double value, cv_error *err)
{
    unsigned char bytes[8];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    cv_store_u64(bytes, bits);
    return cv_meta_add(meta, CV_META_REAL, key, bytes, sizeof bytes, err);
}

int cv_meta_text(cv_meta *meta, const char *key, const char *text, size_t bytes, cv_error *err)
{
    return cv_meta_add(meta, CV_META_TEXT, key, text, bytes, err);
}

int cv_meta_bytes(cv_meta *meta, const char *key, const void *data, size_t bytes, cv_error *err)
{
    return cv_meta_add(meta, CV_META_BYTES, key, data, bytes, err);
}

const char *cv_meta_text_of(const cv_meta *meta, const char *key, size_t *bytes)
{
    const unsigned char *entry = cv_meta_find(meta, key);
    *bytes = 0;
    if (!entry || cv_u32(entry) != CV_META_TEXT) return NULL;
    *bytes = (size_t)cv_u64(entry + 8);
    return (const char *)entry + 16 + key_room(entry);
}

int cv_meta_append(cv_meta *meta, const cv_meta *more, cv_error *err)
{
    unsigned char *grown = cv_grow(meta->data, meta->bytes + more->bytes, 1, err);
    if (!grown) return -1;
    if (more->bytes) memcpy(grown + meta->bytes, more->data, more->bytes);
    meta->data = grown, meta->bytes += more->bytes, meta->capacity = meta->bytes;
    meta->count += more->count;
    return 0;
}

void cv_meta_free(cv_meta *meta)
{
    free(meta->data);
    memset(meta, 0, sizeof *meta);
}
