/* A group's state out of a snapshot and the log's entries behind it, handed out as state_walk.h does of a snapshot. The
 * state is built in memory, as a node would; nothing is handed out before all of it is there. Thread: one. */
#ifndef CLI_STATE_REPLAY_H
#define CLI_STATE_REPLAY_H

#include "cli/progress.h"
#include "cli/state_source.h"
#include "server/state_walk.h"

struct state_replay {
    state_walk_visit *visit;
    void *arg;
    struct progress *progress; /* counts as in backup_keys.h */
    uint64_t bytes_done;
    uint64_t bytes_total;
};

/* Of a source that is STATE_SOURCE_BRIDGED: the state at the index that is wanted. Errors name group and index. */
int state_replay_keys(struct state_replay *replay, const struct state_sources *sources,
                      const struct state_source *source);

#endif
