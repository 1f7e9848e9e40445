/* Commands that concern several groups: the keys of MGET, EXISTS, DEL, UNLINK and TOUCH are split by group, and DBSIZE,
 * KEYS, RANDOMKEY, FLUSHDB and FLUSHALL go to every routed group. Not atomic, as documented: each group does its part
 * at a moment of its own. Thread: the loop's. */
#ifndef SERVER_FANOUT_H
#define SERVER_FANOUT_H

#include "server/session.h"

/* Starts the session's current call. */
void fanout_start_keys(struct session *session, const struct command_spec *spec, const struct arguments *arguments);
void fanout_start_everywhere(struct session *session, const struct command_spec *spec,
                             const struct arguments *arguments);

#endif
