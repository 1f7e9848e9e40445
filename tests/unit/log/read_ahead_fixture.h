/* A log of which the first entries lie on the device alone, in windows of eight, and its iterators. */
#ifndef TESTS_READ_AHEAD_FIXTURE_H
#define TESTS_READ_AHEAD_FIXTURE_H

#include "unit/log/log_fixture.h"

#define ENTRIES      500u
#define PAYLOAD_SIZE 8000u
#define WINDOW_BYTES (64u << 10) /* eight entries */

/* The payload tells the term. */
static inline void append_many(struct fixture *fixture, uint64_t from, uint64_t to, uint64_t term)
{
    static char payload[PAYLOAD_SIZE + 1];
    memset(payload, 'a' + (int)(term % 26), PAYLOAD_SIZE);
    hf_log_batch_clear(fixture->batch);
    for (uint64_t i = from; i <= to; i++) {
        struct hf_entry entry = fixture_entry(i, term, payload);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        if (i % 50 == 0 || i == to) {
            assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
            hf_log_batch_clear(fixture->batch);
        }
    }
}

static inline void truncate_and_append(struct fixture *fixture, uint64_t from, uint64_t to, uint64_t term)
{
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, from), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    append_many(fixture, from, to, term);
}

static inline void compact(struct fixture *fixture, uint64_t floor)
{
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_compact(fixture->batch, 1, floor), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
}

static inline void fill(struct fixture *fixture, enum hf_log_io io)
{
    fixture_set_up(fixture);
    fixture->options.segment_size_bytes = 1 << 20;
    fixture->options.tail_cache_bytes = 1 << 20;
    fixture->options.read_ahead_bytes = WINDOW_BYTES;
    fixture->options.io = io;
    fixture_open(fixture);
    append_many(fixture, 1, ENTRIES, 1);
    fixture_reopen(fixture);
}

static inline void expect_entry(const struct hf_entry *entry, uint64_t index, uint64_t term)
{
    assert_int_equal(entry->index, index);
    assert_int_equal(entry->term, term);
    assert_int_equal(entry->payload.size, PAYLOAD_SIZE);
    const char *payload = entry->payload.data;
    assert_int_equal(payload[0], 'a' + (int)(term % 26));
    assert_int_equal(payload[PAYLOAD_SIZE - 1], 'a' + (int)(term % 26));
}

static inline void expect_next(struct hf_log_iterator *iterator, uint64_t index, uint64_t term)
{
    struct hf_entry entry;
    int rc = hf_log_iterator_next(iterator, 0, &entry);
    if (rc != 0) {
        fail_msg("index %d: %s: %s", (int)index, hf_error_name(rc), hf_error_text());
    }
    expect_entry(&entry, index, term);
}

#endif
