#include "cli/log_export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "cli/log_entry.h"

#define LOG_EXPORT_MAGIC        "HFEXPORT"
#define LOG_EXPORT_VERSION      1u
#define LOG_EXPORT_ENTRY_HEADER 40u

static int log_export_write(struct log_export *out)
{
    size_t written = fwrite(out->scratch.data, 1, out->scratch.size, out->file);
    if (written != out->scratch.size) {
        return error_from_errno(errno, "writing the export");
    }
    return 0;
}

int log_export_begin(struct log_export *out, enum log_export_format format, FILE *file)
{
    *out = (struct log_export){.format = format, .file = file};
    if (format == LOG_EXPORT_JSONL) {
        return 0;
    }
    buffer_append(&out->scratch, LOG_EXPORT_MAGIC, strlen(LOG_EXPORT_MAGIC));
    buffer_append_u32(&out->scratch, LOG_EXPORT_VERSION);
    buffer_append_u32(&out->scratch, 0);
    return log_export_write(out);
}

void log_export_close(struct log_export *out)
{
    buffer_close(&out->scratch);
}

static void log_export_raw(struct log_export *out, uint64_t group, const struct hf_entry *entry)
{
    struct buffer *scratch = &out->scratch;
    buffer_append_u64(scratch, group);
    buffer_append_u64(scratch, entry->index);
    buffer_append_u64(scratch, entry->term);
    buffer_append_u64(scratch, entry->timestamp_ms);
    buffer_append_u32(scratch, (uint32_t)entry->type);
    buffer_append_u32(scratch, (uint32_t)entry->payload.size);
    buffer_append_bytes(scratch, entry->payload);
    buffer_append_u32(scratch, checksum_crc32c(0, scratch->data, scratch->size));
}

static void log_export_base64(struct buffer *target, struct hf_bytes bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *data = bytes.data;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t rest = bytes.size - i;
        uint32_t triple = (uint32_t)data[i] << 16 | (rest > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                          (rest > 2 ? (uint32_t)data[i + 2] : 0);
        uint8_t *four = buffer_extend(target, 4);
        four[0] = (uint8_t)letters[triple >> 18 & 63];
        four[1] = (uint8_t)letters[triple >> 12 & 63];
        four[2] = rest > 1 ? (uint8_t)letters[triple >> 6 & 63] : '=';
        four[3] = rest > 2 ? (uint8_t)letters[triple & 63] : '=';
    }
}

static void log_export_jsonl(struct log_export *out, uint64_t group, const struct hf_entry *entry)
{
    struct buffer *scratch = &out->scratch;
    buffer_format(scratch,
                  "{\"group\":%" PRIu64 ",\"index\":%" PRIu64 ",\"term\":%" PRIu64
                  ",\"type\":\"%s\",\"timestamp_ms\":%" PRIu64 ",\"size\":%zu,\"payload\":\"",
                  group, entry->index, entry->term, log_entry_type_name(entry->type), entry->timestamp_ms,
                  entry->payload.size);
    log_export_base64(scratch, entry->payload);
    buffer_append_text(scratch, "\"}\n");
}

int log_export_entry(struct log_export *out, uint64_t group, const struct hf_entry *entry)
{
    buffer_clear(&out->scratch);
    if (out->format == LOG_EXPORT_RAW) {
        log_export_raw(out, group, entry);
    } else {
        log_export_jsonl(out, group, entry);
    }
    out->count++;
    return log_export_write(out);
}

int log_export_end(struct log_export *out)
{
    struct hf_entry end = {.index = out->count};
    int rc = 0;
    buffer_clear(&out->scratch);
    if (out->format == LOG_EXPORT_RAW) {
        log_export_raw(out, 0, &end);
        rc = log_export_write(out);
    }
    if (rc == 0 && fflush(out->file) != 0) {
        rc = error_from_errno(errno, "writing the export");
    }
    return rc;
}
