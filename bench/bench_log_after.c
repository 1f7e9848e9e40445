/* links: log */
/* What a log of many entries costs after a crash: opening, memory, reading. A child appends the entries and is killed;
 * then this program opens the log and reads. Prints one JSON object.
 *
 *   bench_log_after DIRECTORY ENTRIES PAYLOAD_BYTES */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "closed_loop.h"
#include "log/log.h"

#define BATCH_ENTRIES  1024u
#define CACHED_READS   200000u
#define COLD_READS     2000u
#define CATCH_UP_BYTES (4u << 20)
#define SEGMENTS_MAX   4096u
#define RAW_BLOCK_SIZE 4096u

/* ---- the child ---- */

static int fill(const char *directory, uint64_t entry_count, size_t payload_size)
{
    struct hf_log *log = NULL;
    struct hf_log_batch *batch = NULL;
    struct hf_entry entries[BATCH_ENTRIES];
    uint8_t *payload = memory_new(payload_size + 1);
    struct hf_log_options options;
    hf_log_options_init(&options);
    options.driver = HF_LOG_DRIVE_CALLER;
    int rc = hf_log_open(directory, &options, &log);
    rc = rc == 0 ? hf_log_batch_open(&batch) : rc;
    for (uint64_t index = 1; index <= entry_count && rc == 0;) {
        size_t count = 0;
        for (; count < BATCH_ENTRIES && index <= entry_count; count++) {
            entries[count] = (struct hf_entry){
                .index = index++, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, payload_size)};
        }
        hf_log_batch_clear(batch);
        rc = hf_log_batch_append(batch, 1, entries, count);
        rc = rc == 0 ? hf_log_append_wait(log, batch) : rc;
    }
    if (rc != 0) {
        fprintf(stderr, "error: %s\n", hf_error_text());
        return rc;
    }
    return kill(getpid(), SIGKILL); /* no close: as after a crash */
}

static int fill_and_crash(const char *directory, uint64_t entry_count, size_t payload_size)
{
    pid_t child = fork();
    if (child == 0) {
        _exit(fill(directory, entry_count, payload_size) == 0 ? 0 : 1);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) {
        return error_raise(HF_EIO, "the child that fills the log failed");
    }
    return 0;
}

/* ---- measuring ---- */

static uint64_t resident_bytes(void)
{
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL && fscanf(file, "%lu %lu", &total, &resident) != 2) {
        resident = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The segments, so that they can be dropped from the page cache and read raw. */
struct files {
    int descriptors[SEGMENTS_MAX]; /* past the cache */
    uint64_t sizes[SEGMENTS_MAX];
    size_t count;
};

static void files_open(struct files *files, const char *directory)
{
    DIR *folder = opendir(directory);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL && files->count < SEGMENTS_MAX;) {
        struct stat status;
        char *path = text_format("%s/%s", directory, entry->d_name);
        size_t length = strlen(entry->d_name);
        if (length > 4 && strcmp(entry->d_name + length - 4, ".log") == 0 && stat(path, &status) == 0) {
            int descriptor = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
            if (descriptor >= 0) {
                files->descriptors[files->count] = descriptor;
                files->sizes[files->count++] = (uint64_t)status.st_size;
            }
        }
        free(path);
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

static void files_drop_cache(const struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        (void)posix_fadvise(files->descriptors[i], 0, 0, POSIX_FADV_DONTNEED);
    }
}

static void files_close(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        close(files->descriptors[i]);
    }
}

static int read_one(struct hf_log *log, struct hf_log_view *view, uint64_t index)
{
    int rc = hf_log_read(log, 1, index, index + 1, 0, 0, view);
    hf_log_view_close(view);
    return rc;
}

/* Nanoseconds of one read of an entry that is in the tail cache, views opened and closed. */
static int measure_cached(struct hf_log *log, uint64_t last, double *ns)
{
    struct hf_log_view view = {0};
    struct hf_log_batch *batch = NULL;
    const struct hf_entry entry = {.index = last + 1, .term = 1, .type = HF_ENTRY_NORMAL, .payload = {"cached", 6}};
    int rc = hf_log_batch_open(&batch);
    for (uint64_t i = 0; i < 100 && rc == 0; i++) {
        struct hf_entry next = entry;
        next.index += i;
        hf_log_batch_clear(batch);
        rc = hf_log_batch_append(batch, 1, &next, 1);
        rc = rc == 0 ? hf_log_append_wait(log, batch) : rc;
    }
    uint64_t started_ns = closed_loop_now_ns();
    for (uint64_t i = 0; i < CACHED_READS && rc == 0; i++) {
        rc = read_one(log, &view, last + 1 + i * 7 % 100);
    }
    *ns = (double)(closed_loop_now_ns() - started_ns) / CACHED_READS;
    hf_log_batch_close(batch);
    return rc;
}

/* One entry that is nowhere in memory, and one raw 4 KiB past the cache, in turns. */
static int measure_cold(struct hf_log *log, const struct files *files, uint64_t last, struct histogram *ours,
                        struct histogram *raw)
{
    struct hf_log_view view = {0};
    struct rng rng;
    void *block = aligned_alloc(RAW_BLOCK_SIZE, RAW_BLOCK_SIZE);
    int rc = 0;
    rng_seed(&rng, 1);
    for (unsigned i = 0; i < COLD_READS && rc == 0 && files->count > 0; i++) {
        if (i % 100 == 0) {
            files_drop_cache(files);
        }
        uint64_t started_ns = closed_loop_now_ns();
        rc = read_one(log, &view, 1 + rng_below(&rng, last));
        uint64_t between_ns = closed_loop_now_ns();
        size_t file = (size_t)rng_below(&rng, files->count);
        off_t offset = (off_t)(rng_below(&rng, files->sizes[file] / RAW_BLOCK_SIZE) * RAW_BLOCK_SIZE);
        ssize_t got = pread(files->descriptors[file], block, RAW_BLOCK_SIZE, offset);
        if (got == (ssize_t)RAW_BLOCK_SIZE) {
            histogram_record(raw, closed_loop_now_ns() - between_ns);
        }
        histogram_record(ours, between_ns - started_ns);
    }
    free(block);
    return rc;
}

/* Bytes of payload per second, in order. */
static int catch_up(struct hf_log *log, uint64_t last, double *bytes_per_second)
{
    struct hf_log_view view = {0};
    uint64_t bytes = 0, started_ns = closed_loop_now_ns();
    int rc = 0;
    for (uint64_t index = 1; index <= last && rc == 0;) {
        rc = hf_log_read(log, 1, index, last + 1, CATCH_UP_BYTES, 0, &view);
        for (size_t i = 0; i < view.count; i++) {
            bytes += view.entries[i].payload.size;
        }
        index += view.count;
        hf_log_view_close(&view);
    }
    *bytes_per_second = (double)bytes / ((double)(closed_loop_now_ns() - started_ns) / 1e9);
    return rc;
}

static int measure(const char *directory, uint64_t entry_count, size_t payload_size)
{
    struct hf_log *log = NULL;
    struct files *files = memory_new(sizeof(*files));
    struct histogram *ours = memory_new(sizeof(*ours)), *raw = memory_new(sizeof(*raw));
    struct hf_log_options options;
    double cached_ns = 0, warming = 0, warm = 0;
    hf_log_options_init(&options);
    options.driver = HF_LOG_DRIVE_CALLER;
    uint64_t resident_before = resident_bytes(), started_ns = closed_loop_now_ns();
    int rc = hf_log_open(directory, &options, &log);
    uint64_t opened_ns = closed_loop_now_ns() - started_ns;
    uint64_t resident_open = resident_bytes();
    files_open(files, directory);
    rc = rc == 0 ? measure_cold(log, files, entry_count, ours, raw) : rc;
    rc = rc == 0 ? catch_up(log, entry_count, &warming) : rc;
    rc = rc == 0 ? catch_up(log, entry_count, &warm) : rc;
    rc = rc == 0 ? measure_cached(log, entry_count, &cached_ns) : rc;
    if (rc == 0) {
        printf("{\"entries\": %" PRIu64 ", \"payload\": %zu, \"reopen_ms\": %.2f, \"resident_bytes_per_entry\": %.2f, "
               "\"cached_read_ns\": %.1f, \"cold_read_us\": %.1f, \"raw_read_us\": %.1f, "
               "\"catch_up_first_bytes_per_second\": %.0f, \"catch_up_bytes_per_second\": %.0f}\n",
               entry_count, payload_size, (double)opened_ns / 1e6,
               (double)(resident_open - resident_before) / (double)entry_count, cached_ns,
               (double)histogram_quantile(ours, 0.5) / 1e3, (double)histogram_quantile(raw, 0.5) / 1e3, warming, warm);
    }
    files_close(files);
    hf_log_close(log);
    free(files);
    free(ours);
    free(raw);
    return rc;
}

int main(int argc, char **argv)
{
    uint64_t entry_count = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
    size_t payload_size = argc == 4 ? (size_t)strtoull(argv[3], NULL, 10) : 0;
    if (entry_count == 0 || payload_size > HF_LOG_PAYLOAD_SIZE_MAX) {
        fprintf(stderr, "usage: bench_log_after DIRECTORY ENTRIES PAYLOAD_BYTES\n");
        return 2;
    }
    int rc = fill_and_crash(argv[1], entry_count, payload_size);
    rc = rc == 0 ? measure(argv[1], entry_count, payload_size) : rc;
    if (rc != 0) {
        fprintf(stderr, "error: %s\n", hf_error_text());
    }
    return rc == 0 ? 0 : 1;
}
