/* Turns, timers, hooks, posts, clocks and pauses of a simulated loop. */
#include <stdio.h>

#include "unit/sim/sim_testing.h"

struct diary {
    struct loop *loop;
    struct loop_timer timer;
    struct loop_hook hook;
    struct loop_hook second;
    char text[512];
};

static void note(struct diary *diary, const char *word)
{
    strcat(diary->text, word);
    strcat(diary->text, " ");
}

static void posted_a(void *arg)
{
    note(arg, "a");
}

static void posted_b(void *arg)
{
    note(arg, "b");
}

static void fired(void *arg)
{
    note(arg, "timer");
}

static void ended(void *arg)
{
    note(arg, "end");
}

static void ended_too(void *arg)
{
    note(arg, "end2");
}

static void a_turn_takes_all_that_is_ready_and_then_the_hooks_in_order(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct diary diary = {.loop = sim_host_loop(world.host)};
    diary.timer = (struct loop_timer){.fire = fired, .arg = &diary};
    diary.hook = (struct loop_hook){.call = ended, .arg = &diary};
    diary.second = (struct loop_hook){.call = ended_too, .arg = &diary};
    loop_add_turn_end(diary.loop, &diary.hook);
    loop_add_turn_end(diary.loop, &diary.second);
    loop_post(diary.loop, posted_a, &diary);
    loop_post(diary.loop, posted_b, &diary);
    assert_string_equal(diary.text, ""); /* never from inside a call */
    sim_run_for(world.sim, SIM_TEST_MS);
    assert_string_equal(diary.text, "a b end end2 ");
    loop_remove_turn_end(diary.loop, &diary.hook);
    loop_timer_set(diary.loop, &diary.timer, 0);
    sim_run_for(world.sim, SIM_TEST_MS);
    assert_string_equal(diary.text, "a b end end2 timer end2 ");
    assert_null(diary.timer.handle);
    loop_remove_turn_end(diary.loop, &diary.second);
    sim_close(world.sim);
}

static void timers_fire_when_due_and_can_be_moved_and_stopped(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct diary diary = {.loop = sim_host_loop(world.host)};
    diary.timer = (struct loop_timer){.fire = fired, .arg = &diary};
    uint64_t now_ms = loop_now_ms(diary.loop);
    loop_timer_set(diary.loop, &diary.timer, now_ms + 10);
    loop_timer_set(diary.loop, &diary.timer, now_ms + 30);
    sim_run_for(world.sim, 28 * SIM_TEST_MS);
    assert_string_equal(diary.text, "");
    sim_run_for(world.sim, 4 * SIM_TEST_MS);
    assert_string_equal(diary.text, "timer ");
    loop_timer_set(diary.loop, &diary.timer, now_ms + 50);
    loop_timer_stop(diary.loop, &diary.timer);
    loop_timer_stop(diary.loop, &diary.timer);
    loop_timer_set(diary.loop, &diary.timer, UINT64_MAX); /* never */
    sim_run_for(world.sim, 1000000 * SIM_TEST_MS);
    assert_string_equal(diary.text, "timer ");
    assert_int_equal(sim_host_handle_count(world.host), 1);
    loop_timer_stop(diary.loop, &diary.timer);
    sim_close(world.sim);
}

static void rearm(void *arg)
{
    struct diary *diary = arg;
    note(diary, "t");
    loop_timer_set(diary->loop, &diary->timer, loop_now_ms(diary->loop) + 10);
}

static void a_paused_process_runs_no_turn_and_catches_up_in_one(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct diary diary = {.loop = sim_host_loop(world.host)};
    diary.timer = (struct loop_timer){.fire = rearm, .arg = &diary};
    diary.hook = (struct loop_hook){.call = ended, .arg = &diary};
    loop_add_turn_end(diary.loop, &diary.hook);
    loop_timer_set(diary.loop, &diary.timer, 0);
    sim_run_for(world.sim, SIM_TEST_MS);
    assert_string_equal(diary.text, "t end ");
    sim_host_pause(world.host, 100 * SIM_TEST_MS);
    loop_post(diary.loop, posted_a, &diary);
    sim_run_for(world.sim, 99 * SIM_TEST_MS);
    assert_string_equal(diary.text, "t end ");
    sim_run_for(world.sim, 2 * SIM_TEST_MS);
    assert_string_equal(diary.text, "t end a t end ");
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_PAUSE), 1);
    loop_timer_stop(diary.loop, &diary.timer);
    loop_remove_turn_end(diary.loop, &diary.hook);
    sim_close(world.sim);
}

static void clocks_are_the_hosts_own(void **state)
{
    struct sim *sim = sim_open(1, NULL);
    const struct sim_host_options skewed = {.wall_skew_ms = -90000};
    struct sim_host *a = sim_host_add(sim, NULL, NULL);
    struct sim_host *b = sim_host_add(sim, NULL, &skewed);
    assert_string_equal(sim_host_name(a), "host1");
    assert_string_equal(sim_host_name(b), "host2");
    assert_true(io_monotonic_ns(sim_host_io(a)) != io_monotonic_ns(sim_host_io(b)));
    assert_int_equal(io_wall_ms(sim_host_io(a)) - io_wall_ms(sim_host_io(b)), 90000);
    uint64_t start_ns = io_monotonic_ns(sim_host_io(a));
    uint64_t wall_ms = io_wall_ms(sim_host_io(a));
    sim_run_for(sim, 5000 * SIM_TEST_MS);
    sim_host_jump_clock(a, -60000);
    assert_int_equal(io_monotonic_ns(sim_host_io(a)) - start_ns, 5000 * SIM_TEST_MS);
    assert_int_equal(io_wall_ms(sim_host_io(a)), wall_ms + 5000 - 60000);
    assert_int_equal(sim_fault_count(sim, SIM_FAULT_CLOCK_JUMP), 1);
    uint64_t random_a = 0;
    uint64_t random_b = 0;
    io_random(sim_host_io(a), &random_a, sizeof(random_a));
    io_random(sim_host_io(b), &random_b, sizeof(random_b));
    assert_true(random_a != random_b);
    sim_close(sim);
}

static void a_stopped_process_hears_nothing_and_its_objects_can_still_be_closed(void **state)
{
    for (unsigned power = 0; power < 2; power++) {
        struct sim_test_world world = sim_test_open(1);
        struct diary diary = {.loop = sim_host_loop(world.host)};
        struct loop *shard = sim_host_add_loop(world.host);
        diary.timer = (struct loop_timer){.fire = fired, .arg = &diary};
        diary.hook = (struct loop_hook){.call = ended, .arg = &diary};
        loop_add_turn_end(shard, &diary.hook);
        loop_timer_set(diary.loop, &diary.timer, 0);
        loop_post(diary.loop, posted_a, &diary);
        loop_post(shard, posted_b, &diary);
        if (power == 0) {
            sim_host_kill(world.host);
        } else {
            sim_host_power_off(world.host);
        }
        sim_host_start(world.host);
        sim_run_for(world.sim, 1000 * SIM_TEST_MS);
        assert_string_equal(diary.text, "");
        loop_post(diary.loop, posted_a, &diary); /* into the void */
        loop_timer_set(diary.loop, &diary.timer, 0);
        assert_null(diary.timer.handle);
        loop_remove_turn_end(shard, &diary.hook);
        loop_close(shard);
        assert_ptr_not_equal(sim_host_loop(world.host), diary.loop);
        assert_int_equal(sim_host_handle_count(world.host), 0);
        sim_close(world.sim);
    }
}

static void posts_made_before_a_loop_closes_run(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct diary diary = {.loop = sim_host_add_loop(world.host)};
    loop_post(diary.loop, posted_a, &diary);
    loop_close(diary.loop);
    assert_string_equal(diary.text, "a ");
    sim_close(world.sim);
}

static void shuffled_turns_keep_the_order_of_each_source(void **state)
{
    unsigned timer_first = 0;
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct sim_profile profile = sim_profile_calm();
        profile.shuffle_ppm = 1000000;
        const struct sim_options options = {.profile = &profile};
        struct sim *sim = sim_open(seed, &options);
        struct diary diary = {.loop = sim_host_loop(sim_host_add(sim, NULL, NULL))};
        diary.timer = (struct loop_timer){.fire = fired, .arg = &diary};
        loop_timer_set(diary.loop, &diary.timer, 0);
        loop_post(diary.loop, posted_a, &diary);
        loop_post(diary.loop, posted_b, &diary);
        sim_run_for(sim, SIM_TEST_MS);
        bool first = strcmp(diary.text, "timer a b ") == 0;
        assert_true(first || strcmp(diary.text, "a b timer ") == 0);
        timer_first += first;
        sim_close(sim);
    }
    assert_true(timer_first > 50 && timer_first < 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_takes_all_that_is_ready_and_then_the_hooks_in_order),
        cmocka_unit_test(timers_fire_when_due_and_can_be_moved_and_stopped),
        cmocka_unit_test(a_paused_process_runs_no_turn_and_catches_up_in_one),
        cmocka_unit_test(clocks_are_the_hosts_own),
        cmocka_unit_test(a_stopped_process_hears_nothing_and_its_objects_can_still_be_closed),
        cmocka_unit_test(posts_made_before_a_loop_closes_run),
        cmocka_unit_test(shuffled_turns_keep_the_order_of_each_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
