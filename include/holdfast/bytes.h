/* Bytes that are lent: the pointer is valid for as long as the function that hands it out says. */
#ifndef HOLDFAST_BYTES_H
#define HOLDFAST_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct hf_bytes {
    const void *data;
    size_t size;
};

#endif
