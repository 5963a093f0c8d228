/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * sort.c - see sort.h */
#include "sort.h"

#include <string.h>

typedef struct heap { /* the largest on top; the two below element i are 2i + 1 and 2i + 2 */
    unsigned char *list;
    size_t size;
    heap_order *order;
    const void *user;
} heap;

static void swap(const heap *h, size_t i, size_t k)
{
    unsigned char *a = h->list + i * h->size, *b = h->list + k * h->size, piece[64];
    for (size_t left = h->size, n; left > 0; left -= n, a += n, b += n) {
        n = left < sizeof piece ? left : sizeof piece;
        memcpy(piece, a, n);
        memcpy(a, b, n);
        memcpy(b, piece, n);
    }
}

static int precedes(const heap *h, size_t i, size_t k)
{
    return h->order(h->list + i * h->size, h->list + k * h->size, h->user) < 0;
}

/* Lets element i of n sink until none below it is larger. */
static void sift(const heap *h, size_t i, size_t n)
{
    for (size_t child = 2 * i + 1; child < n; i = child, child = 2 * i + 1) {
        if (child + 1 < n && precedes(h, child, child + 1)) child++;
        if (!precedes(h, i, child)) return;
        swap(h, i, child);
    }
}

void heap_sort(void *list, size_t n, size_t size, heap_order *order, const void *user)
{
    heap h = {list, size, order, user};
    for (size_t i = n / 2; i-- > 0;) sift(&h, i, n);
    for (size_t end = n; end > 1; end--) {
        swap(&h, 0, end - 1);
        sift(&h, 0, end - 1);
    }
}
