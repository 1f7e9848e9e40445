/* hiredis as an unmodified client: commands, pipelines, transactions, both protocols. Prints what failed.
 *
 *   hiredis_smoke HOST PORT */
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void check(int good, const char *what, const redisReply *reply)
{
    if (!good) {
        failures++;
        fprintf(stderr, "failed: %s (type %d, %s)\n", what, reply != NULL ? reply->type : -1,
                reply != NULL && reply->str != NULL ? reply->str : "-");
    }
}

static redisReply *ask(redisContext *context, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(context, format, arguments);
    va_end(arguments);
    if (reply == NULL) {
        fprintf(stderr, "failed: no reply to '%s': %s\n", format, context->errstr);
        exit(1);
    }
    return reply;
}

static void plain_commands(redisContext *context)
{
    static const char binary[] = {0, '\r', '\n', 'x'};
    redisReply *reply = ask(context, "SET hiredis:a %b", binary, sizeof(binary));
    check(reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0, "SET of binary", reply);
    freeReplyObject(reply);
    reply = ask(context, "GET hiredis:a");
    check(reply->type == REDIS_REPLY_STRING && reply->len == sizeof(binary) &&
              memcmp(reply->str, binary, sizeof(binary)) == 0,
          "GET of binary", reply);
    freeReplyObject(reply);
    reply = ask(context, "GET hiredis:none");
    check(reply->type == REDIS_REPLY_NIL, "GET of nothing", reply);
    freeReplyObject(reply);
    reply = ask(context, "INCR hiredis:a");
    check(reply->type == REDIS_REPLY_ERROR, "INCR of no number", reply);
    freeReplyObject(reply);
    reply = ask(context, "DEL hiredis:a");
    check(reply->type == REDIS_REPLY_INTEGER && reply->integer == 1, "DEL", reply);
    freeReplyObject(reply);
}

static void pipelines(redisContext *context)
{
    redisReply *reply = NULL;
    freeReplyObject(ask(context, "DEL hiredis:n"));
    for (int i = 0; i < 1000; i++) {
        redisAppendCommand(context, "INCR hiredis:n");
    }
    for (int i = 0; i < 1000; i++) {
        if (redisGetReply(context, (void **)&reply) != REDIS_OK) {
            fprintf(stderr, "failed: pipeline: %s\n", context->errstr);
            exit(1);
        }
        check(reply->type == REDIS_REPLY_INTEGER && reply->integer == i + 1, "INCR in a pipeline", reply);
        freeReplyObject(reply);
    }
}

static void transactions(redisContext *context)
{
    freeReplyObject(ask(context, "MULTI"));
    redisReply *reply = ask(context, "SET {hiredis}:x 5");
    check(reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "QUEUED") == 0, "QUEUED", reply);
    freeReplyObject(reply);
    freeReplyObject(ask(context, "INCRBY {hiredis}:x 2"));
    reply = ask(context, "EXEC");
    check(reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_INTEGER &&
              reply->element[1]->integer == 7,
          "EXEC", reply);
    freeReplyObject(reply);
}

/* hiredis of Debian 12 does not know RESP3. */
static void hello(redisContext *context)
{
    redisReply *reply;
#ifdef REDIS_REPLY_MAP
    reply = ask(context, "HELLO 3");
    check(reply->type == REDIS_REPLY_MAP && reply->elements >= 14, "HELLO 3", reply);
    freeReplyObject(reply);
    reply = ask(context, "GET hiredis:none");
    check(reply->type == REDIS_REPLY_NIL, "GET of nothing in RESP3", reply);
    freeReplyObject(reply);
#endif
    reply = ask(context, "HELLO 2");
    check(reply->type == REDIS_REPLY_ARRAY && reply->elements >= 14, "HELLO 2", reply);
    freeReplyObject(reply);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: hiredis_smoke HOST PORT\n");
        return 2;
    }
    const struct timeval timeout = {10, 0};
    redisContext *context = redisConnectWithTimeout(argv[1], atoi(argv[2]), timeout);
    if (context == NULL || context->err != 0) {
        fprintf(stderr, "failed: no connection: %s\n", context != NULL ? context->errstr : "no memory");
        return 1;
    }
    redisSetTimeout(context, timeout);
    plain_commands(context);
    pipelines(context);
    transactions(context);
    hello(context);
    plain_commands(context);
    redisFree(context);
    return failures == 0 ? 0 : 1;
}
