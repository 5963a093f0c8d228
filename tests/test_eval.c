/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_eval.c - the parts of harp-eval that can be checked by hand: JSON, metrics, statistics, hostile files
 */
#include "../examples/eval/eval.h"
#include "../tools/convert/ground/show.h"
#include "test.h"

#include <stdarg.h>

static int complaints;
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

#include "../examples/eval/asks.c"
#include "../examples/eval/data.c"
#include "../examples/eval/json.c"
#include "../examples/eval/methods.c"
#include "../examples/eval/results.c"
#include "../examples/eval/selective.c"
#include "../examples/eval/settings.c"
#include "../examples/eval/table.c"
#include "../examples/eval/tasks.c"
#include "../examples/eval/text.c"
#include "../examples/eval/tune.c"

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
                                       "\"\\u0000\"",
                                       "[-0]",
                                       "[1e5]"};
    static const char *const bad[] = {
        "{",         "[",           "[1",           "[1,",         "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
        "{a:1}",     "01",          "1.",           "1e",          "+1",   "nul",     "\"",       "\"\\x\"",
        "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",  "1e999",       "]",    "[1 2]",   "\"\t\"",   "[1}",
        "{\"a\":1]", "-",           "\"\\ud83dx\"", "{1:2}",       "[,1]", "\"\xFF\"", "{\"a\":1,\"a\":2}"};
    char deep[400];
    json j;
    char text[] = "{\"a\": \"x\\n\\\"\\u00e9\\ud83d\\ude00\", \"b\": [1, {\"c\": -2.5, \"d\": \"\\u0000\"}]}";
    uint32_t b, last;
    double number = 0;
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
    last = cv_json_next(&j.value, cv_json_first(&j.value, b));
    CHECK(cv_json_type_of(&j.value, b) == CV_JSON_ARRAY && json_find(&j, 0, "c") == CV_JSON_NONE
          && json_string(&j, 0, "b") == NULL);
    CHECK(json_number(&j, last, "c", &number) && number == -2.5);
    CHECK(!json_number(&j, last, "d", &number) && !json_string(&j, last, "d") && !json_number(&j, 0, "a", &number));
    CHECK(!json_number(&j, 0, "z", &number) && number == -2.5);
    json_close(&j);
}

/* An array asks for a node with each two bytes; how many there may be is bounded. */
static void test_large_json(void)
{
    size_t n = (size_t)2 * MAX_NODES + 2;
    char *text = malloc(n + 1);
    memset(text, '1', n), text[0] = '[', text[n - 1] = ']', text[n] = 0;
    for (n -= 3; n > 1; n -= 2) text[n] = ',';
    CHECK(read_all(text) == -1 && strstr(said, "too much"));
    free(text);
}

static void test_metrics(void)
{
    char is[64];
    CHECK(strict_answer("so\n#### 1,234.", is) && strcmp(is, "1234") == 0);
    CHECK(strict_answer("#### -5 and #### 6", is) && strcmp(is, "-5") == 0);
    CHECK(!strict_answer("the answer is 5", is) && !strict_answer("#### x", is));
    CHECK(strict_answer("#### So the total\n#### 42", is) && strcmp(is, "42") == 0);
    CHECK(flexible_answer("3 and then $1,200.50 dollars", is) && strcmp(is, "1200.50") == 0);
    CHECK(flexible_answer("first 12, last 7", is) && strcmp(is, "7") == 0);
    CHECK(flexible_answer("it is -3.", is) && strcmp(is, "-3") == 0);
    CHECK(!flexible_answer("no number.", is));
    CHECK(letter_answer("so the answer is (C).") == 2 && letter_answer("the answer is D") == 3);
    CHECK(letter_answer("the answer is unclear") == -1 && letter_answer("") == -1);
    CHECK(letter_answer("The answer is not obvious. Well, the answer is (B).") == 1);
    CHECK(letter_answer("the answer is (K)") == -1 && letter_answer("the answer is J") == 9);
    CHECK(fabs(rouge_1("the cat sat", "The cat ran.") - 2.0 / 3.0) < 1e-12);
    CHECK(fabs(rouge_1("the the the", "the cat") - 2.0 / 5.0) < 1e-12); /* one "the" counts once */
    CHECK(rouge_1("", "") == 0.0 && rouge_1("a b", "a b") == 1.0);
}

/* ---- Votes ---- */

static vote plant(const char *key, int32_t tokens, double certainty, double logprob)
{
    vote v;
    memset(&v, 0, sizeof v);
    strcpy(v.key, key), v.tokens = tokens, v.certainty = certainty * tokens, v.logprob = logprob * tokens;
    return v;
}

static void test_votes(void)
{
    vote list[6];
    int32_t votes;
    list[0] = plant("7", 4, 1.0, log(0.9)); /* sure, long: probability 0.6561 */
    list[1] = plant("5", 2, 2.0, log(0.3));
    list[2] = plant("5", 2, 3.0, log(0.3)); /* two of 5: weights 0.3 each, probabilities 0.09 each */
    list[3] = plant("", 1, 9.0, log(0.99)); /* the surest says nothing that counts */
    list[4] = plant("5", 1, 0.5, log(0.25));
    CHECK(vote_choose(list, 4, VOTE_MAJORITY, &votes) == 2 && votes == 2); /* of these the surer one */
    CHECK(vote_choose(list, 4, VOTE_WEIGHTED, &votes) == 0 && votes == 1); /* 0.9 against 0.6 */
    CHECK(vote_choose(list, 5, VOTE_WEIGHTED, &votes) == 0 && votes == 1); /* 0.9 against 0.85 */
    CHECK(vote_choose(list, 5, VOTE_PROBABLE, &votes) == 0 && votes == 1); /* 0.6561 against 0.43 */
    CHECK(vote_choose(list, 4, VOTE_CERTAINTY, &votes) == 3 && votes == 0);
    CHECK(vote_choose(list, 4, VOTE_LOGPROB, &votes) == 3 && votes == 0);
    list[4].logprob = log(0.31); /* 0.9 against 0.91; 0.6561 against 0.49 */
    CHECK(vote_choose(list, 5, VOTE_WEIGHTED, &votes) == 2 && votes == 3);
    CHECK(vote_choose(list, 5, VOTE_PROBABLE, &votes) == 0 && votes == 1);
    list[1].left_out = list[2].left_out = 1; /* one against one: the surer */
    CHECK(vote_choose(list, 5, VOTE_MAJORITY, &votes) == 0 && votes == 1);
    CHECK(vote_choose(list + 3, 1, VOTE_MAJORITY, &votes) == 0 && votes == 0);
    CHECK(vote_choose(list + 1, 2, VOTE_MAJORITY, &votes) == -1 && vote_choose(list, 0, VOTE_LOGPROB, &votes) == -1);
}

/* Self-certainty of two tokens, by hand: p = 1/4, 3/4, then 1/2, 1/2. */
static void test_sureness(void)
{
    static const float first[2] = {0.0f, 1.0986123f}, second[2] = {2.0f, 2.0f};
    vote v;
    memset(&v, 0, sizeof v);
    vote_note(&v, first, 2, 1, log(0.75)), vote_note(&v, second, 2, 0, log(0.5));
    CHECK(v.tokens == 2 && fabs(v.logprob - log(0.375)) < 1e-6);
    /* the cross entropy of the uniform distribution, less ln 2 */
    CHECK(fabs(v.certainty - (-log(2.0) - 0.5 * (log(0.25) + log(0.75)))) < 1e-6);
    CHECK(vote_sureness(&v, VOTE_MAJORITY) == v.certainty / 2 && vote_sureness(&v, VOTE_LOGPROB) == v.logprob / 2);
}

static void test_keys(void)
{
    char key[VOTE_KEY];
    find_key(TASK_GSM8K, "so 2+2=4\n#### 1,234.", key);
    CHECK(strcmp(key, "1234") == 0);
    find_key(TASK_GSM8K, "the answer is 4", key);
    CHECK(key[0] == 0);
    find_key(TASK_MMLU_PRO, "the answer is (C).", key);
    CHECK(strcmp(key, "C") == 0);
    find_key(TASK_CNN_DM, "#### 4", key);
    CHECK(key[0] == 0);
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

/* Counts come from files: none takes long, and both sides of the border between the formulas agree. */
static void test_large_counts(void)
{
    double start = host_seconds();
    CHECK(mcnemar(1e15, 1e15) == 1 && mcnemar(1e15, 2e15) == 0 && mcnemar(1e15, 1e15 + 1) == 1);
    CHECK(fabs(mcnemar(5e11, 5e11 + 2e6) - 0.0455001) < 1e-5); /* two standard deviations */
    CHECK(fabs(mcnemar(49990000, 50010000) / mcnemar(49990001, 50010001) - 1) < 1e-4);
    CHECK(fabs(mcnemar(49900000, 50100000) / mcnemar(49900001, 50100001) - 1) < 2e-3);
    CHECK(mcnemar(1e300, 0) == 0 && mcnemar(0, 1e12) == 0);
    CHECK(host_seconds() - start < 5);
}

/* All answers equally good: rounding must not make their variance negative. */
static void test_equal_scores(void)
{
    results all;
    row *rows;
    bench b;
    method m;
    settings s;
    outcome o;
    int32_t i, which, n;
    memset(&all, 0, sizeof all), memset(&b, 0, sizeof b), memset(&m, 0, sizeof m), memset(&o, 0, sizeof o);
    b.task = TASK_CNN_DM, m.params = harp_defaults();
    for (which = 0; which < 2; which++) {
        strcpy(m.name, which ? "harp" : "vanilla"), settings_of(&b, &m, &s);
        CHECK(results_method(&all, &s, "file", 1, &i) == 0 && i == which);
    }
    o.trials = 1, o.right = 0.1, o.tokens = 1, o.seconds = 1e-300; /* three times 0.1: a variance of -1.7e-18 */
    for (i = 0; i < 3; i++) CHECK(results_add(&all, 0, i, &o) == 0);
    o.nll = 0.1, o.seconds = 1;
    for (i = 0; i < 3; i++) CHECK(results_add(&all, 1, i, &o) == 0);
    rows = make_rows(&all, TASK_CNN_DM, &n);
    CHECK(n == 2 && rows[0].items == 3 && rows[1].paired == 3 && fabs(rows[1].nll_change - 0.1) < 1e-12);
    CHECK(rows[0].high - rows[0].low < 1e-6 && rows[1].high >= rows[1].low && rows[1].nll_error < 1e-6);
    CHECK(rows[1].time == 0); /* unknown: the ratio would be infinite */
    free(rows);
    results_free(&all);
}

/* Adds a method of this name; returns its index. */
static int32_t plant_method(results *all, task_id task, const char *name)
{
    settings s;
    bench b;
    method m;
    int32_t which = -1;
    memset(&b, 0, sizeof b), memset(&m, 0, sizeof m);
    b.task = task, m.params = harp_defaults(), strcpy(m.name, name), settings_of(&b, &m, &s);
    CHECK(results_method(all, &s, "file", 1, &which) == 0);
    return which;
}

/* n questions, of which `right` are right, from the first-th on, round and round. */
static void plant_answers(results *all, int32_t which, int32_t n, int32_t first, int32_t right, double passes)
{
    outcome o;
    int32_t i;
    memset(&o, 0, sizeof o);
    o.trials = 1, o.passes = passes;
    for (i = 0; i < n; i++) {
        o.right = (i + n - first) % n < right;
        CHECK(results_add(all, which, i, &o) == 0);
    }
}

static void test_gains(void)
{
    results all;
    gain g;
    memset(&all, 0, sizeof all);
    plant_answers(&all, plant_method(&all, TASK_GSM8K, "vanilla"), 100, 0, 50, 1);
    CHECK(tune_choose(&all, TASK_GSM8K) == -1);
    plant_answers(&all, plant_method(&all, TASK_GSM8K, "harp a"), 100, 0, 55, 1); /* 5 won */
    plant_answers(&all, plant_method(&all, TASK_GSM8K, "harp b"), 100, 10, 70, 3); /* 30 won, 10 lost */
    plant_answers(&all, plant_method(&all, TASK_GSM8K, "harp c"), 100, 10, 70, 2); /* the same for less */
    plant_answers(&all, plant_method(&all, TASK_GSM8K, "harp d"), 100, 30, 51, 1); /* 31 won, 30 lost */
    CHECK(tune_choose(&all, TASK_GSM8K) == 3);
    g = gain_of(&all, TASK_GSM8K, 3); /* standard error: root of (0.4 - 0.2 * 0.2) / 99 */
    CHECK(g.items == 100 && fabs(g.mean - 0.2) < 1e-12);
    CHECK(fabs(g.low - 0.08181) < 1e-4 && fabs(g.high - 0.31819) < 1e-4);
    CHECK(fabs(g.with - 0.7) < 1e-12 && fabs(g.without - 0.5) < 1e-12 && fabs(g.passes - 2) < 1e-12);
    CHECK(tune_is_proven(&g));
    g = gain_of(&all, TASK_GSM8K, 4);
    CHECK(fabs(g.mean - 0.01) < 1e-12 && g.low < 0 && !tune_is_proven(&g));
    g = gain_of(&all, TASK_GSM8K, 0); /* no better than itself */
    CHECK(g.mean == 0 && !tune_is_proven(&g));
    results_free(&all);
}

/* Of a text the likelihood decides, nats a token, and less is better. */
static void test_gains_of_texts(void)
{
    results all;
    outcome o;
    gain g;
    int32_t i, k;
    memset(&all, 0, sizeof all), memset(&o, 0, sizeof o);
    plant_method(&all, TASK_NEXTTOKEN, "vanilla"), plant_method(&all, TASK_NEXTTOKEN, "harp a");
    plant_method(&all, TASK_NEXTTOKEN, "harp b");
    for (i = 0; i < 4; i++)
        for (k = 0; k < 3; k++) {
            o.trials = o.tokens = 10, o.right = k == 2 ? 9 : 5; /* b is right more often, and less likely */
            o.nll = 20 + i - (k == 1 ? 1 + i % 2 : 0) + (k == 2 ? 1 : 0);
            CHECK(results_add(&all, k, i, &o) == 0);
        }
    CHECK(tune_choose(&all, TASK_NEXTTOKEN) == 1);
    g = gain_of(&all, TASK_NEXTTOKEN, 1); /* 0.1, 0.2, 0.1, 0.2 */
    CHECK(fabs(g.mean - 0.15) < 1e-12 && fabs(g.low - (0.15 - 1.959964 * 0.05 / sqrt(3))) < 1e-9 && tune_is_proven(&g));
    CHECK(fabs(g.with - 2.0) < 1e-12 && fabs(g.without - 2.15) < 1e-12);
    g = gain_of(&all, TASK_NEXTTOKEN, 2);
    CHECK(fabs(g.mean + 0.1) < 1e-12 && !tune_is_proven(&g));
    results_free(&all);
}

/* Five answers: sure and right; two equally sure, of which one is right; less sure and wrong; unsure and right. */
static void test_selective(void)
{
    static const double entropies[] = {0.2, 0.2, 0.9, 0.1, 0.5}, right[] = {0, 1, 1, 1, 0};
    static const double shares[] = {1, 1, 1.25 / 1.5, 0.75, 1.75 / 2.5, 2.0 / 3, 2 / 3.5, 0.5, 2.5 / 4.5, 0.6};
    results all;
    outcome o;
    curve c;
    int32_t i, which;
    memset(&all, 0, sizeof all), memset(&o, 0, sizeof o);
    which = plant_method(&all, TASK_GSM8K, "vanilla");
    for (i = 0; i < 5; i++) {
        o.trials = 1, o.right = right[i], o.steps = 10, o.entropy = 10 * entropies[i], o.answers = 8, o.votes = i;
        CHECK(results_add(&all, which, i, &o) == 0);
    }
    CHECK(make_curve(&all, which, SURE_ENTROPY, &c) == 0 && c.n == 5);
    for (i = 0; i < PARTS; i++) CHECK(fabs(c.share_right[i] - shares[i]) < 1e-12);
    CHECK(fabs(c.auroc - 3.5 / 6) < 1e-12); /* 3 right, 2 wrong: of 6 pairs 3 in order, and one of equals */
    CHECK(make_curve(&all, which, SURE_VOTES, &c) == 0 && c.share_right[1] == 0);
    CHECK(fabs(c.share_right[3] - 0.5) < 1e-12);
    CHECK(fabs(c.auroc - 0.5) < 1e-12); /* votes 4 w, 3 r, 2 r, 1 r, 0 w */
    CHECK(make_curve(&all, which, SURE_PEAK, &c) == 0 && fabs(c.share_right[0] - 0.6) < 1e-12 && c.auroc == 0.5);
    CHECK(make_curve(&all, plant_method(&all, TASK_GSM8K, "none"), SURE_PEAK, &c) == 0 && c.n == 0 && c.auroc == 0.5);
    results_free(&all);
}

static void test_sorting(void)
{
    double list[500], sum;
    size_t n, i;
    for (n = 0; n <= 500; n = n < 20 ? n + 1 : n + 96) {
        for (i = 0, sum = 0; i < n; i++) sum += list[i] = (double)(i * 7919 % 251) - 100;
        heap_sort(list, n, sizeof *list, by_value, NULL);
        for (i = 1; i < n && list[i - 1] <= list[i]; i++) continue;
        CHECK(n < 2 || i == n);
        for (i = 0; i < n; i++) sum -= list[i];
        CHECK(sum == 0 && (n < 251 || (list[0] == -100 && list[n - 1] == 150)));
    }
}

/* ---- Names and numbers that somebody chose ---- */

static void test_sheets(void)
{
    row r;
    growing csv = {NULL, 0, 0, 0}, svg = {NULL, 0, 0, 0};
    memset(&r, 0, sizeof r);
    r.name = "=HYPERLINK(\"http://x\",A1)", r.items = 1;
    put_csv(&r, 1, &csv);
    CHECK(strstr(csv.at, "\n\"'=HYPERLINK(\"\"http://x\"\",A1)\",1,") != NULL);
    r.name = "a<b>&\033[31m\n";
    put_svg(&r, 1, TASK_CSQA, &svg);
    CHECK(strstr(svg.at, ">1  a&lt;b&gt;&amp; [31m   0.0</text>") != NULL && !strchr(svg.at, '\033'));
    CHECK(!strstr(svg.at, "nan") && !strstr(svg.at, "inf"));
    free(csv.at), free(svg.at);
}

static void test_harmless(const char *folder)
{
    static const struct form {
        const char *text, *shown;
    } forms[] = {{"a\303\251 b", "a\303\251 b"},
                 {"\033[2J", "\357\277\275[2J"},
                 {"a\nb\r\177", "a\357\277\275b\357\277\275\357\277\275"},
                 {"\302\233m", "\357\277\275m"},                           /* U+009B */
                 {"\233m", "\357\277\275m"},                               /* the same in one byte */
                 {"\340\202\233", "\357\277\275\357\277\275\357\277\275"}, /* and in three */
                 {"\340\202\251", "\357\277\275\357\277\275\357\277\275"}, /* U+00A9, in a form that is too long */
                 {"\360\237\230\200\303", "\360\237\230\200\357\277\275"}};
    static const char lines[] = "\ta\r\n\033b\n";
    char path[1024], *shown;
    size_t i, bytes;
    FILE *f;
    snprintf(path, sizeof path, "%s/harmless.txt", folder);
    for (i = 0; i < sizeof forms / sizeof *forms; i++) {
        f = fopen(path, "wb"), show_harmless(f, forms[i].text, strlen(forms[i].text), 0), fclose(f);
        CHECK(read_whole(path, &shown, &bytes) == 0 && strcmp(shown, forms[i].shown) == 0);
        free(shown);
    }
    f = fopen(path, "wb"), show_harmless(f, lines, sizeof lines - 1, 1), fclose(f);
    CHECK(read_whole(path, &shown, &bytes) == 0 && strcmp(shown, "\ta\n\357\277\275b\n") == 0);
    free(shown);
}

/* A line of settings whose method has this name as it stands, where harp-eval would have escaped it; and its key. */
static void put_settings(growing *line, settings *s, const char *name, char *key)
{
    char text[4096], *place;
    FILE *f = tmpfile();
    snprintf(s->value[SET_METHOD], MAX_NAME, "NAME");
    settings_put(s, f), rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    snprintf(s->value[SET_METHOD], MAX_NAME, "%s", name);
    snprintf(key, 17, "%016" PRIx64, settings_key(s));
    memcpy(strstr(text, "\"key\":\"") + 7, key, 16);
    place = strstr(text, "NAME"), *place = 0;
    put(line, "%s%s%s}\n", text, name, place + 4);
}

/* A file of results: the settings of a method of this name, then `lines`, in which %s stands for their key. */
static int read_results(const char *folder, const char *name, const char *lines)
{
    char path[1024];
    growing line = {NULL, 0, 0, 0};
    results all;
    settings s;
    bench b;
    method m;
    char key[20];
    int status;
    memset(&all, 0, sizeof all), memset(&b, 0, sizeof b), memset(&m, 0, sizeof m);
    m.params = harp_defaults();
    settings_of(&b, &m, &s);
    put_settings(&line, &s, name, key), put(&line, lines, key, key);
    snprintf(path, sizeof path, "%s/results.jsonl", folder);
    status = save_whole(path, line.at, line.bytes);
    all.advice = "";
    said[0] = 0;
    if (status == 0) status = results_read(&all, path, 0);
    free(line.at);
    results_free(&all);
    return status;
}

static void test_hostile_results(const char *folder)
{
    static const char *const names[] = {"=HYPERLINK(1)", "=A1",        "a|b",  "a\033]0;x", "a<b",
                                        "a&b",           "a\302\233b", "-1",   "@x",        "",
                                        "a\\\"b",        "a\\nb",      "a`b`", "[a](b)"};
    static const char *const bad[] = {"\"item\":-1",
                                      "\"item\":1.5",
                                      "\"item\":1e7",
                                      "\"item\":1e300",
                                      "\"item\":\"0\"",
                                      "\"x\":0",
                                      "\"item\":0,\"trials\":-1",
                                      "\"item\":0,\"trials\":0.5",
                                      "\"item\":0,\"trials\":1e15",
                                      "\"item\":0,\"trials\":1e999",
                                      "\"item\":0,\"trials\":null",
                                      "\"item\":0,\"trials\":1,\"right\":2",
                                      "\"item\":0,\"trials\":1,\"right\":-1",
                                      "\"item\":0,\"trials\":1,\"won\":1e15",
                                      "\"item\":0,\"trials\":1,\"lost\":2",
                                      "\"item\":0,\"nll\":-1e300",
                                      "\"item\":0,\"seconds\":-1",
                                      "\"item\":0,\"trials\":2,\"doubtful\":1,\"doubtful_right\":2",
                                      "\"item\":0,\"passes\":1e999"};
    static const char first[] = "{\"key\":\"%s\",\"method\":\"a\",\"item\":3,\"trials\":1,\"right\":1}\n";
    char line[256];
    size_t i;
    CHECK(read_results(folder, "harp stream:prompt K=8 theta=-1e-05",
                       "{\"key\":\"%s\",\"method\":\"harp stream:prompt K=8 theta=-1e-05\",\"item\":0}\n")
          == 0);
    CHECK(read_results(folder, "a", "{\"key\":\"%s\",\"method\":\"a\",\"item\":9999999,\"trials\":5,\"right\":0.5}\n")
          == 0);
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK(read_results(folder, names[i], "\n") == EXIT_FAILED);
        CHECK(strstr(said, "setting method") || strstr(said, "a method's name") || strstr(said, "escape")
              || strstr(said, "control character"));
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, "{\"key\":\"%%s\",\"method\":\"a\",%s}\n", bad[i]);
        CHECK(read_results(folder, "a", line) == EXIT_FAILED && strstr(said, "line 2"));
    }
    CHECK(read_results(folder, "a", "{\"key\":\"%s\",\"method\":\"b\",\"item\":0}\n") == EXIT_FAILED
          && strstr(said, "the name of another"));
    CHECK(read_results(folder, "a", "{\"key\":\"0123456789abcdef\",\"method\":\"a\",\"item\":0}\n") == EXIT_FAILED
          && strstr(said, "do not stand before it"));
    CHECK(read_results(folder, "a", "{\"key\":\"-1\",\"method\":\"a\",\"item\":0}\n") == EXIT_FAILED);
    for (i = 0; i < 2; i++) { /* the same answer twice, and another one */
        snprintf(line, sizeof line, "%s{\"key\":\"%%s\",\"method\":\"a\",\"item\":3,\"trials\":1%s}\n", first,
                 i ? "" : ",\"right\":1");
        CHECK(read_results(folder, "a", line) == (i ? EXIT_FAILED : 0) && (!i || strstr(said, "contradicts")));
    }
}

/* A likelihood that is no number is not written down: nobody could read it back. */
static void test_impossible_outcomes(void)
{
    results all;
    bench b;
    method m;
    settings s;
    outcome o;
    int32_t which;
    memset(&all, 0, sizeof all), memset(&b, 0, sizeof b), memset(&m, 0, sizeof m), memset(&o, 0, sizeof o);
    m.params = harp_defaults(), strcpy(m.name, "vanilla"), settings_of(&b, &m, &s);
    CHECK(results_method(&all, &s, "file", 1, &which) == 0);
    o.trials = 1;
    CHECK(results_add(&all, which, 0, &o) == 0);
    o.nll = HUGE_VAL;
    CHECK(results_add(&all, which, 1, &o) == EXIT_FAILED && strstr(said, "nll"));
    o.nll = HUGE_VAL - HUGE_VAL;
    CHECK(results_add(&all, which, 2, &o) == EXIT_FAILED && all.n == 1);
    results_free(&all);
}

/* The head speaks for the model, the weights behind it do not count: their checksums are in the head. */
static void test_model_hash(const char *folder)
{
    unsigned char image[8192];
    char path[1024];
    uint64_t first, same, other;
    size_t i;
    snprintf(path, sizeof path, "%s/head.bin", folder);
    for (i = 0; i < sizeof image; i++) image[i] = (unsigned char)(i * 31);
    memset(image + 56, 0, 8), image[57] = 0x13; /* the weights begin at 0x1300 */
    CHECK(save_whole(path, (char *)image, sizeof image) == 0 && hash_model(path, &first) == 0);
    image[0x1300]++;
    CHECK(save_whole(path, (char *)image, sizeof image) == 0 && hash_model(path, &same) == 0 && same == first);
    image[0x12FF]++;
    CHECK(save_whole(path, (char *)image, sizeof image) == 0 && hash_model(path, &other) == 0 && other != first);
    CHECK(save_whole(path, (char *)image, 0x1200) == 0 && hash_model(path, &other) == EXIT_FAILED);
    CHECK(save_whole(path, (char *)image, 60) == 0 && hash_model(path, &other) == EXIT_FAILED);
}

static void test_records(const char *folder)
{
    static const char *const csqa = "{\"answerKey\": \"B\", \"question\": {\"choices\": [{\"label\": \"A\", \"text\": "
                                    "\"x\"}, {\"label\": \"B\", \"text\": \"y\"}], \"stem\": \"Q?\"}}\n";
    static const char *const mmlu = "{\"question\":\"Q\\n Options are:\\nA. one\\nC. odd\\nB. two\",\"answer\":\"B\"}";
    char path[1024];
    items list = {NULL, 0, 0};
    uint64_t hash;
    FILE *f;
    snprintf(path, sizeof path, "%s/records.jsonl", folder);
    f = fopen(path, "wb"), fputs(csqa, f), fputs("{\"answerKey\": \"C\"}\n", f), fclose(f);
    CHECK(read_items(TASK_CSQA, path, &list, &hash) == EXIT_FAILED && strstr(said, "line 2"));
    CHECK(list.n == 2 && list.list[0].n_choices == 2 && list.list[0].right == 1
          && strcmp(list.list[0].question, "Q?") == 0);
    free_items(&list);
    f = fopen(path, "wb"), fputs(mmlu, f), fclose(f);
    CHECK(read_items(TASK_MMLU_PRO, path, &list, &hash) == 0 && list.list[0].n_choices == 2 && list.list[0].right == 1);
    CHECK(strcmp(list.list[0].question, "Q") == 0 && strcmp(list.list[0].choices[1], "two") == 0);
    free_items(&list);
    f = fopen(path, "wb"), fputs("[{\"text\": \"a b c\"}, {\"text\": \"single\"}]", f), fclose(f);
    CHECK(read_items(TASK_LAMBADA, path, &list, &hash) == EXIT_FAILED && strcmp(list.list[0].answer, " c") == 0);
    free_items(&list);
    f = fopen(path, "wb"), fclose(f);
    CHECK(read_items(TASK_GSM8K, path, &list, &hash) == EXIT_FAILED);
    free_items(&list);
}

/* What ends the answers stands before them, too; numbers of answers are too large, or none. */
static void test_arc_instructions(const char *folder)
{
    static const char *const answers[] = {"answer0",           "answer3",  "answer", "answer-1",
                                          "answer99999999999", "answer2x", "2"};
    static const char form[] = "{\"instruction\": \"x\\n\\nAnswer format: y question: Q?\\n\\nAnswer1: one Answer2: two"
                               "\\n\\nAnswer format: answer1/answer2\", \"answer\": \"%s\"}";
    static const char *const bad[] = {
        "{\"instruction\": \"x\\n\\nAnswer format: question: Q Answer1: a Answer2: b\", \"answer\": \"answer1\"}",
        "{\"instruction\": \"question: Q\\n\\nAnswer format: Answer1: a\", \"answer\": \"answer1\"}",
        "{\"instruction\": \"Answer1: question: \\n\\nAnswer format:\", \"answer\": \"answer1\"}",
        "{\"instruction\": \"\", \"answer\": \"answer1\"}"};
    char path[1024], text[1024];
    items list = {NULL, 0, 0};
    uint64_t hash;
    size_t i;
    snprintf(path, sizeof path, "%s/arc.json", folder);
    snprintf(text, sizeof text, form, "answer2"), save_whole(path, text, strlen(text));
    CHECK(read_items(TASK_ARC, path, &list, &hash) == 0 && list.list[0].n_choices == 2 && list.list[0].right == 1);
    CHECK(strcmp(list.list[0].question, "Q?") == 0 && strcmp(list.list[0].choices[1], "two") == 0);
    free_items(&list);
    for (i = 0; i < sizeof answers / sizeof *answers; i++) {
        snprintf(text, sizeof text, form, answers[i]), save_whole(path, text, strlen(text));
        CHECK(read_items(TASK_ARC, path, &list, &hash) == EXIT_FAILED);
        free_items(&list);
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        save_whole(path, bad[i], strlen(bad[i]));
        CHECK(read_items(TASK_ARC, path, &list, &hash) == EXIT_FAILED && strstr(said, "line 1"));
        free_items(&list);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    test_json(), test_large_json(), test_metrics(), test_votes(), test_sureness(), test_keys();
    test_statistics(), test_large_counts(), test_equal_scores(), test_gains(), test_gains_of_texts(), test_selective();
    test_sorting(), test_sheets(), test_harmless(argv[1]), test_hostile_results(argv[1]), test_impossible_outcomes();
    test_model_hash(argv[1]), test_records(argv[1]), test_arc_instructions(argv[1]);
    return conclude();
}
