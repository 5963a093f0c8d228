/* edit.c - see edit.h
 *
 * First the text and what keys do to it, then the keys' bytes, last the drawing.
 */
#include "edit.h"

#include "../../tools/convert/ground/characters.h"

#include <stdlib.h>
#include <string.h>

/* ---- Texts ---- */

static int make_room(edit_text *text, size_t more)
{
    size_t capacity = text->capacity ? text->capacity : 128;
    char *grown;
    if (more < text->capacity - text->bytes) return 1;
    while (capacity - text->bytes <= more && capacity <= SIZE_MAX / 4) capacity *= 2;
    grown = capacity - text->bytes <= more ? NULL : (char *)realloc(text->data, capacity);
    if (!grown) return 0;
    text->data = grown, text->capacity = capacity;
    return 1;
}

static int set_text(edit_text *text, const char *from, size_t bytes)
{
    text->bytes = 0;
    if (!make_room(text, bytes)) return 0;
    memcpy(text->data, from, bytes);
    text->bytes = bytes, text->data[bytes] = 0;
    return 1;
}

static int insert(edit *e, const char *from, size_t bytes)
{
    edit_text *text = &e->text;
    if (!make_room(text, bytes)) return 0;
    memmove(text->data + e->at + bytes, text->data + e->at, text->bytes - e->at);
    memcpy(text->data + e->at, from, bytes);
    text->bytes += bytes, text->data[text->bytes] = 0;
    e->at += bytes;
    return 1;
}

/* Removes what is between the cursor and `other`, on either side of it. */
static void erase(edit *e, size_t other)
{
    size_t from = other < e->at ? other : e->at, to = other < e->at ? e->at : other;
    if (from == to) return;
    memmove(e->text.data + from, e->text.data + to, e->text.bytes - to + 1);
    e->text.bytes -= to - from;
    e->at = from;
}

void edit_clear(edit *e)
{
    e->text.bytes = e->at = 0;
    if (e->text.data) e->text.data[0] = 0;
    e->shown = e->n_history;
}

/* ---- Characters and words ---- */

/* The text is UTF-8 throughout: what was no character has become U+FFFD when it was typed. */
static uint32_t character_at(const edit *e, size_t at, size_t *bytes)
{
    *bytes = utf8_length(e->text.data + at, e->text.bytes - at);
    return utf8_value(e->text.data + at, *bytes);
}

static int joins(const edit *e, size_t at) /* drawn over what is before it, so no place for the cursor */
{
    size_t n;
    uint32_t c = character_at(e, at, &n);
    return !is_control(c) && character_width(c) == 0;
}

static size_t next_place(const edit *e, size_t at)
{
    size_t n;
    if (at >= e->text.bytes) return at;
    character_at(e, at, &n);
    for (at += n; at < e->text.bytes && joins(e, at); at += n) character_at(e, at, &n);
    return at;
}

static size_t place_before(const edit *e, size_t at)
{
    while (at > 0) {
        do at--;
        while (at > 0 && ((unsigned char)e->text.data[at] & 0xC0) == 0x80);
        if (!joins(e, at)) break;
    }
    return at;
}

static int is_blank_at(const edit *e, size_t at)
{
    return e->text.data[at] == ' ' || e->text.data[at] == '\n' || e->text.data[at] == '\t';
}

static size_t word_before(const edit *e, size_t at)
{
    while (at > 0 && is_blank_at(e, at - 1)) at--;
    while (at > 0 && !is_blank_at(e, at - 1)) at--;
    return at;
}

static size_t word_after(const edit *e, size_t at)
{
    while (at < e->text.bytes && is_blank_at(e, at)) at++;
    while (at < e->text.bytes && !is_blank_at(e, at)) at++;
    return at;
}

/* ---- History ---- */

int edit_remember(edit *e, const char *text, size_t bytes)
{
    edit_text *newest = &e->history[e->n_history], *before = e->n_history ? newest - 1 : NULL;
    if (bytes == 0 || (before && before->bytes == bytes && memcmp(before->data, text, bytes) == 0)) return 1;
    if (!set_text(newest, text, bytes)) return 0;
    if (e->n_history < EDIT_MOST_HISTORY) {
        e->n_history++;
    } else { /* the oldest one's memory serves the next */
        edit_text oldest = e->history[0];
        memmove(e->history, e->history + 1, EDIT_MOST_HISTORY * sizeof *e->history);
        e->history[EDIT_MOST_HISTORY] = oldest;
    }
    e->shown = e->n_history;
    return 1;
}

/* Shows an earlier or a later text. What is being written waits behind the history meanwhile. */
static int show_history(edit *e, size_t which)
{
    const edit_text *from = &e->history[which];
    edit_text *draft = &e->history[e->n_history];
    if (e->shown == e->n_history && !set_text(draft, e->text.data ? e->text.data : "", e->text.bytes)) return 0;
    if (!set_text(&e->text, from->data, from->bytes)) return 0;
    e->shown = which, e->at = e->text.bytes;
    return 1;
}

static int show_earlier(edit *e)
{
    return e->shown == 0 || show_history(e, e->shown - 1);
}

static int show_later(edit *e)
{
    return e->shown == e->n_history || show_history(e, e->shown + 1);
}

void edit_free(edit *e)
{
    size_t i;
    for (i = 0; i <= EDIT_MOST_HISTORY; i++) free(e->history[i].data);
    free(e->text.data);
    memset(e, 0, sizeof *e);
}

/* ---- Keys ---- */

static edit_result entered(edit *e)
{
    if (e->at == e->text.bytes && e->at > 0 && e->text.data[e->at - 1] == '\\') {
        e->text.data[e->at - 1] = '\n';
        return EDIT_GOES_ON;
    }
    return EDIT_ENTERED;
}

enum { CTRL = 0x1F }; /* 'A' & CTRL is ctrl-A */

static edit_result on_control(edit *e, char byte)
{
    int fine = 1;
    switch (byte) {
    case 'A' & CTRL: e->at = 0; break;
    case 'B' & CTRL: e->at = place_before(e, e->at); break;
    case 'C' & CTRL: return EDIT_STOPPED;
    case 'D' & CTRL:
        if (e->text.bytes == 0) return EDIT_END;
        erase(e, next_place(e, e->at));
        break;
    case 'E' & CTRL: e->at = e->text.bytes; break;
    case 'F' & CTRL: e->at = next_place(e, e->at); break;
    case 'H' & CTRL: case 0x7F: erase(e, place_before(e, e->at)); break; /* terminals differ on backspace */
    case '\t': fine = insert(e, "\t", 1); break;
    case '\r': case '\n': return entered(e);
    case 'K' & CTRL: erase(e, e->text.bytes); break;
    case 'L' & CTRL: e->is_cleared = 1; break;
    case 'N' & CTRL: fine = show_later(e); break;
    case 'P' & CTRL: fine = show_earlier(e); break;
    case 'U' & CTRL: erase(e, 0); break;
    case 'W' & CTRL: erase(e, word_before(e, e->at)); break;
    case 'Z' & CTRL: return EDIT_SUSPENDED;
    default: break;
    }
    return fine ? EDIT_GOES_ON : EDIT_NO_MEMORY;
}

typedef enum action { LEFT, RIGHT, HOME, END, UP, DOWN, WORD_LEFT, WORD_RIGHT, DELETE, NEW_LINE, PASTE } action;

/* What keys send, without the escape that comes first. */
static const struct key {
    const char *sequence;
    action action;
} keys[] = {
    {"[D", LEFT}, {"OD", LEFT}, {"[C", RIGHT}, {"OC", RIGHT}, {"[A", UP}, {"OA", UP}, {"[B", DOWN}, {"OB", DOWN},
    {"[H", HOME}, {"OH", HOME}, {"[1~", HOME}, {"[7~", HOME}, {"[F", END}, {"OF", END}, {"[4~", END}, {"[8~", END},
    {"[1;5D", WORD_LEFT}, {"[1;3D", WORD_LEFT}, {"b", WORD_LEFT}, {"[1;5C", WORD_RIGHT}, {"[1;3C", WORD_RIGHT},
    {"f", WORD_RIGHT}, {"[3~", DELETE}, {"\r", NEW_LINE}, {"\n", NEW_LINE}, {"[200~", PASTE},
};

static edit_result on_sequence(edit *e, const char *sequence)
{
    size_t i;
    int fine = 1;
    for (i = 0; i < sizeof keys / sizeof *keys && strcmp(keys[i].sequence, sequence) != 0; i++) continue;
    if (i == sizeof keys / sizeof *keys) return EDIT_GOES_ON; /* a key that does nothing here */
    switch (keys[i].action) {
    case LEFT: e->at = place_before(e, e->at); break;
    case RIGHT: e->at = next_place(e, e->at); break;
    case HOME: e->at = 0; break;
    case END: e->at = e->text.bytes; break;
    case UP: fine = show_earlier(e); break;
    case DOWN: fine = show_later(e); break;
    case WORD_LEFT: e->at = word_before(e, e->at); break;
    case WORD_RIGHT: e->at = word_after(e, e->at); break;
    case DELETE: erase(e, next_place(e, e->at)); break;
    case NEW_LINE: fine = insert(e, "\n", 1); break;
    case PASTE: e->is_pasting = 1; break;
    }
    return fine ? EDIT_GOES_ON : EDIT_NO_MEMORY;
}

/* ---- Bytes ---- */

/* Behind ESC one character, or [ or O, then parameters, then a letter or ~. */
static int is_whole_sequence(const edit *e)
{
    unsigned char last = (unsigned char)e->input[e->n_input - 1];
    if (e->n_input < 2) return 0;
    if (e->input[1] != '[' && e->input[1] != 'O') return 1;
    if (e->n_input == 3 && last == '[') return 0; /* a function key of the Linux console */
    return e->n_input > 2 && last >= 0x40 && last <= 0x7E;
}

/* 1: the sequence is complete, and stands behind its ESC in e->input + 1. */
static int collect_sequence(edit *e, char byte)
{
    if (byte == 0x1B) e->n_input = 0; /* it begins anew */
    if (e->n_input == EDIT_MOST_SEQUENCE - 1) e->n_input--; /* no key of ours is as long: its end is all that matters */
    e->input[e->n_input++] = byte, e->input[e->n_input] = 0;
    if (!is_whole_sequence(e)) return 0;
    e->n_input = 0;
    return 1;
}

static edit_result feed_sequence(edit *e, char byte)
{
    if (!collect_sequence(e, byte)) return EDIT_GOES_ON;
    if (!e->is_pasting) return on_sequence(e, e->input + 1);
    if (strcmp(e->input + 1, "[201~") == 0) e->is_pasting = 0; /* keys that were pasted are none */
    return EDIT_GOES_ON;
}

/* How many bytes a character has that begins with this one; 1 if none does. */
static size_t bytes_of_character(unsigned char lead)
{
    return lead < 0xC2 || lead > 0xF4 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* Inserts the bytes that were collected; U+FFFD if they are no character. Of the control characters beyond ASCII, which
 * some terminals obey, nobody types any. */
static edit_result insert_collected(edit *e)
{
    size_t n = e->n_input, whole = utf8_length(e->input, n);
    e->n_input = 0;
    if (whole == n && is_control(utf8_value(e->input, n))) return EDIT_GOES_ON;
    return insert(e, whole == n ? e->input : "\xEF\xBF\xBD", whole == n ? n : 3) ? EDIT_GOES_ON : EDIT_NO_MEMORY;
}

static edit_result feed_character(edit *e, char byte)
{
    e->input[e->n_input++] = byte;
    return e->n_input < bytes_of_character((unsigned char)e->input[0]) ? EDIT_GOES_ON : insert_collected(e);
}

/* Pasted text has any end of line, and no control characters but these and tabs. Ctrl-C works whatever happens. */
static edit_result feed_pasted_control(edit *e, char byte)
{
    int is_end = byte == '\r' || byte == '\n';
    if (byte == ('C' & CTRL)) return e->is_pasting = 0, EDIT_STOPPED;
    if (!is_end && byte != '\t') return EDIT_GOES_ON;
    if (byte == '\n' && e->was_return) return EDIT_GOES_ON;
    return insert(e, is_end ? "\n" : "\t", 1) ? EDIT_GOES_ON : EDIT_NO_MEMORY;
}

static int continues_character(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

edit_result edit_feed(edit *e, char byte)
{
    edit_result result = EDIT_GOES_ON;
    if (e->n_input > 0 && e->input[0] == 0x1B) return feed_sequence(e, byte);
    if (e->n_input > 0 && !continues_character(byte)) result = insert_collected(e); /* it is cut off */
    if (result != EDIT_GOES_ON) return result;
    if ((unsigned char)byte >= 0x20 && byte != 0x7F) result = feed_character(e, byte);
    else if (byte == 0x1B) collect_sequence(e, byte);
    else result = e->is_pasting ? feed_pasted_control(e, byte) : on_control(e, byte);
    e->was_return = byte == '\r';
    return result;
}

/* ---- Drawing ---- */

enum { TAB_COLUMNS = 4 };

/* A walk over the rows that prompt and text take. Lines are broken here, not by the terminal: so it is known where each
 * character stands, and one of two columns never hangs over the edge. */
typedef struct layout {
    size_t row, column, columns;
} layout;

/* The place of a character of so many columns: moves to the next row if it does not fit. */
static void place(layout *l, size_t width)
{
    if (l->column + width > l->columns) l->row++, l->column = 0;
}

static size_t columns_of(const char *text)
{
    size_t i, n, columns = 0, bytes = strlen(text);
    for (i = 0; i < bytes; i += n ? n : 1) {
        n = utf8_length(text + i, bytes - i);
        columns += (size_t)character_width(n ? utf8_value(text + i, n) : 0xFFFD);
    }
    return columns;
}

/* What is drawn of the rows: those from `top` on, so many. */
typedef struct canvas {
    FILE *out; /* NULL: nothing is drawn, only measured */
    size_t top, height;
    const char *prompt, *more;
    size_t row; /* the terminal's cursor */
} canvas;

static void put(canvas *c, const layout *l, const char *text, size_t bytes)
{
    if (!c->out || l->row < c->top || l->row >= c->top + c->height) return;
    for (; c->row < l->row; c->row++) fputs("\r\n", c->out);
    fwrite(text, 1, bytes, c->out);
}

static size_t width_at(const edit *e, size_t at)
{
    size_t n;
    return e->text.data[at] == '\t' ? TAB_COLUMNS : (size_t)character_width(character_at(e, at, &n));
}

static void put_character(const edit *e, canvas *c, layout *l, size_t at, size_t bytes)
{
    size_t width = width_at(e, at);
    place(l, width);
    if (e->text.data[at] == '\t') put(c, l, "    ", TAB_COLUMNS);
    else put(c, l, e->text.data + at, bytes);
    l->column += width;
}

static void put_prompt(canvas *c, layout *l, const char *prompt)
{
    put(c, l, prompt, strlen(prompt));
    l->column = columns_of(prompt);
}

/* Walks over all of it; returns the last row, and where the cursor is. */
static size_t walk(const edit *e, canvas *c, size_t columns, layout *cursor)
{
    layout l = {0, 0, 0};
    size_t at = 0, n;
    l.columns = columns;
    put_prompt(c, &l, c->prompt);
    while (at < e->text.bytes) {
        if (at == e->at) *cursor = l, place(cursor, width_at(e, at));
        character_at(e, at, &n);
        if (e->text.data[at] != '\n') put_character(e, c, &l, at, n);
        else l.row++, put_prompt(c, &l, c->more);
        at += n;
    }
    if (at == e->at) *cursor = l, place(cursor, 1);
    return cursor->row > l.row ? cursor->row : l.row;
}

void edit_draw(edit *e, FILE *out, const char *prompt, const char *more, int columns, int rows)
{
    canvas c = {NULL, 0, SIZE_MAX, prompt, more, 0};
    size_t wide = columns < 8 ? 8 : (size_t)columns, last, end;
    layout cursor;
    c.height = rows < 2 ? 2 : (size_t)rows;
    last = walk(e, &c, wide, &cursor);
    if (cursor.row >= c.height) c.top = cursor.row - c.height + 1;
    if (e->is_cleared) fputs("\033[H", out);
    else if (e->drawn_row > 0) fprintf(out, "\033[%luA", (unsigned long)e->drawn_row);
    fputs("\r\033[J", out);
    c.out = out, c.row = c.top;
    walk(e, &c, wide, &cursor);
    end = last < c.top + c.height ? last : c.top + c.height - 1;
    for (; c.row < end; c.row++) fputs("\r\n", out); /* the cursor's row may have nothing in it yet */
    if (end > cursor.row) fprintf(out, "\033[%luA", (unsigned long)(end - cursor.row));
    fputc('\r', out);
    if (cursor.column > 0) fprintf(out, "\033[%luC", (unsigned long)cursor.column);
    fflush(out);
    e->drawn_row = cursor.row - c.top, e->is_cleared = 0;
}

void edit_leave(edit *e, FILE *out, const char *prompt, const char *more, int columns, int rows)
{
    e->at = e->text.bytes;
    edit_draw(e, out, prompt, more, columns, rows);
    fputs("\r\n", out);
    fflush(out);
    e->drawn_row = 0;
}
