#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

#include "base/error.h"

static volatile sig_atomic_t interrupt_happened;

static void interrupt_note(int number)
{
    interrupt_happened = 1;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = interrupt_note, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};
    sigemptyset(&action.sa_mask);
    interrupt_happened = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int interrupt_check(void)
{
    return interrupt_happened != 0 ? error_raise(HF_ECANCELLED, "interrupted") : 0;
}
