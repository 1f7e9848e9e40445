#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The terminating zero is counted in, so that a char[ERROR_TEXT_SIZE_MAX] always takes a whole text. */
static _Thread_local char error_thread_text[ERROR_TEXT_SIZE_MAX];
static _Thread_local int error_thread_errno; /* of the error that was raised last; 0: it has none */

/* A text that did not fit says so, and is not cut inside a UTF-8 character. */
static void error_mark_cut(char text[ERROR_TEXT_SIZE_MAX])
{
    size_t end = ERROR_TEXT_SIZE_MAX - sizeof("...");
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) {
        end--;
    }
    memcpy(text + end, "...", sizeof("..."));
}

__attribute__((format(printf, 2, 0))) static void error_format(char text[ERROR_TEXT_SIZE_MAX], const char *format,
                                                               va_list args)
{
    int length = vsnprintf(text, ERROR_TEXT_SIZE_MAX, format, args);
    assert(length >= 0);
    if (length >= ERROR_TEXT_SIZE_MAX) {
        error_mark_cut(text);
    }
}

static void error_set_joined(const char *front, const char *rest)
{
    char text[ERROR_TEXT_SIZE_MAX];
    const char *joint = front[0] != '\0' && rest[0] != '\0' ? ": " : "";
    int length = snprintf(text, sizeof(text), "%s%s%s", front, joint, rest);
    assert(length >= 0);
    if ((size_t)length >= sizeof(text)) {
        error_mark_cut(text);
    }
    memcpy(error_thread_text, text, sizeof(text));
}

int error_raise(int code, const char *format, ...)
{
    assert(code < 0);
    /* Formatted aside first: an argument may be the current text. */
    char text[ERROR_TEXT_SIZE_MAX];
    va_list args;
    va_start(args, format);
    error_format(text, format, args);
    va_end(args);
    error_set_joined(text, "");
    error_thread_errno = 0;
    return code;
}

int error_wrap(int code, const char *format, ...)
{
    assert(code < 0);
    char text[ERROR_TEXT_SIZE_MAX];
    va_list args;
    va_start(args, format);
    error_format(text, format, args);
    va_end(args);
    error_set_joined(text, error_thread_text);
    return code;
}

static int error_code_of_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return HF_ENOSPACE;
    case ENOENT:
        return HF_ENOTFOUND;
    case EEXIST:
        return HF_EEXISTS;
    case ENOMEM:
        return HF_ENOMEM;
    default:
        return HF_EIO;
    }
}

int error_from_errno(int error_number, const char *format, ...)
{
    assert(error_number > 0);
    char text[ERROR_TEXT_SIZE_MAX];
    va_list args;
    va_start(args, format);
    error_format(text, format, args);
    va_end(args);
    char reason_buffer[128];
    /* The GNU variant: it returns the text, which need not be in the buffer. */
    const char *reason = strerror_r(error_number, reason_buffer, sizeof(reason_buffer));
    error_set_joined(text, reason);
    error_thread_errno = error_number;
    return error_code_of_errno(error_number);
}

bool error_is_of_descriptors(void)
{
    return error_thread_errno == EMFILE || error_thread_errno == ENFILE;
}

void error_text_copy(char *target, size_t target_size)
{
    assert(target_size > 0);
    snprintf(target, target_size, "%s", error_thread_text);
}

int error_restore(int code, const char *text)
{
    assert(code < 0);
    error_set_joined(text, "");
    return code;
}

const char *hf_error_text(void)
{
    return error_thread_text;
}

const char *hf_error_name(int code)
{
    static const char *const names[] = {
        "OK",         "EINVALID",     "ENOMEM",     "EIO",        "ECORRUPT",       "ENOTFOUND", "EEXISTS",
        "ETOOBIG",    "EBUSY",        "ENOSPACE",   "ECOMPACTED", "EUNAVAILABLE",   "ECLOSED",   "EPOISONED",
        "EVERSION",   "EMISMATCH",    "ENOTLEADER", "ENOLEADER",  "EINDETERMINATE", "ETIMEOUT",  "ECONFLICT",
        "ECANCELLED", "EUNSUPPORTED", "EPROTOCOL",  "EUNSAFE",    "EREMOVED",
    };
    _Static_assert(sizeof(names) / sizeof(names[0]) == 1 - HF_EREMOVED, "one name per code");
    if (code > 0 || code < HF_EREMOVED) {
        return "EUNKNOWN";
    }
    return names[-code];
}
