/* Which part of which log a verb was asked for, and the log opened for reading as an open would find it, also while a
 * server appends to it; nothing is changed. */
#ifndef CLI_LOG_SELECTION_H
#define CLI_LOG_SELECTION_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "holdfast/log.h"

struct log_selection {
    const char *directory; /* a data directory, or its log folder */
    uint64_t group;        /* 0: all */
    uint64_t index_from;
    uint64_t index_to; /* inclusive */
};
/* What stands between the braces of an initializer, as in the options below. */
#define LOG_SELECTION_ALL .index_to = UINT64_MAX

/* Keys of the options below; a verb's own are others. */
enum { LOG_SELECTION_GROUP = 'g', LOG_SELECTION_FROM = 0x100, LOG_SELECTION_TO };
#define LOG_SELECTION_GROUP_OPTION "group", LOG_SELECTION_GROUP, "G", 0, "Only this group", 0
#define LOG_SELECTION_FROM_OPTION  "from", LOG_SELECTION_FROM, "INDEX", 0, "Only entries from this index on", 0
#define LOG_SELECTION_TO_OPTION    "to", LOG_SELECTION_TO, "INDEX", 0, "Only entries up to this index", 0
#define LOG_SELECTION_OPTIONS                                  \
    {LOG_SELECTION_GROUP_OPTION}, {LOG_SELECTION_FROM_OPTION}, \
    {                                                          \
        LOG_SELECTION_TO_OPTION                                \
    }
/* Takes the directory and these options; ARGP_ERR_UNKNOWN for others. */
error_t log_selection_parse(struct log_selection *selection, int key, char *text, struct argp_state *state);

/* HF_ENOTFOUND: there is no log. Otherwise as hf_log_open. */
int log_selection_open(const struct log_selection *selection, struct hf_log **out);
/* HF_ENOTFOUND: the group that was asked for is not there. */
int log_selection_check(const struct log_selection *selection, struct hf_log *log);
/* The next group that was asked for, from *group = 0 on. */
bool log_selection_next_group(const struct log_selection *selection, struct hf_log *log, uint64_t *group);
/* The range [low, high) of what was asked for that the group has; nothing: low = high. */
void log_selection_range(const struct log_selection *selection, const struct hf_log_group_state *state, uint64_t *low,
                         uint64_t *high);
/* The next step that fits a log that could not be read. */
const char *log_selection_next(int rc);
/* verb_fail with the next step that fits a log that could not be read. */
int log_selection_fail(int rc);

#endif
