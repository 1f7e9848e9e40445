/* links: store */
/* Streams of a store that somebody made up: no crash, memory by what came and not by what was announced, and what is
 * taken is a store whose own export is the same stream. The first byte is the size of the pieces. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "holdfast/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_export(struct hf_store *store, struct hf_bytes expected)
{
    struct hf_store_cut *cut;
    struct hf_store_export *stream;
    struct buffer bytes = {0};
    size_t got;
    int rc = hf_store_cut(store, &cut);
    assert(rc == 0);
    rc = hf_store_export_open(cut, &stream);
    assert(rc == 0);
    rc = hf_store_export_read(stream, buffer_extend(&bytes, expected.size + 1), expected.size + 1, &got);
    assert(rc == 0);
    assert(got == expected.size && memcmp(bytes.data, expected.data, got) == 0);
    hf_store_export_close(stream);
    hf_store_cut_close(cut);
    buffer_close(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store_import *stream;
    struct hf_store *store;
    if (size == 0) {
        return 0;
    }
    size_t piece = (size_t)data[0] + 1;
    int rc = hf_store_import_open(&options, &stream);
    assert(rc == 0);
    for (size_t at = 1; at < size && rc == 0; at += piece) {
        rc = hf_store_import_write(stream, bytes_of(data + at, size - at < piece ? size - at : piece));
    }
    if (hf_store_import_finish(stream, &store) == 0) {
        check_export(store, bytes_of(data + 1, size - 1));
        hf_store_close(store);
    }
    return 0;
}
