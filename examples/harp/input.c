/* input.c - files, texts, lists of token ids, escapes */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void print_line(const char *begin, const char *format, va_list arguments)
{
    char line[HOST_PATH_BYTES + 1024], *p;
    fflush(stdout); /* so that the two streams read in order on a terminal */
    if (vsnprintf(line, sizeof line, format, arguments) < 0) line[0] = 0;
    for (p = line; *p; p++)
        if (*p == '\n' || *p == '\t' || *p == '\r') *p = ' '; /* it stays one line */
    fputs(begin, stderr);
    show_harmless(stderr, line, strlen(line), 1);
    fputc('\n', stderr);
}

int complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line("harp: ", format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

void tell(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line("", format, arguments);
    va_end(arguments);
}

/* ---- Files and texts ---- */

static int read_stream(FILE *file, const char *path, size_t most, blob *out)
{
    size_t capacity = 1u << 16, n;
    out->bytes = 0;
    out->data = malloc(capacity);
    while (out->data && out->bytes <= most) {
        n = fread(out->data + out->bytes, 1, capacity - 1 - out->bytes, file);
        out->bytes += n;
        if (out->bytes < capacity - 1) break; /* the end, or an error */
        {
            char *grown = capacity <= SIZE_MAX / 4 ? realloc(out->data, capacity * 2) : NULL;
            if (!grown) free(out->data);
            out->data = grown, capacity *= 2;
        }
    }
    if (!out->data) return complain("%s: there is not enough memory for it", path);
    out->data[out->bytes] = 0;
    if (!ferror(file) && out->bytes <= most) return EXIT_FINE;
    free(out->data), out->data = NULL;
    if (ferror(file)) return complain("%s: %s", path, strerror(errno));
    return complain("%s: larger than the %lu bytes that could be of use", path, (unsigned long)most);
}

int read_file(const char *path, size_t most, blob *out)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : host_fopen(path, "rb");
    int status;
    out->data = NULL, out->bytes = 0;
    if (!file) return complain("%s: %s", path, strerror(errno));
    status = read_stream(file, path, most, out);
    if (file != stdin) fclose(file);
    return status;
}

int check_output(const options *o, const char *path)
{
    const char *inputs[7];
    size_t i;
    inputs[0] = o->model, inputs[1] = o->file, inputs[2] = o->tokens_file;
    inputs[3] = o->draft_model, inputs[4] = o->replay_masks, inputs[5] = o->schema, inputs[6] = o->grammar;
    for (i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
        if (inputs[i] && host_kind_of(path) == HOST_FILE && host_is_same_file(path, inputs[i]))
            return complain("%s: this file is read, so it cannot be written, too: give another name", path);
    return EXIT_FINE;
}

int open_output(const options *o, const char *path, FILE **out)
{
    if (strcmp(path, "-") == 0) return complain("-: a file's name is wanted here; ./- is one");
    if (check_output(o, path)) return EXIT_FAILED;
    *out = host_fopen(path, "wb");
    return *out ? EXIT_FINE : complain("%s: %s", path, strerror(errno));
}

int blob_append(blob *to, const char *text, size_t bytes)
{
    char *grown = realloc(to->data, to->bytes + bytes + 1);
    if (!grown) return complain("there is not enough memory");
    memcpy(grown + to->bytes, text, bytes);
    to->data = grown, to->bytes += bytes;
    to->data[to->bytes] = 0;
    return EXIT_FINE;
}

int is_blank(char x)
{
    return x == ' ' || (x >= '\t' && x <= '\r');
}

static int copy_text(const char *text, blob *out)
{
    out->bytes = strlen(text);
    out->data = malloc(out->bytes + 1);
    if (!out->data) return complain("there is not enough memory");
    memcpy(out->data, text, out->bytes + 1);
    return EXIT_FINE;
}

/* ---- Escapes ---- */

size_t unescape(char *text)
{
    static const char names[] = "nrt\\'\"", meanings[] = "\n\r\t\\'\"";
    char *in = text, *out = text;
    while (*in) {
        const char *name = in[0] == '\\' && in[1] ? strchr(names, in[1]) : NULL;
        if (name) *out++ = meanings[name - names], in += 2;
        else if (in[0] == '\\' && in[1] == 'x' && hex_digit(in[2]) >= 0 && hex_digit(in[3]) >= 0)
            *out++ = (char)(hex_digit(in[2]) * 16 + hex_digit(in[3])), in += 4;
        else *out++ = *in++;
    }
    *out = 0;
    return (size_t)(out - text);
}

int read_prompt(const options *o, blob *out)
{
    int status;
    if (o->file) return read_file(o->file, MOST_TEXT, out);
    status = copy_text(o->prompt ? o->prompt : "", out);
    if (status == EXIT_FINE && o->escapes) out->bytes = unescape(out->data);
    return status;
}

void drop_last_newline(blob *text)
{
    if (text->bytes == 0 || text->data[text->bytes - 1] != '\n') return;
    text->bytes--;
    if (text->bytes && text->data[text->bytes - 1] == '\r') text->bytes--; /* of an editor on Windows */
    text->data[text->bytes] = 0;
}

/* ---- Token ids ---- */

static int make_room(ids *a, size_t more)
{
    int32_t *grown;
    size_t capacity = a->capacity ? a->capacity : 64;
    if (more <= a->capacity - a->n) return 1;
    while (capacity - a->n < more && capacity <= SIZE_MAX / 16) capacity *= 2;
    grown = capacity - a->n < more ? NULL : realloc(a->list, capacity * sizeof *a->list);
    if (!grown) return 0;
    a->list = grown, a->capacity = capacity;
    return 1;
}

int ids_append(ids *a, const int32_t *list, size_t n)
{
    if (!make_room(a, n)) return complain("there is not enough memory for the tokens");
    memcpy(a->list + a->n, list, n * sizeof *list);
    a->n += n;
    return EXIT_FINE;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

/* A number of the list; NULL if there is none, or one too large for an id. */
static const char *parse_id(const char *p, const char *end, int32_t *id)
{
    int64_t value = 0;
    const char *start = p;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (*p - '0');
        if (value > INT32_MAX) return NULL;
    }
    *id = (int32_t)value;
    return p == start ? NULL : p;
}

const char *ids_parse(ids *a, const char *text, size_t bytes)
{
    const char *p = skip_blanks(text, text + bytes), *end = text + bytes;
    int bracket = p < end && *p == '[', more = 0;
    if (bracket) p = skip_blanks(p + 1, end);
    while (p < end && *p != ']') {
        int32_t id;
        const char *after = parse_id(p, end, &id);
        if (!after) return "not a list of token ids such as 1,2,3";
        if (!make_room(a, 1)) return "too long for the memory";
        a->list[a->n++] = id;
        p = skip_blanks(after, end);
        more = p < end && *p == ',';
        if (more) p = skip_blanks(p + 1, end);
        else if (p == after && p < end && *p != ']') return "not a list of token ids such as 1,2,3";
    }
    if (more || bracket != (p < end)) return "a list that is cut off or has a bracket too many";
    if (bracket && skip_blanks(p + 1, end) != end) return "a list with something behind it";
    return NULL;
}

int ids_encode(ids *a, const harp_model *model, const char *text, size_t bytes, unsigned flags)
{
    harp_span all;
    all.bytes = bytes, all.flags = flags;
    return ids_encode_spans(a, model, text, bytes, &all, 1, flags);
}

int ids_encode_spans(ids *a, const harp_model *model, const char *text, size_t bytes, const harp_span *spans,
                     size_t n_spans, unsigned flags)
{
    size_t n = 0, room = bytes < SIZE_MAX / 16 ? bytes + 8 : bytes;
    harp_status status;
    harp_error err;
    int tries = 0;
    do { /* nearly always a token has at least a byte of the text, so the second try is rare */
        if (!make_room(a, room)) return complain("there is not enough memory for the tokens");
        status = harp_encode_spans(model, text, spans, n_spans, flags, a->list + a->n, a->capacity - a->n, &n, &err);
        room = n;
    } while (status == HARP_ERR_MEMORY && n > a->capacity - a->n && tries++ == 0);
    if (status) return complain("%s", err.text);
    a->n += n;
    return EXIT_FINE;
}

int read_tokens(const options *o, int32_t vocab, ids *out)
{
    blob text = {NULL, 0};
    const char *where = o->tokens_file ? o->tokens_file : "--tokens", *problem;
    size_t i;
    if (o->tokens_file ? read_file(o->tokens_file, MOST_TEXT, &text) : copy_text(o->tokens, &text)) return EXIT_FAILED;
    problem = ids_parse(out, text.data, text.bytes);
    free(text.data);
    if (problem) return complain("%s: %s", where, problem);
    if (out->n == 0) return complain("%s: there are no token ids in it", where);
    if (out->n > INT32_MAX) return complain("%s: too many token ids", where);
    for (i = 0; i < out->n; i++)
        if (out->list[i] >= vocab)
            return complain("%s: token %ld is out of range (the vocabulary has %ld tokens)", where, (long)out->list[i],
                            (long)vocab);
    return EXIT_FINE;
}

void print_ids(const int32_t *list, size_t n)
{
    size_t i;
    putchar('[');
    for (i = 0; i < n; i++) printf("%s%ld", i ? ", " : "", (long)list[i]);
    puts("]");
}
