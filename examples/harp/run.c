/* run.c - continues a text, or a list of token ids */
#include "cli.h"

#include <unistd.h>

#include <stdlib.h>
#include <string.h>

static void note_full_context(const engine *e)
{
    if (engine_used(e) >= engine_context(e))
        fprintf(stderr, "harp: the context of %ld tokens is full (-c sets it)\n", (long)engine_context(e));
}

/* Token ids in, token ids out: for tests, and for models without a tokenizer. */
static int run_tokens(engine *e, show *s, const options *o)
{
    ids prompt = {NULL, 0, 0};
    harp_error err;
    harp_status status;
    harp_step step;
    const int32_t *all;
    int32_t i, n = 0, limit = o->n < 0 ? INT32_MAX : o->n;
    size_t prompt_end = 0;
    if (read_tokens(o, e->info.vocab, &prompt)) return free(prompt.list), EXIT_FAILED;
    show_begin_turn(s);
    status = harp_feed(e->session, prompt.list, (int32_t)prompt.n, &err);
    if (status == HARP_OK && decoder_pause(e, o)) return free(prompt.list), EXIT_FAILED;
    if (status == HARP_OK && o->decoder == DECODER_BEAM) {
        if (decoder_search(e, o)) return free(prompt.list), EXIT_FAILED;
        show_found(s, engine_used(e) - (int32_t)prompt.n);
        limit = 0;
    }
    prompt_end = prompt.n + (o->decoder == DECODER_PAUSE ? (size_t)o->pause_count : 0);
    for (i = 0; i < limit && status == HARP_OK && engine_used(e) < engine_context(e); i++) {
        status = harp_next(e->session, &step, &err);
        if (status == HARP_OK) show_step(s, &step);
    }
    free(prompt.list);
    if (status) return engine_complain(e, &err);
    s->prompt_tokens = (int64_t)prompt.n;
    all = harp_tokens(e->session, &n);
    json_ids(stdout, all + prompt_end, (size_t)n - prompt_end);
    if (i < limit) note_full_context(e);
    return EXIT_FINE;
}

/* The text of the session's tokens from `first` on. */
static int print_tokens(const engine *e, show *s, int32_t first)
{
    harp_decoder decoder;
    harp_error err;
    int32_t n = 0, i;
    const int32_t *tokens = harp_tokens(e->session, &n);
    size_t capacity = (size_t)e->info.longest_token + 8, bytes;
    char *text = malloc(capacity);
    if (!text) return complain("there is not enough memory");
    harp_decoder_start(&decoder, e->model, first > 1 ? HARP_DECODE_CONTINUE : 0);
    for (i = first; i <= n; i++) { /* one more than there are: -1 ends the text */
        if (harp_decode(&decoder, i < n ? tokens[i] : -1, text, capacity, &bytes, &err)) break;
        term_write(&s->term, text, bytes, NULL);
        if (bytes > 0) s->newline = text[bytes - 1] == '\n';
    }
    free(text);
    return i > n ? EXIT_FINE : complain("%s", err.text);
}

/* Decoders that do something between the prompt and its continuation: beam search continues it, a pause does not. */
static int run_prepared(engine *e, show *s, const options *o, const char *prompt, size_t bytes, int *done)
{
    ids tokens = {NULL, 0, 0};
    harp_error err;
    int32_t first;
    int status = ids_encode(&tokens, e->model, prompt, bytes, HARP_ENCODE_BOS);
    *done = o->decoder == DECODER_BEAM;
    if (status == EXIT_FINE && harp_feed(e->session, tokens.list, (int32_t)tokens.n, &err))
        status = complain("%s", err.text);
    free(tokens.list);
    if (status == EXIT_FINE) status = decoder_pause(e, o);
    if (status || !*done) return status;
    first = engine_used(e);
    status = decoder_search(e, o);
    if (status) return status;
    show_found(s, engine_used(e) - first);
    return print_tokens(e, s, first);
}

static int run_text(engine *e, show *s, const options *o)
{
    blob prompt = {NULL, 0};
    harp_error err;
    harp_status status;
    int prepares = o->decoder == DECODER_BEAM || o->decoder == DECODER_PAUSE, done = 0;
    if (e->info.tokenizer == 0) return complain("this model has no tokenizer: give it token ids, --tokens 1,2,3");
    if (read_prompt(o, &prompt)) return EXIT_FAILED;
    if (o->file && prompt.bytes && prompt.data[prompt.bytes - 1] == '\n') /* the editor's, not the writer's */
        prompt.data[--prompt.bytes] = 0;
    if (strlen(prompt.data) != prompt.bytes) {
        free(prompt.data);
        return complain("the prompt holds a zero byte");
    }
    term_write(&s->term, prompt.data, prompt.bytes, NULL);
    show_begin_turn(s);
    if (prepares && run_prepared(e, s, o, prompt.data, prompt.bytes, &done)) return free(prompt.data), EXIT_FAILED;
    status = HARP_OK;
    if (!done)
        status = harp_generate(e->session, prepares ? NULL : prompt.data, o->n < 0 ? INT32_MAX : o->n, show_text, s,
                               &err);
    free(prompt.data);
    if (isatty(STDOUT_FILENO) && (status != HARP_OK || !s->newline)) putchar('\n'); /* into a file goes the text alone */
    if (status) return engine_complain(e, &err);
    s->prompt_tokens = engine_used(e) - harp_statistics(e->session).steps;
    if (!s->ended) note_full_context(e);
    term_legend(&s->term);
    return EXIT_FINE;
}

int command_run(const options *o)
{
    engine e;
    show s;
    int status = engine_open_model(&e, o), closed;
    if (status == EXIT_FINE) status = engine_set_params(&e, o);
    if (status == EXIT_FINE) status = engine_open_session(&e);
    if (status == EXIT_FINE) status = show_open(&s, &e, o);
    if (status == EXIT_FINE) {
        status = o->tokens || o->tokens_file ? run_tokens(&e, &s, o) : run_text(&e, &s, o);
        closed = show_close(&s);
        if (status == EXIT_FINE) status = closed;
        if (status == EXIT_FINE && o->stats) show_stats(&s);
    }
    engine_close(&e);
    return status;
}
