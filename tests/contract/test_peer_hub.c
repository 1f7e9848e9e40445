/* links: peer sim */
/* What a hub promises, over libuv on loopback and over the simulator's network. Hubs talk to hubs; where a node has to
 * misbehave, a raw stream plays it. */
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
#include "base/mutation.h"
#include "base/trace.h"
#include "contract/port_fixture.h"
#include "peer/handshake.h"
#include "peer/incoming.h"
#include "peer/peer.h"
#include "sim/sim.h"

enum { NODES_MAX = 3, LIMIT_MS = 60000, PIECES_MAX = 10 };

/* ---- a world: one loop per node, and a way to run them ---- */

struct world {
    struct sim *sim; /* NULL: libuv */
    struct sim_host *hosts[NODES_MAX];
    struct io *io;
    struct loop *loop;
};

static void world_open_uv(struct world *world)
{
    *world = (struct world){0};
    assert_int_equal(io_open_kernel(IO_BACKEND_THREADS, &world->io), 0);
    assert_int_equal(loop_open(world->io, &world->loop), 0);
}

static void world_open_sim(struct world *world)
{
    *world = (struct world){.sim = sim_open(7, NULL)};
    for (unsigned i = 0; i < NODES_MAX; i++) {
        world->hosts[i] = sim_host_add(world->sim, NULL, NULL);
    }
}

static void world_close(struct world *world)
{
    sim_close(world->sim);
    loop_close(world->loop);
    io_close(world->io);
}

static struct loop *world_loop(struct world *world, unsigned node)
{
    return world->sim != NULL ? sim_host_loop(world->hosts[node - 1]) : world->loop;
}

typedef bool condition(void *arg);

struct wait {
    struct world *world;
    condition *holds;
    void *arg;
    bool result;
    struct loop_hook hook;
    struct loop_timer timer;
    struct loop_timer again;
};

static void wait_look(void *arg)
{
    struct wait *wait = arg;
    if (!wait->result && wait->holds(wait->arg)) {
        wait->result = true;
        loop_stop(wait->world->loop);
    }
}

static void wait_timed_out(void *arg)
{
    struct wait *wait = arg;
    loop_stop(wait->world->loop);
}

static void wait_again(void *arg)
{
    struct wait *wait = arg;
    loop_timer_set(wait->world->loop, &wait->again, loop_now_ms(wait->world->loop) + 5);
}

static bool world_run_until(struct world *world, condition *holds, void *arg, uint64_t limit_ms)
{
    if (world->sim != NULL) {
        return sim_run_until(world->sim, holds, arg, limit_ms * 1000000);
    }
    struct wait wait = {.world = world, .holds = holds, .arg = arg};
    wait.hook = (struct loop_hook){.call = wait_look, .arg = &wait};
    wait.timer = (struct loop_timer){.fire = wait_timed_out, .arg = &wait};
    wait.again = (struct loop_timer){.fire = wait_again, .arg = &wait};
    loop_add_turn_end(world->loop, &wait.hook);
    loop_timer_set(world->loop, &wait.timer, loop_now_ms(world->loop) + limit_ms);
    wait_again(&wait);
    loop_run(world->loop);
    loop_timer_stop(world->loop, &wait.timer);
    loop_timer_stop(world->loop, &wait.again);
    loop_remove_turn_end(world->loop, &wait.hook);
    return wait.result;
}

static bool never(void *arg)
{
    return false;
}

/* In pieces: a process that stood still for a while hears what arrived meanwhile before the time is over. */
static void world_run_for(struct world *world, uint64_t duration_ms)
{
    uint64_t pieces = world->sim != NULL ? 1 : duration_ms < PIECES_MAX ? duration_ms : PIECES_MAX;
    for (uint64_t i = 0; i < pieces; i++) {
        world_run_until(world, never, NULL, (duration_ms + pieces - 1) / pieces);
    }
}

/* ---- a node: a hub that counts and echoes ---- */

struct node {
    struct world *world;
    struct peer_hub *hub;
    struct peer_identity identity;
    char address[128];
    uint64_t refuses_incarnation;
    unsigned ups;
    unsigned downs;
    uint64_t epoch;
    unsigned received;
    unsigned echoed; /* answers to our own messages, equal to what was sent */
    char last[64];
};

struct letter {
    struct peer_message message;
    struct buffer text;
    unsigned *released;
    unsigned *sent;
};

static int letter_encode(struct peer_message *message, struct buffer *out)
{
    buffer_append_bytes(out, buffer_bytes(&((struct letter *)message)->text));
    return 0;
}

static void letter_release(struct peer_message *message, int sent)
{
    struct letter *letter = (struct letter *)message;
    if (letter->released != NULL) {
        (*letter->released)++;
        *letter->sent += sent != 0;
    }
    buffer_close(&letter->text);
    free(letter);
}

static struct letter *letter_new(enum frame_kind kind, uint64_t group, struct hf_bytes text)
{
    struct letter *letter = memory_new(sizeof(*letter));
    letter->message = (struct peer_message){.kind = kind,
                                            .class = group % 2 == 0 ? PEER_BULK : PEER_URGENT,
                                            .small = text.size < 500,
                                            .group = group,
                                            .group_incarnation = group + 5,
                                            .encode = letter_encode,
                                            .release = letter_release};
    buffer_append_bytes(&letter->text, text);
    return letter;
}

static void on_up(void *arg, uint64_t node_id, uint64_t epoch)
{
    struct node *node = arg;
    node->ups++;
    assert_true(epoch > node->epoch || node->world != NULL);
    node->epoch = epoch;
    assert_true(peer_is_up(node->hub, node_id));
}

static void on_down(void *arg, uint64_t node_id, uint64_t epoch)
{
    ((struct node *)arg)->downs++;
}

static uint8_t letter_byte(uint64_t group, size_t size, size_t at)
{
    return (uint8_t)(group * 7 + size + at * 13);
}

static void on_received(void *arg, uint64_t node_id, enum frame_kind kind, uint64_t group, uint64_t group_incarnation,
                        struct hf_bytes payload)
{
    struct node *node = arg;
    node->received++;
    snprintf(node->last, sizeof(node->last), "%.*s", (int)(payload.size < 60 ? payload.size : 60),
             (const char *)payload.data);
    assert_int_equal(group_incarnation, group + 5);
    if (kind == FRAME_FORWARD) {
        peer_send(node->hub, node_id, &letter_new(FRAME_FORWARD_REPLY, group, payload)->message);
    } else if (kind == FRAME_FORWARD_REPLY) {
        for (size_t i = 0; i < payload.size; i++) {
            assert_int_equal(((const uint8_t *)payload.data)[i], letter_byte(group, payload.size, i));
        }
        node->echoed++;
    }
}

static int on_admit(void *arg, uint64_t node_id, uint64_t node_incarnation)
{
    struct node *node = arg;
    if (node_incarnation == node->refuses_incarnation) {
        return error_raise(HF_EMISMATCH, "node %u has the incarnation of a lost disk", (unsigned)node_id);
    }
    return 0;
}

static const struct peer_callbacks node_callbacks = {
    .up = on_up, .down = on_down, .received = on_received, .admit = on_admit};

static void node_open(struct node *node, struct world *world, uint64_t id)
{
    *node = (struct node){.world = world};
    node->identity = (struct peer_identity){
        .cluster_id = "cluster-cluster", .node_id = id, .node_incarnation = 100 + id, .routing_version = 1, .seed = id};
}

/* Listens; the address is kept for the life of the test. */
static void node_listen(struct node *node)
{
    unsigned id = (unsigned)node->identity.node_id;
    if (node->address[0] == '\0') {
        if (node->world->sim != NULL) {
            snprintf(node->address, sizeof(node->address), "%s:7000", sim_host_name(node->world->hosts[id - 1]));
        } else {
            snprintf(node->address, sizeof(node->address), "127.0.0.1:%u", port_claim()); /* it comes back there */
        }
    }
    assert_int_equal(
        peer_hub_open(world_loop(node->world, id), &node->identity, node->address, &node_callbacks, node, &node->hub),
        0);
}

struct pair {
    struct node *nodes[2];
};

static bool both_up(void *arg)
{
    struct pair *pair = arg;
    return peer_is_up(pair->nodes[0]->hub, pair->nodes[1]->identity.node_id) &&
           peer_is_up(pair->nodes[1]->hub, pair->nodes[0]->identity.node_id);
}

static void connect_pair(struct node *a, struct node *b)
{
    assert_int_equal(peer_hub_add(a->hub, b->identity.node_id, b->address), 0);
    assert_int_equal(peer_hub_add(b->hub, a->identity.node_id, a->address), 0);
}

static void open_pair(struct world *world, struct node *a, struct node *b)
{
    node_open(a, world, 1);
    node_open(b, world, 2);
    node_listen(a);
    node_listen(b);
    connect_pair(a, b);
    struct pair pair = {{a, b}};
    assert_true(world_run_until(world, both_up, &pair, LIMIT_MS));
}

static void send_letters(struct node *from, uint64_t to, unsigned count, size_t size_max, unsigned *released,
                         unsigned *sent)
{
    for (unsigned i = 0; i < count; i++) {
        size_t size = 1 + (size_t)i * 7919 % size_max;
        uint64_t group = 1 + i % 9;
        uint8_t *text = memory_new(size);
        for (size_t k = 0; k < size; k++) {
            text[k] = letter_byte(group, size, k);
        }
        struct letter *letter = letter_new(FRAME_FORWARD, group, bytes_of(text, size));
        letter->released = released;
        letter->sent = sent;
        peer_send(from->hub, to, &letter->message);
        free(text);
    }
}

/* ---- the tests, each over both worlds ---- */

struct echo_state {
    struct node *nodes;
    unsigned expected;
    unsigned *released;
};

static bool all_echoed(void *arg)
{
    struct echo_state *echo = arg;
    return echo->nodes[0].echoed == echo->expected && echo->nodes[1].echoed == echo->expected &&
           echo->nodes[2].echoed == echo->expected;
}

static void three_hubs_echo(struct world *world)
{
    struct node nodes[3];
    for (uint64_t i = 0; i < 3; i++) {
        node_open(&nodes[i], world, i + 1);
        node_listen(&nodes[i]);
    }
    connect_pair(&nodes[0], &nodes[1]);
    connect_pair(&nodes[0], &nodes[2]);
    connect_pair(&nodes[1], &nodes[2]);
    for (unsigned i = 0; i < 3; i++) {
        struct pair pair = {{&nodes[i], &nodes[(i + 1) % 3]}};
        assert_true(world_run_until(world, both_up, &pair, LIMIT_MS));
    }
    unsigned released = 0;
    unsigned sent = 0;
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 3; k++) {
            if (i != k) {
                send_letters(&nodes[i], k + 1, 150, k == 0 ? 300000 : 600, &released, &sent);
            }
        }
    }
    struct echo_state echo = {.nodes = nodes, .expected = 300};
    assert_true(world_run_until(world, all_echoed, &echo, LIMIT_MS));
    assert_int_equal(released, 900);
    assert_int_equal(sent, 900);
    struct peer_status status;
    assert_int_equal(peer_status(nodes[0].hub, 2, &status), 0);
    assert_true(status.up);
    assert_int_equal(status.epoch, 1);
    assert_int_equal(status.queued_messages, 0);
    assert_true(status.bytes_sent > 10000 && status.bytes_received > 10000);
    assert_string_equal(status.last_error, "");
    assert_int_equal(peer_status(nodes[0].hub, 9, &status), HF_ENOTFOUND);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(nodes[i].downs, 0);
        peer_hub_close(nodes[i].hub);
    }
}

static void restart_makes_a_new_epoch(struct world *world)
{
    struct node one;
    struct node two;
    open_pair(world, &one, &two);
    /* The listener goes and comes back: the dialer finds it again. */
    peer_hub_close(one.hub);
    world_run_for(world, 300);
    assert_int_equal(two.downs, 1);
    assert_false(peer_is_up(two.hub, 1));
    struct peer_status status;
    assert_int_equal(peer_status(two.hub, 1, &status), 0);
    assert_true(strlen(status.last_error) > 0);
    node_listen(&one);
    assert_int_equal(peer_hub_add(one.hub, 2, two.address), 0);
    struct pair pair = {{&one, &two}};
    assert_true(world_run_until(world, both_up, &pair, LIMIT_MS));
    assert_int_equal(two.epoch, 2);
    /* The dialer goes and comes back: the listener learns of it. */
    peer_hub_close(two.hub);
    node_listen(&two);
    assert_int_equal(peer_hub_add(two.hub, 1, one.address), 0);
    world_run_for(world, 1500);
    assert_true(both_up(&pair));
    assert_int_equal(one.epoch, 2);
    assert_int_equal(peer_status(two.hub, 1, &status), 0);
    assert_string_equal(status.last_error, "");
    peer_hub_close(one.hub);
    peer_hub_close(two.hub);
}

static void queued_messages_are_dropped(struct world *world)
{
    struct node one;
    struct node two;
    open_pair(world, &one, &two);
    unsigned released = 0;
    unsigned sent = 0;
    send_letters(&two, 7, 3, 100, &released, &sent); /* nobody */
    assert_int_equal(released, 0);                   /* never from inside the call */
    world_run_for(world, 50);
    assert_int_equal(released, 3);
    assert_int_equal(sent, 0);
    /* Far more than the sockets take; then the other side is gone. */
    released = 0;
    send_letters(&two, 1, 40, 3000000, &released, &sent);
    world_run_for(world, 3);
    peer_hub_close(one.hub);
    world_run_for(world, 300);
    assert_false(peer_is_up(two.hub, 1));
    assert_int_equal(released, 40);
    /* While it is down: released at the turn's end, unsent. */
    released = sent = 0;
    send_letters(&two, 1, 5, 100, &released, &sent);
    world_run_for(world, 50);
    assert_int_equal(released, 5);
    assert_int_equal(sent, 0);
    /* Closing releases what waits. */
    send_letters(&two, 1, 5, 100, &released, &sent);
    peer_hub_close(two.hub);
    assert_int_equal(released, 10);
    assert_int_equal(sent, 0);
}

/* ---- a node made of a raw stream ---- */

struct raw {
    struct stream *stream;
    struct incoming incoming;
    int connected;
    unsigned ended;
    unsigned hellos;
    unsigned keepalives;
    int refused_code;
    char refused_text[256];
};

static void raw_connected(void *arg, int result)
{
    ((struct raw *)arg)->connected = result == 0 ? 1 : -1;
}

static int raw_frame(void *arg, const struct frame_header *header, struct hf_bytes payload)
{
    struct raw *raw = arg;
    raw->hellos += header->kind == FRAME_HELLO;
    raw->keepalives += header->kind == FRAME_KEEPALIVE;
    if (header->kind == FRAME_REFUSED) {
        raw->refused_code = handshake_decode_refused(payload);
        snprintf(raw->refused_text, sizeof(raw->refused_text), "%s", hf_error_text());
    }
    return 0;
}

static void raw_received(void *arg, struct hf_bytes bytes)
{
    struct raw *raw = arg;
    assert_int_equal(incoming_feed(&raw->incoming, bytes, raw_frame, raw), 0);
}

static void raw_ended(void *arg, int result)
{
    ((struct raw *)arg)->ended++;
}

static const struct stream_callbacks raw_callbacks = {
    .connected = raw_connected, .received = raw_received, .ended = raw_ended};

static bool raw_is_connected(void *arg)
{
    return ((struct raw *)arg)->connected != 0;
}

static void raw_open(struct raw *raw, struct world *world, const char *address)
{
    *raw = (struct raw){0};
    incoming_init(&raw->incoming, PEER_MESSAGE_SIZE_MAX);
    assert_int_equal(stream_connect(world_loop(world, 2), address, &raw_callbacks, raw, &raw->stream), 0);
    assert_true(world_run_until(world, raw_is_connected, raw, LIMIT_MS));
    assert_int_equal(raw->connected, 1);
}

static void raw_close(struct raw *raw)
{
    stream_close(raw->stream);
    incoming_close(&raw->incoming);
}

static void raw_write(struct raw *raw, struct buffer *bytes)
{
    stream_write(raw->stream, buffer_bytes(bytes));
    buffer_clear(bytes);
}

static bool raw_is_greeted(void *arg)
{
    return ((struct raw *)arg)->hellos > 0;
}

static void raw_hello(struct raw *raw, struct world *world, const struct peer_identity *identity)
{
    struct buffer bytes = {0};
    handshake_append_hello(&bytes, identity, 1);
    raw_write(raw, &bytes);
    assert_true(world_run_until(world, raw_is_greeted, raw, LIMIT_MS));
    buffer_close(&bytes);
}

static void raw_confirm(struct raw *raw, struct world *world)
{
    struct buffer bytes = {0};
    handshake_append_keepalive(&bytes);
    raw_write(raw, &bytes);
    buffer_close(&bytes);
    world_run_for(world, 50);
}

static void raw_say(struct raw *raw, const char *text)
{
    struct buffer bytes = {0};
    uint32_t size = (uint32_t)strlen(text);
    struct frame_header header = {.size = size,
                                  .kind = FRAME_RAFT,
                                  .flags = FRAME_FIRST | FRAME_LAST,
                                  .message_size = size,
                                  .group = 1,
                                  .group_incarnation = 6};
    buffer_extend(&bytes, FRAME_HEADER_SIZE);
    buffer_append_text(&bytes, text);
    frame_seal(bytes.data, &header);
    raw_write(raw, &bytes);
    buffer_close(&bytes);
}

/* Node 1 listens and knows node 2, which a raw stream plays. */
static void open_listener(struct world *world, struct node *one, struct peer_identity *two)
{
    node_open(one, world, 1);
    node_listen(one);
    assert_int_equal(peer_hub_add(one->hub, 2, "127.0.0.1:1"), 0);
    *two = one->identity;
    two->node_id = 2;
    two->node_incarnation = 102;
}

static void old_connections_are_not_heard(struct world *world)
{
    struct node one;
    struct peer_identity two;
    open_listener(world, &one, &two);
    struct raw old;
    struct raw new;
    raw_open(&old, world, one.address);
    raw_hello(&old, world, &two);
    raw_confirm(&old, world);
    raw_say(&old, "first");
    world_run_for(world, 50);
    assert_int_equal(one.received, 1);

    raw_open(&new, world, one.address);
    raw_hello(&new, world, &two);
    raw_say(&old, "still heard");
    world_run_for(world, 50);
    assert_string_equal(one.last, "still heard"); /* until the new one is confirmed */
    assert_int_equal(one.ups, 1);
    raw_confirm(&new, world);
    assert_int_equal(one.ups, 2);
    assert_int_equal(one.downs, 1);
    assert_int_equal(one.epoch, 2);

    if (old.ended == 0) {
        raw_say(&old, "too late");
    }
    raw_say(&new, "second");
    world_run_for(world, 50);
    assert_string_equal(one.last, "second");
    assert_int_equal(one.received, 3); /* not 4 */
    assert_int_equal(old.ended, 1);
    raw_close(&old);
    raw_close(&new);
    world_run_for(world, 50);
    assert_int_equal(one.downs, 2);
    peer_hub_close(one.hub);
}

static bool raw_is_ended(void *arg)
{
    return ((struct raw *)arg)->ended > 0;
}

static void wrong_identities_are_refused(struct world *world)
{
    static const struct {
        const char *what;
        uint64_t node_id;
        uint64_t incarnation;
        uint64_t routing_version;
        uint8_t cluster_first;
        uint32_t protocol_version;
        int code;
        const char *text;
        unsigned is_known; /* the reason shows in the status of node 2 */
    } rows[] = {
        {"version", 2, 102, 1, 'c', 2, HF_EVERSION, "speaks protocol version 2", 0},
        {"cluster", 2, 102, 1, 'x', 1, HF_EMISMATCH, "another cluster", 0},
        {"unknown node", 5, 102, 1, 'c', 1, HF_ENOTFOUND, "not a member", 0},
        {"incarnation", 2, 666, 1, 'c', 1, HF_EMISMATCH, "incarnation of a lost disk", 1},
        {"routing", 2, 102, 3, 'c', 1, HF_EMISMATCH, "routes by version 3", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct node one;
        struct peer_identity two;
        open_listener(world, &one, &two);
        one.refuses_incarnation = 666;
        two.node_id = rows[i].node_id;
        two.node_incarnation = rows[i].incarnation;
        two.routing_version = rows[i].routing_version;
        two.cluster_id[0] = rows[i].cluster_first;
        struct buffer hello = {0};
        handshake_append_hello(&hello, &two, 1);
        bytes_put_u32(hello.data + FRAME_HEADER_SIZE + 4, rows[i].protocol_version);
        struct frame_header header;
        assert_int_equal(frame_header_decode(hello.data, &header), 0);
        frame_seal(hello.data, &header);
        struct raw raw;
        raw_open(&raw, world, one.address);
        raw_write(&raw, &hello);
        assert_true(world_run_until(world, raw_is_ended, &raw, LIMIT_MS));
        if (raw.refused_code != rows[i].code || strstr(raw.refused_text, rows[i].text) == NULL) {
            fail_msg("%s: %d %s", rows[i].what, raw.refused_code, raw.refused_text);
        }
        struct peer_status status;
        assert_int_equal(peer_status(one.hub, 2, &status), 0);
        assert_int_equal(strstr(status.last_error, rows[i].text) != NULL, rows[i].is_known);
        assert_int_equal(one.ups, 0);
        raw_close(&raw);
        buffer_close(&hello);
        peer_hub_close(one.hub);
    }
}

static void a_refused_dialer_is_told(struct world *world)
{
    struct node one;
    struct node two;
    node_open(&one, world, 1);
    node_open(&two, world, 2);
    one.identity.cluster_id[3]++;
    node_listen(&one);
    node_listen(&two);
    connect_pair(&one, &two);
    world_run_for(world, 500);
    struct peer_status status;
    assert_int_equal(peer_status(two.hub, 1, &status), 0);
    assert_non_null(strstr(status.last_error, "the other side refused"));
    assert_non_null(strstr(status.last_error, "another cluster"));
    assert_false(status.up);
    assert_int_equal(one.ups + two.ups, 0);
    peer_hub_close(one.hub);
    peer_hub_close(two.hub);
}

static void malformed_bytes_end_their_connection(struct world *world)
{
    static const struct {
        const char *bytes;
        size_t size;
        unsigned after_handshake;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: somewhere.example\r\n\r\n", 44, 0},
        {"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", 42, 0},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
         "\xff\xff\xff\xff\xff",
         32, 0},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, 1},
        {"\4\0\0\0\1\2\3\4\3\3\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0abcd", 36, 1},
    };
    struct node one;
    struct peer_identity two;
    open_listener(world, &one, &two);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct raw raw;
        raw_open(&raw, world, one.address);
        if (rows[i].after_handshake) {
            raw_hello(&raw, world, &two);
            raw_confirm(&raw, world);
        }
        stream_write(raw.stream, bytes_of(rows[i].bytes, rows[i].size));
        assert_true(world_run_until(world, raw_is_ended, &raw, LIMIT_MS));
        raw_close(&raw);
    }
    assert_int_equal(one.received, 0);
    /* Frames before the handshake, and a second hello after it. */
    struct raw raw;
    raw_open(&raw, world, one.address);
    raw_say(&raw, "no hello");
    assert_true(world_run_until(world, raw_is_ended, &raw, LIMIT_MS));
    raw_close(&raw);
    raw_open(&raw, world, one.address);
    raw_hello(&raw, world, &two);
    raw_confirm(&raw, world);
    struct buffer bytes = {0};
    handshake_append_hello(&bytes, &two, 1);
    raw_write(&raw, &bytes);
    buffer_close(&bytes);
    assert_true(world_run_until(world, raw_is_ended, &raw, LIMIT_MS));
    raw_close(&raw);
    assert_int_equal(one.received, 0);
    assert_int_equal(one.ups, one.downs);
    peer_hub_close(one.hub);
}

static void silent_strangers_are_sent_away(struct world *world)
{
    struct node one;
    struct peer_identity two;
    open_listener(world, &one, &two);
    struct raw raw;
    raw_open(&raw, world, one.address);
    world_run_for(world, PEER_HANDSHAKE_MAX_MS / 2);
    assert_int_equal(raw.ended, 0);
    assert_true(world_run_until(world, raw_is_ended, &raw, PEER_HANDSHAKE_MAX_MS));
    raw_close(&raw);
    /* One that came up is kept alive by keepalives, and ended when it says nothing for long. */
    raw_open(&raw, world, one.address);
    raw_hello(&raw, world, &two);
    raw_confirm(&raw, world);
    assert_int_equal(one.ups, 1);
    world_run_for(world, PEER_SILENCE_MAX_MS - 500);
    assert_int_equal(one.downs, 0);
    assert_true(raw.keepalives >= 7);
    world_run_for(world, 1500);
    assert_int_equal(one.downs, 1);
    struct peer_status status;
    assert_int_equal(peer_status(one.hub, 2, &status), 0);
    assert_non_null(strstr(status.last_error, "heard nothing"));
    raw_close(&raw);
    peer_hub_close(one.hub);
}

static void an_idle_pair_is_kept(struct world *world)
{
    struct node one;
    struct node two;
    open_pair(world, &one, &two);
    world_run_for(world, 3 * PEER_SILENCE_MAX_MS);
    assert_int_equal(one.downs + two.downs, 0);
    peer_hub_close(one.hub);
    peer_hub_close(two.hub);
}

static void addresses_lead_nowhere(struct world *world)
{
    struct node two;
    node_open(&two, world, 2);
    node_listen(&two);
    assert_int_equal(peer_hub_add(two.hub, 1, world->sim != NULL ? "host1:1" : "127.0.0.1:1"), 0);
    assert_int_equal(peer_hub_add(two.hub, 1, "127.0.0.1:1"), HF_EEXISTS);
    assert_int_equal(peer_hub_add(two.hub, 2, "127.0.0.1:1"), HF_EINVALID);
    world_run_for(world, 500);
    struct peer_status status;
    assert_int_equal(peer_status(two.hub, 1, &status), 0);
    assert_false(status.up);
    assert_true(strlen(status.last_error) > 0);
    assert_int_equal(two.ups, 0);
    peer_hub_close(two.hub);

    node_listen(&two);
    assert_int_equal(peer_hub_add(two.hub, 1, "no port in here"), 0);
    world_run_for(world, 200);
    assert_int_equal(peer_status(two.hub, 1, &status), 0);
    assert_true(strlen(status.last_error) > 0);
    peer_hub_close(two.hub);
}

static void in_the_simulator(void (*check)(struct world *world))
{
    struct world world;
    world_open_sim(&world);
    check(&world);
    world_close(&world);
}

static void over_both(void (*check)(struct world *world))
{
    struct world world;
    world_open_uv(&world);
    check(&world);
    world_close(&world);
    in_the_simulator(check);
}

static void three_hubs_echo_each_others_messages_whole_and_equal(void **state)
{
    over_both(three_hubs_echo);
}

static void a_restart_of_either_side_makes_a_new_epoch(void **state)
{
    over_both(restart_makes_a_new_epoch);
}

static void queued_messages_are_dropped_and_released_exactly_once(void **state)
{
    over_both(queued_messages_are_dropped);
}

static void GE_no_message_of_an_old_connection_is_delivered(void **state)
{
    over_both(old_connections_are_not_heard);
}

static void wrong_identities_are_refused_and_both_sides_keep_the_reason(void **state)
{
    over_both(wrong_identities_are_refused);
}

static void a_refused_dialer_learns_why(void **state)
{
    over_both(a_refused_dialer_is_told);
}

static void H20_malformed_bytes_end_their_connection_and_nothing_else(void **state)
{
    over_both(malformed_bytes_end_their_connection);
}

static void addresses_that_lead_nowhere_show_in_status(void **state)
{
    over_both(addresses_lead_nowhere);
}

/* Long waits cost nothing in the simulator. */
static void silent_strangers_and_silent_nodes_are_sent_away(void **state)
{
    in_the_simulator(silent_strangers_are_sent_away);
}

static void an_idle_pair_stays_up(void **state)
{
    in_the_simulator(an_idle_pair_is_kept);
}

int main(void)
{
    trace_set_level(TRACE_ERROR);
#ifdef HF_MUTATIONS
    const char *mutation = getenv("HOLDFAST_MUTATION");
    if (mutation != NULL && mutation_enable(mutation) != 0) {
        return 2;
    }
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_hubs_echo_each_others_messages_whole_and_equal),
        cmocka_unit_test(a_restart_of_either_side_makes_a_new_epoch),
        cmocka_unit_test(queued_messages_are_dropped_and_released_exactly_once),
        cmocka_unit_test(GE_no_message_of_an_old_connection_is_delivered),
        cmocka_unit_test(wrong_identities_are_refused_and_both_sides_keep_the_reason),
        cmocka_unit_test(a_refused_dialer_learns_why),
        cmocka_unit_test(H20_malformed_bytes_end_their_connection_and_nothing_else),
        cmocka_unit_test(addresses_that_lead_nowhere_show_in_status),
        cmocka_unit_test(silent_strangers_and_silent_nodes_are_sent_away),
        cmocka_unit_test(an_idle_pair_stays_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
