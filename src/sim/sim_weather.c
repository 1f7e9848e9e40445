#include "sim/sim_weather.h"

#include <inttypes.h>

#include "sim/sim_fault.h"
#include "sim/sim_host.h"
#include "sim/sim_link.h"

/* One row of sim->weather each. */
static const enum sim_fault sim_weather_kinds[SIM_WEATHER_COUNT] = {
    SIM_FAULT_CUT, SIM_FAULT_PARTITION, SIM_FAULT_RESET, SIM_FAULT_PAUSE, SIM_FAULT_CLOCK_JUMP, SIM_FAULT_STALL,
};

static uint64_t sim_weather_gap_ns(const struct sim_profile *profile, enum sim_fault kind)
{
    switch (kind) {
    case SIM_FAULT_CUT:
        return profile->cut_gap_ns;
    case SIM_FAULT_PARTITION:
        return profile->partition_gap_ns;
    case SIM_FAULT_RESET:
        return profile->reset_gap_ns;
    case SIM_FAULT_PAUSE:
        return profile->pause_gap_ns;
    case SIM_FAULT_CLOCK_JUMP:
        return profile->clock_jump_gap_ns;
    default:
        return profile->disk_stall_gap_ns;
    }
}

/* The hosts that weather touches. */
static unsigned sim_weather_hosts(struct sim *sim, struct sim_host **hosts)
{
    unsigned count = 0;
    for (unsigned i = 0; i < sim->host_count; i++) {
        if (!sim->hosts[i]->sheltered) {
            hosts[count++] = sim->hosts[i];
        }
    }
    return count;
}

/* first and second fall on different sides, the others anywhere. */
static void sim_weather_partition(struct sim *sim, struct sim_host *const *hosts, unsigned count, unsigned first,
                                  unsigned second)
{
    uint64_t duration_ns = sim_draw(sim, sim->profile.partition_lasts_ns);
    uint64_t side = (rng_next(&sim->rng) | 1ull << first) & ~(1ull << second);
    sim_fault_happened(sim, SIM_FAULT_PARTITION);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < count; j++) {
            if ((side >> i & 1) != (side >> j & 1)) {
                sim_link_cut_for(hosts[i], hosts[j], duration_ns);
            }
        }
    }
}

/* What needs two hosts. */
static void sim_weather_strike_pair(struct sim *sim, enum sim_fault kind, struct sim_host *const *hosts, unsigned count)
{
    unsigned first = (unsigned)rng_below(&sim->rng, count);
    unsigned second = (first + 1 + (unsigned)rng_below(&sim->rng, count - 1)) % count;
    if (kind == SIM_FAULT_CUT) {
        sim_fault_happened(sim, SIM_FAULT_CUT);
        sim_link_cut_for(hosts[first], hosts[second], sim_draw(sim, sim->profile.cut_lasts_ns));
    } else if (kind == SIM_FAULT_RESET) {
        sim_link_reset(hosts[first], hosts[second]);
    } else {
        sim_weather_partition(sim, hosts, count, first, second);
    }
}

static void sim_weather_strike_one(struct sim *sim, enum sim_fault kind, struct sim_host *host)
{
    if (kind == SIM_FAULT_PAUSE) {
        sim_host_pause(host, sim_draw(sim, sim->profile.pause_lasts_ns));
    } else if (kind == SIM_FAULT_CLOCK_JUMP) {
        int64_t delta_ms = (int64_t)sim_draw(sim, sim->profile.clock_jump_ms);
        sim_host_jump_clock(host, rng_chance(&sim->rng, 1, 2) ? delta_ms : -delta_ms);
    } else {
        sim_disk_stall(host, sim_draw(sim, sim->profile.disk_stall_lasts_ns));
    }
}

static void sim_weather_schedule(struct sim_weather *weather)
{
    struct sim *sim = weather->sim;
    uint64_t gap_ns = sim_weather_gap_ns(&sim->profile, weather->kind);
    if (gap_ns > 0) {
        sim_schedule(sim, &weather->event, sim->now_ns + rng_between(&sim->rng, 1, 2 * gap_ns));
    }
}

static void sim_weather_strike(struct sim_event *event)
{
    struct sim_weather *weather = list_entry(event, struct sim_weather, event);
    struct sim *sim = weather->sim;
    struct sim_host *hosts[SIM_HOST_MAX];
    unsigned count = sim_weather_hosts(sim, hosts);
    bool pair =
        weather->kind == SIM_FAULT_CUT || weather->kind == SIM_FAULT_PARTITION || weather->kind == SIM_FAULT_RESET;
    if (pair && count >= 2) {
        sim_weather_strike_pair(sim, weather->kind, hosts, count);
    } else if (!pair && count >= 1) {
        sim_weather_strike_one(sim, weather->kind, hosts[rng_below(&sim->rng, count)]);
    }
    sim_weather_schedule(weather);
}

void sim_weather_init(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_WEATHER_COUNT; i++) {
        sim->weather[i] = (struct sim_weather){.sim = sim, .kind = sim_weather_kinds[i]};
        sim->weather[i].event.run = sim_weather_strike;
    }
}

void sim_weather_stop(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_WEATHER_COUNT; i++) {
        sim_unschedule(sim, &sim->weather[i].event);
    }
}

void sim_weather_restart(struct sim *sim)
{
    sim_weather_stop(sim);
    for (unsigned i = 0; i < SIM_WEATHER_COUNT; i++) {
        sim_weather_schedule(&sim->weather[i]);
    }
}
