#include "cli/recover_survey.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "node/directory.h"

static bool recover_survey_names(const struct recover_survey_groups *groups, uint64_t group)
{
    for (uint32_t i = 0; i < groups->count; i++) {
        if (groups->groups[i] == group) {
            return true;
        }
    }
    return false;
}

static int recover_survey_check_groups(const struct recover_survey *survey, const struct recover_survey_groups *groups)
{
    for (uint32_t i = 0; i < groups->count; i++) {
        if (groups->groups[i] < 2 || groups->groups[i] > survey->group_count + 1) {
            return error_raise(HF_EINVALID, "group %" PRIu64 " is named; the cluster has the groups 2 … %" PRIu32,
                               groups->groups[i], survey->group_count + 1);
        }
    }
    return 0;
}

/* ---- Who they are ---- */

/* Asked before anything is locked: a directory that is given twice would seem to be in use. */
static int recover_survey_identify(struct io *io, const struct recover_survey_options *options)
{
    struct directory_identity seen[RECOVER_SURVEY_SOURCES_MAX];
    for (uint32_t i = 0; i < options->count; i++) {
        int rc = directory_identify(io, options->paths[i], &seen[i]);
        if (rc != 0) {
            return error_wrap(rc, "%s", options->paths[i]);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (memcmp(seen[i].cluster_id, seen[k].cluster_id, PEER_CLUSTER_ID_SIZE) != 0) {
                return error_raise(HF_EMISMATCH, "%s and %s belong to different clusters", options->paths[k],
                                   options->paths[i]);
            }
            if (seen[i].node_id == seen[k].node_id) {
                return error_raise(HF_EINVALID, "%s and %s are both of node %" PRIu64 "%s", options->paths[k],
                                   options->paths[i], seen[i].node_id,
                                   seen[i].node_incarnation == seen[k].node_incarnation
                                       ? ": one directory, or a copy of it"
                                       : ", under two incarnations");
            }
        }
    }
    return 0;
}

static bool recover_survey_is_same(const struct description *a, const struct description *b)
{
    struct buffer left = {0};
    struct buffer right = {0};
    description_encode(a, &left);
    description_encode(b, &right);
    bool is_same = bytes_equal(buffer_bytes(&left), buffer_bytes(&right));
    buffer_close(&left);
    buffer_close(&right);
    return is_same;
}

static int recover_survey_open_sources(struct io *io, const struct recover_survey_options *options,
                                       struct recover_survey *survey)
{
    int rc = recover_survey_identify(io, options);
    for (uint32_t i = 0; rc == 0 && i < options->count; i++) {
        rc = survivor_open(io, options->paths[i], options->snapshots[i], &survey->sources[i]);
        if (rc != 0) {
            return error_wrap(rc, "%s", options->paths[i]);
        }
        survey->count = i + 1;
        const struct survivor *source = survey->sources[i];
        if (i == 0 || source->membership->version > survey->membership->version) {
            survey->membership = source->membership;
            survey->membership_of = source->node_id;
        }
        if (i == 0) {
            survey->description = source->description;
        } else if (!recover_survey_is_same(survey->description, source->description)) {
            rc = error_raise(HF_EMISMATCH, "%s and %s have different descriptions of one cluster", options->paths[0],
                             options->paths[i]);
        }
    }
    survey->group_count = rc == 0 ? survey->description->group_count : 0;
    return rc;
}

bool recover_survey_is_removed(const struct recover_survey *survey, uint64_t node_id)
{
    return membership_find(survey->membership, node_id) == NULL;
}

/* ---- What they hold ---- */

static void recover_survey_choose(struct recover_survey *survey, const struct recover_survey_options *options,
                                  struct recover_survey_group *group, uint64_t id)
{
    struct recover_candidate candidates[RECOVER_SURVEY_SOURCES_MAX];
    const struct recover_wishes wishes = {.is_skipped = recover_survey_names(&options->skipped, id),
                                          .accepts_loss = recover_survey_names(&options->loss_accepted, id),
                                          .accepts_removed = options->accepts_removed};
    for (uint32_t i = 0; i < survey->count; i++) {
        uint64_t node = survey->sources[i]->node_id;
        candidates[i] = (struct recover_candidate){.node_id = node,
                                                   .is_removed = recover_survey_is_removed(survey, node),
                                                   .copy = &group->copies[i],
                                                   .may_be_short = directory_relaxed(survey->sources[i]->directory) ==
                                                                   DIRECTORY_RELAXED_BEFORE};
    }
    recover_plan_choose(candidates, survey->count, &wishes, &group->choice);
    if (group->choice.result != 0) {
        survey->refused++;
        survey->refused_result = survey->refused_result == HF_ECORRUPT ? HF_ECORRUPT : group->choice.result;
    }
}

int recover_survey_open(struct io *io, const struct recover_survey_options *options, struct progress *progress,
                        struct recover_survey *out)
{
    *out = (struct recover_survey){0};
    int rc = recover_survey_open_sources(io, options, out);
    rc = rc == 0 ? recover_survey_check_groups(out, &options->skipped) : rc;
    rc = rc == 0 ? recover_survey_check_groups(out, &options->loss_accepted) : rc;
    if (rc != 0) {
        return rc;
    }
    out->groups = memory_new(out->group_count * sizeof(struct recover_survey_group *));
    for (uint32_t ordinal = 0; ordinal < out->group_count; ordinal++) {
        uint64_t id = out->description->groups[ordinal + 1].id;
        struct recover_survey_group *group = memory_new(sizeof(*group));
        group->copies = memory_new(out->count * sizeof(*group->copies));
        out->groups[ordinal] = group;
        for (uint32_t i = 0; i < out->count; i++) {
            survivor_examine(out->sources[i], id, &group->copies[i]);
            progress_update(progress, (uint64_t)ordinal * out->count + i + 1, (uint64_t)out->group_count * out->count);
        }
        recover_survey_choose(out, options, group, id);
    }
    return 0;
}

void recover_survey_close(struct recover_survey *survey)
{
    for (uint32_t i = 0; survey->groups != NULL && i < survey->group_count; i++) {
        free(survey->groups[i]->copies);
        free(survey->groups[i]);
    }
    free(survey->groups);
    for (uint32_t i = 0; i < survey->count; i++) {
        survivor_close(survey->sources[i]);
    }
    *survey = (struct recover_survey){0};
}
