/* The world inside: events, chance, trace. Every file of the room builds on this. */
#ifndef SIM_SIM_WORLD_H
#define SIM_SIM_WORLD_H

#include "base/heap.h"
#include "base/list.h"
#include "sim/sim.h"

#define SIM_PPM        1000000u
#define SIM_NS_PER_MS  1000000ull
#define SIM_NS_PER_SEC 1000000000ull

/* Something that happens at a time. Zeroed is valid; the owner's memory, which stays put while it is scheduled. */
struct sim_event {
    struct heap_item item; /* key: the time in ns */
    void (*run)(struct sim_event *event);
};

struct sim_weather {
    struct sim *sim;
    struct sim_event event;
    enum sim_fault kind;
};
#define SIM_WEATHER_COUNT 6

struct sim_link_state;

struct sim {
    uint64_t now_ns;
    struct heap events;
    struct rng rng;
    struct sim_profile profile;
    sim_trace_sink *trace;
    void *trace_arg;
    uint64_t trace_hash;
    uint64_t fault_counts[SIM_FAULT_COUNT];
    struct sim_host *hosts[SIM_HOST_MAX];
    unsigned host_count;
    struct list calls; /* pending ones of sim_call_after */
    struct sim_weather weather[SIM_WEATHER_COUNT];
    /* network */
    struct sim_link_state *links[SIM_HOST_MAX * SIM_HOST_MAX]; /* from * SIM_HOST_MAX + to; made when first asked for */
    struct list aliases;                                       /* names that listeners were opened with */
    struct list connections;                                   /* by ordinal */
    uint64_t connection_ordinal_last;
    unsigned port_last; /* handed out for port 0 */
};

/* (Re)schedules; a time in the past is now, after the events that are there already. */
void sim_schedule(struct sim *sim, struct sim_event *event, uint64_t time_ns);
void sim_unschedule(struct sim *sim, struct sim_event *event);
bool sim_is_scheduled(const struct sim_event *event);

uint64_t sim_draw(struct sim *sim, struct sim_span span);
bool sim_chance(struct sim *sim, uint32_t ppm); /* draws nothing when 0 */

#endif
