/* Ends of connections that write down what they hear, for the network's tests. */
#ifndef UNIT_SIM_SIM_TALK_H
#define UNIT_SIM_SIM_TALK_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "unit/sim/sim_testing.h"

struct end {
    struct stream *stream;
    struct buffer received;
    unsigned connected;
    int connect_result;
    unsigned ended;
    int end_result;
    unsigned drained;
    unsigned deliveries;
};

struct talk {
    struct sim *sim;
    struct sim_host *client_host;
    struct sim_host *server_host;
    struct listener *listener;
    struct end client;
    struct end server; /* the last that was accepted */
    unsigned accepted;
};

static inline void end_connected(void *arg, int result)
{
    struct end *end = arg;
    end->connected++;
    end->connect_result = result;
}

static inline void end_received(void *arg, struct hf_bytes bytes)
{
    struct end *end = arg;
    end->deliveries++;
    assert_int_equal(end->ended, 0);
    buffer_append_bytes(&end->received, bytes);
}

static inline void end_ended(void *arg, int result)
{
    struct end *end = arg;
    end->ended++;
    end->end_result = result;
}

static inline void end_drained(void *arg)
{
    ((struct end *)arg)->drained++;
}

static const struct stream_callbacks end_callbacks = {end_connected, end_received, end_ended, end_drained};

static inline void talk_accepted(void *arg, struct stream *stream)
{
    struct talk *talk = arg;
    talk->accepted++;
    if (talk->server.stream != NULL) {
        stream_close(talk->server.stream);
    }
    buffer_clear(&talk->server.received);
    talk->server = (struct end){.stream = stream, .received = talk->server.received};
    stream_set_callbacks(stream, &end_callbacks, &talk->server);
}

static inline void talk_open(struct talk *talk, uint64_t seed, const struct sim_profile *profile)
{
    const struct sim_options options = {.profile = profile};
    *talk = (struct talk){.sim = sim_open(seed, &options)};
    talk->client_host = sim_host_add(talk->sim, NULL, NULL);
    talk->server_host = sim_host_add(talk->sim, NULL, NULL);
    must(listener_open(sim_host_loop(talk->server_host), "host2:7000", talk_accepted, talk, &talk->listener));
}

static inline void talk_connect(struct talk *talk, const char *address)
{
    talk->client = (struct end){.received = talk->client.received};
    must(
        stream_connect(sim_host_loop(talk->client_host), address, &end_callbacks, &talk->client, &talk->client.stream));
    assert_int_equal(talk->client.connected, 0);
}

static inline void talk_say(struct end *end, const char *text)
{
    stream_write(end->stream, bytes_of_text(text));
}

/* Bytes that tell their place. */
static inline void talk_say_much(struct end *end, size_t offset, size_t size)
{
    uint8_t *data = test_malloc(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)((offset + i) * 2654435761u >> 13);
    }
    stream_write(end->stream, bytes_of(data, size));
    test_free(data);
}

static inline void talk_check_much(const struct end *end, size_t size)
{
    assert_int_equal(end->received.size, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(end->received.data[i], (uint8_t)(i * 2654435761u >> 13));
    }
}

static inline bool end_has(const struct end *end, const char *text)
{
    return bytes_equal(buffer_bytes(&end->received), bytes_of_text(text));
}

static inline void talk_run_ms(struct talk *talk, uint64_t ms)
{
    sim_run_for(talk->sim, ms * SIM_TEST_MS);
}

static inline void talk_close_client(struct talk *talk)
{
    stream_close(talk->client.stream);
    talk->client.stream = NULL;
}

static inline void talk_close(struct talk *talk)
{
    stream_close(talk->client.stream);
    stream_close(talk->server.stream);
    listener_close(talk->listener);
    assert_int_equal(sim_host_handle_count(talk->client_host), 0);
    assert_int_equal(sim_host_handle_count(talk->server_host), 0);
    buffer_close(&talk->client.received);
    buffer_close(&talk->server.received);
    sim_close(talk->sim);
}

#endif
