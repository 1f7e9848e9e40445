/* The index file of one segment: reading it, and what an open log keeps of it. The format is in log_index_format.h.
 * An index file is immutable once it has its name; a new one replaces it whole. Thread: blocking; any, but for what
 * struct log_index_file says. */
#ifndef LOG_LOG_INDEX_FILE_H
#define LOG_LOG_INDEX_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "log/log_index_format.h"

struct log_index_file {
    struct io *io;
    const char *directory; /* lent */
    struct log_index_summary summary;
    uint64_t *sums; /* per page */
    bool bad;       /* a page was found damaged: it is made again */
};

/* Reads header and tables of a segment's file, checks them, and every item. The tables are the caller's to free.
 * HF_ENOTFOUND, HF_ECORRUPT, HF_EVERSION, HF_EMISMATCH (of another life of the segment, or another log), HF_EIO. */
int log_index_file_load(struct io *io, const char *directory, const struct log_segment_header *segment,
                        struct log_index_file **out, uint8_t **tables);
/* The same for what was written just now. */
struct log_index_file *log_index_file_of(struct io *io, const char *directory, const struct log_index_summary *summary,
                                         const uint8_t *tables);
void log_index_file_close(struct log_index_file *index); /* accepts NULL */
int log_index_file_open_reader(const struct log_index_file *index, struct file **out);
/* Reads slots first … first + count − 1. HF_ECORRUPT, HF_EIO. */
int log_index_file_read_slots(const struct log_index_file *index, const struct file *reader, uint64_t first,
                              uint64_t count, struct log_slot *out);
/* The sum of the sizes in some slots; reads the pages at both ends. Blocking, rare. */
int log_index_file_sum(const struct log_index_file *index, uint64_t first, uint64_t count, uint64_t *out);

enum log_index_file_name { LOG_INDEX_FILE_FINAL, LOG_INDEX_FILE_TEMPORARY };
char *log_index_file_path(const char *directory, uint64_t number, enum log_index_file_name name);
/* Removes the file of a segment that is given up; not durable, and no harm if it comes back. */
void log_index_file_unlink(struct io *io, const char *directory, uint64_t number);
/* Removes what an earlier process left: unfinished files, and those of no segment that is kept. */
struct log_index_file_keeper {
    bool (*keeps)(void *arg, uint64_t number);
    void *arg;
};
void log_index_file_clean(struct io *io, const char *directory, const struct log_index_file_keeper *keeper);

#endif
