/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_machine.c - the state machine of tests/machine.c, its operations chosen by a fuzzer
 *
 * The first eight bytes are the seed of model and session; each operation takes four more, from which it draws. */
#include "../../harp.h"
#include "fuzz.h"

#define MACHINE_FUZZ
#include "../machine.c"

enum { MOST_CHOSEN = 60 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    sequence q = {0, 0, NULL, NULL};
    if (bytes < 12) return 0;
    memcpy(&q.seed, data, 8);
    q.input = data + 8, q.operations = (int)((bytes - 8) / 4 < MOST_CHOSEN ? (bytes - 8) / 4 : MOST_CHOSEN);
    if (run_sequence(&q, 0)) {
        printf("%s%s: %s\n", the_machine.log, the_machine.where, the_machine.complaint);
        fflush(stdout);
        abort();
    }
    return 0;
}
