/* info.c - what a model is, what a session needs, whether the file is intact; as JSON */
#include "cli.h"

#include <string.h>

static void tell_text(const char *name, const char *text)
{
    printf("  \"%s\": ", name);
    json_put_string(stdout, text, strlen(text));
    puts(",");
}

static void tell_sizes(const harp_info *f)
{
    const struct {
        const char *name;
        int64_t value;
    } sizes[] = {{"vocab", f->vocab},       {"hidden", f->hidden},         {"layers", f->layers},
                 {"heads", f->heads},       {"kv_heads", f->kv_heads},     {"head_dim", f->head_dim},
                 {"ffn", f->ffn},           {"context", f->context},       {"window", f->window},
                 {"experts", f->experts},   {"experts_used", f->experts_used}, {"tied", f->tied},
                 {"parameters", f->parameters}, {"active", f->active},     {"four_bit", f->four_bit},
                 {"bytes", f->bytes},
                 {"mapped", f->mapped},     {"bos_token", f->bos},         {"longest_token", f->longest_token}};
    size_t i;
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        printf("  \"%s\": %lld,\n", sizes[i].name, (long long)sizes[i].value);
    fputs("  \"end_tokens\": [", stdout);
    for (i = 0; i < (size_t)f->n_end; i++) printf("%s%ld", i ? ", " : "", (long)f->end[i]);
    puts("],");
}

/* What a layer is made of; where the file says nothing it is as in Llama (harp_impl.c, the format). */
static void tell_layer(const harp_model *model)
{
    static const char *const words[][2] = {{"norm", "rms"},        {"norm_place", "before"}, {"residual", "sequential"},
                                           {"activation", "silu"}, {"ffn_kind", "gated"},    {"qk_norm", "none"},
                                           {"routing", "chosen"}};
    harp_meta meta;
    size_t i;
    fputs("  \"layer\": {", stdout);
    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        int there = harp_meta_find(model, words[i][0], &meta);
        printf("\"%s\": ", words[i][0]);
        json_put_string(stdout, there ? meta.data : words[i][1], strlen(there ? meta.data : words[i][1]));
        fputs(", ", stdout);
    }
    meta.integer = 0;
    harp_meta_find(model, "rope_dims", &meta);
    printf("\"positions\": \"%s\"},\n", meta.integer ? "rotary" : "learned");
}

static void tell_metadata(const harp_model *model)
{
    harp_meta meta;
    int32_t i;
    fputs("  \"metadata\": {", stdout);
    for (i = 0; harp_meta_at(model, i, &meta); i++) {
        fputs(i ? ",\n    " : "\n    ", stdout);
        json_put_string(stdout, meta.key, strlen(meta.key));
        fputs(": ", stdout);
        if (meta.type == HARP_META_INTEGER) printf("%lld", (long long)meta.integer);
        else if (meta.type == HARP_META_REAL) json_put_number(stdout, meta.real);
        else if (meta.type == HARP_META_TEXT) json_put_string(stdout, meta.data, meta.bytes);
        else printf("{\"bytes\": %llu}", (unsigned long long)meta.bytes);
    }
    puts("\n  },");
}

/* In words; the numbers and their evidence are in the metadata. */
static void tell_recommendation(const harp_model *model)
{
    static const char *const frames[] = {"stream", "redraw", "last"};
    harp_params p = harp_defaults();
    int there = harp_recommend(model, &p);
    fputs("  \"recommended\": ", stdout);
    if (there < 0) puts("\"damaged: the paper's settings are used\",");
    else if (there == 0) puts("\"nothing: the paper's settings are used\",");
    else if (!p.harp) puts("\"HARP off\",");
    else
        printf("\"HARP with frame %s%s, %ld reframings, theta %.6g, delta %.6g, beta %.6g%s\",\n", frames[p.frame],
               p.reframe_from < 0 ? " from the prompt's end" : "", (long)p.reframings, (double)p.theta, (double)p.delta,
               (double)p.beta, p.rescale ? ", rescaled" : "");
}

static void tell_memory(const char *name, const harp_model *model, const harp_params *params)
{
    harp_error err;
    size_t bytes = 0;
    printf("\"%s\": ", name);
    if (harp_session_memory(model, params, &bytes, &err)) json_put_string(stdout, err.text, strlen(err.text));
    else printf("%llu", (unsigned long long)bytes);
}

static void tell_session(const engine *e)
{
    static const char *const caches[] = {"f16", "f32", "int8"}; /* in the order of harp_cache */
    harp_params p = e->params;
    int i;
    printf("  \"session_context\": %ld,\n  \"session_bytes\": {", (long)engine_context(e));
    tell_memory("as_asked", e->model, &p);
    for (i = 0; i < 3; i++) {
        p.cache = (harp_cache)i;
        fputs(", ", stdout);
        tell_memory(caches[i], e->model, &p);
    }
    puts("},");
}

int command_info(const options *o)
{
    static const char *const tokenizers[] = {"none", "sentencepiece", "bytes"};
    engine e;
    harp_error err;
    int status = engine_open_model(&e, o);
    if (status == EXIT_FINE) status = engine_set_params(&e, o);
    if (status == EXIT_FINE) {
        puts("{");
        tell_text("file", o->model);
        tell_text("architecture", e.info.architecture);
        tell_text("tokenizer", tokenizers[e.info.tokenizer >= 0 && e.info.tokenizer < 3 ? e.info.tokenizer : 0]);
        tell_sizes(&e.info);
        tell_layer(e.model);
        tell_metadata(e.model);
        tell_recommendation(e.model);
        tell_session(&e);
        harp_verify(e.model, &err);
        fputs("  \"checksums\": ", stdout);
        json_put_string(stdout, err.status ? err.text : "ok", strlen(err.status ? err.text : "ok"));
        puts("\n}");
        if (err.status) status = complain("%s: %s", o->model, err.text);
    }
    engine_close(&e);
    return status;
}
