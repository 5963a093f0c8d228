/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * text.c - stretches of UTF-8; see text.h */
#include "text.h"

#include <string.h>

cv_text text_of(const char *s) { return (cv_text){s, strlen(s)}; }

int text_is(cv_text t, const char *s) { return text_same(t, text_of(s)); }

int text_same(cv_text a, cv_text b) { return a.bytes == b.bytes && (!a.bytes || !memcmp(a.data, b.data, a.bytes)); }

int text_among(cv_text t, const char *words)
{
    while (*words) {
        size_t n = strcspn(words, " ");
        if (text_same(t, (cv_text){words, n})) return 1;
        words += n + (words[n] == ' ');
    }
    return 0;
}

int text_begins(cv_text t, cv_text with)
{
    return t.bytes >= with.bytes && text_same((cv_text){t.data, with.bytes}, with);
}

int text_ends(cv_text t, cv_text with)
{
    return t.bytes >= with.bytes && text_same(text_after(t, t.bytes - with.bytes), with);
}

cv_text text_after(cv_text t, size_t bytes) { return (cv_text){t.data + bytes, t.bytes - bytes}; }

cv_text text_before(cv_text t, size_t bytes) { return (cv_text){t.data, t.bytes - bytes}; }

size_t text_find(cv_text t, cv_text part, size_t from)
{
    for (size_t i = from; part.bytes <= t.bytes && i <= t.bytes - part.bytes; i++) {
        if (!part.bytes || !memcmp(t.data + i, part.data, part.bytes)) return i;
    }
    return t.bytes;
}

/* ---- characters ---- */

static int continues(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

static size_t first_bytes(cv_text t) /* of the first character */
{
    size_t n = 1;
    while (n < t.bytes && continues(t.data[n])) n++;
    return n;
}

static size_t last_bytes(cv_text t)
{
    size_t n = 1;
    while (n < t.bytes && n < 4 && continues(t.data[t.bytes - n])) n++;
    return n;
}

size_t text_length(cv_text t)
{
    size_t n = 0;
    for (; t.bytes; t = text_after(t, first_bytes(t))) n++;
    return n;
}

cv_text text_slice(cv_text t, int64_t from, int64_t to)
{
    cv_text begin = t;
    for (int64_t i = 0; i < to && t.bytes; i++) {
        if (i == from) begin = t;
        t = text_after(t, first_bytes(t));
    }
    return from < to ? text_before(begin, t.bytes) : text_before(begin, begin.bytes);
}

/* White space for Python's str.strip. */
static int is_space(cv_text c)
{
    static const char wide[] = "\xC2\x85 \xC2\xA0 \xE1\x9A\x80 \xE2\x80\xA8 \xE2\x80\xA9 \xE2\x80\xAF \xE2\x81\x9F "
                               "\xE3\x80\x80";
    const unsigned char *p = (const unsigned char *)c.data;
    if (c.bytes == 1) return (p[0] >= 9 && p[0] <= 13) || (p[0] >= 28 && p[0] <= 32);
    if (c.bytes == 3 && p[0] == 0xE2 && p[1] == 0x80 && p[2] <= 0x8A) return 1;
    return text_among(c, wide);
}

static int is_stripped(cv_text c, cv_text set) { return set.data ? text_find(set, c, 0) < set.bytes : is_space(c); }

cv_text text_strip(cv_text t, cv_text set, int sides)
{
    while ((sides & TEXT_LEFT) && t.bytes && is_stripped((cv_text){t.data, first_bytes(t)}, set)) {
        t = text_after(t, first_bytes(t));
    }
    while ((sides & TEXT_RIGHT) && t.bytes && is_stripped(text_after(t, t.bytes - last_bytes(t)), set)) {
        t = text_before(t, last_bytes(t));
    }
    return t;
}

cv_text text_strip_space(cv_text t, int sides) { return text_strip(t, (cv_text){NULL, 0}, sides); }
