/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_promises.c - what calls on a session promise one another: from inside callbacks, after a cancelled call, from
 * one harp_generate to the next, when parameters change, and in saved images
 *
 * Small models are made by fuzz/make_harp.h; where things stand in a saved image, a window tells (inside.h). */
#include "../harp.h"
#include "fuzz/make_harp.h"
#include "inside.h"
#include "test.h"

#include <float.h>
#include <math.h>

/* A caller's parallel-for is used where parts can be counted without a lock. */
#if defined(__GNUC__) || defined(_WIN32)
enum { COUNTS_PARTS = 1 };
#else
enum { COUNTS_PARTS = 0 };
#endif

enum { MODEL_BYTES = 1 << 18, CONTEXT = 60, PROMPT = 40, VOCAB = 80 };

static int32_t prompt[PROMPT];

static harp_model *make_model(unsigned tokenizer)
{
    static unsigned char data[3][MODEL_BYTES];
    fz_shape s = {2, 4, 2, 6, 24, 20, VOCAB, 64, 0, 0, 0, 0, 77, 0, 0, 0, 0};
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    s.tokenizer = tokenizer;
    source.data = data[tokenizer], source.bytes = fz_write_harp(&s, data[tokenizer], MODEL_BYTES);
    if (harp_open_source(&m, &source, &err)) printf("%s\n", err.text), exit(1);
    return m;
}

static harp_params params_of(void)
{
    harp_params p = harp_defaults();
    p.context = CONTEXT, p.theta = -1.0f, p.temperature = 0.0f, p.batch = 4;
    return p;
}

static uint32_t mix_logits(uint32_t crc, const harp_session *s)
{
    return hf_crc(crc, harp_logits(s, HARP_COMBINED), VOCAB * sizeof(float));
}

/* The bits of the next steps, rewound: what the session would say. */
static uint32_t future(harp_session *s)
{
    uint32_t crc = 1;
    int32_t n = length_of(s), i;
    for (i = 0; i < 4 && crc != 0; i++) crc = harp_next(s, NULL, NULL) ? 0 : mix_logits(crc, s);
    harp_rewind(s, n, NULL);
    return crc;
}

static unsigned char *save(const harp_session *s, size_t *bytes)
{
    unsigned char *image;
    CHECK(harp_save(s, NULL, 0, bytes, NULL) == HARP_OK);
    image = malloc(*bytes);
    CHECK(image && harp_save(s, image, *bytes, bytes, NULL) == HARP_OK);
    return image;
}

/* ---- calls from inside callbacks ---- */

typedef struct intruder {
    const harp_model *model;
    harp_session *session;
    int intrudes, inside, calls, taken, saved; /* intrudes: or is as quiet as callbacks should be */
} intruder;

static int on_text(void *user, const char *text, size_t bytes, const harp_step *step);
static int on_logits(void *user, int32_t position, const float *logits);
static int on_step(void *user, const harp_step *step, const float *vanilla, const float *combined);

/* Counts the calls that are not refused with a sentence. */
static void refuse(intruder *x, harp_status status, const harp_error *err)
{
    if (status != HARP_ERR_ARGUMENT || !strstr(err->text, "in use")) x->taken++;
}

/* Every call that changes a session, made on one that a call is at work on. */
static void intrude(intruder *x)
{
    const harp_beam_options beam = harp_beam_defaults();
    harp_session *s = x->session, *fork;
    harp_error e;
    harp_params p = params_of(), of_fork = p;
    int32_t n = 0;
    int done;
    size_t bytes;
    x->calls++;
    if (!x->intrudes || x->inside || !s) return;
    x->inside = 1;
    refuse(x, harp_feed(s, prompt, 1, &e), &e), refuse(x, harp_feed(s, NULL, 0, &e), &e);
    refuse(x, harp_queue(s, prompt, 1, &e), &e), refuse(x, harp_pause(s, 5, 1, &e), &e);
    refuse(x, harp_next(s, NULL, &e), &e), refuse(x, harp_step_some(s, 100, &done, NULL, &e), &e);
    refuse(x, harp_rewind(s, 0, &e), &e), refuse(x, harp_tune(s, &p, &e), &e);
    refuse(x, harp_score(s, prompt, 1, on_logits, x, &e), &e);
    refuse(x, harp_score_harp(s, prompt, 1, on_step, x, &e), &e);
    refuse(x, harp_beam(s, &beam, NULL, &e), &e), refuse(x, harp_restore(s, "x", 1, &e), &e);
    refuse(x, harp_generate(s, "ab", 1, on_text, x, &e), &e);
    of_fork.parent = s, of_fork.parent_at = 1;
    refuse(x, harp_session_open(&fork, x->model, &of_fork, &e), &e);
    if (harp_save(s, NULL, 0, &bytes, &e) == HARP_OK) x->saved++;
    harp_session_close(s);
    if (!harp_tokens(s, &n) || n < 1 || harp_statistics(s).rows < 0) x->taken++; /* these may be asked */
    harp_logits(s, HARP_COMBINED);
    x->inside = 0;
}

static int on_text(void *user, const char *text, size_t bytes, const harp_step *step)
{
    intruder *x = user;
    harp_choice best;
    (void)text, (void)bytes;
    if (x->intrudes && (!harp_logits(x->session, HARP_COMBINED) || harp_top(x->session, HARP_COMBINED, &best, 1) != 1
                        || harp_tokens(x->session, NULL)[step->position] != step->token))
        x->taken++;
    intrude(x);
    return 0;
}

static int on_logits(void *user, int32_t position, const float *logits)
{
    (void)position, (void)logits;
    return intrude(user), 0;
}

static int on_step(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    (void)step, (void)vanilla, (void)combined;
    return intrude(user), 0;
}

static int on_cancel(void *user)
{
    return intrude(user), 0;
}

static float on_measure(void *user, const float *logits, int32_t vocab)
{
    (void)logits, (void)vocab;
    return intrude(user), 3.0f;
}

static int on_mask(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep, int32_t hidden)
{
    int32_t i;
    (void)step;
    for (i = 0; i < hidden; i++) keep[i] = (unsigned char)((i + position + reframing) % 5 != 0);
    return intrude(user), 0;
}

static void on_combine(void *user, const float *vanilla, const float *reframed, float *combined, int32_t vocab)
{
    int32_t i;
    for (i = 0; i < vocab; i++) combined[i] = vanilla[i] > reframed[i] ? vanilla[i] : reframed[i];
    intrude(user);
}

static void on_parallel(void *user, void (*task)(void *argument, int i), void *argument, int n)
{
    for (; n > 0; n--) task(argument, n - 1);
    intrude(user);
}

static void on_inputs(void *user, const harp_inputs *inputs)
{
    (void)inputs;
    intrude(user);
}

enum { CALLBACKS = 7, TEXT = CALLBACKS - 1 };

/* A session's life, with an intruder in each of its callbacks, or none; what it would say in the end. */
static uint32_t live(const harp_model *m, int intrudes, intruder *x, intruder *draft_x)
{
    harp_params p = params_of(), q = p;
    harp_session *s, *draft;
    uint32_t end;
    int i, done = 0;
    for (i = 0; i < CALLBACKS; i++) memset(&x[i], 0, sizeof *x), x[i].intrudes = intrudes, x[i].model = m;
    for (i = 0; i < 2; i++) memset(&draft_x[i], 0, sizeof *x), draft_x[i].intrudes = intrudes, draft_x[i].model = m;
    q.harp = 0, q.cancel = on_cancel, q.cancel_user = draft_x;
    draft = open_session(m, &q);
    p.cancel = on_cancel, p.cancel_user = x, p.measure = HARP_MEASURE_CALLER, p.measure_fn = on_measure;
    p.mask_fn = on_mask, p.combine_fn = on_combine, p.harp_user = x + 1, p.threads = 2, p.parallel = on_parallel;
    p.parallel_user = x + 2, p.drafts = 3, p.draft = draft, p.inputs_fn = on_inputs, p.inputs_user = x + 5;
    s = open_session(m, &p);
    for (i = 0; i < CALLBACKS; i++) x[i].session = s;
    CHECK(harp_feed(s, prompt, 9, NULL) == HARP_OK && harp_pause(s, 4, 2, NULL) == HARP_OK);
    draft_x[0].session = s; /* the draft session's own callbacks reach for the one that it guesses for */
    for (i = 0; i < 6; i++) CHECK(harp_next(s, NULL, NULL) == HARP_OK);
    draft_x[0].session = draft;
    x[0].session = COUNTS_PARTS ? draft : s; /* and, while it guesses, that one's for the draft session */
    x[0].intrudes = 0;
    for (i = 0; i < 6; i++) CHECK(harp_next(s, NULL, NULL) == HARP_OK);
    x[0].session = s, x[0].intrudes = intrudes;
    while (!done) CHECK(harp_step_some(s, 5000, &done, NULL, NULL) == HARP_OK);
    CHECK(harp_score(s, prompt, 3, on_logits, x + 3, NULL) == HARP_OK);
    CHECK(harp_score_harp(s, prompt, 3, on_step, x + 4, NULL) == HARP_OK);
    CHECK(harp_generate(s, "ab", 5, on_text, x + TEXT, NULL) == HARP_OK);
    end = future(s);
    harp_session_close(s), harp_session_close(draft);
    return end;
}

static void test_calls_inside_callbacks(const harp_model *m)
{
    intruder x[CALLBACKS], draft_x[2];
    harp_params p = params_of();
    harp_beam_options beam = harp_beam_defaults();
    uint32_t alone = live(m, 0, x, draft_x);
    harp_session *s;
    int i;
    CHECK(live(m, 1, x, draft_x) == alone && alone != 0);
    for (i = 0; i < CALLBACKS; i++) CHECK((x[i].calls > 0 || (i == 2 && !COUNTS_PARTS)) && x[i].taken == 0);
    for (i = 0; i < TEXT; i++) CHECK(x[i].saved == 0);
    CHECK(x[TEXT].calls == 5 && x[TEXT].saved == 5); /* between two steps a session is whole */
    CHECK(draft_x[0].calls > 0 && draft_x[0].taken == 0);
    p.harp = 0, p.beams = 2, p.beam_length = 4, p.cancel = on_cancel, p.cancel_user = x, x[0].session = NULL;
    beam.max_tokens = 4, x[0].calls = 0;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, 9, NULL) == HARP_OK);
    x[0].session = s;
    CHECK(harp_beam(s, &beam, NULL, NULL) == HARP_OK && x[0].calls > 0 && x[0].taken == 0);
    x[0].session = NULL;
    harp_session_close(s);
}

/* Two sessions share a draft session; the second is driven while the first is being guessed for. */
typedef struct sharing {
    harp_session *other;
    int inside, steps;
} sharing;

static int drive_other(void *user)
{
    sharing *x = user;
    if (x->inside || !x->other || x->steps >= 6) return 0;
    x->inside = 1;
    CHECK(harp_next(x->other, NULL, NULL) == HARP_OK);
    x->inside = 0, x->steps++;
    return 0;
}

static void test_shared_draft(const harp_model *m)
{
    harp_params p = params_of(), q = p;
    harp_session *draft, *plain, *a, *b;
    sharing x = {NULL, 0, 0};
    int i;
    q.harp = 0, q.cancel = drive_other, q.cancel_user = &x;
    draft = open_session(m, &q), plain = open_session(m, &p);
    p.drafts = 3, p.draft = draft;
    a = open_session(m, &p), b = open_session(m, &p);
    CHECK(harp_feed(plain, prompt, 12, NULL) == HARP_OK && harp_feed(a, prompt, 12, NULL) == HARP_OK);
    CHECK(harp_feed(b, prompt, 12, NULL) == HARP_OK);
    x.other = b;
    for (i = 0; i < 12; i++) CHECK(harp_next(a, NULL, NULL) == HARP_OK && harp_next(plain, NULL, NULL) == HARP_OK);
    x.other = NULL;
    CHECK(x.steps == 6 && same_tokens(a, plain));
    CHECK(harp_statistics(b).drafted == 0); /* nobody guesses for two at a time */
    CHECK(length_of(b) == 18 && memcmp(harp_tokens(b, NULL), harp_tokens(plain, NULL), 18 * sizeof(int32_t)) == 0);
    harp_session_close(a), harp_session_close(b), harp_session_close(plain), harp_session_close(draft);
}

/* A draft session that has a fork cannot go back to where the two texts part: then there are no guesses. */
static void test_draft_with_a_fork(const harp_model *m)
{
    harp_params p = params_of(), q;
    harp_session *draft, *fork, *alone, *s, *plain;
    int32_t other[PROMPT], i;
    for (i = 0; i < PROMPT; i++) other[i] = VOCAB - 1 - prompt[i];
    p.harp = 0, q = p, draft = open_session(m, &q), alone = open_session(m, &q);
    CHECK(harp_feed(draft, prompt, PROMPT, NULL) == HARP_OK && harp_feed(alone, prompt, PROMPT, NULL) == HARP_OK);
    q.parent = draft, q.parent_at = PROMPT;
    fork = open_session(m, &q), plain = open_session(m, &p);
    p.drafts = 3, p.draft = draft, s = open_session(m, &p);
    CHECK(harp_feed(s, other, PROMPT, NULL) == HARP_OK && harp_feed(plain, other, PROMPT, NULL) == HARP_OK);
    for (i = 0; i < 6; i++) CHECK(harp_next(s, NULL, NULL) == HARP_OK && harp_next(plain, NULL, NULL) == HARP_OK);
    CHECK(same_tokens(s, plain) && same_tokens(draft, fork) && harp_statistics(s).drafted == 0);
    CHECK(future(fork) == future(alone) && future(draft) == future(alone));
    harp_session_close(fork);
    CHECK(harp_next(s, NULL, NULL) == HARP_OK && harp_statistics(s).drafted > 0);
    harp_session_close(s), harp_session_close(plain), harp_session_close(alone), harp_session_close(draft);
}

/* ---- Leviathan's rule: what is drawn is a function of the tokens ---- */

typedef struct pair {
    harp_session *session, *draft;
    harp_params params; /* the session's */
} pair;

static pair open_pair(const harp_model *m, int with_model, int32_t drafts)
{
    harp_params p = params_of(), d;
    pair x;
    x.draft = NULL;
    p.harp = 0, p.temperature = 1.0f, p.top_k = 0, p.top_p = 1.0f, p.min_p = 0.0f, p.seed = 11;
    d = p, d.temperature = 1.5f, d.activations = HARP_ACT_F32, d.context = CONTEXT - 4;
    if (with_model) x.draft = open_session(m, &d);
    p.drafts = drafts, p.draft = x.draft, p.draft_rule = HARP_DRAFT_LEVIATHAN, p.lookup = 1;
    x.session = open_session(m, &p), x.params = p;
    CHECK(harp_feed(x.session, prompt, 12, NULL) == HARP_OK);
    return x;
}

static void close_pair(pair x)
{
    harp_session_close(x.session), harp_session_close(x.draft);
}

static void go_on(harp_session *s, int32_t steps)
{
    for (; steps > 0 && length_of(s) < CONTEXT; steps--) CHECK(harp_next(s, NULL, NULL) == HARP_OK);
}

static int both_full_and_alike(const harp_session *a, const harp_session *b)
{
    return length_of(a) == CONTEXT && same_tokens(a, b);
}

static void test_leviathan_is_reproducible(const harp_model *m)
{
    int with_model, i;
    for (with_model = 0; with_model < 2; with_model++) {
        pair straight = open_pair(m, with_model, 4), x;
        go_on(straight.session, CONTEXT);
        CHECK(harp_statistics(straight.session).accepted > 0);
        CHECK(harp_statistics(straight.session).accepted < harp_statistics(straight.session).drafted);
        for (i = 1; i < CONTEXT - 12; i++) { /* saved after so many steps, and restored elsewhere */
            pair y = open_pair(m, with_model, 4);
            size_t bytes;
            unsigned char *image;
            x = open_pair(m, with_model, 4);
            go_on(x.session, i);
            image = save(x.session, &bytes);
            CHECK(harp_restore(y.session, image, bytes, NULL) == HARP_OK);
            go_on(y.session, CONTEXT);
            CHECK(both_full_and_alike(y.session, straight.session));
            close_pair(x), close_pair(y), free(image);
        }
        x = open_pair(m, with_model, 4);
        for (i = 0; length_of(x.session) < CONTEXT; i++) { /* steps taken back, amid guesses and elsewhere */
            go_on(x.session, 3);
            if (i % 2 == 0) CHECK(harp_rewind(x.session, length_of(x.session) - i % 3, NULL) == HARP_OK);
            else CHECK(harp_tune(x.session, &x.params, NULL) == HARP_OK);
        }
        CHECK(both_full_and_alike(x.session, straight.session));
        close_pair(x);
        for (i = 1; i <= 6; i++) { /* as many guesses in a pass as one likes */
            x = open_pair(m, with_model, i);
            go_on(x.session, CONTEXT);
            CHECK(both_full_and_alike(x.session, straight.session));
            close_pair(x);
        }
        close_pair(straight);
    }
}

/* ---- a draft session within a step ---- */

typedef struct watch {
    int asked, stop_at; /* answers 1 from that question on; 0: never */
    const struct watch *until; /* if there is one, only when that has been asked */
} watch;

static int ask(void *user)
{
    watch *w = user;
    w->asked++;
    return w->stop_at > 0 && w->asked >= w->stop_at && (!w->until || w->until->asked > 0);
}

/* The draft session has the whole prompt to read: not in one slice, and not without asking this session's cancel. */
static void test_draft_in_slices(const harp_model *m, harp_draft_rule rule)
{
    harp_params p = params_of(), q = p;
    watch own = {0, 0, NULL}, drafts = {0, 0, NULL};
    harp_session *draft, *s, *whole;
    int i, done = 0, most = 0, slices = 0, before, all;
    p.temperature = 1.0f;
    q.harp = 0, q.cancel = ask, q.cancel_user = &drafts, q.temperature = 1.0f;
    draft = open_session(m, &q);
    p.drafts = 3, p.draft = draft, p.draft_rule = rule, p.cancel = ask, p.cancel_user = &own;
    s = open_session(m, &p), whole = open_session(m, &p);
    CHECK(harp_feed(whole, prompt, PROMPT, NULL) == HARP_OK);
    for (i = 0; i < 8; i++) CHECK(harp_next(whole, NULL, NULL) == HARP_OK);
    CHECK(harp_rewind(draft, 0, NULL) == HARP_OK && harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    for (i = 0; i < 8; i++)
        for (done = 0; !done; slices++) {
            before = drafts.asked;
            CHECK(harp_step_some(s, 2000, &done, NULL, NULL) == HARP_OK);
            if (drafts.asked - before > most) most = drafts.asked - before;
        }
    CHECK(drafts.asked > 0 && slices > 100 && most <= 8);
    CHECK(same_tokens(s, whole));
    for (i = 1; i < 60; i++) { /* abandoned in the middle of it, and begun again */
        CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK && harp_rewind(draft, 0, NULL) == HARP_OK);
        for (before = 0, done = 0; before < i && !done; before++)
            CHECK(harp_step_some(s, 3000, &done, NULL, NULL) == HARP_OK);
        CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
        CHECK(token_at(s, PROMPT) == token_at(whole, PROMPT));
    }
    CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK && harp_rewind(draft, 0, NULL) == HARP_OK);
    drafts.asked = 0;
    CHECK(harp_next(s, NULL, NULL) == HARP_OK && harp_rewind(s, PROMPT, NULL) == HARP_OK);
    all = drafts.asked, drafts.asked = 0, own.stop_at = 1, own.until = &drafts;
    CHECK(harp_rewind(draft, 0, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_ERR_CANCELLED);
    CHECK(all > 50 && drafts.asked <= 2 && length_of(s) == PROMPT);
    own.stop_at = 0;
    CHECK(harp_next(s, NULL, NULL) == HARP_OK && token_at(s, PROMPT) == token_at(whole, PROMPT));
    harp_session_close(s), harp_session_close(whole), harp_session_close(draft);
}

/* ---- what a cancelled call has computed stays ---- */

static int64_t rows_of(const harp_session *s)
{
    return harp_statistics(s).rows + harp_statistics(s).reframed_rows;
}

typedef harp_status attempt(harp_session *s);

static harp_status try_feed(harp_session *s)
{
    return harp_feed(s, prompt, PROMPT, NULL);
}

static harp_status try_generate(harp_session *s)
{
    return harp_generate(s, "abcdefghijklmnop dcba nopm 0123, fcd efgh", 0, NULL, NULL, NULL);
}

static harp_status try_pause(harp_session *s)
{
    return harp_pause(s, 9, PROMPT, NULL);
}

static harp_status try_queued(harp_session *s)
{
    if (length_of(s) == 3 && harp_queue(s, prompt, PROMPT, NULL)) return HARP_ERR_ARGUMENT;
    return harp_next(s, NULL, NULL);
}

/* Cancelled at every question in turn, and at last not: no row more is computed than one lost pass each time. Then what
 * comes is what would have come. */
static void check_progress(const harp_model *m, attempt *try_it, const harp_params *params)
{
    harp_params p = *params;
    watch w = {0, 0, NULL};
    harp_session *s, *straight = open_session(m, params);
    int64_t needed;
    int n;
    CHECK(harp_feed(straight, prompt + 7, 3, NULL) == HARP_OK && try_it(straight) == HARP_OK);
    needed = rows_of(straight), p.cancel = ask, p.cancel_user = &w;
    for (n = 1; n < 2000; n += 11) {
        int32_t before;
        s = open_session(m, &p);
        CHECK(harp_feed(s, prompt + 7, 3, NULL) == HARP_OK);
        before = length_of(s), w.asked = 0, w.stop_at = n;
        if (try_it(s) == HARP_OK) break;
        w.stop_at = 0;
        CHECK(length_of(s) == (try_it != try_queued ? before : before + PROMPT));
        CHECK(try_it(s) == HARP_OK && rows_of(s) < needed + 2 * p.batch);
        CHECK(length_of(s) == length_of(straight) && future(s) == future(straight));
        harp_session_close(s);
    }
    CHECK(n > 100 && n < 2000);
    w.stop_at = 0;
    harp_session_close(s), harp_session_close(straight);
}

/* A session that a call was cancelled in, late, is as good as new if something else is done with it. */
static void check_other_ways(const harp_model *m, const harp_params *params)
{
    harp_params p = *params;
    watch w = {0, 0, NULL};
    harp_session *s, *fresh;
    unsigned char *before, *after;
    size_t bytes = 0, more = 0;
    int64_t rows;
    int way;
    p.cancel = ask, p.cancel_user = &w;
    for (way = 0; way < 7; way++) {
        static const int32_t others[] = {7, 7, 7, 7, 7, 7};
        s = open_session(m, &p), fresh = open_session(m, params);
        CHECK(harp_feed(s, prompt, 6, NULL) == HARP_OK && harp_rewind(s, 5, NULL) == HARP_OK); /* all five computed */
        CHECK(harp_feed(fresh, prompt, 6, NULL) == HARP_OK && harp_rewind(fresh, 5, NULL) == HARP_OK);
        before = save(s, &bytes), rows = harp_statistics(s).rows;
        w.asked = 0, w.stop_at = 180;
        CHECK(harp_feed(s, prompt + 5, PROMPT - 5, NULL) == HARP_ERR_CANCELLED && harp_statistics(s).rows > rows + 11);
        w.stop_at = 0;
        after = save(s, &more);
        inside_forget_statistics(before), inside_forget_statistics(after);
        CHECK(bytes == more && memcmp(before, after, bytes - 4) == 0);
        if (way == 1) CHECK(harp_feed(s, others, 6, NULL) == HARP_OK && harp_feed(fresh, others, 6, NULL) == HARP_OK);
        if (way == 2) {
            CHECK(harp_feed(s, prompt + 5, 9, NULL) == HARP_OK && harp_feed(s, others, 6, NULL) == HARP_OK);
            CHECK(harp_feed(fresh, prompt + 5, 9, NULL) == HARP_OK && harp_feed(fresh, others, 6, NULL) == HARP_OK);
        }
        if (way == 3) CHECK(harp_pause(s, prompt[5], 4, NULL) == HARP_OK
                            && harp_pause(fresh, prompt[5], 4, NULL) == HARP_OK);
        if (way == 4) CHECK(harp_score(s, prompt + 5, 4, on_logits, &(intruder){0}, NULL) == HARP_OK
                            && harp_score(fresh, prompt + 5, 4, on_logits, &(intruder){0}, NULL) == HARP_OK);
        if (way == 5) CHECK(harp_generate(s, "abc", 3, NULL, NULL, NULL) == HARP_OK
                            && harp_generate(fresh, "abc", 3, NULL, NULL, NULL) == HARP_OK);
        if (way == 6) CHECK(harp_rewind(s, 4, NULL) == HARP_OK && harp_rewind(fresh, 4, NULL) == HARP_OK);
        CHECK(future(s) == future(fresh) && length_of(s) == length_of(fresh));
        CHECK(same_tokens(s, fresh));
        harp_session_close(s), harp_session_close(fresh), free(before), free(after);
    }
}

/* A long queue, computed in slices, when one more token comes. */
static void test_queue_behind_slices(const harp_model *m)
{
    harp_params p = params_of();
    harp_session *s = open_session(m, &p), *fresh = open_session(m, &p);
    int done = 0;
    int64_t before;
    CHECK(harp_queue(s, prompt, PROMPT, NULL) == HARP_OK);
    while (harp_statistics(s).rows < PROMPT - 8) CHECK(harp_step_some(s, 5000, &done, NULL, NULL) == HARP_OK && !done);
    before = rows_of(s);
    CHECK(harp_queue(s, prompt, 1, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
    CHECK(harp_statistics(s).rows <= PROMPT + 1 + p.batch && before > 0);
    CHECK(harp_feed(fresh, prompt, PROMPT, NULL) == HARP_OK && harp_feed(fresh, prompt, 1, NULL) == HARP_OK);
    CHECK(harp_next(fresh, NULL, NULL) == HARP_OK && future(s) == future(fresh));
    harp_session_close(s), harp_session_close(fresh);
}

/* A step in slices, abandoned after each number of them by a call that appends: what it leaves is
 * saved and restored. */
static void test_score_behind_slices(const harp_model *m)
{
    harp_params p = params_of();
    harp_session *s, *t, *fresh;
    int n, i, done;
    p.reframe_from = 3, p.reframings = 2, p.schedule = HARP_SCHEDULE_LAZY;
    s = open_session(m, &p), t = open_session(m, &p), fresh = open_session(m, &p);
    CHECK(harp_feed(fresh, prompt, PROMPT, NULL) == HARP_OK);
    for (n = 1, done = 0; !done; n += 3) {
        unsigned char *image;
        size_t bytes;
        CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
        for (i = 0; i < n && !done; i++) CHECK(harp_step_some(s, 5000, &done, NULL, NULL) == HARP_OK);
        CHECK(harp_score(s, prompt, 1, on_logits, &(intruder){0}, NULL) == HARP_OK
              && harp_rewind(s, PROMPT, NULL) == HARP_OK);
        image = save(s, &bytes);
        CHECK(harp_restore(t, image, bytes, NULL) == HARP_OK);
        CHECK(future(s) == future(fresh) && future(t) == future(fresh));
        free(image);
    }
    CHECK(n > 30);
    harp_session_close(s), harp_session_close(t), harp_session_close(fresh);
}

static void test_progress_stays(const harp_model *m)
{
    int frame;
    for (frame = HARP_FRAME_STREAM; frame <= HARP_FRAME_LAST; frame++) {
        harp_params p = params_of();
        p.frame = (harp_frame)frame, p.reframings = 2, p.reframe_from = frame == HARP_FRAME_STREAM ? 5 : 0;
        p.schedule = HARP_SCHEDULE_FUSED;
        check_progress(m, try_feed, &p), check_progress(m, try_generate, &p), check_progress(m, try_pause, &p);
        if (frame != HARP_FRAME_REDRAW) check_progress(m, try_queued, &p); /* redraw makes the prefix anew by design */
        p.reframe_from = HARP_FROM_PROMPT, p.schedule = HARP_SCHEDULE_LAZY;
        check_other_ways(m, &p);
    }
}

/* ---- texts of several calls ---- */

typedef struct speech {
    harp_bias bias[VOCAB]; /* lets through what is to be said next, alone */
    const int32_t *say;
    int n, said, stop_at, cancel_at;
    char text[256];
    size_t bytes;
} speech;

static void let_through(speech *x)
{
    int32_t i;
    for (i = 0; i < VOCAB; i++)
        x->bias[i].token = i, x->bias[i].add = x->said < x->n && i == x->say[x->said] ? 0.0f : -HUGE_VALF;
}

static int hear(void *user, const char *text, size_t bytes, const harp_step *step)
{
    speech *x = user;
    CHECK(x->bytes + bytes < sizeof x->text && step->token == x->say[x->said]);
    memcpy(x->text + x->bytes, text, bytes), x->bytes += bytes, x->text[x->bytes] = 0;
    x->said++;
    let_through(x);
    return x->said == x->stop_at;
}

static int interrupt(void *user)
{
    speech *x = user;
    return x->cancel_at > 0 && x->said == x->cancel_at;
}

static int32_t token_of(const harp_model *m, const char *text)
{
    int32_t i;
    size_t bytes;
    for (i = 3; i < VOCAB; i++) {
        const char *is = harp_token_text(m, i, &bytes);
        if (is && bytes == strlen(text) && memcmp(is, text, bytes) == 0) return i;
    }
    return printf("there is no token %s\n", text), exit(1), -1;
}

static harp_params params_of_speech(speech *x, const char *const *stop)
{
    harp_params p = params_of();
    p.bias = x->bias, p.n_bias = VOCAB, p.cancel = interrupt, p.cancel_user = x, p.harp = 0;
    p.stop = stop, p.n_stop = stop ? 1 : 0;
    return p;
}

static harp_session *open_speech(const harp_model *m, speech *x, const int32_t *say, int n, const char *const *stop)
{
    harp_params p = params_of_speech(x, stop);
    harp_session *s;
    memset(x, 0, sizeof *x);
    x->say = say, x->n = n;
    let_through(x);
    s = open_session(m, &p);
    CHECK(harp_generate(s, "ab", 0, NULL, NULL, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_LENGTH);
    return s;
}

/* A character of three bytes, one token each, cut by max_tokens at each of them. */
static void test_characters_across_calls(const harp_model *m)
{
    int32_t say[5];
    int cut, restored;
    speech x;
    say[0] = token_of(m, "a"), say[1] = token_of(m, "\xE2"), say[2] = token_of(m, "\x82"), say[3] = token_of(m, "\xAC");
    say[4] = token_of(m, "b");
    for (cut = 1; cut < 5; cut++)
        for (restored = 0; restored < 2; restored++) {
            harp_session *s = open_speech(m, &x, say, 5, NULL);
            CHECK(harp_generate(s, NULL, cut, hear, &x, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_LENGTH);
            CHECK(strcmp(x.text, cut < 4 ? "a" : "a\xE2\x82\xAC") == 0);
            if (restored) {
                harp_session *t = open_speech(m, &(speech){0}, say, 5, NULL);
                harp_params params = params_of_speech(&x, NULL);
                size_t bytes;
                unsigned char *image = save(s, &bytes);
                CHECK(harp_tune(t, &params, NULL) == HARP_OK && harp_restore(t, image, bytes, NULL) == HARP_OK);
                harp_session_close(s), free(image);
                s = t;
                CHECK(harp_generate_end(s) == HARP_END_NONE);
            }
            CHECK(harp_generate(s, NULL, 5 - cut, hear, &x, NULL) == HARP_OK);
            CHECK(strcmp(x.text, "a\xE2\x82\xAC" "b") == 0);
            harp_session_close(s);
        }
    { /* what is fed in between is another text */
        harp_session *s = open_speech(m, &x, say, 5, NULL);
        CHECK(harp_generate(s, NULL, 2, hear, &x, NULL) == HARP_OK && harp_feed(s, prompt, 1, NULL) == HARP_OK);
        CHECK(harp_generate(s, NULL, 3, hear, &x, NULL) == HARP_OK);
        CHECK(strcmp(x.text, "a\xEF\xBF\xBD\xEF\xBF\xBD" "b") == 0);
        harp_session_close(s);
        s = open_speech(m, &x, say, 5, NULL); /* nor is what is rewound and said again */
        CHECK(harp_generate(s, NULL, 2, hear, &x, NULL) == HARP_OK);
        CHECK(harp_rewind(s, length_of(s) - 1, NULL) == HARP_OK);
        x.said = 1, let_through(&x);
        CHECK(harp_generate(s, NULL, 4, hear, &x, NULL) == HARP_OK && strcmp(x.text, "a\xE2\x82\xAC" "b") == 0);
        harp_session_close(s);
    }
}

/* Text that may begin a stop text is held; after a cancelled step, or an answer of on_text, it is not lost. */
static void test_held_text_survives(const harp_model *m)
{
    static const char *const stop[] = {"bcx"}, *const found[] = {"bcd"};
    int32_t say[6];
    speech x;
    int i, cancelled;
    for (i = 0; i < 6; i++) {
        char letter[2] = {(char)("abcdef"[i]), 0};
        say[i] = token_of(m, letter);
    }
    for (cancelled = 0; cancelled < 2; cancelled++) {
        harp_session *s = open_speech(m, &x, say, 6, stop);
        if (cancelled) x.cancel_at = 3;
        else x.stop_at = 3;
        CHECK(harp_generate(s, NULL, 6, hear, &x, NULL) == (cancelled ? HARP_ERR_CANCELLED : HARP_OK));
        CHECK(harp_generate_end(s) == (cancelled ? HARP_END_CANCELLED : HARP_END_CALLBACK));
        CHECK(strcmp(x.text, "a") == 0 && x.said == 3);
        x.cancel_at = x.stop_at = 0;
        CHECK(harp_feed(s, prompt, CONTEXT, NULL) == HARP_ERR_CONTEXT); /* a call that is refused changes nothing */
        CHECK(harp_generate(s, NULL, 3, hear, &x, NULL) == HARP_OK && strcmp(x.text, "abcdef") == 0);
        CHECK(harp_generate_end(s) == HARP_END_LENGTH);
        harp_session_close(s);
    }
    {
        harp_session *s = open_speech(m, &x, say, 6, found); /* the stop text is found across the two calls */
        x.stop_at = 3;
        CHECK(harp_generate(s, NULL, 6, hear, &x, NULL) == HARP_OK && strcmp(x.text, "a") == 0);
        CHECK(harp_generate(s, NULL, 3, hear, &x, NULL) == HARP_OK && strcmp(x.text, "a") == 0);
        CHECK(harp_generate_end(s) == HARP_END_STOP && x.said == 4);
        CHECK(harp_generate(s, NULL, 2, hear, &x, NULL) == HARP_OK && strcmp(x.text, "aef") == 0);
        harp_session_close(s);
    }
}

static void test_why_it_ended(const harp_model *m)
{
    int32_t say[3];
    speech x;
    harp_session *s;
    harp_params p = params_of();
    say[0] = token_of(m, "a"), say[1] = harp_model_info(m).end[0], say[2] = token_of(m, "b");
    CHECK(harp_model_info(m).n_end > 0 && harp_generate_end(NULL) == HARP_END_NONE);
    s = open_speech(m, &x, say, 3, NULL);
    x.stop_at = 2; /* of two reasons the end token comes first */
    CHECK(harp_generate(s, NULL, 3, hear, &x, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_TOKEN
          && x.said == 2);
    CHECK(harp_generate(s, NULL, 9, hear, &x, NULL) == HARP_ERR_CHOICE && harp_generate_end(s) == HARP_END_ERROR);
    CHECK(x.said == 3 && strcmp(x.text, "ab") == 0); /* then there was nothing left to say */
    harp_session_close(s);
    p.ignore_end = 1;
    s = open_session(m, &p);
    CHECK(harp_generate_end(s) == HARP_END_NONE);
    CHECK(harp_generate(s, "ab", 1000, NULL, NULL, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_CONTEXT);
    CHECK(harp_generate(s, NULL, 1, NULL, NULL, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_CONTEXT);
    CHECK(harp_generate(s, NULL, 0, NULL, NULL, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_CONTEXT);
    CHECK(harp_rewind(s, 5, NULL) == HARP_OK && harp_generate(s, "a", 2, NULL, NULL, NULL) == HARP_OK);
    CHECK(harp_generate_end(s) == HARP_END_LENGTH);
    CHECK(harp_generate(s, NULL, -1, NULL, NULL, NULL) == HARP_ERR_ARGUMENT && harp_generate_end(s) == HARP_END_LENGTH);
    harp_session_close(s);
}

static int ends_with(const harp_session *s, int32_t n, int32_t token)
{
    int32_t held = 0;
    const int32_t *tokens = harp_tokens(s, &held);
    return held == n && tokens[n - 1] == token;
}

/* What the session holds, by why it ended. */
static void test_what_is_left(const harp_model *m)
{
    static const char *const be[] = {"be"};
    int32_t say[6], n = 0, k;
    speech x;
    harp_session *s;
    say[0] = token_of(m, "a"), say[1] = token_of(m, "b"), say[2] = token_of(m, "e"), say[3] = say[0];
    say[4] = harp_model_info(m).end[0], say[5] = say[1];
    s = open_speech(m, &x, say, 6, be);
    harp_tokens(s, &n);
    CHECK(harp_generate(s, NULL, 1, hear, &x, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_LENGTH);
    CHECK(ends_with(s, n + 1, say[0]));
    CHECK(harp_generate(s, NULL, 9, hear, &x, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_STOP);
    CHECK(ends_with(s, n + 3, say[2]) && strcmp(x.text, "a") == 0); /* the stop text is in the session, and not shown */
    x.stop_at = 4;
    CHECK(harp_generate(s, NULL, 9, hear, &x, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_CALLBACK);
    CHECK(ends_with(s, n + 4, say[3]));
    CHECK(harp_generate(s, NULL, 9, hear, &x, NULL) == HARP_OK && harp_generate_end(s) == HARP_END_TOKEN);
    CHECK(ends_with(s, n + 5, say[4]));
    x.cancel_at = 6; /* a step is complete, the next is cancelled */
    CHECK(harp_generate(s, "a", 9, hear, &x, NULL) == HARP_ERR_CANCELLED && harp_generate_end(s) == HARP_END_CANCELLED);
    CHECK(harp_tokens(s, &k) && k == n + 5 + 1 + 1 && ends_with(s, k, say[5]));
    CHECK(harp_generate(s, "aaaa", 9, hear, &x, NULL) == HARP_ERR_CANCELLED); /* the prompt itself */
    CHECK(ends_with(s, k, say[5]) && harp_generate_end(s) == HARP_END_CANCELLED);
    x.cancel_at = 0;
    CHECK(harp_generate(s, "a", 9, hear, &x, NULL) == HARP_ERR_CHOICE && harp_generate_end(s) == HARP_END_ERROR);
    CHECK(ends_with(s, k + 1, say[0])); /* all is forbidden: no step, but the prompt */
    harp_session_close(s);
}

/* ---- what a session says of itself ---- */

typedef struct progress {
    const harp_session *session;
    int32_t last, falls, rises; /* of what is pending, from one question to the next */
} progress;

static int on_progress(void *user)
{
    progress *p = user;
    int32_t pending = p->session ? harp_session_info(p->session).pending : p->last;
    p->falls += pending < p->last, p->rises += pending > p->last, p->last = pending;
    return 0;
}

/* A prompt of 9 tokens in passes of 2, in one call and in slices. */
static void test_progress(const harp_model *m)
{
    harp_params p = params_of();
    progress x = {0};
    harp_session *s;
    int32_t first = 0;
    int done = 0;
    p.harp = 0, p.drafts = 0, p.batch = 2, p.cancel = on_progress, p.cancel_user = &x;
    s = open_session(m, &p), x.session = s, x.last = 9;
    CHECK(harp_session_info(s).pending == 0 && harp_feed(s, prompt, 9, NULL) == HARP_OK);
    CHECK(x.falls == 3 && x.rises == 0 && x.last == 3 && harp_session_info(s).pending == 1);
    CHECK(harp_rewind(s, 1, NULL) == HARP_OK && harp_queue(s, prompt + 1, 8, NULL) == HARP_OK);
    CHECK((first = harp_session_info(s).pending) >= 8);
    for (x.last = first, x.falls = 0; !done;) {
        CHECK(harp_step_some(s, 1000, &done, NULL, NULL) == HARP_OK);
        if (!done) on_progress(&x);
    }
    CHECK(x.falls >= 3 && x.rises == 0);
    harp_session_close(s);
}

static void test_facts(const harp_model *m)
{
    harp_params p = params_of();
    harp_info info = harp_model_info(m);
    harp_facts facts = harp_session_info(NULL);
    harp_session *s;
    size_t bytes = 0, block = 1 << 20;
    void *memory = malloc(block);
    CHECK(facts.isa == NULL && facts.context == 0 && facts.memory == 0);
    p.context = 0, p.beam_length = 100000, p.reframe_from = HARP_FROM_PROMPT, p.cache = HARP_CACHE_F32, p.drafts = 0;
    p.memory = memory, p.memory_bytes = block, p.harp = 0; /* a block that is larger than need be */
    CHECK(memory && harp_session_memory(m, &p, &bytes, NULL) == HARP_OK && bytes < block);
    s = open_session(m, &p), facts = harp_session_info(s);
    CHECK(facts.context == info.context && facts.beam_length == info.context && facts.reframe_from == 0);
    CHECK(strcmp(facts.isa, harp_isa(0)) == 0 && facts.threads == 1 && facts.batch == p.batch && facts.memory == bytes);
    block = (size_t)((info.context + 15) / 16 * 16) * (size_t)(info.layers * info.kv_heads * info.head_dim);
    CHECK(facts.cache_memory == 2 * 4 * block); /* keys and values, of one stream */
    CHECK(harp_feed(s, prompt, 7, NULL) == HARP_OK && harp_session_info(s).reframe_from == 7);
    CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_session_info(s).reframe_from == 0);
    harp_session_close(s);
    free(memory);
    p.memory = NULL, p.drafts = 4;
    CHECK(harp_session_memory(m, &p, &bytes, NULL) == HARP_OK);
    p.draft_rule = HARP_DRAFT_LEVIATHAN; /* without a draft session there are no probabilities to keep */
    CHECK(harp_session_memory(m, &p, &block, NULL) == HARP_OK && block == bytes);
}

/* ---- parameters that change ---- */

/* Later, and back again: what was there at opening is there. */
static void test_reframe_from_back(const harp_model *m)
{
    static const int32_t froms[] = {0, 1000, 0, 17, 3, 1000, 0};
    harp_params p = params_of(), q;
    harp_session *s = open_session(m, &p), *fresh = open_session(m, &p);
    size_t i;
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && harp_feed(fresh, prompt, PROMPT, NULL) == HARP_OK);
    for (i = 0, q = p; i < sizeof froms / sizeof *froms; i++) {
        q.reframe_from = froms[i];
        CHECK(harp_tune(s, &q, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
        CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK);
    }
    CHECK(future(s) == future(fresh) && future(s) != 0);
    harp_session_close(s), harp_session_close(fresh);
    p.reframe_from = 32;
    s = open_session(m, &p), q = p, q.reframe_from = 31;
    CHECK(harp_tune(s, &q, NULL) == HARP_ERR_ARGUMENT); /* that block it has no memory for */
    q.reframe_from = 1000;
    CHECK(harp_tune(s, &q, NULL) == HARP_OK);
    q.reframe_from = 31;
    CHECK(harp_tune(s, &q, NULL) == HARP_ERR_ARGUMENT);
    q.reframe_from = 33;
    CHECK(harp_tune(s, &q, NULL) == HARP_OK);
    harp_session_close(s);
}

static void test_stop_texts_by_content(const harp_model *m)
{
    char first[8] = "one", copy[8] = "one", other[8] = "two", longer[8] = "three";
    const char *stop[] = {first}, *same[] = {copy}, *two[] = {other, copy}, *three[] = {longer};
    harp_params p = params_of();
    harp_session *s;
    p.stop = stop, p.n_stop = 1;
    s = open_session(m, &p);
    p.stop = same;
    CHECK(harp_tune(s, &p, NULL) == HARP_OK);
    p.stop = two, p.n_stop = 2;
    CHECK(harp_tune(s, &p, NULL) == HARP_OK);
    p.stop = three, p.n_stop = 1;
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
    p.stop = stop, strcpy(first, "threes"); /* the same pointer, but what it points to has no room */
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(s);
}

static void test_biases_at_each_step(const harp_model *m)
{
    static harp_bias all[VOCAB];
    int way, i;
    for (way = 0; way < 12; way++) { /* greedy or drawn, with HARP or without, with guesses that count or without */
        harp_params p = params_of();
        harp_session *s;
        harp_error err;
        harp_step step;
        for (i = 0; i < VOCAB; i++) all[i].token = i, all[i].add = -HUGE_VALF;
        p.temperature = way % 2 ? 0.7f : 0.0f, p.harp = way / 2 % 2, p.drafts = way >= 4 ? 2 : 0;
        p.draft_rule = way >= 8 ? HARP_DRAFT_LEVIATHAN : HARP_DRAFT_EXACT, p.lookup = 1;
        s = open_session(m, &p);
        CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
        p.bias = all, p.n_bias = VOCAB;
        CHECK(harp_tune(s, &p, NULL) == HARP_OK);
        CHECK(harp_next(s, &step, &err) == HARP_ERR_CHOICE && strstr(err.text, "forbid") && length_of(s) == PROMPT);
        all[33].add = 0.0f; /* one is allowed after all */
        CHECK(harp_next(s, &step, &err) == HARP_OK && step.token == 33 && harp_rewind(s, PROMPT, NULL) == HARP_OK);
        all[VOCAB - 1].token = VOCAB;
        CHECK(harp_next(s, &step, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "bias 79") && length_of(s) == PROMPT);
        all[VOCAB - 1].token = VOCAB - 1, all[5].add = NAN;
        CHECK(harp_next(s, &step, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "bias 5"));
        all[5].add = -HUGE_VALF;
        CHECK(harp_next(s, &step, &err) == HARP_OK && step.token == 33 && step.vanilla_token == 33);
        harp_session_close(s);
    }
}

/* What one bias forbids, no other allows, not even together with an overflow. */
static void test_biases_of_one_token(const harp_model *m)
{
    harp_bias of_one[] = {{0, FLT_MAX}, {0, FLT_MAX}, {0, -HUGE_VALF}, {0, FLT_MAX}};
    harp_params p = params_of();
    harp_step step;
    int way, i;
    p.bias = of_one, p.n_bias = 4;
    for (way = 0; way < 8; way++) {
        harp_session *s;
        for (i = 0; i < 4; i++) of_one[i].token = way / 4 ? 5 : 0;
        p.temperature = way % 2 ? 0.7f : 0.0f, p.top_k = way / 2 % 2 ? 0 : 40;
        s = open_session(m, &p);
        CHECK(harp_feed(s, prompt, 20, NULL) == HARP_OK);
        for (i = 0; i < 5; i++) CHECK(harp_next(s, &step, NULL) == HARP_OK && step.token != of_one[0].token);
        harp_session_close(s);
    }
}

static void count_parts(void *user, void (*task)(void *argument, int i), void *argument, int n)
{
    ++*(int *)user;
    for (; n > 0; n--) task(argument, n - 1);
}

/* Whether there is a parallel function must stay, not which. */
static void test_another_parallel(const harp_model *m)
{
    harp_params p = params_of();
    harp_session *s;
    int calls[2] = {0, 0}, before;
    p.threads = 2, p.parallel = count_parts, p.parallel_user = &calls[0];
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, 12, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
    before = calls[0], p.parallel_user = &calls[1];
    CHECK(harp_tune(s, &p, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
    CHECK(calls[0] == before && (calls[1] > 0) == COUNTS_PARTS && (before > 0) == COUNTS_PARTS);
    harp_session_close(s);
}

/* Functions that give and take a fork's memory, and reach for its parent. */
typedef struct landlord {
    harp_session *parent;
    int rewinds, closes, taken;
} landlord;

static void *give(void *user, size_t bytes)
{
    landlord *l = user;
    if (l->rewinds && harp_rewind(l->parent, 1, NULL) == HARP_OK) l->taken++;
    return malloc(bytes);
}

static void take(void *user, void *block, size_t bytes)
{
    landlord *l = user;
    (void)bytes;
    free(block);
    if (l->closes) harp_session_close(l->parent), l->parent = NULL, l->closes = 0;
}

static void test_memory_of_a_fork(const harp_model *m)
{
    harp_params p = params_of(), q;
    harp_session *fork;
    landlord l = {NULL, 1, 1, 0};
    q = p, l.parent = open_session(m, &p);
    CHECK(harp_feed(l.parent, prompt, PROMPT, NULL) == HARP_OK && harp_next(l.parent, NULL, NULL) == HARP_OK);
    q.parent = l.parent, q.parent_at = PROMPT;
    q.allocator.alloc = give, q.allocator.free = take, q.allocator.user = &l;
    fork = open_session(m, &q);
    CHECK(l.taken == 0 && length_of(l.parent) == PROMPT + 1 && harp_next(fork, NULL, NULL) == HARP_OK);
    harp_session_close(fork);
    CHECK(!l.parent);
}

/* ---- what an image holds ---- */

static int same_image(const harp_session *a, const harp_session *b)
{
    size_t n, k;
    unsigned char *x = save(a, &n), *y = save(b, &k);
    int same;
    inside_forget_statistics(x), inside_forget_statistics(y);
    same = n == k && memcmp(x, y, n - 4) == 0; /* the checksum is of the statistics, too */
    free(x), free(y);
    return same;
}

/* Has the session read, say and forget something, in all ways that there are. */
static void keep_secrets(harp_session *s, watch *w)
{
    int32_t secret[PROMPT], i, n = length_of(s);
    for (i = 0; i < PROMPT; i++) secret[i] = (prompt[i] + 13) % VOCAB;
    CHECK(harp_feed(s, secret, 26, NULL) == HARP_OK);
    for (i = 0; i < 4; i++) CHECK(harp_next(s, NULL, NULL) == HARP_OK);
    CHECK(harp_score_harp(s, secret, 4, on_step, &(intruder){0}, NULL) == HARP_OK);
    CHECK(harp_rewind(s, n, NULL) == HARP_OK);
    w->asked = 0, w->stop_at = 100;
    CHECK(harp_feed(s, secret, 26, NULL) == HARP_ERR_CANCELLED);
    w->stop_at = 0;
}

/* A session that held other tokens once saves what one saves that never did. */
static void test_images_forget(const harp_model *m)
{
    int way, i;
    for (way = 0; way < 3 * 3 * 4; way++) {
        harp_params p = params_of();
        harp_session *s, *fresh;
        watch w = {0, 0, NULL};
        int32_t n = way / 9 * 5 + 1;
        p.frame = (harp_frame)(way % 3), p.cache = (harp_cache)(way / 3 % 3), p.reframings = 2;
        p.drafts = way % 2 ? 3 : 0, p.lookup = 1, p.reframe_from = way / 9 * 3;
        fresh = open_session(m, &p), p.cancel = ask, p.cancel_user = &w;
        s = open_session(m, &p);
        CHECK(harp_feed(s, prompt, n, NULL) == HARP_OK && harp_feed(fresh, prompt, n, NULL) == HARP_OK);
        keep_secrets(s, &w);
        CHECK(harp_feed(s, prompt + n, 7, NULL) == HARP_OK && harp_feed(fresh, prompt + n, 7, NULL) == HARP_OK);
        for (i = 0; i < 3; i++) CHECK(harp_next(s, NULL, NULL) == HARP_OK && harp_next(fresh, NULL, NULL) == HARP_OK);
        CHECK(same_image(s, fresh));
        harp_session_close(s), harp_session_close(fresh);
    }
    for (way = 0; way < 3; way++) { /* and at once, where the forgotten ones still stand in the same block */
        harp_params p = params_of();
        harp_session *s, *fresh;
        watch w = {0, 0, NULL};
        p.cache = (harp_cache)way, p.harp = 0;
        fresh = open_session(m, &p), p.cancel = ask, p.cancel_user = &w;
        s = open_session(m, &p);
        CHECK(harp_feed(s, prompt, 5, NULL) == HARP_OK && harp_feed(fresh, prompt, 6, NULL) == HARP_OK);
        keep_secrets(s, &w);
        CHECK(harp_rewind(fresh, 5, NULL) == HARP_OK && same_image(s, fresh));
        harp_session_close(s), harp_session_close(fresh);
    }
}

/* What is no beginning of a character is refused, whoever computed the checksum. */
static void test_forged_characters(const harp_model *m)
{
    static const uint8_t forged[][4] = {{1, 'a', 0, 0},        {1, 0x80, 0, 0},       {2, 0xC3, 0xA9, 0},
                                        {3, 0xE2, 0x82, 0xAC}, {4, 0xF0, 0x9F, 0x98}, {255, 0xF0, 0x9F, 0x98},
                                        {3, 0xED, 0xA0, 0x80}};
    static const uint8_t fine[][4] = {{1, 0xC3, 0, 0}, {2, 0xE2, 0x82, 0}, {3, 0xF0, 0x9F, 0x98}};
    harp_params p = params_of();
    harp_session *s = open_session(m, &p);
    size_t bytes, i, at = inside_image_unfinished();
    unsigned char *image;
    uint32_t crc;
    CHECK(harp_feed(s, prompt, 5, NULL) == HARP_OK);
    image = save(s, &bytes);
    for (i = 0; i < sizeof forged / sizeof *forged + sizeof fine / sizeof *fine; i++) {
        size_t n = sizeof forged / sizeof *forged;
        memcpy(image + at, i < n ? forged[i] : fine[i - n], 4);
        crc = hf_crc(0, image, bytes - 4);
        memcpy(image + bytes - 4, &crc, 4);
        CHECK(harp_restore(s, image, bytes, NULL) == (i < n ? HARP_ERR_FORMAT : HARP_OK));
        CHECK(harp_generate(s, NULL, 3, NULL, NULL, NULL) == HARP_OK && harp_rewind(s, 5, NULL) == HARP_OK);
    }
    free(image);
    harp_session_close(s);
}

/* What was masked otherwise is computed anew; other activations gave other keys. */
static void test_restored_under_others(const harp_model *m)
{
    harp_params p = params_of();
    int way, stepped;
    for (way = 0; way < 5; way++)
        for (stepped = 0; stepped < 2; stepped++) { /* whether there is a reframed text to be masked anew */
            harp_params q = p;
            harp_session *s = open_session(m, &p), *restored, *fresh;
            size_t bytes = 0;
            unsigned char *image;
            CHECK(harp_feed(s, prompt, 20, NULL) == HARP_OK && (!stepped || harp_next(s, NULL, NULL) == HARP_OK));
            CHECK(harp_rewind(s, 20, NULL) == HARP_OK);
            image = save(s, &bytes);
            if (way == 1) q.seed = 2;
            if (way == 2) q.delta = 0.5f;
            if (way == 3) q.rescale = 1;
            if (way == 4) q.activations = HARP_ACT_F32;
            restored = open_session(m, &q), fresh = open_session(m, &q);
            CHECK(harp_restore(restored, image, bytes, NULL) == (way == 4 ? HARP_ERR_FORMAT : HARP_OK));
            CHECK(harp_feed(fresh, prompt, 20, NULL) == HARP_OK);
            CHECK(way == 4 || future(restored) == future(fresh));
            free(image);
            harp_session_close(s), harp_session_close(restored), harp_session_close(fresh);
        }
}

/* In frame stream no stream is ahead of the one before it: forks count on it. And tokens are those of the vocabulary. */
static void test_forged_lengths(const harp_model *m)
{
    static const int32_t tokens[4] = {0, -1, VOCAB - 1, VOCAB};
    harp_params p = params_of();
    harp_session *s;
    size_t bytes = 0;
    unsigned char *image;
    int32_t bounds[4];
    uint32_t crc;
    int i;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, 20, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
    CHECK(harp_rewind(s, 20, NULL) == HARP_OK);
    image = save(s, &bytes);
    memcpy(bounds, image + inside_image_head(s) - sizeof bounds, sizeof bounds);
    CHECK(bounds[0] == 0 && bounds[1] == 20 && bounds[2] == 0 && bounds[3] == 20);
    bounds[1] = 17; /* in as many blocks */
    memcpy(image + inside_image_head(s) - sizeof bounds, bounds, sizeof bounds);
    crc = hf_crc(0, image, bytes - 4), memcpy(image + bytes - 4, &crc, 4);
    CHECK(harp_restore(s, image, bytes, NULL) == HARP_ERR_FORMAT);
    bounds[1] = 20;
    memcpy(image + inside_image_head(s) - sizeof bounds, bounds, sizeof bounds);
    for (i = 0; i < 4; i++) { /* the last token of the vocabulary, and two that are none */
        memcpy(image + inside_image_head(s), &tokens[i], 4);
        crc = hf_crc(0, image, bytes - 4), memcpy(image + bytes - 4, &crc, 4);
        CHECK(harp_restore(s, image, bytes, NULL) == (i % 2 ? HARP_ERR_FORMAT : HARP_OK));
    }
    free(image);
    harp_session_close(s);
}

int main(void)
{
    harp_model *wordless = make_model(0), *words = make_model(2);
    int32_t i;
    for (i = 0; i < PROMPT; i++) prompt[i] = (i * 37 + 11) % 61 + i % 2;
    for (i = 12; i < PROMPT; i++) prompt[i] = prompt[i - 8 + i % 3]; /* something to look up */
    test_calls_inside_callbacks(words);
    test_shared_draft(wordless);
    test_draft_with_a_fork(wordless);
    test_leviathan_is_reproducible(wordless);
    test_draft_in_slices(wordless, HARP_DRAFT_EXACT), test_draft_in_slices(wordless, HARP_DRAFT_LEVIATHAN);
    test_progress_stays(words);
    test_queue_behind_slices(wordless), test_score_behind_slices(wordless);
    test_characters_across_calls(words);
    test_held_text_survives(words);
    test_why_it_ended(words);
    test_what_is_left(words);
    test_facts(wordless);
    test_progress(wordless);
    test_reframe_from_back(wordless);
    test_stop_texts_by_content(words);
    test_biases_at_each_step(wordless);
    test_biases_of_one_token(wordless);
    test_another_parallel(wordless);
    test_memory_of_a_fork(wordless);
    test_images_forget(wordless);
    test_restored_under_others(wordless);
    test_forged_lengths(wordless);
    test_forged_characters(words);
    harp_close(wordless), harp_close(words);
    return conclude();
}
