/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * portable.c - the same bits: one hash of every logit, whatever computed it
 *
 * Runs the demo model through the public header alone, in every way that must not change a result, and prints one
 * hash. tests/matrix.sh builds it for one machine after another and compares what they print.
 *
 *     portable MODEL.harp
 */
#include <stdio.h>
#include <string.h>

#include "../harp.h"

enum { STEPS = 8 };

typedef struct setting {
    const char *name;
    int harp;
    harp_frame frame;
    harp_activations activations;
    harp_cache cache;
    int32_t reframings;
} setting;

static const setting settings[] = {
    {"off", 0, HARP_FRAME_STREAM, HARP_ACT_INT8, HARP_CACHE_F16, 1},
    {"stream", 1, HARP_FRAME_STREAM, HARP_ACT_INT8, HARP_CACHE_F16, 1},
    {"redraw", 1, HARP_FRAME_REDRAW, HARP_ACT_INT8, HARP_CACHE_F32, 1},
    {"last", 1, HARP_FRAME_LAST, HARP_ACT_INT8, HARP_CACHE_INT8, 1},
    {"stream, 2 reframings, float activations", 1, HARP_FRAME_STREAM, HARP_ACT_F32, HARP_CACHE_F16, 2},
};

static uint64_t mix(uint64_t hash, uint32_t word) /* FNV-1a over bytes, least significant first on every machine */
{
    int i;
    for (i = 0; i < 4; i++) hash = (hash ^ (word >> 8 * i & 255u)) * 0x100000001B3u;
    return hash;
}

static uint64_t mix_floats(uint64_t hash, const float *x, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        hash = mix(hash, bits);
    }
    return hash;
}

/* Feeds the prompt, makes steps, and hashes every logit, choice and entropy; 0 on failure, which it tells. */
static uint64_t run(const harp_model *m, const setting *how, harp_schedule schedule, int threads, const char *isa)
{
    static const char prompt[] = "One day, Anna lost her red kite";
    int32_t tokens[64], vocab = harp_model_info(m).vocab, i;
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    harp_step step;
    harp_error err;
    uint64_t hash = 0xCBF29CE484222325u;
    size_t n = 0;
    p.context = 64, p.batch = 16, p.theta = 0.25f; /* so low that most steps are reframed */
    p.harp = how->harp, p.frame = how->frame, p.activations = how->activations, p.cache = how->cache;
    p.reframings = how->reframings, p.schedule = schedule, p.threads = threads, p.isa = isa;
    if (harp_encode(m, prompt, strlen(prompt), HARP_ENCODE_BOS, tokens, 64, &n, &err)
        || harp_session_open(&s, m, &p, &err) || harp_feed(s, tokens, (int32_t)n, &err)) hash = 0;
    for (i = 0; i < STEPS && hash != 0; i++) {
        if (harp_next(s, &step, &err)) hash = 0;
        else hash = mix(mix(hash, (uint32_t)step.token), (uint32_t)step.reframed);
        if (hash == 0) break;
        hash = mix_floats(hash, harp_logits(s, HARP_VANILLA), vocab);
        hash = mix_floats(mix_floats(hash, harp_logits(s, HARP_COMBINED), vocab), &step.entropy, 1);
    }
    harp_session_close(s);
    if (hash == 0) printf("FAILED %s: %s\n", how->name, err.text);
    return hash;
}

static int compare(const setting *how, const char *isa, const char *change, uint64_t hash, uint64_t expected)
{
    if (hash != expected) printf("DIFFERS %s, %s: %s\n", how->name, isa, change);
    return hash == expected;
}

/* One setting on one instruction set, in every way that must not matter. */
static int check(const harp_model *m, const setting *how, const char *isa, uint64_t expected)
{
    int good = compare(how, isa, "lazy", run(m, how, HARP_SCHEDULE_LAZY, 1, isa), expected);
    if (how->harp && how->frame != HARP_FRAME_REDRAW)
        good &= compare(how, isa, "fused", run(m, how, HARP_SCHEDULE_FUSED, 1, isa), expected);
    return good & compare(how, isa, "3 threads", run(m, how, HARP_SCHEDULE_LAZY, 3, isa), expected);
}

int main(int argc, char **argv)
{
    harp_model *m = NULL;
    harp_error err;
    uint64_t all = 0xCBF29CE484222325u;
    size_t i;
    int good = 1, k;
    if (argc < 2) return 2;
    if (harp_open(&m, argv[1], &err) || harp_verify(m, &err)) return printf("FAILED %s\n", err.text), 1;
    for (i = 0; i < sizeof settings / sizeof *settings; i++) {
        uint64_t hash = run(m, &settings[i], HARP_SCHEDULE_LAZY, 1, "c");
        good &= hash != 0;
        for (k = 0; harp_isa(k); k++) good &= check(m, &settings[i], harp_isa(k), hash);
        all = mix(mix(all, (uint32_t)hash), (uint32_t)(hash >> 32));
    }
    harp_close(m);
    printf("sets");
    for (k = 0; harp_isa(k); k++) printf(" %s", harp_isa(k));
    printf("\n%s hash %08lx%08lx\n", good ? "passed" : "FAILED", (unsigned long)(all >> 32),
           (unsigned long)(all & 0xFFFFFFFFu));
    return !good;
}
