#include "io/thread.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

int thread_start(const char *name, void *(*run)(void *arg), void *arg, pthread_t *out)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    int rc = pthread_sigmask(SIG_SETMASK, &all, &before);
    assert(rc == 0);
    int started = pthread_create(out, NULL, run, arg);
    rc = pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert(rc == 0);
    (void)rc;
    if (started != 0) {
        return error_raise(HF_ENOMEM, "start thread %s: %s", name, strerror(started));
    }
    char shown[16];
    snprintf(shown, sizeof(shown), "%.15s", name);
    pthread_setname_np(*out, shown);
    return 0;
}
