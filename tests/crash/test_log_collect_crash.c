/* links: log sim */
/* Collection under crashes and faults, operation by operation: the power goes at every operation of the disk with any
 * subset kept of what was undecided; every call fails once; the device is full; files that were given up come back. The
 * workload is one that gives up, collects and recycles segments all the time. In a build with -DHF_MUTATIONS the
 * environment variable HOLDFAST_MUTATION plants a bug. */
#include "unit/log/log_model.h"

#include "base/bytes.h"
#include "base/trace.h"
#include "log/log.h"
#include "log/log_state.h"
#include "planted.h"
#include "sim/sim.h"

#define DIRECTORY "/data/log"
#define MS        UINT64_C(1000000)
#define SEGMENT   (64u << 10)
#define BATCHES   90u
#define BUSY      0u    /* appends and is compacted all the time */
#define IDLE      1u    /* a few entries and a vote, at the beginning */
#define SNAPSHOT  2u    /* a reset behind a named snapshot, and a few entries behind it */
#define GONE      3u    /* removed at the beginning */
#define KEEP      8u    /* entries of the busy group */
#define INDEX_MS  2100u /* of rest: then a segment that is being emptied gets its index file, too */

struct script {
    struct hf_log_batch *batches[BATCHES];
    struct model *models; /* after so many batches */
    struct hf_log_options options;
};

struct run {
    struct sim *sim;
    struct sim_host *host;
    struct script *script;
    struct hf_log *log;
    size_t appended;
    size_t acknowledged;
    size_t refused; /* in a row */
    bool failed;
};

/* ---- the workload ---- */

static void script_idle(struct model *model, struct hf_log_batch *batch)
{
    for (uint64_t i = 0; i < 5; i++) {
        struct model_entry entry = {.term = 1 + i / 3, .payload_seed = 100 + i, .payload_size = 50};
        model_append(&model->groups[IDLE], batch, model_group_id(IDLE), 1000 + i, entry);
    }
    model_hard_state(&model->groups[IDLE], batch, model_group_id(IDLE), (struct hf_hard_state){7, 3, 1002});
    model_truncate(&model->groups[IDLE], batch, model_group_id(IDLE), 1004);
}

static void script_snapshot(struct model *model, struct hf_log_batch *batch)
{
    model_reset(&model->groups[SNAPSHOT], batch, model_group_id(SNAPSHOT), 77, 5);
    for (uint64_t i = 0; i < 3; i++) {
        struct model_entry entry = {.term = 6, .payload_seed = 200 + i, .payload_size = 3000};
        model_append(&model->groups[SNAPSHOT], batch, model_group_id(SNAPSHOT), 78 + i, entry);
    }
    model_append(&model->groups[GONE], batch, model_group_id(GONE), 1, (struct model_entry){1, 300, 100});
}

static void script_busy(struct model *model, struct hf_log_batch *batch, size_t at)
{
    struct model_group *busy = &model->groups[BUSY];
    uint64_t id = model_group_id(BUSY);
    for (uint64_t i = 0; i < 3; i++) {
        struct model_entry entry = {
            .term = 1 + at / 10, .payload_seed = at * 10 + i, .payload_size = (uint32_t)(2000 + at % 7 * 300)};
        model_append(busy, batch, id, model_last(busy) + 1, entry);
    }
    if (at % 5 == 4) {
        model_truncate(busy, batch, id, model_last(busy));
    }
    if (busy->count > KEEP) {
        model_compact(busy, batch, id, model_last(busy) - KEEP);
    }
    if (at % 9 == 0) {
        model_hard_state(busy, batch, id, (struct hf_hard_state){1 + at / 10, at % 3, model_last(busy) - 1});
    }
}

static void script_begin(struct script *script)
{
    script->models = memory_new((BATCHES + 1) * sizeof(struct model));
    hf_log_options_init(&script->options);
    script->options.segment_size_bytes = SEGMENT;
    script->options.write_size_max_bytes = 64 << 10;
    script->options.tail_cache_bytes = 1;
    script->options.collect_size_bytes = 3 * SEGMENT;
    for (size_t i = 0; i < BATCHES; i++) {
        struct hf_log_batch *batch = NULL;
        struct model *model = &script->models[i + 1];
        assert_int_equal(hf_log_batch_open(&batch), 0);
        script->batches[i] = batch;
        *model = script->models[i];
        if (i == 0) {
            script_idle(model, batch);
        } else if (i == 1) {
            script_snapshot(model, batch);
        } else if (i == 2) {
            model_remove(&model->groups[GONE], batch, model_group_id(GONE));
        } else {
            script_busy(model, batch, i);
        }
    }
}

static void script_end(struct script *script)
{
    for (size_t i = 0; i < BATCHES; i++) {
        hf_log_batch_close(script->batches[i]);
    }
    free(script->models);
}

/* ---- running it ---- */

static void run_done(void *arg, int result)
{
    struct run *run = arg;
    run->acknowledged += result == 0;
    run->failed |= result != 0;
}

static bool run_is_alive(const struct run *run)
{
    return sim_host_is_running(run->host) && !run->failed;
}

static void run_step(struct run *run)
{
    if (!sim_step(run->sim)) {
        sim_run_for(run->sim, MS);
    }
    hf_log_turn(run->log);
}

static void run_idle(struct run *run, unsigned ms)
{
    for (unsigned i = 0; i < ms && run_is_alive(run); i++) {
        sim_run_for(run->sim, MS);
        hf_log_turn(run->log);
    }
}

/* Appends what is left of the script, as far as it gets. */
static void run_go(struct run *run)
{
    while (run->appended < BATCHES && run_is_alive(run)) {
        int rc = hf_log_append(run->log, run->script->batches[run->appended], run_done, run);
        if (rc == HF_ENOSPACE || rc == HF_EBUSY) {
            if (++run->refused > 300) {
                return;
            }
            run_idle(run, 10);
            continue;
        }
        if (rc != 0) {
            assert_true(rc == HF_EPOISONED || !sim_host_is_running(run->host));
            return;
        }
        run->refused = 0;
        run->appended++;
        while (run_is_alive(run) && run->appended - run->acknowledged > 2) {
            run_step(run);
        }
        if (run->appended % 4 == 0) { /* what goes on in the background keeps up */
            run_idle(run, 3);
        }
        if (run->appended == BATCHES / 2) { /* segments that are being emptied get their index files now */
            run_idle(run, INDEX_MS);
        }
    }
    while (run_is_alive(run) && run->acknowledged < run->appended) {
        run_step(run);
    }
    run_idle(run, 120);
}

static int run_open(struct run *run)
{
    return log_open(sim_host_io(run->host), DIRECTORY, &run->script->options, &run->log);
}

static void run_close(struct run *run)
{
    hf_log_close(run->log);
    run->log = NULL;
}

static void run_begin(struct run *run, struct script *script, uint64_t seed)
{
    *run = (struct run){.script = script};
    run->sim = sim_open(seed, NULL);
    run->host = sim_host_add(run->sim, NULL, NULL);
}

static size_t run_check(struct run *run, const char *when, uint64_t at)
{
    struct model_difference first = {""};
    struct model_difference difference;
    for (size_t k = run->acknowledged; k <= run->appended; k++) {
        if (model_is(run->log, &run->script->models[k], &difference)) {
            struct hf_log_group_state state;
            hf_log_group_state(run->log, model_group_id(GONE), &state);
            assert_true(k < 3 || state.removed);
            hf_log_group_state(run->log, model_group_id(SNAPSHOT), &state);
            assert_true(k < 2 || (state.snapshot_name_size == 8 && memcmp(state.snapshot_name, "snapshot", 8) == 0));
            return k;
        }
        first = first.text[0] == '\0' ? difference : first;
    }
    fail_msg("%s %llu: after %zu acknowledged of %zu: %s", when, (unsigned long long)at, run->acknowledged,
             run->appended, first.text);
    return 0;
}

static void run_reopen(struct run *run, const char *when, uint64_t at)
{
    int rc = run_open(run);
    if (rc != 0) {
        fail_msg("%s %llu: the log does not open: %s: %s", when, (unsigned long long)at, hf_error_name(rc),
                 hf_error_text());
    }
    run->appended = run->acknowledged = run_check(run, when, at);
    run->failed = false;
    run->refused = 0;
}

/* Opens what is left, goes on to the end, opens again. */
static void run_recover(struct run *run, const char *when, uint64_t at)
{
    run_reopen(run, when, at);
    run_go(run);
    assert_int_equal(run->acknowledged, BATCHES);
    sim_host_power_off(run->host);
    run_close(run);
    sim_host_start(run->host);
    run_reopen(run, when, at);
    run_close(run);
}

static uint64_t scale(uint64_t few)
{
    const char *text = getenv("HOLDFAST_SEEDS"); /* a nightly run asks for more */
    return text != NULL ? strtoull(text, NULL, 10) : few;
}

/* ---- plain ---- */

static void run_plain(struct run *run, struct script *script, struct hf_log_stat *stat)
{
    run_begin(run, script, 1);
    assert_int_equal(run_open(run), 0);
    run_go(run);
    assert_int_equal(run->acknowledged, BATCHES);
    hf_log_stat(run->log, stat);
}

static void an_idle_group_pins_no_file_and_space_comes_back_by_itself(void **unused)
{
    (void)unused;
    struct script script;
    struct run run;
    struct hf_log_stat stat;
    struct hf_log_group_state state;
    script_begin(&script);
    run_plain(&run, &script, &stat);
    assert_true(stat.moved_entries >= 7 && stat.moved_bytes > 9000);
    assert_true(stat.released_segments > 5 && stat.recycled_segments > 0 && stat.collected_segments >= 2);
    /* Three batches of 9 entries are live, some 30 KiB, in files of 64 KiB. */
    uint64_t index_files = stat.segments * SEGMENT / 4;
    assert_true(stat.segments <= 4 && stat.bytes_on_disk <= 7 * SEGMENT + index_files);
    hf_log_group_state(run.log, model_group_id(IDLE), &state);
    assert_true(state.segment_oldest > 1 && state.segments_held >= 1 && state.segments_held <= 2);
    run_check(&run, "plain", 0);
    run_close(&run);
    run_reopen(&run, "reopened", 0);
    run_close(&run);
    sim_close(run.sim);
    script_end(&script);
}

/* ---- the power goes ---- */

static void L57_the_power_goes_at_every_operation_of_collection(void **unused)
{
    (void)unused;
    struct script script;
    struct run run;
    struct hf_log_stat stat;
    script_begin(&script);
    run_plain(&run, &script, &stat);
    uint64_t operations = sim_disk_operation_count(run.host);
    run_close(&run);
    sim_close(run.sim);
    uint64_t stride = scale(0) > 0 ? 1 : 3; /* a nightly run takes every one */
    for (uint64_t k = 1; k < operations; k += stride) {
        run_begin(&run, &script, 1000 + k);
        sim_disk_cut_at(run.host, k, k % 2 == 0 ? SIM_CUT_DURING : SIM_CUT_AFTER);
        int rc = run_open(&run);
        if (rc == 0) {
            run_go(&run);
        }
        sim_host_power_off(run.host);
        run_close(&run);
        sim_host_start(run.host);
        if (k % 7 == 0) {
            run_recover(&run, "cut at", k);
        } else {
            run_reopen(&run, "cut at", k);
            run_close(&run);
        }
        sim_close(run.sim);
    }
    script_end(&script);
}

/* ---- a call fails ---- */

struct failing {
    enum sim_disk_kind kind;
    int error;
};

static bool run_failing(struct script *script, const struct failing *failing, uint64_t skip)
{
    struct run run;
    struct sim_disk_failure failure = {.kind = failing->kind, .error = failing->error, .skip = skip, .count = 1};
    run_begin(&run, script, 5000 + skip);
    sim_disk_fail(run.host, &failure);
    int rc = run_open(&run);
    if (rc == 0) {
        run_go(&run);
    }
    uint64_t happened = sim_fault_count(run.sim, SIM_FAULT_READ_ERROR) +
                        sim_fault_count(run.sim, SIM_FAULT_WRITE_ERROR) +
                        sim_fault_count(run.sim, SIM_FAULT_SYNC_ERROR) +
                        sim_fault_count(run.sim, SIM_FAULT_OTHER_ERROR) + sim_fault_count(run.sim, SIM_FAULT_NO_SPACE);
    assert_true(rc == 0 || happened > 0);
    /* What only gives space back may fail without harm. */
    bool harmless = failing->kind == SIM_DISK_UNLINK || failing->kind == SIM_DISK_READ;
    struct hf_log_stat stat = {0};
    if (rc == 0) {
        hf_log_stat(run.log, &stat);
    }
    bool failed = run.failed || stat.failure != 0; /* the latter when nobody was waiting */
    assert_true(rc != 0 || run.acknowledged == BATCHES || (failed && happened > 0 && !harmless) ||
                failing->error == HF_ENOSPACE);
    sim_disk_fail_clear(run.host);
    sim_host_power_off(run.host);
    run_close(&run);
    sim_host_start(run.host);
    run_recover(&run, "failing", skip);
    sim_close(run.sim);
    return happened > 0;
}

static void L57_every_call_of_collection_fails_once(void **unused)
{
    (void)unused;
    static const struct failing rows[] = {
        {SIM_DISK_READ, HF_EIO},
        {SIM_DISK_WRITE, HF_EIO},
        {SIM_DISK_WRITE, HF_ENOSPACE},
        {SIM_DISK_DURABLE, HF_EIO},
        {SIM_DISK_SYNC, HF_EIO},
        {SIM_DISK_DIRECTORY_SYNC, HF_EIO},
        {SIM_DISK_RENAME, HF_EIO},
        {SIM_DISK_UNLINK, HF_EIO},
        {SIM_DISK_CREATE, HF_ENOSPACE},
        {SIM_DISK_OPEN, HF_EIO},
        {SIM_DISK_PREALLOCATE, HF_ENOSPACE},
    };
    struct script script;
    script_begin(&script);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t stride = scale(0) > 0                                                         ? 1
                          : rows[i].kind == SIM_DISK_WRITE || rows[i].kind == SIM_DISK_DURABLE ? 11
                                                                                               : 3;
        for (uint64_t skip = 4; run_failing(&script, &rows[i], skip); skip += stride) {
        }
    }
    script_end(&script);
}

/* ---- no space ---- */

static void L23_collection_gives_space_back_on_a_device_without_a_free_byte(void **unused)
{
    (void)unused;
    struct script script;
    struct run run;
    struct hf_log_stat stat;
    script_begin(&script);
    script.options.collect_size_bytes = 0; /* by itself */
    script.options.reserve_bytes = 8 << 10;
    run_begin(&run, &script, 3);
    assert_int_equal(run_open(&run), 0);
    sim_disk_set_capacity(run.host, 7 * SEGMENT); /* it fills up long before the end */
    run_go(&run);
    if (run.acknowledged != BATCHES) {
        hf_log_stat(run.log, &stat);
        fail_msg("%zu of %zu: %llu segments, %llu live, %llu dead", run.acknowledged, (size_t)BATCHES,
                 (unsigned long long)stat.segments, (unsigned long long)stat.live_bytes,
                 (unsigned long long)stat.dead_bytes);
    }
    hf_log_stat(run.log, &stat);
    assert_true(stat.released_segments > 3 && sim_fault_count(run.sim, SIM_FAULT_NO_SPACE) + stat.moved_entries > 0);
    sim_host_power_off(run.host);
    run_close(&run);
    sim_host_start(run.host);
    run_reopen(&run, "full", 0);
    run_close(&run);
    sim_close(run.sim);
    script_end(&script);
}

/* ---- left-overs ---- */

struct copy {
    char name[32];
    uint8_t *bytes;
    size_t size;
};

static struct copy take_copy(struct run *run, uint64_t number)
{
    struct copy copy = {.bytes = memory_new(2 * SEGMENT)};
    struct file *file = NULL;
    char path[256];
    snprintf(copy.name, sizeof(copy.name), "%016llx.log", (unsigned long long)number);
    snprintf(path, sizeof(path), DIRECTORY "/%s", copy.name);
    if (file_open(sim_host_io(run->host), path, FILE_READ, &file) == 0) {
        assert_int_equal(file_read(file, 0, copy.bytes, 2 * SEGMENT, &copy.size), 0);
        file_close(file);
    }
    return copy;
}

static void put_back(struct run *run, const struct copy *copy)
{
    struct file *file = NULL;
    char path[256];
    snprintf(path, sizeof(path), DIRECTORY "/%s", copy->name);
    assert_int_equal(file_open(sim_host_io(run->host), path, FILE_WRITE | FILE_CREATE, &file), 0);
    assert_int_equal(file_write(file, 0, copy->bytes, copy->size), 0);
    assert_int_equal(file_sync(file), 0);
    file_close(file);
    assert_int_equal(directory_sync(sim_host_io(run->host), DIRECTORY), 0);
}

static bool is_there(struct run *run, const char *name)
{
    struct file *file = NULL;
    char path[256];
    snprintf(path, sizeof(path), DIRECTORY "/%s", name);
    int rc = file_open(sim_host_io(run->host), path, FILE_READ, &file);
    file_close(file);
    return rc == 0;
}

/* which: a bit per file that comes back, of the first three. */
static void files_come_back(struct script *script, unsigned which)
{
    struct run run;
    struct copy copies[3] = {{.size = 0}};
    run_begin(&run, script, 9);
    assert_int_equal(run_open(&run), 0);
    while (run.appended < BATCHES) {
        assert_int_equal(hf_log_append(run.log, script->batches[run.appended], run_done, &run), 0);
        run.appended++;
        while (run.acknowledged < run.appended) {
            run_step(&run);
        }
        for (uint64_t i = 0; i < 3; i++) { /* as they were last, before they were recycled */
            struct copy copy = take_copy(&run, i + 1);
            bool itself = copy.size > 24 && bytes_get_u64(copy.bytes + 16) == i + 1;
            free(itself ? copies[i].bytes : copy.bytes);
            copies[i] = itself ? copy : copies[i];
        }
    }
    run_idle(&run, 120);
    assert_true(copies[0].size > 0 && copies[1].size > 0 && copies[2].size > 0);
    run_close(&run);
    for (unsigned i = 0; i < 3; i++) {
        if ((which >> i & 1) != 0) {
            put_back(&run, &copies[i]);
        }
    }
    run_reopen(&run, "left-overs", which);
    for (unsigned i = 0; i < 3; i++) {
        assert_false(is_there(&run, copies[i].name));
        free(copies[i].bytes);
    }
    run_close(&run);
    run_reopen(&run, "left-overs, again", which);
    run_close(&run);
    sim_close(run.sim);
}

static void L57_files_that_come_back_are_ignored_and_removed(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script);
    for (unsigned which = 1; which < 8; which++) {
        files_come_back(&script, which);
    }
    script_end(&script);
}

/* In the payload of the idle group's first entry. */
static void damage_idle(struct run *run)
{
    assert_int_equal(sim_disk_flip_bit(run->host, DIRECTORY "/0000000000000001.log", 4096 + 96 + 64 + 40, 3), 0);
}

enum places {
    PLACES_READ,     /* where entries lie was read at an open, and an index file is made by reading, too */
    PLACES_IN_FILE,  /* the index file is there already, so that collection is who meets the damage */
    PLACES_IN_MEMORY /* no index file could be made: the same */
};

static void refuse_index_files(struct run *run)
{
    const struct sim_disk_failure failure = {SIM_DISK_CREATE, 0, UINT64_MAX, HF_EIO, ".idx"};
    sim_disk_fail(run->host, &failure);
}

/* What is found damaged is named, keeps its file, and is still named after a restart. */
static void expect_damage_is_named(enum places places)
{
    struct script script;
    struct run run;
    struct hf_log_group_state state;
    struct hf_log_damage damage;
    size_t position = 0;
    bool damaged = false;
    script_begin(&script);
    run_begin(&run, &script, 11);
    assert_int_equal(run_open(&run), 0);
    if (places == PLACES_IN_MEMORY) {
        refuse_index_files(&run);
    }
    while (run.appended < BATCHES) {
        assert_int_equal(hf_log_append(run.log, script.batches[run.appended], run_done, &run), 0);
        run.appended++;
        while (run.acknowledged < run.appended) {
            run_step(&run);
        }
        if (places != PLACES_READ && !damaged && is_there(&run, "0000000000000003.log")) {
            run_idle(&run, places == PLACES_IN_FILE ? INDEX_MS : 0);
            assert_int_equal(is_there(&run, "0000000000000001.idx"), places == PLACES_IN_FILE);
            damage_idle(&run);
            damaged = true;
        }
        if (places == PLACES_READ &&
            run.appended == 3) { /* after an open nothing of it is in memory: it has to be read */
            run_close(&run);
            assert_int_equal(run_open(&run), 0);
            damage_idle(&run);
            damaged = true;
        }
    }
    run_idle(&run, 300);
    assert_true(damaged);
    hf_log_group_state(run.log, model_group_id(IDLE), &state);
    assert_true(state.damaged);
    bool named = false; /* and the frame itself, by whoever read it back */
    while (hf_log_damage_next(run.log, &position, &damage) == 0) {
        named |= damage.group == model_group_id(IDLE) && damage.index == 1000 && damage.term == 1;
    }
    assert_true(named);
    assert_true(is_there(&run, "0000000000000001.log"));
    hf_log_group_state(run.log, model_group_id(BUSY), &state);
    assert_false(state.damaged);
    run_close(&run);
    assert_int_equal(run_open(&run), 0);
    hf_log_group_state(run.log, model_group_id(IDLE), &state);
    assert_int_equal(state.damaged, places != PLACES_IN_FILE); /* an open does not read what an index file tells */
    if (places == PLACES_IN_FILE) {
        struct hf_log_view view = {0};
        assert_int_equal(hf_log_read(run.log, model_group_id(IDLE), 1000, 1001, 0, 0, &view), HF_ECORRUPT);
    }
    run_close(&run);
    sim_close(run.sim);
    script_end(&script);
}

static void P2_damage_that_making_an_index_file_meets_closes_its_group_and_keeps_the_file(void **unused)
{
    (void)unused;
    expect_damage_is_named(PLACES_READ);
}

static void P2_damage_that_collection_meets_closes_its_group_and_keeps_the_file(void **unused)
{
    (void)unused;
    expect_damage_is_named(PLACES_IN_FILE);
    expect_damage_is_named(PLACES_IN_MEMORY);
}

static void append_to(struct run *run, struct hf_log_batch *batch)
{
    assert_int_equal(hf_log_append(run->log, batch, run_done, run), 0);
    run->appended++;
    while (run->acknowledged < run->appended) {
        run_step(run);
    }
    hf_log_batch_clear(batch);
}

/* Only a vote of another group is live in a segment of which a frame is bad: it moves on from memory, the file goes. */
static void L57_a_bad_frame_that_nobody_needs_keeps_no_file(void **unused)
{
    (void)unused;
    struct script script;
    struct run run;
    struct hf_log_group_state state;
    static uint8_t payload[2000];
    script_begin(&script);
    run_begin(&run, &script, 12);
    assert_int_equal(run_open(&run), 0);
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    for (uint64_t index = 1; index <= 200; index++) {
        struct hf_entry entry = {
            .index = index, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, sizeof(payload))};
        assert_int_equal(hf_log_batch_append(batch, 51, &entry, 1), 0);
        if (index == 40) {
            assert_int_equal(hf_log_batch_hard_state(batch, 52, (struct hf_hard_state){.term = 7, .vote = 3}), 0);
        }
        append_to(&run, batch);
    }
    hf_log_group_state(run.log, 52, &state);
    assert_true(state.segment_oldest > 1);
    char name[64];
    snprintf(name, sizeof(name), "%016llx.log", (unsigned long long)state.segment_oldest);
    char *path = text_format("%s/%s", DIRECTORY, name);
    assert_int_equal(sim_disk_flip_bit(run.host, path, 4096 + 96 + 64 + 40, 3), 0); /* in its first frame */
    free(path);
    assert_int_equal(hf_log_batch_compact(batch, 51, 199), 0);
    append_to(&run, batch);
    run_idle(&run, 300);
    assert_false(is_there(&run, name));
    run_close(&run);
    assert_int_equal(run_open(&run), 0);
    hf_log_group_state(run.log, 52, &state);
    assert_true(state.hard_state.term == 7 && state.hard_state.vote == 3 && !state.damaged);
    hf_log_batch_close(batch);
    run_close(&run);
    sim_close(run.sim);
    script_end(&script);
}

#define VOTER UINT64_C(60)

static void append_entry_to(struct run *run, struct hf_log_batch *batch, uint64_t group, uint64_t index)
{
    static uint8_t payload[3800]; /* hardly a byte of its frame is wasted: nothing is due before the compaction */
    struct hf_entry entry = {
        .index = index, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, sizeof(payload))};
    assert_int_equal(hf_log_batch_append(batch, group, &entry, 1), 0);
    append_to(run, batch);
}

static int note_vote(void *arg, const struct log_walk_record *record)
{
    struct log_walk_record *first = arg;
    bool is_vote = record->group == VOTER && strcmp(record->kind, "hard_state") == 0;
    *first = is_vote && first->segment == 0 ? *record : *first;
    return 0;
}

/* A vote that was replaced long ago, among entries that are live. */
static void expect_no_damage_of_what_is_dead(enum places places)
{
    struct script script;
    struct run run;
    struct hf_log_batch *batch = NULL;
    script_begin(&script);
    run_begin(&run, &script, 13);
    assert_int_equal(run_open(&run), 0);
    assert_int_equal(hf_log_batch_open(&batch), 0);
    if (places == PLACES_IN_MEMORY) {
        refuse_index_files(&run);
    }
    uint64_t began = 0;
    for (uint64_t index = 1; index <= 300; index++) {
        append_entry_to(&run, batch, 51, index);
        bool begins = began == 0 && index > 100 && run.log->writer.tail_offset < SEGMENT / 2; /* all in one file */
        if (begins) {
            append_entry_to(&run, batch, VOTER, 1);
            append_entry_to(&run, batch, VOTER, 2);
            began = index;
        }
        if (begins || (began != 0 && index == began + 50)) {
            assert_int_equal(hf_log_batch_hard_state(batch, VOTER, (struct hf_hard_state){.term = index, .vote = 3}),
                             0);
            append_to(&run, batch);
        }
        if (begins) {
            append_entry_to(&run, batch, VOTER, 3);
        }
    }
    run_idle(&run, places == PLACES_IN_FILE ? INDEX_MS : 0);
    struct log_walk_record vote = {0};
    struct log_walk_callbacks callbacks = {.record = note_vote};
    struct log_walk_summary summary;
    assert_int_equal(log_walk(sim_host_io(run.host), DIRECTORY, &callbacks, &vote, &summary), 0);
    char path[64];
    snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)vote.segment);
    assert_int_equal(sim_disk_flip_bit(run.host, path, vote.offset + LOG_FORMAT_RECORD_HEADER_SIZE + 2, 3), 0);
    assert_int_equal(hf_log_batch_compact(batch, 51, 299), 0);
    append_to(&run, batch);
    run_idle(&run, 300);
    struct hf_log_group_state state;
    struct hf_log_stat stat;
    struct hf_log_view view = {0};
    hf_log_group_state(run.log, VOTER, &state);
    assert_false(state.damaged);
    assert_int_equal(hf_log_read(run.log, VOTER, 1, 4, 0, 0, &view), 0);
    assert_int_equal(view.count, 3);
    hf_log_view_close(&view);
    hf_log_stat(run.log, &stat);
    assert_true(state.segment_oldest == vote.segment && stat.segments > 1); /* it was tried, and given up */
    append_entry_to(&run, batch, VOTER, 4);
    hf_log_batch_close(batch);
    run_close(&run);
    sim_close(run.sim);
    script_end(&script);
}

static void a_bad_record_that_nobody_needs_closes_no_group_when_collection_meets_it(void **unused)
{
    (void)unused;
    expect_no_damage_of_what_is_dead(PLACES_IN_FILE);
    expect_no_damage_of_what_is_dead(PLACES_IN_MEMORY);
}

/* A file that is needed is missing: the log says which, and truncates nothing. */
static void H19_a_segment_that_is_needed_is_missing_and_the_log_says_so(void **unused)
{
    (void)unused;
    struct script script;
    struct run run;
    struct hf_log_stat stat;
    script_begin(&script);
    run_plain(&run, &script, &stat);
    struct hf_log_group_state state;
    hf_log_group_state(run.log, model_group_id(IDLE), &state);
    uint64_t number = state.segment_oldest;
    run_close(&run);
    char path[256];
    snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)number);
    assert_int_equal(path_unlink(sim_host_io(run.host), path), 0);
    assert_int_equal(run_open(&run), HF_ECORRUPT);
    assert_non_null(strstr(hf_error_text(), "missing"));
    sim_close(run.sim);
    script_end(&script);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line; /* thousands of failing disks */
}

int main(void)
{
    trace_set_sink(say_nothing, NULL);
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_group_pins_no_file_and_space_comes_back_by_itself),
        cmocka_unit_test(L57_the_power_goes_at_every_operation_of_collection),
        cmocka_unit_test(L57_every_call_of_collection_fails_once),
        cmocka_unit_test(L23_collection_gives_space_back_on_a_device_without_a_free_byte),
        cmocka_unit_test(L57_files_that_come_back_are_ignored_and_removed),
        cmocka_unit_test(P2_damage_that_making_an_index_file_meets_closes_its_group_and_keeps_the_file),
        cmocka_unit_test(P2_damage_that_collection_meets_closes_its_group_and_keeps_the_file),
        cmocka_unit_test(L57_a_bad_frame_that_nobody_needs_keeps_no_file),
        cmocka_unit_test(a_bad_record_that_nobody_needs_closes_no_group_when_collection_meets_it),
        cmocka_unit_test(H19_a_segment_that_is_needed_is_missing_and_the_log_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
