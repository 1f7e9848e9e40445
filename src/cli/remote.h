/* A node seen from outside: one RESP connection, for status, transfers and the developer's cluster. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <jansson.h>
#include <stdint.h>

#define REMOTE_TIMEOUT_MS 1500u

/* The node's own status (server_status_json). HF_ENOTFOUND: nobody answers at the address; HF_ETIMEOUT; HF_EPROTOCOL.
 * address is "host:port". The caller owns *out. */
int remote_status(const char *address, json_t **out);

#endif
