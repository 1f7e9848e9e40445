/* The memory of a view: pieces, cut from blocks. Blocks of a view that was closed are kept for the next one, of any log
 * of the process: a megabyte of fresh pages costs more than reading a megabyte of log into it. Kept are at most
 * LOG_VIEW_KEPT_COUNT blocks of LOG_VIEW_BLOCK_SIZE. Any thread. */
#ifndef HOLDFAST_LOG_LOG_VIEW_H
#define HOLDFAST_LOG_LOG_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#define LOG_VIEW_BLOCK_SIZE (2u << 20) /* of one that is kept, with its header */
#define LOG_VIEW_KEPT_COUNT 4u

struct log_view_block;

/* A piece of `size` bytes, aligned for anything; its block is added to *blocks when it is a new one. is_last: hardly
 * anything will be asked for after it, so that a new block need not be larger than the piece. Never NULL. */
void *log_view_take(struct log_view_block **blocks, size_t size, bool is_last);

/* Gives all of them back. NULL is allowed. */
void log_view_free(struct log_view_block *blocks);

#endif
