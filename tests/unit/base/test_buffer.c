#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/rng.h"

static void a_zeroed_buffer_is_empty_and_valid(void **state)
{
    struct buffer buffer = {0};
    assert_int_equal(buffer_bytes(&buffer).size, 0);
    buffer_clear(&buffer);
    buffer_append(&buffer, NULL, 0);
    buffer_append_bytes(&buffer, bytes_of(NULL, 0));
    buffer_drop_front(&buffer, 0);
    assert_int_equal(buffer.size, 0);
    assert_non_null(buffer_extend(&buffer, 0));
    buffer_close(&buffer);
    buffer_close(&buffer);
    assert_null(buffer.data);
    buffer_close(NULL);
}

static void fields_are_appended_as_bytes_reads_them(void **state)
{
    struct buffer buffer = {0};
    buffer_append_u8(&buffer, 1);
    buffer_append_u16(&buffer, 0x0302);
    buffer_append_u32(&buffer, 0x07060504);
    buffer_append_u64(&buffer, UINT64_C(0x0F0E0D0C0B0A0908));
    buffer_append_sized(&buffer, bytes_of_text("ab"));
    buffer_append_text(&buffer, "cd");
    static const uint8_t expected[] = {1,  2,  3,  4, 5, 6, 7, 8,   9,   10,  11, 12,
                                       13, 14, 15, 2, 0, 0, 0, 'a', 'b', 'c', 'd'};
    assert_true(bytes_equal(buffer_bytes(&buffer), bytes_of(expected, sizeof(expected))));
    buffer_clear(&buffer);
    assert_int_equal(buffer.size, 0);
    assert_true(buffer.capacity > 0);
    buffer_close(&buffer);
}

static void formatted_text_goes_behind_what_is_there(void **state)
{
    struct buffer buffer = {0};
    buffer_append_text(&buffer, "a=");
    buffer_format(&buffer, "%d;%s", 42, "");
    for (int i = 0; i < 100; i++) {
        buffer_format(&buffer, "%03d", i);
    }
    assert_int_equal(buffer.size, 5 + 300);
    assert_memory_equal(buffer.data, "a=42;000001002", 14);
    assert_memory_equal(buffer.data + 302, "099", 3);
    buffer_close(&buffer);
}

static void reserved_room_is_not_moved(void **state)
{
    struct buffer buffer = {0};
    buffer_append_text(&buffer, "x");
    buffer_reserve(&buffer, 10000);
    const uint8_t *data = buffer.data;
    assert_true(buffer.capacity >= 10001);
    buffer_extend(&buffer, 10000);
    assert_ptr_equal(buffer.data, data);
    buffer_close(&buffer);
}

/* Random appends and drops against a plain array. */
static void a_buffer_holds_what_a_model_holds(void **state)
{
    static uint8_t model[1 << 16];
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct buffer buffer = {0};
        size_t size = 0;
        for (int step = 0; step < 400; step++) {
            uint8_t piece[256];
            size_t amount = rng_below(&rng, sizeof(piece));
            if (rng_chance(&rng, 2, 3) && size + amount <= sizeof(model)) {
                rng_fill(&rng, piece, amount);
                memcpy(model + size, piece, amount);
                size += amount;
                buffer_append(&buffer, piece, amount);
            } else {
                amount = amount > size ? size : amount;
                size -= amount;
                memmove(model, model + amount, size);
                buffer_drop_front(&buffer, amount);
            }
            assert_true(bytes_equal(buffer_bytes(&buffer), bytes_of(model, size)));
            assert_true(buffer.capacity >= buffer.size);
        }
        buffer_close(&buffer);
    }
}

static void growing_byte_by_byte_moves_rarely(void **state)
{
    struct buffer buffer = {0};
    size_t capacity = 0;
    int moves = 0;
    for (int i = 0; i < 1 << 20; i++) {
        buffer_append_u8(&buffer, (uint8_t)i);
        moves += buffer.capacity != capacity;
        capacity = buffer.capacity;
    }
    assert_true(moves <= 20);
    buffer_close(&buffer);
}

static void new_memory_is_zeroed_and_never_null(void **state)
{
    uint8_t *memory = memory_new(1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(memory[i], 0);
    }
    memory = memory_resize(memory, 2000);
    assert_int_equal(memory[999], 0);
    free(memory);
    void *none = memory_new(0);
    assert_non_null(none);
    none = memory_resize(none, 0);
    assert_non_null(none);
    free(none);
}

static void texts_are_copied_and_formatted(void **state)
{
    char source[] = "abc";
    char *copy = text_copy(source);
    source[0] = 'x';
    assert_string_equal(copy, "abc");
    char *text = text_format("%s-%05d-%s", copy, 42, "");
    assert_string_equal(text, "abc-00042-");
    free(text);
    free(copy);
}

static void ask_for_too_much(void)
{
    struct buffer buffer = {0};
    buffer_append_u8(&buffer, 1);
    buffer_reserve(&buffer, SIZE_MAX - 1);
}

static void a_size_that_would_wrap_stops_the_process(void **state)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        ask_for_too_much();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_is_empty_and_valid),
        cmocka_unit_test(fields_are_appended_as_bytes_reads_them),
        cmocka_unit_test(formatted_text_goes_behind_what_is_there),
        cmocka_unit_test(reserved_room_is_not_moved),
        cmocka_unit_test(a_buffer_holds_what_a_model_holds),
        cmocka_unit_test(growing_byte_by_byte_moves_rarely),
        cmocka_unit_test(new_memory_is_zeroed_and_never_null),
        cmocka_unit_test(texts_are_copied_and_formatted),
        cmocka_unit_test(a_size_that_would_wrap_stops_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
