/* Which routed group holds a key: jump consistent hash over FNV-1a-64 of the key or of its {tag} (DESIGN D8; Lamping
 * and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014).
 *
 * This is a format: every node, every release and every restart must agree, so nothing here ever changes under
 * routing version 1. The tag is Redis's: what stands between the first '{' and the first '}' behind it; without such a
 * pair, or with nothing in between, the whole key counts.
 *
 * Thread: any. */
#ifndef NODE_ROUTER_H
#define NODE_ROUTER_H

#include <stdint.h>

#include "holdfast/bytes.h"

#define ROUTER_VERSION 1u

/* The part of a key that decides; lent from the key. */
struct hf_bytes router_tag(struct hf_bytes key);
/* The ordinal of the key's group in [0, group_count); group_count ≥ 1. */
uint32_t router_ordinal(struct hf_bytes key, uint32_t group_count);

#endif
