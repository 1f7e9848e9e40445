/* One table of verbs drives everything a person can type: dispatch, options (argp), help, man pages and completion. */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include <argp.h>
#include <stdbool.h>

/* Exit codes of the program (DESIGN, "What people type"). */
enum verb_exit {
    VERB_EXIT_OK = 0,
    VERB_EXIT_FAILED = 1,
    VERB_EXIT_USAGE = 2,
    VERB_EXIT_NOT_FOUND = 3,
    VERB_EXIT_CORRUPTION = 4,
    VERB_EXIT_NO_LEADER = 5,
    VERB_EXIT_TIMEOUT = 6,
    VERB_EXIT_DISK_FULL = 7,
    VERB_EXIT_UNKNOWN_OUTCOME = 8,
    VERB_EXIT_LOG_FAILED = 9, /* the shared log failed: the node stopped */
    VERB_EXIT_INTERRUPTED = 130
};

enum verb_progress { VERB_PROGRESS_AUTO, VERB_PROGRESS_BAR, VERB_PROGRESS_JSON, VERB_PROGRESS_NONE };

/* What every verb accepts. */
struct verb_common {
    bool json;
    bool quiet;
    bool no_color;
    enum verb_progress progress;
};

struct verb {
    const char *name;                  /* "serve", "log dump" */
    const char *arguments;             /* "DIR", or NULL when it takes none */
    const char *summary;               /* one line */
    const char *details;               /* paragraphs for the man page, or NULL */
    const struct argp_option *options; /* its own, or NULL */
    /* Sees its own options and arguments as argp does; ARGP_ERR_UNKNOWN for others. */
    error_t (*parse)(int key, char *text, struct argp_state *state);
    int arguments_min;
    int arguments_max;
    int (*run)(const struct verb_common *common); /* returns a verb_exit */
};

/* All verbs, in the order of the help; ends with name == NULL. */
extern const struct verb *const verb_table[];

/* Finds and runs the verb named by the first one or two words. */
int verb_main(int argc, char **argv);
/* Prints "error: <text>" and, when not NULL, "  next: <next>" to standard error; returns the exit code of rc. */
int verb_fail(int rc, const char *next);
int verb_exit_of(int rc);
/* The argp parser made from the verb and the common options; lent. */
const struct argp *verb_argp(const struct verb *verb);
void verb_usage(void);
/* argp's own answer to a bad value: prints "error: …", the usage line, exits with 2. */
void verb_usage_error(struct argp_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
/* What a verb's parser ends with: 0, or the error that was raised by what it was given, as a usage error. */
error_t verb_parsed(struct argp_state *state, int rc);

#endif
