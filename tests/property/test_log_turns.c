/* links: log sim */
/* Hundreds of groups that take turns entry by entry, more than a frame has slots for runs: whatever mixture of appends,
 * votes, truncations and removals a frame holds, a power cut and a start give back what was acknowledged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "log/log.h"
#include "sim/sim.h"

#define DIRECTORY   "/data/log"
#define GROUPS      600u
#define ROUNDS      24u
#define ENTRIES_MAX 512u

struct expected_group {
    uint64_t last;
    uint64_t terms[ENTRIES_MAX]; /* of entry i + 1 */
    struct hf_hard_state state;
};

struct turns {
    struct sim *sim;
    struct sim_host *host;
    struct hf_log_options options;
    struct hf_log *log;
    struct rng rng;
    uint64_t term;
    struct expected_group groups[GROUPS];
};

static void open_log(struct turns *turns)
{
    int rc = log_open(sim_host_io(turns->host), DIRECTORY, &turns->options, &turns->log);
    if (rc != 0) {
        fail_msg("%s: %s", hf_error_name(rc), hf_error_text());
    }
}

static void count_done(void *arg, int result)
{
    assert_int_equal(result, 0);
    ++*(unsigned *)arg;
}

static uint64_t payload_of(uint64_t group, uint64_t index, uint64_t term)
{
    return group << 40 ^ index << 20 ^ term;
}

static void add_operation(struct turns *turns, struct hf_log_batch *batch, uint64_t group)
{
    struct expected_group *expected = &turns->groups[group - 1];
    uint64_t what = rng_below(&turns->rng, 20);
    if (what == 0 && expected->last > expected->state.commit) {
        expected->last -= 1;
        assert_int_equal(hf_log_batch_truncate(batch, group, expected->last + 1), 0);
    } else if (what == 1) {
        expected->state = (struct hf_hard_state){turns->term, 1 + rng_below(&turns->rng, 3), expected->last};
        assert_int_equal(hf_log_batch_hard_state(batch, group, expected->state), 0);
    } else if (what == 2) {
        *expected = (struct expected_group){0};
        assert_int_equal(hf_log_batch_remove_group(batch, group), 0);
    } else if (expected->last < ENTRIES_MAX) {
        uint64_t payload = payload_of(group, expected->last + 1, turns->term);
        struct hf_entry entry = {.index = expected->last + 1,
                                 .term = turns->term,
                                 .type = HF_ENTRY_NORMAL,
                                 .payload = bytes_of(&payload, sizeof(payload))};
        assert_int_equal(hf_log_batch_append(batch, group, &entry, 1), 0);
        expected->terms[expected->last++] = turns->term;
    }
}

static void append_round(struct turns *turns, uint64_t groups)
{
    struct hf_log_batch *batch = NULL;
    unsigned done = 0;
    unsigned appended = 0;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    for (unsigned i = 0; i < 600; i++) {
        turns->term += rng_below(&turns->rng, 200) == 0;
        hf_log_batch_clear(batch);
        for (unsigned operations = 1 + (unsigned)rng_below(&turns->rng, 3); operations > 0; operations--) {
            add_operation(turns, batch, 1 + rng_below(&turns->rng, groups));
        }
        assert_int_equal(hf_log_append(turns->log, batch, count_done, &done), 0);
        appended++;
    }
    while (done < appended) {
        hf_log_turn(turns->log);
        sim_step(turns->sim);
    }
    hf_log_batch_close(batch);
}

static void expect_group(struct turns *turns, uint64_t group)
{
    const struct expected_group *expected = &turns->groups[group - 1];
    struct hf_log_group_state state;
    struct hf_log_view view = {0};
    hf_log_group_state(turns->log, group, &state);
    assert_false(state.damaged);
    assert_int_equal(state.last_index, expected->last);
    assert_memory_equal(&state.hard_state, &expected->state, sizeof(state.hard_state));
    if (expected->last == 0) {
        return;
    }
    int rc = hf_log_read(turns->log, group, 1, expected->last + 1, 0, 0, &view);
    if (rc != 0) {
        fail_msg("group %llu: %s", (unsigned long long)group, hf_error_text());
    }
    assert_int_equal(view.count, expected->last);
    for (uint64_t i = 0; i < view.count; i++) {
        uint64_t payload = payload_of(group, i + 1, expected->terms[i]);
        assert_int_equal(view.entries[i].term, expected->terms[i]);
        assert_int_equal(view.entries[i].payload.size, sizeof(payload));
        assert_memory_equal(view.entries[i].payload.data, &payload, sizeof(payload));
    }
    hf_log_view_close(&view);
}

static void run_seed(uint64_t seed)
{
    struct turns *turns = memory_new(sizeof(*turns));
    struct hf_log_damage damage;
    turns->sim = sim_open(seed, NULL);
    turns->host = sim_host_add(turns->sim, NULL, NULL);
    turns->term = 1;
    rng_seed(&turns->rng, seed);
    hf_log_options_init(&turns->options);
    turns->options.segment_size_bytes = 1 << 20;
    open_log(turns);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t position = 0;
        append_round(turns, round % 3 == 0 ? 4 : round % 3 == 1 ? 64 : GROUPS);
        bool is_clean = round % 2 == 0;
        if (is_clean) {
            hf_log_close(turns->log);
        }
        sim_host_power_off(turns->host);
        if (!is_clean) {
            hf_log_close(turns->log);
        }
        sim_host_start(turns->host);
        open_log(turns);
        assert_int_equal(hf_log_damage_next(turns->log, &position, &damage), HF_ENOTFOUND);
        for (uint64_t group = 1; group <= GROUPS; group++) {
            expect_group(turns, group);
        }
    }
    sim_host_power_off(turns->host);
    hf_log_close(turns->log);
    sim_close(turns->sim);
    free(turns);
}

static void groups_that_take_turns_are_read_back_after_power_cuts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_that_take_turns_are_read_back_after_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
