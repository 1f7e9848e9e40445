/* links: replica sim */
/* Snapshots between consensus and the log: what a member takes in, in which order, and what a leader offers. One real
 * replica and its log, the test plays the peers and the store of snapshots. Those with a switch in base/mutation.h fail
 * when it is on. */
#include "cluster/replica_lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

#include "cluster/replica_host.c"
#include "cluster/replica_lab.c"

static int install(struct lab *lab, uint64_t term, const struct replica_snapshot *snapshot)
{
    int rc = replica_snapshot_install(lab->host.replica, term, snapshot, bytes_of_text("name"));
    replica_host_turn(&lab->host);
    return rc;
}

/* Follows node 1 in term 2, with entries up to 5. */
static struct lab *open_follower(void)
{
    struct lab *lab = lab_open(2, lab_voters_3, 3);
    lab_append_run(lab, 1, 2, 2, 5, 1, 5);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).applied_index == 5);
    lab_forget(lab);
    return lab;
}

static void H7_the_order_is_reset_then_state_then_report(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 2);
    lab_offer(lab, 1, 2, &snapshot);
    assert_int_equal(lab->offers, 1);
    assert_true(lab->offer_term == 2 && lab->offer.index == 30 && lab->offer.member_count == 3);
    assert_string_equal(lab->offer_manifest, "manifest");
    sim_disk_stall(lab->host.host, 50000000u);
    assert_int_equal(install(lab, 2, &snapshot), 0);
    lab_run_ms(lab, 20);
    /* The reset is on its way to the disk: nothing shows yet. */
    assert_int_equal(lab->installs, 0);
    assert_null(lab_next(lab, RAFT_APPEND_ENTRIES_RESULT));
    assert_int_equal(install(lab, 2, &snapshot), HF_EBUSY);
    lab_run_ms(lab, 60);
    assert_int_equal(lab->installs, 1);
    assert_true(lab->install_durable_index == 30);
    assert_true(lab->install_commit_index == 5); /* the engine did not know of it then */
    struct lab_message *answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT);
    assert_non_null(answer);
    assert_true(answer->to == 1 && answer->raft.raft.append_entries_result.last_log_index == 30);
    struct replica_status status = replica_host_status(&lab->host);
    assert_true(status.applied_index == 30 && status.first_index == 31 && status.snapshot_index == 30);
    lab_close(lab);
}

static void H7_a_member_goes_on_behind_the_snapshot_also_after_a_restart(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 2);
    assert_int_equal(install(lab, 2, &snapshot), 0);
    lab_run_ms(lab, 20);
    lab_append_run(lab, 1, 2, 31, 40, 2, 38);
    lab_run_ms(lab, 20);
    assert_true(lab->applied[0].index == 31);
    assert_true(replica_host_status(&lab->host).applied_index == 38);
    lab->host.snapshot = snapshot;
    lab->host.applied_index = 30;
    lab_power_cycle(lab);
    lab_append_run(lab, 1, 2, 41, 41, 2, 41);
    lab_run_ms(lab, 20);
    assert_true(lab->applied[0].index == 31);
    struct replica_status status = replica_host_status(&lab->host);
    assert_true(status.applied_index == 41 && status.member_count == 3);
    lab_close(lab);
}

static void H7_a_gap_between_snapshot_and_log_is_refused(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 2);
    assert_int_equal(install(lab, 2, &snapshot), 0);
    lab_run_ms(lab, 20);
    const struct {
        struct replica_snapshot snapshot;
    } rows[] = {{{0}}, {lab_snapshot_at(20, 2)}, {lab_snapshot_at(30, 1)}, {lab_snapshot_at(31, 2)}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sim_host_power_off(lab->host.host);
        replica_host_close(&lab->host);
        lab->host.snapshot = rows[i].snapshot;
        lab->host.applied_index = rows[i].snapshot.index;
        assert_int_equal(lab_restart(lab), HF_ECORRUPT);
    }
    lab_close(lab);
}

static void H7_a_power_cut_before_the_reset_leaves_the_old_state(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 2);
    sim_disk_stall(lab->host.host, 50000000u);
    assert_int_equal(install(lab, 2, &snapshot), 0);
    lab_run_ms(lab, 10);
    lab_power_cycle(lab);
    assert_int_equal(lab->installs, 0);
    lab_append_run(lab, 1, 2, 6, 6, 2, 6);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).applied_index == 6);
    lab_close(lab);
}

static void H15_offers_come_twice_out_of_order_and_too_late(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot first = lab_snapshot_at(30, 2);
    struct replica_snapshot second = lab_snapshot_at(45, 2);
    lab_offer(lab, 1, 2, &second);
    lab_offer(lab, 1, 2, &first);
    lab_offer(lab, 1, 2, &first);
    assert_int_equal(lab->offers, 3);
    assert_int_equal(install(lab, 2, &first), 0);
    assert_int_equal(install(lab, 2, &second), HF_EBUSY);
    lab_offer(lab, 1, 2, &second); /* not while one is taken in */
    assert_int_equal(lab->offers, 3);
    lab_run_ms(lab, 20);
    /* Two in quick succession. */
    assert_int_equal(install(lab, 2, &second), 0);
    lab_run_ms(lab, 20);
    assert_int_equal(lab->installs, 2);
    assert_int_equal(install(lab, 2, &first), HF_EEXISTS);
    assert_int_equal(install(lab, 2, &second), HF_EEXISTS);
    lab_offer(lab, 1, 2, &second);
    assert_int_equal(lab->offers, 3);
    assert_true(replica_host_status(&lab->host).applied_index == 45);
    lab_close(lab);
}

/* The leader did not hear of it: the answer to the installation was lost with its connection. */
static void an_offer_of_what_is_here_is_answered_with_what_is_here(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 2);
    assert_int_equal(install(lab, 2, &snapshot), 0);
    lab_run_ms(lab, 20);
    lab_forget(lab);
    unsigned offers = lab->offers;
    lab_offer(lab, 1, 2, &snapshot);
    struct lab_message *answer = lab_await(lab, RAFT_APPEND_ENTRIES_RESULT, 20);
    assert_non_null(answer);
    assert_int_equal(answer->to, 1);
    assert_int_equal(answer->raft.raft.append_entries_result.rejected, 0);
    assert_int_equal(answer->raft.raft.append_entries_result.last_log_index, 30);
    assert_int_equal(lab->offers, offers);
    /* Of what is applied and not durable yet nothing is said. */
    sim_disk_stall(lab->host.host, 100000000u);
    lab_append_run(lab, 1, 2, 31, 40, 2, 40);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).applied_index == 40);
    lab_forget(lab);
    snapshot = lab_snapshot_at(38, 2);
    lab_offer(lab, 1, 2, &snapshot);
    assert_null(lab_await(lab, RAFT_APPEND_ENTRIES_RESULT, 20));
    lab_close(lab);
}

static void a_snapshot_that_the_log_has_already_changes_nothing(void **state)
{
    struct lab *lab = open_follower();
    lab_append_run(lab, 1, 2, 6, 20, 2, 5); /* not committed yet */
    lab_run_ms(lab, 20);
    struct replica_snapshot snapshot = lab_snapshot_at(15, 2);
    assert_int_equal(install(lab, 2, &snapshot), HF_EEXISTS);
    lab_run_ms(lab, 20);
    assert_int_equal(lab->installs, 0);
    assert_true(replica_host_status(&lab->host).last_index == 20);
    lab_close(lab);
}

/* An older leader does not have what the snapshot covers; told that we do, it would count its own entries as ours. */
static void an_install_waits_for_a_leader_of_the_term_in_which_it_was_offered(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 4);
    assert_int_equal(install(lab, 4, &snapshot), HF_EBUSY);
    lab_offer(lab, 3, 4, &snapshot); /* of a term that is not known here yet */
    assert_int_equal(lab->offers, 0);
    lab_append(lab, 3, 4, 40, 4, 5, NULL, 0); /* its heartbeat */
    lab_offer(lab, 3, 4, &snapshot);
    assert_int_equal(lab->offers, 1);
    assert_int_equal(install(lab, 4, &snapshot), 0);
    lab_run_ms(lab, 20);
    assert_int_equal(lab->installs, 1);
    lab_close(lab);
}

static void an_offer_of_an_old_leader_is_answered_with_the_newer_term(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 1);
    lab_offer(lab, 3, 1, &snapshot);
    lab_run_ms(lab, 5);
    struct lab_message *answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT);
    assert_non_null(answer);
    assert_true(answer->to == 3 && answer->raft.raft.append_entries_result.term == 2);
    assert_true(answer->raft.raft.append_entries_result.rejected != 0);
    assert_int_equal(lab->offers, 0);
    lab_close(lab);
}

/* Rule 3: what was in flight when the log restarted is not reported. */
static void R3_entries_in_flight_are_not_reported_after_an_install(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 2);
    sim_disk_stall(lab->host.host, 30000000u);
    lab_append_run(lab, 1, 2, 6, 9, 2, 5);
    assert_int_equal(install(lab, 2, &snapshot), 0);
    lab_append_run(lab, 1, 2, 31, 33, 2, 33); /* ignored: the leader sends them again */
    lab_run_ms(lab, 60);
    for (struct lab_message *answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT); answer != NULL;
         answer = lab_next(lab, RAFT_APPEND_ENTRIES_RESULT)) {
        uint64_t last = answer->raft.raft.append_entries_result.last_log_index;
        assert_true(answer->raft.raft.append_entries_result.rejected != 0 || last == 0 || last == 30);
    }
    lab_append_run(lab, 1, 2, 31, 33, 2, 33);
    lab_run_ms(lab, 20);
    assert_true(replica_host_status(&lab->host).applied_index == 33);
    lab_close(lab);
}

static void a_state_that_cannot_be_taken_in_freezes_the_replica(void **state)
{
    struct lab *lab = open_follower();
    struct replica_snapshot snapshot = lab_snapshot_at(30, 2);
    lab->install_result = HF_ECORRUPT;
    assert_int_equal(install(lab, 2, &snapshot), 0);
    lab_run_ms(lab, 20);
    assert_int_equal(lab->failed, HF_ECORRUPT);
    assert_null(lab_next(lab, RAFT_APPEND_ENTRIES_RESULT));
    lab_close(lab);
}

/* ---- a leader ---- */

/* Node 1 leads, with 20 entries that node 2 has, while node 3 is silent. */
static struct lab *open_leader(void)
{
    struct lab *lab = lab_open(1, lab_voters_3, 3);
    lab_elect(lab, 2);
    uint64_t term = replica_host_status(&lab->host).term;
    for (unsigned i = 0; i < 20; i++) {
        lab_submit(lab, "x");
        lab_run_ms(lab, 1);
        lab_result(lab, 2, term, 0, replica_host_status(&lab->host).last_index);
    }
    lab_run_ms(lab, 10);
    return lab;
}

static void R15_the_log_is_dropped_no_further_than_the_engine_forgot(void **state)
{
    struct lab *lab = open_leader();
    must(replica_compact(lab->host.replica, 15)); /* no snapshot yet: nothing goes */
    lab_run_ms(lab, 10);
    assert_true(replica_host_status(&lab->host).first_index == 1);
    uint64_t index = lab_snapshot(lab, 5);
    must(replica_compact(lab->host.replica, index));
    lab_run_ms(lab, 10);
    assert_true(replica_host_status(&lab->host).first_index == index - 5 + 1);
    must(replica_compact(lab->host.replica, 3)); /* gone already */
    lab_close(lab);
}

static void R15_a_member_below_the_log_is_offered_a_snapshot(void **state)
{
    struct lab *lab = open_leader();
    uint64_t term = replica_host_status(&lab->host).term;
    uint64_t index = lab_snapshot(lab, 3);
    must(replica_compact(lab->host.replica, index));
    lab_run_ms(lab, 10);
    lab_forget(lab);
    for (unsigned i = 0; i < 10 * LAB_HEARTBEAT_MS && lab->wanted_by == 0; i++) {
        lab_run_ms(lab, 1);
        for (struct lab_message *sent = lab_next(lab, RAFT_APPEND_ENTRIES); sent != NULL;
             sent = lab_next(lab, RAFT_APPEND_ENTRIES)) {
            lab_result(lab, sent->to, term, sent->to == 2 ? 0 : sent->raft.raft.append_entries.prev_log_index,
                       sent->to == 2 ? index : 1);
        }
    }
    assert_true(lab->wanted_by == 3);
    struct replica_snapshot snapshot = lab_snapshot_at(index, term);
    must(replica_snapshot_send(lab->host.replica, 3, &snapshot, bytes_of_text("m")));
    must(replica_snapshot_send(lab->host.replica, 3, &snapshot, bytes_of_text("the last one counts")));
    lab_run_ms(lab, 5);
    struct lab_message *sent = lab_next(lab, RAFT_INSTALL_SNAPSHOT);
    assert_non_null(sent);
    assert_true(sent->to == 3 && sent->raft.raft.install_snapshot.last_index == index &&
                sent->raft.raft.install_snapshot.term == term);
    lab_close(lab);
}

/* Rule 4: a leader commits with the others' word, before its own disk has it. */
static void R4_no_snapshot_covers_what_is_not_durable_here(void **state)
{
    struct lab *lab = open_leader();
    struct replica_snapshot point;
    uint64_t term = replica_host_status(&lab->host).term;
    sim_disk_stall(lab->host.host, 50000000u);
    uint64_t index = lab_submit(lab, "x");
    lab_run_ms(lab, 5);
    lab_result(lab, 2, term, 0, index);
    lab_result(lab, 3, term, 0, index);
    lab_run_ms(lab, 5);
    assert_true(replica_host_status(&lab->host).applied_index == index);
    must(replica_snapshot_point(lab->host.replica, &point));
    assert_false(replica_snapshot_is_durable(lab->host.replica, &point));
    assert_int_equal(replica_snapshot_taken(lab->host.replica, &point, 0), HF_EBUSY);
    lab_run_ms(lab, 60);
    assert_true(replica_snapshot_is_durable(lab->host.replica, &point));
    assert_true(point.index == index && point.term == term && point.configuration_index == 1);
    must(replica_snapshot_taken(lab->host.replica, &point, 0));
    assert_int_equal(replica_snapshot_point(lab->host.replica, &point), HF_ECONFLICT);
    lab_close(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H7_the_order_is_reset_then_state_then_report),
        cmocka_unit_test(H7_a_member_goes_on_behind_the_snapshot_also_after_a_restart),
        cmocka_unit_test(H7_a_gap_between_snapshot_and_log_is_refused),
        cmocka_unit_test(H7_a_power_cut_before_the_reset_leaves_the_old_state),
        cmocka_unit_test(H15_offers_come_twice_out_of_order_and_too_late),
        cmocka_unit_test(an_offer_of_what_is_here_is_answered_with_what_is_here),
        cmocka_unit_test(a_snapshot_that_the_log_has_already_changes_nothing),
        cmocka_unit_test(an_install_waits_for_a_leader_of_the_term_in_which_it_was_offered),
        cmocka_unit_test(an_offer_of_an_old_leader_is_answered_with_the_newer_term),
        cmocka_unit_test(R3_entries_in_flight_are_not_reported_after_an_install),
        cmocka_unit_test(a_state_that_cannot_be_taken_in_freezes_the_replica),
        cmocka_unit_test(R15_the_log_is_dropped_no_further_than_the_engine_forgot),
        cmocka_unit_test(R15_a_member_below_the_log_is_offered_a_snapshot),
        cmocka_unit_test(R4_no_snapshot_covers_what_is_not_durable_here),
    };
    replica_host_mutate();
    lab_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
