/* The kernel may move fewer bytes than it was asked to, and may be interrupted. Here it does so all the time: the
 * system call wrappers below stand before the C library's and liburing's and cut every transfer. */
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <liburing.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "contract/io_fixture.h"

static atomic_bool cutting;
static atomic_bool blocks_only; /* direct I/O is never cut inside a block */
static bool syncs_fail;         /* in the ring */
static bool links_vanish;       /* in the ring: as if the kernel had taken a chain in two parts */
static atomic_uint cuts;
static atomic_uint interrupts;
static atomic_uint calls;

/* Half of the blocks; of less than two blocks half of the bytes. */
static size_t cut(size_t size)
{
    if (!cutting || size < 2 || (blocks_only && size < 2 * IO_BLOCK_SIZE)) {
        return size;
    }
    cuts++;
    return size >= 2 * IO_BLOCK_SIZE ? size / 2 / IO_BLOCK_SIZE * IO_BLOCK_SIZE : (size + 1) / 2;
}

static bool interrupt(void)
{
    if (!cutting || atomic_fetch_add(&calls, 1) % 3 != 2) {
        return false;
    }
    interrupts++;
    errno = EINTR;
    return true;
}

ssize_t pread(int descriptor, void *target, size_t size, off_t offset)
{
    return interrupt() ? -1 : syscall(SYS_pread64, descriptor, target, cut(size), offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    return interrupt() ? -1 : syscall(SYS_pwrite64, descriptor, data, cut(size), offset);
}

ssize_t pwritev2(int descriptor, const struct iovec *vectors, int count, off_t offset, int flags)
{
    assert_int_equal(count, 1);
    struct iovec vector = {vectors->iov_base, cut(vectors->iov_len)};
    return interrupt() ? -1 : syscall(SYS_pwritev2, descriptor, &vector, 1, offset, 0, flags);
}

/* Tampers with what was prepared and not yet submitted. */
static void tamper(struct io_uring *ring)
{
    for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++) {
        struct io_uring_sqe *slot = &ring->sq.sqes[at & *ring->sq.kring_mask];
        if (slot->opcode == IORING_OP_WRITE) {
            slot->len = (unsigned)cut(slot->len);
        }
        if (slot->opcode == IORING_OP_FSYNC && syncs_fail) {
            slot->fd = -1;
        }
        if (links_vanish) {
            slot->flags &= (uint8_t)~IOSQE_IO_LINK;
        }
    }
}

int io_uring_submit(struct io_uring *ring)
{
    int (*real)(struct io_uring *) = (int (*)(struct io_uring *))dlsym(RTLD_NEXT, "io_uring_submit");
    tamper(ring);
    return real(ring);
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **entry, unsigned count,
                                     struct __kernel_timespec *timeout, sigset_t *mask)
{
    typedef int submit_and_wait(struct io_uring *, struct io_uring_cqe **, unsigned, struct __kernel_timespec *,
                                sigset_t *);
    submit_and_wait *real = (submit_and_wait *)dlsym(RTLD_NEXT, "io_uring_submit_and_wait_timeout");
    tamper(ring);
    return real(ring, entry, count, timeout, mask);
}

static enum io_backend backend_now;

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

static int setup(void **state)
{
    struct io_fixture *fixture = memory_new(sizeof(*fixture));
    char *dir = text_copy("test_io_short.XXXXXX");
    *state = fixture;
    fixture->dir = mkdtemp(dir);
    cutting = false;
    cuts = 0;
    interrupts = 0;
    return io_open_kernel(backend_now, &fixture->io) == HF_EUNSUPPORTED ? 0 : fixture->io == NULL;
}

static int teardown(void **state)
{
    struct io_fixture *fixture = *state;
    cutting = false;
    nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free((char *)(uintptr_t)fixture->dir);
    io_close(fixture->io);
    free(fixture);
    return 0;
}

static void short_and_interrupted_calls_are_continued(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    if (fixture->io == NULL) {
        skip();
    }
    static const struct {
        unsigned flags;
        size_t size;
    } rows[] = {{0, 100000}, {0, 3}, {FILE_DIRECT, 16 * IO_BLOCK_SIZE}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *bytes = io_cases_bytes(rows[i].size, (unsigned)i);
        struct file *file = io_cases_open(fixture, "a", FILE_READ | FILE_WRITE | FILE_CREATE | rows[i].flags);
        blocks_only = rows[i].flags != 0;
        cutting = true;
        io_cases_assert_ok(file_write(file, 0, bytes, rows[i].size));
        io_cases_assert_content(file, 0, bytes, rows[i].size);
        memset(bytes, 0x5a, rows[i].size);
        io_cases_assert_ok(file_write_durable(file, 0, bytes, rows[i].size));
        io_cases_assert_content(file, 0, bytes, rows[i].size);
        cutting = false;
        blocks_only = false;
        file_close(file);
        free(bytes);
    }
    assert_true(cuts > 10);
    assert_true(interrupts > 10);
}

static void short_queued_writes_are_continued_inside(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    if (fixture->io == NULL) {
        skip();
    }
    static const struct {
        enum io_operation_kind kind;
        unsigned flags;
        size_t size;
    } rows[] = {{IO_WRITE, 0, 100000},
                {IO_WRITE_DURABLE, 0, 100001},
                {IO_WRITE, FILE_DIRECT, 31 * IO_BLOCK_SIZE},
                {IO_WRITE_DURABLE, FILE_DIRECT, 32 * IO_BLOCK_SIZE}};
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 2, &queue));
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = rows[i].size;
        struct file *file = io_cases_open(fixture, "a", FILE_READ | FILE_WRITE | FILE_CREATE | rows[i].flags);
        uint8_t *bytes = io_cases_bytes(2 * size, i);
        struct io_operation operations[2] = {
            {.kind = rows[i].kind, .file = file, .data = bytes, .size = size},
            {.kind = rows[i].kind, .file = file, .offset = size, .data = bytes + size, .size = size}};
        struct list done;
        list_init(&done);
        cuts = 0;
        blocks_only = rows[i].flags != 0;
        cutting = true;
        io_cases_assert_ok(io_queue_submit(queue, &operations[0]));
        io_cases_assert_ok(io_queue_submit(queue, &operations[1]));
        io_cases_reap(fixture, queue, &done, 2);
        cutting = false;
        blocks_only = false;
        assert_int_equal(operations[0].result, 0);
        assert_int_equal(operations[1].result, 0);
        assert_true(cuts >= 8);
        io_cases_assert_content(file, 0, bytes, 2 * size);
        file_close(file);
        free(bytes);
    }
    io_queue_close(queue);
}

static void a_durable_write_is_whole_even_when_its_chain_is_cut(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    if (fixture->io == NULL) {
        skip();
    }
    struct io_queue *queue = NULL;
    struct file *file = io_cases_create_blocks(fixture, "a", 8);
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    links_vanish = true;
    for (unsigned round = 0; round < 50; round++) {
        uint8_t *bytes = io_cases_bytes(8 * IO_BLOCK_SIZE, round);
        struct io_operation operation = {
            .kind = IO_WRITE_DURABLE, .file = file, .data = bytes, .size = 8 * IO_BLOCK_SIZE};
        cutting = blocks_only = round % 2 == 1;
        io_cases_run(fixture, queue, &operation);
        cutting = blocks_only = false;
        assert_int_equal(operation.result, 0);
        io_cases_assert_content(file, 0, bytes, 8 * IO_BLOCK_SIZE);
        free(bytes);
    }
    links_vanish = false;
    io_queue_close(queue);
    file_close(file);
}

static void H1_a_queued_write_whose_sync_fails_is_an_error(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    if (fixture->io == NULL || backend_now != IO_BACKEND_URING) {
        skip(); /* the threads call file_write_durable, see test_io_sandbox */
    }
    struct io_queue *queue = NULL;
    struct file *file = io_cases_create_blocks(fixture, "a", 8);
    uint8_t *bytes = io_cases_bytes(8 * IO_BLOCK_SIZE, 1);
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    struct io_operation rows[] = {
        {.kind = IO_WRITE_DURABLE, .file = file, .data = bytes, .size = 8 * IO_BLOCK_SIZE},
        {.kind = IO_SYNC, .file = file},
    };
    for (unsigned i = 0; i < 4; i++) {
        syncs_fail = true;
        links_vanish = i >= 2;
        io_cases_run(fixture, queue, &rows[i % 2]);
        syncs_fail = links_vanish = false;
        assert_int_equal(rows[i % 2].result, HF_EIO);
        io_cases_assert_text_names(rows[i % 2].text, "sync ");
        io_cases_assert_text_names(rows[i % 2].text, io_cases_path(fixture, "a"));
    }
    io_queue_close(queue);
    file_close(file);
    free(bytes);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(short_and_interrupted_calls_are_continued), ROW(short_queued_writes_are_continued_inside),
        ROW(a_durable_write_is_whole_even_when_its_chain_is_cut), ROW(H1_a_queued_write_whose_sync_fails_is_an_error)};
    backend_now = IO_BACKEND_URING;
    int failed = cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
    backend_now = IO_BACKEND_THREADS;
    failed += cmocka_run_group_tests_name("pwritev2", tests, NULL, NULL);
    return failed == 0 ? 0 : 1;
}
