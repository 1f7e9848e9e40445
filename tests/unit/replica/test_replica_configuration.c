/* The members of a group as bytes, and as libraft sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "replica/replica_configuration.h"

static const struct replica_member three[] = {
    {1, REPLICA_ROLE_VOTER},
    {7, REPLICA_ROLE_STANDBY},
    {UINT64_MAX, REPLICA_ROLE_SPARE},
};

static void a_configuration_is_encoded_as_it_is_drawn(void **state)
{
    struct buffer out = {0};
    replica_configuration_encode(three, 3, &out);
    static const uint8_t drawn[] = {
        1,   3,                                    /* version, count */
        1,   0,   0,   0,   0,   0,   0,   0,   0, /* node 1, voter */
        7,   0,   0,   0,   0,   0,   0,   0,   1, /* node 7, stand-by */
        255, 255, 255, 255, 255, 255, 255, 255, 2, /* the last node id, spare */
    };
    assert_int_equal(out.size, sizeof(drawn));
    assert_memory_equal(out.data, drawn, sizeof(drawn));
    buffer_close(&out);
}

static unsigned random_members(struct rng *rng, struct replica_member *members)
{
    unsigned count = 1 + (unsigned)rng_below(rng, REPLICA_MEMBERS_MAX);
    uint64_t node_id = 0;
    for (unsigned i = 0; i < count; i++) {
        node_id += 1 + rng_below(rng, 1000);
        members[i] = (struct replica_member){node_id, (enum replica_role)rng_below(rng, 3)};
    }
    members[rng_below(rng, count)].role = REPLICA_ROLE_VOTER;
    return count;
}

static void assert_same_members(const struct replica_member *a, unsigned a_count, const struct replica_member *b,
                                unsigned b_count)
{
    assert_int_equal(a_count, b_count);
    for (unsigned i = 0; i < a_count; i++) {
        assert_true(a[i].node_id == b[i].node_id);
        assert_int_equal(a[i].role, b[i].role);
    }
}

static void members_survive_our_encoding_and_libraft_s(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1);
    for (unsigned round = 0; round < 500; round++) {
        struct replica_member members[REPLICA_MEMBERS_MAX];
        struct replica_member decoded[REPLICA_MEMBERS_MAX];
        unsigned decoded_count;
        unsigned count = random_members(&rng, members);
        struct buffer out = {0};
        replica_configuration_encode(members, count, &out);
        assert_int_equal(replica_configuration_decode(buffer_bytes(&out), decoded, &decoded_count), 0);
        assert_same_members(members, count, decoded, decoded_count);
        buffer_close(&out);

        struct raft_buffer buffer;
        struct raft_configuration configuration;
        replica_configuration_to_raft_buffer(members, count, &buffer);
        assert_int_equal(raft_configuration_decode(&buffer, &configuration), 0);
        raft_free(buffer.base);
        decoded_count = replica_configuration_from_raft(&configuration, decoded);
        assert_same_members(members, count, decoded, decoded_count);
        raft_configuration_close(&configuration);
    }
}

static void the_address_of_a_member_is_its_node_id_in_decimal(void **state)
{
    struct raft_configuration configuration;
    replica_configuration_to_raft(three, 3, &configuration);
    assert_string_equal(configuration.servers[0].address, "1");
    assert_string_equal(configuration.servers[2].address, "18446744073709551615");
    raft_configuration_close(&configuration);
}

static void a_malformed_configuration_is_refused(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t size;
    } rows[] = {
        {"nothing", {0}, 0},
        {"version only", {1}, 1},
        {"another version", {2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 11},
        {"no member", {1, 0}, 2},
        {"more members than bytes", {1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 11},
        {"too many members", {1, 32, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 11},
        {"node 0", {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 11},
        {"unknown role", {1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 3}, 11},
        {"no voter", {1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1}, 11},
        {"the same node twice", {1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 20},
        {"descending", {1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 20},
        {"trailing bytes", {1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9}, 12},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct replica_member members[REPLICA_MEMBERS_MAX];
        unsigned count;
        if (replica_configuration_decode(bytes_of(rows[i].bytes, rows[i].size), members, &count) != HF_EPROTOCOL) {
            fail_msg("%s was taken", rows[i].what);
        }
    }
}

static void the_distance_counts_members_that_differ(void **state)
{
    static const struct replica_member base[] = {{1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}};
    static const struct replica_member demoted[] = {{1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_STANDBY}};
    static const struct replica_member grown[] = {
        {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_SPARE}};
    static const struct replica_member replaced[] = {{1, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_VOTER}};
    assert_int_equal(replica_configuration_distance(base, 2, base, 2), 0);
    assert_int_equal(replica_configuration_distance(base, 2, demoted, 2), 1);
    assert_int_equal(replica_configuration_distance(base, 2, grown, 3), 1);
    assert_int_equal(replica_configuration_distance(grown, 3, base, 2), 1);
    assert_int_equal(replica_configuration_distance(base, 2, replaced, 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_is_encoded_as_it_is_drawn),
        cmocka_unit_test(members_survive_our_encoding_and_libraft_s),
        cmocka_unit_test(the_address_of_a_member_is_its_node_id_in_decimal),
        cmocka_unit_test(a_malformed_configuration_is_refused),
        cmocka_unit_test(the_distance_counts_members_that_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
