#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "base/checksum.h"
#include "base/rng.h"

typedef uint32_t checksum(uint32_t crc, const void *data, size_t size);

static void known_vectors_hold(checksum *crc32c)
{
    assert_int_equal(crc32c(0, "123456789", 9), UINT32_C(0xE3069283));
    assert_int_equal(crc32c(0, NULL, 0), 0);
    assert_int_equal(crc32c(0, "a", 1), UINT32_C(0xC1D04330));
    /* RFC 3720, B.4: 32 bytes of zeros, of ones, ascending, descending. */
    uint8_t zeros[32];
    uint8_t ones[32];
    uint8_t ascending[32];
    uint8_t descending[32];
    for (int i = 0; i < 32; i++) {
        zeros[i] = 0;
        ones[i] = 0xFF;
        ascending[i] = (uint8_t)i;
        descending[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(crc32c(0, zeros, 32), UINT32_C(0x8A9136AA));
    assert_int_equal(crc32c(0, ones, 32), UINT32_C(0x62A8AB43));
    assert_int_equal(crc32c(0, ascending, 32), UINT32_C(0x46DD794E));
    assert_int_equal(crc32c(0, descending, 32), UINT32_C(0x113FDB5C));
}

static void both_implementations_give_the_published_values(void **state)
{
    known_vectors_hold(checksum_crc32c);
    known_vectors_hold(checksum_crc32c_portable);
}

static void both_agree_at_every_size_alignment_and_seed(void **state)
{
    static uint8_t room[8192 + 64];
    struct rng rng;
    rng_seed(&rng, 3);
    rng_fill(&rng, room, sizeof(room));
    for (size_t size = 0; size < 300; size++) {
        for (size_t offset = 0; offset < 16; offset++) {
            assert_int_equal(checksum_crc32c(0, room + offset, size), checksum_crc32c_portable(0, room + offset, size));
        }
    }
    for (int i = 0; i < 3000; i++) {
        size_t size = rng_below(&rng, 8192);
        size_t offset = rng_below(&rng, 64);
        uint32_t seed = (uint32_t)rng_next(&rng);
        assert_int_equal(checksum_crc32c(seed, room + offset, size),
                         checksum_crc32c_portable(seed, room + offset, size));
    }
}

static void a_copy_with_its_checksum_equals_the_two_apart(void **state)
{
    static uint8_t source[80000];
    static uint8_t target[80000];
    struct rng rng;
    rng_seed(&rng, 5);
    rng_fill(&rng, source, sizeof(source));
    for (size_t i = 0; i < 3000; i++) {
        size_t size = i < 600 ? i : rng_below(&rng, i % 10 == 0 ? 70000 : 2000);
        size_t from = rng_below(&rng, 64);
        size_t to = rng_below(&rng, 64);
        uint32_t seed = (uint32_t)rng_next(&rng);
        memset(target, 0xEE, sizeof(target));
        assert_int_equal(checksum_crc32c_copy(seed, target + to, source + from, size),
                         checksum_crc32c_portable(seed, source + from, size));
        assert_memory_equal(target + to, source + from, size);
        assert_int_equal(target[to + size], 0xEE);
        assert_true(to == 0 || target[to - 1] == 0xEE);
    }
}

static void checksums_chain_at_every_split(void **state)
{
    uint8_t room[512];
    struct rng rng;
    rng_seed(&rng, 4);
    rng_fill(&rng, room, sizeof(room));
    uint32_t whole = checksum_crc32c(0, room, sizeof(room));
    for (size_t split = 0; split <= sizeof(room); split++) {
        uint32_t front = checksum_crc32c(0, room, split);
        assert_int_equal(checksum_crc32c(front, room + split, sizeof(room) - split), whole);
        front = checksum_crc32c_portable(0, room, split);
        assert_int_equal(checksum_crc32c_portable(front, room + split, sizeof(room) - split), whole);
    }
}

static void any_single_flipped_bit_shows(void **state)
{
    uint8_t room[64];
    struct rng rng;
    rng_seed(&rng, 5);
    rng_fill(&rng, room, sizeof(room));
    uint32_t good = checksum_crc32c(0, room, sizeof(room));
    for (size_t bit = 0; bit < sizeof(room) * 8; bit++) {
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(checksum_crc32c(0, room, sizeof(room)), good);
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* The library's length is an int. Untouched pages of a private mapping all show the one page of zeros. */
static void a_size_above_an_int_is_summed_whole(void **state)
{
    const size_t size = ((size_t)1 << 31) + 12345;
    uint8_t *zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) {
        skip();
    }
    uint32_t expected = 0;
    const size_t piece = 1 << 20;
    for (size_t left = size; left > 0; left -= left < piece ? left : piece) {
        expected = checksum_crc32c(expected, zeros, left < piece ? left : piece);
    }
    assert_int_equal(checksum_crc32c(0, zeros, size), expected);
    munmap(zeros, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_implementations_give_the_published_values),
        cmocka_unit_test(both_agree_at_every_size_alignment_and_seed),
        cmocka_unit_test(a_copy_with_its_checksum_equals_the_two_apart),
        cmocka_unit_test(checksums_chain_at_every_split),
        cmocka_unit_test(any_single_flipped_bit_shows),
        cmocka_unit_test(a_size_above_an_int_is_summed_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
