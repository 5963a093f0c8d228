/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_together.c - sessions that share an engine have the bits that each has alone, and the numbers that others made;
 * forks, those of a session of their own; and wrong uses are told
 *
 *     test_together MODEL.harp GOLDEN_FOLDER
 */
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../harp.h"
#include "test.h"
#include "golden.h"

enum { TALKS = 8, STEPS = 10, CONTEXT = 96, MOST_PROMPT = 70 };

static uint64_t random_state = 1;

static int32_t below(int32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (int32_t)((random_state >> 33) % (uint64_t)n);
}

static uint64_t step_hash(const harp_session *s, const harp_step *step, int32_t vocab)
{
    const float *reframed = harp_logits(s, HARP_REFRAMED);
    uint64_t hash = mix(MIX_START, &step->token, 4);
    hash = mix(hash, &step->vanilla_token, 4);
    hash = mix(hash, &step->entropy, 4);
    hash = mix(hash, &step->logprob, 4);
    hash = mix(hash, harp_logits(s, HARP_VANILLA), (size_t)vocab * 4);
    if (reframed) hash = mix(hash, reframed, (size_t)vocab * 4);
    return mix(hash, harp_logits(s, HARP_COMBINED), (size_t)vocab * 4);
}

/* ---- Alone and among others -------------------------------------------------------------------------------------- */

/* A conversation: how it is asked for, what it gives alone, and how far it has come among the others. */
typedef struct talk {
    harp_params params;
    int32_t prompt[MOST_PROMPT], n_prompt;
    uint64_t alone[STEPS];
    harp_session *session;
    int done;
} talk;

static void draw_talk(talk *t, const harp_model *m)
{
    int32_t i, vocab = harp_model_info(m).vocab;
    memset(t, 0, sizeof *t);
    t->params = harp_defaults();
    t->params.context = CONTEXT, t->params.batch = 7, t->params.theta = 0.5f, t->params.seed = (uint64_t)below(1000);
    t->params.harp = below(4) > 0, t->params.frame = (harp_frame)below(3), t->params.reframings = 1 + below(2);
    t->params.reframe_from = below(3) == 0 ? HARP_FROM_PROMPT : below(20);
    t->params.schedule = (harp_schedule)below(3), t->params.temperature = below(2) ? 0.0f : 1.0f;
    t->params.drafts = below(3) == 0 ? 3 : 0, t->params.cache = (harp_cache)below(3);
    t->params.draft_rule = (harp_draft_rule)below(2);
    t->n_prompt = 1 + below(MOST_PROMPT);
    for (i = 0; i < t->n_prompt; i++) t->prompt[i] = below(vocab < 40 ? vocab : 40);
}

static void run_alone(talk *t, const harp_model *m)
{
    harp_session *s = open_session(m, &t->params);
    harp_step step;
    int i;
    CHECK(harp_feed(s, t->prompt, t->n_prompt, NULL) == HARP_OK);
    for (i = 0; i < STEPS; i++) {
        if (harp_next(s, &step, NULL) != HARP_OK) break;
        t->alone[i] = step_hash(s, &step, harp_model_info(m).vocab);
    }
    CHECK(i == STEPS);
    harp_session_close(s);
}

/* Begins, in some place of the engine's time, or begins once more. */
static void begin(talk *t, const harp_model *m, harp_engine *e)
{
    harp_params p = t->params;
    harp_session_close(t->session);
    p.engine = e, p.batch = 64, p.threads = 1;
    t->session = open_session(m, &p);
    t->done = 0;
    if (t->params.cancel || below(2)) CHECK(harp_queue(t->session, t->prompt, t->n_prompt, NULL) == HARP_OK);
    else CHECK(harp_feed(t->session, t->prompt, t->n_prompt, NULL) == HARP_OK);
}

static void note_steps(talk **who, const harp_member *members, int32_t n, const harp_model *m)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        CHECK(members[i].error.status == HARP_OK);
        if (!members[i].done) continue;
        check(step_hash(who[i]->session, &members[i].step, harp_model_info(m).vocab) == who[i]->alone[who[i]->done],
              "step %d has other bits in company", who[i]->done);
        who[i]->done++;
    }
}

/* Calls for some of those that have begun: together, or for one of them alone, whole or in slices. */
static void advance(talk *talks, const harp_model *m)
{
    static const int64_t budgets[] = {0, 0, 30000, 2000000};
    harp_member members[TALKS];
    talk *who[TALKS];
    int64_t budget = budgets[below(4)];
    int32_t i, n = 0;
    memset(members, 0, sizeof members);
    for (i = 0; i < TALKS; i++)
        if (talks[i].session && talks[i].done < STEPS && below(4)) who[n] = &talks[i], members[n++].session = talks[i].session;
    if (n == 1 && below(2)) {
        members[0].done = 1, members[0].error.status = harp_next(members[0].session, &members[0].step, NULL);
    } else if (n == 1 && below(2)) {
        members[0].error.status = harp_step_some(members[0].session, 40000, &members[0].done, &members[0].step, NULL);
    } else if (n > 0) {
        CHECK(harp_together(members, n, budget, NULL) == HARP_OK);
    }
    note_steps(who, members, n, m);
}

static int all_done(const talk *talks)
{
    int i;
    for (i = 0; i < TALKS; i++)
        if (talks[i].done < STEPS) return 0;
    return 1;
}

static void test_company(const harp_model *m, int32_t batch, int threads, int32_t seats, const char *isa)
{
    static talk talks[TALKS];
    harp_params p = harp_defaults();
    harp_engine *e = NULL;
    int i, round;
    p.context = CONTEXT, p.batch = batch, p.threads = threads, p.seats = seats, p.isa = isa;
    p.reframings = 2, p.drafts = 3;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    for (i = 0; i < TALKS; i++) draw_talk(&talks[i], m), run_alone(&talks[i], m);
    for (round = 0; round < 4000 && !all_done(talks); round++) {
        i = below(TALKS);
        if (!talks[i].session || (talks[i].done > 0 && below(200) == 0)) begin(&talks[i], m, e);
        advance(talks, m);
    }
    CHECK(all_done(talks));
    for (i = 0; i < TALKS; i++) harp_session_close(talks[i].session);
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
}

/* ---- Against numbers that nobody here made ----------------------------------------------------------------------- */

typedef struct witness { /* a golden, and the session that is to have its numbers */
    golden g;
    float *vanilla, *combined; /* [steps][vocab]; NULL: the tokens alone are known */
    harp_session *session;
    int done;
} witness;

static void begin_witness(witness *w, const harp_model *m, harp_engine *e, const char *folder, const char *name)
{
    harp_params p = exact_params();
    size_t n;
    memset(w, 0, sizeof *w);
    if (!load_golden(&w->g, folder, name)) return;
    p.harp = w->g.mask != NULL, p.context = CONTEXT, p.engine = e, p.logit_rows = 1;
    if (p.harp) {
        w->vanilla = load_floats(folder, name, ".vanilla.f32", &n);
        w->combined = load_floats(folder, name, ".combined.f32", &n);
        CHECK(w->vanilla && w->combined && n == (size_t)w->g.n_steps * (size_t)harp_model_info(m).vocab);
        p.theta = (float)w->g.theta, p.delta = (float)w->g.delta, p.beta = (float)w->g.beta;
        p.frame = w->g.keyed ? HARP_FRAME_STREAM : HARP_FRAME_REDRAW;
        p.mask_fn = replay, p.harp_user = &w->g;
    }
    w->session = open_session(m, &p);
    CHECK(harp_queue(w->session, w->g.prompt, w->g.n_prompt, NULL) == HARP_OK);
}

static void check_step(witness *w, const harp_step *step, int32_t vocab)
{
    int i = w->done++;
    size_t at = (size_t)i * (size_t)vocab;
    check(step->token == w->g.token[i], "step %d of a golden, in company: token %d, not %d", i, (int)step->token,
          w->g.token[i]);
    if (!w->vanilla) return;
    CHECK(step->hesitated == w->g.hesitated[i] && fabs((double)step->entropy - w->g.entropy[i]) <= 2e-4);
    CHECK(largest_difference(harp_logits(w->session, HARP_VANILLA), w->vanilla + at, vocab) <= 1e-3);
    CHECK(largest_difference(harp_logits(w->session, HARP_COMBINED), w->combined + at, vocab) <= 1e-3);
}

/* All goldens of a model as members of one step, some of them twice, each with its own prompt, masks and frame. */
static void test_goldens(const harp_model *m, const char *folder, int32_t batch)
{
    static const char *const names[] = {"greedy_p7", "harp_keyed_p7", "harp_official_p7", "harp_keyed_p7", "greedy_p7"};
    enum { WITNESSES = sizeof names / sizeof *names };
    static witness all[WITNESSES];
    harp_params p = exact_params();
    harp_engine *e = NULL;
    int i, turn, running = 1, steps = 0;
    p.context = CONTEXT, p.batch = batch, p.logit_rows = 1;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    for (i = 0; i < WITNESSES; i++) begin_witness(&all[i], m, e, folder, names[i]);
    for (turn = 0; turn < 400 && running; turn++) {
        harp_member members[WITNESSES];
        witness *who[WITNESSES];
        int n = 0;
        memset(members, 0, sizeof members);
        for (i = 0; i < WITNESSES; i++)
            if (all[i].session && all[i].done < all[i].g.n_steps && below(5)) /* one or the other is late */
                who[n] = &all[i], members[n++].session = all[i].session;
        if (n > 0) CHECK(harp_together(members, n, 0, NULL) == HARP_OK);
        for (i = 0; i < n; i++)
            if (members[i].done) check_step(who[i], &members[i].step, harp_model_info(m).vocab);
        for (i = running = 0; i < WITNESSES; i++) running += all[i].session && all[i].done < all[i].g.n_steps;
    }
    CHECK(!running);
    for (i = 0; i < WITNESSES; i++) {
        steps += all[i].done;
        harp_session_close(all[i].session);
        free(all[i].vanilla), free(all[i].combined), free(all[i].g.mask);
    }
    check(steps >= 60, "goldens have only %d steps", steps);
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
}

/* ---- What one member does is its own ----------------------------------------------------------------------------- */

static int refuse_all(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep, int32_t hidden)
{
    (void)user, (void)reframing, (void)step, (void)position, (void)keep, (void)hidden;
    return 1;
}

static int cancel_at_0(void *user) { return (*(int *)user)-- <= 0; }

static int meddled;
static int meddle(void *user)
{
    harp_session **s = user;
    harp_member member;
    memset(&member, 0, sizeof member);
    member.session = s[1];
    meddled += harp_next(s[1], NULL, NULL) == HARP_ERR_ARGUMENT && harp_rewind(s[0], 0, NULL) == HARP_ERR_ARGUMENT
               && harp_together(&member, 1, 0, NULL) == HARP_ERR_ARGUMENT;
    return 0;
}

/* Of three members one fails, each time for another reason, before or in the pass; the others have their own bits. */
static void test_failures(const harp_model *m)
{
    int how, i, countdown = 3;
    for (how = 0; how < 4; how++) {
        talk talks[3];
        harp_params p = harp_defaults();
        harp_engine *e = NULL;
        harp_member members[3];
        harp_session *both[2];
        static const harp_status expected[] = {HARP_ERR_CANCELLED, HARP_ERR_CANCELLED, HARP_ERR_CONTEXT, HARP_OK};
        memset(members, 0, sizeof members);
        p.context = CONTEXT, p.reframings = 2, p.drafts = 3;
        CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
        for (i = 0; i < 3; i++) {
            draw_talk(&talks[i], m);
            talks[i].n_prompt = 1 + talks[i].n_prompt % 9;
            if (talks[i].params.frame == HARP_FRAME_REDRAW) talks[i].params.frame = HARP_FRAME_STREAM;
            run_alone(&talks[i], m);
            if (i == 1 && how == 0) {
                talks[i].params.harp = 1, talks[i].params.schedule = HARP_SCHEDULE_FUSED, talks[i].params.reframe_from = 0;
                talks[i].params.mask_fn = refuse_all;
            }
            if (i == 1 && how == 1) talks[i].params.cancel = cancel_at_0, talks[i].params.cancel_user = &countdown;
            if (i == 1 && how == 3) talks[i].params.cancel = meddle, talks[i].params.cancel_user = both;
            begin(&talks[i], m, e);
            members[i].session = talks[i].session;
            if (i == 1 && how == 2) {
                int32_t token = 1, n = length_of(talks[i].session);
                while (n++ < CONTEXT) CHECK(harp_queue(talks[i].session, &token, 1, NULL) == HARP_OK);
            }
            if (i == 1 && how == 1) countdown = 3; /* the prompt may have been computed */
        }
        both[0] = talks[1].session, both[1] = talks[0].session, meddled = 0;
        while (!members[0].done || !members[2].done) {
            harp_member two[3];
            memcpy(two, members, sizeof two);
            CHECK(harp_together(two, 3, 0, NULL) == HARP_OK);
            for (i = 0; i < 3; i += 2) {
                CHECK(two[i].error.status == HARP_OK);
                if (two[i].done && !members[i].done)
                    CHECK(step_hash(two[i].session, &two[i].step, harp_model_info(m).vocab) == talks[i].alone[0]);
                if (two[i].done) members[i].done = 1;
            }
            if (!members[1].error.status) members[1].error = two[1].error;
            if (members[0].done && members[2].done) break;
            if (two[0].done != two[2].done) break; /* they would get ahead of what was noted */
        }
        check(members[1].error.status == expected[how], "failure %d: %s", how, members[1].error.text);
        CHECK((how == 3) == (meddled > 0));
        for (i = 0; i < 3; i++) harp_session_close(talks[i].session);
        CHECK(harp_engine_close(e, NULL) == HARP_OK);
    }
}

/* A long prompt holds the others up for a pass of so many rows, no more, and tells how much of it is left. */
static void test_long_prompt(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_engine *e = NULL;
    harp_member members[2];
    int32_t prompt[90], i, calls = 0, pending = 90, n = 0;
    for (i = 0; i < 90; i++) prompt[i] = i % 30;
    memset(members, 0, sizeof members);
    p.context = 128, p.batch = 16, p.harp = 0;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    p.engine = e;
    members[0].session = open_session(m, &p), members[1].session = open_session(m, &p);
    CHECK(harp_feed(members[0].session, prompt, 2, NULL) == HARP_OK);
    CHECK(harp_queue(members[1].session, prompt, 90, NULL) == HARP_OK);
    while (!members[1].done && calls++ < 50) {
        CHECK(harp_together(members, 2, 0, NULL) == HARP_OK && members[0].done);
        CHECK(members[0].step.passes == 1 && members[0].step.rows == 1);
        if (members[1].done) break;
        CHECK(members[1].pending == pending - 15); /* its newest token waits for those before it */
        pending = members[1].pending;
    }
    harp_tokens(members[1].session, &n);
    check(calls == 5 && n == 91, "%d calls, %d tokens", calls, n);
    harp_session_close(members[0].session), harp_session_close(members[1].session);
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
}

/* ---- Forks ------------------------------------------------------------------------------------------------------- */

/* Makes some steps and compares them with those of a session of its own that was fed the same tokens. */
static void compare_fork(harp_session *fork, harp_params p, const harp_model *m, int steps)
{
    harp_session *own;
    harp_step a, b;
    int i;
    p.parent = NULL, p.parent_at = 0, p.engine = NULL;
    if (p.reframe_from == HARP_FROM_PROMPT) p.reframe_from = harp_session_info(fork).reframe_from; /* of another feed */
    own = open_session(m, &p);
    CHECK(harp_feed(own, harp_tokens(fork, NULL), length_of(fork), NULL) == HARP_OK);
    for (i = 0; i < steps; i++) {
        CHECK(harp_next(fork, &a, NULL) == HARP_OK && harp_next(own, &b, NULL) == HARP_OK);
        check(step_hash(fork, &a, harp_model_info(m).vocab) == step_hash(own, &b, harp_model_info(m).vocab),
              "step %d of a fork (harp %d, frame %d, from %d, drafts %d, rule %d, cache %d) has other bits", i, p.harp,
              p.frame, p.reframe_from, p.drafts, p.draft_rule, p.cache);
    }
    CHECK(same_tokens(fork, own));
    harp_session_close(own);
}

/* A saved fork is a whole session: restored elsewhere, it goes on with nothing to compute but the newest token, as a
 * session does that was fed the same tokens, and also from a place that a fork cannot go back to. */
static void compare_saved(const harp_session *fork, harp_params p, const harp_model *m)
{
    harp_session *whole;
    size_t bytes = 0, again = 0;
    void *image;
    p.parent = NULL, p.parent_at = 0, p.engine = NULL;
    whole = open_session(m, &p);
    CHECK(harp_save(fork, NULL, 0, &bytes, NULL) == HARP_OK && (image = malloc(bytes)) != NULL);
    CHECK(harp_save(fork, image, bytes, &again, NULL) == HARP_OK && again == bytes);
    CHECK(harp_restore(whole, image, bytes, NULL) == HARP_OK && same_tokens(fork, whole));
    CHECK(harp_session_info(whole).pending == harp_session_info(fork).pending);
    CHECK(harp_session_info(whole).reframe_from == harp_session_info(fork).reframe_from);
    compare_fork(whole, p, m, 2);
    CHECK(harp_rewind(whole, 1 + below(length_of(fork)), NULL) == HARP_OK);
    compare_fork(whole, p, m, 2);
    harp_session_close(whole);
    free(image);
}

static void test_forks(const harp_model *m)
{
    int round;
    for (round = 0; round < 60; round++) {
        talk t;
        harp_params p, q;
        harp_engine *e = NULL;
        harp_session *parent, *fork, *other, *grandchild;
        int32_t at, i;
        draw_talk(&t, m);
        p = t.params, p.seats = 1 + below(3), p.logit_rows = 4;
        CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
        if (below(3)) p.engine = e;
        parent = open_session(m, &p);
        CHECK(harp_queue(parent, t.prompt, t.n_prompt, NULL) == HARP_OK);
        for (i = below(4); i > 0; i--) CHECK(harp_next(parent, NULL, NULL) == HARP_OK);
        at = 1 + below(length_of(parent));
        q = p, q.parent = parent, q.parent_at = at, q.sample = 1;
        if (below(4) == 0) q.seed++; /* other masks: the reframed text is the fork's own */
        if (below(4) == 0) q.engine = NULL;
        fork = open_session(m, &q), q.sample = 2, other = open_session(m, &q);
        CHECK(length_of(fork) == at);
        q.sample = 1;
        compare_fork(fork, q, m, 2);
        compare_saved(fork, q, m);
        compare_fork(parent, p, m, 2);
        q.sample = 2;
        compare_fork(other, q, m, 2);
        CHECK(harp_rewind(fork, at, NULL) == HARP_OK);
        q.sample = 1;
        compare_fork(fork, q, m, 3);
        q.parent = fork, q.parent_at = 1 + below(length_of(fork)), q.sample = 3;
        grandchild = open_session(m, &q);
        harp_session_close(parent), harp_session_close(fork); /* they stay as long as they are needed */
        compare_fork(grandchild, q, m, 4);
        compare_saved(grandchild, q, m);
        harp_session_close(grandchild), harp_session_close(other);
        CHECK(harp_engine_close(e, NULL) == HARP_OK);
    }
}

/* What is shared cannot change as long as it is. */
static void test_shared_is_kept(const harp_model *m)
{
    harp_params p = harp_defaults(), q;
    harp_session *parent, *fork;
    int32_t tokens[40], i;
    char image[64] = {0};
    for (i = 0; i < 40; i++) tokens[i] = i % 30;
    p.context = 64, p.theta = 0.0f;
    parent = open_session(m, &p);
    CHECK(harp_feed(parent, tokens, 40, NULL) == HARP_OK && harp_next(parent, NULL, NULL) == HARP_OK);
    q = p, q.parent = parent, q.parent_at = 30;
    fork = open_session(m, &q);
    CHECK(harp_rewind(parent, 29, NULL) == HARP_ERR_ARGUMENT && harp_rewind(parent, 30, NULL) == HARP_OK);
    CHECK(harp_rewind(fork, 29, NULL) == HARP_ERR_ARGUMENT);
    p.seed = 5;
    CHECK(harp_tune(parent, &p, NULL) == HARP_ERR_ARGUMENT);
    q.seed = 5;
    CHECK(harp_tune(fork, &q, NULL) == HARP_ERR_ARGUMENT);
    q.seed = 0, q.temperature = 0.0f;
    CHECK(harp_tune(fork, &q, NULL) == HARP_OK);
    CHECK(harp_restore(parent, image, sizeof image, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(fork);
    CHECK(harp_tune(parent, &p, NULL) == HARP_OK);
    q = p, q.harp = 0, q.parent = parent, q.parent_at = 20, fork = open_session(m, &q); /* it has no reframed text */
    p.seed = 6;
    CHECK(harp_tune(parent, &p, NULL) == HARP_OK);
    harp_session_close(fork);
    CHECK(harp_rewind(parent, 0, NULL) == HARP_OK);
    harp_session_close(parent);
}

/* What the parent does with tokens of which nothing was computed is its own affair. */
static void test_fork_of_queued_tokens(const harp_model *m)
{
    harp_params p = harp_defaults(), q;
    harp_session *parent, *fork;
    int32_t tokens[20], i;
    for (i = 0; i < 20; i++) tokens[i] = 3 + i;
    p.context = 32, parent = open_session(m, &p);
    CHECK(harp_queue(parent, tokens, 20, NULL) == HARP_OK);
    q = p, q.parent = parent, q.parent_at = 20;
    fork = open_session(m, &q);
    CHECK(harp_rewind(parent, 5, NULL) == HARP_OK && harp_next(parent, NULL, NULL) == HARP_OK);
    q.temperature = 0.5f;
    CHECK(harp_tune(fork, &q, NULL) == HARP_OK);
    compare_fork(fork, q, m, 2);
    harp_session_close(parent);
    CHECK(harp_tune(fork, &q, NULL) == HARP_OK);
    harp_session_close(fork);
}

/* A fork's memory is that of its own positions: 100 of them with 20 tokens each beside a prompt of 1,000. */
static void test_fork_memory(const harp_model *m)
{
    harp_params p = harp_defaults(), q;
    harp_engine *e = NULL;
    harp_session *parent, *forks[100];
    int32_t i, token = 1;
    size_t all, position;
    p.context = harp_model_info(m).context < 1024 ? harp_model_info(m).context : 1024, p.harp = 0, p.cache = HARP_CACHE_F32;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    p.engine = e;
    parent = open_session(m, &p);
    for (i = 0; i < p.context - 24; i++) CHECK(harp_queue(parent, &token, 1, NULL) == HARP_OK);
    CHECK(harp_next(parent, NULL, NULL) == HARP_OK);
    q = p, q.parent = parent, q.parent_at = p.context - 24;
    all = harp_session_info(parent).memory, position = harp_session_info(parent).cache_memory / (size_t)p.context;
    for (i = 0; i < 100; i++) {
        q.sample = (uint32_t)i, forks[i] = open_session(m, &q);
        all += harp_session_info(forks[i]).memory;
    }
    printf("note   a fork with room for 24 positions: %d bytes, of them %d for keys and values; its parent %d\n",
           (int)harp_session_info(forks[0]).memory, (int)harp_session_info(forks[0]).cache_memory,
           (int)harp_session_info(parent).memory);
    CHECK(harp_session_info(forks[0]).cache_memory <= 48 * position);
    for (i = 0; i < 100; i++) harp_session_close(forks[i]);
    harp_session_close(parent);
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
}

/* ---- Wrong uses -------------------------------------------------------------------------------------------------- */

static void test_wrong_uses(const harp_model *m, const harp_model *copy)
{
    harp_params p = harp_defaults(), q;
    harp_engine *e = NULL, *other = NULL;
    harp_session *a, *b, *c = NULL;
    harp_member members[9];
    harp_error err;
    int32_t tokens[2] = {1, 2};
    size_t bytes = 0, need = 0;
    memset(members, 0, sizeof members);
    p.context = 32, p.seats = 2, p.theta = 9.0f;
    CHECK(harp_engine_memory(m, &p, &bytes, NULL) == HARP_OK && bytes > 0);
    CHECK(harp_engine_memory(m, NULL, &bytes, NULL) == HARP_ERR_ARGUMENT);
    CHECK(harp_engine_memory(m, &p, NULL, NULL) == HARP_ERR_ARGUMENT);
    CHECK(harp_engine_open(NULL, m, &p, NULL) == HARP_ERR_ARGUMENT);
    CHECK(harp_engine_open(&e, NULL, &p, NULL) == HARP_ERR_ARGUMENT && !e);
    q = p, q.seats = 0;
    CHECK(harp_engine_open(&e, m, &q, &err) == HARP_ERR_ARGUMENT && !e && strstr(err.text, "seats"));
    q = p, q.memory = &bytes, q.memory_bytes = sizeof bytes;
    CHECK(harp_engine_open(&e, m, &q, NULL) == HARP_ERR_MEMORY && !e);
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK && harp_engine_open(&other, m, &p, NULL) == HARP_OK);
    CHECK(harp_engine_close(NULL, NULL) == HARP_OK);
    q = p, q.engine = e;
    CHECK(harp_session_memory(m, &q, &need, NULL) == HARP_OK);
    CHECK(harp_session_memory(m, &p, &bytes, NULL) == HARP_OK && need < bytes); /* no scratch of its own */
    CHECK(harp_session_open(&c, copy, &q, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "another model"));
    q.context = 33;
    CHECK(harp_session_open(&c, m, &q, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "context"));
    q.context = 32, q.logit_rows = 2;
    CHECK(harp_session_open(&c, m, &q, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "logit_rows"));
    q.logit_rows = 1;
    a = open_session(m, &q), b = open_session(m, &q), q.engine = other, c = open_session(m, &q);
    CHECK(harp_feed(a, tokens, 2, NULL) == HARP_OK && harp_feed(b, tokens, 2, NULL) == HARP_OK
          && harp_feed(c, tokens, 2, NULL) == HARP_OK);
    CHECK(harp_engine_close(e, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "2 sessions"));
    CHECK(harp_together(NULL, 1, 0, NULL) == HARP_ERR_ARGUMENT && harp_together(members, 0, 0, NULL) == HARP_ERR_ARGUMENT);
    CHECK(harp_together(members, 1, 0, NULL) == HARP_ERR_ARGUMENT); /* a NULL */
    members[0].session = a, members[1].session = c;
    CHECK(harp_together(members, 2, 0, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "member 1"));
    members[1].session = a;
    CHECK(harp_together(members, 2, 0, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "member 1"));
    members[1].session = NULL;
    CHECK(harp_together(members, 2, 0, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "member 1"));
    CHECK(length_of(a) == 2 && length_of(c) == 2);
    members[1].session = b;
    CHECK(harp_together(members, 2, 0, NULL) == HARP_OK && length_of(a) == 3 && length_of(b) == 3);
    CHECK(harp_logits(a, HARP_VANILLA) && harp_logits(b, HARP_VANILLA));
    q = p, q.engine = e;
    harp_session_close(c), c = open_session(m, &q);
    members[2].session = c;
    CHECK(harp_together(members, 3, 0, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "2 seats"));
    CHECK(harp_feed(c, tokens, 2, NULL) == HARP_OK && harp_logits(a, HARP_VANILLA)); /* needs no logits yet */
    CHECK(harp_next(c, NULL, NULL) == HARP_OK && !harp_logits(a, HARP_VANILLA) && harp_logits(b, HARP_VANILLA));
    q.parent = a, q.parent_at = 4;
    harp_session_close(b);
    CHECK(harp_session_open(&b, m, &q, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "its parent has 3") && !b);
    q.parent_at = 3, q.cache = HARP_CACHE_F32;
    CHECK(harp_session_open(&b, m, &q, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "cache"));
    q.cache = p.cache, q.engine = NULL;
    CHECK(harp_session_open(&b, copy, &q, &err) == HARP_ERR_ARGUMENT);
    q.activations = HARP_ACT_F32;
    CHECK(harp_session_open(&b, m, &q, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "activations"));
    q = p, q.engine = e, q.drafts = 0;
    CHECK(harp_tune(a, &q, NULL) == HARP_OK);
    q.engine = NULL;
    CHECK(harp_tune(a, &q, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(a), harp_session_close(c);
    CHECK(harp_engine_close(e, NULL) == HARP_OK && harp_engine_close(other, NULL) == HARP_OK);
}

/* While an engine is at work, nothing joins it, and nobody forks its sessions. */
typedef struct visitor {
    const harp_model *model;
    harp_params params;
    int calls, refused;
} visitor;

static int try_to_join(void *user)
{
    visitor *v = user;
    harp_session *s;
    harp_error err;
    v->calls++;
    if (harp_session_open(&s, v->model, &v->params, &err) == HARP_ERR_ARGUMENT && !s && strstr(err.text, "in use"))
        v->refused++;
    else
        harp_session_close(s);
    return 0;
}

static void test_joining_inside_callbacks(const harp_model *m)
{
    harp_params p = harp_defaults(), q;
    harp_engine *e = NULL;
    harp_session *a;
    int32_t tokens[20] = {1, 2};
    visitor v = {0};
    int forks;
    p.context = 32, v.model = m;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    p.engine = e, q = p, q.cancel = try_to_join, q.cancel_user = &v;
    a = open_session(m, &q);
    for (forks = 0; forks < 2; forks++) { /* a session of the engine; a fork with an engine of its own */
        v.params = p, v.params.engine = forks ? NULL : e, v.params.parent = forks ? a : NULL, v.params.parent_at = 1;
        CHECK(harp_feed(a, tokens, 2, NULL) == HARP_OK && harp_next(a, NULL, NULL) == HARP_OK);
    }
    CHECK(v.calls > 10 && v.refused == v.calls);
    harp_session_close(a);
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
}

/* ---- A pass under way, and what happens meanwhile ---------------------------------------------------------------- */

static int32_t some_tokens[96];

/* Closes a session when it is first asked. */
static int close_other(void *user)
{
    harp_session **s = user, *other = *s;
    *s = NULL;
    harp_session_close(other);
    return 0;
}

/* The rows of a parent that was closed leave the pass: its last fork may take it along while the pass is computed. */
static void test_closed_parent_in_a_pass(const harp_model *m)
{
    harp_params p = harp_defaults(), q;
    harp_engine *e = NULL;
    harp_session *parent, *fork, *other, *alone, *to_close = NULL;
    harp_step a, b;
    int done = 0;
    p.context = 96, p.harp = 0, p.temperature = 0.0f;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    q = p, q.engine = e, parent = open_session(m, &q);
    q.cancel = close_other, q.cancel_user = &to_close, other = open_session(m, &q);
    CHECK(harp_feed(parent, some_tokens, 20, NULL) == HARP_OK && harp_next(parent, NULL, NULL) == HARP_OK);
    q = p, q.parent = parent, q.parent_at = 20, fork = open_session(m, &q);
    CHECK(harp_queue(parent, some_tokens, 40, NULL) == HARP_OK);
    CHECK(harp_step_some(parent, 2000, &done, NULL, NULL) == HARP_OK && !done);
    harp_session_close(parent);
    alone = open_session(m, &p);
    CHECK(harp_queue(other, some_tokens + 9, 10, NULL) == HARP_OK);
    CHECK(harp_queue(alone, some_tokens + 9, 10, NULL) == HARP_OK);
    to_close = fork;
    CHECK(harp_next(other, &a, NULL) == HARP_OK && harp_next(alone, &b, NULL) == HARP_OK && !to_close);
    CHECK(step_hash(other, &a, harp_model_info(m).vocab) == step_hash(alone, &b, harp_model_info(m).vocab));
    harp_session_close(other), harp_session_close(alone);
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
}

static int rounds_otherwise;

static void odd_parallel(void *user, void (*task)(void *argument, int i), void *argument, int n)
{
    (void)user;
    for (; n > 0; n--) {
#ifdef FE_TOWARDZERO
        if (rounds_otherwise && n == 2) fesetround(FE_TOWARDZERO);
#endif
        task(argument, n - 1);
        fesetround(FE_TONEAREST);
    }
}

/* A thread that rounds otherwise spoils a pass, whosever call it is: the pass is begun anew. */
static void test_spoilt_pass(const harp_model *m)
{
    harp_params p = harp_defaults(), q;
    harp_step a, b;
    int together;
    p.context = 96, p.harp = 0, p.temperature = 0.0f, p.threads = 2, p.parallel = odd_parallel;
    for (together = 0; together < 2; together++) {
        harp_engine *e = NULL;
        harp_session *first, *second, *alone = open_session(m, &p);
        harp_member member = {0};
        int done = 0, i;
        CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
        q = p, q.engine = e, first = open_session(m, &q), second = open_session(m, &q), member.session = second;
        CHECK(harp_queue(first, some_tokens, 40, NULL) == HARP_OK);
        CHECK(harp_queue(alone, some_tokens, 40, NULL) == HARP_OK);
        CHECK(harp_queue(second, some_tokens + 50, 10, NULL) == HARP_OK);
        CHECK(harp_step_some(first, 2000, &done, NULL, NULL) == HARP_OK && !done);
        rounds_otherwise = 1;
        for (i = 0; i < 3; i++) {
            if (together) CHECK(harp_together(&member, 1, 0, NULL) == HARP_OK && member.error.status == HARP_ERR_BUILD);
            else CHECK(harp_next(second, NULL, NULL) == HARP_ERR_BUILD);
        }
        rounds_otherwise = 0;
        CHECK(harp_next(first, &a, NULL) == HARP_OK && harp_next(alone, &b, NULL) == HARP_OK);
        CHECK(step_hash(first, &a, harp_model_info(m).vocab) == step_hash(alone, &b, harp_model_info(m).vocab));
        harp_session_close(first), harp_session_close(second), harp_session_close(alone);
        CHECK(harp_engine_close(e, NULL) == HARP_OK);
    }
}

/* Members that share a draft session do not undo each other's guesses for ever. */
static void test_one_draft_for_two(const harp_model *m)
{
    harp_params p = harp_defaults(), d;
    harp_engine *e = NULL;
    harp_session *draft;
    harp_member members[2];
    int i, tokens = 0;
    memset(members, 0, sizeof members);
    p.context = 96, p.harp = 0, p.temperature = 0.0f;
    d = p, draft = open_session(m, &d), p.drafts = 3;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    p.engine = e, p.draft = draft;
    for (i = 0; i < 2; i++) {
        members[i].session = open_session(m, &p);
        CHECK(harp_queue(members[i].session, some_tokens + 30 * i, 60, NULL) == HARP_OK);
    }
    for (i = 0; i < 2000 && tokens < 2; i++) {
        CHECK(harp_together(members, 2, 100000, NULL) == HARP_OK);
        tokens += members[0].done + members[1].done;
    }
    CHECK(tokens >= 2);
    harp_session_close(members[0].session), harp_session_close(members[1].session), harp_session_close(draft);
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
}

/* Calls of harp_together until a prompt's step is complete. */
static int count_calls(const harp_model *m, int32_t reframe_from)
{
    harp_params p = harp_defaults();
    harp_engine *e = NULL;
    harp_member member = {0};
    int calls = 0;
    p.context = 96, p.theta = -1.0f, p.batch = 4, p.schedule = HARP_SCHEDULE_LAZY, p.reframe_from = reframe_from;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    p.engine = e, member.session = open_session(m, &p);
    CHECK(harp_queue(member.session, some_tokens, 90, NULL) == HARP_OK);
    for (; calls < 100000 && !member.done; calls++) CHECK(harp_together(&member, 1, 50000, NULL) == HARP_OK);
    harp_session_close(member.session);
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
    return calls;
}

/* A text that is reframed from its first token on is reframed once, whatever the passes. */
static void test_reframed_from_the_start(const harp_model *m)
{
    int from_start = count_calls(m, 0), behind = count_calls(m, 1);
    check(from_start < behind + behind / 20 + 2, "%d calls from the start, %d from the second token", from_start, behind);
}

int main(int argc, char **argv)
{
    harp_model *m = NULL, *copy = NULL;
    harp_error err;
    harp_meta meta;
    int i;
    if (argc != 3 || harp_open(&m, argv[1], &err) || harp_open(&copy, argv[1], &err)) return 1;
    for (i = 0; i < 12; i++) test_company(m, i % 3 == 0 ? 64 : i % 3 == 1 ? 9 : 3, 1 + i % 2, TALKS + i % 4, NULL);
    for (i = 0; harp_isa(i); i++) test_company(m, 20, 1, TALKS, harp_isa(i));
    test_goldens(m, argv[2], 64), test_goldens(m, argv[2], 9);
    test_failures(m);
    test_long_prompt(m);
    if (!harp_meta_find(m, "rope_original", &meta)) { /* else sessions of this length cannot be shared */
        test_forks(m);
        test_shared_is_kept(m);
        test_fork_of_queued_tokens(m);
        test_fork_memory(m);
        test_joining_inside_callbacks(m);
        test_closed_parent_in_a_pass(m);
    }
    for (i = 0; i < 96; i++) some_tokens[i] = 3 + (i * 7 + i * i * 3) % 60;
    test_spoilt_pass(m);
    test_one_draft_for_two(m);
    test_reframed_from_the_start(m);
    test_wrong_uses(m, copy);
    harp_close(copy), harp_close(m);
    return conclude();
}
