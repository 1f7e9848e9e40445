#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/trace.h"
#include "cli/config.h"
#include "holdfast/error.h"

static struct io *io;
static char folder[] = "/tmp/holdfast-config-XXXXXX";
static char path[64];

static int world_open(void **state)
{
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/holdfast.yaml", folder);
    return io_open_kernel(IO_BACKEND_THREADS, &io);
}

static int world_close(void **state)
{
    io_close(io);
    unlink(path);
    return rmdir(folder);
}

static int load(struct config *config, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    config_default(config);
    return config_load(io, config, path);
}

static void the_defaults_are_those_of_the_documentation(void **state)
{
    struct config config;
    config_default(&config);
    assert_int_equal(config.election_timeout_ms, 1000);
    assert_int_equal(config.heartbeat_timeout_ms, 100);
    assert_int_equal(config.request_timeout_ms, 3000);
    assert_int_equal(config.segment_size_bytes, 64u << 20);
    assert_int_equal(config.write_size_max_bytes, 1u << 20);
    assert_int_equal(config.queue_size_max_bytes, 256u << 20);
    assert_int_equal(config.tail_cache_bytes, 64u << 20);
    assert_int_equal(config.reserve_bytes, 8u << 20);
    assert_int_equal(config.sync_policy, HF_LOG_SYNC_BATCH);
    assert_int_equal(config.sync_interval_ms, 100);
    assert_int_equal(config.io, HF_LOG_IO_AUTO);
    assert_string_equal(config.data, "");
}

static void a_file_changes_what_it_names_and_nothing_else(void **state)
{
    struct config config;
    assert_int_equal(load(&config, "data: /var/lib/holdfast\n"
                                   "raft:\n  heartbeat: 50ms\n"
                                   "log:\n  segment_size: 16MiB\n  sync_policy: interval\n  io: pwritev2\n"
                                   "trace_level: warn\n"),
                     0);
    assert_string_equal(config.data, "/var/lib/holdfast");
    assert_int_equal(config.heartbeat_timeout_ms, 50);
    assert_int_equal(config.election_timeout_ms, 1000);
    assert_int_equal(config.segment_size_bytes, 16u << 20);
    assert_int_equal(config.sync_policy, HF_LOG_SYNC_INTERVAL);
    assert_int_equal(config.io, HF_LOG_IO_THREADS);
    assert_int_equal(config.trace_level, TRACE_WARN);
}

static void an_empty_file_says_nothing(void **state)
{
    struct config config;
    assert_int_equal(load(&config, ""), 0);
    assert_int_equal(load(&config, "# only a comment\n"), 0);
    assert_int_equal(config.heartbeat_timeout_ms, 100);
}

static void what_a_file_says_wrong_is_named_with_its_own_line(void **state)
{
    static const struct {
        const char *text;
        const char *place; /* behind the file's name */
        const char *words;
    } rows[] = {
        {"data: /a\nlgo:\n  io: auto\n", ":2:", "unknown key 'lgo'"},
        {"data: /a\n\n# text\nlog:\n  io: auto\n  segment_sise: 1MiB\n", ":6:", "unknown key 'log.segment_sise'"},
        {"log:\n  io: auto\nraft:\n  heartbeat: 50ms\n  beat: 1\n", ":5:", "unknown key 'raft.beat'"},
        {"raft:\n  heartbeat: 9ms\n", ":2:", "'9ms' is outside 10 … 10000 ms"},
        {"log:\n  segment_size: 1KiB\n", ":2:", "is outside 1048576 … 4294967296 bytes"},
        {"log:\n\n  sync_policy: sometimes\n", ":3:", "'sometimes' is none of: batch, always, interval, none"},
        {"limits:\n  clients_max: 3x\n", ":2:", "'3x' is not a whole number"},
        {"limits:\n  clients_max: 0\n", ":2:", "'0' is outside"},
        {"data: [1\n", ":2:", ""},
        {"log: 5\n", "", ""},
        {"data:\n  - a\n", "", ""},
        {"data: a\ndata: b\n", "", ""},
        {"- data\n", "", ""},
        {"just words\n", "", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config config;
        char place[96];
        int rc = load(&config, rows[i].text);
        snprintf(place, sizeof(place), "%s%s", path, rows[i].place);
        if (rc != HF_EINVALID || strstr(hf_error_text(), place) == NULL ||
            strstr(hf_error_text(), rows[i].words) == NULL) {
            fail_msg("row %zu gave %d: %s", i, rc, rc != 0 ? hf_error_text() : "");
        }
    }
}

static void a_file_that_is_missing_or_enormous_is_an_error(void **state)
{
    struct config config;
    config_default(&config);
    assert_int_equal(config_load(io, &config, "/nowhere/holdfast.yaml"), HF_ENOTFOUND);
    assert_non_null(strstr(hf_error_text(), "/nowhere/holdfast.yaml"));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), CONFIG_FILE_SIZE_MAX + 1), 0);
    fclose(file);
    assert_int_equal(config_load(io, &config, path), HF_ETOOBIG);
}

static void nesting_without_end_is_refused(void **state)
{
    struct config config;
    char *text = malloc(20001);
    assert_non_null(text);
    memset(text, '[', 20000);
    text[20000] = '\0';
    assert_int_equal(load(&config, text), HF_EINVALID);
    free(text);
}

static void the_environment_wins_over_the_file(void **state)
{
    struct config config;
    assert_int_equal(load(&config, "raft:\n  heartbeat: 50ms\n"), 0);
    setenv("HOLDFAST_RAFT_HEARTBEAT", "70ms", 1);
    setenv("HOLDFAST_TRACE_LEVEL", "error", 1);
    int rc = config_environment(&config);
    unsetenv("HOLDFAST_RAFT_HEARTBEAT");
    unsetenv("HOLDFAST_TRACE_LEVEL");
    assert_int_equal(rc, 0);
    assert_int_equal(config.heartbeat_timeout_ms, 70);
    assert_int_equal(config.trace_level, TRACE_ERROR);
}

static void an_unknown_or_wrong_variable_is_refused_by_name(void **state)
{
    struct config config;
    config_default(&config);
    setenv("HOLDFAST_RAFT_HARTBEAT", "70ms", 1);
    assert_int_equal(config_environment(&config), HF_EINVALID);
    assert_non_null(strstr(hf_error_text(), "HOLDFAST_RAFT_HARTBEAT"));
    unsetenv("HOLDFAST_RAFT_HARTBEAT");
    setenv("HOLDFAST_RAFT_HEARTBEAT", "soon", 1);
    assert_int_equal(config_environment(&config), HF_EINVALID);
    assert_non_null(strstr(hf_error_text(), "HOLDFAST_RAFT_HEARTBEAT"));
    unsetenv("HOLDFAST_RAFT_HEARTBEAT");
    /* Test programs have variables of their own; they are no configuration. */
    setenv("HOLDFAST_TEST_BINARY", "x", 1);
    assert_int_equal(config_environment(&config), 0);
    unsetenv("HOLDFAST_TEST_BINARY");
}

static void flags_set_keys_by_their_path(void **state)
{
    struct config config;
    config_default(&config);
    assert_int_equal(config_set(&config, "log.tail_cache", "2MiB"), 0);
    assert_int_equal(config.tail_cache_bytes, 2u << 20);
    assert_int_equal(config_set(&config, "tail_cache", "2MiB"), HF_EINVALID);
    assert_non_null(strstr(hf_error_text(), "unknown key 'tail_cache'"));
    assert_int_equal(config_set(&config, "log", "2MiB"), HF_EINVALID);
    assert_int_equal(config_set(&config, "log.tail_cache", "1"), HF_EINVALID);
    assert_int_equal(config.tail_cache_bytes, 2u << 20);
    char text[CONFIG_TEXT_SIZE_MAX + 1];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(config_set(&config, "data", text), HF_EINVALID);
}

static void what_is_printed_can_be_read_again(void **state)
{
    struct config config, again;
    assert_int_equal(load(&config, "data: '/a \"b\\'\nlog:\n  segment_size: 1048577\n  sync_policy: always\n"), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    config_print(&config, file);
    fclose(file);
    config_default(&again);
    assert_int_equal(config_load(io, &again, path), 0);
    assert_string_equal(again.data, config.data);
    assert_int_equal(again.segment_size_bytes, 1048577);
    assert_int_equal(again.sync_policy, HF_LOG_SYNC_ALWAYS);
    assert_int_equal(again.queue_size_max_bytes, config.queue_size_max_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_documentation),
        cmocka_unit_test(a_file_changes_what_it_names_and_nothing_else),
        cmocka_unit_test(an_empty_file_says_nothing),
        cmocka_unit_test(what_a_file_says_wrong_is_named_with_its_own_line),
        cmocka_unit_test(a_file_that_is_missing_or_enormous_is_an_error),
        cmocka_unit_test(nesting_without_end_is_refused),
        cmocka_unit_test(the_environment_wins_over_the_file),
        cmocka_unit_test(an_unknown_or_wrong_variable_is_refused_by_name),
        cmocka_unit_test(flags_set_keys_by_their_path),
        cmocka_unit_test(what_is_printed_can_be_read_again),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
