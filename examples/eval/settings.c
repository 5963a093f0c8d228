/* settings.c - what determines a method's answers: the fingerprint of every file of results
 *
 * Answers may stand in one table if they come from one model, one file of data and the same settings; methods differ in
 * their own alone. So a file of results has a line of settings for each method, and each result names that line by its
 * key, a hash of it. --resume and --merge take what fits and refuse the rest by the name of the setting that differs.
 *
 * What changes cost and never an answer is no setting: threads, instruction set, schedule, shard, limit.
 */
#include "eval.h"
#include "../../tools/convert/ground/bytes.h"
#include "../../tools/convert/ground/json_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Raised when prompts, metrics or records change: what an older harp-eval wrote does not mix with this one's. */
enum { FORMAT = 3 };

const char *const setting_names[N_SETTINGS] = {
    "version",        "task",        "model",       "data",        "shots",      "shots-data",
    "max-tokens",     "window",      "context",     "seed",        "half",       "method",
    "draft-model",    "pause-token", "pause-count", "activations", "cache",      "harp",
    "theta",          "delta",       "beta",        "rescale",     "reframings", "frame",
    "reframe-from",   "measure",     "temperature", "top-k",       "top-p",      "min-p",
    "repeat-penalty", "beams",       "beam-length", "drafts",      "lookup",     "draft-rule",
    "answers",        "pick",        "fork-at"};

/* ---- Hashes ---- */

uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    size_t i;
    for (i = 0; i < bytes; i++) hash = (hash ^ p[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static int read_part(int file, uint64_t at, unsigned char *into, size_t bytes)
{
    size_t done = 0;
    ptrdiff_t n = 1;
    for (; done < bytes && n > 0; done += n > 0 ? (size_t)n : 0)
        n = host_read_at(file, at + done, into + done, bytes - done);
    return done == bytes;
}

static int hash_head(int file, uint64_t *hash)
{
    unsigned char part[4096];
    uint64_t end, at;
    size_t n;
    if (!read_part(file, 0, part, 64)) return 0;
    end = cv_u64(part + 56); /* where the weights begin */
    *hash = HASH_START;
    for (at = 0; at < end; at += n) {
        n = end - at < sizeof part ? (size_t)(end - at) : sizeof part;
        if (!read_part(file, at, part, n)) return 0;
        *hash = hash_bytes(*hash, part, n);
    }
    return 1;
}

/* A .harp file's head (header, metadata, table of tensors) has the checksum of each tensor, so its hash speaks for all
 * of the model without reading gigabytes. Whether the weights fit their checksums is for harp-convert --check to say.
 * harp_open has checked the head before. */
int hash_model(const char *path, uint64_t *hash)
{
    uint64_t bytes;
    int file = host_open(path, &bytes), known = file >= 0 && hash_head(file, hash);
    if (file >= 0) host_close(file);
    return known ? 0 : complain("%s: the model could not be read a second time", path);
}

/* ---- The settings of a method ---- */

static void set_hash(settings *s, setting which, uint64_t hash)
{
    snprintf(s->value[which], MAX_NAME, "%016" PRIx64, hash);
}

static void set_texts(const bench *b, const method *m, settings *s)
{
    snprintf(s->value[SET_TASK], MAX_NAME, "%s", task_names[b->task]);
    snprintf(s->value[SET_METHOD], MAX_NAME, "%s", m->name);
    snprintf(s->value[SET_SEED], MAX_NAME, "%" PRIu64, b->seed);
    set_hash(s, SET_MODEL, b->model_hash), set_hash(s, SET_DATA, b->data_hash);
    set_hash(s, SET_SHOTS_DATA, b->shots_hash);
    set_hash(s, SET_DRAFT_MODEL, m->id == METHOD_SPECULATIVE ? b->draft_hash : 0);
}

/* What does not apply to a task or method is 0, whatever was asked for. */
void settings_of(const bench *b, const method *m, settings *s)
{
    const harp_params *p = &m->params;
    int is_text = b->task >= TASK_PPL, is_pause = m->id == METHOD_PAUSE;
    const struct whole {
        setting which;
        long value;
    } wholes[] = {{SET_VERSION, HARP_VERSION},
                  {SET_SHOTS, b->shots},
                  {SET_MAX_TOKENS, task_is_generated(b->task) ? b->max_tokens : 0},
                  {SET_WINDOW, is_text ? b->window : 0},
                  {SET_CONTEXT, b->context},
                  {SET_HALF, b->half},
                  {SET_PAUSE_TOKEN, is_pause ? b->pause_token : 0},
                  {SET_PAUSE_COUNT, is_pause ? b->pause_count : 0},
                  {SET_ACTIVATIONS, (long)p->activations},
                  {SET_CACHE, (long)p->cache},
                  {SET_HARP, p->harp},
                  {SET_RESCALE, p->rescale},
                  {SET_REFRAMINGS, p->reframings},
                  {SET_FRAME, (long)p->frame},
                  {SET_REFRAME_FROM, p->reframe_from},
                  {SET_MEASURE, (long)p->measure},
                  {SET_TOP_K, p->top_k},
                  {SET_BEAMS, p->beams},
                  {SET_BEAM_LENGTH, p->beam_length},
                  {SET_DRAFTS, p->drafts},
                  {SET_LOOKUP, p->lookup},
                  {SET_DRAFT_RULE, (long)p->draft_rule},
                  {SET_ANSWERS, m->answers},
                  {SET_PICK, (long)m->rule}};
    const struct real {
        setting which;
        float value;
    } reals[] = {{SET_THETA, p->theta},
                 {SET_DELTA, p->delta},
                 {SET_BETA, p->beta},
                 {SET_TEMPERATURE, p->temperature},
                 {SET_TOP_P, p->top_p},
                 {SET_MIN_P, p->min_p},
                 {SET_REPEAT_PENALTY, p->repeat_penalty},
                 {SET_FORK_AT, m->fork_at}};
    size_t i;
    memset(s, 0, sizeof *s);
    set_texts(b, m, s);
    for (i = 0; i < sizeof wholes / sizeof *wholes; i++)
        snprintf(s->value[wholes[i].which], MAX_NAME, "%ld", wholes[i].value);
    for (i = 0; i < sizeof reals / sizeof *reals; i++)
        snprintf(s->value[reals[i].which], MAX_NAME, "%.9g", (double)reals[i].value);
}

setting settings_differ(const settings *a, const settings *b, setting from, setting to)
{
    int i = (int)from;
    while (i < (int)to && strcmp(a->value[i], b->value[i]) == 0) i++;
    return (setting)i;
}

/* ---- Lines ---- */

static int is_text(int which)
{
    return which == SET_TASK || which == SET_MODEL || which == SET_DATA || which == SET_SHOTS_DATA
           || which == SET_METHOD || which == SET_DRAFT_MODEL;
}

uint64_t settings_key(const settings *s)
{
    uint64_t hash = HASH_START;
    int i;
    for (i = 0; i < N_SETTINGS; i++) hash = hash_bytes(hash, s->value[i], strlen(s->value[i]) + 1);
    return hash;
}

void settings_put(const settings *s, FILE *out)
{
    int i;
    fprintf(out, "{\"harp-eval\":%d,\"key\":\"%016" PRIx64 "\"", FORMAT, settings_key(s));
    for (i = 0; i < N_SETTINGS; i++) {
        fprintf(out, ",\"%s\":", setting_names[i]);
        if (is_text(i)) json_put_string(out, s->value[i], strlen(s->value[i]));
        else fputs(s->value[i], out);
    }
}

/* Names and values go into tables, charts and onto terminals; harp-eval writes none that need care there. */
static int is_plain(const char *value)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 :=.+-_";
    return strspn(value, plain) == strlen(value);
}

static int read_value(const json *j, int which, char *value)
{
    uint32_t node = json_find(j, 0, setting_names[which]);
    size_t bytes = 0;
    const char *text = is_text(which) ? json_text(j, node) : json_digits(j, node, &bytes);
    if (text && is_text(which)) bytes = strlen(text);
    if (!text || bytes >= MAX_NAME) return 0;
    memcpy(value, text, bytes);
    value[bytes] = 0;
    return is_plain(value);
}

int settings_read(const json *j, settings *s)
{
    const char *key = json_string(j, 0, "key");
    char is[24];
    double format = 0;
    int i;
    memset(s, 0, sizeof *s);
    if (!json_number(j, 0, "harp-eval", &format) || format != FORMAT)
        return complain("%s, line %ld: these results have format %g, this harp-eval reads %d: use the harp-eval that "
                        "wrote them, or start anew under another name",
                        j->name, j->line, format, (int)FORMAT);
    for (i = 0; i < N_SETTINGS; i++)
        if (!read_value(j, i, s->value[i]))
            return complain("%s, line %ld: the setting %s is missing here, or not as harp-eval writes it", j->name,
                            j->line, setting_names[i]);
    if (s->value[SET_METHOD][0] < 'a' || s->value[SET_METHOD][0] > 'z')
        return complain("%s, line %ld: a method's name begins with a letter", j->name, j->line);
    snprintf(is, sizeof is, "%016" PRIx64, settings_key(s));
    if (!key || strcmp(key, is) != 0)
        return complain("%s, line %ld: these settings do not fit their key: the line was changed, or damaged", j->name,
                        j->line);
    return 0;
}
