#include "replica/replica_configuration.h"

#include <assert.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/error.h"

void replica_configuration_encode(const struct replica_member *members, unsigned count, struct buffer *out)
{
    assert(count >= 1 && count <= REPLICA_MEMBERS_MAX);
    buffer_append_u8(out, REPLICA_CONFIGURATION_VERSION);
    buffer_append_u8(out, (uint8_t)count);
    for (unsigned i = 0; i < count; i++) {
        assert(i == 0 || members[i].node_id > members[i - 1].node_id);
        buffer_append_u64(out, members[i].node_id);
        buffer_append_u8(out, (uint8_t)members[i].role);
    }
}

static int replica_configuration_decode_member(struct cursor *cursor, uint64_t node_id_previous,
                                               struct replica_member *member)
{
    uint64_t node_id = cursor_u64(cursor);
    uint8_t role = cursor_u8(cursor);
    if (cursor->failed) {
        return error_raise(HF_EPROTOCOL, "configuration is truncated");
    }
    if (node_id <= node_id_previous) {
        return error_raise(HF_EPROTOCOL, "configuration names node %" PRIu64 " after node %" PRIu64, node_id,
                           node_id_previous);
    }
    if (role > REPLICA_ROLE_SPARE) {
        return error_raise(HF_EPROTOCOL, "configuration gives node %" PRIu64 " the unknown role %u", node_id, role);
    }
    *member = (struct replica_member){.node_id = node_id, .role = (enum replica_role)role};
    return 0;
}

int replica_configuration_decode(struct hf_bytes bytes, struct replica_member *members, unsigned *count)
{
    struct cursor cursor = cursor_of(bytes);
    uint8_t version = cursor_u8(&cursor);
    uint8_t announced = cursor_u8(&cursor);
    if (cursor.failed) {
        return error_raise(HF_EPROTOCOL, "configuration is truncated");
    }
    if (version != REPLICA_CONFIGURATION_VERSION) {
        return error_raise(HF_EPROTOCOL, "configuration of version %u, known is %u", version,
                           REPLICA_CONFIGURATION_VERSION);
    }
    if (announced == 0 || announced > REPLICA_MEMBERS_MAX) {
        return error_raise(HF_EPROTOCOL, "configuration of %u members, allowed are 1 to %u", announced,
                           REPLICA_MEMBERS_MAX);
    }
    uint64_t node_id = 0;
    for (unsigned i = 0; i < announced; i++) {
        int rc = replica_configuration_decode_member(&cursor, node_id, &members[i]);
        if (rc != 0) {
            return rc;
        }
        node_id = members[i].node_id;
    }
    if (replica_configuration_voters(members, announced) == 0) {
        return error_raise(HF_EPROTOCOL, "configuration without a voter");
    }
    *count = announced;
    return cursor_finish(&cursor, "configuration");
}

void replica_configuration_address(uint64_t node_id, char target[REPLICA_ADDRESS_SIZE])
{
    char digits[REPLICA_ADDRESS_SIZE]; /* by hand: every message of a peer comes through here */
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + node_id % 10);
        node_id /= 10;
    } while (node_id > 0);
    for (size_t i = 0; i < count; i++) {
        target[i] = digits[count - 1 - i];
    }
    target[count] = '\0';
}

static const int raft_roles[] = {
    [REPLICA_ROLE_VOTER] = RAFT_VOTER,
    [REPLICA_ROLE_STANDBY] = RAFT_STANDBY,
    [REPLICA_ROLE_SPARE] = RAFT_SPARE,
};

void replica_configuration_to_raft(const struct replica_member *members, unsigned count, struct raft_configuration *out)
{
    raft_configuration_init(out);
    for (unsigned i = 0; i < count; i++) {
        char address[REPLICA_ADDRESS_SIZE];
        replica_configuration_address(members[i].node_id, address);
        int rv = raft_configuration_add(out, members[i].node_id, address, raft_roles[members[i].role]);
        assert(rv == 0); /* only a lack of memory or a member that was never checked gets here */
    }
}

void replica_configuration_to_raft_buffer(const struct replica_member *members, unsigned count, struct raft_buffer *out)
{
    struct raft_configuration configuration;
    replica_configuration_to_raft(members, count, &configuration);
    int rv = raft_configuration_encode(&configuration, out);
    assert(rv == 0);
    raft_configuration_close(&configuration);
}

static enum replica_role replica_configuration_role(int raft_role)
{
    switch (raft_role) {
    case RAFT_VOTER:
        return REPLICA_ROLE_VOTER;
    case RAFT_STANDBY:
        return REPLICA_ROLE_STANDBY;
    default:
        return REPLICA_ROLE_SPARE;
    }
}

unsigned replica_configuration_from_raft(const struct raft_configuration *configuration, struct replica_member *members)
{
    assert(configuration->n <= REPLICA_MEMBERS_MAX);
    for (unsigned i = 0; i < configuration->n; i++) {
        members[i].node_id = configuration->servers[i].id;
        members[i].role = replica_configuration_role(configuration->servers[i].role);
    }
    return configuration->n;
}

int replica_configuration_check(const struct replica_member *members, unsigned count)
{
    if (count == 0 || count > REPLICA_MEMBERS_MAX) {
        return error_raise(HF_EINVALID, "a group of %u members, allowed are 1 to %u", count, REPLICA_MEMBERS_MAX);
    }
    uint64_t node_id = 0;
    for (unsigned i = 0; i < count; i++) {
        if (members[i].node_id <= node_id || (unsigned)members[i].role > REPLICA_ROLE_SPARE) {
            return error_raise(HF_EINVALID, "members are named in ascending order, each with a role");
        }
        node_id = members[i].node_id;
    }
    if (replica_configuration_voters(members, count) == 0) {
        return error_raise(HF_EINVALID, "a group without a voter");
    }
    return 0;
}

unsigned replica_configuration_voters(const struct replica_member *members, unsigned count)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < count; i++) {
        voters += members[i].role == REPLICA_ROLE_VOTER;
    }
    return voters;
}

const struct replica_member *replica_configuration_find(const struct replica_member *members, unsigned count,
                                                        uint64_t node_id)
{
    for (unsigned i = 0; i < count; i++) {
        if (members[i].node_id == node_id) {
            return &members[i];
        }
    }
    return NULL;
}

unsigned replica_configuration_distance(const struct replica_member *a, unsigned a_count,
                                        const struct replica_member *b, unsigned b_count)
{
    unsigned distance = 0;
    for (unsigned i = 0; i < a_count; i++) {
        const struct replica_member *other = replica_configuration_find(b, b_count, a[i].node_id);
        distance += other == NULL || other->role != a[i].role;
    }
    for (unsigned i = 0; i < b_count; i++) {
        distance += replica_configuration_find(a, a_count, b[i].node_id) == NULL;
    }
    return distance;
}
