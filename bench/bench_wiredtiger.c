/* links: base; libraries: wiredtiger */
/* The peer: WiredTiger's log through its C interface: rows appended to a column store, one transaction per batch,
 * synced at its commit. One thread; whoever has more outstanding puts it into one batch. Prints one JSON object.
 *
 *   bench_wiredtiger DIRECTORY PAYLOAD_BYTES ENTRIES_PER_BATCH SECONDS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <wiredtiger.h>

#include "closed_loop.h"

#define CONFIGURATION \
    "create,cache_size=256MB,log=(enabled=true,file_max=64MB),transaction_sync=(enabled=true,method=fsync)"

static int run(WT_SESSION *session, struct closed_loop *loop, const uint8_t *payload, size_t payload_size)
{
    WT_CURSOR *cursor = NULL;
    WT_ITEM item = {.data = payload, .size = payload_size};
    uint64_t index = 0;
    int rc = session->create(session, "table:log", "key_format=r,value_format=u");
    rc = rc == 0 ? session->open_cursor(session, "table:log", NULL, "append", &cursor) : rc;
    while (rc == 0 && !closed_loop_over(loop)) {
        uint64_t started_ns = loop->now_ns;
        rc = session->begin_transaction(session, NULL);
        for (uint64_t i = 0; i < loop->batch_entries && rc == 0; i++, index++) {
            cursor->set_value(cursor, &item);
            rc = cursor->insert(cursor);
        }
        rc = rc == 0 ? session->commit_transaction(session, "sync=on") : rc;
        closed_loop_started(loop, 1, started_ns);
        closed_loop_finished(loop, loop->started);
    }
    return rc;
}

int main(int argc, char **argv)
{
    WT_CONNECTION *connection = NULL;
    WT_SESSION *session = NULL;
    if (argc != 5) {
        fprintf(stderr, "usage: bench_wiredtiger DIRECTORY PAYLOAD_BYTES ENTRIES_PER_BATCH SECONDS\n");
        return 2;
    }
    size_t payload_size = (size_t)strtoull(argv[2], NULL, 10);
    uint64_t batch_entries = strtoull(argv[3], NULL, 10);
    uint8_t *payload = memory_new(payload_size + 1);
    (void)mkdir(argv[1], 0700);
    int rc = wiredtiger_open(argv[1], NULL, CONFIGURATION, &connection);
    rc = rc == 0 ? connection->open_session(connection, NULL, NULL, &session) : rc;
    struct closed_loop *loop = closed_loop_open(batch_entries, batch_entries, strtod(argv[4], NULL));
    rc = rc == 0 ? run(session, loop, payload, payload_size) : rc;
    if (rc == 0) {
        printf("{");
        closed_loop_print(loop);
        printf("}\n");
    } else {
        fprintf(stderr, "error: wiredtiger: %s\n", wiredtiger_strerror(rc));
    }
    if (connection != NULL) {
        (void)connection->close(connection, NULL);
    }
    closed_loop_close(loop);
    free(payload);
    return rc == 0 ? 0 : 1;
}
