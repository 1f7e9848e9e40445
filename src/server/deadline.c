#include "server/deadline.h"

static bool deadline_refuse(struct reply *reply, const char *name)
{
    reply_error(reply, "ERR invalid expire time in '%s' command", name);
    return false;
}

bool deadline_parse(struct hf_bytes argument, struct deadline_form form, uint64_t stamp_ms, const char *name,
                    int64_t *deadline_ms, struct reply *reply)
{
    int64_t when;
    if (!argument_integer_or_reply(argument, &when, reply)) {
        return false;
    }
    if (form.unit == DEADLINE_SECONDS) {
        if (when > INT64_MAX / 1000 || when < INT64_MIN / 1000) {
            return deadline_refuse(reply, name);
        }
        when *= 1000;
    }
    /* Stamps are clock times: far below 2^62. One that is not makes every relative time too late. */
    int64_t base = form.base == DEADLINE_ABSOLUTE ? 0 : stamp_ms > INT64_MAX ? INT64_MAX : (int64_t)stamp_ms;
    if (when > INT64_MAX - base) {
        return deadline_refuse(reply, name);
    }
    *deadline_ms = when + base;
    return true;
}

bool deadline_parse_positive(struct hf_bytes argument, struct deadline_form form, uint64_t stamp_ms, const char *name,
                             uint64_t *deadline_ms, struct reply *reply)
{
    int64_t given;
    int64_t deadline;
    if (!argument_integer_or_reply(argument, &given, reply)) {
        return false;
    }
    if (given <= 0) {
        return deadline_refuse(reply, name);
    }
    if (!deadline_parse(argument, form, stamp_ms, name, &deadline, reply)) {
        return false;
    }
    *deadline_ms = (uint64_t)deadline;
    return true;
}
