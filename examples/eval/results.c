/* results.c - records: a JSON line each, read back by --resume and --merge
 *
 * A line tells what one method did with one item: sums, which add up in any order. So a run that was cut off goes on
 * from its file, and the files of several machines make one table.
 */
#include "eval.h"

#include <stdlib.h>
#include <string.h>

static const struct field {
    const char *name;
    size_t at;
} fields[] = {
#define FIELD(name)                                                                                                    \
    {                                                                                                                  \
#name, offsetof(outcome, name)                                                                                 \
    }
    FIELD(trials),         FIELD(right),        FIELD(right2), FIELD(nll),     FIELD(tokens), FIELD(doubtful),
    FIELD(doubtful_right), FIELD(doubtful_nll), FIELD(won),    FIELD(lost),    FIELD(steps),  FIELD(hesitated),
    FIELD(changed),        FIELD(passes),       FIELD(rows),   FIELD(seconds), FIELD(cut)};

enum { N_FIELDS = sizeof fields / sizeof *fields };

static double *field_of(outcome *o, int i)
{
    return (double *)(void *)((char *)o + fields[i].at);
}

int32_t results_name(results *r, const char *name)
{
    int32_t i;
    for (i = 0; i < r->n_names; i++)
        if (strcmp(r->names[i], name) == 0) return i;
    if (r->n_names == (int32_t)(sizeof r->names / sizeof *r->names)) return -1;
    r->names[i] = malloc(strlen(name) + 1);
    if (!r->names[i]) return -1;
    strcpy(r->names[i], name);
    return r->n_names++;
}

/* Where (method, item) is in the hash table of places, or the free place where it would go. Never full: at most half of
 * the places are taken. */
static size_t find_place(const results *r, int32_t which, int32_t number)
{
    size_t mask = 2 * r->capacity - 1, at = ((size_t)number * 2654435761u + (size_t)which * 40503u) & mask;
    while (r->places[at] && (r->list[r->places[at] - 1].method != which || r->list[r->places[at] - 1].item != number))
        at = (at + 1) & mask;
    return at;
}

int results_have(const results *r, int32_t which, int32_t number)
{
    return r->capacity > 0 && r->places[find_place(r, which, number)] != 0;
}

/* Room for twice as many records; the table of places is made anew. */
static int grow_results(results *r)
{
    size_t capacity = r->capacity ? 2 * r->capacity : 1024, i;
    record *list = realloc(r->list, capacity * sizeof *list);
    uint32_t *places = calloc(2 * capacity, sizeof *places);
    if (list) r->list = list;
    if (!list || !places || capacity > (1u << 28))
        return free(places), complain("there is not enough memory for the results");
    free(r->places);
    r->places = places, r->capacity = capacity;
    for (i = 0; i < r->n; i++) places[find_place(r, list[i].method, list[i].item)] = (uint32_t)i + 1;
    return 0;
}

int results_add(results *r, int32_t which, int32_t number, const outcome *o)
{
    if (r->n == r->capacity && grow_results(r)) return EXIT_FAILED;
    r->list[r->n].method = which, r->list[r->n].item = number, r->list[r->n].o = *o;
    r->places[find_place(r, which, number)] = (uint32_t)r->n + 1;
    r->n++;
    return 0;
}

int results_write(const results *r, FILE *out, const record *what)
{
    outcome o = what->o;
    int i;
    fprintf(out, "{\"task\":\"%s\",\"method\":\"%s\",\"item\":%ld", r->task, r->names[what->method], (long)what->item);
    for (i = 0; i < N_FIELDS; i++)
        if (*field_of(&o, i) != 0) fprintf(out, ",\"%s\":%.9g", fields[i].name, *field_of(&o, i));
    fputs("}\n", out);
    return fflush(out) || ferror(out) ? complain("the results could not be written") : 0;
}

static int read_record(results *r, const json *j)
{
    const char *task = json_string(j, 0, "task"), *named = json_string(j, 0, "method");
    double number = json_number(j, 0, "item", -1);
    outcome o;
    int32_t name;
    int i;
    if (!task || !named || !(number >= 0 && number <= 1e7) || strlen(task) >= sizeof r->task || strlen(named) >= 80)
        return complain("%s, line %ld: this is no result of harp-eval", j->name, (long)j->line);
    if (!r->task[0]) strcpy(r->task, task);
    if (strcmp(r->task, task) != 0)
        return complain("%s, line %ld: a result of task %s, not %s", j->name, (long)j->line, task, r->task);
    if ((name = results_name(r, named)) < 0) return complain("%s: too many methods", j->name);
    for (i = 0; i < N_FIELDS; i++) *field_of(&o, i) = json_number(j, 0, fields[i].name, 0);
    return results_have(r, name, (int32_t)number) ? 0 : results_add(r, name, (int32_t)number, &o);
}

/* A run that was killed may have left half a line at the end: with may_be_cut it does not count. */
int results_read(results *r, const char *path, int may_be_cut)
{
    char *text = NULL;
    size_t bytes;
    json j;
    int status = read_whole(path, &text, &bytes);
    if (status) return status;
    while (may_be_cut && bytes > 0 && text[bytes - 1] != '\n') text[--bytes] = 0;
    json_open(&j, path, text, bytes);
    while (status == 0 && json_more(&j)) {
        status = json_read(&j);
        if (status == 0) status = read_record(r, &j);
    }
    json_close(&j);
    free(text);
    return status;
}

void results_free(results *r)
{
    int32_t i;
    for (i = 0; i < r->n_names; i++) free(r->names[i]);
    free(r->list), free(r->places);
    memset(r, 0, sizeof *r);
}
