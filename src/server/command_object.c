/* OBJECT and MEMORY USAGE read the value as GET does and answer something about it; LATENCY shows what was counted. */
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/command_connection.h"
#include "server/machine.h"
#include "server/outcome.h"
#include "server/server_state.h"
#include "server/value.h"

#define COMMAND_OBJECT_EMBEDDED_MAX 44u /* longer strings are "raw" in Redis */
#define COMMAND_OBJECT_OVERHEAD     48u /* of a key in a page: slots, index of SCAN */
#define COMMAND_OBJECT_EXACT_BITS   4u  /* histogram.h: 16 sub-buckets per power of two, exact below 16 */

/* ---- questions about a key ---- */

/* Reads a key with GET; `finish` makes the answer of it. */
static int command_object_read(struct session *session, struct hf_bytes key, call_finish *finish, struct reply *reply)
{
    const struct command_spec *get = command_by_number(COMMAND_NUMBER_GET);
    struct hf_bytes items[] = {bytes_of_text(get->name), key};
    struct arguments arguments = {items, 2};
    struct buffer *unit = &session->server->unit;
    if (machine_check(get, &arguments, reply) != 0) {
        return SESSION_ANSWERED;
    }
    buffer_clear(unit);
    machine_unit_command(unit, 2, get, &arguments);
    session->current->finish = finish;
    session->current->bytes_asked = key.size;
    call_start(session->current, node_route(session->server->node, key), false, buffer_bytes(unit));
    return SESSION_LATER;
}

/* The value; false when there is none, or no answer, which then is the reply. */
static bool command_object_value(struct call *call, struct hf_bytes *value, struct reply *reply)
{
    const struct part *part = call_part(call, 0);
    struct resp_element element;
    size_t at = 0;
    if (part->result != 0) {
        struct outcome outcome = {part->result, part->group, part->index, false};
        outcome_reply(reply, &outcome);
        return false;
    }
    if (resp_next_element(buffer_bytes(&part->reply), &at, &element) != 0 || element.type != '$') {
        reply_raw(reply, buffer_bytes(&part->reply));
        return false;
    }
    if (element.is_null) {
        reply_null(reply);
        return false;
    }
    *value = element.text;
    return true;
}

static void command_object_finish_encoding(struct call *call, struct reply *reply)
{
    struct hf_bytes value;
    int64_t number;
    if (!command_object_value(call, &value, reply)) {
        return;
    }
    if (argument_integer(value, &number)) {
        reply_bulk_text(reply, "int");
    } else {
        reply_bulk_text(reply, value.size <= COMMAND_OBJECT_EMBEDDED_MAX ? "embstr" : "raw");
    }
}

static void command_object_finish_idletime(struct call *call, struct reply *reply)
{
    struct hf_bytes value;
    if (command_object_value(call, &value, reply)) {
        reply_integer(reply, 0); /* accesses are not counted */
    }
}

static void command_object_finish_refcount(struct call *call, struct reply *reply)
{
    struct hf_bytes value;
    if (command_object_value(call, &value, reply)) {
        reply_integer(reply, 1);
    }
}

static void command_object_finish_usage(struct call *call, struct reply *reply)
{
    struct hf_bytes value;
    if (command_object_value(call, &value, reply)) {
        reply_integer(reply, (int64_t)(value.size + VALUE_HEADER_SIZE + call->bytes_asked + COMMAND_OBJECT_OVERHEAD));
    }
}

int command_object_encoding(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_object_read(session, arguments->items[2], command_object_finish_encoding, reply);
}

int command_object_idletime(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_object_read(session, arguments->items[2], command_object_finish_idletime, reply);
}

int command_object_refcount(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_object_read(session, arguments->items[2], command_object_finish_refcount, reply);
}

int command_object_freq(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_error(reply, "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
                       "when switching between policies at runtime LRU and LFU data will take some time to adjust.");
    return SESSION_ANSWERED;
}

int command_object_memory_usage(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    int64_t samples = 0;
    bool has_samples = arguments->count == 5 && argument_is(arguments->items[3], "samples");
    if (arguments->count != 3 && !has_samples) {
        argument_reply_syntax(reply);
        return SESSION_ANSWERED;
    }
    if (has_samples && !argument_integer_or_reply(arguments->items[4], &samples, reply)) {
        return SESSION_ANSWERED;
    }
    return command_object_read(session, arguments->items[2], command_object_finish_usage, reply);
}

/* ---- LATENCY ---- */

int command_object_latency_latest(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_array(reply, 0); /* no events are kept: the histograms and SLOWLOG are */
    return SESSION_ANSWERED;
}

int command_object_latency_reset(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_integer(reply, 0);
    return SESSION_ANSWERED;
}

/* How many recorded values are below 2^bits. */
static uint64_t command_object_below(const struct histogram *histogram, unsigned bits)
{
    size_t end =
        bits <= COMMAND_OBJECT_EXACT_BITS ? (size_t)1 << bits : (size_t)16 * (bits - COMMAND_OBJECT_EXACT_BITS + 1);
    uint64_t count = 0;
    for (size_t i = 0; i < end && i < HISTOGRAM_BUCKET_COUNT; i++) {
        count += histogram->buckets[i];
    }
    return count;
}

static void command_object_histogram(const struct command_stat *stat, struct reply *reply)
{
    unsigned bits[64];
    size_t shown = 0;
    uint64_t before = 0;
    for (unsigned i = 0; i < 64 && before < stat->histogram.count; i++) {
        uint64_t below = command_object_below(&stat->histogram, i);
        if (below > before) {
            bits[shown++] = i;
        }
        before = below;
    }
    reply_bulk_text(reply, stat->spec->name);
    reply_map(reply, 2);
    reply_bulk_text(reply, "calls");
    reply_integer(reply, (int64_t)stat->histogram.count);
    reply_bulk_text(reply, "histogram_usec");
    reply_map(reply, shown);
    for (size_t i = 0; i < shown; i++) {
        reply_integer(reply, (int64_t)((uint64_t)1 << bits[i]));
        reply_integer(reply, (int64_t)command_object_below(&stat->histogram, bits[i]));
    }
}

static bool command_object_histogram_wanted(const struct command_stat *stat, const struct arguments *arguments)
{
    if (stat->histogram.count == 0) {
        return false;
    }
    for (size_t i = 2; i < arguments->count; i++) {
        size_t size = arguments->items[i].size;
        bool is_container =
            strncasecmp(stat->spec->name, arguments->items[i].data, size) == 0 && stat->spec->name[size] == '|';
        if (is_container || argument_is(arguments->items[i], stat->spec->name)) {
            return true;
        }
    }
    return arguments->count == 2;
}

int command_object_latency_histogram(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    const struct command_stats *stats = session->server->stats;
    const struct command_stat *stat;
    size_t count = 0;
    for (size_t i = 0; (stat = command_stats_at(stats, i)) != NULL; i++) {
        count += command_object_histogram_wanted(stat, arguments);
    }
    reply_map(reply, count);
    for (size_t i = 0; (stat = command_stats_at(stats, i)) != NULL; i++) {
        if (command_object_histogram_wanted(stat, arguments)) {
            command_object_histogram(stat, reply);
        }
    }
    return SESSION_ANSWERED;
}
