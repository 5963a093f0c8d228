/* bench.c - what a form costs: time to compile, memory, time for each token
 *
 *     form-bench MODEL.harp [STEP_MS]
 *
 * Each form's answer is a text that is in it, cut into tokens by the model's own tokenizer. It is asked for twice:
 * first with empty tables, then as the next answer of the same guide. A model made by harp-convert --vocab-only will
 * do; STEP_MS, what a step of the model takes, makes percents of it.
 */
#define HARP_FORM_IMPLEMENTATION
#include "harp_form.h"

#include <time.h>

enum { MOST = 4096, TEXT = 1 << 16 };

static double now(void) /* milliseconds of this process */ { return 1e3 * (double)clock() / CLOCKS_PER_SEC; }

typedef struct sample {
    const char *name;
    harp_status (*compile)(harp_form **, const char *, size_t, const harp_form_options *, harp_error *);
    const char *form, *text;
} sample;

static harp_status any_json(harp_form **form, const char *text, size_t bytes, const harp_form_options *options,
                            harp_error *err)
{
    (void)text, (void)bytes;
    return harp_form_json(form, options, err);
}

static const char person[] = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":60},"
                             "\"age\":{\"type\":\"integer\",\"minimum\":0,"
                             "\"maximum\":150},\"email\":{\"type\":\"string\",\"pattern\":\"^[a-z.]+@[a-z]+[.][a-z]{2,"
                             "4}$\"},\"born\":{\"type\":\"string\",\"format\":\"date\"},"
                             "\"likes\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":40},"
                             "\"maxItems\":5},\"about\":{\"type\":\"string\",\"maxLength\":400}},"
                             "\"required\":[\"name\",\"age\"],\"additionalProperties\":false}";
static const char person_text[] = "{\"name\": \"Anna Maria Peterson-Ng\", \"age\": 34, \"email\": "
                                  "\"anna.maria@example.org\", \"born\": \"1991-07-23\", \"likes\": [\"tea\", "
                                  "\"long walks in the rain\", \"chess\"], \"about\": \"She was born in a small town "
                                  "by the sea, learned to read when she was three, and has not stopped since. "
                                  "Her friends say: \\\"ask Anna, she has read about it.\\\" In the evenings she plays "
                                  "chess, mostly against herself.\"}";
static const char list_text[] = "[{\"city\": \"Paris\", \"people\": 2102650, \"river\": \"Seine\"}, {\"city\": "
                                "\"Wien\", \"people\": 2005760, \"river\": \"Donau\"}, "
                                "{\"city\": \"Praha\", \"people\": 1357326, \"river\": \"Vltava\", \"bridges\": "
                                "[\"Karl\\u016fv most\", \"most Legi\\u00ed\"]}]";
static const char list_grammar[] = "root ::= (\"- \" item)+\nitem ::= [^\\n]+ \"\\n\"\n";
static const char list_answer[] = "- bread, butter and two kinds of cheese\n- apples\n- a bottle of milk (not the "
                                  "small one)\n- something sweet for the children\n";

static const char large_text[] =
    "{\"property_0_of_0\": \"a text\", \"property_1_of_0\": 1234, \"property_2_of_0\": \"green\", \"property_3_of_0\": "
    "[1.5, -2e3], "
    "\"next\": {\"property_4_of_1\": \"another text, a little longer\", \"property_7_of_1\": [], \"property_19_of_1\": "
    "[0, 1, 2], "
    "\"next\": {\"next\": {\"property_12_of_3\": \"deep\", \"property_10_of_3\": null}}}, \"property_17_of_0\": -3}";

/* A schema of many definitions, as programs write them. */
static const char *large_schema(void)
{
    static char text[TEXT * 16];
    size_t n = 0, room = sizeof text;
    int i, k;
    n += (size_t)snprintf(text + n, room - n, "{\"$ref\":\"#/$defs/t0\",\"$defs\":{");
    for (i = 0; i < 200; i++) {
        n += (size_t)snprintf(text + n, room - n, "%s\"t%d\":{\"type\":\"object\",\"properties\":{", i ? "," : "", i);
        for (k = 0; k < 20; k++)
            n += (size_t)snprintf(text + n, room - n, "%s\"property_%d_of_%d\":%s", k ? "," : "", k, i,
                                  k % 4 == 0   ? "{\"type\":\"string\",\"maxLength\":100}"
                                  : k % 4 == 1 ? "{\"type\":\"integer\",\"minimum\":-5,\"maximum\":70000}"
                                  : k % 4 == 2 ? "{\"enum\":[\"red\",\"green\",\"blue\",null]}"
                                               : "{\"type\":\"array\",\"items\":{\"type\":\"number\"}}");
        n += (size_t)snprintf(text + n, room - n,
                              ",\"next\":{\"$ref\":\"#/$defs/t%d\"}},\"additionalProperties\":false}", (i + 1) % 200);
    }
    snprintf(text + n, room - n, "}}");
    return text;
}

/* The time of each call of the guide along an answer, in ms. */
static size_t follow(harp_guide *guide, const int32_t *tokens, size_t n, float *add, int32_t vocab, double *times)
{
    size_t i;
    harp_guide_begin(guide, 0);
    for (i = 0; i <= n; i++) {
        double begin;
        memset(add, 0, (size_t)vocab * sizeof *add);
        begin = now();
        if (harp_guide_adjust(guide, tokens, (int32_t)i, NULL, add, vocab))
            return printf("%s\n", harp_guide_problem(guide)), i;
        times[i] = now() - begin;
        if (i < n && add[tokens[i]] != 0) return printf("token %ld of the answer is forbidden\n", (long)i), i;
    }
    return n + 1;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *when, double *times, size_t n, double step)
{
    double sum = 0;
    size_t i;
    for (i = 0; i < n; i++) sum += times[i];
    qsort(times, n, sizeof *times, by_size);
    printf("    %-14s mean %7.3f ms, median %7.3f, most %7.3f", when, sum / (double)n, times[n / 2], times[n - 1]);
    if (step > 0) printf("   (%.1f %% of a step)", 100 * sum / (double)n / step);
    printf("\n");
}

static int measure_answer(harp_guide *guide, const harp_model *model, const char *text, float *add, double step)
{
    static int32_t tokens[MOST];
    static double times[MOST + 1];
    int32_t vocab = harp_model_info(model).vocab;
    harp_error err;
    size_t n = 0, done;
    if (harp_encode(model, text, strlen(text), HARP_ENCODE_CONTINUE, tokens, MOST, &n, &err))
        return printf("%s\n", err.text), 1;
    if ((done = follow(guide, tokens, n, add, vocab, times)) != n + 1) return 1;
    report("first answer", times, done, step);
    done = follow(guide, tokens, n, add, vocab, times);
    report("next answer", times, done, step);
    return 0;
}

static int measure(const harp_model *model, const harp_vocabulary *words, const sample *s, double step)
{
    float *add = malloc((size_t)harp_model_info(model).vocab * sizeof *add);
    harp_form *form = NULL;
    harp_guide *guide = NULL;
    harp_error err;
    double begin = now(), compiled;
    int failed = 1;
    s->compile(&form, s->form, strlen(s->form), NULL, &err);
    compiled = now() - begin;
    if (err.status == HARP_OK) harp_guide_open(&guide, form, words, &err);
    if (err.status || !add) printf("%s: %s\n", s->name, err.status ? err.text : "there is not enough memory");
    else {
        printf("%s: compiled in %.2f ms, %.1f KB, a guide %.1f MB\n", s->name, compiled,
               (double)harp_form_bytes(form) / 1e3, (double)harp_guide_bytes(guide) / 1e6);
        failed = measure_answer(guide, model, s->text, add, step);
    }
    harp_guide_close(guide), harp_form_close(form), free(add);
    return failed;
}

int main(int argc, char **argv)
{
    static sample samples[] = {{"any JSON", any_json, "", list_text},
                               {"a schema of a person", harp_form_schema, person, person_text},
                               {"a grammar of a list", harp_form_grammar, list_grammar, list_answer},
                               {"a large schema", harp_form_schema, NULL, large_text}};
    harp_model *model = NULL;
    harp_vocabulary *words = NULL;
    harp_error err;
    size_t i;
    double begin, step = argc > 2 ? atof(argv[2]) : 0;
    int failed = 0;
    if (argc < 2) return fprintf(stderr, "usage: %s MODEL.harp [STEP_MS]\n", argv[0]), 2;
    if (harp_open(&model, argv[1], &err)) return fprintf(stderr, "%s\n", err.text), 1;
    begin = now();
    if (harp_vocabulary_open(&words, model, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    printf("vocabulary: %ld tokens, sorted in %.0f ms, %.1f MB\n", (long)harp_model_info(model).vocab, now() - begin,
           (double)harp_vocabulary_bytes(words) / 1e6);
    samples[3].form = large_schema();
    for (i = 0; i < sizeof samples / sizeof *samples; i++) failed |= measure(model, words, &samples[i], step);
    harp_vocabulary_close(words), harp_close(model);
    return failed;
}
