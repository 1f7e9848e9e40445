#include "unit/log/log_fixture.h"

static struct hf_log_batch *batch;

static int open_batch(void **unused)
{
    (void)unused;
    return hf_log_batch_open(&batch);
}

static int close_batch(void **unused)
{
    (void)unused;
    hf_log_batch_close(batch);
    return 0;
}

static void limits_are_checked_before_anything_is_added(void **unused)
{
    (void)unused;
    struct hf_entry good = fixture_entry(1, 1, "x");
    struct hf_entry zero = fixture_entry(0, 1, "x");
    struct hf_entry huge = fixture_entry(1, 1, "x");
    struct hf_entry typeless = fixture_entry(1, 1, "x");
    huge.payload.size = (size_t)HF_LOG_PAYLOAD_SIZE_MAX + 1;
    typeless.type = 0;
    struct hf_entry second_is_bad[2] = {good, huge};
    struct hf_hard_state state = {1, 2, 3};
    char name[HF_LOG_SNAPSHOT_NAME_SIZE_MAX + 1] = {0};
    assert_int_equal(hf_log_batch_append(batch, 0, &good, 1), HF_EINVALID);
    assert_int_equal(hf_log_batch_append(batch, HF_LOG_GROUP_MAX + 1, &good, 1), HF_EINVALID);
    assert_int_equal(hf_log_batch_append(batch, 1, &zero, 1), HF_EINVALID);
    assert_int_equal(hf_log_batch_append(batch, 1, &typeless, 1), HF_EINVALID);
    assert_int_equal(hf_log_batch_append(batch, 1, second_is_bad, 2), HF_ETOOBIG);
    assert_int_equal(hf_log_batch_truncate(batch, 1, 0), HF_EINVALID);
    assert_int_equal(hf_log_batch_hard_state(batch, 0, state), HF_EINVALID);
    assert_int_equal(hf_log_batch_reset(batch, 1, UINT64_MAX, 1, bytes_of(NULL, 0)), HF_EINVALID);
    assert_int_equal(hf_log_batch_reset(batch, 1, 5, 1, bytes_of(name, sizeof(name))), HF_ETOOBIG);
    assert_int_equal(hf_log_batch_compact(batch, 1, UINT64_MAX), HF_EINVALID);
    assert_true(hf_log_batch_is_empty(batch));
    assert_int_equal(hf_log_batch_size_bytes(batch), 0);
}

static void L12_an_over_full_batch_is_as_it_was_and_reusable(void **unused)
{
    (void)unused;
    size_t size = 100u << 20;
    char *payload = calloc(1, size);
    struct hf_entry entries[3];
    for (size_t i = 0; i < 3; i++) {
        entries[i] = fixture_entry(i + 1, 1, "");
        entries[i].payload = bytes_of(payload, size);
    }
    assert_int_equal(hf_log_batch_append(batch, 1, entries, 1), 0);
    size_t before = hf_log_batch_size_bytes(batch);
    assert_int_equal(hf_log_batch_append(batch, 1, entries + 1, 2), HF_ETOOBIG);
    assert_int_equal(hf_log_batch_size_bytes(batch), before);
    assert_int_equal(hf_log_batch_append(batch, 1, entries + 1, 1), 0);
    hf_log_batch_clear(batch);
    assert_true(hf_log_batch_is_empty(batch));
    assert_int_equal(hf_log_batch_append(batch, 1, entries, 1), 0);
    assert_int_equal(hf_log_batch_size_bytes(batch), before);
    free(payload);
}

static void what_was_refused_counts_for_nothing(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log_stat stat;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    struct hf_entry entries[2] = {fixture_entry(1, 1, "first"), fixture_entry(0, 1, "bad")};
    assert_int_equal(hf_log_batch_append(batch, 1, entries, 2), HF_EINVALID);
    assert_int_equal(hf_log_batch_append(batch, 1, entries, 1), 0);
    assert_int_equal(hf_log_append_wait(fixture.log, batch), 0);
    hf_log_stat(fixture.log, &stat);
    assert_int_equal(stat.appended_bytes, strlen("first"));
    fixture_expect(&fixture, 1, 1, 1, "first");
    fixture_tear_down(&fixture);
}

static void payloads_are_copied(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    char payload[] = "before";
    struct hf_entry entry = fixture_entry(1, 1, payload);
    assert_int_equal(hf_log_batch_append(batch, 1, &entry, 1), 0);
    memset(payload, 'x', sizeof(payload) - 1);
    assert_int_equal(hf_log_append_wait(fixture.log, batch), 0);
    fixture_expect(&fixture, 1, 1, 1, "before");
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(limits_are_checked_before_anything_is_added, open_batch, close_batch),
        cmocka_unit_test_setup_teardown(L12_an_over_full_batch_is_as_it_was_and_reusable, open_batch, close_batch),
        cmocka_unit_test_setup_teardown(what_was_refused_counts_for_nothing, open_batch, close_batch),
        cmocka_unit_test_setup_teardown(payloads_are_copied, open_batch, close_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
