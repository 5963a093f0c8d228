/* classify.c - which labelled example is a text most like? By the hidden state behind its last token
 *
 *     cc -O2 -pthread examples/classify.c harp_impl.c -lm -o classify
 *     ./classify demo.harp "What is 9 minus 2?" "sum=What is 3 plus 4?" "story=One day, Anna went to the park."
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "../harp.h"

enum { TOKENS = 4096, HIDDEN = 16384 };

static harp_status embed(harp_session *session, const harp_model *model, const char *text, float *out, harp_error *err)
{
    static int32_t tokens[TOKENS];
    size_t n = 0;
    harp_status status = harp_encode(model, text, strlen(text), HARP_ENCODE_BOS, tokens, TOKENS, &n, err);
    if (status || (status = harp_rewind(session, 0, err)) || (status = harp_feed(session, tokens, (int32_t)n, err))
        || (status = harp_next(session, NULL, err))) return status;
    return memcpy(out, harp_hidden(session), (size_t)harp_model_info(model).hidden * sizeof *out), HARP_OK;
}

static double cosine(const float *a, const float *b, int32_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (; n > 0; n--, a++, b++) ab += (double)*a * *b, aa += (double)*a * *a, bb += (double)*b * *b;
    return ab / sqrt(aa * bb);
}

int main(int argc, char **argv)
{
    static float text[HIDDEN], example[HIDDEN];
    harp_model *model = NULL;
    harp_session *session = NULL;
    harp_params params = harp_defaults();
    harp_error err;
    double like, most = -2;
    int i, best = 0;
    params.hidden = 1, params.harp = 0;
    for (i = 3; i < argc; i++)
        if (!strchr(argv[i], '=')) argc = 3;
    if (argc < 4) return fprintf(stderr, "usage: %s MODEL.harp TEXT LABEL=EXAMPLE...\n", argv[0]), 2;
    if (harp_open(&model, argv[1], &err) || harp_model_info(model).hidden > HIDDEN
        || harp_session_open(&session, model, &params, &err) || embed(session, model, argv[2], text, &err)) argc = 0;
    for (i = 3; i < argc && embed(session, model, strchr(argv[i], '=') + 1, example, &err) == HARP_OK; i++)
        if ((like = cosine(text, example, harp_model_info(model).hidden)) > most) most = like, best = i;
    if (err.status == HARP_OK && best) printf("%.*s %.3f\n", (int)strcspn(argv[best], "="), argv[best], most);
    else fprintf(stderr, "%s\n", err.text);
    harp_session_close(session), harp_close(model);
    return err.status != HARP_OK || !best;
}
