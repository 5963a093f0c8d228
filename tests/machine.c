/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * machine.c - a differential state machine: the public calls on a session, in random order
 *
 *     machine [-s SEED] [-n SEQUENCES | -t SECONDS] [-o OPERATIONS] [-r REPORTS] [-T]
 *     machine -s SEED [-o OPERATIONS] [-k 3,7,12] -1        one sequence, or some of its operations, line by line
 *
 * A SEQUENCE is a random model, a session on it with random parameters, and OPERATIONS (40), all drawn from the seed.
 * An operation makes one call or a few, some of them wrong or cancelled. Then a FRESH session is opened, which has
 * never met anything but the tokens, and which has other resources: instruction set, threads, batch, schedule, drafts,
 * another copy of the model, other garbage in its memory. It makes the same call, and all results must have the same
 * bits.
 *
 * A failed sequence is shrunk: operations are left out as long as it still fails. What is left is printed, with the
 * command that repeats it. Operations draw from generators of their own, so that the others stay as they were.
 *
 * Nothing here depends on time: the number of sequences that fail is the same in each run, and so is the hash of all
 * results, on every machine. The last line counts sequences. */
#include "seats.h"

#include <signal.h>
#include <time.h>

enum { MOST_OPERATIONS = 1000 };

/* ---- Records ----------------------------------------------------------------------------------------------------- */

static void note(record *r, uint32_t word)
{
    if (r->n == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 4096;
        r->words = realloc(r->words, r->capacity * sizeof *r->words);
        if (!r->words) abort();
    }
    r->words[r->n++] = word;
}

static void note_float(record *r, float x)
{
    uint32_t bits = 0x7FC00000u; /* any NaN */
    if (x == x) memcpy(&bits, &x, 4);
    note(r, bits);
}

static void note_floats(record *r, const float *x, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i++) note_float(r, x[i]);
}

static void mix(machine *m, uint32_t word) { m->hash = (m->hash ^ word) * 0x100000001B3u; }

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/* A call with its arguments, so that two sessions can make it. */
typedef enum call { FEED, QUEUE, PAUSE, STEP, SCORE, JUDGE, BEAM, GENERATE } call;

typedef struct act {
    call what;
    int32_t tokens[MOST + 1], n; /* pause: one token, n times             */
    int stop_after;              /* so many callbacks are welcome; -1: all */
    int slices;                  /* STEP: in so many at most; 0: whole     */
    chance budgets;
    harp_beam_options beam;
    int32_t ends[2];
    const char *prompt;
    int32_t most, cut; /* GENERATE: so many tokens, in two calls if cut > 0 */
} act;

typedef struct listener { /* what callbacks get */
    record *r;
    seat *s;
    int stop_after;
} listener;

/* The words of a step: first what harp_score hands over, then what harp_score_harp does, then the rest. */
static void note_vanilla(machine *m, record *r, const harp_session *s, int32_t position, const float *logits)
{
    const float *hidden = harp_hidden(s);
    note(r, (uint32_t)position);
    note_floats(r, logits, m->vocab);
    if (!hidden != !m->main->params.hidden) m->whisper = "the hidden state is missing, or there unasked";
    if (hidden) note_floats(r, hidden, m->hidden);
}

static void note_judged(machine *m, record *r, const harp_session *s, const harp_step *step, const float *vanilla,
                        const float *combined)
{
    note_vanilla(m, r, s, step->position, vanilla);
    note(r, (uint32_t)step->hesitated), note(r, (uint32_t)step->reframed);
    note_float(r, step->entropy), note_float(r, step->uncertainty);
    note_floats(r, combined, m->vocab);
}

static void note_step(machine *m, record *r, const harp_session *s, const harp_step *step)
{
    const float *vanilla = harp_logits(s, HARP_VANILLA), *combined = harp_logits(s, HARP_COMBINED);
    const float *reframed = harp_logits(s, HARP_REFRAMED);
    harp_choice top[5];
    int32_t i, n = harp_top(s, HARP_COMBINED, top, 5);
    CHECK(m, vanilla && combined && !reframed == !step->reframed, "logits are missing after a step");
    note_judged(m, r, s, step, vanilla, combined);
    note(r, (uint32_t)step->token), note(r, (uint32_t)step->vanilla_token), note(r, (uint32_t)step->end);
    note_float(r, step->logprob);
    if (reframed) note_floats(r, reframed, m->vocab);
    for (i = 0; i < n; i++) note(r, (uint32_t)top[i].token), note_float(r, top[i].probability);
    CHECK(m, n == (m->vocab < 5 ? m->vocab : 5), "harp_top has %d", (int)n);
    CHECK(m, harp_entropy(vanilla, m->vocab) == step->entropy, "harp_entropy is not that of the step");
    CHECK(m, harp_logprob(combined, m->vocab, step->token) == step->logprob, "harp_logprob is not that of the step");
}

static int on_logits(void *user, int32_t position, const float *logits)
{
    listener *l = user;
    if (l->r->calls++ == l->stop_after) return 1;
    note_vanilla(l->s->m, l->r, l->s->session, position + 1, logits);
    return 0;
}

static int on_step(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    listener *l = user;
    if (l->r->calls++ == l->stop_after) return 1;
    note_judged(l->s->m, l->r, l->s->session, step, vanilla, combined);
    note(l->r, (uint32_t)step->token), note(l->r, (uint32_t)step->vanilla_token), note_float(l->r, step->logprob);
    return 0;
}

static int on_text(void *user, const char *text, size_t bytes, const harp_step *step)
{
    listener *l = user;
    int32_t n = 0;
    const int32_t *tokens;
    meddle(l->s);
    tokens = harp_tokens(l->s->session, &n);
    if (n != step->position + 1 || tokens[n - 1] != step->token)
        l->s->m->whisper = "on_text: other tokens than the step's";
    if (!harp_logits(l->s->session, HARP_COMBINED)) l->s->m->whisper = "on_text: no logits";
    if (bytes > MOST_TEXT - l->r->n_text) l->s->m->whisper = "on_text: a text without end";
    else memcpy(l->r->text + l->r->n_text, text, bytes), l->r->n_text += bytes;
    return l->r->calls++ == l->stop_after;
}

/* The same in the passes of other sessions, which begin anew when their context is full. */
static harp_status step_in_company(seat *s, int64_t budget, int *done, harp_step *step, harp_error *err)
{
    machine *m = s->m;
    harp_member members[3];
    int i, n = 1;
    memset(members, 0, sizeof members);
    members[0].session = s->session;
    for (i = 0; i < 2; i++)
        if (m->company[i] && m->company[i] != s) members[n++].session = m->company[i]->session;
    CHECK(m, harp_together(members, n, budget, err) == HARP_OK, "together: %s", err->text);
    for (i = 1; i < n; i++)
        if (members[i].error.status)
            CHECK(m, harp_rewind(members[i].session, 3, NULL) == HARP_OK, "company cannot begin anew");
    *done = members[0].done, *step = members[0].step, *err = members[0].error;
    return err->status;
}

/* A step, or slices of one. */
static harp_status step_on(seat *s, const act *a, record *r, harp_error *err)
{
    harp_step step;
    harp_status status = HARP_OK;
    harp_stats before = harp_statistics(s->session), after;
    chance c = a->budgets;
    int done = 0, begun, i;
    while (a->slices == 0 && s->params.engine && !done && status == HARP_OK)
        status = step_in_company(s, 0, &done, &step, err);
    if (a->slices == 0 && !s->params.engine) status = harp_next(s->session, &step, err), done = status == HARP_OK;
    for (i = 0; i < a->slices && !done && status == HARP_OK; i++) {
        int64_t budget = one_in(&c, 4) ? (int64_t)draw(&c, 3) - 1 : (int64_t)draw(&c, one_in(&c, 3) ? 1000000 : 30000);
        begun = !s->params.engine || one_in(&c, 2); /* in company the first slice may finish another session's pass */
        if (!begun) status = step_in_company(s, budget > 0 ? budget : 1, &done, &step, err);
        else status = harp_step_some(s->session, budget, &done, &step, err);
        if (done || status || !begun) continue;
        CHECK(s->m, !harp_logits(s->session, HARP_VANILLA), "there are logits within a step");
        CHECK(s->m, !harp_hidden(s->session), "there is a hidden state within a step");
    }
    r->pending = !done && status == HARP_OK;
    if (!done) return status;
    note_step(s->m, r, s->session, &step);
    after = harp_statistics(s->session);
    CHECK(s->m,
          after.steps == before.steps + 1 && after.hesitations == before.hesitations + step.hesitated
              && after.changed == before.changed + (step.token != step.vanilla_token),
          "the step is not counted as it was");
    CHECK(s->m, after.accepted <= after.drafted, "more drafts were accepted than there were");
    return status;
}

/* harp_generate, in one call or two, with one text. */
static harp_status generate_on(seat *s, const act *a, record *r, harp_error *err)
{
    listener l;
    harp_status status;
    l.r = r, l.s = s, l.stop_after = a->stop_after;
    status = harp_generate(s->session, a->prompt, a->cut ? a->cut : a->most, on_text, &l, err);
    if (a->cut && status == HARP_OK && r->calls == a->cut) {
        int32_t n = 0, i, ends = 0;
        const int32_t *tokens = harp_tokens(s->session, &n);
        harp_info info = harp_model_info(s->m->models[0]);
        for (i = 0; i < info.n_end; i++) ends |= tokens[n - 1] == info.end[i];
        if (!ends || s->params.ignore_end) status = harp_generate(s->session, NULL, a->most - a->cut, on_text, &l, err);
    }
    return status;
}

static void perform(seat *s, const act *a, record *r)
{
    machine *m = s->m;
    harp_error err;
    listener l;
    float score = 0.0f;
    l.r = r, l.s = s, l.stop_after = a->stop_after;
    r->n = r->n_text = 0, r->calls = 0, r->pending = 0;
    switch (a->what) {
    case FEED: r->status = harp_feed(s->session, a->tokens, a->n, &err); break;
    case QUEUE: r->status = harp_queue(s->session, a->tokens, a->n, &err); break;
    case PAUSE: r->status = harp_pause(s->session, a->tokens[0], a->n, &err); break;
    case STEP: r->status = step_on(s, a, r, &err); break;
    case SCORE: r->status = harp_score(s->session, a->tokens, a->n, on_logits, &l, &err); break;
    case JUDGE: r->status = harp_score_harp(s->session, a->tokens, a->n, on_step, &l, &err); break;
    case GENERATE: r->status = generate_on(s, a, r, &err); break;
    case BEAM:
        r->status = harp_beam(s->session, &a->beam, &score, &err);
        if (r->status == HARP_OK) note_float(r, score);
    }
    CHECK(m, err.status == r->status && !err.text[0] == (r->status == HARP_OK), "status %d, error %d: %s",
          (int)r->status, (int)err.status, err.text);
    CHECK(m, !m->whisper, "%s", m->whisper);
    note(r, (uint32_t)r->calls);
}

/* ---- What should be so after a call ------------------------------------------------------------------------------ */

static int is_long(const machine *m, int32_t n) { return m->rope_original > 0 && n > m->rope_original; }

/* The tokens that a call is to append first, and how many. */
static int32_t given_tokens(machine *m, const act *a, const history *before, int32_t *tokens)
{
    unsigned flags = before->n == 0 ? HARP_ENCODE_BOS : HARP_ENCODE_CONTINUE;
    const char *prompt = a->prompt ? a->prompt : "";
    size_t n = 0;
    int32_t i;
    if (a->what == STEP || a->what == BEAM || a->n < 0 || (a->what == GENERATE && !m->has_tokenizer)) return 0;
    if (a->what == GENERATE) {
        CHECK(m, harp_encode(m->models[0], prompt, strlen(prompt), flags, tokens, MOST, &n, NULL) == HARP_OK, "encode");
        return (int32_t)n;
    }
    for (i = 0; i < a->n; i++) tokens[i] = a->what == PAUSE ? a->tokens[0] : a->tokens[i];
    return a->n;
}

/* The tokens are those of before, or those and what the call appends, and more where it generates. */
static void check_tokens(machine *m, const act *a, const history *before, int32_t n_given, const int32_t *given)
{
    int32_t n = 0, had = before->n, most = m->main->params.context;
    const int32_t *tokens = harp_tokens(m->main->session, &n);
    int is_same = n == had;
    int32_t generated = n - had - n_given;
    CHECK(m, n >= had && n <= most && memcmp(tokens, before->tokens, (size_t)had * 4) == 0,
          "the tokens before changed");
    if (!is_same || m->got.status == HARP_OK)
        CHECK(m, generated >= 0 && memcmp(tokens + had, given, (size_t)n_given * 4) == 0, "other tokens were appended");
    if (a->what == STEP)
        CHECK(m, generated == (m->got.status == HARP_OK && !m->got.pending), "a step of %d", (int)generated);
    else if (a->what == BEAM)
        CHECK(m, m->got.status ? is_same : generated > 0 && generated <= a->beam.max_tokens, "beam");
    else if (a->what == GENERATE) CHECK(m, is_same || generated == m->got.calls, "%d texts", (int)m->got.calls);
    else CHECK(m, m->got.status ? is_same : generated == 0, "a failed call appended %d tokens", (int)(n - had));
    memcpy(m->here.tokens, tokens, (size_t)n * 4);
    m->here.n = n;
}

/* Where masks begin: said anew when an empty session gets its first tokens. */
static void follow_from(machine *m, const history *before, int32_t n_given)
{
    int32_t from = m->main->params.reframe_from;
    if (before->n == 0 && m->here.n > 0) m->here.from = from == HARP_FROM_PROMPT ? n_given : from;
}

/* What a call computed stays, as far as the tokens do. A position is computed once, and the newest once more by each
 * step, drafts aside; a model with longrope begins again where it crosses rope_original. */
static void check_work(machine *m, const act *a, const history *before, int32_t n_given, int64_t rows)
{
    int32_t now = m->here.n, known = m->here.n - (a->what != SCORE && a->what != JUDGE);
    int is_plain = a->what == FEED || a->what == STEP, crosses;
    crosses = is_long(m, before->n) != is_long(m, before->n + n_given) || is_long(m, before->n) != is_long(m, now);
    if (crosses) m->computed = 0;
    if (is_plain && m->got.status == HARP_OK)
        CHECK(m, rows <= now - m->computed + 1 + m->main->params.drafts,
              "%d rows for %d positions, of which %d were computed", (int)rows, (int)now, (int)m->computed);
    if (m->computed > now) m->computed = now;
    if (a->what == QUEUE || m->got.status || m->got.pending || now == before->n) return;
    if (a->what == BEAM) known = before->n;
    m->computed = is_long(m, known) == is_long(m, now) && known > m->computed ? known : m->computed;
}

static void settle(machine *m, const act *a, const history *before, harp_stats stats)
{
    int32_t given[MOST + 1], n_given = given_tokens(m, a, before, given);
    size_t i;
    check_tokens(m, a, before, n_given, given);
    follow_from(m, before, n_given);
    check_work(m, a, before, n_given, harp_statistics(m->main->session).rows - stats.rows);
    if (a->what == GENERATE) m->text_is_open = 1;
    else if (m->here.n > before->n) m->text_is_open = 0;
    if (m->main->fired) return; /* how far it came is a matter of cost */
    mix(m, (uint32_t)m->got.status), mix(m, (uint32_t)m->here.n);
    for (i = 0; i < m->got.n; i++) mix(m, m->got.words[i]);
}

/* ---- Images ------------------------------------------------------------------------------------------------------ */

/* Saves into one of the machine's two images. */
static image *save(machine *m, const seat *s, int which)
{
    image *im = &m->saved[which];
    size_t bytes = 0;
    harp_error err;
    CHECK(m, harp_save(s->session, NULL, 0, &im->bytes, &err) == HARP_OK, "save: %s", err.text);
    im->data = realloc(im->data, im->bytes);
    if (!im->data) abort();
    CHECK(m, harp_save(s->session, im->data, im->bytes, &bytes, &err) == HARP_OK, "save: %s", err.text);
    CHECK(m, bytes == im->bytes, "save: %d bytes, then %d", (int)im->bytes, (int)bytes);
    return im;
}

/* The same with the counts, which tell of the past on purpose, and the checksum blanked. */
static image *save_blank(machine *m, const seat *s, int which)
{
    harp_stats stats = harp_statistics(s->session);
    image *im = save(m, s, which);
    size_t at = 0;
    while (at + sizeof stats + 4 <= im->bytes && memcmp(im->data + at, &stats, sizeof stats) != 0) at += 4;
    CHECK(m, at + sizeof stats + 4 <= im->bytes, "an image does not hold the counts");
    memset(im->data + at, 0, sizeof stats), memset(im->data + im->bytes - 4, 0, 4);
    return im;
}

/* The machine's two images should have the same bytes. */
static void compare_images(machine *m)
{
    const image *a = &m->saved[0], *b = &m->saved[1];
    size_t at = 0;
    while (at < a->bytes && at < b->bytes && a->data[at] == b->data[at]) at++;
    CHECK(m, at == a->bytes && at == b->bytes, "images of %d and %d bytes differ from byte %d on", (int)a->bytes,
          (int)b->bytes, (int)at);
    m->comparisons++;
}

/* ---- Calls on the main session ----------------------------------------------------------------------------------- */

/* Lets some calls be cancelled. Not with the schedule auto: how often it asks depends on the clock. */
static void arm(machine *m)
{
    chance *c = &m->now;
    uint32_t soon = draw(c, one_in(c, 2) ? 10 : 300), refusal = draw(c, 60), of_draft = draw(c, 50);
    int cancels = one_in(c, 4), refuses = one_in(c, 12), draft_fails = one_in(c, 10), meddles = one_in(c, 40);
    seat *s = m->main;
    s->fired = s->cancel_in = s->refuse_in = s->meddle_in = 0;
    if (meddles) s->meddle_in = 1 + (int)refusal;
    if (s->draft) s->draft->fired = s->draft->cancel_in = 0;
    if (s->params.schedule == HARP_SCHEDULE_AUTO) return;
    if (cancels) s->cancel_in = 1 + (int)soon;
    if (refuses && s->params.mask_fn) s->refuse_in = 1 + (int)refusal;
    if (draft_fails && s->draft && s->params.draft_rule == HARP_DRAFT_EXACT) s->draft->cancel_in = 1 + (int)of_draft;
    if (s->draft && s->draft->params.schedule == HARP_SCHEDULE_AUTO) s->draft->cancel_in = 0;
}

static int fired(const seat *s) { return s->fired || (s->draft && s->draft->fired); }

/* What a scored position says is what harp_next would have met there. harp_score turns a text that ends beyond
 * rope_original for its whole length. */
static void compare_with_step(machine *m, const act *a, const history *before)
{
    size_t vocab = (size_t)m->vocab, hidden = m->main->params.hidden ? (size_t)m->hidden : 0, same, i;
    size_t each = a->what == SCORE ? 1 + vocab + hidden : 8 + 2 * vocab + hidden;
    int32_t at = (int32_t)draw(&m->now, (uint32_t)a->n);
    history h = *before;
    act next;
    seat *s;
    same = a->what == SCORE ? each : each - 3;
    h.n += at + 1, h.from = m->here.from;
    memcpy(h.tokens + before->n, a->tokens, (size_t)(at + 1) * 4);
    if (h.n == m->main->params.context || (a->what == SCORE && is_long(m, h.n) != is_long(m, before->n + a->n))) return;
    memset(&next, 0, sizeof next);
    next.what = STEP, next.stop_after = -1;
    s = fresh(m, &h);
    perform(s, &next, &m->want);
    if (m->want.status == HARP_OK) {
        for (i = 0; i < same; i++)
            CHECK(m, m->got.words[(size_t)at * each + i] == m->want.words[i],
                  "scored position %d, word %d: not harp_next's", (int)at, (int)i);
        m->comparisons++;
    }
    CHECK(m, a->what == SCORE || m->want.status != HARP_ERR_NUMBER, "harp_next finds no number where a score did");
    leave(m, s);
}

/* What the two sessions gave, and all their tokens. */
static void compare_records(machine *m, const seat *other)
{
    const record *a = &m->got, *b = &m->want;
    int32_t n = 0;
    const int32_t *tokens = harp_tokens(other->session, &n);
    size_t i;
    CHECK(m, a->status == b->status, "status %s, other %s", harp_status_name(a->status), harp_status_name(b->status));
    for (i = 0; i < a->n && i < b->n; i++)
        CHECK(m, a->words[i] == b->words[i], "word %d of %d: %08lx, other %08lx", (int)i, (int)a->n,
              (unsigned long)a->words[i], (unsigned long)b->words[i]);
    CHECK(m, a->n == b->n, "%d words, other %d", (int)a->n, (int)b->n);
    CHECK(m, n == m->here.n && memcmp(tokens, m->here.tokens, (size_t)n * 4) == 0,
          "the other session has other tokens");
    m->comparisons++;
}

/* The same call on a fresh session. */
static void compare(machine *m, const act *a, const history *before, int with_text)
{
    act whole = *a;
    seat *s = fresh(m, before);
    whole.slices = whole.cut = 0;
    perform(s, &whole, &m->want);
    compare_records(m, s);
    CHECK(m, !with_text || (m->got.n_text == m->want.n_text && memcmp(m->got.text, m->want.text, m->got.n_text) == 0),
          "text \"%.*s\", fresh \"%.*s\"", (int)m->got.n_text, m->got.text, (int)m->want.n_text, m->want.text);
    leave(m, s);
    if ((a->what == SCORE || a->what == JUDGE) && m->got.status == HARP_OK && a->n > 0) compare_with_step(m, a, before);
}

/* Makes a call on the main session, and on a fresh one. */
static void act_on_main(machine *m, const act *a, int is_compared)
{
    history before = m->here;
    harp_stats stats = harp_statistics(m->main->session);
    int goes_on = a->what == GENERATE && m->text_is_open && !(a->prompt && a->prompt[0]);
    int with_text = a->what == GENERATE && !goes_on;
    if (goes_on && m->main->params.n_stop > 0) is_compared = 0; /* a stop text may have begun in the call before */
    if (before.n == 0) save_blank(m, m->main, 0);
    perform(m->main, a, &m->got);
    say(m, "    = %s, %d callbacks%s\n", harp_status_name(m->got.status), (int)m->got.calls,
        fired(m->main) ? ", cancelled" : "");
    CHECK(m, !m->main->fired || m->got.status == HARP_ERR_CANCELLED, "a hook said stop, and the call went on");
    settle(m, a, &before, stats);
    if (before.n == 0 && m->here.n == 0 && m->got.status) save_blank(m, m->main, 1), compare_images(m); /* as it was */
    m->main->cancel_in = m->main->refuse_in = m->main->meddle_in = 0;
    if (fired(m->main) && m->got.status == HARP_ERR_CANCELLED) return;
    if (is_compared && !m->got.pending) compare(m, a, &before, with_text);
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

static act draw_act(machine *m, call what)
{
    act a;
    memset(&a, 0, sizeof a);
    a.what = what, a.stop_after = -1;
    arm(m);
    return a;
}

/* Tokens at random, half of them such that the text repeats itself; sometimes too many, or a wrong one. */
static void draw_tokens(machine *m, act *a, int32_t most)
{
    chance *c = &m->now;
    int32_t room = m->main->params.context - m->here.n, i, n;
    if (one_in(c, 20)) room++;
    n = (int32_t)draw(c, (uint32_t)(room < most ? room : most) + 1);
    if (one_in(c, 2) && n > 6) n %= 6;
    for (i = 0; i < n; i++)
        a->tokens[i] = one_in(c, 2) && i < m->here.n ? m->here.tokens[i] : (int32_t)draw(c, (uint32_t)m->vocab);
    if (one_in(c, 60) && n > 0) a->tokens[draw(c, (uint32_t)n)] = one_in(c, 2) ? -1 : m->vocab;
    a->n = n;
    say(m, "    %d tokens, cancel in %d, refuse in %d\n", (int)n, m->main->cancel_in, m->main->refuse_in);
}

static void op_feed(machine *m)
{
    act a = draw_act(m, FEED);
    draw_tokens(m, &a, MOST);
    act_on_main(m, &a, one_in(&m->now, 8));
}

static void op_queue(machine *m)
{
    act a = draw_act(m, QUEUE);
    draw_tokens(m, &a, MOST);
    act_on_main(m, &a, 0);
}

static void op_pause(machine *m)
{
    act a = draw_act(m, PAUSE);
    a.tokens[0] = (int32_t)draw(&m->now, (uint32_t)m->vocab), a.n = (int32_t)draw(&m->now, 6) - 1;
    say(m, "    %d times\n", (int)a.n);
    act_on_main(m, &a, a.n < 0);
}

static void op_step(machine *m)
{
    act a = draw_act(m, STEP);
    act_on_main(m, &a, one_in(&m->now, 3));
}

/* The main session and another step side by side. */
static void step_together(machine *m, seat *other, const act *a, int steps)
{
    for (; steps > 0; steps--) {
        act_on_main(m, a, 0);
        if (m->main->fired || (fired(m->main) && m->got.status == HARP_ERR_CANCELLED)) break;
        perform(other, a, &m->want);
        compare_records(m, other);
        if (m->got.status) break;
    }
}

static void op_steps(machine *m)
{
    act a = draw_act(m, STEP);
    seat *s = fresh(m, &m->here);
    step_together(m, s, &a, 1 + (int)draw(&m->now, 16));
    leave(m, s);
}

static void op_slices(machine *m)
{
    act a = draw_act(m, STEP);
    a.slices = 1 + (int)draw(&m->now, one_in(&m->now, 2) ? 4 : 30), a.budgets = chance_of(draw(&m->now, 1u << 30), 2);
    say(m, "    %d slices\n", a.slices);
    act_on_main(m, &a, 1);
}

static void op_score(machine *m)
{
    act a = draw_act(m, SCORE);
    draw_tokens(m, &a, 40);
    if (one_in(&m->now, 6)) a.stop_after = (int)draw(&m->now, (uint32_t)a.n + 1);
    act_on_main(m, &a, 1);
}

static void op_judge(machine *m)
{
    act a = draw_act(m, JUDGE);
    draw_tokens(m, &a, 40);
    if (one_in(&m->now, 6)) a.stop_after = (int)draw(&m->now, (uint32_t)a.n + 1);
    act_on_main(m, &a, 1);
}

/* Without ends and without a penalty a beam's score is 1 and the log-probabilities of its tokens, which harp_score
 * knows, too: both sessions might have the same wrong beam. */
static void check_beam(machine *m, const history *before)
{
    float logits[HF_MOST_VOCAB], sum = 1.0f, score;
    size_t vocab = (size_t)m->vocab, each = 1 + vocab + (m->main->params.hidden ? (size_t)m->hidden : 0), i;
    history h = *before;
    act a;
    seat *s;
    memset(&a, 0, sizeof a);
    a.what = SCORE, a.stop_after = -1, a.n = m->here.n - before->n, h.n--;
    memcpy(a.tokens, m->here.tokens + h.n, (size_t)a.n * 4);
    memcpy(&score, m->got.words, 4);
    s = fresh(m, &h);
    perform(s, &a, &m->want);
    CHECK(m, m->want.status == HARP_OK, "a beam cannot be scored");
    for (i = 0; i < (size_t)a.n; i++) {
        memcpy(logits, m->want.words + i * each + 1, 4 * vocab);
        sum = sum + harp_logprob(logits, m->vocab, m->here.tokens[before->n + (int32_t)i]);
    }
    CHECK(m, sum == score, "a beam of %d tokens has score %a; its tokens have %a", (int)a.n, (double)score,
          (double)sum);
    leave(m, s);
    m->comparisons++;
}

static void op_beam(machine *m)
{
    act a = draw_act(m, BEAM);
    chance *c = &m->now;
    harp_beam_options *o = &a.beam;
    history before = m->here;
    int is_plain = one_in(c, 3);
    *o = harp_beam_defaults();
    o->max_tokens = 1 + (int32_t)draw(c, 26), o->top_k = 1 + (int32_t)draw(c, 8), o->alpha = (float)draw(c, 17) - 8.0f;
    if (o->max_tokens > m->main->params.beam_length && !one_in(c, 8)) o->max_tokens = m->main->params.beam_length;
    o->min_length = one_in(c, 4) ? -0.75f : (float)draw(c, 8);
    if (one_in(c, 2)) o->pad = (int32_t)draw(c, (uint32_t)m->vocab);
    a.ends[0] = (int32_t)draw(c, (uint32_t)m->vocab), a.ends[1] = -5;
    if (one_in(c, 3)) o->end = a.ends, o->n_end = (int32_t)draw(c, 3);
    if (is_plain) o->end = a.ends, o->n_end = 0, o->pad = -1, o->alpha = 0.0f;
    say(m, "    at most %d, top %d%s\n", (int)o->max_tokens, (int)o->top_k, is_plain ? ", plain" : "");
    act_on_main(m, &a, 1);
    if (is_plain && m->got.status == HARP_OK) check_beam(m, &before);
}

static void op_generate(machine *m)
{
    static const char *const prompts[] = {
        NULL, "", "ab", "a b c 1 2", " ab'cd,\n\xC3\xA9", "</s><!>", "\xFF\xC3 \xE2\x96\x81 aaaa"};
    act a = draw_act(m, GENERATE);
    chance *c = &m->now;
    a.prompt = prompts[draw(c, 7)], a.most = (int32_t)draw(c, 12);
    if (one_in(c, 4)) a.stop_after = (int)draw(c, 6);
    if (m->main->params.n_stop == 0 && a.stop_after < 0 && a.most > 1) a.cut = (int32_t)draw(c, (uint32_t)a.most);
    say(m, "    \"%s\", at most %d, cut at %d, stopped after %d\n", a.prompt ? a.prompt : "NULL", (int)a.most,
        (int)a.cut, a.stop_after);
    act_on_main(m, &a, 1);
}

static void op_rewind(machine *m)
{
    chance *c = &m->now;
    int32_t n = m->here.n, to = n - (int32_t)draw(c, 4);
    harp_error err;
    harp_status status;
    if (one_in(c, 3)) to = (int32_t)draw(c, (uint32_t)n + 2);
    if (one_in(c, 6)) to = 0;
    say(m, "    from %d to %d\n", (int)n, (int)to);
    status = harp_rewind(m->main->session, to, &err);
    CHECK(m, status == (to < 0 || to > n ? HARP_ERR_ARGUMENT : HARP_OK), "rewind: %s", err.text);
    if (status) return;
    if (is_long(m, to) != is_long(m, n)) m->computed = 0;
    if (to < n) m->text_is_open = 0;
    if (to < m->computed) m->computed = to;
    m->here.n = to;
}

/* Other parameters. Whether they are taken depends on how the session was opened, not on what it was tuned to since. */
static void op_tune(machine *m)
{
    static const char *const no_sets[] = {"nothing", ""};
    chance *c = &m->now;
    harp_params p = m->main->params, q, old = m->main->params;
    harp_bias biases[4];
    harp_error err;
    harp_status status, expected;
    seat *like;
    uint32_t kind = draw(c, 8);
    memcpy(biases, m->biases, sizeof biases);
    if (kind & 1) draw_harp(m, &p);
    if (kind & 2) draw_choice(m, &p);
    if (kind == 4) p.isa = one_in(c, 6) ? no_sets[draw(c, 2)] : NULL, p.schedule = (harp_schedule)(1 + draw(c, 2));
    if (kind == 5) p.harp = !p.harp;
    if (kind == 6) p.reframe_from = one_in(c, 3) ? HARP_FROM_PROMPT : (int32_t)draw(c, 40);
    if (one_in(c, 20)) p.batch++;
    if (one_in(c, 30) && !p.engine) p.hidden = !p.hidden; /* an engine decides for its sessions */
    if (one_in(c, 40)) p.delta = 2.0f;
    say_params(m, "tune", &p);
    q = m->main->opening, q.draft = NULL;
    like = sit(m, q.engine ? 0 : (int)draw(c, 2), &q);
    q = p, q.draft = NULL, q.harp_user = like, q.allocator = like->params.allocator;
    q.memory = like->params.memory, q.memory_bytes = like->params.memory_bytes;
    expected = harp_tune(like->session, &q, &err);
    leave(m, like);
    status = harp_tune(m->main->session, &p, &err);
    say(m, "    = %s\n", harp_status_name(status));
    CHECK(m, status == expected, "tune: %s, a session opened alike %s: %s", harp_status_name(status),
          harp_status_name(expected), err.text);
    if (status) memcpy(m->biases, biases, sizeof biases);
    else m->main->params = p;
    if (status == HARP_OK && p.reframe_from != old.reframe_from)
        m->here.from = p.reframe_from == HARP_FROM_PROMPT ? m->here.n : p.reframe_from;
}

/* ---- Operations on images ---- */

/* A session that continues from an image. */
static seat *restored(machine *m, const image *im)
{
    harp_params p = m->main->params;
    harp_error err;
    seat *s;
    int is_on = p.harp;
    p.harp = m->main->opening.harp;
    s = sit_beside(m, p);
    say_params(m, "restored", &s->params);
    CHECK(m, harp_restore(s->session, im->data, im->bytes, &err) == HARP_OK, "restore: %s", err.text);
    s->params.harp = is_on;
    if (is_on != p.harp)
        CHECK(m, harp_tune(s->session, &s->params, &err) == HARP_OK, "tune a restored one: %s", err.text);
    return s;
}

/* A restored session saves the same bytes, and steps on with the same bits. */
static void op_twin(machine *m)
{
    seat *s = restored(m, save(m, m->main, 0));
    act a = draw_act(m, STEP);
    save(m, s, 1);
    compare_images(m);
    step_together(m, s, &a, 1 + (int)draw(&m->now, 5));
    leave(m, s);
}

/* The sequence moves to another session by way of an image. */
static void op_move(machine *m)
{
    seat *s = restored(m, save(m, m->main, 0));
    leave(m, m->main);
    m->main = s;
}

/* Restored by the session that saved it, whole or damaged. */
static void op_restore(machine *m)
{
    chance *c = &m->now;
    image *im = save(m, m->main, 0);
    size_t bytes = one_in(c, 3) ? draw(c, (uint32_t)im->bytes) : im->bytes;
    int is_whole = bytes == im->bytes && one_in(c, 2);
    int32_t n = 0;
    harp_error err;
    harp_status status;
    if (!is_whole) im->data[draw(c, (uint32_t)im->bytes)] ^= (unsigned char)(1u << draw(c, 8));
    status = harp_restore(m->main->session, im->data, bytes, &err);
    say(m, "    %d bytes of %d, %s: %s\n", (int)bytes, (int)im->bytes, is_whole ? "whole" : "damaged",
        harp_status_name(status));
    CHECK(m, status == (is_whole ? HARP_OK : HARP_ERR_FORMAT), "restore: %s: %s", harp_status_name(status), err.text);
    CHECK(m, memcmp(harp_tokens(m->main->session, &n), m->here.tokens, (size_t)m->here.n * 4) == 0 && n == m->here.n,
          "restoring changed the tokens");
}

/* Changes numbers of an image, or cuts it, and gives it a right checksum. */
static void forge(machine *m, image *im)
{
    chance *c = &m->now;
    size_t n = im->bytes - 4, changes = 1 + draw(c, 3), i;
    uint32_t crc;
    for (i = 0; i < changes; i++) {
        size_t at = draw(c, (uint32_t)(one_in(c, 4) || n < 260 ? n : 260));
        uint32_t value = one_in(c, 2) ? draw(c, 100) : 0u - draw(c, 100);
        if (one_in(c, 2) || at / 4 * 4 + 4 > n) im->data[at] ^= (unsigned char)(1u << draw(c, 8));
        else memcpy(im->data + at / 4 * 4, &value, 4);
    }
    if (one_in(c, 5)) n = draw(c, (uint32_t)n);
    crc = hf_crc(0, im->data, n);
    memcpy(im->data + n, &crc, 4);
    im->bytes = n + 4;
}

/* A forged image is refused, or taken; either way the session goes on, and saves what it can restore. */
static void op_forge(machine *m)
{
    image *im = save(m, m->main, 0);
    harp_params p = m->main->params;
    harp_status status;
    int32_t n = 0, i;
    const int32_t *tokens;
    seat *s;
    p.harp = m->main->opening.harp;
    s = sit_beside(m, p);
    forge(m, im);
    status = harp_restore(s->session, im->data, im->bytes, NULL);
    say(m, "    %s\n", harp_status_name(status));
    for (i = 0; i < 3 && status == HARP_OK; i++) (void)harp_next(s->session, NULL, NULL);
    tokens = harp_tokens(s->session, &n);
    for (i = 0; i < n; i++) CHECK(m, tokens[i] >= 0 && tokens[i] < m->vocab, "a forged token was taken");
    (void)harp_rewind(s->session, n / 2, NULL);
    (void)harp_next(s->session, NULL, NULL);
    im = save(m, s, 1);
    CHECK(m, harp_restore(s->session, im->data, im->bytes, NULL) == HARP_OK,
          "what was forged cannot be restored again");
    leave(m, s);
}

/* Brings a session into the one state that tokens and parameters determine: all is computed, nothing lies behind. */
static harp_status make_canonical(machine *m, seat *s)
{
    int32_t n = m->here.n;
    harp_status status = HARP_OK;
    if (n == m->main->params.context) status = harp_rewind(s->session, --n, NULL);
    if (n == 0) return HARP_ERR_ARGUMENT;
    if (status == HARP_OK) status = harp_next(s->session, NULL, NULL);
    return status ? status : harp_rewind(s->session, n, NULL);
}

static harp_params canonical_params(const machine *m)
{
    harp_params p = m->main->params;
    p.harp = m->main->opening.harp, p.theta = -1.0f, p.measure = HARP_MEASURE_ENTROPY, p.combine_fn = NULL;
    p.drafts = 0, p.draft = NULL, p.draft_rule = HARP_DRAFT_EXACT, p.temperature = 0.0f, p.n_bias = 0;
    return p;
}

/* An image holds nothing but what the tokens and the parameters say: no keys of tokens that were rewound or guessed,
 * and nothing that was in the memory. */
static void op_canon(machine *m)
{
    image *im;
    int32_t from = m->here.from, n = m->here.n;
    harp_params p = canonical_params(m);
    harp_error err;
    seat *s, *t;
    if (n == 0 || m->text_is_open || (p.reframe_from == HARP_FROM_PROMPT && (from < 1 || from > n))) return;
    im = save(m, m->main, 0);
    s = sit_beside(m, p), t = sit_beside(m, p);
    CHECK(m, harp_restore(s->session, im->data, im->bytes, &err) == HARP_OK, "restore: %s", err.text);
    if (p.reframe_from != HARP_FROM_PROMPT) from = n;
    CHECK(m,
          harp_feed(t->session, m->here.tokens, from, &err) == HARP_OK
              && harp_feed(t->session, m->here.tokens + from, n - from, &err) == HARP_OK,
          "feed: %s", err.text);
    if (make_canonical(m, s) == HARP_OK && make_canonical(m, t) == HARP_OK) {
        save_blank(m, s, 0), save_blank(m, t, 1);
        compare_images(m);
    }
    leave(m, s), leave(m, t);
}

/* A long prompt, cancelled, or cut by a queued token, some times: what passes have computed stays. */
static void op_persist(machine *m)
{
    chance *c = &m->now;
    act a = draw_act(m, FEED), next = draw_act(m, STEP);
    harp_params *p = &m->main->params;
    int32_t room = p->context - m->here.n - 1, tries = 1 + (int32_t)draw(c, 4), i;
    int64_t rows = harp_statistics(m->main->session).rows, most;
    int by_feed = one_in(c, 2);
    m->main->cancel_in = m->main->refuse_in = 0;
    if (room < 2 + tries || p->schedule == HARP_SCHEDULE_AUTO || m->main->draft) return;
    a.what = by_feed ? FEED : QUEUE;
    for (a.n = 0; a.n < room - tries; a.n++) a.tokens[a.n] = (int32_t)draw(c, (uint32_t)m->vocab);
    if (is_long(m, m->here.n) != is_long(m, m->here.n + a.n + tries + 1)) return;
    most = m->here.n + a.n - m->computed;
    if (!by_feed) act_on_main(m, &a, 0);
    say(m, "    %d tokens, %s, %d tries\n", (int)a.n, by_feed ? "fed" : "queued", (int)tries);
    for (i = 0; i <= tries; i++) {
        act one = a;
        m->main->fired = 0, m->main->cancel_in = i < tries ? 1 + (int)draw(c, 400) : 0;
        if (by_feed) act_on_main(m, &a, 0);
        else act_on_main(m, &next, 0);
        if (m->got.status != HARP_ERR_CANCELLED) break;
        one.n = 1, m->main->fired = m->main->cancel_in = 0;
        if (!by_feed) act_on_main(m, &one, 0), most++;
    }
    rows = harp_statistics(m->main->session).rows - rows, most += (i + 1) * (1 + p->drafts);
    CHECK(m, rows <= most, "%d rows were computed, where %d would do", (int)rows, (int)most);
}

/* Somebody forks the session that drafts, which then cannot go back as far as it would have to; or is done with it. */
static void op_fork_draft(machine *m)
{
    seat *draft = m->main->draft, *fork = draft ? fork_of(m, draft) : NULL;
    harp_params p;
    harp_meta meta;
    int32_t n = 0;
    if (draft) harp_tokens(draft->session, &n);
    if (n == 0 || m->main->params.draft_rule != HARP_DRAFT_EXACT
        || harp_meta_find(m->models[draft->model], "rope_original", &meta))
        return;
    if (fork) {
        free_seat(m, fork);
        return;
    }
    p = draft->params, p.parent = draft->session, p.parent_at = 1 + (int32_t)draw(&m->now, (uint32_t)n);
    fork = sit(m, draft->model, &p), fork->base = draft;
}

/* Looking changes nothing; wrong arguments are refused. */
static void op_look(machine *m)
{
    harp_session *s = m->main->session;
    harp_error err;
    harp_choice top[9];
    harp_beam_options o = harp_beam_defaults();
    const float *logits = harp_logits(s, (harp_which)draw(&m->now, 4));
    int32_t n = harp_top(s, (harp_which)draw(&m->now, 3), top, (int32_t)draw(&m->now, 10)), i, token = -1;
    size_t bytes = 0;
    for (i = 0; i < n; i++)
        CHECK(m, top[i].token >= 0 && top[i].token < m->vocab, "harp_top: token %d", (int)top[i].token);
    if (logits) (void)harp_logprob(logits, m->vocab, m->vocab - 1);
    o.top_k = 0;
    CHECK(m,
          harp_feed(s, &token, 1, &err) == (m->here.n < m->main->params.context ? HARP_ERR_ARGUMENT : HARP_ERR_CONTEXT)
              && harp_feed(s, NULL, 1, &err) && harp_queue(s, &token, -1, &err)
              && harp_step_some(s, 1, NULL, NULL, &err) && harp_score(s, &token, 0, NULL, NULL, &err)
              && harp_beam(s, &o, NULL, &err) && harp_generate(s, "a", -1, NULL, NULL, &err)
              && harp_restore(s, NULL, 0, &err) && harp_tune(s, NULL, &err) && harp_save(s, NULL, 0, NULL, &err),
          "a wrong argument was taken");
    CHECK(m, harp_save(s, &token, 1, &bytes, &err) == HARP_ERR_MEMORY && bytes > 4 && token == -1, "a short save");
}

enum { ROOM = 1, TOKENS = 2, TOKENIZER = 4, BEAMS = 8 }; /* what an operation can only fail without */

typedef struct operation {
    const char *name;
    uint32_t weight;
    int needs;
    void (*run)(machine *m);
} operation;

static const operation operations[] = {{"feed", 4, ROOM, op_feed},
                                       {"rewind", 3, 0, op_rewind},
                                       {"steps", 4, ROOM | TOKENS, op_steps},
                                       {"step", 3, ROOM | TOKENS, op_step},
                                       {"slices", 4, ROOM | TOKENS, op_slices},
                                       {"queue", 2, ROOM, op_queue},
                                       {"pause", 1, ROOM, op_pause},
                                       {"score", 1, ROOM, op_score},
                                       {"judge", 2, ROOM, op_judge},
                                       {"beam", 2, ROOM | TOKENS | BEAMS, op_beam},
                                       {"generate", 2, ROOM | TOKENIZER, op_generate},
                                       {"persist", 1, ROOM, op_persist},
                                       {"tune", 2, 0, op_tune},
                                       {"twin", 1, ROOM | TOKENS, op_twin},
                                       {"move", 1, 0, op_move},
                                       {"restore", 1, 0, op_restore},
                                       {"forge", 1, 0, op_forge},
                                       {"canon", 2, TOKENS, op_canon},
                                       {"fork_draft", 1, 0, op_fork_draft},
                                       {"look", 1, 0, op_look}};
enum { OPERATIONS = sizeof operations / sizeof *operations, FEEDS = 0, REWINDS = 1, STEPS = 2 };

/* Draws an operation. One that can only fail is mostly replaced by one that helps. */
static const operation *draw_operation(machine *m)
{
    const harp_params *p = &m->main->params;
    uint32_t total = 0, at;
    int i, lacks = 0;
    for (i = 0; i < OPERATIONS; i++) total += operations[i].weight;
    at = draw(&m->now, total);
    for (i = 0; at >= operations[i].weight; i++) at -= operations[i].weight;
    if (!m->has_tokenizer) lacks |= TOKENIZER;
    if (p->beams == 0 || p->harp) lacks |= BEAMS;
    if (one_in(&m->now, 8)) return &operations[i];
    if (operations[i].needs & lacks) i = STEPS;
    if (operations[i].needs & ROOM && m->here.n == p->context) i = REWINDS;
    if (operations[i].needs & TOKENS && m->here.n == 0) i = FEEDS;
    return &operations[i];
}

/* ---- Sequences --------------------------------------------------------------------------------------------------- */

typedef struct sequence {
    uint64_t seed;
    int operations;
    const unsigned char *dropped; /* [operations] of 0 and 1, or NULL  */
    const uint8_t *input;         /* of a fuzzer: 4 bytes an operation; or NULL: the seed says it */
} sequence;

static uint64_t operation_seed(const sequence *q, int i)
{
    uint32_t word;
    if (!q->input) return q->seed;
    memcpy(&word, q->input + 4 * (size_t)i, 4);
    return word;
}

/* Two copies of a model, each with a gap garbage and an alignment of its own. */
static void open_models(machine *m, int first, const rm_shape *s)
{
    static uint8_t room[RM_MOST_BYTES];
    static rm_file f;
    harp_source source = harp_source_defaults();
    harp_error err;
    int i;
    f.file.data = room;
    rm_write(&f, s);
    for (i = first; i < first + 2; i++) {
        m->images[i] = rm_copy_file(&f, one_in(&m->now, 2) ? 0 : draw(&m->now, 64), (uint8_t)(i % 2 ? 0x7F : 0xFF));
        source.data = m->images[i].data, source.bytes = m->images[i].bytes;
        CHECK(m, harp_open_source(&m->models[i], &source, &err) == HARP_OK, "open: %s", err.text);
    }
    CHECK(m, harp_verify(m->models[first], &err) == HARP_OK, "verify: %s", err.text);
}

static void say_shape(machine *m, const rm_shape *s)
{
    say(m,
        "model: layers %d heads %d/%d of %d hidden %d ffn %d vocab %d context %d window %d tied %d rope %d/%d"
        " norm %d %d residual %d activation %d ffn %d qk %d\n",
        s->layers, s->heads, s->kv_heads, s->head_dim, s->hidden, s->ffn, s->vocab, s->context, s->window, s->tied,
        s->rope_dims, s->rope_original, s->norm, s->place, s->residual, s->activation, s->ffn_kind, s->qk_norm);
    say(m,
        "    positions %d windows %d locals %d scales %d%d%d growth %d sinks %d taps %d deltas %d/%d of %dx%d gates %d"
        " experts %d/%d of %d, %d%d shared %d caps %d%d biases %x float %d nibbles %x eps0 %d tokenizer %d"
        " local heads %d shared %d narrow %d inputs %d, %d%d loud %d\n",
        s->has_positions, s->window_layers, s->local_layers, s->attention_scale, s->embedding_scale, s->rope_scale,
        s->attention_step, s->sinks, s->conv_taps, s->delta_heads, s->delta_key_heads, s->delta_key_dim,
        s->delta_value_dim, s->attn_gates, s->experts_used, s->experts, s->expert_ffn, s->routing, s->expert_layers,
        s->shared_ffn, s->attention_cap, s->logit_cap, (unsigned)s->biases, s->is_float, (unsigned)s->nibbles,
        s->zero_eps, s->tokenizer,
        s->local_head_dim, s->shared_layers, s->narrow_ffn, s->layer_inputs, s->value_norms, s->layer_scales, s->loud);
}

static void open_all(machine *m)
{
    rm_shape shape = rm_draw_shape(&m->now), of_draft = shape;
    harp_params p, d;
    seat *draft = NULL;
    say_shape(m, &shape);
    open_models(m, 0, &shape);
    m->vocab = shape.vocab, m->rope_original = shape.rope_original;
    m->hidden = shape.hidden, m->has_tokenizer = harp_model_info(m->models[0]).tokenizer != 0;
    p = draw_params(m);
    if (p.drafts > 0 && one_in(&m->now, 2)) {
        if (one_in(&m->now, 2)) of_draft = rm_draw_shape(&m->now), of_draft.vocab = shape.vocab, of_draft.loud = -1;
        say_shape(m, &of_draft);
        open_models(m, 2, &of_draft);
        d = p;
        draw_resources(m, &d), draw_harp(m, &d);
        d.harp = d.drafts = d.beams = d.n_stop = d.n_bias = 0, d.stop = NULL, d.bias = NULL, d.draft = NULL;
        if (one_in(&m->now, 2) && d.context > 4) d.context -= d.context / 3;
        if (d.context > of_draft.context) d.context = of_draft.context;
        draft = sit(m, 2, &d);
        say_params(m, "draft", &draft->params);
        p.draft = draft->session;
    }
    m->main = sit(m, (int)draw(&m->now, 2), &p);
    m->main->draft = draft;
    if (one_in(&m->now, 2)) open_engine(m, p);
    if (m->engine && one_in(&m->now, 2)) { /* the main session, too */
        m->main->draft = NULL;
        leave(m, m->main);
        p.engine = m->engine, m->main = sit(m, 0, &p);
        m->main->draft = draft;
    }
    m->here.from = p.reframe_from > 0 ? p.reframe_from : 0;
    say_params(m, "main", &m->main->params);
}

/* All operations, then a last step. */
static void run_operations(machine *m, const sequence *q)
{
    act last;
    int i;
    m->now = chance_of(q->seed, 0);
    open_all(m);
    for (i = 0; i < q->operations; i++) {
        const operation *o;
        if (q->dropped && q->dropped[i]) continue;
        m->now = chance_of(operation_seed(q, i), (uint64_t)i + 1);
        o = draw_operation(m);
        say(m, "%d %s at %d\n", i, o->name, (int)m->here.n);
        o->run(m);
    }
    m->now = chance_of(q->seed, 1u << 20);
    say(m, "last step at %d\n", (int)m->here.n);
    last = draw_act(m, STEP), m->main->cancel_in = m->main->refuse_in = 0;
    act_on_main(m, &last, 1);
    leave(m, m->main);
}

/* What a sequence came to. */
static machine the_machine;
static uint64_t total_comparisons;

static void clean_up(machine *m)
{
    seat *s;
    int i;
    while (m->seats) { /* forks first */
        for (s = m->seats; s->next && !s->base; s = s->next) {}
        free_seat(m, s->base ? s : m->seats);
    }
    if (harp_engine_close(m->engine, NULL)) m->where = "engine", strcpy(m->complaint, "sessions stay open");
    for (i = 0; i < 4; i++) {
        harp_close(m->models[i]);
        rm_free_copy(&m->images[i]);
    }
    free(m->got.words), free(m->want.words), free(m->saved[0].data), free(m->saved[1].data);
}

static int run_sequence(const sequence *q, int verbose)
{
    machine *m = &the_machine;
    int failed;
    memset(m, 0, sizeof *m);
    m->seed = q->seed, m->verbose = verbose, m->hash = 0xCBF29CE484222325u;
    if (setjmp(m->escape) == 0) run_operations(m, q);
    failed = m->complaint[0] != 0;
    clean_up(m);
    total_comparisons += m->comparisons;
    return failed;
}

#ifndef MACHINE_FUZZ
/* ---- Shrinking and reporting ------------------------------------------------------------------------------------- */

/* Leaves out operations, many at a time and then one by one, as long as the sequence still fails. */
static void shrink(sequence *q, unsigned char *dropped)
{
    unsigned char trial[MOST_OPERATIONS];
    int size, first, i, left = 400, shrunk = 1;
    memset(dropped, 0, MOST_OPERATIONS);
    for (size = q->operations; left > 0 && (size > 1 || shrunk); size = size > 1 ? (size + 1) / 2 : 1)
        for (first = 0, shrunk = 0; first < q->operations && left > 0; first += size, left--) {
            int change = 0;
            memcpy(trial, dropped, sizeof trial);
            for (i = first; i < first + size && i < q->operations; i++) change |= !trial[i], trial[i] = 1;
            q->dropped = trial;
            if (change && run_sequence(q, 0)) memcpy(dropped, trial, sizeof trial), shrunk = 1;
        }
    q->dropped = dropped;
}

static void report(sequence q)
{
    unsigned char dropped[MOST_OPERATIONS];
    int i, n = 0;
    shrink(&q, dropped);
    run_sequence(&q, 0);
    printf("FAILED seed %llu, %s: %s\n  build/machine -s %llu -o %d", (unsigned long long)q.seed, the_machine.where,
           the_machine.complaint, (unsigned long long)q.seed, q.operations);
    for (i = 0; i < q.operations; i++)
        if (!dropped[i]) printf("%s%d", n++ ? "," : " -k ", i);
    printf("%s -1\n%s", n ? "" : " -k none", the_machine.log);
}

static void on_signal(int which)
{
    fprintf(stderr, "FAILED seed %llu: signal %d\n", (unsigned long long)the_machine.seed, which);
    signal(which, SIG_DFL);
    raise(which);
}

#ifdef RM_SANITIZED
static void on_death(void)
{
    fprintf(stderr, "FAILED seed %llu: see above\n%s", (unsigned long long)the_machine.seed, the_machine.log);
}
#endif

static void watch_for_crashes(void)
{
#ifdef RM_SANITIZED
    __sanitizer_set_death_callback(on_death);
    (void)on_signal;
#else
    signal(SIGSEGV, on_signal), signal(SIGABRT, on_signal), signal(SIGFPE, on_signal), signal(SIGILL, on_signal);
#endif
}

/* "3,7,12" or "none": all other operations are dropped. */
static void keep(unsigned char *dropped, const char *list)
{
    memset(dropped, 1, MOST_OPERATIONS);
    while (*list >= '0' && *list <= '9') {
        char *end;
        long i = strtol(list, &end, 10);
        if (i >= 0 && i < MOST_OPERATIONS) dropped[i] = 0;
        list = *end == ',' ? end + 1 : end;
    }
}

static int run_one(const sequence *q)
{
    int failed = run_sequence(q, 1);
    if (failed) printf("FAILED %s: %s\n", the_machine.where, the_machine.complaint);
    printf("%d passed, %d failed\n", !failed, failed);
    return failed;
}

static int run_many(sequence q, long sequences, long seconds, long reports)
{
    time_t begin = time(NULL);
    uint64_t all_bits = 0;
    long i, failed = 0;
    for (i = 0; seconds ? (long)(time(NULL) - begin) < seconds : i < sequences; i++, q.seed++) {
        int is_failed = run_sequence(&q, 0);
        all_bits = (all_bits ^ the_machine.hash) * 0x100000001B3u;
        if (!is_failed) continue;
        if (failed++ < reports) report(q);
        else printf("FAILED seed %llu, %s: %s\n", (unsigned long long)q.seed, the_machine.where, the_machine.complaint);
        fflush(stdout);
    }
    printf("note   %llu comparisons in %ld sequences of %d operations from seed %llu on, bits %016llx\n",
           (unsigned long long)total_comparisons, i, q.operations, (unsigned long long)(q.seed - (uint64_t)i),
           (unsigned long long)all_bits);
    printf("%ld passed, %ld failed\n", i - failed, failed);
    return failed > 0;
}

int main(int argc, char **argv)
{
    static unsigned char dropped[MOST_OPERATIONS];
    sequence q = {1, 40, NULL, NULL};
    long sequences = 100, seconds = 0, reports = 3;
    int i, one = 0;
    for (i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "-1") == 0) one = 1;
        else if (strcmp(argv[i], "-s") == 0) q.seed = (uint64_t)strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "-n") == 0) sequences = strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "-t") == 0) seconds = strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "-o") == 0) q.operations = (int)strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "-r") == 0) reports = strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "-T") == 0) one_has_threads = 2;
        else if (strcmp(argv[i], "-k") == 0) keep(dropped, value), q.dropped = dropped, one = 1, i++;
        else {
            fprintf(stderr,
                    "machine [-s SEED] [-n SEQUENCES | -t SECONDS] [-o OPERATIONS] [-k KEPT] [-r REPORTS] [-T] [-1]\n");
            return 2;
        }
    }
    if (q.operations < 0 || q.operations > MOST_OPERATIONS) q.operations = MOST_OPERATIONS;
    watch_for_crashes();
    return one ? run_one(&q) : run_many(q, sequences, seconds, reports);
}
#endif
