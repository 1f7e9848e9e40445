/* The world itself: events, seeds and traces, profiles and weather. */
#include "unit/sim/sim_talk.h"

#include <stdio.h>

#include "base/hash.h"

struct diary {
    char text[256];
    struct sim *sim;
};

static void note_a(void *arg)
{
    strcat(((struct diary *)arg)->text, "a ");
}

static void note_b(void *arg)
{
    struct diary *diary = arg;
    strcat(diary->text, "b ");
    sim_call_after(diary->sim, 0, note_a, diary);
}

static bool has_two(void *arg)
{
    return strlen(((struct diary *)arg)->text) >= 4;
}

static void events_run_by_time_and_then_by_order(void **state)
{
    struct diary diary = {.sim = sim_open(1, NULL)};
    assert_false(sim_step(diary.sim));
    sim_call_after(diary.sim, 20, note_a, &diary);
    sim_call_after(diary.sim, 10, note_b, &diary);
    sim_call_after(diary.sim, 10, note_b, &diary);
    assert_false(sim_run_until(diary.sim, has_two, &diary, 9));
    assert_int_equal(sim_now_ns(diary.sim), 0);
    assert_true(sim_run_until(diary.sim, has_two, &diary, 10));
    assert_string_equal(diary.text, "b b ");
    assert_int_equal(sim_now_ns(diary.sim), 10);
    sim_run_for(diary.sim, 9);
    assert_string_equal(diary.text, "b b a a ");
    assert_int_equal(sim_now_ns(diary.sim), 19);
    sim_run_for(diary.sim, 1);
    assert_string_equal(diary.text, "b b a a a ");
    sim_call_after(diary.sim, UINT64_MAX, note_a, &diary);
    sim_close(diary.sim);
}

/* ---- a busy world of three hosts that talk, write and die ---- */

struct busy_host {
    struct busy *busy;
    struct sim_host *host;
    struct listener *listener;
    struct stream *streams[8];
    unsigned stream_count;
    struct loop_timer timer;
    unsigned beats;
};

struct busy {
    struct sim *sim;
    struct busy_host hosts[3];
    uint64_t trace_digest;
    unsigned line_count;
};

static void busy_trace(void *arg, const char *line)
{
    struct busy *busy = arg;
    busy->trace_digest = hash_xxh3_64(bytes_of_text(line), busy->trace_digest);
    busy->line_count++;
}

static void busy_ended(void *arg, int result) {}

static void busy_received(void *arg, struct hf_bytes bytes) {}

static const struct stream_callbacks busy_callbacks = {.received = busy_received, .ended = busy_ended};

static void busy_keep(struct busy_host *host, struct stream *stream)
{
    unsigned slot = host->stream_count++ % 8;
    stream_close(host->streams[slot]);
    host->streams[slot] = stream;
}

static void busy_accepted(void *arg, struct stream *stream)
{
    stream_set_callbacks(stream, &busy_callbacks, arg);
    busy_keep(arg, stream);
}

static void busy_store(struct busy_host *host, const void *data, size_t size)
{
    struct io *io = sim_host_io(host->host);
    struct file *file = NULL;
    if (file_open(io, "/state", FILE_WRITE | FILE_CREATE, &file) == 0) {
        (void)file_write(file, rng_below(sim_rng(host->busy->sim), 10000), data, size);
        if (host->beats % 3 == 0) {
            (void)file_sync(file);
        }
        file_close(file);
    }
    char name[16];
    snprintf(name, sizeof(name), "/n%u", host->beats % 7);
    if (path_unlink(io, name) != 0 && file_open(io, name, FILE_WRITE | FILE_CREATE, &file) == 0) {
        (void)file_write(file, 0, data, size);
        file_close(file);
    }
    if (host->beats % 11 == 0) {
        (void)directory_sync(io, "/");
    }
}

static void busy_beat(void *arg)
{
    struct busy_host *host = arg;
    struct loop *loop = sim_host_loop(host->host);
    uint8_t data[3000];
    io_random(sim_host_io(host->host), data, sizeof(data));
    host->beats++;
    busy_store(host, data, 1 + host->beats * 37 % sizeof(data));
    if (host->beats % 20 == 1) {
        char address[32];
        struct stream *stream = NULL;
        snprintf(address, sizeof(address), "host%u:7000", data[0] % 3 + 1);
        must(stream_connect(loop, address, &busy_callbacks, host, &stream));
        busy_keep(host, stream);
    }
    for (unsigned i = 0; i < 8; i++) {
        if (host->streams[i] != NULL) {
            stream_write(host->streams[i], bytes_of(data, sizeof(data) - i));
        }
    }
    loop_timer_set(loop, &host->timer, loop_now_ms(loop) + 1 + data[1] % 16);
}

static void busy_start(struct busy_host *host)
{
    struct loop *loop = sim_host_loop(host->host);
    host->timer = (struct loop_timer){.fire = busy_beat, .arg = host};
    must(listener_open(loop, "0.0.0.0:7000", busy_accepted, host, &host->listener));
    loop_timer_set(loop, &host->timer, 0);
}

static void busy_stop(struct busy_host *host)
{
    for (unsigned i = 0; i < 8; i++) {
        stream_close(host->streams[i]);
        host->streams[i] = NULL;
    }
    listener_close(host->listener);
    host->listener = NULL;
    if (host->timer.handle != NULL) {
        loop_timer_stop(sim_host_loop(host->host), &host->timer);
    }
}

static void busy_restart(struct busy_host *host, bool power)
{
    struct loop *loop = sim_host_loop(host->host);
    if (power) {
        sim_host_power_off(host->host);
    } else {
        sim_host_kill(host->host);
    }
    loop_timer_stop(loop, &host->timer);
    busy_stop(host);
    sim_host_start(host->host);
    busy_start(host);
}

static void busy_run(struct busy *busy, uint64_t seed, const struct sim_profile *profile, unsigned rounds)
{
    const struct sim_options options = {.profile = profile, .trace = busy_trace, .trace_arg = busy};
    *busy = (struct busy){.sim = sim_open(seed, &options)};
    for (unsigned i = 0; i < 3; i++) {
        busy->hosts[i] = (struct busy_host){.busy = busy, .host = sim_host_add(busy->sim, NULL, NULL)};
        busy_start(&busy->hosts[i]);
    }
    for (unsigned round = 0; round < rounds; round++) {
        sim_run_for(busy->sim, 500 * SIM_TEST_MS);
        busy_restart(&busy->hosts[rng_below(sim_rng(busy->sim), 3)], rng_chance(sim_rng(busy->sim), 1, 2));
    }
}

static void busy_close(struct busy *busy)
{
    for (unsigned i = 0; i < 3; i++) {
        busy_stop(&busy->hosts[i]);
        assert_int_equal(sim_host_handle_count(busy->hosts[i].host), 0);
    }
    sim_close(busy->sim);
}

static void the_same_seed_gives_the_same_trace_and_another_seed_another(void **state)
{
    uint64_t digests[4];
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct sim_profile profile = sim_profile_from_seed(seed);
        profile.write_error_ppm = profile.sync_error_ppm = 10000;
        struct busy first;
        struct busy second;
        busy_run(&first, seed, &profile, 6);
        busy_run(&second, seed, &profile, 6); /* at other addresses, while the first is still there */
        assert_true(first.line_count > 1000);
        assert_int_equal(first.line_count, second.line_count);
        assert_true(first.trace_digest == second.trace_digest);
        assert_true(sim_trace_hash(first.sim) == sim_trace_hash(second.sim));
        for (unsigned fault = 0; fault < SIM_FAULT_COUNT; fault++) {
            assert_int_equal(sim_fault_count(first.sim, fault), sim_fault_count(second.sim, fault));
        }
        digests[seed - 1] = first.trace_digest;
        busy_close(&first);
        busy_close(&second);
    }
    assert_true(digests[0] != digests[1] && digests[1] != digests[2] && digests[2] != digests[3]);
}

static void the_hash_of_the_trace_does_not_need_a_sink(void **state)
{
    struct busy busy;
    struct sim_profile profile = sim_profile_from_seed(7);
    busy_run(&busy, 7, &profile, 1);
    const struct sim_options silent = {.profile = &profile};
    struct sim *with = sim_open(7, &(struct sim_options){.trace = busy_trace, .trace_arg = &busy});
    struct sim *without = sim_open(7, &silent);
    sim_trace(with, NULL, "a line of the harness, number %d", 1);
    sim_trace(without, NULL, "a line of the harness, number %d", 1);
    assert_true(sim_trace_hash(with) == sim_trace_hash(without));
    sim_trace(with, NULL, "another");
    assert_true(sim_trace_hash(with) != sim_trace_hash(without));
    sim_close(with);
    sim_close(without);
    busy_close(&busy);
}

/* Over some profiles every kind of fault happens: none is dead code, and none needs luck. */
static void every_kind_of_fault_happens_over_enough_seeds(void **state)
{
    uint64_t happened[SIM_FAULT_COUNT] = {0};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct sim_profile profile = sim_profile_from_seed(seed);
        profile.read_error_ppm = profile.write_error_ppm = profile.sync_error_ppm = 3000;
        profile.garble_ppm = profile.misdirect_ppm = 10000;
        struct busy busy;
        busy_run(&busy, seed, &profile, 20);
        must(sim_disk_flip_random_bit(busy.hosts[0].host, "state", NULL, NULL));
        for (unsigned fault = 0; fault < SIM_FAULT_COUNT; fault++) {
            happened[fault] += sim_fault_count(busy.sim, fault);
        }
        busy_close(&busy);
    }
    for (unsigned fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        /* These need calls that the busy world does not make; they have tests of their own. */
        bool elsewhere = fault == SIM_FAULT_NO_SPACE || fault == SIM_FAULT_LATE_WRITE ||
                         fault == SIM_FAULT_READ_ERROR || fault == SIM_FAULT_UNIT_LOST ||
                         fault == SIM_FAULT_UNIT_DUPLICATED || fault == SIM_FAULT_UNIT_REORDERED;
        if (!elsewhere && happened[fault] == 0) {
            fail_msg("%s never happened", sim_fault_name(fault));
        }
    }
}

static void calm_weather_heals_everything(void **state)
{
    struct sim_profile profile = sim_profile_from_seed(1);
    profile.partition_gap_ns = profile.cut_gap_ns = profile.pause_gap_ns = 20 * SIM_TEST_MS;
    struct busy busy;
    busy_run(&busy, 1, &profile, 3);
    assert_true(sim_fault_count(busy.sim, SIM_FAULT_PARTITION) > 10);
    sim_calm(busy.sim);
    uint64_t before[SIM_FAULT_COUNT];
    for (unsigned fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        before[fault] = sim_fault_count(busy.sim, fault);
    }
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) {
            assert_false(sim_link_is_cut(busy.hosts[i].host, busy.hosts[j].host));
        }
        unsigned beats = busy.hosts[i].beats;
        sim_run_for(busy.sim, 300 * SIM_TEST_MS);
        assert_true(busy.hosts[i].beats > beats + 10);
    }
    for (unsigned fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        bool aftermath = fault == SIM_FAULT_BYTES_LOST || fault == SIM_FAULT_LATE_BYTES;
        assert_true(aftermath || sim_fault_count(busy.sim, fault) == before[fault]);
    }
    busy_close(&busy);
}

static void sheltered_hosts_see_no_weather(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    profile.pause_gap_ns = profile.clock_jump_gap_ns = profile.disk_stall_gap_ns = 10 * SIM_TEST_MS;
    profile.pause_lasts_ns = profile.disk_stall_lasts_ns = (struct sim_span){1, SIM_TEST_MS};
    const struct sim_options options = {.profile = &profile};
    const struct sim_host_options sheltered = {.sheltered = 1};
    struct sim *sim = sim_open(1, &options);
    sim_host_add(sim, "client", &sheltered);
    sim_run_for(sim, 1000 * SIM_TEST_MS);
    assert_int_equal(sim_fault_count(sim, SIM_FAULT_PAUSE), 0);
    sim_host_add(sim, "node", NULL);
    sim_run_for(sim, 1000 * SIM_TEST_MS);
    assert_true(sim_fault_count(sim, SIM_FAULT_PAUSE) > 20);
    assert_true(sim_fault_count(sim, SIM_FAULT_CLOCK_JUMP) > 20);
    sim_close(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_run_by_time_and_then_by_order),
        cmocka_unit_test(the_same_seed_gives_the_same_trace_and_another_seed_another),
        cmocka_unit_test(the_hash_of_the_trace_does_not_need_a_sink),
        cmocka_unit_test(every_kind_of_fault_happens_over_enough_seeds),
        cmocka_unit_test(calm_weather_heals_everything),
        cmocka_unit_test(sheltered_hosts_see_no_weather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
