/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * inside.c - the library with windows in it: see inside.h */
#include "../harp_impl.c"
#include "inside.h"

inside_cutter inside_begin_cutting(const uint8_t *text, size_t bytes)
{
    inside_cutter c;
    int32_t s;
    c.ends[0] = text + bytes, c.patience = HP_PATIENCE * bytes;
    for (s = 1; s <= HP_MAX_WORD_STAGES; s++) c.ends[s] = text;
    return c;
}

const uint8_t *inside_word_end(const harp_model *m, inside_cutter *c, const uint8_t *p)
{
    return hp_program_word(&m->tokenizer, c->ends, p, &c->patience);
}

static hp_encoder encoder_of(const harp_model *m)
{
    hp_encoder e;
    memset(&e, 0, sizeof e);
    e.m = m, e.t = &m->tokenizer;
    return e;
}

inside_joined inside_join(const harp_model *m, const uint8_t *word, size_t bytes, uint32_t *symbols, int32_t *tokens,
                          size_t capacity)
{
    inside_joined n = {0, 0};
    hp_encoder e = encoder_of(m);
    size_t i;
    e.tokens = tokens, e.capacity = capacity;
    if (hp_begin_word(&e, bytes)) return n;
    for (i = 0; i < bytes; i++) hp_add_byte(&e, word[i]);
    n.before = e.n_symbols;
    for (i = 0; i < n.before && i < capacity; i++) symbols[i] = e.symbol[i].id;
    hp_join(&e);
    n.after = e.n;
    hp_free_room(&e, &e.word);
    return n;
}

uint32_t inside_merge(const harp_model *m, uint32_t left, uint32_t right, uint32_t *result)
{
    return hp_find_merge(&m->tokenizer, left, right, result);
}

void inside_find_added(const harp_model *m, const uint8_t *text, size_t bytes, int32_t *found)
{
    static const harp_span span = {0, 0};
    hp_encoder e = encoder_of(m);
    size_t i;
    e.text = text, e.end = text + bytes, e.spans = &span, e.n_spans = 1, e.span_end = text;
    hp_note_starts(&e);
    for (i = 0; i < bytes; i++) {
        int32_t k = hp_added_at(&e, text + i);
        found[i] = k < 0 ? -1 : (int32_t)hp_u32_at(e.t->added, 2 * (size_t)k);
    }
}

float inside_beam_score(const harp_session *s, int32_t beam) { return s->beams[beam].score; }

int32_t inside_unused_drafts(const harp_session *s) { return s->n_drafts; }

int32_t inside_streams(const harp_session *s) { return s->n_streams; }

void inside_forget_statistics(void *image)
{
    memset((uint8_t *)image + offsetof(hp_saved_head, stats), 0, sizeof(harp_stats));
}

void inside_describe(const harp_session *s, void *image)
{
    hp_saved_head own = hp_describe(s);
    memcpy(image, &own, offsetof(hp_saved_head, n_tokens));
}

size_t inside_image_head(const harp_session *s) { return sizeof(hp_saved_head) + 8 * (size_t)s->n_streams; }

size_t inside_image_unfinished(void) { return offsetof(hp_saved_head, n_unfinished); }

typedef char inside_has_all_stages[(int)INSIDE_STAGES == (int)HP_MAX_WORD_STAGES ? 1 : -1];
