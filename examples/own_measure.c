/* own_measure.c - decide yourself when the model hesitates
 *
 * HARP asks for a second opinion where a measure of uncertainty exceeds theta. The paper's measure is the entropy of
 * the whole distribution. Here it is the odds of the runner-up against the best token, which looks at two tokens only:
 * 0 when there is no rival, 1 when the two are equal. Tokens whose logits were reframed are printed in [brackets], and
 * those where the second opinion changed the choice also name the token that would have been chosen: [new|old].
 *
 *     cc -O2 -pthread examples/own_measure.c harp_impl.c -lm -o own_measure
 *     ./own_measure demo.harp "Once upon a time"
 */
#include <math.h>
#include <stdio.h>
#include "../harp.h"

/* The ratio of two softmax probabilities needs no sum over the vocabulary: it is exp(difference of the logits). */
static float rival_odds(void *user, const float *logits, int32_t vocab)
{
    float best = -INFINITY, second = -INFINITY;
    int32_t i;
    (void)user;
    for (i = 0; i < vocab; i++) {
        if (logits[i] > best) second = best, best = logits[i];
        else if (logits[i] > second) second = logits[i];
    }
    return (float)exp((double)second - (double)best);
}

static int show(void *user, const char *text, size_t bytes, const harp_step *step)
{
    const harp_model *model = (const harp_model *)user;
    size_t old_bytes = 0;
    const char *old = harp_token_text(model, step->vanilla_token, &old_bytes);
    if (!step->reframed) return fwrite(text, 1, bytes, stdout) != bytes;
    printf("[%.*s", (int)bytes, text);
    if (step->vanilla_token != step->token && old) printf("|%.*s", (int)old_bytes, old);
    return printf("]") < 0;
}

int main(int argc, char **argv)
{
    harp_model *model = NULL;
    harp_session *session = NULL;
    harp_params params = harp_defaults();
    harp_error err;
    params.measure = HARP_MEASURE_CALLER;
    params.measure_fn = rival_odds;
    params.theta = 0.5f; /* the unit of theta is that of the measure: here, a rival at least half as likely */
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL.harp PROMPT\n", argv[0]);
        return 2;
    }
    if (harp_open(&model, argv[1], &err) || harp_session_open(&session, model, &params, &err)
        || harp_generate(session, argv[2], 100, show, model, &err))
        fprintf(stderr, "%s: %s\n", argv[1], err.text);
    if (err.status == HARP_OK) putchar('\n');
    harp_session_close(session);
    harp_close(model);
    return err.status != HARP_OK;
}
