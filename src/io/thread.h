/* Starting threads. Private to the room. */
#ifndef IO_THREAD_H
#define IO_THREAD_H

#include <pthread.h>

/* Signals stay with the process's other threads. name: at most 15 bytes are shown. HF_ENOMEM when the system has no
 * thread to give. */
int thread_start(const char *name, void *(*run)(void *arg), void *arg, pthread_t *out);

#endif
