/* results.c - records: a JSON line each, read back by --resume and --merge
 *
 * A line tells what one method did with one item: sums, which add up in any order. So a run that was cut off goes on
 * from its file, and the files of several machines make one table. Which run a line belongs to says its key: it is that
 * of a line of settings (settings.c), which stands somewhere before it.
 *
 *      {"harp-eval":3,"key":"91c1...","version":100,"task":"csqa","model":"5e07...", ... ,"method":"vanilla", ...}
 *      {"key":"91c1...","method":"vanilla","item":0,"trials":1,"right":1, ...}
 */
#include "eval.h"
#include "../../tools/convert/ground/json_write.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Each value of a record lies within 0 and `most`, likelihoods within -most and `most`: sums of ten million of them are
 * finite, and what counts is whole. */
enum { COUNT, SHARE, REAL, SIGNED };
static const double most = 1e12;

static const struct field {
    const char *name;
    size_t at;
    int what;
} fields[] = {
#define FIELD(name, what)                                                                                              \
    {                                                                                                                  \
#name, offsetof(outcome, name), what                                                                           \
    }
    FIELD(trials, COUNT),  FIELD(right, SHARE),    FIELD(right2, SHARE),         FIELD(nll, SIGNED),
    FIELD(tokens, COUNT),  FIELD(doubtful, COUNT), FIELD(doubtful_right, COUNT), FIELD(doubtful_nll, SIGNED),
    FIELD(won, COUNT),     FIELD(lost, COUNT),     FIELD(steps, COUNT),          FIELD(hesitated, COUNT),
    FIELD(changed, COUNT), FIELD(passes, COUNT),   FIELD(rows, COUNT),           FIELD(seconds, REAL),
    FIELD(cut, COUNT),     FIELD(entropy, REAL),   FIELD(peak, REAL),          FIELD(answers, COUNT),
    FIELD(votes, COUNT)};

enum { N_FIELDS = sizeof fields / sizeof *fields };

static double *field_of(outcome *o, int i)
{
    return (double *)(void *)((char *)o + fields[i].at);
}

/* NULL, or the name of a value that cannot be. NaN is in no range. */
static const char *impossible(const outcome *what)
{
    outcome o = *what;
    int i;
    for (i = 0; i < N_FIELDS; i++) {
        double value = *field_of(&o, i), least = fields[i].what == SIGNED ? -most : 0;
        if (!(value >= least && value <= most)) return fields[i].name;
        if (fields[i].what == COUNT && value != floor(value)) return fields[i].name;
    }
    if (o.right > o.trials) return "right";
    if (o.right2 > o.trials) return "right2";
    if (o.doubtful > o.trials) return "doubtful";
    if (o.doubtful_right > o.doubtful) return "doubtful_right";
    return o.won > o.trials ? "won" : o.lost > o.trials ? "lost" : NULL;
}

/* ---- Methods ---- */

const char *results_name(const results *r, int32_t which)
{
    return r->methods[which]->settings.value[SET_METHOD];
}

static int refuse_other(const results *r, const settings *is, const settings *here, setting which, const char *file,
                        long line)
{
    return complain("%s, line %ld: method %s of another run: its setting %s is %s, here it is %s; %s", file, line,
                    is->value[SET_METHOD], setting_names[which], is->value[which], here->value[which], r->advice);
}

/* The method's index; those settings that are common to a run must be those of the methods before it. */
int results_method(results *r, const settings *s, const char *file, long line, int32_t *which)
{
    int32_t i;
    setting differs;
    kind *k;
    if (r->n_methods > 0) {
        differs = settings_differ(s, &r->methods[0]->settings, SET_VERSION, SET_METHOD);
        if (differs != SET_METHOD) return refuse_other(r, s, &r->methods[0]->settings, differs, file, line);
    }
    for (i = 0; i < r->n_methods; i++)
        if (strcmp(results_name(r, i), s->value[SET_METHOD]) == 0) {
            differs = settings_differ(s, &r->methods[i]->settings, SET_METHOD, N_SETTINGS);
            if (differs != N_SETTINGS) return refuse_other(r, s, &r->methods[i]->settings, differs, file, line);
            return *which = i, 0;
        }
    if (r->n_methods == (int32_t)(sizeof r->methods / sizeof *r->methods))
        return complain("%s, line %ld: these are more than %ld methods", file, line, (long)r->n_methods);
    k = malloc(sizeof *k);
    if (!k) return complain("there is not enough memory for the results");
    k->settings = *s, k->key = settings_key(s), k->in_file = 0;
    r->methods[r->n_methods] = k;
    *which = r->n_methods++;
    return 0;
}

/* ---- The list of records ---- */

/* Where (method, item) is in the hash table of places, or the free place where it would go. Never full: at most half of
 * the places are taken. */
static size_t find_place(const results *r, int32_t which, int32_t number)
{
    size_t mask = 2 * r->capacity - 1, at = ((size_t)number * 2654435761u + (size_t)which * 40503u) & mask;
    while (r->places[at] && (r->list[r->places[at] - 1].method != which || r->list[r->places[at] - 1].item != number))
        at = (at + 1) & mask;
    return at;
}

const record *results_find(const results *r, int32_t which, int32_t number)
{
    uint32_t place = r->capacity > 0 ? r->places[find_place(r, which, number)] : 0;
    return place ? &r->list[place - 1] : NULL;
}

/* Room for twice as many records; the table of places is made anew. */
static int grow_results(results *r)
{
    size_t capacity = r->capacity ? 2 * r->capacity : 1024, i;
    int fits = capacity <= 1u << 28 && capacity <= SIZE_MAX / sizeof *r->list;
    record *list = fits ? realloc(r->list, capacity * sizeof *list) : NULL;
    uint32_t *places = list ? calloc(2 * capacity, sizeof *places) : NULL;
    if (list) r->list = list;
    if (!places) return complain("there is not enough memory for the results");
    free(r->places);
    r->places = places, r->capacity = capacity;
    for (i = 0; i < r->n; i++) places[find_place(r, r->list[i].method, r->list[i].item)] = (uint32_t)i + 1;
    return 0;
}

int results_add(results *r, int32_t which, int32_t number, const outcome *o)
{
    const char *name = impossible(o);
    if (name)
        return complain("item %ld, method %s: %s came out as no possible number; check the model with "
                        "harp-convert --check",
                        (long)number, results_name(r, which), name);
    if (r->n == r->capacity && grow_results(r)) return EXIT_FAILED;
    r->list[r->n].method = which, r->list[r->n].item = number, r->list[r->n].o = *o;
    r->places[find_place(r, which, number)] = (uint32_t)r->n + 1;
    r->n++;
    return 0;
}

/* ---- Writing ---- */

/* Ends a line, and sees to it that it is in the file. */
static int end_line(FILE *out, const char *path)
{
    errno = 0;
    fputs("}\n", out);
    if (fflush(out) == 0 && !ferror(out)) return 0;
    return complain("%s: the results could not be written: %s; --resume goes on once they can", path,
                    errno ? strerror(errno) : "the device failed");
}

int results_write_settings(results *r, FILE *out, const char *path)
{
    int32_t i;
    int status = 0;
    for (i = 0; i < r->n_methods && status == 0; i++) {
        if (r->methods[i]->in_file) continue;
        settings_put(&r->methods[i]->settings, out);
        status = end_line(out, path);
        r->methods[i]->in_file = 1;
    }
    return status;
}

int results_write(const results *r, FILE *out, const char *path, const record *what)
{
    const char *name = results_name(r, what->method);
    outcome o = what->o;
    int i;
    fprintf(out, "{\"key\":\"%016" PRIx64 "\",\"method\":", r->methods[what->method]->key);
    json_put_string(out, name, strlen(name));
    fprintf(out, ",\"item\":%ld", (long)what->item);
    for (i = 0; i < N_FIELDS; i++) {
        if (*field_of(&o, i) == 0) continue;
        fprintf(out, ",\"%s\":", fields[i].name);
        json_put_number(out, *field_of(&o, i));
    }
    return end_line(out, path);
}

/* ---- Reading ---- */

static int no_result(const json *j, const char *what)
{
    return complain("%s, line %ld: %s", j->name, j->line, what);
}

/* Sixteen digits of a hexadecimal number, as settings_put writes keys. */
static int parse_key(const char *text, uint64_t *key)
{
    char *end;
    *key = strtoull(text, &end, 16);
    return strspn(text, "0123456789abcdef") == 16 && end == text + 16 && !*end;
}

static int find_method(const results *r, const json *j, const char *text, int32_t *which)
{
    const char *name = json_string(j, 0, "method");
    uint64_t key;
    if (!parse_key(text, &key)) return no_result(j, "the key of this result is no key");
    for (*which = 0; *which < r->n_methods && r->methods[*which]->key != key; ++*which) continue;
    if (*which == r->n_methods)
        return no_result(j, "the settings of this result do not stand before it: that line was lost, or cut out");
    if (name && strcmp(name, results_name(r, *which)) == 0) return 0;
    return no_result(j, "this result has the key of one method and the name of another: it was changed, or damaged");
}

static int read_outcome(const json *j, outcome *o)
{
    const char *name;
    int i;
    memset(o, 0, sizeof *o);
    for (i = 0; i < N_FIELDS; i++)
        if (json_find(j, 0, fields[i].name) != CV_JSON_NONE && !json_number(j, 0, fields[i].name, field_of(o, i)))
            *field_of(o, i) = -2 * most;
    name = impossible(o);
    return name ? complain("%s, line %ld: %s cannot have this value: the line was changed, or damaged", j->name,
                           j->line, name)
                : 0;
}

static int read_record(results *r, const json *j)
{
    const char *key = json_string(j, 0, "key");
    const record *same;
    double number = -1;
    outcome o;
    int32_t which = 0;
    if (!key && json_string(j, 0, "task") && json_string(j, 0, "method"))
        return no_result(j, "a result of an older harp-eval, which did not write down its model and settings; what it "
                            "may be mixed with is not known, so start anew under another name");
    if (!key || !json_number(j, 0, "item", &number)) return no_result(j, "this is no result of harp-eval");
    if (!(number >= 0 && number < MAX_ITEMS && number == floor(number)))
        return no_result(j, "item is not the number of a question");
    if (find_method(r, j, key, &which) || read_outcome(j, &o)) return EXIT_FAILED;
    same = results_find(r, which, (int32_t)number);
    if (!same) return results_add(r, which, (int32_t)number, &o);
    if (same->o.trials == o.trials && fabs(same->o.right - o.right) < 1e-6 && fabs(same->o.right2 - o.right2) < 1e-6)
        return 0;
    return no_result(j, "this result contradicts an earlier one of the same method and item; the same settings give "
                        "the same answer, so one of them was changed, or damaged");
}

static int read_line(results *r, const json *j)
{
    settings s;
    int32_t which;
    if (json_find(j, 0, "harp-eval") == CV_JSON_NONE) return read_record(r, j);
    if (settings_read(j, &s) || results_method(r, &s, j->name, j->line, &which)) return EXIT_FAILED;
    r->methods[which]->in_file = 1;
    return 0;
}

/* A run that was killed, or a full disk, may have left half a line at the end. How many bytes are whole lines; `bytes`
 * where the rest is no beginning of a line of ours, so that it is read and refused. */
static size_t whole_lines(const char *whole, size_t bytes)
{
    static const char *const begins[] = {"{\"key\":\"", "{\"harp-eval\":"};
    size_t end = bytes, i, n;
    while (end > 0 && whole[end - 1] != '\n') end--;
    for (i = 0; i < sizeof begins / sizeof *begins; i++) {
        n = strlen(begins[i]) < bytes - end ? strlen(begins[i]) : bytes - end;
        if (memcmp(whole + end, begins[i], n) == 0) return end;
    }
    return bytes;
}

static int cut_off(const char *path, size_t end)
{
    char *whole = NULL;
    size_t bytes;
    int status = read_whole(path, &whole, &bytes);
    if (status == 0) status = save_whole(path, whole, end < bytes ? end : bytes);
    free(whole);
    return status;
}

int results_read(results *r, const char *path, int goes_on)
{
    char *whole = NULL;
    size_t bytes, end;
    json j;
    int status = read_whole(path, &whole, &bytes);
    if (status) return status;
    end = goes_on ? whole_lines(whole, bytes) : bytes;
    whole[end] = 0;
    json_open(&j, path, whole, end);
    while (status == 0 && json_more(&j)) {
        status = json_read(&j);
        if (status == 0) status = read_line(r, &j);
    }
    json_close(&j);
    free(whole);
    return status == 0 && end < bytes ? cut_off(path, end) : status;
}

void results_free(results *r)
{
    int32_t i;
    for (i = 0; i < r->n_methods; i++) free(r->methods[i]);
    free(r->list), free(r->places);
    memset(r, 0, sizeof *r);
}
