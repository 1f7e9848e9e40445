/* Tells threads apart, also from those that have ended. */
#ifndef LOG_LOG_THREAD_H
#define LOG_LOG_THREAD_H

#include <stdint.h>

/* The calling thread's, from 1 on; no other thread of the process ever had it or gets it. An address of something of
 * the thread's, or its id in the system, would be given to a later one. */
uint64_t log_thread_number(void);

#endif
