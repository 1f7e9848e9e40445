#include "node/directory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "node/relaxed_mark.h"

#define DIRECTORY_MAGIC         "HFNODE\0\1"
#define DIRECTORY_NODE_SIZE     56u /* version 1 */
#define DIRECTORY_NODE_SIZE_MAX 64u /* version 2 */

struct directory {
    struct directory_identity identity;
    struct description *description;
    struct membership membership;
    bool has_members; /* from a file of their own */
    enum directory_relaxed relaxed;
    struct io *io;
    struct file *lock;
    char *path;
    char *log_path;
};

/* ---- The file `node` ---- */

static uint32_t directory_node_crc(const uint8_t *bytes, size_t size)
{
    uint32_t crc = checksum_crc32c(0, bytes, 12);
    return checksum_crc32c(crc, bytes + 16, size - 16);
}

/* Without a feature it is what every program reads. */
static size_t directory_encode_node(const struct directory_identity *identity, uint8_t bytes[DIRECTORY_NODE_SIZE_MAX])
{
    size_t size = identity->features != 0 ? DIRECTORY_NODE_SIZE_MAX : DIRECTORY_NODE_SIZE;
    memcpy(bytes, DIRECTORY_MAGIC, 8);
    bytes_put_u32(bytes + 8, identity->features != 0 ? DIRECTORY_VERSION_FEATURES : DIRECTORY_VERSION_PLAIN);
    memcpy(bytes + 16, identity->cluster_id, PEER_CLUSTER_ID_SIZE);
    bytes_put_u64(bytes + 32, identity->node_id);
    bytes_put_u64(bytes + 40, identity->node_incarnation);
    bytes_put_u64(bytes + 48, identity->created_ms);
    if (size == DIRECTORY_NODE_SIZE_MAX) {
        bytes_put_u64(bytes + 56, identity->features);
    }
    bytes_put_u32(bytes + 12, directory_node_crc(bytes, size));
    return size;
}

static int directory_decode_node(struct hf_bytes bytes, struct directory_identity *out)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < 12 || memcmp(data, DIRECTORY_MAGIC, 8) != 0) {
        return error_raise(HF_ECORRUPT, "this is not the identity of a node");
    }
    uint32_t version = bytes_get_u32(data + 8);
    if (version != DIRECTORY_VERSION_PLAIN && version != DIRECTORY_VERSION_FEATURES) {
        return error_raise(HF_EVERSION, "the data directory has version %" PRIu32 ", this program knows up to %u",
                           version, DIRECTORY_VERSION_FEATURES);
    }
    size_t size = version == DIRECTORY_VERSION_PLAIN ? DIRECTORY_NODE_SIZE : DIRECTORY_NODE_SIZE_MAX;
    if (bytes.size != size) {
        return error_raise(HF_ECORRUPT, "the identity has %zu bytes instead of %zu", bytes.size, size);
    }
    if (bytes_get_u32(data + 12) != directory_node_crc(data, size)) {
        return error_raise(HF_ECORRUPT, "the checksum of the identity does not match");
    }
    out->features = version == DIRECTORY_VERSION_PLAIN ? 0 : bytes_get_u64(data + 56);
    if ((out->features & ~DIRECTORY_FEATURES_ALL) != 0) {
        return error_raise(HF_EVERSION, "the data directory needs features %#" PRIx64 " of a newer program",
                           out->features & ~DIRECTORY_FEATURES_ALL);
    }
    memcpy(out->cluster_id, data + 16, PEER_CLUSTER_ID_SIZE);
    out->node_id = bytes_get_u64(data + 32);
    out->node_incarnation = bytes_get_u64(data + 40);
    out->created_ms = bytes_get_u64(data + 48);
    return 0;
}

/* ---- Files ---- */

static int directory_read_file(struct io *io, const char *path, size_t size_max, struct buffer *out)
{
    struct file *file = NULL;
    uint64_t size = 0;
    size_t got = 0;
    int rc = file_open(io, path, FILE_READ, &file);
    if (rc == 0) {
        rc = file_size(file, &size);
    }
    if (rc == 0 && size > size_max) {
        rc = error_raise(HF_ECORRUPT, "%s has %" PRIu64 " bytes, at most %zu are possible", path, size, size_max);
    }
    if (rc == 0) {
        rc = file_read(file, 0, buffer_extend(out, (size_t)size), (size_t)size, &got);
        out->size = got;
    }
    file_close(file);
    return rc;
}

/* Writes under a temporary name, syncs and renames; the name is durable after the folder's next sync. */
static int directory_publish_file(struct io *io, const char *path, const char *name, struct hf_bytes bytes)
{
    char *target = text_format("%s/%s", path, name);
    char *temporary = text_format("%s/%s.tmp", path, name);
    struct file *file = NULL;
    int rc = file_open(io, temporary, FILE_READ | FILE_WRITE | FILE_CREATE, &file);
    if (rc != 0) {
        goto done;
    }
    rc = file_truncate(file, 0); /* what an interrupted attempt left */
    if (rc != 0) {
        goto done;
    }
    rc = file_write(file, 0, bytes.data, bytes.size);
    if (rc != 0) {
        goto done;
    }
    rc = file_sync(file);
    if (rc != 0) {
        goto done;
    }
    rc = path_rename(io, temporary, target);
    if (rc != 0) {
        goto done;
    }
    rc = directory_sync(io, path);
done:
    file_close(file);
    free(temporary);
    free(target);
    return rc;
}

static int directory_lock_with(struct io *io, const char *path, unsigned flags, struct file **out)
{
    char *name = text_format("%s/LOCK", path);
    struct file *file = NULL;
    int rc = file_open(io, name, flags, &file);
    if (rc == 0) {
        rc = file_lock(file);
        if (rc == HF_EBUSY) {
            rc = error_raise(HF_EBUSY, "data directory %s is in use by another process", path);
        }
    }
    if (rc == 0) {
        *out = file;
        file = NULL;
    }
    file_close(file);
    free(name);
    return rc;
}

static int directory_lock(struct io *io, const char *path, struct file **out)
{
    return directory_lock_with(io, path, FILE_READ | FILE_WRITE | FILE_CREATE, out);
}

/* ---- Formatting ---- */

#define DIRECTORY_REBUILDING "rebuilding"

static int directory_visit_any(void *arg, const char *name, bool is_directory)
{
    *(bool *)arg = true;
    return 0;
}

/* Nobody ever opened it, so nothing in it was acknowledged; but to remove it is for whoever began. */
static int directory_check_no_rest(struct io *io, const char *path)
{
    char *name = text_format("%s/" DIRECTORY_REBUILDING, path);
    struct file *file = NULL;
    int rc = file_open(io, name, FILE_READ, &file);
    if (rc == 0) {
        rc = error_raise(HF_EUNSAFE,
                         "%s is the rest of a rebuilding that was interrupted; nothing was changed. next: remove it, "
                         "and begin again",
                         path);
    } else if (rc == HF_ENOTFOUND) {
        rc = 0;
    }
    file_close(file);
    free(name);
    return rc;
}

/* A log without an identity next to it belonged to somebody: what it acknowledged would come back under a new one. */
static int directory_check_unused(struct io *io, const char *path)
{
    char *node = text_format("%s/node", path);
    char *log = text_format("%s/log", path);
    struct file *file = NULL;
    bool has_log = false;
    int rc = file_open(io, node, FILE_READ, &file);
    if (rc == 0) {
        rc = error_raise(HF_EEXISTS, "%s is formatted already; nothing was changed", path);
    } else if (rc == HF_ENOTFOUND) {
        rc = directory_check_no_rest(io, path);
    }
    if (rc == 0) {
        rc = directory_list(io, log, directory_visit_any, &has_log);
        rc = rc == HF_ENOTFOUND ? 0 : rc;
    }
    if (rc == 0 && has_log) {
        rc = error_raise(HF_EUNSAFE,
                         "%s holds a log but no identity (the file \"node\" is missing); nothing was changed. "
                         "next: restore the file, or move %s away if its data may be lost",
                         path, log);
    }
    file_close(file);
    free(log);
    free(node);
    return rc;
}

static int directory_publish_identity(struct io *io, const char *path, const struct directory_identity *identity)
{
    uint8_t node[DIRECTORY_NODE_SIZE_MAX];
    size_t size = directory_encode_node(identity, node);
    return directory_publish_file(io, path, "node", bytes_of(node, size));
}

/* What makes a directory a node's: the description, the members when they are other than the description's, and last
 * the identity. The directory is locked. */
static int directory_publish(struct io *io, const char *path, const struct description *description,
                             const struct membership *membership, const struct directory_identity *identity)
{
    struct buffer bytes = {0};
    description_encode(description, &bytes);
    int rc = directory_publish_file(io, path, "cluster", buffer_bytes(&bytes));
    if (rc == 0 && membership != NULL) {
        buffer_clear(&bytes);
        membership_encode(membership, &bytes);
        rc = directory_publish_file(io, path, "members", buffer_bytes(&bytes));
    }
    rc = rc == 0 ? directory_publish_identity(io, path, identity) : rc;
    buffer_close(&bytes);
    return rc;
}

static int directory_enter(struct io *io, const char *path, struct file **lock)
{
    int rc = directory_create(io, path);
    if (rc == 0) {
        rc = directory_lock(io, path, lock);
    }
    if (rc == 0) {
        rc = directory_check_unused(io, path);
    }
    return rc;
}

static uint64_t directory_draw_incarnation(struct io *io)
{
    uint64_t incarnation = 0;
    while (incarnation == 0) {
        io_random(io, &incarnation, sizeof(incarnation));
    }
    return incarnation;
}

int directory_format(struct io *io, const char *path, const struct description *description, uint64_t node_id)
{
    struct file *lock = NULL;
    struct directory_identity identity = {.node_id = node_id, .created_ms = io_wall_ms(io)};
    if (description_node(description, node_id) == NULL) {
        return error_raise(HF_EINVALID, "the cluster description has no node %" PRIu64, node_id);
    }
    int rc = directory_enter(io, path, &lock);
    if (rc == 0) {
        memcpy(identity.cluster_id, description->cluster_id, PEER_CLUSTER_ID_SIZE);
        identity.node_incarnation = directory_draw_incarnation(io);
        rc = directory_publish(io, path, description, NULL, &identity);
    }
    file_close(lock);
    return rc;
}

/* ---- Joining ---- */

int directory_join_begin(struct io *io, const char *path, const uint8_t cluster_id[PEER_CLUSTER_ID_SIZE],
                         uint64_t *incarnation)
{
    struct buffer bytes = {0};
    struct file *lock = NULL;
    uint8_t node[DIRECTORY_NODE_SIZE_MAX];
    struct directory_identity identity = {0};
    char *name = text_format("%s/joining", path);
    int rc = directory_enter(io, path, &lock);
    if (rc != 0) {
        goto done;
    }
    rc = directory_read_file(io, name, 64 * 1024, &bytes);
    if (rc == 0 && directory_decode_node(buffer_bytes(&bytes), &identity) == 0 &&
        memcmp(identity.cluster_id, cluster_id, PEER_CLUSTER_ID_SIZE) == 0) {
        *incarnation = identity.node_incarnation;
        goto done;
    }
    /* None yet, or of an attempt that is of no use: nobody has acknowledged anything under it. */
    identity =
        (struct directory_identity){.node_incarnation = directory_draw_incarnation(io), .created_ms = io_wall_ms(io)};
    memcpy(identity.cluster_id, cluster_id, PEER_CLUSTER_ID_SIZE);
    size_t size = directory_encode_node(&identity, node);
    rc = directory_publish_file(io, path, "joining", bytes_of(node, size));
    *incarnation = identity.node_incarnation;
done:
    file_close(lock);
    buffer_close(&bytes);
    free(name);
    return rc;
}

int directory_join_finish(struct io *io, const char *path, const struct description *description,
                          const struct membership *membership, uint64_t node_id, uint64_t incarnation)
{
    struct file *lock = NULL;
    const struct membership_member *member = membership_find(membership, node_id);
    struct directory_identity identity = {
        .node_id = node_id, .node_incarnation = incarnation, .created_ms = io_wall_ms(io)};
    if (member == NULL || member->incarnation != incarnation ||
        memcmp(membership->cluster_id, description->cluster_id, PEER_CLUSTER_ID_SIZE) != 0) {
        return error_raise(HF_EMISMATCH, "the cluster's list of members does not name node %" PRIu64 " as it joined",
                           node_id);
    }
    int rc = directory_enter(io, path, &lock);
    if (rc == 0) {
        memcpy(identity.cluster_id, description->cluster_id, PEER_CLUSTER_ID_SIZE);
        rc = directory_publish(io, path, description, membership, &identity);
    }
    file_close(lock);
    return rc;
}

/* ---- Rebuilding ---- */

static int directory_visit_others(void *arg, const char *name, bool is_directory)
{
    bool *has_others = arg;
    *has_others = *has_others || (strcmp(name, "LOCK") != 0 && strcmp(name, DIRECTORY_REBUILDING ".tmp") != 0);
    return 0;
}

static int directory_check_empty(struct io *io, const char *path)
{
    bool has_others = false;
    int rc = directory_check_unused(io, path);
    if (rc == 0) {
        rc = directory_list(io, path, directory_visit_others, &has_others);
        rc = rc == HF_ENOTFOUND ? 0 : rc;
    }
    if (rc == 0 && has_others) {
        rc = error_raise(HF_EEXISTS, "%s is not empty; nothing was changed. next: choose another directory", path);
    }
    return rc;
}

int directory_rebuild_begin(struct io *io, const char *path, struct file **lock)
{
    static const char note[] =
        "This directory is being made, or the making was interrupted. It is no data directory.\n";
    struct file *own = NULL;
    int rc = directory_check_empty(io, path); /* before anything is made in it */
    rc = rc == 0 ? directory_create(io, path) : rc;
    rc = rc == 0 ? directory_lock(io, path, &own) : rc;
    rc = rc == 0 ? directory_check_empty(io, path) : rc;
    rc = rc == 0 ? directory_publish_file(io, path, DIRECTORY_REBUILDING, bytes_of_text(note)) : rc;
    if (rc == 0) {
        *lock = own;
        own = NULL;
    }
    file_close(own);
    return rc;
}

int directory_rebuild_finish(struct io *io, const char *path, const struct description *description, uint64_t node_id)
{
    struct directory_identity identity = {
        .node_id = node_id, .node_incarnation = directory_draw_incarnation(io), .created_ms = io_wall_ms(io)};
    char *mark = text_format("%s/" DIRECTORY_REBUILDING, path);
    memcpy(identity.cluster_id, description->cluster_id, PEER_CLUSTER_ID_SIZE);
    int rc = directory_publish(io, path, description, NULL, &identity);
    if (rc == 0 && path_unlink(io, mark) == 0) {
        /* Beside an identity the mark means nothing, so that it matters little whether this lasts. */
        (void)directory_sync(io, path);
    }
    free(mark);
    return rc;
}

/* ---- Opening ---- */

/* There is no identity: because nobody gave it one, or because a cluster has not answered yet. */
static int directory_raise_absent(struct io *io, const char *path)
{
    char *name = text_format("%s/joining", path);
    struct buffer bytes = {0};
    int rc = directory_read_file(io, name, 64 * 1024, &bytes);
    buffer_close(&bytes);
    free(name);
    return rc == 0 ? error_raise(HF_ENOTFOUND,
                                 "%s is no data directory yet: a holdfast join was begun there and not ended", path)
                   : error_raise(HF_ENOTFOUND, "%s is not a data directory", path);
}

static int directory_read_identity(struct io *io, const char *path, struct directory_identity *out)
{
    char *name = text_format("%s/node", path);
    struct buffer bytes = {0};
    int rc = directory_read_file(io, name, 64 * 1024, &bytes);
    if (rc == HF_ENOTFOUND) {
        rc = directory_raise_absent(io, path);
        goto done;
    }
    if (rc != 0) {
        goto done;
    }
    rc = directory_decode_node(buffer_bytes(&bytes), out);
    if (rc != 0) {
        rc = error_wrap(rc, "%s", name);
    }
done:
    buffer_close(&bytes);
    free(name);
    return rc;
}

static int directory_read_description(struct io *io, const char *path, struct description **out)
{
    char *name = text_format("%s/cluster", path);
    struct buffer bytes = {0};
    int rc = directory_read_file(io, name, DESCRIPTION_SIZE_MAX, &bytes);
    if (rc == HF_ENOTFOUND) {
        /* The identity is published last, so it was there. */
        rc = error_raise(HF_ECORRUPT, "%s is missing. next: copy it from another node of the cluster", name);
        goto done;
    }
    if (rc != 0) {
        goto done;
    }
    rc = description_decode(buffer_bytes(&bytes), out);
    if (rc != 0) {
        rc = error_wrap(rc, "%s", name);
    }
done:
    buffer_close(&bytes);
    free(name);
    return rc;
}

/* The members as this node knew them last. */
static int directory_read_members(struct io *io, const char *path, const struct description *description,
                                  struct membership *out, bool *has_members)
{
    char *name = text_format("%s/members", path);
    struct buffer bytes = {0};
    int rc = directory_read_file(io, name, MEMBERSHIP_SIZE_MAX, &bytes);
    if (rc == HF_ENOTFOUND) {
        membership_begin(description, out);
        rc = 0;
        goto done;
    }
    if (rc == 0) {
        *has_members = true;
        rc = membership_decode(buffer_bytes(&bytes), out);
    }
    if (rc == 0 && memcmp(out->cluster_id, description->cluster_id, PEER_CLUSTER_ID_SIZE) != 0) {
        rc = error_raise(HF_EMISMATCH, "it belongs to another cluster");
    }
    if (rc != 0) {
        rc = error_wrap(rc, "%s", name);
    }
done:
    buffer_close(&bytes);
    free(name);
    return rc;
}

static int directory_check_member(const struct directory *directory, const char *path)
{
    uint64_t node_id = directory->identity.node_id;
    if (membership_find(&directory->membership, node_id) != NULL) {
        return 0;
    }
    if (membership_was_removed(&directory->membership, node_id) && directory->membership.version > 1) {
        return error_raise(HF_EREMOVED, "%s: node %" PRIu64 " was removed from its cluster", path, node_id);
    }
    return error_raise(HF_EMISMATCH, "%s: the cluster has no node %" PRIu64, path, node_id);
}

int directory_write_members(struct directory *directory, const struct membership *membership)
{
    struct buffer bytes = {0};
    membership_encode(membership, &bytes);
    int rc = directory_publish_file(directory->io, directory->path, "members", buffer_bytes(&bytes));
    buffer_close(&bytes);
    return rc;
}

/* Publishes what was read once more: the process that wrote it may have failed to make the names durable, and then only
 * the page cache shows them (HAZARDS row 1, for folders). Without room nothing is changed, and nothing is worse. */
static int directory_publish_again(struct io *io, const char *path, struct directory *directory)
{
    const struct membership *membership = directory->has_members ? &directory->membership : NULL;
    struct directory_identity identity = directory->identity;
    /* A crash may have come between the two, and a mark that an early program wrote came alone. */
    identity.features = directory->relaxed != DIRECTORY_STRICT ? DIRECTORY_FEATURE_RELAXED : 0;
    int rc = directory_publish(io, path, directory->description, membership, &identity);
    directory->identity.features = rc == 0 ? identity.features : directory->identity.features;
    return rc == HF_ENOSPACE ? 0 : rc;
}

static int directory_set_features(struct directory *directory, uint64_t features)
{
    struct directory_identity identity = directory->identity;
    identity.features = features;
    if (features == directory->identity.features) {
        return 0;
    }
    int rc = directory_publish_identity(directory->io, directory->path, &identity);
    directory->identity.features = rc == 0 ? features : directory->identity.features;
    return rc;
}

#define DIRECTORY_RELAXED "relaxed"
#define DIRECTORY_BOOT    "/proc/sys/kernel/random/boot_id"

/* Which life of the kernel this is, where it says so, and which mount the log is on. A log that is not there yet will
 * lie where its parent does. */
static void directory_look(struct io *io, const char *path, struct relaxed_mark *out)
{
    struct file *file = NULL;
    size_t got = 0;
    char *log = text_format("%s/log", path);
    *out = (struct relaxed_mark){.has_mount = true, .mount = directory_mount(io, log)};
    out->mount = out->mount != 0 ? out->mount : directory_mount(io, path);
    out->has_boot = file_open(io, DIRECTORY_BOOT, FILE_READ, &file) == 0 &&
                    file_read(file, 0, out->boot, sizeof(out->boot), &got) == 0 && got == sizeof(out->boot);
    file_close(file);
    free(log);
}

static int directory_read_relaxed(struct io *io, const char *path, enum directory_relaxed *out)
{
    char *name = text_format("%s/" DIRECTORY_RELAXED, path);
    struct buffer bytes = {0};
    struct relaxed_mark mark;
    struct relaxed_mark now;
    *out = DIRECTORY_STRICT;
    int rc = directory_read_file(io, name, RELAXED_MARK_SIZE_MAX, &bytes);
    if (rc == 0) {
        directory_look(io, path, &now);
        relaxed_mark_decode(buffer_bytes(&bytes), &mark);
        *out = relaxed_mark_is_kept(&mark, &now) ? DIRECTORY_RELAXED_SINCE_BOOT : DIRECTORY_RELAXED_BEFORE;
    }
    buffer_close(&bytes);
    free(name);
    return rc == HF_ENOTFOUND ? 0 : rc;
}

enum directory_relaxed directory_relaxed(const struct directory *directory)
{
    return directory->relaxed;
}

int directory_set_relaxed(struct directory *directory, bool is_kept)
{
    struct buffer bytes = {0};
    struct relaxed_mark mark;
    directory_look(directory->io, directory->path, &mark);
    mark.has_boot = mark.has_boot && is_kept;
    relaxed_mark_encode(&mark, &bytes);
    int rc = directory_set_features(directory, DIRECTORY_FEATURE_RELAXED); /* first: the mark is never without it */
    rc = rc != 0 ? rc : directory_publish_file(directory->io, directory->path, DIRECTORY_RELAXED, buffer_bytes(&bytes));
    buffer_close(&bytes);
    return rc;
}

int directory_set_strict(struct directory *directory)
{
    char *name = text_format("%s/" DIRECTORY_RELAXED, directory->path);
    int rc = path_unlink(directory->io, name);
    rc = rc == 0 || rc == HF_ENOTFOUND ? directory_sync(directory->io, directory->path) : rc;
    free(name);
    return rc == 0 ? directory_set_features(directory, 0) : rc;
}

/* Everything but the identity and the lock, which came first. */
static int directory_read(struct io *io, const char *path, struct directory *directory)
{
    int rc = directory_read_description(io, path, &directory->description);
    if (rc == 0 &&
        memcmp(directory->identity.cluster_id, directory->description->cluster_id, PEER_CLUSTER_ID_SIZE) != 0) {
        rc = error_raise(HF_EMISMATCH, "%s: the files \"node\" and \"cluster\" belong to different clusters", path);
    }
    if (rc == 0) {
        rc = directory_read_members(io, path, directory->description, &directory->membership, &directory->has_members);
    }
    if (rc == 0) {
        rc = directory_read_relaxed(io, path, &directory->relaxed);
    }
    directory->io = io;
    directory->path = text_format("%s", path);
    directory->log_path = text_format("%s/log", path);
    return rc;
}

int directory_open(struct io *io, const char *path, struct directory **out)
{
    struct directory *directory = memory_new(sizeof(*directory));
    /* Asked before the lock, so that nothing is created in a folder that is not ours. */
    int rc = directory_read_identity(io, path, &directory->identity);
    rc = rc == 0 ? directory_lock(io, path, &directory->lock) : rc;
    rc = rc == 0 ? directory_read(io, path, directory) : rc;
    rc = rc == 0 ? directory_check_member(directory, path) : rc;
    rc = rc == 0 ? directory_publish_again(io, path, directory) : rc;
    if (rc == 0) {
        *out = directory;
        directory = NULL;
    }
    directory_close(directory);
    return rc;
}

int directory_identify(struct io *io, const char *path, struct directory_identity *out)
{
    return directory_read_identity(io, path, out);
}

int directory_open_read_only(struct io *io, const char *path, struct directory **out)
{
    struct directory *directory = memory_new(sizeof(*directory));
    int rc = directory_read_identity(io, path, &directory->identity);
    if (rc == 0) {
        rc = directory_lock_with(io, path, FILE_READ, &directory->lock);
        rc = rc == HF_ENOTFOUND ? 0 : rc; /* a copy without that file: no process has it */
    }
    rc = rc == 0 ? directory_read(io, path, directory) : rc;
    if (rc == 0) {
        *out = directory;
        directory = NULL;
    }
    directory_close(directory);
    return rc;
}

void directory_close(struct directory *directory)
{
    if (directory == NULL) {
        return;
    }
    file_close(directory->lock);
    description_close(directory->description);
    free(directory->path);
    free(directory->log_path);
    free(directory);
}

const struct directory_identity *directory_identity(const struct directory *directory)
{
    return &directory->identity;
}

const struct description *directory_description(const struct directory *directory)
{
    return directory->description;
}

const struct membership *directory_membership(const struct directory *directory)
{
    return &directory->membership;
}

const char *directory_log_path(const struct directory *directory)
{
    return directory->log_path;
}
