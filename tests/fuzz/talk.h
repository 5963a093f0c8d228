/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * talk.h - harp_render, whatever the model's table says: in blocks of exactly the size that it asked for */
#ifndef HARP_FUZZ_TALK_H
#define HARP_FUZZ_TALK_H

#include "fuzz.h"

enum { FZ_MESSAGES = 6 };

/* The tokens of what was rendered: there are some, or the tokenizer has none for these bytes. */
static inline void fz_encode_rendering(const harp_model *m, const harp_rendering *r)
{
    harp_error err;
    size_t n = 0, need = 0;
    int32_t *tokens;
    harp_status status = harp_encode_spans(m, r->text, r->spans, r->n_spans, r->flags, NULL, 0, &need, &err);
    fz_expect(status == (need > 0 ? HARP_ERR_MEMORY : HARP_OK));
    tokens = malloc(need ? need * sizeof *tokens : 1);
    fz_expect(tokens);
    status = harp_encode_spans(m, r->text, r->spans, r->n_spans, r->flags, tokens, need, &n, &err);
    fz_expect(status == HARP_OK && n == need);
    free(tokens);
}

/* One conversation: asked for its size, then written. */
static inline harp_status fz_render(const harp_model *m, const harp_message *messages, size_t n, unsigned flags)
{
    harp_rendering r;
    harp_error err;
    harp_status status;
    size_t i, sum = 0, bytes, spans;
    memset(&r, 0, sizeof r);
    status = harp_render(m, messages, n, flags, &r, &err);
    fz_expect((status == HARP_OK) == (err.text[0] == 0));
    if (status != HARP_OK && status != HARP_ERR_MEMORY) return status;
    bytes = r.bytes, spans = r.n_spans;
    fz_expect((status == HARP_OK) == (bytes == 0 && spans == 0) && spans <= 2 * n + 1);
    r.text = malloc(bytes ? bytes : 1), r.spans = malloc(spans ? spans * sizeof *r.spans : 1);
    r.capacity = bytes, r.span_capacity = spans;
    fz_expect(r.text && r.spans && harp_render(m, messages, n, flags, &r, &err) == HARP_OK);
    for (i = 0; i < r.n_spans; sum += r.spans[i++].bytes) fz_expect(r.spans[i].bytes > 0);
    fz_expect(r.bytes == bytes && r.n_spans == spans && sum == bytes);
    if (harp_model_info(m).tokenizer) fz_encode_rendering(m, &r);
    free(r.text), free(r.spans);
    return HARP_OK;
}

/* Conversations of every length, with and without a system message, each way to render them; the last call's status. */
static inline harp_status fz_talk(const harp_model *m)
{
    static const char *const texts[FZ_MESSAGES] = {
        " Be <b>brief</b>.\n", "\t<s>hi</s> \xFF", "<think>a</think>b</think>\n\n c \n", "", "</think>",
        "ab \xC3\xA9 12"};
    harp_message messages[FZ_MESSAGES];
    harp_status status = HARP_OK;
    size_t i, n;
    unsigned flags, first;
    for (i = 0; i < FZ_MESSAGES; i++) {
        messages[i].role = i == 0 ? HARP_ROLE_SYSTEM : i % 2 ? HARP_ROLE_USER : HARP_ROLE_ASSISTANT;
        messages[i].text = texts[i], messages[i].bytes = strlen(texts[i]);
    }
    for (first = 0; first < 2; first++)
        for (n = 1; n + first <= FZ_MESSAGES; n++)
            for (flags = 0; flags < 4; flags++) status = fz_render(m, messages + first, n, flags);
    return status;
}

#endif
