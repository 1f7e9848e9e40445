#include "log/log_index_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"

#define LOG_INDEX_FILE_PAGES_AT_ONCE 64u

char *log_index_file_path(const char *directory, uint64_t number, enum log_index_file_name name)
{
    return text_format("%s/%016" PRIx64 ".idx%s", directory, number, name == LOG_INDEX_FILE_TEMPORARY ? ".tmp" : "");
}

int log_index_file_open_reader(const struct log_index_file *index, struct file **out)
{
    char *path = log_index_file_path(index->directory, index->summary.number, LOG_INDEX_FILE_FINAL);
    int rc = file_open(index->io, path, FILE_READ, out);
    free(path);
    return rc;
}

/* ---- loading ---- */

/* Reads `size` bytes, all of them. */
static int log_index_file_read(const struct file *file, uint64_t offset, uint8_t *target, size_t size)
{
    size_t got = 0;
    int rc = file_read((struct file *)file, offset, target, size, &got);
    if (rc == 0 && got < size) {
        rc = error_raise(HF_ECORRUPT, "the index file ends at %" PRIu64, offset + got);
    }
    return rc;
}

static int log_index_file_check_identity(const struct log_index_summary *summary,
                                         const struct log_segment_header *segment)
{
    bool same = summary->number == segment->number && summary->log_id == segment->log_id &&
                summary->incarnation == segment->incarnation;
    if (MUTATED(LOG_INDEX_STALE_ACCEPTED)) {
        same = true;
    }
    return same ? 0 : error_raise(HF_EMISMATCH, "the index file tells of another segment, or another life of it");
}

static int log_index_file_check_items(const struct log_index_summary *summary, struct hf_bytes tables)
{
    struct log_index_cursor cursor;
    struct log_index_item item;
    bool right = log_index_format_tables_checksum(summary->incarnation, tables) == summary->tables_checksum;
    if (!right && !MUTATED(LOG_INDEX_TABLES_UNCHECKED)) {
        return error_raise(HF_ECORRUPT, "checksum of the tables of an index file");
    }
    int rc = log_index_format_open_cursor(&cursor, summary, tables);
    while (rc == 0) {
        rc = log_index_format_next(&cursor, &item);
    }
    return rc == HF_ENOTFOUND ? 0 : rc;
}

static int log_index_file_load_from(struct file *file, const struct log_segment_header *segment,
                                    struct log_index_summary *summary, uint8_t **tables)
{
    uint64_t size = 0;
    uint8_t *header = memory_new(LOG_INDEX_HEADER_SIZE);
    int rc = log_index_file_read(file, 0, header, LOG_INDEX_HEADER_SIZE);
    if (rc == 0) {
        rc = log_index_format_get_header(header, summary);
    }
    free(header);
    if (rc == 0) {
        rc = log_index_file_check_identity(summary, segment);
    }
    if (rc == 0) {
        rc = file_size(file, &size);
    }
    if (rc != 0) {
        return rc;
    }
    if (size != log_index_format_page_offset(summary, log_index_format_page_count(summary->slot_count))) {
        return error_raise(HF_ECORRUPT, "the index file has %" PRIu64 " bytes, which is not what its header says",
                           size);
    }
    *tables = memory_resize(NULL, summary->tables_size + 1);
    rc = log_index_file_read(file, LOG_INDEX_HEADER_SIZE, *tables, (size_t)summary->tables_size);
    return rc == 0 ? log_index_file_check_items(summary, bytes_of(*tables, summary->tables_size)) : rc;
}

static uint64_t *log_index_file_sums_of(const struct log_index_summary *summary, const uint8_t *tables)
{
    uint64_t pages = log_index_format_page_count(summary->slot_count);
    uint64_t *sums = memory_new((pages + 1) * sizeof(uint64_t));
    for (uint64_t i = 0; i < pages; i++) {
        sums[i] = bytes_get_u64(tables + i * 8);
    }
    return sums;
}

struct log_index_file *log_index_file_of(struct io *io, const char *directory, const struct log_index_summary *summary,
                                         const uint8_t *tables)
{
    struct log_index_file *index = memory_new(sizeof(*index));
    *index = (struct log_index_file){
        .io = io, .directory = directory, .summary = *summary, .sums = log_index_file_sums_of(summary, tables)};
    return index;
}

int log_index_file_load(struct io *io, const char *directory, const struct log_segment_header *segment,
                        struct log_index_file **out, uint8_t **tables)
{
    struct log_index_summary summary;
    struct file *file = NULL;
    char *path = log_index_file_path(directory, segment->number, LOG_INDEX_FILE_FINAL);
    *out = NULL;
    *tables = NULL;
    int rc = file_open(io, path, FILE_READ, &file);
    if (rc == 0) {
        rc = log_index_file_load_from(file, segment, &summary, tables);
    }
    if (rc == 0) {
        *out = log_index_file_of(io, directory, &summary, *tables);
    } else {
        rc = error_wrap(rc, "%s", path);
        free(*tables);
        *tables = NULL;
    }
    file_close(file);
    free(path);
    return rc;
}

void log_index_file_close(struct log_index_file *index)
{
    if (index == NULL) {
        return;
    }
    free(index->sums);
    free(index);
}

/* ---- slots ---- */

int log_index_file_read_slots(const struct log_index_file *index, const struct file *reader, uint64_t first,
                              uint64_t count, struct log_slot *out)
{
    struct log_slot slots[LOG_INDEX_PAGE_SLOTS];
    uint64_t page_first = first / LOG_INDEX_PAGE_SLOTS;
    uint64_t page_end = (first + count - 1) / LOG_INDEX_PAGE_SLOTS + 1;
    uint64_t pages_max = page_end - page_first;
    pages_max = pages_max < LOG_INDEX_FILE_PAGES_AT_ONCE ? pages_max : LOG_INDEX_FILE_PAGES_AT_ONCE;
    if (first + count > index->summary.slot_count) {
        return error_raise(HF_ECORRUPT, "the index file has no slot %" PRIu64, first + count - 1);
    }
    uint8_t *pages = memory_resize(NULL, (size_t)pages_max * LOG_INDEX_PAGE_SIZE);
    uint64_t done = 0;
    int rc = 0;
    for (uint64_t page = page_first; page < page_end && rc == 0; page++) {
        uint64_t at = (page - page_first) % pages_max;
        uint64_t offset = log_index_format_page_offset(&index->summary, page);
        if (at == 0) {
            uint64_t wanted = page_end - page < pages_max ? page_end - page : pages_max;
            rc = log_index_file_read(reader, offset, pages, (size_t)wanted * LOG_INDEX_PAGE_SIZE);
        }
        uint32_t in_page = 0;
        if (rc == 0) {
            rc = log_index_format_get_page(pages + at * LOG_INDEX_PAGE_SIZE, index->summary.incarnation, offset, slots,
                                           &in_page);
        }
        uint32_t skip = page == page_first ? (uint32_t)(first % LOG_INDEX_PAGE_SLOTS) : 0;
        uint64_t taken = count - done < LOG_INDEX_PAGE_SLOTS - skip ? count - done : LOG_INDEX_PAGE_SLOTS - skip;
        if (rc == 0 && skip + taken > in_page) {
            rc = error_raise(HF_ECORRUPT, "a page of an index file has too few slots");
        }
        if (rc == 0) {
            memcpy(out + done, slots + skip, (size_t)taken * sizeof(struct log_slot));
            done += taken;
        }
    }
    free(pages);
    return rc;
}

/* Slots of one page. */
static int log_index_file_sum_piece(const struct log_index_file *index, struct file *reader, uint64_t first,
                                    uint64_t count, uint64_t *sum)
{
    struct log_slot slots[LOG_INDEX_PAGE_SLOTS];
    if (count == 0) {
        return 0;
    }
    int rc = log_index_file_read_slots(index, reader, first, count, slots);
    for (uint64_t i = 0; i < count && rc == 0; i++) {
        *sum += slots[i].size;
    }
    return rc;
}

int log_index_file_sum(const struct log_index_file *index, uint64_t first, uint64_t count, uint64_t *out)
{
    struct file *reader = NULL;
    uint64_t end = first + count;
    uint64_t whole_first = log_index_format_page_count(first); /* pages that are wholly inside */
    uint64_t whole_end = end / LOG_INDEX_PAGE_SLOTS;
    *out = 0;
    int rc = log_index_file_open_reader(index, &reader);
    if (rc == 0 && whole_first >= whole_end) {
        /* Parts of one page or of two. */
        uint64_t border = whole_first * LOG_INDEX_PAGE_SLOTS;
        uint64_t front = border > end ? count : border - first;
        rc = log_index_file_sum_piece(index, reader, first, front, out);
        rc = rc == 0 ? log_index_file_sum_piece(index, reader, first + front, count - front, out) : rc;
    } else if (rc == 0) {
        rc = log_index_file_sum_piece(index, reader, first, whole_first * LOG_INDEX_PAGE_SLOTS - first, out);
        for (uint64_t page = whole_first; page < whole_end; page++) {
            *out += index->sums[page];
        }
        uint64_t border = whole_end * LOG_INDEX_PAGE_SLOTS;
        rc = rc == 0 ? log_index_file_sum_piece(index, reader, border, end - border, out) : rc;
    }
    file_close(reader);
    return rc;
}

/* ---- names ---- */

void log_index_file_unlink(struct io *io, const char *directory, uint64_t number)
{
    char *path = log_index_file_path(directory, number, LOG_INDEX_FILE_FINAL);
    int rc = path_unlink(io, path);
    if (rc != 0 && rc != HF_ENOTFOUND) {
        TRACE(TRACE_WARN, "log", "an index file without its segment stays: %s", hf_error_text());
    }
    free(path);
}

struct log_index_file_names {
    const struct log_index_file_keeper *keeper;
    char **items;
    size_t count;
};

static int log_index_file_visit(void *arg, const char *name, bool is_directory)
{
    struct log_index_file_names *names = arg;
    size_t length = strlen(name);
    bool ours = !is_directory && length >= 20 && strspn(name, "0123456789abcdef") == 16;
    bool temporary = ours && strcmp(name + 16, ".idx.tmp") == 0;
    bool final = ours && strcmp(name + 16, ".idx") == 0;
    if (!temporary && !(final && !names->keeper->keeps(names->keeper->arg, strtoull(name, NULL, 16)))) {
        return 0;
    }
    names->items = memory_resize(names->items, (names->count + 1) * sizeof(char *));
    names->items[names->count++] = text_copy(name);
    return 0;
}

void log_index_file_clean(struct io *io, const char *directory, const struct log_index_file_keeper *keeper)
{
    struct log_index_file_names names = {.keeper = keeper};
    int rc = directory_list(io, directory, log_index_file_visit, &names);
    for (size_t i = 0; i < names.count; i++) {
        char *path = text_format("%s/%s", directory, names.items[i]);
        int unlinked = path_unlink(io, path);
        rc = rc == 0 && unlinked != HF_ENOTFOUND ? unlinked : rc;
        free(path);
        free(names.items[i]);
    }
    free(names.items);
    if (rc != 0) {
        TRACE(TRACE_WARN, "log", "left-over index files stay: %s", hf_error_text());
    }
}
