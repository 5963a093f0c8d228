/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_convert.c - harp-convert from outside
 *
 *     test_convert HARP_CONVERT FOLDER      FOLDER: to write into
 *
 * One small model whose weights lie on an int8 grid is written in every form that the converter reads. All of them must
 * become the same tensors, byte for byte; damaged ones must be refused in words, and leave nothing behind. */
#define _GNU_SOURCE
#include "../harp.h"
#include "../tools/convert/ground/bytes.h"
#include "test.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { VOCAB = 40, DIM = 64, LAYERS = 2, HEADS = 4, KV_HEADS = 2, HEAD = DIM / HEADS, KEYS = KV_HEADS * HEAD, FFN = 96,
       CONTEXT = 32, GROUP = 32, LONGEST_PATH = 1024 };

static const char *converter, *folder;

/* ---- the model ---- */

typedef struct matrix {
    const char *name; /* %d: the layer */
    int layers, rows, cols, turned; /* turned: rows of queries or keys, which formats order differently */
    float *w;         /* [layers][rows][cols], half-split order */
    signed char *q;   /* NULL for norms */
    float *scales;    /* [layers][rows][cols / GROUP] */
} matrix;

enum { EMB, ATTN_NORM, Q, K, V, OUT, FFN_NORM, GATE, DOWN, UP, NORM, HEAD_OUT, N_MATRICES };

static matrix model[N_MATRICES] = {
    {"model.embed_tokens.weight", 1, VOCAB, DIM, 0, 0, 0, 0},
    {"model.layers.%d.input_layernorm.weight", LAYERS, 1, DIM, 0, 0, 0, 0},
    {"model.layers.%d.self_attn.q_proj.weight", LAYERS, DIM, DIM, 1, 0, 0, 0},
    {"model.layers.%d.self_attn.k_proj.weight", LAYERS, KEYS, DIM, 1, 0, 0, 0},
    {"model.layers.%d.self_attn.v_proj.weight", LAYERS, KEYS, DIM, 0, 0, 0, 0},
    {"model.layers.%d.self_attn.o_proj.weight", LAYERS, DIM, DIM, 0, 0, 0, 0},
    {"model.layers.%d.post_attention_layernorm.weight", LAYERS, 1, DIM, 0, 0, 0, 0},
    {"model.layers.%d.mlp.gate_proj.weight", LAYERS, FFN, DIM, 0, 0, 0, 0},
    {"model.layers.%d.mlp.down_proj.weight", LAYERS, DIM, FFN, 0, 0, 0, 0},
    {"model.layers.%d.mlp.up_proj.weight", LAYERS, FFN, DIM, 0, 0, 0, 0},
    {"model.norm.weight", 1, 1, DIM, 0, 0, 0, 0},
    {"lm_head.weight", 1, VOCAB, DIM, 0, 0, 0, 0}};

static unsigned state = 1;

static int chance(int n)
{
    state = state * 1103515245u + 12345u;
    return (int)(state >> 16) % n;
}

/* Powers of two as scales and seven bits for the integers: F16 and BF16 hold every product. */
static void make_group(float *w, signed char *q, float *scale)
{
    int i;
    *scale = 1.0f / (float)(512 << chance(4));
    for (i = 0; i < GROUP; i++) q[i] = (signed char)(chance(255) - 127);
    q[chance(GROUP)] = 127;
    for (i = 0; i < GROUP; i++) w[i] = (float)q[i] * *scale;
}

static void make_model(void)
{
    int m, i;
    for (m = 0; m < N_MATRICES; m++) {
        matrix *x = &model[m];
        int n = x->layers * x->rows * x->cols;
        x->w = calloc((size_t)n, sizeof(float));
        x->q = calloc((size_t)n, 1);
        x->scales = calloc((size_t)n / GROUP, sizeof(float));
        for (i = 0; i < n / GROUP; i++) make_group(x->w + i * GROUP, x->q + i * GROUP, x->scales + i);
        if (x->rows > 1) continue;
        for (i = 0; i < n; i++) x->w[i] = 1.0f + (float)chance(64) / 64.0f;
        x->q = NULL;
    }
}

/* ---- writing, little-endian ---- */

static void put(FILE *f, unsigned long long v, int bytes)
{
    int i;
    for (i = 0; i < bytes; i++) fputc((int)(v >> (8 * i) & 255), f);
}

static unsigned half_of(float x) /* exact ones only */
{
    unsigned u = cv_bits_of_float(x);
    int e = (int)(u >> 23 & 255);
    if (e == 0) return u >> 16 & 0x8000u;
    if (e - 112 > 0) return (u >> 16 & 0x8000u) | (unsigned)(e - 112) << 10 | (u >> 13 & 1023u);
    return (u >> 16 & 0x8000u) | ((u & 0x7FFFFFu) | 0x800000u) >> (126 - e); /* subnormal */
}

static FILE *create(const char *name, char *path)
{
    snprintf(path, LONGEST_PATH, "%s/%s", folder, name);
    return fopen(path, "wb");
}

/* ---- llama2.c ---- */

static int row_in_pairs(const matrix *x, int r) /* where the pair order takes its row r from */
{
    int j = r % HEAD;
    return x->turned ? r - j + j / 2 + j % 2 * (HEAD / 2) : r;
}

static void put_floats(FILE *f, const matrix *x)
{
    int l, r, c;
    for (l = 0; l < x->layers; l++)
        for (r = 0; r < x->rows; r++)
            for (c = 0; c < x->cols; c++)
                put(f, cv_bits_of_float(x->w[(l * x->rows + row_in_pairs(x, r)) * x->cols + c]), 4);
}

static void put_integers(FILE *f, const matrix *x, int group)
{
    int l, r, c, step = group / GROUP;
    for (l = 0; l < x->layers; l++) {
        for (r = 0; r < x->rows; r++)
            for (c = 0; c < x->cols; c++)
                fputc(x->q[(l * x->rows + row_in_pairs(x, r)) * x->cols + c], f);
        for (r = 0; r < x->rows; r++)
            for (c = 0; c < x->cols; c += step * GROUP)
                put(f, cv_bits_of_float(x->scales[((l * x->rows + row_in_pairs(x, r)) * x->cols + c) / GROUP]), 4);
    }
}

static void put_fields(FILE *f, int vocab)
{
    int fields[7] = {DIM, FFN, LAYERS, HEADS, KV_HEADS, VOCAB, CONTEXT}, i;
    fields[5] = vocab;
    for (i = 0; i < 7; i++) put(f, (unsigned)fields[i], 4);
}

static void write_llama2c(const char *name, int version, int tied)
{
    static const int order_0[] = {EMB, ATTN_NORM, Q, K, V, OUT, FFN_NORM, GATE, DOWN, UP, NORM};
    static const int order_1[] = {ATTN_NORM, FFN_NORM, NORM, EMB, Q, K, V, OUT, GATE, DOWN, UP};
    char path[LONGEST_PATH];
    FILE *f = create(name, path);
    int i;
    if (version > 0) put(f, 0x616B3432u, 4), put(f, (unsigned)version, 4);
    put_fields(f, version == 0 && !tied ? -VOCAB : VOCAB);
    if (version > 0) fputc(tied, f), put(f, version == 2 ? GROUP : 0, 4);
    while (version > 0 && ftell(f) < 256) fputc(0, f);
    for (i = 0; i < 11; i++) {
        const matrix *x = &model[version == 0 ? order_0[i] : order_1[i]];
        if (version == 2 && x->q) put_integers(f, x, GROUP);
        else put_floats(f, x);
    }
    for (i = 0; version == 0 && i < CONTEXT * HEAD; i++) put(f, 0x7F800000u, 4); /* the unused tables: not looked at */
    if (!tied && version == 2) put_integers(f, &model[HEAD_OUT], GROUP);
    else if (!tied) put_floats(f, &model[HEAD_OUT]);
    fclose(f);
}

/* ---- Hugging Face ---- */

static void write_text(const char *name, const char *text)
{
    char path[LONGEST_PATH];
    FILE *f = create(name, path);
    fputs(text, f);
    fclose(f);
}

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_act\": \"silu\","
    " \"bos_token_id\": 1, \"eos_token_id\": [1, 2], \"vocab_size\": %d, \"hidden_size\": 64, \"num_hidden_layers\": 2,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 96,"
    " \"max_position_embeddings\": 32, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0%s}";

static void make_folder_of(int vocab, const char *name, const char *more)
{
    char path[LONGEST_PATH], file[64], text[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    mkdir(path, 0777);
    snprintf(text, sizeof text, config, vocab, more);
    snprintf(file, sizeof file, "%s/config.json", name);
    write_text(file, text);
}

static void make_folder(const char *name, const char *more)
{
    make_folder_of(VOCAB, name, more);
}

static int width_of(const char *type)
{
    return strcmp(type, "F32") == 0 ? 4 : 2;
}

static const char *metadata = ""; /* what a header begins with */

/* Matrices whose index is in which (bit by bit). */
static void write_safetensors(const char *name, const char *type, unsigned which)
{
    char path[LONGEST_PATH], header[8192] = "{", tensor[128];
    FILE *f = create(name, path);
    int m, l, i, n, at = 0;
    strcat(header, metadata);
    for (m = 0; m < N_MATRICES; m++)
        for (l = 0; l < model[m].layers && (which >> m & 1u); l++) {
            const matrix *x = &model[m];
            snprintf(tensor, sizeof tensor, x->name, l);
            n = x->rows * x->cols * width_of(type);
            snprintf(header + strlen(header), sizeof header - strlen(header), "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                     at ? "," : "", tensor, type);
            if (x->q) snprintf(header + strlen(header), sizeof header - strlen(header), "%d,", x->rows);
            snprintf(header + strlen(header), sizeof header - strlen(header), "%d],\"data_offsets\":[%d,%d]}", x->cols,
                     at, at + n);
            at += n;
        }
    strcat(header, "}");
    put(f, strlen(header), 8);
    fputs(header, f);
    for (m = 0; m < N_MATRICES; m++)
        for (i = 0; i < model[m].layers * model[m].rows * model[m].cols && (which >> m & 1u); i++) {
            float x = model[m].w[i];
            if (type[0] == 'B') put(f, cv_bits_of_float(x) >> 16, 2);
            else if (width_of(type) == 2) put(f, half_of(x), 2);
            else put(f, cv_bits_of_float(x), 4);
        }
    fclose(f);
}

/* A tied model whose embedding has more rows than the others': rows for the tokens of write_tokenizer. */
enum { MANY_ROWS = 264 };

static void write_wide_safetensors(const char *name)
{
    matrix kept = model[EMB];
    int i;
    model[EMB].rows = MANY_ROWS, model[EMB].w = calloc((size_t)MANY_ROWS * DIM, sizeof(float));
    for (i = 0; i < MANY_ROWS * DIM; i++) model[EMB].w[i] = (float)(i * 7 % 31 - 15) / 64.0f;
    write_safetensors(name, "F32", (1u << HEAD_OUT) - 1);
    free(model[EMB].w);
    model[EMB] = kept;
}

enum { TIED = (1 << HEAD_OUT) - 1, UNTIED = (1 << N_MATRICES) - 1, FIRST = 0x15F, SECOND = UNTIED & ~FIRST };

static void write_index(const char *name)
{
    char text[8192] = "{\"weight_map\": {", tensor[128];
    int m, l, some = 0;
    for (m = 0; m < N_MATRICES; m++)
        for (l = 0; l < model[m].layers; l++) {
            snprintf(tensor, sizeof tensor, model[m].name, l);
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"%s\": \"%s.safetensors\"",
                     some++ ? ", " : "", tensor, FIRST >> m & 1 ? "a" : "b");
        }
    strcat(text, "}}");
    write_text(name, text);
}

/* ---- GGUF ---- */

static const char *const gguf_names[N_MATRICES] = {
    "token_embd", "blk.%d.attn_norm", "blk.%d.attn_q", "blk.%d.attn_k", "blk.%d.attn_v", "blk.%d.attn_output",
    "blk.%d.ffn_norm", "blk.%d.ffn_gate", "blk.%d.ffn_down", "blk.%d.ffn_up", "output_norm", "output"};

enum { GGUF_F32 = 0, GGUF_F16 = 1, GGUF_Q4_0 = 2, GGUF_Q8_0 = 8, GGUF_IQ4_NL = 20, GGUF_BF16 = 30, GGUF_MXFP4 = 39 };

static void put_string(FILE *f, const char *text)
{
    put(f, strlen(text), 8);
    fputs(text, f);
}

static void put_integer(FILE *f, const char *key, int value)
{
    put_string(f, key), put(f, 4, 4), put(f, (unsigned)value, 4);
}

/* A block type of which the file has one matrix, the ups, whose blocks are all zeros but for their scale; in the last
 * one a half is `odd`. */
typedef struct odd_type {
    const char *name;
    int type, bytes, at; /* of a block of 32; at: where in it the odd half stands */
    unsigned odd;
} odd_type;

static const odd_type *ups; /* NULL: they are as the others */

static int has_odd_blocks(const matrix *x)
{
    return ups && x == &model[UP];
}

static int has_nibbles(const matrix *x, int type)
{
    return x->q && (type == GGUF_Q4_0 || type == GGUF_IQ4_NL || type == GGUF_MXFP4);
}

/* Blocks of four bits, any nibbles with scales of either sign. */
static void put_nibbles(FILE *f, const matrix *x, int type)
{
    int i, k;
    for (i = 0; i < x->rows * x->cols / 32; i++) {
        if (type == GGUF_MXFP4) fputc(118 + chance(6), f);
        else put(f, (unsigned)(chance(2) << 15 | (type == GGUF_Q4_0 ? 0x2400 : 0x1400) | chance(1024)), 2);
        for (k = 0; k < 16; k++) fputc(chance(256), f);
    }
}

static int gguf_bytes(const matrix *x, int type)
{
    int n = x->rows * x->cols;
    if (has_odd_blocks(x)) return n / 32 * ups->bytes;
    if (has_nibbles(x, type)) return n / 32 * (type == GGUF_MXFP4 ? 17 : 18);
    if (!x->q || type == GGUF_F32) return 4 * n;
    return type == GGUF_Q8_0 ? n / 32 * 34 : 2 * n;
}

static void put_odd_blocks(FILE *f, const matrix *x, int layer)
{
    int n = x->rows * x->cols / 32, i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < ups->bytes; k += 2)
            put(f, layer == 1 && i == n - 1 && k == ups->at ? ups->odd : k == 0 ? 0x2C00u : 0, 2);
}

static void put_gguf_matrix(FILE *f, const matrix *x, int layer, int type)
{
    int r, c;
    if (has_odd_blocks(x)) put_odd_blocks(f, x, layer);
    else if (has_nibbles(x, type)) put_nibbles(f, x, type);
    else for (r = 0; r < x->rows; r++)
        for (c = 0; c < x->cols; c++) {
            int i = (layer * x->rows + row_in_pairs(x, r)) * x->cols + c;
            if (type == GGUF_Q8_0 && x->q && c % GROUP == 0) put(f, half_of(x->scales[i / GROUP]), 2);
            if (!x->q || type == GGUF_F32) put(f, cv_bits_of_float(x->w[i]), 4);
            else if (type == GGUF_Q8_0) fputc(x->q[i], f);
            else put(f, type == GGUF_F16 ? half_of(x->w[i]) : cv_bits_of_float(x->w[i]) >> 16, 2);
        }
    while (ftell(f) % 32) fputc(0, f);
}

static int in_part(int m, int layer, int tied, int part, int parts)
{
    return layer < model[m].layers && !(tied && m == HEAD_OUT) && (m + layer) % parts == part;
}

static void put_gguf_facts(FILE *f, int part, int parts)
{
    static const struct {
        const char *key;
        int value;
    } facts[] = {{"llama.context_length", CONTEXT}, {"llama.embedding_length", DIM}, {"llama.block_count", LAYERS},
                 {"llama.feed_forward_length", FFN}, {"llama.attention.head_count", HEADS},
                 {"llama.attention.head_count_kv", KV_HEADS}, {"llama.rope.dimension_count", HEAD}};
    size_t i;
    put_integer(f, "split.no", part), put_integer(f, "split.count", parts);
    if (part > 0) return;
    put_string(f, "general.architecture"), put(f, 8, 4), put_string(f, "llama");
    for (i = 0; i < sizeof facts / sizeof *facts; i++) put_integer(f, facts[i].key, facts[i].value);
    put_string(f, "llama.attention.layer_norm_rms_epsilon"), put(f, 6, 4), put(f, cv_bits_of_float(1e-5f), 4);
}

static void write_gguf(const char *name, int version, int type, int tied, int part, int parts)
{
    char path[LONGEST_PATH], tensor[128];
    FILE *f = create(name, path);
    int m, l, n = 0, at = 0;
    for (m = 0; m < N_MATRICES; m++)
        for (l = 0; l < LAYERS; l++) n += in_part(m, l, tied, part, parts);
    put(f, 0x46554747u, 4), put(f, (unsigned)version, 4), put(f, (unsigned)n, 8), put(f, part ? 2 : 11, 8);
    put_gguf_facts(f, part, parts);
    for (m = 0; m < N_MATRICES; m++)
        for (l = 0; l < LAYERS; l++) {
            const matrix *x = &model[m];
            if (!in_part(m, l, tied, part, parts)) continue;
            snprintf(tensor, sizeof tensor, gguf_names[m], l);
            strcat(tensor, ".weight");
            put_string(f, tensor), put(f, x->q ? 2 : 1, 4), put(f, (unsigned)x->cols, 8);
            if (x->q) put(f, (unsigned)x->rows, 8);
            put(f, (unsigned)(has_odd_blocks(x) ? ups->type : x->q ? type : GGUF_F32), 4), put(f, (unsigned)at, 8);
            at += (gguf_bytes(x, type) + 31) / 32 * 32;
        }
    while (ftell(f) % 32) fputc(0, f);
    for (m = 0; m < N_MATRICES; m++)
        for (l = 0; l < LAYERS; l++)
            if (in_part(m, l, tied, part, parts)) put_gguf_matrix(f, &model[m], l, type);
    fclose(f);
}

/* ---- running ---- */

/* The exit status, or -1 for a signal. What it says goes to FOLDER/said. */
static int convert(const char *in, const char *out, const char *options)
{
    char command[4096];
    int status;
    snprintf(command, sizeof command, "%s %s/%s %s/%s %s > %s/said 2>&1", converter, folder, in, folder, out, options,
             folder);
    status = system(command);
    return WIFEXITED(status) && WEXITSTATUS(status) < 126 ? WEXITSTATUS(status) : -1;
}

static char *load(const char *name, size_t *bytes)
{
    char path[LONGEST_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return load_file(path, bytes);
}

static void save(const char *name, const char *data, size_t bytes)
{
    char path[LONGEST_PATH];
    FILE *f = create(name, path);
    fwrite(data, 1, bytes, f);
    fclose(f);
}

static void copy_file(const char *from, const char *to)
{
    size_t n = 0;
    char *data = load(from, &n);
    if (!data) exit(2);
    save(to, data, n);
    free(data);
}

static int says(const char *text)
{
    size_t n;
    char *said = load("said", &n);
    int found = said && strstr(said, text);
    if (!found) printf("        said: %s\n", said ? said : "nothing");
    free(said);
    return found;
}

static int says_quietly(const char *text) /* where it should not */
{
    size_t n;
    char *said = load("said", &n);
    int found = said && strstr(said, text);
    free(said);
    return found;
}

/* The status of --check, or -1 if it does not say that. */
static int check_says(const char *name, const char *text)
{
    char command[4096];
    int status;
    snprintf(command, sizeof command, "%s --check %s/%s > %s/said 2>&1", converter, folder, name, folder);
    status = system(command);
    return WIFEXITED(status) && says(text) ? WEXITSTATUS(status) : -1;
}

static int exists(const char *name)
{
    char path[LONGEST_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void remove_file(const char *name)
{
    char path[LONGEST_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    remove(path);
}

static unsigned long long word(const char *p)
{
    unsigned long long v = 0;
    int i;
    for (i = 7; i >= 0; i--) v = v << 8 | (unsigned char)p[i];
    return v;
}

/* Everything behind the head, which holds names. */
static int same_tensors(const char *a, const char *b)
{
    size_t n = 0, m = 0;
    char *x = load(a, &n), *y = load(b, &m);
    unsigned long long at = x ? word(x + 56) : 0, from = y ? word(y + 56) : 0;
    int same = x && y && n - at == m - from && memcmp(x + at, y + from, n - at) == 0;
    free(x), free(y);
    return same;
}

/* ---- the tests ---- */

static void test_forms(void)
{
    static const char *const folders[][2] = {{"f32", "F32"}, {"f16", "F16"}, {"bf16", "BF16"}};
    char name[64], what[128];
    matrix kept;
    int i;
    make_folder("tied", ", \"tie_word_embeddings\": true");
    write_safetensors("tied/model.safetensors", "F32", TIED);
    check(convert("tied", "tied.harp", "") == 0, "a tied model");
    make_folder("both", "");
    kept = model[HEAD_OUT], model[HEAD_OUT].w = model[EMB].w;
    write_safetensors("both/model.safetensors", "F32", UNTIED);
    model[HEAD_OUT] = kept;
    check(convert("both", "both.harp", "") == 0, "an untied model of one matrix, twice");
    for (i = 0; i < 3; i++) {
        make_folder(folders[i][0], "");
        snprintf(name, sizeof name, "%s/model.safetensors", folders[i][0]);
        write_safetensors(name, folders[i][1], UNTIED);
        snprintf(name, sizeof name, "%s.harp", folders[i][0]);
        snprintf(what, sizeof what, "%s: the same tensors", folders[i][1]);
        check(convert(folders[i][0], name, "") == 0 && same_tensors(name, "f32.harp"), what);
    }
    make_folder("shards", "");
    write_safetensors("shards/a.safetensors", "F32", FIRST);
    write_safetensors("shards/b.safetensors", "BF16", SECOND);
    write_index("shards/model.safetensors.index.json");
    check(convert("shards", "shards.harp", "") == 0 && same_tensors("shards.harp", "f32.harp"), "shards: the same");
    for (i = 0; i < 6; i++) {
        snprintf(what, sizeof what, "llama2.c version %d, %s: the same tensors", i / 2, i % 2 ? "tied" : "untied");
        write_llama2c("model.bin", i / 2, i % 2);
        check(convert("model.bin", "bin.harp", "") == 0
              && same_tensors("bin.harp", i % 2 ? "tied.harp" : "f32.harp"), what);
    }
}

static void test_gguf_forms(void)
{
    static const struct {
        const char *name;
        int type, version;
    } forms[] = {{"F32", GGUF_F32, 3}, {"F16", GGUF_F16, 2}, {"BF16", GGUF_BF16, 3}, {"Q8_0", GGUF_Q8_0, 3}};
    char name[64], what[128];
    float kept;
    size_t i;
    int part;
    for (i = 0; i < 2 * sizeof forms / sizeof *forms; i++) {
        int tied = i % 2;
        snprintf(what, sizeof what, "GGUF %s, %s: the same tensors", forms[i / 2].name, tied ? "tied" : "untied");
        write_gguf("model.gguf", forms[i / 2].version, forms[i / 2].type, tied, 0, 1);
        check(convert("model.gguf", "gguf.harp", "") == 0
              && same_tensors("gguf.harp", tied ? "tied.harp" : "f32.harp"), what);
    }
    for (part = 0; part < 3; part++) {
        snprintf(name, sizeof name, "split-%05d-of-00003.gguf", part + 1);
        write_gguf(name, 3, GGUF_F32, 0, part, 3);
    }
    check(convert("split-00001-of-00003.gguf", "gguf.harp", "") == 0 && same_tensors("gguf.harp", "f32.harp"),
          "GGUF in three files: the same tensors");
    check(convert("split-00002-of-00003.gguf", "bad.harp", "") == 1 && says("part 1 of 3"),
          "the second is not the first");
    snprintf(name, sizeof name, "%s/split-00003-of-00003.gguf", folder);
    remove(name);
    check(convert("split-00001-of-00003.gguf", "bad.harp", "") == 1 && says("00003-of-00003"), "the third is missing");
    kept = model[UP].scales[7], model[UP].scales[7] = -1.0f;
    write_gguf("bad.gguf", 3, GGUF_Q8_0, 1, 0, 1);
    check(convert("bad.gguf", "bad.harp", "") == 1 && says("ffn_up.weight: a scale is -1") && !exists("bad.harp"),
          "a negative scale");
    model[UP].scales[7] = kept;
    model[UP].w[7 * DIM + 5] = 0.0f / 0.0f;
    write_gguf("bad.gguf", 3, GGUF_BF16, 1, 0, 1);
    check(convert("bad.gguf", "bad.harp", "") == 1 && says("ffn_up.weight, row 7, column 5"), "a NaN in a GGUF file");
    check(convert("bad.gguf", "bad.harp", "--bits 4") == 1 && says("ffn_up.weight, row 7, column 5")
          && !exists("bad.harp"), "a NaN, in four bits");
    model[UP].w[7 * DIM + 5] = (float)model[UP].q[7 * DIM + 5] * model[UP].scales[(7 * DIM + 5) / GROUP];
}

/* Scales and minima that are no numbers: refused with the tensor's name. The same files without them are fine. */
static void test_odd_scales(void)
{
    static const odd_type types[] = {{"Q8_0", 8, 34, 0, 0},   {"Q4_0", 2, 18, 0, 0}, {"Q4_1", 3, 20, 0, 0},
                                     {"Q4_1", 3, 20, 2, 0},   {"Q5_0", 6, 22, 0, 0}, {"Q5_1", 7, 24, 0, 0},
                                     {"Q5_1", 7, 24, 2, 0},   {"IQ4_NL", 20, 18, 0, 0}};
    static const unsigned halves[] = {0, 0x7E00, 0x7C00, 0xFC00}; /* 0, NaN, infinite, infinite and negative */
    char what[128];
    size_t i, k;
    for (i = 0; i < sizeof types / sizeof *types; i++)
        for (k = 0; k < sizeof halves / sizeof *halves; k++) {
            odd_type odd = types[i];
            int wanted = k > 0, status;
            odd.odd = halves[k], ups = &odd;
            write_gguf("odd.gguf", 3, GGUF_F16, 1, 0, 1);
            status = convert("odd.gguf", "odd.harp", "");
            snprintf(what, sizeof what, "%s: a half at %d is %04X", odd.name, odd.at, odd.odd);
            check(status == wanted && (!wanted || (says("blk.1.ffn_up.weight") && !exists("odd.harp"))), what);
            if (!wanted) remove_file("odd.harp");
        }
    ups = NULL;
}

/* ---- four bits ---- */

/* The logits of three tokens, and how many weights have four bits; -1: it does not run. */
static long logits_of(const char *name, float logits[VOCAB])
{
    static const int32_t tokens[] = {1, 5, 3};
    harp_model *m = NULL;
    harp_session *s = NULL;
    harp_params p = harp_defaults();
    char path[LONGEST_PATH];
    long four_bit = -1;
    p.harp = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (harp_open(&m, path, NULL) == HARP_OK && harp_session_open(&s, m, &p, NULL) == HARP_OK
        && harp_feed(s, tokens, 3, NULL) == HARP_OK && harp_next(s, NULL, NULL) == HARP_OK) {
        memcpy(logits, harp_logits(s, HARP_VANILLA), VOCAB * sizeof *logits);
        four_bit = (long)harp_model_info(m).four_bit;
    }
    harp_session_close(s);
    harp_close(m);
    return four_bit;
}

/* The type of a tensor in a .harp file; 0: it has none of that name. */
static unsigned type_of(const char *file, const char *tensor)
{
    size_t bytes, i, n;
    char *data = load(file, &bytes);
    unsigned type = 0;
    n = data ? (size_t)cv_u32((unsigned char *)data + 36) : 0;
    for (i = 0; i < n; i++) {
        const char *record = data + word(data + 48) + 96 * i;
        if (strcmp(record, tensor) == 0) type = cv_u32((const unsigned char *)record + 48);
    }
    free(data);
    return type;
}

enum { LAYER_WEIGHTS = LAYERS * (2 * DIM * DIM + 2 * KEYS * DIM + 3 * FFN * DIM) };

/* Q4_0, IQ4_NL and MXFP4 are kept as they are, and asked to become int8 they mean the same: the same logits. */
static void test_exact_nibbles(void)
{
    static const struct {
        const char *name;
        int type;
    } types[] = {{"Q4_0", GGUF_Q4_0}, {"IQ4_NL", GGUF_IQ4_NL}, {"MXFP4", GGUF_MXFP4}};
    char what[128];
    size_t i;
    for (i = 0; i < sizeof types / sizeof *types; i++) {
        float four[VOCAB] = {0}, eight[VOCAB] = {0};
        write_gguf("nibbles.gguf", 3, types[i].type, 0, 0, 1);
        check(convert("nibbles.gguf", "four.harp", "--errors") == 0 && says("0.qkv") && says(" of them in 4 bits)")
              && says("SNR exact") && !says_quietly(" dB"), types[i].name);
        check(check_says("four.harp", "of them in 4 bits") == 0, "--check says it");
        check(convert("nibbles.gguf", "eight.harp", "--bits 8 --errors") == 0 && !says_quietly(" dB"), "as int8, exactly");
        snprintf(what, sizeof what, "%s in four bits and in eight: the same logits", types[i].name);
        check(logits_of("four.harp", four) == LAYER_WEIGHTS && logits_of("eight.harp", eight) == 0 && four[0] != four[1]
              && memcmp(four, eight, sizeof four) == 0, what);
        check(convert("nibbles.gguf", "again.harp", "--bits 4") == 0 && same_tensors("again.harp", "four.harp"),
              "--bits 4 keeps them, too");
    }
}

/* A type of fewer bits that is not ours stays int8, even if four bits are asked for; the rest becomes nibbles. */
static void test_coarse_types(void)
{
    odd_type q5 = {"Q5_0", 6, 22, 0, 0};
    ups = &q5;
    write_gguf("coarse.gguf", 3, GGUF_F16, 0, 0, 1);
    check(convert("coarse.gguf", "coarse.harp", "--bits 4") == 0 && says("2 matrices have 8 bits")
          && says("in Q5_0"), "Q5_0 with --bits 4: said");
    check(type_of("coarse.harp", "0.gate_up") == 2 && type_of("coarse.harp", "0.down") == 4, "Q5_0 with --bits 4: int8");
    ups = NULL;
}

static void test_four_bits(void)
{
    float logits[VOCAB];
    check(convert("f32", "four.harp", "--bits 4 --errors") == 0 && says(" dB"), "--bits 4");
    check(logits_of("four.harp", logits) == LAYER_WEIGHTS && type_of("four.harp", "embedding") == 2
          && type_of("four.harp", "output") == 2 && type_of("four.harp", "1.attn_out") == 4, "what has four bits");
    check(convert("f32", "again.harp", "--bits 4") == 0 && same_tensors("again.harp", "four.harp"), "the same bytes again");
    check(convert("f32", "four.harp", "--bits 4 --keep 'down|0.qkv'") == 0 && type_of("four.harp", "0.down") == 2
          && type_of("four.harp", "1.down") == 2 && type_of("four.harp", "0.qkv") == 2
          && type_of("four.harp", "1.qkv") == 4 && type_of("four.harp", "0.gate_up") == 4, "--keep");
    check(convert("f32", "bad.harp", "--bits 4 --keep down,qkv") == 1 && says("has no matrix \"down,qkv\"")
          && !exists("bad.harp"), "--keep names what is not there");
    check(convert("f32", "bad.harp", "--keep down") == 2 && says("--keep goes with --bits 4"), "--keep alone");
    check(convert("f32", "bad.harp", "--bits 5") == 2 && says("--bits is 8 or 4, not 5"), "--bits 5");
    check(convert("f32", "bad.harp", "--bits 4 --weights f32") == 2 && says("exclude each other"), "--bits and --weights");
    check(convert("f32", "bad.harp", "--bits 8 --calibrate x") == 2 && says("--calibrate goes"), "--calibrate alone");
    check(convert("f32", "bad.harp", "--bits 4 --calibrate x") == 1 && says("no tokenizer"), "no tokenizer to read with");
}

/* The same with a tokenizer, in "model": what a text says about inputs changes what is written. */
static void test_calibration(void)
{
    char options[2 * LONGEST_PATH];
    write_text("reading.txt", "one two three, and more of the same: one two three\n");
    write_text("empty.txt", "");
    snprintf(options, sizeof options, "--bits 4 --calibrate %s/reading.txt", folder);
    check(convert("model", "plain.harp", "--bits 4") == 0 && convert("model", "seen.harp", options) == 0
          && says("calibrated with "), "--calibrate");
    check(!same_tensors("plain.harp", "seen.harp") && convert("model", "again.harp", options) == 0
          && same_tensors("again.harp", "seen.harp"), "it matters, and is the same each time");
    snprintf(options, sizeof options, "--bits 4 --calibrate %s/empty.txt", folder);
    check(convert("model", "bad.harp", options) == 1 && says("has no text") && !exists("bad.harp"), "an empty text");
    snprintf(options, sizeof options, "--bits 4 --calibrate %s/gone.txt", folder);
    check(convert("model", "bad.harp", options) == 1 && says("gone") && !exists("bad.harp"), "a text that is not there");
}

static void test_repeatable(void)
{
    size_t n = 0, m = 0;
    char *a = load("f32.harp", &n), *b;
    check(convert("f32", "again.harp", "--errors") == 0 && says("exact"), "on the grid nothing is lost");
    b = load("again.harp", &m);
    check(a && b && n == m && memcmp(a, b, n) == 0, "the same input, the same bytes");
    check(convert("f32", "again.harp", "--name Anna --licence CC0 --quiet") == 0, "names");
    free(a), free(b);
    b = load("again.harp", &m);
    check(b && memmem(b, m, "Anna", 4) && memmem(b, m, "CC0", 3), "names are in the file");
    check(b && !memmem(b, m, folder, strlen(folder)), "paths are not");
    free(b);
}

#define SMALL                                                                                                  \
    "\"hidden_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"intermediate_size\": 96,"       \
    " \"max_position_embeddings\": 32, \"vocab_size\": 40"
#define RMS ", \"rms_norm_eps\": 1e-5"
#define LAYER ", \"layer_norm_eps\": 1e-5"
#define GEMMA4(full, more) \
    "{\"model_type\": \"gemma4_text\", \"rope_parameters\": {\"sliding_attention\": {\"rope_type\": \"default\"}," \
    " \"full_attention\": {\"rope_type\": \"proportional\"" full "}}, \"vocab_size_per_layer_input\": 40," \
    " \"layer_types\": [\"sliding_attention\", \"full_attention\"], " more ", " SMALL RMS "}"

#define DELTA(more) "{\"model_type\": \"qwen3_5_text\", " more ", " SMALL RMS "}"

static const struct {
    const char *more, *word;
} families[] = {
    {"{\"model_type\": \"mamba\", \"state_size\": 16, " SMALL "}",
     "model_type mamba is not supported: it would need recurrent layers; supported are llama, mistral, "},
    {"{\"model_type\": \"qwen2_moe\", \"num_experts\": 4, \"shared_expert_intermediate_size\": 32, " SMALL "}",
     "it would need a mixture of experts of its kind and shared experts;"},
    {"{\"model_type\": \"jamba\", \"mamba_d_state\": 16, \"num_experts\": 16, \"vision_config\": null, " SMALL "}",
     "it would need a mixture of experts of its kind and recurrent layers;"},
    {"{\"model_type\": \"x\", \"n_routed_experts\": 16, \"n_shared_experts\": 0, \"kv_lora_rank\": 64,"
     " \"vision_config\": {}, " SMALL "}",
     "of its kind, keys and values of low rank (multi-head latent attention) and vision;"},
    {"{\"model_type\": \"apertus\", " SMALL "}", "model_type apertus is not supported; supported are"},
    {"{\"model_type\": \"llava\", \"text_config\": {}}", "model_type llava"},
    {"{\"model_type\": \"qwen2\", \"architectures\": [\"Qwen2ForReward\"], " SMALL RMS "}", "Qwen2ForReward"},
    {"{\"model_type\": \"llama\", \"hidden_act\": \"relu\", " SMALL RMS "}", "hidden_act is relu"},
    {"{\"model_type\": \"gemma2\", \"hidden_activation\": \"quick_gelu\", " SMALL RMS "}",
     "hidden_activation is quick_gelu"},
    {"{\"model_type\": \"gemma2\", \"query_pre_attn_scalar\": -4, " SMALL RMS "}", "query_pre_attn_scalar is -4"},
    {"{\"model_type\": \"gemma2\", \"attn_logit_softcapping\": -5, " SMALL RMS "}", "attention cap is -5"},
    {"{\"model_type\": \"gemma3_text\", \"sliding_window_pattern\": 0, " SMALL RMS "}", "sliding_window_pattern is 0"},
    {"{\"model_type\": \"qwen3\", \"layer_types\": [\"full_attention\", \"chunked_attention\"], " SMALL RMS "}",
     "layer_types has chunked_attention"},
    {"{\"model_type\": \"smollm3\", \"no_rope_layers\": [1], " SMALL RMS "}", "no_rope_layers is not a list of 2"},
    {"{\"model_type\": \"smollm3\", \"no_rope_layers\": [1, 2], " SMALL RMS "}", "no_rope_layers has 2"},
    {"{\"model_type\": \"smollm3\", \"no_rope_layer_interval\": 0, " SMALL RMS "}", "no_rope_layer_interval is 0"},
    {"{\"model_type\": \"exaone4\", \"sliding_window\": 8, \"sliding_window_pattern\": \"LLLG\", " SMALL RMS "}",
     "sliding_window_pattern is LLLG; a count is wanted"},
    {"{\"model_type\": \"exaone4\", \"sliding_window\": 8, \"sliding_window_pattern\": 0, " SMALL RMS "}",
     "sliding_window_pattern is 0"},
    {"{\"model_type\": \"exaone4\", \"sliding_window\": null, \"layer_types\": [\"full_attention\","
     " \"sliding_attention\"], " SMALL RMS "}",
     "there is no sliding_window"},
    {"{\"model_type\": \"ernie4_5\", \"use_bias\": 1, " SMALL RMS "}", "use_bias is 1; true or false is wanted"},
    {"{\"model_type\": \"ministral3\", \"rope_parameters\": {\"rope_type\": \"default\","
     " \"llama_4_scaling_beta\": 0.1}, " SMALL RMS "}", "scores grow every 0 positions"},
    {"{\"model_type\": \"ministral3\", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 2,"
     " \"llama_4_scaling_beta\": \"0.1\"}, " SMALL RMS "}", "llama_4_scaling_beta is 0.1; a number is wanted"},
    {"{\"model_type\": \"ministral3\", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 2,"
     " \"llama_4_scaling_beta\": -0.1}, " SMALL RMS "}", "growth of scores is -0.1"},
    {"{\"model_type\": \"ministral3\", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 2,"
     " \"mscale\": 0, \"mscale_all_dim\": 1}, " SMALL RMS "}", "mscale is missing or not a number from 0.001 up"},
    {"{\"model_type\": \"qwen2\", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 2,"
     " \"llama_4_scaling_beta\": 0.1}, " SMALL RMS "}", "llama_4_scaling_beta is 0.1: not known for this type"},
    {"{\"model_type\": \"olmo3\", \"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"},"
     " \"sliding_attention\": {\"rope_type\": \"yarn\"}}, " SMALL RMS "}", "sliding_attention is of type yarn"},
    {"{\"model_type\": \"mixtral\", \"num_local_experts\": 4, \"num_experts_per_tok\": 5, " SMALL RMS "}",
     "5 experts are used for a token; it must be between 1 and 4"},
    {"{\"model_type\": \"mixtral\", \"num_local_experts\": 99, \"num_experts_per_tok\": 65, " SMALL RMS "}",
     "65 experts are used for a token; it must be between 1 and 64"},
    {"{\"model_type\": \"mixtral\", \"num_local_experts\": 4, \"num_experts_per_tok\": 0, " SMALL RMS "}",
     "0 experts are used"},
    {"{\"model_type\": \"mixtral\", \"num_local_experts\": 32769, " SMALL RMS "}",
     "32769 experts in each of 2 layers are more than 65536"},
    {"{\"model_type\": \"qwen3_moe\", \"num_experts\": 4, \"num_experts_per_tok\": 2,"
     " \"moe_intermediate_size\": 12, " SMALL RMS "}",
     "[24][64]; their sizes must be multiples of 16"},
    {"{\"model_type\": \"qwen3_moe\", \"num_experts\": 4, " SMALL RMS "}", "8 experts are used for a token"},
    {"{\"model_type\": \"gpt_oss\", \"num_local_experts\": 2, " SMALL RMS "}", "4 experts are used for a token"},
    {"{\"model_type\": \"phi3\", \"rope_parameters\": {\"partial_rotary_factor\": 1.5}, " SMALL RMS "}",
     "partial_rotary_factor is 1.5"},
    {"{\"model_type\": \"gpt_neox\", \"rope_parameters\": {\"partial_rotary_factor\": 1.25}, " SMALL LAYER "}",
     "rotary_pct is 1.25"},
    {"{\"model_type\": \"llama\", \"rope_scaling\": {\"factor\": 2}, " SMALL RMS "}",
     "rope_scaling.factor is 2: not known for this type"},
    {"{\"model_type\": \"qwen3_moe\", \"num_experts\": 4, \"decoder_sparse_step\": 0, " SMALL RMS "}",
     "decoder_sparse_step is 0"},
    {"{\"model_type\": \"qwen3_moe\", \"num_experts\": 4, \"mlp_only_layers\": [0, 2], " SMALL RMS "}",
     "mlp_only_layers lists what is no layer"},
    {"{\"model_type\": \"qwen3_moe\", \"num_experts\": 4, \"mlp_only_layers\": 1, " SMALL RMS "}",
     "mlp_only_layers is 1; a list of layers is wanted"},
    {"{\"model_type\": \"qwen3_moe\", \"use_sliding_window\": true, " SMALL RMS "}", "use_sliding_window (true)"},
    {"{\"model_type\": \"gpt_oss\", \"num_local_experts\": 4, \"swiglu_limit\": 8.0, " SMALL RMS "}",
     "swiglu_limit is 8; 7 is wanted"},
    {"{\"model_type\": \"gpt_oss\", \"quantization_config\": {\"quant_method\": \"fp8\"}, " SMALL RMS "}",
     "the weights are quantized by fp8"},
    {"{\"model_type\": \"llama\", \"quantization_config\": {\"quant_method\": \"mxfp4\"}, " SMALL RMS "}",
     "the weights are quantized by mxfp4"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, " SMALL "}", "neither layer_types nor full_attn_idxs tells"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"full_attn_idxs\": [2], " SMALL "}",
     "full_attn_idxs lists what is no layer"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"layer_types\": [\"conv\", \"mamba\"], " SMALL "}",
     "layer_types has mamba; conv or full_attention is wanted"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"layer_types\": [\"conv\"], " SMALL "}",
     "layer_types is not a list of 2"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"conv_bias\": true, " SMALL "}", "conv_bias is true; false is"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"conv_L_cache\": 1, " SMALL "}", "conv_L_cache is 1"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"conv_L_cache\": 17, \"full_attn_idxs\": [1], " SMALL "}",
     "a convolution of 17 positions"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"block_multiple_of\": 0, " SMALL "}", "block_multiple_of is 0"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"block_ffn_dim_multiplier\": 1e9, " SMALL "}",
     "block_ffn_dim_multiplier is 1000000000"},
    {"{\"model_type\": \"lfm2\", \"norm_eps\": 1e-5, \"block_ff_dim\": 2000000, " SMALL "}", "block_ff_dim is 2000000"},
    {DELTA("\"layer_types\": [\"linear_attention\"]"), "layer_types is not a list of 2"},
    {DELTA("\"layer_types\": 2"), "layer_types is not a list of 2"},
    {DELTA("\"layer_types\": [\"linear_attention\", \"sliding_attention\"]"),
     "layer_types has sliding_attention; linear_attention or full_attention is wanted"},
    {DELTA("\"full_attention_interval\": 0"), "full_attention_interval is 0; a count from 1 up is wanted"},
    {DELTA("\"attn_output_gate\": false"), "attn_output_gate is false; true is wanted"},
    {DELTA("\"output_gate_type\": \"sigmoid\""), "output_gate_type is sigmoid; swish is wanted"},
    {DELTA("\"linear_conv_kernel_dim\": 1"), "linear_conv_kernel_dim is 1; a count from 2 up is wanted"},
    {DELTA("\"linear_conv_kernel_dim\": 17"), "a convolution of 17 positions"},
    {DELTA("\"linear_num_value_heads\": 0"), "linear_num_value_heads is 0; a count from 1 up is wanted"},
    {DELTA("\"linear_num_value_heads\": 4097, \"linear_num_key_heads\": 1"), "gated delta nets of 4097 heads"},
    {DELTA("\"linear_num_key_heads\": 0"), "0 of them of keys"},
    {DELTA("\"linear_num_key_heads\": 3"), "gated delta nets of 32 heads of [128][128], 3 of them of keys"},
    {DELTA("\"linear_key_head_dim\": 0"), "heads of [0][128]"},
    {DELTA("\"linear_key_head_dim\": 24"), "heads of [24][128]"},
    {DELTA("\"linear_value_head_dim\": 2048"), "heads of [128][2048]"},
    {DELTA("\"linear_value_head_dim\": 16, \"linear_num_value_heads\": 1, \"linear_num_key_heads\": 1"),
     "sizes must be multiples of 16, and with all heads of 32"},
    {DELTA("\"head_dim\": 12, \"partial_rotary_factor\": 0.5"), "beside 4 heads of 12"},
    {DELTA("\"linear_key_head_dim\": 1024, \"linear_value_head_dim\": 1024, \"linear_num_value_heads\": 512"),
     "gated delta nets of 512 heads"},
    {DELTA("\"rope_parameters\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 1.5}"),
     "partial_rotary_factor is 1.5"},
    {DELTA("\"rope_parameters\": {\"rope_type\": \"default\", \"partial_rotary_factor\": \"half\"}"),
     "partial_rotary_factor is missing or not a number"},
    {DELTA("\"layer_types\": [\"linear_attention\", \"full_attention\"]"),
     "tensor model.layers.0.linear_attn.in_proj_qkvz.weight is missing"},
    {"{\"model_type\": \"qwen3_next\", \"shared_expert_intermediate_size\": -1, " SMALL RMS "}",
     "shared_expert_intermediate_size is -1; a count is wanted"},
    {"{\"model_type\": \"qwen3_next\", \"shared_expert_intermediate_size\": 2000000, " SMALL RMS "}",
     "the expert for all tokens has an inner size of 2000000"},
    {"{\"model_type\": \"qwen3_next\", \"attention_bias\": true, \"num_experts\": 0, " SMALL RMS "}",
     "tensor model.layers.0.linear_attn.in_proj_qkvz.weight is missing"},
    {"{\"model_type\": \"qwen3_5\", \"text_config\": {\"model_type\": \"qwen3_5_moe_text\"}}",
     "text_config.model_type is qwen3_5_moe_text; only qwen3_5_text is supported"},
    {"{\"model_type\": \"gemma4_text\", \"vocab_size_per_layer_input\": 40, " SMALL RMS "}",
     "rope_parameters does not tell of full_attention"},
    {GEMMA4(", \"partial_rotary_factor\": 1.5", "\"head_dim\": 16"), "partial_rotary_factor must be a number up to 1"},
    {GEMMA4(", \"partial_rotary_factor\": 0", "\"head_dim\": 16"), "partial_rotary_factor must be a number up to 1"},
    {GEMMA4(", \"factor\": 8", "\"head_dim\": 16"), "rope_scaling.factor is 8: not known for this type"},
    {GEMMA4("", "\"num_kv_shared_layers\": 2"), "num_kv_shared_layers is 2"},
    {GEMMA4("", "\"num_kv_shared_layers\": -1"), "num_kv_shared_layers is -1"},
    {GEMMA4("", "\"num_kv_shared_layers\": 1, \"global_head_dim\": 16"),
     "tensor model.embed_tokens_per_layer.weight is missing"},
    {GEMMA4("", "\"global_head_dim\": 1025"), "global_head_dim is 1025"},
    {GEMMA4("", "\"global_head_dim\": 8"), "4 heads of 16 in layers that slide, and of 8 in others"},
    {GEMMA4("", "\"head_dim\": 12"), "4 heads of 12 in layers that slide, and of 512 in others"},
    {GEMMA4("", "\"head_dim\": 0"), "head_dim is 0; a count from 2 up"},
    {GEMMA4("", "\"hidden_size_per_layer_input\": 24"), "24 inputs of each layer"},
    {GEMMA4("", "\"hidden_size_per_layer_input\": 16400"), "16400 inputs of each layer"},
    {"{\"model_type\": \"gemma4_text\", \"rope_parameters\": {\"full_attention\": {}}, " SMALL RMS "}",
     "vocab_size_per_layer_input is absent; the same as vocab_size is wanted"},
    {GEMMA4("", "\"use_double_wide_mlp\": 2"), "use_double_wide_mlp is 2"},
    {GEMMA4("", "\"enable_moe_block\": true"), "enable_moe_block (true)"},
    {GEMMA4("", "\"attention_k_eq_v\": true"), "attention_k_eq_v (true)"},
    {GEMMA4("", "\"num_global_key_value_heads\": 2"), "num_global_key_value_heads (2)"},
    {"{\"model_type\": \"olmoe\", \"clip_qkv\": 8.0, " SMALL RMS "}", "clip_qkv (8)"},
    {"{\"model_type\": \"granitemoe\", \"position_embedding_type\": \"nope\", " SMALL RMS "}",
     "position_embedding_type is nope; rope is wanted"},
    {"{\"model_type\": \"minicpm\", \"scale_depth\": 0, " SMALL RMS "}", "scale_depth is 0"},
    {"{\"model_type\": \"minicpm\", \"dim_model_base\": -8, " SMALL RMS "}", "dim_model_base is -8"},
    {"{\"model_type\": \"granite\", \"logits_scaling\": 0, " SMALL RMS "}", "logits_scaling is 0"},
    {"{\"model_type\": \"granite\", \"residual_multiplier\": -0.5, " SMALL RMS "}", "residual_multiplier is -0.5"},
    {"{\"model_type\": \"granite\", \"residual_multiplier\": 0.001, " SMALL RMS "}", "epsilon of the norms is 10"},
    {"{\"model_type\": \"granite\", \"attention_multiplier\": true, " SMALL RMS "}", "attention_multiplier is true"},
    {"{\"model_type\": \"phi\", \"qk_layernorm\": true, \"hidden_act\": \"gelu_new\", " SMALL LAYER "}",
     "qk_layernorm is true"},
    {"{\"model_type\": \"stablelm\", \"partial_rotary_factor\": 1.5, " SMALL LAYER "}", "partial_rotary_factor is 1.5"},
    {"{\"model_type\": \"gpt_neox\", \"rotary_pct\": 0.5, \"partial_rotary_factor\": 0.25, " SMALL LAYER "}",
     "rotary_pct is 0.5, but partial_rotary_factor is 0.25"},
    {"{\"model_type\": \"gpt2\", \"scale_attn_by_inverse_layer_idx\": true, \"n_embd\": 64}",
     "scale_attn_by_inverse_layer_idx is true"},
    {"{\"model_type\": \"gpt2\", " SMALL "}", "n_embd is absent"},
    {"{\"model_type\": \"phi3\", \"original_max_position_embeddings\": 64, \"rope_scaling\": {\"type\": \"longrope\"}, "
     SMALL RMS "}", "original_max_position_embeddings is 64"},
    {"{\"model_type\": \"phi3\", \"original_max_position_embeddings\": 16, \"rope_scaling\": {\"type\": \"longrope\","
     " \"short_factor\": [1, 2], \"long_factor\": [1]}, " SMALL RMS "}", "short_factor must be a list of 8 numbers"}};

static void test_refused(void)
{
    static const struct {
        const char *more, *word;
    } keys[] = {{", \"model_type\": \"llama\"", "model_type"}, /* twice */
                {", \"attention_bias\": true", "q_proj.bias is missing"},
                {", \"quantization_config\": {\"quant_method\": \"gptq\"}", "quantized by gptq"},
                {", \"rope_scaling\": {\"rope_type\": \"dynamic\", \"factor\": 2}", "dynamic"},
                {", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2, \"mscale\": 0.5}", "mscale is 0.5"},
                {", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 0.5}", "rope_scaling.factor"},
                {", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1]}",
                 "original_max_position_embeddings is 0"},
                {", \"mlp_bias\": true", "gate_proj.bias is missing"},
                {", \"final_logit_softcapping\": 30.0", "final_logit_softcapping (30)"},
                {", \"sliding_window\": 8", "sliding_window (8)"},
                {", \"partial_rotary_factor\": 0.5", "partial_rotary_factor (0.5)"},
                {", \"rope_interleaved\": true", "rope_interleaved is true"},
                {", \"num_experts\": 8", "num_experts (8)"},
                {", \"head_dim\": 15", "rotated dimensions"},
                {", \"head_dim\": 32", "q_proj"},
                {", \"tie_word_embeddings\": 3", "tie_word_embeddings is 3"},
                {", \"x\": [", "config.json"}};
    size_t i;
    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        make_folder("bad", keys[i].more);
        write_safetensors("bad/model.safetensors", "F32", UNTIED);
        check(convert("bad", "bad.harp", "") == 1 && says(keys[i].word) && !exists("bad.harp"), keys[i].more);
    }
    for (i = 0; i < sizeof families / sizeof *families; i++) {
        make_folder("bad", "");
        write_text("bad/config.json", families[i].more);
        check(convert("bad", "bad.harp", "") == 1 && says(families[i].word) && !exists("bad.harp"), families[i].more);
    }
    make_folder("bad", "");
    write_safetensors("bad/model.safetensors", "F32", UNTIED & ~(1u << UP));
    check(convert("bad", "bad.harp", "") == 1 && says("up_proj.weight is missing"), "a missing tensor");
    make_folder("bad", ", \"tie_word_embeddings\": true");
    write_safetensors("bad/model.safetensors", "F32", TIED);
    model[UP].w[7 * DIM + 5] = -1.0f / 0.0f;
    write_safetensors("bad/model.safetensors", "F32", TIED);
    check(convert("bad", "bad.harp", "") == 1 && says("up_proj.weight, row 7, column 5") && !exists("bad.harp"),
          "an infinite weight");
    model[UP].w[7 * DIM + 5] = 0.0f / 0.0f;
    write_llama2c("bad.bin", 0, 1);
    check(convert("bad.bin", "bad.harp", "") == 1 && says("w3, row 7, column 5"), "a NaN");
    model[UP].w[7 * DIM + 5] = (float)model[UP].q[7 * DIM + 5] * model[UP].scales[(7 * DIM + 5) / GROUP];
}

/* A safetensors file of a header and bytes. */
static void write_header(const char *name, const char *header, int bytes)
{
    char path[LONGEST_PATH];
    FILE *f = create(name, path);
    put(f, strlen(header), 8);
    fputs(header, f);
    while (bytes-- > 0) fputc(0, f);
    fclose(f);
}

/* An array in an array in an array ..., `depth` of them, as the value of a key. */
static char *nested(const char *before, int depth, const char *after)
{
    size_t n = strlen(before), size = n + 2 * (size_t)depth + strlen(after) + 1;
    char *text = malloc(size);
    memcpy(text, before, n);
    memset(text + n, '[', (size_t)depth), memset(text + n + depth, ']', (size_t)depth);
    strcpy(text + n + 2 * depth, after);
    return text;
}

static void test_layouts(void)
{
#define A(begin, end) "\"a\": {\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [" #begin ", " #end "]}"
#define B(begin, end) "\"b\": {\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [" #begin ", " #end "]}"
    static const struct {
        const char *header;
        int bytes;
        const char *word;
    } layouts[] = {{"{" A(0, 16) ", " B(8, 24) "}", 24, "tensor b overlaps another"},
                   {"{" A(8, 24) ", " B(0, 16) "}", 24, "tensor a overlaps another"},
                   {"{" A(0, 16) ", " B(0, 16) "}", 16, "overlaps another"},
                   {"{" A(0, 16) ", " B(20, 36) "}", 36, "tensor b has a gap before it"},
                   {"{" A(4, 20) ", " B(20, 36) "}", 36, "tensor a has a gap before it"},
                   {"{" A(0, 16) ", " B(16, 32) "}", 33, "1 bytes after the last tensor"},
                   {"{" A(0, 16) ", " B(16, 32) "}", 31, "ends at 32"},
                   {"{" A(0, 16) ", " A(16, 32) "}", 32, "twice"}};
    char *text;
    size_t i;
    make_folder("bad", "");
    for (i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        write_header("bad/model.safetensors", layouts[i].header, layouts[i].bytes);
        check(convert("bad", "bad.harp", "") == 1 && says(layouts[i].word) && !exists("bad.harp"), layouts[i].header);
    }
    remove_file("bad/model.safetensors");
    write_safetensors("bad/a.safetensors", "F32", FIRST | 1u << DOWN);
    write_safetensors("bad/b.safetensors", "F32", SECOND | 1u << DOWN);
    write_index("bad/model.safetensors.index.json");
    check(convert("bad", "bad.harp", "") == 1 && says("down_proj.weight is in two of the safetensors files"),
          "one name in two shards");
    text = nested("{\"x\": ", 1 << 20, "}");
    write_header("bad/model.safetensors", text, 0);
    check(convert("bad", "bad.harp", "") == 1 && says("model.safetensors") && says("nested too deeply"),
          "a deep header");
    write_text("bad/config.json", text);
    check(convert("bad", "bad.harp", "") == 1 && says("config.json") && says("nested too deeply"),
          "a deep config.json");
    free(text);
    remove_file("bad/model.safetensors");
}

/* Files cut off and bytes changed: refused (1) or accepted (0), never a signal, and no file without success. */
static void attack(const char *file, const char *in, size_t head, size_t step)
{
    size_t n = 0, i, wild = 0, left = 0, whole = 0;
    char *data = load(file, &n), what[128];
    for (i = 0; i < n; i += i < head ? step : n / 23) {
        save(file, data, i);
        remove("bad.harp");
        wild += convert(in, "bad.harp", "") != 1;
        left += (size_t)exists("bad.harp");
    }
    snprintf(what, sizeof what, "%s cut off: %u not refused, %u files left", file, (unsigned)wild, (unsigned)left);
    check(wild == 0 && left == 0, what);
    for (wild = 0, i = 0; i < head; i += step) {
        int status;
        char kept = data[i];
        data[i] = (char)(kept ^ (1 << i % 8));
        save(file, data, n);
        status = convert(in, "changed.harp", "");
        wild += status != 0 && status != 1;
        whole += status == 1;
        data[i] = kept;
    }
    snprintf(what, sizeof what, "%s with changed bytes: %u wild ends, %u refused", file, (unsigned)wild,
             (unsigned)whole);
    check(wild == 0 && whole > 0, what);
    save(file, data, n);
    free(data);
}

static void test_attacks(void)
{
    write_llama2c("attack.bin", 0, 1);
    attack("attack.bin", "attack.bin", 28, 1);
    write_llama2c("attack.bin", 2, 0);
    attack("attack.bin", "attack.bin", 256, 3);
    make_folder("attack", "");
    write_safetensors("attack/model.safetensors", "BF16", UNTIED);
    attack("attack/model.safetensors", "attack", 2400, 7);
    attack("attack/config.json", "attack", 420, 3);
    write_gguf("attack.gguf", 3, GGUF_Q8_0, 1, 0, 1);
    attack("attack.gguf", "attack.gguf", 1800, 29);
}

/* A model of a gigabyte of zeros (a hole in the file) takes long enough to be interrupted. */
static void test_interrupted(int number)
{
    char path[LONGEST_PATH], out[LONGEST_PATH], command[2560];
    struct timespec moment = {0, 150000000};
    FILE *f = create("large.bin", path);
    int fields[7] = {4096, 4096, 3, 32, 32, 300, 32}, i, status, n_left;
    pid_t child;
    for (i = 0; i < 7; i++) put(f, (unsigned)fields[i], 4);
    fclose(f);
    if (truncate(path, 28 + 4LL * (300 * 4096 + 3 * (2 * 4096 + 7LL * 4096 * 4096) + 4096 + 32 * 128)) != 0) exit(2);
    snprintf(out, sizeof out, "%s/large.harp", folder);
    remove(out);
    child = fork();
    if (child == 0) {
        execl(converter, converter, path, out, "--quiet", (char *)NULL);
        _exit(127);
    }
    nanosleep(&moment, NULL);
    kill(child, number);
    waitpid(child, &status, 0);
    snprintf(command, sizeof command, "ls %s | grep -c '^large.harp' > %s/said", folder, folder);
    n_left = system(command) == 0; /* grep -c: 0 lines is status 1 */
    check(WIFSIGNALED(status) && !exists("large.harp"), "interrupted: no file under the target's name");
    if (number == SIGTERM) check(!n_left, "interrupted: no temporary file either");
    remove(path);
    snprintf(command, sizeof command, "rm -f %s/large.harp*", folder);
    if (system(command) != 0) exit(2);
}

static void test_runs(void)
{
    static const int32_t tokens[] = {1, 5, 9, 30, 2};
    harp_model *m = NULL;
    harp_session *s = NULL;
    harp_params p = harp_defaults();
    harp_error err;
    char path[LONGEST_PATH];
    harp_info info;
    snprintf(path, sizeof path, "%s/f32.harp", folder);
    check(harp_open(&m, path, &err) == HARP_OK && harp_verify(m, &err) == HARP_OK, "the library opens it");
    info = harp_model_info(m);
    check(info.bos == 1 && info.n_end == 2 && info.end[0] == 1 && info.end[1] == 2, "begin and end tokens");
    check(harp_session_open(&s, m, &p, &err) == HARP_OK && harp_feed(s, tokens, 5, &err) == HARP_OK
          && harp_next(s, NULL, &err) == HARP_OK, "and runs it");
    harp_session_close(s);
    harp_close(m);
    check(convert("f32", "f32", "") == 1 && exists("f32/config.json"), "a folder is not replaced");
    check(convert("f32", "f32/model.safetensors/x", "") == 1, "a target that cannot be");
    check(convert("nothing", "x.harp", "") == 1 && says("cannot be opened"), "an input that is not there");
    check(convert("f32", "", "--wrong") == 2 && says("usage"), "wrong usage");
}

/* ---- a vocabulary of 300,000 ---- */

enum { MANY = 300000, LONGEST_WORD = 6 };

/* Token id of the vocabulary: a byte, or two to six letters, for each place from a set of its own. Each word is merged
 * from the one without its last letter, and that letter; letters of later places do not merge with each other. */
static int word_of(int id, char *word)
{
    static const char *const sets[LONGEST_WORD] = {"abcdefghi", "jklmnopqr", "stuvwxyzA",
                                                   "BCDEFGHIJ", "KLMNOPQR",  "STUVWXYZ"};
    int n = 2, count = 81, i;
    for (id -= 256; id >= count; n++) id -= count, count *= (int)strlen(sets[n]);
    for (i = n - 1; i >= 0; i--) word[i] = sets[i][id % (int)strlen(sets[i])], id /= (int)strlen(sets[i]);
    word[n] = 0;
    return n;
}

/* GPT-2's way to write bytes: those that are not printed stand at U+0100 and up. */
static void byte_name(int byte, char *out)
{
    int printed = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE, c = byte, b;
    if (!printed)
        for (c = 0x100, b = 0; b < byte; b++) c += !((b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE);
    if (c >= 0x80) *out++ = (char)(0xC0 | c >> 6), c = 0x80 | (c & 63);
    out[0] = (char)c, out[1] = 0;
}

static void put_byte_name(FILE *f, int byte) /* within a JSON string */
{
    char name[4];
    byte_name(byte, name);
    if (byte == '"' || byte == '\\') fputc('\\', f);
    fputs(name, f);
}

static void write_large_vocabulary(void)
{
    char path[LONGEST_PATH], word[8];
    FILE *f = create("large/vocab.json", path);
    int id, n;
    for (id = 0; id < 256; id++) fputs(id ? ", \"" : "{\"", f), put_byte_name(f, id), fprintf(f, "\": %d", id);
    for (; id < MANY; id++) word_of(id, word), fprintf(f, ", \"%s\": %d", word, id);
    fputs("}", f), fclose(f);
    f = create("large/merges.txt", path);
    for (id = 256; id < MANY; id++) n = word_of(id, word), fprintf(f, "%.*s %s\n", n - 1, word, word + n - 1);
    fclose(f);
}

/* A template that names tokens of tokenizer_config.json by their place in a list. */
static const char listed_tokens[] =
    "{\"chat_template\": \"{% for m in messages %}{{ m.role + additional_special_tokens[1] + m.content }}"
    "{{ additional_special_tokens[0] }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant' }}"
    "{{ additional_special_tokens[1] }}{% endif %}\","
    " \"additional_special_tokens\": [\"<end>\", {\"content\": \"<role>\"}]}";

static void test_listed_tokens(const harp_model *m)
{
    harp_meta before, after;
    check(harp_meta_find(m, "chat.user.before", &before) && harp_meta_find(m, "chat.user.after", &after)
          && before.bytes == 10 && memcmp(before.data, "user<role>", 10) == 0
          && after.bytes == 5 && memcmp(after.data, "<end>", 5) == 0, "a chat template that lists tokens");
}

/* All rows of the embedding are zero but for two, which differ in sign: so do their logits, and one of
 * them is chosen. */
static void test_large_logits(const harp_model *m, int a, int b)
{
    harp_session *s = NULL;
    harp_params p = harp_defaults();
    harp_step step;
    harp_error err;
    const float *logits;
    int32_t tokens[2];
    tokens[0] = a, tokens[1] = b;
    p.harp = 0, p.temperature = 0.0f;
    check(harp_session_open(&s, m, &p, &err) == HARP_OK && harp_feed(s, tokens, 2, &err) == HARP_OK
          && harp_next(s, &step, &err) == HARP_OK, "300,000 tokens: a step");
    logits = s ? harp_logits(s, HARP_VANILLA) : NULL;
    check(logits && logits[b] == -logits[a] && logits[a] != 0.0f && logits[MANY / 2] == 0.0f
          && step.token == (logits[a] > 0.0f ? a : b), "300,000 tokens: logits of the first and the last");
    harp_session_close(s);
}

static void test_large_vocabulary(void)
{
    matrix kept = model[EMB];
    harp_model *m = NULL;
    harp_error err;
    char path[LONGEST_PATH], word[8];
    int32_t ids[16];
    size_t n = 0, bytes = 0;
    make_folder_of(MANY, "large", ", \"tie_word_embeddings\": true");
    write_large_vocabulary();
    write_text("large/tokenizer_config.json", listed_tokens);
    model[EMB].rows = MANY;
    model[EMB].w = calloc((size_t)MANY * DIM, sizeof(float));
    for (n = 0; n < DIM; n++) model[EMB].w[(size_t)(MANY - 1) * DIM + n] = -(model[EMB].w[5 * DIM + n] = kept.w[n]);
    write_safetensors("large/model.safetensors", "F16", TIED);
    free(model[EMB].w);
    model[EMB] = kept;
    check(convert("large", "large.harp", "") == 0, "300,000 tokens: converted");
    snprintf(path, sizeof path, "%s/large.harp", folder);
    check(harp_open(&m, path, &err) == HARP_OK && harp_model_info(m).vocab == MANY, "300,000 tokens: opened");
    if (!m) return;
    word_of(MANY - 1, word);
    check(harp_encode(m, word, strlen(word), 0, ids, 16, &n, &err) == HARP_OK && n == 1 && ids[0] == MANY - 1,
          "300,000 tokens: the last is one token");
    check(harp_token_text(m, MANY - 1, &bytes) && bytes == strlen(word)
              && memcmp(harp_token_text(m, MANY - 1, &bytes), word, bytes) == 0,
          "300,000 tokens: and comes back");
    test_large_logits(m, 5, MANY - 1);
    test_listed_tokens(m);
    harp_close(m);
    remove_file("large.harp"), remove_file("large/model.safetensors");
}

/* ---- Gemma: the constant that scales embeddings has the type that the model was trained in ---- */

enum { G_DIM = 96, G_VOCAB = 8, G_TENSORS = 11 };

static const struct {
    const char *folder_name, *gguf_name;
    int is_norm, rows;
} gemma[G_TENSORS] = {{"model.embed_tokens.weight", "token_embd.weight", 0, G_VOCAB},
                      {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", 1, 1},
                      {"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", 0, G_DIM},
                      {"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", 0, G_DIM},
                      {"model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", 0, G_DIM},
                      {"model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight", 0, G_DIM},
                      {"model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", 1, 1},
                      {"model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight", 0, G_DIM},
                      {"model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight", 0, G_DIM},
                      {"model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", 0, G_DIM},
                      {"model.norm.weight", "output_norm.weight", 1, 1}};

/* Matrices on the grid of int8; norms whose w has 7, 10 or 23 bits behind the first. */
static void make_gemma(float w[G_TENSORS][G_DIM * G_DIM], int bits)
{
    int t, i, k;
    for (t = 0; t < G_TENSORS; t++)
        for (i = 0; i < gemma[t].rows * G_DIM; i++) {
            long m = 1;
            for (k = 0; k < bits; k++) m = 2 * m + chance(2);
            w[t][i] = !gemma[t].is_norm ? (float)(chance(255) - 127) / 1024.0f
                      : (float)(chance(2) ? m : -m) / (float)(1L << bits) / (float)(2 << chance(4));
            if (!gemma[t].is_norm && i % 32 == 0) w[t][i] = 127.0f / 1024.0f;
        }
}

static void write_gemma_folder(float w[G_TENSORS][G_DIM * G_DIM], const char *dtype)
{
    char path[LONGEST_PATH], header[4096] = "{", text[1024];
    FILE *f;
    int t, i, at = 0;
    snprintf(path, sizeof path, "%s/gemma", folder);
    mkdir(path, 0777);
    snprintf(text, sizeof text,
             "{\"model_type\": \"gemma\", \"torch_dtype\": \"%s\", \"hidden_size\": 96, \"num_hidden_layers\": 1,"
             " \"num_attention_heads\": 3, \"num_key_value_heads\": 3, \"head_dim\": 32, \"intermediate_size\": 96,"
             " \"max_position_embeddings\": 32, \"vocab_size\": 8, \"rms_norm_eps\": 1e-6, \"rope_theta\": 10000.0}",
             dtype);
    write_text("gemma/config.json", text);
    for (t = 0; t < G_TENSORS; t++) {
        int n = 4 * gemma[t].rows * G_DIM;
        snprintf(header + strlen(header), sizeof header - strlen(header), "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[",
                 t ? "," : "", gemma[t].folder_name);
        if (!gemma[t].is_norm) snprintf(header + strlen(header), sizeof header - strlen(header), "%d,", gemma[t].rows);
        snprintf(header + strlen(header), sizeof header - strlen(header), "%d],\"data_offsets\":[%d,%d]}", G_DIM, at,
                 at + n);
        at += n;
    }
    strcat(header, "}");
    f = create("gemma/model.safetensors", path);
    put(f, strlen(header), 8), fputs(header, f);
    for (t = 0; t < G_TENSORS; t++)
        for (i = 0; i < gemma[t].rows * G_DIM; i++) put(f, cv_bits_of_float(w[t][i]), 4);
    fclose(f);
}

/* Matrices as Q8_0, which keeps them and hides their type; norms as 1 + w. */
static void write_gemma_gguf(float w[G_TENSORS][G_DIM * G_DIM])
{
    static const struct {
        const char *key;
        int value;
    } facts[] = {{"gemma.context_length", 32}, {"gemma.embedding_length", 96}, {"gemma.block_count", 1},
                 {"gemma.feed_forward_length", 96}, {"gemma.attention.head_count", 3},
                 {"gemma.attention.head_count_kv", 3}, {"gemma.attention.key_length", 32},
                 {"gemma.attention.value_length", 32}};
    char path[LONGEST_PATH];
    FILE *f = create("gemma.gguf", path);
    int t, i, at = 0;
    put(f, 0x46554747u, 4), put(f, 3, 4), put(f, G_TENSORS, 8), put(f, 10, 8);
    put_string(f, "general.architecture"), put(f, 8, 4), put_string(f, "gemma");
    for (i = 0; i < 8; i++) put_integer(f, facts[i].key, facts[i].value);
    put_string(f, "gemma.attention.layer_norm_rms_epsilon"), put(f, 6, 4), put(f, cv_bits_of_float(1e-6f), 4);
    for (t = 0; t < G_TENSORS; t++) {
        int n = gemma[t].rows * G_DIM;
        put_string(f, gemma[t].gguf_name), put(f, gemma[t].is_norm ? 1 : 2, 4), put(f, G_DIM, 8);
        if (!gemma[t].is_norm) put(f, (unsigned)gemma[t].rows, 8);
        put(f, gemma[t].is_norm ? GGUF_F32 : GGUF_Q8_0, 4), put(f, (unsigned)at, 8);
        at += ((gemma[t].is_norm ? 4 * n : n / 32 * 34) + 31) / 32 * 32;
    }
    while (ftell(f) % 32) fputc(0, f);
    for (t = 0; t < G_TENSORS; t++) {
        for (i = 0; i < gemma[t].rows * G_DIM; i++) {
            if (gemma[t].is_norm) put(f, cv_bits_of_float(1.0f + w[t][i]), 4);
            if (!gemma[t].is_norm && i % 32 == 0) put(f, half_of(1.0f / 1024.0f), 2);
            if (!gemma[t].is_norm) fputc((int)(w[t][i] * 1024.0f), f);
        }
        while (ftell(f) % 32) fputc(0, f);
    }
    fclose(f);
}

static void gemma_logits(const char *file, float *logits)
{
    static const int32_t tokens[] = {1, 5, 3};
    harp_model *m = NULL;
    harp_session *s = NULL;
    harp_params p = harp_defaults();
    harp_error err;
    char path[LONGEST_PATH];
    p.harp = 0;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (harp_open(&m, path, &err) == HARP_OK && harp_session_open(&s, m, &p, &err) == HARP_OK
        && harp_feed(s, tokens, 3, &err) == HARP_OK && harp_next(s, NULL, &err) == HARP_OK)
        memcpy(logits, harp_logits(s, HARP_VANILLA), G_VOCAB * sizeof *logits);
    harp_session_close(s);
    harp_close(m);
}

static void test_gemma(void)
{
    static const struct {
        const char *dtype;
        int bits;
        double scale; /* sqrt(96) is 9.797959 */
    } types[] = {{"bfloat16", 7, 9.8125}, {"float16", 10, 9.796875}, {"float32", 23, 9.7979593276977539}};
    static float w[G_TENSORS][G_DIM * G_DIM];
    int i;
    for (i = 0; i < 3; i++) {
        float a[G_VOCAB] = {0}, b[G_VOCAB] = {0};
        harp_model *m = NULL;
        harp_meta scale = {0};
        char path[LONGEST_PATH];
        make_gemma(w, types[i].bits);
        write_gemma_folder(w, types[i].dtype), write_gemma_gguf(w);
        check(convert("gemma", "a.harp", "") == 0 && convert("gemma.gguf", "b.harp", "") == 0
              && same_tensors("a.harp", "b.harp"), "Gemma, a folder and a GGUF file: the same tensors");
        gemma_logits("a.harp", a), gemma_logits("b.harp", b);
        check(a[0] != 0.0f && memcmp(a, b, sizeof a) == 0, "Gemma, a folder and a GGUF file: the same logits");
        snprintf(path, sizeof path, "%s/b.harp", folder);
        check(harp_open(&m, path, NULL) == HARP_OK && harp_meta_find(m, "embedding_scale", &scale)
              && scale.real == types[i].scale, types[i].dtype);
        harp_close(m);
    }
}

/* ---- Gemma 3 with vision: its language model alone ---- */

/* The sizes that text_config leaves out are those that transformers' class assumes. */
#define G3_SIZES "\"hidden_size\": 64, \"intermediate_size\": 32, \"num_hidden_layers\": 1, \"vocab_size\": 20," \
    " \"sliding_window\": 8, \"rope_scaling\": {\"factor\": 8.0, \"rope_type\": \"linear\"}"
#define G3_ASSUMED ", \"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 256," \
    " \"max_position_embeddings\": 131072, \"rms_norm_eps\": 1e-6, \"rope_theta\": 1000000.0"
#define G3_OUTSIDE "\"eos_token_id\": [1, 6], \"bos_token_id\": 2, \"torch_dtype\": \"bfloat16\""

static const struct {
    const char *name; /* behind "model."; '*' begins one of the vision part */
    int rows, cols;
} gemma3[] = {{"embed_tokens", 20, 64},
              {"layers.0.input_layernorm", 0, 64},
              {"layers.0.post_attention_layernorm", 0, 64},
              {"layers.0.pre_feedforward_layernorm", 0, 64},
              {"layers.0.post_feedforward_layernorm", 0, 64},
              {"layers.0.self_attn.q_norm", 0, 256},
              {"layers.0.self_attn.k_norm", 0, 256},
              {"layers.0.self_attn.q_proj", 2048, 64},
              {"layers.0.self_attn.k_proj", 1024, 64},
              {"layers.0.self_attn.v_proj", 1024, 64},
              {"layers.0.self_attn.o_proj", 64, 2048},
              {"layers.0.mlp.gate_proj", 32, 64},
              {"layers.0.mlp.up_proj", 32, 64},
              {"layers.0.mlp.down_proj", 64, 32},
              {"norm", 0, 64},
              {"*vision_tower.vision_model.embeddings.patch_embedding", 3, 5},
              {"*multi_modal_projector.mm_soft_emb_norm", 0, 7}};
enum { G3_TENSORS = sizeof gemma3 / sizeof *gemma3 };

/* style 0: a model of text alone; 1 and 2: inside a larger one, as older and newer transformers name it; 3: Gemma 2,
 * whose queries and keys have no norms. */
static void write_gemma3(const char *name, int style, const char *configured)
{
    static const char *const before[] = {"model.", "language_model.model.", "model.language_model.", "model."};
    char path[LONGEST_PATH], file[64], header[8192] = "{\"__metadata__\":{\"format\":\"pt\"}";
    FILE *f;
    int t, i, at = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    mkdir(path, 0777);
    snprintf(file, sizeof file, "%s/config.json", name), write_text(file, configured);
    for (t = 0; t < G3_TENSORS; t++) {
        int vision = gemma3[t].name[0] == '*', n = 4 * (gemma3[t].rows ? gemma3[t].rows : 1) * gemma3[t].cols;
        if ((vision && (style == 0 || style == 3)) || (style == 3 && strstr(gemma3[t].name, "attn.")
                                                       && strstr(gemma3[t].name, "_norm")))
            continue;
        snprintf(header + strlen(header), sizeof header - strlen(header),
                 ",\"%s%s.weight\":{\"dtype\":\"F32\",\"shape\":[",
                 !vision      ? before[style]
                 : style == 2 ? "model."
                              : "",
                 gemma3[t].name + vision);
        if (gemma3[t].rows) snprintf(header + strlen(header), sizeof header - strlen(header), "%d,", gemma3[t].rows);
        snprintf(header + strlen(header), sizeof header - strlen(header), "%d],\"data_offsets\":[%d,%d]}",
                 gemma3[t].cols, at, at + n);
        at += n;
    }
    strcat(header, "}");
    snprintf(file, sizeof file, "%s/model.safetensors", name);
    f = create(file, path);
    put(f, strlen(header), 8), fputs(header, f);
    for (i = 0; i < at / 4; i++) put(f, cv_bits_of_float((float)(i * 7919 % 255 - 127) / 512.0f), 4);
    fclose(f);
}

static int same_files(const char *a, const char *b)
{
    size_t n = 0, m = 0;
    char *x = load(a, &n), *y = load(b, &m);
    int same = x && y && n == m && memcmp(x, y, n) == 0;
    free(x), free(y);
    return same;
}

static void make_place(const char *name)
{
    char path[LONGEST_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    mkdir(path, 0777);
}

static void test_gemma3_vision(void)
{
    static const char *const outer = "{\"architectures\": [\"Gemma3ForConditionalGeneration\"],"
        " \"model_type\": \"gemma3\", \"boi_token_index\": 3, \"image_token_index\": 5, \"mm_tokens_per_image\": 256,"
        " \"vision_config\": {\"x\": 1}, " G3_OUTSIDE ", \"text_config\": {%s" G3_SIZES "}%s}";
    static const struct {
        const char *inside, *outside, *word;
    } refused[] = {{"\"num_experts\": 8, ", "", "num_experts (8)"},
                   {"\"model_type\": \"llama\", ", "", "text_config.model_type is llama"},
                   {"", ", \"audio_config\": {\"y\": 2}", "audio_config (an object)"},
                   {"", ", \"quantization_config\": {\"quant_method\": \"gptq\"}", "quantized by gptq"},
                   {"\"use_bidirectional_attention\": true, ", "", "use_bidirectional_attention is true"}};
    char text[2048];
    size_t i;
    make_place("text"), make_place("older"), make_place("newer");
    write_gemma3("text/g3", 0, "{\"architectures\": [\"Gemma3ForCausalLM\"], \"model_type\": \"gemma3_text\", "
                 G3_OUTSIDE ", " G3_SIZES G3_ASSUMED "}");
    check(convert("text/g3", "g3.harp", "--quiet") == 0, "Gemma 3, text alone");
    snprintf(text, sizeof text, outer, "\"model_type\": \"gemma3_text\", ", "");
    write_gemma3("older/g3", 1, text);
    check(convert("older/g3", "g3v.harp", "") == 0 && same_files("g3.harp", "g3v.harp"),
          "Gemma 3 with vision, older names: the same file as of its text part alone");
    check(convert("older/g3", "g3v.harp", "") == 0 && says("note: the vision part is left out"), "and says so");
    write_gemma3("newer/g3", 2, text);
    check(convert("newer/g3", "g3v.harp", "") == 0 && same_files("g3.harp", "g3v.harp"),
          "Gemma 3 with vision, newer names: the same file");
    write_gemma3("text/g3", 1, "{\"model_type\": \"gemma3_text\", " G3_SIZES "}");
    check(convert("text/g3", "g3v.harp", "") == 1 && says("tensor model.embed_tokens.weight is missing"),
          "a model of text alone has no names of one with vision");
    for (i = 0; i < sizeof refused / sizeof *refused; i++) {
        snprintf(text, sizeof text, outer, refused[i].inside, refused[i].outside);
        write_gemma3("newer/g3", 2, text);
        remove_file("g3v.harp");
        check(convert("newer/g3", "g3v.harp", "") == 1 && says(refused[i].word) && !exists("g3v.harp"),
              refused[i].word);
    }
    write_gemma3("newer/g3", 2, "{\"model_type\": \"gemma3\", \"text_config\": 3}");
    check(convert("newer/g3", "g3v.harp", "") == 1 && says("text_config is a number; an object is wanted"),
          "text_config");
}

/* ---- gated delta nets: the same weights as Qwen3-Next and as Qwen3.5 have them ---- */

enum { DN_KEY = 16, DN_KEYS = 2, DN_HEADS = 4, DN_SHARE = 2 * DN_KEY /* values of a head of keys */ };
enum { DN_NEXT = 1, DN_SPLIT = 2, DN_BOTH = 3, DN_OTHER = 4 };

static const struct {
    const char *name, *shape;
    int rows, cols, where; /* of DN_NEXT and so on; the last: what is left out */
} delta[] = {{"embed_tokens.weight", "8,32", 8, 32, DN_BOTH},
             {"norm.weight", "32", 1, 32, DN_BOTH},
             {"layers.0.input_layernorm.weight", "32", 1, 32, DN_BOTH},
             {"layers.0.post_attention_layernorm.weight", "32", 1, 32, DN_BOTH},
             {"layers.0.linear_attn.in_proj_qkvz.weight", "192,32", 192, 32, DN_NEXT},
             {"layers.0.linear_attn.in_proj_ba.weight", "8,32", 8, 32, DN_NEXT},
             {"layers.0.linear_attn.in_proj_qkv.weight", "128,32", 128, 32, DN_SPLIT},
             {"layers.0.linear_attn.in_proj_z.weight", "64,32", 64, 32, DN_SPLIT},
             {"layers.0.linear_attn.in_proj_b.weight", "4,32", 4, 32, DN_SPLIT},
             {"layers.0.linear_attn.in_proj_a.weight", "4,32", 4, 32, DN_SPLIT},
             {"layers.0.linear_attn.conv1d.weight", "128,1,4", 128, 4, DN_BOTH},
             {"layers.0.linear_attn.A_log", "4", 1, 4, DN_BOTH},
             {"layers.0.linear_attn.dt_bias", "4", 1, 4, DN_BOTH},
             {"layers.0.linear_attn.norm.weight", "16", 1, 16, DN_BOTH},
             {"layers.0.linear_attn.out_proj.weight", "32,64", 32, 64, DN_BOTH},
             {"layers.1.input_layernorm.weight", "32", 1, 32, DN_BOTH},
             {"layers.1.post_attention_layernorm.weight", "32", 1, 32, DN_BOTH},
             {"layers.1.self_attn.q_proj.weight", "64,32", 64, 32, DN_BOTH},
             {"layers.1.self_attn.k_proj.weight", "16,32", 16, 32, DN_BOTH},
             {"layers.1.self_attn.v_proj.weight", "16,32", 16, 32, DN_BOTH},
             {"layers.1.self_attn.o_proj.weight", "32,32", 32, 32, DN_BOTH},
             {"layers.1.self_attn.q_norm.weight", "16", 1, 16, DN_BOTH},
             {"layers.1.self_attn.k_norm.weight", "16", 1, 16, DN_BOTH},
             {"layers.0.mlp.gate_proj.weight", "16,32", 16, 32, DN_BOTH},
             {"layers.0.mlp.up_proj.weight", "16,32", 16, 32, DN_BOTH},
             {"layers.0.mlp.down_proj.weight", "32,16", 32, 16, DN_BOTH},
             {"layers.1.mlp.gate_proj.weight", "16,32", 16, 32, DN_BOTH},
             {"layers.1.mlp.up_proj.weight", "16,32", 16, 32, DN_BOTH},
             {"layers.1.mlp.down_proj.weight", "32,16", 32, 16, DN_BOTH},
             {"mtp.fc.weight", "2,3", 2, 3, DN_OTHER},
             {"visual.patch_embed.weight", "3,5", 3, 5, DN_OTHER}};
enum { DN_TENSORS = sizeof delta / sizeof *delta };

/* Which row of queries, keys, values, gates (parts 0 to 3), b or a (4, 5) a row of a tensor is; others are their own. */
static void find_delta_row(int t, int row, int *part, int *own)
{
    int group = 2 * DN_KEY + 2 * DN_SHARE, g = row / group, k = row % group;
    *part = 10 + t, *own = row;
    if (strstr(delta[t].name, "in_proj_qkvz")) {
        *part = k < DN_KEY ? 0 : k < 2 * DN_KEY ? 1 : k < 2 * DN_KEY + DN_SHARE ? 2 : 3;
        *own = *part < 2 ? g * DN_KEY + k % DN_KEY : g * DN_SHARE + (k - 2 * DN_KEY) % DN_SHARE;
    } else if (strstr(delta[t].name, "in_proj_qkv")) {
        *part = row < DN_KEYS * DN_KEY ? 0 : row < 2 * DN_KEYS * DN_KEY ? 1 : 2;
        *own = row - *part * DN_KEYS * DN_KEY;
    } else if (strstr(delta[t].name, "in_proj_z")) {
        *part = 3;
    } else if (strstr(delta[t].name, "in_proj_ba")) {
        *part = row % 4 < 2 ? 4 : 5, *own = row / 4 * 2 + row % 2;
    } else if (strstr(delta[t].name, "in_proj_b") || strstr(delta[t].name, "in_proj_a")) {
        *part = strstr(delta[t].name, "in_proj_b") ? 4 : 5;
    }
}

static void write_delta(const char *name, int where, const char *before, const char *configured)
{
    char file[64], path[LONGEST_PATH], header[8192] = "{\"__metadata__\":{\"format\":\"pt\"}";
    int t, at = 0, row, col, part, own;
    FILE *f;
    make_place(name);
    snprintf(file, sizeof file, "%s/config.json", name), write_text(file, configured);
    for (t = 0; t < DN_TENSORS; t++) {
        int n = 4 * delta[t].rows * delta[t].cols;
        if (!(delta[t].where & where)) continue;
        snprintf(header + strlen(header), sizeof header - strlen(header),
                 ",\"%s%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%d,%d]}",
                 delta[t].where != DN_OTHER ? before : delta[t].name[0] == 'm' ? "" : "model.", delta[t].name,
                 delta[t].shape, at, at + n);
        at += n;
    }
    strcat(header, "}");
    snprintf(file, sizeof file, "%s/model.safetensors", name);
    f = create(file, path);
    put(f, strlen(header), 8), fputs(header, f);
    for (t = 0; t < DN_TENSORS; t++)
        for (row = 0; row < delta[t].rows && delta[t].where & where; row++)
            for (col = 0; col < delta[t].cols; col++) {
                find_delta_row(t, row, &part, &own);
                put(f, cv_bits_of_float((float)((part * 131 + own * 37 + col * 7919) % 255 - 127) / 512.0f), 4);
            }
    fclose(f);
}

#define DN_SIZES \
    "\"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1," \
    " \"head_dim\": 16, \"intermediate_size\": 16, \"vocab_size\": 8, \"max_position_embeddings\": 32," \
    " \"rms_norm_eps\": 1e-6, \"full_attention_interval\": 2, \"linear_num_value_heads\": 4," \
    " \"linear_num_key_heads\": 2, \"linear_key_head_dim\": 16, \"linear_value_head_dim\": 16," \
    " \"tie_word_embeddings\": true"

static void test_delta_nets(void)
{
    static const char *const split = "{\"model_type\": \"qwen3_5_text\", " DN_SIZES "}";
    static const char *const seeing = "{\"model_type\": \"qwen3_5\", \"image_token_id\": 5, \"vision_config\": {},"
        " \"text_config\": {\"model_type\": \"qwen3_5_text\", \"mtp_num_hidden_layers\": 1, " DN_SIZES "}}";
    write_delta("dn", DN_NEXT, "model.", "{\"model_type\": \"qwen3_next\", \"num_experts\": 0, " DN_SIZES "}");
    check(convert("dn", "next.harp", "") == 0, "gated delta nets, Qwen3-Next's tensors");
    write_delta("dn", DN_SPLIT, "model.", split);
    check(convert("dn", "split.harp", "") == 0 && same_tensors("next.harp", "split.harp"),
          "Qwen3.5's: the same model, for the weights are the same");
    write_delta("dn", DN_SPLIT | DN_OTHER, "model.language_model.", seeing);
    check(convert("dn", "seeing.harp", "") == 0 && says("note: the part for images is left out")
          && same_tensors("split.harp", "seeing.harp"), "one that sees, with a layer for drafts: both are left out");
    write_delta("dn", DN_BOTH, "model.", split);
    check(convert("dn", "both.harp", "") == 1 && says("weight is not part of a qwen3_5_text model"),
          "both kinds of tensors at once");
    write_delta("dn", DN_SPLIT, "model.",
                "{\"model_type\": \"qwen3_5_text\", \"linear_conv_kernel_dim\": 3, " DN_SIZES "}");
    check(convert("dn", "bad.harp", "") == 1 && says("conv1d.weight has the shape [1][512]"), "another convolution");
}

/* ---- gpt-oss: experts in MXFP4 ---- */

enum { OSS_DIM = 64, OSS_FFN = 32, OSS_EXPERTS = 2, OSS_BLOCKS = OSS_EXPERTS * 2 * OSS_FFN * OSS_DIM / 32 };

static const struct {
    const char *name, *shape;
    int elements; /* of BF16 */
} oss[] = {{"model.embed_tokens.weight", "8,64", 8 * OSS_DIM},
           {"lm_head.weight", "8,64", 8 * OSS_DIM},
           {"model.norm.weight", "64", OSS_DIM},
           {"model.layers.0.input_layernorm.weight", "64", OSS_DIM},
           {"model.layers.0.post_attention_layernorm.weight", "64", OSS_DIM},
           {"model.layers.0.self_attn.q_proj.weight", "64,64", OSS_DIM * OSS_DIM},
           {"model.layers.0.self_attn.k_proj.weight", "32,64", 32 * OSS_DIM},
           {"model.layers.0.self_attn.v_proj.weight", "32,64", 32 * OSS_DIM},
           {"model.layers.0.self_attn.o_proj.weight", "64,64", OSS_DIM * OSS_DIM},
           {"model.layers.0.self_attn.q_proj.bias", "64", OSS_DIM},
           {"model.layers.0.self_attn.k_proj.bias", "32", 32},
           {"model.layers.0.self_attn.v_proj.bias", "32", 32},
           {"model.layers.0.self_attn.o_proj.bias", "64", OSS_DIM},
           {"model.layers.0.self_attn.sinks", "2", 2},
           {"model.layers.0.mlp.router.weight", "2,64", OSS_EXPERTS * OSS_DIM},
           {"model.layers.0.mlp.router.bias", "2", OSS_EXPERTS},
           {"model.layers.0.mlp.experts.gate_up_proj_bias", "2,64", OSS_EXPERTS * 2 * OSS_FFN},
           {"model.layers.0.mlp.experts.down_proj_bias", "2,64", OSS_EXPERTS * OSS_DIM}};
enum { OSS_TENSORS = sizeof oss / sizeof *oss };

/* The experts of one matrix: out rows of in weights each, in blocks of 32 with a scale. */
typedef struct oss_experts {
    const char *name;
    int out, in;
    unsigned char pairs[OSS_BLOCKS * 16], scales[OSS_BLOCKS];
} oss_experts;

static oss_experts oss_matrices[2] = {{.name = "gate_up_proj", .out = 2 * OSS_FFN, .in = OSS_DIM},
                                      {.name = "down_proj", .out = OSS_DIM, .in = OSS_FFN}};

/* Weight c of row r of expert e, by the definition of the type, as BF16; integers have no -0. */
static unsigned oss_weight(const oss_experts *x, int e, int r, int c)
{
    static const double sizes[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    int block = ((e * x->out + r) * x->in + c) / 32, nibble = x->pairs[block * 16 + c % 32 / 2] >> 4 * (c % 2) & 15;
    float w = (float)ldexp(sizes[nibble & 7], x->scales[block] - 127);
    return cv_bits_of_float(w) >> 16 | (nibble > 8 ? 0x8000u : 0u);
}

static void put_oss_header(char *header, size_t room, int in_blocks, const char *spoilt, const char *shape)
{
    int t, at = 0;
    strcpy(header, "{");
    for (t = 0; t < OSS_TENSORS + (in_blocks ? 4 : 2); t++) {
        const oss_experts *x = &oss_matrices[t - OSS_TENSORS < 2 ? t > OSS_TENSORS : t > OSS_TENSORS + 2];
        char name[96], dims[64];
        int k = t - OSS_TENSORS, n = OSS_EXPERTS * x->out * x->in;
        if (in_blocks && k >= 0) x = &oss_matrices[k / 2], n = OSS_EXPERTS * x->out * x->in / (k % 2 ? 32 : 2);
        if (k < 0) snprintf(name, sizeof name, "%s", oss[t].name), snprintf(dims, sizeof dims, "%s", oss[t].shape);
        else
            snprintf(name, sizeof name, "model.layers.0.mlp.experts.%s%s", x->name,
                     !in_blocks ? "" : k % 2 ? "_scales" : "_blocks");
        if (k >= 0 && !in_blocks) snprintf(dims, sizeof dims, "2,%d,%d", x->in, x->out);
        if (k >= 0 && in_blocks) snprintf(dims, sizeof dims, k % 2 ? "2,%d,%d" : "2,%d,%d,16", x->out, x->in / 32);
        if (k < 0) n = oss[t].elements;
        if (spoilt && strstr(name, spoilt)) snprintf(strstr(shape, ",") ? dims : name, 64, "%s", shape);
        if (k < 0 || !in_blocks) n *= 2;
        snprintf(header + strlen(header), room - strlen(header),
                 "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%d,%d]}", t ? "," : "", name,
                 k < 0 || !in_blocks ? "BF16" : "U8", dims, at, at + n);
        at += n;
    }
    strcat(header, "}");
}

/* spoilt: a tensor, of which shape is another shape or, without a comma, another name. */
static void write_oss(const char *name, int in_blocks, const char *spoilt, const char *shape)
{
    static char header[1 << 14];
    char path[LONGEST_PATH], file[64];
    FILE *f;
    int t, i, e, c, r, k;
    make_place(name), snprintf(file, sizeof file, "%s/config.json", name);
    write_text(file, "{\"model_type\": \"gpt_oss\", \"vocab_size\": 8, \"hidden_size\": 64, \"num_hidden_layers\": 1,"
                     " \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 32,"
                     " \"intermediate_size\": 32, \"max_position_embeddings\": 32, \"rms_norm_eps\": 1e-5,"
                     " \"num_local_experts\": 2, \"num_experts_per_tok\": 2, \"sliding_window\": 8,"
                     " \"quantization_config\": {\"quant_method\": \"mxfp4\"}}");
    put_oss_header(header, sizeof header, in_blocks, spoilt, shape);
    snprintf(file, sizeof file, "%s/model.safetensors", name), f = create(file, path);
    put(f, strlen(header), 8), fputs(header, f);
    for (t = 0; t < OSS_TENSORS; t++)
        for (i = 0; i < oss[t].elements; i++) put(f, cv_bits_of_float((float)(i * 7919 % 255 - 127) / 128.0f) >> 16, 2);
    for (k = 0; k < 2; k++) {
        const oss_experts *x = &oss_matrices[k];
        size_t blocks = (size_t)(OSS_EXPERTS * x->out * x->in / 32);
        if (in_blocks) fwrite(x->pairs, 1, blocks * 16, f), fwrite(x->scales, 1, blocks, f);
        else
            for (e = 0; e < OSS_EXPERTS; e++)
                for (c = 0; c < x->in; c++)
                    for (r = 0; r < x->out; r++) put(f, oss_weight(x, e, r, c), 2);
    }
    fclose(f);
}

static void test_mxfp4_folder(void)
{
    static const struct {
        const char *spoilt, *shape, *word;
    } refused[] = {{"gate_up_proj_scales", "x", "there is no tensor of its scales"},
                   {"gate_up_proj_blocks", "2,32,4,16", "demand U8 [2][64][32], and a scale for 16 of these"},
                   {"gate_up_proj_blocks", "2,64,1,32", NULL},
                   {"gate_up_proj_scales", "2,32,4", "demand U8 [2][64][32]"},
                   {"gate_up_proj_scales", "2,2,32,2", "demand U8 [2][64][32]"},
                   {"down_proj_blocks", "64,1,2,16", "demand U8 [2][64][16]"},
                   {"down_proj_scales", "128,1", "demand U8 [2][64][16]"},
                   {"down_proj_blocks", "2,64,2,2,4", "demand U8 [2][64][16]"}};
    size_t i, k;
    for (k = 0; k < 2; k++) {
        for (i = 0; i < sizeof oss_matrices[k].pairs; i++) oss_matrices[k].pairs[i] = (unsigned char)chance(256);
        for (i = 0; i < sizeof oss_matrices[k].scales; i++)
            oss_matrices[k].scales[i] = (unsigned char)(118 + chance(6));
    }
    write_oss("oss", 1, NULL, NULL), write_oss("oss16", 0, NULL, NULL);
    check(convert("oss", "four.harp", "--errors") == 0 && says("SNR exact") && says("(12288 of them in 4 bits)"),
          "MXFP4 in a folder stays as it is");
    check(convert("oss", "a.harp", "--quiet --weights f32") == 0
          && convert("oss16", "b.harp", "--quiet --weights f32") == 0 && same_tensors("a.harp", "b.harp"),
          "as floats it is what the definition says");
    check(convert("oss", "a.harp", "--quiet --bits 8 --errors") == 0 && type_of("a.harp", "0.down") == 2, "as int8");
    for (i = 0; i < sizeof refused / sizeof *refused; i++) {
        write_oss("oss", 1, refused[i].spoilt, refused[i].shape), remove_file("four.harp");
        if (!refused[i].word) check(convert("oss", "four.harp", "--quiet") == 0, "the same bytes in other blocks");
        else
            check(convert("oss", "four.harp", "--quiet") == 1 && says(refused[i].word) && !exists("four.harp"),
                  refused[i].word);
    }
    oss_matrices[1].scales[5] = 255, write_oss("oss", 1, NULL, NULL);
    check(convert("oss", "four.harp", "--quiet") == 1 && says("down_proj_blocks: a scale is 1.7"),
          "a scale that is none");
    oss_matrices[1].scales[5] = 144, write_oss("oss", 1, NULL, NULL);
    check(convert("oss", "four.harp", "--quiet") == 1 && says("a scale is 65536"), "a scale too large for a half");
}

/* ---- keys of GGUF files ---- */

/* A key of a family: its value, or, if there are several, an array. `is_real`: it counts thousandths. */
typedef struct gguf_key {
    const char *key;
    int is_real, n, values[4];
} gguf_key;

enum { MOST_KEYS = 24 };

static const struct gguf_family {
    const char *name;
    gguf_key keys[MOST_KEYS];
} gguf_families[] = {
    {"gemma4",
     {{"context_length", 0, 1, {64}}, {"embedding_length", 0, 1, {16}}, {"block_count", 0, 1, {3}},
      {"attention.head_count", 0, 1, {2}}, {"attention.head_count_kv", 0, 1, {1}},
      {"attention.key_length", 0, 1, {32}}, {"attention.value_length", 0, 1, {32}},
      {"attention.key_length_swa", 0, 1, {16}}, {"attention.value_length_swa", 0, 1, {16}},
      {"rope.dimension_count", 0, 1, {4}}, {"rope.dimension_count_swa", 0, 1, {16}},
      {"attention.shared_kv_layers", 0, 1, {1}}, {"embedding_length_per_layer_input", 0, 1, {16}},
      {"attention.sliding_window", 0, 1, {8}}, {"attention.sliding_window_pattern", 0, 3, {1, 0, 0}},
      {"feed_forward_length", 0, 3, {8, 8, 16}}, {"final_logit_softcapping", 1, 1, {30000}},
      {"attention.layer_norm_rms_epsilon", 1, 1, {1}}}},
    {"gpt-oss",
     {{"context_length", 0, 1, {64}}, {"embedding_length", 0, 1, {16}}, {"block_count", 0, 1, {2}},
      {"attention.head_count", 0, 1, {2}}, {"attention.head_count_kv", 0, 1, {1}},
      {"attention.key_length", 0, 1, {16}}, {"attention.value_length", 0, 1, {16}},
      {"rope.dimension_count", 0, 1, {4}}, {"attention.sliding_window", 0, 1, {8}},
      {"feed_forward_length", 0, 1, {32}}, {"expert_count", 0, 1, {4}}, {"expert_used_count", 0, 1, {2}},
      {"expert_feed_forward_length", 0, 1, {32}}, {"rope.scaling.factor", 1, 1, {4000}},
      {"rope.scaling.original_context_length", 0, 1, {16}}, {"attention.layer_norm_rms_epsilon", 1, 1, {1}}}},
    {"lfm2",
     {{"context_length", 0, 1, {64}}, {"embedding_length", 0, 1, {32}}, {"block_count", 0, 1, {2}},
      {"attention.head_count", 0, 1, {2}}, {"attention.head_count_kv", 0, 2, {0, 1}},
      {"rope.dimension_count", 0, 1, {4}}, {"feed_forward_length", 0, 1, {32}}, {"shortconv.l_cache", 0, 1, {3}},
      {"attention.layer_norm_rms_epsilon", 1, 1, {1}}}},
    {"olmoe",
     {{"context_length", 0, 1, {64}}, {"embedding_length", 0, 1, {32}}, {"block_count", 0, 1, {2}},
      {"attention.head_count", 0, 1, {2}}, {"attention.head_count_kv", 0, 1, {1}},
      {"rope.dimension_count", 0, 1, {4}}, {"feed_forward_length", 0, 1, {32}}, {"expert_count", 0, 1, {4}},
      {"expert_used_count", 0, 1, {2}}, {"attention.layer_norm_rms_epsilon", 1, 1, {1}}}}};

static void put_gguf_key(FILE *f, const char *family, const gguf_key *k)
{
    char full[128];
    int i, type = k->is_real ? 6 : 4;
    snprintf(full, sizeof full, "%s.%s", family, k->key);
    put_string(f, full), put(f, k->n > 1 ? 9 : (unsigned)type, 4);
    if (k->n > 1) put(f, (unsigned)type, 4), put(f, (unsigned)k->n, 8);
    for (i = 0; i < k->n; i++)
        put(f, k->is_real ? cv_bits_of_float((float)k->values[i] / 1000.0f) : (unsigned)k->values[i], 4);
}

/* keys.gguf: a family's keys, one of them with another value (n 0: left out), an embedding and two factors of rope. */
static void write_gguf_keys(const struct gguf_family *family, const gguf_key *other, float factor)
{
    char path[LONGEST_PATH];
    FILE *f = create("keys.gguf", path);
    int i, k, n = 0, hidden = family->keys[1].values[0];
    for (k = 0; k < MOST_KEYS && family->keys[k].key; k++) n += strcmp(other->key, family->keys[k].key) != 0;
    n += other->n > 0;
    put(f, 0x46554747u, 4), put(f, 3, 4), put(f, 2, 8), put(f, (unsigned)n + 1, 8);
    put_string(f, "general.architecture"), put(f, 8, 4), put_string(f, family->name);
    for (k = 0; k < MOST_KEYS && family->keys[k].key; k++)
        if (strcmp(other->key, family->keys[k].key) != 0) put_gguf_key(f, family->name, &family->keys[k]);
    if (other->n > 0) put_gguf_key(f, family->name, other);
    put_string(f, "token_embd.weight"), put(f, 2, 4), put(f, (unsigned)hidden, 8), put(f, 8, 8);
    put(f, GGUF_F32, 4), put(f, 0, 8);
    put_string(f, "rope_freqs.weight"), put(f, 1, 4), put(f, 2, 8), put(f, GGUF_F32, 4);
    put(f, 4 * (unsigned)hidden * 8, 8);
    while (ftell(f) % 32) fputc(0, f);
    for (i = 0; i < hidden * 8 + 1; i++) put(f, cv_bits_of_float(1.0f), 4);
    put(f, cv_bits_of_float(factor), 4);
    fclose(f);
}

/* Right keys are refused for a tensor that is missing; wrong ones in words of their own. */
static void test_gguf_keys(void)
{
    static const struct {
        int family;
        gguf_key other;
        float factor;
        const char *word;
    } refused[] = {{0, {"", 0, 0, {0}}, 1e30f, "tensor per_layer_token_embd.weight is missing"},
                   {0, {"", 0, 0, {0}}, 1e31f, "element 1 of rope_freqs.weight is 1e+31"},
                   {0, {"feed_forward_length", 0, 3, {8, 12, 16}}, 1.0f,
                    "feed_forward_length is an array of 3; one of two sizes for each layer"},
                   {0, {"feed_forward_length", 0, 3, {8, 0, 16}}, 1.0f,
                    "feed_forward_length is an array of 3; a size for each layer"},
                   {0, {"feed_forward_length", 0, 3, {-1, 8, 16}}, 1.0f,
                    "feed_forward_length is an array of 3; a size for each layer"},
                   {0, {"block_count", 0, 1, {4}}, 1.0f, "a size for each layer"},
                   {0, {"attention.shared_kv_layers", 0, 1, {3}}, 1.0f, "attention.shared_kv_layers is 3"},
                   {0, {"attention.value_length_swa", 0, 1, {8}}, 1.0f, "that of attention.key_length_swa"},
                   {0, {"rope.dimension_count_swa", 0, 1, {8}}, 1.0f, "that of attention.key_length_swa"},
                   {0, {"attention.key_length_swa", 0, 1, {18}}, 1.0f, "attention.value_length_swa is 16"},
                   {0, {"attention.key_length_swa", 0, 1, {33}}, 1.0f,
                    "attention.key_length_swa is 33; a count up to attention.key_length"},
                   {0, {"attention.key_length_swa", 0, 1, {2000000000}}, 1.0f, "a count up to attention.key_length"},
                   {0, {"embedding_length_per_layer_input", 0, 1, {17}}, 1.0f, "17 inputs of each layer"},
                   {0, {"final_logit_softcapping", 1, 1, {-5000}}, 1.0f, "the logit cap is -5"},
                   {0, {"attention.sliding_window_pattern", 0, 2, {1, 0}}, 1.0f,
                    "pattern is an array of 2; a flag for each layer"},
                   {0, {"attention.sliding_window_pattern", 0, 3, {1, 0, 2}}, 1.0f,
                    "pattern is an array of 3; a flag for each layer"},
                   {0, {"attention.sliding_window", 0, 1, {0}}, 1.0f,
                    "nothing where there is no attention.sliding_window"},
                   {0, {"attention.sliding_window", 0, 1, {-8}}, 1.0f,
                    "attention.sliding_window is 4.29496729e+09; a count"},
                   {0, {"rope.freq_base_swa", 1, 1, {500}}, 1.0f, "rope.freq_base_swa is 0.5"},
                   {0, {"expert_count", 0, 1, {8}}, 1.0f, "the key gemma4.expert_count (8) is not known"},
                   {1, {"", 0, 0, {0}}, 1.0f, "tensor blk.0.attn_norm.weight is missing"},
                   {1, {"expert_count", 0, 1, {-1}}, 1.0f, "expert_count is 4.2949673e+09; a count"},
                   {1, {"expert_count", 0, 1, {32769}}, 1.0f, "32769 experts in each of 2 layers"},
                   {1, {"expert_count", 0, 1, {1}}, 1.0f, "2 experts are used for a token; it must be between 1 and 1"},
                   {1, {"expert_used_count", 0, 1, {5}}, 1.0f, "5 experts are used for a token"},
                   {1, {"expert_used_count", 0, 1, {0}}, 1.0f, "0 experts are used for a token"},
                   {1, {"expert_used_count", 0, 0, {0}}, 1.0f, "0 experts are used for a token"},
                   {1, {"expert_feed_forward_length", 0, 1, {12}}, 1.0f, "the matrices of an expert are [24][16]"},
                   {1, {"expert_feed_forward_length", 0, 1, {1 << 30}}, 1.0f,
                    "the matrices of an expert are [2147483648][16]"},
                   {1, {"expert_shared_count", 0, 1, {1}}, 1.0f,
                    "the key gpt-oss.expert_shared_count (1) is not known"},
                   {1, {"expert_count", 1, 1, {4500}}, 1.0f, "expert_count is 4.5; a count"},
                   {1, {"rope.scaling.factor", 1, 1, {500}}, 1.0f, "rope.scaling.factor is 0.5"},
                   {1, {"attention.sliding_window_pattern", 0, 2, {2, 0}}, 1.0f,
                    "pattern is an array of 2; a flag for each layer"},
                   {1, {"attention.layer_norm_rms_epsilon", 1, 1, {-1}}, 1.0f, "the epsilon of the norms is -0.001"},
                   {2, {"", 0, 0, {0}}, 1.0f, "tensor blk.0.attn_norm.weight is missing"},
                   {2, {"shortconv.l_cache", 0, 1, {1}}, 1.0f, "a convolution of 1 positions"},
                   {2, {"shortconv.l_cache", 0, 1, {17}}, 1.0f, "a convolution of 17 positions"},
                   {2, {"shortconv.l_cache", 0, 0, {0}}, 1.0f, "shortconv.l_cache is absent"},
                   {2, {"shortconv.l_cache", 0, 2, {3, 4}}, 1.0f, "l_cache is an array of 2; the same for each layer"},
                   {2, {"attention.head_count_kv", 0, 1, {1}}, 1.0f, "head_count_kv is 1; a count for each layer"},
                   {2, {"attention.head_count_kv", 0, 3, {0, 1, 1}}, 1.0f,
                    "head_count_kv is an array of 3; a count for each layer"},
                   {2, {"attention.head_count_kv", 0, 2, {1, 2}}, 1.0f, "0 or the same count for each layer"},
                   {2, {"attention.head_count_kv", 0, 2, {0, -1}}, 1.0f, "0 or the same count for each layer"},
                   {2, {"attention.head_count_kv", 0, 2, {0, 3}}, 1.0f, "0 or the same count for each layer"},
                   {2, {"attention.head_count_kv", 0, 2, {0, 0}}, 1.0f, "the number of key-value heads is 0"},
                   {2, {"block_count", 0, 1, {1 << 30}}, 1.0f, "a count for each layer"},
                   {3, {"", 0, 0, {0}}, 1.0f, "tensor blk.0.attn_norm.weight is missing"},
                   {3, {"expert_used_count", 0, 1, {65}}, 1.0f, "65 experts are used for a token"}};
    size_t i;
    for (i = 0; i < sizeof refused / sizeof *refused; i++) {
        write_gguf_keys(&gguf_families[refused[i].family], &refused[i].other, refused[i].factor);
        check(convert("keys.gguf", "keys.harp", "") == 1 && says(refused[i].word) && !exists("keys.harp"),
              refused[i].word);
    }
}

/* ---- one matrix, two names ---- */

/* A tied model may have been saved under either name, and __metadata__ may say which name is which. */
static void test_shared_names(void)
{
    static const char *const alias = "\"__metadata__\":{\"format\":\"pt\",\"%s\":\"%s\"},";
    static const char *const names[] = {"model.embed_tokens.weight", "lm_head.weight"};
    matrix kept = model[EMB];
    char text[128];
    int i;
    make_folder("tied", ", \"tie_word_embeddings\": true");
    model[EMB].name = names[1];
    write_safetensors("tied/model.safetensors", "F32", TIED);
    check(convert("tied", "shared.harp", "") == 0 && same_files("tied.harp", "shared.harp"),
          "a tied model whose embedding is called lm_head.weight: the same file");
    make_folder("tied", "");
    check(convert("tied", "shared.harp", "") == 1 && says("model.embed_tokens.weight is missing"),
          "the same names of a model that is not tied");
    for (i = 0; i < 2; i++) { /* not tied, but the file says that both are one */
        snprintf(text, sizeof text, alias, names[!i], names[i]);
        model[EMB].name = names[i], metadata = text;
        write_safetensors("tied/model.safetensors", "F32", TIED);
        check(convert("tied", "shared.harp", "") == 0 && same_tensors("both.harp", "shared.harp"), text);
    }
    model[EMB] = kept, metadata = "";
}

/* ---- tokenizer.json: what changes tokens is done or refused, never passed over ---- */

#define BYTE_LEVEL "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}"
#define SENTENCE "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [" PREPEND ", " REPLACE "]}"
#define PREPEND "{\"type\": \"Prepend\", \"prepend\": \"\xE2\x96\x81\"}"
#define REPLACE "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\xE2\x96\x81\"}"
#define METASPACE(more) "{\"type\": \"Metaspace\", \"replacement\": \"\xE2\x96\x81\", \"split\": false" more "}"
#define FIRST_ONLY ", \"prepend_scheme\": \"first\""
#define TEMPLATE "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\":" \
    " [{\"SpecialToken\": {\"id\": \"<s>\"}}, {\"Sequence\": {\"id\": \"A\"}}]," \
    " \"special_tokens\": {\"<s>\": {\"ids\": [256]}}}"
#define ADDED(id, text, more) "\"added_tokens\": [{\"id\": " #id ", \"content\": \"" text "\"" more "}]"
#define MATCHES(pattern) "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\":" \
    " [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" pattern "\"}, \"behavior\": \"Removed\", \"invert\": true}," \
    " {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}"
#define NORMALIZED ", \"normalized\": true"
#define SPECIAL ", \"special\": true"

/* Vocabularies of 262 tokens, most of them bytes: 256 <s>, 257 </s>, 258 a space, 259 "a", 260 "b", 261 " a", where the
 * kind does not make these bytes; a byte-level one may lack the byte of "z". */
static void write_vocabulary(FILE *f, int byte_level, int without_z)
{
    int id;
    fputs("\"vocab\": {\"<s>\": 256, \"</s>\": 257, \"<unk>\": 262", f);
    for (id = 0; id < 256; id++) {
        fputs(", \"", f);
        if (byte_level && without_z && id == 'z') fputs("<none>", f);
        else if (byte_level) put_byte_name(f, id);
        else fprintf(f, "<0x%02X>", (unsigned)id);
        fprintf(f, "\": %d", id);
    }
    if (!byte_level) fputs(", \"\xE2\x96\x81\": 258, \"a\": 259, \"b\": 260", f);
    fprintf(f, ", \"%sa\": 261", byte_level ? "\xC4\xA0" : "\xE2\x96\x81");
    if (byte_level) fputs(", \"<258>\": 258, \"<259>\": 259, \"<260>\": 260", f);
    fprintf(f, "}, \"merges\": [[\"%s\", \"a\"]]", byte_level ? "\xC4\xA0" : "\xE2\x96\x81");
}

/* words/tokenizer.json of the two kinds, with more keys and more keys of its model; and the files beside it. */
static void write_tokenizer(int byte_level, const char *more, const char *model_more, const char *configured,
                            const char *added)
{
    char path[LONGEST_PATH];
    FILE *f;
    remove_file("words/tokenizer_config.json"), remove_file("words/added_tokens.json");
    if (configured) write_text("words/tokenizer_config.json", configured);
    if (added) write_text("words/added_tokens.json", added);
    f = create("words/tokenizer.json", path);
    fprintf(f, "{%s%s\"model\": {\"type\": \"BPE\", \"byte_fallback\": %s%s, ", more, *more ? ", " : "",
            byte_level ? "false" : "true", model_more);
    write_vocabulary(f, byte_level, strstr(model_more, "unk_token") != NULL);
    fputs("}}", f);
    fclose(f);
}

static void test_refused_tokenizers(void)
{
    static const struct {
        int byte_level;
        const char *more, *model_more, *configured, *added, *word; /* word: NULL if it is fine */
    } cases[] = {
        {1, BYTE_LEVEL, "", NULL, NULL, NULL},
        {0, SENTENCE, "", NULL, NULL, NULL},
        {1, BYTE_LEVEL ", \"version\": \"2.0\"", "", NULL, NULL, "version is \"2.0\""},
        {1, BYTE_LEVEL, ", \"dropout\": 0.1", NULL, NULL, "model.dropout is 0.1"},
        {1, BYTE_LEVEL, ", \"dropout\": null, \"end_of_word_suffix\": \"\", \"fuse_unk\": true", NULL, NULL, NULL},
        {1, BYTE_LEVEL, ", \"continuing_subword_prefix\": \"##\"", NULL, NULL,
         "model.continuing_subword_prefix is \"##\""},
        {1, BYTE_LEVEL, ", \"end_of_word_suffix\": \"</w>\"", NULL, NULL, "model.end_of_word_suffix is \"</w>\""},
        {1, BYTE_LEVEL, ", \"max_input_chars_per_word\": 100", NULL, NULL, "model.max_input_chars_per_word is 100"},
        {1, BYTE_LEVEL, ", \"unk_token\": \"<unk>\"", NULL, NULL, NULL},
        {1, BYTE_LEVEL, ", \"unk_token\": \"<unk>\", \"fuse_unk\": true", NULL, NULL, "model.fuse_unk is true"},
        {1, BYTE_LEVEL, ", \"unk_token\": \"<gone>\"", NULL, NULL, "model.unk_token is \"<gone>\""},
        {0, SENTENCE, ", \"ignore_merges\": true", NULL, NULL, "model.ignore_merges is true"},
        {0, "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, " REPLACE "]}", "",
         NULL, NULL, "normalizer.type is NFC"},
        {1, "\"normalizer\": " REPLACE ", " BYTE_LEVEL, "", NULL, NULL, "before the pre-tokenizer ByteLevel"},
        {1, "\"normalizer\": " PREPEND ", " BYTE_LEVEL, "", NULL, NULL, "before the pre-tokenizer ByteLevel"},
        {1, "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true}", "", NULL, NULL,
         "pre_tokenizer.ByteLevel.add_prefix_space is true"},
        {1, "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"trim_offsets\": false, \"use_regex\": false}", "",
         NULL, NULL, "does not cut words"},
        {1, MATCHES("'(?i:s|t)|[^\\\\s\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}"
                    "|[^\\\\p{L}\\\\p{N}]|\\\\s+(?!\\\\S)|\\\\s+"), "", NULL, NULL, NULL},
        {1, MATCHES("\\\\p{L}+|\\\\p{N}+|\\\\s+"), "", NULL, NULL, "pre_tokenizer.Split.invert is true"},
        {1, MATCHES("\\\\S{2,}|\\\\s+"), "", NULL, NULL, "pre_tokenizer.Split.invert is true"},
        {1, MATCHES("\\\\S+(?!\\\\S)|\\\\s+"), "", NULL, NULL, "pre_tokenizer.Split.invert is true"},
        {0, "\"pre_tokenizer\": " METASPACE(FIRST_ONLY), "", NULL, NULL, NULL},
        {0, "\"pre_tokenizer\": " METASPACE(FIRST_ONLY ", \"add_prefix_space\": false"), "", NULL, NULL,
         "Metaspace.add_prefix_space is false"},
        {0, SENTENCE ", \"pre_tokenizer\": " METASPACE(FIRST_ONLY), "", NULL, NULL, "two parts put a space"},
        {1, BYTE_LEVEL ", " ADDED(263, "<x>", ", \"single_word\": true"), "", NULL, NULL,
         "\"<x>\" has single_word true"},
        {1, BYTE_LEVEL ", " ADDED(263, "<x>", NORMALIZED), "", NULL, NULL, NULL},
        {0, "\"pre_tokenizer\": " METASPACE(FIRST_ONLY) ", " ADDED(263, "<x>", NORMALIZED), "", NULL, NULL, NULL},
        {0, SENTENCE ", " ADDED(263, "<x>", NORMALIZED), "", NULL, NULL, "\"<x>\" has normalized true"},
        {0, "\"normalizer\": " REPLACE ", " ADDED(263, "<x>", NORMALIZED), "", NULL, NULL, NULL},
        {0, "\"normalizer\": " REPLACE ", " ADDED(263, "x y", NORMALIZED), "", NULL, NULL,
         "\"x y\" has normalized true"},
        {1, BYTE_LEVEL ", " ADDED(264, "<x>", ""), "", NULL, NULL,
         "\"<x>\" has the id 264, but its place in the vocabulary is 263"},
        {1, BYTE_LEVEL ", " ADDED(263, "<s>", ""), "", NULL, NULL,
         "\"<s>\" has the id 263, but its place in the vocabulary is 256"},
        {1, BYTE_LEVEL ", " ADDED(256, "<x>", ""), "", NULL, NULL, "\"<x>\" has the id 256 of another token"},
        {1, BYTE_LEVEL, "",
         "{\"added_tokens_decoder\": {\"264\": {\"content\": \"<y>\"}, \"263\": {\"content\": \"<x>\"}}}", NULL, NULL},
        {1, BYTE_LEVEL, "", "{\"added_tokens_decoder\": {\"265\": {\"content\": \"<x>\"}}}", NULL,
         "tokenizer_config.json: the added token \"<x>\" has the id 265"},
        {1, BYTE_LEVEL, "", "{\"add_prefix_space\": true}", NULL, "tokenizer_config.json: add_prefix_space is true"},
        {0, SENTENCE, "", "{\"add_prefix_space\": false}", NULL, "tokenizer_config.json: add_prefix_space is false"},
        {0, SENTENCE, "", "{\"add_prefix_space\": true, \"legacy\": false}", NULL, NULL},
        {1, BYTE_LEVEL, "", "{\"add_eos_token\": true}", NULL, "add_eos_token is true"},
        {1, BYTE_LEVEL, "", "{\"split_special_tokens\": true}", NULL, "split_special_tokens is true"},
        {1, BYTE_LEVEL, "", "{\"do_lower_case\": true}", NULL, "do_lower_case is true"},
        {1, BYTE_LEVEL, "", "{\"bos_token\": \"<s>\", \"add_bos_token\": true}", NULL, "add_bos_token is true"},
        {1, BYTE_LEVEL ", " TEMPLATE, "", "{\"bos_token\": \"<s>\", \"add_bos_token\": true}", NULL, NULL},
        {1, BYTE_LEVEL ", " TEMPLATE, "", "{\"bos_token\": \"<s>\", \"add_bos_token\": false}", NULL,
         "add_bos_token is false"},
        {1, BYTE_LEVEL ", " TEMPLATE, "", "{\"bos_token\": \"</s>\"}", NULL, "bos_token has the id 257"},
        {1, BYTE_LEVEL, "", NULL, "{\"<y>\": 264, \"<x>\": 263}", NULL},
        {1, BYTE_LEVEL, "", NULL, "{\"<s>\": 256, \"<x>\": 300}",
         "added_tokens.json: the added token \"<x>\" has the id 300"},
        {1, BYTE_LEVEL, "", NULL, "{\"<x>\": 256}",
         "added_tokens.json: the added token \"<x>\" has the id 256 of another"},
        {1, BYTE_LEVEL, "", "{\"added_tokens_decoder\": {}}", "{\"<x>\": 263}",
         "\"<x>\" with the id 263 is not in the vocabulary"},
        {0, SENTENCE, "", NULL, "{\"<x>\": 263}", "\"<x>\" has normalized true"},
        {0, SENTENCE, "", "{\"pad_token\": \"<x>\"}", "{\"<x>\": 263}", NULL}};
    char path[LONGEST_PATH], what[64];
    size_t i;
    snprintf(path, sizeof path, "%s/words", folder);
    mkdir(path, 0777);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        int wanted = cases[i].word != NULL;
        write_tokenizer(cases[i].byte_level, cases[i].more, cases[i].model_more, cases[i].configured, cases[i].added);
        snprintf(what, sizeof what, "tokenizer.json %d: %.40s", (int)i, wanted ? cases[i].word : "fine");
        remove_file("words.harp");
        check(convert("words", "words.harp", "--vocab-only") == wanted && exists("words.harp") == !wanted
              && (wanted ? says(cases[i].word) : 1), what);
    }
}

/* The tokens of a text, as a string of numbers; control tokens are found where it names them. */
static int encodes(const char *text, const char *wanted)
{
    harp_model *m = NULL;
    harp_error err = {HARP_OK, ""};
    char path[LONGEST_PATH], said[256] = "";
    int32_t ids[16];
    size_t n = 0, i;
    snprintf(path, sizeof path, "%s/words.harp", folder);
    if (harp_open(&m, path, &err) == HARP_OK)
        harp_encode(m, text, strlen(text), HARP_ENCODE_BOS | HARP_ENCODE_SPECIAL, ids, 16, &n, &err);
    for (i = 0; i < n; i++)
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s%ld", i ? " " : "", (long)ids[i]);
    harp_close(m);
    if (strcmp(said, wanted) != 0) printf("        \"%s\" is %s %s, not %s\n", text, said, err.text, wanted);
    return strcmp(said, wanted) == 0;
}

#define SPACE "\xC4\xA0" /* as GPT-2 writes it */

/* A byte-level tokenizer in a GGUF file that has no token for "z", and calls token 256 the unknown one. */
static void write_gguf_vocabulary(const char *name, const char *kind, const char *pre, const char *left,
                                  const char *right)
{
    char path[LONGEST_PATH], token[8], merge[16];
    FILE *f = create(name, path);
    int id;
    put(f, 0x46554747u, 4), put(f, 3, 4), put(f, 0, 8), put(f, 5, 8);
    put_string(f, "tokenizer.ggml.model"), put(f, 8, 4), put_string(f, kind);
    put_string(f, "tokenizer.ggml.pre"), put(f, 8, 4), put_string(f, pre);
    put_integer(f, "tokenizer.ggml.unknown_token_id", 256);
    snprintf(merge, sizeof merge, "%s %s", left, right);
    put_string(f, "tokenizer.ggml.merges"), put(f, 9, 4), put(f, 8, 4), put(f, 1, 8), put_string(f, merge);
    put_string(f, "tokenizer.ggml.tokens"), put(f, 9, 4), put(f, 8, 4), put(f, 258, 8);
    for (id = 0; id < 256; id++) byte_name(id, token), put_string(f, id == 'z' ? "<none>" : token);
    snprintf(merge, sizeof merge, "%s%s", left, right);
    put_string(f, "<unk>"), put_string(f, merge);
    fclose(f);
}

/* Words that GPT-2 joins and Falcon cuts, after three digits and before a sign; and names of rules that are unknown. */
static void test_pre_tokenizers(void)
{
    static const struct {
        const char *kind, *pre, *left, *right, *text, *tokens; /* tokens NULL: it is refused, and what is said */
    } cases[] = {{"gpt2", "gpt-2", "1", "2", "0012", "48 48 257"}, {"gpt2", "falcon", "1", "2", "0012", "48 48 49 50"},
                 {"gpt2", "falcon", "1", "2", "0120", "48 257 48"}, {"gpt2", "gpt-2", SPACE, "!", "a !", "97 257"},
                 {"gpt2", "falcon", SPACE, "!", "a !", "97 32 33"}, {"gpt2", "falcon", SPACE, "a", "! a", "33 257"},
                 {"gpt2", "nobody", "1", "2", "tokenizer.ggml.pre is \"nobody\", which is not supported", NULL},
                 {"gemma4", "gemma4", "1", "2", "tokenizer.ggml.model is \"gemma4\", which is not supported", NULL}};
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status;
        write_gguf_vocabulary("words.gguf", cases[i].kind, cases[i].pre, cases[i].left, cases[i].right);
        remove_file("words.harp");
        status = convert("words.gguf", "words.harp", "--vocab-only");
        if (cases[i].tokens) check(status == 0 && encodes(cases[i].text, cases[i].tokens), cases[i].pre);
        else check(status == 1 && says(cases[i].text) && !exists("words.harp"), cases[i].pre);
    }
}

/* SentencePiece's own file, and what the class that reads it is told. Its tokens: 259 a space, 260 "a", 261 " a". */
static void test_sentencepiece(void)
{
    size_t n;
    char *text = load_file("tests/fuzz/seeds/tokenizer_file/sentencepiece.model", &n), path[LONGEST_PATH];
    snprintf(path, sizeof path, "%s/pieces", folder);
    mkdir(path, 0777);
    save("pieces/tokenizer.model", text, n);
    remove_file("pieces/tokenizer_config.json");
    check(convert("pieces", "words.harp", "--vocab-only") == 0 && encodes("a<s>a", "1 261 1 261"), "SentencePiece");
    write_text("pieces/tokenizer_config.json", "{\"legacy\": false, \"add_prefix_space\": true}");
    check(convert("pieces", "words.harp", "--vocab-only") == 0 && encodes("a<s>a", "1 261 1 260"), "legacy false");
    write_text("pieces/tokenizer_config.json", "{\"add_prefix_space\": false}");
    check(convert("pieces", "words.harp", "--vocab-only") == 0 && encodes("a<s>a", "1 260 1 260"), "no space first");
    free(text);
}

/* byte_fallback without the bytes' tokens means nothing: a character that has no token is unknown, or a run of them is.
 * What is wanted is what @huggingface/tokenizers 0.2.0 makes of these texts. */
static void test_no_byte_tokens(void)
{
    static const struct {
        const char *model_more, *text, *wanted;
    } cases[] = {{", \"unk_token\": \"<unk>\"", "a\xC3\xA9" "b\xE2\x82\xAC\xF0\x9F\x98\x80" "a", "4 0 3 0 0 2"},
                 {", \"unk_token\": \"<unk>\", \"fuse_unk\": false", "xyz a", "1 0 0 0 4"},
                 {", \"unk_token\": \"<unk>\", \"fuse_unk\": true", "a\xC3\xA9" "b\xE2\x82\xAC\xF0\x9F\x98\x80" "a",
                  "4 0 3 0 2"},
                 {", \"unk_token\": \"<unk>\", \"fuse_unk\": true", "xyz</s>\xC3\xA9", "1 0 5 1 0"},
                 {"", "a\xC3\xA9" "b\xE2\x82\xAC" "a", "4 3 2"},
                 {", \"unk_token\": null, \"fuse_unk\": true", "xyz a", "1 4"}};
    char text[1024];
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "{" SENTENCE
                 ", " ADDED(5, "</s>", SPECIAL) ", \"model\": {\"type\": \"BPE\","
                                                " \"byte_fallback\": true%s, \"vocab\": {\"<unk>\": 0, "
                                                "\"\xE2\x96\x81\": 1, \"a\": 2, \"b\": 3,"
                                                " \"\xE2\x96\x81"
                                                "a\": 4, \"</s>\": 5}, \"merges\": [[\"\xE2\x96\x81\", \"a\"]]}}",
                 cases[i].model_more);
        write_text("words/tokenizer.json", text);
        remove_file("words/tokenizer_config.json"), remove_file("words/added_tokens.json"), remove_file("words.harp");
        check(convert("words", "words.harp", "--vocab-only") == 0 && encodes(cases[i].text, cases[i].wanted),
              cases[i].wanted);
    }
    write_text("words/tokenizer.json", "{" SENTENCE ", \"model\": {\"type\": \"BPE\", \"byte_fallback\": true,"
               " \"vocab\": {\"<0x41>\": 0, \"\xE2\x96\x81\": 1}, \"merges\": []}}");
    check(convert("words", "words.harp", "--vocab-only") == 1 && says("only 1 of the 256 byte tokens"),
          "some bytes' tokens");
}

/* sentencepiece trims what a file that asks for it has; nothing here does: refused, with what can be had instead. */
static void test_extra_whitespace(void)
{
    size_t n, i;
    char *text = load_file("tests/fuzz/seeds/tokenizer_file/sentencepiece.model", &n);
    for (i = n; i-- > 1;) /* normalizer_spec.remove_extra_whitespaces is field 4, a flag */
        if (text[i - 1] == 0x20 && text[i] == 0) break;
    check(i > 0, "the flag is there");
    text[i] = 1;
    save("pieces/tokenizer.model", text, n);
    remove_file("pieces/tokenizer_config.json"), remove_file("words.harp");
    check(convert("pieces", "words.harp", "--vocab-only") == 1 && says("remove_extra_whitespaces is true")
          && says("a tokenizer.json or llama2.c's tokenizer.bin") && !exists("words.harp"), "extra white space");
    free(text);
}

/* What is not refused is done. */
static void test_tokenizers(void)
{
    write_tokenizer(1, BYTE_LEVEL, ", \"unk_token\": \"<unk>\"", NULL, NULL);
    check(convert("words", "words.harp", "--vocab-only") == 0 && encodes("azz", "97 262 262"), "bytes without a token");
    write_gguf_vocabulary("words.gguf", "gpt2", "gpt-2", "a", "b");
    check(convert("words.gguf", "words.harp", "--vocab-only") == 0 && encodes("abzz", "257"), "as in a GGUF file");
    write_tokenizer(1, BYTE_LEVEL, "", "{\"tokenizer_class\": \"LlamaTokenizerFast\", \"bos_token\": \"<s>\"}", NULL);
    check(convert("words", "words.harp", "--vocab-only") == 0 && encodes("x", "256 120"), "a class that begins texts");
    write_tokenizer(1, BYTE_LEVEL ", " TEMPLATE, "",
                    "{\"tokenizer_class\": \"GemmaTokenizer\", \"bos_token\": \"<s>\", \"add_bos_token\": false}",
                    NULL);
    check(convert("words", "words.harp", "--vocab-only") == 0 && encodes("x", "120"), "a class that is told not to");
    write_tokenizer(1, BYTE_LEVEL, "", "{\"pad_token\": {\"content\": \"<y>\"}}", "{\"<y>\": 264, \"<x>\": 263}");
    check(convert("words", "words.harp", "--vocab-only") == 0 && encodes("<x>a<y>", "263 97 264"), "added_tokens.json");
    write_tokenizer(0, SENTENCE ", " ADDED(256, "<s>", NORMALIZED SPECIAL), "", NULL, NULL);
    check(convert("words", "words.harp", "--vocab-only") == 0 && says("\"<s>\" is an added token with normalized true")
          && encodes("b<s>a", "258 260 256 261"), "a special token in normalized text: found, and said");
}

/* ---- named pipes: nobody writes into them, so whoever waits for their contents waits for ever ---- */

/* The same as convert(), for a program that may hang: then it ends by a signal. */
static int convert_in_time(const char *in, const char *out, const char *option, const char *value)
{
    char paths[4][LONGEST_PATH], *arguments[6];
    int status;
    pid_t child;
    snprintf(paths[0], LONGEST_PATH, "%s", converter);
    snprintf(paths[1], LONGEST_PATH, "%s/%s", folder, in);
    snprintf(paths[2], LONGEST_PATH, "%s/%s", folder, out);
    snprintf(paths[3], LONGEST_PATH, "%s/%s", folder, value ? value : "");
    arguments[0] = paths[0], arguments[1] = paths[1], arguments[2] = paths[2];
    arguments[3] = value ? (char *)(size_t)option : NULL, arguments[4] = value ? paths[3] : NULL, arguments[5] = NULL;
    child = fork();
    if (child == 0) {
        char said[LONGEST_PATH];
        snprintf(said, sizeof said, "%s/said", folder);
        if (!freopen(said, "w", stderr)) _exit(127);
        alarm(10);
        execv(converter, arguments);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void make_pipe(const char *name)
{
    char path[LONGEST_PATH];
    remove_file(name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkfifo(path, 0600) != 0) exit(2);
}

static void test_pipes(void)
{
    static const char *const names[] = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json", "chat_template.jinja"};
    char name[64], what[96];
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        make_folder_of(i > 3 ? 263 : VOCAB, "pipes", "");
        write_safetensors("pipes/model.safetensors", "F32", UNTIED);
        if (i > 3) {
            write_tokenizer(1, BYTE_LEVEL, "", NULL, NULL);
            copy_file("words/tokenizer.json", "pipes/tokenizer.json");
        }
        snprintf(name, sizeof name, "pipes/%s", names[i]);
        make_pipe(name);
        snprintf(what, sizeof what, "a pipe as %s is refused", names[i]);
        check(convert_in_time("pipes", "pipes.harp", NULL, NULL) == 1 && says(names[i]) && says("not a regular file")
              && !exists("pipes.harp"), what);
        remove_file(name), remove_file("pipes/tokenizer.json");
    }
    make_pipe("pipe.gguf");
    check(convert_in_time("pipe.gguf", "pipes.harp", NULL, NULL) == 1 && says("pipe.gguf: not a regular file"),
          "a pipe as a model is refused");
    check(convert_in_time("f32", "pipes.harp", "--tokenizer", "pipe.gguf") == 1
          && says("pipe.gguf: not a regular file") && !exists("pipes.harp"), "a pipe as --tokenizer is refused");
    remove_file("pipe.gguf");
}

/* ---- files and folders of another kind: named for what they are, with what to do next ---- */

#define BYTES(text) text, sizeof text - 1
#define POINTER "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4976698672\n"

static void save_padded(const char *name, const char *head, size_t bytes)
{
    char *data = calloc(1, 4096);
    memcpy(data, head, bytes);
    save(name, data, 4096);
    free(data);
}

static void test_kinds(void)
{
    static const struct {
        const char *head;
        size_t bytes;
        const char *word, *next;
    } kinds[] = {{BYTES("\x89HARP\r\n\x1A"), "this is a .harp file already", "--check"},
                 {BYTES(POINTER), "this is a Git LFS pointer", "git lfs pull"},
                 {BYTES("PK\3\4\x14"), "this is a zip archive, as PyTorch's .pt", "save_pretrained"},
                 {BYTES("\x80\2}q\0X"), "this is a Python pickle, as PyTorch's older", "save_pretrained"},
                 {BYTES("\x80\2\x8A\x0Al\xFC\x9C" "F"), "this is a Python pickle", "safetensors"},
                 {BYTES("\xC8\1\0\0\0\0\0\0{\"a\":{"), "this is a .safetensors file", "give the folder"},
                 {BYTES("{\n  \"architectures\": ["), "this is JSON text", "give the folder that holds config.json"},
                 {BYTES("[1, 2]"), "this is JSON text", "--vocab-only"},
                 {BYTES("\x08\x07\x12\x07pytorch\x1A"), "this is an ONNX file", "Hugging Face folder"},
                 {BYTES("<!DOCTYPE html><html>"), "this is a web page", "login"},
                 {BYTES("<html lang=en>"), "this is a web page", "download"},
                 {BYTES("\x1F\x8B\x08\0\0\0\0\0"), "this is a compressed file", "unpack it first"},
                 {BYTES("\x28\xB5\x2F\xFD"), "this is a compressed file", "unpack it first"},
                 {BYTES("\x89PNG\r\n\x1A\n"), "this is a PNG image", "not a model"},
                 {BYTES("tjgg\1\0\0\0"), "this is a GGML file from before GGUF", "take the GGUF file"},
                 {BYTES("\x89HDF\r\n\x1A\n"), "this is an HDF5 file", "save_pretrained"},
                 {BYTES("\n\x0E\n\5<unk>\x15"), "this is a SentencePiece tokenizer", "--tokenizer FILE"},
                 {BYTES("\x1B\0\0\0\0\0\0\0\5\0\0\0<unk>"), "this is a tokenizer of llama2.c", "--tokenizer FILE"},
                 {BYTES("\1\2\3\4\5\6\7\x80"), "not a model of a known kind", "if this is a llama2.c checkpoint"}};
    char what[128];
    size_t i;
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        save_padded("kind", kinds[i].head, kinds[i].bytes);
        snprintf(what, sizeof what, "%s: %s", kinds[i].word, kinds[i].next);
        check(convert("kind", "kind.harp", "") == 1 && says(kinds[i].word) && says(kinds[i].next)
              && !exists("kind.harp"), what);
    }
    save("kind", "Once upon a time there was a text.", 34);
    check(convert("kind", "kind.harp", "") == 1 && says("this is a text file"), "a text");
    save("kind", "{}", 2);
    check(convert("kind", "kind.harp", "") == 1 && says("this is JSON text"), "a very short JSON text");
}

/* Where people meet pointers: in a folder that git cloned without its large files. */
static void test_pointers(void)
{
    char options[LONGEST_PATH];
    make_folder("cloned", "");
    write_text("cloned/model.safetensors", POINTER);
    check(convert("cloned", "kind.harp", "") == 1 && says("model.safetensors: this is a Git LFS pointer"),
          "a pointer as model.safetensors");
    write_safetensors("cloned/model.safetensors", "F32", UNTIED);
    write_text("cloned/tokenizer.json", POINTER);
    check(convert("cloned", "kind.harp", "") == 1 && says("tokenizer.json: this is a Git LFS pointer"),
          "a pointer as tokenizer.json");
    remove_file("cloned/tokenizer.json");
    write_text("cloned/tokenizer.model", POINTER);
    check(convert("cloned", "kind.harp", "") == 1 && says("tokenizer.model: this is a Git LFS pointer"),
          "a pointer as tokenizer.model");
    remove_file("cloned/tokenizer.model");
    write_text("cloned/generation_config.json", "<!DOCTYPE html>");
    check(convert("cloned", "kind.harp", "") == 1 && says("generation_config.json: this is a web page"),
          "a web page as generation_config.json");
    remove_file("cloned/generation_config.json");
    snprintf(options, sizeof options, "--tokenizer %s/f32.harp", folder);
    check(convert("cloned", "kind.harp", options) == 1 && says("f32.harp: this is a .harp file already"),
          "a .harp file as a tokenizer");
    check(convert("cloned/model.safetensors", "kind.harp", "") == 1 && says("this is a .safetensors file"),
          "the file instead of its folder");
    write_gguf("kind.gguf", 3, GGUF_F16, 1, 0, 1);
    check(check_says("kind.gguf", "this is a GGUF file: convert it with") == 1, "--check of a GGUF file");
    check(check_says("cloned/config.json", "this is JSON text") == 1, "--check of a JSON file");
    make_pipe("pipe.harp");
    check(check_says("pipe.harp", "not a regular file") == 1, "--check of a pipe");
    remove_file("pipe.harp");
}

/* Folders whose weights are of another kind, and weights quantized by others. */
static void test_other_folders(void)
{
    static const char *const files[][2] = {{"adapter_config.json", "merge it into its base model first"},
                                           {"pytorch_model.bin", "save the model as safetensors"},
                                           {"pytorch_model.bin.index.json", "save the model as safetensors"},
                                           {"consolidated.00.pth", "take the one for Hugging Face transformers"}};
    static const char *const configs[][2] = {
        {", \"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}", "quantized by gptq"},
        {", \"quantization_config\": {\"quant_method\": \"awq\"}", "quantized by awq"},
        {", \"quantization_config\": {\"load_in_8bit\": true}", "quantized by bitsandbytes"},
        {", \"quantization\": {\"group_size\": 64, \"bits\": 4}", "quantized by MLX"},
        {", \"quantization\": {\"bits\": 4}, \"quantization_config\": {\"bits\": 4}", "quantized by MLX"}};
    static const char *const tensors[][2] = {
        {"model.layers.0.mlp.up_proj.qweight", "quantized by GPTQ or AWQ"}, {"a.g_idx", "quantized by GPTQ"},
        {"a.weight.absmax", "quantized by bitsandbytes"}, {"a.weight_scale_inv", "quantized by FP8"}};
    char text[256], path[64];
    size_t i;
    for (i = 0; i < 2 * sizeof files / sizeof *files; i++) {
        make_folder("elsewhere", "");
        if (i % 2) remove_file("elsewhere/config.json");
        snprintf(path, sizeof path, "elsewhere/%s", files[i / 2][0]);
        write_text(path, "{}");
        check(convert("elsewhere", "kind.harp", "") == 1 && says(files[i / 2][0]) && says(files[i / 2][1])
              && says(i % 2 ? "no config.json" : "no model.safetensors"), path);
        remove_file(path);
    }
    check(convert("elsewhere", "kind.harp", "") == 1
          && says("there is no config.json; the folder of a Hugging Face model has"), "a folder without a model");
    for (i = 0; i < sizeof configs / sizeof *configs; i++) {
        make_folder("elsewhere", configs[i][0]);
        check(convert("elsewhere", "kind.harp", "") == 1 && says(configs[i][1]) && says("convert the original model"),
              configs[i][1]);
    }
    make_folder("elsewhere", "");
    for (i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        snprintf(text, sizeof text, "{\"%s\": {\"dtype\": \"I32\", \"shape\": [4], \"data_offsets\": [0, 16]}}",
                 tensors[i][0]);
        write_header("elsewhere/model.safetensors", text, 16);
        check(convert("elsewhere", "kind.harp", "") == 1 && says(tensors[i][0]) && says(tensors[i][1])
              && says("convert the original model"), tensors[i][0]);
    }
    remove_file("elsewhere/model.safetensors"); /* or the next run in this folder finds a model */
}

static unsigned crc_of(const char *data, size_t bytes)
{
    unsigned c = ~0u;
    size_t i;
    int k;
    for (i = 0; i < bytes; i++)
        for (c ^= (unsigned char)data[i], k = 0; k < 8; k++) c = c & 1u ? c >> 1 ^ 0xEDB88320u : c >> 1;
    return ~c;
}

/* A file that does not tell what rounding did, as another writer's. */
static void test_check_without_losses(void)
{
    size_t n = 0;
    char *data = load("f32.harp", &n), *key = data ? memmem(data, n, "quantization_errors", 19) : NULL;
    unsigned crc;
    int i;
    check(key != NULL && check_says("f32.harp", "exact") == 0, "--check tells what rounding did");
    if (!key) return;
    key[0] = 'x';
    memset(data + 12, 0, 4);
    crc = crc_of(data, (size_t)word(data + 56));
    for (i = 0; i < 4; i++) data[12 + i] = (char)(crc >> (8 * i));
    save("kind.harp", data, n);
    check(check_says("kind.harp", "8 bits") == 0 && says("whole"), "--check of a file that does not tell");
    remove_file("kind.harp");
    free(data);
}

/* ---- what a terminal must not be told ---- */

/* A window's title, "clear the screen" three times (the last two by one-character introducers, as a byte and in
 * UTF-8), a line of its own, and text that runs from right to left. */
#define EVIL "\033]0;t\007\033[2J\2332J\302\2332J\r\177\342\200\256"
#define EVIL_JSON "\\u001b]0;t\\u0007\\u001b[2J\\u009b2J\\r\\u007f\\u202e"

/* All of it printable, and the escape character shown. */
static int shows(const char *what)
{
    size_t n = 0, i;
    char *text = load("said", &n);
    const unsigned char *p = (const unsigned char *)text;
    int good = text && strstr(text, "\\x1b") != NULL;
    for (i = 0; i < n; i++) good = good && ((p[i] >= 0x20 && p[i] < 0x7F) || p[i] == '\n');
    if (!good) printf("%s: %s\n", what, text ? text : "");
    free(text);
    return good;
}

static void shows_refusal(const char *in, const char *options, const char *what)
{
    check(convert(in, "evil.harp", options) != 0 && shows(what), what);
}

static void write_evil_gguf(int which) /* 0: a key; 1: the architecture; 2: a tensor */
{
    char path[LONGEST_PATH];
    FILE *f = create("evil.gguf", path);
    put(f, 0x46554747u, 4), put(f, 3, 4), put(f, 1, 8), put(f, 1, 8);
    put_string(f, which == 0 ? EVIL : "general.architecture");
    put(f, which == 0 ? 99 : 8, 4), put_string(f, which == 1 ? EVIL : "llama");
    put_string(f, which == 2 ? EVIL : "t"), put(f, 1, 4), put(f, 32, 8), put(f, which == 2 ? 77 : 0, 4), put(f, 0, 8);
    while (ftell(f) % 32) fputc(0, f);
    for (which = 0; which < 128; which++) fputc(0, f);
    fclose(f);
}

static void test_evil_gguf(void)
{
    static const char *const what[] = {"a key of a GGUF file", "a text of a GGUF file", "a tensor of a GGUF file"};
    int i;
    for (i = 0; i < 3; i++) write_evil_gguf(i), shows_refusal("evil.gguf", "", what[i]);
}

static void test_evil_folder(void)
{
    make_folder("evil", ", \"" EVIL_JSON "\": \"" EVIL_JSON "\"");
    write_safetensors("evil/model.safetensors", "F32", UNTIED);
    shows_refusal("evil", "", "a key of config.json");
    make_folder("evil", ", \"rope_theta2\": \"" EVIL_JSON "\"");
    shows_refusal("evil", "", "a value of config.json");
    make_folder("evil", "");
    write_header("evil/model.safetensors",
                 "{\"" EVIL_JSON "\": {\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [0, 1]}}", 0);
    shows_refusal("evil", "", "a tensor of a safetensors file");
    write_header("evil/model.safetensors", "{\"x\": {\"dtype\": \"" EVIL_JSON "\"}}", 0);
    shows_refusal("evil", "", "a dtype of a safetensors file");
    remove_file("evil/model.safetensors");
    write_text("evil/model.safetensors.index.json", "{\"weight_map\": {\"a\": \"" EVIL_JSON "\"}}");
    shows_refusal("evil", "", "a file name in an index");
    remove_file("evil/model.safetensors.index.json");
}

static void test_evil_tokenizer(void)
{
    size_t n = 0;
    char *said;
    make_place("words");
    write_tokenizer(1, BYTE_LEVEL ", \"version\": \"" EVIL_JSON "\"", "", NULL, NULL);
    shows_refusal("words", "--vocab-only", "a value of tokenizer.json");
    write_tokenizer(1, BYTE_LEVEL, ", \"" EVIL_JSON "\": 1", NULL, NULL);
    shows_refusal("words", "--vocab-only", "a key of tokenizer.json");
    write_tokenizer(1, BYTE_LEVEL, "", "{\"bos_token\": \"" EVIL_JSON "\"}", NULL);
    shows_refusal("words", "--vocab-only", "a token's name");
    write_tokenizer(1, BYTE_LEVEL, "", "{\"chat_template\": \"{% " EVIL_JSON " %}\"}", NULL);
    check(convert("words", "evil.harp", "--vocab-only") == 0, "a template of control characters is no table");
    said = load("said", &n);
    check(said && !strchr(said, '\033') && says("no chat format"), "a chat template");
    free(said);
    remove_file("words/tokenizer_config.json");
}

static void test_evil_arguments(void)
{
    shows_refusal("'no" EVIL "'", "", "a file name");
    shows_refusal("evil", "'--" EVIL "'", "an option");
    shows_refusal("evil", "--chat '" EVIL "=x'", "a key of --chat");
    write_llama2c("plain.bin", 0, 1);
    check(convert("plain.bin", "'" EVIL ".harp'", "") == 0 && shows("the output's name"), "the output's name");
    check(check_says("'" EVIL ".harp'", "whole") == 0 && shows("--check of such a name"), "--check of such a name");
}

/* What a .harp file calls its architecture is text, and --check prints it. */
static void test_evil_architecture(void)
{
    size_t n = 0;
    char *data = load("f32.harp", &n), *key = data ? memmem(data, n, "llama", 5) : NULL;
    unsigned crc;
    int i;
    if (!key) exit(2);
    memcpy(key, "\033[2J\r", 5);
    memset(data + 12, 0, 4);
    crc = crc_of(data, (size_t)word(data + 56));
    for (i = 0; i < 4; i++) data[12 + i] = (char)(crc >> (8 * i));
    save("evil.harp", data, n);
    check(check_says("evil.harp", "whole") == 0 && shows("--check of such a file"), "--check of such a file");
    free(data);
}

static void test_terminal(void)
{
    test_evil_gguf();
    test_evil_folder();
    test_evil_tokenizer();
    test_evil_arguments();
    test_evil_architecture();
}

/* ---- chat: what the command line says, and where the template comes from ---- */

static int has_text(const harp_model *m, const char *key, const char *text)
{
    harp_meta meta;
    return harp_meta_find(m, key, &meta) && meta.type == HARP_META_TEXT && meta.bytes == strlen(text)
           && memcmp(meta.data, text, meta.bytes) == 0;
}

static int has_integer(const harp_model *m, const char *key, int value)
{
    harp_meta meta;
    return harp_meta_find(m, key, &meta) && meta.type == HARP_META_INTEGER && meta.integer == value;
}

static harp_model *open_made(const char *name)
{
    char path[LONGEST_PATH];
    harp_model *m = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    check(harp_open(&m, path, NULL) == HARP_OK, "the made file opens");
    return m;
}

static void test_chat_by_hand(void)
{
    static const char *const wrong[] = {"bos=maybe", "bos=2", "bos=", "bos=01", "system.last=-1", "user.trim=4",
                                        "user.trim=yes", "user.trim=1x", "assistant.trim=0x1", "user.befor=x",
                                        "=x", "bos"};
    static const struct {
        const char *value;
        int stored;
    } flags[] = {{"yes", 1}, {"no", 0}, {"true", 1}, {"false", 0}, {"1", 1}, {"0", 0}};
    char options[256], what[64];
    harp_model *m;
    size_t i;
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(options, sizeof options, "--chat '%s'", wrong[i]);
        snprintf(what, sizeof what, "--chat %s is refused", wrong[i]);
        remove_file("chat.harp");
        check(convert("tied", "chat.harp", options) == 2 && says("--chat") && says("usage")
              && !exists("chat.harp"), what);
    }
    for (i = 0; i < sizeof flags / sizeof *flags; i++) {
        snprintf(options, sizeof options,
                 "--chat bos=%s --chat system.last=%s --chat user.trim=3 --chat 'user.before=\\n<u> = '",
                 flags[i].value, flags[i].value);
        snprintf(what, sizeof what, "--chat bos=%s is stored", flags[i].value);
        check(convert("tied", "chat.harp", options) == 0, "--chat");
        m = open_made("chat.harp");
        check(has_integer(m, "chat.bos", flags[i].stored) && has_integer(m, "chat.system.last", flags[i].stored)
              && has_integer(m, "chat.user.trim", 3) && has_text(m, "chat.user.before", "\n<u> = "), what);
        harp_close(m);
    }
}

#define SAYS(text) "{% for m in messages %}" text "{{ m.role }}:{{ m.content }};{% endfor %}" \
    "{% if add_generation_prompt %}" text "assistant:{% endif %}"

/* Two folders with templates of their own: the tokenizer's one counts. */
static void test_template_of_tokenizer(void)
{
    char options[LONGEST_PATH];
    harp_model *m;
    int i;
    make_folder_of(MANY_ROWS, "model", ", \"tie_word_embeddings\": true");
    write_wide_safetensors("model/model.safetensors");
    write_text("model/chat_template.jinja", SAYS("A"));
    make_folder("other", "");
    write_text("other/tokenizer_config.json", "{\"chat_template\": \"" SAYS("B") "\"}");
    write_tokenizer(1, BYTE_LEVEL, "", NULL, NULL);
    copy_file("words/tokenizer.json", "other/tokenizer.json");
    copy_file("words/tokenizer.json", "model/tokenizer.json");
    for (i = 0; i < 3; i++) {
        options[0] = 0;
        if (i > 0) snprintf(options, sizeof options, "--tokenizer %s/other%s", folder, i > 1 ? "/tokenizer.json" : "");
        check(convert("model", "chat.harp", options) == 0, "templates of two folders");
        m = open_made("chat.harp");
        check(has_text(m, "chat.user.before", i ? "Buser:" : "Auser:"),
              i == 0   ? "the template of IN"
              : i == 1 ? "the template of --tokenizer FOLDER"
                       : "the template of --tokenizer FILE's folder");
        harp_close(m);
    }
}

/* ---- the output: no file that is read may be replaced by it ---- */

/* Refused in words, and nothing is written: OUT, which is read, stays as it is. */
static void keeps(const char *in, const char *out, const char *options)
{
    size_t n = 0, m = 0;
    char *before = load(out, &n), *after, what[LONGEST_PATH];
    int refused = convert(in, out, options) == 1 && says("cannot be replaced") && says(out);
    after = load(out, &m);
    snprintf(what, sizeof what, "%s is read, so it is not replaced (%s)", out, in);
    check(refused && before && after && n == m && memcmp(before, after, n) == 0, what);
    if (before) save(out, before, n);
    free(before), free(after);
}

static void make_links(const char *to)
{
    char path[LONGEST_PATH], link_path[LONGEST_PATH];
    remove_file("symbolic.harp"), remove_file("hard.harp");
    snprintf(link_path, sizeof link_path, "%s/symbolic.harp", folder);
    if (symlink(to, link_path) != 0) exit(2);
    snprintf(path, sizeof path, "%s/%s", folder, to);
    snprintf(link_path, sizeof link_path, "%s/hard.harp", folder);
    if (link(path, link_path) != 0) exit(2);
}

/* A folder with all the files that a folder may have, of a model with `vocab` rows. */
static void make_full_folder(const char *name)
{
    static const char *const names[] = {"model.safetensors.index.json", "a.safetensors", "b.safetensors",
                                        "generation_config.json",       "tokenizer_config.json", "added_tokens.json",
                                        "chat_template.jinja"};
    static const char *const texts[] = {NULL, NULL, NULL, "{}", "{\"pad_token\": \"<x>\"}", "{\"<x>\": 263}", "hello"};
    char path[64];
    size_t i;
    make_folder_of(MANY_ROWS, name, "");
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", name, names[i]);
        if (i == 0) write_index(path);
        else if (i < 3) write_safetensors(path, "F32", i == 1 ? FIRST : SECOND);
        else write_text(path, texts[i]);
    }
    write_tokenizer(1, BYTE_LEVEL, "", NULL, NULL);
    snprintf(path, sizeof path, "%s/tokenizer.json", name);
    copy_file("words/tokenizer.json", path);
}

/* What a folder's own tokenizer is, or the one that --tokenizer names; the model's weights are those of `shards`. */
static void test_inputs_stay(void)
{
    static const char *const names[] = {"config.json", "generation_config.json", "model.safetensors.index.json",
                                        "a.safetensors", "b.safetensors", "tokenizer.json", "tokenizer_config.json",
                                        "added_tokens.json", "chat_template.jinja"};
    char path[LONGEST_PATH], options[LONGEST_PATH];
    size_t i;
    make_full_folder("full");
    for (i = 0; i < sizeof names / sizeof *names; i++)
        snprintf(path, sizeof path, "full/%s", names[i]), keeps("full", path, "");
    make_links("full/b.safetensors");
    keeps("full", "symbolic.harp", ""), keeps("full", "hard.harp", "");
    remove_file("symbolic.harp"), remove_file("hard.harp");
    make_folder("single", "");
    make_folder_of(MANY_ROWS, "wide", "");
    write_safetensors("single/model.safetensors", "F32", UNTIED);
    write_safetensors("wide/model.safetensors", "F32", UNTIED);
    keeps("single", "single/model.safetensors", "");
    keeps("single", "single/../single//model.safetensors", "");
    snprintf(options, sizeof options, "--tokenizer %s/full", folder);
    for (i = 5; i < sizeof names / sizeof *names; i++)
        snprintf(path, sizeof path, "full/%s", names[i]), keeps("wide", path, options);
    snprintf(options, sizeof options, "--tokenizer %s/full/tokenizer.json", folder);
    for (i = 5; i < sizeof names / sizeof *names; i++)
        snprintf(path, sizeof path, "full/%s", names[i]), keeps("wide", path, options);
    write_llama2c("alone.bin", 0, 1);
    keeps("alone.bin", "alone.bin", "");
    for (i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "split-%05d-of-00003.gguf", (int)i + 1);
        write_gguf(path, 3, GGUF_F32, 0, (int)i, 3);
    }
    for (i = 0; i < 3; i++)
        snprintf(path, sizeof path, "split-%05d-of-00003.gguf", (int)i + 1),
            keeps("split-00001-of-00003.gguf", path, "");
    write_gguf_vocabulary("words.gguf", "gpt2", "gpt-2", "a", "b");
    snprintf(options, sizeof options, "--tokenizer %s/words.gguf", folder);
    keeps("single", "words.gguf", options);
    check(convert("single", "single/model.harp", "") == 0, "a new file beside the inputs is fine");
    check(convert("single", "single/model.harp", "--name again") == 0, "and may be replaced");
}

/* ---- what a file does not say ---- */

static int has_real(const harp_model *m, const char *key, double value)
{
    harp_meta meta;
    return value == 0.0 ? !harp_meta_find(m, key, &meta)
                        : harp_meta_find(m, key, &meta) && meta.type == HARP_META_REAL && meta.real == value;
}

static void write_small(const char *name, const char *type, const char *more)
{
    char file[64], text[1024];
    snprintf(file, sizeof file, "%s/config.json", name);
    snprintf(text, sizeof text, "{\"model_type\": \"%s\", \"num_key_value_heads\": 2, " SMALL RMS "%s}", type, more);
    write_text(file, text);
}

/* An absent key means what transformers' class assumes, a null that there is none. */
static void test_absent_keys(void)
{
    static const struct {
        const char *more;
        int window;
    } windows[] = {{"", 4096}, {", \"sliding_window\": null", 0}, {", \"sliding_window\": 8", 8}};
    static const struct {
        const char *more;
        double attention, logits;
    } caps[] = {{"", 50.0, 30.0},
                {", \"attn_logit_softcapping\": null, \"final_logit_softcapping\": null", 0.0, 0.0},
                {", \"final_logit_softcapping\": 20", 50.0, 20.0}};
    char text[2048];
    harp_model *m;
    size_t i;
    for (i = 0; i < sizeof windows / sizeof *windows; i++) {
        make_folder("absent", "");
        write_safetensors("absent/model.safetensors", "F32", UNTIED);
        write_small("absent", "mistral", windows[i].more);
        check(convert("absent", "absent.harp", "") == 0, "Mistral");
        m = open_made("absent.harp");
        check(has_integer(m, "window", windows[i].window), "the window of Mistral");
        harp_close(m);
    }
    for (i = 0; i < sizeof caps / sizeof *caps; i++) {
        snprintf(text, sizeof text, "{\"model_type\": \"gemma2\", " G3_OUTSIDE ", " G3_SIZES G3_ASSUMED "%s}",
                 caps[i].more);
        write_gemma3("gemma2", 3, text);
        check(convert("gemma2", "gemma2.harp", "") == 0, "Gemma 2");
        m = open_made("gemma2.harp");
        check(has_real(m, "attention_cap", caps[i].attention) && has_real(m, "logit_cap", caps[i].logits),
              "the caps of Gemma 2");
        harp_close(m);
    }
}

/* theta may stand in any of three places, and the type of a scaling that is none may be left out. */
static void test_places_of_theta(void)
{
    static const char *const ways[] = {", \"rope_theta\": 500000.0", ", \"rope_parameters\": {\"rope_theta\": 500000.0}",
                                       ", \"rope_scaling\": {\"rope_type\": \"default\", \"rope_theta\": 500000.0}"};
    size_t i;
    make_folder("theta", "");
    write_safetensors("theta/model.safetensors", "F32", UNTIED);
    for (i = 0; i < sizeof ways / sizeof *ways; i++) {
        write_small("theta", "llama", ways[i]);
        check(convert("theta", i ? "theta.harp" : "first.harp", "") == 0
              && (i == 0 || same_files("first.harp", "theta.harp")), "theta, wherever it stands");
    }
    write_small("theta", "llama", "");
    check(convert("theta", "theta.harp", "") == 0 && !same_files("first.harp", "theta.harp"), "another theta");
}

#define TURNS(after) "{\"chat_template\": \"{% for m in messages %}<|{{ m.role }}|>{{ m.content }}" after \
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}\"}"

/* The control token that ends an assistant's message in the template ends an answer, though no list has it. */
static void test_end_of_turn(void)
{
    static const struct {
        const char *added, *configured;
        int end; /* -1: none */
    } ways[] = {{BYTE_LEVEL ", " ADDED(263, "<|end|>", SPECIAL), TURNS("<|end|>\\n"), 263},
                {BYTE_LEVEL ", " ADDED(263, "<|end|>", SPECIAL), TURNS("\\n<|end|>"), -1},
                {BYTE_LEVEL ", " ADDED(263, "<|end|>", ""), TURNS("<|end|>\\n"), 263}, /* of the user's, by its looks */
                {BYTE_LEVEL ", " ADDED(263, "END", ""), TURNS("END"), -1}};
    harp_info info;
    harp_model *m;
    size_t i;
    make_folder_of(MANY_ROWS, "turns", ", \"tie_word_embeddings\": true");
    write_wide_safetensors("turns/model.safetensors");
    for (i = 0; i < sizeof ways / sizeof *ways; i++) {
        write_tokenizer(1, ways[i].added, "", NULL, NULL);
        copy_file("words/tokenizer.json", "turns/tokenizer.json");
        write_text("turns/tokenizer_config.json", ways[i].configured);
        check(convert("turns", "turns.harp", "") == 0, "turns");
        m = open_made("turns.harp"), info = harp_model_info(m);
        check(ways[i].end < 0 ? info.n_end == 2 : info.n_end == 3 && info.end[2] == ways[i].end,
              "what ends a turn");
        harp_close(m);
    }
}

/* A link stays a link, and a private file private. */
static void test_place_of_the_output(void)
{
    char path[LONGEST_PATH], link_path[LONGEST_PATH];
    struct stat st;
    make_place("store");
    check(convert("single", "store/real.harp", "") == 0, "a file to be replaced");
    snprintf(path, sizeof path, "%s/store/real.harp", folder), snprintf(link_path, sizeof link_path, "%s/link.harp", folder);
    remove_file("link.harp");
    if (chmod(path, 0600) != 0 || symlink("store/real.harp", link_path) != 0) exit(2);
    check(convert("single", "link.harp", "--name again") == 0, "by way of a link");
    check(lstat(link_path, &st) == 0 && S_ISLNK(st.st_mode), "which stays one");
    check(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600 && same_files("link.harp", "store/real.harp"),
          "and leads to the new file, which is as private as the old one");
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    converter = argv[1], folder = argv[2];
    make_model();
    test_forms();
    test_gguf_forms();
    test_odd_scales();
    test_repeatable();
    test_exact_nibbles();
    test_coarse_types();
    test_four_bits();
    test_refused();
    test_layouts();
    test_large_vocabulary();
    test_gemma();
    test_gemma3_vision();
    test_delta_nets();
    test_mxfp4_folder();
    test_gguf_keys();
    test_shared_names();
    test_refused_tokenizers();
    test_tokenizers();
    test_pre_tokenizers();
    test_sentencepiece();
    test_no_byte_tokens();
    test_extra_whitespace();
    test_pipes();
    test_inputs_stay();
    test_place_of_the_output();
    test_absent_keys();
    test_places_of_theta();
    test_end_of_turn();
    test_kinds();
    test_pointers();
    test_other_folders();
    test_check_without_losses();
    test_terminal();
    test_chat_by_hand();
    test_template_of_tokenizer();
    test_calibration();
    test_attacks();
    test_interrupted(SIGTERM);
    test_interrupted(SIGKILL);
    test_runs();
    return conclude();
}
