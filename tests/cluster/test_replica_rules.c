/* links: replica sim */
/* The rules of docs/decisions/0002 that are not guards, and the further guards H, J and K: one real replica and its
 * log, the test plays the peers. Those with a switch in base/mutation.h fail when it is on
 * (HOLDFAST_MUTATION=RULE_1_…). */
#include "cluster/replica_lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "replica/outbox.h"

#include "cluster/replica_host.c"
#include "cluster/replica_lab.c"

static const struct replica_member one_of_3[] = {
    {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_STANDBY}, {3, REPLICA_ROLE_STANDBY}};
static const struct replica_member spare_3[] = {
    {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_STANDBY}, {3, REPLICA_ROLE_SPARE}};

/* ---- rule 1: messages wait for term and vote ---- */

static void R1_no_message_leaves_before_term_and_vote_are_durable(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_stall(lab, 30);
    lab_request_vote(lab, 1, 5, 1, 1, 0);
    lab_run_ms(lab, 20);
    assert_null(lab_next(lab, RAFT_REQUEST_VOTE_RESULT));
    /* A message of a later step, which has nothing to do with the vote, waits too. */
    lab_append(lab, 3, 4, 1, 1, 1, NULL, 0);
    lab_run_ms(lab, 5);
    assert_null(lab_next(lab, RAFT_APPEND_ENTRIES_RESULT));
    lab_run_ms(lab, 30);
    struct lab_message *vote = lab_next(lab, RAFT_REQUEST_VOTE_RESULT);
    assert_non_null(vote);
    assert_true(vote->raft.raft.request_vote_result.vote_granted);
    assert_non_null(lab_next(lab, RAFT_APPEND_ENTRIES_RESULT));
    lab_close(lab);
}

static void R1_a_vote_that_left_is_remembered_after_a_power_cut(void **state)
{
    for (unsigned cut_ms = 0; cut_ms < 12; cut_ms++) {
        struct lab *lab = lab_open(2, lab_voters_3, 3);
        lab_stall(lab, 5);
        lab_request_vote(lab, 1, 5, 1, 1, 0);
        lab_run_ms(lab, cut_ms);
        struct lab_message *vote = lab_next(lab, RAFT_REQUEST_VOTE_RESULT);
        lab_power_cycle(lab);
        struct replica_status status = replica_host_status(&lab->host);
        if (vote != NULL && vote->raft.raft.request_vote_result.vote_granted) {
            assert_true(status.term == 5 && status.vote == 1);
        }
        lab_close(lab);
    }
}

/* ---- rules 2 and 3: truncation ---- */

static void R2_a_conflicting_suffix_is_replaced(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    struct hf_entry old[] = {lab_normal(2, 2, "a"), lab_normal(3, 2, "b"), lab_normal(4, 2, "c")};
    lab_append(lab, 1, 2, 1, 1, 1, old, 3);
    lab_run_ms(lab, 20);
    struct hf_entry new[] = {lab_normal(3, 3, "d")};
    lab_append(lab, 3, 3, 2, 2, 1, new, 1);
    lab_run_ms(lab, 20);
    struct replica_status status = replica_host_status(&lab->host);
    assert_true(status.last_index == 3 && status.durable_index == 3);
    lab_power_cycle(lab);
    assert_true(replica_host_term_at(&lab->host, 2) == 2 && replica_host_term_at(&lab->host, 3) == 3 &&
                replica_host_term_at(&lab->host, 4) == 0);
    lab_close(lab);
}

/* From here on every write takes between so and so long. */
static void set_write_time(struct lab *lab, uint64_t min_ns, uint64_t max_ns)
{
    struct sim_profile profile = sim_profile_calm();
    profile.write_ns = (struct sim_span){min_ns, max_ns};
    sim_set_profile(lab->sim, &profile);
}

static void R3_truncated_entries_are_not_reported_as_persisted(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    set_write_time(lab, 10000000, 10000000);
    struct hf_entry old[] = {lab_normal(2, 2, "a"), lab_normal(3, 2, "b"), lab_normal(4, 2, "c")};
    lab_append(lab, 1, 2, 1, 1, 1, old, 3);
    lab_run_ms(lab, 1);
    /* The next term is on its way too, so nothing but the entries themselves holds an answer back. */
    lab_request_vote(lab, 3, 3, 1, 2, CODEC_DISRUPT_LEADER);
    lab_run_ms(lab, 4);
    /* When these arrive the first ones are half way to the disk, and will be there first. */
    struct hf_entry new[] = {lab_normal(2, 3, "d"), lab_normal(3, 3, "e")};
    lab_append(lab, 3, 3, 1, 1, 1, new, 2);
    lab_run_ms(lab, 60);
    unsigned answers = 0;
    for (struct lab_message *answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT); answer != NULL;
         answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT)) {
        const struct raft_append_entries_result *result = &answer->raft.raft.append_entries_result;
        assert_true(result->rejected > 0 || result->last_log_index <= answer->durable_index);
        answers += result->term == 3 && result->last_log_index == 3;
    }
    assert_true(answers > 0);
    lab_close(lab);
}

/* ---- rule 4: the commit index on disk ---- */

static void append_large(struct lab *lab, uint64_t index, uint64_t commit)
{
    struct hf_entry entry = lab_normal(index, 2, "");
    size_t size = 200u << 10;
    char *text = test_calloc(1, size);
    entry.payload = bytes_of(text, size);
    lab_append(lab, 1, 2, index - 1, index == 2 ? 1 : 2, commit, &entry, 1);
    test_free(text);
}

static void R4_the_commit_index_on_disk_is_never_ahead_of_the_log(void **state)
{
    for (unsigned cut = 0; cut < 60; cut++) {
        struct replica_host_options options = {.members = lab_voters_3,
                                               .member_count = 3,
                                               .election_timeout_ms = LAB_ELECTION_MS,
                                               .heartbeat_timeout_ms = LAB_HEARTBEAT_MS,
                                               .write_size_max_bytes = 64u << 10};
        struct lab *lab = lab_open_with(2, &options);
        set_write_time(lab, 500000, 6000000);
        uint64_t cut_ns = sim_now_ns(lab->sim) + cut * 200000ull;
        for (uint64_t index = 2; index <= 12 && sim_now_ns(lab->sim) < cut_ns; index++) {
            append_large(lab, index, index);
            lab_run_ms(lab, 1);
        }
        sim_run_for(lab->sim, cut_ns > sim_now_ns(lab->sim) ? cut_ns - sim_now_ns(lab->sim) : 0);
        sim_disk_set_chooser(lab->host.host, lab_choose_durable, NULL);
        sim_host_power_off(lab->host.host);
        replica_host_close(&lab->host);
        lab_drop_queue(lab);
        if (lab_restart(lab) != 0) {
            fail_msg("power cut at %u x 0.2 ms: %s", cut, hf_error_text());
        }
        lab_close(lab);
    }
}

static void what_was_known_to_be_committed_is_applied_without_a_leader(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    struct hf_entry entries[] = {lab_normal(2, 2, "a"), lab_normal(3, 2, "b"), lab_normal(4, 2, "c")};
    lab_append(lab, 1, 2, 1, 1, 2, entries, 2);
    lab_append(lab, 1, 2, 3, 2, 3, entries + 2, 1);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).applied_index == 3);
    lab_power_cycle(lab);
    assert_true(replica_host_status(&lab->host).applied_index == 3);
    assert_int_equal(lab->applied_count, 3);
    /* And it stays known, although the engine begins again at entry 1. */
    lab_append(lab, 1, 3, 4, 2, 1, NULL, 0);
    lab_run_ms(lab, 20);
    struct hf_log_group_state log_state;
    must(hf_log_group_state(lab->host.log, REPLICA_HOST_GROUP, &log_state));
    assert_true(log_state.hard_state.term == 3 && log_state.hard_state.commit == 3);
    assert_true(replica_host_status(&lab->host).commit_index == 3);
    /* A leader that lacks it is no leader of this group. */
    struct hf_entry other = lab_normal(3, 3, "other");
    lab_append(lab, 1, 3, 2, 2, 1, &other, 1);
    assert_int_equal(lab->failed, HF_ECORRUPT);
    assert_true(replica_host_term_at(&lab->host, 3) == 2);
    lab_close(lab);
}

/* ---- rule 5: entries of messages ---- */

static void R5_a_message_over_the_cap_is_split_and_never_shortened(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    uint64_t term = replica_host_status(&lab->host).term;
    enum { PAYLOADS = 5 };
    static const size_t sizes[PAYLOADS] = {3u << 20, 3u << 20, 10, 6u << 20, 1u << 20};
    struct hf_bytes payloads[PAYLOADS];
    for (unsigned i = 0; i < PAYLOADS; i++) {
        payloads[i] = bytes_of(test_calloc(1, sizes[i]), sizes[i]);
    }
    uint64_t index;
    uint64_t index_term;
    must(replica_submit(lab->host.replica, payloads, PAYLOADS, REPLICA_HOST_STAMP_MS, &index, &index_term));
    replica_host_turn(&lab->host);
    uint64_t next = index;
    unsigned messages = 0;
    for (unsigned i = 0; i < 10 && next < index + PAYLOADS; i++) {
        for (struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES); sent != NULL;
             sent = lab_next(lab, RAFT_APPEND_ENTRIES)) {
            if (sent->to != 2 || sent->raft.entry_count == 0) {
                continue;
            }
            messages++;
            assert_true(sent->raft.raft.append_entries.term == term);
            assert_true(sent->raft.raft.append_entries.prev_log_index == next - 1);
            assert_true(sent->raft.entry_count == 1 || sent->bytes.size <= OUTBOX_ENTRIES_SIZE_MAX + 1024);
            next += sent->raft.entry_count;
        }
        lab_run_ms(lab, 1);
    }
    assert_true(next == index + PAYLOADS);
    assert_true(messages >= 4);
    for (unsigned i = 0; i < PAYLOADS; i++) {
        test_free((void *)payloads[i].data);
    }
    lab_close(lab);
}

static void R13_a_message_whose_entries_changed_meanwhile_is_dropped(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    uint64_t term = replica_host_status(&lab->host).term;
    lab->is_socket_full = 1;
    uint64_t index = lab_submit(lab, "mine");
    struct hf_entry other = lab_normal(index, term + 1, "theirs");
    lab_append(lab, 3, term + 1, index - 1, term, index - 1, &other, 1);
    lab_run_ms(lab, 20);
    assert_true(lab->lost_from == index);
    lab->is_socket_full = 0;
    lab_pump(lab);
    for (struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES); sent != NULL;
         sent = lab_next(lab, RAFT_APPEND_ENTRIES)) {
        assert_int_equal(sent->raft.entry_count, 0);
    }
    lab_close(lab);
}

/* ---- rule 11: the start of a term ---- */

static void R11_a_leader_begins_its_term_with_an_empty_entry(void **state)
{
    /* With nothing uncommitted the engine proposes none of its own. */
    struct lab *lab = lab_open(1, lab_alone, 1);
    lab_run_ms(lab, 20);
    struct replica_status status = replica_host_status(&lab->host);
    assert_int_equal(status.state, REPLICA_LEADER);
    assert_true(status.is_ready && status.last_index == 2 && status.commit_index == 2);
    assert_int_equal(lab->applied[1].type, HF_ENTRY_NOOP);
    assert_true(lab->applied[1].term == status.term);
    lab_close(lab);
}

static void R11_a_configuration_waits_for_an_entry_of_the_own_term(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    static const struct replica_member less[] = {
        {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_STANDBY}};
    for (unsigned round = 0; round < 2; round++) {
        struct lab_message *asked = lab_await(lab, RAFT_REQUEST_VOTE, 3 * LAB_ELECTION_MS);
        assert_non_null(asked);
        lab_vote(lab, 2, asked->raft.raft.request_vote.term, CODEC_VOTE_GRANTED | (round == 0 ? CODEC_PRE_VOTE : 0));
        lab_forget(lab);
    }
    lab_run_ms(lab, 10);
    struct replica_status status = replica_host_status(&lab->host);
    assert_int_equal(status.state, REPLICA_LEADER);
    assert_false(status.is_ready);
    assert_int_equal(replica_submit_configuration(lab->host.replica, less, 3), HF_EBUSY);
    lab_result(lab, 2, status.term, 0, status.last_index);
    lab_run_ms(lab, 5);
    assert_int_equal(replica_submit_configuration(lab->host.replica, less, 3), 0);
    /* One at a time. */
    lab_run_ms(lab, 5);
    assert_int_equal(replica_submit_configuration(lab->host.replica, lab_voters_3, 3), HF_EBUSY);
    lab_close(lab);
}

static void R14_a_change_touches_one_member_and_keeps_two_voters(void **state)
{
    static const struct replica_member voters_2[] = {{1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}};
    static const struct replica_member lone[] = {{1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_STANDBY}};
    static const struct replica_member replaced[] = {{1, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_VOTER}};
    static const struct replica_member unordered[] = {{2, REPLICA_ROLE_VOTER}, {1, REPLICA_ROLE_VOTER}};
    struct lab *lab = lab_open(1, voters_2, 2);
    lab_lead(lab);
    assert_int_equal(replica_submit_configuration(lab->host.replica, lone, 2), HF_EUNSAFE);
    assert_int_equal(replica_submit_configuration(lab->host.replica, replaced, 2), HF_EINVALID);
    assert_int_equal(replica_submit_configuration(lab->host.replica, unordered, 2), HF_EINVALID);
    assert_int_equal(replica_submit_configuration(lab->host.replica, voters_2, 2), HF_EINVALID);
    assert_int_equal(replica_submit_configuration(lab->host.replica, voters_2, 0), HF_EINVALID);
    lab_close(lab);
}

/* ---- rule 12: one missed round of heartbeats ---- */

static void R12_a_write_after_a_missed_heartbeat_is_sent_at_once(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    struct replica_status status = replica_host_status(&lab->host);
    lab_result(lab, 3, status.term, 0, status.last_index);
    /* Node 3 keeps us in office, node 2 misses two rounds and is back for the third. */
    unsigned rounds = 0;
    while (rounds < 3) {
        lab_run_ms(lab, 1);
        struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES);
        if (sent == NULL) {
            continue;
        }
        lab_forget(lab);
        rounds++;
        lab_result(lab, 3, status.term, 0, status.last_index);
        if (rounds == 3) {
            lab_result(lab, 2, status.term, 0, status.last_index);
        }
    }
    lab_run_ms(lab, 2);
    lab_forget(lab);
    uint64_t index = lab_submit(lab, "now");
    unsigned has_left = 0;
    for (struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES); sent != NULL;
         sent = lab_next(lab, RAFT_APPEND_ENTRIES)) {
        has_left |= sent->to == 2 && sent->raft.raft.append_entries.prev_log_index + sent->raft.entry_count == index;
    }
    assert_true(has_left);
    lab_close(lab);
}

/* ---- rule 16 ---- */

static void R16_configurations_can_change_again_after_a_restart(void **state)
{
    struct lab *lab = lab_open(1, one_of_3, 3);
    lab_run_ms(lab, 20);
    must(replica_submit_configuration(lab->host.replica, spare_3, 3));
    replica_host_turn(&lab->host);
    lab_run_ms(lab, 20);
    assert_int_equal(lab_role(lab, 3), REPLICA_ROLE_SPARE);
    for (unsigned keeps_state = 0; keeps_state < 2; keeps_state++) {
        /* Also when the state machine already has the entry. */
        lab->host.applied_index = keeps_state ? replica_host_status(&lab->host).applied_index : 0;
        lab_power_cycle(lab);
        lab_run_ms(lab, 20);
        assert_int_equal(lab_role(lab, 3), keeps_state ? REPLICA_ROLE_STANDBY : REPLICA_ROLE_SPARE);
        assert_int_equal(replica_submit_configuration(lab->host.replica, keeps_state ? spare_3 : one_of_3, 3), 0);
        replica_host_turn(&lab->host);
        lab_run_ms(lab, 20);
    }
    lab_close(lab);
}

/* ---- further guards ---- */

static void GH_an_append_of_an_older_term_is_never_answered_as_a_success(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_append(lab, 1, 5, 1, 1, 1, NULL, 0);
    lab_run_ms(lab, 20);
    lab_forget(lab);
    struct buffer buffer = {0};
    struct hf_entry entry = lab_change(1, 1, lab_voters_3, 3, &buffer);
    lab_append(lab, 3, 4, 0, 0, 1, &entry, 1);
    struct lab_message *answer = lab_await(lab, RAFT_APPEND_ENTRIES_RESULT, 20);
    assert_non_null(answer);
    assert_true(answer->raft.raft.append_entries_result.term == 5);
    assert_true(answer->raft.raft.append_entries_result.rejected > 0);
    assert_true(answer->raft.raft.append_entries_result.last_log_index == 0);
    buffer_close(&buffer);
    lab_close(lab);
}

/* The core reads a field of its candidate's state whatever it is, and what lies there depends on what it was. */
static void GI_a_vote_result_outside_an_election_changes_nothing(void **state)
{
    static const unsigned flags[] = {0, CODEC_VOTE_GRANTED, CODEC_PRE_VOTE, CODEC_PRE_VOTE | CODEC_VOTE_GRANTED};
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    for (unsigned round = 0; round < 2; round++) {
        if (round == 0) {
            lab_append(lab, 2, 3, 1, 1, 1, NULL, 0);
        } else {
            lab_lead(lab);
        }
        struct replica_status before = replica_host_status(&lab->host);
        assert_int_equal(before.state, round == 0 ? REPLICA_FOLLOWER : REPLICA_LEADER);
        for (unsigned i = 0; i < 4; i++) {
            lab_vote(lab, 2, before.term + 2 + i, flags[i]);
            struct replica_status after = replica_host_status(&lab->host);
            assert_true(after.term == before.term && after.state == before.state && after.leader == before.leader);
        }
    }
    lab_close(lab);
}

/* Nobody grants a pre-vote for a term that was not asked for; who says so has an old or a wrong election in mind. */
static void GI_a_pre_vote_granted_beyond_the_term_asked_for_changes_nothing(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    struct lab_message *asked = lab_await(lab, RAFT_REQUEST_VOTE, 3 * LAB_ELECTION_MS);
    assert_non_null(asked);
    uint64_t term = replica_host_status(&lab->host).term;
    assert_true(asked->raft.raft.request_vote.pre_vote);
    lab_vote(lab, 2, term + 7, CODEC_PRE_VOTE | CODEC_VOTE_GRANTED);
    struct replica_status status = replica_host_status(&lab->host);
    assert_true(status.term == term && status.state == REPLICA_CANDIDATE);
    lab_vote(lab, 2, term + 1, CODEC_PRE_VOTE | CODEC_VOTE_GRANTED); /* and the election goes on */
    assert_true(replica_host_status(&lab->host).term == term + 1);
    lab_close(lab);
}

static void GJ_leadership_is_handed_over_when_the_other_has_caught_up_and_not_before(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    uint64_t term = replica_host_status(&lab->host).term;
    uint64_t first = lab_submit(lab, "a");
    uint64_t second = lab_submit(lab, "b");
    must(replica_transfer(lab->host.replica, 2));
    lab_run_ms(lab, 5);
    assert_null(lab_next(lab, RAFT_TIMEOUT_NOW));
    lab_forget(lab);
    lab_result(lab, 2, term, 0, first);
    lab_run_ms(lab, 5);
    assert_null(lab_next(lab, RAFT_TIMEOUT_NOW));
    lab_forget(lab);
    lab_result(lab, 2, term, 0, second);
    struct lab_message *now = lab_await(lab, RAFT_TIMEOUT_NOW, 20);
    assert_non_null(now);
    assert_true(now->to == 2 && now->raft.raft.timeout_now.last_log_index == second);
    lab_close(lab);
}

static void GK_a_refused_pre_vote_tells_the_newer_term(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_request_vote(lab, 1, 9, 1, 1, 0);
    lab_run_ms(lab, 20);
    lab_forget(lab);
    lab_request_vote(lab, 3, 5, 7, 3, CODEC_PRE_VOTE);
    struct lab_message *answer = lab_await(lab, RAFT_REQUEST_VOTE_RESULT, 20);
    assert_non_null(answer);
    const struct raft_request_vote_result *result = &answer->raft.raft.request_vote_result;
    assert_true(result->term == 9 && result->pre_vote && !result->vote_granted);
    lab_close(lab);
}

static void GL_the_commit_index_never_goes_back(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    struct hf_entry entries[] = {lab_normal(2, 2, "a"), lab_normal(3, 2, "b"), lab_normal(4, 2, "c")};
    lab_append(lab, 1, 2, 1, 1, 3, entries, 3);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).commit_index == 3);
    /* The leader probes further below, and knows of more that is committed. */
    lab_append(lab, 1, 2, 1, 1, 4, entries, 1);
    assert_true(replica_host_status(&lab->host).commit_index == 3);
    lab_append(lab, 1, 2, 1, 1, 4, NULL, 0);
    assert_true(replica_host_status(&lab->host).commit_index == 3);
    lab_append(lab, 1, 2, 4, 2, 4, NULL, 0);
    assert_true(replica_host_status(&lab->host).commit_index == 4);
    lab_close(lab);
}

static void GK_a_candidate_learns_a_newer_term_from_a_refused_pre_vote(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    struct lab_message *asked = lab_await(lab, RAFT_REQUEST_VOTE, 3 * LAB_ELECTION_MS);
    assert_non_null(asked);
    lab_vote(lab, 2, 9, CODEC_PRE_VOTE);
    assert_true(replica_host_status(&lab->host).term == 9);
    lab_close(lab);
}

/* ---- reads ---- */

struct read_result {
    unsigned done;
    int result;
    uint64_t index;
};

static void note_read(void *arg, int result, uint64_t index)
{
    struct read_result *read = arg;
    read->done++;
    read->result = result;
    read->index = index;
}

static void answer_ping(struct lab *lab, uint64_t from, const struct lab_message *ping)
{
    replica_host_receive(&lab->host, from, FRAME_READ_PONG, buffer_bytes(&ping->bytes));
}

static void P3_a_read_waits_for_a_majority_to_confirm_the_leader(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    struct read_result reads[2] = {0};
    must(replica_read(lab->host.replica, note_read, &reads[0]));
    must(replica_read(lab->host.replica, note_read, &reads[1]));
    replica_host_turn(&lab->host);
    lab_run_ms(lab, 5);
    assert_int_equal(reads[0].done, 0);
    struct lab_message *ping = lab_next_kind(lab, FRAME_READ_PING);
    assert_non_null(ping);
    /* A stranger's answer counts for nothing, a voter's for both reads. */
    answer_ping(lab, 9, ping);
    assert_int_equal(reads[0].done, 0);
    answer_ping(lab, ping->to, ping);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(reads[i].done, 1);
        assert_int_equal(reads[i].result, 0);
        assert_true(reads[i].index == replica_host_status(&lab->host).commit_index);
    }
    /* An answer from before the next read does not confirm it. */
    must(replica_read(lab->host.replica, note_read, &reads[0]));
    replica_host_turn(&lab->host);
    answer_ping(lab, 3, ping);
    assert_int_equal(reads[0].done, 1);
    lab_close(lab);
}

static void P3_a_lost_ping_is_repeated(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    uint64_t term = replica_host_status(&lab->host).term;
    struct read_result read = {0};
    must(replica_read(lab->host.replica, note_read, &read));
    replica_host_turn(&lab->host);
    lab_run_ms(lab, 1);
    lab_forget(lab);
    struct lab_message *ping = NULL;
    for (unsigned i = 0; i < 2 * LAB_HEARTBEAT_MS && ping == NULL; i++) {
        lab_run_ms(lab, 1);
        lab_result(lab, 2, term, 0, 1);
        ping = lab_next_kind(lab, FRAME_READ_PING);
    }
    assert_non_null(ping);
    answer_ping(lab, ping->to, ping);
    assert_int_equal(read.done, 1);
    assert_int_equal(read.result, 0);
    lab_close(lab);
}

static void P3_a_read_waits_until_an_entry_of_the_term_is_committed(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    for (unsigned round = 0; round < 2; round++) {
        struct lab_message *asked = lab_await(lab, RAFT_REQUEST_VOTE, 3 * LAB_ELECTION_MS);
        assert_non_null(asked);
        lab_vote(lab, 2, asked->raft.raft.request_vote.term, CODEC_VOTE_GRANTED | (round == 0 ? CODEC_PRE_VOTE : 0));
        lab_forget(lab);
    }
    lab_run_ms(lab, 10);
    struct replica_status status = replica_host_status(&lab->host);
    assert_int_equal(status.state, REPLICA_LEADER);
    struct read_result read = {0};
    must(replica_read(lab->host.replica, note_read, &read));
    replica_host_turn(&lab->host);
    lab_run_ms(lab, 5);
    struct lab_message *ping = lab_next_kind(lab, FRAME_READ_PING);
    if (ping != NULL) {
        answer_ping(lab, ping->to, ping);
    }
    assert_int_equal(read.done, 0);
    lab_result(lab, 2, status.term, 0, status.last_index);
    lab_run_ms(lab, 5);
    ping = lab_next_kind(lab, FRAME_READ_PING);
    assert_non_null(ping);
    answer_ping(lab, ping->to, ping);
    assert_int_equal(read.done, 1);
    assert_true(read.result == 0 && read.index >= status.last_index);
    lab_close(lab);
}

static void P3_reads_that_wait_end_when_leadership_is_lost(void **state)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_lead(lab);
    struct read_result read = {0};
    must(replica_read(lab->host.replica, note_read, &read));
    replica_host_turn(&lab->host);
    lab_append(lab, 2, replica_host_status(&lab->host).term + 1, 1, 1, 1, NULL, 0);
    assert_int_equal(read.done, 1);
    assert_int_equal(read.result, HF_ENOTLEADER);
    assert_int_equal(replica_read(lab->host.replica, note_read, &read), HF_ENOTLEADER);
    lab_close(lab);
}

static void P3_a_lone_voter_answers_reads_at_once(void **state)
{
    struct lab *lab = lab_open(1, lab_alone, 1);
    lab_run_ms(lab, 20);
    struct read_result read = {0};
    must(replica_read(lab->host.replica, note_read, &read));
    replica_host_turn(&lab->host);
    assert_int_equal(read.done, 1);
    assert_true(read.result == 0 && read.index == 2);
    lab_close(lab);
}

static void P3_a_ping_of_another_term_is_not_answered(void **state)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_append(lab, 1, 5, 1, 1, 1, NULL, 0);
    lab_run_ms(lab, 20);
    for (uint64_t term = 4; term <= 6; term++) {
        uint8_t ping[17] = {1};
        bytes_put_u64(ping + 1, term);
        bytes_put_u64(ping + 9, 3);
        lab_forget(lab);
        replica_host_receive(&lab->host, 1, FRAME_READ_PING, bytes_of(ping, sizeof(ping)));
        struct lab_message *pong = lab_next_kind(lab, FRAME_READ_PONG);
        if (term == 5) {
            assert_non_null(pong);
            assert_memory_equal(pong->bytes.data, ping, sizeof(ping));
        } else {
            assert_null(pong);
        }
    }
    lab_close(lab);
}

int main(void)
{
    replica_host_mutate();
    lab_quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R1_no_message_leaves_before_term_and_vote_are_durable),
        cmocka_unit_test(R1_a_vote_that_left_is_remembered_after_a_power_cut),
        cmocka_unit_test(R2_a_conflicting_suffix_is_replaced),
        cmocka_unit_test(R3_truncated_entries_are_not_reported_as_persisted),
        cmocka_unit_test(R4_the_commit_index_on_disk_is_never_ahead_of_the_log),
        cmocka_unit_test(what_was_known_to_be_committed_is_applied_without_a_leader),
        cmocka_unit_test(R5_a_message_over_the_cap_is_split_and_never_shortened),
        cmocka_unit_test(R13_a_message_whose_entries_changed_meanwhile_is_dropped),
        cmocka_unit_test(R11_a_leader_begins_its_term_with_an_empty_entry),
        cmocka_unit_test(R11_a_configuration_waits_for_an_entry_of_the_own_term),
        cmocka_unit_test(R14_a_change_touches_one_member_and_keeps_two_voters),
        cmocka_unit_test(R12_a_write_after_a_missed_heartbeat_is_sent_at_once),
        cmocka_unit_test(R16_configurations_can_change_again_after_a_restart),
        cmocka_unit_test(GH_an_append_of_an_older_term_is_never_answered_as_a_success),
        cmocka_unit_test(GI_a_vote_result_outside_an_election_changes_nothing),
        cmocka_unit_test(GI_a_pre_vote_granted_beyond_the_term_asked_for_changes_nothing),
        cmocka_unit_test(GJ_leadership_is_handed_over_when_the_other_has_caught_up_and_not_before),
        cmocka_unit_test(GK_a_refused_pre_vote_tells_the_newer_term),
        cmocka_unit_test(GL_the_commit_index_never_goes_back),
        cmocka_unit_test(GK_a_candidate_learns_a_newer_term_from_a_refused_pre_vote),
        cmocka_unit_test(P3_a_read_waits_for_a_majority_to_confirm_the_leader),
        cmocka_unit_test(P3_a_lost_ping_is_repeated),
        cmocka_unit_test(P3_a_read_waits_until_an_entry_of_the_term_is_committed),
        cmocka_unit_test(P3_reads_that_wait_end_when_leadership_is_lost),
        cmocka_unit_test(P3_a_lone_voter_answers_reads_at_once),
        cmocka_unit_test(P3_a_ping_of_another_term_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
