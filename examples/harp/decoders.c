/* decoders.c - --decoder: beams, drafts, pauses */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { DRAFTS_OF_A_MODEL = 4, DRAFTS_LOOKED_UP = 8 };

/* The draft session draws as the session does, with the same seed: so its guesses are right most often. */
static int open_draft(engine *e, const options *o)
{
    harp_params p = e->params;
    harp_error err;
    p.harp = 0, p.beams = 0, p.drafts = 0;
    if (harp_open(&e->draft_model, o->draft_model, &err)) return complain("--draft-model: %s", err.text);
    if (p.context > harp_model_info(e->draft_model).context) p.context = 0; /* then as much as it has */
    if (harp_session_open(&e->draft, e->draft_model, &p, &err)) return complain("%s: %s", o->draft_model, err.text);
    return EXIT_FINE;
}

/* "17" is an id, anything else a text of one token. */
static int find_pause_token(engine *e, const char *text)
{
    ids list = {NULL, 0, 0};
    int is_id = text[0] && !text[strspn(text, "0123456789")], status;
    const char *problem = is_id ? ids_parse(&list, text, strlen(text)) : NULL;
    if (problem) return free(list.list), complain("--pause-token: '%s' is not a token id", text);
    if (!is_id && e->info.tokenizer == 0)
        return complain("this model has no tokenizer and takes token ids only: --pause-token '%s' is none", text);
    status = EXIT_FINE;
    if (!is_id) status = ids_encode(&list, e->model, text, strlen(text), HARP_ENCODE_SPECIAL | HARP_ENCODE_CONTINUE);
    if (status == EXIT_FINE && list.n != 1)
        status = complain("--pause-token: '%s' is %lu tokens, not one", text, (unsigned long)list.n);
    else if (status == EXIT_FINE && list.list[0] >= e->info.vocab)
        status = complain("--pause-token: token %ld is out of range (the vocabulary has %ld tokens)",
                          (long)list.list[0], (long)e->info.vocab);
    if (status == EXIT_FINE) e->pause_token = list.list[0];
    free(list.list);
    return status;
}

int decoder_set_params(engine *e, const options *o)
{
    harp_params *p = &e->params;
    int drafts = o->decoder == DECODER_SPECULATIVE || o->decoder == DECODER_LOOKUP;
    if (o->decoder == DECODER_BEAM) {
        p->harp = 0, p->beams = o->beams;
        p->beam_length = o->n > 0 && o->n < engine_context(e) ? o->n : engine_context(e);
    }
    if (o->decoder == DECODER_PAUSE && find_pause_token(e, o->pause_token)) return EXIT_FAILED;
    if (o->decoder == DECODER_SPECULATIVE && open_draft(e, o)) return EXIT_FAILED;
    if (!drafts) return EXIT_FINE;
    p->draft = e->draft, p->draft_rule = (harp_draft_rule)o->draft_rule, p->lookup = o->lookup;
    p->drafts = o->drafts ? o->drafts : e->draft ? DRAFTS_OF_A_MODEL : DRAFTS_LOOKED_UP;
    return EXIT_FINE;
}

int32_t decoder_pauses(const options *o)
{
    return o->decoder == DECODER_PAUSE ? o->pause_count : 0;
}

int decoder_pause(engine *e, const options *o)
{
    harp_error err;
    int32_t n = decoder_pauses(o);
    return n && harp_pause(e->session, e->pause_token, n, &err) ? engine_complain(e, &err) : EXIT_FINE;
}

int decoder_search(engine *e, const options *o)
{
    harp_beam_options b = harp_beam_defaults();
    harp_error err;
    static const int32_t none[1] = {-1};
    if (o->n == 0) return EXIT_FINE;
    b.top_k = o->beam_top, b.alpha = o->beam_alpha, b.max_tokens = e->params.beam_length;
    if (o->ignore_end || o->tokens || o->tokens_file) b.end = none; /* ids: n tokens, as without beams */
    return harp_beam(e->session, &b, NULL, &err) ? engine_complain(e, &err) : EXIT_FINE;
}

void decoder_print_stats(const engine *e)
{
    harp_stats h = harp_statistics(e->session);
    if (e->params.drafts)
        fprintf(stderr, "drafts   %lld of %lld kept\n", (long long)h.accepted, (long long)h.drafted);
}
