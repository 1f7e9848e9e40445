/* links: log */
/* Whatever a segment file holds: no crash, no read past its end, no state of a group that contradicts itself.
 *
 * The first byte of the input chooses: bit 0, the rest are records, which get right checksums, a header and a trailer,
 * so that the fuzzer gets behind them; otherwise it is a piece of a segment as it is. bit 1, a segment header instead.
 * bit 2, the piece is salvaged as damage is, whether it is whole or not. bit 3, one byte of the finished frame is
 * flipped. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/log_apply.h"
#include "log/log_frame.h"

#define INCARNATION 77u
#define OFFSET      8192u
#define SIZE_LIMIT  (1u << 20)

static void try_segment_header(const uint8_t *data, size_t size)
{
    uint8_t *block = memory_new(LOG_FORMAT_SEGMENT_HEADER_SIZE);
    struct log_segment_header header;
    memcpy(block, data, size < LOG_FORMAT_SEGMENT_HEADER_SIZE ? size : LOG_FORMAT_SEGMENT_HEADER_SIZE);
    memcpy(block, "HFLOGSEG", 8);
    bytes_put_u32(block + 8, checksum_crc32c(0, block + 12, LOG_FORMAT_SEGMENT_HEADER_SIZE - 12));
    int rc = log_format_get_segment_header(block, &header);
    assert(rc == 0 || rc == HF_ECORRUPT || rc == HF_EVERSION);
    if (rc == 0) {
        uint8_t *again = memory_new(LOG_FORMAT_SEGMENT_HEADER_SIZE);
        struct log_segment_header same;
        log_format_put_segment_header(again, &header);
        assert(log_format_get_segment_header(again, &same) == 0 && memcmp(&same, &header, sizeof(same)) == 0);
        free(again);
    }
    free(block);
}

/* The input as records one after another, each sealed for its place; what is no record any more is left out. */
static size_t build_frame(uint8_t *frame, size_t capacity, const uint8_t *data, size_t size)
{
    struct log_place place = {.incarnation = INCARNATION, .segment = 1, .offset = OFFSET, .sequence = 1};
    static struct log_runs runs;
    struct log_frame_builder builder;
    log_frame_begin(&builder, &place, frame, capacity, &runs);
    while (size >= LOG_FORMAT_RECORD_HEADER_SIZE) {
        uint64_t taken = log_record_size(bytes_get_u32(data + 4));
        if (taken > size || !log_frame_fits(&builder, taken) || data[8] == LOG_RECORD_TRAILER) {
            break;
        }
        memcpy(frame + builder.used, data, taken);
        log_record_reseal(frame + builder.used, log_format_seed(INCARNATION, OFFSET + builder.used));
        builder.used += taken;
        builder.record_count++;
        data += taken;
        size -= taken;
    }
    struct log_declaration declaration = {.durable_position = 0, .oldest_segment = 1};
    return log_frame_seal(&builder, &declaration);
}

/* What must hold of every group, whatever was applied. */
static void check_groups(struct log_groups *groups, const struct log_segment *segment)
{
    uint64_t id = 0;
    struct log_segment wanted = {0};
    struct log_group *group = NULL;
    while ((group = log_groups_next(groups, id)) != NULL) {
        struct hf_log_group_state state;
        uint64_t last = 0;
        assert(group->id > id);
        id = group->id;
        log_group_describe(group, &state);
        assert(state.last_index >= state.first_index - 1 && state.durable_index <= state.last_index);
        assert(!log_index_last(&group->index, &last) || last <= state.last_index);
        wanted.live_entries += group->entry_count;
        wanted.live_bytes += group->payload_bytes;
        struct log_location location;
        uint64_t first = 0;
        if (log_index_next(&group->index, 0, &first)) {
            assert(first >= state.first_index && log_index_find(&group->index, first, &location));
        }
    }
    size_t position = 0;
    void *value = NULL;
    while (map_next(&groups->by_id, &position, &id, &value)) { /* removed ones, too */
        group = value;
        wanted.live_states += (group->hard_state_segment != NULL) + (group->floor_segment != NULL);
    }
    assert(segment->live_entries == wanted.live_entries && segment->live_bytes == wanted.live_bytes);
    assert(segment->live_states == wanted.live_states);
}

static void apply(const uint8_t *bytes, size_t size, bool salvage, bool front_missing)
{
    struct log_segment segment = {.header = {.number = 1, .incarnation = INCARNATION}};
    struct log_groups groups = {0};
    struct log_damages damages = {0};
    struct log_apply target = {.groups = &groups, .damages = &damages, .front_missing = front_missing};
    struct log_frame_header header;
    struct log_trailer trailer;
    bool good = log_frame_get_header(bytes, INCARNATION, 1, OFFSET, size, &header) &&
                log_frame_check(bytes_of(bytes, header.length), &header, &trailer) == 0;
    if (good && !salvage) {
        log_apply_frame(&target, bytes_of(bytes, header.length), &segment, OFFSET);
        /* A whole frame survives being moved. */
        uint8_t *moved = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, header.length);
        struct log_place place = {.incarnation = 5, .segment = 2, .offset = 4096, .sequence = 9, .position = 40960};
        struct log_declaration declaration = {.durable_position = 40960, .oldest_segment = 1};
        memcpy(moved, bytes, header.length);
        log_frame_move(moved, &header, &place, &declaration);
        assert(log_frame_get_header(moved, 5, 2, 4096, header.length, &header));
        assert(log_frame_check(bytes_of(moved, header.length), &header, &trailer) == 0);
        free(moved);
    } else {
        log_apply_salvage(&target, bytes_of(bytes, size), &segment, OFFSET);
        assert(damages.count > 0);
    }
    log_apply_finish(&target);
    check_groups(&groups, &segment);
    log_groups_close(&groups);
    log_damage_close(&damages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > SIZE_LIMIT) {
        return 0;
    }
    uint8_t choice = data[0];
    data++;
    size--;
    if ((choice & 2) != 0) {
        try_segment_header(data, size);
        return 0;
    }
    size_t capacity = log_format_align_block(size + LOG_FORMAT_FRAME_HEADER_SIZE + LOG_FORMAT_TRAILER_SIZE);
    uint8_t *bytes = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, capacity);
    size_t used = capacity;
    memset(bytes, 0, capacity);
    if ((choice & 1) != 0) {
        used = build_frame(bytes, capacity, data, size);
    } else if (size > 0) {
        memcpy(bytes, data, size);
    }
    if ((choice & 8) != 0 && size > 1) {
        bytes[(data[0] | (size_t)data[1] << 8) % used] ^= (uint8_t)(1u << (choice >> 4 & 7));
    }
    apply(bytes, used, (choice & 4) != 0, (choice & 128) != 0);
    free(bytes);
    return 0;
}
