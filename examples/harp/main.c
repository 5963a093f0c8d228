/* harp - language models that notice when they hesitate: the command line
 *
 *     cc -O2 -pthread examples/harp/?*.c harp_impl.c -lm -o harp
 *     ./harp run -m demo.harp -p "Once upon a time"
 */
#include "cli.h"

#include <string.h>

static int dispatch(const options *o)
{
    switch (o->command) {
    case COMMAND_RUN: return command_run(o);
    case COMMAND_CHAT: return command_chat(o);
    case COMMAND_SCORE: return command_score(o);
    case COMMAND_TOKENIZE: return command_tokenize(o);
    default: return command_info(o);
    }
}

static int is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

int main(int argc, char **argv)
{
    options o;
    int32_t command = argc > 1 ? command_by_name(argv[1]) : 0;
    int status;
    if (argc > 1 && is_one_of(argv[1], "--help", "-h", "help")) return print_overview(stdout), EXIT_FINE;
    if (argc > 1 && is_one_of(argv[1], "--version", "-V", "version")) {
        printf("harp %d.%d.%d\n", HARP_VERSION / 10000, HARP_VERSION / 100 % 100, HARP_VERSION % 100);
        return EXIT_FINE;
    }
    if (argc == 3 && strcmp(argv[1], "view") == 0 && argv[2][0] != '-') return command_view(argv[2]);
    if (!command) {
        print_overview(stderr);
        if (argc > 1) fprintf(stderr, "\nharp: there is no command '%s'\n", argv[1]);
        return EXIT_USAGE;
    }
    status = options_parse(&o, command, argc, argv);
    return status == EXIT_FINE && !o.help ? dispatch(&o) : status;
}
