/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_json.c - the converter's JSON reader: every text is parsed or refused, and what is parsed hangs together */
#include "../../tools/convert/ground/json.h"
#include "fuzz.h"

static void look_at(const cv_json *j, uint32_t node, cv_error *err)
{
    size_t bytes = 0;
    const char *text = cv_json_string(j, node, &bytes);
    uint32_t count = 0, i, next;
    int64_t integer;
    double number;
    (void)err;
    if (text) fz_expect(text[bytes] == 0);
    cv_json_integer(j, node, &integer);
    cv_json_number(j, node, &number);
    fz_expect(strcmp(cv_json_type_name(j, node), "absent") != 0);
    if (cv_json_type_of(j, node) < CV_JSON_ARRAY) return;
    for (i = cv_json_first(j, node); i != CV_JSON_NONE; i = next, count++) {
        next = cv_json_next(j, i);
        fz_expect(i > node && i < j->n_nodes && (next == CV_JSON_NONE || next > i));
        if (cv_json_type_of(j, node) != CV_JSON_OBJECT) continue;
        text = cv_json_string(j, i, &bytes);
        fz_expect(text && cv_json_type_of(j, i + 1) != CV_JSON_ABSENT);
        if (strlen(text) == bytes) fz_expect(cv_json_get(j, node, text) == i + 1);
    }
    fz_expect(count == cv_json_count(j, node));
}

/* The text as values one behind another, of which the first has so many nodes; 0: any number. */
static void look_at_values(const char *text, size_t bytes, size_t nodes)
{
    cv_json j;
    cv_error err;
    size_t at = 0, n = 0, before;
    int failed = 0;
    memset(&j, 0, sizeof j);
    for (; !failed && at < bytes; n++) {
        before = at;
        failed = cv_json_parse_next(&j, text, bytes, &at, "input", &err);
        fz_expect(failed || (at > before && at <= bytes));
        if (nodes && n == 0) fz_expect(!failed && j.n_nodes == nodes);
        for (uint32_t i = 0; i < j.n_nodes; i++) look_at(&j, i, &err);
    }
    cv_json_free(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    cv_json j;
    cv_error err;
    uint32_t i;
    err.text[0] = 0;
    if (cv_json_parse(&j, (const char *)data, bytes, "input", &err) < 0) {
        fz_expect(err.text[0]);
        look_at_values((const char *)data, bytes, 0);
        return 0;
    }
    for (i = 0; i < j.n_nodes; i++) look_at(&j, i, &err);
    fz_expect(j.text_bytes <= bytes + 1 && j.n_nodes <= bytes);
    look_at_values((const char *)data, bytes, j.n_nodes);
    cv_json_free(&j);
    return 0;
}
