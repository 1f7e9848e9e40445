/* links: log sim */
/* Log items L46 to L60: what an open makes of a directory, and the end of a log. */
#include "contract/log_items_files.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "log/log_format.h"

#define BLOCK LOG_FORMAT_BLOCK_SIZE

/* ---- files of the directory, beside the log ---- */

/* Durably, its name too. */
static void write_file(struct items_run *run, const char *path, uint64_t offset, const void *bytes, size_t size)
{
    struct file *file = NULL;
    assert_int_equal(file_open(sim_host_io(run->host), path, FILE_READ | FILE_WRITE | FILE_CREATE, &file), 0);
    if (size > 0) {
        assert_int_equal(file_write(file, offset, bytes, size), 0);
    }
    assert_int_equal(file_sync(file), 0);
    file_close(file);
    assert_int_equal(directory_sync(sim_host_io(run->host), ITEMS_DIRECTORY), 0);
}
static void resize_file(struct items_run *run, const char *path, uint64_t size)
{
    struct file *file = NULL;
    assert_int_equal(file_open(sim_host_io(run->host), path, FILE_READ | FILE_WRITE, &file), 0);
    assert_int_equal(file_truncate(file, size), 0);
    assert_int_equal(file_sync(file), 0);
    file_close(file);
}
/* Where the last frame of a segment ends: the first block behind it that begins no frame. */
static uint64_t tail_of(struct items_run *run, uint64_t number)
{
    uint64_t size = 0;
    uint8_t *bytes = read_file(run, segment_path(number), &size);
    uint64_t offset = LOG_FORMAT_SEGMENT_HEADER_SIZE;
    while (offset + BLOCK <= size && memcmp(bytes + offset, "HFFR", 4) == 0) {
        offset += bytes_get_u32(bytes + offset + 48);
    }
    free(bytes);
    return offset;
}
/* Everything is there, also after another power loss. Leaves the log closed. */
static void expect_all(struct items_run *run)
{
    items_reopen(run, run->items->count, run->items->count);
    sim_disk_set_chooser(run->host, items_keep_nothing, NULL);
    items_restart(run);
    items_reopen(run, run->items->count, run->items->count);
    items_close(run);
}
/* Nothing acknowledged is gone in silence: refused, or damage named, or all there. Returns whether it was noticed. */
static bool expect_all_or_noticed(struct items_run *run, const char *what)
{
    struct items_difference difference = {""};
    int rc = items_open(run);
    if (rc != 0) {
        assert_null(run->log);
        if (rc != HF_ECORRUPT && rc != HF_EVERSION) {
            fail_msg("%s: the open fails with %s: %s", what, hf_error_name(rc), hf_error_text());
        }
        assert_true(strstr(hf_error_text(), ".log") != NULL || strstr(hf_error_text(), "segment") != NULL);
        return true;
    }
    size_t position = 0;
    struct hf_log_damage damage;
    bool noticed = hf_log_damage_next(run->log, &position, &damage) == 0;
    const struct items_model *model = &run->items->models[run->items->count];
    for (unsigned group = 0; group < ITEMS_GROUPS; group++) {
        struct hf_log_group_state state;
        assert_int_equal(hf_log_group_state(run->log, items_ids[group], &state), 0);
        if (!state.damaged && !(noticed && damage.group == 0) &&
            !items_same_group(run->log, items_ids[group], &model->groups[group], &difference)) {
            fail_msg("%s: changed in silence: %s", what, difference.text);
        }
    }
    items_close(run);
    return noticed;
}

/* ---- workloads ---- */

static void build_little(struct items *items)
{
    for (unsigned i = 0; i < 6; i++) {
        items_batch(items);
        items_append(items, i % 2, 1 + i % 3, 1 + i / 3, 700);
        items_hard_state(items, i % 2, 1 + i / 3, 1, i);
    }
}
static void build_torn_tail(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 2, 1, 300);
    items_batch(items);
    items_append(items, 0, 3, 1, 5000);
    items_append(items, 1, 3, 1, 5000);
    items_hard_state(items, 1, 1, 1, 1);
}
ITEMS_THREE_WAYS(L48_a_torn_last_batch_is_dropped_whole, build_torn_tail)

static void build_large_then_small(struct items *items)
{
    items->width = 4;
    items_batch(items);
    items_append(items, 0, 1, 1, ITEMS_SEGMENT_SIZE + 60000);
    for (unsigned i = 0; i < 3; i++) {
        items_batch(items);
        items_append(items, 1, 1, 1, 30);
    }
    items_batch(items);
    items_append(items, 2, 2, 1, 85000);
}
ITEMS_THREE_WAYS(L47_a_new_segment_in_any_state_of_birth_is_passed_over, build_large_then_small)

static void L46_missing_and_empty_directories_and_foreign_files_are_tolerated(void **unused)
{
    (void)unused;
    static const char *const foreign[] = {"notes",
                                          "0000.log",
                                          "00000000000000zz.log",
                                          "000000000000000A.log",
                                          "0000000000000001.log.bak",
                                          "x0000000000000001.log",
                                          "0000000000000001.LOG",
                                          "lost+found",
                                          ".log"};
    for (unsigned round = 0; round < 3; round++) {
        struct items items;
        struct items_run run;
        char path[PATH_MAX_SIZE];
        items_setup(&items, &run);
        if (round > 0) {
            assert_int_equal(directory_create(sim_host_io(run.host), ITEMS_DIRECTORY), 0);
        }
        for (size_t i = 0; i < 9 && round == 2; i++) {
            snprintf(path, sizeof(path), ITEMS_DIRECTORY "/%s", foreign[i]);
            write_file(&run, path, 0, "mine", 4);
        }
        if (round == 2) {
            assert_int_equal(directory_create(sim_host_io(run.host), ITEMS_DIRECTORY "/folder"), 0);
            write_file(&run, ITEMS_DIRECTORY "/0000000000000009.tmp", 0, "left over", 9);
            write_file(&run, ITEMS_DIRECTORY "/0000000000000001.tmp", 0, NULL, 0);
        }
        items_open_surely(&run);
        items_batch(&items);
        items_append(&items, 0, 3, 1, 100);
        items_commit(&run);
        items_restart(&run);
        items_reopen(&run, 1, 1);
        for (size_t i = 0; i < 9 && round == 2; i++) {
            uint64_t size = 0;
            snprintf(path, sizeof(path), ITEMS_DIRECTORY "/%s", foreign[i]);
            uint8_t *bytes = read_file(&run, path, &size);
            assert_int_equal(size, 4);
            assert_memory_equal(bytes, "mine", 4);
            free(bytes);
        }
        items_teardown(&run);
    }
}

/* A crash in a rotation leaves a file that is not a segment yet: of no size, without a header, with half of one. */
static void L47_a_half_made_newest_segment_leads_back_to_the_one_before(void **unused)
{
    (void)unused;
    static const uint64_t sizes[] = {0, 1, 100, 511, 512, 4095, 4096, 8192, 1 << 20};
    for (size_t i = 0; i < 27; i++) {
        struct items items;
        struct items_run run;
        uint64_t old_size = 0;
        run_and_close(&items, &run, build_little);
        struct listing listing = list(&run);
        uint64_t last = listing.numbers[listing.count - 1];
        uint8_t *old = read_file(&run, segment_path(last), &old_size);
        uint8_t *bytes = calloc(1, 1 << 20);
        assert_non_null(bytes);
        if (i / 9 == 1) { /* half a header of another's */
            memcpy(bytes, old, 48);
        } else if (i / 9 == 2) {
            memcpy(bytes, items_payload(3, 1 << 20).data, 1 << 20);
        }
        write_file(&run, segment_path(last + 1), 0, bytes, sizes[i % 9]);
        expect_all(&run);
        free(bytes);
        free(old);
        sim_close(run.sim);
        items_end(&items);
    }
}

/* Each sector of the last batch is old, new or garbled; drawn many times. */
static void L48_any_subset_of_the_sectors_of_the_last_batch_may_be_garbled(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_begin(&items);
    build_torn_tail(&items);
    items.profile.garble_ppm = 500000;
    items_world(&run, &items, 2);
    run.when = "garbled tail";
    items_open_surely(&run);
    assert_int_equal(items_append_next(&run), 0);
    items_drive(&run, 0);
    assert_int_equal(items_append_next(&run), 0);
    hf_log_turn(run.log);
    assert_int_equal(run.called, 1);
    sim_host_power_off(run.host);
    items_close(&run);
    items_recover_each(&run, 1, 2, 120);
    assert_true(sim_fault_count(run.sim, SIM_FAULT_SECTOR_GARBLED) > 100);
    assert_true(sim_fault_count(run.sim, SIM_FAULT_WRITE_TORN) > 10);
    sim_close(run.sim);
    items_end(&items);
}

static void L49_damage_before_a_declared_position_is_never_cut_off_in_silence(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    unsigned noticed = 0;
    unsigned tries = 0;
    run_and_close(&items, &run, build_little);
    uint64_t end = tail_of(&run, 1);
    sim_host_power_off(run.host);
    struct sim_image *image = sim_image_take(run.host);
    for (uint64_t offset = 0; offset < end; offset += 37) {
        char what[64];
        snprintf(what, sizeof(what), "bit %u of byte %llu", (unsigned)(offset % 8), (unsigned long long)offset);
        sim_host_power_off(run.host);
        sim_image_put(run.host, image);
        sim_host_start(run.host);
        assert_int_equal(sim_disk_flip_bit(run.host, segment_path(1), offset, (unsigned)(offset % 8)), 0);
        noticed += expect_all_or_noticed(&run, what);
        tries++;
    }
    assert_true(noticed > tries / 4); /* the rest is padding, or could be mended */
    sim_image_close(image);
    sim_close(run.sim);
    items_end(&items);
}

/* A payload of whole frames of this very log: never records, even when the header of the frame around them is gone. */
static void L51_frames_in_a_payload_are_never_believed(void **unused)
{
    (void)unused;
    /* The payload begins 96 + 64 + 32 bytes behind the frame's start. */
    static const uint64_t shifts[] = {192, 0, 1365, 4095};
    for (size_t i = 0; i < 4; i++) {
        struct items items;
        struct items_run run;
        uint64_t size = 0;
        run_and_close(&items, &run, build_little);
        uint8_t *bytes = read_file(&run, segment_path(1), &size);
        items_reopen(&run, items.count, items.count);
        struct listing listing = list(&run);
        uint64_t number = listing.numbers[0];
        for (size_t k = 0; k < listing.count && tail_of(&run, number) != LOG_FORMAT_SEGMENT_HEADER_SIZE; k++) {
            number = listing.numbers[k];
        }
        uint64_t frame = tail_of(&run, number);
        struct hf_log_batch *batch = NULL;
        assert_int_equal(hf_log_batch_open(&batch), 0);
        struct hf_entry entry = {1, 1, 0, HF_ENTRY_NORMAL, {bytes + shifts[i], 40000}};
        assert_int_equal(hf_log_batch_append(batch, 5000, &entry, 1), 0);
        assert_int_equal(items_append_apart(&run, batch), 0);
        hf_log_batch_close(batch);
        items_idle(&run, 100 * ITEMS_MS);
        items_close(&run);
        assert_int_equal(sim_disk_flip_bit(run.host, segment_path(number), frame + 20, 3), 0);
        assert_true(expect_all_or_noticed(&run, "a frame with frames in it"));
        free(bytes);
        sim_close(run.sim);
        items_end(&items);
    }
}

/* Frames with good checksums, from elsewhere in the log or from its past, behind the tail. */
static void L51_stale_frames_behind_the_tail_are_never_accepted(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    uint64_t size = 0;
    run_and_close(&items, &run, build_little);
    uint64_t end = tail_of(&run, 1);
    uint8_t *bytes = read_file(&run, segment_path(1), &size);
    sim_host_power_off(run.host);
    struct sim_image *image = sim_image_take(run.host);
    for (uint64_t from = BLOCK; from < end; from += BLOCK) {
        for (uint64_t blocks = 1; blocks <= 3 && from + blocks * BLOCK <= end; blocks++) {
            for (uint64_t gap = 0; gap < 3; gap++) {
                sim_host_power_off(run.host);
                sim_image_put(run.host, image);
                sim_host_start(run.host);
                write_file(&run, segment_path(1), end + gap * BLOCK, bytes + from, blocks * BLOCK);
                expect_all(&run);
            }
        }
    }
    free(bytes);
    sim_image_close(image);
    sim_close(run.sim);
    items_end(&items);
}

/* Junk behind the tail is no part of the log, and joins nothing that is written later. */
static void L52_junk_behind_the_tail_never_joins_later_writes(void **unused)
{
    (void)unused;
    for (uint32_t seed = 1; seed <= 6; seed++) {
        struct items items;
        struct items_run run;
        run_and_close(&items, &run, build_little);
        uint64_t end = tail_of(&run, 1);
        write_file(&run, segment_path(1), end, items_payload(seed, 80000).data, 80000 - seed * 1000);
        items_reopen(&run, items.count, items.count);
        for (unsigned i = 0; i < 3; i++) {
            items_batch(&items);
            items_append(&items, i, 2, 5, 900);
            items_commit(&run);
            items_restart(&run);
            items_reopen(&run, items.count, items.count);
        }
        items_teardown(&run);
    }
}

/* A header with a good checksum and an impossible length, at the place where the next frame would be. */
static void L53_lengths_are_bounded_before_anything_is_allocated(void **unused)
{
    (void)unused;
    static const uint32_t lengths[] = {0, 1, 4095, 4097, 8192, 1 << 20, 0x10100000, 0x80000000, 0xfffff000, 0xffffffff};
    for (size_t i = 0; i < 30; i++) {
        struct items items;
        struct items_run run;
        uint64_t size = 0;
        run_and_close(&items, &run, build_little);
        uint64_t end = tail_of(&run, 1);
        uint8_t *bytes = read_file(&run, segment_path(1), &size);
        uint64_t last = BLOCK;
        while (last + bytes_get_u32(bytes + last + 48) < end) {
            last += bytes_get_u32(bytes + last + 48);
        }
        uint8_t block[BLOCK] = {0};
        memcpy(block, bytes + last, LOG_FORMAT_FRAME_HEADER_SIZE);
        bytes_put_u64(block + 24, end);
        bytes_put_u64(block + 32, bytes_get_u64(block + 32) + 1);
        bytes_put_u64(block + 40, bytes_get_u64(block + 40) + (end - last));
        bytes_put_u32(block + 48, i / 10 == 1 ? 8192 : lengths[i % 10]);
        bytes_put_u32(block + 52, i / 10 == 0 ? 200 : lengths[i % 10]);
        bytes_put_u32(block + 56, i / 10 == 2 ? lengths[i % 10] : 2);
        bytes_put_u32(block + 4, checksum_crc32c(0, block + 8, 88));
        write_file(&run, segment_path(1), end, block, BLOCK);
        expect_all(&run);
        free(bytes);
        sim_close(run.sim);
        items_end(&items);
    }
}

enum trouble { MISSING, EMPTY, SHORT, LONG, SWAPPED, COPIED_OVER, COPIED_BEYOND, HEADLESS, TROUBLES };

static void make_trouble(struct items_run *run, const struct listing *listing, size_t which, enum trouble trouble)
{
    uint64_t size = 0;
    uint64_t other = listing->numbers[(which + 1) % listing->count];
    uint8_t *bytes = read_file(run, segment_path(listing->numbers[which]), &size);
    uint64_t number = listing->numbers[which];
    char path[PATH_MAX_SIZE];
    if (trouble == MISSING) {
        assert_int_equal(path_unlink(sim_host_io(run->host), segment_path(number)), 0);
        assert_int_equal(directory_sync(sim_host_io(run->host), ITEMS_DIRECTORY), 0);
    } else if (trouble == EMPTY) {
        resize_file(run, segment_path(number), 0);
    } else if (trouble == SHORT) {
        resize_file(run, segment_path(number), size / 3);
    } else if (trouble == LONG) {
        write_file(run, segment_path(number), size, bytes, BLOCK);
    } else if (trouble == SWAPPED) {
        snprintf(path, sizeof(path), "%s", segment_path(number));
        assert_int_equal(path_rename(sim_host_io(run->host), path, ITEMS_DIRECTORY "/aside"), 0);
        assert_int_equal(path_rename(sim_host_io(run->host), segment_path(other), path), 0);
        assert_int_equal(path_rename(sim_host_io(run->host), ITEMS_DIRECTORY "/aside", segment_path(other)), 0);
        assert_int_equal(directory_sync(sim_host_io(run->host), ITEMS_DIRECTORY), 0);
    } else if (trouble == COPIED_OVER) {
        write_file(run, segment_path(other), 0, bytes, size);
    } else if (trouble == COPIED_BEYOND) {
        write_file(run, segment_path(listing->numbers[listing->count - 1] + 1), 0, bytes, size);
    } else {
        memset(bytes, 0, BLOCK);
        write_file(run, segment_path(number), 0, bytes, BLOCK);
    }
    free(bytes);
}
static void L50_segments_that_are_not_what_they_should_be_are_an_error(void **unused)
{
    (void)unused;
    static const char *const names[] = {"missing", "empty",       "short",         "long",
                                        "swapped", "copied over", "copied beyond", "headless"};
    unsigned noticed = 0;
    for (size_t which = 0; which < 3; which++) {
        for (int trouble = 0; trouble < TROUBLES; trouble++) {
            struct items items;
            struct items_run run;
            char what[64];
            if (which == 2 && trouble == MISSING) {
                continue; /* the last one with records: no frame behind it declares it */
            }
            run_and_close(&items, &run, build_segments);
            struct listing listing = list(&run);
            assert_true(listing.count >= 3);
            snprintf(what, sizeof(what), "segment %zu of %zu %s", which + 1, listing.count, names[trouble]);
            make_trouble(&run, &listing, which, (enum trouble)trouble);
            noticed += expect_all_or_noticed(&run, what);
            sim_close(run.sim);
            items_end(&items);
        }
    }
    assert_true(noticed >= 12);
}

static void L54_a_header_of_another_version_or_number_is_refused(void **unused)
{
    (void)unused;
    for (unsigned way = 0; way < 3; way++) {
        struct items items;
        struct items_run run;
        uint64_t size = 0;
        run_and_close(&items, &run, build_segments);
        uint8_t *bytes = read_file(&run, segment_path(1), &size);
        if (way == 0) {
            bytes_put_u32(bytes + 12, LOG_FORMAT_VERSION + 1);
        } else if (way == 1) {
            bytes_put_u64(bytes + 16, 9);
        } else {
            bytes_put_u64(bytes + 40, bytes_get_u64(bytes + 40) ^ 1); /* of another log */
        }
        bytes_put_u32(bytes + 8, checksum_crc32c(0, bytes + 12, 4084));
        write_file(&run, segment_path(1), 0, bytes, BLOCK);
        int rc = items_open(&run);
        assert_int_equal(rc, way == 0 ? HF_EVERSION : HF_ECORRUPT);
        /* Of two logs in one directory either may be called the foreign one. */
        if (strstr(hf_error_text(), way == 2 ? ".log" : "0000000000000001") == NULL) {
            fail_msg("way %u: the text does not name the file: %s", way, hf_error_text());
        }
        /* What is refused is left as it is: with the header mended all is there. */
        bytes_put_u32(bytes + 12, LOG_FORMAT_VERSION);
        bytes_put_u64(bytes + 16, 1);
        bytes_put_u64(bytes + 40, bytes_get_u64(bytes + 40) ^ (way == 2));
        bytes_put_u32(bytes + 8, checksum_crc32c(0, bytes + 12, 4084));
        write_file(&run, segment_path(1), 0, bytes, BLOCK);
        expect_all(&run);
        free(bytes);
        sim_close(run.sim);
        items_end(&items);
    }
}

/* The power goes in the middle of an open, and again in the next, and again, each time a little later. */
static void L55_recovery_is_idempotent_under_repeated_crashes(void **unused)
{
    (void)unused;
    unsigned crashes = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct items items;
        struct items_run run;
        items_begin(&items);
        build_large_then_small(&items);
        items_world(&run, &items, seed);
        run.when = "repeated crashes";
        run.steps_left = seed % 9 + 1;
        items_open_surely(&run);
        items_go(&run);
        size_t acknowledged = run.acknowledged;
        size_t appended = run.appended;
        run.steps_left = 0;
        for (uint64_t k = 1; k <= 6; k++) {
            sim_host_power_off(run.host);
            items_close(&run);
            sim_host_start(run.host);
            sim_disk_cut_at(run.host, (seed * 7 + k * 5) % 23 + 1, k % 2 == 0 ? SIM_CUT_DURING : SIM_CUT_AFTER);
            int rc = items_open(&run);
            crashes += !sim_host_is_running(run.host);
            assert_true(rc == 0 || !sim_host_is_running(run.host));
        }
        sim_host_power_off(run.host);
        items_close(&run);
        sim_host_start(run.host);
        items_recover(&run, acknowledged, appended);
        items_close(&run);
        sim_close(run.sim);
        items_end(&items);
    }
    assert_true(crashes > 60);
}

static void L55_restarts_without_appends_do_not_make_the_log_grow(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    run_and_close(&items, &run, build_little);
    uint64_t used = 0;
    for (unsigned round = 0; round < 24; round++) {
        items_reopen(&run, items.count, items.count);
        items_idle(&run, 60 * ITEMS_MS);
        if (round == 3) {
            used = sim_disk_used_bytes(run.host);
        }
        if (round % 2 == 0) {
            items_close(&run);
        } else {
            items_restart(&run);
        }
    }
    if (sim_disk_used_bytes(run.host) > used + (1 << 20)) {
        fail_msg("%llu bytes on disk after 4 restarts, %llu after 24", (unsigned long long)used,
                 (unsigned long long)sim_disk_used_bytes(run.host));
    }
    sim_close(run.sim);
    items_end(&items);
}

static void L58_a_second_opener_is_refused_and_a_reader_is_not(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    struct hf_log *second = NULL;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 3, 1, 100);
    items_commit(&run);
    unsigned handles = sim_host_handle_count(run.host);
    assert_int_equal(log_open(sim_host_io(run.host), ITEMS_DIRECTORY, &items.options, &second), HF_EBUSY);
    assert_null(second);
    assert_int_equal(sim_host_handle_count(run.host), handles);
    struct hf_log_options reader = items.options;
    reader.read_only = true;
    items_idle(&run, 60 * ITEMS_MS);
    uint64_t operations = sim_disk_operation_count(run.host);
    assert_int_equal(log_open(sim_host_io(run.host), ITEMS_DIRECTORY, &reader, &second), 0);
    items_expect(second, &items.models[1], "read-only");
    struct hf_log_batch *batch = items_last(&items);
    assert_int_not_equal(hf_log_append(second, batch, NULL, NULL), 0);
    hf_log_close(second);
    assert_int_equal(sim_disk_operation_count(run.host), operations);
    items_batch(&items);
    items_append(&items, 0, 3, 1, 100);
    items_commit(&run);
    items_close(&run);
    /* Free again after a close, and after a kill. */
    items_reopen(&run, 2, 2);
    sim_host_kill(run.host);
    items_close(&run);
    sim_host_start(run.host);
    items_reopen(&run, 2, 2);
    items_teardown(&run);
}

/* At every moment of the workload: each append has exactly one answer when close returns. */
static void L59_close_during_io_completes_or_says_closed(void **unused)
{
    (void)unused;
    hf_log_close(NULL);
    for (uint64_t events = 0; events < 30; events++) {
        struct items items;
        struct items_run run;
        items_begin(&items);
        build_large_then_small(&items);
        items_world(&run, &items, events);
        run.when = "closed in the middle";
        items_open_surely(&run);
        while (run.appended < items.count) {
            assert_int_equal(items_append_next(&run), 0);
            for (uint64_t i = 0; i < events / items.count; i++) {
                items_step(&run);
            }
        }
        for (uint64_t i = 0; i < events % items.count; i++) {
            items_step(&run);
        }
        items_close(&run);
        assert_int_equal(run.called, run.appended);
        assert_true(run.failed == 0 || run.failed == HF_ECLOSED);
        assert_int_equal(sim_host_handle_count(run.host), 0);
        items_recover(&run, run.acknowledged, run.appended);
        items_close(&run);
        sim_close(run.sim);
        items_end(&items);
    }
}

static void L60_other_settings_at_a_reopen_work(void **unused)
{
    (void)unused;
    static const uint64_t sizes[] = {1 << 20, 4 << 20, 2 << 20, 1 << 20, 64 << 20, 1 << 20};
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    for (unsigned i = 0; i < 18; i++) {
        if (i % 3 == 2) {
            items.options.segment_size_bytes = sizes[i / 3];
            items.options.recycle_segments_max = 1 + i % 4;
            items.options.writes_in_flight_max = 1 + i % 5;
            items.options.write_size_max_bytes = 65536u << (i % 3);
            items.options.tail_cache_bytes = i % 2 == 0 ? 1 : 0;
            items.options.sync_policy = i % 2 == 0 ? HF_LOG_SYNC_ALWAYS : HF_LOG_SYNC_BATCH;
            items_restart(&run);
            items_reopen(&run, i, i);
        }
        items_batch(&items);
        items_append(&items, i % 2, 1, 1, 400000);
        items_commit(&run);
    }
    items_restart(&run);
    items_reopen(&run, 18, 18);
    items_teardown(&run);
}

/* ---- offline verify ---- */

static int count_damage(void *arg, const struct hf_log_damage *damage)
{
    (void)damage;
    ++*(unsigned *)arg;
    return 0;
}
/* Walks the directory, which changes nothing. */
static int walk(struct items_run *run, unsigned *damaged, struct log_walk_summary *out)
{
    struct log_walk_callbacks callbacks = {.damage = count_damage};
    uint64_t operations = sim_disk_operation_count(run->host);
    *damaged = 0;
    int rc = log_walk(sim_host_io(run->host), ITEMS_DIRECTORY, &callbacks, damaged, out);
    assert_int_equal(sim_disk_operation_count(run->host), operations);
    return rc;
}
static void L60_verify_is_read_only_and_agrees_with_open_on_torn_logs(void **unused)
{
    (void)unused;
    for (uint64_t k = 1; k <= 40; k++) {
        struct items items;
        struct items_run run;
        unsigned damaged = 0;
        struct log_walk_summary summary = {0};
        items_begin(&items);
        build_large_then_small(&items);
        items_world(&run, &items, k);
        run.when = "verify";
        sim_disk_cut_at(run.host, k, SIM_CUT_AFTER);
        if (items_open(&run) == 0) {
            items_go(&run);
        }
        size_t acknowledged = run.acknowledged;
        size_t appended = run.appended;
        sim_host_power_off(run.host);
        items_close(&run);
        sim_host_start(run.host);
        int rc = walk(&run, &damaged, &summary);
        assert_true(rc == 0 || (rc == HF_ENOTFOUND && acknowledged == 0));
        assert_int_equal(damaged, 0);
        assert_int_equal(summary.damaged, 0);
        items_reopen(&run, acknowledged, appended);
        items_teardown(&run);
    }
}
static void L60_verify_agrees_with_open_on_damaged_logs(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    unsigned both = 0;
    run_and_close(&items, &run, build_little);
    uint64_t end = tail_of(&run, 1);
    sim_host_power_off(run.host);
    struct sim_image *image = sim_image_take(run.host);
    for (uint64_t offset = 0; offset < end; offset += 101) {
        unsigned damaged = 0;
        struct log_walk_summary summary = {0};
        char what[64];
        snprintf(what, sizeof(what), "bit %u of byte %llu", (unsigned)(offset % 8), (unsigned long long)offset);
        sim_host_power_off(run.host);
        sim_image_put(run.host, image);
        sim_host_start(run.host);
        assert_int_equal(sim_disk_flip_bit(run.host, segment_path(1), offset, (unsigned)(offset % 8)), 0);
        int rc = walk(&run, &damaged, &summary);
        bool noticed = expect_all_or_noticed(&run, what);
        if (noticed != (rc != 0 || damaged > 0)) {
            fail_msg("%s: open %s it, verify says %s and %u places", what, noticed ? "notices" : "does not notice",
                     hf_error_name(rc), damaged);
        }
        both += noticed;
    }
    assert_true(both > 20);
    sim_image_close(image);
    sim_close(run.sim);
    items_end(&items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L46_missing_and_empty_directories_and_foreign_files_are_tolerated),
        cmocka_unit_test(L47_a_half_made_newest_segment_leads_back_to_the_one_before),
        cmocka_unit_test(L48_any_subset_of_the_sectors_of_the_last_batch_may_be_garbled),
        cmocka_unit_test(L49_damage_before_a_declared_position_is_never_cut_off_in_silence),
        cmocka_unit_test(L50_segments_that_are_not_what_they_should_be_are_an_error),
        cmocka_unit_test(L51_frames_in_a_payload_are_never_believed),
        cmocka_unit_test(L51_stale_frames_behind_the_tail_are_never_accepted),
        cmocka_unit_test(L52_junk_behind_the_tail_never_joins_later_writes),
        cmocka_unit_test(L53_lengths_are_bounded_before_anything_is_allocated),
        cmocka_unit_test(L54_a_header_of_another_version_or_number_is_refused),
        cmocka_unit_test(L55_recovery_is_idempotent_under_repeated_crashes),
        cmocka_unit_test(L55_restarts_without_appends_do_not_make_the_log_grow),
        cmocka_unit_test(L58_a_second_opener_is_refused_and_a_reader_is_not),
        cmocka_unit_test(L59_close_during_io_completes_or_says_closed),
        cmocka_unit_test(L60_other_settings_at_a_reopen_work),
        cmocka_unit_test(L60_verify_is_read_only_and_agrees_with_open_on_torn_logs),
        cmocka_unit_test(L60_verify_agrees_with_open_on_damaged_logs),
        ITEMS_ROWS(L47_a_new_segment_in_any_state_of_birth_is_passed_over),
        ITEMS_ROWS(L48_a_torn_last_batch_is_dropped_whole),
    };
    return ITEMS_MAIN(tests);
}
