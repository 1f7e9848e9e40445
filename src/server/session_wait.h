/* WAIT and WAITAOF: asks how many voters hold this connection's writes, until enough do or the time is up. Thread: the
 * loop's. */
#ifndef SERVER_SESSION_WAIT_H
#define SERVER_SESSION_WAIT_H

#include "server/session.h"

#define SESSION_WAIT_POLL_MS 5u

command_session session_wait_replicas, session_wait_aof;
void session_wait_close(struct session *session); /* ends a wait under way without an answer */

#endif
