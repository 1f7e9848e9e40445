/* links: log sim */
/* Records of any kind are lost from the middle of a log: entries, truncations, compactions, resets, removals, votes, of
 * histories that Raft allows. What is not called damaged is right; what a peer's entries make whole is right, too; and
 * the next open says the same. HAZARDS row 3. */
#include "crash/log_specimen.h"

#include "base/trace.h"
#include "planted.h"

#define SEEDS        5u
#define BATCHES      24u
#define BATCHES_LONG 220u
#define PAYLOAD_MAX  900u
#define INDEX_MAX    4096u
#define FILE_BLOCKS  16u
#define ROUNDS_MAX   64u /* of putting something back, per group */

static struct rng history_rng;
static uint64_t history_moved; /* entries, by all logs together */
static uint64_t history_released;
static uint32_t history_payload_max;

/* What compactions took away, by group and index, and up to where they did; from a reset or removal on anew. */
static struct {
    struct model_entry entries[INDEX_MAX];
    uint64_t index;
    uint64_t reset;
} history_compacted[SPECIMEN_GROUPS];

/* ---- a history that Raft allows: what is committed stays, and the commit index never falls ---- */

static uint64_t history_term(const struct model_group *group)
{
    uint64_t term = group->count > 0 || group->anchored ? model_term(group, model_last(group)) : 1;
    term = group->hard_state.term > term ? group->hard_state.term : term;
    return term + rng_below(&history_rng, 4) / 3;
}

static void history_append(struct model_group *group, struct hf_log_batch *batch, uint64_t id)
{
    uint64_t term = history_term(group);
    for (uint64_t i = rng_below(&history_rng, 4) + 1; i > 0; i--) {
        struct model_entry entry = {.term = term,
                                    .payload_seed = rng_next(&history_rng) >> 20,
                                    .payload_size = (uint32_t)rng_below(&history_rng, history_payload_max)};
        model_append(group, batch, id, model_last(group) + 1, entry);
    }
}

static void history_hard_state(struct model_group *group, struct hf_log_batch *batch, uint64_t id)
{
    uint64_t last = model_last(group);
    uint64_t commit = group->hard_state.commit;
    commit = commit < last ? rng_between(&history_rng, commit, last) : commit;
    struct hf_hard_state state = {history_term(group), rng_below(&history_rng, 3), commit};
    model_hard_state(group, batch, id, state);
}

static void history_compact(struct model_group *group, struct hf_log_batch *batch, size_t i)
{
    uint64_t index = rng_between(&history_rng, group->floor + 1, group->hard_state.commit);
    assert_true(index < INDEX_MAX);
    for (uint64_t at = group->floor + 1; at <= index; at++) {
        history_compacted[i].entries[at] = group->entries[at - group->floor - 1];
    }
    history_compacted[i].index = index;
    model_compact(group, batch, model_group_id(i), index);
}

static void history_restart(struct model_group *group, struct hf_log_batch *batch, size_t i, uint64_t from)
{
    history_compacted[i].index = history_compacted[i].reset = 0;
    if (rng_chance(&history_rng, 1, 2)) {
        model_remove(group, batch, model_group_id(i));
        return;
    }
    uint64_t index = from + rng_below(&history_rng, 10);
    bool is_settled = index == group->floor || (index <= group->hard_state.commit && index <= model_last(group));
    uint64_t term = is_settled ? model_term(group, index) : history_term(group); /* what is committed has one term */
    history_compacted[i].reset = index;
    model_reset(group, batch, model_group_id(i), index, term);
}

static void history_step(struct model_group *group, struct hf_log_batch *batch, size_t i)
{
    uint64_t id = model_group_id(i);
    uint64_t last = model_last(group);
    uint64_t commit = group->hard_state.commit;
    uint64_t choice = rng_below(&history_rng, 100);
    if (choice < 55 || !group->exists) {
        history_append(group, batch, id);
    } else if (choice < 70 && group->count > 0 && commit < last) {
        uint64_t low = commit > group->floor ? commit : group->floor;
        model_truncate(group, batch, id, rng_between(&history_rng, low + 1, last));
    } else if (choice < 85) {
        history_hard_state(group, batch, id);
    } else if (choice < 92 && commit > group->floor) {
        history_compact(group, batch, i);
    } else {
        history_restart(group, batch, i, last > commit ? last : commit);
    }
}

static void history_fill(struct specimen *specimen, struct hf_log *log)
{
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    memset(history_compacted, 0, sizeof(history_compacted));
    for (unsigned i = 0; i < BATCHES; i++) {
        for (uint64_t steps = rng_below(&history_rng, 3) + 1; steps > 0; steps--) {
            size_t group = rng_below(&history_rng, SPECIMEN_GROUPS);
            history_step(&specimen->model.groups[group], batch, group);
        }
        append_and_wait(specimen, log, batch);
    }
    hf_log_batch_close(batch);
}

/* Space comes back: the oldest files go, and what one group still has in them is moved. */
static void history_fill_long(struct specimen *specimen, struct hf_log *log)
{
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    memset(history_compacted, 0, sizeof(history_compacted));
    for (unsigned i = 0; i < BATCHES_LONG; i++) {
        size_t group = i % 11 == 0 ? 0 : 1 + rng_below(&history_rng, SPECIMEN_GROUPS - 1);
        struct model_group *model = &specimen->model.groups[group];
        if (group == 0) {
            history_append(model, batch, model_group_id(0));
        } else if (i % 7 == 6 && model->count > 4) {
            model_hard_state(model, batch, model_group_id(group),
                             (struct hf_hard_state){history_term(model), 1, model_last(model) - 2});
            history_compact(model, batch, group);
        } else {
            history_step(model, batch, group);
        }
        append_and_wait(specimen, log, batch);
        sim_run_for(specimen->sim, 4 * MS);
        hf_log_turn(log);
    }
    struct hf_log_stat stat;
    hf_log_stat(log, &stat);
    history_moved += stat.moved_entries;
    history_released += stat.released_segments;
    hf_log_batch_close(batch);
}

/* ---- putting back ---- */

/* Entries in first … last as they were appended. False: nobody has them, or they are refused. */
static bool put_back(const struct model_group *model, struct hf_log *log, uint64_t id, uint64_t first, uint64_t last)
{
    static uint8_t payloads[MODEL_ENTRIES_MAX][PAYLOAD_MAX];
    struct hf_log_batch *batch = NULL;
    if (first <= model->floor || last > model_last(model)) {
        return false;
    }
    assert_int_equal(hf_log_batch_open(&batch), 0);
    for (uint64_t index = first; index <= last; index++) {
        const struct model_entry *entry = &model->entries[index - model->floor - 1];
        uint8_t *payload = payloads[index - model->floor - 1];
        model_payload(payload, entry);
        struct hf_entry sent = {.index = index,
                                .term = entry->term,
                                .timestamp_ms = entry->payload_seed,
                                .type = (enum hf_entry_type)(HF_ENTRY_NORMAL + entry->payload_seed % 4),
                                .payload = {payload, entry->payload_size}};
        assert_int_equal(hf_log_batch_repair(batch, id, &sent, 1), 0);
    }
    int rc = hf_log_append(log, batch, NULL, NULL);
    hf_log_batch_close(batch);
    return rc == 0;
}

struct outcome {
    unsigned closed; /* its vote is lost, or records contradict each other: nothing but a reset helps */
    unsigned healed;
    unsigned kept; /* damaged, and a peer's entries did not help */
    unsigned whole;
};

static void heal_group(const struct model_group *model, struct hf_log *log, uint64_t id)
{
    uint64_t first = 0;
    uint64_t last = 0;
    for (unsigned i = 0; i < ROUNDS_MAX && hf_log_missing(log, id, 0, &first, &last) == 0; i++) {
        if (!put_back(model, log, id, first, last)) {
            return;
        }
    }
}

/* Where nothing but a compaction was lost, what it took away is there again; the rest is as it was. */
static void heard_of_compactions(const struct specimen *specimen, struct hf_log *log, size_t i,
                                 struct model_group *model)
{
    struct hf_log_group_state state;
    *model = specimen->model.groups[i];
    hf_log_group_state(log, model_group_id(i), &state);
    if (state.first_index > model->floor || !model->exists) {
        return;
    }
    uint64_t more = model->floor + 1 - state.first_index;
    assert_true(model->floor <= history_compacted[i].index);
    assert_true(model->count + more <= MODEL_ENTRIES_MAX && state.first_index > history_compacted[i].reset);
    memmove(model->entries + more, model->entries, model->count * sizeof(model->entries[0]));
    memcpy(model->entries, history_compacted[i].entries + state.first_index, more * sizeof(model->entries[0]));
    model->count += more;
    model->floor -= more;
    model->anchored = false;
}

static void expect_right_or_damaged(struct specimen *specimen, struct hf_log *log, const char *where, bool was_healed,
                                    bool *damaged)
{
    static struct model_group model;
    for (size_t i = 0; i < SPECIMEN_GROUPS; i++) {
        struct hf_log_group_state state;
        struct model_difference difference = {""};
        hf_log_group_state(log, model_group_id(i), &state);
        damaged[i] = state.damaged;
        model = specimen->model.groups[i];
        if (!state.damaged) {
            heard_of_compactions(specimen, log, i, &model);
        }
        if (!state.damaged && model_group_differs(&difference, log, model_group_id(i), &model)) {
            fail_msg("%s, %s: silently %s", where, was_healed ? "healed" : "as it was found", difference.text);
        }
    }
}

static void look_and_heal(struct specimen *specimen, const char *where, struct outcome *outcome)
{
    bool before[SPECIMEN_GROUPS];
    bool after[SPECIMEN_GROUPS];
    bool later[SPECIMEN_GROUPS];
    struct hf_log_batch *barrier = NULL;
    struct hf_log *log = open_log(specimen, where);
    expect_right_or_damaged(specimen, log, where, false, before);
    for (size_t i = 0; i < SPECIMEN_GROUPS; i++) {
        struct hf_log_group_state state;
        hf_log_group_state(log, model_group_id(i), &state);
        if (before[i]) {
            heal_group(&specimen->model.groups[i], log, model_group_id(i));
        }
        outcome->closed += state.state_lost;
    }
    assert_int_equal(hf_log_batch_open(&barrier), 0);
    append_and_wait(specimen, log, barrier);
    hf_log_batch_close(barrier);
    expect_right_or_damaged(specimen, log, where, true, after);
    hf_log_close(log);
    log = open_log(specimen, where);
    expect_right_or_damaged(specimen, log, where, true, later);
    hf_log_close(log);
    for (size_t i = 0; i < SPECIMEN_GROUPS; i++) {
        /* The other way round it may be: what told of a loss was given up, and what is left is right. */
        if (later[i] && !after[i]) {
            fail_msg("%s: group %zu was healed, and is damaged at the next open", where, i);
        }
        assert_true(before[i] || !after[i]);
        outcome->whole += !before[i];
        outcome->healed += before[i] && !after[i];
        outcome->kept += after[i];
    }
}

typedef void history_damager(struct specimen *specimen, uint64_t seed, struct outcome *outcome);

static void each_history(const struct hf_log_options *options, specimen_filler *fill, history_damager *damage,
                         struct outcome *outcome)
{
    const char *seeds = getenv("HOLDFAST_SEEDS");
    uint64_t count = seeds != NULL ? strtoull(seeds, NULL, 10) : SEEDS;
    for (uint64_t seed = 1; seed <= count; seed++) {
        rng_seed(&history_rng, seed);
        struct specimen *specimen = specimen_open_with(seed, options, fill);
        damage(specimen, seed, outcome);
        specimen_close(specimen);
    }
}

static void lose_frames(struct specimen *specimen, uint64_t seed, struct outcome *outcome)
{
    uint64_t blocks = specimen->end / LOG_FORMAT_BLOCK_SIZE;
    for (uint64_t block = 1; block < blocks; block++) {
        uint64_t count = 1 + (block + seed) % 3;
        count = block + count < blocks ? count : 1; /* the last one declares the rest */
        char where[64];
        snprintf(where, sizeof(where), "seed %llu, %llu blocks from %llu", (unsigned long long)seed,
                 (unsigned long long)count, (unsigned long long)block);
        specimen_restore(specimen);
        overwrite(specimen, block * LOG_FORMAT_BLOCK_SIZE, count * LOG_FORMAT_BLOCK_SIZE, 0x5a);
        look_and_heal(specimen, where, outcome);
    }
}

static void H3_lost_frames_of_any_history_are_told_or_healed(void **unused)
{
    (void)unused;
    struct outcome outcome = {0};
    history_payload_max = 100;
    each_history(NULL, history_fill, lose_frames, &outcome);
    assert_true(outcome.healed > 50 && outcome.closed > 50 && outcome.whole > 50);
}

static void flip_bits(struct specimen *specimen, uint64_t seed, struct outcome *outcome)
{
    for (uint64_t offset = LOG_FORMAT_SEGMENT_HEADER_SIZE + seed; offset < specimen->end;
         offset += offset % 4096 < 900 ? 61 : 800) {
        char where[64];
        snprintf(where, sizeof(where), "seed %llu, offset %llu", (unsigned long long)seed, (unsigned long long)offset);
        specimen_restore(specimen);
        assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, offset, (unsigned)(offset % 8)), 0);
        look_and_heal(specimen, where, outcome);
    }
}

static void H3_a_flipped_bit_in_any_history_is_told_or_healed(void **unused)
{
    (void)unused;
    struct outcome outcome = {0};
    history_payload_max = 100;
    each_history(NULL, history_fill, flip_bits, &outcome);
    assert_true(outcome.healed > 50 && outcome.closed > 50 && outcome.whole > 50);
}

/* The last place of a record: behind it come frames that declare all of it durable. */
static int note_last(void *arg, const struct log_walk_record *record)
{
    struct place *last = arg;
    *last = (struct place){.segment = record->segment, .offset = record->offset};
    return 0;
}

typedef void history_look(struct specimen *specimen, const char *where, struct outcome *outcome);

/* Some blocks of each file. */
static void lose_frames_of_files(struct specimen *specimen, uint64_t seed, history_look *look, struct outcome *outcome)
{
    struct place last = {0};
    struct log_walk_callbacks callbacks = {.record = note_last};
    struct log_walk_summary summary;
    specimen_restore(specimen);
    assert_int_equal(log_walk(sim_host_io(specimen->host), DIRECTORY, &callbacks, &last, &summary), 0);
    for (uint64_t number = 1; number <= last.segment; number++) {
        for (uint64_t block = 1 + seed % 2; block < FILE_BLOCKS; block += 2) {
            char where[96];
            char path[64];
            struct file *file = NULL;
            uint64_t count = 1 + (block + seed) % 3;
            uint64_t end = number < last.segment ? FILE_BLOCKS : last.offset / LOG_FORMAT_BLOCK_SIZE + 1;
            snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)number);
            snprintf(where, sizeof(where), "seed %llu, file %llu, %llu blocks from %llu", (unsigned long long)seed,
                     (unsigned long long)number, (unsigned long long)count, (unsigned long long)block);
            specimen_restore(specimen);
            bool exists = file_open(sim_host_io(specimen->host), path, FILE_READ, &file) == 0;
            file_close(file);
            if (exists && block + count <= end) {
                overwrite_in(specimen, path, block * LOG_FORMAT_BLOCK_SIZE, count * LOG_FORMAT_BLOCK_SIZE, 0x5a);
                look(specimen, where, outcome);
            }
        }
    }
}

static void lose_what_is_scanned(struct specimen *specimen, uint64_t seed, struct outcome *outcome)
{
    lose_frames_of_files(specimen, seed, look_and_heal, outcome);
}

/* What is above the floor, entry by entry: right, or called damaged once it was asked for. True: all of it is right. */
static bool read_through(struct specimen *specimen, struct hf_log *log, size_t i, const char *where)
{
    static uint8_t payload[PAYLOAD_MAX];
    const struct model_group *model = &specimen->model.groups[i];
    struct hf_log_group_state state;
    bool is_whole = true;
    for (uint64_t index = model->floor + 1; index <= model_last(model); index++) {
        const struct model_entry *entry = &model->entries[index - model->floor - 1];
        struct hf_log_view view = {0};
        int rc = hf_log_read(log, model_group_id(i), index, index + 1, 0, 0, &view);
        if (rc == 0) {
            model_payload(payload, entry);
            assert_int_equal(view.count, 1);
            bool same = view.entries[0].index == index && view.entries[0].term == entry->term &&
                        view.entries[0].payload.size == entry->payload_size &&
                        memcmp(view.entries[0].payload.data, payload, entry->payload_size) == 0;
            hf_log_group_state(log, model_group_id(i), &state);
            if (!same && !state.damaged) {
                fail_msg("%s: group %zu: entry %llu is another one", where, i, (unsigned long long)index);
            }
            hf_log_view_close(&view);
            continue;
        }
        hf_log_group_state(log, model_group_id(i), &state);
        if (!state.damaged || (rc != HF_ECORRUPT && rc != HF_EUNAVAILABLE && rc != HF_ECOMPACTED)) {
            fail_msg("%s: group %zu, entry %llu: %s", where, i, (unsigned long long)index, hf_error_text());
        }
        is_whole = false;
    }
    return is_whole;
}

/* Index files tell of every group what it was; damage is met by who reads. */
static void look_through_index_files(struct specimen *specimen, const char *where, struct outcome *outcome)
{
    struct hf_log *log = open_log(specimen, where);
    struct hf_log_batch *barrier = NULL;
    bool before[SPECIMEN_GROUPS];
    for (size_t i = 0; i < SPECIMEN_GROUPS; i++) {
        struct hf_log_group_state state;
        const struct model_group *model = &specimen->model.groups[i];
        hf_log_group_state(log, model_group_id(i), &state);
        bool same = state.exists == model->exists && state.last_index == model_last(model) &&
                    state.hard_state.term == model->hard_state.term &&
                    state.hard_state.vote == model->hard_state.vote &&
                    state.hard_state.commit == model->hard_state.commit;
        if (!state.damaged && !same) {
            fail_msg("%s: group %zu is silently another one", where, i);
        }
        before[i] = !read_through(specimen, log, i, where) || state.damaged;
        heal_group(model, log, model_group_id(i));
    }
    assert_int_equal(hf_log_batch_open(&barrier), 0);
    append_and_wait(specimen, log, barrier);
    hf_log_batch_close(barrier);
    hf_log_close(log);
    log = open_log(specimen, where);
    for (size_t i = 0; i < SPECIMEN_GROUPS; i++) {
        bool after = !read_through(specimen, log, i, where);
        outcome->whole += !before[i];
        outcome->healed += before[i] && !after;
        outcome->kept += after;
    }
    hf_log_close(log);
}

static void lose_what_index_files_tell(struct specimen *specimen, uint64_t seed, struct outcome *outcome)
{
    lose_frames_of_files(specimen, seed, look_through_index_files, outcome);
}

static struct hf_log_options small_files(void)
{
    struct hf_log_options options;
    hf_log_options_init(&options);
    options.segment_size_bytes = FILE_BLOCKS * LOG_FORMAT_BLOCK_SIZE;
    options.write_size_max_bytes = 64 << 10;
    options.tail_cache_bytes = 1;
    return options;
}

static void H3_L57_lost_frames_of_a_collected_log_are_told_or_healed(void **unused)
{
    (void)unused;
    struct outcome outcome = {0};
    struct hf_log_options options = small_files();
    options.scan_all_on_open = true; /* what is not read at the open is met by reads */
    history_payload_max = PAYLOAD_MAX;
    each_history(&options, history_fill_long, lose_what_is_scanned, &outcome);
    assert_true(history_moved > 10 && history_released > 5);
    assert_true(outcome.healed > 10 && outcome.closed > 10 && outcome.whole > 10);
}

static void H3_L56_lost_frames_behind_index_files_are_met_by_reads(void **unused)
{
    (void)unused;
    struct outcome outcome = {0};
    struct hf_log_options options = small_files();
    history_payload_max = PAYLOAD_MAX;
    each_history(&options, history_fill_long, lose_what_index_files_tell, &outcome);
    assert_true(outcome.healed > 10 && outcome.whole > 10);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(void)
{
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H3_lost_frames_of_any_history_are_told_or_healed),
        cmocka_unit_test(H3_a_flipped_bit_in_any_history_is_told_or_healed),
        cmocka_unit_test(H3_L56_lost_frames_behind_index_files_are_met_by_reads),
        cmocka_unit_test(H3_L57_lost_frames_of_a_collected_log_are_told_or_healed),
    };
    trace_set_sink(say_nothing, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
