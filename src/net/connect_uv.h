/* Opening connections on libuv. Private to the room. */
#ifndef NET_CONNECT_UV_H
#define NET_CONNECT_UV_H

#include "net/stream_uv.h"

int connect_uv_open(struct loop *loop, const char *address, const struct stream_callbacks *callbacks, void *arg,
                    struct stream **out);
/* The stream is destroyed: forgets the name that is being resolved and the addresses that were found. */
void connect_uv_cancel(struct stream_uv *stream);

#endif
