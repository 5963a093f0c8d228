/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_form.c - examples/form: which texts are in a form, which tokens may come next
 *
 *     test_form MODEL.harp [N]             all tests, with N generations
 *     test_form generate MODEL.harp N SEED generations alone; a JSON line each, for tests/form_check.mjs
 *     test_form cases FILE [tell]          forms and texts of others: see form_cases.h
 */
#define HARP_FORM_IMPLEMENTATION
#include "../examples/form/harp_form.h"

#include "test.h"

#include "form_cases.h"

#include <time.h>

static unsigned chance = 1;

static int any(int n) /* 0..n-1 */
{
    chance = chance * 1103515245u + 12345u;
    return (int)((chance >> 8) % (unsigned)n);
}

/* ---- Forms and texts ---- */

enum { GRAMMAR, SCHEMA, SCHEMA_NARROW, PLAIN }; /* narrow: not every text, but what a program would write */

static harp_form *compile(int kind, const char *text, harp_error *err)
{
    harp_form_options options = {0};
    harp_form *form = NULL;
    options.every = kind == SCHEMA;
    if (kind == GRAMMAR) harp_form_grammar(&form, text, strlen(text), NULL, err);
    else if (kind == PLAIN) harp_form_json(&form, &options, err);
    else harp_form_schema(&form, text, strlen(text), &options, err);
    return form;
}

/* Texts behind each other, each with its state before it: C complete, X closed, O open, - outside. */
static const struct {
    int kind;
    const char *form;
    const char *texts[24];
} known[] = {
    {GRAMMAR, "root ::= \"a\" b\nb ::= \"x\" b | \"\"", {"Ca", "Caxx", "-b", "O", "-axb"}},
    {GRAMMAR,
     "root ::= [^a-c\\n]{2} .",
     {"Xxyz", "-axx", "X\xC3\xA9\xE2\x82\xAC\xF0\x9F\x94\xB5", "O\xC3", "-\xC3x", "-\x80", "-\xED\xA0\x80", "-\xC0\xAF",
      "-\xF4\x90\x80\x80", "-xyzz"}},
    {GRAMMAR, "root ::= (\"(\" root \")\" | \"z\")", {"Xz", "X((z))", "O((z)", "-)", "-((z)))"}},
    {GRAMMAR, "root ::= ([a]? [b]?)*", {"C", "Cabba", "-c"}},
    {GRAMMAR, "root ::= ([a]?){2,5} \"!\"", {"X!", "Xaaaaa!", "Oaaaaa", "-aaaaaa"}},
    {GRAMMAR, "root ::= [a-z]{2,3}{2}", {"Xaaaaaa", "Caaaa", "Oaaa"}},
    {GRAMMAR, "root ::= \"\\x41\\u00e9\\U0001F535\\t\\\\\\\"\\[\\]\"", {"XA\xC3\xA9\xF0\x9F\x94\xB5\t\\\"[]"}},
    {GRAMMAR,
     "# a comment\n\nroot ::= # one\n  a | # two\n  \"b\"\na ::= (\n\"c\"\n|\n\"d\" )? \"e\"\n",
     {"Xb", "Xe", "Xce", "-c b"}},
    {GRAMMAR, "root ::= \"x\"{0} \"y\"{1} \"z\"{,2}", {"Cy", "Cyz", "Xyzz", "-xy"}},
    {GRAMMAR, "root ::= l l\nl ::= \"a\" | \"aa\" | \"aaa\"", {"Caa", "Caaa", "Xaaaaaa", "Oa", "-aaaaaaa"}},
    {GRAMMAR, "root ::= []? \"a\" [^]{2}", {"Xabc", "Xa\xC3\xA9z"}},
    {SCHEMA,
     "{\"const\": {\"a\": [1, \"\\u00e9\"], \"b\": null}}",
     {"X{\"a\":[1,\"\xC3\xA9\"],\"b\":null}", "X {\"b\" : null, \"\\u0061\":[1.0,\"\\u00E9\"]}\n", "-{\"a\":[1,\"e",
      "-{\"b\":null}", "-{\"a\":[1,\"\xC3\xA9\"],\"a\""}},
    {SCHEMA,
     "{\"type\":\"string\",\"maxLength\":2,\"minLength\":1}",
     {"X\"\\ud83d\\uDCA9\xC3\xA9\"", "-\"\"", "-\"abc", "-\"\\ud83dx", "-\"\\udca9", "-\"\n", "X\"\\n\\/\"", "-\"\\x",
      "O\"a"}},
    {SCHEMA,
     "{\"type\":\"string\",\"pattern\":\"^(ab|c)+$\",\"maxLength\":3}",
     {"X\"ab\"", "X\"cab\"", "O\"ab", "-\"abab", "-\"ca\""}},
    {SCHEMA, "{\"type\":\"string\",\"pattern\":\"a{2,3}b|^x\"}", {"X\"zaab!\"", "X\"x\"", "-\"ab\"", "X\"aaaab\""}},
    {SCHEMA,
     "{\"type\":\"string\",\"pattern\":\"^[^\\\\d\\\\s]\\\\w*?.$\"}",
     {"X\"ab!\"", "-\"1a", "X\"\xC3\xA9_z\"", "-\"a\""}},
    {SCHEMA, "{\"type\":\"string\",\"pattern\":\"^(?:(a*)*|b{0}c)$\"}", {"X\"\"", "X\"aaa\"", "X\"c\"", "-\"ca"}},
    {SCHEMA,
     "{\"format\":\"date\",\"type\":\"string\"}",
     {"X\"2024-02-29\"", "-\"2023-02-29", "X\"2000-02-29\"", "-\"1900-02-29", "X\"1999-12-31\"", "-\"1999-11-31"}},
    {SCHEMA,
     "{\"format\":\"date-time\",\"type\":\"string\"}",
     {"X\"2024-01-01T23:59:60Z\"", "X\"2024-01-01t00:00:00.5-05:30\"", "-\"2024-01-01T24", "-\"2024-01-01 0"}},
    {SCHEMA,
     "{\"format\":\"uuid\",\"type\":\"string\"}",
     {"X\"2EB8AA08-aa98-11ea-b4aa-73b441d16380\"", "-\"2eb8aa08-aa98-11ea-b4aa73"}},
    {SCHEMA,
     "{\"type\":\"integer\",\"minimum\":-12,\"exclusiveMaximum\":130}",
     {"C-12", "C-1", "C0", "C-0", "C129", "C129.00", "C99", "--13", "-130", "-200", "-01", "O-", "O1."}},
    {SCHEMA, "{\"type\":\"integer\",\"minimum\":0,\"maximum\":0}", {"C0", "C-0", "-1", "-00"}},
    {SCHEMA,
     "{\"type\":\"number\",\"minimum\":-2.05}",
     {"C0", "C-2.05", "C-2.0500", "--2.0501", "--2.051", "--2.06", "C-1.99", "--3", "C0.5", "C99.99", "-1.e", "-1e5",
      "O-"}},
    {SCHEMA,
     "{\"type\":\"number\",\"minimum\":0.25,\"exclusiveMaximum\":10.5}",
     {"C0.25", "C0.250", "-0.24", "O0.2", "C1", "C10", "C10.4999", "O10.", "-10.50 ", "-10.6", "-11", "-100", "-0 "}},
    {SCHEMA,
     "{\"type\":\"number\",\"exclusiveMinimum\":3.1,\"maximum\":3.14}",
     {"C3.11", "C3.1001", "C3.14", "-3.141", "O3.10", "-3 "}},
    {SCHEMA_NARROW, /* what is required need not be among the properties */
     "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"}},\"required\":[\"a\",\"z\"]}",
     {"X{\"a\":null,\"z\":[1,{}]}", "X{\"z\":\"b\",\"a\":null}", "-{\"a\":null}", "-{\"a\":null,\"z\":1,\"y\"", "-{\"b"}},
    {SCHEMA_NARROW,
     "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":1}},\"required\":[\"k\",\"z\"]},"
     "{\"type\":\"null\"}]}",
     {"X{\"k\":1,\"z\":true}", "Xnull", "-{\"k\":1}"}},
    {SCHEMA_NARROW, "{\"type\":\"number\",\"exclusiveMinimum\":0}", {"C0.5", "O0.0", "C1", "C100.25", "-0 ", "--"}},
    {SCHEMA, "{\"type\":\"integer\",\"minimum\":1e3}", {"C1000", "C99999999999999999999", "-1e", "-999 "}},
    {SCHEMA, "{\"type\":\"integer\",\"exclusiveMinimum\":0.5,\"maximum\":1.5}", {"C1", "-0 ", "-2"}},
    {SCHEMA, "{\"type\":[\"null\",\"integer\"],\"maximum\":-5}", {"Cnull", "C-5", "C-123", "--4 ", "-5"}},
    {SCHEMA,
     "{\"enum\":[\"ab\",\"abc\",\"b\",1,-0.5,false]}",
     {"C\"ab\"", "C\"abc\"", "C1", "C1.0", "C-0.500", "Cfalse", "-\"a\"", "-\"bc", "-2"}},
    {SCHEMA,
     "{\"properties\":{\"ab\":{\"type\":\"null\"},\"ac\":false,\"b\":{\"const\":2}},\"required\":[\"b\"],"
     "\"additionalProperties\":{\"type\":\"boolean\"},\"type\":\"object\"}",
     {"X{\"b\":2}", "X{\"a\":true,\"ab\":null,\"b\":2,\"abc\":false}", "-{\"b\":2,\"ac\"", "-{}", "-{\"ab\":true",
      "-{\"b\":2,\"b\"", "-{\"b\":2,}", "X{ \"\\u0062\" : 2 , \"c\":true}", "O{\"b\":2,\"a"}},
    {SCHEMA,
     "{\"properties\":{\"ab\":true,\"ac\":false},\"additionalProperties\":false,\"type\":\"object\"}",
     {"X{}", "X{\"ab\":[]}", "-{\"ab\":0,", "-{\"ac"}},
    {SCHEMA,
     "{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"const\":2}],\"items\":{\"const\":3},\"minItems\":1,"
     "\"maxItems\":4}",
     {"X[1]", "X[1,2]", "X[1,2,3,3]", "-[]", "-[2", "-[1,2,3,3,", "-[1,]", "X[ 1 , 2.0 ]"}},
    {SCHEMA,
     "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":2,\"maxItems\":3}",
     {"X[true,false]", "-[true]", "-[true,true,true,", "O[true,true,true"}},
    {SCHEMA,
     "{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"maxItems\":2}}}",
     {"X[[],[[]]]", "-[1", "-[[],[],"}},
    {SCHEMA, "{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", {"Cnull", "-1"}},
    {SCHEMA,
     "{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"}},\"required\":[\"k\"],\"type\":\"object\"},"
     "{\"properties\":{\"k\":{\"const\":\"b\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"k\",\"v\"],\"type\":"
     "\"object\"}]}",
     {"X{\"k\":\"a\"}", "X{\"v\":1,\"k\":\"b\"}", "-{\"k\":\"b\"}", "-{\"k\":\"c"}},
    {SCHEMA_NARROW,
     "{\"properties\":{\"a\":{\"type\":\"number\"}}, \"type\":\"object\"}",
     {"X{}", "X {\"a\": 123456789012345.5e99}", "-{\"a\": 1234567890123456", "-{\"b", "-{  ", "X{\n    \"a\": 0\n}",
      "-{} "}},
    {PLAIN,
     "",
     {"X{\"a\":[1,2,{\"b\":null}],\"c\":\"\\u12aB\"}", "C12", "Xtrue", "-[1,]", "-{\"a\"}", "-01", "X[]", "-nul ",
      "-\"\t", "X\"\xF0\x9F\x94\xB5\""}},
};

static void test_known(void)
{
    static const char letters[] = "-OCX";
    size_t i, k;
    for (i = 0; i < sizeof known / sizeof *known; i++) {
        harp_error err;
        harp_form *form = compile(known[i].kind, known[i].form, &err);
        harp_guide *guide = NULL;
        check(form != NULL, "%s: %s", known[i].form, err.text);
        if (!form || harp_guide_open(&guide, form, NULL, &err)) continue;
        for (k = 0; k < 24 && known[i].texts[k]; k++) {
            const char *text = known[i].texts[k] + 1;
            harp_guide_state state = harp_guide_read(guide, text, strlen(text));
            char letter = letters[state];
            if (letter == 'C' && known[i].texts[k][0] == 'X' && known[i].kind == SCHEMA)
                letter = 'X'; /* blanks may follow */
            check(letter == known[i].texts[k][0], "%s is %c, not %c, in %s", text, letters[state], known[i].texts[k][0],
                  known[i].form);
        }
        harp_guide_close(guide), harp_form_close(form);
    }
}

/* What is refused, and a part of what is said. */
static const struct {
    int kind;
    const char *form, *said;
} refused[] = {
    {GRAMMAR, "", "the rule root is missing"},
    {GRAMMAR, "a ::= \"b\"", "root is missing"},
    {GRAMMAR, "root ::= a", "rule a is used but not defined"},
    {GRAMMAR, "root ::= root \"a\" | \"b\"", "root begins with itself"},
    {GRAMMAR, "root ::= a\na ::= b\nb ::= \"\" c\nc ::= \"x\"? a \"y\" | \"z\"", "begins with itself"},
    {GRAMMAR, "root ::= \"a\" root", "no text has this form"},
    {GRAMMAR, "root ::= (\"a\"", "not closed"},
    {GRAMMAR, "root ::= \"a", "line 1, column 12: the text has no closing"},
    {GRAMMAR, "root ::= [a", "no closing ]"},
    {GRAMMAR, "root ::= a\n\n  a ::= [z-a]", "line 3"},
    {GRAMMAR, "root ::= *", "nothing before"},
    {GRAMMAR, "root ::= \"a\"{3,2}", "below its smallest"},
    {GRAMMAR, "root ::= \"a\"{9999999}", "more than a million"},
    {GRAMMAR, "root ::= \"a\nroot ::= \"b\"", "line 2, column 13"},
    {GRAMMAR, "root ::= \"a\"\nroot ::= \"b\"", "a second time"},
    {GRAMMAR, "root ::= \"\\q\"", "unknown escape"},
    {GRAMMAR, "root ::= \"\xFF\"", "not UTF-8"},
    {GRAMMAR, "root = a", "::="},
    {GRAMMAR, "root ::= (\"a\"?){0,1000}", "may be empty"},
    {GRAMMAR, "root ::= )", "no ( for this"},
    {GRAMMAR, "root ::= \"\\ud800\"", "surrogate"},
    {GRAMMAR, "root ::= [^\\x00-\\U0010FFFF]", "no text has this form"},
    {SCHEMA, "", "not a value"},
    {SCHEMA, "{", "a name"},
    {SCHEMA, "{\"a\" 1}", ": is missing"},
    {SCHEMA, "{\"a\"}", ": is missing"},
    {SCHEMA, "{\"a\":}", "not a value"},
    {SCHEMA, "[1,]", "not a value"},
    {SCHEMA, "[1 2]", "a , or"},
    {SCHEMA, "{} 1", "more after"},
    {SCHEMA, "\"\\ud800\"", "not a character"},
    {SCHEMA, "3", "must be an object"},
    {SCHEMA, "{\"multipleOf\":2}", "\"multipleOf\" is not supported"},
    {SCHEMA, "{\"maxLenght\":2}", "\"maxLenght\" is not supported"},
    {SCHEMA, "{\"properties\":{\"a\":{\"not\":{}}}}", "(at /properties/a)"},
    {SCHEMA, "{\"type\":\"number\",\"minimum\":1,\"exclusiveMinimum\":2}", "two bounds"},
    {SCHEMA, "{\"type\":\"string\",\"type\":\"null\"}", "stands twice"},
    {SCHEMA, "{\"type\":\"text\"}", "at /type: there is no such type"},
    {SCHEMA, "{\"enum\":[1],\"minLength\":2}", "\"minLength\" beside"},
    {SCHEMA, "{\"anyOf\":[],\"allOf\":[]}", "beside another"},
    {SCHEMA, "{\"allOf\":[{},{}]}", "more than one"},
    {SCHEMA, "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "may both match"},
    {SCHEMA, "{\"$ref\":\"other.json\"}", "within the schema"},
    {SCHEMA, "{\"$ref\":\"#/$defs/x\"}", "refers to nothing"},
    {SCHEMA, "{\"$ref\":\"#\"}", "no text has this form"},
    {SCHEMA, "false", "no text has this form"},
    {SCHEMA, "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"$ref\":\"#\"}}}",
     "no text has this form"},
    {SCHEMA, "{\"type\":\"array\",\"items\":false,\"minItems\":1}", "no text has this form"},
    {SCHEMA, "{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", "no text has this form"},
    {SCHEMA, "{\"type\":\"string\",\"pattern\":\"^(aaa)*$\",\"minLength\":4,\"maxLength\":5}", "no text has this form"},
    {SCHEMA, "{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", "no text has this form"},
    {SCHEMA, "{\"pattern\":\"(?=a)\"}", "looking ahead"},
    {SCHEMA, "{\"pattern\":\"(a)\\\\1\"}", "references"},
    {SCHEMA, "{\"pattern\":\"a\\\\b\"}", "borders"},
    {SCHEMA, "{\"pattern\":\"\\\\p{L}\"}", "properties of Unicode"},
    {SCHEMA, "{\"pattern\":\"(a\"}", "has no )"},
    {SCHEMA, "{\"pattern\":\"a)\"}", "no ("},
    {SCHEMA, "{\"pattern\":\"(^a)\"}", "^ inside"},
    {SCHEMA, "{\"pattern\":\"a$b\"}", "$ inside"},
    {SCHEMA, "{\"pattern\":\"[a\"}", "no ]"},
    {SCHEMA, "{\"pattern\":\"a{99999}\"}", "too long"},
    {SCHEMA, "{\"pattern\":\"((a{100}){100}){100}\"}", "too long"},
    {SCHEMA, "{\"pattern\":\"*\"}", "nothing before"},
    {SCHEMA, "{\"format\":\"email\"}", "date, time, date-time and uuid"},
    {SCHEMA, "{\"minItems\":-1}", "from 0"},
    {SCHEMA, "{\"minItems\":1.5}", "from 0"},
    {SCHEMA, "{\"uniqueItems\":true}", "uniqueItems"},
    {SCHEMA, "{\"pattern\":\"a\",\"maxLength\":100000000}", "too large"},
    {SCHEMA, "{\"const\":1e999}", "digits"},
    {SCHEMA, "{\"type\":\"integer\",\"minimum\":1e30}", "18 digits"},
};

static void test_refused(void)
{
    size_t i;
    for (i = 0; i < sizeof refused / sizeof *refused; i++) {
        harp_error err;
        harp_form *form = compile(refused[i].kind, refused[i].form, &err);
        check(!form && err.status && strstr(err.text, refused[i].said), "%s: %s", refused[i].form,
              form ? "compiles" : err.text);
        harp_form_close(form);
    }
}

/* ---- Tokens ---- */

/* Is the token allowed after these? Byte by byte, from the start: what a mask must say. */
static int allowed_slowly(harp_guide *guide, const char *before, size_t n, const char *text, size_t bytes)
{
    static char all[1 << 16];
    if (!text || bytes == 0 || n + bytes > sizeof all) return 0;
    memcpy(all, before, n), memcpy(all + n, text, bytes);
    return harp_guide_read(guide, all, n + bytes) != HARP_GUIDE_OUTSIDE;
}

/* A walk of random allowed tokens: each mask against the bytes. */
static void walk(const harp_form *form, const harp_vocabulary *words, const char *const *texts, const size_t *lengths,
                 int32_t n, int32_t end, int steps)
{
    static char text[1 << 16];
    static int32_t tokens[4096];
    harp_guide *guide, *slow;
    harp_error err;
    float *add = malloc((size_t)n * sizeof *add);
    int32_t count = 0, i, good = 1, ended = 0, allowed = 0;
    size_t bytes = 0;
    CHECK(!harp_guide_open(&guide, form, words, &err) && !harp_guide_open(&slow, form, NULL, &err) && add);
    for (; steps > 0 && !ended; steps--) {
        memset(add, 0, (size_t)n * sizeof *add);
        if (harp_guide_adjust(guide, tokens, count, NULL, add, n)) check(0, "%s", harp_guide_problem(guide));
        for (i = allowed = 0; i < n; i++) {
            int is = add[i] == 0, may = i == end ? harp_guide_read(slow, text, bytes) >= HARP_GUIDE_COMPLETE
                                                 : allowed_slowly(slow, text, bytes, texts[i], lengths[i]);
            if (is != may)
                check(0, "token %d %.*s is %s after %.*s", (int)i, (int)lengths[i], texts[i],
                      is ? "allowed" : "forbidden", (int)bytes, text),
                    good = 0;
            allowed += is;
        }
        if (!good || allowed == 0) break;
        for (i = any(n); add[i] != 0;) i = (i + 1) % n;
        ended = i == end;
        if (ended) break;
        tokens[count++] = i;
        memcpy(text + bytes, texts[i], lengths[i]), bytes += lengths[i];
        if (any(8) == 0) { /* rewind */
            int back = any(4);
            for (; back > 0 && count > 0; back--) bytes -= lengths[tokens[--count]];
        }
        CHECK(harp_guide_at(guide, tokens, count) == harp_guide_read(slow, text, bytes));
    }
    CHECK(good && (allowed > 0 || harp_guide_read(slow, text, bytes) == HARP_GUIDE_OPEN));
    harp_guide_close(guide), harp_guide_close(slow), free(add);
}

/* A vocabulary of all kinds of tokens: bytes, pieces of characters, pieces of JSON, long ones, none. */
static void test_masks(void)
{
    static const char *const pieces[] = {"{\"",
                                         "\"}",
                                         "\":",
                                         "\",",
                                         "\": \"",
                                         "},{",
                                         "]}",
                                         "[[",
                                         "true",
                                         "tr",
                                         "null,",
                                         "ll",
                                         " \"",
                                         "\n",
                                         "\n  ",
                                         "  ",
                                         "    ",
                                         "\\u",
                                         "\\\"",
                                         "\\n",
                                         "00",
                                         "12",
                                         "1.",
                                         ".5",
                                         "e+",
                                         "-1",
                                         "name",
                                         "na",
                                         "me\"",
                                         "ab",
                                         "abab",
                                         "aaaaaaaaaaaaaaaa",
                                         "\xC3\xA9\xC3\xA9",
                                         "\xE2\x82",
                                         "\xAC\"",
                                         "\xF0\x9F",
                                         "\x94\xB5",
                                         "\xF0\x9F\x94\xB5",
                                         "yes",
                                         "no",
                                         "(",
                                         ")",
                                         "((",
                                         "))",
                                         "()",
                                         "x)",
                                         "\":[",
                                         "],\"",
                                         "2024-",
                                         "-0",
                                         ":0",
                                         "T1",
                                         "0Z",
                                         NULL};
    enum { MOST = 512 };
    static char bytes[256];
    static const char *texts[MOST];
    static size_t lengths[MOST];
    static const char *const forms[] = {"root ::= (\"(\" root \")\" root)?", "root ::= [^\\x00-\\x1f]{3,9} \"\\n\"",
                                        "root ::= (\"ab\" | \"aba\" | \"bab\")* \"yes\"", NULL};
    static const char *const schemas[] = {
        "true",
        "{\"type\":\"string\",\"maxLength\":20}",
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"pattern\":\"^[a-z]*$\",\"maxLength\":12},"
        "\"nab\":{\"type\":\"integer\",\"minimum\":-3,\"maximum\":120},"
        "\"next\":{\"$ref\":\"#\"}},\"required\":[\"name\"]}",
        "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"enum\":[\"yes\",\"no\",null]},\"maxItems\":3}}",
        "{\"type\":\"string\",\"format\":\"date-time\"}",
        NULL};
    const char *const choices[] = {"yes", "no", "name", "abab", "\xF0\x9F\x94\xB5"};
    harp_vocabulary *words;
    harp_form *form;
    harp_error err;
    int32_t n = 0, i, end;
    int round;
    for (i = 0; i < 256; i++) bytes[i] = (char)i, texts[n] = bytes + i, lengths[n++] = 1;
    for (i = 0; pieces[i]; i++) texts[n] = pieces[i], lengths[n++] = strlen(pieces[i]);
    texts[n] = "<nothing>", lengths[n++] = 0, texts[n] = NULL, lengths[n++] = 0;
    texts[n] = "ab", lengths[n++] = 2; /* twice the same text */
    texts[n] = "</s>", lengths[n] = 4, end = n++;
    CHECK(!harp_vocabulary_make(&words, texts, lengths, n, &end, 1, &err));
    for (round = 0; round < 6; round++) {
        for (i = 0; forms[i]; i++)
            if ((form = compile(GRAMMAR, forms[i], &err)))
                walk(form, words, texts, lengths, n, end, 40), harp_form_close(form);
            else check(0, "%s", err.text);
        for (i = 0; schemas[i]; i++)
            if ((form = compile(round % 2 ? SCHEMA : SCHEMA_NARROW, schemas[i], &err)))
                walk(form, words, texts, lengths, n, end, 40), harp_form_close(form);
            else check(0, "%s", err.text);
        CHECK(!harp_form_choice(&form, choices, 5, NULL, &err));
        walk(form, words, texts, lengths, n, end, 40), harp_form_close(form);
    }
    harp_vocabulary_close(words);
}

/* Tables that become full, stacks that become deep: the answer stays what it was. */
static void test_long_answers(void)
{
    static char text[400000];
    harp_error err;
    harp_form *form = compile(PLAIN, "", &err),
              *counted =
                  compile(SCHEMA, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":30000}", &err);
    harp_guide *guide = NULL;
    size_t i, n = 0;
    CHECK(form && counted && !harp_guide_open(&guide, form, NULL, &err));
    for (i = 0; i < 2000; i++) text[n++] = '[';
    CHECK(harp_guide_read(guide, text, n) == HARP_GUIDE_OPEN);
    for (i = 0; i < 2000; i++) text[n++] = ']';
    CHECK(harp_guide_read(guide, text, n) == HARP_GUIDE_CLOSED
          && harp_guide_read(guide, text, n - 1) == HARP_GUIDE_OPEN);
    memset(text, '[', sizeof text);
    CHECK(harp_guide_read(guide, text, sizeof text) == HARP_GUIDE_OUTSIDE
          && strstr(harp_guide_problem(guide), "too deep"));
    harp_guide_close(guide);
    CHECK(!harp_guide_open(&guide, counted, NULL, &err));
    text[0] = '[';
    for (n = 1, i = 0; i < 30000; i++) text[n++] = '7', text[n++] = ',';
    CHECK(harp_guide_read(guide, text, n) == HARP_GUIDE_OPEN);
    text[n - 1] = ']';
    CHECK(harp_guide_read(guide, text, n) == HARP_GUIDE_COMPLETE);
    text[n - 3] = ']';
    CHECK(harp_guide_read(guide, text, n - 2) == HARP_GUIDE_OUTSIDE);
    CHECK(guide->machine.forgotten > 2);
    harp_guide_close(guide), harp_form_close(form), harp_form_close(counted);
}

/* ---- Hostile forms: bounded time, whatever comes of them ---- */

typedef struct writer { /* of a form */
    char text[1 << 20];
    size_t n;
} writer;

static void put(writer *w, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    w->n += (size_t)vsnprintf(w->text + w->n, sizeof w->text - w->n, format, rest);
    va_end(rest);
    if (w->n >= sizeof w->text) w->n = 0, check(0, "a form of over 1 MB");
}

/* Compiles it, and reads `length` times `piece`; `said`: of the compiler or, after a +, of the guide; NULL: all is
 * well. */
static void bounded(int kind, writer *h, const char *piece, int length, const char *said)
{
    static char text[20000];
    harp_error err;
    clock_t begin = clock();
    harp_form *form = compile(kind, h->text, &err);
    harp_guide *guide = NULL;
    size_t n = 0;
    double seconds;
    if (said && said[0] != '+')
        check(!form && strstr(err.text, said), "%.60s: %s, not %s", h->text, form ? "compiles" : err.text, said);
    else check(form != NULL, "%.60s: %s", h->text, err.text);
    if (form && !harp_guide_open(&guide, form, NULL, &err)) {
        harp_guide_state state;
        for (; length > 0 && n + strlen(piece) <= sizeof text; length--)
            memcpy(text + n, piece, strlen(piece)), n += strlen(piece);
        state = harp_guide_read(guide, text, n);
        if (said)
            check(strstr(harp_guide_problem(guide), said + 1) != NULL, "%.60s: %s, not %s", h->text,
                  harp_guide_problem(guide), said);
        else
            check(state != HARP_GUIDE_OUTSIDE, "%.60s does not read %s many times: %s", h->text, piece,
                  harp_guide_problem(guide));
    }
    harp_guide_close(guide), harp_form_close(form);
    seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    check(seconds < 20, "%.60s took %.1f s", h->text, seconds);
    h->n = 0;
}

static void test_hostile(void)
{
    static writer h;
    int i;
    for (put(&h, "root ::= "), i = 0; i < 500; i++) put(&h, "\"a\"? ");
    for (i = 0; i < 500; i++) put(&h, "\"a\" ");
    bounded(GRAMMAR, &h, "a", 1000, NULL);
    put(&h, "root ::= (((((\"a\"*)*)*)+)*)? root2\nroot2 ::= (\"a\" | \"a\" | \"aa\" | root2b)*\nroot2b ::= \"a\"+");
    bounded(GRAMMAR, &h, "a", 2000, NULL);
    for (put(&h, "root ::= "), i = 0; i < 100; i++) put(&h, "(");
    for (put(&h, "\"a\""), i = 0; i < 100; i++) put(&h, i % 2 ? ")*" : "){1,1000}");
    bounded(GRAMMAR, &h, "a", 1, "may be empty");
    for (put(&h, "root ::= "), i = 0; i < 1000; i++) put(&h, "(");
    bounded(GRAMMAR, &h, "a", 1, "too deeply");
    put(&h, "root ::= (([a]{1,1000}){1,1000}){1000000}");
    bounded(GRAMMAR, &h, "a", 3000, "+too ambiguous");
    put(&h, "root ::= ([ab]{3}){1,1000000} | [a]{999999}");
    bounded(GRAMMAR, &h, "a", 20000, NULL);
    for (put(&h, "root ::= r0\n"), i = 0; i < 20000; i++)
        put(&h, "r%d ::= r%d \"b\"? | \"a\"\n", (i * 7919) % 20000, ((i + 1) * 7919) % 20000);
    bounded(GRAMMAR, &h, "a", 1, "begins with itself");
    for (put(&h, "root ::= r0\n"), i = 0; i < 20000; i++)
        put(&h, "r%d ::= \"a\" r%d \"b\"? | \"a\"\n", (i * 7919) % 20000, ((i + 1) * 7919) % 20000);
    bounded(GRAMMAR, &h, "a", 100, NULL);
    for (put(&h, "root ::= "), i = 0; i < 40; i++) put(&h, "s%d\ns%d ::= s%d | \"a\" | ", i, i, i + 1);
    put(&h, "\"b\"\ns40 ::= \"a\"");
    bounded(GRAMMAR, &h, "a", 1, NULL);
    for (put(&h, "root ::= ["), i = 0; i < 5000; i++) put(&h, "\\U%08X", 0x10000 - 2 * i);
    put(&h, "]");
    bounded(GRAMMAR, &h, "a", 1, "ranges of characters");
    put(&h, "root ::= e\ne ::= \"(\" e \")\" e | \"(\" e \")\" | \"()\" e?");
    bounded(GRAMMAR, &h, "(", 3000, NULL);
    put(&h, "root ::= t \"+\" root | t \"-\" root | t\nt ::= \"(\" root \")\" | [0-9]+ | [0-9]+ \".\" [0-9]+");
    bounded(GRAMMAR, &h, "((1+", 1500, NULL);
    put(&h, "root ::= a | b\na ::= \"(\" root \")\"\nb ::= \"(\" root \"]\" | \"x\"");
    bounded(GRAMMAR, &h, "(", 100, "+too ambiguous");

    for (i = 0; i < 1000; i++) put(&h, "{\"items\":");
    bounded(SCHEMA, &h, "", 0, "too deeply");
    for (put(&h, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{"), i = 0; i < 10000; i++)
        put(&h, "\"d%d\":{\"$ref\":\"#/$defs/d%d\"},", i, i + 1);
    put(&h, "\"d10000\":{\"$ref\":\"#\"}}}");
    bounded(SCHEMA, &h, "", 0, "no text has this form");
    for (put(&h, "{\"enum\":["), i = 0; i < 20000; i++)
        put(&h, "%s\"word %d of many\"", i ? "," : "", i * 7919 % 20000);
    put(&h, "]}");
    bounded(SCHEMA, &h, "\"word 77 of", 1, NULL);
    for (put(&h, "{\"anyOf\":["), i = 0; i < 5000; i++)
        put(&h, "%s{\"items\":{\"const\":%d},\"type\":\"array\"}", i ? "," : "", i);
    put(&h, "]}");
    bounded(SCHEMA, &h, "[", 1, "+too ambiguous");
    put(&h, "{\"pattern\":\"^((((a{1,9}){1,9}){1,9}){1,9}){1,3}$\"}");
    bounded(SCHEMA, &h, "", 0, "too long");
    put(&h, "{\"pattern\":\"^(a|aa|(a*)*|a?a?a?a?)*$\",\"type\":\"string\",\"maxLength\":1000}");
    bounded(SCHEMA, &h, "\"aaaaaaaaaaaaaaaaaaaaaaaaa", 1, NULL);
    put(&h, "{\"type\":\"string\",\"minLength\":1000000000}");
    bounded(SCHEMA, &h, "\"\xC3\xA9", 1, NULL);
    put(&h, "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"minItems\":500000000},\"minItems\":900000000}");
    bounded(SCHEMA, &h, "[[", 1, NULL);
    for (put(&h, "{\"type\":\"object\",\"required\":["), i = 0; i < 65; i++) put(&h, "%s\"p%d\"", i ? "," : "", i);
    put(&h, "]}");
    bounded(SCHEMA, &h, "", 0, "more than 64");
    for (put(&h, "{\"type\":\"object\",\"required\":["), i = 0; i < 64; i++) put(&h, "%s\"p%d\"", i ? "," : "", i);
    put(&h, "]}");
    bounded(SCHEMA, &h, "{\"p63\":1,\"p0\":[],\"q", 1, NULL);
}

/* ---- Generations ---- */

static void put_value(writer *w, int depth)
{
    static const char *const values[] = {"null",   "true",   "0", "-7", "1.50", "\"\"", "\"a\\\"b\"", "\"\xC3\xA9\\n\"",
                                         "123456", "\"yes\""};
    int i, n = any(3);
    if (depth > 0 && any(4) == 0) {
        int object = any(2);
        put(w, object ? "{" : "[");
        for (i = 0; i < n; i++) put(w, i ? "," : ""), object ? put(w, "\"k%d\":", i) : (void)0, put_value(w, depth - 1);
        put(w, object ? "}" : "]");
    } else put(w, "%s", values[any(10)]);
}

static void put_schema(writer *w, int depth);

static void put_object(writer *w, int depth)
{
    static const char *const names[] = {"a",   "ab",   "abc", "name",           "n", "\xC3\xA9t\xC3\xA9",
                                        "x y", "\\\"", "",    "long_name_of_it"};
    int i, n = any(5), first = any(10);
    put(w, "{\"type\":\"object\",\"properties\":{");
    for (i = 0; i < n; i++) put(w, "%s\"%s\":", i ? "," : "", names[(first + i) % 10]), put_schema(w, depth - 1);
    put(w, "},\"required\":[");
    for (i = 0; i < n; i++)
        if (i == 0 || any(2)) put(w, "%s\"%s\"", i ? "," : "", names[(first + i) % 10]);
    put(w, "]");
    if (any(2)) put(w, ",\"additionalProperties\":"), any(3) ? put(w, "false") : put_schema(w, depth - 1);
    put(w, "}");
}

static void put_range(writer *w)
{
    double lo = (any(4000) - 2000) / 100.0;
    put(w, "{\"type\":\"number\",\"%s\":%g,\"%s\":%g}", any(2) ? "minimum" : "exclusiveMinimum", lo,
        any(2) ? "maximum" : "exclusiveMaximum", lo + 0.01 + any(3000) / 100.0);
}

static void put_schema(writer *w, int depth)
{
    static const char *const patterns[] = {"^[a-z]{1,5}$", "^(yes|no)$", "[0-9]",    "^\\\\d{3}-\\\\d{4}$",
                                           "^.{2,4}$",     "^\\\\w+@x",  "\xC3\xA9$"};
    static const char *const formats[] = {"date", "time", "date-time", "uuid"};
    int i, n, kind = any(depth > 0 ? 16 : 9);
    switch (kind) {
    case 0: put(w, "{\"type\":\"string\",\"maxLength\":%d}", 1 + any(20)); break;
    case 1: i = any(5), put(w, "{\"type\":\"string\",\"minLength\":%d,\"maxLength\":%d}", i, i + any(12)); break;
    case 2: put(w, "{\"type\":\"string\",\"pattern\":\"%s\",\"maxLength\":%d}", patterns[any(7)], 8 + any(10)); break;
    case 3: put(w, "{\"type\":\"string\",\"format\":\"%s\",\"maxLength\":40}", formats[any(4)]); break;
    case 4:
        i = any(2000) - 1000,
        put(w, "{\"type\":\"integer\",\"minimum\":%d,\"maximum\":%d}", i, i + any(any(2) ? 10 : 5000));
        break;
    case 5: any(2) ? put(w, "{\"type\":[\"number\",\"null\"]}") : put_range(w); break;
    case 6: put(w, "{\"type\":\"boolean\"}"); break;
    case 7: put(w, "{\"const\":"), put_value(w, 2), put(w, "}"); break;
    case 8:
        put(w, "{\"enum\":["), n = 1 + any(4);
        for (i = 0; i < n; i++) put(w, i ? "," : ""), put_value(w, 1);
        put(w, "]}");
        break;
    case 9:
        i = any(3), put(w, "{\"type\":\"array\",\"minItems\":%d,\"maxItems\":%d,\"items\":", i, i + any(3)),
        put_schema(w, depth - 1), put(w, "}");
        break;
    case 10:
        put(w, "{\"type\":\"array\",\"prefixItems\":["), put_schema(w, depth - 1), put(w, ","),
            put_schema(w, depth - 1), put(w, "],\"items\":false}");
        break;
    case 11:
        put(w, "{\"anyOf\":["), put_schema(w, depth - 1), put(w, ","), put_schema(w, depth - 1), put(w, "]}");
        break;
    case 12: put(w, "{\"oneOf\":[{\"type\":\"null\"},{\"type\":\"integer\",\"minimum\":%d}]}", any(100) - 50); break;
    case 13: put(w, "{\"$ref\":\"#/$defs/list\"}"); break;
    default: put_object(w, depth);
    }
}

static void random_schema(writer *w)
{
    w->n = 0;
    put(w, "{\"$defs\":{\"list\":{\"type\":\"object\",\"properties\":{\"v\":");
    put_schema(w, 0);
    put(w, ",\"next\":{\"$ref\":\"#/$defs/list\"}},\"required\":[\"v\"],\"additionalProperties\":false}},\"anyOf\":[");
    put_schema(w, 3);
    put(w, "]}");
}

typedef struct output {
    char text[1 << 15];
    size_t bytes;
    harp_guide *guide;
    harp_session *session;
} output;

static int take(void *user, const char *text, size_t bytes, const harp_step *step)
{
    output *o = user;
    int32_t n;
    const int32_t *tokens = harp_tokens(o->session, &n);
    memcpy(o->text + o->bytes, text, bytes), o->bytes += bytes;
    return !step->end && harp_guide_at(o->guide, tokens, n) == HARP_GUIDE_CLOSED;
}

static void put_json_string(const char *text, size_t bytes)
{
    size_t i;
    putchar('"');
    for (i = 0; i < bytes; i++)
        if (text[i] == '"' || text[i] == '\\') printf("\\%c", text[i]);
        else if ((unsigned char)text[i] < 0x20) printf("\\u%04x", text[i]);
        else putchar(text[i]);
    putchar('"');
}

/* One generation in a random schema; drafts or not, HARP or not, at some temperature. Returns how it ended: 1 complete,
 * 0 cut by the limit, -1 wrong. */
static int generate(const harp_model *model, const harp_vocabulary *words, int print)
{
    static const char *const prompts[] = {"Once upon a time", "{", "One day, Anna", "The answer is: "};
    static writer schema;
    static output o;
    harp_form *form = NULL, *every;
    harp_params p = harp_defaults();
    harp_error err;
    int32_t tokens[64], used;
    size_t n;
    harp_guide_state state = HARP_GUIDE_OUTSIDE;
    harp_guide *check_guide = NULL;
    while (!form) {
        random_schema(&schema);
        form = compile(SCHEMA_NARROW, schema.text, &err);
        if (!form && !strstr(err.text, "no text has this form"))
            check(0, "%s: %s", schema.text, err.text), form = compile(PLAIN, "", &err);
    }
    CHECK(!harp_guide_open(&o.guide, form, words, &err));
    p.context = 512, p.temperature = (float)any(9) / 4, p.seed = (uint64_t)any(1 << 20), p.harp = any(2),
    p.drafts = any(3) ? 0 : 4;
    if (any(2)) p.top_k = 0, p.top_p = 1, p.min_p = 0;
    p.adjust_fn = harp_guide_adjust, p.adjust_user = o.guide;
    o.session = open_session(model, &p), o.bytes = 0;
    const char *prompt = prompts[any(4)];
    CHECK(!harp_encode(model, prompt, strlen(prompt), HARP_ENCODE_BOS, tokens, 64, &n, &err)
          && !harp_feed(o.session, tokens, (int32_t)n, &err));
    harp_guide_begin(o.guide, (int32_t)n);
    if (harp_generate(o.session, NULL, 400, take, &o, &err))
        check(0, "%s: %s %s after %.*s", schema.text, err.text, harp_guide_problem(o.guide), (int)o.bytes, o.text);
    else {
        const int32_t *all = harp_tokens(o.session, &used);
        int complete =
            harp_generate_end(o.session) == HARP_END_TOKEN || harp_generate_end(o.session) == HARP_END_CALLBACK;
        state = harp_guide_at(o.guide, all, used);
        every = compile(SCHEMA, schema.text, &err);
        CHECK(every && !harp_guide_open(&check_guide, every, NULL, &err));
        if (complete)
            check(state >= HARP_GUIDE_COMPLETE && harp_guide_read(check_guide, o.text, o.bytes) >= HARP_GUIDE_COMPLETE,
                  "%.*s is not in %s", (int)o.bytes, o.text, schema.text);
        else
            check(state != HARP_GUIDE_OUTSIDE, "%.*s is not the beginning of anything in %s", (int)o.bytes, o.text,
                  schema.text),
                state = HARP_GUIDE_OPEN;
        if (complete && print)
            printf("{\"schema\":%s,\"text\":", schema.text), put_json_string(o.text, o.bytes), printf("}\n");
        harp_guide_close(check_guide), harp_form_close(every);
    }
    harp_session_close(o.session), harp_guide_close(o.guide), harp_form_close(form);
    return state >= HARP_GUIDE_COMPLETE ? 1 : state == HARP_GUIDE_OPEN ? 0 : -1;
}

static void test_generations(const char *path, int n, int print)
{
    harp_model *model = NULL;
    harp_vocabulary *words = NULL;
    harp_error err;
    int i, complete = 0, cut = 0, result;
    if (harp_open(&model, path, &err) || harp_vocabulary_open(&words, model, &err)) check(0, "%s", err.text);
    for (i = 0; i < n && words; i++)
        result = generate(model, words, print), complete += result == 1, cut += result == 0;
    fprintf(print ? stderr : stdout, "note %d generations: %d complete, %d cut by the limit\n", n, complete, cut);
    harp_vocabulary_close(words), harp_close(model);
}

/* ---- Sessions ---- */

typedef struct guided {
    harp_form *form;
    harp_guide *guide;
    harp_session *session;
} guided;

static guided open_guided(const harp_model *model, const harp_vocabulary *words, harp_params p, const char *schema)
{
    guided g = {0};
    harp_error err;
    int32_t tokens[64];
    size_t n;
    g.form = compile(SCHEMA_NARROW, schema, &err);
    CHECK(g.form && !harp_guide_open(&g.guide, g.form, words, &err));
    p.context = 256, p.adjust_fn = harp_guide_adjust, p.adjust_user = g.guide;
    g.session = open_session(model, &p);
    CHECK(!harp_encode(model, "One day, Anna", 13, HARP_ENCODE_BOS, tokens, 64, &n, &err)
          && !harp_feed(g.session, tokens, (int32_t)n, &err));
    return g;
}

static void close_guided(guided *g)
{
    harp_session_close(g->session), harp_guide_close(g->guide), harp_form_close(g->form);
}

/* Drafts, rewinding, saving and restoring change nothing: the guide is a pure function of the tokens. */
static void test_sessions(const harp_model *model, const harp_vocabulary *words)
{
    static const char schema[] = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
                                 "\"string\",\"maxLength\":9},\"b\":{\"$ref\":\"#\"}},"
                                 "\"required\":[\"a\"]},\"minItems\":1}";
    enum { STEPS = 60 };
    harp_params p = harp_defaults();
    harp_error err;
    static char image[1 << 23];
    size_t bytes = 0;
    int drafts, i, back;
    p.temperature = 0.9f, p.seed = 7;
    for (drafts = 0; drafts <= 6; drafts += 3) {
        guided plain, other;
        p.drafts = 0, plain = open_guided(model, words, p, schema);
        p.drafts = drafts, other = open_guided(model, words, p, schema);
        for (i = 0; i < STEPS; i++) {
            if (harp_guide_at(plain.guide, harp_tokens(plain.session, NULL), length_of(plain.session))
                == HARP_GUIDE_CLOSED)
                break;
            CHECK(!harp_next(plain.session, NULL, &err));
        }
        while (length_of(other.session) < length_of(plain.session)) {
            CHECK(!harp_next(other.session, NULL, &err));
            if (any(6) == 0 && (back = 1 + any(5)) < length_of(other.session) - 8)
                CHECK(!harp_rewind(other.session, length_of(other.session) - back, &err));
            if (any(6) == 0) { /* elsewhere, and back */
                CHECK(!harp_save(other.session, image, sizeof image, &bytes, &err));
                CHECK(!harp_rewind(other.session, 3, &err)
                      && !harp_feed(other.session, harp_tokens(plain.session, NULL), 3, &err));
                CHECK(!harp_restore(other.session, image, bytes, &err));
            }
        }
        CHECK(length_of(plain.session) > 12);
        for (i = 0; i < length_of(plain.session); i++) CHECK(token_at(plain.session, i) == token_at(other.session, i));
        close_guided(&plain), close_guided(&other);
    }
}

/* The probabilities of texts against a slow way: each token's, one pass each. */
/* A text of many tokens costs a row for each, and is refused where there is no room for it. */
static void test_long_choice(harp_session *s, const harp_model *model, int32_t before)
{
    static char letters[400];
    const char *texts[] = {letters, " b"};
    double probability[2];
    harp_error err;
    int64_t rows = harp_statistics(s).rows;
    memset(letters, 'q', 60);
    CHECK(!harp_form_choose(s, model, texts, 2, probability, NULL, &err) && length_of(s) == before);
    CHECK(harp_statistics(s).rows - rows <= 3 * 60);
    memset(letters, 'q', sizeof letters - 1);
    CHECK(harp_form_choose(s, model, texts, 2, probability, NULL, &err) == HARP_ERR_CONTEXT && length_of(s) == before
          && strstr(err.text, "text 1"));
}

static void test_choose(const harp_model *model)
{
    const char *const texts[] = {" a", " a ball", " dog", " the red ball", " a", "!"};
    enum { N = 6 };
    harp_params p = harp_defaults();
    harp_error err;
    double probability[N], sum = 0, slow[N], total = 0;
    int32_t tokens[64], best = -1, i, k, before;
    int32_t vocab = harp_model_info(model).vocab;
    size_t n, m;
    harp_session *s;
    p.context = 128, s = open_session(model, &p);
    CHECK(!harp_encode(model, "One day, Anna saw", 17, HARP_ENCODE_BOS, tokens, 64, &n, &err)
          && !harp_feed(s, tokens, (int32_t)n, &err));
    before = length_of(s);
    CHECK(!harp_form_choose(s, model, texts, N, probability, &best, &err) && length_of(s) == before);
    for (i = 0; i < N; i++) {
        sum += probability[i];
        CHECK(probability[i] <= probability[best]);
    }
    CHECK(sum > 0.999999 && sum < 1.000001 && probability[0] == probability[4]);
    for (i = 0; i < N; i++) { /* the texts " a" begin another: an end counts there */
        double log_sum = 0;
        CHECK(!harp_encode(model, texts[i], strlen(texts[i]), HARP_ENCODE_CONTINUE, tokens, 64, &m, &err));
        for (k = 0; k <= (int32_t)m; k++) {
            double end = 0;
            int32_t e;
            CHECK(!harp_next(s, NULL, &err));
            for (e = 0; e < harp_model_info(model).n_end; e++)
                end += exp((double)harp_logprob(harp_logits(s, HARP_COMBINED), vocab, harp_model_info(model).end[e]));
            if (k < (int32_t)m) log_sum += (double)harp_logprob(harp_logits(s, HARP_COMBINED), vocab, tokens[k]);
            else if (i == 0 || i == 4) log_sum += log(end);
            CHECK(!harp_rewind(s, length_of(s) - 1, &err) && (k == (int32_t)m || !harp_feed(s, tokens + k, 1, &err)));
        }
        CHECK(!harp_rewind(s, before, &err));
        total += slow[i] = exp(log_sum);
    }
    for (i = 0; i < N; i++)
        check(fabs(slow[i] / total - probability[i]) < 1e-5, "%s: %g, not %g", texts[i], probability[i],
              slow[i] / total);
    CHECK(harp_form_choose(s, model, texts, 0, probability, NULL, &err) == HARP_ERR_ARGUMENT);
    test_long_choice(s, model, before);
    harp_session_close(s);
}

/* What a wrong call says. */
static void test_misuse(const harp_model *model, const harp_vocabulary *words)
{
    harp_error err;
    harp_form *form = NULL;
    harp_guide *guide = NULL;
    float adds[4] = {0};
    const int32_t tokens[2] = {1, 2};
    CHECK(harp_form_grammar(NULL, "", 0, NULL, &err) == HARP_ERR_ARGUMENT
          && harp_form_schema(&form, NULL, 0, NULL, &err) == HARP_ERR_ARGUMENT && !form);
    form = compile(PLAIN, "", &err);
    CHECK(harp_guide_open(NULL, form, words, &err) == HARP_ERR_ARGUMENT
          && harp_guide_open(&guide, NULL, words, &err) == HARP_ERR_ARGUMENT);
    CHECK(!harp_guide_open(&guide, form, words, &err) && harp_guide_bytes(guide) > 0 && harp_form_bytes(form) > 0
          && harp_vocabulary_bytes(words) > 0);
    CHECK(harp_guide_adjust(guide, tokens, 2, NULL, adds, 4) == 1 && strstr(harp_guide_problem(guide), "vocabulary"));
    CHECK(harp_guide_at(guide, NULL, 2) == HARP_GUIDE_OUTSIDE && harp_guide_read(guide, NULL, 3) == HARP_GUIDE_OUTSIDE);
    harp_guide_close(guide), harp_form_close(form), harp_guide_close(NULL), harp_form_close(NULL),
        harp_vocabulary_close(NULL);
    CHECK(harp_vocabulary_open(NULL, model, &err) == HARP_ERR_ARGUMENT);
}

/* Every allocation fails in its turn; nothing leaks, and the error says so. */
static size_t living, allocations, fails_at;

static void *take_memory(void *user, size_t bytes)
{
    void *block = ++allocations == fails_at ? NULL : malloc(bytes);
    (void)user;
    return living += block != NULL, block;
}

static void give_memory(void *user, void *block, size_t bytes)
{
    (void)user, (void)bytes;
    living--, free(block);
}

static void test_memory(void)
{
    static const char *const texts[] = {
        "root ::= (a | \"\xC3\xA9\"){2,3}\na ::= [^b]*",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"pattern\":\"x+\"},\"b\":{\"enum\":[\"u\",2]}}}"};
    int kind;
    for (kind = GRAMMAR; kind <= SCHEMA; kind++)
        for (fails_at = 1; fails_at < 1000; fails_at++) {
            harp_form_options options = {0};
            harp_form *form = NULL;
            harp_guide *guide = NULL;
            harp_error err;
            int done;
            options.allocator.alloc = take_memory, options.allocator.free = give_memory, allocations = 0;
            if ((kind == GRAMMAR ? harp_form_grammar : harp_form_schema)(&form, texts[kind], strlen(texts[kind]),
                                                                         &options, &err)
                || harp_guide_open(&guide, form, NULL, &err))
                CHECK(err.status == HARP_ERR_MEMORY && err.text[0] && !guide);
            done = guide != NULL;
            harp_guide_close(guide), harp_form_close(form);
            CHECK(living == 0);
            if (done) break;
        }
}

static void test_with_model(const char *path)
{
    harp_model *model = NULL;
    harp_vocabulary *words = NULL;
    harp_error err;
    if (harp_open(&model, path, &err) || harp_vocabulary_open(&words, model, &err)) check(0, "%s", err.text);
    else test_sessions(model, words), test_choose(model), test_misuse(model, words);
    harp_vocabulary_close(words), harp_close(model);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "cases") == 0) return form_cases_run(argv[2], argc > 3), conclude();
    if (argc > 4 && strcmp(argv[1], "generate") == 0) {
        chance = (unsigned)atoi(argv[4]);
        test_generations(argv[2], atoi(argv[3]), 1);
        return fprintf(stderr, "%d passed, %d failed\n", passed, failed), failed > 0;
    }
    test_known();
    test_refused();
    test_masks();
    test_long_answers();
    test_hostile();
    test_memory();
    if (argc > 1) test_with_model(argv[1]);
    if (argc > 1) test_generations(argv[1], argc > 2 ? atoi(argv[2]) : 100, 0);
    return conclude();
}
