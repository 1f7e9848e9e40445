/* links: io */
/* The device's own floor: durable writes of one size, one after another, into blocks that were written before, by
 * nothing but pwritev2(RWF_DSYNC) on a file opened with O_DIRECT. Prints one JSON object.
 *
 *   bench_device DIRECTORY SIZE_BYTES SECONDS */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/histogram.h"
#include "holdfast/error.h"
#include "io/io.h"

#define AREA_SIZE (64u << 20)

static int area_write(struct file *file, const void *block, size_t size)
{
    int rc = 0;
    for (uint64_t offset = 0; offset + size <= AREA_SIZE && rc == 0; offset += size) {
        rc = file_write(file, offset, block, size);
    }
    return rc == 0 ? file_sync(file) : rc;
}

static int measure(struct io *io, struct file *file, const void *block, size_t size, double seconds)
{
    struct histogram *latency = memory_new(sizeof(*latency));
    uint64_t started = io_monotonic_ns(io), now = started, offset = 0;
    int rc = 0;
    while (rc == 0 && (double)(now - started) < seconds * 1e9) {
        rc = file_write_durable(file, offset, block, size);
        uint64_t after = io_monotonic_ns(io);
        histogram_record(latency, after - now);
        now = after;
        offset = offset + 2 * size <= AREA_SIZE ? offset + size : 0;
    }
    printf("{\"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"direct\": %s}\n",
           (double)latency->count / ((double)(now - started) / 1e9), (double)histogram_quantile(latency, 0.5) / 1e3,
           (double)histogram_quantile(latency, 0.99) / 1e3, (double)histogram_quantile(latency, 0.999) / 1e3,
           file_is_direct(file) ? "true" : "false");
    free(latency);
    return rc;
}

int main(int argc, char **argv)
{
    struct io *io = NULL;
    struct file *file = NULL;
    if (argc != 4) {
        fprintf(stderr, "usage: bench_device DIRECTORY SIZE_BYTES SECONDS\n");
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
        rc = measure(io, file, block, size, strtod(argv[3], NULL));
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
