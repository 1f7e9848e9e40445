/* links: replica sim */
/* Clusters of real replicas and logs under every kind of weather, from seeds. HOLDFAST_SEED=n runs one seed of each
 * test with its trace; HOLDFAST_TEST_SCALE=small runs fewer. */
#include "cluster/replica_cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace.h"

#include "cluster/replica_cluster.c"
#include "cluster/replica_host.c"

/* A rough day. */
static struct cluster_weather rough(void)
{
    return (struct cluster_weather){
        .crash_ppm = 600,
        .restart_ppm = 4000,
        .break_ppm = 400,
        .mend_ppm = 8000,
        .mute_ppm = 100,
        .loss_ppm = 10000,
        .slow_ppm = 20000,
        .slow_ms = 300,
        .submit_ppm = 60000,
        .read_ppm = 30000,
        .change_ppm = 5000,
        .transfer_ppm = 700,
        .snapshot_ppm = 1500,
        .trailing_max = 30,
        .stall_ppm = 300,
        .pause_ppm = 300,
    };
}

/* Each seed has its own: every kind of trouble is absent, usual or frequent. */
static struct cluster_weather weather_of(struct cluster_weather weather, uint64_t seed)
{
    static const uint32_t factors[] = {0, 1, 1, 1, 4};
    static const uint32_t trailing[] = {0, 5, 30, 200};
    uint32_t *const kinds[] = {&weather.crash_ppm, &weather.break_ppm,  &weather.mute_ppm,     &weather.loss_ppm,
                               &weather.slow_ppm,  &weather.change_ppm, &weather.transfer_ppm, &weather.snapshot_ppm,
                               &weather.stall_ppm, &weather.pause_ppm};
    struct rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        *kinds[i] *= factors[rng_below(&rng, sizeof(factors) / sizeof(factors[0]))];
    }
    weather.trailing_max = trailing[rng_below(&rng, sizeof(trailing) / sizeof(trailing[0]))];
    return weather;
}

/* A disk that takes its time, so that crashes and truncations meet appends on their way. */
static struct sim_profile slow_disk(void)
{
    struct sim_profile profile = sim_profile_calm();
    profile.write_ns = (struct sim_span){50000, 8000000};
    profile.sync_ns = (struct sim_span){50000, 8000000};
    profile.stall_ppm = 30000;
    profile.stall_ns = (struct sim_span){1000000, 150000000};
    return profile;
}

static unsigned scaled(unsigned seeds)
{
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    return scale != NULL && strcmp(scale, "small") == 0 ? (seeds + 4) / 5 : seeds;
}

static void add_counts(struct cluster_counts *sum, struct cluster_counts counts)
{
    sum->messages += counts.messages;
    sum->losses += counts.losses;
    sum->breaks += counts.breaks;
    sum->crashes += counts.crashes;
    sum->elections += counts.elections;
    sum->applied += counts.applied;
    sum->acknowledged += counts.acknowledged;
    sum->lost += counts.lost;
    sum->reads += counts.reads;
    sum->changes += counts.changes;
    sum->transfers += counts.transfers;
    sum->snapshots += counts.snapshots;
    sum->pauses += counts.pauses;
}

static struct cluster_counts all_counts; /* of every test */

/* One life: bad weather, then good, then everything must be well. Returns the trace's hash. */
static uint64_t live(uint64_t seed, const struct cluster_options *options, unsigned bad_ms, struct cluster_counts *sum)
{
    struct cluster_options with_disk = *options;
    struct sim_profile profile = slow_disk();
    with_disk.profile = seed % 2 == 0 ? NULL : &profile;
    with_disk.weather = weather_of(options->weather, seed);
    struct cluster *cluster = cluster_open(seed, &with_disk);
    cluster_run_ms(cluster, bad_ms);
    cluster_heal(cluster);
    bool progresses = cluster_progress(cluster, 20, 20 * CLUSTER_ELECTION_MS);
    if (progresses && options->nodes > 2 && options->weather.change_ppm > 0) {
        progresses = cluster_can_change(cluster, 20 * CLUSTER_ELECTION_MS);
    }
    cluster_check_logs(cluster);
    if (cluster_failure(cluster) != NULL || !progresses) {
        struct buffer text = {0};
        cluster_describe(cluster, &text);
        buffer_append_u8(&text, 0);
        const char *failure = cluster_failure(cluster);
        fail_msg("seed %" PRIu64 ": %s\n%s", seed, failure != NULL ? failure : "NO PROGRESS after healing",
                 (char *)text.data);
    }
    add_counts(sum, cluster_counts(cluster));
    add_counts(&all_counts, cluster_counts(cluster));
    uint64_t hash = sim_trace_hash(cluster_sim(cluster));
    cluster_close(cluster);
    return hash;
}

static void live_seeds(const char *what, struct cluster_options options, unsigned seeds, unsigned bad_ms,
                       struct cluster_counts *sum)
{
    const char *one = getenv("HOLDFAST_SEED");
    const char *many = getenv("HOLDFAST_SEEDS");
    seeds = many != NULL ? (unsigned)strtoul(many, NULL, 10) : scaled(seeds);
    if (one != NULL) {
        options.is_traced = true;
        live(strtoull(one, NULL, 10), &options, bad_ms, sum);
        return;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        live(seed, &options, bad_ms, sum);
    }
    printf("%s: %u seeds, %" PRIu64 " messages, %" PRIu64 " lost, %" PRIu64 " breaks, %" PRIu64 " crashes, %" PRIu64
           " elections, %" PRIu64 " applied, %" PRIu64 " acknowledged, %" PRIu64 " reads, %" PRIu64 " changes, %" PRIu64
           " transfers, %" PRIu64 " snapshots\n",
           what, seeds, sum->messages, sum->losses, sum->breaks, sum->crashes, sum->elections, sum->applied,
           sum->acknowledged, sum->reads, sum->changes, sum->transfers, sum->snapshots);
}

static void three_voters_in_calm_weather_elect_replicate_and_read(void **state)
{
    struct cluster_options options = {
        .nodes = 3, .voters = 3, .voters_min = 2, .weather = {.submit_ppm = 200000, .read_ppm = 100000}};
    struct cluster_counts counts = {0};
    struct cluster *cluster = cluster_open(1, &options);
    cluster_run_ms(cluster, 3000);
    assert_true(cluster_progress(cluster, 1, 1000));
    cluster_check_logs(cluster);
    assert_null(cluster_failure(cluster));
    counts = cluster_counts(cluster);
    assert_true(counts.acknowledged > 500);
    assert_true(counts.reads > 100);
    assert_true(counts.elections == 1);
    cluster_close(cluster);
}

static void one_voter_keeps_its_promises(void **state)
{
    struct cluster_options options = {.nodes = 1, .voters = 1, .voters_min = 1, .weather = rough()};
    struct cluster_counts counts = {0};
    live_seeds("one voter", options, 20, 6000, &counts);
}

static void two_voters_keep_their_promises(void **state)
{
    struct cluster_options options = {.nodes = 2, .voters = 2, .voters_min = 2, .weather = rough()};
    struct cluster_counts counts = {0};
    live_seeds("two voters", options, 20, 6000, &counts);
}

static void H9_three_voters_keep_their_promises(void **state)
{
    struct cluster_options options = {.nodes = 3, .voters = 3, .voters_min = 2, .weather = rough()};
    struct cluster_counts counts = {0};
    live_seeds("three voters", options, 20, 6000, &counts);
}

static void H14_five_nodes_that_change_roles_keep_their_promises(void **state)
{
    struct cluster_options options = {.nodes = 5, .voters = 3, .voters_min = 2, .weather = rough()};
    struct cluster_counts counts = {0};
    live_seeds("five nodes", options, 30, 8000, &counts);
}

static void a_lone_voter_that_gains_company_keeps_its_promises(void **state)
{
    struct cluster_options options = {.nodes = 3, .voters = 1, .voters_min = 2, .weather = rough()};
    options.weather.crash_ppm = 1500;
    struct cluster_counts counts = {0};
    live_seeds("from one voter", options, 30, 6000, &counts);
}

static void the_same_seed_gives_the_same_trace(void **state)
{
    struct cluster_options options = {.nodes = 5, .voters = 3, .voters_min = 2, .weather = rough()};
    struct cluster_counts counts = {0};
    assert_true(live(11, &options, 4000, &counts) == live(11, &options, 4000, &counts));
}

/* A run in which something planned never happened shows nothing. */
static void every_kind_of_trouble_and_of_work_has_happened(void **state)
{
    if (getenv("HOLDFAST_SEED") != NULL) {
        skip();
    }
    assert_true(all_counts.losses > 0 && all_counts.breaks > 0 && all_counts.crashes > 0 && all_counts.pauses > 0);
    assert_true(all_counts.elections > 0 && all_counts.lost > 0);
    assert_true(all_counts.acknowledged > 0 && all_counts.reads > 0);
    assert_true(all_counts.changes > 0 && all_counts.transfers > 0 && all_counts.snapshots > 0);
}

static void drop_line(void *arg, enum trace_level level, const char *line) {}

int main(void)
{
    replica_host_mutate();
    if (getenv("HOLDFAST_SEED") == NULL) {
        trace_set_sink(drop_line, NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_voters_in_calm_weather_elect_replicate_and_read),
        cmocka_unit_test(one_voter_keeps_its_promises),
        cmocka_unit_test(two_voters_keep_their_promises),
        cmocka_unit_test(H9_three_voters_keep_their_promises),
        cmocka_unit_test(H14_five_nodes_that_change_roles_keep_their_promises),
        cmocka_unit_test(a_lone_voter_that_gains_company_keeps_its_promises),
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
        cmocka_unit_test(every_kind_of_trouble_and_of_work_has_happened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
