/* conversation.c - what was said, written out in the model's own format; saved and loaded
 *
 * harp_render writes the text by the model's table of roles. The table's texts name control tokens ("<|im_end|>"); what
 * people type never becomes one, whatever it looks like: harp_encode_spans turns both kinds of text, joined, into
 * tokens.
 *
 * A saved conversation is the JSON that most programs use: {"messages": [{"role": "user", "content": "..."}, ...]}. The
 * tokens, and so all answers to come, follow from it; nothing else needs saving.
 */
#include "cli.h"

#include "../../tools/convert/ground/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- The format ---- */

/* Can the model's format have these messages? */
static int can_render(const conversation *c, const harp_message *messages, size_t n)
{
    harp_rendering nothing;
    memset(&nothing, 0, sizeof nothing);
    return harp_render(c->model, messages, n, 0, &nothing, NULL) != HARP_ERR_UNSUPPORTED;
}

static const harp_message any[] = {{HARP_ROLE_SYSTEM, "x", 1}, {HARP_ROLE_USER, "x", 1}};

int conversation_has_format(const conversation *c)
{
    return can_render(c, any + 1, 1);
}

int conversation_has_system(const conversation *c)
{
    return can_render(c, any, 2);
}

/* ---- Messages ---- */

int conversation_add(conversation *c, int is_user, const char *text, size_t bytes)
{
    message *grown = realloc(c->messages, (c->n + 1) * sizeof *grown);
    if (!grown) return complain("there is not enough memory");
    c->messages = grown;
    memset(&grown[c->n], 0, sizeof *grown);
    if (blob_append(&grown[c->n].text, text, bytes)) return EXIT_FAILED;
    grown[c->n++].is_user = is_user;
    return EXIT_FINE;
}

void conversation_drop(conversation *c, size_t from)
{
    while (c->n > from) free(c->messages[--c->n].text.data);
    if (c->first > from) c->first = from;
}

int conversation_set_system(conversation *c, const char *text, size_t bytes)
{
    c->system.bytes = 0;
    return blob_append(&c->system, text, bytes);
}

void conversation_free(conversation *c)
{
    conversation_drop(c, 0);
    free(c->messages), free(c->system.data), free(c->written.text), free(c->written.spans), free(c->tokens.list);
    memset(c, 0, sizeof *c);
}

/* ---- Writing it out ---- */

static harp_message as_message(harp_role role, const blob *text)
{
    harp_message m;
    m.role = role, m.text = text->data, m.bytes = text->bytes;
    return m;
}

/* What the model is to see; returns how many messages. */
static size_t list_messages(const conversation *c, harp_message *list)
{
    size_t i, n = 0;
    if (c->system.bytes) list[n++] = as_message(HARP_ROLE_SYSTEM, &c->system);
    for (i = c->first; i < c->n; i++)
        list[n++] = as_message(c->messages[i].is_user ? HARP_ROLE_USER : HARP_ROLE_ASSISTANT, &c->messages[i].text);
    return n;
}

/* Makes room for what harp_render said that it needs. */
static int grow_rendering(harp_rendering *r)
{
    char *text = realloc(r->text, r->bytes);
    harp_span *spans = realloc(r->spans, r->n_spans * sizeof *spans);
    if (text) r->text = text, r->capacity = r->bytes;
    if (spans) r->spans = spans, r->span_capacity = r->n_spans;
    return text && spans ? EXIT_FINE : complain("there is not enough memory");
}

static int render(conversation *c, const harp_message *list, size_t n)
{
    harp_rendering *r = &c->written;
    harp_error err;
    harp_status status = harp_render(c->model, list, n, HARP_RENDER_ANSWER, r, &err);
    if (status == HARP_ERR_MEMORY && r->bytes && r->n_spans) {
        if (grow_rendering(r)) return EXIT_FAILED;
        status = harp_render(c->model, list, n, HARP_RENDER_ANSWER, r, &err);
    }
    return status ? complain("%s", err.text) : EXIT_FINE;
}

int conversation_write(conversation *c)
{
    harp_message *list = malloc((c->n - c->first + 1) * sizeof *list);
    const harp_rendering *r = &c->written;
    int status;
    if (!list) return complain("there is not enough memory");
    status = render(c, list, list_messages(c, list));
    free(list);
    c->tokens.n = 0;
    if (status) return status;
    return ids_encode_spans(&c->tokens, c->model, r->text, r->bytes, r->spans, r->n_spans, r->flags);
}

static int has_text(const conversation *c, const char *key, harp_meta *meta)
{
    return harp_meta_find(c->model, key, meta) && meta->type == HARP_META_TEXT;
}

/* Without the blanks at its end, which may differ; empty if there is nothing else, or a zero byte. */
int conversation_next_turn(const conversation *c, blob *text)
{
    harp_meta after, before;
    if (has_text(c, "chat.assistant.after", &after) && blob_append(text, after.data, after.bytes)) return EXIT_FAILED;
    if (has_text(c, "chat.user.before", &before) && blob_append(text, before.data, before.bytes)) return EXIT_FAILED;
    while (text->bytes && is_blank(text->data[text->bytes - 1])) text->data[--text->bytes] = 0;
    if (text->bytes && strlen(text->data) != text->bytes) text->bytes = 0;
    return EXIT_FINE;
}

/* ---- Saving ---- */

static void put_message(FILE *out, const char *role, const blob *text, const char *before)
{
    fprintf(out, "%s\n  {\"role\": \"%s\", \"content\": ", before, role);
    json_put_string(out, text->data, text->bytes);
    fputc('}', out);
}

static void put_conversation(FILE *out, const conversation *c)
{
    size_t i;
    fprintf(out, "{\"forgotten\": %lu,\n \"messages\": [", (unsigned long)c->first);
    if (c->system.bytes) put_message(out, "system", &c->system, "");
    for (i = 0; i < c->n; i++)
        put_message(out, c->messages[i].is_user ? "user" : "assistant", &c->messages[i].text,
                    i || c->system.bytes ? "," : "");
    fputs("\n]}\n", out);
}

/* The file appears under its name when it is complete, so what was saved before is not lost if this fails. */
int conversation_save(const conversation *c, const char *path)
{
    char name[HOST_PATH_BYTES];
    host_kind kind = host_kind_of(path);
    FILE *out;
    int file, failed;
    if (kind == HOST_FOLDER || kind == HOST_OTHER) return complain("%s: not a regular file", path);
    file = host_begin(path, name);
    if (file < 0) return complain("%s: %s", path, strerror(errno));
    host_close(file);
    out = host_fopen(name, "wb");
    if (out) put_conversation(out, c);
    failed = !out || (fflush(out) | ferror(out));
    if (out && fclose(out)) failed = 1;
    if (!failed && host_finish(-1) == 0) return EXIT_FINE;
    failed = complain("%s: %s", path, strerror(errno));
    host_discard(-1);
    return failed;
}

/* ---- Loading ---- */

enum { MOST_SAVED = 1 << 24 }; /* bytes; a conversation of more would fill any context */

/* The message at `node`, the i-th: roles come in their order. */
static int take_message(conversation *c, const cv_json *j, uint32_t node, const char *path, size_t i)
{
    uint32_t role = cv_json_get(j, node, "role");
    size_t bytes = 0;
    const char *content = cv_json_string(j, cv_json_get(j, node, "content"), &bytes);
    const char *expected = c->n % 2 ? "assistant" : "user";
    if (!content) return complain("%s: message %lu has no \"content\" that is a text", path, (unsigned long)i + 1);
    if (i == 0 && cv_json_is(j, role, "system")) return conversation_set_system(c, content, bytes);
    if (!cv_json_is(j, role, expected))
        return complain("%s: message %lu should have the role \"%s\": user and assistant take turns", path,
                        (unsigned long)i + 1, expected);
    return conversation_add(c, c->n % 2 == 0, content, bytes);
}

static int take_messages(conversation *c, const cv_json *j, const char *path)
{
    uint32_t list = cv_json_get(j, 0, "messages"), node, forgotten = cv_json_get(j, 0, "forgotten");
    int64_t first = 0;
    size_t i = 0;
    if (cv_json_type_of(j, list) != CV_JSON_ARRAY)
        return complain("%s: this is not a saved conversation: it has no list \"messages\"", path);
    for (node = cv_json_first(j, list); node != CV_JSON_NONE; node = cv_json_next(j, node))
        if (take_message(c, j, node, path, i++)) return EXIT_FAILED;
    if (c->n % 2) return complain("%s: the last message is the user's: its answer is missing", path);
    if (forgotten != CV_JSON_NONE
        && (!cv_json_integer(j, forgotten, &first) || first < 0 || (uint64_t)first > c->n || first % 2))
        return complain("%s: \"forgotten\" is not an even number of messages that are there", path);
    c->first = (size_t)first;
    if (c->system.bytes && !conversation_has_system(c))
        return complain("%s: there is a system message in it, and this model's chat format has none", path);
    return EXIT_FINE;
}

int conversation_load(conversation *c, const char *path)
{
    conversation loaded;
    cv_json j;
    cv_error err = {""};
    int status;
    memset(&loaded, 0, sizeof loaded);
    loaded.model = c->model;
    if (cv_json_load(&j, path, MOST_SAVED, &err) < 0) return complain("%s", err.text);
    status = take_messages(&loaded, &j, path);
    cv_json_free(&j);
    if (status == EXIT_FINE) conversation_free(c), *c = loaded;
    else conversation_free(&loaded);
    return status;
}
