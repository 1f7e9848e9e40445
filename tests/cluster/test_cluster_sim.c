/* links: node sim cluster */
/* The cluster simulation over many seeds. One failing seed is replayed by `make sim SEED=n`. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mutation.h"
#include "base/trace.h"
#include "cluster/cluster_sim.h"

#define SEEDS        240u
#define SEEDS_SMALL  40u /* in builds that are many times slower: HOLDFAST_TEST_SCALE=small */
#define RATE_MIN     20u /* acknowledged calls per simulated second, over all runs */
#define RUN_RATE_MIN 1u  /* and in each */
#define REPEATED     8u

static void drop_line(void *arg, enum trace_level level, const char *line) {}

static bool is_small(void)
{
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    return scale != NULL && strcmp(scale, "small") == 0;
}

static void run(uint64_t seed, struct cluster_result *result)
{
    struct cluster_plan plan;
    cluster_plan_from_seed(seed, &plan);
    cluster_run(&plan, NULL, NULL, result);
    if (result->why[0] != '\0') {
        fail_msg("seed %" PRIu64 ": %s; replay: make sim SEED=%" PRIu64, seed, result->why, seed);
    }
}

/* What every set of runs must have met, or it shows nothing. */
static const enum sim_fault planned_faults[] = {
    SIM_FAULT_WRITE_ERROR,  SIM_FAULT_SYNC_ERROR, SIM_FAULT_OTHER_ERROR,
    SIM_FAULT_NO_SPACE,     SIM_FAULT_STALL,      SIM_FAULT_SECTOR_LOST,
    SIM_FAULT_WRITE_TORN,   SIM_FAULT_NAME_LOST,  SIM_FAULT_DROPPED_BY_SYNC,
    SIM_FAULT_LATE_WRITE,   SIM_FAULT_KILL,       SIM_FAULT_POWER_LOSS,
    SIM_FAULT_PAUSE,        SIM_FAULT_CLOCK_JUMP, SIM_FAULT_CONNECT_REFUSED,
    SIM_FAULT_ACCEPT_RESET, SIM_FAULT_RESET,      SIM_FAULT_BYTES_LOST,
    SIM_FAULT_HALF_OPEN,    SIM_FAULT_LATE_BYTES, SIM_FAULT_CUT,
    SIM_FAULT_PARTITION,    SIM_FAULT_SLOW,       SIM_FAULT_CHUNK,
};

static void every_planned_kind_of_trouble_happened(const struct cluster_result *sum)
{
    for (size_t i = 0; i < sizeof(planned_faults) / sizeof(planned_faults[0]); i++) {
        if (sum->faults[planned_faults[i]] == 0) {
            fail_msg("the runs are invalid: no \"%s\" ever happened", sim_fault_name(planned_faults[i]));
        }
    }
    for (int i = 0; i < CLUSTER_EVENT_COUNT; i++) {
        /* The last words of a lost majority are rare: seeds that had them are kept below. */
        bool is_rare = i == CLUSTER_EVENT_LOSS_MET || i == CLUSTER_EVENT_LEFT_BEHIND;
        if (sum->events[i] == 0 && !is_rare) {
            fail_msg("the runs are invalid: no \"%s\" ever happened", cluster_event_name((enum cluster_event)i));
        }
    }
}

static void P1_P3_H8_H9_H10_H11_H12_H13_H16_H21_a_cluster_in_trouble_loses_nothing_and_stays_linearizable(void **state)
{
    struct cluster_result sum = {0};
    uint64_t seeds = is_small() ? SEEDS_SMALL : SEEDS;
    uint64_t nodes_seen[CLUSTER_NODES_MAX + 1] = {0};
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct cluster_result result;
        struct cluster_plan plan;
        cluster_plan_from_seed(seed, &plan);
        nodes_seen[plan.nodes]++;
        run(seed, &result);
        assert_int_equal(result.inconclusive, 0);
        if (result.rate < RUN_RATE_MIN) {
            fail_msg("seed %" PRIu64 " is invalid: only %" PRIu64 " acknowledged calls", seed, result.acknowledged);
        }
        for (int i = 0; i < SIM_FAULT_COUNT; i++) {
            sum.faults[i] += result.faults[i];
        }
        for (int i = 0; i < CLUSTER_EVENT_COUNT; i++) {
            sum.events[i] += result.events[i];
        }
        sum.rate += result.rate;
        sum.steps += result.steps;
        sum.acknowledged += result.acknowledged;
    }
    printf("%" PRIu64 " runs, %" PRIu64 " events, %" PRIu64 " acknowledged calls\n", seeds, sum.steps,
           sum.acknowledged);
    assert_true(sum.rate / seeds >= RATE_MIN);
    assert_true(nodes_seen[1] > 0 && nodes_seen[2] > 0 && nodes_seen[3] > 0);
    if (!is_small()) {
        every_planned_kind_of_trouble_happened(&sum);
    }
}

/* Each failed once. What a seed does follows from all of the program, so most do something else by now. */
static void seeds_that_failed_once_are_kept(void **state)
{
    static const uint64_t seeds[] = {
        723,    /* an open fails after a kill under a relaxed policy, and the next one believes the kernel */
        1067,   /* … */
        655,    /* a majority lost its power, and a node that has no vote yet answers for more than the others have */
        5279,   /* … and closes a group */
        2165,   /* two voters become one, and the power goes: guard M */
        411108, /* a member that has the snapshot is offered it again and again */
        413074, /* who loses its vote waits for earlier attempts to hand over */
        420315, /* … */
        422665, /* … */
        423305, /* an open fails after its segment got its name, and the next one follows that */
        431194, /* a removal takes its time */
        601366, /* nobody whom the description of a wiped node names is a member any more */
    };
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        struct cluster_result result;
        run(seeds[i], &result);
    }
}

static void the_same_seed_gives_the_same_trace(void **state)
{
    for (uint64_t seed = 1; seed <= REPEATED; seed++) {
        struct cluster_result first;
        struct cluster_result second;
        run(seed, &first);
        run(seed, &second);
        assert_true(first.trace_hash == second.trace_hash);
        assert_int_equal(first.steps, second.steps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_that_failed_once_are_kept),
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
        cmocka_unit_test(P1_P3_H8_H9_H10_H11_H12_H13_H16_H21_a_cluster_in_trouble_loses_nothing_and_stays_linearizable),
    };
#ifdef HF_MUTATIONS
    /* A planted bug is switched on from outside: some seed must then fail (tests/cluster/mutants.sh uses sim). */
    if (getenv("HOLDFAST_MUTATION") != NULL && mutation_enable(getenv("HOLDFAST_MUTATION")) != 0) {
        return 2;
    }
#endif
    trace_set_sink(drop_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
