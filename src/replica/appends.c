#include "replica/appends.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"

struct append {
    struct list link;
    struct appends *owner; /* NULL once that is closed */
    uint64_t sequence;
    uint64_t last_index;        /* of its entries that still stand; below first_index: none */
    uint64_t first_index;       /* UINT64_MAX: it has no entries */
    struct hf_log_batch *batch; /* while it waits */
};

void appends_open(struct appends *appends, struct hf_log *log, uint64_t group, const struct hf_log_group_state *state,
                  const struct appends_callbacks *callbacks, void *arg)
{
    *appends = (struct appends){
        .log = log,
        .group = group,
        .last_index = state->last_index,
        .durable_index = state->durable_index,
        .hard_state = state->hard_state,
        .callbacks = *callbacks,
        .arg = arg,
    };
    list_init(&appends->in_flight);
    list_init(&appends->waiting);
    int rc = hf_log_batch_open(&appends->batch);
    assert(rc == 0); /* it only allocates */
}

static void append_free(struct append *append)
{
    hf_log_batch_close(append->batch);
    free(append);
}

void appends_close(struct appends *appends)
{
    list_each_safe (&appends->in_flight, link) {
        struct append *append = list_entry(link, struct append, link);
        list_remove(link);
        append->owner = NULL; /* the log still holds it */
    }
    list_each_safe (&appends->waiting, link) {
        list_remove(link);
        append_free(list_entry(link, struct append, link));
    }
    hf_log_batch_close(appends->batch);
    appends->batch = NULL;
}

bool appends_is_blocked(const struct appends *appends)
{
    return !list_empty(&appends->waiting);
}

uint64_t appends_readable_index(const struct appends *appends)
{
    if (!appends_is_blocked(appends)) {
        return appends->last_index;
    }
    struct hf_log_group_state state;
    int rc = hf_log_group_state(appends->log, appends->group, &state);
    assert(rc == 0);
    return state.last_index < appends->last_index ? state.last_index : appends->last_index;
}

static void appends_done(void *arg, int result)
{
    struct append *append = arg;
    struct appends *appends = append->owner;
    if (appends == NULL) {
        append_free(append);
        return;
    }
    assert(appends->in_flight.next == &append->link); /* the log acknowledges in order */
    list_remove(&append->link);
    uint64_t last_index = 0;
    if (result == 0) {
        appends->sequence_durable = append->sequence;
        if (append->first_index <= append->last_index) {
            last_index = append->last_index;
            appends->durable_index = last_index;
        }
    }
    append_free(append);
    appends->callbacks.ended(appends->arg, result, last_index);
}

static bool appends_may_wait(int rc)
{
    return rc == HF_EBUSY || rc == HF_ENOSPACE;
}

/* Hands the batch to the log, or queues it behind those that wait already. Takes `append` over on success. */
static int appends_submit(struct appends *appends, struct append *append, struct hf_log_batch *batch)
{
    if (!appends_is_blocked(appends)) {
        /* Listed first: in a log that answers from within the call it would be missed otherwise. */
        list_append(&appends->in_flight, &append->link);
        int rc = hf_log_append(appends->log, batch, appends_done, append);
        if (rc == 0) {
            return 0;
        }
        list_remove(&append->link);
        if (!appends_may_wait(rc)) {
            return rc;
        }
    }
    append->batch = batch;
    list_append(&appends->waiting, &append->link);
    int rc = hf_log_batch_open(&appends->batch);
    assert(rc == 0);
    return 0;
}

int appends_retry(struct appends *appends)
{
    while (!list_empty(&appends->waiting)) {
        struct append *append = list_entry(appends->waiting.next, struct append, link);
        list_remove(&append->link);
        list_append(&appends->in_flight, &append->link);
        int rc = hf_log_append(appends->log, append->batch, appends_done, append);
        if (rc != 0) {
            list_remove(&append->link);
            /* Back to the front. */
            struct list *first = appends->waiting.next;
            list_append(first, &append->link);
            return appends_may_wait(rc) ? 0 : rc;
        }
        hf_log_batch_close(append->batch);
        append->batch = NULL;
    }
    return 0;
}

/* Entries from `index` on are gone: whoever brought them must not report them any more. */
static void appends_truncated(struct appends *appends, uint64_t index)
{
    if (appends->durable_index >= index) {
        appends->durable_index = index - 1;
    }
    if (MUTATED(RULE_3_TRUNCATED_REPORTED)) {
        return;
    }
    list_each (&appends->in_flight, link) {
        struct append *append = list_entry(link, struct append, link);
        append->last_index = append->last_index < index ? append->last_index : index - 1;
    }
    list_each (&appends->waiting, link) {
        struct append *append = list_entry(link, struct append, link);
        append->last_index = append->last_index < index ? append->last_index : index - 1;
    }
}

static struct append *append_new(struct appends *appends, const struct appends_change *change)
{
    struct append *append = memory_new(sizeof(*append));
    append->owner = appends;
    append->sequence = ++appends->sequence_last;
    append->first_index = change->entry_count > 0 ? change->first_index : UINT64_MAX;
    append->last_index = change->entry_count > 0 ? change->first_index + change->entry_count - 1 : 0;
    list_init(&append->link);
    return append;
}

/* The planted bug of rule 4: the commit index is written ahead of the entries it speaks of. */
static int appends_write_commit_first(struct appends *appends, const struct appends_change *change)
{
    struct hf_hard_state hard_state = {.term = change->term, .vote = change->vote, .commit = change->commit};
    hf_log_batch_clear(appends->batch);
    int rc = hf_log_batch_hard_state(appends->batch, appends->group, hard_state);
    if (rc == 0) {
        struct append *append = append_new(appends, &(struct appends_change){0});
        rc = appends_submit(appends, append, appends->batch);
    }
    return rc;
}

static int appends_fill(struct appends *appends, const struct appends_change *change, bool removes,
                        const struct hf_hard_state *hard_state)
{
    hf_log_batch_clear(appends->batch);
    int rc = 0;
    if (removes) {
        rc = hf_log_batch_truncate(appends->batch, appends->group, change->first_index);
    }
    if (rc == 0 && change->entry_count > 0) {
        rc = hf_log_batch_append(appends->batch, appends->group, change->entries, change->entry_count);
    }
    if (rc == 0 && hard_state != NULL) {
        rc = hf_log_batch_hard_state(appends->batch, appends->group, *hard_state);
    }
    return rc;
}

int appends_write(struct appends *appends, const struct appends_change *change, uint64_t *truncated)
{
    *truncated = 0;
    bool has_entries = change->entry_count > 0;
    bool is_promise = change->term != appends->hard_state.term || change->vote != appends->hard_state.vote;
    if (!has_entries && !is_promise) {
        return 0;
    }
    bool removes = has_entries && change->first_index <= appends->last_index;
    uint64_t last_index = has_entries ? change->first_index + change->entry_count - 1 : appends->last_index;
    /* Entries precede the hard state in the stream, so a commit index up to the last of them is never ahead of it. */
    struct hf_hard_state hard_state = {.term = change->term, .vote = change->vote, .commit = change->commit};
    if (hard_state.commit > last_index) {
        hard_state.commit = last_index;
    }
    bool has_hard_state = is_promise || hard_state.commit != appends->hard_state.commit;
    if (MUTATED(RULE_4_COMMIT_NOT_CLAMPED) && has_entries) {
        int rc = appends_write_commit_first(appends, change);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = appends_fill(appends, change, removes, has_hard_state ? &hard_state : NULL);
    if (rc != 0) {
        return rc;
    }
    struct append *append = append_new(appends, change);
    if (removes) {
        appends_truncated(appends, change->first_index);
        *truncated = change->first_index;
    }
    rc = appends_submit(appends, append, appends->batch);
    if (rc != 0) {
        append_free(append);
        return rc;
    }
    appends->last_index = last_index;
    if (has_hard_state) {
        appends->hard_state = hard_state;
    }
    if (is_promise) {
        appends->sequence_promised = appends->sequence_last;
    }
    return 0;
}

int appends_reset(struct appends *appends, uint64_t index, uint64_t term, struct hf_bytes name,
                  const struct hf_hard_state *hard_state, uint64_t *sequence)
{
    hf_log_batch_clear(appends->batch);
    int rc = hf_log_batch_reset(appends->batch, appends->group, index, term, name);
    if (rc == 0) {
        rc = hf_log_batch_hard_state(appends->batch, appends->group, *hard_state);
    }
    if (rc != 0) {
        return rc;
    }
    struct append *append = append_new(appends, &(struct appends_change){0});
    /* To be durable: the snapshot's end. */
    append->first_index = append->last_index = index;
    appends_truncated(appends, 1);
    appends->durable_index = 0;
    *sequence = append->sequence;
    rc = appends_submit(appends, append, appends->batch);
    if (rc != 0) {
        append_free(append);
        return rc;
    }
    appends->last_index = index;
    appends->hard_state = *hard_state;
    return 0;
}

int appends_compact(struct appends *appends, uint64_t index)
{
    hf_log_batch_clear(appends->batch);
    int rc = hf_log_batch_compact(appends->batch, appends->group, index);
    if (rc != 0) {
        return rc;
    }
    struct append *append = append_new(appends, &(struct appends_change){0});
    rc = appends_submit(appends, append, appends->batch);
    if (rc != 0) {
        append_free(append);
    }
    return rc;
}

static uint64_t appends_size(const struct hf_entry *entries, unsigned entry_count)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < entry_count; i++) {
        size += entries[i].payload.size + APPENDS_ENTRY_OVERHEAD_BYTES;
    }
    return size;
}

int appends_reserve(struct appends *appends, const struct hf_entry *entries, unsigned entry_count)
{
    return hf_log_reserve(appends->log, appends_size(entries, entry_count));
}

void appends_unreserve(struct appends *appends, const struct hf_entry *entries, unsigned entry_count)
{
    if (entry_count > 0) {
        hf_log_unreserve(appends->log, appends_size(entries, entry_count));
    }
}
