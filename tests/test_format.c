/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_format.c - every sentence with which a file is refused, and the values next to those that are
 *
 * A small valid file is made by fuzz/make_harp.h, with room behind its metadata; then one thing in it is changed, its
 * checksum made right, and the reader must say what is wrong. Beside most refusals stands the last value that is fine,
 * so that a bound which is off by one is seen. What of a text no call shows, a window does (inside.h). */
#include "../harp.h"
#include "fuzz/make_harp.h"
#include "inside.h"
#include "test.h"

#include <fenv.h>
#include <math.h>
#include <time.h>

enum { ROOM = 32768, MOST = 1 << 18 };

static uint8_t file[MOST];
static size_t file_bytes;

/* ---- the file, and what can be changed in it ---- */

static uint64_t number_at(size_t at)
{
    return cv_u64(file + at);
}

static uint8_t *record_of(const char *name)
{
    uint8_t *record = hf_find_record(file, name);
    if (record) return record;
    printf("no tensor %s\n", name);
    exit(2);
}

/* The valid file; what stands behind its metadata has moved by ROOM. */
static void make_file_of(fz_shape s)
{
    static uint8_t plain[MOST];
    size_t bytes = fz_write_harp(&s, plain, sizeof plain - ROOM), table = (size_t)cv_u64(plain + 48);
    uint32_t i;
    memcpy(file, plain, table), memset(file + table, 0, ROOM),
    memcpy(file + table + ROOM, plain + table, bytes - table);
    file_bytes = bytes + ROOM;
    hf_store(file + 48, table + ROOM, 8), hf_store(file + 56, number_at(56) + ROOM, 8);
    for (i = 0; i < cv_u32(file + 36); i++) {
        uint8_t *record = hf_record_at(file, i);
        hf_store(record + 72, cv_u64(record + 72) + ROOM, 8);
    }
    hf_seal(file, file_bytes);
}

static unsigned hidden = 24;

static fz_shape shape_of(unsigned tokenizer)
{
    fz_shape s = {2, 4, 2, 6, 24, 20, 80, 64, 0, 0, 0, 0, 77, 0, 0, 0, 0}; /* 4 heads of 6, 2 of keys and values, untied */
    s.tokenizer = tokenizer, s.hidden = hidden;
    return s;
}

static void make_file(void)
{
    make_file_of(shape_of(2));
}

/* Takes the entry of this key out, and puts one with another value at the end; type 0: none. */
static void set_meta(const char *key, unsigned type, const void *value, size_t bytes)
{
    static uint8_t kept[ROOM]; /* the value may lie in the file */
    hf_file f;
    size_t end = 64 + (size_t)number_at(40), at = 64;
    if (bytes) memcpy(kept, value, bytes);
    while (at < end) {
        hf_entry e = hf_entry_at(file, at);
        if (strcmp(e.key, key) == 0) {
            memmove(file + at, file + e.next, end - e.next);
            end -= e.next - at, e.next = at;
            hf_store(file + 32, cv_u32(file + 32) - 1, 4);
        }
        at = e.next;
    }
    f.data = file, f.bytes = end, f.capacity = (size_t)number_at(48);
    if (type) hf_meta(&f, type, key, kept, bytes);
    hf_store(file + 40, f.bytes - 64, 8);
}

static void set_integer(const char *key, int64_t value)
{
    uint8_t b[8];
    hf_store(b, (uint64_t)value, 8);
    set_meta(key, HARP_META_INTEGER, b, 8);
}

static void set_real(const char *key, double value)
{
    uint64_t bits;
    uint8_t b[8];
    memcpy(&bits, &value, 8);
    hf_store(b, bits, 8);
    set_meta(key, HARP_META_REAL, b, 8);
}

static void set_text(const char *key, const char *value)
{
    set_meta(key, HARP_META_TEXT, value, strlen(value));
}

/* ---- what the reader says ---- */

static harp_status open_and(harp_status (*then)(const harp_model *, harp_error *), harp_error *err)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_status status;
    hf_seal(file, file_bytes);
    source.data = file, source.bytes = file_bytes;
    status = harp_open_source(&m, &source, err);
    if ((status == HARP_OK) != (m != NULL)) failed++;
    if (status == HARP_OK && then) status = then(m, err);
    harp_close(m);
    return status;
}

static harp_status open_file(harp_error *err)
{
    return open_and(NULL, err);
}

#define OPENS() expect(__LINE__, HARP_OK, "")
#define DAMAGED(words) expect(__LINE__, HARP_ERR_FORMAT, words)
#define UNSUPPORTED(words) expect(__LINE__, HARP_ERR_UNSUPPORTED, words)

/* Opens what the lines before made of the file, and makes a new one. */
static void expect(int line, harp_status wanted, const char *words)
{
    harp_error err;
    harp_status status = open_file(&err);
    check(status == wanted && strstr(err.text, words), "line %d: status %d, \"%s\"; expected %d, \"%s\"", line, status,
          err.text, wanted, words);
    make_file();
}

static void put(size_t at, uint64_t value, int bytes)
{
    hf_store(file + at, value, bytes);
}

/* ---- the head ---- */

static void test_header(void)
{
    static const char contradict[] = "offsets in the header contradict";
    size_t table = (size_t)number_at(48), data = (size_t)number_at(56), bytes = file_bytes;
    OPENS();
    file[7] ^= 1, DAMAGED("not a .harp file");
    file_bytes = 63, DAMAGED("not a .harp file");
    put(8, 3, 4), UNSUPPORTED("version 3; this build reads versions 1 and 2");
    put(8, 0, 4), UNSUPPORTED("version 0");
    put(8, 2, 4), OPENS(); /* what version 2 added need not be there */
    file_bytes = bytes - 64, put(16, bytes, 8), hf_store(file + 12, 0, 4);
    {
        harp_source source = harp_source_defaults();
        harp_model *m = NULL;
        harp_error err;
        char words[96];
        source.data = file, source.bytes = file_bytes;
        snprintf(words, sizeof words, "has %d bytes but says it has %d: cut off, or damaged", (int)(bytes - 64),
                 (int)bytes);
        CHECK(harp_open_source(&m, &source, &err) == HARP_ERR_FORMAT && strstr(err.text, words));
        make_file();
        file[70] ^= 1;
        source.bytes = file_bytes;
        CHECK(harp_open_source(&m, &source, &err) == HARP_ERR_FORMAT
              && strstr(err.text, "checksum of the file's head"));
        make_file();
    }
    put(24, 72, 8), DAMAGED(contradict);
    put(40, bytes + 1, 8), DAMAGED(contradict);
    put(40, (uint64_t)0 - 64, 8), DAMAGED(contradict); /* the metadata's end wraps to 0 */
    put(40, table - 64 + 8, 8), DAMAGED(contradict);
    put(48, bytes + 8, 8), DAMAGED(contradict);
    put(48, table + 4, 8), DAMAGED(contradict);
    put(48, 64, 8), DAMAGED(contradict);
    put(48, (uint64_t)0 - 8, 8), DAMAGED(contradict); /* the table's end wraps */
    put(56, 64, 8), DAMAGED(contradict);
    put(56, data + 32, 8), DAMAGED(contradict);
    put(56, (bytes + 127) / 64 * 64, 8), DAMAGED(contradict);
    put(32, 0x80000000u, 4), DAMAGED("bytes and 2147483648 metadata entries; allowed are 268435456 and 4096");
    put(32, 4097, 4), DAMAGED("bytes and 4097 metadata entries; allowed are 268435456 and 4096");
    put(32, 4096, 4), DAMAGED("metadata entry"); /* they are not there, but might be */
    put(36, 0x80000000u, 4), DAMAGED(contradict);
    put(36, 0xFFFFFFFFu, 4), DAMAGED(contradict);
}

/* Heads of more than 256 MiB are refused before anything of them is read: the bytes are not there. */
static void test_largest_head(void)
{
    uint64_t most = (uint64_t)1 << 28;
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    source.data = file, source.bytes = most + 128;
    put(16, most + 128, 8), put(56, most + 64, 8);
    CHECK(harp_open_source(&m, &source, &err) == HARP_ERR_FORMAT && strstr(err.text, "the head has 268435520 bytes"));
    make_file();
}

/* As many metadata entries as there may be: all of them are found, by index, in no time. */
static void test_most_metadata(void)
{
    static uint8_t image[1 << 19];
    fz_shape s = shape_of(0);
    size_t bytes = fz_write_harp(&s, image, sizeof image), table = (size_t)cv_u64(image + 48), end, more;
    int32_t n = (int32_t)cv_u32(image + 32), i, good = 0;
    uint32_t k, tensors = cv_u32(image + 36);
    hf_file f;
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_meta meta;
    clock_t begin;
    more = 32 * (size_t)(4096 - n) + 64 - 32 * (size_t)(4096 - n) % 64; /* what follows moves by that */
    memmove(image + table + more, image + table, bytes - table);
    end = 64 + (size_t)cv_u64(image + 40);
    f.data = image, f.bytes = end, f.capacity = table + more;
    for (i = n; i < 4096; i++) hf_integer(&f, "a", (uint64_t)i);
    memset(image + f.bytes, 0, table + more - f.bytes);
    hf_store(image + 40, f.bytes - 64, 8), hf_store(image + 48, table + more, 8);
    hf_store(image + 56, cv_u64(image + 56) + more, 8);
    for (k = 0; k < tensors; k++) {
        uint8_t *record = image + table + more + 96 * (size_t)k;
        hf_store(record + 72, cv_u64(record + 72) + more, 8);
    }
    hf_seal(image, bytes + more);
    source.data = image, source.bytes = bytes + more;
    CHECK(harp_open_source(&m, &source, NULL) == HARP_OK);
    begin = clock();
    for (i = 0; m && i < 4096; i++)
        good += harp_meta_at(m, i, &meta) && (i < n || (strcmp(meta.key, "a") == 0 && meta.integer == i));
    CHECK(good == 4096 && (double)(clock() - begin) / CLOCKS_PER_SEC < 4.0); /* less than a tenth of a second */
    harp_close(m);
}

/* Metadata to the last byte of the file, whose second entry begins 8 bytes before it: nothing behind is read. */
static void test_metadata_at_the_end(void)
{
    enum { BYTES = 128 };
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    uint8_t *image = malloc(BYTES); /* of its own, so that a sanitizer sees its end */
    if (!image) exit(2);
    memset(image, 0, BYTES);
    memcpy(image, file, 12);
    hf_store(image + 16, BYTES, 8), hf_store(image + 24, 64, 8), hf_store(image + 32, 2, 4);
    hf_store(image + 40, 64, 8), hf_store(image + 48, BYTES, 8), hf_store(image + 56, BYTES, 8);
    hf_store(image + 64, HARP_META_BYTES, 4), hf_store(image + 68, 1, 4), hf_store(image + 72, 32, 8);
    image[80] = 'k';
    hf_store(image + 120, HARP_META_BYTES, 4), hf_store(image + 124, 1, 4);
    hf_seal(image, BYTES);
    source.data = image, source.bytes = BYTES;
    CHECK(harp_open_source(&m, &source, &err) == HARP_ERR_FORMAT
          && strstr(err.text, "entry 1, at offset 120, is malformed"));
    free(image);
}

/* The last entry, which these lines make, is malformed in one way. */
static void test_metadata_entries(void)
{
    static const char malformed[] = "is malformed";
    size_t at;
    int i;
#define LAST(type, key, value, n) (set_meta(key, type, value, n), at = (size_t)(64 + number_at(40)) - 16 - 8 - 8)
    LAST(HARP_META_BYTES, "zz", "12345678", 8), OPENS();
    CHECK(at % 8 == 0);
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(32, cv_u32(file + 32) + 1u, 4), DAMAGED(malformed); /* no more */
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(at + 4, 0, 4), DAMAGED(malformed);
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(at + 4, 64, 4), DAMAGED(malformed);
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(at + 4, 1, 4), DAMAGED(malformed); /* its zero is no zero */
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(at + 16, 0, 1), DAMAGED(malformed); /* a zero inside */
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(at + 8, 9, 8), DAMAGED(malformed);
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(at + 8, 7, 8), OPENS();
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(at + 8, 1000, 8), DAMAGED(malformed);
    LAST(HARP_META_BYTES, "zz", "12345678", 8), put(at + 8, 0xFFFFFFFFFFFFFFFFu, 8), DAMAGED(malformed);
    LAST(HARP_META_TEXT, "zz", "1234567", 7), OPENS();
    LAST(HARP_META_TEXT, "zz", "1234567", 7), put(at + 24 + 7, 'x', 1), DAMAGED(malformed); /* no zero behind */
    LAST(HARP_META_TEXT, "zz", "1234567", 7), put(at + 8, 8, 8), DAMAGED(malformed);        /* nor room for it */
    for (i = HARP_META_INTEGER; i <= HARP_META_REAL; i++) {
        LAST((unsigned)i, "zz", "12345678", 8), OPENS();
        LAST((unsigned)i, "zz", "12345678", 8), put(at + 8, 4, 8), DAMAGED(malformed);
    }
    LAST(5, "zz", "12345678", 8), DAMAGED(malformed);
    LAST(0, "zz", "12345678", 8), OPENS(); /* none at all */
    set_meta("a.key.of.63.bytes.is.as.long.as.a.key.may.be.in.this.format.000", HARP_META_BYTES, "", 0), OPENS();
#undef LAST
}

static size_t place_of(const char *tensor, int field)
{
    return (size_t)(record_of(tensor) - file) + (size_t)field;
}

static void test_tensor_records(void)
{
    static const char shape[] = "do not fit together", outside[] = "lies outside its place";
    uint64_t at;
    put(place_of("embedding", 0), 0, 1), DAMAGED("tensor 0 has no valid name");
    memset(record_of("embedding"), 'x', 48), DAMAGED("tensor 0 has no valid name");
    put(place_of("embedding", 48), 9, 4), DAMAGED(shape);
    put(place_of("embedding", 48), 0, 4), DAMAGED(shape);
    put(place_of("embedding", 80), 0, 8), DAMAGED(shape);
    put(place_of("embedding", 80), cv_u64(record_of("embedding") + 80) + 64, 8), DAMAGED(shape);
    put(place_of("embedding", 56), 0, 8), DAMAGED(shape);
    put(place_of("embedding", 64), 0, 8), DAMAGED(shape);
    put(place_of("embedding", 56), (1 << 28) + 1, 8), DAMAGED(shape);
    put(place_of("embedding", 64), (1 << 28) + 1, 8), DAMAGED(shape);
    put(place_of("final_norm", 56), 2, 8), DAMAGED(shape);
    put(place_of("0.qkv", 72), cv_u64(record_of("0.qkv") + 72) + 4, 8), DAMAGED(outside);
    put(place_of("0.qkv", 72), cv_u64(record_of("0.qkv") + 72) - 64, 8), DAMAGED(outside); /* into the one before */
    put(place_of("embedding", 72), number_at(56) - 64, 8), DAMAGED(outside);
    put(place_of("output", 72), (file_bytes + 63) / 64 * 64 + 64, 8), DAMAGED(outside);
    put(place_of("output", 72), cv_u64(record_of("output") + 72) + 64, 8), DAMAGED(outside); /* its end is beyond */
    put(place_of("output", 72), (uint64_t)0 - 64, 8), DAMAGED(outside);
    at = cv_u64(record_of("output") + 72) + cv_u64(record_of("output") + 80);
    file_bytes = (size_t)at, OPENS(); /* the file ends with its last tensor */
    file_bytes = (size_t)at - 1, DAMAGED(outside);
}

/* ---- what the tensors are ---- */

/* The file of a model with one token, whose embedding is a vector too; tied, so that final_norm is last. */
static void make_narrow(unsigned is_float)
{
    fz_shape s = shape_of(0);
    s.vocab = 1, s.tied = 1, s.is_float = is_float;
    make_file_of(s);
    set_meta("bos_token", 0, NULL, 0), set_meta("end_tokens", 0, NULL, 0);
}

/* Makes a tensor another type of the same shape; the last one's file gets as long as that needs. */
static void retype(const char *name, unsigned type)
{
    uint8_t *record = record_of(name);
    uint64_t bytes = hf_tensor_bytes(type, cv_u64(record + 56), cv_u64(record + 64));
    hf_store(record + 48, type, 4), hf_store(record + 80, bytes, 8);
    if (cv_u64(record + 72) + bytes > file_bytes) file_bytes = (size_t)(cv_u64(record + 72) + bytes);
}

static void test_tensors(void)
{
    make_narrow(0), OPENS();
    make_narrow(0), retype("embedding", HF_VECTOR), DAMAGED("tensor embedding has the wrong type");
    make_narrow(0), retype("final_norm", HF_INT8), DAMAGED("tensor final_norm has the wrong type");
    make_narrow(0), retype("final_norm", HF_FLOAT), DAMAGED("tensor final_norm has the wrong type");
    make_narrow(1), OPENS();
    put(place_of("1.down", 0), 'x', 1), DAMAGED("tensor 1.down is missing or misplaced");
    put(place_of("final_norm", 0), 'x', 1), DAMAGED("tensor final_norm is missing or misplaced");
    put(place_of("output", 0), 'x', 1), DAMAGED("tensor output is missing or misplaced");
    put(36, cv_u32(file + 36) - 1u, 4), DAMAGED("tensor output is missing or misplaced");
    set_integer("tied", 1), UNSUPPORTED("tensor output has no place");
    set_integer("hidden", 23), DAMAGED("tensor embedding is 80 x 24; the model needs 80 x 23");
    set_integer("ffn", 21), DAMAGED("tensor 0.gate_up is 40 x 24; the model needs 42 x 24");
    set_integer("heads", 2), DAMAGED("tensor 0.qkv is");
    set_integer("kv_heads", 4), DAMAGED("tensor 0.qkv is");
    put((size_t)cv_u64(record_of("rope_frequencies") + 72) + 4, cv_bits_of_float(64.0f), 4), OPENS();
    put((size_t)cv_u64(record_of("rope_frequencies") + 72) + 4, cv_bits_of_float(-64.0f), 4), OPENS();
    put((size_t)cv_u64(record_of("rope_frequencies") + 72) + 4, cv_bits_of_float(64.5f), 4),
    DAMAGED("element 1 of rope_frequencies");
    put((size_t)cv_u64(record_of("rope_frequencies") + 72) + 4, cv_bits_of_float(-64.5f), 4),
    DAMAGED("element 1 of rope_frequencies");
    put((size_t)cv_u64(record_of("rope_frequencies") + 72) + 8, 0x7FC00000u, 4),
    DAMAGED("element 2 of rope_frequencies");
}

/* ---- weights of four bits ---- */

static harp_status verify_file(harp_error *err)
{
    return open_and(harp_verify, err);
}

/* Changes the n bytes of 0.qkv at `place`, and makes its checksum right; what harp_verify says then. */
static const char *verified(size_t place, uint64_t value, int n, harp_error *err)
{
    uint8_t *record = record_of("0.qkv"), *data = hf_tensor_data(file, record);
    hf_store(data + place, value, n);
    hf_store(record + 52, hf_crc(0, data, (size_t)cv_u64(record + 80)), 4);
    verify_file(err);
    return err->text;
}

static void make_nibbles(unsigned tied)
{
    fz_shape s = shape_of(0);
    s.nibbles = 1, s.tied = tied;
    make_file_of(s);
}

/* Matrices of the layers may be nibbles, no others, and not in files of version 1. */
static void test_nibbles(void)
{
    static const char shape[] = "do not fit together";
    static const char *const others[] = {"embedding", "output"};
    harp_error err;
    size_t i;
    make_nibbles(0);
    CHECK(verify_file(&err) == HARP_OK);
    OPENS();
    make_nibbles(0), put(8, 1, 4), DAMAGED(shape);
    make_nibbles(0), put(place_of("0.qkv", 80), cv_u64(record_of("0.qkv") + 80) - 64, 8), DAMAGED(shape);
    make_nibbles(0), put(place_of("0.qkv", 80), cv_u64(record_of("0.qkv") + 80) + 64, 8), DAMAGED(shape);
    make_nibbles(0), put(place_of("0.qkv", 56), cv_u64(record_of("0.qkv") + 56) + 16, 8), DAMAGED(shape);
    make_nibbles(0), put(place_of("0.qkv", 64), cv_u64(record_of("0.qkv") + 64) + 32, 8), DAMAGED(shape);
    make_nibbles(0), put(place_of("0.qkv", 48), 5, 4), DAMAGED(shape);
    make_nibbles(1), retype("final_norm", HF_NIBBLES), DAMAGED("tensor final_norm has the wrong type");
    for (i = 0; i < 2; i++) {
        char words[64];
        snprintf(words, sizeof words, "tensor %s has weights of four bits", others[i]);
        make_nibbles(0), retype(others[i], HF_NIBBLES), DAMAGED(words);
    }
    make_nibbles(0);
    CHECK(verified(0, 0x80, 1, &err)[0] == 0); /* any table will do */
    make_nibbles(0);
    CHECK(strstr(verified(16, 1, 1, &err), "zeros must follow its table"));
    make_nibbles(0);
    CHECK(strstr(verified(63, 255, 1, &err), "zeros must follow its table"));
    make_nibbles(0);
    CHECK(strstr(verified(64, 0x7C00, 2, &err), "NaN or an infinity"));
    make_nibbles(0);
    CHECK(strstr(verified(64, 0xFE00, 2, &err), "NaN or an infinity"));
    make_nibbles(0);
    hf_tensor_data(file, record_of("0.qkv"))[3] ^= 1;
    verify_file(&err);
    CHECK(strstr(err.text, "the checksum of tensor 0.qkv is wrong"));
    make_file();
}

/* ---- what the model is ---- */

static void test_integers(void)
{
    static const struct {
        const char *key;
        int64_t least, most;
    } sizes[] = {{"vocab", 1, 1 << 24}, {"hidden", 1, 1 << 18}, {"layers", 1, 1024},     {"heads", 1, 4096},
                 {"kv_heads", 1, 4096}, {"head_dim", 2, 1024},  {"ffn", 1, 1 << 20},     {"context", 1, 1 << 28},
                 {"window", 0, 1 << 28}, {"tied", 0, 1},        {"rope_dims", 0, 6}};
    size_t i;
    harp_error err;
    char words[64];
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(words, sizeof words, "the integer %s is missing", sizes[i].key);
        set_meta(sizes[i].key, 0, NULL, 0), DAMAGED(words);
        snprintf(words, sizeof words, "%s must be an integer", sizes[i].key);
        set_real(sizes[i].key, 8.0), DAMAGED(words);
        snprintf(words, sizeof words, "%s is %ld; it must be between %ld and %ld",
                 sizes[i].key, (long)sizes[i].least - 1,
                 (long)sizes[i].least, (long)sizes[i].most);
        set_integer(sizes[i].key, sizes[i].least - 1), DAMAGED(words);
        snprintf(words, sizeof words, "%s is %ld; it must be between", sizes[i].key, (long)sizes[i].most + 1);
        set_integer(sizes[i].key, sizes[i].most + 1), DAMAGED(words);
        snprintf(words, sizeof words, "%s is ", sizes[i].key); /* the bounds: refused for what follows, if at all */
        set_integer(sizes[i].key, sizes[i].least);
        CHECK(open_file(&err) == HARP_OK || strncmp(err.text, words, strlen(words)) != 0);
        make_file();
        set_integer(sizes[i].key, sizes[i].most);
        CHECK(open_file(&err) == HARP_OK || strncmp(err.text, words, strlen(words)) != 0);
        make_file();
    }
    set_integer("layers", 4), DAMAGED("tensor 2.attn_norm is missing");
    set_integer("layers", 5), DAMAGED("5 layers cannot be made of 16 tensors");
    set_integer("kv_heads", 3), DAMAGED("4 heads cannot share 3");
    set_integer("rope_dims", 5), DAMAGED("rope_dims 5 is odd");
}

static void test_ends(void)
{
    uint8_t ids[17 * 4];
    int i;
    memset(ids, 0, sizeof ids);
    for (i = 0; i < 17; i++) ids[4 * i] = (uint8_t)(79 - i);
    set_meta("bos_token", 0, NULL, 0), OPENS();
    set_integer("bos_token", 79), OPENS();
    set_integer("bos_token", 80), DAMAGED("bos_token is 80");
    set_integer("bos_token", -1), DAMAGED("bos_token is -1");
    set_text("bos_token", "<s>"), DAMAGED("bos_token must be an integer");
    set_meta("end_tokens", 0, NULL, 0), OPENS();
    set_meta("end_tokens", HARP_META_BYTES, ids, 0), OPENS();
    set_meta("end_tokens", HARP_META_BYTES, ids, 64), OPENS();
    set_meta("end_tokens", HARP_META_BYTES, ids, 68), DAMAGED("end_tokens must be at most 16");
    set_meta("end_tokens", HARP_META_BYTES, ids, 6), DAMAGED("end_tokens must be at most 16");
    set_integer("end_tokens", 2), DAMAGED("end_tokens must be at most 16");
    ids[4] = 80;
    set_meta("end_tokens", HARP_META_BYTES, ids, 8), DAMAGED("end token 80 is not in the vocabulary");
    set_meta("end_tokens", HARP_META_BYTES, ids, 4), OPENS();
    ids[3] = 0x80;
    set_meta("end_tokens", HARP_META_BYTES, ids, 4), DAMAGED("is not in the vocabulary"); /* no id below zero */
}

static void test_recipe(void)
{
    static const char *const factors[] = {"attention_scale", "attention_cap", "logit_cap", "embedding_scale",
                                          "rope_scale", "attention_growth", "layer_input_scale"};
    static const char *const words[] = {"norm",     "norm_place", "residual", "activation",
                                        "ffn_kind", "qk_norm",    "routing"};
    static const char *const bits[] = {"window_layers", "local_layers",  "expert_layers",
                                       "conv_layers",   "shared_layers", "narrow_layers"};
    char text[64];
    size_t i;
    set_meta("architecture", 0, NULL, 0), DAMAGED("the text architecture is missing");
    set_integer("architecture", 1), DAMAGED("the text architecture is missing");
    set_meta("norm_eps", 0, NULL, 0), DAMAGED("the real norm_eps is missing");
    set_integer("norm_eps", 0), DAMAGED("the real norm_eps is missing");
    set_real("norm_eps", 0.0), OPENS();
    set_real("norm_eps", 0.999), OPENS();
    set_real("norm_eps", 1.0), DAMAGED("norm_eps");
    set_real("norm_eps", -1e-9), DAMAGED("norm_eps");
    set_real("norm_eps", (double)NAN), DAMAGED("norm_eps");
    for (i = 0; i < sizeof words / sizeof *words; i++) {
        snprintf(text, sizeof text, "%s must be a text", words[i]);
        set_integer(words[i], 0), DAMAGED(text);
        snprintf(text, sizeof text, "%s is nothing, which this version does not know", words[i]);
        set_text(words[i], "nothing"), UNSUPPORTED(text);
        set_text(words[i], ""), UNSUPPORTED("which this version does not know");
    }
    set_text("activation", "clamped"), OPENS();
    set_text("activation", "clamped"), set_text("ffn_kind", "plain"), UNSUPPORTED("which goes with ffn_kind gated");
    set_text("residual", "parallel"), OPENS();
    set_text("residual", "parallel"), set_text("norm_place", "before"), OPENS();
    set_text("residual", "parallel"), set_text("norm_place", "after"),
    UNSUPPORTED("a parallel residual goes with norms before");
    set_text("residual", "parallel_shared"), set_text("norm_place", "around"),
    UNSUPPORTED("a parallel residual goes with");
    set_text("residual", "parallel_shared"),
    DAMAGED("tensor 0.gate_up is missing or misplaced"); /* ffn_norm is there */
    for (i = 0; i < sizeof factors / sizeof *factors; i++) {
        snprintf(text, sizeof text, "%s must be a real between 1e-6 and 1e6", factors[i]);
        set_integer(factors[i], 1), DAMAGED(text);
        set_real(factors[i], 0.0), DAMAGED(text);
        set_real(factors[i], 0.99e-6), DAMAGED(text);
        set_real(factors[i], 1.01e6), DAMAGED(text);
        set_real(factors[i], (double)NAN), DAMAGED(text);
        set_real(factors[i], 1e-6), OPENS();
        set_real(factors[i], 1e6), OPENS();
    }
    for (i = 0; i < sizeof bits / sizeof *bits; i++) {
        snprintf(text, sizeof text, "%s must be bytes, one for each of 2 layers", bits[i]);
        set_text(bits[i], "ab"), DAMAGED(text);
        set_meta(bits[i], HARP_META_BYTES, "\1", 1), DAMAGED(text);
        set_meta(bits[i], HARP_META_BYTES, "\1\1\1", 3), DAMAGED(text);
        snprintf(text, sizeof text, "%s of layer 1 is neither 0 nor 1", bits[i]);
        set_meta(bits[i], HARP_META_BYTES, "\1\2", 2), DAMAGED(text);
    }
    set_real("attention_growth", 0.1), set_integer("attention_step", 64), OPENS();
    set_integer("attention_step", 65), DAMAGED("attention_step is 65; it must be between 1 and 64");
    set_integer("attention_step", 0), DAMAGED("attention_step is 0");
    set_meta("window_layers", HARP_META_BYTES, "\1\0", 2), OPENS();
    set_meta("local_layers", HARP_META_BYTES, "\1\0", 2), DAMAGED("tensor rope_local is missing");
    set_integer("rope_original", 64), DAMAGED("tensor rope_long is missing");
    set_integer("rope_original", 65), DAMAGED("rope_original is 65; it must be between 1 and 64");
    set_integer("rope_original", 0), DAMAGED("rope_original is 0");
    set_real("rope_original", 8.0), DAMAGED("rope_original must be an integer");
    set_integer("rope_dims", 0), set_integer("rope_original", 8), DAMAGED("rope_dims is 0, but");
    set_integer("rope_dims", 0), set_meta("local_layers", HARP_META_BYTES, "\1\0", 2), DAMAGED("rope_dims is 0, but");
    set_integer("rope_dims", 0), DAMAGED("tensor 0.attn_norm is missing"); /* rope_frequencies is there */
}

/* A model whose layers are no mixtures, whatever the rest says, and one that lacks their tensors. */
static void test_experts(void)
{
    hidden = 32;
    make_file();
    set_integer("experts", 0), DAMAGED("experts is 0; it must be between 1 and 4096");
    set_integer("experts", 4097), DAMAGED("experts is 4097");
    set_integer("experts", 4096), set_integer("expert_ffn", 8), DAMAGED("tensor 0.router is missing or misplaced");
    set_integer("experts", 4), UNSUPPORTED("4 experts of [32][20], 1 used"); /* of ffn's size */
    set_integer("experts", 4), set_integer("experts_used", 4), set_integer("expert_ffn", 8);
    DAMAGED("tensor 0.router is missing");
    set_integer("experts", 4), set_integer("experts_used", 5), DAMAGED("experts_used is 5; it must be between 1 and 4");
    set_integer("experts", 4), set_integer("experts_used", 0), DAMAGED("experts_used is 0");
    set_integer("experts_used", 1), DAMAGED("experts_used is 1; it must be between 1 and 0");
    set_integer("experts", 64), set_integer("experts_used", 64), set_integer("expert_ffn", 8);
    DAMAGED("tensor 0.router is missing");
    set_integer("experts", 65), set_integer("experts_used", 65), set_integer("expert_ffn", 8);
    UNSUPPORTED("65 used: at most 64 may be");
    set_integer("expert_ffn", 8), DAMAGED("tells of experts, but not how many");
    set_meta("expert_layers", HARP_META_BYTES, "\1\0", 2), DAMAGED("tells of experts, but not how many");
    set_integer("experts", 4), set_integer("expert_ffn", 0), DAMAGED("expert_ffn is 0");
    set_integer("experts", 4), set_integer("expert_ffn", 8), DAMAGED("tensor 0.router is missing");
    set_integer("experts", 4), set_integer("expert_ffn", 12), UNSUPPORTED("sizes must be multiples of 16");
    set_integer("experts", 256), set_integer("expert_ffn", 1 << 19), DAMAGED("tensor 0.router is missing");
    set_integer("experts", 257), set_integer("expert_ffn", 1 << 19), UNSUPPORTED("rows in all at most 2^28");
    set_integer("experts", 4), set_integer("expert_ffn", 8), set_text("residual", "parallel");
    UNSUPPORTED("a mixture of experts goes with a sequential residual");
    set_integer("experts", 4), set_integer("expert_ffn", 8);
    set_meta("expert_layers", HARP_META_BYTES, "\0\0", 2), OPENS();
    set_integer("experts", 4), set_integer("expert_ffn", 8);
    set_meta("expert_layers", HARP_META_BYTES, "\0\1", 2), DAMAGED("tensor 1.router is missing");
    hidden = 24;
    make_file();
    set_integer("experts", 4), set_integer("expert_ffn", 8), UNSUPPORTED("sizes must be multiples of 16");
}

/* The same for convolutions: 24 is 4 heads of 6, and twice 2 key-value heads divide it. */
static void test_convolutions(void)
{
    set_integer("conv_taps", 1), DAMAGED("conv_taps is 1; it must be between 2 and 16");
    set_integer("conv_taps", 17), DAMAGED("conv_taps is 17");
    set_integer("conv_taps", 3), DAMAGED("one of conv_layers or delta_layers and conv_taps is missing");
    set_meta("conv_layers", HARP_META_BYTES, "\0\0", 2), DAMAGED("and conv_taps is missing");
    set_integer("conv_taps", 3), set_meta("conv_layers", HARP_META_BYTES, "\0\0", 2), OPENS();
    set_integer("conv_taps", 16), set_meta("conv_layers", HARP_META_BYTES, "\0\0", 2), OPENS();
    set_integer("conv_taps", 2), set_meta("conv_layers", HARP_META_BYTES, "\0\1", 2);
    DAMAGED("tensor 1.qkv is 48 x 24; the model needs 72 x 24");
    set_integer("conv_taps", 2), set_meta("conv_layers", HARP_META_BYTES, "\0\0", 2);
    set_text("residual", "parallel"), UNSUPPORTED("and with a sequential residual");
    set_integer("conv_taps", 2), set_meta("conv_layers", HARP_META_BYTES, "\0\0", 2), set_integer("heads", 6);
    UNSUPPORTED("heads that make up hidden");
    set_integer("conv_taps", 2), set_meta("conv_layers", HARP_META_BYTES, "\0\0", 2), set_integer("heads", 8);
    set_integer("head_dim", 3), set_integer("rope_dims", 2), set_integer("kv_heads", 8);
    UNSUPPORTED("which twice the key-value heads divide");
}

/* Gated delta nets beside 16 heads of 6, in place of the model's 4: what goes through misses its tensors. */
static void set_deltas(int64_t heads, int64_t key_heads, int64_t key_dim, int64_t value_dim)
{
    set_integer("heads", 16), set_integer("conv_taps", 4), set_meta("delta_layers", HARP_META_BYTES, "\1\0", 2);
    set_integer("delta_heads", heads), set_integer("delta_key_heads", key_heads);
    set_integer("delta_key_dim", key_dim), set_integer("delta_value_dim", value_dim);
}

static void test_deltas(void)
{
    static const char *const keys[] = {"delta_layers", "delta_heads", "delta_key_heads", "delta_key_dim",
                                       "delta_value_dim"};
    static const char missing[] = "some of delta_layers, delta_heads, ", sizes[] = "sizes are multiples of 16";
    size_t i;
    set_deltas(4, 2, 16, 32), DAMAGED("tensor 0.qkv is 48 x 24; the model needs 192 x 24");
    set_deltas(2, 1, 1024, 16), DAMAGED("the model needs 2080 x 24");
    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        set_deltas(4, 2, 16, 32), set_meta(keys[i], 0, NULL, 0);
        DAMAGED(i == 0   ? "one of conv_layers or delta_layers and conv_taps is missing"
                : i == 1 ? "delta_key_heads is 2; it must be between 1 and 0"
                         : missing);
    }
    set_integer("delta_heads", 4), DAMAGED(missing);
    set_deltas(4, 2, 16, 32), set_meta("conv_taps", 0, NULL, 0), DAMAGED("and conv_taps is missing");
    set_deltas(4, 2, 16, 32), set_meta("delta_layers", HARP_META_BYTES, "\1\2", 2);
    DAMAGED("delta_layers of layer 1 is neither 0 nor 1");
    set_deltas(0, 1, 16, 16), DAMAGED("delta_heads is 0; it must be between 1 and 4096");
    set_deltas(4097, 1, 16, 16), DAMAGED("delta_heads is 4097");
    set_deltas(4, 0, 16, 16), DAMAGED("delta_key_heads is 0; it must be between 1 and 4");
    set_deltas(4, 5, 16, 16), DAMAGED("delta_key_heads is 5");
    set_deltas(4, 2, 15, 16), DAMAGED("delta_key_dim is 15; it must be between 16 and 1024");
    set_deltas(4, 2, 1025, 16), DAMAGED("delta_key_dim is 1025");
    set_deltas(4, 2, 16, 15), DAMAGED("delta_value_dim is 15; it must be between 16 and 1024");
    set_deltas(4, 2, 16, 1025), DAMAGED("delta_value_dim is 1025");
    set_deltas(4, 3, 16, 16), UNSUPPORTED("key heads divide heads");
    set_deltas(4, 2, 17, 16), UNSUPPORTED(sizes);
    set_deltas(4, 2, 16, 24), UNSUPPORTED(sizes);
    set_deltas(3, 1, 16, 16), UNSUPPORTED(sizes);
    set_deltas(4, 2, 16, 32), set_integer("head_dim", 5), set_integer("rope_dims", 4), UNSUPPORTED(sizes);
    set_deltas(4, 2, 16, 32), set_integer("kv_heads", 7), UNSUPPORTED("and twice the key-value heads all");
    set_deltas(257, 1, 1024, 1024), UNSUPPORTED("and at most 2^28");
    set_deltas(256, 1, 1024, 1024), DAMAGED("the model needs 264192 x 24");
    set_deltas(4, 2, 16, 32), set_text("residual", "parallel"), UNSUPPORTED("the residual is sequential");
    set_deltas(4, 2, 16, 32), set_integer("head_dim", 2), set_integer("hidden", 32), set_integer("rope_dims", 2);
    set_meta("conv_layers", HARP_META_BYTES, "\1\0", 2), DAMAGED("layer 0 is in conv_layers and in delta_layers");
    set_integer("shared_ffn", 16), DAMAGED("the file tells of experts, but not how many there are");
    set_integer("shared_ffn", 0), DAMAGED("shared_ffn is 0; it must be between 1 and 1048576");
    set_integer("shared_ffn", (1 << 20) + 1), DAMAGED("shared_ffn is 1048577");
}

/* Layers of several sizes: the model has 2 of them, 4 heads of 6, 2 with keys and values. */
static void test_sizes_of_layers(void)
{
    set_integer("local_head_dim", 4), UNSUPPORTED("local_head_dim goes with local_layers");
    set_integer("local_head_dim", 7), DAMAGED("local_head_dim is 7; it must be between 2 and 6");
    set_integer("local_head_dim", 4), set_meta("local_layers", HARP_META_BYTES, "\0\1", 2);
    UNSUPPORTED("is even, and a multiple of 32 with all heads");
    set_integer("local_head_dim", 5), set_meta("local_layers", HARP_META_BYTES, "\0\1", 2), set_integer("heads", 32);
    UNSUPPORTED("is even, and a multiple of 32");
    set_integer("local_head_dim", 4), set_meta("local_layers", HARP_META_BYTES, "\0\1", 2), set_integer("heads", 8);
    DAMAGED("tensor rope_local is missing");
    set_integer("narrow_ffn", 12), DAMAGED("one of narrow_layers and narrow_ffn is missing");
    set_meta("narrow_layers", HARP_META_BYTES, "\0\0", 2), DAMAGED("one of narrow_layers and narrow_ffn is missing");
    set_integer("narrow_ffn", 21), DAMAGED("narrow_ffn is 21; it must be between 1 and 20");
    set_integer("narrow_ffn", 12), set_meta("narrow_layers", HARP_META_BYTES, "\0\0", 2), OPENS();
    set_integer("narrow_ffn", 12), set_meta("narrow_layers", HARP_META_BYTES, "\0\1", 2);
    DAMAGED("tensor 1.gate_up is 40 x 24; the model needs 24 x 24");
    set_meta("shared_layers", HARP_META_BYTES, "\0\0", 2), OPENS();
    set_meta("shared_layers", HARP_META_BYTES, "\0\1", 2), DAMAGED("tensor 1.qkv is 48 x 24; the model needs 24 x 24");
    set_meta("shared_layers", HARP_META_BYTES, "\1\0", 2), DAMAGED("no layer before layer 0 has keys and values");
    set_meta("shared_layers", HARP_META_BYTES, "\0\1", 2), set_integer("window", 8);
    set_meta("window_layers", HARP_META_BYTES, "\0\1", 2), DAMAGED("no layer before layer 1 has keys and values");
    set_integer("layer_inputs", 15), DAMAGED("layer_inputs is 15; it must be between 16 and 16384");
    set_integer("layer_inputs", 16385), DAMAGED("layer_inputs is 16385");
    set_integer("layer_inputs", 24), UNSUPPORTED("layer_inputs is a multiple of 16");
    set_integer("layer_inputs", 32), set_text("ffn_kind", "plain"), UNSUPPORTED("and goes with ffn_kind gated");
    set_integer("layer_inputs", 32), DAMAGED("tensor layer_embedding is missing");
}

/* ---- the tokenizer's tables ---- */

/* The value of an entry, which is there; *bytes: its size. */
static uint8_t *value_of(const char *key, size_t *bytes)
{
    uint8_t *value = hf_find_value(file, key, bytes);
    if (value) return value;
    printf("no entry %s\n", key);
    exit(2);
}

static void set_word(const char *table, size_t index, uint32_t value)
{
    hf_store(value_of(table, NULL) + 4 * index, value, 4);
}

static uint32_t word_at(const char *table, size_t index)
{
    return cv_u32(value_of(table, NULL) + 4 * index);
}

static void set_words(const char *table, const uint32_t *values, size_t n)
{
    static uint8_t bytes[ROOM];
    size_t i;
    for (i = 0; i < n; i++) hf_store(bytes + 4 * i, values[i], 4);
    set_meta(table, HARP_META_BYTES, bytes, 4 * n);
}

/* Makes a normal token one of another type. */
static void set_type(uint32_t id, uint8_t type)
{
    static const char sorted[] = "tokenizer.sorted";
    uint32_t list[80], n = 0, i;
    size_t bytes;
    value_of(sorted, &bytes);
    for (i = 0; i < bytes / 4; i++)
        if (word_at(sorted, i) != id) list[n++] = word_at(sorted, i);
    set_words(sorted, list, n);
    value_of("tokenizer.types", NULL)[id] = type;
}

static void test_tables(void)
{
    static const char *const tables[] = {"offsets", "text",        "types",  "sorted",
                                         "bytes",   "merge_first", "merges", "added"};
    static const char *const flags[] = {"add_bos", "ignore_merges", "any_lead", "number_lead", "lone_digits",
                                        "sign_newlines", "newline_runs"};
    char key[64], words[128];
    size_t i, bytes;
    for (i = 0; i < sizeof tables / sizeof *tables; i++) {
        snprintf(key, sizeof key, "tokenizer.%s", tables[i]);
        snprintf(words, sizeof words, "the table %s of the tokenizer is damaged or missing", key);
        value_of(key, &bytes);
        set_meta(key, 0, NULL, 0), DAMAGED(words);
        set_text(key, "text"), DAMAGED(words);
        if (i != 1) set_meta(key, HARP_META_BYTES, value_of(key, NULL), bytes - 1), DAMAGED(words);
    }
    for (i = 0; i < sizeof flags / sizeof *flags; i++) {
        snprintf(key, sizeof key, "tokenizer.%s", flags[i]);
        snprintf(words, sizeof words, "%s is 2; it must be between 0 and 1", key);
        set_integer(key, 0), OPENS();
        set_integer(key, 1), OPENS();
        set_integer(key, 2), DAMAGED(words);
        snprintf(words, sizeof words, "%s is -1; it must be between 0 and 1", key);
        set_integer(key, -1), DAMAGED(words);
        snprintf(words, sizeof words, "%s must be an integer", key);
        set_text(key, "yes"), DAMAGED(words);
        set_meta(key, 0, NULL, 0), OPENS();
    }
    set_meta("tokenizer.kind", 0, NULL, 0), OPENS();
    set_text("tokenizer.kind", "1"), DAMAGED("tokenizer.kind");
    set_integer("tokenizer.kind", 3), UNSUPPORTED("tokenizers of kind 3");
    set_integer("tokenizer.kind", 0), UNSUPPORTED("tokenizers of kind 0");
    set_integer("tokenizer.spaces", 15), OPENS();
    set_integer("tokenizer.spaces", 16), DAMAGED("tokenizer.spaces is 16");
    set_integer("tokenizer.unknown_whole", 2), OPENS();
    set_integer("tokenizer.unknown_whole", 3), DAMAGED("tokenizer.unknown_whole is 3");
    set_meta("tokenizer.unknown_whole", 0, NULL, 0);
    set_integer("tokenizer.unknown", -1), OPENS();
    set_integer("tokenizer.unknown", 79), OPENS();
    set_integer("tokenizer.unknown", 80), DAMAGED("tokenizer.unknown is 80");
    set_integer("tokenizer.contractions", 3), DAMAGED("tokenizer.contractions is 3");
    set_integer("tokenizer.number_digits", (1 << 20) + 1), DAMAGED("tokenizer.number_digits is 1048577");
}

static void test_texts(void)
{
    static const char offsets[] = "tokenizer.offsets", types[] = "tokenizer.types";
    static const char damaged[] = "the table tokenizer.offsets";
    size_t bytes;
    value_of("tokenizer.text", &bytes);
    set_word(offsets, 0, 1), DAMAGED(damaged);
    set_word(offsets, 80, (uint32_t)bytes - 1), DAMAGED(damaged);
    set_word(offsets, 5, word_at(offsets, 4) - 1), DAMAGED(damaged);
    set_word(offsets, 40, (uint32_t)bytes + 1), DAMAGED(damaged);
    set_word(offsets, 40, 0xFFFFFFFFu), DAMAGED(damaged);
    value_of(types, NULL)[3] = 0, DAMAGED("the table tokenizer.types");
    value_of(types, NULL)[3] = 7, DAMAGED("the table tokenizer.types");
}

/* Texts of 4096 bytes are the longest that a token can have, 512 the longest that an added one can. */
static void test_long_texts(void)
{
    static uint8_t text[8192];
    static const uint32_t longest[] = {4096, 4097, 512, 513};
    size_t i, k, bytes;
    for (i = 0; i < 4; i++) {
        uint32_t more = longest[i] - 3; /* the last token is "<!>" */
        const uint8_t *old = value_of("tokenizer.text", &bytes);
        memcpy(text, old, bytes);
        memset(text + bytes, 'x', more);
        set_meta("tokenizer.text", HARP_META_BYTES, text, bytes + more);
        set_word("tokenizer.offsets", 80, (uint32_t)bytes + more);
        if (i == 0) { /* fine as a token, not as an added one */
            k = word_at("tokenizer.added", 0) == 79 ? 2 : 0;
            set_words("tokenizer.added", (const uint32_t[]){word_at("tokenizer.added", k), 0}, 2);
        }
        if (i == 0 || i == 2) OPENS();
        else DAMAGED(i == 1 ? "the table tokenizer.offsets" : "the table tokenizer.added");
    }
}

static void test_lists(void)
{
    static const char sorted[] = "tokenizer.sorted", added[] = "tokenizer.added", of_bytes[] = "tokenizer.bytes";
    uint32_t pair = 0;
    while (word_at("tokenizer.offsets", pair + 1) - word_at("tokenizer.offsets", pair) != 2) pair++;
    set_word(sorted, 3, 80), DAMAGED(sorted);
    set_word(sorted, 3, 0), DAMAGED(sorted); /* the unknown token is no normal one */
    set_word(sorted, 3, word_at(sorted, 2)), DAMAGED(sorted);
    set_word(sorted, 3, word_at(sorted, 5)), DAMAGED(sorted);
    set_word(added, 1, 3), OPENS();
    set_word(added, 1, 4), DAMAGED(added);
    set_word(added, 0, 5), DAMAGED(added); /* a normal token */
    set_word(added, 0, word_at(added, 2)), DAMAGED(added);
    value_of("tokenizer.types", NULL)[78] = 4; /* the empty token */
    set_words(added, (const uint32_t[]){78, 0}, 2), DAMAGED(added);
    set_words(added, (const uint32_t[]){0, 0}, 0), OPENS();
    value_of("tokenizer.types", NULL)[78] = 1; /* a normal token without text comes first */
    {
        uint32_t list[128], n = 0;
        size_t bytes;
        value_of(sorted, &bytes);
        for (list[n++] = 78; n <= bytes / 4; n++) list[n] = word_at(sorted, n - 1);
        set_words(sorted, list, n), OPENS();
    }
    set_word(of_bytes, 'a', 80), DAMAGED(of_bytes);
    set_word(of_bytes, 'a', word_at(of_bytes, 'b')), DAMAGED(of_bytes);
    set_word(of_bytes, value_of("tokenizer.text", NULL)[word_at("tokenizer.offsets", pair)], pair), DAMAGED(of_bytes);
    set_word(of_bytes, 'a', 0xFFFFFFFFu), OPENS();
    set_type(word_at(of_bytes, 'a'), HF_USER), OPENS();
    set_type(word_at(of_bytes, 'a'), HF_CONTROL), DAMAGED(of_bytes); /* typed text would become it */
    set_type(word_at(of_bytes, 'a'), HF_UNKNOWN), DAMAGED(of_bytes);
}

static void test_merges(void)
{
    static const char merges[] = "tokenizer.merges", first[] = "tokenizer.merge_first";
    uint32_t left = 3, right = word_at(merges, 0), result = word_at(merges, 2), n, both[6], i;
    size_t bytes;
    value_of(merges, &bytes);
    n = (uint32_t)bytes / 12;
    set_word(merges, 0, 80), DAMAGED(merges);
    set_word(merges, 2, 80), DAMAGED(merges);
    set_word(merges, 1, 0xFFFFFFFFu), DAMAGED(merges); /* that rank means none */
    set_word(merges, 0, 78), DAMAGED(merges);          /* an empty part */
    set_word(merges, 0, right + 1), DAMAGED(merges);   /* its text is another */
    set_word(merges, 2, result + 1), DAMAGED(merges);
    set_word(merges, 2, left), DAMAGED(merges); /* shorter than both */
    set_word(first, 0, 1), DAMAGED(first);
    set_word(first, 80, n - 1), DAMAGED(first);
    set_word(first, 10, 0), DAMAGED(first);
    set_word(first, 10, n + 1), DAMAGED(first);
    both[0] = right, both[1] = 7, both[2] = result; /* one pair twice: a left token's merges ascend */
    memcpy(both + 3, both, 12);
    set_words(merges, both, 6);
    for (i = 0; i <= 80; i++) set_word(first, i, i <= left ? 0 : 2);
    DAMAGED(merges);
    set_words(merges, both, 3);
    for (i = 0; i <= 80; i++) set_word(first, i, i <= left ? 0 : 1);
    OPENS();
    set_words(merges, both, 3); /* the empty token as a left part */
    for (i = 0; i <= 80; i++) set_word(first, i, i <= 78 ? 0 : 1);
    DAMAGED(merges);
}

enum { BEGIN = HF_STAGE | HF_ALTERNATIVE };

/* Words as a program: one stage, one alternative, a run of letters; then one number of it changed. */
static void set_program(size_t index, uint32_t value)
{
    uint32_t items[] = {BEGIN | HF_SET, 0, 1, 0, HF_SET, 1, 0, 4}, sets[] = {0, 1, 2};
    uint32_t ranges[] = {'a', 'z', '0', '9'};
    if (index < 8) items[index] = value;
    else if (index < 11) sets[index - 8] = value;
    else if (index < 15) ranges[index - 11] = value;
    set_words("tokenizer.words", items, 8);
    set_words("tokenizer.set_first", sets, 3);
    set_words("tokenizer.sets", ranges, 4);
}

static void test_word_programs(void)
{
    static const char words[] = "the table tokenizer.words", first[] = "the table tokenizer.set_first";
    static const struct {
        size_t index;
        uint32_t value;
        const char *damaged; /* NULL: it opens */
    } changes[] = {{99, 0, NULL},
                   {0, 128 | BEGIN, words},
                   {0, BEGIN | (HF_AT_END + 1), words},
                   {0, HF_ALTERNATIVE, words}, /* no stage begins */
                   {0, HF_STAGE, words},       /* no alternative begins */
                   {1, 2, words},
                   {0, BEGIN | HF_NOT_BEFORE, NULL},
                   {5, 2, words},
                   {4, HF_AT_END, NULL},
                   {4, HF_STAGE, words}, /* a stage begins with an alternative */
                   {2, 1 << 20, NULL},
                   {2, (1 << 20) + 1, words},
                   {3, 1 << 20, NULL},
                   {3, (1 << 20) + 1, words},
                   {6, 4, NULL},
                   {6, 5, words}, /* more than the most */
                   {8, 1, NULL},
                   {9, 3, first},
                   {10, 0, first},
                   {10, 3, first},
                   {11, 'z', NULL},
                   {11, 'z' + 1, "the table tokenizer.sets"},
                   {14, 0x110000, NULL}, /* a byte that is no character */
                   {14, 0x110001, "the table tokenizer.sets"}};
    uint32_t many[4 * 9 * 4];
    size_t i, k;
    for (i = 0; i < sizeof changes / sizeof *changes; i++) {
        set_program(changes[i].index, changes[i].value);
        if (changes[i].damaged) DAMAGED(changes[i].damaged);
        else OPENS();
    }
    for (k = 8; k <= 9; k++) { /* so many items in one alternative, so many stages: 8 are the most of both */
        for (i = 0; i < 4 * k; i++) many[i] = i == 0 ? BEGIN : i % 4 == 2;
        set_program(99, 0), set_words("tokenizer.words", many, 4 * k);
        if (k == 8) OPENS();
        else DAMAGED(words);
        for (i = 0; i < 4 * k; i++) many[i] = i % 4 == 0 ? BEGIN : i % 4 == 2;
        set_program(99, 0), set_words("tokenizer.words", many, 4 * k);
        if (k == 8) OPENS();
        else DAMAGED(words);
    }
    for (k = 1024; k <= 1025; k++) { /* so many alternatives */
        static uint32_t all[4 * 1025];
        for (i = 0; i < 4 * k; i++) all[i] = i == 0 ? BEGIN : i % 4 == 0 ? HF_ALTERNATIVE : i % 4 == 2;
        set_program(99, 0), set_words("tokenizer.words", all, 4 * k);
        if (k == 1024) OPENS();
        else DAMAGED(words);
    }
    set_program(99, 0), set_words("tokenizer.words", many, 0), DAMAGED(words);
    set_program(99, 0), set_words("tokenizer.set_first", many, 0), DAMAGED(words);
    set_program(99, 0), set_meta("tokenizer.set_first", 0, NULL, 0), DAMAGED(first);
    set_program(99, 0), set_meta("tokenizer.sets", 0, NULL, 0), DAMAGED("the table tokenizer.sets");
    set_program(99, 0), set_words("tokenizer.words", many, 3), DAMAGED(words);
}

static void set_normalization(size_t index, uint32_t value)
{
    uint32_t numbers[10 + 6 + 6] = {0xC0, 'A', 0x300, 0, 0, 0xC8, 'E', 0x300, 0, 0, 'A', 0x300, 0xC0, 'E', 0x300, 0xC8,
                                    0x300, 0x314, 230, 0x316, 0x319, 220};
    if (index < 22) numbers[index] = value;
    set_words("tokenizer.decompose", numbers, 10);
    set_words("tokenizer.compose", numbers + 10, 6);
    set_words("tokenizer.marks", numbers + 16, 6);
}

static void test_normalization(void)
{
    static const char decompose[] = "the table tokenizer.decompose", compose[] = "the table tokenizer.compose";
    static const char marks[] = "the table tokenizer.marks";
    set_normalization(99, 0), OPENS();
    set_normalization(5, 0xBF), DAMAGED(decompose);
    set_normalization(6, 0x10FFFF), OPENS();
    set_normalization(6, 0x110000), DAMAGED(decompose);
    set_normalization(13, '@'), DAMAGED(compose);
    set_normalization(12, 0x110000), DAMAGED(compose);
    set_normalization(19, 0x2FF), DAMAGED(marks);
    set_normalization(18, 255), OPENS();
    set_normalization(18, 256), DAMAGED(marks);
    set_normalization(8, 0x316), set_word("tokenizer.decompose", 9, 0x319), OPENS(); /* of four parts */
    set_normalization(99, 0), set_meta("tokenizer.compose", 0, NULL, 0), DAMAGED(compose);
    set_normalization(99, 0), set_meta("tokenizer.marks", 0, NULL, 0), DAMAGED(marks);
    set_normalization(99, 0), set_text("tokenizer.decompose", "AB"), DAMAGED(decompose);
}

/* Whatever the rules for words, the tokens of a text are its text: bytes without a token of their own excepted, which
 * the unknown token stands for, or nothing if there is none. */
static void check_words(int line)
{
    static const char *const texts[] = {
        "a  bc\n\n de",  "it's I'LL 'Re 'x '", "12345 6 7a", "..,\n\n.,'", " \n \n  a",
        "\xC3\xA9\xE2\x82\xAC \xF0\x9F\x98\x80",
        "'\xC5\xBFx",     "\r\r a\xFF b\xC3",   "</s><!>a",   "",           " ",          "'s",
        "a'd. \xE2\x96.", "a'l",               "'p",         "'\xC5.",      "'aa",        ".,\r\n.",
        "abcdefghijklmnopabcdefgh",         "\xE2\x96\x81" /* kind 1 takes that for a space */};
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    int32_t tokens[64];
    size_t i, k, n, bytes, n_texts;
    hf_seal(file, file_bytes);
    source.data = file, source.bytes = file_bytes;
    if (harp_open_source(&m, &source, NULL)) failed++, printf("FAILED line %d: does not open\n", line);
    n_texts = sizeof texts / sizeof *texts - (m && harp_model_info(m).tokenizer == 1);
    for (i = 0; m && i < n_texts; i++) {
        const char *p = texts[i];
        int good = harp_encode(m, p, strlen(p), 0, tokens, 64, &n, NULL) == HARP_OK;
        for (k = 0; k < n && good; k++) {
            const char *token = harp_token_text(m, tokens[k], &bytes);
            if (tokens[k] == 0) continue; /* the unknown token */
            while (*p && strncmp(p, token, bytes) != 0 && !strchr(hf_alphabet, *p)) p++;
            good = strncmp(p, token, bytes) == 0;
            if (good) p += bytes;
        }
        while (*p && !strchr(hf_alphabet, *p)) p++;
        check(good && *p == 0, "line %d: text %d comes back as another", line, (int)i);
    }
    harp_close(m);
    make_file();
}

static harp_model *open_or_exit(void);

static size_t count_tokens(const char *text)
{
    int32_t tokens[64];
    size_t n = 0;
    harp_model *m = open_or_exit();
    CHECK(harp_encode(m, text, strlen(text), 0, tokens, 64, &n, NULL) == HARP_OK);
    harp_close(m);
    make_file();
    return n;
}

static void test_word_rules(void)
{
    uint32_t search[32]; /* seven runs of letters, then a digit */
    int32_t bits;
    for (bits = 0; bits < 256; bits++) {
        set_integer("tokenizer.contractions", bits % 3), set_integer("tokenizer.any_lead", bits >> 1 & 1);
        set_integer("tokenizer.number_lead", bits >> 2 & 1), set_integer("tokenizer.number_digits", bits >> 3 & 3);
        set_integer("tokenizer.lone_digits", bits >> 5 & 1), set_integer("tokenizer.sign_newlines", bits >> 6 & 1);
        set_integer("tokenizer.newline_runs", bits >> 7 & 1), set_integer("tokenizer.ignore_merges", bits >> 4 & 1);
        if (bits & 1) set_integer("tokenizer.unknown", -1);
        check_words(__LINE__);
    }
    set_program(99, 0), check_words(__LINE__);
    set_program(4, HF_AT_END), check_words(__LINE__);
    set_program(2, 0), check_words(__LINE__); /* it can match nothing, which is no match */
    for (bits = 0; bits < 32; bits++) search[bits] = bits == 0 ? BEGIN : bits == 29 || bits == 30;
    set_program(99, 0), set_words("tokenizer.words", search, 32), check_words(__LINE__); /* too many ways */
    set_normalization(99, 0), check_words(__LINE__);
    set_normalization(5, 0xE9), set_word("tokenizer.decompose", 8, 0x316), set_word("tokenizer.decompose", 9, 0x319);
    CHECK(count_tokens("a\xC3\xA9\xE2\x82") > 0); /* a letter of four parts */
    set_integer("tokenizer.kind", 1), set_integer("tokenizer.spaces", 0), check_words(__LINE__);
}

/* Text that nobody has declared special becomes no special token: not by merges that make one of its name, and not
 * because bytes without a token become the unknown one. */
static void test_typed_control(void)
{
    uint32_t left = 3, right = word_at("tokenizer.merges", 0), result = word_at("tokenizer.merges", 2), type, kind, i;
    size_t n, bytes;
    int32_t tokens[8];
    for (type = HF_NORMAL; type <= HF_USER; type++)
        for (kind = 1; kind <= 2; kind++) {
            int special = type == HF_UNKNOWN || type == HF_CONTROL;
            harp_model *m;
            const char *text;
            set_integer("tokenizer.kind", kind), set_integer("tokenizer.spaces", 0);
            set_integer("tokenizer.ignore_merges", 1);
            if (type != HF_NORMAL) set_type(result, (uint8_t)type);
            m = open_or_exit();
            text = harp_token_text(m, (int32_t)result, &bytes);
            CHECK(harp_encode(m, text, bytes, 0, tokens, 8, &n, NULL) == HARP_OK);
            if (special) CHECK(n == 2 && tokens[0] == (int32_t)left && tokens[1] == (int32_t)right);
            else CHECK(n == 1 && tokens[0] == (int32_t)result);
            harp_close(m);
            make_file();
        }
    for (i = 0; i < 2; i++) { /* 0: unknown, 1: a control token */
        harp_model *m;
        set_integer("tokenizer.unknown", i);
        m = open_or_exit();
        CHECK(harp_encode(m, "z", 1, 0, tokens, 8, &n, NULL) == HARP_OK && n == 1 - (size_t)i && (i || tokens[0] == 0));
        harp_close(m);
        make_file();
    }
}

/* A vocabulary of the letters a (token 3) and b (4), and of added tokens from 5 on. */
typedef struct letters {
    uint8_t text[1 << 15], types[80];
    uint32_t offsets[81], added[150], n_added;
} letters;

static void start_letters(letters *l)
{
    uint32_t i;
    memset(l, 0, sizeof *l);
    for (i = 0; i < 80; i++) l->types[i] = i < 3 ? HF_UNUSED : i < 5 ? HF_NORMAL : HF_USER;
    l->text[0] = 'a', l->text[1] = 'b';
    l->offsets[4] = 1, l->offsets[5] = 2;
}

/* Ends added token `id`, whose `bytes` bytes are there, and sorts it in; a text that is there already is left out. */
static void end_added(letters *l, uint32_t id, uint32_t bytes)
{
    uint32_t k, other;
    int order = 1;
    l->offsets[id + 1] = l->offsets[id] + bytes;
    for (k = 0; k < l->n_added; k++) {
        other = l->added[2 * k];
        order = hf_compare(l->text + l->offsets[id], bytes, l->text + l->offsets[other],
                                l->offsets[other + 1] - l->offsets[other]);
        if (order <= 0) break;
    }
    if (order == 0) return;
    memmove(l->added + 2 * k + 2, l->added + 2 * k, 8 * (size_t)(l->n_added - k));
    l->added[2 * k] = id, l->added[2 * k + 1] = 0, l->n_added++;
}

static harp_model *open_letters(const letters *l)
{
    static uint32_t sorted[2] = {3, 4}, of_bytes[256], none[81];
    memset(of_bytes, 0xFF, sizeof of_bytes), of_bytes['a'] = 3, of_bytes['b'] = 4;
    set_words("tokenizer.offsets", l->offsets, 81),
        set_meta("tokenizer.text", HARP_META_BYTES, l->text, l->offsets[80]);
    set_meta("tokenizer.types", HARP_META_BYTES, l->types, 80), set_words("tokenizer.sorted", sorted, 2);
    set_words("tokenizer.bytes", of_bytes, 256), set_words("tokenizer.merge_first", none, 81);
    set_words("tokenizer.merges", none, 0), set_words("tokenizer.added", l->added, 2 * l->n_added);
    return open_or_exit();
}

/* Added tokens of 1 to `longest` letters, of which many begin like the one before. */
static harp_model *open_alike(unsigned seed, unsigned longest)
{
    static letters l;
    uint32_t id, k;
    unsigned state = seed;
    start_letters(&l);
    for (id = 5; id < 80; id++) {
        uint32_t bytes = 1 + fz_random(&state, longest), before = l.offsets[id] - l.offsets[id - 1];
        uint32_t same = before * (7 - fz_random(&state, 3)) / 7;
        uint8_t *p = l.text + l.offsets[id];
        for (k = 0; k < bytes; k++)
            p[k] = k < same ? l.text[l.offsets[id - 1] + k] : (uint8_t)('a' + fz_random(&state, 2));
        end_added(&l, id, bytes);
    }
    return open_letters(&l);
}

/* The longest added token at p, by comparing with every one of them; of two with the same text, the first. */
static int32_t longest_added(const harp_model *m, const uint8_t *p, size_t left)
{
    size_t bytes, most = 0;
    int32_t i, best = -1;
    for (i = 5; i < 80; i++) {
        const char *token = harp_token_text(m, i, &bytes);
        if (bytes <= most || bytes > left || memcmp(token, p, bytes) != 0) continue;
        most = bytes, best = i;
    }
    return best;
}

/* The longest added token is found at each place of a text that is full of their beginnings. */
static void test_added_tokens(void)
{
    unsigned round, state = 5;
    for (round = 0; round < 60; round++) {
        harp_model *m = open_alike(round, round % 3 ? 12 : 300);
        uint8_t text[600];
        int32_t added[sizeof text];
        size_t at, bytes, wrong = 0, found = 0;
        for (at = 0; at < sizeof text; at++) text[at] = (uint8_t)('a' + fz_random(&state, 2));
        for (at = 0; at < sizeof text - 300; at += 50) {
            const char *token = harp_token_text(m, 5 + (int32_t)fz_random(&state, 75), &bytes);
            memcpy(text + at, token, bytes);
        }
        inside_find_added(m, text, sizeof text, added);
        for (at = 0; at < sizeof text; at++) {
            int32_t best = longest_added(m, text + at, sizeof text - at);
            wrong += added[at] != best, found += best >= 0;
        }
        CHECK(wrong == 0 && found > 0);
        harp_close(m);
        make_file();
    }
}

/* Added tokens that differ in their last letters alone: a text of all the others is compared with them in vain. */
static void test_deep_added_tokens(void)
{
    enum { LONG = 400000, DEEP = 360 };
    static letters l;
    char *text = malloc(LONG);
    int32_t *tokens = malloc(LONG * sizeof *tokens);
    harp_model *m;
    clock_t begin;
    size_t n = 0;
    uint32_t id;
    start_letters(&l);
    for (id = 5; id < 80; id++) {
        uint8_t *p = l.text + l.offsets[id];
        memset(p, 'a', DEEP), p[DEEP - 2] = (uint8_t)('b' + id / 9), p[DEEP - 1] = (uint8_t)('b' + id % 9);
        end_added(&l, id, DEEP);
    }
    m = open_letters(&l);
    memset(text, 'a', LONG);
    begin = clock();
    CHECK(harp_encode(m, text, LONG, 0, tokens, LONG, &n, NULL) == HARP_OK && n == LONG);
    CHECK((double)(clock() - begin) / CLOCKS_PER_SEC < 4.0); /* a fraction of a second; with a search a byte, thirty */
    harp_close(m);
    free(text), free(tokens);
    make_file();
}

/* Items that fail cost patience, too: the search gives up, and what is left is one word. */
static void test_failing_items(void)
{
    static uint32_t items[4 * HF_MOST_ITEMS];
    uint8_t text[40];
    const uint8_t *end = text + sizeof text;
    inside_cutter c = inside_begin_cutting(text, sizeof text);
    size_t i;
    harp_model *m;
    memset(text, 'a', sizeof text);
    for (i = 0; i < 4 * HF_MOST_ITEMS; i++)
        items[i] = i == 0 ? BEGIN : i % 4 == 0 ? HF_ALTERNATIVE : i % 4 < 3; /* of digits, one or more */
    set_program(99, 0), set_words("tokenizer.words", items, 4 * HF_MOST_ITEMS);
    m = open_or_exit();
    c.patience = 5 * HF_MOST_ITEMS;
    CHECK(inside_word_end(m, &c, text) == end && c.patience == 0);
    c.ends[1] = text, text[20] = '1'; /* never found */
    CHECK(inside_word_end(m, &c, text) == end);
    harp_close(m);
    make_file();
}

/* Eight stages that cut alike are as one. */
static void test_most_stages(void)
{
    static const char text[] = "abc12ba3";
    uint32_t stages[4 * HF_MOST_STAGES];
    size_t i, n;
    set_program(99, 0);
    n = count_tokens(text);
    for (i = 0; i < sizeof stages / sizeof *stages; i++) stages[i] = i % 4 == 0 ? BEGIN : i % 4 == 2;
    set_program(99, 0), set_words("tokenizer.words", stages, sizeof stages / sizeof *stages);
    CHECK(n > 0 && count_tokens(text) == n);
    set_program(99, 0), set_words("tokenizer.words", stages, sizeof stages / sizeof *stages), check_words(__LINE__);
}

/* A program that searches to the text's end from every place, in vain, runs out of patience: the time is linear. */
static void test_vain_search(void)
{
    enum { LONG = 40000 };
    char *text = malloc(LONG);
    int32_t *tokens = malloc(LONG * sizeof *tokens);
    clock_t begin;
    harp_model *m;
    size_t n = 0;
    memset(text, 'a', LONG);
    set_program(2, 0), set_word("tokenizer.words", 6, 1); /* letters, then a digit */
    m = open_or_exit();
    begin = clock();
    CHECK(harp_encode(m, text, LONG, 0, tokens, LONG, &n, NULL) == HARP_OK && n == LONG);
    CHECK((double)(clock() - begin) / CLOCKS_PER_SEC < 8.0); /* a fraction of a second; else twenty, and more */
    harp_close(m);
    free(text), free(tokens);
    make_file();
}

static int allocations_left;

static void *failing_alloc(void *user, size_t bytes) /* remembers the size before the block */
{
    uint64_t *p = allocations_left-- > 0 ? malloc(bytes + 64) : NULL;
    (void)user;
    if (p) *p = bytes;
    return p ? p + 8 : NULL;
}

static void plain_free(void *user, void *block, size_t bytes)
{
    uint64_t *p = block;
    (void)user;
    if (!p) return;
    CHECK(p[-8] == bytes);
    free(p - 8);
}

static harp_model *open_or_exit(void)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    hf_seal(file, file_bytes);
    source.data = file, source.bytes = file_bytes;
    source.allocator.alloc = failing_alloc, source.allocator.free = plain_free;
    allocations_left = 1000;
    if (harp_open_source(&m, &source, &err)) printf("%s\n", err.text), exit(2);
    return m;
}

/* Each request for memory fails once; then the text is what it is with all of it. */
static void test_memory_of_a_text(void)
{
    static const char text[] = "cA\xCC\x80<!>E\xCC\x80 a\xFF<!>A\xCC\x80";
    int32_t tokens[64];
    size_t n = 0;
    harp_model *m;
    int most, with;
    for (with = 0; with < 2; with++) {
        if (with) set_program(99, 0);
        set_normalization(99, 0);
        m = open_or_exit();
        for (most = 0;; most++) {
            harp_error err;
            allocations_left = most;
            if (harp_encode(m, text, strlen(text), 0, tokens, 64, &n, &err) == HARP_OK) break;
            CHECK(err.status == HARP_ERR_MEMORY && strstr(err.text, "no memory") && n == 0);
        }
        CHECK(most >= 2 && n > 4);
        harp_close(m);
        make_file();
    }
}

/* The tokens of a text as text, a bar between; with kind 1 and so many spaces. */
static const char *tokens_of(int32_t spaces, const char *text, unsigned flags)
{
    static char out[256];
    int32_t tokens[32];
    size_t n = 0, i, bytes;
    harp_model *m;
    set_integer("tokenizer.kind", 1), set_integer("tokenizer.spaces", spaces);
    m = open_or_exit(), out[0] = 0;
    CHECK(harp_encode(m, text, strlen(text), flags, tokens, 32, &n, NULL) == HARP_OK);
    for (i = 0; i < n; i++) {
        const char *token = harp_token_text(m, tokens[i], &bytes);
        strncat(strcat(out, "|"), token, bytes);
    }
    harp_close(m);
    make_file();
    return out;
}

static void test_spaces(void)
{
    CHECK(strcmp(tokens_of(0, "n", 0), "|n") == 0 && strcmp(tokens_of(1, "n", 0), "| |n") == 0);
    CHECK(strcmp(tokens_of(1, " n", 0), "| | |n") == 0 && strcmp(tokens_of(1 | 4, " n", 0), "| |n") == 0);
    CHECK(strcmp(tokens_of(1 | 4, "\xE2\x96\x81n", 0), "| |n") == 0 && strcmp(tokens_of(1 | 4, "n", 0), "| |n") == 0);
    CHECK(strcmp(tokens_of(1, "n", HARP_ENCODE_CONTINUE), "|n") == 0 && strcmp(tokens_of(2, "n", 0), "|n") == 0);
    CHECK(strcmp(tokens_of(2, "n<!>n", 0), "|n|<!>| |n") == 0 && strcmp(tokens_of(0, "n<!>n", 0), "|n|<!>|n") == 0);
    CHECK(strcmp(tokens_of(2 | 4, "n<!>\xE2\x96n", 0), "|n|<!>| |\xE2|<unk>|n") == 0);
    CHECK(strcmp(tokens_of(0, "n", HARP_ENCODE_BOS), "|<s>|n") == 0);
}

/* Added tokens that take the white space before or after them: each as its own bits say. */
static void test_stripping(void)
{
    uint32_t bits;
    for (bits = 0; bits < 16; bits++) {
        char expected[64];
        CHECK(word_at("tokenizer.added", 0) == 79 && word_at("tokenizer.added", 2) == 2); /* "<!>", "</s>" */
        set_word("tokenizer.added", 1, bits & 3), set_word("tokenizer.added", 3, bits >> 2);
        snprintf(expected, sizeof expected, "|n%s|<!>%s|n%s|</s>%s|n", bits & 1 ? "" : "| ", bits & 2 ? "" : "| ",
                 bits & 4 ? "" : "| ", bits & 8 ? "" : "| ");
        CHECK(strcmp(tokens_of(0, "n <!> n </s> n", HARP_ENCODE_SPECIAL), expected) == 0);
    }
}

static void test_text_calls(void)
{
    harp_error err;
    harp_model *m;
    harp_decoder d;
    int32_t token, longest;
    size_t n = 1;
    char out[64];
    value_of("tokenizer.types", NULL)[4] = HF_UNUSED, set_integer("tokenizer.spaces", 8);
    set_integer("tokenizer.add_bos", 0), value_of("tokenizer.sorted", &n);
    { /* a token that is no normal one is not among the sorted */
        uint32_t sorted[128], i, kept = 0;
        for (i = 0; i < n / 4; i++)
            if (word_at("tokenizer.sorted", i) != 4) sorted[kept++] = word_at("tokenizer.sorted", i);
        set_words("tokenizer.sorted", sorted, kept);
    }
    m = open_or_exit();
    CHECK(harp_encode_spans(m, NULL, NULL, 0, HARP_ENCODE_BOS, &token, 1, &n, NULL) == HARP_OK && n == 0);
    longest = harp_model_info(m).longest_token;
    harp_decoder_start(&d, m, 0);
    snprintf(out, sizeof out, "needs room for %d bytes", longest + 8);
    CHECK(harp_decode(&d, 0, out + 32, (size_t)longest + 7, &n, &err) == HARP_ERR_MEMORY && strstr(err.text, out));
    CHECK(harp_token_text(m, 78, &n) == NULL && n == 0 && harp_token_text(m, 4, &n) != NULL && n == 1);
    harp_decoder_start(&d, m, 0); /* silent tokens, then the space that encoding put first */
    CHECK(harp_decode(&d, 0, out, 64, &n, NULL) == HARP_OK && n == 0);
    CHECK(harp_decode(&d, 4, out, 64, &n, NULL) == HARP_OK && n == 0);
    CHECK(harp_decode(&d, 3, out, 64, &n, NULL) == HARP_OK && n == 0);
    CHECK(harp_decode(&d, 3, out, 64, &n, NULL) == HARP_OK && n == 1 && out[0] == ' ');
    harp_decoder_start(&d, m, HARP_DECODE_CONTINUE | HARP_DECODE_SPECIAL);
    CHECK(harp_decode(&d, 3, out, 64, &n, NULL) == HARP_OK && n == 1);
    CHECK(harp_decode(&d, 0, out, 64, &n, NULL) == HARP_OK && n == 5 && memcmp(out, "<unk>", 5) == 0);
    harp_decoder_start(&d, m, 0);
    CHECK(harp_decode(&d, 5, out, 64, &n, NULL) == HARP_OK && n == 1 && out[0] == 'b');
    harp_decoder_start(&d, NULL, 0);
    CHECK(harp_decode(&d, 3, out, 64, &n, NULL) == HARP_ERR_ARGUMENT);
    harp_close(m);
    make_file();
    set_meta("bos_token", 0, NULL, 0);
    m = open_or_exit();
    CHECK(harp_encode(m, "n", 1, HARP_ENCODE_BOS, &token, 1, &n, NULL) == HARP_OK && n == 1);
    harp_close(m);
    make_file();
    set_meta("tokenizer.kind", 0, NULL, 0);
    m = open_or_exit();
    harp_decoder_start(&d, m, 0);
    CHECK(harp_decode(&d, 3, out, 64, &n, NULL) == HARP_ERR_UNSUPPORTED && harp_token_text(m, 3, &n) == NULL);
    harp_close(m);
    make_file();
}

/* ---- what is said ---- */

/* Texts of the file in a sentence: no commands for a terminal, and no more than there is room for. */
static void test_sentences(void)
{
    char text[2 * sizeof(harp_error)];
    harp_error err;
    set_text("norm", "a\x1B[2J\x7F\x80\xC2\x9B\xC2\xA0\xC3\xA9\xC2");
    CHECK(open_file(&err) == HARP_ERR_UNSUPPORTED);
    CHECK(strcmp(err.text, "norm is a?[2J?\x80?\xC2\xA0\xC3\xA9\xC2, which this version does not know") == 0);
    make_file();
    memset(text, 'y', sizeof text - 1), text[sizeof text - 1] = 0;
    set_text("norm", text);
    CHECK(open_file(&err) == HARP_ERR_UNSUPPORTED && strlen(err.text) == sizeof err.text - 1);
    make_file();
    CHECK(strcmp(harp_status_name(HARP_OK), "HARP_OK") == 0);
    CHECK(strcmp(harp_status_name(HARP_ERR_CHOICE), "HARP_ERR_CHOICE") == 0);
    CHECK(strcmp(harp_status_name((harp_status)(HARP_ERR_CHOICE + 1)), "HARP_ERR_UNKNOWN") == 0);
    CHECK(strcmp(harp_status_name((harp_status)-1), "HARP_ERR_UNKNOWN") == 0);
    set_integer("vocab", INT64_MIN), DAMAGED("vocab is -9223372036854775808; it must be");
}

/* A thread whose floats round or flush in another way gets no model. */
static void test_arithmetic(void)
{
    static const char other[] = "fuses, flushes or rounds floats in another way";
    harp_error err;
#ifdef FE_UPWARD
    static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    size_t i;
    for (i = 0; i < 3; i++) {
        if (fesetround(modes[i])) continue;
        CHECK(open_file(&err) == HARP_ERR_BUILD && strstr(err.text, other));
        fesetround(FE_TONEAREST);
    }
#endif
#ifdef __SSE__
    {
        unsigned kept = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(kept | 0x8000u); /* results that are too small become zero */
        CHECK(open_file(&err) == HARP_ERR_BUILD && strstr(err.text, other));
        __builtin_ia32_ldmxcsr(kept);
    }
#endif
    CHECK(open_file(&err) == HARP_OK);
    make_file();
}

/* ---- where the file comes from ---- */

static size_t read_half(void *user, uint64_t offset, void *into, size_t bytes)
{
    (void)user;
    memcpy(into, file + offset, bytes / 2);
    return bytes / 2;
}

static void test_sources(void)
{
    static uint8_t block[1 << 16];
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    size_t need = harp_source_memory(2), beyond = 0, i;
    memset(block, 0xA5, sizeof block);
    CHECK(harp_source_memory(0) == 0 && harp_source_memory(1025) == 0 && harp_source_memory(1024) > need);
    CHECK(need > harp_source_memory(1) && need <= sizeof block);
    CHECK(harp_open_source(NULL, &source, &err) == HARP_ERR_ARGUMENT);
    CHECK(harp_open_source(&m, NULL, &err) == HARP_ERR_ARGUMENT
          && harp_open_source(&m, &source, &err) == HARP_ERR_ARGUMENT);
    hf_seal(file, file_bytes);
    source.data = file, source.bytes = file_bytes, source.path = "x";
    CHECK(harp_open_source(&m, &source, &err) == HARP_ERR_ARGUMENT && strstr(err.text, "exactly one of"));
    source.path = NULL, source.memory = block, source.memory_bytes = need - 1;
    CHECK(harp_open_source(&m, &source, &err) == HARP_ERR_MEMORY && m == NULL && strstr(err.text, "the block has"));
    source.memory_bytes = need;
    CHECK(harp_open_source(&m, &source, &err) == HARP_OK);
    CHECK((uint8_t *)m >= block && (uint8_t *)m < block + need);
    for (i = need; i < sizeof block; i++) beyond += block[i] != 0xA5;
    CHECK(beyond == 0);
    harp_close(m);
    source = harp_source_defaults();
    source.read = read_half, source.bytes = file_bytes;
    CHECK(harp_open_source(&m, &source, &err) == HARP_ERR_IO && strstr(err.text, "could not be read whole"));
    source.bytes = 63;
    CHECK(harp_open_source(&m, &source, &err) == HARP_ERR_FORMAT && strstr(err.text, "63 bytes"));
}

static void test_metadata_calls(void)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_meta meta;
    int32_t n = (int32_t)cv_u32(file + 32);
    hf_seal(file, file_bytes);
    source.data = file, source.bytes = file_bytes;
    CHECK(harp_open_source(&m, &source, NULL) == HARP_OK);
    CHECK(harp_meta_at(m, 0, &meta) && strcmp(meta.key, "architecture") == 0 && meta.type == HARP_META_TEXT);
    CHECK(harp_meta_at(m, n - 1, &meta) && !harp_meta_at(m, n, &meta) && !harp_meta_at(m, -1, &meta));
    CHECK(!harp_meta_at(NULL, 0, &meta) && !harp_meta_at(m, 0, NULL));
    CHECK(harp_meta_find(m, "hidden", &meta) && meta.integer == 24 && meta.real == 24.0);
    CHECK(harp_meta_find(m, "norm_eps", &meta) && meta.integer == 0 && meta.real == 1e-5);
    CHECK(!harp_meta_find(m, "hidde", &meta) && !harp_meta_find(NULL, "hidden", &meta));
    CHECK(!harp_meta_find(m, NULL, &meta) && !harp_meta_find(m, "hidden", NULL));
    CHECK(harp_model_info(NULL).vocab == 0 && harp_model_info(m).vocab == 80);
    CHECK(harp_model_info(m).parameters == 80 * 24 * 2 + 24 + 2 * (24 * 2 + 48 * 24 + 24 * 24 + 40 * 24 + 24 * 20));
    harp_close(m);
    harp_close(NULL);
}

/* ---- what the file recommends ---- */

static int recommendation(harp_params *p)
{
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_params defaults;
    int status;
    hf_seal(file, file_bytes);
    source.data = file, source.bytes = file_bytes;
    if (harp_open_source(&m, &source, NULL)) return -2;
    *p = harp_defaults(), p->context = 12, p->temperature = 0.3f;
    status = harp_recommend(m, p);
    defaults = harp_defaults_for(m);
    if (defaults.harp != p->harp || defaults.delta != p->delta || defaults.frame != p->frame) status = -3;
    harp_close(m);
    return status;
}

static int is_paper(const harp_params *p)
{
    return p->harp == 1 && p->frame == HARP_FRAME_STREAM && p->reframe_from == 0 && p->reframings == 1 && !p->rescale
           && p->theta == 1.0f && p->delta == 0.2f && p->beta == 0.5f;
}

/* One value that no session takes, and nothing of the recommendation counts. */
static void test_bad_recommendations(void)
{
    static const struct {
        const char *key;
        int64_t bad[4];
    } integers[] = {{"recommend.harp", {-1, 2, INT64_MAX, INT64_MIN}},
                    {"recommend.reframe_from", {-2, (1 << 28) + 1, INT64_MAX, INT64_MIN}},
                    {"recommend.reframings", {0, 65, INT64_MAX, -1}},
                    {"recommend.rescale", {-1, 2, (int64_t)1 << 32, INT64_MIN}}};
    static const double bad[] = {-0.001, 1.001, 1e300, -1e300, HUGE_VAL, -HUGE_VAL};
    static const char *const reals[] = {"recommend.delta", "recommend.beta", "recommend.theta"};
    static const char *const frames[] = {"", "Stream", "stream:prompt", "laste"};
    harp_params p;
    size_t i, k;
    for (i = 0; i < 16; i++, make_file()) {
        set_integer("recommend.harp", 1), set_integer(integers[i / 4].key, integers[i / 4].bad[i % 4]);
        CHECK(recommendation(&p) == -1 && is_paper(&p) && p.context == 12);
    }
    for (i = 0; i < 3; i++)
        for (k = i < 2 ? 0 : 2; k < 6; k++, make_file()) {
            set_integer("recommend.harp", 1), set_real(reals[i], bad[k]);
            CHECK(recommendation(&p) == -1 && is_paper(&p));
            set_real(reals[i], HUGE_VAL - HUGE_VAL);
            CHECK(recommendation(&p) == -1 && is_paper(&p));
            set_integer(reals[i], 1);
            CHECK(recommendation(&p) == -1 && is_paper(&p));
        }
    for (i = 0; i < 4; i++, make_file()) {
        set_integer("recommend.harp", 0), set_text("recommend.frame", frames[i]);
        CHECK(recommendation(&p) == -1 && is_paper(&p));
    }
    set_integer("recommend.harp", 1), set_integer("recommend.frame", 0);
    CHECK(recommendation(&p) == -1 && is_paper(&p));
    set_text("recommend.harp", "1"), set_text("recommend.frame", "last");
    CHECK(recommendation(&p) == -1 && is_paper(&p));
    make_file();
}

static void test_recommendations(void)
{
    harp_params p = harp_defaults();
    CHECK(recommendation(&p) == 0 && is_paper(&p));
    set_real("recommend.delta", 0.25);
    CHECK(recommendation(&p) == 0 && is_paper(&p)); /* it does not say for what */
    set_integer("recommend.harp", 0);
    CHECK(recommendation(&p) == 1 && p.harp == 0 && p.delta == 0.25f);
    CHECK(p.context == 12 && p.temperature == 0.3f && p.theta == 1.0f);
    set_integer("recommend.harp", 1), set_text("recommend.frame", "last"), set_integer("recommend.reframings", 64);
    set_integer("recommend.reframe_from", HARP_FROM_PROMPT), set_integer("recommend.rescale", 1);
    set_real("recommend.theta", -1e30), set_real("recommend.beta", 1.0);
    CHECK(recommendation(&p) == 1 && p.harp == 1 && p.frame == HARP_FRAME_LAST && p.reframings == 64 && p.rescale == 1);
    CHECK(p.reframe_from == HARP_FROM_PROMPT && p.theta == -1e30f && p.delta == 0.25f && p.beta == 1.0f);
    make_file();
    p = harp_defaults();
    CHECK(harp_recommend(NULL, &p) == -1 && is_paper(&p));
    p = harp_defaults_for(NULL);
    CHECK(is_paper(&p));
}

static void test_verify(void)
{
    static const struct {
        const char *tensor;
        size_t at;
        uint32_t value;
        int bytes, bad;
    } damage[] = {{"embedding", 0, 0x7C00, 2, 1}, {"embedding", 30, 0xFE01, 2, 1},   {"embedding", 0, 0x7BFF, 2, 0},
                  {"output", 4 * (64 + 512) + 2, 0xFC00, 2, 1},    {"output", 64, 0xFC00, 2, 0},
                  {"final_norm", 92, 0x7FC00000u, 4, 1},       {"final_norm", 92, 0xFF800000u, 4, 1},
                  {"final_norm", 92, 0xFF7FFFFFu, 4, 0}};
    harp_source source = harp_source_defaults();
    harp_model *m = NULL;
    harp_error err;
    size_t i;
    CHECK(harp_verify(NULL, &err) == HARP_ERR_ARGUMENT);
    for (i = 0; i < sizeof damage / sizeof *damage; i++) {
        uint8_t *record = record_of(damage[i].tensor), *p = file + cv_u64(record + 72);
        hf_store(p + damage[i].at, damage[i].value, damage[i].bytes);
        hf_store(record + 52, hf_crc(0, p, (size_t)cv_u64(record + 80)), 4);
        hf_seal(file, file_bytes);
        source.data = file, source.bytes = file_bytes;
        CHECK(harp_open_source(&m, &source, &err) == HARP_OK);
        CHECK((harp_verify(m, &err) == HARP_ERR_FORMAT
               && strstr(err.text, "holds a NaN or an infinity")) == damage[i].bad);
        p[damage[i].at] ^= 1;
        CHECK(harp_verify(m, &err) == HARP_ERR_FORMAT && strstr(err.text, "checksum of tensor"));
        harp_close(m);
        make_file();
    }
}

int main(void)
{
    make_file();
    test_header();
    test_largest_head();
    test_most_metadata();
    test_metadata_entries();
    test_metadata_at_the_end();
    test_tensor_records();
    test_tensors();
    test_nibbles();
    test_integers();
    test_ends();
    test_recipe();
    test_experts();
    test_convolutions();
    test_deltas();
    test_sizes_of_layers();
    test_tables();
    test_texts();
    test_long_texts();
    test_lists();
    test_merges();
    test_word_programs();
    test_normalization();
    test_word_rules();
    test_typed_control();
    test_added_tokens();
    test_deep_added_tokens();
    test_failing_items();
    test_most_stages();
    test_vain_search();
    test_memory_of_a_text();
    test_spaces();
    test_stripping();
    test_text_calls();
    test_sentences();
    test_arithmetic();
    test_sources();
    test_metadata_calls();
    test_recommendations(), test_bad_recommendations();
    test_verify();
    return conclude();
}
