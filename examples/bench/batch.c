/* batch.c - several sessions in one pass
 *
 * batch  tokens a second of all sessions together, each with keys and values of its own, at two depths, HARP off and on
 *        (one reframed row rides along with each). The ratio is to one session, round by round.
 * wait   how long a session that decodes waits at most for its next token while another's prompt comes in, whose rows
 *        fill the passes: the ratio is to a step without that prompt. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SESSIONS = 32, KINDS = 6 };

typedef struct company {
    harp_engine *engine;
    harp_member members[MOST_SESSIONS];
} company;

static void close_company(company *c)
{
    int i;
    for (i = 0; i < MOST_SESSIONS; i++) harp_session_close(c->members[i].session);
    harp_engine_close(c->engine, NULL);
}

/* Gives every session what the first has: its tokens, keys and values. */
static void copy_first(bench *b, company *c)
{
    harp_error err;
    size_t bytes = 0;
    void *image;
    int i;
    if (harp_save(c->members[0].session, NULL, 0, &bytes, &err)) bench_fail(b, &err);
    image = malloc(bytes ? bytes : 1);
    if (!image) fputs("harp-bench: no memory for a saved session\n", stderr), b->failed = 1;
    else if (!b->failed && harp_save(c->members[0].session, image, bytes, &bytes, &err)) bench_fail(b, &err);
    for (i = 1; i < MOST_SESSIONS && !is_over(b); i++)
        if (harp_restore(c->members[i].session, image, bytes, &err)) bench_fail(b, &err);
    free(image);
}

/* Sessions that have `depth` tokens, computed in the reframed streams, too, and room for `more`. */
static void open_company(bench *b, company *c, harp_params p, int depth, int more)
{
    harp_error err;
    int i;
    memset(c, 0, sizeof *c);
    p.seats = MOST_SESSIONS, p.context = depth + more + SPARE_CONTEXT;
    if (harp_engine_open(&c->engine, b->model, &p, &err)) bench_fail(b, &err);
    p.engine = c->engine;
    for (i = 0; i < MOST_SESSIONS && !is_over(b); i++)
        if (harp_session_open(&c->members[i].session, b->model, &p, &err)) bench_fail(b, &err);
    if (is_over(b) || bench_feed(b, c->members[0].session, depth)) return;
    if (harp_next(c->members[0].session, NULL, &err)) bench_fail(b, &err);
    copy_first(b, c);
}

/* Seconds for `steps` tokens of each of n sessions, which are then where they were. */
static double time_company(bench *b, company *c, int n, int steps)
{
    harp_error err;
    int32_t depth = 0;
    double begin = host_seconds();
    int i, k;
    harp_tokens(c->members[0].session, &depth);
    for (k = 0; k < steps && !is_over(b); k++) {
        if (harp_together(c->members, n, 0, &err)) bench_fail(b, &err);
        for (i = 0; i < n; i++)
            if (c->members[i].error.status) bench_fail(b, &c->members[i].error);
    }
    begin = seconds_since(begin);
    for (i = 0; i < n; i++)
        if (harp_rewind(c->members[i].session, depth, &err)) bench_fail(b, &err);
    return begin;
}

static void bench_company(bench *b, const harp_params *p, int depth)
{
    static const int sessions[KINDS] = {1, 2, 4, 8, 16, MOST_SESSIONS};
    double s[KINDS][MOST_RUNS], ratios[KINDS][MOST_RUNS];
    company c;
    int i, run;
    open_company(b, &c, *p, depth, b->generate);
    for (i = 0; i < KINDS && !is_over(b); i++) time_company(b, &c, sessions[i], 2); /* threads wake, pages fill */
    for (run = 0; run < b->runs; run++)
        for (i = 0; i < KINDS && !is_over(b); i++) {
            s[i][run] = time_company(b, &c, sessions[i], b->generate);
            ratios[i][run] = sessions[i] * s[0][run] / s[i][run];
        }
    for (i = 0; i < KINDS && !is_over(b); i++) {
        figure f = make_figure("batch", p);
        f.sessions = sessions[i], f.depth = depth, f.reframings = p->harp ? p->reframings : 0;
        settle(&f, s[i], b->runs, b->generate * sessions[i]);
        f.ratio = median(ratios[i], b->runs);
        report(b, f);
    }
    close_company(&c);
}

/* The longest of the first session's steps while the second's prompt is computed. */
static double longest_wait(bench *b, company *c)
{
    harp_error err;
    double longest = 0.0;
    do {
        double begin = host_seconds(), seconds;
        if (harp_together(c->members, 2, 0, &err)) bench_fail(b, &err);
        seconds = seconds_since(begin);
        if (!c->members[1].done && seconds > longest) longest = seconds;
    } while (!is_over(b) && !c->members[1].done && !c->members[0].error.status && !c->members[1].error.status);
    return longest;
}

static void bench_wait(bench *b, const harp_params *given)
{
    harp_params p = *given;
    double s[MOST_RUNS], ratios[MOST_RUNS];
    figure f = make_figure("wait", &p);
    company c;
    int run, i, depth = 0, passes = b->prompt / p.batch + 2, room = b->info.context - passes - 2 - SPARE_CONTEXT;
    int prompt = b->prompt < room ? b->prompt : room;
    int32_t *tokens = prompt > 0 ? malloc((size_t)prompt * sizeof *tokens) : NULL;
    harp_error err;
    memset(&c, 0, sizeof c);
    if (prompt < 1) return; /* the context has no room for two */
    if (!tokens) fputs("harp-bench: no memory for a prompt\n", stderr), b->failed = 1;
    if (!is_over(b)) open_company(b, &c, p, 1, prompt + passes);
    for (i = 0; i < prompt && tokens; i++) tokens[i] = bench_token(b, i);
    harp_tokens(c.members[0].session, &depth);
    for (run = 0; run < b->runs && !is_over(b); run++) {
        double alone = time_company(b, &c, 1, 1);
        if (harp_queue(c.members[1].session, tokens, prompt, &err)) bench_fail(b, &err);
        s[run] = is_over(b) ? 1.0 : longest_wait(b, &c), ratios[run] = s[run] / alone;
        for (i = 0; i < 2; i++)
            if (harp_rewind(c.members[i].session, depth, &err)) bench_fail(b, &err);
    }
    free(tokens);
    close_company(&c);
    if (is_over(b)) return;
    f.depth = prompt, f.rows = p.batch;
    settle(&f, s, b->runs, 0.0);
    f.ratio = median(ratios, b->runs);
    report(b, f);
}

void bench_batch(bench *b, const char *isa, int threads)
{
    harp_params p = bench_params(b, isa, threads);
    int i, harp;
    p.schedule = HARP_SCHEDULE_FUSED, p.theta = 1e29f;
    for (harp = 0; harp < 2; harp++)
        for (i = 0; i < 2 && !is_over(b); i++) {
            p.harp = harp;
            bench_company(b, &p, b->batch_depths[i]);
        }
    p.harp = 0;
    for (p.batch = 64; p.batch <= 256 && !is_over(b); p.batch *= 4) bench_wait(b, &p);
}
