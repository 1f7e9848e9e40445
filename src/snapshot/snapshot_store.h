/* The store's own state, shared by the room's files. Private to the room.
 *
 * Locks, in this order: `names` is held while files get their final name, lose it or are opened by it, so that a name
 * read from the catalogue is a name on the device; `mutex` guards the catalogue and the counts, and nothing blocks
 * while it is held. The report callback runs with neither. */
#ifndef SNAPSHOT_SNAPSHOT_STORE_H
#define SNAPSHOT_SNAPSHOT_STORE_H

#include "base/mutex.h"
#include "io/io.h"
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_catalogue.h"
#include "snapshot/snapshot_file.h"

struct hf_snapshot_store {
    struct io *io;        /* lent, or one of the next two */
    struct io *kernel_io; /* owned: of the public doors */
    struct io *memory_io; /* owned: of the memory store */
    char *directory;
    struct hf_snapshot_options options; /* every field set */
    uint32_t chunk_size_min;            /* of the door that it came through */
    struct io *worker_io;               /* owned: of the queues that compress; NULL: there are no threads */
    struct file *lock_file;
    struct mutex names;
    struct mutex mutex;
    struct snapshot_catalogue catalogue;
    struct map receiving; /* group → the store itself, while a receiver is open */
    unsigned open_count;  /* writers, readers, receivers */
};

/* Reads the directory: left-overs go, whole snapshots are listed, damaged ones reported. */
int snapshot_store_load(struct hf_snapshot_store *store);

char *snapshot_store_path(const struct hf_snapshot_store *store, const struct snapshot_header *header,
                          enum snapshot_suffix suffix);
void snapshot_store_report(struct hf_snapshot_store *store, enum hf_snapshot_event_kind kind,
                           const struct snapshot_header *header, const char *text);
/* Keeps and reports the thread's error text as the reason, the first time. An id that is not listed is ignored. */
void snapshot_store_mark_damaged(struct hf_snapshot_store *store, struct hf_snapshot_id id);
/* HF_EEXISTS and HF_ECONFLICT as hf_snapshot_begin and hf_snapshot_receive say. */
int snapshot_store_check_new(struct hf_snapshot_store *store, uint64_t group, uint64_t incarnation, uint64_t index,
                             uint64_t term);
/* HF_ENOSPACE when `bytes` beside the reserve do not fit the device. 0 bytes: no check. */
int snapshot_store_check_space(struct hf_snapshot_store *store, uint64_t bytes);
/* Gives a synced file its final name and lists it; durable when it returns 0. On an error nothing is listed, and
 * neither name is there any more, as far as the device lets go of it. */
int snapshot_store_publish(struct hf_snapshot_store *store, const char *path,
                           const struct hf_snapshot_manifest *manifest, enum hf_snapshot_origin origin,
                           uint64_t file_bytes);
/* Removes a file that has not been published; what fails is found again by the next open. */
void snapshot_store_discard(struct hf_snapshot_store *store, const char *path);
int snapshot_store_not_found(const struct hf_snapshot_store *store, struct hf_snapshot_id id);
/* What a change of an entry's name needs to know. With `names` held. HF_ENOTFOUND; HF_EINVALID in a read-only store. */
int snapshot_store_locate(struct hf_snapshot_store *store, struct hf_snapshot_id id, struct snapshot_header *header,
                          enum hf_snapshot_origin *origin, uint32_t *pins);
/* hf_snapshot_delete but for the sync of the directory. */
int snapshot_store_remove(struct hf_snapshot_store *store, struct hf_snapshot_id id);
/* Opens the file of a listed snapshot, table included. It counts as a reader of its entry until
 * snapshot_store_close_file. HF_ENOTFOUND; HF_ECORRUPT (marked and reported); HF_EIO. */
int snapshot_store_open_file(struct hf_snapshot_store *store, struct hf_snapshot_id id, struct snapshot_file *file);
void snapshot_store_close_file(struct hf_snapshot_store *store, struct snapshot_file *file);

void snapshot_store_enter(struct hf_snapshot_store *store); /* a writer or receiver opens */
void snapshot_store_leave(struct hf_snapshot_store *store);

#endif
