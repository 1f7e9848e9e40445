/* links: log sim */
/* Damage below a declared position: one bit at every place of a small log, whole blocks, whole records, whole files.
 * Nothing acknowledged may disappear silently: either everything is still read back right, or the log (or exactly the
 * groups concerned) is called damaged, with group, index and term. H3; L33, L49, L50, L54. */
#include "crash/log_specimen.h"

#include "base/checksum.h"
#include "base/trace.h"
#include "planted.h"

/* How many groups are called damaged; fails when one that is not differs from the model. */
static unsigned check_groups(struct specimen *specimen, struct hf_log *log, const char *where)
{
    unsigned damaged = 0;
    for (size_t i = 0; i < MODEL_GROUPS; i++) {
        struct hf_log_group_state state;
        struct model_difference difference = {""};
        hf_log_group_state(log, model_group_id(i), &state);
        if (state.damaged) {
            damaged++;
        } else if (model_group_differs(&difference, log, model_group_id(i), &specimen->model.groups[i])) {
            fail_msg("%s: silently %s", where, difference.text);
        }
    }
    return damaged;
}

/* ---- bits ---- */

static void H3_a_flipped_bit_anywhere_is_never_lost_silently(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    unsigned reported = 0;
    unsigned tried = 0;
    for (uint64_t offset = 0; offset < specimen->end; offset += offset % 4096 < 1600 ? 7 : 509, tried++) {
        char where[64];
        snprintf(where, sizeof(where), "offset %llu", (unsigned long long)offset);
        specimen_restore(specimen);
        assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, offset, (unsigned)(offset / 7 % 8)), 0);
        struct hf_log *log = open_log(specimen, where);
        struct hf_log_damage damage;
        unsigned damaged = check_groups(specimen, log, where);
        size_t reports = damage_count(log, &damage);
        assert_true(damaged == 0 || reports > 0);
        reported += reports > 0;
        hf_log_close(log);
        if (tried % 8 == 0) { /* and it stays that way */
            log = open_log(specimen, where);
            assert_int_equal(check_groups(specimen, log, where), damaged);
            hf_log_close(log);
        }
    }
    assert_true(reported > tried / 2);
    specimen_close(specimen);
}

static void H3_damage_in_an_entry_is_named_with_group_index_and_term(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    unsigned tried = 0;
    for (size_t i = 0; i < specimen->place_count; i++) {
        const struct place *place = &specimen->places[i];
        if (!place->is_entry) {
            continue;
        }
        char where[64];
        snprintf(where, sizeof(where), "group %llu, index %llu", (unsigned long long)place->group,
                 (unsigned long long)place->index);
        specimen_restore(specimen);
        uint64_t offset = place->payload_offset + place->size / 2;
        assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, offset, (unsigned)i % 8), 0);
        struct hf_log *log = open_log(specimen, where);
        struct hf_log_damage damage;
        assert_int_equal(check_groups(specimen, log, where), 1);
        assert_int_equal(damage_count(log, &damage), 1);
        assert_int_equal(damage.group, place->group);
        assert_int_equal(damage.index, place->index);
        assert_int_equal(damage.term, place->term);
        assert_int_equal(damage.segment, 1);
        assert_int_equal(damage.offset, place->offset);
        struct hf_log_view view = {0};
        assert_int_equal(hf_log_read(log, place->group, place->index, place->index + 1, 0, 0, &view), HF_ECORRUPT);
        hf_log_close(log);
        tried++;
    }
    assert_int_equal(tried, 54);
    specimen_close(specimen);
}

/* Its size is wrong, or what names its group: it could have been of any group with a run in the frame. */
static void H3_a_vote_in_an_unreadable_place_closes_its_group(void **unused)
{
    static const unsigned parts[] = {5, 25}; /* bytes of the record's header */
    (void)unused;
    struct specimen *specimen = specimen_open();
    unsigned tried = 0;
    for (size_t i = 0; i < 2 * specimen->place_count; i++) {
        const struct place *place = &specimen->places[i / 2];
        struct hf_log_group_state state;
        char where[64];
        if (place->is_entry) {
            continue;
        }
        snprintf(where, sizeof(where), "hard state of group %llu at %llu", (unsigned long long)place->group,
                 (unsigned long long)place->offset);
        specimen_restore(specimen);
        assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, place->offset + parts[i % 2], 1), 0);
        struct hf_log *log = open_log(specimen, where);
        check_groups(specimen, log, where);
        hf_log_group_state(log, place->group, &state);
        assert_true(state.damaged);
        hf_log_close(log);
        tried++;
    }
    assert_int_equal(tried, 2 * (8 + 3 + 3));
    specimen_close(specimen);
}

/* ---- larger pieces ---- */

static void H3_a_lost_block_closes_every_group_that_may_have_been_in_it(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    uint64_t blocks = specimen->end / LOG_FORMAT_BLOCK_SIZE;
    unsigned closed = 0;
    for (uint64_t block = 0; block < blocks; block++) {
        for (int fill = 0; fill < 2; fill++) {
            char where[64];
            snprintf(where, sizeof(where), "block %llu of %llu", (unsigned long long)block, (unsigned long long)blocks);
            specimen_restore(specimen);
            overwrite(specimen, block * LOG_FORMAT_BLOCK_SIZE, LOG_FORMAT_BLOCK_SIZE, fill * 0x5a);
            struct hf_log *log = open_log(specimen, where);
            unsigned damaged = check_groups(specimen, log, where);
            struct hf_log_damage damage;
            bool is_last_trailer = block + 1 == blocks;
            assert_true(damage_count(log, &damage) > 0 || is_last_trailer);
            closed += damaged;
            hf_log_close(log);
        }
    }
    assert_true(closed > 8 * 3);
    specimen_close(specimen);
}

static void H3_a_torn_sector_inside_declared_data_is_damage(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    for (uint64_t offset = LOG_FORMAT_SEGMENT_HEADER_SIZE; offset + 8192 <= specimen->end; offset += 512) {
        char where[64];
        snprintf(where, sizeof(where), "sector at %llu", (unsigned long long)offset);
        specimen_restore(specimen);
        overwrite(specimen, offset, 512, 0);
        struct hf_log *log = open_log(specimen, where);
        check_groups(specimen, log, where);
        hf_log_close(log);
    }
    specimen_close(specimen);
}

static void a_damaged_group_takes_nothing_until_it_is_reset_and_its_neighbours_go_on(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    const struct place *place = NULL;
    for (size_t i = 0; i < specimen->place_count && place == NULL; i++) {
        bool wanted = specimen->places[i].is_entry && specimen->places[i].group == model_group_id(1);
        place = wanted ? &specimen->places[i] : NULL;
    }
    specimen_restore(specimen);
    assert_int_equal(sim_disk_flip_bit(specimen->host, SEGMENT, place->payload_offset + 1, 1), 0);
    struct hf_log *log = open_log(specimen, "one entry");
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    struct hf_entry entry = {.index = 19, .term = 9, .type = HF_ENTRY_NORMAL};
    assert_int_equal(hf_log_batch_append(batch, model_group_id(1), &entry, 1), 0);
    assert_int_equal(hf_log_append(log, batch, NULL, NULL), HF_ECORRUPT);
    hf_log_batch_clear(batch);
    assert_int_equal(hf_log_batch_append(batch, model_group_id(0), &entry, 1), 0);
    append_and_wait(specimen, log, batch);
    assert_int_equal(hf_log_batch_reset(batch, model_group_id(1), 40, 9, (struct hf_bytes){"s", 1}), 0);
    append_and_wait(specimen, log, batch);
    hf_log_close(log);
    log = open_log(specimen, "after the reset");
    struct hf_log_group_state state;
    hf_log_group_state(log, model_group_id(1), &state);
    assert_false(state.damaged);
    assert_int_equal(state.first_index, 41);
    hf_log_group_state(log, model_group_id(0), &state);
    assert_int_equal(state.last_index, 19);
    hf_log_batch_close(batch);
    hf_log_close(log);
    specimen_close(specimen);
}

/* ---- files ---- */

/* Makes three more segments by opening and appending; each holds data. */
static void make_segments(struct specimen *specimen)
{
    specimen_restore(specimen);
    for (uint64_t i = 0; i < 3; i++) {
        struct hf_log *log = open_log(specimen, "making segments");
        struct hf_log_batch *batch = NULL;
        assert_int_equal(hf_log_batch_open(&batch), 0);
        struct hf_entry entry = {.index = 19 + i, .term = 9, .type = HF_ENTRY_NORMAL};
        assert_int_equal(hf_log_batch_append(batch, model_group_id(0), &entry, 1), 0);
        append_and_wait(specimen, log, batch);
        hf_log_batch_close(batch);
        hf_log_close(log);
    }
}

static void expect_refused(struct specimen *specimen, const char *named)
{
    struct hf_log *log = NULL;
    assert_int_equal(log_open(sim_host_io(specimen->host), DIRECTORY, &specimen->options, &log), HF_ECORRUPT);
    if (strstr(hf_error_text(), named) == NULL) {
        fail_msg("\"%s\" does not name %s", hf_error_text(), named);
    }
}

static void L50_a_missing_segment_in_the_middle_is_an_error_that_names_it(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    make_segments(specimen);
    assert_int_equal(path_unlink(sim_host_io(specimen->host), DIRECTORY "/0000000000000003.log"), 0);
    expect_refused(specimen, "0000000000000003.log");
    make_segments(specimen);
    assert_int_equal(path_unlink(sim_host_io(specimen->host), SEGMENT), 0);
    expect_refused(specimen, "0000000000000001.log");
    specimen_close(specimen);
}

static void L50_segments_that_change_places_are_an_error(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    make_segments(specimen);
    struct io *io = sim_host_io(specimen->host);
    assert_int_equal(path_rename(io, DIRECTORY "/0000000000000002.log", DIRECTORY "/0000000000000003.log"), 0);
    expect_refused(specimen, "0000000000000003.log");
    specimen_close(specimen);
}

static void L50_a_segment_that_is_too_short_or_too_long_is_an_error(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    for (int longer = 0; longer < 2; longer++) {
        make_segments(specimen);
        struct file *file = NULL;
        assert_int_equal(file_open(sim_host_io(specimen->host), SEGMENT, FILE_WRITE, &file), 0);
        assert_int_equal(file_truncate(file, SPECIMEN_SEGMENT_SIZE + (longer != 0 ? 4096 : -4096)), 0);
        file_close(file);
        expect_refused(specimen, "0000000000000001.log");
    }
    specimen_close(specimen);
}

static void L54_a_newer_version_is_refused_with_its_number(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct log_segment_header header = {
        .number = 1, .incarnation = 5, .size_bytes = SPECIMEN_SEGMENT_SIZE, .log_id = 6, .epoch = 1};
    uint8_t block[LOG_FORMAT_SEGMENT_HEADER_SIZE];
    log_format_put_segment_header(block, &header);
    block[12] = LOG_FORMAT_VERSION + 1;
    uint32_t checksum = checksum_crc32c(0, block + 12, sizeof(block) - 12);
    memcpy(block + 8, &checksum, 4);
    struct file *file = NULL;
    assert_int_equal(file_open(sim_host_io(specimen->host), SEGMENT, FILE_WRITE, &file), 0);
    assert_int_equal(file_write(file, 0, block, sizeof(block)), 0);
    file_close(file);
    struct hf_log *log = NULL;
    assert_int_equal(log_open(sim_host_io(specimen->host), DIRECTORY, &specimen->options, &log), HF_EVERSION);
    assert_non_null(strstr(hf_error_text(), "version 4"));
    specimen_close(specimen);
}

static void L46_foreign_files_and_left_over_temporaries_are_tolerated(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    static const char *const names[] = {"0000000000000002.tmp", "notes.txt", "x.tmp", "00000000000000ZZ.log", "2.log"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        struct file *file = NULL;
        snprintf(path, sizeof(path), "%s/%s", DIRECTORY, names[i]);
        assert_int_equal(file_open(sim_host_io(specimen->host), path, FILE_WRITE | FILE_CREATE, &file), 0);
        assert_int_equal(file_write(file, 0, "rubbish", 7), 0);
        file_close(file);
    }
    struct hf_log *log = open_log(specimen, "foreign files");
    assert_int_equal(check_groups(specimen, log, "foreign files"), 0);
    hf_log_close(log);
    specimen_close(specimen);
}

static void L47_an_empty_or_half_headed_newest_segment_is_passed_over(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    for (size_t size = 0; size < 4096; size += 1000) {
        specimen_restore(specimen);
        struct io *io = sim_host_io(specimen->host);
        struct file *file = NULL;
        (void)path_unlink(io, DIRECTORY "/0000000000000002.log");
        assert_int_equal(file_open(io, DIRECTORY "/0000000000000002.log", FILE_WRITE | FILE_CREATE, &file), 0);
        uint8_t block[4096] = {0};
        struct log_segment_header header = {
            .number = 2, .incarnation = 5, .size_bytes = SPECIMEN_SEGMENT_SIZE, .log_id = 6};
        log_format_put_segment_header(block, &header);
        if (size > 0) {
            assert_int_equal(file_write(file, 0, block, size), 0);
        }
        file_close(file);
        struct hf_log *log = open_log(specimen, "half-headed");
        assert_int_equal(check_groups(specimen, log, "half-headed"), 0);
        hf_log_close(log);
    }
    specimen_close(specimen);
}

/* ---- misplaced and stale bytes ---- */

static void H17_a_frame_in_another_place_is_not_believed(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct file *file = NULL;
    uint8_t block[4096];
    size_t got = 0;
    assert_int_equal(file_open(sim_host_io(specimen->host), SEGMENT, FILE_READ | FILE_WRITE, &file), 0);
    assert_int_equal(file_read(file, 8192, block, sizeof(block), &got), 0);
    assert_int_equal(file_write(file, 12288, block, sizeof(block)), 0); /* over the frame behind it */
    file_close(file);
    struct hf_log *log = open_log(specimen, "a copied frame");
    assert_true(check_groups(specimen, log, "a copied frame") > 0);
    hf_log_close(log);
    specimen_close(specimen);
}

static void L51_frames_of_an_earlier_life_of_the_file_are_never_accepted(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct io *io = sim_host_io(specimen->host);
    struct hf_log *log = open_log(specimen, "a new segment");
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    struct model_group *group = &specimen->model.groups[0];
    model_append(group, batch, model_group_id(0), model_last(group) + 1, (struct model_entry){9, 1, 100});
    append_and_wait(specimen, log, batch);
    /* As if the segment had been recycled: behind what is used lie whole frames of another incarnation. */
    struct file *old = NULL;
    struct file *current = NULL;
    uint8_t block[4096];
    size_t got = 0;
    assert_int_equal(file_open(io, SEGMENT, FILE_READ, &old), 0);
    assert_int_equal(file_open(io, DIRECTORY "/0000000000000002.log", FILE_WRITE, &current), 0);
    for (uint64_t offset = 4 * 4096; offset < specimen->end; offset += 4096) {
        assert_int_equal(file_read(old, offset, block, sizeof(block), &got), 0);
        assert_int_equal(file_write(current, offset, block, sizeof(block)), 0);
    }
    assert_int_equal(file_sync(current), 0);
    file_close(old);
    file_close(current);
    sim_host_power_off(specimen->host);
    hf_log_close(log);
    sim_host_start(specimen->host);
    log = open_log(specimen, "stale frames");
    assert_int_equal(check_groups(specimen, log, "stale frames"), 0);
    hf_log_batch_close(batch);
    hf_log_close(log);
    specimen_close(specimen);
}

static void L58_a_second_opener_is_refused_and_a_read_only_one_is_not(void **unused)
{
    (void)unused;
    struct specimen *specimen = specimen_open();
    specimen_restore(specimen);
    struct hf_log *log = open_log(specimen, "first opener");
    struct hf_log *second = NULL;
    assert_int_equal(log_open(sim_host_io(specimen->host), DIRECTORY, &specimen->options, &second), HF_EBUSY);
    assert_null(second);
    /* Removing the lock file does not help. */
    assert_int_equal(path_unlink(sim_host_io(specimen->host), DIRECTORY "/LOCK"), 0);
    assert_int_equal(log_open(sim_host_io(specimen->host), DIRECTORY, &specimen->options, &second), HF_EBUSY);
    uint64_t before = sim_disk_operation_count(specimen->host);
    struct hf_log_options options = specimen->options;
    options.read_only = true;
    assert_int_equal(log_open(sim_host_io(specimen->host), DIRECTORY, &options, &second), 0);
    assert_int_equal(check_groups(specimen, second, "read-only"), 0);
    hf_log_close(second);
    assert_int_equal(sim_disk_operation_count(specimen->host), before);
    hf_log_close(log);
    specimen_close(specimen);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(void)
{
    trace_set_sink(say_nothing, NULL);
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H3_a_flipped_bit_anywhere_is_never_lost_silently),
        cmocka_unit_test(H3_damage_in_an_entry_is_named_with_group_index_and_term),
        cmocka_unit_test(H3_a_vote_in_an_unreadable_place_closes_its_group),
        cmocka_unit_test(H3_a_lost_block_closes_every_group_that_may_have_been_in_it),
        cmocka_unit_test(H3_a_torn_sector_inside_declared_data_is_damage),
        cmocka_unit_test(a_damaged_group_takes_nothing_until_it_is_reset_and_its_neighbours_go_on),
        cmocka_unit_test(L50_a_missing_segment_in_the_middle_is_an_error_that_names_it),
        cmocka_unit_test(L50_segments_that_change_places_are_an_error),
        cmocka_unit_test(L50_a_segment_that_is_too_short_or_too_long_is_an_error),
        cmocka_unit_test(L54_a_newer_version_is_refused_with_its_number),
        cmocka_unit_test(L46_foreign_files_and_left_over_temporaries_are_tolerated),
        cmocka_unit_test(L47_an_empty_or_half_headed_newest_segment_is_passed_over),
        cmocka_unit_test(H17_a_frame_in_another_place_is_not_believed),
        cmocka_unit_test(L51_frames_of_an_earlier_life_of_the_file_are_never_accepted),
        cmocka_unit_test(L58_a_second_opener_is_refused_and_a_read_only_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
