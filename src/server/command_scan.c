/* KEYS, SCAN and RANDOMKEY: reads over the whole keyspace of a group.
 *
 * A SCAN cursor is the routed ordinal of a group (high 16 bits) and the least hash not yet returned (low 48 bits). Keys
 * are walked by their hash, and keys of equal hash come together, so that a key that is there from the first call to
 * the last is returned whatever happens to others. Behind the last key of a group the cursor points to the next group;
 * behind the last group it is 0. */
#include <stdio.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "server/argument.h"
#include "server/command_generic.h"
#include "server/glob.h"
#include "server/keyspace.h"
#include "server/machine.h"

#define SCAN_COUNT_DEFAULT 10
#define SCAN_EXAMINED_MAX  65536u              /* keys that one SCAN looks at, whatever COUNT says */
#define SCAN_WORK_MAX      (UINT64_C(1) << 26) /* steps of pattern matching that one command may take … */
#define SCAN_WORK_PER_KEY  64u                 /* … plus these per key: KEYS works on any number of keys */
#define SCAN_RANDOM_TRIES  64u

/* A reply array whose length is known at the end: elements are gathered first. */
struct scan_found {
    struct buffer keys; /* each with its length in front */
    size_t count;
};

static void scan_found_reply(const struct scan_found *found, struct reply *reply)
{
    struct cursor cursor = cursor_of(buffer_bytes(&found->keys));
    reply_array(reply, found->count);
    for (size_t i = 0; i < found->count; i++) {
        reply_bulk(reply, cursor_sized(&cursor, MACHINE_KEY_SIZE_MAX));
    }
}

/* What a key must be to be returned. */
struct scan_filter {
    bool has_pattern;
    struct hf_bytes pattern;
    bool has_type;
    struct hf_bytes type;
    uint64_t budget;
};

/* Adds the key when it exists and passes; stored: its value where the caller has it, NULL: look it up. HF_EBUSY,
 * without a text: the budget of the pattern is used up. */
static int scan_consider(struct keyspace *keyspace, const struct machine_context *context, struct hf_bytes key,
                         const struct hf_bytes *stored, struct scan_filter *filter, struct scan_found *found)
{
    struct keyspace_item item;
    if (filter->has_pattern) {
        enum glob_result match = glob_match(filter->pattern, key, &filter->budget);
        if (match != GLOB_MATCHES) {
            return match == GLOB_EXHAUSTED ? HF_EBUSY : 0;
        }
    }
    int rc = stored != NULL ? keyspace_item_of(*stored, context->stamp_ms, &item)
                            : keyspace_get(keyspace, key, context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    bool fits = !filter->has_type || argument_is(filter->type, value_type_name(item.value.type));
    if (item.exists && fits) {
        buffer_append_sized(&found->keys, key);
        found->count++;
    }
    return 0;
}

static void scan_reply_exhausted(struct reply *reply)
{
    reply_error(reply, "ERR the pattern takes too much work; use a simpler one");
}

/* ---- KEYS ---- */

int command_scan_keys(struct keyspace *keyspace, const struct arguments *arguments,
                      const struct machine_context *context, struct reply *reply)
{
    struct hf_store_tree_stat stat;
    struct hf_store_cursor *cursor = NULL;
    struct hf_store_entry entry;
    struct scan_found found = {.count = 0};
    struct scan_filter filter = {.has_pattern = true, .pattern = arguments->items[1]};
    int rc = hf_store_tree_stat(keyspace->store, KEYSPACE_TREE_KEYS, &stat);
    if (rc == 0) {
        rc = hf_store_cursor_open(keyspace->store, KEYSPACE_TREE_KEYS, NULL, HF_STORE_FORWARD, &cursor);
    }
    if (rc != 0) {
        goto done;
    }
    filter.budget = SCAN_WORK_MAX + SCAN_WORK_PER_KEY * stat.entries;
    while (rc == 0 && found.keys.size <= REPLY_SIZE_MAX_DEFAULT) {
        rc = hf_store_cursor_next(cursor, &entry);
        if (rc == 0) {
            rc = scan_consider(keyspace, context, entry.key, &entry.value, &filter, &found);
        }
    }
    if (rc == HF_ENOTFOUND || rc == 0) {
        scan_found_reply(&found, reply);
        rc = 0;
    } else if (rc == HF_EBUSY) {
        scan_reply_exhausted(reply);
        rc = 0;
    }
done:
    hf_store_cursor_close(cursor);
    buffer_close(&found.keys);
    return rc;
}

/* ---- SCAN ---- */

static bool scan_options_parse(const struct arguments *arguments, struct scan_filter *filter, int64_t *count,
                               struct reply *reply)
{
    for (size_t i = 2; i < arguments->count; i += 2) {
        if (i + 1 == arguments->count) {
            argument_reply_syntax(reply);
            return false;
        }
        struct hf_bytes value = arguments->items[i + 1];
        if (argument_is(arguments->items[i], "count")) {
            if (!argument_integer_or_reply(value, count, reply)) {
                return false;
            }
            if (*count < 1) {
                argument_reply_syntax(reply);
                return false;
            }
        } else if (argument_is(arguments->items[i], "match")) {
            filter->pattern = value;
            filter->has_pattern = !(value.size == 1 && *(const uint8_t *)value.data == '*');
        } else if (argument_is(arguments->items[i], "type")) {
            filter->type = value;
            filter->has_type = true;
        } else {
            argument_reply_syntax(reply);
            return false;
        }
    }
    return true;
}

/* Walks from hash *position on; sets it to the least hash not looked at, or beyond KEYSPACE_HASH_MAX at the end. */
static int scan_walk(struct keyspace *keyspace, const struct machine_context *context, struct scan_filter *filter,
                     int64_t count, uint64_t *position, struct scan_found *found)
{
    uint8_t low[KEYSPACE_HASH_SIZE];
    struct hf_store_cursor *cursor;
    struct hf_store_entry entry;
    for (unsigned i = 0; i < KEYSPACE_HASH_SIZE; i++) {
        low[i] = (uint8_t)(*position >> (8 * (KEYSPACE_HASH_SIZE - 1 - i)));
    }
    struct hf_store_range range = {.low = bytes_of(low, sizeof(low))};
    int rc = hf_store_cursor_open(keyspace->store, KEYSPACE_TREE_SCAN, &range, HF_STORE_FORWARD, &cursor);
    if (rc != 0) {
        return rc;
    }
    uint64_t examined_max = count < SCAN_EXAMINED_MAX ? (uint64_t)count : SCAN_EXAMINED_MAX;
    uint64_t examined = 0;
    uint64_t hash = 0;
    const uint64_t start = *position;
    while ((rc = hf_store_cursor_next(cursor, &entry)) == 0) {
        struct hf_bytes key;
        uint64_t next = keyspace_scan_split(entry.key, &key);
        if (examined >= examined_max && next != hash) {
            *position = next;
            break;
        }
        hash = next;
        examined++;
        rc = scan_consider(keyspace, context, key, NULL, filter, found);
        if (rc == HF_EBUSY && next > start) {
            *position = next; /* enough for one call: go on from here with the next */
            rc = 0;
            break;
        }
        if (rc != 0) {
            break;
        }
    }
    if (rc == HF_ENOTFOUND) {
        *position = KEYSPACE_HASH_MAX + 1;
        rc = 0;
    }
    hf_store_cursor_close(cursor);
    return rc;
}

static void scan_reply(const struct machine_context *context, uint64_t position, const struct scan_found *found,
                       struct reply *reply)
{
    char text[ARGUMENT_INTEGER_TEXT_MAX];
    uint64_t next = 0;
    if (position <= KEYSPACE_HASH_MAX) {
        next = (uint64_t)context->routed_ordinal << MACHINE_SCAN_ORDINAL_SHIFT | position;
    } else if (context->routed_ordinal + 1 < context->routed_count) {
        next = ((uint64_t)context->routed_ordinal + 1) << MACHINE_SCAN_ORDINAL_SHIFT;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)next);
    reply_array(reply, 2);
    reply_bulk_text(reply, text);
    scan_found_reply(found, reply);
}

int command_scan_scan(struct keyspace *keyspace, const struct arguments *arguments,
                      const struct machine_context *context, struct reply *reply)
{
    struct scan_found found = {.count = 0};
    struct scan_filter filter = {.budget = SCAN_WORK_MAX};
    int64_t count = SCAN_COUNT_DEFAULT;
    uint64_t cursor;
    if (!argument_unsigned(arguments->items[1], &cursor)) {
        reply_error(reply, "ERR invalid cursor");
        return 0;
    }
    if (!scan_options_parse(arguments, &filter, &count, reply)) {
        return 0;
    }
    uint64_t position = cursor & KEYSPACE_HASH_MAX;
    if (cursor >> MACHINE_SCAN_ORDINAL_SHIFT != context->routed_ordinal) {
        position = KEYSPACE_HASH_MAX + 1; /* a cursor of nobody's: nothing is there, and the walk goes on behind us */
    }
    int rc = position > KEYSPACE_HASH_MAX ? 0 : scan_walk(keyspace, context, &filter, count, &position, &found);
    if (rc == 0) {
        scan_reply(context, position, &found, reply);
    } else if (rc == HF_EBUSY) {
        scan_reply_exhausted(reply);
        rc = 0;
    }
    buffer_close(&found.keys);
    return rc;
}

/* ---- RANDOMKEY ---- */

/* The first key at or behind a rank that exists; HF_ENOTFOUND when none does. */
static int scan_first_existing(struct keyspace *keyspace, uint64_t rank, uint64_t rank_end, uint64_t stamp_ms,
                               struct hf_bytes *key)
{
    for (; rank < rank_end; rank++) {
        struct hf_store_entry entry;
        struct keyspace_item item;
        int rc = hf_store_at_rank(keyspace->store, KEYSPACE_TREE_KEYS, rank, &entry);
        if (rc == 0) {
            rc = keyspace_get(keyspace, entry.key, stamp_ms, &item);
        }
        if (rc != 0) {
            return rc;
        }
        if (item.exists) {
            *key = entry.key;
            return 0;
        }
    }
    return HF_ENOTFOUND;
}

int command_scan_randomkey(struct keyspace *keyspace, const struct arguments *arguments,
                           const struct machine_context *context, struct reply *reply)
{
    struct hf_store_tree_stat stat;
    struct hf_bytes key;
    uint64_t existing = 0;
    int rc = hf_store_tree_stat(keyspace->store, KEYSPACE_TREE_KEYS, &stat);
    if (rc == 0) {
        rc = keyspace_count(keyspace, context->stamp_ms, &existing);
    }
    if (rc != 0) {
        return rc;
    }
    if (existing == 0) {
        reply_null(reply);
        return 0;
    }
    rc = HF_ENOTFOUND;
    for (unsigned i = 0; i < SCAN_RANDOM_TRIES && rc == HF_ENOTFOUND; i++) {
        uint64_t rank = hash_mix_64(context->random + i) % stat.entries;
        rc = scan_first_existing(keyspace, rank, rank + 1, context->stamp_ms, &key);
    }
    if (rc == HF_ENOTFOUND) {
        /* Nearly all are past their deadline and wait to be deleted: any that is not. */
        rc = scan_first_existing(keyspace, 0, stat.entries, context->stamp_ms, &key);
    }
    if (rc == 0) {
        reply_bulk(reply, key);
    }
    return rc;
}
