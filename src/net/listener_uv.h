/* Listening on libuv. Private to the room. */
#ifndef NET_LISTENER_UV_H
#define NET_LISTENER_UV_H

#include "net/stream_uv.h"

#define LISTENER_UV_BACKLOG          1024
#define LISTENER_UV_COMPLAINT_GAP_MS 1000u /* between lines about connections that cannot be accepted */

int listener_uv_open(struct loop *loop, const char *address, void (*accepted)(void *arg, struct stream *stream),
                     void *arg, struct listener **out);

#endif
