/* links: server sim */
/* What a snapshot of the real store costs in memory while writes go on: pages are copied, and their number has a cap.
 */
#include "server_fixture.h"

#include "base/rng.h"

#define KEYS     8000u
#define VALUE    400u /* small enough to lie in pages */
#define COPY_MAX (1u << 20)

static struct client writer;
static struct rng rng;

/* Sends SETs of random keys without waiting. */
static void send_sets(unsigned first, unsigned count, bool is_random)
{
    struct buffer out = {0};
    for (unsigned i = 0; i < count; i++) {
        unsigned number = is_random ? (unsigned)rng_below(&rng, KEYS) : first + i;
        buffer_format(&out, "*3\r\n$3\r\nSET\r\n$10\r\nkey:%06u\r\n$%u\r\n", number, VALUE);
        uint8_t *value = buffer_extend(&out, VALUE);
        for (unsigned k = 0; k < VALUE; k++) {
            value[k] = (uint8_t)('a' + rng_below(&rng, 26));
        }
        buffer_append_text(&out, "\r\n");
    }
    stream_write(writer.stream, buffer_bytes(&out));
    buffer_close(&out);
}

static uint64_t held_bytes(const struct fixture_node *node)
{
    return server_machine_ops()->held_bytes(node_machine(node->node, NODE_GROUP_FIRST));
}

/* Takes a snapshot over a connection of its own, with writes meanwhile; returns the most that its cut held. The
 * worker is slow: each piece of its work begins 50 ms late. */
static uint64_t save_under_writes(struct fixture *fixture, unsigned leader, unsigned sets_per_ms, const char *pattern)
{
    struct fixture_node *node = &fixture->nodes[leader];
    struct client saver;
    uint64_t most = 0;
    unsigned sent = 0;
    client_open(&saver, fixture, leader);
    client_send(&saver, "SAVE\r\n");
    saver.wanted = 1;
    for (unsigned ms = 0; ms < 20000 && !client_has_values(&saver); ms++) {
        send_sets(0, sets_per_ms, true);
        sent += sets_per_ms;
        fixture_run_ms(fixture, 1);
        most = held_bytes(node) > most ? held_bytes(node) : most;
    }
    const char *answer = client_take(&saver, 1);
    if (!client_fits(answer, pattern)) {
        fail_msg("SAVE answered %s", answer);
    }
    (void)client_take(&writer, sent);
    client_close(&saver);
    return most;
}

static void a_snapshot_whose_cut_makes_writes_copy_too_many_pages_fails_and_gives_them_back(void **state)
{
    struct fixture fixture;
    struct node_snapshot_status status;
    rng_seed(&rng, 1);
    fixture_snapshot = (struct node_snapshot_options){.entries = UINT64_MAX,
                                                      .log_bytes = UINT64_MAX,
                                                      .interval_ms = UINT64_MAX,
                                                      .copy_bytes_max = COPY_MAX,
                                                      .format = {.compression = HF_SNAPSHOT_NONE},
                                                      .sync_bytes = 256 << 10};
    fixture_open(&fixture, 1, 1, 7);
    int leader = fixture_leader(&fixture, NODE_GROUP_FIRST);
    assert_true(leader >= 0);
    client_open(&writer, &fixture, (unsigned)leader);
    send_sets(0, KEYS, false);
    (void)client_take(&writer, KEYS);
    struct fixture_node *node = &fixture.nodes[leader];
    struct sim_profile slow = sim_profile_calm();
    slow.work_ns = (struct sim_span){50 * 1000000ull, 50 * 1000000ull};
    sim_set_profile(fixture.sim, &slow);
    /* A few writes copy a few pages. */
    uint64_t most = save_under_writes(&fixture, (unsigned)leader, 1, "+OK\r\n");
    assert_true(most > 0 && most <= COPY_MAX);
    assert_true(held_bytes(node) == 0);
    /* Many writes copy nearly all of them. */
    most =
        save_under_writes(&fixture, (unsigned)leader, 50, "-ERR the snapshot failed~copied pages~snapshot.copy_max~");
    assert_true(most > COPY_MAX);
    fixture_run_ms(&fixture, 1000);
    assert_true(held_bytes(node) == 0);
    node_snapshot_status(node->node, &status);
    assert_true(status.failed == 1 && status.failed_in_row == 1);
    /* Nothing is wrong afterwards. */
    (void)save_under_writes(&fixture, (unsigned)leader, 1, "+OK\r\n");
    assert_true(held_bytes(node) == 0);
    client_close(&writer);
    fixture_close(&fixture);
    fixture_snapshot = (struct node_snapshot_options){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_whose_cut_makes_writes_copy_too_many_pages_fails_and_gives_them_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
