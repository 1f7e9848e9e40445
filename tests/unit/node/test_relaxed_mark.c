/* The mark of a relaxed sync policy: what two of them say of what may be lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/relaxed_mark.h"

#define BOOT  "3a0e3f0e-6f2b-4b6e-9c57-0d7d5b7c0001"
#define OTHER "3a0e3f0e-6f2b-4b6e-9c57-0d7d5b7c0002"
#define NOTE  "\nThe log beside this file acknowledges\n"

static struct relaxed_mark mark_of(const char *text)
{
    struct relaxed_mark mark;
    relaxed_mark_decode(bytes_of_text(text), &mark);
    return mark;
}

static struct relaxed_mark now_of(const char *boot, uint64_t mount)
{
    struct relaxed_mark now = {.has_boot = boot != NULL, .has_mount = true, .mount = mount};
    if (boot != NULL) {
        memcpy(now.boot, boot, RELAXED_MARK_BOOT_SIZE);
    }
    return now;
}

static void nothing_is_lost_while_kernel_and_mount_are_the_same(void **state)
{
    static const struct {
        const char *mark;
        const char *boot;
        uint64_t mount;
        bool is_kept;
    } rows[] = {
        {BOOT "\nrelaxed 2 00000000000000a7" NOTE, BOOT, 0xa7, true},
        {BOOT "\nrelaxed 2 00000000000000a7" NOTE, OTHER, 0xa7, false},
        {BOOT "\nrelaxed 2 00000000000000a7" NOTE, NULL, 0xa7, false},
        {BOOT "\nrelaxed 2 00000000000000a7" NOTE, BOOT, 0xa8, false},
        {BOOT "\nrelaxed 2 00000000000000a7" NOTE, BOOT, 0, false},   /* it told, and tells no more */
        {BOOT "\nrelaxed 2 0000000000000000" NOTE, BOOT, 0xa7, true}, /* the kernel did not tell */
        {BOOT "\nrelaxed 2 0000000000000000" NOTE, BOOT, 0, true},
        {"\nrelaxed 2 00000000000000a7" NOTE, BOOT, 0xa7, false}, /* a sync had failed */
        {BOOT NOTE, BOOT, 0xa7, true},                            /* version 1 knows the boot only */
        {BOOT NOTE, OTHER, 0xa7, false},
        {NOTE, BOOT, 0xa7, false},
        {BOOT "\nrelaxed 3 00000000000000a7" NOTE, BOOT, 0xa7, false}, /* of a later version */
        {BOOT "\nrelaxed 2 00000000000000A7" NOTE, BOOT, 0xa7, false}, /* damaged, like the rest */
        {BOOT "\nrelaxed 2 00000000000000a7", BOOT, 0xa7, false},
        {BOOT "\nrelaxed 2 00000000000000a", BOOT, 0xa7, false},
        {BOOT "\nrelaxed ", BOOT, 0xa7, false},
        {BOOT, BOOT, 0xa7, false},
        {"", BOOT, 0xa7, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct relaxed_mark mark = mark_of(rows[i].mark);
        struct relaxed_mark now = now_of(rows[i].boot, rows[i].mount);
        if (relaxed_mark_is_kept(&mark, &now) != rows[i].is_kept) {
            fail_msg("row %d", (int)i);
        }
    }
}

static void what_was_encoded_is_decoded(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct relaxed_mark mark = now_of((i & 1) != 0 ? BOOT : NULL, (i & 2) != 0 ? UINT64_MAX - 5 : 0);
        struct buffer bytes = {0};
        struct relaxed_mark read;
        relaxed_mark_encode(&mark, &bytes);
        relaxed_mark_decode(buffer_bytes(&bytes), &read);
        assert_int_equal(read.has_boot, mark.has_boot);
        assert_true(!mark.has_boot || (read.has_mount && read.mount == mark.mount));
        assert_memory_equal(read.boot, mark.boot, sizeof(mark.boot));
        buffer_close(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_while_kernel_and_mount_are_the_same),
        cmocka_unit_test(what_was_encoded_is_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
