/* links: snapshot sim */
/* Takes the power at every operation that changes the disk or makes it durable while snapshots are written, received,
 * accepted and deleted, and opens what is left under many outcomes. The law: whatever is listed is whole, nothing that
 * was acknowledged is gone, nothing has to be told of damage, and everything can go on. In a build with -DHF_MUTATIONS
 * the environment variable HOLDFAST_MUTATION plants a bug. */
#include "contract/snapshot_fixture.h"

#include "base/mutation.h"
#include "base/trace.h"
#include "sim/sim.h"

#define DIRECTORY        "/data/snapshots"
#define LEADER_DIRECTORY "/leader"
#define GROUP            UINT64_C(7)
#define INDEX_MAX        8u
#define OUTCOMES_ALL_MAX 24u

/* What a workload was told, by index of the snapshot. */
struct known {
    bool listed[INDEX_MAX];   /* hf_snapshot_finish or _receive_finish said so */
    bool accepted[INDEX_MAX]; /* hf_snapshot_accept said so, or it is local */
    bool deleted[INDEX_MAX];  /* its deletion was begun: either way is right */
};

struct run {
    struct sim *sim;
    struct sim_host *host;
    struct hf_snapshot_store *leader; /* in memory; what is received comes from here */
    struct hf_snapshot_manifest sent[INDEX_MAX];
    struct hf_snapshot_options options;
    struct snapshot_events events;
    struct hf_snapshot_store *store;
    struct known known;
};

typedef void workload(struct run *run);

static size_t size_of(uint64_t index)
{
    return 4 * SNAPSHOT_CHUNK + 100 * (size_t)index;
}

/* How many outcomes are tried where there are too many for all; a nightly run asks for more. */
static uint64_t sample_size(void)
{
    const char *text = getenv("HOLDFAST_SEEDS");
    return text != NULL ? strtoull(text, NULL, 10) : 6;
}

static int run_open_store(struct run *run)
{
    memset(&run->events, 0, sizeof(run->events));
    run->options = (struct hf_snapshot_options){
        .format = {.chunk_size_bytes = SNAPSHOT_CHUNK, .compression = HF_SNAPSHOT_ZSTD},
        .sync_every_bytes = 8192,
        .reserve_bytes = 1,
        .report = snapshot_count_event,
        .report_arg = &run->events,
    };
    return snapshot_open(sim_host_io(run->host), DIRECTORY, &run->options, &run->store);
}

/* ---- workloads; each goes on until the power is gone ---- */

static bool write_one(struct run *run, uint64_t index)
{
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, index);
    struct buffer bytes = snapshot_bytes(index, size_of(index));
    int rc = snapshot_write_cut(run->store, &begin, &bytes, NULL);
    buffer_close(&bytes);
    if (rc == 0) {
        run->known.listed[index] = run->known.accepted[index] = true;
    }
    return rc == 0;
}

static void write_three(struct run *run)
{
    if (write_one(run, 2) && write_one(run, 3)) {
        write_one(run, 5);
    }
}

/* In two goes, the second half first. */
static bool receive_one(struct run *run, uint64_t index)
{
    const struct hf_snapshot_manifest *manifest = &run->sent[index];
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_snapshot_reader *reader = NULL;
    snapshot_assert_ok(hf_snapshot_reader_open(run->leader, manifest->id, &reader));
    uint32_t count = manifest->chunk_count;
    int rc = hf_snapshot_receive(run->store, manifest, &receiver);
    if (rc == 0) {
        rc = snapshot_send(reader, receiver, count / 2, count);
        hf_snapshot_receiver_close(receiver);
        receiver = NULL;
    }
    rc = rc == 0 ? hf_snapshot_receive(run->store, manifest, &receiver) : rc;
    if (rc == 0) {
        rc = snapshot_send(reader, receiver, 0, count);
        if (rc == 0) {
            rc = hf_snapshot_receive_finish(receiver, NULL, NULL);
        } else {
            hf_snapshot_receiver_close(receiver);
        }
    }
    hf_snapshot_reader_close(reader);
    run->known.listed[index] = run->known.listed[index] || rc == 0;
    if (rc == 0 && hf_snapshot_accept(run->store, manifest->id) == 0) {
        run->known.accepted[index] = true;
    }
    return rc == 0;
}

static void receive_two_in_quick_succession(struct run *run)
{
    if (receive_one(run, 5)) {
        receive_one(run, 6);
    }
}

static void write_and_clean(struct run *run)
{
    struct hf_snapshot_retention one = {.keep_latest = 1};
    if (write_one(run, 2) && write_one(run, 3)) {
        run->known.deleted[1] = run->known.deleted[2] = true;
        if (hf_snapshot_clean(run->store, GROUP, &one, 0, NULL) == 0) {
            run->known.listed[1] = run->known.listed[2] = false;
            write_one(run, 5);
        }
    }
}

/* ---- what must hold after a restart ---- */

static void check_listed(struct run *run, const struct hf_snapshot_info *info)
{
    uint64_t index = info->manifest.index;
    if (info->damaged) {
        fail_msg("index %u is listed and damaged: %s", (unsigned)index, info->reason);
    }
    int rc = hf_snapshot_verify(run->store, info->manifest.id, NULL, NULL);
    if (rc != 0) {
        fail_msg("index %u is listed and not whole: %s", (unsigned)index, hf_error_text());
    }
    if (run->known.accepted[index] && info->origin != HF_SNAPSHOT_LOCAL) {
        fail_msg("index %u was accepted and is received only", (unsigned)index);
    }
    snapshot_assert_content(run->store, info->manifest.id, index, size_of(index));
}

static int count_name(void *arg, const char *name, bool is_directory)
{
    assert_true(strstr(name, ".tmp") == NULL);
    ++*(unsigned *)arg;
    return 0;
}

static void check_store(struct run *run)
{
    struct hf_snapshot_info *list = NULL;
    size_t count;
    bool found[INDEX_MAX] = {false};
    uint64_t newest = 0;
    snapshot_assert_ok(run_open_store(run));
    snapshot_assert_ok(hf_snapshot_list(run->store, 0, &list, &count));
    for (size_t i = 0; i < count; i++) {
        uint64_t index = list[i].manifest.index;
        check_listed(run, &list[i]);
        assert_true(index < INDEX_MAX && !found[index]);
        found[index] = true;
        newest = list[i].origin == HF_SNAPSHOT_LOCAL && index > newest ? index : newest;
    }
    hf_snapshot_list_free(list);
    for (unsigned i = 0; i < INDEX_MAX; i++) {
        if (run->known.listed[i] && !found[i] && !run->known.deleted[i]) {
            fail_msg("index %u was published and is gone", i);
        }
    }
    struct hf_snapshot_manifest latest;
    snapshot_assert_ok(hf_snapshot_latest_verified(run->store, GROUP, SNAPSHOT_INCARNATION, &latest));
    assert_int_equal(latest.index, newest);
    assert_int_equal(run->events.counts[HF_SNAPSHOT_EVENT_DAMAGED], 0);
    unsigned names = 0;
    snapshot_assert_ok(directory_list(sim_host_io(run->host), DIRECTORY, count_name, &names));
}

/* What was cut off is done again, and more. */
static void check_goes_on(struct run *run)
{
    struct hf_snapshot_info info;
    struct hf_snapshot_manifest latest;
    struct hf_snapshot_id id = run->sent[6].id;
    if (hf_snapshot_find(run->store, id, &info) != 0) {
        assert_true(receive_one(run, 6));
    } else {
        snapshot_assert_ok(hf_snapshot_accept(run->store, id));
    }
    assert_true(write_one(run, 7));
    snapshot_assert_ok(hf_snapshot_latest_verified(run->store, GROUP, 0, &latest));
    assert_int_equal(latest.index, 7);
}

static void check_outcomes(struct run *run)
{
    struct sim_image *image = sim_image_take(run->host);
    uint64_t count = sim_disk_outcome_count(run->host);
    bool all = count <= OUTCOMES_ALL_MAX;
    uint64_t tries = all ? count : sample_size() + 2;
    struct known known = run->known;
    for (uint64_t i = 0; i < tries; i++) {
        if (i > 0) {
            sim_host_power_off(run->host);
            sim_image_put(run->host, image);
        }
        if (all || i == 0) {
            sim_disk_choose_outcome(run->host, i);
        } else if (i == 1 && count < UINT64_MAX) {
            sim_disk_choose_outcome(run->host, count - 1);
        }
        sim_host_start(run->host);
        run->known = known;
        check_store(run);
        check_goes_on(run);
        hf_snapshot_store_close(run->store);
        run->store = NULL;
    }
    sim_host_power_off(run->host);
    sim_image_close(image);
}

/* ---- crashing at every operation ---- */

static void run_open_leader(struct run *run, struct io *io)
{
    struct hf_snapshot_options options = {.format = {.chunk_size_bytes = SNAPSHOT_CHUNK}};
    snapshot_assert_ok(snapshot_open_memory(io, &options, &run->leader));
    for (uint64_t index = 5; index <= 6; index++) {
        run->sent[index] = snapshot_make(run->leader, GROUP, index, size_of(index));
    }
}

/* Returns false when the workload ended before the k-th operation. */
static bool crash_at(workload *work, uint64_t k, enum sim_cut mode)
{
    struct run run = {.sim = sim_open(k * 2 + mode, NULL)};
    struct sim_host *leader = sim_host_add(run.sim, NULL, NULL);
    run.host = sim_host_add(run.sim, NULL, NULL);
    run_open_leader(&run, sim_host_io(leader));
    snapshot_assert_ok(run_open_store(&run));
    assert_true(write_one(&run, 1));
    sim_disk_cut_at(run.host, k, mode);
    work(&run);
    bool happened = !sim_host_is_running(run.host);
    sim_host_power_off(run.host);
    hf_snapshot_store_close(run.store);
    run.store = NULL;
    check_outcomes(&run);
    hf_snapshot_store_close(run.leader);
    sim_close(run.sim);
    return happened;
}

static void crash_everywhere(workload *work, uint64_t operations_min)
{
    uint64_t k = 1;
    while (crash_at(work, k, SIM_CUT_DURING)) {
        crash_at(work, k, SIM_CUT_AFTER);
        k++;
    }
    assert_true(k > operations_min); /* the planned faults did happen */
}

static void L44_a_snapshot_is_listed_whole_or_not_at_all_at_every_crash(void **unused)
{
    (void)unused;
    crash_everywhere(write_three, 20);
}

static void H15_two_receptions_in_quick_succession_survive_a_crash_at_every_step(void **unused)
{
    (void)unused;
    crash_everywhere(receive_two_in_quick_succession, 20);
}

static void H8_retention_and_publication_survive_a_crash_at_every_step(void **unused)
{
    (void)unused;
    crash_everywhere(write_and_clean, 20);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(void)
{
    trace_set_sink(say_nothing, NULL);
#ifdef HF_MUTATIONS
    const char *mutation = getenv("HOLDFAST_MUTATION");
    if (mutation != NULL) {
        assert_int_equal(mutation_enable(mutation), 0);
    }
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L44_a_snapshot_is_listed_whole_or_not_at_all_at_every_crash),
        cmocka_unit_test(H15_two_receptions_in_quick_succession_survive_a_crash_at_every_step),
        cmocka_unit_test(H8_retention_and_publication_survive_a_crash_at_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
