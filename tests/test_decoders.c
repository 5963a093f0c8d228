/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_decoders.c - beam search, drafting, scoring with HARP
 *
 *     test_decoders beam MODEL.harp GOLDEN_FOLDER     the outputs of the paper's beam search (beam_p7.txt)
 *     test_decoders same MODEL.harp                   what may not depend on drafting, batches, schedules
 *     test_decoders greedy MODEL.harp DRAFT.harp N    drafted greedy text is greedy text, on N prompts of random tokens
 */
#include "../harp.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 160, PROMPT = 24, STEPS = 40, SCORED = 40 };

/* A prompt that repeats itself, so that looking things up finds something. */
static void make_prompt(const harp_model *m, int32_t *prompt, uint32_t seed)
{
    int32_t i, vocab = harp_model_info(m).vocab;
    for (i = 0; i < PROMPT; i++) {
        seed = seed * 1664525u + 1013904223u;
        prompt[i] = i >= 10 && i < 18 ? prompt[i - 8] : (int32_t)((seed >> 8) % (uint32_t)vocab);
    }
}

/* ---- Beam search against the paper's code ---- */

static int read_ints(const char *text, int32_t *out, int n)
{
    int i, used;
    for (i = 0; i < n; i++, text += used)
        if (sscanf(text, "%d%n", &out[i], &used) != 1) return 0;
    return 1;
}

typedef struct beam_case {
    int32_t end[16], n_end, pad, tokens[64], n_tokens;
    char name[32];
} beam_case;

/* "case NAME eos N ids... pad ID tokens N ids..." */
static int read_case(const char *line, beam_case *c)
{
    const char *pad = strstr(line, " pad "), *tokens = strstr(line, " tokens ");
    int used = 0;
    if (!pad || !tokens || sscanf(line, "case %31s eos %d%n", c->name, &c->n_end, &used) != 2) return 0;
    if (sscanf(pad, " pad %d", &c->pad) != 1 || c->n_end > 16 || !read_ints(line + used, c->end, c->n_end)) return 0;
    if (sscanf(tokens, " tokens %d%n", &c->n_tokens, &used) != 1 || c->n_tokens > 64) return 0;
    return read_ints(tokens + used, c->tokens, c->n_tokens);
}

static void check_case(const harp_model *m, const int32_t *prompt, const beam_case *c, int batch)
{
    harp_params p = harp_defaults();
    harp_beam_options o = harp_beam_defaults();
    harp_session *s;
    harp_error err = {HARP_OK, ""};
    int32_t n = 0;
    const int32_t *all;
    p.harp = 0, p.beams = 3, p.beam_length = 24, p.activations = HARP_ACT_F32, p.cache = HARP_CACHE_F32,
    p.batch = batch;
    o.max_tokens = 24, o.end = c->end, o.n_end = c->n_end, o.pad = c->pad;
    s = open_session(m, &p);
    CHECK(s && harp_feed(s, prompt, 7, &err) == HARP_OK && harp_beam(s, &o, NULL, &err) == HARP_OK);
    all = harp_tokens(s, &n);
    CHECK(n == 7 + c->n_tokens && memcmp(all + 7, c->tokens, (size_t)c->n_tokens * sizeof *all) == 0);
    harp_session_close(s);
}

static void test_beam_goldens(const harp_model *m, const char *folder)
{
    char path[1024], line[4096];
    int32_t prompt[7];
    beam_case c;
    FILE *f;
    int cases = 0;
    snprintf(path, sizeof path, "%s/beam_p7.txt", folder);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "prompt ", 7) == 0) CHECK(read_ints(line + 7, prompt, 7));
        if (strncmp(line, "case ", 5) != 0) continue;
        CHECK(read_case(line, &c));
        check_case(m, prompt, &c, 64);
        check_case(m, prompt, &c, 1); /* a beam a pass */
        cases++;
    }
    CHECK(cases == 2);
    if (f) fclose(f);
}

/* ---- Beam search: what needs no golden ---- */

/* One beam without penalty is greedy; and the tokens that follow a search are those of a session that was fed them. */
static void test_beam_is_greedy(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_beam_options o = harp_beam_defaults();
    harp_session *a, *b;
    int32_t prompt[PROMPT], n = 0, i, same = 0;
    harp_step x, y;
    p.harp = 0, p.temperature = 0, p.context = CONTEXT, p.beams = 1, p.beam_length = STEPS, p.cache = HARP_CACHE_INT8;
    make_prompt(m, prompt, 1);
    a = open_session(m, &p), b = open_session(m, &p);
    o.max_tokens = STEPS, o.end = prompt, o.n_end = 0;
    CHECK(harp_feed(a, prompt, PROMPT, NULL) == HARP_OK && harp_beam(a, &o, NULL, NULL) == HARP_OK);
    CHECK(harp_feed(b, prompt, PROMPT, NULL) == HARP_OK);
    for (i = 0; i < STEPS; i++) {
        CHECK(harp_next(b, &y, NULL) == HARP_OK);
        same += harp_tokens(a, &n)[PROMPT + i] == y.token;
    }
    CHECK(n == PROMPT + STEPS && same == STEPS);
    CHECK(harp_next(a, &x, NULL) == HARP_OK && harp_next(b, &y, NULL) == HARP_OK && x.token == y.token
          && x.entropy == y.entropy);
    CHECK(harp_statistics(a).steps == STEPS + 1);
    harp_session_close(a), harp_session_close(b);
}

/* The best beam's score is the sum of its log-probabilities, which scoring the text finds too. */
typedef struct sum {
    const int32_t *tokens;
    int32_t vocab, from, to;
    double total;
} sum;

static int add_logprob(void *user, int32_t position, const float *logits)
{
    sum *s = user;
    if (position + 1 >= s->from && position + 1 < s->to)
        s->total += (double)harp_logprob(logits, s->vocab, s->tokens[position + 1]);
    return 0;
}

static void test_beam_score(const harp_model *m, harp_cache cache)
{
    harp_params p = harp_defaults();
    harp_beam_options o = harp_beam_defaults();
    harp_session *s, *t;
    int32_t prompt[PROMPT], n = 0;
    float score[2] = {0, 0};
    int beams;
    sum check;
    make_prompt(m, prompt, 2);
    p.harp = 0, p.context = CONTEXT, p.beam_length = 20, p.cache = cache;
    o.max_tokens = 20, o.alpha = 0.0f, o.end = prompt, o.n_end = 0;
    for (beams = 1; beams <= 5; beams += 4) {
        p.beams = beams;
        s = open_session(m, &p), t = open_session(m, &p);
        CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && harp_beam(s, &o, &score[beams / 5], NULL) == HARP_OK);
        check.tokens = harp_tokens(s, &n), check.vocab = harp_model_info(m).vocab, check.total = 0;
        check.from = PROMPT, check.to = n;
        CHECK(harp_score(t, check.tokens, n, add_logprob, &check, NULL) == HARP_OK);
        CHECK(fabs(1.0 + check.total - (double)score[beams / 5]) < 1e-3); /* sums begin at 1 */
        harp_session_close(s), harp_session_close(t);
    }
    CHECK(score[1] > score[0]);
}

static int stop_at_once(void *user)
{
    return ++*(int *)user > 40;
}

static void test_beam_refusals(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_beam_options o = harp_beam_defaults();
    harp_session *s;
    int32_t prompt[PROMPT], n = 0;
    int asked = 0;
    make_prompt(m, prompt, 3);
    p.context = CONTEXT;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, 4, NULL) == HARP_OK && harp_beam(s, &o, NULL, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(s);
    p.beams = 2;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, 4, NULL) == HARP_OK && harp_beam(s, &o, NULL, NULL) == HARP_ERR_UNSUPPORTED);
    harp_session_close(s);
    p.harp = 0, p.beam_length = 10, p.cancel = stop_at_once, p.cancel_user = &asked;
    s = open_session(m, &p);
    CHECK(harp_beam(s, &o, NULL, NULL) == HARP_ERR_ARGUMENT);
    CHECK(harp_feed(s, prompt, 1, NULL) == HARP_OK && harp_beam(s, &o, NULL, NULL) == HARP_ERR_ARGUMENT);
    o.max_tokens = 10;
    CHECK(harp_beam(s, &o, NULL, NULL) == HARP_ERR_CANCELLED);
    CHECK(harp_tokens(s, &n)[0] == prompt[0] && n == 1);
    asked = -1000000;
    CHECK(harp_beam(s, &o, NULL, NULL) == HARP_OK);
    o.top_k = 0;
    CHECK(harp_beam(s, &o, NULL, NULL) == HARP_ERR_ARGUMENT);
    o.top_k = 5, o.alpha = NAN;
    CHECK(harp_beam(s, &o, NULL, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(s);
    p.beams = 65;
    CHECK(harp_session_open(&s, m, &p, NULL) == HARP_ERR_ARGUMENT);
}

/* ---- Drafting changes nothing ---- */

/* A hash of all that steps tell, but for what they cost. */
static uint64_t hash_steps(harp_session *s, int32_t steps, uint64_t hash)
{
    harp_which which[] = {HARP_VANILLA, HARP_COMBINED};
    harp_choice top[5];
    int32_t i, k;
    for (i = 0; i < steps; i++) {
        harp_step step;
        if (harp_next(s, &step, NULL)) return 0;
        step.passes = step.rows = 0;
        hash = mix(hash, &step, sizeof step);
        for (k = 0; k < 2; k++) hash = mix(hash, top, (size_t)harp_top(s, which[k], top, 5) * sizeof *top);
        if (harp_top(s, HARP_REFRAMED, top, 1)) hash = mix(hash, top, sizeof *top);
    }
    return hash;
}

static uint64_t hash_run(harp_session *s, const int32_t *prompt)
{
    uint64_t hash;
    if (!s || harp_rewind(s, 0, NULL) || harp_feed(s, prompt, PROMPT, NULL)) return 0;
    hash = hash_steps(s, STEPS / 2, MIX_START);
    if (harp_rewind(s, PROMPT + 7, NULL) || harp_feed(s, prompt + 3, 5, NULL)) return 0; /* in the middle of guesses */
    return hash_steps(s, STEPS, hash);
}

typedef struct setting {
    harp_frame frame;
    harp_schedule schedule;
    int harp, reframings, from;
    float temperature;
} setting;

static const setting settings[] = {
    {HARP_FRAME_STREAM, HARP_SCHEDULE_LAZY, 0, 1, 0, 0.0f},   {HARP_FRAME_STREAM, HARP_SCHEDULE_LAZY, 0, 1, 0, 0.9f},
    {HARP_FRAME_STREAM, HARP_SCHEDULE_LAZY, 1, 1, 0, 0.0f},   {HARP_FRAME_STREAM, HARP_SCHEDULE_FUSED, 1, 3, 0, 0.8f},
    {HARP_FRAME_STREAM, HARP_SCHEDULE_FUSED, 1, 2, 27, 0.0f}, {HARP_FRAME_STREAM, HARP_SCHEDULE_LAZY, 1, 2, -1, 0.0f},
    {HARP_FRAME_LAST, HARP_SCHEDULE_LAZY, 1, 2, 0, 0.0f},     {HARP_FRAME_LAST, HARP_SCHEDULE_FUSED, 1, 1, 0, 0.7f},
    {HARP_FRAME_REDRAW, HARP_SCHEDULE_FUSED, 1, 2, 0, 0.0f},  {HARP_FRAME_REDRAW, HARP_SCHEDULE_LAZY, 1, 1, 5, 0.8f},
};

enum { SETTINGS = sizeof settings / sizeof *settings };

static harp_params params_of(const setting *t)
{
    harp_params p = harp_defaults();
    p.context = CONTEXT, p.harp = t->harp, p.frame = t->frame, p.schedule = t->schedule, p.reframings = t->reframings;
    p.reframe_from = t->from, p.temperature = t->temperature, p.seed = 7;
    return p;
}

/* The draft model is the model itself with rounded activations: right often, not always. */
static void test_drafting(const harp_model *m)
{
    int32_t prompt[PROMPT], i, rule;
    int64_t kept = 0;
    make_prompt(m, prompt, 4);
    for (i = 0; i < SETTINGS; i++) {
        harp_params p = params_of(&settings[i]), d = p;
        harp_session *s, *draft;
        uint64_t plain;
        d.harp = 0, p.activations = HARP_ACT_F32;
        draft = open_session(m, &d);
        s = open_session(m, &p);
        plain = hash_run(s, prompt);
        CHECK(plain != 0);
        harp_session_close(s);
        p.drafts = 5;
        s = open_session(m, &p);
        CHECK(hash_run(s, prompt) == plain);
        CHECK(harp_statistics(s).drafted > 0);
        harp_session_close(s);
        p.draft = draft;
        for (rule = 0; rule < (p.temperature > 0 ? 1 : 2); rule++) { /* greedy: both rules are the same */
            p.draft_rule = rule ? HARP_DRAFT_LEVIATHAN : HARP_DRAFT_EXACT;
            p.batch = rule ? 64 : 3;
            s = open_session(m, &p);
            CHECK(hash_run(s, prompt) == plain);
            kept += harp_statistics(s).accepted;
            CHECK(harp_statistics(s).accepted <= harp_statistics(s).drafted);
            harp_session_close(s);
        }
        harp_session_close(draft);
    }
    CHECK(kept > 100);
}

/* Guesses that were kept cost no pass of their own. */
static void test_drafting_pays(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s, *draft;
    int32_t prompt[PROMPT];
    int64_t before;
    make_prompt(m, prompt, 5);
    p.harp = 0, p.temperature = 0, p.context = CONTEXT;
    draft = open_session(m, &p);
    p.drafts = 4, p.draft = draft;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    before = harp_statistics(s).passes;
    CHECK(hash_steps(s, STEPS, 1) != 0);
    CHECK(harp_statistics(s).accepted == harp_statistics(s).drafted); /* the model agrees with itself */
    CHECK(harp_statistics(s).passes - before == STEPS / 5);
    harp_session_close(s), harp_session_close(draft);
}

static void test_draft_restore(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s, *t;
    int32_t prompt[PROMPT];
    size_t bytes = 0;
    void *image;
    make_prompt(m, prompt, 6);
    p.context = CONTEXT, p.drafts = 6;
    s = open_session(m, &p), t = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && hash_steps(s, 11, 1) != 0);
    CHECK(harp_save(s, NULL, 0, &bytes, NULL) == HARP_OK);
    image = malloc(bytes);
    CHECK(image && harp_save(s, image, bytes, &bytes, NULL) == HARP_OK);
    CHECK(harp_restore(t, image, bytes, NULL) == HARP_OK);
    CHECK(hash_steps(s, 20, 1) == hash_steps(t, 20, 1));
    free(image);
    harp_session_close(s), harp_session_close(t);
}

static void test_draft_refusals(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *draft = open_session(m, &p), *s = NULL;
    p.drafts = 4, p.draft = draft;
    CHECK(harp_session_open(&s, m, &p, NULL) == HARP_ERR_ARGUMENT && !s); /* HARP is on in the draft session */
    p.drafts = 65, p.draft = NULL;
    CHECK(harp_session_open(&s, m, &p, NULL) == HARP_ERR_ARGUMENT && !s);
    harp_session_close(draft);
}

/* ---- Leviathan's rule: the distribution is that of the model ---- */

/* A prompt whose last token stood in it before, followed by a token that is fairly probable at its end as well: so that
 * a looked-up guess is sometimes kept and sometimes refused. */
static void make_guessable(const harp_model *m, int32_t *prompt)
{
    harp_params p = harp_defaults();
    harp_session *s;
    int32_t i, v, best = 0, vocab = harp_model_info(m).vocab;
    float most = 0.0f;
    p.harp = 0, p.context = CONTEXT;
    s = open_session(m, &p);
    make_prompt(m, prompt, 8);
    prompt[PROMPT - 1] = prompt[19];
    for (v = 0; v < vocab; v++) {
        harp_choice top[8];
        prompt[20] = v;
        if (harp_rewind(s, v == 0 ? 0 : 20, NULL) || harp_feed(s, prompt + (v == 0 ? 0 : 20), v == 0 ? PROMPT : 4, NULL)
            || harp_next(s, NULL, NULL))
            break;
        harp_top(s, HARP_VANILLA, top, 8);
        for (i = 0; i < 8; i++)
            if (top[i].token == v && top[i].probability > most) most = top[i].probability, best = v;
    }
    prompt[20] = best;
    CHECK(most > 0.05f);
    harp_session_close(s);
}

/* Draws the token after the prompt many times and compares how often each came with its probability. */
static double chi_square(const harp_model *m, int with_model, int32_t draws, int *cells)
{
    harp_params p = harp_defaults(), d;
    harp_session *s, *draft;
    int32_t prompt[PROMPT], i, vocab = harp_model_info(m).vocab;
    double chi = 0, rest = 1, expected_rest;
    int32_t *count = calloc((size_t)vocab, sizeof *count), counted = 0, guessed = 0;
    harp_choice top[256];
    make_guessable(m, prompt);
    p.harp = 0, p.context = CONTEXT, p.temperature = 1.0f, p.top_k = 0, p.top_p = 1.0f, p.min_p = 0.0f;
    d = p, d.temperature = 2.0f; /* another distribution than the model's */
    draft = open_session(m, &d);
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
    harp_top(s, HARP_VANILLA, top, 8);
    harp_session_close(s);
    p.drafts = 1, p.draft = with_model ? draft : NULL, p.draft_rule = HARP_DRAFT_LEVIATHAN;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    for (i = 0; i < draws; i++) {
        harp_step step;
        p.seed = d.seed = (uint64_t)i + 1000000u;
        if (harp_tune(s, &p, NULL) || harp_tune(draft, &d, NULL) || harp_next(s, &step, NULL)) break;
        count[step.token]++;
        harp_rewind(s, PROMPT, NULL);
    }
    guessed = (int32_t)harp_statistics(s).drafted;
    CHECK(i == draws && guessed == draws);
    for (i = 0; i < 8 && (double)top[i].probability * draws >= 10; i++) {
        double expected = (double)top[i].probability * draws, off = count[top[i].token] - expected;
        chi += off * off / expected, rest -= (double)top[i].probability, counted += count[top[i].token];
    }
    *cells = i;
    expected_rest = rest * draws;
    if (expected_rest >= 10) chi += pow(draws - counted - expected_rest, 2) / expected_rest;
    free(count);
    harp_session_close(s), harp_session_close(draft);
    return chi;
}

/* 99.9 % points of chi-square for 1..8 degrees of freedom; the draws are keyed, so this passes always or never. */
static void test_leviathan(const harp_model *m)
{
    static const double limit[] = {0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12};
    int with_model, cells = 0;
    for (with_model = 0; with_model < 2; with_model++) {
        double chi = chi_square(m, with_model, 10000, &cells);
        printf("note   chi-square of 10000 draws, %s: %.2f, %d cells and the rest\n",
               with_model ? "draft model" : "lookup", chi, cells);
        CHECK(cells >= 2 && chi < limit[cells]);
    }
}

/* ---- Scoring with HARP ---- */

typedef struct expected {
    harp_step step[SCORED];
    uint64_t vanilla[SCORED], combined[SCORED];
    int32_t vocab, n, same, from;
} expected;

/* The given text, stepped through: what harp_next chooses is thrown away, the text's token is fed instead. */
static int step_through(const harp_model *m, const harp_params *p, const int32_t *text, expected *e)
{
    harp_session *s = open_session(m, p);
    int32_t i;
    e->vocab = harp_model_info(m).vocab, e->n = e->same = 0;
    for (i = 0; i < SCORED; i++) {
        if (harp_feed(s, text + i, 1, NULL) || harp_next(s, &e->step[i], NULL)) return 0;
        e->vanilla[i] = mix(1, harp_logits(s, HARP_VANILLA), (size_t)e->vocab * sizeof(float));
        e->combined[i] = mix(1, harp_logits(s, HARP_COMBINED), (size_t)e->vocab * sizeof(float));
        if (harp_rewind(s, i + 1, NULL)) return 0;
    }
    harp_session_close(s);
    return 1;
}

static int compare_step(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    expected *e = user;
    int32_t i = e->from + e->n++;
    harp_step want = e->step[i], is = *step;
    is.passes = want.passes, is.rows = want.rows;
    e->same += memcmp(&is, &want, sizeof want) == 0
               && e->vanilla[i] == mix(1, vanilla, (size_t)e->vocab * sizeof(float))
               && e->combined[i] == mix(1, combined, (size_t)e->vocab * sizeof(float));
    return 0;
}

static void test_score_harp(const harp_model *m)
{
    int32_t text[2 * PROMPT], i, rows;
    static expected e;
    make_prompt(m, text, 9), make_prompt(m, text + PROMPT, 10);
    for (i = 0; i < SETTINGS; i++) {
        harp_params p = params_of(&settings[i]);
        p.temperature = 0.0f, p.theta = 0.7f;
        if (p.reframe_from == HARP_FROM_PROMPT) p.reframe_from = 3;
        CHECK(step_through(m, &p, text, &e));
        for (rows = 1; rows <= 16; rows *= 4) {
            harp_session *s;
            p.logit_rows = rows, p.batch = rows == 4 ? 5 : 64;
            s = open_session(m, &p);
            e.n = e.same = e.from = 0;
            CHECK(harp_score_harp(s, text, 13, compare_step, &e, NULL) == HARP_OK); /* in two parts */
            CHECK(harp_score_harp(s, text + 13, SCORED - 13, compare_step, &e, NULL) == HARP_OK);
            CHECK(e.n == SCORED && e.same == SCORED);
            CHECK(harp_rewind(s, 9, NULL) == HARP_OK);
            e.n = e.same = 0, e.from = 9;
            CHECK(harp_score_harp(s, text + 9, SCORED - 9, compare_step, &e, NULL) == HARP_OK);
            CHECK(e.same == SCORED - 9);
            harp_session_close(s);
        }
    }
}

static int refuse(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    (void)user, (void)vanilla, (void)combined;
    return step->position == 12;
}

static void test_score_cancelled(const harp_model *m)
{
    int32_t text[PROMPT], n = 0;
    static expected e;
    harp_params p = harp_defaults();
    harp_session *s;
    make_prompt(m, text, 11);
    p.context = CONTEXT, p.logit_rows = 8, p.temperature = 0.0f;
    s = open_session(m, &p);
    CHECK(harp_score_harp(s, text, 5, refuse, NULL, NULL) == HARP_OK);
    CHECK(harp_score_harp(s, text + 5, 15, refuse, NULL, NULL) == HARP_ERR_CANCELLED);
    harp_tokens(s, &n);
    CHECK(n == 5);
    CHECK(harp_score_harp(s, text + 5, 200, refuse, NULL, NULL) == HARP_ERR_CONTEXT);
    CHECK(harp_score_harp(s, text + 5, 5, NULL, NULL, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(s);
    (void)e;
}

/* ---- Pauses, memory ---- */

static void test_pause(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *a, *b;
    harp_error err;
    int32_t prompt[PROMPT + 3], i;
    make_prompt(m, prompt, 12);
    for (i = 0; i < 3; i++) prompt[PROMPT + i] = 5;
    p.context = CONTEXT;
    a = open_session(m, &p), b = open_session(m, &p);
    CHECK(harp_feed(a, prompt, PROMPT, NULL) == HARP_OK && harp_pause(a, 5, 3, NULL) == HARP_OK);
    CHECK(harp_feed(b, prompt, PROMPT + 3, NULL) == HARP_OK);
    CHECK(hash_steps(a, 10, 1) == hash_steps(b, 10, 1));
    CHECK(harp_pause(a, -1, 1, NULL) == HARP_ERR_ARGUMENT && harp_pause(a, 5, CONTEXT, NULL) == HARP_ERR_CONTEXT);
    err.status = HARP_ERR_CONTEXT;
    CHECK(harp_pause(a, 5, 0, &err) == HARP_OK && err.status == HARP_OK
          && harp_pause(NULL, 5, 1, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(a), harp_session_close(b);
}

static void *count_alloc(void *user, size_t bytes)
{
    ++*(int *)user;
    return malloc(bytes);
}

static void count_free(void *user, void *block, size_t bytes)
{
    (void)user, (void)bytes;
    free(block);
}

static int accept_all(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    (void)user, (void)step, (void)vanilla, (void)combined;
    return 0;
}

static void test_memory(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_beam_options o = harp_beam_defaults();
    harp_session *s, *draft;
    int32_t prompt[PROMPT];
    int calls = 0;
    make_prompt(m, prompt, 13);
    p.context = CONTEXT, p.harp = 0, p.allocator.alloc = count_alloc, p.allocator.free = count_free;
    p.allocator.user = &calls;
    draft = open_session(m, &p);
    p.drafts = 3, p.draft = draft, p.draft_rule = HARP_DRAFT_LEVIATHAN;
    p.beams = 4, p.beam_length = 30, p.logit_rows = 4;
    o.max_tokens = 30;
    s = open_session(m, &p);
    CHECK(calls == 2);
    CHECK(harp_score_harp(s, prompt, PROMPT, accept_all, NULL, NULL) == HARP_OK);
    CHECK(hash_steps(s, 20, 1) != 0 && harp_beam(s, &o, NULL, NULL) == HARP_OK && calls == 2);
    harp_session_close(s), harp_session_close(draft);
}

/* ---- Greedy text on many prompts ---- */

static void test_greedy(const harp_model *m, const harp_model *small, int32_t prompts)
{
    harp_params p = harp_defaults(), d;
    harp_session *plain, *lookup, *drafted, *draft;
    int32_t prompt[PROMPT], i, same[2] = {0, 0};
    int64_t kept[2];
    p.harp = 0, p.temperature = 0.0f, p.context = CONTEXT;
    d = p, d.temperature = 0.8f; /* draws its guesses, so that some are refused even if it is the same model */
    plain = open_session(m, &p), draft = open_session(small, &d);
    p.drafts = 4, lookup = open_session(m, &p);
    p.draft = draft, drafted = open_session(m, &p);
    for (i = 0; i < prompts; i++) {
        uint64_t hash;
        make_prompt(m, prompt, (uint32_t)i * 77u);
        hash = hash_run(plain, prompt);
        same[0] += hash == hash_run(lookup, prompt);
        same[1] += hash == hash_run(drafted, prompt);
    }
    CHECK(same[0] == prompts);
    CHECK(same[1] == prompts);
    kept[0] = harp_statistics(lookup).accepted, kept[1] = harp_statistics(drafted).accepted;
    printf("note   %d prompts, %d tokens each: lookup kept %lld of %lld guesses, the draft model %lld of %lld\n",
           prompts, STEPS / 2 + STEPS, (long long)kept[0], (long long)harp_statistics(lookup).drafted,
           (long long)kept[1], (long long)harp_statistics(drafted).drafted);
    harp_session_close(plain), harp_session_close(lookup), harp_session_close(drafted), harp_session_close(draft);
}

int main(int argc, char **argv)
{
    harp_model *m = NULL, *small = NULL;
    harp_error err;
    if (argc < 3) return 2;
    if (harp_open(&m, argv[2], &err) || (argc > 4 && harp_open(&small, argv[3], &err))) {
        printf("FAILED %s: %s\n0 passed, 1 failed\n", argv[2], err.text);
        return 1;
    }
    if (strcmp(argv[1], "beam") == 0 && argc > 3) test_beam_goldens(m, argv[3]);
    if (strcmp(argv[1], "greedy") == 0 && argc > 4) test_greedy(m, small, atoi(argv[4]));
    if (strcmp(argv[1], "same") == 0) {
        test_beam_is_greedy(m), test_beam_refusals(m);
        test_beam_score(m, HARP_CACHE_F16), test_beam_score(m, HARP_CACHE_F32), test_beam_score(m, HARP_CACHE_INT8);
        test_drafting(m), test_drafting_pays(m), test_draft_restore(m), test_draft_refusals(m);
        test_leviathan(m), test_score_harp(m), test_score_cancelled(m);
        test_pause(m), test_memory(m);
    }
    harp_close(m), harp_close(small);
    return conclude();
}
