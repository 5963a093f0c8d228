/* glue.c - harp for a web worker: a model, two sessions side by side, numbers in and out
 *
 * Everything that worker.js calls is exported here; text and tokens cross through two buffers in this module's memory.
 * The page compares the plain model (side 0) with HARP (side 1) on the same prompt and seed.
 */
#include <stdlib.h>
#include <string.h>

#include "../../harp.h"

#define EXPORT(name) __attribute__((export_name(#name))) name

enum { SIDES = 2, TEXT_BYTES = 1 << 16 };

static harp_model *model;
static void *image, *fresh;
static harp_error error;
static char text[TEXT_BYTES]; /* a prompt comes in, a token's text goes out */

static struct side {
    harp_session *session;
    harp_decoder decoder;
    harp_step step;
} sides[SIDES];

static struct settings {
    float theta, delta, beta, temperature;
    int32_t reframings, frame, context;
    uint32_t seed;
} settings;

static void close_sides(void)
{
    int i;
    for (i = 0; i < SIDES; i++) {
        harp_session_close(sides[i].session);
        memset(&sides[i], 0, sizeof sides[i]);
    }
}

char *EXPORT(text_buffer)(void)
{
    return text;
}

int32_t EXPORT(text_capacity)(void)
{
    return TEXT_BYTES;
}

const char *EXPORT(error_text)(void)
{
    return error.text;
}

/* Where the worker puts the bytes of a new model; NULL: no memory. */
void *EXPORT(model_buffer)(size_t bytes)
{
    free(fresh);
    return fresh = malloc(bytes);
}

/* Opens what was put there. The model that was open gives way only to one that is sound. */
int EXPORT(model_open)(size_t bytes)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    source.data = fresh, source.bytes = bytes;
    if (harp_open_source(&m, &source, &error) || harp_verify(m, &error)) {
        harp_close(m);
        free(fresh), fresh = NULL;
        return 1;
    }
    close_sides();
    harp_close(model);
    free(image);
    model = m, image = fresh, fresh = NULL;
    return 0;
}

double EXPORT(model_number)(int which)
{
    harp_info info = harp_model_info(model);
    switch (which) {
    case 0: return (double)info.parameters;
    case 1: return info.vocab;
    case 2: return info.context;
    case 3: return info.tokenizer;
    }
    return 0;
}

/* Copies the metadata text of the key that stands in the text buffer over it; returns its bytes, -1 if
 * there is none. */
int32_t EXPORT(model_text)(void)
{
    harp_meta meta;
    if (!harp_meta_find(model, text, &meta) || meta.type != HARP_META_TEXT || meta.bytes > TEXT_BYTES) return -1;
    memcpy(text, meta.data, meta.bytes);
    return (int32_t)meta.bytes;
}

void EXPORT(set)(float theta, float delta, float beta, float temperature, int32_t reframings, int32_t frame,
                 int32_t context, uint32_t seed)
{
    settings.theta = theta, settings.delta = delta, settings.beta = beta, settings.temperature = temperature;
    settings.reframings = reframings, settings.frame = frame, settings.context = context, settings.seed = seed;
}

/* Opens side's session; its prompt has `bytes` bytes in the text buffer. */
int EXPORT(begin)(int side, int32_t bytes)
{
    static int32_t tokens[TEXT_BYTES];
    harp_params p = harp_defaults();
    struct side *s = &sides[side];
    size_t n = 0;
    harp_session_close(s->session);
    s->session = NULL;
    p.harp = side == 1, p.theta = settings.theta, p.delta = settings.delta, p.beta = settings.beta;
    p.temperature = settings.temperature, p.reframings = settings.reframings, p.seed = settings.seed;
    p.frame = (harp_frame)settings.frame, p.context = settings.context;
    if (harp_encode(model, text, (size_t)bytes, HARP_ENCODE_BOS, tokens, TEXT_BYTES, &n, &error)
        || harp_session_open(&s->session, model, &p, &error)
        || harp_feed(s->session, tokens, (int32_t)n, &error))
        return 1;
    harp_decoder_start(&s->decoder, model, n > 1 ? HARP_DECODE_CONTINUE : 0);
    return 0;
}

/* One token; its text goes to the text buffer. Returns its bytes, or -1 on failure. */
int32_t EXPORT(next)(int side)
{
    struct side *s = &sides[side];
    size_t bytes = 0;
    if (harp_next(s->session, &s->step, &error)
        || harp_decode(&s->decoder, s->step.token, text, TEXT_BYTES, &bytes, &error))
        return -1;
    return (int32_t)bytes;
}

double EXPORT(step_number)(int side, int which)
{
    const harp_step *step = &sides[side].step;
    switch (which) {
    case 0: return step->token;
    case 1: return (double)step->entropy;
    case 2: return step->hesitated;
    case 3: return step->reframed;
    case 4: return step->vanilla_token;
    case 5: return step->end;
    case 6: return step->position;
    case 7: return (double)step->logprob;
    }
    return 0;
}

/* The text of any token, into the text buffer; returns its bytes. */
int32_t EXPORT(token_text)(int32_t token)
{
    size_t bytes = 0;
    const char *p = harp_token_text(model, token, &bytes);
    if (!p || bytes > TEXT_BYTES) return 0;
    memcpy(text, p, bytes);
    return (int32_t)bytes;
}
