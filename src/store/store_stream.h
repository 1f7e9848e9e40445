/* The stream of a store's contents: what hf_store_export_read gives and hf_store_import_write takes. It is carried
 * inside of something that guards its bytes (a snapshot's chunks have checksums); here order, counts and the digest of
 * the contents are checked. Version 1, integers little-endian.
 *
 *   head, 16 bytes        0  8  magic "HFSTREAM"    8  4  version = 1    12  4  number of trees that follow
 *   per tree that is not empty, in ascending order of numbers
 *     tree, 16 bytes      0  1  kind = 1    1  3  zero    4  4  number of the tree    8  8  entries, ≥ 1
 *     per entry, in strictly ascending order of keys
 *       entry, 7 bytes    0  1  kind = 2    1  2  size of the key    3  4  size of the value    7  …  key, value
 *   end, 48 bytes         0  1  kind = 3    1  7  zero    8  8  entries of all trees
 *                         16 16 digest of the contents, low and high (hf_store_digest)
 *                         32 8  applied index    40  8  applied term
 *
 * Valid: what is drawn, in this order and no more; every count and the digest are right. Anything else is HF_ECORRUPT;
 * a version that is not known HF_EVERSION. */
#ifndef STORE_STORE_STREAM_H
#define STORE_STORE_STREAM_H

#define STORE_STREAM_MAGIC      "HFSTREAM"
#define STORE_STREAM_VERSION    1u
#define STORE_STREAM_HEAD_SIZE  16u
#define STORE_STREAM_TREE_SIZE  16u
#define STORE_STREAM_ENTRY_SIZE 7u /* without key and value */
#define STORE_STREAM_END_SIZE   48u

/* Numbers are stored on disk: never reuse one. */
enum store_stream_kind { STORE_STREAM_TREE = 1, STORE_STREAM_ENTRY = 2, STORE_STREAM_END = 3 };

#endif
