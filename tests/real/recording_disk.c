/* A disk that remembers: a file system of two files. `disk` is the given image; every write to it and every flush is
 * recorded, in the order in which they were answered. Whatever is written to `marks` goes into the recording between
 * them, so that a test can tell what was said at which moment of the disk's life.
 *
 *     recording_disk IMAGE RECORDING MOUNTPOINT
 *
 * The recording: { kind, size, offset } as little-endian u32, u32, u64, then `size` bytes. Requests are answered one at
 * a time: what was answered before a flush was asked for is before it in the recording. */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_SIZE_MAX (1u << 20)
#define DISK_PATH      "/disk"
#define MARKS_PATH     "/marks"

enum record_kind { RECORD_WRITE = 1, RECORD_FLUSH, RECORD_MARK };

struct record_header {
    uint32_t kind;
    uint32_t size;
    uint64_t offset;
};

static int image;
static FILE *recording;

static int record(enum record_kind kind, uint64_t offset, const void *data, size_t size)
{
    struct record_header header = {.kind = kind, .size = (uint32_t)size, .offset = offset};
    bool well = fwrite(&header, sizeof(header), 1, recording) == 1;
    return well && (size == 0 || fwrite(data, size, 1, recording) == 1) ? 0 : -EIO;
}

static int disk_getattr(const char *path, struct stat *out, struct fuse_file_info *info)
{
    struct stat image_stat;
    (void)info;
    memset(out, 0, sizeof(*out));
    if (strcmp(path, "/") == 0) {
        out->st_mode = S_IFDIR | 0700;
        out->st_nlink = 2;
        return 0;
    }
    out->st_mode = S_IFREG | 0600;
    out->st_nlink = 1;
    if (strcmp(path, DISK_PATH) == 0) {
        out->st_size = fstat(image, &image_stat) == 0 ? image_stat.st_size : 0;
        return 0;
    }
    return strcmp(path, MARKS_PATH) == 0 ? 0 : -ENOENT;
}

static int disk_readdir(const char *path, void *target, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *info,
                        enum fuse_readdir_flags flags)
{
    (void)path, (void)offset, (void)info, (void)flags;
    fill(target, &DISK_PATH[1], NULL, 0, 0);
    fill(target, &MARKS_PATH[1], NULL, 0, 0);
    return 0;
}

static int disk_open(const char *path, struct fuse_file_info *info)
{
    bool is_disk = strcmp(path, DISK_PATH) == 0;
    info->direct_io = 1; /* no cache of the kernel's in between: what the file system writes arrives as it is written */
    info->fh = is_disk;
    return is_disk || strcmp(path, MARKS_PATH) == 0 ? 0 : -ENOENT;
}

static int disk_read(const char *path, char *target, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)path;
    ssize_t got = info->fh ? pread(image, target, size, offset) : 0;
    return got < 0 ? -errno : (int)got;
}

static int disk_write(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)path;
    if (!info->fh) {
        int rc = record(RECORD_MARK, 0, data, size);
        return rc != 0 ? rc : (int)size;
    }
    ssize_t written = pwrite(image, data, size, offset);
    if (written < 0) {
        return -errno;
    }
    int rc = record(RECORD_WRITE, (uint64_t)offset, data, (size_t)written);
    return rc != 0 ? rc : (int)written;
}

static int disk_fsync(const char *path, int only_data, struct fuse_file_info *info)
{
    (void)path, (void)only_data;
    return info->fh ? record(RECORD_FLUSH, 0, NULL, 0) : 0;
}

static void *disk_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    connection->max_write = WRITE_SIZE_MAX;
    config->kernel_cache = 0;
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations operations = {
        .getattr = disk_getattr,
        .readdir = disk_readdir,
        .open = disk_open,
        .read = disk_read,
        .write = disk_write,
        .fsync = disk_fsync,
        .init = disk_init,
    };
    if (argc != 4) {
        fputs("usage: recording_disk IMAGE RECORDING MOUNTPOINT\n", stderr);
        return 2;
    }
    image = open(argv[1], O_RDWR | O_CLOEXEC);
    recording = fopen(argv[2], "wb");
    if (image < 0 || recording == NULL) {
        fprintf(stderr, "recording_disk: %s\n", strerror(errno));
        return 1;
    }
    char *arguments[] = {argv[0], (char[]){"-f"}, (char[]){"-s"}, argv[3], NULL};
    int rc = fuse_main(4, arguments, &operations, NULL);
    return fclose(recording) == 0 ? rc : 1;
}
