#include "server/value.h"

#include "base/bytes.h"
#include "base/error.h"

void value_encode_header(const struct value *value, uint8_t header[VALUE_HEADER_SIZE])
{
    bytes_put_u8(header, VALUE_ENVELOPE_VERSION);
    bytes_put_u8(header + 1, (uint8_t)value->type);
    bytes_put_u16(header + 2, 0);
    bytes_put_u32(header + 4, value->version.ordinal);
    bytes_put_u64(header + 8, value->version.index);
    bytes_put_u64(header + 16, value->deadline_ms);
}

int value_decode(struct hf_bytes bytes, struct value *value)
{
    const uint8_t *header = bytes.data;
    if (bytes.size < VALUE_HEADER_SIZE) {
        return error_raise(HF_ECORRUPT, "a stored value of %zu bytes has no envelope", bytes.size);
    }
    if (bytes_get_u8(header) != VALUE_ENVELOPE_VERSION || bytes_get_u8(header + 1) != VALUE_STRING) {
        return error_raise(HF_EVERSION, "a stored value has envelope version %u and type %u",
                           (unsigned)bytes_get_u8(header), (unsigned)bytes_get_u8(header + 1));
    }
    if (bytes_get_u16(header + 2) != 0) {
        return error_raise(HF_ECORRUPT, "the envelope of a stored value is not zero where it must be");
    }
    value->type = (enum value_type)bytes_get_u8(header + 1);
    value->version = (struct machine_version){bytes_get_u64(header + 8), bytes_get_u32(header + 4)};
    value->deadline_ms = bytes_get_u64(header + 16);
    value->payload = bytes_of(header + VALUE_HEADER_SIZE, bytes.size - VALUE_HEADER_SIZE);
    return 0;
}

const char *value_type_name(enum value_type type)
{
    return type == VALUE_STRING ? "string" : "none";
}
