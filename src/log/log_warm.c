#include "log/log_warm.h"

#include "base/mutation.h"
#include "log/log_state.h"
#include "log/log_tail_cache.h"

static int log_warm_work(void *arg)
{
    struct log_warm *warm = arg;
    warm->chunk = log_tail_cache_warm_chunk(warm->size);
    return 0;
}

void log_warm_start(struct hf_log *log)
{
    struct log_warm *warm = &log->warm;
    if (warm->busy || !log_tail_cache_wants_chunk(&log->cache)) {
        return;
    }
    warm->size = log->cache.chunk_size;
    warm->operation = (struct io_operation){.kind = IO_WORK,
                                            .work = log_warm_work,
                                            .arg = warm,
                                            .user = warm,
                                            .is_background = !MUTATED(LOG_CHUNK_BESIDE_APPENDS)};
    warm->busy = io_queue_submit(log->queue, &warm->operation) == 0;
}

void log_warm_finish(struct hf_log *log)
{
    struct log_warm *warm = &log->warm;
    warm->busy = false;
    if (warm->chunk != NULL) { /* else the work was not done: the device is gone, in the simulator */
        log_tail_cache_offer(&log->cache, warm->chunk);
        warm->chunk = NULL;
    }
}

void log_warm_close(struct log_warm *warm)
{
    log_tail_cache_free_chunk(warm->chunk);
    *warm = (struct log_warm){0};
}
