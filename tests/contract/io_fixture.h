/* What io's tests share: the fixture that the contract's cases run on, and helpers. */
#ifndef CONTRACT_IO_FIXTURE_H
#define CONTRACT_IO_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/list.h"
#include "io/io.h"

struct io_fixture {
    struct io *io;
    const char *dir; /* an empty directory, its path at most 200 bytes */
    /* Lets time pass where io_queue_reap does not wait. NULL: it waits. */
    void (*advance)(struct io_fixture *fixture);
    /* From here on growing any file beyond `bytes` fails like on a full device; UINT64_MAX lifts it. NULL: cannot. */
    void (*limit_space)(struct io_fixture *fixture, uint64_t bytes);
    void *user; /* the test file's own */
};

#define IO_CASES_WAIT_NS   UINT64_C(60000000000) /* what has not happened by then never will */
#define IO_CASES_STEPS_MAX 100000u
#define IO_CASES_SIZE      (3u * IO_BLOCK_SIZE)

#define io_cases_assert_ok(rc)                                                        \
    do {                                                                              \
        int io_cases_rc = (rc);                                                       \
        if (io_cases_rc != 0) {                                                       \
            fail_msg("%s: %s: %s", #rc, hf_error_name(io_cases_rc), hf_error_text()); \
        }                                                                             \
    } while (0)

static inline struct io_fixture *io_cases_fixture(void **state)
{
    return *state;
}

/* A path in the fixture's directory; good until the 4th call after. */
static inline const char *io_cases_path(const struct io_fixture *fixture, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", fixture->dir, name);
    return path;
}

static inline struct file *io_cases_open(const struct io_fixture *fixture, const char *name, unsigned flags)
{
    struct file *file = NULL;
    io_cases_assert_ok(file_open(fixture->io, io_cases_path(fixture, name), flags, &file));
    assert_non_null(file);
    return file;
}

static inline struct file *io_cases_create(const struct io_fixture *fixture, const char *name)
{
    return io_cases_open(fixture, name, FILE_READ | FILE_WRITE | FILE_CREATE);
}

/* Bytes that differ at every offset and for every seed. Aligned for direct I/O; free() it. */
static inline uint8_t *io_cases_bytes(size_t size, unsigned seed)
{
    uint8_t *bytes = aligned_alloc(IO_BLOCK_SIZE, (size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)((i * 131 + (i >> 8) * 17 + seed * 29) & 0xff);
    }
    return bytes;
}

static inline void io_cases_assert_content(struct file *file, uint64_t offset, const void *expected, size_t size)
{
    uint8_t *read = io_cases_bytes(size, 0);
    size_t got = 0;
    io_cases_assert_ok(file_read(file, offset, read, size, &got));
    assert_int_equal(got, size);
    assert_memory_equal(read, expected, size);
    free(read);
}

static inline void io_cases_assert_size(struct file *file, uint64_t expected)
{
    uint64_t size = 0;
    io_cases_assert_ok(file_size(file, &size));
    assert_int_equal(size, expected);
}

static inline void io_cases_assert_text_names(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("the error's text does not name '%s': '%s'", part, text);
    }
}

static inline void io_cases_put(const struct io_fixture *fixture, const char *name, const char *content)
{
    struct file *file = io_cases_create(fixture, name);
    io_cases_assert_ok(file_write(file, 0, content, strlen(content)));
    file_close(file);
}

/* Reaps until `count` operations are there. */
static inline void io_cases_reap(struct io_fixture *fixture, struct io_queue *queue, struct list *done, unsigned count)
{
    unsigned reaped = 0;
    io_cases_assert_ok(io_queue_flush(queue));
    for (unsigned step = 0; reaped < count; step++) {
        assert_true(step < IO_CASES_STEPS_MAX);
        reaped += io_queue_reap(queue, done, fixture->advance == NULL ? IO_CASES_WAIT_NS : 0);
        if (reaped < count && fixture->advance != NULL) {
            fixture->advance(fixture);
        }
    }
    assert_int_equal(reaped, count);
}

static inline void io_cases_run(struct io_fixture *fixture, struct io_queue *queue, struct io_operation *operation)
{
    struct list done;
    list_init(&done);
    io_cases_assert_ok(io_queue_submit(queue, operation));
    io_cases_reap(fixture, queue, &done, 1);
    assert_ptr_equal(done.next, &operation->link);
    assert_true(operation->submitted_ns <= operation->completed_ns);
    list_remove(&operation->link);
}

/* A file of `blocks` blocks of zeros, durable, so that durable writes into it promise something. */
static inline struct file *io_cases_create_blocks(const struct io_fixture *fixture, const char *name, size_t blocks)
{
    struct file *file = io_cases_open(fixture, name, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT);
    uint8_t *zeros = io_cases_bytes(blocks * IO_BLOCK_SIZE, 0);
    memset(zeros, 0, blocks * IO_BLOCK_SIZE);
    io_cases_assert_ok(file_write(file, 0, zeros, blocks * IO_BLOCK_SIZE));
    io_cases_assert_ok(file_sync(file));
    free(zeros);
    return file;
}

#endif
