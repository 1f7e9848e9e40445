#include "node/chunk_window.h"

#include <assert.h>

void chunk_window_open(struct chunk_window *window, uint64_t now_ms)
{
    *window = (struct chunk_window){
        .chunks = CHUNK_WINDOW_FIRST, .quick_ms = UINT64_MAX, .look = now_ms / CHUNK_WINDOW_LOOK_MS};
}

uint32_t chunk_window_size(const struct chunk_window *window)
{
    return window->is_looking ? 1 : window->chunks;
}

/* True while this answer says nothing of how many there should be. */
static bool chunk_window_looks(struct chunk_window *window, uint64_t asked_ms, bool was_alone, uint64_t now_ms)
{
    uint64_t look = now_ms / CHUNK_WINDOW_LOOK_MS;
    if (look != window->look) {
        window->look = look;
        window->is_looking = true;
        window->looked_ms = now_ms;
    }
    if (window->is_looking && was_alone && asked_ms >= window->looked_ms) {
        window->is_looking = false;
        window->quick_ms = now_ms - asked_ms;
        return true;
    }
    return window->is_looking;
}

void chunk_window_note(struct chunk_window *window, uint64_t asked_ms, bool was_alone, uint64_t now_ms)
{
    assert(asked_ms <= now_ms);
    uint64_t took_ms = now_ms - asked_ms;
    if (chunk_window_looks(window, asked_ms, was_alone, now_ms)) {
        return;
    }
    window->quick_ms = took_ms < window->quick_ms ? took_ms : window->quick_ms;
    uint64_t queued_ms = took_ms - window->quick_ms;
    if (queued_ms > CHUNK_WINDOW_QUEUE_MAX_MS && window->chunks > 1) {
        window->chunks--;
    } else if (queued_ms < CHUNK_WINDOW_QUEUE_MIN_MS && window->chunks < CHUNK_FRAME_WINDOW &&
               (!was_alone || window->chunks == 1)) { /* where several may wait, one alone says nothing */
        window->chunks++;
    }
}
