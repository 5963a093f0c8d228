/* votes.c - many continuations of one prompt for the price of a few: forks that share its computation
 *
 *     votes MODEL.harp "Once upon a time" 8
 *
 * The prompt is computed once. Each answer is a fork of its session with other draws (params.sample), and harp_together
 * advances all of them in common passes. Here the answer with the best mean log-probability wins; where answers end in
 * something that can be counted, let the majority decide. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../harp.h"

enum { MOST = 64, LENGTH = 60 };

static int fail(const harp_error *err)
{
    fprintf(stderr, "votes: %s\n", err->text);
    return 1;
}

/* Steps until every answer has ended or has LENGTH tokens; sums up the log-probabilities. */
static int answer(harp_member *members, int n, double *sums, int *lengths, harp_error *err)
{
    harp_member open[MOST];
    int who[MOST], i, k, left;
    for (i = 0; i < n; i++) who[i] = i, open[i] = members[i];
    for (left = n; left > 0; left = k) {
        if (harp_together(open, left, 0, err)) return 1;
        for (i = k = 0; i < left; i++) {
            if (open[i].error.status) return *err = open[i].error, 1;
            sums[who[i]] += (double)open[i].step.logprob, lengths[who[i]]++;
            if (open[i].step.end || lengths[who[i]] == LENGTH) continue;
            open[k] = open[i], who[k++] = who[i];
        }
    }
    return 0;
}

static int show(const harp_model *m, const harp_session *s, int32_t from, harp_error *err)
{
    char *text = malloc((size_t)harp_model_info(m).longest_token + 8);
    harp_decoder decoder;
    int32_t n, i;
    const int32_t *tokens = harp_tokens(s, &n);
    size_t bytes;
    harp_decoder_start(&decoder, m, HARP_DECODE_CONTINUE);
    for (i = from; text && i < n; i++) {
        if (harp_decode(&decoder, tokens[i], text, (size_t)harp_model_info(m).longest_token + 8, &bytes, err)) break;
        fwrite(text, 1, bytes, stdout);
    }
    free(text);
    return putchar('\n') == EOF || i < n;
}

int main(int argc, char **argv)
{
    harp_model *m = NULL;
    harp_engine *engine = NULL;
    harp_member members[MOST];
    harp_session *prompt = NULL;
    harp_params p = harp_defaults();
    harp_error err;
    double sums[MOST] = {0};
    int lengths[MOST] = {0}, n = argc > 3 ? atoi(argv[3]) : 8, i, best = 0, status;
    int32_t used = 0;
    if (argc < 3 || n < 1 || n > MOST) return fprintf(stderr, "usage: votes MODEL.harp PROMPT [1..64]\n"), 2;
    memset(members, 0, sizeof members);
    p.seats = n;
    status = harp_open(&m, argv[1], &err) || harp_engine_open(&engine, m, &p, &err);
    p.engine = engine;
    status = status || harp_session_open(&prompt, m, &p, &err) || harp_generate(prompt, argv[2], 0, NULL, NULL, &err);
    harp_tokens(prompt, &used);
    p.parent = prompt, p.parent_at = used;
    for (i = 0; i < n && !status; i++) {
        p.sample = (uint32_t)i;
        status = harp_session_open(&members[i].session, m, &p, &err) != HARP_OK;
    }
    status = status || answer(members, n, sums, lengths, &err);
    for (i = 1; i < n && !status; i++)
        if (sums[i] / lengths[i] > sums[best] / lengths[best]) best = i;
    status = status ? fail(&err) : show(m, members[best].session, used, &err);
    for (i = 0; i < n; i++) harp_session_close(members[i].session);
    harp_session_close(prompt);
    harp_engine_close(engine, NULL);
    harp_close(m);
    return status;
}
