/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * test_edit.c - the line editor of `harp chat`, fed with bytes; what it draws is shown by a small terminal
 *
 *   cc -std=c99 -o test_edit tests/test_edit.c examples/harp/edit.c examples/harp/width.c && ./test_edit */
#include "../examples/harp/edit.h"
#include "../tools/convert/ground/characters.h"
#include "test.h"

#include <string.h>

#define UP "\033[A"
#define DOWN "\033[B"
#define RIGHT "\033[C"
#define LEFT "\033[D"
#define HOME "\033[H"
#define END "\033[F"
#define DELETE "\033[3~"
#define BACK "\177"
#define PASTE(text) "\033[200~" text "\033[201~"

static edit new_edit(void)
{
    edit e;
    memset(&e, 0, sizeof e);
    return e;
}

static edit_result type(edit *e, const char *bytes)
{
    edit_result result = EDIT_GOES_ON;
    for (; *bytes && result == EDIT_GOES_ON; bytes++) result = edit_feed(e, *bytes);
    return result;
}

/* Typed, then a bar is put where the cursor is: what the text is then. */
static const struct {
    const char *typed, *text;
} keys[] = {
    {"abc", "abc|"},
    {"abc" LEFT LEFT "x", "ax|bc"},
    {"abc" LEFT LEFT LEFT LEFT RIGHT "x", "ax|bc"},
    {"abc" HOME "x" END "y", "xabcy|"},
    {"abc\001x\005y", "xabcy|"},
    {"abc\033[1~x\033[4~y\033OHz\033OF", "zxabcy|"},
    {"abc\002x\006y", "abxcy|"},
    {"abc" RIGHT "x", "abcx|"},
    {"abc" BACK "x", "abx|"},
    {"abc\010\010\010\010\010x", "x|"},
    {"abc" HOME DELETE, "|bc"},
    {"abc" DELETE, "abc|"},
    {"abc" HOME "\004", "|bc"},
    {"one two  three\027", "one two  |"},
    {"one two  \027", "one |"},
    {"one\027\027", "|"},
    {"one two" LEFT LEFT "\025", "|wo"},
    {"one two" LEFT LEFT "\013", "one t|"},
    {"one two three\033[1;5D\033[1;5D\033[1;5Cx", "one twox| three"},
    {"one two three\033b\033bx\033fy", "one xtwoy| three"},
    {"\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x99\x82z" LEFT LEFT BACK, "\xC3\xA9|\xF0\x9F\x99\x82z"},
    {"\xC3\xA9\xE4\xBD\xA0" HOME DELETE, "|\xE4\xBD\xA0"},
    {"e\xCC\x81x" LEFT LEFT "y", "y|e\xCC\x81x"}, /* a mark goes with its letter */
    {"e\xCC\x81x" HOME RIGHT "y", "e\xCC\x81y|x"},
    {"e\xCC\x81" BACK, "|"},
    {"\xCC\x81" LEFT "a", "a|\xCC\x81"},
    {"a\x80\xFF" "b\xE4\xBD" "c", "a\xEF\xBF\xBD\xEF\xBF\xBD" "b\xEF\xBF\xBD" "c|"},
    {"a\xE4\xBD\033[Db", "ab|\xEF\xBF\xBD"},
    {"a\xED\xA0\x80", "a\xEF\xBF\xBD|"}, /* a surrogate */
    {"a\xC2\x9B" "b", "ab|"},            /* a control character that some terminals obey */
    {"a\tb\016\017c", "a\tbc|"},
    {"a\033\rb", "a\nb|"},
    {"a\\\rb", "a\nb|"},
    {"a\033[5~\033[[A\033OP\033xb", "ab|"}, /* keys without a meaning */
    {"a\033\033[Db", "b|a"},
    {"a\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14Db", "ab|"},
    {"x" PASTE("one\ntwo\r\nthree\rfour\n\nfive") "y", "xone\ntwo\nthree\nfour\n\nfivey|"},
    {PASTE("a\tb\001\004\033[Dc\177"), "a\tbc|"},
    {PASTE("a") PASTE("b"), "ab|"},
    {PASTE("\xE4\xBD"), "\xEF\xBF\xBD|"},
};

static void test_keys(void)
{
    size_t i;
    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        edit e = new_edit();
        char got[128];
        edit_result result = type(&e, keys[i].typed);
        int n = e.text.data ? snprintf(got, sizeof got, "%.*s|%s", (int)e.at, e.text.data, e.text.data + e.at) : 0;
        if (result != EDIT_GOES_ON || n >= (int)sizeof got || strcmp(got, keys[i].text) != 0)
            printf("keys %d: '%s' instead of '%s'\n", (int)i, got, keys[i].text);
        CHECK(result == EDIT_GOES_ON && strcmp(got, keys[i].text) == 0);
        edit_free(&e);
    }
}

static void test_results(void)
{
    edit e = new_edit();
    CHECK(type(&e, "\004") == EDIT_END);
    CHECK(type(&e, "\003") == EDIT_STOPPED);
    CHECK(type(&e, "ab\003") == EDIT_STOPPED && e.text.bytes == 2);
    CHECK(type(&e, "\032") == EDIT_SUSPENDED && e.text.bytes == 2);
    CHECK(type(&e, "\004c\r") == EDIT_ENTERED && strcmp(e.text.data, "abc") == 0);
    CHECK(type(&e, "\n") == EDIT_ENTERED);
    CHECK(type(&e, LEFT "\\\r") == EDIT_ENTERED && strcmp(e.text.data, "ab\\c") == 0); /* not at the end */
    CHECK(type(&e, PASTE("\n\r\004\032")) == EDIT_GOES_ON);
    CHECK(type(&e, "\033[200~x\n\003") == EDIT_STOPPED && type(&e, "\r") == EDIT_ENTERED);
    edit_clear(&e);
    CHECK(e.text.bytes == 0 && e.text.data[0] == 0 && type(&e, "\r") == EDIT_ENTERED);
    edit_free(&e);
}

static int shows(edit *e, const char *typed, const char *text)
{
    type(e, typed);
    return e->text.bytes == strlen(text) && memcmp(e->text.data, text, e->text.bytes) == 0;
}

static int remember(edit *e, const char *text)
{
    int fine = edit_remember(e, text, strlen(text));
    edit_clear(e);
    return fine;
}

static void test_history(void)
{
    edit e = new_edit();
    char text[16];
    int i;
    CHECK(shows(&e, "a" UP DOWN, "a"));
    CHECK(remember(&e, "one") && remember(&e, "two\nlines") && remember(&e, "two\nlines") && remember(&e, ""));
    CHECK(e.n_history == 2);
    CHECK(shows(&e, "draft" UP, "two\nlines"));
    CHECK(shows(&e, "\020", "one"));
    CHECK(shows(&e, UP, "one"));
    CHECK(shows(&e, "!" DOWN, "two\nlines")); /* what is changed in an earlier text is for this time alone */
    CHECK(shows(&e, "\016", "draft"));
    CHECK(shows(&e, DOWN, "draft"));
    CHECK(shows(&e, UP UP, "one"));
    edit_clear(&e);
    CHECK(shows(&e, DOWN, "") && shows(&e, UP, "two\nlines"));
    for (i = 0; i < 2 * EDIT_MOST_HISTORY; i++) {
        snprintf(text, sizeof text, "text %d", i);
        if (!remember(&e, text)) break;
    }
    CHECK(i == 2 * EDIT_MOST_HISTORY && e.n_history == EDIT_MOST_HISTORY);
    CHECK(shows(&e, "new" UP, text));
    for (i = 0; i < 2 * EDIT_MOST_HISTORY; i++) type(&e, UP);
    snprintf(text, sizeof text, "text %d", EDIT_MOST_HISTORY);
    CHECK(shows(&e, "", text));
    for (i = 0; i < 2 * EDIT_MOST_HISTORY; i++) type(&e, DOWN);
    CHECK(shows(&e, "", "new"));
    edit_free(&e);
}

/* ---- a terminal: lines of cells, the rows that the screen shows are the last ones ---- */

enum { MOST_ROWS = 400, COLUMNS = 10, ROWS = 5 };

typedef struct terminal {
    uint32_t cells[MOST_ROWS][COLUMNS]; /* 0: empty; 1: the right half of the one before */
    int row, column, first; /* first: the row at the top of the screen */
    int is_wrapping;        /* the last column was written */
} terminal;

/* Widths of its own, for what the tests draw. */
static int width_of(uint32_t c)
{
    return c >= 0x300 && c < 0x370 ? 0 : c >= 0x1100 && c < 0xFFFD ? 2 : 1;
}

static void line_feed(terminal *t)
{
    t->row++;
    if (t->row >= t->first + ROWS) t->first++;
}

static void show_character(terminal *t, uint32_t c)
{
    int width = width_of(c);
    if (width == 0) return;
    if (t->is_wrapping || t->column + width > COLUMNS) t->column = 0, t->is_wrapping = 0, line_feed(t);
    t->cells[t->row][t->column] = c;
    if (width == 2) t->cells[t->row][t->column + 1] = 1;
    t->column += width;
    if (t->column == COLUMNS) t->column--, t->is_wrapping = 1;
}

static void obey(terminal *t, int n, char letter)
{
    t->is_wrapping = 0;
    if (letter == 'A') t->row = t->row - n < t->first ? t->first : t->row - n;
    else if (letter == 'C') t->column = t->column + n >= COLUMNS ? COLUMNS - 1 : t->column + n;
    else if (letter == 'H') t->row = t->first, t->column = 0;
    else if (letter == 'J') {
        memset(&t->cells[t->row][t->column], 0, sizeof t->cells[0] - sizeof(uint32_t) * (size_t)t->column);
        memset(t->cells[t->row + 1], 0, sizeof t->cells[0] * (size_t)(MOST_ROWS - t->row - 1));
    } else CHECK(!"a sequence that the editor should not need");
}

static void show_bytes(terminal *t, const char *p, size_t bytes)
{
    size_t i, n;
    for (i = 0; i < bytes; i += n) {
        n = utf8_length(p + i, bytes - i);
        if (p[i] == '\r') t->column = 0, t->is_wrapping = 0;
        else if (p[i] == '\n') t->is_wrapping = 0, line_feed(t);
        else if (p[i] == '\033') {
            int count = 0, skipped = 0;
            char letter = 0;
            if (sscanf(p + i, "\033[%d%c%n", &count, &letter, &skipped) < 2)
                count = 1, sscanf(p + i, "\033[%c%n", &letter, &skipped);
            obey(t, count, letter);
            n = (size_t)skipped;
        } else if (n) show_character(t, utf8_value(p + i, n));
        if (n == 0 || t->row >= MOST_ROWS - ROWS) {
            CHECK(!"neither text nor a sequence, or too much of it");
            return;
        }
    }
}

/* Rows `from`.. of the terminal as text: rows end with |, the cursor's cell is marked by a # before it. */
static const char *screen(const terminal *t, int from)
{
    static char text[MOST_ROWS * (COLUMNS * 4 + 4)];
    char *p = text;
    int r, c, last = MOST_ROWS - 1;
    for (; last > t->row; last--)
        if (t->cells[last][0]) break;
    for (r = from; r <= last; r++) {
        int end = COLUMNS;
        while (end > 0 && !t->cells[r][end - 1] && !(r == t->row && end - 1 < t->column)) end--;
        for (c = 0; c < end; c++) {
            if (r == t->row && c == t->column) *p++ = '#';
            if (t->cells[r][c] != 1) p += utf8_put(p, t->cells[r][c] ? t->cells[r][c] : ' ');
        }
        if (r == t->row && t->column >= end) *p++ = '#';
        *p++ = '|';
    }
    *p = 0;
    return text;
}

/* Draws once more, as leave says for the last time, and hands it to the terminal. */
static void redraw(edit *e, terminal *t, int leave)
{
    char bytes[1 << 14];
    FILE *out = tmpfile();
    size_t n;
    if (!out) {
        CHECK(!"a temporary file");
        return;
    }
    (leave ? edit_leave : edit_draw)(e, out, "> ", ". ", COLUMNS, ROWS);
    rewind(out);
    n = fread(bytes, 1, sizeof bytes, out);
    fclose(out);
    show_bytes(t, bytes, n);
}

static void draw_all(edit *e, terminal *t, const char *typed)
{
    for (; *typed; typed++) {
        edit_feed(e, *typed);
        redraw(e, t, 0);
    }
}

/* Typed byte by byte and drawn after each: what the screen shows then. */
static const struct {
    const char *typed, *screen;
} drawings[] = {
    {"", "> #|"}, /* (drawn once) */
    {"abc", "> abc#|"},
    {"abc" LEFT, "> ab#c|"},
    {"12345678", "> 12345678|#|"},
    {"123456789", "> 12345678|9#|"},
    {"123456789" HOME, "> #12345678|9|"},
    {"123456789" BACK BACK, "> 1234567#|"},
    {"123456789\025", "> #|"},
    {"a\033\rb", "> a|. b#|"},
    {"a\033\rb" LEFT LEFT, "> a#|. b|"},
    {"12345678\033\rb", "> 12345678|. b#|"},
    {"\xE4\xBD\xA0\xE5\xA5\xBDx" LEFT, "> \xE4\xBD\xA0\xE5\xA5\xBD#x|"},
    {"1234567\xE4\xBD\xA0", "> 1234567|\xE4\xBD\xA0#|"}, /* no half of it hangs over the edge */
    {"1234567\xE4\xBD\xA0" LEFT, "> 1234567|#\xE4\xBD\xA0|"},
    {"e\xCC\x81xy" LEFT, "> ex#y|"},
    {"a\tb", "> a    b#|"},
    {"1\033\r2\033\r3\033\r4\033\r5", "> 1|. 2|. 3|. 4|. 5#|"},
    {"1\033\r2\033\r3\033\r4\033\r5" HOME, "> #1|. 2|. 3|. 4|. 5|"},
    {PASTE("1\n2\n3\n4\n5\n6\n7"), ". 3|. 4|. 5|. 6|. 7#|"},             /* higher than the screen */
    {PASTE("1\n2\n3\n4\n5\n6\n7") HOME, "> #1|. 2|. 3|. 4|. 5|"},
    {PASTE("1\n2\n3\n4\n5\n6\n7") HOME END LEFT LEFT, ". 2|. 3|. 4|. 5|. 6#|"},
    {"abc\014d", "> abcd#|"},
};

static void test_drawing(void)
{
    size_t i;
    for (i = 0; i < sizeof drawings / sizeof *drawings; i++) {
        static terminal t;
        edit e = new_edit();
        const char *got;
        memset(&t, 0, sizeof t);
        redraw(&e, &t, 0);
        draw_all(&e, &t, drawings[i].typed);
        got = screen(&t, t.first);
        if (strcmp(got, drawings[i].screen) != 0)
            printf("drawing %d: %s instead of %s\n", (int)i, got, drawings[i].screen);
        CHECK(strcmp(got, drawings[i].screen) == 0);
        edit_free(&e);
    }
}

/* Where a text is left, its last row stays, and the next text begins below it. */
static void test_leaving(void)
{
    static terminal t;
    edit e = new_edit();
    show_bytes(&t, "old\r\n", 5);
    draw_all(&e, &t, "123456789" HOME);
    redraw(&e, &t, 1);
    edit_clear(&e);
    draw_all(&e, &t, "next\033\rline" HOME);
    CHECK(strcmp(screen(&t, 0), "old|> 12345678|9|> #next|. line|") == 0);
    redraw(&e, &t, 1);
    CHECK(strcmp(screen(&t, 0), "old|> 12345678|9|> next|. line|#|") == 0);
    edit_free(&e);
}

/* Any bytes: the text is UTF-8 without control characters, the cursor between characters, the drawing harmless. Exact
 * allocations are the sanitizers' business. */
static void test_any_bytes(void)
{
    static const char *const some[] = {
        UP,     DOWN,   LEFT,   RIGHT, HOME,  END,            DELETE,     BACK, "\033[200~", "\033[201~", "\r", "\033\r",
        "\027", "\025", "\013", "\\",  "ab ", "\xE4\xBD\xA0", "\xCC\x81", "\t",
    };
    edit e = new_edit();
    static terminal t;
    uint64_t seed = 1;
    int i, fine = 1;
    for (i = 0; i < 200000 && fine; i++) {
        edit_result result = EDIT_GOES_ON;
        size_t at, n;
        seed = seed * UINT64_C(6364136223846793005) + 1;
        if (seed >> 63) result = type(&e, some[(seed >> 33) % (sizeof some / sizeof *some)]);
        else result = edit_feed(&e, (char)(seed >> 40));
        fine = result != EDIT_NO_MEMORY && e.at <= e.text.bytes;
        for (at = 0; at < e.text.bytes && fine; at += n) {
            n = utf8_length(e.text.data + at, e.text.bytes - at);
            fine = n > 0 && (e.at <= at || e.at >= at + n) && n <= 4;
            if (fine && is_control(utf8_value(e.text.data + at, n)))
                fine = e.text.data[at] == '\n' || e.text.data[at] == '\t';
        }
        if (result == EDIT_ENTERED) fine = fine && edit_remember(&e, e.text.data, e.text.bytes);
        if (result == EDIT_ENTERED || e.text.bytes > 200) edit_clear(&e);
        if (i % 16 == 0) memset(&t, 0, sizeof t), e.drawn_row = 0, redraw(&e, &t, 0);
    }
    CHECK(fine);
    edit_free(&e);
}

static void test_widths(void)
{
    CHECK(character_width('a') == 1 && character_width(0xE9) == 1 && character_width(0x416) == 1);
    CHECK(character_width(0x300) == 0 && character_width(0x36F) == 0 && character_width(0x370) == 1);
    CHECK(character_width(0x200D) == 0 && character_width(0xFE0F) == 0 && character_width(0x94D) == 0);
    CHECK(character_width(0x1100) == 2 && character_width(0x4E00) == 2 && character_width(0xFF01) == 2);
    CHECK(character_width(0x1F642) == 2 && character_width(0x20000) == 2 && character_width(0x2014) == 1);
    CHECK(character_width(0xFFFD) == 1 && character_width(0x10FFFF) == 1);
}

int main(void)
{
    test_keys();
    test_results();
    test_history();
    test_widths();
    test_drawing();
    test_leaving();
    test_any_bytes();
    return conclude();
}
