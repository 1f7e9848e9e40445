/* "host:port" and "[v6]:port" as text. Shared by both implementations of the seam. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_HOST_SIZE_MAX 256u /* with the terminating zero; names in DNS are shorter */
#define ADDRESS_TEXT_SIZE_MAX 272u /* host, brackets, colon, port, zero */

struct address {
    char host[ADDRESS_HOST_SIZE_MAX]; /* without brackets */
    uint16_t port;
};

/* HF_EINVALID: no host, no port, a port above 65535, a bare IPv6 address, or a host that is too long. */
int address_parse(const char *text, struct address *out);
/* Brackets around a host with colons. target: ADDRESS_TEXT_SIZE_MAX bytes. */
void address_format(const char *host, uint16_t port, char *target);
/* 127.0.0.0/8, ::1 and the name "localhost": nothing that another machine can reach. */
bool address_is_loopback(const struct address *address);

#endif
