/* What the simulator's own tests share. */
#ifndef UNIT_SIM_SIM_TESTING_H
#define UNIT_SIM_SIM_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "holdfast/error.h"
#include "sim/sim.h"

#define SIM_TEST_SEEDS 200u
#define SIM_TEST_MS    1000000ull

#define must(call)                                                                  \
    do {                                                                            \
        int must_rc = (call);                                                       \
        if (must_rc != 0) {                                                         \
            fail_msg("%s: %s: %s", #call, hf_error_name(must_rc), hf_error_text()); \
        }                                                                           \
    } while (0)

struct sim_test_world {
    struct sim *sim;
    struct sim_host *host;
};

static inline struct sim_test_world sim_test_open(uint64_t seed)
{
    struct sim_test_world world = {.sim = sim_open(seed, NULL)};
    world.host = sim_host_add(world.sim, NULL, NULL);
    return world;
}

static inline struct file *sim_test_file(struct sim_host *host, const char *path, unsigned flags)
{
    struct file *file = NULL;
    must(file_open(sim_host_io(host), path, flags, &file));
    return file;
}

/* Creates a file of `size` bytes of `fill`, durable in content, size and name. */
static inline void sim_test_durable_file(struct sim_host *host, const char *folder, const char *path, int fill,
                                         size_t size)
{
    struct file *file = sim_test_file(host, path, FILE_READ | FILE_WRITE | FILE_CREATE);
    uint8_t *data = test_malloc(size > 0 ? size : 1);
    memset(data, fill, size);
    must(file_write(file, 0, data, size));
    must(file_sync(file));
    file_close(file);
    must(directory_sync(sim_host_io(host), folder));
    test_free(data);
}

static inline void sim_test_write(struct sim_host *host, const char *path, uint64_t offset, int fill, size_t size)
{
    struct file *file = sim_test_file(host, path, FILE_WRITE);
    uint8_t *data = test_malloc(size);
    memset(data, fill, size);
    must(file_write(file, offset, data, size));
    file_close(file);
    test_free(data);
}

static inline void sim_test_power_cycle(struct sim_host *host)
{
    sim_host_power_off(host);
    sim_host_start(host);
}

static inline bool sim_test_exists(struct sim_host *host, const char *path)
{
    struct file *file = NULL;
    int rc = file_open(sim_host_io(host), path, FILE_READ, &file);
    file_close(file);
    assert_true(rc == 0 || rc == HF_ENOTFOUND);
    return rc == 0;
}

static inline uint64_t sim_test_size(struct sim_host *host, const char *path)
{
    struct file *file = sim_test_file(host, path, FILE_READ);
    uint64_t size = 0;
    must(file_size(file, &size));
    file_close(file);
    return size;
}

/* Reads up to size bytes; returns how many. */
static inline size_t sim_test_read(struct sim_host *host, const char *path, uint64_t offset, void *target, size_t size)
{
    struct file *file = sim_test_file(host, path, FILE_READ);
    size_t got = 0;
    must(file_read(file, offset, target, size, &got));
    file_close(file);
    return got;
}

/* The byte at an offset, -1 behind the end. */
static inline int sim_test_byte(struct sim_host *host, const char *path, uint64_t offset)
{
    uint8_t byte = 0;
    return sim_test_read(host, path, offset, &byte, 1) == 1 ? byte : -1;
}

#endif
