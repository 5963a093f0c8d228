/* data.c - data files and texts into items
 *
 * The files are read as their authors publish them: gsm8k (openai/grade-school-math, JSON lines), commonsense_qa (the
 * authors' JSON lines), LAMBADA (JSON lines with "text"), MMLU-Pro (JSON lines; options within the question, or in a
 * list), ARC (a JSON array of instructions "Answer1: ... Answer2: ...", or the authors' JSON lines with "choices"),
 * CNN/DailyMail (JSON lines with "article" and "highlights").
 */
#include "eval.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *text, size_t bytes)
{
    char *c = malloc(bytes + 1);
    if (c) memcpy(c, text, bytes), c[bytes] = 0;
    return c;
}

static char *copy_trimmed(const char *text, size_t bytes)
{
    while (bytes > 0 && strchr(" \t\r\n", text[0])) text++, bytes--;
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1])) bytes--;
    return copy(text, bytes);
}

static void free_item(item *q)
{
    int32_t i;
    free(q->question), free(q->answer);
    for (i = 0; i < q->n_choices; i++) free(q->choices[i]);
}

void free_items(items *list)
{
    size_t i;
    for (i = 0; i < list->n; i++) free_item(&list->list[i]);
    free(list->list);
    memset(list, 0, sizeof *list);
}

static int add_choice(item *q, const char *text, size_t bytes)
{
    if (q->n_choices == MAX_CHOICES) return 0;
    q->choices[q->n_choices] = copy_trimmed(text, bytes);
    return q->choices[q->n_choices++] != NULL;
}

/* ---- One reader a task: 1 if the record is whole ---- */

static int read_question_answer(const json *j, uint32_t at, item *q, const char *question, const char *answer)
{
    const char *a = json_string(j, at, question), *b = json_string(j, at, answer);
    if (!a || !b) return 0;
    q->question = copy(a, strlen(a)), q->answer = copy(b, strlen(b));
    return q->question && q->answer;
}

/* The passage without its last word, and that word: what follows the last space. */
static int read_lambada(const json *j, uint32_t at, item *q)
{
    const char *text = json_string(j, at, "text"), *space = text ? strrchr(text, ' ') : NULL;
    if (!space || space == text || !space[1]) return 0;
    q->question = copy(text, (size_t)(space - text)), q->answer = copy(space, strlen(space));
    return q->question && q->answer;
}

/* "question": {"stem": ..., "choices": [{"label": ..., "text": ...}, ...]}, "answerKey": "A" */
static int read_choices(const json *j, uint32_t at, item *q)
{
    uint32_t question = json_find(j, at, "question"), list = json_find(j, question, "choices"), i;
    const char *stem = json_string(j, question, "stem"), *key = json_string(j, at, "answerKey");
    if (!stem || !key || cv_json_type_of(&j->value, list) != CV_JSON_ARRAY) return 0;
    q->question = copy_trimmed(stem, strlen(stem)), q->answer = copy(key, strlen(key)), q->right = -1;
    for (i = cv_json_first(&j->value, list); i != CV_JSON_NONE; i = cv_json_next(&j->value, i)) {
        const char *label = json_string(j, i, "label"), *text = json_string(j, i, "text");
        if (!label || !text || !add_choice(q, text, strlen(text))) return 0;
        if (strcmp(label, key) == 0) q->right = q->n_choices - 1;
    }
    return q->question && q->answer && q->right >= 0;
}

/* The number in "answerN", or one that is too large for any answer; 0: it is none. */
static int32_t answer_number(const char *answer)
{
    static const char lead[] = "answer";
    const char *p;
    int32_t n = 0;
    if (strncmp(answer, lead, sizeof lead - 1) != 0) return 0;
    for (p = answer + sizeof lead - 1; *p >= '0' && *p <= '9' && n <= MAX_CHOICES; p++) n = 10 * n + (*p - '0');
    return *p ? 0 : n;
}

/* "...question: QUESTION\n\nAnswer1: ... Answer2: ...\n\nAnswer format: ...", "answer3" */
static int read_arc_instruction(const json *j, uint32_t at, item *q)
{
    static const char lead[] = "question: ";
    const char *text = json_string(j, at, "instruction"), *answer = json_string(j, at, "answer");
    const char *p = text ? strstr(text, lead) : NULL, *next = p ? strstr(p, "Answer1:") : NULL;
    const char *end = next ? strstr(next, "\n\nAnswer format:") : NULL;
    char mark[24];
    int n;
    if (!end || !answer) return 0;
    p += sizeof lead - 1;
    q->question = copy_trimmed(p, (size_t)(next - p)), q->answer = copy(answer, strlen(answer));
    for (n = 1; next; n++) {
        p = strchr(next, ':') + 1;
        snprintf(mark, sizeof mark, "Answer%d:", n + 1);
        next = strstr(p, mark);
        if (next && next > end) next = NULL;
        if (!add_choice(q, p, (size_t)((next ? next : end) - p))) return 0;
    }
    q->right = answer_number(answer) - 1;
    return q->question && q->answer && q->right >= 0 && q->right < q->n_choices;
}

/* MMLU-Pro: the options stand in the question as "\n Options are:\nA. ...\nB. ...", or in a list of their own. */
static int read_mmlu_pro(const json *j, uint32_t at, item *q)
{
    uint32_t list = json_find(j, at, "options"), i;
    int is_list = cv_json_type_of(&j->value, list) == CV_JSON_ARRAY;
    char *given;
    if (!read_question_answer(j, at, q, "question", "answer")) return 0;
    given = strstr(q->question, "\n Options are:\n");
    if (given) {
        char *p = given + strlen("\n Options are:\n"), *end;
        for (; p[0] && p[1] == '.'; p = end[0] ? end + 1 : end) {
            end = p + strcspn(p, "\n");
            while (end[0] && !(end[1] == 'A' + q->n_choices + 1 && end[2] == '.')) end += 1 + strcspn(end + 1, "\n");
            if (!add_choice(q, p + 2, (size_t)(end - p - 2))) return 0;
        }
        *given = 0;
    }
    i = is_list && !given ? cv_json_first(&j->value, list) : CV_JSON_NONE;
    for (; i != CV_JSON_NONE; i = cv_json_next(&j->value, i))
        if (!json_text(j, i) || !add_choice(q, json_text(j, i), strlen(json_text(j, i)))) return 0;
    q->right = q->answer[0] - 'A';
    return q->n_choices > 1 && q->right >= 0 && q->right < q->n_choices;
}

static int read_item(task_id task, const json *j, uint32_t at, item *q)
{
    switch (task) {
    case TASK_GSM8K: return read_question_answer(j, at, q, "question", "answer");
    case TASK_CSQA: return read_choices(j, at, q);
    case TASK_LAMBADA: return read_lambada(j, at, q);
    case TASK_MMLU_PRO: return read_mmlu_pro(j, at, q);
    case TASK_ARC:
        if (json_find(j, at, "instruction") != CV_JSON_NONE) return read_arc_instruction(j, at, q);
        return read_choices(j, at, q);
    case TASK_CNN_DM: return read_question_answer(j, at, q, "article", "highlights");
    default: return 0;
    }
}

static int add_item(task_id task, const json *j, uint32_t at, items *out)
{
    item *q;
    if (out->n == MAX_ITEMS) return complain("%s: there are more than %d records in it", j->name, (int)MAX_ITEMS);
    if (out->n == out->capacity) {
        size_t capacity = out->capacity ? out->capacity * 2 : 1024;
        item *grown = capacity <= SIZE_MAX / sizeof *grown ? realloc(out->list, capacity * sizeof *grown) : NULL;
        if (!grown) return complain("%s: there is not enough memory for it", j->name);
        out->list = grown, out->capacity = capacity;
    }
    q = &out->list[out->n];
    memset(q, 0, sizeof *q);
    q->number = (int32_t)out->n++;
    if (read_item(task, j, at, q)) return 0;
    return complain("%s, line %ld: this is no record of %s: a field is missing, or has no such value", j->name,
                    json_line(j, at), task_names[task]);
}

/* A value is one record, or an array of them. */
static int add_items(task_id task, const json *j, items *out)
{
    uint32_t i;
    int status = 0;
    if (cv_json_type_of(&j->value, 0) != CV_JSON_ARRAY) return add_item(task, j, 0, out);
    for (i = cv_json_first(&j->value, 0); i != CV_JSON_NONE && status == 0; i = cv_json_next(&j->value, i))
        status = add_item(task, j, i, out);
    return status;
}

int read_items(task_id task, const char *path, items *out, uint64_t *hash)
{
    char *text = NULL;
    size_t bytes;
    json j;
    int status = read_whole(path, &text, &bytes);
    if (status) return status;
    *hash = hash_bytes(HASH_START, text, bytes);
    json_open(&j, path, text, bytes);
    while (status == 0 && json_more(&j)) {
        status = json_read(&j);
        if (status == 0) status = add_items(task, &j, out);
    }
    json_close(&j);
    free(text);
    if (status == 0 && out->n == 0) status = complain("%s: there are no records in it", path);
    return status;
}
