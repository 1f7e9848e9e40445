/* The envelope around every stored value of the keyspace.
 *
 *   offset size
 *   0      1    envelope version = 1
 *   1      1    type (enum value_type)
 *   2      2    zero
 *   4      4    version of the key: ordinal of the unit that changed it last …
 *   8      8    … in the entry with this index, ≥ 1
 *   16     8    deadline, UNIX ms; 0: none
 *   24     …    payload: of a string, its bytes
 *
 * All integers little-endian. Valid: envelope version and type are known and the zeros are zero. */
#ifndef SERVER_VALUE_H
#define SERVER_VALUE_H

#include <stdint.h>

#include "holdfast/bytes.h"
#include "server/machine_entry.h"

#define VALUE_ENVELOPE_VERSION 1u
#define VALUE_HEADER_SIZE      24u

enum value_type { VALUE_STRING = 1 };

struct value {
    enum value_type type;
    struct machine_version version;
    uint64_t deadline_ms; /* 0: none */
    struct hf_bytes payload;
};

void value_encode_header(const struct value *value, uint8_t header[VALUE_HEADER_SIZE]);
/* Lends the payload from `bytes`. HF_EVERSION: written by a newer program; HF_ECORRUPT: too short or not zero. */
int value_decode(struct hf_bytes bytes, struct value *value);
const char *value_type_name(enum value_type type); /* "string", as TYPE answers */

#endif
