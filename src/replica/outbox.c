#include "replica/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "replica/codec.h"

#define OUTBOX_BYTES_MAX 40u /* of a ready-made message */

struct outbox_item {
    struct peer_message message; /* what the hub sees of it */
    struct list link;            /* in one of the peer's lists */
    struct outbox *outbox;       /* NULL once that is closed */
    struct outbox_peer *peer;
    enum frame_kind kind;
    uint64_t after;
    struct raft_message raft;        /* of FRAME_RAFT */
    uint64_t last_term;              /* of the range's last entry */
    unsigned left;                   /* entries that the encoded part did not take */
    uint64_t left_prev_term;         /* of the last one that it took */
    bool is_pointless;               /* encode refused */
    uint8_t bytes[OUTBOX_BYTES_MAX]; /* of the other kinds */
    size_t bytes_size;
    struct buffer snapshot; /* of an InstallSnapshot */
};

static void outbox_item_free(struct outbox_item *item)
{
    buffer_close(&item->snapshot);
    free(item);
}

void outbox_open(struct outbox *outbox, struct hf_log *log, uint64_t group, uint64_t group_incarnation,
                 const struct outbox_callbacks *callbacks, void *arg)
{
    *outbox = (struct outbox){
        .log = log,
        .group = group,
        .group_incarnation = group_incarnation,
        .callbacks = *callbacks,
        .arg = arg,
    };
}

static void outbox_peer_clear(struct outbox_peer *peer)
{
    list_splice(&peer->queue, &peer->aside);
    list_each_safe (&peer->queue, link) {
        list_remove(link);
        outbox_item_free(list_entry(link, struct outbox_item, link));
    }
    peer->queued = 0;
}

void outbox_clear(struct outbox *outbox)
{
    for (unsigned i = 0; i < outbox->peer_count; i++) {
        outbox_peer_clear(outbox->peers[i]);
    }
}

void outbox_close(struct outbox *outbox)
{
    outbox_clear(outbox);
    for (unsigned i = 0; i < outbox->peer_count; i++) {
        list_each_safe (&outbox->peers[i]->exposed, link) {
            list_remove(link);
            list_entry(link, struct outbox_item, link)->outbox = NULL;
        }
        free(outbox->peers[i]);
    }
    free(outbox->peers);
    outbox->peers = NULL;
    outbox->peer_count = 0;
}

/* Ids of nodes are never used again: in a process that lives long, those of members that left would take all room. */
static bool outbox_forget_idle(struct outbox *outbox)
{
    for (unsigned i = 0; i < outbox->peer_count; i++) {
        struct outbox_peer *peer = outbox->peers[i];
        if (list_empty(&peer->queue) && list_empty(&peer->aside) && list_empty(&peer->exposed)) {
            free(peer);
            outbox->peers[i] = outbox->peers[--outbox->peer_count];
            return true;
        }
    }
    return false;
}

static struct outbox_peer *outbox_peer_of(struct outbox *outbox, uint64_t node_id)
{
    for (unsigned i = 0; i < outbox->peer_count; i++) {
        if (outbox->peers[i]->node_id == node_id) {
            return outbox->peers[i];
        }
    }
    if (outbox->peer_count == OUTBOX_PEERS_MAX && !outbox_forget_idle(outbox)) {
        return NULL;
    }
    struct outbox_peer *peer = memory_new(sizeof(*peer));
    peer->node_id = node_id;
    list_init(&peer->queue);
    list_init(&peer->aside);
    list_init(&peer->exposed);
    outbox->peers = memory_resize(outbox->peers, (outbox->peer_count + 1) * sizeof(struct outbox_peer *));
    outbox->peers[outbox->peer_count++] = peer;
    return peer;
}

/* ---- encoding, when the hub has room ---- */

/* Whether the log still has the range as it was when the engine spoke of it. By log matching it is enough that the
 * last entry has its term, and the one before the range its own. */
static int outbox_check_range(const struct outbox *outbox, const struct outbox_item *item)
{
    const struct raft_append_entries *range = &item->raft.append_entries;
    uint64_t term;
    if (range->prev_log_index > 0) {
        int rc = hf_log_term(outbox->log, outbox->group, range->prev_log_index, &term);
        if (rc != 0 || term != range->prev_log_term) {
            return rc != 0 ? rc : HF_EUNAVAILABLE;
        }
    }
    int rc = hf_log_term(outbox->log, outbox->group, range->prev_log_index + range->n_entries, &term);
    if (rc != 0 || term != item->last_term) {
        return rc != 0 ? rc : HF_EUNAVAILABLE;
    }
    return 0;
}

static int outbox_encode_range(struct outbox *outbox, struct outbox_item *item, struct buffer *out)
{
    const struct raft_append_entries *range = &item->raft.append_entries;
    struct hf_log_view view = {0};
    int rc = outbox_check_range(outbox, item);
    if (rc == 0) {
        rc = hf_log_read(outbox->log, outbox->group, range->prev_log_index + 1,
                         range->prev_log_index + 1 + range->n_entries, OUTBOX_ENTRIES_SIZE_MAX, CODEC_ENTRIES_MAX,
                         &view);
    }
    if (rc == 0) {
        assert(view.count >= 1 && view.count <= range->n_entries);
        codec_encode(&item->raft, view.entries, (unsigned)view.count, out);
        item->left = range->n_entries - (unsigned)view.count;
        item->left_prev_term = view.entries[view.count - 1].term;
    } else if (rc != HF_EUNAVAILABLE && rc != HF_ECOMPACTED) {
        outbox->callbacks.failed(outbox->arg, rc);
    }
    hf_log_view_close(&view);
    return rc;
}

static int outbox_encode(struct peer_message *message, struct buffer *out)
{
    struct outbox_item *item = message->user;
    struct outbox *outbox = item->outbox;
    int rc = 0;
    if (outbox == NULL) {
        rc = HF_ECLOSED;
    } else if (item->kind != FRAME_RAFT) {
        buffer_append(out, item->bytes, item->bytes_size);
    } else if (item->raft.type == RAFT_APPEND_ENTRIES && item->raft.append_entries.n_entries > 0) {
        rc = outbox_encode_range(outbox, item, out);
    } else if (item->raft.type == RAFT_INSTALL_SNAPSHOT) {
        buffer_append_bytes(out, buffer_bytes(&item->snapshot));
    } else {
        codec_encode(&item->raft, NULL, 0, out);
    }
    item->is_pointless = rc != 0;
    return rc;
}

/* ---- handing over ---- */

static void outbox_peer_flush(struct outbox *outbox, struct outbox_peer *peer);

/* The rest of a range that was split goes next. */
static bool outbox_advance(struct outbox_item *item)
{
    if (item->left == 0) {
        return false;
    }
    struct raft_append_entries *range = &item->raft.append_entries;
    range->prev_log_index += range->n_entries - item->left;
    range->prev_log_term = item->left_prev_term;
    range->n_entries = item->left;
    item->left = 0;
    return true;
}

static void outbox_release(struct peer_message *message, int sent)
{
    struct outbox_item *item = message->user;
    struct outbox *outbox = item->outbox;
    if (outbox == NULL) {
        outbox_item_free(item);
        return;
    }
    struct outbox_peer *peer = item->peer;
    list_remove(&item->link);
    peer->is_busy = peer->is_busy && item->message.independent;
    if (sent && outbox_advance(item)) {
        /* In front of all others. */
        list_append(peer->queue.next, &item->link);
        peer->queued++;
    } else {
        if (!sent && !item->is_pointless) {
            /* The connection is down, and with it goes what was meant for it. */
            outbox_peer_clear(peer);
        }
        outbox_item_free(item);
    }
    outbox_peer_flush(outbox, peer);
}

static void outbox_expose(struct outbox *outbox, struct outbox_item *item)
{
    struct outbox_peer *peer = item->peer;
    bool is_bulk = item->kind == FRAME_RAFT &&
                   (item->raft.type == RAFT_INSTALL_SNAPSHOT ||
                    (item->raft.type == RAFT_APPEND_ENTRIES && item->raft.append_entries.n_entries > 0));
    item->message = (struct peer_message){
        .kind = item->kind,
        .class = is_bulk ? PEER_BULK : PEER_URGENT,
        .independent = item->kind != FRAME_RAFT,
        .small = !is_bulk,
        .group = outbox->group,
        .group_incarnation = outbox->group_incarnation,
        .encode = outbox_encode,
        .release = outbox_release,
        .user = item,
    };
    list_init(&item->message.link);
    list_remove(&item->link);
    list_append(&peer->exposed, &item->link);
    peer->queued--;
    outbox->callbacks.send(outbox->arg, peer->node_id, &item->message);
}

/* The first of the list when it may leave now. */
static struct outbox_item *outbox_ready(const struct outbox *outbox, const struct list *list)
{
    if (list_empty(list)) {
        return NULL;
    }
    struct outbox_item *item = list_entry(list->next, struct outbox_item, link);
    bool may_leave = item->after <= outbox->durable || MUTATED(RULE_1_MESSAGE_BEFORE_VOTE);
    return may_leave ? item : NULL;
}

static void outbox_peer_flush(struct outbox *outbox, struct outbox_peer *peer)
{
    struct outbox_item *item;
    while ((item = outbox_ready(outbox, &peer->aside)) != NULL) {
        outbox_expose(outbox, item);
    }
    item = peer->is_busy ? NULL : outbox_ready(outbox, &peer->queue);
    if (item != NULL) {
        peer->is_busy = true;
        outbox_expose(outbox, item);
    }
}

void outbox_flush(struct outbox *outbox, uint64_t durable)
{
    outbox->durable = durable;
    for (unsigned i = 0; i < outbox->peer_count; i++) {
        outbox_peer_flush(outbox, outbox->peers[i]);
    }
}

void outbox_peer_changed(struct outbox *outbox, uint64_t node_id, bool is_up)
{
    struct outbox_peer *peer = outbox_peer_of(outbox, node_id);
    if (peer == NULL) {
        return;
    }
    /* Up or down: what waits was meant for the connection before. */
    outbox_peer_clear(peer);
    peer->is_down = !is_up;
}

/* ---- queueing ---- */

/* The waiting message takes the new one in, when the two together say what one can say. */
static bool outbox_merge_append(struct outbox_item *item, const struct raft_append_entries *next, uint64_t last_term)
{
    struct raft_append_entries *range = &item->raft.append_entries;
    if (range->term != next->term || range->prev_log_index + range->n_entries != next->prev_log_index ||
        (range->n_entries > 0 ? item->last_term : range->prev_log_term) != next->prev_log_term) {
        return false;
    }
    if (next->n_entries > 0) {
        range->n_entries += next->n_entries;
        item->last_term = last_term;
    }
    range->leader_commit = next->leader_commit;
    return true;
}

static bool outbox_merge_result(struct outbox_item *item, const struct raft_append_entries_result *next)
{
    struct raft_append_entries_result *result = &item->raft.append_entries_result;
    if (result->term != next->term || result->rejected != 0 || next->rejected != 0 ||
        result->last_log_index > next->last_log_index) {
        return false;
    }
    *result = *next;
    return true;
}

static bool outbox_merge(struct outbox_peer *peer, const struct raft_message *raft, uint64_t last_term, uint64_t after)
{
    if (list_empty(&peer->queue)) {
        return false;
    }
    struct outbox_item *item = list_entry(peer->queue.previous, struct outbox_item, link);
    if (item->kind != FRAME_RAFT || item->raft.type != raft->type || item->after != after) {
        return false;
    }
    switch (raft->type) {
    case RAFT_APPEND_ENTRIES:
        return outbox_merge_append(item, &raft->append_entries, last_term);
    case RAFT_APPEND_ENTRIES_RESULT:
        return outbox_merge_result(item, &raft->append_entries_result);
    default:
        return false;
    }
}

static struct outbox_item *outbox_item_new(struct outbox *outbox, uint64_t node_id, enum frame_kind kind,
                                           uint64_t after)
{
    struct outbox_peer *peer = outbox_peer_of(outbox, node_id);
    if (peer == NULL || peer->is_down || peer->queued >= OUTBOX_QUEUE_MAX) {
        return NULL;
    }
    struct outbox_item *item = memory_new(sizeof(*item));
    item->outbox = outbox;
    item->peer = peer;
    item->kind = kind;
    item->after = after;
    list_append(kind == FRAME_RAFT ? &peer->queue : &peer->aside, &item->link);
    peer->queued++;
    return item;
}

void outbox_push(struct outbox *outbox, const struct raft_message *raft, uint64_t last_term, uint64_t after)
{
    struct outbox_peer *peer = outbox_peer_of(outbox, raft->server_id);
    if (peer == NULL || outbox_merge(peer, raft, last_term, after)) {
        return;
    }
    struct outbox_item *item = outbox_item_new(outbox, raft->server_id, FRAME_RAFT, after);
    if (item == NULL) {
        return;
    }
    item->raft = *raft;
    /* The engine's memory, which the next step reuses. */
    item->raft.server_address = NULL;
    if (raft->type == RAFT_APPEND_ENTRIES) {
        item->raft.append_entries.entries = NULL;
    }
    item->last_term = last_term;
}

void outbox_push_snapshot(struct outbox *outbox, uint64_t to_node, struct buffer *bytes, uint64_t after)
{
    struct outbox_peer *peer = outbox_peer_of(outbox, to_node);
    struct outbox_item *item = NULL;
    if (peer != NULL && !list_empty(&peer->queue)) {
        item = list_entry(peer->queue.previous, struct outbox_item, link);
        item = item->raft.type == RAFT_INSTALL_SNAPSHOT ? item : NULL;
    }
    if (item == NULL) {
        item = outbox_item_new(outbox, to_node, FRAME_RAFT, after);
    }
    if (item != NULL) {
        buffer_close(&item->snapshot);
        item->raft.type = RAFT_INSTALL_SNAPSHOT;
        item->after = after;
        item->snapshot = *bytes;
        *bytes = (struct buffer){0};
    }
    buffer_close(bytes);
}

void outbox_push_bytes(struct outbox *outbox, uint64_t to_node, enum frame_kind kind, struct hf_bytes bytes,
                       uint64_t after)
{
    assert(bytes.size <= OUTBOX_BYTES_MAX);
    struct outbox_item *item = outbox_item_new(outbox, to_node, kind, after);
    if (item != NULL) {
        memcpy(item->bytes, bytes.data, bytes.size);
        item->bytes_size = bytes.size;
    }
}
