/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * convert.c - the program: other people's checkpoints -> .harp
 *
 * The order of events: open the source, collect the metadata (describe.c), plan the tensors, pour the weights through
 * the quantizer into a file that appears only when it is whole. The folders are floors, each of which leans on those
 * below it alone:
 *
 *     formats/      a model as its source has it: Hugging Face, GGUF, llama2.c, or none
 *     tokenizer/    a tokenizer as its source has it -> tables        chat/    a template -> a table of roles
 *     containers/   files that hold named tensors: safetensors, GGUF
 *     file/         the .harp file: metadata, plan, rounding, writing
 *     model/        what a model is, whatever its source
 *     ground/       errors, bytes, JSON, files, sorting, the system
 *
 * To add a family of models: a row in formats/families.c, and the names of its tensors; families.h has the columns. To
 * add a format: see model/source.h.
 */
#include "calibrate.h"
#include "check.h"
#include "describe.h"
#include "recommend.h"
#include "chat/template.h"
#include "containers/gguf.h"
#include "file/pour.h"
#include "formats/formats.h"
#include "ground/bytes.h"
#include "ground/show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: harp-convert IN OUT.harp [options]\n"
    "       harp-convert --check FILE.harp\n"
    "       harp-convert --recommend ADVICE MODEL.harp\n"
    "\n"
    "IN is a Hugging Face folder (config.json, safetensors, tokenizer), a GGUF file (of several, the first) or a "
    "llama2.c\n"
    "checkpoint, versions 0 to 2.\n"
    "\n"
    "  --tokenizer FILE   takes the tokenizer from FILE or a folder: tokenizer.json, tokenizer.model, tokenizer.bin,\n"
    "                     vocab.json with merges.txt beside it; a folder's own is found without this\n"
    "  --vocab-only       IN is a tokenizer: makes a model that only encodes and decodes\n"
    "  --name TEXT        the model's name, if not that of IN\n"
    "  --licence TEXT     the licence of the weights, to stand in the file\n"
    "  --chat KEY=TEXT    says the chat format by hand: user.before, user.after, assistant.before, assistant.after,\n"
    "                     system.before, system.after, start, ...; \\n is a new line; may be repeated\n"
    "  --today DATE       the date, as 2026-11-30, that a chat template tells the model: it stays in the file\n"
    "  --bits 4           weights of the layers in four bits: half the file, nearly twice the speed, larger errors\n"
    "  --keep NAMES       with --bits 4: what stays int8, as in \"down|qkv\" or \"0.qkv\"; --check lists the names\n"
    "  --calibrate FILE   with --bits 4: what matters is found out by reading the text in FILE, such as the model is\n"
    "                     to read later; 16,384 tokens at most\n"
    "  --bits 8           int8 also where a GGUF file has Q4_0, IQ4_NL or MXFP4, which are taken as they are else\n"
    "  --weights f32      does not round: a file four times as large and slow, to measure what int8 costs\n"
    "  --errors           prints what rounding did to each tensor\n"
    "  --quiet            prints nothing on success\n"
    "  --check            verifies a .harp file's checksums and prints what is in it\n"
    "  --recommend FILE   writes into a .harp file with which settings of HARP it is to be used, if any: FILE is from\n"
    "                     harp-eval --task tune --recommendation FILE\n";

/* ---- the command line ---- */

typedef struct option {
    const char *name;
    const char **value; /* NULL: a flag ... */
    int *flag;
} option;

static int wrong_usage(const char *what, const char *argument)
{
    show_line(stderr, "harp-convert: %s%s", what, argument);
    fprintf(stderr, "\n%s", usage);
    return 2;
}

static int add_chat(cv_request *r, const char *assignment)
{
    cv_error err = {""};
    if (r->n_chat == CV_MOST_CHAT) return wrong_usage("too many of ", "--chat");
    if (cv_check_chat(assignment, &err) < 0) return wrong_usage(err.text, "");
    r->chat[r->n_chat++] = assignment;
    return 0;
}

/* Returns 0, or the exit status. */
static int read_option(const option *options, size_t n, cv_request *r, int argc, char **argv, int *i)
{
    const char *name = argv[*i];
    size_t k = 0;
    int is_chat = strcmp(name, "--chat") == 0;
    while (k < n && strcmp(options[k].name, name) != 0) k++;
    if (k == n && !is_chat) return wrong_usage("unknown option ", name);
    if (!is_chat && options[k].flag) {
        *options[k].flag = 1;
        return 0;
    }
    if (++*i >= argc) return wrong_usage("a value must follow ", name);
    if (!is_chat) *options[k].value = argv[*i];
    else return add_chat(r, argv[*i]);
    return 0;
}

static int read_arguments(cv_request *r, int *check, const char **advice, int argc, char **argv)
{
    const option options[] = {{"--tokenizer", &r->tokenizer, NULL}, {"--name", &r->name, NULL},
                              {"--licence", &r->licence, NULL},     {"--weights", &r->weights, NULL},
                              {"--bits", &r->bits, NULL},           {"--keep", &r->keep, NULL},
                              {"--calibrate", &r->calibrate, NULL}, {"--today", &r->today, NULL},
                              {"--recommend", advice, NULL},
                              {"--vocab-only", NULL, &r->vocab_only},
                              {"--errors", NULL, &r->errors},       {"--quiet", NULL, &r->quiet},
                              {"--check", NULL, check}};
    int n_files = 0, status;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) {
            status = read_option(options, sizeof options / sizeof *options, r, argc, argv, &i);
            if (status) return status;
        } else if (n_files == 2) {
            return wrong_usage("too many files: ", argv[i]);
        } else {
            *(n_files++ == 0 ? &r->in : &r->out) = argv[i];
        }
    }
    if (r->weights && strcmp(r->weights, "int8") != 0 && strcmp(r->weights, "f32") != 0)
        return wrong_usage("--weights is int8 or f32, not ", r->weights);
    if (r->bits && strcmp(r->bits, "8") != 0 && strcmp(r->bits, "4") != 0)
        return wrong_usage("--bits is 8 or 4, not ", r->bits);
    if (r->bits && r->weights) return wrong_usage("--bits and --weights exclude each other", "");
    if (r->today && !cv_is_date(r->today)) return wrong_usage("--today is a date such as 2026-11-30, not ", r->today);
    if (r->keep && (!r->bits || r->bits[0] != '4')) return wrong_usage("--keep goes with --bits 4", "");
    if (r->calibrate && (!r->bits || r->bits[0] != '4')) return wrong_usage("--calibrate goes with --bits 4", "");
    if (*check && *advice) return wrong_usage("--check and --recommend exclude each other", "");
    if (n_files != (*check || *advice ? 1 : 2))
        return wrong_usage(*check || *advice ? "one file is wanted" : "IN and OUT.harp are wanted", "");
    return 0;
}

/* ---- formats ---- */

static int is_folder(const char *path, cv_error *err)
{
    (void)err;
    return host_kind_of(path) == HOST_FOLDER;
}

static int is_any_file(const char *path, cv_error *err)
{
    (void)path, (void)err;
    return 1;
}

/* The first that fits opens the source. llama2.c's version 0 has no magic: it takes what is left, and looks closely. */
static const struct {
    int (*fits)(const char *path, cv_error *err);
    int (*open)(cv_source **source, const char *path, cv_error *err);
} formats[] = {{is_folder, cv_open_huggingface}, {cv_is_gguf, cv_open_gguf}, {is_any_file, cv_open_llama2c}};

static int open_source(cv_source **source, const char *path, cv_error *err)
{
    for (size_t i = 0;; i++) {
        int fits = formats[i].fits(path, err);
        if (fits) return fits < 0 ? -1 : formats[i].open(source, path, err);
    }
}

/* ---- progress ---- */

typedef struct progress {
    double begin, shown;
} progress;

static void show_progress(void *user, double share, const char *tensor)
{
    progress *p = user;
    double now = host_seconds(), spent = now - p->begin;
    if (now - p->shown < 0.2) return;
    p->shown = now;
    fprintf(stderr, "\r%3.0f %%  %-24s", 100.0 * share, tensor);
    if (share > 0.01) fprintf(stderr, "  %.0f s left ", ceil(spent * (1.0 - share) / share));
    fflush(stderr);
}

static void clear_progress(const progress *p)
{
    if (p->shown > 0.0) fprintf(stderr, "\r%60s\r", "");
}

/* ---- conversion ---- */

/* Room in the metadata for what is known only at the end; its place there is *at. */
static int reserve_losses(cv_meta *meta, uint32_t n, size_t *at, cv_error *err)
{
    size_t bytes = (size_t)n * CV_LOSSES_EACH;
    unsigned char *zeros = cv_alloc(bytes, 1, err);
    int failed = !zeros || cv_meta_bytes(meta, CV_LOSSES_KEY, zeros, bytes, err) < 0;
    free(zeros);
    if (failed) return -1;
    *at = meta->bytes - (size_t)cv_round_up(bytes, 8);
    return 0;
}

static void store_losses(unsigned char *out, const cv_loss *losses, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, out += CV_LOSSES_EACH) {
        double n_weights = losses[i].n ? (double)losses[i].n : 1.0;
        cv_store_u32(out, cv_bits_of_float((float)losses[i].largest));
        cv_store_u32(out + 4, cv_bits_of_float((float)cv_loss_rms(&losses[i])));
        cv_store_u32(out + 8, cv_bits_of_float((float)sqrt(losses[i].weight2 / n_weights)));
    }
}

static int write_file(const cv_request *r, cv_description *d, cv_source *source, cv_plan *plan, cv_loss *losses,
                      cv_error *err)
{
    cv_writer writer;
    progress p = {0.0, 0.0};
    size_t at;
    int show = !r->quiet && host_is_terminal(stderr);
    p.begin = host_seconds();
    if (reserve_losses(&d->meta, plan->n, &at, err) < 0
        || cv_writer_begin(&writer, r->out, &d->meta, plan->tensors, plan->n, err) < 0)
        return -1;
    if (cv_pour(&writer, source, plan, losses, show ? show_progress : NULL, &p, err) < 0) {
        clear_progress(&p);
        cv_writer_discard(&writer);
        return -1;
    }
    clear_progress(&p);
    store_losses(d->meta.data + at, losses, plan->n);
    return cv_writer_finish(&writer, cv_check_result, err);
}

static void report(const cv_request *r, const cv_description *d, const cv_source *source, const cv_plan *plan,
                   const cv_loss *losses)
{
    char bits[48] = "";
    uint64_t four = 0;
    for (uint32_t i = 0; i < plan->n; i++) {
        const cv_tensor *t = &plan->tensors[i];
        if (t->type == CV_NIBBLES) four += t->rows * t->cols;
        if (r->errors && (t->type == CV_Q8 || t->type == CV_NIBBLES))
            cv_print_loss(t->name, t->type == CV_Q8 ? 8 : 4, t->rows, t->cols, losses[i].largest,
                          cv_loss_rms(&losses[i]), sqrt(losses[i].weight2 / (double)losses[i].n));
    }
    if (r->quiet) return;
    if (four) snprintf(bits, sizeof bits, " (%.0f of them in 4 bits)", (double)four);
    if (d->has_tokenizer)
        show_line(stdout, "%s: %.0f weights%s, %d tokens", r->out, (double)plan->weights, bits, (int)d->n_tokens);
    else
        show_line(stdout, "%s: %.0f weights%s; no tokenizer: the model takes token ids only", r->out,
                  (double)plan->weights, bits);
    if (plan->coarse)
        show_line(stderr, "harp-convert: note: %.0f matrices have 8 bits, for the source has them in %s: four bits of "
                  "those would lose more", (double)plan->coarse, plan->coarse_type);
    if (source->note) show_line(stderr, "harp-convert: note: %s", source->note);
    if (d->tokenizer_note[0]) show_line(stderr, "harp-convert: note: tokenizer: %s", d->tokenizer_note);
    if (!d->chat_note[0]) return;
    show_line(stderr, "harp-convert: note: no chat format could be derived from the template: %s", d->chat_note);
    show_line(stderr, "harp-convert: note: --chat says it by hand");
}

static cv_storage storage_of(const cv_request *r)
{
    cv_storage s = {0, r->keep};
    if (r->bits) s.bits = r->bits[0] - '0';
    if (r->weights) s.bits = strcmp(r->weights, "f32") == 0 ? 32 : 8;
    return s;
}

/* ---- calibration ---- */

/* The model with int8 weights, which is what reads the text, into a temporary file. */
static int write_int8(const char *path, const cv_description *d, cv_source *source, cv_error *err)
{
    const cv_storage storage = {8, NULL};
    cv_writer writer;
    cv_plan plan;
    if (cv_plan_make(&plan, source, &storage, err) < 0) return -1;
    cv_loss *losses = cv_alloc(plan.n, sizeof *losses, err);
    int failed = !losses || cv_writer_begin(&writer, path, &d->meta, plan.tensors, plan.n, err) < 0;
    if (!failed) {
        failed = cv_pour(&writer, source, &plan, losses, NULL, NULL, err) < 0;
        if (failed) cv_writer_discard(&writer);
        else failed = cv_writer_finish(&writer, NULL, err) < 0;
    }
    free(losses);
    cv_plan_free(&plan);
    return failed ? -1 : 0;
}

static int calibrate(const cv_request *r, const cv_description *d, cv_source *source, cv_plan *plan, cv_error *err)
{
    char path[HOST_PATH_BYTES];
    int tokens = 0;
    if (!d->has_tokenizer) return cv_fail(err, "--calibrate: the model has no tokenizer to read a text with");
    if (host_temporary("harp-convert", path)) return cv_fail(err, "a temporary file cannot be made: %.200s", path);
    int failed = write_int8(path, d, source, err) < 0 || cv_calibrate(plan, path, r->calibrate, &tokens, err) < 0;
    host_remove_temporary();
    if (!failed && !r->quiet) show_line(stdout, "calibrated with %d tokens of %s", tokens, r->calibrate);
    return failed ? -1 : 0;
}

static int pour_source(const cv_request *r, cv_description *d, cv_source *source, cv_error *err)
{
    cv_storage storage = storage_of(r);
    cv_plan plan;
    if (cv_plan_make(&plan, source, &storage, err) < 0) return -1;
    cv_loss *losses = cv_alloc(plan.n, sizeof *losses, err);
    int failed = !losses || (r->calibrate && calibrate(r, d, source, &plan, err) < 0)
                 || write_file(r, d, source, &plan, losses, err) < 0;
    if (!failed) report(r, d, source, &plan, losses);
    free(losses);
    cv_plan_free(&plan);
    return failed ? -1 : 0;
}

static int convert(const cv_request *r, cv_error *err)
{
    cv_description description;
    cv_source *source;
    cv_protect_inputs_from(r->out);
    if (cv_describe(&description, &source, r, open_source, err) < 0) return -1;
    int failed = pour_source(r, &description, source, err);
    source->close(source);
    cv_description_free(&description);
    return failed;
}

int main(int argc, char **argv)
{
    cv_request request = {0};
    cv_error err = {""};
    const char *advice = NULL;
    int check = 0;
    host_start(&argc, &argv);
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) return fputs(usage, stdout) == EOF;
    int status = read_arguments(&request, &check, &advice, argc, argv);
    if (status) return status;
    if (check) status = cv_check(request.in, &err);
    else status = advice ? cv_recommend(request.in, advice, &err) : convert(&request, &err);
    if (status == 0 && fflush(stdout) == 0 && !ferror(stdout)) return 0;
    show_line(stderr, "harp-convert: %s", status ? err.text : "not all could be printed");
    return 1;
}
