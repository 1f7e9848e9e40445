/* Times to live as commands give them: EX, PX, EXAT, PXAT with their rules for limits and overflow. */
#ifndef SERVER_DEADLINE_H
#define SERVER_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/argument.h"

enum deadline_unit { DEADLINE_SECONDS, DEADLINE_MILLISECONDS };
enum deadline_base { DEADLINE_FROM_NOW, DEADLINE_ABSOLUTE };

struct deadline_form {
    enum deadline_unit unit;
    enum deadline_base base;
};

/* Reads the positive time of SET, SETEX, PSETEX and GETEX; name for the error text. Replies and returns false when it
 * is none. */
bool deadline_parse_positive(struct hf_bytes argument, struct deadline_form form, uint64_t stamp_ms, const char *name,
                             uint64_t *deadline_ms, struct reply *reply);
/* Reads the time of EXPIRE and its kin, which may lie in the past: then below zero, or at most the stamp. */
bool deadline_parse(struct hf_bytes argument, struct deadline_form form, uint64_t stamp_ms, const char *name,
                    int64_t *deadline_ms, struct reply *reply);

#endif
