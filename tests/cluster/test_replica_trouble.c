/* links: replica sim */
/* What goes wrong around a replica: full disks and queues, failed syncs, peers that break the rules, connections that
 * end. One real replica and its log, the test plays the rest. */
#include "cluster/replica_lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"

#include "cluster/replica_host.c"
#include "cluster/replica_lab.c"

static void append_large(struct lab *lab, uint64_t index, uint64_t commit)
{
    struct hf_entry entry = lab_normal(index, 2, "");
    size_t size = 200u << 10;
    char *text = test_calloc(1, size);
    entry.payload = bytes_of(text, size);
    lab_append(lab, 1, 2, index - 1, index == 2 ? 1 : 2, commit, &entry, 1);
    test_free(text);
}

/* Ids of nodes are never used again. */
static void members_that_left_long_ago_take_no_room_from_new_ones(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    for (uint64_t id = 100; id < 100 + 128; id++) {
        lab_append(lab, id, 1, 1, 1, 1, NULL, 0); /* of an old term, which is told so */
        struct lab_message *answer = lab_await(lab, RAFT_APPEND_ENTRIES_RESULT, 20);
        assert_non_null(answer);
        assert_true(answer->to == id);
        lab_empty(lab);
    }
    lab_close(lab);
}

/* ---- rule 18: no room ---- */

static void fill_disk(struct lab *lab)
{
    sim_disk_set_capacity(lab->host.host, sim_disk_used_bytes(lab->host.host));
    lab_run_ms(lab, 5);
}

/* From node 2, in term 2; waits until it is durable. One block of the log, filled: collection gains nothing by moving
 * it, so that the disk does get full. */
static void append_block(struct lab *lab, uint64_t index)
{
    static const uint8_t text[3500];
    struct hf_entry entry = lab_normal(index, 2, "");
    entry.payload = bytes_of(text, sizeof(text));
    lab_append(lab, 2, 2, index - 1, 2, 1, &entry, 1);
    lab_run_ms(lab, 3);
}

static int submit_until_refused(struct lab *lab, unsigned limit)
{
    char *text = test_calloc(1, 100u << 10);
    struct hf_bytes payload = bytes_of(text, 100u << 10);
    int rc = 0;
    for (unsigned i = 0; i < limit && rc == 0; i++) {
        uint64_t index;
        uint64_t term;
        rc = replica_submit(lab->host.replica, &payload, 1, REPLICA_HOST_STAMP_MS, &index, &term);
        replica_host_turn(&lab->host);
        lab_run_ms(lab, 2);
    }
    test_free(text);
    return rc;
}

static void R18_a_full_disk_refuses_proposals_and_takes_them_again_when_there_is_space(void **state)
{
    struct lab *lab = lab_open(1, lab_alone, 1);
    lab_run_ms(lab, 20);
    fill_disk(lab);
    assert_int_equal(submit_until_refused(lab, 1000), HF_ENOSPACE);
    struct replica_status status = replica_host_status(&lab->host);
    assert_int_equal(status.state, REPLICA_LEADER);
    assert_true(status.commit_index == status.last_index);
    assert_int_equal(lab->failed, 0);
    sim_disk_set_capacity(lab->host.host, 0);
    lab_run_ms(lab, 50);
    lab_submit(lab, "again");
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).commit_index == status.last_index + 1);
    lab_close(lab);
}

static void R18_a_follower_without_space_keeps_its_leader_and_says_that_it_is_short(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    fill_disk(lab);
    uint64_t index = 2;
    uint64_t refused = 0;
    for (; index < 1000 && refused == 0; index++) {
        append_large(lab, index, 1);
        lab_run_ms(lab, 2);
        if (replica_host_status(&lab->host).last_index < index) {
            refused = index;
        }
    }
    assert_true(refused > 0);
    assert_int_equal(lab->failed, 0);
    lab_forget(lab);
    /* The leader goes on trying, and never hears from this disk; but it hears from this node. */
    for (unsigned i = 0; i < 3 * LAB_ELECTION_MS / 20; i++) {
        append_large(lab, refused, 1);
        lab_run_ms(lab, 20);
    }
    struct replica_status status = replica_host_status(&lab->host);
    assert_int_equal(status.state, REPLICA_FOLLOWER);
    assert_true(status.leader == 1 && status.last_index == refused - 1);
    struct lab_message *answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT);
    assert_non_null(answer);
    assert_true(answer->raft.raft.append_entries_result.rejected == 0);
    assert_true(answer->raft.raft.append_entries_result.last_log_index == refused - 1);
    assert_true(answer->raft.raft.append_entries_result.capacity < 1024);
    lab_close(lab);
}

static void R18_a_full_queue_of_the_log_is_waited_for(void **state)
{
    struct replica_host_options options = {.members = lab_alone,
                                           .member_count = 1,
                                           .election_timeout_ms = LAB_ELECTION_MS,
                                           .heartbeat_timeout_ms = LAB_HEARTBEAT_MS,
                                           .queue_entries_max = 10};
    struct lab *lab = lab_open_with(1, &options);
    lab_run_ms(lab, 20);
    uint64_t last = replica_host_status(&lab->host).last_index;
    lab_stall(lab, 100);
    struct hf_bytes payloads[4] = {bytes_of_text("a"), bytes_of_text("b"), bytes_of_text("c"), bytes_of_text("d")};
    unsigned taken = 0;
    int rc = 0;
    for (unsigned i = 0; i < 20 && rc == 0; i++) {
        uint64_t index;
        uint64_t term;
        rc = replica_submit(lab->host.replica, payloads, 4, REPLICA_HOST_STAMP_MS, &index, &term);
        taken += rc == 0 ? 4 : 0;
        lab_run_ms(lab, 1);
    }
    /* The engine took more than the log's queue holds, and nothing is lost. */
    assert_int_equal(rc, HF_EBUSY);
    assert_true(taken > 10);
    assert_true(replica_host_status(&lab->host).commit_index == last);
    lab_run_ms(lab, 250); /* the stall, and a write for each of the small frames beside the headroom */
    assert_int_equal(lab->failed, 0);
    assert_true(replica_host_status(&lab->host).commit_index == last + taken);
    assert_true(replica_host_status(&lab->host).applied_index == last + taken);
    lab_close(lab);
}

/* Two changes in one message, of which the log has no room for the first yet: the engine goes by it since it accepted
 * it. True when it came to that. */
static bool receive_two_changes(uint64_t queued)
{
    static const struct replica_member first[] = {
        {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_STANDBY}};
    static const struct replica_member second[] = {
        {1, REPLICA_ROLE_STANDBY}, {2, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_STANDBY}};
    struct replica_host_options options = {.members = lab_voters_3,
                                           .member_count = 3,
                                           .election_timeout_ms = LAB_ELECTION_MS,
                                           .heartbeat_timeout_ms = LAB_HEARTBEAT_MS,
                                           .queue_entries_max = 10};
    struct lab *lab = lab_open_with(2, &options);
    struct buffer buffers[2] = {0};
    struct hf_log_group_state log;
    uint64_t index = 2;
    lab_run_ms(lab, 20);
    lab_stall(lab, 100);
    for (; index < 2 + queued; index++) {
        struct hf_entry entry = lab_normal(index, 2, "a");
        lab_append(lab, 1, 2, index - 1, index == 2 ? 1 : 2, 1, &entry, 1);
    }
    struct hf_entry changes[] = {lab_change(index, 2, first, 3, &buffers[0]),
                                 lab_change(index + 1, 2, second, 3, &buffers[1])};
    lab_append(lab, 1, 2, index - 1, index == 2 ? 1 : 2, 1, changes, 2);
    assert_int_equal(hf_log_group_state(lab->host.log, REPLICA_HOST_GROUP, &log), 0);
    bool has_waited = log.last_index == index - 1 && lab_role(lab, 1) == REPLICA_ROLE_STANDBY;
    assert_int_equal(lab->failed, 0);
    if (has_waited) {
        lab_run_ms(lab, 150);
        assert_int_equal(lab->failed, 0);
        assert_true(replica_host_status(&lab->host).last_index == index + 1);
        assert_int_equal(lab_role(lab, 1), REPLICA_ROLE_STANDBY);
        assert_int_equal(lab_role(lab, 3), REPLICA_ROLE_STANDBY);
    }
    buffer_close(&buffers[0]);
    buffer_close(&buffers[1]);
    lab_close(lab);
    return has_waited;
}

static void GG_a_second_change_comes_while_the_first_waits_for_room_in_the_log(void **state)
{
    bool has_waited = false;
    for (uint64_t queued = 0; queued < 16; queued++) {
        has_waited = receive_two_changes(queued) || has_waited;
    }
    assert_true(has_waited);
}

static void R18_a_leader_whose_own_barrier_finds_no_space_waits_for_it(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    /* Entries that are not known to be committed: the engine will propose a barrier behind them. */
    struct hf_entry entries[] = {lab_normal(2, 2, "a"), lab_normal(3, 2, "b")};
    lab_append(lab, 2, 2, 1, 1, 1, entries, 2);
    lab_run_ms(lab, 20);
    fill_disk(lab);
    uint64_t index = 4;
    for (; replica_host_status(&lab->host).last_index == index - 1; index++) {
        append_block(lab, index);
        lab_forget(lab);
    }
    for (unsigned round = 0; round < 2; round++) {
        struct lab_message *asked = lab_await(lab, RAFT_REQUEST_VOTE, 5 * LAB_ELECTION_MS);
        assert_non_null(asked);
        lab_vote(lab, 2, asked->raft.raft.request_vote.term, CODEC_VOTE_GRANTED | (round == 0 ? CODEC_PRE_VOTE : 0));
        lab_forget(lab);
    }
    struct replica_status status = replica_host_status(&lab->host);
    assert_int_equal(status.state, REPLICA_LEADER);
    lab_run_ms(lab, 30);
    assert_int_equal(lab->failed, 0);
    struct hf_log_group_state log_state;
    must(hf_log_group_state(lab->host.log, REPLICA_HOST_GROUP, &log_state));
    assert_true(log_state.last_index < status.last_index);
    sim_disk_set_capacity(lab->host.host, 0);
    lab_run_ms(lab, 100);
    must(hf_log_group_state(lab->host.log, REPLICA_HOST_GROUP, &log_state));
    assert_true(log_state.durable_index == status.last_index);
    lab_close(lab);
}

/* ---- failures ---- */

static void H1_a_failed_sync_freezes_the_replica_for_good(void **state)
{
    struct lab *lab = lab_open(1, lab_alone, 1);
    lab_run_ms(lab, 20);
    uint64_t commit = replica_host_status(&lab->host).commit_index;
    struct sim_disk_failure failure = {.kind = SIM_DISK_DURABLE, .count = UINT64_MAX, .error = HF_EIO};
    sim_disk_fail(lab->host.host, &failure);
    failure.kind = SIM_DISK_SYNC;
    sim_disk_fail(lab->host.host, &failure);
    lab_submit(lab, "never");
    lab_run_ms(lab, 50);
    assert_int_equal(lab->failed, HF_EPOISONED);
    assert_int_equal(replica_host_status(&lab->host).state, REPLICA_FROZEN);
    assert_true(replica_host_status(&lab->host).applied_index == commit);
    assert_true(lab->lost_from == commit + 1);
    sim_disk_fail_clear(lab->host.host);
    struct hf_bytes payload = bytes_of_text("no");
    uint64_t index;
    uint64_t term;
    assert_int_equal(replica_submit(lab->host.replica, &payload, 1, 0, &index, &term), HF_ECLOSED);
    lab_run_ms(lab, 5 * LAB_ELECTION_MS);
    assert_int_equal(replica_host_status(&lab->host).state, REPLICA_FROZEN);
    lab_close(lab);
}

static void a_second_leader_of_the_term_freezes_the_replica(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    lab_append(lab, 2, replica_host_status(&lab->host).term, 1, 1, 1, NULL, 0);
    assert_int_equal(lab->failed, HF_ECORRUPT);
    lab_close(lab);
}

static void malformed_frames_are_refused_and_change_nothing(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    struct replica_status before = replica_host_status(&lab->host);
    struct raft_message vote = {.type = RAFT_REQUEST_VOTE,
                                .request_vote = {.version = 2, .term = 9, .candidate_id = 3, .last_log_index = 1}};
    struct buffer bytes = {0};
    codec_encode(&vote, NULL, 0, &bytes);
    struct replica *replica = lab->host.replica;
    assert_int_equal(replica_receive(replica, 1, FRAME_RAFT, buffer_bytes(&bytes)), HF_EPROTOCOL);
    assert_int_equal(replica_receive(replica, 2, FRAME_RAFT, buffer_bytes(&bytes)), HF_EPROTOCOL);
    assert_int_equal(replica_receive(replica, 3, FRAME_RAFT, bytes_of(bytes.data, 5)), HF_EPROTOCOL);
    assert_int_equal(replica_receive(replica, 3, FRAME_READ_PING, bytes_of(bytes.data, 5)), HF_EPROTOCOL);
    assert_int_equal(replica_receive(replica, 3, FRAME_HELLO, bytes_of(bytes.data, 5)), HF_EPROTOCOL);
    struct replica_status after = replica_host_status(&lab->host);
    assert_true(before.term == after.term && before.vote == after.vote && before.last_index == after.last_index);
    buffer_close(&bytes);
    lab_close(lab);
}

/* ---- peers that say anything ---- */

static uint64_t wild_number(struct rng *rng, uint64_t near)
{
    switch (rng_below(rng, 12)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX - rng_below(rng, 3);
    case 2:
        return rng_next(rng);
    default:
        return near + rng_below(rng, 7) < 3 ? 0 : near + rng_below(rng, 7) - 3;
    }
}

static struct raft_message wild_message(struct rng *rng, const struct replica_status *status, uint64_t from)
{
    struct raft_message raft = {.type = (enum raft_message_type)(1 + rng_below(rng, 6))};
    uint64_t term = status->term + rng_below(rng, 4);
    term = term > 2 ? term - rng_below(rng, 3) : term;
    term = term == 0 ? 1 : term;
    switch (raft.type) {
    case RAFT_APPEND_ENTRIES:
        raft.append_entries.term = term;
        raft.append_entries.prev_log_index =
            rng_chance(rng, 1, 8)
                ? wild_number(rng, status->last_index)
                : status->commit_index + rng_below(rng, status->last_index - status->commit_index + 2);
        raft.append_entries.leader_commit = wild_number(rng, status->last_index);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        raft.append_entries_result = (struct raft_append_entries_result){
            .version = 2,
            .term = term,
            .rejected = rng_below(rng, 2) ? 0 : wild_number(rng, status->last_index),
            .last_log_index = wild_number(rng, status->last_index),
            .features = 1,
            .capacity = (unsigned short)rng_next(rng)};
        break;
    case RAFT_REQUEST_VOTE:
        raft.request_vote = (struct raft_request_vote){.version = 2,
                                                       .term = term,
                                                       .candidate_id = from,
                                                       .last_log_index = wild_number(rng, status->last_index),
                                                       .last_log_term = wild_number(rng, term),
                                                       .pre_vote = rng_below(rng, 2),
                                                       .disrupt_leader = rng_below(rng, 2)};
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        raft.request_vote_result = (struct raft_request_vote_result){.version = 2,
                                                                     .term = term,
                                                                     .vote_granted = rng_below(rng, 2),
                                                                     .pre_vote = rng_below(rng, 2),
                                                                     .features = 1};
        break;
    case RAFT_TIMEOUT_NOW:
        raft.timeout_now = (struct raft_timeout_now){
            .term = term, .last_log_index = status->last_index, .last_log_term = wild_number(rng, term)};
        break;
    case RAFT_INSTALL_SNAPSHOT:
        break;
    }
    return raft;
}

/* Entries that the decoder takes; what they say is as wild as the rest. */
static unsigned wild_entries(struct rng *rng, const struct raft_message *raft, struct hf_entry *entries,
                             struct buffer *configuration)
{
    uint64_t index = raft->append_entries.prev_log_index;
    uint64_t term = raft->append_entries.prev_log_term == 0 ? 1 : raft->append_entries.prev_log_term;
    unsigned count = (unsigned)rng_below(rng, 5);
    struct replica_member members[] = {
        {1, REPLICA_ROLE_VOTER}, {2, (enum replica_role)rng_below(rng, 3)}, {3, (enum replica_role)rng_below(rng, 3)}};
    buffer_clear(configuration);
    replica_configuration_encode(members, 1 + (unsigned)rng_below(rng, 3), configuration);
    for (unsigned i = 0; i < count; i++) {
        term += term < raft->append_entries.term ? rng_below(rng, 2) : 0;
        entries[i] = lab_normal(index + 1 + i, term, "wild");
        if (entries[i].index == 1 || rng_chance(rng, 1, 5)) {
            entries[i].type = HF_ENTRY_CONFIGURATION;
            entries[i].payload = buffer_bytes(configuration);
        }
    }
    return index < UINT64_MAX - 10 ? count : 0;
}

static void say_something_wild(struct lab *lab, struct rng *rng, struct buffer *configuration)
{
    struct replica_status status = replica_host_status(&lab->host);
    uint64_t from = 2 + rng_below(rng, 3);
    struct raft_message raft = wild_message(rng, &status, from);
    if (raft.type == RAFT_APPEND_ENTRIES && raft.append_entries.prev_log_index > 0) {
        uint64_t own_term = replica_host_term_at(&lab->host, raft.append_entries.prev_log_index);
        bool is_own = own_term > 0 && own_term <= raft.append_entries.term && !rng_chance(rng, 1, 8);
        raft.append_entries.prev_log_term = is_own ? own_term : 1 + rng_below(rng, raft.append_entries.term);
    }
    struct hf_entry entries[5];
    unsigned count = 0;
    if (raft.type == RAFT_INSTALL_SNAPSHOT) {
        return;
    }
    if (raft.type == RAFT_APPEND_ENTRIES) {
        count = wild_entries(rng, &raft, entries, configuration);
    }
    struct buffer bytes = {0};
    codec_encode(&raft, entries, count, &bytes);
    int rc = replica_receive(lab->host.replica, from, FRAME_RAFT, buffer_bytes(&bytes));
    assert_true(rc == 0 || rc == HF_EPROTOCOL);
    buffer_close(&bytes);
    replica_host_turn(&lab->host);
}

static void H20_peers_that_say_anything_never_crash_the_replica(void **state)
{
    struct buffer configuration = {0};
    uint64_t received = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct lab *lab = lab_open(1, lab_voters_3, seed % 4 == 0 ? 1 : 3);
        for (unsigned i = 0; i < 400 && lab->failed == 0; i++, received++) {
            say_something_wild(lab, &rng, &configuration);
            if (rng_chance(&rng, 1, 4)) {
                lab_run_ms(lab, (unsigned)rng_below(&rng, 20));
            }
            if (rng_chance(&rng, 1, 100)) {
                lab_run_ms(lab, 2 * LAB_ELECTION_MS);
            }
            if (rng_chance(&rng, 1, 5)) {
                struct hf_bytes payload = bytes_of_text("x");
                uint64_t index;
                uint64_t term;
                replica_submit(lab->host.replica, &payload, 1, REPLICA_HOST_STAMP_MS, &index, &term);
            }
            lab_forget(lab);
            lab_empty(lab);
        }
        lab_close(lab);
    }
    /* A leader that contradicts what is committed freezes the replica; that must not happen at once. */
    assert_true(received > 3000);
    buffer_close(&configuration);
}

static void a_snapshot_is_ignored_where_nobody_takes_snapshots(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    struct buffer configuration = {0};
    struct buffer bytes = {0};
    replica_configuration_encode(lab_voters_3, 3, &configuration);
    codec_encode_install_snapshot(
        &(struct raft_install_snapshot){.term = 5, .last_index = 30, .last_term = 4, .conf_index = 1},
        buffer_bytes(&configuration), bytes_of_text("m"), &bytes);
    replica_host_receive(&lab->host, 1, FRAME_RAFT, buffer_bytes(&bytes));
    lab_run_ms(lab, 20);
    assert_int_equal(lab->failed, 0);
    assert_true(replica_host_status(&lab->host).last_index == 1);
    buffer_close(&configuration);
    buffer_close(&bytes);
    lab_close(lab);
}

static void a_member_below_the_leader_s_trail_gets_the_entries_from_the_log(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    uint64_t term = replica_host_status(&lab->host).term;
    for (unsigned i = 0; i < 20; i++) {
        lab_submit(lab, "x");
        lab_run_ms(lab, 1);
        lab_result(lab, 2, term, 0, replica_host_status(&lab->host).last_index);
    }
    lab_run_ms(lab, 10);
    uint64_t last = replica_host_status(&lab->host).last_index;
    assert_int_equal(lab_snapshot(lab, 3), last);
    lab_forget(lab);
    /* Node 3 comes back with nothing but entry 1. */
    uint64_t known = 1;
    for (unsigned i = 0; i < 10 * LAB_HEARTBEAT_MS && known < last; i++) {
        lab_run_ms(lab, 1);
        for (struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES); sent != NULL;
             sent = lab_next(lab, RAFT_APPEND_ENTRIES)) {
            uint64_t prev = sent->raft.raft.append_entries.prev_log_index;
            if (sent->to == 2) {
                lab_result(lab, 2, term, 0, last);
            } else if (prev > known) {
                lab_result(lab, 3, term, prev, known);
            } else {
                known = prev + sent->raft.entry_count > known ? prev + sent->raft.entry_count : known;
                lab_result(lab, 3, term, 0, known);
            }
        }
    }
    assert_true(known == last);
    uint64_t match;
    must(replica_match_index(lab->host.replica, 3, &match));
    assert_true(match == last);
    assert_int_equal(replica_voters_at(lab->host.replica, last), 3);
    lab_close(lab);
}

static void never_called(void *arg, int result, uint64_t index)
{
    fail_msg("a read of a closed replica ended");
}

static void a_replica_may_be_closed_with_appends_and_messages_on_their_way(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    lab->is_socket_full = 1;
    lab_stall(lab, 20);
    lab_submit(lab, "a");
    must(replica_read(lab->host.replica, never_called, NULL));
    replica_host_turn(&lab->host);
    assert_true(lab->queued > 0);
    replica_close(lab->host.replica);
    lab->host.replica = NULL;
    for (unsigned i = 0; i < lab->queued; i++) {
        struct buffer out = {0};
        assert_int_equal(lab->queue[i]->encode(lab->queue[i], &out), HF_ECLOSED);
        buffer_close(&out);
    }
    lab_drop_queue(lab);
    sim_run_for(lab->sim, 100000000);
    lab_close(lab);
}

static void what_waits_for_a_connection_that_ended_is_dropped(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    uint64_t term = replica_host_status(&lab->host).term;
    lab_result(lab, 3, term, 0, replica_host_status(&lab->host).last_index);
    lab_run_ms(lab, 1);
    lab->is_socket_full = 1;
    lab_submit(lab, "a");
    lab_submit(lab, "b");
    unsigned queued = lab->queued;
    replica_peer_changed(lab->host.replica, 2, false);
    replica_peer_changed(lab->host.replica, 3, false);
    /* What the hub held it gives back; nothing follows, and nothing is sent to who is not there. */
    lab_drop_queue(lab);
    lab_run_ms(lab, 2 * LAB_HEARTBEAT_MS);
    assert_true(queued > 0);
    assert_int_equal(lab->queued, 0);
    lab->is_socket_full = 0;
    lab_forget(lab);
    replica_peer_changed(lab->host.replica, 2, true);
    lab_run_ms(lab, 2 * LAB_HEARTBEAT_MS);
    struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES);
    assert_non_null(sent);
    assert_true(sent->to == 2);
    lab_close(lab);
}

static void a_leader_whose_connection_ended_does_not_cost_others_the_vote(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_append(lab, 1, 2, 1, 1, 1, NULL, 0);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).leader == 1);
    lab_request_vote(lab, 3, 3, 1, 1, CODEC_PRE_VOTE);
    struct lab_message *answer = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 20);
    assert_non_null(answer);
    assert_false(answer->raft.raft.request_vote_result.vote_granted);
    /* Another connection says nothing of it. */
    replica_peer_changed(lab->host.replica, 3, false);
    replica_peer_changed(lab->host.replica, 3, true);
    assert_true(replica_host_status(&lab->host).leader == 1);
    replica_peer_changed(lab->host.replica, 1, false);
    assert_true(replica_host_status(&lab->host).leader == 0);
    lab_request_vote(lab, 3, 3, 1, 1, CODEC_PRE_VOTE);
    answer = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 20);
    assert_non_null(answer);
    assert_true(answer->raft.raft.request_vote_result.vote_granted);
    /* It lives after all. */
    replica_peer_changed(lab->host.replica, 1, true);
    lab_append(lab, 1, 2, 1, 1, 1, NULL, 0);
    assert_true(replica_host_status(&lab->host).leader == 1);
    lab_close(lab);
}

static void messages_that_wait_for_a_slow_socket_are_merged(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    uint64_t first = replica_host_status(&lab->host).last_index + 1;
    lab->is_socket_full = 1;
    for (unsigned i = 0; i < 500; i++) {
        lab_submit(lab, "x");
    }
    lab->is_socket_full = 0;
    lab_pump(lab);
    unsigned messages = 0;
    uint64_t next = first;
    for (struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES); sent != NULL;
         sent = lab_next(lab, RAFT_APPEND_ENTRIES)) {
        if (sent->to == 2) {
            messages++;
            assert_true(sent->raft.raft.append_entries.prev_log_index == next - 1);
            next += sent->raft.entry_count;
        }
    }
    assert_true(next == first + 500);
    assert_true(messages <= 3);
    lab_close(lab);
}

static void the_log_of_another_cluster_is_refused(void **state)
{
    static const struct replica_member others[] = {
        {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}, {4, REPLICA_ROLE_VOTER}};
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    sim_host_kill(lab->host.host);
    replica_host_close(&lab->host);
    lab_drop_queue(lab);
    lab->host.options.members = others;
    assert_int_equal(lab_restart(lab), HF_EMISMATCH);
    lab_close(lab);
}

int main(void)
{
    replica_host_mutate();
    lab_quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_that_left_long_ago_take_no_room_from_new_ones),
        cmocka_unit_test(R18_a_full_disk_refuses_proposals_and_takes_them_again_when_there_is_space),
        cmocka_unit_test(R18_a_follower_without_space_keeps_its_leader_and_says_that_it_is_short),
        cmocka_unit_test(R18_a_full_queue_of_the_log_is_waited_for),
        cmocka_unit_test(GG_a_second_change_comes_while_the_first_waits_for_room_in_the_log),
        cmocka_unit_test(R18_a_leader_whose_own_barrier_finds_no_space_waits_for_it),
        cmocka_unit_test(H1_a_failed_sync_freezes_the_replica_for_good),
        cmocka_unit_test(a_second_leader_of_the_term_freezes_the_replica),
        cmocka_unit_test(malformed_frames_are_refused_and_change_nothing),
        cmocka_unit_test(H20_peers_that_say_anything_never_crash_the_replica),
        cmocka_unit_test(a_snapshot_is_ignored_where_nobody_takes_snapshots),
        cmocka_unit_test(a_member_below_the_leader_s_trail_gets_the_entries_from_the_log),
        cmocka_unit_test(a_replica_may_be_closed_with_appends_and_messages_on_their_way),
        cmocka_unit_test(what_waits_for_a_connection_that_ended_is_dropped),
        cmocka_unit_test(a_leader_whose_connection_ended_does_not_cost_others_the_vote),
        cmocka_unit_test(messages_that_wait_for_a_slow_socket_are_merged),
        cmocka_unit_test(the_log_of_another_cluster_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
