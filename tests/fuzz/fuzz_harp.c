/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_harp.c - any byte string is opened or refused; what opens runs eight tokens with HARP on, and conversations are
 * rendered by its table
 *
 * The input is a .harp file. It is tried as it is, and again with its size and checksum made right. */
#include "../../harp.h"
#define FZ_HAS_MUTATOR 1
#include "make_harp.h"
#include "talk.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed)
{
    return fz_mutate_harp(data, bytes, most, seed);
}

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* What is in use, and was at most. */
static size_t in_use, peak;

static void *counting_alloc(void *user, size_t bytes)
{
    void *p = malloc(bytes);
    (void)user;
    if (p) in_use += bytes;
    if (in_use > peak) peak = in_use;
    return p;
}

static void counting_free(void *user, void *block, size_t bytes)
{
    (void)user;
    fz_expect(bytes <= in_use);
    in_use -= bytes;
    free(block);
}

static const uint8_t *read_from;

static size_t read_all(void *user, uint64_t offset, void *into, size_t bytes)
{
    (void)user;
    memcpy(into, read_from + offset, bytes);
    return bytes;
}

static harp_params pick_params(const harp_model *m, unsigned bits)
{
    harp_params p = harp_defaults();
    p.context = least(harp_model_info(m).context, 24), p.batch = 1 + (int32_t)(bits & 3);
    p.frame = (harp_frame)(bits >> 2 & 1 ? (bits >> 3 & 1) + 1 : 0), p.cache = (harp_cache)((bits >> 4) % 3);
    p.schedule = (harp_schedule)((bits >> 6) % 3), p.reframings = 1 + (int32_t)(bits >> 8 & 1);
    p.reframe_from = (int32_t)(bits >> 9 & 3) - 1, p.measure = (harp_measure)((bits >> 11) % 4);
    p.activations = (bits >> 13 & 3) == 0 ? HARP_ACT_F32 : HARP_ACT_INT8;
    p.theta = bits >> 15 & 1 ? 1.0f : -1.0f, p.temperature = bits >> 16 & 1 ? 0.8f : 0.0f;
    p.rescale = (int)(bits >> 18 & 1);
    p.allocator.alloc = counting_alloc, p.allocator.free = counting_free;
    return p;
}

static void run_tokens(const harp_model *m, unsigned bits)
{
    harp_params p = pick_params(m, bits);
    harp_session *s = NULL;
    harp_step step;
    harp_error err;
    harp_choice top[3];
    int32_t tokens[3] = {0, 0, 0}, vocab = harp_model_info(m).vocab, i;
    size_t need = 0;
    if (harp_session_memory(m, &p, &need, &err) || need > (size_t)1 << 26) return;
    if (harp_session_open(&s, m, &p, &err)) return;
    tokens[1] = vocab / 2, tokens[2] = vocab - 1;
    if (harp_feed(s, tokens, least(3, p.context), &err) == HARP_OK)
        for (i = 0; i < 8 && harp_next(s, &step, &err) == HARP_OK; i++) {
            fz_expect(step.token >= 0 && step.token < vocab);
            fz_expect(harp_top(s, HARP_COMBINED, top, 3) >= 1);
        }
    fz_expect(err.status == HARP_OK || err.text[0]);
    harp_session_close(s);
}

static void run_text(const harp_model *m)
{
    static const char text[] = "<s>a bc\xC3\xA9 12 it's \n\n</s> <!> ae\xCC\x81\xCC\x96\xCC\x80 \xFF\xE2\x82";
    int32_t tokens[96];
    harp_decoder d;
    harp_error err;
    size_t n = 0, i, bytes, room = (size_t)harp_model_info(m).longest_token + 8;
    char *out;
    if (harp_encode(m, text, sizeof text - 1, HARP_ENCODE_BOS | HARP_ENCODE_SPECIAL, tokens, 96, &n, &err)) return;
    out = malloc(room);
    fz_expect(out && n <= 96);
    harp_decoder_start(&d, m, 0);
    for (i = 0; i < n; i++)
        fz_expect(harp_decode(&d, tokens[i], out, room, &bytes, &err) == HARP_OK);
    free(out);
}

static void look_at_metadata(const harp_model *m)
{
    harp_meta meta;
    int32_t i;
    for (i = 0; i < 40 && harp_meta_at(m, i, &meta); i++) {
        fz_expect(strlen(meta.key) < 64);
        if (meta.type == HARP_META_TEXT) fz_expect(meta.data[meta.bytes] == 0);
    }
}

/* Whatever the file recommends, a session takes it. */
static void look_at_recommendation(const harp_model *m)
{
    harp_params p = harp_defaults_for(m);
    harp_error err;
    size_t bytes;
    fz_expect(harp_recommend(m, &p) <= 1);
    p.context = least(harp_model_info(m).context, 16);
    fz_expect(harp_session_memory(m, &p, &bytes, &err) != HARP_ERR_ARGUMENT);
}

static void try_file(const uint8_t *data, size_t bytes, int with_reader)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    harp_status status;
    size_t most = with_reader ? 2 * bytes : bytes;
    unsigned bits = hf_crc(0, data, bytes);
    source.data = with_reader ? NULL : data, source.read = with_reader ? read_all : NULL, source.bytes = bytes;
    source.allocator.alloc = counting_alloc, source.allocator.free = counting_free;
    read_from = data, peak = in_use = 0;
    status = harp_open_source(&m, &source, &err);
    fz_expect((status == HARP_OK) == (m != NULL) && (status == HARP_OK || err.text[0]));
    fz_expect(peak <= most + 4096); /* what is not yet trusted gets no more memory than it brings itself */
    if (!m) {
        fz_expect(in_use == 0);
        return;
    }
    look_at_metadata(m), look_at_recommendation(m);
    harp_verify(m, &err);
    run_tokens(m, bits);
    if (harp_model_info(m).tokenizer) run_text(m);
    fz_talk(m);
    harp_close(m);
    fz_expect(in_use == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *sealed = malloc(bytes ? bytes : 1);
    fz_expect(sealed);
    if (bytes) memcpy(sealed, data, bytes);
    hf_seal(sealed, bytes);
    if (bytes == 0 || memcmp(sealed, data, bytes) != 0) try_file(data, bytes, 0);
    try_file(sealed, bytes, bytes / 8 % 2 == 1);
    free(sealed);
    return 0;
}
