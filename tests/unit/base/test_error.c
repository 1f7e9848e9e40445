#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

static void the_text_grows_from_the_inside_out(void **state)
{
    int rc = error_raise(HF_ECORRUPT, "checksum at byte %d", 7);
    assert_int_equal(rc, HF_ECORRUPT);
    assert_string_equal(hf_error_text(), "checksum at byte 7");
    rc = error_wrap(rc, "segment %s", "01.log");
    rc = error_wrap(rc, "log");
    assert_int_equal(rc, HF_ECORRUPT);
    assert_string_equal(hf_error_text(), "log: segment 01.log: checksum at byte 7");
    error_raise(HF_EIO, "anew");
    assert_string_equal(hf_error_text(), "anew");
}

static void an_argument_may_be_the_current_text(void **state)
{
    error_raise(HF_EIO, "disk");
    error_raise(HF_EBUSY, "<%s>", hf_error_text());
    assert_string_equal(hf_error_text(), "<disk>");
    error_wrap(HF_EBUSY, "%s", hf_error_text());
    assert_string_equal(hf_error_text(), "<disk>: <disk>");
    error_restore(HF_EIO, hf_error_text());
    assert_string_equal(hf_error_text(), "<disk>: <disk>");
}

static void an_empty_text_gets_no_colon(void **state)
{
    error_raise(HF_EIO, "%s", "");
    error_wrap(HF_EIO, "log");
    assert_string_equal(hf_error_text(), "log");
    error_wrap(HF_EIO, "%s", "");
    assert_string_equal(hf_error_text(), "log");
}

static void a_text_too_long_is_cut_marked_and_still_wraps(void **state)
{
    char big[ERROR_TEXT_SIZE_MAX * 2];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    error_raise(HF_EIO, "%s", big);
    assert_int_equal(strlen(hf_error_text()), ERROR_TEXT_SIZE_MAX - 1);
    assert_string_equal(hf_error_text() + ERROR_TEXT_SIZE_MAX - 5, "x...");

    error_wrap(HF_EIO, "outer");
    assert_int_equal(strlen(hf_error_text()), ERROR_TEXT_SIZE_MAX - 1);
    assert_memory_equal(hf_error_text(), "outer: xxx", 10);
    assert_string_equal(hf_error_text() + ERROR_TEXT_SIZE_MAX - 5, "x...");
    for (int i = 0; i < 2000; i++) {
        error_wrap(HF_EIO, "layer %d", i);
        assert_true(strlen(hf_error_text()) < ERROR_TEXT_SIZE_MAX);
    }
    assert_memory_equal(hf_error_text(), "layer 1999: layer 1998: ", 24);
}

static void a_text_of_exactly_the_limit_is_kept_whole(void **state)
{
    char exact[ERROR_TEXT_SIZE_MAX];
    memset(exact, 'y', sizeof(exact));
    exact[sizeof(exact) - 1] = '\0';
    error_raise(HF_EIO, "%s", exact);
    assert_string_equal(hf_error_text(), exact);
}

static void a_cut_never_splits_a_character(void **state)
{
    for (size_t shift = 0; shift < 4; shift++) {
        char big[ERROR_TEXT_SIZE_MAX * 2];
        memset(big, 'x', shift);
        /* U+1F9F7 in four bytes, again and again. */
        for (size_t i = shift; i + 4 < sizeof(big); i += 4) {
            memcpy(big + i, "\xF0\x9F\xA7\xB7", 5);
        }
        error_raise(HF_EIO, "%s", big);
        const char *text = hf_error_text();
        size_t length = strlen(text);
        assert_string_equal(text + length - 3, "...");
        assert_int_equal((length - 3 - shift) % 4, 0);
    }
}

static void an_errno_gets_the_code_that_fits(void **state)
{
    static const struct {
        int error_number;
        int code;
    } rows[] = {
        {ENOSPC, HF_ENOSPACE}, {EDQUOT, HF_ENOSPACE}, {ENOENT, HF_ENOTFOUND}, {EEXIST, HF_EEXISTS},
        {ENOMEM, HF_ENOMEM},   {EIO, HF_EIO},         {EPERM, HF_EIO},        {EROFS, HF_EIO},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[256];
        snprintf(expected, sizeof(expected), "open \"a\": %s", strerror(rows[i].error_number));
        assert_int_equal(error_from_errno(rows[i].error_number, "open \"%s\"", "a"), rows[i].code);
        assert_string_equal(hf_error_text(), expected);
    }
}

static void every_code_has_its_own_name(void **state)
{
    assert_string_equal(hf_error_name(0), "OK");
    assert_string_equal(hf_error_name(HF_ECORRUPT), "ECORRUPT");
    assert_string_equal(hf_error_name(HF_EPOISONED), "EPOISONED");
    assert_string_equal(hf_error_name(HF_EINDETERMINATE), "EINDETERMINATE");
    assert_string_equal(hf_error_name(HF_ECONFLICT), "ECONFLICT");
    assert_string_equal(hf_error_name(HF_EUNSAFE), "EUNSAFE");
    assert_string_equal(hf_error_name(HF_EREMOVED), "EREMOVED");
    for (int a = 0; a >= HF_EREMOVED; a--) {
        for (int b = 0; b > a; b--) {
            assert_string_not_equal(hf_error_name(a), hf_error_name(b));
        }
    }
    assert_string_equal(hf_error_name(1), "EUNKNOWN");
    assert_string_equal(hf_error_name(HF_EREMOVED - 1), "EUNKNOWN");
    assert_string_equal(hf_error_name(INT32_MIN), "EUNKNOWN");
}

struct carried {
    char text[ERROR_TEXT_SIZE_MAX];
    char first[ERROR_TEXT_SIZE_MAX];
};

static void *raise_elsewhere(void *arg)
{
    struct carried *carried = arg;
    error_text_copy(carried->first, sizeof(carried->first));
    error_raise(HF_EIO, "in the worker");
    error_text_copy(carried->text, sizeof(carried->text));
    return NULL;
}

static void a_text_belongs_to_its_thread_and_can_be_carried(void **state)
{
    struct carried carried = {.first = "?"};
    error_raise(HF_EBUSY, "mine");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, raise_elsewhere, &carried), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(carried.first, "");
    assert_string_equal(hf_error_text(), "mine");
    assert_int_equal(error_restore(HF_EIO, carried.text), HF_EIO);
    assert_string_equal(hf_error_text(), "in the worker");

    char small[7];
    error_text_copy(small, sizeof(small));
    assert_string_equal(small, "in the");
}

/* STYLE 6: assertions stay on in every build. One that was built with NDEBUG fails here. */
static void raising_success_is_a_bug_and_stops_the_process(void **state)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        error_raise(HF_OK, "not an error");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_grows_from_the_inside_out),
        cmocka_unit_test(an_argument_may_be_the_current_text),
        cmocka_unit_test(an_empty_text_gets_no_colon),
        cmocka_unit_test(a_text_too_long_is_cut_marked_and_still_wraps),
        cmocka_unit_test(a_text_of_exactly_the_limit_is_kept_whole),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(an_errno_gets_the_code_that_fits),
        cmocka_unit_test(every_code_has_its_own_name),
        cmocka_unit_test(a_text_belongs_to_its_thread_and_can_be_carried),
        cmocka_unit_test(raising_success_is_a_bug_and_stops_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
