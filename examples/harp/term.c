/* term.c - what a terminal gets to see: entropy as colour, and nothing that controls it
 *
 * The ramp goes from the terminal's own colour, for a model that is sure, over blue and violet to red. Each colour
 * has a contrast of at least 3.7 : 1 against black and against white [WCAG 2], so both kinds of terminal can read it,
 * and the order of the ramp survives red-green blindness. Where the model hesitated, the token is underlined; where
 * HARP then chose another token than the vanilla logits would have, it is inverse.
 */
#include "cli.h"

#include <stdlib.h>

static const struct shade {
    float below; /* bits */
    int colour;  /* of the 256; 39: the terminal's own */
} ramp[] = {{0.5f, 39}, {1.0f, 31}, {2.0f, 98}, {3.0f, 133}, {4.0f, 167}, {1e30f, 160}};

enum { N_SHADES = sizeof ramp / sizeof ramp[0] };

/* NO_COLOR: see no-color.org; any value but the empty one counts. */
term term_open(FILE *out, int32_t color)
{
    const char *no_color = getenv("NO_COLOR");
    int may = !(no_color && no_color[0]);
    term t;
    t.out = out;
    t.is_terminal = host_is_terminal(out);
    t.colour = color == COLOR_ALWAYS || (color == COLOR_AUTO && may && host_has_colours(out));
    return t;
}

static void set_style(FILE *out, float entropy, int hesitated, int changed)
{
    int i = 0;
    while (i < N_SHADES - 1 && !(entropy < ramp[i].below)) i++;
    if (ramp[i].colour == 39) fputs("\033[39", out);
    else fprintf(out, "\033[38;5;%d", ramp[i].colour);
    fputs(changed ? ";7m" : hesitated ? ";4m" : "m", out);
}

static void write_plain(const term *t, const char *text, size_t bytes)
{
    if (t->is_terminal) show_harmless(t->out, text, bytes, 1); /* no reason to move the cursor or rename the window */
    else fwrite(text, 1, bytes, t->out);
}

/* The space before a word stays unmarked, and a line ends without style: else bars would run to the edge. */
static void write_styled(const term *t, const char *text, size_t bytes, const harp_step *step)
{
    size_t i = 0, n;
    if (bytes > 1 && text[0] == ' ') write_plain(t, text, 1), i = 1;
    while (i < bytes) {
        for (n = 0; i + n < bytes && text[i + n] != '\n'; n++) continue;
        if (n) {
            set_style(t->out, step->entropy, step->hesitated, step->reframed && step->vanilla_token != step->token);
            write_plain(t, text + i, n);
            fputs("\033[0m", t->out);
        }
        if (i + n < bytes) fputc('\n', t->out), n++;
        i += n;
    }
}

int term_write(const term *t, const char *text, size_t bytes, const harp_step *step)
{
    if (bytes == 0) return 0;
    if (t->colour && step) write_styled(t, text, bytes, step);
    else write_plain(t, text, bytes);
    return fflush(t->out) || ferror(t->out);
}

void term_legend(const term *t)
{
    int i;
    if (!t->colour) return;
    fputs("entropy in bits:", t->out);
    for (i = 0; i < N_SHADES; i++) {
        fputc(' ', t->out);
        set_style(t->out, i ? ramp[i - 1].below : 0.0f, 0, 0);
        if (i < N_SHADES - 1) fprintf(t->out, "<%.2g", (double)ramp[i].below);
        else fputs("more", t->out);
        fputs("\033[0m", t->out);
    }
    fputs(";  \033[4mhesitated\033[0m, \033[7mHARP chose another token\033[0m\n", t->out);
}
