/* links: node sim */
/* The identity of a node in each version, as it was written when that version was new: every later program must read
 * exactly this. The files are kept for ever; a new version adds one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/directory.h"
#include "sim/sim.h"

static void expect(const char *name, uint64_t features)
{
    uint8_t bytes[128];
    char path[512];
    struct file *file = NULL;
    struct directory_identity identity;
    struct sim *sim = sim_open(1, NULL);
    struct io *io = sim_host_io(sim_host_add(sim, NULL, NULL));
    snprintf(path, sizeof(path), "%.*s/%s", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, name);
    FILE *golden = fopen(path, "rb");
    assert_non_null(golden);
    size_t size = fread(bytes, 1, sizeof(bytes), golden);
    fclose(golden);
    assert_int_equal(directory_create(io, "/data"), 0);
    assert_int_equal(file_open(io, "/data/node", FILE_WRITE | FILE_CREATE, &file), 0);
    assert_int_equal(file_write(file, 0, bytes, size), 0);
    file_close(file);
    assert_int_equal(directory_identify(io, "/data", &identity), 0);
    for (unsigned i = 0; i < PEER_CLUSTER_ID_SIZE; i++) {
        assert_int_equal(identity.cluster_id[i], 0xf0 + i);
    }
    assert_true(identity.node_id == 7 && identity.node_incarnation == UINT64_C(0xfedcba9876543210));
    assert_true(identity.created_ms == UINT64_C(1700000000123) && identity.features == features);
    sim_close(sim);
}

static void an_identity_of_version_1_is_read_for_ever(void **state)
{
    expect("node_v1.bin", 0);
}

static void an_identity_of_version_2_is_read_for_ever(void **state)
{
    expect("node_v2.bin", DIRECTORY_FEATURE_RELAXED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_of_version_1_is_read_for_ever),
        cmocka_unit_test(an_identity_of_version_2_is_read_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
