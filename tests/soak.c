/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * soak.c - a long conversation: rewinds, saves, full contexts, cancels, changed settings, for as many seconds as asked
 *
 *     soak MODEL.harp SECONDS
 *
 * Memory must stay flat: the library's own to the byte, the process's resident pages after the first round. To be built
 * with AddressSanitizer. Now and then a second session takes over from a saved image and must go on with
 * the same bits. */
#define _POSIX_C_SOURCE 200809L
#include "../harp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned state = 1;
static size_t in_use, blocks;
static int countdown;

static unsigned chance(unsigned n)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

static void *count_alloc(void *user, size_t bytes)
{
    (void)user;
    in_use += bytes, blocks++;
    return malloc(bytes);
}

static void count_free(void *user, void *block, size_t bytes)
{
    (void)user;
    in_use -= bytes, blocks--;
    free(block);
}

static int cancel(void *user)
{
    (void)user;
    return countdown > 0 && --countdown == 0;
}

static int shown(void *user, const char *text, size_t bytes, const harp_step *step)
{
    (void)text, (void)step;
    *(size_t *)user += bytes;
    return chance(40) == 0;
}

static long resident(void) /* pages; 0 where the system does not tell */
{
    long all = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages;
}

static harp_session *open_session(const harp_model *m, int frame)
{
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    harp_error err;
    p.context = 200, p.frame = (harp_frame)frame, p.cancel = cancel, p.batch = 16, p.reframings = 2;
    p.allocator.alloc = count_alloc, p.allocator.free = count_free;
    if (harp_session_open(&s, m, &p, &err)) printf("%s\n", err.text), exit(1);
    return s;
}

static int same_future(harp_session *a, harp_session *b)
{
    harp_step x, y;
    int i;
    for (i = 0; i < 3; i++) {
        harp_status p = harp_next(a, &x, NULL), q = harp_next(b, &y, NULL);
        if (p != q || (p == HARP_OK && memcmp(&x.token, &y.token, 4) != 0)) return 0;
        if (p == HARP_OK && memcmp(harp_logits(a, HARP_COMBINED), harp_logits(b, HARP_COMBINED), 64) != 0) return 0;
    }
    return 1;
}

/* One turn: a prompt, an answer, and something that goes wrong or back. Returns 0 if a promise is broken. */
static int turn(harp_session *s, harp_session *other, unsigned char *image, size_t room, size_t *text)
{
    static const char *const prompts[] = {"One day, Anna", " went to the park.", "", " \"Can you help me?\"",
                                          "\n\nThe fox"};
    size_t bytes = 0;
    int32_t n = 0;
    harp_status status;
    countdown = chance(3) ? 0 : (int)chance(4000);
    status = harp_generate(s, prompts[chance(5)], (int32_t)chance(40), shown, text, NULL);
    countdown = 0;
    harp_tokens(s, &n);
    if (status == HARP_ERR_CONTEXT || n > 180)
        harp_rewind(s, (int32_t)chance(60) < n ? (int32_t)chance(60) % (n + 1) : 0, NULL);
    else if (status != HARP_OK && status != HARP_ERR_CANCELLED && status != HARP_ERR_ARGUMENT) return 0;
    if (chance(4) != 0) return 1;
    harp_tokens(s, &n);
    if (n < 1 || n > 190) return 1;
    if (harp_save(s, image, room, &bytes, NULL) || harp_restore(other, image, bytes, NULL)) return 0;
    return same_future(s, other);
}

int main(int argc, char **argv)
{
    harp_model *m = NULL;
    harp_error err;
    harp_session *s[3], *other[3];
    size_t room = 0, steady = 0, text = 0;
    long turns = 0, pages = 0, middle = 0;
    unsigned char *image;
    time_t half, end;
    int i, good = 1;
    if (argc < 3) return 2;
    if (harp_open(&m, argv[1], &err)) return printf("%s\n", err.text), 1;
    for (i = 0; i < 3; i++) s[i] = open_session(m, i), other[i] = open_session(m, i);
    steady = in_use, room = in_use;
    image = malloc(room);
    if (!image) return 2;
    half = time(NULL) + strtol(argv[2], NULL, 10) / 2;
    end = time(NULL) + strtol(argv[2], NULL, 10);
    while (good && time(NULL) < end) {
        for (i = 0; i < 3 && good; i++, turns++) good = turn(s[i], other[i], image, room, &text);
        good = good && in_use == steady && blocks == 6;
        if (turns == 30) pages = resident();
        if (middle == 0 && time(NULL) >= half) middle = resident();
    }
    printf("note   %ld turns, %lu bytes of text, %lu bytes in use\n", turns, (unsigned long)text,
           (unsigned long)in_use);
    printf("note   resident pages: %ld after 30 turns, %ld at half time, %ld at the end\n", pages, middle, resident());
    if (pages > 0 && resident() > pages + pages / 4 + 8192) good = 0; /* a sanitizer keeps freed blocks for a while */
    for (i = 0; i < 3; i++) harp_session_close(s[i]), harp_session_close(other[i]);
    harp_close(m);
    free(image);
    good = good && in_use == 0 && blocks == 0;
    printf("%d passed, %d failed\n", good, !good);
    return !good;
}
