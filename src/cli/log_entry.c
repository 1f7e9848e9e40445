#include "cli/log_entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

const char *log_entry_type_name(enum hf_entry_type type)
{
    switch (type) {
    case HF_ENTRY_NORMAL:
        return "normal";
    case HF_ENTRY_CONFIGURATION:
        return "configuration";
    case HF_ENTRY_NOOP:
        return "noop";
    case HF_ENTRY_SNAPSHOT_MARKER:
        return "snapshot_marker";
    }
    return "unknown";
}

void log_entry_payload_text(struct hf_bytes payload, char *text, size_t size)
{
    const uint8_t *bytes = payload.data;
    size_t at = 0;
    size_t shown = payload.size < LOG_ENTRY_PAYLOAD_SHOWN_MAX ? payload.size : LOG_ENTRY_PAYLOAD_SHOWN_MAX;
    for (size_t i = 0; i < shown && at + 5 < size; i++) {
        bool plain = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\';
        at += (size_t)snprintf(text + at, size - at, plain ? "%c" : "\\x%02x", bytes[i]);
    }
    snprintf(text + at, size - at, "%s", shown < payload.size ? "…" : "");
}

void log_entry_print(uint64_t group, const struct hf_entry *entry)
{
    char text[LOG_ENTRY_TEXT_SIZE_MAX];
    log_entry_payload_text(entry->payload, text, sizeof(text));
    printf("group %" PRIu64 " index %" PRIu64 " term %" PRIu64 " %s %zu B  %s\n", group, entry->index, entry->term,
           log_entry_type_name(entry->type), entry->payload.size, text);
}

void log_entry_print_json(uint64_t group, const struct hf_entry *entry)
{
    char text[LOG_ENTRY_TEXT_SIZE_MAX];
    log_entry_payload_text(entry->payload, text, sizeof(text));
    log_entry_json_line(json_pack("{s:I, s:I, s:I, s:s, s:I, s:I, s:s}", "group", (json_int_t)group, "index",
                                  (json_int_t)entry->index, "term", (json_int_t)entry->term, "type",
                                  log_entry_type_name(entry->type), "timestamp_ms", (json_int_t)entry->timestamp_ms,
                                  "size", (json_int_t)entry->payload.size, "payload", text));
}

/* The library has no numbers above 2^63-1. No line of the log has numbers below 0: such a one was above. */
static void log_entry_put_unsigned(const char *text)
{
    bool in_string = false;
    char before = ' ';
    for (const char *at = text; *at != '\0'; at++) {
        if (in_string && *at == '\\') {
            putchar(*at++);
        } else if (*at == '"') {
            in_string = !in_string;
        } else if (!in_string && *at == '-' && strchr(":,[", before) != NULL) {
            char *end = NULL;
            printf("%" PRIu64, (uint64_t)strtoll(at, &end, 10));
            at = end;
        }
        before = *at;
        putchar(before);
    }
    putchar('\n');
}

void log_entry_json_line(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    log_entry_put_unsigned(text);
    free(text);
    json_decref(json);
}

static int log_entry_visit(void *arg, const char *name, bool is_directory)
{
    bool *found = arg;
    *found = *found || (is_directory && strcmp(name, "log") == 0);
    return 0;
}

/* A log/ that is there and closed to us is the log all the same: who opens it hears why he cannot. */
char *log_entry_folder(struct io *io, const char *directory)
{
    char *inside = text_format("%s/log", directory);
    bool found = false;
    bool ignored = false;
    if (directory_list(io, directory, log_entry_visit, &found) != 0) {
        found = directory_list(io, inside, log_entry_visit, &ignored) == 0;
    }
    if (found) {
        return inside;
    }
    free(inside);
    return text_copy(directory);
}
