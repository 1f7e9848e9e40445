/* links: cli */
/* An export of version 1 (holdfast log export --format raw), as it was written when that version was new: every later
 * program writes exactly these bytes. The file was made by HOLDFAST_GOLDEN_WRITE=export_v1.bin ./test_export_golden,
 * and is kept for ever; a new version adds a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "cli/log_export.h"

/* What the file holds. Never change this for an existing file. */
static const struct {
    uint64_t group;
    struct hf_entry entry;
} rows[] = {
    {1, {1, 1, 1700000000000, HF_ENTRY_CONFIGURATION, {"\x01\x01\x01", 3}}},
    {1, {2, 1, 1700000000001, HF_ENTRY_NOOP, {"", 0}}},
    {2, {77, 9, 0, HF_ENTRY_NORMAL, {"seven and seventy", 17}}},
    {2, {78, 9, UINT64_MAX, HF_ENTRY_SNAPSHOT_MARKER, {"\0\xff", 2}}},
    {HF_LOG_GROUP_MAX, {UINT64_MAX, UINT64_MAX - 1, 1, HF_ENTRY_NORMAL, {"x", 1}}},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void write_export(FILE *file)
{
    struct log_export out;
    assert_int_equal(log_export_begin(&out, LOG_EXPORT_RAW, file), 0);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        assert_int_equal(log_export_entry(&out, rows[i].group, &rows[i].entry), 0);
    }
    assert_int_equal(log_export_end(&out), 0);
    log_export_close(&out);
}

static size_t read_golden(uint8_t *target, size_t size)
{
    char path[512];
    snprintf(path, sizeof(path), "%.*s/export_v1.bin", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t got = fread(target, 1, size, file);
    fclose(file);
    return got;
}

static void version_1_is_written_for_ever(void **state)
{
    uint8_t expected[1024];
    char *bytes = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&bytes, &size);
    write_export(file);
    fclose(file);
    assert_int_equal(size, read_golden(expected, sizeof(expected)));
    assert_memory_equal(bytes, expected, size);
    free(bytes);
}

/* With nothing but the drawing in cli/log_export.h. */
static void version_1_is_what_the_drawing_says(void **state)
{
    uint8_t bytes[1024];
    size_t size = read_golden(bytes, sizeof(bytes));
    assert_memory_equal(bytes, "HFEXPORT\1\0\0\0\0\0\0\0", 16);
    size_t at = 16;
    for (size_t i = 0; i <= ROW_COUNT; i++) {
        const uint8_t *entry = bytes + at;
        assert_true(at + 44 <= size);
        uint32_t payload = bytes_get_u32(entry + 36);
        assert_true(at + 44 + payload <= size);
        assert_int_equal(bytes_get_u32(entry + 40 + payload), checksum_crc32c(0, entry, 40 + payload));
        at += 44 + payload;
        if (i == ROW_COUNT) {
            assert_true(bytes_get_u64(entry) == 0 && bytes_get_u64(entry + 8) == ROW_COUNT && payload == 0);
            break;
        }
        const struct hf_entry *row = &rows[i].entry;
        assert_true(bytes_get_u64(entry) == rows[i].group && bytes_get_u64(entry + 8) == row->index &&
                    bytes_get_u64(entry + 16) == row->term && bytes_get_u64(entry + 24) == row->timestamp_ms);
        assert_int_equal(bytes_get_u32(entry + 32), row->type);
        assert_int_equal(payload, row->payload.size);
        assert_int_equal(payload > 0 ? memcmp(entry + 40, row->payload.data, payload) : 0, 0);
    }
    assert_int_equal(at, size);
}

int main(void)
{
    const char *path = getenv("HOLDFAST_GOLDEN_WRITE");
    if (path != NULL) {
        FILE *file = fopen(path, "wb");
        write_export(file);
        fclose(file);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_is_written_for_ever),
        cmocka_unit_test(version_1_is_what_the_drawing_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
