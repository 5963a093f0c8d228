/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_stack.c - how deep the stack gets in every public call: each runs in a thread whose stack was painted before
 *
 *     test_stack MODEL.harp
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../harp.h"
#include "test.h"

enum { STACK = 256 * 1024, LIMIT = 16 * 1024, PAINT = 0x5A };

typedef struct state {
    const char *path;
    void *data;
    size_t bytes;
    harp_params params;
    harp_model *model;
    harp_session *session;
    void *saved;
    size_t saved_bytes;
    harp_error err;
    int failed;
} state;

typedef void call(state *s);

static void note_status(state *s, harp_status status)
{
    if (status) s->failed++, printf("FAILED %s\n", s->err.text);
}

static int show(void *user, const char *text, size_t bytes, const harp_step *step)
{
    (void)user, (void)text, (void)bytes, (void)step;
    return 0;
}

static int on_logits(void *user, int32_t position, const float *logits)
{
    (void)user, (void)position, (void)logits;
    return 0;
}

static const int32_t tokens[] = {0, 5, 9, 77, 3, 200, 41, 8, 100, 2, 17, 33};

static void do_nothing(state *s)
{
    (void)s;
}

static void do_open(state *s)
{
    note_status(s, harp_open(&s->model, s->path, &s->err));
}

static void do_open_source(state *s)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    source.data = s->data, source.bytes = s->bytes;
    note_status(s, harp_open_source(&m, &source, &s->err));
    harp_close(m);
}

static void do_verify(state *s)
{
    note_status(s, harp_verify(s->model, &s->err));
}

static void do_info(state *s)
{
    harp_meta meta;
    size_t bytes;
    s->failed += harp_model_info(s->model).vocab < 1 || !harp_meta_at(s->model, 0, &meta)
                 || !harp_meta_find(s->model, "vocab", &meta) || !harp_token_text(s->model, 5, &bytes);
}

static void do_render(state *s)
{
    static const harp_message messages[] = {{HARP_ROLE_USER, " one ", 5}, {HARP_ROLE_ASSISTANT, "two", 3},
                                            {HARP_ROLE_USER, "three", 5}};
    static char text[400];
    harp_span spans[7];
    harp_rendering r = {text, sizeof text, spans, 7, 0, 0, 0};
    note_status(s, harp_render(s->model, messages, 3, HARP_RENDER_ANSWER, &r, &s->err));
}

static void do_encode(state *s)
{
    static const char text[] = "One day, Anna lost her \xC3\xA9t\xC3\xA9 and 12345 more things!\n\n  <|end|>";
    static int32_t out[200];
    harp_span spans[2] = {{10, HARP_ENCODE_SPECIAL}, {0, 0}};
    size_t n;
    spans[1].bytes = strlen(text) - 10;
    note_status(s, harp_encode(s->model, text, strlen(text), HARP_ENCODE_BOS | HARP_ENCODE_SPECIAL, out, 200, &n,
                               &s->err));
    note_status(s, harp_encode_spans(s->model, text, spans, 2, HARP_ENCODE_BOS, out, 200, &n, &s->err));
}

static void do_decode(state *s)
{
    harp_decoder d;
    char out[64];
    size_t bytes;
    int32_t i;
    harp_decoder_start(&d, s->model, HARP_DECODE_SPECIAL);
    for (i = 0; i < 300; i++) note_status(s, harp_decode(&d, i, out, sizeof out, &bytes, &s->err));
}

static void do_session_memory(state *s)
{
    size_t bytes;
    note_status(s, harp_session_memory(s->model, &s->params, &bytes, &s->err));
}

static void do_session_open(state *s)
{
    note_status(s, harp_session_open(&s->session, s->model, &s->params, &s->err));
}

static void do_feed(state *s)
{
    note_status(s, harp_feed(s->session, tokens, 12, &s->err));
}

static void do_next(state *s)
{
    harp_step step;
    harp_choice top[8];
    int i;
    for (i = 0; i < 6; i++) note_status(s, harp_next(s->session, &step, &s->err));
    s->failed += harp_top(s->session, HARP_COMBINED, top, 8) != 8 || !harp_logits(s->session, HARP_VANILLA)
                 || harp_statistics(s->session).steps < 6;
}

static void do_score(state *s)
{
    note_status(s, harp_score(s->session, tokens, 12, on_logits, NULL, &s->err));
}

static void do_save(state *s)
{
    note_status(s, harp_save(s->session, s->saved, s->saved_bytes, &s->saved_bytes, &s->err));
}

static void do_restore(state *s)
{
    note_status(s, harp_restore(s->session, s->saved, s->saved_bytes, &s->err));
}

static void do_rewind(state *s)
{
    note_status(s, harp_rewind(s->session, 3, &s->err));
}

static void do_tune(state *s)
{
    s->params.theta = 0.5f;
    note_status(s, harp_tune(s->session, &s->params, &s->err));
}

static void do_generate(state *s)
{
    note_status(s, harp_generate(s->session, " and so", 20, show, NULL, &s->err));
}

static void do_refuse(state *s) /* sentences are put together in memory of the caller's, but not for free */
{
    harp_model *m = NULL;
    int32_t wrong = -5;
    s->failed += harp_open(&m, "/there/is/none.harp", &s->err) == HARP_OK;
    s->failed += harp_feed(s->session, &wrong, 1, &s->err) == HARP_OK;
}

typedef struct run {
    call *call;
    state *state;
} run;

static void *enter(void *user)
{
    run *r = user;
    r->call(r->state);
    return NULL;
}

/* Bytes of the painted stack that the call changed. */
static size_t depth(call *c, state *s)
{
    static unsigned char *stack;
    pthread_attr_t attributes;
    pthread_t thread;
    run r;
    size_t i = 0;
    r.call = c, r.state = s;
    if (!stack && posix_memalign((void **)&stack, 4096, STACK)) return 0;
    memset(stack, PAINT, STACK);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, STACK);
    if (pthread_create(&thread, &attributes, enter, &r)) return 0;
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    while (i < STACK && stack[i] == PAINT) i++;
    return STACK - i;
}

static const struct {
    const char *name;
    call *call;
} calls[] = {{"open", do_open}, {"open_source", do_open_source}, {"verify", do_verify}, {"info", do_info},
             {"render", do_render}, {"encode", do_encode}, {"decode", do_decode},
             {"session_memory", do_session_memory},
             {"session_open", do_session_open}, {"feed", do_feed}, {"next", do_next}, {"score", do_score},
             {"save", do_save}, {"restore", do_restore}, {"rewind", do_rewind}, {"tune", do_tune},
             {"generate", do_generate}, {"failing calls", do_refuse}};

static size_t deepest;

static void measure(state *s, const char *isa, harp_frame frame)
{
    size_t i, base = depth(do_nothing, s);
    s->params = harp_defaults();
    s->params.context = 256, s->params.theta = 0.1f, s->params.frame = frame, s->params.isa = isa,
    s->params.reframings = 3;
    s->saved_bytes = 8u << 20;
    for (i = 0; i < sizeof calls / sizeof *calls; i++) {
        size_t used = depth(calls[i].call, s) - base;
        if (used < LIMIT && base > 0) passed++;
        else failed++, printf("FAILED %s with %s: %lu bytes of stack\n", calls[i].name, isa, (unsigned long)used);
        if (used > deepest) deepest = used;
    }
    harp_session_close(s->session), harp_close(s->model);
    s->session = NULL, s->model = NULL;
}

int main(int argc, char **argv)
{
    state s;
    int i, frame;
    memset(&s, 0, sizeof s);
    if (argc < 2) return 2;
    s.path = argv[1], s.data = load_file(s.path, &s.bytes), s.saved = malloc(8u << 20);
    if (!s.data || !s.saved) return 2;
    for (i = 0; harp_isa(i); i++)
        for (frame = HARP_FRAME_STREAM; frame <= HARP_FRAME_LAST; frame++) measure(&s, harp_isa(i), (harp_frame)frame);
    free(s.data), free(s.saved);
    printf("note   deepest stack of any call: %lu bytes\n", (unsigned long)deepest);
    failed += s.failed;
    return conclude();
}
