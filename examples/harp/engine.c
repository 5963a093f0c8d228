/* engine.c - a session as the options ask for it */
#include "cli.h"

#include <string.h>

enum { MOST_THREADS_UNASKED = 8 };

int engine_check_text(const engine *e)
{
    if (e->info.tokenizer) return EXIT_FINE;
    return complain("this model has no tokenizer and takes token ids only, as in: harp run --tokens 1,2,3");
}

static void set_sampling(harp_params *p, const options *o)
{
    p->temperature = o->temperature < 0.0f ? p->temperature : o->temperature;
    p->top_k = o->top_k, p->top_p = o->top_p, p->min_p = o->min_p, p->seed = o->seed;
    p->repeat_penalty = o->repeat_penalty, p->repeat_last = o->repeat_last;
    p->stop = o->stop, p->n_stop = o->n_stop, p->ignore_end = o->ignore_end;
}

static int is_given(float value)
{
    return value > NOT_GIVEN_REAL;
}

/* Recorded masks are those of the paper's one reframing. */
static void set_method(harp_params *p, const options *o, const harp_model *model)
{
    if (!o->paper && !o->replay_masks && harp_recommend(model, p) < 0)
        tell("note: what this model's file recommends is damaged and does not count; the paper's settings are used");
    if (is_given(o->theta) || is_given(o->delta) || is_given(o->beta) || o->reframings != NOT_GIVEN
        || o->frame != NOT_GIVEN || o->reframe_from != NOT_GIVEN || o->rescale || o->measure != NOT_GIVEN)
        p->harp = 1;
    if (o->no_harp) p->harp = 0;
    if (is_given(o->theta)) p->theta = o->theta;
    if (is_given(o->delta)) p->delta = o->delta;
    if (is_given(o->beta)) p->beta = o->beta;
    if (o->reframings != NOT_GIVEN) p->reframings = o->reframings;
    if (o->frame != NOT_GIVEN) p->frame = (harp_frame)o->frame;
    if (o->reframe_from != NOT_GIVEN) p->reframe_from = o->reframe_from;
    p->rescale |= o->rescale;
    if (o->measure != NOT_GIVEN) p->measure = (harp_measure)o->measure;
    p->schedule = (harp_schedule)o->schedule;
}

static int choose_threads(void)
{
    int n = host_processors();
    return n > MOST_THREADS_UNASKED ? MOST_THREADS_UNASKED : n;
}

int engine_set_params(engine *e, const options *o)
{
    harp_params *p = &e->params;
    *p = harp_defaults();
    set_sampling(p, o);
    set_method(p, o, e->model);
    p->context = o->context, p->threads = o->threads > 0 ? (int)o->threads : choose_threads();
    p->cancel = e->cancel, p->cancel_user = e->cancel_user;
    p->isa = o->isa;
    p->activations = (harp_activations)o->activations, p->cache = (harp_cache)o->cache;
    if (decoder_set_params(e, o)) return EXIT_FAILED;
    if (o->replay_masks) {
        if (replay_open(&e->masks, o->replay_masks, e->info.hidden, engine_context(e), p->frame)) return EXIT_FAILED;
        p->mask_fn = replay_mask, p->harp_user = &e->masks;
    }
    return form_set_params(e, o) ? EXIT_FAILED : answers_set_params(e, o);
}

int engine_open_session(engine *e)
{
    harp_error err;
    if (!harp_session_memory(e->model, &e->params, &e->session_bytes, &err)
        && !harp_session_open(&e->session, e->model, &e->params, &err))
        return EXIT_FINE;
    if (err.status == HARP_ERR_MEMORY)
        return complain("%s (%ld positions): a smaller -c, or --cache int8, needs less", err.text,
                        (long)engine_context(e));
    return complain("%s", err.text);
}

int engine_check_room(const engine *e, const char *what, size_t n)
{
    int32_t context = engine_context(e), most = e->info.context;
    if (n <= (size_t)context) return EXIT_FINE;
    if (context < most && n <= (size_t)most)
        return complain("%s %lu tokens, and the context holds %ld: -c sets it, up to %ld; or give a shorter text", what,
                        (unsigned long)n, (long)context, (long)most);
    return complain("%s %lu tokens, and this model's context holds %ld at most: give a shorter text", what,
                    (unsigned long)n, (long)most);
}

void engine_close(engine *e)
{
    harp_session_close(e->session);
    harp_engine_close(e->shared, NULL);
    harp_session_close(e->draft); /* after the session that it drafts for */
    harp_close(e->draft_model);
    replay_close(&e->masks);
    form_close(e);
    harp_close(e->model);
    memset(e, 0, sizeof *e);
}

int engine_complain(const engine *e, const harp_error *err)
{
    if (e->masks.problem[0]) return complain("%s: %s", e->masks.path, e->masks.problem);
    if (err->status == HARP_ERR_CANCELLED && host_interrupted()) return EXIT_INTERRUPTED;
    if (form_problem(e)[0]) return complain("the form of the answer: %s", form_problem(e));
    return complain("%s", err->text);
}

int32_t engine_context(const engine *e)
{
    int32_t own = e->info.context < 4096 ? e->info.context : 4096;
    return e->params.context ? e->params.context : own;
}

int32_t engine_used(const engine *e)
{
    int32_t n = 0;
    harp_tokens(e->session, &n);
    return n;
}
