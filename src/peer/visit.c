#include "peer/visit.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"
#include "peer/connection.h"

struct visit {
    struct connection *connection;
    struct peer_identity found;
    bool is_found;
    visit_done *done;
    void *arg;
};

static int visit_greeted(void *arg, struct connection *connection, const struct handshake *remote)
{
    struct visit *visit = arg;
    visit->found = remote->identity;
    visit->is_found = true;
    return error_raise(HF_ECANCELLED, "only asked who answers here");
}

static void visit_ended(void *arg, struct connection *connection, int result)
{
    struct visit *visit = arg;
    visit->connection = NULL;
    connection_close(connection);
    visit->done(visit->arg, visit->is_found ? 0 : result, visit->is_found ? &visit->found : NULL);
    free(visit);
}

/* greeted refuses, so the connection never comes up. */
static void visit_up(void *arg, struct connection *connection)
{
    assert(false);
}
static void visit_received(void *arg, struct connection *connection, const struct frame_header *header,
                           struct hf_bytes payload)
{
    assert(false);
}
static void visit_drained(void *arg, struct connection *connection) {}

int visit_start(struct loop *loop, const char *address, const struct peer_identity *identity, uint64_t to_node_id,
                visit_done *done, void *arg, struct visit **out)
{
    static const struct connection_callbacks callbacks = {.greeted = visit_greeted,
                                                          .up = visit_up,
                                                          .received = visit_received,
                                                          .ended = visit_ended,
                                                          .drained = visit_drained};
    struct visit *visit = memory_new(sizeof(*visit));
    visit->done = done;
    visit->arg = arg;
    int rc = connection_dial(loop, address, to_node_id, identity, &callbacks, visit, &visit->connection);
    if (rc != 0) {
        free(visit);
        return rc;
    }
    *out = visit;
    return 0;
}

void visit_cancel(struct visit *visit)
{
    if (visit == NULL) {
        return;
    }
    connection_close(visit->connection);
    free(visit);
}
