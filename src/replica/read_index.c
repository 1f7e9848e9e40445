#include "replica/read_index.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "replica/step.h"

struct read_index_round {
    struct list link;
    uint64_t number;
    uint64_t index;
    struct read_index_batch batch;
};

void read_index_open(struct read_index *reads)
{
    *reads = (struct read_index){0};
    list_init(&reads->rounds);
}

static void read_index_round_free(struct read_index_round *round)
{
    list_remove(&round->link);
    free(round->batch.reads);
    free(round);
}

void read_index_close(struct read_index *reads)
{
    list_each_safe (&reads->rounds, link) {
        read_index_round_free(list_entry(link, struct read_index_round, link));
    }
    free(reads->gathered.reads);
    reads->gathered = (struct read_index_batch){0};
}

void read_index_reset(struct read_index *reads)
{
    reads->answer_count = 0;
}

int read_index_add(struct read_index *reads, replica_read_done *done, void *arg)
{
    struct read_index_batch *batch = &reads->gathered;
    if (reads->waiting >= READ_INDEX_WAITING_MAX) {
        return error_raise(HF_EBUSY, "%u reads wait already", READ_INDEX_WAITING_MAX);
    }
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity == 0 ? 8 : batch->capacity * 2;
        batch->reads = memory_resize(batch->reads, batch->capacity * sizeof(*batch->reads));
    }
    batch->reads[batch->count++] = (struct read_index_read){.done = done, .arg = arg};
    reads->waiting++;
    return 0;
}

/* Takes the batch out first: the callbacks may add reads. */
static void read_index_end(struct read_index *reads, struct read_index_batch *batch, int result, uint64_t index)
{
    struct read_index_batch ended = *batch;
    *batch = (struct read_index_batch){0};
    reads->waiting -= ended.count;
    for (size_t i = 0; i < ended.count; i++) {
        ended.reads[i].done(ended.reads[i].arg, result, index);
    }
    free(ended.reads);
}

void read_index_fail(struct read_index *reads, int result)
{
    while (!list_empty(&reads->rounds)) {
        struct read_index_round *round = list_entry(reads->rounds.next, struct read_index_round, link);
        struct read_index_batch batch = round->batch;
        round->batch = (struct read_index_batch){0};
        read_index_round_free(round);
        read_index_end(reads, &batch, result, 0);
    }
    read_index_end(reads, &reads->gathered, result, 0);
}

/* ---- pings ---- */

static void read_index_encode(uint8_t target[READ_INDEX_PAYLOAD_SIZE], uint64_t term, uint64_t round)
{
    bytes_put_u8(target, READ_INDEX_VERSION);
    bytes_put_u64(target + 1, term);
    bytes_put_u64(target + 9, round);
}

static int read_index_decode(struct hf_bytes payload, uint64_t *term, uint64_t *round)
{
    struct cursor cursor = cursor_of(payload);
    uint8_t version = cursor_u8(&cursor);
    *term = cursor_u64(&cursor);
    *round = cursor_u64(&cursor);
    int rc = cursor_finish(&cursor, "read round");
    if (rc == 0 && version != READ_INDEX_VERSION) {
        rc = error_raise(HF_EPROTOCOL, "read round of version %u, known is %u", version, READ_INDEX_VERSION);
    }
    return rc;
}

static uint64_t read_index_answer(const struct read_index *reads, uint64_t node_id)
{
    for (unsigned i = 0; i < reads->answer_count; i++) {
        if (reads->answers[i].node_id == node_id) {
            return reads->answers[i].round;
        }
    }
    return 0;
}

/* Asks every other voter that has not answered the newest round. */
static void read_index_ping(struct replica *replica)
{
    struct read_index *reads = &replica->reads;
    const struct raft *raft = &replica->engine.raft;
    uint8_t payload[READ_INDEX_PAYLOAD_SIZE];
    read_index_encode(payload, raft_current_term(raft), reads->round_last);
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->role == RAFT_VOTER && server->id != raft->id &&
            read_index_answer(reads, server->id) < reads->round_last) {
            outbox_push_bytes(&replica->outbox, server->id, FRAME_READ_PING, bytes_of(payload, sizeof(payload)),
                              replica->appends.sequence_promised);
        }
    }
    reads->pinged_ms = engine_now_ms(&replica->engine);
}

int read_index_receive_ping(struct replica *replica, uint64_t from_node, struct hf_bytes payload)
{
    uint64_t term;
    uint64_t round;
    int rc = read_index_decode(payload, &term, &round);
    if (rc != 0 || replica->phase != REPLICA_PHASE_RUNNING || term != raft_current_term(&replica->engine.raft)) {
        return rc;
    }
    outbox_push_bytes(&replica->outbox, from_node, FRAME_READ_PONG, payload, replica->appends.sequence_promised);
    return 0;
}

int read_index_receive_pong(struct replica *replica, uint64_t from_node, struct hf_bytes payload)
{
    struct read_index *reads = &replica->reads;
    uint64_t term;
    uint64_t round;
    int rc = read_index_decode(payload, &term, &round);
    if (rc != 0) {
        return rc;
    }
    if (!step_is_leader(replica) || term != raft_current_term(&replica->engine.raft) || round > reads->round_last) {
        return 0;
    }
    unsigned i = 0;
    while (i < reads->answer_count && reads->answers[i].node_id != from_node) {
        i++;
    }
    if (i == reads->answer_count) {
        if (i == REPLICA_MEMBERS_MAX) {
            return 0; /* members that left take the room: their answers count no more, and the next term starts afresh
                       */
        }
        reads->answers[reads->answer_count++].node_id = from_node;
        reads->answers[i].round = 0;
    }
    if (reads->answers[i].round < round) {
        reads->answers[i].round = round;
    }
    return 0;
}

/* ---- rounds ---- */

/* The newest round that a majority of the voters answered; our own vote is for every round. */
static uint64_t read_index_confirmed(const struct replica *replica)
{
    const struct raft *raft = &replica->engine.raft;
    uint64_t rounds[REPLICA_MEMBERS_MAX];
    unsigned voters = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->role != RAFT_VOTER) {
            continue;
        }
        uint64_t round = server->id == raft->id ? UINT64_MAX : read_index_answer(&replica->reads, server->id);
        /* Insertion, in descending order. */
        unsigned at = voters++;
        for (; at > 0 && rounds[at - 1] < round; at--) {
            rounds[at] = rounds[at - 1];
        }
        rounds[at] = round;
    }
    return voters == 0 ? 0 : rounds[voters / 2];
}

static bool read_index_may_start(const struct replica *replica)
{
    return step_is_ready(replica) || (MUTATED(READ_BEFORE_OWN_TERM) && step_is_leader(replica));
}

void read_index_flush(struct replica *replica)
{
    struct read_index *reads = &replica->reads;
    reads->is_flush_wanted = reads->gathered.count > 0;
    if (!reads->is_flush_wanted || !read_index_may_start(replica)) {
        return;
    }
    reads->is_flush_wanted = false;
    uint64_t index = raft_commit_index(&replica->engine.raft);
    if (MUTATED(READ_WITHOUT_ROUND)) {
        read_index_end(reads, &reads->gathered, 0, index);
        return;
    }
    struct read_index_round *round = memory_new(sizeof(*round));
    round->number = ++reads->round_last;
    round->index = index;
    round->batch = reads->gathered;
    reads->gathered = (struct read_index_batch){0};
    list_append(&reads->rounds, &round->link);
    read_index_ping(replica);
}

bool read_index_settle(struct replica *replica)
{
    struct read_index *reads = &replica->reads;
    if (reads->waiting == 0) {
        return false;
    }
    if (!step_is_leader(replica)) {
        error_raise(HF_ENOTLEADER, "the leadership of group %" PRIu64 " was lost", replica->options.group);
        read_index_fail(reads, HF_ENOTLEADER);
        return true;
    }
    if (reads->is_flush_wanted) {
        read_index_flush(replica);
    }
    bool has_ended = false;
    uint64_t confirmed = read_index_confirmed(replica);
    while (!list_empty(&reads->rounds)) {
        struct read_index_round *round = list_entry(reads->rounds.next, struct read_index_round, link);
        if (round->number > confirmed) {
            break;
        }
        struct read_index_batch batch = round->batch;
        uint64_t index = round->index;
        round->batch = (struct read_index_batch){0};
        read_index_round_free(round);
        read_index_end(reads, &batch, 0, index);
        has_ended = true;
    }
    return has_ended;
}

void read_index_tick(struct replica *replica)
{
    if (engine_now_ms(&replica->engine) < read_index_deadline_ms(replica)) {
        return;
    }
    read_index_ping(replica);
}

uint64_t read_index_deadline_ms(const struct replica *replica)
{
    const struct read_index *reads = &replica->reads;
    if (list_empty(&reads->rounds) || !step_is_leader(replica)) {
        return UINT64_MAX;
    }
    return reads->pinged_ms + replica->options.heartbeat_timeout_ms;
}
