/* A whole text that a person named: a file, or "-" for standard input. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "base/buffer.h"
#include "io/io.h"

/* Appends everything to *out. HF_ETOOBIG above size_max; other errors name the path. */
int input_read(struct io *io, const char *path, uint64_t size_max, struct buffer *out);

#endif
