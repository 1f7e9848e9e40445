/* links: sim */
/* The simulator passes the contract suites that the kernel's implementations pass, in several worlds. */
#include "contract/io_cases.h"
#include "contract/net_cases.h"
#include "sim/sim.h"

#define SIM_CONTRACT_DIR "/data/contract"

struct sim_fixture {
    struct io_fixture io;
    struct sim *sim;
    struct sim_host *host;
};

static struct sim_fixture *sim_fixture_of(struct io_fixture *fixture)
{
    return list_entry(fixture, struct sim_fixture, io);
}

static void advance(struct io_fixture *fixture)
{
    sim_step(sim_fixture_of(fixture)->sim);
}

static void limit_space(struct io_fixture *fixture, uint64_t bytes)
{
    sim_disk_set_capacity(sim_fixture_of(fixture)->host, bytes == UINT64_MAX ? 0 : bytes);
}

static uint64_t seed_now;

static int setup(void **state)
{
    struct sim_fixture *fixture = memory_new(sizeof(*fixture));
    struct sim_profile profile = sim_profile_from_seed(seed_now);
    const struct sim_options options = {.profile = &profile};
    fixture->sim = sim_open(seed_now, &options);
    fixture->host = sim_host_add(fixture->sim, NULL, NULL);
    fixture->io.io = sim_host_io(fixture->host);
    fixture->io.dir = SIM_CONTRACT_DIR;
    fixture->io.advance = advance;
    fixture->io.limit_space = limit_space;
    *state = &fixture->io;
    return directory_create(fixture->io.io, SIM_CONTRACT_DIR);
}

static int teardown(void **state)
{
    struct sim_fixture *fixture = sim_fixture_of(*state);
    int rc = sim_host_handle_count(fixture->host) == 0 ? 0 : -1;
    sim_close(fixture->sim);
    free(fixture);
    return rc;
}

/* ---- net ---- */

#define SIM_CONTRACT_LIMIT_NS (60u * 1000000000ull)

struct sim_net_fixture {
    struct net_fixture net;
    struct sim *sim;
    struct sim_host *host;
};

static bool net_run_until(struct net_fixture *net, bool (*condition)(void *arg), void *arg)
{
    struct sim_net_fixture *fixture = list_entry(net, struct sim_net_fixture, net);
    return sim_run_until(fixture->sim, condition, arg, SIM_CONTRACT_LIMIT_NS);
}

static int net_setup(void **state)
{
    struct sim_net_fixture *fixture = memory_new(sizeof(*fixture));
    struct sim_profile profile = sim_profile_from_seed(seed_now);
    profile.pause_gap_ns = 0; /* the cases know how long a turn may take */
    profile.turn_ns.max = 100000;
    const struct sim_options options = {.profile = &profile};
    fixture->sim = sim_open(seed_now, &options);
    fixture->host = sim_host_add(fixture->sim, NULL, NULL);
    fixture->net.io = sim_host_io(fixture->host);
    fixture->net.loop = sim_host_loop(fixture->host);
    fixture->net.listen = "127.0.0.1:0";
    fixture->net.run_until = net_run_until;
    *state = &fixture->net;
    return 0;
}

static int net_teardown(void **state)
{
    struct sim_net_fixture *fixture = list_entry(*state, struct sim_net_fixture, net);
    int rc = sim_host_handle_count(fixture->host) == 0 ? 0 : -1;
    sim_close(fixture->sim);
    free(fixture);
    return rc;
}

int main(void)
{
    int failed = 0;
#define ROW(name)     cmocka_unit_test_setup_teardown(name, setup, teardown),
#define NET_ROW(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown),
    const struct CMUnitTest tests[] = {IO_CASES(ROW) NET_CASES(NET_ROW)};
    for (seed_now = 1; seed_now <= 8; seed_now++) {
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed == 0 ? 0 : 1;
}
