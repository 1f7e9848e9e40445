/* The contract of net/loop.h as cases that every implementation passes. A test file sets up a fixture, puts it in
 * cmocka's state, and makes its table from NET_CASES:
 *
 *   #define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown),
 *   const struct CMUnitTest tests[] = {NET_CASES(ROW)};
 *
 * The network of the fixture loses nothing. What only libuv has (threads, sockets of others) is in test_net_contract.c.
 */
#ifndef CONTRACT_NET_CASES_H
#define CONTRACT_NET_CASES_H

#include "contract/net_end_cases.h"
#include "contract/net_stream_cases.h"
#include "contract/net_timer_cases.h"
#include "contract/net_turn_cases.h"
#include "contract/net_watch_cases.h"

#define NET_CASES(X)    \
    NET_STREAM_CASES(X) \
    NET_END_CASES(X)    \
    NET_TIMER_CASES(X)  \
    NET_TURN_CASES(X)   \
    NET_WATCH_CASES(X)

#endif
