/* holdfast bench: a closed loop of clients against a running server, with latency percentiles. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/rng.h"
#include "cli/progress.h"
#include "cli/quantity.h"
#include "cli/verbs.h"
#include "io/io.h"

#define BENCH_CLIENTS_MAX  1024u
#define BENCH_PIPELINE_MAX 1024u

enum bench_key {
    KEY_CLIENTS = 'c',
    KEY_PIPELINE = 'P',
    KEY_REQUESTS = 'n',
    KEY_SIZE = 'd',
    KEY_KEYS = 'r',
    KEY_WRITES = 'w'
};

static struct {
    const char *address;
    uint64_t clients;
    uint64_t pipeline;
    uint64_t requests;
    uint64_t size;
    uint64_t keys;
    uint64_t writes_percent;
} bench = {"127.0.0.1:6379", 50, 1, 100000, 100, 100000, 100};

static const struct argp_option bench_options[] = {
    {"address", 'a', "HOST:PORT", 0, "The Redis port of a node (default 127.0.0.1:6379)", 0},
    {"clients", KEY_CLIENTS, "N", 0, "Connections (default 50)", 0},
    {"pipeline", KEY_PIPELINE, "N", 0, "Commands that a connection has in flight (default 1)", 0},
    {"requests", KEY_REQUESTS, "N", 0, "Commands in all (default 100000)", 0},
    {"size", KEY_SIZE, "BYTES", 0, "Size of a value (default 100)", 0},
    {"keys", KEY_KEYS, "N", 0, "Keys to choose from (default 100000)", 0},
    {"writes", KEY_WRITES, "PERCENT", 0, "Share of SET, the rest is GET (default 100)", 0},
    {0},
};

static error_t bench_parse(int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case 'a':
        bench.address = text;
        break;
    case KEY_CLIENTS:
        rc = quantity_number(text, 1, BENCH_CLIENTS_MAX, &bench.clients);
        break;
    case KEY_PIPELINE:
        rc = quantity_number(text, 1, BENCH_PIPELINE_MAX, &bench.pipeline);
        break;
    case KEY_REQUESTS:
        rc = quantity_number(text, 1, UINT64_MAX, &bench.requests);
        break;
    case KEY_SIZE:
        rc = quantity_bytes(text, &bench.size);
        break;
    case KEY_KEYS:
        rc = quantity_number(text, 1, UINT64_MAX, &bench.keys);
        break;
    case KEY_WRITES:
        rc = quantity_number(text, 0, 100, &bench.writes_percent);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (rc == 0 && bench.size > (64u << 20)) {
        rc = error_raise(HF_EINVALID, "--size is above 64 MiB");
    }
    return verb_parsed(state, rc);
}

struct bench_client {
    redisContext *context;
    uint64_t sent_ns[BENCH_PIPELINE_MAX]; /* a ring */
    unsigned head;
    unsigned in_flight;
};

struct bench_run {
    struct io *io;
    struct bench_client *clients;
    struct rng rng;
    struct histogram *latency; /* ns */
    char *value;
    uint64_t sent;
    uint64_t answered;
    uint64_t errors;
    char error_text[256];
};

static int client_open(struct bench_client *client)
{
    const char *colon = strrchr(bench.address, ':');
    uint64_t port;
    if (colon == NULL || quantity_number(colon + 1, 1, 65535, &port) != 0) {
        return error_raise(HF_EINVALID, "'%s' is not an address (host:port)", bench.address);
    }
    char *host = text_format("%.*s", (int)(colon - bench.address), bench.address);
    client->context = redisConnect(host, (int)port);
    free(host);
    if (client->context == NULL || client->context->err != 0) {
        return error_raise(HF_ENOTFOUND, "no server answers at %s: %s", bench.address,
                           client->context != NULL ? client->context->errstr : "no memory");
    }
    return 0;
}

static int client_send(struct bench_run *run, struct bench_client *client)
{
    int done = 0;
    while (client->in_flight < bench.pipeline && run->sent < bench.requests) {
        char key[32];
        snprintf(key, sizeof(key), "key:%012" PRIu64, rng_below(&run->rng, bench.keys));
        if (rng_below(&run->rng, 100) < bench.writes_percent) {
            redisAppendCommand(client->context, "SET %s %b", key, run->value, (size_t)bench.size);
        } else {
            redisAppendCommand(client->context, "GET %s", key);
        }
        client->sent_ns[(client->head + client->in_flight) % BENCH_PIPELINE_MAX] = io_monotonic_ns(run->io);
        client->in_flight++;
        run->sent++;
    }
    while (!done) {
        if (redisBufferWrite(client->context, &done) != REDIS_OK) {
            return error_raise(HF_EIO, "connection to %s: %s", bench.address, client->context->errstr);
        }
    }
    return 0;
}

static int client_receive(struct bench_run *run, struct bench_client *client)
{
    redisReply *reply = NULL;
    if (redisBufferRead(client->context) != REDIS_OK) {
        return error_raise(HF_EIO, "connection to %s: %s", bench.address, client->context->errstr);
    }
    while (client->in_flight > 0) {
        if (redisGetReplyFromReader(client->context, (void **)&reply) != REDIS_OK) {
            return error_raise(HF_EPROTOCOL, "reply of %s: %s", bench.address, client->context->errstr);
        }
        if (reply == NULL) {
            return 0;
        }
        histogram_record(run->latency, io_monotonic_ns(run->io) - client->sent_ns[client->head]);
        client->head = (client->head + 1) % BENCH_PIPELINE_MAX;
        client->in_flight--;
        run->answered++;
        if (reply->type == REDIS_REPLY_ERROR) {
            run->errors++;
            snprintf(run->error_text, sizeof(run->error_text), "%s", reply->str);
        }
        freeReplyObject(reply);
    }
    return 0;
}

static int run_loop(struct bench_run *run, struct progress *progress)
{
    struct pollfd *descriptors = memory_new(bench.clients * sizeof(*descriptors));
    int rc = 0;
    for (uint64_t i = 0; i < bench.clients && rc == 0; i++) {
        descriptors[i] = (struct pollfd){.fd = run->clients[i].context->fd, .events = POLLIN};
        rc = client_send(run, &run->clients[i]);
    }
    while (rc == 0 && run->answered < bench.requests) {
        if (poll(descriptors, bench.clients, 10000) <= 0) {
            rc = error_raise(HF_ETIMEOUT, "%s did not answer for 10 s", bench.address);
        }
        for (uint64_t i = 0; i < bench.clients && rc == 0; i++) {
            if (descriptors[i].revents != 0) {
                rc = client_receive(run, &run->clients[i]);
            }
            if (rc == 0 && descriptors[i].revents != 0 && run->clients[i].in_flight == 0) {
                rc = client_send(run, &run->clients[i]);
            }
        }
        progress_update(progress, run->answered, bench.requests);
    }
    free(descriptors);
    return rc;
}

static void result_print(const struct verb_common *common, const struct bench_run *run, double seconds)
{
    const struct histogram *latency = run->latency;
    const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    double microseconds[4];
    for (int i = 0; i < 4; i++) {
        microseconds[i] = (double)histogram_quantile(latency, quantiles[i]) / 1000;
    }
    double rate = (double)run->answered / seconds;
    if (common->json) {
        json_t *json =
            json_pack("{s:I, s:f, s:f, s:I, s:f, s:f, s:f, s:f}", "requests", (json_int_t)run->answered, "seconds",
                      seconds, "rate", rate, "errors", (json_int_t)run->errors, "p50_us", microseconds[0], "p90_us",
                      microseconds[1], "p99_us", microseconds[2], "p999_us", microseconds[3]);
        char *text = json_dumps(json, 0);
        puts(text);
        free(text);
        json_decref(json);
        return;
    }
    printf("%" PRIu64 " commands in %.2f s: %.0f/s\n", run->answered, seconds, rate);
    printf("latency  p50 %.0f µs  p90 %.0f µs  p99 %.0f µs  p99.9 %.0f µs  max %.0f µs\n", microseconds[0],
           microseconds[1], microseconds[2], microseconds[3], (double)latency->value_max / 1000);
}

static int bench_run_verb(const struct verb_common *common)
{
    struct bench_run run = {0};
    uint64_t started = 0;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &run.io);
    signal(SIGPIPE, SIG_IGN);
    run.clients = memory_new(bench.clients * sizeof(*run.clients));
    run.latency = memory_new(sizeof(*run.latency));
    run.value = memory_new(bench.size + 1);
    memset(run.value, 'x', bench.size);
    rng_seed(&run.rng, 1);
    struct progress *progress = progress_open(common, "bench");
    for (uint64_t i = 0; i < bench.clients && rc == 0; i++) {
        rc = client_open(&run.clients[i]);
    }
    if (rc == 0) {
        started = io_monotonic_ns(run.io);
        rc = run_loop(&run, progress);
    }
    progress_close(progress);
    int result = VERB_EXIT_OK;
    if (rc != 0) {
        result = verb_fail(rc, "is the server running? holdfast dev starts one");
    } else {
        result_print(common, &run, (double)(io_monotonic_ns(run.io) - started) / 1e9);
    }
    if (run.errors > 0) {
        fprintf(stderr, "error: %" PRIu64 " commands failed, the last with: %s\n", run.errors, run.error_text);
        result = VERB_EXIT_FAILED;
    }
    for (uint64_t i = 0; i < bench.clients; i++) {
        if (run.clients[i].context != NULL) {
            redisFree(run.clients[i].context);
        }
    }
    free(run.clients);
    free(run.latency);
    free(run.value);
    io_close(run.io);
    return result;
}

const struct verb verb_bench = {
    .name = "bench",
    .summary = "Load a running server and print rates and latencies",
    .details = "A closed loop: each connection keeps its pipeline full. Exit code 1 when a command failed.",
    .options = bench_options,
    .parse = bench_parse,
    .run = bench_run_verb,
};
