#include "node/reads.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "node/hosted_group.h"
#include "node/node_state.h"
#include "node/relay.h"

#define READS_CAPACITY_MIN     64u
#define READS_BATCH_KEEP_BYTES (1u << 20)

/* ---- Batches ---- */

static struct read_batch *read_batch_new(struct hosted_group *group)
{
    struct read_batch *batch = memory_new(sizeof(*batch));
    list_init(&batch->link);
    batch->group = group;
    return batch;
}

static void read_batch_free(struct read_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    list_remove(&batch->link);
    batch->group->node->waiting_bytes -= batch->bytes.size;
    buffer_close(&batch->bytes);
    free(batch->items);
    free(batch);
}

/* Empties a batch whose items were answered or moved elsewhere. The group keeps one for its next turn. */
static void read_batch_recycle(struct read_batch *batch)
{
    struct reads *reads = &batch->group->reads;
    if (reads->gathering != NULL || batch->bytes.capacity > READS_BATCH_KEEP_BYTES) {
        read_batch_free(batch);
        return;
    }
    list_remove(&batch->link);
    batch->group->node->waiting_bytes -= batch->bytes.size;
    buffer_clear(&batch->bytes);
    batch->count = 0;
    reads->gathering = batch;
}

static void read_batch_append(struct read_batch *batch, struct hf_bytes command, struct read_item item,
                              uint64_t deadline_ms)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity > 0 ? batch->capacity * 2 : READS_CAPACITY_MIN;
        batch->items = memory_resize(batch->items, batch->capacity * sizeof(*batch->items));
    }
    if (batch->count == 0) {
        batch->deadline_ms = deadline_ms;
    }
    item.offset = batch->bytes.size;
    item.size = (uint32_t)command.size;
    buffer_append_bytes(&batch->bytes, command);
    batch->group->node->waiting_bytes += command.size;
    batch->items[batch->count++] = item;
    batch->group->reads.count++;
}

struct hf_bytes read_batch_command(const struct read_batch *batch, uint32_t i)
{
    return bytes_of(batch->bytes.data + batch->items[i].offset, batch->items[i].size);
}

/* Answers every item; nothing remains in the batch. */
static void read_batch_answer(struct read_batch *batch, int result)
{
    uint32_t count = batch->count;
    batch->count = 0;
    batch->group->reads.count -= count;
    for (uint32_t i = 0; i < count; i++) {
        proposal_answer(batch->items[i].owner, result, (struct hf_bytes){0}, 0);
    }
}

/* ---- Life ---- */

void reads_init(struct reads *reads)
{
    *reads = (struct reads){0};
    list_init(&reads->waiting);
    list_init(&reads->rounds);
    list_init(&reads->confirmed);
}

static void reads_free_list(struct list *list)
{
    list_each_safe (list, item) {
        read_batch_free(list_entry(item, struct read_batch, link));
    }
}

void reads_close(struct reads *reads)
{
    assert(reads->count == 0);
    read_batch_free(reads->gathering);
    read_batch_free(reads->stale);
    reads_free_list(&reads->waiting);
    reads_free_list(&reads->rounds);
    reads_free_list(&reads->confirmed);
    reads_init(reads);
}

/* ---- Gathering ---- */

void reads_add(struct hosted_group *group, struct hf_bytes command, struct read_item item, uint64_t deadline_ms)
{
    if (group->reads.gathering == NULL) {
        group->reads.gathering = read_batch_new(group);
    }
    read_batch_append(group->reads.gathering, command, item, deadline_ms);
}

void reads_add_stale(struct hosted_group *group, struct hf_bytes command, struct proposal_owner owner)
{
    if (group->reads.stale == NULL) {
        group->reads.stale = read_batch_new(group);
    }
    read_batch_append(group->reads.stale, command, (struct read_item){.owner = owner}, UINT64_MAX);
}

void reads_add_confirmed(struct hosted_group *group, struct read_item item, uint64_t index, uint64_t deadline_ms)
{
    struct read_batch *batch = read_batch_new(group);
    batch->index = index;
    read_batch_append(batch, (struct hf_bytes){0}, item, deadline_ms);
    list_append(&group->reads.confirmed, &batch->link);
}

/* ---- Answering ---- */

static void read_batch_execute(struct read_batch *batch)
{
    struct hosted_group *group = batch->group;
    struct buffer *reply = &group->node->reply;
    uint64_t stamp_ms = hosted_group_read_stamp(group);
    uint32_t count = batch->count;
    group->node->counters.reads += count;
    for (uint32_t i = 0; i < count; i++) {
        struct read_item *item = &batch->items[i];
        int rc = 0;
        buffer_clear(reply);
        if (!item->is_barrier) {
            rc = group->ops->read(group->machine, read_batch_command(batch, i), stamp_ms, reply);
        }
        proposal_answer(item->owner, rc, rc == 0 ? buffer_bytes(reply) : (struct hf_bytes){0},
                        item->is_barrier ? batch->index : group->applied_index);
    }
    batch->count = 0;
    group->reads.count -= count;
}

static bool reads_has_applied(const struct hosted_group *group)
{
    if (list_empty(&group->reads.confirmed)) {
        return false;
    }
    return list_entry(group->reads.confirmed.next, struct read_batch, link)->index <= group->applied_index;
}

static void reads_run_confirmed(struct hosted_group *group)
{
    list_each_safe (&group->reads.confirmed, item) {
        struct read_batch *batch = list_entry(item, struct read_batch, link);
        if (batch->index <= group->applied_index) {
            list_remove(&batch->link);
            read_batch_execute(batch);
            read_batch_recycle(batch);
        }
    }
}

static void reads_run_stale(struct hosted_group *group)
{
    struct read_batch *batch = group->reads.stale;
    if (batch == NULL || batch->count == 0) {
        return;
    }
    group->reads.stale = NULL;
    read_batch_execute(batch);
    read_batch_recycle(batch);
}

/* ---- Rounds ---- */

static void reads_round_done(void *arg, int result, uint64_t index)
{
    struct read_batch *batch = arg;
    struct hosted_group *group = batch->group;
    list_remove(&batch->link);
    if (batch->count == 0) { /* its time ran out meanwhile */
        read_batch_recycle(batch);
        return;
    }
    if (result == 0) {
        batch->index = index;
        list_append(&group->reads.confirmed, &batch->link);
    } else {
        /* Nothing happened yet: another leader may answer, while there is time. */
        list_append(&group->reads.waiting, &batch->link);
    }
    hosted_group_touch(group);
}

static void reads_start_rounds(struct hosted_group *group)
{
    struct list batches;
    list_init(&batches);
    list_splice(&batches, &group->reads.waiting);
    if (list_empty(&batches)) {
        return;
    }
    list_each_safe (&batches, item) {
        struct read_batch *batch = list_entry(item, struct read_batch, link);
        list_remove(&batch->link);
        list_append(&group->reads.rounds, &batch->link);
        int rc = replica_read(group->replica, reads_round_done, batch);
        if (rc != 0) {
            list_remove(&batch->link);
            list_append(&group->reads.waiting, &batch->link);
            group->retry_ms = loop_now_ms(group->node->loop) + HOSTED_GROUP_RETRY_MS;
        }
    }
    group->node->counters.read_rounds++;
    replica_flush_reads(group->replica);
}

/* Nobody known leads: what came from another node goes back, since it may not make a second hop. */
static void reads_refuse_forwarded(struct hosted_group *group)
{
    list_each_safe (&group->reads.waiting, item) {
        struct read_batch *batch = list_entry(item, struct read_batch, link);
        uint32_t kept = 0;
        uint32_t count = batch->count;
        for (uint32_t i = 0; i < count; i++) {
            struct read_item read = batch->items[i];
            if (read.is_forwarded) {
                group->reads.count--;
                error_raise(HF_ENOLEADER, "node %" PRIu64 " no longer leads group %" PRIu64, group->node->id,
                            group->id);
                proposal_answer(read.owner, HF_ENOLEADER, (struct hf_bytes){0}, group->leader);
            } else {
                batch->items[kept++] = read;
            }
        }
        batch->count = kept;
        if (kept == 0) {
            read_batch_recycle(batch);
        }
    }
}

static void reads_forward(struct hosted_group *group, struct node_peer *peer)
{
    list_each_safe (&group->reads.waiting, item) {
        struct read_batch *batch = list_entry(item, struct read_batch, link);
        relay_reads(group, batch, peer);
        group->reads.count -= batch->count;
        batch->count = 0;
        read_batch_recycle(batch);
    }
}

bool reads_are_runnable(const struct hosted_group *group)
{
    const struct reads *reads = &group->reads;
    return (reads->gathering != NULL && reads->gathering->count > 0) ||
           (reads->stale != NULL && reads->stale->count > 0) || reads_has_applied(group);
}

void reads_flush(struct hosted_group *group)
{
    struct reads *reads = &group->reads;
    if (reads->gathering != NULL && reads->gathering->count > 0) {
        list_append(&reads->waiting, &reads->gathering->link);
        reads->gathering = NULL;
    }
    if (!list_empty(&reads->waiting)) {
        if (hosted_group_is_led_here(group)) {
            reads_start_rounds(group);
        } else {
            reads_refuse_forwarded(group);
            struct node_peer *peer = group->leader != 0 ? node_peer(group->node, group->leader) : NULL;
            if (peer != NULL && peer != group->node->self && peer->is_up) {
                reads_forward(group, peer);
            }
        }
    }
    reads_run_confirmed(group);
    reads_run_stale(group);
}

/* ---- Time and the end ---- */

static void reads_expire_list(struct hosted_group *group, struct list *list, uint64_t now_ms)
{
    list_each_safe (list, item) {
        struct read_batch *batch = list_entry(item, struct read_batch, link);
        if (batch->count == 0 || batch->deadline_ms > now_ms) {
            continue;
        }
        error_raise(HF_ENOLEADER, "no leader of group %" PRIu64 " confirmed the read in time", group->id);
        group->node->counters.no_leader += batch->count;
        read_batch_answer(batch, HF_ENOLEADER);
        if (list != &group->reads.rounds) { /* the replica still holds a batch whose round runs */
            read_batch_recycle(batch);
        }
    }
}

void reads_expire(struct hosted_group *group, uint64_t now_ms)
{
    reads_expire_list(group, &group->reads.waiting, now_ms);
    reads_expire_list(group, &group->reads.rounds, now_ms);
    reads_expire_list(group, &group->reads.confirmed, now_ms);
}

static void reads_answer_list(struct list *list, int result)
{
    list_each_safe (list, item) {
        read_batch_answer(list_entry(item, struct read_batch, link), result);
    }
}

void reads_answer_all(struct hosted_group *group, int result)
{
    struct reads *reads = &group->reads;
    if (reads->gathering != NULL) {
        read_batch_answer(reads->gathering, result);
    }
    if (reads->stale != NULL) {
        read_batch_answer(reads->stale, result);
    }
    reads_answer_list(&reads->waiting, result);
    reads_answer_list(&reads->rounds, result);
    reads_answer_list(&reads->confirmed, result);
}

static uint64_t reads_deadline_of(const struct list *list, uint64_t deadline_ms)
{
    list_each (list, item) {
        const struct read_batch *batch = list_entry(item, struct read_batch, link);
        if (batch->count > 0 && batch->deadline_ms < deadline_ms) {
            deadline_ms = batch->deadline_ms;
        }
    }
    return deadline_ms;
}

uint64_t reads_deadline_ms(const struct reads *reads)
{
    uint64_t deadline_ms = reads_deadline_of(&reads->waiting, UINT64_MAX);
    deadline_ms = reads_deadline_of(&reads->rounds, deadline_ms);
    return reads_deadline_of(&reads->confirmed, deadline_ms);
}
