/* Watches of queues and descriptors on libuv. Private to the room. */
#ifndef NET_WATCH_UV_H
#define NET_WATCH_UV_H

#include "net/loop_uv.h"

int watch_uv_queue(struct loop *loop, struct io_queue *queue, void (*ready)(void *arg), void *arg,
                   struct loop_watch **out);
int watch_uv_descriptor(struct loop *loop, int descriptor, void (*ready)(void *arg), void *arg,
                        struct loop_watch **out);
void watch_uv_close(struct loop *loop, struct loop_watch *watch);

#endif
