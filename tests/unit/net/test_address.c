/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>

#include "base/error.h"
#include "net/address.h"

static void addresses_are_split_into_host_and_port(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
        const char *again;
    } rows[] = {
        {"127.0.0.1:6379", "127.0.0.1", 6379, "127.0.0.1:6379"},
        {"localhost:0", "localhost", 0, "localhost:0"},
        {"node-1.example:65535", "node-1.example", 65535, "node-1.example:65535"},
        {"[::1]:80", "::1", 80, "[::1]:80"},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1, "[fe80::1%eth0]:1"},
        {"[127.0.0.1]:7", "127.0.0.1", 7, "127.0.0.1:7"},
        {"a:007", "a", 7, "a:7"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address address;
        char again[ADDRESS_TEXT_SIZE_MAX];
        assert_int_equal(address_parse(rows[i].text, &address), 0);
        assert_string_equal(address.host, rows[i].host);
        assert_int_equal(address.port, rows[i].port);
        address_format(address.host, address.port, again);
        assert_string_equal(again, rows[i].again);
    }
}

static void what_is_no_address_is_refused_with_its_text(void **state)
{
    static const char *const rows[] = {
        "",      "a",        ":",    ":1",      "a:",     "a:b", "a:1b",
        "a: 1",  "a:+1",     "a:-1", "a:65536", "a:1:1",  "::1", "::1:1",
        "[::1]", "[::1]1:1", "[]:1", "[::1:1",  "[::1]:", "[",   "a:99999999999999999999"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address address;
        assert_int_equal(address_parse(rows[i], &address), HF_EINVALID);
        assert_non_null(strstr(hf_error_text(), rows[i]));
    }
}

static void a_host_has_a_longest_length(void **state)
{
    char text[ADDRESS_HOST_SIZE_MAX + 8];
    struct address address;
    memset(text, 'h', sizeof(text));
    memcpy(text + ADDRESS_HOST_SIZE_MAX - 1, ":1", 3);
    assert_int_equal(address_parse(text, &address), 0);
    assert_int_equal(strlen(address.host), ADDRESS_HOST_SIZE_MAX - 1);
    memcpy(text + ADDRESS_HOST_SIZE_MAX - 1, "h:1", 4);
    assert_int_equal(address_parse(text, &address), HF_EINVALID);
}

static void only_addresses_of_this_machine_are_loopback(void **state)
{
    static const struct {
        const char *text;
        bool is_loopback;
    } rows[] = {
        {"127.0.0.1:1", true},          {"127.255.0.9:1", true}, {"[::1]:1", true},        {"localhost:1", true},
        {"127.example.org:1", false},   {"0.0.0.0:1", false},    {"[::]:1", false},        {"10.0.0.1:1", false},
        {"[::ffff:10.0.0.1]:1", false}, {"128.0.0.1:1", false},  {"example.org:1", false},
    };
    struct address address;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(address_parse(rows[i].text, &address), 0);
        assert_int_equal(address_is_loopback(&address), rows[i].is_loopback);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_split_into_host_and_port),
        cmocka_unit_test(what_is_no_address_is_refused_with_its_text),
        cmocka_unit_test(a_host_has_a_longest_length),
        cmocka_unit_test(only_addresses_of_this_machine_are_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
