#include "cli/bulk_writer.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "cli/remote.h"

#define BULK_ANSWER_TIMEOUT_MS 15000u
#define BULK_PAUSE_MS          200

struct bulk_command {
    size_t offset; /* in the bytes of the batch */
    size_t size;
    bool is_done;
};

struct bulk_writer {
    struct io *io;
    char *address;
    redisContext *context; /* NULL: broken, to be opened again */
    struct buffer bytes;   /* the batch, as it is sent */
    struct bulk_command commands[BULK_WRITER_BATCH_COUNT];
    uint32_t count;
    uint32_t done;
    uint64_t written;
};

static int writer_connect(struct bulk_writer *writer)
{
    return writer->context != NULL ? 0 : remote_connect(writer->address, BULK_ANSWER_TIMEOUT_MS, &writer->context);
}

static void writer_disconnect(struct bulk_writer *writer)
{
    if (writer->context != NULL) {
        redisFree(writer->context);
        writer->context = NULL;
    }
}

int bulk_writer_open(struct io *io, const char *address, struct bulk_writer **out)
{
    struct bulk_writer *writer = memory_new(sizeof(*writer));
    writer->io = io;
    writer->address = text_copy(address);
    int rc = writer_connect(writer);
    if (rc != 0) {
        bulk_writer_close(writer);
        return rc;
    }
    *out = writer;
    return 0;
}

void bulk_writer_close(struct bulk_writer *writer)
{
    if (writer != NULL) {
        writer_disconnect(writer);
        buffer_close(&writer->bytes);
        free(writer->address);
        free(writer);
    }
}

uint64_t bulk_writer_written(const struct bulk_writer *writer)
{
    return writer->written;
}

/* What an error reply means; 0: it may be sent again. */
static int writer_refused(const char *line, int *code)
{
    static const struct {
        const char *word;
        int code;
    } again[] = {{"CLUSTERDOWN", HF_ENOLEADER},
                 {"INDETERMINATE", HF_EINDETERMINATE},
                 {"MISCONF", HF_ENOSPACE},
                 {"BUSY", HF_EBUSY}};
    for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
        if (strncmp(line, again[i].word, strlen(again[i].word)) == 0) {
            *code = error_raise(again[i].code, "the cluster says: %s", line);
            return 0;
        }
    }
    return error_raise(HF_ECONFLICT, "the cluster says: %s", line);
}

/* 0 with *code: it may be asked again, for this reason. */
static int writer_try_count(struct bulk_writer *writer, uint64_t *out, int *code)
{
    *code = writer_connect(writer);
    if (*code != 0) {
        return 0;
    }
    redisReply *reply = redisCommand(writer->context, "DBSIZE");
    if (reply == NULL) {
        *code = error_raise(HF_EIO, "%s does not answer: %s", writer->address, writer->context->errstr);
        writer_disconnect(writer);
        return 0;
    }
    int rc = 0;
    if (reply->type == REDIS_REPLY_INTEGER) {
        *out = (uint64_t)reply->integer;
    } else {
        rc = writer_refused(reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer without sense", code);
    }
    freeReplyObject(reply);
    return rc;
}

/* Before the next attempt at what failed with code. Returns it when no progress was made for too long. */
static int writer_pause(struct bulk_writer *writer, uint64_t progress_ns, int code)
{
    if (io_monotonic_ns(writer->io) - progress_ns > (uint64_t)BULK_WRITER_PATIENCE_MS * 1000000) {
        return error_wrap(code, "no progress for %u s", BULK_WRITER_PATIENCE_MS / 1000);
    }
    (void)poll(NULL, 0, BULK_PAUSE_MS);
    return 0;
}

int bulk_writer_count_keys(struct bulk_writer *writer, uint64_t *out)
{
    uint64_t started_ns = io_monotonic_ns(writer->io);
    int code = 0;
    int rc = writer_try_count(writer, out, &code);
    while (rc == 0 && code != 0) {
        rc = writer_pause(writer, started_ns, code);
        rc = rc == 0 ? writer_try_count(writer, out, &code) : rc;
    }
    return rc;
}

/* ---- a batch ---- */

static void writer_argument(struct buffer *bytes, struct hf_bytes argument)
{
    buffer_format(bytes, "$%zu\r\n", argument.size);
    buffer_append_bytes(bytes, argument);
    buffer_append_text(bytes, "\r\n");
}

int bulk_writer_set(struct bulk_writer *writer, struct hf_bytes key, struct hf_bytes value, uint64_t deadline_ms)
{
    if (writer->count == BULK_WRITER_BATCH_COUNT || writer->bytes.size >= BULK_WRITER_BATCH_BYTES) {
        int rc = bulk_writer_flush(writer);
        if (rc != 0) {
            return rc;
        }
    }
    struct bulk_command *command = &writer->commands[writer->count++];
    *command = (struct bulk_command){.offset = writer->bytes.size};
    buffer_format(&writer->bytes, "*%d\r\n", deadline_ms != 0 ? 5 : 3);
    writer_argument(&writer->bytes, bytes_of_text("SET"));
    writer_argument(&writer->bytes, key);
    writer_argument(&writer->bytes, value);
    if (deadline_ms != 0) {
        char text[24];
        snprintf(text, sizeof(text), "%" PRIu64, deadline_ms);
        writer_argument(&writer->bytes, bytes_of_text("PXAT"));
        writer_argument(&writer->bytes, bytes_of_text(text));
    }
    command->size = writer->bytes.size - command->offset;
    return 0;
}

/* Takes one answer in. 0, or what may be tried again in *code, or the error that ends it. */
static int writer_answer(struct bulk_writer *writer, struct bulk_command *command, int *code)
{
    redisReply *reply = NULL;
    int rc = 0;
    if (redisGetReply(writer->context, (void **)&reply) != REDIS_OK) {
        *code =
            error_raise(HF_EINDETERMINATE, "the connection to %s broke: %s", writer->address, writer->context->errstr);
        writer_disconnect(writer);
        return 0;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        rc = writer_refused(reply->str, code);
    } else if (reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, "OK") != 0) {
        rc = error_raise(HF_EPROTOCOL, "%s answered a SET with something else than OK", writer->address);
    } else {
        command->is_done = true;
        writer->done++;
        writer->written++;
    }
    freeReplyObject(reply);
    return rc;
}

/* Sends what is not done, and takes the answers in. 0 with *code: something is left, for this reason. */
static int writer_round(struct bulk_writer *writer, int *code)
{
    int rc = 0;
    *code = writer_connect(writer);
    if (*code != 0) {
        return 0;
    }
    for (uint32_t i = 0; i < writer->count; i++) {
        const struct bulk_command *command = &writer->commands[i];
        if (!command->is_done) {
            (void)redisAppendFormattedCommand(writer->context, (const char *)writer->bytes.data + command->offset,
                                              command->size); /* fails for lack of memory only, then the answer does */
        }
    }
    for (uint32_t i = 0; i < writer->count && rc == 0 && writer->context != NULL; i++) {
        if (!writer->commands[i].is_done) {
            rc = writer_answer(writer, &writer->commands[i], code);
        }
    }
    return rc;
}

int bulk_writer_flush(struct bulk_writer *writer)
{
    uint64_t progress_ns = io_monotonic_ns(writer->io);
    while (writer->done < writer->count) {
        uint32_t done = writer->done;
        int code = 0;
        int rc = writer_round(writer, &code);
        if (rc != 0) {
            return rc;
        }
        uint64_t now_ns = io_monotonic_ns(writer->io);
        progress_ns = writer->done > done ? now_ns : progress_ns;
        rc = writer->done < writer->count ? writer_pause(writer, progress_ns, code) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    buffer_clear(&writer->bytes);
    writer->count = 0;
    writer->done = 0;
    return 0;
}
