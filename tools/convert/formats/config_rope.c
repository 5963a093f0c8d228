/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * config_rope.c - rope_theta and rope_scaling of config.json -> tables of frequencies
 *
 * In the order of operations of transformers' modeling_rope_utils.py, in float32: the numbers agree to the last bit or
 * nearly so, and angles of far positions with them. */
#include "config.h"
#include "../model/rope.h"

#include <math.h>
#include <string.h>

typedef struct scaling {
    cv_config *c;
    uint32_t node; /* rope_scaling, or rope_parameters */
    double theta;
} scaling;

/* A number from least up. */
static int read_number(const scaling *s, const char *key, double least, double *number, cv_error *err)
{
    const cv_json *j = s->c->json;
    if (cv_json_number(j, cv_json_get(j, s->node, key), number) && *number >= least && *number <= 1e9) return 0;
    return cv_fail(err, "%.200s: rope_scaling.%s is missing or not a number from %g up", s->c->path, key, least);
}

static int is_there(const scaling *s, const char *key)
{
    return cv_json_type_of(s->c->json, cv_json_get(s->c->json, s->node, key)) > CV_JSON_NULL;
}

/* Llama 3.1's: long waves are slowed down by factor, short ones are left alone, those between are blended. */
static int scale_llama3(scaling *s, cv_error *err)
{
    cv_facts *facts = s->c->facts;
    double number[4];
    if (read_number(s, "factor", 1.0, &number[0], err) < 0
        || read_number(s, "low_freq_factor", 1e-6, &number[1], err) < 0
        || read_number(s, "high_freq_factor", 1e-6, &number[2], err) < 0
        || read_number(s, "original_max_position_embeddings", 1.0, &number[3], err) < 0)
        return -1;
    float factor = (float)number[0], low = (float)number[1], high = (float)number[2], old = (float)number[3];
    if (!(high > low))
        return cv_fail(err, "%.200s: rope_scaling: high_freq_factor must exceed low_freq_factor", s->c->path);
    float longest = old / low, shortest = old / high, between = high - low;
    for (int32_t i = 0; i < facts->rope_dims / 2; i++) {
        float wave = 6.28318530717958647692f / facts->rope[i], slow = facts->rope[i] / factor;
        float share = old / wave;
        share = share - low;
        share = share / between;
        float rest = 1.0f - share;
        float a = rest * facts->rope[i];
        a = a / factor;
        float b = share * facts->rope[i];
        if (wave > longest) facts->rope[i] = slow;
        else if (!(wave < shortest)) facts->rope[i] = a + b;
    }
    return 0;
}

static int scale_linear(scaling *s, cv_error *err)
{
    double factor;
    if (read_number(s, "factor", 1.0, &factor, err) < 0) return -1;
    for (int32_t i = 0; i < s->c->facts->rope_dims / 2; i++) s->c->facts->rope[i] /= (float)factor;
    return 0;
}

static int scale_yarn(scaling *s, cv_error *err)
{
    cv_facts *m = s->c->facts;
    double factor, old = m->context, fast = 32.0, slow = 1.0, above, below, scale;
    if (read_number(s, "factor", 1.0, &factor, err) < 0
        || (is_there(s, "original_max_position_embeddings")
            && read_number(s, "original_max_position_embeddings", 1.0, &old, err) < 0)
        || (is_there(s, "beta_fast") && read_number(s, "beta_fast", 1e-3, &fast, err) < 0)
        || (is_there(s, "beta_slow") && read_number(s, "beta_slow", 1e-3, &slow, err) < 0))
        return -1;
    scale = 0.1 * log(factor) + 1.0;
    if (is_there(s, "mscale") && is_there(s, "mscale_all_dim")) {
        if (read_number(s, "mscale", 1e-3, &above, err) < 0 || read_number(s, "mscale_all_dim", 1e-3, &below, err) < 0)
            return -1;
        scale = (0.1 * above * log(factor) + 1.0) / (0.1 * below * log(factor) + 1.0);
    }
    if (is_there(s, "attention_factor") && read_number(s, "attention_factor", 1e-3, &scale, err) < 0) return -1;
    uint32_t truncate = cv_json_get(s->c->json, s->node, "truncate");
    cv_rope_yarn(m->rope, m->rope_dims, s->theta, factor, old, fast, slow,
                 cv_json_type_of(s->c->json, truncate) != CV_JSON_FALSE);
    m->rope_scale = scale;
    if (old <= m->context) m->attention_step = (int32_t)old;
    if (old * factor > m->context && old * factor < 1 << 28) m->context = (int32_t)(old * factor);
    return 0;
}

static int read_factors(scaling *s, const char *key, float *table, cv_error *err)
{
    const cv_json *j = s->c->json;
    uint32_t list = cv_json_get(j, s->node, key);
    uint32_t n = (uint32_t)s->c->facts->rope_dims / 2, i = 0;
    double factor;
    if (cv_json_type_of(j, list) != CV_JSON_ARRAY || cv_json_count(j, list) != n)
        return cv_fail(err, "%.200s: rope_scaling.%s must be a list of %d numbers", s->c->path, key, (int)n);
    for (uint32_t k = cv_json_first(j, list); k != CV_JSON_NONE; k = cv_json_next(j, k), i++) {
        if (!cv_json_number(j, k, &factor) || !(factor >= 1e-3 && factor <= 1e6))
            return cv_fail(err, "%.200s: rope_scaling.%s: element %d is no factor", s->c->path, key, (int)i);
        float slowed = (float)factor * cv_rope_power(s->c->facts->rope_dims, s->theta, (int32_t)i);
        table[i] = 1.0f / slowed;
    }
    return 0;
}

/* LongRoPE [Ding et al. 2024], as Phi-3 has it: one set of factors for sequences up to the original context, another
 * for longer ones; both with the same factor of the cosines and sines. */
static int scale_longrope(scaling *s, cv_error *err)
{
    cv_facts *m = s->c->facts;
    int32_t old;
    if (cv_config_size(s->c, "original_max_position_embeddings", 0, &old, err) < 0) return -1;
    if (old < 2 || old > m->context)
        return cv_fail(err, "%.200s: original_max_position_embeddings is %d; a count from 2 to %d is wanted",
                       s->c->path, (int)old, (int)m->context);
    double factor = (double)m->context / old, scale = sqrt(1.0 + log(factor) / log((double)old));
    if (is_there(s, "attention_factor") && read_number(s, "attention_factor", 1e-3, &scale, err) < 0) return -1;
    m->rope_scale = factor > 1.0 || is_there(s, "attention_factor") ? scale : 0.0;
    m->rope_original = old;
    if (read_factors(s, "short_factor", m->rope, err) < 0) return -1;
    return read_factors(s, "long_factor", m->rope_long, err);
}

/* Gemma 4's: of the pairs of a head, which stand half a head apart, the first ones turn as if all did. */
static int stop_some(scaling *s, cv_error *err)
{
    cv_facts *m = s->c->facts;
    double share = 1.0;
    if (is_there(s, "partial_rotary_factor")
        && (read_number(s, "partial_rotary_factor", 1e-6, &share, err) < 0 || share > 1.0))
        return cv_fail(err, "%.200s: rope_scaling.partial_rotary_factor must be a number up to 1", s->c->path);
    for (int32_t i = (int32_t)(share * m->rope_dims / 2); i < m->rope_dims / 2; i++) m->rope[i] = 0.0f;
    return 0;
}

static int keep(scaling *s, cv_error *err)
{
    (void)s, (void)err;
    return 0;
}

enum { MOST_SCALING_KEYS = 8 };

static const struct {
    const char *type, *keys[MOST_SCALING_KEYS]; /* type, rope_type and rope_theta are known to all */
    int (*scale)(scaling *s, cv_error *err);
} scalings[] = {
    {"default", {0}, keep},
    {"linear", {"factor"}, scale_linear},
    {"llama3", {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}, scale_llama3},
    {"yarn",
     {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor", "mscale",
      "mscale_all_dim", "truncate"},
     scale_yarn},
    {"proportional", {"partial_rotary_factor"}, stop_some},
    {"longrope", {"short_factor", "long_factor", "attention_factor"}, scale_longrope},
    {"su", {"short_factor", "long_factor", "attention_factor"}, scale_longrope}}; /* its older name */

static int check_keys(const scaling *s, const char *const *known, cv_error *err)
{
    const cv_json *j = s->c->json;
    char value[64];
    for (uint32_t k = cv_json_first(j, s->node); k != CV_JSON_NONE; k = cv_json_next(j, k)) {
        const char *key = cv_json_string(j, k, NULL);
        int found = strcmp(key, "type") == 0 || strcmp(key, "rope_type") == 0 || strcmp(key, "rope_theta") == 0
                    || cv_json_type_of(j, k + 1) == CV_JSON_NULL;
        for (int i = 0; i < MOST_SCALING_KEYS && known[i]; i++) found |= strcmp(key, known[i]) == 0;
        found |= s->c->family->hf.partial_key && strcmp(key, "partial_rotary_factor") == 0;
        for (const char *const *own = s->c->family->hf.rope_keys; own && *own; own++) found |= strcmp(key, *own) == 0;
        if (!found)
            return cv_fail(err, "%.200s: rope_scaling.%.80s is %s: not known for this type", s->c->path, key,
                           cv_config_describe(j, k + 1, value, sizeof value));
    }
    return 0;
}

static int apply_scaling(scaling *s, cv_error *err)
{
    const cv_json *j = s->c->json;
    uint32_t type = cv_json_get(j, s->node, "rope_type");
    char value[64];
    if (cv_json_type_of(j, s->node) <= CV_JSON_NULL) return 0;
    if (type == CV_JSON_NONE) type = cv_json_get(j, s->node, "type");
    for (size_t i = 0; i < sizeof scalings / sizeof *scalings; i++) { /* the first is the default */
        if (type != CV_JSON_NONE && !cv_json_is(j, type, scalings[i].type)) continue;
        return check_keys(s, scalings[i].keys, err) < 0 ? -1 : scalings[i].scale(s, err);
    }
    return cv_fail(err, "%.200s: rope_scaling of type %s is not supported", s->c->path,
                   cv_config_describe(j, type, value, sizeof value));
}

static int read_theta(const cv_config *c, uint32_t at, const char *key, double *theta, cv_error *err)
{
    *theta = cv_config_default(c, key, 10000.0);
    if (at == CV_JSON_NONE) return 0;
    if (cv_json_number(c->json, at, theta) && *theta > 1.0 && *theta <= 1e12) return 0;
    return cv_fail(err, "%.200s: %s must be a number above 1", c->path, key);
}

/* The newest folders have rope_parameters for each kind of layer: makes s->node those of the full layers, and *local
 * the base of the sliding ones, whose turns no family scales. */
static int read_kinds(scaling *s, double *local, cv_error *err)
{
    const cv_json *j = s->c->json;
    uint32_t full = cv_json_get(j, s->node, "full_attention"), sliding = cv_json_get(j, s->node, "sliding_attention");
    uint32_t type = cv_json_get(j, sliding, "rope_type");
    char value[64];
    if (cv_json_type_of(j, full) != CV_JSON_OBJECT || cv_json_type_of(j, sliding) != CV_JSON_OBJECT) return 0;
    if (type != CV_JSON_NONE && !cv_json_is(j, type, "default"))
        return cv_fail(err, "%.200s: rope_parameters.sliding_attention is of type %s; only default is supported",
                       s->c->path, cv_config_describe(j, type, value, sizeof value));
    s->node = full;
    return read_theta(s->c, cv_json_get(j, sliding, "rope_theta"), "rope_local_base_freq", local, err);
}

/* Newer folders keep theta and the share that turns inside rope_parameters, older ones beside rope_scaling. */
int cv_config_rope(cv_config *c, cv_error *err)
{
    const cv_json *j = c->json;
    cv_facts *m = c->facts;
    scaling s = {c, cv_config_get(c, "rope_parameters"), 10000.0};
    const cv_huggingface *hf = &c->family->hf;
    static const char inside[] = "partial_rotary_factor";
    const char *key = hf->partial_key ? hf->partial_key : inside;
    double share, local = 0.0;
    uint32_t at;
    if (m->has_positions) return 0;
    if (c->family->local == CV_WINDOWS_LOCAL
        && read_theta(c, cv_config_get(c, "rope_local_base_freq"), "rope_local_base_freq", &local, err) < 0)
        return -1;
    if (read_kinds(&s, &local, err) < 0) return -1;
    at = cv_json_get(j, s.node, "rope_theta");
    if (cv_json_type_of(j, s.node) != CV_JSON_OBJECT) s.node = cv_config_get(c, "rope_scaling");
    if (at == CV_JSON_NONE) at = cv_json_get(j, s.node, "rope_theta");
    if (at == CV_JSON_NONE) at = cv_config_get(c, "rope_theta");
    if (at == CV_JSON_NONE) at = cv_config_get(c, "rotary_emb_base");
    if (read_theta(c, at, "rope_theta", &s.theta, err) < 0
        || cv_config_real(c, key, hf->partial > 0.0 ? hf->partial : 1.0, &share, err) < 0
        || (hf->partial_key && is_there(&s, inside) && read_number(&s, inside, 0.0, &share, err) < 0))
        return -1;
    if (!(share > 0.0 && share <= 1.0)) return cv_fail(err, "%.200s: %s is %g", c->path, key, share);
    m->rope_dims = (int32_t)(m->head_dim * share);
    cv_rope_frequencies(m->rope, m->rope_dims, s.theta);
    cv_fill_local(c->family, m, local > 0.0 ? local : s.theta);
    return apply_scaling(&s, err);
}
