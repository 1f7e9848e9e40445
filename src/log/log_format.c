#include "log/log_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mutation.h"

#define LOG_FORMAT_MAGIC_SEGMENT UINT64_C(0x474553474F4C4648) /* "HFLOGSEG" */
#define LOG_FORMAT_CHECKSUM_FROM 12u

void log_format_put_segment_header(uint8_t *target, const struct log_segment_header *header)
{
    memset(target, 0, LOG_FORMAT_SEGMENT_HEADER_SIZE);
    bytes_put_u64(target, LOG_FORMAT_MAGIC_SEGMENT);
    bytes_put_u32(target + 12, LOG_FORMAT_VERSION);
    bytes_put_u64(target + 16, header->number);
    bytes_put_u64(target + 24, header->incarnation);
    bytes_put_u64(target + 32, header->size_bytes);
    bytes_put_u64(target + 40, header->log_id);
    bytes_put_u64(target + 48, header->epoch);
    bytes_put_u64(target + 56, header->previous_incarnation);
    bytes_put_u64(target + 64, header->position);
    bytes_put_u32(target + 8, checksum_crc32c(0, target + LOG_FORMAT_CHECKSUM_FROM,
                                              LOG_FORMAT_SEGMENT_HEADER_SIZE - LOG_FORMAT_CHECKSUM_FROM));
}

int log_format_get_segment_header(const uint8_t *source, struct log_segment_header *out)
{
    if (bytes_get_u64(source) != LOG_FORMAT_MAGIC_SEGMENT) {
        return error_raise(HF_ECORRUPT, "no segment header");
    }
    uint32_t checksum = checksum_crc32c(0, source + LOG_FORMAT_CHECKSUM_FROM,
                                        LOG_FORMAT_SEGMENT_HEADER_SIZE - LOG_FORMAT_CHECKSUM_FROM);
    if (bytes_get_u32(source + 8) != checksum) {
        return error_raise(HF_ECORRUPT, "checksum of the segment header");
    }
    uint32_t version = bytes_get_u32(source + 12);
    if (version < LOG_FORMAT_VERSION_MIN || version > LOG_FORMAT_VERSION) {
        return error_raise(HF_EVERSION, "the log has format version %" PRIu32 ", this program knows up to %u", version,
                           LOG_FORMAT_VERSION);
    }
    *out = (struct log_segment_header){
        .number = bytes_get_u64(source + 16),
        .incarnation = bytes_get_u64(source + 24),
        .size_bytes = bytes_get_u64(source + 32),
        .log_id = bytes_get_u64(source + 40),
        .epoch = bytes_get_u64(source + 48),
        .previous_incarnation = bytes_get_u64(source + 56),
        .position = bytes_get_u64(source + 64),
    };
    if (out->number == 0 || out->incarnation == 0 || out->size_bytes < LOG_FORMAT_SEGMENT_HEADER_SIZE) {
        return error_raise(HF_ECORRUPT, "impossible values in the segment header");
    }
    return 0;
}

void log_format_segment_name(char target[LOG_FORMAT_NAME_SIZE], uint64_t number)
{
    snprintf(target, LOG_FORMAT_NAME_SIZE, "%016" PRIx64 ".log", number);
}

bool log_format_parse_segment_name(const char *name, uint64_t *number)
{
    if (strlen(name) != LOG_FORMAT_NAME_SIZE - 1 || strcmp(name + 16, ".log") != 0) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < 16; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *number = value;
    return value != 0;
}

const char *log_format_kind_name(uint8_t kind)
{
    static const char *const names[] = {
        [LOG_RECORD_OPENING] = "opening", [LOG_RECORD_RUN] = "run",           [LOG_RECORD_APPEND] = "append",
        [LOG_RECORD_MOVED] = "moved",     [LOG_RECORD_TRUNCATE] = "truncate", [LOG_RECORD_HARD_STATE] = "hard_state",
        [LOG_RECORD_RESET] = "reset",     [LOG_RECORD_COMPACT] = "compact",   [LOG_RECORD_REMOVED] = "group_removed",
        [LOG_RECORD_TRAILER] = "trailer", [LOG_RECORD_PADDING] = "padding",
    };
    if (kind >= sizeof(names) / sizeof(names[0]) || names[kind] == NULL) {
        return "unknown";
    }
    return names[kind];
}
