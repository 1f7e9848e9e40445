#include "cli/log_selection.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "cli/log_entry.h"
#include "cli/quantity.h"
#include "cli/verb.h"

#define LOG_SELECTION_OPEN_TRIES 5u

error_t log_selection_parse(struct log_selection *selection, int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case LOG_SELECTION_GROUP:
        rc = quantity_number(text, 1, HF_LOG_GROUP_MAX, &selection->group);
        break;
    case LOG_SELECTION_FROM:
        rc = quantity_number(text, 0, UINT64_MAX, &selection->index_from);
        break;
    case LOG_SELECTION_TO:
        rc = quantity_number(text, 0, UINT64_MAX, &selection->index_to);
        break;
    case ARGP_KEY_ARG:
        selection->directory = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return verb_parsed(state, rc);
}

/* A file may go between listing and reading it while a server collects: looking again finds the log whole. */
int log_selection_open(const struct log_selection *selection, struct hf_log **out)
{
    struct hf_log_options options = {.read_only = true, .io = HF_LOG_IO_THREADS};
    struct io *io = NULL;
    *out = NULL;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc != 0) {
        return rc;
    }
    char *directory = log_entry_folder(io, selection->directory);
    for (unsigned tries = 0; tries < LOG_SELECTION_OPEN_TRIES; tries++) {
        rc = hf_log_open(directory, &options, out);
        if (rc != HF_ENOTFOUND) {
            break;
        }
    }
    struct hf_log_stat stat = {0};
    if (rc == 0) {
        hf_log_stat(*out, &stat);
        if (stat.segments == 0) { /* a missing folder is an empty log to the library */
            hf_log_close(*out);
            *out = NULL;
            rc = error_raise(HF_ENOTFOUND, "there is no log in %s", directory);
        }
    }
    free(directory);
    io_close(io);
    return rc;
}

int log_selection_check(const struct log_selection *selection, struct hf_log *log)
{
    struct hf_log_group_state state;
    if (selection->group == 0) {
        return 0;
    }
    hf_log_group_state(log, selection->group, &state);
    return state.exists ? 0 : error_raise(HF_ENOTFOUND, "the log has no group %" PRIu64, selection->group);
}

bool log_selection_next_group(const struct log_selection *selection, struct hf_log *log, uint64_t *group)
{
    if (selection->group == 0) {
        return hf_log_group_next(log, *group, group) == 0;
    }
    bool first = *group == 0;
    *group = selection->group;
    return first;
}

void log_selection_range(const struct log_selection *selection, const struct hf_log_group_state *state, uint64_t *low,
                         uint64_t *high)
{
    uint64_t end = state->last_index == UINT64_MAX ? UINT64_MAX : state->last_index + 1;
    uint64_t to = selection->index_to == UINT64_MAX ? UINT64_MAX : selection->index_to + 1;
    *low = selection->index_from > state->first_index ? selection->index_from : state->first_index;
    *high = to < end ? to : end;
    *high = *high > *low ? *high : *low;
}

const char *log_selection_next(int rc)
{
    switch (rc) {
    case HF_ENOTFOUND:
        return "name a node's data directory, or the log folder in it; holdfast log stat DIR lists its groups";
    case HF_EUNAVAILABLE:
    case HF_ECOMPACTED:
        return "holdfast log stat DIR shows which entries each group holds";
    case HF_ECORRUPT:
        return "holdfast log verify names every damaged place; nothing was changed";
    case HF_EVERSION:
        return "a newer holdfast wrote it: use that one; nothing was changed";
    default:
        return "nothing was changed; the log needs a folder and files that this user may read";
    }
}

int log_selection_fail(int rc)
{
    return verb_fail(rc, log_selection_next(rc));
}
