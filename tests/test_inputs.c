/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_inputs.c - what inputs_fn shows, against a slow model
 *
 *     test_inputs MODEL.harp      which computes as Llama or Mixtral does
 *
 * Three sessions go on together on one engine, with HARP, so that a pass has rows of all of them: prompts', newest and
 * reframed ones. The slow model reads the same file and computes each text by itself, position by position, in doubles.
 * What it gives each matrix must be what inputs_fn has shown, each row once, and no other row. */
#include "../harp.h"
#include "harp_file.h"
#include "test.h"

#include <math.h>

enum { SESSIONS = 3, STEPS = 5, MOST_TOKENS = 40, MOST_LAYERS = 4, MOST_USED = 4, MOST_SEEN = 1 << 14 };

static double *numbers(int n)
{
    double *x = calloc((size_t)n, sizeof *x);
    if (!x) exit(2);
    return x;
}

/* ---- what was shown ---- */

typedef struct seen { /* one row of a product */
    int layer, expert, cols, expected;
    const char *matrix;
    double *x;
} seen;

static seen shown[MOST_SEEN];
static int n_shown, most_answers; /* rows of one product with the output matrix */

static void note(void *user, const harp_inputs *in)
{
    int r, c;
    (void)user;
    CHECK(n_shown + in->rows <= MOST_SEEN);
    for (r = 0; r < in->rows && n_shown < MOST_SEEN; r++) {
        seen *s = &shown[n_shown++];
        s->layer = in->layer, s->expert = in->expert, s->matrix = in->matrix, s->cols = in->cols, s->expected = 0;
        s->x = numbers(in->cols);
        for (c = 0; c < in->cols; c++) s->x[c] = (double)in->x[(size_t)r * in->stride + (size_t)c];
    }
    if (strcmp(in->matrix, "output") == 0 && in->rows > most_answers) most_answers = in->rows;
}

/* Floats that come from sums of some hundred products. */
static int are_near(const double *a, const double *b, int n)
{
    double largest = 0.0;
    int i;
    for (i = 0; i < n; i++) largest = fmax(largest, fabs(b[i]));
    for (i = 0; i < n && fabs(a[i] - b[i]) <= 1e-4 * largest; i++) {}
    return i == n;
}

/* Some product must have had this row. */
static void expect(int layer, int expert, const char *matrix, const double *x, int cols)
{
    int i;
    for (i = 0; i < n_shown; i++) {
        seen *s = &shown[i];
        if (s->expected || s->layer != layer || s->expert != expert || strcmp(s->matrix, matrix) != 0) continue;
        if (s->cols == cols && are_near(s->x, x, cols)) break;
    }
    check(i < n_shown, "layer %d, expert %d: %s has not had a row that it should", layer, expert, matrix);
    if (i < n_shown) shown[i].expected = 1;
}

static void forget_shown(void)
{
    while (n_shown > 0) free(shown[--n_shown].x);
    most_answers = 0;
}

/* ---- the slow model ---- */

typedef struct matrix {
    int rows, cols; /* 0: the file lacks it */
    double *w;      /* [rows][cols] */
} matrix;

typedef struct layer {
    matrix attn_norm, qkv, attn_out, ffn_norm, router, gate_up, down;
} layer;

typedef struct slow_model {
    harp_info is;
    double eps;
    matrix embedding, rope, final_norm;
    layer layers[MOST_LAYERS];
} slow_model;

static matrix load_matrix(uint8_t *file, const char *name)
{
    const uint8_t *record = hf_find_record(file, name);
    matrix m = {0, 0, NULL};
    int r, c;
    if (!record) return m;
    m.rows = (int)cv_u64(record + 56), m.cols = (int)cv_u64(record + 64), m.w = numbers(m.rows * m.cols);
    for (r = 0; r < m.rows; r++)
        for (c = 0; c < m.cols; c++)
            m.w[r * m.cols + c] = cv_u32(record + 48) == HF_VECTOR
                                      ? (double)cv_float_of_bits(cv_u32(hf_tensor_data(file, record) + 4 * c))
                                      : hf_weight(file, record, (uint64_t)r, (uint64_t)c);
    return m;
}

static matrix load_of_layer(uint8_t *file, int layer, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%d.%s", layer, name);
    return load_matrix(file, full);
}

static void load_slow(slow_model *m, uint8_t *file, harp_info is)
{
    uint64_t bits = cv_u64(hf_find_value(file, "norm_eps", NULL));
    int i;
    memcpy(&m->eps, &bits, 8);
    m->is = is;
    m->embedding = load_matrix(file, "embedding"), m->rope = load_matrix(file, "rope_frequencies");
    m->final_norm = load_matrix(file, "final_norm");
    for (i = 0; i < is.layers; i++) {
        layer *w = &m->layers[i];
        w->attn_norm = load_of_layer(file, i, "attn_norm"), w->qkv = load_of_layer(file, i, "qkv");
        w->attn_out = load_of_layer(file, i, "attn_out"), w->ffn_norm = load_of_layer(file, i, "ffn_norm");
        w->router = load_of_layer(file, i, "router"), w->gate_up = load_of_layer(file, i, "gate_up");
        w->down = load_of_layer(file, i, "down");
    }
}

static void free_slow(slow_model *m)
{
    int i;
    for (i = 0; i < m->is.layers; i++) {
        layer *w = &m->layers[i];
        free(w->attn_norm.w), free(w->qkv.w), free(w->attn_out.w), free(w->ffn_norm.w), free(w->router.w);
        free(w->gate_up.w), free(w->down.w);
    }
    free(m->embedding.w), free(m->rope.w), free(m->final_norm.w);
}

/* y[rows] = x . rows `first` and following of m^T */
static void multiply(double *y, const matrix *m, int first, int rows, const double *x)
{
    int r, c;
    for (r = 0; r < rows; r++) {
        y[r] = 0.0;
        for (c = 0; c < m->cols; c++) y[r] += m->w[(first + r) * m->cols + c] * x[c];
    }
}

static void rms_norm(double *y, const double *x, const matrix *weight, double eps)
{
    double sum = 0.0;
    int i, n = weight->cols;
    for (i = 0; i < n; i++) sum += x[i] * x[i];
    for (i = 0; i < n; i++) y[i] = x[i] / sqrt(sum / n + eps) * weight->w[i];
}

/* ---- a text in it ---- */

typedef struct text {
    const int32_t *tokens;
    int n, first_logits; /* positions that are computed, and the first of them that wants logits */
    int masks;           /* 0: the text is not reframed; else whose masks */
    double *qkv[MOST_LAYERS]; /* [n][rows of qkv], turned */
} text;

/* Whether an element of an embedding stays. */
static int stays(int masks, int position, int d) { return (d * 7 + position * 3 + masks) % 5 != 0; }

static int mask(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep, int32_t hidden)
{
    int32_t d;
    (void)reframing, (void)step;
    for (d = 0; d < hidden; d++) keep[d] = (unsigned char)stays(*(int *)user, position, d);
    return 0;
}

static void turn_heads(const slow_model *m, double *qkv, int position)
{
    int dim = m->is.head_dim, half = m->rope.cols, h, i;
    for (h = 0; h < m->is.heads + m->is.kv_heads; h++)
        for (i = 0; i < half; i++) {
            double *x = qkv + h * dim + i, a = x[0], b = x[half], angle = position * m->rope.w[i];
            x[0] = a * cos(angle) - b * sin(angle), x[half] = b * cos(angle) + a * sin(angle);
        }
}

/* out[dim] = what head h of a position sees of the positions up to its own. */
static void see(const slow_model *m, const text *t, int l, int position, int h, double *out)
{
    int dim = m->is.head_dim, rows = m->layers[l].qkv.rows, of = h / (m->is.heads / m->is.kv_heads), j, d;
    const double *q = t->qkv[l] + position * rows + h * dim;
    double total = 0.0;
    memset(out, 0, (size_t)dim * sizeof *out);
    for (j = 0; j <= position; j++) {
        const double *k = t->qkv[l] + j * rows + (m->is.heads + of) * dim, *v = k + m->is.kv_heads * dim;
        double score = 0.0;
        for (d = 0; d < dim; d++) score += q[d] * k[d];
        score = exp(score / sqrt(dim)), total += score;
        for (d = 0; d < dim; d++) out[d] += score * v[d];
    }
    for (d = 0; d < dim; d++) out[d] /= total;
}

static void attend(const slow_model *m, text *t, int l, int position, double *x)
{
    const layer *w = &m->layers[l];
    double *normed = numbers(m->is.hidden), *heads = numbers(w->attn_out.cols), *change = numbers(m->is.hidden);
    double *qkv = t->qkv[l] + position * w->qkv.rows;
    int i;
    rms_norm(normed, x, &w->attn_norm, m->eps);
    expect(l, -1, "qkv", normed, w->qkv.cols);
    multiply(qkv, &w->qkv, 0, w->qkv.rows, normed);
    turn_heads(m, qkv, position);
    for (i = 0; i < m->is.heads; i++) see(m, t, l, position, i, heads + i * m->is.head_dim);
    expect(l, -1, "attn_out", heads, w->attn_out.cols);
    multiply(change, &w->attn_out, 0, m->is.hidden, heads);
    for (i = 0; i < m->is.hidden; i++) x[i] += change[i];
    free(normed), free(heads), free(change);
}

/* x += weight * what a feed-forward makes of normed; expert -1: the only one. */
static void feed_forward(const slow_model *m, int l, int expert, double weight, const double *normed, double *x)
{
    const layer *w = &m->layers[l];
    int ffn = w->down.cols, which = expert < 0 ? 0 : expert, i;
    double *inner = numbers(2 * ffn), *change = numbers(m->is.hidden);
    expect(l, expert, "gate_up", normed, w->gate_up.cols);
    multiply(inner, &w->gate_up, 2 * ffn * which, 2 * ffn, normed);
    for (i = 0; i < ffn; i++) inner[i] = inner[i] / (1.0 + exp(-inner[i])) * inner[ffn + i];
    expect(l, expert, "down", inner, ffn);
    multiply(change, &w->down, m->is.hidden * which, m->is.hidden, inner);
    for (i = 0; i < m->is.hidden; i++) x[i] += weight * change[i];
    free(inner), free(change);
}

/* The experts with the largest logits; their weights are the softmax over them. */
static void ask_experts(const slow_model *m, int l, const double *normed, double *x)
{
    const matrix *router = &m->layers[l].router;
    double *logits = numbers(router->rows), total = 0.0, weight[MOST_USED];
    int chosen[MOST_USED], k, i;
    expect(l, -1, "router", normed, router->cols);
    multiply(logits, router, 0, router->rows, normed);
    for (k = 0; k < m->is.experts_used; k++) {
        chosen[k] = 0;
        for (i = 1; i < router->rows; i++)
            if (logits[i] > logits[chosen[k]]) chosen[k] = i;
        total += weight[k] = exp(logits[chosen[k]]), logits[chosen[k]] = -1e300;
    }
    for (k = 0; k < m->is.experts_used; k++) feed_forward(m, l, chosen[k], weight[k] / total, normed, x);
    free(logits);
}

static void compute_position(const slow_model *m, text *t, int position)
{
    double *x = numbers(m->is.hidden), *normed = numbers(m->is.hidden);
    int d, l;
    for (d = 0; d < m->is.hidden; d++)
        if (!t->masks || stays(t->masks, position, d)) x[d] = m->embedding.w[t->tokens[position] * m->is.hidden + d];
    for (l = 0; l < m->is.layers; l++) {
        attend(m, t, l, position, x);
        rms_norm(normed, x, &m->layers[l].ffn_norm, m->eps);
        if (m->layers[l].router.rows > 0) ask_experts(m, l, normed, x);
        else feed_forward(m, l, -1, 1.0, normed, x);
    }
    rms_norm(normed, x, &m->final_norm, m->eps);
    if (position >= t->first_logits) expect(l, -1, "output", normed, m->is.hidden);
    free(x), free(normed);
}

static void compute_text(const slow_model *m, const int32_t *tokens, int n, int first_logits, int masks)
{
    text t = {NULL, 0, 0, 0, {NULL}};
    int i;
    t.tokens = tokens, t.n = n, t.first_logits = first_logits, t.masks = masks;
    for (i = 0; i < m->is.layers; i++) t.qkv[i] = numbers(n * m->layers[i].qkv.rows);
    for (i = 0; i < n; i++) compute_position(m, &t, i);
    for (i = 0; i < m->is.layers; i++) free(t.qkv[i]);
}

/* ---- company ---- */

static void go_on(harp_session **sessions, const int *lengths)
{
    int turn, i;
    for (turn = 0; turn < 200; turn++) {
        harp_member members[SESSIONS];
        int n = 0;
        memset(members, 0, sizeof members);
        for (i = 0; i < SESSIONS; i++)
            if (length_of(sessions[i]) < lengths[i] + STEPS) members[n++].session = sessions[i];
        if (n == 0) return;
        CHECK(harp_together(members, n, 0, NULL) == HARP_OK);
    }
    CHECK(!"all come to their end");
}

/* together: rows with logits in the largest pass, of all sessions' texts or of some */
static void test_company(const harp_model *m, const slow_model *slow, harp_schedule schedule, int32_t batch,
                         int threads, int together)
{
    static const int lengths[SESSIONS] = {11, 1, 24};
    int masks[SESSIONS] = {1, 2, 3}, i, k, left = 0;
    harp_params p = harp_defaults();
    harp_session *sessions[SESSIONS];
    harp_engine *e = NULL;
    p.context = MOST_TOKENS, p.batch = batch, p.threads = threads, p.inputs_fn = note, p.temperature = 0.0f;
    p.activations = HARP_ACT_F32, p.cache = HARP_CACHE_F32, p.theta = -1.0f, p.schedule = schedule, p.mask_fn = mask;
    CHECK(harp_engine_open(&e, m, &p, NULL) == HARP_OK);
    p.engine = e;
    for (i = 0; i < SESSIONS; i++) {
        int32_t prompt[MOST_TOKENS];
        for (k = 0; k < lengths[i]; k++) prompt[k] = (5 + 31 * i + 17 * k) % 200;
        p.harp_user = &masks[i];
        sessions[i] = open_session(m, &p);
        CHECK(harp_queue(sessions[i], prompt, lengths[i], NULL) == HARP_OK);
    }
    go_on(sessions, lengths);
    for (i = 0; i < SESSIONS; i++) {
        int n = length_of(sessions[i]) - 1; /* the newest token has not been computed */
        compute_text(slow, harp_tokens(sessions[i], NULL), n, lengths[i] - 1, 0);
        compute_text(slow, harp_tokens(sessions[i], NULL), n, lengths[i] - 1, masks[i]);
        harp_session_close(sessions[i]);
    }
    for (i = 0; i < n_shown; i++) left += !shown[i].expected;
    check(n_shown > 0 && left == 0, "%d rows of %d were shown that no text has", left, n_shown);
    check(most_answers == together, "a pass has logits for at most %d rows", most_answers);
    forget_shown();
    CHECK(harp_engine_close(e, NULL) == HARP_OK);
}

int main(int argc, char **argv)
{
    static slow_model slow;
    size_t bytes = 0;
    uint8_t *file = argc == 2 ? load_file(argv[1], &bytes) : NULL;
    harp_model *m = NULL;
    if (!file || harp_open(&m, argv[1], NULL) || harp_model_info(m).layers > MOST_LAYERS) return 2;
    load_slow(&slow, file, harp_model_info(m));
    test_company(m, &slow, HARP_SCHEDULE_FUSED, 64, 2, 2 * SESSIONS);
    test_company(m, &slow, HARP_SCHEDULE_LAZY, 64, 1, SESSIONS);
    test_company(m, &slow, HARP_SCHEDULE_FUSED, 7, 1, 2 * SESSIONS);
    free_slow(&slow);
    free(file);
    harp_close(m);
    return conclude();
}
