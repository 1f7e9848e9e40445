/* links: peer sim */
/* Three hubs in bad weather: whatever the network does, messages arrive whole, at most once, and in the order of their
 * group and class, across all connections; and after the weather everybody talks again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "peer/peer.h"
#include "sim/sim.h"

enum { NODES = 3, GROUPS = 5, CLASSES = 2, SEEDS = 40, ROUNDS = 60 };

struct weather {
    struct sim *sim;
    struct sim_host *hosts[NODES];
    struct weather_node *nodes;
    uint64_t sent[NODES][NODES][GROUPS][CLASSES];     /* number of the last message */
    uint64_t received[NODES][NODES][GROUPS][CLASSES]; /* number of the last that arrived */
    uint64_t arrived;
    uint64_t handed;
    uint64_t released;
    uint64_t connects;
};

struct weather_node {
    struct weather *weather;
    struct peer_hub *hub;
    unsigned number; /* id − 1 */
};

struct numbered {
    struct peer_message message;
    struct weather *weather;
    uint64_t number;
    uint32_t size;
};

static int numbered_encode(struct peer_message *message, struct buffer *out)
{
    struct numbered *numbered = (struct numbered *)message;
    buffer_append_u8(out, (uint8_t)message->class);
    buffer_append_u64(out, numbered->number);
    buffer_append_u32(out, numbered->size);
    memset(buffer_extend(out, numbered->size), (int)(numbered->number & 255), numbered->size);
    return 0;
}

static void numbered_release(struct peer_message *message, int sent)
{
    ((struct numbered *)message)->weather->released++;
    free(message);
}

static void send_one(struct weather_node *node, unsigned to, struct rng *rng)
{
    struct weather *weather = node->weather;
    struct numbered *numbered = memory_new(sizeof(*numbered));
    unsigned group = (unsigned)rng_below(rng, GROUPS);
    enum peer_class class = rng_chance(rng, 1, 2) ? PEER_URGENT : PEER_BULK;
    numbered->weather = weather;
    numbered->number = ++weather->sent[node->number][to][group][class];
    numbered->size = (uint32_t)rng_below(rng, rng_chance(rng, 1, 8) ? 300000 : 300);
    numbered->message = (struct peer_message){.kind = FRAME_RAFT,
                                              .class = class,
                                              .small = numbered->size < 900 && rng_chance(rng, 1, 2),
                                              .group = group + 1,
                                              .encode = numbered_encode,
                                              .release = numbered_release};
    weather->handed++;
    peer_send(node->hub, to + 1, &numbered->message);
}

static void on_up(void *arg, uint64_t node_id, uint64_t epoch)
{
    ((struct weather_node *)arg)->weather->connects++;
}

static void on_down(void *arg, uint64_t node_id, uint64_t epoch) {}

static int on_admit(void *arg, uint64_t node_id, uint64_t node_incarnation)
{
    return 0;
}

static void on_received(void *arg, uint64_t node_id, enum frame_kind kind, uint64_t group, uint64_t group_incarnation,
                        struct hf_bytes payload)
{
    struct weather_node *node = arg;
    struct weather *weather = node->weather;
    struct cursor cursor = cursor_of(payload);
    uint8_t class = cursor_u8(&cursor);
    uint64_t number = cursor_u64(&cursor);
    uint32_t size = cursor_u32(&cursor);
    struct hf_bytes rest = cursor_bytes(&cursor, size);
    assert_int_equal(cursor_finish(&cursor, "message"), 0);
    assert_true(class < CLASSES && group >= 1 && group <= GROUPS);
    for (size_t i = 0; i < rest.size; i += 97) {
        assert_int_equal(((const uint8_t *)rest.data)[i], number & 255);
    }
    uint64_t *last = &weather->received[node_id - 1][node->number][group - 1][class];
    if (number <= *last) {
        fail_msg("message %u of group %u class %u arrived after message %u", (unsigned)number, (unsigned)group, class,
                 (unsigned)*last);
    }
    *last = number;
    weather->arrived++;
}

static const struct peer_callbacks callbacks = {
    .up = on_up, .down = on_down, .received = on_received, .admit = on_admit};

static void open_node(struct weather *weather, struct weather_node *node, unsigned number)
{
    *node = (struct weather_node){.weather = weather, .number = number};
    struct peer_identity identity = {.cluster_id = "weather", .node_id = number + 1, .seed = number};
    char address[64];
    snprintf(address, sizeof(address), "%s:7000", sim_host_name(weather->hosts[number]));
    assert_int_equal(
        peer_hub_open(sim_host_loop(weather->hosts[number]), &identity, address, &callbacks, node, &node->hub), 0);
    for (unsigned i = 0; i < NODES; i++) {
        if (i != number) {
            snprintf(address, sizeof(address), "%s:7000", sim_host_name(weather->hosts[i]));
            assert_int_equal(peer_hub_add(node->hub, i + 1, address), 0);
        }
    }
}

static bool all_up(void *arg)
{
    const struct weather *weather = arg;
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned k = 0; k < NODES; k++) {
            if (i != k && !peer_is_up(weather->nodes[i].hub, k + 1)) {
                return false;
            }
        }
    }
    return true;
}

/* Turns messages loose inside the hosts' own loops' time: the harness only queues. */
static void run_rounds(struct weather *weather, struct rng *rng)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < NODES; i++) {
            for (uint64_t count = rng_below(rng, 12); count > 0; count--) {
                unsigned to = (i + 1 + (unsigned)rng_below(rng, NODES - 1)) % NODES;
                send_one(&weather->nodes[i], to, rng);
            }
        }
        sim_run_for(weather->sim, rng_between(rng, 1, 300) * 1000000);
    }
}

static uint64_t late_bytes_seen;

static void run_seed(uint64_t seed)
{
    struct sim_profile profile = sim_profile_from_seed(seed);
    struct sim_options options = {.profile = &profile};
    struct weather weather = {.sim = sim_open(seed, &options)};
    struct weather_node nodes[NODES];
    weather.nodes = nodes;
    for (unsigned i = 0; i < NODES; i++) {
        weather.hosts[i] = sim_host_add(weather.sim, NULL, NULL);
    }
    for (unsigned i = 0; i < NODES; i++) {
        open_node(&weather, &nodes[i], i);
    }
    struct rng rng;
    rng_seed(&rng, seed * 77);
    run_rounds(&weather, &rng);
    sim_calm(weather.sim);
    sim_network_heal(weather.sim);
    if (!sim_run_until(weather.sim, all_up, &weather, 20000000000ull)) {
        fail_msg("seed %u: not everybody talks 20 s after the weather", (unsigned)seed);
    }
    uint64_t before = weather.arrived;
    run_rounds(&weather, &rng);
    sim_run_for(weather.sim, 1000000000);
    assert_true(weather.arrived > before);
    late_bytes_seen += sim_fault_count(weather.sim, SIM_FAULT_LATE_BYTES);
    for (unsigned i = 0; i < NODES; i++) {
        peer_hub_close(nodes[i].hub);
    }
    assert_int_equal(weather.handed, weather.released);
    assert_true(weather.connects >= NODES * (NODES - 1));
    sim_close(weather.sim);
}

static void GE_order_holds_across_connections_in_any_weather(void **state)
{
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    bool is_small = scale != NULL && strcmp(scale, "small") == 0;
    uint64_t seeds = is_small ? SEEDS / 4 : SEEDS;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run_seed(seed);
    }
    /* Bytes of an old connection must really have come late, or the run shows nothing. A quarter of the seeds, under a
     * sanitizer, is after memory errors and may be too few for that. */
    assert_true(is_small || late_bytes_seen > 0);
}

int main(void)
{
    trace_set_level(TRACE_ERROR);
#ifdef HF_MUTATIONS
    const char *mutation = getenv("HOLDFAST_MUTATION");
    if (mutation != NULL && mutation_enable(mutation) != 0) {
        return 2;
    }
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(GE_order_holds_across_connections_in_any_weather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
