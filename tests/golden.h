/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * golden.h - numbers that nobody here made: outputs of Hugging Face transformers and of the paper's official HARP code
 * on random weights (see tests/fixtures/README), and what a session computes them with
 *
 * To be included after harp.h. */
#ifndef HARP_GOLDEN_H
#define HARP_GOLDEN_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 256, MAX_STEPS = 64 };

typedef struct golden {
    int prompt[MAX_TOKENS], n_prompt;
    int hesitated[MAX_STEPS], token[MAX_STEPS], n_positions[MAX_STEPS], n_steps;
    long mask_offset[MAX_STEPS];
    double entropy[MAX_TOKENS];
    double theta, delta, beta;
    int n_entropy, keyed;
    unsigned char *mask;
    long mask_bytes;
} golden;

static inline FILE *open_part(const char *folder, const char *name, const char *suffix)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    return fopen(path, "rb");
}

static inline int read_ints(char *text, int *out)
{
    int n = 0;
    for (text = strtok(text, " \n"); text && n < MAX_TOKENS; text = strtok(NULL, " \n")) out[n++] = atoi(text);
    return n;
}

static inline void read_line(golden *g, char *line)
{
    char *rest = strchr(line, ' ');
    if (!rest) return;
    *rest++ = 0;
    if (!strcmp(line, "tokens") && g->n_prompt == 0) g->n_prompt = read_ints(rest, g->prompt);
    else if (!strcmp(line, "tokens")) g->n_steps = read_ints(rest, g->token);
    else if (!strcmp(line, "prompt")) g->n_prompt = read_ints(rest, g->prompt);
    else if (!strcmp(line, "mode")) g->keyed = strncmp(rest, "position-keyed", 14) == 0;
    else if (!strcmp(line, "theta")) g->theta = atof(rest);
    else if (!strcmp(line, "delta")) g->delta = atof(rest);
    else if (!strcmp(line, "beta")) g->beta = atof(rest);
    else if (!strcmp(line, "entropy_bits"))
        for (rest = strtok(rest, " \n"); rest; rest = strtok(NULL, " \n")) g->entropy[g->n_entropy++] = atof(rest);
    else if (!strcmp(line, "step") && g->n_steps < MAX_STEPS) {
        int i = g->n_steps++;
        if (sscanf(rest, "%*d %d %d %lf %d %ld", &g->n_positions[i], &g->hesitated[i], &g->entropy[i], &g->token[i],
                   &g->mask_offset[i]) != 5)
            g->n_steps--;
    }
}

static inline int load_golden(golden *g, const char *folder, const char *name)
{
    static char line[1 << 16];
    FILE *f = open_part(folder, name, ".txt");
    memset(g, 0, sizeof *g);
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) read_line(g, line);
    fclose(f);
    f = open_part(folder, name, ".mask");
    if (f) {
        g->mask = malloc(1 << 20);
        g->mask_bytes = g->mask ? (long)fread(g->mask, 1, 1 << 20, f) : 0;
        fclose(f);
    }
    return 1;
}

/* Little-endian floats, on any machine. */
static inline float *load_floats(const char *folder, const char *name, const char *suffix, size_t *n)
{
    FILE *f = open_part(folder, name, suffix);
    unsigned char *raw = malloc(1 << 22);
    float *x = malloc(1 << 22);
    size_t i;
    if (!f || !raw || !x) return NULL;
    *n = fread(raw, 1, 1 << 22, f) / 4;
    fclose(f);
    for (i = 0; i < *n; i++) {
        uint32_t u = raw[4 * i] | (uint32_t)raw[4 * i + 1] << 8 | (uint32_t)raw[4 * i + 2] << 16
                     | (uint32_t)raw[4 * i + 3] << 24;
        memcpy(&x[i], &u, 4);
    }
    free(raw);
    return x;
}

static inline double largest_difference(const float *a, const float *b, int n)
{
    double most = 0;
    int i;
    for (i = 0; i < n; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= most)) most = fabs((double)a[i] - (double)b[i]);
    return most; /* a NaN makes it NaN, which is within no bound */
}

/* Floats all the way, and the most probable token. */
static inline harp_params exact_params(void)
{
    harp_params p = harp_defaults();
    p.activations = HARP_ACT_F32, p.cache = HARP_CACHE_F32, p.temperature = 0.0f, p.logit_rows = 5;
    return p;
}

/* The masks as recorded (FORMAT): one table for position-keyed masks, a block for each hesitating step otherwise. */
static inline int replay(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep,
                         int32_t hidden)
{
    const golden *g = user;
    long offset = 0, row = hidden / 8;
    int i;
    (void)reframing;
    for (i = 0; i < g->n_steps && !g->keyed; i++)
        if (g->n_positions[i] == step + 1) offset = g->mask_offset[i];
    offset += position * row;
    if (offset < 0 || offset + row > g->mask_bytes) return 1;
    for (i = 0; i < hidden; i++) keep[i] = g->mask[offset + (i >> 3)] >> (i & 7) & 1;
    return 0;
}

#endif
