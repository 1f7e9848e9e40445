/* links: base; libraries: rocksdb */
/* The peer: RocksDB's write-ahead log through its C interface, with a sync per write from one thread. It has no
 * asynchronous append: whoever has more outstanding puts it into one batch. Prints one JSON object.
 *
 *   bench_rocksdb DIRECTORY PAYLOAD_BYTES ENTRIES_PER_BATCH SECONDS */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "closed_loop.h"

static char *run(rocksdb_t *database, struct closed_loop *loop, const char *payload, size_t payload_size)
{
    char *error = NULL;
    uint64_t index = 0;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(options, 1);
    while (error == NULL && !closed_loop_over(loop)) {
        uint64_t started_ns = loop->now_ns;
        rocksdb_writebatch_clear(batch);
        for (uint64_t i = 0; i < loop->batch_entries; i++) {
            uint8_t key[8];
            index++;
            for (unsigned k = 0; k < 8; k++) {
                key[k] = (uint8_t)(index >> (56 - 8 * k));
            }
            rocksdb_writebatch_put(batch, (const char *)key, sizeof(key), payload, payload_size);
        }
        rocksdb_write(database, options, batch, &error);
        closed_loop_started(loop, 1, started_ns);
        closed_loop_finished(loop, loop->started);
    }
    rocksdb_writeoptions_destroy(options);
    rocksdb_writebatch_destroy(batch);
    return error;
}

int main(int argc, char **argv)
{
    char *error = NULL;
    if (argc != 5) {
        fprintf(stderr, "usage: bench_rocksdb DIRECTORY PAYLOAD_BYTES ENTRIES_PER_BATCH SECONDS\n");
        return 2;
    }
    size_t payload_size = (size_t)strtoull(argv[2], NULL, 10);
    uint64_t batch_entries = strtoull(argv[3], NULL, 10);
    char *payload = memory_new(payload_size + 1);
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_t *database = rocksdb_open(options, argv[1], &error);
    struct closed_loop *loop = closed_loop_open(batch_entries, batch_entries, strtod(argv[4], NULL));
    if (error == NULL) {
        error = run(database, loop, payload, payload_size);
    }
    if (error == NULL) {
        printf("{");
        closed_loop_print(loop);
        printf("}\n");
    } else {
        fprintf(stderr, "error: rocksdb: %s\n", error);
    }
    int rc = error == NULL ? 0 : 1;
    if (database != NULL) {
        rocksdb_close(database);
    }
    rocksdb_options_destroy(options);
    closed_loop_close(loop);
    rocksdb_free(error);
    free(payload);
    return rc;
}
