#include "sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "sim/sim_connection.h"
#include "sim/sim_host.h"
#include "sim/sim_link.h"
#include "sim/sim_network.h"
#include "sim/sim_weather.h"
#include "sim/sim_world.h"

#define SIM_PORT_FIRST      40000u
#define SIM_TRACE_LINE_SIZE 1024u

struct sim_call {
    struct sim_event event; /* first: sim_call_run casts */
    struct list link;
    void (*call)(void *arg);
    void *arg;
};

struct sim *sim_open(uint64_t seed, const struct sim_options *options)
{
    struct sim *sim = memory_new(sizeof(*sim));
    rng_seed(&sim->rng, seed);
    sim->trace_hash = hash_mix_64(seed);
    sim->port_last = SIM_PORT_FIRST;
    list_init(&sim->calls);
    list_init(&sim->aliases);
    list_init(&sim->connections);
    if (options != NULL) {
        sim->trace = options->trace;
        sim->trace_arg = options->trace_arg;
    }
    sim_weather_init(sim);
    if (options != NULL && options->profile != NULL) {
        sim_set_profile(sim, options->profile);
    } else {
        struct sim_profile calm = sim_profile_calm();
        sim_set_profile(sim, &calm);
    }
    return sim;
}

void sim_close(struct sim *sim)
{
    if (sim == NULL) {
        return;
    }
    sim_connection_close_all(sim);
    for (unsigned i = 0; i < sim->host_count; i++) {
        sim_host_close(sim->hosts[i]);
    }
    sim_link_close_all(sim);
    sim_network_close(sim);
    sim_weather_stop(sim);
    list_each_safe (&sim->calls, item) {
        struct sim_call *call = list_entry(item, struct sim_call, link);
        sim_unschedule(sim, &call->event);
        free(call);
    }
    heap_close(&sim->events);
    free(sim);
}

uint64_t sim_now_ns(const struct sim *sim)
{
    return sim->now_ns;
}

struct rng *sim_rng(struct sim *sim)
{
    return &sim->rng;
}

void sim_set_profile(struct sim *sim, const struct sim_profile *profile)
{
    sim->profile = *profile;
    sim_weather_restart(sim);
}

void sim_calm(struct sim *sim)
{
    struct sim_profile calm = sim_profile_calm();
    sim_trace(sim, NULL, "calm");
    sim_set_profile(sim, &calm);
    sim_link_calm(sim);
    for (unsigned i = 0; i < sim->host_count; i++) {
        sim_host_calm(sim->hosts[i]);
    }
}

/* ---- events ---- */

void sim_schedule(struct sim *sim, struct sim_event *event, uint64_t time_ns)
{
    heap_set(&sim->events, &event->item, time_ns > sim->now_ns ? time_ns : sim->now_ns);
}

void sim_unschedule(struct sim *sim, struct sim_event *event)
{
    heap_remove(&sim->events, &event->item);
}

bool sim_is_scheduled(const struct sim_event *event)
{
    return event->item.position != 0;
}

bool sim_step(struct sim *sim)
{
    struct heap_item *first = heap_first(&sim->events);
    if (first == NULL) {
        return false;
    }
    struct sim_event *event = list_entry(first, struct sim_event, item);
    sim->now_ns = first->key;
    heap_remove(&sim->events, first);
    event->run(event);
    return true;
}

/* The end of a span that starts now, without overflow. */
static uint64_t sim_deadline(const struct sim *sim, uint64_t duration_ns)
{
    return duration_ns > UINT64_MAX - sim->now_ns ? UINT64_MAX : sim->now_ns + duration_ns;
}

void sim_run_for(struct sim *sim, uint64_t duration_ns)
{
    uint64_t end_ns = sim_deadline(sim, duration_ns);
    struct heap_item *first = heap_first(&sim->events);
    while (first != NULL && first->key <= end_ns) {
        sim_step(sim);
        first = heap_first(&sim->events);
    }
    sim->now_ns = end_ns;
}

bool sim_run_until(struct sim *sim, sim_condition *condition, void *arg, uint64_t limit_ns)
{
    uint64_t end_ns = sim_deadline(sim, limit_ns);
    while (!condition(arg)) {
        struct heap_item *first = heap_first(&sim->events);
        if (first == NULL || first->key > end_ns) {
            return false;
        }
        sim_step(sim);
    }
    return true;
}

static void sim_call_run(struct sim_event *event)
{
    struct sim_call *call = list_entry(event, struct sim_call, event);
    list_remove(&call->link);
    call->call(call->arg);
    free(call);
}

void sim_call_after(struct sim *sim, uint64_t delay_ns, void (*function)(void *arg), void *arg)
{
    struct sim_call *call = memory_new(sizeof(*call));
    call->event.run = sim_call_run;
    call->call = function;
    call->arg = arg;
    list_append(&sim->calls, &call->link);
    sim_schedule(sim, &call->event, sim_deadline(sim, delay_ns));
}

/* ---- chance ---- */

uint64_t sim_draw(struct sim *sim, struct sim_span span)
{
    return span.max > span.min ? rng_between(&sim->rng, span.min, span.max) : span.min;
}

bool sim_chance(struct sim *sim, uint32_t ppm)
{
    return ppm > 0 && rng_chance(&sim->rng, ppm, SIM_PPM);
}

/* ---- trace ---- */

void sim_trace(struct sim *sim, const struct sim_host *host, const char *format, ...)
{
    char line[SIM_TRACE_LINE_SIZE];
    int head = snprintf(line, sizeof(line), "%" PRIu64 ".%03u %s ", sim->now_ns / 1000, (unsigned)(sim->now_ns % 1000),
                        host != NULL ? sim_host_name(host) : "-");
    size_t used = head > 0 && (size_t)head < sizeof(line) ? (size_t)head : sizeof(line) - 1;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, sizeof(line) - used, format, arguments);
    va_end(arguments);
    sim->trace_hash = hash_xxh3_64(bytes_of_text(line), sim->trace_hash);
    if (sim->trace != NULL) {
        sim->trace(sim->trace_arg, line);
    }
}

uint64_t sim_trace_hash(const struct sim *sim)
{
    return sim->trace_hash;
}
