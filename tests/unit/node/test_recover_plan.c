#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "holdfast/error.h"
#include "node/recover_plan.h"
#include "planted.h"

#define COPIES_MAX 4u

struct row {
    uint64_t node;
    uint64_t last_term;
    uint64_t last_index;
    uint64_t commit;
    bool is_damaged;
    bool is_removed;
    bool is_absent;
    bool may_be_short;
};

static struct survivor_copy copies[COPIES_MAX];
static struct recover_candidate candidates[COPIES_MAX];

/* Rows until the first without a node. Every group has the voters 1 … voters. */
static uint32_t set(const struct row *rows, unsigned voters)
{
    uint32_t count = 0;
    for (; count < COPIES_MAX && rows[count].node != 0; count++) {
        const struct row *row = &rows[count];
        struct survivor_copy *copy = &copies[count];
        *copy = (struct survivor_copy){.group = 2,
                                       .is_there = !row->is_absent,
                                       .is_good = !row->is_damaged && !row->is_absent,
                                       .first_index = 1,
                                       .last_index = row->last_index,
                                       .last_term = row->last_term,
                                       .term = row->last_term,
                                       .commit = row->commit};
        copy->latest.index = 1;
        copy->latest.count = voters;
        for (unsigned i = 0; i < voters; i++) {
            copy->latest.members[i] = (struct replica_member){i + 1, REPLICA_ROLE_VOTER};
        }
        strcpy(copy->reason, copy->is_good ? "" : row->is_absent ? "it never held the group" : "its log is damaged");
        candidates[count] = (struct recover_candidate){row->node, row->is_removed, copy, row->may_be_short};
    }
    return count;
}

static struct recover_choice choose(const struct row *rows, unsigned voters, struct recover_wishes wishes)
{
    struct recover_choice choice;
    uint32_t count = set(rows, voters);
    recover_plan_choose(candidates, count, &wishes, &choice);
    return choice;
}

static const struct recover_wishes none = {0};

static void the_highest_term_wins_then_the_longest_log(void **state)
{
    static const struct {
        struct row rows[COPIES_MAX];
        uint32_t taken;
        const char *why;
    } table[] = {
        {{{1, 3, 90, 50}, {2, 4, 70, 60}}, 1, "the highest term"},
        {{{1, 4, 90, 80}, {2, 4, 91, 60}, {3, 2, 500, 10}}, 1, "the longest log"},
        {{{1, 4, 90, 80}, {2, 4, 90, 85}}, 1, "as good as"},
        {{{1, 4, 90, 80}, {2, 4, 90, 80}}, 0, "as good as"},
        {{{3, 4, 90, 80}}, 0, "the only copy"},
        {{{1, 4, 90, 80}, {2, 4, 80, 80, .is_damaged = true}}, 0, "the only good copy"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct recover_choice choice = choose(table[i].rows, 5, none);
        assert_int_equal(choice.result, 0);
        assert_int_equal(choice.candidate, table[i].taken);
        assert_non_null(strstr(choice.why, table[i].why));
    }
}

static void what_nobody_knows_to_be_committed_is_kept_and_said(void **state)
{
    struct recover_choice choice = choose((struct row[COPIES_MAX]){{1, 4, 90, 80}}, 3, none);
    assert_true(choice.commit == 80 && choice.unknown_first == 81 && choice.unknown_last == 90);
    /* Another node may know more of the same entries. */
    choice = choose((struct row[COPIES_MAX]){{1, 4, 90, 80}, {2, 4, 88, 88}}, 3, none);
    assert_true(choice.commit == 88 && choice.unknown_first == 89);
    choice = choose((struct row[COPIES_MAX]){{1, 4, 90, 90}}, 3, none);
    assert_true(choice.unknown_first == 0 && choice.unknown_last == 0);
}

static void a_majority_of_the_voters_loses_nothing_that_was_acknowledged(void **state)
{
    struct recover_choice choice = choose((struct row[COPIES_MAX]){{1, 4, 90, 80}, {2, 4, 85, 80}}, 3, none);
    assert_true(choice.is_complete && choice.voters == 3 && choice.voters_here == 2 && choice.problem[0] == '\0');
    choice = choose((struct row[COPIES_MAX]){{1, 4, 90, 80}, {2, 4, 85, 80}}, 5, none);
    assert_true(!choice.is_complete && choice.voters_here == 2);
    assert_non_null(strstr(choice.problem, "behind index 90"));
    /* A stand-by's copy is as good, and has no vote to count. */
    choice = choose((struct row[COPIES_MAX]){{1, 4, 90, 80}, {7, 4, 95, 80}}, 3, none);
    assert_true(choice.candidate == 1 && !choice.is_complete && choice.voters_here == 1);
    /* What is damaged may have held more than it shows. */
    choice = choose((struct row[COPIES_MAX]){{1, 4, 90, 80}, {2, 4, 85, 80, .is_damaged = true}}, 3, none);
    assert_true(choice.result == 0 && !choice.is_complete && choice.voters_here == 1);
    /* So may that of a node whose power went before the device had what it acknowledged. It is as good for the rest. */
    choice = choose((struct row[COPIES_MAX]){{1, 4, 90, 80, .may_be_short = true}, {2, 4, 85, 80}}, 3, none);
    assert_true(choice.result == 0 && choice.candidate == 0 && !choice.is_complete && choice.voters_here == 1);
    assert_non_null(strstr(choice.problem, "log.sync_policy"));
}

static void a_configuration_that_may_not_have_come_into_force_counts_with_the_one_before(void **state)
{
    struct recover_choice choice;
    uint32_t count = set((struct row[COPIES_MAX]){{1, 4, 90, 80}}, 1);
    copies[0].latest.index = 85;
    copies[0].before = (struct survivor_members){
        .index = 1, .count = 2, .members = {{1, REPLICA_ROLE_VOTER}, {2, REPLICA_ROLE_VOTER}}};
    recover_plan_choose(candidates, count, &none, &choice);
    assert_false(choice.is_complete);
    copies[0].commit = 85;
    recover_plan_choose(candidates, count, &none, &choice);
    assert_true(choice.is_complete);
}

static void known_losses_are_refused_until_they_are_accepted(void **state)
{
    static const struct row known[COPIES_MAX] = {{1, 5, 90, 80}, {2, 4, 100, 95}};
    static const struct row damaged[COPIES_MAX] = {{1, 5, 90, 80}, {2, 5, 100, 80, .is_damaged = true}};
    static const struct row own[COPIES_MAX] = {{1, 5, 90, 95}, {2, 4, 80, 70}}; /* what its snapshot says */
    const struct row *const tables[] = {known, damaged, own};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct recover_choice choice = choose(tables[i], 3, none);
        assert_true(choice.result == HF_EUNSAFE && choice.candidate == 0 && choice.problem[0] != '\0');
        assert_false(choice.is_complete);
        choice = choose(tables[i], 3, (struct recover_wishes){.accepts_loss = true});
        assert_true(choice.result == 0 && choice.candidate == 0 && choice.is_loss_accepted);
        assert_false(choice.is_complete);
    }
}

static void a_group_without_a_good_copy_is_refused_unless_it_is_skipped(void **state)
{
    static const struct row rows[COPIES_MAX] = {{1, 5, 90, 80, .is_damaged = true}, {2, .is_absent = true}};
    struct recover_choice choice = choose(rows, 3, none);
    assert_true(choice.result == HF_ECORRUPT && choice.candidate == RECOVER_PLAN_NONE);
    assert_non_null(strstr(choice.problem, "node 1: its log is damaged"));
    assert_non_null(strstr(choice.problem, "node 2: it never held"));
    choice = choose(rows, 3, (struct recover_wishes){.accepts_loss = true});
    assert_int_equal(choice.result, HF_ECORRUPT);
    choice = choose(rows, 3, (struct recover_wishes){.is_skipped = true});
    assert_true(choice.result == 0 && choice.is_skipped && choice.candidate == RECOVER_PLAN_NONE);
}

static void a_removed_node_counts_only_when_it_is_asked_for(void **state)
{
    static const struct row rows[COPIES_MAX] = {{4, 5, 90, 80, .is_removed = true}};
    struct recover_choice choice = choose(rows, 3, none);
    assert_int_equal(choice.result, HF_ECORRUPT);
    assert_non_null(strstr(choice.problem, "was removed"));
    choice = choose(rows, 3, (struct recover_wishes){.accepts_removed = true});
    assert_true(choice.result == 0 && choice.candidate == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_term_wins_then_the_longest_log),
        cmocka_unit_test(what_nobody_knows_to_be_committed_is_kept_and_said),
        cmocka_unit_test(a_majority_of_the_voters_loses_nothing_that_was_acknowledged),
        cmocka_unit_test(a_configuration_that_may_not_have_come_into_force_counts_with_the_one_before),
        cmocka_unit_test(known_losses_are_refused_until_they_are_accepted),
        cmocka_unit_test(a_group_without_a_good_copy_is_refused_unless_it_is_skipped),
        cmocka_unit_test(a_removed_node_counts_only_when_it_is_asked_for),
    };
    planted_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
