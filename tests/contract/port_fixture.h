/* Ports for tests that open a listener again at the address that it had. */
#ifndef CONTRACT_PORT_FIXTURE_H
#define CONTRACT_PORT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PORT_LOW = 10000, PORT_COUNT = 2000 };

/* A port that is ours until this process ends: who is opened again finds it free. It lies below those that the
 * kernel gives to outgoing connections, and is claimed by a name that goes away by itself, as in tests/e2e/cluster.py.
 */
static inline unsigned port_claim(void)
{
    static unsigned next;
    for (unsigned tries = 0; tries < PORT_COUNT; tries++) {
        unsigned port = PORT_LOW + ((unsigned)getpid() * 31u + next++) % PORT_COUNT;
        struct sockaddr_un claim = {.sun_family = AF_UNIX};
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
        int size = snprintf(claim.sun_path + 1, sizeof(claim.sun_path) - 1, "holdfast-test-port-%u", port);
        int holder = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* stays open */
        if (bind(holder, (struct sockaddr *)&claim, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size)) !=
            0) {
            close(holder);
            continue;
        }
        const int yes = 1;
        int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
        bool is_free = bind(probe, (struct sockaddr *)&address, sizeof(address)) == 0;
        close(probe);
        if (is_free) {
            return port;
        }
    }
    fail_msg("no free port");
    return 0;
}

#endif
