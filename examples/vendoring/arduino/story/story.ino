// src/harp/ has harp.h and harp_impl.c, copied; model.h the model as an array (xxd -i < demo.harp). The memory is static:
// a board with 256 KB of RAM for the demo model at 64 positions, in an int8 cache.
#include "src/harp/harp.h"

alignas(64) static const unsigned char model_image[] = {
#include "model.h"
};
static unsigned char session_block[200 * 1024];
static harp_model *model;
static harp_session *session;

static int show(void *, const char *text, size_t bytes, const harp_step *)
{
    return Serial.write(text, bytes) != bytes;
}

void setup()
{
    harp_source source = harp_source_defaults();
    harp_params params = harp_defaults();
    harp_error err;
    Serial.begin(115200);
    source.data = model_image, source.bytes = sizeof model_image;
    params.context = 64, params.batch = 2, params.seed = 7, params.cache = HARP_CACHE_INT8;
    params.memory = session_block, params.memory_bytes = sizeof session_block;
    params.frame = HARP_FRAME_LAST; // needs no second cache
    if (harp_open_source(&model, &source, &err) || harp_session_open(&session, model, &params, &err)) Serial.println(err.text);
}

void loop()
{
    harp_error err;
    if (session && harp_generate(session, "One day, Anna", 40, show, nullptr, &err)) Serial.println(err.text);
    harp_session_close(session);
    session = nullptr;
}
