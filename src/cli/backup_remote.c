#include "cli/backup_remote.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "cli/remote.h"

#define REMOTE_ANSWER_TIMEOUT_S 60u

struct backup_remote {
    redisContext *context;
};

static void remote_patience(redisContext *context, unsigned seconds)
{
    const struct timeval patience = {seconds, 0};
    redisSetTimeout(context, patience);
}

int backup_remote_open(const char *address, struct backup_remote **out)
{
    redisContext *context = NULL;
    int rc = remote_connect(address, REMOTE_TIMEOUT_MS, &context);
    if (rc != 0) {
        return rc;
    }
    remote_patience(context, REMOTE_ANSWER_TIMEOUT_S);
    struct backup_remote *remote = memory_new(sizeof(*remote));
    remote->context = context;
    *out = remote;
    return 0;
}

void backup_remote_close(struct backup_remote *remote)
{
    if (remote != NULL) {
        redisFree(remote->context);
        free(remote);
    }
}

/* Takes the next reply over. Error replies are told by their first word. */
static int remote_check(struct backup_remote *remote, redisReply *reply, int type)
{
    static const struct {
        const char *word;
        int code;
    } words[] = {{"NOSNAPSHOT", HF_ENOTFOUND}, {"CLUSTERDOWN", HF_ENOLEADER}, {"OOM", HF_EBUSY}, {"BUSY", HF_EBUSY}};
    if (reply == NULL) {
        return error_raise(errno == EAGAIN ? HF_ETIMEOUT : HF_EIO, "the connection to the node broke: %s",
                           remote->context->errstr);
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            if (strncmp(reply->str, words[i].word, strlen(words[i].word)) == 0) {
                return error_raise(words[i].code, "the node says: %s", reply->str);
            }
        }
        return error_raise(HF_EIO, "the node says: %s", reply->str);
    }
    return reply->type == type ? 0 : error_raise(HF_EPROTOCOL, "the node's answer makes no sense");
}

static void remote_free(redisReply *reply)
{
    if (reply != NULL) {
        freeReplyObject(reply);
    }
}

static int remote_parse_groups(json_t *status, struct backup_remote_cluster *out)
{
    json_t *group;
    size_t position;
    out->group_count = 0;
    json_array_foreach(json_object_get(status, "groups"), position, group)
    {
        if (json_integer_value(json_object_get(group, "ordinal")) < 0) {
            continue; /* the system group: its contents are the cluster's own */
        }
        uint64_t id = (uint64_t)json_integer_value(json_object_get(group, "group"));
        if (out->group_count == BACKUP_FORMAT_GROUPS_MAX ||
            (out->group_count > 0 && id <= out->groups[out->group_count - 1])) {
            return HF_EPROTOCOL;
        }
        out->groups[out->group_count++] = id;
    }
    return out->group_count > 0 ? 0 : HF_EPROTOCOL;
}

int backup_remote_describe(struct backup_remote *remote, const char *address, struct backup_remote_cluster *out)
{
    struct hf_snapshot_id id;
    json_t *status = NULL;
    int rc = remote_status(address, &status);
    if (rc != 0) {
        return rc;
    }
    const char *cluster = json_string_value(json_object_get(status, "cluster"));
    if (cluster == NULL || hf_snapshot_id_parse(bytes_of_text(cluster), &id) != 0 ||
        remote_parse_groups(status, out) != 0) {
        rc = error_raise(HF_EPROTOCOL, "%s does not say which cluster and groups it has", address);
    } else {
        memcpy(out->id, id.bytes, sizeof(out->id)); /* both are 16 bytes in hexadecimal digits */
    }
    json_decref(status);
    return rc;
}

static int remote_order(struct backup_remote *remote, const char *format, uint64_t group)
{
    redisReply *reply = redisCommand(remote->context, format, (unsigned long long)group);
    int rc = remote_check(remote, reply, REDIS_REPLY_STATUS);
    remote_free(reply);
    return rc;
}

int backup_remote_take(struct backup_remote *remote, uint64_t group)
{
    int rc = remote_order(remote, "RAFT.BARRIER %llu", group);
    if (rc == 0) {
        remote_patience(remote->context, REMOTE_SNAPSHOT_TIMEOUT_S);
        rc = remote_order(remote, "RAFT.SNAPSHOT GROUP %llu", group);
        remote_patience(remote->context, REMOTE_ANSWER_TIMEOUT_S);
    }
    return rc;
}

int backup_remote_find(struct backup_remote *remote, uint64_t group, struct hf_snapshot_manifest *out)
{
    redisReply *reply = redisCommand(remote->context, "RAFT.SNAPSHOT FIND %llu", (unsigned long long)group);
    int rc = remote_check(remote, reply, REDIS_REPLY_STRING);
    rc = rc == 0 ? hf_snapshot_manifest_decode(bytes_of(reply->str, reply->len), out) : rc;
    if (rc == 0 && out->group != group) {
        rc =
            error_raise(HF_EPROTOCOL, "the node answered for group %" PRIu64 " with group %" PRIu64, group, out->group);
    }
    remote_free(reply);
    return rc;
}

static void remote_ask(struct backup_remote *remote, const struct hf_snapshot_manifest *manifest, uint32_t number)
{
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    hf_snapshot_id_format(manifest->id, id);
    (void)redisAppendCommand(remote->context, "RAFT.SNAPSHOT READ %llu %s %u", (unsigned long long)manifest->group, id,
                             (unsigned)number); /* it fails for lack of memory only, and then the next read does */
}

static int remote_take_chunk(struct backup_remote *remote, backup_remote_chunk *take, void *arg)
{
    redisReply *reply = NULL;
    if (redisGetReply(remote->context, (void **)&reply) != REDIS_OK) {
        reply = NULL;
    }
    int rc = remote_check(remote, reply, REDIS_REPLY_STRING);
    rc = rc == 0 ? take(arg, bytes_of(reply->str, reply->len)) : rc;
    remote_free(reply);
    return rc;
}

int backup_remote_fetch(struct backup_remote *remote, const struct hf_snapshot_manifest *manifest, uint32_t first,
                        backup_remote_chunk *take, void *arg)
{
    uint32_t asked = first;
    for (uint32_t next = first; next < manifest->chunk_count; next++) {
        while (asked < manifest->chunk_count && asked - next < BACKUP_REMOTE_WINDOW) {
            remote_ask(remote, manifest, asked++);
        }
        int rc = remote_take_chunk(remote, take, arg);
        if (rc != 0) {
            /* Answers to what was asked ahead are still to come: they are not the next question's. */
            char text[ERROR_TEXT_SIZE_MAX];
            error_text_copy(text, sizeof(text));
            for (next++; next < asked && remote->context->err == 0; next++) {
                redisReply *ignored = NULL;
                if (redisGetReply(remote->context, (void **)&ignored) == REDIS_OK) {
                    remote_free(ignored);
                }
            }
            error_restore(rc, text);
            return error_wrap(rc, "group %" PRIu64, manifest->group);
        }
    }
    return 0;
}
