/* Linearizable reads by read index (Ongaro's dissertation, 6.4): a leader asks the voters whether it still is one. One
 * round serves every read that waits when it starts.
 *
 * FRAME_READ_PING and FRAME_READ_PONG, little-endian: u8 version = 1, u64 term, u64 round. A server answers a ping only
 * when its current term is the ping's; the leader counts the answers of voters. Rounds are numbered by the leader and
 * never start again from 1 within a term; an answer to a round answers those before it too. Lost pings are repeated.
 *
 * A round needs an entry of the leader's term to be committed: before that its commit index may be behind. */
#ifndef REPLICA_READ_INDEX_H
#define REPLICA_READ_INDEX_H

#include "base/list.h"
#include "replica/replica.h"

#define READ_INDEX_VERSION      1u
#define READ_INDEX_PAYLOAD_SIZE 17u
#define READ_INDEX_WAITING_MAX  65536u /* reads of one replica; beyond it HF_EBUSY */

struct read_index_read {
    replica_read_done *done;
    void *arg;
};
struct read_index_batch {
    struct read_index_read *reads;
    size_t count;
    size_t capacity;
};

struct read_index {
    struct read_index_batch gathered;
    struct list rounds; /* started, ascending */
    uint64_t round_last;
    uint64_t pinged_ms;   /* when the newest round was last asked for */
    size_t waiting;       /* reads, gathered ones included */
    bool is_flush_wanted; /* the gathered reads may start as soon as the replica is ready */
    struct {
        uint64_t node_id;
        uint64_t round;
    } answers[REPLICA_MEMBERS_MAX];
    unsigned answer_count;
};

void read_index_open(struct read_index *reads);
/* Without callbacks. */
void read_index_close(struct read_index *reads);

int read_index_add(struct read_index *reads, replica_read_done *done, void *arg);
/* Ends every read that waits. */
void read_index_fail(struct read_index *reads, int result);

void read_index_reset(struct read_index *reads); /* a new leadership: who answered before counts no more */
/* Starts a round for what gathered, now or as soon as the replica is ready for one. */
void read_index_flush(struct replica *replica);
/* Ends the rounds that a majority confirmed, or all when leadership is lost. True when a read ended. */
bool read_index_settle(struct replica *replica);
/* Repeats pings that were not answered in time. */
void read_index_tick(struct replica *replica);
uint64_t read_index_deadline_ms(const struct replica *replica); /* UINT64_MAX: none */

int read_index_receive_ping(struct replica *replica, uint64_t from_node, struct hf_bytes payload);
int read_index_receive_pong(struct replica *replica, uint64_t from_node, struct hf_bytes payload);

#endif
