/* A small log whose every byte is declared durable, on a switched-off disk that can be put back: something to damage.
 */
#ifndef TESTS_LOG_SPECIMEN_H
#define TESTS_LOG_SPECIMEN_H

#include "unit/log/log_model.h"

#include "log/log.h"
#include "log/log_format.h"
#include "sim/sim.h"

#define DIRECTORY             "/data/log"
#define SEGMENT               DIRECTORY "/0000000000000001.log"
#define MS                    UINT64_C(1000000)
#define RECORDS_MAX           2048u
#define SPECIMEN_GROUPS       3u
#define SPECIMEN_SEGMENT_SIZE (256u << 10) /* all fits into the first one, and a copy costs little */

/* A log of three groups in some frames, declared durable to its end, on a powered-off disk. */
struct place {
    uint64_t segment;
    uint64_t offset;
    uint64_t payload_offset; /* of an entry */
    uint64_t size;           /* of the payload */
    uint64_t group;
    uint64_t index;
    uint64_t term;
    bool is_entry;
};
struct specimen {
    struct sim *sim;
    struct sim_host *host;
    struct sim_image *image;
    struct model model;
    struct hf_log_options options;
    struct place places[RECORDS_MAX];
    size_t place_count;
    uint64_t end; /* of what is used in the first segment */
};

static inline void count_done(void *arg, int result)
{
    assert_int_equal(result, 0);
    ++*(unsigned *)arg;
}

static inline void append_and_wait(struct specimen *specimen, struct hf_log *log, struct hf_log_batch *batch)
{
    unsigned done = 0;
    assert_int_equal(hf_log_append(log, batch, count_done, &done), 0);
    while (done == 0) {
        hf_log_turn(log);
        sim_step(specimen->sim);
        hf_log_turn(log);
    }
    hf_log_batch_clear(batch);
}

/* Where the payload of the entry lies whose record begins there: some open their run, and name it in front. */
static inline uint64_t find_payload(struct specimen *specimen, uint64_t segment, uint64_t offset)
{
    uint8_t header[LOG_FORMAT_RECORD_HEADER_SIZE];
    char path[64];
    struct file *file = NULL;
    size_t got = 0;
    snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)segment);
    assert_int_equal(file_open(sim_host_io(specimen->host), path, FILE_READ, &file), 0);
    assert_int_equal(file_read(file, offset, header, sizeof(header), &got), 0);
    assert_int_equal(got, sizeof(header));
    file_close(file);
    uint64_t run_size = header[8] == LOG_RECORD_OPENING ? LOG_FORMAT_RUN_BODY_SIZE : 0;
    uint64_t wide_size = (header[9] & LOG_FORMAT_RECORD_WIDE) != 0 ? 8 : 0;
    return offset + LOG_FORMAT_RECORD_HEADER_SIZE + wide_size + run_size;
}

static inline int note_place(void *arg, const struct log_walk_record *record)
{
    struct specimen *specimen = arg;
    assert_true(specimen->place_count < RECORDS_MAX);
    specimen->places[specimen->place_count++] = (struct place){
        .segment = record->segment,
        .offset = record->offset,
        .payload_offset = find_payload(specimen, record->segment, record->offset),
        .size = record->payload.size,
        .group = record->group,
        .index = record->index,
        .term = record->term,
        .is_entry = strcmp(record->kind, "append") == 0,
    };
    return 0;
}

static inline void specimen_fill(struct specimen *specimen, struct hf_log *log)
{
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    for (uint64_t i = 1; i <= 8; i++) {
        for (size_t turn = 0; turn < 2 * SPECIMEN_GROUPS; turn++) {
            /* One group after the other, and groups that come back in the same frame. */
            uint64_t part = i % 2 == 0 ? turn % 2 : turn / SPECIMEN_GROUPS;
            size_t group = i % 2 == 0 ? turn / 2 : turn % SPECIMEN_GROUPS;
            struct model_group *model = &specimen->model.groups[group];
            struct model_entry entry = {.term = i / 3 + 1,
                                        .payload_seed = i * 100 + group * 10 + part,
                                        .payload_size = (uint32_t)(i * 37 + part)};
            model_append(model, batch, model_group_id(group), model_last(model) + 1, entry);
            if (part == 1 && i % 3 == group) {
                struct hf_hard_state state = {i / 3 + 1, group + 1, model_last(model)};
                model_hard_state(model, batch, model_group_id(group), state);
            }
        }
        append_and_wait(specimen, log, batch);
    }
    /* Every group speaks once more, so that a loss before can be told from none. */
    for (size_t group = 0; group < SPECIMEN_GROUPS; group++) {
        struct model_group *model = &specimen->model.groups[group];
        model_append(model, batch, model_group_id(group), model_last(model) + 1, (struct model_entry){9, group, 20});
        model_hard_state(model, batch, model_group_id(group), (struct hf_hard_state){9, 1, model_last(model)});
        append_and_wait(specimen, log, batch);
    }
    /* And votes under runs that were opened before others': nothing comes behind them that would tell of their loss. */
    for (size_t turn = 0; turn < 2 * SPECIMEN_GROUPS; turn++) {
        size_t group = turn % SPECIMEN_GROUPS;
        struct model_group *model = &specimen->model.groups[group];
        if (turn < SPECIMEN_GROUPS) {
            model_append(model, batch, model_group_id(group), model_last(model) + 1, (struct model_entry){9, turn, 60});
        } else {
            model_hard_state(model, batch, model_group_id(group), (struct hf_hard_state){10, 2, model_last(model)});
        }
    }
    append_and_wait(specimen, log, batch);
    hf_log_batch_close(batch);
}

typedef void specimen_filler(struct specimen *specimen, struct hf_log *log);

/* fill: every batch in a frame of one block. options may be NULL. */
static inline struct specimen *specimen_open_with(uint64_t seed, const struct hf_log_options *options,
                                                  specimen_filler *fill)
{
    struct specimen *specimen = memory_new(sizeof(*specimen));
    struct hf_log *log = NULL;
    specimen->sim = sim_open(seed, NULL);
    specimen->host = sim_host_add(specimen->sim, NULL, NULL);
    hf_log_options_init(&specimen->options);
    specimen->options.segment_size_bytes = SPECIMEN_SEGMENT_SIZE;
    specimen->options = options != NULL ? *options : specimen->options;
    assert_int_equal(log_open(sim_host_io(specimen->host), DIRECTORY, &specimen->options, &log), 0);
    fill(specimen, log);
    for (int i = 0; i < 50; i++) { /* the trailer of the idle log declares the rest, and what is moved meanwhile */
        sim_run_for(specimen->sim, 4 * MS);
        hf_log_turn(log);
    }
    struct log_walk_callbacks callbacks = {.record = note_place};
    struct log_walk_summary summary;
    assert_int_equal(log_walk(sim_host_io(specimen->host), DIRECTORY, &callbacks, specimen, &summary), 0);
    assert_int_equal(summary.damaged, 0);
    assert_int_equal(summary.torn_bytes, 0);
    specimen->end = LOG_FORMAT_SEGMENT_HEADER_SIZE + summary.frames * LOG_FORMAT_BLOCK_SIZE;
    sim_host_power_off(specimen->host);
    hf_log_close(log);
    sim_disk_choose_outcome(specimen->host, 0);
    specimen->image = sim_image_take(specimen->host);
    return specimen;
}

static inline struct specimen *specimen_open(void)
{
    return specimen_open_with(1, NULL, specimen_fill);
}

static inline void specimen_close(struct specimen *specimen)
{
    sim_image_close(specimen->image);
    sim_close(specimen->sim);
    free(specimen);
}

/* Puts the disk back as it was and starts the host on it. */
static inline void specimen_restore(struct specimen *specimen)
{
    sim_host_power_off(specimen->host);
    sim_image_put(specimen->host, specimen->image);
    sim_disk_choose_outcome(specimen->host, 0);
    sim_host_start(specimen->host);
}

static inline size_t damage_count(struct hf_log *log, struct hf_log_damage *last)
{
    size_t position = 0;
    while (hf_log_damage_next(log, &position, last) == 0) {
    }
    return position;
}

static inline struct hf_log *open_log(struct specimen *specimen, const char *where)
{
    struct hf_log *log = NULL;
    int rc = log_open(sim_host_io(specimen->host), DIRECTORY, &specimen->options, &log);
    if (rc != 0) {
        fail_msg("%s: %s: %s", where, hf_error_name(rc), hf_error_text());
    }
    return log;
}

static inline void overwrite_in(struct specimen *specimen, const char *path, uint64_t offset, size_t size, int fill)
{
    struct file *file = NULL;
    uint8_t *data = memory_new(size);
    memset(data, fill, size);
    assert_int_equal(file_open(sim_host_io(specimen->host), path, FILE_WRITE, &file), 0);
    assert_int_equal(file_write(file, offset, data, size), 0);
    assert_int_equal(file_sync(file), 0);
    file_close(file);
    free(data);
}

static inline void overwrite(struct specimen *specimen, uint64_t offset, size_t size, int fill)
{
    overwrite_in(specimen, SEGMENT, offset, size, fill);
}

#endif
