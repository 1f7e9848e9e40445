/* Redis's patterns: * ? [abc] [^a] [a-z] \x. Not recursive: a later star makes an earlier one final, so that one place
 * to go back to is enough. Still the work can be key size times pattern size, and a client chooses both: each step is
 * taken from a budget that the whole command shares. */
#ifndef SERVER_GLOB_H
#define SERVER_GLOB_H

#include <stdint.h>

#include "holdfast/bytes.h"

enum glob_result { GLOB_DIFFERS, GLOB_MATCHES, GLOB_EXHAUSTED };

/* Takes its steps from *budget; GLOB_EXHAUSTED when it is used up. */
enum glob_result glob_match(struct hf_bytes pattern, struct hf_bytes text, uint64_t *budget);

#endif
