#include "cluster/replica_lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/trace.h"

const struct replica_member lab_voters_3[3] = {
    {1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}, {3, REPLICA_ROLE_VOTER}};
const struct replica_member lab_alone[1] = {{1, REPLICA_ROLE_VOTER}};

static void lab_send(void *arg, struct replica_host *host, uint64_t to_node, struct peer_message *message)
{
    struct lab *lab = arg;
    assert_true(lab->queued < LAB_SENT_MAX);
    lab->queue_to[lab->queued] = to_node;
    lab->queue[lab->queued++] = message;
}

static int lab_apply(void *arg, struct replica_host *host, const struct hf_entry *entry)
{
    struct lab *lab = arg;
    assert_true(lab->applied_count < LAB_APPLIED_MAX);
    if (lab->applied_count > 0) {
        assert_true(entry->index == lab->applied[lab->applied_count - 1].index + 1);
    }
    lab->applied[lab->applied_count].index = entry->index;
    lab->applied[lab->applied_count].term = entry->term;
    lab->applied[lab->applied_count++].type = entry->type;
    return 0;
}

static void lab_changed(void *arg, struct replica_host *host, enum replica_state state, uint64_t term, uint64_t leader)
{
}

static void lab_lost(void *arg, struct replica_host *host, uint64_t from_index)
{
    struct lab *lab = arg;
    lab->lost_from = from_index;
}

static void lab_failed(void *arg, struct replica_host *host, int result)
{
    struct lab *lab = arg;
    lab->failed = result;
}

static void lab_wanted(void *arg, struct replica_host *host, uint64_t to_node)
{
    ((struct lab *)arg)->wanted_by = to_node;
}

static void lab_offered(void *arg, struct replica_host *host, uint64_t from_node, uint64_t term,
                        const struct replica_snapshot *snapshot, struct hf_bytes manifest)
{
    struct lab *lab = arg;
    lab->offers++;
    lab->offer_term = term;
    lab->offer = *snapshot;
    assert_true(manifest.size < sizeof(lab->offer_manifest));
    memcpy(lab->offer_manifest, manifest.data, manifest.size);
}

static int lab_install(void *arg, struct replica_host *host)
{
    struct lab *lab = arg;
    struct hf_log_group_state log;
    must(hf_log_group_state(host->log, REPLICA_HOST_GROUP, &log));
    lab->installs++;
    lab->install_durable_index = log.durable_index;
    lab->install_commit_index = replica_host_status(host).commit_index;
    lab->applied_count = 0; /* the next one need not follow the last */
    return lab->install_result;
}

static const struct replica_host_owner lab_owner = {.send = lab_send,
                                                    .apply = lab_apply,
                                                    .changed = lab_changed,
                                                    .lost = lab_lost,
                                                    .failed = lab_failed,
                                                    .snapshot_wanted = lab_wanted,
                                                    .snapshot_offered = lab_offered,
                                                    .snapshot_install = lab_install};

void lab_pump(struct lab *lab)
{
    for (unsigned i = 0; i < lab->queued && !lab->is_socket_full; i++) {
        struct peer_message *message = lab->queue[i];
        assert_true(lab->sent_count < LAB_SENT_MAX);
        struct lab_message *sent = &lab->sent[lab->sent_count];
        *sent = (struct lab_message){.to = lab->queue_to[i], .kind = message->kind};
        int rc = message->encode(message, &sent->bytes);
        if (rc == 0) {
            lab->sent_count++;
            struct hf_log_group_state state;
            must(hf_log_group_state(lab->host.log, REPLICA_HOST_GROUP, &state));
            sent->durable_index = state.durable_index;
            sent->commit_index = replica_host_status(&lab->host).commit_index;
            sent->at_ms = sim_now_ns(lab->sim) / 1000000u;
            if (sent->kind == FRAME_RAFT) {
                must(codec_decode(buffer_bytes(&sent->bytes), &sent->raft));
            }
        } else {
            buffer_close(&sent->bytes);
        }
        message->release(message, rc == 0);
        if (i + 1 == lab->queued) {
            lab->queued = 0;
        }
    }
}

static void lab_drop_queue(struct lab *lab)
{
    for (unsigned i = 0; i < lab->queued; i++) {
        lab->queue[i]->release(lab->queue[i], 0);
    }
    lab->queued = 0;
}

void lab_run_ms(struct lab *lab, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        lab_pump(lab);
        sim_run_for(lab->sim, 1000000u);
    }
    lab_pump(lab);
}

struct lab *lab_open_with(uint64_t node_id, const struct replica_host_options *options)
{
    struct lab *lab = test_calloc(1, sizeof(*lab));
    lab->sim = sim_open(1, NULL);
    replica_host_init(&lab->host, lab->sim, node_id, options, &lab_owner, lab);
    must(replica_host_start(&lab->host));
    lab_run_ms(lab, 20);
    return lab;
}

struct lab *lab_open(uint64_t node_id, const struct replica_member *members, unsigned count)
{
    struct replica_host_options options = {
        .members = members,
        .member_count = count,
        .election_timeout_ms = LAB_ELECTION_MS,
        .heartbeat_timeout_ms = LAB_HEARTBEAT_MS,
    };
    return lab_open_with(node_id, &options);
}

void lab_empty(struct lab *lab)
{
    for (unsigned i = 0; i < lab->sent_count; i++) {
        codec_message_close(&lab->sent[i].raft);
        buffer_close(&lab->sent[i].bytes);
    }
    lab->sent_count = 0;
    lab->seen = 0;
}

void lab_close(struct lab *lab)
{
    sim_host_kill(lab->host.host);
    replica_host_close(&lab->host);
    lab_drop_queue(lab);
    lab_empty(lab);
    sim_close(lab->sim);
    test_free(lab);
}

int lab_restart(struct lab *lab)
{
    lab->applied_count = 0;
    sim_host_start(lab->host.host);
    int rc = replica_host_start(&lab->host);
    if (rc == 0) {
        lab_run_ms(lab, 20);
    }
    return rc;
}

static unsigned lab_choose_durable(void *arg, const struct sim_choice *choice)
{
    return 0;
}

void lab_power_cycle(struct lab *lab)
{
    sim_disk_set_chooser(lab->host.host, lab_choose_durable, NULL);
    sim_host_power_off(lab->host.host);
    replica_host_close(&lab->host);
    lab_drop_queue(lab);
    must(lab_restart(lab));
}

/* ---- what it sent ---- */

static struct lab_message *lab_find(struct lab *lab, enum frame_kind kind, enum raft_message_type type)
{
    while (lab->seen < lab->sent_count) {
        struct lab_message *message = &lab->sent[lab->seen++];
        if (message->kind == kind && (kind != FRAME_RAFT || message->raft.raft.type == type)) {
            return message;
        }
    }
    return NULL;
}

struct lab_message *lab_next(struct lab *lab, enum raft_message_type type)
{
    lab_pump(lab);
    return lab_find(lab, FRAME_RAFT, type);
}

struct lab_message *lab_next_kind(struct lab *lab, enum frame_kind kind)
{
    lab_pump(lab);
    return lab_find(lab, kind, RAFT_APPEND_ENTRIES);
}

struct lab_message *lab_await(struct lab *lab, enum raft_message_type type, unsigned limit_ms)
{
    struct lab_message *message = lab_next(lab, type);
    for (unsigned i = 0; message == NULL && i < limit_ms; i++) {
        lab_run_ms(lab, 1);
        message = lab_next(lab, type);
    }
    return message;
}

void lab_forget(struct lab *lab)
{
    lab_pump(lab);
    lab->seen = lab->sent_count;
}

/* ---- what peers say ---- */

void lab_say(struct lab *lab, uint64_t from, const struct raft_message *raft, const struct hf_entry *entries,
             unsigned count)
{
    struct buffer bytes = {0};
    codec_encode(raft, entries, count, &bytes);
    replica_host_receive(&lab->host, from, FRAME_RAFT, buffer_bytes(&bytes));
    buffer_close(&bytes);
}

void lab_append(struct lab *lab, uint64_t from, uint64_t term, uint64_t prev_index, uint64_t prev_term, uint64_t commit,
                const struct hf_entry *entries, unsigned count)
{
    struct raft_message raft = {
        .type = RAFT_APPEND_ENTRIES,
        .append_entries = {
            .term = term, .prev_log_index = prev_index, .prev_log_term = prev_term, .leader_commit = commit}};
    lab_say(lab, from, &raft, entries, count);
}

void lab_result(struct lab *lab, uint64_t from, uint64_t term, uint64_t rejected, uint64_t last_index)
{
    struct raft_message raft = {.type = RAFT_APPEND_ENTRIES_RESULT,
                                .append_entries_result = {.version = 2,
                                                          .term = term,
                                                          .rejected = rejected,
                                                          .last_log_index = last_index,
                                                          .features = 1,
                                                          .capacity = UINT16_MAX}};
    lab_say(lab, from, &raft, NULL, 0);
}

void lab_request_vote(struct lab *lab, uint64_t from, uint64_t term, uint64_t last_index, uint64_t last_term,
                      unsigned flags)
{
    struct raft_message raft = {.type = RAFT_REQUEST_VOTE,
                                .request_vote = {.version = 2,
                                                 .term = term,
                                                 .candidate_id = from,
                                                 .last_log_index = last_index,
                                                 .last_log_term = last_term,
                                                 .pre_vote = (flags & CODEC_PRE_VOTE) != 0,
                                                 .disrupt_leader = (flags & CODEC_DISRUPT_LEADER) != 0}};
    lab_say(lab, from, &raft, NULL, 0);
}

void lab_vote(struct lab *lab, uint64_t from, uint64_t term, unsigned flags)
{
    struct raft_message raft = {.type = RAFT_REQUEST_VOTE_RESULT,
                                .request_vote_result = {.version = 2,
                                                        .term = term,
                                                        .pre_vote = (flags & CODEC_PRE_VOTE) != 0,
                                                        .vote_granted = (flags & CODEC_VOTE_GRANTED) != 0,
                                                        .features = 1,
                                                        .capacity = UINT16_MAX}};
    lab_say(lab, from, &raft, NULL, 0);
}

void lab_elect(struct lab *lab, uint64_t voter)
{
    for (unsigned round = 0; round < 2; round++) {
        struct lab_message *asked = lab_await(lab, RAFT_REQUEST_VOTE, 3 * LAB_ELECTION_MS);
        assert_non_null(asked);
        assert_int_equal(asked->raft.raft.request_vote.pre_vote, round == 0);
        lab_vote(lab, voter, asked->raft.raft.request_vote.term,
                 CODEC_VOTE_GRANTED | (round == 0 ? CODEC_PRE_VOTE : 0));
        lab_forget(lab);
        lab_run_ms(lab, round == 0 ? 0 : 10);
    }
    struct replica_status status = replica_host_status(&lab->host);
    assert_int_equal(status.state, REPLICA_LEADER);
    lab_result(lab, voter, status.term, 0, status.last_index);
    lab_run_ms(lab, 10);
    status = replica_host_status(&lab->host);
    lab_result(lab, voter, status.term, 0, status.last_index);
    lab_run_ms(lab, 10);
    assert_true(replica_host_status(&lab->host).is_ready);
}

/* ---- entries ---- */

struct hf_entry lab_normal(uint64_t index, uint64_t term, const char *text)
{
    return (struct hf_entry){.index = index,
                             .term = term,
                             .timestamp_ms = REPLICA_HOST_STAMP_MS + index,
                             .type = HF_ENTRY_NORMAL,
                             .payload = bytes_of_text(text)};
}

struct hf_entry lab_change(uint64_t index, uint64_t term, const struct replica_member *members, unsigned count,
                           struct buffer *buffer)
{
    buffer_clear(buffer);
    replica_configuration_encode(members, count, buffer);
    return (struct hf_entry){.index = index,
                             .term = term,
                             .timestamp_ms = REPLICA_HOST_STAMP_MS + index,
                             .type = HF_ENTRY_CONFIGURATION,
                             .payload = buffer_bytes(buffer)};
}

enum replica_role lab_role(const struct lab *lab, uint64_t node_id)
{
    struct replica_status status = replica_host_status(&lab->host);
    for (unsigned i = 0; i < status.member_count; i++) {
        if (status.members[i].node_id == node_id) {
            return status.members[i].role;
        }
    }
    fail_msg("node %llu is no member", (unsigned long long)node_id);
    return REPLICA_ROLE_SPARE;
}

void lab_append_run(struct lab *lab, uint64_t from, uint64_t term, uint64_t first, uint64_t last, uint64_t prev_term,
                    uint64_t commit)
{
    struct hf_entry entries[64];
    assert_true(last < first + 64);
    unsigned count = 0;
    for (uint64_t index = first; index <= last; index++) {
        entries[count++] = lab_normal(index, term, "x");
    }
    lab_append(lab, from, term, first - 1, prev_term, commit, entries, count);
}

void lab_lead(struct lab *lab)
{
    lab_elect(lab, 2);
    lab_forget(lab);
}

void lab_stall(struct lab *lab, unsigned ms)
{
    sim_disk_stall(lab->host.host, ms * 1000000ull);
}

static void lab_drop_line(void *arg, enum trace_level level, const char *line) {}

void lab_quiet(void)
{
    trace_set_sink(lab_drop_line, NULL);
}

struct replica_snapshot lab_snapshot_at(uint64_t index, uint64_t term)
{
    struct replica_snapshot snapshot = {.index = index, .term = term, .configuration_index = 1, .member_count = 3};
    memcpy(snapshot.members, lab_voters_3, sizeof(lab_voters_3));
    return snapshot;
}

uint64_t lab_submit(struct lab *lab, const char *text)
{
    struct hf_bytes payload = bytes_of_text(text);
    uint64_t index;
    uint64_t term;
    must(replica_submit(lab->host.replica, &payload, 1, REPLICA_HOST_STAMP_MS, &index, &term));
    replica_host_turn(&lab->host);
    return index;
}

void lab_offer(struct lab *lab, uint64_t from, uint64_t term, const struct replica_snapshot *snapshot)
{
    const struct raft_install_snapshot raft = {.term = term,
                                               .last_index = snapshot->index,
                                               .last_term = snapshot->term,
                                               .conf_index = snapshot->configuration_index};
    struct buffer configuration = {0};
    struct buffer bytes = {0};
    replica_configuration_encode(snapshot->members, snapshot->member_count, &configuration);
    codec_encode_install_snapshot(&raft, buffer_bytes(&configuration), bytes_of_text("manifest"), &bytes);
    must(replica_receive(lab->host.replica, from, FRAME_RAFT, buffer_bytes(&bytes)));
    replica_host_turn(&lab->host);
    buffer_close(&configuration);
    buffer_close(&bytes);
}

uint64_t lab_snapshot(struct lab *lab, uint64_t trailing)
{
    struct replica_snapshot point;
    must(replica_snapshot_point(lab->host.replica, &point));
    must(replica_snapshot_taken(lab->host.replica, &point, trailing));
    return point.index;
}
