#include "node/members.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "node/system_group.h"
#include "peer/visit.h"

#define MEMBERS_FEATURES_VERSION 1u

/* ---- Slots ---- */

struct node_peer *members_slot(struct node *node, uint64_t node_id)
{
    for (uint32_t i = 0; i < node->peer_count && node_id != 0; i++) {
        if (node->peers[i].id == node_id) {
            return &node->peers[i];
        }
    }
    return NULL;
}

static struct node_peer *members_add_slot(struct node *node, const struct membership_member *member)
{
    uint32_t i = 0;
    while (i < node->peer_count && node->peers[i].id != 0) {
        i++;
    }
    if (i == node->peer_count) {
        node->peer_count++; /* there are as many slots as there can be members */
    }
    node->peers[i] = (struct node_peer){
        .id = member->node.id,
        .position = i,
        .incarnation = member->incarnation,
        .features = DESCRIPTION_FEATURES_FIRST,
        .down_since_ms = loop_now_ms(node->loop),
    };
    return &node->peers[i];
}

void members_begin(struct node *node)
{
    const struct directory_identity *identity = directory_identity(node->directory);
    node->membership = *directory_membership(node->directory);
    for (uint32_t i = 0; i < node->membership.count; i++) {
        members_add_slot(node, &node->membership.members[i]);
    }
    node->self = members_slot(node, node->id);
    node->self->incarnation = identity->node_incarnation;
    node->self->features = DESCRIPTION_FEATURE_LEVEL_MAX;
}

uint32_t members_voters(struct node *node, struct node_peer *out[MEMBERSHIP_MEMBERS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->membership.count; i++) {
        struct node_peer *peer = members_slot(node, node->membership.members[i].node.id);
        if (node->membership.members[i].role == MEMBERSHIP_VOTER && peer != NULL) {
            out[count++] = peer;
        }
    }
    return count;
}

bool members_is_voter(const struct node *node, uint64_t node_id)
{
    const struct membership_member *member = membership_find(&node->membership, node_id);
    return member != NULL && member->role == MEMBERSHIP_VOTER;
}

/* ---- Removed ---- */

/* Stops everything for good: the cluster goes on without this node. */
static void members_removed(struct node *node, const char *text)
{
    char full[HOSTED_GROUP_TEXT_SIZE_MAX];
    if (node->is_removed) {
        return;
    }
    node->is_removed = true;
    const char *advice = strstr(text, ". next:"); /* ours says more */
    snprintf(full, sizeof(full),
             "this node was removed from the cluster: %.*s. next: stop it; holdfast join gives the machine a new "
             "identity in an empty directory",
             advice != NULL && advice - text < 100 ? (int)(advice - text) : 100, text);
    TRACE(TRACE_ERROR, "node", "%s", full);
    for (uint32_t i = 0; i < node->groups_open; i++) {
        hosted_group_fail(&node->groups[i], full);
    }
}

/* Heard inside a callback of the hub: the groups are stopped at the turn's end. */
void members_hear_removed(struct node *node, uint64_t from_node, const char *text)
{
    if (!node->is_removed && node->removal_text[0] == '\0') {
        snprintf(node->removal_text, sizeof(node->removal_text), "node %" PRIu64 " says: %s", from_node, text);
    }
}

/* ---- Following the system group ---- */

static void members_drop(struct node *node, struct node_peer *peer)
{
    TRACE(TRACE_INFO, "node", "node %" PRIu64 " is no member any more", peer->id);
    if (node->hub != NULL) {
        peer_hub_remove(node->hub, peer->id);
    }
    for (uint32_t i = 0; i < node->groups_open; i++) {
        if (node->groups[i].answers != NULL) {
            buffer_close(&node->groups[i].answers[peer->position]);
        }
    }
    *peer = (struct node_peer){.position = peer->position};
}

static void members_write(struct node *node)
{
    int rc = directory_write_members(node->directory, &node->membership);
    node->members_retry_ms = 0;
    if (rc != 0) {
        /* The log has it too: all that is lost is where to look for the others first. */
        TRACE(TRACE_WARN, "node", "the members could not be written: %s", hf_error_text());
        node->members_retry_ms = loop_now_ms(node->loop) + MEMBERS_WRITE_RETRY_MS;
    }
}

static void members_take_one(struct node *node, const struct membership_member *member)
{
    struct node_peer *peer = members_slot(node, member->node.id);
    int rc = 0;
    if (peer == node->self && peer != NULL) {
        return;
    }
    if (peer == NULL) {
        peer = members_add_slot(node, member);
        TRACE(TRACE_INFO, "node", "node %" PRIu64 " at %s is a member", peer->id, member->node.peer_address);
        rc = node->hub != NULL ? peer_hub_add(node->hub, peer->id, member->node.peer_address) : 0;
    } else if (node->hub != NULL) {
        rc = peer_hub_set_address(node->hub, peer->id, member->node.peer_address);
    }
    if (rc != 0) {
        TRACE(TRACE_WARN, "node", "node %" PRIu64 ": %s", member->node.id, hf_error_text());
    }
    if (peer->incarnation == 0) {
        peer->incarnation = member->incarnation;
    }
}

static void members_take(struct node *node, const struct membership *membership)
{
    node->membership = *membership;
    node->members_told = false;
    for (uint32_t i = 0; i < node->peer_count; i++) {
        struct node_peer *peer = &node->peers[i];
        if (peer->id != 0 && peer != node->self && membership_find(membership, peer->id) == NULL) {
            members_drop(node, peer);
        }
    }
    for (uint32_t i = 0; i < membership->count; i++) {
        members_take_one(node, &membership->members[i]);
    }
    members_write(node);
    if (membership_find(membership, node->id) == NULL) {
        members_removed(node, "the cluster agreed that this node is no member any more");
    }
    for (uint32_t i = 0; i < node->groups_open; i++) {
        hosted_group_touch(&node->groups[i]);
    }
}

static void members_tell_all(struct node *node);

void members_follow(struct node *node)
{
    const struct system_group *system = node->groups_open > 0 ? node->groups[0].machine : NULL;
    if (system != NULL && node->phase == NODE_RUNNING &&
        system_group_membership(system)->version > node->membership.version) {
        members_take(node, system_group_membership(system));
    }
    if (node->phase == NODE_RUNNING && node->members_heard != NULL) {
        struct membership *heard = node->members_heard;
        node->members_heard = NULL;
        if (heard->version > node->membership.version) {
            members_take(node, heard);
        }
        free(heard);
    }
    if (!node->members_told && node->phase == NODE_RUNNING) {
        members_tell_all(node);
    }
    if (node->removal_text[0] != '\0' && node->phase == NODE_RUNNING) {
        members_removed(node, node->removal_text);
    }
}

/* ---- Asking ---- */

static void members_asked(void *arg, int result, const struct peer_identity *found)
{
    struct node *node = arg;
    node->visit = NULL;
    if (result == HF_EREMOVED) {
        members_hear_removed(node, node->visited, hf_error_text());
    }
}

/* Whoever has the higher id dials: one that was removed is dialed by nobody, and would wait for ever. */
static void members_ask(struct node *node)
{
    uint64_t now_ms = loop_now_ms(node->loop);
    if (node->hub == NULL || node->visit != NULL || node->is_removed || now_ms < node->ask_next_ms) {
        return;
    }
    node->ask_next_ms = now_ms + MEMBERS_ASK_INTERVAL_MS;
    for (uint32_t i = 0; i < node->peer_count; i++) {
        uint32_t position = (node->ask_cursor + i) % node->peer_count;
        const struct node_peer *peer = &node->peers[position];
        const struct membership_member *member = membership_find(&node->membership, peer->id);
        if (peer->id > node->id && !peer->is_up && member != NULL &&
            now_ms - peer->down_since_ms >= MEMBERS_ASK_INTERVAL_MS) {
            node->ask_cursor = position + 1;
            node->visited = peer->id;
            if (visit_start(node->loop, member->node.peer_address, &node->identity, peer->id, members_asked, node,
                            &node->visit) != 0) {
                node->visit = NULL;
            }
            return;
        }
    }
}

void members_run(struct node *node)
{
    if (node->members_retry_ms != 0 && loop_now_ms(node->loop) >= node->members_retry_ms) {
        members_write(node);
    }
    members_ask(node);
}

/* ---- The hub ---- */

int members_open_hub(struct node *node)
{
    const struct directory_identity *self = directory_identity(node->directory);
    const struct membership_member *member = membership_find(&node->membership, node->id);
    const char *listen = node->options.peer_listen != NULL ? node->options.peer_listen : member->node.peer_address;
    node->identity = (struct peer_identity){.node_id = node->id,
                                            .node_incarnation = self->node_incarnation,
                                            .routing_version = node->description->routing_version};
    memcpy(node->identity.cluster_id, self->cluster_id, PEER_CLUSTER_ID_SIZE);
    io_random(node->io, &node->identity.seed, sizeof(node->identity.seed));
    if (listen[0] == '\0') {
        return 0; /* a cluster of one without a door: nobody can join it */
    }
    int rc = node_check_address(node->io, "peer", listen);
    if (rc == 0) {
        rc = node_listen(node, listen);
    }
    for (uint32_t i = 0; i < node->membership.count && rc == 0; i++) {
        const struct description_node *other = &node->membership.members[i].node;
        if (other->id != node->id) {
            rc = peer_hub_add(node->hub, other->id, other->peer_address);
        }
    }
    return rc;
}

void members_close(struct node *node)
{
    visit_cancel(node->visit);
    node->visit = NULL;
    free(node->members_heard);
    node->members_heard = NULL;
}

/* ---- Features ---- */

struct members_frame {
    struct peer_message message;
    struct buffer payload; /* of FRAME_MEMBERS */
};

static int members_frame_encode(struct peer_message *message, struct buffer *out)
{
    buffer_append_bytes(out, buffer_bytes(&list_entry(message, struct members_frame, message)->payload));
    return 0;
}

static void members_frame_release(struct peer_message *message, int sent)
{
    struct members_frame *frame = list_entry(message, struct members_frame, message);
    buffer_close(&frame->payload);
    free(frame);
}

/* Takes the payload over. */
static void members_frame_send(struct node *node, const struct node_peer *peer, enum frame_kind kind,
                               struct buffer *payload)
{
    struct members_frame *frame = memory_new(sizeof(*frame));
    list_init(&frame->message.link);
    frame->message.kind = kind;
    frame->message.class = PEER_URGENT;
    frame->message.independent = true;
    frame->message.encode = members_frame_encode;
    frame->message.release = members_frame_release;
    frame->payload = *payload;
    *payload = (struct buffer){0};
    node_send(node, peer->id, &frame->message);
}

static void members_tell(struct node *node, const struct node_peer *peer)
{
    struct buffer payload = {0};
    membership_encode(&node->membership, &payload);
    members_frame_send(node, peer, FRAME_MEMBERS, &payload);
}

static void members_tell_all(struct node *node)
{
    node->members_told = true;
    for (uint32_t i = 0; i < node->peer_count; i++) {
        if (node->peers[i].id != 0 && &node->peers[i] != node->self && node->peers[i].is_up) {
            members_tell(node, &node->peers[i]);
        }
    }
}

void members_peer_up(struct node *node, struct node_peer *peer)
{
    struct buffer payload = {0};
    buffer_append_u32(&payload, MEMBERS_FEATURES_VERSION);
    buffer_append_u32(&payload, DESCRIPTION_FEATURE_LEVEL_MAX);
    peer->features = DESCRIPTION_FEATURES_FIRST;
    members_frame_send(node, peer, FRAME_FEATURES, &payload);
    members_tell(node, peer);
}

/* Inside a callback of the hub, so it is only kept. */
int members_receive(struct node *node, struct hf_bytes payload)
{
    struct membership *heard = memory_new(sizeof(*heard));
    int rc = membership_decode(payload, heard);
    if (rc == 0 && memcmp(heard->cluster_id, node->membership.cluster_id, PEER_CLUSTER_ID_SIZE) != 0) {
        rc = error_raise(HF_EMISMATCH, "the members of another cluster");
    }
    const uint64_t known = node->members_heard != NULL ? node->members_heard->version : node->membership.version;
    if (rc == 0 && heard->version > known && !MUTATED(MEMBERS_NOT_TOLD)) {
        free(node->members_heard);
        node->members_heard = heard;
        heard = NULL;
    }
    free(heard);
    return rc;
}

int members_receive_features(struct node_peer *peer, struct hf_bytes payload)
{
    struct cursor cursor = cursor_of(payload);
    uint32_t version = cursor_u32(&cursor);
    uint32_t level = cursor_u32(&cursor);
    if (cursor.failed || version != MEMBERS_FEATURES_VERSION || level < DESCRIPTION_FEATURES_FIRST) {
        return error_raise(HF_EPROTOCOL, "a message of features has version %" PRIu32, version);
    }
    peer->features = level;
    return 0;
}

uint32_t members_features(const struct node *node)
{
    uint32_t level = DESCRIPTION_FEATURE_LEVEL_MAX;
    for (uint32_t i = 0; i < node->membership.count; i++) {
        const struct membership_member *member = &node->membership.members[i];
        const struct node_peer *peer = members_slot((struct node *)node, member->node.id);
        uint32_t features = peer != NULL ? peer->features : DESCRIPTION_FEATURES_FIRST;
        if (member->role != MEMBERSHIP_LEAVING && features < level) {
            level = features;
        }
    }
    return level;
}

/* ---- Who may connect ---- */

int members_admit(void *arg, uint64_t node_id, uint64_t node_incarnation)
{
    struct node *node = arg;
    struct node_peer *peer = members_slot(node, node_id);
    if (peer == NULL && membership_was_removed(&node->membership, node_id)) {
        return error_raise(HF_EREMOVED,
                           "node %" PRIu64 " was removed from the cluster. next: holdfast join, in an empty directory",
                           node_id);
    }
    if (peer == NULL) {
        return error_raise(HF_ENOTFOUND, "node %" PRIu64 " is not a member that node %" PRIu64 " knows", node_id,
                           node->id);
    }
    if (peer == node->self) {
        return error_raise(HF_EMISMATCH, "node %" PRIu64 " is not another node of this cluster", node_id);
    }
    uint64_t registered = system_group_incarnation(node->groups[0].machine, node_id);
    uint64_t known = registered != 0 ? registered : peer->incarnation;
    if (known != 0 && known != node_incarnation && !MUTATED(WIPED_NODE_ADMITTED)) {
        return error_raise(HF_EMISMATCH,
                           "node %" PRIu64 " is known as %016" PRIx64 " and comes as %016" PRIx64
                           ": it was formatted anew and may lack what it acknowledged. next: holdfast member remove "
                           "%" PRIu64 ", then holdfast join",
                           node_id, known, node_incarnation, node_id);
    }
    peer->incarnation = node_incarnation;
    return 0;
}
