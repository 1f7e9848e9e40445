#include "sim/sim_link.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "sim/sim_connection.h"
#include "sim/sim_fault.h"

/* Within a host: the loopback interface. */
static const struct sim_link sim_link_loopback = {.delay_ns = {5000, 20000}};

static void sim_link_heal_due(struct sim_event *event)
{
    const struct sim_link_state *state = list_entry(event, struct sim_link_state, heal);
    if (!state->cut) {
        sim_trace(state->sim, state->sim->hosts[state->from], "reaches %s again",
                  sim_host_name(state->sim->hosts[state->to]));
        sim_connection_resume_all(state->sim);
    }
}

struct sim_link_state *sim_link_state(struct sim_host *from, struct sim_host *to)
{
    struct sim_link_state **slot = &from->sim->links[from->number * SIM_HOST_MAX + to->number];
    if (*slot == NULL) {
        *slot = memory_new(sizeof(**slot));
        (*slot)->sim = from->sim;
        (*slot)->from = from->number;
        (*slot)->to = to->number;
        (*slot)->heal.run = sim_link_heal_due;
    }
    return *slot;
}

const struct sim_link *sim_link_of(struct sim_host *from, struct sim_host *to)
{
    if (from == to) {
        return &sim_link_loopback;
    }
    const struct sim_link_state *state = sim_link_state(from, to);
    return state->has_own ? &state->own : &from->sim->profile.link;
}

uint64_t sim_link_delay_ns(struct sim *sim, const struct sim_link *link)
{
    if (sim_chance(sim, link->slow_ppm)) {
        sim_fault_happened(sim, SIM_FAULT_SLOW);
        return sim_draw(sim, link->slow_delay_ns);
    }
    return sim_draw(sim, link->delay_ns);
}

void sim_link_set(struct sim_host *from, struct sim_host *to, const struct sim_link *link)
{
    struct sim_link_state *state = sim_link_state(from, to);
    state->own = *link;
    state->has_own = true;
}

bool sim_link_is_cut(const struct sim_host *from, const struct sim_host *to)
{
    const struct sim_link_state *state = from->sim->links[from->number * SIM_HOST_MAX + to->number];
    return from != to && state != NULL && (state->cut || state->cut_until_ns > from->sim->now_ns);
}

void sim_link_cut(struct sim_host *from, struct sim_host *to)
{
    struct sim_link_state *state = sim_link_state(from, to);
    if (!state->cut && from != to) {
        sim_trace(from->sim, from, "no longer reaches %s", to->name);
        sim_fault_happened(from->sim, SIM_FAULT_CUT);
        state->cut = true;
    }
}

void sim_link_cut_for(struct sim_host *from, struct sim_host *to, uint64_t duration_ns)
{
    struct sim_link_state *state = sim_link_state(from, to);
    uint64_t until_ns = from->sim->now_ns + duration_ns;
    if (until_ns > state->cut_until_ns) {
        sim_trace(from->sim, from, "does not reach %s for %" PRIu64 " us", to->name, duration_ns / 1000);
        state->cut_until_ns = until_ns;
        sim_schedule(from->sim, &state->heal, until_ns);
    }
}

void sim_link_heal(struct sim_host *from, struct sim_host *to)
{
    struct sim_link_state *state = sim_link_state(from, to);
    state->cut = false;
    state->cut_until_ns = 0;
    sim_unschedule(from->sim, &state->heal);
    sim_trace(from->sim, from, "reaches %s", to->name);
    sim_connection_resume_all(from->sim);
}

void sim_link_reset(struct sim_host *a, struct sim_host *b)
{
    sim_trace(a->sim, a, "connections with %s break", b->name);
    list_each_safe (&a->sim->connections, item) {
        struct sim_connection *connection = list_entry(item, struct sim_connection, link);
        bool forth = connection->hosts[0] == a && connection->hosts[1] == b;
        bool back = connection->hosts[0] == b && connection->hosts[1] == a;
        if (forth || back) {
            sim_connection_break(connection);
        }
    }
}

void sim_link_heal_all(struct sim *sim)
{
    for (size_t i = 0; i < (size_t)SIM_HOST_MAX * SIM_HOST_MAX; i++) {
        struct sim_link_state *state = sim->links[i];
        if (state != NULL) {
            state->cut = false;
            state->cut_until_ns = 0;
            sim_unschedule(sim, &state->heal);
        }
    }
    sim_connection_resume_all(sim);
}

void sim_link_calm(struct sim *sim)
{
    for (size_t i = 0; i < (size_t)SIM_HOST_MAX * SIM_HOST_MAX; i++) {
        if (sim->links[i] != NULL) {
            sim->links[i]->has_own = false;
        }
    }
    sim_link_heal_all(sim);
}

void sim_link_close_all(struct sim *sim)
{
    for (size_t i = 0; i < (size_t)SIM_HOST_MAX * SIM_HOST_MAX; i++) {
        if (sim->links[i] != NULL) {
            sim_unschedule(sim, &sim->links[i]->heal);
            free(sim->links[i]);
        }
    }
}
