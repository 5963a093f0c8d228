/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_files.c - opening models in every configuration: mapped, read, from memory, or not at all
 *
 * Built with and without HARP_NO_MMAP, HARP_NO_STDIO and HARP_NO_MALLOC, for POSIX and for Windows (run by wine); what
 * is expected follows from the macros. The path has letters outside ASCII, in UTF-8, on every system.
 *
 *     test_files MODEL.harp FOLDER
 */
#if defined(_WIN32)
#include <windows.h>
#elif defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#include <unistd.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../harp.h"
#include "test.h"

#if !defined(HARP_NO_MMAP) && (defined(_WIN32) || defined(__unix__) || defined(__APPLE__))
enum { MAPS = 1 };
#else
enum { MAPS = 0 };
#endif
#if defined(HARP_NO_STDIO)
enum { READS = 0 };
#else
enum { READS = 1 };
#endif
#if defined(HARP_NO_MALLOC)
enum { MALLOC = 0 };
#else
enum { MALLOC = 1 };
#endif

static FILE *open_utf8(const char *path, const char *mode)
{
#if defined(_WIN32)
    wchar_t wide[512], wide_mode[8];
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 512);
    MultiByteToWideChar(CP_UTF8, 0, mode, -1, wide_mode, 8);
    return _wfopen(wide, wide_mode);
#else
    return fopen(path, mode);
#endif
}

static void write_file(const char *path, const unsigned char *data, size_t bytes)
{
    FILE *file = open_utf8(path, "wb");
    CHECK(file != NULL && fwrite(data, 1, bytes, file) == bytes);
    if (file) fclose(file);
}

static void *take(void *user, size_t bytes)
{
    (void)user;
    return malloc(bytes);
}

static void give_back(void *user, void *block, size_t bytes)
{
    (void)user, (void)bytes;
    free(block);
}

static harp_status open_with(harp_model **m, harp_source source, harp_error *err)
{
    if (!MALLOC) source.allocator.alloc = take, source.allocator.free = give_back;
    return harp_open_source(m, &source, err);
}

static harp_status open_path(harp_model **m, const char *path, harp_error *err)
{
    harp_source source = harp_source_defaults();
    source.path = path;
    return open_with(m, source, err);
}

static size_t read_image(void *user, uint64_t offset, void *into, size_t bytes)
{
    memcpy(into, (const unsigned char *)user + offset, bytes);
    return bytes;
}

/* One token through the model, so that weights are read from where they are. */
static float first_logit(const harp_model *m)
{
    harp_params p = harp_defaults();
    harp_session *s = NULL;
    harp_error err;
    int32_t token = 5;
    float logit = 0.0f;
    p.context = 16, p.batch = 1;
    if (!MALLOC) p.allocator.alloc = take, p.allocator.free = give_back;
    CHECK(harp_session_open(&s, m, &p, &err) == HARP_OK);
    CHECK(s && harp_feed(s, &token, 1, &err) == HARP_OK && harp_next(s, NULL, &err) == HARP_OK);
    if (s) logit = harp_logits(s, HARP_VANILLA)[7];
    harp_session_close(s);
    return logit;
}

static void test_file(const char *path, float expected)
{
    harp_model *m = NULL;
    harp_error err;
    harp_status status = open_path(&m, path, &err);
    if (!MAPS && !READS) {
        CHECK(status == HARP_ERR_ARGUMENT && strstr(err.text, "cannot map or read") && m == NULL);
        return;
    }
    CHECK(status == HARP_OK);
    if (status) printf("%s\n", err.text);
    CHECK(harp_model_info(m).mapped == MAPS && harp_verify(m, &err) == HARP_OK);
    if (m) CHECK(first_logit(m) == expected);
    harp_close(m);
}

/* What was copied needs its file no more, which is cut short here. The test's own allocator shows where it went. */
static void *take_counted(void *user, size_t bytes)
{
    *(size_t *)user += bytes;
    return malloc(bytes);
}

static void test_copied(const char *path, const unsigned char *image, size_t bytes, float expected)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    size_t taken = 0;
    harp_status status;
    source.path = path, source.copy = 1;
    source.allocator.alloc = take_counted, source.allocator.free = give_back, source.allocator.user = &taken;
    write_file(path, image, bytes);
    status = harp_open_source(&m, &source, &err);
    write_file(path, image, 10);
    if (!MAPS && !READS) {
        CHECK(status == HARP_ERR_ARGUMENT && m == NULL);
        return;
    }
    CHECK(status == HARP_OK && harp_model_info(m).mapped == 0 && taken >= bytes);
    CHECK(harp_verify(m, &err) == HARP_OK && first_logit(m) == expected);
    harp_close(m);
}

static void test_refused(const char *path, const char *sentence)
{
    harp_model *m = NULL;
    harp_error err;
    CHECK(open_path(&m, path, &err) != HARP_OK && m == NULL);
    if (!MAPS && !READS) return;
    CHECK(strstr(err.text, sentence) != NULL);
    if (!strstr(err.text, sentence)) printf("%s\n", err.text);
}

/* All that a model says without computing: metadata, texts of tokens, a text encoded and decoded. */
static unsigned long what_it_says(const harp_model *m)
{
    static const char text[] = "One day, Anna wanted to learn to read. 12 <|x|>";
    harp_info info = harp_model_info(m);
    harp_decoder decoder;
    harp_meta meta;
    int32_t tokens[128], i;
    size_t n = 0, bytes = 0, k;
    unsigned long sum = 1;
    char *out = malloc((size_t)info.longest_token + 8);
    for (k = 0; k < strlen(info.architecture); k++) sum = sum * 31 + (unsigned char)info.architecture[k];
    for (i = 0; harp_meta_at(m, i, &meta); i++)
        for (k = 0; k < meta.bytes; k++) sum = sum * 31 + (unsigned char)meta.data[k];
    for (i = 0; i < info.vocab; i++) {
        const char *p = harp_token_text(m, i, &bytes);
        for (k = 0; p && k < bytes; k++) sum = sum * 31 + (unsigned char)p[k];
    }
    CHECK(harp_encode(m, text, strlen(text), 0, tokens, 128, &n, NULL) == HARP_OK);
    harp_decoder_start(&decoder, m, 0);
    for (k = 0; k < n; k++) {
        CHECK(harp_decode(&decoder, tokens[k], out, (size_t)info.longest_token + 8, &bytes, NULL) == HARP_OK);
        for (i = 0; i < (int32_t)bytes; i++) sum = sum * 31 + (unsigned char)out[i];
        sum = sum * 31 + (unsigned long)tokens[k];
    }
    free(out);
    return sum;
}

/* Another program writes into the file of a model that is open. Windows does not let it; elsewhere the weights change,
 * that is numbers, and nothing else. */
static void test_overwritten(const char *path, const unsigned char *image, size_t bytes)
{
    static const int fill[] = {0xFF, 0x7B, 0x00, 0x41};
    size_t i, k;
    for (i = 0; i < sizeof fill / sizeof *fill && (MAPS || READS); i++) {
        harp_model *m = NULL;
        harp_session *s = NULL;
        harp_params p = harp_defaults();
        harp_error err;
        FILE *file;
        unsigned long before;
        int32_t tokens[3] = {5, 6, 7};
        write_file(path, image, bytes);
        CHECK(open_path(&m, path, &err) == HARP_OK);
        before = what_it_says(m);
        file = open_utf8(path, "r+b");
#if defined(_WIN32)
        CHECK(!MAPS || file == NULL);
#else
        CHECK(file != NULL);
#endif
        for (k = 0; file && k < bytes; k++) fputc(fill[i], file);
        if (file) fclose(file);
        CHECK(what_it_says(m) == before);
        p.context = 16;
        if (!MALLOC) p.allocator.alloc = take, p.allocator.free = give_back;
        CHECK(harp_session_open(&s, m, &p, &err) == HARP_OK);
        if (s && harp_feed(s, tokens, 3, &err) == HARP_OK) harp_next(s, NULL, &err);
        CHECK(err.status == HARP_OK || err.status == HARP_ERR_NUMBER);
        CHECK(harp_verify(m, &err) == (MAPS && file ? HARP_ERR_FORMAT : HARP_OK));
        harp_session_close(s);
        harp_close(m);
    }
}

/* What is no file is refused: a pipe would have us wait for ever. */
static void test_pipe(const char *path)
{
#if defined(__unix__) || defined(__APPLE__)
    remove(path);
    CHECK(mkfifo(path, 0600) == 0);
    alarm(60); /* to end this program if it waits */
    test_refused(path, "is not a regular file");
    alarm(0);
    remove(path);
    if (MAPS || READS) test_refused("/dev/null", "is not a regular file");
#else
    (void)path;
#endif
}

int main(int argc, char **argv)
{
    char path[600], folder_path[600];
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    size_t bytes = 0;
    unsigned char *image = argc > 2 ? load_file(argv[1], &bytes) : NULL;
    float expected;
    if (!image) return printf("usage: test_files MODEL.harp FOLDER\n0 passed, 1 failed\n"), 2;
    source.data = image, source.bytes = bytes;
    CHECK(open_with(&m, source, &err) == HARP_OK);
    expected = first_logit(m);
    harp_close(m);
    source.data = NULL, source.read = read_image, source.read_user = image;
    CHECK(open_with(&m, source, &err) == HARP_OK && harp_model_info(m).mapped == 0 && first_logit(m) == expected);
    harp_close(m);

    snprintf(folder_path, sizeof folder_path, "%.400s/", argv[2]);
    snprintf(path, sizeof path,
             "%.400s/m\xC3\xB6"
             "del \xE6\xA8\xA1\xE5\x9E\x8B.harp",
             argv[2]);
    write_file(path, image, bytes);
    test_file(path, expected);
    test_overwritten(path, image, bytes);
    test_copied(path, image, bytes, expected);
    write_file(path, image, bytes / 2);
    test_refused(path, "cut off");
    write_file(path, image, 10);
    test_refused(path, "not a .harp file");
    write_file(path, image, 0); /* nothing to map, but it can be read */
    test_refused(path, READS ? "not a .harp file" : "cannot map or read");
    test_pipe(path);
    snprintf(path, sizeof path, "%.400s/there is none.harp", argv[2]);
    test_refused(path, "cannot open");
    test_refused(folder_path, ""); /* a folder: what is said differs between systems, that it is refused does not */
    free(image);
    return conclude();
}
