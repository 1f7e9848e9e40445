/* A log in a directory of its own on the real kernel, for the room's unit tests. */
#ifndef TESTS_LOG_FIXTURE_H
#define TESTS_LOG_FIXTURE_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "holdfast/log.h"

struct fixture {
    char directory[64];
    struct hf_log_options options;
    struct hf_log *log;
    struct hf_log_batch *batch;
};

static inline void fixture_open(struct fixture *fixture)
{
    int rc = hf_log_open(fixture->directory, &fixture->options, &fixture->log);
    if (rc != 0) {
        fail_msg("%s: %s", hf_error_name(rc), hf_error_text());
    }
}

static inline void fixture_close(struct fixture *fixture)
{
    hf_log_close(fixture->log);
    fixture->log = NULL;
}

static inline void fixture_reopen(struct fixture *fixture)
{
    fixture_close(fixture);
    fixture_open(fixture);
}

static inline void fixture_set_up(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    strcpy(fixture->directory, "/tmp/holdfast-log-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    hf_log_options_init(&fixture->options);
    assert_int_equal(hf_log_batch_open(&fixture->batch), 0);
}

static inline void fixture_tear_down(struct fixture *fixture)
{
    hf_log_close(fixture->log);
    hf_log_batch_close(fixture->batch);
    DIR *directory = opendir(fixture->directory);
    for (struct dirent *entry = NULL; directory != NULL && (entry = readdir(directory)) != NULL;) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", fixture->directory, entry->d_name);
        unlink(path);
    }
    closedir(directory);
    rmdir(fixture->directory);
}

static inline struct hf_entry fixture_entry(uint64_t index, uint64_t term, const char *payload)
{
    return (struct hf_entry){.index = index,
                             .term = term,
                             .timestamp_ms = 1700000000000 + index,
                             .type = HF_ENTRY_NORMAL,
                             .payload = bytes_of_text(payload)};
}

static inline int fixture_append(struct fixture *fixture, uint64_t group, uint64_t index, uint64_t term,
                                 const char *payload)
{
    struct hf_entry entry = fixture_entry(index, term, payload);
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_append(fixture->batch, group, &entry, 1), 0);
    return hf_log_append_wait(fixture->log, fixture->batch);
}

static inline void fixture_expect(struct fixture *fixture, uint64_t group, uint64_t index, uint64_t term,
                                  const char *payload)
{
    struct hf_log_view view = {0};
    int rc = hf_log_read(fixture->log, group, index, index + 1, 0, 0, &view);
    if (rc != 0) {
        fail_msg("group %d, index %d: %s: %s", (int)group, (int)index, hf_error_name(rc), hf_error_text());
    }
    assert_int_equal(view.count, 1);
    assert_int_equal(view.entries[0].index, index);
    assert_int_equal(view.entries[0].term, term);
    assert_int_equal(view.entries[0].payload.size, strlen(payload));
    assert_memory_equal(view.entries[0].payload.data, payload, strlen(payload));
    hf_log_view_close(&view);
}

static inline struct hf_log_group_state fixture_state(struct fixture *fixture, uint64_t group)
{
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(fixture->log, group, &state), 0);
    return state;
}

#endif
