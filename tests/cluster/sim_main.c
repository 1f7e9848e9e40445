/* Runs the cluster simulation from the command line.
 *
 *   sim --seed N [--trace]              one run, with every line of its trace
 *   sim --seeds A B                     the runs A … B, a line for each violation, a summary
 *   sim --mutation NAME --seeds A B     the same with a planted bug (-DHF_MUTATIONS=ON): succeeds when a run finds it
 *
 * Exit codes: 0 all is well (or the planted bug was found), 1 a violation (or it was not found), 2 usage. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "cluster/cluster_sim.h"

struct sim_arguments {
    uint64_t first;
    uint64_t last;
    int trace;
    const char *mutation;
};

static void sim_print_line(void *arg, const char *line)
{
    puts(line);
}

static void sim_drop_line(void *arg, enum trace_level level, const char *line) {}

static void sim_print_trace(void *arg, enum trace_level level, const char *line)
{
    printf("    %s\n", line);
}

/* An assertion of the program finds a planted bug as well as a check of the harness does. */
static struct {
    const char *mutation;
    uint64_t seed;
} sim_running;

static void sim_aborted(int number)
{
    char line[160];
    int size = snprintf(line, sizeof(line), "%s: found by seed %" PRIu64 " (an assertion)\n", sim_running.mutation,
                        sim_running.seed);
    (void)!write(STDOUT_FILENO, line, (size_t)size);
    _exit(0);
}

static int sim_usage(void)
{
    fputs("usage: sim --seed N [--trace] | sim [--mutation NAME] --seeds FIRST LAST\n", stderr);
    return 2;
}

static int sim_parse(int count, char **words, struct sim_arguments *out)
{
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--seed") == 0 && i + 1 < count) {
            out->first = out->last = strtoull(words[++i], NULL, 10);
        } else if (strcmp(words[i], "--seeds") == 0 && i + 2 < count) {
            out->first = strtoull(words[++i], NULL, 10);
            out->last = strtoull(words[++i], NULL, 10);
        } else if (strcmp(words[i], "--trace") == 0) {
            out->trace = 1;
        } else if (strcmp(words[i], "--mutation") == 0 && i + 1 < count) {
            out->mutation = words[++i];
        } else {
            return sim_usage();
        }
    }
    return out->first > out->last ? sim_usage() : 0;
}

static int sim_enable(const char *mutation)
{
#ifdef HF_MUTATIONS
    if (mutation_enable(mutation) == 0) {
        return 0;
    }
    fprintf(stderr, "%s\n", hf_error_text());
#else
    fputs("this build has no planted bugs: configure it with -DHF_MUTATIONS=ON\n", stderr);
#endif
    return 2;
}

static void sim_print_run(uint64_t seed, const struct cluster_plan *plan, const struct cluster_result *result)
{
    printf("seed %" PRIu64 ": %s%s\n", seed, result->why[0] != '\0' ? "VIOLATION: " : "ok", result->why);
    printf("  %u nodes, %u groups, %u clients, %u ms; %" PRIu64 " events, %" PRIu64 " calls, %" PRIu64
           " acknowledged (%" PRIu64 "/s), healed in %" PRIu64 " ms, %" PRIu64 " inconclusive, trace %016" PRIx64 "\n",
           plan->nodes, plan->groups, plan->clients, plan->duration_ms, result->steps, result->calls,
           result->acknowledged, result->rate, result->heal_ms, result->inconclusive, result->trace_hash);
}

static void sim_print_counts(const struct cluster_result *sum)
{
    for (int i = 0; i < CLUSTER_EVENT_COUNT; i++) {
        printf("  %-26s %" PRIu64 "\n", cluster_event_name((enum cluster_event)i), sum->events[i]);
    }
    for (int i = 0; i < SIM_FAULT_COUNT; i++) {
        printf("  %-26s %" PRIu64 "\n", sim_fault_name((enum sim_fault)i), sum->faults[i]);
    }
}

int main(int count, char **words)
{
    struct sim_arguments arguments = {.first = 1, .last = 0};
    struct cluster_result sum = {0};
    uint64_t violations = 0;
    int rc = sim_parse(count, words, &arguments);
    if (rc == 0 && arguments.mutation != NULL) {
        rc = sim_enable(arguments.mutation);
    }
    if (rc != 0) {
        return rc;
    }
    if (arguments.mutation != NULL) {
        sim_running.mutation = arguments.mutation;
        signal(SIGABRT, sim_aborted);
    }
    trace_set_level(arguments.trace ? TRACE_DEBUG : TRACE_ERROR);
    trace_set_sink(arguments.trace ? sim_print_trace : sim_drop_line, NULL);
    for (uint64_t seed = arguments.first; seed <= arguments.last; seed++) {
        struct cluster_plan plan;
        struct cluster_result result;
        sim_running.seed = seed;
        cluster_plan_from_seed(seed, &plan);
        cluster_run(&plan, arguments.trace ? sim_print_line : NULL, NULL, &result);
        for (int i = 0; i < SIM_FAULT_COUNT; i++) {
            sum.faults[i] += result.faults[i];
        }
        for (int i = 0; i < CLUSTER_EVENT_COUNT; i++) {
            sum.events[i] += result.events[i];
        }
        if (result.why[0] != '\0' || arguments.first == arguments.last) {
            sim_print_run(seed, &plan, &result);
            fflush(stdout);
        }
        violations += result.why[0] != '\0';
        if (violations > 0 && arguments.mutation != NULL) {
            printf("%s: found by seed %" PRIu64 "\n", arguments.mutation, seed);
            return 0;
        }
    }
    sim_print_counts(&sum);
    printf("%" PRIu64 " runs, %" PRIu64 " violations\n", arguments.last - arguments.first + 1, violations);
    if (arguments.mutation != NULL) {
        printf("%s: NOT found\n", arguments.mutation);
        return 1;
    }
    return violations > 0;
}
