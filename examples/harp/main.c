/* harp - language models that notice when they hesitate: the command line
 *
 *     cc -O2 -pthread examples/harp/?*.c tools/convert/ground/?*.c harp_impl.c -lm -o harp
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
    case COMMAND_VIEW: return command_view(o);
    default: return command_info(o);
    }
}

static int is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static int no_such_command(const char *name)
{
    print_overview(stderr);
    if (name) fputc('\n', stderr), complain("there is no command '%s'", name);
    return EXIT_USAGE;
}

/* harp help, harp help chat */
static int help(int argc, char **argv)
{
    int32_t command = argc > 2 ? command_by_name(argv[2]) : 0;
    if (argc < 3) return print_overview(stdout), EXIT_FINE;
    if (!command || argc > 3) return no_such_command(argv[argc > 3 ? 3 : 2]);
    return print_help(stdout, command), EXIT_FINE;
}

static int run_command(int argc, char **argv)
{
    options o;
    int32_t command = argc > 1 ? command_by_name(argv[1]) : 0;
    int status;
    if (argc > 1 && is_one_of(argv[1], "--help", "-h", "help")) return help(argc, argv);
    if (argc > 1 && is_one_of(argv[1], "--version", "-V", "version")) {
        printf("harp %s\n", harp_version(NULL));
        return EXIT_FINE;
    }
    if (!command) return no_such_command(argc > 1 ? argv[1] : NULL);
    status = options_parse(&o, command, argc, argv);
    return status == EXIT_FINE && !o.help ? dispatch(&o) : status;
}

/* The standard output's errors show at the latest when it is flushed: a full disk must not look like success. */
int main(int argc, char **argv)
{
    int status;
    host_start(&argc, &argv);
    status = run_command(argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && (status == EXIT_FINE || status == EXIT_INTERRUPTED))
        status = complain("the output could not be written");
    return status;
}
