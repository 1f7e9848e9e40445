#include "log/log_view.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/bytes.h"

#define LOG_VIEW_SMALL (64u << 10) /* a last piece below it gets a block of its own size, which is not kept */

struct log_view_block {
    struct log_view_block *next;
    size_t capacity; /* of data */
    size_t used;
    alignas(16) uint8_t data[];
};

static _Atomic(struct log_view_block *) log_view_kept[LOG_VIEW_KEPT_COUNT];

/* Whether blocks of closed views are kept. Not under the address sanitizer, which sees whoever uses a closed view only
 * when its memory is freed. */
static bool log_view_keeps(void)
{
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    return true;
#endif
}

static size_t log_view_kept_capacity(void)
{
    return LOG_VIEW_BLOCK_SIZE - sizeof(struct log_view_block);
}

static struct log_view_block *log_view_take_kept(void)
{
    struct log_view_block *block = NULL;
    for (size_t i = 0; i < LOG_VIEW_KEPT_COUNT && block == NULL; i++) {
        if (atomic_load_explicit(&log_view_kept[i], memory_order_relaxed) != NULL) {
            block = atomic_exchange(&log_view_kept[i], NULL);
        }
    }
    return block;
}

static bool log_view_keep(struct log_view_block *block)
{
    for (size_t i = 0; i < LOG_VIEW_KEPT_COUNT; i++) {
        struct log_view_block *none = NULL;
        if (atomic_compare_exchange_strong(&log_view_kept[i], &none, block)) {
            return true;
        }
    }
    return false;
}

static struct log_view_block *log_view_new_block(size_t size, bool is_last)
{
    size_t capacity = size;
    struct log_view_block *block = NULL;
    if ((size >= LOG_VIEW_SMALL || !is_last) && size <= log_view_kept_capacity()) {
        capacity = log_view_kept_capacity();
        block = log_view_take_kept();
    }
    if (block == NULL) {
        block = memory_resize(NULL, sizeof(*block) + capacity);
        block->capacity = capacity;
    }
    block->used = 0;
    return block;
}

void *log_view_take(struct log_view_block **blocks, size_t size, bool is_last)
{
    struct log_view_block *block = *blocks;
    if (block == NULL || block->capacity - block->used < size) {
        block = log_view_new_block(size, is_last);
        block->next = *blocks;
        *blocks = block;
    }
    void *piece = block->data + block->used;
    size_t used = block->used + size;
    used += -used % 16;
    block->used = used < block->capacity ? used : block->capacity;
    return piece;
}

void log_view_free(struct log_view_block *blocks)
{
    while (blocks != NULL) {
        struct log_view_block *block = blocks;
        blocks = block->next;
        if (!log_view_keeps() || block->capacity != log_view_kept_capacity() || !log_view_keep(block)) {
            free(block);
        }
    }
}
