/* links: node sim cluster */
/* The judge must be judged: histories that are right pass, and each way of being wrong is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cluster/cluster_history.h"

#define OPERATIONS_MAX 64u

struct row {
    enum history_kind kind;
    uint64_t value;
    uint64_t expected;
    uint64_t called;
    uint64_t returned; /* 0: open */
    uint64_t answer;
    bool may_expire;
    bool refused;
};

static int judge_register(const struct row *rows, size_t count, char *why)
{
    struct history_operation operations[OPERATIONS_MAX] = {0};
    const struct history_operation *list[OPERATIONS_MAX];
    for (size_t i = 0; i < count; i++) {
        operations[i] = (struct history_operation){.kind = rows[i].kind,
                                                   .outcome = rows[i].refused         ? HISTORY_REFUSED
                                                              : rows[i].returned == 0 ? HISTORY_OPEN
                                                                                      : HISTORY_DONE,
                                                   .may_expire = rows[i].may_expire,
                                                   .value = rows[i].value,
                                                   .expected = rows[i].expected,
                                                   .called = rows[i].called,
                                                   .returned = rows[i].returned != 0 ? rows[i].returned : HISTORY_NEVER,
                                                   .answer = rows[i].answer};
        list[i] = &operations[i];
    }
    return history_check_register(list, count, why, 256);
}

#define ROWS_MAX 6u
/* Versions of clang-format differ on braces in macros. */
/* clang-format off */
#define PUT(value, called, returned) {HISTORY_PUT, value, 0, called, returned, 0, false, false}
#define LEASE(value, called, returned) {HISTORY_PUT, value, 0, called, returned, 0, true, false}
#define REFUSED(value, called, returned) {HISTORY_PUT, value, 0, called, returned, 0, false, true}
#define GET(answer, called, returned) {HISTORY_GET, 0, 0, called, returned, answer, false, false}
#define CAS(expected, value, answer, called, returned) \
    {HISTORY_CAS, value, expected, called, returned, answer, false, false}
/* clang-format on */

static const struct {
    const char *what;
    int expected;
    size_t count;
    struct row rows[ROWS_MAX];
} register_rows[] = {
    {"nothing", 0, 0, {{0}}},
    {"absent at first", 0, 1, {GET(0, 1, 2)}},
    {"a value out of nowhere", -1, 1, {GET(7, 1, 2)}},
    {"a read after a write sees it", 0, 2, {PUT(1, 1, 2), GET(1, 3, 4)}},
    {"a read after a write misses it", -1, 2, {PUT(1, 1, 2), GET(0, 3, 4)}},
    {"a read beside a write may miss it", 0, 2, {PUT(1, 1, 4), GET(0, 2, 3)}},
    {"a read beside a write may see it", 0, 2, {PUT(1, 1, 4), GET(1, 2, 3)}},
    {"once seen, always seen", -1, 3, {PUT(1, 1, 6), GET(1, 2, 3), GET(0, 4, 5)}},
    {"an old value comes back", -1, 4, {PUT(1, 1, 2), PUT(2, 3, 4), GET(2, 5, 6), GET(1, 7, 8)}},
    {"an open write may take effect late", 0, 3, {PUT(1, 1, 0), GET(0, 2, 3), GET(1, 4, 5)}},
    {"an open write may never take effect", 0, 2, {PUT(1, 1, 0), GET(0, 2, 3)}},
    {"an open write takes effect before its call", -1, 2, {GET(1, 1, 2), PUT(1, 3, 0)}},
    {"an open write takes effect once", -1, 4, {PUT(1, 1, 0), PUT(2, 2, 3), GET(1, 4, 5), GET(2, 6, 7)}},
    {"a refused write is seen", -1, 2, {REFUSED(1, 1, 2), GET(1, 3, 4)}},
    {"a swap that should fail succeeds", -1, 2, {PUT(1, 1, 2), CAS(5, 6, 1, 3, 4)}},
    {"a swap that should succeed fails", -1, 2, {PUT(1, 1, 2), CAS(1, 6, 0, 3, 4)}},
    {"two swaps from one value both succeed", -1, 3, {PUT(1, 1, 2), CAS(1, 2, 1, 3, 6), CAS(1, 3, 1, 4, 5)}},
    {"one of two swaps succeeds", 0, 4, {PUT(1, 1, 2), CAS(1, 2, 1, 3, 6), CAS(1, 3, 0, 4, 5), GET(2, 7, 8)}},
    {"an open write explains a failed swap", 0, 3, {PUT(1, 1, 2), PUT(9, 3, 0), CAS(1, 2, 0, 4, 5)}},
    {"an open swap explains the next one", 0, 3, {PUT(1, 1, 2), CAS(1, 2, 0, 3, 0), CAS(2, 3, 1, 4, 5)}},
    {"a lease ends", 0, 3, {LEASE(1, 1, 2), GET(1, 3, 4), GET(0, 5, 6)}},
    {"an ended lease comes back", -1, 3, {LEASE(1, 1, 2), GET(0, 3, 4), GET(1, 5, 6)}},
    {"a value without a lease ends", -1, 2, {PUT(1, 1, 2), GET(0, 3, 4)}},
    {"an open lease explains that a value is gone", 0, 3, {PUT(1, 1, 2), LEASE(2, 3, 0), GET(0, 4, 5)}},
    {"a lease that was overwritten does not end the next value", -1, 3, {LEASE(1, 1, 2), PUT(2, 3, 4), GET(0, 5, 6)}},
};

static void registers_are_judged(void **state)
{
    for (size_t i = 0; i < sizeof(register_rows) / sizeof(register_rows[0]); i++) {
        char why[256] = "";
        int rc = judge_register(register_rows[i].rows, register_rows[i].count, why);
        if (rc != register_rows[i].expected) {
            fail_msg("%s: %d instead of %d: %s", register_rows[i].what, rc, register_rows[i].expected, why);
        }
        assert_int_equal(why[0] != '\0', rc < 0);
    }
}

static struct history_operation append(uint64_t value, uint64_t called, uint64_t returned, uint64_t answer)
{
    return (struct history_operation){.kind = HISTORY_APPEND,
                                      .outcome = returned == 0 ? HISTORY_OPEN : HISTORY_DONE,
                                      .value = value,
                                      .called = called,
                                      .returned = returned != 0 ? returned : HISTORY_NEVER,
                                      .answer = answer};
}

static struct history_operation list_read(const uint64_t *list, size_t count, uint64_t called, uint64_t returned)
{
    struct history_operation read = {
        .kind = HISTORY_LIST, .outcome = HISTORY_DONE, .called = called, .returned = returned, .answer = count};
    for (size_t i = 0; i < count; i++) {
        read.list_hash = history_list_hash(read.list_hash, list[i]);
    }
    return read;
}

static int judge_list(const struct history_operation *operations, size_t count, const uint64_t *list, size_t list_count)
{
    const struct history_operation *pointers[OPERATIONS_MAX];
    char why[256] = "";
    for (size_t i = 0; i < count; i++) {
        pointers[i] = &operations[i];
    }
    int rc = history_check_list(pointers, count, list, list_count, why, sizeof(why));
    assert_int_equal(why[0] != '\0', rc < 0);
    return rc;
}

static void lists_are_judged(void **state)
{
    const uint64_t list[] = {1, 2, 3};
    const uint64_t other[] = {2};
    const uint64_t twice[] = {1, 1};
    struct history_operation good[] = {append(1, 1, 2, 1), append(2, 3, 0, 0), list_read(list, 1, 4, 5),
                                       append(3, 6, 7, 3), list_read(list, 3, 8, 9)};
    assert_int_equal(judge_list(good, 5, list, 3), 0);
    /* An acknowledged append is lost; at another place; twice; one that nobody made. */
    assert_int_equal(judge_list(good, 5, list, 2), -1);
    struct history_operation moved[] = {append(1, 1, 2, 2), append(2, 1, 2, 1)};
    assert_int_equal(judge_list(moved, 2, list, 2), -1);
    struct history_operation once[] = {append(1, 1, 2, 1)};
    assert_int_equal(judge_list(once, 1, twice, 2), -1);
    assert_int_equal(judge_list(once, 1, list, 2), -1);
    struct history_operation refused[] = {append(1, 1, 2, 1)};
    refused[0].outcome = HISTORY_REFUSED;
    assert_int_equal(judge_list(refused, 1, list, 1), -1);
    /* A read of something that never was; a read that misses what returned before; one that sees what came after. */
    struct history_operation strange[] = {append(1, 1, 2, 1), list_read(other, 1, 3, 4)};
    assert_int_equal(judge_list(strange, 2, list, 1), -1);
    struct history_operation stale[] = {append(1, 1, 2, 1), append(2, 3, 4, 2), list_read(list, 1, 5, 6)};
    assert_int_equal(judge_list(stale, 3, list, 2), -1);
    struct history_operation early[] = {list_read(list, 1, 1, 2), append(1, 3, 4, 1)};
    assert_int_equal(judge_list(early, 2, list, 1), -1);
    /* Reads that contradict each other in time. */
    struct history_operation back[] = {append(1, 1, 9, 1), list_read(list, 1, 2, 3), list_read(list, 0, 4, 5)};
    assert_int_equal(judge_list(back, 3, list, 1), -1);
    /* The list's order contradicts that of the calls. */
    struct history_operation order[] = {append(2, 1, 2, 2), append(1, 3, 4, 1)};
    assert_int_equal(judge_list(order, 2, list, 2), -1);
}

/* Histories made by a real register pass; with one answer changed to a value that was not current they fail. */
static void generated_histories_pass_and_one_wrong_answer_fails_them(void **state)
{
    struct rng rng;
    rng_seed(&rng, 9);
    unsigned spoilt = 0;
    for (unsigned run = 0; run < 300; run++) {
        struct row rows[OPERATIONS_MAX] = {{0}};
        uint64_t value = 0;
        uint64_t next = 0;
        size_t last_get = OPERATIONS_MAX;
        for (size_t i = 0; i < 40; i++) {
            /* Each takes effect in the middle of its time; the times overlap their neighbours'. */
            rows[i].called = 10 * (i + 1) - rng_below(&rng, 9);
            rows[i].returned = 10 * (i + 1) + 1 + rng_below(&rng, 9);
            uint64_t dice = rng_below(&rng, 3);
            if (dice == 0) {
                rows[i].kind = HISTORY_PUT;
                value = rows[i].value = ++next;
                rows[i].returned = rng_chance(&rng, 1, 6) ? 0 : rows[i].returned;
            } else if (dice == 1) {
                rows[i].kind = HISTORY_CAS;
                rows[i].expected = rng_chance(&rng, 1, 2) ? value : value + 100;
                rows[i].value = ++next;
                rows[i].answer = rows[i].expected == value;
                value = rows[i].answer == 1 ? rows[i].value : value;
            } else {
                rows[i].kind = HISTORY_GET;
                rows[i].answer = value;
                last_get = i;
            }
        }
        char why[256] = "";
        assert_int_equal(judge_register(rows, 40, why), 0);
        if (last_get < OPERATIONS_MAX) {
            rows[last_get].answer = 1000; /* never written */
            assert_int_equal(judge_register(rows, 40, why), -1);
            spoilt++;
        }
    }
    assert_true(spoilt > 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_are_judged),
        cmocka_unit_test(lists_are_judged),
        cmocka_unit_test(generated_histories_pass_and_one_wrong_answer_fails_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
