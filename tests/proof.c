/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * proof.c - proved, not tried: sizes do not overflow, and the reader of metadata stays inside
 *
 * Frama-C's Eva follows every value that an unknown can have at once, and reports each operation that could go wrong
 * for any of them; where it says nothing, none can. static.sh runs it on the functions prove_*, where a byte outside
 * counts as wrong, and in sizes an unsigned sum or product that wraps. What it can follow are intervals and sums of two
 * unknowns; where more is needed, the cases are taken one by one, and bounded. */
#define HARP_STATIC
#include <stddef.h>

/* What prove_sizes has shown of it: where prove_layout meets a product of two unknowns, it takes this instead. */
/*@ requires \valid(product);
    assigns \result, *product \from a, b;
    ensures \result == 0 || \result == 1; */
static int hp_mul_size(size_t a, size_t b, size_t *product);

#include "../harp_impl.c"

#include <__fc_builtin.h>

static uint64_t between(uint64_t least, uint64_t most)
{
    return Frama_C_unsigned_long_interval(least, most);
}

static uint64_t anything(void)
{
    return between(0, UINT64_MAX);
}

/* Sums for all pairs; products of all numbers with all that are small, or near a power of two. */
static void check_sums_and_products(void)
{
    size_t result, b, d;
    int k;
    hp_add_size(anything(), anything(), &result);
    hp_mul_size(anything(), 0, &result);
    for (b = 1; b <= 300; b++) hp_mul_size(anything(), b, &result);
    for (k = 9; k < 64; k++)
        for (d = 0; d <= 2; d++) hp_mul_size(anything(), ((size_t)1 << k) - 1 + d, &result);
}

void prove_sizes(void)
{
    check_sums_and_products();
    hp_tensor_bytes((uint32_t)between(0, UINT32_MAX), anything(), anything());
}

static uint8_t image[256];

static int32_t number(int32_t least, int32_t most)
{
    return Frama_C_interval(least, most);
}

/* What a session and its engine need, for any model and any parameters that are let through: no size wraps on the way,
 * also where a size has 32 bits. */
void prove_layout(void)
{
    static harp_model m;
    static hp_plan plan;
    harp_params *p = &plan.session.params;
    hp_arena a = {0};
    m.vocab = number(1, 1 << 24), m.info.vocab = m.vocab, m.info.hidden = number(1, 1 << 18);
    m.info.layers = number(1, HP_MAX_LAYERS), m.info.heads = number(1, 4096), m.info.kv_heads = number(1, 4096);
    m.info.head_dim = number(2, HP_MAX_HEAD_DIM), m.info.ffn = number(1, 1 << 20);
    m.info.context = number(1, 1 << 28), m.rope_dims = number(0, HP_MAX_HEAD_DIM);
    m.recipe.ffn_kind = number(HP_GATED, HP_PLAIN), m.tokenizer.longest = number(0, 3 * HP_LONGEST_TOKEN);
    m.rope_local = number(0, 1) ? image : 0;
    m.info.experts = number(0, HP_MAX_EXPERTS), m.info.experts_used = number(1, HP_MAX_USED);
    m.recipe.expert_ffn = number(1, 1 << 20), m.recipe.has_sinks = number(0, 1);
    m.recipe.conv_layers = number(0, 1) ? image : 0;
    m.recipe.delta_layers = number(0, 1) ? image : 0, m.deltas = number(0, HP_MAX_LAYERS);
    m.recipe.delta_heads = number(1, 4096), m.recipe.delta_key_heads = number(1, 4096), m.gates = number(1, 8192);
    m.recipe.delta_key_dim = number(16, HP_MAX_HEAD_DIM), m.recipe.delta_value_dim = number(16, HP_MAX_HEAD_DIM);
    m.recipe.shared_ffn = number(0, 1 << 20), m.recipe.has_gates = number(0, 1);
    *p = harp_defaults(), plan.session.model = plan.engine.model = &m, plan.engine.n_seats = number(1, 256);
    p->context = number(1, 1 << 28), p->batch = number(1, 4096), p->logit_rows = number(1, 4096);
    p->cache = (harp_cache)number(HARP_CACHE_F16, HARP_CACHE_INT8), p->harp = number(0, 1);
    p->reframings = number(1, HP_MAX_REFRAMINGS), p->frame = (harp_frame)number(0, 2);
    p->reframe_from = number(HARP_FROM_PROMPT, 1 << 28), p->beams = number(0, HP_MAX_BEAMS);
    p->beam_length = number(1, 1 << 28), p->drafts = number(0, HP_MAX_DRAFTS);
    p->threads = number(1, HP_MAX_THREADS);
    hp_lay_out(&plan, &a);
}

static void put_byte(size_t at, uint64_t least, uint64_t most)
{
    image[at] = (uint8_t)between(least, most);
}

/* The entry must end where the image does, `room` bytes on: a byte more would be outside. */
static void read_entry(size_t room)
{
    uint64_t offset = sizeof image - room;
    hp_file f;
    harp_meta meta;
    f.image = image;
    if (hp_read_meta(&f, &offset, sizeof image, &meta)) {
        //@ assert offset <= sizeof(image);
    }
}

typedef struct interval {
    uint8_t least, most;
} interval;

/* Type, key's and value's length lie in these; all other bytes are any. */
static void read_small(size_t room, interval type, uint8_t key, interval value)
{
    size_t at = sizeof image - room;
    Frama_C_make_unknown((char *)image, sizeof image);
    if (room >= 16) {
        memset(image + at + 1, 0, 15);
        put_byte(at, type.least, type.most), put_byte(at + 4, key, key), put_byte(at + 8, value.least, value.most);
    }
    read_entry(room);
}

/* Byte `large` of the two lengths is not 0, so that one of them is 256 or more; all other bytes are any. */
static void read_large(size_t room, size_t large)
{
    Frama_C_make_unknown((char *)image, sizeof image);
    put_byte(sizeof image - room + 4 + large, 1, 255);
    read_entry(room);
}

/* Lengths of values between two multiples of 8 at once, for they are padded alike; and texts, which end in a zero. */
void prove_reader(void)
{
    static const interval values[] = {{0, 0}, {1, 7}, {8, 8}, {9, 15}, {16, 16}, {17, 23}, {24, 24}, {25, 255}};
    static const interval types[] = {{HARP_META_TEXT, HARP_META_TEXT}, {0, 2}, {4, 255}};
    static const uint8_t rooms[] = {0, 15, 16, 24, 31, 32, 33, 40};
    static const uint8_t keys[] = {0, 1, 6, 7, 8, 15, 16, 23, 24, 63, 64, 255};
    size_t i, k, v, t;
    for (i = 0; i < sizeof rooms; i++)
        for (k = 0; k < sizeof keys; k++)
            for (v = 0; v < sizeof values / sizeof *values; v++)
                for (t = 0; t < 3; t++) read_small(rooms[i], types[t], keys[k], values[v]);
    for (i = 2; i < sizeof rooms; i++)
        for (k = 1; k < 12; k++)
            if (k != 4) read_large(rooms[i], k);
}
