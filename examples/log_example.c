/* Appends, dies without a warning, opens again, iterates. cc log_example.c $(pkg-config --cflags --libs holdfast) */
#define _POSIX_C_SOURCE 200809L
#include <holdfast/log.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", hf_error_name(rc), hf_error_text());
        exit(1);
    }
}

static void append_and_die(const char *directory)
{
    struct hf_log *log;
    struct hf_log_batch *batch;
    check(hf_log_open(directory, NULL, &log));
    check(hf_log_batch_open(&batch));
    for (uint64_t index = 1; index <= 3; index++) {
        struct hf_entry entry = {.index = index, .term = 1, .type = HF_ENTRY_NORMAL, .payload = {"survives", 8}};
        check(hf_log_batch_append(batch, 1, &entry, 1));
    }
    check(hf_log_batch_hard_state(batch, 1, (struct hf_hard_state){.term = 1, .vote = 1, .commit = 3}));
    check(hf_log_append_wait(log, batch)); /* all of it is on the device now, or none of it is */
    kill(getpid(), SIGKILL);
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : "log-example";
    if (fork() == 0) {
        append_and_die(directory);
    }
    wait(NULL);
    struct hf_log *log;
    struct hf_log_iterator *iterator;
    struct hf_entry entry;
    check(hf_log_open(directory, NULL, &log));
    check(hf_log_iterator_open(log, 1, NULL, &iterator));
    while (hf_log_iterator_next(iterator, 0, &entry) == 0) {
        printf("%" PRIu64 " %.*s\n", entry.index, (int)entry.payload.size, (const char *)entry.payload.data);
    }
    hf_log_iterator_close(iterator);
    hf_log_close(log);
}
