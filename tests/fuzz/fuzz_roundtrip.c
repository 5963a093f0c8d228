/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_roundtrip.c - vocabularies that are valid, and texts, against a reference that does it the slow way
 *
 * The input is a list of choices: which vocabulary, merges or scores, added tokens, patterns, texts; when it ends, a
 * generator that it seeds goes on. The vocabulary is written as a tokenizer.json, SentencePiece's or llama2.c's file,
 * converted and opened, and must encode as the reference does, which knows nothing of tables: it cuts at the longest
 * added token, cuts words by hand, and joins the best pair of neighbours, one after another. */
#include "converted.h"

enum { MOST_TOKENS = 400, MOST_MERGES = 64, LONGEST = 40, MOST_JSON = 1 << 16, TEXTS = 6 };
enum { FORM_BYTE_LEVEL, FORM_SPACED, FORM_MODEL, FORM_LLAMA2C, N_FORMS };

typedef struct dice { /* the choices */
    const uint8_t *data;
    size_t bytes, at;
    unsigned state;
} dice;

typedef struct token {
    char text[LONGEST + 1];
    size_t n;
    int type, added, strips; /* added: found in raw text; strips: CV_LSTRIP, CV_RSTRIP */
    float score;
} token;

typedef struct vocabulary {
    token token[MOST_TOKENS];
    int n, form;
    int merge[MOST_MERGES][3], n_merges; /* left, right, result */
    int patterns[2], n_patterns, ignore_merges;
    int spaces;        /* as tokenizer.spaces */
    int unknown, fuse; /* unknown >= 0: no bytes have tokens */
} vocabulary;

typedef struct answer {
    int32_t token[4 * FZ_MOST_TEXT];
    size_t n;
} answer;

static unsigned roll(dice *d, unsigned n)
{
    if (d->at < d->bytes) return d->data[d->at++] % n;
    d->state ^= d->state << 13, d->state ^= d->state >> 17, d->state ^= d->state << 5; /* [Marsaglia 2003] */
    return (d->state >> 7) % n;
}

/* ---- a vocabulary ---- */

static int find(const vocabulary *v, const char *text, size_t n)
{
    int i = 0;
    while (i < v->n && (v->token[i].n != n || memcmp(v->token[i].text, text, n) != 0)) i++;
    return i < v->n ? i : -1;
}

static int put(vocabulary *v, const char *text, size_t n, int type)
{
    token *t = &v->token[v->n];
    fz_expect(v->n < MOST_TOKENS && n <= LONGEST);
    memset(t, 0, sizeof *t);
    memcpy(t->text, text, n);
    t->n = n, t->type = type;
    return v->n++;
}

static void put_bytes(vocabulary *v, int type)
{
    int b;
    for (b = 0; b < 256; b++) {
        char c = (char)b;
        put(v, &c, 1, type);
    }
}

static const char *const letters[] = {" ", "a", "b", "c", "d", "x",  "y", "A",        "1",
                                      "2", "'", "<", "|", ">", "\n", "s", "\xC3\xA9", "\xE2\x82\xAC"};
enum { N_LETTERS = sizeof letters / sizeof *letters };

/* A part of a merge: at the byte level any byte may be one, so that characters are put together, too. */
static int pick(const vocabulary *v, dice *d)
{
    if (roll(d, 2) == 0) return find(v, letters[roll(d, 16)], 1);
    return (int)(roll(d, 2) ? (unsigned)v->n - 1 - roll(d, 40) : roll(d, 128) * 3 % (unsigned)v->n);
}

static void put_merge(vocabulary *v, dice *d)
{
    char text[2 * LONGEST];
    int a = pick(v, d), b = pick(v, d), result;
    size_t n;
    if (v->n_merges && roll(d, 8) == 0) { /* the same pair once more: its later place counts */
        memcpy(v->merge[v->n_merges], v->merge[roll(d, (unsigned)v->n_merges)], sizeof v->merge[0]);
        v->n_merges++;
        return;
    }
    if (a < 0 || b < 0 || v->token[a].type != CV_NORMAL || v->token[b].type != CV_NORMAL) return;
    n = v->token[a].n + v->token[b].n;
    if (n > LONGEST) return;
    memcpy(text, v->token[a].text, v->token[a].n);
    memcpy(text + v->token[a].n, v->token[b].text, v->token[b].n);
    result = find(v, text, n);
    if (result >= 0 && v->token[result].type != CV_NORMAL) return;
    if (result < 0) result = put(v, text, n, CV_NORMAL);
    v->token[result].score = -(float)roll(d, 12); /* equals, too: then the leftmost joins first */
    v->merge[v->n_merges][0] = a, v->merge[v->n_merges][1] = b, v->merge[v->n_merges++][2] = result;
}

/* Names that texts hold; some are normal tokens already, by a merge, and keep their id then. */
static void put_added(vocabulary *v, dice *d)
{
    static const char *const names[] = {"<|a|>", "<|ab|>",           "<|a", "aa", "ab",
                                        "<x>",   "\xC3\xA9\xC3\xA9", "12",  "d'", "<|end|>"};
    unsigned i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        int id;
        if (roll(d, 2) || v->n == MOST_TOKENS) continue;
        id = find(v, names[i], n);
        if (id < 0) id = put(v, names[i], n, CV_NORMAL);
        v->token[id].type = roll(d, 2) ? CV_CONTROL : CV_USER, v->token[id].added = 1;
        v->token[id].strips = roll(d, 4) ? 0 : (int)roll(d, 4);
    }
}

static void put_control(vocabulary *v)
{
    static const char *const names[] = {"<unk>", "<s>", "</s>"};
    int i, id;
    for (i = 0; i < 3; i++) {
        id = put(v, names[i], strlen(names[i]), i ? CV_CONTROL : CV_UNKNOWN);
        v->token[id].added = 1;
    }
}

static void make(vocabulary *v, dice *d)
{
    unsigned i, merges;
    memset(v, 0, sizeof *v);
    v->form = (int)roll(d, N_FORMS), v->unknown = -1;
    if (v->form == FORM_BYTE_LEVEL) {
        put_bytes(v, CV_NORMAL);
        v->ignore_merges = roll(d, 3) == 0, v->n_patterns = 1 + (int)roll(d, 2);
        for (i = 0; i < 2; i++) v->patterns[i] = (int)roll(d, 9);
    } else {
        put_control(v);
        if (v->form == FORM_SPACED && roll(d, 4) == 0) v->unknown = 0, v->fuse = (int)roll(d, 2);
        else put_bytes(v, CV_BYTE);
        for (i = 0; i < N_LETTERS; i++)
            if (i < 2 || roll(d, 8))
                v->token[put(v, letters[i], strlen(letters[i]), CV_NORMAL)].score = -100.0f - (float)i;
        v->spaces = v->form == FORM_SPACED ? (int)roll(d, 4) : 2;
    }
    for (merges = roll(d, MOST_MERGES); merges > 0; merges--) put_merge(v, d);
    if (v->form < FORM_MODEL) put_added(v, d);
}

/* ---- the files ---- */

typedef struct file {
    char data[MOST_JSON];
    size_t n;
} file;

static void say(file *f, const char *text)
{
    fz_expect(f->n + strlen(text) < sizeof f->data);
    memcpy(f->data + f->n, text, strlen(text));
    f->n += strlen(text);
}

static void say_number(file *f, const char *before, long n, const char *after)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", n);
    say(f, before), say(f, text), say(f, after);
}

static void say_byte(file *f, unsigned char c)
{
    char text[8];
    if (c == '"' || c == '\\') snprintf(text, sizeof text, "\\%c", c);
    else if (c < 0x20) snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    else snprintf(text, sizeof text, "%c", c);
    say(f, text);
}

/* GPT-2's alphabet: bytes that print stand for themselves, the 68 others are U+0100 and on. */
static void say_printable(file *f, unsigned char c)
{
    char text[8];
    unsigned k = c < 33 ? 256u + c : c == 173 ? 256 + 67 : c >= 127 && c < 161 ? 256 + 33 + c - 127u : c;
    if (k < 0x80) say_byte(f, c);
    else snprintf(text, sizeof text, "%c%c", (char)(0xC0 | k >> 6), (char)(0x80 | (k & 0x3F))), say(f, text);
}

/* How a vocabulary writes a token's text, without quotes; added tokens stand as they are. */
static void say_token(file *f, const vocabulary *v, const token *t)
{
    char name[16];
    size_t i;
    snprintf(name, sizeof name, "<0x%02X>", (unsigned)(unsigned char)t->text[0]);
    if (t->type == CV_BYTE) say(f, name);
    else
        for (i = 0; i < t->n; i++) {
            unsigned char c = (unsigned char)t->text[i];
            if (v->form == FORM_BYTE_LEVEL) say_printable(f, c);
            else if (c == ' ' && v->form != FORM_LLAMA2C) say(f, "\xE2\x96\x81");
            else if (v->form == FORM_SPACED) say_byte(f, c);
            else f->data[f->n++] = (char)c;
        }
}

static const char gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| ?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+";
static const char llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}|"
    " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";
/* As JSON writes them; the last three the reference does not cut. */
static const char *const patterns[] = {"[^a]+|a",         "[a-c]+", "\\\\p{N}{1,3}", " ?[a-z]+|\\\\s+", "x{2,3}y?|[^x]",
                                       "(?:a|bc|[d-f]+)", gpt2,     llama3,          "\\\\s+$"};
enum { N_CUT_BY_HAND = 6 };

static void say_parts(file *f, const vocabulary *v)
{
    static const char *const schemes[] = {"never", "first", "always"};
    int i;
    if (v->form == FORM_BYTE_LEVEL) {
        say(f, "\"normalizer\":null,\"decoder\":{\"type\":\"ByteLevel\"},\"pre_tokenizer\":{\"type\":\"Sequence\","
               "\"pretokenizers\":[");
        for (i = 0; i < v->n_patterns; i++) {
            say(f, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\""), say(f, patterns[v->patterns[i]]);
            say(f, "\"},\"behavior\":\"Isolated\",\"invert\":false},");
        }
        say(f, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},");
        return;
    }
    if (v->spaces == 3)
        say(f, "\"pre_tokenizer\":null,\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
               "\"prepend\":\"\xE2\x96\x81\"},"
               "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xE2\x96\x81\"}]},");
    else
        say(f, "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\","
               "\"split\":false,"
               "\"prepend_scheme\":\""),
            say(f, schemes[v->spaces]), say(f, "\"},");
    say(f, "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
           "\"\xE2\x96\x81\"},"
           "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]},");
}

static void say_added(file *f, const vocabulary *v)
{
    const char *comma = "";
    int i;
    for (i = 0; i < v->n; i++) {
        const token *t = &v->token[i];
        if (!t->added) continue;
        say(f, comma), say_number(f, "{\"id\":", i, ",\"content\":\"");
        say(f, t->text);
        say(f, t->type == CV_USER ? "\",\"special\":false" : "\",\"special\":true");
        say(f, t->strips & CV_LSTRIP ? ",\"lstrip\":true" : ""),
            say(f, t->strips & CV_RSTRIP ? ",\"rstrip\":true}" : "}");
        comma = ",";
    }
}

/* Added tokens without a merge stand behind the vocabulary, as in real files. */
static int is_listed(const vocabulary *v, int id)
{
    int i;
    if (!v->token[id].added || id < 3) return 1;
    for (i = 0; i < v->n_merges; i++)
        if (v->merge[i][2] == id) return 1;
    return 0;
}

static void write_json(file *f, const vocabulary *v)
{
    const char *comma = "";
    int i;
    say(f, "{\"version\":\"1.0\","), say_parts(f, v);
    say(f, "\"added_tokens\":["), say_added(f, v), say(f, "],\"model\":{\"type\":\"BPE\",");
    if (v->form != FORM_BYTE_LEVEL) say(f, "\"byte_fallback\":true,\"unk_token\":\"<unk>\",");
    if (v->fuse) say(f, "\"fuse_unk\":true,");
    if (v->ignore_merges) say(f, "\"ignore_merges\":true,");
    say(f, "\"vocab\":{");
    for (i = 0; i < v->n; i++) {
        if (!is_listed(v, i)) continue;
        say(f, comma), say(f, "\""), say_token(f, v, &v->token[i]), say_number(f, "\":", i, "");
        comma = ",";
    }
    say(f, "},\"merges\":[");
    for (i = 0; i < v->n_merges; i++) {
        say(f, i ? ",[\"" : "[\""), say_token(f, v, &v->token[v->merge[i][0]]);
        say(f, "\",\""), say_token(f, v, &v->token[v->merge[i][1]]), say(f, "\"]");
    }
    say(f, "]}}");
}

static void store(file *f, uint32_t value)
{
    int i;
    for (i = 0; i < 4; i++, value >>= 8) f->data[f->n++] = (char)(value & 0xFF);
}

/* Pieces of text, score and type; then what kind of model it is: BPE with bytes, spaces kept, one put first. */
static void write_model(file *f, const vocabulary *v)
{
    static const char tail[] = "\x12\x05\x18\x02\x98\x02\x01\x1A\x04\x18\x01\x20";
    int i;
    for (i = 0; i < v->n; i++) {
        const token *t = &v->token[i];
        static file name;
        name.n = 0;
        say_token(&name, v, t);
        f->data[f->n++] = 0x0A, f->data[f->n++] = (char)(name.n + 9);
        f->data[f->n++] = 0x0A, f->data[f->n++] = (char)name.n;
        memcpy(f->data + f->n, name.data, name.n), f->n += name.n;
        f->data[f->n++] = 0x15, store(f, cv_bits_of_float(t->score));
        f->data[f->n++] = 0x18, f->data[f->n++] = (char)t->type;
    }
    memcpy(f->data + f->n, tail, sizeof tail), f->n += sizeof tail; /* with its zero */
}

static void write_llama2c(file *f, const vocabulary *v)
{
    int i;
    store(f, LONGEST);
    for (i = 0; i < v->n; i++) {
        static file name;
        name.n = 0;
        say_token(&name, v, &v->token[i]);
        store(f, cv_bits_of_float(v->token[i].score)), store(f, (uint32_t)name.n);
        memcpy(f->data + f->n, name.data, name.n), f->n += name.n;
    }
}

static const char *write_vocabulary(const vocabulary *v)
{
    static file f;
    f.n = 0;
    if (v->form == FORM_MODEL) write_model(&f, v);
    else if (v->form == FORM_LLAMA2C) write_llama2c(&f, v);
    else write_json(&f, v);
    return fz_write_file("tokenizer", f.data, f.n);
}

/* ---- the reference ---- */

/* What would join two neighbours, and how early: lower is earlier; -1: nothing does. */
static int join_of(const vocabulary *v, int left, int right, float *order)
{
    char text[2 * LONGEST];
    size_t a = v->token[left].n, n = a + v->token[right].n;
    int i;
    if (v->form < FORM_MODEL) {
        for (i = v->n_merges - 1; i >= 0; i--) /* of a pair that is listed twice the last counts */
            if (v->merge[i][0] == left && v->merge[i][1] == right) break;
        if (i < 0) return -1;
        *order = (float)i, i = v->merge[i][2];
        return v->token[i].type == CV_CONTROL ? -1 : i;
    }
    if (v->token[left].type != CV_NORMAL || v->token[right].type != CV_NORMAL || n > LONGEST) return -1;
    memcpy(text, v->token[left].text, a), memcpy(text + a, v->token[right].text, n - a);
    for (i = 0; i < v->n; i++)
        if (v->token[i].type == CV_NORMAL && v->token[i].n == n && memcmp(v->token[i].text, text, n) == 0) break;
    if (i == v->n) return -1;
    *order = -v->token[i].score;
    return i;
}

/* Joins the best pair, the leftmost of equals, until nothing joins. result[i] and order[i] are those of i and i + 1. */
static void join(const vocabulary *v, int *symbol, size_t n, answer *out)
{
    static int result[4 * FZ_MOST_TEXT];
    static float order[4 * FZ_MOST_TEXT];
    size_t i, best;
    for (i = 0; i + 1 < n; i++) result[i] = join_of(v, symbol[i], symbol[i + 1], &order[i]);
    for (;;) {
        for (best = n, i = 0; i + 1 < n; i++)
            if (result[i] >= 0 && (best == n || order[i] < order[best])) best = i;
        if (best == n) break;
        symbol[best] = result[best];
        for (n--, i = best + 1; i < n; i++)
            symbol[i] = symbol[i + 1], result[i] = result[i + 1], order[i] = order[i + 1];
        if (best > 0) result[best - 1] = join_of(v, symbol[best - 1], symbol[best], &order[best - 1]);
        if (best + 1 < n) result[best] = join_of(v, symbol[best], symbol[best + 1], &order[best]);
    }
    while (n-- > 0) out->token[out->n++] = *symbol++;
}

static int normal(const vocabulary *v, const char *text, size_t n)
{
    int id = 0;
    for (; id < v->n; id++) {
        const token *t = &v->token[id];
        if (t->type == CV_NORMAL && t->n == n && memcmp(t->text, text, n) == 0) return id;
    }
    return -1;
}

static void encode_word(const vocabulary *v, const char *text, size_t n, answer *out)
{
    static int symbol[4 * FZ_MOST_TEXT];
    int whole = v->ignore_merges ? normal(v, text, n) : -1;
    size_t i;
    if (whole >= 0) {
        out->token[out->n++] = whole;
        return;
    }
    for (i = 0; i < n; i++) symbol[i] = find(v, text + i, 1);
    join(v, symbol, n, out);
}

static size_t character(const char *p)
{
    unsigned char c = (unsigned char)*p;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static int is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static size_t run_of(const char *p, size_t n, char from, char to)
{
    size_t i = 0;
    while (i < n && p[i] >= from && p[i] <= to) i++;
    return i;
}

/* What the pattern matches at p, greedily; 0: nothing. */
static size_t match(int pattern, const char *p, size_t n)
{
    size_t i = 0;
    switch (pattern) {
    case 0:
        while (i < n && p[i] != 'a') i++;
        return i ? i : 1;
    case 1: return run_of(p, n, 'a', 'c');
    case 2: return i = run_of(p, n, '0', '9'), i < 3 ? i : 3;
    case 3:
        if ((i = run_of(p + (p[0] == ' '), n - (p[0] == ' '), 'a', 'z')) > 0) return i + (p[0] == ' ');
        while (i < n && is_white(p[i])) i++;
        return i;
    case 4:
        if (p[0] != 'x') return character(p);
        i = run_of(p, n, 'x', 'x');
        if (i < 2) return 0;
        if (i > 3) i = 3;
        return i + (i < n && p[i] == 'y');
    default:
        if (p[0] == 'a') return 1;
        return n > 1 && p[0] == 'b' && p[1] == 'c' ? 2 : run_of(p, n, 'd', 'f');
    }
}

/* Matches are words, and so is what lies between two of them. */
static void cut(const vocabulary *v, int stage, const char *text, size_t n, answer *out)
{
    size_t at = 0, from = 0;
    if (n == 0) return;
    if (stage == v->n_patterns) {
        encode_word(v, text, n, out);
        return;
    }
    while (at < n) {
        size_t length = match(v->patterns[stage], text + at, n - at);
        if (length == 0) {
            at += character(text + at);
            continue;
        }
        cut(v, stage + 1, text + from, at - from, out);
        cut(v, stage + 1, text + at, length, out);
        from = at += length;
    }
    cut(v, stage + 1, text + from, n - from, out);
}

static size_t add_symbol(const vocabulary *v, const char *text, size_t n, int *symbol, size_t at)
{
    size_t i;
    int id = normal(v, text, n);
    if (id >= 0) symbol[at++] = id;
    else if (v->unknown < 0)
        for (i = 0; i < n; i++) symbol[at++] = 3 + (unsigned char)text[i];
    else if (!v->fuse || at == 0 || symbol[at - 1] != v->unknown) symbol[at++] = v->unknown;
    return at;
}

static void encode_spaced(const vocabulary *v, int is_first, const char *text, size_t n, answer *out)
{
    static int symbol[8 * FZ_MOST_TEXT];
    int is_space = text[0] == ' ' || (n >= 3 && memcmp(text, "\xE2\x96\x81", 3) == 0);
    int puts = v->form != FORM_SPACED || v->spaces == 3 ? 1
               : v->spaces == 0 || is_space             ? 0
                                                        : is_first || v->spaces == 2;
    size_t at = puts ? add_symbol(v, " ", 1, symbol, 0) : 0, i = 0, length;
    for (; i < n; i += length) {
        length = character(text + i);
        if (length == 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0) at = add_symbol(v, " ", 1, symbol, at);
        else at = add_symbol(v, text + i, length, symbol, at);
    }
    join(v, symbol, at, out);
}

/* The longest added token at this place, or -1. */
static int added_at(const vocabulary *v, int special, const char *text, size_t n)
{
    int i, best = -1;
    for (i = 0; i < v->n; i++) {
        const token *t = &v->token[i];
        if (!t->added || (t->type != CV_USER && !special) || t->n > n || memcmp(t->text, text, t->n) != 0) continue;
        if (best < 0 || t->n > v->token[best].n) best = i;
    }
    return best;
}

static void encode(const vocabulary *v, int special, const char *text, size_t n, answer *out)
{
    size_t at = 0, from = 0;
    out->n = 0;
    while (at <= n) {
        int id = at < n ? added_at(v, special, text + at, n - at) : -1;
        size_t end = at;
        if (id < 0 && at < n) {
            at++;
            continue;
        }
        while (id >= 0 && v->token[id].strips & CV_LSTRIP && end > from && is_white(text[end - 1])) end--;
        if (end > from && v->form == FORM_BYTE_LEVEL) cut(v, 0, text + from, end - from, out);
        else if (end > from) encode_spaced(v, from == 0, text + from, end - from, out);
        if (id < 0) return;
        out->token[out->n++] = id;
        at += v->token[id].n;
        while (v->token[id].strips & CV_RSTRIP && at < n && is_white(text[at])) at++;
        from = at;
    }
}

/* ---- both ---- */

static size_t make_text(const vocabulary *v, dice *d, char *text)
{
    static const char *const parts[] = {
        "<|a|>",        "<|ab|>",           "<|a",       "</s>",  "<s>",      "<x>",   "<|end|>", "  ", "\r\n",
        "\xE2\x96\x81", "\xF0\x9F\x98\x80", "e\xCC\x81", "xxxxy", "aaaaaaaa", "12122112", "\t",      "bc"};
    size_t n = 0;
    unsigned k = roll(d, 24);
    for (; k > 0 && n < 160; k--) {
        unsigned kind = roll(d, 4);
        const token *t = &v->token[roll(d, 256) * 2u % (unsigned)v->n];
        const char *part = kind == 0 ? parts[roll(d, sizeof parts / sizeof *parts)] : letters[roll(d, N_LETTERS)];
        if (kind == 1) part = t->text;
        memcpy(text + n, part, strlen(part)), n += strlen(part);
    }
    text[n] = 0;
    return n;
}

static void tell(const char *who, const int32_t *tokens, size_t n)
{
    size_t i;
    fprintf(stderr, "%s", who);
    for (i = 0; i < n; i++) fprintf(stderr, " %d", (int)tokens[i]);
    fprintf(stderr, "\n");
}

static void compare(const harp_model *m, const vocabulary *v, int special, const char *text, size_t n)
{
    static answer mine;
    static int32_t tokens[4 * FZ_MOST_TEXT];
    harp_error err;
    size_t k;
    encode(v, special, text, n, &mine);
    fz_expect(harp_encode(m, text, n, special ? HARP_ENCODE_SPECIAL : 0, tokens, 4 * FZ_MOST_TEXT, &k, &err)
              == HARP_OK);
    if (k == mine.n && memcmp(tokens, mine.token, k * sizeof *tokens) == 0) return;
    fprintf(stderr, "form %d, special %d, the text \"%s\"\n", v->form, special, text);
    tell("the library: ", tokens, k), tell("the reference:", mine.token, mine.n);
    fz_expect(!"the same tokens");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static vocabulary v;
    char text[FZ_MOST_TEXT];
    harp_model *m = NULL;
    harp_error err;
    dice d = {NULL, 0, 0, 1};
    size_t n, i;
    int by_hand = 1;
    for (i = 0; i < bytes && i < 4; i++) d.state = (d.state * 256 + data[i]) * 2654435761u;
    if (d.state == 0) d.state = 1;
    if (bytes > 4) d.data = data, d.bytes = bytes, d.at = 4;
    make(&v, &d);
    for (i = 0; i < (size_t)v.n_patterns; i++) by_hand &= v.patterns[i] < N_CUT_BY_HAND;
    fz_expect(fz_convert(write_vocabulary(&v), 1, 0) == 0);
    fz_expect(harp_open(&m, fz_out, &err) == HARP_OK && harp_verify(m, &err) == HARP_OK);
    for (i = 0; i < TEXTS; i++) {
        n = make_text(&v, &d, text);
        fz_check_typed(m, text, n);
        fz_check_special(m, text, n);
        if (!by_hand || !fz_is_utf8(text, n)) continue;
        compare(m, &v, 0, text, n);
        compare(m, &v, 1, text, n);
    }
    harp_close(m);
    fz_expect(remove(fz_out) == 0);
    return 0;
}
