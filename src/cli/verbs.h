/* The verbs, one per file src/cli/verb_*.c. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/verb.h"

extern const struct verb verb_dev;
extern const struct verb verb_serve;
extern const struct verb verb_init;
extern const struct verb verb_status;
extern const struct verb verb_join;
extern const struct verb verb_recover;
extern const struct verb verb_member_list;
extern const struct verb verb_member_add;
extern const struct verb verb_member_promote;
extern const struct verb verb_member_demote;
extern const struct verb verb_member_remove;
extern const struct verb verb_member_move;
extern const struct verb verb_member_transfer;
extern const struct verb verb_log_dump;
extern const struct verb verb_log_tail;
extern const struct verb verb_log_stat;
extern const struct verb verb_log_digest;
extern const struct verb verb_log_export;
extern const struct verb verb_log_verify;
extern const struct verb verb_log_repair;
extern const struct verb verb_snapshot_list;
extern const struct verb verb_snapshot_verify;
extern const struct verb verb_snapshot_inspect;
extern const struct verb verb_snapshot_take;
extern const struct verb verb_snapshot_save;
extern const struct verb verb_snapshot_restore;
extern const struct verb verb_snapshot_export;
extern const struct verb verb_bench;
extern const struct verb verb_config_show;
extern const struct verb verb_config_check;
extern const struct verb verb_config_default;
extern const struct verb verb_completion;
extern const struct verb verb_man;

#endif
