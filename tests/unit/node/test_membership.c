#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "holdfast/error.h"
#include "node/membership.h"

static struct description_node nodes[] = {{1, "a:1", "", ""}, {2, "b:1", "", ""}, {5, "c:1", "c:2", "c:3"}};
static struct description_group groups[] = {{1, 1}, {2, 2}};
static const struct description description = {
    .feature_level = 2, .routing_version = 1, .group_count = 1, .node_count = 3, .nodes = nodes, .groups = groups};

static struct membership begin(void)
{
    struct membership membership;
    membership_begin(&description, &membership);
    return membership;
}

static struct membership_change join_of(uint64_t incarnation, const char *peer)
{
    struct membership_change change = {.kind = MEMBERSHIP_JOIN,
                                       .incarnation = incarnation,
                                       .feature_level = DESCRIPTION_FEATURE_LEVEL_MAX,
                                       .role = MEMBERSHIP_VOTER};
    strcpy(change.node.peer_address, peer);
    return change;
}

static int apply(struct membership *membership, struct membership_change change, struct membership_outcome *out)
{
    struct membership before = *membership;
    membership_apply(membership, &change, out);
    if (out->result != 0) {
        assert_memory_equal(&before, membership, sizeof(before)); /* nothing was changed */
        assert_true(out->text[0] != '\0');
    }
    assert_int_equal(out->version, membership->version);
    return out->result;
}

static int set_role(struct membership *membership, uint64_t id, enum membership_role role, bool is_forced)
{
    struct membership_outcome outcome;
    return apply(
        membership,
        (struct membership_change){.kind = MEMBERSHIP_ROLE, .node = {.id = id}, .role = role, .is_forced = is_forced},
        &outcome);
}

static int forget(struct membership *membership, uint64_t id)
{
    struct membership_outcome outcome;
    return apply(membership, (struct membership_change){.kind = MEMBERSHIP_FORGET, .node = {.id = id}}, &outcome);
}

static void H18_an_id_is_given_out_once_and_never_again(void **state)
{
    struct membership membership = begin();
    struct membership_outcome outcome;
    assert_int_equal(apply(&membership, join_of(77, "d:1"), &outcome), 0);
    assert_int_equal(outcome.node_id, 6);
    assert_int_equal(set_role(&membership, 6, MEMBERSHIP_LEAVING, false), 0);
    assert_int_equal(forget(&membership, 6), 0);
    assert_true(membership_was_removed(&membership, 6));
    assert_false(membership_was_removed(&membership, 7));
    assert_int_equal(apply(&membership, join_of(78, "d:1"), &outcome), 0);
    assert_int_equal(outcome.node_id, 7);
}

static void a_join_that_is_repeated_gets_the_same_id(void **state)
{
    struct membership membership = begin();
    struct membership_outcome outcome;
    assert_int_equal(apply(&membership, join_of(77, "d:1"), &outcome), 0);
    uint64_t version = membership.version;
    assert_int_equal(apply(&membership, join_of(77, "d:1"), &outcome), 0);
    assert_int_equal(outcome.node_id, 6);
    assert_int_equal(membership.version, version);
    assert_int_equal(membership.count, 4);
    /* Two machines with one directory would vote as one node. */
    assert_int_equal(apply(&membership, join_of(77, "e:1"), &outcome), HF_EEXISTS);
    assert_non_null(strstr(outcome.text, "as node 6 at d:1"));
    assert_int_equal(membership.version, version);
}

static void a_join_is_refused_with_a_reason(void **state)
{
    struct membership membership = begin();
    struct membership_outcome outcome;
    assert_int_equal(apply(&membership, join_of(77, "b:1"), &outcome), HF_EEXISTS);
    assert_non_null(strstr(outcome.text, "holdfast member remove 2"));
    assert_int_equal(apply(&membership, join_of(77, "nowhere"), &outcome), HF_EINVALID);
    assert_int_equal(apply(&membership, join_of(77, ""), &outcome), HF_EINVALID);
    struct membership_change old = join_of(77, "d:1");
    old.feature_level = 1;
    assert_int_equal(apply(&membership, old, &outcome), HF_EVERSION);
    struct membership_change late = join_of(77, "d:1");
    late.expected_version = membership.version + 1;
    assert_int_equal(apply(&membership, late, &outcome), HF_ECONFLICT);
    while (membership.count < MEMBERSHIP_MEMBERS_MAX) {
        char address[16];
        snprintf(address, sizeof(address), "x:%u", membership.count);
        assert_int_equal(apply(&membership, join_of(100 + membership.count, address), &outcome), 0);
    }
    assert_int_equal(apply(&membership, join_of(77, "d:1"), &outcome), HF_ETOOBIG);
}

static void H14_two_voters_remain_unless_fewer_are_asked_for_by_force(void **state)
{
    struct membership membership = begin();
    assert_int_equal(set_role(&membership, 1, MEMBERSHIP_LEAVING, false), 0);
    assert_int_equal(set_role(&membership, 2, MEMBERSHIP_STANDBY, false), HF_EUNSAFE);
    assert_int_equal(set_role(&membership, 2, MEMBERSHIP_LEAVING, false), HF_EUNSAFE);
    assert_false(membership.may_be_alone);
    assert_int_equal(set_role(&membership, 2, MEMBERSHIP_LEAVING, true), 0);
    assert_true(membership.may_be_alone);
    assert_int_equal(set_role(&membership, 5, MEMBERSHIP_LEAVING, true), HF_EUNSAFE); /* the last one: never */
    assert_int_equal(membership_voters(&membership), 1);
}

static void who_leaves_does_not_come_back_and_only_who_leaves_is_forgotten(void **state)
{
    struct membership membership = begin();
    assert_int_equal(forget(&membership, 2), HF_ECONFLICT);
    assert_int_equal(set_role(&membership, 2, MEMBERSHIP_LEAVING, false), 0);
    assert_int_equal(set_role(&membership, 2, MEMBERSHIP_VOTER, true), HF_ECONFLICT);
    assert_int_equal(forget(&membership, 2), 0);
    assert_int_equal(membership.count, 2);
    assert_int_equal(membership.members[1].node.id, 5);
    assert_int_equal(set_role(&membership, 2, MEMBERSHIP_VOTER, false), HF_ENOTFOUND);
    assert_int_equal(set_role(&membership, 9, MEMBERSHIP_VOTER, false), HF_ENOTFOUND);
}

static void an_address_changes_under_the_same_id(void **state)
{
    struct membership membership = begin();
    struct membership_outcome outcome;
    struct membership_change change = {.kind = MEMBERSHIP_ADDRESS, .node = {2, "z:9", "z:8", ""}};
    assert_int_equal(apply(&membership, change, &outcome), 0);
    assert_string_equal(membership_find(&membership, 2)->node.peer_address, "z:9");
    uint64_t version = membership.version;
    assert_int_equal(apply(&membership, change, &outcome), 0);
    assert_int_equal(membership.version, version);
    strcpy(change.node.peer_address, "a:1");
    assert_int_equal(apply(&membership, change, &outcome), HF_EEXISTS);
}

static void the_feature_level_only_rises(void **state)
{
    struct membership membership = begin();
    struct membership_outcome outcome;
    membership.feature_level = 1;
    struct membership_change change = {.kind = MEMBERSHIP_FEATURES, .feature_level = 2};
    assert_int_equal(apply(&membership, change, &outcome), 0);
    change.feature_level = 1;
    assert_int_equal(apply(&membership, change, &outcome), 0);
    assert_int_equal(membership.feature_level, 2);
}

static void what_is_encoded_is_read_back_and_every_flipped_bit_is_noticed(void **state)
{
    struct membership membership = begin();
    struct membership_outcome outcome;
    struct membership read;
    struct buffer bytes = {0};
    membership_register(&membership, 2, 22);
    membership_register(&membership, 2, 23); /* the first one counts */
    apply(&membership, join_of(77, "d:1"), &outcome);
    membership_encode(&membership, &bytes);
    assert_int_equal(membership_decode(buffer_bytes(&bytes), &read), 0);
    assert_memory_equal(&membership, &read, sizeof(read));
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(membership_decode(buffer_bytes(&bytes), &read) < 0);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(membership_decode(bytes_of(bytes.data, size), &read), HF_ECORRUPT);
    }
    buffer_close(&bytes);
}

static void addresses_that_are_none_and_addresses_of_two_are_refused(void **state)
{
    static const struct {
        const char *peer[2];
        const char *client;
        const char *http;
        int result;
    } rows[] = {
        {{"a:1", "b:1"}, "c:2", "d:3", 0},
        {{"a:1", "b:1"}, "", "", 0},
        {{"", "b:1"}, "", "", 0}, /* began as a cluster of one without a door */
        {{"", ""}, "c:2", "", 0},
        {{"a:1", "a:1"}, "", "", HF_ECORRUPT},
        {{"a", "b:1"}, "", "", HF_ECORRUPT},
        {{"a:99999", "b:1"}, "", "", HF_ECORRUPT},
        {{"a:1", "b:1"}, "c", "", HF_ECORRUPT},
        {{"a:1", "b:1"}, "c:2", "d :3", HF_ECORRUPT},
        {{"", "b:1"}, "c\n:2", "", HF_ECORRUPT}, /* also where there is no peer address */
        {{"", "b:1"}, "", "d", HF_ECORRUPT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct membership read;
        struct buffer bytes = {0};
        struct membership membership = {.version = 1, .next_id = 3, .feature_level = 1, .count = 2};
        for (unsigned m = 0; m < 2; m++) {
            membership.members[m].node.id = m + 1;
            membership.members[m].role = MEMBERSHIP_VOTER;
            strcpy(membership.members[m].node.peer_address, rows[i].peer[m]);
        }
        strcpy(membership.members[0].node.client_address, rows[i].client);
        strcpy(membership.members[0].node.http_address, rows[i].http);
        membership_encode(&membership, &bytes);
        assert_int_equal(membership_decode(buffer_bytes(&bytes), &read), rows[i].result);
        buffer_close(&bytes);
    }
}

static void a_change_is_read_back_and_noise_is_refused_or_harmless(void **state)
{
    struct rng rng;
    struct buffer body = {0};
    struct membership_change read;
    struct membership_change change = join_of(77, "d:1");
    change.expected_version = 9;
    membership_change_encode(&change, &body);
    assert_int_equal(membership_change_decode(MEMBERSHIP_JOIN, buffer_bytes(&body), &read), 0);
    assert_memory_equal(&change, &read, sizeof(read));
    for (size_t size = 0; size < body.size; size++) {
        assert_true(membership_change_decode(MEMBERSHIP_JOIN, bytes_of(body.data, size), &read) < 0);
    }
    rng_seed(&rng, 1);
    for (unsigned i = 0; i < 20000; i++) {
        struct membership membership = begin();
        struct membership_outcome outcome;
        size_t at = rng_below(&rng, body.size);
        uint8_t kept = body.data[at];
        body.data[at] = (uint8_t)rng_next(&rng);
        enum membership_change_kind kind = MEMBERSHIP_JOIN + (enum membership_change_kind)(i % 5);
        if (membership_change_decode(kind, buffer_bytes(&body), &read) == 0) {
            membership_apply(&membership, &read, &outcome);
            struct buffer bytes = {0};
            struct membership again;
            membership_encode(&membership, &bytes);
            assert_int_equal(membership_decode(buffer_bytes(&bytes), &again), 0);
            buffer_close(&bytes);
        }
        body.data[at] = kept;
    }
    buffer_close(&body);
}

static void an_outcome_is_read_back(void **state)
{
    struct membership_outcome outcome = {HF_EUNSAFE, 5, 8, "no"};
    struct membership_outcome read;
    struct buffer bytes = {0};
    struct membership membership = begin();
    struct membership joined;
    struct hf_bytes members;
    membership_outcome_encode(&outcome, &membership, &bytes);
    assert_int_equal(membership_outcome_decode(buffer_bytes(&bytes), &read, &members), 0);
    assert_memory_equal(&outcome, &read, sizeof(read));
    assert_int_equal(membership_decode(members, &joined), 0);
    assert_memory_equal(&membership, &joined, sizeof(joined));
    assert_int_equal(membership_outcome_decode(bytes_of(bytes.data, bytes.size - 1), &read, &members), HF_EPROTOCOL);
    buffer_close(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H18_an_id_is_given_out_once_and_never_again),
        cmocka_unit_test(a_join_that_is_repeated_gets_the_same_id),
        cmocka_unit_test(a_join_is_refused_with_a_reason),
        cmocka_unit_test(H14_two_voters_remain_unless_fewer_are_asked_for_by_force),
        cmocka_unit_test(who_leaves_does_not_come_back_and_only_who_leaves_is_forgotten),
        cmocka_unit_test(an_address_changes_under_the_same_id),
        cmocka_unit_test(the_feature_level_only_rises),
        cmocka_unit_test(what_is_encoded_is_read_back_and_every_flipped_bit_is_noticed),
        cmocka_unit_test(addresses_that_are_none_and_addresses_of_two_are_refused),
        cmocka_unit_test(a_change_is_read_back_and_noise_is_refused_or_harmless),
        cmocka_unit_test(an_outcome_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
