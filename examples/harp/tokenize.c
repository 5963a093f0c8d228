/* tokenize.c - text to token ids, and back */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static int decode_all(const engine *e, const ids *tokens, unsigned flags, char *out, size_t capacity)
{
    harp_decoder decoder;
    harp_error err;
    size_t i, bytes;
    term t = term_open(stdout, COLOR_NEVER);
    harp_decoder_start(&decoder, e->model, flags);
    for (i = 0; i < tokens->n; i++)
        if (tokens->list[i] >= e->info.vocab)
            return complain("--decode: token %ld is out of range (the vocabulary has %ld tokens)",
                            (long)tokens->list[i], (long)e->info.vocab);
    for (i = 0; i <= tokens->n; i++) { /* the last call, with -1, brings out what is held */
        if (harp_decode(&decoder, i < tokens->n ? tokens->list[i] : -1, out, capacity, &bytes, &err))
            return complain("%s", err.text);
        term_write(&t, out, bytes, NULL);
    }
    if (t.is_terminal) putchar('\n'); /* elsewhere the text is exact */
    return EXIT_FINE;
}

static int decode(const engine *e, const options *o)
{
    ids tokens = {NULL, 0, 0};
    size_t capacity = (size_t)e->info.longest_token + 8;
    char *out = malloc(capacity);
    const char *problem = ids_parse(&tokens, o->decode, strlen(o->decode));
    int status = EXIT_FINE;
    if (problem) status = complain("--decode: %s", problem);
    else if (!out) status = complain("there is not enough memory");
    else status = decode_all(e, &tokens, o->special ? HARP_DECODE_SPECIAL : 0u, out, capacity);
    free(out);
    free(tokens.list);
    return status;
}

static int encode(const engine *e, const options *o)
{
    blob text = {NULL, 0};
    ids tokens = {NULL, 0, 0};
    unsigned flags = (o->no_bos ? 0u : HARP_ENCODE_BOS) | (o->special ? HARP_ENCODE_SPECIAL : 0u);
    int status = read_prompt(o, &text);
    if (status == EXIT_FINE) status = ids_encode(&tokens, e->model, text.data, text.bytes, flags);
    if (status == EXIT_FINE) print_ids(tokens.list, tokens.n);
    free(text.data);
    free(tokens.list);
    return status;
}

int command_tokenize(const options *o)
{
    engine e;
    int status = engine_open_model(&e, o);
    if (status == EXIT_FINE) status = engine_check_text(&e);
    if (status == EXIT_FINE) status = o->decode ? decode(&e, o) : encode(&e, o);
    engine_close(&e);
    return status;
}
