/* form.c - --json, --schema, --grammar, --choice: the form of an answer
 *
 * The first three set adjust_fn to a guide (examples/form/harp_form.h). A choice needs no guide: each text is scored,
 * and the most probable one is the answer.
 */
#define HARP_FORM_IMPLEMENTATION
#include "../form/harp_form.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct form {
    harp_form *compiled;
    harp_vocabulary *words;
    harp_guide *guide;
    char *texts;       /* of a choice, zero bytes in place of the | ... */
    const char **text; /* ... and where each begins, [n] */
    double *probability;
    int32_t n;
};

int form_is_asked(const options *o) { return o->json || o->schema || o->grammar || o->choice; }

static int compile_file(form *f, const char *path, const char *option,
                        harp_status (*compile)(harp_form **, const char *, size_t, const harp_form_options *,
                                               harp_error *))
{
    blob text = {NULL, 0};
    harp_error err;
    int status = read_file(path, MOST_TEXT, &text);
    size_t mark = 0; /* some editors begin a file with a byte order mark */
    if (status == EXIT_FINE && text.bytes >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) mark = 3;
    if (status == EXIT_FINE && compile(&f->compiled, text.data + mark, text.bytes - mark, NULL, &err))
        status = complain("%s %s: %s", option, path, err.text);
    free(text.data);
    return status;
}

static int split_choice(form *f, const options *o)
{
    size_t bytes = strlen(o->choice) + 1, i;
    int32_t n = 1, k = 0;
    f->texts = malloc(bytes);
    if (!f->texts) return complain("there is not enough memory");
    memcpy(f->texts, o->choice, bytes);
    if (o->escapes && unescape(f->texts) != strlen(f->texts)) return complain("--choice: a text holds a zero byte");
    for (i = 0; f->texts[i]; i++) n += f->texts[i] == '|';
    f->text = calloc((size_t)n, sizeof *f->text), f->probability = calloc((size_t)n, sizeof *f->probability);
    if (!f->text || !f->probability) return complain("there is not enough memory");
    for (f->text[k++] = f->texts, i = 0; f->texts[i]; i++)
        if (f->texts[i] == '|') f->texts[i] = 0, f->text[k++] = f->texts + i + 1;
    f->n = n;
    for (k = 0; k < n; k++)
        if (!f->text[k][0]) return complain("--choice: a text is empty; \"yes|no|maybe\" has three");
    return EXIT_FINE;
}

int form_set_params(engine *e, const options *o)
{
    harp_error err;
    form *f;
    int status;
    if (!form_is_asked(o)) return EXIT_FINE;
    e->form = f = calloc(1, sizeof *f);
    if (!f) return complain("there is not enough memory");
    if (o->choice) return split_choice(f, o);
    status = o->schema                                  ? compile_file(f, o->schema, "--schema", harp_form_schema)
             : o->grammar                               ? compile_file(f, o->grammar, "--grammar", harp_form_grammar)
             : harp_form_json(&f->compiled, NULL, &err) ? complain("%s", err.text)
                                                        : EXIT_FINE;
    if (status) return status;
    if (harp_vocabulary_open(&f->words, e->model, &err) || harp_guide_open(&f->guide, f->compiled, f->words, &err))
        return complain("%s", err.text);
    e->params.adjust_fn = harp_guide_adjust, e->params.adjust_user = f->guide;
    return EXIT_FINE;
}

void form_begin(const engine *e, int32_t position)
{
    if (e->form && e->form->guide) harp_guide_begin(e->form->guide, position);
}

int form_is_closed(const engine *e)
{
    int32_t n = 0;
    const int32_t *tokens;
    if (!e->form || !e->form->guide) return 0;
    tokens = harp_tokens(e->session, &n);
    return harp_guide_at(e->form->guide, tokens, n) == HARP_GUIDE_CLOSED;
}

const char *form_problem(const engine *e)
{
    return e->form && e->form->guide ? harp_guide_problem(e->form->guide) : "";
}

size_t form_room(const engine *e)
{
    size_t n, most = 0;
    int32_t i;
    for (i = 0; e->form && i < e->form->n; i++) {
        const char *text = e->form->text[i];
        harp_encode(e->model, text, strlen(text), HARP_ENCODE_CONTINUE, NULL, 0, &n, NULL); /* only counted */
        if (n > most) most = n;
    }
    return most;
}

int form_choose(const engine *e, const char **answer)
{
    form *f = e->form;
    harp_error err;
    int32_t best = 0;
    if (harp_form_choose(e->session, e->model, f->text, f->n, f->probability, &best, &err))
        return engine_complain(e, &err);
    *answer = f->text[best];
    return EXIT_FINE;
}

void form_print_choice(const engine *e)
{
    const form *f = e->form;
    int32_t i;
    for (i = 0; i < f->n; i++) printf("%8.4f  %s\n", f->probability[i], f->text[i]);
}

void form_close(engine *e)
{
    form *f = e->form;
    if (!f) return;
    harp_guide_close(f->guide), harp_vocabulary_close(f->words), harp_form_close(f->compiled);
    free(f->texts), free(f->text), free(f->probability), free(f);
    e->form = NULL;
}
