#include "snapshot/snapshot_manifest.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"

#define MANIFEST_MAGIC       "HFSM"
#define MANIFEST_DIGEST_XXH3 1u

static const char *const manifest_compressions[] = {NULL, "none", "gzip", "lz4", "zstd"};
#define MANIFEST_COMPRESSION_COUNT (sizeof(manifest_compressions) / sizeof(manifest_compressions[0]))

/* ---- ids and names ---- */

void hf_snapshot_id_format(struct hf_snapshot_id id, char target[HF_SNAPSHOT_ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof(id.bytes); i++) {
        target[2 * i] = digits[id.bytes[i] >> 4];
        target[2 * i + 1] = digits[id.bytes[i] & 15];
    }
    target[2 * sizeof(id.bytes)] = '\0';
}

static int manifest_digit(uint8_t character)
{
    if (character >= '0' && character <= '9') {
        return character - '0';
    }
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

int hf_snapshot_id_parse(struct hf_bytes text, struct hf_snapshot_id *out)
{
    const uint8_t *characters = text.data;
    bool good = text.size == 2 * sizeof(out->bytes);
    for (size_t i = 0; good && i < sizeof(out->bytes); i++) {
        int high = manifest_digit(characters[2 * i]);
        int low = manifest_digit(characters[2 * i + 1]);
        good = high >= 0 && low >= 0;
        out->bytes[i] = good ? (uint8_t)(high << 4 | low) : 0;
    }
    return good ? 0 : error_raise(HF_EINVALID, "a snapshot's id has 32 lower-case hexadecimal digits");
}

bool hf_snapshot_id_equal(struct hf_snapshot_id a, struct hf_snapshot_id b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

const char *hf_snapshot_compression_name(enum hf_snapshot_compression compression)
{
    bool known = compression >= HF_SNAPSHOT_NONE && compression <= HF_SNAPSHOT_ZSTD;
    return known ? manifest_compressions[compression] : "unknown";
}

int hf_snapshot_compression_parse(const char *name, enum hf_snapshot_compression *out)
{
    for (unsigned i = HF_SNAPSHOT_NONE; i < MANIFEST_COMPRESSION_COUNT; i++) {
        if (strcmp(name, manifest_compressions[i]) == 0) {
            *out = (enum hf_snapshot_compression)i;
            return 0;
        }
    }
    return error_raise(HF_EINVALID, "compression is none, gzip, lz4 or zstd, not %.40s", name);
}

/* ---- the manifest ---- */

uint32_t snapshot_manifest_chunk_bytes(const struct hf_snapshot_manifest *manifest, uint32_t number)
{
    assert(number < manifest->chunk_count);
    if (number + 1 < manifest->chunk_count) {
        return manifest->chunk_size_bytes;
    }
    return (uint32_t)(manifest->application_bytes - (uint64_t)number * manifest->chunk_size_bytes);
}

struct snapshot_header snapshot_manifest_header(const struct hf_snapshot_manifest *manifest)
{
    return (struct snapshot_header){.id = manifest->id, .group = manifest->group, .index = manifest->index};
}

size_t hf_snapshot_manifest_encode(const struct hf_snapshot_manifest *manifest, uint8_t *target)
{
    assert(manifest->configuration_size <= HF_SNAPSHOT_CONFIGURATION_SIZE_MAX);
    memcpy(target, MANIFEST_MAGIC, 4);
    bytes_put_u16(target + 8, SNAPSHOT_MANIFEST_VERSION);
    bytes_put_u8(target + 10, (uint8_t)manifest->compression);
    bytes_put_u8(target + 11, MANIFEST_DIGEST_XXH3);
    bytes_put_u32(target + 12, manifest->chunk_size_bytes);
    memcpy(target + 16, manifest->id.bytes, 16);
    bytes_put_u64(target + 32, manifest->group);
    bytes_put_u64(target + 40, manifest->group_incarnation);
    bytes_put_u64(target + 48, manifest->index);
    bytes_put_u64(target + 56, manifest->term);
    bytes_put_u64(target + 64, manifest->configuration_index);
    bytes_put_u64(target + 72, manifest->created_ms);
    bytes_put_u64(target + 80, manifest->entries);
    bytes_put_u64(target + 88, manifest->application_bytes);
    bytes_put_u64(target + 96, manifest->stored_bytes);
    bytes_put_u32(target + 104, manifest->chunk_count);
    bytes_put_u32(target + 108, manifest->configuration_size);
    memcpy(target + 112, manifest->digest, 16);
    memcpy(target + SNAPSHOT_MANIFEST_HEAD_SIZE, manifest->configuration, manifest->configuration_size);
    size_t size = SNAPSHOT_MANIFEST_HEAD_SIZE + (size_t)manifest->configuration_size;
    bytes_put_u32(target + 4, checksum_crc32c(0, target + 8, size - 8));
    return size;
}

/* What is wrong with it, or NULL. */
static const char *manifest_fault(const struct hf_snapshot_manifest *manifest)
{
    if (manifest->group < 1 || manifest->group > HF_SNAPSHOT_GROUP_MAX || manifest->index < 1) {
        return "group or index is none";
    }
    if (manifest->compression < HF_SNAPSHOT_NONE || manifest->compression > HF_SNAPSHOT_ZSTD) {
        return "the compression is unknown";
    }
    if (manifest->chunk_size_bytes < SNAPSHOT_FORMAT_CHUNK_SIZE_MIN ||
        manifest->chunk_size_bytes > HF_SNAPSHOT_CHUNK_SIZE_MAX) {
        return "the chunk size is outside its limits";
    }
    if (manifest->configuration_size > HF_SNAPSHOT_CONFIGURATION_SIZE_MAX) {
        return "the configuration is too big";
    }
    uint64_t bytes_max = (uint64_t)HF_SNAPSHOT_CHUNK_COUNT_MAX * manifest->chunk_size_bytes;
    uint64_t chunks = manifest->application_bytes / manifest->chunk_size_bytes +
                      (manifest->application_bytes % manifest->chunk_size_bytes != 0);
    if (manifest->application_bytes > bytes_max || chunks != manifest->chunk_count) {
        return "the number of chunks does not fit the size";
    }
    uint64_t overhead = chunks * SNAPSHOT_FORMAT_SECTION_SIZE;
    if (manifest->stored_bytes < overhead || manifest->stored_bytes > overhead + manifest->application_bytes) {
        return "the stored size does not fit the size";
    }
    return NULL;
}

int snapshot_manifest_check(const struct hf_snapshot_manifest *manifest)
{
    const char *fault = manifest_fault(manifest);
    return fault != NULL ? error_raise(HF_EINVALID, "the snapshot's manifest: %s", fault) : 0;
}

static void manifest_get(const uint8_t *source, struct hf_snapshot_manifest *out)
{
    memset(out, 0, sizeof(*out));
    out->compression = (enum hf_snapshot_compression)bytes_get_u8(source + 10);
    out->chunk_size_bytes = bytes_get_u32(source + 12);
    memcpy(out->id.bytes, source + 16, 16);
    out->group = bytes_get_u64(source + 32);
    out->group_incarnation = bytes_get_u64(source + 40);
    out->index = bytes_get_u64(source + 48);
    out->term = bytes_get_u64(source + 56);
    out->configuration_index = bytes_get_u64(source + 64);
    out->created_ms = bytes_get_u64(source + 72);
    out->entries = bytes_get_u64(source + 80);
    out->application_bytes = bytes_get_u64(source + 88);
    out->stored_bytes = bytes_get_u64(source + 96);
    out->chunk_count = bytes_get_u32(source + 104);
    out->configuration_size = bytes_get_u32(source + 108);
    memcpy(out->digest, source + 112, 16);
}

int hf_snapshot_manifest_decode(struct hf_bytes bytes, struct hf_snapshot_manifest *out)
{
    const uint8_t *source = bytes.data;
    if (bytes.size < SNAPSHOT_MANIFEST_HEAD_SIZE || bytes.size > HF_SNAPSHOT_MANIFEST_SIZE_MAX ||
        memcmp(source, MANIFEST_MAGIC, 4) != 0) {
        return error_raise(HF_ECORRUPT, "%zu bytes are no manifest of a snapshot", bytes.size);
    }
    if (bytes_get_u32(source + 4) != checksum_crc32c(0, source + 8, bytes.size - 8)) {
        return error_raise(HF_ECORRUPT, "the checksum of the snapshot's manifest is wrong");
    }
    uint16_t version = bytes_get_u16(source + 8);
    if (version != SNAPSHOT_MANIFEST_VERSION || bytes_get_u8(source + 11) != MANIFEST_DIGEST_XXH3) {
        return error_raise(HF_EVERSION,
                           "the snapshot's manifest has version %u, digest %u; this program reads up to %u", version,
                           bytes_get_u8(source + 11), SNAPSHOT_MANIFEST_VERSION);
    }
    manifest_get(source, out);
    const char *fault = manifest_fault(out);
    if (fault == NULL && bytes.size != SNAPSHOT_MANIFEST_HEAD_SIZE + (size_t)out->configuration_size) {
        fault = "its length does not fit the configuration";
    }
    if (fault != NULL) {
        return error_raise(HF_ECORRUPT, "the snapshot's manifest: %s", fault);
    }
    memcpy(out->configuration, source + SNAPSHOT_MANIFEST_HEAD_SIZE, out->configuration_size);
    return 0;
}
