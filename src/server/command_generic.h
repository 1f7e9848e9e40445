/* Commands on keys whatever their type, on times to live, and on the keyspace as a whole. */
#ifndef SERVER_COMMAND_GENERIC_H
#define SERVER_COMMAND_GENERIC_H

#include "server/command.h"

command_execute command_generic_del; /* UNLINK too: memory returns bit by bit either way */
command_execute command_generic_delifeq;
command_execute command_generic_exists; /* TOUCH too: there is no access time to touch */
command_execute command_generic_type;
command_execute command_generic_dbsize;
command_execute command_generic_flush;

/* command_scan.c */
command_execute command_scan_keys;
command_execute command_scan_scan;
command_execute command_scan_randomkey;

/* command_expire.c */
command_execute command_expire_expire;
command_execute command_expire_pexpire;
command_execute command_expire_expireat;
command_execute command_expire_pexpireat;
command_execute command_expire_ttl;
command_execute command_expire_pttl;
command_execute command_expire_expiretime;
command_execute command_expire_pexpiretime;
command_execute command_expire_persist;

/* command_internal.c: what no client can send */
command_execute command_internal_literal;
command_execute command_internal_expire_due;
command_execute command_internal_version;

#endif
