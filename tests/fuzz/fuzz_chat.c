/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * fuzz_chat.c - chat templates: parsed and rendered within their budget, or refused */
#include "../../tools/convert/chat/roles.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const cv_message messages[] = {
        {"system", "Be <b>brief</b>."}, {"user", " hi "}, {"assistant", "A\n\xC3\xA9"}, {"user", ""}};
    static const char *const more[] = {"<sep>", "<end>"};
    const cv_specials specials = {"<s>", "</s>", "<unk>", NULL, "<pad>", NULL, NULL, more, 2, "2028-02-29"};
    const cv_conversation talk = {messages, 4, 1, &specials};
    cv_template *parsed = NULL;
    cv_text marks[8];
    cv_meta meta = {NULL, 0, 0, 0};
    cv_error err;
    char *out = NULL;
    size_t n = 0;
    err.text[0] = 0;
    if (cv_template_parse((const char *)data, bytes, &parsed, &err)) {
        fz_expect(err.text[0]);
        return 0;
    }
    if (cv_template_render(parsed, &talk, &out, &n, &err) == 0) {
        fz_expect(out && out[n] == 0 && n <= 1 << 20);
        free(out);
        fz_expect(cv_template_marks(parsed, marks, 8) <= 8);
        if (bytes < 200) cv_chat_table((const char *)data, bytes, &specials, &meta, &err);
    }
    cv_template_free(parsed);
    cv_meta_free(&meta);
    return 0;
}
