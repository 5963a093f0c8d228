/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * programs.c - inputs for harp-convert as a program, and what must hold of what it wrote; programs.sh calls it
 *
 *     programs make SEED FOLDER      makes files in the empty FOLDER; prints arguments of harp-convert and the least
 *                                    memory in megabytes that the program may want for them
 *     programs after FILE.harp SEED  the file opens, is whole, runs eight tokens, encodes and decodes
 *
 * Inputs are real files, bent in a few places, and what no fuzzer of bytes makes: files of holes, pipes, hundreds of
 * parts, patterns of any length. */
#define _XOPEN_SOURCE 700
#include "converted.h"

#include <errno.h>
#include <sys/stat.h>

enum { MOST_FILE = 1 << 20, SMALL = 300, LARGE = 900 }; /* megabytes: half of it are threads' stacks */

static unsigned state;
static const char *folder;
static uint8_t data[MOST_FILE];
static size_t n;

static unsigned roll(unsigned limit) { return fz_random(&state, limit); }

static const char *in_folder(const char *name)
{
    static char path[4][512];
    static int which;
    which = (which + 1) % 4;
    snprintf(path[which], sizeof path[which], "%s/%s", folder, name);
    return path[which];
}

static void load(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) fprintf(stderr, "%s: cannot be opened\n", path), exit(2);
    n = fread(data, 1, sizeof data, f);
    fclose(f);
}

static void save(const char *name)
{
    FILE *f = fopen(in_folder(name), "wb");
    fz_expect(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

static void say(const char *text)
{
    size_t more = strlen(text);
    if (more < sizeof data - n) memcpy(data + n, text, more), n += more;
}

/* ---- bending ---- */

/* A number in a text becomes another one. */
static void bend_number(size_t at, size_t within)
{
    char text[32];
    size_t from = at, to, more;
    while (from < within && (data[from] < '0' || data[from] > '9')) from++;
    for (to = from; to < within && data[to] >= '0' && data[to] <= '9';) to++;
    if (from == to) return;
    snprintf(text, sizeof text, roll(4) ? "%llu" : "-%llu", (unsigned long long)fz_awkward(&state));
    more = strlen(text);
    if (n - to + from + more > sizeof data) return;
    memmove(data + from + more, data + to, n - to);
    memcpy(data + from, text, more);
    n += more, n -= to - from;
}

/* Heads are what a reader has to believe: mostly those are bent. */
static void bend_once(void)
{
    size_t within = n < 2048 || roll(8) == 0 ? n : 2048, at = within ? roll((unsigned)within) : 0,
           length = 1 + roll(24), i;
    uint64_t value = fz_awkward(&state);
    if (n == 0) return;
    switch (roll(7)) {
    case 0: data[at] ^= (uint8_t)(1u << roll(8)); return;
    case 1: data[at] = (uint8_t)value; return;
    case 2:
        for (at &= ~(size_t)3, i = 0; i < (roll(2) ? 8u : 4u) && at + i < n; i++)
            data[at + i] = (uint8_t)(value >> (8 * i));
        return;
    case 3:
    case 4: bend_number(at, within); return;
    case 5:
        if (length > n - at) length = n - at;
        memmove(data + at, data + at + length, n - at - length), n -= length;
        return;
    default:
        if (roll(4) == 0) n = at;
        else if (length <= n - at && n + length <= sizeof data)
            memmove(data + at + length, data + at, n - at), n += length;
    }
}

static void bend(void)
{
    unsigned k = roll(4);
    while (k-- > 0) bend_once();
}

/* ---- kinds of inputs: each prints the program's arguments ---- */

static void arguments(const char *in, const char *more, int megabytes)
{
    printf("%s%s\n%d\n", in_folder(in), more, megabytes);
}

static void make_gguf(void)
{
    static const char *const names[] = {"q8_0",   "q4_0",   "llama", "qwen2",    "qwen3", "phi3",    "gemma",
                                        "gemma2", "gemma3", "olmo2", "stablelm", "phi2",  "gptneox", "gpt2"};
    char path[128];
    snprintf(path, sizeof path, "tests/fuzz/seeds/gguf/%s.gguf", names[roll(14)]);
    load(path);
    bend();
    save("in.gguf");
    arguments("in.gguf", roll(3) ? "" : roll(2) ? " --vocab-only" : " --weights f32", SMALL);
}

static void make_tokenizer(void)
{
    static const char *const names[] = {"byte_level.json", "llama.json",     "llama2c.bin",
                                        "no_bytes.json",   "tiktoken.model", "sentencepiece.model"};
    char path[128];
    snprintf(path, sizeof path, "tests/fuzz/seeds/tokenizer_file/%s", names[roll(6)]);
    load(path);
    bend();
    save("in");
    arguments("in", " --vocab-only", SMALL);
}

static void make_llama2c(void)
{
    static const char *const names[] = {"v0.bin", "v0_untied.bin", "v1.bin", "v2.bin"};
    char path[128];
    snprintf(path, sizeof path, "tests/fuzz/seeds/llama2c/%s", names[roll(4)]);
    load(path);
    bend();
    save("in.bin");
    if (roll(2)) fz_expect(truncate(in_folder("in.bin"), (off_t)(fz_awkward(&state) & 0xFFFFFF)) == 0);
    arguments("in.bin", "", SMALL);
}

/* A folder of several files; one of them is bent, or, if `pipe` says so, is a pipe. */
static void make_folder(const char *from, const char *const *names, unsigned count, int pipe)
{
    unsigned chosen = roll(count), i;
    char path[256];
    for (i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", from, names[i]);
        if (i == chosen && pipe) {
            fz_expect(mkfifo(in_folder(names[i]), 0600) == 0);
            continue;
        }
        load(path);
        if (i == chosen) bend();
        save(names[i]);
    }
    arguments("", "", SMALL);
}

static void make_any_folder(int pipe)
{
    static const char *const one[] = {"config.json", "generation_config.json", "model.safetensors"};
    static const char *const four[] = {"config.json",
                                       "generation_config.json",
                                       "model.safetensors.index.json",
                                       "model-00001-of-00004.safetensors",
                                       "model-00002-of-00004.safetensors",
                                       "model-00003-of-00004.safetensors",
                                       "model-00004-of-00004.safetensors"};
    if (roll(2)) make_folder("tests/fixtures/source/llama_gqa", one, 3, pipe);
    else make_folder("tests/fixtures/source/mistral_v3", four, 7, pipe);
}

static void make_pipe(void)
{
    static const char *const beside[] = {"tokenizer.json",  "tokenizer_config.json",       "chat_template.jinja",
                                         "tokenizer.model", "added_tokens.json",           "merges.txt",
                                         "vocab.json",      "model.safetensors.index.json"};
    unsigned kind = roll(3);
    const char *path;
    if (kind == 0) {
        fz_expect(mkfifo(in_folder("in"), 0600) == 0);
        arguments("in", roll(2) ? "" : " --vocab-only", SMALL);
        return;
    }
    make_any_folder(kind == 2);
    if (kind == 2) return;
    path = in_folder(beside[roll(8)]);
    unlink(path);
    fz_expect(mkfifo(path, 0600) == 0);
}

/* The head of a small file before a hole of up to a terabyte, with numbers in the head that reach into it. */
static void make_holes(void)
{
    int is_gguf = roll(2);
    load(is_gguf ? "tests/fuzz/seeds/gguf/q8_0.gguf" : "tests/fuzz/seeds/safetensors/whole.safetensors");
    bend(), bend();
    save(is_gguf ? "in.gguf" : "model.safetensors");
    fz_expect(truncate(in_folder(is_gguf ? "in.gguf" : "model.safetensors"), (off_t)1 << (20 + roll(21))) == 0
              || errno == EFBIG);
    if (!is_gguf) load("tests/fuzz/seeds/huggingface/config.json"), save("config.json");
    arguments(is_gguf ? "in.gguf" : "", is_gguf && roll(2) ? " --vocab-only" : "", LARGE);
}

/* As many parts as names can count: all the same file, or nothing but the first. */
static void make_parts(void)
{
    unsigned parts = roll(2) ? 1 + roll(300) : (unsigned)(fz_awkward(&state) & 0xFFFF), i,
             there = roll(2) ? parts : 1 + roll(3);
    char name[64], first[64];
    int is_gguf = roll(2);
    const char *ending = is_gguf ? "gguf" : "safetensors";
    load(is_gguf ? "tests/fuzz/seeds/gguf/q8_0.gguf" : "tests/fuzz/seeds/safetensors/whole.safetensors");
    snprintf(first, sizeof first, "model-%05u-of-%05u.%s", 1u, parts, ending);
    save(first);
    for (i = 2; i <= there && i <= 300; i++) {
        snprintf(name, sizeof name, "model-%05u-of-%05u.%s", i, parts, ending);
        fz_expect(link(in_folder(first), in_folder(name)) == 0);
    }
    arguments(is_gguf ? first : "", "", SMALL);
    if (is_gguf) return;
    for (n = 0, say("{\"weight_map\":{"), i = 1; i <= parts && i <= 5000; i++) {
        snprintf(name, sizeof name, "%s\"t%u\":\"model-%05u-of-%05u.safetensors\"", i > 1 ? "," : "", i, i, parts);
        say(name);
    }
    say("}}"), bend(), save("model.safetensors.index.json");
    load("tests/fuzz/seeds/huggingface/config.json"), save("config.json");
}

/* A pattern of one item a thousand times, or nested, or of many sets: refused or taken, but soon. */
static void make_pattern(void)
{
    static const char *const items[] = {"a|",
                                        "[a-z]",
                                        "\\\\p{L}+",
                                        "(?:",
                                        "(?i:",
                                        "[^\\\\s\\\\p{N}]{1,3}",
                                        "x{1,1000}",
                                        "(?!\\\\S)",
                                        "\\\\s*",
                                        "\xC3\xA9?",
                                        "[\\\\p{L}\\\\p{M}]+|",
                                        "\\\\x41",
                                        "(?:a|b)",
                                        "a?+",
                                        "$",
                                        ")"};
    unsigned most = 1u << roll(16), i, second = roll(3) ? 0 : 1 + roll(15), item = roll(16);
    n = 0;
    say("{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"decoder\":{\"type\":\"ByteLevel\"},\"pre_"
        "tokenizer\":"
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"");
    for (i = 0; i < most; i++) say(items[(item + i * second) % 16]);
    for (i = 0; i < most && item >= 3 && item <= 4; i++) say("a)");
    say("\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_"
        "regex\":false}]},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}}");
    if (roll(4) == 0) bend();
    save("in.json");
    arguments("in.json", " --vocab-only", SMALL);
}

static int make(void)
{
    static void (*const kinds[])(void) = {make_gguf,  make_tokenizer, make_llama2c, make_pipe,
                                          make_holes, make_parts,     make_pattern};
    unsigned kind = roll(9);
    if (kind >= 7) make_any_folder(0);
    else kinds[kind]();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    state = (unsigned)strtoul(argv[strcmp(argv[1], "make") == 0 ? 2 : 3], NULL, 10) * 2654435761u;
    if (strcmp(argv[1], "make") == 0) return folder = argv[3], make();
    snprintf(fz_out, sizeof fz_out, "%s", argv[2]);
    for (n = 0; n < 200; n++) data[n] = (uint8_t)roll(256);
    fz_go_on(data, n);
    return 0;
}
