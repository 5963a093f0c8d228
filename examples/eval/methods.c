/* methods.c - a session for each method; scoring and generating with it */
#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int fail(const harp_error *err)
{
    return complain("%s", err->text);
}

int encode(const bench *b, const char *text, size_t bytes, unsigned flags, tokens *out)
{
    harp_error err;
    size_t n = 0, room = bytes + 8;
    harp_status status = HARP_ERR_MEMORY;
    int tries;
    for (tries = 0; tries < 2 && status == HARP_ERR_MEMORY; tries++, room = n) {
        if (room > out->capacity) {
            int32_t *more = room <= SIZE_MAX / sizeof *more ? realloc(out->list, room * sizeof *more) : NULL;
            if (!more) return complain("there is not enough memory for the tokens");
            out->list = more, out->capacity = room;
        }
        status = harp_encode(b->model, text, bytes, flags, out->list, out->capacity, &n, &err);
    }
    if (status) return fail(&err);
    if (n > INT32_MAX) return complain("a text of %.0f tokens is too long", (double)n);
    out->n = n;
    return 0;
}

/* ---- Sessions ---- */

static int open_draft(bench *b, method *m)
{
    harp_params d = m->params;
    harp_error err;
    d.harp = 0, d.drafts = 0;
    if (!b->draft_model) return complain("method speculative needs a --draft-model");
    if (d.context > harp_model_info(b->draft_model).context) d.context = harp_model_info(b->draft_model).context;
    if (harp_session_open(&m->draft, b->draft_model, &d, &err)) return fail(&err);
    m->params.draft = m->draft;
    return 0;
}

/* Beam search has steps of its own, and a draft session belongs to one session: these answer one question at a time. */
static int goes_together(const bench *b, const method *m)
{
    return task_is_generated(b->task) && m->id != METHOD_BEAM && m->id != METHOD_SPECULATIVE;
}

/* Rows in one pass: all that a step of eight questions with 31 reframings asks for. Not a matter of how many questions
 * there are, so that the passes of a prompt are not, either. */
enum { ROWS_AT_ONCE = 256 };

static int draws(const method *m)
{
    return m->id == METHOD_NUCLEUS || m->id == METHOD_VOTE || m->id == METHOD_VOTE_HARP;
}

/* Sets what the method's id says of its parameters; vote's temperature and top-p are those that were asked for. */
static void set_params(const bench *b, method *m)
{
    harp_params *p = &m->params;
    p->harp = m->id == METHOD_HARP || m->id == METHOD_VOTE_HARP;
    p->context = b->context;
    if (!task_is_generated(b->task)) {
        p->logit_rows = 32; /* many positions a pass */
        return;
    }
    p->batch = ROWS_AT_ONCE;
    if (m->id == METHOD_NUCLEUS) p->temperature = 1.0f, p->top_p = 0.9f;
    if (!draws(m)) p->temperature = 0.0f; /* greedy */
    else p->top_k = 0, p->min_p = 0.0f;
    if (m->id == METHOD_BEAM) p->beams = 3, p->beam_length = b->max_tokens;
    if (m->id == METHOD_SPECULATIVE) p->drafts = 4;
    if (m->id == METHOD_LOOKUP) p->drafts = 8;
}

/* A method that goes together with others gets a session for each question; that it can is found out here. */
int method_open(bench *b, method *m)
{
    harp_error err;
    size_t bytes;
    set_params(b, m);
    if (goes_together(b, m)) return harp_session_memory(b->model, &m->params, &bytes, &err) ? fail(&err) : 0;
    if (m->id == METHOD_SPECULATIVE && open_draft(b, m)) return EXIT_FAILED;
    return harp_session_open(&m->session, b->model, &m->params, &err) ? fail(&err) : 0;
}

void method_close(method *m)
{
    harp_session_close(m->session);
    harp_session_close(m->draft);
}

/* ---- What it costs ---- */

/* What a session has done since its counts were these. */
static void add_counts(const harp_stats *was, const harp_session *s, outcome *o)
{
    harp_stats now = harp_statistics(s);
    o->rows += (double)(now.rows + now.reframed_rows - was->rows - was->reframed_rows);
    o->steps += (double)(now.steps - was->steps), o->changed += (double)(now.changed - was->changed);
}

static double passes_since(const harp_stats *was, const harp_session *s)
{
    return (double)(harp_statistics(s).passes - was->passes);
}

typedef struct meter {
    harp_stats stats;
    double begin;
} meter;

static meter meter_begin(const harp_session *s)
{
    meter t;
    t.stats = harp_statistics(s);
    t.begin = host_seconds();
    return t;
}

static void meter_end(const meter *t, const harp_session *s, outcome *o)
{
    o->seconds += host_seconds() - t->begin, o->passes += passes_since(&t->stats, s);
    add_counts(&t->stats, s, o);
}

/* What a method puts behind the context before it answers. */
static int32_t pause_of(const bench *b, const method *m)
{
    return m->id == METHOD_PAUSE ? b->pause_count : 0;
}

/* Too long a context loses its beginning, as in lm-evaluation-harness, so that `room` more tokens fit: *skip. */
static int fit_context(const bench *b, const method *m, const tokens *context, int32_t room, int32_t *skip, outcome *o)
{
    int32_t most = b->context - room - pause_of(b, m), n = (int32_t)context->n;
    if (most < 1)
        return complain("a context of %ld positions is too short for this task, which needs %ld: see -c, --max-tokens",
                        (long)b->context, (long)room + pause_of(b, m) + 1);
    if (n < 1) return complain("item %ld: its prompt has no tokens", (long)b->asked);
    *skip = n > most ? n - most : 0;
    o->cut += *skip > 0;
    return 0;
}

/* Appends `context`, short of its first `skip` tokens, and the pause. */
static int feed_context(const bench *b, const method *m, harp_session *s, const tokens *context, int32_t skip)
{
    harp_error err;
    int32_t pause = pause_of(b, m);
    if (harp_feed(s, context->list + skip, (int32_t)context->n - skip, &err)) return fail(&err);
    return pause && harp_pause(s, b->pause_token, pause, &err) ? fail(&err) : 0;
}

/* Makes it what the method's own session holds. */
static int begin_context(const bench *b, const method *m, const tokens *context, int32_t skip)
{
    harp_error err;
    return harp_rewind(m->session, 0, &err) ? fail(&err) : feed_context(b, m, m->session, context, skip);
}

/* ---- Scoring ---- */

enum { MAX_TARGET = 128 };

typedef struct scoring {
    const int32_t *target; /* the token that each position is to foretell */
    int32_t vocab;
    float theta;
    double logprob;
    int greedy;
    outcome *o;
} scoring;

static int on_target(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    scoring *s = user;
    (void)vanilla;
    s->logprob += (double)harp_logprob(combined, s->vocab, *s->target);
    s->greedy &= step->token == *s->target;
    s->o->steps += 1, s->o->hesitated += step->entropy > s->theta, s->o->changed += step->token != step->vanilla_token;
    s->target++;
    return 0;
}

int score_target(bench *b, method *m, const tokens *context, const tokens *target, int again, double *logprob,
                 int *greedy, outcome *o)
{
    harp_error err;
    scoring s;
    int32_t n = 0, last, i, skip, given[MAX_TARGET];
    meter t = meter_begin(m->session);
    if (target->n > MAX_TARGET)
        return complain("item %ld: an answer of %lu tokens is too long, at most %d are scored; take it out of the data",
                        (long)b->asked, (unsigned long)target->n, (int)MAX_TARGET);
    if (!again /* else what was computed for it stands */
        && (fit_context(b, m, context, MAX_TARGET, &skip, o) || begin_context(b, m, context, skip)))
        return EXIT_FAILED;
    harp_tokens(m->session, &n);
    last = harp_tokens(m->session, NULL)[n - 1];
    given[0] = last;
    for (i = 1; i < (int32_t)target->n; i++) given[i] = target->list[i - 1];
    s.target = target->list, s.vocab = b->info.vocab, s.theta = b->theta, s.logprob = 0, s.greedy = 1, s.o = o;
    if (harp_rewind(m->session, n - 1, &err)
        || harp_score_harp(m->session, given, (int32_t)target->n, on_target, &s, &err)
        || harp_rewind(m->session, n, &err))
        return fail(&err);
    *logprob = s.logprob, *greedy = s.greedy;
    meter_end(&t, m->session, o);
    return 0;
}

/* ---- Generating ---- */

static int has_stopped(const growing *g, const char *const *stops)
{
    for (; *stops; stops++)
        if (strstr(g->at, *stops)) return 1;
    return 0;
}

/* Adds a token to the answer, which may end there. */
static int take_token(const bench *b, reply *r, int32_t token, int is_end)
{
    size_t bytes;
    harp_error err;
    r->ended = is_end || ++r->n_tokens == b->max_tokens;
    if (is_end) return 0;
    if (harp_decode(&r->decoder, token, r->piece, (size_t)b->info.longest_token + 8, &bytes, &err)) return fail(&err);
    put_bytes(&r->text, r->piece, bytes);
    if (r->text.failed) return complain("there is not enough memory for a text");
    r->ended |= has_stopped(&r->text, r->of->stops);
    return 0;
}

/* How unsure the plain model was of a token, and how sure the method is. */
static void note_sureness(const bench *b, reply *r, const harp_step *step)
{
    outcome *o = &r->of->o;
    o->hesitated += step->entropy > r->of->m->params.theta;
    o->entropy += (double)step->entropy;
    if ((double)step->entropy > o->peak) o->peak = (double)step->entropy;
    if (r->of->m->answers > 1)
        vote_note(&r->vote, harp_logits(r->session, HARP_COMBINED), b->info.vocab, step->token, (double)step->logprob);
}

static int take_step(const bench *b, reply *r, const harp_step *step)
{
    note_sureness(b, r, step);
    return take_token(b, r, step->token, step->end);
}

/* All tokens of a beam, beyond any stop text. */
static int search(const bench *b, reply *r)
{
    harp_beam_options how = harp_beam_defaults();
    harp_error err;
    int32_t n = 0, first;
    int status = 0;
    harp_tokens(r->session, &first);
    how.max_tokens = b->max_tokens;
    if (harp_beam(r->session, &how, NULL, &err)) return fail(&err);
    harp_tokens(r->session, &n);
    for (; first < n && status == 0; first++) status = take_token(b, r, harp_tokens(r->session, NULL)[first], 0);
    r->ended = 1;
    return status;
}

static int step_on(const bench *b, reply *r)
{
    harp_step step;
    harp_error err;
    int status = 0;
    while (!r->ended && status == 0) status = harp_next(r->session, &step, &err) ? fail(&err) : take_step(b, r, &step);
    return status;
}

/* ---- Sessions of questions that are answered together ---- */

/* The worked examples in front of all prompts are computed once, for the first question. */
static int open_shots(bench *b)
{
    harp_params p = harp_defaults();
    harp_error err;
    int status = encode(b, b->shots_text, strlen(b->shots_text), HARP_ENCODE_BOS, &b->shots_tokens);
    if (status || b->shots_tokens.n < 1 || b->shots_tokens.n > (size_t)b->context) return status;
    p.engine = b->engine, p.harp = 0, p.context = (int32_t)b->shots_tokens.n;
    if (harp_session_open(&b->shots_session, b->model, &p, &err)) return fail(&err);
    return harp_feed(b->shots_session, b->shots_tokens.list, p.context, &err) ? fail(&err) : 0;
}

/* How many tokens of a prompt are those of the examples; at least one is its own. A method that reframes from the end
 * of the prompt is to find all of it in one piece. */
static int32_t count_shared(const bench *b, const method *m, const tokens *prompt)
{
    size_t n = 0;
    if (m->params.harp && m->params.reframe_from == HARP_FROM_PROMPT) return 0;
    while (n < b->shots_tokens.n && n + 1 < prompt->n && b->shots_tokens.list[n] == prompt->list[n]) n++;
    return (int32_t)n;
}

/* Of an answer's session. Nucleus: each question has draws of its own, whatever the order; seed 0 of question n is seed
 * n. Votes draw apart with the same masks, so that forks share the reframed text. */
static harp_params params_for(const bench *b, const ask *a, int32_t answer)
{
    harp_params p = a->m->params;
    p.engine = b->engine, p.context = a->room;
    if (a->m->id == METHOD_NUCLEUS) p.seed = b->seed * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)a->q->number;
    else if (draws(a->m)) p.sample = (uint32_t)a->q->number * MOST_VOTES + (uint32_t)answer;
    return p;
}

/* A session on the engine that holds the prompt; beginning where the examples end, if they are its beginning. */
static int open_prompt(bench *b, const ask *a, const tokens *prompt, int32_t skip, harp_session **s)
{
    harp_params p = params_for(b, a, 0);
    harp_error err;
    harp_status status;
    if (!b->shots_tokens.list && b->shots_text && open_shots(b)) return EXIT_FAILED;
    if (skip == 0 && b->shots_session) p.parent = b->shots_session, p.parent_at = count_shared(b, a->m, prompt);
    if (p.parent_at == 0) p.parent = NULL;
    status = harp_session_open(s, b->model, &p, &err);
    if (status == HARP_ERR_UNSUPPORTED && p.parent) { /* longrope */
        p.parent = NULL, p.parent_at = 0;
        status = harp_session_open(s, b->model, &p, &err);
    }
    return status ? fail(&err) : feed_context(b, a->m, *s, prompt, skip + p.parent_at);
}

/* The next of the ask's answers. */
static int new_reply(const bench *b, ask *a, reply **r)
{
    *r = &a->replies[a->n++];
    (*r)->of = a;
    (*r)->piece = malloc((size_t)b->info.longest_token + 8);
    harp_decoder_start(&(*r)->decoder, b->model, HARP_DECODE_CONTINUE);
    put_bytes(&(*r)->text, "", 0);
    return (*r)->piece && !(*r)->text.failed ? 0 : complain("there is not enough memory for a text");
}

/* An answer that begins as the first `at` tokens of `from`. */
static int fork_reply(const bench *b, harp_session *from, int32_t at, reply *r)
{
    harp_params p = params_for(b, r->of, r->of->n - 1);
    harp_error err;
    harp_status status;
    p.parent = from, p.parent_at = at;
    status = harp_session_open(&r->session, b->model, &p, &err);
    if (status == HARP_ERR_UNSUPPORTED) { /* longrope: what would be shared is computed once more */
        p.parent = NULL, p.parent_at = 0;
        status = harp_session_open(&r->session, b->model, &p, &err);
        if (status == HARP_OK) status = harp_feed(r->session, harp_tokens(from, NULL), at, &err);
    }
    r->owned = r->session != NULL;
    r->was = harp_statistics(r->session);
    return status ? fail(&err) : 0;
}

/* All answers fork from the prompt; what it has cost counts once. */
static int begin_votes(bench *b, ask *a, const tokens *prompt, int32_t skip)
{
    const harp_stats none = harp_statistics(NULL);
    harp_session *s = NULL;
    reply *r;
    int32_t at = 0;
    int status = open_prompt(b, a, prompt, skip, &s);
    if (s) harp_tokens(s, &at);
    while (status == 0 && a->n < a->m->answers) {
        status = new_reply(b, a, &r);
        if (status == 0) status = fork_reply(b, s, at, r);
        r->before = passes_since(&none, s);
    }
    if (s) add_counts(&none, s, &a->o);
    harp_session_close(s);
    return status;
}

static int begin_alone(const bench *b, ask *a, const tokens *prompt, int32_t skip)
{
    reply *r;
    int status = new_reply(b, a, &r);
    r->session = a->m->session, r->was = harp_statistics(r->session);
    if (status == 0) status = begin_context(b, a->m, prompt, skip);
    if (status == 0) status = a->m->id == METHOD_BEAM ? search(b, r) : step_on(b, r);
    return status;
}

static int begin_one(bench *b, ask *a, const tokens *prompt, int32_t skip)
{
    reply *r;
    int status = new_reply(b, a, &r);
    if (status == 0) status = open_prompt(b, a, prompt, skip, &r->session);
    r->owned = r->session != NULL;
    return status;
}

/* Once it has ended: what it has cost, and the text without its stop text. Answers of one question that grow together
 * take their passes together. */
static void end_reply(reply *r)
{
    const char *const *stops = r->of->stops;
    outcome *o = &r->of->o;
    double passes = r->before + passes_since(&r->was, r->session);
    char *at;
    if (!r->ended) return;
    add_counts(&r->was, r->session, o);
    o->passes = passes > o->passes ? passes : o->passes;
    if (r->owned) harp_session_close(r->session);
    r->session = NULL, r->owned = 0;
    for (; *stops; stops++)
        if ((at = strstr(r->text.at, *stops)) != NULL) *at = 0;
}

int replies_begin(bench *b, ask *a, const tokens *prompt)
{
    int32_t skip = 0, i;
    double start = host_seconds();
    int status;
    a->replies = calloc((size_t)a->m->answers, sizeof *a->replies);
    if (!a->replies) return complain("there is not enough memory for the answers");
    status = fit_context(b, a->m, prompt, b->max_tokens, &skip, &a->o);
    a->room = (int32_t)prompt->n - skip + pause_of(b, a->m) + b->max_tokens;
    if (status == 0 && !goes_together(b, a->m)) status = begin_alone(b, a, prompt, skip);
    else if (status == 0 && a->m->id == METHOD_BRANCH) status = begin_one(b, a, prompt, skip);
    else if (status == 0) status = (a->m->answers > 1 ? begin_votes : begin_one)(b, a, prompt, skip);
    a->o.seconds += host_seconds() - start;
    for (i = 0; i < a->n && status == 0; i++) end_reply(&a->replies[i]);
    return status;
}

/* Answers may branch until they are as many as the method has. */
int32_t replies_growing(const ask *a)
{
    int32_t i, ended = 0;
    for (i = 0; i < a->n; i++) ended += a->replies[i].ended;
    if (ended == a->n) return 0;
    return (a->m->id == METHOD_BRANCH ? a->m->answers : a->n) - ended;
}

void replies_free(ask *a)
{
    int32_t i;
    for (i = 0; i < a->n; i++) {
        if (a->replies[i].owned) harp_session_close(a->replies[i].session);
        free(a->replies[i].piece), free(a->replies[i].text.at);
    }
    free(a->replies);
    a->replies = NULL, a->n = 0;
}

/* ---- Together ---- */

/* A question may begin as long as fewer than `seats` answers grow, so its own come on top of those. */
int engine_open(bench *b, const method *list, int32_t n, int32_t seats)
{
    harp_params p = harp_defaults();
    harp_error err;
    int32_t i, most = 1;
    if (!task_is_generated(b->task)) return 0;
    for (i = 0; i < n; i++) most = list[i].answers > most ? list[i].answers : most;
    p.seats = seats - 1 + most;
    p.context = b->context, p.threads = list[0].params.threads, p.batch = ROWS_AT_ONCE, p.harp = 0;
    for (i = 0; i < n; i++) {
        const harp_params *m = &list[i].params;
        if (!goes_together(b, &list[i])) continue;
        p.harp |= m->harp;
        if (m->reframings > p.reframings) p.reframings = m->reframings;
        if (m->drafts > p.drafts) p.drafts = m->drafts;
    }
    return harp_engine_open(&b->engine, b->model, &p, &err) ? fail(&err) : 0;
}

static double rows_of(const harp_session *s)
{
    harp_stats now = harp_statistics(s);
    return (double)(now.rows + now.reframed_rows);
}

/* The time of a step is shared out by the rows that each answer had computed in it. */
static void share_time(double seconds, reply *const *all, const double *was, int32_t n)
{
    double rows = 0;
    int32_t i;
    for (i = 0; i < n; i++) rows += rows_of(all[i]->session) - was[i];
    for (i = 0; i < n; i++)
        all[i]->of->o.seconds += seconds * (rows > 0 ? (rows_of(all[i]->session) - was[i]) / rows : 1.0 / n);
}

static int is_end_token(const bench *b, int32_t token)
{
    int32_t i = 0;
    while (i < b->info.n_end && b->info.end[i] != token) i++;
    return i < b->info.n_end;
}

/* At a token of which the model is unsure, the runner-up begins an answer of its own: what was said so far is shared.
 * [Scalena and others 2025, EAGer, arXiv 2510.11170] */
static int branch(const bench *b, reply *r, const harp_step *step)
{
    ask *a = r->of;
    harp_choice top[2];
    harp_error err;
    reply *other;
    double start = host_seconds();
    if (a->n == a->m->answers || !(step->entropy > a->m->fork_at) || harp_top(r->session, HARP_COMBINED, top, 2) < 2)
        return 0;
    if (new_reply(b, a, &other) || fork_reply(b, r->session, step->position, other)) return EXIT_FAILED;
    if (harp_queue(other->session, &top[1].token, 1, &err)) return fail(&err);
    other->before = r->before + passes_since(&r->was, r->session);
    other->n_tokens = r->n_tokens, other->decoder = r->decoder, other->vote = r->vote;
    put_bytes(&other->text, r->text.at, r->text.bytes);
    vote_note(&other->vote, harp_logits(r->session, HARP_COMBINED), b->info.vocab, top[1].token,
              log((double)top[1].probability));
    a->o.seconds += host_seconds() - start;
    return take_token(b, other, top[1].token, is_end_token(b, top[1].token));
}

static int take_member(const bench *b, reply *r, const harp_member *m)
{
    int32_t i, n = r->of->n;
    int status = m->error.status ? fail(&m->error) : 0;
    if (status == 0 && m->done && r->of->m->id == METHOD_BRANCH) status = branch(b, r, &m->step);
    if (status == 0 && m->done) status = take_step(b, r, &m->step);
    if (status == 0 && r->ended) end_reply(r);
    for (i = n; i < r->of->n && status == 0; i++)
        if (r->of->replies[i].ended) end_reply(&r->of->replies[i]);
    return status;
}

int replies_step(bench *b, reply *const *all, int32_t n, int32_t *failed)
{
    static harp_member members[MOST_GROWING]; /* large */
    double was[MOST_GROWING], start = host_seconds();
    harp_error err;
    int32_t i;
    for (i = 0; i < n; i++) members[i].session = all[i]->session, was[i] = rows_of(members[i].session);
    *failed = 0;
    if (harp_together(members, n, 0, &err)) return fail(&err);
    share_time(host_seconds() - start, all, was, n);
    for (i = 0; i < n; i++)
        if (take_member(b, all[i], &members[i])) return *failed = i, EXIT_FAILED;
    return 0;
}
