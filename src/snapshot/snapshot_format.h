/* The on-disk format of a snapshot, version 1, which is also the stream of import and export. All integers are
 * little-endian. Everything that is written is drawn here, but for the manifest (snapshot_manifest.h).
 *
 * A directory holds `LOCK` and one file per snapshot:
 *     GGGGGGGGGGGGGGGG-IIIIIIIIIIIIIIII-<id>.SUFFIX      group and index in 16, id in 32 lower-case hexadecimal digits
 * whose suffix is
 *     snap       whole, durable and usable
 *     received   the same, but nobody's state yet
 *     part       being received; kept over restarts
 *     tmp        being written; worth nothing after a restart
 * Other names are not ours.
 *
 *   file   ┌────────┬────────────┬───────┬───────┬───┬───────┬──────────┬──────┐
 *          │ header │ [manifest] │ chunk │ chunk │ … │ table │ manifest │ tail │
 *          │ 64     │ received   │ in any order      │       │          │ 64   │
 *          └────────┴────────────┴───────┴───────┴───┴───────┴──────────┴──────┘
 * Between header and tail everything is a section. A part file has no table, second manifest or tail yet; what follows
 * its last good section is to be received again. An exported stream has its chunks in order.
 *
 * ---- Header ----
 *    0  u64  magic "HFSNAPSH"
 *    8  u32  CRC-32C of bytes 12 … 63 (place fixed for every version)
 *   12  u32  version
 *   16  16   id
 *   32  u64  group
 *   40  u64  index
 *   48       zeros
 *
 * ---- Section: header of 24 bytes, payload. A chunk in this form is also what goes to other nodes ----
 *    0  u32  magic "HFSC"
 *    4  u32  CRC-32C of byte 8 to the end of the payload, started from the CRC-32C of the id
 *    8  u8   kind
 *    9  u8   compression of the payload (enum hf_snapshot_compression); a chunk that would not shrink is stored plain
 *   10  u16  zero
 *   12  u32  number: of the chunk, from 0; else 0
 *   16  u32  size of the payload
 *   20  u32  size of the payload when decompressed
 * Valid when magic and CRC are right and kind and number are those that are expected there: right bytes of another
 * snapshot or in another's place are wrong.
 *
 *   kind          payload
 *    1 chunk      application bytes: chunk n holds those from n × chunk size of the manifest on
 *    2 table      per chunk, by number: u64 offset of its section in the file, u32 size of its payload
 *    3 manifest   snapshot_manifest.h
 * gzip: RFC 1952, one member. lz4: one frame, content size in it or not. zstd: one frame, RFC 8878.
 *
 * ---- Tail, the last 64 bytes of the file ----
 *    0  u64  magic "HFSNAPND"
 *    8  u32  CRC-32C of bytes 12 … 63
 *   12  u32  version
 *   16  16   id
 *   32  u64  offset of the table
 *   40  u64  offset of the manifest behind it
 *   48  u64  size of the file
 *   56       zeros
 *
 * A file is good when header, tail, table and manifest are valid and agree with each other and with its name, each
 * chunk is valid, and the digest in the manifest is that of the application bytes. */
#ifndef SNAPSHOT_SNAPSHOT_FORMAT_H
#define SNAPSHOT_SNAPSHOT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/snapshot.h"

#define SNAPSHOT_FORMAT_VERSION        1u
#define SNAPSHOT_FORMAT_HEADER_SIZE    64u
#define SNAPSHOT_FORMAT_SECTION_SIZE   24u /* header of a section */
#define SNAPSHOT_FORMAT_TABLE_ROW_SIZE 12u
#define SNAPSHOT_FORMAT_TAIL_SIZE      64u
#define SNAPSHOT_FORMAT_NAME_SIZE      80u   /* with suffix and zero */
#define SNAPSHOT_FORMAT_CHUNK_SIZE_MIN 4096u /* the public minimum is higher: small chunks make sense in tests only */

/* Stored on disk: never reuse a number. */
enum snapshot_section_kind { SNAPSHOT_SECTION_CHUNK = 1, SNAPSHOT_SECTION_TABLE = 2, SNAPSHOT_SECTION_MANIFEST = 3 };

struct snapshot_header {
    struct hf_snapshot_id id;
    uint64_t group;
    uint64_t index;
};
struct snapshot_section {
    enum snapshot_section_kind kind;
    enum hf_snapshot_compression compression;
    uint32_t number;
    uint32_t payload_size;
    uint32_t application_size;
};
struct snapshot_tail {
    struct hf_snapshot_id id;
    uint64_t table_offset;
    uint64_t manifest_offset;
    uint64_t file_size;
};

/* target and source: SNAPSHOT_FORMAT_HEADER_SIZE bytes. HF_ECORRUPT; HF_EVERSION when it is whole but newer. */
void snapshot_format_put_header(uint8_t *target, const struct snapshot_header *header);
int snapshot_format_get_header(const uint8_t *source, struct snapshot_header *out);
/* target and source: SNAPSHOT_FORMAT_TAIL_SIZE bytes. */
void snapshot_format_put_tail(uint8_t *target, const struct snapshot_tail *tail);
int snapshot_format_get_tail(const uint8_t *source, struct snapshot_tail *out);

/* Writes the header in front of a payload that is there already: target + SNAPSHOT_FORMAT_SECTION_SIZE. */
void snapshot_format_seal_section(uint8_t *target, const struct snapshot_section *section,
                                  const struct hf_snapshot_id *id);
/* The header alone, its sizes bounded by the kind but nothing verified: enough to know how much to read. HF_ECORRUPT.
 */
int snapshot_format_get_section(const uint8_t *source, struct snapshot_section *out);
/* A whole section, which must be of this kind and number, and of exactly these bytes. HF_ECORRUPT. */
int snapshot_format_check_section(struct hf_bytes bytes, const struct hf_snapshot_id *id,
                                  enum snapshot_section_kind kind, uint32_t number, struct snapshot_section *out);

enum snapshot_suffix {
    SNAPSHOT_SUFFIX_LOCAL,
    SNAPSHOT_SUFFIX_RECEIVED,
    SNAPSHOT_SUFFIX_PART,
    SNAPSHOT_SUFFIX_TEMPORARY,
    SNAPSHOT_SUFFIX_COUNT
};
void snapshot_format_name(char target[SNAPSHOT_FORMAT_NAME_SIZE], const struct snapshot_header *header,
                          enum snapshot_suffix suffix);
/* False when the name is not ours. */
bool snapshot_format_parse_name(const char *name, struct snapshot_header *out, enum snapshot_suffix *suffix);

#endif
