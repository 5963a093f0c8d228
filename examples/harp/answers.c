/* answers.c - --answers: several answers to one prompt, computed in common passes, of which one is chosen
 *
 * The prompt is computed once; each answer is a fork of its session. What they have in common to count, a number after
 * "####" or a letter, decides by majority. Otherwise the answer that the model was surest of is taken (votes.h).
 * --confident leaves out answers with an unsure stretch first [Fu et al. 2025, DeepConf, arXiv 2508.15260]: of each
 * answer the least mean confidence of WINDOW tokens in a row counts. */
#include "cli.h"
#include "../../tools/convert/ground/votes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 32, TOP = 5 };

typedef struct answer {
    harp_decoder decoder;
    blob text;
    double window[WINDOW], sum; /* confidence of the last tokens */
    double least;               /* of any window so far */
    int ended;
} answer;

typedef struct answers {
    engine *e;
    const options *o;
    harp_member members[MOST_VOTES]; /* those that go on, of ... */
    int32_t which[MOST_VOTES];       /* ... this answer each     */
    harp_session *forks[MOST_VOTES];
    answer list[MOST_VOTES];
    vote votes[MOST_VOTES]; /* of each answer */
    int32_t n, open;
} answers;

int answers_set_params(engine *e, const options *o)
{
    harp_error err;
    if (o->answers < 2) return EXIT_FINE;
    e->params.seats = o->answers;
    if (harp_engine_open(&e->shared, e->model, &e->params, &err)) return complain("%s", err.text);
    e->params.engine = e->shared;
    return EXIT_FINE;
}

static int open_forks(answers *a, int32_t most)
{
    harp_params p = a->e->params;
    harp_error err;
    int32_t i, used = engine_used(a->e);
    p.parent = a->e->session, p.parent_at = used;
    p.context = most < engine_context(a->e) - used ? used + most : engine_context(a->e);
    for (i = 0; i < a->n; i++) {
        p.sample = (uint32_t)i;
        if (harp_session_open(&a->forks[i], a->e->model, &p, &err)) return complain("%s", err.text);
        a->members[i].session = a->forks[i], a->which[i] = i;
        a->list[i].least = HUGE_VAL;
        harp_decoder_start(&a->list[i].decoder, a->e->model, used > 1 ? HARP_DECODE_CONTINUE : 0);
    }
    a->open = a->n;
    return EXIT_FINE;
}

/* Confidence is the mean of - ln p over the most probable tokens. */
static void note_sureness(answer *b, vote *v, const harp_session *s, const harp_step *step, int32_t vocab)
{
    double confidence = 0.0, *oldest = &b->window[v->tokens % WINDOW];
    harp_choice top[TOP];
    int32_t i, n = harp_top(s, HARP_COMBINED, top, TOP);
    vote_note(v, harp_logits(s, HARP_COMBINED), vocab, step->token, (double)step->logprob);
    for (i = 0; i < n; i++) confidence -= log((double)top[i].probability + 1e-30) / n;
    b->sum += confidence - *oldest, *oldest = confidence;
    if (v->tokens >= WINDOW && b->sum / WINDOW < b->least) b->least = b->sum / WINDOW;
}

/* Cuts the text before the first stop text; 1 if there is one. */
static int cut_at_stop(answer *b, const options *o)
{
    char *first = NULL;
    int32_t i;
    for (i = 0; i < o->n_stop && b->text.data; i++) {
        char *at = strstr(b->text.data, o->stop[i]);
        if (at && (!first || at < first)) first = at;
    }
    if (first) *first = 0, b->text.bytes = (size_t)(first - b->text.data);
    return first != NULL;
}

static int note_step(answers *a, int32_t which, const harp_member *m)
{
    answer *b = &a->list[which];
    char text[4096];
    harp_error err;
    size_t bytes = 0;
    int is_last = (m->step.end && !a->o->ignore_end) || a->votes[which].tokens + 1 == a->o->n;
    note_sureness(b, &a->votes[which], m->session, &m->step, a->e->info.vocab);
    if ((size_t)a->e->info.longest_token + 8 > sizeof text) return complain("this model's tokens are too long");
    if (harp_decode(&b->decoder, m->step.token, text, sizeof text, &bytes, &err)) return complain("%s", err.text);
    if (blob_append(&b->text, text, bytes)) return EXIT_FAILED;
    b->ended = cut_at_stop(b, a->o) || is_last;
    if (!b->ended) return EXIT_FINE;
    if (a->votes[which].tokens < WINDOW) b->least = b->sum / a->votes[which].tokens; /* a shorter one is one stretch */
    if (harp_decode(&b->decoder, -1, text, sizeof text, &bytes, &err)) return complain("%s", err.text);
    return m->step.end ? blob_append(&b->text, text, bytes) : EXIT_FINE;
}

/* Those that have ended leave, as does one whose context is full. */
static int settle_members(answers *a)
{
    int32_t i, n = 0;
    int status = EXIT_FINE;
    for (i = 0; i < a->open && status == EXIT_FINE; i++) {
        harp_member *m = &a->members[i];
        answer *b = &a->list[a->which[i]];
        if (m->done) status = note_step(a, a->which[i], m);
        else if (m->error.status == HARP_ERR_CONTEXT) b->ended = 1;
        else if (m->error.status) status = engine_complain(a->e, &m->error);
        if (!b->ended) a->members[n] = *m, a->which[n++] = a->which[i];
    }
    a->open = n;
    return status;
}

/* ---- Which one ---- */

/* What can be counted: the word behind the last "####", or an answer that is or begins with a letter from A to J. */
static void find_key(const answer *b, char key[VOTE_KEY])
{
    const char *text = b->text.data ? b->text.data : "", *at, *next;
    size_t n;
    for (at = NULL, next = strstr(text, "####"); next; next = strstr(next + 4, "####")) at = next + 4;
    if (!at) at = text + strspn(text, " (\n");
    else at += strspn(at, " $");
    n = strcspn(at, " \n\r\t).:");
    if (at == text + strspn(text, " (\n") && (n != 1 || *at < 'A' || *at > 'J')) n = 0;
    if (n >= VOTE_KEY) n = 0;
    memcpy(key, at, n);
    key[n] = 0;
}

/* Leaves out the answers with the least sure stretch, until the share asked for is left. */
static void leave_out_unsure(answers *a, double share)
{
    int32_t leave = a->n - (int32_t)ceil(share * a->n - 1e-6), i, least; /* 0.2f * 5 is a little more than 1 */
    for (; leave > 0; leave--) {
        for (i = 0, least = -1; i < a->n; i++)
            if (!a->votes[i].left_out && (least < 0 || a->list[i].least < a->list[least].least)) least = i;
        a->votes[least].left_out = 1;
    }
}

static void tell_choice(const answers *a, int32_t best, int32_t votes)
{
    const vote *v = &a->votes[best];
    if (votes > 0) tell("answer %d of %d: %d say %s", (int)best + 1, (int)a->n, (int)votes, v->key);
    else tell("answer %d of %d: the surest (mean log-probability %.3f, self-certainty %.3f)", (int)best + 1, (int)a->n,
              vote_sureness(v, VOTE_LOGPROB), vote_sureness(v, VOTE_CERTAINTY));
}

/* The answer that is shown. */
static int32_t choose_answer(answers *a)
{
    static const vote_rule rules[] = {VOTE_MAJORITY, VOTE_CERTAINTY, VOTE_LOGPROB}; /* in the order of --pick */
    int32_t i, votes, best;
    for (i = 0; i < a->n; i++) find_key(&a->list[i], a->votes[i].key);
    leave_out_unsure(a, (double)a->o->confident);
    best = vote_choose(a->votes, a->n, rules[a->o->pick], &votes);
    tell_choice(a, best, votes);
    return best;
}

static void show_answer(show *s, const answer *b)
{
    if (b->text.data) term_write(&s->term, b->text.data, b->text.bytes, NULL);
    putchar('\n'), fflush(stdout);
    s->newline = 1, s->ended = 1;
}

int answers_generate(engine *e, show *s, const options *o)
{
    answers *a = calloc(1, sizeof *a);
    harp_error err;
    int32_t i;
    int status;
    if (!a) return complain("there is not enough memory");
    a->e = e, a->o = o, a->n = o->answers;
    status = open_forks(a, o->n < 0 ? INT32_MAX : o->n);
    while (status == EXIT_FINE && a->open > 0 && !show_must_stop(s)) {
        if (harp_together(a->members, a->open, 0, &err)) status = complain("%s", err.text);
        else status = settle_members(a);
    }
    if (status == EXIT_FINE && !show_must_stop(s)) show_answer(s, &a->list[choose_answer(a)]);
    for (i = 0; i < a->n; i++) harp_session_close(a->forks[i]), free(a->list[i].text.data);
    free(a);
    return status;
}
