/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * threads.c - see threads.h */
#define _POSIX_C_SOURCE 200809L
#include "threads.h"

#include <stdlib.h>

#if defined(_WIN32)

struct cv_crew {
    int size;
};

cv_crew *cv_crew_open(cv_error *err)
{
    return cv_alloc(1, sizeof(cv_crew), err);
}

void cv_crew_close(cv_crew *crew)
{
    free(crew);
}

void cv_crew_run(cv_crew *crew, int alone, void (*work)(void *user), void *user)
{
    (void)crew, (void)alone;
    work(user);
}

void cv_crew_lock(cv_crew *crew, cv_lock lock)
{
    (void)crew, (void)lock;
}

void cv_crew_unlock(cv_crew *crew, cv_lock lock)
{
    (void)crew, (void)lock;
}

void cv_crew_wait(cv_crew *crew, cv_lock lock)
{
    (void)crew, (void)lock;
}

void cv_crew_wake(cv_crew *crew, cv_lock lock)
{
    (void)crew, (void)lock;
}

#else

#include <pthread.h>
#include <unistd.h>

enum { MOST_THREADS = 16 };

struct cv_crew {
    int size;
    pthread_mutex_t lock[CV_N_LOCKS];
    pthread_cond_t woken[CV_N_LOCKS];
};

typedef struct task {
    void (*work)(void *user);
    void *user;
} task;

cv_crew *cv_crew_open(cv_error *err)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    cv_crew *crew = cv_alloc(1, sizeof *crew, err);
    if (!crew) return NULL;
    crew->size = processors < 1 ? 1 : processors > MOST_THREADS ? MOST_THREADS : (int)processors;
    for (int i = 0; i < CV_N_LOCKS; i++) {
        pthread_mutex_init(&crew->lock[i], NULL);
        pthread_cond_init(&crew->woken[i], NULL);
    }
    return crew;
}

void cv_crew_close(cv_crew *crew)
{
    for (int i = 0; crew && i < CV_N_LOCKS; i++) {
        pthread_mutex_destroy(&crew->lock[i]);
        pthread_cond_destroy(&crew->woken[i]);
    }
    free(crew);
}

static void *run_task(void *argument)
{
    const task *t = argument;
    t->work(t->user);
    return NULL;
}

/* A thread that cannot be had is missed by nobody: the others do its share. */
void cv_crew_run(cv_crew *crew, int alone, void (*work)(void *user), void *user)
{
    pthread_t threads[MOST_THREADS];
    task t = {work, user};
    int n = 0, wanted = alone ? 0 : crew->size - 1;
    while (n < wanted && pthread_create(&threads[n], NULL, run_task, &t) == 0) n++;
    work(user);
    while (n > 0) pthread_join(threads[--n], NULL);
}

void cv_crew_lock(cv_crew *crew, cv_lock lock)
{
    pthread_mutex_lock(&crew->lock[lock]);
}

void cv_crew_unlock(cv_crew *crew, cv_lock lock)
{
    pthread_mutex_unlock(&crew->lock[lock]);
}

void cv_crew_wait(cv_crew *crew, cv_lock lock)
{
    pthread_cond_wait(&crew->woken[lock], &crew->lock[lock]);
}

void cv_crew_wake(cv_crew *crew, cv_lock lock)
{
    pthread_cond_broadcast(&crew->woken[lock]);
}

#endif
