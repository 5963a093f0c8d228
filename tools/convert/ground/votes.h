/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * votes.h - several answers to one question: how sure the model was of each, and which one is chosen
 *
 * What can be counted in an answer (a number, a letter) is its key: the caller finds it. How sure the model was is
 * summed up token by token, in two ways: self-certainty [Kang, Zhao, Song 2025, arXiv 2502.18581], the mean distance of
 * a token's distribution from the uniform one, and the log-probability. */
#ifndef HARP_VOTES_H
#define HARP_VOTES_H

#include <stdint.h>

enum { VOTE_KEY = 64, MOST_VOTES = 64 };

typedef struct vote {
    char key[VOTE_KEY]; /* zero-terminated; "": there is nothing to count */
    int32_t tokens;
    double certainty, logprob; /* sums over the tokens */
    int left_out;              /* it does not count */
} vote;

typedef enum vote_rule {
    VOTE_MAJORITY,  /* what most answers say; among equals, and where nothing can be counted, the surest one */
    VOTE_WEIGHTED,  /* the same, where each answer counts with the mean probability of its tokens (geometric) */
    VOTE_PROBABLE,  /* the same, where each answer counts with its probability */
    VOTE_CERTAINTY, /* the surest by self-certainty */
    VOTE_LOGPROB,   /* the surest by mean log-probability */
    N_VOTE_RULES
} vote_rule;

/* Adds a token, chosen with this log-probability (natural) from logits[vocab]. */
void vote_note(vote *v, const float *logits, int32_t vocab, int32_t token, double logprob);

/* How sure the model was: by mean log-probability with that rule, otherwise by mean self-certainty. */
double vote_sureness(const vote *v, vote_rule rule);

/* The index of the one chosen of list[n], -1 if all are left out; *votes: how many say the same, 0 if nothing is
 * counted. */
int32_t vote_choose(const vote *list, int32_t n, vote_rule rule, int32_t *votes);

#endif
