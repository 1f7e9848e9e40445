#include "sim/sim_host.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sim/sim_connection.h"
#include "sim/sim_crash.h"
#include "sim/sim_fault.h"
#include "sim/sim_file.h"
#include "sim/sim_loop.h"
#include "sim/sim_queue.h"

#define SIM_HOST_BOOT_MAX_NS (1000ull * SIM_NS_PER_SEC)

/* ---- processes ---- */

static void sim_host_new_process(struct sim_host *host)
{
    struct sim_process *process = memory_new(sizeof(*process));
    process->io.ops = &sim_io_ops;
    process->host = host;
    list_init(&process->files);
    list_init(&process->queues);
    list_init(&process->loops);
    list_append(&host->processes, &process->link);
    sim_loop_new(process);
    host->process = process;
    host->state = SIM_HOST_RUNNING;
    host->paused_until_ns = 0;
}

/* Everything that the process had goes; its objects stay to be closed by their owners. */
static void sim_host_end_process(struct sim_host *host, enum sim_connection_end how)
{
    struct sim_process *process = host->process;
    assert(process != NULL);
    host->process = NULL;
    process->dead = true;
    list_each (&process->queues, item) {
        sim_queue_end(list_entry(item, struct sim_queue, link));
    }
    list_each (&process->files, item) {
        sim_file_end(list_entry(item, struct sim_file, link));
    }
    list_each (&process->loops, item) {
        sim_loop_silence(list_entry(item, struct sim_loop, link));
    }
    sim_connection_end_process(host->sim, process, how);
}

static void sim_host_free_process(struct sim_process *process)
{
    list_each_safe (&process->files, item) {
        sim_file_free(list_entry(item, struct sim_file, link));
    }
    list_each_safe (&process->queues, item) {
        sim_queue_free(list_entry(item, struct sim_queue, link));
    }
    list_each_safe (&process->loops, item) {
        sim_loop_free(list_entry(item, struct sim_loop, link));
    }
    list_remove(&process->link);
    free(process);
}

bool sim_host_is_live(const struct sim_process *process)
{
    return !process->dead && process->host->state == SIM_HOST_RUNNING;
}

int sim_host_raise_closed(const struct sim_process *process, const char *what)
{
    return error_raise(HF_ECLOSED, "%s: its process on %s is gone", what, process->host->name);
}

/* ---- hosts ---- */

struct sim_host *sim_host_add(struct sim *sim, const char *name, const struct sim_host_options *options)
{
    static const struct sim_host_options none;
    const struct sim_host_options *chosen = options != NULL ? options : &none;
    assert(sim->host_count < SIM_HOST_MAX);
    struct sim_host *host = memory_new(sizeof(*host));
    host->sim = sim;
    host->number = sim->host_count;
    host->name = name != NULL ? text_copy(name) : text_format("host%u", host->number + 1);
    for (unsigned i = 0; i < sim->host_count; i++) {
        assert(strcmp(sim->hosts[i]->name, host->name) != 0);
    }
    sim->hosts[sim->host_count++] = host;
    list_init(&host->processes);
    sim_disk_init(&host->disk, host, chosen->disk_capacity_bytes);
    rng_seed(&host->rng, rng_next(&sim->rng));
    host->boot_ns = rng_below(&sim->rng, SIM_HOST_BOOT_MAX_NS);
    host->mount = 1;
    host->wall_offset_ms = chosen->wall_skew_ms;
    host->direct_refused = chosen->direct_refused;
    host->sheltered = chosen->sheltered;
    sim_trace(sim, host, "start");
    sim_host_new_process(host);
    return host;
}

void sim_host_close(struct sim_host *host)
{
    host->process = NULL;
    list_each_safe (&host->processes, item) {
        sim_host_free_process(list_entry(item, struct sim_process, link));
    }
    sim_disk_destroy(&host->disk);
    free(host->name);
    free(host);
}

const char *sim_host_name(const struct sim_host *host)
{
    return host->name;
}

struct io *sim_host_io(struct sim_host *host)
{
    assert(host->process != NULL);
    return &host->process->io;
}

struct loop *sim_host_loop(struct sim_host *host)
{
    assert(host->process != NULL);
    return sim_loop_first(host->process);
}

struct loop *sim_host_add_loop(struct sim_host *host)
{
    assert(host->process != NULL);
    return sim_loop_new(host->process);
}

bool sim_host_is_running(const struct sim_host *host)
{
    return host->state == SIM_HOST_RUNNING;
}

unsigned sim_host_handle_count(const struct sim_host *host)
{
    return host->process != NULL ? host->process->handle_count : 0;
}

/* ---- stopping and starting ---- */

void sim_host_kill(struct sim_host *host)
{
    if (host->state == SIM_HOST_DARK) {
        sim_host_power_off(host);
    } else if (host->state == SIM_HOST_RUNNING) {
        sim_trace(host->sim, host, "killed");
        sim_fault_happened(host->sim, SIM_FAULT_KILL);
        host->state = SIM_HOST_KILLED;
        sim_host_end_process(host, SIM_END_KILLED);
    }
}

void sim_host_take_power(struct sim_host *host)
{
    if (host->state != SIM_HOST_RUNNING) {
        return;
    }
    sim_trace(host->sim, host, "the power goes");
    sim_fault_happened(host->sim, SIM_FAULT_POWER_LOSS);
    host->state = SIM_HOST_DARK;
    sim_crash_power_off(&host->disk);
    list_each (&host->process->queues, item) {
        struct sim_queue *queue = list_entry(item, struct sim_queue, link);
        list_each_safe (&queue->requests, request) { /* IO_WORK, which the disk does not know */
            sim_queue_half_land(list_entry(request, struct sim_request, queue_link));
        }
    }
    list_each (&host->process->loops, item) {
        sim_loop_silence(list_entry(item, struct sim_loop, link));
    }
    sim_connection_end_process(host->sim, host->process, SIM_END_POWER_LOST);
}

void sim_host_power_off(struct sim_host *host)
{
    if (host->state == SIM_HOST_OFF) {
        return;
    }
    if (host->state == SIM_HOST_KILLED) {
        sim_trace(host->sim, host, "the power goes");
        sim_fault_happened(host->sim, SIM_FAULT_POWER_LOSS);
        sim_crash_power_off(&host->disk);
    } else {
        sim_host_take_power(host);
        sim_host_end_process(host, SIM_END_POWER_LOST);
    }
    host->state = SIM_HOST_OFF;
}

void sim_host_start(struct sim_host *host)
{
    assert(host->state == SIM_HOST_KILLED || host->state == SIM_HOST_OFF);
    if (host->state == SIM_HOST_OFF) {
        sim_crash_settle(&host->disk);
        host->boot_ns = rng_below(&host->sim->rng, SIM_HOST_BOOT_MAX_NS);
        host->mount++;
    }
    host->disk.cut_left = 0;
    host->disk.stall_until_ns = 0;
    sim_trace(host->sim, host, "start");
    sim_host_new_process(host);
}

/* ---- time ---- */

uint64_t sim_host_monotonic_ns(const struct sim_host *host)
{
    return host->sim->now_ns + host->boot_ns;
}

void sim_host_pause(struct sim_host *host, uint64_t duration_ns)
{
    uint64_t until_ns = host->sim->now_ns + duration_ns;
    if (host->state == SIM_HOST_RUNNING && until_ns > host->paused_until_ns) {
        host->paused_until_ns = until_ns;
        sim_fault_happened(host->sim, SIM_FAULT_PAUSE);
        sim_trace(host->sim, host, "pauses for %" PRIu64 " us", duration_ns / 1000);
    }
}

void sim_host_jump_clock(struct sim_host *host, int64_t delta_ms)
{
    host->wall_offset_ms += delta_ms;
    sim_fault_happened(host->sim, SIM_FAULT_CLOCK_JUMP);
    sim_trace(host->sim, host, "the wall clock jumps by %" PRId64 " ms", delta_ms);
}

void sim_host_calm(struct sim_host *host)
{
    host->disk.stall_until_ns = 0;
    host->paused_until_ns = 0;
    if (host->process != NULL) {
        list_each (&host->process->loops, item) {
            sim_loop_resume(list_entry(item, struct sim_loop, link));
        }
    }
}
