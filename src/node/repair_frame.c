#include "node/repair_frame.h"

#include <inttypes.h>

#include "base/error.h"
#include "base/mutation.h"

void repair_frame_encode_request(const struct repair_request *request, struct buffer *out)
{
    buffer_append_u32(out, REPAIR_FRAME_VERSION);
    buffer_append_u32(out, 0);
    buffer_append_u64(out, request->term);
    buffer_append_u64(out, request->first);
    buffer_append_u64(out, request->last);
}

int repair_frame_decode_request(struct hf_bytes payload, struct repair_request *out)
{
    struct cursor cursor = cursor_of(payload);
    uint32_t version = cursor_u32(&cursor);
    uint32_t zero = cursor_u32(&cursor);
    *out = (struct repair_request){.term = cursor_u64(&cursor)};
    out->first = cursor_u64(&cursor);
    out->last = cursor_u64(&cursor);
    int rc = cursor_finish(&cursor, "a question for lost entries");
    if (rc == 0 && (version != REPAIR_FRAME_VERSION || zero != 0 || out->last < out->first || out->last == 0)) {
        rc = error_raise(HF_EPROTOCOL, "a question of version %" PRIu32 " for entries %" PRIu64 " … %" PRIu64, version,
                         out->first, out->last);
    }
    return rc;
}

void repair_frame_encode_answer(const struct repair_answer *answer, const struct hf_entry *entries, struct buffer *out)
{
    buffer_append_u32(out, REPAIR_FRAME_VERSION);
    buffer_append_u32(out, (uint32_t)answer->result);
    buffer_append_u64(out, answer->term);
    buffer_append_u64(out, answer->commit);
    buffer_append_u64(out, answer->first);
    buffer_append_u64(out, answer->leader);
    buffer_append_u32(out, answer->count);
    buffer_append_u32(out, 0);
    for (uint32_t i = 0; i < answer->count; i++) {
        buffer_append_u64(out, entries[i].term);
        buffer_append_u64(out, entries[i].timestamp_ms);
        buffer_append_u32(out, (uint32_t)entries[i].type);
        buffer_append_sized(out, entries[i].payload);
    }
}

void repair_frame_next_entry(struct cursor *cursor, struct hf_entry *out)
{
    *out = (struct hf_entry){.term = cursor_u64(cursor)};
    out->timestamp_ms = cursor_u64(cursor);
    out->type = (enum hf_entry_type)cursor_u32(cursor);
    out->payload = cursor_sized(cursor, HF_LOG_PAYLOAD_SIZE_MAX);
}

static int repair_frame_check_entries(const struct repair_answer *answer)
{
    struct cursor cursor = cursor_of(answer->entries);
    uint64_t term = 0;
    for (uint32_t i = 0; i < answer->count && !cursor.failed; i++) {
        struct hf_entry entry;
        repair_frame_next_entry(&cursor, &entry);
        if (cursor.failed || entry.type < HF_ENTRY_NORMAL || entry.type > HF_ENTRY_SNAPSHOT_MARKER || entry.term == 0 ||
            entry.term < term) {
            return error_raise(HF_EPROTOCOL, "an entry of term %" PRIu64 " and type %d", entry.term, (int)entry.type);
        }
        term = entry.term;
    }
    return cursor_finish(&cursor, "lost entries");
}

int repair_frame_decode_answer(struct hf_bytes payload, struct repair_answer *out)
{
    struct cursor cursor = cursor_of(payload);
    uint32_t version = cursor_u32(&cursor);
    *out = (struct repair_answer){.result = (int)cursor_u32(&cursor)};
    out->term = cursor_u64(&cursor);
    out->commit = cursor_u64(&cursor);
    out->first = cursor_u64(&cursor);
    out->leader = cursor_u64(&cursor);
    out->count = cursor_u32(&cursor);
    uint32_t zero = cursor_u32(&cursor);
    if (cursor.failed || version != REPAIR_FRAME_VERSION || zero != 0 || out->result > 0 ||
        (out->first == 0 && out->count > 0) || out->count > REPAIR_FRAME_ENTRIES_MAX ||
        out->count > UINT64_MAX - out->first || (out->result == 0) != (out->count > 0)) {
        return error_raise(HF_EPROTOCOL, "an answer about lost entries of version %" PRIu32 ", %zu bytes", version,
                           payload.size);
    }
    out->entries = cursor_bytes(&cursor, cursor.left);
    return repair_frame_check_entries(out);
}

int repair_frame_accept(const struct repair_request *request, const struct repair_answer *answer)
{
    if (answer->first != request->first) {
        return error_raise(HF_EPROTOCOL, "an answer about entry %" PRIu64 " where %" PRIu64 " was asked for",
                           answer->first, request->first);
    }
    if (answer->result != 0) {
        return error_raise(answer->result, "%s", hf_error_name(answer->result));
    }
    if (answer->term == 0 || answer->term < request->term) {
        return error_raise(HF_ENOTLEADER, "it leads in term %" PRIu64 ", and this node has reached %" PRIu64,
                           answer->term, request->term);
    }
    uint64_t last = answer->first + (answer->count - 1);
    if (last > request->last) {
        return error_raise(HF_EPROTOCOL, "entries up to %" PRIu64 " where %" PRIu64 " was the last asked for", last,
                           request->last);
    }
    if (last > answer->commit && !MUTATED(REPAIR_UNCOMMITTED)) {
        return error_raise(HF_ECONFLICT, "entry %" PRIu64 " is not committed there, only %" PRIu64 " is", last,
                           answer->commit);
    }
    return 0;
}
