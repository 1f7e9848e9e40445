#include <assert.h>

#include "server/command.h"

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
