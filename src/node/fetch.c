#include "node/fetch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "node/chunk_window.h"
#include "node/group_stream.h"
#include "node/node_state.h"
#include "node/repair.h"
#include "node/snapshot_job.h"

#define FETCH_PIECE_BYTES (4u << 20) /* that one piece of building takes in */

enum fetch_slot_state { FETCH_FREE, FETCH_ASKED, FETCH_ARRIVED };
struct fetch_slot {
    enum fetch_slot_state state;
    uint32_t chunk;
    uint64_t asked_ms; /* 0: to be asked again */
    bool is_alone;     /* nothing else was on its way when it was asked for */
    struct buffer bytes;
};

struct fetch {
    struct hosted_group *group;
    struct hf_snapshot_store *store;
    enum fetch_phase phase;
    uint64_t source;
    uint64_t term; /* the highest in which it was offered */
    struct replica_snapshot snapshot;
    struct hf_snapshot_manifest manifest;
    struct hf_snapshot_receiver *receiver;
    struct hf_snapshot_reader *reader;
    struct group_import import;
    struct work_item item;
    struct fetch_slot slots[CHUNK_FRAME_WINDOW];
    struct fetch_slot *putting; /* the worker has it */
    uint32_t next;              /* the first chunk that was not asked for */
    bool is_built;
    bool is_gone; /* the source no longer has it */
    bool is_installed;
    struct chunk_window window;
    uint64_t heard_ms; /* when a chunk came last */
    uint64_t retry_ms; /* FETCH_RETRY_MS … FETCH_RETRY_MAX_MS */
    uint64_t progress_ms;
    uint64_t offered_ms;
    uint64_t started_ms;
    uint64_t bytes_done;
    uint64_t bytes_resumed;
};

static struct node *fetch_node(const struct fetch *fetch)
{
    return fetch->group->node;
}

const char *fetch_phase_name(enum fetch_phase phase)
{
    static const char *const names[] = {"opening", "receiving",  "building", "publishing",
                                        "ready",   "installing", "ending"};
    return names[phase];
}

/* ---- Ending ---- */

static int fetch_end_work(void *arg)
{
    struct fetch *fetch = arg;
    int rc = 0;
    hf_snapshot_receiver_close(fetch->receiver);
    hf_snapshot_reader_close(fetch->reader);
    group_import_close(&fetch->import);
    fetch->receiver = NULL;
    fetch->reader = NULL;
    if (fetch->is_installed) {
        rc = hf_snapshot_accept(fetch->store, fetch->manifest.id);
    }
    return rc;
}

static void fetch_ended(void *arg, int result)
{
    struct fetch *fetch = arg;
    struct hosted_group *group = fetch->group;
    if (result != 0) {
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": the received snapshot could not be kept: %s", group->id,
              hf_error_text());
    }
    group->fetch = NULL;
    group->node->fetch_count--;
    fetch_close(fetch);
}

static void fetch_end(struct fetch *fetch)
{
    fetch->phase = FETCH_ENDING;
    if (!fetch->item.is_busy) {
        work_start(&fetch_node(fetch)->work, &fetch->item, fetch_end_work, fetch_ended, fetch);
    }
}

static void fetch_fail(struct fetch *fetch)
{
    TRACE(TRACE_WARN, "node", "group %" PRIu64 ": fetching the snapshot at index %" PRIu64 " failed: %s",
          fetch->group->id, fetch->snapshot.index, hf_error_text());
    fetch->group->fetch_next_ms = loop_now_ms(fetch_node(fetch)->loop) + FETCH_AGAIN_MS;
    fetch_end(fetch);
}

/* A group that stopped needs none, unless it is to heal the group's log. */
static bool fetch_is_wanted(const struct hosted_group *group)
{
    return !group->is_failed || (group->repair.is_open && !group->repair.is_hopeless);
}

/* What every completed piece looks at first: true when the fetch goes on. */
static bool fetch_goes_on(struct fetch *fetch, int result)
{
    if (fetch->phase == FETCH_ENDING || !fetch_is_wanted(fetch->group) || fetch_node(fetch)->phase != NODE_RUNNING) {
        fetch_end(fetch);
        return false;
    }
    if (result != 0) {
        fetch_fail(fetch);
        return false;
    }
    return true;
}

/* ---- Installing ---- */

/* Feeds it as soon as that is possible. */
static void fetch_try_install(struct fetch *fetch)
{
    struct hosted_group *group = fetch->group;
    struct snapshot_job *job = group->node->snapshots.job;
    char name[HF_SNAPSHOT_ID_TEXT_SIZE];
    if (fetch->phase != FETCH_READY || !fetch_is_wanted(group)) {
        return;
    }
    if (group->repair.is_open) {
        hf_snapshot_id_format(fetch->manifest.id, name);
        if (repair_restart_behind(group, &fetch->snapshot, bytes_of_text(name)) == HF_ECONFLICT) {
            fetch_end(fetch); /* it was fetched before the damage was met: a later one will do */
        }
        return;
    }
    if (job != NULL && snapshot_job_group(job) == group) {
        snapshot_job_cancel(job); /* its cut belongs to the state that goes */
        return;
    }
    hf_snapshot_id_format(fetch->manifest.id, name);
    fetch->phase = FETCH_INSTALLING;
    int rc = replica_snapshot_install(group->replica, fetch->term, &fetch->snapshot, bytes_of_text(name));
    hosted_group_touch(group);
    if (rc == HF_EBUSY) {
        fetch->phase = FETCH_READY;
    } else if (rc != 0) {
        fetch_end(fetch); /* not needed any more, or the group stopped */
    }
}

int fetch_install(struct hosted_group *group)
{
    struct fetch *fetch = group->fetch;
    assert(fetch != NULL && fetch->phase == FETCH_INSTALLING);
    group_import_swap(&fetch->import, group->machine);
    group->applied_index = fetch->snapshot.index;
    stamp_apply(&group->stamp, fetch->snapshot.stamp_ms);
    snapshots_note(group, fetch->snapshot.index, fetch->manifest.created_ms);
    group->node->snapshots.status.installed++;
    TRACE(TRACE_INFO, "node",
          "group %" PRIu64 ": the snapshot at index %" PRIu64 " of node %" PRIu64 " is installed, %" PRIu64 " ms after "
          "its offer",
          group->id, fetch->snapshot.index, fetch->source, loop_now_ms(group->node->loop) - fetch->started_ms);
    fetch->is_installed = true;
    fetch_end(fetch);
    hosted_group_touch(group);
    return 0;
}

/* ---- Building ---- */

/* The next chunk of what was received just now, or of what is here whole from before. */
static int fetch_read(struct fetch *fetch, struct hf_bytes *chunk)
{
    int rc = 0;
    if (fetch->receiver != NULL) {
        return hf_snapshot_receiver_read(fetch->receiver, chunk);
    }
    if (fetch->reader == NULL) {
        rc = hf_snapshot_reader_open(fetch->store, fetch->manifest.id, &fetch->reader);
    }
    return rc == 0 ? hf_snapshot_read_next(fetch->reader, chunk) : rc;
}

/* One pass verifies and builds: what comes of it is nobody's until the end proves it right. */
static int fetch_build_work(void *arg)
{
    struct fetch *fetch = arg;
    size_t taken = 0;
    int rc = 0;
    while (rc == 0 && taken < FETCH_PIECE_BYTES) {
        struct hf_bytes chunk;
        rc = fetch_read(fetch, &chunk);
        if (rc == 0 && chunk.size == 0) {
            fetch->is_built = true;
            return group_import_finish(&fetch->import);
        }
        io_give_way();
        rc = rc == 0 ? group_import_write(&fetch->import, chunk) : rc;
        io_give_way();
        taken += chunk.size;
    }
    if (rc == HF_ECORRUPT && fetch->receiver != NULL) {
        hf_snapshot_receiver_cancel(fetch->receiver); /* all of it is fetched anew */
        fetch->receiver = NULL;
    }
    return rc;
}

static int fetch_publish_work(void *arg)
{
    struct fetch *fetch = arg;
    struct hf_snapshot_receiver *receiver = fetch->receiver;
    fetch->receiver = NULL; /* freed: no chunk is missing */
    return hf_snapshot_receive_finish(receiver, NULL, NULL);
}

static void fetch_published(void *arg, int result)
{
    struct fetch *fetch = arg;
    if (!fetch_goes_on(fetch, result)) {
        return;
    }
    fetch->snapshot.stamp_ms = fetch->import.head.stamp_ms;
    fetch->phase = FETCH_READY;
    fetch_try_install(fetch);
}

static void fetch_built(void *arg, int result)
{
    struct fetch *fetch = arg;
    if (!fetch_goes_on(fetch, result)) {
        return;
    }
    fetch->progress_ms = loop_now_ms(fetch_node(fetch)->loop);
    if (!fetch->is_built) {
        work_start(&fetch_node(fetch)->work, &fetch->item, fetch_build_work, fetch_built, fetch);
        return;
    }
    if (fetch->receiver == NULL) {
        fetch_published(fetch, 0);
        return;
    }
    fetch->phase = FETCH_PUBLISHING;
    work_start(&fetch_node(fetch)->work, &fetch->item, fetch_publish_work, fetch_published, fetch);
}

static void fetch_build(struct fetch *fetch)
{
    struct hosted_group *group = fetch->group;
    fetch->phase = FETCH_BUILDING;
    group_import_open(&fetch->import, group->ops, group->machine, group->id, group->incarnation);
    work_start(&fetch_node(fetch)->work, &fetch->item, fetch_build_work, fetch_built, fetch);
}

/* ---- Receiving ---- */

struct fetch_message {
    struct peer_message message;
    struct chunk_frame frame;
};

static int fetch_message_encode(struct peer_message *message, struct buffer *out)
{
    chunk_frame_encode_fetch(&list_entry(message, struct fetch_message, message)->frame, out);
    return 0;
}

static void fetch_message_release(struct peer_message *message, int sent)
{
    free(list_entry(message, struct fetch_message, message));
}

static uint32_t fetch_asking(const struct fetch *fetch)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < CHUNK_FRAME_WINDOW; i++) {
        count += fetch->slots[i].state != FETCH_FREE;
    }
    return count;
}

static void fetch_ask(struct fetch *fetch, struct fetch_slot *slot, uint32_t chunk)
{
    struct hosted_group *group = fetch->group;
    struct fetch_message *own = memory_new(sizeof(*own));
    slot->state = FETCH_ASKED;
    slot->is_alone = fetch_asking(fetch) == 1;
    slot->chunk = chunk;
    slot->asked_ms = loop_now_ms(fetch_node(fetch)->loop);
    own->frame = (struct chunk_frame){.id = fetch->manifest.id, .chunk = chunk};
    list_init(&own->message.link);
    own->message.kind = FRAME_SNAPSHOT_FETCH;
    own->message.class = PEER_URGENT;
    own->message.independent = true;
    own->message.small = true;
    own->message.group = group->id;
    own->message.group_incarnation = group->incarnation;
    own->message.encode = fetch_message_encode;
    own->message.release = fetch_message_release;
    node_send(fetch_node(fetch), fetch->source, &own->message);
}

/* While the node's memory is short, one chunk at a time. */
static bool fetch_may_ask(const struct fetch *fetch)
{
    uint32_t window = ledger_is_exhausted(&fetch_node(fetch)->ledger) ? 1 : chunk_window_size(&fetch->window);
    return fetch_asking(fetch) < window;
}

static int fetch_put_work(void *arg)
{
    struct fetch *fetch = arg;
    return hf_snapshot_put(fetch->receiver, buffer_bytes(&fetch->putting->bytes));
}

static void fetch_put(void *arg, int result);

/* Asks for what is missing, as far as the credits go. The worker is idle. */
static void fetch_continue(struct fetch *fetch)
{
    struct node *node = fetch_node(fetch);
    struct node_peer *peer = node_peer(node, fetch->source);
    for (unsigned i = 0; i < CHUNK_FRAME_WINDOW && !fetch->item.is_busy; i++) {
        if (fetch->slots[i].state == FETCH_ARRIVED) {
            fetch->putting = &fetch->slots[i];
            work_start(&node->work, &fetch->item, fetch_put_work, fetch_put, fetch);
            return; /* and the rest when it is in */
        }
    }
    if (fetch->item.is_busy) {
        return;
    }
    for (unsigned i = 0; i < CHUNK_FRAME_WINDOW && peer != NULL && peer->is_up && !fetch->is_gone; i++) {
        struct fetch_slot *slot = &fetch->slots[i];
        if (slot->state == FETCH_ASKED && slot->asked_ms == 0) {
            fetch_ask(fetch, slot, slot->chunk);
        }
        if (slot->state == FETCH_FREE && fetch_may_ask(fetch)) {
            uint32_t chunk = hf_snapshot_receiver_missing(fetch->receiver, fetch->next);
            fetch->next = chunk;
            if (chunk < fetch->manifest.chunk_count) {
                fetch_ask(fetch, slot, chunk);
                fetch->next = chunk + 1;
            }
        }
    }
    if (fetch_asking(fetch) == 0) {
        fetch->next = 0; /* some may have to be asked for again */
        if (hf_snapshot_receiver_missing(fetch->receiver, 0) == fetch->manifest.chunk_count) {
            fetch_build(fetch);
        }
    }
}

static void fetch_put(void *arg, int result)
{
    struct fetch *fetch = arg;
    struct hf_snapshot_progress progress;
    fetch->putting->state = FETCH_FREE;
    fetch_node(fetch)->transfer_bytes -= fetch->putting->bytes.size;
    buffer_close(&fetch->putting->bytes);
    fetch->putting = NULL;
    if (result == HF_ECORRUPT) {
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": a chunk from node %" PRIu64 " is asked for again: %s",
              fetch->group->id, fetch->source, hf_error_text());
        result = 0;
    }
    if (!fetch_goes_on(fetch, result)) {
        return;
    }
    hf_snapshot_receiver_progress(fetch->receiver, &progress);
    if (progress.stored_bytes > fetch->bytes_done) {
        fetch->bytes_done = progress.stored_bytes;
        fetch->progress_ms = loop_now_ms(fetch_node(fetch)->loop);
    }
    fetch_continue(fetch);
}

/* A chunk came: the next may take as long. */
static void fetch_note_pace(struct fetch *fetch, const struct fetch_slot *slot)
{
    uint64_t now_ms = loop_now_ms(fetch_node(fetch)->loop);
    if (slot->asked_ms != 0) {
        chunk_window_note(&fetch->window, slot->asked_ms, slot->is_alone, now_ms);
    }
    uint64_t pace_ms = 2 * (now_ms - fetch->heard_ms);
    pace_ms = pace_ms < FETCH_RETRY_MS ? FETCH_RETRY_MS : pace_ms;
    fetch->retry_ms = pace_ms < FETCH_RETRY_MAX_MS ? pace_ms : FETCH_RETRY_MAX_MS;
    fetch->heard_ms = now_ms;
}

int fetch_receive_chunk(struct hosted_group *group, uint64_t from, struct hf_bytes payload)
{
    struct fetch *fetch = group->fetch;
    struct chunk_frame frame;
    int rc = chunk_frame_decode_chunk(payload, &frame);
    if (rc != 0 || fetch == NULL || fetch->phase != FETCH_RECEIVING || fetch->source != from ||
        !hf_snapshot_id_equal(fetch->manifest.id, frame.id)) {
        return rc;
    }
    if (frame.result != 0) {
        fetch->is_gone = true;
        error_raise(frame.result, "node %" PRIu64 " cannot send it: %s", from, hf_error_name(frame.result));
        fetch_fail(fetch);
        return 0;
    }
    for (unsigned i = 0; i < CHUNK_FRAME_WINDOW; i++) {
        struct fetch_slot *slot = &fetch->slots[i];
        if (slot->state == FETCH_ASKED && slot->chunk == frame.chunk) {
            slot->state = FETCH_ARRIVED;
            buffer_append_bytes(&slot->bytes, frame.bytes);
            fetch_node(fetch)->transfer_bytes += slot->bytes.size;
            fetch_note_pace(fetch, slot);
            fetch_continue(fetch);
            break;
        }
    }
    return 0;
}

/* ---- Opening ---- */

static int fetch_open_work(void *arg)
{
    struct fetch *fetch = arg;
    int rc = hf_snapshot_receive(fetch->store, &fetch->manifest, &fetch->receiver);
    struct hf_snapshot_info info;
    if (rc == HF_EEXISTS && hf_snapshot_find(fetch->store, fetch->manifest.id, &info) == 0 && !info.damaged) {
        rc = 0; /* whole already, from before a restart */
    }
    return rc;
}

static void fetch_opened(void *arg, int result)
{
    struct fetch *fetch = arg;
    struct hf_snapshot_progress progress;
    if (!fetch_goes_on(fetch, result)) {
        return;
    }
    if (fetch->receiver == NULL) {
        fetch->bytes_done = fetch->bytes_resumed = fetch->manifest.stored_bytes;
        fetch_build(fetch);
        return;
    }
    hf_snapshot_receiver_progress(fetch->receiver, &progress);
    fetch->bytes_done = fetch->bytes_resumed = progress.stored_bytes;
    if (fetch->bytes_resumed > 0) {
        fetch_node(fetch)->snapshots.status.resumed++;
    }
    fetch->phase = FETCH_RECEIVING;
    fetch->heard_ms = loop_now_ms(fetch_node(fetch)->loop);
    fetch_continue(fetch);
}

static void fetch_start(struct hosted_group *group, uint64_t from_node, uint64_t term,
                        const struct replica_snapshot *snapshot, const struct hf_snapshot_manifest *manifest)
{
    struct node *node = group->node;
    struct fetch *fetch = memory_new(sizeof(*fetch));
    fetch->group = group;
    fetch->store = node->snapshots.store;
    fetch->source = from_node;
    fetch->term = term;
    fetch->snapshot = *snapshot;
    fetch->manifest = *manifest;
    fetch->started_ms = fetch->progress_ms = fetch->offered_ms = loop_now_ms(node->loop);
    fetch->retry_ms = FETCH_RETRY_MS;
    chunk_window_open(&fetch->window, fetch->started_ms);
    group->fetch = fetch;
    node->fetch_count++;
    TRACE(TRACE_INFO, "node",
          "group %" PRIu64 ": fetching the snapshot at index %" PRIu64 " from node %" PRIu64 ", %" PRIu64 " bytes",
          group->id, snapshot->index, from_node, manifest->stored_bytes);
    work_start(&node->work, &fetch->item, fetch_open_work, fetch_opened, fetch);
}

/* ---- Offers ---- */

static bool fetch_members_are_equal(const struct replica_snapshot *a, const struct replica_snapshot *b)
{
    bool are_equal = a->member_count == b->member_count;
    for (unsigned i = 0; are_equal && i < a->member_count; i++) {
        are_equal = a->members[i].node_id == b->members[i].node_id && a->members[i].role == b->members[i].role;
    }
    return are_equal;
}

/* Manifest and message say the same, and it is about this group. */
static int fetch_check(const struct hosted_group *group, const struct replica_snapshot *snapshot, struct hf_bytes bytes,
                       struct hf_snapshot_manifest *manifest)
{
    struct replica_snapshot inside;
    int rc = hf_snapshot_manifest_decode(bytes, manifest);
    rc = rc == 0 ? group_stream_snapshot(manifest, &inside) : rc;
    if (rc != 0) {
        return rc;
    }
    if (manifest->group != group->id || manifest->group_incarnation != group->incarnation ||
        inside.index != snapshot->index || inside.term != snapshot->term ||
        inside.configuration_index != snapshot->configuration_index || !fetch_members_are_equal(&inside, snapshot)) {
        return error_raise(HF_EPROTOCOL, "the manifest is not that of the snapshot that is offered");
    }
    return 0;
}

void fetch_offered(struct hosted_group *group, uint64_t from_node, uint64_t term,
                   const struct replica_snapshot *snapshot, struct hf_bytes bytes)
{
    struct node *node = group->node;
    struct fetch *fetch = group->fetch;
    struct hf_snapshot_manifest manifest;
    uint64_t now_ms = loop_now_ms(node->loop);
    if (node->phase != NODE_RUNNING || !fetch_is_wanted(group) || group->ops->cut == NULL) {
        return;
    }
    if (fetch_check(group, snapshot, bytes, &manifest) != 0) {
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": an offer of node %" PRIu64 " is ignored: %s", group->id,
              from_node, hf_error_text());
        return;
    }
    if (fetch == NULL) {
        if (node->fetch_count < FETCH_ACTIVE_MAX && now_ms >= group->fetch_next_ms) {
            fetch_start(group, from_node, term, snapshot, &manifest);
        }
        return;
    }
    fetch->offered_ms = now_ms;
    if (hf_snapshot_id_equal(fetch->manifest.id, manifest.id)) {
        fetch->term = term > fetch->term ? term : fetch->term;
        fetch->source = from_node;
        fetch_try_install(fetch);
    } else if (fetch->phase == FETCH_RECEIVING && now_ms - fetch->progress_ms > FETCH_STALL_MS) {
        TRACE(TRACE_INFO, "node",
              "group %" PRIu64 ": the snapshot at index %" PRIu64 " makes no progress and is replaced", group->id,
              fetch->snapshot.index);
        fetch_end(fetch); /* the next offer starts the new one */
    } else if (fetch->phase == FETCH_READY) {
        fetch_try_install(fetch);
    }
}

void fetch_peer_changed(struct node *node, uint64_t node_id)
{
    for (uint32_t g = 0; g < node->groups_open && node->fetch_count > 0; g++) {
        struct fetch *fetch = node->groups[g].fetch;
        if (fetch == NULL || fetch->source != node_id || fetch->phase != FETCH_RECEIVING) {
            continue;
        }
        fetch->heard_ms = loop_now_ms(node->loop);
        fetch->retry_ms = FETCH_RETRY_MS;
        chunk_window_open(&fetch->window, fetch->heard_ms); /* it may be another link */
        for (unsigned i = 0; i < CHUNK_FRAME_WINDOW; i++) {
            fetch->slots[i].asked_ms = 0; /* answers of the old connection do not come any more */
        }
        fetch_continue(fetch);
    }
}

/* Answers come in the order of the questions: while some come, the others are only late. */
static void fetch_ask_again(struct fetch *fetch, uint64_t now_ms)
{
    bool has_waited = false;
    for (unsigned i = 0; i < CHUNK_FRAME_WINDOW; i++) {
        struct fetch_slot *slot = &fetch->slots[i];
        uint64_t since_ms = slot->asked_ms > fetch->heard_ms ? slot->asked_ms : fetch->heard_ms;
        if (slot->state == FETCH_ASKED && slot->asked_ms != 0 && now_ms - since_ms > fetch->retry_ms) {
            slot->asked_ms = 0;
            has_waited = true;
        }
    }
    if (has_waited) {
        fetch->retry_ms = 2 * fetch->retry_ms < FETCH_RETRY_MAX_MS ? 2 * fetch->retry_ms : FETCH_RETRY_MAX_MS;
    }
}

static void fetch_tick(struct fetch *fetch, uint64_t now_ms)
{
    if (fetch->phase == FETCH_RECEIVING) {
        fetch_ask_again(fetch, now_ms);
        fetch_continue(fetch);
    }
    if (fetch->phase == FETCH_READY) {
        fetch_try_install(fetch);
    }
    if (fetch->phase == FETCH_INSTALLING && fetch->group->state == REPLICA_FROZEN) {
        fetch_end(fetch); /* nobody waits for it any more, and others may */
    }
    uint64_t heard_ms = fetch->progress_ms > fetch->offered_ms ? fetch->progress_ms : fetch->offered_ms;
    if ((fetch->phase == FETCH_RECEIVING || fetch->phase == FETCH_READY) && now_ms - heard_ms > FETCH_GIVE_UP_MS) {
        error_raise(HF_ETIMEOUT, "nothing was heard of it for %u ms", FETCH_GIVE_UP_MS);
        fetch_fail(fetch);
    }
}

void fetch_run(struct node *node)
{
    for (uint32_t g = 0; g < node->groups_open && node->fetch_count > 0; g++) {
        if (node->groups[g].fetch != NULL) {
            fetch_tick(node->groups[g].fetch, loop_now_ms(node->loop));
        }
    }
}

void fetch_abandon(struct hosted_group *group)
{
    if (group->fetch->phase != FETCH_ENDING) {
        fetch_end(group->fetch);
    }
}

void fetch_close(struct fetch *fetch)
{
    if (fetch == NULL) {
        return;
    }
    hf_snapshot_receiver_close(fetch->receiver);
    hf_snapshot_reader_close(fetch->reader);
    group_import_close(&fetch->import);
    for (unsigned i = 0; i < CHUNK_FRAME_WINDOW; i++) {
        fetch_node(fetch)->transfer_bytes -= fetch->slots[i].bytes.size;
        buffer_close(&fetch->slots[i].bytes);
    }
    free(fetch);
}

int fetch_status(const struct node *node, uint32_t position, struct fetch_status *out)
{
    for (uint32_t g = 0; g < node->groups_open && node->fetch_count > 0; g++) {
        const struct fetch *fetch = node->groups[g].fetch;
        if (fetch != NULL && position-- == 0) {
            *out = (struct fetch_status){.phase = fetch->phase,
                                         .node_id = fetch->source,
                                         .group = fetch->group->id,
                                         .index = fetch->snapshot.index,
                                         .bytes_done = fetch->bytes_done,
                                         .bytes_total = fetch->manifest.stored_bytes,
                                         .bytes_resumed = fetch->bytes_resumed,
                                         .started_ms = fetch->started_ms};
            return 0;
        }
    }
    return HF_ENOTFOUND;
}
