/* The format of index files: what a scan of a sealed segment would tell, in a file beside it, so that an open reads the
 * segment's story instead of the segment, and its entries need no memory. Never the only place of a fact: whatever is
 * wrong with an index file, the segment is scanned instead and the file is made again. Version 1, integers
 * little-endian.
 *
 *   NUMBER.idx     ┌────────┬──────────────────────┬──────┬──────┬───┐
 *                  │ header │ tables, zeros        │ page │ page │ … │   pages of slots
 *                  │ 4096   │ multiple of 4096     │ 4096 │ 4096 │   │
 *                  └────────┴──────────────────────┴──────┴──────┴───┘
 * The name is the segment's with ".idx"; the same with ".idx.tmp" is one being made, which is worth nothing.
 *
 * ---- Header ----
 *    0  u64  magic "HFLOGIDX"
 *    8  u32  CRC-32C of bytes 12 … 4095 (place fixed for every version)
 *   12  u32  version
 *   16  u64  number of the segment           } of the life of the segment that this file tells of:
 *   24  u64  incarnation of the segment      } a file that names another one is stale
 *   32  u64  log id
 *   40  u64  position of the first frame
 *   48  u64  its sequence
 *   56  u64  position behind the last frame
 *   64  u64  its sequence
 *   72  u64  offset in the segment behind it
 *   80  u64  position behind the last frame that is not bare (when all are bare: as at 40)
 *   88  u64  its sequence (one less than at 48)
 *   96  u64  offset behind it (4096)
 *  104  u64  greatest durable position in a trailer            112  u64  greatest oldest segment in a trailer
 *  120  u64  size of the tables in bytes     128  u64  number of slots
 *  136  u32  CRC-32C of the tables, started from log_format_seed(incarnation, 4096)
 *  140       zeros
 * A file is made only when every frame in the segment is durable; so its header says that they are.
 *
 * ---- Tables ----
 *   sums: for each page of slots a u64, the sum of the sizes in it; then items, group by group: each begins with a u32
 *   kind, the number of the record that it condenses (log_format.h), and a u32.
 *    1 run         zero         u64 group, u64 incarnation, u64 first and u64 last of its run numbers, u64 the group's
 *                               last index before the first. What follows is this group's. Another run of it follows
 *                               when a number is missing or it lives again
 *    2 append      term runs    u64 first index, u64 number of entries, u64 sum of the sizes of the bodies, then per
 *    3 moved                    term run u64 first index, u64 term. Their slots follow those of the item before
 *    4 truncate    zero         u64 first removed
 *    5 hard state  zero         u64 group's last index, u64 term, u64 vote, u64 commit: of the last one before a
 *                               truncation, reset, compaction or removal, or before the end
 *    6 reset       name's size  u64 index, u64 term, the snapshot's name, zeros up to a multiple of 8
 *    7 compact     name's size  the same
 *    8 removed     zero         nothing
 *
 * ---- Page of slots ----
 *    0  u32  CRC-32C of bytes 4 … 4095, started from log_format_seed(incarnation, offset of the page in this file)
 *    4  u32  number of slots in it: 511 in all pages but the last
 *    8       slots: u32 offset of the record in the segment in units of 8 bytes, u32 size of its body; then zeros
 * A slot is a hint: whoever follows it verifies the record. */
#ifndef LOG_LOG_INDEX_FORMAT_H
#define LOG_LOG_INDEX_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "log/log_format.h"
#include "log/log_record.h"

#define LOG_INDEX_VERSION         1u
#define LOG_INDEX_HEADER_SIZE     4096u
#define LOG_INDEX_PAGE_SIZE       4096u
#define LOG_INDEX_PAGE_SLOTS      511u
#define LOG_INDEX_TABLES_SIZE_MAX (UINT64_C(1) << 30)
#define LOG_INDEX_SLOTS_MAX       (UINT64_C(1) << 30)

struct log_slot {
    uint32_t offset_eighth; /* of the record in the file, in units of 8 bytes: up to 32 GiB */
    uint32_t size;          /* of the body: the payload, and a wide timestamp (rare) */
};
/* From this index on this term. */
struct log_term_run {
    uint64_t index;
    uint64_t term;
};

/* What the whole segment comes to. */
struct log_index_summary {
    uint64_t number;
    uint64_t incarnation;
    uint64_t log_id;
    uint64_t position_first;
    uint64_t sequence_first;
    uint64_t position_end;
    uint64_t sequence_last;
    uint64_t offset_end;
    uint64_t data_position_end;
    uint64_t data_sequence_last;
    uint64_t data_offset_end;
    uint64_t durable_position;
    uint64_t oldest_segment;
    uint64_t tables_size;
    uint64_t slot_count;
    uint32_t tables_checksum;
};

/* target: LOG_INDEX_HEADER_SIZE bytes. */
void log_index_format_put_header(uint8_t *target, const struct log_index_summary *summary);
/* HF_ECORRUPT; HF_EVERSION when it is whole but newer. */
int log_index_format_get_header(const uint8_t *source, struct log_index_summary *out);
uint32_t log_index_format_tables_checksum(uint64_t incarnation, struct hf_bytes tables);

/* target: a page; count ≤ LOG_INDEX_PAGE_SLOTS. */
void log_index_format_put_page(uint8_t *target, uint64_t incarnation, uint64_t page_offset,
                               const struct log_slot *slots, uint32_t count);
/* HF_ECORRUPT. *out gets the slots that are in it. */
int log_index_format_get_page(const uint8_t *source, uint64_t incarnation, uint64_t page_offset,
                              struct log_slot out[LOG_INDEX_PAGE_SLOTS], uint32_t *count);

static inline uint64_t log_index_format_page_count(uint64_t slot_count)
{
    return (slot_count + LOG_INDEX_PAGE_SLOTS - 1) / LOG_INDEX_PAGE_SLOTS;
}
static inline uint64_t log_index_format_page_offset(const struct log_index_summary *summary, uint64_t page)
{
    return LOG_INDEX_HEADER_SIZE + log_format_align_block(summary->tables_size) + page * LOG_INDEX_PAGE_SIZE;
}

/* ---- items ---- */

struct log_index_item {
    uint32_t kind;      /* enum log_record_kind, LOG_RECORD_RUN … LOG_RECORD_REMOVED */
    struct log_run run; /* of the group; of LOG_RECORD_RUN the first */
    uint64_t run_last;  /* of LOG_RECORD_RUN */
    uint64_t index;     /* first index of a block; index of the others */
    uint64_t count;
    uint64_t body_bytes;
    uint64_t slot_first;
    uint64_t term;
    const uint8_t *terms; /* of a block: pairs, read with log_index_format_term_run */
    uint32_t term_count;
    struct hf_hard_state hard_state;
    struct hf_bytes name;
};
struct log_index_cursor {
    struct cursor bytes;
    uint64_t slot_next;
    uint64_t slot_count;
    struct log_run run;
};
/* Opens a cursor on the items of tables whose checksum is right. HF_ECORRUPT: their sizes are impossible. */
int log_index_format_open_cursor(struct log_index_cursor *cursor, const struct log_index_summary *summary,
                                 struct hf_bytes tables);
/* HF_ENOTFOUND at the end; HF_ECORRUPT. What it returns is possible in itself: indexes do not overflow, term runs
 * ascend and begin at the first index, slots are there. */
int log_index_format_next(struct log_index_cursor *cursor, struct log_index_item *out);
struct log_term_run log_index_format_term_run(const struct log_index_item *item, uint32_t at);

#endif
