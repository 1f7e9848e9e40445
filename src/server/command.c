#include "server/command.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "server/argument.h"

#define COMMAND_INDEX_SLOTS 512u /* a power of two, four times the commands there are */
#define COMMAND_INDEX_NONE  0u

/* The tables as one sequence: data first. */
static const struct command_spec *command_at(size_t position)
{
    if (position < command_table_data_count) {
        return &command_table_data[position];
    }
    position -= command_table_data_count;
    return position < command_table_connection_count ? &command_table_connection[position]
                                                     : &command_table_raft[position - command_table_connection_count];
}

static size_t command_total(void)
{
    return command_table_data_count + command_table_connection_count + command_table_raft_count;
}

/* ---- Names to positions + 1, with open addressing. Built by whoever comes first; the others search the tables until
 * it is there, so that no thread ever waits. ---- */

enum command_index_state { COMMAND_INDEX_EMPTY, COMMAND_INDEX_BUILDING, COMMAND_INDEX_READY };
static _Atomic int command_index_state;
static uint16_t command_index[COMMAND_INDEX_SLOTS];

static uint32_t command_index_slot(struct hf_bytes name)
{
    const uint8_t *bytes = name.data;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ (bytes[i] | 0x20)) * 16777619u; /* letters in either case; other bytes are compared later */
    }
    return (hash ^ hash >> 15) & (COMMAND_INDEX_SLOTS - 1);
}

static bool command_index_use(void)
{
    int state = atomic_load_explicit(&command_index_state, memory_order_acquire);
    if (state == COMMAND_INDEX_READY) {
        return true;
    }
    if (state != COMMAND_INDEX_EMPTY || command_total() > COMMAND_INDEX_SLOTS / 2 ||
        !atomic_compare_exchange_strong(&command_index_state, &state, COMMAND_INDEX_BUILDING)) {
        return false;
    }
    for (size_t i = 0; i < command_total(); i++) {
        uint32_t slot = command_index_slot(bytes_of_text(command_at(i)->name));
        while (command_index[slot] != COMMAND_INDEX_NONE) {
            slot = (slot + 1) & (COMMAND_INDEX_SLOTS - 1);
        }
        command_index[slot] = (uint16_t)(i + 1);
    }
    atomic_store_explicit(&command_index_state, COMMAND_INDEX_READY, memory_order_release);
    return true;
}

const struct command_spec *command_find(struct hf_bytes name)
{
    if (name.size == 0 || name.size > COMMAND_NAME_SIZE_MAX) {
        return NULL;
    }
    const struct command_spec *found = NULL;
    if (command_index_use()) {
        uint32_t slot = command_index_slot(name);
        for (; command_index[slot] != COMMAND_INDEX_NONE && found == NULL; slot = (slot + 1) % COMMAND_INDEX_SLOTS) {
            const struct command_spec *spec = command_at(command_index[slot] - 1u);
            found = argument_is(name, spec->name) ? spec : NULL;
        }
    } else {
        for (size_t i = 0; i < command_total() && found == NULL; i++) {
            found = argument_is(name, command_at(i)->name) ? command_at(i) : NULL;
        }
    }
    return found != NULL && (found->flags & COMMAND_INTERNAL) == 0 ? found : NULL;
}

const struct command_spec *command_next(size_t *position)
{
    while (*position < command_total()) {
        const struct command_spec *spec = command_at((*position)++);
        if ((spec->flags & COMMAND_INTERNAL) == 0) {
            return spec;
        }
    }
    return NULL;
}

const struct command_spec *command_by_number(uint32_t number)
{
    uint8_t row = number < COMMAND_NUMBER_END ? command_table_data_rows[number] : 0;
    return row > 0 ? &command_table_data[row - 1] : NULL;
}

const struct command_spec *command_data_find(struct hf_bytes name)
{
    for (size_t i = 0; i < command_table_data_count; i++) {
        if (argument_is(name, command_table_data[i].name)) {
            return &command_table_data[i];
        }
    }
    return NULL;
}

/* ---- What a row says ---- */

const char *command_group_name(enum command_group group)
{
    switch (group) {
    case COMMAND_GROUP_GENERIC:
        return "generic";
    case COMMAND_GROUP_STRING:
        return "string";
    case COMMAND_GROUP_TRANSACTIONS:
        return "transactions";
    case COMMAND_GROUP_CONNECTION:
        return "connection";
    case COMMAND_GROUP_SERVER:
        return "server";
    case COMMAND_GROUP_RAFT:
        return "raft";
    }
    return "generic";
}

bool command_arity_fits(const struct command_spec *spec, size_t count)
{
    return spec->arity >= 0 ? count == (size_t)spec->arity : count >= (size_t)-spec->arity;
}

size_t command_key_count(const struct command_spec *spec, const struct arguments *arguments)
{
    if (spec->first_key == 0) {
        return 0;
    }
    size_t first = (size_t)spec->first_key;
    /* Counted from the end, the last key may lie before the first: then there is none. */
    size_t from_end = spec->last_key < 0 ? (size_t)-spec->last_key : 0;
    if (from_end > arguments->count) {
        return 0;
    }
    size_t last = spec->last_key < 0 ? arguments->count - from_end : (size_t)spec->last_key;
    if (last < first || last >= arguments->count) {
        return 0;
    }
    return (last - first) / (size_t)spec->key_step + 1;
}

struct hf_bytes command_key_at(const struct command_spec *spec, const struct arguments *arguments, size_t position)
{
    assert(position < command_key_count(spec, arguments));
    return arguments->items[(size_t)spec->first_key + position * (size_t)spec->key_step];
}
