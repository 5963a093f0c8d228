/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * form_cases.h - files of forms and of texts that are in them or not, as tests/form_suites.mjs writes them
 *
 * A record is a letter, a number of bytes, a newline, so many bytes, a newline:
 *     T   a name for what follows: a keyword, a file
 *     G   a grammar    S   a schema    B   a grammar that must be refused
 *     Y   a text that is in the last form    N   one that is not
 */
#ifndef HARP_FORM_CASES_H
#define HARP_FORM_CASES_H

typedef struct form_tally {
    char name[80];
    int forms, accepted; /* how many there were, and how many compile */
    int yes, no;         /* texts that were tried on those */
} form_tally;

typedef struct form_cases {
    form_tally tally[256];
    int n_tallies;
    harp_form *form;
    harp_guide *guide;
    char *source; /* of the form */
} form_cases;

static void form_cases_drop(form_cases *c)
{
    harp_guide_close(c->guide), harp_form_close(c->form), free(c->source);
    c->guide = NULL, c->form = NULL, c->source = NULL;
}

static void form_cases_compile(form_cases *c, char kind, const char *text, size_t bytes, int tell)
{
    harp_form_options options = {0};
    harp_error err;
    form_tally *t = &c->tally[c->n_tallies - 1];
    form_cases_drop(c);
    options.every = 1;
    c->source = malloc(bytes + 1);
    memcpy(c->source, text, bytes), c->source[bytes] = 0;
    if (kind == 'S') harp_form_schema(&c->form, text, bytes, &options, &err);
    else harp_form_grammar(&c->form, text, bytes, &options, &err);
    CHECK((err.status == HARP_OK) == (c->form != NULL) && (err.status == HARP_OK) == !err.text[0]);
    if (kind == 'B') check(!c->form, "%s: compiles, but should not: %s", t->name, c->source);
    if (kind == 'G') check(c->form != NULL, "%s: %s: %s", t->name, err.text, c->source);
    if (tell && err.status) printf("note %s: %s\n", t->name, err.text);
    t->forms++, t->accepted += c->form != NULL;
    if (c->form) CHECK(harp_guide_open(&c->guide, c->form, NULL, &err) == HARP_OK);
}

static void form_cases_try(form_cases *c, char kind, const char *text, size_t bytes)
{
    form_tally *t = &c->tally[c->n_tallies - 1];
    harp_guide_state state;
    if (!c->guide) return;
    state = harp_guide_read(c->guide, text, bytes);
    kind == 'Y' ? t->yes++ : t->no++;
    check((state >= HARP_GUIDE_COMPLETE) == (kind == 'Y'), "%s: %s %.*s under %.300s", t->name,
          kind == 'Y' ? "refused is" : "accepted is", bytes < 200 ? (int)bytes : 200, text, c->source);
}

static void form_cases_run(const char *path, int tell)
{
    static form_cases c;
    size_t bytes, at = 0;
    char *file = load_file(path, &bytes);
    int i, forms = 0, accepted = 0;
    CHECK(file != NULL);
    memset(&c, 0, sizeof c);
    while (file && at < bytes) {
        char kind = file[at++];
        size_t n = strtoul(file + at, NULL, 10);
        at += strcspn(file + at, "\n") + 1;
        if (kind == 'T') {
            for (i = 0; i < c.n_tallies && (strlen(c.tally[i].name) != n || memcmp(c.tally[i].name, file + at, n)); i++)
                continue;
            if (i < c.n_tallies)
                c.tally[255] = c.tally[i], c.tally[i] = c.tally[c.n_tallies - 1],
                c.tally[c.n_tallies - 1] = c.tally[255];
            else if (c.n_tallies < 254)
                snprintf(c.tally[c.n_tallies++].name, sizeof c.tally[0].name, "%.*s", (int)n, file + at);
        } else if (kind == 'Y' || kind == 'N') form_cases_try(&c, kind, file + at, n);
        else form_cases_compile(&c, kind, file + at, n, tell);
        at += n + 1;
    }
    for (i = 0; i < c.n_tallies; i++) {
        form_tally *t = &c.tally[i];
        printf("note %-28s %3d of %3d forms compile; in them %d texts, outside %d\n", t->name, t->accepted, t->forms,
               t->yes, t->no);
        forms += t->forms, accepted += t->accepted;
    }
    printf("note %d of %d forms compile\n", accepted, forms);
    form_cases_drop(&c);
    free(file);
}

#endif
