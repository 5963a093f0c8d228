/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * special.c - what of a config.json no list of a family's row can say; see families.h */
#include "config.h"

#include <string.h>

/* Qwen slides only if told to, and then only in the layers from max_window_layers up. */
int cv_read_qwen_window(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    int slides;
    int32_t first;
    if (cv_config_flag(c, "use_sliding_window", 0, &slides, err) < 0
        || cv_config_size(c, "max_window_layers", 28, &first, err) < 0)
        return -1;
    if (!slides) return 0;
    for (int32_t i = first; i < m->layers; i++) m->window_layers[i] = 1;
    m->has_window_layers = 1;
    return cv_config_size(c, "sliding_window", 4096, &m->window, err);
}

/* A list of as many as there are layers: 1, the layer turns; 0, it does not. */
static int read_no_rope_layers(cv_config *c, uint32_t list, cv_error *err)
{
    const cv_json *j = c->json;
    cv_facts *m = c->facts;
    int32_t i = 0;
    int64_t turns;
    char value[64];
    if (cv_json_count(j, list) != (uint32_t)m->layers || cv_json_type_of(j, list) != CV_JSON_ARRAY)
        return cv_fail(err, "%.200s: no_rope_layers is not a list of %d", c->path, (int)m->layers);
    for (uint32_t k = cv_json_first(j, list); k != CV_JSON_NONE; k = cv_json_next(j, k), i++) {
        if (!cv_json_integer(j, k, &turns) || turns < 0 || turns > 1)
            return cv_fail(err, "%.200s: no_rope_layers has %s; 0 or 1 is wanted", c->path,
                           cv_config_describe(j, k, value, sizeof value));
        m->local_layers[i] = turns == 0;
    }
    return 0;
}

/* SmolLM3: without a list, every no_rope_layer_interval-th layer does not turn. A window, if it is used, holds in the
 * layers that do not turn. */
int cv_read_still_layers(cv_config *c, cv_error *err)
{
    cv_facts *m = c->facts;
    uint32_t list = cv_config_get(c, "no_rope_layers");
    int32_t interval;
    int slides;
    if (cv_config_size(c, "no_rope_layer_interval", 4, &interval, err) < 0
        || cv_config_flag(c, "use_sliding_window", 0, &slides, err) < 0)
        return -1;
    if (interval < 1) return cv_config_wrong(c, "no_rope_layer_interval", "a count from 1 up", err);
    for (int32_t i = 0; i < m->layers; i++) m->local_layers[i] = (i + 1) % interval == 0;
    if (cv_json_type_of(c->json, list) > CV_JSON_NULL && read_no_rope_layers(c, list, err) < 0) return -1;
    m->has_local_layers = memchr(m->local_layers, 1, (size_t)m->layers) != NULL;
    if (!slides) return 0;
    memcpy(m->window_layers, m->local_layers, sizeof m->window_layers);
    m->has_window_layers = 1;
    return cv_config_size(c, "sliding_window", 0, &m->window, err);
}

/* GPT-NeoX has two keys for one thing. */
int cv_check_neox_share(cv_config *c, cv_error *err)
{
    double share, other;
    if (cv_config_real(c, "rotary_pct", 0.25, &share, err) < 0
        || cv_config_real(c, "partial_rotary_factor", share, &other, err) < 0)
        return -1;
    if (share == other) return 0;
    return cv_fail(err, "%.200s: rotary_pct is %g, but partial_rotary_factor is %g", c->path, share, other);
}
