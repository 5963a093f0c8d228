/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_eval.c - the parts of harp-eval that can be checked by hand: JSON, metrics, statistics
 */
#include "../examples/eval/eval.h"

#include <stdarg.h>

static int passed, failed, complaints;
static char said[256];

/* In place of harp-eval's own: what was complained about is compared with what should be. */
int complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(said, sizeof said, format, arguments);
    va_end(arguments);
    complaints++;
    return EXIT_FAILED;
}

#include "../examples/eval/data.c"
#include "../examples/eval/json.c"
#include "../examples/eval/methods.c"
#include "../examples/eval/table.c"
#include "../examples/eval/tasks.c"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (condition) passed++;                                                                                       \
        else failed++, printf("FAILED %s:%d: %s\n", __func__, __LINE__, #condition);                                   \
    } while (0)

/* Reads all values of a text; returns how many, or -1 if it was refused. */
static int read_all(const char *text)
{
    json j;
    size_t bytes = strlen(text);
    char *copied = malloc(bytes + 1);
    int n = 0;
    memcpy(copied, text, bytes + 1);
    json_open(&j, "text", copied, bytes);
    while (n >= 0 && json_more(&j)) n = json_read(&j) ? -1 : n + 1;
    json_close(&j);
    free(copied);
    return n;
}

static void test_json(void)
{
    static const char *const good[] = {"{}",
                                       "[]",
                                       "0",
                                       "-1.5e+3",
                                       "\"\"",
                                       "null",
                                       "[1,[2,[]],{\"a\":{}}]",
                                       "[\"\\u00e9\\ud83d\\ude00\"]",
                                       " \n[true , false]\r\n",
                                       "{\"a\":1,\"a\":2}",
                                       "[-0]",
                                       "[1e5]"};
    static const char *const bad[] = {
        "{",         "[",           "[1",           "[1,",         "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
        "{a:1}",     "01",          "1.",           "1e",          "+1",   "nul",     "\"",       "\"\\x\"",
        "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",  "\"\\u0000\"", "]",    "[1 2]",   "\"\t\"",   "[1}",
        "{\"a\":1]", "-",           "\"\\ud83dx\"", "{1:2}",       "[,1]"};
    char deep[400];
    json j;
    char text[] = "{\"a\": \"x\\n\\\"\\u00e9\\ud83d\\ude00\", \"b\": [1, {\"c\": -2.5}]}";
    int32_t b;
    size_t i;
    for (i = 0; i < sizeof good / sizeof *good; i++) CHECK(read_all(good[i]) == 1);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(read_all(bad[i]) == -1);
    CHECK(read_all("{}{} 1\n[2]") == 4 && read_all("") == 0 && read_all(" \n ") == 0);
    CHECK(read_all("{}\n{}\n[1,,2]") == -1 && strstr(said, "line 3"));
    memset(deep, '[', sizeof deep), deep[sizeof deep - 1] = 0;
    CHECK(read_all(deep) == -1 && strstr(said, "nested"));
    json_open(&j, "text", text, strlen(text));
    CHECK(json_read(&j) == 0);
    CHECK(strcmp(json_string(&j, 0, "a"), "x\n\"\xC3\xA9\xF0\x9F\x98\x80") == 0);
    b = json_find(&j, 0, "b");
    CHECK(b > 0 && j.nodes[b].type == JSON_ARRAY && json_find(&j, 0, "c") == -1 && json_string(&j, 0, "b") == NULL);
    CHECK(json_number(&j, j.nodes[b].last, "c", 0) == -2.5 && json_number(&j, 0, "a", 7) == 7);
    json_close(&j);
}

static void test_metrics(void)
{
    char is[64];
    CHECK(strict_answer("so\n#### 1,234.", is) && strcmp(is, "1234") == 0);
    CHECK(strict_answer("#### -5 and #### 6", is) && strcmp(is, "-5") == 0);
    CHECK(!strict_answer("the answer is 5", is) && !strict_answer("#### x", is));
    CHECK(flexible_answer("3 and then $1,200.50 dollars", is) && strcmp(is, "1200.50") == 0);
    CHECK(flexible_answer("first 12, last 7", is) && strcmp(is, "7") == 0);
    CHECK(flexible_answer("it is -3.", is) && strcmp(is, "-3") == 0);
    CHECK(!flexible_answer("no number.", is));
    CHECK(letter_answer("so the answer is (C).") == 2 && letter_answer("the answer is D") == 3);
    CHECK(letter_answer("the answer is unclear") == -1 && letter_answer("") == -1);
    CHECK(fabs(rouge_1("the cat sat", "The cat ran.") - 2.0 / 3.0) < 1e-12);
    CHECK(fabs(rouge_1("the the the", "the cat") - 2.0 / 5.0) < 1e-12); /* one "the" counts once */
    CHECK(rouge_1("", "") == 0.0 && rouge_1("a b", "a b") == 1.0);
}

static void test_statistics(void)
{
    row r;
    memset(&r, 0, sizeof r);
    CHECK(fabs(mcnemar(1, 9) - 0.021484375) < 1e-12 && fabs(mcnemar(9, 1) - 0.021484375) < 1e-12);
    CHECK(mcnemar(0, 0) == 1.0 && mcnemar(5, 5) == 1.0 && fabs(mcnemar(0, 6) - 0.03125) < 1e-12);
    CHECK(mcnemar(500, 700) > 1e-9 && mcnemar(500, 700) < 1e-7);
    r.sum.trials = 10, r.sum.right = 5;
    set_interval(&r, 1);
    CHECK(fabs(r.low - 0.236593) < 1e-5 && fabs(r.high - 0.763407) < 1e-5); /* Wilson, 5 of 10 */
    r.sum.right = 0;
    set_interval(&r, 1);
    CHECK(fabs(r.low) < 1e-12 && fabs(r.high - 0.277533) < 1e-5);
}

static void test_records(const char *folder)
{
    static const char *const csqa = "{\"answerKey\": \"B\", \"question\": {\"choices\": [{\"label\": \"A\", \"text\": "
                                    "\"x\"}, {\"label\": \"B\", \"text\": \"y\"}], \"stem\": \"Q?\"}}\n";
    static const char *const mmlu = "{\"question\":\"Q\\n Options are:\\nA. one\\nC. odd\\nB. two\",\"answer\":\"B\"}";
    char path[1024];
    items list = {NULL, 0, 0};
    FILE *f;
    snprintf(path, sizeof path, "%s/records.jsonl", folder);
    f = fopen(path, "wb"), fputs(csqa, f), fputs("{\"answerKey\": \"C\"}\n", f), fclose(f);
    CHECK(read_items(TASK_CSQA, path, &list) == EXIT_FAILED && strstr(said, "line 2"));
    CHECK(list.n == 2 && list.list[0].n_choices == 2 && list.list[0].right == 1
          && strcmp(list.list[0].question, "Q?") == 0);
    free_items(&list);
    f = fopen(path, "wb"), fputs(mmlu, f), fclose(f);
    CHECK(read_items(TASK_MMLU_PRO, path, &list) == 0 && list.list[0].n_choices == 2 && list.list[0].right == 1);
    CHECK(strcmp(list.list[0].question, "Q") == 0 && strcmp(list.list[0].choices[1], "two") == 0);
    free_items(&list);
    f = fopen(path, "wb"), fputs("[{\"text\": \"a b c\"}, {\"text\": \"single\"}]", f), fclose(f);
    CHECK(read_items(TASK_LAMBADA, path, &list) == EXIT_FAILED && strcmp(list.list[0].answer, " c") == 0);
    free_items(&list);
    f = fopen(path, "wb"), fclose(f);
    CHECK(read_items(TASK_GSM8K, path, &list) == EXIT_FAILED);
    free_items(&list);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    test_json(), test_metrics(), test_statistics(), test_records(argv[1]);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
