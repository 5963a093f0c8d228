/* show.c - what a run reports: text, trace, statistics */
#include "cli.h"

#include <string.h>

int show_open(show *s, const engine *e, const options *o)
{
    memset(s, 0, sizeof *s);
    s->engine = e;
    s->term = term_open(stdout, o->color);
    s->position = -1;
    s->trace_path = o->trace, s->model = o->model;
    return o->trace ? open_output(o, o->trace, &s->trace) : EXIT_FINE;
}

int show_close(show *s)
{
    if (s->trace && (ferror(s->trace) | fclose(s->trace))) s->trace_failed = 1;
    s->trace = NULL;
    if (s->trace_failed) return complain("%s: could not be written", s->trace_path);
    if (fflush(stdout) || ferror(stdout)) s->failed = 1;
    return s->failed ? complain("the output could not be written") : EXIT_FINE;
}

int show_must_stop(const show *s)
{
    return s->failed || s->trace_failed || host_interrupted();
}

int show_cancel(void *user)
{
    const show *s = (const show *)user;
    return host_interrupted() && s->position < 0;
}

void show_begin_turn(show *s)
{
    s->last = host_seconds();
    s->position = -1;
    s->newline = 1, s->ended = 0;
}

/* ---- The trace: one JSON object for each generated token ---- */

static void trace_token(show *s, const char *name, int32_t token)
{
    size_t bytes = 0;
    const char *text = harp_token_text(s->engine->model, token, &bytes);
    fprintf(s->trace, "\"token\":%ld,\"%s\":", (long)token, name);
    json_put_string(s->trace, text ? text : "", text ? bytes : 0);
}

static void trace_top(show *s, const char *name, harp_which which)
{
    harp_choice top[5];
    int32_t i, n = harp_top(s->engine->session, which, top, 5);
    fprintf(s->trace, ",\"%s\":", name);
    if (n <= 0) {
        fputs("null", s->trace);
        return;
    }
    for (i = 0; i < n; i++) {
        fputs(i ? ",{" : "[{", s->trace);
        trace_token(s, "text", top[i].token);
        fputs(",\"p\":", s->trace);
        json_put_number(s->trace, (double)top[i].probability);
        fputc('}', s->trace);
    }
    fputc(']', s->trace);
}

static void trace_real(show *s, const char *name, double value)
{
    fprintf(s->trace, ",\"%s\":", name);
    json_put_number(s->trace, value);
}

/* Not as a double, which has 53 bits: beyond them it is a text, for readers who have no integers (JavaScript). */
static void trace_seed(show *s, uint64_t seed)
{
    const char *quote = seed >> 53 ? "\"" : "";
    fprintf(s->trace, ",\"seed\":%s%llu%s", quote, (unsigned long long)seed, quote);
}

/* The first step also tells how the run was set up, and what it continues. */
static void trace_run(show *s)
{
    static const char *const frames[] = {"stream", "redraw", "last"};
    const harp_params *p = &s->engine->params;
    fputs("\"run\":{\"model\":", s->trace);
    json_put_string(s->trace, s->model, strlen(s->model));
    fprintf(s->trace, ",\"harp\":%s", p->harp ? "true" : "false");
    trace_real(s, "theta", (double)p->theta), trace_real(s, "delta", (double)p->delta);
    trace_real(s, "beta", (double)p->beta), trace_real(s, "reframings", p->reframings);
    fprintf(s->trace, ",\"frame\":\"%s\"", frames[p->frame]);
    trace_real(s, "reframe_from", p->reframe_from), trace_seed(s, p->seed);
    trace_real(s, "temperature", (double)p->temperature), trace_real(s, "top_k", p->top_k);
    trace_real(s, "top_p", (double)p->top_p), trace_real(s, "min_p", (double)p->min_p);
    trace_real(s, "drafts", p->drafts), trace_real(s, "threads", p->threads);
    fputs("},", s->trace);
}

static void trace_prompt(show *s)
{
    fputs("\"prompt\":", s->trace);
    json_put_string(s->trace, s->prompt, strlen(s->prompt));
    fputc(',', s->trace);
}

static void trace_step(show *s, const harp_step *step, double seconds)
{
    fprintf(s->trace, "{\"position\":%ld,", (long)step->position);
    if (!s->traced) trace_run(s);
    if (!s->traced && s->prompt) trace_prompt(s);
    s->traced = 1;
    trace_token(s, "text", step->token);
    trace_real(s, "entropy", (double)step->entropy);
    trace_real(s, "uncertainty", (double)step->uncertainty);
    trace_real(s, "logprob", (double)step->logprob);
    fprintf(s->trace, ",\"hesitated\":%s,\"reframed\":%ld,\"vanilla_token\":%ld", step->hesitated ? "true" : "false",
            (long)step->reframed, (long)step->vanilla_token);
    trace_top(s, "top", HARP_COMBINED);
    trace_top(s, "top_vanilla", HARP_VANILLA);
    trace_top(s, "top_reframed", HARP_REFRAMED);
    fprintf(s->trace, ",\"passes\":%ld,\"rows\":%ld", (long)step->passes, (long)step->rows);
    trace_real(s, "seconds", seconds);
    fputs("}\n", s->trace);
    if (fflush(s->trace) || ferror(s->trace)) s->trace_failed = 1; /* a step is there as soon as it is made */
}

/* ---- Steps and their text ---- */

void show_step(show *s, const harp_step *step)
{
    double seconds = host_seconds() - s->last;
    if (step->position == s->position) return; /* held text that comes out late repeats its step */
    if (s->trace) trace_step(s, step, seconds);
    if (s->position < 0) s->prompt_seconds += seconds;
    else s->decode_seconds += seconds, s->decode_tokens++;
    s->position = step->position;
    s->ended = step->end;
    s->last = host_seconds();
}

void show_found(show *s, int32_t tokens)
{
    s->decode_seconds += host_seconds() - s->last;
    s->found_tokens = tokens;
}

int show_text(void *user, const char *text, size_t bytes, const harp_step *step)
{
    show *s = (show *)user;
    show_step(s, step);
    if (bytes > 0) s->newline = text[bytes - 1] == '\n';
    if (term_write(&s->term, text, bytes, step)) s->failed = 1;
    return show_must_stop(s) || (!step->end && form_is_closed(s->engine));
}

/* ---- Statistics ---- */

static double per(double amount, double of)
{
    return of > 0.0 ? amount / of : 0.0;
}

static const char *megabytes(double bytes, char text[32])
{
    if (bytes < 1e6) snprintf(text, 32, "%.1f KB", bytes / 1e3);
    else snprintf(text, 32, "%.1f MB", bytes / 1e6);
    return text;
}

/* The first token of a turn waits for the prompt: its time counts there. */
void show_stats(const show *s)
{
    const engine *e = s->engine;
    harp_stats h = harp_statistics(e->session);
    char session[32], model[32];
    fflush(stdout);
    if (s->found_tokens > 0)
        fprintf(stderr, "speed    prompt %lld tokens, and %lld found, in %.3f s\n", (long long)s->prompt_tokens,
                (long long)s->found_tokens, s->decode_seconds);
    else
        fprintf(stderr, "speed    prompt %lld tokens in %.3f s (%.1f tokens/s), then %.1f tokens/s\n",
                (long long)s->prompt_tokens, s->prompt_seconds, per((double)s->prompt_tokens, s->prompt_seconds),
                per((double)s->decode_tokens, s->decode_seconds));
    fprintf(stderr, "harp     %s%lld of %lld tokens hesitated (%.1f %%), %lld changed\n",
            e->params.harp ? "" : "off: ", (long long)h.hesitations, (long long)h.steps,
            100.0 * per((double)h.hesitations, (double)h.steps), (long long)h.changed);
    fprintf(stderr, "work     %lld passes over the weights (%.2f a token), rows: %lld vanilla, %lld reframed\n",
            (long long)h.passes, per((double)h.passes, (double)h.steps), (long long)h.rows, (long long)h.reframed_rows);
    decoder_print_stats(e);
    fprintf(stderr, "memory   session %s, model %s%s\n", megabytes((double)e->session_bytes, session),
            megabytes((double)e->info.bytes, model), e->info.mapped ? " (mapped)" : "");
}
