#include "node/joining.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "node/node.h"

struct joining {
    struct peer_hub *hub;
};

/* Nobody is a peer yet: visitors are answered by the hub itself. */
static int joining_admit(void *arg, uint64_t node_id, uint64_t node_incarnation)
{
    return error_raise(HF_ENOTFOUND, "this node is only joining");
}

int joining_open(struct io *io, struct loop *loop, const uint8_t cluster_id[PEER_CLUSTER_ID_SIZE],
                 uint64_t routing_version, uint64_t incarnation, const char *peer_address, struct joining **out)
{
    static const struct peer_callbacks callbacks = {.admit = joining_admit};
    struct peer_identity identity = {
        .node_id = PEER_NODE_JOINING, .node_incarnation = incarnation, .routing_version = routing_version};
    memcpy(identity.cluster_id, cluster_id, PEER_CLUSTER_ID_SIZE);
    int rc = node_check_address(io, "peer", peer_address);
    if (rc != 0) {
        return rc;
    }
    struct joining *joining = memory_new(sizeof(*joining));
    rc = peer_hub_open(loop, &identity, peer_address, &callbacks, joining, &joining->hub);
    if (rc == 0) {
        *out = joining;
        joining = NULL; /* the caller owns it now */
    }
    joining_close(joining);
    return rc;
}

void joining_close(struct joining *joining)
{
    if (joining == NULL) {
        return;
    }
    peer_hub_close(joining->hub);
    free(joining);
}
