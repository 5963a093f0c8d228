/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_conformance.c - against numbers that nobody here made
 *
 * The goldens are outputs of Hugging Face transformers and of the paper's official HARP code on random weights (see
 * tests/fixtures/README). With float activations and a float cache the library must agree within 1e-3 on every logit
 * and 2e-4 bits on every entropy, make the same greedy choices, hesitate at the same steps, and combine to the same
 * logits.
 *
 *     test_conformance MODEL.harp GOLDEN_FOLDER
 */
#include "../harp.h"
#include "test.h"
#include "golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double most_logit, most_entropy; /* of all goldens: largest differences with floats */

static void report(int ok, const char *model, const char *golden, const char *what, double figure)
{
    const char *name = strrchr(model, '/');
    printf("%s %s %s: %s %.3g\n", ok ? "ok    " : "FAILED", name ? name + 1 : model, golden, what, figure);
    ok ? passed++ : failed++;
}

typedef struct scoring {
    const float *expected;
    const golden *g;
    double worst_logit, worst_entropy;
    int vocab;
} scoring;

static int on_logits(void *user, int32_t position, const float *logits)
{
    scoring *s = user;
    double d = largest_difference(logits, s->expected + (size_t)position * (size_t)s->vocab, s->vocab);
    double e = fabs((double)harp_entropy(logits, s->vocab) - s->g->entropy[position]);
    if (!(d <= s->worst_logit)) s->worst_logit = d;
    if (!(e <= s->worst_entropy)) s->worst_entropy = e;
    return 0;
}

static void test_vanilla(const harp_model *m, const char *path, const char *folder, const char *name)
{
    harp_params p = exact_params();
    harp_session *s = NULL;
    harp_error err;
    golden g;
    scoring score = {0};
    size_t n = 0;
    if (!load_golden(&g, folder, name)) return;
    score.g = &g, score.vocab = harp_model_info(m).vocab;
    score.expected = load_floats(folder, name, ".logits.f32", &n);
    p.harp = 0;
    if (!score.expected || n != (size_t)g.n_prompt * (size_t)score.vocab || harp_session_open(&s, m, &p, &err)
        || harp_score(s, g.prompt, g.n_prompt, on_logits, &score, &err)) {
        report(0, path, name, "could not run", 0);
        return;
    }
    if (score.worst_logit > most_logit) most_logit = score.worst_logit;
    if (score.worst_entropy > most_entropy) most_entropy = score.worst_entropy;
    report(score.worst_logit <= 1e-3, path, name, "largest logit difference", score.worst_logit);
    report(score.worst_entropy <= 2e-4, path, name, "largest entropy difference", score.worst_entropy);
    harp_session_close(s);
}

typedef struct agreement {
    const float *expected;
    int vocab, same, n;
    double worst;
} agreement;

static int largest(const float *x, int n)
{
    int i, best = 0;
    for (i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static int on_rounded_logits(void *user, int32_t position, const float *logits)
{
    agreement *a = user;
    const float *expected = a->expected + (size_t)position * (size_t)a->vocab;
    double d = largest_difference(logits, expected, a->vocab);
    if (!(d <= a->worst)) a->worst = d;
    a->same += largest(logits, a->vocab) == largest(expected, a->vocab);
    a->n++;
    return 0;
}

/* Reports, and judges only loosely, what int8 activations and the smaller caches cost against float32. */
static int report_rounding(const harp_model *m, const char *path, const char *folder, const char *name)
{
    static const char *const settings[] = {"int8 activations, f16 cache", "int8 activations, int8 cache"};
    int i;
    for (i = 0; i < 2; i++) {
        harp_params p = harp_defaults();
        harp_session *s = NULL;
        harp_error err;
        golden g;
        agreement a = {0};
        size_t n = 0;
        if (!load_golden(&g, folder, name)) return 0;
        a.expected = load_floats(folder, name, ".logits.f32", &n), a.vocab = harp_model_info(m).vocab;
        p.harp = 0, p.cache = i == 0 ? HARP_CACHE_F16 : HARP_CACHE_INT8;
        if (!a.expected || harp_session_open(&s, m, &p, &err)
            || harp_score(s, g.prompt, g.n_prompt, on_rounded_logits, &a, &err))
            a.worst = NAN;
        printf("note   %s %s: largest logit difference %.3g, top-1 agreement %d of %d\n", folder, settings[i], a.worst,
               a.same, a.n);
        report(a.same * 10 >= a.n * 7, path, name, "top-1 agreement with rounding:", a.same);
        harp_session_close(s);
    }
    return 1;
}

static void test_greedy(const harp_model *m, const char *path, const char *folder, const char *name)
{
    harp_params p = exact_params();
    harp_session *s = NULL;
    harp_error err;
    harp_step step;
    golden g;
    int i, same = 0;
    if (!load_golden(&g, folder, name)) return;
    p.harp = 0;
    if (harp_session_open(&s, m, &p, &err) == HARP_OK && harp_feed(s, g.prompt, g.n_prompt, &err) == HARP_OK)
        for (i = 0; i < g.n_steps && harp_next(s, &step, &err) == HARP_OK; i++) same += step.token == g.token[i];
    report(g.n_steps > 0 && same == g.n_steps, path, name, "greedy tokens equal:", same);
    harp_session_close(s);
}

static void test_harp(const harp_model *m, const char *path, const char *folder, const char *name,
                      harp_schedule schedule)
{
    harp_params p = exact_params();
    harp_session *s = NULL;
    harp_error err;
    golden g;
    double worst_v = 0, worst_c = 0, worst_h = 0;
    int i, same = 0, vocab = harp_model_info(m).vocab;
    size_t n = 0;
    float *vanilla, *combined;
    if (!load_golden(&g, folder, name)) return;
    vanilla = load_floats(folder, name, ".vanilla.f32", &n), combined = load_floats(folder, name, ".combined.f32", &n);
    p.theta = (float)g.theta, p.delta = (float)g.delta, p.beta = (float)g.beta;
    p.frame = g.keyed ? HARP_FRAME_STREAM : HARP_FRAME_REDRAW, p.schedule = schedule;
    p.mask_fn = replay, p.harp_user = &g;
    if (!vanilla || !combined || harp_session_open(&s, m, &p, &err) || harp_feed(s, g.prompt, g.n_prompt, &err)) {
        report(0, path, name, "could not run", 0);
        return;
    }
    for (i = 0; i < g.n_steps; i++) {
        harp_step step;
        double d;
        if (harp_next(s, &step, &err)) break;
        same += step.token == g.token[i] && step.hesitated == g.hesitated[i];
        d = largest_difference(harp_logits(s, HARP_VANILLA), vanilla + (size_t)i * (size_t)vocab, vocab);
        if (!(d <= worst_v)) worst_v = d;
        d = largest_difference(harp_logits(s, HARP_COMBINED), combined + (size_t)i * (size_t)vocab, vocab);
        if (!(d <= worst_c)) worst_c = d;
        d = fabs((double)step.entropy - g.entropy[i]);
        if (!(d <= worst_h)) worst_h = d;
    }
    report(g.n_steps > 0 && same == g.n_steps, path, name, "tokens and hesitations equal:", same);
    if (worst_v > most_logit) most_logit = worst_v;
    if (worst_c > most_logit) most_logit = worst_c;
    if (worst_h > most_entropy) most_entropy = worst_h;
    report(worst_v <= 1e-3, path, name, "largest vanilla difference", worst_v);
    report(worst_c <= 1e-3, path, name, "largest combined difference", worst_c);
    report(worst_h <= 2e-4, path, name, "largest entropy difference", worst_h);
    harp_session_close(s);
}

int main(int argc, char **argv)
{
    static const char *const vanilla[] = {"vanilla_n1",  "vanilla_n2",  "vanilla_n3",  "vanilla_n4",  "vanilla_n7",
                                          "vanilla_n16", "vanilla_n17", "vanilla_n40", "vanilla_n48", "vanilla_n49",
                                          "vanilla_n60", "vanilla_n64", "vanilla_n65", "vanilla_n72"};
    static const char *const rounded[] = {"vanilla_n40", "vanilla_n49", "vanilla_n60", "vanilla_n72"};
    static const char *const harp[] = {"harp_official_p7", "harp_keyed_p7", "harp_official_p40", "harp_keyed_p40"};
    harp_model *m = NULL;
    harp_error err;
    size_t i;
    if (argc != 3) return 2;
    if (harp_open(&m, argv[1], &err)) {
        printf("FAILED %s: %s\n0 passed, 1 failed\n", argv[1], err.text);
        return 1;
    }
    for (i = 0; i < sizeof vanilla / sizeof *vanilla; i++) test_vanilla(m, argv[1], argv[2], vanilla[i]);
    for (i = 0; i < sizeof rounded / sizeof *rounded && !report_rounding(m, argv[1], argv[2], rounded[i]); i++)
        continue;
    test_greedy(m, argv[1], argv[2], "greedy_p7");
    test_greedy(m, argv[1], argv[2], "greedy_p40");
    for (i = 0; i < sizeof harp / sizeof *harp; i++) {
        test_harp(m, argv[1], argv[2], harp[i], HARP_SCHEDULE_LAZY);
        test_harp(m, argv[1], argv[2], harp[i], HARP_SCHEDULE_FUSED);
    }
    harp_close(m);
    printf("note   %s floats: largest logit difference %.3g, largest entropy difference %.3g bits\n", argv[2],
           most_logit, most_entropy);
    return conclude();
}
