/* One record: encoding into a frame, and decoding of bytes that are not trusted. The drawing is in log_format.h. */
#ifndef LOG_LOG_RECORD_H
#define LOG_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "log/log_format.h"

struct log_record {
    uint8_t kind;
    uint8_t entry_type;
    bool ignorable;
    uint64_t timestamp_ms;
    uint64_t index;
    uint32_t group_check;
    uint32_t term_low;
    struct hf_bytes body; /* lent by the bytes that were decoded */
    struct hf_bytes run;  /* of an append that opens its run: the body of a run record, likewise; else empty. Such a
                           * record is decoded as an append, and `body` is its payload */
};

/* What the timestamp adds to the body. */
static inline uint32_t log_record_wide_size(uint64_t timestamp_ms)
{
    return timestamp_ms >> LOG_FORMAT_TIMESTAMP_BITS != 0 ? 8 : 0;
}
/* Bytes that a record with a body of this size (a wide timestamp included) takes. */
static inline uint64_t log_record_size(uint64_t body_size)
{
    return LOG_FORMAT_RECORD_HEADER_SIZE + log_format_align_record(body_size);
}

/* The most that a record takes that carries an entry with a body of this size: it may open its run. */
static inline uint64_t log_record_entry_size(uint64_t body_size)
{
    return log_record_size(body_size) + (MUTATED(LOG_OPENING_CUT_SHORT) ? 0 : LOG_FORMAT_RUN_BODY_SIZE);
}

/* Writes header, body and padding; returns the bytes written. seed: log_format_seed of the record's place. */
size_t log_record_put(uint8_t *target, const struct log_record *record, uint32_t seed);
/* Writes the checksum again for another place; `target` holds a whole record. */
void log_record_reseal(uint8_t *target, uint32_t seed);

enum log_record_result {
    LOG_RECORD_OK = 0,
    LOG_RECORD_SHORT, /* its size goes beyond the bytes */
    LOG_RECORD_BAD    /* the checksum */
};
/* Decodes the record at the front of `bytes`. *size_out: the bytes it takes, also when the checksum is bad (then it is
 * only what the header claims), 0 when SHORT. The fields of *out are set unless SHORT, and believed only when OK. */
enum log_record_result log_record_get(struct hf_bytes bytes, uint32_t seed, struct log_record *out, size_t *size_out);
/* The same without looking at the checksum: for bytes whose checksum was looked at, or that were made here. */
enum log_record_result log_record_decode(struct hf_bytes bytes, struct log_record *out, size_t *size_out);

/* ---- bodies ---- */

struct log_run {
    uint64_t group;
    uint64_t incarnation;
    uint64_t number;
    uint64_t term;
};
struct log_trailer {
    uint64_t durable_position;
    uint64_t position;
    uint64_t sequence;
    uint64_t oldest_segment;
    uint32_t record_count;
};

#define LOG_RECORD_TRAILER_BODY_SIZE    40u
#define LOG_RECORD_HARD_STATE_BODY_SIZE 24u
#define LOG_RECORD_FLOOR_BODY_SIZE      8u

/* A whole run record, LOG_FORMAT_RUN_SIZE bytes; check: log_format_group_check of its group. Where groups take turns
 * there is one for every entry. */
size_t log_record_put_run(uint8_t *target, const struct log_run *run, uint64_t index, uint32_t check, uint32_t seed);
/* A whole append that opens the run; entry->group_check and term_low are the run's, its kind is not looked at. */
size_t log_record_put_opening(uint8_t *target, const struct log_run *run, const struct log_record *entry,
                              uint32_t seed);
void log_record_put_trailer(uint8_t target[LOG_RECORD_TRAILER_BODY_SIZE], const struct log_trailer *trailer);
void log_record_put_hard_state(uint8_t target[LOG_RECORD_HARD_STATE_BODY_SIZE], struct hf_hard_state state);
/* HF_ECORRUPT when the body has another size or impossible values. */
int log_record_get_run(struct hf_bytes body, struct log_run *out);
int log_record_get_trailer(struct hf_bytes body, struct log_trailer *out);
int log_record_get_hard_state(struct hf_bytes body, struct hf_hard_state *out);
/* Of a reset or a compact record; *name is lent and empty for a compact record. */
int log_record_get_floor(struct hf_bytes body, uint64_t *term, struct hf_bytes *name);

#endif
