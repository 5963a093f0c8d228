/* edit.h - a line editor: the bytes of a keyboard go in, a text and how to draw it come out
 *
 * It knows no terminal. The caller hands it what was typed, byte by byte (edit_feed), and has it draw itself in between
 * (edit_draw), with four escape sequences that every terminal has (ECMA-48). So it can be tested without a terminal.
 *
 *     left right home end, ctrl-A ctrl-E ctrl-B ctrl-F    move; with ctrl, left and right go by words
 *     backspace delete, ctrl-D                            a character
 *     ctrl-W ctrl-U ctrl-K                                the word before, all before, all behind the cursor
 *     up down, ctrl-P ctrl-N                              earlier and later texts
 *     ctrl-L                                              a clean screen
 *     alt-enter, or \ before enter                        a new line in the same text
 *     a paste                                             is inserted as it is, its lines, too (bracketed paste)
 *     enter; ctrl-C; ctrl-D where nothing is typed        end the editing
 */
#ifndef HARP_EDIT_H
#define HARP_EDIT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum edit_result {
    EDIT_GOES_ON,
    EDIT_ENTERED,   /* the text is complete                   */
    EDIT_STOPPED,   /* ctrl-C                                 */
    EDIT_END,       /* ctrl-D, and nothing was typed          */
    EDIT_SUSPENDED, /* ctrl-Z; it can go on where it was      */
    EDIT_NO_MEMORY
} edit_result;

typedef struct edit_text {
    char *data; /* UTF-8, zero-terminated once something was put in */
    size_t bytes, capacity;
} edit_text;

enum { EDIT_MOST_HISTORY = 256, EDIT_MOST_SEQUENCE = 16 };

/* Zeroed: ready. */
typedef struct edit {
    edit_text text;
    size_t at; /* the cursor: before this byte, where a character begins */

    edit_text history[EDIT_MOST_HISTORY + 1]; /* oldest first; behind them what is being written while others show */
    size_t n_history, shown;                  /* shown == n_history: not an earlier text                            */

    char input[EDIT_MOST_SEQUENCE]; /* a character or an escape sequence of which more bytes are to come */
    size_t n_input;
    int is_pasting, was_return; /* in a paste; the last byte was a carriage return */

    size_t drawn_row; /* of the cursor, counted from the first row on the screen; see edit_draw */
    int is_cleared;   /* ctrl-L: the screen is to be cleared first                                 */
} edit;

edit_result edit_feed(edit *e, char byte);

/* Draws prompt and text anew, over what was drawn before, on a terminal of this size. Further lines of a text begin
 * with `more` in the prompt's place. Of a text that is higher than the screen, the rows around the cursor show. */
void edit_draw(edit *e, FILE *out, const char *prompt, const char *more, int columns, int rows);

/* The same with the cursor behind the text, then a new line; the next text begins there, empty. */
void edit_leave(edit *e, FILE *out, const char *prompt, const char *more, int columns, int rows);
void edit_clear(edit *e); /* the text is empty */

/* Remembers a text, unless it is empty or the newest one already. 0: no memory. */
int edit_remember(edit *e, const char *text, size_t bytes);
void edit_free(edit *e);

/* ---- width.c ---- */

/* Columns that a terminal gives to a character: 0, 1 or 2. */
int character_width(uint32_t c);

#endif
