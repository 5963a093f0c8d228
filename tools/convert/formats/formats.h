/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * formats.h - the formats that models come in; each opens as a source */
#ifndef HARP_CONVERT_FORMATS_H
#define HARP_CONVERT_FORMATS_H

#include "../model/source.h"

int cv_open_huggingface(cv_source **source, const char *folder, cv_error *err);
int cv_open_llama2c(cv_source **source, const char *path, cv_error *err);
int cv_open_gguf(cv_source **source, const char *path, cv_error *err);
/* For --vocab-only: the smallest model that a tokenizer of `vocab` tokens can be carried by, all weights zero. */
int cv_open_empty(cv_source **source, int32_t vocab, cv_error *err);

#endif
