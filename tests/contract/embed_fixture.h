/* Clusters of embedded nodes in this process, on real directories and loopback ports, through holdfast/node.h alone. */
#ifndef TESTS_EMBED_FIXTURE_H
#define TESTS_EMBED_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "contract/port_fixture.h"
#include "holdfast/node.h"

enum { EMBED_NODES_MAX = 4, EMBED_WAIT_MS = 120000 };
#define EMBED_GROUP HF_NODE_GROUP_FIRST

/* ---- A machine that counts, and complains about anything out of order ---- */

struct journal {
    uint64_t group;
    uint64_t count;
    uint64_t last_index;
    uint32_t last_ordinal;
    uint64_t sum; /* of all bytes, in their order */
};
struct journal_tally { /* of all groups and nodes that share it */
    atomic_uint opened;
    atomic_uint closed;
    atomic_uint applied;
    atomic_uint loaded;
    atomic_uint disorder;
    atomic_bool refuses_cuts;
};

static struct journal_tally journal_tally;

static void *journal_open(void *arg, uint64_t group)
{
    struct journal *journal = calloc(1, sizeof(*journal));
    journal->group = group;
    atomic_fetch_add(&journal_tally.opened, 1);
    return journal;
}

static void journal_close(void *state)
{
    atomic_fetch_add(&journal_tally.closed, 1);
    free(state);
}

/* "fail" stops the group; everything else is added up, and answered with the count. */
static int journal_apply(void *state, const struct hf_node_command *command, struct hf_node_reply *reply)
{
    struct journal *journal = state;
    bool follows = command->index > journal->last_index ||
                   (command->index == journal->last_index && command->ordinal == journal->last_ordinal + 1);
    if (!follows || command->group != journal->group || command->term == 0 || command->timestamp_ms == 0) {
        atomic_fetch_add(&journal_tally.disorder, 1);
    }
    if (command->payload.size == 4 && memcmp(command->payload.data, "fail", 4) == 0) {
        return HF_EUNSUPPORTED;
    }
    journal->last_index = command->index;
    journal->last_ordinal = command->ordinal;
    journal->count++;
    for (size_t i = 0; i < command->payload.size; i++) {
        journal->sum = journal->sum * 31 + ((const uint8_t *)command->payload.data)[i];
    }
    atomic_fetch_add(&journal_tally.applied, 1);
    return hf_node_reply_append(reply, &journal->count, sizeof(journal->count));
}

static int journal_read(void *state, uint64_t group, struct hf_bytes query, struct hf_node_reply *reply)
{
    const struct journal *journal = state;
    if (query.size == 4 && memcmp(query.data, "none", 4) == 0) {
        return HF_ENOTFOUND;
    }
    return hf_node_reply_append(reply, &journal->count, sizeof(journal->count));
}

struct journal_cut {
    struct journal copy;
    size_t read;
};

static void *journal_cut(void *state)
{
    if (atomic_load(&journal_tally.refuses_cuts)) {
        return NULL;
    }
    struct journal_cut *cut = calloc(1, sizeof(*cut));
    cut->copy = *(const struct journal *)state;
    return cut;
}

static int journal_cut_read(void *arg, void *target, size_t size, size_t *got)
{
    struct journal_cut *cut = arg;
    size_t left = sizeof(cut->copy) - cut->read;
    *got = left < size ? left : size;
    memcpy(target, (const uint8_t *)&cut->copy + cut->read, *got);
    cut->read += *got;
    return 0;
}

/* In pieces of any size: last_ordinal counts them until the end. */
static int journal_load(void *state, struct hf_bytes bytes)
{
    struct journal *journal = state;
    if (bytes.size != sizeof(*journal)) {
        return HF_ECORRUPT; /* small enough to come in one */
    }
    memcpy(journal, bytes.data, sizeof(*journal));
    return 0;
}

static int journal_load_finish(void *state)
{
    atomic_fetch_add(&journal_tally.loaded, 1);
    return ((struct journal *)state)->count > 0 ? 0 : HF_ECORRUPT;
}

static void journal_digest(void *state, uint64_t digest[2])
{
    digest[0] = ((struct journal *)state)->sum;
    digest[1] = ((struct journal *)state)->count;
}

static const struct hf_node_machine journal_machine = {.open = journal_open,
                                                       .close = journal_close,
                                                       .apply = journal_apply,
                                                       .read = journal_read,
                                                       .cut = journal_cut,
                                                       .cut_read = journal_cut_read,
                                                       .cut_close = free,
                                                       .load = journal_load,
                                                       .load_finish = journal_load_finish,
                                                       .digest = journal_digest};

/* ---- Clusters ---- */

static atomic_uint embedding_error_lines;

static void embedding_trace(void *arg, int level, const char *line)
{
    atomic_fetch_add(&embedding_error_lines, 1);
    fprintf(stderr, "%s\n", line);
}

struct embedding {
    char directory[512];
    char paths[EMBED_NODES_MAX][560];
    char peers[EMBED_NODES_MAX][32];
    char *description;
    unsigned count;
    struct hf_node_options options;
    struct hf_node *nodes[EMBED_NODES_MAX];
    struct hf_node_waiter *waiter;
    struct hf_node_result result; /* of the last wait */
};

static inline void embedding_check(int rc)
{
    if (rc != 0) {
        fail_msg("%s: %s", hf_error_name(rc), hf_error_text());
    }
}

static inline int embedding_start(struct embedding *cluster, unsigned position)
{
    return hf_node_open(cluster->paths[position], &cluster->options, &cluster->nodes[position]);
}

static inline void embedding_stop(struct embedding *cluster, unsigned position)
{
    hf_node_close(cluster->nodes[position]);
    cluster->nodes[position] = NULL;
}

/* machine NULL: the built-in one. Nodes are formatted, and not started. */
static inline void embedding_open(struct embedding *cluster, unsigned count, unsigned groups,
                                  const struct hf_node_machine *machine)
{
    struct hf_node_address addresses[EMBED_NODES_MAX];
    *cluster = (struct embedding){.count = count};
    assert_non_null(getcwd(cluster->directory, sizeof(cluster->directory) - 16));
    strcat(cluster->directory, "/embed-XXXXXX"); /* absolute: the thread sanitizer does not see openat (io/kernel.h) */
    assert_non_null(mkdtemp(cluster->directory));
    embedding_error_lines = 0;
    hf_node_trace(HF_NODE_TRACE_ERROR, embedding_trace, NULL);
    memset(&journal_tally, 0, sizeof(journal_tally));
    hf_node_options_init(&cluster->options);
    cluster->options.machine = machine;
    cluster->options.log.segment_size_bytes = 1 << 20;
    /* A machine that stands still for a moment changes no leader. */
    cluster->options.election_timeout_ms = 3000;
    cluster->options.request_timeout_ms = 30000;
    for (unsigned i = 0; i < EMBED_NODES_MAX; i++) {
        snprintf(cluster->paths[i], sizeof(cluster->paths[i]), "%s/%u", cluster->directory, i + 1);
        snprintf(cluster->peers[i], sizeof(cluster->peers[i]), "127.0.0.1:%u", port_claim());
        addresses[i] = (struct hf_node_address){i + 1, count > 1 ? cluster->peers[i] : NULL};
    }
    embedding_check(hf_node_waiter_open(&cluster->waiter));
    embedding_check(hf_node_describe(addresses, count, groups, &cluster->description));
    for (unsigned i = 0; i < count; i++) {
        embedding_check(hf_node_format(cluster->paths[i], cluster->description, i + 1));
    }
}

static inline void embedding_start_all(struct embedding *cluster)
{
    for (unsigned i = 0; i < cluster->count; i++) {
        embedding_check(embedding_start(cluster, i));
    }
}

static inline void embedding_close(struct embedding *cluster)
{
    char command[640];
    for (unsigned i = 0; i < EMBED_NODES_MAX; i++) {
        embedding_stop(cluster, i);
    }
    assert_int_equal(journal_tally.opened, journal_tally.closed);
    assert_int_equal(journal_tally.disorder, 0);
    hf_node_waiter_close(cluster->waiter);
    free(cluster->description);
    snprintf(command, sizeof(command), "rm -rf %s", cluster->directory);
    assert_int_equal(system(command), 0);
}

static inline int embedding_wait(struct embedding *cluster, int called)
{
    return hf_node_wait(cluster->waiter, called, &cluster->result);
}

static inline void embedding_pause_ms(unsigned ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

#define EMBED_TEXT(text) ((struct hf_bytes){(text), strlen(text)})

/* Proposes until a leader takes it; the result of the last try. */
static inline int embedding_propose(struct embedding *cluster, unsigned position, uint64_t group, const char *text)
{
    int rc = HF_ENOLEADER;
    for (unsigned i = 0; i < 10 && rc == HF_ENOLEADER; i++) {
        rc = embedding_wait(cluster, hf_node_propose(cluster->nodes[position], group, EMBED_TEXT(text), hf_node_answer,
                                                     cluster->waiter));
    }
    return rc;
}

static inline uint64_t embedding_count(const struct embedding *cluster)
{
    uint64_t count = 0;
    assert_int_equal(cluster->result.reply.size, sizeof(count));
    memcpy(&count, cluster->result.reply.data, sizeof(count));
    return count;
}

static inline int embedding_get(struct embedding *cluster, unsigned position, const char *key)
{
    return embedding_wait(cluster, hf_node_get(cluster->nodes[position], HF_NODE_READ_LINEARIZABLE, EMBED_TEXT(key),
                                               hf_node_answer, cluster->waiter));
}

static inline int embedding_put(struct embedding *cluster, unsigned position, const char *key, const char *value)
{
    int rc = HF_ENOLEADER;
    for (unsigned i = 0; i < 10 && rc == HF_ENOLEADER; i++) {
        rc = embedding_wait(cluster, hf_node_put(cluster->nodes[position], EMBED_TEXT(key), EMBED_TEXT(value),
                                                 hf_node_answer, cluster->waiter));
    }
    return rc;
}

/* The position of the node that leads the group, once there is one. */
static inline unsigned embedding_leader(struct embedding *cluster, uint64_t group)
{
    for (unsigned waited = 0; waited < EMBED_WAIT_MS; waited += 10) {
        for (unsigned i = 0; i < EMBED_NODES_MAX; i++) {
            struct hf_node_group_status status;
            if (cluster->nodes[i] != NULL && hf_node_group_status(cluster->nodes[i], group, &status) == 0 &&
                status.role == HF_NODE_LEADER) {
                return i;
            }
        }
        embedding_pause_ms(10);
    }
    fail_msg("nobody leads group %u", (unsigned)group);
    return 0;
}

#endif
