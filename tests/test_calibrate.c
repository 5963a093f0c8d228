/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_calibrate.c - harp-convert --bits 4 --calibrate on a mixture of experts
 *
 *     test_calibrate HARP_CONVERT FOLDER      FOLDER: to write into
 *
 * The test lets the int8 model read the same text and notes itself what the matrices are given. With the text, every
 * matrix and every expert that a token chose must lose less than without it, an error counting as much as its input is
 * large; an expert that no token chose must be rounded as if there were no text. */
#include "../harp.h"
#include "file/nibbles.h"
#include "harp_file.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BYTES = 256, VOCAB = BYTES + 1, BOS = BYTES, HIDDEN = 64, FFN = 32, LAYERS = 2, EXPERTS = 6, USED = 2,
       NEVER = EXPERTS - 1, CONTEXT = 512, PATH = 1024, WIDEST = 2 * HIDDEN };

static const char *converter, *folder;

/* ---- the model ---- */

/* Some columns of what the norms give are large, and some of what the ups give, so that errors weigh unlike amounts. */
typedef enum filling { EVEN, NORM, SOME_ROWS_LARGE, ROUTER } filling;

static const struct {
    const char *name; /* %d: the layer, then the expert */
    int rows, cols;   /* rows 0: a vector */
    filling filling;
} tensors[] = {{"model.embed_tokens.weight", VOCAB, HIDDEN, EVEN},
               {"model.norm.weight", 0, HIDDEN, NORM},
               {"lm_head.weight", VOCAB, HIDDEN, EVEN},
               {"model.layers.%d.input_layernorm.weight", 0, HIDDEN, NORM},
               {"model.layers.%d.self_attn.q_proj.weight", HIDDEN, HIDDEN, EVEN},
               {"model.layers.%d.self_attn.k_proj.weight", HIDDEN / 2, HIDDEN, EVEN},
               {"model.layers.%d.self_attn.v_proj.weight", HIDDEN / 2, HIDDEN, SOME_ROWS_LARGE},
               {"model.layers.%d.self_attn.o_proj.weight", HIDDEN, HIDDEN, EVEN},
               {"model.layers.%d.post_attention_layernorm.weight", 0, HIDDEN, NORM},
               {"model.layers.%d.block_sparse_moe.gate.weight", EXPERTS, HIDDEN, ROUTER},
               {"model.layers.%d.block_sparse_moe.experts.%d.w1.weight", FFN, HIDDEN, EVEN},
               {"model.layers.%d.block_sparse_moe.experts.%d.w3.weight", FFN, HIDDEN, SOME_ROWS_LARGE},
               {"model.layers.%d.block_sparse_moe.experts.%d.w2.weight", HIDDEN, FFN, EVEN}};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

static const char config[] =
    "{\"architectures\": [\"MixtralForCausalLM\"], \"model_type\": \"mixtral\", \"hidden_act\": \"silu\","
    " \"bos_token_id\": 256, \"hidden_size\": 64, \"intermediate_size\": 32, \"max_position_embeddings\": 512,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_hidden_layers\": 2, \"num_local_experts\": 6,"
    " \"num_experts_per_tok\": 2, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"tie_word_embeddings\": false,"
    " \"vocab_size\": 257}";

static uint64_t state = 1;

static float uniform(void) /* -1..1 */
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (float)(state >> 40) / 8388608.0f - 1.0f;
}

/* Of experts with equal logits the first are chosen, and two are: a third one never is. */
static float element(filling f, int row, int col, const float *row_before)
{
    float x = uniform() * 0.2f;
    if (f == NORM) return col % 8 == 3 ? 6.0f : 1.0f + x;
    if (f == ROUTER) return row > NEVER - USED ? row_before[col] : 5.0f * x;
    return f == SOME_ROWS_LARGE && row % 4 == 1 ? 6.0f * x : x;
}

static FILE *create(const char *name, const char *mode)
{
    char path[PATH];
    FILE *f;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((f = fopen(path, mode)) != NULL) return f;
    printf("FAILED cannot write %s\n0 passed, 1 failed\n", path);
    exit(1);
}

static void write_text(const char *name, const char *text)
{
    FILE *f = create(name, "wb");
    fputs(text, f);
    fclose(f);
}

static void put_tensor(FILE *f, int which)
{
    static float row[WIDEST];
    int rows = tensors[which].rows > 0 ? tensors[which].rows : 1, r, c;
    uint8_t bytes[4];
    for (r = 0; r < rows; r++)
        for (c = 0; c < tensors[which].cols; c++) {
            row[c] = element(tensors[which].filling, r, c, row);
            hf_store_float(bytes, row[c]);
            fwrite(bytes, 1, 4, f);
        }
}

/* How often a tensor is there: in each layer, for each expert. */
static int times_of(int which)
{
    const char *layer = strchr(tensors[which].name, '%');
    return !layer ? 1 : strchr(layer + 1, '%') ? LAYERS * EXPERTS : LAYERS;
}

static size_t put_shape(char *to, size_t room, int which, int time, int at)
{
    char name[128], shape[32];
    int rows = tensors[which].rows, cols = tensors[which].cols, each = times_of(which) / LAYERS;
    snprintf(name, sizeof name, tensors[which].name, each ? time / each : 0, each ? time % each : 0);
    if (rows > 0) snprintf(shape, sizeof shape, "%d, %d", rows, cols);
    else snprintf(shape, sizeof shape, "%d", cols), rows = 1;
    return (size_t)snprintf(to, room, "%c\"%s\": {\"dtype\": \"F32\", \"shape\": [%s], \"data_offsets\": [%d, %d]}",
                            at ? ',' : '{', name, shape, at, at + 4 * rows * cols);
}

static void write_weights(const char *name)
{
    static char header[1 << 14];
    FILE *f = create(name, "wb");
    uint8_t size[8];
    size_t used = 0;
    int i, k, at = 0;
    for (i = 0; i < N_TENSORS; i++)
        for (k = 0; k < times_of(i); k++) {
            used += put_shape(header + used, sizeof header - used, i, k, at);
            at += 4 * (tensors[i].rows > 0 ? tensors[i].rows : 1) * tensors[i].cols;
        }
    header[used++] = '}';
    hf_store(size, used, 8);
    fwrite(size, 1, 8, f), fwrite(header, 1, used, f);
    for (i = 0; i < N_TENSORS; i++)
        for (k = 0; k < times_of(i); k++) put_tensor(f, i);
    fclose(f);
}

/* Bytes as GPT-2 names them: printable ones are themselves, the others are counted from 256 on. */
static int is_printable(int b) { return (b > 32 && b < 127) || (b > 160 && b != 173); }

static void write_tokenizer(const char *name)
{
    FILE *f = create(name, "wb");
    int b, others = 0;
    fputs("{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"added_tokens\": [{\"id\": 256,"
          " \"content\": \"<s>\", \"special\": true}], \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {", f);
    for (b = 0; b < BYTES; b++) fprintf(f, "%s\"\\u%04x\": %d", b ? ", " : "", is_printable(b) ? b : 256 + others++, b);
    fputs("}}}", f);
    fclose(f);
}

static void write_model(void)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/mixture", folder);
    mkdir(path, 0777);
    write_text("mixture/config.json", config);
    write_weights("mixture/model.safetensors");
    write_tokenizer("mixture/tokenizer.json");
    write_text("text.txt", "One day, Anna went to the park. She had a red ball, and she gave it to Tom. \"Thank you!\" "
                           "said Tom. They played until it was dark, and then they went home.\n");
}

static uint8_t *converted(const char *name, const char *options)
{
    char command[4 * PATH], path[PATH];
    uint8_t *data;
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(command, sizeof command, "%s %s/mixture %s --quiet %s", converter, folder, path, options);
    if (system(command) == 0 && (data = load_file(path, &bytes)) != NULL) return data;
    printf("FAILED %s\n0 passed, 1 failed\n", command);
    exit(1);
}

/* ---- what the text gives the matrices ---- */

typedef struct sums {
    int rows; /* that came, 0: nobody chose this expert */
    double squares[WIDEST];
} sums;

static const char *const matrices[] = {"qkv", "attn_out", "gate_up", "down"};
enum { N_MATRICES = 4 };
static sums noted[LAYERS][N_MATRICES][EXPERTS];

static void note(void *user, const harp_inputs *in)
{
    int k = 0, r, c;
    sums *s;
    (void)user;
    while (k < N_MATRICES && strcmp(in->matrix, matrices[k]) != 0) k++;
    if (in->layer >= LAYERS || k == N_MATRICES) return;
    s = &noted[in->layer][k][in->expert > 0 ? in->expert : 0];
    for (r = 0; r < in->rows; r++, s->rows++)
        for (c = 0; c < in->cols; c++) {
            double x = (double)in->x[(size_t)r * in->stride + (size_t)c];
            s->squares[c] += x * x;
        }
}

static void read_text(const char *model)
{
    char path[PATH], *text;
    int32_t tokens[CONTEXT] = {BOS};
    harp_params p = harp_defaults();
    harp_model *m = NULL;
    harp_session *s;
    size_t bytes, n = 0;
    snprintf(path, sizeof path, "%s/text.txt", folder);
    text = load_file(path, &bytes);
    snprintf(path, sizeof path, "%s/%s", folder, model);
    CHECK(text && harp_open(&m, path, NULL) == HARP_OK);
    p.harp = 0, p.inputs_fn = note;
    s = open_session(m, &p);
    CHECK(harp_encode(m, text, bytes, 0, tokens + 1, CONTEXT - 1, &n, NULL) == HARP_OK && n == bytes);
    CHECK(harp_feed(s, tokens, (int32_t)n + 1, NULL) == HARP_OK);
    CHECK(noted[1][0][0].rows == (int)n || noted[1][0][0].rows == (int)n + 1); /* the newest token may wait */
    if (noted[1][0][0].rows == (int)n) CHECK(harp_next(s, NULL, NULL) == HARP_OK);
    harp_session_close(s);
    harp_close(m);
    free(text);
}

/* ---- what the files lose ---- */

/* The sum of squared errors of an expert's rows of a tensor, each weighed by its column. */
static double loss(uint8_t *file, uint8_t *exact, const char *name, uint64_t first, uint64_t rows,
                   const double *weights)
{
    const uint8_t *a = hf_find_record(file, name), *b = hf_find_record(exact, name);
    uint64_t r, c;
    double sum = 0.0;
    for (r = first; r < first + rows; r++)
        for (c = 0; c < cv_u64(a + 64); c++) {
            double e = hf_weight(file, a, r, c) - hf_weight(exact, b, r, c);
            sum += e * e * (weights ? weights[c] : 1.0);
        }
    return sum;
}

/* Are these rows' tiles what floats become with the file's table and no importance? */
static int is_as_without(uint8_t *file, uint8_t *exact, const char *name, uint64_t first, uint64_t rows)
{
    const uint8_t *a = hf_find_record(file, name), *b = hf_find_record(exact, name), *data = hf_tensor_data(file, a);
    uint64_t cols = cv_u64(a + 64), r, i, bad;
    size_t each = cv_nibble_tile_bytes(cols);
    static float w[CV_TILE_ROWS * WIDEST];
    static unsigned char tile[1 << 14];
    int same = 1;
    for (r = first; r < first + rows; r += CV_TILE_ROWS) {
        for (i = 0; i < CV_TILE_ROWS * cols; i++) w[i] = (float)hf_weight(exact, b, r + i / cols, i % cols);
        CHECK(cv_nibbles_of_floats(tile, w, CV_TILE_ROWS, cols, (const int8_t *)data, NULL, NULL, &bad) == 0);
        same &= memcmp(tile, data + CV_TABLE_BYTES + (size_t)(r / CV_TILE_ROWS) * each, each) == 0;
    }
    return same;
}

static void compare(uint8_t *plain, uint8_t *seen, uint8_t *exact, int layer, int k)
{
    int experts = k < 2 ? 1 : EXPERTS, e;
    char name[48];
    uint8_t *record;
    uint64_t rows;
    double before = 0.0, after = 0.0;
    snprintf(name, sizeof name, "%d.%s", layer, matrices[k]);
    record = hf_find_record(seen, name), rows = record ? cv_u64(record + 56) / (uint64_t)experts : 0;
    check(record && cv_u32(record + 48) == HF_NIBBLES, "%s has four bits", name);
    for (e = 0; record && e < experts; e++) {
        const sums *s = &noted[layer][k][e];
        uint64_t first = rows * (uint64_t)e;
        double without = loss(plain, exact, name, first, rows, s->squares);
        double with = loss(seen, exact, name, first, rows, s->squares);
        check((s->rows == 0) == (experts > 1 && e == NEVER), "%s, expert %d: %d inputs", name, e, s->rows);
        check((s->rows == 0) == is_as_without(seen, exact, name, first, rows), "%s, expert %d: as without a text", name,
              e);
        check(s->rows == 0 || with < without, "%s, expert %d: loses %g, without a text %g", name, e, with, without);
        before += without, after += with;
        with = loss(seen, exact, name, first, rows, NULL), without = loss(plain, exact, name, first, rows, NULL);
        check(s->rows > 0 || with < 1.2 * without, "%s, expert %d: loses %g of %g", name, e, with, without);
    }
    check(after < 0.8 * before, "%s loses %g, without a text %g", name, after, before);
    printf("note   %s: the loss on the text is %.2f of that without it\n", name, after / before);
}

int main(int argc, char **argv)
{
    char options[PATH + 64];
    uint8_t *plain, *seen, *exact;
    int layer, k;
    if (argc != 3) return 2;
    converter = argv[1], folder = argv[2];
    write_model();
    snprintf(options, sizeof options, "--bits 4 --calibrate %s/text.txt", folder);
    free(converted("int8.harp", "--bits 8"));
    exact = converted("exact.harp", "--weights f32"), plain = converted("plain.harp", "--bits 4");
    seen = converted("seen.harp", options);
    read_text("int8.harp");
    for (layer = 0; layer < LAYERS; layer++)
        for (k = 0; k < N_MATRICES; k++) compare(plain, seen, exact, layer, k);
    free(plain), free(seen), free(exact);
    return conclude();
}
