/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * seats.h - the sessions of the state machine (machine.c): their parameters at random, their memory and their hooks
 */
#ifndef HARP_SEATS_H
#define HARP_SEATS_H

#include "../harp.h"

#include "random_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

enum { MOST = 96 /* positions */, MOST_TEXT = 4096, MOST_LOG = 1 << 15, GUARD = 64 };

/* ---- What there is ----------------------------------------------------------------------------------------------- */

typedef struct machine machine;

/* A session with its memory and its hooks. */
typedef struct seat {
    machine *m;
    harp_session *session;
    harp_params params, opening; /* as given last, and at first                                           */
    unsigned char *memory;       /* the block handed in, garbage around it; NULL: the allocator was asked */
    size_t shift, bytes;         /* where in `memory` the block begins, and its size                      */
    int cancel_in, refuse_in;    /* the so many-th time that cancel, or the mask, answers 1; 0: never      */
    int meddle_in;               /* the so many-th time that cancel or on_text makes a call of its own     */
    int fired;                   /* cancel or the mask did answer 1                                       */
    struct seat *draft, *next;
    struct seat *base; /* of a fork: its parent */
    int model;
} seat;

/* What a session should hold. */
typedef struct history {
    int32_t tokens[MOST + 1], n, from;
} history;

/* A saved session. */
typedef struct image {
    unsigned char *data;
    size_t bytes;
} image;

/* What a call gave, as words to compare. */
typedef struct record {
    harp_status status;
    int pending; /* a step in slices that is not complete */
    size_t n, capacity, n_text;
    uint32_t *words;
    int32_t calls; /* of a callback */
    char text[MOST_TEXT];
} record;

struct machine {
    uint64_t seed;
    chance now; /* of the operation under way */
    rm_copy images[4];
    harp_model *models[4]; /* 0, 1: two copies of the model; 2, 3: of the draft sessions' */
    int32_t vocab, hidden, rope_original;
    int has_tokenizer;
    seat *seats, *main;
    harp_engine *engine; /* of copy 0, for some of the sessions; or NULL             */
    seat *company[2];    /* on it: their steps are made in the passes of the others */
    history here;
    int32_t computed; /* at least so many positions are */
    int text_is_open; /* the next text may continue one */
    int denied;       /* the allocator has no memory    */
    record got, want;
    image saved[2];
    const char *whisper; /* a complaint from within a callback */
    jmp_buf escape;
    int verbose;
    const char *where; /* a check failed */
    char complaint[512], log[MOST_LOG];
    size_t n_log;
    uint64_t comparisons, hash;
    harp_bias biases[4];
    const char *stops[3];
};

/* ---- Failing ----------------------------------------------------------------------------------------------------- */

static void say(machine *m, const char *format, ...)
{
    va_list list;
    int n;
    if (m->n_log + 1 >= sizeof m->log) return;
    va_start(list, format);
    n = vsnprintf(m->log + m->n_log, sizeof m->log - m->n_log, format, list);
    va_end(list);
    if (m->verbose) fputs(m->log + m->n_log, stdout);
    if (n > 0) m->n_log += (size_t)n;
    if (m->n_log >= sizeof m->log) m->n_log = sizeof m->log - 1;
}

static void complain(machine *m, const char *where, const char *format, ...)
{
    va_list list;
    m->where = where;
    va_start(list, format);
    vsnprintf(m->complaint, sizeof m->complaint, format, list);
    va_end(list);
    longjmp(m->escape, 1);
}

/* Ends the sequence unless the condition holds. Not within callbacks: those whisper. */
#define TEXT_OF(x) #x
#define LINE_TEXT(line) TEXT_OF(line)
#define CHECK(m, condition, ...)                                                                                       \
    do {                                                                                                               \
        if (!(condition)) complain(m, __FILE__ ":" LINE_TEXT(__LINE__), __VA_ARGS__);                                  \
    } while (0)

/* ---- Hooks ------------------------------------------------------------------------------------------------------- */

/* From within a callback the session cannot be changed. */
static void meddle(seat *s)
{
    harp_session *fork;
    harp_params p = s->params;
    harp_error err;
    int32_t token = 0;
    harp_status status;
    if (s->meddle_in == 0 || --s->meddle_in > 0) return;
    switch (s->params.seed % 5) {
    case 0: status = harp_rewind(s->session, 0, &err); break;
    case 1: status = harp_queue(s->session, &token, 1, &err); break;
    case 2: status = harp_next(s->session, NULL, &err); break;
    case 3:
        p.parent = s->session, p.parent_at = 1, p.memory = NULL, p.engine = NULL;
        status = harp_session_open(&fork, s->m->models[s->model], &p, &err);
        break;
    default: status = harp_tune(s->session, &s->params, &err);
    }
    if (status != HARP_ERR_ARGUMENT) s->m->whisper = "a callback changed its session";
}

/* Calls that only look are allowed meanwhile. */
static int on_cancel(void *user)
{
    seat *s = user;
    int32_t n = -1;
    meddle(s);
    if (s->session && (!harp_tokens(s->session, &n) || n < 0 || n > s->params.context))
        s->m->whisper = "tokens in cancel";
    if (s->session && harp_statistics(s->session).steps < 0) s->m->whisper = "statistics in cancel";
    if (s->cancel_in == 0 || --s->cancel_in > 0) return 0;
    return s->fired = 1;
}

static int on_mask(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep, int32_t hidden)
{
    seat *s = user;
    uint32_t state = ((uint32_t)reframing * 7919u + (uint32_t)step * 104729u + (uint32_t)position * 31u) ^ 0x9E3779B9u;
    int32_t i;
    for (i = 0; i < hidden; i++) state = state * 1664525u + 1013904223u, keep[i] = state >> 28 > 3;
    if (s->refuse_in == 0 || --s->refuse_in > 0) return 0;
    return s->fired = 1;
}

static float on_measure(void *user, const float *logits, int32_t vocab)
{
    float apart = logits[0] - logits[vocab - 1], half = apart * 0.5f;
    (void)user;
    return half < 0.0f ? -half : half;
}

static void on_combine(void *user, const float *vanilla, const float *reframed, float *combined, int32_t vocab)
{
    int32_t i;
    (void)user;
    for (i = 0; i < vocab; i++) combined[i] = vanilla[i] > reframed[i] ? vanilla[i] : reframed[i];
}

/* Forbids a third of the tokens, makes others likelier, by what came before; seldom it forbids all. */
static int on_adjust(void *user, const int32_t *tokens, int32_t n, const float *logits, float *add, int32_t vocab)
{
    uint32_t state = (uint32_t)n * 7919u ^ (n > 0 ? (uint32_t)tokens[n - 1] * 104729u : 1u) ^ (logits[0] > logits[1]);
    int32_t i, none = state % 61 == 0;
    (void)user;
    for (i = 0; i < vocab; i++) {
        state = state * 1664525u + 1013904223u;
        if (none || state >> 30 == 0) add[i] = -INFINITY;
        else if (state >> 30 == 1) add[i] = 2.0f;
    }
    return 0;
}

static void backwards(void *user, void (*task)(void *argument, int i), void *argument, int n)
{
    (void)user;
    while (n-- > 0) task(argument, n);
}

static void *on_alloc(void *user, size_t bytes)
{
    seat *s = user;
    if (s->session) s->m->whisper = "memory was asked for after opening";
    if (s->m->denied) return NULL;
    s->bytes = bytes;
    return malloc(bytes);
}

static void on_free(void *user, void *block, size_t bytes)
{
    seat *s = user;
    if (bytes != s->bytes) s->m->whisper = "free was told another size than alloc";
    free(block);
}

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

static uint32_t one_has_threads = 32; /* of so many sessions */

/* What changes the cost alone. Each machine draws as often, however many instruction sets it has; the last of them,
 * plain C, takes its time and is drawn less often. */
static void draw_resources(machine *m, harp_params *p)
{
    chance *c = &m->now;
    uint32_t which = draw(c, 5040), sets = 0, threads = 2 + draw(c, 2);
    int is_default = one_in(c, 8), is_backwards = one_in(c, 16), has_threads = one_in(c, one_has_threads);
    while (harp_isa((int)sets)) sets++;
    if (which % sets == sets - 1) which /= sets;
    p->isa = is_default ? NULL : harp_isa((int)(which % sets));
    p->batch = 1 + (int32_t)draw(c, one_in(c, 4) ? 70 : 9), p->logit_rows = 1 + (int32_t)draw(c, 9);
    p->schedule = one_in(c, 6) ? HARP_SCHEDULE_AUTO : one_in(c, 2) ? HARP_SCHEDULE_LAZY : HARP_SCHEDULE_FUSED;
    p->threads = is_backwards || has_threads ? (int)threads : 1, p->parallel = is_backwards ? backwards : NULL;
}

static void draw_choice(machine *m, harp_params *p)
{
    static const float temperatures[] = {0.0f, 0.8f, 2.0f, 0.01f, 100.0f};
    static const int32_t tops[] = {0, 1, 5, 40, 100000};
    chance *c = &m->now;
    int32_t i;
    p->temperature = temperatures[draw(c, 5)], p->top_k = tops[draw(c, 5)];
    p->top_p = (float)draw(c, 11) / 10.0f, p->min_p = one_in(c, 2) ? 0.0f : (float)draw(c, 11) / 10.0f;
    p->repeat_penalty = one_in(c, 2) ? 1.0f : 0.5f + (float)draw(c, 5) * 0.5f, p->repeat_last = (int32_t)draw(c, 30);
    p->n_bias = one_in(c, 2) ? 0 : (int32_t)draw(c, 4), p->bias = p->n_bias ? m->biases : NULL;
    for (i = 0; i < p->n_bias; i++) {
        m->biases[i].token = (int32_t)draw(c, (uint32_t)m->vocab);
        m->biases[i].add = one_in(c, 3) ? (float)-HUGE_VAL : (float)draw(c, 9) - 4.0f;
    }
    p->ignore_end = one_in(c, 2);
}

static void draw_harp(machine *m, harp_params *p)
{
    static const float thetas[] = {-1.0f, 0.5f, 1.0f, 2.0f, 3.0f, 1e9f}, shares[] = {0.0f, 0.25f, 0.5f, 1.0f};
    chance *c = &m->now;
    p->theta = thetas[draw(c, 6)], p->delta = shares[draw(c, 4)], p->beta = shares[draw(c, 4)];
    p->rescale = one_in(c, 2), p->measure = (harp_measure)draw(c, 5), p->measure_fn = on_measure;
    p->mask_fn = one_in(c, 4) ? on_mask : NULL, p->combine_fn = one_in(c, 5) ? on_combine : NULL;
    p->seed = draw(c, 4);
}

static void draw_decoders(machine *m, harp_params *p)
{
    static const char *const stops[] = {"a", "b ", "1a", "\n", "aa", " a b", "zz"};
    chance *c = &m->now;
    int32_t i;
    p->drafts = one_in(c, 2) ? 1 + (int32_t)draw(c, 7) : 0, p->lookup = 1 + (int32_t)draw(c, 4);
    p->draft_rule = one_in(c, 2) ? HARP_DRAFT_LEVIATHAN : HARP_DRAFT_EXACT;
    p->beams = one_in(c, 3) ? 1 + (int32_t)draw(c, 6) : 0, p->beam_length = 1 + (int32_t)draw(c, 24);
    p->n_stop = (int32_t)draw(c, 3), p->stop = p->n_stop ? m->stops : NULL;
    for (i = 0; i < p->n_stop; i++) m->stops[i] = stops[draw(c, 7)];
}

static harp_params draw_params(machine *m)
{
    harp_params p = harp_defaults();
    chance *c = &m->now;
    int32_t most = harp_model_info(m->models[0]).context;
    if (most > MOST) most = MOST;
    p.context = one_in(c, 6) ? 1 + (int32_t)draw(c, (uint32_t)most) : most;
    if (!one_in(c, 3) && p.context > 40) p.context = 40;
    p.activations = one_in(c, 5) ? HARP_ACT_F32 : HARP_ACT_INT8, p.cache = (harp_cache)draw(c, 3);
    draw_decoders(m, &p);
    p.harp = p.beams ? one_in(c, 3) : !one_in(c, 6), p.frame = (harp_frame)draw(c, 3);
    p.reframings = 1 + (int32_t)draw(c, one_in(c, 40) ? 64 : 3);
    p.reframe_from = one_in(c, 3) ? HARP_FROM_PROMPT : (int32_t)draw(c, one_in(c, 3) ? 100 : 20);
    p.hidden = one_in(c, 2);
    p.adjust_fn = !p.beams && one_in(c, 4) ? on_adjust : NULL;
    draw_resources(m, &p);
    draw_choice(m, &p);
    draw_harp(m, &p);
    return p;
}

static void say_params(machine *m, const char *what, const harp_params *p)
{
    say(m,
        "    %s: context %d act %d cache %d hidden %d harp %d theta %g delta %g beta %g rescale %d K %d frame %d"
        " from %d measure %d mask %d combine %d adjust %d\n",
        what, (int)p->context, p->activations, p->cache, p->hidden, p->harp, (double)p->theta, (double)p->delta,
        (double)p->beta, p->rescale, (int)p->reframings, p->frame, (int)p->reframe_from, p->measure, p->mask_fn != NULL,
        p->combine_fn != NULL, p->adjust_fn != NULL);
    say(m,
        "        T %g k %d p %g min_p %g penalty %g/%d biases %d seed %d beams %d of %d drafts %d lookup %d rule %d by "
        "%s"
        " stops %d\n",
        (double)p->temperature, (int)p->top_k, (double)p->top_p, (double)p->min_p, (double)p->repeat_penalty,
        (int)p->repeat_last, (int)p->n_bias, (int)p->seed, (int)p->beams, (int)p->beam_length, (int)p->drafts,
        (int)p->lookup, p->draft_rule, p->draft ? "session" : "lookup", (int)p->n_stop);
    say(m, "        batch %d logit_rows %d schedule %d threads %d%s isa %s %s\n", (int)p->batch, (int)p->logit_rows,
        p->schedule, p->threads, p->parallel ? " backwards" : "", p->isa ? p->isa : "default", p->memory ? "lent" : "");
}

/* ---- Seats ------------------------------------------------------------------------------------------------------- */

static seat *new_seat(machine *m)
{
    seat *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->m = m, s->next = m->seats;
    return m->seats = s;
}

/* Lends the session a block at any alignment, full of NaNs of every type, of zeros, or of another byte. */
static void lend(machine *m, seat *s, harp_params *p, size_t bytes)
{
    uint32_t kind = draw(&m->now, 3), any = draw(&m->now, 256);
    s->shift = draw(&m->now, 64), s->bytes = bytes;
    s->memory = malloc(bytes + s->shift + GUARD);
    if (!s->memory) abort();
    memset(s->memory, 0xC5, bytes + s->shift + GUARD);
    memset(s->memory + s->shift, kind == 0 ? 0xFF : kind == 1 ? 0 : (int)any, bytes);
    p->memory = s->memory + s->shift, p->memory_bytes = bytes;
}

/* Opens a session on copy 0 or 1 of the model (2 or 3: the draft sessions'). */
static seat *sit(machine *m, int model, const harp_params *given)
{
    seat *s = new_seat(m);
    harp_params p = *given;
    harp_facts facts;
    harp_error err;
    size_t bytes = 0;
    p.cancel = on_cancel, p.cancel_user = p.harp_user = s;
    p.allocator.alloc = on_alloc, p.allocator.free = on_free, p.allocator.user = s;
    p.memory = NULL, p.memory_bytes = 0;
    if (model != 0) p.engine = NULL;
    /* what the clock decides of one session must not decide how far those in its company come */
    if (p.engine && p.schedule == HARP_SCHEDULE_AUTO) p.schedule = HARP_SCHEDULE_FUSED;
    s->model = model;
    CHECK(m, harp_session_memory(m->models[model], &p, &bytes, &err) == HARP_OK, "memory: %s", err.text);
    if (!one_in(&m->now, 3)) lend(m, s, &p, bytes);
    s->params = s->opening = p;
    CHECK(m, harp_session_open(&s->session, m->models[model], &p, &err) == HARP_OK, "open: %s", err.text);
    facts = harp_session_info(s->session);
    CHECK(m, facts.memory == bytes && facts.cache_memory > 0 && facts.cache_memory < bytes, "facts: memory");
    CHECK(m, facts.context == p.context, "facts: context");
    CHECK(m, p.engine || (facts.batch == p.batch && facts.threads == p.threads), "facts: sizes");
    CHECK(m, p.engine || strcmp(facts.isa, p.isa ? p.isa : harp_isa(0)) == 0, "facts: %s, not %s", facts.isa, p.isa);
    CHECK(m, !harp_hidden(s->session), "there is a hidden state before the first step");
    CHECK(m, !m->whisper, "%s", m->whisper);
    return s;
}

static int guards_hold(const seat *s)
{
    size_t i;
    for (i = 0; i < s->shift; i++)
        if (s->memory[i] != 0xC5) return 0;
    for (i = 0; i < GUARD; i++)
        if (s->memory[s->shift + s->bytes + i] != 0xC5) return 0;
    return 1;
}

static void free_seat(machine *m, seat *s)
{
    seat **at = &m->seats;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    harp_session_close(s->session);
    free(s->memory);
    free(s);
}

/* A fork of the session, or NULL. */
static seat *fork_of(const machine *m, const seat *s)
{
    seat *fork = m->seats;
    while (fork && fork->base != s) fork = fork->next;
    return fork;
}

/* Closes the session and that which drafts for it, and what is forked from it. */
static void leave(machine *m, seat *s)
{
    int hold = !s->memory || guards_hold(s);
    seat *base = s->base, *fork;
    if (s->draft) leave(m, s->draft);
    while ((fork = fork_of(m, s)) != NULL) free_seat(m, fork);
    free_seat(m, s);
    if (base) leave(m, base);
    CHECK(m, hold, "the session wrote beside its block");
    CHECK(m, !m->whisper, "%s", m->whisper);
}

/* An engine on which sessions like the main one have what they need, and two that keep them company. */
static void open_engine(machine *m, harp_params p)
{
    static const int32_t words[3] = {0, 0, 0};
    harp_error err;
    int i;
    p.stop = NULL, p.n_stop = 0, p.n_bias = 0, p.draft = NULL, p.harp = 1, p.drafts = 8, p.logit_rows = 9;
    p.beams = p.beams > 0 ? p.beams : 0, p.hidden = m->main->params.hidden, p.seats = 2 + (int32_t)draw(&m->now, 4);
    if (p.seats < 3) p.seats = 3;
    draw_resources(m, &p);
    p.logit_rows = 9;
    CHECK(m, harp_engine_open(&m->engine, m->models[0], &p, &err) == HARP_OK, "engine: %s", err.text);
    p.engine = m->engine, p.logit_rows = 1, p.drafts = 0, p.beams = 0, p.adjust_fn = NULL, p.mask_fn = NULL;
    p.combine_fn = NULL, p.measure = HARP_MEASURE_ENTROPY, p.theta = 1.0f, p.frame = HARP_FRAME_STREAM;
    for (i = 0; i < 2 && p.context > 8; i++) {
        m->company[i] = sit(m, 0, &p);
        CHECK(m, harp_queue(m->company[i]->session, words, 3, &err) == HARP_OK, "company: %s", err.text);
    }
}

/* Sits down a session with these parameters and, if guesses have a say in what is chosen, one like the main one's that
 * drafts for it. Other drafts than that change the cost alone. */
static seat *sit_beside(machine *m, harp_params p)
{
    seat *draft = NULL, *s;
    p.draft = NULL;
    draw_resources(m, &p);
    if (p.draft_rule == HARP_DRAFT_EXACT) {
        p.drafts = one_in(&m->now, 3) ? (int32_t)draw(&m->now, 6) : 0;
    } else if (m->main->draft) {
        harp_params like = m->main->draft->params;
        draw_resources(m, &like);
        draft = sit(m, 2 + (int)draw(&m->now, 2), &like);
        p.draft = draft->session;
    }
    p.engine = m->engine && one_in(&m->now, 2) ? m->engine : NULL;
    s = sit(m, p.engine ? 0 : (int)draw(&m->now, 2), &p);
    s->draft = draft;
    return s;
}

/* The same session as a fork of it, now and then. */
static seat *or_fork(machine *m, seat *s, int32_t n)
{
    harp_params p = s->params;
    seat *fork;
    int of;
    if (n == 0 || m->rope_original > 0 || !one_in(&m->now, 3)) return s;
    p.parent = s->session, p.parent_at = n;
    if (one_in(&m->now, 2)) p.engine = NULL;
    of = s->model;
    fork = sit(m, of, &p);
    fork->draft = s->draft, s->draft = NULL, fork->base = s;
    return fork;
}

/* A session that never met anything but these tokens. */
static seat *fresh(machine *m, const history *h)
{
    harp_params p = m->main->params;
    harp_error err;
    seat *s;
    int32_t at = 0;
    if (h->n > 0) p.reframe_from = h->from;
    s = sit_beside(m, p);
    say_params(m, "fresh", &s->params);
    while (at < h->n) {
        int32_t n = one_in(&m->now, 2) ? h->n - at : 1 + (int32_t)draw(&m->now, (uint32_t)(h->n - at));
        harp_status status = one_in(&m->now, 3) ? harp_queue(s->session, h->tokens + at, n, &err)
                                                : harp_feed(s->session, h->tokens + at, n, &err);
        CHECK(m, status == HARP_OK, "a fresh session is fed: %s", err.text);
        at += n;
    }
    return or_fork(m, s, h->n);
}

#endif
