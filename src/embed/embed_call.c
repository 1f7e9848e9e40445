/* Calls that are answered later: proposals, reads, snapshots, transfers, and waiting for any of them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "embed/embed.h"
#include "embed/embed_values.h"
#include "node/router.h"

/* ---- Waiting ---- */

struct hf_node_waiter {
    struct mutex mutex;
    struct condition condition;
    bool is_answered;
    struct hf_node_result result; /* reply and text are its own, below */
    struct buffer reply;
    char text[ERROR_TEXT_SIZE_MAX];
};

int hf_node_waiter_open(struct hf_node_waiter **out)
{
    struct hf_node_waiter *waiter = memory_new(sizeof(*waiter));
    mutex_init(&waiter->mutex);
    condition_init(&waiter->condition);
    *out = waiter;
    return 0;
}

void hf_node_waiter_close(struct hf_node_waiter *waiter)
{
    if (waiter == NULL) {
        return;
    }
    condition_close(&waiter->condition);
    mutex_close(&waiter->mutex);
    buffer_close(&waiter->reply);
    free(waiter);
}

void hf_node_answer(void *arg, const struct hf_node_result *result)
{
    struct hf_node_waiter *waiter = arg;
    mutex_lock(&waiter->mutex);
    waiter->result = *result;
    buffer_clear(&waiter->reply);
    buffer_append_bytes(&waiter->reply, result->reply);
    waiter->result.reply = buffer_bytes(&waiter->reply);
    snprintf(waiter->text, sizeof(waiter->text), "%s", result->text);
    waiter->result.text = waiter->text;
    waiter->is_answered = true;
    condition_signal(&waiter->condition);
    mutex_unlock(&waiter->mutex);
}

int hf_node_wait(struct hf_node_waiter *waiter, int called, struct hf_node_result *result)
{
    if (result != NULL) {
        *result = (struct hf_node_result){.result = called, .text = called != 0 ? hf_error_text() : ""};
    }
    if (called != 0) {
        return called;
    }
    int rc = embed_may_wait("wait for an answer");
    if (rc != 0) {
        return rc;
    }
    mutex_lock(&waiter->mutex);
    while (!waiter->is_answered) {
        condition_wait(&waiter->condition, &waiter->mutex);
    }
    waiter->is_answered = false;
    mutex_unlock(&waiter->mutex);
    if (result != NULL) {
        *result = waiter->result;
    }
    return waiter->result.result != 0 ? error_restore(waiter->result.result, waiter->text) : 0;
}

/* ---- Handing over ---- */

int embed_call_start(struct hf_node *embed, embed_run *run, uint64_t group, uint64_t number, struct hf_bytes payload,
                     hf_node_done *done, void *arg)
{
    if (payload.size > HF_NODE_COMMAND_SIZE_MAX) {
        return error_raise(HF_ETOOBIG, "%zu bytes are above the limit of %u", payload.size, HF_NODE_COMMAND_SIZE_MAX);
    }
    struct embed_call *call = embed_call_new(embed, run, payload);
    call->group = group;
    call->number = number;
    call->done = done;
    call->arg = arg;
    return embed_hand_over(call);
}

bool embed_call_is_served(struct hf_node *embed, struct embed_call *call)
{
    if (embed->node != NULL && embed->failure == 0) {
        return true;
    }
    error_raise(HF_ECLOSED, "the node is closed");
    embed_call_done(call, HF_ECLOSED, (struct hf_bytes){0}, 0);
    return false;
}

static int embed_call_check_own(const struct hf_node *embed)
{
    return embed->has_own_machine
               ? 0
               : error_raise(HF_EUNSUPPORTED,
                             "this node has the built-in machine, which takes hf_node_put and its kin");
}

static void embed_call_run_propose(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_propose(embed->node, call->group, call->payload, embed_call_done, call);
    }
}

int hf_node_propose(struct hf_node *embed, uint64_t group, struct hf_bytes command, hf_node_done *done, void *arg)
{
    int rc = embed_call_check_own(embed);
    return rc != 0 ? rc : embed_call_start(embed, embed_call_run_propose, group, 0, command, done, arg);
}

static void embed_call_run_propose_here(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_propose_here(embed->node, call->group, call->payload, embed_call_done, call);
    }
}

int hf_node_propose_here(struct hf_node *embed, uint64_t group, struct hf_bytes command, hf_node_done *done, void *arg)
{
    int rc = embed_call_check_own(embed);
    return rc != 0 ? rc : embed_call_start(embed, embed_call_run_propose_here, group, 0, command, done, arg);
}

static void embed_call_run_read(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_read(embed->node, call->group, (enum node_read_mode)call->number, call->payload, embed_call_done, call);
    }
}

static int embed_call_check_mode(enum hf_node_read_mode mode)
{
    return mode == HF_NODE_READ_LINEARIZABLE || mode == HF_NODE_READ_STALE
               ? 0
               : error_raise(HF_EINVALID, "%d is no mode of reading", (int)mode);
}

static uint64_t embed_call_mode(enum hf_node_read_mode mode)
{
    return mode == HF_NODE_READ_STALE ? NODE_READ_STALE : NODE_READ_LINEARIZABLE;
}

int hf_node_read(struct hf_node *embed, uint64_t group, enum hf_node_read_mode mode, struct hf_bytes query,
                 hf_node_done *done, void *arg)
{
    int rc = embed_call_check_own(embed);
    rc = rc == 0 ? embed_call_check_mode(mode) : rc;
    return rc != 0 ? rc : embed_call_start(embed, embed_call_run_read, group, embed_call_mode(mode), query, done, arg);
}

static void embed_call_run_barrier(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_barrier(embed->node, call->group, embed_call_done, call);
    }
}

int hf_node_barrier(struct hf_node *embed, uint64_t group, hf_node_done *done, void *arg)
{
    return embed_call_start(embed, embed_call_run_barrier, group, 0, (struct hf_bytes){0}, done, arg);
}

static void embed_call_run_snapshot(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_snapshot(embed->node, call->group, embed_call_done, call);
    }
}

int hf_node_snapshot(struct hf_node *embed, uint64_t group, hf_node_done *done, void *arg)
{
    return embed_call_start(embed, embed_call_run_snapshot, group, 0, (struct hf_bytes){0}, done, arg);
}

static void embed_call_run_transfer(struct hf_node *embed, struct embed_call *call)
{
    if (!embed_call_is_served(embed, call)) {
        return;
    }
    int rc = node_transfer(embed->node, call->group, call->number);
    if (rc == HF_ENOTLEADER) {
        node_forward_transfer(embed->node, call->group, call->number, embed_call_done, call);
    } else {
        embed_call_done(call, rc, (struct hf_bytes){0}, 0);
    }
}

int hf_node_transfer(struct hf_node *embed, uint64_t group, uint64_t to_node, hf_node_done *done, void *arg)
{
    return embed_call_start(embed, embed_call_run_transfer, group, to_node, (struct hf_bytes){0}, done, arg);
}

/* ---- The built-in machine ---- */

uint64_t hf_node_route(const struct hf_node *embed, struct hf_bytes key)
{
    return NODE_GROUP_FIRST + router_ordinal(key, embed->group_count);
}

/* What the machine replied, as a result. */
static void embed_call_value_done(void *arg, int result, struct hf_bytes bytes, uint64_t index)
{
    struct embed_call *call = arg;
    struct embed_values_reply reply = {0};
    if (result == 0) {
        result = embed_values_reply(bytes, &reply);
        call->existed = reply.existed;
    }
    if (result == 0 && !reply.holds) {
        result = error_raise(HF_ECONFLICT, "the key has another value than was expected");
    } else if (result == 0 && !reply.existed && call->number != 0) {
        result = error_raise(HF_ENOTFOUND, "there is no such key");
    }
    embed_call_done(call, result, reply.value, index);
}

static void embed_call_run_change(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_propose(embed->node, call->group, call->payload, embed_call_value_done, call);
    }
}

static void embed_call_run_get(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_read(embed->node, call->group, NODE_READ_LINEARIZABLE, call->payload, embed_call_value_done, call);
    }
}

static void embed_call_run_get_stale(struct hf_node *embed, struct embed_call *call)
{
    if (embed_call_is_served(embed, call)) {
        node_read(embed->node, call->group, NODE_READ_STALE, call->payload, embed_call_value_done, call);
    }
}

static int embed_call_check_key(const struct hf_node *embed, struct hf_bytes key)
{
    if (embed->has_own_machine) {
        return error_raise(HF_EUNSUPPORTED, "this node has a machine of its own, which has no keys");
    }
    return key.size <= HF_NODE_KEY_SIZE_MAX
               ? 0
               : error_raise(HF_ETOOBIG, "a key of %zu bytes is above the limit of %u", key.size, HF_NODE_KEY_SIZE_MAX);
}

static int embed_call_check_value(const struct hf_bytes *value)
{
    return value == NULL || value->size <= HF_NODE_VALUE_SIZE_MAX
               ? 0
               : error_raise(HF_ETOOBIG, "a value of %zu bytes is above the limit of %u", value->size,
                             HF_NODE_VALUE_SIZE_MAX);
}

/* needs_key: that the key is missing is an answer of its own. */
static int embed_call_start_value(struct hf_node *embed, embed_run *run, struct hf_bytes key, uint64_t needs_key,
                                  struct buffer *command, hf_node_done *done, void *arg)
{
    int rc = embed_call_start(embed, run, hf_node_route(embed, key), needs_key, buffer_bytes(command), done, arg);
    buffer_close(command);
    return rc;
}

int hf_node_put(struct hf_node *embed, struct hf_bytes key, struct hf_bytes value, hf_node_done *done, void *arg)
{
    struct buffer command = {0};
    int rc = embed_call_check_key(embed, key);
    rc = rc == 0 ? embed_call_check_value(&value) : rc;
    if (rc != 0) {
        return rc;
    }
    embed_values_put(key, value, &command);
    return embed_call_start_value(embed, embed_call_run_change, key, 0, &command, done, arg);
}

int hf_node_delete(struct hf_node *embed, struct hf_bytes key, hf_node_done *done, void *arg)
{
    struct buffer command = {0};
    int rc = embed_call_check_key(embed, key);
    if (rc != 0) {
        return rc;
    }
    embed_values_delete(key, &command);
    return embed_call_start_value(embed, embed_call_run_change, key, 1, &command, done, arg);
}

int hf_node_compare_and_swap(struct hf_node *embed, struct hf_bytes key, const struct hf_bytes *expected,
                             const struct hf_bytes *value, hf_node_done *done, void *arg)
{
    struct buffer command = {0};
    int rc = embed_call_check_key(embed, key);
    rc = rc == 0 ? embed_call_check_value(expected) : rc;
    rc = rc == 0 ? embed_call_check_value(value) : rc;
    if (rc != 0) {
        return rc;
    }
    embed_values_swap(key, expected, value, &command);
    return embed_call_start_value(embed, embed_call_run_change, key, 0, &command, done, arg);
}

int hf_node_get(struct hf_node *embed, enum hf_node_read_mode mode, struct hf_bytes key, hf_node_done *done, void *arg)
{
    struct buffer query = {0};
    int rc = embed_call_check_key(embed, key);
    rc = rc == 0 ? embed_call_check_mode(mode) : rc;
    if (rc != 0) {
        return rc;
    }
    embed_values_get(key, &query);
    return embed_call_start_value(embed, mode == HF_NODE_READ_STALE ? embed_call_run_get_stale : embed_call_run_get,
                                  key, 1, &query, done, arg);
}
