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
    if (read_tokens(o, e->info.vocab, &prompt)) return free(prompt.list), EXIT_FAILED;
    show_begin_turn(s);
    status = harp_feed(e->session, prompt.list, (int32_t)prompt.n, &err);
    for (i = 0; i < limit && status == HARP_OK && engine_used(e) < engine_context(e); i++) {
        status = harp_next(e->session, &step, &err);
        if (status == HARP_OK) show_step(s, &step);
    }
    free(prompt.list);
    if (status) return engine_complain(e, &err);
    s->prompt_tokens = (int64_t)prompt.n;
    all = harp_tokens(e->session, &n);
    json_ids(stdout, all + prompt.n, (size_t)n - prompt.n);
    if (i < limit) note_full_context(e);
    return EXIT_FINE;
}

static int run_text(engine *e, show *s, const options *o)
{
    blob prompt = {NULL, 0};
    harp_error err;
    harp_status status;
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
    status = harp_generate(e->session, prompt.data, o->n < 0 ? INT32_MAX : o->n, show_text, s, &err);
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
