#include "replica/propose.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mutation.h"
#include "replica/replica_configuration.h"
#include "replica/step.h"

/* Entries that are filled but for term and index, which follow from where the log ends now. */
static int propose_submit(struct replica *replica, struct hf_entry *entries, unsigned count)
{
    struct raft *raft = &replica->engine.raft;
    for (unsigned i = 0; i < count; i++) {
        entries[i].index = replica->appends.last_index + 1 + i;
        entries[i].term = raft_current_term(raft);
    }
    int rc = appends_reserve(&replica->appends, entries, count);
    if (rc != 0) {
        return error_wrap(rc, "proposing to group %" PRIu64, replica->options.group);
    }
    struct step_entries step = {.entries = entries, .count = count, .raft = engine_entries_new(entries, count)};
    struct raft_event event = {.type = RAFT_SUBMIT, .submit = {.entries = step.raft, .n = count}};
    rc = step_event(replica, &event, &step, NULL);
    engine_entries_free(step.raft, entries, count);
    if (rc == 0) {
        replica->is_noop_wanted = false;
        replica->proposed_last = entries[count - 1].index;
    } else {
        appends_unreserve(&replica->appends, entries, count);
    }
    return rc;
}

bool propose_noop(struct replica *replica)
{
    if (!replica->is_noop_wanted || replica->retry_ms != 0 || !step_is_leader(replica)) {
        return false;
    }
    struct hf_entry noop = {.type = HF_ENTRY_NOOP, .timestamp_ms = replica->stamp_last_ms};
    int rc = appends_is_blocked(&replica->appends) ? HF_EBUSY : propose_submit(replica, &noop, 1);
    if (rc != 0 && step_is_leader(replica)) {
        replica->retry_ms = engine_now_ms(&replica->engine) + REPLICA_RETRY_MS;
    }
    return rc == 0;
}

static int propose_check(const struct replica *replica)
{
    if (replica->phase == REPLICA_PHASE_FROZEN) {
        return error_raise(HF_ECLOSED, "group %" PRIu64 " has stopped: %s", replica->options.group,
                           replica->failure_text);
    }
    if (!step_is_leader(replica) || raft_transferee(&replica->engine.raft) != 0) {
        return error_raise(HF_ENOTLEADER, "node %" PRIu64 " does not lead group %" PRIu64, replica->options.node_id,
                           replica->options.group);
    }
    uint64_t uncommitted = replica->appends.last_index - raft_commit_index(&replica->engine.raft);
    if (appends_is_blocked(&replica->appends) || uncommitted >= REPLICA_UNCOMMITTED_ENTRIES_MAX) {
        return error_raise(HF_EBUSY, "group %" PRIu64 " has %" PRIu64 " entries under way", replica->options.group,
                           uncommitted);
    }
    return 0;
}

int propose_entries(struct replica *replica, const struct hf_bytes *payloads, unsigned count, uint64_t stamp_ms,
                    uint64_t *index, uint64_t *term)
{
    int rc = propose_check(replica);
    if (rc != 0) {
        return rc;
    }
    if (count == 0 || count > REPLICA_UNCOMMITTED_ENTRIES_MAX) {
        return error_raise(HF_EINVALID, "%u entries in one proposal", count);
    }
    uint64_t size = 0;
    struct hf_entry *entries = memory_new(count * sizeof(*entries));
    for (unsigned i = 0; i < count; i++) {
        entries[i] = (struct hf_entry){.timestamp_ms = stamp_ms, .type = HF_ENTRY_NORMAL, .payload = payloads[i]};
        size += payloads[i].size;
        if (payloads[i].size > REPLICA_ENTRY_SIZE_MAX || size > APPENDS_SIZE_MAX) {
            rc = error_raise(HF_ETOOBIG, "a proposal of more than %u bytes", REPLICA_ENTRY_SIZE_MAX);
            goto done;
        }
    }
    rc = propose_submit(replica, entries, count);
    if (rc == 0) {
        *index = entries[0].index;
        *term = entries[0].term;
    }
done:
    free(entries);
    return rc;
}

/* One server at a time, and back to a lone voter only when that was asked for: its loss loses everything. */
static int propose_check_members(const struct replica *replica, const struct replica_member *members, unsigned count,
                                 unsigned voters_min)
{
    int rc = replica_configuration_check(members, count);
    if (rc != 0) {
        return rc;
    }
    struct replica_member current[REPLICA_MEMBERS_MAX];
    unsigned current_count = replica_configuration_from_raft(&replica->engine.raft.configuration, current);
    if (replica_configuration_distance(current, current_count, members, count) != 1 && !MUTATED(CHANGE_OF_TWO)) {
        return error_raise(HF_EINVALID, "a change of configuration touches exactly one member");
    }
    if (replica_configuration_voters(members, count) < voters_min &&
        replica_configuration_voters(current, current_count) >= 2) {
        return error_raise(HF_EUNSAFE, "group %" PRIu64 " keeps at least two voters", replica->options.group);
    }
    return 0;
}

int propose_configuration(struct replica *replica, const struct replica_member *members, unsigned count,
                          unsigned voters_min)
{
    int rc = propose_check(replica);
    if (rc != 0) {
        return rc;
    }
    if (!step_is_ready(replica)) {
        return error_raise(HF_EBUSY, "no entry of term %llu of group %" PRIu64 " is committed yet",
                           raft_current_term(&replica->engine.raft), replica->options.group);
    }
    rc = propose_check_members(replica, members, count, voters_min);
    if (rc != 0) {
        return rc;
    }
    struct buffer payload = {0};
    replica_configuration_encode(members, count, &payload);
    struct hf_entry entry = {
        .timestamp_ms = replica->stamp_last_ms,
        .type = HF_ENTRY_CONFIGURATION,
        .payload = buffer_bytes(&payload),
    };
    rc = propose_submit(replica, &entry, 1);
    buffer_close(&payload);
    return rc;
}

int propose_transfer(struct replica *replica, uint64_t to_node)
{
    if (!step_is_leader(replica)) {
        return error_raise(HF_ENOTLEADER, "node %" PRIu64 " does not lead group %" PRIu64, replica->options.node_id,
                           replica->options.group);
    }
    struct raft_event event = {.type = RAFT_TRANSFER, .transfer = {.server_id = to_node}};
    return step_event(replica, &event, NULL, NULL);
}
