/* A node as JSON (drawn in server.h) and as Prometheus text. */
#ifndef SERVER_STATUS_JSON_H
#define SERVER_STATUS_JSON_H

#include "base/buffer.h"
#include "node/node.h"

struct status_addresses {
    const char *client;
    const char *http;
    int64_t process_id;
};

void status_json_write(struct node *node, const struct status_addresses *addresses, struct buffer *out);

#endif
