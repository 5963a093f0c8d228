/* chat.c - a conversation in the model's own format
 *
 * For each turn the whole conversation is written out (conversation.c) and turned into tokens; as far as the session
 * holds the same tokens already, they stay computed, and only the rest is fed. So the format is kept to the letter
 * whatever happened before: an answer that was stopped, an end token that the format does not want, a system text that
 * moves, turns that no longer fit into the context.
 *
 * Ctrl-C stops the answer, not the program; unless nobody types: then it ends the program.
 */
#include "cli.h"

#include "edit.h"
#include "../../tools/convert/ground/characters.h"

#include <stdlib.h>
#include <string.h>

static const char prompt[] = "> ", more_prompt[] = ". ";

typedef struct chat {
    const options *options;
    engine engine;
    show show;
    conversation talk;
    edit edit;
    int is_typed;      /* a person sits at the input                                             */
    int is_over;       /* /exit                                                                  */
    int32_t limit;     /* tokens an answer                                                       */
    blob next_turn;    /* what the user's next turn would begin with: it ends an answer, too     */
    const char *stop[MAX_STOPS + 1];
    blob answer;       /* text of the answer so far ...                                          */
    size_t shown_from; /* ... which is shown from here on: no blanks before it                   */
    size_t n_prompt;   /* tokens before the answer                                               */
    int32_t unshown;   /* the last tokens of the answer, which complete no character yet         */
} chat;

/* ---- The context ---- */

/* Room that an answer should find, if turns have to go for it. */
static size_t wanted_room(const chat *c)
{
    int32_t part = engine_context(&c->engine) / 8;
    if (c->options->choice) return form_room(&c->engine) + 1;
    return (size_t)(c->limit < part ? c->limit : part) + 1;
}

/* Forgets the oldest turns until the conversation, with `more` tokens behind it, takes half of the context: all that
 * follows has to be computed anew, so it is done seldom. The message that is to be answered stays. */
static int forget_turns(chat *c, size_t more)
{
    conversation *talk = &c->talk;
    size_t half = (size_t)engine_context(&c->engine) / 2;
    while (talk->tokens.n + more > half && talk->first + 2 < talk->n) {
        talk->first += 2;
        if (conversation_write(talk)) return EXIT_FAILED;
    }
    return EXIT_FINE;
}

static void say_forgotten(const chat *c, size_t before)
{
    size_t turns = (c->talk.first - before) / 2;
    char number[32] = "";
    if (turns == 0) return;
    if (turns > 1) snprintf(number, sizeof number, " %lu", (unsigned long)turns);
    tell("harp: the context of %ld tokens is full: the model no longer sees the oldest%s turn%s (-c sets a longer one)",
         (long)engine_context(&c->engine), number, turns > 1 ? "s" : "");
}

static int refuse_message(chat *c, size_t first)
{
    long context = (long)engine_context(&c->engine), most = (long)c->engine.info.context;
    unsigned long n = (unsigned long)c->talk.tokens.n;
    c->talk.first = first;
    conversation_drop(&c->talk, c->talk.n - 1); /* as if it had not been said */
    if (context < most)
        complain("this message needs %lu tokens, too many for the context of %ld: send a shorter one, or set a longer "
                 "context with -c, up to %ld", n, context, most);
    else
        complain("this message needs %lu tokens, too many for the context of %ld, this model's longest: send a shorter "
                 "one", n, context);
    return EXIT_FINE;
}

/* ---- One turn ---- */

/* Keeps what the session and the conversation have in common, feeds the rest; the last token is always fed. */
static harp_status feed_conversation(chat *c, harp_error *err)
{
    const ids *tokens = &c->talk.tokens;
    int32_t n, same = 0;
    const int32_t *held = harp_tokens(c->engine.session, &n);
    harp_status status;
    while (same < n && (size_t)same + 1 < tokens->n && held[same] == tokens->list[same]) same++;
    if (same < n && (status = harp_rewind(c->engine.session, same, err)) != HARP_OK) return status;
    status = harp_feed(c->engine.session, tokens->list + same, (int32_t)tokens->n - same, err);
    if (status == HARP_OK) c->show.prompt_tokens += (int64_t)tokens->n - same;
    return status;
}

/* The answer is kept as it is, for the model will read it again; shown it is without the blanks before it. */
static int take_text(void *user, const char *text, size_t bytes, const harp_step *step)
{
    chat *c = (chat *)user;
    if (blob_append(&c->answer, text, bytes)) return 1;
    c->unshown = bytes > 0 ? 0 : c->unshown + 1;
    for (; bytes > 0 && c->shown_from == c->answer.bytes - bytes && is_blank(*text); text++, bytes--) c->shown_from++;
    return show_text(&c->show, text, bytes, step);
}

/* The context became full in the middle of an answer: forgets turns and feeds the rest, with the answer so far. 0:
 * there are none to forget, or it failed (*status). */
static int make_room(chat *c, harp_status *status, harp_error *err)
{
    ids *tokens = &c->talk.tokens;
    int32_t used;
    const int32_t *answer = harp_tokens(c->engine.session, &used) + c->n_prompt;
    size_t n_answer = (size_t)used - c->n_prompt - (size_t)c->unshown, first = c->talk.first;
    int newline = c->show.newline;
    if (forget_turns(c, n_answer) || c->talk.first == first) return 0;
    if (tokens->n + n_answer >= (size_t)engine_context(&c->engine)) return c->talk.first = first, 0;
    c->n_prompt = tokens->n, c->unshown = 0;
    if (ids_append(tokens, answer, n_answer)) return 0;
    show_begin_turn(&c->show);
    c->show.newline = newline;
    *status = feed_conversation(c, err);
    return *status == HARP_OK;
}

static harp_status answer(chat *c, harp_error *err)
{
    harp_session *session = c->engine.session;
    harp_status status = feed_conversation(c, err);
    int32_t left = c->limit, before;
    if (status) return status;
    do {
        form_begin(&c->engine, (int32_t)c->n_prompt);
        before = engine_used(&c->engine);
        status = harp_generate(session, NULL, left, take_text, c, err);
        left -= engine_used(&c->engine) - before;
    } while (status == HARP_OK && left > 0 && harp_generate_end(session) == HARP_END_CONTEXT
             && make_room(c, &status, err));
    return status;
}

/* The answer becomes a message, however it ended; without any, a message that failed was not said. */
static int finish_turn(chat *c, harp_status status, const harp_error *err)
{
    if (status && c->answer.bytes == 0) conversation_drop(&c->talk, c->talk.n - 1);
    else if (conversation_add(&c->talk, 0, c->answer.data ? c->answer.data : "", c->answer.bytes)) return EXIT_FAILED;
    if (status == HARP_OK && harp_generate_end(c->engine.session) == HARP_END_CONTEXT)
        tell("harp: the context of %ld tokens is full: the answer ends here (-c sets a longer one)",
             (long)engine_context(&c->engine));
    if (status == HARP_ERR_CANCELLED && host_interrupted()) return EXIT_FINE;
    return status ? engine_complain(&c->engine, err) : EXIT_FINE;
}

/* --choice: the answer is the most probable text. */
static int reply_by_choice(chat *c)
{
    const char *text;
    harp_error err;
    harp_status failed = feed_conversation(c, &err);
    int status = failed ? engine_complain(&c->engine, &err) : form_choose(&c->engine, &text);
    if (status) conversation_drop(&c->talk, c->talk.n - 1);
    if (status) return status == EXIT_INTERRUPTED ? EXIT_FINE : status; /* Ctrl-C stops the answer, not the program */
    puts(text);
    form_print_choice(&c->engine);
    fflush(stdout);
    return conversation_add(&c->talk, 0, text, strlen(text));
}

/* A message as a saved conversation would have it: U+FFFD for each byte that is no part of a character. */
static int take_message(conversation *talk, const char *text, size_t bytes)
{
    blob whole = {NULL, 0};
    size_t i, n;
    int status = blob_append(&whole, "", 0);
    for (i = 0; i < bytes && status == EXIT_FINE; i += n ? n : 1) {
        n = utf8_length(text + i, bytes - i);
        status = n ? blob_append(&whole, text + i, n) : blob_append(&whole, "\xEF\xBF\xBD", 3);
    }
    if (status == EXIT_FINE) status = conversation_add(talk, 1, whole.data, whole.bytes);
    free(whole.data);
    return status;
}

static int reply(chat *c, const char *text, size_t bytes)
{
    conversation *talk = &c->talk;
    size_t context = (size_t)engine_context(&c->engine), first = talk->first;
    harp_error err;
    harp_status status;
    if (take_message(talk, text, bytes) || conversation_write(talk)) return EXIT_FAILED;
    if (talk->tokens.n + wanted_room(c) > context && forget_turns(c, 0)) return EXIT_FAILED;
    if (talk->tokens.n + form_room(&c->engine) >= context) return refuse_message(c, first);
    say_forgotten(c, first);
    first = talk->first;
    c->answer.bytes = c->shown_from = 0, c->n_prompt = talk->tokens.n, c->unshown = 0;
    show_begin_turn(&c->show);
    if (c->options->choice) return reply_by_choice(c);
    status = answer(c, &err);
    if (!c->show.newline) putchar('\n');
    fflush(stdout);
    say_forgotten(c, first);
    return finish_turn(c, status, &err);
}

/* ---- Commands ---- */

static void help(chat *c, const char *argument);

static void reset(chat *c, const char *argument)
{
    (void)argument;
    conversation_drop(&c->talk, 0);
}

static void save(chat *c, const char *path)
{
    if (!*path) complain("/save needs the name of a file");
    else if (check_output(c->options, path) == EXIT_FINE && conversation_save(&c->talk, path) == EXIT_FINE)
        tell("saved to %s; /load %s goes on from here", path, path);
}

static void load(chat *c, const char *path)
{
    if (!*path) complain("/load needs the name of a file");
    else if (conversation_load(&c->talk, path) == EXIT_FINE)
        tell("loaded from %s: %lu turns", path, (unsigned long)c->talk.n / 2);
}

static void set_system(chat *c, const char *text)
{
    if (*text && !conversation_has_system(&c->talk))
        complain("this model's chat format has no system text: say it in a message");
    else if (conversation_set_system(&c->talk, text, strlen(text)) == EXIT_FINE)
        tell(*text ? "the system text holds from the next message on" : "there is no system text any more");
}

static void count(chat *c, const char *argument)
{
    (void)argument;
    show_stats(&c->show);
}

static void leave(chat *c, const char *argument)
{
    (void)argument;
    c->is_over = 1;
}

static const struct command {
    const char *name, *argument, *what;
    void (*run)(chat *c, const char *argument);
} commands[] = {
    {"/help", "", "these lines", help},
    {"/reset", "", "begins a new conversation; the system text stays", reset},
    {"/system", " TEXT", "what the model is told before all else; without TEXT, nothing", set_system},
    {"/save", " FILE", "saves the conversation as JSON", save},
    {"/load", " FILE", "goes on with a saved conversation", load},
    {"/stats", "", "speed, hesitations, work and memory so far", count},
    {"/exit", "", "ends the chat", leave},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

void chat_print_commands(FILE *out)
{
    int i;
    for (i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %s%-*s  %s\n", commands[i].name, (int)(13 - strlen(commands[i].name)), commands[i].argument,
                commands[i].what);
    fputs("  //...          sends a message that begins with a slash\n"
          "  Ctrl-C         stops the answer; twice at an empty prompt it ends the chat\n"
          "  Ctrl-D         ends the chat\n"
          "  Alt-Enter      begins a new line of the message, as \\ before Enter does\n"
          "  up, down       earlier messages\n", out);
}

static void help(chat *c, const char *argument)
{
    (void)c, (void)argument;
    chat_print_commands(stderr);
}

/* A line that begins with a slash; what is behind the command's name is its argument, without blanks around it. */
static void obey(chat *c, blob *line)
{
    size_t n = strcspn(line->data, " \t\n");
    char *argument = line->data + n, *end = line->data + strlen(line->data);
    int i;
    while (is_blank(*argument)) argument++;
    while (end > argument && is_blank(end[-1])) *--end = 0;
    for (i = 0; i < N_COMMANDS; i++)
        if (strlen(commands[i].name) == n && memcmp(commands[i].name, line->data, n) == 0) break;
    if (i < N_COMMANDS) commands[i].run(c, argument);
    else complain("there is no command %.*s: /help lists them, and // begins a message with a slash",
                  (int)(n < 40 ? n : 40), line->data);
}

/* ---- Reading messages ---- */

/* Adds lines to *text as long as they end with \. HOST_LINE: the message is complete. */
static host_line read_lines(blob *text, int asks)
{
    char *line = NULL;
    size_t capacity = 0, n;
    host_line got;
    int more = 1;
    do {
        if (asks) fputs(text->bytes ? more_prompt : prompt, stdout), fflush(stdout);
        got = host_read_line(&line, &capacity, &n);
        if (got != HOST_LINE) break;
        more = n > 0 && line[n - 1] == '\\';
        if (more) line[n - 1] = '\n';
        if (blob_append(text, line, n)) got = HOST_LINE_FAILED;
    } while (more && got == HOST_LINE);
    free(line);
    if (asks && (got == HOST_LINE_STOPPED || got == HOST_LINE_END)) putchar('\n');
    return got == HOST_LINE_END && text->bytes ? HOST_LINE : got;
}

/* Draws, waits for one key and takes it. */
static edit_result type_key(edit *e)
{
    int columns, rows, key;
    edit_result result;
    host_terminal_size(&columns, &rows);
    if (!host_key_waits()) edit_draw(e, stdout, prompt, more_prompt, columns, rows);
    key = host_read_key();
    result = key >= 0 ? edit_feed(e, (char)key)
             : key == -HOST_LINE_STOPPED ? EDIT_STOPPED : key == -HOST_LINE_END ? EDIT_END : EDIT_NO_MEMORY;
    if (result != EDIT_GOES_ON) edit_leave(e, stdout, prompt, more_prompt, columns, rows);
    return result;
}

/* The same from a terminal's keys, edited. Ctrl-C takes back what is written; HOST_LINE_STOPPED where nothing is. */
static host_line type_message(edit *e, blob *text)
{
    edit_result result;
    int is_taken_back;
    do {
        result = type_key(e);
        is_taken_back = result == EDIT_STOPPED && e->text.bytes > 0;
        if (result == EDIT_SUSPENDED) host_suspend();
        if (is_taken_back) edit_clear(e);
    } while (result == EDIT_GOES_ON || result == EDIT_SUSPENDED || is_taken_back);
    if (result == EDIT_ENTERED && (blob_append(text, e->text.data ? e->text.data : "", e->text.bytes)
                                   || !edit_remember(e, text->data, text->bytes)))
        result = EDIT_NO_MEMORY;
    edit_clear(e);
    return result == EDIT_ENTERED ? HOST_LINE : result == EDIT_STOPPED ? HOST_LINE_STOPPED
           : result == EDIT_END ? HOST_LINE_END : HOST_LINE_FAILED;
}

static host_line read_text(chat *c, blob *text)
{
    host_line got;
    if (!c->is_typed || !host_begin_keys()) return read_lines(text, c->is_typed);
    got = type_message(&c->edit, text);
    host_end_keys();
    return got;
}

/* Reads a message into *text. *more becomes 0 at the end of the input. */
static int read_message(chat *c, blob *text, int *more)
{
    host_line got;
    int stops = 0;
    do {
        text->bytes = 0;
        if (blob_append(text, "", 0)) return EXIT_FAILED;
        got = read_text(c, text);
        if (got != HOST_LINE_STOPPED) break;
        if (!c->is_typed) return EXIT_INTERRUPTED;
        host_forget_interrupt();
        if (++stops == 1) puts("(Ctrl-C once more, or Ctrl-D, ends the chat)");
    } while (stops < 2);
    *more = got == HOST_LINE;
    return got == HOST_LINE_FAILED ? complain("the standard input could not be read") : EXIT_FINE;
}

/* ---- The conversation ---- */

static int converse(chat *c)
{
    blob text = {NULL, 0};
    int status = EXIT_FINE, more = 1;
    if (c->is_typed) tell("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends the chat");
    while (status == EXIT_FINE && !c->show.failed && !c->is_over) {
        if (host_interrupted() && !c->is_typed) status = EXIT_INTERRUPTED;
        host_forget_interrupt();
        if (status == EXIT_FINE) status = read_message(c, &text, &more);
        if (status || !more) break;
        if (text.bytes && text.data[0] == '/' && text.data[1] != '/') obey(c, &text);
        else if (text.bytes && text.data[0] == '/') status = reply(c, text.data + 1, text.bytes - 1);
        else if (text.bytes) status = reply(c, text.data, text.bytes);
    }
    free(text.data);
    return status;
}

/* ---- Beginning and end ---- */

static int check_format(const chat *c)
{
    if (engine_check_text(&c->engine)) return EXIT_FAILED;
    if (!conversation_has_format(&c->talk))
        return complain("this model has no chat format (metadata chat.*); `harp run` continues texts");
    if (c->options->system && !conversation_has_system(&c->talk))
        return complain("--system: this model's chat format has no system role");
    return EXIT_FINE;
}

static int take_system(chat *c)
{
    const options *o = c->options;
    if (!o->system) return EXIT_FINE;
    if (conversation_set_system(&c->talk, o->system, strlen(o->system))) return EXIT_FAILED;
    if (o->escapes) c->talk.system.bytes = unescape(c->talk.system.data);
    return EXIT_FINE;
}

/* A model that writes the user's next turn itself has ended its answer. Where control tokens stand before a turn this
 * never matches: they have no text, and the first of them is an end token. */
static int stop_at_next_turn(chat *c)
{
    harp_params *p = &c->engine.params;
    int32_t i;
    if (conversation_next_turn(&c->talk, &c->next_turn)) return EXIT_FAILED;
    for (i = 0; i < p->n_stop; i++) c->stop[i] = p->stop[i];
    if (c->next_turn.bytes) c->stop[i++] = c->next_turn.data;
    p->stop = c->stop, p->n_stop = i;
    return EXIT_FINE;
}

static int open_chat(chat *c, const options *o)
{
    memset(c, 0, sizeof *c);
    c->options = o;
    c->limit = o->n < 0 ? INT32_MAX : o->n;
    c->show.position = -1;
    c->is_typed = host_is_terminal(stdin);
    if (engine_open_model(&c->engine, o)) return EXIT_FAILED;
    c->talk.model = c->engine.model;
    if (check_format(c) || take_system(c)) return EXIT_FAILED;
    c->engine.cancel = show_cancel, c->engine.cancel_user = &c->show;
    if (engine_set_params(&c->engine, o) || stop_at_next_turn(c)) return EXIT_FAILED;
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
    conversation_free(&c.talk);
    edit_free(&c.edit);
    free(c.answer.data), free(c.next_turn.data);
    engine_close(&c.engine);
    return status;
}
