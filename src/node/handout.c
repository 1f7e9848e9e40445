#include "node/handout.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "node/node_state.h"

struct handout_request {
    struct list link;
    struct proposal_owner owner;
    uint32_t chunk;
};

struct handout {
    struct list link; /* of the node */
    struct node *node;
    struct hf_snapshot_id id;
    uint64_t group;
    uint32_t chunk_count;
    struct hf_snapshot_reader *reader; /* opened by the worker */
    struct work_item item;
    struct list requests; /* the first is being read */
    uint32_t request_count;
    uint64_t asked_ms;   /* the last time */
    struct buffer chunk; /* the worker's, while the item is busy */
    uint32_t reading;
    bool is_answering; /* who is answered may ask for more at once */
};

static struct handout *handout_find(struct node *node, uint64_t group, struct hf_snapshot_id id, uint32_t *open)
{
    *open = 0;
    list_each (&node->handouts, link) {
        struct handout *handout = list_entry(link, struct handout, link);
        if (handout->group == group && hf_snapshot_id_equal(handout->id, id)) {
            return handout;
        }
        (*open)++;
    }
    return NULL;
}

/* What nobody asks for makes room for what somebody does. */
static void handout_make_room(struct node *node, uint32_t *open);

static int handout_open(struct node *node, uint64_t group, struct hf_snapshot_id id, struct handout **out)
{
    struct hf_snapshot_info info;
    uint32_t open;
    *out = handout_find(node, group, id, &open);
    /* One that was found damaged on the way is as good as gone: who asks again looks for another one. */
    if (*out != NULL && hf_snapshot_find(node->snapshots.store, id, &info) == 0 && !info.damaged) {
        return 0;
    }
    if (hf_snapshot_find(node->snapshots.store, id, &info) != 0 || info.manifest.group != group || info.damaged ||
        info.origin != HF_SNAPSHOT_LOCAL) {
        return error_raise(HF_ENOTFOUND, "group %" PRIu64 " has no snapshot with that id on this node", group);
    }
    if (open >= HANDOUT_OPEN_MAX) {
        handout_make_room(node, &open);
    }
    if (open >= HANDOUT_OPEN_MAX) {
        return error_raise(HF_EBUSY, "%u snapshots are being copied from this node already", HANDOUT_OPEN_MAX);
    }
    struct handout *handout = memory_new(sizeof(*handout));
    *handout = (struct handout){.node = node, .id = id, .group = group, .chunk_count = info.manifest.chunk_count};
    list_init(&handout->requests);
    list_init(&handout->link);
    list_append(&node->handouts, &handout->link);
    *out = handout;
    return 0;
}

static void handout_free(struct handout *handout)
{
    list_remove(&handout->link);
    hf_snapshot_reader_close(handout->reader);
    buffer_close(&handout->chunk);
    free(handout);
}

static void handout_make_room(struct node *node, uint32_t *open)
{
    list_each_safe (&node->handouts, link) {
        struct handout *handout = list_entry(link, struct handout, link);
        if (*open >= HANDOUT_OPEN_MAX && !handout->item.is_busy && !handout->is_answering &&
            list_empty(&handout->requests)) {
            handout_free(handout);
            (*open)--;
        }
    }
}

/* ---- Reading ---- */

static int handout_work(void *arg)
{
    struct handout *handout = arg;
    struct hf_bytes raw;
    int rc = 0;
    if (handout->reader == NULL) {
        rc = hf_snapshot_reader_open(handout->node->snapshots.store, handout->id, &handout->reader);
    }
    rc = rc == 0 ? hf_snapshot_read_raw(handout->reader, handout->reading, &raw) : rc;
    if (rc == 0) {
        buffer_clear(&handout->chunk);
        buffer_append_bytes(&handout->chunk, raw);
    }
    return rc;
}

static void handout_read_next(struct handout *handout);

static void handout_answer(struct handout *handout, int result, struct hf_bytes bytes)
{
    struct handout_request *request = list_entry(handout->requests.next, struct handout_request, link);
    struct proposal_owner owner = request->owner;
    list_remove(&request->link);
    handout->request_count--;
    free(request);
    proposal_answer(owner, result, bytes, 0);
}

static void handout_read(void *arg, int result)
{
    struct handout *handout = arg;
    if (!list_empty(&handout->requests)) {
        handout->is_answering = true;
        handout_answer(handout, result, result == 0 ? buffer_bytes(&handout->chunk) : (struct hf_bytes){0});
        handout->is_answering = false;
    }
    handout_read_next(handout);
}

static void handout_read_next(struct handout *handout)
{
    if (!handout->item.is_busy && !handout->is_answering && !list_empty(&handout->requests)) {
        handout->reading = list_entry(handout->requests.next, struct handout_request, link)->chunk;
        work_start(&handout->node->work, &handout->item, handout_work, handout_read, handout);
    }
}

void node_snapshot_read(struct node *node, uint64_t group, struct hf_snapshot_id id, uint32_t chunk, node_done *done,
                        void *arg)
{
    struct proposal_owner owner = {done, arg};
    struct handout *handout = NULL;
    int rc = node->phase != NODE_RUNNING ? error_raise(HF_ECLOSED, "the node is closed") : 0;
    rc = rc == 0 ? handout_open(node, group, id, &handout) : rc;
    if (rc == 0 && chunk >= handout->chunk_count) {
        rc = error_raise(HF_EINVALID, "the snapshot has %" PRIu32 " chunks", handout->chunk_count);
    }
    if (rc == 0 && handout->request_count == HANDOUT_WAITING_MAX) {
        rc = error_raise(HF_EBUSY, "%u chunks of the snapshot are being read already", HANDOUT_WAITING_MAX);
    }
    if (rc != 0) {
        node_refuse(node, owner, rc, NODE_SYSTEM_GROUP); /* with its text: a client's command has none */
        return;
    }
    struct handout_request *request = memory_new(sizeof(*request));
    *request = (struct handout_request){.owner = owner, .chunk = chunk};
    list_init(&request->link);
    list_append(&handout->requests, &request->link);
    handout->request_count++;
    handout->asked_ms = loop_now_ms(node->loop);
    handout_read_next(handout);
}

int node_snapshot_find(struct node *node, uint64_t group_id, struct hf_snapshot_manifest *out)
{
    struct hosted_group *group = node_hosted_group(node, group_id);
    if (group == NULL || group->ops->cut == NULL) {
        return error_raise(HF_ENOTFOUND, "group %" PRIu64 " has no snapshots", group_id);
    }
    if (group->snapshots.index == 0) {
        return error_raise(HF_ENOTFOUND, "group %" PRIu64 " has no good snapshot on this node yet", group_id);
    }
    /* An older one lacks what was acknowledged since: whoever copies it away would not know. */
    return snapshots_find(group, out)
               ? 0
               : error_raise(HF_ECORRUPT,
                             "the newest snapshot of group %" PRIu64 " on this node, at index %" PRIu64
                             ", is damaged; another one will be taken",
                             group_id, group->snapshots.index);
}

/* ---- Forgetting ---- */

void handout_run(struct node *node)
{
    uint64_t now_ms = loop_now_ms(node->loop);
    list_each_safe (&node->handouts, link) {
        struct handout *handout = list_entry(link, struct handout, link);
        if (!handout->item.is_busy && list_empty(&handout->requests) && now_ms - handout->asked_ms > HANDOUT_IDLE_MS) {
            handout_free(handout);
        }
    }
}

void handout_answer_all(struct node *node, int result)
{
    list_each (&node->handouts, link) {
        struct handout *handout = list_entry(link, struct handout, link);
        while (!list_empty(&handout->requests)) {
            error_raise(result, "the node is closed");
            handout_answer(handout, result, (struct hf_bytes){0});
        }
    }
}

void handout_close_all(struct node *node)
{
    while (!list_empty(&node->handouts)) {
        handout_free(list_entry(node->handouts.next, struct handout, link));
    }
}
