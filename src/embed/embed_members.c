/* Clusters and their members: describing, formatting, changing, joining.
 *
 * What a member answers to hf_node_member_add, the welcome (little-endian):
 *   0  4  magic "HFW1"
 *   4  8  node id
 *      4+n  cluster description (node/description.h)
 *      4+n  members (node/membership.h) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "embed/embed.h"
#include "node/directory.h"
#include "node/joining.h"

#define EMBED_WELCOME_MAGIC 0x31574648u /* "HFW1" */

_Static_assert((int)HF_NODE_VOTER == (int)MEMBERSHIP_VOTER && (int)HF_NODE_STANDBY == (int)MEMBERSHIP_STANDBY &&
                   (int)HF_NODE_REMOVED == (int)MEMBERSHIP_LEAVING,
               "the public roles are those of the membership");

/* ---- Describing and formatting ---- */

static char *embed_members_text(const struct description *description)
{
    struct buffer text = {0};
    description_encode_text(description, &text);
    buffer_append_u8(&text, '\0');
    return (char *)text.data; /* the buffer's memory is the caller's now */
}

static int embed_members_address(char target[DESCRIPTION_ADDRESS_SIZE_MAX], const char *address)
{
    size_t size = address != NULL ? strlen(address) : 0;
    if (size >= DESCRIPTION_ADDRESS_SIZE_MAX) {
        return error_raise(HF_EINVALID, "an address is longer than %u bytes", DESCRIPTION_ADDRESS_SIZE_MAX - 1);
    }
    if (size > 0) {
        memcpy(target, address, size);
    }
    target[size] = '\0';
    return 0;
}

static int embed_members_compare(const void *a, const void *b)
{
    uint64_t left = ((const struct description_node *)a)->id;
    uint64_t right = ((const struct description_node *)b)->id;
    return (left > right) - (left < right);
}

int hf_node_describe(const struct hf_node_address *nodes, size_t count, uint32_t group_count, char **out)
{
    struct io *io = NULL;
    struct description *description = NULL;
    *out = NULL;
    if (count == 0 || count > DESCRIPTION_NODES_MAX) {
        return error_raise(HF_EINVALID, "a cluster has 1 to %u nodes, not %zu", DESCRIPTION_NODES_MAX, count);
    }
    struct description_node *described = memory_new(count * sizeof(*described));
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    for (size_t i = 0; i < count && rc == 0; i++) {
        described[i].id = nodes[i].id;
        rc = embed_members_address(described[i].peer_address, nodes[i].peer);
    }
    if (rc == 0) {
        qsort(described, count, sizeof(*described), embed_members_compare);
        rc = description_create(io, described, (uint32_t)count, group_count, &description);
    }
    if (rc == 0) {
        *out = embed_members_text(description);
    }
    description_close(description);
    free(described);
    io_close(io);
    return rc;
}

int hf_node_format(const char *directory, const char *description, uint64_t node_id)
{
    struct io *io = NULL;
    struct description *described = NULL;
    int rc = description_decode_text(bytes_of_text(description), &described);
    if (rc == 0) {
        rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    }
    if (rc == 0) {
        rc = directory_format(io, directory, described, node_id);
    }
    description_close(described);
    io_close(io);
    return rc;
}

static int embed_members_look_description(struct hf_node *embed, void *arg)
{
    *(char **)arg = embed_members_text(node_description(embed->node));
    return 0;
}

int hf_node_description(struct hf_node *embed, char **out)
{
    return embed_look(embed, embed_members_look_description, out);
}

/* ---- Changing ---- */

/* What the cluster decided, as a result; after a join the reply is the welcome. */
static void embed_members_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct embed_call *call = arg;
    struct membership_outcome outcome;
    struct hf_bytes members;
    struct buffer welcome = {0};
    struct buffer description = {0};
    if (result == 0) {
        result = membership_outcome_decode(reply, &outcome, &members);
    }
    if (result == 0 && outcome.result != 0) {
        result = error_raise(outcome.result, "%s", outcome.text);
    }
    if (result == 0 && members.size > 0) {
        description_encode(node_description(call->embed->node), &description);
        buffer_append_u32(&welcome, EMBED_WELCOME_MAGIC);
        buffer_append_u64(&welcome, outcome.node_id);
        buffer_append_sized(&welcome, buffer_bytes(&description));
        buffer_append_sized(&welcome, members);
    }
    embed_call_done(call, result, buffer_bytes(&welcome), index);
    buffer_close(&description);
    buffer_close(&welcome);
}

static void embed_members_run(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_change_members(embed->node, call->payload.data, embed_members_done, call);
    }
}

static int embed_members_start(struct hf_node *embed, const struct membership_change *change, hf_node_done *done,
                               void *arg)
{
    return embed_call_start(embed, embed_members_run, NODE_SYSTEM_GROUP, 0, bytes_of(change, sizeof(*change)), done,
                            arg);
}

int hf_node_member_change(struct hf_node *embed, uint64_t id, enum hf_node_member_role role, bool forced,
                          hf_node_done *done, void *arg)
{
    struct membership_change change = {
        .kind = MEMBERSHIP_ROLE, .node = {.id = id}, .role = (enum membership_role)role, .is_forced = forced};
    if (role < HF_NODE_VOTER || role > HF_NODE_REMOVED) {
        return error_raise(HF_EINVALID, "%d is no role of a member", (int)role);
    }
    return embed_members_start(embed, &change, done, arg);
}

int hf_node_member_add(struct hf_node *embed, const char *peer, uint64_t token, enum hf_node_member_role role,
                       hf_node_done *done, void *arg)
{
    struct membership_change change = {.kind = MEMBERSHIP_JOIN,
                                       .incarnation = token,
                                       .feature_level = DESCRIPTION_FEATURE_LEVEL_MAX,
                                       .role = (enum membership_role)role};
    if (role != HF_NODE_VOTER && role != HF_NODE_STANDBY) {
        return error_raise(HF_EINVALID, "a node joins as a voter or as a stand-by");
    }
    int rc = embed_members_address(change.node.peer_address, peer);
    return rc != 0 ? rc : embed_members_start(embed, &change, done, arg);
}

/* ---- Joining ---- */

struct hf_node_join {
    struct io *io;
    struct loop *loop;
    struct joining *joining;
    struct executor *executor;
    struct description *description;
    char *directory;
    uint64_t incarnation;
};

static void embed_join_turn(void *arg)
{
    loop_run(((struct hf_node_join *)arg)->loop);
}

static void embed_join_stop(void *arg)
{
    loop_stop(((struct hf_node_join *)arg)->loop);
}

/* Nobody answers at the address any more: it is free for the node. */
static void embed_join_quiet(struct hf_node_join *join)
{
    if (join->executor != NULL) {
        executor_stop(join->executor);
        loop_post(join->loop, embed_join_stop, join);
        executor_close(join->executor);
        join->executor = NULL;
    }
    joining_close(join->joining);
    join->joining = NULL;
    loop_close(join->loop);
    join->loop = NULL;
}

void hf_node_join_close(struct hf_node_join *join)
{
    if (join == NULL) {
        return;
    }
    embed_join_quiet(join);
    description_close(join->description);
    io_close(join->io);
    free(join->directory);
    free(join);
}

int hf_node_join_open(const char *directory, const char *description, const char *peer, struct hf_node_join **out)
{
    *out = NULL;
    struct hf_node_join *join = memory_new(sizeof(*join));
    join->directory = text_copy(directory);
    int rc = description_decode_text(bytes_of_text(description), &join->description);
    if (rc == 0) {
        rc = io_open_kernel(IO_BACKEND_THREADS, &join->io);
    }
    if (rc == 0) {
        rc = directory_join_begin(join->io, directory, join->description->cluster_id, &join->incarnation);
    }
    if (rc == 0) {
        rc = loop_open(join->io, &join->loop);
    }
    if (rc == 0) {
        rc = joining_open(join->io, join->loop, join->description->cluster_id, join->description->routing_version,
                          join->incarnation, peer, &join->joining);
    }
    if (rc == 0) {
        rc = executor_open("join", embed_join_turn, join, &join->executor);
    }
    if (rc == 0) {
        *out = join;
        join = NULL; /* the caller owns it now */
    }
    hf_node_join_close(join);
    return rc;
}

uint64_t hf_node_join_token(const struct hf_node_join *join)
{
    return join->incarnation;
}

int hf_node_join_finish(struct hf_node_join *join, struct hf_bytes welcome, uint64_t *id)
{
    struct description *description = NULL;
    struct membership *membership = memory_new(sizeof(*membership));
    struct cursor cursor = cursor_of(welcome);
    uint32_t magic = cursor_u32(&cursor);
    *id = cursor_u64(&cursor);
    struct hf_bytes described = cursor_sized(&cursor, DESCRIPTION_SIZE_MAX);
    struct hf_bytes members = cursor_sized(&cursor, MEMBERSHIP_SIZE_MAX);
    int rc = cursor_finish(&cursor, "the welcome");
    if (rc == 0 && magic != EMBED_WELCOME_MAGIC) {
        rc = error_raise(HF_EPROTOCOL, "that is no welcome");
    }
    rc = rc == 0 ? description_decode(described, &description) : rc;
    if (rc == 0 && memcmp(description->cluster_id, join->description->cluster_id, PEER_CLUSTER_ID_SIZE) != 0) {
        rc = error_raise(HF_EMISMATCH, "the welcome is of another cluster than the description");
    }
    rc = rc == 0 ? membership_decode(members, membership) : rc;
    if (rc == 0) {
        embed_join_quiet(join);
        rc = directory_join_finish(join->io, join->directory, description, membership, *id, join->incarnation);
    }
    description_close(description);
    free(membership);
    return rc;
}
