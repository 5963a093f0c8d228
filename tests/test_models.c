/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_models.c - what architectures other than Llama's need
 *
 *     test_models FIXTURES
 *
 * Their kernels against exact references and the same in every instruction set; the length at which longrope changes
 * its table, crossed in every way; descriptions of models that make no sense. Whether the numbers of a whole model are
 * right, test_conformance.c tells. Includes the implementation, to reach its private parts. */

#include "../harp_impl.c"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Kernels ---- */

static double gelu_tanh(double x)
{
    return 0.5 * x * (1.0 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

static double gelu_erf(double x)
{
    return 0.5 * x * erfc(-x * 0.70710678118654752);
}

/* The functions in float are within 2 units in the last place of |x| + 1, tanh within 3e-7 of itself. */
static void test_functions(const hp_kernels *k)
{
    double worst_tanh = 0, worst_erf = 0, worst_cap = 0, x;
    float in[16] = {0}, out[16];
    for (x = -12.0; x < 12.0; x += 0.00317) {
        double at = (double)(float)x;
        in[3] = (float)x;
        k->activate(out, in, NULL, 16, HP_GELU_TANH);
        if (!(fabs((double)out[3] - gelu_tanh(at)) / (1 + fabs(at)) <= worst_tanh))
            worst_tanh = fabs((double)out[3] - gelu_tanh(at)) / (1 + fabs(at));
        k->activate(out, in, NULL, 16, HP_GELU_ERF);
        if (!(fabs((double)out[3] - gelu_erf(at)) / (1 + fabs(at)) <= worst_erf))
            worst_erf = fabs((double)out[3] - gelu_erf(at)) / (1 + fabs(at));
        out[3] = in[3];
        k->soft_cap(out, 4, 1.0f, 1.0f);
        if (!(fabs((double)out[3] / tanh(at) - 1) <= worst_cap)) worst_cap = fabs((double)out[3] / tanh(at) - 1);
    }
    CHECK(worst_tanh < 1.5e-7 && worst_erf < 1.5e-7 && worst_cap < 3e-7);
    for (x = 1e-30; x < 1.0; x *= 1.37) {
        out[3] = (float)x;
        k->soft_cap(out, 16, 1.0f, 1.0f);
        CHECK(fabs((double)out[3] / tanh((double)(float)x) - 1) < 3e-7);
    }
    out[3] = 1e20f, out[4] = -1e20f, out[5] = 100.0f;
    k->soft_cap(out, 16, 0.5f, 30.0f);
    CHECK(fabs((double)out[3] - 30) < 1e-5 && fabs((double)out[4] + 30) < 1e-5);
    CHECK(fabs((double)out[5] - 30 * tanh(50.0 / 30)) < 1e-5);
    for (x = -1e30; x < -20; x /= 7) {
        in[3] = (float)x;
        k->activate(out, in, NULL, 16, HP_GELU_ERF);
        CHECK(fabs((double)out[3]) < 1e-30);
        k->activate(out, in, NULL, 16, HP_GELU_TANH);
        CHECK(fabs((double)out[3]) < 1e-7);
    }
}

enum { LONGEST = 96 };

typedef struct sample { /* of every kernel, for one length */
    float layer[LONGEST], head[LONGEST], biased[LONGEST], capped[LONGEST], act[3][LONGEST], gated[3][LONGEST];
} sample;

static unsigned char weight[4 * LONGEST], bias[4 * LONGEST];
static float input[LONGEST], gate[LONGEST];

static void make_input(int32_t n)
{
    static uint32_t state = 1;
    int32_t i;
    memset(input, 0, sizeof input);
    for (i = 0; i < LONGEST; i++) {
        uint32_t w, b;
        state = state * 1664525u + 1013904223u;
        if (i < n) input[i] = (float)(state >> 8) / 4194304.0f - 2.0f;
        gate[i] = (float)(state & 0xFFFFu) / 8192.0f - 4.0f;
        w = hp_bits(1.0f + (float)(state >> 20) / 4096.0f), b = hp_bits((float)(state >> 22) / 512.0f - 1.0f);
        weight[4 * i] = (unsigned char)w, weight[4 * i + 1] = (unsigned char)(w >> 8);
        weight[4 * i + 2] = (unsigned char)(w >> 16), weight[4 * i + 3] = (unsigned char)(w >> 24);
        bias[4 * i] = (unsigned char)b, bias[4 * i + 1] = (unsigned char)(b >> 8);
        bias[4 * i + 2] = (unsigned char)(b >> 16), bias[4 * i + 3] = (unsigned char)(b >> 24);
    }
}

static void run_kernels(const hp_kernels *k, sample *s, int32_t n)
{
    int32_t i;
    memset(s, 0, sizeof *s);
    k->layernorm(s->layer, input, weight, n % 2 ? bias : NULL, n, 1e-5f);
    memcpy(s->head, input, sizeof input);
    k->rmsnorm(s->head, s->head, weight, n, 1e-6f);
    memcpy(s->biased, gate, sizeof gate);
    k->add_bias(s->biased, bias, n);
    memcpy(s->capped, gate, sizeof gate);
    k->soft_cap(s->capped, n, 3.0f, 5.0f);
    for (i = 0; i < 3; i++) {
        k->activate(s->act[i], gate, NULL, n, (hp_activation)i);
        k->activate(s->gated[i], gate, input, n, (hp_activation)i);
    }
}

/* LayerNorm in double. */
static double layernorm_error(const sample *s, int32_t n)
{
    double mean = 0, variance = 0, worst = 0;
    int32_t i;
    for (i = 0; i < n; i++) mean += (double)input[i] / n;
    for (i = 0; i < n; i++) variance += ((double)input[i] - mean) * ((double)input[i] - mean) / n;
    for (i = 0; i < n; i++) {
        double y = ((double)input[i] - mean) / sqrt(variance + 1e-5) * (double)hp_f32(weight + 4 * i);
        if (n % 2) y += (double)hp_f32(bias + 4 * i);
        if (!(fabs(y - (double)s->layer[i]) <= worst)) worst = fabs(y - (double)s->layer[i]);
    }
    return worst;
}

static void test_kernels(void)
{
    sample plain, other;
    const hp_kernels *k;
    int32_t n;
    int i;
    for (i = 0; (k = hp_kernels_at(i)) != NULL; i++) test_functions(k);
    for (n = 1; n <= 70; n++) {
        make_input(n);
        run_kernels(hp_find_kernels("c"), &plain, n);
        CHECK(n == 1 || layernorm_error(&plain, n) < 4e-6);
        for (i = n; i < hp_round_up(n, HP_LANES); i++) CHECK(plain.layer[i] == 0.0f);
        for (i = n; i < LONGEST; i++) CHECK(plain.head[i] == 0.0f && plain.biased[i] == gate[i]);
        for (i = 0; (k = hp_kernels_at(i)) != NULL; i++) {
            run_kernels(k, &other, n);
            CHECK(memcmp(&plain, &other, sizeof plain) == 0);
        }
    }
}

/* ---- Crossing the length at which longrope changes its table ---- */

enum { BORDER = 48, FIRST = 40, STEPS = 20, CONTEXT = 80 };

static harp_params params_of(harp_frame frame, harp_cache cache, harp_schedule schedule)
{
    harp_params p = harp_defaults();
    p.context = CONTEXT, p.frame = frame, p.cache = cache, p.schedule = schedule;
    p.theta = 0.5f, p.temperature = 0.0f, p.batch = 16, p.logit_rows = 8;
    return p;
}

static void start(harp_session *s, int32_t n)
{
    int32_t i, token;
    for (i = 0; i < n; i++) {
        token = (37 * i + 11) % 250;
        s->tokens[i] = token;
    }
    CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_feed(s, s->tokens, n, NULL) == HARP_OK);
}

static uint64_t step_hash(harp_session *s)
{
    harp_step step;
    uint64_t hash = 1;
    if (harp_next(s, &step, NULL)) return 0;
    hash = mix(hash, harp_logits(s, HARP_VANILLA), (size_t)s->model->vocab * sizeof(float));
    hash = mix(hash, harp_logits(s, HARP_COMBINED), (size_t)s->model->vocab * sizeof(float));
    return mix(hash, &step.token, sizeof step.token);
}

/* Step by step, and each step anew from all tokens at once: the same. */
static void test_crossing(const harp_model *m, const harp_params *p, uint64_t *steps)
{
    harp_session *s = open_session(m, p), *fresh = open_session(m, p);
    int32_t i, n;
    start(s, FIRST);
    for (i = 0; i < STEPS; i++) {
        const int32_t *tokens = harp_tokens(s, &n);
        CHECK(harp_rewind(fresh, 0, NULL) == HARP_OK && harp_feed(fresh, tokens, n, NULL) == HARP_OK);
        steps[i] = step_hash(s);
        CHECK(steps[i] != 0 && step_hash(fresh) == steps[i]);
    }
    harp_session_close(s), harp_session_close(fresh);
}

static void test_saving_at_border(const harp_model *m, const harp_params *p, const uint64_t *steps)
{
    harp_session *s = open_session(m, p), *t = open_session(m, p);
    unsigned char *image;
    size_t bytes;
    int32_t i;
    start(s, FIRST), start(t, 3);
    for (i = 0; i < STEPS; i++) {
        CHECK(harp_save(s, NULL, 0, &bytes, NULL) == HARP_OK);
        image = malloc(bytes);
        CHECK(harp_save(s, image, bytes, &bytes, NULL) == HARP_OK && harp_restore(t, image, bytes, NULL) == HARP_OK);
        free(image);
        CHECK(step_hash(t) == steps[i] && step_hash(s) == steps[i]);
    }
    harp_session_close(s), harp_session_close(t);
}

static void test_rewinding_over_border(const harp_model *m, const harp_params *p, const uint64_t *steps)
{
    harp_session *s = open_session(m, p);
    int32_t i, back;
    start(s, FIRST);
    for (i = 0; i < STEPS; i++) CHECK(step_hash(s) == steps[i]);
    for (back = STEPS - 1; back >= 0; back -= 3) {
        CHECK(harp_rewind(s, FIRST + back, NULL) == HARP_OK);
        for (i = back; i < STEPS; i++) CHECK(step_hash(s) == steps[i]);
    }
    harp_session_close(s);
}

static int countdown;

static int cancel(void *user)
{
    (void)user;
    return countdown-- == 0;
}

/* A crossing that is cancelled leaves the session as it was: its tokens, and what it says next. */
static void test_cancelled_crossing(const harp_model *m, harp_params p, const uint64_t *steps)
{
    harp_session *s;
    int32_t i, n, at = BORDER - FIRST, more[4] = {5, 6, 7, 8};
    p.cancel = cancel, countdown = -1;
    s = open_session(m, &p);
    for (n = 0; n < 60; n += 7) {
        start(s, FIRST);
        for (i = 0; i <= at; i++) CHECK(step_hash(s) == steps[i]);
        CHECK(harp_rewind(s, BORDER, NULL) == HARP_OK);
        countdown = n;
        CHECK(harp_feed(s, more, 4, NULL) == HARP_ERR_CANCELLED && s->n_tokens == BORDER);
        countdown = -1;
        CHECK(step_hash(s) == steps[at]);
        countdown = n;
        CHECK(harp_next(s, NULL, NULL) == HARP_ERR_CANCELLED && s->n_tokens == BORDER + 1);
        countdown = -1;
        CHECK(step_hash(s) == steps[at + 1]);
    }
    harp_session_close(s);
}

typedef struct scores {
    uint64_t at[CONTEXT];
} scores;

static int keep_score(void *user, int32_t position, const float *logits)
{
    ((scores *)user)->at[position] = mix(1, logits, 288 * sizeof(float));
    return 0;
}

/* Scoring in two calls: what comes with the second has seen the long table throughout. */
static void test_scoring(const harp_model *m, harp_params p)
{
    harp_session *s;
    scores once = {{0}}, twice = {{0}};
    int32_t tokens[60], i, same = 0;
    p.harp = 0;
    s = open_session(m, &p);
    for (i = 0; i < 60; i++) tokens[i] = (i * 53 + 7) % 280;
    CHECK(harp_score(s, tokens, 60, keep_score, &once, NULL) == HARP_OK);
    CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_score(s, tokens, 41, keep_score, &twice, NULL) == HARP_OK);
    for (i = 1; i < 41; i++) same += once.at[i] == twice.at[i];
    CHECK(same == 0 && harp_score(s, tokens + 41, 19, keep_score, &twice, NULL) == HARP_OK);
    for (i = 41; i < 60; i++) CHECK(once.at[i] == twice.at[i]);
    harp_session_close(s);
}

/* A long prompt that is cancelled late is not read twice, though the table that it is turned by is not that of what was
 * there before it; and what it left is not taken for the state of fewer tokens. */
static void test_cancelled_prompt(const harp_model *m, harp_params p)
{
    harp_session *s, *fresh;
    int32_t i, tokens[60];
    int64_t rows;
    for (i = 0; i < 60; i++) tokens[i] = (i * 53 + 7) % 280;
    p.cancel = cancel, countdown = -1;
    s = open_session(m, &p), fresh = open_session(m, &p);
    CHECK(harp_feed(fresh, tokens, 60, NULL) == HARP_OK && harp_feed(s, tokens, 3, NULL) == HARP_OK);
    countdown = 4 * 12 * m->info.layers / 2; /* in the third pass or the fourth */
    CHECK(harp_feed(s, tokens + 3, 57, NULL) == HARP_ERR_CANCELLED && s->n_tokens == 3);
    countdown = -1, rows = s->stats.rows;
    CHECK(rows >= 2 * p.batch && harp_feed(s, tokens + 3, 57, NULL) == HARP_OK && s->stats.rows <= 2 + 59);
    CHECK(step_hash(s) == step_hash(fresh));
    CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_feed(s, tokens, 3, NULL) == HARP_OK);
    countdown = 4 * 12 * m->info.layers / 2;
    CHECK(harp_feed(s, tokens + 3, 57, NULL) == HARP_ERR_CANCELLED);
    countdown = -1;
    CHECK(harp_rewind(fresh, 0, NULL) == HARP_OK && harp_feed(fresh, tokens, 20, NULL) == HARP_OK);
    CHECK(harp_feed(s, tokens + 3, 17, NULL) == HARP_OK && step_hash(s) == step_hash(fresh));
    harp_session_close(s), harp_session_close(fresh);
}

typedef struct judged {
    uint64_t at[CONTEXT];
    int32_t n;
} judged;

static uint64_t mix_judged(const harp_model *m, const harp_step *step, const float *vanilla, const float *combined)
{
    uint64_t hash = mix(1, vanilla, (size_t)m->vocab * sizeof(float));
    hash = mix(hash, combined, (size_t)m->vocab * sizeof(float));
    hash = mix(hash, &step->position, sizeof step->position);
    return mix(hash, &step->entropy, sizeof step->entropy);
}

static const harp_model *judged_model;

static int keep_judged(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    judged *j = user;
    j->at[j->n++] = mix_judged(judged_model, step, vanilla, combined);
    return 0;
}

/* What harp_score_harp finds over the border is what steps meet there, wherever the text is cut into calls. */
static void test_scoring_with_harp(const harp_model *m, const harp_params *p)
{
    static const int32_t cuts[] = {0, 1, 41, BORDER - 1, BORDER, BORDER + 1, 59};
    harp_session *s = open_session(m, p);
    judged steps = {{0}, 0}, scored;
    int32_t tokens[60], i;
    size_t c;
    judged_model = m;
    for (i = 0; i < 60; i++) tokens[i] = (i * 53 + 7) % 280;
    for (i = 0; i < 60; i++) {
        harp_step step;
        CHECK(harp_feed(s, tokens + i, 1, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK);
        steps.at[i] = mix_judged(m, &step, harp_logits(s, HARP_VANILLA), harp_logits(s, HARP_COMBINED));
        CHECK(harp_rewind(s, i + 1, NULL) == HARP_OK);
    }
    for (c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        scored.n = 0;
        CHECK(harp_rewind(s, 0, NULL) == HARP_OK);
        CHECK(harp_score_harp(s, tokens, cuts[c], keep_judged, &scored, NULL) == HARP_OK);
        CHECK(harp_score_harp(s, tokens + cuts[c], 60 - cuts[c], keep_judged, &scored, NULL) == HARP_OK);
        CHECK(scored.n == 60 && memcmp(scored.at, steps.at, 60 * sizeof *steps.at) == 0);
    }
    CHECK(s->n_tokens == 60);
    harp_session_close(s);
}

/* Drafts that reach over the border must not be believed there; beams may not cross it, but may end at it. */
static void test_other_decoders(const harp_model *m, harp_params p, const uint64_t *steps)
{
    harp_beam_options o = harp_beam_defaults();
    harp_session *s;
    harp_error err;
    int32_t i, n;
    const int32_t *tokens;
    p.drafts = 4, p.lookup = 2;
    s = open_session(m, &p);
    start(s, FIRST);
    for (i = 0; i < STEPS; i++) CHECK(step_hash(s) == steps[i]);
    harp_session_close(s);
    p.drafts = 0, p.harp = 0, p.beams = 3, p.beam_length = 16;
    s = open_session(m, &p);
    start(s, FIRST);
    o.max_tokens = BORDER - FIRST + 2, o.pad = -1;
    CHECK(harp_beam(s, &o, NULL, &err) == HARP_ERR_UNSUPPORTED && strstr(err.text, "48") && s->n_tokens == FIRST);
    o.max_tokens--;
    CHECK(harp_beam(s, &o, NULL, &err) == HARP_OK);
    tokens = harp_tokens(s, &n);
    CHECK(n > FIRST && n <= BORDER + 1);
    for (i = 0; i < 3; i++) {
        harp_session *fresh = open_session(m, &p);
        CHECK(harp_feed(fresh, tokens, n + i, NULL) == HARP_OK && step_hash(fresh) == step_hash(s));
        harp_session_close(fresh);
    }
    harp_session_close(s);
}

static void test_longrope(const harp_model *m)
{
    static const harp_frame frames[] = {HARP_FRAME_STREAM, HARP_FRAME_REDRAW, HARP_FRAME_LAST};
    int f, cache, i;
    CHECK(m->recipe.rope_original == BORDER && m->vocab == 288);
    for (f = 0; f < 3; f++)
        for (cache = HARP_CACHE_F16; cache <= HARP_CACHE_INT8; cache++) {
            uint64_t lazy[STEPS], fused[STEPS];
            harp_params p = params_of(frames[f], (harp_cache)cache, HARP_SCHEDULE_FUSED);
            test_crossing(m, &p, fused);
            p.schedule = HARP_SCHEDULE_LAZY, p.reframe_from = f == 0 ? 13 : 0;
            if (f == 0) test_crossing(m, &p, lazy);
            p.reframe_from = 0;
            test_crossing(m, &p, lazy);
            for (i = 0; i < STEPS; i++) CHECK(lazy[i] == fused[i]);
            test_saving_at_border(m, &p, lazy);
            test_rewinding_over_border(m, &p, lazy);
            test_cancelled_crossing(m, p, lazy);
            test_cancelled_prompt(m, p);
            test_scoring_with_harp(m, &p);
            if (f == 0) test_scoring(m, p);
            if (f == 0) test_other_decoders(m, p, lazy);
        }
}

/* ---- NaN in the weights ---- */

static unsigned char *load_model(const char *folder, const char *model, size_t *bytes);

/* Makes one number of a tensor NaN, one that the tokens 3, 4, 5 need. */
static void put_nan(unsigned char *data, const hp_tensor *t)
{
    int32_t row = strcmp(t->name, "embedding") == 0 ? 5 : 0;
    unsigned char *p = data + t->offset;
    if (t->type == HP_TENSOR_F32) memcpy(p, "\0\0\xC0\x7F", 4);
    else if (t->type == HP_TENSOR_F32_MATRIX) memcpy(p + 4 * row, "\0\0\xC0\x7F", 4);
    else memcpy(p + 2 * row, "\0\x7E", 2); /* a scale */
}

/* In every tensor, a NaN reaches the logits and is told, whatever rounds in between or cuts off large numbers. Tables
 * of rope_* are checked when the file is opened. */
static void test_nan(const char *folder, const char *name)
{
    static const int32_t tokens[] = {3, 4, 5};
    size_t bytes;
    unsigned char *data = load_model(folder, name, &bytes), *kept = malloc(bytes + 1);
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    int32_t i;
    int act, cache;
    memcpy(kept, data, bytes);
    source.data = data, source.bytes = bytes;
    if (harp_open_source(&m, &source, NULL)) CHECK(!"the model opens");
    for (i = 0; m && i < m->n_tensors; i++) {
        hp_tensor t = hp_tensor_at(m, i);
        if (strncmp(t.name, "rope_", 5) == 0) continue;
        put_nan(data, &t);
        for (act = HARP_ACT_INT8; act <= HARP_ACT_F32; act++)
            for (cache = HARP_CACHE_F16; cache <= HARP_CACHE_INT8; cache++) {
                harp_params p = params_of(HARP_FRAME_STREAM, (harp_cache)cache, HARP_SCHEDULE_AUTO);
                harp_session *s;
                harp_status status;
                p.activations = (harp_activations)act, p.context = 32;
                s = open_session(m, &p);
                status = harp_feed(s, tokens, 3, NULL);
                if (status == HARP_OK) status = harp_next(s, NULL, NULL);
                CHECK(status == HARP_ERR_NUMBER);
                if (status != HARP_ERR_NUMBER)
                    printf("        %s, %s, activations %d, cache %d\n", name, t.name, act, cache);
                harp_session_close(s);
            }
        memcpy(data, kept, bytes);
    }
    harp_close(m);
    free(data), free(kept);
}

static unsigned char *load_model(const char *folder, const char *model, size_t *bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/model.harp", folder, model);
    return load_file(path, bytes);
}

/* ---- The hidden state ----
 *
 * The output matrix, multiplied with it as rules R1 and R2 say, gives the vanilla logits bit for bit: where activations
 * stay float there is nothing in between. */

/* Row `row` of weights times x: within a group of 32 in order, then the groups, each by its scale, in theirs. */
static float row_times(const hp_matrix *w, int32_t row, const float *x)
{
    const uint8_t *tile = w->tiles + (size_t)(row / HP_LANES) * w->tile_bytes;
    size_t lane = (size_t)(row % HP_LANES), g, c;
    float sum = 0.0f;
    for (g = 0; g < (size_t)w->groups; g++) {
        const int8_t *weights = (const int8_t *)(tile + w->scale_bytes) + g * HP_TILE_GROUP_BYTES;
        float scale = hp_half_to_float(hp_u16(tile + 2 * (g * HP_LANES + lane))), part = 0.0f;
        for (c = 0; c < HP_GROUP && g * HP_GROUP + c < (size_t)w->cols; c++) {
            float product = (float)weights[c / 4 * 64 + lane * 4 + c % 4] * x[g * HP_GROUP + c];
            part = part + product;
        }
        part = part * scale;
        sum = sum + part;
    }
    return sum;
}

static int makes_logits(const harp_model *m, const float *hidden, const float *logits)
{
    float out[512];
    int32_t i;
    if (!hidden || !logits || m->vocab > 512 || m->output.is_float) return 0;
    for (i = 0; i < m->vocab; i++) {
        out[i] = row_times(&m->output, i, hidden);
        if (m->output_bias) out[i] = out[i] + hp_f32(m->output_bias + 4 * i);
    }
    if (m->recipe.logit_cap > 0.0f) hp_find_kernels("c")->soft_cap(out, m->vocab, 1.0f, m->recipe.logit_cap);
    return memcmp(out, logits, (size_t)m->vocab * sizeof *out) == 0;
}

static int has_score(void *user, int32_t position, const float *logits)
{
    harp_session *s = user;
    (void)position;
    CHECK(makes_logits(s->model, harp_hidden(s), logits));
    return 0;
}

static int has_step(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    (void)combined;
    return has_score(user, step->position, vanilla);
}

/* What a session with these parameters says of its hidden states: right, and this hash. */
static uint64_t hidden_hash(const harp_model *m, harp_params p)
{
    static const int32_t prompt[] = {3, 17, 99, 42, 7, 17, 99, 42};
    harp_session *s = open_session(m, &p);
    uint64_t hash = MIX_START;
    int i;
    CHECK(harp_hidden(s) == NULL && harp_feed(s, prompt, 8, NULL) == HARP_OK && harp_hidden(s) == NULL);
    for (i = 0; i < 12; i++) {
        CHECK(harp_next(s, NULL, NULL) == HARP_OK);
        if (p.activations == HARP_ACT_F32) CHECK(makes_logits(m, harp_hidden(s), harp_logits(s, HARP_VANILLA)));
        hash = mix(hash, harp_hidden(s), (size_t)m->info.hidden * sizeof(float));
    }
    CHECK(harp_rewind(s, 6, NULL) == HARP_OK && harp_hidden(s) == NULL);
    if (p.activations == HARP_ACT_F32) {
        CHECK(harp_score(s, prompt, 8, has_score, s, NULL) == HARP_OK && harp_hidden(s) == NULL);
        CHECK(harp_score_harp(s, prompt, 8, has_step, s, NULL) == HARP_OK && harp_hidden(s) == NULL);
    }
    harp_session_close(s);
    return hash;
}

static void test_hidden(const char *folder, const char *name)
{
    harp_source source = harp_source_defaults();
    harp_params p = harp_defaults(), without;
    harp_model *m = NULL;
    size_t bytes = 0, with_bytes = 0, without_bytes = 0;
    uint64_t hash;
    int way, i;
    source.data = load_model(folder, name, &bytes), source.bytes = bytes;
    CHECK(harp_open_source(&m, &source, NULL) == HARP_OK);
    p.context = 64, p.theta = 0.5f, p.hidden = 1, without = p, without.hidden = 0;
    for (way = 0; m && way < 24; way++) { /* frames, lazy and fused, drafts, activations */
        p.frame = (harp_frame)(way % 3), p.schedule = way / 3 % 2 ? HARP_SCHEDULE_FUSED : HARP_SCHEDULE_LAZY;
        p.drafts = way / 6 % 2 * 3, p.batch = way % 2 ? 3 : 64, p.logit_rows = 1 + way % 4;
        p.activations = way / 12 ? HARP_ACT_INT8 : HARP_ACT_F32, p.isa = NULL, p.threads = 1;
        hash = hidden_hash(m, p), p.threads = 3;
        for (i = 0; harp_isa(i) && way % 7 == 0; i++) {
            p.isa = harp_isa(i);
            CHECK(hidden_hash(m, p) == hash);
        }
    }
    p.frame = HARP_FRAME_STREAM, p.threads = 1, p.drafts = 0, p.logit_rows = 1, p.batch = 64, p.isa = NULL;
    p.activations = HARP_ACT_INT8, p.schedule = HARP_SCHEDULE_AUTO;
    CHECK(harp_session_memory(m, &p, &with_bytes, NULL) == HARP_OK);
    CHECK(harp_session_memory(m, &without, &without_bytes, NULL) == HARP_OK);
    CHECK(with_bytes > without_bytes);
    CHECK(with_bytes - without_bytes <= 2 * 4 * ((size_t)m->info.hidden + 64)); /* two slots of floats */
    harp_close(m);
    free((void *)(uintptr_t)source.data);
}

/* ---- Descriptions that make no sense ---- */

/* Where these bytes stand in the head of the file, and only there; NULL if they do not. */
static unsigned char *find_bytes(unsigned char *data, const void *bytes, size_t n)
{
    size_t i, head = (size_t)hp_u64(data + 56);
    for (i = 0; i + n <= head; i++)
        if (memcmp(data + i, bytes, n) == 0) return data + i;
    return NULL;
}

/* The value of a metadata entry. */
static unsigned char *find_value(unsigned char *data, const char *key)
{
    unsigned char *at = find_bytes(data, key, strlen(key) + 1);
    return at ? at + (strlen(key) + 1 + 7) / 8 * 8 : NULL;
}

/* Opens a copy in which `n` bytes at `at` are others; does it fail with this status and these words? */
static int fails(unsigned char *data, size_t bytes, unsigned char *at, const void *with, size_t n, harp_status status,
                 const char *words)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    unsigned char old[64];
    uint32_t crc;
    int good, i;
    if (!at) return 0;
    memcpy(old, at, n), memcpy(at, with, n), memset(data + 12, 0, 4);
    crc = hp_crc32(0, data, (size_t)hp_u64(data + 56));
    for (i = 0; i < 4; i++) data[12 + i] = (unsigned char)(crc >> 8 * i);
    source.data = data, source.bytes = bytes;
    good = harp_open_source(&m, &source, &err) == status && m == NULL && strstr(err.text, words) != NULL;
    if (!good) printf("        said: %s\n", m ? "nothing" : err.text);
    harp_close(m);
    memcpy(at, old, n);
    return good;
}

typedef struct lie {
    const char *model, *key, *with; /* key: of metadata; with "=": the text to replace in the head */
    size_t n;
    harp_status status;
    const char *words;
} lie;

#define BITS(bytes) bytes, 8

static const lie lies[] = {
    {"gemma2", "norm_place", "behind", 6, HARP_ERR_UNSUPPORTED, "norm_place is behind"},
    {"gemma2", "activation", "gelu_tahn", 9, HARP_ERR_UNSUPPORTED, "activation is gelu_tahn"},
    {"gemma2", "norm_place", "before", 6, HARP_ERR_FORMAT, "0.ffn_norm is missing or misplaced"},
    {"gemma2", "attention_cap", BITS("\0\0\0\0\0\0\xF8\x7F"), HARP_ERR_FORMAT, "attention_cap"}, /* NaN */
    {"gemma2", "attention_cap", BITS("\0\0\0\0\0\0\xF0\x7F"), HARP_ERR_FORMAT, "attention_cap"}, /* infinite */
    {"gemma2", "logit_cap", BITS("\0\0\0\0\0\0\xF0\xBF"), HARP_ERR_FORMAT, "logit_cap"},         /* -1 */
    {"gemma2", "attention_scale", BITS("\0\0\0\0\0\0\0\0"), HARP_ERR_FORMAT, "attention_scale"},
    {"gemma2", "embedding_scale", BITS("\0\0\0\0\0\0\0\0"), HARP_ERR_FORMAT, "embedding_scale"},
    {"gemma2", "window_layers", "\2", 1, HARP_ERR_FORMAT, "window_layers of layer 0"},
    {"gemma2", "layers", BITS("\2\0\0\0\0\0\0\0"), HARP_ERR_FORMAT, "window_layers"},
    {"gemma3_text", "local_layers", "\0\1\x80", 3, HARP_ERR_FORMAT, "local_layers of layer 2"},
    {"gemma3_text", "=local_layers", "local_lawyers", 12, HARP_ERR_FORMAT, "0.attn_norm is missing or misplaced"},
    {"gemma3_text", "qk_norm", "all\0", 4, HARP_ERR_FORMAT, ""},
    {"gemma3_text", "=qk_norm", "qk_nork", 7, HARP_ERR_FORMAT, "0.attn_out is missing or misplaced"},
    {"qwen3", "=1.q_norm", "1.q_nork", 8, HARP_ERR_FORMAT, "1.q_norm is missing or misplaced"},
    {"qwen3", "rope_dims", BITS("\0\0\0\0\0\0\0\0"), HARP_ERR_FORMAT, "0.attn_norm is missing or misplaced"},
    {"qwen2_bias", "=0.qkv_bias", "0.qkv_boas", 10, HARP_ERR_FORMAT, "0.attn_out is missing or misplaced"},
    {"phi3_longrope", "rope_original", BITS("\0\0\0\0\0\0\0\0"), HARP_ERR_FORMAT, "rope_original is 0"},
    {"phi3_longrope", "rope_original", BITS("\0\0\1\0\0\0\0\0"), HARP_ERR_FORMAT, "rope_original is 65536"},
    {"phi3_longrope", "=rope_original", "rope_originas", 13, HARP_ERR_FORMAT, "0.attn_norm is missing or misplaced"},
    {"phi3_longrope", "rope_dims", BITS("\0\0\0\0\0\0\0\0"), HARP_ERR_FORMAT, "rope_dims is 0"},
    {"phi3_longrope", "rope_scale", BITS("\0\0\0\0\0\0\0\0"), HARP_ERR_FORMAT, "rope_scale"},
    {"phi2", "residual", "parallel_spared", 15, HARP_ERR_UNSUPPORTED, "parallel_spared"},
    {"phi2", "=output_bias", "output_boas", 11, HARP_ERR_UNSUPPORTED, "output_boas has no place"},
    {"phi2", "ffn_kind", "gated", 5, HARP_ERR_FORMAT, "0.gate_up is"},
    {"gpt_neox", "norm\0", "later", 5, HARP_ERR_UNSUPPORTED, "norm is later"},
    {"gpt_neox", "norm\0", "rms\0", 4, HARP_ERR_FORMAT, ""},
    {"gpt2", "context", BITS("\0\2\0\0\0\0\0\0"), HARP_ERR_FORMAT, "position_embedding is 256 x 64"},
    {"gpt2", "=position_embedding", "positron_embedding", 18, HARP_ERR_FORMAT, "0.attn_norm is missing or misplaced"},
};

static void test_lies(const char *folder)
{
    size_t i, bytes = 0;
    for (i = 0; i < sizeof lies / sizeof *lies; i++) {
        const lie *l = &lies[i];
        unsigned char *data = load_model(folder, l->model, &bytes), *at;
        int good;
        at = bytes == 0 ? NULL : l->key[0] == '=' ? find_bytes(data, l->key + 1, strlen(l->key + 1))
                                                  : find_value(data, l->key);
        good = fails(data, bytes, at, l->with, l->n, l->status, l->words);
        if (!good) printf("FAILED %s: %s with other bytes, \"%s\" is expected\n", l->model, l->key, l->words);
        good ? passed++ : failed++;
        free(data);
    }
}

int main(int argc, char **argv)
{
    static const char *const nan_models[] = {"llama_gqa", "gemma2", "gemma3_text", "olmo2", "gpt2", "phi2", "qwen2_bias"};
    static const char *const hidden_models[] = {"llama_gqa", "gemma2", "phi2"};
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    size_t bytes, i;
    unsigned char *data;
    if (argc != 2) return 2;
    test_kernels();
    for (i = 0; i < sizeof nan_models / sizeof *nan_models; i++) test_nan(argv[1], nan_models[i]);
    for (i = 0; i < sizeof hidden_models / sizeof *hidden_models; i++) test_hidden(argv[1], hidden_models[i]);
    test_lies(argv[1]);
    data = load_model(argv[1], "phi3_longrope", &bytes);
    source.data = data, source.bytes = bytes;
    if (harp_open_source(&m, &source, &err)) CHECK(!"phi3_longrope opens");
    else test_longrope(m);
    harp_close(m);
    free(data);
    return conclude();
}
