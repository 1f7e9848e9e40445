#include "node/relaxed_mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define RELAXED_MARK_LINE      "\nrelaxed 2 "
#define RELAXED_MARK_LINE_SIZE (sizeof(RELAXED_MARK_LINE) - 1)
#define RELAXED_MARK_ID_SIZE   16u

static const char relaxed_mark_note[] =
    "\nThe log beside this file acknowledges before the device has the bytes. After an unclean stop it may lack its "
    "end.\n";

void relaxed_mark_encode(const struct relaxed_mark *mark, struct buffer *out)
{
    char line[RELAXED_MARK_LINE_SIZE + RELAXED_MARK_ID_SIZE + 1];
    if (mark->has_boot) {
        buffer_append(out, mark->boot, RELAXED_MARK_BOOT_SIZE);
    }
    snprintf(line, sizeof(line), RELAXED_MARK_LINE "%016" PRIx64, mark->mount);
    buffer_append_bytes(out, bytes_of_text(line));
    buffer_append_bytes(out, bytes_of_text(relaxed_mark_note));
}

/* The number that begins the bytes, and a newline behind it. */
static bool relaxed_mark_decode_id(const uint8_t *bytes, size_t size, uint64_t *out)
{
    uint64_t id = 0;
    if (size < RELAXED_MARK_ID_SIZE + 1 || bytes[RELAXED_MARK_ID_SIZE] != '\n') {
        return false;
    }
    for (size_t i = 0; i < RELAXED_MARK_ID_SIZE; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = bytes[i] != '\0' ? strchr(digits, bytes[i]) : NULL;
        if (digit == NULL) {
            return false;
        }
        id = id * 16 + (uint64_t)(digit - digits);
    }
    *out = id;
    return true;
}

void relaxed_mark_decode(struct hf_bytes bytes, struct relaxed_mark *out)
{
    const uint8_t *data = bytes.data;
    const uint8_t *newline = bytes.size > 0 ? memchr(data, '\n', bytes.size) : NULL;
    size_t boot_size = newline != NULL ? (size_t)(newline - data) : 0;
    *out = (struct relaxed_mark){0};
    if (boot_size != RELAXED_MARK_BOOT_SIZE) {
        return; /* nothing of it matters without a boot */
    }
    size_t rest = bytes.size - boot_size;
    static const char head[] = "\nrelaxed ";
    if (rest >= sizeof(head) - 1 && memcmp(newline, head, sizeof(head) - 1) == 0) {
        out->has_mount =
            rest >= RELAXED_MARK_LINE_SIZE && memcmp(newline, RELAXED_MARK_LINE, RELAXED_MARK_LINE_SIZE) == 0 &&
            relaxed_mark_decode_id(newline + RELAXED_MARK_LINE_SIZE, rest - RELAXED_MARK_LINE_SIZE, &out->mount);
        if (!out->has_mount) {
            return; /* damaged, or of a later version */
        }
    }
    out->has_boot = true;
    memcpy(out->boot, data, RELAXED_MARK_BOOT_SIZE);
}

bool relaxed_mark_is_kept(const struct relaxed_mark *mark, const struct relaxed_mark *now)
{
    bool is_same_boot = mark->has_boot && now->has_boot && memcmp(mark->boot, now->boot, RELAXED_MARK_BOOT_SIZE) == 0;
    bool tells_mount = mark->has_mount && mark->mount != 0;
    return is_same_boot && (!tells_mount || mark->mount == now->mount);
}
