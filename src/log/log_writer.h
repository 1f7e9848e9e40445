/* The writer: frames from the gathering one to the acknowledged one. A state machine without a thread of its own; the
 * driver's turns move it. Guarded by the log's mutex, but for the operations in flight, which belong to the queue.
 *
 *   gathering ── seal ──→ sealed ── submit ──→ in flight ── complete ──→ written ── sync ──→ durable
 *   appends encode here   waits for a slot    at most                    in stream order:    (policies that do not
 *                         and its segment     writes_in_flight_max       acknowledged        write durably)
 *
 * Two writes in flight keep both the device and the processor busy when they are about equal. So a frame takes at most
 * half of what was outstanding lately, and a frame that is small beside what is in flight gathers on.
 *
 * Invariants
 *   - A write is acknowledged only when every earlier one is (policy batch and always: durable).
 *   - The trailer of a frame declares the position up to which all was durable when the frame was sealed.
 *   - After the first failed write or sync nothing is submitted any more, and nothing is acknowledged. */
#ifndef LOG_LOG_WRITER_H
#define LOG_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "io/io.h"
#include "log/log_frame.h"
#include "log/log_group.h"
#include "log/log_pool.h"
#include "log/log_segment.h"
#include "log/log_stages.h"
#include "log/log_tail_cache.h"

#define LOG_WRITER_IDLE_NS            UINT64_C(5000000)  /* then a bare trailer is written: it lands within 10 ms */
#define LOG_WRITER_SPLIT_SIZE_MIN     (48u << 10)        /* frames are not made smaller than this on purpose */
#define LOG_WRITER_PEAK_DECAY         16u                /* of queued_peak_bytes, forgotten with each frame */
#define LOG_WRITER_HOLD_SIZE_MIN      (32u << 10)        /* behind a smaller write in flight nothing is held back */
#define LOG_WRITER_HOLD_SHARE         4u                 /* of what is in flight: less than that is held back */
#define LOG_WRITER_ENOUGH_SIZE_MIN    (128u << 10)       /* one in flight: what gathers waits for it to end … */
#define LOG_WRITER_ENOUGH_SIZE_MAX    (256u << 10)       /* … unless it is that much */
#define LOG_WRITER_TRAILER_RETRY_NS   UINT64_C(50000000) /* there was no block for it */
#define LOG_WRITER_GIVING_UP_SIZE     (2 * LOG_FORMAT_BLOCK_SIZE) /* two trailers */
#define LOG_WRITER_UNSYNCED_BYTES_MAX (16u << 20) /* policy none syncs now and then, so that its books end */

struct log_waiter {
    hf_log_done *done;
    void *arg;
};
struct log_waiter_list {
    struct log_waiter *items;
    size_t count;
    size_t capacity;
};
/* What a write makes durable: this group up to this index. */
struct log_ack {
    struct log_group *group;
    uint64_t last;
};

enum log_write_state { LOG_WRITE_SEALED, LOG_WRITE_IN_FLIGHT, LOG_WRITE_WRITTEN };

struct log_write {
    struct list link; /* in stream order, or among the unused */
    struct log_frame_builder builder;
    struct log_segment *segment;
    struct log_chunk *chunk;
    enum log_write_state state;
    bool bare;
    bool moves;     /* begun for what the collector moves */
    bool must_sync; /* holds a term, a vote or a reset: durable before it is acknowledged, whatever the policy */
    bool acknowledged;
    bool synced;
    uint64_t length;
    uint64_t declares;        /* its trailer's durable position */
    uint64_t declares_oldest; /* its trailer's oldest segment */
    uint64_t opened_ns;
    uint64_t entry_count;
    uint64_t byte_count; /* encoded, without the frame's own */
    struct log_waiter *waiters;
    size_t waiter_count;
    size_t waiter_capacity;
    struct log_waiter_list written; /* relaxed policies: who asked for HF_LOG_ACK_WRITTEN, and for HF_LOG_ACK_DURABLE */
    struct log_waiter_list durable;
    struct log_ack *acks;
    size_t ack_count;
    size_t ack_capacity;
    struct io_operation operation;
};

static inline uint64_t log_write_end(const struct log_write *write)
{
    return write->builder.place.position + write->length;
}

/* A waiter whose turn has come. */
struct log_ready {
    struct log_waiter waiter;
    int result;
};
struct log_ready_list {
    struct log_ready *items;
    size_t count;
    size_t capacity;
};

struct log_sync {
    struct io_operation operation;
    bool busy;
    struct log_segment *segment;
    uint64_t target_position;
    uint64_t bytes; /* that were written since the one before */
};

struct log_writer {
    struct io *io;
    struct io_queue *queue;
    struct log_tail_cache *cache;
    struct log_pool *pool;
    struct log_segment_table *segments;
    struct log_stages *stages;
    enum hf_log_sync_policy policy;
    uint32_t writes_in_flight_max;
    uint64_t write_size_max_bytes;
    uint64_t sync_interval_ns;
    uint64_t reserve_bytes;

    struct log_segment *tail; /* the segment that the next frame begins in, at tail_offset */
    uint64_t tail_offset;
    uint64_t tail_position;
    uint64_t sequence_next;
    struct log_write *gathering; /* NULL: none */
    struct log_runs runs;        /* of the frame that gathers */
    struct list writes;          /* sealed to written */
    struct list unused;
    struct log_sync sync;
    unsigned in_flight;
    uint64_t in_flight_bytes;

    uint64_t durable_position;     /* every byte of the stream before it survives power loss */
    uint64_t declared_position;    /* what a durable trailer says of that */
    uint64_t declared_oldest;      /* the oldest segment that two durable trailers say is needed: one may be lost */
    uint64_t declared_oldest_once; /* that one of them says is */
    uint64_t data_end_position;    /* the end of the last frame that is not bare */
    uint64_t idle_since_ns;        /* when the last data became durable */
    uint64_t unsynced_since_ns;    /* relaxed policies: of the first write that no sync covers; 0: none */
    uint64_t unsynced_bytes;
    bool sync_wanted;
    uint64_t sync_wish_position; /* relaxed policies: the end of the last write that somebody wants to be synced */

    uint64_t queued_entries;
    uint64_t queued_bytes;
    uint64_t queued_peak_bytes; /* what it was lately */

    struct log_ready_list ready;
    int failure; /* 0 or HF_EPOISONED */
    char failure_text[256];

    uint64_t writes_count;
    uint64_t written_bytes;
};

void log_writer_open(struct log_writer *writer);  /* the fields up to reserve_bytes and the tail are set */
void log_writer_close(struct log_writer *writer); /* nothing in flight */

/* Makes room in the gathering frame for records of `size` bytes. Essential ones may use the headroom, but for its last
 * blocks: those are for the trailers that give segments up, which bring space back. HF_ENOSPACE, HF_EBUSY: nothing
 * changed. */
enum log_writer_room {
    LOG_WRITER_ORDINARY,
    LOG_WRITER_ESSENTIAL,
    LOG_WRITER_MOVING, /* essential; what is moved shares frames under every policy, or it would never take less room */
    LOG_WRITER_GIVING_UP
};
int log_writer_make_room(struct log_writer *writer, uint64_t size, enum log_writer_room kind);
/* Notes on the gathering frame. */
void log_writer_note_ack(struct log_writer *writer, struct log_group *group, uint64_t last);
/* Entries ≥ from of the group are no longer what a pending write makes durable. */
void log_writer_forget_acks(struct log_writer *writer, const struct log_group *group, uint64_t from);
/* Calls the waiter when everything appended so far is acknowledged in that sense. */
void log_writer_wait(struct log_writer *writer, struct log_waiter waiter, enum hf_log_acknowledge acknowledge);
void log_writer_seal(struct log_writer *writer); /* no-op when nothing gathers */
/* Once durable_position has come here, everything that was placed so far is durable. */
uint64_t log_writer_placed_position(const struct log_writer *writer);
/* Bytes that essential records can still be placed in, on the device and in segments that are ready. */
uint64_t log_writer_room(struct log_writer *writer);

/* Driver. */
void log_writer_complete(struct log_writer *writer, struct io_operation *operation, uint64_t now_ns);
void log_writer_advance(struct log_writer *writer, uint64_t now_ns); /* acknowledges what can be */
void log_writer_submit(struct log_writer *writer, uint64_t now_ns);  /* starts what can be started */
/* Frames are full and wait to be started. */
bool log_writer_has_sealed(const struct log_writer *writer);
/* Starts those that can be, and lets the frame that gathers gather on. True when there was one. */
bool log_writer_submit_sealed(struct log_writer *writer, uint64_t now_ns);
/* A frame of at most size_max bytes gathers, nothing comes before it, and it may be written durably now. */
bool log_writer_has_small(const struct log_writer *writer, uint64_t size_max);
/* Then: seals it and hands it over, to be written by log_writer_write_alone and completed. Thread: any. */
struct log_write *log_writer_take_small(struct log_writer *writer, uint64_t now_ns);
void log_writer_write_alone(struct log_write *write, struct io *io); /* without the mutex */
void log_writer_poison(struct log_writer *writer, int code, const char *text);
/* Everything that waits is handed `result`. */
void log_writer_fail_waiters(struct log_writer *writer, int result);

bool log_writer_is_idle(const struct log_writer *writer);         /* nothing pending at all */
bool log_writer_has_work(const struct log_writer *writer);        /* a turn could submit or call back something now */
bool log_writer_trailer_missing(const struct log_writer *writer); /* durable data that no durable trailer
                                                                   * declares, or a segment that was given up */
void log_writer_write_trailer(struct log_writer *writer);
uint64_t log_writer_deadline_ns(const struct log_writer *writer);
uint64_t log_writer_oldest_ns(const struct log_writer *writer); /* when the oldest pending frame was begun; 0: none */
uint64_t log_writer_capacity(const struct log_writer *writer);  /* for ordinary appends */

#endif
