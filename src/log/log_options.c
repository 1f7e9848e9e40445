#include "log/log_options.h"

#include <inttypes.h>

#include "base/error.h"
#include "log/log_format.h"
#include "log/log_index.h"

#define LOG_SEGMENT_SIZE_MIN     (UINT64_C(1) << 20)
#define LOG_SEGMENT_SIZE_MIN_SIM (UINT64_C(1) << 16) /* log_open: small disks, many rotations */
#define LOG_SEGMENT_SIZE_MAX     (UINT64_C(4) << 30)
#define LOG_WRITE_SIZE_MIN       (64u << 10)
#define LOG_WRITE_SIZE_MAX       (16u << 20)
#define LOG_WRITES_IN_FLIGHT_MAX 16u
#define LOG_RECYCLE_SEGMENTS_MAX 4u
#define LOG_OPEN_RETRIES_MAX     1000u
#define LOG_OPEN_RETRY_MS_MAX    60000u

void hf_log_options_init(struct hf_log_options *options)
{
    *options = (struct hf_log_options){
        .segment_size_bytes = UINT64_C(64) << 20,
        .write_size_max_bytes = 1u << 20,
        .writes_in_flight_max = 2,
        .queue_entries_max = 10000,
        .queue_bytes_max = UINT64_C(256) << 20,
        .tail_cache_bytes = UINT64_C(64) << 20,
        .recycle_segments_max = 2,
        .reserve_bytes = UINT64_C(8) << 20,
        .sync_interval_ms = 100,
        .delete_scan_ms = 10000,
        .delete_delay_ms = 60000,
        .stall_ms = 1000,
        .memory_entries_max = 100000,
        .memory_bytes_max = UINT64_C(1) << 30,
        .read_ahead_bytes = 256u << 10,
        .index_block_entries = LOG_INDEX_BLOCK_ENTRIES_DEFAULT,
        .open_retry_ms = 100,
    };
}

static uint64_t log_options_or(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

static int log_options_check_one(const char *name, uint64_t value, uint64_t min, uint64_t max)
{
    if (value < min || value > max) {
        return error_raise(HF_EINVALID, "option %s is %" PRIu64 ", allowed are %" PRIu64 " … %" PRIu64, name, value,
                           min, max);
    }
    return 0;
}

int log_options_set(struct hf_log_options *options, const struct hf_log_options *given)
{
    struct hf_log_options fallback;
    hf_log_options_init(&fallback);
    *options = given != NULL ? *given : fallback;
    options->segment_size_bytes = log_options_or(options->segment_size_bytes, fallback.segment_size_bytes);
    options->write_size_max_bytes =
        (uint32_t)log_options_or(options->write_size_max_bytes, fallback.write_size_max_bytes);
    options->writes_in_flight_max =
        (uint32_t)log_options_or(options->writes_in_flight_max, fallback.writes_in_flight_max);
    options->queue_entries_max = log_options_or(options->queue_entries_max, fallback.queue_entries_max);
    options->queue_bytes_max = log_options_or(options->queue_bytes_max, fallback.queue_bytes_max);
    options->tail_cache_bytes = log_options_or(options->tail_cache_bytes, fallback.tail_cache_bytes);
    options->recycle_segments_max =
        (uint32_t)log_options_or(options->recycle_segments_max, fallback.recycle_segments_max);
    options->reserve_bytes = log_options_or(options->reserve_bytes, fallback.reserve_bytes);
    options->sync_interval_ms = (uint32_t)log_options_or(options->sync_interval_ms, fallback.sync_interval_ms);
    options->delete_scan_ms = (uint32_t)log_options_or(options->delete_scan_ms, fallback.delete_scan_ms);
    options->delete_delay_ms = (uint32_t)log_options_or(options->delete_delay_ms, fallback.delete_delay_ms);
    options->stall_ms = (uint32_t)log_options_or(options->stall_ms, fallback.stall_ms);
    options->memory_entries_max = log_options_or(options->memory_entries_max, fallback.memory_entries_max);
    options->memory_bytes_max = log_options_or(options->memory_bytes_max, fallback.memory_bytes_max);
    options->read_ahead_bytes = (uint32_t)log_options_or(options->read_ahead_bytes, fallback.read_ahead_bytes);
    options->index_block_entries = (uint32_t)log_options_or(options->index_block_entries, fallback.index_block_entries);
    options->open_retry_ms = (uint32_t)log_options_or(options->open_retry_ms, fallback.open_retry_ms);
    struct {
        const char *name;
        uint64_t value, min, max;
    } checks[] = {
        {"segment_size_bytes", options->segment_size_bytes, LOG_SEGMENT_SIZE_MIN_SIM, LOG_SEGMENT_SIZE_MAX},
        {"write_size_max_bytes", options->write_size_max_bytes, LOG_WRITE_SIZE_MIN, LOG_WRITE_SIZE_MAX},
        {"writes_in_flight_max", options->writes_in_flight_max, 1, LOG_WRITES_IN_FLIGHT_MAX},
        {"recycle_segments_max", options->recycle_segments_max, 1, LOG_RECYCLE_SEGMENTS_MAX},
        {"sync_policy", (uint64_t)options->sync_policy, 0, HF_LOG_SYNC_NONE},
        {"driver", (uint64_t)options->driver, 0, HF_LOG_DRIVE_CALLER},
        {"io", (uint64_t)options->io, 0, HF_LOG_IO_THREADS},
        {"direct", (uint64_t)options->direct, 0, HF_LOG_DIRECT_OFF},
        {"backend", (uint64_t)options->backend, 0, HF_LOG_MEMORY},
        {"when_full", (uint64_t)options->when_full, 0, HF_LOG_FULL_DROP_APPLIED},
        {"read_ahead_bytes", options->read_ahead_bytes, LOG_READ_AHEAD_MIN, LOG_READ_AHEAD_MAX},
        {"index_block_entries", options->index_block_entries, LOG_INDEX_BLOCK_ENTRIES_MIN, LOG_INDEX_BLOCK_ENTRIES_MAX},
        {"open_retries_max", options->open_retries_max, 0, LOG_OPEN_RETRIES_MAX},
        {"open_retry_ms", options->open_retry_ms, 1, LOG_OPEN_RETRY_MS_MAX},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && rc == 0; i++) {
        rc = log_options_check_one(checks[i].name, checks[i].value, checks[i].min, checks[i].max);
    }
    if (rc == 0 && (options->index_block_entries & (options->index_block_entries - 1)) != 0) {
        rc = error_raise(HF_EINVALID, "option index_block_entries is %" PRIu32 ", and must be a power of two",
                         options->index_block_entries);
    }
    if (rc == 0 && options->backend == HF_LOG_MEMORY && options->read_only) {
        rc = error_raise(HF_EINVALID, "a memory log has nothing to be read only");
    }
    options->segment_size_bytes = log_format_align_block(options->segment_size_bytes);
    options->write_size_max_bytes = (uint32_t)log_format_align_block(options->write_size_max_bytes);
    return rc;
}

int log_options_check(const struct hf_log_options *given)
{
    struct hf_log_options options;
    uint64_t asked = given != NULL ? given->segment_size_bytes : 0;
    int rc = 0;
    if (asked != 0) { /* first, since log_options_set has the simulator's limits */
        rc = log_options_check_one("segment_size_bytes", asked, LOG_SEGMENT_SIZE_MIN, LOG_SEGMENT_SIZE_MAX);
    }
    return rc == 0 ? log_options_set(&options, given) : rc;
}
