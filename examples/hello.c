/* hello.c - the smallest whole program: a prompt in, text out, HARP on
 *
 *     cc -O2 -pthread examples/hello.c harp_impl.c -lm -o hello && ./hello demo.harp "Once upon a time"
 */
#include <stdio.h>
#include "../harp.h"

/* Called for each token. `step` tells what HARP saw there: the entropy, whether the model hesitated, and more. */
static int show(void *user, const char *text, size_t bytes, const harp_step *step)
{
    (void)user, (void)step;
    return fwrite(text, 1, bytes, stdout) != bytes || fflush(stdout) != 0; /* non-zero stops the generation */
}

int main(int argc, char **argv)
{
    harp_model *model = NULL;
    harp_session *session = NULL;
    harp_params params = harp_defaults(); /* HARP on, the paper's settings */
    harp_error err;
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL.harp PROMPT\n", argv[0]);
        return 2;
    }
    /* Each call fails cleanly and says why; the first that fails ends the chain. */
    if (harp_open(&model, argv[1], &err) || harp_session_open(&session, model, &params, &err)
        || harp_generate(session, argv[2], 200, show, NULL, &err))
        fprintf(stderr, "%s: %s\n", argv[1], err.text);
    harp_session_close(session); /* closing NULL is fine, so every path ends here */
    harp_close(model);
    if (err.status == HARP_OK) putchar('\n');
    return err.status != HARP_OK;
}
