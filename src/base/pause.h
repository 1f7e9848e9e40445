/* For who looks at memory again and again until another thread has changed it: lets the processor rest in between. */
#ifndef BASE_PAUSE_H
#define BASE_PAUSE_H

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

#endif
