/* An entry of the log as people and programs read it on standard output. */
#ifndef CLI_LOG_ENTRY_H
#define CLI_LOG_ENTRY_H

#include <jansson.h>

#include "holdfast/log.h"
#include "io/io.h"

#define LOG_ENTRY_PAYLOAD_SHOWN_MAX 256u
#define LOG_ENTRY_TEXT_SIZE_MAX     (LOG_ENTRY_PAYLOAD_SHOWN_MAX * 4 + 8)

const char *log_entry_type_name(enum hf_entry_type type);
/* Printable ASCII as it is, others as \xNN, cut at LOG_ENTRY_PAYLOAD_SHOWN_MAX bytes. size: LOG_ENTRY_TEXT_SIZE_MAX. */
void log_entry_payload_text(struct hf_bytes payload, char *text, size_t size);
/* Prints it on a line of its own, or as a JSON object with the payload cut likewise. */
void log_entry_print(uint64_t group, const struct hf_entry *entry);
void log_entry_print_json(uint64_t group, const struct hf_entry *entry);
/* Prints the object on one line and gives it back. Its numbers count as unsigned, 64 bits of them. */
void log_entry_json_line(json_t *json);
/* Where the log of a data directory is (its log/), or the directory itself; the caller frees it. */
char *log_entry_folder(struct io *io, const char *directory);

#endif
