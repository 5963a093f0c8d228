/* cli.h - what the files of the harp command share
 *
 *   main.c      the sub-commands, by name
 *   options.c   the table of all options, their parser, the help
 *   input.c     files, texts, lists of token ids, escapes
 *   model.c     the model that -m names, converted if need be
 *   engine.c    a session as the options ask for it
 *   show.c      what a run reports: text, trace, statistics
 *   term.c      what a terminal gets to see: colours, and nothing that controls it
 *   edit.c      the line editor of a chat (edit.h; width.c: the columns that a character takes)
 *   conversation.c   what was said in a chat, in the model's own format; saved and loaded
 *   masks.c     --replay-masks
 *   decoders.c  --decoder: beams, drafts, pauses
 *   answers.c   --answers
 *   form.c      --json, --schema, --grammar, --choice
 *   run.c chat.c score.c tokenize.c info.c view.c      one sub-command each
 *
 * tools/convert/ground has what other programs need, too: the system (host.h alone reaches it), JSON, UTF-8.
 *
 * Functions that can fail return an exit status: EXIT_FINE, or EXIT_FAILED after one line on stderr (complain), or
 * EXIT_USAGE after the help and a line, or EXIT_INTERRUPTED after Ctrl-C.
 */
#ifndef HARP_CLI_H
#define HARP_CLI_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../../harp.h"
#include "../../tools/convert/ground/characters.h"
#include "../../tools/convert/ground/host.h"
#include "../../tools/convert/ground/json_write.h"
#include "../../tools/convert/ground/show.h"

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = HOST_EXIT_INTERRUPTED };

/* ---- options.c ---- */

enum {
    COMMAND_RUN = 1,
    COMMAND_CHAT = 2,
    COMMAND_SCORE = 4,
    COMMAND_TOKENIZE = 8,
    COMMAND_INFO = 16,
    COMMAND_VIEW = 32
};
enum { MAX_STOPS = 64 };
#define NOT_GIVEN (-0x7FFFFFFF)       /* of integers and choices: in no option's range */
#define NOT_GIVEN_REAL (-3.0e38f)     /* nor this one */
enum { DECODER_SAMPLE, DECODER_GREEDY, DECODER_BEAM, DECODER_SPECULATIVE, DECODER_LOOKUP, DECODER_PAUSE };

/* One field an option. Texts are NULL and flags 0 where an option was not given. Choices hold the index of the value in
 * the option's list, which is in the order of harp.h's enumeration. */
typedef struct options {
    const char *model;
    const char *prompt, *file, *tokens, *tokens_file, *decode, *system; /* file: of view, the trace */
    int32_t escapes, no_bos, special, no_convert, no_echo, text; /* text: of score, in place of JSON */

    int32_t n; /* -1: until the context is full */
    float temperature; /* -1: not given */
    int32_t top_k;
    float top_p, min_p;
    uint64_t seed;
    float repeat_penalty;
    int32_t repeat_last;
    int32_t json;
    const char *schema, *grammar, *choice; /* the form of an answer: at most one of the four */

    const char *stop[MAX_STOPS]; /* escapes are resolved already, if asked for, as in pause_token */
    int32_t n_stop, ignore_end;

    int32_t decoder; /* DECODER_... */
    int32_t beams, beam_top;
    float beam_alpha;
    const char *draft_model;
    int32_t drafts, draft_rule, lookup; /* drafts: 0 not given */
    const char *pause_token;
    int32_t pause_count;
    int32_t answers, pick;
    float confident;

    /* What is not given (NOT_GIVEN, rescale 0) is as the model's file recommends, with `paper` as in the paper. */
    int32_t no_harp, paper;
    float theta, delta, beta;
    int32_t reframings, frame, reframe_from, rescale;
    int32_t schedule, measure;
    const char *replay_masks;

    int32_t threads, context, activations, cache;
    const char *isa;
    int32_t color, stats;
    const char *trace, *logits;

    int32_t command; /* COMMAND_... */
    int32_t help;
} options;

/* Reads argv[2..]. EXIT_FINE with o->help set: the help was asked for and printed. */
int options_parse(options *o, int32_t command, int argc, char **argv);

/* Prints the command's help and a line that says what is wrong; returns EXIT_USAGE. */
int options_misuse(int32_t command, const char *format, ...);

/* "run", and back; NULL and 0 for what does not exist. */
const char *command_name(int32_t command);
int32_t command_by_name(const char *name);
void print_overview(FILE *out);
void print_help(FILE *out, int32_t command);

/* ---- input.c ---- */

/* One line on stderr, "harp: ..."; returns EXIT_FAILED. */
int complain(const char *format, ...);
void tell(const char *format, ...); /* the same for what is no failure, without "harp: " */

/* The same with another beginning, which may be "". A path or a file's text in it cannot control a terminal. */
void print_line(const char *begin, const char *format, va_list arguments);

/* A text with its length, zero-terminated besides. Freed by the caller. */
typedef struct blob {
    char *data;
    size_t bytes;
} blob;

int blob_append(blob *to, const char *text, size_t bytes);

/* White space of ASCII. */
int is_blank(char x);

enum { MOST_TEXT = 1 << 28 }; /* bytes; a text of more would fill any context */

/* "-" is standard input. A file of more than `most` bytes is refused: devices never end. */
int read_file(const char *path, size_t most, blob *out);

/* Refuses to write to a file that the options have us read: opening it would empty it. */
int check_output(const options *o, const char *path);
int open_output(const options *o, const char *path, FILE **out);

typedef struct ids {
    int32_t *list; /* [n] */
    size_t n, capacity;
} ids;

/* "1,2,3", "1 2 3" or "[1, 2, 3]". NULL if fine, otherwise what is wrong. */
const char *ids_parse(ids *a, const char *text, size_t bytes);

int ids_append(ids *a, const int32_t *list, size_t n);

/* Tokens of text, appended. flags as of harp_encode. */
int ids_encode(ids *a, const harp_model *model, const char *text, size_t bytes, unsigned flags);
int ids_encode_spans(ids *a, const harp_model *model, const char *text, size_t bytes, const harp_span *spans,
                     size_t n_spans, unsigned flags);

/* Replaces \n \r \t \\ \' \" \xHH in place; returns the new length. Other backslashes stay. */
size_t unescape(char *text);

/* The text that the options give, from -p or -f; empty if neither. */
int read_prompt(const options *o, blob *out);

/* Without the newline at its end: of a text in a file that is the editor's, not the writer's. */
void drop_last_newline(blob *text);


/* The ids of --tokens or --tokens-file, each below vocab. */
int read_tokens(const options *o, int32_t vocab, ids *out);
void print_ids(const int32_t *list, size_t n); /* as JSON, in a line */

/* ---- term.c ---- */

typedef struct term {
    FILE *out;
    int is_terminal, colour;
} term;

enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

term term_open(FILE *out, int32_t color);

/* Writes text; with a step, in the colour of its entropy and marked where HARP stepped in. Returns 0 if it worked. */
int term_write(const term *t, const char *text, size_t bytes, const harp_step *step);
void term_legend(const term *t);

/* ---- masks.c ---- */

/* Recorded masks. The rows of a frame redraw lie block after block, one block a hesitating step, in the order of the
 * steps; harp may ask for them more than once, so where each step's block begins is remembered. */
typedef struct replay {
    const char *path;
    blob bits;
    size_t row_bytes, rows;
    harp_frame frame;
    struct replay_block {
        int32_t step;
        size_t first_row;
    } *blocks; /* [n_blocks], steps rising */
    size_t n_blocks, capacity;
    char problem[160]; /* why a mask was refused, "" if none was */
} replay;

int replay_open(replay *r, const char *path, int32_t hidden, int32_t context, harp_frame frame);
int replay_mask(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep, int32_t hidden);
void replay_close(replay *r);

/* ---- engine.c ---- */

typedef struct form form; /* form.c */

typedef struct engine {
    harp_model *model;
    harp_session *session;
    harp_engine *shared; /* --answers: what computes for all of them; or NULL */
    harp_model *draft_model; /* --decoder speculative */
    harp_session *draft;
    harp_info info;
    harp_params params;
    harp_cancel_fn *cancel; /* set before engine_set_params, or NULL */
    void *cancel_user;
    size_t session_bytes;
    int32_t pause_token; /* --decoder pause */
    form *form;          /* NULL: an answer may have any */
    replay masks;
} engine;

int engine_open_model(engine *e, const options *o);

/* Text is asked for, or will be given: refuses a model that has no tokenizer. */
int engine_check_text(const engine *e);

/* The parameters that the options ask for, into e->params; opens what they need. */
int engine_set_params(engine *e, const options *o);

/* Refuses n tokens that the context cannot hold, e->params being set. `what` is "the prompt has" or its like. */
int engine_check_room(const engine *e, const char *what, size_t n);
int engine_open_session(engine *e);
void engine_close(engine *e);

/* Says why a call on the session failed; returns EXIT_FAILED. After Ctrl-C it says nothing: EXIT_INTERRUPTED. */
int engine_complain(const engine *e, const harp_error *err);

/* How many positions the session holds, and how many are taken. */
int32_t engine_context(const engine *e);
int32_t engine_used(const engine *e);

/* ---- decoders.c ---- */

/* What the decoder needs, into e->params; opens the draft model and its session. */
int decoder_set_params(engine *e, const options *o);

/* Feeds what --decoder pause puts between prompt and answer, and how many tokens that are. */
int decoder_pause(engine *e, const options *o);
int32_t decoder_pauses(const options *o);

/* Searches on from the tokens fed; what was found stands behind them. */
int decoder_search(engine *e, const options *o);
void decoder_print_stats(const engine *e);

/* ---- form.c ---- */

int form_is_asked(const options *o);

/* Compiles the form that the options ask for, and sets what a session needs for it, into e->params. */
int form_set_params(engine *e, const options *o);

/* The answer begins at this position. */
void form_begin(const engine *e, int32_t position);

/* Whether the answer so far is in the form, and nothing can follow. */
int form_is_closed(const engine *e);

/* Why the form ended a step, "" if it did not. */
const char *form_problem(const engine *e);

/* --choice: the tokens of the longest text; 0 without one. */
size_t form_room(const engine *e);

/* --choice: the most probable text, behind the session's tokens; and how probable each is, a line for each. */
int form_choose(const engine *e, const char **answer);
void form_print_choice(const engine *e);
void form_close(engine *e);

/* ---- answers.c ---- */

/* --answers: an engine for that many sessions, into e->params. */
int answers_set_params(engine *e, const options *o);

/* Several answers to what the session holds; the chosen one is shown, and why on stderr. */
struct show;
int answers_generate(engine *e, struct show *s, const options *o);

/* ---- show.c ---- */

typedef struct show {
    const engine *engine;
    term term;
    FILE *trace;
    const char *trace_path, *model;
    const char *prompt;  /* for the trace; NULL: it tells nothing of it                                */
    int traced;          /* the trace has begun                                                       */
    int trace_failed;    /* it could not be written                                                   */
    double last;         /* time of the last step                                                     */
    int32_t position;    /* the last step that was told of, -1: none in this turn                      */
    int failed;          /* the output could not be written                                           */
    int newline;         /* the text ends with one                                                    */
    int ended;           /* an end token came                                                         */
    double prompt_seconds, decode_seconds;
    int64_t prompt_tokens, decode_tokens;
    int64_t found_tokens; /* by a search, which has no steps */
} show;

int show_open(show *s, const engine *e, const options *o);
int show_close(show *s);

/* A prompt follows, then steps. */
void show_begin_turn(show *s);

/* Whether to end between two tokens: Ctrl-C, or what is shown or traced cannot be written. */
int show_must_stop(const show *s);

/* A harp_cancel_fn whose user is a show: Ctrl-C gives up a long prompt. Once there are tokens, the pass that is under
 * way is finished, so that text and trace end between two tokens. */
int show_cancel(void *user);

/* A step, told once: time and trace. */
void show_step(show *s, const harp_step *step);

/* So many tokens were found at once, the prompt being read along the way. */
void show_found(show *s, int32_t tokens);

/* A harp_text_fn whose user is a show. */
int show_text(void *user, const char *text, size_t bytes, const harp_step *step);
void show_stats(const show *s);

/* ---- conversation.c ---- */

typedef struct message {
    blob text;
    int is_user;
} message;

/* Zeroed, with its model: empty. */
typedef struct conversation {
    const harp_model *model;
    blob system;       /* what the model is told before all else; empty: nothing                          */
    message *messages; /* [n], user and assistant in turn                                                 */
    size_t n, first;   /* those before `first` are forgotten: kept for saving, but not shown to the model */

    harp_rendering written; /* conversation_write: as text, ...                                           */
    ids tokens;             /* ... and as tokens                                                          */
} conversation;

int conversation_has_format(const conversation *c); /* the model has a chat format ... */
int conversation_has_system(const conversation *c); /* ... with a system role          */
int conversation_add(conversation *c, int is_user, const char *text, size_t bytes);
void conversation_drop(conversation *c, size_t from); /* messages from this one on */
int conversation_set_system(conversation *c, const char *text, size_t bytes);

/* Writes it out, up to where the model speaks, into written and tokens. */
int conversation_write(conversation *c);

/* What the format puts between an answer and the user's next message, appended. */
int conversation_next_turn(const conversation *c, blob *text);

int conversation_save(const conversation *c, const char *path);
int conversation_load(conversation *c, const char *path); /* in its place; if that fails, it stays as it was */
void conversation_free(conversation *c);

/* ---- The sub-commands ---- */

int command_run(const options *o);
int command_chat(const options *o);
void chat_print_commands(FILE *out);
int command_score(const options *o);
int command_tokenize(const options *o);
int command_info(const options *o);
int command_view(const options *o);

#endif
