#include "cli/recover_show.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

static bool recover_show_is_here(const struct recover_survey *survey, uint64_t node_id)
{
    for (uint32_t i = 0; i < survey->count; i++) {
        if (survey->sources[i]->node_id == node_id) {
            return true;
        }
    }
    return false;
}

/* ---- text ---- */

static void recover_show_members(const struct recover_survey *survey)
{
    const struct membership *membership = survey->membership;
    char id[33];
    description_cluster_id_text(survey->description, id);
    printf("cluster %s; members as node %" PRIu64 " knew them (version %" PRIu64 "):", id, survey->membership_of,
           membership->version);
    for (uint32_t i = 0; i < membership->count; i++) {
        uint64_t node = membership->members[i].node.id;
        printf(" %" PRIu64 "%s", node, recover_show_is_here(survey, node) ? "" : " (lost)");
    }
    printf("\n");
    for (uint32_t i = 0; i < survey->count; i++) {
        const struct survivor *source = survey->sources[i];
        printf("node %" PRIu64 ": %s%s\n", source->node_id, source->path,
               recover_survey_is_removed(survey, source->node_id) ? ", REMOVED from the cluster" : "");
        if (source->log_text[0] != '\0') {
            printf("  %s\n", source->log_text);
        }
    }
}

static void recover_show_copy(const struct recover_survey *survey, uint32_t source, const struct survivor_copy *copy)
{
    printf("  node %" PRIu64 ": ", survey->sources[source]->node_id);
    if (copy->is_there) {
        printf("index %" PRIu64 ", term %" PRIu64 ", committed %" PRIu64 ", log from %" PRIu64, copy->last_index,
               copy->last_term, copy->commit, copy->first_index);
    }
    if (copy->snapshot_index > 0) {
        printf(", snapshot at %" PRIu64, copy->snapshot_index);
    }
    if (copy->snapshots_damaged > 0) {
        printf(", %" PRIu32 " newer DAMAGED", copy->snapshots_damaged);
    }
    printf("%s%s\n", copy->is_there && !copy->is_good ? "; NOT GOOD: " : "", copy->reason);
}

static void recover_show_group(const struct recover_survey *survey, uint32_t ordinal)
{
    const struct recover_survey_group *group = survey->groups[ordinal];
    const struct recover_choice *choice = &group->choice;
    uint64_t id = survey->description->groups[ordinal + 1].id;
    if (choice->result != 0) {
        printf("group %" PRIu64 ": REFUSED: %s\n", id, choice->problem);
    } else if (choice->is_skipped) {
        printf("group %" PRIu64 ": SKIPPED: %s\n", id, choice->problem);
    } else {
        printf("group %" PRIu64 ": from node %" PRIu64 ", %s\n", id, survey->sources[choice->candidate]->node_id,
               choice->why);
    }
    for (uint32_t i = 0; i < survey->count; i++) {
        recover_show_copy(survey, i, &group->copies[i]);
    }
    if (choice->result != 0 || choice->is_skipped) {
        return;
    }
    if (choice->unknown_first != 0) {
        printf("  kept: %" PRIu64 " … %" PRIu64
               ", of which nobody here knows whether they were committed: they may have been acknowledged\n",
               choice->unknown_first, choice->unknown_last);
    }
    if (choice->is_complete) {
        printf("  %u of %u voters are here: nothing that was acknowledged is lost\n", choice->voters_here,
               choice->voters);
    } else {
        printf("  %u of %u voters are here: %s%s\n", choice->voters_here, choice->voters, choice->problem,
               choice->is_loss_accepted ? "; accepted" : "");
    }
}

void recover_show_text(const struct recover_survey *survey)
{
    bool is_complete = true;
    recover_show_members(survey);
    for (uint32_t i = 0; i < survey->group_count; i++) {
        recover_show_group(survey, i);
        is_complete = is_complete && survey->groups[i]->choice.is_complete;
    }
    if (is_complete) {
        printf("a majority of every group is here: the old cluster can go on. next: rather start these nodes again\n");
    }
}

/* ---- JSON ---- */

static json_t *recover_show_copy_json(const struct recover_survey *survey, uint32_t source,
                                      const struct survivor_copy *copy)
{
    json_t *json = json_pack(
        "{s:I, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "node", (json_int_t)survey->sources[source]->node_id,
        "is_there", copy->is_there, "is_good", copy->is_good, "first", (json_int_t)copy->first_index, "last",
        (json_int_t)copy->last_index, "last_term", (json_int_t)copy->last_term, "term", (json_int_t)copy->term,
        "commit", (json_int_t)copy->commit, "missing", (json_int_t)copy->missing, "snapshot",
        (json_int_t)copy->snapshot_index, "snapshots_damaged", (int)copy->snapshots_damaged);
    if (!copy->is_good) {
        json_object_set_new(json, "reason", json_string(copy->reason));
    }
    return json;
}

static json_t *recover_show_group_json(const struct recover_survey *survey, uint32_t ordinal)
{
    const struct recover_survey_group *group = survey->groups[ordinal];
    const struct recover_choice *choice = &group->choice;
    json_t *copies = json_array();
    for (uint32_t i = 0; i < survey->count; i++) {
        json_array_append_new(copies, recover_show_copy_json(survey, i, &group->copies[i]));
    }
    json_t *json = json_pack(
        "{s:I, s:s, s:b, s:b, s:b, s:I, s:I, s:o}", "group", (json_int_t)survey->description->groups[ordinal + 1].id,
        "result", hf_error_name(choice->result), "is_skipped", choice->is_skipped, "is_complete", choice->is_complete,
        "is_loss_accepted", choice->is_loss_accepted, "voters", (json_int_t)choice->voters, "voters_here",
        (json_int_t)choice->voters_here, "copies", copies);
    if (choice->candidate != RECOVER_PLAN_NONE) {
        json_object_set_new(json, "from", json_integer((json_int_t)survey->sources[choice->candidate]->node_id));
        json_object_set_new(json, "why", json_string(choice->why));
        json_object_set_new(json, "commit", json_integer((json_int_t)choice->commit));
    }
    if (choice->unknown_first != 0) {
        json_object_set_new(json, "unknown_first", json_integer((json_int_t)choice->unknown_first));
        json_object_set_new(json, "unknown_last", json_integer((json_int_t)choice->unknown_last));
    }
    if (choice->problem[0] != '\0') {
        json_object_set_new(json, "problem", json_string(choice->problem));
    }
    return json;
}

static json_t *recover_show_made_json(const struct recover_survey *survey, const struct recover_made *made)
{
    char id[33];
    if (made->path == NULL) {
        return json_null();
    }
    json_t *groups = json_array();
    description_cluster_id_text(made->description, id);
    for (uint32_t i = 0; i < survey->group_count; i++) {
        const struct rebuild_result *result = &made->results[i];
        json_array_append_new(groups, json_pack("{s:I, s:I, s:I, s:I, s:I}", "group",
                                                (json_int_t)made->description->groups[i + 1].id, "index",
                                                (json_int_t)result->index, "term", (json_int_t)result->term, "entries",
                                                (json_int_t)result->entries, "bytes", (json_int_t)result->bytes));
    }
    return json_pack("{s:s, s:s, s:I, s:o}", "path", made->path, "cluster", id, "node",
                     (json_int_t)made->description->nodes[0].id, "groups", groups);
}

void recover_show_json(const struct recover_survey *survey, const struct recover_made *made)
{
    char id[33];
    json_t *sources = json_array();
    json_t *members = json_array();
    json_t *groups = json_array();
    description_cluster_id_text(survey->description, id);
    for (uint32_t i = 0; i < survey->count; i++) {
        const struct survivor *source = survey->sources[i];
        json_array_append_new(sources,
                              json_pack("{s:I, s:s, s:b, s:s}", "node", (json_int_t)source->node_id, "path",
                                        source->path, "is_removed", recover_survey_is_removed(survey, source->node_id),
                                        "log_problem", source->log_text));
    }
    for (uint32_t i = 0; i < survey->membership->count; i++) {
        uint64_t node = survey->membership->members[i].node.id;
        json_array_append_new(
            members, json_pack("{s:I, s:b}", "node", (json_int_t)node, "is_here", recover_show_is_here(survey, node)));
    }
    for (uint32_t i = 0; i < survey->group_count; i++) {
        json_array_append_new(groups, recover_show_group_json(survey, i));
    }
    json_t *json =
        json_pack("{s:s, s:o, s:o, s:o, s:I, s:o}", "cluster", id, "sources", sources, "members", members, "groups",
                  groups, "refused", (json_int_t)survey->refused, "made", recover_show_made_json(survey, made));
    char *text = json_dumps(json, JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(json);
}
