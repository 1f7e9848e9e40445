/* MULTI, EXEC, DISCARD, WATCH, UNWATCH of one session.
 *
 * A transaction exists from the first WATCH or MULTI to EXEC or DISCARD. WATCH reads the versions of its keys from
 * their groups; EXEC sends everything, versions included, as one unit to one group, where apply compares and then runs
 * all of it or nothing. So it holds across failovers and needs no memory of the server in between.
 *
 * Thread: the loop's. */
#ifndef SERVER_TRANSACTION_H
#define SERVER_TRANSACTION_H

#include "server/session.h"

#define TRANSACTION_SIZE_MAX (64u << 20) /* bytes of the commands that are queued, and of the keys that are watched */

bool transaction_is_open(const struct session *session); /* between MULTI and EXEC */
/* EXEC must wait: versions of watched keys are on their way. */
bool transaction_must_wait(const struct session *session);
/* Inside MULTI: queues the command and says so, or says why not and spoils the transaction. */
void transaction_queue(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                       struct reply *reply);
/* A command that could not even be queued was answered with an error. */
void transaction_spoil(struct session *session);
void transaction_drop(struct session *session);
size_t transaction_queued(const struct session *session);  /* commands; 0 outside MULTI */
size_t transaction_watched(const struct session *session); /* keys */

command_session transaction_multi, transaction_exec, transaction_discard, transaction_watch, transaction_unwatch;

#endif
