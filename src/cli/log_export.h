/* Entries of a log as a file that other programs read, and nothing lost. Two formats.
 *
 * jsonl: one object per line: group, index, term, type, timestamp_ms, size, and the payload in base64.
 *
 * raw, version 1; little-endian:
 *   header   0  8 B  "HFEXPORT"
 *            8  u32  version, 1
 *           12  u32  zero
 *   entry    0  u64  group
 *            8  u64  index
 *           16  u64  term
 *           24  u64  timestamp, ms
 *           32  u32  type: 1 normal, 2 configuration, 3 no-op, 4 snapshot marker
 *           36  u32  size of the payload
 *           40       payload
 *           …   u32  CRC-32C of everything from offset 0 of the entry
 *   end           an entry of group 0 whose index is the number of entries before it: without it the file was cut off
 * Groups follow each other by id, their entries by index. */
#ifndef CLI_LOG_EXPORT_H
#define CLI_LOG_EXPORT_H

#include <stdio.h>

#include "base/buffer.h"
#include "holdfast/log.h"

enum log_export_format { LOG_EXPORT_JSONL, LOG_EXPORT_RAW };

struct log_export {
    enum log_export_format format;
    FILE *file; /* lent */
    uint64_t count;
    struct buffer scratch;
};

/* Each of them: HF_EIO when the file cannot be written. */
int log_export_begin(struct log_export *out, enum log_export_format format, FILE *file);
int log_export_entry(struct log_export *out, uint64_t group, const struct hf_entry *entry);
int log_export_end(struct log_export *out); /* also flushes; HF_EIO as above */
void log_export_close(struct log_export *out);

#endif
