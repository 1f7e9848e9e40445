/* A cluster of whole nodes with their Redis ports in the simulator, and clients made of plain streams. */
#ifndef TESTS_SERVER_FIXTURE_H
#define TESTS_SERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/trace.h"
#include "node/directory.h"
#include "server/resp.h"
#include "server/server.h"
#include "sim/sim.h"

enum { FIXTURE_NODES_MAX = 3, FIXTURE_WAIT_MS = 20000 };

/* Of the nodes that are started; zero: the defaults. */
static struct node_snapshot_options fixture_snapshot;

struct fixture_node {
    struct fixture *fixture;
    struct sim_host *host;
    struct node *node;
    struct server *server;
    unsigned shutdowns;
};

struct fixture {
    struct sim *sim;
    struct sim_host *outside; /* where the clients are */
    struct description *description;
    struct fixture_node nodes[FIXTURE_NODES_MAX];
    unsigned node_count;
};

static inline void fixture_shutdown(void *arg)
{
    ((struct fixture_node *)arg)->shutdowns++;
}

static inline void fixture_start_node(struct fixture *fixture, unsigned position)
{
    struct fixture_node *node = &fixture->nodes[position];
    struct io *io = sim_host_io(node->host);
    struct loop *loop = sim_host_loop(node->host);
    const struct node_options options = {
        .directory = "/data", .log = {.segment_size_bytes = 1 << 20}, .snapshot = fixture_snapshot};
    const struct node_callbacks callbacks = {0};
    char address[128];
    snprintf(address, sizeof(address), "%s:6379", sim_host_name(node->host));
    const struct server_options server_options = {.client_address = address, .shutdown = fixture_shutdown, .arg = node};
    int rc = node_open(io, loop, &options, server_machine_ops(), &callbacks, NULL, &node->node);
    if (rc == 0) {
        rc = server_open(io, loop, node->node, &server_options, &node->server);
    }
    if (rc != 0) {
        fail_msg("node %u does not start: %s: %s", position + 1, hf_error_name(rc), hf_error_text());
    }
}

static inline void fixture_stop_node(struct fixture *fixture, unsigned position)
{
    struct fixture_node *node = &fixture->nodes[position];
    server_close(node->server);
    node_close(node->node);
    node->server = NULL;
    node->node = NULL;
}

/* Which node leads a group, as it says itself; −1: none. */
static inline int fixture_leader(const struct fixture *fixture, uint64_t group)
{
    for (unsigned i = 0; i < fixture->node_count; i++) {
        struct node_group_status status;
        for (uint32_t k = 0; fixture->nodes[i].node != NULL && sim_host_is_running(fixture->nodes[i].host) &&
                             node_group_status(fixture->nodes[i].node, k, &status) == 0;
             k++) {
            if (status.group == group && status.replica.state == REPLICA_LEADER && status.replica.is_ready) {
                return (int)i;
            }
        }
    }
    return -1;
}

static inline bool fixture_all_led(void *arg)
{
    const struct fixture *fixture = arg;
    for (uint64_t group = NODE_SYSTEM_GROUP; group <= fixture->description->group_count + NODE_SYSTEM_GROUP; group++) {
        if (fixture_leader(fixture, group) < 0) {
            return false;
        }
    }
    return true;
}

static inline void fixture_run_ms(struct fixture *fixture, uint64_t duration_ms)
{
    sim_run_for(fixture->sim, duration_ms * 1000000);
}

static inline void fixture_open(struct fixture *fixture, unsigned nodes, unsigned groups, uint64_t seed)
{
    struct description_node rows[FIXTURE_NODES_MAX] = {0};
    *fixture = (struct fixture){.sim = sim_open(seed, NULL), .node_count = nodes};
    trace_set_level(TRACE_ERROR);
    for (unsigned i = 0; i < nodes; i++) {
        fixture->nodes[i] = (struct fixture_node){.fixture = fixture, .host = sim_host_add(fixture->sim, NULL, NULL)};
        rows[i].id = i + 1;
        snprintf(rows[i].peer_address, sizeof(rows[i].peer_address), "%s:7000", sim_host_name(fixture->nodes[i].host));
        snprintf(rows[i].client_address, sizeof(rows[i].client_address), "%s:6379",
                 sim_host_name(fixture->nodes[i].host));
    }
    const struct sim_host_options outside = {.sheltered = 1};
    fixture->outside = sim_host_add(fixture->sim, "outside", &outside);
    assert_int_equal(
        description_create(sim_host_io(fixture->nodes[0].host), rows, nodes, groups, &fixture->description), 0);
    for (unsigned i = 0; i < nodes; i++) {
        assert_int_equal(directory_format(sim_host_io(fixture->nodes[i].host), "/data", fixture->description, i + 1),
                         0);
        fixture_start_node(fixture, i);
    }
    assert_true(sim_run_until(fixture->sim, fixture_all_led, fixture, FIXTURE_WAIT_MS * 1000000ull));
    fixture_run_ms(fixture, 2000); /* leaders have spread */
}

static inline void fixture_close(struct fixture *fixture)
{
    for (unsigned i = 0; i < fixture->node_count; i++) {
        if (fixture->nodes[i].node != NULL) {
            fixture_stop_node(fixture, i);
        }
    }
    description_close(fixture->description);
    sim_close(fixture->sim);
}

/* ---- clients ---- */

struct client {
    struct fixture *fixture;
    struct stream *stream;
    struct buffer received;
    int connected;
    unsigned ended;
    size_t wanted; /* values, for client_has_values */
};

static inline void client_connected(void *arg, int result)
{
    ((struct client *)arg)->connected = result == 0 ? 1 : -1;
}

static inline void client_received(void *arg, struct hf_bytes bytes)
{
    buffer_append_bytes(&((struct client *)arg)->received, bytes);
}

static inline void client_ended(void *arg, int result)
{
    ((struct client *)arg)->ended++;
}

static inline bool client_is_connected(void *arg)
{
    return ((struct client *)arg)->connected != 0;
}

static inline void client_open(struct client *client, struct fixture *fixture, unsigned node)
{
    static const struct stream_callbacks callbacks = {
        .connected = client_connected, .received = client_received, .ended = client_ended};
    *client = (struct client){.fixture = fixture};
    char address[128];
    snprintf(address, sizeof(address), "%s:6379", sim_host_name(fixture->nodes[node].host));
    assert_int_equal(stream_connect(sim_host_loop(fixture->outside), address, &callbacks, client, &client->stream), 0);
    assert_true(sim_run_until(fixture->sim, client_is_connected, client, FIXTURE_WAIT_MS * 1000000ull));
    assert_int_equal(client->connected, 1);
}

static inline void client_close(struct client *client)
{
    stream_close(client->stream);
    buffer_close(&client->received);
}

static inline void client_send(struct client *client, const char *text)
{
    stream_write(client->stream, bytes_of_text(text));
}

/* A command as an array of bulk strings; the arguments end with NULL. */
static inline void client_command(struct client *client, ...)
{
    struct buffer out = {0};
    struct buffer items = {0};
    unsigned count = 0;
    va_list args;
    va_start(args, client);
    for (const char *item = va_arg(args, const char *); item != NULL; item = va_arg(args, const char *)) {
        buffer_format(&items, "$%zu\r\n%s\r\n", strlen(item), item);
        count++;
    }
    va_end(args);
    buffer_format(&out, "*%u\r\n", count);
    buffer_append_bytes(&out, buffer_bytes(&items));
    stream_write(client->stream, buffer_bytes(&out));
    buffer_close(&out);
    buffer_close(&items);
}

static inline bool client_has_values(void *arg)
{
    const struct client *client = arg;
    size_t at = 0;
    for (size_t i = 0; i < client->wanted; i++) {
        if (resp_skip_value(buffer_bytes(&client->received), &at) != 0) {
            return client->ended > 0;
        }
    }
    return true;
}

/* Waits for that many values and takes them; text that ends with NUL, lent until the next call. */
static inline const char *client_take(struct client *client, size_t values)
{
    static struct buffer taken;
    client->wanted = values;
    buffer_clear(&taken);
    if (!sim_run_until(client->fixture->sim, client_has_values, client, FIXTURE_WAIT_MS * 1000000ull)) {
        buffer_append_u8(&client->received, '\0');
        fail_msg("%zu values did not come; so far: %s", values, (char *)client->received.data);
    }
    size_t at = 0;
    for (size_t i = 0; i < values && resp_skip_value(buffer_bytes(&client->received), &at) == 0; i++) {
    }
    buffer_append(&taken, client->received.data, at);
    buffer_drop_front(&client->received, at);
    buffer_append_u8(&taken, '\0');
    return (const char *)taken.data;
}

/* Whether text is as the pattern says; '~' stands for anything. */
static inline bool client_fits(const char *text, const char *pattern)
{
    while (*pattern != '\0') {
        if (*pattern == '~') {
            for (pattern++;; text++) {
                if (client_fits(text, pattern)) {
                    return true;
                }
                if (*text == '\0') {
                    return false;
                }
            }
        }
        if (*text++ != *pattern++) {
            return false;
        }
    }
    return *text == '\0';
}

/* Sends a line and compares the one value that comes back. */
static inline void client_expect(struct client *client, const char *line, const char *pattern)
{
    client_send(client, line);
    client_send(client, "\r\n");
    const char *text = client_take(client, 1);
    if (!client_fits(text, pattern)) {
        fail_msg("%s\n  answered  %s  not       %s", line, text, pattern);
    }
}

/* A key of the routed group with this ordinal, with a prefix; lent until the next call. */
static inline const char *fixture_key(const struct fixture *fixture, uint32_t ordinal, const char *prefix)
{
    static char key[64];
    for (unsigned i = 0;; i++) {
        snprintf(key, sizeof(key), "%s%u", prefix, i);
        if (node_route(fixture->nodes[0].node, bytes_of_text(key)) == NODE_GROUP_FIRST + ordinal) {
            return key;
        }
    }
}

#endif
