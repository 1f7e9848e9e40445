#include "node/group_stream.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

void group_stream_encode(const struct group_stream_head *head, uint8_t target[GROUP_STREAM_HEAD_SIZE])
{
    memcpy(target, GROUP_STREAM_MAGIC, 8);
    bytes_put_u32(target + 8, GROUP_STREAM_VERSION);
    bytes_put_u32(target + 12, 0);
    bytes_put_u64(target + 16, head->group);
    bytes_put_u64(target + 24, head->incarnation);
    bytes_put_u64(target + 32, head->stamp_ms);
}

int group_stream_decode(const uint8_t source[GROUP_STREAM_HEAD_SIZE], struct group_stream_head *expected)
{
    if (memcmp(source, GROUP_STREAM_MAGIC, 8) != 0) {
        return error_raise(HF_ECORRUPT, "this is not the state of a group");
    }
    if (bytes_get_u32(source + 8) != GROUP_STREAM_VERSION) {
        return error_raise(HF_EVERSION, "the state of a group has version %" PRIu32 ", this program knows %u",
                           bytes_get_u32(source + 8), GROUP_STREAM_VERSION);
    }
    if (bytes_get_u32(source + 12) != 0) {
        return error_raise(HF_ECORRUPT, "the head of a group's state has bytes where none belong");
    }
    if (bytes_get_u64(source + 16) != expected->group || bytes_get_u64(source + 24) != expected->incarnation) {
        return error_raise(HF_EMISMATCH, "the state is that of group %" PRIu64 ", incarnation %016" PRIx64,
                           bytes_get_u64(source + 16), bytes_get_u64(source + 24));
    }
    expected->stamp_ms = bytes_get_u64(source + 32);
    return 0;
}

void group_import_open(struct group_import *import, const struct node_machine_ops *ops, void *machine, uint64_t group,
                       uint64_t incarnation)
{
    *import = (struct group_import){.ops = ops, .head = {.group = group, .incarnation = incarnation}};
    import->import = ops->import_open(machine);
}

int group_import_write(struct group_import *import, struct hf_bytes bytes)
{
    size_t missing = GROUP_STREAM_HEAD_SIZE - import->head_size;
    if (missing > 0) {
        size_t n = bytes.size < missing ? bytes.size : missing;
        if (n > 0) {
            memcpy(import->head_bytes + import->head_size, bytes.data, n);
        }
        import->head_size += n;
        bytes = bytes_of((const uint8_t *)bytes.data + n, bytes.size - n);
        if (n < missing) {
            return 0;
        }
        int rc = group_stream_decode(import->head_bytes, &import->head);
        if (rc != 0) {
            return rc;
        }
    }
    return bytes.size > 0 ? import->ops->import_write(import->import, bytes) : 0;
}

int group_import_finish(struct group_import *import)
{
    if (import->head_size < GROUP_STREAM_HEAD_SIZE) {
        return error_raise(HF_ECORRUPT, "the state of a group is truncated");
    }
    return import->ops->import_finish(import->import);
}

void group_import_swap(struct group_import *import, void *machine)
{
    import->ops->import_swap(machine, import->import);
}

void group_import_close(struct group_import *import)
{
    if (import->import != NULL) {
        import->ops->import_close(import->import);
        import->import = NULL;
    }
}

static int group_import_read(struct group_import *import, const struct group_import_source *source)
{
    struct hf_snapshot_reader *reader = NULL;
    struct hf_bytes chunk = {0};
    int rc = hf_snapshot_reader_open(source->store, source->id, &reader);
    do {
        rc = rc == 0 ? hf_snapshot_read_next(reader, &chunk) : rc;
        rc = rc == 0 && chunk.size > 0 ? group_import_write(import, chunk) : rc;
        if (rc == 0 && source->note != NULL) {
            source->note(source->arg, chunk.size);
        }
    } while (rc == 0 && chunk.size > 0);
    hf_snapshot_reader_close(reader);
    return rc == 0 ? group_import_finish(import) : rc;
}

int group_import_snapshot(const struct node_machine_ops *ops, void *machine, struct group_stream_head *head,
                          const struct group_import_source *source)
{
    struct group_import import;
    group_import_open(&import, ops, machine, head->group, head->incarnation);
    int rc = group_import_read(&import, source);
    if (rc == 0) {
        group_import_swap(&import, machine);
        head->stamp_ms = import.head.stamp_ms;
    }
    group_import_close(&import);
    return rc;
}

int group_stream_snapshot(const struct hf_snapshot_manifest *manifest, struct replica_snapshot *out)
{
    *out = (struct replica_snapshot){
        .index = manifest->index, .term = manifest->term, .configuration_index = manifest->configuration_index};
    int rc = replica_configuration_decode(bytes_of(manifest->configuration, manifest->configuration_size), out->members,
                                          &out->member_count);
    if (rc != 0 || out->index == 0 || out->term == 0 || out->configuration_index > out->index) {
        return error_raise(HF_ECORRUPT, "the manifest of the snapshot at index %" PRIu64 " makes no sense",
                           manifest->index);
    }
    return 0;
}
