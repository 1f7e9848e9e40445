/* Comparing with another replica: where a follower's log can still agree with this one, and digests of a range. */
#include <inttypes.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "log/log_state.h"

#define LOG_MATCH_DIGEST_WINDOW (1u << 20)
#define LOG_MATCH_DIGEST_HEADER 32u

struct log_match {
    struct hf_log *log;
    uint64_t group;
    bool (*cancelled)(void *arg);
    void *arg;
};

/* The term at an index, the floor's included; 0 when the index lies below what is known. */
static int log_match_probe(const struct log_match *match, uint64_t index, uint64_t *term)
{
    if (match->cancelled != NULL && match->cancelled(match->arg)) {
        return error_raise(HF_ECANCELLED, "the search was cancelled");
    }
    return hf_log_term(match->log, match->group, index, term);
}

/* The greatest index in [low, high] with a term below `term`; terms never decrease. low − 1: none. */
static int log_match_search(const struct log_match *match, uint64_t low, uint64_t high, uint64_t term, uint64_t *out)
{
    uint64_t first = low;
    while (low <= high) {
        uint64_t middle = low + (high - low) / 2;
        uint64_t found = 0;
        int rc = log_match_probe(match, middle, &found);
        if (rc != 0) {
            return rc;
        }
        if (found < term) {
            low = middle + 1;
        } else if (middle == first) {
            break;
        } else {
            high = middle - 1;
        }
    }
    *out = low - 1;
    return 0;
}

int hf_log_match(struct hf_log *log, uint64_t group, uint64_t index, uint64_t term, bool (*cancelled)(void *arg),
                 void *arg, uint64_t *index_out, uint64_t *term_out)
{
    struct log_match match = {.log = log, .group = group, .cancelled = cancelled, .arg = arg};
    struct hf_log_group_state state;
    uint64_t found = 0;
    *index_out = *term_out = 0;
    hf_log_group_state(log, group, &state);
    /* The lowest place whose term is known: the floor, unless nobody ever said its term. */
    uint64_t low = state.floor_term != 0 || state.first_index == 1 ? state.first_index - 1 : state.first_index;
    uint64_t high = state.last_index < index ? state.last_index : index;
    if (!state.exists || high < low || state.last_index < low) {
        return error_raise(HF_ENOTFOUND,
                           "group %" PRIu64 " begins at index %" PRIu64 ": nothing below %" PRIu64 " is known", group,
                           state.first_index, index);
    }
    if (high == index) {
        int rc = log_match_probe(&match, index, &found);
        if (rc != 0) {
            return rc;
        }
        if (found == term) {
            *index_out = index;
            *term_out = term;
            return 0;
        }
        if (index == low) {
            return error_raise(
                HF_ENOTFOUND, "group %" PRIu64 ": the terms at the first known index, %" PRIu64 ", differ", group, low);
        }
        high = index - 1;
    }
    int rc = log_match_search(&match, low, high, term, &found);
    if (rc == 0 && found + 1 == low) {
        rc = error_raise(HF_ENOTFOUND, "group %" PRIu64 ": no entry here has a term below %" PRIu64, group, term);
    }
    if (rc == 0) {
        rc = hf_log_term(log, group, found, term_out);
    }
    *index_out = rc == 0 ? found : 0;
    return rc;
}

/* ---- digests ---- */

static void log_match_digest_entry(struct hash_stream *stream, const struct hf_entry *entry)
{
    uint8_t header[LOG_MATCH_DIGEST_HEADER];
    bytes_put_u64(header, entry->index);
    bytes_put_u64(header + 8, entry->term);
    bytes_put_u64(header + 16, entry->timestamp_ms);
    bytes_put_u32(header + 24, (uint32_t)entry->type);
    bytes_put_u32(header + 28, (uint32_t)entry->payload.size);
    hash_stream_add(stream, bytes_of(header, sizeof(header)));
    hash_stream_add(stream, entry->payload);
}

int hf_log_digest(struct hf_log *log, uint64_t group, uint64_t low, uint64_t high, uint8_t out[HF_LOG_DIGEST_SIZE])
{
    struct hash_stream *stream = hash_stream_open();
    struct hf_log_view view = {0};
    int rc = low > high ? error_raise(HF_EINVALID, "the range %" PRIu64 " … %" PRIu64 " runs backwards", low, high) : 0;
    while (rc == 0 && low < high) {
        rc = hf_log_read(log, group, low, high, LOG_MATCH_DIGEST_WINDOW, 0, &view);
        for (size_t i = 0; i < view.count; i++) {
            log_match_digest_entry(stream, &view.entries[i]);
        }
        low += view.count;
        hf_log_view_close(&view);
    }
    hash_stream_finish(stream, out);
    return rc;
}
