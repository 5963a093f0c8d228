/* model.c - opens the model that -m names: a .harp file, or what harp-convert makes one of
 *
 * A GGUF file or a Hugging Face folder is converted once, into a file beside it, by the program harp-convert that
 * stands beside this one. The next time that file is there; its metadata says what it was made of.
 */
#include "cli.h"

#include "../../tools/convert/ground/kinds.h"

#include <string.h>

/* The first bytes of a regular file, `most` of them or fewer; 0 if it cannot be read. */
static size_t read_head(const char *path, unsigned char *head, size_t most)
{
    FILE *f = host_kind_of(path) == HOST_FILE ? host_fopen(path, "rb") : NULL;
    size_t n = f ? fread(head, 1, most, f) : 0;
    if (f) fclose(f);
    return n;
}

static int is_gguf(const char *path)
{
    unsigned char magic[4];
    return read_head(path, magic, sizeof magic) == sizeof magic && memcmp(magic, "GGUF", 4) == 0;
}

/* The path without separators at its end. */
static int trim(const char *path, char out[HOST_PATH_BYTES])
{
    size_t n = strlen(path);
    if (n >= HOST_PATH_BYTES) return 0;
    memcpy(out, path, n + 1);
    while (n > 1 && !*host_file_name(out)) out[--n] = 0;
    return 1;
}

/* 1: it is to be converted into the file `made`; 0: it is to be opened as it is. */
static int is_to_be_converted(const char *path, char made[HOST_PATH_BYTES])
{
    static const char gguf[] = ".gguf", harp[] = ".harp";
    size_t n, ending = sizeof gguf - 1;
    if ((host_kind_of(path) != HOST_FOLDER && !is_gguf(path)) || !trim(path, made)) return 0;
    if (strspn(host_file_name(made), ".") == strlen(host_file_name(made))) return 0; /* "." and "..": what name? */
    n = strlen(made);
    if (n > ending && strcmp(made + n - ending, gguf) == 0) n -= ending;
    if (n + sizeof harp > HOST_PATH_BYTES) return 0;
    memcpy(made + n, harp, sizeof harp);
    return 1;
}

static int convert(const options *o, const char *made)
{
    const char *arguments[] = {o->model, made, NULL};
    int status;
    if (o->no_convert)
        return complain("%s is not a .harp file: convert it with  harp-convert %s %s", o->model, o->model, made);
    tell("harp: %s is converted once, to %s", o->model, made);
    status = host_call("harp-convert", arguments);
    if (status < 0)
        return complain("harp-convert, which should be beside this program, cannot be run: `make` builds it");
    return status == 0 ? EXIT_FINE : status == HOST_EXIT_INTERRUPTED ? HOST_EXIT_INTERRUPTED : EXIT_FAILED;
}

/* A file that was made of something else, by its name in the metadata. */
static int check_origin(const engine *e, const options *o, const char *made)
{
    harp_meta source;
    char origin[HOST_PATH_BYTES];
    if (trim(o->model, origin) && harp_meta_find(e->model, "source", &source) && source.type == HARP_META_TEXT
        && strcmp(source.data, host_file_name(origin)) == 0)
        return EXIT_FINE;
    return complain("%s is there, and was not made of %s: name it with -m, or move it away", made, o->model);
}

/* What a file is that is not what we want, in words that say what to do next. */
static int refuse(const options *o, const char *path, const harp_error *err)
{
    unsigned char head[CV_KIND_BYTES];
    cv_error kind = {""};
    size_t n = read_head(path, head, sizeof head);
    if (n > 0 && cv_refuse_other_kinds(path, head, n, CV_KIND_HARP, &kind) < 0) return complain("%s", kind.text);
    /* some of the sentences name the file already */
    return strstr(err->text, path) ? complain("%s", err->text) : complain("%s: %s", o->model, err->text);
}

int engine_open_model(engine *e, const options *o)
{
    char made[HOST_PATH_BYTES];
    int converts = is_to_be_converted(o->model, made), status;
    const char *path = converts ? made : o->model;
    harp_error err;
    memset(e, 0, sizeof *e);
    if (converts && host_kind_of(made) == HOST_NOTHING && (status = convert(o, made)) != EXIT_FINE) return status;
    if (harp_open(&e->model, path, &err)) return refuse(o, path, &err);
    if (converts && (status = check_origin(e, o, made)) != EXIT_FINE) return status;
    e->info = harp_model_info(e->model);
    return EXIT_FINE;
}
