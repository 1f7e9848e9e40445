/* links: store */
/* A stream of version 1 as it was written once: read for ever, and still written the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "holdfast/store.h"

static void read_golden(struct buffer *out)
{
    char path[512];
    snprintf(path, sizeof(path), "%.*s/store_stream_v1.bin", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *target = buffer_extend(out, 4096);
    out->size = fread(target, 1, 4096, file);
    fclose(file);
    assert_true(out->size > 0 && out->size < 4096);
}

static void a_stream_of_version_1_is_read_and_written_as_it_was(void **state)
{
    const struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct buffer golden = {0};
    struct hf_store_import *import;
    struct hf_store *store;
    struct hf_store_cut *cut;
    struct hf_store_export *stream;
    struct hf_bytes value;
    uint8_t written[4096];
    size_t got;
    read_golden(&golden);
    assert_int_equal(hf_store_import_open(&options, &import), 0);
    assert_int_equal(hf_store_import_write(import, buffer_bytes(&golden)), 0);
    assert_int_equal(hf_store_import_finish(import, &store), 0);
    assert_int_equal(hf_store_applied(store).index, 9);
    assert_int_equal(hf_store_applied(store).term, 2);
    assert_int_equal(hf_store_get(store, 0, bytes_of_text("k07"), &value), 0);
    assert_true(bytes_equal(value, bytes_of_text("some value")));
    assert_int_equal(hf_store_get(store, 2, bytes_of_text("k19"), &value), 0);
    assert_int_equal(value.size, 0);
    assert_int_equal(hf_store_cut(store, &cut), 0);
    assert_int_equal(hf_store_export_open(cut, &stream), 0);
    assert_int_equal(hf_store_export_read(stream, written, sizeof(written), &got), 0);
    assert_true(bytes_equal(bytes_of(written, got), buffer_bytes(&golden)));
    hf_store_export_close(stream);
    hf_store_cut_close(cut);
    hf_store_close(store);
    buffer_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_of_version_1_is_read_and_written_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
