/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * sort.h - sorting that no input makes slow
 *
 * The lists come from files that an attacker may have written, and some C libraries' qsort takes quadratic time where
 * somebody chose the order. Heap sort takes n log n, in place, whatever the list. */
#ifndef HARP_SORT_H
#define HARP_SORT_H

#include <stddef.h>

/* Below 0: a comes before b. Elements of which neither comes first end up in any order: where that would show, the
 * order must tell them apart. user is what heap_sort was called with. */
typedef int heap_order(const void *a, const void *b, const void *user);

/* n elements of `size` bytes each, ascending. list may be NULL if n is 0. */
void heap_sort(void *list, size_t n, size_t size, heap_order *order, const void *user);

#endif
