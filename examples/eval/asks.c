/* asks.c - questions under way: they are begun and written down in their order, and answered at the same time
 *
 * All answers that grow make a step together, in common passes over the weights (harp_together); the bits of each are
 * those that it has alone. One that has ended makes room for the next question at once, and waits until those before it
 * have ended, too: so a file of results has one order, however many are answered at once.
 */
#include "eval.h"

#include <string.h>

ask *asks_at(asks *all, int32_t i)
{
    return &all->ring[(all->first + i) % MOST_ASKS];
}

static int32_t count_growing(asks *all)
{
    int32_t i, n = 0;
    for (i = 0; i < all->n; i++) n += replies_growing(asks_at(all, i));
    return n;
}

int asks_have_room(asks *all, int32_t seats)
{
    return all->n < MOST_ASKS && count_growing(all) < seats;
}

/* The i-th and those after it are given up. */
void asks_drop(asks *all, int32_t i)
{
    while (all->n > i) replies_free(asks_at(all, --all->n));
}

int asks_begin(asks *all, bench *b, method *m, const item *q, size_t index)
{
    ask *a = asks_at(all, all->n++);
    int status;
    memset(a, 0, sizeof *a);
    a->m = m, a->q = q, a->index = index;
    status = ask_begin(b, a);
    if (status) asks_drop(all, all->n - 1);
    return status;
}

static int32_t find_growing(asks *all, reply **growing_ones)
{
    int32_t i, k, n = 0;
    for (i = 0; i < all->n; i++)
        for (k = 0; k < asks_at(all, i)->n; k++)
            if (!asks_at(all, i)->replies[k].ended) growing_ones[n++] = &asks_at(all, i)->replies[k];
    return n;
}

/* Where one fails, those before it can still go on, as if each had been asked after the other. */
int asks_step(asks *all, bench *b)
{
    reply *growing_ones[MOST_GROWING];
    int32_t n = find_growing(all, growing_ones), failed = 0, i = 0;
    int status = n > 0 ? replies_step(b, growing_ones, n, &failed) : 0;
    if (status == 0) return 0;
    while (asks_at(all, i) != growing_ones[failed]->of) i++;
    asks_drop(all, i);
    return status;
}

/* The first, if it has ended; it is valid until the next is begun. NULL: there is none. */
ask *asks_leave(asks *all, const bench *b)
{
    ask *a = asks_at(all, 0);
    if (all->n == 0 || replies_growing(a) > 0) return NULL;
    ask_end(b, a);
    all->first = (all->first + 1) % MOST_ASKS, all->n--;
    return a;
}
