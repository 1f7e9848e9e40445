/* holdfast snapshot restore: the keys of a backup into a running cluster, through ordinary writes, so that they are
 * routed by the groups that this cluster has. A file is read and checked as a whole before the first key is written. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/backup_input.h"
#include "cli/backup_keys.h"
#include "cli/bulk_writer.h"
#include "cli/interrupt.h"
#include "cli/verbs.h"

enum restore_key { KEY_FORCE = 0x100, KEY_DRY_RUN };

static struct {
    const char *path;
    const char *address;
    bool is_forced;
    bool is_dry;
} choice = {.address = "127.0.0.1:6379"};

static const struct argp_option restore_options[] = {
    {"address", 'a', "HOST:PORT", 0, "The Redis port of a node of the cluster (default 127.0.0.1:6379)", 0},
    {"force", KEY_FORCE, NULL, 0, "Also into a cluster that has keys: those of the backup are set, others stay", 0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Check the backup and the cluster, say what would be done, change nothing", 0},
    {0},
};

static error_t restore_parse(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case 'a':
        choice.address = text;
        return 0;
    case KEY_FORCE:
        choice.is_forced = true;
        return 0;
    case KEY_DRY_RUN:
        choice.is_dry = true;
        return 0;
    case ARGP_KEY_ARG:
        choice.path = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct restore {
    const struct verb_common *common;
    struct io *io;
    struct bulk_writer *writer;
    uint32_t groups;
    uint64_t keys;    /* in the backup */
    uint64_t expired; /* of those: past their deadline when the group was cut */
    bool writes;      /* false: only counts */
};

static int restore_visit(void *arg, const struct state_walk_item *item)
{
    struct restore *restore = arg;
    int rc = interrupt_check();
    if (rc != 0) {
        return rc;
    }
    restore->keys++;
    if (item->is_past) {
        restore->expired++;
        return 0;
    }
    if (strcmp(item->type, "string") != 0) {
        return error_raise(HF_EUNSUPPORTED, "a key of type %s", item->type);
    }
    return restore->writes ? bulk_writer_set(restore->writer, item->key, item->value, item->deadline_ms) : 0;
}

static void restore_group_ended(void *arg, const struct hf_snapshot_manifest *manifest)
{
    ((struct restore *)arg)->groups++;
}

static int restore_pass(struct restore *restore, bool writes)
{
    struct backup_keys keys = {.visit = restore_visit, .arg = restore, .group_ended = restore_group_ended};
    struct backup_input input;
    struct backup_reader *reader = NULL;
    restore->groups = 0;
    restore->keys = 0;
    restore->expired = 0;
    restore->writes = writes;
    int rc = backup_input_open(restore->io, choice.path, &input);
    keys.bytes_total = input.size;
    keys.progress = progress_open(restore->common, writes ? "restore" : "check");
    rc = rc == 0 ? backup_reader_open(backup_input_read, &input, &reader) : rc;
    rc = rc == 0 ? backup_keys_of_backup(&keys, reader) : rc;
    rc = rc == 0 && writes ? bulk_writer_flush(restore->writer) : rc;
    progress_close(keys.progress);
    backup_reader_close(reader);
    backup_input_close(&input);
    return rc;
}

static int restore_check_empty(struct restore *restore)
{
    uint64_t count = 0;
    int rc = bulk_writer_count_keys(restore->writer, &count);
    if (rc == 0 && count > 0 && !choice.is_forced) {
        rc = error_raise(HF_EEXISTS, "the cluster at %s has %" PRIu64 " keys already", choice.address, count);
    }
    return rc;
}

static int restore_work(struct restore *restore)
{
    bool is_stream = strcmp(choice.path, "-") == 0; /* which can be read only once */
    int rc = io_open_kernel(IO_BACKEND_THREADS, &restore->io);
    rc = rc == 0 ? bulk_writer_open(restore->io, choice.address, &restore->writer) : rc;
    rc = rc == 0 ? restore_check_empty(restore) : rc;
    if (!is_stream || choice.is_dry) {
        rc = rc == 0 ? restore_pass(restore, false) : rc;
    }
    return rc == 0 && !choice.is_dry ? restore_pass(restore, true) : rc;
}

static void restore_tell(const struct restore *restore)
{
    uint64_t keys = restore->keys - restore->expired;
    if (restore->common->json) {
        json_t *json =
            json_pack("{s:s, s:b, s:i, s:I, s:I}", "file", choice.path, "dry_run", choice.is_dry, "groups",
                      (int)restore->groups, "keys", (json_int_t)keys, "expired", (json_int_t)restore->expired);
        char *text = json_dumps(json, JSON_COMPACT);
        puts(text);
        free(text);
        json_decref(json);
    } else if (!restore->common->quiet) {
        printf("%s %" PRIu64 " keys of %" PRIu32 " groups", choice.is_dry ? "would restore" : "restored", keys,
               restore->groups);
        if (restore->expired > 0) {
            printf("; %" PRIu64 " had expired", restore->expired);
        }
        printf("\n");
    }
}

static int restore_fail(const struct restore *restore, int rc)
{
    if (rc == HF_EEXISTS) {
        return verb_fail(rc, "restore into a fresh cluster, or give --force to write the backup's keys over it");
    }
    if (restore->writer != NULL && bulk_writer_written(restore->writer) > 0) {
        return verb_fail(rc, "part of the keys is written; when the cause is gone, holdfast snapshot restore --force "
                             "writes all of them again");
    }
    return verb_fail(rc, rc == HF_ECORRUPT ? "nothing was written; holdfast snapshot verify FILE checks another copy"
                                           : "nothing was written");
}

static int restore_run(const struct verb_common *common)
{
    struct restore restore = {.common = common};
    interrupt_catch();
    int rc = restore_work(&restore);
    if (rc == 0) {
        restore_tell(&restore);
    }
    int code = rc == 0 ? VERB_EXIT_OK : restore_fail(&restore, rc);
    bulk_writer_close(restore.writer);
    io_close(restore.io);
    return code;
}

const struct verb verb_snapshot_restore = {
    .name = "snapshot restore",
    .arguments = "FILE|-",
    .summary = "Write the keys of a backup into a running cluster",
    .details =
        "The cluster must have no keys, keeps its own identity, and may have another number of groups: keys are "
        "routed anew, by ordinary writes. Deadlines stay what they were. A file is checked as a whole before the "
        "first key is written; standard input is checked chunk by chunk on the way.",
    .options = restore_options,
    .parse = restore_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = restore_run,
};
