/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_session.c - a session driven in any order, cancelled anywhere, saved and restored
 *
 * The input: two bytes choose the settings, then each pair of bytes is a call. After every failed call the session must
 * be as it was (its saved state tells), and what it saves must restore. Then come changes to the session's own image,
 * three bytes each, its checksum made right after each; or, in the last place, an image as it stands. What takes an
 * image, whatever it is, must go on. */
#include "../../harp.h"
#include "../inside.h"
#include "make_harp.h"

enum { SHAPES = 4, CONTEXT = 40, MOST_IMAGE = 1 << 18, CALLS_END = 0xFE, IMAGE_BEGINS = 0xFF };

static harp_model *models[SHAPES];
static harp_params params; /* the session's */
static int countdown;

static void open_models(void)
{
    static const unsigned seeds[SHAPES] = {2, 9, 16, 31};
    int i;
    if (models[0]) return;
    for (i = 0; i < SHAPES; i++) {
        fz_shape s = fz_small_shape(seeds[i]);
        harp_source source = harp_source_defaults();
        uint8_t *data = malloc(1 << 18);
        fz_expect(data);
        source.data = data, source.bytes = fz_write_harp(&s, data, 1 << 18);
        fz_expect(harp_open_source(&models[i], &source, NULL) == HARP_OK);
    }
}

static int cancel(void *user)
{
    (void)user;
    return countdown > 0 && --countdown == 0;
}

static harp_params pick_params(unsigned a, unsigned b)
{
    harp_params p = harp_defaults();
    p.context = CONTEXT, p.cancel = cancel, p.batch = 1 + (int32_t)(a & 7);
    p.frame = (harp_frame)((a >> 3) % 3), p.cache = (harp_cache)((a >> 5) % 3);
    p.schedule = b & 1 ? HARP_SCHEDULE_FUSED : HARP_SCHEDULE_LAZY, p.reframings = 1 + (int32_t)(b >> 1 & 1);
    p.reframe_from = (b >> 2 & 7) == 7 ? HARP_FROM_PROMPT : (int32_t)(b >> 2 & 7) * 5;
    p.theta = b >> 5 & 1 ? 2.0f : -1.0f, p.harp = (b >> 6 & 3) != 3;
    p.beams = p.harp ? 0 : 2, p.drafts = (int32_t)(a >> 2 & 2), p.beam_length = 6;
    return p;
}

static uint8_t before[MOST_IMAGE], after[MOST_IMAGE];

static size_t save(const harp_session *s, uint8_t *image)
{
    size_t bytes = 0;
    fz_expect(harp_save(s, image, MOST_IMAGE, &bytes, NULL) == HARP_OK);
    return bytes;
}

static int refuse(void *user, int32_t position, const float *logits)
{
    (void)user, (void)logits;
    return position % 7 == 6;
}

static harp_status tune(harp_session *s, unsigned b)
{
    harp_params p = params;
    harp_status status;
    p.theta = (float)(b % 5) - 1.0f, p.delta = (float)(b % 3) * 0.3f, p.seed = b / 16;
    p.reframe_from = (int32_t)(b % 4) * 9 - 1, p.temperature = (float)(b % 2), p.harp = (b >> 5 & 1) != 0;
    if (b >> 6 == 3) p.batch++;
    status = harp_tune(s, &p, NULL);
    if (status == HARP_OK) params = p;
    return status;
}

static int refuse_step(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    (void)user, (void)vanilla, (void)combined;
    return step->position % 5 == 4;
}

static int refuse_text(void *user, const char *text, size_t bytes, const harp_step *step)
{
    (void)user, (void)text, (void)step;
    return bytes > 3;
}

static harp_status beam(harp_session *s, unsigned b)
{
    harp_beam_options o = harp_beam_defaults();
    o.max_tokens = 1 + (int32_t)(b % 7), o.top_k = 1 + (int32_t)(b % 3), o.alpha = (float)(b % 5) - 2.0f;
    return harp_beam(s, &o, NULL, NULL);
}

static harp_status call(harp_session *s, const harp_model *model, unsigned what, unsigned b)
{
    int done;
    int32_t tokens[8], i, n = 0, vocab = harp_model_info(model).vocab;
    for (i = 0; i < 8; i++) tokens[i] = (int32_t)(b * 7 + (unsigned)i * 11) % (vocab + (b == 255));
    harp_tokens(s, &n);
    switch (what % 14) {
    case 0: return harp_feed(s, tokens, (int32_t)(b % 9), NULL);
    case 1:
    case 2: return harp_next(s, NULL, NULL);
    case 3: return harp_rewind(s, b % 4 ? n - (int32_t)(b % 4) : (int32_t)b / 4, NULL);
    case 4: return harp_score(s, tokens, (int32_t)(b % 9), refuse, NULL, NULL);
    case 5: return tune(s, b);
    case 6: countdown = (int)b; return HARP_OK;
    case 7: return harp_queue(s, tokens, (int32_t)(b % 9), NULL);
    case 8: return harp_step_some(s, (int64_t)b * 400, &done, NULL, NULL);
    case 9: return harp_score_harp(s, tokens, (int32_t)(b % 9), refuse_step, NULL, NULL);
    case 10: return harp_pause(s, tokens[0], (int32_t)(b % 4), NULL);
    case 11: return beam(s, b);
    case 12: /* the one call that keeps what it had done before it failed */
        harp_generate(s, b & 1 ? "ab it's 12" : NULL, (int32_t)(b % 5), refuse_text, NULL, NULL);
        return HARP_OK;
    default: return harp_restore(s, before, save(s, before), NULL);
    }
}

/* Work that was done may stay done, and is counted; nothing else may differ. */
static int same_state(const harp_session *s)
{
    int32_t streams = inside_streams(s), n = 0, r, was[2], is[2]; /* a stream's base and length */
    size_t tokens = inside_image_head(s), bounds = tokens - 8 * (size_t)streams;
    harp_tokens(s, &n);
    inside_forget_statistics(before), inside_forget_statistics(after);
    if (memcmp(before, after, bounds) != 0) return 0;
    if (memcmp(before + tokens, after + tokens, 4 * (size_t)n) != 0) return 0;
    for (r = 0; r < streams && params.frame == HARP_FRAME_STREAM; r++) {
        memcpy(was, before + bounds + 8 * (size_t)r, 8), memcpy(is, after + bounds + 8 * (size_t)r, 8);
        if (is[1] < was[1] || (was[1] > 0 && is[0] != was[0])) return 0;
    }
    return 1;
}

/* Restores bytes of `before`, their checksum behind them. Refused, it changes nothing; taken, the session goes on, and
 * saves what it can restore. */
static void restore_sealed(harp_session *s, size_t bytes)
{
    uint32_t crc = hf_crc(0, before, bytes), old = hf_crc(0, after, save(s, after));
    int i;
    memcpy(before + bytes, &crc, 4);
    if (harp_restore(s, before, bytes + 4, NULL) != HARP_OK) {
        fz_expect(hf_crc(0, after, save(s, after)) == old);
        return;
    }
    fz_expect(harp_restore(s, after, save(s, after), NULL) == HARP_OK);
    for (i = 0; i < 4; i++) harp_next(s, NULL, NULL);
    fz_expect(harp_restore(s, after, save(s, after), NULL) == HARP_OK);
}

static void restore_input(harp_session *s, const uint8_t *data, size_t bytes)
{
    if (bytes > MOST_IMAGE - 4) bytes = MOST_IMAGE - 4;
    memcpy(before, data, bytes);
    if (bytes >= inside_image_head(s)) inside_describe(s, before);
    restore_sealed(s, bytes);
}

/* The session's own image with one number of it changed, mostly in the head and the bounds; or cut, or longer. */
static void restore_changed(harp_session *s, unsigned where, unsigned how, unsigned value)
{
    size_t bytes = save(s, before) - 4, head = inside_image_head(s) + 16;
    size_t at = where < 200 ? where * 4 % head : bytes * where / 256;
    unsigned state = value;
    uint64_t number = how & 4 ? fz_awkward(&state) : value;
    size_t size = how & 1 ? 4 : 8;
    if (at + size > bytes) at = bytes - size;
    if ((how & 0x38) == 0x38) bytes = bytes * value / 256 + 8;
    else if ((how & 0x38) == 0x30) bytes += value;
    else if (how & 2) before[at] = (uint8_t)(before[at] + value);
    else hf_store(before + at, number, (int)size);
    restore_sealed(s, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const harp_model *model;
    harp_session *s = NULL;
    size_t at;
    open_models();
    if (bytes < 4) return 0;
    model = models[data[1] % SHAPES], params = pick_params(data[0], data[1]);
    countdown = 0;
    if (harp_session_open(&s, model, &params, NULL)) return 0;
    for (at = 2; at + 1 < bytes && at < 66 && data[at] < CALLS_END; at += 2) {
        int32_t n = 0, m = 0;
        harp_tokens(s, &n);
        save(s, before);
        if (call(s, model, data[at], data[at + 1]) == HARP_OK) {
            fz_expect(harp_restore(s, after, save(s, after), NULL) == HARP_OK);
            continue;
        }
        save(s, after);
        harp_tokens(s, &m);
        fz_expect(m == n);
        fz_expect(same_state(s));
        fz_expect(harp_restore(s, after, save(s, after), NULL) == HARP_OK);
    }
    countdown = 0;
    if (at < bytes && data[at] == CALLS_END)
        for (at++; at + 2 < bytes && at < 160; at += 3) restore_changed(s, data[at], data[at + 1], data[at + 2]);
    else if (at < bytes && data[at] == IMAGE_BEGINS) restore_input(s, data + at + 1, bytes - at - 1);
    harp_session_close(s);
    return 0;
}
