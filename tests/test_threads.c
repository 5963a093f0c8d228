/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_threads.c - one model, several sessions at once, with threads of their own or of the caller's: the same bits
 *
 *     test_threads MODEL.harp            (also run under a thread sanitizer by `make test-all`)
 */
#include "../harp.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS = 4, STEPS = 16, MAX_PARTS = 8 };

typedef struct part {
    void (*task)(void *argument, int i);
    void *argument;
    int i;
} part;

static void *run_part(void *p)
{
    part *q = p;
    q->task(q->argument, q->i);
    return NULL;
}

/* A thread per part, made and joined each time: slow, and as concurrent as can be. */
static void parallel_for(void *user, void (*task)(void *argument, int i), void *argument, int n)
{
    pthread_t thread[MAX_PARTS];
    part parts[MAX_PARTS];
    int i;
    (void)user;
    for (i = 0; i < n; i++) {
        parts[i].task = task, parts[i].argument = argument, parts[i].i = i;
        pthread_create(&thread[i], NULL, run_part, &parts[i]);
    }
    for (i = 0; i < n; i++) pthread_join(thread[i], NULL);
}

typedef struct run {
    const harp_model *model;
    int threads, own, failed; /* own: the session's threads, not the caller's */
    uint64_t hash;
} run;

/* Saving and restoring leave everything as it was, also while the pool's threads sleep or are about to. */
static int save_and_restore(harp_session *s)
{
    size_t bytes = 0;
    void *image;
    int failed = harp_save(s, NULL, 0, &bytes, NULL) != HARP_OK;
    image = malloc(bytes);
    failed = failed || !image || harp_save(s, image, bytes, &bytes, NULL) || harp_restore(s, image, bytes, NULL);
    free(image);
    return failed;
}

static void *run_session(void *user)
{
    static const int32_t prompt[] = {29, 49, 196, 76, 122, 106, 68, 3, 250, 17, 99, 42};
    run *r = user;
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    harp_step step;
    int i, v, vocab = harp_model_info(r->model).vocab;
    p.context = 64, p.threads = r->threads, p.reframings = 2, p.schedule = HARP_SCHEDULE_FUSED;
    if (r->threads > 1 && !r->own) p.parallel = parallel_for;
    r->hash = 1;
    r->failed = harp_session_open(&s, r->model, &p, NULL) || harp_feed(s, prompt, 12, NULL);
    for (i = 0; i < STEPS && !r->failed; i++) {
        const float *logits;
        r->failed = save_and_restore(s) || harp_next(s, &step, NULL) != HARP_OK;
        logits = harp_logits(s, HARP_COMBINED);
        for (v = 0; v < vocab && !r->failed; v++) {
            uint32_t bits;
            memcpy(&bits, &logits[v], 4);
            r->hash = (r->hash ^ bits) * 0x100000001B3u;
        }
    }
    harp_session_close(s);
    return NULL;
}

int main(int argc, char **argv)
{
    harp_model *model = NULL;
    pthread_t thread[SESSIONS];
    run runs[SESSIONS];
    int i, same = 0;
    if (argc < 2 || harp_open(&model, argv[1], NULL)) return 2;
    for (i = 0; i < SESSIONS; i++) {
        runs[i].model = model, runs[i].threads = 1 + i, runs[i].own = i % 2; /* 2 and 4 of its own, 3 and 5 of ours */
        pthread_create(&thread[i], NULL, run_session, &runs[i]);
    }
    for (i = 0; i < SESSIONS; i++) {
        pthread_join(thread[i], NULL);
        same += !runs[i].failed && runs[i].hash == runs[0].hash;
    }
    harp_close(model);
    printf("%d passed, %d failed\n", same, SESSIONS - same);
    return same != SESSIONS;
}
