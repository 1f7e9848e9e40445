/* links: sim */
/* Random histories of one file against a model that is written from io.h alone: after every power loss each sector and
 * the size must be one of those that the contract allows, and what the process saw before must be exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "holdfast/error.h"
#include "sim/sim.h"

#define MODEL_SECTORS 64u
#define MODEL_BLOCKS  (MODEL_SECTORS / 8u)
#define MODEL_STEPS   120u
#define MODEL_SEEDS   300u
#define SEEDS_SMALL   100u /* in builds that are many times slower: HOLDFAST_TEST_SCALE=small */

/* Every write fills whole sectors with a number of its own, 1 … 255; 0 is a sector of zeros. */
struct model {
    bool allowed[MODEL_SECTORS][256]; /* what the device may hold */
    uint8_t cache[MODEL_SECTORS];
    bool dirty[MODEL_SECTORS]; /* the next sync covers it */
    bool block_durable[MODEL_BLOCKS];
    bool block_pending[MODEL_BLOCKS]; /* the next sync makes its allocation durable */
    bool size_allowed[MODEL_SECTORS + 1];
    bool size_dirty;
    unsigned size; /* in sectors */
};

struct run {
    struct model model;
    struct sim *sim;
    struct sim_host *host;
    struct file *file;
    uint8_t number; /* of the last write */
    unsigned undecided;
};

static void check(int rc, int expected, const char *what)
{
    if (rc != expected) {
        fail_msg("%s: %d, not %d: %s", what, rc, expected, hf_error_text());
    }
}

/* ---- the model ---- */

static void allow(struct model *model, unsigned sector, uint8_t value)
{
    model->allowed[sector][value] = true;
    model->cache[sector] = value;
    model->dirty[sector] = true;
}

static void allow_only(struct model *model, unsigned sector, uint8_t value)
{
    memset(model->allowed[sector], 0, sizeof(model->allowed[sector]));
    model->allowed[sector][value] = true;
    model->dirty[sector] = false;
}

static void resize(struct model *model, unsigned size)
{
    if (size != model->size) {
        model->size = size;
        model->size_allowed[size] = true;
        model->size_dirty = true;
    }
}

static void model_write(struct model *model, unsigned first, unsigned count, uint8_t value)
{
    for (unsigned sector = first; sector < first + count; sector++) {
        allow(model, sector, value);
        model->block_pending[sector / 8] = true;
    }
    if (first + count > model->size) {
        resize(model, first + count);
    }
}

static void model_write_durable(struct model *model, unsigned first, unsigned count, uint8_t value)
{
    model_write(model, first, count, value);
    for (unsigned sector = first; sector < first + count; sector++) {
        if (model->block_durable[sector / 8]) {
            allow_only(model, sector, value);
        }
    }
}

static void model_sync(struct model *model)
{
    for (unsigned sector = 0; sector < MODEL_SECTORS; sector++) {
        if (model->dirty[sector]) {
            allow_only(model, sector, model->cache[sector]);
        }
    }
    for (unsigned block = 0; block < MODEL_BLOCKS; block++) {
        model->block_durable[block] = model->block_durable[block] || model->block_pending[block];
        model->block_pending[block] = false;
    }
    if (model->size_dirty) {
        memset(model->size_allowed, 0, sizeof(model->size_allowed));
        model->size_allowed[model->size] = true;
        model->size_dirty = false;
    }
}

static void model_fail_sync(struct model *model)
{
    memset(model->dirty, 0, sizeof(model->dirty));
    memset(model->block_pending, 0, sizeof(model->block_pending));
    model->size_dirty = false;
}

static void model_truncate(struct model *model, unsigned size)
{
    for (unsigned sector = size; sector < MODEL_SECTORS; sector++) {
        if (sector < model->size || model->cache[sector] != 0) {
            allow(model, sector, 0);
        }
    }
    for (unsigned block = (size + 7) / 8; block < MODEL_BLOCKS; block++) {
        model->block_durable[block] = model->block_pending[block] = false;
    }
    resize(model, size);
}

/* After a power loss: what was found is all there is. */
static void model_settle(struct model *model, unsigned size, const uint8_t *found)
{
    bool held[MODEL_BLOCKS] = {false};
    for (unsigned sector = 0; sector < MODEL_SECTORS; sector++) {
        uint8_t value = sector < size ? found[sector] : 0;
        allow_only(model, sector, value);
        model->cache[sector] = value;
        held[sector / 8] = held[sector / 8] || value != 0;
    }
    for (unsigned block = 0; block < MODEL_BLOCKS; block++) {
        /* A block of zeros that was allocated durably stays so; the rest of the zeros may be a hole. */
        model->block_durable[block] = held[block] || (model->block_durable[block] && block * 8 < size);
        model->block_pending[block] = false;
    }
    memset(model->size_allowed, 0, sizeof(model->size_allowed));
    model->size_allowed[size] = true;
    model->size_dirty = false;
    model->size = size;
}

/* ---- the run ---- */

/* Reads the whole file, a number per sector; a sector that is not one number fails. */
static unsigned read_all(struct run *run, uint8_t *found)
{
    static uint8_t bytes[MODEL_SECTORS * SIM_SECTOR_SIZE];
    size_t got = 0;
    uint64_t size = 0;
    check(file_size(run->file, &size), 0, "size");
    check(file_read(run->file, 0, bytes, sizeof(bytes), &got), 0, "read");
    assert_int_equal(got, size);
    assert_int_equal(size % SIM_SECTOR_SIZE, 0);
    for (size_t i = 0; i < got; i++) {
        found[i / SIM_SECTOR_SIZE] = bytes[i];
        assert_int_equal(bytes[i], bytes[i - i % SIM_SECTOR_SIZE]);
    }
    return (unsigned)(size / SIM_SECTOR_SIZE);
}

static void check_cache(struct run *run)
{
    uint8_t found[MODEL_SECTORS] = {0};
    assert_int_equal(read_all(run, found), run->model.size);
    for (unsigned sector = 0; sector < run->model.size; sector++) {
        assert_int_equal(found[sector], run->model.cache[sector]);
    }
}

static void open_file(struct run *run)
{
    check(file_open(sim_host_io(run->host), "/a", FILE_READ | FILE_WRITE | FILE_CREATE, &run->file), 0, "open");
}

static void cut_power(struct run *run)
{
    uint8_t found[MODEL_SECTORS] = {0};
    sim_host_power_off(run->host);
    file_close(run->file);
    run->undecided += sim_disk_outcome_count(run->host) > 1;
    sim_host_start(run->host);
    open_file(run);
    unsigned size = read_all(run, found);
    if (!run->model.size_allowed[size]) {
        fail_msg("a size of %u sectors is not allowed", size);
    }
    for (unsigned sector = 0; sector < size; sector++) {
        if (!run->model.allowed[sector][found[sector]]) {
            fail_msg("sector %u holds %u, which is not allowed", sector, found[sector]);
        }
    }
    model_settle(&run->model, size, found);
}

static void kill_and_start(struct run *run)
{
    sim_host_kill(run->host);
    file_close(run->file);
    sim_host_start(run->host);
    open_file(run);
}

static void fail_sync(struct run *run)
{
    const struct sim_disk_failure failure = {SIM_DISK_SYNC, 0, 1, HF_EIO, NULL};
    sim_disk_fail(run->host, &failure);
    check(file_sync(run->file), HF_EIO, "sync");
    model_fail_sync(&run->model);
}

static void write_some(struct run *run, bool durable)
{
    static uint8_t bytes[16 * SIM_SECTOR_SIZE];
    struct rng *rng = sim_rng(run->sim);
    unsigned first = (unsigned)rng_below(rng, MODEL_SECTORS);
    unsigned count = (unsigned)rng_between(rng, 1, 16);
    count = count < MODEL_SECTORS - first ? count : MODEL_SECTORS - first;
    run->number++;
    run->number += run->number == 0;
    memset(bytes, run->number, count * SIM_SECTOR_SIZE);
    uint64_t offset = (uint64_t)first * SIM_SECTOR_SIZE;
    if (durable) {
        check(file_write_durable(run->file, offset, bytes, count * SIM_SECTOR_SIZE), 0, "durable write");
        model_write_durable(&run->model, first, count, run->number);
    } else {
        check(file_write(run->file, offset, bytes, count * SIM_SECTOR_SIZE), 0, "write");
        model_write(&run->model, first, count, run->number);
    }
}

static void step(struct run *run)
{
    struct rng *rng = sim_rng(run->sim);
    unsigned dice = (unsigned)rng_below(rng, 100);
    if (dice < 35) {
        write_some(run, false);
    } else if (dice < 60) {
        write_some(run, true);
    } else if (dice < 72) {
        check(file_sync(run->file), 0, "sync");
        model_sync(&run->model);
    } else if (dice < 76) {
        fail_sync(run);
    } else if (dice < 84) {
        unsigned size = (unsigned)rng_below(rng, MODEL_SECTORS + 1);
        check(file_truncate(run->file, (uint64_t)size * SIM_SECTOR_SIZE), 0, "truncate");
        model_truncate(&run->model, size);
    } else if (dice < 90) {
        unsigned block = (unsigned)rng_below(rng, MODEL_BLOCKS);
        check(file_preallocate(run->file, (uint64_t)block * IO_BLOCK_SIZE, IO_BLOCK_SIZE), 0, "preallocate");
        run->model.block_pending[block] = true;
        if (block * 8 + 8 > run->model.size) {
            resize(&run->model, block * 8 + 8);
        }
    } else if (dice < 94) {
        kill_and_start(run);
    } else {
        cut_power(run);
    }
    check_cache(run);
}

static void every_power_loss_leaves_what_the_contract_allows(void **state)
{
    unsigned undecided = 0;
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    uint64_t seeds = scale != NULL && strcmp(scale, "small") == 0 ? SEEDS_SMALL : MODEL_SEEDS;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct run run = {.sim = sim_open(seed, NULL)};
        run.host = sim_host_add(run.sim, NULL, NULL);
        for (unsigned sector = 0; sector < MODEL_SECTORS; sector++) {
            run.model.allowed[sector][0] = true;
        }
        run.model.size_allowed[0] = true;
        open_file(&run);
        check(directory_sync(sim_host_io(run.host), "/"), 0, "directory sync");
        for (unsigned i = 0; i < MODEL_STEPS; i++) {
            step(&run);
        }
        undecided += run.undecided;
        file_close(run.file);
        sim_close(run.sim);
    }
    assert_true(undecided > seeds); /* or the runs showed nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_power_loss_leaves_what_the_contract_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
