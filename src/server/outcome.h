/* What a client is told when a group did not answer. Some clients repeat a command by themselves after CLUSTERDOWN,
 * READONLY, TRYAGAIN, LOADING, MASTERDOWN or a closed socket: so nothing of that kind is ever said once a write may
 * have been proposed (COMMANDS: unknown outcome). Thread: any. */
#ifndef SERVER_OUTCOME_H
#define SERVER_OUTCOME_H

#include <stdbool.h>

#include "server/reply.h"

struct outcome {
    int result; /* < 0: what node_propose or node_read ended with */
    uint64_t group;
    uint64_t index; /* 0: unknown */
    bool is_write;
};

void outcome_reply(struct reply *reply, const struct outcome *outcome);
/* A write over several groups of which some took it and at least this one did not. */
void outcome_reply_partial(struct reply *reply, const struct outcome *outcome);

#endif
