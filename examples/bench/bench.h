/* bench.h - what the parts of harp-bench share
 *
 *   main.c      the model, the temporary file, the exit status
 *   options.c   the command line, made to fit the model's context
 *   measure.c   which figures are taken, and how
 *   batch.c     those of several sessions in one pass
 *   report.c    a figure as a row of the table, or as JSON
 *   shapes.c    random models of real shapes
 *   machine.c   what the machine can do at most: memory bandwidth, int8 multiply-adds
 *   plot.c      cost of HARP against the rate of hesitation, as SVG
 */
#ifndef HARP_BENCH_H
#define HARP_BENCH_H

#include "../../harp.h"
#include "../../tools/convert/ground/host.h"

#include <stdint.h>
#include <stdio.h>

/* One figure: the median of n runs, in milliseconds, and what it means. Fields that do not apply are negative. */
typedef struct figure {
    const char *what; /* decode, prefill, rows, batch, wait, harp, request, open, bandwidth, peak */
    const char *isa, *schedule;
    int threads, rows, sessions, depth, reframings;
    int from; /* reframe_from of a request */
    double hesitation; /* share of the steps */
    double tok_s, ms, share, ratio;
    int n;
    double min, max; /* ms */
} figure;

enum { MOST_LIST = 16, MOST_RUNS = 99, MOST_FIGURES = 2048 };

typedef struct bench {
    /* What the user asked for. A number or list that was not given is 0 or empty until fit_to_context. */
    const char *model_path, *shape, *keep, *what, *isas, *plot, *pages;
    int threads[MOST_LIST], n_threads, depths[MOST_LIST], n_depths, rates[MOST_LIST], n_rates;
    int prompt, generate, batch, runs, bits, json;
    int rows_depth; /* tokens before the passes of several rows */
    int batch_depths[2]; /* and before the steps of several sessions */

    harp_model *model;
    harp_info info;
    const unsigned char *image; /* the model's file in memory: what bandwidth is measured with */
    size_t image_bytes;
    double peak; /* of the isa and the number of threads at hand */
    figure figures[MOST_FIGURES]; /* those of "harp" with the first isa, for the plot */
    int n_figures, reported;
    int failed;
} bench;

/* ---- options.c ---- */

/* 0; the exit status of wrong usage, which was explained; or -1: help was asked for, and given. */
int read_options(bench *b, int argc, char **argv);
int wants(const bench *b, const char *what);
int is_pages(const bench *b, const char *how); /* what --pages says: fresh, aged or large */
int wants_isa(const bench *b, const char *isa, int index); /* index: as of harp_isa */

/* Numbers that were not given become the defaults, or what the model's context has room for: then a line says so.
 * Returns 0, or says which of the given ones need a longer context. */
int fit_to_context(bench *b);

enum { SPARE_CONTEXT = 2 }; /* positions of a session that no figure uses */

/* ---- measure.c ---- */

void bench_set(bench *b, const char *isa, int threads);

figure make_figure(const char *what, const harp_params *p);
void settle(figure *f, double *seconds, int n, double tokens); /* n runs, each of so many tokens */
double median(double *values, int n);                          /* sorts them */
int is_over(const bench *b);                                   /* failed, or Ctrl-C */
void bench_fail(bench *b, const harp_error *err);
harp_params bench_params(const bench *b, const char *isa, int threads);
int32_t bench_token(const bench *b, int i);
int bench_feed(bench *b, harp_session *s, int n); /* 0, or -1 when it is over */

/* ---- batch.c ---- */

void bench_batch(bench *b, const char *isa, int threads);

/* ---- report.c ---- */

void print_heading(const bench *b);
void report(bench *b, figure f);

/* Any text, as the inside of an XML element. Bytes that are not UTF-8 become U+FFFD. */
void put_xml_text(FILE *out, const char *text);

/* ---- shapes.c ---- */

/* Writes a random model of the named shape to path, whose layers have weights of 8 or 4 bits. Returns 0, or says on
 * stderr why not, unless it was Ctrl-C. */
int shape_write(const char *name, int bits, const char *path);
int shape_is(const char *name, int bits, const harp_info *info); /* so are the model's sizes and bits */
const char *shape_at(int index); /* NULL beyond the last */

/* ---- machine.c ---- */

/* Seconds since `begin`, never so few that a division by them fails. */
double seconds_since(double begin);

enum { BANDWIDTH_RUNS = 6, PEAK_RUNS = 5 };

/* Bytes a second that `threads` threads read from a block of `bytes` bytes. Ctrl-C ends it early with some figure. */
double read_bandwidth(const unsigned char *block, size_t bytes, int threads);

/* Multiply-adds of int8 a second that `threads` threads reach in registers with this set; 0 if that is not known. */
double int8_peak(const char *isa, int threads);

/* ---- plot.c ---- */

/* The figures "harp" as curves, one for each schedule. Returns 0, or says on stderr why not. */
int plot_write(const char *path, const char *title, const figure *figures, int n);

#endif
