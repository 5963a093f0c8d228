/* json.c - a struct out of a model: the answer has the form that the program reads
 *
 *     cc -O2 -pthread examples/json.c harp_impl.c -lm -o json && ./json demo.harp "Anna bought a red ball for 3 coins."
 */
#include "../harp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HARP_FORM_IMPLEMENTATION
#include "form/harp_form.h"

static const char schema[] = "{\"type\": \"object\", \"required\": [\"name\", \"price\"], \"properties\": {"
                             "\"name\": {\"type\": \"string\", \"pattern\": \"^[A-Za-z ]{1,20}$\"},"
                             "\"price\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 999}}}";
typedef struct toy {
    char name[32];
    int price;
} toy;

typedef struct answer {
    char text[4096];
    size_t bytes;
} answer;

static int collect(void *user, const char *text, size_t bytes, const harp_step *step)
{
    answer *a = user;
    (void)step;
    if (bytes >= sizeof a->text - a->bytes) return 1;
    return memcpy(a->text + a->bytes, text, bytes), a->bytes += bytes, 0;
}

/* What stands behind a name and its colon; a value may be the same text. */
static const char *value_of(const char *json, const char *name)
{
    const char *at = strstr(json, name), *p;
    for (; at && (p = at + strlen(name), p += strspn(p, " \t\r\n"), *p != ':'); at = strstr(at + 1, name)) continue;
    return at ? p + 1 : "";
}

/* Properties come in any order. */
static int read_toy(const char *json, toy *t)
{
    return sscanf(value_of(json, "\"name\""), " \"%31[^\"]", t->name) == 1
           && sscanf(value_of(json, "\"price\""), "%d", &t->price) == 1;
}

int main(int argc, char **argv)
{
    static answer said;
    harp_model *model = NULL;
    harp_session *session = NULL;
    harp_form *form = NULL;
    harp_vocabulary *words = NULL;
    harp_guide *guide = NULL;
    harp_params params = harp_defaults();
    harp_error err;
    toy t;
    if (argc < 3) return fprintf(stderr, "usage: %s MODEL.harp TEXT\n", argv[0]), 2;
    if (!harp_open(&model, argv[1], &err) && !harp_form_schema(&form, schema, strlen(schema), NULL, &err)
        && !harp_vocabulary_open(&words, model, &err) && !harp_guide_open(&guide, form, words, &err)) {
        params.adjust_fn = harp_guide_adjust, params.adjust_user = guide; /* the answer begins behind the prompt */
        if (!harp_session_open(&session, model, &params, &err))
            harp_generate(session, argv[2], 200, collect, &said, &err);
    }
    if (err.status) fprintf(stderr, "%s\n", err.text);
    else if (read_toy(said.text, &t)) printf("%s costs %d\n", t.name, t.price);
    else fprintf(stderr, "the answer was cut: %s\n", said.text), err.status = HARP_ERR_FORMAT;
    harp_session_close(session), harp_guide_close(guide), harp_vocabulary_close(words), harp_form_close(form);
    harp_close(model);
    return err.status != HARP_OK;
}
