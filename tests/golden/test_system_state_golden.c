/* links: node */
/* The state of the system group in version 1 of its encoding, as it was written when that version was new: every later
 * program must read exactly this. The file is kept for ever; a new version adds a file. It was made by
 * HOLDFAST_GOLDEN_WRITE=system_state_v1.bin ./test_system_state_golden, and is made again only to add a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/system_state.h"

/* Never change either for an existing file. */
static void build_description(struct buffer *out)
{
    struct description_node nodes[] = {{1, "127.0.0.1:7401", "127.0.0.1:6379", "127.0.0.1:7481"},
                                       {7, "[::1]:7402", "", ""}};
    struct description_group groups[] = {{1, 11}, {2, UINT64_C(0xfedcba9876543210)}, {3, 33}};
    struct description description = {.created_ms = 1750000000123,
                                      .feature_level = 2,
                                      .routing_version = 1,
                                      .group_count = 2,
                                      .node_count = 2,
                                      .nodes = nodes,
                                      .groups = groups};
    for (unsigned i = 0; i < PEER_CLUSTER_ID_SIZE; i++) {
        description.cluster_id[i] = (uint8_t)(0xe0 + i);
    }
    description_encode(&description, out);
}

static struct membership build_membership(void)
{
    struct membership membership = {.version = 9, .next_id = 12, .feature_level = 3, .count = 2};
    for (unsigned i = 0; i < PEER_CLUSTER_ID_SIZE; i++) {
        membership.cluster_id[i] = (uint8_t)(0xe0 + i);
    }
    membership.members[0] =
        (struct membership_member){{7, "[::1]:7402", "", ""}, UINT64_C(0xfedcba9876543210), MEMBERSHIP_VOTER};
    membership.members[1] = (struct membership_member){{11, "a-host.example:1", "b:2", "c:3"}, 5, MEMBERSHIP_LEAVING};
    return membership;
}

static void build_v1(struct buffer *out)
{
    struct membership membership = build_membership();
    struct buffer description = {0};
    build_description(&description);
    system_state_encode(buffer_bytes(&description), &membership, out);
    buffer_close(&description);
}

static void the_state_of_version_1_is_read_for_ever(void **state)
{
    struct membership expected = build_membership();
    struct membership read;
    struct hf_bytes description;
    struct buffer expected_description = {0};
    struct buffer again = {0};
    uint8_t bytes[4096];
    char path[512];
    snprintf(path, sizeof(path), "%.*s/system_state_v1.bin", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    build_description(&expected_description);
    assert_int_equal(system_state_decode(bytes_of(bytes, size), &description, &read), 0);
    assert_memory_equal(&expected, &read, sizeof(read));
    assert_true(bytes_equal(description, buffer_bytes(&expected_description)));
    build_v1(&again);
    assert_int_equal(again.size, size);
    assert_memory_equal(again.data, bytes, size);
    buffer_close(&again);
    buffer_close(&expected_description);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_state_of_version_1_is_read_for_ever)};
    if (getenv("HOLDFAST_GOLDEN_WRITE") != NULL) {
        struct buffer bytes = {0};
        build_v1(&bytes);
        FILE *file = fopen(getenv("HOLDFAST_GOLDEN_WRITE"), "wb");
        return file == NULL || fwrite(bytes.data, 1, bytes.size, file) != bytes.size || fclose(file) != 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
