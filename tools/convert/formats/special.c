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
