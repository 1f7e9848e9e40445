#include "server/session_wait.h"

#include <stdlib.h>

#include "server/argument.h"
#include "server/server_state.h"

struct session_wait {
    struct session *session;
    struct call *call;
    struct loop_timer timer;
    uint64_t deadline_ms;
    int64_t wanted;
    bool is_aof;
};

/* How many other nodes are there, and connected. */
static unsigned session_wait_connected(struct server *server)
{
    const struct membership *membership = node_membership(server->node);
    unsigned count = 0;
    for (uint32_t i = 0; i < membership->count; i++) {
        uint64_t id = membership->members[i].node.id;
        count += id != node_id(server->node) && peer_is_up(node_peers(server->node), id);
    }
    return count;
}

/* Voters besides the leader that hold every acknowledged write of this connection. An acknowledged write is on a
 * majority; where the group is led here, it is known exactly. */
static int64_t session_wait_count(struct session *session)
{
    struct server *server = session->server;
    unsigned voters = membership_voters(node_membership(server->node));
    int64_t least = -1;
    size_t position = 0;
    uint64_t group = 0;
    void *value = NULL;
    while (map_next(&session->lanes, &position, &group, &value)) {
        const struct lane *lane = value;
        if (lane->index_last == 0) {
            continue;
        }
        unsigned holding = node_voters_at(server->node, group, lane->index_last);
        unsigned majority = voters / 2 + 1;
        int64_t others = (int64_t)(holding > majority ? holding : majority) - 1;
        least = least < 0 || others < least ? others : least;
    }
    if (least < 0) {
        /* Nothing was written: every replica has it. */
        return voters > 1 ? session_wait_connected(server) : 0;
    }
    return least;
}

static void session_wait_reply(bool is_aof, int64_t count, struct reply *reply)
{
    if (is_aof) {
        reply_array(reply, 2);
        reply_integer(reply, 1); /* acknowledged means durable, here too or on a majority */
    }
    reply_integer(reply, count);
}

void session_wait_close(struct session *session)
{
    struct session_wait *wait = session->wait;
    if (wait != NULL) {
        loop_timer_stop(session->server->loop, &wait->timer);
        free(wait);
        session->wait = NULL;
    }
}

static void session_wait_look(void *arg)
{
    struct session_wait *wait = arg;
    struct session *session = wait->session;
    struct loop *loop = session->server->loop;
    int64_t count = session_wait_count(session);
    if (count < wait->wanted && loop_now_ms(loop) < wait->deadline_ms) {
        loop_timer_set(loop, &wait->timer, loop_now_ms(loop) + SESSION_WAIT_POLL_MS);
        return;
    }
    struct call *call = wait->call;
    struct buffer answer = {0};
    struct reply reply = reply_of(&answer, call->protocol);
    session_wait_reply(wait->is_aof, count, &reply);
    session_wait_close(session);
    call_answer(call, buffer_bytes(&answer));
    buffer_close(&answer);
}

static int session_wait_begin(struct session *session, int64_t wanted, struct hf_bytes timeout, bool is_aof,
                              struct reply *reply)
{
    int64_t timeout_ms = 0;
    if (!argument_integer(timeout, &timeout_ms)) {
        reply_error(reply, "ERR timeout is not an integer or out of range");
        return SESSION_ANSWERED;
    }
    if (timeout_ms < 0) {
        reply_error(reply, "ERR timeout is negative");
        return SESSION_ANSWERED;
    }
    int64_t count = session_wait_count(session);
    if (count >= wanted) {
        session_wait_reply(is_aof, count, reply);
        return SESSION_ANSWERED;
    }
    struct server *server = session->server;
    uint64_t limit_ms = server->request_timeout_ms; /* 0 is for ever in Redis; here nothing waits longer than this */
    limit_ms = timeout_ms > 0 && (uint64_t)timeout_ms < limit_ms ? (uint64_t)timeout_ms : limit_ms;
    struct session_wait *wait = memory_new(sizeof(*wait));
    wait->session = session;
    wait->call = session->current;
    wait->wanted = wanted;
    wait->is_aof = is_aof;
    wait->deadline_ms = loop_now_ms(server->loop) + limit_ms;
    wait->timer = (struct loop_timer){.fire = session_wait_look, .arg = wait};
    session->wait = wait;
    loop_timer_set(server->loop, &wait->timer, loop_now_ms(server->loop) + SESSION_WAIT_POLL_MS);
    return SESSION_LATER;
}

int session_wait_replicas(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    int64_t wanted = 0;
    if (!argument_integer(arguments->items[1], &wanted)) {
        reply_error(reply, "ERR value is not an integer or out of range");
        return SESSION_ANSWERED;
    }
    return session_wait_begin(session, wanted, arguments->items[2], false, reply);
}

int session_wait_aof(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    int64_t local = 0;
    int64_t wanted = 0;
    if (!argument_integer(arguments->items[1], &local) || !argument_integer(arguments->items[2], &wanted)) {
        reply_error(reply, "ERR value is not an integer or out of range");
        return SESSION_ANSWERED;
    }
    if (local < 0 || local > 1) {
        reply_error(reply, "ERR value is out of range, value must between 0 and 1");
        return SESSION_ANSWERED;
    }
    return session_wait_begin(session, wanted, arguments->items[3], true, reply);
}
