#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "io/io.h"

#define PROGRESS_INTERVAL_NS 100000000ull
#define PROGRESS_BAR_WIDTH   32u

struct progress {
    enum verb_progress mode;
    const char *what;
    struct io *io; /* for its clock */
    uint64_t started_ns;
    uint64_t drawn_ns;
};

struct progress *progress_open(const struct verb_common *common, const char *what)
{
    struct progress *progress = memory_new(sizeof(*progress));
    progress->what = what;
    progress->mode = common->progress;
    if (progress->mode == VERB_PROGRESS_AUTO) {
        progress->mode = isatty(STDERR_FILENO) && !common->quiet ? VERB_PROGRESS_BAR : VERB_PROGRESS_NONE;
    }
    if (progress->mode != VERB_PROGRESS_NONE && io_open_kernel(IO_BACKEND_THREADS, &progress->io) != 0) {
        progress->mode = VERB_PROGRESS_NONE;
    }
    if (progress->io != NULL) {
        progress->started_ns = io_monotonic_ns(progress->io);
    }
    return progress;
}

static void progress_draw(const struct progress *progress, uint64_t done, uint64_t total, uint64_t elapsed_ns)
{
    double seconds = (double)elapsed_ns / 1e9;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    double left = rate > 0 && total > done ? (double)(total - done) / rate : 0;
    if (progress->mode == VERB_PROGRESS_JSON) {
        fprintf(stderr, "{\"progress\": \"%s\", \"done\": %" PRIu64 ", \"total\": %" PRIu64 ", \"seconds\": %.1f}\n",
                progress->what, done, total, seconds);
        return;
    }
    char bar[PROGRESS_BAR_WIDTH + 1];
    unsigned filled = total > 0 ? (unsigned)((double)done / (double)total * PROGRESS_BAR_WIDTH) : 0;
    for (unsigned i = 0; i < PROGRESS_BAR_WIDTH; i++) {
        bar[i] = i < filled ? '#' : '.';
    }
    bar[PROGRESS_BAR_WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %.1f/%.1f MiB  %.1f MiB/s  %.0f s left \x1b[K", progress->what, bar,
            (double)done / 1048576, (double)total / 1048576, rate / 1048576, left);
}

void progress_update(struct progress *progress, uint64_t done, uint64_t total)
{
    if (progress == NULL || progress->mode == VERB_PROGRESS_NONE) {
        return;
    }
    uint64_t now = io_monotonic_ns(progress->io);
    if (now - progress->drawn_ns < PROGRESS_INTERVAL_NS && done != total) {
        return;
    }
    progress->drawn_ns = now;
    progress_draw(progress, done, total, now - progress->started_ns);
}

void progress_close(struct progress *progress)
{
    if (progress == NULL) {
        return;
    }
    if (progress->mode == VERB_PROGRESS_BAR) {
        fprintf(stderr, "\r\x1b[K");
    }
    io_close(progress->io);
    free(progress);
}
