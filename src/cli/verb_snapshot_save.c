/* holdfast snapshot save: a backup of a running cluster into a file, or to standard output.
 *
 *   per group   barrier ─ snapshot        on the node that was named: holds all that was acknowledged before
 *   per group   find ─ read chunk, …      appended to FILE.part, each chunk checked
 *   trailer ─ sync ─ rename ─ folder sync
 *
 * A save that is interrupted, by Ctrl-C too, leaves FILE.part. With --resume that is read again and written on: what is
 * whole in it is kept, and if the node no longer has the snapshot that the last group in it came from, that group is
 * fetched anew. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cli/backup_input.h"
#include "cli/backup_output.h"
#include "cli/backup_remote.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "snapshot/backup_writer.h"

enum save_key { KEY_RESUME = 0x100 };

static struct {
    const char *path;
    const char *address;
    bool resume;
} choice = {.address = "127.0.0.1:6379"};

static const struct argp_option save_options[] = {
    {"address", 'a', "HOST:PORT", 0, "The Redis port of the node to fetch from (default 127.0.0.1:6379)", 0},
    {"resume", KEY_RESUME, NULL, 0, "Go on with FILE.part, which an interrupted save left", 0},
    {0},
};

static error_t save_parse(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case 'a':
        choice.address = text;
        return 0;
    case KEY_RESUME:
        choice.resume = true;
        return 0;
    case ARGP_KEY_ARG:
        choice.path = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct save {
    const struct verb_common *common;
    struct io *io;
    struct backup_remote *remote;
    struct backup_remote_cluster cluster;
    struct backup_output output;
    struct backup_header header;
    struct backup_writer *writer;
    struct hf_snapshot_manifest *manifests; /* of the groups in the backup so far */
    uint32_t groups;                        /* so many; the last one perhaps in part */
    uint64_t last_offset;                   /* where the last one begins */
    uint64_t resumed_bytes;
    uint64_t expected_bytes; /* roughly, of the whole */
    struct progress *progress;
};

static bool save_is_last_whole(const struct save *save)
{
    return save->groups == 0 || backup_writer_chunks(save->writer) == save->manifests[save->groups - 1].chunk_count;
}

/* ---- going on with a part ---- */

static int save_begin_group(struct save *save, const struct hf_snapshot_manifest *manifest)
{
    uint64_t offset = backup_writer_offset(save->writer);
    if (save->groups == save->cluster.group_count || manifest->group != save->cluster.groups[save->groups]) {
        return error_raise(HF_EMISMATCH, "%s has other groups than the cluster", save->output.part);
    }
    int rc = backup_writer_group(save->writer, manifest);
    if (rc == 0) {
        save->last_offset = offset;
        save->manifests[save->groups++] = *manifest;
    }
    return rc;
}

/* Writes again what is good in the part; it is not written, but counted and digested. Stops at its first wrong byte or
 * at its end, which is where an interrupted save stopped. */
static int save_replay(struct save *save, struct backup_reader *reader)
{
    const struct hf_snapshot_manifest *manifest;
    struct hf_bytes application = {0};
    struct hf_bytes raw;
    int rc = backup_writer_open(&save->header, backup_output_write, &save->output, &save->writer);
    save->groups = 0;
    while (rc == 0 && backup_reader_group(reader, &manifest) == 0 && manifest != NULL) {
        rc = save_begin_group(save, manifest);
        while (rc == 0 && backup_reader_chunk(reader, &application, &raw) == 0 && application.size > 0) {
            rc = backup_writer_chunk(save->writer, raw);
            progress_update(save->progress, backup_writer_offset(save->writer), save->output.kept);
        }
    }
    return rc;
}

/* size: of the part, or as much of it as counts. */
static int save_read_part(struct save *save, uint64_t size)
{
    struct backup_input input = {.file = save->output.file, .size = size, .is_limited = true};
    struct backup_reader *reader = NULL;
    int rc = backup_reader_open(backup_input_read, &input, &reader);
    if (rc != 0) {
        return size < BACKUP_FORMAT_HEADER_SIZE ? 0 : error_wrap(rc, "%s", save->output.part);
    }
    save->header = *backup_reader_header(reader);
    if (memcmp(save->header.cluster_id, save->cluster.id, sizeof(save->cluster.id)) != 0 ||
        save->header.group_count != save->cluster.group_count) {
        rc =
            error_raise(HF_EMISMATCH, "%s is of another cluster than the one at %s", save->output.part, choice.address);
    }
    backup_writer_close(save->writer);
    save->writer = NULL;
    backup_output_keep(&save->output, size);
    rc = rc == 0 ? save_replay(save, reader) : rc;
    backup_reader_close(reader);
    return rc;
}

/* Whether the node still has what the last group in the part came from. */
static int save_take_nothing(void *arg, struct hf_bytes raw)
{
    return 0;
}

static int save_resume(struct save *save)
{
    uint64_t size;
    int rc = file_size(save->output.file, &size);
    rc = rc == 0 ? save_read_part(save, size) : rc;
    if (rc == 0 && save->writer != NULL && !save_is_last_whole(save)) {
        struct hf_snapshot_manifest probe = save->manifests[save->groups - 1];
        uint32_t next = backup_writer_chunks(save->writer);
        probe.chunk_count = next + 1;
        rc = backup_remote_fetch(save->remote, &probe, next, save_take_nothing, NULL);
        if (rc == HF_ENOTFOUND) {
            rc = save_read_part(save, save->last_offset);
        }
    }
    if (rc == 0 && save->writer != NULL) {
        save->resumed_bytes = backup_writer_offset(save->writer);
        rc = backup_output_cut(&save->output);
        backup_output_keep(&save->output, 0);
        save->output.offset = save->resumed_bytes;
    }
    return rc;
}

/* ---- fetching ---- */

static int save_begin(struct save *save)
{
    save->header = (struct backup_header){.created_ms = io_wall_ms(save->io), .group_count = save->cluster.group_count};
    memcpy(save->header.cluster_id, save->cluster.id, sizeof(save->cluster.id));
    io_random(save->io, save->header.id.bytes, sizeof(save->header.id.bytes));
    return backup_writer_open(&save->header, backup_output_write, &save->output, &save->writer);
}

/* Fresh snapshots of all groups that are to come, one soon after the other, before the first byte is fetched. */
static int save_take(struct save *save)
{
    struct hf_snapshot_manifest manifest;
    save->expected_bytes = 0;
    for (uint32_t i = 0; i < save->groups; i++) {
        save->expected_bytes += save->manifests[i].stored_bytes;
    }
    for (uint32_t i = save->groups; i < save->cluster.group_count; i++) {
        int rc = backup_remote_take(save->remote, save->cluster.groups[i]);
        rc = rc == 0 ? backup_remote_find(save->remote, save->cluster.groups[i], &manifest) : rc;
        rc = rc == 0 ? interrupt_check() : rc;
        if (rc != 0) {
            return error_wrap(rc, "group %" PRIu64, save->cluster.groups[i]);
        }
        save->expected_bytes += manifest.stored_bytes;
    }
    return 0;
}

static int save_take_chunk(void *arg, struct hf_bytes raw)
{
    struct save *save = arg;
    int rc = backup_writer_chunk(save->writer, raw);
    uint64_t done = backup_writer_offset(save->writer);
    progress_update(save->progress, done, done > save->expected_bytes ? done : save->expected_bytes);
    return rc == 0 ? interrupt_check() : rc;
}

static int save_fetch_rest(struct save *save)
{
    return save->groups == 0 ? 0
                             : backup_remote_fetch(save->remote, &save->manifests[save->groups - 1],
                                                   backup_writer_chunks(save->writer), save_take_chunk, save);
}

static int save_fetch(struct save *save)
{
    struct hf_snapshot_manifest manifest;
    int rc = save_fetch_rest(save);
    while (rc == 0 && save->groups < save->cluster.group_count) {
        rc = backup_remote_find(save->remote, save->cluster.groups[save->groups], &manifest);
        rc = rc == 0 ? save_begin_group(save, &manifest) : rc;
        rc = rc == 0 ? save_fetch_rest(save) : rc;
    }
    rc = rc == 0 ? backup_writer_finish(save->writer) : rc;
    return rc == 0 ? backup_output_publish(&save->output) : rc;
}

static int save_work(struct save *save)
{
    int rc = io_open_kernel(IO_BACKEND_THREADS, &save->io);
    rc = rc == 0 ? backup_remote_open(choice.address, &save->remote) : rc;
    rc = rc == 0 ? backup_remote_describe(save->remote, choice.address, &save->cluster) : rc;
    rc = rc == 0 ? backup_output_open(save->io, choice.path, choice.resume, &save->output) : rc;
    if (rc == 0) {
        save->manifests = memory_new(save->cluster.group_count * sizeof(*save->manifests));
        save->progress = progress_open(save->common, "backup");
        rc = choice.resume ? save_resume(save) : 0;
    }
    rc = rc == 0 && save->writer == NULL ? save_begin(save) : rc;
    rc = rc == 0 ? save_take(save) : rc;
    return rc == 0 ? save_fetch(save) : rc;
}

/* ---- telling ---- */

/* Standard output is the backup's own when it goes there. */
static void save_tell(const struct save *save)
{
    FILE *stream = save->output.file != NULL ? stdout : stderr;
    uint64_t entries = 0;
    for (uint32_t i = 0; i < save->groups; i++) {
        entries += save->manifests[i].entries;
    }
    uint64_t bytes = backup_writer_offset(save->writer);
    if (save->common->json) {
        json_t *json = json_pack("{s:s, s:i, s:I, s:I, s:I}", "file", choice.path, "groups", (int)save->groups,
                                 "entries", (json_int_t)entries, "bytes", (json_int_t)bytes, "resumed_bytes",
                                 (json_int_t)save->resumed_bytes);
        char *text = json_dumps(json, JSON_COMPACT);
        fprintf(stream, "%s\n", text);
        free(text);
        json_decref(json);
    } else if (!save->common->quiet) {
        fprintf(stream, "saved %" PRIu32 " groups, %" PRIu64 " bytes", save->groups, bytes);
        if (save->resumed_bytes > 0) {
            fprintf(stream, ", of which %" PRIu64 " were there already", save->resumed_bytes);
        }
        fprintf(stream, "\n");
    }
}

static int save_fail(const struct save *save, int rc)
{
    if (save->groups == 0 && !choice.resume) {
        return verb_fail(rc, rc == HF_EEXISTS ? "choose another name, or give --resume to go on with a .part"
                                              : "nothing was saved; holdfast status shows what the cluster is doing");
    }
    if (save->groups == 0 && rc == HF_EEXISTS) {
        return verb_fail(rc, "holdfast snapshot verify FILE checks it; choose another name for another backup");
    }
    if (save->output.file == NULL) {
        return verb_fail(rc, choice.resume ? "nothing was changed; the same command goes on with the .part"
                                           : "what was written is no backup; save it again");
    }
    return verb_fail(rc, "nothing in the cluster changed; holdfast snapshot save --resume goes on with the .part");
}

static int save_run(const struct verb_common *common)
{
    struct save save = {.common = common};
    interrupt_catch();
    int rc = save_work(&save);
    progress_close(save.progress);
    if (rc == 0) {
        save_tell(&save);
    }
    int code = rc == 0 ? VERB_EXIT_OK : save_fail(&save, rc);
    if (rc != 0 && rc != HF_EEXISTS && rc != HF_EBUSY && save.groups == 0 && !choice.resume) {
        backup_output_discard(&save.output); /* there is nothing in it */
    }
    backup_writer_close(save.writer);
    backup_remote_close(save.remote);
    backup_output_close(&save.output);
    io_close(save.io);
    free(save.manifests);
    return code;
}

const struct verb verb_snapshot_save = {
    .name = "snapshot save",
    .arguments = "FILE|-",
    .summary = "Save a backup of a running cluster: one cut of every group",
    .details =
        "Takes a fresh snapshot of every group on one node, and fetches them into FILE, or to standard output. Each "
        "group is consistent in itself and holds everything that was acknowledged before the save began; the groups "
        "are cut one after the other, not at one instant. FILE appears when it is whole and durable; until then it "
        "is FILE.part, with which --resume goes on.",
    .options = save_options,
    .parse = save_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = save_run,
};
