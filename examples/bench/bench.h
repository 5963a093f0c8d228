/* bench.h - what the parts of harp-bench share
 *
 *   main.c      options, which figures are taken, output as a table or JSON
 *   shapes.c    random models of real shapes, in a temporary file
 *   machine.c   what the machine can do at most: memory bandwidth, int8 multiply-adds
 *   plot.c      cost of HARP against the rate of hesitation, as SVG
 */
#ifndef HARP_BENCH_H
#define HARP_BENCH_H

#define _POSIX_C_SOURCE 200809L /* clock_gettime, mkstemp: this header comes first */

#include "../../harp.h"

#include <stdint.h>
#include <stdio.h>

double seconds(void); /* of a clock that never goes back */

/* One figure: the median of n runs, in milliseconds, and what it means. Fields that do not apply are negative. */
typedef struct figure {
    const char *what; /* decode, prefill, rows, harp, request, open, bandwidth, peak */
    const char *isa, *schedule;
    int threads, rows, depth, reframings;
    int from; /* reframe_from of a request */
    double hesitation; /* share of the steps */
    double tok_s, ms, share, ratio;
    int n;
    double min, max; /* ms */
} figure;

/* ---- shapes.c ---- */

/* Writes a random model of the named shape to path. Returns 0, or says on stderr why not. */
int shape_write(const char *name, const char *path);
const char *shape_names(void);

/* ---- machine.c ---- */

/* Bytes a second that `threads` threads read from a block of `bytes` bytes. */
double read_bandwidth(const unsigned char *block, size_t bytes, int threads);

/* Multiply-adds of int8 a second that `threads` threads reach in registers with this set; 0 if that is not known. */
double int8_peak(const char *isa, int threads);

/* ---- plot.c ---- */

/* The figures "harp" as curves, one for each schedule. */
int plot_write(const char *path, const char *title, const figure *figures, int n);

#endif
