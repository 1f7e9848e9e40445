/* links: server; libraries: hiredis */
/* Whatever arrives on the client port: no crash, nothing lent that was not in the input, memory within what arrived,
 * the same result however the bytes are cut, and the same arguments as hiredis' reader where both read an array of
 * bulk strings. The first byte of the input chooses the pieces. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "server/resp.h"

struct outcome {
    uint64_t hash; /* of all arguments of all commands */
    unsigned commands;
    size_t consumed;
    int is_broken;
};

static void take(struct outcome *outcome, const struct arguments *arguments, struct hf_bytes input)
{
    uint64_t total = 0;
    outcome->hash = hash_mix_64(outcome->hash + arguments->count);
    for (size_t i = 0; i < arguments->count; i++) {
        outcome->hash = hash_mix_64(outcome->hash ^ hash_fnv1a_64(arguments->items[i]));
        total += arguments->items[i].size;
    }
    assert(total <= input.size);
    outcome->commands++;
}

/* Reads the input in pieces; the bytes of each look are an exact copy, so that the sanitizer sees every stray read. */
static struct outcome read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    struct outcome outcome = {0};
    struct resp_limits limits = {.arguments_max = 1000, .bulk_size_max = 100000, .query_size_max = 200000};
    struct resp_parser parser;
    resp_parser_init(&parser, &limits);
    size_t known = 0;
    while (known < size && !outcome.is_broken) {
        known = size - known < piece ? size : known + piece;
        size_t left = known - outcome.consumed;
        uint8_t *copy = malloc(left + 1);
        memcpy(copy, data + outcome.consumed, left);
        size_t start = 0;
        enum resp_result result = RESP_COMMAND;
        while (result == RESP_COMMAND && start < left) {
            struct arguments arguments;
            size_t consumed = 0;
            result = resp_parse(&parser, bytes_of(copy + start, left - start), &arguments, &consumed);
            if (result == RESP_COMMAND) {
                assert(consumed > 0 && consumed <= left - start);
                take(&outcome, &arguments, bytes_of(copy + start, consumed));
                start += consumed;
            }
        }
        outcome.is_broken = result == RESP_BROKEN;
        outcome.consumed += start;
        assert(parser.capacity <= 8 + 2 * known);
        free(copy);
    }
    resp_parser_close(&parser);
    return outcome;
}

/* What we read as a command hiredis must read alike. Only then is it asked: it allocates what is announced. */
static void compare_with_hiredis(const uint8_t *data, size_t size)
{
    struct resp_limits limits = {.arguments_max = 1000, .bulk_size_max = 100000, .query_size_max = 200000};
    struct resp_parser parser;
    struct arguments arguments;
    size_t consumed = 0;
    resp_parser_init(&parser, &limits);
    enum resp_result result = resp_parse(&parser, bytes_of(data, size), &arguments, &consumed);
    if (result == RESP_COMMAND && arguments.count > 0 && data[0] == '*') {
        redisReader *reader = redisReaderCreate();
        void *got = NULL;
        redisReaderFeed(reader, (const char *)data, consumed);
        assert(redisReaderGetReply(reader, &got) == REDIS_OK && got != NULL);
        const redisReply *reply = got;
        assert(reply->type == REDIS_REPLY_ARRAY && reply->elements == arguments.count);
        for (size_t i = 0; i < arguments.count; i++) {
            const redisReply *item = reply->element[i];
            assert(item->type == REDIS_REPLY_STRING);
            assert(bytes_equal(bytes_of(item->str, (size_t)item->len), arguments.items[i]));
        }
        freeReplyObject(got);
        redisReaderFree(reader);
    }
    resp_parser_close(&parser);
}

/* The walker over replies stays inside. */
static void walk_reply(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    size_t at = 0;
    if (resp_skip_value(bytes_of(copy, size), &at) == 0) {
        assert(at > 0 && at <= size);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1 << 16) {
        return 0;
    }
    size_t piece = 1 + data[0] % 64;
    data++;
    size--;
    struct outcome whole = read_in_pieces(data, size, SIZE_MAX);
    struct outcome cut = read_in_pieces(data, size, piece);
    assert(whole.hash == cut.hash && whole.commands == cut.commands);
    assert(whole.is_broken == cut.is_broken && whole.consumed == cut.consumed);
    compare_with_hiredis(data, size);
    walk_reply(data, size);
    return 0;
}
