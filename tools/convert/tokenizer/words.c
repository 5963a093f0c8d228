/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * words.c - see words.h. A set is a bitmap of all characters while it is read; then it becomes ranges. */
#include "words.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

static const char contractions[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"; /* may follow a word: an item by itself */

/* One more than there are characters: the last stands for a byte that is none. The bitmap is whole words of 8 bytes. */
enum { N_BITS = CV_LAST_CHARACTER + 2, WORD = 8, BITMAP_BYTES = (N_BITS / (8 * WORD) + 1) * WORD,
       MOST_COUNT = 1 << 20 };

typedef struct parser {
    cv_words *words;
    const char *begin, *at, *end;
    unsigned char *bits; /* [BITMAP_BYTES] the set being read */
    int fold;            /* within (?i: */
    cv_error *err;
} parser;

static int refuse(const parser *p, const char *why)
{
    size_t left = (size_t)(p->end - p->at);
    return cv_fail(p->err, "the pre-tokenizer's pattern is not supported, at \"%.*s\": %s",
                   (int)(left < 100 ? left : 100), p->at, why);
}

static int follows(const parser *p, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(p->end - p->at) >= n && memcmp(p->at, text, n) == 0;
}

static int skip(parser *p, const char *text)
{
    if (!follows(p, text)) return 0;
    p->at += strlen(text);
    return 1;
}

/* ---- sets ---- */

/* Bits in whole bytes all at once: a pattern may name all characters again and again. */
static void put_bits(parser *p, uint32_t first, uint32_t last)
{
    unsigned from = 0xFFu << (first & 7) & 0xFF, to = 0xFFu >> (7 - (last & 7));
    unsigned char *begin = p->bits + (first >> 3), *end = p->bits + (last >> 3);
    if (begin == end) {
        *begin = (unsigned char)(*begin | (from & to));
        return;
    }
    *begin = (unsigned char)(*begin | from), *end = (unsigned char)(*end | to);
    memset(begin + 1, 0xFF, (size_t)(end - begin - 1));
}

static void invert_bits(parser *p)
{
    for (size_t i = 0; i < BITMAP_BYTES; i++) p->bits[i] = (unsigned char)~p->bits[i];
}

/* Under (?i) letters mean both cases; two of the ASCII ones have a third relative. */
static void put_character(parser *p, uint32_t c)
{
    uint32_t lower = c | 0x20;
    put_bits(p, c, c);
    if (!p->fold || lower < 'a' || lower > 'z' || c > 'z') return;
    put_bits(p, lower, lower), put_bits(p, lower - 32, lower - 32);
    if (lower == 's') put_bits(p, 0x17F, 0x17F);
    if (lower == 'k') put_bits(p, 0x212A, 0x212A);
}

static void put_white(parser *p)
{
    static const uint32_t white[][2] = {{0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                        {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                        {0x205F, 0x205F}, {0x3000, 0x3000}};
    for (size_t i = 0; i < sizeof white / sizeof *white; i++) put_bits(p, white[i][0], white[i][1]);
}

/* \p{Lu}, \p{L}: all categories that begin so. */
static int put_property(parser *p)
{
    const char *name = p->at;
    size_t n = 0;
    int found = 0;
    while (name + n < p->end && name[n] != '}') n++;
    if (n < 1 || n > 2 || name + n == p->end) return refuse(p, "an unknown property");
    for (size_t i = 0; i < cv_n_categories; i++) {
        uint32_t next = i + 1 < cv_n_categories ? cv_categories[i + 1] >> 5 : CV_LAST_CHARACTER + 1;
        if (memcmp(cv_category_names[cv_categories[i] & 31], name, n) != 0) continue;
        put_bits(p, cv_categories[i] >> 5, next - 1);
        found = 1;
    }
    if (!found) return refuse(p, "an unknown property");
    p->at += n + 1;
    return 0;
}

/* \x{HEX}; -1 if it is none. */
static int64_t take_hex(parser *p)
{
    char *end = NULL;
    int64_t c = p->end - p->at > 4 ? strtol(p->at + 3, &end, 16) : -1; /* a zero byte follows each pattern */
    if (!end || end >= p->end || end - p->at > 10 || *end != '}' || c < 0 || c > CV_LAST_CHARACTER) return -1;
    p->at = end + 1;
    return c;
}

/* One character, as it stands or behind a backslash; -1 if there is none. */
static int64_t take_character(parser *p)
{
    static const char letters[] = "rntfv", meant[] = "\r\n\t\f\v";
    const unsigned char *s = (const unsigned char *)p->at;
    size_t left = (size_t)(p->end - p->at), n = left < 1 ? 0 : s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (follows(p, "\\x{")) return take_hex(p);
    if (left > 1 && s[0] == '\\') {
        const char *letter = s[1] ? strchr(letters, s[1]) : NULL;
        if (!letter && ((s[1] | 0x20) >= 'a' && (s[1] | 0x20) <= 'z')) return -1;
        if (s[1] >= 0x80 || (s[1] >= '0' && s[1] <= '9')) return -1;
        p->at += 2;
        return letter ? meant[letter - letters] : s[1];
    }
    if (n < 1 || n > left) return -1;
    int64_t c = n == 1 ? s[0] : s[0] & (0x7F >> n);
    for (size_t i = 1; i < n; i++) c = c << 6 | (s[i] & 0x3F);
    p->at += n;
    return c > CV_LAST_CHARACTER ? -1 : c;
}

/* \s, \p{..} or a character; within brackets also a range. */
static int put_member(parser *p, int in_brackets)
{
    if (skip(p, "\\s")) {
        put_white(p);
        return 0;
    }
    if (skip(p, "\\p{")) return put_property(p);
    int64_t first = take_character(p), last = first;
    if (first < 0) return refuse(p, "an unknown character");
    if (in_brackets && p->end - p->at > 1 && p->at[0] == '-' && p->at[1] != ']') {
        p->at++;
        last = take_character(p);
        if (last < first) return refuse(p, "no range of characters");
        put_bits(p, (uint32_t)first, (uint32_t)last);
    }
    put_character(p, (uint32_t)first);
    return 0;
}

static int read_brackets(parser *p)
{
    int inverted = skip(p, "^");
    do {
        if (p->at == p->end) return refuse(p, "brackets that do not close");
        if (put_member(p, 1) < 0) return -1;
    } while (!skip(p, "]"));
    if (inverted) invert_bits(p);
    return 0;
}

static int read_set(parser *p)
{
    memset(p->bits, 0, BITMAP_BYTES);
    if (skip(p, "[")) return read_brackets(p);
    if (skip(p, "\\S")) {
        put_white(p);
        invert_bits(p);
        return 0;
    }
    if (p->at < p->end && strchr(".()*+?{}^", *p->at)) return refuse(p, "not known here");
    return put_member(p, 0);
}

static int has_bit(const parser *p, uint32_t c)
{
    return p->bits[c >> 3] >> (c & 7) & 1;
}

/* The first character from c on that is in the set, or that is not; N_BITS: none. */
static uint32_t next_bit(const parser *p, uint32_t c, int in)
{
    static const unsigned char others[2][WORD] = {{255, 255, 255, 255, 255, 255, 255, 255}, {0}};
    while (c < N_BITS && has_bit(p, c) != in) {
        int skips = c % (8 * WORD) == 0 && memcmp(p->bits + c / 8, others[in], WORD) == 0;
        c += skips ? 8 * WORD : 1;
    }
    return c < N_BITS ? c : N_BITS;
}

/* The set of the bitmap: one that is there already, or a new one. -1 with err. */
static int64_t keep_set(parser *p)
{
    cv_words *w = p->words;
    size_t n = 0, begin = w->n_ranges, length;
    for (uint32_t c = next_bit(p, 0, 1); c < N_BITS; c = next_bit(p, next_bit(p, c, 0), 1)) n++;
    void *ranges = cv_grow(w->range, begin + n + 1, sizeof *w->range, p->err);
    if (!ranges) return -1;
    w->range = ranges;
    void *firsts = cv_grow(w->set_first, w->n_sets + 2, sizeof *w->set_first, p->err);
    if (!firsts) return -1;
    w->set_first = firsts, w->set_first[0] = 0;
    for (uint32_t c = next_bit(p, 0, 1), i = 0, after; c < N_BITS; c = next_bit(p, after, 1), i++) {
        after = next_bit(p, c, 0);
        w->range[begin + i][0] = c, w->range[begin + i][1] = after - 1;
    }
    for (uint32_t i = 0; i < w->n_sets; i++) {
        length = w->set_first[i + 1] - w->set_first[i];
        if (length == n && memcmp(w->range + w->set_first[i], w->range + begin, n * sizeof *w->range) == 0) return i;
    }
    w->n_ranges += n;
    w->set_first[++w->n_sets] = (uint32_t)w->n_ranges;
    return (int64_t)w->n_sets - 1;
}

/* ---- items ---- */

static int take_count(parser *p, uint32_t *count)
{
    const char *begin = p->at;
    for (*count = 0; p->at < p->end && *p->at >= '0' && *p->at <= '9' && *count < MOST_COUNT; p->at++)
        *count = *count * 10 + (uint32_t)(*p->at - '0');
    return p->at > begin && *count < MOST_COUNT;
}

static int read_quantifier(parser *p, cv_item *item)
{
    item->least = item->most = 1;
    if (skip(p, "{")) {
        if (!take_count(p, &item->least)) return refuse(p, "no count");
        item->most = item->least;
        if (skip(p, ",") && !take_count(p, &item->most)) item->most = 0;
        if (!skip(p, "}") || (item->most && item->most < item->least)) return refuse(p, "no counts");
    } else if (skip(p, "*")) item->least = item->most = 0;
    else if (skip(p, "+")) item->most = 0;
    else if (skip(p, "?")) item->least = 0;
    else return 0;
    if (skip(p, "+")) item->kind |= CV_ITEM_KEEPS;
    else if (follows(p, "?")) return refuse(p, "a quantifier that is not greedy");
    return 0;
}

static int read_item(parser *p, cv_item *item)
{
    memset(item, 0, sizeof *item);
    item->kind = CV_ITEM_AT_END;
    if (skip(p, "$")) return 0;
    item->kind = CV_ITEM_CONTRACTION;
    if (skip(p, contractions)) return 0;
    int before = skip(p, "(?!");
    item->kind = before ? CV_ITEM_NOT_BEFORE : CV_ITEM_SET;
    if (read_set(p) < 0 || (before && !skip(p, ")"))) return before ? refuse(p, "not known here") : -1;
    int64_t set = keep_set(p);
    if (set < 0) return -1;
    item->set = (uint32_t)set;
    return before ? 0 : read_quantifier(p, item);
}

static int put_alternative(parser *p, const cv_item *items, size_t n)
{
    cv_words *w = p->words;
    if (n > CV_MOST_ITEMS_IN_ALL - w->n_items) return refuse(p, "more parts than the 1024 that a file can hold");
    cv_item *grown = cv_grow(w->item, w->n_items + n + 1, sizeof *grown, p->err);
    if (!grown) return -1;
    w->item = grown;
    memcpy(grown + w->n_items, items, n * sizeof *grown);
    grown[w->n_items].kind |= CV_ITEM_ALTERNATIVE;
    w->n_items += n;
    return 0;
}

/* Items up to a | or the end, or the ) of a group. */
static int read_items(parser *p, cv_item *items, size_t *n, int in_group)
{
    while (p->at < p->end && *p->at != '|' && !(in_group && *p->at == ')')) {
        if (!in_group && !follows(p, contractions) && (follows(p, "(?:") || follows(p, "(?i:"))) break;
        if (*n == CV_MOST_ITEMS) return refuse(p, "too many parts");
        if (read_item(p, &items[*n]) < 0) return -1;
        ++*n;
    }
    return 0;
}

/* items, then a group that ends the alternative: (?:a|b) or (?i:a|b). Each of its members is an alternative. */
static int read_group(parser *p, cv_item *items, size_t n)
{
    p->fold = skip(p, "(?i:");
    if (!p->fold && !skip(p, "(?:")) return refuse(p, "not known here");
    do {
        size_t all = n;
        if (read_items(p, items, &all, 1) < 0) return -1;
        if (all == n) return refuse(p, "an empty alternative");
        if (put_alternative(p, items, all) < 0) return -1;
    } while (skip(p, "|"));
    p->fold = 0;
    if (!skip(p, ")") || (p->at < p->end && *p->at != '|')) return refuse(p, "a group must end its alternative");
    return 0;
}

static int read_alternative(parser *p)
{
    cv_item items[CV_MOST_ITEMS];
    size_t n = 0;
    if (read_items(p, items, &n, 0) < 0) return -1;
    if (p->at < p->end && *p->at == '(') return read_group(p, items, n);
    if (n == 0) return refuse(p, "an empty alternative");
    return put_alternative(p, items, n);
}

int cv_words_add(cv_words *w, const char *pattern, size_t bytes, cv_error *err)
{
    parser p = {w, pattern, pattern, pattern + bytes, NULL, 0, err};
    size_t first = w->n_items;
    int failed;
    if (bytes > CV_MOST_PATTERN_BYTES)
        return cv_fail(err, "the pre-tokenizer's pattern has %.0f bytes; at most %d are supported", (double)bytes,
                       (int)CV_MOST_PATTERN_BYTES);
    p.bits = cv_alloc(BITMAP_BYTES, 1, err);
    if (!p.bits) return -1;
    do failed = read_alternative(&p);
    while (!failed && skip(&p, "|"));
    if (!failed && p.at != p.end) failed = refuse(&p, "not known here");
    if (!failed) w->item[first].kind |= CV_ITEM_STAGE; /* NOLINT: an alternative that was read has put items */
    free(p.bits);
    return failed;
}

/* The item without which the alternative of n items cannot match, if it is one character of a set and the others let it
 * have any; or NULL. */
static const cv_item *needed_item(const cv_item *items, size_t n)
{
    const cv_item *needed = NULL;
    for (size_t i = 0; i < n; i++) {
        uint32_t kind = items[i].kind & 15;
        if (kind == CV_ITEM_NOT_BEFORE || kind == CV_ITEM_AT_END || items[i].kind & CV_ITEM_KEEPS) return NULL;
        if (kind != CV_ITEM_SET || items[i].least == 0) continue;
        if (needed || items[i].least > 1) return NULL;
        needed = &items[i];
    }
    return needed;
}

/* Together such items must have every character. */
static int match_all(const cv_words *w, unsigned char *seen)
{
    uint32_t c = 0;
    for (size_t i = 0, n; i < w->n_items; i += n) {
        for (n = 1; i + n < w->n_items && !(w->item[i + n].kind & CV_ITEM_ALTERNATIVE);) n++;
        const cv_item *needed = needed_item(&w->item[i], n);
        for (uint32_t r = needed ? w->set_first[needed->set] : 0; needed && r < w->set_first[needed->set + 1]; r++)
            memset(seen + w->range[r][0], 1, w->range[r][1] - w->range[r][0] + 1);
    }
    while (c <= CV_LAST_CHARACTER && seen[c]) c++;
    return c > CV_LAST_CHARACTER;
}

int cv_words_match_all(const char *pattern, size_t bytes, cv_error *err)
{
    cv_words words;
    unsigned char *seen = cv_alloc(N_BITS, 1, err);
    memset(&words, 0, sizeof words);
    int result = !seen || cv_words_add(&words, pattern, bytes, err) < 0 ? -1 : match_all(&words, seen);
    cv_words_free(&words);
    free(seen);
    return result;
}

void cv_words_free(cv_words *w)
{
    free(w->item);
    free(w->range);
    free(w->set_first);
    memset(w, 0, sizeof *w);
}
