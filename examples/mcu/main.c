/* main.c - a language model on a Cortex-M: no operating system, no malloc, no files, no stdio
 *
 * The model lies in flash, where the linker put it (model.S), and its weights are read in place. All other memory is
 * the static arrays below. The story is told twice, with HARP's two frames for small memories: `last` masks the newest
 * position alone and needs no second cache; `stream` keeps one. Text leaves through the serial port.
 *
 *     make -C examples/mcu run       builds the image, prints what it takes, and runs it in qemu-system-arm
 */
#include "../../harp.h"
#include "board.h"

#ifndef CONTEXT
#define CONTEXT 256
#endif
#ifndef SESSION_BYTES
#define SESSION_BYTES (200 * 1024)
#endif
#ifndef PROMPT
#define PROMPT "One day, Anna"
#endif

extern const unsigned char model_image[], model_image_end[]; /* model.S */

static unsigned char session_block[SESSION_BYTES];
static unsigned char tables[3 * 1024]; /* harp_source_memory(layers): 5 layers fit */
static unsigned char scratch[2 * 1024];

/* The memory that harp_encode asks for and gives back before it returns. */
static size_t scratch_used, scratch_pieces;

static void *take(void *user, size_t bytes)
{
    size_t rounded = (bytes + 7) / 8 * 8;
    void *piece = scratch + scratch_used;
    (void)user;
    if (rounded < bytes || rounded > sizeof scratch - scratch_used) return NULL;
    scratch_used += rounded, scratch_pieces++;
    return piece;
}

static void give_back(void *user, void *piece, size_t bytes)
{
    (void)user, (void)bytes;
    if (piece && --scratch_pieces == 0) scratch_used = 0;
}

static void say_number(const char *before, uint32_t n, const char *after)
{
    char digits[12];
    int i = (int)sizeof digits;
    digits[--i] = 0;
    do digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    board_write_text(before), board_write_text(digits + i), board_write_text(after);
}

/* A token: marked where the model hesitated, which a product might use to ask instead of guessing. */
static int show(void *user, const char *text, size_t bytes, const harp_step *step)
{
    (void)user;
    if (step->hesitated) board_write_text("~");
    board_write(text, bytes);
    return 0;
}

static harp_params parameters(harp_frame frame)
{
    harp_params p = harp_defaults();
    p.context = CONTEXT, p.cache = HARP_CACHE_INT8, p.frame = frame;
    p.batch = 2; /* the vanilla row and the reframed one */
    p.memory = session_block, p.memory_bytes = sizeof session_block;
    return p;
}

static harp_status tell(const harp_model *model, harp_frame frame, const char *name, harp_error *err)
{
    harp_params p = parameters(frame);
    harp_session *session = NULL;
    harp_stats stats;
    size_t bytes = 0;
    harp_status status = harp_session_memory(model, &p, &bytes, err);
    if (status) return status;
    board_write_text("\n--- frame "), board_write_text(name);
    say_number(": a session of ", (uint32_t)bytes, " bytes\n");
    status = harp_session_open(&session, model, &p, err);
    if (status == HARP_OK) {
        board_write_text(PROMPT);
        status = harp_generate(session, PROMPT, 80, show, NULL, err);
        stats = harp_statistics(session);
        say_number("\n", (uint32_t)stats.steps, " tokens, ");
        say_number("", (uint32_t)stats.hesitations, " hesitations (~), ");
        say_number("", (uint32_t)stats.changed, " changed by HARP\n");
    }
    harp_session_close(session);
    return status;
}

int main(void)
{
    harp_source source = harp_source_defaults();
    harp_model *model = NULL;
    harp_error err;
    source.data = model_image, source.bytes = (uint64_t)(model_image_end - model_image);
    source.memory = tables, source.memory_bytes = sizeof tables;
    source.allocator.alloc = take, source.allocator.free = give_back;
    board_open();
    say_number("harp on a Cortex-M: model ", (uint32_t)source.bytes, " bytes, in flash\n");
    if (harp_open_source(&model, &source, &err) || tell(model, HARP_FRAME_LAST, "last", &err)
        || tell(model, HARP_FRAME_STREAM, "stream", &err)) {
        board_write_text(err.text), board_write_text("\n");
    }
    harp_close(model);
    say_number("\ndeepest stack: ", board_deepest_stack(), " bytes\n");
    return err.status != HARP_OK;
}
