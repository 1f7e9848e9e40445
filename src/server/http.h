/* The HTTP port: /health, /metrics, /status. No data of clients. libmicrohttpd without a thread of its own: the loop
 * watches its epoll descriptor and runs it in turns. Thread: the loop's. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <stdbool.h>

#include "base/buffer.h"
#include "net/loop.h"

#define HTTP_CONNECTIONS_MAX   256u
#define HTTP_CONNECTION_MEMORY (32u * 1024u)
#define HTTP_IDLE_TIMEOUT_S    10u

struct http;

struct http_pages {
    /* Appends a line that says how the node is; false: not healthy (503). */
    bool (*health)(void *arg, struct buffer *out);
    void (*metrics)(void *arg, struct buffer *out); /* Prometheus text 0.0.4 */
    void (*status)(void *arg, struct buffer *out);  /* JSON */
    void *arg;
};

/* address "host:port", port 0 chooses one. HF_EBUSY: the port is in use. */
int http_open(struct loop *loop, const char *address, const struct http_pages *pages, struct http **out);
void http_close(struct http *http);                /* accepts NULL */
const char *http_address(const struct http *http); /* with the port that was bound */

#endif
