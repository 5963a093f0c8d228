/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_slices.c - a step cut into slices gives the bits of a whole one, and what happens in between is sound
 *
 *     test_slices MODEL.harp
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../harp.h"
#include "test.h"

enum { PROMPT = 21, STEPS = 12 };
static int32_t prompt[PROMPT];

static uint64_t mix_step(uint64_t hash, const harp_session *s, const harp_step *step, int32_t vocab)
{
    hash = mix(hash, &step->token, 4);
    hash = mix(hash, &step->vanilla_token, 4);
    hash = mix(hash, &step->entropy, 4);
    hash = mix(hash, &step->logprob, 4);
    hash = mix(hash, harp_logits(s, HARP_VANILLA), (size_t)vocab * 4);
    if (step->reframed) hash = mix(hash, harp_logits(s, HARP_REFRAMED), (size_t)vocab * 4);
    return mix(hash, harp_logits(s, HARP_COMBINED), (size_t)vocab * 4);
}

/* A step in slices; how many there were goes to *slices. */
static harp_status sliced(harp_session *s, int64_t budget, harp_step *step, int64_t *slices)
{
    harp_error err;
    int done = 0;
    while (!done) {
        harp_status status = harp_step_some(s, budget, &done, step, &err);
        if (status) return status;
        ++*slices;
        if (!done && harp_logits(s, HARP_VANILLA)) return HARP_ERR_ARGUMENT; /* there are none yet */
    }
    return HARP_OK;
}

/* budget 0: whole steps, after harp_feed. */
static uint64_t run(const harp_model *m, harp_params p, int64_t budget, int64_t *slices)
{
    harp_session *s = open_session(m, &p);
    harp_step step;
    uint64_t hash = MIX_START;
    int i;
    if (budget == 0) CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    else CHECK(harp_queue(s, prompt, PROMPT, NULL) == HARP_OK);
    for (i = 0; i < STEPS; i++) {
        harp_status status = budget == 0 ? harp_next(s, &step, NULL) : sliced(s, budget, &step, slices);
        CHECK(status == HARP_OK);
        if (status) break;
        hash = mix_step(hash, s, &step, harp_model_info(m).vocab);
    }
    harp_session_close(s);
    return hash;
}

static void test_same_bits(const harp_model *m)
{
    static const int64_t budgets[] = {1, 30000, 1000000};
    int frame, schedule, k, threads, drafts;
    size_t b;
    for (frame = HARP_FRAME_STREAM; frame <= HARP_FRAME_LAST; frame++)
        for (schedule = HARP_SCHEDULE_AUTO; schedule <= HARP_SCHEDULE_FUSED; schedule++)
            for (k = 1; k <= 3; k += 2)
                for (threads = 1; threads <= 2; threads++)
                    for (drafts = 0; drafts <= 3; drafts += 3) {
                        harp_params p = harp_defaults();
                        uint64_t whole;
                        int64_t before = INT64_MAX;
                        p.context = 64, p.batch = 8, p.theta = 0.5f, p.frame = (harp_frame)frame;
                        p.schedule = (harp_schedule)schedule, p.reframings = k, p.threads = threads;
                        p.drafts = drafts, p.reframe_from = k == 3 ? 5 : 0;
                        if (threads == 2 && (k == 3 || schedule == HARP_SCHEDULE_AUTO)) continue; /* enough is enough */
                        whole = run(m, p, 0, NULL);
                        for (b = threads == 2; b < sizeof budgets / sizeof *budgets; b++) {
                            int64_t slices = 0;
                            CHECK(run(m, p, budgets[b], &slices) == whole);
                            CHECK(slices < before && slices >= STEPS);
                            before = slices;
                        }
                    }
}

/* About the budget: a slice costs it, and one item more at the most. What a step costs is known for a plain row. */
static void test_budget(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    harp_step step;
    int64_t weights = harp_model_info(m).parameters, slices = 0, budget = weights / 10;
    int done;
    p.harp = 0, p.context = 64;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, 2, NULL) == HARP_OK && sliced(s, budget, &step, &slices) == HARP_OK);
    CHECK(slices >= 8 && slices <= 24);
    for (budget = 0; budget >= -1; budget--) { /* of nothing: the least that can be done */
        CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_feed(s, prompt, 2, NULL) == HARP_OK);
        for (slices = 0, done = 0; !done && slices < 10000; slices++)
            if (harp_step_some(s, budget, &done, &step, NULL)) break;
        CHECK(done && slices > 24);
    }
    harp_session_close(s);
}

static int cancel_now(void *user)
{
    return *(int *)user;
}

/* Makes `n` slices of a step, too small to complete it, and leaves it there. */
static void begin(harp_session *s, int n)
{
    harp_error err;
    int done = 0;
    for (; n > 0; n--) CHECK(harp_step_some(s, 6000, &done, NULL, &err) == HARP_OK && !done);
}

static void again(harp_session *s, int n)
{
    CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    begin(s, n);
}

static uint64_t rest(const harp_model *m, harp_session *s)
{
    harp_step step;
    uint64_t hash = 1;
    int i;
    for (i = 0; i < 5; i++) {
        CHECK(harp_next(s, &step, NULL) == HARP_OK);
        hash = mix_step(hash, s, &step, harp_model_info(m).vocab);
    }
    return hash;
}

/* After `n` slices something else happens; then the session goes on as one that never began a step. */
static void test_in_between(const harp_model *m, harp_frame frame, int n)
{
    harp_params p = harp_defaults();
    harp_session *s, *t;
    harp_error err;
    uint64_t expected;
    int stop = 0, done;
    size_t bytes = 0;
    void *image;
    p.context = 64, p.batch = 4, p.theta = 0.2f, p.frame = frame, p.reframings = 2, p.reframe_from = 3;
    p.cancel = cancel_now, p.cancel_user = &stop;
    s = open_session(m, &p), t = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    expected = rest(m, s);

    again(s, n); /* the whole step finishes what slices began */
    CHECK(rest(m, s) == expected);
    again(s, n);
    CHECK(harp_rewind(s, PROMPT - 4, &err) == HARP_OK && harp_feed(s, prompt + PROMPT - 4, 4, &err) == HARP_OK);
    CHECK(rest(m, s) == expected);
    again(s, n); /* cancelled, and begun again */
    stop = 1;
    CHECK(harp_step_some(s, 20000, &done, NULL, &err) == HARP_ERR_CANCELLED && !done);
    stop = 0;
    CHECK(rest(m, s) == expected);
    again(s, n); /* saved: the image holds the state before the step; this session goes on */
    CHECK(harp_save(s, NULL, 0, &bytes, &err) == HARP_OK);
    image = malloc(bytes);
    CHECK(harp_save(s, image, bytes, &bytes, &err) == HARP_OK);
    CHECK(rest(m, s) == expected);
    CHECK(harp_restore(t, image, bytes, &err) == HARP_OK && rest(m, t) == expected);
    again(s, n); /* restored into the middle of a step */
    CHECK(harp_restore(s, image, bytes, &err) == HARP_OK && rest(m, s) == expected);
    again(s, n);
    p.seed = 99;
    CHECK(harp_tune(s, &p, &err) == HARP_OK);
    p.seed = 0;
    CHECK(harp_tune(s, &p, &err) == HARP_OK && rest(m, s) == expected);
    free(image);
    harp_session_close(s), harp_session_close(t);
}

int main(int argc, char **argv)
{
    harp_model *m = NULL;
    harp_error err;
    int frame, n;
    if (argc < 2 || harp_open(&m, argv[1], &err)) return printf("0 passed, 1 failed\n"), 2;
    for (n = 0; n < PROMPT; n++) prompt[n] = (n * 37 + 11) % 200 + n % 2;
    for (n = 12; n < PROMPT; n++) prompt[n] = prompt[n - 8]; /* something to look up */
    test_same_bits(m);
    test_budget(m);
    for (frame = HARP_FRAME_STREAM; frame <= HARP_FRAME_LAST; frame++)
        for (n = 1; n < 60; n += 7) test_in_between(m, (harp_frame)frame, n);
    harp_close(m);
    return conclude();
}
