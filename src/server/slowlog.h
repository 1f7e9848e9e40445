/* SLOWLOG: the commands that took long, newest first, with how they began. A call keeps the first bytes of what came
 * (call.h); only what turns out to be slow is taken apart. Thread: the loop's. */
#ifndef SERVER_SLOWLOG_H
#define SERVER_SLOWLOG_H

#include "server/call.h"

#define SLOWLOG_LENGTH_MAX    10000u /* entries that CONFIG SET slowlog-max-len may ask for */
#define SLOWLOG_ARGUMENTS_MAX 32u

struct slowlog;

struct slowlog *slowlog_open(void);
void slowlog_close(struct slowlog *slowlog); /* accepts NULL */
/* Keeps the call if it took at least as long as the settings say. */
void slowlog_record(struct slowlog *slowlog, const struct call *call, uint64_t duration_us);
void slowlog_reset(struct slowlog *slowlog);

command_session slowlog_get, slowlog_len, slowlog_reset_command;

#endif
