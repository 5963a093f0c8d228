/* chat.c - a chat with history, in the format that the model was trained on: a line in, an answer out
 *
 *     cc -O2 -pthread examples/chat.c harp_impl.c -lm -o chat && ./chat demo.harp
 */
#include <stdio.h>
#include <string.h>
#include "../harp.h"

enum { MOST = 200, TEXT = 1 << 16 };
static char said[TEXT], text[2 * TEXT]; /* all messages, one after the other; the conversation as the model reads it */
static int32_t tokens[2 * TEXT];
static size_t used, n, n_tokens; /* of said, of the messages, of tokens */

static int show(void *answer, const char *piece, size_t bytes, const harp_step *step)
{
    if (bytes > TEXT - used) return 1;
    (void)step, memcpy(said + used, piece, bytes), used += bytes, ((harp_message *)answer)->bytes += bytes;
    return fwrite(piece, 1, bytes, stdout) != bytes || fflush(stdout) != 0;
}

/* The tokens that the session holds already stay computed; only the rest is fed. */
static harp_status feed(harp_session *session, int32_t count, harp_error *err)
{
    int32_t held, same = 0;
    const int32_t *before = harp_tokens(session, &held);
    while (same < held && same + 1 < count && before[same] == tokens[same]) same++;
    return harp_rewind(session, same, err) ? err->status : harp_feed(session, tokens + same, count - same, err);
}

int main(int argc, char **argv)
{
    static harp_message m[MOST];
    static harp_span spans[2 * MOST + 1];
    harp_rendering chat = {text, sizeof text, spans, 2 * MOST + 1, 0, 0, 0};
    harp_model *model = NULL;
    harp_session *session = NULL;
    harp_params params = harp_defaults();
    harp_error err;
    if (!harp_open(&model, argc > 1 ? argv[1] : "demo.harp", &err)) harp_session_open(&session, model, &params, &err);
    for (; !err.status && n + 2 <= MOST && used + 2 < TEXT && fgets(said + used, (int)(TEXT - used), stdin); puts("")) {
        m[n].role = HARP_ROLE_USER, m[n].text = said + used, m[n].bytes = strcspn(said + used, "\n");
        used += m[n++].bytes, m[n].role = HARP_ROLE_ASSISTANT, m[n].text = said + used;
        if (!harp_render(model, m, n, HARP_RENDER_ANSWER, &chat, &err)
            && !harp_encode_spans(model, text, spans, chat.n_spans, chat.flags, tokens, 2 * TEXT, &n_tokens, &err)
            && !feed(session, (int32_t)n_tokens, &err)) harp_generate(session, NULL, 200, show, &m[n++], &err);
    }
    harp_session_close(session), harp_close(model);
    return err.status ? fprintf(stderr, "%s\n", err.text), 1 : 0;
}
