#include "cluster/cluster_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/hash.h"

uint64_t history_list_hash(uint64_t hash, uint64_t value)
{
    return hash_mix_64(hash * 31 + value + 1);
}

/* ---- Registers ---- */

/* An end of an operation on the time line. */
struct history_end {
    uint64_t time;
    const struct history_operation *operation;
    size_t number;             /* of the operation */
    struct history_end *match; /* of a call: its return; NULL on a return */
    struct history_end *next;
    struct history_end *previous;
};

static int history_compare_ends(const void *a, const void *b)
{
    const struct history_end *left = a;
    const struct history_end *right = b;
    if (left->time != right->time) {
        return left->time < right->time ? -1 : 1;
    }
    /* Only open operations share a time: any order will do. */
    return left->number < right->number ? -1 : left->number > right->number;
}

/* Whether the operation may come next, and what it makes of the value. */
static bool history_step(const struct history_operation *operation, uint64_t value, uint64_t *out)
{
    bool matches = value == operation->expected;
    *out = value;
    switch (operation->kind) {
    case HISTORY_GET:
        return operation->answer == value;
    case HISTORY_PUT:
        *out = operation->value;
        return true;
    case HISTORY_CAS:
        *out = matches ? operation->value : value;
        return operation->outcome == HISTORY_OPEN || (operation->answer == 1) == matches;
    case HISTORY_EXPIRE:
        *out = value == operation->value ? 0 : value;
        return true;
    default:
        return false;
    }
}

/* States that were visited: a set of 128-bit hashes of (which operations are placed, value). */
struct history_visited {
    uint64_t (*slots)[2];
    size_t count;
    size_t capacity;
};

static bool history_visit(struct history_visited *visited, uint64_t a, uint64_t b)
{
    if (visited->count * 2 >= visited->capacity) {
        struct history_visited grown = {.capacity = visited->capacity > 0 ? visited->capacity * 2 : 1024};
        grown.slots = memory_new(grown.capacity * sizeof(*grown.slots));
        for (size_t i = 0; i < visited->capacity; i++) {
            if (visited->slots[i][0] != 0) {
                history_visit(&grown, visited->slots[i][0], visited->slots[i][1]);
            }
        }
        free(visited->slots);
        *visited = grown;
    }
    a |= 1; /* 0 marks a free slot */
    size_t i = a & (visited->capacity - 1);
    i = hash_mix_64(a) & (visited->capacity - 1);
    while (visited->slots[i][0] != 0) {
        if (visited->slots[i][0] == a && visited->slots[i][1] == b) {
            return false;
        }
        i = (i + 1) & (visited->capacity - 1);
    }
    visited->slots[i][0] = a;
    visited->slots[i][1] = b;
    visited->count++;
    return true;
}

static void history_lift(struct history_end *end)
{
    end->previous->next = end->next;
    end->next->previous = end->previous;
    end->match->previous->next = end->match->next;
    end->match->next->previous = end->match->previous;
}

static void history_unlift(struct history_end *end)
{
    end->match->previous->next = end->match;
    end->match->next->previous = end->match;
    end->previous->next = end;
    end->next->previous = end;
}

struct history_search {
    struct history_end head;
    struct history_end tail;
    struct history_end *ends;
    struct history_end **calls; /* placed so far, in order */
    uint64_t *values;           /* before each of them */
    size_t placed;
    size_t count; /* operations */
    struct history_visited visited;
    uint64_t steps;
};

static int history_search_run(struct history_search *search, const struct history_operation **stuck)
{
    uint64_t value = 0;
    uint64_t hash_a = 0;
    uint64_t hash_b = 0;
    size_t deepest = 0;
    struct history_end *at = search->head.next;
    while (search->head.next != &search->tail) {
        if (search->steps++ > HISTORY_STEPS_MAX) {
            return 1;
        }
        uint64_t next_value;
        if (at != &search->tail && at->match != NULL) {
            uint64_t mark_a = hash_mix_64(at->number * 2 + 1);
            uint64_t mark_b = hash_mix_64(at->number * 2 + 0x9E3779B97F4A7C15ull);
            if (history_step(at->operation, value, &next_value) &&
                history_visit(&search->visited, hash_mix_64((hash_a ^ mark_a) + next_value * 3),
                              hash_mix_64((hash_b ^ mark_b) + next_value * 5))) {
                search->calls[search->placed] = at;
                search->values[search->placed++] = value;
                hash_a ^= mark_a;
                hash_b ^= mark_b;
                value = next_value;
                history_lift(at);
                at = search->head.next;
            } else {
                at = at->next;
            }
            continue;
        }
        /* A return that nothing before it explains: take the last placed one back. */
        if (search->placed >= deepest && at != &search->tail) {
            deepest = search->placed;
            *stuck = at->operation;
        }
        if (search->placed == 0) {
            return -1;
        }
        at = search->calls[--search->placed];
        value = search->values[search->placed];
        hash_a ^= hash_mix_64(at->number * 2 + 1);
        hash_b ^= hash_mix_64(at->number * 2 + 0x9E3779B97F4A7C15ull);
        history_unlift(at);
        at = at->next;
    }
    return 0;
}

static int history_search(const struct history_operation *const *operations, size_t count,
                          const struct history_operation **stuck)
{
    struct history_search search = {.count = count};
    search.ends = memory_new(count * 2 * sizeof(*search.ends) + 1);
    search.calls = memory_new(count * sizeof(*search.calls) + 1);
    search.values = memory_new(count * sizeof(*search.values) + 1);
    for (size_t i = 0; i < count; i++) {
        search.ends[2 * i] = (struct history_end){operations[i]->called, operations[i], i, &search.ends[0], NULL, NULL};
        search.ends[2 * i + 1] = (struct history_end){operations[i]->returned, operations[i], i, NULL, NULL, NULL};
    }
    qsort(search.ends, count * 2, sizeof(*search.ends), history_compare_ends);
    struct history_end **returns = memory_new(count * sizeof(*returns) + 1);
    struct history_end *last = &search.head;
    for (size_t i = 0; i < count * 2; i++) {
        struct history_end *end = &search.ends[i];
        if (end->match == NULL) {
            returns[end->number] = end;
        }
        last->next = end;
        end->previous = last;
        last = end;
    }
    last->next = &search.tail;
    search.tail.previous = last;
    for (size_t i = 0; i < count * 2; i++) {
        if (search.ends[i].match != NULL) {
            search.ends[i].match = returns[search.ends[i].number];
        }
    }
    int rc = history_search_run(&search, stuck);
    free(returns);
    free(search.ends);
    free(search.calls);
    free(search.values);
    free(search.visited.slots);
    return rc;
}

static bool history_is_write(const struct history_operation *operation)
{
    return operation->kind == HISTORY_PUT || operation->kind == HISTORY_CAS;
}

/* Whether anybody saw a value: then its write happened, and what it replaced was there before. */
static bool history_is_observed(const struct history_operation *const *operations, const bool *kept, size_t count,
                                uint64_t value)
{
    for (size_t i = 0; i < count; i++) {
        const struct history_operation *operation = operations[i];
        if (operation->kind == HISTORY_GET && operation->outcome == HISTORY_DONE && operation->answer == value) {
            return true;
        }
        if (operation->kind == HISTORY_CAS && operation->expected == value &&
            ((operation->outcome == HISTORY_DONE && operation->answer == 1) ||
             (operation->outcome == HISTORY_OPEN && kept[i]))) {
            return true;
        }
    }
    return false;
}

/* Whether something that returned behind the write's call may be its work although nobody saw its value: a swap that
 * failed, or, when the write may have expired, a value that was gone. */
static bool history_may_explain(const struct history_operation *const *operations, size_t count,
                                const struct history_operation *write)
{
    for (size_t i = 0; i < count; i++) {
        const struct history_operation *operation = operations[i];
        if (operation->outcome != HISTORY_DONE || operation->returned < write->called) {
            continue;
        }
        bool failed = operation->kind == HISTORY_CAS && operation->answer == 0;
        bool absent = (operation->kind == HISTORY_GET && operation->answer == 0) ||
                      (operation->kind == HISTORY_CAS && operation->answer == 1 && operation->expected == 0);
        if (failed || (write->may_expire && absent)) {
            return true;
        }
    }
    return false;
}

/* An open write that explains nothing that anybody saw can always stand at the end: it is left out. */
static void history_keep(const struct history_operation *const *operations, size_t count, bool *kept)
{
    bool changed = true;
    for (size_t i = 0; i < count; i++) {
        kept[i] = operations[i]->outcome == HISTORY_DONE;
    }
    while (changed) {
        changed = false;
        for (size_t i = 0; i < count; i++) {
            if (!kept[i] && operations[i]->outcome == HISTORY_OPEN && history_is_write(operations[i]) &&
                (history_is_observed(operations, kept, count, operations[i]->value) ||
                 history_may_explain(operations, count, operations[i]))) {
                kept[i] = changed = true;
            }
        }
    }
}

int history_check_register(const struct history_operation *const *operations, size_t count, char *why, size_t why_size)
{
    const struct history_operation **list = memory_new((count * 2 + 1) * sizeof(const struct history_operation *));
    struct history_operation *expiries = memory_new((count + 1) * sizeof(*expiries));
    bool *kept = memory_new(count + 1);
    const struct history_operation *stuck = NULL;
    size_t kept_count = 0;
    history_keep(operations, count, kept);
    for (size_t i = 0; i < count; i++) {
        if (!kept[i]) {
            continue;
        }
        list[kept_count++] = operations[i];
        if (operations[i]->kind == HISTORY_PUT && operations[i]->may_expire) {
            expiries[i] = *operations[i];
            expiries[i].kind = HISTORY_EXPIRE;
            expiries[i].outcome = HISTORY_OPEN;
            expiries[i].returned = HISTORY_NEVER;
            list[kept_count++] = &expiries[i];
        }
    }
    int rc = history_search(list, kept_count, &stuck);
    if (rc < 0) {
        snprintf(
            why, why_size,
            "no order explains the register %" PRIu32 " (%zu operations); stuck before the return of kind %d, value "
            "%" PRIu64 ", expected %" PRIu64 ", answer %" PRIu64 ", called %" PRIu64 ", returned %" PRIu64,
            count > 0 ? operations[0]->key : 0, kept_count, stuck != NULL ? (int)stuck->kind : -1,
            stuck != NULL ? stuck->value : 0, stuck != NULL ? stuck->expected : 0, stuck != NULL ? stuck->answer : 0,
            stuck != NULL ? stuck->called : 0, stuck != NULL ? stuck->returned : 0);
    }
    free(kept);
    free(expiries);
    free(list);
    return rc;
}

/* ---- Lists ---- */

static const struct history_operation *history_find_append(const struct history_operation *const *operations,
                                                           size_t count, uint64_t value)
{
    for (size_t i = 0; i < count; i++) {
        if (operations[i]->kind == HISTORY_APPEND && operations[i]->value == value) {
            return operations[i];
        }
    }
    return NULL;
}

/* Every acknowledged append is in the list where it said it was, every refused one is not. */
static int history_check_appends(const struct history_operation *const *operations, size_t count, const uint64_t *list,
                                 size_t list_count, char *why, size_t why_size)
{
    for (size_t i = 0; i < list_count; i++) {
        const struct history_operation *append = history_find_append(operations, count, list[i]);
        if (append == NULL || append->outcome == HISTORY_REFUSED) {
            snprintf(why, why_size, "the list holds %" PRIu64 " at %zu, which %s", list[i], i + 1,
                     append == NULL ? "nobody appended" : "was refused");
            return -1;
        }
        for (size_t k = i + 1; k < list_count; k++) {
            if (list[k] == list[i]) {
                snprintf(why, why_size, "the list holds %" PRIu64 " twice: at %zu and %zu", list[i], i + 1, k + 1);
                return -1;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct history_operation *append = operations[i];
        if (append->kind == HISTORY_APPEND && append->outcome == HISTORY_DONE &&
            (append->answer == 0 || append->answer > list_count || list[append->answer - 1] != append->value)) {
            snprintf(why, why_size,
                     "the acknowledged append of %" PRIu64 " at %" PRIu64 " is lost: the list has %zu items there%s",
                     append->value, append->answer, list_count, append->answer <= list_count ? ", another one" : "");
            return -1;
        }
    }
    return 0;
}

/* Gives every operation the earliest time that the order allows: reads of length n after append n and before append
 * n + 1. It must not lie behind the operation's return. */
static int history_check_times(const struct history_operation *const *operations, size_t count, const uint64_t *list,
                               size_t list_count, char *why, size_t why_size)
{
    uint64_t *reads_called = memory_new((list_count + 1) * sizeof(*reads_called));     /* the latest */
    uint64_t *reads_returned = memory_new((list_count + 1) * sizeof(*reads_returned)); /* the earliest */
    uint64_t now = 0;
    int rc = 0;
    for (size_t n = 0; n <= list_count; n++) {
        reads_returned[n] = HISTORY_NEVER;
    }
    for (size_t i = 0; i < count; i++) {
        const struct history_operation *read = operations[i];
        if (read->kind == HISTORY_LIST && read->outcome == HISTORY_DONE) {
            size_t n = (size_t)read->answer;
            reads_called[n] = read->called > reads_called[n] ? read->called : reads_called[n];
            reads_returned[n] = read->returned < reads_returned[n] ? read->returned : reads_returned[n];
        }
    }
    for (size_t n = 0; n <= list_count && rc == 0; n++) {
        if (n > 0) {
            const struct history_operation *append = history_find_append(operations, count, list[n - 1]);
            now = append->called > now ? append->called : now;
            if (now > append->returned) {
                snprintf(why, why_size,
                         "the append of %" PRIu64 " (place %zu) returned at %" PRIu64
                         ", before what comes before it in "
                         "the list was called, at %" PRIu64,
                         append->value, n, append->returned, now);
                rc = -1;
            }
        }
        if (rc == 0 && now > reads_returned[n]) {
            snprintf(why, why_size,
                     "a read of length %zu returned at %" PRIu64 ", before that length could be, at %" PRIu64, n,
                     reads_returned[n], now);
            rc = -1;
        }
        now = reads_called[n] > now ? reads_called[n] : now;
    }
    free(reads_called);
    free(reads_returned);
    return rc;
}

int history_check_list(const struct history_operation *const *operations, size_t count, const uint64_t *list,
                       size_t list_count, char *why, size_t why_size)
{
    uint64_t *hashes = memory_new((list_count + 1) * sizeof(*hashes));
    int rc = history_check_appends(operations, count, list, list_count, why, why_size);
    for (size_t i = 0; i < list_count; i++) {
        hashes[i + 1] = history_list_hash(hashes[i], list[i]);
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct history_operation *read = operations[i];
        if (read->kind == HISTORY_LIST && read->outcome == HISTORY_DONE &&
            (read->answer > list_count || hashes[read->answer] != read->list_hash)) {
            snprintf(why, why_size, "a read of length %" PRIu64 " is no prefix of the final list of %zu items",
                     read->answer, list_count);
            rc = -1;
        }
    }
    free(hashes);
    return rc != 0 ? rc : history_check_times(operations, count, list, list_count, why, why_size);
}
