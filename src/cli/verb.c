#include "cli/verb.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

enum verb_key { KEY_JSON = 0x7001, KEY_NO_COLOR, KEY_PROGRESS };

static const struct argp_option common_options[] = {
    {NULL, 0, NULL, 0, "Common options:", -1},
    {"json", KEY_JSON, NULL, 0, "Print JSON", -1},
    {"quiet", 'q', NULL, 0, "Print nothing but results and errors", -1},
    {"no-color", KEY_NO_COLOR, NULL, 0, "Print without colours", -1},
    {"progress", KEY_PROGRESS, "WHEN", 0, "Show progress: auto, bar, json or none", -1},
    {0},
};

static struct verb_common common;
static const struct verb *verb_running;

static const char *const progress_names[] = {"auto", "bar", "json", "none"};

static void common_progress(struct argp_state *state, const char *text)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, progress_names[i]) == 0) {
            common.progress = (enum verb_progress)i;
            return;
        }
    }
    verb_usage_error(state, "--progress must be auto, bar, json or none, not '%s'", text);
}

static error_t common_parse(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case KEY_JSON:
        common.json = true;
        return 0;
    case 'q':
        common.quiet = true;
        return 0;
    case KEY_NO_COLOR:
        common.no_color = true;
        return 0;
    case KEY_PROGRESS:
        common_progress(state, text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t own_parse(int key, char *text, struct argp_state *state)
{
    const struct verb *verb = verb_running;
    if (key == ARGP_KEY_ARG && (int)state->arg_num >= verb->arguments_max) {
        verb_usage_error(state, "unexpected argument '%s'", text);
    }
    if (key == ARGP_KEY_END && (int)state->arg_num < verb->arguments_min) {
        verb_usage_error(state, "missing argument: %s", verb->arguments);
    }
    return verb->parse != NULL ? verb->parse(key, text, state) : ARGP_ERR_UNKNOWN;
}

const struct argp *verb_argp(const struct verb *verb)
{
    static const struct argp common_argp = {.options = common_options, .parser = common_parse};
    static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
    static struct argp argp;
    static char *doc;
    free(doc);
    doc = NULL;
    if (asprintf(&doc, "%s.%s%s", verb->summary, verb->details != NULL ? "\v" : "",
                 verb->details != NULL ? verb->details : "") < 0) {
        abort();
    }
    argp = (struct argp){
        .options = verb->options, .parser = own_parse, .args_doc = verb->arguments, .doc = doc, .children = children};
    return &argp;
}

void verb_usage_error(struct argp_state *state, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "error: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n  next: %s --help\n", state->name);
    exit(VERB_EXIT_USAGE);
}

error_t verb_parsed(struct argp_state *state, int rc)
{
    if (rc != 0) {
        verb_usage_error(state, "%s", hf_error_text());
    }
    return 0;
}

int verb_exit_of(int rc)
{
    switch (rc) {
    case 0:
        return VERB_EXIT_OK;
    case HF_EINVALID:
        return VERB_EXIT_USAGE;
    case HF_ENOTFOUND:
        return VERB_EXIT_NOT_FOUND;
    case HF_ECORRUPT:
        return VERB_EXIT_CORRUPTION;
    case HF_ENOLEADER:
    case HF_ENOTLEADER:
        return VERB_EXIT_NO_LEADER;
    case HF_ETIMEOUT:
        return VERB_EXIT_TIMEOUT;
    case HF_ENOSPACE:
        return VERB_EXIT_DISK_FULL;
    case HF_EINDETERMINATE:
        return VERB_EXIT_UNKNOWN_OUTCOME;
    case HF_ECANCELLED:
        return VERB_EXIT_INTERRUPTED;
    default:
        return VERB_EXIT_FAILED;
    }
}

int verb_fail(int rc, const char *next)
{
    fflush(stdout);
    fprintf(stderr, "error: %s\n", hf_error_text());
    if (next != NULL) {
        fprintf(stderr, "  next: %s\n", next);
    }
    return verb_exit_of(rc);
}

void verb_usage(void)
{
    printf("holdfast %s: a replicated, linearizable store that any Redis client can use\n\n", HF_VERSION);
    printf("usage: holdfast VERB [OPTION…] [ARGUMENT…]\n\n");
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        char name[64];
        snprintf(name, sizeof(name), "%s%s%s", (*verb)->name, (*verb)->arguments != NULL ? " " : "",
                 (*verb)->arguments != NULL ? (*verb)->arguments : "");
        printf("  %-30s %s\n", name, (*verb)->summary);
    }
    printf("\n'holdfast help VERB' shows the options of one verb.\n");
}

/* How many words of argv name the verb (1 or 2), 0 when they do not. */
static int verb_words(const struct verb *verb, int argc, char **argv)
{
    const char *space = strchr(verb->name, ' ');
    size_t first = space != NULL ? (size_t)(space - verb->name) : strlen(verb->name);
    if (argc < 2 || strlen(argv[1]) != first || memcmp(argv[1], verb->name, first) != 0) {
        return 0;
    }
    if (space == NULL) {
        return 1;
    }
    return argc >= 3 && strcmp(argv[2], space + 1) == 0 ? 2 : 0;
}

/* Whoever read standard output has had enough, as head(1); or there never was one. */
static bool verb_reader_is_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) == 1 && (output.revents & (POLLERR | POLLNVAL)) != 0;
}

/* A digest or a list that is not all there must not look like one that is. */
static int verb_check_output(int status)
{
    bool is_short = fflush(stdout) != 0 || ferror(stdout) != 0;
    if (status != VERB_EXIT_OK || !is_short || verb_reader_is_gone()) {
        return status;
    }
    fprintf(stderr, "error: standard output cannot be written\n  next: what was printed is not all; see its disk\n");
    return VERB_EXIT_FAILED;
}

static int verb_run(const struct verb *verb, int words, int argc, char **argv)
{
    static char name[96];
    snprintf(name, sizeof(name), "holdfast %s", verb->name);
    argv[words] = name;
    program_invocation_name = name;
    argp_err_exit_status = VERB_EXIT_USAGE;
    verb_running = verb;
    error_t result = argp_parse(verb_argp(verb), argc - words, argv + words, 0, NULL, NULL);
    if (result != 0) {
        fprintf(stderr, "error: %s\n", strerror(result));
        return VERB_EXIT_USAGE;
    }
    return verb_check_output(verb->run(&common));
}

/* "list, verify, …": what may follow the first word of verbs of two words. Empty when no verb begins with it. */
static void verb_describe_family(const char *first, char *text, size_t size)
{
    size_t length = strlen(first);
    size_t at = 0;
    text[0] = '\0';
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        const char *name = (*verb)->name;
        if (strncmp(name, first, length) == 0 && name[length] == ' ' && at < size) {
            at += (size_t)snprintf(text + at, size - at, "%s%s", at > 0 ? ", " : "", name + length + 1);
        }
    }
}

/* second may be NULL. */
static int verb_unknown(const char *first, const char *second)
{
    char family[256];
    verb_describe_family(first, family, sizeof(family));
    if (family[0] == '\0') {
        fprintf(stderr, "error: unknown verb '%s'\n  next: holdfast help\n", first);
        return VERB_EXIT_USAGE;
    }
    if (second == NULL || second[0] == '-') {
        fprintf(stderr, "error: '%s' is followed by one of: %s\n", first, family);
    } else {
        fprintf(stderr, "error: unknown verb '%s %s'; '%s' is followed by one of: %s\n", first, second, first, family);
    }
    fprintf(stderr, "  next: holdfast help\n");
    return VERB_EXIT_USAGE;
}

/* "help VERB" is "VERB --help". */
static int verb_help(int argc, char **argv)
{
    char option[] = "--help";
    char *words[5] = {argv[0], argv[2], argc > 3 ? argv[3] : NULL};
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        int count = verb_words(*verb, argc > 3 ? 3 : 2, words);
        if (count > 0) {
            words[count + 1] = option;
            return verb_run(*verb, count, count + 2, words);
        }
    }
    return verb_unknown(argv[2], argc > 3 ? argv[3] : NULL);
}

int verb_main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "help") == 0) {
        return verb_help(argc, argv);
    }
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        verb_usage();
        return argc < 2 ? VERB_EXIT_USAGE : VERB_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("holdfast %s\n", HF_VERSION);
        return VERB_EXIT_OK;
    }
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        int words = verb_words(*verb, argc, argv);
        if (words > 0) {
            return verb_run(*verb, words, argc, argv);
        }
    }
    return verb_unknown(argv[1], argc > 2 ? argv[2] : NULL);
}
