// story MODEL.harp PROMPT
#include "harp.hpp"

#include <iostream>

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    try {
        harp_params params = harp_defaults();
        params.seed = 7;
        Story story(argv[1], params);
        story.tell(argv[2], 40, [](std::string_view text, const harp_step &) { return bool(std::cout << text); });
        std::cout.flush();
    } catch (const std::exception &e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
