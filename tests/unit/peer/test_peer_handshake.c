#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "peer/handshake.h"

static const struct peer_identity one = {
    .cluster_id = {1, 2, 3}, .node_id = 1, .node_incarnation = 11, .routing_version = 5};

static struct hf_bytes payload_of(const struct buffer *frame)
{
    return bytes_of(frame->data + FRAME_HEADER_SIZE, frame->size - FRAME_HEADER_SIZE);
}

static void a_hello_says_who_it_is_and_whom_it_means(void **state)
{
    struct buffer frame = {0};
    handshake_append_hello(&frame, &one, 2);
    assert_int_equal(frame.size, FRAME_HEADER_SIZE + HANDSHAKE_HELLO_SIZE);
    struct frame_header header;
    assert_int_equal(frame_header_decode(frame.data, &header), 0);
    assert_int_equal(frame_check(frame.data, &header), 0);
    assert_int_equal(header.kind, FRAME_HELLO);
    struct handshake remote;
    assert_int_equal(handshake_decode_hello(payload_of(&frame), &remote), 0);
    assert_memory_equal(remote.identity.cluster_id, one.cluster_id, PEER_CLUSTER_ID_SIZE);
    assert_int_equal(remote.identity.node_id, 1);
    assert_int_equal(remote.identity.node_incarnation, 11);
    assert_int_equal(remote.identity.routing_version, 5);
    assert_int_equal(remote.to_node_id, 2);
    buffer_close(&frame);
}

static void every_shorter_and_longer_hello_is_refused(void **state)
{
    struct buffer frame = {0};
    handshake_append_hello(&frame, &one, 2);
    buffer_append_u8(&frame, 0);
    for (size_t size = 0; size <= HANDSHAKE_HELLO_SIZE + 1; size++) {
        struct handshake remote;
        int rc = handshake_decode_hello(bytes_of(frame.data + FRAME_HEADER_SIZE, size), &remote);
        assert_int_equal(rc, size == HANDSHAKE_HELLO_SIZE ? 0 : HF_EPROTOCOL);
    }
    buffer_close(&frame);
}

static void another_protocol_version_is_told_apart_from_garbage(void **state)
{
    struct buffer frame = {0};
    handshake_append_hello(&frame, &one, 2);
    struct handshake remote;
    bytes_put_u32(frame.data + FRAME_HEADER_SIZE + 4, PEER_PROTOCOL_VERSION + 1);
    /* A later version may have grown: the rest is not looked at. */
    buffer_append_text(&frame, "more");
    assert_int_equal(handshake_decode_hello(payload_of(&frame), &remote), HF_EVERSION);
    assert_non_null(strstr(hf_error_text(), "protocol version 2"));
    bytes_put_u32(frame.data + FRAME_HEADER_SIZE, 0x47455420);
    assert_int_equal(handshake_decode_hello(payload_of(&frame), &remote), HF_EPROTOCOL);
    buffer_close(&frame);
}

static void what_does_not_belong_together_is_refused_with_the_reason(void **state)
{
    static const struct {
        struct handshake remote;
        int result;
        const char *text;
    } rows[] = {
        {{{{1, 2, 3}, 2, 22, 5}, 1}, 0, NULL},
        {{{{1, 2, 3}, 2, 99, 5}, 1}, 0, NULL}, /* incarnations are the owner's to judge */
        {{{{1, 2, 4}, 2, 22, 5}, 1}, HF_EMISMATCH, "another cluster"},
        {{{{1, 2, 3}, 2, 22, 6}, 1}, HF_EMISMATCH, "routes by version 6"},
        {{{{1, 2, 3}, 2, 22, 5}, 3}, HF_EMISMATCH, "looks for node 3, but this is node 1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(handshake_check(&one, &rows[i].remote), rows[i].result);
        if (rows[i].text != NULL) {
            assert_non_null(strstr(hf_error_text(), rows[i].text));
        }
    }
}

static void a_refusal_brings_its_code_and_only_printable_text(void **state)
{
    struct buffer frame = {0};
    handshake_append_refused(&frame, HF_EMISMATCH, "wrong\n\x1b[31mcluster");
    assert_int_equal(handshake_decode_refused(payload_of(&frame)), HF_EMISMATCH);
    assert_string_equal(hf_error_text(), "the other side refused: wrong??[31mcluster");
    buffer_clear(&frame);
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    handshake_append_refused(&frame, HF_EVERSION, text);
    assert_int_equal(handshake_decode_refused(payload_of(&frame)), HF_EVERSION);
    buffer_clear(&frame);
    handshake_append_refused(&frame, 0, "no error at all");
    assert_int_equal(handshake_decode_refused(payload_of(&frame)), HF_EPROTOCOL);
    assert_int_equal(handshake_decode_refused(bytes_of("abc", 3)), HF_EPROTOCOL);
    buffer_close(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_says_who_it_is_and_whom_it_means),
        cmocka_unit_test(every_shorter_and_longer_hello_is_refused),
        cmocka_unit_test(another_protocol_version_is_told_apart_from_garbage),
        cmocka_unit_test(what_does_not_belong_together_is_refused_with_the_reason),
        cmocka_unit_test(a_refusal_brings_its_code_and_only_printable_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
