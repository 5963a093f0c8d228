/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * jinja.h - a small evaluator of the template language in which chat templates are written
 *
 * It does what chat templates do: text, {{ expressions }}, if, for, set, macro, break, continue, the usual filters,
 * tests and string methods, and white space as in trim_blocks = lstrip_blocks = true. What it does not know it refuses
 * by name. Templates are hostile until proven otherwise: nesting, steps, memory and output are bounded. */
#ifndef HARP_JINJA_H
#define HARP_JINJA_H

#include "convert.h"

typedef struct cv_jinja cv_jinja; /* a parsed template */

typedef struct cv_message { /* both zero-terminated */
    const char *role, *content;
} cv_message;

typedef struct cv_conversation { /* what a template is given; it also sees tools = none and documents = none */
    const cv_message *messages;
    size_t count;
    int add_generation_prompt;
    const cv_specials *specials;
} cv_conversation;

/* What the functions below return, besides 0. All come with a sentence in err. */
enum {
    CV_JINJA_BAD = -1,    /* not a template at all, or no memory                                   */
    CV_JINJA_RAISED = 1,  /* the template itself said no: raise_exception                          */
    CV_JINJA_REFUSED = 2  /* something this evaluator does not do, a type error, or a limit was hit */
};

int cv_jinja_parse(const char *text, size_t bytes, cv_jinja **parsed, cv_error *err);
/* The caller frees *out, which is zero-terminated. */
int cv_jinja_render(const cv_jinja *parsed, const cv_conversation *input, char **out, size_t *bytes, cv_error *err);
void cv_jinja_free(cv_jinja *parsed);

/* The literal texts that the template searches for, or splits or cuts other texts by: contents in which they occur may
 * be treated in a special way. Fills at most max of them, each once, and returns how many; they live in `parsed`. */
typedef struct cv_mark {
    const char *data;
    size_t bytes;
} cv_mark;
size_t cv_jinja_marks(const cv_jinja *parsed, cv_mark *marks, size_t max);

#endif
