/* links: log sim */
/* A segment file of each format version, as it was written when that version was new: every later program must open it
 * and read exactly this. The files are kept for ever; a new version adds a file. The newest was made by
 * HOLDFAST_GOLDEN_WRITE=log_v3.log ./test_log_golden, and is made again only to add a file;
 * the index file beside the first one by HOLDFAST_GOLDEN_WRITE_INDEX. */
#include "golden/golden_log.h"

#include "log/log_index_build.h"
#include "log/log_index_file.h"

#define INDEX   DIRECTORY "/0000000000000001.idx"
#define SEGMENT DIRECTORY "/0000000000000001.log"

/* What the file holds. Never change this for an existing file. */
static void build_v1(struct model *model, struct hf_log_batch **batches, size_t *count)
{
    struct model_group *one = &model->groups[0];
    struct model_group *many = &model->groups[1];
    struct model_group *gone = &model->groups[2];
    struct model_group *last = &model->groups[3];
    for (*count = 0; *count < 6; ++*count) {
        struct hf_log_batch *batch = NULL;
        assert_int_equal(hf_log_batch_open(&batch), 0);
        batches[*count] = batch;
        switch (*count) {
        case 0: /* sizes, among them none; timestamps of 48 bits and beyond */
            for (uint32_t i = 0; i < 20; i++) {
                uint64_t seed = i % 4 == 3 ? UINT64_MAX - i : UINT64_C(1700000000000) + i;
                model_append(one, batch, model_group_id(0), i + 1, (struct model_entry){1 + i / 5, seed, i * 13});
            }
            break;
        case 1: /* several groups, entries and hard state */
            model_append(many, batch, model_group_id(1), 5000, (struct model_entry){3, 1, 100});
            model_hard_state(many, batch, model_group_id(1), (struct hf_hard_state){3, 2, 4000});
            model_append(gone, batch, model_group_id(2), 1, (struct model_entry){1, 2, 10});
            model_append(last, batch, model_group_id(3), UINT64_MAX - 1, (struct model_entry){UINT64_MAX - 5, 3, 7});
            break;
        case 2: /* a conflicting suffix */
            model_truncate(one, batch, model_group_id(0), 15);
            model_append(one, batch, model_group_id(0), 15, (struct model_entry){9, 77, 5000});
            break;
        case 3: /* a prefix that is gone, a group that is gone */
            model_compact(one, batch, model_group_id(0), 6);
            model_remove(gone, batch, model_group_id(2));
            break;
        case 4: /* a new start behind a snapshot */
            model_reset(many, batch, model_group_id(1), 123456789, 8);
            model_append(many, batch, model_group_id(1), 123456790, (struct model_entry){8, 4, 64});
            break;
        default: /* a second life */
            model_hard_state(gone, batch, model_group_id(2), (struct hf_hard_state){4, 1, 0});
            model_append(gone, batch, model_group_id(2), 9, (struct model_entry){4, 5, 33});
            break;
        }
    }
}

/* Groups that take turns in one frame, with more than one term, a vote and a truncation under runs of before. */
static void build_v2(struct model *model, struct hf_log_batch **batches, size_t *count)
{
    for (*count = 0; *count < 3; ++*count) {
        struct hf_log_batch *batch = NULL;
        assert_int_equal(hf_log_batch_open(&batch), 0);
        batches[*count] = batch;
        for (uint32_t turn = 0; turn < 20; turn++) {
            size_t at = turn % MODEL_GROUPS;
            struct model_group *group = &model->groups[at];
            struct model_entry entry = {3 + *count + turn / 12, UINT64_C(1700000000000) + turn, turn * 7};
            model_append(group, batch, model_group_id(at), model_last(group) + 1, entry);
        }
        for (size_t at = 0; at < MODEL_GROUPS; at++) {
            struct model_group *group = &model->groups[at];
            if (at % 2 == 0) {
                model_hard_state(group, batch, model_group_id(at), (struct hf_hard_state){5 + *count, at + 1, 2});
            } else {
                model_truncate(group, batch, model_group_id(at), model_last(group));
            }
        }
    }
}

/* Entries that open their runs: without a payload, with a timestamp that stands in front of it, in a later term; and
 * one that cannot, since its index is not the one behind the group's last. */
static void build_v3(struct model *model, struct hf_log_batch **batches, size_t *count)
{
    for (*count = 0; *count < 4; ++*count) {
        struct hf_log_batch *batch = NULL;
        assert_int_equal(hf_log_batch_open(&batch), 0);
        batches[*count] = batch;
        for (uint32_t turn = 0; turn < 12; turn++) {
            size_t at = turn % MODEL_GROUPS;
            struct model_group *group = &model->groups[at];
            uint64_t seed = turn % 5 == 1 ? UINT64_MAX - turn : UINT64_C(1700000000000) + turn;
            uint64_t index = *count == 0 && turn == 3 ? 500 : model_last(group) + 1;
            struct model_entry entry = {3 + *count + turn / 8, seed, turn < MODEL_GROUPS ? turn * 11 : turn * 7};
            model_append(group, batch, model_group_id(at), index, entry);
        }
        if (*count == 2) {
            model_truncate(&model->groups[1], batch, model_group_id(1), model_last(&model->groups[1]));
            model_hard_state(&model->groups[2], batch, model_group_id(2), (struct hf_hard_state){9, 2, 3});
        }
    }
}

static void options_v1(struct hf_log_options *options)
{
    hf_log_options_init(options);
    options->segment_size_bytes = 64 << 10;
}

/* The file, in memory that is the caller's to free. */
static uint8_t *read_golden(const char *name, size_t *size)
{
    FILE *source = golden_open(name);
    uint8_t *bytes = memory_new(GOLDEN_SIZE_MAX);
    *size = fread(bytes, 1, GOLDEN_SIZE_MAX, source);
    fclose(source);
    return bytes;
}

static void copy_to(struct sim_host *host, const char *name, const char *target)
{
    size_t size = 0;
    uint8_t *bytes = read_golden(name, &size);
    golden_put(host, target, bytes, size);
    free(bytes);
}

static void copy_in(struct sim_host *host, const char *name)
{
    copy_to(host, name, SEGMENT);
}

static void expect_built(struct hf_log *log,
                         void (*build)(struct model *model, struct hf_log_batch **batches, size_t *count))
{
    struct model *model = memory_new(sizeof(*model));
    struct hf_log_batch *batches[8];
    size_t count = 0;
    build(model, batches, &count);
    while (count > 0) {
        hf_log_batch_close(batches[--count]);
    }
    expect_model(log, model);
}

static void expect_v2(struct hf_log *log)
{
    expect_built(log, build_v2);
}

static void expect_v3(struct hf_log *log)
{
    expect_built(log, build_v3);
}

static void expect_v1(struct hf_log *log)
{
    struct hf_log_group_state state;
    hf_log_group_state(log, model_group_id(1), &state);
    assert_int_equal(state.snapshot_name_size, 8);
    assert_memory_equal(state.snapshot_name, "snapshot", 8);
    expect_built(log, build_v1);
}

static void version_1_opens_for_ever(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct hf_log_options options;
    copy_in(host, "log_v1.log");
    options_v1(&options);
    expect_opens(host, &options, expect_v1);
    sim_close(sim);
}

/* Groups of a log of version 1 take turns in what is written behind it, which is of the newest version. */
static void version_1_is_continued_by_the_newest(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct hf_log_options options;
    struct hf_log *log = NULL;
    struct model *model = memory_new(sizeof(*model));
    struct hf_log_batch *batches[8];
    size_t count = 0;
    size_t done = 0;
    build_v1(model, batches, &count);
    while (count > 1) {
        hf_log_batch_close(batches[--count]);
    }
    hf_log_batch_clear(batches[0]);
    copy_in(host, "log_v1.log");
    options_v1(&options);
    assert_int_equal(log_open(sim_host_io(host), DIRECTORY, &options, &log), 0);
    for (uint32_t turn = 0; turn < 9; turn++) {
        struct model_group *group = &model->groups[turn % 3];
        struct model_entry entry = {20 + turn / 6, turn, turn * 9};
        model_append(group, batches[0], model_group_id(turn % 3), model_last(group) + 1, entry);
    }
    assert_int_equal(hf_log_append(log, batches[0], count_done, &done), 0);
    while (done == 0) {
        hf_log_turn(log);
        sim_step(sim);
    }
    hf_log_batch_close(batches[0]);
    hf_log_close(log);
    assert_int_equal(log_open(sim_host_io(host), DIRECTORY, &options, &log), 0);
    expect_model(log, model);
    hf_log_close(log);
    sim_close(sim);
}

/* Records of the frame at this place of a segment; run records alone. */
static unsigned run_records(const uint8_t *bytes, uint64_t offset)
{
    struct log_segment_header header;
    struct log_frame_header frame;
    struct log_frame_cursor cursor;
    struct log_record record;
    unsigned runs = 0;
    size_t at = 0;
    assert_int_equal(log_format_get_segment_header(bytes, &header), 0);
    assert_true(log_frame_get_header(bytes + offset, header.incarnation, 1, offset, GOLDEN_SIZE_MAX - offset, &frame));
    log_frame_cursor_open(&cursor, bytes_of(bytes + offset, frame.length), header.incarnation, offset);
    while (log_frame_next(&cursor, &record, &at) == 0) {
        runs += record.kind == LOG_RECORD_RUN;
    }
    return runs;
}

static void version_2_opens_for_ever(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct hf_log_options options;
    size_t size = 0;
    uint8_t *bytes = read_golden("log_v2.log", &size);
    assert_true(size > 2 * LOG_FORMAT_BLOCK_SIZE);
    /* Two groups need a run in each of two terms; the other two share a slot, and need one at every turn. */
    assert_int_equal(run_records(bytes, LOG_FORMAT_SEGMENT_HEADER_SIZE), 2 * 2 + 2 * 6);
    free(bytes);
    copy_in(host, "log_v2.log");
    options_v1(&options);
    expect_opens(host, &options, expect_v2);
    sim_close(sim);
}

/* Of all frames of a segment: how many records open a run, and are entries too. */
static unsigned opening_records(const uint8_t *bytes, size_t size)
{
    struct log_segment_header header;
    struct log_frame_header frame;
    struct log_record record;
    unsigned opening = 0;
    assert_int_equal(log_format_get_segment_header(bytes, &header), 0);
    for (uint64_t offset = LOG_FORMAT_SEGMENT_HEADER_SIZE;
         log_frame_get_header(bytes + offset, header.incarnation, 1, offset, size - offset, &frame);
         offset += frame.length) {
        size_t taken = 0;
        for (uint64_t at = LOG_FORMAT_FRAME_HEADER_SIZE; at < frame.content_size; at += taken) {
            assert_int_equal(log_record_decode(bytes_of(bytes + offset + at, frame.content_size - at), &record, &taken),
                             LOG_RECORD_OK);
            opening += record.run.size > 0;
        }
    }
    return opening;
}

static void version_3_opens_for_ever(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct hf_log_options options;
    size_t size = 0;
    uint8_t *bytes = read_golden("log_v3.log", &size);
    assert_int_equal(bytes[12], 3);
    assert_true(opening_records(bytes, size) > 4 * MODEL_GROUPS);
    free(bytes);
    copy_in(host, "log_v3.log");
    options_v1(&options);
    expect_opens(host, &options, expect_v3);
    sim_close(sim);
}

/* Kinds, places and groups of all records of the file, in order. */
struct listing {
    char text[8192];
    size_t size;
};

static int list_record(void *arg, const struct log_walk_record *record)
{
    struct listing *listing = arg;
    listing->size += (size_t)snprintf(
        listing->text + listing->size, sizeof(listing->text) - listing->size, "%llu %s g%llx i%llu t%llu %zu\n",
        (unsigned long long)record->offset, record->kind, (unsigned long long)record->group,
        (unsigned long long)record->index, (unsigned long long)record->term, record->payload.size);
    return 0;
}

static void the_records_of_version_1_are_where_they_were(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct listing listing = {.size = 0};
    struct log_walk_callbacks callbacks = {.record = list_record};
    struct log_walk_summary summary;
    copy_in(host, "log_v1.log");
    assert_int_equal(log_walk(sim_host_io(host), DIRECTORY, &callbacks, &listing, &summary), 0);
    static const char *const expected[] = {
        "4256 append g1 i1 t1 0\n",
        "4288 append g1 i2 t1 13\n",
        "truncate g1 i15 t0 0\n",
        "append g1 i15 t9 5000\n",
        "compact g1 i6 t2 0\n",
        "group_removed g200000000 i0 t0 0\n",
        "reset g4d i123456789 t8 8\n",
        "hard_state g4d i0 t3 0\n",
        "append g7fffffffffffffff i18446744073709551614 t18446744073709551610 7\n",
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (strstr(listing.text, expected[i]) == NULL) {
            fail_msg("no \"%s\" in\n%s", expected[i], listing.text);
        }
    }
    assert_int_equal(summary.segments, 1);
    assert_int_equal(summary.records, 32);
    assert_int_equal(summary.damaged, 0);
    sim_close(sim);
}

/* ---- the index file of that segment ---- */

static uint8_t *read_file(struct sim_host *host, const char *path, size_t *size)
{
    struct file *file = NULL;
    uint8_t *bytes = memory_new(GOLDEN_SIZE_MAX);
    assert_int_equal(file_open(sim_host_io(host), path, FILE_READ, &file), 0);
    assert_int_equal(file_read(file, 0, bytes, GOLDEN_SIZE_MAX, size), 0);
    file_close(file);
    return bytes;
}

static void get_segment_header(struct sim_host *host, struct log_segment_header *out, uint64_t *end)
{
    size_t size = 0;
    struct log_frame_header frame;
    uint8_t *bytes = read_file(host, SEGMENT, &size);
    assert_int_equal(log_format_get_segment_header(bytes, out), 0);
    *end = LOG_FORMAT_SEGMENT_HEADER_SIZE;
    while (log_frame_get_header(bytes + *end, out->incarnation, 1, *end, size - *end, &frame)) {
        *end += frame.length;
    }
    free(bytes);
}

static void build_index(struct sim_host *host)
{
    struct log_index_build build;
    struct log_segment_header header;
    uint64_t end = 0;
    uint64_t bad = 0;
    bool directory_failed = false;
    get_segment_header(host, &header, &end);
    struct log_index_source source = {
        .io = sim_host_io(host), .directory = DIRECTORY, .header = header, .offset_end = end};
    assert_int_equal(log_index_build_segment(&build, &source, &bad), 0);
    assert_int_equal(log_index_build_write(&build, sim_host_io(host), DIRECTORY, &directory_failed), 0);
    log_index_build_close(&build);
}

static void an_index_file_of_version_1_is_read_for_ever(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct log_segment_header header;
    struct log_index_file *index = NULL;
    struct log_index_cursor cursor;
    struct log_index_item item;
    struct file *reader = NULL;
    uint8_t *tables = NULL;
    uint64_t end = 0;
    char text[4096] = "";
    size_t used = 0;
    copy_in(host, "log_v1.log");
    copy_to(host, "index_v1.idx", INDEX);
    get_segment_header(host, &header, &end);
    assert_int_equal(log_index_file_load(sim_host_io(host), DIRECTORY, &header, &index, &tables), 0);
    assert_int_equal(index->summary.offset_end, end);
    assert_int_equal(index->summary.slot_count, 26);
    struct hf_bytes bytes = bytes_of(tables, index->summary.tables_size);
    assert_int_equal(log_index_format_open_cursor(&cursor, &index->summary, bytes), 0);
    while (log_index_format_next(&cursor, &item) == 0) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s g%llx i%llu n%llu t%llu c%llu\n",
                                 log_format_kind_name((uint8_t)item.kind), (unsigned long long)item.run.group,
                                 (unsigned long long)item.index, (unsigned long long)item.count,
                                 (unsigned long long)item.term, (unsigned long long)item.hard_state.commit);
    }
    static const char *const expected[] = {
        ("run g1 i0 n0 t0 c0\nappend g1 i1 n20 t0 c0\ntruncate g1 i15 n0 t0 c0\nappend g1 i15 n1 t0 c0\n"
         "compact g1 i6 n0 t2 c0\n"),
        "hard_state g4d i5000 n0 t0 c4000\nappend g4d i5000 n1 t0 c0\nreset g4d i123456789 n0 t8 c0\n",
        "group_removed g200000000 i0 n0 t0 c0\n",
        "append g7fffffffffffffff i18446744073709551614 n1 t0 c0\n",
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (strstr(text, expected[i]) == NULL) {
            fail_msg("no \"%s\" in\n%s", expected[i], text);
        }
    }
    struct log_slot slots[26];
    assert_int_equal(log_index_file_open_reader(index, &reader), 0);
    assert_int_equal(log_index_file_read_slots(index, reader, 0, 26, slots), 0);
    assert_int_equal(slots[0].offset_eighth, 4256 / 8);
    assert_int_equal(slots[1].offset_eighth, 4288 / 8);
    assert_int_equal(slots[1].size, 13);
    file_close(reader);
    log_index_file_close(index);
    free(tables);
    sim_close(sim);
}

static void an_index_file_is_still_written_as_it_was(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    size_t size = 0;
    size_t golden_size = 0;
    copy_in(host, "log_v1.log");
    copy_to(host, "index_v1.idx", DIRECTORY "/golden");
    build_index(host);
    uint8_t *bytes = read_file(host, INDEX, &size);
    uint8_t *golden = read_file(host, DIRECTORY "/golden", &golden_size);
    assert_int_equal(size, golden_size);
    assert_memory_equal(bytes, golden, size);
    free(bytes);
    free(golden);
    sim_close(sim);
}

static void write_index_file(const char *path)
{
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    size_t size = 0;
    copy_in(host, "log_v1.log");
    build_index(host);
    uint8_t *bytes = read_file(host, INDEX, &size);
    FILE *target = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, size, target), size);
    fclose(target);
    free(bytes);
    sim_close(sim);
}

/* ---- making the file ---- */

static void write_file(const char *path)
{
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct hf_log_options options;
    struct hf_log *log = NULL;
    struct model *model = memory_new(sizeof(*model));
    struct hf_log_batch *batches[8];
    size_t count = 0;
    size_t done = 0;
    options_v1(&options);
    build_v3(model, batches, &count);
    assert_int_equal(log_open(sim_host_io(host), DIRECTORY, &options, &log), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(hf_log_append(log, batches[i], count_done, &done), 0);
        while (done <= i) {
            hf_log_turn(log);
            sim_step(sim);
            hf_log_turn(log);
        }
        hf_log_batch_close(batches[i]);
    }
    for (int i = 0; i < 4; i++) {
        sim_run_for(sim, 5000000);
        hf_log_turn(log);
    }
    struct file *file = NULL;
    uint8_t *bytes = malloc(GOLDEN_SIZE_MAX);
    size_t got = 0;
    assert_int_equal(file_open(sim_host_io(host), SEGMENT, FILE_READ, &file), 0);
    assert_int_equal(file_read(file, 0, bytes, GOLDEN_SIZE_MAX, &got), 0);
    FILE *target = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, got, target), got);
    fclose(target);
    file_close(file);
    hf_log_close(log);
    sim_close(sim);
    free(bytes);
    free(model);
}

int main(void)
{
    const char *path = getenv("HOLDFAST_GOLDEN_WRITE");
    if (path != NULL) {
        write_file(path);
        return 0;
    }
    path = getenv("HOLDFAST_GOLDEN_WRITE_INDEX");
    if (path != NULL) {
        write_index_file(path);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_file_of_version_1_is_read_for_ever),
        cmocka_unit_test(an_index_file_is_still_written_as_it_was),
        cmocka_unit_test(version_1_opens_for_ever),
        cmocka_unit_test(version_1_is_continued_by_the_newest),
        cmocka_unit_test(version_2_opens_for_ever),
        cmocka_unit_test(version_3_opens_for_ever),
        cmocka_unit_test(the_records_of_version_1_are_where_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
