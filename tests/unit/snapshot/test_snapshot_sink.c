/* What a snapshot is written through: pieces that a small write behind them on the device need not wait for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "snapshot/snapshot_sink.h"

#define LARGEST (256u << 10)
#define WHOLE   (4u << 20)

static void what_is_written_goes_to_the_device_in_small_pieces(void **state)
{
    (void)state;
    char folder[] = "/tmp/holdfast-sink-XXXXXX";
    char path[sizeof(folder) + 8];
    struct io *io = NULL;
    struct snapshot_sink sink;
    uint8_t *data = calloc(1, WHOLE);
    unsigned pieces = 0;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/file", folder);
    assert_int_equal(io_open_kernel(IO_BACKEND_THREADS, &io), 0);
    assert_int_equal(snapshot_sink_open(&sink, io, path, FILE_CREATE | FILE_EXCLUSIVE, 0, WHOLE), 0);
    for (uint64_t at = 0; at < WHOLE; at += 4096) {
        uint64_t before = sink.offset;
        assert_int_equal(snapshot_sink_append(&sink, data + at, 4096), 0);
        assert_true(sink.offset - before <= LARGEST && sink.filled < LARGEST);
        pieces += sink.offset > before;
    }
    assert_int_equal(pieces, WHOLE / LARGEST);
    assert_int_equal(sink.unsynced_bytes, 0); /* and is synced as often as it was asked */
    snapshot_sink_close(&sink);
    assert_int_equal(path_unlink(io, path), 0);
    io_close(io);
    rmdir(folder);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_goes_to_the_device_in_small_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
