/* score.c - entropy and log-probability at each position of a given text */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct scoring {
    const ids *tokens;
    int32_t vocab;
    FILE *logits; /* or NULL */
    unsigned char *row; /* [vocab][4], a row of logits on its way to the file */
    int as_text, is_watched; /* is_watched: the output is a terminal */
    const harp_model *model;
    double entropy, logprob; /* sums over the tokens that have others before them */
} scoring;

/* Little-endian whatever this machine is: readers of the file need not know where it was made. */
static void write_logits(scoring *s, const float *logits)
{
    int32_t i;
    for (i = 0; i < s->vocab; i++) {
        uint32_t bits;
        unsigned char *to = s->row + 4 * (size_t)i;
        memcpy(&bits, &logits[i], sizeof bits);
        to[0] = (unsigned char)(bits & 255), to[1] = (unsigned char)(bits >> 8 & 255);
        to[2] = (unsigned char)(bits >> 16 & 255), to[3] = (unsigned char)(bits >> 24);
    }
    fwrite(s->row, 4, (size_t)s->vocab, s->logits);
}

static void tell_as_json(const scoring *s, int32_t position, const float *logits)
{
    size_t next = (size_t)position + 1;
    printf("{\"position\":%ld,\"token\":%ld,\"entropy\":", (long)position, (long)s->tokens->list[position]);
    json_put_number(stdout, (double)harp_entropy(logits, s->vocab));
    fputs(",\"logprob\":", stdout);
    if (next < s->tokens->n) json_put_number(stdout, (double)harp_logprob(logits, s->vocab, s->tokens->list[next]));
    else fputs("null", stdout);
    fputs("}\n", stdout);
}

/* A line for the token that follows the position: how unsure the model was there, and what it gave this token. */
static void tell_as_text(scoring *s, int32_t position, const float *logits)
{
    size_t next = (size_t)position + 1, bytes = 0;
    const char *text;
    double entropy, logprob;
    if (next >= s->tokens->n) return;
    if (position == 0) puts("position    token  entropy   logprob  text");
    entropy = (double)harp_entropy(logits, s->vocab);
    logprob = (double)harp_logprob(logits, s->vocab, s->tokens->list[next]);
    s->entropy += entropy, s->logprob += logprob;
    printf("%8lu %8ld %8.3f %9.4f  ", (unsigned long)next, (long)s->tokens->list[next], entropy, logprob);
    text = harp_token_text(s->model, s->tokens->list[next], &bytes);
    json_put_string(stdout, text ? text : "", text ? bytes : 0);
    putchar('\n');
}

/* The text is one window: each token sees all that are before it. */
static void tell_totals(const scoring *s)
{
    double n = (double)(s->tokens->n - 1), nats_in_a_bit = log(2.0);
    printf("scored      %.0f of %lu tokens: all but the first; each sees all before it, in one window\n", n,
           (unsigned long)s->tokens->n);
    if (n < 1) return;
    printf("total       log-probability %.4f nats, %.4f bits\n", s->logprob, s->logprob / nats_in_a_bit);
    printf("mean        log-probability %.4f nats, entropy %.4f bits\n", s->logprob / n, s->entropy / n);
    printf("perplexity  %.4f = exp(-mean log-probability in nats), of the model without HARP\n", exp(-s->logprob / n));
}

static int tell_position(void *user, int32_t position, const float *logits)
{
    scoring *s = (scoring *)user;
    if (s->as_text) tell_as_text(s, position, logits);
    else tell_as_json(s, position, logits);
    if (s->is_watched) fflush(stdout);
    if (s->logits) write_logits(s, logits);
    return host_interrupted() || ferror(stdout) || (s->logits && ferror(s->logits));
}

static int cancel(void *user)
{
    return (void)user, host_interrupted();
}

static int read_input(const engine *e, const options *o, ids *tokens)
{
    blob text = {NULL, 0};
    int status;
    if (o->tokens || o->tokens_file) return read_tokens(o, e->info.vocab, tokens);
    if (engine_check_text(e) || read_prompt(o, &text)) return EXIT_FAILED;
    if (o->file) drop_last_newline(&text);
    status = ids_encode(tokens, e->model, text.data, text.bytes, HARP_ENCODE_BOS);
    free(text.data);
    if (status == EXIT_FINE && tokens->n == 0) status = complain("there is nothing to score in an empty text");
    return status;
}

/* A scoring session is plain (the vanilla logits are asked for) and just as long as its input. */
static int open_session(engine *e, const options *o, size_t n)
{
    size_t most = (size_t)e->info.context;
    e->cancel = cancel;
    if (engine_set_params(e, o)) return EXIT_FAILED;
    e->params.harp = 0;
    if (e->params.context == 0) e->params.context = (int32_t)(n < most ? n : most);
    if (engine_check_room(e, "the text has", n)) return EXIT_FAILED;
    e->params.logit_rows = 16; /* the output matrix is large: read it once for 16 positions */
    return engine_open_session(e);
}

static int score(engine *e, const options *o, scoring *s)
{
    harp_error err;
    harp_status status;
    int failed;
    if (o->logits) {
        s->row = malloc(4 * (size_t)s->vocab);
        if (!s->row) return complain("there is not enough memory for a row of logits");
        if (open_output(o, o->logits, &s->logits)) return EXIT_FAILED;
    }
    host_catch_interrupt(1);
    status = harp_score(e->session, s->tokens->list, (int32_t)s->tokens->n, tell_position, s, &err);
    if (status == HARP_OK && s->as_text) tell_totals(s);
    failed = s->logits && (ferror(s->logits) | fclose(s->logits));
    if (failed) return complain("%s: could not be written", o->logits);
    if (ferror(stdout)) return complain("the output could not be written");
    return status ? engine_complain(e, &err) : EXIT_FINE;
}

int command_score(const options *o)
{
    engine e;
    ids tokens = {NULL, 0, 0};
    scoring s;
    int status = engine_open_model(&e, o);
    if (status == EXIT_FINE) status = read_input(&e, o, &tokens);
    if (status == EXIT_FINE) status = open_session(&e, o, tokens.n);
    memset(&s, 0, sizeof s);
    s.tokens = &tokens, s.model = e.model, s.vocab = e.info.vocab;
    s.as_text = o->text, s.is_watched = host_is_terminal(stdout);
    if (status == EXIT_FINE) status = score(&e, o, &s);
    free(s.row);
    free(tokens.list);
    engine_close(&e);
    return status;
}
