/* links: log sim */
/* Damage that heals: whatever was lost of a log, entries of a peer make the group whole again, or the group stays
 * closed and says so; at every open from then on. HAZARDS row 3. */
#include "crash/log_specimen.h"

#include "base/mutation.h"
#include "base/trace.h"

/* What a peer would send: the entry as it was appended. */
static struct hf_entry peer_entry(const struct specimen *specimen, size_t group, uint64_t index)
{
    const struct model_group *model = &specimen->model.groups[group];
    const struct model_entry *entry = &model->entries[index - model->floor - 1];
    static uint8_t payload[4096];
    model_payload(payload, entry);
    return (struct hf_entry){.index = index,
                             .term = entry->term,
                             .timestamp_ms = entry->payload_seed,
                             .type = (enum hf_entry_type)(HF_ENTRY_NORMAL + entry->payload_seed % 4),
                             .payload = {payload, entry->payload_size}};
}

static int try_repair(struct hf_log *log, size_t group, struct hf_entry entry)
{
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    assert_int_equal(hf_log_batch_repair(batch, model_group_id(group), &entry, 1), 0);
    int rc = hf_log_append(log, batch, NULL, NULL);
    hf_log_batch_close(batch);
    return rc;
}

/* Puts back what is missing, range by range, each in a batch. False: something is missing that no peer can have. */
static bool repair_group(struct specimen *specimen, struct hf_log *log, size_t group, hf_log_done *done,
                         unsigned *count)
{
    uint64_t first = 0;
    uint64_t last = 0;
    while (hf_log_missing(log, model_group_id(group), 0, &first, &last) == 0) {
        struct hf_log_batch *batch = NULL;
        assert_int_equal(hf_log_batch_open(&batch), 0);
        if (first <= specimen->model.groups[group].floor || last > model_last(&specimen->model.groups[group])) {
            hf_log_batch_close(batch);
            return false;
        }
        for (uint64_t index = first; index <= last; index++) {
            struct hf_entry entry = peer_entry(specimen, group, index);
            assert_int_equal(hf_log_batch_repair(batch, model_group_id(group), &entry, 1), 0);
        }
        int rc = hf_log_append(log, batch, done, count);
        if (rc != 0) {
            fail_msg("group %zu, %llu … %llu: %s", group, (unsigned long long)first, (unsigned long long)last,
                     hf_error_text());
        }
        hf_log_batch_close(batch);
    }
    return true;
}

static void settle(struct specimen *specimen, struct hf_log *log)
{
    struct hf_log_batch *barrier = NULL;
    assert_int_equal(hf_log_batch_open(&barrier), 0);
    append_and_wait(specimen, log, barrier);
    hf_log_batch_close(barrier);
}

struct outcome {
    unsigned healed;
    unsigned closed; /* term and vote are lost */
};

static void expect_group(struct specimen *specimen, struct hf_log *log, size_t group, const char *where)
{
    struct model_difference difference = {""};
    if (model_group_differs(&difference, log, model_group_id(group), &specimen->model.groups[group])) {
        fail_msg("%s: %s", where, difference.text);
    }
}

/* Repairs what can be, and looks again after another open. */
static void heal(struct specimen *specimen, const char *where, struct outcome *outcome)
{
    struct hf_log *log = open_log(specimen, where);
    bool is_closed[SPECIMEN_GROUPS] = {false};
    for (size_t group = 0; group < SPECIMEN_GROUPS; group++) {
        struct hf_log_group_state state;
        hf_log_group_state(log, model_group_id(group), &state);
        is_closed[group] = state.state_lost;
        if (state.state_lost) {
            struct hf_entry entry = peer_entry(specimen, group, 1);
            assert_int_equal(try_repair(log, group, entry), HF_ECORRUPT);
        } else if (state.damaged) {
            assert_true(repair_group(specimen, log, group, NULL, NULL));
        }
        outcome->closed += is_closed[group];
        outcome->healed += state.damaged && !is_closed[group];
    }
    settle(specimen, log);
    for (unsigned look = 0; look < 2; look++) {
        for (size_t group = 0; group < SPECIMEN_GROUPS; group++) {
            struct hf_log_group_state state;
            hf_log_group_state(log, model_group_id(group), &state);
            if (is_closed[group]) {
                assert_true(state.damaged);
            } else {
                expect_group(specimen, log, group, where);
            }
        }
        hf_log_close(log);
        log = open_log(specimen, where);
    }
    hf_log_close(log);
}

/* ---- what is lost ---- */

static void H3_entries_of_a_peer_heal_a_flipped_bit_anywhere(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    struct outcome outcome = {0};
    for (uint64_t offset = LOG_FORMAT_SEGMENT_HEADER_SIZE; offset < specimen->end;
         offset += offset % 4096 < 1600 ? 19 : 509) {
        char where[64];
        snprintf(where, sizeof(where), "offset %llu", (unsigned long long)offset);
        specimen_restore(specimen);
        assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, offset, (unsigned)(offset % 8)), 0);
        heal(specimen, where, &outcome);
    }
    assert_true(outcome.healed > 150);
    assert_true(outcome.closed > 0 && outcome.closed < outcome.healed / 4);
    specimen_close(specimen);
}

static void H3_entries_of_a_peer_heal_lost_frames(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    uint64_t blocks = specimen->end / LOG_FORMAT_BLOCK_SIZE;
    struct outcome outcome = {0};
    for (uint64_t block = 1; block < blocks; block++) {
        for (uint64_t count = 1; count <= 3 && block + count < blocks; count++) { /* the last one declares the rest */
            char where[64];
            snprintf(where, sizeof(where), "%llu blocks from %llu", (unsigned long long)count,
                     (unsigned long long)block);
            specimen_restore(specimen);
            overwrite(specimen, block * LOG_FORMAT_BLOCK_SIZE, count * LOG_FORMAT_BLOCK_SIZE, 0x5a);
            heal(specimen, where, &outcome);
        }
    }
    assert_true(outcome.healed > 20 && outcome.closed > 0);
    specimen_close(specimen);
}

static void expect_closed(struct hf_log *log, size_t group)
{
    struct hf_log_group_state state;
    uint64_t first = 0;
    uint64_t last = 0;
    hf_log_group_state(log, model_group_id(group), &state);
    assert_true(state.damaged);
    if (hf_log_missing(log, model_group_id(group), 0, &first, &last) == 0) {
        struct hf_entry entry = {.index = first, .term = 9, .type = HF_ENTRY_NORMAL, .payload = {"x", 1}};
        (void)try_repair(log, group, entry);
        hf_log_group_state(log, model_group_id(group), &state);
        assert_true(state.damaged);
    }
}

/* The group began anew further in front, and the frame that says so is lost: what is read says two things of what was
 * committed. No entry heals that; a reset does. */
static void H3_a_group_whose_records_contradict_each_other_is_closed_until_a_reset(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct hf_log *log = open_log(specimen, "as it was");
    struct model_group *model = &specimen->model.groups[0];
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    model_hard_state(model, batch, model_group_id(0), (struct hf_hard_state){10, 1, model_last(model)});
    append_and_wait(specimen, log, batch);
    model_reset(model, batch, model_group_id(0), 3, 2);
    append_and_wait(specimen, log, batch);                     /* this frame will be lost */
    for (size_t group = 0; group < SPECIMEN_GROUPS; group++) { /* so that it shows who lost something and who did not */
        struct model_group *each = &specimen->model.groups[group];
        model_append(each, batch, model_group_id(group), model_last(each) + 1, (struct model_entry){11, 4, 24});
    }
    append_and_wait(specimen, log, batch);
    sim_run_for(specimen->sim, 100 * MS);
    hf_log_turn(log);
    settle(specimen, log);
    hf_log_close(log);
    overwrite_in(specimen, DIRECTORY "/0000000000000002.log", UINT64_C(3) * LOG_FORMAT_BLOCK_SIZE,
                 LOG_FORMAT_BLOCK_SIZE, 0x5a);
    for (unsigned i = 0; i < 2; i++) {
        log = open_log(specimen, "without the reset");
        expect_closed(log, 0);
        expect_group(specimen, log, 1, "a neighbour");
        if (i == 0) {
            hf_log_close(log);
        }
    }
    model_reset(model, batch, model_group_id(0), 40, 12);
    model_hard_state(model, batch, model_group_id(0), (struct hf_hard_state){12, 0, 40});
    append_and_wait(specimen, log, batch);
    model_append(model, batch, model_group_id(0), 41, (struct model_entry){12, 4, 24});
    append_and_wait(specimen, log, batch);
    expect_group(specimen, log, 0, "after the reset");
    hf_log_close(log);
    log = open_log(specimen, "after the reset");
    expect_group(specimen, log, 0, "after the reset and an open");
    hf_log_close(log);
    hf_log_batch_close(batch);
    specimen_close(specimen);
}

/* The records that replaced an entry are lost: what is found in its place is not believed. */
static void H3_an_entry_that_lost_records_replaced_is_not_believed(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct hf_log *log = open_log(specimen, "as it was");
    struct model_group *model = &specimen->model.groups[0];
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    uint64_t last = model_last(model);
    model_append(model, batch, model_group_id(0), last + 1, (struct model_entry){9, 1, 24});
    append_and_wait(specimen, log, batch);
    model_truncate(model, batch, model_group_id(0), last + 1);
    model_append(model, batch, model_group_id(0), last + 1, (struct model_entry){10, 2, 24});
    append_and_wait(specimen, log, batch); /* this frame will be lost */
    struct hf_log_stat stat;
    hf_log_stat(log, &stat);
    model_append(model, batch, model_group_id(0), last + 2, (struct model_entry){11, 3, 24});
    model_hard_state(model, batch, model_group_id(0), (struct hf_hard_state){11, 1, last + 2});
    append_and_wait(specimen, log, batch);
    model_append(model, batch, model_group_id(0), last + 3, (struct model_entry){11, 4, 24});
    append_and_wait(specimen, log, batch);
    sim_run_for(specimen->sim, 100 * MS);
    hf_log_turn(log);
    settle(specimen, log);
    hf_log_close(log);
    struct file *file = NULL;
    uint8_t junk[LOG_FORMAT_BLOCK_SIZE] = {1};
    assert_int_equal(file_open(sim_host_io(specimen->host), DIRECTORY "/0000000000000002.log", FILE_WRITE, &file), 0);
    /* header, the trailer of the open, the frame that is replaced, the one that replaces it */
    assert_int_equal(file_write(file, UINT64_C(3) * LOG_FORMAT_BLOCK_SIZE, junk, sizeof(junk)), 0);
    assert_int_equal(file_sync(file), 0);
    file_close(file);

    log = open_log(specimen, "without the truncation");
    uint64_t first = 0;
    uint64_t missing_last = 0;
    assert_int_equal(hf_log_missing(log, model_group_id(0), 0, &first, &missing_last), 0);
    assert_int_equal(first, last + 1);
    assert_int_equal(missing_last, last + 1);
    hf_log_close(log);
    struct outcome outcome = {0};
    heal(specimen, "without the truncation", &outcome);
    assert_int_equal(outcome.healed, 1);
    hf_log_batch_close(batch);
    specimen_close(specimen);
}

/* ---- what is refused ---- */

static const struct place *entry_place(const struct specimen *specimen, size_t group, uint64_t index)
{
    for (size_t i = 0; i < specimen->place_count; i++) {
        const struct place *place = &specimen->places[i];
        if (place->is_entry && place->group == model_group_id(group) && place->index == index) {
            return place;
        }
    }
    return NULL;
}

static void H3_an_entry_of_another_term_is_refused(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    const struct place *place = entry_place(specimen, 1, 7);
    assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, place->payload_offset + 8, 1), 0);
    struct hf_log *log = open_log(specimen, "one entry");
    struct hf_entry good = peer_entry(specimen, 1, 7);
    struct hf_entry other = good;
    other.term = good.term + 1;
    assert_int_equal(try_repair(log, 1, other), HF_ECONFLICT);
    other.term = good.term - 1;
    assert_int_equal(try_repair(log, 1, other), HF_ECONFLICT);
    struct hf_log_group_state state;
    hf_log_group_state(log, model_group_id(1), &state);
    assert_true(state.damaged);
    assert_int_equal(try_repair(log, 1, good), 0);
    settle(specimen, log);
    expect_group(specimen, log, 1, "repaired");
    hf_log_close(log);
    specimen_close(specimen);
}

static void H3_an_entry_of_another_size_is_refused_where_the_own_one_is_known(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct hf_log *log = open_log(specimen, "without damage");
    struct hf_log_view view = {0};
    struct hf_log_group_state state;
    assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, entry_place(specimen, 2, 5)->payload_offset + 8, 1), 0);
    assert_int_equal(hf_log_read(log, model_group_id(2), 5, 6, 0, 0, &view), HF_ECORRUPT); /* its place is known */
    struct hf_entry good = peer_entry(specimen, 2, 5);
    struct hf_entry other = good;
    other.payload.size--;
    assert_int_equal(try_repair(log, 2, other), HF_ECONFLICT);
    other = good;
    other.term++;
    assert_int_equal(try_repair(log, 2, other), HF_ECONFLICT);
    hf_log_group_state(log, model_group_id(2), &state);
    assert_true(state.damaged);
    assert_int_equal(try_repair(log, 2, good), 0);
    settle(specimen, log);
    expect_group(specimen, log, 2, "repaired");
    hf_log_close(log);
    specimen_close(specimen);
}

static void a_repair_ascends_group_by_group_and_stays_above_the_floor(void **unused)
{
    (void)unused;
    static const uint64_t wrong[] = {9, 4};
    struct specimen *specimen = specimen_open();
    struct hf_log_batch *batch = NULL;
    specimen_restore(specimen);
    assert_int_equal(hf_log_batch_open(&batch), 0);
    struct hf_log *log = open_log(specimen, "as it was");
    model_compact(&specimen->model.groups[1], batch, model_group_id(1), 2);
    append_and_wait(specimen, log, batch);
    hf_log_close(log);
    for (uint64_t index = 4; index <= 9; index += 5) {
        assert_int_equal(
            sim_disk_flip_bit(specimen->host, SEGMENT, entry_place(specimen, 1, index)->payload_offset + 8, 1), 0);
    }
    assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, entry_place(specimen, 2, 6)->payload_offset + 8, 1), 0);
    log = open_log(specimen, "three entries");
    struct hf_entry below = peer_entry(specimen, 1, 4);
    below.index = 2;
    assert_int_equal(try_repair(log, 1, below), HF_ECOMPACTED);
    for (size_t i = 0; i < 2; i++) {
        struct hf_entry entry = peer_entry(specimen, 1, wrong[i]);
        assert_int_equal(hf_log_batch_repair(batch, model_group_id(1), &entry, 1), 0);
    }
    assert_int_equal(hf_log_append(log, batch, NULL, NULL), HF_ECONFLICT);
    hf_log_batch_clear(batch);
    for (size_t i = 0; i < 3; i++) { /* another group's in between */
        struct hf_entry entry = peer_entry(specimen, i == 1 ? 2 : 1, i == 0 ? 4 : i == 1 ? 6 : 9);
        assert_int_equal(hf_log_batch_repair(batch, model_group_id(i == 1 ? 2 : 1), &entry, 1), 0);
    }
    append_and_wait(specimen, log, batch);
    for (size_t group = 0; group < SPECIMEN_GROUPS; group++) {
        expect_group(specimen, log, group, "repaired");
    }
    hf_log_close(log);
    hf_log_batch_close(batch);
    specimen_close(specimen);
}

static void a_repair_touches_nothing_but_what_is_missing(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    const struct place *place = entry_place(specimen, 1, 7);
    assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, place->payload_offset + 8, 1), 0);
    struct hf_log *log = open_log(specimen, "one entry");
    struct hf_entry good = peer_entry(specimen, 1, 7);
    struct hf_entry present = good;
    present.index = 6;
    assert_int_equal(try_repair(log, 1, present), HF_ECONFLICT);
    present.index = model_last(&specimen->model.groups[1]) + 1;
    assert_int_equal(try_repair(log, 1, present), HF_EUNAVAILABLE);
    assert_int_equal(try_repair(log, 0, good), HF_ECONFLICT); /* a group without damage */
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    assert_int_equal(hf_log_batch_repair(batch, model_group_id(1), &good, 1), 0);
    assert_int_equal(hf_log_batch_truncate(batch, model_group_id(1), 7), 0);
    assert_int_equal(hf_log_append(log, batch, NULL, NULL), HF_EINVALID);
    hf_log_batch_clear(batch);
    assert_int_equal(hf_log_batch_repair(batch, model_group_id(1), &good, 1), 0);
    assert_int_equal(hf_log_batch_repair(batch, model_group_id(1), &good, 1), 0);
    assert_int_equal(hf_log_append(log, batch, NULL, NULL), HF_ECONFLICT);
    hf_log_batch_close(batch);
    assert_int_equal(try_repair(log, 1, good), 0);
    assert_int_equal(try_repair(log, 1, good), HF_ECONFLICT);
    settle(specimen, log);
    for (size_t group = 0; group < SPECIMEN_GROUPS; group++) {
        expect_group(specimen, log, group, "repaired");
    }
    hf_log_close(log);
    specimen_close(specimen);
}

static void H3_a_group_is_damaged_until_the_last_of_it_is_back(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, entry_place(specimen, 1, 3)->payload_offset + 8, 1), 0);
    assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, entry_place(specimen, 1, 9)->payload_offset + 8, 1), 0);
    struct hf_log *log = open_log(specimen, "two entries");
    for (uint64_t index = 3; index <= 9; index += 6) {
        struct hf_log_group_state state;
        struct hf_log_damage damage;
        uint64_t first = 0;
        uint64_t last = 0;
        hf_log_group_state(log, model_group_id(1), &state);
        assert_true(state.damaged);
        assert_int_equal(hf_log_missing(log, model_group_id(1), 0, &first, &last), 0);
        assert_true(first == index && last == index);
        assert_int_equal(damage_count(log, &damage), index == 3 ? 2 : 1);
        assert_int_equal(try_repair(log, 1, peer_entry(specimen, 1, index)), 0);
        settle(specimen, log);
    }
    expect_group(specimen, log, 1, "repaired");
    hf_log_close(log);
    specimen_close(specimen);
}

/* What this member had above its commit index was replaced elsewhere: a committed entry of another term shows it. */
static void H3_what_was_not_committed_gives_way_to_what_is(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct hf_log *log = open_log(specimen, "as it was");
    struct model_group *model = &specimen->model.groups[0];
    const uint64_t commit = model_last(model);
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    for (uint64_t i = 1; i <= 4; i++) {
        model_append(model, batch, model_group_id(0), commit + i, (struct model_entry){9, i, 24});
    }
    append_and_wait(specimen, log, batch);
    struct hf_log_view view = {0};
    assert_int_equal(hf_log_read(log, model_group_id(0), commit + 2, commit + 3, 0, 0, &view), 0);
    hf_log_view_close(&view);
    sim_run_for(specimen->sim, 100 * MS);
    hf_log_turn(log);
    settle(specimen, log);
    hf_log_close(log);
    /* segment 2: header, the trailer of the open, the frame: its header, four records of 56 bytes, a run in the first
     */
    uint64_t second =
        UINT64_C(2) * LOG_FORMAT_BLOCK_SIZE + LOG_FORMAT_FRAME_HEADER_SIZE + LOG_FORMAT_RUN_BODY_SIZE + 56;
    assert_int_equal(sim_disk_flip_bit(specimen->host, DIRECTORY "/0000000000000002.log", second + 40, 1), 0);
    log = open_log(specimen, "damaged above the commit index");
    uint64_t first = 0;
    uint64_t last = 0;
    assert_int_equal(hf_log_missing(log, model_group_id(0), 0, &first, &last), 0);
    assert_true(first == commit + 2 && last == commit + 2);
    for (uint64_t i = 1; i <= 4; i++) { /* a later leader has others there */
        model->entries[commit - model->floor + i - 1] = (struct model_entry){12, 70 + i, 40};
    }
    assert_int_equal(try_repair(log, 0, peer_entry(specimen, 0, commit + 2)), 0);
    assert_int_equal(hf_log_missing(log, model_group_id(0), 0, &first, &last), 0);
    assert_true(first == commit + 1 && last == commit + 1);
    settle(specimen, log);
    hf_log_close(log);
    log = open_log(specimen, "again");
    assert_int_equal(hf_log_missing(log, model_group_id(0), 0, &first, &last), 0);
    assert_true(first == commit + 1 && last == commit + 1);
    hf_log_close(log);
    struct outcome outcome = {0};
    heal(specimen, "displaced", &outcome);
    assert_int_equal(outcome.healed, 1);
    hf_log_batch_close(batch);
    specimen_close(specimen);
}

/* ---- when ---- */

static void H3_damage_that_a_read_meets_heals_likewise(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct hf_log *log = open_log(specimen, "without damage");
    const struct place *place = entry_place(specimen, 2, 5);
    assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, place->payload_offset + 8, 1), 0);
    struct hf_log_view view = {0};
    uint64_t first = 0;
    uint64_t last = 0;
    assert_int_equal(hf_log_missing(log, model_group_id(2), 0, &first, &last), HF_ENOTFOUND);
    assert_int_equal(hf_log_read(log, model_group_id(2), 5, 6, 0, 0, &view), HF_ECORRUPT);
    assert_int_equal(hf_log_missing(log, model_group_id(2), 0, &first, &last), 0);
    assert_true(first == 5 && last == 5);
    assert_true(repair_group(specimen, log, 2, NULL, NULL));
    settle(specimen, log);
    for (unsigned look = 0; look < 2; look++) {
        for (size_t group = 0; group < SPECIMEN_GROUPS; group++) {
            expect_group(specimen, log, group, "repaired");
        }
        hf_log_close(log);
        log = open_log(specimen, "again");
    }
    hf_log_close(log);
    struct log_walk_summary summary;
    struct log_walk_callbacks callbacks = {0};
    assert_int_equal(log_walk(sim_host_io(specimen->host), DIRECTORY, &callbacks, NULL, &summary), 0);
    assert_int_equal(summary.damaged, 0);
    assert_int_equal(summary.healed, 1);
    specimen_close(specimen);
}

static void count_if_done(void *arg, int result)
{
    *(unsigned *)arg += result == 0;
}

/* A power cut at the k-th operation of the disk after the open. True: it happened. */
static bool repair_cut_at(struct specimen *specimen, uint64_t k, enum sim_cut mode, struct outcome *outcome)
{
    char where[64];
    snprintf(where, sizeof(where), "cut at operation %llu", (unsigned long long)k);
    specimen_restore(specimen);
    overwrite(specimen, UINT64_C(4) * LOG_FORMAT_BLOCK_SIZE, UINT64_C(2) * LOG_FORMAT_BLOCK_SIZE, 0x5a);
    struct hf_log *log = open_log(specimen, where);
    unsigned acknowledged = 0;
    sim_disk_cut_at(specimen->host, k, mode);
    assert_true(repair_group(specimen, log, 0, count_if_done, &acknowledged));
    assert_true(repair_group(specimen, log, 1, count_if_done, &acknowledged));
    for (unsigned i = 0; i < 200 && sim_host_is_running(specimen->host); i++) {
        hf_log_turn(log);
        sim_run_for(specimen->sim, MS / 10);
    }
    bool was_cut = !sim_host_is_running(specimen->host);
    unsigned promised = acknowledged;
    sim_disk_cut_at(specimen->host, 0, mode);
    sim_host_power_off(specimen->host);
    hf_log_close(log);
    sim_disk_choose_outcome(specimen->host, k % 5);
    sim_host_start(specimen->host);
    log = open_log(specimen, where);
    for (size_t group = 0; group < SPECIMEN_GROUPS; group++) {
        struct hf_log_group_state state;
        hf_log_group_state(log, model_group_id(group), &state);
        if (!state.damaged) {
            expect_group(specimen, log, group, where);
        } else if (promised > group) { /* one batch for each: acknowledged is durable */
            fail_msg("%s: group %zu was repaired and is damaged", where, group);
        }
    }
    hf_log_close(log);
    heal(specimen, where, outcome);
    return was_cut;
}

static void H3_a_repair_survives_a_crash_at_every_operation(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    struct outcome outcome = {0};
    uint64_t k = 1;
    for (; repair_cut_at(specimen, k, SIM_CUT_DURING, &outcome); k++) {
        repair_cut_at(specimen, k, SIM_CUT_AFTER, &outcome);
    }
    assert_true(k > 2 && outcome.closed == 0);
    specimen_close(specimen);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
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
        cmocka_unit_test(H3_entries_of_a_peer_heal_a_flipped_bit_anywhere),
        cmocka_unit_test(H3_entries_of_a_peer_heal_lost_frames),
        cmocka_unit_test(H3_a_group_whose_records_contradict_each_other_is_closed_until_a_reset),
        cmocka_unit_test(H3_an_entry_that_lost_records_replaced_is_not_believed),
        cmocka_unit_test(H3_an_entry_of_another_term_is_refused),
        cmocka_unit_test(H3_an_entry_of_another_size_is_refused_where_the_own_one_is_known),
        cmocka_unit_test(a_repair_ascends_group_by_group_and_stays_above_the_floor),
        cmocka_unit_test(a_repair_touches_nothing_but_what_is_missing),
        cmocka_unit_test(H3_a_group_is_damaged_until_the_last_of_it_is_back),
        cmocka_unit_test(H3_what_was_not_committed_gives_way_to_what_is),
        cmocka_unit_test(H3_damage_that_a_read_meets_heals_likewise),
        cmocka_unit_test(H3_a_repair_survives_a_crash_at_every_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
