/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * portable.c - the same bits: one hash of every logit, whatever computed it
 *
 * Runs models through the public header alone, in every way that must not change a result, and prints one hash for each.
 * tests/matrix.sh builds it for one machine after another and compares what they print.
 *
 *     portable MODEL.harp...
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

static const char prompt[] = "One day, Anna lost her red kite";

static harp_params params_of(const setting *how)
{
    harp_params p = harp_defaults();
    p.context = 64, p.batch = 16, p.theta = 0.25f; /* so low that most steps are reframed */
    p.harp = how->harp, p.frame = how->frame, p.activations = how->activations, p.cache = how->cache;
    p.reframings = how->reframings;
    return p;
}

static uint64_t mix_step(uint64_t hash, const harp_session *s, const harp_step *step, int32_t vocab)
{
    hash = mix(mix(hash, (uint32_t)step->token), (uint32_t)step->reframed);
    hash = mix_floats(hash, harp_logits(s, HARP_VANILLA), vocab);
    return mix_floats(mix_floats(hash, harp_logits(s, HARP_COMBINED), vocab), &step->entropy, 1);
}

/* Feeds the prompt, makes steps, and hashes every logit, choice and entropy; 0 on failure, which it tells. */
static uint64_t run(const harp_model *m, const setting *how, harp_schedule schedule, int threads, const char *isa)
{
    int32_t tokens[64], vocab = harp_model_info(m).vocab, i;
    harp_params p = params_of(how);
    harp_session *s = NULL;
    harp_step step;
    harp_error err;
    uint64_t hash = 0xCBF29CE484222325u;
    size_t n = 0;
    p.schedule = schedule, p.threads = threads, p.isa = isa;
    if (harp_encode(m, prompt, strlen(prompt), HARP_ENCODE_BOS, tokens, 64, &n, &err)
        || harp_session_open(&s, m, &p, &err) || harp_feed(s, tokens, (int32_t)n, &err)) hash = 0;
    for (i = 0; i < STEPS && hash != 0; i++) {
        if (harp_next(s, &step, &err)) hash = 0;
        else hash = mix_step(hash, s, &step, vocab);
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

/* One setting on one instruction set, in every way that must not matter. Machines are emulated, so nothing is asked
 * twice: "c" gave what is expected, and of threads one setting says enough. */
static int check(const harp_model *m, const setting *how, const char *isa, uint64_t expected)
{
    int good = 1;
    if (strcmp(isa, "c") != 0) good &= compare(how, isa, "lazy", run(m, how, HARP_SCHEDULE_LAZY, 1, isa), expected);
    if (how->harp && how->frame != HARP_FRAME_REDRAW)
        good &= compare(how, isa, "fused", run(m, how, HARP_SCHEDULE_FUSED, 1, isa), expected);
    if (how == &settings[1])
        good &= compare(how, isa, "3 threads", run(m, how, HARP_SCHEDULE_LAZY, 3, isa), expected);
    return good;
}

/* The settings of int8 side by side in the passes of one engine, their prompts, too: each has the hash that it has
 * alone. */
static int check_together(const harp_model *m, const char *isa, const uint64_t *alone)
{
    enum { MEMBERS = 4 };
    harp_params p = params_of(&settings[1]);
    harp_engine *engine = NULL;
    harp_member members[MEMBERS];
    uint64_t hashes[MEMBERS];
    harp_error err;
    int32_t tokens[64], i, k, vocab = harp_model_info(m).vocab;
    int failed, good = 1;
    size_t n = 0;
    memset(members, 0, sizeof members);
    p.isa = isa;
    failed = harp_engine_open(&engine, m, &p, &err)
             || harp_encode(m, prompt, strlen(prompt), HARP_ENCODE_BOS, tokens, 64, &n, &err);
    for (i = 0; i < MEMBERS && !failed; i++) {
        p = params_of(&settings[i]), p.engine = engine, hashes[i] = 0xCBF29CE484222325u;
        failed = harp_session_open(&members[i].session, m, &p, &err)
                 || harp_queue(members[i].session, tokens, (int32_t)n, &err);
    }
    for (k = 0; k < STEPS && !failed; k++) {
        int32_t done[MEMBERS] = {0}, left = MEMBERS;
        while (left > 0 && !failed) { /* a prompt may take several calls: the others wait for it */
            harp_member some[MEMBERS];
            int32_t who[MEMBERS], count = 0;
            for (i = 0; i < MEMBERS; i++)
                if (!done[i]) who[count] = i, some[count++] = members[i];
            failed = harp_together(some, count, 0, &err) != HARP_OK;
            for (i = 0; i < count && !failed; i++) {
                failed = some[i].error.status != HARP_OK;
                if (!some[i].done) continue;
                hashes[who[i]] = mix_step(hashes[who[i]], some[i].session, &some[i].step, vocab);
                done[who[i]] = 1, left--;
            }
        }
    }
    for (i = 0; i < MEMBERS; i++) {
        harp_session_close(members[i].session);
        if (!failed) good &= compare(&settings[i], isa, "in company", hashes[i], alone[i]);
    }
    harp_engine_close(engine, NULL);
    if (failed) printf("FAILED several sessions: %s\n", err.text);
    return good && !failed;
}

/* Every setting on every instruction set: the hash of the model's results; *good becomes 0 where they differ. */
static uint64_t hash_of(const char *path, int *good)
{
    harp_model *m = NULL;
    harp_error err;
    uint64_t all = 0xCBF29CE484222325u, alone[sizeof settings / sizeof *settings];
    size_t i;
    int k;
    if (harp_open(&m, path, &err) || harp_verify(m, &err)) return printf("FAILED %s\n", err.text), *good = 0, 0;
    for (i = 0; i < sizeof settings / sizeof *settings; i++) {
        uint64_t hash = alone[i] = run(m, &settings[i], HARP_SCHEDULE_LAZY, 1, "c");
        *good &= hash != 0;
        for (k = 0; harp_isa(k); k++) *good &= check(m, &settings[i], harp_isa(k), hash);
        all = mix(mix(all, (uint32_t)hash), (uint32_t)(hash >> 32));
    }
    for (k = 0; harp_isa(k); k++) *good &= check_together(m, harp_isa(k), alone);
    harp_close(m);
    return all;
}

int main(int argc, char **argv)
{
    uint64_t all[4];
    int good = 1, i, n = argc - 1;
    if (n < 1 || n > 4) return 2;
    for (i = 0; i < n; i++) all[i] = hash_of(argv[1 + i], &good);
    printf("sets");
    for (i = 0; harp_isa(i); i++) printf(" %s", harp_isa(i));
    printf("\n%s hash", good ? "passed" : "FAILED");
    for (i = 0; i < n; i++)
        printf(" %08lx%08lx", (unsigned long)(all[i] >> 32), (unsigned long)(all[i] & 0xFFFFFFFFu));
    printf("\n");
    return !good;
}
