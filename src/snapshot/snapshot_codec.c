#include "snapshot/snapshot_codec.h"

#include <inttypes.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/buffer.h"
#include "base/error.h"

#define CODEC_GZIP_WINDOW_BITS (15 + 16) /* + 16: with the frame of gzip */
#define CODEC_GZIP_MEMORY      8

struct snapshot_codec {
    enum hf_snapshot_compression compression;
    int level;
    /* Each NULL or unset until it is first needed. */
    ZSTD_CCtx *zstd_pack;
    ZSTD_DCtx *zstd_unpack;
    LZ4F_cctx *lz4_pack;
    LZ4F_dctx *lz4_unpack;
    z_stream gzip_pack;
    z_stream gzip_unpack;
    bool gzip_pack_open;
    bool gzip_unpack_open;
};

/* lz4 counts its accelerations as negative levels: -2 writes text a quarter faster than 1 and 3 % larger. */
static const struct {
    int level_default;
    uint32_t level_max;
} codec_levels[] = {
    [HF_SNAPSHOT_NONE] = {0, 0},
    [HF_SNAPSHOT_GZIP] = {6, 9},
    [HF_SNAPSHOT_LZ4] = {-2, 12},
    [HF_SNAPSHOT_ZSTD] = {3, 19},
};

int snapshot_codec_check(enum hf_snapshot_compression compression, uint32_t level)
{
    if (compression < HF_SNAPSHOT_NONE || compression > HF_SNAPSHOT_ZSTD) {
        return error_raise(HF_EINVALID, "compression %d is unknown", (int)compression);
    }
    if (level > codec_levels[compression].level_max) {
        return error_raise(HF_EINVALID, "%s has levels up to %" PRIu32 ", not %" PRIu32,
                           hf_snapshot_compression_name(compression), codec_levels[compression].level_max, level);
    }
    return 0;
}

struct snapshot_codec *snapshot_codec_open(enum hf_snapshot_compression compression, uint32_t level)
{
    struct snapshot_codec *codec = memory_new(sizeof(*codec));
    codec->compression = compression;
    codec->level = level != 0 ? (int)level : codec_levels[compression].level_default;
    return codec;
}

void snapshot_codec_close(struct snapshot_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    ZSTD_freeCCtx(codec->zstd_pack);
    ZSTD_freeDCtx(codec->zstd_unpack);
    LZ4F_freeCompressionContext(codec->lz4_pack);
    LZ4F_freeDecompressionContext(codec->lz4_unpack);
    if (codec->gzip_pack_open) {
        deflateEnd(&codec->gzip_pack);
    }
    if (codec->gzip_unpack_open) {
        inflateEnd(&codec->gzip_unpack);
    }
    free(codec);
}

static int codec_no_memory(const char *name)
{
    return error_raise(HF_ENOMEM, "no memory for the state of %s", name);
}

/* ---- packing: each returns 0 and *packed_size = 0 when it does not fit in fewer than `size` bytes ---- */

static int codec_pack_zstd(struct snapshot_codec *codec, const void *data, uint32_t size, void *target,
                           uint32_t *packed_size)
{
    if (codec->zstd_pack == NULL) {
        codec->zstd_pack = ZSTD_createCCtx();
        if (codec->zstd_pack == NULL) {
            return codec_no_memory("zstd");
        }
    }
    size_t got = ZSTD_compressCCtx(codec->zstd_pack, target, size, data, size, codec->level);
    if (ZSTD_isError(got)) {
        /* Too small a target says nothing more than that the chunk does not shrink. */
        *packed_size = 0;
        return ZSTD_getErrorCode(got) == ZSTD_error_dstSize_tooSmall
                   ? 0
                   : error_raise(HF_EIO, "zstd: %s", ZSTD_getErrorName(got));
    }
    *packed_size = (uint32_t)got;
    return 0;
}

static LZ4F_blockSizeID_t codec_lz4_block_size(uint32_t size)
{
    return size <= 64u << 10    ? LZ4F_max64KB
           : size <= 256u << 10 ? LZ4F_max256KB
           : size <= 1u << 20   ? LZ4F_max1MB
                                : LZ4F_max4MB;
}

static int codec_pack_lz4(struct snapshot_codec *codec, const void *data, uint32_t size, void *target,
                          uint32_t *packed_size)
{
    if (codec->lz4_pack == NULL && LZ4F_isError(LZ4F_createCompressionContext(&codec->lz4_pack, LZ4F_VERSION))) {
        codec->lz4_pack = NULL;
        return codec_no_memory("lz4");
    }
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = codec_lz4_block_size(size), .blockMode = LZ4F_blockIndependent},
        .compressionLevel = codec->level,
        .autoFlush = 1, /* the whole chunk is there: nothing is gathered inside */
    };
    uint8_t *at = target;
    size_t room = (size_t)size + SNAPSHOT_CODEC_EXTRA_SIZE;
    size_t total = 0;
    size_t got = LZ4F_compressBegin(codec->lz4_pack, at, room, &preferences);
    if (!LZ4F_isError(got)) {
        total += got;
        got = LZ4F_compressUpdate(codec->lz4_pack, at + total, room - total, data, size, NULL);
    }
    if (!LZ4F_isError(got)) {
        total += got;
        got = LZ4F_compressEnd(codec->lz4_pack, at + total, room - total, NULL);
    }
    if (LZ4F_isError(got)) {
        return error_raise(HF_EIO, "lz4: %s", LZ4F_getErrorName(got));
    }
    total += got;
    *packed_size = total < size ? (uint32_t)total : 0;
    return 0;
}

static int codec_pack_gzip(struct snapshot_codec *codec, const void *data, uint32_t size, void *target,
                           uint32_t *packed_size)
{
    z_stream *stream = &codec->gzip_pack;
    if (!codec->gzip_pack_open) {
        if (deflateInit2(stream, codec->level, Z_DEFLATED, CODEC_GZIP_WINDOW_BITS, CODEC_GZIP_MEMORY,
                         Z_DEFAULT_STRATEGY) != Z_OK) {
            return codec_no_memory("gzip");
        }
        codec->gzip_pack_open = true;
    } else if (deflateReset(stream) != Z_OK) {
        return error_raise(HF_EIO, "gzip: its state cannot be reset");
    }
    stream->next_in = (Bytef *)(uintptr_t)data; /* zlib only reads */
    stream->avail_in = size;
    stream->next_out = target;
    stream->avail_out = size;
    int status = deflate(stream, Z_FINISH);
    if (status != Z_STREAM_END && status != Z_OK && status != Z_BUF_ERROR) {
        return error_raise(HF_EIO, "gzip: error %d", status);
    }
    *packed_size = status == Z_STREAM_END ? (uint32_t)stream->total_out : 0;
    return 0;
}

int snapshot_codec_pack(struct snapshot_codec *codec, const void *data, uint32_t size, void *target,
                        uint32_t *packed_size, enum hf_snapshot_compression *compression)
{
    int rc = 0;
    *packed_size = 0;
    switch (codec->compression) {
    case HF_SNAPSHOT_ZSTD:
        rc = codec_pack_zstd(codec, data, size, target, packed_size);
        break;
    case HF_SNAPSHOT_LZ4:
        rc = codec_pack_lz4(codec, data, size, target, packed_size);
        break;
    case HF_SNAPSHOT_GZIP:
        rc = codec_pack_gzip(codec, data, size, target, packed_size);
        break;
    case HF_SNAPSHOT_NONE:
        break;
    }
    *compression = codec->compression;
    if (rc == 0 && (*packed_size == 0 || *packed_size >= size)) {
        memcpy(target, data, size);
        *packed_size = size;
        *compression = HF_SNAPSHOT_NONE;
    }
    return rc;
}

/* ---- unpacking ---- */

static int codec_wrong(const char *name, const char *reason)
{
    return error_raise(HF_ECORRUPT, "%s: %s", name, reason);
}

static int codec_unpack_zstd(struct snapshot_codec *codec, struct hf_bytes payload, void *target, uint32_t size)
{
    if (codec->zstd_unpack == NULL) {
        codec->zstd_unpack = ZSTD_createDCtx();
        if (codec->zstd_unpack == NULL) {
            return codec_no_memory("zstd");
        }
    }
    size_t got = ZSTD_decompressDCtx(codec->zstd_unpack, target, size, payload.data, payload.size);
    if (ZSTD_isError(got)) {
        return codec_wrong("zstd", ZSTD_getErrorName(got));
    }
    return got == size ? 0 : codec_wrong("zstd", "another size than stated");
}

static int codec_unpack_lz4(struct snapshot_codec *codec, struct hf_bytes payload, void *target, uint32_t size)
{
    if (codec->lz4_unpack == NULL && LZ4F_isError(LZ4F_createDecompressionContext(&codec->lz4_unpack, LZ4F_VERSION))) {
        codec->lz4_unpack = NULL;
        return codec_no_memory("lz4");
    }
    LZ4F_resetDecompressionContext(codec->lz4_unpack);
    LZ4F_decompressOptions_t options = {.stableDst = 1};
    size_t taken = 0;
    size_t made = 0;
    size_t hint = 1;
    while (hint != 0 && taken < payload.size) {
        size_t source_size = payload.size - taken;
        size_t target_size = size - made;
        hint = LZ4F_decompress(codec->lz4_unpack, (uint8_t *)target + made, &target_size,
                               (const uint8_t *)payload.data + taken, &source_size, &options);
        if (LZ4F_isError(hint)) {
            return codec_wrong("lz4", LZ4F_getErrorName(hint));
        }
        if (source_size == 0 && target_size == 0) {
            break; /* it wants more room than there is */
        }
        taken += source_size;
        made += target_size;
    }
    return hint == 0 && taken == payload.size && made == size ? 0 : codec_wrong("lz4", "another size than stated");
}

static int codec_unpack_gzip(struct snapshot_codec *codec, struct hf_bytes payload, void *target, uint32_t size)
{
    z_stream *stream = &codec->gzip_unpack;
    if (!codec->gzip_unpack_open) {
        if (inflateInit2(stream, CODEC_GZIP_WINDOW_BITS) != Z_OK) {
            return codec_no_memory("gzip");
        }
        codec->gzip_unpack_open = true;
    } else if (inflateReset(stream) != Z_OK) {
        return error_raise(HF_EIO, "gzip: its state cannot be reset");
    }
    stream->next_in = (Bytef *)(uintptr_t)payload.data;
    stream->avail_in = (uInt)payload.size;
    stream->next_out = target;
    stream->avail_out = size;
    int status = inflate(stream, Z_FINISH);
    if (status != Z_STREAM_END) {
        return codec_wrong("gzip", stream->msg != NULL ? stream->msg : "another size than stated");
    }
    return stream->total_out == size && stream->avail_in == 0 ? 0 : codec_wrong("gzip", "another size than stated");
}

int snapshot_codec_unpack(struct snapshot_codec *codec, enum hf_snapshot_compression compression,
                          struct hf_bytes payload, void *target, uint32_t size)
{
    switch (compression) {
    case HF_SNAPSHOT_ZSTD:
        return codec_unpack_zstd(codec, payload, target, size);
    case HF_SNAPSHOT_LZ4:
        return codec_unpack_lz4(codec, payload, target, size);
    case HF_SNAPSHOT_GZIP:
        return codec_unpack_gzip(codec, payload, target, size);
    case HF_SNAPSHOT_NONE:
        if (payload.size != size) {
            return codec_wrong("plain", "another size than stated");
        }
        memcpy(target, payload.data, size);
        return 0;
    }
    return error_raise(HF_ECORRUPT, "compression %d is unknown", (int)compression);
}
