/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_threads.c - one model, several sessions at once, with threads of their own or of the caller's: the same bits
 *
 *     test_threads MODEL.harp            (also run under a thread sanitizer by `make test-all`)
 */
#define _POSIX_C_SOURCE 200809L
#include "../harp.h"
#include "test.h"

#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SESSIONS = 4, STEPS = 16, MAX_PARTS = 8 };

typedef struct part {
    void (*task)(void *argument, int i);
    void *argument;
    int i;
} part;

static int odd_part = -1; /* the part whose thread rounds in another direction */

static void *run_part(void *p)
{
    part *q = p;
#ifdef FE_UPWARD
    if (q->i == odd_part) fesetround(FE_UPWARD);
#endif
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

/* A step with all bits of its logits, mixed into a hash; 0: it failed. */
static uint64_t mix_step(uint64_t hash, harp_session *s, int32_t vocab)
{
    harp_step step;
    if (hash == 0 || harp_next(s, &step, NULL)) return 0;
    hash = mix(hash, &step.token, sizeof step.token);
    hash = mix(hash, harp_logits(s, HARP_VANILLA), (size_t)vocab * sizeof(float));
    return mix(hash, harp_logits(s, HARP_COMBINED), (size_t)vocab * sizeof(float));
}

static void *run_session(void *user)
{
    static const int32_t prompt[] = {29, 49, 196, 76, 122, 106, 68, 3, 250, 17, 99, 42};
    run *r = user;
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    int i;
    p.context = 64, p.threads = r->threads, p.reframings = 2, p.schedule = HARP_SCHEDULE_FUSED;
    if (r->threads > 1 && !r->own) p.parallel = parallel_for;
    r->hash = MIX_START;
    r->failed = harp_session_open(&s, r->model, &p, NULL) || harp_feed(s, prompt, 12, NULL);
    for (i = 0; i < STEPS && !r->failed; i++) {
        r->failed = save_and_restore(s);
        if (!r->failed) r->hash = mix_step(r->hash, s, harp_model_info(r->model).vocab), r->failed = r->hash == 0;
    }
    harp_session_close(s);
    return NULL;
}

/* Steps that a session makes and their logits, as a number; 0: one failed. */
static uint64_t steps_of(harp_session *s, int32_t vocab)
{
    uint64_t hash = MIX_START;
    int i;
    for (i = 0; i < 8; i++) hash = mix_step(hash, s, vocab);
    return hash;
}

/* A child of fork has the session, but not its threads: it goes on alone, with the same bits, and closes. The parent's
 * threads are none the worse for it. 1 if so. */
static int test_fork(const harp_model *model)
{
    static const int32_t prompt[] = {29, 49, 196, 76, 122};
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    uint64_t expected, heard = 0;
    int ends[2], status = -1, same;
    int32_t vocab = harp_model_info(model).vocab;
    pid_t child;
    p.context = 64, p.threads = 3;
    if (harp_session_open(&s, model, &p, NULL) || harp_feed(s, prompt, 5, NULL)) return 0;
    expected = steps_of(s, vocab);
    same = expected != 0 && pipe(ends) == 0 && !harp_rewind(s, 5, NULL);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(20); /* a child that waits for threads that are not there is ended by the system */
        heard = steps_of(s, vocab);
        harp_session_close(s);
        _exit(write(ends[1], &heard, sizeof heard) != (ssize_t)sizeof heard);
    }
    same = same && child > 0 && waitpid(child, &status, 0) == child && status == 0
           && read(ends[0], &heard, sizeof heard) == (ssize_t)sizeof heard && heard == expected;
    same = same && steps_of(s, vocab) == expected;
    harp_session_close(s);
    return same;
}

/* What a child of fork does, within twenty seconds: 1 if it comes to its end. */
static int child_ends(void (*work)(harp_session *s, harp_engine *e), harp_session *s, harp_engine *e)
{
    int status = -1;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(20);
        work(s, e);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void make_steps(harp_session *s, harp_engine *e)
{
    int i;
    (void)e;
    for (i = 0; i < 6; i++) harp_next(s, NULL, NULL);
}

static void close_session(harp_session *s, harp_engine *e)
{
    (void)e;
    harp_session_close(s);
}

static void close_engine(harp_session *s, harp_engine *e)
{
    (void)s;
    harp_engine_close(e, NULL);
}

/* A child does not wait either for the threads of a draft session, of a parent that was closed, or of an engine of which
 * no session has been called. 1 if so. */
static int test_fork_and_others(const harp_model *model)
{
    static const int32_t prompt[] = {29, 49, 196, 76, 122};
    harp_params p = harp_defaults(), d, q;
    harp_session *s = NULL, *draft = NULL, *parent = NULL, *branch = NULL;
    harp_engine *e = NULL;
    int good;
    p.context = 64, d = p, d.harp = 0, d.threads = 2;
    good = !harp_session_open(&draft, model, &d, NULL) && !harp_session_open(&parent, model, &d, NULL)
           && !harp_engine_open(&e, model, &d, NULL);
    p.drafts = 4, p.draft = draft;
    good = good && !harp_session_open(&s, model, &p, NULL) && !harp_feed(s, prompt, 5, NULL)
           && !harp_next(s, NULL, NULL) && !harp_feed(parent, prompt, 5, NULL) && !harp_next(parent, NULL, NULL);
    q = d, q.threads = 1, q.parent = parent, q.parent_at = 5;
    good = good && !harp_session_open(&branch, model, &q, NULL);
    harp_session_close(parent);
    good = good && child_ends(make_steps, s, NULL) && child_ends(close_session, branch, NULL)
           && child_ends(close_engine, NULL, e);
    harp_session_close(s), harp_session_close(draft), harp_session_close(branch);
    harp_engine_close(e, NULL);
    return good;
}

typedef struct branch {
    harp_session *session;
    int32_t vocab;
    uint64_t heard;
} branch;

static void *run_branch(void *user)
{
    branch *b = user;
    b->heard = steps_of(b->session, b->vocab);
    return NULL;
}

/* Forks with engines of their own, each in a thread, and their parent in another: all read what they share, and nobody
 * writes there. All choose the most probable token, so they make the steps, and have the logits, of a session that is
 * alone. 1 if so. */
static int test_forks_in_threads(const harp_model *model)
{
    enum { FORKS = 3, SHARED = 20 };
    harp_params p = harp_defaults();
    branch branches[1 + FORKS] = {{NULL, 0, 0}};
    pthread_t thread[1 + FORKS];
    harp_session *alone = NULL;
    uint64_t expected = 0;
    int32_t prompt[SHARED], vocab = harp_model_info(model).vocab;
    int i, failed, same = 0;
    for (i = 0; i < SHARED; i++) prompt[i] = 7 + 11 * i % 90;
    p.context = 64, p.temperature = 0.0f, p.theta = 0.5f;
    failed = harp_session_open(&alone, model, &p, NULL) || harp_feed(alone, prompt, SHARED, NULL);
    if (!failed) expected = steps_of(alone, vocab);
    failed = failed || harp_session_open(&branches[0].session, model, &p, NULL)
             || harp_feed(branches[0].session, prompt, SHARED, NULL);
    p.parent = branches[0].session, p.parent_at = SHARED;
    for (i = 1; i <= FORKS && !failed; i++) failed = harp_session_open(&branches[i].session, model, &p, NULL);
    for (i = 0; i <= FORKS && !failed; i++) {
        branches[i].vocab = vocab;
        pthread_create(&thread[i], NULL, run_branch, &branches[i]);
    }
    for (i = 0; i <= FORKS && !failed; i++) {
        pthread_join(thread[i], NULL);
        same += branches[i].heard == expected && expected != 0;
    }
    harp_session_close(alone);
    for (i = FORKS; i >= 0; i--) harp_session_close(branches[i].session);
    return same == 1 + FORKS;
}

/* Threads of the caller's that round otherwise: the step is refused, and made when they have been put right. */
static int test_odd_thread(const harp_model *model)
{
    static const int32_t prompt[] = {29, 49, 196};
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    harp_error err;
    int good = 1, n;
    p.context = 64, p.threads = 3, p.parallel = parallel_for;
    if (harp_session_open(&s, model, &p, NULL) || harp_feed(s, prompt, 3, NULL)) return 0;
#ifdef FE_UPWARD
    for (odd_part = 0; odd_part < 3; odd_part++) {
        good &= harp_next(s, NULL, &err) == HARP_ERR_BUILD && strstr(err.text, "floating-point mode") != NULL;
        good &= harp_feed(s, prompt, 3, NULL) == HARP_ERR_BUILD;
    }
#endif
    odd_part = -1;
    harp_tokens(s, &n);
    good &= n == 3 && harp_next(s, NULL, &err) == HARP_OK;
    harp_session_close(s);
    return good;
}

int main(int argc, char **argv)
{
    harp_model *model = NULL;
    pthread_t thread[SESSIONS];
    run runs[SESSIONS];
    int i;
    if (argc < 2 || harp_open(&model, argv[1], NULL)) return 2;
    for (i = 0; i < SESSIONS; i++) {
        runs[i].model = model, runs[i].threads = 1 + i, runs[i].own = i % 2; /* 2 and 4 of its own, 3 and 5 of ours */
        pthread_create(&thread[i], NULL, run_session, &runs[i]);
    }
    for (i = 0; i < SESSIONS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(!runs[i].failed && runs[i].hash == runs[0].hash);
    }
    CHECK(test_fork(model));
    CHECK(test_fork_and_others(model));
    CHECK(test_odd_thread(model));
    CHECK(test_forks_in_threads(model));
    harp_close(model);
    return conclude();
}
