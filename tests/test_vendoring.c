/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_vendoring.c - the header as a stranger includes it: after a plain include, from C and from C++98 */
#include "../harp.h"
#include "../harp.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    harp_model *model = NULL;
    harp_session *session = NULL;
    harp_params params = harp_defaults();
    harp_error err;
    harp_step step;
    int32_t prompt[3] = {1, 2, 3};
    if (argc < 2) return 2;
    params.context = 16;
    if (harp_open(&model, argv[1], &err) || harp_session_open(&session, model, &params, &err)
        || harp_feed(session, prompt, 3, &err) || harp_next(session, &step, &err)) {
        printf("%s\n0 passed, 1 failed\n", err.text);
        return 1;
    }
    harp_session_close(session);
    harp_close(model);
    printf("1 passed, 0 failed\n");
    return 0;
}
