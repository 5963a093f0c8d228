/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * calibrate.h - which weights matter: the model reads a text, and what its matrices are given is looked at
 *
 * An error of a weight costs as much as its input is large. So the importance of a column is the mean square of that
 * input over the tokens of the text; an expert's, over the tokens that chose it. */
#ifndef HARP_CONVERT_CALIBRATE_H
#define HARP_CONVERT_CALIBRATE_H

#include "file/plan.h"

/* Runs the int8 model in `path` on the beginning of the text file and gives each matrix of the plan's layers its
 * importance, which lives as long as the plan. *tokens: how many it has read. */
int cv_calibrate(cv_plan *plan, const char *path, const char *text, int *tokens, cv_error *err);

#endif
