/* run.c - continues a text, or a list of token ids */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static void note_full_context(const engine *e)
{
    if (engine_used(e) >= engine_context(e))
        fprintf(stderr, "harp: the context of %ld tokens is full (-c sets it)\n", (long)engine_context(e));
}

/* The prompt, and what --decoder pause puts behind it, must fit before anything is shown. */
static int check_prompt(const engine *e, const options *o, size_t n)
{
    int32_t pauses = decoder_pauses(o);
    return engine_check_room(e, pauses ? "the prompt and --pause-count make" : "the prompt has", n + (size_t)pauses);
}

/* What was found by a search, or step by step. */
static int generate_ids(engine *e, show *s, const options *o)
{
    harp_error err;
    harp_step step;
    int32_t i, first = engine_used(e), limit = o->n < 0 ? INT32_MAX : o->n;
    if (o->decoder == DECODER_BEAM) {
        int status = decoder_search(e, o);
        if (status == EXIT_FINE) show_found(s, engine_used(e) - first);
        return status;
    }
    for (i = 0; i < limit && !show_must_stop(s); i++) {
        if (engine_used(e) >= engine_context(e)) return note_full_context(e), EXIT_FINE;
        if (harp_next(e->session, &step, &err)) return engine_complain(e, &err);
        show_step(s, &step);
    }
    return EXIT_FINE;
}

/* Token ids in, token ids out: for tests, and for models without a tokenizer. */
static int run_tokens(engine *e, show *s, const options *o)
{
    ids prompt = {NULL, 0, 0};
    harp_error err;
    int32_t first = 0, n = 0;
    const int32_t *all;
    int status = read_tokens(o, e->info.vocab, &prompt);
    if (status == EXIT_FINE) status = check_prompt(e, o, prompt.n);
    if (status) return free(prompt.list), status;
    host_catch_interrupt(1);
    show_begin_turn(s);
    if (harp_feed(e->session, prompt.list, (int32_t)prompt.n, &err)) status = engine_complain(e, &err);
    else s->prompt_tokens = (int64_t)prompt.n;
    free(prompt.list);
    if (status == EXIT_FINE) status = decoder_pause(e, o);
    first = engine_used(e);
    if (status == EXIT_FINE) status = generate_ids(e, s, o);
    if (status == EXIT_FAILED) return status;
    all = harp_tokens(e->session, &n);
    print_ids(all + first, (size_t)(n - first));
    return status;
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

/* Reads and checks the prompt; its tokens are appended to `tokens`. */
static int read_text(const engine *e, const options *o, blob *prompt, ids *tokens)
{
    int status = read_prompt(o, prompt);
    if (status) return status;
    if (o->file) drop_last_newline(prompt);
    if (strlen(prompt->data) != prompt->bytes)
        return complain("the prompt holds a zero byte: is it UTF-16? Texts are UTF-8");
    status = ids_encode(tokens, e->model, prompt->data, prompt->bytes, HARP_ENCODE_BOS);
    if (status == EXIT_FINE && tokens->n == 0)
        status = complain("the prompt is empty, and this model has no begin token to start from: give it a text");
    return status ? status : check_prompt(e, o, tokens->n);
}

/* --choice: the text, and below it a line for each. */
static int choose_text(engine *e, show *s)
{
    const char *answer;
    int status = form_choose(e, &answer);
    if (status) return status;
    term_write(&s->term, answer, strlen(answer), NULL);
    putchar('\n');
    form_print_choice(e);
    s->newline = 1;
    return EXIT_FINE;
}

/* The answer, by the decoder that was asked for. Only beam search has no steps. */
static int generate_text(engine *e, show *s, const options *o, const ids *tokens)
{
    harp_error err;
    int32_t first;
    int status = EXIT_FINE;
    if (harp_feed(e->session, tokens->list, (int32_t)tokens->n, &err)) return engine_complain(e, &err);
    status = decoder_pause(e, o);
    if (status) return status;
    first = engine_used(e);
    form_begin(e, first);
    if (o->choice) return choose_text(e, s);
    if (o->answers > 1) return answers_generate(e, s, o);
    if (o->decoder != DECODER_BEAM) {
        harp_status failed = harp_generate(e->session, NULL, o->n < 0 ? INT32_MAX : o->n, show_text, s, &err);
        return failed ? engine_complain(e, &err) : EXIT_FINE;
    }
    status = decoder_search(e, o);
    if (status) return status;
    show_found(s, engine_used(e) - first);
    return print_tokens(e, s, first);
}

/* Into a file goes the text alone; on a terminal its last line is ended, before anything else is said. */
static void end_line(const show *s, int status)
{
    if (s->term.is_terminal && (status != EXIT_FINE || !s->newline)) putchar('\n');
}

static int run_text(engine *e, show *s, const options *o)
{
    blob prompt = {NULL, 0};
    ids tokens = {NULL, 0, 0};
    int status = read_text(e, o, &prompt, &tokens);
    if (status == EXIT_FINE) {
        host_catch_interrupt(1);
        if (!o->no_echo) term_write(&s->term, prompt.data, prompt.bytes, NULL);
        show_begin_turn(s);
        s->newline = o->no_echo || prompt.bytes == 0 || prompt.data[prompt.bytes - 1] == '\n';
        s->prompt = prompt.data;
        status = generate_text(e, s, o, &tokens);
        end_line(s, status);
        s->prompt_tokens = (int64_t)tokens.n + decoder_pauses(o);
    }
    s->prompt = NULL;
    free(prompt.data), free(tokens.list);
    if (status == EXIT_FAILED) return status;
    if (status == EXIT_FINE && !s->ended && !host_interrupted()) note_full_context(e);
    term_legend(&s->term);
    return status;
}

int command_run(const options *o)
{
    engine e;
    show s;
    int takes_ids = o->tokens || o->tokens_file, closed;
    int status = engine_open_model(&e, o);
    if (status == EXIT_FINE && !takes_ids) status = engine_check_text(&e);
    e.cancel = show_cancel, e.cancel_user = &s;
    if (status == EXIT_FINE) status = engine_set_params(&e, o);
    if (status == EXIT_FINE) status = engine_open_session(&e);
    if (status == EXIT_FINE) status = show_open(&s, &e, o);
    if (status == EXIT_FINE) {
        status = takes_ids ? run_tokens(&e, &s, o) : run_text(&e, &s, o);
        if (status == EXIT_FINE && host_interrupted()) status = EXIT_INTERRUPTED;
        closed = show_close(&s);
        if (status != EXIT_FAILED && closed) status = closed;
        if (status != EXIT_FAILED && o->stats) show_stats(&s);
    }
    engine_close(&e);
    return status;
}
