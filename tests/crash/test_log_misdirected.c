/* links: log */
/* A record that is whole in itself but stands where another one was written (a misdirected write inside a frame) is
 * damage: its checksum is bound to its place. Only that tells it from the right one when everything else agrees. */
#include <fcntl.h>

#include "base/trace.h"
#include "log/log.h"
#include "planted.h"
#include "unit/log/log_fixture.h"

#define GROUP                  7u
#define HARD_STATE_RECORD_SIZE (32u + 24u)
#define PLACES_MAX             4u

struct places {
    char path[128]; /* of the segment that holds them */
    uint64_t offsets[PLACES_MAX];
    uint64_t votes[PLACES_MAX];
    unsigned count;
    const char *directory;
    uint64_t damaged;
};

static int places_record(void *arg, const struct log_walk_record *record)
{
    struct places *places = arg;
    if (strcmp(record->kind, "hard_state") == 0 && places->count < PLACES_MAX) {
        snprintf(places->path, sizeof(places->path), "%s/%016llx.log", places->directory,
                 (unsigned long long)record->segment);
        places->votes[places->count] = record->hard_state.vote;
        places->offsets[places->count++] = record->offset;
    }
    return 0;
}

static int places_damage(void *arg, const struct hf_log_damage *damage)
{
    struct places *places = arg;
    assert_int_equal(damage->group, GROUP);
    places->damaged++;
    return 0;
}

static void places_find(const char *directory, struct places *places)
{
    const struct log_walk_callbacks callbacks = {.record = places_record, .damage = places_damage};
    struct log_walk_summary summary = {0};
    struct io *io = NULL;
    *places = (struct places){.directory = directory};
    assert_int_equal(io_open_kernel(IO_BACKEND_THREADS, &io), 0);
    assert_int_equal(log_walk(io, directory, &callbacks, places, &summary), 0);
    io_close(io);
}

static void record_copy(const struct places *places, unsigned from, unsigned to)
{
    uint8_t record[HARD_STATE_RECORD_SIZE];
    int descriptor = open(places->path, O_RDWR);
    assert_true(descriptor >= 0);
    assert_int_equal(pread(descriptor, record, sizeof(record), (off_t)places->offsets[from]), sizeof(record));
    assert_int_equal(pwrite(descriptor, record, sizeof(record), (off_t)places->offsets[to]), sizeof(record));
    assert_int_equal(close(descriptor), 0);
}

static void vote(struct fixture *fixture, uint64_t candidate)
{
    const struct hf_hard_state state = {.term = 5, .vote = candidate};
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_hard_state(fixture->batch, GROUP, state), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
}

/* The records before and after a vote differ in nothing but the vote: group, index and term are the same. */
static void H17_an_older_vote_in_the_place_of_the_last_one_is_damage(void **state)
{
    struct fixture fixture;
    struct places places;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    vote(&fixture, 0);
    vote(&fixture, 2);
    fixture_close(&fixture);
    places_find(fixture.directory, &places);
    assert_int_equal(places.count, 2);
    assert_int_equal(places.votes[1], 2);
    assert_int_equal(places.damaged, 0);
    record_copy(&places, 0, 1);
    places_find(fixture.directory, &places);
    assert_int_equal(places.damaged, 1);
    fixture_open(&fixture);
    struct hf_log_group_state group;
    assert_int_equal(hf_log_group_state(fixture.log, GROUP, &group), 0);
    assert_true(group.damaged); /* it must not vote a second time in term 5 */
    fixture_tear_down(&fixture);
}

static void say_nothing(void *arg, enum trace_level level, const char *line) {}

int main(void)
{
    trace_set_sink(say_nothing, NULL);
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H17_an_older_vote_in_the_place_of_the_last_one_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
