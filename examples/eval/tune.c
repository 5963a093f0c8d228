/* tune.c - which settings of HARP a model is to be used with, if any
 *
 * A stated grid is tried on the even items of the data: frames, K and delta first, then theta and beta at the best of
 * them. The best of all is compared with the plain model on the odd items, which the verdict never saw.
 *
 * The rule: HARP is recommended if its gain there, paired item by item, has a 95 % interval above zero. Otherwise the
 * recommendation is to leave it off.
 */
#include "eval.h"
#include "../../tools/convert/ground/json_write.h"

#include <stdlib.h>
#include <string.h>

int tune_is_proven(const gain *g)
{
    return g->low > 0; /* a NaN is not */
}

int32_t tune_choose(const results *r, task_id task)
{
    int32_t i, best = -1;
    gain of, most;
    memset(&most, 0, sizeof most);
    for (i = 0; i < r->n_methods; i++) {
        if (strcmp(results_name(r, i), "vanilla") == 0) continue;
        of = gain_of(r, task, i);
        if (best >= 0 && !(of.mean > most.mean || (of.mean == most.mean && of.passes < most.passes))) continue;
        best = i, most = of;
    }
    return best;
}

static const char *frame_of(const harp_params *p)
{
    static const char *const names[] = {"stream", "redraw", "last"}; /* in the order of harp_frame */
    return p->reframe_from == HARP_FROM_PROMPT ? "stream:prompt" : names[p->frame];
}

void tune_refine(options *o, const method *best)
{
    static const double thetas[] = {0.5, 1, 2}, betas[] = {0.3, 0.5, 0.7, 0.9};
    strcpy(o->frames, frame_of(&best->params));
    o->n_reframings = o->n_deltas = 1;
    o->reframings[0] = best->params.reframings, o->deltas[0] = (double)best->params.delta;
    if (o->n_thetas == 0) memcpy(o->thetas, thetas, sizeof thetas), o->n_thetas = 3;
    if (o->n_betas == 0) memcpy(o->betas, betas, sizeof betas), o->n_betas = 4;
}

static void put_evidence(const verdict *v, task_id task, growing *out)
{
    const gain *g = &v->g;
    int is_text = task >= TASK_PPL;
    double scale = is_text ? 1 : 100;
    put(out, "the best of %ld settings on the even %s of %s is %s; on %ld odd ones: %s %.4f, plain %.4f, gain %+.4f "
             "[%+.4f, %+.4f] %s, passes x%.2f",
        (long)v->tried, is_text ? "windows" : "questions", v->data, v->m->name, (long)g->items,
        is_text ? "NLL" : "right, %", scale * g->with, scale * g->without, scale * g->mean, scale * g->low,
        scale * g->high, is_text ? "nats a token" : "points", g->passes);
}

void tune_tell(const verdict *v, task_id task, FILE *out)
{
    growing why = {NULL, 0, 0, 0};
    put_evidence(v, task, &why);
    fprintf(out, "\nRecommended: %s\nBecause: %s.\nThe rule: HARP is recommended if the interval of the gain on the "
                 "odd ones lies above zero.\n",
            tune_is_proven(&v->g) ? v->m->name : "HARP off", why.failed ? "?" : why.at);
    free(why.at);
}

static void put_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, ",\"%s\":", name);
    json_put_string(out, text, strlen(text));
}

static void put_real(FILE *out, const char *name, float value)
{
    char number[32];
    write_float(number, value);
    fprintf(out, ",\"%s\":%s", name, number);
}

int tune_save(const verdict *v, task_id task, const char *path)
{
    static const char *const names[] = {"stream", "redraw", "last"};
    const harp_params *p = &v->m->params;
    growing why = {NULL, 0, 0, 0};
    FILE *out = host_fopen(path, "wb");
    int failed;
    if (!out) return complain("%s: the recommendation could not be written", path);
    put_evidence(v, task, &why);
    fprintf(out, "{\"harp\":%d", tune_is_proven(&v->g));
    if (tune_is_proven(&v->g)) {
        put_text(out, "frame", names[p->frame]);
        fprintf(out, ",\"reframe_from\":%ld,\"reframings\":%ld", (long)p->reframe_from, (long)p->reframings);
        put_real(out, "theta", p->theta), put_real(out, "delta", p->delta), put_real(out, "beta", p->beta);
        fprintf(out, ",\"rescale\":%d", p->rescale);
    }
    put_text(out, "evidence", why.failed ? "" : why.at);
    fputs("}\n", out);
    failed = why.failed | ferror(out);
    failed |= fclose(out) != 0;
    free(why.at);
    return failed ? complain("%s: the recommendation could not be written", path) : 0;
}
