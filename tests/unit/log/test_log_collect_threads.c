/* Readers beside collection: real threads read what is moved and what is given up under them, and files that are
 * recycled meanwhile; each read gives the right bytes or says "compacted". Run under the thread sanitizer as well. */
#include "unit/log/log_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define BUSY       1u
#define IDLE       2u
#define KEEP       40u
#define IDLES      60u
#define READERS    3u
#define PAYLOAD    12000u
#define ROUNDS     900u
#define ROUNDS_MAX (50 * ROUNDS)

struct race {
    struct fixture fixture;
    atomic_bool done;
    atomic_uint reads;
    atomic_uint wrong;
};

static void fill(uint8_t *payload, uint64_t group, uint64_t index)
{
    for (size_t i = 0; i < PAYLOAD; i += 8) {
        bytes_put_u64(payload + i, (index * 31 + group) * UINT64_C(0x9e3779b97f4a7c15) + i);
    }
}

static bool is_right(const struct hf_entry *entry, uint64_t group, uint64_t index)
{
    uint8_t payload[PAYLOAD];
    fill(payload, group, index);
    return entry->index == index && entry->payload.size == PAYLOAD &&
           memcmp(entry->payload.data, payload, PAYLOAD) == 0;
}

static void read_some(struct race *race, uint64_t group, uint64_t seed)
{
    struct hf_log_group_state state;
    struct hf_log_view view = {0};
    hf_log_group_state(race->fixture.log, group, &state);
    uint64_t count = state.last_index + 1 - state.first_index;
    if (count == 0) {
        return;
    }
    uint64_t low = state.first_index + seed % count;
    int rc = hf_log_read(race->fixture.log, group, low, 0, 0, 8, &view);
    if (rc != 0 && !(rc == HF_ECOMPACTED && group == BUSY)) {
        atomic_fetch_add(&race->wrong, 1);
    }
    for (size_t i = 0; i < view.count; i++) {
        atomic_fetch_add(&race->wrong, is_right(&view.entries[i], group, low + i) ? 0 : 1);
    }
    atomic_fetch_add(&race->reads, 1);
    hf_log_view_close(&view);
}

static void *reader(void *arg)
{
    struct race *race = arg;
    for (uint64_t seed = 7; !atomic_load(&race->done); seed = seed * 6364136223846793005u + 1442695040888963407u) {
        read_some(race, seed >> 40 & 1 ? BUSY : IDLE, seed >> 33);
    }
    return NULL;
}

static void append_one(struct race *race, uint64_t group, uint64_t index)
{
    static uint8_t payload[PAYLOAD];
    fill(payload, group, index);
    struct hf_entry entry = {.index = index, .term = 1, .type = HF_ENTRY_NORMAL, .payload = {payload, PAYLOAD}};
    hf_log_batch_clear(race->fixture.batch);
    assert_int_equal(hf_log_batch_append(race->fixture.batch, group, &entry, 1), 0);
    if (group == BUSY && index > KEEP) {
        assert_int_equal(hf_log_batch_compact(race->fixture.batch, BUSY, index - KEEP), 0);
    }
    assert_int_equal(hf_log_append_wait(race->fixture.log, race->fixture.batch), 0);
}

/* Enough happened beside the readers. Collection is background work: how long that takes is up to the machine. */
static bool has_collected(struct race *race)
{
    struct hf_log_stat stat;
    hf_log_stat(race->fixture.log, &stat);
    return atomic_load(&race->reads) > 10 && stat.moved_entries >= IDLES && stat.released_segments > 3 &&
           stat.recycled_segments > 0;
}

static void L32_reads_beside_collection_and_recycling_give_right_bytes_or_compacted(void **unused)
{
    (void)unused;
    struct race race = {.done = false};
    pthread_t threads[READERS];
    fixture_set_up(&race.fixture);
    race.fixture.options.segment_size_bytes = 1 << 20;
    race.fixture.options.tail_cache_bytes = 1; /* reads go to the files */
    race.fixture.options.collect_size_bytes = 2 << 20;
    fixture_open(&race.fixture);
    for (uint64_t i = 1; i <= IDLES; i++) {
        append_one(&race, IDLE, i);
    }
    append_one(&race, BUSY, 1);
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &race), 0);
    }
    for (uint64_t i = 2; i <= ROUNDS || !has_collected(&race); i++) {
        assert_true(i < ROUNDS_MAX);
        append_one(&race, BUSY, i);
    }
    atomic_store(&race.done, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&race.wrong), 0);
    assert_true(has_collected(&race));
    fixture_tear_down(&race.fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L32_reads_beside_collection_and_recycling_give_right_bytes_or_compacted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
