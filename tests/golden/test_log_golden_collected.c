/* links: log sim */
/* A log directory of format version 1 whose front is gone: entries, a hard state, a floor with its snapshot's name and
 * a removal were moved, and the files that held them first were given up. Every later program must open it and read
 * exactly this. The file is kept for ever. It was made by
 * HOLDFAST_GOLDEN_WRITE=log_v1_collected.bin ./test_log_golden_collected, and holds the segments one after the other:
 * number, size and stored size as u64, then the bytes without the zeros at the end. */
#include "golden/golden_log.h"

#include "base/bytes.h"

#define MS      UINT64_C(1000000)
#define BATCHES 34u
#define STORED  24u

/* What the directory holds. Never change this for an existing file. */
static void build(struct model *model, struct hf_log_batch *batch, unsigned at)
{
    struct model_group *busy = &model->groups[0];
    uint64_t idle = model_group_id(1);
    uint64_t restored = model_group_id(2);
    uint64_t gone = model_group_id(3);
    if (at == 0) {
        for (uint64_t i = 0; i < 5; i++) {
            model_append(&model->groups[1], batch, idle, 1000 + i, (struct model_entry){1 + i / 3, 100 + i, 50});
        }
        model_hard_state(&model->groups[1], batch, idle, (struct hf_hard_state){7, 3, 1002});
        model_truncate(&model->groups[1], batch, idle, 1004);
        model_reset(&model->groups[2], batch, restored, 77, 5);
        model_append(&model->groups[2], batch, restored, 78, (struct model_entry){6, UINT64_MAX - 1, 300});
        model_append(&model->groups[3], batch, gone, 1, (struct model_entry){1, 300, 100});
        return;
    }
    if (at == 1) {
        model_remove(&model->groups[3], batch, gone);
    }
    for (uint64_t i = 0; i < 4; i++) {
        model_append(busy, batch, model_group_id(0), model_last(busy) + 1, (struct model_entry){1, at * 10 + i, 2000});
    }
    if (busy->count > 6) {
        model_compact(busy, batch, model_group_id(0), model_last(busy) - 6);
    }
}

static void options_v1(struct hf_log_options *options)
{
    hf_log_options_init(options);
    options->segment_size_bytes = 64 << 10;
    options->collect_size_bytes = 64 << 10;
}

static void expect_v1(struct hf_log *log)
{
    struct model *model = memory_new(sizeof(*model));
    struct hf_log_batch *batch = NULL;
    struct hf_log_group_state state;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    for (unsigned i = 0; i < BATCHES; i++) {
        hf_log_batch_clear(batch);
        build(model, batch, i);
    }
    hf_log_batch_close(batch);
    hf_log_group_state(log, model_group_id(1), &state);
    assert_true(state.segment_oldest > 1);
    hf_log_group_state(log, model_group_id(2), &state);
    assert_true(state.snapshot_name_size == 8 && memcmp(state.snapshot_name, "snapshot", 8) == 0);
    hf_log_group_state(log, model_group_id(3), &state);
    assert_true(state.removed);
    expect_model(log, model);
}

static void segment_path(char path[64], uint64_t number)
{
    snprintf(path, 64, DIRECTORY "/%016llx.log", (unsigned long long)number);
}

static void copy_in(struct sim_host *host, const char *name)
{
    uint8_t head[STORED];
    uint8_t *bytes = malloc(GOLDEN_SIZE_MAX);
    FILE *source = golden_open(name);
    while (fread(head, 1, STORED, source) == STORED) {
        char target[64];
        uint64_t size = bytes_get_u64(head + 8);
        uint64_t stored = bytes_get_u64(head + 16);
        assert_true(size <= GOLDEN_SIZE_MAX && stored <= size);
        memset(bytes, 0, size);
        assert_int_equal(fread(bytes, 1, stored, source), stored);
        segment_path(target, bytes_get_u64(head));
        golden_put(host, target, bytes, size);
    }
    fclose(source);
    free(bytes);
}

static void a_log_of_version_1_whose_front_is_gone_opens_for_ever(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct hf_log_options options;
    copy_in(host, "log_v1_collected.bin");
    options_v1(&options);
    expect_opens(host, &options, expect_v1);
    sim_close(sim);
}

struct counts {
    unsigned moved;
    unsigned others;
};
static int count_record(void *arg, const struct log_walk_record *record)
{
    struct counts *counts = arg;
    if (strcmp(record->kind, "moved") == 0) {
        counts->moved++;
    } else {
        counts->others++;
    }
    return 0;
}

static void its_records_can_be_walked_and_none_is_damaged(void **unused)
{
    (void)unused;
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct counts counts = {0};
    struct log_walk_callbacks callbacks = {.record = count_record};
    struct log_walk_summary summary;
    copy_in(host, "log_v1_collected.bin");
    assert_int_equal(log_walk(sim_host_io(host), DIRECTORY, &callbacks, &counts, &summary), 0);
    assert_true(counts.moved >= 5 && counts.others > 6);
    assert_int_equal(summary.damaged, 0);
    sim_close(sim);
}

/* ---- making the file ---- */

static void store(struct sim_host *host, uint64_t number, FILE *target)
{
    struct file *file = NULL;
    uint8_t head[STORED];
    uint8_t *bytes = malloc(GOLDEN_SIZE_MAX);
    size_t size = 0;
    char path[64];
    segment_path(path, number);
    if (file_open(sim_host_io(host), path, FILE_READ, &file) == 0) {
        assert_int_equal(file_read(file, 0, bytes, GOLDEN_SIZE_MAX, &size), 0);
        file_close(file);
        size_t stored = size;
        while (stored > 0 && bytes[stored - 1] == 0) {
            stored--;
        }
        bytes_put_u64(head, number);
        bytes_put_u64(head + 8, size);
        bytes_put_u64(head + 16, stored);
        assert_int_equal(fwrite(head, 1, STORED, target), STORED);
        assert_int_equal(fwrite(bytes, 1, stored, target), stored);
    }
    free(bytes);
}

static void write_file(const char *path)
{
    struct sim *sim = NULL;
    struct sim_host *host = new_host(&sim);
    struct hf_log_options options;
    struct hf_log *log = NULL;
    struct model *model = memory_new(sizeof(*model));
    struct hf_log_batch *batch = NULL;
    size_t done = 0;
    options_v1(&options);
    assert_int_equal(hf_log_batch_open(&batch), 0);
    assert_int_equal(log_open(sim_host_io(host), DIRECTORY, &options, &log), 0);
    for (unsigned i = 0; i < BATCHES; i++) {
        hf_log_batch_clear(batch);
        build(model, batch, i);
        assert_int_equal(hf_log_append(log, batch, count_done, &done), 0);
        for (unsigned ms = 0; ms < 60 || done <= i; ms++) {
            sim_run_for(sim, MS);
            hf_log_turn(log);
        }
    }
    expect_v1(log);
    FILE *target = fopen(path, "wb");
    for (uint64_t number = 1; number < 100; number++) {
        store(host, number, target);
    }
    fclose(target);
    hf_log_close(log);
    hf_log_batch_close(batch);
    sim_close(sim);
    free(model);
}

int main(void)
{
    const char *path = getenv("HOLDFAST_GOLDEN_WRITE");
    if (path != NULL) {
        write_file(path);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_of_version_1_whose_front_is_gone_opens_for_ever),
        cmocka_unit_test(its_records_can_be_walked_and_none_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
