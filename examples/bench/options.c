/* options.c - what is measured, and whether that can be done
 *
 * A value that the user gave is used or refused. One that was not given adapts to the model, whose context may be too
 * short for the defaults. */
#include "bench.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: harp-bench -m MODEL | --shape NAME [options]\n"
    "\n"
    "  -m FILE           a .harp file\n"
    "  --shape NAME      random weights of a real shape: stories-15m, smollm2-135m, tinyllama-1.1b, llama-3.1-8b,\n"
    "                    mistral-7b, phi-3.5-mini, olmoe-1b-7b, lfm2-1.2b; in a temporary file (in the folder TMPDIR),\n"
    "                    which is removed, or with --keep in FILE\n"
    "  --bits N          of the weights of its layers, 8 or 4 [8]\n"
    "  --keep FILE       where the random model goes, and stays; used again if it is there\n"
    "  --what LIST       of decode,prefill,rows,batch,harp,request,open,bandwidth,peak [all]\n"
    "  --isa LIST        instruction sets of this machine, or all [the best]\n"
    "  --threads LIST    1 to 256 [1,2; with one processor 1]\n"
    "  --depth LIST      context before decoding, in tokens [0,2048]\n"
    "  --rates LIST      of hesitation, in percent, for harp [0,5,10,25,50,75,100]\n"
    "  --prompt N        length of the prompt of prefill, harp and request [512]\n"
    "  --generate N      tokens decoded in a run; request decodes twice as many [64]\n"
    "  --batch N         rows of a pass of the prompt, 1 to 4096 [256]\n"
    "  --runs N          runs, of which the median counts, 1 to 99 [5]\n"
    "  --pages HOW       how the file lies in memory: fresh (read anew, front to back), aged (read anew, page by page\n"
    "                    in random order, as a cache lies that has been in use for days), large (copied into memory\n"
    "                    of large pages) [as it is]\n"
    "  --json            one JSON object a line in place of the table\n"
    "  --plot FILE       an SVG of the cost of HARP against the rate of hesitation\n"
    "\n"
    "Where the model's context is too short for the defaults of --depth, --prompt and --generate, they are cut, and\n"
    "a line says so. A list has commas between its words or numbers, at most 16 of these.\n";

enum { DEFAULT_DEPTH = 2048, DEFAULT_PROMPT = 512, DEFAULT_GENERATE = 64, DEFAULT_BATCH = 256, DEFAULT_RUNS = 5 };
enum { ROWS_DEPTH = 16, BATCH_DEPTH = 128, DEEP_BATCH = 1024 };
enum { MOST_TOKENS = 1 << 24, MOST_BATCH = 4096, MOST_ISAS = 16 };

static const char *const figure_names[] = {"decode",  "prefill", "rows",      "batch", "harp",
                                           "request", "open",    "bandwidth", "peak"};
enum { N_FIGURE_NAMES = sizeof figure_names / sizeof figure_names[0] };

static int wrong(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("harp-bench: ", stderr);
    vfprintf(stderr, format, values);
    fprintf(stderr, "\n\n%s", usage);
    va_end(values);
    return 2;
}

/* ---- lists of words ---- */

static int is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && strncmp(text, word, length) == 0;
}

static int has_word(const char *list, const char *word)
{
    for (;;) {
        size_t length = strcspn(list, ",");
        if (is_word(list, length, word)) return 1;
        if (!list[length]) return 0;
        list += length + 1;
    }
}

int wants(const bench *b, const char *what)
{
    return !b->what || has_word(b->what, "all") || has_word(b->what, what);
}

int wants_isa(const bench *b, const char *isa, int index)
{
    return b->isas ? has_word(b->isas, "all") || has_word(b->isas, isa) : index == 0;
}

int is_pages(const bench *b, const char *how)
{
    return b->pages && strcmp(b->pages, how) == 0;
}

static int unknown_word(const char *option, const char *word, size_t length, const char *const *names, int n)
{
    char list[256] = "";
    int i;
    for (i = 0; i < n; i++) strcat(strcat(list, names[i]), ", ");
    return wrong("%s: there is no \"%.*s\"; there are %sand all", option, (int)(length < 64 ? length : 64), word, list);
}

/* Every word of the list is one of the names, or "all". */
static int check_words(const char *option, const char *list, const char *const *names, int n)
{
    for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL) {
        size_t length = strcspn(list, ",");
        int i;
        for (i = 0; i < n && !is_word(list, length, names[i]); i++) {}
        if (i == n && !is_word(list, length, "all")) return unknown_word(option, list, length, names, n);
    }
    return 0;
}

static int check_isas(const bench *b)
{
    const char *names[MOST_ISAS];
    int n = 0;
    while (n < MOST_ISAS && (names[n] = harp_isa(n)) != NULL) n++;
    return check_words("--isa", b->isas, names, n);
}

static int check_shape(const bench *b)
{
    char list[256] = "";
    int i;
    for (i = 0; shape_at(i) && strcmp(shape_at(i), b->shape) != 0; i++)
        strcat(strcat(list, i ? ", " : ""), shape_at(i));
    return shape_at(i) ? 0 : wrong("--shape: there is no \"%s\"; there are %s", b->shape, list);
}

/* ---- options with their values ---- */

typedef struct option {
    const char *name;
    const char **text;
    int *list, *n; /* n is NULL: one number */
    int least, most;
} bench_option;

/* Numbers in digits, with commas between. Returns how many, 0 if the text is something else. */
static int read_numbers(const bench_option *o, const char *text, int *list)
{
    int n = 0, most = o->n ? MOST_LIST : 1;
    while (n < most) {
        char *end;
        long value = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
        if (value < o->least || value > o->most) return 0;
        list[n++] = (int)value;
        if (*end == 0) return n;
        if (*end != ',') return 0;
        text = end + 1;
    }
    return 0;
}

static int read_value(const bench_option *o, const char *value)
{
    int list[MOST_LIST], n;
    if (!value) return wrong("%s needs a value", o->name);
    if (o->text) {
        *o->text = value;
        return *value ? 0 : wrong("%s: its value is empty", o->name);
    }
    n = read_numbers(o, value, list);
    if (n == 0 && o->n)
        return wrong("%s %s: wants at most %d numbers from %d to %d, with commas between", o->name, value, MOST_LIST,
                     o->least, o->most);
    if (n == 0) return wrong("%s %s: wants a number from %d to %d", o->name, value, o->least, o->most);
    memcpy(o->list, list, (size_t)n * sizeof *list);
    if (o->n) *o->n = n;
    return 0;
}

static int read_option(bench *b, const char *name, const char *value)
{
    const bench_option options[] = {
        {"-m", &b->model_path, NULL, NULL, 0, 0},
        {"--shape", &b->shape, NULL, NULL, 0, 0},
        {"--keep", &b->keep, NULL, NULL, 0, 0},
        {"--what", &b->what, NULL, NULL, 0, 0},
        {"--isa", &b->isas, NULL, NULL, 0, 0},
        {"--plot", &b->plot, NULL, NULL, 0, 0},
        {"--pages", &b->pages, NULL, NULL, 0, 0},
        {"--threads", NULL, b->threads, &b->n_threads, 1, HOST_MOST_THREADS},
        {"--depth", NULL, b->depths, &b->n_depths, 0, MOST_TOKENS},
        {"--rates", NULL, b->rates, &b->n_rates, 0, 100},
        {"--prompt", NULL, &b->prompt, NULL, 1, MOST_TOKENS},
        {"--generate", NULL, &b->generate, NULL, 1, MOST_TOKENS},
        {"--batch", NULL, &b->batch, NULL, 1, MOST_BATCH},
        {"--runs", NULL, &b->runs, NULL, 1, MOST_RUNS},
        {"--bits", NULL, &b->bits, NULL, 4, 8},
    };
    size_t i;
    for (i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strcmp(options[i].name, name) == 0) return read_value(&options[i], value);
    return wrong("unknown option %s", name);
}

static int check_options(const bench *b)
{
    int status = 0;
    if (b->model_path && b->shape) return wrong("-m and --shape exclude each other");
    if (!b->model_path && !b->shape) return wrong("one of -m and --shape is needed");
    if (b->keep && !b->shape) return wrong("--keep goes with --shape");
    if (b->bits && !b->shape) return wrong("--bits goes with --shape");
    if (b->bits && b->bits != 4 && b->bits != 8) return wrong("--bits is 8 or 4, not %d", b->bits);
    if (b->what) status = check_words("--what", b->what, figure_names, N_FIGURE_NAMES);
    if (!status && b->isas) status = check_isas(b);
    if (!status && b->pages && !is_pages(b, "fresh") && !is_pages(b, "aged") && !is_pages(b, "large"))
        status = wrong("--pages: there is no \"%.64s\"; there are fresh, aged and large", b->pages);
    if (!status && b->shape) status = check_shape(b);
    if (!status && b->plot && !wants(b, "harp")) return wrong("--plot draws what harp measures: --what must name it");
    return status;
}

/* What does not depend on the model. */
static void take_defaults(bench *b)
{
    static const int rates[] = {0, 5, 10, 25, 50, 75, 100};
    if (b->n_threads == 0) {
        b->threads[0] = 1, b->threads[1] = 2;
        b->n_threads = host_processors() > 1 ? 2 : 1;
    }
    if (b->n_rates == 0) {
        memcpy(b->rates, rates, sizeof rates);
        b->n_rates = sizeof rates / sizeof rates[0];
    }
    if (b->batch == 0) b->batch = DEFAULT_BATCH;
    if (b->runs == 0) b->runs = DEFAULT_RUNS;
}

int read_options(bench *b, int argc, char **argv)
{
    int i, status;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return fputs(usage, stdout), -1;
        if (strcmp(argv[i], "--json") == 0) b->json = 1;
        else if ((status = read_option(b, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) != 0) return status;
        else i++;
    }
    take_defaults(b);
    status = check_options(b);
    if (b->bits == 0) b->bits = 8;
    return status;
}

/* ---- the model's context ---- */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* The most tokens that all wanted figures can decode after what stands before them. A prompt that was not given can
 * still be cut: a quarter of the room is kept for it. */
static int room_to_generate(const bench *b, int room)
{
    int prompt = b->prompt ? b->prompt : smaller(DEFAULT_PROMPT, room / 4), most = room - 1, i;
    for (i = 0; wants(b, "decode") && i < b->n_depths; i++) most = smaller(most, room - b->depths[i]);
    if (wants(b, "rows")) most = smaller(most, room - b->rows_depth);
    if (wants(b, "batch")) most = smaller(most, room - smaller(DEEP_BATCH, room / 2));
    if (wants(b, "harp")) most = smaller(most, room - prompt);
    if (wants(b, "request")) most = smaller(most, (room - prompt) / 2);
    return most;
}

static int room_for_prompt(const bench *b, int room)
{
    int most = room - 1;
    if (wants(b, "harp")) most = smaller(most, room - b->generate);
    if (wants(b, "request")) most = smaller(most, room - 2 * b->generate);
    return most;
}

enum { NOTE_BYTES = 160 };

/* A number that was not given: the default, or what there is room for. Cuts that concern a wanted figure are noted. */
static int cut(char note[NOTE_BYTES], const char *option, int value, int most, int concerns)
{
    int fitting = smaller(value, most < 1 ? 1 : most);
    size_t at = strlen(note);
    if (fitting < value && concerns)
        snprintf(note + at, NOTE_BYTES - at, "%s %s %d in place of %d", at ? "," : "", option, fitting, value);
    return fitting;
}

static void cut_defaults(bench *b, char note[NOTE_BYTES])
{
    int room = b->info.context - SPARE_CONTEXT;
    int prompts = wants(b, "prefill") || wants(b, "batch") || wants(b, "harp") || wants(b, "request");
    int steps = wants(b, "decode") || wants(b, "rows") || wants(b, "batch") || wants(b, "harp") || wants(b, "request");
    b->rows_depth = cut(note, "a depth of rows of", ROWS_DEPTH, room / 2, wants(b, "rows"));
    b->batch_depths[0] = smaller(BATCH_DEPTH, room / 4 < 1 ? 1 : room / 4);
    b->batch_depths[1] = smaller(DEEP_BATCH, room / 2 < 1 ? 1 : room / 2);
    if (b->generate == 0) b->generate = cut(note, "--generate", DEFAULT_GENERATE, room_to_generate(b, room), steps);
    if (b->prompt == 0) b->prompt = cut(note, "--prompt", DEFAULT_PROMPT, room_for_prompt(b, room), prompts);
    if (b->n_depths == 0) {
        b->depths[0] = 0;
        b->depths[1] = cut(note, "--depth", DEFAULT_DEPTH, room - b->generate, wants(b, "decode"));
        b->n_depths = 2;
    }
}

static int fits(const bench *b, const char *what, int before, int after, const char *less)
{
    int needed = before + after + SPARE_CONTEXT;
    if (needed <= b->info.context) return 1;
    fprintf(stderr,
            "harp-bench: %s needs a context of %d positions (%d tokens, then %d), the model has %d: lower %s\n",
            what, needed, before, after, b->info.context, less);
    return 0;
}

int fit_to_context(bench *b)
{
    char note[NOTE_BYTES] = "";
    int i;
    cut_defaults(b, note);
    for (i = 0; wants(b, "decode") && i < b->n_depths; i++)
        if (!fits(b, "decode", b->depths[i], b->generate, "--depth or --generate")) return -1;
    if ((wants(b, "prefill") && !fits(b, "prefill", b->prompt, 1, "--prompt"))
        || (wants(b, "rows") && !fits(b, "rows", b->rows_depth, b->generate, "--generate"))
        || (wants(b, "batch") && !fits(b, "batch", b->batch_depths[1], b->generate, "--generate"))
        || (wants(b, "harp") && !fits(b, "harp", b->prompt, b->generate, "--prompt or --generate"))
        || (wants(b, "request") && !fits(b, "request", b->prompt, 2 * b->generate, "--prompt or --generate")))
        return -1;
    if (note[0]) fprintf(stderr, "harp-bench: the model's context has %d positions:%s\n", b->info.context, note);
    return 0;
}
