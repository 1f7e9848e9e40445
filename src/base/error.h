/* Raising and wrapping errors. The text lives in the calling thread and takes at most ERROR_TEXT_SIZE_MAX bytes with
 * its zero; one that is longer ends in "...". */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "holdfast/error.h"

#define ERROR_TEXT_SIZE_MAX 1024

/* Sets the thread's error text and returns code, so that `return error_raise(...)` reads well. code < 0. */
int error_raise(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<text>: " in front of the thread's error text and returns code unchanged. code < 0. */
int error_wrap(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Raises the code that fits an errno (ENOSPC, EDQUOT -> HF_ENOSPACE; ENOENT -> HF_ENOTFOUND; EEXIST -> HF_EEXISTS;
 * ENOMEM -> HF_ENOMEM; others -> HF_EIO) with "<text>: <strerror>". error_number > 0. */
int error_from_errno(int error_number, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The thread's last error was that the process, or the system, may open no more files: it has nothing to do with the
 * file, and may be over soon. */
bool error_is_of_descriptors(void);

/* Carries an error from the thread that met it to the thread that reports it: copy the text out (cut to target_size,
 * zero included), set it there. code < 0. */
void error_text_copy(char *target, size_t target_size);
int error_restore(int code, const char *text);

#endif
