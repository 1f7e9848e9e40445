#include "node/description.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"

#define DESCRIPTION_MAGIC           "HFCLUST1"
#define DESCRIPTION_VERSION         1u
#define DESCRIPTION_HEADER_SIZE     20u
#define DESCRIPTION_ROUTING_VERSION 1u
#define DESCRIPTION_SYSTEM_GROUP    1u /* group ids follow the position: the format's rule, see node/node.h */
#define DESCRIPTION_TEXT_BEGIN      "-----BEGIN HOLDFAST CLUSTER-----"
#define DESCRIPTION_TEXT_END        "-----END HOLDFAST CLUSTER-----"
#define DESCRIPTION_TEXT_LINE_SIZE  64u
#define DESCRIPTION_TEXT_SIZE_MAX   (DESCRIPTION_SIZE_MAX * 2)

static const char description_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- What makes a description valid, whoever wrote it ---- */

/* host:port; the text is printable, so that it can be shown and logged as it is. */
static int description_check_address(uint64_t node, const char *what, const char *address)
{
    size_t size = strnlen(address, DESCRIPTION_ADDRESS_SIZE_MAX);
    if (size == DESCRIPTION_ADDRESS_SIZE_MAX) {
        return error_raise(HF_EINVALID, "node %" PRIu64 ": the %s address is longer than %u bytes", node, what,
                           DESCRIPTION_ADDRESS_SIZE_MAX - 1);
    }
    for (size_t i = 0; i < size; i++) {
        if (address[i] <= ' ' || address[i] > '~') {
            return error_raise(HF_EINVALID, "node %" PRIu64 ": the %s address holds a byte that is not printable", node,
                               what);
        }
    }
    const char *colon = strrchr(address, ':');
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    if (colon == NULL || colon == address || digits == 0 || digits > 5 || colon[1 + digits] != '\0' ||
        strtoul(colon + 1, NULL, 10) > 65535) {
        return error_raise(HF_EINVALID, "node %" PRIu64 ": the %s address \"%s\" is not host:port", node, what,
                           address);
    }
    return 0;
}

static int description_check_one_of(const struct description_node *node, uint32_t node_count)
{
    if (node->id == 0) {
        return error_raise(HF_EINVALID, "a node has the id 0; ids start at 1");
    }
    if (node->id > INT64_MAX) {
        return error_raise(HF_EINVALID, "a node has the id %" PRIu64 ", which is too great", node->id);
    }
    /* A cluster of one talks to nobody, and not every node serves HTTP. */
    int rc = 0;
    if (node->peer_address[0] != '\0' || node_count > 1) {
        rc = description_check_address(node->id, "peer", node->peer_address);
    }
    if (rc == 0 && node->client_address[0] != '\0') {
        rc = description_check_address(node->id, "client", node->client_address);
    }
    if (rc == 0 && node->http_address[0] != '\0') {
        rc = description_check_address(node->id, "http", node->http_address);
    }
    return rc;
}

int description_check_node(const struct description_node *node)
{
    return description_check_one_of(node, UINT32_MAX);
}

int description_check_lone_node(const struct description_node *node)
{
    return description_check_one_of(node, 1);
}

static int description_check(const struct description *description)
{
    for (uint32_t i = 0; i < description->node_count; i++) {
        int rc = description_check_one_of(&description->nodes[i], description->node_count);
        if (rc != 0) {
            return rc;
        }
        if (i > 0 && description->nodes[i].id == description->nodes[i - 1].id) {
            return error_raise(HF_EINVALID, "node %" PRIu64 " is listed twice", description->nodes[i].id);
        }
        if (i > 0 && description->nodes[i].id < description->nodes[i - 1].id) {
            return error_raise(HF_EINVALID, "nodes are not in the order of their ids");
        }
        for (uint32_t k = 0; k < i && description->nodes[i].peer_address[0] != '\0'; k++) {
            if (strcmp(description->nodes[i].peer_address, description->nodes[k].peer_address) == 0) {
                return error_raise(HF_EINVALID, "nodes %" PRIu64 " and %" PRIu64 " have the same peer address \"%s\"",
                                   description->nodes[k].id, description->nodes[i].id,
                                   description->nodes[i].peer_address);
            }
        }
    }
    for (uint32_t i = 0; i <= description->group_count; i++) {
        if (description->groups[i].id != DESCRIPTION_SYSTEM_GROUP + i) {
            return error_raise(HF_EINVALID, "group %" PRIu64 " stands at position %" PRIu32, description->groups[i].id,
                               i);
        }
        if (description->groups[i].incarnation == 0) {
            return error_raise(HF_EINVALID, "group %" PRIu64 " has no incarnation", description->groups[i].id);
        }
    }
    return 0;
}

static int description_check_counts(uint32_t node_count, uint32_t group_count)
{
    if (node_count < 1 || node_count > DESCRIPTION_NODES_MAX) {
        return error_raise(HF_EINVALID, "a cluster has 1 to %u nodes, not %" PRIu32, DESCRIPTION_NODES_MAX, node_count);
    }
    if (group_count < 1 || group_count > DESCRIPTION_GROUPS_MAX) {
        return error_raise(HF_EINVALID, "a cluster has 1 to %u groups, not %" PRIu32, DESCRIPTION_GROUPS_MAX,
                           group_count);
    }
    return 0;
}

/* ---- Life ---- */

static struct description *description_new(uint32_t node_count, uint32_t group_count)
{
    struct description *description = memory_new(sizeof(*description));
    description->node_count = node_count;
    description->group_count = group_count;
    description->nodes = memory_new(node_count * sizeof(*description->nodes));
    description->groups = memory_new(((size_t)group_count + 1) * sizeof(*description->groups));
    return description;
}

static int description_compare_nodes(const void *a, const void *b)
{
    const struct description_node *left = a;
    const struct description_node *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

int description_create(struct io *io, const struct description_node *nodes, uint32_t node_count, uint32_t group_count,
                       struct description **out)
{
    struct description *description = NULL;
    int rc = description_check_counts(node_count, group_count);
    if (rc != 0) {
        goto done;
    }
    description = description_new(node_count, group_count);
    memcpy(description->nodes, nodes, node_count * sizeof(*nodes));
    qsort(description->nodes, node_count, sizeof(*nodes), description_compare_nodes);
    io_random(io, description->cluster_id, sizeof(description->cluster_id));
    description->created_ms = io_wall_ms(io);
    description->feature_level = DESCRIPTION_FEATURE_LEVEL_MAX;
    description->routing_version = DESCRIPTION_ROUTING_VERSION;
    for (uint32_t i = 0; i <= group_count; i++) {
        description->groups[i].id = DESCRIPTION_SYSTEM_GROUP + i;
        while (description->groups[i].incarnation == 0) {
            io_random(io, &description->groups[i].incarnation, sizeof(description->groups[i].incarnation));
        }
    }
    rc = description_check(description);
    if (rc != 0) {
        goto done;
    }
    *out = description;
    description = NULL;
done:
    description_close(description);
    return rc;
}

void description_close(struct description *description)
{
    if (description == NULL) {
        return;
    }
    free(description->nodes);
    free(description->groups);
    free(description);
}

const struct description_node *description_node(const struct description *description, uint64_t id)
{
    for (uint32_t i = 0; i < description->node_count; i++) {
        if (description->nodes[i].id == id) {
            return &description->nodes[i];
        }
    }
    return NULL;
}

void description_cluster_id_text(const struct description *description, char text[33])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < PEER_CLUSTER_ID_SIZE; i++) {
        text[2 * i] = digits[description->cluster_id[i] >> 4];
        text[2 * i + 1] = digits[description->cluster_id[i] & 15];
    }
    text[32] = '\0';
}

/* ---- Bytes ---- */

void description_encode(const struct description *description, struct buffer *out)
{
    size_t start = out->size;
    buffer_append(out, DESCRIPTION_MAGIC, 8);
    buffer_append_u32(out, DESCRIPTION_VERSION);
    buffer_append_u32(out, 0); /* size and CRC follow */
    buffer_append_u32(out, 0);
    buffer_append(out, description->cluster_id, PEER_CLUSTER_ID_SIZE);
    buffer_append_u64(out, description->created_ms);
    buffer_append_u32(out, description->feature_level);
    buffer_append_u32(out, description->routing_version);
    buffer_append_u32(out, description->group_count);
    buffer_append_u32(out, description->node_count);
    for (uint32_t i = 0; i < description->node_count; i++) {
        buffer_append_u64(out, description->nodes[i].id);
        buffer_append_sized(out, bytes_of_text(description->nodes[i].peer_address));
        buffer_append_sized(out, bytes_of_text(description->nodes[i].client_address));
        buffer_append_sized(out, bytes_of_text(description->nodes[i].http_address));
    }
    for (uint32_t i = 0; i <= description->group_count; i++) {
        buffer_append_u64(out, description->groups[i].id);
        buffer_append_u64(out, description->groups[i].incarnation);
    }
    uint8_t *header = out->data + start;
    size_t size = out->size - start;
    assert(size <= DESCRIPTION_SIZE_MAX);
    bytes_put_u32(header + 12, (uint32_t)(size - DESCRIPTION_HEADER_SIZE));
    uint32_t crc = checksum_crc32c(0, header, 16);
    bytes_put_u32(header + 16, checksum_crc32c(crc, header + DESCRIPTION_HEADER_SIZE, size - DESCRIPTION_HEADER_SIZE));
}

/* Checks everything that is known before the contents are read. */
static int description_check_header(struct hf_bytes bytes)
{
    const uint8_t *header = bytes.data;
    if (bytes.size < DESCRIPTION_HEADER_SIZE || memcmp(header, DESCRIPTION_MAGIC, 8) != 0) {
        return error_raise(HF_ECORRUPT, "this is not a cluster description");
    }
    if (bytes.size > DESCRIPTION_SIZE_MAX) {
        return error_raise(HF_ECORRUPT, "a cluster description of %zu bytes is above the limit of %u", bytes.size,
                           DESCRIPTION_SIZE_MAX);
    }
    /* The version is judged before the checksum: another version may be laid out in another way. */
    uint32_t version = bytes_get_u32(header + 8);
    if (version != DESCRIPTION_VERSION) {
        return error_raise(HF_EVERSION, "the cluster description has version %" PRIu32 ", this program knows %u",
                           version, DESCRIPTION_VERSION);
    }
    if (bytes_get_u32(header + 12) != bytes.size - DESCRIPTION_HEADER_SIZE) {
        return error_raise(HF_ECORRUPT, "the cluster description says %" PRIu32 " bytes and has %zu",
                           bytes_get_u32(header + 12), bytes.size - DESCRIPTION_HEADER_SIZE);
    }
    uint32_t crc = checksum_crc32c(0, header, 16);
    crc = checksum_crc32c(crc, header + DESCRIPTION_HEADER_SIZE, bytes.size - DESCRIPTION_HEADER_SIZE);
    if (crc != bytes_get_u32(header + 16)) {
        return error_raise(HF_ECORRUPT, "the checksum of the cluster description does not match");
    }
    return 0;
}

static int description_decode_address(struct cursor *cursor, char address[DESCRIPTION_ADDRESS_SIZE_MAX])
{
    struct hf_bytes text = cursor_sized(cursor, DESCRIPTION_ADDRESS_SIZE_MAX - 1);
    if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL) {
        return error_raise(HF_ECORRUPT, "an address in the cluster description holds a zero byte");
    }
    if (text.size > 0) {
        memcpy(address, text.data, text.size);
    }
    return 0;
}

static int description_decode_contents(struct cursor *cursor, struct description *description)
{
    for (uint32_t i = 0; i < description->node_count; i++) {
        struct description_node *node = &description->nodes[i];
        node->id = cursor_u64(cursor);
        int rc = description_decode_address(cursor, node->peer_address);
        rc = rc != 0 ? rc : description_decode_address(cursor, node->client_address);
        rc = rc != 0 ? rc : description_decode_address(cursor, node->http_address);
        if (rc != 0) {
            return rc;
        }
    }
    for (uint32_t i = 0; i <= description->group_count && !cursor->failed; i++) {
        description->groups[i].id = cursor_u64(cursor);
        description->groups[i].incarnation = cursor_u64(cursor);
    }
    if (cursor_finish(cursor, "the cluster description") != 0) {
        return error_wrap(HF_ECORRUPT, "damaged");
    }
    if (description_check(description) != 0) {
        return error_wrap(HF_ECORRUPT, "the cluster description is not valid");
    }
    return 0;
}

int description_decode(struct hf_bytes bytes, struct description **out)
{
    struct description *description = NULL;
    int rc = description_check_header(bytes);
    if (rc != 0) {
        goto done;
    }
    struct cursor cursor = cursor_of(
        bytes_of((const uint8_t *)bytes.data + DESCRIPTION_HEADER_SIZE, bytes.size - DESCRIPTION_HEADER_SIZE));
    struct hf_bytes cluster_id = cursor_bytes(&cursor, PEER_CLUSTER_ID_SIZE);
    uint64_t created_ms = cursor_u64(&cursor);
    uint32_t feature_level = cursor_u32(&cursor);
    uint32_t routing_version = cursor_u32(&cursor);
    uint32_t group_count = cursor_u32(&cursor);
    uint32_t node_count = cursor_u32(&cursor);
    if (cursor.failed || description_check_counts(node_count, group_count) != 0) {
        rc = error_raise(HF_ECORRUPT, "the cluster description's counts are out of their limits");
        goto done;
    }
    if (feature_level < 1 || feature_level > DESCRIPTION_FEATURE_LEVEL_MAX ||
        routing_version != DESCRIPTION_ROUTING_VERSION) {
        rc = error_raise(HF_EVERSION,
                         "the cluster description has feature level %" PRIu32 " and routing version %" PRIu32
                         ", this program knows %u and %u",
                         feature_level, routing_version, DESCRIPTION_FEATURE_LEVEL_MAX, DESCRIPTION_ROUTING_VERSION);
        goto done;
    }
    description = description_new(node_count, group_count);
    memcpy(description->cluster_id, cluster_id.data, PEER_CLUSTER_ID_SIZE);
    description->created_ms = created_ms;
    description->feature_level = feature_level;
    description->routing_version = routing_version;
    rc = description_decode_contents(&cursor, description);
    if (rc != 0) {
        goto done;
    }
    *out = description;
    description = NULL;
done:
    description_close(description);
    return rc;
}

/* ---- Text ---- */

static void description_append_base64(struct buffer *out, const uint8_t *data, size_t size)
{
    size_t column = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)data[i] << 16;
        bits |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= left > 2 ? data[i + 2] : 0;
        uint8_t *digits = buffer_extend(out, 4);
        digits[0] = (uint8_t)description_base64[bits >> 18];
        digits[1] = (uint8_t)description_base64[bits >> 12 & 63];
        digits[2] = left > 1 ? (uint8_t)description_base64[bits >> 6 & 63] : '=';
        digits[3] = left > 2 ? (uint8_t)description_base64[bits & 63] : '=';
        column += 4;
        if (column == DESCRIPTION_TEXT_LINE_SIZE || left <= 3) {
            buffer_append_u8(out, '\n');
            column = 0;
        }
    }
}

void description_encode_text(const struct description *description, struct buffer *out)
{
    struct buffer bytes = {0};
    description_encode(description, &bytes);
    buffer_append_text(out, DESCRIPTION_TEXT_BEGIN "\n");
    description_append_base64(out, bytes.data, bytes.size);
    buffer_append_text(out, DESCRIPTION_TEXT_END "\n");
    buffer_close(&bytes);
}

/* Decodes one group of four digits; spaces and line ends were removed. */
static int description_append_quad(struct buffer *out, const uint8_t digits[4], bool is_last)
{
    uint32_t bits = 0;
    unsigned padding = 0;
    for (unsigned i = 0; i < 4; i++) {
        const char *found = digits[i] != '\0' ? strchr(description_base64, digits[i]) : NULL;
        if (digits[i] == '=' && is_last && i >= 2) {
            padding++;
        } else if (found == NULL || padding > 0) {
            return error_raise(HF_ECORRUPT, "the cluster description holds a character that is not base64");
        }
        bits = bits << 6 | (found != NULL ? (uint32_t)(found - description_base64) : 0);
    }
    uint8_t bytes[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
    buffer_append(out, bytes, 3 - padding);
    return 0;
}

static int description_decode_base64(const uint8_t *data, size_t size, struct buffer *out)
{
    struct buffer digits = {0};
    int rc = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] != '\n' && data[i] != '\r' && data[i] != ' ' && data[i] != '\t') {
            buffer_append_u8(&digits, data[i]);
        }
    }
    if (digits.size % 4 != 0) {
        rc = error_raise(HF_ECORRUPT, "the cluster description's text is cut short");
    }
    for (size_t i = 0; i + 4 <= digits.size && rc == 0; i += 4) {
        rc = description_append_quad(out, digits.data + i, i + 4 == digits.size);
    }
    buffer_close(&digits);
    return rc;
}

int description_decode_text(struct hf_bytes text, struct description **out)
{
    struct buffer bytes = {0};
    int rc = 0;
    if (text.size > DESCRIPTION_TEXT_SIZE_MAX) {
        rc = error_raise(HF_ECORRUPT, "a text of %zu bytes is too long for a cluster description", text.size);
        goto done;
    }
    const uint8_t *begin =
        text.size > 0 ? memmem(text.data, text.size, DESCRIPTION_TEXT_BEGIN, strlen(DESCRIPTION_TEXT_BEGIN)) : NULL;
    if (begin == NULL) {
        rc = error_raise(HF_ECORRUPT, "the text has no line \"%s\"", DESCRIPTION_TEXT_BEGIN);
        goto done;
    }
    begin += strlen(DESCRIPTION_TEXT_BEGIN);
    size_t left = text.size - (size_t)(begin - (const uint8_t *)text.data);
    const uint8_t *end = memmem(begin, left, DESCRIPTION_TEXT_END, strlen(DESCRIPTION_TEXT_END));
    if (end == NULL) {
        rc = error_raise(HF_ECORRUPT, "the text has no line \"%s\": it is cut short", DESCRIPTION_TEXT_END);
        goto done;
    }
    rc = description_decode_base64(begin, (size_t)(end - begin), &bytes);
    if (rc != 0) {
        goto done;
    }
    rc = description_decode(buffer_bytes(&bytes), out);
done:
    buffer_close(&bytes);
    return rc;
}
