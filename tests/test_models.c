/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_models.c - what architectures other than Llama's need
 *
 *     test_models FIXTURES
 *
 * The length at which longrope changes its table, crossed in every way; NaN in each tensor; hidden states; descriptions
 * of models that make no sense. Whether the numbers of a whole model are right, test_conformance.c tells; its kernels
 * are test_numbers.c's. */
#include "../harp.h"
#include "../tools/convert/ground/halves.h"
#include "harp_file.h"
#include "test.h"

/* ---- Crossing the length at which longrope changes its table ---- */

enum { BORDER = 48, FIRST = 40, STEPS = 20, CONTEXT = 80, VOCAB = 288 };

static harp_params params_of(harp_frame frame, harp_cache cache, harp_schedule schedule)
{
    harp_params p = harp_defaults();
    p.context = CONTEXT, p.frame = frame, p.cache = cache, p.schedule = schedule;
    p.theta = 0.5f, p.temperature = 0.0f, p.batch = 16, p.logit_rows = 8;
    return p;
}

static void start(harp_session *s, int32_t n)
{
    int32_t tokens[CONTEXT], i;
    for (i = 0; i < n; i++) tokens[i] = (37 * i + 11) % 250;
    CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_feed(s, tokens, n, NULL) == HARP_OK);
}

static uint64_t step_hash(harp_session *s)
{
    harp_step step;
    uint64_t hash = 1;
    if (harp_next(s, &step, NULL)) return 0;
    hash = mix(hash, harp_logits(s, HARP_VANILLA), VOCAB * sizeof(float));
    hash = mix(hash, harp_logits(s, HARP_COMBINED), VOCAB * sizeof(float));
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
        CHECK(harp_feed(s, more, 4, NULL) == HARP_ERR_CANCELLED && length_of(s) == BORDER);
        countdown = -1;
        CHECK(step_hash(s) == steps[at]);
        countdown = n;
        CHECK(harp_next(s, NULL, NULL) == HARP_ERR_CANCELLED && length_of(s) == BORDER + 1);
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
    ((scores *)user)->at[position] = mix(1, logits, VOCAB * sizeof(float));
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
    countdown = 4 * 12 * harp_model_info(m).layers / 2; /* in the third pass or the fourth */
    CHECK(harp_feed(s, tokens + 3, 57, NULL) == HARP_ERR_CANCELLED && length_of(s) == 3);
    countdown = -1, rows = harp_statistics(s).rows;
    CHECK(rows >= 2 * p.batch && harp_feed(s, tokens + 3, 57, NULL) == HARP_OK);
    CHECK(harp_statistics(s).rows <= 2 + 59);
    CHECK(step_hash(s) == step_hash(fresh));
    CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_feed(s, tokens, 3, NULL) == HARP_OK);
    countdown = 4 * 12 * harp_model_info(m).layers / 2;
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

static uint64_t mix_judged(const harp_step *step, const float *vanilla, const float *combined)
{
    uint64_t hash = mix(1, vanilla, VOCAB * sizeof(float));
    hash = mix(hash, combined, VOCAB * sizeof(float));
    hash = mix(hash, &step->position, sizeof step->position);
    return mix(hash, &step->entropy, sizeof step->entropy);
}

static int keep_judged(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    judged *j = user;
    j->at[j->n++] = mix_judged(step, vanilla, combined);
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
    for (i = 0; i < 60; i++) tokens[i] = (i * 53 + 7) % 280;
    for (i = 0; i < 60; i++) {
        harp_step step;
        CHECK(harp_feed(s, tokens + i, 1, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK);
        steps.at[i] = mix_judged(&step, harp_logits(s, HARP_VANILLA), harp_logits(s, HARP_COMBINED));
        CHECK(harp_rewind(s, i + 1, NULL) == HARP_OK);
    }
    for (c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        scored.n = 0;
        CHECK(harp_rewind(s, 0, NULL) == HARP_OK);
        CHECK(harp_score_harp(s, tokens, cuts[c], keep_judged, &scored, NULL) == HARP_OK);
        CHECK(harp_score_harp(s, tokens + cuts[c], 60 - cuts[c], keep_judged, &scored, NULL) == HARP_OK);
        CHECK(scored.n == 60 && memcmp(scored.at, steps.at, 60 * sizeof *steps.at) == 0);
    }
    CHECK(length_of(s) == 60);
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
    CHECK(harp_beam(s, &o, NULL, &err) == HARP_ERR_UNSUPPORTED && strstr(err.text, "48") && length_of(s) == FIRST);
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
    harp_meta border;
    int f, cache, i;
    CHECK(harp_meta_find(m, "rope_original", &border) && border.integer == BORDER);
    CHECK(harp_model_info(m).vocab == VOCAB);
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
static void put_nan(unsigned char *data, const uint8_t *record)
{
    int32_t row = strcmp((const char *)record, "embedding") == 0 ? 5 : 0;
    unsigned char *p = hf_tensor_data(data, record);
    uint32_t type = cv_u32(record + 48);
    if (type == HF_VECTOR) hf_store(p, 0x7FC00000u, 4);
    else if (type == HF_FLOAT) hf_store(p + 4 * row, 0x7FC00000u, 4);
    else hf_store(p + 2 * row, 0x7E00u, 2); /* a scale */
}

/* In every tensor, a NaN reaches the logits and is told, whatever rounds in between or cuts off large numbers. Tables
 * of rope_* are checked when the file is opened. */
static void test_nan(const char *folder, const char *name)
{
    static const int32_t tokens[] = {3, 4, 5, 3}; /* as many as a convolution sees */
    size_t bytes;
    unsigned char *data = load_model(folder, name, &bytes), *kept = malloc(bytes + 1);
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    uint32_t i;
    int act, cache;
    memcpy(kept, data, bytes);
    source.data = data, source.bytes = bytes;
    if (harp_open_source(&m, &source, NULL)) CHECK(!"the model opens");
    for (i = 0; m && i < cv_u32(data + 36); i++) {
        const uint8_t *record = hf_record_at(data, i);
        if (strncmp((const char *)record, "rope_", 5) == 0) continue;
        put_nan(data, record);
        for (act = HARP_ACT_INT8; act <= HARP_ACT_F32; act++)
            for (cache = HARP_CACHE_F16; cache <= HARP_CACHE_INT8; cache++) {
                harp_params p = params_of(HARP_FRAME_STREAM, (harp_cache)cache, HARP_SCHEDULE_AUTO);
                harp_session *s;
                harp_status status;
                p.activations = (harp_activations)act, p.context = 32;
                s = open_session(m, &p);
                status = harp_feed(s, tokens, 4, NULL);
                if (status == HARP_OK) status = harp_next(s, NULL, NULL);
                CHECK(status == HARP_ERR_NUMBER);
                if (status != HARP_ERR_NUMBER)
                    printf("        %s, %s, activations %d, cache %d\n", name, (const char *)record, act, cache);
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
 * The file's output matrix, multiplied with it as rules R1 and R2 say, gives the vanilla logits bit for bit: where
 * activations stay float there is nothing in between. */

typedef struct output {
    uint8_t *matrix;     /* its tensor, int8 */
    const uint8_t *bias; /* or NULL */
    int32_t vocab, hidden;
    harp_session *session; /* that callbacks are to look at */
} output;

static output find_output(uint8_t *data, const harp_model *m)
{
    uint8_t *record = hf_find_record(data, "output"), *bias = hf_find_record(data, "output_bias");
    harp_info info = harp_model_info(m);
    output out;
    if (!record) record = hf_find_record(data, "embedding");
    out.matrix = hf_tensor_data(data, record), out.bias = bias ? hf_tensor_data(data, bias) : NULL;
    out.vocab = info.vocab, out.hidden = info.hidden, out.session = NULL;
    CHECK(cv_u32(record + 48) == HF_INT8 && !hf_find_value(data, "logit_cap", NULL));
    return out;
}

/* Row `row` of the matrix times x: within a group of 32 in order, then the groups, each by its scale, in theirs. */
static float row_times(const output *o, int32_t row, const float *x)
{
    size_t groups = (size_t)(o->hidden + 31) / 32, scales = (32 * groups + 63) / 64 * 64;
    size_t lane = (size_t)(row % 16), g, c;
    const uint8_t *tile = o->matrix + (size_t)(row / 16) * (scales + groups * 512);
    float sum = 0.0f;
    for (g = 0; g < groups; g++) {
        const int8_t *weights = (const int8_t *)(tile + scales) + g * 512;
        float part = 0.0f;
        for (c = 0; c < 32 && g * 32 + c < (size_t)o->hidden; c++) {
            float product = (float)weights[c / 4 * 64 + lane * 4 + c % 4] * x[g * 32 + c];
            part = part + product;
        }
        part = part * cv_float_of_half(cv_u16(tile + 2 * (g * 16 + lane)));
        sum = sum + part;
    }
    return sum;
}

static int makes_logits(const output *o, const float *hidden, const float *logits)
{
    int32_t i;
    if (!hidden || !logits) return 0;
    for (i = 0; i < o->vocab; i++) {
        float logit = row_times(o, i, hidden);
        if (o->bias) logit = logit + cv_f32(o->bias + 4 * i);
        if (memcmp(&logit, &logits[i], sizeof logit) != 0) return 0;
    }
    return 1;
}

static int has_score(void *user, int32_t position, const float *logits)
{
    const output *o = user;
    (void)position;
    CHECK(makes_logits(o, harp_hidden(o->session), logits));
    return 0;
}

static int has_step(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    (void)combined;
    return has_score(user, step->position, vanilla);
}

/* What a session with these parameters says of its hidden states: right, and this hash. */
static uint64_t hidden_hash(const harp_model *m, output *o, harp_params p)
{
    static const int32_t prompt[] = {3, 17, 99, 42, 7, 17, 99, 42};
    harp_session *s = open_session(m, &p);
    uint64_t hash = MIX_START;
    int i;
    o->session = s;
    CHECK(harp_hidden(s) == NULL && harp_feed(s, prompt, 8, NULL) == HARP_OK && harp_hidden(s) == NULL);
    for (i = 0; i < 12; i++) {
        CHECK(harp_next(s, NULL, NULL) == HARP_OK);
        if (p.activations == HARP_ACT_F32) CHECK(makes_logits(o, harp_hidden(s), harp_logits(s, HARP_VANILLA)));
        hash = mix(hash, harp_hidden(s), (size_t)o->hidden * sizeof(float));
    }
    CHECK(harp_rewind(s, 6, NULL) == HARP_OK && harp_hidden(s) == NULL);
    if (p.activations == HARP_ACT_F32) {
        CHECK(harp_score(s, prompt, 8, has_score, o, NULL) == HARP_OK && harp_hidden(s) == NULL);
        CHECK(harp_score_harp(s, prompt, 8, has_step, o, NULL) == HARP_OK && harp_hidden(s) == NULL);
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
    unsigned char *data;
    output o;
    int way, i;
    data = load_model(folder, name, &bytes), source.data = data, source.bytes = bytes;
    CHECK(harp_open_source(&m, &source, NULL) == HARP_OK);
    o = find_output(data, m);
    p.context = 64, p.theta = 0.5f, p.hidden = 1, without = p, without.hidden = 0;
    for (way = 0; m && way < 24; way++) { /* frames, lazy and fused, drafts, activations */
        p.frame = (harp_frame)(way % 3), p.schedule = way / 3 % 2 ? HARP_SCHEDULE_FUSED : HARP_SCHEDULE_LAZY;
        p.drafts = way / 6 % 2 * 3, p.batch = way % 2 ? 3 : 64, p.logit_rows = 1 + way % 4;
        p.activations = way / 12 ? HARP_ACT_INT8 : HARP_ACT_F32, p.isa = NULL, p.threads = 1;
        hash = hidden_hash(m, &o, p), p.threads = 3;
        for (i = 0; harp_isa(i) && way % 7 == 0; i++) {
            p.isa = harp_isa(i);
            CHECK(hidden_hash(m, &o, p) == hash);
        }
    }
    p.frame = HARP_FRAME_STREAM, p.threads = 1, p.drafts = 0, p.logit_rows = 1, p.batch = 64, p.isa = NULL;
    p.activations = HARP_ACT_INT8, p.schedule = HARP_SCHEDULE_AUTO;
    CHECK(harp_session_memory(m, &p, &with_bytes, NULL) == HARP_OK);
    CHECK(harp_session_memory(m, &without, &without_bytes, NULL) == HARP_OK);
    CHECK(with_bytes > without_bytes);
    CHECK(with_bytes - without_bytes <= 2 * 4 * ((size_t)o.hidden + 64)); /* two slots of floats */
    harp_close(m);
    free(data);
}

/* ---- Descriptions that make no sense ---- */

/* Where these bytes stand in the head of the file, and only there; NULL if they do not. */
static unsigned char *find_bytes(unsigned char *data, const void *bytes, size_t n)
{
    size_t i, head = (size_t)cv_u64(data + 56);
    for (i = 0; i + n <= head; i++)
        if (memcmp(data + i, bytes, n) == 0) return data + i;
    return NULL;
}

/* Opens a copy in which `n` bytes at `at` are others; does it fail with this status and these words? */
static int fails(unsigned char *data, size_t bytes, unsigned char *at, const void *with, size_t n, harp_status status,
                 const char *words)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    unsigned char old[64];
    int good;
    if (!at) return 0;
    memcpy(old, at, n), memcpy(at, with, n), hf_seal(data, bytes);
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
    {"gemma3_text", "qk_norm", "all\0", 4, HARP_ERR_UNSUPPORTED, "qk_norm is all"}, /* a zero is part of the word */
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
    {"gpt_neox", "norm", "later", 5, HARP_ERR_UNSUPPORTED, "norm is later"},
    {"gpt_neox", "norm", "rms\0", 4, HARP_ERR_UNSUPPORTED, "norm is rms"},
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
                                                  : hf_find_value(data, l->key, NULL);
        good = fails(data, bytes, at, l->with, l->n, l->status, l->words);
        check(good, "%s: %s with other bytes, \"%s\" is expected", l->model, l->key, l->words);
        free(data);
    }
}

/* States of delta nets are made anew when an image is restored over another text, copies of earlier ones, too. */
static void test_restored_states(const char *folder)
{
    size_t bytes, n = 0;
    unsigned char *data = load_model(folder, "qwen3_5", &bytes), *image;
    harp_source source = harp_source_defaults();
    harp_params p = params_of(HARP_FRAME_STREAM, HARP_CACHE_F16, HARP_SCHEDULE_AUTO);
    harp_model *m = NULL;
    harp_session *s, *other;
    int32_t tokens[FIRST], i;
    source.data = data, source.bytes = bytes;
    CHECK(harp_open_source(&m, &source, NULL) == HARP_OK);
    s = open_session(m, &p), other = open_session(m, &p);
    for (i = 0; i < FIRST; i++) tokens[i] = (53 * i + 7) % 250;
    start(s, FIRST);
    CHECK(harp_feed(other, tokens, FIRST, NULL) == HARP_OK && step_hash(s) != 0 && step_hash(other) != 0);
    CHECK(harp_save(s, NULL, 0, &n, NULL) == HARP_OK && (image = malloc(n)) != NULL);
    CHECK(harp_save(s, image, n, &n, NULL) == HARP_OK && harp_restore(other, image, n, NULL) == HARP_OK);
    for (i = 0; i < 5; i++) CHECK(step_hash(s) == step_hash(other));
    harp_session_close(s), harp_session_close(other);
    harp_close(m);
    free(image), free(data);
}

int main(int argc, char **argv)
{
    static const char *const nan_models[] = {"llama_gqa", "gemma2", "gemma3_text", "olmo2",
                                             "gpt2",      "phi2",   "qwen2_bias",  "qwen3_5"};
    static const char *const hidden_models[] = {"llama_gqa", "gpt2", "phi2"};
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    size_t bytes, i;
    unsigned char *data;
    if (argc != 2) return 2;
    for (i = 0; i < sizeof nan_models / sizeof *nan_models; i++) test_nan(argv[1], nan_models[i]);
    for (i = 0; i < sizeof hidden_models / sizeof *hidden_models; i++) test_hidden(argv[1], hidden_models[i]);
    test_lies(argv[1]);
    test_restored_states(argv[1]);
    data = load_model(argv[1], "phi3_longrope", &bytes);
    source.data = data, source.bytes = bytes;
    if (harp_open_source(&m, &source, &err)) CHECK(!"phi3_longrope opens");
    else test_longrope(m);
    harp_close(m);
    free(data);
    return conclude();
}
