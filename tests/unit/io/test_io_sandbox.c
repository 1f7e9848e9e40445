/* Kernels and sandboxes that refuse what we would like: each case runs in a child process under a seccomp filter that
 * makes one system call fail, as container engines do. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract/io_fixture.h"

struct refusal {
    long call;
    int error_number;
    unsigned argument;      /* checked only when argument_bits is not 0 */
    uint32_t argument_bits; /* refused when the argument has any of them */
};

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

static int setup(void **state)
{
    struct io_fixture *fixture = memory_new(sizeof(*fixture));
    char *dir = text_copy("test_io_sandbox.XXXXXX");
    *state = fixture;
    fixture->dir = mkdtemp(dir);
    return fixture->dir == NULL;
}

static int teardown(void **state)
{
    struct io_fixture *fixture = *state;
    nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free((char *)(uintptr_t)fixture->dir);
    free(fixture);
    return 0;
}

static bool refuse(const struct refusal *refusal)
{
    uint32_t argument = (uint32_t)offsetof(struct seccomp_data, args) + 8 * refusal->argument; /* its low half */
    struct sock_filter rows[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refusal->call, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, refusal->argument_bits, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JA, refusal->argument_bits == 0 ? 0 : 1, 0, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)refusal->error_number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(rows) / sizeof(rows[0]), .filter = rows};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Runs body in a child that is refused the call. body returns NULL, or what is wrong. */
static void run_refused(struct io_fixture *fixture, const struct refusal *refusal,
                        const char *(*body)(struct io_fixture *fixture))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!refuse(refusal)) {
            _exit(77);
        }
        const char *wrong = body(fixture);
        if (wrong != NULL) {
            fprintf(stderr, "%s (error text: %s)\n", wrong, hf_error_text());
        }
        fflush(NULL);
        _exit(wrong == NULL ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        fprintf(stderr, "SKIP: this machine has no seccomp filters\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static const char *expect_fall_back(struct io_fixture *fixture)
{
    struct io *io = NULL;
    if (io_open_kernel(IO_BACKEND_URING, &io) != HF_EUNSUPPORTED || io != NULL) {
        return "io_uring was not reported as unsupported";
    }
    if (strstr(hf_error_text(), "io_uring is not available") == NULL) {
        return "the reason is missing";
    }
    if (io_open_kernel(IO_BACKEND_AUTO, &io) != 0 || strcmp(io_backend_name(io), "pwritev2") != 0) {
        return "AUTO did not fall back";
    }
    io_close(io);
    return NULL;
}

static void where_io_uring_is_forbidden_auto_falls_back_to_pwritev2(void **state)
{
    struct refusal rows[] = {{SYS_io_uring_setup, EPERM, 0, 0}, {SYS_io_uring_setup, ENOSYS, 0, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run_refused(io_cases_fixture(state), &rows[i], expect_fall_back);
    }
}

static const char *expect_durable_write(struct io_fixture *fixture)
{
    struct file *file = NULL;
    char read_back[5] = "";
    size_t got = 0;
    if (io_open_kernel(IO_BACKEND_THREADS, &fixture->io) != 0 ||
        file_open(fixture->io, io_cases_path(fixture, "a"), FILE_READ | FILE_WRITE | FILE_CREATE, &file) != 0) {
        return "open";
    }
    for (unsigned i = 0; i < 2; i++) {
        if (file_write_durable(file, i * 2, &"abcd"[i * 2], 2) != 0) {
            return "durable write";
        }
    }
    if (file_read(file, 0, read_back, 4, &got) != 0 || got != 4 || strcmp(read_back, "abcd") != 0) {
        return "content";
    }
    file_close(file);
    io_close(fixture->io);
    return NULL;
}

static void without_rwf_dsync_a_durable_write_is_a_write_and_a_sync(void **state)
{
    struct refusal rows[] = {{SYS_pwritev2, ENOSYS, 0, 0}, {SYS_pwritev2, EOPNOTSUPP, 0, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run_refused(io_cases_fixture(state), &rows[i], expect_durable_write);
    }
}

static const char *expect_sync_error(struct io_fixture *fixture)
{
    struct file *file = NULL;
    struct io_queue *queue = NULL;
    if (io_open_kernel(IO_BACKEND_THREADS, &fixture->io) != 0 ||
        file_open(fixture->io, io_cases_path(fixture, "a"), FILE_READ | FILE_WRITE | FILE_CREATE, &file) != 0 ||
        io_queue_open(fixture->io, 1, &queue) != 0) {
        return "open";
    }
    if (file_sync(file) != HF_EIO || strstr(hf_error_text(), "sync") == NULL || strstr(hf_error_text(), "/a") == NULL) {
        return "file_sync";
    }
    struct io_operation operation = {.kind = IO_SYNC, .file = file};
    struct list done;
    list_init(&done);
    if (io_queue_submit(queue, &operation) != 0 || io_queue_reap(queue, &done, UINT64_MAX) != 1 ||
        operation.result != HF_EIO || strstr(operation.text, "/a") == NULL) {
        return "IO_SYNC";
    }
    io_queue_close(queue);
    file_close(file);
    io_close(fixture->io);
    return NULL;
}

static void H1_a_sync_that_fails_is_an_error_with_the_path(void **state)
{
    struct refusal refusal = {SYS_fdatasync, EIO, 0, 0};
    run_refused(io_cases_fixture(state), &refusal, expect_sync_error);
    refusal.error_number = EINTR; /* not tried again either */
    run_refused(io_cases_fixture(state), &refusal, expect_sync_error);
}

static const char *expect_directory_sync_error(struct io_fixture *fixture)
{
    if (io_open_kernel(IO_BACKEND_THREADS, &fixture->io) != 0) {
        return "open";
    }
    if (directory_sync(fixture->io, fixture->dir) >= 0 || strstr(hf_error_text(), fixture->dir) == NULL) {
        return "directory_sync";
    }
    if (directory_create(fixture->io, io_cases_path(fixture, "new")) >= 0) {
        return "directory_create must not return before the new name is durable";
    }
    io_close(fixture->io);
    return NULL;
}

static void H4_a_name_that_cannot_be_made_durable_is_an_error(void **state)
{
    struct refusal rows[] = {{SYS_fsync, EIO, 0, 0}, {SYS_fsync, EINVAL, 0, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct io_fixture *fixture = io_cases_fixture(state);
        run_refused(fixture, &rows[i], expect_directory_sync_error);
        rmdir(io_cases_path(fixture, "new"));
    }
}

static const char *expect_filled(struct io_fixture *fixture)
{
    struct file *file = NULL;
    uint64_t size = 0;
    struct stat status;
    if (io_open_kernel(IO_BACKEND_THREADS, &fixture->io) != 0 ||
        file_open(fixture->io, io_cases_path(fixture, "a"), FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT,
                  &file) != 0) {
        return "open";
    }
    if (file_preallocate(file, 0, 600 * 1024) != 0 || file_size(file, &size) != 0 || size != 600 * 1024) {
        return "preallocate";
    }
    if (stat(io_cases_path(fixture, "a"), &status) != 0 || status.st_blocks * 512 < 600 * 1024) {
        return "no blocks were taken";
    }
    file_close(file);
    io_close(fixture->io);
    return NULL;
}

static void without_fallocate_preallocate_writes_zeros(void **state)
{
    struct refusal refusal = {SYS_fallocate, EOPNOTSUPP, 0, 0};
    run_refused(io_cases_fixture(state), &refusal, expect_filled);
}

static const char *expect_buffered(struct io_fixture *fixture)
{
    struct file *file = NULL;
    unsigned flags = FILE_READ | FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE | FILE_DIRECT;
    if (io_open_kernel(IO_BACKEND_THREADS, &fixture->io) != 0 ||
        file_open(fixture->io, io_cases_path(fixture, "a"), flags, &file) != 0) {
        return "open";
    }
    uint8_t *bytes = io_cases_bytes(IO_BLOCK_SIZE, 1);
    if (file_is_direct(file) || file_write_durable(file, 0, bytes, IO_BLOCK_SIZE) != 0) {
        return "buffered";
    }
    free(bytes);
    file_close(file);
    io_close(fixture->io);
    return NULL;
}

static void where_direct_io_is_refused_files_are_buffered(void **state)
{
    struct refusal refusal = {SYS_fcntl, EINVAL, 2, O_DIRECT};
    run_refused(io_cases_fixture(state), &refusal, expect_buffered);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(where_io_uring_is_forbidden_auto_falls_back_to_pwritev2),
        ROW(without_rwf_dsync_a_durable_write_is_a_write_and_a_sync),
        ROW(H1_a_sync_that_fails_is_an_error_with_the_path),
        ROW(H4_a_name_that_cannot_be_made_durable_is_an_error),
        ROW(without_fallocate_preallocate_writes_zeros),
        ROW(where_direct_io_is_refused_files_are_buffered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
