/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_quality.c - what rounding to int8 in groups of 32 does to weights with outliers
 *
 * A group's error is uniform within a step of largest / 127, so its signal-to-noise ratio is 12 * 127^2 times its mean
 * square over its largest square: at worst, where one weight is all there is, 12 * 127^2 / 32, which is 37.8 dB.
 *
 * No other choice of scale helps: to clip the outlier costs more than finer steps gain (the best share to clip is
 * 32 / (12 * 127^2), a 6000th), and where the weights fall between the steps is luck. With one weight in a hundred 20
 * times as large, amax / 127 gives 39.0 dB, the best of 257 scales for each group, each with a least-squares fit, 39.4.
 * Groups of 16 would give 41.9, for 6 % more bytes. */
#include "file/quantize.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 16, COLS = 1 << 16 };

static unsigned long long state = 1;

static double chance(void) /* 0..1 */
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(state >> 11) / 9007199254740992.0;
}

static double normal(void)
{
    double u = chance(), v = chance();
    return sqrt(-2.0 * log(u + 1e-300)) * cos(6.283185307179586 * v);
}

/* Normal weights, of which a share is `times` as large. */
static double decibel(double share, double times)
{
    float *w = malloc(ROWS * COLS * sizeof *w);
    unsigned char *tile = malloc(cv_tile_bytes(COLS));
    cv_loss loss = {0.0, 0.0, 0.0, 0};
    uint64_t bad;
    if (!w || !tile) exit(2);
    for (int i = 0; i < ROWS * COLS; i++) w[i] = (float)(0.02 * normal() * (chance() < share ? times : 1.0));
    int result = cv_tile_of_floats(tile, w, ROWS, COLS, &loss, &bad);
    free(w);
    free(tile);
    return result == 0 ? cv_loss_decibel(&loss) : 0.0;
}

static void at_least(double least, double share, double times)
{
    double snr = decibel(share, times);
    printf("note %.2f %% of the weights %.0f times as large: %.1f dB\n", 100.0 * share, times, snr);
    check(snr >= least, "at least %.1f dB", least);
}

int main(void)
{
    at_least(44.0, 0.0, 1.0);
    at_least(40.0, 0.001, 10.0);
    at_least(40.0, 0.001, 20.0);
    at_least(37.8, 0.01, 20.0); /* every third group has one: near the worst case */
    at_least(37.8, 0.01, 1000.0);
    return conclude();
}
