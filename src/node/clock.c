#include "node/clock.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"

#define CLOCK_VERSION 1u
#define NS_PER_MS     1000000

void clock_encode(const struct clock_message *message, struct buffer *out)
{
    buffer_append_u8(out, CLOCK_VERSION);
    buffer_append_u8(out, (uint8_t)message->kind);
    buffer_append_u16(out, (uint16_t)message->flags);
    buffer_append_u64(out, message->asked_ns);
    buffer_append_u64(out, message->wall_ms);
}

int clock_decode(struct hf_bytes payload, struct clock_message *out)
{
    struct cursor cursor = cursor_of(payload);
    uint8_t version = cursor_u8(&cursor);
    uint8_t kind = cursor_u8(&cursor);
    out->flags = cursor_u16(&cursor);
    out->asked_ns = cursor_u64(&cursor);
    out->wall_ms = cursor_u64(&cursor);
    out->kind = (enum clock_kind)kind;
    if (!cursor.failed && (version != CLOCK_VERSION || (out->flags & ~CLOCK_UNFIT) != 0 || kind < CLOCK_QUESTION ||
                           kind > CLOCK_NOTICE)) {
        return error_raise(HF_EPROTOCOL, "a clock message has version %u and kind %u", version, kind);
    }
    return cursor_finish(&cursor, "a clock message");
}

void clock_peer_forget(struct clock_peer *peer)
{
    *peer = (struct clock_peer){0};
}

void clock_peer_answer(struct clock_peer *peer, const struct clock_message *answer, uint64_t now_ns, uint64_t wall_ms)
{
    if (answer->asked_ns > now_ns || now_ns - answer->asked_ns > (uint64_t)CLOCK_TRIP_MAX_MS * NS_PER_MS ||
        answer->wall_ms > INT64_MAX) {
        return;
    }
    struct clock_sample sample = {.trip_ns = now_ns - answer->asked_ns};
    sample.offset_ms = (int64_t)answer->wall_ms + (int64_t)(sample.trip_ns / 2 / NS_PER_MS) - (int64_t)wall_ms;
    peer->samples[peer->next] = sample;
    peer->next = (peer->next + 1) % CLOCK_SAMPLES_MAX;
    peer->count += peer->count < CLOCK_SAMPLES_MAX;
}

bool clock_peer_offset_ms(const struct clock_peer *peer, int64_t *out)
{
    const struct clock_sample *best = NULL;
    for (unsigned i = 0; i < peer->count; i++) {
        if (best == NULL || peer->samples[i].trip_ns < best->trip_ns) {
            best = &peer->samples[i];
        }
    }
    if (best == NULL) {
        return false;
    }
    *out = best->offset_ms;
    return true;
}

bool clock_self_jumped(struct clock_self *self, uint64_t now_ns, uint64_t wall_ms)
{
    int64_t base_ms = (int64_t)wall_ms - (int64_t)(now_ns / NS_PER_MS);
    bool jumped = self->is_set && llabs(base_ms - self->base_ms) > (int64_t)CLOCK_JUMP_MS;
    self->base_ms = base_ms;
    self->is_set = true;
    return jumped;
}

static int clock_compare(const void *a, const void *b)
{
    const int64_t *left = a;
    const int64_t *right = b;
    return *left < *right ? -1 : *left > *right;
}

int64_t clock_median_ms(int64_t *offsets_ms, size_t count)
{
    assert(count >= 1);
    qsort(offsets_ms, count, sizeof(*offsets_ms), clock_compare);
    int64_t upper = offsets_ms[count / 2];
    int64_t lower = offsets_ms[(count - 1) / 2];
    return llabs(lower) < llabs(upper) ? lower : upper;
}
