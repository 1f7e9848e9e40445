#include "embed/embed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/trace.h"
#include "embed/embed_values.h"
#include "log/log_options.h"

#define EMBED_LEAVE_LOOK_NS (10u * 1000u * 1000u) /* how often hf_node_leave looks */

static _Thread_local struct hf_node *embed_here; /* whose thread this is; NULL: none's */

int embed_may_wait(const char *what)
{
    return embed_here == NULL && !embed_machine_is_calling()
               ? 0
               : error_raise(HF_EUNSAFE, "a callback of a node cannot %s: who is waited for may be waiting for it",
                             what);
}

/* ---- Calls ---- */

struct embed_call *embed_call_new(struct hf_node *embed, embed_run *run, struct hf_bytes payload)
{
    struct embed_call *call = memory_new(sizeof(*call) + payload.size);
    call->embed = embed;
    call->run = run;
    call->bytes = sizeof(*call) + payload.size;
    if (payload.size > 0) {
        memcpy(call->copy, payload.data, payload.size);
    }
    call->payload = bytes_of(call->copy, payload.size);
    list_init(&call->link);
    return call;
}

static void embed_take_in(void *arg)
{
    struct hf_node *embed = arg;
    struct list calls;
    list_init(&calls);
    mutex_lock(&embed->mutex);
    list_splice(&calls, &embed->inbox);
    embed->inbox_bytes = 0;
    embed->inbox_count = 0;
    embed->is_posted = false;
    mutex_unlock(&embed->mutex);
    while (!list_empty(&calls)) {
        struct embed_call *call = list_entry(calls.next, struct embed_call, link);
        list_remove(&call->link);
        call->run(embed, call);
    }
}

int embed_hand_over(struct embed_call *call)
{
    struct hf_node *embed = call->embed;
    int rc = 0;
    mutex_lock(&embed->mutex);
    if (embed->is_closing) {
        rc = HF_ECLOSED;
    } else if (embed->inbox_count == HF_NODE_CALLS_MAX ||
               (embed->inbox_count > 0 && call->bytes > HF_NODE_CALLS_BYTES_MAX - embed->inbox_bytes)) {
        rc = HF_EBUSY;
    } else {
        list_append(&embed->inbox, &call->link);
        embed->inbox_bytes += call->bytes < HF_NODE_CALLS_BYTES_MAX ? call->bytes : HF_NODE_CALLS_BYTES_MAX;
        embed->inbox_count++;
        if (!embed->is_posted) {
            embed->is_posted = true;
            loop_post(embed->loop, embed_take_in, embed);
        }
    }
    mutex_unlock(&embed->mutex);
    if (rc != 0) {
        free(call);
        error_raise(rc, rc == HF_ECLOSED ? "the node is being closed" : "too many calls wait for the node's thread");
    }
    return rc;
}

void embed_answer(struct embed_call *call, int result, struct hf_bytes reply, uint64_t index)
{
    struct hf_node *embed = call->embed;
    const struct hf_node_result answer = {.result = result,
                                          .index = index,
                                          .leader = embed->node != NULL ? node_leader(embed->node, call->group) : 0,
                                          .reply = reply,
                                          .existed = call->existed,
                                          .text = result != 0 ? hf_error_text() : ""};
    if (call->done != NULL) {
        call->done(call->arg, &answer);
    }
    free(call);
}

void embed_call_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct embed_call *call = arg;
    struct hf_node *embed = call->embed;
    if (result == HF_ECLOSED && embed->failure != 0) {
        result = error_restore(HF_EPOISONED, embed->failure_text);
    }
    embed_answer(call, result, reply, result == HF_ENOLEADER ? 0 : index); /* that one's is a leader's id */
}

/* ---- Looking ---- */

struct embed_look_call {
    struct embed_call *call;
    int (*look)(struct hf_node *embed, void *arg);
    void *arg;
    struct mutex mutex;
    struct condition condition;
    bool is_done;
    int result;
    char text[ERROR_TEXT_SIZE_MAX];
};

static void embed_look_run(struct hf_node *embed, struct embed_call *call)
{
    struct embed_look_call *waiting = call->arg;
    int rc = embed->node != NULL ? waiting->look(embed, waiting->arg) : error_raise(HF_ECLOSED, "the node is closed");
    free(call);
    if (rc != 0) {
        error_text_copy(waiting->text, sizeof(waiting->text));
    }
    mutex_lock(&waiting->mutex);
    waiting->result = rc;
    waiting->is_done = true;
    condition_signal(&waiting->condition);
    mutex_unlock(&waiting->mutex);
}

int embed_look(struct hf_node *embed, int (*look)(struct hf_node *embed, void *arg), void *arg)
{
    if (embed_here == embed) {
        bool is_there = embed->node != NULL && !embed->is_stopping;
        return is_there ? look(embed, arg) : error_raise(HF_ECLOSED, "the node is closed");
    }
    int rc = embed_may_wait("wait for the thread of a node");
    if (rc != 0) {
        return rc;
    }
    struct embed_look_call waiting = {.look = look, .arg = arg};
    struct embed_call *call = embed_call_new(embed, embed_look_run, (struct hf_bytes){0});
    call->arg = &waiting;
    mutex_init(&waiting.mutex);
    condition_init(&waiting.condition);
    rc = embed_hand_over(call);
    if (rc == 0) {
        mutex_lock(&waiting.mutex);
        while (!waiting.is_done) {
            condition_wait(&waiting.condition, &waiting.mutex);
        }
        mutex_unlock(&waiting.mutex);
        rc = waiting.result != 0 ? error_restore(waiting.result, waiting.text) : 0;
    }
    condition_close(&waiting.condition);
    mutex_close(&waiting.mutex);
    return rc;
}

/* ---- Callbacks of the node ---- */

static void embed_fatal(void *arg, int result, const char *text)
{
    struct hf_node *embed = arg;
    embed->failure = result;
    snprintf(embed->failure_text, sizeof(embed->failure_text), "%s", text);
    if (embed->options.failed != NULL) {
        embed->options.failed(embed->options.callback_arg, result, embed->failure_text);
    }
}

static void embed_group_changed(void *arg, uint64_t group, enum replica_state state, uint64_t term, uint64_t leader)
{
    static const enum hf_node_role roles[] = {[REPLICA_FOLLOWER] = HF_NODE_FOLLOWER,
                                              [REPLICA_CANDIDATE] = HF_NODE_CANDIDATE,
                                              [REPLICA_LEADER] = HF_NODE_LEADER,
                                              [REPLICA_FROZEN] = HF_NODE_STOPPED};
    struct hf_node *embed = arg;
    if (embed->options.changed != NULL && group != NODE_SYSTEM_GROUP) {
        embed->options.changed(embed->options.callback_arg, group, roles[state], term, leader);
    }
}

/* ---- Life ---- */

static void embed_turn(void *arg)
{
    embed_here = arg;
    loop_run(((struct hf_node *)arg)->loop);
    embed_here = NULL;
}

/* In the thread that used the log: the kernel fails what a thread that ends has in flight. */
static void embed_stop(void *arg)
{
    struct hf_node *embed = arg;
    embed->is_stopping = true;
    node_close(embed->node);
    embed->node = NULL; /* calls that are taken in from here on are answered so */
    loop_stop(embed->loop);
}

void hf_node_options_init(struct hf_node_options *options)
{
    *options = (struct hf_node_options){0};
    hf_log_options_init(&options->log);
    options->election_timeout_ms = REPLICA_ELECTION_TIMEOUT_MS_DEFAULT;
    options->heartbeat_timeout_ms = REPLICA_HEARTBEAT_TIMEOUT_MS_DEFAULT;
    options->request_timeout_ms = NODE_REQUEST_TIMEOUT_MS_DEFAULT;
}

static int embed_check_options(const struct hf_node_options *options)
{
    if (options->log.backend != HF_LOG_FILE || options->log.read_only) {
        return error_raise(HF_EINVALID, "the log of a node is on files, and written");
    }
    unsigned heartbeat_ms =
        options->heartbeat_timeout_ms != 0 ? options->heartbeat_timeout_ms : REPLICA_HEARTBEAT_TIMEOUT_MS_DEFAULT;
    unsigned election_ms =
        options->election_timeout_ms != 0 ? options->election_timeout_ms : REPLICA_ELECTION_TIMEOUT_MS_DEFAULT;
    if (heartbeat_ms >= election_ms) {
        return error_raise(HF_EINVALID, "heartbeat_timeout_ms (%u) must be below election_timeout_ms (%u)",
                           heartbeat_ms, election_ms);
    }
    if (options->snapshot_keep_latest == 1) {
        return error_raise(HF_EINVALID,
                           "snapshot_keep_latest is at least 2: the log reaches back to the second newest");
    }
    return log_options_check(&options->log);
}

static int embed_open_node(struct hf_node *embed, const char *directory)
{
    const struct hf_node_options *options = &embed->options;
    const struct node_options node_options = {
        .directory = directory,
        .log = options->log,
        .election_timeout_ms = options->election_timeout_ms,
        .heartbeat_timeout_ms = options->heartbeat_timeout_ms,
        .request_timeout_ms = options->request_timeout_ms,
        .memory_limit_bytes = options->memory_limit_bytes,
        .peer_listen = options->peer_listen,
        .log_here = true, /* the thread has nothing else to do */
        .snapshot = {.is_off = options->snapshots_off,
                     .directory = options->snapshot_directory,
                     .format = options->snapshot_format,
                     .keep_latest = options->snapshot_keep_latest,
                     .entries = options->snapshot_entries,
                     .log_bytes = options->snapshot_log_bytes,
                     .interval_ms = options->snapshot_interval_ms,
                     .trail = options->snapshot_trail},
    };
    const struct node_callbacks callbacks = {.fatal = embed_fatal, .group_changed = embed_group_changed};
    return node_open(embed->io, embed->loop, &node_options, &embed->host.ops, &callbacks, embed, &embed->node);
}

static int embed_open(struct hf_node *embed, const char *directory)
{
    static const enum io_backend backends[] = {[HF_LOG_IO_AUTO] = IO_BACKEND_AUTO,
                                               [HF_LOG_IO_URING] = IO_BACKEND_URING,
                                               [HF_LOG_IO_THREADS] = IO_BACKEND_THREADS};
    int rc = io_open_kernel(backends[embed->options.log.io], &embed->io);
    if (rc == 0) {
        rc = loop_open(embed->io, &embed->loop);
    }
    if (rc == 0) {
        rc = embed_open_node(embed, directory);
    }
    if (rc == 0) {
        embed->group_count = node_group_count(embed->node);
        rc = executor_open("node", embed_turn, embed, &embed->executor);
    }
    return rc;
}

static void embed_close(struct hf_node *embed)
{
    if (embed == NULL) {
        return;
    }
    mutex_lock(&embed->mutex);
    embed->is_closing = true;
    mutex_unlock(&embed->mutex);
    if (embed->executor != NULL) {
        executor_stop(embed->executor);
        loop_post(embed->loop, embed_stop, embed); /* where the thread has not begun yet, loop_close runs it */
        executor_close(embed->executor);
    } else {
        node_close(embed->node);
    }
    struct hf_node *before = embed_here;
    embed_here = embed;      /* whoever is answered now must not wait for this thread */
    loop_close(embed->loop); /* runs what was posted: calls that nobody took in are answered */
    embed_here = before;
    io_close(embed->io);
    mutex_close(&embed->mutex);
    free(embed);
}

int hf_node_open(const char *directory, const struct hf_node_options *options, struct hf_node **out)
{
    struct hf_node_options defaults;
    hf_node_options_init(&defaults);
    *out = NULL;
    struct hf_node *embed = memory_new(sizeof(*embed));
    embed->options = options != NULL ? *options : defaults;
    embed->has_own_machine = embed->options.machine != NULL;
    mutex_init(&embed->mutex);
    list_init(&embed->inbox);
    int rc = embed_check_options(&embed->options);
    if (rc == 0) {
        rc = embed_machine_init(&embed->host, embed->has_own_machine ? embed->options.machine : embed_values_machine(),
                                embed->has_own_machine ? EMBED_ENTRY_OWN : EMBED_ENTRY_VALUES,
                                embed->has_own_machine ? NULL : embed_values_check);
    }
    if (rc == 0) {
        rc = embed_open(embed, directory);
    }
    if (rc == 0) {
        *out = embed;
        embed = NULL; /* the caller owns it now */
    }
    embed_close(embed);
    return rc;
}

int hf_node_close(struct hf_node *embed)
{
    int rc = embed != NULL ? embed_may_wait("close a node") : 0;
    if (rc != 0) {
        TRACE(TRACE_ERROR, "node", "the node stays open: %s", hf_error_text());
        return rc;
    }
    embed_close(embed);
    return 0;
}

/* ---- Leaving ---- */

static int embed_look_leave(struct hf_node *embed, void *arg)
{
    node_leave(embed->node);
    return 0;
}

static int embed_look_leading(struct hf_node *embed, void *arg)
{
    *(bool *)arg = node_is_leading(embed->node);
    return 0;
}

int hf_node_leave(struct hf_node *embed, uint32_t wait_ms)
{
    int rc = embed_may_wait("wait until nothing is led here");
    if (rc != 0) {
        return rc;
    }
    struct mutex mutex;
    struct condition never;
    uint64_t until_ns = io_monotonic_ns(embed->io) + wait_ms * UINT64_C(1000000);
    bool is_leading = true;
    mutex_init(&mutex);
    condition_init(&never);
    rc = embed_look(embed, embed_look_leave, NULL);
    while (rc == 0) {
        rc = embed_look(embed, embed_look_leading, &is_leading);
        if (rc != 0 || !is_leading || io_monotonic_ns(embed->io) >= until_ns) {
            break;
        }
        mutex_lock(&mutex);
        condition_wait_for(&never, &mutex, EMBED_LEAVE_LOOK_NS);
        mutex_unlock(&mutex);
    }
    condition_close(&never);
    mutex_close(&mutex);
    return rc == 0 && is_leading ? error_raise(HF_ETIMEOUT, "some group is led here still") : rc;
}
