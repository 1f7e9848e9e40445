#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/trace.h"

struct seen {
    int count;
    enum trace_level level;
    char line[2048];
};

static void see(void *arg, enum trace_level level, const char *line)
{
    struct seen *seen = arg;
    seen->count++;
    seen->level = level;
    snprintf(seen->line, sizeof(seen->line), "%s", line);
}

static int restore_defaults(void **state)
{
    trace_set_sink(NULL, NULL);
    trace_set_level(TRACE_INFO);
    return 0;
}

static void a_sink_gets_level_room_and_text(void **state)
{
    struct seen seen = {0};
    trace_set_sink(see, &seen);
    TRACE(TRACE_WARN, "log", "segment %d is slow", 7);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.level, TRACE_WARN);
    assert_string_equal(seen.line, "log: segment 7 is slow");
}

static int evaluated(int *count)
{
    return ++*count;
}

static void lines_below_the_level_cost_nothing(void **state)
{
    struct seen seen = {0};
    int evaluations = 0;
    trace_set_sink(see, &seen);
    trace_set_level(TRACE_ERROR);
    TRACE(TRACE_WARN, "log", "%d", evaluated(&evaluations));
    trace_write(TRACE_WARN, "log", "directly");
    assert_int_equal(seen.count, 0);
    assert_int_equal(evaluations, 0);
    TRACE(TRACE_ERROR, "log", "%d", evaluated(&evaluations));
    assert_int_equal(seen.count, 1);
    trace_set_level(TRACE_DEBUG);
    TRACE(TRACE_DEBUG, "log", "fine");
    assert_int_equal(seen.count, 2);
    assert_true(trace_enabled(TRACE_DEBUG));
}

static void a_line_too_long_is_cut(void **state)
{
    struct seen seen = {0};
    trace_set_sink(see, &seen);
    char big[4000];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    TRACE(TRACE_INFO, "log", "%s", big);
    assert_int_equal(strlen(seen.line), 1023);
}

static void foreign_text_cannot_start_a_line_or_steer_a_terminal(void **state)
{
    struct seen seen = {0};
    trace_set_sink(see, &seen);
    TRACE(TRACE_INFO, "peer", "host \"%s\"", "a\nERROR log: lie\x1B[2J\x7F caf\xC3\xA9");
    assert_string_equal(seen.line, "peer: host \"a?ERROR log: lie?[2J? caf\xC3\xA9\"");
}

static void without_a_sink_lines_go_to_standard_error(void **state)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    dup2(fileno(file), STDERR_FILENO);
    TRACE(TRACE_DEBUG, "log", "not this one");
    TRACE(TRACE_INFO, "log", "one");
    TRACE(TRACE_ERROR, "disk", "two");
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    char text[256] = {0};
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    assert_true(size > 0);
    assert_string_equal(text, "INFO log: one\nERROR disk: two\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_sink_gets_level_room_and_text, restore_defaults),
        cmocka_unit_test_teardown(lines_below_the_level_cost_nothing, restore_defaults),
        cmocka_unit_test_teardown(a_line_too_long_is_cut, restore_defaults),
        cmocka_unit_test_teardown(foreign_text_cannot_start_a_line_or_steer_a_terminal, restore_defaults),
        cmocka_unit_test_teardown(without_a_sink_lines_go_to_standard_error, restore_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
