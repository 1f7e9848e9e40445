/* links: io */
/* Both backends of the kernel pass one suite: the cases every implementation passes, and those that only a kernel can
 * (processes, descriptors, threads that wait). Where io_uring is forbidden its half says so and is skipped. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract/io_cases.h"

#define TEST_MS UINT64_C(1000000)

struct backend {
    enum io_backend kind;
    const char *name;
};

static const struct backend backends[] = {{IO_BACKEND_URING, "io_uring"}, {IO_BACKEND_THREADS, "pwritev2"}};
static const struct backend *backend_now;

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

/* A file-size limit is a full device that a test can have without being root. */
static void limit_space(struct io_fixture *fixture, uint64_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == UINT64_MAX ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int setup(void **state)
{
    struct io_fixture *fixture = memory_new(sizeof(*fixture));
    *state = fixture;
    int rc = io_open_kernel(backend_now->kind, &fixture->io);
    if (rc == HF_EUNSUPPORTED) {
        return 0; /* the case skips itself: cmocka has no skip in a setup */
    }
    /* In the build folder, because a temporary folder is often not a disk. */
    char *dir = text_copy("test_io_contract.XXXXXX");
    if (rc != 0 || mkdtemp(dir) == NULL) {
        return -1;
    }
    fixture->dir = dir;
    fixture->limit_space = limit_space;
    return 0;
}

static int teardown(void **state)
{
    struct io_fixture *fixture = *state;
    if (fixture->dir != NULL) {
        nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free((char *)(uintptr_t)fixture->dir);
    }
    io_close(fixture->io);
    free(fixture);
    return 0;
}

/* ---- what only a kernel has ---- */

static void the_backend_that_was_asked_for_is_there(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    assert_string_equal(io_backend_name(fixture->io), backend_now->name);
}

static void a_lock_refuses_another_process(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = io_cases_create(fixture, "lock");
    io_cases_assert_ok(file_lock(file));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct file *other = NULL;
        int rc = file_open(fixture->io, io_cases_path(fixture, "lock"), FILE_READ | FILE_WRITE, &other);
        _exit(rc == 0 && file_lock(other) == HF_EBUSY ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    file_close(file);
}

static void a_lock_ends_with_its_file_also_when_a_child_was_forked_meanwhile(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = io_cases_create(fixture, "lock");
    io_cases_assert_ok(file_lock(file));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pause();
        _exit(1);
    }
    file_close(file);
    file = io_cases_open(fixture, "lock", FILE_READ | FILE_WRITE);
    int rc = file_lock(file);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    io_cases_assert_ok(rc);
    file_close(file);
}

static void a_lock_ends_with_the_process_that_was_killed(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    int locked[2];
    assert_int_equal(pipe(locked), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct file *other = NULL;
        int rc = file_open(fixture->io, io_cases_path(fixture, "lock"), FILE_READ | FILE_WRITE | FILE_CREATE, &other);
        char byte = rc == 0 && file_lock(other) == 0 ? 'y' : 'n';
        (void)!write(locked[1], &byte, 1);
        pause();
        _exit(1);
    }
    char byte = 0;
    assert_int_equal(read(locked[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    struct file *file = io_cases_open(fixture, "lock", FILE_READ | FILE_WRITE);
    assert_int_equal(file_lock(file), HF_EBUSY);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    io_cases_assert_ok(file_lock(file));
    file_close(file);
    close(locked[0]);
    close(locked[1]);
}

static void a_queued_write_to_a_read_only_file_fails_with_a_text(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    io_cases_put(fixture, "a", "old");
    struct file *file = io_cases_open(fixture, "a", FILE_READ);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    static const enum io_operation_kind kinds[] = {IO_WRITE, IO_WRITE_DURABLE};
    for (size_t i = 0; i < 2; i++) {
        struct io_operation operation = {.kind = kinds[i], .file = file, .offset = 7, .data = "new", .size = 3};
        io_cases_run(fixture, queue, &operation);
        assert_int_equal(operation.result, HF_EIO);
        io_cases_assert_text_names(operation.text, io_cases_path(fixture, "a"));
        io_cases_assert_text_names(operation.text, "at 7");
        io_cases_assert_text_names(operation.text, "Bad file descriptor");
    }
    io_queue_close(queue);
    file_close(file);
}

static void a_reap_waits_as_long_as_it_was_told(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    struct list done;
    list_init(&done);
    static const uint64_t timeouts_ns[] = {0, 1, 30 * TEST_MS};
    for (size_t i = 0; i < sizeof(timeouts_ns) / sizeof(timeouts_ns[0]); i++) {
        uint64_t before_ns = io_monotonic_ns(fixture->io);
        assert_int_equal(io_queue_reap(queue, &done, timeouts_ns[i]), 0);
        assert_true(io_monotonic_ns(fixture->io) - before_ns >= timeouts_ns[i]);
        assert_true(io_monotonic_ns(fixture->io) - before_ns < IO_CASES_WAIT_NS);
    }
    assert_true(list_empty(&done));
    io_queue_close(queue);
}

static int sleep_a_little(void *arg)
{
    usleep(20000);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void a_reap_returns_with_the_first_completion(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(IO_BLOCK_SIZE, 1);
    struct file *file = io_cases_create_blocks(fixture, "a", 1);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    atomic_int runs = 0;
    struct io_operation slow = {.kind = IO_WORK, .work = sleep_a_little, .arg = &runs};
    struct io_operation quick = {.kind = IO_WRITE, .file = file, .data = bytes, .size = IO_BLOCK_SIZE};
    struct list done;
    list_init(&done);
    io_cases_assert_ok(io_queue_submit(queue, &slow));
    io_cases_assert_ok(io_queue_submit(queue, &quick)); /* and no flush: a reap does that too */
    unsigned count = io_queue_reap(queue, &done, IO_CASES_WAIT_NS);
    assert_true(count == 1 || count == 2); /* 2 on a device that is very slow */
    if (count == 1) {
        assert_int_equal(io_queue_reap(queue, &done, IO_CASES_WAIT_NS), 1);
    }
    assert_int_equal(atomic_load(&runs), 1);
    io_queue_close(queue);
    file_close(file);
    free(bytes);
}

static int note_priority(void *arg)
{
    atomic_store((atomic_int *)arg, getpriority(PRIO_PROCESS, (id_t)gettid()));
    return 0;
}

static void work_in_the_background_runs_below_other_threads(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    int own = getpriority(PRIO_PROCESS, (id_t)gettid());
    for (unsigned i = 0; i < 2; i++) {
        struct io_queue *queue = NULL;
        atomic_int priority = -100;
        struct io_operation work = {.kind = IO_WORK, .work = note_priority, .arg = &priority, .is_background = i == 1};
        struct list done;
        list_init(&done);
        io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
        io_cases_assert_ok(io_queue_submit(queue, &work));
        assert_int_equal(io_queue_reap(queue, &done, IO_CASES_WAIT_NS), 1);
        int found = atomic_load(&priority);
        assert_true(i == 0 ? found == own : found > own || own == 19);
        io_queue_close(queue);
    }
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)gettid()), own);
}

struct nested {
    struct io *io;
    atomic_int outer, inner; /* niceness of who works, and of who works for him */
};

static int work_through_others(void *arg)
{
    struct nested *nested = arg;
    struct io_queue *queue = NULL;
    struct io_operation work = {.kind = IO_WORK, .work = note_priority, .arg = &nested->inner, .is_background = true};
    struct list done;
    list_init(&done);
    note_priority(&nested->outer);
    int rc = io_queue_open(nested->io, 1, &queue);
    rc = rc == 0 ? io_queue_submit(queue, &work) : rc;
    if (rc == 0 && io_queue_reap(queue, &done, IO_CASES_WAIT_NS) != 1) {
        rc = HF_EIO;
    }
    io_queue_close(queue);
    return rc;
}

static void background_work_of_background_work_is_not_lower_still(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct nested nested = {.io = fixture->io, .outer = -100, .inner = -100};
    struct io_queue *queue = NULL;
    struct io_operation work = {.kind = IO_WORK, .work = work_through_others, .arg = &nested, .is_background = true};
    struct list done;
    list_init(&done);
    io_cases_assert_ok(io_queue_open(fixture->io, 1, &queue));
    io_cases_assert_ok(io_queue_submit(queue, &work));
    assert_int_equal(io_queue_reap(queue, &done, IO_CASES_WAIT_NS), 1);
    io_cases_assert_ok(work.result);
    assert_int_equal(atomic_load(&nested.inner), atomic_load(&nested.outer));
    io_queue_close(queue);
}

struct polite {
    struct io *io;
    long rests; /* how often its thread slept */
};

static int work_politely(void *arg)
{
    struct polite *polite = arg;
    struct rusage before;
    struct rusage after;
    getrusage(RUSAGE_THREAD, &before);
    for (unsigned step = 0; step < 20; step++) {
        uint64_t started_ns = io_monotonic_ns(polite->io);
        while (io_monotonic_ns(polite->io) - started_ns < 500000) {
            io_give_way();
        }
    }
    getrusage(RUSAGE_THREAD, &after);
    polite->rests = after.ru_nvcsw - before.ru_nvcsw;
    return 0;
}

static void only_work_in_the_background_gives_way(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    for (unsigned i = 0; i < 2; i++) {
        struct io_queue *queue = NULL;
        struct polite polite = {.io = fixture->io};
        struct io_operation work = {.kind = IO_WORK, .work = work_politely, .arg = &polite, .is_background = i == 1};
        struct list done;
        list_init(&done);
        io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
        io_cases_assert_ok(io_queue_submit(queue, &work));
        assert_int_equal(io_queue_reap(queue, &done, IO_CASES_WAIT_NS), 1);
        if (i == 0) {
            assert_int_equal(polite.rests, 0);
        } else {
            assert_in_range(polite.rests, 5, 100); /* now and then, and not at every call */
        }
        io_queue_close(queue);
    }
}

static void closing_a_queue_waits_for_work(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 16, &queue));
    atomic_int runs = 0;
    struct io_operation work[12];
    for (unsigned i = 0; i < 12; i++) {
        work[i] = (struct io_operation){.kind = IO_WORK, .work = sleep_a_little, .arg = &runs};
        io_cases_assert_ok(io_queue_submit(queue, &work[i]));
    }
    io_queue_close(queue);
    assert_int_equal(atomic_load(&runs), 12);
}

static void *wake_later(void *arg)
{
    usleep(20000);
    io_queue_wake(arg);
    return NULL;
}

static void a_wake_interrupts_a_wait(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    struct list done;
    list_init(&done);
    for (int round = 0; round < 3; round++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_later, queue), 0);
        uint64_t before_ns = io_monotonic_ns(fixture->io);
        assert_int_equal(io_queue_reap(queue, &done, round == 0 ? UINT64_MAX : IO_CASES_WAIT_NS), 0);
        assert_true(io_monotonic_ns(fixture->io) - before_ns < IO_CASES_WAIT_NS);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    io_queue_close(queue);
}

static void a_wake_before_the_wait_is_not_lost_and_counts_once(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    struct list done;
    list_init(&done);
    for (int round = 0; round < 3; round++) {
        io_queue_wake(queue);
        io_queue_wake(queue);
        assert_int_equal(io_queue_reap(queue, &done, UINT64_MAX), 0);
        uint64_t before_ns = io_monotonic_ns(fixture->io);
        assert_int_equal(io_queue_reap(queue, &done, 20 * TEST_MS), 0);
        assert_true(io_monotonic_ns(fixture->io) - before_ns >= 20 * TEST_MS);
    }
    io_queue_close(queue);
}

static bool is_readable(int descriptor, int timeout_ms)
{
    struct pollfd polled = {.fd = descriptor, .events = POLLIN};
    int rc;
    do {
        rc = poll(&polled, 1, timeout_ms);
    } while (rc < 0 && errno == EINTR);
    return rc == 1 && (polled.revents & POLLIN) != 0;
}

/* What is to be reaped keeps the descriptor readable; afterwards it may be readable once more for nothing. */
static void assert_quiet_soon(struct io_queue *queue, int descriptor)
{
    struct list done;
    list_init(&done);
    for (int round = 0; is_readable(descriptor, 0); round++) {
        assert_true(round < 3);
        assert_int_equal(io_queue_reap(queue, &done, 0), 0);
    }
}

static void the_descriptor_is_readable_while_there_is_something_to_reap(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(IO_BLOCK_SIZE, 1);
    struct file *file = io_cases_create_blocks(fixture, "a", 1);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    int descriptor = io_queue_descriptor(queue);
    assert_int_equal(io_queue_descriptor(queue), descriptor);
    assert_false(is_readable(descriptor, 0));
    atomic_int runs = 0;
    struct io_operation rows[] = {
        {.kind = IO_WRITE_DURABLE, .file = file, .data = bytes, .size = IO_BLOCK_SIZE},
        {.kind = IO_WORK, .work = sleep_a_little, .arg = &runs},
        {.kind = IO_WRITE, .file = file, .data = bytes, .size = IO_BLOCK_SIZE},
        {.kind = IO_SYNC, .file = file},
        {.kind = IO_WORK, .work = sleep_a_little, .arg = &runs},
    };
    struct list done;
    list_init(&done);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        io_cases_assert_ok(io_queue_submit(queue, &rows[i]));
        io_cases_assert_ok(io_queue_flush(queue));
        unsigned count = 0;
        for (int round = 0; count == 0; round++) {
            assert_true(round < 10);
            assert_true(is_readable(descriptor, 10000));
            assert_true(is_readable(descriptor, 0)); /* level-triggered */
            count = io_queue_reap(queue, &done, 0);
        }
        assert_int_equal(count, 1);
        assert_int_equal(rows[i].result, 0);
        assert_quiet_soon(queue, descriptor);
    }
    io_queue_wake(queue);
    assert_true(is_readable(descriptor, 10000));
    assert_int_equal(io_queue_reap(queue, &done, 0), 0);
    assert_quiet_soon(queue, descriptor);
    io_queue_close(queue);
    file_close(file);
    free(bytes);
}

static void the_descriptor_hears_wakes_from_the_first_moment_and_after_reaps_that_waited(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    struct list done;
    list_init(&done);
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    int descriptor = io_queue_descriptor(queue);
    for (int round = 0; round < 3; round++) {
        io_queue_wake(queue);
        assert_true(is_readable(descriptor, 10000));
        assert_int_equal(io_queue_reap(queue, &done, UINT64_MAX), 0);
        io_cases_assert_ok(io_queue_flush(queue));
    }
    atomic_int runs = 0;
    struct io_operation work = {.kind = IO_WORK, .work = sleep_a_little, .arg = &runs};
    io_cases_assert_ok(io_queue_submit(queue, &work));
    assert_true(is_readable(descriptor, 10000));
    assert_int_equal(io_queue_reap(queue, &done, 0), 1);
    io_queue_close(queue);
}

struct user {
    struct io_fixture *fixture;
    struct io_queue *queue;
    struct file *file;
    const uint8_t *bytes;
};

static void *use_queue(void *arg)
{
    struct user *user = arg;
    struct io_operation write = {
        .kind = IO_WRITE_DURABLE, .file = user->file, .data = user->bytes, .size = IO_BLOCK_SIZE};
    assert_true(io_queue_descriptor(user->queue) >= 0);
    io_cases_run(user->fixture, user->queue, &write);
    assert_int_equal(write.result, 0);
    return NULL;
}

static void a_queue_may_pass_from_thread_to_thread(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(IO_BLOCK_SIZE, 1);
    struct user user = {.fixture = fixture, .file = io_cases_create_blocks(fixture, "a", 1), .bytes = bytes};
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &user.queue));
    for (int round = 0; round < 3; round++) {
        use_queue(&user);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, use_queue, &user), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        /* The thread that ended took its requests along; the queue has to hear wakes and work again. */
        struct list done;
        list_init(&done);
        int descriptor = io_queue_descriptor(user.queue);
        io_queue_reap(user.queue, &done, 0);
        assert_quiet_soon(user.queue, descriptor);
        io_queue_wake(user.queue);
        assert_true(is_readable(descriptor, 10000));
        assert_int_equal(io_queue_reap(user.queue, &done, UINT64_MAX), 0);
    }
    io_queue_close(user.queue);
    file_close(user.file);
    free(bytes);
}

static void a_seed_makes_randomness_replay(void **state)
{
    uint8_t draws[3][32];
    for (unsigned i = 0; i < 3; i++) {
        struct io *io = NULL;
        io_cases_assert_ok(io_open_kernel(backend_now->kind, &io));
        io_kernel_seed(io, i < 2 ? 7 : 8);
        io_random(io, draws[i], sizeof(draws[i]));
        io_close(io);
    }
    assert_memory_equal(draws[0], draws[1], sizeof(draws[0]));
    assert_memory_not_equal(draws[0], draws[2], sizeof(draws[0]));
}

static int count_entries(void *arg, const char *name, bool is_directory)
{
    unsigned *count = arg;
    (*count)++;
    return 0;
}

/* A daemon goes to the root folder once it has opened its files. */
static void relative_paths_stay_where_they_are_when_the_process_goes_elsewhere(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io *io = fixture->io;
    struct file *file = NULL;
    unsigned count = 0;
    uint64_t bytes = 0;
    int origin = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(origin >= 0);
    assert_false(fixture->dir[0] == '/');
    const char *folder = io_cases_path(fixture, "new/folder");
    const char *from = io_cases_path(fixture, "new/folder/from");
    const char *to = io_cases_path(fixture, "new/folder/to");
    uint64_t mount = directory_mount(io, fixture->dir);
    assert_int_equal(chdir("/"), 0);
    io_cases_assert_ok(directory_create(io, folder));
    io_cases_assert_ok(file_open(io, from, FILE_READ | FILE_WRITE | FILE_CREATE, &file));
    file_close(file);
    io_cases_assert_ok(path_rename(io, from, to));
    io_cases_assert_ok(directory_sync(io, folder));
    io_cases_assert_ok(directory_free_bytes(io, folder, &bytes));
    io_cases_assert_ok(directory_list(io, folder, count_entries, &count));
    assert_int_equal(directory_mount(io, folder), mount);
    int made = faccessat(origin, to, F_OK, 0);
    io_cases_assert_ok(path_unlink(io, to));
    int left = faccessat(origin, to, F_OK, 0);
    assert_int_equal(fchdir(origin), 0);
    close(origin);
    assert_int_equal(count, 1);
    assert_int_equal(made, 0);
    assert_int_equal(left, -1);
}

static void note_signal(int number)
{
    (void)number;
}

/* An embedding program's handlers are its own. */
static void signals_that_would_kill_are_ignored_but_handlers_stay(void **state)
{
    (void)io_cases_fixture(state);
    static const int numbers[] = {SIGXFSZ, SIGPIPE};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct io *io = NULL;
        signal(numbers[i], SIG_DFL);
        io_cases_assert_ok(io_open_kernel(backend_now->kind, &io));
        io_close(io);
        assert_true(signal(numbers[i], note_signal) == SIG_IGN);
        io_cases_assert_ok(io_open_kernel(backend_now->kind, &io));
        io_close(io);
        assert_true(signal(numbers[i], SIG_IGN) == note_signal);
    }
}

#define KERNEL_CASES(X)                                                             \
    X(the_backend_that_was_asked_for_is_there)                                      \
    X(work_in_the_background_runs_below_other_threads)                              \
    X(background_work_of_background_work_is_not_lower_still)                        \
    X(only_work_in_the_background_gives_way)                                        \
    X(a_lock_refuses_another_process)                                               \
    X(a_lock_ends_with_the_process_that_was_killed)                                 \
    X(a_lock_ends_with_its_file_also_when_a_child_was_forked_meanwhile)             \
    X(a_queued_write_to_a_read_only_file_fails_with_a_text)                         \
    X(a_reap_waits_as_long_as_it_was_told)                                          \
    X(a_reap_returns_with_the_first_completion)                                     \
    X(closing_a_queue_waits_for_work)                                               \
    X(a_wake_interrupts_a_wait)                                                     \
    X(a_wake_before_the_wait_is_not_lost_and_counts_once)                           \
    X(the_descriptor_is_readable_while_there_is_something_to_reap)                  \
    X(the_descriptor_hears_wakes_from_the_first_moment_and_after_reaps_that_waited) \
    X(a_queue_may_pass_from_thread_to_thread)                                       \
    X(a_seed_makes_randomness_replay)                                               \
    X(relative_paths_stay_where_they_are_when_the_process_goes_elsewhere)           \
    X(signals_that_would_kill_are_ignored_but_handlers_stay)

/* Each case in a coat that skips it where the backend is forbidden. */
#define COAT(name)                                       \
    static void name##_or_skip(void **state)             \
    {                                                    \
        if (((struct io_fixture *)*state)->io == NULL) { \
            skip();                                      \
        }                                                \
        name(state);                                     \
    }
#define ROW(name) {#name, name##_or_skip, setup, teardown, NULL},
IO_CASES(COAT)
KERNEL_CASES(COAT)

int main(void)
{
    const struct CMUnitTest tests[] = {IO_CASES(ROW) KERNEL_CASES(ROW)};
    int failed = 0;
    alarm(250); /* a wake that is lost must not hang forever */
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        struct io *io = NULL;
        backend_now = &backends[i];
        if (io_open_kernel(backend_now->kind, &io) == HF_EUNSUPPORTED) {
            fprintf(stderr, "SKIP: %s is NOT tested here: %s\n", backend_now->name, hf_error_text());
        }
        io_close(io);
        failed += cmocka_run_group_tests_name(backend_now->name, tests, NULL, NULL);
    }
    return failed == 0 ? 0 : 1;
}
