/* The mark of a log that acknowledges before the device has the bytes (node/relaxed.h): the file `relaxed` in the data
 * directory. It names what still has these bytes as long as it is there: the kernel, by its boot, and the mount that
 * the log lies on; a device that was detached and attached is another mount.
 *
 * Version 2, text:
 *   0    36   boot id of the kernel; missing, with its bytes, where the kernel has none, or where a write or sync of
 * the log failed, after which the kernel may have dropped what it had +0   11   newline, "relaxed 2 " +11  16   id of
 * the mount, hexadecimal, lower case; 0: the kernel does not tell +27  1    newline; then a text for people, up to the
 * end Version 1 has the text for people behind the first newline, and says nothing of the mount. What is not to be
 * understood names nothing: whoever reads it takes it for a power loss. */
#ifndef NODE_RELAXED_MARK_H
#define NODE_RELAXED_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

#define RELAXED_MARK_VERSION   2u
#define RELAXED_MARK_BOOT_SIZE 36u
#define RELAXED_MARK_SIZE_MAX  65536u /* of the file */

struct relaxed_mark {
    bool has_boot;
    char boot[RELAXED_MARK_BOOT_SIZE]; /* not terminated */
    bool has_mount;                    /* version 1 has none */
    uint64_t mount;                    /* 0: not known */
};

void relaxed_mark_encode(const struct relaxed_mark *mark, struct buffer *out);
void relaxed_mark_decode(struct hf_bytes bytes, struct relaxed_mark *out);
/* Nothing can have been lost between the two: the same kernel, and as far as both know the same mount. */
bool relaxed_mark_is_kept(const struct relaxed_mark *mark, const struct relaxed_mark *now);

#endif
