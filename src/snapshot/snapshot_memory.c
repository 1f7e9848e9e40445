#include "snapshot/snapshot_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutex.h"

#define MEMORY_BLOCK_SIZE (64u << 10)

/* A file's content: lives while it has a name or is open. */
struct memory_node {
    char *path; /* NULL when it has no name any more */
    unsigned opens;
    uint64_t size;
    uint8_t **blocks;
    size_t block_count;
};

struct memory_io {
    struct io io;
    struct io *lender;
    struct mutex mutex;         /* a leaf: guards everything below, contents included */
    struct memory_node **nodes; /* with a name, in byte order of it */
    size_t count;
    size_t capacity;
};

struct memory_file {
    struct file file;
    struct memory_io *owner;
    struct memory_node *node;
};

static struct memory_io *memory_io_of(struct io *io)
{
    return (struct memory_io *)io;
}
static struct memory_file *memory_file_of(struct file *file)
{
    return (struct memory_file *)file;
}

/* ---- nodes; with the mutex held ---- */

static void memory_node_free(struct memory_node *node)
{
    for (size_t i = 0; i < node->block_count; i++) {
        free(node->blocks[i]);
    }
    free(node->blocks);
    free(node->path);
    free(node);
}

static size_t memory_place(const struct memory_io *memory, const char *path, bool *found)
{
    size_t at = 0;
    while (at < memory->count && strcmp(memory->nodes[at]->path, path) < 0) {
        at++;
    }
    *found = at < memory->count && strcmp(memory->nodes[at]->path, path) == 0;
    return at;
}

static void memory_insert(struct memory_io *memory, struct memory_node *node)
{
    bool found;
    size_t at = memory_place(memory, node->path, &found);
    assert(!found);
    if (memory->count == memory->capacity) {
        memory->capacity = memory->capacity == 0 ? 16 : memory->capacity * 2;
        memory->nodes = memory_resize(memory->nodes, memory->capacity * sizeof(*memory->nodes));
    }
    memmove(memory->nodes + at + 1, memory->nodes + at, (memory->count - at) * sizeof(*memory->nodes));
    memory->nodes[at] = node;
    memory->count++;
}

/* Takes the name away; the content goes with the last open file. */
static struct memory_node *memory_take(struct memory_io *memory, size_t at)
{
    struct memory_node *node = memory->nodes[at];
    memory->count--;
    memmove(memory->nodes + at, memory->nodes + at + 1, (memory->count - at) * sizeof(*memory->nodes));
    free(node->path);
    node->path = NULL;
    return node;
}

static void memory_resize_node(struct memory_node *node, uint64_t size)
{
    size_t wanted = (size_t)((size + MEMORY_BLOCK_SIZE - 1) / MEMORY_BLOCK_SIZE);
    while (node->block_count > wanted) {
        free(node->blocks[--node->block_count]);
    }
    if (node->block_count < wanted) {
        node->blocks = memory_resize(node->blocks, wanted * sizeof(*node->blocks));
        while (node->block_count < wanted) {
            node->blocks[node->block_count++] = memory_new(MEMORY_BLOCK_SIZE);
        }
    }
    if (size < node->size && size % MEMORY_BLOCK_SIZE != 0) { /* what is cut off reads as zeros when it grows again */
        memset(node->blocks[wanted - 1] + size % MEMORY_BLOCK_SIZE, 0, MEMORY_BLOCK_SIZE - size % MEMORY_BLOCK_SIZE);
    }
    node->size = size;
}

/* ---- files ---- */

static void memory_file_close(struct file *base)
{
    struct memory_file *file = memory_file_of(base);
    mutex_lock(&file->owner->mutex);
    bool last = --file->node->opens == 0 && file->node->path == NULL;
    mutex_unlock(&file->owner->mutex);
    if (last) {
        memory_node_free(file->node);
    }
    free(file);
}

static int memory_file_lock(struct file *base)
{
    return 0;
}

static int memory_file_size(struct file *base, uint64_t *out)
{
    struct memory_file *file = memory_file_of(base);
    mutex_lock(&file->owner->mutex);
    *out = file->node->size;
    mutex_unlock(&file->owner->mutex);
    return 0;
}

static int memory_file_truncate(struct file *base, uint64_t size)
{
    struct memory_file *file = memory_file_of(base);
    mutex_lock(&file->owner->mutex);
    memory_resize_node(file->node, size);
    mutex_unlock(&file->owner->mutex);
    return 0;
}

static int memory_file_preallocate(struct file *base, uint64_t offset, uint64_t size)
{
    struct memory_file *file = memory_file_of(base);
    mutex_lock(&file->owner->mutex);
    if (offset + size > file->node->size) {
        memory_resize_node(file->node, offset + size);
    }
    mutex_unlock(&file->owner->mutex);
    return 0;
}

static int memory_file_read(struct file *base, uint64_t offset, void *target, size_t size, size_t *got)
{
    struct memory_file *file = memory_file_of(base);
    mutex_lock(&file->owner->mutex);
    const struct memory_node *node = file->node;
    uint64_t left = offset < node->size ? node->size - offset : 0;
    size_t wanted = size < left ? size : (size_t)left;
    for (*got = 0; *got < wanted;) {
        size_t skip = (size_t)((offset + *got) % MEMORY_BLOCK_SIZE);
        size_t piece = MEMORY_BLOCK_SIZE - skip < wanted - *got ? MEMORY_BLOCK_SIZE - skip : wanted - *got;
        memcpy((uint8_t *)target + *got, node->blocks[(offset + *got) / MEMORY_BLOCK_SIZE] + skip, piece);
        *got += piece;
    }
    mutex_unlock(&file->owner->mutex);
    return 0;
}

static int memory_file_write(struct file *base, uint64_t offset, const void *data, size_t size)
{
    struct memory_file *file = memory_file_of(base);
    mutex_lock(&file->owner->mutex);
    struct memory_node *node = file->node;
    if (offset + size > node->size) {
        memory_resize_node(node, offset + size);
    }
    for (size_t done = 0; done < size;) {
        size_t skip = (size_t)((offset + done) % MEMORY_BLOCK_SIZE);
        size_t piece = MEMORY_BLOCK_SIZE - skip < size - done ? MEMORY_BLOCK_SIZE - skip : size - done;
        memcpy(node->blocks[(offset + done) / MEMORY_BLOCK_SIZE] + skip, (const uint8_t *)data + done, piece);
        done += piece;
    }
    mutex_unlock(&file->owner->mutex);
    return 0;
}

static int memory_file_sync(struct file *base)
{
    return 0;
}

static bool memory_file_is_direct(const struct file *base)
{
    return false;
}

static const struct file_ops memory_file_ops = {
    .close = memory_file_close,
    .lock = memory_file_lock,
    .size = memory_file_size,
    .truncate = memory_file_truncate,
    .preallocate = memory_file_preallocate,
    .read = memory_file_read,
    .write = memory_file_write,
    .write_durable = memory_file_write,
    .sync = memory_file_sync,
    .is_direct = memory_file_is_direct,
};

/* ---- the io ---- */

static void memory_io_close(struct io *io)
{
    struct memory_io *memory = memory_io_of(io);
    for (size_t i = 0; i < memory->count; i++) {
        assert(memory->nodes[i]->opens == 0);
        memory_node_free(memory->nodes[i]);
    }
    free(memory->nodes);
    mutex_close(&memory->mutex);
    free(memory);
}

static uint64_t memory_monotonic_ns(struct io *io)
{
    return io_monotonic_ns(memory_io_of(io)->lender);
}

static uint64_t memory_wall_ms(struct io *io)
{
    return io_wall_ms(memory_io_of(io)->lender);
}

static void memory_random(struct io *io, void *target, size_t size)
{
    io_random(memory_io_of(io)->lender, target, size);
}

static int memory_directory_nothing(struct io *io, const char *path)
{
    return 0; /* folders are only parts of names here */
}

static int memory_directory_list(struct io *io, const char *path, directory_visit *visit, void *arg)
{
    struct memory_io *memory = memory_io_of(io);
    size_t folder_size = strlen(path);
    int rc = 0;
    mutex_lock(&memory->mutex);
    size_t count = 0;
    char **names = memory_new((memory->count + 1) * sizeof(*names));
    for (size_t i = 0; i < memory->count; i++) {
        const char *name = memory->nodes[i]->path;
        if (strncmp(name, path, folder_size) == 0 && name[folder_size] == '/') {
            names[count++] = text_copy(name + folder_size + 1);
        }
    }
    mutex_unlock(&memory->mutex);
    for (size_t i = 0; i < count; i++) {
        rc = rc == 0 ? visit(arg, names[i], false) : rc;
        free(names[i]);
    }
    free(names);
    return rc;
}

static int memory_directory_free_bytes(struct io *io, const char *path, uint64_t *out)
{
    *out = UINT64_MAX; /* what bounds a memory store is how many snapshots it keeps */
    return 0;
}

static int memory_not_found(const char *path)
{
    return error_raise(HF_ENOTFOUND, "%s is not there", path);
}

static int memory_path_unlink(struct io *io, const char *path)
{
    struct memory_io *memory = memory_io_of(io);
    struct memory_node *node = NULL;
    bool found;
    mutex_lock(&memory->mutex);
    size_t at = memory_place(memory, path, &found);
    if (found) {
        node = memory_take(memory, at);
        node = node->opens == 0 ? node : NULL;
    }
    mutex_unlock(&memory->mutex);
    if (node != NULL) {
        memory_node_free(node);
    }
    return found ? 0 : memory_not_found(path);
}

static int memory_path_rename(struct io *io, const char *from, const char *to)
{
    struct memory_io *memory = memory_io_of(io);
    struct memory_node *replaced = NULL;
    bool found, found_to;
    mutex_lock(&memory->mutex);
    (void)memory_place(memory, from, &found);
    if (found && strcmp(from, to) != 0) {
        size_t at = memory_place(memory, to, &found_to);
        if (found_to) {
            replaced = memory_take(memory, at);
            replaced = replaced->opens == 0 ? replaced : NULL;
        }
        struct memory_node *node = memory_take(memory, memory_place(memory, from, &found));
        node->path = text_copy(to);
        memory_insert(memory, node);
    }
    mutex_unlock(&memory->mutex);
    if (replaced != NULL) {
        memory_node_free(replaced);
    }
    return found ? 0 : memory_not_found(from);
}

static int memory_file_open(struct io *io, const char *path, unsigned flags, struct file **out)
{
    struct memory_io *memory = memory_io_of(io);
    struct memory_node *node = NULL;
    bool found;
    mutex_lock(&memory->mutex);
    size_t at = memory_place(memory, path, &found);
    bool exclusive = (flags & FILE_EXCLUSIVE) != 0;
    if (found && !exclusive) {
        node = memory->nodes[at];
    } else if (!found && (flags & FILE_CREATE) != 0) {
        node = memory_new(sizeof(*node));
        node->path = text_copy(path);
        memory_insert(memory, node);
    }
    if (node != NULL) {
        node->opens++;
    }
    mutex_unlock(&memory->mutex);
    if (node == NULL) {
        return found ? error_raise(HF_EEXISTS, "%s is there", path) : memory_not_found(path);
    }
    struct memory_file *file = memory_new(sizeof(*file));
    *file = (struct memory_file){.file = {&memory_file_ops}, .owner = memory, .node = node};
    *out = &file->file;
    return 0;
}

static int memory_queue_open(struct io *io, unsigned depth, struct io_queue **out)
{
    return io_queue_open(memory_io_of(io)->lender, depth, out);
}

static const struct io_ops memory_io_ops = {
    .name = "memory",
    .close = memory_io_close,
    .monotonic_ns = memory_monotonic_ns,
    .wall_ms = memory_wall_ms,
    .random = memory_random,
    .directory_create = memory_directory_nothing,
    .directory_sync = memory_directory_nothing,
    .directory_list = memory_directory_list,
    .directory_free_bytes = memory_directory_free_bytes,
    .path_rename = memory_path_rename,
    .path_unlink = memory_path_unlink,
    .file_open = memory_file_open,
    .queue_open = memory_queue_open,
};

struct io *snapshot_memory_open(struct io *lender)
{
    struct memory_io *memory = memory_new(sizeof(*memory));
    memory->io.ops = &memory_io_ops;
    memory->lender = lender;
    mutex_init(&memory->mutex);
    return &memory->io;
}
