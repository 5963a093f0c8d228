/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_library.c - what the library promises, on a small model with random weights
 *
 *     test_library MODEL.harp [hash [ISA]]    hash: no tests; prints the hash of 64 steps' logits for each setting
 */
#include "../harp.h"
#include "harp_file.h"
#include "test.h"

#include <fenv.h>
#include <math.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

static const int32_t prompt[] = {29, 49, 196, 76, 122, 106, 68, 3, 250, 17, 99, 42, 7, 180, 61, 230, 11, 5, 77, 140};
enum { PROMPT = sizeof prompt / sizeof *prompt };
static int32_t vocab; /* the model's */

/* Little-endian bits, so that the hash is the same on every machine. */
static uint64_t mix_floats(uint64_t hash, const float *x, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        uint32_t u = cv_bits_of_float(x[i]);
        unsigned char b[4] = {(unsigned char)u, (unsigned char)(u >> 8), (unsigned char)(u >> 16),
                              (unsigned char)(u >> 24)};
        hash = mix(hash, b, 4);
    }
    return hash;
}

static harp_status open_session_status(const harp_model *m, harp_params p)
{
    harp_session *s = NULL;
    harp_status status = harp_session_open(&s, m, &p, NULL);
    CHECK((s == NULL) == (status != HARP_OK));
    harp_session_close(s);
    return status;
}

/* Feeds the prompt in parts of `part` tokens, makes steps, and hashes every logit and choice. */
static uint64_t run_hash(const harp_model *m, harp_params p, int32_t part, int32_t steps)
{
    harp_session *s = open_session(m, &p);
    harp_step step;
    unsigned char hesitated;
    uint64_t hash = MIX_START;
    int32_t i;
    for (i = 0; s && i < PROMPT; i += part)
        CHECK(harp_feed(s, prompt + i, part < PROMPT - i ? part : PROMPT - i, NULL) == HARP_OK);
    for (i = 0; s && i < steps; i++) {
        CHECK(harp_next(s, &step, NULL) == HARP_OK);
        hash = mix_floats(hash, harp_logits(s, HARP_VANILLA), vocab);
        hash = mix_floats(hash, harp_logits(s, HARP_COMBINED), vocab);
        hesitated = (unsigned char)step.hesitated;
        hash = mix(hash, &hesitated, 1);
        hash = mix_floats(hash, &step.entropy, 1);
    }
    harp_session_close(s);
    return hash;
}

/* ---- Distributions ---- */

static void test_distributions(void)
{
    static float x[70000];
    float inf = INFINITY;
    int32_t i;
    x[0] = 5.0f;
    CHECK(harp_entropy(x, 1) == 0.0f);
    x[1] = 5.0f;
    CHECK(fabsf(harp_entropy(x, 2) - 1.0f) < 1e-6f);
    for (i = 0; i < 65536; i++) x[i] = -3.0f;
    CHECK(fabsf(harp_entropy(x, 65536) - 16.0f) < 1e-5f);
    CHECK(fabsf(harp_logprob(x, 65536, 7) + 11.0903549f) < 1e-5f);
    x[0] = 1e30f;
    CHECK(harp_entropy(x, 65536) < 1e-6f);
    x[0] = -3.0f, x[1] = -inf;
    CHECK(fabsf(harp_entropy(x, 3) - 1.0f) < 1e-6f);
    x[1] = inf;
    CHECK(harp_entropy(x, 3) != harp_entropy(x, 3));
    x[1] = inf - inf;
    CHECK(harp_entropy(x, 3) != harp_entropy(x, 3));
}

/* ---- The same bits ---- */

static void test_same_bits(const harp_model *m)
{
    static const harp_frame frames[] = {HARP_FRAME_STREAM, HARP_FRAME_REDRAW, HARP_FRAME_LAST};
    size_t f;
    int cache, from, k;
    for (f = 0; f < 3; f++)
        for (cache = HARP_CACHE_F16; cache <= HARP_CACHE_INT8; cache++)
            for (from = -1; from <= 9; from += 5)
                for (k = 1; k <= 3; k += 2) {
                    harp_params p = harp_defaults();
                    uint64_t lazy;
                    p.context = 64, p.frame = frames[f], p.cache = (harp_cache)cache, p.reframe_from = from;
                    p.reframings = k, p.seed = 77, p.schedule = HARP_SCHEDULE_LAZY;
                    lazy = run_hash(m, p, PROMPT, 24);
                    p.schedule = HARP_SCHEDULE_FUSED;
                    CHECK(run_hash(m, p, PROMPT, 24) == lazy);
                    p.batch = 1, p.schedule = HARP_SCHEDULE_LAZY;
                    CHECK(run_hash(m, p, PROMPT, 24) == lazy);
                    p.batch = 5, p.threads = 3, p.schedule = HARP_SCHEDULE_AUTO;
                    CHECK(run_hash(m, p, PROMPT, 24) == lazy);
                    p.isa = "c", p.threads = 1;
                    CHECK(run_hash(m, p, PROMPT, 24) == lazy);
                }
}

/* Every instruction set that this machine has, with rows of a pass from one to more than any set takes at once. */
static void test_instruction_sets(const harp_model *m)
{
    static const int32_t batches[] = {1, 2, 3, 4, 7, 64};
    harp_params p = harp_defaults();
    uint64_t plain;
    size_t b;
    int i, act, cache;
    p.context = 64;
    for (act = HARP_ACT_INT8; act <= HARP_ACT_F32; act++)
        for (cache = HARP_CACHE_F16; cache <= HARP_CACHE_INT8; cache++) {
            p.activations = (harp_activations)act, p.cache = (harp_cache)cache, p.isa = "c", p.batch = 64;
            plain = run_hash(m, p, PROMPT, 24);
            for (i = 0; (p.isa = harp_isa(i)) != NULL; i++)
                for (b = 0; b < sizeof batches / sizeof batches[0]; b++) {
                    p.batch = batches[b];
                    CHECK(run_hash(m, p, PROMPT, 24) == plain);
                }
        }
    CHECK(i > 0 && strcmp(harp_isa(i - 1), "c") == 0 && harp_isa(-1) == NULL);
    p.isa = "z80";
    CHECK(open_session_status(m, p) == HARP_ERR_UNSUPPORTED);
}

static void test_prompt_splits(const harp_model *m)
{
    harp_params p = harp_defaults();
    uint64_t whole;
    int32_t part;
    p.context = 64;
    whole = run_hash(m, p, PROMPT, 24);
    for (part = 1; part < PROMPT; part++) CHECK(run_hash(m, p, part, 24) == whole);
}

static uint64_t next_hash(harp_session *s, int32_t steps)
{
    uint64_t hash = 1;
    harp_step step;
    while (steps-- > 0) {
        CHECK(harp_next(s, &step, NULL) == HARP_OK);
        hash = mix_floats(hash, harp_logits(s, HARP_COMBINED), vocab);
        hash = mix(hash, &step.token, 1);
    }
    return hash;
}

static void test_save_and_restore(const harp_model *m, harp_frame frame, harp_cache cache)
{
    harp_params p = harp_defaults();
    harp_session *s, *t;
    size_t bytes, again;
    unsigned char *image, *other;
    int32_t i;
    p.context = 64, p.frame = frame, p.cache = cache, p.reframings = 2;
    s = open_session(m, &p), t = open_session(m, &p);
    CHECK(harp_save(s, NULL, 0, &bytes, NULL) == HARP_OK);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    for (i = 0; i < 20; i++) {
        CHECK(harp_save(s, NULL, 0, &bytes, NULL) == HARP_OK);
        image = malloc(bytes), other = malloc(bytes);
        CHECK(harp_save(s, image, bytes - 1, &again, NULL) == HARP_ERR_MEMORY);
        CHECK(harp_save(s, image, bytes, &again, NULL) == HARP_OK && again == bytes);
        CHECK(harp_restore(t, image, bytes, NULL) == HARP_OK);
        CHECK(harp_save(t, other, bytes, &again, NULL) == HARP_OK && memcmp(image, other, bytes) == 0);
        CHECK(harp_restore(t, image, bytes - 1, NULL) == HARP_ERR_FORMAT);
        image[(size_t)i * bytes / 20] ^= 1;
        CHECK(harp_restore(t, image, bytes, NULL) == HARP_ERR_FORMAT);
        CHECK(next_hash(s, 1) == next_hash(t, 1));
        free(image), free(other);
    }
    harp_session_close(s), harp_session_close(t);
}

/* A session that is full, of its prompt alone and then of a token more, is saved and restored like any other. */
static void test_save_when_full(const harp_model *m)
{
    static unsigned char image[1 << 20];
    harp_params p = harp_defaults();
    harp_session *s, *t;
    size_t bytes;
    int32_t n = 0, more;
    for (more = 0; more < 2; more++) {
        p.context = PROMPT + more, p.reframe_from = HARP_FROM_PROMPT;
        s = open_session(m, &p), t = open_session(m, &p);
        CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && (!more || harp_next(s, NULL, NULL) == HARP_OK));
        CHECK(harp_save(s, image, sizeof image, &bytes, NULL) == HARP_OK);
        CHECK(harp_restore(t, image, bytes, NULL) == HARP_OK);
        harp_tokens(t, &n);
        CHECK(n == PROMPT + more && harp_next(t, NULL, NULL) == HARP_ERR_CONTEXT);
        harp_session_close(s), harp_session_close(t);
    }
}

static void test_rewind(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    uint64_t first, second;
    p.context = 64, p.reframe_from = 9, p.reframings = 2;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    first = next_hash(s, 20);
    CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK);
    second = next_hash(s, 20);
    CHECK(first == second);
    CHECK(harp_rewind(s, 4, NULL) == HARP_OK && harp_feed(s, prompt + 4, PROMPT - 4, NULL) == HARP_OK);
    CHECK(next_hash(s, 20) == first);
    CHECK(harp_rewind(s, 0, NULL) == HARP_OK && harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    CHECK(next_hash(s, 20) == first);
    CHECK(harp_rewind(s, 41, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(s);
}

/* ---- A thread whose floats work otherwise ---- */

enum { MODES = 6 };

/* Puts this thread into a mode in which floats round or flush otherwise; 0 if it has none. -1: the usual one. */
static int set_mode(int mode)
{
#ifdef __SSE__
    _mm_setcsr((_mm_getcsr() & ~0x8040u) | (mode == 3 ? 0x8000u : mode == 4 ? 0x0040u : mode == 5 ? 0x8040u : 0));
    if (mode >= 3) return 1;
#elif defined(__aarch64__) && defined(__GNUC__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    fpcr = (fpcr & ~((uint64_t)1 << 24)) | (uint64_t)(mode == 3) << 24;
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
    if (mode == 3) return 1;
#endif
#ifdef FE_UPWARD
    {
        static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
        if (mode < 3) return fesetround(mode < 0 ? FE_TONEAREST : modes[mode]) == 0;
    }
#endif
    return mode < 0;
}

static int keep_scores(void *user, int32_t position, const float *logits)
{
    (void)user, (void)position, (void)logits;
    return 0;
}

static int keep_steps(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    (void)user, (void)step, (void)vanilla, (void)combined;
    return 0;
}

/* Every call that computes is refused there and leaves the session as it was; back in the usual mode it goes on. */
static void test_modes(const harp_model *m, const char *path)
{
    harp_params p = harp_defaults();
    harp_session *s, *beams, *none = NULL;
    harp_beam_options options = harp_beam_defaults();
    harp_model *opened = NULL;
    harp_error err;
    uint64_t expected;
    size_t bytes;
    int mode, done, tried = 0;
    p.context = 64;
    s = open_session(m, &p);
    p.harp = 0, p.beams = 2;
    beams = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && harp_feed(beams, prompt, PROMPT, NULL) == HARP_OK);
    expected = next_hash(s, 4), options.max_tokens = 8;
    for (mode = 0; mode < MODES; mode++) {
        CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK);
        if (!set_mode(mode)) continue;
        tried++;
        CHECK(harp_next(s, NULL, &err) == HARP_ERR_BUILD && strstr(err.text, "floating-point mode"));
        CHECK(harp_step_some(s, 1000, &done, NULL, NULL) == HARP_ERR_BUILD && !done);
        CHECK(harp_feed(s, prompt, 3, NULL) == HARP_ERR_BUILD);
        CHECK(harp_score(s, prompt, 3, keep_scores, NULL, NULL) == HARP_ERR_BUILD);
        CHECK(harp_score_harp(s, prompt, 3, keep_steps, NULL, NULL) == HARP_ERR_BUILD);
        CHECK(harp_beam(beams, &options, NULL, NULL) == HARP_ERR_BUILD);
        CHECK(harp_tune(beams, &p, NULL) == HARP_ERR_BUILD);
        CHECK(harp_session_open(&none, m, &p, NULL) == HARP_ERR_BUILD && !none);
        CHECK(harp_session_memory(m, &p, &bytes, NULL) == HARP_ERR_BUILD);
        CHECK(harp_open(&opened, path, NULL) == HARP_ERR_BUILD && !opened);
        set_mode(-1);
        CHECK(length_of(s) == PROMPT && length_of(beams) == PROMPT && next_hash(s, 4) == expected);
    }
    CHECK(harp_beam(beams, &options, NULL, NULL) == HARP_OK);
    harp_session_close(s), harp_session_close(beams);
    if (tried == 0) printf("skipped  floating-point modes: this machine has one alone\n");
}

static int modes_left;

static int change_mode(void *user)
{
    (void)user;
    if (modes_left-- == 0) set_mode(2);
    return 0;
}

/* A callback leaves another mode behind, at any stage of a pass: the step is refused, and can be made again. */
static void test_mode_from_a_callback(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    uint64_t expected;
    int n;
    p.context = 64, p.cancel = change_mode, p.schedule = HARP_SCHEDULE_LAZY, p.theta = -1.0f;
    modes_left = -1;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    expected = next_hash(s, 1);
    for (n = 0; n < 1000 && set_mode(2); n++) {
        harp_status status;
        set_mode(-1), modes_left = n;
        CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK);
        status = harp_next(s, NULL, NULL);
        set_mode(-1);
        if (modes_left >= 0) break; /* the step ended before */
        CHECK(status == HARP_ERR_BUILD && harp_rewind(s, PROMPT, NULL) == HARP_OK && next_hash(s, 1) == expected);
    }
    set_mode(-1);
    CHECK(n == 0 || (n > 10 && n < 1000));
    harp_session_close(s);
}

/* ---- Memory, misuse, cancelling ---- */

static void test_own_block(const harp_model *m)
{
    harp_params p = harp_defaults();
    uint64_t expected;
    size_t bytes = 0, offset;
    char *block;
    p.context = 64;
    expected = run_hash(m, p, PROMPT, 8);
    CHECK(harp_session_memory(m, &p, &bytes, NULL) == HARP_OK && bytes > 0);
    block = malloc(bytes + 64);
    for (offset = 0; offset < 64; offset += 7) {
        p.memory = block + offset, p.memory_bytes = bytes;
        CHECK(run_hash(m, p, PROMPT, 8) == expected);
    }
    p.memory_bytes = bytes - 1;
    {
        harp_session *s = (harp_session *)block;
        CHECK(harp_session_open(&s, m, &p, NULL) == HARP_ERR_MEMORY && s == NULL);
    }
    free(block);
}

static int cancel_countdown(void *user)
{
    return (*(int *)user)-- == 0;
}

static void test_cancel(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    uint64_t expected;
    int n, countdown = -1;
    p.context = 64, p.cancel = cancel_countdown, p.cancel_user = &countdown, p.schedule = HARP_SCHEDULE_LAZY,
    p.theta = 0.0f;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    expected = next_hash(s, 1);
    for (n = 0; n < 500; n++) { /* cancelled at its n-th question: nothing changes, and the next try succeeds */
        CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK);
        countdown = n;
        if (harp_next(s, NULL, NULL) == HARP_OK) break;
        CHECK(length_of(s) == PROMPT);
        countdown = -1;
        CHECK(next_hash(s, 1) == expected);
    }
    CHECK(n > 10 && n < 500);
    harp_session_close(s);
}

static void test_misuse(const harp_model *m)
{
    harp_params p = harp_defaults(), bad;
    harp_session *s = open_session(m, &p), *none = NULL;
    harp_error err;
    int32_t outside = vocab;
    size_t bytes;
    CHECK(harp_session_open(NULL, m, &p, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_session_open(&none, NULL, &p, &err) == HARP_ERR_ARGUMENT && !none);
    CHECK(harp_session_open(&none, m, NULL, &err) == HARP_ERR_ARGUMENT);
    memset(&bad, 0, sizeof bad);
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT);
    bad = p, bad.delta = NAN;
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "delta"));
    bad = p, bad.reframings = 65;
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT);
    bad = p, bad.context = 1 << 28;
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT);
    bad = p, bad.measure = HARP_MEASURE_CALLER;
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_next(s, NULL, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_next(NULL, NULL, NULL) == HARP_ERR_ARGUMENT);
    CHECK(harp_feed(s, &outside, 1, &err) == HARP_ERR_ARGUMENT && length_of(s) == 0);
    CHECK(harp_feed(s, NULL, 1, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_feed(s, prompt, -1, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_feed(s, prompt, 0, &err) == HARP_OK && err.status == HARP_OK);
    CHECK(harp_score(s, prompt, 1, NULL, NULL, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_rewind(s, 1, &err) == HARP_ERR_ARGUMENT && harp_rewind(s, -1, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_logits(s, HARP_VANILLA) == NULL && harp_logits(NULL, HARP_VANILLA) == NULL);
    CHECK(harp_save(NULL, NULL, 0, &bytes, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_restore(s, "x", 1, &err) == HARP_ERR_FORMAT);
    bad = p, bad.context = 17;
    CHECK(harp_tune(s, &bad, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_open(NULL, "x", &err) == HARP_ERR_ARGUMENT);
    CHECK(strcmp(harp_status_name((harp_status)-5), "HARP_ERR_UNKNOWN") == 0);
    harp_session_close(s);
    harp_session_close(NULL);
    harp_close(NULL);
}

static void test_context_full(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    harp_error err;
    p.context = PROMPT + 2;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, &err) == HARP_OK);
    CHECK(harp_next(s, NULL, &err) == HARP_OK && harp_next(s, NULL, &err) == HARP_OK);
    CHECK(harp_next(s, NULL, &err) == HARP_ERR_CONTEXT && length_of(s) == PROMPT + 2);
    CHECK(harp_feed(s, prompt, 1, &err) == HARP_ERR_CONTEXT && length_of(s) == PROMPT + 2);
    harp_session_close(s);
}

/* A parallel-for of the caller's is not asked where there is one thread; half an allocator is none. */
static void never_called(void *user, void (*task)(void *argument, int i), void *argument, int n)
{
    (void)task, (void)argument, (void)n;
    ++*(int *)user;
}

static void *never_alloc(void *user, size_t bytes)
{
    (void)bytes;
    ++*(int *)user;
    return NULL;
}

static void test_callbacks_not_called(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    int calls = 0;
    p.parallel = never_called, p.parallel_user = &calls, p.threads = 1;
    p.allocator.alloc = never_alloc, p.allocator.user = &calls;
    s = open_session(m, &p);
    CHECK(s && harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK && calls == 0);
    p.parallel = NULL;
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT); /* whose threads, a session knows once and for all */
    harp_session_close(s);
}

/* ---- The inputs of matrices ---- */

typedef struct onlooker {
    const harp_session *session;
    int32_t layers, hidden, calls[16], rows; /* calls by matrix, in the order of matrices_of; rows in all */
    float last[512];                        /* what the output matrix was given last */
    int strange;
} onlooker;

static const char *const matrices_of[] = {"qkv",         "attn_out",    "gate_up",    "down",           "router",
                                          "output",      "layer_input", "layer_gate", "layer_out",      "attn_gate",
                                          "delta_gates", "shared_gate_up", "shared_down", NULL};

static void look_on(void *user, const harp_inputs *in)
{
    onlooker *o = user;
    int i = 0;
    while (matrices_of[i] && strcmp(matrices_of[i], in->matrix) != 0) i++;
    o->calls[i]++, o->rows += in->rows;
    if (!matrices_of[i] || (i == 5) != (in->layer == o->layers) || in->stride < (size_t)in->cols) o->strange++;
    if (in->expert < -1 || (in->expert >= 0 && i != 2 && i != 3)) o->strange++;
    if (i == 5 && in->cols == o->hidden && in->cols <= 512) memcpy(o->last, in->x, (size_t)in->cols * sizeof(float));
}

/* Each matrix shows its inputs once in a pass, however it is cut; the output's are the hidden state. */
static void test_inputs(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_info info = harp_model_info(m);
    onlooker o = {0};
    harp_session *s;
    int32_t i, calls = 0;
    int done = 0;
    p.harp = 0, p.hidden = 1, p.threads = 2, p.inputs_fn = look_on, p.inputs_user = &o;
    o.layers = info.layers, o.hidden = info.hidden;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    memset(o.calls, 0, sizeof o.calls), o.rows = 0;
    while (!done) CHECK(harp_step_some(s, 500, &done, NULL, NULL) == HARP_OK);
    CHECK(o.calls[0] == info.layers && o.calls[1] == info.layers && o.calls[5] == 1 && o.strange == 0);
    CHECK(info.experts > 0 || (o.calls[2] == info.layers && o.calls[3] == info.layers));
    CHECK(o.calls[6] == 0 || (o.calls[6] == info.layers && o.calls[7] == info.layers && o.calls[8] == info.layers));
    for (i = 0; i < 16; i++) calls += o.calls[i], o.strange += o.calls[i] > info.layers;
    CHECK(info.experts > 0 || (o.rows == calls && o.strange == 0));
    CHECK(harp_hidden(s) && memcmp(harp_hidden(s), o.last, (size_t)info.hidden * sizeof(float)) == 0);
    p.inputs_fn = NULL, memset(o.calls, 0, sizeof o.calls);
    CHECK(harp_tune(s, &p, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK && o.calls[0] == 0);
    harp_session_close(s);
}

/* ---- Choices ---- */

static void test_top(const harp_model *m)
{
    static harp_choice top[400];
    harp_params p = harp_defaults();
    harp_session *s;
    int32_t i, k, seen = 0;
    float total = 0.0f;
    p.theta = -1.0f, p.schedule = HARP_SCHEDULE_FUSED;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
    CHECK(vocab < 390 && harp_top(s, HARP_VANILLA, top, vocab + 10) == vocab);
    for (i = 0; i < vocab; i++) {
        const float *x = harp_logits(s, HARP_VANILLA);
        CHECK(i == 0 || x[top[i - 1].token] > x[top[i].token]
              || (x[top[i - 1].token] == x[top[i].token] && top[i - 1].token < top[i].token));
        total += top[i].probability;
        for (k = 0; k < vocab && top[k].token != i; k++) {}
        seen += k < vocab;
    }
    CHECK(seen == vocab && fabs((double)total - 1.0) < 1e-5);
    CHECK(harp_top(s, HARP_VANILLA, top + 1, 1) == 1 && top[1].token == top[0].token);
    harp_session_close(s);
}

static void test_bias(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_bias bias = {0, 100.0f};
    harp_session *s;
    harp_step step;
    p.bias = &bias, p.n_bias = 1;
    s = open_session(m, &p); /* the first token, and the last */
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK && step.token == 0);
    bias.token = vocab - 1;
    CHECK(harp_tune(s, &p, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK && step.token == vocab - 1);
    bias.token = vocab;
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
    bias.token = -1;
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
    bias.token = 0, bias.add = INFINITY;
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(s);
}

/* ---- adjust_fn ---- */

typedef struct adjusting {
    int32_t calls, last_n; /* and the number of tokens at the last one */
    int mode;
} adjusting;

enum { ALTERNATE, FORBID_ALL, CANCEL, NO_NUMBERS, INFINITE };

/* ALTERNATE: after an even token only odd ones may come, and the other way round. */
static int adjust(void *user, const int32_t *tokens, int32_t n, const float *logits, float *add, int32_t vocab)
{
    adjusting *a = user;
    int32_t i;
    a->calls++, a->last_n = n;
    for (i = 0; i < vocab; i++) {
        CHECK(add[i] == 0.0f && logits[i] == logits[i]);
        if (a->mode == FORBID_ALL || (a->mode == ALTERNATE && tokens[n - 1] % 2 == i % 2)) add[i] = -INFINITY;
        if (a->mode == NO_NUMBERS && i != 7) add[i] = NAN;
    }
    if (a->mode == INFINITE) add[3] = INFINITY;
    return a->mode == CANCEL;
}

/* Asked once for each token; what it forbids is not chosen, drafts, draws and HARP or none. */
static void test_adjusted(const harp_model *m, harp_params p, int32_t *out, int32_t n)
{
    adjusting a = {0, 0, ALTERNATE};
    harp_session *s;
    harp_step step;
    int32_t i, before = prompt[PROMPT - 1];
    p.context = 128, p.adjust_fn = adjust, p.adjust_user = &a;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK && a.calls == 0);
    for (i = 0; i < n; i++) {
        CHECK(harp_next(s, &step, NULL) == HARP_OK && a.calls == i + 1 && a.last_n == PROMPT + i);
        CHECK(step.token % 2 != before % 2 && step.vanilla_token % 2 != before % 2);
        out[i] = before = step.token;
    }
    harp_session_close(s);
}

static void test_adjust(const harp_model *m)
{
    enum { STEPS = 40 };
    static const int modes[] = {FORBID_ALL, CANCEL, INFINITE};
    int32_t plain[STEPS], drafted[STEPS], i, n;
    harp_params p = harp_defaults();
    adjusting a = {0, 0, NO_NUMBERS};
    harp_beam_options options = harp_beam_defaults();
    harp_session *s;
    harp_step step;
    harp_error err;
    size_t without, with;
    p.theta = 0.5f;
    test_adjusted(m, p, plain, STEPS);
    p.drafts = 4, p.lookup = 1;
    test_adjusted(m, p, drafted, STEPS);
    CHECK(memcmp(plain, drafted, sizeof plain) == 0);
    p.draft_rule = HARP_DRAFT_LEVIATHAN, p.harp = 0;
    test_adjusted(m, p, drafted, STEPS);

    p = harp_defaults(), p.context = 64;
    CHECK(harp_session_memory(m, &p, &without, NULL) == HARP_OK);
    p.adjust_fn = adjust, p.adjust_user = &a;
    CHECK(harp_session_memory(m, &p, &with, NULL) == HARP_OK && with >= without + 4 * (size_t)vocab);
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    CHECK(harp_next(s, &step, NULL) == HARP_OK && step.token == 7);
    for (i = 0; i < 3; i++) { /* refused, and the session is as it was */
        a.mode = modes[i];
        CHECK(harp_next(s, &step, &err) == (a.mode == CANCEL ? HARP_ERR_CANCELLED : HARP_ERR_CHOICE));
        CHECK(strstr(err.text, "adjust_fn") && harp_tokens(s, &n) && n == PROMPT + 1);
    }
    a.mode = NO_NUMBERS;
    CHECK(harp_next(s, &step, NULL) == HARP_OK && step.token == 7);
    p.adjust_fn = NULL;
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
    harp_session_close(s);
    p.harp = 0, p.beams = 2, p.adjust_fn = adjust;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    CHECK(harp_beam(s, &options, NULL, &err) == HARP_ERR_UNSUPPORTED && strstr(err.text, "adjust_fn"));
    harp_session_close(s);
}

/* ---- Damaged files ---- */

static harp_status open_copy(const unsigned char *data, size_t bytes, int steps)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    harp_status status;
    unsigned char *exact = malloc(bytes ? bytes : 1); /* exactly as long as the data: a read beyond is seen */
    memcpy(exact, data, bytes);
    source.data = exact, source.bytes = bytes;
    status = harp_open_source(&m, &source, &err);
    if ((status == HARP_OK) != (m != NULL) || (status != HARP_OK && !err.text[0])) failed++;
    if (m && steps) {
        harp_params p = harp_defaults();
        harp_session *s = NULL;
        p.context = 32;
        if (harp_session_open(&s, m, &p, &err) == HARP_OK && harp_feed(s, prompt, 3, &err) == HARP_OK)
            while (steps-- > 0 && harp_next(s, NULL, &err) == HARP_OK) {}
        harp_session_close(s);
    }
    harp_close(m);
    free(exact);
    return status;
}

/* The checksum alone: a file that says another size than it has must be refused for that. */
static void fix_checksum(unsigned char *data)
{
    memset(data + 12, 0, 4);
    hf_store(data + 12, hf_crc(0, data, (size_t)cv_u64(data + 56)), 4);
}

static void test_damaged_files(const char *path)
{
    size_t bytes, head, i;
    unsigned char *data = load_file(path, &bytes);
    CHECK(open_copy(data, bytes, 4) == HARP_OK);
    head = (size_t)cv_u64(data + 56);
    for (i = 0; i < head; i++) CHECK(open_copy(data, i, 0) == HARP_ERR_FORMAT);
    for (i = 0; i < 1000; i++) CHECK(open_copy(data, head + (bytes - head) * i / 1000, 0) == HARP_ERR_FORMAT);
    for (i = 0; i < head; i++) { /* any byte of the head flipped: the checksum tells */
        data[i] ^= 0x41;
        CHECK(open_copy(data, bytes, 0) != HARP_OK);
        data[i] ^= 0x41;
    }
    for (i = 0; i < head; i++) { /* the same by someone who can compute checksums: opens or is refused, never crashes */
        unsigned char old = data[i];
        static const unsigned char values[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
        data[i] = values[i % sizeof values];
        if (cv_u64(data + 56) <= bytes) fix_checksum(data);
        open_copy(data, bytes, 1);
        passed++;
        data[i] = old;
        fix_checksum(data);
    }
    CHECK(open_copy(data, bytes, 1) == HARP_OK);
    free(data);
}

static void test_damaged_weights(const char *path)
{
    size_t bytes, i;
    unsigned char *data = load_file(path, &bytes);
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    source.data = data, source.bytes = bytes;
    CHECK(harp_open_source(&m, &source, &err) == HARP_OK && harp_verify(m, &err) == HARP_OK);
    for (i = (size_t)cv_u64(data + 56); i < bytes; i += 4999) {
        data[i] ^= 1;
        harp_verify(m, &err); /* padding may change unseen; a tensor's byte may not */
        data[i] ^= 1;
    }
    hf_tensor_data(data, hf_find_record(data, "embedding"))[1] ^= 0x7C;
    CHECK(harp_verify(m, &err) == HARP_ERR_FORMAT && strstr(err.text, "embedding"));
    harp_close(m);
    memset(data + cv_u64(data + 56), 0xFF, bytes - (size_t)cv_u64(data + 56)); /* every scale a NaN */
    open_copy(data, bytes, 2);
    free(data);
}

/* ---- Failing memory ---- */

static int allocations_left;

static void *failing_alloc(void *user, size_t bytes)
{
    (void)user;
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void failing_free(void *user, void *block, size_t bytes)
{
    (void)user, (void)bytes;
    free(block);
}

static size_t read_all(void *user, uint64_t offset, void *into, size_t bytes)
{
    memcpy(into, (unsigned char *)user + offset, bytes);
    return bytes;
}

static void test_failing_memory(const char *path)
{
    size_t bytes;
    unsigned char *data = load_file(path, &bytes);
    int n;
    for (n = 0; n < 10; n++) {
        harp_source source = harp_source_defaults();
        harp_params p = harp_defaults();
        harp_model *m = NULL;
        harp_session *s = NULL;
        harp_status status;
        source.read = read_all, source.read_user = data, source.bytes = bytes;
        source.allocator.alloc = p.allocator.alloc = failing_alloc;
        source.allocator.free = p.allocator.free = failing_free;
        allocations_left = n;
        status = harp_open_source(&m, &source, NULL);
        if (status == HARP_OK) status = harp_session_open(&s, m, &p, NULL);
        CHECK(status == HARP_OK || status == HARP_ERR_MEMORY);
        harp_session_close(s), harp_close(m);
        if (status == HARP_OK) break;
    }
    CHECK(n == 3); /* image, tables, session: there are no others */
    free(data);
}

static void print_hashes(const harp_model *m, const char *isa)
{
    harp_params p = harp_defaults();
    p.context = 128, p.isa = isa;
    p.harp = 0;
    printf("off %016llx", (unsigned long long)run_hash(m, p, PROMPT, 64));
    p.harp = 1;
    printf(" stream %016llx", (unsigned long long)run_hash(m, p, PROMPT, 64));
    p.frame = HARP_FRAME_REDRAW;
    printf(" redraw %016llx", (unsigned long long)run_hash(m, p, PROMPT, 64));
    p.frame = HARP_FRAME_LAST, p.activations = HARP_ACT_F32;
    printf(" last-f32 %016llx\n", (unsigned long long)run_hash(m, p, PROMPT, 64));
}

/* ---- the parts of the method that a caller may choose ---- */

/* The measure's value by its definition, in double. */
static double measure_of(harp_measure measure, const float *logits, int32_t n)
{
    double top = logits[0], total = 0.0, best = 0.0, second = 0.0, entropy = 0.0, square = 0.0;
    int32_t i;
    for (i = 1; i < n; i++) top = logits[i] > top ? logits[i] : top;
    for (i = 0; i < n; i++) total += exp(logits[i] - top);
    for (i = 0; i < n; i++) {
        double p = exp(logits[i] - top) / total, bits = log2(p);
        if (p > best) second = best, best = p;
        else if (p > second) second = p;
        entropy -= p * bits, square += p * bits * bits;
    }
    if (measure == HARP_MEASURE_MAXPROB) return 1.0 - best;
    if (measure == HARP_MEASURE_MARGIN) return 1.0 - (best - second);
    return measure == HARP_MEASURE_VARENTROPY ? square - entropy * entropy : entropy;
}

static void test_measures(const harp_model *m)
{
    int measure, i;
    for (measure = HARP_MEASURE_ENTROPY; measure <= HARP_MEASURE_VARENTROPY; measure++) {
        harp_params p = harp_defaults();
        harp_session *s;
        harp_step step;
        p.context = 64, p.theta = -1.0f, p.measure = (harp_measure)measure;
        s = open_session(m, &p);
        CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
        for (i = 0; i < 8; i++) {
            CHECK(harp_next(s, &step, NULL) == HARP_OK && step.hesitated);
            CHECK(fabs(step.uncertainty - measure_of(p.measure, harp_logits(s, HARP_VANILLA), vocab)) < 2e-5);
        }
        harp_session_close(s);
    }
}

static float count_and_measure(void *user, const float *logits, int32_t vocab)
{
    int *calls = user;
    (void)logits, (void)vocab;
    return ++*calls % 2 ? 3.0f : 1.0f;
}

/* The larger of the two, so that it is not the blend. */
static void larger_of_both(void *user, const float *vanilla, const float *reframed, float *combined, int32_t vocab)
{
    int32_t i;
    (void)user;
    for (i = 0; i < vocab; i++) combined[i] = vanilla[i] > reframed[i] ? vanilla[i] : reframed[i];
}

static void no_number(void *user, const float *vanilla, const float *reframed, float *combined, int32_t vocab)
{
    larger_of_both(user, vanilla, reframed, combined, vocab);
    combined[vocab / 2] = NAN;
}

static void test_own_measure_and_rule(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    harp_step step;
    harp_error err;
    int calls = 0, i, k, wrong = 0;
    p.context = 64, p.theta = 2.0f, p.measure = HARP_MEASURE_CALLER, p.measure_fn = count_and_measure;
    p.harp_user = &calls, p.combine_fn = larger_of_both;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    for (i = 0; i < 6; i++) {
        const float *v, *r, *c;
        CHECK(harp_next(s, &step, NULL) == HARP_OK && calls == i + 1 && step.hesitated == (i % 2 == 0));
        CHECK(step.uncertainty == (step.hesitated ? 3.0f : 1.0f) && step.reframed == step.hesitated);
        v = harp_logits(s, HARP_VANILLA), r = harp_logits(s, HARP_REFRAMED), c = harp_logits(s, HARP_COMBINED);
        CHECK((r != NULL) == step.hesitated);
        for (k = 0; k < vocab; k++) wrong += c[k] != (r && r[k] > v[k] ? r[k] : v[k]);
    }
    CHECK(wrong == 0);
    p.combine_fn = no_number;
    CHECK(harp_tune(s, &p, NULL) == HARP_OK);
    CHECK(harp_next(s, &step, &err) == HARP_ERR_NUMBER && strstr(err.text, "combined logits"));
    harp_tokens(s, &k);
    CHECK(k == PROMPT + 6); /* the failed call added nothing */
    harp_session_close(s);
}

int main(int argc, char **argv)
{
    harp_model *m = NULL;
    harp_error err;
    if (argc < 2) return 2;
    if (harp_open(&m, argv[1], &err)) {
        printf("%s\n0 passed, 1 failed\n", err.text);
        return 1;
    }
    vocab = harp_model_info(m).vocab;
    if (argc > 2 && strcmp(argv[2], "hash") == 0) {
        print_hashes(m, argc > 3 ? argv[3] : NULL);
        harp_close(m);
        return failed > 0;
    }
    test_distributions();
    test_same_bits(m);
    test_instruction_sets(m);
    test_prompt_splits(m);
    test_save_and_restore(m, HARP_FRAME_STREAM, HARP_CACHE_F16);
    test_save_and_restore(m, HARP_FRAME_STREAM, HARP_CACHE_INT8);
    test_save_and_restore(m, HARP_FRAME_LAST, HARP_CACHE_F32);
    test_save_and_restore(m, HARP_FRAME_REDRAW, HARP_CACHE_F16);
    test_save_when_full(m);
    test_rewind(m);
    test_own_block(m);
    test_modes(m, argv[1]);
    test_mode_from_a_callback(m);
    test_cancel(m);
    test_misuse(m);
    test_context_full(m);
    test_callbacks_not_called(m);
    test_inputs(m);
    test_top(m);
    test_bias(m);
    test_adjust(m);
    test_measures(m);
    test_own_measure_and_rule(m);
    test_damaged_files(argv[1]);
    test_damaged_weights(argv[1]);
    test_failing_memory(argv[1]);
    harp_close(m);
    return conclude();
}
