/* links: replica sim */
/* A member that may have lost what it acknowledged: no vote, no candidacy, until a leader has brought it back. One real
 * replica and its log, the test plays the peers. */
#include "cluster/replica_lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "replica/rejoin.h"

#include "cluster/replica_host.c"
#include "cluster/replica_lab.c"

/* It had entries up to 5 of term 2, and came back. */
static struct lab *open_rejoining(void)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_append_run(lab, 1, 2, 2, 5, 1, 5);
    lab_run_ms(lab, 20);
    lab->host.must_rejoin = true;
    lab_power_cycle(lab);
    lab_forget(lab);
    assert_true(replica_host_status(&lab->host).is_rejoining);
    return lab;
}

static struct hf_bytes frame(uint8_t bytes[REJOIN_FRAME_SIZE], uint32_t kind, uint64_t term, uint64_t index,
                             uint64_t sent_index)
{
    bytes_put_u32(bytes, REJOIN_VERSION);
    bytes_put_u32(bytes + 4, kind);
    bytes_put_u64(bytes + 8, term);
    bytes_put_u64(bytes + 16, index);
    bytes_put_u64(bytes + 24, sent_index);
    bytes_put_u64(bytes + 32, 0);
    return bytes_of(bytes, REJOIN_FRAME_SIZE);
}

/* What its questions carry; 0: it asked nothing. */
static uint64_t asked_nonce(struct lab *lab)
{
    lab_pump(lab);
    for (unsigned i = lab->sent_count; i-- > 0;) {
        if (lab->sent[i].kind == FRAME_REJOIN) {
            return bytes_get_u64(lab->sent[i].bytes.data + 32);
        }
    }
    return 0;
}

static void answer_to(struct lab *lab, uint64_t nonce, uint64_t from, uint64_t term, uint64_t index,
                      uint64_t sent_index)
{
    uint8_t bytes[REJOIN_FRAME_SIZE];
    struct hf_bytes payload = frame(bytes, 2, term, index, sent_index);
    bytes_put_u64(bytes + 32, nonce);
    replica_host_receive(&lab->host, from, FRAME_REJOIN, payload);
    lab_run_ms(lab, 20);
}

static void answer(struct lab *lab, uint64_t from, uint64_t term, uint64_t index)
{
    answer_to(lab, asked_nonce(lab), from, term, index, 0);
}

static void P1_who_rejoins_neither_votes_nor_stands(void **state)
{
    struct lab *lab = open_rejoining();
    lab_run_ms(lab, 6000);
    assert_null(lab_next(lab, RAFT_REQUEST_VOTE));
    lab_request_vote(lab, 3, 9, 100, 8, 0);
    lab_request_vote(lab, 3, 9, 100, 8, CODEC_PRE_VOTE);
    lab_run_ms(lab, 50);
    assert_null(lab_next(lab, RAFT_REQUEST_VOTE_RESULT));
    lab_append_run(lab, 1, 2, 6, 6, 2, 6);
    const struct raft_message now = {.type = RAFT_TIMEOUT_NOW,
                                     .timeout_now = {.term = 2, .last_log_index = 6, .last_log_term = 2}};
    lab_run_ms(lab, 20);
    lab_say(lab, 1, &now, NULL, 0);
    lab_run_ms(lab, 6000);
    assert_null(lab_next(lab, RAFT_REQUEST_VOTE));
    assert_true(replica_host_status(&lab->host).is_rejoining);
    lab_close(lab);
}

static void P1_it_votes_again_when_all_is_there_that_its_leader_had(void **state)
{
    struct lab *lab = open_rejoining();
    lab_append(lab, 1, 2, 5, 2, 5, NULL, 0);
    lab_run_ms(lab, 20);
    struct lab_message *question = lab_next_kind(lab, FRAME_REJOIN);
    assert_non_null(question);
    assert_int_equal(question->to, 1);
    assert_int_equal(question->bytes.size, REJOIN_FRAME_SIZE);
    assert_int_equal(bytes_get_u32(question->bytes.data + 4), 1);
    assert_int_equal(bytes_get_u64(question->bytes.data + 8), 2);
    assert_int_equal(bytes_get_u64(question->bytes.data + 16), 5);
    answer(lab, 1, 1, 3); /* of an earlier term */
    answer(lab, 3, 2, 3); /* of somebody who does not lead */
    lab_append(lab, 1, 2, 5, 2, 5, NULL, 0);
    assert_true(replica_host_status(&lab->host).is_rejoining);
    answer(lab, 1, 2, 8);
    lab_append_run(lab, 1, 2, 6, 7, 2, 7);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).is_rejoining);
    lab_append_run(lab, 1, 2, 8, 8, 2, 7); /* it need not be committed */
    lab_run_ms(lab, 20);
    assert_false(replica_host_status(&lab->host).is_rejoining);
    lab_request_vote(lab, 3, 3, 8, 2, CODEC_DISRUPT_LEADER);
    struct lab_message *vote = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 50);
    assert_non_null(vote);
    assert_true(vote->raft.raft.request_vote_result.vote_granted);
    lab_close(lab);
}

/* What a leader said of its log says nothing about that of the next one. */
static void P1_an_answer_is_good_for_its_leaders_term_only(void **state)
{
    struct lab *lab = open_rejoining();
    lab_append(lab, 1, 2, 5, 2, 5, NULL, 0);
    answer(lab, 1, 2, 6);
    lab_append(lab, 3, 4, 5, 2, 5, NULL, 0);
    lab_run_ms(lab, 20);
    lab_append_run(lab, 3, 4, 6, 6, 2, 6);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).is_rejoining);
    answer(lab, 3, 4, 6);
    assert_false(replica_host_status(&lab->host).is_rejoining);
    lab_close(lab);
}

static bool is_asked_within(struct lab *lab, uint64_t last, uint64_t limit_ms)
{
    for (uint64_t waited = 0; waited < limit_ms; waited += 100) {
        lab_append(lab, 1, 2, last, 2, 5, NULL, 0);
        lab_run_ms(lab, 100);
        if (lab_next_kind(lab, FRAME_REJOIN) != NULL) {
            return true;
        }
    }
    return false;
}

/* Over a slow link they take their time, and what is asked for meanwhile would come behind them once more. */
static void entries_on_their_way_are_asked_for_again_only_when_none_comes_any_more(void **state)
{
    struct lab *lab = open_rejoining();
    assert_true(is_asked_within(lab, 5, 100));
    answer_to(lab, asked_nonce(lab), 1, 2, 9, 8);
    assert_false(is_asked_within(lab, 5, 3000));
    lab_append_run(lab, 1, 2, 6, 7, 2, 5);
    assert_false(is_asked_within(lab, 7, 3000));
    assert_true(is_asked_within(lab, 7, 3000));
    assert_true(is_asked_within(lab, 7, 300)); /* to this nobody answers */
    lab_close(lab);
}

/* It was on its way when the power went: what the member acknowledged after it, it does not know of. */
static void P1_an_answer_to_an_earlier_process_is_not_believed(void **state)
{
    uint8_t bytes[REJOIN_FRAME_SIZE];
    struct lab *lab = open_rejoining();
    answer_to(lab, 0, 1, 2, 5, 0); /* before anything was asked */
    lab_append(lab, 1, 2, 5, 2, 5, NULL, 0);
    lab_run_ms(lab, 20);
    uint64_t nonce = asked_nonce(lab);
    assert_int_not_equal(nonce, 0);
    lab_power_cycle(lab);
    lab_forget(lab);
    lab_append(lab, 1, 2, 5, 2, 5, NULL, 0);
    lab_run_ms(lab, 20);
    assert_true(asked_nonce(lab) != nonce && asked_nonce(lab) != 0);
    answer_to(lab, nonce, 1, 2, 5, 0);
    assert_true(replica_host_status(&lab->host).is_rejoining);
    (void)frame(bytes, 2, 2, 5, 0); /* of a program that cannot say what it answers */
    bytes_put_u32(bytes, 1);
    replica_host_receive(&lab->host, 1, FRAME_REJOIN, bytes_of(bytes, REJOIN_FRAME_SIZE_1));
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).is_rejoining);
    answer(lab, 1, 2, 5);
    assert_false(replica_host_status(&lab->host).is_rejoining);
    lab_close(lab);
}

static const struct replica_member lone[] = {
    {1, REPLICA_ROLE_STANDBY}, {2, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_STANDBY}};

/* From node 1, at index 6, which it does not commit. */
static void make_it_lone(struct lab *lab)
{
    struct buffer buffer = {0};
    struct hf_entry change = lab_change(6, 2, lone, 3, &buffer);
    lab_append(lab, 1, 2, 5, 2, 5, &change, 1);
    buffer_close(&buffer);
}

/* The leader makes it the only voter, and is gone before it said where its log ends. */
static void who_became_the_only_voter_goes_on_when_its_owner_knows_of_nobody_else(void **state)
{
    struct lab *lab = open_rejoining();
    replica_set_alone(lab->host.replica, true); /* its configuration has others */
    lab_run_ms(lab, 3000);
    assert_true(replica_host_status(&lab->host).is_rejoining);
    replica_set_alone(lab->host.replica, false);
    make_it_lone(lab);
    lab_run_ms(lab, 3000);
    assert_true(replica_host_status(&lab->host).is_rejoining); /* the cluster may have others */
    replica_set_alone(lab->host.replica, true);
    lab_append(lab, 1, 2, 6, 2, 5, NULL, 0);
    lab_run_ms(lab, 100);
    assert_true(replica_host_status(&lab->host).is_rejoining); /* as long as somebody leads there is somebody to ask */
    lab_run_ms(lab, 3000);
    assert_false(replica_host_status(&lab->host).is_rejoining);
    assert_int_equal(replica_host_status(&lab->host).state, REPLICA_LEADER);
    assert_true(replica_host_status(&lab->host).commit_index > 6);
    lab_close(lab);
}

static void who_became_the_only_voter_stays_out_while_it_knows_of_more_than_it_has(void **state)
{
    struct lab *lab = open_rejoining();
    make_it_lone(lab);
    lab_run_ms(lab, 20);
    answer(lab, 1, 2, 7);
    replica_set_alone(lab->host.replica, true);
    lab_run_ms(lab, 3000);
    assert_true(replica_host_status(&lab->host).is_rejoining);
    lab_append_run(lab, 1, 2, 7, 7, 2, 7);
    lab_run_ms(lab, 20);
    assert_false(replica_host_status(&lab->host).is_rejoining);
    lab_close(lab);
}

static void a_leader_sends_again_what_was_acknowledged_and_lost(void **state)
{
    uint8_t bytes[REJOIN_FRAME_SIZE];
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_elect(lab, 2);
    uint64_t last = 0;
    for (unsigned i = 0; i < 5; i++) {
        last = lab_submit(lab, "x");
    }
    lab_run_ms(lab, 20);
    uint64_t term = replica_host_status(&lab->host).term;
    lab_result(lab, 2, term, 0, last);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).commit_index == last);
    lab_forget(lab);
    replica_host_receive(&lab->host, 2, FRAME_REJOIN, frame(bytes, 1, term, last - 3, 0));
    struct lab_message *again = lab_await(lab, RAFT_APPEND_ENTRIES, 20);
    assert_non_null(again);
    assert_true(again->to == 2 && again->raft.raft.append_entries.prev_log_index == last - 3);
    assert_int_equal(again->raft.entry_count, 3);
    for (uint32_t version = 1; version <= REJOIN_VERSION; version++) {
        size_t size = version == 1 ? REJOIN_FRAME_SIZE_1 : REJOIN_FRAME_SIZE;
        lab_forget(lab);
        (void)frame(bytes, 1, term, last, 0);
        bytes_put_u32(bytes, version);
        bytes_put_u64(bytes + 32, 77);
        replica_host_receive(&lab->host, 2, FRAME_REJOIN, bytes_of(bytes, size));
        lab_run_ms(lab, 20);
        struct lab_message *said = lab_next_kind(lab, FRAME_REJOIN);
        assert_non_null(said);
        assert_true(said->bytes.size == size && bytes_get_u32(said->bytes.data) == version);
        assert_true(version == 1 || bytes_get_u64(said->bytes.data + 32) == 77);
    }
    lab_close(lab);
}

/* The entries of a new leader took the place of old ones, a snapshot holds them, and then the power took them away: the
 * old ones are back. */
static void P1_a_log_that_is_back_at_replaced_entries_restarts_behind_the_snapshot(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_append_run(lab, 1, 2, 2, 5, 1, 2);
    lab_run_ms(lab, 20);
    lab_append(lab, 3, 3, 2, 2, 2, NULL, 0);
    lab_run_ms(lab, 20);
    struct replica_snapshot snapshot = lab_snapshot_at(4, 3);
    lab->host.snapshot = snapshot;
    lab->host.applied_index = snapshot.index;
    lab->host.must_rejoin = lab->host.may_be_short = true;
    lab_power_cycle(lab);
    struct replica_status status = replica_host_status(&lab->host);
    assert_true(status.first_index == 5 && status.last_index == 4 && status.snapshot_index == 4);
    lab_append(lab, 3, 3, 4, 3, 4, NULL, 0);
    lab_run_ms(lab, 20);
    lab_append_run(lab, 3, 3, 5, 6, 3, 6);
    lab_run_ms(lab, 20);
    assert_int_equal(replica_host_status(&lab->host).applied_index, 6);
    answer(lab, 3, 3, 6);
    assert_false(replica_host_status(&lab->host).is_rejoining);
    lab_close(lab);
}

static void a_malformed_frame_is_refused(void **state)
{
    struct lab *lab = open_rejoining();
    uint8_t bytes[REJOIN_FRAME_SIZE + 1] = {0};
    const struct {
        uint32_t kind;
        uint64_t term;
        uint64_t index;
        uint64_t sent_index;
    } rows[] = {{0, 2, 5, 0}, {3, 2, 5, 0}, {1, 0, 5, 0}, {1, 2, 5, 1}, {2, 2, 5, 6}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_bytes bad = frame(bytes, rows[i].kind, rows[i].term, rows[i].index, rows[i].sent_index);
        assert_int_equal(replica_receive(lab->host.replica, 1, FRAME_REJOIN, bad), HF_EPROTOCOL);
    }
    for (size_t size = 0; size <= sizeof(bytes); size += size == REJOIN_FRAME_SIZE - 1 ? 2 : 1) {
        (void)frame(bytes, 2, 2, 5, 0);
        assert_int_equal(replica_receive(lab->host.replica, 1, FRAME_REJOIN, bytes_of(bytes, size)), HF_EPROTOCOL);
    }
    bytes[0] = REJOIN_VERSION + 1;
    assert_int_equal(replica_receive(lab->host.replica, 1, FRAME_REJOIN, bytes_of(bytes, REJOIN_FRAME_SIZE)),
                     HF_EPROTOCOL);
    lab_close(lab);
}

int main(void)
{
    replica_host_mutate();
    lab_quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P1_who_rejoins_neither_votes_nor_stands),
        cmocka_unit_test(P1_it_votes_again_when_all_is_there_that_its_leader_had),
        cmocka_unit_test(P1_an_answer_is_good_for_its_leaders_term_only),
        cmocka_unit_test(entries_on_their_way_are_asked_for_again_only_when_none_comes_any_more),
        cmocka_unit_test(P1_an_answer_to_an_earlier_process_is_not_believed),
        cmocka_unit_test(who_became_the_only_voter_goes_on_when_its_owner_knows_of_nobody_else),
        cmocka_unit_test(who_became_the_only_voter_stays_out_while_it_knows_of_more_than_it_has),
        cmocka_unit_test(a_leader_sends_again_what_was_acknowledged_and_lost),
        cmocka_unit_test(P1_a_log_that_is_back_at_replaced_entries_restarts_behind_the_snapshot),
        cmocka_unit_test(a_malformed_frame_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
