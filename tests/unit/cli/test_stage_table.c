/* What INFO log says of the stages, read without trust: whatever answers at an address may be anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "cli/stage_table.h"
#include "holdfast/error.h"

static void stages_are_read_with_their_histograms(void **state)
{
    json_t *stages = NULL;
    const char *text = "# Log\r\nlog_bytes:7\r\nlog_stage_queue:count=3,sum_ns=900,below=128:0/256:1/512:3\r\n"
                       "log_stage_write:count=0\r\n";
    assert_int_equal(stage_table_read(bytes_of_text(text), &stages), 0);
    assert_int_equal(json_array_size(stages), 2);
    const json_t *queue = json_array_get(stages, 0);
    assert_string_equal(json_string_value(json_object_get(queue, "stage")), "queue");
    assert_int_equal(json_integer_value(json_object_get(queue, "sum_ns")), 900);
    const json_t *bar = json_array_get(json_object_get(queue, "histogram"), 1);
    assert_int_equal(json_integer_value(json_object_get(bar, "below_ns")), 256);
    assert_int_equal(json_integer_value(json_object_get(bar, "count")), 1);
    stage_table_print(stages, false);
    json_decref(stages);
}

static void nonsense_is_refused_or_passed_over(void **state)
{
    static const char *const none[] = {"", "# Log\r\n", "log_stage_", "log_stage_queue", "redis_version:7\r\n:\r\n"};
    static const char *const odd[] = {
        "log_stage_:",
        "log_stage_a:,,,=,==,x",
        "log_stage_a:below=",
        "log_stage_a:below=1/2/:/3:",
        "log_stage_a:count=x",
        "log_stage_a:below=9999999999999999999999999:1",
        "log_stage_\xff:count=1\r\nlog_stage_b:count=1",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        json_t *stages = NULL;
        assert_int_equal(stage_table_read(bytes_of_text(none[i]), &stages), HF_EPROTOCOL);
        assert_null(stages);
    }
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        json_t *stages = NULL;
        assert_int_equal(stage_table_read(bytes_of_text(odd[i]), &stages), 0);
        assert_int_equal(json_array_size(stages), 1);
        stage_table_print(stages, true);
        json_decref(stages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_are_read_with_their_histograms),
        cmocka_unit_test(nonsense_is_refused_or_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
