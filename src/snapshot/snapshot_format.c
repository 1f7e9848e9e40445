#include "snapshot/snapshot_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/mutation.h"

#define FORMAT_SECTION_MAGIC "HFSC"

static const char format_header_magic[8] = {'H', 'F', 'S', 'N', 'A', 'P', 'S', 'H'};
static const char format_tail_magic[8] = {'H', 'F', 'S', 'N', 'A', 'P', 'N', 'D'};
static const char *const format_suffixes[SNAPSHOT_SUFFIX_COUNT] = {"snap", "received", "part", "tmp"};

/* Header and tail begin alike: magic, CRC, version, id. */
static void format_seal_block(uint8_t *target, const char *magic, const struct hf_snapshot_id *id)
{
    memcpy(target, magic, 8);
    bytes_put_u32(target + 12, SNAPSHOT_FORMAT_VERSION);
    memcpy(target + 16, id->bytes, sizeof(id->bytes));
    bytes_put_u32(target + 8, checksum_crc32c(0, target + 12, SNAPSHOT_FORMAT_HEADER_SIZE - 12));
}

static int format_check_block(const uint8_t *source, const char *magic, const char *what, struct hf_snapshot_id *id)
{
    if (memcmp(source, magic, 8) != 0) {
        return error_raise(HF_ECORRUPT, "the %s of the snapshot is not one", what);
    }
    if (bytes_get_u32(source + 8) != checksum_crc32c(0, source + 12, SNAPSHOT_FORMAT_HEADER_SIZE - 12)) {
        return error_raise(HF_ECORRUPT, "the checksum of the snapshot's %s is wrong", what);
    }
    uint32_t version = bytes_get_u32(source + 12);
    if (version != SNAPSHOT_FORMAT_VERSION) {
        return error_raise(HF_EVERSION, "the snapshot has format version %" PRIu32 "; this program reads up to %u",
                           version, SNAPSHOT_FORMAT_VERSION);
    }
    memcpy(id->bytes, source + 16, sizeof(id->bytes));
    return 0;
}

void snapshot_format_put_header(uint8_t *target, const struct snapshot_header *header)
{
    memset(target, 0, SNAPSHOT_FORMAT_HEADER_SIZE);
    bytes_put_u64(target + 32, header->group);
    bytes_put_u64(target + 40, header->index);
    format_seal_block(target, format_header_magic, &header->id);
}

int snapshot_format_get_header(const uint8_t *source, struct snapshot_header *out)
{
    int rc = format_check_block(source, format_header_magic, "header", &out->id);
    if (rc == 0) {
        out->group = bytes_get_u64(source + 32);
        out->index = bytes_get_u64(source + 40);
    }
    return rc;
}

void snapshot_format_put_tail(uint8_t *target, const struct snapshot_tail *tail)
{
    memset(target, 0, SNAPSHOT_FORMAT_TAIL_SIZE);
    bytes_put_u64(target + 32, tail->table_offset);
    bytes_put_u64(target + 40, tail->manifest_offset);
    bytes_put_u64(target + 48, tail->file_size);
    format_seal_block(target, format_tail_magic, &tail->id);
}

int snapshot_format_get_tail(const uint8_t *source, struct snapshot_tail *out)
{
    int rc = format_check_block(source, format_tail_magic, "tail", &out->id);
    if (rc == 0) {
        out->table_offset = bytes_get_u64(source + 32);
        out->manifest_offset = bytes_get_u64(source + 40);
        out->file_size = bytes_get_u64(source + 48);
    }
    return rc;
}

/* ---- sections ---- */

static uint32_t format_section_crc(const uint8_t *section, size_t payload_size, const struct hf_snapshot_id *id)
{
    uint32_t seed = MUTATED(SNAPSHOT_CHUNK_NOT_BOUND) ? 0 : checksum_crc32c(0, id->bytes, sizeof(id->bytes));
    return checksum_crc32c(seed, section + 8, SNAPSHOT_FORMAT_SECTION_SIZE - 8 + payload_size);
}

void snapshot_format_seal_section(uint8_t *target, const struct snapshot_section *section,
                                  const struct hf_snapshot_id *id)
{
    memcpy(target, FORMAT_SECTION_MAGIC, 4);
    bytes_put_u8(target + 8, (uint8_t)section->kind);
    bytes_put_u8(target + 9, (uint8_t)section->compression);
    bytes_put_u16(target + 10, 0);
    bytes_put_u32(target + 12, section->number);
    bytes_put_u32(target + 16, section->payload_size);
    bytes_put_u32(target + 20, section->application_size);
    bytes_put_u32(target + 4, format_section_crc(target, section->payload_size, id));
}

static uint32_t format_payload_size_max(enum snapshot_section_kind kind)
{
    switch (kind) {
    case SNAPSHOT_SECTION_CHUNK:
        return HF_SNAPSHOT_CHUNK_SIZE_MAX;
    case SNAPSHOT_SECTION_TABLE:
        return HF_SNAPSHOT_CHUNK_COUNT_MAX * SNAPSHOT_FORMAT_TABLE_ROW_SIZE;
    case SNAPSHOT_SECTION_MANIFEST:
        return HF_SNAPSHOT_MANIFEST_SIZE_MAX;
    }
    return 0;
}

int snapshot_format_get_section(const uint8_t *source, struct snapshot_section *out)
{
    if (memcmp(source, FORMAT_SECTION_MAGIC, 4) != 0) {
        return error_raise(HF_ECORRUPT, "no section of a snapshot begins here");
    }
    out->kind = (enum snapshot_section_kind)bytes_get_u8(source + 8);
    out->compression = (enum hf_snapshot_compression)bytes_get_u8(source + 9);
    out->number = bytes_get_u32(source + 12);
    out->payload_size = bytes_get_u32(source + 16);
    out->application_size = bytes_get_u32(source + 20);
    uint32_t size_max = format_payload_size_max(out->kind);
    if (size_max == 0) {
        return error_raise(HF_ECORRUPT, "a section of the unknown kind %d", (int)out->kind);
    }
    if (out->payload_size > size_max || out->application_size > size_max) {
        return error_raise(HF_ECORRUPT, "a section of %" PRIu32 " bytes, %" PRIu32 " decompressed; at most %" PRIu32,
                           out->payload_size, out->application_size, size_max);
    }
    if (out->compression < HF_SNAPSHOT_NONE || out->compression > HF_SNAPSHOT_ZSTD) {
        return error_raise(HF_ECORRUPT, "a section with the unknown compression %d", (int)out->compression);
    }
    if (out->compression == HF_SNAPSHOT_NONE && out->payload_size != out->application_size) {
        return error_raise(HF_ECORRUPT, "a plain section with two sizes");
    }
    return 0;
}

static const char *format_kind_name(enum snapshot_section_kind kind)
{
    return kind == SNAPSHOT_SECTION_CHUNK ? "chunk" : kind == SNAPSHOT_SECTION_TABLE ? "table" : "manifest";
}

int snapshot_format_check_section(struct hf_bytes bytes, const struct hf_snapshot_id *id,
                                  enum snapshot_section_kind kind, uint32_t number, struct snapshot_section *out)
{
    const uint8_t *source = bytes.data;
    if (bytes.size < SNAPSHOT_FORMAT_SECTION_SIZE) {
        return error_raise(HF_ECORRUPT, "%s %" PRIu32 " is cut off", format_kind_name(kind), number);
    }
    int rc = snapshot_format_get_section(source, out);
    if (rc != 0) {
        return error_wrap(rc, "%s %" PRIu32, format_kind_name(kind), number);
    }
    if (bytes.size != SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)out->payload_size) {
        return error_raise(HF_ECORRUPT, "%s %" PRIu32 " has %zu bytes and says %" PRIu32, format_kind_name(kind),
                           number, bytes.size, SNAPSHOT_FORMAT_SECTION_SIZE + out->payload_size);
    }
    if (bytes_get_u32(source + 4) != format_section_crc(source, out->payload_size, id)) {
        return error_raise(HF_ECORRUPT, "the checksum of %s %" PRIu32 " is wrong", format_kind_name(kind), number);
    }
    if (out->kind != kind || (out->number != number && !MUTATED(SNAPSHOT_CHUNK_NOT_BOUND))) {
        return error_raise(HF_ECORRUPT, "where %s %" PRIu32 " should be is %s %" PRIu32, format_kind_name(kind), number,
                           format_kind_name(out->kind), out->number);
    }
    if (bytes_get_u16(source + 10) != 0) {
        return error_raise(HF_ECORRUPT, "%s %" PRIu32 " has reserved bits set", format_kind_name(kind), number);
    }
    return 0;
}

/* ---- names ---- */

void snapshot_format_name(char target[SNAPSHOT_FORMAT_NAME_SIZE], const struct snapshot_header *header,
                          enum snapshot_suffix suffix)
{
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    hf_snapshot_id_format(header->id, id);
    snprintf(target, SNAPSHOT_FORMAT_NAME_SIZE, "%016" PRIx64 "-%016" PRIx64 "-%s.%s", header->group, header->index, id,
             format_suffixes[suffix]);
}

static bool format_parse_hex(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 16; i++) {
        char digit = text[i];
        if (digit >= '0' && digit <= '9') {
            value = value << 4 | (uint64_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            value = value << 4 | (uint64_t)(digit - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = value;
    return true;
}

bool snapshot_format_parse_name(const char *name, struct snapshot_header *out, enum snapshot_suffix *suffix)
{
    size_t stem = 16 + 1 + 16 + 1 + 32;
    if (strlen(name) <= stem + 1 || name[16] != '-' || name[33] != '-' || name[stem] != '.') {
        return false;
    }
    if (!format_parse_hex(name, &out->group) || !format_parse_hex(name + 17, &out->index) ||
        hf_snapshot_id_parse(bytes_of(name + 34, 32), &out->id) != 0) {
        return false;
    }
    for (unsigned i = 0; i < SNAPSHOT_SUFFIX_COUNT; i++) {
        if (strcmp(name + stem + 1, format_suffixes[i]) == 0) {
            *suffix = (enum snapshot_suffix)i;
            return out->group >= 1 && out->group <= HF_SNAPSHOT_GROUP_MAX && out->index >= 1;
        }
    }
    return false;
}
