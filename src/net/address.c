#include "net/address.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define ADDRESS_PORT_MAX 65535u

static int address_refuse(const char *text)
{
    return error_raise(HF_EINVALID, "'%.300s' is not an address: host:port or [IPv6]:port", text);
}

static int address_parse_port(const char *text, uint16_t *out)
{
    unsigned value = 0;
    size_t length = strspn(text, "0123456789");
    if (length == 0 || text[length] != '\0') {
        return HF_EINVALID;
    }
    for (const char *at = text; *at != '\0'; at++) {
        value = value * 10 + (unsigned)(*at - '0');
        if (value > ADDRESS_PORT_MAX) {
            return HF_EINVALID;
        }
    }
    *out = (uint16_t)value;
    return 0;
}

int address_parse(const char *text, struct address *out)
{
    const char *host = text;
    const char *colon = NULL;
    size_t length;
    if (text[0] == '[') {
        host = text + 1;
        length = strcspn(host, "]");
        colon = host[length] == ']' ? host + length + 1 : NULL;
    } else {
        length = strcspn(host, ":");
        colon = host + length;
    }
    if (colon == NULL || *colon != ':' || length == 0 || length >= sizeof(out->host)) {
        return address_refuse(text);
    }
    if (address_parse_port(colon + 1, &out->port) != 0) {
        return address_refuse(text);
    }
    memcpy(out->host, host, length);
    out->host[length] = '\0';
    return 0;
}

void address_format(const char *host, uint16_t port, char *target)
{
    const char *open = strchr(host, ':') != NULL ? "[" : "";
    snprintf(target, ADDRESS_TEXT_SIZE_MAX, "%s%.255s%s:%" PRIu16, open, host, *open != '\0' ? "]" : "", port);
}

bool address_is_loopback(const struct address *address)
{
    struct in_addr in4;
    struct in6_addr in6;
    if (inet_pton(AF_INET, address->host, &in4) == 1) {
        return ntohl(in4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, address->host, &in6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&in6) != 0;
    }
    return strcmp(address->host, "localhost") == 0;
}
