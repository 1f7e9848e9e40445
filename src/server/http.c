#include "server/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "net/address.h"

struct http {
    struct loop *loop;
    struct http_pages pages;
    struct MHD_Daemon *daemon;
    struct loop_watch *watch;
    struct loop_timer timer;
    char address[160];
};

/* ---- pages ---- */

static int http_reply(struct MHD_Connection *connection, unsigned status, const char *type, struct buffer *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(body->size, body->data, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    int queued = (int)MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result http_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
                                    const char *version, const char *upload, size_t *upload_size, void **request)
{
    struct http *http = arg;
    struct buffer body = {0};
    unsigned status = MHD_HTTP_OK;
    const char *type = "text/plain; charset=utf-8";
    (void)version;
    (void)upload;
    bool is_read = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (is_read && *request == NULL) {
        *request = http; /* answering before the end of a request would cost the connection */
        return MHD_YES;
    }
    if (*upload_size != 0) {
        return MHD_NO; /* nothing here takes a body */
    }
    if (!is_read) {
        status = MHD_HTTP_METHOD_NOT_ALLOWED;
        buffer_append_text(&body, "only GET and HEAD\n");
    } else if (strcmp(path, "/health") == 0) {
        status = http->pages.health(http->pages.arg, &body) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    } else if (strcmp(path, "/metrics") == 0) {
        type = "text/plain; version=0.0.4; charset=utf-8";
        http->pages.metrics(http->pages.arg, &body);
    } else if (strcmp(path, "/status") == 0) {
        type = "application/json";
        http->pages.status(http->pages.arg, &body);
    } else {
        status = MHD_HTTP_NOT_FOUND;
        buffer_append_text(&body, "not found; there are /health, /metrics and /status\n");
    }
    int queued = http_reply(connection, status, type, &body);
    buffer_close(&body);
    return (enum MHD_Result)queued;
}

/* ---- turns ---- */

static unsigned http_connection_count(const struct http *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info != NULL ? info->num_connections : 0;
}

static void http_run(void *arg)
{
    struct http *http = arg;
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    unsigned before;
    /* At its limit the library stops listening, and begins again in the run after a connection ended: without that run
     * nothing would ever wake it. */
    do {
        before = http_connection_count(http);
        MHD_run(http->daemon);
    } while (http_connection_count(http) < before);
    if (MHD_get_timeout(http->daemon, &timeout_ms) == MHD_YES) {
        loop_timer_set(http->loop, &http->timer, loop_now_ms(http->loop) + timeout_ms);
    } else {
        loop_timer_stop(http->loop, &http->timer);
    }
}

/* ---- life ---- */

static void http_probe_accepted(void *arg, struct stream *stream)
{
    stream_close(stream);
}

/* What the address means, and whether it is free: asked of the loop, so that every port of the process is resolved and
 * refused in the same words. */
static int http_resolve(struct loop *loop, const char *address, struct sockaddr_storage *out)
{
    struct listener *probe = NULL;
    struct address numeric;
    int rc = listener_open(loop, address, http_probe_accepted, NULL, &probe);
    if (rc != 0) {
        return rc;
    }
    rc = address_parse(listener_address(probe), &numeric);
    listener_close(probe);
    *out = (struct sockaddr_storage){0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)out;
    if (rc == 0 && inet_pton(AF_INET, numeric.host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(numeric.port);
    } else if (rc == 0 && inet_pton(AF_INET6, numeric.host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(numeric.port);
    } else if (rc == 0) {
        rc = error_raise(HF_EINVALID, "'%s' is not an address for HTTP", address);
    }
    return rc;
}

static void http_bound_address(struct http *http, const char *address)
{
    const char *colon = strrchr(address, ':');
    const union MHD_DaemonInfo *port = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
    snprintf(http->address, sizeof(http->address), "%.*s:%u", (int)(colon - address), address,
             port != NULL ? port->port : 0);
}

static int http_start(struct http *http, const char *address)
{
    struct sockaddr_storage resolved;
    int rc = http_resolve(http->loop, address, &resolved);
    if (rc != 0) {
        return rc;
    }
    unsigned flags = MHD_USE_EPOLL | (resolved.ss_family == AF_INET6 ? (unsigned)MHD_USE_IPv6 : 0u);
    http->daemon = MHD_start_daemon(flags, 0, NULL, NULL, http_request, http, MHD_OPTION_SOCK_ADDR, &resolved,
                                    MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX,
                                    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_CONNECTION_MEMORY,
                                    MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_TIMEOUT_S, MHD_OPTION_END);
    if (http->daemon == NULL) {
        return error_raise(HF_EIO, "listen on %s for HTTP: %s", address, strerror(errno));
    }
    http_bound_address(http, address);
    const union MHD_DaemonInfo *epoll = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return loop_watch_descriptor(http->loop, epoll->epoll_fd, http_run, http, &http->watch);
}

int http_open(struct loop *loop, const char *address, const struct http_pages *pages, struct http **out)
{
    struct http *http = memory_new(sizeof(*http));
    http->loop = loop;
    http->pages = *pages;
    http->timer = (struct loop_timer){.fire = http_run, .arg = http};
    int rc = http_start(http, address);
    if (rc == 0) {
        *out = http;
        http = NULL;
    }
    http_close(http);
    return rc;
}

void http_close(struct http *http)
{
    if (http == NULL) {
        return;
    }
    loop_timer_stop(http->loop, &http->timer);
    loop_watch_close(http->loop, http->watch);
    if (http->daemon != NULL) {
        MHD_stop_daemon(http->daemon);
    }
    free(http);
}

const char *http_address(const struct http *http)
{
    return http->address;
}
