#include "cli/remote.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cli/quantity.h"

int remote_connect(const char *address, unsigned timeout_ms, redisContext **out)
{
    const struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    const char *colon = strrchr(address, ':');
    uint64_t port;
    if (colon == NULL || quantity_number(colon + 1, 1, 65535, &port) != 0) {
        return error_raise(HF_EINVALID, "'%s' is not an address (host:port)", address);
    }
    size_t size = (size_t)(colon - address);
    char *host = text_format("%.*s", (int)(size > 2 && address[0] == '[' ? size - 2 : size),
                             address[0] == '[' ? address + 1 : address);
    redisContext *context = redisConnectWithTimeout(host, (int)port, timeout);
    free(host);
    if (context == NULL) {
        return error_raise(HF_ENOMEM, "connection to %s", address);
    }
    if (context->err != 0) {
        int rc = error_raise(HF_ENOTFOUND, "no node answers at %s: %s", address, context->errstr);
        redisFree(context);
        return rc;
    }
    redisSetTimeout(context, timeout);
    *out = context;
    return 0;
}

static int remote_json(const char *address, const char *command, json_t **out)
{
    redisContext *context = NULL;
    redisReply *reply = NULL;
    json_error_t problem;
    int rc = remote_connect(address, REMOTE_TIMEOUT_MS, &context);
    if (rc != 0) {
        return rc;
    }
    reply = redisCommand(context, command);
    if (reply == NULL) {
        rc = error_raise(errno == EAGAIN ? HF_ETIMEOUT : HF_EIO, "%s does not answer: %s", address, context->errstr);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        rc = error_raise(HF_EPROTOCOL, "%s: %s", address, reply->str);
    } else if (reply->type != REDIS_REPLY_STRING || (*out = json_loadb(reply->str, reply->len, 0, &problem)) == NULL) {
        rc = error_raise(HF_EPROTOCOL, "%s is not a Holdfast node", address);
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    redisFree(context);
    return rc;
}

int remote_status(const char *address, json_t **out)
{
    return remote_json(address, "RAFT.STATUS JSON", out);
}

/* The reply, which has to be a text, is added to *out; then the connection ends. */
static int remote_end_with_text(const char *address, redisContext *context, redisReply *reply, struct buffer *out)
{
    int rc = 0;
    if (reply == NULL) {
        rc = error_raise(errno == EAGAIN ? HF_ETIMEOUT : HF_EIO, "%s does not answer: %s", address, context->errstr);
    } else if (reply->type != REDIS_REPLY_STRING) {
        rc = error_raise(HF_EPROTOCOL, "%s: %s", address,
                         reply->type == REDIS_REPLY_ERROR ? reply->str : "this is not a Holdfast node");
    } else {
        buffer_append(out, reply->str, reply->len);
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    redisFree(context);
    return rc;
}

int remote_info(const char *address, const char *section, struct buffer *out)
{
    redisContext *context = NULL;
    int rc = remote_connect(address, REMOTE_TIMEOUT_MS, &context);
    if (rc != 0) {
        return rc;
    }
    redisReply *reply = redisCommand(context, "INFO %s", section);
    return remote_end_with_text(address, context, reply, out);
}

int remote_snapshot(const char *address, uint64_t group)
{
    const struct timeval patience = {REMOTE_SNAPSHOT_TIMEOUT_S, 0};
    redisContext *context = NULL;
    int rc = remote_connect(address, REMOTE_TIMEOUT_MS, &context);
    if (rc != 0) {
        return rc;
    }
    redisSetTimeout(context, patience);
    redisReply *reply = group != 0 ? redisCommand(context, "RAFT.SNAPSHOT GROUP %llu", (unsigned long long)group)
                                   : redisCommand(context, "RAFT.SNAPSHOT");
    if (reply == NULL) {
        rc = error_raise(errno == EAGAIN ? HF_ETIMEOUT : HF_EIO, "%s does not answer: %s", address, context->errstr);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        rc = error_raise(HF_EIO, "%s: %s", address, reply->str);
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    redisFree(context);
    return rc;
}

int remote_entries(const char *address, uint64_t group, const struct repair_request *request, struct buffer *out)
{
    redisContext *context = NULL;
    int rc = remote_connect(address, REMOTE_CHANGE_TIMEOUT_MS, &context);
    if (rc != 0) {
        return rc;
    }
    redisReply *reply = redisCommand(context, "RAFT.REPAIR %llu %llu %llu %llu", (unsigned long long)group,
                                     (unsigned long long)request->term, (unsigned long long)request->first,
                                     (unsigned long long)request->last);
    return remote_end_with_text(address, context, reply, out);
}

/* ---- Members ---- */

int remote_members(const char *address, json_t **out)
{
    return remote_json(address, "RAFT.MEMBERS JSON", out);
}

int remote_cluster(const char *address, struct remote_cluster *out)
{
    json_t *members = NULL;
    int rc = remote_members(address, &members);
    if (rc != 0) {
        return rc;
    }
    const char *text = json_string_value(json_object_get(members, "cluster"));
    *out = (struct remote_cluster){.routing_version =
                                       (uint64_t)json_integer_value(json_object_get(members, "routing_version"))};
    for (size_t i = 0; i < PEER_CLUSTER_ID_SIZE && rc == 0; i++) {
        unsigned byte = 0;
        if (text == NULL || strlen(text) != 2 * (size_t)PEER_CLUSTER_ID_SIZE ||
            sscanf(text + 2 * i, "%2x", &byte) != 1) {
            rc = error_raise(HF_EPROTOCOL, "%s does not say which cluster it belongs to", address);
        }
        out->cluster_id[i] = (uint8_t)byte;
    }
    json_decref(members);
    return rc;
}

/* An error line of the cluster as a code. */
static int remote_refused(const char *line)
{
    static const struct {
        const char *prefix;
        int code;
    } rows[] = {{"UNSAFE ", HF_EUNSAFE},
                {"CLUSTERDOWN ", HF_ENOLEADER},
                {"INDETERMINATE ", HF_EINDETERMINATE},
                {"BUSY ", HF_EBUSY},
                {"ERR ", HF_ECONFLICT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = strlen(rows[i].prefix);
        if (strncmp(line, rows[i].prefix, size) == 0) {
            return error_raise(rows[i].code, "%s", line + size);
        }
    }
    return error_raise(HF_ECONFLICT, "%s", line);
}

/* The caller frees *out, which is no error. */
static int remote_ask(const char *address, const char *const *words, unsigned count, redisReply **out)
{
    redisContext *context = NULL;
    int rc = remote_connect(address, REMOTE_CHANGE_TIMEOUT_MS, &context);
    if (rc != 0) {
        return rc;
    }
    redisReply *reply = redisCommandArgv(context, (int)count, (const char **)words, NULL);
    if (reply == NULL) {
        rc = error_raise(HF_EINDETERMINATE, "%s took the command and did not answer: %s", address, context->errstr);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        rc = remote_refused(reply->str);
        freeReplyObject(reply);
        reply = NULL;
    }
    redisFree(context);
    *out = reply;
    return rc;
}

int remote_change(const char *address, const char *const *words, unsigned count)
{
    redisReply *reply = NULL;
    int rc = remote_ask(address, words, count, &reply);
    if (rc == 0 && reply->type != REDIS_REPLY_STATUS) {
        rc = error_raise(HF_EPROTOCOL, "%s is not a Holdfast node", address);
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    return rc;
}

int remote_join(const char *address, const char *const *words, unsigned count, struct remote_joined *out)
{
    redisReply *reply = NULL;
    int rc = remote_ask(address, words, count, &reply);
    if (rc != 0) {
        return rc;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || reply->element[0]->type != REDIS_REPLY_INTEGER ||
        reply->element[1]->type != REDIS_REPLY_STRING || reply->element[2]->type != REDIS_REPLY_STRING) {
        rc = error_raise(HF_EPROTOCOL, "%s is not a Holdfast node", address);
    } else {
        out->node_id = (uint64_t)reply->element[0]->integer;
        buffer_append(&out->description, reply->element[1]->str, reply->element[1]->len);
        buffer_append(&out->members, reply->element[2]->str, reply->element[2]->len);
    }
    freeReplyObject(reply);
    return rc;
}

void remote_joined_close(struct remote_joined *joined)
{
    buffer_close(&joined->description);
    buffer_close(&joined->members);
}
