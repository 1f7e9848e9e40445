/* links: log sim */
/* Whatever an index file holds: no crash, no read past its end, and no state of a group that contradicts itself.
 *
 * The input is the header's fields and then the tables; checksums, magic and version are put right, so that the fuzzer
 * gets behind them. With bit 0 of the first byte the sizes are, too. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/trace.h"
#include "log/log_apply_index.h"
#include "log/log_index_file.h"
#include "sim/sim.h"

#define SIZE_LIMIT  (1u << 16)
#define SLOTS_LIMIT 4096u

static void check_groups(struct log_groups *groups, const struct log_segment *segment)
{
    uint64_t id = 0;
    struct log_segment wanted = {0};
    struct log_group *group = NULL;
    while ((group = log_groups_next(groups, id)) != NULL) {
        struct hf_log_group_state state;
        uint64_t last = 0;
        id = group->id;
        log_group_describe(group, &state);
        assert(state.last_index >= state.first_index - 1);
        assert(!log_index_last(&group->index, &last) || last <= state.last_index);
        wanted.live_entries += group->entry_count;
        wanted.live_bytes += group->payload_bytes;
    }
    assert(segment->live_entries == wanted.live_entries && segment->live_bytes == wanted.live_bytes);
}

static void apply(const struct log_index_summary *summary, struct hf_bytes tables)
{
    static struct sim *sim = NULL;
    static struct sim_host *host = NULL;
    if (sim == NULL) {
        sim = sim_open(1, NULL);
        host = sim_host_add(sim, NULL, NULL);
    }
    struct log_segment *segment = log_segment_new(&(struct log_segment_header){.number = 1, .incarnation = 7});
    struct log_groups groups = {0};
    struct log_damages damages = {0};
    struct log_apply target = {.groups = &groups, .damages = &damages, .front_missing = true};
    segment->index_file = log_index_file_of(sim_host_io(host), "/none", summary, tables.data);
    log_apply_index(&target, tables, segment);
    log_apply_finish(&target);
    check_groups(&groups, segment);
    log_groups_close(&groups);
    log_damage_close(&damages);
    log_segment_close(segment);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t fields_size = 120;
    if (size < 1 + fields_size || size > SIZE_LIMIT) {
        return 0;
    }
    trace_set_sink(say_nothing, NULL);
    bool sizes_right = (data[0] & 1) != 0;
    uint8_t *header = memory_new(LOG_INDEX_HEADER_SIZE);
    struct hf_bytes tables = bytes_of(data + 1 + fields_size, size - 1 - fields_size);
    struct log_index_summary summary = {0};
    log_index_format_put_header(header, &summary);
    memcpy(header + 16, data + 1, fields_size);
    if (sizes_right) {
        bytes_put_u64(header + 120, tables.size);
        memset(header + 40, 0, 64); /* positions that agree with each other */
        bytes_put_u64(header + 72, 4096);
        bytes_put_u64(header + 96, 4096);
    }
    bytes_put_u32(header + 136, log_index_format_tables_checksum(bytes_get_u64(header + 24), tables));
    bytes_put_u32(header + 8, checksum_crc32c(0, header + 12, LOG_INDEX_HEADER_SIZE - 12));
    int rc = log_index_format_get_header(header, &summary);
    assert(rc == 0 || rc == HF_ECORRUPT);
    struct log_index_cursor cursor;
    struct log_index_item item;
    rc = rc == 0 ? log_index_format_open_cursor(&cursor, &summary, tables) : rc;
    while (rc == 0) {
        rc = log_index_format_next(&cursor, &item);
    }
    assert(rc == HF_ENOTFOUND || rc == HF_ECORRUPT);
    if (rc == HF_ENOTFOUND && summary.slot_count <= SLOTS_LIMIT) {
        apply(&summary, tables);
    }
    free(header);
    return 0;
}
