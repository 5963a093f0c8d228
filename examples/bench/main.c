/* main.c - harp-bench: what a model costs here */
#include "bench.h"

#include <errno.h>
#include <string.h>

static int complain(const char *path, const char *what)
{
    fprintf(stderr, "harp-bench: %s: %s\n", path, what);
    return 1;
}

/* ---- the plot's file: known to be good before minutes are spent ---- */

static int check_plot(const char *path)
{
    int was_there = host_kind_of(path) != HOST_NOTHING;
    FILE *out = host_fopen(path, "ab"); /* what is there stays until there is something better */
    if (!out) {
        fprintf(stderr, "harp-bench: %s: the plot cannot be written: %s\n", path, strerror(errno));
        return 1;
    }
    fclose(out);
    if (!was_there) host_remove(path);
    return 0;
}

/* ---- measuring one model ---- */

static void measure(bench *b)
{
    const char *isa;
    int i, t;
    print_heading(b);
    for (i = 0; (isa = harp_isa(i)) != NULL; i++)
        for (t = 0; wants_isa(b, isa, i) && t < b->n_threads; t++) bench_set(b, isa, b->threads[t]);
    if (b->reported > 0 || b->failed || host_interrupted()) return;
    fputs("harp-bench: nothing was measured: the int8 peak of these instruction sets is not known\n", stderr);
    b->failed = 1;
}

static int measure_opened(bench *b)
{
    b->info = harp_model_info(b->model);
    if (b->keep && !shape_is(b->shape, b->bits, &b->info)) {
        fprintf(stderr, "harp-bench: %s: there already, and its sizes are not those of %s with %d bits: give --keep "
                "another name\n", b->keep, b->shape, b->bits);
        return 1;
    }
    if (b->plot && host_is_same_file(b->plot, b->model_path))
        return complain(b->plot, "this is the model: give --plot another name");
    if (fit_to_context(b) < 0) return 1;
    if (!is_pages(b, "large")) b->image = host_map(b->model_path, &b->image_bytes);
    if (!b->image) return complain(b->model_path, "cannot be mapped");
    measure(b);
    if (!is_pages(b, "large")) host_unmap(b->image, b->image_bytes);
    if (b->failed || host_interrupted()) return 1;
    return b->plot ? plot_write(b->plot, b->shape ? b->shape : b->model_path, b->figures, b->n_figures) : 0;
}

/* The largest block is the model's image. */
static void *get_large(void *user, size_t bytes)
{
    bench *b = (bench *)user;
    void *block = host_large_alloc(bytes);
    if (block && bytes > b->image_bytes) b->image = block, b->image_bytes = bytes;
    return block;
}

static void give_large(void *user, void *block, size_t bytes)
{
    (void)user;
    host_large_free(block, bytes);
}

/* Opens the model, whose pages lie in memory as --pages says. */
static int open_model(bench *b)
{
    harp_source source = harp_source_defaults();
    harp_error err;
    source.path = b->model_path;
    if (is_pages(b, "large")) {
        source.copy = 1;
        source.allocator.alloc = get_large, source.allocator.free = give_large, source.allocator.user = b;
    } else if (b->pages && host_reread(b->model_path, is_pages(b, "aged"))) {
        return complain(b->model_path, "how it lies in memory cannot be chosen here: leave --pages out");
    }
    return harp_open_source(&b->model, &source, &err) ? complain(b->model_path, err.text) : 0;
}

static int run_model(bench *b)
{
    int status;
    if (open_model(b)) return 1;
    status = measure_opened(b);
    harp_close(b->model);
    return status;
}

/* ---- a random model ---- */

static int run_kept(bench *b)
{
    b->model_path = b->keep;
    if (host_kind_of(b->keep) == HOST_NOTHING && shape_write(b->shape, b->bits, b->keep)) return 1;
    return host_interrupted() ? 1 : run_model(b);
}

static int run_temporary(bench *b)
{
    char path[HOST_PATH_BYTES];
    int status;
    if (host_temporary("harp-bench", path)) {
        fprintf(stderr, "harp-bench: %s: a temporary file cannot be made: %s\n", path, strerror(errno));
        return 1;
    }
    b->model_path = path;
    status = shape_write(b->shape, b->bits, path) || host_interrupted() ? 1 : run_model(b);
    host_remove_temporary();
    return status;
}

int main(int argc, char **argv)
{
    static bench b;
    int status;
    host_start(&argc, &argv);
    status = read_options(&b, argc, argv);
    if (status > 0) return status;
    if (status == 0) {
        host_catch_interrupt(1);
        if (b.plot && check_plot(b.plot)) return 1;
        status = !b.shape ? run_model(&b) : b.keep ? run_kept(&b) : run_temporary(&b);
    }
    if (host_interrupted()) return fputs("harp-bench: interrupted\n", stderr), HOST_EXIT_INTERRUPTED;
    if ((fflush(stdout) || ferror(stdout)) && status <= 0) return complain("standard output", strerror(errno));
    return status < 0 ? 0 : status;
}
