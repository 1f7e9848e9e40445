/* What the snapshot store's tests share: stores on every backend, streams that can be told apart, and helpers. */
#ifndef CONTRACT_SNAPSHOT_FIXTURE_H
#define CONTRACT_SNAPSHOT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "snapshot/snapshot.h"

#define SNAPSHOT_CHUNK       4096u
#define SNAPSHOT_INCARNATION 77u

#define snapshot_assert_ok(rc)                                                        \
    do {                                                                              \
        int snapshot_rc = (rc);                                                       \
        if (snapshot_rc != 0) {                                                       \
            fail_msg("%s: %s: %s", #rc, hf_error_name(snapshot_rc), hf_error_text()); \
        }                                                                             \
    } while (0)

/* Events of a store, counted by kind. */
struct snapshot_events {
    unsigned counts[8];
    struct hf_snapshot_event last;
};

static inline void snapshot_count_event(void *arg, const struct hf_snapshot_event *event)
{
    struct snapshot_events *events = arg;
    assert_true(event->kind < 8 && event->text[0] != '\0');
    events->counts[event->kind]++;
    events->last = *event;
    events->last.text = NULL;
}

/* Words and numbers, as JSON-like text that compresses; every third seed gives noise that does not. */
static inline struct buffer snapshot_bytes(uint64_t seed, size_t size)
{
    static const char *const words[] = {"holdfast", "value", "null", "\"name\":", "{}", "true", ", ", "index"};
    struct buffer bytes = {0};
    struct rng rng;
    rng_seed(&rng, seed + 1);
    if (seed % 3 == 2) {
        rng_fill(&rng, buffer_extend(&bytes, size), size);
        return bytes;
    }
    while (bytes.size < size) {
        buffer_append_text(&bytes, words[rng_below(&rng, 8)]);
        buffer_format(&bytes, "%u", (unsigned)rng_below(&rng, 1000));
    }
    bytes.size = size;
    return bytes;
}

static inline struct hf_snapshot_begin snapshot_cut(uint64_t group, uint64_t index)
{
    return (struct hf_snapshot_begin){.group = group,
                                      .group_incarnation = SNAPSHOT_INCARNATION,
                                      .index = index,
                                      .term = 3,
                                      .configuration_index = 1,
                                      .configuration = bytes_of_text("members: 1 2 3"),
                                      .created_ms = 1000 + index};
}

/* Writes the bytes in odd pieces and publishes. */
static inline int snapshot_write_cut(struct hf_snapshot_store *store, const struct hf_snapshot_begin *begin,
                                     const struct buffer *bytes, struct hf_snapshot_manifest *out)
{
    struct hf_snapshot_writer *writer = NULL;
    int rc = hf_snapshot_begin(store, begin, &writer);
    if (rc != 0) {
        return rc;
    }
    for (size_t at = 0; at < bytes->size && rc == 0;) {
        size_t piece = 1 + at * 7 % 9001;
        piece = piece < bytes->size - at ? piece : bytes->size - at;
        rc = hf_snapshot_write(writer, bytes->data + at, piece);
        at += piece;
    }
    if (rc != 0) {
        hf_snapshot_cancel(writer);
        return rc;
    }
    return hf_snapshot_finish(writer, bytes->size / 10, out);
}

/* A snapshot of the group at the index with snapshot_bytes(index, size). */
static inline struct hf_snapshot_manifest snapshot_make(struct hf_snapshot_store *store, uint64_t group, uint64_t index,
                                                        size_t size)
{
    struct hf_snapshot_manifest manifest;
    struct hf_snapshot_begin begin = snapshot_cut(group, index);
    struct buffer bytes = snapshot_bytes(index, size);
    snapshot_assert_ok(snapshot_write_cut(store, &begin, &bytes, &manifest));
    buffer_close(&bytes);
    return manifest;
}

/* Reads all of it through `reader` in odd pieces and compares. */
static inline void snapshot_assert_stream(struct hf_snapshot_reader *reader, const struct buffer *expected)
{
    struct buffer found = {0};
    size_t got;
    do {
        size_t piece = 1 + found.size * 13 % 10007;
        buffer_reserve(&found, piece);
        snapshot_assert_ok(hf_snapshot_read(reader, found.data + found.size, piece, &got));
        found.size += got;
    } while (got > 0);
    assert_int_equal(found.size, expected->size);
    assert_true(found.size == 0 || memcmp(found.data, expected->data, found.size) == 0);
    buffer_close(&found);
}

static inline void snapshot_assert_content(struct hf_snapshot_store *store, struct hf_snapshot_id id, uint64_t seed,
                                           size_t size)
{
    struct hf_snapshot_reader *reader = NULL;
    struct buffer expected = snapshot_bytes(seed, size);
    snapshot_assert_ok(hf_snapshot_reader_open(store, id, &reader));
    snapshot_assert_stream(reader, &expected);
    hf_snapshot_reader_close(reader);
    buffer_close(&expected);
}

static inline size_t snapshot_count(struct hf_snapshot_store *store, uint64_t group)
{
    struct hf_snapshot_info *list = NULL;
    size_t count;
    snapshot_assert_ok(hf_snapshot_list(store, group, &list, &count));
    hf_snapshot_list_free(list);
    return count;
}

/* Sends the chunks [from, to) of a snapshot to a receiver. */
static inline int snapshot_send(struct hf_snapshot_reader *reader, struct hf_snapshot_receiver *receiver, uint32_t from,
                                uint32_t to)
{
    int rc = 0;
    for (uint32_t i = from; i < to && rc == 0; i++) {
        struct hf_bytes raw;
        rc = hf_snapshot_read_raw(reader, i, &raw);
        rc = rc == 0 ? hf_snapshot_put(receiver, raw) : rc;
    }
    return rc;
}

#endif
