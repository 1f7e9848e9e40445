/* links: node */
/* The members of a cluster in version 1 of their encoding, as it was written when that version was new: every later
 * program must read exactly this. The file is kept for ever; a new version adds a file. It was made by
 * HOLDFAST_GOLDEN_WRITE=members_v1.bin ./test_members_golden, and is made again only to add a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/membership.h"

/* Never change this for an existing file. */
static struct membership build_v1(void)
{
    struct membership membership = {
        .version = 12, .next_id = UINT64_C(0x123456789abcdef), .feature_level = 2, .may_be_alone = true, .count = 3};
    for (unsigned i = 0; i < PEER_CLUSTER_ID_SIZE; i++) {
        membership.cluster_id[i] = (uint8_t)(0xf0 + i);
    }
    membership.members[0] =
        (struct membership_member){{1, "127.0.0.1:7401", "127.0.0.1:6379", "127.0.0.1:7481"}, 0, MEMBERSHIP_VOTER};
    membership.members[1] =
        (struct membership_member){{7, "[::1]:7402", "", ""}, UINT64_C(0xfedcba9876543210), MEMBERSHIP_STANDBY};
    membership.members[2] =
        (struct membership_member){{UINT64_C(0x123456789abcdee), "a-host.example:1", "b:2", ""}, 1, MEMBERSHIP_LEAVING};
    return membership;
}

static void the_members_of_version_1_are_read_for_ever(void **state)
{
    struct membership expected = build_v1();
    struct membership read;
    uint8_t bytes[4096];
    char path[512];
    snprintf(path, sizeof(path), "%.*s/members_v1.bin", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    assert_int_equal(membership_decode(bytes_of(bytes, size), &read), 0);
    assert_memory_equal(&expected, &read, sizeof(read));
    struct buffer again = {0};
    membership_encode(&read, &again);
    assert_int_equal(again.size, size);
    assert_memory_equal(again.data, bytes, size);
    buffer_close(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_members_of_version_1_are_read_for_ever)};
    if (getenv("HOLDFAST_GOLDEN_WRITE") != NULL) {
        struct membership membership = build_v1();
        struct buffer bytes = {0};
        membership_encode(&membership, &bytes);
        FILE *file = fopen(getenv("HOLDFAST_GOLDEN_WRITE"), "wb");
        return file == NULL || fwrite(bytes.data, 1, bytes.size, file) != bytes.size || fclose(file) != 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
