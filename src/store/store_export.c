#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "store/backend.h"
#include "store/store_stream.h"

struct hf_store_export {
    const struct hf_store_cut *cut; /* lent */
    uint32_t tree;                  /* the next one to open */
    struct hf_store_cursor *cursor; /* in the tree before it; NULL: between trees */
    uint64_t entries;
    bool is_ended;
    uint8_t head[STORE_STREAM_END_SIZE]; /* the record that goes out now … */
    struct hf_bytes parts[3];            /* … and what else belongs to it, lent by the cut */
    unsigned part;                       /* the first of them with bytes left; 3: take the next record */
};

static void store_export_record(struct hf_store_export *stream, size_t head_size, struct hf_bytes key,
                                struct hf_bytes value)
{
    stream->parts[0] = bytes_of(stream->head, head_size);
    stream->parts[1] = key;
    stream->parts[2] = value;
    stream->part = 0;
}

int hf_store_export_open(const struct hf_store_cut *cut, struct hf_store_export **out)
{
    struct hf_store_export *stream = memory_new(sizeof(*stream));
    uint32_t trees = 0;
    stream->cut = cut;
    for (uint32_t tree = 0; tree < hf_store_cut_trees(cut); tree++) {
        struct hf_store_tree_stat stat;
        (void)hf_store_cut_tree_stat(cut, tree, &stat);
        trees += stat.entries > 0;
    }
    memcpy(stream->head, STORE_STREAM_MAGIC, 8);
    bytes_put_u32(stream->head + 8, STORE_STREAM_VERSION);
    bytes_put_u32(stream->head + 12, trees);
    store_export_record(stream, STORE_STREAM_HEAD_SIZE, (struct hf_bytes){0}, (struct hf_bytes){0});
    *out = stream;
    return 0;
}

void hf_store_export_close(struct hf_store_export *stream)
{
    if (stream != NULL) {
        hf_store_cursor_close(stream->cursor);
        free(stream);
    }
}

static void store_export_end(struct hf_store_export *stream)
{
    struct hf_store_digest digest = hf_store_cut_digest(stream->cut);
    struct hf_store_applied applied = hf_store_cut_applied(stream->cut);
    memset(stream->head, 0, STORE_STREAM_END_SIZE);
    bytes_put_u8(stream->head, STORE_STREAM_END);
    bytes_put_u64(stream->head + 8, stream->entries);
    bytes_put_u64(stream->head + 16, digest.low);
    bytes_put_u64(stream->head + 24, digest.high);
    bytes_put_u64(stream->head + 32, applied.index);
    bytes_put_u64(stream->head + 40, applied.term);
    store_export_record(stream, STORE_STREAM_END_SIZE, (struct hf_bytes){0}, (struct hf_bytes){0});
    stream->is_ended = true;
}

/* The next tree that has entries, or the end. */
static int store_export_next_tree(struct hf_store_export *stream)
{
    while (stream->tree < hf_store_cut_trees(stream->cut)) {
        uint32_t tree = stream->tree++;
        struct hf_store_tree_stat stat;
        int rc = hf_store_cut_tree_stat(stream->cut, tree, &stat);
        if (rc != 0) {
            return rc;
        }
        if (stat.entries > 0) {
            memset(stream->head, 0, STORE_STREAM_TREE_SIZE);
            bytes_put_u8(stream->head, STORE_STREAM_TREE);
            bytes_put_u32(stream->head + 4, tree);
            bytes_put_u64(stream->head + 8, stat.entries);
            store_export_record(stream, STORE_STREAM_TREE_SIZE, (struct hf_bytes){0}, (struct hf_bytes){0});
            return hf_store_cut_cursor_open(stream->cut, tree, NULL, HF_STORE_FORWARD, &stream->cursor);
        }
    }
    store_export_end(stream);
    return 0;
}

static int store_export_next(struct hf_store_export *stream)
{
    struct hf_store_entry entry;
    if (stream->cursor == NULL) {
        return store_export_next_tree(stream);
    }
    int rc = hf_store_cursor_next(stream->cursor, &entry);
    if (rc == HF_ENOTFOUND) {
        hf_store_cursor_close(stream->cursor);
        stream->cursor = NULL;
        return store_export_next_tree(stream);
    }
    if (rc != 0) {
        return rc;
    }
    stream->entries++;
    bytes_put_u8(stream->head, STORE_STREAM_ENTRY);
    bytes_put_u16(stream->head + 1, (uint16_t)entry.key.size);
    bytes_put_u32(stream->head + 3, (uint32_t)entry.value.size);
    store_export_record(stream, STORE_STREAM_ENTRY_SIZE, entry.key, entry.value);
    return 0;
}

int hf_store_export_read(struct hf_store_export *stream, void *target, size_t size, size_t *got)
{
    uint8_t *to = target;
    size_t done = 0;
    stream->cut->ops->prepare(stream->cut);
    while (done < size) {
        if (stream->part == 3) {
            if (stream->is_ended) {
                break;
            }
            int rc = store_export_next(stream);
            if (rc != 0) {
                return rc;
            }
        }
        struct hf_bytes *part = &stream->parts[stream->part];
        size_t n = part->size < size - done ? part->size : size - done;
        if (n > 0) {
            memcpy(to + done, part->data, n);
        }
        done += n;
        *part = bytes_of((const uint8_t *)part->data + n, part->size - n);
        stream->part += part->size == 0;
    }
    *got = done;
    return 0;
}

uint64_t hf_store_export_entries(const struct hf_store_export *stream)
{
    return stream->entries;
}
