/* Commands on strings that are not counters. The rules are Redis 7.2's; IFEQ and DELIFEQ are Valkey's. */
#ifndef SERVER_COMMAND_STRING_H
#define SERVER_COMMAND_STRING_H

#include "server/command.h"

command_execute command_string_get;
command_execute command_string_setnx;
command_execute command_string_setex;
command_execute command_string_psetex;
command_execute command_string_getset;
command_execute command_string_getdel;
command_execute command_string_mget;
command_execute command_string_mset;
command_execute command_string_msetnx;
command_execute command_string_append;
command_execute command_string_strlen;
command_execute command_string_getrange;
command_execute command_string_setrange;

/* command_set.c: the ones with options */
command_execute command_set_set;
command_execute command_set_getex;

/* command_counter.c */
command_execute command_counter_incr;
command_execute command_counter_decr;
command_execute command_counter_incrby;
command_execute command_counter_decrby;

#endif
