/* links: sim */
/* Random creates, renames and unlinks in two folders against a model of names: after every power loss each name means
 * something that it meant since its folder was synced, and no file is lost that had a durable name and was not taken
 * away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "holdfast/error.h"
#include "sim/sim.h"

#define NAME_COUNT  6u /* the first half in /x, the second in /y */
#define FILE_COUNT  250u
#define MODEL_STEPS 80u
#define MODEL_SEEDS 300u

static const char *const paths[NAME_COUNT] = {"/x/a", "/x/b", "/x/c", "/y/a", "/y/b", "/y/c"};
static const char *const folders[2] = {"/x", "/y"};

/* A file is a number, 1 … FILE_COUNT, which is its content; 0 is none. */
struct model {
    bool allowed[NAME_COUNT][FILE_COUNT + 1];
    uint8_t now[NAME_COUNT];
    bool safe[FILE_COUNT + 1]; /* must be found under some name */
};

struct run {
    struct model model;
    struct sim *sim;
    struct sim_host *host;
    uint8_t file_last;
    unsigned came_back; /* power losses after which a name meant something else than before */
};

static void check(int rc, const char *what)
{
    if (rc != 0) {
        fail_msg("%s: %s", what, hf_error_text());
    }
}

static void mean(struct model *model, unsigned name, uint8_t file)
{
    uint8_t old = model->now[name];
    model->now[name] = file;
    model->allowed[name][file] = true;
    if (old != 0 && old != file && memchr(model->now, old, NAME_COUNT) == NULL) {
        model->safe[old] = false; /* it has no name any more */
    }
}

/* A name that still means another file on the device is given away: that file is no longer safe there. */
static void give_away(struct model *model, unsigned name)
{
    for (unsigned file = 1; file <= FILE_COUNT; file++) {
        if (model->allowed[name][file] && model->now[name] != file) {
            model->safe[file] = false;
        }
    }
}

static void create_one(struct run *run, unsigned name)
{
    struct file *file = NULL;
    if (run->model.now[name] != 0 || run->file_last == FILE_COUNT) {
        return;
    }
    run->file_last++;
    check(file_open(sim_host_io(run->host), paths[name], FILE_WRITE | FILE_CREATE, &file), "create");
    check(file_write(file, 0, &run->file_last, 1), "write");
    check(file_sync(file), "sync");
    file_close(file);
    give_away(&run->model, name);
    mean(&run->model, name, run->file_last);
}

static void rename_one(struct run *run, unsigned from, unsigned to)
{
    uint8_t file = run->model.now[from];
    if (file == 0 || from == to || run->model.now[to] == file) { /* two names of one file: POSIX does nothing */
        return;
    }
    check(path_rename(sim_host_io(run->host), paths[from], paths[to]), "rename");
    give_away(&run->model, to);
    mean(&run->model, to, file);
    mean(&run->model, from, 0);
}

static void sync_folder(struct run *run, unsigned folder)
{
    struct model *model = &run->model;
    check(directory_sync(sim_host_io(run->host), folders[folder]), "directory sync");
    for (unsigned name = folder * 3; name < folder * 3 + 3; name++) {
        memset(model->allowed[name], 0, sizeof(model->allowed[name]));
        model->allowed[name][model->now[name]] = true;
        model->safe[model->now[name]] = true;
    }
}

static uint8_t read_name(struct run *run, unsigned name)
{
    struct file *file = NULL;
    uint8_t content = 0;
    size_t got = 0;
    int rc = file_open(sim_host_io(run->host), paths[name], FILE_READ, &file);
    if (rc == HF_ENOTFOUND) {
        return 0;
    }
    check(rc, "open");
    check(file_read(file, 0, &content, 1, &got), "read");
    file_close(file);
    assert_int_equal(got, 1); /* it was synced before it had any name that could be durable */
    return content;
}

static void cut_power(struct run *run)
{
    struct model *model = &run->model;
    uint8_t found[NAME_COUNT];
    bool same = true;
    sim_host_power_off(run->host);
    sim_host_start(run->host);
    for (unsigned name = 0; name < NAME_COUNT; name++) {
        found[name] = read_name(run, name);
        same = same && found[name] == model->now[name];
        if (!model->allowed[name][found[name]]) {
            fail_msg("%s is file %u, which is not allowed", paths[name], found[name]);
        }
    }
    for (unsigned file = 1; file <= FILE_COUNT; file++) {
        if (model->safe[file] && memchr(found, (int)file, NAME_COUNT) == NULL) {
            fail_msg("file %u is lost under every name", file);
        }
    }
    run->came_back += !same;
    memset(model, 0, sizeof(*model));
    for (unsigned name = 0; name < NAME_COUNT; name++) {
        model->now[name] = found[name];
        model->allowed[name][found[name]] = true;
        model->safe[found[name]] = true;
    }
}

static void step(struct run *run)
{
    struct rng *rng = sim_rng(run->sim);
    unsigned dice = (unsigned)rng_below(rng, 100);
    unsigned name = (unsigned)rng_below(rng, NAME_COUNT);
    if (dice < 35) {
        create_one(run, name);
    } else if (dice < 65) {
        rename_one(run, name, (unsigned)rng_below(rng, NAME_COUNT));
    } else if (dice < 75 && run->model.now[name] != 0) {
        check(path_unlink(sim_host_io(run->host), paths[name]), "unlink");
        mean(&run->model, name, 0);
    } else if (dice < 90) {
        sync_folder(run, (unsigned)rng_below(rng, 2));
    } else if (dice >= 95) {
        cut_power(run);
    }
    for (name = 0; name < NAME_COUNT; name++) {
        assert_int_equal(read_name(run, name), run->model.now[name]);
    }
}

static void H4_names_mean_what_they_meant_and_no_durable_file_is_lost(void **state)
{
    unsigned came_back = 0;
    for (uint64_t seed = 1; seed <= MODEL_SEEDS; seed++) {
        struct run run = {.sim = sim_open(seed, NULL)};
        run.host = sim_host_add(run.sim, NULL, NULL);
        check(directory_create(sim_host_io(run.host), folders[0]), "folder");
        check(directory_create(sim_host_io(run.host), folders[1]), "folder");
        for (unsigned name = 0; name < NAME_COUNT; name++) {
            run.model.allowed[name][0] = true;
        }
        for (unsigned i = 0; i < MODEL_STEPS; i++) {
            step(&run);
        }
        came_back += run.came_back;
        sim_close(run.sim);
    }
    assert_true(came_back > MODEL_SEEDS / 2); /* or the runs showed nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H4_names_mean_what_they_meant_and_no_durable_file_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
