/* Frames of one size cut from areas of 2 MiB: where the pages of large trees live.
 *
 * Why not malloc: a closed cut frees tens of thousands of pages at once, from another thread. A general allocator then
 * spends milliseconds on merging and sorting them inside the next allocation of whoever comes; here giving a frame back
 * is a list operation. Huge pages take a third of the time off a random read of a large tree besides.
 *
 * An area begins with its header, in the place of its first frame; a frame finds its area by its address. An area
 * without frames in use is given back to the kernel, but for one, so that a tree at the edge does not map and unmap.
 *
 * The first touch of an area costs the kernel's clearing of 2 MiB, milliseconds on a virtual machine whose memory is
 * not there yet. While a cut is open, writes that copy pages take several areas a second; so whoever reads the cut
 * (another thread) keeps some ready that were touched: frame_pool_prepare.
 *
 * Thread: any. The lock is a leaf. */
#ifndef STORE_FRAME_POOL_H
#define STORE_FRAME_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/mutex.h"

#define FRAME_POOL_AREA_SIZE   (2u << 20)
#define FRAME_POOL_AREAS_READY 3u /* what 1,500 copies of full pages need */

struct frame_pool {
    struct mutex mutex; /* guards everything */
    struct list areas;  /* that have a free frame, those with frames in use in front of an empty one */
    size_t frame_size;
    size_t area_count;
    size_t frames_used;
    size_t areas_empty;
    size_t areas_empty_max; /* beyond it they go back to the kernel */
};

void frame_pool_open(struct frame_pool *pool, size_t frame_size);
void frame_pool_close(struct frame_pool *pool); /* no frame may be in use */
/* NULL when the kernel has no memory for an area. */
void *frame_pool_take(struct frame_pool *pool);
void frame_pool_give(struct frame_pool *pool, void *frame);
/* Maps and touches areas until FRAME_POOL_AREAS_READY are empty, when the pool has a whole area in use at all. Takes
 * long and keeps nobody from taking frames. What it made ready stays until frame_pool_rest. */
void frame_pool_prepare(struct frame_pool *pool);
/* Gives empty areas back to the kernel, but for one. */
void frame_pool_rest(struct frame_pool *pool);
/* Bytes of areas that no frame uses. */
size_t frame_pool_spare_bytes(struct frame_pool *pool);

#endif
