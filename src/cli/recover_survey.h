/* What holdfast recover knows before it does anything: the surviving directories, what each holds of every group, and
 * which copy is taken. Reads only. */
#ifndef CLI_RECOVER_SURVEY_H
#define CLI_RECOVER_SURVEY_H

#include "cli/progress.h"
#include "node/recover_plan.h"
#include "node/survivor.h"

#define RECOVER_SURVEY_SOURCES_MAX DESCRIPTION_NODES_MAX
#define RECOVER_SURVEY_GROUPS_MAX  1024u /* that are named in options */

struct recover_survey_groups { /* of an option that may be repeated */
    uint64_t groups[RECOVER_SURVEY_GROUPS_MAX];
    uint32_t count;
};

struct recover_survey_options {
    const char *paths[RECOVER_SURVEY_SOURCES_MAX];
    const char *snapshots[RECOVER_SURVEY_SOURCES_MAX]; /* where the node of paths[i] keeps them; NULL: in there */
    uint32_t count;
    struct recover_survey_groups skipped;
    struct recover_survey_groups loss_accepted;
    bool accepts_removed;
};

struct recover_survey_group {
    struct survivor_copy *copies; /* by source */
    struct recover_choice choice;
};

struct recover_survey {
    struct survivor *sources[RECOVER_SURVEY_SOURCES_MAX];
    uint32_t count;
    const struct description *description; /* of the old cluster */
    const struct membership *membership;   /* the newest that any of them has */
    uint64_t membership_of;                /* the node that has it */
    struct recover_survey_group **groups;  /* routed ones, by ordinal */
    uint32_t group_count;
    uint32_t refused;   /* groups */
    int refused_result; /* HF_ECORRUPT when any lacks a good copy */
};

/* HF_EMISMATCH: directories of different clusters; HF_EINVALID: one is given twice, two are of one node, or an option
 * names a group or node that is not there; and what survivor_open says. recover_survey_close afterwards in any case. */
int recover_survey_open(struct io *io, const struct recover_survey_options *options, struct progress *progress,
                        struct recover_survey *out);
void recover_survey_close(struct recover_survey *survey);
/* Whether the newest list of members lacks a node. */
bool recover_survey_is_removed(const struct recover_survey *survey, uint64_t node_id);

#endif
