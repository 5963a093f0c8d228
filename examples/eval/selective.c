/* selective.c - what a model gets right if it may leave out the questions of which it is least sure
 *
 * Of each answer the records say how unsure the model was: the mean and the largest entropy of its tokens, how many of
 * them hesitated, and of several answers how many agree. Sorted by one of these, the surest first, the accuracy of the
 * first part is what selective answering gives. Where many answers are equally sure, as with counts, the part is
 * drawn from them at random: what is told is the expected value.
 */
#include "eval.h"
#include "../../tools/convert/ground/sort.h"

#include <stdlib.h>
#include <string.h>

enum { SURE_ENTROPY, SURE_PEAK, SURE_HESITATIONS, SURE_VOTES, N_SURE, PARTS = 10, MOST_CURVES = 32 };

typedef struct sure {
    double sureness, right;
} sure;

typedef struct curve {
    char name[MAX_NAME + 32];
    double share_right[PARTS]; /* [i]: of the surest (i + 1) / PARTS */
    double auroc;              /* how often a right answer is surer than a wrong one; equals count half */
    int32_t n;
} curve;

static double sureness_of(const outcome *o, int by)
{
    double n = o->steps > 0 ? o->steps : 1;
    if (by == SURE_VOTES) return o->votes / (o->answers > 0 ? o->answers : 1);
    return by == SURE_ENTROPY ? -o->entropy / n : by == SURE_PEAK ? -o->peak : -o->hesitated;
}

static int surest_first(const void *a, const void *b, const void *user)
{
    double x = ((const sure *)a)->sureness, y = ((const sure *)b)->sureness;
    (void)user;
    return (x < y) - (x > y);
}

/* Where those that are as sure as list[i] end; what is right among them is added to *right. */
static size_t end_of_equals(const sure *list, size_t n, size_t i, double *right)
{
    double sureness = list[i].sureness;
    for (*right = 0; i < n && list[i].sureness == sureness; i++) *right += list[i].right;
    return i;
}

/* list: sorted. */
static double right_among(const sure *list, size_t n, double first)
{
    double right = 0, equals;
    size_t i = 0, end;
    for (; i < n && (double)i < first; i = end) {
        end = end_of_equals(list, n, i, &equals);
        right += (double)end <= first ? equals : equals * (first - (double)i) / (double)(end - i);
    }
    return first > 0 ? right / first : 0;
}

static double auroc_of(const sure *list, size_t n)
{
    double right = 0, wrong = 0, won = 0, equals;
    size_t i = 0, end;
    for (; i < n; i = end) {
        double bad;
        end = end_of_equals(list, n, i, &equals);
        bad = (double)(end - i) - equals;
        won += bad * (right + equals / 2); /* the right ones before these wrong ones are surer */
        right += equals, wrong += bad;
    }
    return right > 0 && wrong > 0 ? won / (right * wrong) : 0.5;
}

static int make_curve(const results *r, int32_t which, int by, curve *c)
{
    static const char *const names[N_SURE] = {"mean entropy", "largest entropy", "hesitations", "votes"};
    sure *list = malloc((r->n + 1) * sizeof *list);
    size_t i, n = 0;
    if (!list) return complain("there is not enough memory for the results");
    for (i = 0; i < r->n; i++)
        if (r->list[i].method == which)
            list[n].sureness = sureness_of(&r->list[i].o, by), list[n++].right = r->list[i].o.right;
    heap_sort(list, n, sizeof *list, surest_first, NULL);
    for (i = 0; i < PARTS; i++) c->share_right[i] = right_among(list, n, (double)n * (double)(i + 1) / PARTS);
    c->auroc = auroc_of(list, n), c->n = (int32_t)n;
    snprintf(c->name, sizeof c->name, "%s, by %s", results_name(r, which), names[by]);
    free(list);
    return 0;
}

static double answers_of(const results *r, int32_t which)
{
    double most = 0;
    size_t i;
    for (i = 0; i < r->n; i++)
        if (r->list[i].method == which && r->list[i].o.answers > most) most = r->list[i].o.answers;
    return most;
}

/* Vanilla by its own doubts, methods of several answers by their votes. */
static int make_curves(const results *r, curve *curves, int32_t *n)
{
    int32_t i;
    int by, status = 0;
    for (*n = i = 0; i < r->n_methods && status == 0; i++) {
        int is_vanilla = strcmp(results_name(r, i), "vanilla") == 0;
        if (is_vanilla && *n + 3 <= MOST_CURVES)
            for (by = SURE_ENTROPY; by < SURE_VOTES && status == 0; by++)
                status = make_curve(r, i, by, &curves[(*n)++]);
        else if (answers_of(r, i) > 1 && *n < MOST_CURVES)
            status = make_curve(r, i, SURE_VOTES, &curves[(*n)++]);
    }
    return status;
}

static void print_curves(const curve *curves, int32_t n, FILE *out)
{
    int i;
    fprintf(out, "\nRight, %%, if only the surest part of the questions is answered; AUROC: how often a right answer "
                 "is surer than a wrong one.\n\n| method, and how sure it is | AUROC |");
    for (i = PARTS - 1; i >= 0; i--) fprintf(out, " %d %% |", 100 * (i + 1) / PARTS);
    fputs("\n|---|---|", out);
    for (i = 0; i < PARTS; i++) fputs("---|", out);
    fputs("\n", out);
    for (; n > 0; curves++, n--) {
        fprintf(out, "| %s | %.3f |", curves->name, curves->auroc);
        for (i = PARTS - 1; i >= 0; i--) fprintf(out, " %.1f |", 100 * curves->share_right[i]);
        fputs("\n", out);
    }
}

/* Accuracy upwards, the share answered to the right; the names stand at the left ends, apart from each other. */
static void put_chart(const curve *curves, int32_t n, growing *out)
{
    static const char *const colours[] = {"#b3574b", "#4b7fb3", "#5a9e5a", "#8a5ab3", "#b38f3a", "#4aa5a0", "#777777"};
    char label[64];
    int32_t i, k;
    put(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 420\" font-family=\"sans-serif\" "
             "font-size=\"12\">\n<rect width=\"760\" height=\"420\" fill=\"#fff\"/>\n"
             "<path d=\"M60 20V350H500\" fill=\"none\" stroke=\"#888\"/>\n");
    for (i = 0; i <= 5; i++) {
        snprintf(label, sizeof label, "%d", 20 * (int)i);
        put_label(out, 54, 354 - 66 * i, "end", label);
        put_label(out, 60 + 88 * i, 368, "middle", label);
    }
    put_label(out, 64, 14, "start", "right, %");
    put_label(out, 500, 388, "end", "questions answered, %: the surest");
    for (i = 0; i < n; i++) {
        const char *colour = colours[(size_t)i % (sizeof colours / sizeof *colours)];
        for (k = 0; k < PARTS; k++)
            put(out, "%s%.1f %.1f", k ? "L" : "<path d=\"M", 60 + 440.0 * (k + 1) / PARTS,
                350 - 330 * curves[i].share_right[k]);
        put(out, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", colour,
            i >= 7 ? " stroke-dasharray=\"5 3\"" : "");
        put(out, "<path d=\"M515 %ldh20\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", 30L + 18 * i, colour,
            i >= 7 ? " stroke-dasharray=\"5 3\"" : "");
        put_label(out, 540, 34 + 18 * i, "start", curves[i].name);
    }
    put(out, "</svg>\n");
}

int print_selective(const results *r, FILE *out, const char *svg)
{
    static curve curves[MOST_CURVES]; /* large */
    growing chart = {NULL, 0, 0, 0};
    int32_t n;
    int status = make_curves(r, curves, &n);
    if (status) return status;
    print_curves(curves, n, out);
    put_chart(curves, n, &chart);
    if (chart.failed) status = complain("there is not enough memory for the chart");
    else status = save_whole(svg, chart.at, chart.bytes);
    free(chart.at);
    return status;
}
