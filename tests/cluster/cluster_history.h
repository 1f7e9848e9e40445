/* What clients saw, and whether one order of single steps explains it (linearizability: Herlihy and Wing, 1990).
 *
 * Times are the harness's own counter, raised at every call and every return, so that no two are equal. An operation
 * whose outcome nobody learned stays open: it may take effect at any time after its call, or never. One that was
 * refused certainly had no effect and is not part of any order; a read that shows its value is a violation.
 *
 * Registers: every written value is unique and not 0; 0 reads as absent. A put may expire: its value may become absent
 * at any time after the put. Checked by search (Wing and Gong, 1993, with Lowe's memory of visited states), bounded by
 * HISTORY_STEPS_MAX.
 * Lists: every appended value is unique and a read returns the whole list, so the final list gives the order, and the
 * check needs no search. */
#ifndef CLUSTER_CLUSTER_HISTORY_H
#define CLUSTER_CLUSTER_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_STEPS_MAX 20000000u
#define HISTORY_NEVER     UINT64_MAX

enum history_kind { HISTORY_PUT, HISTORY_CAS, HISTORY_GET, HISTORY_APPEND, HISTORY_LIST, HISTORY_EXPIRE };
enum history_outcome { HISTORY_OPEN, HISTORY_DONE, HISTORY_REFUSED };

struct history_operation {
    uint32_t key;
    enum history_kind kind;
    enum history_outcome outcome;
    bool may_expire;   /* PUT */
    uint64_t value;    /* PUT, CAS, APPEND */
    uint64_t expected; /* CAS */
    uint64_t called;
    uint64_t returned; /* HISTORY_NEVER while open */
    /* what came back: GET the value; CAS 1 when it swapped; APPEND the length after it; LIST the length */
    uint64_t answer;
    uint64_t list_hash; /* LIST: history_list_hash of what was read */
};

/* The hash of a list, item by item: start with 0. */
uint64_t history_list_hash(uint64_t hash, uint64_t value);

/* Operations of one key, in any order. Returns 0, or -1 with a reason; 1: the search was given up. */
int history_check_register(const struct history_operation *const *operations, size_t count, char *why, size_t why_size);
/* list: the final one. */
int history_check_list(const struct history_operation *const *operations, size_t count, const uint64_t *list,
                       size_t list_count, char *why, size_t why_size);

#endif
