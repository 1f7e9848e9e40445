#include "node/membership.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/hash.h"

#define MEMBERSHIP_MAGIC       "HFMEMBR1"
#define MEMBERSHIP_VERSION     1u
#define MEMBERSHIP_HEADER_SIZE 20u
#define MEMBERSHIP_ALONE       1u

const char *membership_role_name(enum membership_role role)
{
    static const char *const names[] = {"", "voter", "standby", "leaving"};
    return role >= MEMBERSHIP_VOTER && role <= MEMBERSHIP_LEAVING ? names[role] : "unknown";
}

void membership_begin(const struct description *description, struct membership *out)
{
    *out = (struct membership){.version = 1, .feature_level = description->feature_level};
    memcpy(out->cluster_id, description->cluster_id, PEER_CLUSTER_ID_SIZE);
    out->count = description->node_count;
    for (uint32_t i = 0; i < out->count; i++) {
        out->members[i] = (struct membership_member){description->nodes[i], 0, MEMBERSHIP_VOTER};
    }
    out->next_id = out->members[out->count - 1].node.id + 1;
}

static uint32_t membership_position(const struct membership *membership, uint64_t node_id)
{
    uint32_t i = 0;
    while (i < membership->count && membership->members[i].node.id != node_id) {
        i++;
    }
    return i;
}

const struct membership_member *membership_find(const struct membership *membership, uint64_t node_id)
{
    uint32_t position = membership_position(membership, node_id);
    return position < membership->count ? &membership->members[position] : NULL;
}

bool membership_was_removed(const struct membership *membership, uint64_t node_id)
{
    return node_id != 0 && node_id < membership->next_id && membership_find(membership, node_id) == NULL;
}

unsigned membership_voters(const struct membership *membership)
{
    unsigned voters = 0;
    for (uint32_t i = 0; i < membership->count; i++) {
        voters += membership->members[i].role == MEMBERSHIP_VOTER;
    }
    return voters;
}

/* ---- Changes ---- */

static void membership_refuse(struct membership_outcome *out, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void membership_refuse(struct membership_outcome *out, int result, const char *format, ...)
{
    va_list args;
    out->result = result;
    va_start(args, format);
    vsnprintf(out->text, sizeof(out->text), format, args);
    va_end(args);
}

/* A peer address belongs to one member. */
static bool membership_address_is_free(const struct membership *membership, const struct description_node *node,
                                       uint64_t own_id, struct membership_outcome *out)
{
    if (description_check_node(node) != 0) {
        membership_refuse(out, HF_EINVALID, "%s", hf_error_text());
        return false;
    }
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct membership_member *member = &membership->members[i];
        if (member->node.id != own_id && strcmp(member->node.peer_address, node->peer_address) == 0) {
            membership_refuse(out, HF_EEXISTS,
                              "node %" PRIu64 " has the peer address %.64s already. next: holdfast member remove "
                              "%" PRIu64 " if that node is gone for good",
                              member->node.id, node->peer_address, member->node.id);
            return false;
        }
    }
    return true;
}

static void membership_join(struct membership *membership, const struct membership_change *change,
                            struct membership_outcome *out)
{
    struct description_node node = change->node;
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct membership_member *member = &membership->members[i];
        if (member->incarnation != change->incarnation) {
            continue;
        }
        /* Asked twice: the first answer was lost. From another address it is a copy of that directory: the two would
         * vote as one node. */
        if (strcmp(member->node.peer_address, node.peer_address) != 0) {
            membership_refuse(out, HF_EEXISTS,
                              "this data directory joined already, as node %" PRIu64
                              " at %.64s. next: join in an empty directory",
                              member->node.id, member->node.peer_address);
            return;
        }
        out->node_id = member->node.id;
        return;
    }
    if (membership->count == MEMBERSHIP_MEMBERS_MAX) {
        membership_refuse(out, HF_ETOOBIG, "the cluster has %u members, and no more are possible",
                          MEMBERSHIP_MEMBERS_MAX);
        return;
    }
    if (change->feature_level < membership->feature_level) {
        membership_refuse(out, HF_EVERSION,
                          "the cluster uses feature level %" PRIu32 ", the new node's program knows %" PRIu32
                          ". next: upgrade it",
                          membership->feature_level, change->feature_level);
        return;
    }
    node.id = membership->next_id;
    if (!membership_address_is_free(membership, &node, 0, out)) {
        return;
    }
    membership->members[membership->count++] = (struct membership_member){node, change->incarnation, change->role};
    membership->next_id++;
    membership->version++;
    out->node_id = node.id;
}

static void membership_set_role(struct membership *membership, struct membership_member *member,
                                const struct membership_change *change, struct membership_outcome *out)
{
    unsigned before = membership_voters(membership);
    unsigned after = before - (member->role == MEMBERSHIP_VOTER) + (change->role == MEMBERSHIP_VOTER);
    if (member->role == change->role) {
        return;
    }
    if (member->role == MEMBERSHIP_LEAVING) {
        membership_refuse(out, HF_ECONFLICT,
                          "node %" PRIu64 " is being removed. next: let it go, and let it join anew under another id",
                          member->node.id);
        return;
    }
    if (after < before && after < 1) {
        membership_refuse(out, HF_EUNSAFE, "node %" PRIu64 " is the last voter", member->node.id);
        return;
    }
    if (after < before && after < 2 && !change->is_forced) {
        membership_refuse(out, HF_EUNSAFE,
                          "without node %" PRIu64
                          " a single voter would remain, whose loss loses everything. next: let "
                          "another node join first, or repeat with --force",
                          member->node.id);
        return;
    }
    membership->may_be_alone = after < 2;
    member->role = change->role;
    membership->version++;
}

static void membership_forget(struct membership *membership, uint32_t position, struct membership_outcome *out)
{
    if (membership->members[position].role != MEMBERSHIP_LEAVING) {
        membership_refuse(out, HF_ECONFLICT, "node %" PRIu64 " is not leaving", membership->members[position].node.id);
        return;
    }
    membership->count--;
    memmove(&membership->members[position], &membership->members[position + 1],
            (membership->count - position) * sizeof(membership->members[0]));
    membership->members[membership->count] = (struct membership_member){0};
    membership->version++;
}

static bool membership_same_addresses(const struct description_node *a, const struct description_node *b)
{
    return strcmp(a->peer_address, b->peer_address) == 0 && strcmp(a->client_address, b->client_address) == 0 &&
           strcmp(a->http_address, b->http_address) == 0;
}

static void membership_change_member(struct membership *membership, const struct membership_change *change,
                                     struct membership_outcome *out)
{
    uint32_t position = membership_position(membership, change->node.id);
    struct membership_member *member = &membership->members[position];
    if (position == membership->count) {
        membership_refuse(out, HF_ENOTFOUND, "node %" PRIu64 " %s", change->node.id,
                          membership_was_removed(membership, change->node.id) ? "was removed already" : "is no member");
        return;
    }
    out->node_id = change->node.id;
    switch (change->kind) {
    case MEMBERSHIP_ROLE:
        membership_set_role(membership, member, change, out);
        break;
    case MEMBERSHIP_ADDRESS:
        if (membership_address_is_free(membership, &change->node, change->node.id, out) &&
            !membership_same_addresses(&member->node, &change->node)) {
            member->node = change->node;
            membership->version++;
        }
        break;
    default:
        membership_forget(membership, position, out);
        break;
    }
}

void membership_apply(struct membership *membership, const struct membership_change *change,
                      struct membership_outcome *out)
{
    *out = (struct membership_outcome){0};
    if (change->expected_version != 0 && change->expected_version != membership->version) {
        membership_refuse(out, HF_ECONFLICT, "the members changed meanwhile. next: look again, and repeat");
    } else if (change->kind == MEMBERSHIP_JOIN) {
        membership_join(membership, change, out);
    } else if (change->kind == MEMBERSHIP_FEATURES) {
        if (change->feature_level > membership->feature_level) {
            membership->feature_level = change->feature_level;
            membership->version++;
        }
    } else {
        membership_change_member(membership, change, out);
    }
    out->version = membership->version;
}

void membership_register(struct membership *membership, uint64_t node_id, uint64_t incarnation)
{
    uint32_t position = membership_position(membership, node_id);
    if (position < membership->count && membership->members[position].incarnation == 0) {
        membership->members[position].incarnation = incarnation;
        membership->version++;
    }
}

uint64_t membership_hash(const struct membership *membership)
{
    struct buffer bytes = {0};
    membership_encode(membership, &bytes);
    uint64_t hash = hash_fnv1a_64(buffer_bytes(&bytes));
    buffer_close(&bytes);
    return hash;
}

/* ---- Bytes ---- */

static void membership_encode_addresses(const struct description_node *node, struct buffer *out)
{
    buffer_append_sized(out, bytes_of_text(node->peer_address));
    buffer_append_sized(out, bytes_of_text(node->client_address));
    buffer_append_sized(out, bytes_of_text(node->http_address));
}

static int membership_decode_addresses(struct cursor *cursor, struct description_node *node)
{
    char *const targets[] = {node->peer_address, node->client_address, node->http_address};
    for (int i = 0; i < 3; i++) {
        struct hf_bytes text = cursor_sized(cursor, DESCRIPTION_ADDRESS_SIZE_MAX - 1);
        if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL) {
            return error_raise(HF_ECORRUPT, "an address of node %" PRIu64 " holds a zero byte", node->id);
        }
        if (text.size > 0) {
            memcpy(targets[i], text.data, text.size);
        }
    }
    return 0;
}

void membership_encode(const struct membership *membership, struct buffer *out)
{
    size_t start = out->size;
    buffer_append(out, MEMBERSHIP_MAGIC, 8);
    buffer_append_u32(out, MEMBERSHIP_VERSION);
    buffer_append_u32(out, 0); /* size and CRC follow */
    buffer_append_u32(out, 0);
    buffer_append(out, membership->cluster_id, PEER_CLUSTER_ID_SIZE);
    buffer_append_u64(out, membership->version);
    buffer_append_u64(out, membership->next_id);
    buffer_append_u32(out, membership->feature_level);
    buffer_append_u16(out, membership->may_be_alone ? MEMBERSHIP_ALONE : 0);
    buffer_append_u16(out, (uint16_t)membership->count);
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct membership_member *member = &membership->members[i];
        buffer_append_u64(out, member->node.id);
        buffer_append_u64(out, member->incarnation);
        buffer_append_u8(out, (uint8_t)member->role);
        membership_encode_addresses(&member->node, out);
    }
    uint8_t *header = out->data + start;
    size_t size = out->size - start;
    assert(size <= MEMBERSHIP_SIZE_MAX);
    bytes_put_u32(header + 12, (uint32_t)(size - MEMBERSHIP_HEADER_SIZE));
    uint32_t crc = checksum_crc32c(0, header, 16);
    bytes_put_u32(header + 16, checksum_crc32c(crc, header + MEMBERSHIP_HEADER_SIZE, size - MEMBERSHIP_HEADER_SIZE));
}

static int membership_check_header(struct hf_bytes bytes)
{
    const uint8_t *header = bytes.data;
    if (bytes.size < MEMBERSHIP_HEADER_SIZE || bytes.size > MEMBERSHIP_SIZE_MAX ||
        memcmp(header, MEMBERSHIP_MAGIC, 8) != 0) {
        return error_raise(HF_ECORRUPT, "this is not a list of members");
    }
    if (bytes_get_u32(header + 8) != MEMBERSHIP_VERSION) {
        return error_raise(HF_EVERSION, "the list of members has version %" PRIu32 ", this program knows %u",
                           bytes_get_u32(header + 8), MEMBERSHIP_VERSION);
    }
    uint32_t crc = checksum_crc32c(0, header, 16);
    crc = checksum_crc32c(crc, header + MEMBERSHIP_HEADER_SIZE, bytes.size - MEMBERSHIP_HEADER_SIZE);
    if (bytes_get_u32(header + 12) != bytes.size - MEMBERSHIP_HEADER_SIZE || crc != bytes_get_u32(header + 16)) {
        return error_raise(HF_ECORRUPT, "the size or the checksum of the list of members does not match");
    }
    return 0;
}

static int membership_decode_member(struct cursor *cursor, uint64_t id_before, struct membership_member *member)
{
    member->node.id = cursor_u64(cursor);
    member->incarnation = cursor_u64(cursor);
    member->role = (enum membership_role)cursor_u8(cursor);
    int rc = membership_decode_addresses(cursor, &member->node);
    if (rc == 0 && (cursor->failed || member->node.id <= id_before || member->role < MEMBERSHIP_VOTER ||
                    member->role > MEMBERSHIP_LEAVING)) {
        rc = error_raise(HF_ECORRUPT, "the list of members is not valid at node %" PRIu64, member->node.id);
    }
    /* A cluster of one may have begun without a door for others. */
    if (rc == 0 && description_check_lone_node(&member->node) != 0) {
        rc = error_wrap(HF_ECORRUPT, "the list of members");
    }
    return rc;
}

/* A peer address belongs to one member. */
static int membership_check_addresses(const struct membership *membership)
{
    for (uint32_t i = 1; i < membership->count; i++) {
        const struct description_node *node = &membership->members[i].node;
        for (uint32_t k = 0; k < i && node->peer_address[0] != '\0'; k++) {
            if (strcmp(node->peer_address, membership->members[k].node.peer_address) == 0) {
                return error_raise(HF_ECORRUPT,
                                   "the list of members has nodes %" PRIu64 " and %" PRIu64
                                   " at the same peer address \"%s\"",
                                   membership->members[k].node.id, node->id, node->peer_address);
            }
        }
    }
    return 0;
}

int membership_decode(struct hf_bytes bytes, struct membership *out)
{
    int rc = membership_check_header(bytes);
    if (rc != 0) {
        return rc;
    }
    struct cursor cursor =
        cursor_of(bytes_of((const uint8_t *)bytes.data + MEMBERSHIP_HEADER_SIZE, bytes.size - MEMBERSHIP_HEADER_SIZE));
    *out = (struct membership){0};
    struct hf_bytes cluster_id = cursor_bytes(&cursor, PEER_CLUSTER_ID_SIZE);
    out->version = cursor_u64(&cursor);
    out->next_id = cursor_u64(&cursor);
    out->feature_level = cursor_u32(&cursor);
    uint16_t flags = cursor_u16(&cursor);
    out->count = cursor_u16(&cursor);
    if (cursor.failed || out->count < 1 || out->count > MEMBERSHIP_MEMBERS_MAX || (flags & ~MEMBERSHIP_ALONE) != 0) {
        return error_raise(HF_ECORRUPT, "the list of members is out of its limits");
    }
    memcpy(out->cluster_id, cluster_id.data, PEER_CLUSTER_ID_SIZE);
    out->may_be_alone = (flags & MEMBERSHIP_ALONE) != 0;
    uint64_t id_before = 0;
    for (uint32_t i = 0; i < out->count && rc == 0; i++) {
        rc = membership_decode_member(&cursor, id_before, &out->members[i]);
        id_before = out->members[i].node.id;
    }
    if (rc == 0 && (cursor_finish(&cursor, "the list of members") != 0 || out->next_id <= id_before)) {
        rc = error_raise(HF_ECORRUPT, "the list of members does not end where it should");
    }
    return rc == 0 ? membership_check_addresses(out) : rc;
}

void membership_change_encode(const struct membership_change *change, struct buffer *out)
{
    buffer_append_u64(out, change->node.id);
    buffer_append_u64(out, change->expected_version);
    buffer_append_u64(out, change->incarnation);
    buffer_append_u32(out, change->feature_level);
    buffer_append_u8(out, (uint8_t)change->role);
    buffer_append_u8(out, change->is_forced);
    buffer_append_u16(out, 0);
    membership_encode_addresses(&change->node, out);
}

int membership_change_decode(enum membership_change_kind kind, struct hf_bytes body, struct membership_change *out)
{
    struct cursor cursor = cursor_of(body);
    *out = (struct membership_change){.kind = kind};
    out->node.id = cursor_u64(&cursor);
    out->expected_version = cursor_u64(&cursor);
    out->incarnation = cursor_u64(&cursor);
    out->feature_level = cursor_u32(&cursor);
    uint8_t role = cursor_u8(&cursor);
    uint8_t forced = cursor_u8(&cursor);
    uint16_t zero = cursor_u16(&cursor);
    bool has_role = kind == MEMBERSHIP_JOIN || kind == MEMBERSHIP_ROLE;
    int rc = membership_decode_addresses(&cursor, &out->node);
    rc = rc == 0 ? cursor_finish(&cursor, "a change of members") : rc;
    out->role = (enum membership_role)role;
    out->is_forced = forced != 0;
    if (rc == 0 && (forced > 1 || zero != 0 || role > MEMBERSHIP_LEAVING || (has_role && role < MEMBERSHIP_VOTER) ||
                    (kind == MEMBERSHIP_JOIN && (role == MEMBERSHIP_LEAVING || out->incarnation == 0)))) {
        rc = error_raise(HF_EPROTOCOL, "a change of members is not valid (role %u, forced %u)", role, forced);
    }
    return rc;
}

void membership_outcome_encode(const struct membership_outcome *outcome, const struct membership *joined,
                               struct buffer *out)
{
    struct buffer members = {0};
    if (joined != NULL) {
        membership_encode(joined, &members);
    }
    buffer_append_u32(out, (uint32_t)outcome->result);
    buffer_append_u64(out, outcome->node_id);
    buffer_append_u64(out, outcome->version);
    buffer_append_sized(out, bytes_of_text(outcome->text));
    buffer_append_sized(out, buffer_bytes(&members));
    buffer_close(&members);
}

int membership_outcome_decode(struct hf_bytes bytes, struct membership_outcome *out, struct hf_bytes *members)
{
    struct cursor cursor = cursor_of(bytes);
    *out = (struct membership_outcome){.result = (int32_t)cursor_u32(&cursor)};
    out->node_id = cursor_u64(&cursor);
    out->version = cursor_u64(&cursor);
    struct hf_bytes text = cursor_sized(&cursor, MEMBERSHIP_TEXT_MAX - 1);
    *members = cursor_sized(&cursor, MEMBERSHIP_SIZE_MAX);
    int rc = cursor_finish(&cursor, "the outcome of a change of members");
    if (rc == 0 && text.size > 0) {
        memcpy(out->text, text.data, text.size);
    }
    return rc;
}
