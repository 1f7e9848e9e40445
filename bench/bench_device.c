/* links: io */
/* The device's own floor: durable writes of one size, one after another, into blocks that were written before, by
 * nothing but pwritev2(RWF_DSYNC) on a file opened with O_DIRECT. Prints one JSON object.
 *
 *   bench_device DIRECTORY SIZE_BYTES SECONDS [handed]
 *
 * `handed`: another thread makes the writes; it and the one that asks for them wake each other, as any program would
 * have it. What such a hand-over costs on this machine. */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/histogram.h"
#include "base/semaphore.h"
#include "holdfast/error.h"
#include "io/io.h"
#include "io/thread.h"

#define AREA_SIZE (64u << 20)

static int area_write(struct file *file, const void *block, size_t size)
{
    int rc = 0;
    for (uint64_t offset = 0; offset + size <= AREA_SIZE && rc == 0; offset += size) {
        rc = file_write(file, offset, block, size);
    }
    return rc == 0 ? file_sync(file) : rc;
}

/* One write at a time, made by the thread that asks for it or by another one. */
struct writer {
    struct file *file;
    const void *block;
    size_t size;
    uint64_t offset;
    int result;
    bool handed;
    bool stopped;
    struct semaphore asked;
    struct semaphore done;
};

static void *writer_run(void *arg)
{
    struct writer *writer = arg;
    semaphore_wait(&writer->asked);
    while (!writer->stopped) {
        writer->result = file_write_durable(writer->file, writer->offset, writer->block, writer->size);
        semaphore_post(&writer->done);
        semaphore_wait(&writer->asked);
    }
    return NULL;
}

static int writer_write(struct writer *writer)
{
    if (!writer->handed) {
        return file_write_durable(writer->file, writer->offset, writer->block, writer->size);
    }
    semaphore_post(&writer->asked);
    semaphore_wait(&writer->done);
    return writer->result;
}

static void writer_stop(struct writer *writer)
{
    writer->stopped = true;
    semaphore_post(&writer->asked);
}

static int measure(struct io *io, struct writer *writer, double seconds)
{
    struct histogram *latency = memory_new(sizeof(*latency));
    uint64_t started = io_monotonic_ns(io), now = started;
    int rc = 0;
    while (rc == 0 && (double)(now - started) < seconds * 1e9) {
        rc = writer_write(writer);
        uint64_t after = io_monotonic_ns(io);
        histogram_record(latency, after - now);
        now = after;
        writer->offset = writer->offset + 2 * writer->size <= AREA_SIZE ? writer->offset + writer->size : 0;
    }
    printf("{\"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"direct\": %s}\n",
           (double)latency->count / ((double)(now - started) / 1e9), (double)histogram_quantile(latency, 0.5) / 1e3,
           (double)histogram_quantile(latency, 0.99) / 1e3, (double)histogram_quantile(latency, 0.999) / 1e3,
           file_is_direct(writer->file) ? "true" : "false");
    free(latency);
    return rc;
}

static int measure_with(struct io *io, struct writer *writer, double seconds)
{
    pthread_t thread;
    semaphore_init(&writer->asked);
    semaphore_init(&writer->done);
    int rc = writer->handed ? thread_start("writer", writer_run, writer, &thread) : 0;
    bool started = writer->handed && rc == 0;
    rc = rc == 0 ? measure(io, writer, seconds) : rc;
    if (started) {
        writer_stop(writer);
        pthread_join(thread, NULL);
    }
    semaphore_close(&writer->asked);
    semaphore_close(&writer->done);
    return rc;
}

int main(int argc, char **argv)
{
    struct io *io = NULL;
    struct file *file = NULL;
    bool handed = argc == 5 && strcmp(argv[4], "handed") == 0;
    if (argc != 4 && !handed) {
        fprintf(stderr, "usage: bench_device DIRECTORY SIZE_BYTES SECONDS [handed]\n");
        return 2;
    }
    size_t size = (size_t)strtoull(argv[2], NULL, 10);
    char *path = text_format("%s/device.bench", argv[1]);
    void *block = aligned_alloc(IO_BLOCK_SIZE, size);
    memset(block, 0x5a, size);
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc == 0) {
        rc = file_open(io, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT, &file);
    }
    if (rc == 0) {
        rc = area_write(file, block, size);
    }
    if (rc == 0) {
        struct writer writer = {.file = file, .block = block, .size = size, .handed = handed};
        rc = measure_with(io, &writer, strtod(argv[3], NULL));
    }
    if (rc != 0) {
        fprintf(stderr, "error: %s\n", hf_error_text());
    }
    file_close(file);
    if (io != NULL) {
        (void)path_unlink(io, path);
    }
    io_close(io);
    free(block);
    free(path);
    return rc == 0 ? 0 : 1;
}
