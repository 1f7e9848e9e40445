#include "sim/sim_world.h"

#define SIM_US(count)  (1000ull * (count))
#define SIM_MS(count)  (1000000ull * (count))
#define SIM_SEC(count) (1000000000ull * (count))

struct sim_profile sim_profile_calm(void)
{
    return (struct sim_profile){
        .write_ns = {SIM_US(20), SIM_US(150)},
        .sync_ns = {SIM_US(50), SIM_US(400)},
        .work_ns = {SIM_US(5), SIM_US(200)},
        .stall_ns = {SIM_MS(10), SIM_MS(50)},
        .link =
            {
                .delay_ns = {SIM_US(50), SIM_US(500)},
                .slow_delay_ns = {SIM_MS(5), SIM_MS(50)},
                .half_open_ns = {SIM_SEC(1), SIM_SEC(5)},
                .stall_timeout_ns = {SIM_SEC(3), SIM_SEC(10)},
            },
        .turn_ns = {SIM_US(1), SIM_US(20)},
        .cut_lasts_ns = {SIM_MS(50), SIM_SEC(5)},
        .partition_lasts_ns = {SIM_MS(200), SIM_SEC(8)},
        .pause_lasts_ns = {SIM_MS(20), SIM_SEC(4)},
        .clock_jump_ms = {1, 30000},
        .disk_stall_lasts_ns = {SIM_MS(20), SIM_SEC(2)},
    };
}

/* Off, rare or common, a third each. */
static uint64_t sim_profile_pick(struct rng *rng, uint64_t rare, uint64_t common)
{
    switch (rng_below(rng, 3)) {
    case 0:
        return 0;
    case 1:
        return rare;
    default:
        return common;
    }
}

static void sim_profile_pick_link(struct rng *rng, struct sim_link *link)
{
    static const uint64_t delay_max_ns[] = {SIM_US(200), SIM_MS(2), SIM_MS(20), SIM_MS(60)};
    link->delay_ns = (struct sim_span){SIM_US(20), delay_max_ns[rng_below(rng, 4)]};
    link->slow_delay_ns = (struct sim_span){SIM_MS(5), SIM_MS(400)};
    link->slow_ppm = (uint32_t)sim_profile_pick(rng, 1000, 30000);
    link->refuse_ppm = (uint32_t)sim_profile_pick(rng, 10000, 200000);
    link->accept_reset_ppm = (uint32_t)sim_profile_pick(rng, 10000, 200000);
    link->reset_ppm = (uint32_t)sim_profile_pick(rng, 100, 3000);
    link->half_open_ppm = (uint32_t)sim_profile_pick(rng, 100000, 600000);
    link->chunk_ppm = (uint32_t)sim_profile_pick(rng, 20000, 400000);
    link->bandwidth_bytes_per_s = sim_profile_pick(rng, 100000000, 2000000);
}

struct sim_profile sim_profile_from_seed(uint64_t seed)
{
    struct sim_profile profile = sim_profile_calm();
    struct rng rng;
    rng_seed(&rng, seed);
    profile.write_ns.max = SIM_US(100) << rng_below(&rng, 8);
    profile.sync_ns.max = SIM_US(200) << rng_below(&rng, 8);
    profile.stall_ppm = (uint32_t)sim_profile_pick(&rng, 500, 10000);
    profile.stall_ns = (struct sim_span){SIM_MS(10), SIM_MS(800)};
    sim_profile_pick_link(&rng, &profile.link);
    profile.turn_ns.max = SIM_US(5) << rng_below(&rng, 10);
    profile.shuffle_ppm = (uint32_t)sim_profile_pick(&rng, 200000, SIM_PPM);
    profile.cut_gap_ns = sim_profile_pick(&rng, SIM_SEC(20), SIM_SEC(4));
    profile.partition_gap_ns = sim_profile_pick(&rng, SIM_SEC(30), SIM_SEC(8));
    profile.reset_gap_ns = sim_profile_pick(&rng, SIM_SEC(15), SIM_SEC(2));
    profile.pause_gap_ns = sim_profile_pick(&rng, SIM_SEC(20), SIM_SEC(5));
    profile.clock_jump_gap_ns = sim_profile_pick(&rng, SIM_SEC(20), SIM_SEC(4));
    profile.disk_stall_gap_ns = sim_profile_pick(&rng, SIM_SEC(20), SIM_SEC(5));
    return profile;
}
