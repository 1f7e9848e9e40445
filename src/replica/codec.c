#include "replica/codec.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "replica/replica.h"

const char *codec_type_name(enum raft_message_type type)
{
    switch (type) {
    case RAFT_APPEND_ENTRIES:
        return "append entries";
    case RAFT_APPEND_ENTRIES_RESULT:
        return "append entries result";
    case RAFT_REQUEST_VOTE:
        return "request vote";
    case RAFT_REQUEST_VOTE_RESULT:
        return "request vote result";
    case RAFT_INSTALL_SNAPSHOT:
        return "install snapshot";
    case RAFT_TIMEOUT_NOW:
        return "timeout now";
    }
    return "unknown message";
}

/* ---- encoding ---- */

static void codec_put_head(struct buffer *out, enum raft_message_type type, uint8_t version, uint8_t flags,
                           uint64_t term)
{
    buffer_append_u8(out, CODEC_FORMAT_VERSION);
    buffer_append_u8(out, (uint8_t)type);
    buffer_append_u8(out, version);
    buffer_append_u8(out, flags);
    buffer_append_u64(out, term);
}

static void codec_encode_append(const struct raft_append_entries *raft, const struct hf_entry *entries,
                                unsigned entry_count, struct buffer *out)
{
    codec_put_head(out, RAFT_APPEND_ENTRIES, raft->version, 0, raft->term);
    buffer_append_u64(out, raft->prev_log_index);
    buffer_append_u64(out, raft->prev_log_term);
    buffer_append_u64(out, raft->leader_commit);
    buffer_append_u32(out, entry_count);
    for (unsigned i = 0; i < entry_count; i++) {
        assert(entries[i].index == raft->prev_log_index + 1 + i);
        buffer_append_u64(out, entries[i].term);
        buffer_append_u64(out, entries[i].timestamp_ms);
        buffer_append_u8(out, (uint8_t)entries[i].type);
        buffer_append_sized(out, entries[i].payload);
    }
}

static void codec_encode_append_result(const struct raft_append_entries_result *raft, struct buffer *out)
{
    codec_put_head(out, RAFT_APPEND_ENTRIES_RESULT, raft->version, 0, raft->term);
    buffer_append_u64(out, raft->rejected);
    buffer_append_u64(out, raft->last_log_index);
    buffer_append_u16(out, raft->features);
    buffer_append_u16(out, raft->capacity);
}

static void codec_encode_vote(const struct raft_request_vote *raft, struct buffer *out)
{
    unsigned flags = (raft->pre_vote ? CODEC_PRE_VOTE : 0) | (raft->disrupt_leader ? CODEC_DISRUPT_LEADER : 0);
    codec_put_head(out, RAFT_REQUEST_VOTE, raft->version, (uint8_t)flags, raft->term);
    buffer_append_u64(out, raft->candidate_id);
    buffer_append_u64(out, raft->last_log_index);
    buffer_append_u64(out, raft->last_log_term);
}

static void codec_encode_vote_result(const struct raft_request_vote_result *raft, struct buffer *out)
{
    unsigned flags = (raft->pre_vote ? CODEC_PRE_VOTE : 0) | (raft->vote_granted ? CODEC_VOTE_GRANTED : 0);
    codec_put_head(out, RAFT_REQUEST_VOTE_RESULT, raft->version, (uint8_t)flags, raft->term);
    buffer_append_u16(out, raft->features);
    buffer_append_u16(out, raft->capacity);
}

static void codec_encode_timeout_now(const struct raft_timeout_now *raft, struct buffer *out)
{
    codec_put_head(out, RAFT_TIMEOUT_NOW, raft->version, 0, raft->term);
    buffer_append_u64(out, raft->last_log_index);
    buffer_append_u64(out, raft->last_log_term);
}

void codec_encode(const struct raft_message *raft, const struct hf_entry *entries, unsigned entry_count,
                  struct buffer *out)
{
    switch (raft->type) {
    case RAFT_APPEND_ENTRIES:
        codec_encode_append(&raft->append_entries, entries, entry_count, out);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        codec_encode_append_result(&raft->append_entries_result, out);
        break;
    case RAFT_REQUEST_VOTE:
        codec_encode_vote(&raft->request_vote, out);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        codec_encode_vote_result(&raft->request_vote_result, out);
        break;
    case RAFT_TIMEOUT_NOW:
        codec_encode_timeout_now(&raft->timeout_now, out);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        assert(!"install snapshot has an encoder of its own");
    }
}

void codec_encode_install_snapshot(const struct raft_install_snapshot *raft, struct hf_bytes configuration,
                                   struct hf_bytes manifest, struct buffer *out)
{
    assert(manifest.size <= CODEC_MANIFEST_SIZE_MAX);
    codec_put_head(out, RAFT_INSTALL_SNAPSHOT, raft->version, 0, raft->term);
    buffer_append_u64(out, raft->last_index);
    buffer_append_u64(out, raft->last_term);
    buffer_append_u64(out, raft->conf_index);
    buffer_append_sized(out, configuration);
    buffer_append_sized(out, manifest);
}

/* ---- decoding ---- */

static int codec_check_configuration(struct hf_bytes bytes)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    unsigned count;
    return replica_configuration_decode(bytes, members, &count);
}

/* term_min … term_max: where the entry's term must lie. */
static int codec_get_entry(struct cursor *cursor, uint64_t index, uint64_t term_min, uint64_t term_max,
                           struct hf_entry *entry)
{
    entry->index = index;
    entry->term = cursor_u64(cursor);
    entry->timestamp_ms = cursor_u64(cursor);
    uint8_t type = cursor_u8(cursor);
    entry->payload = cursor_sized(cursor, REPLICA_ENTRY_SIZE_MAX);
    if (cursor->failed) {
        return error_raise(HF_EPROTOCOL, "entry %" PRIu64 " is truncated", index);
    }
    if (entry->term == 0 || entry->term < term_min || entry->term > term_max) {
        return error_raise(HF_EPROTOCOL, "entry %" PRIu64 " of term %" PRIu64 " outside [%" PRIu64 ", %" PRIu64 "]",
                           index, entry->term, term_min, term_max);
    }
    entry->type = (enum hf_entry_type)type;
    switch (type) {
    case HF_ENTRY_NORMAL:
        break;
    case HF_ENTRY_CONFIGURATION: {
        int rc = codec_check_configuration(entry->payload);
        return rc == 0 ? 0 : error_wrap(rc, "entry %" PRIu64, index);
    }
    case HF_ENTRY_NOOP:
        if (entry->payload.size != 0) {
            return error_raise(HF_EPROTOCOL, "no-op entry %" PRIu64 " has a payload", index);
        }
        break;
    default:
        return error_raise(HF_EPROTOCOL, "entry %" PRIu64 " of unknown type %u", index, type);
    }
    if (index == 1) {
        return error_raise(HF_EPROTOCOL, "entry 1 is not a configuration");
    }
    return 0;
}

static int codec_get_entries(struct cursor *cursor, struct codec_message *out)
{
    const struct raft_append_entries *raft = &out->raft.append_entries;
    uint32_t count = cursor_u32(cursor);
    /* Before anything is allocated: each entry takes at least its head. */
    if (cursor->failed || count > CODEC_ENTRIES_MAX || (uint64_t)count * CODEC_ENTRY_HEAD_SIZE > cursor->left) {
        return error_raise(HF_EPROTOCOL, "append entries claims %" PRIu32 " entries in %zu bytes", count, cursor->left);
    }
    if (raft->prev_log_index > UINT64_MAX - 1 - count) {
        return error_raise(HF_EPROTOCOL, "append entries behind index %llu", raft->prev_log_index);
    }
    if (count == 0) {
        return 0;
    }
    out->entries = memory_new(count * sizeof(*out->entries));
    out->entry_count = count;
    uint64_t term_min = raft->prev_log_term;
    for (uint32_t i = 0; i < count; i++) {
        int rc = codec_get_entry(cursor, raft->prev_log_index + 1 + i, term_min, raft->term, &out->entries[i]);
        if (rc != 0) {
            return rc;
        }
        term_min = out->entries[i].term;
    }
    return 0;
}

static int codec_decode_append(struct cursor *cursor, struct codec_message *out)
{
    struct raft_append_entries *raft = &out->raft.append_entries;
    raft->prev_log_index = cursor_u64(cursor);
    raft->prev_log_term = cursor_u64(cursor);
    raft->leader_commit = cursor_u64(cursor);
    if ((raft->prev_log_index == 0) != (raft->prev_log_term == 0) || raft->prev_log_term > raft->term) {
        return error_raise(HF_EPROTOCOL, "append entries of term %llu behind index %llu of term %llu", raft->term,
                           raft->prev_log_index, raft->prev_log_term);
    }
    return codec_get_entries(cursor, out);
}

static int codec_decode_install_snapshot(struct cursor *cursor, struct codec_message *out)
{
    struct raft_install_snapshot *raft = &out->raft.install_snapshot;
    raft->last_index = cursor_u64(cursor);
    raft->last_term = cursor_u64(cursor);
    raft->conf_index = cursor_u64(cursor);
    out->configuration = cursor_sized(cursor, REPLICA_ENTRY_SIZE_MAX);
    out->manifest = cursor_sized(cursor, CODEC_MANIFEST_SIZE_MAX);
    if (cursor->failed) {
        return error_raise(HF_EPROTOCOL, "install snapshot is truncated");
    }
    if (raft->last_index == 0 || raft->last_term == 0 || raft->last_term > raft->term || raft->conf_index == 0 ||
        raft->conf_index > raft->last_index) {
        return error_raise(HF_EPROTOCOL, "install snapshot of index %llu, term %llu, configuration %llu",
                           raft->last_index, raft->last_term, raft->conf_index);
    }
    return codec_check_configuration(out->configuration);
}

static int codec_decode_body(struct cursor *cursor, uint8_t version, uint8_t flags, uint64_t term,
                             struct codec_message *out)
{
    struct raft_message *raft = &out->raft;
    switch (raft->type) {
    case RAFT_APPEND_ENTRIES:
        raft->append_entries.version = version;
        raft->append_entries.term = term;
        return codec_decode_append(cursor, out);
    case RAFT_APPEND_ENTRIES_RESULT:
        raft->append_entries_result.version = version;
        raft->append_entries_result.term = term;
        raft->append_entries_result.rejected = cursor_u64(cursor);
        raft->append_entries_result.last_log_index = cursor_u64(cursor);
        raft->append_entries_result.features = cursor_u16(cursor);
        raft->append_entries_result.capacity = cursor_u16(cursor);
        return 0;
    case RAFT_REQUEST_VOTE:
        raft->request_vote.version = version;
        raft->request_vote.term = term;
        raft->request_vote.pre_vote = (flags & CODEC_PRE_VOTE) != 0;
        raft->request_vote.disrupt_leader = (flags & CODEC_DISRUPT_LEADER) != 0;
        raft->request_vote.candidate_id = cursor_u64(cursor);
        raft->request_vote.last_log_index = cursor_u64(cursor);
        raft->request_vote.last_log_term = cursor_u64(cursor);
        return 0;
    case RAFT_REQUEST_VOTE_RESULT:
        raft->request_vote_result.version = version;
        raft->request_vote_result.term = term;
        raft->request_vote_result.pre_vote = (flags & CODEC_PRE_VOTE) != 0;
        raft->request_vote_result.vote_granted = (flags & CODEC_VOTE_GRANTED) != 0;
        raft->request_vote_result.features = cursor_u16(cursor);
        raft->request_vote_result.capacity = cursor_u16(cursor);
        return 0;
    case RAFT_INSTALL_SNAPSHOT:
        raft->install_snapshot.version = version;
        raft->install_snapshot.term = term;
        return codec_decode_install_snapshot(cursor, out);
    case RAFT_TIMEOUT_NOW:
        raft->timeout_now.version = version;
        raft->timeout_now.term = term;
        raft->timeout_now.last_log_index = cursor_u64(cursor);
        raft->timeout_now.last_log_term = cursor_u64(cursor);
        return 0;
    }
    return error_raise(HF_EPROTOCOL, "raft message of unknown type %d", (int)raft->type);
}

static unsigned codec_flags_allowed(uint8_t type)
{
    switch (type) {
    case RAFT_REQUEST_VOTE:
        return CODEC_PRE_VOTE | CODEC_DISRUPT_LEADER;
    case RAFT_REQUEST_VOTE_RESULT:
        return CODEC_PRE_VOTE | CODEC_VOTE_GRANTED;
    default:
        return 0;
    }
}

static int codec_check_head(uint8_t format, uint8_t type, uint8_t version, uint8_t flags, uint64_t term)
{
    if (format != CODEC_FORMAT_VERSION) {
        return error_raise(HF_EPROTOCOL, "raft message of format %u, known is %u", format, CODEC_FORMAT_VERSION);
    }
    if (type < RAFT_APPEND_ENTRIES || type > RAFT_TIMEOUT_NOW) {
        return error_raise(HF_EPROTOCOL, "raft message of unknown type %u", type);
    }
    if ((flags & ~codec_flags_allowed(type)) != 0) {
        return error_raise(HF_EPROTOCOL, "%s with flags %#x", codec_type_name((enum raft_message_type)type), flags);
    }
    bool is_vote = type == RAFT_REQUEST_VOTE || type == RAFT_REQUEST_VOTE_RESULT;
    if (is_vote && version < CODEC_VOTE_VERSION_MIN) {
        /* Below it a pre-vote that was granted late counts as a vote. */
        return error_raise(HF_EPROTOCOL, "%s of version %u", codec_type_name((enum raft_message_type)type), version);
    }
    if (term == 0) {
        return error_raise(HF_EPROTOCOL, "%s without a term", codec_type_name((enum raft_message_type)type));
    }
    return 0;
}

int codec_decode(struct hf_bytes payload, struct codec_message *out)
{
    *out = (struct codec_message){0};
    struct cursor cursor = cursor_of(payload);
    uint8_t format = cursor_u8(&cursor);
    uint8_t type = cursor_u8(&cursor);
    uint8_t version = cursor_u8(&cursor);
    uint8_t flags = cursor_u8(&cursor);
    uint64_t term = cursor_u64(&cursor);
    if (cursor.failed) {
        return error_raise(HF_EPROTOCOL, "raft message of %zu bytes", payload.size);
    }
    int rc = codec_check_head(format, type, version, flags, term);
    if (rc != 0) {
        return rc;
    }
    out->raft.type = (enum raft_message_type)type;
    rc = codec_decode_body(&cursor, version, flags, term, out);
    if (rc == 0) {
        rc = cursor_finish(&cursor, codec_type_name(out->raft.type));
    }
    if (rc != 0) {
        codec_message_close(out);
    }
    return rc;
}

void codec_message_close(struct codec_message *message)
{
    free(message->entries);
    *message = (struct codec_message){0};
}
