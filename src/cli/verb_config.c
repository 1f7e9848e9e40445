/* holdfast config show|check|default */
#include <stdio.h>

#include "base/error.h"
#include "cli/config.h"
#include "cli/verbs.h"

static const char *config_file;

static error_t config_parse(int key, char *text, struct argp_state *state)
{
    if (key != ARGP_KEY_ARG) {
        return ARGP_ERR_UNKNOWN;
    }
    config_file = text;
    return 0;
}

static int config_read(struct config *config)
{
    struct io *io = NULL;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    config_default(config);
    if (rc == 0 && config_file != NULL) {
        rc = config_load(io, config, config_file);
    }
    io_close(io);
    return rc;
}

static int show_run(const struct verb_common *common)
{
    struct config config;
    int rc = config_read(&config);
    if (rc == 0) {
        rc = config_environment(&config);
    }
    if (rc != 0) {
        return verb_fail(rc, "holdfast config default prints every key");
    }
    config_print(&config, stdout);
    return VERB_EXIT_OK;
}

static int check_run(const struct verb_common *common)
{
    struct config config;
    int rc = config_read(&config);
    if (rc != 0) {
        return verb_fail(rc, "holdfast config default prints every key");
    }
    if (!common->quiet) {
        printf("%s is good\n", config_file);
    }
    return VERB_EXIT_OK;
}

static int default_run(const struct verb_common *common)
{
    struct config config;
    config_default(&config);
    config_print(&config, stdout);
    return VERB_EXIT_OK;
}

const struct verb verb_config_show = {
    .name = "config show",
    .arguments = "[FILE]",
    .summary = "Print the configuration in effect: file, then HOLDFAST_* variables",
    .parse = config_parse,
    .arguments_max = 1,
    .run = show_run,
};

const struct verb verb_config_check = {
    .name = "config check",
    .arguments = "FILE",
    .summary = "Check a configuration file",
    .parse = config_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = check_run,
};

const struct verb verb_config_default = {
    .name = "config default",
    .summary = "Print a configuration file with every key, its default and its meaning",
    .run = default_run,
};
