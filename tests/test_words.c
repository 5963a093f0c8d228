/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_words.c - how text is cut into words, normalized and joined to tokens: against Python's regex and unicodedata,
 * and against joining by its definition
 *
 *     test_words HARP_CONVERT FOLDER      FOLDER: to write into. Run in the repository's root.
 *
 * For each pattern of tests/fixtures/tokenizer/words.txt a tokenizer.json of bytes alone is converted; the library must
 * cut the texts where Python does. Words are seen through a window (inside.h): the public calls show tokens alone. */
#include "../harp.h"
#include "../tools/convert/ground/json_write.h"
#include "inside.h"
#include "test.h"

enum { LONGEST = 1 << 14 };

static const char *converter, *folder;

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    unsigned byte;
    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2) out[n++] = (uint8_t)byte;
    return n;
}

/* The byte as GPT-2's alphabet writes it. */
static unsigned printable(unsigned byte)
{
    unsigned shifted = byte < 33 ? byte : byte >= 127 && byte < 161 ? byte - 127 + 33 : 67;
    return (byte >= 33 && byte < 127) || (byte >= 161 && byte != 173) ? byte : 256 + shifted;
}

/* The tokenizer of 256 bytes that cuts words by these stages (in hexadecimal), converted and opened. */
static harp_model *make_tokenizer(char (*stages)[LONGEST], int n, const char *normalizer)
{
    char path[1024], command[4096];
    static uint8_t text[LONGEST];
    harp_model *m = NULL;
    harp_error err = {HARP_OK, ""};
    int i;
    FILE *f;
    snprintf(path, sizeof path, "%s/words.json", folder);
    f = fopen(path, "w");
    if (!f) exit(2);
    fprintf(f, "{\"normalizer\": %s, \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [", normalizer);
    for (i = 0; i < n; i++) {
        fputs("{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": ", f);
        json_put_string(f, (const char *)text, from_hex(stages[i], text));
        fputs("}},", f);
    }
    fputs("{\"type\": \"ByteLevel\", \"use_regex\": false}]}, \"decoder\": {\"type\": \"ByteLevel\"},"
          " \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {", f);
    for (i = 0; i < 256; i++) fprintf(f, "%s\"\\u%04x\": %d", i ? ", " : "", printable((unsigned)i), i);
    fputs("}}}", f);
    fclose(f);
    snprintf(command, sizeof command, "%s %s %s/words.harp --vocab-only --quiet", converter, path, folder);
    if (system(command) != 0) return NULL;
    snprintf(path, sizeof path, "%s/words.harp", folder);
    check(harp_open(&m, path, &err) == HARP_OK, "the tokenizer opens: %s", err.text);
    return m;
}

static int same_cuts(const harp_model *m, const uint8_t *text, size_t n, char *cuts)
{
    inside_cutter c = inside_begin_cutting(text, n);
    const uint8_t *p = text, *end = text + n;
    c.patience /= 4; /* a quarter of what encoding has */
    while (p < end) {
        const uint8_t *next = inside_word_end(m, &c, p);
        if (next <= p || strtol(cuts, &cuts, 10) != next - text) return 0;
        p = next;
    }
    return 1;
}

static void test_words(FILE *f)
{
    static char line[LONGEST], stages[INSIDE_STAGES][LONGEST], name[64];
    static uint8_t text[LONGEST];
    harp_model *m = NULL;
    harp_meta meta;
    size_t n = 0;
    int n_stages = 0, wanted = 0, texts = 0, wrong = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        if (line[0] == 'p' || line[0] == 'e') {
            if (m) check(texts == 60 && wrong == 0, "words as Python's regex cuts them: %s", name);
            harp_close(m);
            m = NULL, n_stages = texts = wrong = 0;
            sscanf(line, "pattern %63s %d", name, &wanted);
        } else if (line[0] == 's') {
            strcpy(stages[n_stages++], line + 6);
            if (n_stages == wanted) m = make_tokenizer(stages, n_stages, "null");
            if (n_stages == wanted) check(m && harp_meta_find(m, "tokenizer.words", &meta), "a program: %s", name);
        } else if (line[0] == 't') {
            n = from_hex(line + 5, text);
        } else if (m) {
            texts++, wrong += !same_cuts(m, text, n, line + 5);
        }
    }
}

/* The end of the text: \s+$|\s|\S+ */
static void test_end(void)
{
    static char stage[1][LONGEST] = {"5c732b247c5c737c5c532b"}, cuts[2][16] = {"1 2 3 4 7", "1 2 4"};
    static const char *const texts[] = {"a  b   ", "\n cd"};
    harp_model *m = make_tokenizer(stage, 1, "null");
    int i;
    for (i = 0; i < 2; i++)
        check(m && same_cuts(m, (const uint8_t *)texts[i], strlen(texts[i]), cuts[i]), "the end of a text: %s",
              texts[i]);
    harp_close(m);
}

static void test_normalization(FILE *f)
{
    static char line[LONGEST], stage[1][LONGEST] = {"5c532b7c5c732b"}; /* \S+|\s+ */
    static uint8_t text[LONGEST], wanted[LONGEST];
    static int32_t tokens[LONGEST];
    int texts = 0, wrong = 0;
    size_t n, i;
    harp_model *m = make_tokenizer(stage, 1, "{\"type\": \"NFC\"}");
    harp_meta meta;
    check(m && harp_meta_find(m, "tokenizer.decompose", &meta), "a tokenizer that normalizes");
    for (; m && fgets(line, sizeof line, f);) {
        char *second = strchr(line, ' ');
        if (line[0] == '#' || !second) continue;
        *second = 0;
        size_t bytes = from_hex(line, text), n_wanted = from_hex(second + 1, wanted);
        harp_status status = harp_encode(m, (char *)text, bytes, 0, tokens, LONGEST, &n, NULL);
        int good = status == HARP_OK && n == n_wanted;
        for (i = 0; good && i < n; i++) good = tokens[i] == wanted[i];
        texts++, wrong += !good;
    }
    check(texts == 300 && wrong == 0, "form NFC as Python's unicodedata has it: %d of %d wrong", wrong, texts);
    harp_close(m);
}

/* Joining by its definition: as long as any two neighbours can be joined, those of the lowest rank are, and of such the
 * first. Returns how many symbols are left. */
static size_t join_plainly(const harp_model *m, uint32_t *ids, size_t n)
{
    for (;;) {
        uint32_t lowest = INSIDE_NONE, joined = 0, result;
        size_t i, at = 0;
        for (i = 0; i + 1 < n; i++) {
            uint32_t rank = inside_merge(m, ids[i], ids[i + 1], &result);
            if (rank < lowest) lowest = rank, at = i, joined = result;
        }
        if (lowest == INSIDE_NONE) return n;
        ids[at] = joined;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids), n--;
    }
}

/* Words of bytes that real text has, so that much is joined, and in many orders. */
static void test_joining(void)
{
    static const char letters[] = "eeeeettttaaaooiinnsshhrrdlu  wmc,.";
    static uint8_t text[97];
    static uint32_t ids[256];
    static int32_t tokens[256];
    uint32_t state = 1;
    int word, wrong = 0, joined = 0;
    harp_model *m = NULL;
    if (harp_open(&m, "examples/demo/demo.harp", NULL)) exit(2);
    for (word = 0; word < 4000; word++) {
        size_t bytes = 1 + (size_t)word % 97, n, i;
        inside_joined joins;
        for (i = 0; i < bytes; i++) {
            state = state * 1664525u + 1013904223u;
            text[i] = (uint8_t)letters[(state >> 16) % (sizeof letters - 1)];
        }
        joins = inside_join(m, text, bytes, ids, tokens, 256);
        joined += joins.before - joins.after >= joins.before / 3;
        n = join_plainly(m, ids, joins.before);
        wrong += n != joins.after || memcmp(ids, tokens, n * sizeof *ids) != 0;
    }
    check(wrong == 0 && joined > 1000, "joined as by the definition: %d of 4000 words wrong, %d much joined", wrong,
          joined);
    harp_close(m);
}

int main(int argc, char **argv)
{
    FILE *words = fopen("tests/fixtures/tokenizer/words.txt", "r"),
         *nfc = fopen("tests/fixtures/tokenizer/nfc.txt", "r");
    if (argc != 3 || !words || !nfc) return 2;
    converter = argv[1], folder = argv[2];
    test_words(words);
    test_end();
    test_normalization(nfc);
    test_joining();
    fclose(words), fclose(nfc);
    return conclude();
}
