/* links: server; libraries: hiredis */
/* The parser of requests against hiredis' reader, which reads the same arrays of bulk strings as replies: what both
 * accept they read equally, and well-formed requests are read alike however the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "server/resp.h"

static void append_request(struct buffer *out, struct rng *rng)
{
    uint64_t count = 1 + rng_below(rng, rng_chance(rng, 1, 10) ? 200 : 6);
    buffer_format(out, "*%u\r\n", (unsigned)count);
    for (uint64_t i = 0; i < count; i++) {
        size_t size = rng_below(rng, rng_chance(rng, 1, 20) ? 70000 : 40);
        buffer_format(out, "$%zu\r\n", size);
        uint8_t *bytes = buffer_extend(out, size);
        rng_fill(rng, bytes, size);
        buffer_append_text(out, "\r\n");
    }
}

static void assert_same(const struct arguments *arguments, const redisReply *reply)
{
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->elements, arguments->count);
    for (size_t i = 0; i < arguments->count; i++) {
        assert_int_equal(reply->element[i]->type, REDIS_REPLY_STRING);
        assert_true(bytes_equal(bytes_of(reply->element[i]->str, (size_t)reply->element[i]->len), arguments->items[i]));
    }
}

static void well_formed_requests_are_read_as_hiredis_reads_them_in_any_pieces(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct buffer input = {0};
        for (unsigned i = 0; i < 30; i++) {
            append_request(&input, &rng);
        }
        redisReader *reader = redisReaderCreate();
        redisReaderFeed(reader, (const char *)input.data, input.size);
        struct resp_limits limits = resp_limits_default();
        struct resp_parser parser;
        resp_parser_init(&parser, &limits);
        size_t start = 0;
        size_t known = 0;
        unsigned found = 0;
        while (start < input.size) {
            struct arguments arguments;
            size_t consumed = 0;
            enum resp_result result =
                resp_parse(&parser, bytes_of(input.data + start, known - start), &arguments, &consumed);
            assert_int_not_equal(result, RESP_BROKEN);
            if (result == RESP_MORE) {
                known += 1 + rng_below(&rng, rng_chance(&rng, 1, 2) ? 20 : 20000);
                known = known < input.size ? known : input.size;
                continue;
            }
            void *reply = NULL;
            assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
            assert_non_null(reply);
            assert_same(&arguments, reply);
            freeReplyObject(reply);
            start += consumed;
            found++;
        }
        assert_int_equal(found, 30);
        redisReaderFree(reader);
        resp_parser_close(&parser);
        buffer_close(&input);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_requests_are_read_as_hiredis_reads_them_in_any_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
