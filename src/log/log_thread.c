#include "log/log_thread.h"

#include <stdatomic.h>

uint64_t log_thread_number(void)
{
    static _Atomic uint64_t given;
    static _Thread_local uint64_t number;
    if (number == 0) {
        number = atomic_fetch_add_explicit(&given, 1, memory_order_relaxed) + 1;
    }
    return number;
}
