// A session that owns itself: what a C++ project puts around harp's two objects.
#pragma once

#include "harp/harp.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

class Story {
public:
    explicit Story(const std::string &path, const harp_params &params)
    {
        harp_model *m = nullptr;
        harp_session *s = nullptr;
        harp_error err;
        check(harp_open(&m, path.c_str(), &err), err);
        model.reset(m);
        check(harp_session_open(&s, m, &params, &err), err);
        session.reset(s);
    }

    using Show = std::function<bool(std::string_view text, const harp_step &step)>; // false stops

    void tell(const std::string &prompt, int tokens, Show show)
    {
        harp_error err;
        check(harp_generate(session.get(), prompt.c_str(), tokens, call, &show, &err), err);
    }

private:
    static int call(void *user, const char *text, size_t bytes, const harp_step *step)
    {
        return !(*static_cast<Show *>(user))(std::string_view(text, bytes), *step);
    }

    static void check(harp_status status, const harp_error &err)
    {
        if (status != HARP_OK) throw std::runtime_error(err.text);
    }

    struct Close {
        void operator()(harp_model *m) const { harp_close(m); }
        void operator()(harp_session *s) const { harp_session_close(s); }
    };
    std::unique_ptr<harp_model, Close> model; // goes after the session: members end in reverse order
    std::unique_ptr<harp_session, Close> session;
};
