/* Connections: what TCP keeps, and everything that it does not. */
#include "unit/sim/sim_talk.h"

static void bytes_arrive_in_order_and_once_in_both_directions(void **state)
{
    struct talk talk;
    talk_open(&talk, 1, NULL);
    talk_connect(&talk, "host2:7000");
    talk_say(&talk.client, "before it is connected, ");
    talk_run_ms(&talk, 10);
    assert_int_equal(talk.client.connected, 1);
    assert_int_equal(talk.client.connect_result, 0);
    assert_int_equal(talk.accepted, 1);
    talk_say(&talk.client, "and ");
    talk_say(&talk.client, "after");
    talk_say(&talk.server, "hello");
    talk_run_ms(&talk, 10);
    assert_true(end_has(&talk.server, "before it is connected, and after"));
    assert_true(end_has(&talk.client, "hello"));
    assert_string_equal(stream_peer_address(talk.client.stream), "host2:7000");
    assert_non_null(strstr(stream_peer_address(talk.server.stream), "host1:"));
    talk_close_client(&talk);
    talk_run_ms(&talk, 10);
    assert_int_equal(talk.server.ended, 1);
    assert_int_equal(talk.server.end_result, 0);
    talk_close(&talk);
}

static void addresses_are_names_of_hosts_or_of_listeners(void **state)
{
    struct talk talk;
    struct listener *other = NULL;
    struct loop *server_loop;
    talk_open(&talk, 1, NULL);
    server_loop = sim_host_loop(talk.server_host);
    assert_string_equal(listener_address(talk.listener), "host2:7000");
    assert_int_equal(listener_open(server_loop, "host2:7000", talk_accepted, &talk, &other), HF_EBUSY);
    assert_int_equal(listener_open(server_loop, "nonsense", talk_accepted, &talk, &other), HF_EINVALID);
    assert_int_equal(listener_open(server_loop, "host1:1", talk_accepted, &talk, &other), HF_EINVALID);
    must(listener_open(server_loop, "db.example:0", talk_accepted, &talk, &other));
    talk_connect(&talk, listener_address(other));
    talk_run_ms(&talk, 10);
    assert_int_equal(talk.client.connect_result, 0);
    assert_int_equal(talk.accepted, 1);
    talk_close_client(&talk);
    listener_close(other);
    static const char *const refused[] = {"host2:7001", "nowhere:7000", "localhost:7000", "db.example:40001"};
    for (unsigned i = 0; i < 4; i++) {
        talk_connect(&talk, refused[i]);
        talk_run_ms(&talk, 10);
        assert_int_equal(talk.client.connected, 1);
        assert_int_equal(talk.client.connect_result, HF_EIO);
        assert_int_equal(talk.client.ended, 0);
        talk_close_client(&talk);
    }
    talk_close(&talk);
}

static void a_paused_reader_holds_the_writer_back(void **state)
{
    struct talk talk;
    talk_open(&talk, 1, NULL);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    stream_pause(talk.server.stream);
    talk_say_much(&talk.client, 0, 4u << 20);
    assert_int_equal(stream_unsent_bytes(talk.client.stream), 4u << 20);
    talk_run_ms(&talk, 1000);
    assert_int_equal(talk.server.received.size, 0);
    assert_true(stream_unsent_bytes(talk.client.stream) > 3u << 20);
    assert_int_equal(talk.client.drained, 0);
    stream_resume(talk.server.stream);
    talk_run_ms(&talk, 1000);
    talk_check_much(&talk.server, 4u << 20);
    assert_int_equal(talk.client.drained, 1);
    assert_int_equal(stream_unsent_bytes(talk.client.stream), 0);
    talk_close(&talk);
}

static void close_when_sent_sends_everything_first(void **state)
{
    struct talk talk;
    talk_open(&talk, 1, NULL);
    talk_connect(&talk, "host2:7000");
    talk_say_much(&talk.client, 0, 2u << 20);
    stream_close_when_sent(talk.client.stream); /* even before it is connected */
    talk.client.stream = NULL;
    assert_int_equal(sim_host_handle_count(talk.client_host), 0);
    talk_run_ms(&talk, 1000);
    talk_check_much(&talk.server, 2u << 20);
    assert_int_equal(talk.server.ended, 1);
    assert_int_equal(talk.server.end_result, 0);
    talk_close(&talk);
}

static void chunks_are_cut_anywhere_and_lose_nothing(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    profile.link.chunk_ppm = 900000;
    profile.link.slow_ppm = 300000;
    struct talk talk;
    talk_open(&talk, 1, &profile);
    talk_connect(&talk, "host2:7000");
    for (unsigned i = 0; i < 50; i++) {
        talk_say_much(&talk.client, i * 1000, 1000);
        talk_run_ms(&talk, 1);
    }
    talk_run_ms(&talk, 10000);
    talk_check_much(&talk.server, 50000);
    assert_true(talk.server.deliveries > 60);
    assert_true(sim_fault_count(talk.sim, SIM_FAULT_CHUNK) > 10);
    assert_true(sim_fault_count(talk.sim, SIM_FAULT_SLOW) > 10);
    talk_close(&talk);
}

static void a_narrow_link_takes_its_time(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    struct talk talk;
    talk_open(&talk, 1, &profile);
    profile.link.bandwidth_bytes_per_s = 100000;
    sim_link_set(talk.client_host, talk.server_host, &profile.link);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    talk_say_much(&talk.client, 0, 300000);
    talk_run_ms(&talk, 1500);
    assert_true(talk.server.received.size > 50000 && talk.server.received.size < 200000);
    talk_run_ms(&talk, 3000);
    talk_check_much(&talk.server, 300000);
    talk_close(&talk);
}

static void a_reset_cuts_each_direction_at_any_byte(void **state)
{
    unsigned client_got[3] = {0};
    unsigned server_got[3] = {0};
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct talk talk;
        talk_open(&talk, seed, NULL);
        talk_connect(&talk, "host2:7000");
        talk_run_ms(&talk, 10);
        talk_say_much(&talk.client, 0, 1000);
        talk_say_much(&talk.server, 0, 1000);
        while (stream_unsent_bytes(talk.client.stream) > 0 || stream_unsent_bytes(talk.server.stream) > 0) {
            assert_true(sim_step(talk.sim));
        }
        sim_link_reset(talk.client_host, talk.server_host);
        talk_say(&talk.client, "lost");
        talk_run_ms(&talk, 1000);
        assert_int_equal(talk.client.ended, 1);
        assert_int_equal(talk.client.end_result, HF_EIO);
        assert_int_equal(talk.server.ended, 1);
        assert_int_equal(talk.server.end_result, HF_EIO);
        talk_check_much(&talk.client, talk.client.received.size);
        talk_check_much(&talk.server, talk.server.received.size);
        client_got[talk.client.received.size == 0 ? 0 : talk.client.received.size < 1000 ? 1 : 2]++;
        server_got[talk.server.received.size == 0 ? 0 : talk.server.received.size < 1000 ? 1 : 2]++;
        talk_close(&talk);
    }
    assert_true(client_got[1] > SIM_TEST_SEEDS / 2);
    assert_true(server_got[1] > SIM_TEST_SEEDS / 2);
}

static void a_cut_direction_waits_for_its_heal_and_the_other_goes_on(void **state)
{
    struct talk talk;
    talk_open(&talk, 1, NULL);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    sim_link_cut(talk.client_host, talk.server_host);
    assert_true(sim_link_is_cut(talk.client_host, talk.server_host));
    assert_false(sim_link_is_cut(talk.server_host, talk.client_host));
    talk_say(&talk.client, "late");
    talk_say(&talk.server, "at once");
    talk_run_ms(&talk, 1000);
    assert_true(end_has(&talk.client, "at once"));
    assert_int_equal(talk.server.received.size, 0);
    sim_link_heal(talk.client_host, talk.server_host);
    talk_run_ms(&talk, 10);
    assert_true(end_has(&talk.server, "late"));
    assert_int_equal(talk.client.ended + talk.server.ended, 0);
    assert_int_equal(sim_fault_count(talk.sim, SIM_FAULT_CUT), 1);
    talk_close(&talk);
}

static void a_cut_that_lasts_breaks_the_connection(void **state)
{
    struct talk talk;
    talk_open(&talk, 1, NULL);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    struct sim_host *side[] = {talk.server_host};
    sim_network_partition(talk.sim, side, 1);
    talk_run_ms(&talk, 60000);
    assert_int_equal(talk.client.ended + talk.server.ended, 0); /* nobody spoke: nobody knows */
    talk_say(&talk.client, "hello?");
    talk_run_ms(&talk, 60000);
    assert_int_equal(talk.client.end_result, HF_EIO);
    assert_int_equal(talk.server.end_result, HF_EIO);
    assert_int_equal(talk.server.received.size, 0);
    talk_close_client(&talk);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 1000);
    assert_int_equal(talk.client.connected, 0);
    sim_network_heal(talk.sim);
    talk_run_ms(&talk, 2000);
    assert_int_equal(talk.client.connect_result, 0);
    assert_int_equal(talk.client.connected, 1);
    talk_close_client(&talk);
    sim_network_partition(talk.sim, side, 1);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 60000);
    assert_int_equal(talk.client.connected, 1);
    assert_int_equal(talk.client.connect_result, HF_EIO);
    talk_close(&talk);
}

static void an_end_that_a_cut_holds_back_is_found_in_the_end(void **state)
{
    struct talk talk;
    talk_open(&talk, 1, NULL);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    sim_link_cut(talk.client_host, talk.server_host);
    talk_say(&talk.client, "bye");
    talk_run_ms(&talk, 1);
    talk_close_client(&talk);
    talk_run_ms(&talk, 1000);
    assert_int_equal(talk.server.ended, 0);
    talk_run_ms(&talk, 60000);
    assert_int_equal(talk.server.ended, 1);
    assert_int_equal(talk.server.end_result, HF_EIO);
    talk_close(&talk);
}

static void GE_bytes_of_an_old_connection_can_arrive_after_a_newer_one_spoke(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    profile.link.half_open_ppm = 1000000;
    unsigned late = 0;
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct talk talk;
        talk_open(&talk, seed, &profile);
        talk_connect(&talk, "host2:7000");
        talk_run_ms(&talk, 10);
        struct end old = talk.server; /* kept open, unlike in talk_accepted */
        stream_set_callbacks(old.stream, &end_callbacks, &old);
        talk.server = (struct end){0};
        for (unsigned i = 0; i < 10; i++) {
            talk_say_much(&talk.client, i * 100, 100);
        }
        while (stream_unsent_bytes(talk.client.stream) > 0) {
            assert_true(sim_step(talk.sim));
        }
        sim_link_reset(talk.client_host, talk.server_host);
        talk_run_ms(&talk, 100);
        talk_close_client(&talk);
        talk_connect(&talk, "host2:7000");
        talk_say(&talk.client, "new");
        talk_run_ms(&talk, 100);
        bool newer_spoke = end_has(&talk.server, "new");
        assert_true(newer_spoke);
        size_t before = old.received.size;
        talk_run_ms(&talk, 60000);
        late += old.received.size > before;
        assert_true(sim_fault_count(talk.sim, SIM_FAULT_LATE_BYTES) > 0 || old.received.size == before);
        assert_int_equal(old.ended, 1);
        stream_close(old.stream);
        buffer_close(&old.received);
        talk_close(&talk);
    }
    assert_true(late > 20);
}

static void connects_are_refused_or_reset_as_often_as_the_link_says(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    profile.link.refuse_ppm = 300000;
    profile.link.accept_reset_ppm = 300000;
    unsigned refused = 0;
    unsigned broken = 0;
    struct talk talk;
    talk_open(&talk, 1, &profile);
    for (unsigned i = 0; i < 100; i++) {
        talk_connect(&talk, "host2:7000");
        talk_run_ms(&talk, 20);
        assert_int_equal(talk.client.connected, 1);
        refused += talk.client.connect_result != 0;
        broken += talk.client.ended;
        talk_close_client(&talk);
    }
    assert_true(refused > 10 && refused < 60);
    assert_true(broken > 10 && broken < 60);
    assert_int_equal(sim_fault_count(talk.sim, SIM_FAULT_CONNECT_REFUSED), refused);
    assert_int_equal(sim_fault_count(talk.sim, SIM_FAULT_ACCEPT_RESET), broken);
    talk_close(&talk);
}

static void whole_writes_are_lost_doubled_and_reordered_only_when_asked(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    profile.link.unit_loss_ppm = 200000;
    profile.link.unit_duplicate_ppm = 200000;
    profile.link.unit_reorder_ppm = 200000;
    struct talk talk;
    unsigned seen[256] = {0};
    unsigned lost = 0;
    unsigned doubled = 0;
    unsigned swapped = 0;
    talk_open(&talk, 1, &profile);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    for (unsigned i = 0; i < 256; i++) {
        uint8_t unit[100];
        memset(unit, (int)i, sizeof(unit));
        stream_write(talk.client.stream, bytes_of(unit, sizeof(unit)));
    }
    talk_run_ms(&talk, 1000);
    const struct buffer *received = &talk.server.received;
    assert_int_equal(received->size % 100, 0);
    for (size_t at = 0; at < received->size; at += 100) {
        for (unsigned i = 1; i < 100; i++) {
            assert_int_equal(received->data[at + i], received->data[at]);
        }
        seen[received->data[at]]++;
        swapped += at > 0 && received->data[at] < received->data[at - 100];
    }
    for (unsigned i = 0; i < 256; i++) {
        lost += seen[i] == 0;
        doubled += seen[i] == 2;
    }
    assert_int_equal(lost, sim_fault_count(talk.sim, SIM_FAULT_UNIT_LOST));
    assert_int_equal(doubled, sim_fault_count(talk.sim, SIM_FAULT_UNIT_DUPLICATED));
    assert_true(lost > 20 && doubled > 20 && swapped > 10);
    talk_close(&talk);
}

static void a_killed_process_ends_its_connections_and_a_lost_host_is_noticed_late(void **state)
{
    struct talk talk;
    talk_open(&talk, 1, NULL);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    sim_host_kill(talk.server_host);
    talk_run_ms(&talk, 10);
    assert_int_equal(talk.client.ended, 1);
    talk_close_client(&talk);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    assert_int_equal(talk.client.connect_result, HF_EIO); /* nobody listens */
    talk_close_client(&talk);

    stream_close(talk.server.stream);
    talk.server.stream = NULL;
    listener_close(talk.listener);
    sim_host_start(talk.server_host);
    must(listener_open(sim_host_loop(talk.server_host), "host2:7000", talk_accepted, &talk, &talk.listener));
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    assert_int_equal(talk.client.connect_result, 0);
    talk_say(&talk.server, "last words");
    talk_run_ms(&talk, 10);
    sim_host_power_off(talk.server_host);
    talk_run_ms(&talk, 900);
    assert_true(end_has(&talk.client, "last words"));
    assert_int_equal(talk.client.ended, 0);
    talk_run_ms(&talk, 5000);
    assert_int_equal(talk.client.ended, 1);
    assert_int_equal(talk.client.end_result, HF_EIO);
    talk_close(&talk);
}

static void what_a_process_says_after_its_power_went_never_arrives(void **state)
{
    struct talk talk;
    talk_open(&talk, 1, NULL);
    talk_connect(&talk, "host2:7000");
    talk_run_ms(&talk, 10);
    sim_disk_cut_at(talk.server_host, 1, SIM_CUT_AFTER);
    talk_say(&talk.server, "A");
    must(directory_sync(sim_host_io(talk.server_host), "/"));
    talk_say(&talk.server, "B");
    talk_run_ms(&talk, 60000);
    assert_int_equal(talk.client.received.size, 0);
    assert_int_equal(talk.client.ended, 1);
    sim_host_power_off(talk.server_host);
    talk_close(&talk);
}

static void loopback_is_spared(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    profile.link.refuse_ppm = profile.link.reset_ppm = profile.link.chunk_ppm = 1000000;
    struct talk talk;
    talk_open(&talk, 1, &profile);
    talk.client_host = talk.server_host;
    sim_network_partition(talk.sim, &talk.server_host, 1);
    talk_connect(&talk, "127.0.0.1:7000");
    talk_say_much(&talk.client, 0, 1u << 20);
    talk_run_ms(&talk, 1000);
    talk_check_much(&talk.server, 1u << 20);
    talk_close(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order_and_once_in_both_directions),
        cmocka_unit_test(addresses_are_names_of_hosts_or_of_listeners),
        cmocka_unit_test(a_paused_reader_holds_the_writer_back),
        cmocka_unit_test(close_when_sent_sends_everything_first),
        cmocka_unit_test(chunks_are_cut_anywhere_and_lose_nothing),
        cmocka_unit_test(a_narrow_link_takes_its_time),
        cmocka_unit_test(a_reset_cuts_each_direction_at_any_byte),
        cmocka_unit_test(a_cut_direction_waits_for_its_heal_and_the_other_goes_on),
        cmocka_unit_test(a_cut_that_lasts_breaks_the_connection),
        cmocka_unit_test(an_end_that_a_cut_holds_back_is_found_in_the_end),
        cmocka_unit_test(GE_bytes_of_an_old_connection_can_arrive_after_a_newer_one_spoke),
        cmocka_unit_test(connects_are_refused_or_reset_as_often_as_the_link_says),
        cmocka_unit_test(whole_writes_are_lost_doubled_and_reordered_only_when_asked),
        cmocka_unit_test(a_killed_process_ends_its_connections_and_a_lost_host_is_noticed_late),
        cmocka_unit_test(what_a_process_says_after_its_power_went_never_arrives),
        cmocka_unit_test(loopback_is_spared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
