/* options.c - the table of all options, their parser, the help
 *
 * The table is the single place that knows an option: its names, the sub-commands that take it, where its value goes,
 * what values there are, and the line that explains it. The parser and the help are loops over it.
 */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind {
    KIND_HEADING, /* no option: a line above the following ones in the help */
    KIND_FLAG,
    KIND_TEXT,
    KIND_TEXTS,    /* repeatable: o->stop                                    */
    KIND_INTEGER,  /* int32_t within least..most                             */
    KIND_REAL,     /* float within least..most                               */
    KIND_SEED,     /* uint64_t                                               */
    KIND_CHOICE,   /* one of `values`, "a|b|c": its index, int32_t           */
    KIND_POSITION, /* an integer, or "prompt"                                */
    KIND_HELP
} kind;

typedef struct option {
    const char *name, *short_name;
    int32_t commands; /* who takes it */
    kind kind;
    size_t field; /* offset in struct options */
    double least, most;
    const char *values; /* of a choice; otherwise what the help calls the value */
    const char *help;
} option;

enum {
    GENERATES = COMMAND_RUN | COMMAND_CHAT,
    COMPUTES = GENERATES | COMMAND_SCORE,
    SIZED = COMPUTES | COMMAND_INFO, /* takes what determines a session's memory */
    ALL = SIZED | COMMAND_TOKENIZE
};

#define AT(field) offsetof(options, field)

static const option table[] = {
    {NULL, NULL, ALL, KIND_HEADING, 0, 0, 0, NULL, "Input"},
    {"--model", "-m", ALL, KIND_TEXT, AT(model), 0, 0, "FILE",
     "the model: a .harp file, or a GGUF file or a Hugging Face folder, which is converted once"},
    {"--no-convert", NULL, ALL, KIND_FLAG, AT(no_convert), 0, 0, NULL,
     "refuses a model that would have to be converted"},
    {"--prompt", "-p", COMMAND_RUN | COMMAND_SCORE | COMMAND_TOKENIZE, KIND_TEXT, AT(prompt), 0, 0, "TEXT", "the text"},
    {"--file", "-f", COMMAND_RUN | COMMAND_SCORE | COMMAND_TOKENIZE, KIND_TEXT, AT(file), 0, 0, "FILE",
     "the text, from a file (-: standard input)"},
    {"--tokens", NULL, COMMAND_RUN | COMMAND_SCORE, KIND_TEXT, AT(tokens), 0, 0, "IDS",
     "token ids instead of text: 1,2,3"},
    {"--tokens-file", NULL, COMMAND_RUN | COMMAND_SCORE, KIND_TEXT, AT(tokens_file), 0, 0, "FILE",
     "token ids, from a file"},
    {"--decode", NULL, COMMAND_TOKENIZE, KIND_TEXT, AT(decode), 0, 0, "IDS", "token ids back to text"},
    {"--no-bos", NULL, COMMAND_TOKENIZE, KIND_FLAG, AT(no_bos), 0, 0, NULL,
     "does not put the model's begin token first"},
    {"--special", NULL, COMMAND_TOKENIZE, KIND_FLAG, AT(special), 0, 0, NULL,
     "the names of control tokens become these tokens: \"<|end|>\" is one token"},
    {"--escapes", "-e", ALL & ~COMMAND_INFO, KIND_FLAG, AT(escapes), 0, 0, NULL,
     "\\n \\t \\\\ \\\" \\xHH in texts of the command line stand for characters"},
    {"--system", NULL, COMMAND_CHAT, KIND_TEXT, AT(system), 0, 0, "TEXT",
     "the system text: what the model is told before all else"},

    {NULL, NULL, GENERATES, KIND_HEADING, 0, 0, 0, NULL, "Choosing tokens"},
    {"--n-predict", "-n", GENERATES, KIND_INTEGER, AT(n), -1, INT32_MAX, "N",
     "most tokens generated; -1: until the context is full [run: 256, chat: -1]"},
    {"--temp", NULL, GENERATES, KIND_REAL, AT(temperature), 0, 1e6, "T",
     "temperature; 0: the most probable token, always [0.8; with --tokens 0]"},
    {"--top-k", NULL, GENERATES, KIND_INTEGER, AT(top_k), 0, INT32_MAX, "K",
     "chooses among the K most probable tokens; 0: all [40]"},
    {"--top-p", NULL, GENERATES, KIND_REAL, AT(top_p), 0, 1, "P",
     "chooses among the fewest tokens whose probabilities reach P; 1: all [0.95]"},
    {"--min-p", NULL, GENERATES, KIND_REAL, AT(min_p), 0, 1, "P",
     "chooses among tokens with at least P times the best one's probability; 0: all [0.05]"},
    {"--seed", "-s", GENERATES, KIND_SEED, AT(seed), 0, 0, "S", "seed of sampling and of HARP's masks [0]"},
    {"--repeat-penalty", NULL, GENERATES, KIND_REAL, AT(repeat_penalty), 1e-5, 1e6, "X",
     "makes recent tokens less probable; 1: no change [1]"},
    {"--repeat-last-n", NULL, GENERATES, KIND_INTEGER, AT(repeat_last), 0, 4096, "N",
     "how many tokens count as recent [64]"},
    {"--stop", "-r", GENERATES, KIND_TEXTS, AT(stop), 0, 0, "TEXT",
     "ends the output before this text; may be given several times"},
    {"--ignore-eos", NULL, COMMAND_RUN, KIND_FLAG, AT(ignore_end), 0, 0, NULL, "goes on after an end token"},

    {NULL, NULL, GENERATES, KIND_HEADING, 0, 0, 0, NULL,
     "The form of an answer (HARP measures hesitation before any token is forbidden, as always)"},
    {"--json", NULL, GENERATES, KIND_FLAG, AT(json), 0, 0, NULL, "a JSON value"},
    {"--schema", NULL, GENERATES, KIND_TEXT, AT(schema), 0, 0, "FILE", "JSON that is valid under this JSON schema"},
    {"--grammar", NULL, GENERATES, KIND_TEXT, AT(grammar), 0, 0, "FILE", "a text in this grammar (GBNF)"},
    {"--choice", NULL, GENERATES, KIND_TEXT, AT(choice), 0, 0, "\"A|B|C\"",
     "the most probable of these texts; prints how probable each is"},

    {NULL, NULL, COMMAND_RUN, KIND_HEADING, 0, 0, 0, NULL, "Other decoders"},
    {"--decoder", NULL, COMMAND_RUN, KIND_CHOICE, AT(decoder), 0, 0, "sample|greedy|beam|speculative|lookup|pause",
     "how tokens are found; beam is a method of the plain model [sample]"},
    {"--beams", NULL, COMMAND_RUN, KIND_INTEGER, AT(beams), 1, 64, "N", "beam: sequences kept [3]"},
    {"--beam-top", NULL, COMMAND_RUN, KIND_INTEGER, AT(beam_top), 1, 64, "N", "beam: continuations of each [5]"},
    {"--beam-alpha", NULL, COMMAND_RUN, KIND_REAL, AT(beam_alpha), -8, 8, "X", "beam: length penalty [1.2]"},
    {"--draft-model", NULL, COMMAND_RUN, KIND_TEXT, AT(draft_model), 0, 0, "FILE",
     "speculative: a small model with the same vocabulary"},
    {"--drafts", NULL, COMMAND_RUN, KIND_INTEGER, AT(drafts), 1, 64, "N",
     "speculative, lookup: most tokens guessed at once [4, 8]"},
    {"--draft-rule", NULL, COMMAND_RUN, KIND_CHOICE, AT(draft_rule), 0, 0, "exact|leviathan",
     "speculative, lookup: the same tokens as without, or the same distribution [exact]"},
    {"--ngram", NULL, COMMAND_RUN, KIND_INTEGER, AT(lookup), 1, 16, "N", "lookup: most tokens looked up [3]"},
    {"--pause-token", NULL, COMMAND_RUN, KIND_TEXT, AT(pause_token), 0, 0, "TEXT|ID",
     "pause: the token put before the answer [.]"},
    {"--pause-count", NULL, COMMAND_RUN, KIND_INTEGER, AT(pause_count), 0, 4096, "N", "pause: how many of them [10]"},

    {NULL, NULL, COMMAND_RUN, KIND_HEADING, 0, 0, 0, NULL, "Several answers, of which one is chosen"},
    {"--answers", NULL, COMMAND_RUN, KIND_INTEGER, AT(answers), 1, 64, "N",
     "answers to the prompt, computed in common passes; what most say (#### 42, or a letter) wins [1]"},
    {"--pick", NULL, COMMAND_RUN, KIND_CHOICE, AT(pick), 0, 0, "auto|certainty|logprob",
     "by majority, or where there is none by self-certainty; by that alone; by mean log-probability [auto]"},
    {"--confident", NULL, COMMAND_RUN, KIND_REAL, AT(confident), 0.01, 1, "S",
     "leaves out answers with an unsure stretch, until the share S is left [1]"},

    {NULL, NULL, SIZED, KIND_HEADING, 0, 0, 0, NULL,
     "HARP (as the model's file recommends; one of its settings given here switches it on)"},
    {"--no-harp", NULL, GENERATES | COMMAND_INFO, KIND_FLAG, AT(no_harp), 0, 0, NULL, "the plain model"},
    {"--paper", NULL, GENERATES | COMMAND_INFO, KIND_FLAG, AT(paper), 0, 0, NULL,
     "the paper's settings, where the model's file recommends others; the defaults below are the paper's"},
    {"--theta", NULL, GENERATES, KIND_REAL, AT(theta), -1e29, 1e29, "X",
     "the model hesitates above this uncertainty, in bits [1]"},
    {"--delta", NULL, GENERATES, KIND_REAL, AT(delta), 0, 1, "X", "share of embedding elements dropped [0.2]"},
    {"--beta", NULL, GENERATES, KIND_REAL, AT(beta), 0, 1, "X", "weight of the vanilla logits [0.5]"},
    {"--reframings", NULL, GENERATES | COMMAND_INFO, KIND_INTEGER, AT(reframings), 1, 64, "K",
     "reframed passes that are averaged [1]"},
    {"--frame", NULL, GENERATES | COMMAND_INFO, KIND_CHOICE, AT(frame), 0, 0, "stream|redraw|last",
     "what the second pass sees [stream]"},
    {"--reframe-from", NULL, GENERATES, KIND_POSITION, AT(reframe_from), 0, 1 << 28, "N|prompt",
     "positions before it are never masked [0]"},
    {"--schedule", NULL, GENERATES, KIND_CHOICE, AT(schedule), 0, 0, "auto|lazy|fused",
     "when the second pass is computed: cost, never results [auto]"},
    {"--rescale", NULL, GENERATES, KIND_FLAG, AT(rescale), 0, 0, NULL, "kept elements are multiplied by 1/(1-delta)"},
    {"--measure", NULL, GENERATES, KIND_CHOICE, AT(measure), 0, 0, "entropy|maxprob|margin|varentropy",
     "the uncertainty compared with theta [entropy]"},
    {"--replay-masks", NULL, COMMAND_RUN, KIND_TEXT, AT(replay_masks), 0, 0, "FILE",
     "uses the masks in this file instead of random ones"},

    {NULL, NULL, SIZED, KIND_HEADING, 0, 0, 0, NULL, "Computing"},
    {"--threads", "-t", SIZED, KIND_INTEGER, AT(threads), 0, 256, "N",
     "threads; 0: one for each processor, at most 8 [0]"},
    {"--ctx-size", "-c", SIZED, KIND_INTEGER, AT(context), 0, 1 << 28, "N",
     "most positions held; 0: the model's own, at most 4096 [0; score: the input's length]"},
    {"--act", NULL, SIZED, KIND_CHOICE, AT(activations), 0, 0, "int8|f32", "activations [int8]"},
    {"--cache", NULL, SIZED, KIND_CHOICE, AT(cache), 0, 0, "f16|f32|int8", "keys and values [f16]"},
    {"--isa", NULL, COMPUTES, KIND_TEXT, AT(isa), 0, 0, "NAME",
     "the instruction set: amx, avx512, avxvnni, avx2, ssse3, sse2, i8mm, dotprod, neon, simd128, c [the best there is]"},

    {NULL, NULL, ALL, KIND_HEADING, 0, 0, 0, NULL, "Output"},
    {"--no-echo", NULL, COMMAND_RUN, KIND_FLAG, AT(no_echo), 0, 0, NULL, "only what is generated, without the prompt"},
    {"--text", NULL, COMMAND_SCORE, KIND_FLAG, AT(text), 0, 0, NULL,
     "a table, totals and perplexity, instead of JSON lines"},
    {"--trace", NULL, COMMAND_RUN, KIND_TEXT, AT(trace), 0, 0, "FILE", "a JSON line for each generated token"},
    {"--logits", NULL, COMMAND_SCORE, KIND_TEXT, AT(logits), 0, 0, "FILE",
     "all logits: little-endian float32, [positions][vocabulary]"},
    {"--stats", NULL, GENERATES, KIND_FLAG, AT(stats), 0, 0, NULL,
     "prints speed, hesitations, work and memory at the end"},
    {"--color", NULL, GENERATES, KIND_CHOICE, AT(color), 0, 0, "auto|always|never",
     "each token in the colour of its entropy [auto: on a terminal]"},
    {"--help", "-h", ALL | COMMAND_VIEW, KIND_HELP, 0, 0, 0, NULL, "this text"},
};

enum { N_OPTIONS = sizeof table / sizeof table[0] };

static const struct command {
    const char *name;
    int32_t bit;
    const char *usage, *what;
} commands[] = {
    {"run", COMMAND_RUN, "-m MODEL [-p TEXT | -f FILE | --tokens IDS | --tokens-file FILE] [options]",
     "continues a text"},
    {"chat", COMMAND_CHAT, "-m MODEL [options]", "talks with you, in the model's own format"},
    {"score", COMMAND_SCORE, "-m MODEL (-p TEXT | -f FILE | --tokens IDS | --tokens-file FILE) [options]",
     "entropy and log-probability at each position of a text"},
    {"tokenize", COMMAND_TOKENIZE, "-m MODEL (-p TEXT | --file FILE | --decode IDS) [options]",
     "text to token ids, and back"},
    {"info", COMMAND_INFO, "-m MODEL [options]", "what a model is, what a session needs, whether the file is intact"},
    {"view", COMMAND_VIEW, "TRACE.jsonl > page.html",
     "a trace (run --trace) as a page for a browser (-: standard input)"},
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const struct command *find_command(int32_t bit)
{
    int i;
    for (i = 0; i < N_COMMANDS - 1; i++)
        if (commands[i].bit == bit) break;
    return &commands[i];
}

const char *command_name(int32_t command)
{
    return find_command(command)->name;
}

int32_t command_by_name(const char *name)
{
    int i;
    for (i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return commands[i].bit;
    return 0;
}

/* ---- Help ---- */

void print_overview(FILE *out)
{
    int i;
    fprintf(out, "harp runs language models that notice when they hesitate.\n\n");
    for (i = 0; i < N_COMMANDS; i++) fprintf(out, "  harp %-10s %s\n", commands[i].name, commands[i].what);
    fprintf(out, "\n`harp help COMMAND` lists its options.\n");
}

static void print_option(FILE *out, const option *o)
{
    char left[80];
    snprintf(left, sizeof left, "%s%s%s%s%s", o->short_name ? o->short_name : "", o->short_name ? ", " : "    ",
             o->name, o->values ? " " : "", o->values ? o->values : "");
    if (strlen(left) <= 28) fprintf(out, "  %-28s  %s\n", left, o->help);
    else fprintf(out, "  %s\n  %-28s  %s\n", left, "", o->help);
}

/* A heading shows only above an option that the command takes. */
void print_help(FILE *out, int32_t command)
{
    const struct command *c = find_command(command);
    const char *heading = NULL;
    int i;
    fprintf(out, "usage: harp %s %s\n%s\n", c->name, c->usage, c->what);
    for (i = 0; i < N_OPTIONS; i++) {
        if (table[i].kind == KIND_HEADING) heading = table[i].help;
        else if (table[i].commands & command) {
            if (heading) fprintf(out, "\n%s\n", heading);
            heading = NULL;
            print_option(out, &table[i]);
        }
    }
    if (command == COMMAND_CHAT) fputs("\nIn the chat\n", out), chat_print_commands(out);
}

int options_misuse(int32_t command, const char *format, ...)
{
    va_list arguments;
    print_help(stderr, command);
    fprintf(stderr, "\nharp %s: ", command_name(command));
    va_start(arguments, format);
    print_line("", format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

/* ---- Parsing: a number is the whole text, finite and within its range, or it is refused ---- */

static int parse_real(const char *text, double least, double most, double *value)
{
    char *end;
    if (!text[0] || text[strspn(text, "+-.0123456789eE")]) return 0; /* no blanks, no "inf", no hexadecimal */
    *value = strtod(text, &end);
    return *end == 0 && *value >= least && *value <= most;
}

static int parse_integer(const char *text, double least, double most, int32_t *value)
{
    char *end;
    long long number;
    if (!text[0] || text[strspn(text, "+-0123456789")]) return 0;
    errno = 0;
    number = strtoll(text, &end, 10);
    if (*end || errno || (double)number < least || (double)number > most) return 0;
    *value = (int32_t)number;
    return 1;
}

static int parse_seed(const char *text, uint64_t *value)
{
    char *end;
    unsigned long long number;
    if (!text[0] || text[strspn(text, "0123456789")]) return 0;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (*end || errno || number > UINT64_MAX) return 0;
    *value = (uint64_t)number;
    return 1;
}

/* The index of `text` in "a|b|c". */
static int parse_choice(const char *text, const char *values, int32_t *index)
{
    size_t length = strlen(text);
    *index = 0;
    for (;; (*index)++) {
        size_t n = strcspn(values, "|");
        if (n == length && memcmp(text, values, n) == 0) return 1;
        if (!values[n]) return 0;
        values += n + 1;
    }
}

static int add_stop(options *o, const char *text)
{
    if (o->n_stop == MAX_STOPS) return options_misuse(o->command, "--stop: at most %d texts", MAX_STOPS);
    o->stop[o->n_stop++] = text;
    return EXIT_FINE;
}

static int bad_value(const options *o, const option *d, const char *text)
{
    if (d->kind == KIND_CHOICE)
        return options_misuse(o->command, "%s: '%s' is not one of %s", d->name, text, d->values);
    if (d->kind == KIND_SEED)
        return options_misuse(o->command, "%s: '%s' is not an integer from 0 to 2^64 - 1", d->name, text);
    return options_misuse(o->command, "%s: '%s' is not %s from %.10g to %.10g", d->name, text,
                          d->kind == KIND_REAL ? "a number" : "an integer", d->least, d->most);
}

static int take_value(options *o, const option *d, const char *text)
{
    char *field = (char *)o + d->field;
    double real = 0;
    int fine = 1;
    switch (d->kind) {
    case KIND_TEXT:
        if (!text[0] && (strcmp(d->values, "FILE") == 0 || strcmp(d->values, "NAME") == 0))
            return options_misuse(o->command, "%s: the %s's name is empty", d->name,
                                  strcmp(d->values, "FILE") == 0 ? "file" : "set");
        *(const char **)(void *)field = text;
        break;
    case KIND_TEXTS: return add_stop(o, text);
    case KIND_INTEGER: fine = parse_integer(text, d->least, d->most, (int32_t *)(void *)field); break;
    case KIND_SEED: fine = parse_seed(text, (uint64_t *)(void *)field); break;
    case KIND_CHOICE: fine = parse_choice(text, d->values, (int32_t *)(void *)field); break;
    case KIND_REAL:
        fine = parse_real(text, d->least, d->most, &real);
        if (fine) *(float *)(void *)field = (float)real;
        break;
    case KIND_POSITION:
        if (strcmp(text, "prompt") == 0) *(int32_t *)(void *)field = HARP_FROM_PROMPT;
        else fine = parse_integer(text, d->least, d->most, (int32_t *)(void *)field);
        break;
    default: break;
    }
    return fine ? EXIT_FINE : bad_value(o, d, text);
}

/* The option called by the first `length` bytes of text. */
static const option *find_option(const char *text, size_t length)
{
    int i;
    for (i = 0; i < N_OPTIONS; i++) {
        const option *d = &table[i];
        if (d->kind == KIND_HEADING) continue;
        if (strlen(d->name) == length && memcmp(d->name, text, length) == 0) return d;
        if (d->short_name && strlen(d->short_name) == length && memcmp(d->short_name, text, length) == 0) return d;
    }
    return NULL;
}

/* What stands without an option: the trace of view. */
static int take_argument(options *o, const char *text)
{
    if (o->file) return options_misuse(o->command, "more than one trace is given: '%s'", text);
    o->file = text;
    return EXIT_FINE;
}

/* Reads the option at argv[*i], as "--name value" or "--name=value", and moves *i past it. */
static int parse_one(options *o, int argc, char **argv, int *i)
{
    const char *text = argv[(*i)++], *equals = text[0] == '-' && text[1] == '-' ? strchr(text, '=') : NULL;
    const option *d = find_option(text, equals ? (size_t)(equals - text) : strlen(text));
    if (o->command == COMMAND_VIEW && (text[0] != '-' || !text[1])) return take_argument(o, text);
    if (!d) return options_misuse(o->command, "there is no option '%s'", text);
    if (!(d->commands & o->command))
        return options_misuse(o->command, "%s is not an option of this command", d->name);
    if (d->kind == KIND_FLAG || d->kind == KIND_HELP) {
        if (equals) return options_misuse(o->command, "%s takes no value", d->name);
        *(int32_t *)(void *)((char *)o + (d->kind == KIND_FLAG ? d->field : AT(help))) = 1;
        return EXIT_FINE;
    }
    if (!equals && *i == argc) return options_misuse(o->command, "%s needs a value", d->name);
    return take_value(o, d, equals ? equals + 1 : argv[(*i)++]);
}

static void set_defaults(options *o, int32_t command)
{
    harp_params p = harp_defaults();
    memset(o, 0, sizeof *o);
    o->command = command;
    o->n = command == COMMAND_RUN ? 256 : -1;
    o->beams = 3, o->beam_top = harp_beam_defaults().top_k, o->beam_alpha = harp_beam_defaults().alpha;
    o->lookup = p.lookup, o->pause_count = 10;
    o->answers = 1, o->confident = 1.0f;
    o->temperature = -1.0f;
    o->top_k = p.top_k, o->top_p = p.top_p, o->min_p = p.min_p, o->seed = p.seed;
    o->repeat_penalty = p.repeat_penalty, o->repeat_last = p.repeat_last;
    o->theta = o->delta = o->beta = NOT_GIVEN_REAL;
    o->reframings = o->frame = o->reframe_from = o->measure = NOT_GIVEN;
    o->schedule = (int32_t)p.schedule;
    o->context = p.context;
    o->activations = (int32_t)p.activations, o->cache = (int32_t)p.cache;
}

/* What is wrong with a list of ids, or NULL. */
static const char *ids_problem(const char *list)
{
    ids parsed = {NULL, 0, 0};
    const char *problem = ids_parse(&parsed, list, strlen(list));
    free(parsed.list);
    return problem;
}

/* Escapes in place: the strings of argv are the program's to change [C99, 5.1.2.2.1]. Those of the prompt wait for
 * read_prompt: they may hold a zero. */
static int resolve_escapes(options *o)
{
    int32_t i;
    for (i = 0; i <= o->n_stop; i++) {
        const char *text = i < o->n_stop ? o->stop[i] : o->pause_token;
        const char *name = i < o->n_stop ? "--stop" : "--pause-token";
        if (!text) continue;
        if (o->escapes && unescape((char *)(uintptr_t)text) != strlen(text))
            return options_misuse(o->command, "%s: there is a zero byte in the text", name);
        if (!text[0]) return options_misuse(o->command, "%s: the text is empty", name);
    }
    if (!o->pause_token) o->pause_token = ".";
    return EXIT_FINE;
}

static int check_view(const options *o)
{
    if (!o->file || !o->file[0])
        return options_misuse(o->command, "no trace is given: harp view TRACE.jsonl > page.html");
    return EXIT_FINE;
}

/* What no single option can see: what must be there, and what excludes what. */
static int check_together(options *o)
{
    int inputs = (o->prompt != NULL) + (o->file != NULL) + (o->tokens != NULL) + (o->tokens_file != NULL)
                 + (o->decode != NULL);
    int ids_only = o->tokens || o->tokens_file;
    const char *list = o->tokens ? o->tokens : o->decode, *problem = list ? ids_problem(list) : NULL;
    if (!o->model) return options_misuse(o->command, "no model is given: name one with -m FILE");
    if (inputs > 1)
        return options_misuse(o->command, "more than one input is given (-p, -f, --tokens, --tokens-file, --decode)");
    if (inputs == 0 && o->command & (COMMAND_SCORE | COMMAND_TOKENIZE))
        return options_misuse(o->command, "no input is given");
    if (problem) return options_misuse(o->command, "%s: %s", o->tokens ? "--tokens" : "--decode", problem);
    if (ids_only && o->n_stop) return options_misuse(o->command, "--stop needs text, not --tokens");
    if (ids_only && o->color == COLOR_ALWAYS)
        return options_misuse(o->command, "--color needs text, not --tokens, whose output is token ids");
    if ((o->json != 0) + (o->schema != NULL) + (o->grammar != NULL) + (o->choice != NULL) > 1)
        return options_misuse(o->command, "an answer has one form: --json, --schema, --grammar or --choice");
    if (ids_only && form_is_asked(o))
        return options_misuse(o->command, "--json, --schema, --grammar and --choice need text, not --tokens");
    if (o->decoder == DECODER_BEAM && form_is_asked(o))
        return options_misuse(o->command, "--decoder beam cannot keep to a form: it looks many tokens ahead");
    if (o->choice && o->trace) return options_misuse(o->command, "--choice has no steps to trace");
    if (o->answers > 1 && (ids_only || o->trace || o->stats || o->replay_masks || form_is_asked(o)
                           || o->decoder > DECODER_GREEDY))
        return options_misuse(o->command, "--answers goes with texts, sampled or greedy: without --tokens, --trace, "
                                          "--stats, --replay-masks, a form or another decoder");
    if (o->replay_masks && o->reframings > 1)
        return options_misuse(o->command, "--replay-masks holds the masks of one reframing, not of %d",
                              (int)o->reframings);
    if (o->replay_masks && o->frame == HARP_FRAME_LAST)
        return options_misuse(o->command, "--replay-masks goes with --frame stream or redraw");
    if (o->decoder == DECODER_SPECULATIVE && !o->draft_model)
        return options_misuse(o->command, "--decoder speculative needs a --draft-model");
    if (o->decoder != DECODER_SPECULATIVE && o->draft_model)
        return options_misuse(o->command, "--draft-model goes with --decoder speculative");
    if (o->decoder == DECODER_BEAM && (o->trace || o->n_stop))
        return options_misuse(o->command, "--decoder beam has no steps to trace or to stop at");
    if (o->decoder == DECODER_GREEDY) o->temperature = 0.0f;
    if (o->temperature < 0.0f) o->temperature = ids_only ? 0.0f : harp_defaults().temperature;
    return EXIT_FINE;
}

int options_parse(options *o, int32_t command, int argc, char **argv)
{
    int i = 2, status = EXIT_FINE;
    set_defaults(o, command);
    while (i < argc && status == EXIT_FINE) status = parse_one(o, argc, argv, &i);
    if (status == EXIT_FINE && o->help) print_help(stdout, command);
    else if (status == EXIT_FINE && command == COMMAND_VIEW) status = check_view(o);
    else if (status == EXIT_FINE && (status = resolve_escapes(o)) == EXIT_FINE) status = check_together(o);
    return status;
}
