#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "node/reconcile.h"

/* Members and configurations as text: "1v 2s 3l" is a voter, a stand-by, one that leaves. */
static struct membership membership_of(const char *text, uint64_t next_id)
{
    struct membership membership = {.version = 2, .next_id = next_id};
    for (; *text != '\0'; text += text[2] == ' ' ? 3 : 2) {
        struct membership_member *member = &membership.members[membership.count++];
        member->node.id = (uint64_t)(text[0] - '0');
        member->role = text[1] == 'v' ? MEMBERSHIP_VOTER : text[1] == 's' ? MEMBERSHIP_STANDBY : MEMBERSHIP_LEAVING;
    }
    return membership;
}

static unsigned members_of(const char *text, struct replica_member *members)
{
    unsigned count = 0;
    for (; *text != '\0'; text += text[2] == ' ' ? 3 : 2) {
        members[count++] = (struct replica_member){(uint64_t)(text[0] - '0'),
                                                   text[1] == 'v' ? REPLICA_ROLE_VOTER : REPLICA_ROLE_STANDBY};
    }
    return count;
}

static void text_of(const struct replica_member *members, unsigned count, char *text)
{
    for (unsigned i = 0; i < count; i++) {
        text += sprintf(text, "%s%u%c", i > 0 ? " " : "", (unsigned)members[i].node_id,
                        members[i].role == REPLICA_ROLE_VOTER ? 'v' : 's');
    }
    *text = '\0';
}

static bool always(void *arg, uint64_t node_id)
{
    return true;
}
static bool never(void *arg, uint64_t node_id)
{
    return false;
}

static void one_change_at_a_time_leads_from_the_groups_to_the_members(void **state)
{
    static const struct {
        const char *wanted;
        const char *is;
        const char *next; /* "": settled; NULL: wait */
        bool caught_up;
        bool may_drop;
        bool alone;
    } rows[] = {
        {"1v 2v 3v", "1v 2v 3v", "", true, true, false},
        {"1v 2v 3v 4v", "1v 2v 3v", "1v 2v 3v 4s", true, true, false},    /* learner first */
        {"1v 2v 3v 4v", "1v 2v 3v 4s", "1v 2v 3v 4v", true, true, false}, /* then a vote */
        {"1v 2v 3v 4v", "1v 2v 3v 4s", NULL, false, true, false},         /* not before it has caught up */
        {"1v 2v 3s", "1v 2v 3v", "1v 2v 3s", true, true, false},          /* demoted */
        {"1v 2v 3l", "1v 2v 3v", "1v 2v", true, true, false},             /* removed */
        {"1v 2v 3l", "1v 2v 3v", NULL, true, false, false},               /* not yet */
        {"1v 2v", "1v 2v 3v", "1v 2v", true, true, false},                /* forgotten meanwhile */
        {"1l 2v 3v", "1v 2v 3v", NULL, true, true, false},                /* a leader does not remove itself */
        {"1s 2v 3v", "1v 2v 3v", NULL, true, true, false},                /* nor demote */
        {"1v 2l 3v", "1v 2v", "1v 2v 3s", true, true, false},             /* who comes, before who goes */
        {"1v 2l 3v", "1v 2v 3s", NULL, false, true, false},               /* two voters remain … */
        {"1v 2l 3v", "1v 2v 3s", "1v 2v 3v", true, true, false},          /* … until there is another one */
        {"1v 2l", "1v 2v", NULL, true, true, false},                      /* never to one … */
        {"1v 2l", "1v 2v", "1v", true, true, true},                       /* … unless by force */
        {"1v 2l", "1v 2s", "1v", true, true, false},                      /* a stand-by is no vote */
        {"1v 2v", "1v 2v 9v", NULL, true, true, false},                   /* one that we have not heard of stays */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct membership membership = membership_of(rows[i].wanted, 9);
        struct replica_member is[REPLICA_MEMBERS_MAX];
        struct replica_member next[REPLICA_MEMBERS_MAX];
        unsigned count = 0;
        char text[128];
        membership.may_be_alone = rows[i].alone;
        struct reconcile_view view = {.membership = &membership,
                                      .self = 1,
                                      .members = is,
                                      .count = members_of(rows[i].is, is),
                                      .has_caught_up = rows[i].caught_up ? always : never,
                                      .may_drop = rows[i].may_drop ? always : never};
        enum reconcile_verdict verdict = reconcile_decide(&view, next, &count);
        enum reconcile_verdict expected = rows[i].next == NULL      ? RECONCILE_WAIT
                                          : rows[i].next[0] == '\0' ? RECONCILE_SETTLED
                                                                    : RECONCILE_CHANGE;
        if (verdict != expected) {
            fail_msg("row %zu (%s of %s): verdict %d", i, rows[i].is, rows[i].wanted, (int)verdict);
        }
        if (verdict == RECONCILE_CHANGE) {
            text_of(next, count, text);
            assert_string_equal(text, rows[i].next);
        }
    }
}

/* From any configuration to any membership: every step touches one member and is possible, the steps end, and at the
 * end everything is as wanted, as far as the leader may do it by itself. */
static void H14_every_way_ends_and_no_step_touches_two(void **state)
{
    struct rng rng;
    rng_seed(&rng, 7);
    for (unsigned round = 0; round < 20000; round++) {
        struct membership membership = {.version = 2, .next_id = 8, .may_be_alone = rng_chance(&rng, 1, 4)};
        struct replica_member members[REPLICA_MEMBERS_MAX] = {{1, REPLICA_ROLE_VOTER}};
        unsigned count = 1;
        membership.members[membership.count++] =
            (struct membership_member){.node = {.id = 1}, .role = MEMBERSHIP_VOTER};
        for (uint64_t id = 2; id <= 7; id++) {
            if (rng_chance(&rng, 2, 3)) {
                members[count++] = (struct replica_member){id, (enum replica_role)rng_below(&rng, 2)};
            }
            if (rng_chance(&rng, 2, 3)) {
                membership.members[membership.count++] = (struct membership_member){
                    .node = {.id = id}, .role = (enum membership_role)(1 + rng_below(&rng, 3))};
            }
        }
        enum reconcile_verdict verdict = RECONCILE_CHANGE;
        for (unsigned steps = 0; verdict == RECONCILE_CHANGE; steps++) {
            struct replica_member next[REPLICA_MEMBERS_MAX];
            unsigned next_count = 0;
            struct reconcile_view view = {.membership = &membership,
                                          .self = 1,
                                          .members = members,
                                          .count = count,
                                          .has_caught_up = always,
                                          .may_drop = always};
            assert_true(steps < 40);
            verdict = reconcile_decide(&view, next, &next_count);
            if (verdict == RECONCILE_CHANGE) {
                unsigned differing = 0;
                for (uint64_t id = 1; id <= 7; id++) {
                    int before = -1;
                    int after = -1;
                    for (unsigned i = 0; i < count; i++) {
                        before = members[i].node_id == id ? (int)members[i].role : before;
                    }
                    for (unsigned i = 0; i < next_count; i++) {
                        after = next[i].node_id == id ? (int)next[i].role : after;
                    }
                    differing += before != after;
                }
                assert_int_equal(differing, 1);
                memcpy(members, next, sizeof(members));
                count = next_count;
            }
        }
        /* What is left when it waits: votes that may not be taken, since too few would remain. */
        assert_true(verdict == RECONCILE_SETTLED || (membership_voters(&membership) < 2 && !membership.may_be_alone));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_change_at_a_time_leads_from_the_groups_to_the_members),
        cmocka_unit_test(H14_every_way_ends_and_no_step_touches_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
