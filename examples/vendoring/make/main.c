/* story MODEL.harp PROMPT */
#include "vendor/harp.h"
#include <stdio.h>

static int show(void *user, const char *text, size_t bytes, const harp_step *step)
{
    (void)step;
    return fwrite(text, 1, bytes, (FILE *)user) != bytes;
}

int main(int argc, char **argv)
{
    harp_model *model = NULL;
    harp_session *session = NULL;
    harp_params params = harp_defaults();
    harp_error err;
    if (argc < 3) return 2;
    params.seed = 7;
    if (harp_open(&model, argv[1], &err) || harp_session_open(&session, model, &params, &err)
        || harp_generate(session, argv[2], 40, show, stdout, &err))
        fprintf(stderr, "%s\n", err.text);
    harp_session_close(session);
    harp_close(model);
    return err.status != HARP_OK;
}
