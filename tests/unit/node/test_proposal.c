#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "holdfast/error.h"
#include "node/proposal.h"

/* Each owner counts how often it was answered, and with what. */
struct owner {
    unsigned answers;
    int result;
    uint64_t index;
};

static void answered(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct owner *owner = arg;
    owner->answers++;
    owner->result = result;
    owner->index = index;
}

static struct proposal waiting(struct owner *owner, uint64_t deadline_ms)
{
    return (struct proposal){.owner = {answered, owner}, .deadline_ms = deadline_ms};
}

/* Moves the first `count` of the queue into an entry. */
static void propose(struct proposal_queue *queue, struct proposal_pending *pending, uint64_t index, uint64_t term,
                    uint32_t count)
{
    struct proposal_entry entry = {.index = index, .term = term, .count = count};
    entry.deadline_ms = proposal_queue_at(queue, 0)->deadline_ms;
    proposal_pending_append(pending, entry, queue, 0);
    proposal_queue_drop(queue, count);
}

static void commands_wait_in_their_order_with_their_bytes(void **state)
{
    struct proposal_queue queue = {0};
    struct owner owner = {0};
    struct rng rng;
    uint64_t next_in = 0;
    uint64_t next_out = 0;
    rng_seed(&rng, 5);
    for (unsigned round = 0; round < 2000; round++) {
        for (uint64_t i = rng_below(&rng, 9); i > 0; i--) {
            uint64_t bytes[9] = {next_in};
            proposal_queue_append(&queue, bytes_of(bytes, 8 + next_in % 64), waiting(&owner, next_in));
            next_in++;
        }
        for (size_t i = 0; i < queue.count; i++) {
            struct hf_bytes command = proposal_queue_command(&queue, i);
            assert_int_equal(command.size, 8 + (next_out + i) % 64);
            assert_int_equal(bytes_get_u64(command.data), next_out + i);
        }
        assert_int_equal(proposal_queue_deadline_ms(&queue), queue.count > 0 ? next_out : UINT64_MAX);
        size_t dropped = (size_t)rng_below(&rng, queue.count + 1);
        proposal_queue_drop(&queue, dropped);
        next_out += dropped;
    }
    proposal_queue_drop(&queue, queue.count);
    proposal_queue_close(&queue);
    assert_int_equal(owner.answers, 0);
}

static void a_queue_that_never_empties_does_not_keep_what_left(void **state)
{
    struct proposal_queue queue = {0};
    static uint8_t bytes[1 << 20];
    for (unsigned i = 0; i < 200; i++) {
        proposal_queue_append(&queue, bytes_of(bytes, sizeof(bytes)), waiting(NULL, i));
        proposal_queue_append(&queue, bytes_of(bytes, sizeof(bytes)), waiting(NULL, i));
        proposal_queue_drop(&queue, i == 0 ? 1 : 2);
        assert_true(proposal_queue_bytes(&queue) <= 12u << 20);
    }
    proposal_queue_drop(&queue, queue.count);
    assert_int_equal(proposal_queue_bytes(&queue), 0);
    assert_int_equal(queue.bytes.capacity, 0);
    proposal_queue_close(&queue);
}

static void every_owner_is_answered_once_by_its_ordinal(void **state)
{
    struct proposal_queue queue = {0};
    struct proposal_pending pending = {0};
    struct owner owners[1000] = {0};
    for (unsigned i = 0; i < 1000; i++) {
        proposal_queue_append(&queue, bytes_of_text("x"), waiting(&owners[i], 100));
    }
    for (unsigned i = 0; i < 100; i++) {
        propose(&queue, &pending, 50 + i, 3, 10);
    }
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(proposal_pending_front(&pending)->index, 50 + i);
        for (uint32_t k = 0; k < 10; k++) {
            proposal_answer(proposal_pending_take(&pending, k), 0, (struct hf_bytes){0}, 50 + i);
            assert_null(proposal_pending_take(&pending, k).done);
        }
        assert_int_equal(proposal_pending_drop_front(&pending, HF_EINDETERMINATE), 0);
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(owners[i].answers, 1);
        assert_int_equal(owners[i].result, 0);
        assert_int_equal(owners[i].index, 50 + i / 10);
    }
    proposal_queue_close(&queue);
    proposal_pending_close(&pending);
}

static void what_was_truncated_is_answered_with_its_index(void **state)
{
    struct proposal_queue queue = {0};
    struct proposal_pending pending = {0};
    struct owner owners[6] = {0};
    for (unsigned i = 0; i < 6; i++) {
        proposal_queue_append(&queue, bytes_of_text("x"), waiting(&owners[i], 100));
    }
    for (unsigned i = 0; i < 3; i++) {
        propose(&queue, &pending, 7 + i, 2, 2);
    }
    while (proposal_pending_back(&pending) != NULL && proposal_pending_back(&pending)->index >= 8) {
        assert_int_equal(proposal_pending_drop_back(&pending, HF_EINDETERMINATE), 2);
    }
    assert_int_equal(owners[1].answers, 0);
    assert_int_equal(owners[2].result, HF_EINDETERMINATE);
    assert_int_equal(owners[2].index, 8);
    assert_int_equal(owners[5].index, 9);
    /* The places are free for what the next leader writes there. */
    proposal_queue_append(&queue, bytes_of_text("y"), waiting(&owners[2], 100));
    propose(&queue, &pending, 8, 3, 1);
    assert_int_equal(proposal_pending_back(&pending)->term, 3);
    assert_int_equal(proposal_pending_drop_front(&pending, 0), 2);
    assert_int_equal(proposal_pending_drop_front(&pending, 0), 1);
    assert_int_equal(owners[2].answers, 2);
    proposal_queue_close(&queue);
    proposal_pending_close(&pending);
}

static void what_ran_out_of_time_is_answered_and_keeps_its_place(void **state)
{
    struct proposal_queue queue = {0};
    struct proposal_pending pending = {0};
    struct owner owners[4] = {0};
    for (unsigned i = 0; i < 4; i++) {
        proposal_queue_append(&queue, bytes_of_text("x"), waiting(&owners[i], 100 + i));
    }
    for (unsigned i = 0; i < 4; i++) {
        propose(&queue, &pending, 1 + i, 1, 1);
    }
    assert_int_equal(proposal_pending_deadline_ms(&pending), 100);
    assert_int_equal(proposal_pending_expire(&pending, 101, HF_EINDETERMINATE), 2);
    assert_int_equal(proposal_pending_expire(&pending, 101, HF_EINDETERMINATE), 0);
    assert_int_equal(proposal_pending_deadline_ms(&pending), 102);
    assert_int_equal(proposal_pending_front(&pending)->index, 1);
    assert_true(proposal_pending_front(&pending)->is_answered);
    assert_int_equal(proposal_pending_drop_front(&pending, 0), 0);
    assert_int_equal(proposal_pending_deadline_ms(&pending), 102);
    assert_int_equal(proposal_pending_expire(&pending, 500, HF_EINDETERMINATE), 2);
    assert_int_equal(proposal_pending_deadline_ms(&pending), UINT64_MAX);
    assert_int_equal(proposal_pending_drop_back(&pending, 0), 0);
    assert_int_equal(proposal_pending_drop_front(&pending, 0), 0);
    assert_int_equal(proposal_pending_drop_front(&pending, 0), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(owners[i].answers, 1);
        assert_int_equal(owners[i].index, 1 + i);
    }
    proposal_queue_close(&queue);
    proposal_pending_close(&pending);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_wait_in_their_order_with_their_bytes),
        cmocka_unit_test(a_queue_that_never_empties_does_not_keep_what_left),
        cmocka_unit_test(every_owner_is_answered_once_by_its_ordinal),
        cmocka_unit_test(what_was_truncated_is_answered_with_its_index),
        cmocka_unit_test(what_ran_out_of_time_is_answered_and_keeps_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
