/* Raft messages as bytes: every field arrives, and nothing that breaks the drawing in codec.h is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "replica/codec.h"
#include "replica/replica.h"

static const uint8_t members[] = {1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0};

static struct raft_message append_message(void)
{
    return (struct raft_message){
        .type = RAFT_APPEND_ENTRIES,
        .append_entries = {
            .version = 0, .term = 5, .prev_log_index = 9, .prev_log_term = 3, .leader_commit = UINT64_MAX}};
}

static const struct hf_entry three_entries[] = {
    {.index = 10, .term = 3, .timestamp_ms = 77, .type = HF_ENTRY_NORMAL, .payload = {"value", 5}},
    {.index = 11, .term = 4, .timestamp_ms = 78, .type = HF_ENTRY_CONFIGURATION, .payload = {members, 11}},
    {.index = 12, .term = 5, .timestamp_ms = 0, .type = HF_ENTRY_NOOP},
};

static void encode_decode(const struct raft_message *raft, struct buffer *bytes, struct codec_message *out)
{
    codec_encode(raft, NULL, 0, bytes);
    assert_int_equal(codec_decode(buffer_bytes(bytes), out), 0);
    assert_int_equal(out->raft.type, raft->type);
}

static void append_entries_carry_terms_stamps_types_and_payloads(void **state)
{
    struct raft_message raft = append_message();
    struct buffer bytes = {0};
    codec_encode(&raft, three_entries, 3, &bytes);
    struct codec_message out;
    assert_int_equal(codec_decode(buffer_bytes(&bytes), &out), 0);
    assert_true(out.raft.append_entries.term == 5);
    assert_true(out.raft.append_entries.prev_log_index == 9);
    assert_true(out.raft.append_entries.prev_log_term == 3);
    assert_true(out.raft.append_entries.leader_commit == UINT64_MAX);
    assert_int_equal(out.entry_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(out.entries[i].index == three_entries[i].index);
        assert_true(out.entries[i].term == three_entries[i].term);
        assert_true(out.entries[i].timestamp_ms == three_entries[i].timestamp_ms);
        assert_int_equal(out.entries[i].type, three_entries[i].type);
        assert_true(bytes_equal(out.entries[i].payload, three_entries[i].payload));
    }
    codec_message_close(&out);
    buffer_close(&bytes);
}

static void append_entries_are_encoded_as_they_are_drawn(void **state)
{
    static const uint8_t drawn[] = {
        1,   1,   0,   0,   5,   0,   0,   0,   0,  0, 0, 0,             /* format, type, version, flags, term */
        9,   0,   0,   0,   0,   0,   0,   0,   3,  0, 0, 0, 0, 0, 0, 0, /* index and term before */
        255, 255, 255, 255, 255, 255, 255, 255, 1,  0, 0, 0,             /* leader's commit, count */
        3,   0,   0,   0,   0,   0,   0,   0,   77, 0, 0, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 'v', 'a', 'l', 'u', 'e',
    };
    struct raft_message raft = append_message();
    struct buffer bytes = {0};
    codec_encode(&raft, three_entries, 1, &bytes);
    assert_int_equal(bytes.size, sizeof(drawn));
    assert_memory_equal(bytes.data, drawn, sizeof(drawn));
    buffer_close(&bytes);
}

static void an_append_entries_result_carries_features_and_capacity(void **state)
{
    struct raft_message raft = {
        .type = RAFT_APPEND_ENTRIES_RESULT,
        .append_entries_result = {
            .version = 2, .term = 8, .rejected = 4, .last_log_index = 3, .features = 1, .capacity = 65535}};
    struct buffer bytes = {0};
    struct codec_message out;
    encode_decode(&raft, &bytes, &out);
    const struct raft_append_entries_result *result = &out.raft.append_entries_result;
    assert_int_equal(result->version, 2);
    assert_true(result->term == 8 && result->rejected == 4 && result->last_log_index == 3);
    assert_int_equal(result->features, 1);
    assert_int_equal(result->capacity, 65535);
    buffer_close(&bytes);
}

static void a_request_vote_carries_pre_vote_and_disrupt_leader(void **state)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        struct raft_message raft = {.type = RAFT_REQUEST_VOTE,
                                    .request_vote = {.version = 2,
                                                     .term = 6,
                                                     .candidate_id = 3,
                                                     .last_log_index = 12,
                                                     .last_log_term = 5,
                                                     .pre_vote = flags & 1,
                                                     .disrupt_leader = (flags & 2) != 0}};
        struct buffer bytes = {0};
        struct codec_message out;
        encode_decode(&raft, &bytes, &out);
        const struct raft_request_vote *vote = &out.raft.request_vote;
        assert_int_equal(vote->version, 2);
        assert_true(vote->term == 6 && vote->candidate_id == 3 && vote->last_log_index == 12 &&
                    vote->last_log_term == 5);
        assert_int_equal(vote->pre_vote, (flags & 1) != 0);
        assert_int_equal(vote->disrupt_leader, (flags & 2) != 0);
        buffer_close(&bytes);
    }
}

static void a_request_vote_result_carries_pre_vote_and_grant(void **state)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        struct raft_message raft = {.type = RAFT_REQUEST_VOTE_RESULT,
                                    .request_vote_result = {.version = 2,
                                                            .term = 6,
                                                            .features = 1,
                                                            .capacity = 9,
                                                            .pre_vote = flags & 1,
                                                            .vote_granted = (flags & 2) != 0}};
        struct buffer bytes = {0};
        struct codec_message out;
        encode_decode(&raft, &bytes, &out);
        const struct raft_request_vote_result *result = &out.raft.request_vote_result;
        assert_int_equal(result->version, 2);
        assert_true(result->term == 6);
        assert_int_equal(result->features, 1);
        assert_int_equal(result->capacity, 9);
        assert_int_equal(result->pre_vote, (flags & 1) != 0);
        assert_int_equal(result->vote_granted, (flags & 2) != 0);
        buffer_close(&bytes);
    }
}

static void a_timeout_now_carries_the_leader_s_last_entry(void **state)
{
    struct raft_message raft = {.type = RAFT_TIMEOUT_NOW,
                                .timeout_now = {.term = 7, .last_log_index = 30, .last_log_term = 6}};
    struct buffer bytes = {0};
    struct codec_message out;
    encode_decode(&raft, &bytes, &out);
    assert_true(out.raft.timeout_now.term == 7 && out.raft.timeout_now.last_log_index == 30 &&
                out.raft.timeout_now.last_log_term == 6);
    buffer_close(&bytes);
}

static void an_install_snapshot_carries_configuration_and_manifest(void **state)
{
    struct raft_install_snapshot raft = {.term = 7, .last_index = 30, .last_term = 6, .conf_index = 1};
    struct buffer bytes = {0};
    codec_encode_install_snapshot(&raft, bytes_of(members, sizeof(members)), bytes_of_text("manifest"), &bytes);
    struct codec_message out;
    assert_int_equal(codec_decode(buffer_bytes(&bytes), &out), 0);
    assert_int_equal(out.raft.type, RAFT_INSTALL_SNAPSHOT);
    assert_true(out.raft.install_snapshot.term == 7 && out.raft.install_snapshot.last_index == 30 &&
                out.raft.install_snapshot.last_term == 6 && out.raft.install_snapshot.conf_index == 1);
    assert_true(bytes_equal(out.configuration, bytes_of(members, sizeof(members))));
    assert_true(bytes_equal(out.manifest, bytes_of_text("manifest")));
    buffer_close(&bytes);
}

/* ---- what must be refused ---- */

static void encode_sample(enum raft_message_type type, struct buffer *bytes)
{
    struct raft_message raft = {.type = type};
    switch (type) {
    case RAFT_APPEND_ENTRIES:
        raft = append_message();
        codec_encode(&raft, three_entries, 3, bytes);
        return;
    case RAFT_INSTALL_SNAPSHOT:
        codec_encode_install_snapshot(
            &(struct raft_install_snapshot){.term = 7, .last_index = 30, .last_term = 6, .conf_index = 1},
            bytes_of(members, sizeof(members)), bytes_of_text("m"), bytes);
        return;
    case RAFT_APPEND_ENTRIES_RESULT:
        raft.append_entries_result.term = 1;
        break;
    case RAFT_REQUEST_VOTE:
        raft.request_vote.version = 2;
        raft.request_vote.term = 1;
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        raft.request_vote_result.version = 2;
        raft.request_vote_result.term = 1;
        break;
    case RAFT_TIMEOUT_NOW:
        raft.timeout_now.term = 1;
        break;
    }
    codec_encode(&raft, NULL, 0, bytes);
}

static int decode_copy(const struct buffer *bytes, size_t size)
{
    /* An exact copy, so that the address sanitizer sees every read past its end. */
    uint8_t *copy = memory_new(size);
    if (size > 0) {
        memcpy(copy, bytes->data, size);
    }
    struct codec_message out;
    int rc = codec_decode(bytes_of(copy, size), &out);
    if (rc == 0) {
        codec_message_close(&out);
    }
    free(copy);
    return rc;
}

static void every_truncation_and_every_trailing_byte_is_refused(void **state)
{
    for (int type = RAFT_APPEND_ENTRIES; type <= RAFT_TIMEOUT_NOW; type++) {
        struct buffer bytes = {0};
        encode_sample((enum raft_message_type)type, &bytes);
        assert_int_equal(decode_copy(&bytes, bytes.size), 0);
        for (size_t size = 0; size < bytes.size; size++) {
            assert_int_equal(decode_copy(&bytes, size), HF_EPROTOCOL);
        }
        buffer_append_u8(&bytes, 0);
        assert_int_equal(decode_copy(&bytes, bytes.size), HF_EPROTOCOL);
        buffer_close(&bytes);
    }
}

static void assert_patched_is_refused(enum raft_message_type type, size_t offset, const void *patch, size_t size,
                                      const char *what)
{
    struct buffer bytes = {0};
    encode_sample(type, &bytes);
    assert_true(offset + size <= bytes.size);
    memcpy(bytes.data + offset, patch, size);
    if (decode_copy(&bytes, bytes.size) != HF_EPROTOCOL) {
        fail_msg("%s was taken", what);
    }
    buffer_close(&bytes);
}

static void a_field_that_breaks_a_rule_is_refused(void **state)
{
    static const struct {
        const char *what;
        enum raft_message_type type;
        size_t offset;
        uint8_t patch[8];
        size_t size;
    } rows[] = {
        {"another format", RAFT_TIMEOUT_NOW, 0, {2}, 1},
        {"type 0", RAFT_TIMEOUT_NOW, 1, {0}, 1},
        {"type 7", RAFT_TIMEOUT_NOW, 1, {7}, 1},
        {"a flag where there is none", RAFT_APPEND_ENTRIES, 3, {1}, 1},
        {"a granted vote in a request", RAFT_REQUEST_VOTE, 3, {4}, 1},
        {"an unknown flag", RAFT_REQUEST_VOTE_RESULT, 3, {8}, 1},
        {"a vote whose pre-vote cannot be told", RAFT_REQUEST_VOTE_RESULT, 2, {1}, 1},
        {"no term", RAFT_REQUEST_VOTE, 4, {0}, 8},
        {"an index before without its term", RAFT_APPEND_ENTRIES, 20, {0}, 8},
        {"a term before without its index", RAFT_APPEND_ENTRIES, 12, {0}, 8},
        {"a term before above the message's", RAFT_APPEND_ENTRIES, 20, {6}, 8},
        {"indexes that overflow", RAFT_APPEND_ENTRIES, 12, {255, 255, 255, 255, 255, 255, 255, 255}, 8},
        {"more entries than bytes", RAFT_APPEND_ENTRIES, 36, {255, 255, 255, 255}, 4},
        {"an entry of term 0", RAFT_APPEND_ENTRIES, 40, {0}, 8},
        {"a term below the one before", RAFT_APPEND_ENTRIES, 40, {2}, 8},
        {"an entry's term above the message's", RAFT_APPEND_ENTRIES, 40, {6}, 8},
        {"an unknown type of entry", RAFT_APPEND_ENTRIES, 56, {9}, 1},
        {"a snapshot marker on the wire", RAFT_APPEND_ENTRIES, 56, {HF_ENTRY_SNAPSHOT_MARKER}, 1},
        {"a no-op with a payload", RAFT_APPEND_ENTRIES, 56, {HF_ENTRY_NOOP}, 1},
        {"a configuration that is none", RAFT_APPEND_ENTRIES, 56, {HF_ENTRY_CONFIGURATION}, 1},
        {"an entry beyond the message", RAFT_APPEND_ENTRIES, 57, {255, 255, 255, 7}, 4},
        {"a snapshot at index 0", RAFT_INSTALL_SNAPSHOT, 12, {0}, 8},
        {"a snapshot of a later term", RAFT_INSTALL_SNAPSHOT, 20, {9}, 8},
        {"a configuration above the snapshot", RAFT_INSTALL_SNAPSHOT, 28, {31}, 8},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_patched_is_refused(rows[i].type, rows[i].offset, rows[i].patch, rows[i].size, rows[i].what);
    }
}

static void entry_1_must_be_a_configuration(void **state)
{
    struct raft_message raft = {.type = RAFT_APPEND_ENTRIES, .append_entries = {.term = 1}};
    struct hf_entry entry = {.index = 1, .term = 1, .type = HF_ENTRY_NORMAL};
    struct buffer bytes = {0};
    codec_encode(&raft, &entry, 1, &bytes);
    assert_int_equal(decode_copy(&bytes, bytes.size), HF_EPROTOCOL);
    buffer_clear(&bytes);
    entry.type = HF_ENTRY_CONFIGURATION;
    entry.payload = bytes_of(members, sizeof(members));
    codec_encode(&raft, &entry, 1, &bytes);
    assert_int_equal(decode_copy(&bytes, bytes.size), 0);
    buffer_close(&bytes);
}

static void random_damage_never_crashes(void **state)
{
    struct rng rng;
    rng_seed(&rng, 7);
    for (unsigned round = 0; round < 20000; round++) {
        struct buffer bytes = {0};
        encode_sample((enum raft_message_type)(1 + rng_below(&rng, 6)), &bytes);
        for (uint64_t flips = 1 + rng_below(&rng, 4); flips > 0; flips--) {
            bytes.data[rng_below(&rng, bytes.size)] = (uint8_t)rng_next(&rng);
        }
        int rc = decode_copy(&bytes, rng_chance(&rng, 1, 4) ? rng_below(&rng, bytes.size) : bytes.size);
        assert_true(rc == 0 || rc == HF_EPROTOCOL);
        buffer_close(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_entries_carry_terms_stamps_types_and_payloads),
        cmocka_unit_test(append_entries_are_encoded_as_they_are_drawn),
        cmocka_unit_test(an_append_entries_result_carries_features_and_capacity),
        cmocka_unit_test(a_request_vote_carries_pre_vote_and_disrupt_leader),
        cmocka_unit_test(a_request_vote_result_carries_pre_vote_and_grant),
        cmocka_unit_test(a_timeout_now_carries_the_leader_s_last_entry),
        cmocka_unit_test(an_install_snapshot_carries_configuration_and_manifest),
        cmocka_unit_test(every_truncation_and_every_trailing_byte_is_refused),
        cmocka_unit_test(a_field_that_breaks_a_rule_is_refused),
        cmocka_unit_test(entry_1_must_be_a_configuration),
        cmocka_unit_test(random_damage_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
