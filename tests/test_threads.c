/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_threads.c - one model, several sessions at once, each with a parallel-for of the caller's: the same bits
 *
 *     test_threads MODEL.harp            (also run under a thread sanitizer by `make test-all`)
 */
#include "../harp.h"

#include <pthread.h>
#include <stdio.h>
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
    int threads, failed;
    uint64_t hash;
} run;

static void *run_session(void *user)
{
    static const int32_t prompt[] = {29, 49, 196, 76, 122, 106, 68, 3, 250, 17, 99, 42};
    run *r = user;
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    harp_step step;
    int i, v, vocab = harp_model_info(r->model).vocab;
    p.context = 64, p.threads = r->threads, p.reframings = 2, p.schedule = HARP_SCHEDULE_FUSED;
    if (r->threads > 1) p.parallel = parallel_for;
    r->hash = 1;
    r->failed = harp_session_open(&s, r->model, &p, NULL) || harp_feed(s, prompt, 12, NULL);
    for (i = 0; i < STEPS && !r->failed; i++) {
        const float *logits;
        r->failed = harp_next(s, &step, NULL) != HARP_OK;
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
        runs[i].model = model, runs[i].threads = 1 + 2 * i; /* 1, 3, 5, 7 */
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
