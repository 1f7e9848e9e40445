#include <stddef.h>

#include "cli/verbs.h"

const struct verb *const verb_table[] = {
    &verb_dev,
    &verb_serve,
    &verb_init,
    &verb_status,
    &verb_join,
    &verb_member_list,
    &verb_member_add,
    &verb_member_promote,
    &verb_member_demote,
    &verb_member_remove,
    &verb_member_move,
    &verb_member_transfer,
    &verb_log_dump,
    &verb_log_verify,
    &verb_snapshot_list,
    &verb_snapshot_verify,
    &verb_snapshot_inspect,
    &verb_snapshot_take,
    &verb_snapshot_save,
    &verb_snapshot_restore,
    &verb_snapshot_export,
    &verb_bench,
    &verb_config_show,
    &verb_config_check,
    &verb_config_default,
    &verb_completion,
    &verb_man,
    NULL,
};
