/* holdfast completion and holdfast man: both are made from the verb table. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/verbs.h"

static const char *words_argument;

static error_t words_parse(int key, char *text, struct argp_state *state)
{
    if (key != ARGP_KEY_ARG) {
        return ARGP_ERR_UNKNOWN;
    }
    words_argument = text;
    return 0;
}

static void options_print_words(const struct argp_option *option)
{
    for (; option != NULL && (option->name != NULL || option->key != 0 || option->doc != NULL); option++) {
        if (option->name != NULL && (option->flags & OPTION_HIDDEN) == 0) {
            printf(" --%s", option->name);
        }
    }
}

static void completion_bash(void)
{
    printf("# bash completion of holdfast; made by: holdfast completion bash\n_holdfast() {\n"
           "    local verb=\"${COMP_WORDS[1]}\" second=\"${COMP_WORDS[2]}\" words=\"\"\n"
           "    case \"$verb $second\" in\n");
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        if (strchr((*verb)->name, ' ') == NULL) {
            continue;
        }
        printf("    \"%s\") words=\"--json --quiet --no-color --progress", (*verb)->name);
        options_print_words((*verb)->options);
        printf("\" ;;\n");
    }
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        if (strchr((*verb)->name, ' ') != NULL) {
            continue;
        }
        printf("    \"%s \"*) words=\"--json --quiet --no-color --progress", (*verb)->name);
        options_print_words((*verb)->options);
        printf("\" ;;\n");
    }
    printf("    esac\n    [ \"$COMP_CWORD\" -eq 1 ] && words=\"");
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        printf("%.*s ", (int)strcspn((*verb)->name, " "), (*verb)->name);
    }
    printf("help\"\n    if [ \"$COMP_CWORD\" -eq 2 ]; then case \"$verb\" in\n");
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        const char *space = strchr((*verb)->name, ' ');
        if (space != NULL) {
            printf("        %.*s) words=\"$words %s\" ;;&\n", (int)(space - (*verb)->name), (*verb)->name, space + 1);
        }
    }
    printf("    esac; fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
           "complete -o default -F _holdfast holdfast\n");
}

static int completion_run(const struct verb_common *common)
{
    if (strcmp(words_argument, "bash") == 0) {
        completion_bash();
    } else if (strcmp(words_argument, "zsh") == 0) {
        printf("#compdef holdfast\nautoload -U +X bashcompinit && bashcompinit\n");
        completion_bash();
    } else {
        error_raise(HF_EINVALID, "no completion for '%s'", words_argument);
        return verb_fail(HF_EINVALID, "holdfast completion bash, or zsh");
    }
    return VERB_EXIT_OK;
}

static void man_options(const struct argp_option *option)
{
    for (; option != NULL && (option->name != NULL || option->key != 0 || option->doc != NULL); option++) {
        if (option->name != NULL && (option->flags & OPTION_HIDDEN) == 0) {
            printf(".TP\n.B \\-\\-%s%s%s\n%s\n", option->name, option->arg != NULL ? "=" : "",
                   option->arg != NULL ? option->arg : "", option->doc);
        }
    }
}

static int man_run(const struct verb_common *common)
{
    printf(".TH HOLDFAST 1 \"\" \"holdfast %s\"\n.SH NAME\nholdfast \\- a replicated, linearizable store that any "
           "Redis client can use\n.SH SYNOPSIS\n.B holdfast\n.I VERB\n[OPTION...] [ARGUMENT...]\n.SH VERBS\n",
           HF_VERSION);
    for (const struct verb *const *verb = verb_table; *verb != NULL; verb++) {
        printf(".SS %s%s%s\n%s.\n", (*verb)->name, (*verb)->arguments != NULL ? " " : "",
               (*verb)->arguments != NULL ? (*verb)->arguments : "", (*verb)->summary);
        if ((*verb)->details != NULL) {
            printf(".PP\n%s\n", (*verb)->details);
        }
        man_options((*verb)->options);
    }
    printf(".SH COMMON OPTIONS\n.TP\n.B \\-\\-json\nPrint JSON\n.TP\n.B \\-\\-quiet\nPrint nothing but results and "
           "errors\n.TP\n.B \\-\\-no\\-color\nPrint without colours\n.TP\n.B \\-\\-progress=WHEN\nauto, bar, json or "
           "none\n.SH EXIT STATUS\n0 ok, 1 failed, 2 usage, 3 not found, 4 corruption found, 5 no leader or quorum, 6 "
           "timeout, 7 disk full, 8 outcome unknown, 9 the log failed and the node stopped, 130 interrupted\n");
    return VERB_EXIT_OK;
}

const struct verb verb_completion = {
    .name = "completion",
    .arguments = "SHELL",
    .summary = "Print the completion script for bash or zsh",
    .parse = words_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = completion_run,
};

const struct verb verb_man = {
    .name = "man",
    .summary = "Print the manual page (holdfast man | man -l -)",
    .run = man_run,
};
