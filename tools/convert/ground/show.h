/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * show.h - lines for people that may hold what others wrote
 *
 * Names and values in messages come from files and from the command line. A terminal obeys what it finds in them, so
 * every line of a program that quotes anything goes through here. */
#ifndef HARP_SHOW_H
#define HARP_SHOW_H

#include <stddef.h>
#include <stdio.h>

enum { SHOW_MOST_BYTES = 8192 }; /* the rest of a line is left out */

/* Prints what printf would, and an end of line; the text itself has none. Each byte of these is shown as \xHH: control
 * characters (U+0000 to U+001F, U+007F to U+009F), characters that end a line or turn the direction of writing (U+061C,
 * U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069), and whatever is not UTF-8. */
void show_line(FILE *out, const char *format, ...);

/* Prints text that a terminal shows and does not obey: control characters, and what is no UTF-8, become U+FFFD. Of text
 * that has lines, their ends and tabs stay, and carriage returns are left out. */
void show_harmless(FILE *out, const char *text, size_t bytes, int has_lines);

#endif
