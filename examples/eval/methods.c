/* methods.c - a session for each method; scoring and generating with it */
#include "eval.h"

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

int method_open(bench *b, method *m)
{
    harp_params *p = &m->params;
    harp_error err;
    p->harp = m->id == METHOD_HARP;
    p->context = b->context;
    if (!task_is_generated(b->task)) {
        p->logit_rows = 32; /* many positions a pass */
    } else {
        p->temperature = 0.0f;
        if (m->id == METHOD_NUCLEUS) p->temperature = 1.0f, p->top_k = 0, p->top_p = 0.9f, p->min_p = 0.0f;
        if (m->id == METHOD_BEAM) p->beams = 3, p->beam_length = b->max_tokens;
        if (m->id == METHOD_SPECULATIVE) p->drafts = 4;
        if (m->id == METHOD_LOOKUP) p->drafts = 8;
        if (m->id == METHOD_SPECULATIVE && open_draft(b, m)) return EXIT_FAILED;
    }
    return harp_session_open(&m->session, b->model, p, &err) ? fail(&err) : 0;
}

void method_close(method *m)
{
    harp_session_close(m->session);
    harp_session_close(m->draft);
}

/* ---- What it costs ---- */

typedef struct meter {
    harp_stats stats;
    double begin;
} meter;

static meter meter_begin(const method *m)
{
    meter t;
    t.stats = harp_statistics(m->session);
    t.begin = host_seconds();
    return t;
}

static void meter_end(const meter *t, const method *m, outcome *o)
{
    harp_stats now = harp_statistics(m->session), was = t->stats;
    o->seconds += host_seconds() - t->begin;
    o->passes += (double)(now.passes - was.passes);
    o->rows += (double)(now.rows + now.reframed_rows - was.rows - was.reframed_rows);
    o->steps += (double)(now.steps - was.steps), o->hesitated += (double)(now.hesitations - was.hesitations);
    o->changed += (double)(now.changed - was.changed);
}

/* Makes `context` what the session holds, with the pause behind it; too long a context loses its beginning, as in
 * lm-evaluation-harness, so that `room` more tokens fit. */
static int begin_context(bench *b, method *m, const tokens *context, int32_t room, outcome *o)
{
    harp_error err;
    int32_t pause = m->id == METHOD_PAUSE ? b->pause_count : 0, most = b->context - room - pause;
    int32_t n = (int32_t)context->n, skip = n > most ? n - most : 0;
    if (most < 1)
        return complain("a context of %ld positions is too short for this task, which needs %ld: see -c, --max-tokens",
                        (long)b->context, (long)room + pause + 1);
    if (n < 1) return complain("item %ld: its prompt has no tokens", (long)b->asked);
    if (skip > 0) o->cut += 1;
    if (harp_rewind(m->session, 0, &err) || harp_feed(m->session, context->list + skip, n - skip, &err))
        return fail(&err);
    return pause && harp_pause(m->session, b->pause_token, pause, &err) ? fail(&err) : 0;
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
    int32_t n = 0, last, i, given[MAX_TARGET];
    meter t = meter_begin(m);
    if (target->n > MAX_TARGET)
        return complain("item %ld: an answer of %lu tokens is too long, at most %d are scored; take it out of the data",
                        (long)b->asked, (unsigned long)target->n, (int)MAX_TARGET);
    if (!again && begin_context(b, m, context, MAX_TARGET, o))
        return EXIT_FAILED; /* else what was computed for it stands */
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
    meter_end(&t, m, o);
    return 0;
}

/* ---- Generating ---- */

static int has_stopped(const growing *g, const char *const *stops)
{
    for (; *stops; stops++)
        if (strstr(g->at, *stops)) return 1;
    return 0;
}

static int grow_token(harp_decoder *d, int32_t token, char *piece, size_t room, growing *g)
{
    size_t bytes;
    harp_error err;
    if (harp_decode(d, token, piece, room, &bytes, &err)) return fail(&err);
    put_bytes(g, piece, bytes);
    return g->failed ? complain("there is not enough memory for a text") : 0;
}

static int search(method *m, int32_t most, harp_decoder *d, char *piece, size_t room, growing *g)
{
    harp_beam_options options = harp_beam_defaults();
    harp_error err;
    int32_t n = 0, first;
    int status = 0;
    harp_tokens(m->session, &first);
    options.max_tokens = most;
    if (harp_beam(m->session, &options, NULL, &err)) return fail(&err);
    harp_tokens(m->session, &n);
    for (; first < n && status == 0; first++)
        status = grow_token(d, harp_tokens(m->session, NULL)[first], piece, room, g);
    return status;
}

static int step_on(method *m, int32_t most, const char *const *stops, harp_decoder *d, char *piece, size_t room,
                   growing *g)
{
    harp_step step;
    harp_error err;
    int32_t i;
    for (i = 0; i < most && !has_stopped(g, stops); i++) {
        if (harp_next(m->session, &step, &err)) return fail(&err);
        if (step.end) break;
        if (grow_token(d, step.token, piece, room, g)) return EXIT_FAILED;
    }
    return 0;
}

int generate(bench *b, method *m, const tokens *context, const char *const *stops, char **text, outcome *o)
{
    growing g = {NULL, 0, 0, 0};
    harp_decoder d;
    size_t room = (size_t)b->info.longest_token + 8;
    char *piece = malloc(room), *at;
    meter t = meter_begin(m);
    int status = piece ? begin_context(b, m, context, b->max_tokens, o) : complain("there is not enough memory");
    harp_decoder_start(&d, b->model, HARP_DECODE_CONTINUE);
    put_bytes(&g, "", 0);
    if (status == 0 && g.failed) status = complain("there is not enough memory for a text");
    if (status == 0 && m->id == METHOD_BEAM) status = search(m, b->max_tokens, &d, piece, room, &g);
    else if (status == 0) status = step_on(m, b->max_tokens, stops, &d, piece, room, &g);
    meter_end(&t, m, o);
    free(piece);
    for (; g.at && *stops; stops++)
        if ((at = strstr(g.at, *stops)) != NULL) *at = 0;
    *text = g.at;
    return status;
}
