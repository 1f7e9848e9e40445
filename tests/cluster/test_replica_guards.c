/* links: replica sim */
/* Every guard and rule of docs/decisions/0002 in a scene of its own: one real replica and its log, the test plays the
 * peers. Each test fails when its guard is switched off (build/mutants: HOLDFAST_MUTATION=GUARD_A …). */
#include "cluster/replica_lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#include "cluster/replica_host.c"
#include "cluster/replica_lab.c"

static const struct replica_member standby_3[] = {
    {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_STANDBY}};
static const struct replica_member standby_2_3[] = {
    {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_STANDBY}, {3, REPLICA_ROLE_STANDBY}};
static const struct replica_member voters_2[] = {{1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}};

/* ---- A ---- */

static void GA_a_configuration_behind_other_entries_is_rolled_back_with_its_own_index(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    struct buffer buffer = {0};
    struct hf_entry entries[] = {lab_normal(2, 2, "a"), lab_change(3, 2, standby_3, 3, &buffer)};
    lab_append(lab, 1, 2, 1, 1, 1, entries, 2);
    assert_int_equal(lab_role(lab, 3), REPLICA_ROLE_STANDBY);
    lab_run_ms(lab, 20);
    /* A new leader, which never had the configuration, replaces it. */
    struct hf_entry other = lab_normal(3, 3, "b");
    lab_append(lab, 3, 3, 2, 2, 1, &other, 1);
    lab_run_ms(lab, 20);
    assert_int_equal(lab_role(lab, 3), REPLICA_ROLE_VOTER);
    assert_true(replica_host_term_at(&lab->host, 3) == 3);
    buffer_close(&buffer);
    lab_close(lab);
}

static void GA_a_configuration_among_received_entries_can_commit(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    struct buffer buffer = {0};
    struct hf_entry entries[] = {lab_normal(2, 2, "a"), lab_change(3, 2, standby_3, 3, &buffer), lab_normal(4, 2, "c")};
    lab_append(lab, 1, 2, 1, 1, 4, entries, 3);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).applied_index == 4);
    /* Committed for good: no truncation can bring the old one back. */
    struct hf_entry other = lab_normal(5, 3, "d");
    lab_append(lab, 3, 3, 4, 2, 4, &other, 1);
    lab_run_ms(lab, 20);
    assert_int_equal(lab_role(lab, 3), REPLICA_ROLE_STANDBY);
    buffer_close(&buffer);
    lab_close(lab);
}

/* ---- B ---- */

static void GB_single_voter_never_reuses_a_term(void **state)
{
    struct lab *lab = lab_open(1, standby_2_3, 3);
    uint64_t term_before = 0;
    for (unsigned life = 0; life < 4; life++) {
        struct replica_status status = replica_host_status(&lab->host);
        assert_int_equal(status.state, REPLICA_LEADER);
        /* In each life it hands out another entry for the same index, which the disk never sees. */
        assert_true(status.term > term_before);
        term_before = status.term;
        sim_disk_stall(lab->host.host, 1000000000ull);
        lab_submit(lab, life % 2 == 0 ? "even" : "odd");
        lab_pump(lab);
        lab_power_cycle(lab);
    }
    lab_close(lab);
}

static void GB_a_follower_that_became_the_only_voter_is_elected_in_a_new_durable_term(void **state)
{
    struct lab *lab = lab_open(1, voters_2, 2);
    struct buffer buffer = {0};
    static const struct replica_member alone[] = {{1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_STANDBY}};
    struct hf_entry change = lab_change(2, 2, alone, 2, &buffer);
    lab_append(lab, 2, 2, 1, 1, 2, &change, 1);
    lab_run_ms(lab, 20);
    /* A TimeoutNow would elect it in term 2, which has had a leader. */
    struct raft_message now = {.type = RAFT_TIMEOUT_NOW,
                               .timeout_now = {.term = 2, .last_log_index = 2, .last_log_term = 2}};
    lab_say(lab, 2, &now, NULL, 0);
    assert_int_equal(replica_host_status(&lab->host).state, REPLICA_FOLLOWER);
    for (unsigned i = 0; i < 3 * LAB_ELECTION_MS && replica_host_status(&lab->host).state != REPLICA_LEADER; i++) {
        lab_run_ms(lab, 1);
    }
    struct replica_status status = replica_host_status(&lab->host);
    assert_int_equal(status.state, REPLICA_LEADER);
    assert_true(status.term == 3);
    struct hf_log_group_state log_state;
    must(hf_log_group_state(lab->host.log, REPLICA_HOST_GROUP, &log_state));
    assert_true(log_state.hard_state.term == 3 && log_state.hard_state.vote == 1);
    buffer_close(&buffer);
    lab_close(lab);
}

/* ---- C ---- */

static void GC_a_server_that_its_own_configuration_calls_a_standby_votes(void **state)
{
    struct lab *lab = lab_open(3, standby_3, 3);
    lab_request_vote(lab, 1, 5, 1, 1, CODEC_PRE_VOTE);
    struct lab_message *answer = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 20);
    assert_non_null(answer);
    assert_true(answer->raft.raft.request_vote_result.vote_granted);
    lab_request_vote(lab, 1, 5, 1, 1, 0);
    answer = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 20);
    assert_non_null(answer);
    assert_true(answer->raft.raft.request_vote_result.vote_granted);
    /* For the vote only: it is no candidate, and says what its configuration says. */
    assert_int_equal(lab_role(lab, 3), REPLICA_ROLE_STANDBY);
    lab_run_ms(lab, 5 * LAB_ELECTION_MS);
    assert_null(lab_next(lab, RAFT_REQUEST_VOTE));
    lab_close(lab);
}

static void GC_a_server_that_has_no_configuration_yet_votes(void **state)
{
    struct lab *lab = lab_open(3, NULL, 0);
    lab_request_vote(lab, 1, 5, 9, 4, 0);
    struct lab_message *answer = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 20);
    assert_non_null(answer);
    assert_true(answer->raft.raft.request_vote_result.vote_granted);
    assert_int_equal(replica_host_status(&lab->host).member_count, 0);
    assert_true(replica_host_status(&lab->host).vote == 1);
    lab_close(lab);
}

/* ---- D ---- */

static struct hf_entry *lab_range(uint64_t first, uint64_t last, uint64_t term)
{
    struct hf_entry *entries = test_calloc((size_t)(last - first + 1), sizeof(*entries));
    for (uint64_t index = first; index <= last; index++) {
        entries[index - first] = lab_normal(index, term, "x");
    }
    return entries;
}

static void lab_append_range(struct lab *lab, uint64_t from, uint64_t term, uint64_t first, uint64_t last,
                             uint64_t prev_term, uint64_t commit)
{
    struct hf_entry *entries = lab_range(first, last, term);
    lab_append(lab, from, term, first - 1, prev_term, commit, entries, (unsigned)(last - first + 1));
    test_free(entries);
}

static void GD_an_append_below_the_compacted_log_is_anchored_at_the_snapshot(void **state)
{
    static const struct {
        uint64_t first;
        uint64_t last;
        uint64_t matches; /* what must be acknowledged */
    } rows[] = {
        {2, 25, 25},  /* begins far below */
        {15, 22, 25}, /* begins just below */
        {3, 10, 20},  /* lies wholly below: known to match up to the snapshot */
        {16, 30, 30}, /* begins at the first entry kept, behind the last one dropped */
    };
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_append_range(lab, 1, 2, 2, 20, 1, 20);
    lab_run_ms(lab, 20);
    assert_int_equal(lab_snapshot(lab, 5), 20);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        lab_forget(lab);
        lab_append_range(lab, 1, 2, rows[i].first, rows[i].last, rows[i].first == 2 ? 1 : 2, 20);
        lab_run_ms(lab, 20);
        uint64_t acknowledged = 0;
        for (struct lab_message *answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT); answer != NULL;
             answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT)) {
            assert_true(answer->raft.raft.append_entries_result.rejected == 0);
            acknowledged = answer->raft.raft.append_entries_result.last_log_index;
        }
        assert_true(acknowledged >= (rows[i].matches < rows[i].last ? rows[i].matches : rows[i].last));
    }
    assert_true(replica_host_status(&lab->host).last_index == 30);
    lab_close(lab);
}

/* ---- E ---- */

static void GE_a_reject_from_before_does_not_stop_replication(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_elect(lab, 2);
    uint64_t term = replica_host_status(&lab->host).term;
    uint64_t match = lab_submit(lab, "a");
    lab_run_ms(lab, 5);
    lab_result(lab, 2, term, 0, match);
    lab_result(lab, 3, term, 0, match);
    lab_run_ms(lab, 5);
    /* One round of heartbeats that only node 3 answers: node 2 is probed from here on. */
    for (unsigned i = 0; i < 4 * LAB_HEARTBEAT_MS; i++) {
        lab_run_ms(lab, 1);
        if (lab_next(lab, RAFT_APPEND_ENTRIES) != NULL) {
            lab_result(lab, 3, term, 0, match);
        }
    }
    /* From an earlier connection: node 2 had not had the entry then. */
    lab_result(lab, 2, term, match, match - 1);
    lab_forget(lab);
    uint64_t index = lab_submit(lab, "b");
    unsigned has_arrived = 0;
    for (unsigned i = 0; i < 4 * LAB_HEARTBEAT_MS && !has_arrived; i++) {
        lab_run_ms(lab, 1);
        for (struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES); sent != NULL;
             sent = lab_next(lab, RAFT_APPEND_ENTRIES)) {
            const struct raft_append_entries *append = &sent->raft.raft.append_entries;
            if (sent->to == 2) {
                has_arrived |= append->prev_log_index + sent->raft.entry_count >= index;
                lab_result(lab, 2, term, 0, append->prev_log_index + sent->raft.entry_count);
            } else {
                lab_result(lab, 3, term, 0, match);
            }
        }
    }
    assert_true(has_arrived);
    lab_close(lab);
}

/* ---- F ---- */

static void GF_a_standby_forgets_a_leader_that_is_silent(void **state)
{
    struct lab *lab = lab_open(3, standby_3, 3);
    lab_append(lab, 1, 2, 1, 1, 1, NULL, 0);
    assert_true(replica_host_status(&lab->host).leader == 1);
    /* While the leader lives, nobody may be elected. */
    lab_request_vote(lab, 2, 3, 1, 1, 0);
    struct lab_message *answer = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 20);
    assert_non_null(answer);
    assert_false(answer->raft.raft.request_vote_result.vote_granted);
    lab_run_ms(lab, 3 * LAB_ELECTION_MS);
    assert_true(replica_host_status(&lab->host).leader == 0);
    lab_request_vote(lab, 2, 3, 1, 1, 0);
    answer = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 20);
    assert_non_null(answer);
    assert_true(answer->raft.raft.request_vote_result.vote_granted);
    lab_close(lab);
}

/* ---- G ---- */

static void GG_rolling_back_a_second_change_restores_the_first(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    struct buffer first_buffer = {0};
    struct buffer second_buffer = {0};
    static const struct replica_member second[] = {
        {1, REPLICA_ROLE_STANDBY}, {2, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_STANDBY}};
    struct hf_entry first_entry = lab_change(2, 2, standby_3, 3, &first_buffer);
    struct hf_entry second_entry = lab_change(3, 2, second, 3, &second_buffer);
    /* The leader knows that the first is committed; this server was never told. */
    lab_append(lab, 1, 2, 1, 1, 1, &first_entry, 1);
    lab_run_ms(lab, 20);
    lab_append(lab, 1, 2, 2, 2, 1, &second_entry, 1);
    lab_run_ms(lab, 20);
    assert_int_equal(lab_role(lab, 1), REPLICA_ROLE_STANDBY);
    struct hf_entry other = lab_normal(3, 3, "b");
    lab_append(lab, 3, 3, 2, 2, 1, &other, 1);
    lab_run_ms(lab, 20);
    assert_int_equal(lab_role(lab, 1), REPLICA_ROLE_VOTER);
    assert_int_equal(lab_role(lab, 3), REPLICA_ROLE_STANDBY);
    buffer_close(&first_buffer);
    buffer_close(&second_buffer);
    lab_close(lab);
}

int main(void)
{
    replica_host_mutate();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(GA_a_configuration_behind_other_entries_is_rolled_back_with_its_own_index),
        cmocka_unit_test(GA_a_configuration_among_received_entries_can_commit),
        cmocka_unit_test(GB_single_voter_never_reuses_a_term),
        cmocka_unit_test(GB_a_follower_that_became_the_only_voter_is_elected_in_a_new_durable_term),
        cmocka_unit_test(GC_a_server_that_its_own_configuration_calls_a_standby_votes),
        cmocka_unit_test(GC_a_server_that_has_no_configuration_yet_votes),
        cmocka_unit_test(GD_an_append_below_the_compacted_log_is_anchored_at_the_snapshot),
        cmocka_unit_test(GE_a_reject_from_before_does_not_stop_replication),
        cmocka_unit_test(GF_a_standby_forgets_a_leader_that_is_silent),
        cmocka_unit_test(GG_rolling_back_a_second_change_restores_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
