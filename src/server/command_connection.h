/* The commands about the connection, the server and the cluster: what command_table_connection.c and
 * command_table_raft.c point to. Each is a command_session (session.h). Thread: the loop's. */
#ifndef SERVER_COMMAND_CONNECTION_H
#define SERVER_COMMAND_CONNECTION_H

#include "server/session.h"

#define COMMAND_CONNECTION_REDIS_VERSION "7.2.4" /* what clients are told they talk to */

/* command_connection.c */
command_session command_connection_ping, command_connection_echo, command_connection_hello, command_connection_auth,
    command_connection_select, command_connection_quit, command_connection_reset, command_connection_no_cluster,
    command_connection_time, command_connection_role, command_connection_shutdown, command_connection_ok;

/* command_client.c */
command_session command_client_setname, command_client_getname, command_client_setinfo, command_client_id,
    command_client_info, command_client_list, command_client_kill, command_client_reply, command_client_no_evict,
    command_client_no_touch, command_client_pause, command_client_unpause;
bool command_client_set_name(struct session *session, struct hf_bytes name, struct reply *reply); /* SETNAME, HELLO */

/* command_introspect.c */
command_session command_introspect_all, command_introspect_count, command_introspect_info, command_introspect_docs,
    command_introspect_list, command_introspect_getkeys;

/* command_config.c */
command_session command_config_get, command_config_set, command_config_resetstat, command_config_rewrite;

/* command_info.c */
command_session command_info_info;

/* command_object.c */
command_session command_object_encoding, command_object_freq, command_object_idletime, command_object_refcount,
    command_object_memory_usage, command_object_latency_latest, command_object_latency_histogram,
    command_object_latency_reset;

/* command_snapshot.c */
command_session command_snapshot_save, command_snapshot_bgsave, command_snapshot_lastsave, command_snapshot_raft;
/* command_raft.c */
command_session command_raft_repair;
command_session command_raft_status, command_raft_groups, command_raft_log, command_raft_barrier, command_raft_read,
    command_raft_transfer;

/* command_member.c */
command_session command_member_list, command_member_join, command_member_promote, command_member_demote,
    command_member_remove, command_member_address;

#define COMMAND_TABLE_CLIENT_COUNT 13u
extern const struct command_spec command_table_client[];

/* HELP of a command with subcommands, made from its rows. */
command_session command_introspect_help;

#endif
