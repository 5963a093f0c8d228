/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * threads.h - a crew of threads that do the same work, and two locks among them
 *
 * threads.c answers with POSIX threads; where there are none the crew is the calling thread alone. */
#ifndef HARP_CONVERT_THREADS_H
#define HARP_CONVERT_THREADS_H

#include "convert.h"

typedef enum cv_lock { CV_READING, CV_WRITING, CV_N_LOCKS } cv_lock;
typedef struct cv_crew cv_crew;

cv_crew *cv_crew_open(cv_error *err); /* as many as there are processors; NULL: no memory */
void cv_crew_close(cv_crew *crew);    /* NULL is fine */
/* Runs work(user) in every thread of the crew, or in the calling one alone; returns when all are done. */
void cv_crew_run(cv_crew *crew, int alone, void (*work)(void *user), void *user);

void cv_crew_lock(cv_crew *crew, cv_lock lock);
void cv_crew_unlock(cv_crew *crew, cv_lock lock);
void cv_crew_wait(cv_crew *crew, cv_lock lock); /* lets go of the lock until somebody wakes: it may be for nothing */
void cv_crew_wake(cv_crew *crew, cv_lock lock); /* all who wait */

#endif
