/* chat.c - a conversation in the model's own format
 *
 * For each turn the whole conversation is written out by harp_render and turned into tokens; as far as the session
 * holds the same tokens already, they stay computed, and only the rest is fed. So the format is kept to the letter
 * whatever happened before: an answer that was stopped, an end token that the format does not want, a system text that
 * moves.
 *
 * Ctrl-C stops the answer, not the program; unless nobody types: then it ends the program.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct message {
    blob text;
    int is_user;
} message;

typedef struct chat {
    engine engine;
    show show;
    blob system;
    int is_typed;       /* a person sits at the input                                      */
    int32_t limit;      /* tokens an answer                                                */
    message *messages;  /* [n_messages], user and assistant in turn                        */
    size_t n_messages;
    harp_rendering written; /* the conversation as text                                    */
    ids tokens;         /* the conversation as tokens                                      */
    blob answer;        /* text of the answer so far                                       */
} chat;

/* ---- Texts ---- */

static harp_message as_message(harp_role role, const blob *text)
{
    harp_message m;
    m.role = role, m.text = text->data, m.bytes = text->bytes;
    return m;
}

static int append(blob *to, const char *text, size_t bytes)
{
    char *grown = realloc(to->data, to->bytes + bytes + 1);
    if (!grown) return complain("there is not enough memory");
    memcpy(grown + to->bytes, text, bytes);
    to->data = grown, to->bytes += bytes;
    to->data[to->bytes] = 0;
    return EXIT_FINE;
}

/* ---- Writing the conversation out ---- */

/* The system message, if there is one, and all others. */
static void list_messages(const chat *c, harp_message *list)
{
    size_t i;
    if (c->system.bytes) *list++ = as_message(HARP_ROLE_SYSTEM, &c->system);
    for (i = 0; i < c->n_messages; i++)
        *list++ = as_message(c->messages[i].is_user ? HARP_ROLE_USER : HARP_ROLE_ASSISTANT, &c->messages[i].text);
}

/* The conversation as text, up to where the model speaks: first it is asked how large that is. */
static int render(chat *c, const harp_message *list, size_t n)
{
    harp_rendering *w = &c->written;
    harp_error err;
    harp_status status = harp_render(c->engine.model, list, n, HARP_RENDER_ANSWER, w, &err);
    if (status == HARP_ERR_MEMORY) {
        char *text = realloc(w->text, w->bytes);
        harp_span *spans = realloc(w->spans, w->n_spans * sizeof *spans);
        if (text) w->text = text, w->capacity = w->bytes;
        if (spans) w->spans = spans, w->span_capacity = w->n_spans;
        if (!text || !spans) return complain("there is not enough memory");
        status = harp_render(c->engine.model, list, n, HARP_RENDER_ANSWER, w, &err);
    }
    return status ? complain("%s", err.text) : EXIT_FINE;
}

/* The whole conversation into c->tokens. */
static int write_conversation(chat *c)
{
    size_t n = c->n_messages + (c->system.bytes > 0);
    harp_message *list = malloc(n * sizeof *list);
    const harp_rendering *w = &c->written;
    int status;
    if (!list) return complain("there is not enough memory");
    list_messages(c, list);
    status = render(c, list, n);
    free(list);
    c->tokens.n = 0;
    if (status) return status;
    return ids_encode_spans(&c->tokens, c->engine.model, w->text, w->bytes, w->spans, w->n_spans, w->flags);
}

/* ---- One turn ---- */

static int add_message(chat *c, int is_user, const char *text, size_t bytes)
{
    message *grown = realloc(c->messages, (c->n_messages + 1) * sizeof *grown);
    if (!grown) return complain("there is not enough memory");
    c->messages = grown;
    memset(&grown[c->n_messages], 0, sizeof *grown);
    if (append(&grown[c->n_messages].text, text, bytes)) return EXIT_FAILED;
    grown[c->n_messages++].is_user = is_user;
    return EXIT_FINE;
}

static void drop_messages(chat *c, size_t from)
{
    while (c->n_messages > from) free(c->messages[--c->n_messages].text.data);
}

/* Keeps what the session and the conversation have in common, feeds the rest; the last token is always fed. */
static harp_status feed_conversation(chat *c, harp_error *err)
{
    int32_t n, same = 0;
    const int32_t *held = harp_tokens(c->engine.session, &n);
    harp_status status;
    while (same < n && (size_t)same + 1 < c->tokens.n && held[same] == c->tokens.list[same]) same++;
    if (same < n && (status = harp_rewind(c->engine.session, same, err)) != HARP_OK) return status;
    status = harp_feed(c->engine.session, c->tokens.list + same, (int32_t)c->tokens.n - same, err);
    if (status == HARP_OK) c->show.prompt_tokens += (int64_t)c->tokens.n - same;
    return status;
}

static int take_text(void *user, const char *text, size_t bytes, const harp_step *step)
{
    chat *c = (chat *)user;
    return append(&c->answer, text, bytes) || show_text(&c->show, text, bytes, step);
}

static void say_full(const chat *c)
{
    fprintf(stderr, "harp: the context of %ld tokens is full; /reset begins anew, -c gives a longer one\n",
            (long)engine_context(&c->engine));
}

static int reply(chat *c, const char *text, size_t bytes)
{
    engine *e = &c->engine;
    harp_error err;
    harp_status status;
    if (add_message(c, 1, text, bytes) || write_conversation(c)) return EXIT_FAILED;
    c->answer.bytes = 0;
    show_begin_turn(&c->show);
    status = c->tokens.n > INT32_MAX ? HARP_ERR_CONTEXT : feed_conversation(c, &err);
    if (status) drop_messages(c, c->n_messages - 1); /* as if it had not been said */
    else status = harp_generate(e->session, NULL, c->limit, take_text, c, &err);
    if (!c->show.newline) putchar('\n');
    fflush(stdout);
    if (c->answer.bytes && add_message(c, 0, c->answer.data, c->answer.bytes)) return EXIT_FAILED;
    if (!c->answer.bytes && status) drop_messages(c, c->n_messages - c->n_messages % 2);
    else if (!c->answer.bytes && add_message(c, 0, "", 0)) return EXIT_FAILED;
    if (status == HARP_ERR_CONTEXT || (status == HARP_OK && !c->show.ended && engine_used(e) >= engine_context(e)))
        return say_full(c), EXIT_FINE;
    if (status == HARP_ERR_CANCELLED && host_interrupted()) return EXIT_FINE;
    return status ? engine_complain(e, &err) : EXIT_FINE;
}

/* ---- The conversation ---- */

/* Adds lines to *text as long as they end with \. HOST_LINE: the message is complete. */
static host_line read_lines(blob *text, int asks)
{
    char *line = NULL;
    size_t capacity = 0, n;
    host_line got;
    int more = 1;
    do {
        if (asks) fputs(text->bytes ? ". " : "> ", stdout), fflush(stdout);
        got = host_read_line(&line, &capacity, &n);
        if (got != HOST_LINE) break;
        more = n > 0 && line[n - 1] == '\\';
        if (more) line[n - 1] = '\n';
        if (append(text, line, n)) got = HOST_LINE_FAILED;
    } while (more && got == HOST_LINE);
    free(line);
    return got == HOST_LINE_END && text->bytes ? HOST_LINE : got;
}

/* Reads a message into *text. *more becomes 0 at the end of the input. */
static int read_message(const chat *c, blob *text, int *more)
{
    host_line got;
    do {
        if (append(text, "", 0)) return EXIT_FAILED;
        text->bytes = 0;
        got = read_lines(text, c->is_typed);
        if (got == HOST_LINE_STOPPED && !c->is_typed) return EXIT_INTERRUPTED;
        if (got == HOST_LINE_STOPPED) host_forget_interrupt(), puts("\n(/exit ends)");
    } while (got == HOST_LINE_STOPPED);
    *more = got == HOST_LINE;
    return got == HOST_LINE_FAILED ? complain("the standard input could not be read") : EXIT_FINE;
}

static int converse(chat *c)
{
    blob text = {NULL, 0};
    int status = EXIT_FINE, more = 1;
    if (c->is_typed) fputs("/exit ends, /reset begins anew, /stats counts; Ctrl-C stops an answer\n", stderr);
    while (status == EXIT_FINE && !c->show.failed) {
        if (host_interrupted() && !c->is_typed) status = EXIT_INTERRUPTED;
        host_forget_interrupt();
        if (status == EXIT_FINE) status = read_message(c, &text, &more);
        if (!more && c->is_typed) putchar('\n');
        if (status || !more) break;
        if (strcmp(text.data, "/exit") == 0) break;
        if (strcmp(text.data, "/reset") == 0) drop_messages(c, 0);
        else if (strcmp(text.data, "/stats") == 0) show_stats(&c->show);
        else if (text.bytes) status = reply(c, text.data, text.bytes);
    }
    free(text.data);
    return status;
}

/* ---- Beginning and end ---- */

static int check_format(const chat *c, const options *o)
{
    static const harp_message any[] = {{HARP_ROLE_SYSTEM, "x", 1}, {HARP_ROLE_USER, "x", 1}};
    harp_rendering none;
    harp_error err;
    int has_system = o->system != NULL;
    harp_status status;
    if (engine_check_text(&c->engine)) return EXIT_FAILED;
    memset(&none, 0, sizeof none);
    status = harp_render(c->engine.model, any + 1, 1, 0, &none, &err);
    if (status == HARP_ERR_UNSUPPORTED) return complain("%s; `harp run` continues texts", err.text);
    if (status == HARP_ERR_MEMORY && has_system) status = harp_render(c->engine.model, any, 2, 0, &none, &err);
    if (status == HARP_ERR_UNSUPPORTED) return complain("--system: %s", err.text);
    return status == HARP_ERR_MEMORY ? EXIT_FINE : complain("%s", err.text); /* it has a size, and there was no room */
}

static int open_chat(chat *c, const options *o)
{
    memset(c, 0, sizeof *c);
    c->limit = o->n < 0 ? INT32_MAX : o->n;
    c->show.position = -1;
    c->is_typed = host_is_terminal(stdin);
    if (engine_open_model(&c->engine, o) || check_format(c, o)) return EXIT_FAILED;
    c->engine.cancel = show_cancel, c->engine.cancel_user = &c->show;
    if (engine_set_params(&c->engine, o)) return EXIT_FAILED;
    if (o->system && append(&c->system, o->system, strlen(o->system))) return EXIT_FAILED;
    if (o->system && o->escapes) c->system.bytes = unescape(c->system.data);
    if (engine_open_session(&c->engine) || show_open(&c->show, &c->engine, o)) return EXIT_FAILED;
    host_catch_interrupt(!c->is_typed);
    return EXIT_FINE;
}

int command_chat(const options *o)
{
    chat c;
    int status = open_chat(&c, o), closed;
    if (status == EXIT_FINE) {
        status = converse(&c);
        term_legend(&c.show.term);
        closed = show_close(&c.show);
        if (status != EXIT_FAILED && closed) status = closed;
        if (status != EXIT_FAILED && o->stats) show_stats(&c.show);
    }
    drop_messages(&c, 0);
    free(c.messages), free(c.tokens.list);
    free(c.system.data), free(c.written.text), free(c.written.spans), free(c.answer.data);
    engine_close(&c.engine);
    return status;
}
