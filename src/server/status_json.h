/* A node as JSON (drawn in server.h) and as Prometheus text. */
#ifndef SERVER_STATUS_JSON_H
#define SERVER_STATUS_JSON_H

#include "base/buffer.h"
#include "node/node.h"
#include "server/server.h"

struct status_addresses {
    const char *client;
    const char *http;
    int64_t process_id;
    const struct server_options *options;
};

/* Where clients of another node find it, as far as this one knows. */
const char *status_json_peer_address(const struct server_options *options, const struct description_node *member);

void status_json_write(struct node *node, const struct status_addresses *addresses, struct buffer *out);

#endif
