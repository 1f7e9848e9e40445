#include "node/relaxed.h"

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "node/node_state.h"

static bool relaxed_is_policy(const struct node *node)
{
    enum hf_log_sync_policy policy = node->options.log.sync_policy;
    return policy == HF_LOG_SYNC_INTERVAL || policy == HF_LOG_SYNC_NONE;
}

/* Nobody else has a vote: the cluster's newest members, as far as they are known here, say so. */
static bool relaxed_is_alone(const struct node *node)
{
    const struct membership_member *self = membership_find(&node->membership, node->id);
    return self != NULL && self->role == MEMBERSHIP_VOTER && membership_voters(&node->membership) == 1;
}

static void relaxed_say(const struct node *node)
{
    const char *text = node->relaxed.must_rejoin && !node->relaxed.is_alone
                           ? "it votes again in each group once a leader has brought that back. When no node leads, "
                             "because too many lost their power: holdfast serve --accept-lost-writes, on one of them "
                             "after the other until one leads"
                       : node->options.accept_lost_writes ? "and goes on without it, as it was told to"
                                                          : "and goes on without it: it is the only voter";
    TRACE(TRACE_WARN, "node",
          "this node ran under a relaxed log.sync_policy and did not stop cleanly: it may have lost the last writes "
          "that it acknowledged, %s",
          text);
}

static int relaxed_mark(struct node *node)
{
    int rc = directory_set_relaxed(node->directory, true);
    if (rc != 0) {
        return error_wrap(rc, "marking the data directory as one whose log may lack its end (log.sync_policy)");
    }
    node->relaxed.has_mark = true;
    return 0;
}

int relaxed_open(struct node *node)
{
    struct relaxed *relaxed = &node->relaxed;
    enum directory_relaxed found = directory_relaxed(node->directory);
    relaxed->has_mark = found != DIRECTORY_STRICT;
    relaxed->was_marked = found == DIRECTORY_RELAXED_BEFORE && !MUTATED(RELAXED_LOSS_OVERLOOKED);
    relaxed->is_open = relaxed->was_marked;
    relaxed->must_rejoin = relaxed->was_marked && !node->options.accept_lost_writes;
    relaxed->is_alone = relaxed_is_alone(node);
    if (relaxed->was_marked) {
        relaxed_say(node);
    }
    if (relaxed->has_mark || !relaxed_is_policy(node)) {
        return 0;
    }
    int rc = relaxed_mark(node);
    relaxed->is_made_here = rc == 0;
    return rc;
}

void relaxed_tell(const struct hosted_group *group, struct replica_options *options)
{
    const struct relaxed *relaxed = &group->node->relaxed;
    options->may_be_short = relaxed->was_marked && !group->has_rejoined; /* once it was open it can only be damage */
    options->must_rejoin = relaxed->must_rejoin && !group->has_rejoined;
    options->is_alone = relaxed->is_alone;
}

/* Everything that may have been lost is here again, as far as anybody can bring it back. */
static bool relaxed_is_whole(const struct node *node)
{
    for (uint32_t i = 0; i < node->groups_open && node->relaxed.must_rejoin; i++) {
        const struct hosted_group *group = &node->groups[i];
        bool is_rejoining = group->replica == NULL || group->is_failed || replica_is_rejoining(group->replica);
        if (is_rejoining && !group->has_rejoined) {
            return false;
        }
    }
    return true;
}

static int relaxed_unmark(struct node *node)
{
    int rc = directory_set_strict(node->directory);
    node->relaxed.has_mark = node->relaxed.has_mark && rc != 0;
    return rc;
}

/* The others may have left since the open. */
static void relaxed_tell_alone(struct node *node)
{
    bool is_alone = relaxed_is_alone(node);
    if (is_alone == node->relaxed.is_alone) {
        return;
    }
    node->relaxed.is_alone = is_alone;
    for (uint32_t i = 0; i < node->groups_open; i++) {
        if (node->groups[i].replica != NULL) {
            replica_set_alone(node->groups[i].replica, is_alone);
        }
    }
}

void relaxed_run(struct node *node)
{
    struct relaxed *relaxed = &node->relaxed;
    uint64_t now_ms = loop_now_ms(node->loop);
    relaxed_tell_alone(node);
    bool is_due = relaxed_is_policy(node) ? relaxed->is_open : relaxed->has_mark;
    if (!is_due || now_ms < relaxed->retry_ms || !relaxed_is_whole(node)) {
        return;
    }
    int rc = relaxed_is_policy(node) ? relaxed_mark(node) : relaxed_unmark(node);
    if (rc == 0) {
        relaxed->is_open = false;
        return;
    }
    relaxed->retry_ms = now_ms + RELAXED_RETRY_MS;
    TRACE(TRACE_WARN, "node", "the mark of a relaxed sync policy could not be renewed: %s", hf_error_text());
}

bool relaxed_may_end(const struct node *node)
{
    return node->relaxed.has_mark && node->is_hooked && node->phase == NODE_RUNNING && relaxed_is_whole(node);
}

void relaxed_fail(struct node *node)
{
    if (node->relaxed.has_mark && directory_set_relaxed(node->directory, false) != 0) {
        TRACE(TRACE_WARN, "node", "the mark of a log that may have lost its end could not be written: %s",
              hf_error_text());
    }
}

void relaxed_open_failed(struct node *node, int result)
{
    if ((result == HF_EIO || result == HF_EPOISONED) && !MUTATED(RELAXED_OPEN_BELIEVED)) {
        relaxed_fail(node);
    }
}

void relaxed_end(struct node *node, int result)
{
    if (result != 0) {
        TRACE(TRACE_WARN, "node", "the next start will take this for a power loss: %s", hf_error_text());
        relaxed_fail(node);
        return;
    }
    if (relaxed_unmark(node) != 0) {
        TRACE(TRACE_WARN, "node", "the next start will take this for an unclean stop: %s", hf_error_text());
    }
}
