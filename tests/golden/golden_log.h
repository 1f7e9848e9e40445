/* What the tests of golden logs share: a simulated host with the log's folder, the files beside this header, and what
 * every later program must find. */
#ifndef TESTS_GOLDEN_LOG_H
#define TESTS_GOLDEN_LOG_H

#include "unit/log/log_model.h"

#include "log/log.h"
#include "sim/sim.h"

#define DIRECTORY       "/log"
#define GOLDEN_SIZE_MAX (1u << 20)

static inline struct sim_host *new_host(struct sim **sim)
{
    *sim = sim_open(1, NULL);
    struct sim_host *host = sim_host_add(*sim, NULL, NULL);
    assert_int_equal(directory_create(sim_host_io(host), DIRECTORY), 0);
    return host;
}

/* A file of this folder; the caller closes it. */
static inline FILE *golden_open(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%.*s/%s", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, name);
    FILE *source = fopen(path, "rb");
    assert_non_null(source);
    return source;
}

static inline void golden_put(struct sim_host *host, const char *target, const uint8_t *bytes, size_t size)
{
    struct file *file = NULL;
    assert_int_equal(file_open(sim_host_io(host), target, FILE_WRITE | FILE_CREATE, &file), 0);
    assert_int_equal(file_write(file, 0, bytes, size), 0);
    file_close(file);
}

/* The log is as the model says, and nothing of it is damaged. Frees the model. */
static inline void expect_model(struct hf_log *log, struct model *model)
{
    struct model_difference difference;
    struct hf_log_damage damage;
    size_t position = 0;
    if (!model_is(log, model, &difference)) {
        fail_msg("%s", difference.text);
    }
    assert_int_equal(hf_log_damage_next(log, &position, &damage), HF_ENOTFOUND);
    free(model);
}

/* Without changing anything, then to go on with. */
static inline void expect_opens(struct sim_host *host, struct hf_log_options *options,
                                void (*expect)(struct hf_log *log))
{
    struct hf_log *log = NULL;
    for (int i = 0; i < 2; i++) {
        options->read_only = i == 0;
        assert_int_equal(log_open(sim_host_io(host), DIRECTORY, options, &log), 0);
        expect(log);
        hf_log_close(log);
    }
}

static inline void count_done(void *arg, int result)
{
    assert_int_equal(result, 0);
    ++*(size_t *)arg;
}

#endif
