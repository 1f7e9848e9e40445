/* The plan of holdfast recover as text and as JSON. */
#ifndef CLI_RECOVER_SHOW_H
#define CLI_RECOVER_SHOW_H

#include "cli/recover_survey.h"
#include "node/rebuild.h"

/* What was made; NULL members: nothing. */
struct recover_made {
    const char *path;
    const struct description *description;
    const struct rebuild_result *results; /* by ordinal */
};

void recover_show_text(const struct recover_survey *survey);
void recover_show_json(const struct recover_survey *survey, const struct recover_made *made);

#endif
