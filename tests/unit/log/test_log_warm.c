/* The next chunk of the tail cache is there, and touched, before the appender needs it. */
#include "log_fixture.h"

#include <poll.h>
#include <sys/mman.h>

#include "log/log_state.h"

#define PAYLOAD_SIZE (64u << 10)

static void count_done(void *arg, int result)
{
    assert_int_equal(result, 0);
    (*(unsigned *)arg)++;
}

static void append(struct fixture *fixture, uint64_t first, unsigned count)
{
    static char payload[PAYLOAD_SIZE];
    unsigned done = 0;
    for (unsigned i = 0; i < count; i++) {
        struct hf_entry entry = fixture_entry(first + i, 1, "");
        entry.payload = bytes_of(payload, sizeof(payload));
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        assert_int_equal(hf_log_append(fixture->log, fixture->batch, count_done, &done), 0);
    }
    hf_log_turn(fixture->log);
    while (done < count) {
        struct pollfd ready = {.fd = hf_log_descriptor(fixture->log), .events = POLLIN};
        assert_true(poll(&ready, 1, 60000) == 1);
        hf_log_turn(fixture->log);
    }
}

/* Turns until nothing is under way in the background. */
static void settle(struct fixture *fixture)
{
    while (fixture->log->warm.busy) {
        struct pollfd ready = {.fd = hf_log_descriptor(fixture->log), .events = POLLIN};
        assert_true(poll(&ready, 1, 60000) == 1);
        hf_log_turn(fixture->log);
    }
}

static size_t untouched_bytes(const struct log_chunk *chunk)
{
    static unsigned char pages[(4u << 20) / 4096];
    size_t untouched = 0;
    assert_true(chunk->size <= sizeof(pages) * 4096);
    assert_int_equal(mincore(chunk->data, chunk->size, pages), 0);
    for (size_t i = 0; i < chunk->size / 4096; i++) {
        untouched += (pages[i] & 1) == 0 ? 4096 : 0;
    }
    return untouched;
}

static void the_next_chunk_is_touched_before_it_is_needed(void **state)
{
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture_open(&fixture);
    struct log_tail_cache *cache = &fixture.log->cache;
    append(&fixture, 1, 1);
    settle(&fixture);
    assert_int_equal(cache->resting_count, 0); /* who writes little gets little */
    uint64_t next = 2;
    for (unsigned chunks = 0; chunks < 3; chunks++) {
        struct log_chunk *filled = list_entry(cache->chunks.previous, struct log_chunk, link);
        append(&fixture, next, 32);
        settle(&fixture);
        next += 32;
        assert_int_equal(cache->resting_count, 1);
        struct log_chunk *ready = list_entry(cache->resting.next, struct log_chunk, link);
        assert_int_equal(untouched_bytes(ready), 0);
        while (list_entry(cache->chunks.previous, struct log_chunk, link) == filled) {
            append(&fixture, next++, 1);
        }
        assert_ptr_equal(list_entry(cache->chunks.previous, struct log_chunk, link), ready);
    }
    fixture_tear_down(&fixture);
}

/* His writes need no turn, but the next chunk does. */
static void who_only_waits_has_his_next_chunk_made_ready_too(void **state)
{
    static char payload[PAYLOAD_SIZE / 4];
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture_open(&fixture);
    const struct log_tail_cache *cache = &fixture.log->cache;
    uint64_t next = 1;
    for (unsigned chunks = 0; chunks < 4; chunks++) {
        const struct list *filled = cache->chunks.previous;
        unsigned resting = 0;
        while (cache->chunks.previous == filled) {
            struct hf_entry entry = fixture_entry(next++, 1, "");
            entry.payload = bytes_of(payload, sizeof(payload));
            resting = cache->resting_count;
            hf_log_batch_clear(fixture.batch);
            assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
            assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
            if (log_tail_cache_wants_chunk(cache)) {
                usleep(2000); /* the worker gets its time, also on a busy machine */
            }
        }
        assert_true(chunks == 0 || resting == 1); /* the first one is there with the first append */
    }
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_chunk_is_touched_before_it_is_needed),
        cmocka_unit_test(who_only_waits_has_his_next_chunk_made_ready_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
