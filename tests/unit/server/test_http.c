#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "holdfast/error.h"
#include "io/io.h"
#include "server/http.h"

#define WAIT_TURNS 400u /* of 5 ms */

struct port {
    struct io *io;
    struct loop *loop;
    struct http *http;
    struct loop_timer timer;
    bool is_healthy;
    unsigned asked;
};

static bool page_health(void *arg, struct buffer *out)
{
    struct port *port = arg;
    port->asked++;
    buffer_append_text(out, port->is_healthy ? "ok\n" : "group 2 has no leader\n");
    return port->is_healthy;
}

static void page_metrics(void *arg, struct buffer *out)
{
    ((struct port *)arg)->asked++;
    buffer_append_text(out, "holdfast_info 1\n");
}

static void page_status(void *arg, struct buffer *out)
{
    ((struct port *)arg)->asked++;
    buffer_append_text(out, "{\"node\":1}");
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static void port_open(struct port *port)
{
    *port = (struct port){.is_healthy = true};
    const struct http_pages pages = {page_health, page_metrics, page_status, port};
    assert_int_equal(io_open_kernel(IO_BACKEND_THREADS, &port->io), 0);
    assert_int_equal(loop_open(port->io, &port->loop), 0);
    assert_int_equal(http_open(port->loop, "127.0.0.1:0", &pages, &port->http), 0);
    port->timer = (struct loop_timer){.fire = stop_loop, .arg = port->loop};
}

static void port_close(struct port *port)
{
    http_close(port->http);
    loop_close(port->loop);
    io_close(port->io);
}

static void port_turn(struct port *port)
{
    loop_timer_set(port->loop, &port->timer, loop_now_ms(port->loop) + 5);
    loop_run(port->loop);
}

static int port_connect(struct port *port)
{
    const char *colon = strrchr(http_address(port->http), ':');
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(client >= 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    return client;
}

/* Sends the bytes and reads until the port closes or has said nothing for a while; text, lent until the next call. */
static const char *ask(struct port *port, const void *bytes, size_t size)
{
    static char answer[1 << 16];
    int client = port_connect(port);
    size_t got = 0;
    unsigned quiet = 0;
    (void)!send(client, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    for (unsigned turn = 0; turn < WAIT_TURNS && quiet < 6; turn++) {
        port_turn(port);
        ssize_t more = recv(client, answer + got, sizeof(answer) - 1 - got, MSG_DONTWAIT);
        if (more == 0) {
            break;
        }
        got += more > 0 ? (size_t)more : 0;
        quiet = more > 0 ? 0 : quiet + 1;
    }
    answer[got] = '\0';
    close(client);
    port_turn(port);
    return answer;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void every_page_answers_with_its_status_and_type(void **state)
{
    static const struct {
        const char *request;
        const char *status;
        const char *holds;
    } rows[] = {
        {"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ", "\r\n\r\nok\n"},
        {"GET /health HTTP/1.0\r\n\r\n", "HTTP/1.", "ok\n"},
        {"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ", "version=0.0.4"},
        {"GET /metrics?name=x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ", "holdfast_info 1\n"},
        {"GET /status HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ", "application/json"},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ", "there are /health, /metrics and /status"},
        {"GET /metrics/../health HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ", "not found"},
        {"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 ", "only GET and HEAD"},
        {"DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 ", "only GET and HEAD"},
        {"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /status HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ",
         "{\"node\":1}"}, /* a pipeline */
    };
    struct port port;
    port_open(&port);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *answer = ask(&port, rows[i].request, strlen(rows[i].request));
        if (!begins(answer, rows[i].status) || strstr(answer, rows[i].holds) == NULL) {
            fail_msg("%s\nwas answered with\n%s", rows[i].request, answer);
        }
    }
    const char *head = "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    const char *answer = ask(&port, head, strlen(head));
    assert_true(begins(answer, "HTTP/1.1 200 ") && strstr(answer, "holdfast_info") == NULL);
    port.is_healthy = false;
    answer = ask(&port, rows[0].request, strlen(rows[0].request));
    assert_true(begins(answer, "HTTP/1.1 503 ") && strstr(answer, "group 2 has no leader") != NULL);
    port_close(&port);
}

static void H22_malformed_requests_are_refused_and_the_port_goes_on(void **state)
{
    static const char good[] = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char *const rows[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /health\r\n\r\n",
        "GET /health HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n", /* no Host */
        "GET /health HTTP/1.1\r\nHost a\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* a TLS hello */
    };
    struct port port;
    port_open(&port);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *answer = ask(&port, rows[i], strlen(rows[i]));
        assert_true(answer[0] == '\0' || begins(answer, "HTTP/1."));
        assert_null(strstr(answer, "+PONG"));
        assert_true(begins(ask(&port, good, sizeof(good) - 1), "HTTP/1.1 200 "));
    }
    port_close(&port);
}

static void H22_headers_beyond_the_memory_of_a_connection_are_refused(void **state)
{
    static const char good[] = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    struct port port;
    port_open(&port);
    struct buffer long_path = {0};
    struct buffer many = {0};
    buffer_append_text(&long_path, "GET /");
    memset(buffer_extend(&long_path, 2 * HTTP_CONNECTION_MEMORY), 'a', 2 * HTTP_CONNECTION_MEMORY);
    buffer_append_text(&many, "GET /health HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < 3000; i++) {
        buffer_format(&many, "X-%u: %u\r\n", i, i);
    }
    buffer_append_text(&many, "\r\n");
    const char *answer = ask(&port, long_path.data, long_path.size);
    assert_true(answer[0] == '\0' || begins(answer, "HTTP/1.1 414 ") || begins(answer, "HTTP/1.0 414 ") ||
                begins(answer, "HTTP/1.1 431 "));
    answer = ask(&port, many.data, many.size);
    assert_true(answer[0] == '\0' || begins(answer, "HTTP/1.1 431 ") || begins(answer, "HTTP/1.1 413 "));
    assert_int_equal(port.asked, 0);
    assert_true(begins(ask(&port, good, sizeof(good) - 1), "HTTP/1.1 200 "));
    buffer_close(&long_path);
    buffer_close(&many);
    port_close(&port);
}

static void H22_random_bytes_do_not_reach_a_page_by_chance_or_stop_the_port(void **state)
{
    static const char good[] = "GET /status HTTP/1.1\r\nHost: a\r\n\r\n";
    struct port port;
    struct rng rng;
    port_open(&port);
    rng_seed(&rng, 7);
    for (unsigned i = 0; i < 60; i++) {
        uint8_t bytes[600];
        size_t size = (size_t)rng_below(&rng, sizeof(bytes));
        rng_fill(&rng, bytes, size);
        if (i % 2 == 0) { /* a good request with one byte changed leads further in */
            memcpy(bytes, good, sizeof(good) - 1);
            size = sizeof(good) - 1;
            bytes[rng_below(&rng, 30)] = (uint8_t)rng_below(&rng, 256);
        }
        (void)ask(&port, bytes, size);
    }
    assert_true(begins(ask(&port, good, sizeof(good) - 1), "HTTP/1.1 200 "));
    port_close(&port);
}

static void H22_idle_connections_beyond_the_limit_do_not_keep_others_out_for_ever(void **state)
{
    static const char good[] = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    static int clients[HTTP_CONNECTIONS_MAX + 20];
    struct port port;
    port_open(&port);
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX + 20; i++) {
        clients[i] = port_connect(&port);
        if (i % 16 == 0) {
            port_turn(&port);
        }
    }
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX + 20; i++) {
        close(clients[i]);
    }
    for (unsigned i = 0; i < 20; i++) {
        port_turn(&port);
    }
    assert_true(begins(ask(&port, good, sizeof(good) - 1), "HTTP/1.1 200 "));
    port_close(&port);
}

static void a_port_in_use_is_refused(void **state)
{
    struct port port;
    struct http *other = NULL;
    const struct http_pages pages = {page_health, page_metrics, page_status, &port};
    port_open(&port);
    assert_int_equal(http_open(port.loop, http_address(port.http), &pages, &other), HF_EBUSY);
    assert_null(other);
    port_close(&port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_answers_with_its_status_and_type),
        cmocka_unit_test(H22_malformed_requests_are_refused_and_the_port_goes_on),
        cmocka_unit_test(H22_headers_beyond_the_memory_of_a_connection_are_refused),
        cmocka_unit_test(H22_random_bytes_do_not_reach_a_page_by_chance_or_stop_the_port),
        cmocka_unit_test(H22_idle_connections_beyond_the_limit_do_not_keep_others_out_for_ever),
        cmocka_unit_test(a_port_in_use_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
