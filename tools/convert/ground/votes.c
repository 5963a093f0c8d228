/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * votes.c - see votes.h */
#include "votes.h"

#include <math.h>
#include <string.h>

/* Self-certainty is ln Z - mean logit - ln vocab, Z of the softmax. A logit less its log-probability is ln Z. */
void vote_note(vote *v, const float *logits, int32_t vocab, int32_t token, double logprob)
{
    double mean = 0.0;
    int32_t i;
    for (i = 0; i < vocab; i++) mean += (double)logits[i] / vocab;
    v->certainty += (double)logits[token] - logprob - mean - log(vocab);
    v->logprob += logprob;
    v->tokens++;
}

double vote_sureness(const vote *v, vote_rule rule)
{
    return (rule == VOTE_LOGPROB ? v->logprob : v->certainty) / (v->tokens > 0 ? v->tokens : 1);
}

static double weight_of(const vote *v, vote_rule rule)
{
    if (rule == VOTE_WEIGHTED) return exp(v->logprob / (v->tokens > 0 ? v->tokens : 1));
    return rule == VOTE_PROBABLE ? exp(v->logprob) : 1.0;
}

/* What stands behind the key of `by`: its weight, and how many answers. */
static double count(const vote *list, int32_t n, vote_rule rule, const vote *by, int32_t *votes)
{
    double weight = 0.0;
    int32_t i;
    *votes = 0;
    if (!by->key[0] || rule >= VOTE_CERTAINTY) return 0.0;
    for (i = 0; i < n; i++)
        if (!list[i].left_out && strcmp(list[i].key, by->key) == 0) ++*votes, weight += weight_of(&list[i], rule);
    return weight;
}

int32_t vote_choose(const vote *list, int32_t n, vote_rule rule, int32_t *votes)
{
    double best_weight = 0.0;
    int32_t i, says, best = -1;
    *votes = 0;
    for (i = 0; i < n; i++) {
        double weight = count(list, n, rule, &list[i], &says);
        if (list[i].left_out) continue;
        if (best >= 0 && weight < best_weight) continue;
        if (best >= 0 && !(weight > best_weight) && vote_sureness(&list[i], rule) <= vote_sureness(&list[best], rule))
            continue;
        best = i, best_weight = weight, *votes = says;
    }
    return best;
}
