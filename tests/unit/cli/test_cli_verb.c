#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "cli/verbs.h"

#define OUTPUT_SIZE_MAX 65536

struct outcome {
    int code;
    char out[OUTPUT_SIZE_MAX];
    char error[OUTPUT_SIZE_MAX];
};

static struct outcome outcome;

static void stream_read(FILE *stream, char *target)
{
    rewind(stream);
    size_t got = fread(target, 1, OUTPUT_SIZE_MAX - 1, stream);
    target[got] = '\0';
    fclose(stream);
}

/* Runs the program with the words of a line in a process of its own. */
static void run(const char *line)
{
    char words[512], *arguments[32] = {"holdfast"}, *rest = NULL;
    int count = 1, status;
    snprintf(words, sizeof(words), "%s", line);
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        arguments[count++] = word;
    }
    FILE *out = tmpfile(), *error = tmpfile();
    assert_non_null(out);
    assert_non_null(error);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fileno(out), STDOUT_FILENO);
        dup2(fileno(error), STDERR_FILENO);
        int code = verb_main(count, arguments);
        fflush(NULL);
        _exit(code);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    stream_read(out, outcome.out);
    stream_read(error, outcome.error);
}

static void every_error_has_the_exit_code_of_the_documentation(void **state)
{
    static const struct {
        int rc, code;
    } rows[] = {
        {0, 0},
        {HF_EINVALID, 2},
        {HF_ENOTFOUND, 3},
        {HF_ECORRUPT, 4},
        {HF_ENOLEADER, 5},
        {HF_ENOTLEADER, 5},
        {HF_ETIMEOUT, 6},
        {HF_ENOSPACE, 7},
        {HF_EINDETERMINATE, 8},
        {HF_ECANCELLED, 130},
        {HF_EIO, 1},
        {HF_EBUSY, 1},
        {HF_EVERSION, 1},
        {HF_EMISMATCH, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(verb_exit_of(rows[i].rc), rows[i].code);
    }
}

static void wrong_words_exit_with_2_and_say_where_help_is(void **state)
{
    static const struct {
        const char *line;
        const char *words;
    } rows[] = {
        {"conquer", "unknown verb 'conquer'"},
        {"log", "'log' is followed by one of: dump, tail, stat, "},
        {"log conquer /tmp", "unknown verb 'log conquer'; 'log' is followed by one of: dump, "},
        {"help snapshot", "'snapshot' is followed by one of: list, verify, inspect, take, save, restore, export\n"},
        {"member --json", "'member' is followed by one of: list, add, promote, demote, remove, move, transfer\n"},
        {"status --wrong", "unrecognized option '--wrong'"},
        {"status --address", "requires an argument"},
        {"status one", "unexpected argument 'one'"},
        {"log dump", "missing argument: DIR"},
        {"log dump a b", "unexpected argument 'b'"},
        {"log dump --group x a", "'x' is not a whole number"},
        {"log dump --group 0 a", "0 is outside"},
        {"bench --clients 0", "0 is outside"},
        {"bench --progress sometimes", "--progress must be auto, bar, json or none"},
        {"dev --nodes 0", "0 is outside"},
        {"dev --nodes 10", "10 is outside"},
        {"dev --port 65536", "65536 is outside"},
        {"init", "--cluster FILE is needed"},
        {"init --cluster /tmp/x --id 1", "--id and --data go together"},
        {"init --cluster /tmp/x", "nothing to do"},
        {"init --cluster /tmp/x --node 1=a:1,b:2", "expected three addresses"},
        {"init --cluster /tmp/x --node 1=a:1,b:2,c:3,d:4", "expected three addresses"},
        {"init --cluster /tmp/x --node 0=a:1,b:2,c:3", "0 is outside"},
        {"init --cluster /tmp/x --node 1=a,b:2,c:3", "'a' is not an address"},
        {"serve", "no data directory"},
        {"serve --set nothing", "expected KEY=VALUE"},
        {"serve --set a.b=c", "unknown key 'a.b'"},
        {"serve --data /tmp --set log.io=fast", "'fast' is none of: auto, io_uring, pwritev2"},
        {"completion csh", "no completion for 'csh'"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run(rows[i].line);
        if (outcome.code != 2 || strstr(outcome.error, rows[i].words) == NULL || outcome.out[0] != '\0') {
            fail_msg("holdfast %s: %d, %s%s", rows[i].line, outcome.code, outcome.out, outcome.error);
        }
    }
}

static void what_is_not_there_exits_with_3(void **state)
{
    static const char *const lines[] = {
        "status --address 127.0.0.1:1",
        "bench --address 127.0.0.1:1 --requests 1",
        "config check /nowhere/file.yaml",
        "log dump /nowhere/at/all",
        "log verify /nowhere/at/all",
        "serve --data /nowhere/at/all",
        "init --cluster /nowhere/file --id 1 --data /nowhere/data",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        run(lines[i]);
        if (outcome.code != 3 || strstr(outcome.error, "error: ") == NULL) {
            fail_msg("holdfast %s: %d, %s%s", lines[i], outcome.code, outcome.out, outcome.error);
        }
    }
}

static void help_and_version_go_to_standard_output(void **state)
{
    static const char *const lines[] = {"help", "--help", "-h"};
    for (size_t i = 0; i < 3; i++) {
        run(lines[i]);
        assert_int_equal(outcome.code, 0);
        for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
            assert_non_null(strstr(outcome.out, (*verb)->name));
            assert_non_null(strstr(outcome.out, (*verb)->summary));
        }
    }
    run("");
    assert_int_equal(outcome.code, 2);
    run("help conquer");
    assert_int_equal(outcome.code, 2);
    run("version");
    assert_int_equal(outcome.code, 0);
    assert_string_equal(outcome.out, "holdfast " HF_VERSION "\n");
}

static void every_verb_explains_its_options(void **state)
{
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        char line[96];
        char same[sizeof(outcome.out)];
        snprintf(line, sizeof(line), "help %s", (*verb)->name);
        run(line);
        assert_int_equal(outcome.code, 0);
        memcpy(same, outcome.out, sizeof(same));
        snprintf(line, sizeof(line), "%s --help", (*verb)->name);
        run(line);
        assert_int_equal(outcome.code, 0);
        assert_string_equal(outcome.out, same);
        assert_non_null(strstr(outcome.out, (*verb)->summary));
        assert_non_null(strstr(outcome.out, "--json"));
        for (const struct argp_option *option = (*verb)->options; option != NULL && option->name != NULL; option++) {
            bool is_shown = strstr(outcome.out, option->name) != NULL;
            assert_int_equal(is_shown, (option->flags & OPTION_HIDDEN) == 0);
        }
    }
}

/* What a person should not find in help is not in the man page and the completion either. */
static void man_page_and_completion_know_every_verb_and_option(void **state)
{
    static const char *const lines[] = {"man", "completion bash", "completion zsh"};
    for (size_t i = 0; i < 3; i++) {
        run(lines[i]);
        assert_int_equal(outcome.code, 0);
        for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
            char word[64];
            snprintf(word, sizeof(word), "%.*s", (int)strcspn((*verb)->name, " "), (*verb)->name);
            assert_non_null(strstr(outcome.out, word));
            for (const struct argp_option *option = (*verb)->options; option != NULL && option->name != NULL;
                 option++) {
                bool is_shown = strstr(outcome.out, option->name) != NULL;
                assert_int_equal(is_shown, (option->flags & OPTION_HIDDEN) == 0);
            }
        }
    }
}

static void the_default_configuration_passes_its_own_check(void **state)
{
    char path[] = "/tmp/holdfast-default-XXXXXX", line[64];
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    run("config default");
    assert_int_equal(outcome.code, 0);
    assert_int_equal(write(descriptor, outcome.out, strlen(outcome.out)), (ssize_t)strlen(outcome.out));
    close(descriptor);
    snprintf(line, sizeof(line), "config check %s", path);
    run(line);
    assert_int_equal(outcome.code, 0);
    run("config default");
    char *standard = strdup(outcome.out);
    assert_non_null(standard);
    snprintf(line, sizeof(line), "config show %s", path);
    run(line);
    assert_int_equal(outcome.code, 0);
    assert_string_equal(outcome.out, standard);
    free(standard);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_the_exit_code_of_the_documentation),
        cmocka_unit_test(wrong_words_exit_with_2_and_say_where_help_is),
        cmocka_unit_test(what_is_not_there_exits_with_3),
        cmocka_unit_test(help_and_version_go_to_standard_output),
        cmocka_unit_test(every_verb_explains_its_options),
        cmocka_unit_test(man_page_and_completion_know_every_verb_and_option),
        cmocka_unit_test(the_default_configuration_passes_its_own_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
