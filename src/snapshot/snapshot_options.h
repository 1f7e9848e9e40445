/* Options and their limits. Private to the room. */
#ifndef SNAPSHOT_SNAPSHOT_OPTIONS_H
#define SNAPSHOT_SNAPSHOT_OPTIONS_H

#include "holdfast/snapshot.h"

/* Both fill in what is 0. chunk_size_min: SNAPSHOT_FORMAT_CHUNK_SIZE_MIN or HF_SNAPSHOT_CHUNK_SIZE_MIN. HF_EINVALID. */
int snapshot_options_set(struct hf_snapshot_options *options, const struct hf_snapshot_options *given,
                         uint32_t chunk_size_min);
/* Where given leaves a field 0, what stands in format stays, except that another compression has its own level. */
int snapshot_options_set_format(struct hf_snapshot_format *format, const struct hf_snapshot_format *given,
                                uint32_t chunk_size_min);

#endif
