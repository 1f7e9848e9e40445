/* The log as a whole: what struct hf_log is made of. Private to the room.
 *
 * One mutex guards everything here, with two exceptions: operations in flight belong to the queue, and pinned chunks
 * and segments may be read without it. Nothing is called out of the room while it is held but io/. Lock order: the
 * log's mutex, then nothing. */
#ifndef LOG_LOG_STATE_H
#define LOG_LOG_STATE_H

#include "base/mutex.h"
#include "io/io.h"
#include "log/log.h"
#include "log/log_collect.h"
#include "log/log_completion.h"
#include "log/log_damage.h"
#include "log/log_group.h"
#include "log/log_linger.h"
#include "log/log_memory.h"
#include "log/log_pace.h"
#include "log/log_pool.h"
#include "log/log_release.h"
#include "log/log_retain.h"
#include "log/log_seal.h"
#include "log/log_segment.h"
#include "log/log_stages.h"
#include "log/log_stall.h"
#include "log/log_tail_cache.h"
#include "log/log_warm.h"
#include "log/log_writer.h"

struct hf_log {
    struct io *io;
    bool io_owned;
    char *directory;
    struct hf_log_options options;
    struct file *lock_file;
    bool simulated; /* nothing can wait: the simulator drives */

    struct mutex mutex;
    struct log_groups groups;
    struct log_segment_table segments;
    struct log_tail_cache cache;
    struct log_pool pool;
    struct log_release release;
    struct log_collect collect;
    struct log_retain retain;
    struct log_seal seal;
    struct log_warm warm;
    struct log_writer writer;
    struct log_damages damages;
    bool lost_unknown; /* what was lost may be all that there was of a group */
    struct log_completions completions;
    struct log_stages stages;
    struct log_stall stall;
    struct log_linger linger;
    struct log_pace pace; /* of the writes made alone */
    uint64_t check_turn;
    uint64_t install_count; /* that were begun */
    uint64_t reserved_bytes;
    struct condition changed; /* told of every append and turn while somebody waits: for space, or for entries */
    unsigned changed_waiters;
    struct list iterators;     /* that are open */
    struct log_memory *memory; /* NULL: the log is in files */
    bool closing;
    bool drained;       /* closing, and the log's own thread has seen everything through */
    bool driver_asleep; /* the driver waits in io_queue_reap, or the caller's loop does: wake it */

    struct io_queue *queue;
    struct executor *executor;
    struct log_ready_list calling; /* the driver's: waiters whose callbacks run now */
    bool turning;                  /* the driver's */
    uint64_t driver_until_ns;      /* when it wakes by itself */
    uint64_t driver_thread;        /* log_thread_number of whoever ran the last turn; 0: nobody */

    uint64_t appended_entries;
    uint64_t appended_bytes;
    uint64_t recovery_ns;
    uint64_t torn_bytes;
};

#endif
