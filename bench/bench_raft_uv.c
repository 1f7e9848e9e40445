/* links: base; libraries: raft uv */
/* The peer: libraft's own log on disk, appended to through its struct raft_io from one thread, with durable
 * acknowledgement and a fixed number of entries outstanding. Prints one JSON object.
 *
 *   bench_raft_uv DIRECTORY PAYLOAD_BYTES OUTSTANDING ENTRIES_PER_BATCH SECONDS PORT */
#include <raft.h>
#include <raft/uv.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "closed_loop.h"

struct bench {
    struct uv_loop_s uv;
    struct raft_uv_transport transport;
    struct raft_io io;
    struct closed_loop *loop;
    struct raft_entry *entries;      /* of one batch; all alike */
    struct raft_io_append *requests; /* a ring */
    uint64_t acknowledged;
    int failure;
    bool closed;
};

static void bench_acknowledged(struct raft_io_append *request, int status)
{
    struct bench *bench = request->data;
    bench->acknowledged++;
    bench->failure = bench->failure != 0 ? bench->failure : status;
}

static void bench_closed(struct raft_io *io)
{
    struct bench *bench = io->data;
    bench->closed = true;
}

static int bench_open(struct bench *bench, const char *directory, const char *address)
{
    raft_term term = 0;
    raft_id voted_for = 0;
    struct raft_snapshot *snapshot = NULL;
    raft_index start_index = 0;
    struct raft_entry *loaded = NULL;
    size_t loaded_count = 0;
    (void)mkdir(directory, 0700);
    if (uv_loop_init(&bench->uv) != 0) {
        return RAFT_IOERR;
    }
    bench->transport.version = 1;
    bench->transport.data = NULL;
    int rc = raft_uv_tcp_init(&bench->transport, &bench->uv);
    if (rc == 0) {
        rc = raft_uv_init(&bench->io, &bench->uv, directory, &bench->transport);
    }
    bench->io.data = bench;
    if (rc == 0) {
        rc = bench->io.init(&bench->io, 1, address);
    }
    if (rc == 0) {
        rc = bench->io.load(&bench->io, &term, &voted_for, &snapshot, &start_index, &loaded, &loaded_count);
    }
    return rc;
}

static int bench_run(struct bench *bench, unsigned batch_entries)
{
    struct closed_loop *loop = bench->loop;
    int rc = 0;
    while (rc == 0 && !closed_loop_over(loop)) {
        uint64_t room = closed_loop_room(loop), count = 0, started_ns = loop->now_ns;
        for (; rc == 0 && count < room; count++) {
            struct raft_io_append *request = &bench->requests[(loop->started + count) % (loop->outstanding_max + 1)];
            request->data = bench;
            rc = bench->io.append(&bench->io, request, bench->entries, batch_entries, bench_acknowledged);
        }
        closed_loop_started(loop, count, started_ns);
        while (rc == 0 && bench->failure == 0 && bench->acknowledged == loop->finished) {
            uv_run(&bench->uv, UV_RUN_ONCE);
        }
        closed_loop_finished(loop, bench->acknowledged);
        rc = rc != 0 ? rc : bench->failure;
    }
    while (rc == 0 && bench->failure == 0 && bench->acknowledged < loop->started) {
        uv_run(&bench->uv, UV_RUN_ONCE);
    }
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: bench_raft_uv DIRECTORY PAYLOAD_BYTES OUTSTANDING ENTRIES_PER_BATCH SECONDS PORT\n");
        return 2;
    }
    struct bench *bench = memory_new(sizeof(*bench));
    size_t payload_size = (size_t)strtoull(argv[2], NULL, 10);
    uint64_t outstanding = strtoull(argv[3], NULL, 10);
    uint64_t batch_entries = strtoull(argv[4], NULL, 10);
    char *address = text_format("127.0.0.1:%s", argv[6]);
    uint8_t *payload = memory_new((payload_size + 7) / 8 * 8); /* it wants multiples of 8 */
    memset(payload, 'x', payload_size);
    bench->entries = memory_new(batch_entries * sizeof(*bench->entries));
    for (uint64_t i = 0; i < batch_entries; i++) {
        bench->entries[i].term = 1;
        bench->entries[i].type = RAFT_COMMAND;
        bench->entries[i].buf = (struct raft_buffer){.base = payload, .len = (payload_size + 7) / 8 * 8};
    }
    int rc = bench_open(bench, argv[1], address);
    if (rc == 0) {
        bench->loop = closed_loop_open(outstanding, batch_entries, strtod(argv[5], NULL));
        bench->requests = memory_new((bench->loop->outstanding_max + 1) * sizeof(*bench->requests));
        rc = bench_run(bench, (unsigned)batch_entries);
    }
    if (rc == 0) {
        printf("{");
        closed_loop_print(bench->loop);
        printf("}\n");
        bench->io.close(&bench->io, bench_closed);
        while (!bench->closed) {
            uv_run(&bench->uv, UV_RUN_ONCE);
        }
        raft_uv_close(&bench->io);
        raft_uv_tcp_close(&bench->transport);
        uv_run(&bench->uv, UV_RUN_DEFAULT);
        uv_loop_close(&bench->uv);
    } else {
        fprintf(stderr, "error: raft-uv: %s: %s\n", raft_strerror(rc), bench->io.errmsg);
    }
    closed_loop_close(bench->loop);
    free(bench->requests);
    free(bench->entries);
    free(payload);
    free(address);
    free(bench);
    return rc == 0 ? 0 : 1;
}
