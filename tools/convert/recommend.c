/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * recommend.c - see recommend.h
 *
 * The library reads the model as every program will, so that its head may be trusted; then the file is written anew,
 * with other metadata. Whether the values are in range says the library, too, which reads the result before it appears.
 */
#include "recommend.h"
#include "check.h"
#include "file/writer.h"
#include "ground/bytes.h"
#include "ground/json.h"

#include "../../harp.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "recommend."
enum { MOST_ADVICE = 1 << 16, PART = 1 << 16 };

/* ---- what is recommended ---- */

static const struct field {
    const char *key;
    harp_meta_type type;
} fields[] = {{"harp", HARP_META_INTEGER},       {"frame", HARP_META_TEXT},  {"reframe_from", HARP_META_INTEGER},
              {"reframings", HARP_META_INTEGER}, {"theta", HARP_META_REAL},  {"delta", HARP_META_REAL},
              {"beta", HARP_META_REAL},          {"rescale", HARP_META_INTEGER}, {"evidence", HARP_META_TEXT}};

enum { N_FIELDS = sizeof fields / sizeof *fields };

static int add_field(const cv_json *json, uint32_t value, const struct field *f, cv_meta *meta, cv_error *err)
{
    char key[64] = PREFIX;
    double real;
    int64_t integer;
    size_t bytes = 0;
    const char *text = cv_json_string(json, value, &bytes);
    strcat(key, f->key);
    if (f->type == HARP_META_TEXT && text) return cv_meta_text(meta, key, text, bytes, err);
    if (f->type == HARP_META_REAL && cv_json_number(json, value, &real)) return cv_meta_real(meta, key, real, err);
    if (f->type == HARP_META_INTEGER && cv_json_integer(json, value, &integer))
        return cv_meta_integer(meta, key, integer, err);
    return cv_fail(err, "the recommendation's %s is %s; harp-eval --task tune --recommendation FILE writes them right",
                   f->key, cv_json_type_name(json, value));
}

static int add_fields(const cv_json *json, cv_meta *meta, cv_error *err)
{
    if (cv_json_get(json, 0, "harp") == CV_JSON_NONE)
        return cv_fail(err, "this is no recommendation: the key harp is missing; harp-eval --task tune "
                            "--recommendation FILE writes one");
    for (uint32_t k = cv_json_first(json, 0); k != CV_JSON_NONE; k = cv_json_next(json, k)) {
        size_t i = 0;
        while (i < N_FIELDS && !cv_json_is(json, k, fields[i].key)) i++;
        if (i == N_FIELDS) return cv_fail(err, "a recommendation has no key %.60s", cv_json_string(json, k, NULL));
        if (add_field(json, k + 1, &fields[i], meta, err) < 0) return -1;
    }
    return 0;
}

static int add_advice(const char *path, cv_meta *meta, cv_error *err)
{
    cv_json json = {0};
    if (cv_json_load(&json, path, MOST_ADVICE, err) < 0) return -1;
    int failed = add_fields(&json, meta, err);
    cv_json_free(&json);
    return failed;
}

/* ---- the model ---- */

static int add_entry(const harp_meta *m, cv_meta *meta, cv_error *err)
{
    if (m->type == HARP_META_INTEGER) return cv_meta_integer(meta, m->key, m->integer, err);
    if (m->type == HARP_META_REAL) return cv_meta_real(meta, m->key, m->real, err);
    return (m->type == HARP_META_TEXT ? cv_meta_text(meta, m->key, m->data, m->bytes, err)
                                      : cv_meta_bytes(meta, m->key, m->data, m->bytes, err));
}

/* All but what was recommended before. */
static int copy_metadata(const char *path, cv_meta *meta, cv_error *err)
{
    harp_model *model = NULL;
    harp_error why;
    harp_meta entry;
    int failed = 0;
    if (harp_open(&model, path, &why)) return cv_fail(err, "%.200s: %.256s", path, why.text);
    for (int32_t i = 0; !failed && harp_meta_at(model, i, &entry); i++)
        if (strncmp(entry.key, PREFIX, strlen(PREFIX)) != 0) failed = add_entry(&entry, meta, err);
    harp_close(model);
    return failed;
}

static void read_record(const unsigned char *record, cv_tensor *t)
{
    memset(t, 0, sizeof *t);
    memcpy(t->name, record, CV_NAME_BYTES);
    t->type = cv_u32(record + 48), t->crc = cv_u32(record + 52);
    t->rows = cv_u64(record + 56), t->cols = cv_u64(record + 64);
    t->offset = cv_u64(record + 72), t->bytes = cv_u64(record + 80);
}

static cv_tensor *read_table(const cv_file *file, uint32_t *n, cv_error *err)
{
    unsigned char header[CV_HEADER_BYTES], record[CV_RECORD_BYTES];
    cv_tensor *table = NULL;
    int failed = cv_file_read(file, 0, header, sizeof header, err);
    if (!failed) *n = cv_u32(header + 36), table = cv_alloc(*n, sizeof *table, err);
    for (uint32_t i = 0; table && !failed && i < *n; i++) {
        failed = cv_file_read(file, cv_u64(header + 48) + (uint64_t)i * CV_RECORD_BYTES, record, sizeof record, err);
        read_record(record, &table[i]);
    }
    if (!failed) return table;
    free(table);
    return NULL;
}

static int copy_tensor(cv_writer *w, const cv_file *file, const cv_tensor *t, cv_error *err)
{
    static unsigned char part[PART];
    uint32_t which = w->current;
    for (uint64_t at = 0; at < t->bytes; at += PART) {
        size_t n = t->bytes - at < PART ? (size_t)(t->bytes - at) : PART;
        if (cv_file_read(file, t->offset + at, part, n, err) < 0 || cv_writer_add(w, part, n, err) < 0) return -1;
    }
    if (w->tensors[which].crc == t->crc) return 0;
    return cv_fail(err, "%.200s: the checksum of tensor %s is wrong: the file is damaged, and stays as it is",
                   file->path, t->name);
}

/* Is it what a session takes? */
static int accept(const char *name, cv_error *err)
{
    harp_params p = harp_defaults();
    harp_model *model = NULL;
    if (cv_check_result(name, err) < 0) return -1;
    int taken = harp_open(&model, name, NULL) == HARP_OK && harp_recommend(model, &p) == 1;
    harp_close(model);
    return taken ? 0 : cv_fail(err, "a value of the recommendation is out of range; harp.h, harp_params, has the "
                                    "bounds; the model stays as it is");
}

/* The file is closed before the new one takes its place: not all systems replace what is open. */
static int write_anew(cv_file *file, const cv_meta *meta, cv_error *err)
{
    cv_writer w;
    uint32_t n = 0;
    cv_tensor *from = read_table(file, &n, err), *to = from ? cv_alloc(n, sizeof *to, err) : NULL;
    if (to) memcpy(to, from, n * sizeof *to);
    int failed = !to || cv_writer_begin(&w, file->path, meta, to, n, err) < 0 ? -1 : 0;
    if (!failed) {
        for (uint32_t i = 0; i < n && !failed; i++) failed = copy_tensor(&w, file, &from[i], err);
        cv_file_close(file);
        if (failed) cv_writer_discard(&w);
        else failed = cv_writer_finish(&w, accept, err);
    }
    free(from), free(to);
    return failed;
}

int cv_recommend(const char *model, const char *advice, cv_error *err)
{
    cv_meta meta = {0};
    cv_file file;
    if (cv_file_open(&file, model, err) < 0) return -1;
    int failed = copy_metadata(model, &meta, err) < 0 || add_advice(advice, &meta, err) < 0
                 || write_anew(&file, &meta, err) < 0;
    if (file.handle >= 0) cv_file_close(&file);
    cv_meta_free(&meta);
    return failed ? -1 : 0;
}
