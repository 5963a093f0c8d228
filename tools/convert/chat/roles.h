/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * roles.h - from a chat template to a role table */
#ifndef HARP_ROLES_H
#define HARP_ROLES_H

#include "template.h"
#include "../file/meta.h"

/* Derives chat.start, chat.system.before ... from a chat template and verifies the table by rendering conversations
 * with both. Returns 0, -1 with err (bad template), or 1 with err saying what could not be derived. */
int cv_chat_table(const char *source, size_t bytes, const cv_specials *specials, cv_meta *meta, cv_error *err);

#endif
