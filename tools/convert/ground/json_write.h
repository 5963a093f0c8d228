/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * json_write.h - strings and numbers as JSON [RFC 8259] */
#ifndef HARP_JSON_WRITE_H
#define HARP_JSON_WRITE_H

#include <stddef.h>
#include <stdio.h>

/* In quotes, always valid UTF-8: what is not becomes U+FFFD. Control characters are escaped, those above U+007F, too:
 * JSON allows them, but terminals obey them. */
void json_put_string(FILE *out, const char *text, size_t bytes);
void json_put_number(FILE *out, double value); /* nine digits, enough for any float; null for what JSON cannot say */

#endif
