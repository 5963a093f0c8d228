/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * recommend.h - harp-convert --recommend: writes into a .harp file with which settings of HARP it is to be used */
#ifndef HARP_CONVERT_RECOMMEND_H
#define HARP_CONVERT_RECOMMEND_H

#include "ground/error.h"

/* The file at `advice` is what harp-eval --task tune wrote. The model is replaced once the new one is whole; its
 * weights stay as they were. A recommendation that it had is gone. */
int cv_recommend(const char *model, const char *advice, cv_error *err);

#endif
