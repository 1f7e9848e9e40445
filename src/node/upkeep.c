#include "node/upkeep.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/trace.h"
#include "node/balance.h"
#include "node/fetch.h"
#include "node/handout.h"
#include "node/members.h"
#include "node/offer.h"
#include "node/reconcile.h"
#include "node/repair.h"
#include "node/system_group.h"

#define UPKEEP_SCAN_BYTES (1u << 20)

/* ---- The system group: registrations ---- */

static void upkeep_system_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct node *node = arg;
    node->system_in_flight = false;
}

static struct system_group *upkeep_system(const struct node *node)
{
    return node->groups[0].machine;
}

/* As leader of the system group: proposes what the cluster has not agreed on yet. */
static void upkeep_propose_system(struct node *node)
{
    struct hosted_group *group = &node->groups[0];
    struct system_group *system = upkeep_system(node);
    struct buffer command = {0};
    if (!hosted_group_is_led_here(group) || node->system_in_flight) {
        return;
    }
    if (!system_group_has_description(system)) {
        system_group_describe(node->description, &command);
    } else {
        for (uint32_t i = 0; i < node->peer_count && command.size == 0; i++) {
            const struct node_peer *peer = &node->peers[i];
            const struct membership_member *member = membership_find(system_group_membership(system), peer->id);
            if (peer->incarnation != 0 && member != NULL && member->incarnation == 0) {
                system_group_register(peer->id, peer->incarnation, &command);
            }
        }
        reconcile_system(node, &command);
    }
    if (command.size > 0) {
        struct proposal_owner owner = {upkeep_system_done, node};
        node->system_in_flight = hosted_group_propose(group, buffer_bytes(&command), owner, false) == 0;
    }
    buffer_close(&command);
}

static void upkeep_see_registration(void *arg, uint64_t node_id, uint64_t incarnation)
{
    struct node *node = arg;
    struct node_peer *peer = node_peer(node, node_id);
    if (peer != NULL && peer != node->self && peer->incarnation == 0) {
        peer->incarnation = incarnation;
    } else if (peer == node->self && peer->incarnation != incarnation) {
        node->failure = HF_EMISMATCH;
    }
}

static int upkeep_refuse_copy(const struct node *node)
{
    return error_raise(HF_EMISMATCH,
                       "node %" PRIu64 " is known to the cluster under another incarnation than this data directory's: "
                       "its log was copied here from somewhere else",
                       node->id);
}

/* Before anything is committed, the log already says under which incarnations the nodes are known. */
int upkeep_scan_registrations(struct node *node)
{
    struct hf_log_group_state state;
    int rc = hf_log_group_state(node->log, NODE_SYSTEM_GROUP, &state);
    uint64_t index = state.first_index;
    if (rc != 0 || state.damaged) {
        return rc; /* the group will not start, and says why */
    }
    while (rc == 0 && index <= state.last_index) {
        struct hf_log_view view = {0};
        rc = hf_log_read(node->log, NODE_SYSTEM_GROUP, index, state.last_index + 1, UPKEEP_SCAN_BYTES, 0, &view);
        for (size_t i = 0; rc == 0 && i < view.count; i++) {
            if (view.entries[i].type == HF_ENTRY_NORMAL) {
                /* An entry that this program does not know stops the group when it is applied, not here. */
                (void)system_group_scan(view.entries[i].payload, upkeep_see_registration, node);
            }
        }
        index += view.count;
        hf_log_view_close(&view);
    }
    if (rc == HF_ECORRUPT || rc == HF_EIO) {
        /* The trouble of this one group, which will not start, or comes to know them when it applies its log. Until
         * then the file of the members says who is known as what. */
        TRACE(TRACE_WARN, "node", "group %u: its log could not be looked through for the nodes' incarnations: %s: %s",
              NODE_SYSTEM_GROUP, hf_error_name(rc), hf_error_text());
        return 0;
    }
    return rc == 0 && node->failure != 0 ? upkeep_refuse_copy(node) : rc;
}

int upkeep_check_registration(const struct node *node)
{
    uint64_t registered = node->groups[0].machine != NULL ? system_group_incarnation(upkeep_system(node), node->id) : 0;
    return registered != 0 && registered != node->self->incarnation ? upkeep_refuse_copy(node) : 0;
}

/* ---- Clocks ---- */

struct upkeep_clock_frame {
    struct peer_message message;
    struct clock_message clock;
};

static int upkeep_clock_encode(struct peer_message *message, struct buffer *out)
{
    clock_encode(&list_entry(message, struct upkeep_clock_frame, message)->clock, out);
    return 0;
}

static void upkeep_clock_release(struct peer_message *message, int sent)
{
    free(list_entry(message, struct upkeep_clock_frame, message));
}

static void upkeep_send_clock(struct node *node, struct node_peer *peer, struct clock_message clock)
{
    struct upkeep_clock_frame *frame = memory_new(sizeof(*frame));
    frame->clock = clock;
    frame->clock.flags = node->is_unfit ? CLOCK_UNFIT : 0;
    list_init(&frame->message.link);
    frame->message.kind = FRAME_CLOCK;
    frame->message.class = PEER_URGENT;
    frame->message.independent = true;
    frame->message.small = true;
    frame->message.encode = upkeep_clock_encode;
    frame->message.release = upkeep_clock_release;
    node_send(node, peer->id, &frame->message);
}

int upkeep_receive_clock(struct node *node, struct node_peer *peer, struct hf_bytes payload)
{
    struct clock_message message;
    int rc = clock_decode(payload, &message);
    if (rc != 0) {
        return rc;
    }
    uint64_t wall_ms = io_wall_ms(node->io);
    peer->is_unfit = (message.flags & CLOCK_UNFIT) != 0;
    if (message.kind == CLOCK_QUESTION) {
        upkeep_send_clock(
            node, peer, (struct clock_message){.kind = CLOCK_ANSWER, .asked_ns = message.asked_ns, .wall_ms = wall_ms});
    } else if (message.kind == CLOCK_ANSWER) {
        clock_peer_answer(&peer->clock, &message, io_monotonic_ns(node->io), wall_ms);
    }
    return 0;
}

/* Asks the others for their time, and judges our own clock against the median of all. */
static void upkeep_check_clocks(struct node *node)
{
    int64_t offsets_ms[MEMBERSHIP_MEMBERS_MAX] = {0}; /* our own is the first */
    size_t count = 1;
    uint64_t now_ms = loop_now_ms(node->loop);
    bool jumped = clock_self_jumped(&node->clock_self, io_monotonic_ns(node->io), io_wall_ms(node->io));
    for (uint32_t i = 0; i < node->peer_count; i++) {
        struct node_peer *peer = &node->peers[i];
        if (peer == node->self || !peer->is_up) {
            continue;
        }
        if (jumped) {
            clock_peer_forget(&peer->clock);
        }
        if (jumped || peer->clock_asked_ms == 0 || now_ms - peer->clock_asked_ms >= CLOCK_INTERVAL_MS) {
            peer->clock_asked_ms = now_ms;
            upkeep_send_clock(node, peer,
                              (struct clock_message){.kind = CLOCK_QUESTION, .asked_ns = io_monotonic_ns(node->io)});
        }
        count += clock_peer_offset_ms(&peer->clock, &offsets_ms[count]);
    }
    /* With two clocks nobody can tell which one is wrong. */
    if (count < 3 || count <= node->membership.count / 2) {
        node->clock_is_off = false;
        node->counters.clock_offset_ms = 0;
        return;
    }
    node->counters.clock_offset_ms = -clock_median_ms(offsets_ms, count);
    node->clock_is_off = llabs(node->counters.clock_offset_ms) > (int64_t)NODE_CLOCK_SKEW_MAX_MS;
}

/* ---- The interval ---- */

void upkeep_tell_fitness(struct node *node)
{
    bool is_unfit = balance_is_unfit(node);
    if (is_unfit == node->is_unfit) {
        return;
    }
    node->is_unfit = is_unfit;
    for (uint32_t i = 0; i < node->peer_count; i++) {
        if (&node->peers[i] != node->self && node->peers[i].is_up) {
            upkeep_send_clock(node, &node->peers[i], (struct clock_message){.kind = CLOCK_NOTICE});
        }
    }
}

void upkeep_run(struct node *node)
{
    struct hf_log_stat stat;
    if (node->phase != NODE_RUNNING) {
        return;
    }
    hf_log_stat(node->log, &stat);
    if (stat.failure != 0) {
        node_fail(node, stat.failure, stat.failure_text);
        return;
    }
    ledger_set(&node->ledger, LEDGER_LOG, stat.queued_bytes);
    uint64_t registered = system_group_incarnation(upkeep_system(node), node->id);
    if (registered != 0 && registered != node->self->incarnation) {
        node_fail(
            node, HF_EMISMATCH,
            "this node is known to the cluster under another incarnation: its data directory was formatted anew, so "
            "it may have lost what it acknowledged");
        return;
    }
    upkeep_check_clocks(node);
    upkeep_tell_fitness(node);
    upkeep_propose_system(node);
    members_run(node);
    reconcile_run(node);
    balance_run(node);
    snapshots_run(node);
    fetch_run(node);
    repair_run(node, stat.damaged_groups);
    relaxed_run(node);
    offer_run(node);
    handout_run(node);
}
