/* plot.c - what HARP costs, against how often the model hesitates */
#include "bench.h"

#include <errno.h>
#include <string.h>

enum { WIDTH = 640, HEIGHT = 400, LEFT = 64, RIGHT = 150, TOP = 40, BOTTOM = 48 };

static double x_of(double hesitation)
{
    return LEFT + hesitation * (WIDTH - LEFT - RIGHT);
}

static double y_of(double ratio, double most)
{
    return HEIGHT - BOTTOM - (ratio - 0.9) / (most - 0.9) * (HEIGHT - TOP - BOTTOM);
}

static int is_curve(const figure *f, const char *schedule, int reframings, int threads)
{
    return strcmp(f->what, "harp") == 0 && strcmp(f->schedule, schedule) == 0 && f->reframings == reframings
           && f->threads == threads;
}

static void put_axes(FILE *out, const char *title, double most)
{
    double r, step = most < 1.6 ? 0.1 : most < 3.0 ? 0.25 : (most - 1.0) / 8.0;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"22\" font-size=\"14\">",
            WIDTH, HEIGHT, LEFT);
    put_xml_text(out, title);
    fputs(": cost of HARP over the plain model</text>\n", out);
    for (r = 1.0; r <= most; r += step)
        fprintf(out,
                "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">x%.2f</text>\n",
                LEFT, y_of(r, most), WIDTH - RIGHT, LEFT - 8, y_of(r, most) + 4, r);
    for (r = 0.0; r <= 1.001; r += 0.25)
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f %%</text>\n", x_of(r), HEIGHT - BOTTOM + 18,
                100.0 * r);
    fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">tokens at which the model hesitates</text>\n",
            x_of(0.5), HEIGHT - 10);
}

static void put_curve(FILE *out, const figure *f, int n, const char *schedule, int k, int threads, int index,
                      double most)
{
    static const char *const colours[] = {"#888", "#1b7f4d", "#1f5fbf", "#c0a000", "#d06000", "#a02060"};
    const char *colour = colours[index % 6];
    double last = 0.0;
    int i, started = 0;
    fputs("<path fill=\"none\" stroke-width=\"2\" stroke=\"", out);
    fprintf(out, "%s\" d=\"", colour);
    for (i = 0; i < n; i++) {
        if (!is_curve(&f[i], schedule, k, threads)) continue;
        fprintf(out, "%s%.1f %.1f", started++ ? "L" : "M", x_of(f[i].hesitation), y_of(f[i].ratio, most));
        last = f[i].ratio;
    }
    fprintf(out, "\"/>\n<text x=\"%d\" y=\"%d\" fill=\"%s\">%s, K = %d: x%.2f</text>\n", WIDTH - RIGHT + 6,
            TOP + 16 + 18 * index, colour, schedule, k, last);
}

static void put_plot(FILE *out, const char *title, const figure *figures, int n)
{
    static const char *const schedules[] = {"lazy", "fused", "auto"};
    double most = 1.2;
    int i, k, index = 0, threads = 0; /* the curves are those of the most threads */
    for (i = 0; i < n; i++) {
        if (threads < figures[i].threads) threads = figures[i].threads;
        if (most < figures[i].ratio) most = figures[i].ratio;
    }
    put_axes(out, title, most);
    for (k = 1; k <= 3; k += 2)
        for (i = 0; i < 3; i++) put_curve(out, figures, n, schedules[i], k, threads, index++, most);
    fputs("</svg>\n", out);
}

int plot_write(const char *path, const char *title, const figure *figures, int n)
{
    FILE *out = host_fopen(path, "wb");
    int failed;
    if (out) put_plot(out, title, figures, n);
    failed = !out || ferror(out);
    if (out && fclose(out) != 0) failed = 1;
    if (failed) fprintf(stderr, "harp-bench: %s: the plot cannot be written: %s\n", path, strerror(errno));
    return failed;
}
