/* The on-disk format of the log, version 3. All integers are little-endian. Everything that is written is drawn here.
 *
 * A directory holds `LOCK`, `RESERVE` (blocks set aside, no content) and one file per segment, named by its number:
 * sixteen lower-case hexadecimal digits and ".log". The same with ".tmp" is a segment in preparation, which is worth
 * nothing. Other names are not ours.
 *
 *   segment file   ┌────────┬─────────┬─────────┬───────┬─────────────┐
 *                  │ header │ frame   │ frame   │  …    │ zeros       │   every frame starts on a block of 4096 bytes,
 *                  │ 1 block│ n blocks│ n blocks│       │ (prewritten)│   and no block is ever written twice
 *                  └────────┴─────────┴─────────┴───────┴─────────────┘
 *   frame          ┌────────┬────────┬────────┬────────┬───┬─────────┬───────┐
 *                  │ header │ record │ record │ record │ … │ trailer │ zeros │
 *                  │ 96     │ 8-aligned               │   │ 72      │       │
 *                  └────────┴────────┴────────┴────────┴───┴─────────┴───────┘
 *
 * The stream is the sequence of all frames; the *position* of a frame is the sum of the lengths of those before it.
 * One frame is one device write and carries whole batches: it is accepted whole or, when torn, not at all.
 *
 * ---- Segment header, block 0 of a file ----
 *    0  u64  magic "HFLOGSEG"
 *    8  u32  CRC-32C of bytes 12 … 4095 (place fixed for every version)
 *   12  u32  version
 *   16  u64  number, the one in the file's name; from 1
 *   24  u64  incarnation: 64 random bits of this life of the file, never 0
 *   32  u64  size of the file in bytes
 *   40  u64  log id: random, the same in all segments of a log
 *   48  u64  epoch: grows with every open of the log for writing
 *   56  u64  incarnation of the segment before; 0 in the first
 *   64  u64  position of its first frame; UINT64_MAX: where the segment before ends (spares are prepared early).
 *            A number ends the segment before at that position: what lies behind it there was copied here or is torn.
 *   72       zeros
 * Valid when the magic, the CRC, the version, the name, the log id and the chain to the segment before agree. A segment
 * whose epoch is below that of a segment with a lower number is a left-over of an earlier open.
 *
 * ---- Frame header ----
 *    0  u32  magic "HFFR"
 *    4  u32  CRC-32C of bytes 8 … 95
 *    8  u64  incarnation of the segment, in full; compared before any CRC, so that stale bytes are never believed
 *   16  u64  number of the segment
 *   24  u64  offset of the frame in the file
 *   32  u64  sequence: 1 for the log's first frame
 *   40  u64  position of the frame in the stream
 *   48  u32  length of the frame in bytes, a multiple of 4096
 *   52  u32  end of the trailer within the frame
 *   56  u32  number of records, the trailer included
 *   60  u32  flags: bit 0: nothing but a trailer
 *   64  u64  log id
 *   72  u64  epoch of the segment
 *   80  u64  incarnation of the segment before
 *   88  u64  zero
 *
 * ---- Record: header of 32 bytes, body, zeros up to a multiple of 8 ----
 *    0  u32  CRC-32C of byte 4 to the end of the body, from log_format_seed(segment incarnation, offset in file)
 *    4  u32  size of the body
 *    8  u8   kind
 *    9  u8   bits 0 … 5: type of the entry (enum hf_entry_type), 0 in records that are not entries
 *            bit 6: the timestamp does not fit; it is a u64 in front of the body, and its field is zero
 *            bit 7: a reader that does not know the kind may skip the record
 *   10  u48  timestamp in milliseconds
 *   16  u64  index
 *   24  u32  check of the group: log_format_group_check(group, group incarnation)
 *   28  u32  low half of the term
 *
 * A *run* record names the group, its incarnation and the term once for records that follow it in the frame. It takes
 * the slot (check of the group mod 256) from whichever run had it; another record belongs to the run in the slot of its
 * own check, which has that check and the low half of that term. So groups that take turns need one run record in a
 * frame, not one for every turn. The check and the low half of the term also say whose a record is when its run record
 * is lost.
 *
 * The first entry of a group in a frame is usually an *opening* append, which saves a record header.
 *
 * In version 1 every record belonged to the run record before it, which is the same when it is read by these rules. An
 * open for writing begins a segment of its own, so nothing is ever added to one of an older version.
 *
 *   kind            index                body
 *    1 run          the group's last     u64 group, u64 incarnation, u64 run number of the group (from 1, no gaps),
 *                                        u64 term
 *   11 opening      the entry's          the same, then the payload: an append in front of which stands a run record,
 *                                        in one; the group's last is the one before the entry. From version 3 on
 *    2 append       the entry's          payload
 *    3 moved        the entry's          payload; rewritten by collection, or put back by a repair: never truncates,
 *                                        never overwrites
 *    4 truncate     first removed        empty
 *    5 hard state   the group's last     u64 term, u64 vote, u64 commit; moved by collection, too
 *    6 reset        the new floor        u64 term at the floor, then the snapshot's name (0 … 64 bytes)
 *    7 compact      the new floor        u64 term at the floor, then the name that the last reset gave (0 … 64 bytes);
 *                                        a floor that collection moves is written like this, too
 *    8 removed      0                    empty; the run's incarnation of the group is a tombstone from here on; moved
 *                                        by collection, too
 *    9 trailer      0                    u64 durable position, u64 position, u64 sequence, u64 oldest segment,
 *                                        u32 records, u32 zero
 *   10 padding      0                    to be ignored
 *
 * The trailer is the last record of a frame; its durable position says: every byte of the stream before it was durable
 * when this frame was written. What lies below the greatest durable position of any readable frame and is bad is
 * damaged; what lies above it and is bad is torn. No segment below the *oldest* of any trailer is needed: a log whose
 * first segment has a greater number than that has lost some, and a file with a smaller one is a left-over, whatever it
 * holds (a file that was about to be recycled says that it is another segment).
 *
 * ---- A log whose front is gone ----
 * Collection rewrites what is live in the oldest segment at the end of the stream, waits until that is durable,
 * declares the next one the oldest, and only then gives up the file. So every entry, state, floor and removal that is
 * live is still recorded somewhere in what is left, though not in the order of the indexes:
 *    - The first run of a group that is seen may have any number. It tells the group's last index, exactly; so does
 *      every later one, and a truncation. Numbers have no gaps from there on.
 *    - A moved record says that this entry of this term was live when it was written: it lies above the floor and not
 *      above the last index. It takes the place of an older copy, or of nothing when that one is gone.
 *    - A compact or hard state record that repeats what is known takes the place of the older one.
 *    - At the end entries are there without a gap from the floor to the last; a group that no record gives a floor was
 *      never compacted, and begins with its smallest index. */
#ifndef LOG_LOG_FORMAT_H
#define LOG_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/mutation.h"
#include "holdfast/log.h"

#define LOG_FORMAT_VERSION             3u
#define LOG_FORMAT_VERSION_MIN         1u /* the oldest that is read */
#define LOG_FORMAT_RUN_SLOTS           256u
#define LOG_FORMAT_BLOCK_SIZE          4096u
#define LOG_FORMAT_SEGMENT_HEADER_SIZE 4096u
#define LOG_FORMAT_FRAME_HEADER_SIZE   96u
#define LOG_FORMAT_RECORD_HEADER_SIZE  32u
#define LOG_FORMAT_RUN_BODY_SIZE       32u
#define LOG_FORMAT_RUN_SIZE            (LOG_FORMAT_RECORD_HEADER_SIZE + LOG_FORMAT_RUN_BODY_SIZE)
#define LOG_FORMAT_TRAILER_SIZE        (LOG_FORMAT_RECORD_HEADER_SIZE + 40u)
#define LOG_FORMAT_FRAME_SIZE_MIN      LOG_FORMAT_BLOCK_SIZE
#define LOG_FORMAT_FRAME_SIZE_MAX      ((uint64_t)HF_LOG_BATCH_SIZE_MAX + (1u << 20))
#define LOG_FORMAT_POSITION_FOLLOWS    UINT64_MAX
#define LOG_FORMAT_FRAME_BARE          1u /* frame flag */
#define LOG_FORMAT_RECORD_TYPE_MASK    0x3fu
#define LOG_FORMAT_RECORD_WIDE         0x40u /* the timestamp is in front of the body */
#define LOG_FORMAT_RECORD_IGNORABLE    0x80u
#define LOG_FORMAT_TIMESTAMP_BITS      48
#define LOG_FORMAT_NAME_SIZE           21u /* "0000000000000001.log" and its zero */

/* Stored on disk: never reuse a number. */
enum log_record_kind {
    LOG_RECORD_RUN = 1,
    LOG_RECORD_APPEND = 2,
    LOG_RECORD_MOVED = 3,
    LOG_RECORD_TRUNCATE = 4,
    LOG_RECORD_HARD_STATE = 5,
    LOG_RECORD_RESET = 6,
    LOG_RECORD_COMPACT = 7,
    LOG_RECORD_REMOVED = 8,
    LOG_RECORD_TRAILER = 9,
    LOG_RECORD_PADDING = 10,
    LOG_RECORD_OPENING = 11 /* the greatest */
};

struct log_segment_header {
    uint64_t number;
    uint64_t incarnation;
    uint64_t size_bytes;
    uint64_t log_id;
    uint64_t epoch;
    uint64_t previous_incarnation;
    uint64_t position; /* or LOG_FORMAT_POSITION_FOLLOWS */
};

static inline uint64_t log_format_align_block(uint64_t size)
{
    return (size + LOG_FORMAT_BLOCK_SIZE - 1) & ~(uint64_t)(LOG_FORMAT_BLOCK_SIZE - 1);
}
static inline uint64_t log_format_align_record(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

/* What a record's checksum starts from, so that right bytes in a wrong place are wrong. */
static inline uint32_t log_format_seed(uint64_t incarnation, uint64_t offset)
{
    if (MUTATED(LOG_CHECKSUM_NOT_SEEDED) || MUTATED(LOG_STALE_ACCEPTED)) {
        return 0;
    }
    uint64_t mixed = hash_mix_64(incarnation ^ hash_mix_64(offset));
    return (uint32_t)(mixed ^ mixed >> 32);
}
static inline uint32_t log_format_group_check(uint64_t group, uint64_t incarnation)
{
    uint64_t mixed = hash_mix_64(group ^ hash_mix_64(incarnation));
    return (uint32_t)(mixed ^ mixed >> 32);
}

/* target: LOG_FORMAT_SEGMENT_HEADER_SIZE bytes. */
void log_format_put_segment_header(uint8_t *target, const struct log_segment_header *header);
/* source: LOG_FORMAT_SEGMENT_HEADER_SIZE bytes. HF_ECORRUPT; HF_EVERSION when it is whole but newer. */
int log_format_get_segment_header(const uint8_t *source, struct log_segment_header *out);

void log_format_segment_name(char target[LOG_FORMAT_NAME_SIZE], uint64_t number);
/* False when the name is not a segment's. */
bool log_format_parse_segment_name(const char *name, uint64_t *number);

const char *log_format_kind_name(uint8_t kind); /* "append", …; "unknown" */

#endif
