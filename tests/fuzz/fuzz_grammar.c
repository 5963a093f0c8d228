/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_grammar.c - grammars in GBNF: each compiles or is refused, and what compiles is never stuck */
#include "fuzz_form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    return fz_form(data, bytes, harp_form_grammar);
}
