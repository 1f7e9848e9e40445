/* Ctrl-C while something long is under way that can be left in good order: the first one is noted, and whoever works
 * asks now and then; the second one ends the process at once. Thread: one. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/* From here on, for SIGINT and SIGTERM. */
void interrupt_catch(void);
/* HF_ECANCELLED when there was one. */
int interrupt_check(void);

#endif
