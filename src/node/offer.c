#include "node/offer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/trace.h"
#include "node/chunk_frame.h"
#include "node/group_stream.h"
#include "node/node_state.h"

struct offer {
    struct list link; /* of the node */
    struct hosted_group *group;
    uint64_t node_id;
    struct hf_snapshot_manifest manifest;
    struct hf_snapshot_store *store;
    struct hf_snapshot_reader *reader; /* opened by the worker */
    struct work_item item;
    uint32_t asked[CHUNK_FRAME_WINDOW];
    uint32_t reading; /* what the worker reads: the first of them, unless it was dropped meanwhile */
    unsigned asked_count;
    struct list sending; /* messages that the hub has */
    unsigned sending_count;
    uint64_t asked_ms; /* the last time */
    uint64_t offered_ms;
    uint64_t started_ms;
    uint64_t bytes_sent;
    struct buffer chunk;
    bool is_closing;
};

/* A chunk as a message. */
struct offer_message {
    struct peer_message message;
    struct node *node;
    struct offer *offer; /* NULL: it ended, or there is none */
    struct list link;    /* of the offer's sending */
    uint32_t chunk;
    struct buffer bytes;
};

static struct offer *offer_find(struct hosted_group *group, uint64_t node_id)
{
    list_each (&group->node->offers, link) {
        struct offer *offer = list_entry(link, struct offer, link);
        if (offer->group == group && offer->node_id == node_id && !offer->is_closing) {
            return offer;
        }
    }
    return NULL;
}

static struct offer *offer_new(struct hosted_group *group, uint64_t node_id,
                               const struct hf_snapshot_manifest *manifest)
{
    struct offer *offer = memory_new(sizeof(*offer));
    offer->group = group;
    offer->node_id = node_id;
    offer->manifest = *manifest;
    offer->store = group->node->snapshots.store;
    offer->asked_ms = loop_now_ms(group->node->loop);
    list_init(&offer->link);
    list_init(&offer->sending);
    list_append(&group->node->offers, &offer->link);
    return offer;
}

static void offer_free(struct offer *offer)
{
    list_remove(&offer->link);
    list_each_safe (&offer->sending, link) {
        list_remove(link);
        list_entry(link, struct offer_message, link)->offer = NULL;
    }
    hf_snapshot_reader_close(offer->reader);
    buffer_close(&offer->chunk);
    free(offer);
}

/* ---- Forgetting ---- */

static int offer_end_work(void *arg)
{
    struct offer *offer = arg;
    hf_snapshot_reader_close(offer->reader);
    offer->reader = NULL;
    return 0;
}

static void offer_ended(void *arg, int ignored)
{
    offer_free(arg);
}

static void offer_end(struct offer *offer)
{
    offer->is_closing = true;
    if (!offer->item.is_busy) {
        work_start(&offer->group->node->work, &offer->item, offer_end_work, offer_ended, offer);
    }
}

/* ---- Sending ---- */

static void offer_continue(struct offer *offer);

static int offer_message_encode(struct peer_message *message, struct buffer *out)
{
    buffer_append_bytes(out, buffer_bytes(&list_entry(message, struct offer_message, message)->bytes));
    return 0;
}

static void offer_message_release(struct peer_message *message, int sent)
{
    struct offer_message *own = list_entry(message, struct offer_message, message);
    struct offer *offer = own->offer;
    own->node->transfer_bytes -= own->bytes.size;
    if (offer != NULL) {
        list_remove(&own->link);
        offer->sending_count--;
        offer_continue(offer);
    }
    buffer_close(&own->bytes);
    free(own);
}

/* offer: NULL when there is none to answer for. */
static void offer_send(struct hosted_group *group, uint64_t node_id, struct offer *offer,
                       const struct chunk_frame *frame)
{
    struct offer_message *own = memory_new(sizeof(*own));
    chunk_frame_encode_chunk(frame, &own->bytes);
    own->node = group->node;
    own->node->transfer_bytes += own->bytes.size;
    own->chunk = frame->chunk;
    list_init(&own->link);
    if (offer != NULL) {
        own->offer = offer;
        list_append(&offer->sending, &own->link);
        offer->sending_count++;
    }
    list_init(&own->message.link);
    own->message.kind = FRAME_SNAPSHOT_CHUNK;
    own->message.class = PEER_BULK;
    own->message.independent = true;
    own->message.group = group->id;
    own->message.group_incarnation = group->incarnation;
    own->message.encode = offer_message_encode;
    own->message.release = offer_message_release;
    node_send(group->node, node_id, &own->message);
}

static int offer_read_work(void *arg)
{
    struct offer *offer = arg;
    struct hf_bytes raw;
    int rc = 0;
    if (offer->reader == NULL) {
        rc = hf_snapshot_reader_open(offer->store, offer->manifest.id, &offer->reader);
    }
    if (rc == 0) {
        rc = hf_snapshot_read_raw(offer->reader, offer->reading, &raw);
    }
    if (rc == 0) {
        buffer_clear(&offer->chunk);
        buffer_append_bytes(&offer->chunk, raw);
    }
    return rc;
}

static void offer_read(void *arg, int result);

/* Reads the next chunk that was asked for, when the worker is idle and not too much waits for the socket. */
static void offer_continue(struct offer *offer)
{
    if (offer->is_closing || offer->item.is_busy || offer->asked_count == 0 ||
        offer->sending_count >= OFFER_SENDING_MAX || offer->group->node->phase != NODE_RUNNING) {
        return;
    }
    offer->reading = offer->asked[0];
    work_start(&offer->group->node->work, &offer->item, offer_read_work, offer_read, offer);
}

static void offer_read(void *arg, int result)
{
    struct offer *offer = arg;
    struct chunk_frame frame = {.id = offer->manifest.id, .chunk = offer->reading, .result = result};
    if (offer->asked_count > 0 && offer->asked[0] == offer->reading && !offer->is_closing) {
        frame.bytes = result == 0 ? buffer_bytes(&offer->chunk) : (struct hf_bytes){0};
        offer->bytes_sent += frame.bytes.size;
        memmove(offer->asked, offer->asked + 1, --offer->asked_count * sizeof(offer->asked[0]));
        offer_send(offer->group, offer->node_id, offer, &frame);
    }
    if (result != 0) {
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": a snapshot cannot be sent to node %" PRIu64 ": %s",
              offer->group->id, offer->node_id, hf_error_text());
        offer->is_closing = true;
    }
    if (offer->is_closing) {
        offer_end(offer);
    } else {
        offer_continue(offer);
    }
}

/* Asked for before, and the answer is still here. */
static bool offer_is_under_way(const struct offer *offer, uint32_t chunk)
{
    for (unsigned i = 0; i < offer->asked_count; i++) {
        if (offer->asked[i] == chunk) {
            return true;
        }
    }
    list_each (&offer->sending, link) {
        if (list_entry(link, struct offer_message, link)->chunk == chunk) {
            return true;
        }
    }
    return false;
}

int offer_receive_fetch(struct hosted_group *group, uint64_t from, struct hf_bytes payload)
{
    struct node *node = group->node;
    struct chunk_frame frame;
    int rc = chunk_frame_decode_fetch(payload, &frame);
    if (rc != 0) {
        return rc;
    }
    struct offer *offer = offer_find(group, from);
    if (offer != NULL && !hf_snapshot_id_equal(offer->manifest.id, frame.id)) {
        offer_end(offer);
        offer = NULL;
    }
    if (offer == NULL) {
        /* It goes on with what an earlier process offered. */
        struct hf_snapshot_info info;
        if (hf_snapshot_find(node->snapshots.store, frame.id, &info) != 0 || info.manifest.group != group->id) {
            frame.result = HF_ENOTFOUND;
            offer_send(group, from, NULL, &frame);
            return 0;
        }
        offer = offer_new(group, from, &info.manifest);
    }
    offer->asked_ms = loop_now_ms(node->loop);
    offer->started_ms = offer->started_ms != 0 ? offer->started_ms : offer->asked_ms;
    if (offer_is_under_way(offer, frame.chunk)) {
        return 0;
    }
    if (offer->asked_count == CHUNK_FRAME_WINDOW || frame.chunk >= offer->manifest.chunk_count) {
        return error_raise(HF_EPROTOCOL, "a question for chunk %" PRIu32 " beyond what may be asked", frame.chunk);
    }
    offer->asked[offer->asked_count++] = frame.chunk;
    offer_continue(offer);
    return 0;
}

/* ---- Offering ---- */

/* The newest good snapshot behind which the log goes on. */
static int offer_choose(struct hosted_group *group, struct hf_snapshot_manifest *out)
{
    struct hf_log_group_state state;
    struct hf_snapshot_info *list;
    size_t count;
    int rc = hf_log_group_state(group->node->log, group->id, &state);
    rc = rc == 0 ? hf_snapshot_list(group->node->snapshots.store, group->id, &list, &count) : rc;
    if (rc != 0) {
        return rc;
    }
    rc = HF_ENOTFOUND;
    for (size_t i = 0; i < count && rc != 0; i++) {
        const struct hf_snapshot_manifest *manifest = &list[i].manifest;
        if (!list[i].damaged && list[i].origin == HF_SNAPSHOT_LOCAL && manifest->index + 1 >= state.first_index &&
            manifest->index <= group->snapshots.index && manifest->group_incarnation == group->incarnation) {
            *out = *manifest;
            rc = 0;
        }
    }
    hf_snapshot_list_free(list);
    return rc;
}

static bool offer_is_good(const struct offer *offer)
{
    struct hf_snapshot_info info;
    struct hf_log_group_state state;
    return hf_snapshot_find(offer->store, offer->manifest.id, &info) == 0 && !info.damaged &&
           hf_log_group_state(offer->group->node->log, offer->group->id, &state) == 0 &&
           offer->manifest.index + 1 >= state.first_index;
}

void offer_wanted(struct hosted_group *group, uint64_t to_node)
{
    struct node *node = group->node;
    struct node_peer *peer = node_peer(node, to_node);
    struct replica_snapshot snapshot;
    struct hf_snapshot_manifest manifest;
    uint8_t bytes[HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    if (peer == NULL || !peer->is_up) {
        return;
    }
    struct offer *offer = offer_find(group, to_node);
    if (offer != NULL && loop_now_ms(node->loop) - offer->offered_ms < OFFER_REPEAT_MS) {
        return;
    }
    bool is_fetched = offer != NULL && offer->started_ms != 0;
    if (offer != NULL && (!is_fetched || !offer_is_good(offer))) {
        offer_end(offer);
        offer = NULL;
    }
    if (offer == NULL) {
        if (offer_choose(group, &manifest) != 0) {
            snapshots_want(group);
            return;
        }
        offer = offer_new(group, to_node, &manifest);
    }
    offer->offered_ms = loop_now_ms(node->loop);
    if (group_stream_snapshot(&offer->manifest, &snapshot) == 0) {
        size_t size = hf_snapshot_manifest_encode(&offer->manifest, bytes);
        (void)replica_snapshot_send(group->replica, to_node, &snapshot, (struct hf_bytes){bytes, size});
    }
}

uint64_t offer_floor(const struct hosted_group *group)
{
    uint64_t floor = UINT64_MAX;
    list_each (&group->node->offers, link) {
        const struct offer *offer = list_entry(link, struct offer, link);
        /* The engine must still know the term at the snapshot's end. */
        if (offer->group == group && !offer->is_closing && offer->manifest.index - 1 < floor) {
            floor = offer->manifest.index - 1;
        }
    }
    return floor;
}

void offer_peer_down(struct node *node, uint64_t node_id)
{
    list_each (&node->offers, link) {
        struct offer *offer = list_entry(link, struct offer, link);
        if (offer->node_id == node_id) {
            /* What is being read is dropped when it comes. */
            offer->asked_count = 0;
        }
    }
}

/* The member holds what the snapshot covers, as its leader knows. */
static bool offer_is_served(const struct offer *offer)
{
    uint64_t match = 0;
    return hosted_group_is_led_here(offer->group) &&
           replica_match_index(offer->group->replica, offer->node_id, &match) == 0 && match >= offer->manifest.index;
}

void offer_run(struct node *node)
{
    uint64_t now_ms = loop_now_ms(node->loop);
    list_each_safe (&node->offers, link) {
        struct offer *offer = list_entry(link, struct offer, link);
        if (!offer->is_closing && (now_ms - offer->asked_ms > OFFER_IDLE_MS || offer_is_served(offer))) {
            offer_end(offer);
        }
    }
}

void offer_close_all(struct node *node)
{
    while (node->offers.next != NULL && !list_empty(&node->offers)) {
        offer_free(list_entry(node->offers.next, struct offer, link));
    }
}

int offer_status(const struct node *node, uint32_t position, struct offer_status *out)
{
    uint32_t at = 0;
    list_each (&node->offers, link) {
        const struct offer *offer = list_entry(link, struct offer, link);
        if (offer->started_ms != 0 && !offer->is_closing && at++ == position) {
            *out = (struct offer_status){.node_id = offer->node_id,
                                         .group = offer->group->id,
                                         .index = offer->manifest.index,
                                         .bytes_sent = offer->bytes_sent,
                                         .bytes_total = offer->manifest.stored_bytes,
                                         .started_ms = offer->started_ms};
            return 0;
        }
    }
    return HF_ENOTFOUND;
}
