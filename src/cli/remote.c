#include "cli/remote.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cli/quantity.h"

static int remote_connect(const char *address, redisContext **out)
{
    const struct timeval timeout = {REMOTE_TIMEOUT_MS / 1000, REMOTE_TIMEOUT_MS % 1000 * 1000};
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

int remote_status(const char *address, json_t **out)
{
    redisContext *context = NULL;
    redisReply *reply = NULL;
    json_error_t problem;
    int rc = remote_connect(address, &context);
    if (rc != 0) {
        return rc;
    }
    reply = redisCommand(context, "RAFT.STATUS JSON");
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

int remote_snapshot(const char *address, uint64_t group)
{
    const struct timeval patience = {REMOTE_SNAPSHOT_TIMEOUT_S, 0};
    redisContext *context = NULL;
    int rc = remote_connect(address, &context);
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
