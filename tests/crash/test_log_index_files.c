/* links: log sim */
/* Index files of sealed segments: an open that uses them finds exactly what an open finds that scans everything, over
 * random histories; whatever is wrong with an index file, nothing is lost and the file is made again; damage in a
 * segment that the open did not read is met by reads. L46, L50, L51, L54; the power cuts at every step of
 * writing one are part of test_log_crash, whose segments are small. */
#include "crash/log_world.h"

#include "base/checksum.h"
#include "base/trace.h"
#include "log/log_index_build.h"
#include "log/log_index_file.h"
#include "log/log_state.h"
#include "planted.h"

#define FILES_MAX 512u

static size_t world_damages(struct world *world, struct hf_log_damage *out)
{
    size_t position = 0;
    while (hf_log_damage_next(world->log, &position, out) == 0) {
    }
    return position;
}

static struct world *world_open(uint64_t seed)
{
    struct world *world = world_new(seed);
    world->options.segment_size_bytes = 64 << 10;
    world->options.write_size_max_bytes = 64 << 10;
    world_reopen(world, "new");
    return world;
}

static void world_random(struct world *world, unsigned batches, uint32_t payload_max)
{
    for (unsigned i = 0; i < batches; i++) {
        for (uint64_t operations = rng_below(&world->rng, 4); operations > 0; operations--) {
            size_t group = rng_below(&world->rng, MODEL_GROUPS);
            model_random_operation(&world->model.groups[group], world->batch, model_group_id(group), &world->rng,
                                   payload_max);
        }
        world_submit(world);
        if (world->appended - world->acknowledged > 10) {
            world_drain(world);
        }
    }
    world_drain(world);
}

/* A log of several sealed segments, all with their index files; entries 1 … count of group 0. */
static void world_fill(struct world *world, uint64_t count)
{
    for (uint64_t i = 1; i <= count; i++) {
        struct model_entry entry = {.term = 1 + i / 50, .payload_seed = i, .payload_size = 3000};
        model_append(&world->model.groups[0], world->batch, model_group_id(0), i, entry);
        if (i % 7 == 0) {
            model_append(&world->model.groups[1], world->batch, model_group_id(1), i / 7, entry);
            model_hard_state(&world->model.groups[0], world->batch, model_group_id(0),
                             (struct hf_hard_state){1 + i / 50, 1, i});
        }
        world_submit(world);
        world_drain(world);
    }
    world_turns(world, 100);
}

static void world_power_off(struct world *world)
{
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    world->log = NULL;
    sim_disk_choose_outcome(world->host, 0);
}

struct files {
    char names[FILES_MAX][32];
    size_t count;
};

static int files_visit(void *arg, const char *name, bool is_directory)
{
    struct files *files = arg;
    if (!is_directory && strstr(name, ".idx") != NULL) {
        assert_true(files->count < FILES_MAX);
        snprintf(files->names[files->count++], sizeof(files->names[0]), "%s", name);
    }
    return 0;
}

static void list_index_files(struct world *world, struct files *out)
{
    out->count = 0;
    assert_int_equal(directory_list(sim_host_io(world->host), DIRECTORY, files_visit, out), 0);
}

static size_t count_index_files(struct world *world)
{
    struct files *files = memory_new(sizeof(*files));
    list_index_files(world, files);
    size_t count = files->count;
    free(files);
    return count;
}

static bool has_final_index_file(struct world *world)
{
    struct files *files = memory_new(sizeof(*files));
    list_index_files(world, files);
    bool found = false;
    for (size_t i = 0; i < files->count; i++) {
        found |= strlen(files->names[i]) == 20;
    }
    free(files);
    return found;
}

/* ---- with index files, and without ---- */

struct states {
    struct hf_log_group_state groups[MODEL_GROUPS];
};

static void get_states(struct world *world, struct states *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < MODEL_GROUPS; i++) {
        assert_int_equal(hf_log_group_state(world->log, model_group_id(i), &out->groups[i]), 0);
    }
}

/* An index file also says that all of its segment is durable. A scan does not know that of the last frames before the
 * tail, and copies them into the new segment. */
static void expect_same(const struct states *with, const struct states *by_scan)
{
    for (size_t i = 0; i < MODEL_GROUPS; i++) {
        const struct hf_log_group_state *left = &with->groups[i];
        const struct hf_log_group_state *right = &by_scan->groups[i];
        assert_int_equal(left->first_index, right->first_index);
        assert_int_equal(left->last_index, right->last_index);
        assert_int_equal(left->durable_index, right->durable_index);
        assert_int_equal(left->floor_term, right->floor_term);
        assert_int_equal(left->incarnation, right->incarnation);
        assert_int_equal(left->bytes, right->bytes);
        assert_int_equal(left->bytes_on_disk, right->bytes_on_disk);
        assert_true(left->segment_oldest <= right->segment_oldest);
        assert_memory_equal(&left->hard_state, &right->hard_state, sizeof(left->hard_state));
        assert_memory_equal(left->snapshot_name, right->snapshot_name, sizeof(left->snapshot_name));
        assert_int_equal(left->exists, right->exists);
        assert_int_equal(left->removed, right->removed);
        assert_int_equal(left->damaged, right->damaged);
    }
}

/* Opens the disk as it is now twice, in one way and in the other. */
static void compare_opens(struct world *world)
{
    struct states with;
    struct states without;
    struct sim_image *image = sim_image_take(world->host);
    sim_host_start(world->host);
    world->options.scan_all_on_open = true;
    world_reopen(world, "by scan");
    world_check(world, "by scan");
    get_states(world, &without);
    world_power_off(world);
    sim_image_put(world->host, image);
    sim_disk_choose_outcome(world->host, 0);
    sim_host_start(world->host);
    world->options.scan_all_on_open = false;
    world_reopen(world, "by index files");
    world_check(world, "by index files");
    get_states(world, &with);
    expect_same(&with, &without);
    sim_image_close(image);
}

static void L56_an_open_with_index_files_finds_what_a_scan_finds(void **unused)
{
    (void)unused;
    const char *seeds = getenv("HOLDFAST_SEEDS");
    uint64_t count = seeds != NULL ? strtoull(seeds, NULL, 10) : 10;
    size_t files = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        struct world *world = world_open(seed);
        for (unsigned round = 0; round < 6; round++) {
            world_random(world, 60, seed % 2 == 0 ? 300 : 5000);
            world_turns(world, rng_below(&world->rng, 2) * 60);
            world_check(world, "while running");
            struct hf_log_damage damage;
            assert_int_equal(world_damages(world, &damage), 0);
            files += count_index_files(world);
            world_power_off(world);
            compare_opens(world);
        }
        world_close(world);
    }
    assert_true(files > count * 6);
}

static void every_sealed_segment_gets_an_index_file_and_cold_entries_are_read_through_it(void **unused)
{
    (void)unused;
    struct world *world = world_open(1);
    world_fill(world, 120);
    struct hf_log_stat stat;
    hf_log_stat(world->log, &stat);
    assert_true(stat.segments > 5);
    assert_int_equal(count_index_files(world), stat.segments - 1);
    uint64_t reads = sim_disk_count(world->host, SIM_DISK_READ);
    world_check(world, "cold");
    assert_true(sim_disk_count(world->host, SIM_DISK_READ) > reads);
    struct hf_log_view view = {0};
    assert_int_equal(hf_log_read(world->log, model_group_id(0), 1, 0, 10000, 0, &view), 0);
    assert_int_equal(view.count, 3); /* the limit holds although the sizes are on the disk */
    hf_log_view_close(&view);
    reads = sim_disk_count(world->host, SIM_DISK_READ);
    assert_int_equal(hf_log_read(world->log, model_group_id(0), 40, 41, 0, 0, &view), 0);
    assert_int_equal(sim_disk_count(world->host, SIM_DISK_READ) - reads, 2); /* one probe, one read */
    hf_log_view_close(&view);
    world_close(world);
}

static void P4_an_open_reads_no_segment_that_has_an_index_file(void **unused)
{
    (void)unused;
    uint64_t reads[2];
    for (uint64_t i = 0; i < 2; i++) {
        struct world *world = world_open(1);
        world_fill(world, i == 0 ? 60 : 240);
        world_power_off(world);
        sim_host_start(world->host);
        /* Reads of segments by their frames would fail: only what is around the tail may be read. */
        uint64_t before = sim_disk_count(world->host, SIM_DISK_READ);
        world_reopen(world, "large");
        reads[i] = sim_disk_count(world->host, SIM_DISK_READ) - before;
        world_check(world, "after");
        world_close(world);
    }
    /* Four times the log: per segment a look at its header, one at its first frame, its index file's header and tables.
     */
    assert_true(reads[1] - reads[0] < 70);
}

/* ---- whatever is wrong with an index file ---- */

static void put_file(struct world *world, const char *name, const uint8_t *bytes, size_t size)
{
    char path[64];
    struct file *file = NULL;
    struct io *io = sim_host_io(world->host);
    snprintf(path, sizeof(path), DIRECTORY "/%s", name);
    (void)path_unlink(io, path);
    assert_int_equal(file_open(io, path, FILE_WRITE | FILE_CREATE, &file), 0);
    if (size > 0) {
        assert_int_equal(file_write(file, 0, bytes, size), 0);
    }
    assert_int_equal(file_sync(file), 0);
    file_close(file);
    assert_int_equal(directory_sync(io, DIRECTORY), 0);
}

static uint8_t *get_file(struct world *world, const char *name, size_t *size)
{
    char path[64];
    struct file *file = NULL;
    uint64_t length = 0;
    snprintf(path, sizeof(path), DIRECTORY "/%s", name);
    assert_int_equal(file_open(sim_host_io(world->host), path, FILE_READ, &file), 0);
    assert_int_equal(file_size(file, &length), 0);
    uint8_t *bytes = memory_new(length + 8192);
    assert_int_equal(file_read(file, 0, bytes, length, size), 0);
    file_close(file);
    return bytes;
}

static void seal_header(uint8_t *bytes)
{
    bytes_put_u32(bytes + 8, checksum_crc32c(0, bytes + 12, LOG_INDEX_HEADER_SIZE - 12));
}

enum wrong {
    WRONG_MISSING,
    WRONG_EMPTY,
    WRONG_SHORT,
    WRONG_LONG,
    WRONG_HEADER_BIT,
    WRONG_TABLES_BIT,
    WRONG_PAGE_BIT,
    WRONG_NEWER,
    WRONG_INCARNATION,
    WRONG_LOG,
    WRONG_NUMBER,
    WRONG_POSITION,
    WRONG_END,
    WRONG_SLOTS,
    WRONG_ITEM,
    WRONG_COUNT
};

/* Makes the file wrong in this way; returns its new size. */
static size_t spoil(enum wrong wrong, uint8_t *bytes, size_t size, struct rng *rng)
{
    struct log_index_summary summary;
    assert_int_equal(log_index_format_get_header(bytes, &summary), 0);
    size_t page = (size_t)log_index_format_page_offset(&summary, 0);
    struct log_slot slots[LOG_INDEX_PAGE_SLOTS];
    uint32_t count = 0;
    switch (wrong) {
    case WRONG_EMPTY:
        return 0;
    case WRONG_SHORT:
        return rng_below(rng, size);
    case WRONG_LONG:
        return size + 4096;
    case WRONG_HEADER_BIT:
        bytes[rng_below(rng, 152)] ^= 1;
        break;
    case WRONG_TABLES_BIT:
        bytes[LOG_INDEX_HEADER_SIZE + rng_below(rng, summary.tables_size)] ^= 4;
        break;
    case WRONG_PAGE_BIT:
        bytes[page + rng_below(rng, 4096)] ^= 16;
        break;
    case WRONG_NEWER:
        bytes_put_u32(bytes + 12, LOG_INDEX_VERSION + 1);
        seal_header(bytes);
        break;
    case WRONG_INCARNATION: /* a file of an earlier life of a segment, every checksum of which is right */
        bytes_put_u64(bytes + 24, summary.incarnation + 1);
        bytes_put_u32(bytes + 136,
                      log_index_format_tables_checksum(summary.incarnation + 1,
                                                       bytes_of(bytes + LOG_INDEX_HEADER_SIZE, summary.tables_size)));
        bytes_put_u64(bytes + 104, 1);
        memset(bytes + page, 0, size - page); /* its entries were elsewhere */
        seal_header(bytes);
        break;
    case WRONG_LOG:
        bytes_put_u64(bytes + 32, summary.log_id + 1);
        seal_header(bytes);
        break;
    case WRONG_NUMBER:
        bytes_put_u64(bytes + 16, summary.number + 1);
        seal_header(bytes);
        break;
    case WRONG_POSITION:
        bytes_put_u64(bytes + 40, summary.position_first - 4096);
        seal_header(bytes);
        break;
    case WRONG_END: /* it says that the segment ended earlier */
        bytes_put_u64(bytes + 56, summary.data_position_end - 4096);
        bytes_put_u64(bytes + 80, summary.data_position_end - 4096);
        seal_header(bytes);
        break;
    case WRONG_SLOTS: /* right checksums, but the entries lie elsewhere */
        assert_int_equal(log_index_format_get_page(bytes + page, summary.incarnation, page, slots, &count), 0);
        for (uint32_t i = 0; i + 1 < count; i += 2) {
            struct log_slot slot = slots[i];
            slots[i] = slots[i + 1];
            slots[i + 1] = slot;
        }
        log_index_format_put_page(bytes + page, summary.incarnation, page, slots, count);
        break;
    case WRONG_ITEM:
        bytes_put_u32(bytes + LOG_INDEX_HEADER_SIZE + 8, 99);
        bytes_put_u32(bytes + 136,
                      log_index_format_tables_checksum(summary.incarnation,
                                                       bytes_of(bytes + LOG_INDEX_HEADER_SIZE, summary.tables_size)));
        seal_header(bytes);
        break;
    default:
        break;
    }
    return size;
}

static void L50_every_wrong_bit_of_the_tables_is_noticed(void **unused)
{
    (void)unused;
    struct world *world = world_open(3);
    struct files *files = memory_new(sizeof(*files));
    world_fill(world, 80);
    world_power_off(world);
    sim_host_start(world->host);
    list_index_files(world, files);
    assert_true(files->count > 0);
    size_t size = 0;
    uint8_t *bytes = get_file(world, files->names[0], &size);
    struct log_index_summary summary;
    assert_int_equal(log_index_format_get_header(bytes, &summary), 0);
    struct log_segment_header segment = {
        .number = summary.number, .log_id = summary.log_id, .incarnation = summary.incarnation};
    for (size_t at = 0; at < summary.tables_size; at++) {
        struct log_index_file *index = NULL;
        uint8_t *tables = NULL;
        bytes[LOG_INDEX_HEADER_SIZE + at] ^= (uint8_t)(1u << at % 8);
        put_file(world, files->names[0], bytes, size);
        int rc = log_index_file_load(sim_host_io(world->host), DIRECTORY, &segment, &index, &tables);
        if (rc != HF_ECORRUPT) {
            fail_msg("byte %zu of the tables: %s", at, hf_error_name(rc));
        }
        bytes[LOG_INDEX_HEADER_SIZE + at] ^= (uint8_t)(1u << at % 8);
    }
    put_file(world, files->names[0], bytes, size);
    free(bytes);
    free(files);
    world_reopen(world, "the right file again");
    world_close(world);
}

static void L50_whatever_is_wrong_with_an_index_file_nothing_is_lost_and_it_is_made_again(void **unused)
{
    (void)unused;
    struct world *world = world_open(3);
    struct hf_log_damage damage;
    struct files *files = memory_new(sizeof(*files));
    world_fill(world, 80);
    world_power_off(world);
    struct sim_image *image = sim_image_take(world->host);
    sim_host_start(world->host);
    list_index_files(world, files);
    assert_true(files->count >= 3);
    for (unsigned step = 0; step < WRONG_COUNT * 4; step++) {
        enum wrong wrong = (enum wrong)(step % WRONG_COUNT);
        const char *name = files->names[rng_below(&world->rng, files->count)];
        char path[64];
        char when[64];
        size_t size = 0;
        snprintf(when, sizeof(when), "wrong in way %d, %s", (int)wrong, name);
        snprintf(path, sizeof(path), DIRECTORY "/%s", name);
        uint8_t *right = get_file(world, name, &size);
        size_t right_size = size;
        uint8_t *bytes = memory_new(size + 8192);
        memcpy(bytes, right, size);
        if (wrong == WRONG_MISSING) {
            assert_int_equal(path_unlink(sim_host_io(world->host), path), 0);
        } else {
            size = spoil(wrong, bytes, size, &world->rng);
            put_file(world, name, bytes, size);
        }
        world_reopen(world, when);
        world_check(world, when);
        assert_int_equal(world_damages(world, &damage), 0);
        world_turns(world, 60);
        world_check(world, when);
        size_t again_size = 0;
        uint8_t *again = get_file(world, name, &again_size);
        if (again_size != right_size || memcmp(again, right, right_size) != 0) {
            fail_msg("%s: it was not made again", when);
        }
        free(again);
        free(bytes);
        free(right);
        world_power_off(world);
        sim_image_put(world->host, image);
        sim_disk_choose_outcome(world->host, 0);
        sim_host_start(world->host);
    }
    sim_image_close(image);
    free(files);
    world_reopen(world, "at the end");
    world_close(world);
}

static void L51_the_index_file_of_an_earlier_life_of_a_segment_is_stale(void **unused)
{
    (void)unused;
    struct world *world = world_open(4);
    size_t size = 0;
    world_fill(world, 60);
    uint8_t *stale = get_file(world, "0000000000000002.idx", &size);
    struct world *other = world_open(5); /* another log, whose second segment holds other entries */
    world_fill(other, 70);
    hf_log_close(other->log);
    other->log = NULL;
    put_file(other, "0000000000000002.idx", stale, size);
    world_reopen(other, "a foreign index file");
    world_check(other, "a foreign index file");
    world_close(other);
    world_close(world);
    free(stale);
}

static void L46_left_overs_of_index_files_are_tolerated_and_removed(void **unused)
{
    (void)unused;
    struct world *world = world_open(6);
    world_fill(world, 60);
    hf_log_close(world->log);
    world->log = NULL;
    size_t before = count_index_files(world);
    put_file(world, "0000000000000002.idx.tmp", (const uint8_t *)"half", 4);
    put_file(world, "00000000000000ff.idx", (const uint8_t *)"of no segment", 13);
    world_reopen(world, "left-overs");
    world_check(world, "left-overs");
    world_turns(world, 60);
    assert_in_range(count_index_files(world), before, before + 1);
    world_close(world);
}

static void a_page_that_goes_bad_while_the_log_runs_is_read_around_and_made_again(void **unused)
{
    (void)unused;
    struct world *world = world_open(7);
    struct hf_log_damage damage;
    size_t size = 0;
    world_fill(world, 100);
    world_power_off(world);
    sim_host_start(world->host);
    world_reopen(world, "cold");
    uint8_t *right = get_file(world, "0000000000000002.idx", &size);
    assert_int_equal(sim_disk_flip_bit(world->host, DIRECTORY "/0000000000000002.idx", size - 4000, 3), 0);
    world_check(world, "a bad page");
    world_turns(world, 60);
    uint8_t *again = get_file(world, "0000000000000002.idx", &size);
    assert_memory_equal(again, right, size);
    world_check(world, "made again");
    assert_int_equal(world_damages(world, &damage), 0);
    free(again);
    free(right);
    world_close(world);
}

/* ---- damage in the segment itself ---- */

static int note_entry(void *arg, const struct log_walk_record *record)
{
    struct log_walk_record *wanted = arg;
    if (strcmp(record->kind, "append") == 0 && record->group == wanted->group && record->index == wanted->index) {
        *wanted = *record;
    }
    return 0;
}

static void H3_damage_in_a_segment_that_the_open_did_not_read_is_met_by_the_read(void **unused)
{
    (void)unused;
    struct world *world = world_open(8);
    struct hf_log_view view = {0};
    struct hf_log_damage damage;
    struct hf_log_group_state state;
    char path[64];
    world_fill(world, 100);
    struct log_walk_record place = {.group = model_group_id(0), .index = 30};
    struct log_walk_callbacks callbacks = {.record = note_entry};
    struct log_walk_summary summary;
    assert_int_equal(log_walk(sim_host_io(world->host), DIRECTORY, &callbacks, &place, &summary), 0);
    world_power_off(world);
    sim_host_start(world->host);
    snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)place.segment);
    assert_int_equal(sim_disk_flip_bit(world->host, path, place.offset + 100, 2), 0);
    world_reopen(world, "damaged");
    assert_int_equal(world_damages(world, &damage), 0);
    assert_int_equal(hf_log_read(world->log, model_group_id(0), 29, 30, 0, 0, &view), 0);
    hf_log_view_close(&view);
    assert_int_equal(hf_log_read(world->log, model_group_id(0), 30, 31, 0, 0, &view), HF_ECORRUPT);
    assert_int_equal(world_damages(world, &damage), 1);
    assert_int_equal(damage.group, model_group_id(0));
    assert_int_equal(damage.index, 30);
    assert_int_equal(damage.term, place.term);
    assert_int_equal(damage.segment, place.segment);
    assert_int_equal(damage.offset, place.offset);
    hf_log_group_state(world->log, model_group_id(0), &state);
    assert_true(state.damaged);
    hf_log_group_state(world->log, model_group_id(1), &state);
    assert_false(state.damaged);
    assert_int_equal(hf_log_read(world->log, model_group_id(0), 31, 60, 0, 0, &view), 0);
    assert_int_equal(view.count, 29);
    hf_log_view_close(&view);
    hf_log_close(world->log);
    world->options.scan_all_on_open = true;
    world_reopen(world, "scanned");
    hf_log_group_state(world->log, model_group_id(0), &state);
    assert_true(state.damaged);
    assert_int_equal(world_damages(world, &damage), 1);
    world_close(world);
}

static void H3_damage_that_nobody_reads_is_found_by_the_scrub(void **unused)
{
    (void)unused;
    struct world *world = world_open(30);
    struct hf_log_damage damage;
    struct hf_log_group_state state;
    char path[64];
    world_fill(world, 100);
    struct log_walk_record place = {.group = model_group_id(0), .index = 30};
    struct log_walk_callbacks callbacks = {.record = note_entry};
    struct log_walk_summary summary;
    assert_int_equal(log_walk(sim_host_io(world->host), DIRECTORY, &callbacks, &place, &summary), 0);
    world_power_off(world);
    sim_host_start(world->host);
    snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)place.segment);
    assert_int_equal(sim_disk_flip_bit(world->host, path, place.offset + 100, 2), 0);
    world_reopen(world, "damaged");
    world_turns(world, 8000);
    assert_int_equal(world_damages(world, &damage), 0);
    world_turns(world, 8000);
    bool named = false;
    size_t position = 0;
    while (hf_log_damage_next(world->log, &position, &damage) == 0) {
        named |= damage.group == place.group && damage.index == place.index && damage.term == place.term &&
                 damage.segment == place.segment && damage.offset == place.offset;
        assert_true(damage.group == 0 || damage.index == place.index);
    }
    assert_true(named);
    hf_log_group_state(world->log, model_group_id(0), &state);
    assert_true(state.damaged);
    hf_log_group_state(world->log, model_group_id(1), &state);
    assert_false(state.damaged);
    world_close(world);
}

/* ---- failures of writing one ---- */

static void a_failure_to_write_an_index_file_is_not_a_failure_of_the_log(void **unused)
{
    (void)unused;
    static const struct {
        enum sim_disk_kind kind;
        int error;
    } cases[] = {{SIM_DISK_WRITE, HF_ENOSPACE}, {SIM_DISK_WRITE, HF_EIO},  {SIM_DISK_SYNC, HF_EIO},
                 {SIM_DISK_RENAME, HF_EIO},     {SIM_DISK_CREATE, HF_EIO}, {SIM_DISK_CREATE, HF_ENOSPACE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *world = world_open(9 + i);
        struct sim_disk_failure failure = {
            .kind = cases[i].kind, .count = UINT64_MAX, .error = cases[i].error, .path_part = ".idx"};
        struct hf_log_stat stat;
        sim_disk_fail(world->host, &failure);
        world_fill(world, 60);
        hf_log_stat(world->log, &stat);
        assert_int_equal(stat.failure, 0);
        assert_int_equal(world->failed, 0);
        world_check(world, "without index files");
        assert_false(has_final_index_file(world)); /* not before its content is durable */
        sim_disk_fail_clear(world->host);
        world_turns(world, 3000);
        world_check(world, "later");
        if (cases[i].error == HF_ENOSPACE) {
            assert_true(count_index_files(world) > 0); /* tried again */
        }
        world_power_off(world);
        sim_host_start(world->host);
        world_reopen(world, "after");
        world_check(world, "after");
        world_close(world);
    }
}

static void L19_a_failed_sync_of_the_directory_for_an_index_file_is_final(void **unused)
{
    (void)unused;
    struct world *world = world_open(20);
    struct hf_log_stat stat;
    world_fill(world, 60);
    hf_log_close(world->log);
    world->log = NULL;
    size_t size = 0;
    free(get_file(world, "0000000000000001.idx", &size));
    assert_int_equal(path_unlink(sim_host_io(world->host), DIRECTORY "/0000000000000001.idx"), 0);
    /* It cannot be made until the spares are there, so that no other sync of the directory follows. */
    struct sim_disk_failure full = {
        .kind = SIM_DISK_CREATE, .count = UINT64_MAX, .error = HF_ENOSPACE, .path_part = ".idx"};
    sim_disk_fail(world->host, &full);
    world_reopen(world, "one file is missing");
    world_turns(world, 200);
    sim_disk_fail_clear(world->host);
    struct sim_disk_failure failure = {.kind = SIM_DISK_DIRECTORY_SYNC, .count = UINT64_MAX, .error = HF_EIO};
    sim_disk_fail(world->host, &failure);
    world_turns(world, 3000);
    hf_log_stat(world->log, &stat);
    assert_int_equal(stat.failure, HF_EPOISONED);
    world_check(world, "reads go on");
    world_close(world);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

/* ---- when one is begun ---- */

static const struct log_write *oldest_write(const struct world *world)
{
    const struct list *writes = &world->log->writer.writes;
    return list_empty(writes) ? NULL : list_entry(writes->next, struct log_write, link);
}

/* The log goes on in the next segment while the last write of this one is under way. */
static void P1_no_index_file_is_made_before_all_of_its_segment_is_durable(void **unused)
{
    (void)unused;
    struct world *world = world_open(77);
    const struct log_writer *writer = &world->log->writer;
    const struct log_segment *segment = writer->tail;
    struct model_group *group = &world->model.groups[0];
    struct model_entry entry = {.term = 1, .payload_seed = 5, .payload_size = 6000};
    bool met = false;
    while (writer->tail_offset < segment->header.size_bytes - (16 << 10)) {
        model_append(group, world->batch, model_group_id(0), model_last(group) + 1, entry);
        world_submit(world);
        world_drain(world);
    }
    world_turns(world, 1000);
    assert_false(world->log->seal.busy);
    sim_disk_stall(world->host, 1000 * MS);
    for (unsigned i = 0; i < 6 && writer->tail == segment; i++) {
        model_append(group, world->batch, model_group_id(0), model_last(group) + 1, entry);
        world_submit(world);
        hf_log_turn(world->log);
    }
    for (unsigned i = 0; i < 100; i++) {
        const struct log_write *write = oldest_write(world);
        if (write != NULL && write->segment == segment && writer->tail != segment) {
            met = true;
            assert_false(world->log->seal.busy);
        }
        sim_run_for(world->sim, 5 * MS);
        hf_log_turn(world->log);
    }
    assert_true(met);
    world_drain(world);
    world_turns(world, 3000);
    assert_int_not_equal(segment->index_state, LOG_SEGMENT_INDEX_NONE);
    world_check(world, "after the stall");
    world_close(world);
}

int main(void)
{
    trace_set_sink(say_nothing, NULL);
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sealed_segment_gets_an_index_file_and_cold_entries_are_read_through_it),
        cmocka_unit_test(L56_an_open_with_index_files_finds_what_a_scan_finds),
        cmocka_unit_test(P4_an_open_reads_no_segment_that_has_an_index_file),
        cmocka_unit_test(L50_every_wrong_bit_of_the_tables_is_noticed),
        cmocka_unit_test(L50_whatever_is_wrong_with_an_index_file_nothing_is_lost_and_it_is_made_again),
        cmocka_unit_test(L51_the_index_file_of_an_earlier_life_of_a_segment_is_stale),
        cmocka_unit_test(L46_left_overs_of_index_files_are_tolerated_and_removed),
        cmocka_unit_test(a_page_that_goes_bad_while_the_log_runs_is_read_around_and_made_again),
        cmocka_unit_test(H3_damage_in_a_segment_that_the_open_did_not_read_is_met_by_the_read),
        cmocka_unit_test(H3_damage_that_nobody_reads_is_found_by_the_scrub),
        cmocka_unit_test(a_failure_to_write_an_index_file_is_not_a_failure_of_the_log),
        cmocka_unit_test(L19_a_failed_sync_of_the_directory_for_an_index_file_is_final),
        cmocka_unit_test(P1_no_index_file_is_made_before_all_of_its_segment_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
