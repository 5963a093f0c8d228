/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_form.h - what is asked of every form that compiles: an answer that is alive can always go on or end
 *
 * The first bytes of the input say which way the walk goes, the rest is the form. */
#ifndef HARP_FUZZ_FORM_H
#define HARP_FUZZ_FORM_H

#define HARP_FORM_IMPLEMENTATION
#include "../../examples/form/harp_form.h"
#include "fuzz.h"

enum { FZ_WAY = 24, FZ_STEPS = 120 };

/* One byte further than p, at most 1 of 256, beginning with one that the input says. 0: there is none. */
static int fz_any_byte(harp_guide *g, hf_place *p, unsigned first, unsigned char *byte)
{
    unsigned i;
    for (i = 0; i < 256; i++) {
        hf_place next = *p;
        int64_t forgotten = g->machine.forgotten;
        hf_advance(&g->machine, &next, (first + i) & 255);
        if (g->machine.trouble && g->machine.trouble != HF_FULL)
            return -1; /* too ambiguous: that is said, not solved */
        if (next.shape < 0 && forgotten == g->machine.forgotten) continue;
        if (forgotten != g->machine.forgotten) return -1; /* p is no longer known: the walk ends here */
        *byte = (unsigned char)(first + i), *p = next;
        return 1;
    }
    return 0;
}

static void fz_walk(const harp_form *form, const uint8_t *way)
{
    harp_guide *g = NULL;
    harp_error err;
    hf_place p;
    unsigned char text[FZ_STEPS];
    int n, on = 1;
    unsigned state = way[0] | (unsigned)way[1] << 8;
    if (harp_guide_open(&g, form, NULL, &err)) return;
    p = hf_first_place(g);
    for (n = 0; n < FZ_STEPS && on > 0; n++) {
        unsigned first = n < FZ_WAY - 2 ? way[2 + n] : fz_random(&state, 256);
        int may_end = hf_may_end(g, &p);
        if (g->machine.trouble) break;
        on = fz_any_byte(g, &p, first, &text[n]);
        fz_expect(on != 0 || may_end); /* never stuck */
    }
    if (on > 0) fz_expect(harp_guide_read(g, (char *)text, (size_t)n) != HARP_GUIDE_OUTSIDE || g->problem[0]);
    harp_guide_close(g);
}

static int fz_form(const uint8_t *data, size_t bytes,
                   harp_status (*compile)(harp_form **, const char *, size_t, const harp_form_options *, harp_error *))
{
    harp_form_options options;
    harp_form *form = NULL;
    harp_error err;
    memset(&options, 0, sizeof options);
    if (bytes < FZ_WAY) return 0;
    options.every = data[0] & 1;
    if (compile(&form, (const char *)data + FZ_WAY, bytes - FZ_WAY, &options, &err)) {
        fz_expect(!form && err.text[0]);
        return 0;
    }
    fz_walk(form, data);
    harp_form_close(form);
    return 0;
}

#endif
