/* threads.c - a small pool of threads behind harp_params.parallel
 *
 * harp splits a piece of work into at most `threads` parts and calls pool_run, which gives part 0 to the calling
 * thread and part i to worker i. All waiting is on two condition variables, so an idle pool costs nothing. Results do
 * not depend on any of this: harp never splits a sum.
 */
#include "cli.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct worker {
    pool *pool;
    pthread_t thread;
    int index;
} worker;

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work_there, work_done;
    void (*task)(void *argument, int i);
    void *argument;
    unsigned long round; /* counts pieces of work: a worker that has seen round 7 waits for round 8 */
    int n, left, ending; /* parts of this round, those not done yet */
    int n_workers;
    worker *workers; /* [n_workers]; worker i has index i + 1 */
};

static void *work(void *user)
{
    worker *w = (worker *)user;
    pool *p = w->pool;
    unsigned long seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->round == seen && !p->ending) pthread_cond_wait(&p->work_there, &p->lock);
        if (p->ending) break;
        seen = p->round;
        if (w->index >= p->n) continue;
        pthread_mutex_unlock(&p->lock);
        p->task(p->argument, w->index); /* these fields rest until left is 0 */
        pthread_mutex_lock(&p->lock);
        if (--p->left == 0) pthread_cond_signal(&p->work_done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void pool_run(void *user, void (*task)(void *argument, int i), void *argument, int n)
{
    pool *p = (pool *)user;
    if (n <= 0) return;
    pthread_mutex_lock(&p->lock);
    p->task = task, p->argument = argument, p->n = n, p->left = n - 1;
    p->round++;
    pthread_cond_broadcast(&p->work_there);
    pthread_mutex_unlock(&p->lock);
    task(argument, 0);
    pthread_mutex_lock(&p->lock);
    while (p->left > 0) pthread_cond_wait(&p->work_done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

pool *pool_open(int threads)
{
    pool *p = calloc(1, sizeof *p);
    if (p) p->workers = calloc((size_t)threads, sizeof *p->workers);
    if (!p || !p->workers) return free(p), NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work_there, NULL);
    pthread_cond_init(&p->work_done, NULL);
    while (p->n_workers < threads - 1) {
        worker *w = &p->workers[p->n_workers];
        w->pool = p, w->index = p->n_workers + 1;
        if (pthread_create(&w->thread, NULL, work, w)) return pool_close(p), NULL;
        p->n_workers++;
    }
    return p;
}

void pool_close(pool *p)
{
    int i;
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->ending = 1;
    pthread_cond_broadcast(&p->work_there);
    pthread_mutex_unlock(&p->lock);
    for (i = 0; i < p->n_workers; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work_there);
    pthread_cond_destroy(&p->work_done);
    free(p->workers);
    free(p);
}
