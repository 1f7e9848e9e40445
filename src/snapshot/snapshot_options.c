#include "snapshot/snapshot_options.h"

#include <inttypes.h>

#include "base/error.h"
#include "snapshot/snapshot_codec.h"

#define OPTIONS_CHUNK_SIZE       (256u << 10)
#define OPTIONS_SYNC_EVERY_BYTES (UINT64_C(32) << 20)
#define OPTIONS_RESERVE_BYTES    (UINT64_C(64) << 20)
#define OPTIONS_MEMORY_KEEP      3u

int snapshot_options_set_format(struct hf_snapshot_format *format, const struct hf_snapshot_format *given,
                                uint32_t chunk_size_min)
{
    struct hf_snapshot_format set = *format;
    if (given->compression != 0) {
        set.level = given->compression == format->compression ? format->level : 0;
        set.compression = given->compression;
    }
    set.level = given->level != 0 ? given->level : set.level;
    set.worker_threads = given->worker_threads != 0 ? given->worker_threads : set.worker_threads;
    set.chunk_size_bytes = given->chunk_size_bytes != 0 ? given->chunk_size_bytes : set.chunk_size_bytes;
    if (set.chunk_size_bytes < chunk_size_min || set.chunk_size_bytes > HF_SNAPSHOT_CHUNK_SIZE_MAX) {
        return error_raise(HF_EINVALID, "option chunk_size_bytes is %" PRIu32 ", allowed are %" PRIu32 " … %u",
                           set.chunk_size_bytes, chunk_size_min, HF_SNAPSHOT_CHUNK_SIZE_MAX);
    }
    if (set.worker_threads > HF_SNAPSHOT_WORKERS_MAX) {
        return error_raise(HF_EINVALID, "option worker_threads is %" PRIu32 ", at most %u", set.worker_threads,
                           HF_SNAPSHOT_WORKERS_MAX);
    }
    int rc = snapshot_codec_check(set.compression, set.level);
    if (rc == 0) {
        *format = set;
    }
    return rc;
}

int snapshot_options_set(struct hf_snapshot_options *options, const struct hf_snapshot_options *given,
                         uint32_t chunk_size_min)
{
    static const struct hf_snapshot_options none;
    given = given != NULL ? given : &none;
    *options = *given;
    options->format =
        (struct hf_snapshot_format){.compression = HF_SNAPSHOT_LZ4, .chunk_size_bytes = OPTIONS_CHUNK_SIZE};
    options->sync_every_bytes = given->sync_every_bytes != 0 ? given->sync_every_bytes : OPTIONS_SYNC_EVERY_BYTES;
    options->reserve_bytes = given->reserve_bytes != 0 ? given->reserve_bytes : OPTIONS_RESERVE_BYTES;
    options->memory_keep = given->memory_keep != 0 ? given->memory_keep : OPTIONS_MEMORY_KEEP;
    if (given->io > HF_SNAPSHOT_IO_THREADS) {
        return error_raise(HF_EINVALID, "option io is %d", (int)given->io);
    }
    return snapshot_options_set_format(&options->format, &given->format, chunk_size_min);
}
