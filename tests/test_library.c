/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_library.c - what the library promises, on a small model with random weights
 *
 * Includes the implementation, so that private parts can be tested against exact references too.
 *
 *     test_library MODEL.harp [hash [ISA]]    with "hash": prints the hash of 64 steps' logits for each setting, no tests
 */
#include "../harp_impl.c"
#include "test.h"

#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

static const int32_t prompt[] = {29, 49, 196, 76, 122, 106, 68, 3, 250, 17, 99, 42, 7, 180, 61, 230, 11, 5, 77, 140};
enum { PROMPT = sizeof prompt / sizeof *prompt };

/* Little-endian bits, so that the hash is the same on every machine. */
static uint64_t mix_floats(uint64_t hash, const float *x, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        uint32_t u = hp_bits(x[i]);
        unsigned char b[4] = {(unsigned char)u, (unsigned char)(u >> 8), (unsigned char)(u >> 16), (unsigned char)(u >> 24)};
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
    for (i = 0; s && i < PROMPT; i += part) CHECK(harp_feed(s, prompt + i, hp_min(part, PROMPT - i), NULL) == HARP_OK);
    for (i = 0; s && i < steps; i++) {
        CHECK(harp_next(s, &step, NULL) == HARP_OK);
        hash = mix_floats(hash, harp_logits(s, HARP_VANILLA), m->vocab);
        hash = mix_floats(hash, harp_logits(s, HARP_COMBINED), m->vocab);
        hesitated = (unsigned char)step.hesitated;
        hash = mix(hash, &hesitated, 1);
        hash = mix_floats(hash, &step.entropy, 1);
    }
    harp_session_close(s);
    return hash;
}

/* ---- Exact references ---- */

static void test_philox(void)
{
    /* the known-answer vectors of Salmon et al., Random123, philox4x32 with ten rounds */
    hp_random a = hp_philox(0, 0, 0, 0, 0), b = hp_philox(~(uint64_t)0, ~0u, ~0u, ~0u, ~0u);
    hp_random c = hp_philox((uint64_t)0x299F31D0u << 32 | 0xA4093822u, 0x243F6A88u, 0x85A308D3u, 0x13198A2Eu, 0x03707344u);
    static const uint32_t ka[4] = {0x6627E8D5u, 0xE169C58Du, 0xBC57AC4Cu, 0x9B00DBD8u};
    static const uint32_t kb[4] = {0x408F276Du, 0x41C83B0Eu, 0xA20BC7C6u, 0x6D5451FDu};
    static const uint32_t kc[4] = {0xD16CFE09u, 0x94FDCCEBu, 0x5001E420u, 0x24126EA1u};
    CHECK(memcmp(a.word, ka, sizeof ka) == 0);
    CHECK(memcmp(b.word, kb, sizeof kb) == 0);
    CHECK(memcmp(c.word, kc, sizeof kc) == 0);
}

static void test_mathematics(void)
{
    double worst = 0, x;
    float s, c;
    uint32_t h;
    for (x = -86.9; x < 87.9; x += 0.0137) {
        double e = fabs((double)hp_exp((float)x) / exp((double)(float)x) - 1);
        if (!(e <= worst)) worst = e;
    }
    CHECK(worst < 2.4e-7);
    for (worst = 0, x = -1e4; x < 1e6; x += 17.317) {
        hp_sine_cosine(x, &s, &c);
        if (!(fabs((double)s - sin(x)) <= worst)) worst = fabs((double)s - sin(x));
        if (!(fabs((double)c - cos(x)) <= worst)) worst = fabs((double)c - cos(x));
    }
    CHECK(worst < 6e-8);
    for (worst = 0, x = 1e-300; x < 1e300; x *= 3.7)
        if (!(fabs(hp_log2(x) - log2(x)) <= worst * 1.0)) worst = fabs(hp_log2(x) - log2(x));
    CHECK(worst < 1e-12);
    for (h = 0; h < 65536; h++) {
        float f = hp_half_to_float((uint16_t)h);
        if (f == f && hp_float_to_half(f) != h) break;
    }
    CHECK(h == 65536);
    CHECK(hp_float_to_half(65519.0f) == 0x7BFF && hp_float_to_half(65520.0f) == 0x7C00);
    CHECK(hp_float_to_half(hp_float(0x33000000u)) == 0 && hp_float_to_half(hp_float(0x33000001u)) == 1);
    CHECK(hp_vf_round_c(hp_vf_set_c(2.5f)).lane[0] == 2 && hp_vf_round_c(hp_vf_set_c(-3.5f)).lane[3] == -4);
}

static void test_distributions(void)
{
    static float x[70000];
    float inf = hp_float(0x7F800000u);
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

/* As hp_rope, with products that are not rounded, in the pairs from..to-1. */
static int fused_from, fused_to;

static void fused_rope(float *head, const float *turn, int32_t dims)
{
    float plain[256];
    int32_t half = dims / 2, i;
    memcpy(plain, head, (size_t)dims * sizeof *head);
    hp_rope_c(head, turn, dims);
    for (i = fused_from; i < fused_to && i < half; i++) {
        float bs = plain[i + half] * turn[i + half];
        head[i] = (float)((double)plain[i] * (double)turn[i] - (double)bs);
    }
}

/* Every set of this build keeps products and sums apart; one that does not is recognised, be it in a vector or behind
 * the last one. tests/fused_sets.sh builds one. */
static void test_sets_are_sound(void)
{
    hp_kernels fused = hp_kernels_c;
    const hp_kernels *k;
    int i;
    for (i = 0; (k = hp_kernels_at(i)) != NULL; i++) CHECK(hp_set_is_sound(k));
    fused.rope = fused_rope;
    CHECK(hp_set_is_sound(&fused));
    fused_from = 3, fused_to = 4;
    CHECK(!hp_set_is_sound(&fused));
    fused_from = HP_LANES, fused_to = 64;
    CHECK(!hp_set_is_sound(&fused));
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
        hash = mix_floats(hash, harp_logits(s, HARP_COMBINED), s->model->vocab);
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
        CHECK(s->n_tokens == PROMPT && beams->n_tokens == PROMPT && next_hash(s, 4) == expected);
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
    for (n = 0; n < 100 && set_mode(2); n++) {
        harp_status status;
        set_mode(-1), modes_left = n;
        CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK);
        status = harp_next(s, NULL, NULL);
        set_mode(-1);
        if (modes_left >= 0) break; /* the step ended before */
        CHECK(status == HARP_ERR_BUILD && harp_rewind(s, PROMPT, NULL) == HARP_OK && next_hash(s, 1) == expected);
    }
    set_mode(-1);
    CHECK(n == 0 || (n > 10 && n < 100));
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
    p.context = 64, p.cancel = cancel_countdown, p.cancel_user = &countdown, p.schedule = HARP_SCHEDULE_LAZY, p.theta = 0.0f;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    expected = next_hash(s, 1);
    for (n = 0; n < 500; n++) { /* cancelled at its n-th question: nothing changes, and the next try succeeds */
        CHECK(harp_rewind(s, PROMPT, NULL) == HARP_OK);
        countdown = n;
        if (harp_next(s, NULL, NULL) == HARP_OK) break;
        CHECK(s->n_tokens == PROMPT);
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
    int32_t outside = m->vocab;
    size_t bytes;
    CHECK(harp_session_open(NULL, m, &p, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_session_open(&none, NULL, &p, &err) == HARP_ERR_ARGUMENT && !none);
    CHECK(harp_session_open(&none, m, NULL, &err) == HARP_ERR_ARGUMENT);
    memset(&bad, 0, sizeof bad);
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT);
    bad = p, bad.delta = hp_float(0x7FC00000u);
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "delta"));
    bad = p, bad.reframings = 65;
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT);
    bad = p, bad.context = 1 << 28;
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT);
    bad = p, bad.measure = HARP_MEASURE_CALLER;
    CHECK(harp_session_open(&none, m, &bad, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_next(s, NULL, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_next(NULL, NULL, NULL) == HARP_ERR_ARGUMENT);
    CHECK(harp_feed(s, &outside, 1, &err) == HARP_ERR_ARGUMENT && s->n_tokens == 0);
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
    CHECK(harp_next(s, NULL, &err) == HARP_ERR_CONTEXT && s->n_tokens == PROMPT + 2);
    CHECK(harp_feed(s, prompt, 1, &err) == HARP_ERR_CONTEXT && s->n_tokens == PROMPT + 2);
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

/* ---- Sampling ---- */

static void test_sampling(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s = open_session(m, &p);
    int32_t i, counts[3] = {0, 0, 0};
    harp_bias bias[2];
    float *x = s->logits;
    for (i = 0; i < m->vocab; i++) x[i] = -20.0f;
    x[5] = 2.0f, x[9] = 1.0f, x[100] = 0.0f; /* probabilities 0.665, 0.245, 0.090 */
    s->params.temperature = 1.0f, s->params.min_p = 0.0f, s->params.top_p = 1.0f;
    for (i = 0; i < 8000; i++) {
        int32_t token;
        s->n_tokens = 0, s->params.seed = (uint64_t)i;
        token = hp_choose(s, x);
        if (token == 5) counts[0]++;
        else if (token == 9) counts[1]++;
        else if (token == 100) counts[2]++;
    }
    CHECK(abs(counts[0] - 5322) < 160 && abs(counts[1] - 1958) < 150 && abs(counts[2] - 720) < 100);
    s->params.top_p = 0.9f; /* 0.665 + 0.245 reach it */
    for (i = 0; i < 500; i++) {
        s->params.seed = (uint64_t)i;
        CHECK(hp_choose(s, x) != 100);
    }
    s->params.top_p = 1.0f, s->params.min_p = 0.3f;
    for (i = 0; i < 500; i++) {
        s->params.seed = (uint64_t)i;
        CHECK(hp_choose(s, x) != 100);
    }
    s->params.min_p = 0.0f, s->params.top_k = 1;
    CHECK(hp_choose(s, x) == 5);
    s->params.top_k = 0, s->params.temperature = 0.0f;
    bias[0].token = 5, bias[0].add = -hp_float(0x7F800000u), bias[1].token = 100, bias[1].add = 1.5f;
    s->params.bias = bias, s->params.n_bias = 2;
    CHECK(hp_choose(s, x) == 100);
    s->params.n_bias = 0, s->params.repeat_penalty = 3.0f, s->tokens[0] = 5, s->tokens[1] = 5, s->n_tokens = 2;
    CHECK(hp_choose(s, x) == 9); /* 2 / 3 < 1, once for both */
    s->params.repeat_penalty = 1.5f;
    CHECK(hp_choose(s, x) == 5); /* 2 / 1.5 > 1: the penalty counts once */
    for (i = 0; i < m->vocab; i++) x[i] = i == 5 || i == 9 ? 1.0f : -hp_float(0x7F800000u);
    s->n_tokens = 0, s->params.repeat_penalty = 1.0f, s->params.temperature = 1.0f;
    for (s->params.top_k = 0; s->params.top_k <= 40; s->params.top_k += 40) {
        s->params.min_p = -1.0f, s->params.top_p = 2.0f; /* nothing but its being banned keeps a token out */
        CHECK((hp_choose(s, x) == 5 || hp_choose(s, x) == 9) && s->n_cut == 2);
    }
    harp_session_close(s);
}

/* Leviathan's rule where the candidates are cut: the draw in place of a refused guess knows of no other tokens. */
static void test_keep_or_replace(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    int32_t i, count[3] = {0, 0, 0}, others = 0;
    p.drafts = 1, p.draft_rule = HARP_DRAFT_LEVIATHAN, p.top_k = 0, p.top_p = 2.5f / (float)m->vocab, p.min_p = 0.0f;
    s = open_session(m, &p);
    for (i = 0; i < m->vocab; i++) s->logits[i] = 1.0f; /* all alike: the first three are kept */
    for (i = 0; i < 9000; i++) {
        int32_t token;
        s->n_tokens = 1, s->params.seed = (uint64_t)i;
        token = hp_keep_or_replace(s, s->logits, 1, NULL);
        if (token < 3) count[token]++;
        else others++;
    }
    CHECK(others == 0 && abs(count[0] - 3000) < 200 && abs(count[1] - 3000) < 200 && abs(count[2] - 3000) < 200);
    s->n_tokens = 0;
    harp_session_close(s);
}

/* The longest end that stood before, at its latest place; the copy runs on into itself. */
static void test_look_up(const harp_model *m)
{
    static const struct {
        int32_t text[10], n, guess[3]; /* guess[0] < 0: none */
    } cases[] = {{{1, 2, 3, 4, 5}, 5, {-1}},
                 {{7}, 1, {-1}},
                 {{1, 2, 3, 4, 1, 2}, 6, {3, 4, 1}},
                 {{2, 9, 1, 2, 8, 2}, 6, {8, 2, 8}},          /* the latest 2 */
                 {{1, 2, 9, 5, 2, 8, 6, 1, 2}, 9, {9, 5, 2}}, /* the longer end, though further back */
                 {{3, 5, 5}, 3, {5, 5, 5}},
                 {{4, 4, 4, 4}, 4, {4, 4, 4}}};
    harp_params p = harp_defaults();
    harp_session *s;
    size_t c;
    int32_t i;
    p.drafts = 3;
    s = open_session(m, &p);
    for (c = 0; c < sizeof cases / sizeof *cases; c++) {
        memcpy(s->tokens, cases[c].text, sizeof cases[c].text);
        for (i = cases[c].n; i < 16; i++) s->tokens[i] = 99;
        s->n_tokens = cases[c].n;
        CHECK(hp_look_up(s, 3) == (cases[c].guess[0] < 0 ? 0 : 3));
        CHECK(cases[c].guess[0] < 0 || memcmp(s->tokens + cases[c].n, cases[c].guess, sizeof cases[c].guess) == 0);
    }
    s->n_tokens = 0;
    harp_session_close(s);
}

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
    CHECK(m->vocab < 390 && harp_top(s, HARP_VANILLA, top, m->vocab + 10) == m->vocab);
    for (i = 0; i < m->vocab; i++) {
        const float *x = harp_logits(s, HARP_VANILLA);
        CHECK(i == 0 || x[top[i - 1].token] > x[top[i].token]
              || (x[top[i - 1].token] == x[top[i].token] && top[i - 1].token < top[i].token));
        total += top[i].probability;
        for (k = 0; k < m->vocab && top[k].token != i; k++) {}
        seen += k < m->vocab;
    }
    CHECK(seen == m->vocab && fabs((double)total - 1.0) < 1e-5);
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
    bias.token = m->vocab - 1;
    CHECK(harp_tune(s, &p, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK && step.token == m->vocab - 1);
    bias.token = m->vocab;
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
    bias.token = -1;
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
    bias.token = 0, bias.add = hp_float(0x7F800000u);
    CHECK(harp_tune(s, &p, NULL) == HARP_ERR_ARGUMENT);
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

static void fix_checksum(unsigned char *data)
{
    uint32_t crc;
    memset(data + 12, 0, 4);
    crc = hp_crc32(0, data, (size_t)hp_u64(data + 56));
    data[12] = (unsigned char)crc, data[13] = (unsigned char)(crc >> 8);
    data[14] = (unsigned char)(crc >> 16), data[15] = (unsigned char)(crc >> 24);
}

static void test_damaged_files(const char *path)
{
    size_t bytes, head, i;
    unsigned char *data = load_file(path, &bytes);
    CHECK(open_copy(data, bytes, 4) == HARP_OK);
    head = (size_t)hp_u64(data + 56);
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
        if (hp_u64(data + 56) <= bytes) fix_checksum(data);
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
    for (i = (size_t)hp_u64(data + 56); i < bytes; i += 4999) {
        data[i] ^= 1;
        harp_verify(m, &err); /* padding may change unseen; a tensor's byte may not */
        data[i] ^= 1;
    }
    data[m->embedding.tiles - data + 1] ^= 0x7C;
    CHECK(harp_verify(m, &err) == HARP_ERR_FORMAT && strstr(err.text, "embedding"));
    harp_close(m);
    memset(data + hp_u64(data + 56), 0xFF, bytes - (size_t)hp_u64(data + 56)); /* every scale a NaN */
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

/* ---- the schedule auto ---- */

/* Costs are learned from what they are costs of, and the cheaper schedule follows from them. */
static void test_auto(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    int i;
    p.context = 64;
    s = open_session(m, &p);
    for (i = 0; i < 4; i++) hp_learn_costs(s, 0, 1.0, 0.0, i % 3 == 0);
    CHECK(s->costs.rate == 0.5f); /* a plain mean at first */
    s->costs.plain = s->costs.second = 1.0, s->costs.fused = 1.1;
    s->costs.rate = 0.2f;
    CHECK(hp_is_fused_cheaper(s, 1, 0) && hp_is_fused_cheaper(s, 1, 16));
    s->costs.rate = 0.05f;
    CHECK(!hp_is_fused_cheaper(s, 1, 0));
    for (i = 0; i < HP_PROBE_EVERY; i++) hp_learn_costs(s, 0, 1.0, 0.0, 0);
    CHECK(hp_is_fused_cheaper(s, 1, 0)); /* long not measured: tried, but only where nothing is to be made up for */
    CHECK(!hp_is_fused_cheaper(s, 1, 1));
    hp_learn_costs(s, 1, 0.0, 0.0, 1); /* a fused pass that made up for something */
    CHECK(s->costs.fused == 1.1 && s->costs.no_fused == HP_PROBE_EVERY);
    hp_learn_costs(s, 1, 1.02, 0.0, 1);
    CHECK(s->costs.fused < 1.1 && s->costs.fused > 1.02 && s->costs.no_fused == 0);
    for (i = 0; i < 2 * HP_PROBE_EVERY; i++) hp_learn_costs(s, 1, 1.02, 0.0, 1);
    CHECK(fabs(s->costs.fused - 1.02) < 1e-6 && s->costs.rate > 0.95f);
    CHECK(!hp_is_fused_cheaper(s, 1, 0)); /* now lazy is tried, for one step */
    hp_learn_costs(s, 0, 1.0, 1.0, 1);
    CHECK(hp_is_fused_cheaper(s, 1, 0));
    hp_learn_costs(s, 1, 100.0, 0.0, 1); /* the processor was away: not believed at once */
    CHECK(s->costs.fused < 1.2 && hp_is_fused_cheaper(s, 1, 0));
    harp_session_close(s);
}

/* What a fused step learns where the reframed stream lies behind: nothing. */
static void test_auto_in_steps(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s;
    harp_step step;
    p.context = 64, p.theta = 1e29f, p.schedule = HARP_SCHEDULE_LAZY;
    s = open_session(m, &p);
    CHECK(harp_feed(s, prompt, PROMPT, NULL) == HARP_OK);
    CHECK(harp_next(s, &step, NULL) == HARP_OK && harp_next(s, &step, NULL) == HARP_OK);
    CHECK(s->costs.plain > 0.0 && s->costs.fused == 0.0);
    p.schedule = HARP_SCHEDULE_FUSED;
    CHECK(harp_tune(s, &p, NULL) == HARP_OK);
    CHECK(harp_next(s, &step, NULL) == HARP_OK && s->costs.fused == 0.0);
    CHECK(harp_next(s, &step, NULL) == HARP_OK && s->costs.fused > 0.0);
    harp_session_close(s);
}

/* ---- slices ---- */

static int32_t items_done;

static void count_items(harp_session *s, int part, int32_t first, int32_t last)
{
    (void)s, (void)part;
    items_done += last - first;
}

/* Costs of many items that do not fit 64 bits: still a slice does one at least and no more than its budget allows. */
static void test_huge_costs(const harp_model *m)
{
    static const struct {
        int32_t count;
        int64_t cost, budget;
        int32_t done;
    } cases[] = {{1 << 20, (int64_t)1 << 45, 1000, 1}, /* at 2^26 positions, with long prompts: the product is 2^65 */
                 {1 << 20, (int64_t)1 << 53, (int64_t)1 << 55, 4},
                 {INT32_MAX, INT64_MAX / 2, 1, 1},
                 {INT32_MAX, 3, INT64_MAX - 1, INT32_MAX},
                 {1000, 7, 70000, 1000},
                 {1000, 7, 3500, 500}};
    harp_params p = harp_defaults();
    harp_session *s;
    size_t i;
    p.context = 64;
    s = open_session(m, &p);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        items_done = 0, s->progress.item = 0, s->progress.budget = cases[i].budget;
        hp_split_some(s, count_items, cases[i].count, cases[i].cost);
        CHECK(items_done == cases[i].done);
        hp_spend(s, cases[i].cost), hp_spend(s, INT64_MAX); /* what is used up stays so */
        CHECK(s->progress.budget <= 0 || cases[i].budget == INT64_MAX - 1);
    }
    s->progress.item = 0, s->progress.budget = INT64_MAX;
    harp_session_close(s);
}

/* ---- how the weights are read ---- */

/* A pass whose layers take a second each, and half of one if they are read in the way `fastest`. */
static void try_reading(harp_session *s, int fastest)
{
    s->n_rows = 1, s->progress.layer = 0;
    hp_begin_reading(s);
    while (s->progress.layer < s->model->info.layers) {
        int way = hp_way_to_read(s);
        if (s->reading.on_trial) s->reading.spent[way] += way == fastest ? 0.5 : 1.0;
        s->progress.layer++;
        hp_end_turn(s);
    }
    CHECK(!s->reading.on_trial); /* the logits are read in the best way */
}

/* The way that takes the least time wins the votes, and can lose them again; prompts are not asked. */
static void test_reading(const harp_model *m)
{
    harp_params p = harp_defaults();
    int32_t way, i, soon = HP_MOST_VOTES * HP_WAYS * HP_TRIAL_EVERY / harp_model_info(m).layers;
    harp_session *s;
    p.context = 64;
    s = open_session(m, &p);
    for (way = HP_WAYS - 1; way >= 0; way--) {
        for (i = 0; i < soon && s->reading.best != way; i++) try_reading(s, way);
        CHECK(s->reading.best == way && i > 0);
        if (way == HP_WAYS - 1) CHECK(i <= HP_FIRST_TRIALS); /* the first votes count at once */
        for (i = 0; i < 4 * soon; i++) try_reading(s, way);
        CHECK(s->reading.votes[way] < HP_MOST_VOTES && s->reading.votes[(way + 1) % HP_WAYS] == 0);
    }
    s->n_rows = HP_FEW_ROWS + 1;
    s->reading.passes = 0, s->reading.best = 1;
    hp_begin_reading(s);
    CHECK(!s->reading.on_trial && hp_way_to_read(s) == 0 && s->reading.passes == 0);
    s->n_rows = s->progress.layer = 0;
    for (way = 0; way < HP_WAYS; way++) { /* and passes follow the votes */
        s->reading.best = way, s->reading.passes = HP_TRIAL_EVERY + 1;
        CHECK(harp_feed(s, prompt, 1, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK);
        CHECK(!s->reading.on_trial && s->job.way == &hp_ways[way]);
    }
    harp_session_close(s);
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
            CHECK(fabs(step.uncertainty - measure_of(p.measure, harp_logits(s, HARP_VANILLA), m->info.vocab)) < 2e-5);
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
        for (k = 0; k < m->info.vocab; k++) wrong += c[k] != (r && r[k] > v[k] ? r[k] : v[k]);
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
    if (argc > 2 && strcmp(argv[2], "hash") == 0) {
        print_hashes(m, argc > 3 ? argv[3] : NULL);
        harp_close(m);
        return failed > 0;
    }
    test_philox();
    test_mathematics();
    test_distributions();
    test_same_bits(m);
    test_instruction_sets(m);
    test_sets_are_sound();
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
    test_sampling(m);
    test_keep_or_replace(m);
    test_look_up(m);
    test_top(m);
    test_bias(m);
    test_auto(m);
    test_auto_in_steps(m);
    test_huge_costs(m);
    test_reading(m);
    test_measures(m);
    test_own_measure_and_rule(m);
    test_damaged_files(argv[1]);
    test_damaged_weights(argv[1]);
    test_failing_memory(argv[1]);
    harp_close(m);
    return conclude();
}
