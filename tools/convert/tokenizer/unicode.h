/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * unicode.h - what Unicode says about characters; the tables are made by unicode_tables.py */
#ifndef HARP_CONVERT_UNICODE_H
#define HARP_CONVERT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum { CV_LAST_CHARACTER = 0x10FFFF, CV_N_CATEGORY_NAMES = 30, CV_JOINS = 1 << 24 };

extern const char cv_category_names[CV_N_CATEGORY_NAMES][3]; /* "Lu", ... */
extern const size_t cv_n_categories, cv_n_decompositions, cv_n_classes;
extern const uint32_t cv_categories[];        /* first << 5 | category: runs of one category               */
extern const uint32_t cv_decompositions[][3]; /* character, what it is made of (0: one only), ascending;
                                                 CV_JOINS in the first: NFC puts the two together again     */
extern const uint32_t cv_classes[][3];        /* first, last, combining class: those that are not 0        */

#endif
