/* links: node */
/* The mark of a relaxed sync policy in each version, as it was written when that version was new: every later program
 * must read exactly this. The files are kept for ever; a new version adds one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/relaxed_mark.h"

static const char boot[] = "3a0e3f0e-6f2b-4b6e-9c57-0d7d5b7c0001";

static struct hf_bytes golden(const char *name, uint8_t *target, size_t size_max)
{
    char path[512];
    snprintf(path, sizeof(path), "%.*s/%s", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(target, 1, size_max, file);
    fclose(file);
    return bytes_of(target, size);
}

static void a_mark_of_version_1_is_read_for_ever(void **state)
{
    uint8_t bytes[1024];
    struct relaxed_mark mark;
    relaxed_mark_decode(golden("relaxed_v1.txt", bytes, sizeof(bytes)), &mark);
    assert_true(mark.has_boot && !mark.has_mount);
    assert_memory_equal(mark.boot, boot, RELAXED_MARK_BOOT_SIZE);
}

static void a_mark_of_version_2_is_read_for_ever(void **state)
{
    uint8_t bytes[1024];
    struct relaxed_mark mark;
    struct buffer again = {0};
    struct hf_bytes golden_bytes = golden("relaxed_v2.txt", bytes, sizeof(bytes));
    relaxed_mark_decode(golden_bytes, &mark);
    assert_true(mark.has_boot && mark.has_mount && mark.mount == UINT64_C(0x80000123456789ab));
    assert_memory_equal(mark.boot, boot, RELAXED_MARK_BOOT_SIZE);
    relaxed_mark_encode(&mark, &again);
    assert_int_equal(again.size, golden_bytes.size);
    assert_memory_equal(again.data, golden_bytes.data, again.size);
    buffer_close(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_of_version_1_is_read_for_ever),
        cmocka_unit_test(a_mark_of_version_2_is_read_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
