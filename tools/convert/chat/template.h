/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * template.h - a small evaluator of the template language in which chat templates are written
 *
 * It does what chat templates need to show a conversation: text, {{ expressions }}, if, for, set, macro, break,
 * continue, filters, tests and string methods, and white space as in trim_blocks = lstrip_blocks = true. What only
 * tools and documents need it refuses by name, where it is evaluated and not before. */
#ifndef HARP_TEMPLATE_H
#define HARP_TEMPLATE_H

#include "text.h"
#include "../ground/error.h"

typedef struct cv_template cv_template; /* a parsed template */

typedef struct cv_message { /* both zero-terminated */
    const char *role, *content;
} cv_message;

/* The tokenizer's special tokens, which templates call bos_token, pad_token ... and additional_special_tokens. */
typedef struct cv_specials {
    const char *bos, *eos;                    /* zero-terminated, perhaps empty */
    const char *unk, *sep, *pad, *cls, *mask; /* NULL: there is none            */
    const char *const *additional;            /* [n_additional]                 */
    size_t n_additional;                      /* 0: there are none              */
    const char *today;                        /* "2026-11-30", what strftime_now tells; NULL: it is undefined */
} cv_specials;

/* Is this a date of that form? */
int cv_is_date(const char *text);

typedef struct cv_conversation { /* what a template is given; it also sees tools = none and documents = none */
    const cv_message *messages;
    size_t count;
    int add_generation_prompt;
    const cv_specials *specials;
} cv_conversation;

/* What the functions below return, besides 0. All come with a sentence in err. */
enum {
    CV_TEMPLATE_BAD = -1,    /* not a template at all, or no memory                                   */
    CV_TEMPLATE_RAISED = 1,  /* the template itself said no: raise_exception                          */
    CV_TEMPLATE_REFUSED = 2  /* something this evaluator does not do, a type error, or a limit was hit */
};

int cv_template_parse(const char *text, size_t bytes, cv_template **parsed, cv_error *err);
/* The caller frees *out, which is zero-terminated. */
int cv_template_render(const cv_template *parsed, const cv_conversation *input, char **out, size_t *bytes,
                       cv_error *err);
void cv_template_free(cv_template *parsed);

/* The literal texts that the template searches for, or splits or cuts other texts by: contents in which they occur may
 * be treated in a special way. Fills at most max of them, each once, and returns how many; they live in `parsed`. */
size_t cv_template_marks(const cv_template *parsed, cv_text *marks, size_t max);

#endif
