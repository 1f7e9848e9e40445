#include "server/slowlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/server_state.h"

struct slowlog_entry {
    struct list link;
    uint64_t id;
    uint64_t time_s;
    uint64_t duration_us;
    uint8_t raw[CALL_RAW_SIZE_MAX];
    size_t raw_size;
    char address[64];
    char name[64];
};

struct slowlog {
    struct list entries; /* oldest first */
    size_t count;
    uint64_t id_next;
};

struct slowlog *slowlog_open(void)
{
    struct slowlog *slowlog = memory_new(sizeof(*slowlog));
    list_init(&slowlog->entries);
    return slowlog;
}

static void slowlog_drop_oldest(struct slowlog *slowlog)
{
    struct slowlog_entry *entry = list_entry(slowlog->entries.next, struct slowlog_entry, link);
    list_remove(&entry->link);
    slowlog->count--;
    free(entry);
}

void slowlog_reset(struct slowlog *slowlog)
{
    while (slowlog->count > 0) {
        slowlog_drop_oldest(slowlog);
    }
}

void slowlog_close(struct slowlog *slowlog)
{
    if (slowlog == NULL) {
        return;
    }
    slowlog_reset(slowlog);
    free(slowlog);
}

void slowlog_record(struct slowlog *slowlog, const struct call *call, uint64_t duration_us)
{
    const struct server_settings *settings = &call->server->settings;
    if (call->spec != NULL && (call->spec->flags & COMMAND_AFTER_ALL) != 0) {
        return; /* WAIT takes its time on purpose */
    }
    if (settings->slowlog_slower_than_us < 0 || duration_us < (uint64_t)settings->slowlog_slower_than_us ||
        call->raw_size == 0 || settings->slowlog_max_len == 0) {
        return;
    }
    struct slowlog_entry *entry = memory_new(sizeof(*entry));
    entry->id = slowlog->id_next++;
    entry->time_s = io_wall_ms(call->server->io) / 1000;
    entry->duration_us = duration_us;
    entry->raw_size = call->raw_size;
    memcpy(entry->raw, call->raw, call->raw_size);
    snprintf(entry->address, sizeof(entry->address), "%s", stream_peer_address(call->session->stream));
    snprintf(entry->name, sizeof(entry->name), "%s", call->session->name != NULL ? call->session->name : "");
    list_append(&slowlog->entries, &entry->link);
    slowlog->count++;
    while (slowlog->count > settings->slowlog_max_len) {
        slowlog_drop_oldest(slowlog);
    }
}

/* ---- taking the beginning of a command apart ---- */

struct slowlog_arguments {
    struct hf_bytes items[SLOWLOG_ARGUMENTS_MAX];
    size_t count;
    char rest[96]; /* what was left out, as a last argument; empty: nothing */
};

/* A length line ("*3\r\n", "$5\r\n") at *at; −1 when it is cut off. */
static int64_t slowlog_length(const struct slowlog_entry *entry, size_t *at)
{
    int64_t value = 0;
    for (size_t i = *at + 1; i + 1 < entry->raw_size; i++) {
        if (entry->raw[i] == '\r') {
            *at = i + 2;
            return value;
        }
        value = value * 10 + (entry->raw[i] - '0');
    }
    return -1;
}

static void slowlog_split(const struct slowlog_entry *entry, struct slowlog_arguments *out)
{
    *out = (struct slowlog_arguments){0};
    if (entry->raw[0] != '*') {
        size_t size = entry->raw_size;
        while (size > 0 && (entry->raw[size - 1] == '\n' || entry->raw[size - 1] == '\r')) {
            size--;
        }
        out->items[out->count++] = bytes_of(entry->raw, size);
        return;
    }
    size_t at = 0;
    int64_t total = slowlog_length(entry, &at);
    while (out->count < SLOWLOG_ARGUMENTS_MAX && (int64_t)out->count < total) {
        int64_t size = slowlog_length(entry, &at);
        if (size < 0) {
            break;
        }
        size_t left = entry->raw_size - at;
        if ((uint64_t)size > left) {
            out->items[out->count++] = bytes_of(entry->raw + at, left);
            snprintf(out->rest, sizeof(out->rest), "... (%lld more bytes, %lld more arguments)",
                     (long long)(size - (int64_t)left), (long long)(total - (int64_t)out->count));
            return;
        }
        out->items[out->count++] = bytes_of(entry->raw + at, (size_t)size);
        at += (size_t)size + 2;
        if (at >= entry->raw_size) {
            break;
        }
    }
    if ((int64_t)out->count < total) {
        snprintf(out->rest, sizeof(out->rest), "... (%lld more arguments)", (long long)(total - (int64_t)out->count));
    }
}

static void slowlog_write(const struct slowlog_entry *entry, struct reply *reply)
{
    struct slowlog_arguments arguments;
    slowlog_split(entry, &arguments);
    bool has_rest = arguments.rest[0] != '\0';
    reply_array(reply, 6);
    reply_integer(reply, (int64_t)entry->id);
    reply_integer(reply, (int64_t)entry->time_s);
    reply_integer(reply, (int64_t)entry->duration_us);
    reply_array(reply, arguments.count + has_rest);
    for (size_t i = 0; i < arguments.count; i++) {
        reply_bulk(reply, arguments.items[i]);
    }
    if (has_rest) {
        reply_bulk_text(reply, arguments.rest);
    }
    reply_bulk_text(reply, entry->address);
    reply_bulk_text(reply, entry->name);
}

/* ---- the commands ---- */

int slowlog_get(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    const struct slowlog *slowlog = session->server->slowlog;
    int64_t count = 10;
    if (arguments->count > 3) {
        reply_error(reply, "ERR wrong number of arguments for 'slowlog|get' command");
        return SESSION_ANSWERED;
    }
    if (arguments->count == 3 && (!argument_integer(arguments->items[2], &count) || count < -1)) {
        reply_error(reply, "ERR count should be greater than or equal to -1");
        return SESSION_ANSWERED;
    }
    size_t shown = count < 0 || (uint64_t)count > slowlog->count ? slowlog->count : (size_t)count;
    reply_array(reply, shown);
    const struct list *item = slowlog->entries.previous;
    for (size_t i = 0; i < shown; i++) {
        slowlog_write(list_entry(item, struct slowlog_entry, link), reply);
        item = item->previous;
    }
    return SESSION_ANSWERED;
}

int slowlog_len(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_integer(reply, (int64_t)session->server->slowlog->count);
    return SESSION_ANSWERED;
}

int slowlog_reset_command(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    slowlog_reset(session->server->slowlog);
    reply_status(reply, "OK");
    return SESSION_ANSWERED;
}
